"""The data sets of stems: for each a function that lists a copy, and a row of what to know about it.

All are folders of tracks, with or without folders for the splits above them. They differ in how a track is named,
which of its files are stems, and what its metadata tell. Every function takes the folder of the tracks or of the
splits, or one above, and raises InputError if it holds nothing of the kind. Listing reads folders and small metadata
files, never audio. What cannot be used is reported, and the rest is listed: copies may be incomplete, damaged or put
together by strangers, so no link to a folder is followed, and no path is made from anything but names found in folders.
Book page *Real data sets*.
"""

import csv
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple, TypeVar

from phalar import paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets.files import KNOWN_FAULT, NOTE, FileAudio, Listing, Problem
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError

# What a split's folder is called, and the split: CocoChorales says valid, Slakh validation.
SPLIT_FOLDERS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test"}
LARGEST = 16 << 20  # bytes of a file of metadata or annotations; GuitarSet has 1.7 MB for a take of 22 s
DEPTH = 2  # levels of folders between a root and its splits or tracks

Value = TypeVar("Value")


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


class Copy:
    """A copy of a data set while it is looked through, with the problems met so far."""

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

    def audio(self, folder: Path, extensions: tuple[str, ...] = (".wav", ".flac")) -> dict[str, Path]:
        """Audio files in a folder by name without extension; of several formats, the first of ``extensions``."""
        names = [] if folder.is_symlink() else [os.path.splitext(name) for name in self.entries(folder)[1]]
        found = [(stem, end) for stem, end in names if end.lower() in extensions]
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
        like, found = re.compile(pattern, re.IGNORECASE), {}

        def walk(place: Path, split: str | None, depth: int) -> None:
            for name in self.entries(place)[0]:
                path = place / name
                if split is None and name.lower() in SPLIT_FOLDERS:
                    walk(path, SPLIT_FOLDERS[name.lower()], 0)
                elif like.fullmatch(name) and (split or split_of):
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
                    walk(path, None, depth - 1)

        walk(self.root, None, DEPTH)
        if not found:
            raise InputError(f"{self.root} does not look like this data set: expected {layout}")
        return list(found.values())

    def files(self, pattern: str, layout: str) -> dict[str, Path]:
        """Files whose names match, wherever they are at most so deep below the root, by the pattern's first group; an
        InputError that tells the ``layout`` if there are none."""
        found, waiting = {}, [(self.root, DEPTH + 1)]
        while waiting:
            place, depth = waiting.pop(0)
            folders, names = self.entries(place)
            matches = ((place / name, re.fullmatch(pattern, name)) for name in names)
            found = {match[1]: path for path, match in matches if match} | found
            waiting += [(place / name, depth - 1) for name in folders if depth]
        if not found:
            raise InputError(f"{self.root} does not look like this data set: expected {layout}")
        return dict(sorted(found.items()))

    def track(
        self, found: Found, stems: Iterable[tuple[str, Sequence[Path]]], pitched: Iterable[bool] | None = None, **tags
    ) -> Track | None:
        """A track of stems, each a name and its files; None, and a problem, if there are less than two."""
        stems = list(stems)
        if len(stems) < 2:
            self.report(found.path, f"usable stems: {len(stems)}, where a track needs at least two")
            return None
        pitched = None if pitched is None else tuple(pitched)
        return listed(found.name, found.split, stems, {"title": printable(found.name)} | tags, pitched=pitched)

    def listing(self, dataset: str, tracks: Iterable[Track | None]) -> Listing:
        """The result: tracks under ids that can name files, in order of these."""
        tracks = [track for track in tracks if track]
        ids = track_ids(track.id for track in tracks)
        tracks = [replace(track, id=ids[track.id], dataset=dataset) for track in tracks]
        tracks.sort(key=lambda track: track.id)
        return Listing(dataset, tuple(tracks), tuple(dict.fromkeys(self.problems)))


def listed(name: str, split: str, stems: Iterable[tuple[str, Sequence[Path]]], tags: dict, **annotations) -> Track:
    """A track as its files lie there, of unknown length; each stem is a name and its files."""
    names, files = zip(*stems, strict=True)
    names = tuple(printable(each).strip() or "unknown" for each in names)
    return Track(name, "", split, names, SAMPLE_RATE, 0, FileAudio(tuple(map(tuple, files))), tags, **annotations)


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


def read_keys(text: str) -> dict[str, dict[str, str]]:
    """Keys and values of a ``metadata.yaml`` as text: for every stem of Slakh, and for the file as a whole under "".

    The files are one key a line in two levels, all written by one program each. To read them so takes a fraction of
    PyYAML's time (there are 40,000), and one damaged line does not hide the others.
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


@cache
def published(dataset: str) -> dict[str, str]:
    """What was published of single tracks and stems, by id: a song's split, or a fault (the table published.csv).

    Songs of MoisesDB have the first eight digits of their ids and the split that PHALAR and COCOLA make: the sorted ids
    were shuffled by Python's generator seeded with 42, and cut after 80 % and 90 %: 192, 24 and 24.
    """
    with (paths.PACKAGE / "datasets" / "published.csv").open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["what"] for row in csv.DictReader(file) if row["dataset"] == dataset}


def moisesdb(root: Path, unit: str = "source") -> Listing:
    """MoisesDB: ``[train|valid|test/]SONG/STEM/SOURCE.wav`` and ``SONG/data.json``; songs and sources are UUIDs.

    Songs moved into split folders have the split of their folder, others the published one, whatever else is there.
    With the unit ``"source"``, as PHALAR and COCOLA have it, every file is a stem (kick and snare are two); with
    ``"stem"``, as the official library has it, the files of a folder (all drums) are summed. Scores of the two do not
    compare. Stems are named by their ``trackType`` (``"kick_drum"``) or their folder (tag ``stem_names``).
    """
    one_of("unit", unit, ("source", "stem"))
    copy, splits = Copy(root), published("moisesdb")
    layout = "folders named by UUIDs, or train, valid and test with such folders in them"
    songs = copy.tracks("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", layout, lambda name: splits.get(name[:8].lower()))
    if other := [song.name for song in songs if splits.get(song.name[:8].lower()) != song.split]:
        copy.report(copy.root, f"{NOTE}{len(other)} songs, such as {other[0]}, are in another split than published")
    return copy.listing("moisesdb", (_song(copy, song, unit) for song in songs))


def _song(copy: Copy, song: Found, unit: str) -> Track | None:
    words, kinds = copy.read(song.path / "data.json", _read_song, ({}, {}))
    folders = {folder: copy.audio(song.path / folder) for folder in copy.entries(song.path)[0]}
    if absent := kinds.keys() - {source for files in folders.values() for source in files}:
        copy.report(song.path, f"has {len(absent)} sources fewer than data.json lists, such as {min(absent)[:80]!r}")
    if unit == "stem":
        stems = [(folder, folder, files.values()) for folder, files in folders.items() if files]
    else:
        sources = [(folder, source, file) for folder, files in folders.items() for source, file in files.items()]
        stems = [(kinds.get(source) or folder, folder, [file]) for folder, source, file in sources]
    words["stem_names"] = [printable(folder) for _, folder, _ in stems]
    pitched = [folder not in ("drums", "percussion") for _, folder, _ in stems]
    return copy.track(song, [(name, files) for name, _, files in stems], pitched, **words)


def _read_song(text: str) -> tuple[dict, dict[str, str]]:
    """Tags of a song, and the ``trackType`` of each source by its id; a stem's name may come in several entries."""
    about = json.loads(text)
    sources = [source for stem in about["stems"] for source in stem["tracks"]]
    tags = {"title": "song", "artist": "artist", "genre": "genre"}
    tags = {tag: printable(str(about[key])).strip() for tag, key in tags.items() if about.get(key)}
    return tags, {str(source["id"]): str(source.get("trackType") or "").strip() for source in sources}


def slakh2100(root: Path) -> Listing:
    """Slakh2100: ``[train|validation|test/]TrackNNNNN/stems/SNN.flac`` (or wav), and ``TrackNNNNN/metadata.yaml``.

    The full set, its copy at 16 kHz and BabySlakh (without splits) are laid out alike. Tracks have the split of their
    folder, or the one that redux gives their number. The folder ``omitted`` is never opened, and tracks that redux
    omits, so that no MIDI file comes twice, are left out wherever they are. The files alone decide what is a stem, less
    white noise, endless tones and one of two that are equal; metadata, which are wrong in places, only name them, by
    ``inst_class`` (``"Bass"``). Tags ``programs`` and ``is_drum`` tell of each stem, ``composition`` of the MIDI file.
    """
    copy = Copy(root)
    layout = "folders Track00001, Track00002, ..., or train, validation and test with such folders in them"
    tracks = copy.tracks("Track[0-9]{5}", layout, lambda name: _redux(int(name[5:])))
    kept = [track for track in tracks if published("slakh2100").get(track.name) != "omitted"]
    if repeated := len(tracks) - len(kept):
        copy.report(copy.root, f"{NOTE}{repeated} tracks are left out as redux does: their MIDI is that of others")
    return copy.listing("slakh2100", (_slakh_track(copy, track) for track in kept))


def _redux(number: int) -> str:
    return "train" if number <= 1500 else "valid" if number <= 1875 else "test"


def _slakh_track(copy: Copy, track: Found) -> Track | None:
    files = copy.audio(track.path / "stems", (".flac", ".wav"))
    files = {stem: path for stem, path in files.items() if re.fullmatch("S[0-9]{1,4}", stem)}
    about = copy.read(track.path / "metadata.yaml", read_keys, {"": {}})
    rendered = {stem for stem, words in about.items() if words.get("audio_rendered") == "true"}
    if absent := sorted(rendered - files.keys()):
        copy.report(track.path / "stems", f"has no audio of {' '.join(absent)}, which metadata.yaml says was rendered")
    for stem in list(files):
        fault = published("slakh2100").get(f"{track.name}/{stem}", "")
        if fault and not (fault.startswith("the same") and fault.split()[-1] not in files):
            copy.report(files[stem], KNOWN_FAULT + fault)
            if fault != "notes are missing":  # in the published test split; used, as everybody does
                del files[stem]
    said = [about.get(stem, {}) for stem in files]
    names = [words.get("inst_class") or words.get("midi_program_name", "") for words in said]
    drums = [words.get("is_drum") == "true" for words in said]
    tags = {"programs": [words.get("midi_program_name", "unknown") for words in said], "is_drum": drums}
    if composition := about[""].get("UUID"):
        tags["composition"] = composition
    stems = [(name, [path]) for name, path in zip(names, files.values(), strict=True)]
    return copy.track(track, stems, [not drum for drum in drums] if all(said) else None, **tags)


ENSEMBLES = ("string", "brass", "woodwind", "random")


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
    copy = Copy(root)
    layout = "train, valid and test with folders such as brass_track048001 in them"
    tracks = copy.tracks(f"({'|'.join(ENSEMBLES)})_track[0-9]+", layout)
    tracks = [track for track in tracks if track.name.split("_")[0] in wanted]
    return copy.listing("cocochorales", (_chorale(copy, track) for track in tracks))


def _chorale(copy: Copy, track: Found) -> Track | None:
    files = copy.audio(track.path / "stems_audio")
    split = [(*stem.split("_", 1), path) for stem, path in files.items() if re.fullmatch("[0-9]{1,3}_.+", stem)]
    voices = [(int(number), name, path) for number, name, path in split]
    if len(voices) < 4:
        copy.report(track.path, f"has {len(voices)} of four voices")
    tags, tempo = {"ensemble": track.name.split("_")[0]}, copy.read(track.path / "metadata.yaml", _read_tempo)
    if tempo is not None:
        tags["tempo"] = tempo
    return copy.track(track, [(name, [path]) for _, name, path in sorted(voices)], [True] * len(voices), **tags)


def _read_tempo(text: str) -> int:
    return int(read_keys(text)[""]["tempo"])


PARTS = ("drums", "bass", "other", "vocals")  # of a song of MUSDB18-HQ


def musdb18hq(root: Path) -> Listing:
    """MUSDB18-HQ: ``train|test/ARTIST - TITLE/{mixture,drums,bass,other,vocals}.wav``. The mixture is not a stem.

    Fourteen songs of ``train`` are in the split valid, as the ``musdb`` package (0.4.3) has them. Songs in the errata
    are used, as everybody uses them. Ids have ``_`` for spaces; the tag ``title`` has the name as it is.
    """
    copy = Copy(root)
    if any(copy.root.glob("*/*.stem.mp4")):
        raise InputError(f"{root} holds MUSDB18 as .stem.mp4: take MUSDB18-HQ, which is wav, or decode it to wav")
    layout = "train and test, with a folder for each song, and in it drums.wav, bass.wav, other.wav and vocals.wav"
    return copy.listing("musdb18hq", (_musdb_song(copy, song) for song in copy.tracks(".+", layout)))


def _musdb_song(copy: Copy, song: Found) -> Track | None:
    files, known = copy.audio(song.path), published("musdb18hq").get(song.name)
    stems = [stem for stem in PARTS if stem in files]
    if len(stems) < len(PARTS):
        copy.report(song.path, f"lacks {', '.join(stem for stem in PARTS if stem not in files)}")
    if known == "valid":
        song = song._replace(split="valid")
    elif known:
        copy.report(song.path, KNOWN_FAULT + known)
    return copy.track(song, [(stem, [files[stem]]) for stem in stems], [stem != "drums" for stem in stems])


MIXES = ("mix", "mixture", "master")  # names of files that are no stem
EXTENSIONS = (".wav", ".flac", ".aiff", ".aif", ".au", ".ogg", ".mp3")  # exact ones first


def folder(root: Path, split: str = "test") -> Listing:
    """Anybody's own multitracks: ``[train|valid|test/]TRACK/[stems/]STEM.wav``, or any other format of libsndfile.

    ``root`` is the very folder that holds a folder for each track or split; ``split`` is that of all tracks in no
    folder of a split. Stems are named by their files; one named mix, mixture or master is none.
    """
    one_of("split", split, SPLITS)
    copy = Copy(root)
    tracks = copy.tracks(".+", "a folder for each track, with an audio file for each stem", lambda name: split)
    stems = ({name: [path] for name, path in _own_stems(copy, track.path).items()} for track in tracks)
    return copy.listing("folder", (copy.track(track, s.items()) for track, s in zip(tracks, stems, strict=True)))


def _own_stems(copy: Copy, folder: Path) -> dict[str, Path]:
    """Those in a folder named stems, if there are any, else those beside it."""
    places = (copy.audio(folder / "stems", EXTENSIONS), copy.audio(folder, EXTENSIONS))
    stems = [{s: p for s, p in files.items() if s.strip().lower() not in MIXES} for files in places]
    return stems[0] or stems[1]
