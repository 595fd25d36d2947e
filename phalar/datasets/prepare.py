"""Real data sets: check a copy, and turn it into a store that is read at memory speed.

A store is named after its data set and the options that are not the usual ones: ``slakh2100``, ``guitarset-mode-solo``;
any folder of multitracks after itself: ``folder-my_songs``. A track is in it as a whole or not at all, so a run that is
started again goes on where the last one ended. Its bytes depend on the data set alone. Book page *Real data sets*.
"""

import fcntl
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from tqdm import tqdm

from phalar import paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets import real, store
from phalar.datasets.files import DamagedFile, Problem, read_length, read_sound
from phalar.datasets.listing import Dataset, Listed, Stem, file_name
from phalar.datasets.store import FULL_SCALE, in_processes
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError, RunError

_SETS = yaml.safe_load(Path(__file__).with_name("sets.yaml").read_text(encoding="utf-8"))
DATASETS = {name: Dataset(name, getattr(real, name), **about) for name, about in _SETS.items()}
"""The real data sets that can be used, by name, in the order of the book; last, any folder of multitracks."""

VERSION = 3  # raised whenever the same files would come out as other bytes
FAILURES = 0.05  # share of the tracks that may fail before the whole counts as failed: more is a bad copy
SHORTEST_SHARE = 0.5  # of its track's longest stem: a shorter one is taken for one cut short, and left out


def dataset(name: str) -> Dataset:
    """The data set of this name, or an InputError that lists those there are."""
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(DATASETS)}")
    return DATASETS[name]


def names() -> list[str]:
    """Of all stores that are finished."""
    return sorted(place.parent.name for place in (paths.cache() / "datasets").glob("*/index.json"))


def folder(name: str) -> Path:
    """Where the store of this name is, or will be."""
    return paths.cache() / "datasets" / name


def load(name: str, split: str | None = None, *, limit: int | None = None) -> list[Track]:
    """The tracks of a prepared data set (one of :func:`names`), in order of their ids, at 16 kHz; of all splits if none
    is given. With ``limit`` at most so many of each split, always the same, and not the first by name, which are often
    alike. An InputError if it is not prepared, or for another split or limit; a RunError if the store is damaged."""
    if split not in (None, *SPLITS):
        raise InputError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: at least one track of each split is needed")
    if name not in names():
        there = ", ".join(names()) or "none"
        raise InputError(f"{name} is not prepared: run `phalar datasets prepare NAME ROOT` (prepared so far: {there})")
    tracks = sorted(store.open_store(folder(name)), key=lambda track: blake2b(track.id.encode()).digest())
    parts = ([track for track in tracks if track.split == each][:limit] for each in (split and [split]) or SPLITS)
    return sorted(chain.from_iterable(parts), key=lambda track: track.id)


class Summary(NamedTuple):
    """Of a copy or a store, by its name: usable tracks by split, and those of a whole copy (empty where nothing is
    expected); and all that is missing or was left out."""

    name: str
    found: dict[str, int]
    expected: dict[str, int]
    problems: list[Problem]


def check(name: str, root: Path | str, options: Mapping | None = None, *, progress: bool = False) -> Summary:
    """Look through a copy of a data set, without changing anything in it: folders, metadata, headers and the last frame
    of each file. Damage in the middle of a file shows when it is decoded, by :func:`prepare`; arguments as there."""
    expected, (tracks, problems) = dict(dataset(name).expected), dataset(name).list(root, **options or {})
    found = Counter(dict.fromkeys(expected, 0))
    for track in tqdm(tracks, f"checking {name}", disable=not progress):
        stems, wrong = _usable(track, read_length, int)
        found[track.split] += bool(stems)
        problems += wrong
    return Summary(name, dict(found), expected, problems)


def _usable(track: Listed, read: Callable, length: Callable) -> tuple[dict[Stem, object], list[Problem]]:
    """The usable stems of a track, with what ``read`` makes of each file, ``length`` samples long; and what is wrong. A
    stem is left out if its file is damaged, or shorter than half of the track's longest, since a track is as long as
    its shortest. There are none if too few are left: two make a pair, and a single recording is whole as it is."""
    stems, problems = {}, []
    for stem in track.stems:
        try:
            stems[stem] = read(stem.file)
        except DamagedFile as error:
            problems.append(error.problem)
    seconds = {stem: length(sound) / SAMPLE_RATE for stem, sound in stems.items()}
    longest = max(seconds.values(), default=0)
    for stem in [stem for stem in stems if seconds[stem] < SHORTEST_SHARE * longest]:
        what = f"only {seconds[stem]:.2f} s long where another stem has {longest:.2f} s: left out"
        problems.append(Problem(stem.file, what))
        del stems[stem]
    if len(stems) < min(2, len(track.stems)):
        what = f"track {track.id} left out: {len(stems)} of its {len(track.stems)} stems are usable"
        return {}, [*problems, Problem(track.place, what)]
    return stems, problems


def prepare(
    name: str, root: Path | str, options: Mapping | None = None, *, jobs: int | None = None, progress: bool = True
) -> Summary:
    """Turn a copy of a data set (a key of :data:`DATASETS`), which is only read, into a store of 16 kHz mono stems, as
    far as that is not done yet. A damaged stem is left out and reported, and its track kept if two others are left.
    Tracks that were damaged, or whose files changed, are tried again each time. ``jobs``: processes, by default one for
    each processor. An InputError if there is no such data set or option, or ``root`` holds nothing of the kind; a
    RunError if the store cannot be written, or more than 5 % of the tracks failed (the others are stored)."""
    root, known, expected = Path(root), dataset(name).options, dict(dataset(name).expected)
    chosen = {key: value for key, value in (options or {}).items() if value not in known.get(key, ())[:1]}
    tracks, problems = dataset(name).list(root, **chosen)
    words = [f"folder-{root.resolve().name}" if name == "folder" else name]
    words += [f"{key}-{value}" for key, value in sorted(chosen.items()) if known[key]]  # but for folders
    where = folder(file_name("-".join(words)))
    where.mkdir(parents=True, exist_ok=True)
    with (where / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run at a time; a second waits, and then finds the work done
        store.sweep(where, older_than=0)  # nobody else is writing
        fcntl.flock(lock, fcntl.LOCK_SH)  # the processes that fill the store hold it too
        kept = {track.id: (store.record(where, track.id) or {}).get("tags", {}).get("source") for track in tracks}
        tasks = [(track, source) for track in tracks if (source := _digest(root, track)) != kept[track.id]]
        try:
            with closing(in_processes(partial(_store, where), tasks, jobs)) as done:
                for (track, _), outcome in tqdm(done, f"preparing {where.name}", len(tasks), disable=not progress):
                    if isinstance(outcome, OSError):  # the disk is full or gone: the next track would fare no better
                        what = f"track {track.id} could not be stored in {where}: {outcome}"
                        raise RunError(f"{what}; what is done is kept, run the same command to go on") from outcome
                    if isinstance(outcome, Exception):  # whatever is the matter with this track, others follow
                        what = f"track {track.id} left out: {type(outcome).__name__}: {outcome}"
                        outcome = [Problem(track.place, what)]
                    problems += outcome
        finally:
            store.sweep(where, older_than=0)
        problems.sort()
        with paths.replacing(where / "problems.json") as file:
            file.write_text(json.dumps([[os.path.relpath(path, root), what] for path, what in problems], indent=1))
        stored = [track for track in tracks if store.record(where, track.id)]
        if stored:
            store.write_index(where, where.name, ids=[track.id for track in stored])
    failed = len(tracks) - len(stored)
    if failed > FAILURES * len(tracks) or not stored:
        first = " ".join(map(str, min(problems, key=lambda problem: problem.path.is_dir())))
        what = f"{failed} of {len(tracks)} tracks of {where.name} could not be prepared, such as {first}"
        raise RunError(f"{what}; the other {len(stored)} are in {where}, where problems.json lists what is wrong")
    return Summary(where.name, dict(Counter(track.split for track in stored)), expected, problems)


def _digest(root: Path, track: Listed) -> str:
    """Of all that a stored track depends on but samples, wherever the copy lies; kept in it, if all stems are."""
    stems = [stem._replace(file=[os.path.relpath(stem.file, root), stem.file.stat().st_size]) for stem in track.stems]
    about = [VERSION, store.FORMAT, track._replace(place=None, stems=stems)]
    text = json.dumps(about, sort_keys=True, default=np.ndarray.tolist)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _store(where: Path, task: tuple[Listed, str]) -> list[Problem]:
    """Convert a track and store it, in a process of its own: (S, samples) int16, as long as the shortest stem. What was
    wrong with it. A 16-bit mono file at 16 kHz comes out bit for bit. What rings in the resampling filter beyond full
    scale would wrap around: then all stems are scaled by the same constant, so that they still sum to the mix."""
    track, source = task
    with (where / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        sounds, problems = _usable(track, read_sound, len)
        if not sounds:
            return problems
        length = min(map(len, sounds.values()))
        peak = max(np.abs(sound[:length]).max() for sound in sounds.values())
        scale, audio = np.float32(FULL_SCALE / max(peak, 1)), np.empty((len(sounds), length), np.int16)
        for row, sound in zip(audio, sounds.values(), strict=True):
            row[:] = np.clip(np.rint(sound[:length] * scale), -FULL_SCALE, FULL_SCALE - 1)
        stems, _, pitched, kinds = zip(*sounds, strict=True)
        tags = {"title": track.name} | track.tags | {"source": None if problems else source}
        tags |= {"stem_names": kinds} if any(kinds) else {}
        text = json.dumps([stems, tags], ensure_ascii=False).encode("utf-8", "replace")  # files' names may be no text
        stems, tags = json.loads(text)
        about = {"split": track.split, "stems": stems, "beats": track.beats, "chords": track.chords}
        about["pitched"] = None if None in pitched else pitched
        store.write_track(where, track.id, audio, tags=tags, **about)
        return problems
