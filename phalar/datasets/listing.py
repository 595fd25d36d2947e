"""What a copy of a data set holds before it is prepared: tracks, their stems' files, and what is wrong with them.

Listing reads folders and small metadata files, never audio; it reports what it cannot use as a :class:`Problem` and
goes on. A copy may be incomplete, damaged or put together by strangers: no link to a folder is followed, and no path
is made from anything but names found in folders.
"""

import csv
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from phalar import paths
from phalar.errors import InputError

# What a split's folder is called, and the split: CocoChorales says valid, Slakh validation.
SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
METADATA_LIMIT = 1 << 20  # bytes; the longest genuine metadata file has some tens of thousands
KNOWN_FAULT = "known fault of the published data: "  # how a problem begins that a perfect copy has too


@dataclass(frozen=True)
class SourceStem:
    """One stem: a data set's own word for it (``"Bass"``, ``"kick_drum"``), and the files that are summed to it."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SourceTrack:
    """A track as a data set has it; the fields mean what they mean in :class:`phalar.datasets.tracks.Track`."""

    id: str
    split: str
    stems: tuple[SourceStem, ...]
    tags: Mapping[str, object] = field(default_factory=dict)
    beats: tuple[tuple[float, int], ...] | None = None
    chords: tuple[tuple[float, float, str], ...] | None = None
    pitched: tuple[bool, ...] | None = None

    @property
    def files(self) -> list[Path]:
        """Of all stems, each once."""
        return list(dict.fromkeys(file for stem in self.stems for file in stem.files))

    def keep(self, kept: Sequence[int]) -> "SourceTrack":
        """Some of the stems. A tag that is a list as long as there are stems tells of each, and follows."""

        def of_kept(value: object) -> object:
            each = isinstance(value, list | tuple) and len(value) == len(self.stems)
            return type(value)(value[i] for i in kept) if each else value

        tags = {key: of_kept(value) for key, value in self.tags.items()}
        return replace(self, stems=of_kept(self.stems), tags=tags, pitched=of_kept(self.pitched))


@dataclass(frozen=True)
class Problem:
    """Something not used (``fatal``), or used all the same although it departs from the published layout."""

    path: Path
    what: str
    fatal: bool = True

    @property
    def serious(self) -> bool:
        """Whether this keeps a copy from being whole; faults that the published data have do not."""
        return self.fatal and not self.what.startswith(KNOWN_FAULT)


@dataclass(frozen=True)
class Listing:
    """What was found under a root: usable tracks in order of their ids, and the problems met."""

    dataset: str
    tracks: tuple[SourceTrack, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Dataset:
    """A real data set: a row of :data:`phalar.datasets.prepare.DATASETS`.

    ``name`` is that of the command line; ``title`` to ``citation`` are for people; ``expected`` has the tracks of each
    split in a whole copy. ``list(root, **options)`` gives the Listing of a copy, or raises InputError saying what was
    expected; ``options`` has the default and the help of each of its options.
    """

    name: str
    title: str
    licence: str
    size: str
    source: str
    citation: str
    expected: Mapping[str, int]
    list: Callable[..., Listing]
    options: Mapping[str, tuple[object, str]] = field(default_factory=dict)


class Found(NamedTuple):
    """A track's folder."""

    name: str
    split: str
    path: Path


class Survey:
    """A copy of a data set while it is looked through, with the problems met so far; an InputError if there is none."""

    def __init__(self, root: Path | str) -> None:
        self.root, self.problems = Path(root), []
        if not self.root.is_dir():
            raise InputError(f"{root} is not a folder: give the one that the data set was unpacked into")
        if not os.access(root, os.R_OK | os.X_OK):
            raise InputError(f"{root} cannot be read: you need the right to read it and to enter it")

    def leave_out(self, path: Path, why: str) -> None:
        """Report what is not used."""
        self.problems.append(Problem(path, why))

    def note(self, path: Path, what: str) -> None:
        """Report what departs from the published layout, and is used all the same."""
        self.problems.append(Problem(path, what, fatal=False))

    def entries(self, folder: Path) -> tuple[list[str], list[str]]:
        """Names of the subfolders and of the regular files in a folder, sorted; none, if there is no such folder.

        Hidden names are passed over (macOS leaves ``._*`` beside every file). A link to a regular file counts as a file
        of the link's name, as the caches of model hubs have them. No link to a folder is followed: it could lead in
        circles, or show one track under two names.
        """
        folders, files = [], []
        try:
            for entry in os.scandir(folder):
                if entry.name.startswith("."):
                    continue
                if os.path.isfile(entry.path):  # neither pipe nor device: reading those would never end
                    files.append(entry.name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_symlink():
                    self.leave_out(Path(entry.path), "is a link to no regular file, so it is not followed")
        except FileNotFoundError:
            pass
        except OSError as error:
            self.leave_out(folder, f"cannot be read ({error.strerror})")
        return sorted(folders), sorted(files)

    def audio(self, folder: Path, extensions: tuple[str, ...] = (".wav", ".flac")) -> dict[str, Path]:
        """Audio files in a folder by name without extension; of several formats, the first of ``extensions``."""
        names = [] if folder.is_symlink() else [os.path.splitext(name) for name in self.entries(folder)[1]]
        found = [(stem, end) for stem, end in names if end.lower() in extensions]
        found.sort(key=lambda name: extensions.index(name[1].lower()), reverse=True)  # so that the first comes last
        chosen = {stem: folder / (stem + end) for stem, end in found}
        if spare := len(found) - len(chosen):
            self.note(folder, f"holds {spare} of its stems twice, in several formats: one of each is used")
        return dict(sorted(chosen.items()))

    def text(self, path: Path) -> str:
        """A metadata file as text, whatever bytes are in it; "", and a note, if it cannot be had."""
        with suppress(OSError):
            if path.is_file() and path.stat().st_size <= METADATA_LIMIT:
                return path.read_bytes().decode("utf-8-sig", errors="replace")
        self.note(path, "is not there or cannot be read as metadata: names are taken from the files alone")
        return ""

    def json(self, path: Path) -> dict:
        """A metadata file that holds one JSON object; empty, and a note, if it does not."""
        with suppress(ValueError, RecursionError):
            if isinstance(value := json.loads(self.text(path)), dict):
                return value
        self.note(path, "holds no JSON object: names are taken from the files alone")
        return {}

    def locate(self, holds: Callable[[list[str]], bool], layout: str) -> Path:
        """The folder whose subfolders are as they should: the root, or one at most two levels below. An InputError if
        there is none, or several on the same level."""
        scout, level = Survey(self.root), [self.root]  # what is met on the way down is not part of the data set
        for _ in range(3):
            seen = {place: scout.entries(place)[0] for place in level}
            places = [place for place, folders in seen.items() if holds(folders)]
            if len(places) > 1:
                raise InputError(f"{self.root} holds several copies (such as {places[0]}): name one of them")
            if places:
                return places[0]
            # A folder of folders without end is no archive's outer level.
            level = [place / name for place, folders in seen.items() for name in folders][:100]
        raise InputError(f"{self.root} does not look like this data set: expected {layout}")

    def tracks(self, pattern: str, layout: str, split_of: Callable[[str], str | None] | None = None) -> list[Found]:
        """Folders whose names match: those in the folders of splits, in order of splits, and those beside them.

        No track may be in two splits, so the same name in a second folder is left out. ``split_of`` gives the split of
        a track beside the folders, None if it has none; without it such tracks are not looked for. ``layout`` says what
        was expected where there is no track, which is an InputError.
        """
        like = re.compile(pattern, re.IGNORECASE)

        def beside(name: str) -> bool:
            return split_of is not None and name.lower() not in SPLIT_FOLDERS and like.fullmatch(name) is not None

        place = self.locate(lambda names: any(name.lower() in SPLIT_FOLDERS or beside(name) for name in names), layout)
        folders, order = self.entries(place)[0], list(SPLIT_FOLDERS)
        splits = sorted((name for name in folders if name.lower() in order), key=lambda name: order.index(name.lower()))
        found: dict[str, Found] = {}
        for folder, name in ((each, name) for each in splits for name in self.entries(place / each)[0]):
            path = place / folder / name
            if not like.fullmatch(name):
                self.leave_out(path, "has no track's name, so it is none")
            elif name in found:
                self.leave_out(path, f"is in another split too, as {found[name].path}: only that one is used")
            else:
                found[name] = Found(name, SPLIT_FOLDERS[folder.lower()], path)
        for name in filter(beside, folders):
            if name in found:
                self.leave_out(place / name, "is in a split's folder too: only that one is used")
            elif split := split_of(name):
                found[name] = Found(name, split, place / name)
            else:
                self.leave_out(place / name, "is none of the published tracks, so it has no split")
        if not found:
            raise InputError(f"{place} holds no track: expected {layout}")
        return list(found.values())

    def track(
        self, found: Found, stems: Iterable[tuple[str, Iterable[Path]]], pitched: Iterable[bool] | None = None, **tags
    ) -> SourceTrack | None:
        """A track of two stems or more, each a name and its files; None, and a problem, if it has fewer."""
        stems = tuple(SourceStem(printable(name).strip() or "unknown", tuple(files)) for name, files in stems)
        if len(stems) < 2:
            self.leave_out(found.path, f"usable stems: {len(stems)}, where a track needs at least two")
            return None
        tags = {"title": printable(found.name)} | tags
        return SourceTrack(found.name, found.split, stems, tags, pitched=None if pitched is None else tuple(pitched))

    def listing(self, dataset: str, tracks: Iterable[SourceTrack | None]) -> Listing:
        """The result: tracks under ids that can name files, in order of these."""
        tracks = [track for track in tracks if track]
        ids = track_ids(track.id for track in tracks)
        tracks = sorted((replace(track, id=ids[track.id]) for track in tracks), key=lambda track: track.id)
        return Listing(dataset, tuple(tracks), tuple(dict.fromkeys(self.problems)))


def one_of(option: str, value: str, choices: Iterable[str]) -> None:
    """Refuse a value that is no choice."""
    if value not in choices:
        raise InputError(f"{option}={value!r} is none of {', '.join(choices)}")


def track_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each of these different names, fit to name a file: ASCII letters, digits and ``. _ -``.

    Accents are dropped, and every other character becomes ``_``. Names that would come out alike, or alike but for
    case, get a digest of the name; so does a very long one, cut short.
    """
    plain = {name: unicodedata.normalize("NFKD", name) for name in names}
    plain = {name: "".join(c for c in text if not unicodedata.combining(c)) for name, text in plain.items()}
    slugs = {name: re.sub(r"^\.|[^A-Za-z0-9._-]", "_", text) for name, text in plain.items()}
    count = Counter(slug.lower() for slug in slugs.values())
    digests = {name: blake2b(name.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest() for name in slugs}
    return {
        name: slug if count[slug.lower()] == 1 and len(slug) <= 120 else f"{slug[:100]}-{digests[name]}"
        for name, slug in slugs.items()
    }


def printable(name: str) -> str:
    """A name as text that can be written anywhere: what is not Unicode in a file's name or in JSON becomes ``?``."""
    return name.encode("utf-8", "replace").decode()


@cache
def published(dataset: str) -> dict[str, str]:
    """What was published of single tracks and stems, by id: a song's split, or a fault (the table published.csv)."""
    with (paths.PACKAGE / "datasets" / "published.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["what"] for row in csv.DictReader(file) if row["dataset"] == dataset}
