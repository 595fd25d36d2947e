"""What a data set looks like on disk before it is prepared: tracks, their stems' files, and what is wrong with them.

Each data set has a module that lists it (:data:`phalar.datasets.catalogue.DATASETS`). Listing reads folders and small
metadata files, never audio; it reports what it cannot use as a :class:`Problem` and goes on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SourceStem:
    """One unit of a track.

    ``name`` says what plays it (a data set's own word: ``"Bass"``, ``"kick_drum"``, ``"violin"``); ``files`` are summed
    (one file, unless sources are grouped).
    """

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class SourceTrack:
    """A track as a data set has it; the fields mean what they mean in :class:`phalar.datasets.tracks.Track`.

    ``beats`` are (seconds, number in the bar, or 0 where it is not known).
    """

    id: str
    split: str
    stems: tuple[SourceStem, ...]
    tags: Mapping[str, object] = field(default_factory=dict)
    beats: tuple[tuple[float, int], ...] | None = None
    chords: tuple[tuple[float, float, str], ...] | None = None


@dataclass(frozen=True)
class Problem:
    """Something that keeps (part of) a track from being used, or departs from the published layout.

    ``fatal`` if what the path names was left out because of it.
    """

    path: Path
    what: str
    fatal: bool = True


@dataclass(frozen=True)
class Listing:
    """What was found under a root: usable tracks in order of their ids, and the problems met."""

    dataset: str
    tracks: tuple[SourceTrack, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Dataset:
    """A real data set.

    Attributes
    ----------
    name : str
        As on the command line: ``"moisesdb"``, ``"slakh2100"``, ``"cocochorales"``, ``"musdb18hq"``, ``"gtzan"``,
        ``"guitarset"``, or ``"folder"`` for any folder of multitracks.
    title, licence, size, source, citation : str
        For people: full name, terms, size of the download, where and how to get it (no account data), and how to cite.
    expected : mapping of str to int
        Tracks of each split in a whole copy; empty where there is nothing to expect.
    list : callable (root, \\*\\*options) -> Listing
        Lists a copy. Raises InputError if ``root`` is no folder or holds nothing of the kind, saying what was expected.
    options : mapping of str to (default, help)
        Keyword options of ``list``.
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
