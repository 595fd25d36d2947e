"""How loud a recording is to a listener: integrated loudness of ITU-R BS.1770-4, for one channel."""

import math
from functools import cache

import numpy as np
from numba import njit

BLOCK, STEP = 0.4, 0.1
"""Seconds: measuring blocks overlap by three quarters."""


@cache
def k_weighting(sample_rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The standard's ear, as two filters of second order: a shelf of 4 dB above 1.7 kHz (the head), and a high pass at
    38 Hz. Each is b0, b1, b2, a1, a2."""
    # The standard gives coefficients at 48 kHz; these are the analogue prototypes behind them, at any rate.
    k, q, gain = math.tan(math.pi * 1681.974450955533 / sample_rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = gain**0.4996667741545416
    scale = 1 + k / q + k * k
    shelf = gain + band * k / q + k * k, 2 * (k * k - gain), gain - band * k / q + k * k, 2 * (k * k - 1)
    shelf = *(c / scale for c in shelf), (1 - k / q + k * k) / scale
    k, q = math.tan(math.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    return shelf, (1.0, -2.0, 1.0, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale)


def loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness.

    Parameters
    ----------
    audio : np.ndarray, (samples,)
        In [-1, 1].
    sample_rate : int
        Hz.

    Returns
    -------
    float
        LUFS: 0 dB full scale of a 997 Hz sine is -3.01. Silence, by the gates (-70 LUFS; then 10 LU below the mean),
        does not count; -inf if nothing is left, or if there is less than one block of 0.4 s.
    """
    size, step = round(BLOCK * sample_rate), round(STEP * sample_rate)
    starts = np.arange(0, len(audio) + 1 - size, step)
    marks = np.unique(np.concatenate([starts, starts + size]))
    energy = _energy(np.ascontiguousarray(audio), *k_weighting(sample_rate), marks)
    blocks = (energy[np.searchsorted(marks, starts + size)] - energy[np.searchsorted(marks, starts)]) / size
    blocks = blocks[blocks > _power(-70)]
    if len(blocks):
        blocks = blocks[blocks > _power(_level(blocks.mean()) - 10)]
    return float(_level(blocks.mean())) if len(blocks) else -np.inf


def _level(power: float) -> float:
    return -0.691 + 10 * np.log10(power)


def _power(level: float) -> float:
    return 10 ** ((level + 0.691) / 10)


@njit(cache=True, fastmath={"contract"})
def _energy(audio, head, rumble, marks):
    """Sum of the weighted audio's squares up to each of these samples, which rise. One pass and nothing stored: this is
    asked of every stem."""
    b0, b1, b2, a1, a2 = head
    c0, c1, c2, d1, d2 = rumble
    x1 = x2 = y1 = y2 = z1 = z2 = total = 0.0
    energy, n = np.zeros(len(marks)), 0
    for index in range(len(marks)):
        while n < marks[index]:
            x = np.float64(audio[n])
            y = (b0 * x + b1 * x1 + b2 * x2 - a2 * y2) - a1 * y1
            z = (c0 * y + c1 * y1 + c2 * y2 - d2 * z2) - d1 * z1
            x2, x1, y2, y1, z2, z1 = x1, x, y1, y, z1, z
            total += z * z
            n += 1
        energy[index] = total
        if abs(z1) + abs(z2) < 1e-20:  # left alone, silence ends among the smallest numbers there are, which are slow
            y1 = y2 = z1 = z2 = 0.0
    return energy
