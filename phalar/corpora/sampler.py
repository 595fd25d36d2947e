"""Playing notes with a SoundFont: one recording per note, looped, tuned, filtered and shaped.

It follows the SoundFont's envelopes and filter, takes velocity for loudness and brightness, and adds vibrato. (The
usual renderer, symusic 0.5.9, has wrong roots, plays every velocity equally loud and cuts notes off at their end.)
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

from phalar.corpora.soundfont import Recording, SoundFont, Zone

BLOCK = 32  # samples (1 ms at 32 kHz) for which envelopes, vibrato and filter are computed once
INAUDIBLE = 1e-20  # below this a filter is at rest: left alone it would end among denormal numbers, which are slow
PER_DECIBEL = math.log(10) / 20  # by which a decibel, of amplitude, is a natural logarithm
CHOKE = 0.1  # seconds in which a note falls by 100 dB when another of its exclusive class cuts it
VELOCITY_TO_CUTOFF = 1200.0  # cents by which the softest note's filter closes: half of the specification's default


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


def play(
    font: SoundFont, program: int, notes: Iterable[Note], length: int, sample_rate: int, bank: int = 0, floor=-100.0
) -> np.ndarray:
    """Render one part with a General MIDI ``program``, counted from 0, of a ``bank`` of the SoundFont (drum kits: 128).
    Returns (length,) samples at ``sample_rate`` Hz, float32; what sounds later is cut, and where no note sounds it is
    silent. Not levelled: a single loud note peaks at about 1. Recordings are interpolated without a band limit, so
    render at two or three times the rate you need and decimate (``rendering.py`` does). ``floor`` is the level, in
    decibels relative to its peak, at which a released note is over: most of the work is in tails that nobody hears."""
    sounding = [(note, zone) for note in notes for zone in font.zones(program, note.pitch, round(note.velocity), bank)]
    voices, dt = [], 1 / sample_rate
    # What comes again at the same pitch, as most drums and notes do, is tuned once, as long as the longest lasts.
    longest: dict[tuple[Recording, float], int] = {}
    for (note, zone), (duration, release) in zip(sounding, _ends(sounding), strict=True):
        first = round(note.onset * sample_rate)
        samples = min(math.ceil((duration + release * floor / -100) * sample_rate) + BLOCK, length - first)
        if samples > 0:
            blocks = math.ceil(samples / BLOCK)
            cents = zone.cents + zone.cents_per_key * (note.pitch - zone.root) + note.cents
            source = font.recording(zone), zone.rate / sample_rate * 2 ** (cents / 1200)
            if steady := note.vibrato_cents == 0 and zone.modulation_to_pitch == 0:
                longest[source] = max(longest.get(source, 0), blocks)
            voices.append((note, zone, source, steady, first, blocks, duration, release))

    def read(recording: Recording, paces: np.ndarray) -> np.ndarray:
        return _interpolated(recording.samples, recording.end, recording.turn, paces)

    tuned = {source: read(source[0], np.full(blocks, source[1])) for source, blocks in longest.items()}
    out = np.zeros(length, np.float32)
    for note, zone, source, steady, first, blocks, duration, release in voices:
        volume, swell = (*zone.volume[:-1], release), zone.modulation
        if steady:
            sound = tuned[source][: blocks * BLOCK]
        else:
            bends = zone.modulation_to_pitch, note.vibrato_cents, note.vibrato_hz
            sound = read(source[0], _paces(source[1], blocks, dt, duration, swell, bends))
        gain = 10 ** ((zone.gain - 40 * math.log10(127 / note.velocity)) / 20)
        closed = zone.cutoff - VELOCITY_TO_CUTOFF * (1 - note.velocity / 127)
        lowpass = closed, zone.modulation_to_cutoff, zone.resonance
        _add(out[first:], sound, gain, duration, dt, volume, swell, lowpass, 10 ** (floor / 20))
    return out


def _ends(sounding: list[tuple[Note, Zone]]) -> Iterator[tuple[float, float]]:
    """Seconds for which each note is held and in which it is released; in an exclusive class the next one cuts it."""
    onsets = {}
    for note, zone in sounding:
        onsets.setdefault(zone.exclusive, set()).add(note.onset)
    following = {(group, a): b for group, times in onsets.items() if group for a, b in pairwise(sorted(times))}
    for note, zone in sounding:
        room = following.get((zone.exclusive, note.onset), math.inf) - note.onset
        release = zone.volume[-1]
        yield (room, CHOKE) if room < note.duration + release else (note.duration, release)


@njit(cache=True)
def _attack_and_fall(t, end, envelope):
    """The volume envelope until the note is released: a linear attack as a gain, then how far it has fallen in
    straight lines, in decibels (100 dB in the time named)."""
    delay, attack, hold, decay, sustain, _ = envelope
    s = min(t, end) - delay
    if s <= 0:
        return 0.0, 0.0
    fall = min(max(s - attack - hold, 0.0) / decay * 100, sustain)
    return s / attack if s < attack else 1.0, fall


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
def _paces(step, blocks, dt, duration, modulation, bends):
    """Samples of the recording for each one played, block by block, where vibrato or an envelope bends the pitch."""
    to_pitch, vibrato_cents, vibrato_hz = bends
    paces = np.empty(blocks)
    for block in range(blocks):
        t = block * BLOCK * dt
        # Vibrato sets in over half a second, as players do it: a short note has none.
        cents = vibrato_cents * min(t * 2, 1.0) * math.sin(2 * math.pi * vibrato_hz * t)
        cents += to_pitch * _modulation(t + BLOCK * dt, duration, modulation)
        paces[block] = step * np.exp2(cents / 1200)
    return paces


@njit(cache=True, fastmath={"contract"})
def _interpolated(samples, end, turn, paces):
    """A recording read at ``paces``, one a block, until it ends: Catmull-Rom interpolation in fixed point, since whole
    numbers come apart from fractions quickest."""
    sound = np.zeros(len(paces) * BLOCK, np.float32)
    position, last = 1.0, np.int64(len(samples) - 3)
    half, two, three, four, five = np.float32(0.5), np.float32(2), np.float32(3), np.float32(4), np.float32(5)
    for block in range(len(paces)):
        first = block * BLOCK
        if position >= end:
            if turn == 0:
                return sound[:first]
            position -= turn * ((position - end) // turn + 1)
        place, stride = np.int64(position * 2.0**32), np.int64(paces[block] * 2.0**32)
        for n in range(BLOCK):
            here = place + n * stride
            i = np.uint64(min(here >> 32, last))
            f = np.float32(np.int32((here >> 8) & 0xFFFFFF)) * np.float32(2.0**-24)
            p0, p1 = samples[i - np.uint64(1)], samples[i]
            p2, p3 = samples[i + np.uint64(1)], samples[i + np.uint64(2)]
            curve = two * p0 - five * p1 + four * p2 - p3 + f * (three * (p1 - p2) + p3 - p0)
            sound[first + n] = p1 + half * f * (p2 - p0 + f * curve)
        position += BLOCK * paces[block]
    return sound


@njit(cache=True, fastmath={"contract"})
def _add(out, sound, gain, duration, dt, volume, modulation, lowpass, floor):
    """Add one note to ``out``, from its first sample on: ``sound``, filtered and shaped. All in one loop, since each
    sample waits for the filter's last anyway; in single precision, which lies 117 dB below the sound and more."""
    closed, swept, resonance = lowpass
    damping = math.sqrt(2.0) * 10 ** (resonance / 20)
    x1 = x2 = y1 = y2 = a1 = a2 = b0 = b1 = np.float32(0)
    level = fallen = 0.0
    opening = cutoff = fall = math.nan
    for first in range(0, min(len(out), len(sound)), BLOCK):
        t = first * dt
        last = t + BLOCK * dt
        rising, now = _attack_and_fall(last, duration, volume)
        # Powers and tangents take longer than all else: they are computed anew only where what is in them has changed.
        if now != fall:
            fall = now
            fallen = math.exp(-fall * PER_DECIBEL)
        shape = rising if rising < 1 else fallen
        if last > duration:
            shape *= math.exp(-100 * (last - duration) / volume[5] * PER_DECIBEL)
        target = gain * shape
        if t > duration and target < floor * gain:
            return
        before, opening = opening, closed + swept * _modulation(last, duration, modulation)
        hertz = cutoff
        if opening != before:
            # Two-pole low pass; a cutoff near half the sample rate is as good as open.
            hertz = min(8.176 * np.exp2(opening / 1200), 0.45 / dt)
        if hertz != cutoff:
            cutoff = hertz
            g = math.tan(math.pi * hertz * dt)
            scale = 1 / (1 + g * (g + 2 / damping))
            b0, b1 = np.float32(g * g * scale), np.float32(2 * g * g * scale)
            a1, a2 = np.float32(2 * (g * g - 1) * scale), np.float32((1 + g * (g - 2 / damping)) * scale)
        slope = (target - level) / BLOCK
        for n in range(min(BLOCK, len(out) - first)):
            i = np.uint64(first + n)
            x = sound[i]
            y = (b0 * (x + x2) + b1 * x1 - a2 * y2) - a1 * y1
            x2, x1, y2, y1 = x1, x, y1, y
            out[i] += y * np.float32(level)
            level += slope
        level = target
        if abs(y1) + abs(y2) < INAUDIBLE:
            y1 = y2 = np.float32(0)
