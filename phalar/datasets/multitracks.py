"""The data sets of stems: of each a row of what to know about it, and below the function that finds its tracks.

To add one is to add such a row and function here; see :mod:`phalar.datasets.listing` for what a :class:`Copy` can do,
and :func:`folder` for the simplest. Book page *Real data sets*.
"""

import json
import re
from collections.abc import Iterator

from phalar.datasets.files import KNOWN_FAULT, NOTE
from phalar.datasets.listing import Copy, Dataset, one_of, printable, published
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError


@Dataset(
    title="MoisesDB v0.1",
    licence="CC BY-NC-SA 4.0; the audio must not be passed on",
    size="83 GB to download, 120 to 150 GB unpacked (as users report)",
    source="by a form on the research pages of Moises (Music.AI): moisesdb.zip, MD5 13cf74eda129c38b914a51ea79fb1778",
    citation="I. Pereira and others: MoisesDB: A Dataset for Source Separation Beyond 4-Stems. ISMIR 2023.",
    expected={"train": 192, "valid": 24, "test": 24},
    options={"unit": ("source", "source: every file is a stem, as in PHALAR; stem: the files of a stem are summed")},
)
def moisesdb(copy: Copy, unit: str = "source") -> Iterator[Track | None]:
    """``[train|valid|test/]SONG/STEM/SOURCE.wav`` and ``SONG/data.json``; songs and sources are UUIDs.

    Songs moved into split folders have the split of their folder, others the published one. With the unit ``"source"``,
    as PHALAR and COCOLA have it, every file is a stem (kick and snare are two); with ``"stem"``, as the official
    library, the files of a folder are summed. Stems are named by their ``trackType`` or their folder.
    """
    one_of("unit", unit, ("source", "stem"))
    splits = published("moisesdb")
    layout = "folders named by UUIDs, or train, valid and test with such folders in them"
    like = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    for song in copy.tracks(like, layout, lambda name: splits.get(name[:8].lower())):
        if splits.get(song.name[:8].lower()) != song.split:
            copy.report(copy.root, f"{NOTE}songs are in another split than published")
        tags, kinds = copy.read(song.path / "data.json", _read_song, ({}, {}))
        folders = {folder: copy.audio(song.path / folder) for folder in copy.entries(song.path)[0]}
        if absent := kinds.keys() - {source for files in folders.values() for source in files}:
            copy.report(song.path, f"has {len(absent)} sources fewer than data.json lists, as {min(absent)[:80]!r}")
        if unit == "stem":
            stems = [(folder, folder, [*files.values()]) for folder, files in folders.items() if files]
        else:
            stems = [(f, kinds.get(source) or f, [path]) for f in folders for source, path in folders[f].items()]
        tags["stem_names"] = [printable(folder) for folder, *_ in stems]
        pitched = tuple(folder not in ("drums", "percussion") for folder, *_ in stems)
        yield copy.track(song, [(name, files) for _, name, files in stems], tags, pitched=pitched)


def _read_song(text: str) -> tuple[dict, dict[str, str]]:
    """Tags of a song, and the ``trackType`` of each source by its id; a stem's name may come in several entries."""
    about = json.loads(text)
    sources = [source for stem in about["stems"] for source in stem["tracks"]]
    tags = {"title": "song", "artist": "artist", "genre": "genre"}
    tags = {tag: printable(str(about[key])).strip() for tag, key in tags.items() if about.get(key)}
    return tags, {str(source["id"]): str(source.get("trackType") or "").strip() for source in sources}


@Dataset(
    title="Slakh2100 redux",
    licence="CC BY 4.0",
    size="104 GB at 44.1 kHz, 49 GB at 16 kHz (as users report)",
    source="Zenodo record 4599666 (slakh2100_flac_redux.tar.gz, MD5 f4b71b6c45ac9b506f59788456b3f0c4) or 7708270 "
    "(slakh2100_redux_16k.tar.gz); for a first look: 4603870 (babyslakh_16k.tar.gz, 20 tracks)",
    citation="E. Manilow and others: Cutting Music Source Separation Some Slakh. WASPAA 2019.",
    expected={"train": 1289, "valid": 270, "test": 151},
)
def slakh2100(copy: Copy) -> Iterator[Track | None]:
    """``[train|validation|test/]TrackNNNNN/stems/SNN.flac`` (or wav), and ``TrackNNNNN/metadata.yaml``.

    Tracks have the split of their folder, or the one that redux gives their number (BabySlakh has no splits). Tracks
    that redux omits, so that no MIDI file comes twice, are left out wherever they are. The files alone decide what is a
    stem, less white noise, endless tones and one of two that are equal; metadata, which are wrong in places, only name
    them. Tags ``programs`` and ``is_drum`` tell of each stem, ``composition`` of the MIDI file.
    """
    known = published("slakh2100")
    layout = "folders Track00001, Track00002, ..., or train, validation and test with such folders in them"
    for track in copy.tracks("Track[0-9]{5}", layout, _redux):
        if known.get(track.name) == "omitted":
            copy.report(copy.root, f"{NOTE}tracks are left out as redux does: their MIDI is that of others")
            continue
        files = copy.audio(track.path / "stems", "S[0-9]{1,4}", (".flac", ".wav"))
        about = copy.read(track.path / "metadata.yaml", read_keys, {"": {}})
        rendered = {stem for stem, words in about.items() if words.get("audio_rendered") == "true"}
        if absent := " ".join(sorted(rendered - files.keys())):
            copy.report(track.path / "stems", f"has no audio of {absent}, which metadata.yaml says was rendered")
        for stem in list(files):
            fault = known.get(f"{track.name}/{stem}", "")
            if fault and not (fault.startswith("the same") and fault.split()[-1] not in files):
                copy.report(files[stem], KNOWN_FAULT + fault)
                if fault != "notes are missing":  # in the published test split; used, as everybody does
                    del files[stem]
        said = [about.get(stem, {}) for stem in files]
        drums = [words.get("is_drum") == "true" for words in said]
        tags = {"programs": [words.get("midi_program_name", "unknown") for words in said], "is_drum": drums}
        if composition := about[""].get("UUID"):
            tags["composition"] = composition
        names = [words.get("inst_class") or words.get("midi_program_name", "") for words in said]
        stems = [(name, [path]) for name, path in zip(names, files.values(), strict=True)]
        yield copy.track(track, stems, tags, pitched=tuple(not drum for drum in drums) if all(said) else None)


def _redux(name: str) -> str:
    return "train" if name[5:] <= "01500" else "valid" if name[5:] <= "01875" else "test"


def read_keys(text: str) -> dict[str, dict[str, str]]:
    """Keys and values of a ``metadata.yaml`` as text: for every stem of Slakh, and for the file as a whole under "".

    The files are one key a line in two levels, all written by one program each. To read them so takes a fraction of
    PyYAML's time (there are 40,000), and one damaged line does not hide the others.
    """
    entries: dict[str, dict[str, str]] = {"": {}}
    current = ""
    for indent, key, value in re.findall(r"^( *)(\w+):(.*)$", text, re.MULTILINE):
        current, value = current if indent else "", re.sub(r"^(['\"])(.*)\1$", r"\2", value.strip()).strip()
        if value:
            entries[current][key] = value
        elif re.fullmatch("S[0-9]{1,4}", key):
            current, entries[key] = key, {}
    return entries


ENSEMBLES = ("string", "brass", "woodwind", "random")


@Dataset(
    title="CocoChorales v1, tiny",
    licence="CC BY 4.0 (to be confirmed on its page)",
    size="77 GB for training, 26 GB each for validation and test (as users report); the full set has 569 GB",
    source="gs://magentadata/datasets/cocochorales/cocochorales_full_v1_zipped/main_dataset/SPLIT/N.tar.bz2, N = 1 2 3 "
    "25 26 27 49 50 51 73 74 75 of train, 1 4 7 10 of valid and test; unpack each split into a folder of its own, as "
    "the archives do not say which split they are",
    citation="Y. Wu and others: The Chamber Ensemble Generator. arXiv:2209.14458, 2022.",
    expected={"train": 24000, "valid": 8000, "test": 8000},
    options={"ensembles": ("all", f"all (PHALAR's random), or some of {','.join(ENSEMBLES)} (as COCOLA)")},
)
def cocochorales(copy: Copy, ensembles: str = "all") -> Iterator[Track | None]:
    """``train|valid|test/ENSEMBLE_trackNNNNNN/stems_audio/N_INSTRUMENT.wav``, of the full or the tiny set.

    ``ensembles`` is ``"all"``, or some, with commas between. The word random has two meanings: here, as in the data set
    and in COCOLA, it is the one ensemble whose instruments were drawn at random. PHALAR's published loader, told
    ``random``, takes all four: ``"all"`` here. Stems are in order of their voices (soprano first).
    """
    wanted = ENSEMBLES if ensembles == "all" else [name.strip() for name in ensembles.split(",")]
    if not set(wanted) <= set(ENSEMBLES):
        raise InputError(f"ensembles={ensembles!r}: use all, or some of {', '.join(ENSEMBLES)}")
    layout = "train, valid and test with folders such as brass_track048001 in them"
    for track in copy.tracks(f"({'|'.join(ENSEMBLES)})_track[0-9]+", layout):
        tags = {"ensemble": track.name.split("_")[0]}
        if tags["ensemble"] not in wanted:
            continue
        files = copy.audio(track.path / "stems_audio", "[0-9]{1,3}_.+")
        voices = sorted(
            (int(voice), name, path) for (voice, name), path in ((f.split("_", 1), files[f]) for f in files)
        )
        if len(voices) < 4:
            copy.report(track.path, f"has {len(voices)} of four voices")
        tempo = copy.read(track.path / "metadata.yaml", lambda text: int(read_keys(text)[""]["tempo"]))
        tags |= {} if tempo is None else {"tempo": tempo}
        yield copy.track(track, [(name, [path]) for _, name, path in voices], tags, pitched=(True,) * len(voices))


PARTS = ("drums", "bass", "other", "vocals")


@Dataset(
    title="MUSDB18-HQ",
    licence="by song: 46 CC BY-NC-SA 4.0, 2 CC BY-NC-SA 3.0, 102 for academic use only",
    size="22.7 GB",
    source="Zenodo record 3338373 (musdb18hq.zip)",
    citation="Z. Rafii and others: MUSDB18-HQ, an uncompressed version of MUSDB18. 2019. doi:10.5281/zenodo.3338373.",
    expected={"train": 86, "valid": 14, "test": 50},
)
def musdb18hq(copy: Copy) -> Iterator[Track | None]:
    """``train|test/ARTIST - TITLE/{mixture,drums,bass,other,vocals}.wav``. The mixture is not a stem.

    Fourteen songs of ``train`` are in the split valid, as the ``musdb`` package (0.4.3) has them. Songs in the errata
    are used, as everybody uses them.
    """
    if any(copy.root.glob("*/*.stem.mp4")):
        raise InputError(f"{copy.root} holds MUSDB18 as .stem.mp4: take MUSDB18-HQ, which is wav, or decode it to wav")
    layout = "train and test, with a folder for each song, and in it drums.wav, bass.wav, other.wav and vocals.wav"
    for song in copy.tracks(".+", layout):
        files, known = copy.audio(song.path, "|".join(PARTS)), published("musdb18hq").get(song.name)
        if absent := ", ".join(part for part in PARTS if part not in files):
            copy.report(song.path, f"lacks {absent}")
        if known == "valid":
            song = song._replace(split="valid")
        elif known:
            copy.report(song.path, KNOWN_FAULT + known)
        stems = [(part, [files[part]]) for part in PARTS if part in files]
        yield copy.track(song, stems, {}, pitched=tuple(part != "drums" for part, _ in stems))


@Dataset(
    title="A folder of multitracks",
    licence="whatever the recordings have",
    size="whatever they take",
    source="your own: one subfolder a track, one audio file a stem, if wanted in folders train, valid and test",
    citation="whoever made the music",
    options={"split": ("test", "train, valid or test: the split of tracks that are in no folder of that name")},
)
def folder(copy: Copy, split: str = "test") -> Iterator[Track | None]:
    """Anybody's own: ``[train|valid|test/]TRACK/[stems/]STEM.wav``, or any other format of libsndfile.

    The copy is the very folder that holds a folder for each track or split; ``split`` is that of tracks in no folder of
    a split. Stems are named by their files; one named mix, mixture or master is none.
    """
    one_of("split", split, SPLITS)
    no_mix, exact_first = (
        r"(?!\s*(?i:mix|mixture|master)\s*$).+",
        (".wav", ".flac", ".aiff", ".aif", ".au", ".ogg", ".mp3"),
    )
    for track in copy.tracks(".+", "a folder for each track, with an audio file for each stem", lambda name: split):
        stems, beside = (copy.audio(place, no_mix, exact_first) for place in (track.path / "stems", track.path))
        yield copy.track(track, [(name, [path]) for name, path in (stems or beside).items()], {})
