"""From a data set as it was downloaded to a store that is read at memory speed: once, in parallel, never from scratch.

What is done stays done, whatever happens: a track is in the store as a whole or not at all, and a run that is started
again goes on where the last one ended. The store's bytes depend on the data set alone.
"""

import contextlib
import fcntl
import json
import logging
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from phalar import paths
from phalar.datasets import prepare_worker, prepared, store
from phalar.datasets.catalogue import dataset
from phalar.datasets.files import all_files, select_stems, with_headers
from phalar.datasets.headers import Header, read_headers
from phalar.datasets.sources import Listing, Problem, SourceTrack
from phalar.errors import InputError, RunError

VERSION = 1
"""Raised whenever the same files would come out as other bytes."""

FAILURES = 0.05
"""Share of the tracks that may fail before the whole counts as failed: more is no bad file but a bad copy."""

SPARE = 1.02
"""Room for records and the index, as a factor on the audio."""

log = logging.getLogger("phalar")


@dataclass(frozen=True)
class Prepared:
    """A finished store.

    Attributes
    ----------
    name : str
        By which :func:`phalar.datasets.prepared.load` finds it.
    folder : Path
        Where it is.
    found, stored : int
        Tracks that the listing had, and those in the store.
    silent_stems : int
        Stems of digital silence from end to end; they are kept.
    problems : tuple of Problem
        All that was left out or is noteworthy, as in the store's ``problems.json``.
    """

    name: str
    folder: Path
    found: int
    stored: int
    silent_stems: int
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class _Task:
    """A track to be stored: what to do, what it depends on, and how many bytes it will take."""

    track: SourceTrack
    headers: dict[Path, Header]
    source: str
    size: int


def prepare(
    name: str,
    root: Path | str,
    options: Mapping[str, object] | None = None,
    *,
    jobs: int | None = None,
    progress: bool = True,
) -> Prepared:
    """Turn a copy of a data set into a store of 16 kHz mono stems, as far as that is not done yet.

    The copy is only read. A damaged stem is left out and reported, and its track kept if two others are left. Damaged
    tracks are tried again each time, since they may have been replaced; so is any track whose files changed.

    Parameters
    ----------
    name : str
        A key of :data:`phalar.datasets.catalogue.DATASETS`; ``"folder"`` for any folder of multitracks.
    root : Path
        Where the copy lies.
    options : mapping, optional
        Of the data set's listing, such as ``{"unit": "stem"}``.
    jobs : int, optional
        Processes; one for each processor if not given. The result does not depend on it.
    progress : bool
        Show a bar with the time left on standard error.

    Returns
    -------
    Prepared
        Its name, its folder (below ``datasets`` in the cache folder), and all problems met.

    Raises
    ------
    InputError
        If there is no such data set or option, ``root`` holds nothing of the kind, or ``jobs`` is below 1.
    RunError
        If the disk is too small, naming need and have; if it cannot be written; if more than 5 % of the tracks failed
        (the others are stored all the same). Taught in ``book/datasets.md``.
    """
    root, jobs = Path(root), _processors() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    usual = {key: default for key, (default, _) in dataset(name).options.items()}
    chosen = {key: value for key, value in (options or {}).items() if value != usual.get(key, ...)}
    listing = list_copy(name, root, chosen)
    store_name = prepared.store_name(name, root, chosen)
    folder = prepared.folder(store_name)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder) as lock:
        _write_json(folder / "origin.json", prepared.describe(name, root, chosen))
        tasks, problems = _plan(root, listing.tracks, progress)
        problems = [*listing.problems, *problems]
        waiting = [task for task in tasks if not _is_done(folder, task)]
        _check_space(folder, sum(task.size for task in waiting))
        with tqdm(
            total=sum(task.size for task in waiting),
            desc=f"preparing {store_name}",
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar:
            problems += _convert(folder, waiting, jobs, lock, bar.update)
        return _finish(store_name, folder, root, listing.tracks, problems)


def list_copy(name: str, root: Path, options: Mapping[str, object]) -> Listing:
    """The data set's own listing, with options that it has.

    Raises
    ------
    InputError
        If there is no such data set or option, or nothing of it under ``root``.
    """
    chosen = dataset(name)
    for option in options:
        if option not in chosen.options:
            known = f"its options are {', '.join(chosen.options)}" if chosen.options else "it has no options"
            raise InputError(f"{name} has no option {option!r}: {known}")
    return chosen.list(root, **options)


def _plan(root: Path, tracks: Iterable[SourceTrack], progress: bool) -> tuple[list[_Task], list[Problem]]:
    """What there is to store, and what the headers already rule out."""
    files = all_files(tracks)
    reading = tqdm(read_headers(root, files), "reading headers", len(files), unit="file", disable=not progress)
    headers = dict(reading)
    tasks, problems = [], []
    for track in tracks:
        usable, found = select_stems(track, headers)
        problems += found
        if usable is not None:
            own = {file: headers[file] for file in all_files([usable])}
            size = 2 * len(usable.stems) * with_headers(usable.stems, own).num_samples
            tasks.append(_Task(usable, own, _digest(root, usable, own), size))
    return tasks, problems


def _digest(root: Path, track: SourceTrack, headers: Mapping[Path, Header]) -> str:
    """Of everything that a stored track depends on, but for the samples; equal wherever the copy lies."""
    files = [[os.path.relpath(file, root), file.stat().st_size, *headers[file]] for file in headers]
    names = [[stem.name, len(stem.files)] for stem in track.stems]
    value = [VERSION, store.FORMAT, track.id, track.split, names, files, dict(track.tags), track.beats, track.chords]
    return blake2b(json.dumps(value, sort_keys=True, default=str).encode(), digest_size=8).hexdigest()


def _is_done(folder: Path, task: _Task) -> bool:
    made = _made(folder, task.track)
    return made is not None and made["source"] == task.source and not made["left_out"]


def _made(folder: Path, track: SourceTrack) -> dict | None:
    """What the store says of how a track was made, if it is there as a whole."""
    if store.incomplete(folder, [track.id]):
        return None
    return json.loads((folder / "tracks" / f"{track.id}.json").read_bytes())["tags"]["prepared"]


def _check_space(folder: Path, audio: int) -> None:
    need, have = SPARE * audio, shutil.disk_usage(folder).free
    if need > have:
        raise RunError(
            f"{folder} needs {need / 1e9:.1f} GB more, and the disk has {have / 1e9:.1f} GB free: make room, or set "
            f"PHALAR_CACHE (now {paths.cache()}) to a folder on a larger disk"
        )


def _convert(
    folder: Path, tasks: Iterable[_Task], jobs: int, lock: BinaryIO, advance: Callable[[int], object]
) -> list[Problem]:
    """Have worker processes do the tasks; what was wrong with them."""
    waiting, problems, fatal, access = list(reversed(list(tasks))), [], [], threading.Lock()

    def work():
        worker = None
        while True:
            with access:
                if fatal or not waiting:
                    break
                task = waiting.pop()
            if worker is None:
                worker = _start_worker(folder, lock)
            answer = _ask(worker, task)
            if worker.poll() is not None:  # it crashed
                _stop(worker)
                worker = None
            with access:
                advance(task.size)
                problems.extend(Problem(Path(path), what, bad) for path, what, bad in answer["problems"])
                if "fatal" in answer:
                    fatal.append(answer)
        _stop(worker)

    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(work) for _ in range(min(jobs, len(waiting)))]
        try:
            for each in running:
                each.result()
        except BaseException:  # Ctrl-C too: let the workers finish the track in hand, and start no more
            waiting.clear()
            raise
    if fatal:
        raise RunError(
            f"track {fatal[0]['id']} could not be stored in {folder}: {fatal[0]['fatal']}; the tracks stored so far "
            "are kept, run the same command to go on"
        )
    return problems


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker(folder: Path, lock: BinaryIO) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    # The worker must find this very package, also when it is run from a checkout that is not installed.
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(paths.PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    )
    command = [sys.executable, "-m", prepare_worker.__name__, str(folder)]
    # A worker shares the lock, so that it holds until the last track in hand is stored, even if this process is killed.
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        pass_fds=[lock.fileno()],
        process_group=0,  # Ctrl-C is for this process alone, which lets its workers finish the track in hand
    )


def _stop(worker: subprocess.Popen | None) -> None:
    if worker is not None:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()  # at the end of its input it ends
        worker.wait()
        worker.stdout.close()


def _ask(worker: subprocess.Popen, task: _Task) -> dict:
    try:
        worker.stdin.write(prepare_worker.encode(task.track, task.headers, task.source) + "\n")
        worker.stdin.flush()
        return json.loads(worker.stdout.readline())
    except (BrokenPipeError, ValueError):  # a decoder crashed, or the memory ran out
        path = task.track.stems[0].files[0].parent
        what = f"track {task.track.id} left out: the process that read it ended (exit status {worker.wait()})"
        return {"problems": [[str(path), what, True]]}


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[BinaryIO]:
    """One process at a time fills a store; a second waits, and then finds the work done."""
    with (folder / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that prepares %s", folder.name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        store.sweep(folder, older_than=0)  # nobody else is writing
        yield lock


def _finish(
    name: str, folder: Path, root: Path, found: Collection[SourceTrack], problems: Iterable[Problem]
) -> Prepared:
    """Index and report; from here on the store is there to be used."""
    made = [each for track in found if (each := _made(folder, track)) is not None]
    stored, silent = len(made), sum(len(each["silent"]) for each in made)
    problems = sorted(set(problems), key=lambda problem: (str(problem.path), problem.what))
    report = {
        "dataset": name,
        "tracks_found": len(found),
        "tracks_stored": stored,
        "silent_stems": silent,
        "problems": [
            {"path": os.path.relpath(problem.path, root), "what": problem.what, "fatal": problem.fatal}
            for problem in problems
        ],
    }
    _write_json(folder / "problems.json", report)
    if stored:
        store.write_index(folder, name)
    failed = len(found) - stored
    if not stored:
        raise RunError(f"no track of {name} could be prepared: {_example(problems)}; see {folder / 'problems.json'}")
    if failed > FAILURES * len(found):
        raise RunError(
            f"{failed} of {len(found)} tracks of {name} could not be prepared, such as {_example(problems)}; the other "
            f"{stored} are in {folder}, where problems.json lists what is wrong"
        )
    return Prepared(name, folder, len(found), stored, silent, tuple(problems))


def _example(problems: Iterable[Problem]) -> str:
    serious = sorted((problem for problem in problems if problem.fatal), key=lambda problem: problem.path.is_dir())
    return f"{serious[0].path} {serious[0].what}" if serious else "it holds none"


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(f"{path.name}.part")  # one writer at a time, see _alone
    temporary.write_text(json.dumps(value, indent=1) + "\n")
    os.replace(temporary, path)
