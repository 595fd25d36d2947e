"""Playing notes with a SoundFont: one recording per note, looped, tuned, filtered and shaped.

The usual fast renderer (symusic 0.5.9) plays every velocity equally loud and cuts every note off at its end, besides
its wrong roots; this one follows the SoundFont's envelopes and filter, takes velocity for loudness and brightness, and
adds what a player does to a held note: vibrato.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numba import njit

from phalar.corpora.soundfont import SoundFont

BLOCK = 32
"""Envelopes, vibrato and filter are computed once a block of samples (1 ms at 32 kHz)."""

VELOCITY_TO_CUTOFF = 1200.0
"""Cents by which the softest note's filter closes: half of the specification's default modulator, which fonts of that
time rarely expect."""


@dataclass(frozen=True)
class Note:
    """One note as played. Times in seconds, ``pitch`` a MIDI key, ``velocity`` 1 to 127 (40 log10(127 / v) dB below
    the loudest), ``cents`` a small detuning, vibrato as its depth in cents (peak) and rate in Hz."""

    onset: float
    duration: float
    pitch: int
    velocity: float
    cents: float = 0.0
    vibrato_cents: float = 0.0
    vibrato_hz: float = 5.5


def play(font: SoundFont, program: int, notes: Iterable[Note], length: int, sample_rate: int, bank: int = 0):
    """Render one part.

    Parameters
    ----------
    font : SoundFont
    program : int
        General MIDI program, counted from 0.
    notes : iterable of Note
    length : int
        Samples to return; what sounds later is cut.
    sample_rate : int
        Hz. Recordings are interpolated without a band limit, so render at two or three times the rate you need
        and decimate (``rendering.py`` does).

    Returns
    -------
    np.ndarray, (length,), float32
        Silent where no note sounds. Not levelled: a single loud note peaks at about 1.
    """
    out = np.zeros(length, np.float32)
    for note in notes:
        first = round(note.onset * sample_rate)
        for zone in font.zones(program, note.pitch, round(note.velocity), bank):
            cents = zone.cents + zone.cents_per_key * (note.pitch - zone.root) + note.cents
            loudness = zone.gain - 40 * math.log10(127 / note.velocity)
            volume, modulation = zone.volume, zone.modulation
            _add(
                out[first:],
                font.waveforms,
                (zone.start, zone.end, zone.loop_start, zone.loop_end, zone.looped),
                zone.rate / sample_rate * 2 ** (cents / 1200),
                10 ** (loudness / 20),
                note.duration,
                1 / sample_rate,
                (volume.delay, volume.attack, volume.hold, volume.decay, volume.sustain, volume.release),
                (
                    modulation.delay,
                    modulation.attack,
                    modulation.hold,
                    modulation.decay,
                    modulation.sustain,
                    modulation.release,
                ),
                (zone.modulation_to_pitch, zone.modulation_to_cutoff),
                (zone.cutoff - VELOCITY_TO_CUTOFF * (1 - note.velocity / 127), zone.resonance),
                (note.vibrato_cents, note.vibrato_hz),
            )
    return out


@njit(cache=True)
def _volume(t, end, envelope):
    """The volume envelope as a gain: a linear attack, then straight lines in decibels (100 dB in the time named)."""
    delay, attack, hold, decay, sustain, release = envelope
    s = min(t, end) - delay
    if s <= 0:
        return 0.0
    fall = min(max(s - attack - hold, 0.0) / decay * 100, sustain)
    gain = s / attack if s < attack else 10 ** (-fall / 20)
    if t > end:
        gain *= 10 ** (-(t - end) / release * 5)
    return gain


@njit(cache=True)
def _modulation(t, end, envelope):
    """The modulation envelope, 0 to 1, in straight lines."""
    delay, attack, hold, decay, sustain, release = envelope
    s = min(t, end) - delay
    if s <= 0:
        return 0.0
    value = s / attack if s < attack else 1 - min(max(s - attack - hold, 0.0) / decay, sustain)
    return max(value - max(t - end, 0.0) / release, 0.0)


@njit(cache=True)
def _add(out, waveforms, sample, step, gain, duration, dt, volume, modulation, depth, lowpass, vibrato):
    """Add one note to ``out``, from its first sample on."""
    start, stop, loop_start, loop_end, looped = sample
    length = loop_end - loop_start
    looped = looped and length > 1
    x1 = x2 = y1 = y2 = 0.0
    position = float(start)
    level = 0.0
    for first in range(0, len(out), BLOCK):
        t = first * dt
        last = t + BLOCK * dt
        target = gain * _volume(last, duration, volume)
        if t > duration and target < 1e-5 * gain:
            return
        m = _modulation(last, duration, modulation)
        # Vibrato sets in over half a second, as players do it: a short note has none.
        bend = vibrato[0] * min(t * 2, 1.0) * math.sin(2 * math.pi * vibrato[1] * t) + depth[0] * m
        pace = step * 2 ** (bend / 1200)
        # Two-pole low pass; a cutoff near half the sample rate is as good as open.
        hertz = min(8.176 * 2 ** ((lowpass[0] + depth[1] * m) / 1200), 0.45 / dt)
        w = 2 * math.pi * hertz * dt
        alpha = math.sin(w) / (math.sqrt(2.0) * 10 ** (lowpass[1] / 20))
        c = math.cos(w)
        b1 = (1 - c) / (1 + alpha)
        b0 = b1 / 2
        a1 = -2 * c / (1 + alpha)
        a2 = (1 - alpha) / (1 + alpha)
        for n in range(first, min(first + BLOCK, len(out))):
            i = int(position)
            if looped:
                while position >= loop_end:
                    position -= length
                i = int(position)
            elif i + 1 >= stop:
                return
            f = position - i
            # Cubic (Catmull-Rom) interpolation; a neighbour beyond the loop's end is found at its beginning.
            p0 = waveforms[i - 1] if i > start else 0.0
            p1 = waveforms[i]
            j = i + 1
            if looped and j >= loop_end:
                j -= length
            p2 = waveforms[j]
            j += 1
            if looped and j >= loop_end:
                j -= length
            p3 = waveforms[min(j, len(waveforms) - 1)]
            x = p1 + 0.5 * f * (p2 - p0 + f * (2 * p0 - 5 * p1 + 4 * p2 - p3 + f * (3 * (p1 - p2) + p3 - p0)))
            y = b0 * (x + x2) + b1 * x1 - a1 * y1 - a2 * y2
            x2, x1, y2, y1 = x1, x, y1, y
            out[n] += y * (level + (target - level) * (n - first) / BLOCK)
            position += pace
        level = target
