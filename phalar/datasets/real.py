"""The real data sets: of each the function that finds its tracks. What else to know about it is in ``sets.yaml``.

To add one is to add a function here and a row there; see :mod:`phalar.datasets.listing` for what a :class:`Copy` can
do, and :func:`folder` for the simplest. Readers take a file's text; what is not as it should be is one of the errors
that :meth:`Copy.read` reports by path. Book page *Real data sets*.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.datasets.listing import Copy, Listed, Stem, published
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError

LATEST = 86_400.0  # seconds: no recording lasts a day
OVERLAP = 1e-3  # seconds by which rounding may let chords overlap


def moisesdb(copy: Copy) -> Iterator[Listed]:
    """``[train|valid|test/]SONG/KIND/SOURCE.wav`` and ``SONG/data.json``; songs and sources are UUIDs. Songs moved into
    split folders have the split of their folder, others the published one. As in PHALAR and COCOLA every file is a stem
    (kick and snare are two), named by its ``trackType`` or else its folder, its kind."""
    splits = published("moisesdb")
    like = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    for song in copy.tracks(like, lambda name: splits.get(name[:8].lower())):
        tags, names = copy.read(song.place / "data.json", _read_song, ({}, {}))
        kinds = copy.entries(song.place)[0]
        files = [(kind, *found) for kind in kinds for found in copy.audio(song.place / kind).items()]
        copy.missing(song.place, names, (source for _, source, _ in files))
        stems = [Stem(names.get(s) or kind, file, kind not in ("drums", "percussion"), kind) for kind, s, file in files]
        yield song._replace(stems=stems, tags=tags)


def _read_song(text: str) -> tuple[dict, dict[str, str]]:
    """Tags of a song, and the ``trackType`` of each source by its id; a stem's name may come in several entries."""
    about = json.loads(text)
    sources = [source for stem in about["stems"] for source in stem["tracks"]]
    tags = {"title": "song", "artist": "artist", "genre": "genre"}
    tags = {tag: str(about[key]).strip() for tag, key in tags.items() if about.get(key)}
    return tags, {str(source["id"]): str(source.get("trackType") or "").strip() for source in sources}


def slakh2100(copy: Copy) -> Iterator[Listed]:
    """``[train|validation|test/]TrackNNNNN/stems/SNN.flac`` (or wav), and ``TrackNNNNN/metadata.yaml``. Tracks have the
    split of their folder, or the one that redux gives their number (BabySlakh has no splits). Tracks that redux omits,
    so that no MIDI file comes twice, are left out wherever they are. The files alone decide what is a stem, less white
    noise, endless tones and one of two that are equal; metadata, wrong in places, only name them and tell drums."""
    known = published("slakh2100")
    for track in copy.tracks("Track[0-9]{5}", lambda name: SPLITS[(name[5:] > "01500") + (name[5:] > "01875")]):
        if known.get(track.name) == "omitted":
            continue
        files = copy.audio(track.place / "stems", "S[0-9]{1,4}")
        about = copy.read(track.place / "metadata.yaml", read_stems, {})
        rendered = (stem for stem, words in about.items() if words.get("audio_rendered") == "true")
        copy.missing(track.place / "stems", rendered, files)
        stems = []
        for stem in [stem for stem in files if f"{track.name}/{stem}" not in known]:
            words = about.get(stem, {})
            name = words.get("inst_class") or words.get("midi_program_name", "")
            stems.append(Stem(name, files[stem], words["is_drum"] != "true" if "is_drum" in words else None))
        yield track._replace(stems=stems)


def read_stems(text: str) -> dict[str, dict[str, str]]:
    """Keys and values, as text, of each stem in a ``metadata.yaml`` of Slakh: lines ``S00:``, and below them one key a
    line. Read line by line, so that a damaged one does not hide the others."""
    parts = re.split(r"^ *(S[0-9]{1,4}):\s*$", text, flags=re.MULTILINE)
    stems = zip(parts[1::2], parts[2::2], strict=True)
    return {stem: dict(re.findall(r"^ *(\w+): *['\"]?(.*?)['\"]? *$", keys, re.MULTILINE)) for stem, keys in stems}


def cocochorales(copy: Copy, ensembles: str = "all") -> Iterator[Listed]:
    """``train|valid|test/ENSEMBLE_trackNNNNNN/stems_audio/N_INSTRUMENT.wav``, of the full or the tiny set, soprano
    first. A track's tag is its ``ensemble``. All four are taken, if not told otherwise, as by PHALAR's published loader
    when told ``random``; for COCOLA that is one of them."""
    chosen = "string|brass|woodwind|random" if ensembles == "all" else ensembles
    for track in copy.tracks(f"({chosen})_track[0-9]+"):
        voices = copy.audio(track.place / "stems_audio", "[0-9]_.+")
        if len(voices) < 4:
            copy.report(track.place, f"has {len(voices)} of four voices")
        stems = [Stem(voice[2:], file, True) for voice, file in voices.items()]
        yield track._replace(stems=stems, tags={"ensemble": track.name.split("_")[0]})


def musdb18hq(copy: Copy) -> Iterator[Listed]:
    """``train|test/ARTIST - TITLE/{mixture,drums,bass,other,vocals}.wav``. The mixture is not a stem. Fourteen songs of
    ``train`` are in the split valid, as the ``musdb`` package (0.4.3) has them; the errata are used as they are."""
    parts = ("drums", "bass", "other", "vocals")
    for song in copy.tracks(".+"):
        files = copy.audio(song.place, "|".join(parts))
        copy.missing(song.place, parts, files)
        stems = [Stem(part, files[part], part != "drums") for part in parts if part in files]
        yield song._replace(split=published("musdb18hq").get(song.name, song.split), stems=stems)


GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
CLIP = rf"((?:{'|'.join(GENRES)})[._]\d{{5}})"


def gtzan(copy: Copy, annotations: Path | None = None) -> Iterator[Listed]:
    """``[genres/|Data/genres_original/]GENRE/GENRE.NNNNN.wav`` (or au) of Tzanetakis and Cook (2002): clips of half a
    minute, all for testing, with one stem, ``"mix"``, and the tag ``genre``. ``annotations`` is the folder of the
    beats (of beat_this_annotations or gtzan_tempo_beat), or one above; a clip may lack them."""
    clips, found = copy.files(rf"{CLIP}\.(?:wav|au)"), {}
    if annotations is not None:
        found = Copy(annotations).files(rf"(gtzan_{CLIP}\.beats)")
        if not found:
            raise InputError(f"{annotations} has no beats of GTZAN: expected gtzan_blues_00000.beats and so on")
    for given, path in clips.items():
        name, file, beats = given.replace("_", "."), f"gtzan_{given.replace('.', '_')}.beats", None
        if found and name != "reggae.00086":  # not among the published files of beats, which are 999
            beats = copy.read(found.get(file, Path(annotations, file)), read_beats)
        yield Listed(given, "test", path, [Stem("mix", path)], {"genre": name.split(".")[0]}, beats=beats)


def read_beats(text: str) -> np.ndarray:
    """Beats of a clip of GTZAN, rising: (beats, 2), seconds and number in the bar, counted from 1. The text has one a
    line; six files have times only, and so 0 for the number."""
    beats = np.array([line.split() for line in text.splitlines() if line.strip()], float)
    times, numbers = beats[:, 0], beats[:, 1:]
    rise = times[0] >= 0 and times[-1] <= LATEST and (np.diff(times) > 0).all()
    if beats.shape[1] > 2 or not (rise and np.isin(numbers, range(1, 100)).all()):
        raise InputError(f"expected times that rise from 0 to at most {LATEST:.0f} s, and numbers in the bar, 1 to 99")
    return np.column_stack([times, numbers if numbers.size else 0 * times])


TAKE = (
    r"(?P<player>\d\d)_(?P<piece>(?P<style>[A-Za-z]+)(?P<progression>\d)-(?P<tempo>\d{2,3})-(?P<key>[A-G][#b]?))"
    r"_(?P<mode>comp|solo)"
)


def guitarset(copy: Copy, mode: str = "comp", chords: str = "instructed") -> Iterator[Listed]:
    """``annotation/TAKE.jams`` and ``audio_mono-mic/TAKE_mic.wav`` of Xi et al. (2018): takes with one stem,
    ``"guitar"``, all for testing. ``mode`` is ``"comp"``, the accompaniments (as PHALAR), or ``"solo"``; ``chords`` as
    in :func:`read_chords`. An id is the take's name with ``s`` for ``#``; tags are ``title``, the name itself,
    ``player``, ``style``, ``progression``, ``tempo`` (BPM), ``key``, and ``piece``, which six players share, chords and
    all. A take whose chords are missing or unreadable is left out, and named among what was not usable."""

    def read(text: str) -> tuple:
        return read_positions(text), read_chords(text, chords == "performed")

    sounds, notes = copy.files(rf"({TAKE})_mic\.wav"), copy.files(rf"({TAKE})\.jams")
    for title, path in sounds.items():
        tags = re.fullmatch(TAKE, title).groupdict()
        if tags["mode"] == mode:
            tags |= {"title": title, "progression": int(tags["progression"]), "tempo": int(tags["tempo"])}
            jams = notes.get(title, copy.root / "annotation" / f"{title}.jams")
            beats, found = copy.read(jams, read, (None, None))
            if found:
                yield Listed(title.replace("#", "s"), "test", path, [Stem("guitar", path, True)], tags, beats, found)


def read_positions(text: str) -> np.ndarray | None:
    """Beats of a take of GuitarSet, from its JAMS, as those of :func:`read_beats`; None where it has none."""
    found = (each["data"] for each in json.loads(text)["annotations"] if each["namespace"] == "beat_position")
    lines = [f"{each['time']} {each['value']['position']}" for each in next(found, ())]
    return read_beats("\n".join(lines)) if lines else None


def read_chords(text: str, performed: bool = False) -> tuple[tuple[float, float, str], ...]:
    """Chords of a take in order: start, end (seconds) and label; as instructed, by the lead sheet (as PHALAR), or as
    ``performed``, by what sounded, where a chord may last until the next. Of the two annotations of this namespace in
    the text, JAMS (Humphrey et al. 2014), the one as performed says how it was made. An InputError if there is not
    exactly one of the kind, or its chords overlap, have no label, or do not end."""
    jams, found = json.loads(text), []
    named = [a for a in jams["annotations"] if a["namespace"] == "chord"]
    sheets = [a["data"] for a in named if bool(a.get("annotation_metadata", {}).get("data_source")) == performed]
    if len(sheets) != 1 or not sheets[0]:
        raise InputError(f"{len(sheets)} annotations have such chords, where 1 was expected")
    chords = sorted(((each["time"], each["duration"], each["value"]) for each in sheets[0]), key=lambda each: each[0])
    last = LATEST if chords[-1][1] is not None else jams["file_metadata"]["duration"]
    for (start, duration, label), (limit, *_) in pairwise([*chords, (last,)]):
        end = limit if duration is None else start + duration
        if not 0 <= start < end <= limit + OVERLAP or not label.strip():
            raise InputError(f"the chord {label!r:.40} at {start!r:.40} s does not end before the next")
        found.append((float(start), float(min(end, limit)), label))
    return tuple(found)


def folder(copy: Copy, split: str = "test") -> Iterator[Listed]:
    """Anybody's own: ``[train|valid|test/]TRACK/[stems/]STEM.wav``, or any other format of libsndfile. ``split`` is
    that of tracks in no folder of a split. Stems are named by their files; one named mix, mixture or master is none."""
    no_mix = r"(?!\s*(?i:mix|mixture|master)\s*$).+"
    for track in copy.tracks(".+", lambda _: split):
        stems, beside = (copy.audio(place, no_mix) for place in (track.place / "stems", track.place))
        yield track._replace(stems=[Stem(name, file) for name, file in (stems or beside).items()])
