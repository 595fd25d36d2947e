"""Plucked strings: a delay line that a pluck goes round in, a little duller and weaker each time (Karplus and Strong).

Jaffe and Smith's extensions give it a tuning finer than a sample, a place where it is plucked, and a decay that can be
chosen for every pitch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.signal import lfilter

from phalar.corpora.sampler import Note
from phalar.corpora.synth.recordings import mix
from phalar.corpora.synth.waves import SAMPLE_RATE, hertz

BRIGHT = 3_000.0
"""Hz at which :attr:`String.bright_decay` is meant."""


@dataclass(frozen=True)
class String:
    """What a plucked instrument is like: two numbers each, between which a song's instrument lies.

    ``decay`` seconds in which the fundamental of A3 falls by 60 dB, ``bright_decay`` the same at 3 kHz; ``pluck`` where
    it is plucked, as a share of the string; ``cutoff`` Hz of the pluck, played hard (played softly: 0.4 of it);
    ``noise`` share of noise in the pluck; ``release`` seconds in which a damped string falls by 60 dB; ``body``
    resonances of the box or the pickup: (Hz, Q, dB).
    """

    decay: tuple[float, float]
    bright_decay: tuple[float, float]
    pluck: tuple[float, float]
    cutoff: tuple[float, float]
    noise: tuple[float, float]
    release: tuple[float, float] = (0.1, 0.25)
    body: tuple[tuple[float, float, float], ...] = ()


STRINGS = {
    "acoustic_guitar": String(
        (3.0, 6.0), (0.5, 1.1), (0.1, 0.25), (3500, 6000), (0.15, 0.35), body=((105, 3, 5), (215, 3, 4), (420, 2, 3))
    ),
    "nylon_guitar": String(
        (1.8, 3.5), (0.18, 0.35), (0.2, 0.38), (1400, 2600), (0.05, 0.2), body=((100, 3, 5), (200, 3, 4), (380, 2, 3))
    ),
    "clean_electric_guitar": String(
        (4.0, 8.0), (0.5, 1.2), (0.12, 0.35), (2200, 4500), (0.02, 0.1), body=((2600, 1.5, 5), (300, 1, 2))
    ),
    "distorted_electric_guitar": String((6.0, 10.0), (0.8, 1.6), (0.1, 0.25), (3000, 6000), (0.05, 0.15)),
    "bass_guitar": String(
        (3.0, 7.0), (0.15, 0.5), (0.15, 0.35), (900, 2500), (0.02, 0.15), (0.08, 0.2), ((90, 1, 3), (700, 1, 2))
    ),
    "contrabass": String(
        (1.0, 2.2), (0.06, 0.15), (0.25, 0.45), (500, 1000), (0.05, 0.2), (0.1, 0.3), ((75, 2, 4), (160, 2, 4))
    ),
    "banjo": String(
        (0.7, 1.3), (0.35, 0.7), (0.06, 0.14), (4500, 7000), (0.2, 0.4), body=((350, 2, 5), (800, 2, 6), (2500, 1, 4))
    ),
    "mandolin": String(
        (1.2, 2.2), (0.4, 0.8), (0.08, 0.18), (4000, 6500), (0.2, 0.4), body=((320, 2, 5), (1100, 2, 4))
    ),
    "ukulele": String((0.9, 1.6), (0.12, 0.3), (0.2, 0.4), (1800, 3000), (0.1, 0.25), body=((280, 3, 5), (560, 2, 4))),
    "harp": String((3.0, 6.0), (0.25, 0.6), (0.3, 0.5), (1800, 3500), (0.02, 0.1), (0.6, 1.5), ((240, 1, 3),)),
}


def play(name: str, notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """A part on one of :data:`STRINGS`, (length,), float32; which one of its kind is drawn from ``rng``."""
    kind = STRINGS[name]
    decay, bright, pluck, cutoff, noise, release = (
        rng.uniform(*span)
        for span in (kind.decay, kind.bright_decay, kind.pluck, kind.cutoff, kind.noise, kind.release)
    )
    seed = rng.integers(2**31)

    def record(pitch: int, samples: int, hard: float) -> np.ndarray:
        own = np.random.default_rng([seed, pitch])  # the same string both times: layers must not cancel
        f = hertz(pitch)
        period = SAMPLE_RATE / f
        # Longer than the period, for the comb of the pluck's place; a soft pluck is duller.
        burst = np.zeros(int(2 * period) + 2)
        burst[0] = 1
        burst[: int(period)] += noise * own.standard_normal(int(period)) / np.sqrt(period) * 2
        pole = np.exp(-2 * np.pi * min(cutoff * (0.4 + 0.6 * hard), 7_000) / SAMPLE_RATE)
        burst = lfilter([1 - pole], [1, -pole], lfilter([1 - pole], [1, -pole], burst))
        place = pluck * period
        whole, part = int(place), place % 1
        echo = np.zeros_like(burst)
        echo[whole:] += (1 - part) * burst[: len(burst) - whole]
        echo[whole + 1 :] += part * burst[: len(burst) - whole - 1]
        burst = burst - echo
        burst -= burst.mean()
        wave = _string(samples, burst, *_loop(f, decay * (220 / f) ** 0.4, bright * (220 / f) ** 0.15))
        return wave / max(np.sqrt(np.mean(wave[: SAMPLE_RATE // 5] ** 2)), 1e-9) * (0.7 + 0.3 * hard)

    out = mix(notes, length, record, release)
    for centre, q, decibels in kind.body:
        out = lfilter(*_peak(centre * rng.uniform(0.9, 1.1), q, decibels * rng.uniform(0.6, 1.2)), out)
    return out.astype(np.float32)


def _loop(f: float, decay: float, bright_decay: float) -> tuple[int, float, float, np.ndarray]:
    """Delay in samples, gain, low pass and interpolator of a loop whose fundamental is exactly ``f`` Hz.

    The interpolator is Lagrange's of third order: the usual all-pass puts the overtones of short strings out of tune.
    """
    w, high = 2 * np.pi * f / SAMPLE_RATE, 2 * np.pi * max(BRIGHT, 2 * f) / SAMPLE_RATE
    bright_decay = min(bright_decay, 0.9 * decay)
    loss = 1 - 10 ** (-6 / f * (1 / bright_decay - 1 / decay))
    s = 0.5 - np.sqrt(0.25 - min(loss / (2 * (1 - np.cos(high))), 0.24))
    low_pass_delay = np.arctan2(s * np.sin(w), 1 - s + s * np.cos(w)) / w
    gain = 10 ** (-3 / (f * decay)) / np.sqrt(1 - 2 * s * (1 - s) * (1 - np.cos(w)))
    rest = SAMPLE_RATE / f - low_pass_delay
    delay = int(rest) - 1
    x = rest - delay  # 1 to 2: between the middle two of the four samples
    taps = [-(x - 1) * (x - 2) * (x - 3) / 6, x * (x - 2) * (x - 3) / 2, -x * (x - 1) * (x - 3) / 2]
    return delay, min(gain, 0.99999), s, np.array([*taps, x * (x - 1) * (x - 2) / 6])


@njit(cache=True)
def _string(samples, burst, delay, gain, s, taps):
    out = np.zeros(samples)
    before = 0.0
    for n in range(samples):
        came = 0.0
        for k in range(4):
            if n >= delay + k:
                came += taps[k] * out[n - delay - k]
        out[n] = gain * ((1 - s) * came + s * before) + (burst[n] if n < len(burst) else 0.0)
        before = came
    return out


def _peak(centre: float, q: float, decibels: float) -> tuple[np.ndarray, np.ndarray]:
    """A peaking equaliser (Bristow-Johnson's)."""
    w, a = 2 * np.pi * centre / SAMPLE_RATE, 10 ** (decibels / 40)
    alpha = np.sin(w) / (2 * q)
    b = np.array([1 + alpha * a, -2 * np.cos(w), 1 - alpha * a])
    return b / (1 + alpha / a), np.array([1 + alpha / a, -2 * np.cos(w), 1 - alpha / a]) / (1 + alpha / a)
