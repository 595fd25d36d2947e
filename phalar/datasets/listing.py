"""A copy of a data set, looked through: folders and names, small metadata files, never audio.

All data sets are folders of tracks, with or without folders for the splits above them. They differ in how a track is
named, which of its files are stems, and what its metadata tell: each is a function with a row of what to know about it
above (:class:`Dataset`). What cannot be used is reported, and the rest is listed: copies may be incomplete, damaged or
put together by strangers, so no link to a folder is followed, and no path is made from anything but names found in
folders. Book page *Real data sets*.
"""

import csv
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

from phalar import paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets.files import NOTE, FileAudio, Listing, Problem
from phalar.datasets.tracks import Track
from phalar.errors import InputError

# What a split's folder is called, and the split: CocoChorales says valid, Slakh validation.
SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
LARGEST = 16 << 20  # bytes of a file of metadata or annotations; GuitarSet has 1.7 MB for a take of 22 s
DEPTH = 2  # levels of folders between a root and its splits or tracks

Value = TypeVar("Value")


class Found(NamedTuple):
    """A track's folder, or its one file."""

    name: str
    split: str
    path: Path


class Copy:
    """A copy of a data set while it is looked through: any folder above its tracks; with the problems met so far."""

    def __init__(self, root: Path | str) -> None:
        self.root, self.problems = Path(root), []
        if not self.root.is_dir():
            raise InputError(f"{root} is not a folder: give the one that the data set was unpacked into")

    def report(self, path: Path, what: str) -> None:
        """Something is not used; or all the same, if ``what`` begins with NOTE or KNOWN_FAULT."""
        self.problems.append(Problem(path, what))

    def entries(self, folder: Path) -> tuple[list[str], list[str]]:
        """Names of the subfolders and of the regular files in a folder, sorted; none, if there is no such folder.

        Hidden names are passed over (macOS leaves ``._*`` beside every file). A link to a regular file counts as a file
        of the link's name, as the caches of model hubs have them. No link to a folder is followed: it could lead in
        circles, or show one track under two names.
        """
        folders, files = [], []
        try:
            for entry in (each for each in os.scandir(folder) if not each.name.startswith(".")):
                if os.path.isfile(entry.path):  # neither pipe nor device: reading those would never end
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_symlink():
                    self.report(Path(entry.path), "is a link to no regular file, so it is not followed")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.report(folder, f"cannot be read ({error.strerror})")
        return sorted(folders), sorted(files)

    def audio(
        self, folder: Path, pattern: str = ".+", extensions: Sequence[str] = (".wav", ".flac")
    ) -> dict[str, Path]:
        """Audio files in a folder whose names without extension match, by these names; of several formats, the first of
        ``extensions``."""
        names = [] if folder.is_symlink() else [os.path.splitext(name) for name in self.entries(folder)[1]]
        found = [
            (stem, end) for stem, end in names if end.lower() in extensions and re.fullmatch(pattern, stem, re.DOTALL)
        ]
        found.sort(key=lambda name: extensions.index(name[1].lower()), reverse=True)  # so that the first comes last
        chosen = {stem: folder / (stem + end) for stem, end in found}
        if spare := len(found) - len(chosen):
            self.report(folder, f"{NOTE}holds {spare} of its stems twice, in several formats: one of each is used")
        return dict(sorted(chosen.items()))

    def read(self, path: Path, parse: Callable[[str], Value], otherwise: Value = None) -> Value:
        """What ``parse`` makes of the text of a file of metadata or annotations; if it cannot, that is reported."""
        try:
            if not path.is_file() or path.stat().st_size > LARGEST:
                raise InputError(f"no regular file of at most {LARGEST >> 20} MB")
            return parse(path.read_bytes().decode("utf-8-sig", errors="replace"))
        except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
            self.report(path, f"cannot be read ({type(error).__name__}: {error!s:.99}): what it tells is not known")
            return otherwise

    def tracks(self, pattern: str, layout: str, split_of: Callable[[str], str | None] | None = None) -> list[Found]:
        """Folders whose names match, in folders of splits or beside them, at most so deep below the root.

        No track may be in two splits, so the same name in a second folder is left out. ``split_of`` gives the split of
        a track in no split's folder, None if it has none; without it such tracks are not looked for. ``layout`` says
        what was expected where there is no track, which is an InputError.
        """
        found, places = {}, [(self.root, None, DEPTH)]
        for place, split, depth in places:
            for name in self.entries(place)[0]:
                path = place / name
                if split is None and name.lower() in SPLIT_FOLDERS:
                    places.append((path, SPLIT_FOLDERS[name.lower()], 0))
                elif re.fullmatch(pattern, name, re.IGNORECASE) and (split or split_of):
                    own = split or split_of(name)
                    if name in found:
                        self.report(path, f"is there already, as {found[name].path}: only that one is used")
                    elif own is None:
                        self.report(path, "is none of the published tracks, so it has no split")
                    else:
                        found[name] = Found(name, own, path)
                elif split:
                    self.report(path, "has no track's name, so it is none")
                elif depth and name != "omitted":  # of Slakh: pieces that are there twice
                    places.append((path, None, depth - 1))
        return list(self._any(found, layout).values())

    def files(self, pattern: str, layout: str) -> dict[str, Path]:
        """Files whose names match, at most so deep below the root, by the pattern's first group; else as `tracks`."""
        found, places = {}, [(self.root, DEPTH + 1)]
        for place, depth in places:
            folders, names = self.entries(place)
            matches = ((place / name, re.fullmatch(pattern, name)) for name in names)
            found = {match[1]: path for path, match in matches if match} | found
            places += [(place / name, depth - 1) for name in folders if depth]
        return dict(sorted(self._any(found, layout).items()))

    def _any(self, found: dict, layout: str) -> dict:
        if not found:
            raise InputError(f"{self.root} does not look like this data set: expected {layout}")
        return found

    def track(
        self, found: Found, stems: Sequence[tuple[str, Sequence[Path]]], tags: dict, least: int = 2, **annotations
    ) -> Track | None:
        """A track as its files lie there, of unknown length, each stem a name and the files that it is the sum of;
        None, and a problem, if there are fewer than ``least``."""
        if len(stems) < least:
            self.report(found.path, f"usable stems: {len(stems)}, where a track needs at least two")
            return None
        names = tuple(printable(name).strip() or "unknown" for name, _ in stems)
        audio, tags = FileAudio(tuple(tuple(files) for _, files in stems)), {"title": printable(found.name)} | tags
        return Track(found.name, "", found.split, names, SAMPLE_RATE, 0, audio, tags, **annotations)


@dataclass(frozen=True)
class Dataset:
    """A real data set: a decorator for ``tracks(copy, **options)``, the function that finds the tracks of a copy.

    Its ``name``, that of the command line, is the function's; ``title`` to ``citation`` are for people; ``expected``
    has the tracks of each split in a whole copy; ``options`` the default and the help of each option of the function.
    """

    title: str
    licence: str
    size: str
    source: str
    citation: str
    expected: Mapping[str, int] = field(default_factory=dict)
    options: Mapping[str, tuple[object, str]] = field(default_factory=dict)
    name: str = ""
    tracks: Callable[..., Iterator[Track | None]] | None = None

    def __call__(self, tracks: Callable[..., Iterator[Track | None]]) -> "Dataset":
        return replace(self, name=tracks.__name__, tracks=tracks)

    def list(self, root: Path | str, **options) -> Listing:
        """What a copy holds, by folders and names: its tracks, in order of ids that can name files, and the problems.
        An InputError if there is no such option or value, or ``root`` holds nothing of the kind."""
        if wrong := [option for option in options if option not in self.options]:
            there = ", ".join(self.options) or "none"
            raise InputError(f"{self.name} has no option {wrong[0]!r}: its options are {there}")
        copy = Copy(root)
        tracks = [track for track in self.tracks(copy, **options) if track]
        ids = track_ids(track.id for track in tracks)
        tracks = [replace(track, id=ids[track.id], dataset=self.name) for track in tracks]
        tracks.sort(key=lambda track: track.id)
        return Listing(self.name, tuple(tracks), tuple(dict.fromkeys(copy.problems)))


def one_of(option: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is no choice."""
    if value not in choices:
        raise InputError(f"{option}={value!r} is none of {', '.join(choices)}")


def track_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each of these different names, fit to name a file: ASCII letters, digits and ``. _ -``.

    Accents are dropped, and every other character becomes ``_``. Names that would come out alike, or alike but for
    case, get a digest of the name; so does a very long one, cut short.
    """
    slugs = {}
    for name in names:
        plain = "".join(each for each in unicodedata.normalize("NFKD", name) if not unicodedata.combining(each))
        slugs[name] = re.sub(r"^\.|[^A-Za-z0-9._-]", "_", plain)
    count = Counter(slug.lower() for slug in slugs.values())
    for name, slug in slugs.items():
        if count[slug.lower()] > 1 or len(slug) > 120:
            digest = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
            slugs[name] = f"{slug[:100]}-{digest}"
    return slugs


def printable(name: str) -> str:
    """A name as text that can be written anywhere: what is not Unicode in a file's name or in JSON becomes ``?``."""
    return name.encode("utf-8", "replace").decode()


@cache
def published(dataset: str) -> dict[str, str]:
    """What was published of single tracks and stems, by id: a song's split, or a fault (the table published.csv).

    Songs of MoisesDB have the first eight digits of their ids and the split that PHALAR and COCOLA make: the sorted ids
    were shuffled by Python's generator seeded with 42, and cut after 80 % and 90 %: 192, 24 and 24.
    """
    with (paths.PACKAGE / "datasets" / "published.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["what"] for row in csv.DictReader(file) if row["dataset"] == dataset}
