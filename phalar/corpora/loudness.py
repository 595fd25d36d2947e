"""How loud a recording is to a listener: integrated loudness of ITU-R BS.1770-4, for one channel."""

import numpy as np
from scipy.signal import lfilter

BLOCK, STEP = 0.4, 0.1
"""Seconds: measuring blocks overlap by three quarters."""


def k_weighting(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """The standard's ear: a shelf of 4 dB above 1.7 kHz (the head), and a high pass at 38 Hz."""
    # The standard gives coefficients at 48 kHz; these are the analogue prototypes behind them, at any rate.
    k, q, gain = np.tan(np.pi * 1681.974450955533 / sample_rate), 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = gain**0.4996667741545416
    scale = 1 + k / q + k * k
    b = [(gain + band * k / q + k * k) / scale, 2 * (k * k - gain) / scale, (gain - band * k / q + k * k) / scale]
    shelved = lfilter(b, [1, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale], audio)
    k, q = np.tan(np.pi * 38.13547087602444 / sample_rate), 0.5003270373238773
    scale = 1 + k / q + k * k
    return lfilter([1, -2, 1], [1, 2 * (k * k - 1) / scale, (1 - k / q + k * k) / scale], shelved)


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
    power = np.concatenate([[0.0], np.cumsum(k_weighting(np.asarray(audio, np.float64), sample_rate) ** 2)])
    size, step = round(BLOCK * sample_rate), round(STEP * sample_rate)
    starts = np.arange(0, len(power) - size, step)
    blocks = (power[starts + size] - power[starts]) / size
    blocks = blocks[blocks > _power(-70)]
    if len(blocks):
        blocks = blocks[blocks > _power(_level(blocks.mean()) - 10)]
    return float(_level(blocks.mean())) if len(blocks) else -np.inf


def _level(power: float) -> float:
    return -0.691 + 10 * np.log10(power)


def _power(level: float) -> float:
    return 10 ** ((level + 0.691) / 10)
