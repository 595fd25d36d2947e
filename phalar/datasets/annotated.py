"""The data sets of single recordings: beats of GTZAN, chords of GuitarSet. As in :mod:`phalar.datasets.multitracks`.

The readers take a file's text; what is not as it should be is one of the errors that :meth:`Copy.read` reports by path.
Book page *Real data sets*.
"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.datasets.listing import Copy, Dataset, Listed, Stem
from phalar.errors import InputError

LATEST = 86_400.0  # seconds: no recording of these data sets lasts a day
OVERLAP = 1e-3  # seconds by which rounding may let chords overlap

GENRES = ("blues", "classical", "country", "disco", "hiphop", "jazz", "metal", "pop", "reggae", "rock")
CLIP = rf"((?:{'|'.join(GENRES)})[._]\d{{5}})"
WITHOUT_BEATS = "reggae.00086"  # in the published beat files, which are 999


@Dataset(
    title="GTZAN",
    licence="none stated; excerpts of sold recordings, so never pass the audio on (beat annotations: MIT)",
    source="audio: genres.tar.gz of the Marsyas project (MD5 5b3d6dddb579ab49814ab86dba69e7c7), or Kaggle's 'GTZAN "
    "Dataset'; beats: the GitHub repository CPJKU/beat_this_annotations, v1.0, folder gtzan",
    expected={"test": 1000},
    least=1,
    layout="a folder with blues/blues.00000.wav and so on",
    options={"annotations": ()},
)
def gtzan(copy: Copy, annotations: Path | None = None) -> Iterator[Listed]:
    """``[genres/|Data/genres_original/]GENRE/GENRE.NNNNN.wav`` (or au) of Tzanetakis and Cook (2002).

    A track is a clip of half a minute, its one stem is called ``"mix"``, its tag is ``genre``, and all are for testing.
    ``annotations`` is the folder of the beats, or one above: the ``.beats`` of beat_this_annotations or
    gtzan_tempo_beat. A clip whose beats are missing or unreadable is listed without.
    """
    clips, found = copy.files(rf"{CLIP}\.(?:wav|au)"), {}
    if annotations is not None:
        found = Copy(annotations).files(rf"(gtzan_{CLIP}\.beats)")
        if not found:
            raise InputError(f"{annotations} has no beats of GTZAN: expected gtzan_blues_00000.beats and so on")
    for name, path in clips.items():
        file, beats = f"gtzan_{name.replace('.', '_')}.beats", None
        if found and name != WITHOUT_BEATS:
            beats = copy.read(found.get(file, Path(annotations, file)), read_beats)
        yield Listed(name, "test", path, [Stem("mix", path)], {"genre": name.split(".")[0]}, beats=beats)


def read_beats(text: str) -> np.ndarray:
    """Beats of a clip of GTZAN, rising: (beats, 2), seconds and number in the bar, counted from 1. The text has one a
    line; six files have times only, and so 0 for the number."""
    beats = np.array([line.split() for line in text.splitlines() if line.strip()], float)
    times, numbers = beats[:, 0], beats[:, 1:]
    if beats.shape[1] > 2 or not (times[0] >= 0 and times[-1] <= LATEST and (np.diff(times) > 0).all()):
        raise InputError(f"holds no beats, or their times do not rise from 0 to at most {LATEST:.0f} s")
    if not np.isin(numbers, range(1, 100)).all():
        raise InputError("a beat's number in its bar is none: 1 to 99 were expected")
    return np.column_stack([times, numbers if numbers.size else 0 * times])


TAKE = (
    r"(?P<player>\d\d)_(?P<piece>(?P<style>[A-Za-z]+)(?P<progression>\d)-(?P<tempo>\d{2,3})-(?P<key>[A-G][#b]?))"
    r"_(?P<mode>comp|solo)"
)


@Dataset(
    title="GuitarSet 1.1.0",
    licence="CC BY 4.0",
    source="Zenodo record 3371780: annotation.zip and audio_mono-mic.zip, each to be unpacked into its own folder",
    expected={"test": 180},
    least=1,
    layout="the folders annotation and audio_mono-mic, each from the zip of its name",
    options={"mode": ("comp", "solo")},
)
def guitarset(copy: Copy, mode: str = "comp") -> Iterator[Listed]:
    """``annotation/TAKE.jams`` and ``audio_mono-mic/TAKE_mic.wav`` of Xi et al. (2018).

    A track is one take, its one stem is called ``"guitar"``, and all are for testing. ``mode`` is ``"comp"``, the
    accompaniments (as PHALAR), or ``"solo"``. An id is the take's name with ``s`` for ``#``; tags are ``title``, the
    name itself, ``player``, ``style``, ``progression``, ``tempo`` (BPM), ``key``, and ``piece``, which six players
    share, chords and all. A take whose annotation is missing or unreadable is listed without chords.
    """
    sounds, notes = copy.files(rf"({TAKE})_mic\.wav"), copy.files(rf"({TAKE})\.jams")
    for title, path in sounds.items():
        tags = re.fullmatch(TAKE, title).groupdict()
        if tags["mode"] == mode:
            tags |= {"title": title, "progression": int(tags["progression"]), "tempo": int(tags["tempo"])}
            chords = copy.read(notes.get(title, copy.root / "annotation" / f"{title}.jams"), read_chords)
            yield Listed(title.replace("#", "s"), "test", path, [Stem("guitar", path, True)], tags, chords=chords)


def read_chords(text: str) -> tuple[tuple[float, float, str], ...]:
    """Chords of a take as instructed, by the lead sheet (as PHALAR), in order: start, end (seconds) and label.

    The text is JAMS (Humphrey et al. 2014): JSON with a list of annotations. A second one of the same namespace has the
    chords as performed, and says how it was made. Raises InputError if there is not exactly one that does not, or its
    chords overlap, have no label, or do not end.
    """
    named = [each for each in json.loads(text)["annotations"] if each["namespace"] == "chord"]
    sheets = [each["data"] for each in named if not each.get("annotation_metadata", {}).get("data_source")]
    if len(sheets) != 1 or not sheets[0]:
        raise InputError(f"{len(sheets)} annotations have instructed chords, where 1 was expected")
    chords, found = sorted((each["time"], each["time"] + each["duration"], each["value"]) for each in sheets[0]), []
    for (start, end, label), (limit, *_) in pairwise([*chords, (LATEST,)]):
        if not 0 <= start < end <= limit + OVERLAP or not label.strip():
            raise InputError(f"the chord {label!r:.40} at {start!r:.40} s does not end before the next")
        found.append((float(start), float(min(end, limit)), label))
    return tuple(found)
