"""Work for several processes, any of which may die without taking the others' work with it."""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from itertools import islice
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from phalar.errors import InputError, RunError

Item = TypeVar("Item")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}  # in each process: they share the processors already


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    function: Callable[[Item], object], items: Sequence[Item], jobs: int | None = None
) -> Iterator[tuple[Item, object]]:
    """Call a function for every item, in several processes.

    A process that dies (its decoder crashed, the memory ran out) costs the one item it had in hand. When the caller is
    interrupted or stops asking, the processes are ended at once, wherever they are: what they write must allow for it.

    Parameters
    ----------
    function : callable (item) -> result
        Found by its module's name, like anything that is pickled.
    items : sequence
    jobs : int, optional
        Processes; one for each processor if not given.

    Yields
    ------
    (item, result)
        As they are done. Where the function raised, the exception stands for its result; a RunError, where the process
        died.

    Raises
    ------
    InputError
        If ``jobs`` is below 1.
    """
    jobs = processors() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    waiting, suspects = dict(enumerate(items)), 0
    while waiting:
        # Processes take items in order, so the first ones not done were in hand when one died: they now go one by one.
        part, died = list(waiting)[: suspects or None], None
        pool = ProcessPoolExecutor(1 if suspects else min(jobs, len(part)), timeout=10, env=ONE_THREAD)
        try:
            tasks, rest = {}, iter(part)
            while not died:
                # Ctrl-C is for this process alone: the others are started with the signal blocked. No more is handed
                # over than they take at once: when all is ended, loky's thread stumbles over what is left, and says so.
                blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                try:
                    for number in islice(rest, 2 * jobs - len(tasks)):
                        tasks[pool.submit(_call, function, waiting[number], os.getpid())] = number
                except BrokenProcessPool as error:  # since the last look
                    died = error
                finally:
                    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                if not tasks:
                    break
                for task in wait(tasks, return_when=FIRST_COMPLETED).done:
                    number = tasks.pop(task)
                    if isinstance(task.exception(), BrokenProcessPool):
                        died = task.exception()
                    else:
                        yield waiting.pop(number), task.exception() or task.result()
        finally:
            pool.shutdown(wait=True, kill_workers=bool(waiting))
        if died and suspects:
            culprit = next(number for number in part if number in waiting)
            codes = re.search(r"exit codes .*", str(died))
            yield waiting.pop(culprit), RunError(f"its process died ({codes[0] if codes else died})")
        suspects = 2 * jobs if died and not suspects else 0


def _call(function: Callable[[Item], object], item: Item, caller: int) -> object:
    if os.getppid() != caller:
        os._exit(0)  # nobody is left to want the result
    return function(item)
