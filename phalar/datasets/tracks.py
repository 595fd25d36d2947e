"""What a multitrack is, and a pair cut from it.

A track is a piece of music as stems that sound together: the one form in which all data arrive. A pair (paper section
4, "Data") is what the model trains and is tested on: the *anchor* is the sum of some stems of one track at one place,
the *positive* the sum of some of the others. Nothing but the music ties them together. Book pages *Real data sets*, and
*How it is trained*, "A pair".
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from phalar.errors import InputError, RunError

SPLITS = ("train", "valid", "test")
SILENCE = 1e-4  # peak of full scale (-80 dB) up to which sound counts as silence
TRIES = 50  # excerpts of one track tried for sound before giving up on it
BLOCK = 1600  # samples in which silence is measured: a tenth of a second at 16 kHz


class Audio(Protocol):
    """The stems of one track, wherever they lie: a store's memory map, or the files of a data set."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples ``start`` to ``stop``, both within the track, of every stem: (S, stop - start), float32, in [-1, 1].
        Raises RunError if the audio is missing, damaged or cut short, naming the file."""


@dataclass(frozen=True, slots=True)
class Track:
    """One piece, stem by stem. The sum of its stems is its mix. Taught in ``book/corpora.md``, ``book/datasets.md``."""

    id: str  # unique within the data set
    dataset: str
    split: str  # one of `SPLITS`; no composition is in two
    stems: tuple[str, ...]  # what plays each of the S stems, such as "violin"; a name may come twice
    sample_rate: int  # Hz
    num_samples: int  # of every stem
    audio: Audio = field(repr=False, compare=False)  # reads any excerpt of all stems
    # What is known of the piece as a whole (tempo, ensemble, key, title, composition, ...); keys differ by data set.
    tags: dict = field(default_factory=dict, repr=False, hash=False)
    # Of each beat the second, and its number in the bar, counted from 1, 0 where it is not known: (beats, 2).
    beats: np.ndarray | None = field(default=None, repr=False, compare=False)
    # Start and end in seconds, and label in the syntax of ``mir_eval.chord``.
    chords: tuple[tuple[float, float, str], ...] | None = field(default=None, repr=False, compare=False)
    # Of each stem: onset and duration in seconds, and MIDI pitch, of every note, (notes, 3).
    notes: tuple[np.ndarray, ...] | None = field(default=None, repr=False, compare=False)
    # Of each stem, where it sounds (:func:`sounding`): (spans, 2).
    sounding: tuple[np.ndarray, ...] | None = field(default=None, repr=False, compare=False)
    # Whether a stem has a pitch that a transposition would move: not drums.
    pitched: tuple[bool, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sample_rate

    def excerpt(self, start: int = 0, length: int | None = None) -> np.ndarray:
        """A piece of every stem at the same place: (S, length) float32 in [-1, 1]. Only the samples asked for are read
        from the disk: ``length`` from ``start`` on (0 to ``num_samples - 1``), up to the end if no length is given;
        past the end there are zeros. Raises InputError if the excerpt would start outside the track, or has no samples;
        RunError if the stored audio is missing or cut short."""
        if not 0 <= start < self.num_samples:
            last = self.num_samples - 1
            raise InputError(f"start={start} is outside track {self.id}, which ends: choose 0 to {last}")
        length = self.num_samples - start if length is None else length
        if length < 1:
            raise InputError(f"length={length}: an excerpt needs at least one sample")
        sounding = self.audio.read(start, min(start + length, self.num_samples))
        missing = length - sounding.shape[1]
        return np.pad(sounding, ((0, 0), (0, missing))) if missing else sounding


def sounding(audio: np.ndarray) -> list[np.ndarray]:
    """Which blocks of each stem sound: for each stem the first block, and the one after the last, of every span.
    ``audio`` (S, samples) is int16 with full scale at 32768, or float in [-1, 1]; a span array is (spans, 2) int64. A
    last block that is not full counts like any other. Book page *How it is trained*, "Silence"."""
    scale = 32768 if audio.dtype == np.int16 else 1
    starts = np.arange(0, audio.shape[1], BLOCK)
    highest = np.maximum.reduceat(audio, starts, axis=1).astype(np.float32)
    lowest = np.minimum.reduceat(audio, starts, axis=1).astype(np.float32)
    peaks = np.maximum(highest, -lowest)
    edges = np.diff(np.pad((peaks > SILENCE * scale).astype(np.int8), ((0, 0), (1, 1))), axis=1)
    return [np.column_stack([np.flatnonzero(row == 1), np.flatnonzero(row == -1)]) for row in edges]


@dataclass(frozen=True)
class Pair:
    """Where a pair was cut: enough to cut it again."""

    track: Track
    start: int  # first sample
    length: int  # samples
    anchor: tuple[int, ...]  # stems summed to the anchor
    positive: tuple[int, ...]  # stems summed to the positive; none of the anchor's

    def audio(self) -> np.ndarray:
        """Anchor and positive waveform, (2, length) float32."""
        stems = self.track.excerpt(self.start, self.length)
        return np.stack([stems[list(self.anchor)].sum(axis=0), stems[list(self.positive)].sum(axis=0)])


def draw_stems(stems: int, rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Split stems at random into an anchor and a positive: two non-empty sets that share none. Sizes are uniform: the
    anchor takes 1 to S - 1 stems, the positive 1 to all of the rest."""
    if stems < 2:
        raise InputError(f"a track with {stems} stem(s) has no pair; at least 2 are needed")
    order, first = rng.permutation(stems), int(rng.integers(1, stems))
    second = int(rng.integers(1, stems - first + 1))
    return tuple(sorted(order[:first].tolist())), tuple(sorted(order[first : first + second].tolist()))


def draw_pair(track: Track, length: int, rng: np.random.Generator) -> tuple[Pair, np.ndarray, int]:
    """One random pair of a track, its audio (2, length), and how many silent ones were drawn before it. A submix that
    is silent throughout the excerpt has nothing to match, so another is drawn; the published code keeps such pairs. A
    track shorter than ``length`` samples is padded with zeros at its end."""
    latest = max(0, track.num_samples - length)
    for tries in range(TRIES):
        anchor, positive = draw_stems(len(track.stems), rng)
        pair = Pair(track, int(rng.integers(0, latest + 1)), length, anchor, positive)
        waves = pair.audio()
        if np.abs(waves).max(axis=1).min() > SILENCE:
            return pair, waves, tries
    what = f"{TRIES} excerpts of {length} samples in a row had a silent side"
    raise RunError(f"track {track.id}: {what}; leave this track out")
