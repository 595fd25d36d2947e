"""Anybody's own multitracks: one subfolder a track, one audio file a stem.

Layout: ``[train|valid|test/]TRACK/[stems/]STEM.wav``, or any other format that libsndfile reads. Taught in
``book/datasets.md``.
"""

from pathlib import Path

from phalar.datasets.listing import SPLIT_FOLDERS, Entries, Found, Survey, printable, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError

EXTENSIONS = (".wav", ".flac", ".aiff", ".aif", ".au", ".ogg", ".mp3")
"""Formats, exact ones first: where a stem is there in two, the first is used."""

MIXES = {"mix", "mixture", "master"}
"""Names of files that are no stem but the sum of them."""


def list_tracks(root: Path, split: str = "test") -> Listing:
    """List a folder of multitracks.

    Parameters
    ----------
    root : Path
        Holds a folder for each track, or folders ``train``, ``valid`` (or ``validation``) and ``test`` that do.
    split : {"train", "valid", "test"}
        Split of all tracks that are in no split folder.

    Returns
    -------
    Listing
        Stems are named by their files. A file named mix, mixture or master is no stem.

    Raises
    ------
    InputError
        If there is no track in ``root``, or no such split.
    """
    if split not in SPLITS:
        raise InputError(f"split={split!r} is none of {', '.join(SPLITS)}")
    copy = survey(root)
    here = copy.entries(copy.root)
    splits = [name for name in here.folders if _is_split(copy, name)]
    if splits:
        tracks = copy.tracks_in_splits(copy.root, splits)
        for name in here.folders:
            if name not in splits:
                copy.leave_out(copy.root / name, f"is beside the split folders ({', '.join(splits)}), not in one")
    else:
        tracks = [Found(name, split, copy.root / name) for name in here.folders]
    if not tracks:
        hint = "it holds audio itself: give the folder above it" if _stems(copy, copy.root, here) else "it has none"
        raise InputError(f"{root} must hold a folder for each track, with an audio file for each stem: {hint}")
    return copy.listing("folder", [(track, *_read(copy, track)) for track in tracks])


def _is_split(copy: Survey, name: str) -> bool:
    """A song may be called Test: the folder of a split holds folders, and no audio."""
    if name.lower() not in SPLIT_FOLDERS:
        return False
    entries = copy.entries(copy.root / name)
    return bool(set(entries.folders) - {"stems"}) and not _stems(copy, copy.root / name, entries)


def _read(copy: Survey, track: Found) -> tuple[list[SourceStem], dict]:
    folder, entries = track.path, copy.entries(track.path)
    if "stems" in entries.folders:
        if beside := _stems(copy, folder, entries):
            copy.note(folder, f"has {len(beside)} audio files beside its folder stems: only those in stems are used")
        folder = folder / "stems"
        entries = copy.entries(folder)
    stems = [
        SourceStem(printable(stem).strip() or "unknown", (folder / name,))
        for stem, name in _stems(copy, folder, entries).items()
    ]
    return stems, {"title": printable(track.name)}


def _stems(copy: Survey, folder: Path, entries: Entries) -> dict[str, str]:
    files = copy.audio_files(folder, entries.files, EXTENSIONS)
    return {stem: name for stem, name in files.items() if stem.strip().lower() not in MIXES}


DATASET = Dataset(
    name="folder",
    title="A folder of multitracks",
    licence="whatever the recordings have",
    size="whatever they take",
    source="your own: one subfolder a track, one audio file a stem (wav, flac, aiff, au, ogg or mp3), if wanted in "
    "folders train, valid and test",
    citation="whoever made the music",
    expected={},
    list=list_tracks,
    options={"split": ("test", "train, valid or test: the split of tracks that are in no folder of that name")},
)
