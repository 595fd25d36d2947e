"""Sounds without a pitch that announce something: noise that rises into a moment, and falls from it."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from phalar.corpora.synth.waves import SAMPLE_RATE


def play(moments: Sequence[float], length: int, rng: np.random.Generator) -> np.ndarray:
    """A sweep of noise up to each of these moments (seconds), and its fall after, (length,), float32."""
    rise, fall, resonance = rng.uniform(1.5, 3.5), rng.uniform(0.3, 1.2), rng.uniform(1.5, 4)
    low, high = rng.uniform(200, 500), rng.uniform(3000, 6000)
    t = np.arange(length) / SAMPLE_RATE
    level, place = np.zeros(length), np.zeros(length)
    for moment in moments:
        ahead = np.clip(1 - (moment - t) / rise, 0, 1) * (t <= moment)
        after = np.exp(-np.maximum(t - moment, 0) / fall) * (t > moment) * (t < moment + 6 * fall)
        shape = np.maximum(ahead**2, 0.8 * after)
        level, place = np.maximum(level, shape), np.maximum(place, np.maximum(ahead, after))
    return _swept(rng.standard_normal(length), level, low * (high / low) ** place, resonance).astype(np.float32)


@njit(cache=True)
def _swept(noise, level, hertz, q):
    """A band pass over noise, at ``hertz``, at a level, both by sample."""
    out = np.zeros(len(noise))
    s1 = s2 = 0.0
    for n in range(len(noise)):
        g = np.tan(np.pi * hertz[n] / SAMPLE_RATE)
        h = (noise[n] - s1 * (g + 1 / q) - s2) / (1 + g * (g + 1 / q))
        band = g * h + s1
        s1 = g * h + band
        low = g * band + s2
        s2 = g * band + low
        out[n] = level[n] * band
    return out
