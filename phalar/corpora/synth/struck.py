"""Struck bars, strings and tines: pianos and mallets as sums of decaying partials, electric pianos by FM."""

from collections.abc import Sequence

import numpy as np
from numba import njit

from phalar.corpora.sampler import Note
from phalar.corpora.synth.recordings import mix
from phalar.corpora.synth.waves import SAMPLE_RATE, TOP, hertz

BARS = {
    "vibraphone": ((1.0, 4.0, 10.0), (1.0, 0.25, 0.06), (3.0, 6.0), (0.3, 1.0)),
    "marimba": ((1.0, 3.98, 9.8), (1.0, 0.35, 0.12), (0.4, 0.8), (0.3, 0.6)),
    "glockenspiel": ((1.0, 2.76, 5.4, 8.93), (1.0, 0.45, 0.3, 0.15), (1.2, 3.0), (0.8, 2.0)),
    "steel_drum": ((1.0, 2.0, 3.0, 4.15, 6.1), (1.0, 0.7, 0.35, 0.15, 0.08), (0.5, 1.0), (0.3, 0.6)),
}
"""Partials' frequencies (relative) and amplitudes; seconds to fall by 60 dB, held and let go, between which a song's
instrument lies."""


def play_bars(name: str, notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """A part on one of :data:`BARS`, (length,), float32."""
    ratios, amplitudes, decays, releases = BARS[name]
    ratios = np.array(ratios)
    ratios[1:] *= rng.uniform(0.985, 1.015, len(ratios) - 1)
    amplitudes = np.array(amplitudes) * np.append(1.0, rng.uniform(0.6, 1.5, len(ratios) - 1))
    decay, release, hardness = rng.uniform(*decays), rng.uniform(*releases), rng.uniform(0.4, 1.0)

    def record(pitch: int, samples: int, hard: float) -> np.ndarray:
        f = hertz(pitch)
        strength = amplitudes * np.append(1.0, np.full(len(ratios) - 1, hardness * (0.4 + 0.9 * hard)))
        return modes(samples, f * ratios, strength, decay * (523 / f) ** 0.5 / ratios**0.9, np.zeros(len(ratios)))

    return mix(notes, length, record, release).astype(np.float32)


def play_piano(notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """A part on a grand or upright piano, (length,), float32: stiff strings, two to a key and not quite in tune."""
    stiffness, strike = 10 ** rng.uniform(-3.8, -3.3), rng.uniform(0.1, 0.14)
    brightness, decay, beating = rng.uniform(700, 1600), rng.uniform(5, 10), rng.uniform(0.2, 0.9)

    def record(pitch: int, samples: int, hard: float) -> np.ndarray:
        f = hertz(pitch)
        numbers = np.arange(1, 50)
        b = stiffness * 2 ** ((pitch - 60) / 12)  # short strings are stiffer
        frequencies = f * numbers * np.sqrt((1 + b * numbers**2) / (1 + b))
        numbers, frequencies = numbers[frequencies < TOP], frequencies[frequencies < TOP]
        strength = np.abs(np.sin(np.pi * numbers * strike)) / numbers**0.6
        strength *= np.exp(-frequencies / (brightness * (0.6 + 1.6 * hard) + f))
        strength /= np.sqrt(np.sum(strength**2))
        decays = decay * (220 / f) ** 0.5 / (1 + frequencies / 900)
        phases = np.random.default_rng(pitch).uniform(0, 2 * np.pi, len(numbers))
        # The strings fall fast together and slowly apart.
        fast = modes(samples, frequencies, 0.7 * strength, decays * 0.35, phases)
        slow = modes(samples, frequencies * 2 ** (beating / 1200), 0.45 * strength, decays, phases)
        return (0.6 + 0.4 * hard) * (fast + slow)

    return mix(notes, length, record, rng.uniform(0.12, 0.3)).astype(np.float32)


def play_electric_piano(notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """A part on an electric piano, (length,), float32: a carrier with one modulator for the body of the sound and one
    for the strike."""
    ratio, tine = float(rng.choice([1.0, 1.0, 2.0, 3.0])), float(rng.choice([7.0, 11.0, 14.0]))
    body, strike = rng.uniform(0.7, 2.0) / ratio**0.5, rng.uniform(0.1, 0.45)
    decay, tremolo, rate = rng.uniform(3, 7), rng.choice([0.0, rng.uniform(0.1, 0.35)]), rng.uniform(3.5, 6.5)

    def record(pitch: int, samples: int, hard: float) -> np.ndarray:
        f, t = hertz(pitch), np.arange(samples) / SAMPLE_RATE
        # Carson's rule: what lies beyond (index + 2) sidebands cannot be heard.
        index = min(body * (0.35 + 0.9 * hard), max((TOP - f) / (ratio * f) - 2, 0))
        depth = strike * (0.3 + 1.0 * hard) if f * (1 + 2 * tine) < TOP else 0.0
        modulation = index * np.exp(-t / (0.4 * decay * (220 / f) ** 0.4)) * np.sin(2 * np.pi * ratio * f * t)
        modulation += depth * np.exp(-t / 0.08) * np.sin(2 * np.pi * tine * f * t)
        envelope = np.minimum(t / 0.003, 1) * 10 ** (-3 * t / (decay * (220 / f) ** 0.4))
        return (0.7 + 0.3 * hard) * envelope * np.sin(2 * np.pi * f * t + modulation)

    out = mix(notes, length, record, rng.uniform(0.1, 0.25))
    return (out * (1 + tremolo * np.sin(2 * np.pi * rate * np.arange(length) / SAMPLE_RATE))).astype(np.float32)


@njit(cache=True)
def modes(samples, frequencies, amplitudes, decays, phases):
    """Sum of exponentially decaying sines below the band's end; ``decays`` in seconds to -60 dB."""
    out = np.zeros(samples)
    for k in range(len(frequencies)):
        if frequencies[k] >= TOP:
            continue
        w = 2 * np.pi * frequencies[k] / SAMPLE_RATE
        r = 10 ** (-3 / (decays[k] * SAMPLE_RATE))
        a, b = 2 * r * np.cos(w), r * r
        y1, y0 = np.sin(phases[k] - w) / r, np.sin(phases[k])
        y0 *= amplitudes[k]
        y1 *= amplitudes[k]
        end = min(samples, int(1.3 * decays[k] * SAMPLE_RATE) + 1)
        for n in range(end):
            out[n] += y0 * min(n / 24, 1.0)  # a hammer takes a millisecond or two
            y0, y1 = a * y0 - b * y1, y0
    return out
