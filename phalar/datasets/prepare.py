"""Real data sets: check a copy, and turn it into a store that is read at memory speed.

A store is named after its data set and the options that are not the usual ones: ``slakh2100``, ``moisesdb-unit-stem``;
any folder of multitracks after itself: ``folder-my_songs``. A second copy, with another root, gets the root's digest.
What is done stays done: a track is in the store as a whole or not at all, and a run that is started again goes on
where the last one ended. The store's bytes depend on the data set alone. Book page *Real data sets*.
"""

import fcntl
import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from phalar import paths
from phalar.datasets import annotated, multitracks, store
from phalar.datasets.files import DamagedFile, Listing, Problem, keep, lost, open_track
from phalar.datasets.listing import Dataset, track_ids
from phalar.datasets.store import FULL_SCALE, in_processes
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError, RunError

_FOUND = [each for part in (multitracks, annotated) for each in vars(part).values() if isinstance(each, Dataset)]
DATASETS: dict[str, Dataset] = {each.name: each for each in sorted(_FOUND, key=lambda each: each.name == "folder")}
"""The real data sets that can be used, by name, in the order of the book; last, any folder of multitracks."""

VERSION = 2  # raised whenever the same files would come out as other bytes
FAILURES = 0.05  # share of the tracks that may fail before the whole counts as failed: more is a bad copy
SPARE = 1.02  # room for records and the index, as a factor on the audio
THREADS = 8  # headers wait for the disk, not for the processor

log = logging.getLogger("phalar")


def dataset(name: str) -> Dataset:
    """The data set of this name, or an InputError that lists those there are."""
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def names() -> list[str]:
    """Of all stores that are finished."""
    return sorted(place.parent.name for place in (paths.cache() / "datasets").glob("*/index.json"))


def folder(name: str) -> Path:
    """Where a store is, whether it is there or not; an InputError if ``name`` cannot be a store's."""
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise InputError(f"{name!r} cannot be the name of a prepared data set")
    return paths.cache() / "datasets" / name


def origin(name: str) -> dict | None:
    """What a store is made from: ``dataset``, ``root`` and ``options``; None if there is no such store."""
    try:
        return json.loads((folder(name) / "origin.json").read_bytes())
    except (OSError, ValueError):
        return None


def store_name(name: str, root: Path, options: Mapping[str, object]) -> str:
    """Name of the store that a copy goes into, by the rule above; an option that names a folder is no part of it."""
    words = [f"folder-{root.resolve().name}" if name == "folder" else name]
    words += [f"{key}-{value}" for key, value in sorted(options.items()) if dataset(name).options[key][0] is not None]
    (plain,) = track_ids(["-".join(words)]).values()
    other = origin(plain)
    if other is None or other["root"] == str(root.resolve()):
        return plain
    return f"{plain}-{blake2b(os.fsencode(root.resolve()), digest_size=3).hexdigest()}"


def load(name: str, split: str | None = None, *, limit: int | None = None) -> list[Track]:
    """The tracks of a prepared data set, in order of their ids, at 16 kHz.

    ``name`` is one of :func:`names`; all three splits if none is given. With ``limit`` at most so many tracks of each
    split, always the same ones, and not the first by name: those are often alike. Raises InputError if it is not
    prepared, saying how to, or for another split or limit; RunError if the store is damaged.
    """
    if split not in (None, *SPLITS):
        raise InputError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: at least one track of each split is needed")
    where = folder(name)
    made_from = origin(name) or {"dataset": name if name in DATASETS else "NAME", "root": "ROOT", "options": {}}
    flags = "".join(f" --{key} {value}" for key, value in made_from["options"].items())
    remedy = f"run `phalar datasets prepare {made_from['dataset']} {made_from['root']}{flags}`"
    if not (where / "index.json").is_file():
        raise InputError(f"{name} is not prepared: {remedy} (prepared so far: {', '.join(names()) or 'none'})")
    try:
        tracks = store.open_store(where)
    except RunError as error:
        raise RunError(f"{error} ({remedy})") from error
    tracks.sort(key=lambda track: blake2b(track.id.encode()).digest())
    parts = ([track for track in tracks if track.split == each][:limit] for each in (split and [split]) or SPLITS)
    return sorted(chain.from_iterable(parts), key=lambda track: track.id)


class Summary(NamedTuple):
    """What a copy holds: usable tracks by split, and those of a whole copy (empty where nothing is expected), stems and
    hours of these, and how many serious problems."""

    found: dict[str, int]
    expected: dict[str, int]
    stems: int
    hours: float
    serious: int

    @property
    def whole(self) -> bool:
        """Nothing is wrong, and nothing missing."""
        return not self.serious and (not self.expected or self.found == self.expected)


def check(
    name: str, root: Path | str, options: Mapping[str, object] | None = None, *, progress: bool = False
) -> Iterator[Problem | Summary]:
    """Look through a copy of a data set, without changing anything in it: problems as they are found, then a summary.

    Reads folders, metadata, headers and the last frame of each file, so minutes for the largest set, not hours. Damage
    in the middle of a file shows when it is decoded, by :func:`prepare`. Arguments and InputError are as there.
    """
    expected = dict(dataset(name).expected)
    found, serious, stems, seconds = Counter(dict.fromkeys(expected, 0)), 0, 0, 0.0
    for track, problems in _open(dataset(name).list(root, **options or {}), f"checking {name}", progress):
        serious += sum(problem.serious for problem in problems)
        yield from problems
        if track is not None:
            found[track.split] += 1
            stems, seconds = stems + len(track.stems), seconds + track.duration
    yield Summary(dict(found), expected, stems, seconds / 3600, serious)


def _open(listing: Listing, what: str, progress: bool) -> Iterator[tuple[Track | None, list[Problem]]]:
    """The listing's own problems, then track by track what its headers say."""
    yield None, list(listing.problems)
    with ThreadPoolExecutor(THREADS) as pool:
        for track in tqdm(listing.tracks, what, unit="track", disable=not progress):
            yield open_track(track, pool.map)


class Prepared(NamedTuple):
    """A finished store: the name by which :func:`load` finds it, its folder, tracks listed and stored, stems of digital
    silence (they are kept), and all that was left out or is noteworthy."""

    name: str
    folder: Path
    found: int
    stored: int
    silent_stems: int
    problems: tuple[Problem, ...]


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
    tracks are tried again each time, since they may have been replaced; so is any track whose files changed. The result
    does not depend on ``jobs``, the number of processes (one for each processor if not given).

    Raises InputError if there is no such data set (a key of :data:`DATASETS`) or option of it, ``root`` holds nothing
    of the kind, or ``jobs`` is below 1. Raises RunError if the disk is too small, naming need and have; if it cannot be
    written; if more than 5 % of the tracks failed (the others are stored all the same). Taught in ``book/datasets.md``.
    """
    root = Path(root)
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    usual = {key: default for key, (default, _) in dataset(name).options.items()}
    chosen = {key: value for key, value in sorted((options or {}).items()) if value != usual.get(key, ...)}
    listing = dataset(name).list(root, **chosen)
    title = store_name(name, root, chosen)
    where = folder(title)
    where.mkdir(parents=True, exist_ok=True)
    with _locked(where, fcntl.LOCK_EX) as lock:
        store.sweep(where, older_than=0)  # nobody else is writing
        # The processes that fill the store hold the lock too, until the track in hand is done.
        fcntl.flock(lock, fcntl.LOCK_SH)
        described = {key: str(value) for key, value in chosen.items()}
        _write(where / "origin.json", {"dataset": name, "root": str(root.resolve()), "options": described})
        tasks, problems = {}, []  # tasks: of each track the digest of what it depends on
        for track, found in _open(listing, f"reading headers of {title}", progress):
            problems += found
            if track is not None:
                made, source = _made(where, track), _digest(root, track)
                if made is None or made["source"] != source or made["left_out"]:
                    tasks[track] = source
        sizes = {track.id: 2 * len(track.stems) * track.num_samples for track in tasks}  # bytes
        need, free = SPARE * sum(sizes.values()), shutil.disk_usage(where).free
        if need > free:
            what = f"{need / 1e9:.1f} GB more, and the disk has {free / 1e9:.1f} GB free"
            raise RunError(
                f"{where} needs {what}: make room, or set PHALAR_CACHE (now {paths.cache()}) to a larger disk"
            )
        bar = tqdm(
            total=sum(sizes.values()), desc=f"preparing {title}", unit="B", unit_scale=True, disable=not progress
        )
        with bar:
            try:
                for (track, _), outcome in in_processes(partial(_store, where), [*tasks.items()], jobs):
                    bar.update(sizes[track.id])
                    if isinstance(outcome, OSError):  # the disk is full or gone: the next track would fare no better
                        what = f"track {track.id} could not be stored in {where}: {outcome}"
                        raise RunError(f"{what}; what is done is kept, run the same command to go on") from outcome
                    if isinstance(outcome, Exception):  # whatever is the matter with this track, others follow
                        outcome = [lost(track, f"{type(outcome).__name__}: {outcome}")]
                    problems += outcome
            finally:
                store.sweep(where, older_than=0)
        return _finish(title, where, root, listing.tracks, problems)


@contextmanager
def _locked(where: Path, how: int) -> Iterator[object]:
    """One run at a time fills a store; a second waits, and then finds the work done."""
    with (where / "lock").open("wb") as lock:
        try:
            fcntl.flock(lock, how | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another process that prepares %s", where.name)
            fcntl.flock(lock, how)
        yield lock


def _digest(root: Path, track: Track) -> str:
    """Of everything that a stored track depends on, but for the samples; equal wherever the copy lies."""
    stems = [[[os.path.relpath(path, root), path.stat().st_size] for path in stem] for stem in track.audio.stems]
    beats = None if track.beats is None else track.beats.tolist()
    about = [track.id, track.split, track.num_samples, track.stems, track.tags, beats, track.chords, track.pitched]
    text = json.dumps([VERSION, store.FORMAT, stems, about], sort_keys=True, default=str)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _made(where: Path, track: Track) -> dict | None:
    """What the store says of how a track was made, if it is there as a whole."""
    record = store.record(where, track.id)
    return None if record is None else record["tags"]["prepared"]


def _store(where: Path, task: tuple[Track, str]) -> list[Problem]:
    """Convert a track and store it, in a process of its own: (S, samples) int16, as long as the shortest stem. What was
    wrong with it: stems that could not be decoded are left out.

    A 16-bit mono file at 16 kHz comes out bit for bit. What sums, or rings in the resampling filter, beyond full scale
    would wrap around: then all stems of the track are scaled by the same constant, so that they still sum to the mix.
    """
    (track, source), sounds, problems = task, {}, []
    with _locked(where, fcntl.LOCK_SH):
        for i in range(len(track.stems)):
            try:
                sounds[i] = track.audio.read_stem(i)
            except DamagedFile as error:
                problems.append(error.problem)
        usable = keep(track, list(sounds))
        if usable is None:
            return [*problems, lost(track, len(sounds))]
        length = min(map(len, sounds.values()))  # without a damaged stem the track may be longer
        peak = max(float(np.abs(sound[:length]).max()) for sound in sounds.values())
        scale, audio = 1 / max(peak, 1.0), np.empty((len(sounds), length), np.int16)
        for row, sound in zip(audio, sounds.values(), strict=True):
            row[:] = np.clip(np.rint(sound[:length] * np.float32(scale * FULL_SCALE)), -FULL_SCALE, FULL_SCALE - 1)
        silent = [i for i, stem in enumerate(audio) if not stem.any()]
        left_out = [[problem.path.name, problem.what] for problem in problems]
        tags = usable.tags | {"prepared": {"source": source, "scale": scale, "silent": silent, "left_out": left_out}}
        about = {key: getattr(usable, key) for key in ("split", "stems", "beats", "chords", "pitched")}
        store.write_track(where, usable.id, audio, tags=tags, **about)
        return problems


def _finish(title: str, where: Path, root: Path, found: Sequence[Track], problems: list[Problem]) -> Prepared:
    """Index and report; from here on the store is there to be used."""
    made = [each for track in found if (each := _made(where, track)) is not None]
    silent = sum(len(each["silent"]) for each in made)
    problems = sorted(set(problems), key=lambda problem: (str(problem.path), problem.what))
    rows = [{"path": os.path.relpath(p.path, root), "what": p.what, "serious": p.serious} for p in problems]
    counts = {"tracks_found": len(found), "tracks_stored": len(made), "silent_stems": silent}
    _write(where / "problems.json", {"dataset": title, **counts, "problems": rows})
    if made:
        store.write_index(where, title)
    failed, serious = len(found) - len(made), [problem for problem in problems if problem.serious]
    if failed > FAILURES * len(found) or not made:
        first = min(serious, key=lambda problem: problem.path.is_dir(), default=Problem(root, "is empty"))
        what = f"{failed} of {len(found)} tracks of {title} could not be prepared, such as {first.path} {first.what}"
        raise RunError(f"{what}; the other {len(made)} are in {where}, where problems.json lists what is wrong")
    return Prepared(title, where, len(found), len(made), silent, tuple(problems))


def _write(path: Path, value: object) -> None:
    with paths.replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
