"""What a corpus is like: some seconds of a piece as notes and as the model's picture, and measures of every piece.

Nothing here listens for anything: what is drawn beside the sound is what the corpus says of itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from phalar.audio import mono_16k
from phalar.corpora.leadsheet import MODES, PITCH_CLASSES
from phalar.corpora.rendering import loudness
from phalar.datasets.tracks import BLOCK, SPLITS, Track
from phalar.errors import InputError
from phalar.model.frontend import LogCQT

FLATS = {"c#": "Db", "d#": "Eb", "f#": "Gb", "g#": "Ab", "a#": "Bb"}
"""Tonics are named as in :data:`phalar.corpora.leadsheet.PITCH_CLASSES`."""

DRUMS = ("drums", "percussion")
"""Roles and patches whose notes are keys of a drum map, not pitches."""


@dataclass(frozen=True)
class Passage:
    """Some seconds of a track. All times are seconds from the beginning of the passage.

    Attributes
    ----------
    title : str
        What the figure says above it.
    seconds : float
    picture : np.ndarray, (96, frames), float32
        The model's input for the mix: a row a semitone from C0, 100 frames a second; 80 dB are a difference of 1.
    stems : tuple of str
    notes : tuple of np.ndarray, each (notes, 3), or None
        Per stem: onset, duration, MIDI pitch; clipped to the passage. None if the corpus keeps none.
    drums : tuple of bool
        Per stem: whether pitches are drum keys.
    beats : np.ndarray, (beats, 2)
        Time, and number in the bar.
    chords : tuple of (float, float, str)
        Start, end and label.
    """

    title: str
    seconds: float
    picture: np.ndarray
    stems: tuple[str, ...]
    notes: tuple[np.ndarray, ...] | None
    drums: tuple[bool, ...]
    beats: np.ndarray
    chords: tuple[tuple[float, float, str], ...]


def spread(tracks: Sequence[Track], count: int) -> list[Track]:
    """So many tracks, evenly spaced in the list, or all of them if there are fewer."""
    if count < 1:
        raise InputError(f"examples={count}: at least one track is needed")
    return [tracks[i * len(tracks) // count] for i in range(count)] if count < len(tracks) else list(tracks)


def fullest(track: Track, seconds: float) -> float:
    """Where the passage begins in which most stems sound, in seconds: at a downbeat if the track has beats.

    Of equally full places the first. The last sixth of a track is left out, where all may play but only the last chord.
    """
    places = [0.0] if track.beats is None else [0.0, *track.beats[track.beats[:, 1] == 1, 0].tolist()]
    places = [place for place in places if place + seconds <= track.duration * 5 / 6] or [0.0]
    if track.sounding is None:
        return places[0]
    playing = np.zeros(-(-track.num_samples // BLOCK) + 1, np.int64)
    for spans in track.sounding:
        for first, last in spans:
            playing[first:last] += 1
    heard = np.concatenate([[0], np.cumsum(playing)])
    rate = track.sample_rate / BLOCK
    edges = np.minimum(np.round(np.array([[p, p + seconds] for p in places]) * rate).astype(int), len(playing))
    return places[int(np.argmax(heard[edges[:, 1]] - heard[edges[:, 0]]))]


def passage(track: Track, start: float, seconds: float) -> Passage:
    """Cut a passage out of a track, with everything that is known of it.

    Parameters
    ----------
    track : Track
    start, seconds : float
        At least 2 s long, for the transform; zeros follow where the track ends.

    Raises
    ------
    InputError
        If it would begin outside the track or is too short. Taught in ``book/corpora.md``.
    """
    if seconds < 2:
        raise InputError(f"seconds={seconds}: a passage needs 2 s, or its lowest notes cannot be told apart")
    mix = track.excerpt(round(start * track.sample_rate), round(seconds * track.sample_rate)).sum(axis=0)
    with torch.inference_mode():
        picture = LogCQT()(torch.from_numpy(mono_16k(mix, track.sample_rate))[None])[0].numpy()
    beats = np.zeros((0, 2)) if track.beats is None else track.beats
    beats = beats[(beats[:, 0] >= start) & (beats[:, 0] < start + seconds)]
    chords = [
        (max(a - start, 0.0), min(b - start, seconds), label)
        for a, b, label in track.chords or ()
        if b > start and a < start + seconds
    ]
    players = track.tags.get("roles") or track.tags.get("patches") or [""] * len(track.stems)
    known = [str(track.tags[name]) for name in ("genre", "style", "ensemble", "feel", "player") if track.tags.get(name)]
    return Passage(
        title=", ".join([track.tags.get("title", track.id), *dict.fromkeys(known), f"from {start:.1f} s"]),
        seconds=seconds,
        picture=picture,
        stems=track.stems,
        notes=None if track.notes is None else tuple(_within(notes, start, seconds) for notes in track.notes),
        drums=tuple(player in DRUMS for player in players),
        beats=beats - [start, 0],
        chords=tuple(chords),
    )


def _within(notes: np.ndarray, start: float, seconds: float) -> np.ndarray:
    begin, end = notes[:, 0] - start, notes[:, 0] + notes[:, 1] - start
    kept = (end > 0) & (begin < seconds)
    begin, end = np.maximum(begin[kept], 0), np.minimum(end[kept], seconds)
    return np.column_stack([begin, end - begin, notes[kept, 2]])


def measures(tracks: Sequence[Track]) -> pd.DataFrame:
    """What every piece is like, a row a track.

    Returns
    -------
    pandas.DataFrame
        ``id``, ``split``, ``seconds``, ``stems``; ``tempo``, the median of what is between beats, in beats a minute;
        ``tonic``, a name of the twelve pitch classes, and ``mode``; ``resting``, the share of all stems' time that is
        silence; ``density``, notes a second of all stems together. What is not known is None or NaN.
    """
    rows = []
    for track in tracks:
        tonic, mode = key(str(track.tags.get("key", "")))
        spans = track.sounding or ()
        blocks = len(track.stems) * -(-track.num_samples // BLOCK)
        rows.append(
            {
                "id": track.id,
                "split": track.split,
                "seconds": track.duration,
                "stems": len(track.stems),
                "tempo": np.nan if track.beats is None else 60 / np.median(np.diff(track.beats[:, 0])),
                "tonic": tonic,
                "mode": mode,
                "resting": 1 - sum(int((s[:, 1] - s[:, 0]).sum()) for s in spans) / blocks if spans else np.nan,
                "density": sum(map(len, track.notes)) / track.duration if track.notes else np.nan,
            }
        )
    return pd.DataFrame(rows)


def loudnesses(tracks: Sequence[Track]) -> list[float]:
    """Integrated loudness of every mix in LUFS (ITU-R BS.1770). Reads all of the audio: some 50 ms a minute."""
    return [loudness(track.excerpt().sum(axis=0), track.sample_rate) for track in tracks]


def key(name: str) -> tuple[str | None, str | None]:
    """Tonic, as pitch classes are named here, and mode of a key such as ``"f# minor"``; None for what is no key."""
    tonic, _, mode = name.partition(" ")
    tonic = FLATS.get(tonic.lower(), tonic.replace("-", "b").capitalize())
    return (tonic, mode) if tonic in PITCH_CLASSES and mode else (None, None)


def shares(tracks: Sequence[Track]) -> pd.DataFrame:
    """Pieces, stems and hours of every split, a row a split that has any."""
    found = measures(tracks)
    rows = []
    for split in SPLITS:
        part = found[found["split"] == split]
        if part.empty:
            continue
        rows.append(
            {
                "split": split,
                "pieces": len(part),
                "stems": (int(part["stems"].min()), int(part["stems"].max())),
                "seconds": (float(part["seconds"].min()), float(part["seconds"].max())),
                "hours": float(part["seconds"].sum() / 3600),
            }
        )
    return pd.DataFrame(rows)


def alike(table: pd.DataFrame, others: int = 63) -> float:
    """Of so many other pieces, how many have a piece's tempo (within 4 %) and the notes of its key, on average.

    A scorer that matches nothing but tempo and key cannot tell these from the right one. NaN for fewer than two pieces,
    or if tempo or key is not known.
    """
    tempo = np.log(table["tempo"].to_numpy(float))
    scale = [_scale(tonic, mode) for tonic, mode in zip(table["tonic"], table["mode"], strict=True)]
    if len(table) < 2 or None in scale or np.isnan(tempo).any():
        return float("nan")
    close = np.abs(tempo[:, None] - tempo) < np.log(1.04)
    same = np.equal.outer(scale, scale)
    pairs = (close & same).sum() - len(table)
    return float(others * pairs / (len(table) * (len(table) - 1)))


def _scale(tonic: str | None, mode: str | None) -> int | None:
    """Tonic of the major key that has the same notes, counted from C = 0."""
    return None if tonic is None else (PITCH_CLASSES.index(tonic) - MODES[mode]) % 12
