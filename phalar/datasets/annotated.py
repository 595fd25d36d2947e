"""The data sets of single recordings: beats of GTZAN, chords of GuitarSet. As in :mod:`phalar.datasets.multitracks`.

JAMS (Humphrey et al. 2014) is JSON: a list of annotations, each of a *namespace* (``"chord"``) and each a list of
observations. Real files hold several annotations of one namespace, so metadata must tell which is which. The readers
take a file's text; what is not as it should be is one of the errors that :meth:`Copy.read` reports by path. Book page
*Real data sets*.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.datasets.files import KNOWN_FAULT, NOTE
from phalar.datasets.listing import Copy, Dataset, Found, one_of
from phalar.datasets.tracks import Track
from phalar.errors import InputError

Chords = tuple[tuple[float, float, str], ...]  # rising: start, end (seconds) and label
LATEST = 86_400.0  # seconds: no recording of these data sets lasts a day
LONGEST_BAR = 99  # beats; GTZAN's longest has 5
OVERLAP = 1e-3  # seconds by which rounding may let chords overlap


def read_jams(text: str, namespace: str) -> list[tuple[str, list[tuple[float, float | None, object]]]]:
    """The annotations of one namespace: each its ``data_source``, and its observations in order of time: (seconds,
    length or None, value)."""
    found = []
    for entry in json.loads(text)["annotations"]:
        if entry["namespace"] == namespace:
            seen = [(_seconds(one["time"]), _length(one.get("duration")), one.get("value")) for one in entry["data"]]
            source = entry.get("annotation_metadata", {}).get("data_source")
            found.append((source or "", sorted(seen, key=lambda each: each[0])))
    return found


def _seconds(value: float) -> float:
    if not 0 <= value <= LATEST:  # NaN too
        raise InputError(f"{value!r:.40} is no time: seconds from 0 to {LATEST:.0f} were expected")
    return float(value)


def _length(value: float | None) -> float | None:
    """A length that may be unknown: absent, null, or the NaN that Python writes into JSON."""
    return None if value is None or value != value else _seconds(value)


def _beats(times: list[float], numbers: list[float] | None = None) -> np.ndarray:
    """Rising seconds, and numbers in the bar counted from 1, or 0 if not known: (beats, 2)."""
    if not times or any(following <= time for time, following in pairwise(times)):
        raise InputError("holds no beats, or their times do not rise")
    if wrong := [number for number in numbers or [] if number not in range(1, LONGEST_BAR + 1)]:
        raise InputError(f"a beat has the number {wrong[0]!r:.40} in its bar; it counts from 1")
    return np.column_stack([[_seconds(time) for time in times], numbers or [0] * len(times)]).astype(float)


def read_beats(text: str) -> np.ndarray:
    """Beats of a clip of GTZAN (beats, 2) from a ``.beats`` file: one a line, its time in seconds and, after a tab, its
    number in the bar; six files have times only."""
    return _beats(*np.array([line.split() for line in text.splitlines() if line.strip()], float).T.tolist())


GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
CLIP = rf"((?:{'|'.join(GENRES)})[._]\d{{5}})"
WITHOUT_BEATS = "reggae.00086"  # in the published beat files, which are 999


@Dataset(
    title="GTZAN",
    licence="none stated; excerpts of sold recordings, so never pass the audio on (beat annotations: MIT)",
    size="1.2 GB",
    source="audio: genres.tar.gz of the Marsyas project (MD5 5b3d6dddb579ab49814ab86dba69e7c7), or Kaggle's 'GTZAN "
    "Dataset'; beats: the GitHub repository CPJKU/beat_this_annotations, v1.0, folder gtzan",
    citation="G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE Trans. Speech and Audio "
    "Processing 10(5), 2002. Beats: U. Marchand and others: GTZAN-Rhythm. ISMIR late-breaking session, 2015.",
    expected={"test": 1000},
    options={"annotations": (None, "folder of the beat annotations (.beats files)")},
)
def gtzan(copy: Copy, annotations: Path | None = None) -> Iterator[Track]:
    """``[genres/|Data/genres_original/]GENRE/GENRE.NNNNN.wav`` (or au) of Tzanetakis and Cook (2002).

    A track is a clip of half a minute, its one stem is called ``"mix"``, its tag is ``genre``, and all are for testing.
    ``annotations`` is the folder of the beats, or one above: the ``.beats`` of beat_this_annotations or
    gtzan_tempo_beat. A clip whose beats are missing or unreadable is listed without.
    """
    clips = copy.files(rf"{CLIP}\.(?:wav|au)", "a folder with blues/blues.00000.wav and so on")
    if annotations is None:
        copy.report(copy.root, f"{NOTE}no beats are listed: name the folder of the annotations")
    else:
        found = Copy(annotations).files(rf"gtzan_{CLIP}\.beats", "gtzan_blues_00000.beats and so on")
        found = {name.replace("_", "."): path for name, path in found.items()}
    for name, path in clips.items():
        beats = None
        if annotations is not None and name in found:
            beats = copy.read(found[name], read_beats)
        elif annotations is not None:
            copy.report(path, f"{KNOWN_FAULT if name == WITHOUT_BEATS else NOTE}no annotation of its beats")
        tags = {"genre": name.split(".")[0]}
        yield copy.track(Found(name, "test", path), [("mix", [path])], tags, least=1, beats=beats)


TAKE = (
    r"(?P<player>\d\d)_(?P<piece>(?P<style>[A-Za-z]+)(?P<progression>\d)-(?P<tempo>\d{2,3})-(?P<key>[A-G][#b]?))"
    r"_(?P<mode>comp|solo)"
)


@Dataset(
    title="GuitarSet 1.1.0",
    licence="CC BY 4.0",
    size="1.5 h of accompaniment, 0.5 GB unpacked, and the solos",
    source="Zenodo record 3371780: annotation.zip and audio_mono-mic.zip, each to be unpacked into its own folder",
    citation="Q. Xi and others: GuitarSet: A Dataset for Guitar Transcription. ISMIR 2018.",
    expected={"test": 180},
    options={
        "mode": ("comp", "comp (accompaniments) or solo"),
        "chords": ("instructed", "instructed (lead sheet) or performed (inferred from the notes)"),
    },
)
def guitarset(copy: Copy, mode: str = "comp", chords: str = "instructed") -> Iterator[Track]:
    """``annotation/TAKE.jams`` and ``audio_mono-mic/TAKE_mic.wav`` of Xi et al. (2018).

    A track is one take, its one stem is called ``"guitar"``, and all are for testing. ``mode`` is ``"comp"``, the
    accompaniments (as PHALAR), or ``"solo"``; ``chords`` is ``"instructed"``, what the lead sheet asks for (as PHALAR),
    or ``"performed"``, what was inferred from the notes played. An id is the take's name with ``s`` for ``#``; tags are
    ``title``, the name itself, ``player``, ``style``, ``progression``, ``tempo`` (BPM), ``key``, and ``piece``, which
    six players share, chords and all. A take whose annotation is missing or unreadable is listed without chords.
    """
    one_of("mode", mode, ("comp", "solo"))
    one_of("chords", chords, ("instructed", "performed"))
    layout = "the folders annotation and audio_mono-mic, each from the zip of its name"
    sounds, notes = copy.files(rf"({TAKE})_mic\.wav", layout), copy.files(rf"({TAKE})\.jams", layout)
    for title in sorted({*sounds, *notes}):
        tags = {"title": title, **re.fullmatch(TAKE, title).groupdict()}
        if tags["mode"] != mode:
            continue
        if title not in sounds:
            copy.report(notes[title], f"has no recording: audio_mono-mic/{title}_mic.wav is missing")
            continue
        found = beats = None
        if title in notes:
            found, beats = copy.read(notes[title], partial(read_take, chords=chords), (None, None))
        else:
            copy.report(sounds[title], "has no annotation, so it is listed without chords")
        tags |= {"progression": int(tags["progression"]), "tempo": int(tags["tempo"])}
        take, about = Found(title.replace("#", "s"), "test", sounds[title]), {"beats": beats, "chords": found}
        yield copy.track(take, [("guitar", [sounds[title]])], tags, least=1, pitched=(True,), **about)


def read_chords(text: str, chords: str) -> Chords:
    """Chords of a take, ``"instructed"`` or ``"performed"``; one of no stated length lasts until the next, or the end.

    The two annotations are told apart by metadata: only the performed one says how it was made. Raises InputError if
    there is not exactly one of the kind, or its chords overlap, have no label, or do not end.
    """
    kind = [seen for source, seen in read_jams(text, "chord") if bool(source) == (chords == "performed")]
    if len(kind) != 1 or not kind[0]:
        raise InputError(f"{len(kind)} chord annotations are of the kind {chords!r} where 1 was expected")
    found, limits = [], [*(start for start, *_ in kind[0][1:]), None]
    last = _length(json.loads(text).get("file_metadata", {}).get("duration"))
    for (start, length, label), limit in zip(kind[0], limits, strict=True):
        end = start + length if length is not None else last if limit is None else limit
        if end is None or end <= start or (limit is not None and end > limit + OVERLAP) or not label.strip():
            raise InputError(f"the chord {label!r:.40} at {start} s does not end, or not between there and the next")
        found.append((start, end if limit is None else min(end, limit), label))
    return tuple(found)


def read_take(text: str, chords: str) -> tuple[Chords, np.ndarray | None]:
    """Chords of a take of GuitarSet, and its beats with their positions in the bar, None where the file has none."""
    annotations = read_jams(text, "beat_position")
    if len(annotations) > 1:
        raise InputError(f"{len(annotations)} annotations of beat positions where 1 was expected")
    seen = annotations[0][1] if annotations else []
    beats = _beats([time for time, *_ in seen], [value["position"] for *_, value in seen]) if seen else None
    return read_chords(text, chords), beats
