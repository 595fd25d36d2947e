"""Looking through a copy of a data set without harm: what all listings share.

A copy may be incomplete, damaged or put together by strangers. Nothing here opens audio, follows a link out of the
copy or into a folder, or makes a path from anything but names found in folders.
"""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from phalar.datasets.sources import Listing, Problem, SourceStem, SourceTrack
from phalar.errors import InputError

SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
"""What a split's folder is called, and the split. CocoChorales says valid, Slakh validation."""

METADATA_LIMIT = 1 << 20
"""Bytes. The longest genuine metadata file has some tens of thousands."""

KNOWN_FAULT = "known fault of the published data: "
"""How a problem begins that a perfect copy has too."""


class Entries(NamedTuple):
    """Names in a folder, sorted, without those that begin with a dot (macOS leaves ``._*`` beside every file)."""

    folders: list[str]
    files: list[str]


class Found(NamedTuple):
    """A track's folder."""

    name: str
    split: str
    path: Path


@dataclass
class Survey:
    """A copy of a data set while it is looked through.

    Attributes
    ----------
    root : Path
        Its folder; nothing outside is read.
    problems : list of Problem
        What could not be used so far, in the order in which it was met.
    """

    root: Path
    problems: list[Problem]

    def leave_out(self, path: Path, why: str) -> None:
        """Report what is not used."""
        self.problems.append(Problem(path, why))

    def note(self, path: Path, what: str) -> None:
        """Report what departs from the published layout, and is used all the same."""
        self.problems.append(Problem(path, what, fatal=False))

    def entries(self, folder: Path) -> Entries:
        """What is in a folder: subfolders and regular files.

        A link to a file within the root counts as that file. No link to a folder is followed: it could lead in circles,
        or show one track under two names.
        """
        folders, files = [], []
        try:
            with os.scandir(folder) as found:
                for entry in found:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        if self._usable_link(Path(entry.path)):
                            files.append(entry.name)
                    elif entry.is_dir():
                        folders.append(entry.name)
                    elif entry.is_file():  # neither pipe nor device: reading those would never end
                        files.append(entry.name)
        except OSError as error:
            self.leave_out(folder, f"cannot be read ({error.strerror})")
        return Entries(sorted(folders), sorted(files))

    def _usable_link(self, path: Path) -> bool:
        target = os.path.realpath(path)
        if not Path(target).is_relative_to(os.path.realpath(self.root)):
            self.leave_out(path, f"is a link out of {self.root}, which is not followed: put what it leads to here")
        elif os.path.isdir(target):
            self.leave_out(path, "is a link to a folder, which is not followed: put the folder itself here")
        elif not os.path.isfile(target):
            self.leave_out(path, "is a link to nothing that can be read")
        else:
            return True
        return False

    def text(self, path: Path) -> str | None:
        """A metadata file as text, whatever bytes are in it; None, and a note, if it cannot be had."""
        try:
            with path.open("rb") as file:
                data = file.read(METADATA_LIMIT + 1)
        except OSError as error:
            self.note(path, f"cannot be read ({error.strerror}): names are taken from the files alone")
            return None
        if len(data) > METADATA_LIMIT:
            self.note(path, f"has more than {METADATA_LIMIT} bytes, so it is no metadata: it is ignored")
            return None
        return data.decode("utf-8-sig", errors="replace")

    def json(self, path: Path) -> dict:
        """A metadata file that holds one JSON object; empty, and a note, if it does not."""
        text = self.text(path)
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            self.note(path, f"is not JSON ({str(error)[:100]}): names are taken from the files alone")
            return {}
        if not isinstance(value, dict):
            self.note(path, "holds no JSON object: names are taken from the files alone")
            return {}
        return value

    def audio_files(self, folder: Path, names: Iterable[str], extensions: tuple[str, ...]) -> dict[str, str]:
        """The audio files among the names in a folder: name by name without extension, each once.

        Where a stem is there as two files, the extension that comes first in ``extensions`` is used.
        """
        chosen: dict[str, str] = {}
        spare = 0
        for name in names:
            stem, extension = os.path.splitext(name)
            rank = _rank(extension, extensions)
            if rank is None:
                continue
            spare += stem in chosen
            if stem not in chosen or rank < _rank(os.path.splitext(chosen[stem])[1], extensions):
                chosen[stem] = name
        if spare:
            self.note(folder, f"holds {spare} of its stems twice, in several formats: one of each is used")
        return chosen

    def locate(self, holds: Callable[[Entries], bool], layout: str) -> Path:
        """The folder that the data set begins in: the root, or one at most two levels below, as archives make them.

        Raises
        ------
        InputError
            If there is none, or more than one on the same level.
        """
        scout = Survey(self.root, [])  # what is met on the way down is not part of the data set
        level = [self.root]
        for _ in range(3):
            seen = {place: scout.entries(place) for place in level}
            if places := [place for place, entries in seen.items() if holds(entries)]:
                if len(places) > 1:
                    raise InputError(
                        f"{self.root} holds several copies ({', '.join(p.name for p in places[:3])}): name one of them"
                    )
                return places[0]
            # A folder of folders without end is no archive's outer level.
            level = [place / name for place, entries in seen.items() for name in entries.folders][:100]
        raise InputError(f"{self.root} does not look like this data set: expected {layout}")

    def tracks_in_splits(self, place: Path, folders: Iterable[str]) -> list[Found]:
        """All folders in the split folders among ``folders``, in order of splits.

        The same name in a second split is left out, since no track may be in two.
        """
        found: dict[str, Found] = {}
        splits = [name for name in folders if name.lower() in SPLIT_FOLDERS]
        for folder in sorted(splits, key=lambda name: list(SPLIT_FOLDERS).index(name.lower())):
            for name in self.entries(place / folder).folders:
                path = place / folder / name
                if name in found:
                    self.leave_out(path, f"is in another split too, as {found[name].path}: only that one is used")
                else:
                    found[name] = Found(name, SPLIT_FOLDERS[folder.lower()], path)
        return list(found.values())

    def listing(self, dataset: str, tracks: Iterable[tuple[Found, list[SourceStem], dict]]) -> Listing:
        """The result: tracks with two stems or more, in order of their ids; the others become problems."""
        kept = []
        for found, stems, tags in tracks:
            if len(stems) < 2:
                self.leave_out(found.path, f"usable stems: {len(stems)}, where a track needs at least two")
            else:
                kept.append(SourceTrack(found.name, found.split, tuple(stems), tags))
        ids = track_ids(track.id for track in kept)
        kept = [track if ids[track.id] == track.id else replace(track, id=ids[track.id]) for track in kept]
        return Listing(dataset, tuple(sorted(kept, key=lambda track: track.id)), tuple(dict.fromkeys(self.problems)))


def survey(root: Path | str) -> Survey:
    """Begin to look through a copy.

    Raises
    ------
    InputError
        If ``root`` is no folder, or may not be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: give the one that the data set was unpacked into")
    if not os.access(root, os.R_OK | os.X_OK):
        raise InputError(f"{root} cannot be read: you need the right to read it and to enter it")
    return Survey(root, [])


def track_ids(names: Iterable[str]) -> dict[str, str]:
    """An id for each of these different names, fit to name a file: ASCII letters, digits and ``. _ -``.

    Accents are dropped, and every other character becomes ``_``. Names that would come out alike, or alike but for
    case, get a digest of the name; so does a very long one, cut short.
    """
    slugs = {name: _slug(name) for name in names}
    count = Counter(slug.lower() for slug in slugs.values())
    return {
        name: slug if count[slug.lower()] == 1 and len(slug) <= 120 else f"{slug[:100]}-{_digest(name)}"
        for name, slug in slugs.items()
    }


def printable(name: str) -> str:
    """A name as text that can be written anywhere: what is not Unicode in a file's name or in JSON becomes ``?``."""
    return name.encode("utf-8", "replace").decode()


_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


def _slug(name: str) -> str:
    if _SAFE.fullmatch(name):
        return name
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    slug = re.sub(r"[^A-Za-z0-9._-]", "_", plain)
    return "_" + slug[1:] if slug.startswith(".") else slug


def _digest(name: str) -> str:
    return blake2b(name.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()


def _rank(extension: str, extensions: tuple[str, ...]) -> int | None:
    extension = extension.lower()
    return extensions.index(extension) if extension in extensions else None
