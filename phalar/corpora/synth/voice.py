"""A voice that sings a line on changing vowels: a glottal pulse through formants; breath, vibrato, portamento."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter1d

from phalar.corpora.sampler import Note
from phalar.corpora.synth.recordings import gain
from phalar.corpora.synth.sustained import VOWELS
from phalar.corpora.synth.waves import SAMPLE_RATE, TOP, cycle, hertz, partials

BLOCK = 64
"""Samples (4 ms) between two settings of pitch, loudness and formants."""

BANDWIDTHS = (80.0, 100.0, 150.0, 220.0)
"""Hz, of the four formants."""


def play(notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """Sing a line, (length,), float32. Where notes overlap, the later one is sung."""
    if not notes:
        return np.zeros(length, np.float32)
    blocks = length // BLOCK + 1
    time = np.arange(blocks) * BLOCK / SAMPLE_RATE
    pitch, loud, formants, breath = _gestures(sorted(notes, key=lambda n: n.onset), time, rng)
    tilt = rng.uniform(1.1, 1.6)
    lowest, highest = int(pitch.min()) - 1, int(np.ceil(pitch.max())) + 2
    tables = np.stack(
        [cycle(np.arange(1, len(k) + 1) ** -tilt) for k in (partials(hertz(p), TOP) for p in range(lowest, highest))]
    )
    index = np.clip(np.ceil(pitch).astype(np.int64) - lowest, 0, len(tables) - 1)
    steps = 440 * 2 ** ((pitch - 69) / 12) / SAMPLE_RATE
    strengths = formants[1]
    poles = np.exp(-np.pi * np.array(BANDWIDTHS) / SAMPLE_RATE)
    cosines = 2 * np.cos(2 * np.pi * formants[0] / SAMPLE_RATE)
    seed = np.uint32(rng.integers(1, 2**31))
    return _sing(length, tables, index, steps, loud, cosines, strengths, poles, breath, seed).astype(np.float32)


def _gestures(notes: Sequence[Note], time: np.ndarray, rng: np.random.Generator):
    """What the singer does, block by block: pitch (MIDI, continuous), loudness, formants and breath."""
    blocks = len(time)
    tract, portamento = rng.uniform(0.92, 1.18), rng.uniform(0.012, 0.035)
    depth, rate = rng.uniform(0.15, 0.45), rng.uniform(4.9, 6.2)
    airy, sibilant = rng.uniform(0.02, 0.08), rng.uniform(0.2, 0.7)
    step = time[1] - time[0]
    target, loud = np.full(blocks, float(notes[0].pitch)), np.zeros(blocks)
    centres, strengths = np.tile([500.0, 1500, 2500, 3400], (blocks, 1)), np.tile([1.0, 0.5, 0.2, 0.1], (blocks, 1))
    held, burst = np.zeros(blocks), np.zeros(blocks)
    for index, note in enumerate(notes):
        following = notes[index + 1].onset if index + 1 < len(notes) else np.inf
        end = min(note.onset + note.duration, following)
        if end - note.onset < 0.02:
            continue
        a, b = int(note.onset / step), min(max(int(end / step), int(note.onset / step) + 1), blocks)
        c = int(min(following / step, blocks)) + 1
        target[a:c] = note.pitch
        held[a:b] = time[a:b] - note.onset
        swell = 1 - 0.25 * np.cos(np.pi * np.clip((time[a:b] - note.onset) / max(end - note.onset, 0.2), 0, 1) * 2)
        loud[a:b] = gain(note.velocity) * 0.8 * swell
        if following - end < 0.08 and following < np.inf:
            loud[b : int(following / step)] = loud[b - 1] if b > a else 0  # sung through
        vowel = VOWELS[str(rng.choice(list(VOWELS), p=[0.35, 0.2, 0.1, 0.2, 0.15]))]
        centres[a:c], strengths[a:c] = np.array(vowel[0]) * tract, vowel[1]
        if rng.random() < sibilant:  # a consonant before the vowel: the tone gives way to a hiss
            width = int(rng.uniform(0.03, 0.07) / step)
            burst[max(a - width, 0) : a] = rng.uniform(0.15, 0.5) * gain(note.velocity)
            loud[max(a - width, 0) : a] *= 0.25
    pitch = gaussian_filter1d(target, portamento / step)
    settled = np.clip((held - 0.2) * 4, 0, 1)
    wander = gaussian_filter1d(rng.standard_normal(blocks), 0.05 / step) * 0.6
    phase = 2 * np.pi * np.cumsum(rate * (1 + 0.05 * wander)) * step
    pitch += gaussian_filter1d(settled, 0.04 / step) * depth * np.sin(phase) + 0.08 * wander
    # A singer never opens a formant below the note.
    centres = np.maximum(gaussian_filter1d(centres, 0.025 / step, axis=0), 0)
    centres[:, 0] = np.maximum(centres[:, 0], 440 * 2 ** ((pitch - 69) / 12) * 1.02)
    strengths = gaussian_filter1d(strengths, 0.025 / step, axis=0)
    loud = gaussian_filter1d(loud, 0.018 / step)
    breath = np.column_stack([airy * loud, gaussian_filter1d(burst, 0.006 / step)])
    return pitch, loud, (np.minimum(centres, 5_000), strengths), breath


@njit(cache=True)
def _sing(length, tables, index, steps, loud, cosines, strengths, poles, breath, seed):
    out = np.zeros(length)
    size = tables.shape[1] - 1
    y1, y2 = np.zeros(4), np.zeros(4)
    phase = h1 = 0.0
    state = seed
    for block in range((length + BLOCK - 1) // BLOCK):
        following = min(block + 1, len(loud) - 1)
        table = tables[index[block]]
        for n in range(block * BLOCK, min((block + 1) * BLOCK, length)):
            share = (n - block * BLOCK) / BLOCK
            position = phase * size
            i = int(position)
            tone = table[i] + (position - i) * (table[i + 1] - table[i])
            phase += steps[block] + share * (steps[following] - steps[block])
            if phase >= 1.0:
                phase -= 1.0
            state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
            white = (state >> np.uint32(9)) / 4194304.0 - 1.0
            level = loud[block] + share * (loud[following] - loud[block])
            x = tone * level + breath[block, 0] * white
            y = 0.0
            for k in range(4):
                r = poles[k]
                v = (1 - r) * 2 * x + r * cosines[block, k] * y1[k] - r * r * y2[k]
                y2[k], y1[k] = y1[k], v
                y += strengths[block, k] * v * (1.0 if k % 2 == 0 else -1.0)
            hiss = breath[block, 1] * white
            out[n] = y + 0.1 * x + 0.6 * (hiss - h1)
            h1 = hiss
    return out
