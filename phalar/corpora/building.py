"""Many pieces, several processes, one progress bar."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from phalar import paths
from phalar.datasets import store
from phalar.errors import InputError, RunError


def build_all(corpus: str, folder: Path, pieces: Sequence[str], *, jobs: int | None = None, progress: bool = True):
    """Build pieces into a store, each in one of ``jobs`` processes.

    Parameters
    ----------
    corpus : str
        A key of :data:`phalar.corpora.CORPORA`.
    folder : Path
        The store; made if needed.
    pieces : sequence of str
        Ids.
    jobs : int, optional
        Processes; as many as this process may use processors, if not given.
    progress : bool
        Show a bar with the time left on standard error.

    Raises
    ------
    InputError
        If ``jobs`` is below 1.
    RunError
        If a piece failed, naming it and why; pieces that were finished are kept.
    """
    jobs = processors() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    folder.mkdir(parents=True, exist_ok=True)
    store.sweep(folder)
    waiting, failures, lock = list(reversed(pieces)), [], threading.Lock()

    def work():
        with _worker(corpus, folder) as process:
            while True:
                with lock:
                    if failures or not waiting:
                        break
                    piece = waiting.pop()
                answer = _ask(process, piece)
                with lock:
                    bar.update()
                    if "error" in answer:
                        failures.append(answer)
            process.stdin.close()

    with (
        tqdm(total=len(pieces), desc=f"rendering {corpus}", unit="piece", disable=not progress) as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        running = [pool.submit(work) for _ in range(min(jobs, len(pieces)))]
        try:
            for each in running:
                each.result()
        except BaseException:  # Ctrl-C too: let the workers finish the piece in hand, and start no more
            waiting.clear()
            raise
    if failures:
        first = failures[0]
        raise RunError(
            f"{corpus} piece {first['piece']} could not be rendered: {first['error']}; the pieces finished so far are "
            f"kept in {folder}, call again to go on"
        )


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _worker(corpus: str, folder: Path) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    # The worker must find this very package, also when it is run from a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(paths.PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    )
    command = [sys.executable, "-m", "phalar.corpora.worker", corpus, str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)


def _ask(process: subprocess.Popen, piece: str) -> dict:
    try:
        process.stdin.write(piece + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())
    except (BrokenPipeError, ValueError):
        return {"piece": piece, "error": f"its process ended (exit status {process.wait()})"}
