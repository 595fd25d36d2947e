"""What a multitrack is: a piece of music as stems that sound together. The one form in which all data arrive."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from phalar.errors import InputError

SPLITS = ("train", "valid", "test")
SILENCE = 1e-4  # peak of full scale (-80 dB) up to which sound counts as silence
BLOCK = 1600  # samples in which silence is measured: a tenth of a second at 16 kHz


class Audio(Protocol):
    """The stems of one track, wherever they lie: a store's memory map, or the files of a data set."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples ``start`` to ``stop``, both within the track, of every stem: (S, stop - start), float32, in [-1, 1].

        Raises
        ------
        RunError
            If the audio is missing, damaged or cut short, naming the file.
        """


@dataclass(frozen=True, slots=True)
class Track:
    """One piece, stem by stem. The sum of its stems is its mix.

    Attributes
    ----------
    id : str
        Unique within the data set.
    dataset : str
        Name of the data set or corpus.
    split : str
        ``"train"``, ``"valid"`` or ``"test"``. No composition is in two splits.
    stems : tuple of str
        What plays each stem, such as ``"violin"``; a name may come twice. S of them.
    sample_rate : int
        Hz.
    num_samples : int
        Length of every stem.
    audio : Audio
        Reads any excerpt of all stems.
    tags : dict
        What is known of the piece as a whole (tempo, ensemble, key, title, composition, ...); keys differ by data set.
    beats : np.ndarray, (beats, 2), or None
        Seconds of each beat, and its number in the bar, counted from 1; 0 where it is not known.
    chords : tuple of (float, float, str), or None
        Start and end in seconds, and label in the syntax of ``mir_eval.chord``.
    notes : tuple of np.ndarray, each (notes, 3), or None
        For each stem: onset and duration in seconds, and MIDI pitch, of every note.
    sounding : tuple of np.ndarray, each (spans, 2), or None
        For each stem, where it sounds (:func:`sounding`); None where that was not measured.
    pitched : tuple of bool, (S,), or None
        For each stem, whether it has a pitch that a transposition would move; False for drums and percussion without
        one. None where that is not known.

    Taught in ``book/corpora.md`` and ``book/datasets.md``.
    """

    id: str
    dataset: str
    split: str
    stems: tuple[str, ...]
    sample_rate: int
    num_samples: int
    audio: Audio = field(repr=False, compare=False)
    tags: dict = field(default_factory=dict, repr=False, hash=False)
    beats: np.ndarray | None = field(default=None, repr=False, compare=False)
    chords: tuple[tuple[float, float, str], ...] | None = field(default=None, repr=False, compare=False)
    notes: tuple[np.ndarray, ...] | None = field(default=None, repr=False, compare=False)
    sounding: tuple[np.ndarray, ...] | None = field(default=None, repr=False, compare=False)
    pitched: tuple[bool, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sample_rate

    def excerpt(self, start: int = 0, length: int | None = None) -> np.ndarray:
        """A piece of every stem, at the same place.

        Only the samples asked for are read from the disk.

        Parameters
        ----------
        start : int
            First sample, from 0 to ``num_samples - 1``.
        length : int, optional
            Samples; up to the end if not given. Past the end of the track there are zeros.

        Returns
        -------
        np.ndarray, (S, length), float32
            In [-1, 1].

        Raises
        ------
        InputError
            If the excerpt would start outside the track, or has no samples.
        RunError
            If the stored audio is missing or cut short.
        """
        if not 0 <= start < self.num_samples:
            raise InputError(
                f"start={start} is outside track {self.id}, which has {self.num_samples} samples: "
                f"choose 0 to {self.num_samples - 1}"
            )
        length = self.num_samples - start if length is None else length
        if length < 1:
            raise InputError(f"length={length}: an excerpt needs at least one sample")
        sounding = self.audio.read(start, min(start + length, self.num_samples))
        missing = length - sounding.shape[1]
        return np.pad(sounding, ((0, 0), (0, missing))) if missing else sounding


def sounding(audio: np.ndarray) -> list[np.ndarray]:
    """Which blocks of each stem sound.

    Parameters
    ----------
    audio : np.ndarray, (S, samples)
        int16 with full scale at 32768, or float in [-1, 1].

    Returns
    -------
    list of np.ndarray, each (spans, 2) int64
        For each stem the stretches of sounding blocks: number of the first, and of the one after the last. A last block
        that is not full counts like any other.
    """
    scale = 32768 if audio.dtype == np.int16 else 1
    starts = np.arange(0, audio.shape[1], BLOCK)
    highest = np.maximum.reduceat(audio, starts, axis=1).astype(np.float32)
    lowest = np.minimum.reduceat(audio, starts, axis=1).astype(np.float32)
    peaks = np.maximum(highest, -lowest)
    edges = np.diff(np.pad((peaks > SILENCE * scale).astype(np.int8), ((0, 0), (1, 1))), axis=1)
    return [np.column_stack([np.flatnonzero(row == 1), np.flatnonzero(row == -1)]) for row in edges]
