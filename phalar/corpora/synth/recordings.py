"""Instruments that are struck or plucked and then left alone: each pitch is made once a song and mixed in as often as
it is played.

Each pitch is made twice, played softly and played hard, and a velocity mixes the two.
"""

from collections.abc import Callable, Sequence
from itertools import groupby

import numpy as np
from numba import njit

from phalar.corpora.sampler import Note
from phalar.corpora.synth.waves import SAMPLE_RATE


def gain(velocity: float) -> float:
    """Loudness of a velocity, linear: 9 dB from the loudest to half of it."""
    return (velocity / 127) ** 1.5


def mix(
    notes: Sequence[Note], length: int, record: Callable[[int, int, float], np.ndarray], release: float
) -> np.ndarray:
    """Play notes.

    Parameters
    ----------
    notes : sequence of Note
        Velocity sets loudness and brightness; ``cents`` and vibrato are not for such instruments.
    length : int
        Samples to return.
    record : callable (pitch, samples, hardness) -> np.ndarray, (samples,)
        The sound of a key held for ever, softly (0) or hard (1).
    release : float
        Seconds in which a note falls by 60 dB once it is let go.

    Returns
    -------
    np.ndarray, (length,), float64
    """
    out = np.zeros(length)
    for pitch, group in groupby(sorted(notes, key=lambda n: (n.pitch, n.onset)), key=lambda n: n.pitch):
        played = list(group)
        samples = int((max(n.duration for n in played) + release) * SAMPLE_RATE) + 1
        soft, hard = record(pitch, samples, 0.0), record(pitch, samples, 1.0)
        for n in played:
            first = round(n.onset * SAMPLE_RATE)
            share = min(max((n.velocity - 30) / 90, 0.0), 1.0)
            _add(out[first:], soft, hard, share, gain(n.velocity), n.duration * SAMPLE_RATE, release * SAMPLE_RATE)
    return out


@njit(cache=True)
def _add(out, soft, hard, share, loudness, held, release):
    fall = 10 ** (-3 / release)
    level = loudness
    end = min(int(held + release), len(out), len(soft))
    for n in range(end):
        if n > held:
            level *= fall
        out[n] += level * (soft[n] + share * (hard[n] - soft[n]))
