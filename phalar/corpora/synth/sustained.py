"""Instruments that sound as long as they are held: synthesisers, organs, bowed strings, winds, a choir.

All are one voice: a few slightly detuned oscillators that read a table without aliasing, breath or bow noise, a low
pass that opens and closes, an envelope, vibrato that sets in late, and, where a part is a line, a glide from note to
note. What makes them instruments is the spectrum in the table and how these are set.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from phalar.corpora.sampler import Note
from phalar.corpora.synth.recordings import gain
from phalar.corpora.synth.waves import SAMPLE_RATE, TOP, cycle, hertz, partials, pulse, resonances, saw

BLOCK = 16
"""Samples (1 ms) between two settings of envelope, vibrato and filter."""


@dataclass(frozen=True)
class Tone:
    """One song's instrument.

    Attributes
    ----------
    spectrum : callable (numbers, fundamental) -> np.ndarray
        Amplitudes of the partials with these numbers, over a fundamental in Hz.
    detune : tuple of float
        Cents of each oscillator.
    attack, decay, sustain, release : float
        Seconds, seconds, a share of the peak, seconds to -60 dB.
    cutoff, sweep, closing : float
        Of the low pass: octaves above the note at which it rests, octaves by which it opens at the onset (more for a
        loud note), and seconds in which that falls to a third. A negative sweep opens slowly.
    resonance : float
        Q; 0.7 has no peak.
    wobble : (float, float)
        Octaves (peak) and Hz by which the low pass sways.
    vibrato : (float, float)
        Cents (peak) and Hz.
    tremolo : (float, float)
        Depth and Hz.
    glide : float
        Seconds from one note to the next of a line; 0 where each note starts afresh.
    noise : float
        Breath or bow, relative to the tone, three times as much at the onset.
    octave : int
        Partial of the table that is the note: 2 where the table begins an octave below.
    line : bool
        One note at a time: a note ends where the next one begins.
    """

    spectrum: Callable[[np.ndarray, float], np.ndarray]
    detune: tuple[float, ...] = (0.0,)
    attack: float = 0.01
    decay: float = 0.3
    sustain: float = 1.0
    release: float = 0.08
    cutoff: float = 9.0
    sweep: float = 0.0
    closing: float = 0.3
    resonance: float = 0.7
    wobble: tuple[float, float] = (0.0, 1.0)
    vibrato: tuple[float, float] = (0.0, 5.5)
    tremolo: tuple[float, float] = (0.0, 5.5)
    glide: float = 0.0
    noise: float = 0.0
    octave: int = 1
    line: bool = False


def play(tone: Tone, notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    """Play a part, (length,), float32. Velocity sets loudness and how far the low pass opens."""
    out = np.zeros(length)
    tables: dict[tuple[int, int], np.ndarray] = {}
    phases = rng.uniform(0, 2 * np.pi, 1024)
    phases[0] = 0
    ordered = sorted(notes, key=lambda n: (n.onset, n.pitch))
    for index, note in enumerate(ordered):
        duration, previous = note.duration, note.pitch
        if tone.line:
            later = [n.onset for n in ordered[index + 1 : index + 4] if n.onset > note.onset + 0.02]
            duration = min([duration, *[onset - note.onset + 0.01 for onset in later]])
            if index and note.onset - ordered[index - 1].onset - ordered[index - 1].duration < 0.1:
                previous = ordered[index - 1].pitch
        highest = max(note.pitch, previous) if tone.glide else note.pitch
        if (note.pitch, highest) not in tables:
            fundamental = hertz(note.pitch) / tone.octave
            numbers = partials(hertz(highest) / tone.octave, TOP * 0.97)
            tables[note.pitch, highest] = cycle(tone.spectrum(numbers, fundamental), phases)
        loud = note.velocity / 127
        bend = note.cents + 2.0 * rng.standard_normal() * bool(tone.vibrato[0])
        base = hertz(note.pitch) * 2 ** (bend / 1200) / tone.octave
        _add(
            out[round(note.onset * SAMPLE_RATE) :],
            tables[note.pitch, highest],
            np.array([base * 2 ** (cents / 1200) for cents in tone.detune]) / SAMPLE_RATE,
            rng.random(len(tone.detune)),
            gain(note.velocity) / len(tone.detune) ** 0.5,
            duration,
            (tone.attack * (1.3 - 0.5 * loud), tone.decay, tone.sustain, tone.release),
            (hertz(note.pitch) * 2**tone.cutoff, tone.sweep * (0.4 + 0.9 * loud), tone.closing, tone.resonance),
            (*tone.wobble, rng.random()),
            (tone.vibrato[0] * rng.uniform(0.6, 1.2), tone.vibrato[1] * rng.uniform(0.95, 1.05), rng.random()),
            (*tone.tremolo, rng.random()),
            ((previous - note.pitch) / 12 if tone.glide else 0.0, max(tone.glide, 1e-3)),
            tone.noise,
            np.uint32(rng.integers(1, 2**31)),
        )
    return out.astype(np.float32)


@njit(cache=True)
def _add(
    out, table, steps, phases, loudness, duration, envelope, low_pass, wobble, vibrato, tremolo, glide, noise, seed
):
    """Add one note to ``out``, from its first sample on."""
    dt = 1 / SAMPLE_RATE
    attack, decay, sustain, release = envelope
    resting, sweep, closing, q = low_pass
    open_ = resting >= 7000.0 and sweep >= 0.0
    size = len(table) - 1
    level = s1 = s2 = n1 = 0.0
    state = seed
    released = 0.0
    for first in range(0, len(out), BLOCK):
        t = first * dt
        last = t + BLOCK * dt
        if last <= duration:
            released = min(last / attack, 1.0) * (sustain + (1 - sustain) * np.exp(-max(last - attack, 0.0) / decay))
            target = released
        else:
            target = released * 10 ** (-3 * (last - duration) / release)
            if target < 1e-4:
                return
        target *= 1 - tremolo[0] * 0.5 * (1 + np.sin(2 * np.pi * (tremolo[1] * t + tremolo[2])))
        onset = min(max((t - 0.15) * 3, 0.0), 1.0)  # vibrato sets in when a note turns out to be long
        bend = vibrato[0] / 1200 * onset * np.sin(2 * np.pi * (vibrato[1] * t + vibrato[2]))
        bend += glide[0] * np.exp(-t / (glide[1] / 3))
        pace = 2**bend
        octaves = sweep * np.exp(-t / closing) + wobble[0] * np.sin(2 * np.pi * (wobble[1] * t + wobble[2]))
        g = np.tan(np.pi * min(max(resting * 2**octaves, 60.0), 7000.0) * dt)
        d = 1 / (1 + g * (g + 1 / q))
        rough = noise * (1 + 2 * np.exp(-t / 0.05))
        for n in range(first, min(first + BLOCK, len(out))):
            x = 0.0
            for k in range(len(steps)):
                position = phases[k] * size
                i = int(position)
                x += table[i] + (position - i) * (table[i + 1] - table[i])
                phases[k] += steps[k] * pace
                if phases[k] >= 1.0:
                    phases[k] -= 1.0
            if rough > 0:
                state = np.uint32(state * np.uint32(1664525) + np.uint32(1013904223))
                white = (state >> np.uint32(9)) / 4194304.0 - 1.0
                n1 += 0.45 * (white - n1)
                x += rough * n1 * 2
            if not open_:  # state-variable filter, trapezoidal
                h = (x - s1 * (g + 1 / q) - s2) * d
                b = g * h + s1
                s1 = g * h + b
                l = g * b + s2
                s2 = g * b + l
                x = l
            out[n] += loudness * x * (level + (target - level) * (n - first) / BLOCK)
        level = target


def _unison(rng: np.random.Generator, count: int, width: float) -> tuple[float, ...]:
    """Detunings in cents, symmetric, so that their mean is in tune."""
    return tuple(float(c) for c in np.linspace(-width, width, count) * rng.uniform(0.8, 1.0)) if count > 1 else (0.0,)


def _mixed(rng: np.random.Generator) -> Callable[[np.ndarray, float], np.ndarray]:
    """A saw, a square, a pulse, or something between: what a subtractive synthesiser starts from."""
    share, width = rng.choice([0.0, 1.0, rng.random()]), rng.uniform(0.15, 0.5)
    return lambda k, f: share * saw(k) + (1 - share) * pulse(k, width)


def synth_bass(rng: np.random.Generator) -> Tone:
    """Subtractive bass, from round to biting."""
    return Tone(
        spectrum=_mixed(rng),
        detune=_unison(rng, int(rng.choice([1, 2])), 5),
        attack=0.004,
        decay=rng.uniform(0.15, 0.6),
        sustain=rng.uniform(0.4, 0.9),
        release=rng.uniform(0.05, 0.12),
        cutoff=rng.uniform(0.8, 2.2),
        sweep=rng.uniform(0.8, 3.0),
        closing=rng.uniform(0.06, 0.3),
        resonance=rng.uniform(0.7, 3.5),
        glide=rng.choice([0.0, 0.05]),
        line=True,
    )


def synth_lead(rng: np.random.Generator) -> Tone:
    """Subtractive lead with vibrato and glide."""
    return Tone(
        spectrum=_mixed(rng),
        detune=_unison(rng, int(rng.choice([1, 2, 3])), rng.uniform(4, 12)),
        attack=rng.uniform(0.004, 0.03),
        sustain=rng.uniform(0.7, 1.0),
        release=rng.uniform(0.06, 0.25),
        cutoff=rng.uniform(1.8, 4.0),
        sweep=rng.uniform(0.0, 2.0),
        closing=rng.uniform(0.1, 0.5),
        resonance=rng.uniform(0.7, 3.0),
        vibrato=(rng.uniform(5, 25), rng.uniform(4.8, 6.5)),
        glide=rng.uniform(0.02, 0.09),
        line=True,
    )


def synth_pluck(rng: np.random.Generator) -> Tone:
    """Subtractive, a filter that closes at once: arpeggios."""
    return Tone(
        spectrum=_mixed(rng),
        detune=_unison(rng, int(rng.choice([1, 2])), 7),
        attack=0.003,
        decay=rng.uniform(0.12, 0.4),
        sustain=rng.uniform(0.0, 0.25),
        release=rng.uniform(0.1, 0.3),
        cutoff=rng.uniform(0.5, 1.6),
        sweep=rng.uniform(2.0, 4.0),
        closing=rng.uniform(0.05, 0.15),
        resonance=rng.uniform(0.8, 3.0),
    )


def synth_pad(rng: np.random.Generator) -> Tone:
    """Subtractive pad: wide unison, slow attack, a filter that sways."""
    return Tone(
        spectrum=_mixed(rng),
        detune=_unison(rng, int(rng.choice([3, 5])), rng.uniform(8, 16)),
        attack=rng.uniform(0.08, 0.4),
        release=rng.uniform(0.4, 1.2),
        cutoff=rng.uniform(1.2, 3.0),
        sweep=rng.uniform(-1.0, 0.5),
        closing=rng.uniform(0.5, 1.5),
        resonance=rng.uniform(0.7, 1.5),
        wobble=(rng.uniform(0.1, 0.6), rng.uniform(0.1, 0.5)),
    )


def organ(rng: np.random.Generator) -> Tone:
    """Tonewheels: nine drawbars, and the tremulant of a rotating loudspeaker."""
    registrations = ("888000000", "868000006", "888800008", "006876540", "688600000", "886000568", "008080800")
    bars = np.array([int(c) for c in rng.choice(registrations)]) / 8
    bars = np.clip(bars + rng.uniform(-0.12, 0.12, 9) * (bars > 0), 0, 1)
    bars[2] = max(bars[2], 0.8)
    drawn = np.zeros(17)
    drawn[[1, 3, 2, 4, 6, 8, 10, 12, 16]] = bars
    speed = rng.choice([rng.uniform(0.6, 1.0), rng.uniform(5.5, 7.0)])
    return Tone(
        spectrum=lambda k, f: drawn[k[k < 17]],
        octave=2,
        attack=0.004,
        release=0.03,
        vibrato=(rng.uniform(2, 8), speed),
        tremolo=(rng.uniform(0.1, 0.4), speed),
    )


def accordion(rng: np.random.Generator) -> Tone:
    """Two or three reeds to a note, tuned apart."""
    slope, spread = rng.uniform(0.7, 1.0), rng.uniform(5, 14)
    body = [(rng.uniform(500, 900), 500, 2.0), (rng.uniform(1800, 2600), 900, 2.5)]
    return Tone(
        spectrum=lambda k, f: k**-slope * resonances(k * f, body) * (1 - 0.3 * (k % 2 == 0)),
        detune=_unison(rng, int(rng.choice([2, 3])), spread),
        attack=rng.uniform(0.03, 0.06),
        release=0.08,
        tremolo=(rng.uniform(0, 0.15), rng.uniform(4, 6)),
        noise=0.01,
    )


VIOLIN_BODY = ((290, 60, 3.0), (460, 80, 3.0), (550, 90, 2.5), (1100, 400, 2.0), (2400, 900, 4.0))
CELLO_BODY = ((105, 25, 3.0), (180, 40, 3.0), (330, 80, 2.5), (650, 250, 2.0), (1800, 800, 2.5))


def _body(rng: np.random.Generator, peaks) -> list[tuple[float, float, float]]:
    """Another one of its kind: resonances a little elsewhere."""
    return [
        (f * rng.uniform(0.9, 1.1), width * rng.uniform(0.8, 1.3), h * rng.uniform(0.8, 1.3)) for f, width, h in peaks
    ]


def _bowed(rng: np.random.Generator, peaks, **settings) -> Tone:
    body, slope = _body(rng, peaks), rng.uniform(0.9, 1.25)
    common = {
        "spectrum": lambda k, f: k**-slope * resonances(k * f, body),
        "attack": rng.uniform(0.04, 0.09),
        "release": rng.uniform(0.12, 0.25),
        "cutoff": rng.uniform(3.0, 4.5),
        "sweep": -0.8,
        "closing": 0.08,
        "vibrato": (rng.uniform(10, 22), rng.uniform(5.0, 6.3)),
        "noise": rng.uniform(0.02, 0.06),
    }
    return Tone(**common | settings)


def violin(rng: np.random.Generator) -> Tone:
    """One violin."""
    return _bowed(rng, VIOLIN_BODY, glide=0.03, line=True)


def cello(rng: np.random.Generator) -> Tone:
    """One cello."""
    return _bowed(rng, CELLO_BODY, glide=0.04, line=True)


def string_section(rng: np.random.Generator) -> Tone:
    """Several players to a note."""
    peaks = VIOLIN_BODY if rng.random() < 0.5 else CELLO_BODY
    wide = rng.uniform(7, 13)
    return _bowed(
        rng, peaks, detune=_unison(rng, 4, wide), attack=rng.uniform(0.1, 0.25), release=rng.uniform(0.3, 0.6)
    )


def flute(rng: np.random.Generator) -> Tone:
    """Few partials and much breath."""
    slope = rng.uniform(2.2, 3.2)
    return Tone(
        spectrum=lambda k, f: k**-slope * np.where(k == 2, 1.6, 1.0),
        attack=rng.uniform(0.03, 0.06),
        release=0.1,
        vibrato=(rng.uniform(8, 18), rng.uniform(4.6, 5.6)),
        tremolo=(rng.uniform(0.0, 0.2), 5.1),
        noise=rng.uniform(0.06, 0.14),
        glide=0.015,
        line=True,
    )


def reed(rng: np.random.Generator) -> Tone:
    """Saxophone-like: a full spectrum through a conical tube."""
    body = _body(rng, ((550, 300, 3.0), (1300, 500, 2.5), (2700, 900, 2.0)))
    slope = rng.uniform(1.0, 1.4)
    return Tone(
        spectrum=lambda k, f: k**-slope * resonances(k * f, body),
        attack=rng.uniform(0.02, 0.05),
        release=0.1,
        cutoff=rng.uniform(2.5, 3.6),
        sweep=-1.0,
        closing=0.06,
        vibrato=(rng.uniform(8, 20), rng.uniform(4.8, 5.8)),
        noise=rng.uniform(0.03, 0.08),
        glide=rng.uniform(0.02, 0.05),
        line=True,
    )


def clarinet(rng: np.random.Generator) -> Tone:
    """Odd partials: a cylinder closed at one end."""
    slope, even = rng.uniform(1.0, 1.4), rng.uniform(0.05, 0.2)
    return Tone(
        spectrum=lambda k, f: k**-slope * np.where((k % 2 == 0) & (k < 8), even, 1.0),
        attack=rng.uniform(0.02, 0.05),
        release=0.1,
        cutoff=rng.uniform(2.8, 3.8),
        sweep=-0.6,
        closing=0.06,
        vibrato=(rng.uniform(0, 6), 5.0),
        noise=rng.uniform(0.015, 0.04),
        glide=0.015,
        line=True,
    )


def _brassy(rng: np.random.Generator, **settings) -> Tone:
    slope = rng.uniform(0.7, 1.0)
    common = {
        "spectrum": lambda k, f: k**-slope,
        "attack": rng.uniform(0.02, 0.045),
        "decay": 0.4,
        "sustain": rng.uniform(0.75, 0.95),
        "release": 0.08,
        "cutoff": rng.uniform(2.0, 3.0),
        "sweep": -1.5,  # brass gets brighter as it gets louder
        "closing": rng.uniform(0.04, 0.09),
        "resonance": rng.uniform(0.8, 1.2),
        "noise": 0.015,
    }
    return Tone(**common | settings)


def trumpet(rng: np.random.Generator) -> Tone:
    """One brass instrument."""
    return _brassy(rng, vibrato=(rng.uniform(3, 14), rng.uniform(5, 6)), glide=0.02, line=True)


def brass_section(rng: np.random.Generator) -> Tone:
    """Several."""
    return _brassy(rng, detune=_unison(rng, 3, rng.uniform(5, 9)))


VOWELS = {
    "a": ((730, 1090, 2440, 3300), (1.0, 0.6, 0.25, 0.12)),
    "o": ((520, 880, 2400, 3200), (1.0, 0.5, 0.12, 0.08)),
    "u": ((330, 800, 2250, 3100), (1.0, 0.3, 0.06, 0.04)),
    "e": ((530, 1750, 2480, 3400), (1.0, 0.5, 0.3, 0.12)),
    "i": ((290, 2200, 2950, 3600), (1.0, 0.3, 0.25, 0.12)),
}
"""Formants in Hz and their strength, of an adult's vowels."""


def choir(rng: np.random.Generator) -> Tone:
    """Several voices on one vowel."""
    centres, strengths = VOWELS[str(rng.choice(["a", "o", "u"]))]
    scale = rng.uniform(0.95, 1.15)
    body = [(scale * f, 90 + 0.05 * f, 14 * s) for f, s in zip(centres, strengths, strict=True)]
    return Tone(
        spectrum=lambda k, f: k**-1.3 * resonances(k * f, body),
        detune=_unison(rng, 5, rng.uniform(9, 16)),
        attack=rng.uniform(0.1, 0.3),
        release=rng.uniform(0.3, 0.7),
        vibrato=(rng.uniform(8, 20), rng.uniform(4.8, 5.8)),
        noise=rng.uniform(0.02, 0.06),
    )


TONES = {
    "synth_bass": synth_bass,
    "synth_lead": synth_lead,
    "synth_pluck": synth_pluck,
    "synth_pad": synth_pad,
    "organ": organ,
    "accordion": accordion,
    "violin": violin,
    "cello": cello,
    "string_section": string_section,
    "flute": flute,
    "saxophone": reed,
    "clarinet": clarinet,
    "trumpet": trumpet,
    "brass_section": brass_section,
    "choir": choir,
}
"""Each draws one song's instrument."""
