"""The data sets of single recordings with annotations: beats of GTZAN, chords of GuitarSet; and JAMS, their format.

JAMS (Humphrey et al. 2014) is JSON: a list of annotations, each of a *namespace* (``"chord"``, ``"beat"``) and each a
list of observations. Real files hold several annotations of one namespace, so metadata must tell which is which. The
files come from the internet: whatever they hold, a reader gives annotations or an InputError that says what is wrong
inside (the caller knows the path). Book page *Real data sets*.
"""

import json
import re
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phalar.datasets.listing import KNOWN_FAULT, Dataset, Listing, SourceStem, SourceTrack, Survey, one_of
from phalar.errors import InputError

Beats = tuple[tuple[float, int], ...]  # rising seconds, and number in the bar counted from 1, or 0 if not known
Chords = tuple[tuple[float, float, str], ...]  # rising: start, end (seconds) and label
LARGEST = 16 * 2**20  # bytes; GuitarSet has 1.7 MB for a take of 22 s, and no take of a minute
LATEST = 86_400.0  # seconds: no recording of these data sets lasts a day
LONGEST_BAR = 99  # beats; GTZAN's longest has 5
COINCIDE = 0.05  # seconds between a downbeat and the beat that it is
OVERLAP = 1e-3  # seconds by which rounding may let chords overlap


class Annotation(NamedTuple):
    """One annotator's observations: (seconds, length or None, value), in order of time. ``source`` and ``kind`` are the
    file's ``data_source`` and ``annotation_type``; ``length`` is that of what was annotated, if stated."""

    observations: list[tuple[float, float | None, object]]
    source: str
    kind: str
    length: float | None


def read_jams(path: Path, namespace: str) -> list[Annotation]:
    """The annotations of one namespace; the others are passed over unread."""
    try:
        document = json.loads(_bytes(path))
        length = _length(document.get("file_metadata", {}).get("duration"))
        return [
            Annotation(
                sorted(  # JAMS promises no order
                    ((_seconds(o["time"]), _length(o.get("duration")), o.get("value")) for o in entry["data"]),
                    key=lambda observation: observation[0],
                ),
                str(entry.get("annotation_metadata", {}).get("data_source") or "").strip(),
                str(entry.get("sandbox", {}).get("annotation_type") or "").strip(),
                length,
            )
            for entry in document["annotations"]
            if entry["namespace"] == namespace
        ]
    except InputError:
        raise
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"is not JAMS as it should be ({type(error).__name__}: {error!s:.80})") from error


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError(f"has more than {LARGEST >> 20} MB, so it holds no annotations of a piece")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LATEST:  # NaN too
        raise InputError(f"{value!r:.40} is no time: seconds from 0 to {LATEST:.0f} were expected")
    return float(value)


def _length(value: object) -> float | None:
    """A length that may be unknown: absent, null, or the NaN that Python writes into JSON."""
    return None if value is None or value != value else _seconds(value)


def _numbered(times: list[float], numbers: list[float], lowest: int = 0) -> Beats:
    """Beats, if their times rise and their numbers are such."""
    for time, following in pairwise(times):
        if following <= time:
            raise InputError(f"the beat at {time} s is followed by one at {following} s: times must rise")
    for number in numbers:
        if number not in range(lowest, LONGEST_BAR + 1):
            raise InputError(f"a beat has the number {number!r:.40} in its bar; it counts from 1")
    return tuple((_seconds(time), int(number)) for time, number in zip(times, numbers, strict=True))


def read_beats(path: Path) -> Beats:
    """Beats of a clip of GTZAN, in any of the forms in which they are handed round; an InputError if it is of none.

    ``.beats``: one beat a line, its time in seconds and, after a tab, its number in the bar; six files have times only.
    ``.jams`` (GTZAN-Rhythm): times of the beats and times of the downbeats, from which the numbers follow.
    """
    if path.suffix == ".jams":
        annotations = read_jams(path, "beat")
        lists = {each.kind: [time for time, *_ in each.observations] for each in annotations}
        if "beat" not in lists or len(lists) < len(annotations):
            raise InputError("has not exactly one annotation whose sandbox.annotation_type is 'beat'")
        beats = number_beats(lists["beat"], lists.get("downbeat", []))
    else:
        try:
            rows = [line.split() for line in _bytes(path).decode("utf-8-sig").splitlines() if line.strip()]
            table = np.array(rows, float)
        except ValueError as error:
            raise InputError("is no table of times in seconds and numbers in the bar, one beat a line") from error
        if not len(table) or table.shape[1] > 2:
            raise InputError("holds no beats, or more than a time and a number in the bar for each")
        numbered = table.shape[1] == 2
        return _numbered(table[:, 0].tolist(), [*table[:, 1:].flat] if numbered else [0] * len(table), int(numbered))
    if not beats:
        raise InputError("holds no beats")
    return _numbered(*(list(column) for column in zip(*beats, strict=True)))


def number_beats(times: list[float], downbeats: list[float]) -> Beats:
    """Number beats in their bars, given which of them begin one.

    Beats before the first downbeat (a pick-up) are counted back from it, as if their bar were as long as the first
    whole one. Numbers are 0 where they do not follow: in a pick-up without a whole bar as long, and throughout if there
    are no downbeats or one of them is not (within 50 ms) on a beat of its own.
    """
    beats, bars, numbers = np.asarray(times), np.asarray(downbeats), [0] * len(times)
    if not len(beats) or not len(bars):
        return tuple(zip(times, numbers, strict=True))
    firsts = np.searchsorted((beats[1:] + beats[:-1]) / 2, bars).tolist()  # the beat nearest to each downbeat
    if np.abs(beats[firsts] - bars).max() <= COINCIDE and len(set(firsts)) == len(firsts):
        for first, end in pairwise([*firsts, len(times)]):
            numbers[first:end] = range(1, end - first + 1)
        pick_up, bar = firsts[0], firsts[1] - firsts[0] if len(firsts) > 1 else 0
        if pick_up < bar:
            numbers[:pick_up] = range(bar - pick_up + 1, bar + 1)
    return tuple(zip(times, numbers, strict=True))


GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
WITHOUT_BEATS = "reggae.00086"  # in the published beat files, which are 999
BEAT_FILES = ("gtzan_{0}_{1}.beats", "{0}.{1}.wav.jams", "{0}.{1}.au.jams", "{0}.{1}.jams")


def gtzan(root: Path, annotations: Path | None = None) -> Listing:
    """GTZAN (Tzanetakis and Cook 2002): ``[genres/|Data/genres_original/]GENRE/GENRE.NNNNN.wav`` (or au).

    A track is a clip of half a minute, its one stem is called ``"mix"``, its tag is ``genre``, and all are for testing.
    ``annotations`` is the folder of the beats, or one above: ``.beats`` of beat_this_annotations or gtzan_tempo_beat,
    or the ``.jams`` of GTZAN-Rhythm. A clip whose beats are missing or unreadable is listed without.
    """
    copy = Survey(root)
    clips = next(filter(None, (_clips(copy, copy.root / place) for place in GTZAN_PLACES)), None)
    if clips is None:
        raise InputError(f"no GTZAN clip under {root}: a folder with blues/blues.00000.wav and so on was expected")
    beat_files = None if annotations is None else _beat_files(Survey(annotations), clips)
    if beat_files is None:
        copy.note(copy.root, "no beats are listed: name the folder of the annotations")
    tracks = []
    for name, path in clips.items():
        beats = None
        if beat_files is not None and name not in beat_files:
            copy.note(path, f"{KNOWN_FAULT if name == WITHOUT_BEATS else ''}no annotation of its beats: listed without")
        elif beat_files is not None:
            try:
                beats = read_beats(beat_files[name])
            except InputError as error:
                copy.leave_out(beat_files[name], f"{error}; the clip {name} is listed without beats")
        tags = {"genre": name.split(".")[0]}
        tracks.append(SourceTrack(name, "test", (SourceStem("mix", (path,)),), tags, beats))
    return copy.listing("gtzan", tracks)


GTZAN_PLACES = (".", "genres", "genres_original", "Data/genres_original")
BEAT_PLACES = (".", "beats", "annotations/beats", "gtzan/annotations/beats", "jams")


def _clips(copy: Survey, place: Path) -> dict[str, Path]:
    """The file of each clip, by id; ``.wav`` where a clip is there in both forms."""
    clips = {}
    for genre in GENRES:
        for name, path in copy.audio(place / genre, (".wav", ".au")).items():
            if re.fullmatch(rf"{genre}\.\d{{5}}", name):
                clips[name] = path
            else:
                copy.leave_out(path, f"is not named like {genre}.00000.wav, so it is no clip")
    return clips


def _beat_files(copy: Survey, clips: dict[str, Path]) -> dict[str, Path]:
    """The annotation of each clip, by the clip's id: one form, from one place."""
    for place in BEAT_PLACES:
        names = set(copy.entries(copy.root / place)[1])
        for form in BEAT_FILES:
            files = {clip: copy.root / place / form.format(*clip.split(".")) for clip in clips}
            if files := {clip: path for clip, path in files.items() if path.name in names}:
                return files
    raise InputError(f"no beats of GTZAN under {copy.root}: gtzan_blues_00000.beats or blues.00000.wav.jams expected")


GTZAN = Dataset(
    name="gtzan",
    title="GTZAN",
    licence="none stated; excerpts of sold recordings, so never pass the audio on (beat annotations: MIT)",
    size="1.2 GB",
    source="audio: genres.tar.gz of the Marsyas project (MD5 5b3d6dddb579ab49814ab86dba69e7c7), or Kaggle's 'GTZAN "
    "Dataset'; beats: the GitHub repository CPJKU/beat_this_annotations, v1.0, folder gtzan",
    citation="G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE Trans. Speech and Audio "
    "Processing 10(5), 2002. Beats: U. Marchand and others: GTZAN-Rhythm. ISMIR late-breaking session, 2015.",
    expected={"test": 1000},
    list=gtzan,
    options={"annotations": (None, "folder of the beat annotations (.beats files, or GTZAN-Rhythm's .jams)")},
)

TITLE = re.compile(r"(?P<player>\d\d)_(?P<piece>(?P<style>[A-Za-z]+)(?P<progression>\d)-(?P<tempo>\d{2,3})-"
                   r"(?P<key>[A-G][#b]?))_(?P<mode>comp|solo)")  # fmt: skip


def guitarset(root: Path, mode: str = "comp", chords: str = "instructed") -> Listing:
    """GuitarSet (Xi et al. 2018): ``annotation/TAKE.jams`` and ``audio_mono-mic/TAKE_mic.wav``.

    A track is one take, its one stem is called ``"guitar"``, and all are for testing. ``mode`` is ``"comp"``, the
    accompaniments (as PHALAR), or ``"solo"``; ``chords`` is ``"instructed"``, what the lead sheet asks for (as PHALAR),
    or ``"performed"``, what was inferred from the notes played. An id is the take's name with ``s`` for ``#``; tags are
    ``title``, the name itself, ``player``, ``style``, ``progression``, ``tempo`` (BPM), ``key``, and ``piece``, which
    six players share, chords and all. A take whose annotation is missing or unreadable is listed without chords.
    """
    one_of("mode", mode, ("comp", "solo"))
    one_of("chords", chords, ("instructed", "performed"))
    copy = Survey(root)
    layout = "the folders annotation and audio_mono-mic, each from the zip of its name, which is flat inside"
    place = copy.locate(lambda folders: {"annotation", "audio_mono-mic"} <= set(folders), layout)
    sounds = _takes(copy, place / "audio_mono-mic", "_mic.wav", mode)
    notes = _takes(copy, place / "annotation", ".jams", mode)
    for title in sorted(notes.keys() - sounds.keys()):
        copy.leave_out(notes[title], f"has no recording: audio_mono-mic/{title}_mic.wav is missing")
    tracks = []
    for title, sound in sounds.items():
        found, beats = None, None
        if title not in notes:
            copy.note(sound, "has no annotation, so it is listed without chords")
        else:
            try:
                found, beats = read_chords(notes[title], chords), read_beat_positions(notes[title])
            except InputError as error:
                copy.leave_out(notes[title], f"{error}; the take is listed without chords")
        tags = TITLE.fullmatch(title).groupdict()
        tags |= {"title": title, "progression": int(tags["progression"]), "tempo": int(tags["tempo"])}
        stems = (SourceStem("guitar", (sound,)),)
        tracks.append(SourceTrack(title.replace("#", "s"), "test", stems, tags, beats, found, pitched=(True,)))
    return copy.listing("guitarset", tracks)


def _takes(copy: Survey, folder: Path, ending: str, mode: str) -> dict[str, Path]:
    """Files of the takes of one mode, by title."""
    found = {}
    for name in copy.entries(folder)[1]:
        match = TITLE.fullmatch(name.removesuffix(ending))
        if match is None and name.endswith(ending):
            copy.leave_out(folder / name, f"is not named like 00_BN1-129-Eb_comp{ending}, so it is no take")
        elif match and name.endswith(ending) and match["mode"] == mode:
            found[match[0]] = folder / name
    return found


def read_chords(path: Path, chords: str) -> Chords:
    """Chords of a take, ``"instructed"`` or ``"performed"``; one of no stated length lasts until the next, or the end.

    The two annotations are told apart by metadata: only the performed one says how it was made. Raises InputError if
    there is not exactly one of the kind, or its chords overlap, have no label, or do not end.
    """
    annotations = [each for each in read_jams(path, "chord") if bool(each.source) == (chords == "performed")]
    if len(annotations) != 1 or not annotations[0].observations:
        raise InputError(f"{len(annotations)} chord annotations are of the kind {chords!r} where 1 was expected")
    found, seen = [], annotations[0].observations
    for (start, length, label), following in zip_longest(seen, seen[1:]):
        limit = following[0] if following else annotations[0].length
        end = limit if length is None else start + length
        if not isinstance(label, str) or not label.strip():
            raise InputError(f"the chord at {start} s has the label {label!r:.40}")
        if end is None or end <= start or (following and end > limit + OVERLAP):
            raise InputError(f"the chord at {start} s does not end, or not between there and the next chord")
        found.append((start, min(end, limit) if following else end, label))
    return tuple(found)


def read_beat_positions(path: Path) -> Beats | None:
    """Beats of a take of GuitarSet, or None where the file has no beat positions."""
    annotations = read_jams(path, "beat_position")
    if len(annotations) > 1:
        raise InputError(f"{len(annotations)} annotations of beat positions where 1 was expected")
    seen = [observation for each in annotations for observation in each.observations]
    positions = [value.get("position") if isinstance(value, dict) else None for *_, value in seen]
    return _numbered([time for time, *_ in seen], positions, lowest=1) if seen else None


GUITARSET = Dataset(
    name="guitarset",
    title="GuitarSet 1.1.0",
    licence="CC BY 4.0",
    size="1.5 h of accompaniment, 0.5 GB unpacked, and the solos",
    source="Zenodo record 3371780: annotation.zip and audio_mono-mic.zip, each to be unpacked into its own folder",
    citation="Q. Xi and others: GuitarSet: A Dataset for Guitar Transcription. ISMIR 2018.",
    expected={"test": 180},
    list=guitarset,
    options={
        "mode": ("comp", "comp (accompaniments) or solo"),
        "chords": ("instructed", "instructed (lead sheet) or performed (inferred from the notes)"),
    },
)
