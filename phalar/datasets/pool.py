"""Work for several processes, any of which may die without taking the others' work with it."""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
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
    """Call a function for every item, in several processes (``jobs``; one for each processor if not given).

    Yields (item, result) as they are done; where the function raised, the exception stands for its result. A process
    that dies (its decoder crashed, the memory ran out) costs the one item it had in hand, for which a RunError stands.
    When the caller is interrupted or stops asking, the processes are ended at once, wherever they are: what they write
    must allow for it. The function is found by its module's name, like anything that is pickled. Raises InputError if
    ``jobs`` is below 1.
    """
    jobs = processors() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    waiting, suspects = dict(enumerate(items)), 0
    while waiting:
        # Items are taken in order, so the first ones not done were in hand when a process died: they now go one by one.
        part, tasks, died = list(waiting)[: suspects or None], {}, None
        numbers, workers = iter(part), 1 if suspects else min(jobs, len(part))
        pool = ProcessPoolExecutor(workers, timeout=10, env=ONE_THREAD)

        def submit(count: int) -> None:
            # Ctrl-C is for this process alone: the others are started with the signal blocked.
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            with suppress(BrokenProcessPool):  # since the last look, which the next one will tell
                for number in islice(numbers, count):  # noqa: B023
                    tasks[pool.submit(_call, function, waiting[number], os.getpid())] = number  # noqa: B023
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

        try:
            submit(2 * workers)
            while tasks and not died:
                task = next(iter(wait(tasks, return_when=FIRST_COMPLETED).done))
                died = task.exception() if isinstance(task.exception(), BrokenProcessPool) else None
                if not died:
                    number = tasks.pop(task)
                    submit(1)
                    yield waiting.pop(number), task.exception() or task.result()
        finally:
            for process in list(pool._processes) if tasks and not died else []:
                with suppress(ProcessLookupError):  # loky 3.6's own way trips over tasks that no process has taken yet
                    os.kill(process, signal.SIGKILL)
            pool.shutdown(wait=True)
        if died and suspects:
            culprit = next(number for number in part if number in waiting)
            codes = re.search(r"exit codes .*", str(died))
            yield waiting.pop(culprit), RunError(f"its process died ({codes[0] if codes else died})")
        suspects = len(tasks) if died and not suspects else 0


def _call(function: Callable[[Item], object], item: Item, caller: int) -> object:
    if os.getppid() != caller:
        os._exit(0)  # nobody is left to want the result
    return function(item)
