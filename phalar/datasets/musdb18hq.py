"""MUSDB18-HQ (Rafii et al. 2019): 150 songs, each as drums, bass, other and vocals.

Layout: ``train|test/ARTIST - TITLE/{mixture,drums,bass,other,vocals}.wav``. Taught in ``book/datasets.md``.
"""

from pathlib import Path

from phalar.datasets.listing import KNOWN_FAULT, SPLIT_FOLDERS, Entries, Found, Survey, printable, survey
from phalar.datasets.sources import Dataset, Listing, SourceStem
from phalar.errors import InputError

STEMS = ("drums", "bass", "other", "vocals")

VALIDATION = frozenset(
    (
        "Actions - One Minute Smile",
        "Clara Berry And Wooldog - Waltz For My Victims",
        "Johnny Lokke - Promises & Lies",
        "Patrick Talbot - A Reason To Leave",
        "Triviul - Angelsaint",
        "Alexander Ross - Goodbye Bolero",
        "Fergessen - Nos Palpitants",
        "Leaf - Summerghost",
        "Skelpolu - Human Mistakes",
        "Young Griffo - Pennies",
        "ANiMAL - Rockshow",
        "James May - On The Line",
        "Meaxic - Take A Step",
        "Traffic Experiment - Sirens",
    )
)
"""Songs of the folder ``train`` that are for validation, as the ``musdb`` package (0.4.3) has them."""

FAULTS = {"PR - Oh No": "the left channel of the mixture is not the sum of the stems"} | dict.fromkeys(
    (
        "Al James - Schoolboy Facination",
        "Chris Durban - Celebrate",
        "Detsky Sad - Walkie Talkie",
        "Enda Reilly - Cur An Long Ag Seol",
        "Hop Along - Sister Cities",
        "Leaf - Wicked",
        "BKS - Bulldozer",
    ),
    "some of a stem's sound is in another stem",
)
"""Songs in the errata of the data set. They are used, as everybody uses them."""


def list_tracks(root: Path) -> Listing:
    """List a copy of MUSDB18-HQ. The mixture is not a stem.

    Parameters
    ----------
    root : Path
        The folder that holds ``train`` and ``test``, or one above.

    Returns
    -------
    Listing
        Fourteen songs of ``train`` are in the split valid, as usual; ids have ``_`` for spaces, tag ``title`` has the
        name as it is.

    Raises
    ------
    InputError
        If there is no song under ``root``; for MUSDB18 in its compressed form, with the remedy.
    """
    copy = survey(root)
    layout = "train and test, with a folder for each song, and in it drums.wav, bass.wav, other.wav and vocals.wav"
    place = copy.locate(_holds_splits, layout)
    folders = copy.entries(place).folders
    songs = copy.tracks_in_splits(place, folders)
    if not songs:
        packed = any(name.endswith(".stem.mp4") for folder in folders for name in copy.entries(place / folder).files)
        if packed:
            raise InputError(f"{place} holds MUSDB18 as .stem.mp4: take MUSDB18-HQ, which is wav, or decode it to wav")
        raise InputError(f"{place} holds no song of MUSDB18-HQ: expected {layout}")
    songs = [song._replace(split="valid") if song.name in VALIDATION else song for song in songs]
    return copy.listing("musdb18hq", [(song, *_read(copy, song)) for song in songs])


def _holds_splits(entries: Entries) -> bool:
    return any(name.lower() in SPLIT_FOLDERS for name in entries.folders)


def _read(copy: Survey, song: Found) -> tuple[list[SourceStem], dict]:
    files = copy.audio_files(song.path, copy.entries(song.path).files, (".wav", ".flac"))
    for stem in files.keys() - {*STEMS, "mixture"}:
        copy.leave_out(song.path / files[stem], f"is none of {', '.join(STEMS)}, so it is no stem")
    if absent := [stem for stem in STEMS if stem not in files]:
        copy.note(song.path, f"lacks {', '.join(absent)}")
    if song.name in FAULTS:
        copy.note(song.path, KNOWN_FAULT + FAULTS[song.name])
    stems = [SourceStem(stem, (song.path / files[stem],)) for stem in STEMS if stem in files]
    return stems, {"title": printable(song.name)}


DATASET = Dataset(
    name="musdb18hq",
    title="MUSDB18-HQ",
    licence="by song: 46 CC BY-NC-SA 4.0, 2 CC BY-NC-SA 3.0, 102 for academic use only",
    size="22.7 GB",
    source="Zenodo record 3338373 (musdb18hq.zip)",
    citation="Z. Rafii, A. Liutkus, F.-R. Stöter, S. I. Mimilakis, R. Bittner: MUSDB18-HQ, an uncompressed version of "
    "MUSDB18. 2019. doi:10.5281/zenodo.3338373.",
    expected={"train": 86, "valid": 14, "test": 50},
    list=list_tracks,
)
