"""Playing notes with a SoundFont: one recording per note, looped, tuned, filtered and shaped.

The usual fast renderer (symusic 0.5.9) plays every velocity equally loud and cuts every note off at its end, besides
its wrong roots; this one follows the SoundFont's envelopes and filter, takes velocity for loudness and brightness, and
adds what a player does to a held note: vibrato.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numba import njit

from phalar.corpora.soundfont import SoundFont, Zone

BLOCK = 32
"""Envelopes, vibrato and filter are computed once a block of samples (1 ms at 32 kHz)."""

CHOKE = 0.1
"""Seconds in which a note falls by 100 dB when another of its exclusive class cuts it."""

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


def play(
    font: SoundFont,
    program: int,
    notes: Iterable[Note],
    length: int,
    sample_rate: int,
    bank: int = 0,
    floor: float = -100.0,
) -> np.ndarray:
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
    bank : int
        Of the SoundFont; drum kits are in bank 128.
    floor : float
        Decibels, relative to its peak, at which a released note is over. Most of the work is in tails that nobody
        hears.

    Returns
    -------
    np.ndarray, (length,), float32
        Silent where no note sounds. Not levelled: a single loud note peaks at about 1.
    """
    out = np.zeros(length, np.float32)
    sounding = [(note, zone) for note in notes for zone in font.zones(program, note.pitch, round(note.velocity), bank)]
    ends = _ends(sounding)
    for (note, zone), (duration, release) in zip(sounding, ends, strict=True):
        first = round(note.onset * sample_rate)
        cents = zone.cents + zone.cents_per_key * (note.pitch - zone.root) + note.cents
        loudness = zone.gain - 40 * math.log10(127 / note.velocity)
        volume, modulation = zone.volume, zone.modulation
        _add(
            out[first:],
            font.waveforms,
            (zone.start, zone.end, zone.loop_start, zone.loop_end, zone.looped),
            zone.rate / sample_rate * 2 ** (cents / 1200),
            10 ** (loudness / 20),
            duration,
            1 / sample_rate,
            (volume.delay, volume.attack, volume.hold, volume.decay, volume.sustain, release),
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
            10 ** (floor / 20),
        )
    return out


def _ends(sounding: list[tuple[Note, Zone]]) -> list[tuple[float, float]]:
    """How long each note is held and how quickly it is released, in seconds. In an exclusive class the next note cuts
    the one before."""
    onsets = {}
    for note, zone in sounding:
        onsets.setdefault(zone.exclusive, set()).add(note.onset)
    following = {
        (exclusive, onset): later
        for exclusive, moments in onsets.items()
        if exclusive
        for onset, later in pairwise(sorted(moments))
    }
    ends = []
    for note, zone in sounding:
        room = following.get((zone.exclusive, note.onset), math.inf) - note.onset
        cut = room < note.duration + zone.volume.release
        ends.append((room, CHOKE) if cut else (note.duration, zone.volume.release))
    return ends


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
def _add(out, waveforms, sample, step, gain, duration, dt, volume, modulation, depth, lowpass, vibrato, floor):
    """Add one note to ``out``, from its first sample on."""
    start, stop, loop_start, loop_end, looped = sample
    length = loop_end - loop_start
    looped = looped and length > 1
    # Up to here all four neighbours of a position lie side by side.
    plain = min(loop_end if looped else stop, len(waveforms)) - 2
    x1 = x2 = y1 = y2 = 0.0
    position = float(start)
    level = 0.0
    bend = opening = cutoff = fall = math.nan
    pace = fallen = a1 = a2 = b0 = b1 = 0.0
    damping = math.sqrt(2.0) * 10 ** (lowpass[1] / 20)
    before2, before1 = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    after1, after2 = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    between, block = np.empty(BLOCK), np.empty(BLOCK)
    for first in range(0, len(out), BLOCK):
        t = first * dt
        last = t + BLOCK * dt
        rising, now = _attack_and_fall(last, duration, volume)
        # Powers and sines take longer than all else: they are computed anew only where what is in them has changed.
        if now != fall:
            fall = now
            fallen = 10 ** (-fall / 20)
        shape = rising if rising < 1 else fallen
        if last > duration:
            shape *= 10 ** (-(last - duration) / volume[5] * 5)
        target = gain * shape
        if t > duration and target < floor * gain:
            return
        m = _modulation(last, duration, modulation)
        before, bend = bend, depth[0] * m
        if vibrato[0] != 0:
            # Vibrato sets in over half a second, as players do it: a short note has none.
            bend = vibrato[0] * min(t * 2, 1.0) * math.sin(2 * math.pi * vibrato[1] * t) + depth[0] * m
        if bend != before:
            pace = step * 2 ** (bend / 1200)
        before, opening = opening, lowpass[0] + depth[1] * m
        hertz = cutoff
        if opening != before:
            # Two-pole low pass; a cutoff near half the sample rate is as good as open.
            hertz = min(8.176 * 2 ** (opening / 1200), 0.45 / dt)
        if hertz != cutoff:
            cutoff = hertz
            w = 2 * math.pi * hertz * dt
            alpha = math.sin(w) / damping
            c = math.cos(w)
            b1 = (1 - c) / (1 + alpha)
            b0 = b1 / 2
            a1 = -2 * c / (1 + alpha)
            a2 = (1 - alpha) / (1 + alpha)
        count, n = min(BLOCK, len(out) - first), 0
        ended = False
        while n < count:
            while n < count and start + 1 <= position < plain:
                i = np.uint64(position)
                before2[n], before1[n] = waveforms[i - np.uint64(1)], waveforms[i]
                after1[n], after2[n] = waveforms[i + np.uint64(1)], waveforms[i + np.uint64(2)]
                between[n] = position - np.int64(i)
                position += pace
                n += 1
            if n == count:
                break
            if looped:
                while position >= loop_end:
                    position -= length
            k = int(position)
            if not looped and k + 1 >= stop:
                count, ended = n, True
                break
            # A neighbour before the beginning is silence; one beyond the loop's end is found at its beginning.
            before2[n] = waveforms[k - 1] if k > start else 0.0
            before1[n] = waveforms[k]
            j = k + 1
            if looped and j >= loop_end:
                j -= length
            after1[n] = waveforms[j]
            j += 1
            if looped and j >= loop_end:
                j -= length
            after2[n] = waveforms[min(j, len(waveforms) - 1)]
            between[n] = position - k
            position += pace
            n += 1
        # Cubic (Catmull-Rom) interpolation; apart from the reading, so that the compiler takes several at once.
        for n in range(count):
            p0, p1, p2, p3, f = before2[n], before1[n], after1[n], after2[n], between[n]
            block[n] = p1 + 0.5 * f * (p2 - p0 + f * (2 * p0 - 5 * p1 + 4 * p2 - p3 + f * (3 * (p1 - p2) + p3 - p0)))
        for n in range(count):
            x = block[n]
            y = b0 * (x + x2) + b1 * x1 - a1 * y1 - a2 * y2
            x2, x1, y2, y1 = x1, x, y1, y
            out[first + n] += y * (level + (target - level) * n / BLOCK)
        if ended:
            return
        level = target
