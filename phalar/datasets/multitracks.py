"""The data sets of stems: for each a function that lists a copy, and a row of what to know about it.

All are folders of tracks, with or without folders for the splits above them. They differ in how a track is named,
which of its files are stems, and what its metadata tell. Every function takes the folder of the tracks or of the
splits, or one above, and raises InputError if it holds nothing of the kind. Book page *Real data sets*.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from phalar.datasets.listing import (
    KNOWN_FAULT,
    SPLIT_FOLDERS,
    Dataset,
    Found,
    Listing,
    SourceTrack,
    Survey,
    one_of,
    printable,
    published,
)
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError


def published_split() -> dict[str, str]:
    """Split of every song of MoisesDB, by the first eight digits of its id, as PHALAR and COCOLA make it.

    The sorted ids were shuffled by Python's generator seeded with 42, and cut after 80 % and 90 %: 192, 24 and 24. They
    are kept as a table, so that the split of an incomplete copy is the same.
    """
    return published("moisesdb")


def moisesdb(root: Path, unit: str = "source") -> Listing:
    """MoisesDB: ``[train|valid|test/]SONG/STEM/SOURCE.wav`` and ``SONG/data.json``; songs and sources are UUIDs.

    Songs moved into split folders have the split of their folder, others the published one, whatever else is there.
    With the unit ``"source"``, as PHALAR and COCOLA have it, every file is a stem (kick and snare are two); with
    ``"stem"``, as the official library has it, the files of a folder (all drums) are summed. Scores of the two do not
    compare. Stems are named by their ``trackType`` (``"kick_drum"``) or their folder (tag ``stem_names``).
    """
    one_of("unit", unit, ("source", "stem"))
    copy, splits = Survey(root), published_split()
    layout = "folders named by UUIDs, or train, valid and test with such folders in them"
    songs = copy.tracks("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", layout, lambda name: splits.get(name[:8].lower()))
    if other := [song for song in songs if splits.get(song.name[:8].lower()) != song.split]:
        copy.note(copy.root, f"{len(other)} songs, such as {other[0].name}, were moved to another split than published")
    return copy.listing("moisesdb", (_song(copy, song, unit) for song in songs))


def _song(copy: Survey, song: Found, unit: str) -> SourceTrack | None:
    about, kinds = copy.json(song.path / "data.json"), {}
    for stem in _objects(about.get("stems")):  # a name may come in several entries, and any part may be missing
        for source in _objects(stem.get("tracks")):
            kinds[str(source.get("id"))] = str(source.get("trackType") or "").strip()
    folders = {folder: copy.audio(song.path / folder) for folder in copy.entries(song.path)[0]}
    if absent := kinds.keys() - {source for files in folders.values() for source in files}:
        copy.note(song.path / "data.json", f"lists {len(absent)} sources without a file, such as {min(absent)[:80]!r}")
    if unit == "stem":
        stems = [(folder, folder, files.values()) for folder, files in folders.items() if files]
    else:
        sources = [(folder, source, file) for folder, files in folders.items() for source, file in files.items()]
        stems = [(kinds.get(source) or folder, folder, [file]) for folder, source, file in sources]
    texts = {"title": about.get("song"), "artist": about.get("artist"), "genre": about.get("genre")}
    tags = {tag: printable(text).strip() for tag, text in texts.items() if isinstance(text, str)}
    tags["stem_names"] = [printable(folder) for _, folder, _ in stems]
    pitched = [folder not in ("drums", "percussion") for _, folder, _ in stems]
    return copy.track(song, [(name, files) for name, _, files in stems], pitched, **tags)


def _objects(value: object) -> list[dict]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


MOISESDB = Dataset(
    name="moisesdb",
    title="MoisesDB v0.1",
    licence="CC BY-NC-SA 4.0; the audio must not be passed on",
    size="83 GB to download, 120 to 150 GB unpacked (as users report)",
    source="by a form on the research pages of Moises (Music.AI): moisesdb.zip, MD5 13cf74eda129c38b914a51ea79fb1778",
    citation="I. Pereira and others: MoisesDB: A Dataset for Source Separation Beyond 4-Stems. ISMIR 2023.",
    expected={"train": 192, "valid": 24, "test": 24},
    list=moisesdb,
    options={"unit": ("source", "source: every file is a stem, as in PHALAR; stem: the files of a stem are summed")},
)


def slakh2100(root: Path) -> Listing:
    """Slakh2100: ``[train|validation|test/]TrackNNNNN/stems/SNN.flac`` (or wav), and ``TrackNNNNN/metadata.yaml``.

    The full set, its copy at 16 kHz and BabySlakh (without splits) are laid out alike. Tracks have the split of their
    folder, or the one that redux gives their number. The folder ``omitted`` is never opened, and tracks that redux
    omits, so that no MIDI file comes twice, are left out wherever they are. The files alone decide what is a stem, less
    white noise, endless tones and one of two that are equal; metadata, which are wrong in places, only name them, by
    ``inst_class`` (``"Bass"``). Tags ``programs`` and ``is_drum`` tell of each stem, ``composition`` of the MIDI file.
    """
    copy = Survey(root)
    layout = "folders Track00001, Track00002, ..., or train, validation and test with such folders in them"
    tracks = copy.tracks("Track[0-9]{5}", layout, lambda name: _redux(int(name[5:])))
    kept = [track for track in tracks if published("slakh2100").get(track.name) != "omitted"]
    if repeated := len(tracks) - len(kept):
        copy.note(copy.root, f"{repeated} tracks are left out, as redux leaves them out: their MIDI is that of others")
    return copy.listing("slakh2100", (_slakh_track(copy, track) for track in kept))


def _redux(number: int) -> str:
    return "train" if number <= 1500 else "valid" if number <= 1875 else "test"


def _slakh_track(copy: Survey, track: Found) -> SourceTrack | None:
    files = copy.audio(track.path / "stems", (".flac", ".wav"))
    files = {stem: path for stem, path in files.items() if re.fullmatch("S[0-9]{1,4}", stem)}
    about = read_slakh_metadata(copy.text(track.path / "metadata.yaml"))
    if len(about) < 2:
        copy.note(track.path / "metadata.yaml", "describes no stem: the stems' names are unknown")
    rendered = {stem for stem, words in about.items() if words.get("audio_rendered") == "true"}
    if absent := sorted(rendered - files.keys()):
        copy.note(track.path / "stems", f"has no audio of {' '.join(absent)}, which metadata.yaml says was rendered")
    for stem in list(files):
        fault = published("slakh2100").get(f"{track.name}/{stem}")
        if fault == "notes are missing":  # in the published test split; used, as everybody does
            copy.note(files[stem], KNOWN_FAULT + fault)
        elif fault and not (fault.startswith("the same") and fault.split()[-1] not in files):
            copy.leave_out(files.pop(stem), KNOWN_FAULT + fault)
    said = [about.get(stem, {}) for stem in files]
    names = [words.get("inst_class") or words.get("midi_program_name", "") for words in said]
    drums = [words.get("is_drum") == "true" for words in said]
    tags = {"programs": [words.get("midi_program_name", "unknown") for words in said], "is_drum": drums}
    if composition := about[""].get("UUID"):
        tags["composition"] = composition
    pitched = [not drum for drum in drums] if all(said) else None
    return copy.track(
        track, [(name, [file]) for name, file in zip(names, files.values(), strict=True)], pitched, **tags
    )


def read_slakh_metadata(text: str) -> dict[str, dict[str, str]]:
    """The entries of a ``metadata.yaml`` of Slakh: for every stem its keys and values as text; for the file under "".

    The files are one key a line in two levels, all written by one program. To read them so is several times as fast as
    PyYAML's parser in C, which also crashes on deep nesting; and one damaged line does not hide the others.
    """
    entries: dict[str, dict[str, str]] = {"": {}}
    current = ""
    for indent, key, value in re.findall(r"^( *)(\w+):(.*)$", text, re.MULTILINE):
        current, value = current if indent else "", re.sub(r"^(['\"])(.*)\1$", r"\2", value.strip()).strip()
        if not value and re.fullmatch("S[0-9]{1,4}", key):
            current = key
            entries[current] = {}
        elif value:
            entries[current][key] = value
    return entries


SLAKH2100 = Dataset(
    name="slakh2100",
    title="Slakh2100 redux",
    licence="CC BY 4.0",
    size="104 GB at 44.1 kHz, 49 GB at 16 kHz (as users report)",
    source="Zenodo record 4599666 (slakh2100_flac_redux.tar.gz, MD5 f4b71b6c45ac9b506f59788456b3f0c4) or 7708270 "
    "(slakh2100_redux_16k.tar.gz); for a first look: 4603870 (babyslakh_16k.tar.gz, 20 tracks)",
    citation="E. Manilow and others: Cutting Music Source Separation Some Slakh. WASPAA 2019.",
    expected={"train": 1289, "valid": 270, "test": 151},
    list=slakh2100,
)


ENSEMBLES = ("string", "brass", "woodwind", "random")
IDS = {"train": range(1, 192_001), "valid": range(192_001, 216_001), "test": range(216_001, 240_001)}
"""Numbers of the tracks of CocoChorales in each split of the full set."""


def cocochorales(root: Path, ensembles: str | Iterable[str] = "all") -> Listing:
    """CocoChorales, full or tiny: ``train|valid|test/ENSEMBLE_trackNNNNNN/stems_audio/N_INSTRUMENT.wav``.

    ``ensembles`` is ``"all"``, or some of ``string``, ``brass``, ``woodwind`` and ``random`` (as text, with commas
    between). The word random has two meanings: here, as in the data set and in COCOLA, it is the one ensemble whose
    instruments were drawn at random. PHALAR's published loader, told ``random``, takes all four: ``"all"`` here. Stems
    are in order of their voices (soprano first), named by their instruments; tags ``ensemble`` and ``tempo`` (BPM).
    """
    wanted = [name.strip() for name in ensembles.split(",")] if isinstance(ensembles, str) else list(ensembles)
    wanted = list(ENSEMBLES) if wanted == ["all"] else wanted
    if not wanted or not set(wanted) <= set(ENSEMBLES):
        raise InputError(f"ensembles={ensembles!r}: use all, or some of {', '.join(ENSEMBLES)}")
    copy = Survey(root)
    layout = "train, valid and test with folders such as brass_track048001 in them"
    found = copy.tracks(f"({'|'.join(ENSEMBLES)})_track[0-9]+", layout)
    tracks = [track for track in found if track.name.split("_")[0] in wanted]
    if strays := [track for track in tracks if int(track.name.partition("_track")[2]) not in IDS[track.split]]:
        what = f"{len(strays)} tracks, such as {strays[0].path.relative_to(copy.root)}, have numbers of another split"
        copy.note(copy.root, f"{what}: were archives of two splits unpacked into one folder?")
    return copy.listing("cocochorales", (_chorale(copy, track) for track in tracks))


def _chorale(copy: Survey, track: Found) -> SourceTrack | None:
    voices, tags = [], {"ensemble": track.name.split("_")[0]}
    for stem, path in copy.audio(track.path / "stems_audio").items():
        number, _, instrument = stem.partition("_")
        if number.isdecimal() and instrument:
            voices.append((int(number), instrument, path))
        else:
            copy.leave_out(path, "is not named like 1_violin.wav, so it is no stem")
    if len(voices) < 4:
        copy.note(track.path, f"has {len(voices)} of four voices")
    text = copy.text(track.path / "metadata.yaml")
    if tempo := re.search(r"^tempo: *([0-9]{1,3})\b", text, re.MULTILINE):  # one line of many: see slakh2100
        tags["tempo"] = int(tempo[1])
    else:
        copy.note(track.path / "metadata.yaml", "gives no tempo")
    return copy.track(track, [(name, [path]) for _, name, path in sorted(voices)], [True] * len(voices), **tags)


COCOCHORALES = Dataset(
    name="cocochorales",
    title="CocoChorales v1, tiny",
    licence="CC BY 4.0 (to be confirmed on its page)",
    size="77 GB for training, 26 GB each for validation and test (as users report); the full set has 569 GB",
    source="gs://magentadata/datasets/cocochorales/cocochorales_full_v1_zipped/main_dataset/SPLIT/N.tar.bz2, N = 1 2 3 "
    "25 26 27 49 50 51 73 74 75 of train, 1 4 7 10 of valid and test; unpack each split into a folder of its own, as "
    "the archives do not say which split they are",
    citation="Y. Wu and others: The Chamber Ensemble Generator. arXiv:2209.14458, 2022.",
    expected={"train": 24_000, "valid": 8_000, "test": 8_000},
    list=cocochorales,
    options={"ensembles": ("all", "all (PHALAR's random), or some of string,brass,woodwind,random (as COCOLA)")},
)


PARTS = ("drums", "bass", "other", "vocals")  # of a song of MUSDB18-HQ


def musdb18hq(root: Path) -> Listing:
    """MUSDB18-HQ: ``train|test/ARTIST - TITLE/{mixture,drums,bass,other,vocals}.wav``. The mixture is not a stem.

    Fourteen songs of ``train`` are in the split valid, as the ``musdb`` package (0.4.3) has them. Songs in the errata
    are used, as everybody uses them. Ids have ``_`` for spaces; the tag ``title`` has the name as it is.
    """
    copy = Survey(root)
    if next(copy.root.glob("*/*.stem.mp4"), None):
        raise InputError(f"{root} holds MUSDB18 as .stem.mp4: take MUSDB18-HQ, which is wav, or decode it to wav")
    layout = "train and test, with a folder for each song, and in it drums.wav, bass.wav, other.wav and vocals.wav"
    return copy.listing("musdb18hq", (_musdb_song(copy, song) for song in copy.tracks(".+", layout)))


def _musdb_song(copy: Survey, song: Found) -> SourceTrack | None:
    files, known = copy.audio(song.path), published("musdb18hq").get(song.name)
    for stem in files.keys() - {*PARTS, "mixture"}:
        copy.leave_out(files[stem], f"is none of {', '.join(PARTS)}, so it is no stem")
    if absent := [stem for stem in PARTS if stem not in files]:
        copy.note(song.path, f"lacks {', '.join(absent)}")
    if known == "valid":
        song = song._replace(split="valid")
    elif known:
        copy.note(song.path, KNOWN_FAULT + known)
    stems = [stem for stem in PARTS if stem in files]
    return copy.track(song, [(stem, [files[stem]]) for stem in stems], [stem != "drums" for stem in stems])


MUSDB18HQ = Dataset(
    name="musdb18hq",
    title="MUSDB18-HQ",
    licence="by song: 46 CC BY-NC-SA 4.0, 2 CC BY-NC-SA 3.0, 102 for academic use only",
    size="22.7 GB",
    source="Zenodo record 3338373 (musdb18hq.zip)",
    citation="Z. Rafii and others: MUSDB18-HQ, an uncompressed version of MUSDB18. 2019. doi:10.5281/zenodo.3338373.",
    expected={"train": 86, "valid": 14, "test": 50},
    list=musdb18hq,
)


MIXES = ("mix", "mixture", "master")  # names of files that are no stem
EXTENSIONS = (".wav", ".flac", ".aiff", ".aif", ".au", ".ogg", ".mp3")  # exact ones first


def folder(root: Path, split: str = "test") -> Listing:
    """Anybody's own multitracks: ``[train|valid|test/]TRACK/[stems/]STEM.wav``, or any other format of libsndfile.

    ``root`` is the very folder that holds a folder for each track or split; ``split`` is that of all tracks in no
    folder of a split. Stems are named by their files; one named mix, mixture or master is none.
    """
    one_of("split", split, SPLITS)
    copy = Survey(root)
    names = copy.entries(copy.root)[0]
    # A song may be called Test: the folder of a split holds folders, and no audio.
    splits = [n for n in names if n.lower() in SPLIT_FOLDERS and not _own_stems(copy, copy.root / n)]
    if splits:
        tracks = copy.tracks(".+", "a folder for each track")
        for name in set(names) - set(splits):
            copy.leave_out(copy.root / name, f"is beside the split folders ({', '.join(splits)}), not in one")
    else:
        tracks = [Found(name, split, copy.root / name) for name in names]
    if not tracks:
        hint = "it holds audio itself: give the folder above it" if _own_stems(copy, copy.root) else "it has none"
        raise InputError(f"{root} must hold a folder for each track, with an audio file for each stem: {hint}")
    stems = ({name: [path] for name, path in _own_stems(copy, track.path).items()} for track in tracks)
    return copy.listing("folder", (copy.track(track, s.items()) for track, s in zip(tracks, stems, strict=True)))


def _own_stems(copy: Survey, folder: Path) -> dict[str, Path]:
    beside, within = (copy.audio(place, EXTENSIONS) for place in (folder, folder / "stems"))
    beside, within = ({s: p for s, p in files.items() if s.strip().lower() not in MIXES} for files in (beside, within))
    if beside and within:
        copy.note(folder, f"has {len(beside)} audio files beside its folder stems: only those in stems are used")
    return within or beside


FOLDER = Dataset(
    name="folder",
    title="A folder of multitracks",
    licence="whatever the recordings have",
    size="whatever they take",
    source="your own: one subfolder a track, one audio file a stem, if wanted in folders train, valid and test",
    citation="whoever made the music",
    expected={},
    list=folder,
    options={"split": ("test", "train, valid or test: the split of tracks that are in no folder of that name")},
)

STEMS = (MOISESDB, SLAKH2100, COCOCHORALES, MUSDB18HQ)
