"""CocoChorales (Wu et al. 2022): four-part chorales by a generative model, played by synthesised instruments.

Layout: ``[main_dataset/]train|valid|test/ENSEMBLE_trackNNNNNN/stems_audio/N_INSTRUMENT.wav``, and ``metadata.yaml``
beside ``stems_audio``. Taught in ``book/datasets.md``.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from phalar.datasets.listing import SPLIT_FOLDERS, Entries, Found, Survey, printable, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem
from phalar.errors import InputError

ENSEMBLES = ("string", "brass", "woodwind", "random")

IDS = {"train": range(1, 192_001), "valid": range(192_001, 216_001), "test": range(216_001, 240_001)}
"""Numbers of the tracks of each split, in the full set."""

_TRACK = re.compile(r"([a-z]+)_track([0-9]+)")
_STEM = re.compile(r"([0-9]+)_(.+)")
_TEMPO = re.compile(r"^tempo: *([0-9]{1,3})\b", re.MULTILINE)


def list_tracks(root: Path, ensembles: str | Iterable[str] = "all") -> Listing:
    """List a copy of CocoChorales, full or tiny.

    Parameters
    ----------
    root : Path
        The folder of the splits, or one above.
    ensembles : str or iterable of str
        ``"all"``, or some of ``string``, ``brass``, ``woodwind`` and ``random`` (as text, with commas between). The
        word random has two meanings: here, as in the data set and in COCOLA, it is the one ensemble whose instruments
        were drawn at random. PHALAR's published loader, told ``random``, takes all four: that is ``"all"`` here.

    Returns
    -------
    Listing
        Stems in order of their voices (soprano first), named by their instruments; tags ``ensemble`` and ``tempo``
        (beats a minute).

    Raises
    ------
    InputError
        If there is no track under ``root``, or no such ensemble.
    """
    wanted = _wanted(ensembles)
    copy = survey(root)
    layout = "train, valid and test with folders such as brass_track048001 in them"
    place = copy.locate(_holds_splits, layout)
    tracks = []
    for track in copy.tracks_in_splits(place, copy.entries(place).folders):
        match = _TRACK.fullmatch(track.name)
        if match is None or match[1] not in ENSEMBLES:
            copy.leave_out(track.path, "is not named like brass_track048001, so it is no track")
        elif match[1] in wanted:
            tracks.append((track, match[1], int(match[2])))
    if not tracks:
        raise InputError(f"{place} holds no track of CocoChorales ({', '.join(wanted)}): expected {layout}")
    if strays := [track for track, _, number in tracks if number not in IDS[track.split]]:
        copy.note(
            place,
            f"{len(strays)} tracks, such as {strays[0].path.relative_to(place)}, have numbers of another split: were "
            "archives of two splits unpacked into one folder?",
        )
    return copy.listing("cocochorales", [(track, *_read(copy, track, name)) for track, name, _ in tracks])


def _wanted(ensembles: str | Iterable[str]) -> tuple[str, ...]:
    if ensembles == "all":
        return ENSEMBLES
    names = ensembles.split(",") if isinstance(ensembles, str) else list(ensembles)
    wanted = tuple(name.strip() for name in names)
    if not wanted or not set(wanted) <= set(ENSEMBLES):
        raise InputError(f"ensembles={ensembles!r}: use all, or some of {', '.join(ENSEMBLES)}")
    return wanted


def _holds_splits(entries: Entries) -> bool:
    return any(name.lower() in SPLIT_FOLDERS for name in entries.folders)


def _read(copy: Survey, track: Found, ensemble: str) -> tuple[list[SourceStem], dict]:
    entries = copy.entries(track.path)
    folder = track.path / "stems_audio"
    found = copy.entries(folder).files if "stems_audio" in entries.folders else []
    voices = []
    for stem, name in copy.audio_files(folder, found, (".wav", ".flac")).items():
        if match := _STEM.fullmatch(stem):
            voices.append((int(match[1]), printable(match[2]).strip() or "unknown", folder / name))
        else:
            copy.leave_out(folder / name, "is not named like 1_violin.wav, so it is no stem")
    if 2 <= len(voices) < 4:
        copy.note(track.path, f"has {len(voices)} of four voices")
    tags = {"title": track.name, "ensemble": ensemble}
    tempo = None
    if "metadata.yaml" in entries.files:
        tempo = _TEMPO.search(copy.text(track.path / "metadata.yaml") or "")  # one line of many: see slakh2100
    if tempo is None:
        copy.note(track.path / "metadata.yaml", "gives no tempo")
    else:
        tags["tempo"] = int(tempo[1])
    return [SourceStem(name, (path,)) for _, name, path in sorted(voices)], tags


DATASET = Dataset(
    name="cocochorales",
    title="CocoChorales v1, tiny",
    licence="CC BY 4.0 (to be confirmed on its page)",
    size="77 GB for training, 26 GB each for validation and test (as users report); the full set has 569 GB",
    source="the public bucket magentadata of Google Cloud Storage, "
    "datasets/cocochorales/cocochorales_full_v1_zipped/main_dataset/SPLIT/N.tar.bz2. Tiny is N = 1 2 3 25 26 27 49 50 "
    "51 73 74 75 of train and 1 4 7 10 of valid and test. Unpack each split into a folder of its own: the archives "
    "themselves do not say which split they are",
    citation="Y. Wu, J. Gardner, E. Manilow, I. Simon, C. Hawthorne, J. Engel: The Chamber Ensemble Generator: "
    "Limitless High-Quality MIR Data via Generative Modeling. arXiv:2209.14458, 2022.",
    expected={"train": 24_000, "valid": 8_000, "test": 8_000},
    list=list_tracks,
    options={
        "ensembles": (
            "all",
            "all (which PHALAR's loader calls random), or some of string,brass,woodwind,random: random is then the one "
            "ensemble of that name, as in COCOLA",
        )
    },
)
