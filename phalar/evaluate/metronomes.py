"""Metronomes of every tempo: the ruler that zero-shot beat tracking lays against music (paper section 4, "Beats";
book page *Beats*).

A model that knows whether a stem fits a mix knows whether a metronome does, and no metronome fits that is too slow, too
fast, or late. So the fit of a bank of metronomes says where the beat is, though no beat was ever shown in training.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont, installed_font
from phalar.errors import InputError

TEMPI = tuple(range(30, 241))
"""Beats a minute of the published bank."""

SECONDS = 5.0
"""Length of a published metronome. The pieces' windows are 4.8 s: see :mod:`phalar.evaluate.beat_map`."""

FIRST = 0.02
"""Seconds of the first click: what fits a metronome has a beat that much after its beginning."""

PROGRAM, KEY, VELOCITY = 115, 69, 110
"""General MIDI program (from 0) of the woodblock, and its note, A4."""

PLAYED_AT = 32_000  # Hz: the sampler interpolates without a band limit, so it plays at twice our rate
PEAK = 0.9


@cache
def woodblock() -> np.ndarray:
    """One click of the installed SoundFont's woodblock, (N,) float32, 16 kHz, peaking at one.

    Raises
    ------
    RunError
        If the SoundFont is not installed.
    """
    played = play(SoundFont(installed_font()), PROGRAM, [Note(0.0, 0.1, KEY, VELOCITY)], PLAYED_AT // 2, PLAYED_AT)
    click = soxr.resample(played, PLAYED_AT, SAMPLE_RATE)
    return _levelled(np.trim_zeros(np.where(np.abs(click) < 1e-4, 0, click), "b"))


@cache
def tick() -> np.ndarray:
    """A click made of nothing but a formula: 1 kHz that dies away in 50 ms. (N,) float32, 16 kHz, peaking at one."""
    time = np.arange(round(0.05 * SAMPLE_RATE)) / SAMPLE_RATE
    return _levelled(np.sin(2 * np.pi * 1000 * time) * np.exp(-80 * time))


CLICKS = {"woodblock": woodblock, "tick": tick}


def metronome(bpm: float, seconds: float = SECONDS, first: float = FIRST, click: str = "woodblock") -> np.ndarray:
    """A metronome alone.

    Parameters
    ----------
    bpm : float
        Beats a minute, from 10 to 600.
    seconds : float
        Length; what sounds later is cut.
    first : float
        Seconds of the first click; the others follow at the tempo.
    click : str
        A key of :data:`CLICKS`: ``"woodblock"`` as published, or ``"tick"``, which needs no SoundFont.

    Returns
    -------
    np.ndarray, (N,), float32
        16 kHz, peaking at 0.9; zeros if the first click comes after the end.

    Raises
    ------
    InputError
        An impossible tempo or length, a first click before the beginning, or an unknown click.
    """
    if not 10 <= bpm <= 600:
        raise InputError(f"bpm={bpm!r}: a metronome ticks 10 to 600 times a minute")
    if not 0 < seconds <= 3600 or first < 0:
        raise InputError(f"seconds={seconds!r}, first={first!r}: choose a length up to an hour and a first click in it")
    if click not in CLICKS:
        raise InputError(f"there is no click {click!r}: choose one of {', '.join(CLICKS)}")
    times = np.arange(first, seconds, 60 / bpm)
    return PEAK * _levelled(clicks_at(times, round(seconds * SAMPLE_RATE), SAMPLE_RATE, click))


def clicks_at(times: Sequence[float], length: int, sample_rate: int, click: str = "woodblock") -> np.ndarray:
    """A click at each of these seconds, (length,) float32: what lets one hear whether found beats are right."""
    sound = CLICKS[click]()
    if sample_rate != SAMPLE_RATE:
        sound = soxr.resample(sound, SAMPLE_RATE, sample_rate)
    out = np.zeros(length + len(sound), np.float32)
    for start in np.round(np.asarray(times) * sample_rate).astype(int):
        if 0 <= start < length:
            out[start : start + len(sound)] += sound
    return out[:length]


def bank(tempi: Sequence[float] = TEMPI, click: str = "woodblock") -> np.ndarray:
    """One metronome of 5 s for each tempo, (len(tempi), 80000) float32. Errors are those of :func:`metronome`."""
    if not len(tempi):
        raise InputError("tempi: a bank needs at least one")
    return np.stack([metronome(bpm, click=click) for bpm in tempi])


def _levelled(samples: np.ndarray) -> np.ndarray:
    return np.asarray(samples / max(np.abs(samples).max(), 1e-9), dtype=np.float32)
