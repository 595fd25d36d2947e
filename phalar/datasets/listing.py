"""A copy of a data set, looked through: folders and names, small metadata files, never audio.

All data sets are folders of tracks, with or without folders for the splits above them. What cannot be used is reported,
and the rest is listed: copies may be incomplete, damaged or put together by strangers, so no link to a folder is
followed, and no path is made from anything but names found in folders. Book page *Real data sets*.
"""

import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phalar import paths
from phalar.datasets.files import Problem
from phalar.errors import InputError

# What a split's folder is called, and the split: CocoChorales says valid, Slakh validation.
SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
FORMATS = (".wav", ".flac", ".aiff", ".aif", ".au", ".ogg", ".mp3")  # endings of audio files, the most exact first
LARGEST = 16 << 20  # bytes of a file of metadata or annotations; GuitarSet has 1.7 MB for a take of 22 s
DEPTH = 2  # levels of folders between a root and its splits or tracks


class Stem(NamedTuple):
    """A stem as a file: what plays, whether it has a pitch (None if that is not known), and the kind that it is of."""

    name: str
    file: Path
    pitched: bool | None = None
    kind: str = ""


class Listed(NamedTuple):
    """A track as it lies in a copy: its name, its folder or file, and as in :class:`phalar.datasets.tracks.Track`."""

    name: str
    split: str
    place: Path
    stems: Sequence[Stem] = ()
    tags: Mapping[str, object] = {}
    beats: np.ndarray | None = None
    chords: Sequence[tuple[float, float, str]] | None = None

    @property
    def id(self) -> str:
        """The name, as one that any file can have."""
        return file_name(self.name)


class Copy:
    """A copy of a data set while it is looked through: any folder above its tracks; with the problems met so far."""

    def __init__(self, root: Path | str) -> None:
        self.root, self.problems = Path(root), []
        if not self.root.is_dir():
            raise InputError(f"{root} is not a folder: give the one that the data set was unpacked into")

    def report(self, path: Path, what: str) -> None:
        """Something is missing or not used."""
        self.problems.append(Problem(path, what))

    def missing(self, place: Path, names: Iterable[str], found: Iterable[str]) -> None:
        """Report those of these names that were not found, if any."""
        if absent := sorted({*names} - {*found}):
            self.report(place, f"lacks {len(absent)} of its stems: {', '.join(absent)[:80]!r}")

    def entries(self, folder: Path) -> tuple[list[str], list[str]]:
        """Names of the subfolders and of the regular files in a folder, sorted; none, if there is no such folder.
        Hidden names are passed over (macOS leaves ``._*`` beside every file). A link to a regular file counts as one
        (model hubs' caches are made of them); no link to a folder is followed, which could lead in circles."""
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name) if folder.is_dir() else []
        entries = [entry for entry in entries if not entry.name.startswith(".")]
        files = [entry.name for entry in entries if os.path.isfile(entry.path)]  # reading pipes or devices never ends
        for entry in entries:
            if entry.is_symlink() and entry.name not in files:
                self.report(Path(entry.path), "is a link to no regular file, so it is not followed")
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)], files

    def audio(self, folder: Path, pattern: str = ".+") -> dict[str, Path]:
        """Audio files in a folder whose names without extension match, by these; of :data:`FORMATS` the first."""
        names = [] if folder.is_symlink() else [os.path.splitext(name) for name in self.entries(folder)[1]]
        names = [each for each in names if each[1].lower() in FORMATS and re.fullmatch(pattern, each[0], re.DOTALL)]
        names.sort(key=lambda each: (each[0], -FORMATS.index(each[1].lower())))  # the best comes last, and stays
        return {name: folder / (name + end) for name, end in names}

    def read(self, path: Path, parse: Callable[[str], object], otherwise: object = None) -> object:
        """What ``parse`` makes of the text of a file of metadata or annotations; if it cannot, that is reported."""
        try:
            if not path.is_file() or path.stat().st_size > LARGEST:
                raise InputError(f"no regular file of at most {LARGEST >> 20} MB")
            return parse(path.read_bytes().decode("utf-8-sig", errors="replace"))
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            self.report(path, f"cannot be read ({type(error).__name__}: {error!s:.99}): what it tells is not known")
            return otherwise

    def tracks(self, pattern: str, split_of: Callable[[str], str | None] = lambda _: None) -> list[Listed]:
        """Folders whose names match, in folders of splits or beside them, at most so deep below the root. No track may
        be in two splits, so the same name in a second folder is left out. ``split_of`` gives the split of a track in no
        split's folder; those that have none are left out."""
        found, places = {}, [(self.root, None, DEPTH)]
        for place, split, depth in places:
            for name in self.entries(place)[0]:
                path = place / name
                if split is None and name.lower() in SPLIT_FOLDERS:
                    places.append((path, SPLIT_FOLDERS[name.lower()], 0))
                elif re.fullmatch(pattern, name, re.IGNORECASE) and (own := split or split_of(name)):
                    if name in found:
                        self.report(path, f"is there already, as {found[name].place}: only that one is used")
                    found.setdefault(name, Listed(name, own, path))
                elif depth:
                    places.append((path, None, depth - 1))
        return list(found.values())

    def files(self, pattern: str) -> dict[str, Path]:
        """Files whose names match, at most so deep below the root, by the pattern's first group, sorted."""
        found, places = {}, [(self.root, DEPTH + 1)]
        for place, depth in places:
            folders, names = self.entries(place)
            matches = ((place / name, re.fullmatch(pattern, name)) for name in names)
            found = {match[1]: path for path, match in matches if match} | found
            places += [(place / name, depth - 1) for name in folders if depth]
        return dict(sorted(found.items()))


@dataclass(frozen=True)
class Dataset:
    """A real data set: what ``sets.yaml`` has of it, and ``tracks(copy, **options)``, which finds those of a copy."""

    name: str
    tracks: Callable[..., Iterator[Listed]]
    title: str
    licence: str
    source: str
    layout: str
    expected: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    least: int = 2

    def list(self, root: Path | str, **options) -> tuple[list[Listed], list[Problem]]:
        """What a copy holds, by folders and names: its tracks, in order of their ids, and the problems. An InputError
        if there is no such option or value, or ``root`` holds nothing of the kind."""
        for option, value in options.items():
            choices = self.options.get(option)
            if choices is None or (choices and value not in choices):
                there = dict(self.options) or "none"
                raise InputError(f"{self.name} does not take {option}={value!r}: its options are {there}")
        copy = Copy(root)
        found = sorted(self.tracks(copy, **options), key=lambda track: track.id)
        if not found:
            raise InputError(f"{root} does not look like {self.title}: expected {self.layout}")
        for track in found:
            if len(track.stems) < self.least:
                copy.report(track.place, f"usable stems: {len(track.stems)}, where a track needs {self.least}")
        return [track for track in found if len(track.stems) >= self.least], copy.problems


def file_name(name: str) -> str:
    """A name that any file can have: ASCII letters, digits and ``. _ -``. If others must be replaced, or it is very
    long, a digest of the name follows, so that different names stay different."""
    plain = re.sub(r"^\.|[^A-Za-z0-9._-]", "_", name)[:100]
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return plain if plain == name else f"{plain}-{digest}"


@cache
def published(dataset: str) -> dict[str, str]:
    """What was published of single tracks and stems, by id: a song's split, or a fault (the table published.csv). Songs
    of MoisesDB have the first eight digits of their ids and the split that PHALAR and COCOLA make: the sorted ids were
    shuffled by Python's generator seeded with 42, and cut after 80 % and 90 %."""
    with (paths.PACKAGE / "datasets" / "published.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["what"] for row in csv.DictReader(file) if row["dataset"] == dataset}
