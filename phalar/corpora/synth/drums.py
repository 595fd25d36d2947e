"""Drum kits: membranes that fall in pitch, metal as clusters of partials and noise, between an acoustic kit and a drum
machine.

Each drum is made a few times (no two strokes are alike) and mixed in as often as it is struck.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.signal import butter, lfilter

from phalar.corpora.sampler import Note
from phalar.corpora.synth.recordings import gain
from phalar.corpora.synth.struck import modes
from phalar.corpora.synth.waves import SAMPLE_RATE, TOP

GROUPS = {
    "kick_drum": (35, 36),
    "snare_drum": (37, 38, 39, 40),
    "hi_hat": (42, 44, 46),
    "toms": (41, 43, 45, 47, 48, 50),
    "cymbals": (49, 51, 52, 53, 55, 57, 59),
}
"""General MIDI drum keys of what an engineer gives a microphone of its own; all other keys are percussion."""

STROKES = 2
"""Recordings of each drum, taken in turn at random."""

KEYS = range(35, 82)
"""Drum keys of General MIDI."""


def group(key: int) -> str:
    """To which of :data:`GROUPS` a drum key belongs, or ``"percussion"``."""
    return next((name for name, keys in GROUPS.items() if key in keys), "percussion")


def play(notes: Sequence[Note], length: int, kit: int) -> np.ndarray:
    """Drum strokes, (length,), float32.

    Parameters
    ----------
    notes : sequence of Note
        ``pitch`` is a drum key of General MIDI; how long a drum sounds is its own affair, but a hi-hat that closes ends
        one that was open.
    length : int
        Samples.
    kit : int
        Seed: the same one gives the same drums, also when only some of them are played.
    """
    out = np.zeros(length)
    character = np.random.default_rng([kit, 0])
    machine = character.random() < 0.3
    made = {
        key: [
            _faded(_strike(key, machine, np.random.default_rng([kit, key]), stroke))
            for stroke in range(1 if machine else STROKES)
        ]
        for key in sorted({note.pitch for note in notes})
    }
    choice = np.random.default_rng([kit, 1])
    ends = _choked(notes)
    for note in sorted(notes, key=lambda n: (n.onset, n.pitch)):
        first = round(note.onset * SAMPLE_RATE)
        sound = made[note.pitch][0 if machine else choice.integers(STROKES)]
        loud = gain(note.velocity)
        end = min(len(sound), length - first, ends.get((note.onset, note.pitch), len(sound)))
        if end <= 0:
            continue
        part = loud * sound[:end]
        if end < len(sound):
            fade = min(80, end)
            part[-fade:] *= np.linspace(1, 0, fade)
        out[first : first + end] += part
    return out.astype(np.float32)


def _choked(notes: Sequence[Note]) -> dict[tuple[float, int], int]:
    """Samples after which an open hi-hat is closed by the next stroke on it."""
    hats = sorted((n for n in notes if n.pitch in GROUPS["hi_hat"]), key=lambda n: n.onset)
    return {
        (a.onset, a.pitch): int((b.onset - a.onset) * SAMPLE_RATE)
        for a, b in pairwise(hats)
        if a.pitch == 46 and b.onset - a.onset > 0.03
    }


def _strike(key: int, machine: bool, kit: np.random.Generator, stroke: int) -> np.ndarray:
    """One recording. ``kit`` draws what the drum is like, the same for every stroke; the stroke draws the rest."""
    drawn = kit.random(8)
    rng = np.random.default_rng([int(drawn[7] * 2**31), stroke])
    if key in GROUPS["kick_drum"]:
        return _kick(drawn, machine, rng)
    if key in (38, 40):
        return _snare(drawn, machine, rng)
    if key == 37:
        return _block(1700 * (0.8 + 0.4 * drawn[0]), 0.04, rng) + 0.6 * _block(430, 0.06, rng)
    if key == 39:
        return _clap(drawn, rng)
    if key in GROUPS["hi_hat"]:
        return _hat({42: 0.05, 44: 0.08, 46: 0.45}[key] * (0.7 + 0.7 * drawn[0]), drawn, machine, rng)
    if key in GROUPS["toms"]:
        return _membrane({41: 78, 43: 92, 45: 112, 47: 135, 48: 160, 50: 190}[key], 0.3 + 0.3 * drawn[0], drawn, rng)
    if key in (49, 57, 52, 55):
        return _cymbal({49: 1.3, 57: 1.6, 52: 0.9, 55: 0.5}[key] * (0.8 + 0.4 * drawn[0]), 0.0, drawn, rng)
    if key in (51, 59):
        return _cymbal(0.8 + 0.5 * drawn[0], 0.8 + 0.8 * drawn[1], drawn, rng)
    if key == 53:
        return _cup(drawn, rng)
    return _percussion(key, drawn, rng)


def _faded(sound: np.ndarray) -> np.ndarray:
    """A recording that ends in silence."""
    fade = len(sound) // 5
    sound[-fade:] *= np.linspace(1, 0, fade)
    return sound


def _time(seconds: float) -> np.ndarray:
    return np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE


def _noise(t: np.ndarray, rng: np.random.Generator, low: float, high: float, order: int = 2) -> np.ndarray:
    """Noise between two frequencies, with a root mean square of 1."""
    if high >= TOP:
        b, a = butter(order, low, "high", fs=SAMPLE_RATE)
    else:
        b, a = butter(order, [low, high], "band", fs=SAMPLE_RATE)
    noise = lfilter(b, a, rng.standard_normal(len(t) + 200))[200:]
    return noise / np.sqrt(np.mean(noise**2))


def _swept(t: np.ndarray, start: float, end: float, fall: float) -> np.ndarray:
    """A sine that falls from one frequency to another, two thirds of the way in ``fall`` seconds."""
    return np.sin(2 * np.pi * (end * t + (start - end) * fall * (1 - np.exp(-t / fall))))


def _kick(drawn: np.ndarray, machine: bool, rng: np.random.Generator) -> np.ndarray:
    low = 44 + 20 * drawn[0]
    decay = 0.12 + (0.2 if machine else 0.08) * drawn[1]
    t = _time(6 * decay)
    body = _swept(t, low * (3 + 3 * drawn[2]), low, 0.015 + 0.02 * drawn[3]) * np.exp(-t / decay)
    click = _noise(t, rng, 1500, 5000) * np.exp(-t / 0.004) * (0.1 + 0.3 * drawn[4])
    skin = np.sin(2 * np.pi * 180 * t) * np.exp(-t / 0.02) * 0.3 * (not machine)
    return np.tanh(1.5 * (body + skin)) * np.minimum(t / 0.001, 1) + click


def _snare(drawn: np.ndarray, machine: bool, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.4)
    f = 165 + 60 * drawn[0]
    skin = _swept(t, 1.5 * f, f, 0.012) * np.exp(-t / 0.07) + 0.5 * np.sin(2 * np.pi * 1.73 * f * t) * np.exp(-t / 0.05)
    wires = _noise(t, rng, 1200 + 1200 * drawn[1], 7500) * np.exp(-t / (0.05 + 0.09 * drawn[2]))
    click = _noise(t, rng, 2500, 7500) * np.exp(-t / 0.003) * 0.4
    return 0.7 * skin + (0.25 + 0.2 * drawn[3]) * wires * np.minimum(t / 0.001, 1) + click * (1 - 0.5 * machine)


def _clap(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.35)
    envelope = sum(np.where(t > d, np.exp(-np.maximum(t - d, 0) / 0.007), 0) for d in (0, 0.011, 0.022))
    envelope = envelope + np.where(t > 0.03, np.exp(-np.maximum(t - 0.03, 0) / (0.05 + 0.06 * drawn[0])), 0)
    return 0.5 * _noise(t, rng, 800 + 300 * drawn[1], 3000) * envelope


def _metal(t: np.ndarray, drawn: np.ndarray, low: float) -> np.ndarray:
    """A cluster of inharmonic partials, none above the band, with a root mean square of about 1."""
    cluster = np.random.default_rng(int(drawn[6] * 2**31))
    frequencies, phases = cluster.uniform(low, TOP, 28), cluster.uniform(0, 2 * np.pi, 28)
    return modes(len(t), frequencies, np.full(28, 14**-0.5), np.full(28, 1e6), phases)


def _hat(decay: float, drawn: np.ndarray, machine: bool, rng: np.random.Generator) -> np.ndarray:
    t = _time(min(6 * decay, 1.8))
    metal = 0.7 if machine else 0.2 + 0.3 * drawn[1]
    sound = metal * _metal(t, drawn, 3500) + (1 - metal) * _noise(t, rng, 3500 + 1500 * drawn[2], 7900)
    return 0.3 * sound * np.exp(-t / decay) * np.minimum(t / 0.001, 1)


def _cymbal(decay: float, ping: float, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = _time(min(6 * decay, 6.0))
    metal = _metal(t, drawn, 1500)
    wash = 0.5 * _noise(t, rng, 2200 + 1200 * drawn[2], 7900) + 0.5 * metal
    stick = metal * np.exp(-t / 0.12) + 0.6 * np.sin(2 * np.pi * (3000 + 1200 * drawn[3]) * t) * np.exp(-t / 0.3)
    bloom = 1 - 0.6 * np.exp(-t / 0.03) if ping == 0 else 1.0
    return (
        0.3
        * (wash * np.exp(-t / decay) * bloom * (1 if ping == 0 else 0.35) + ping * 0.5 * stick)
        * np.minimum(t / 0.002, 1)
    )


def _cup(drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The bell of a ride cymbal: a clear cluster, over before the next stroke, since it is what a rhythm is beaten on,
    and a little of the cymbal around it."""
    t = _time(1.0)
    frequencies = (900 + 500 * drawn[3]) * np.array([1, 1.48, 2.09, 2.73, 3.61, 4.42])
    strength, decays = np.array([0.5, 0.8, 1, 0.7, 0.5, 0.35]), (0.5 + 0.3 * drawn[0]) / np.arange(1, 7) ** 0.4
    phases = np.random.default_rng(int(drawn[6] * 2**31)).uniform(0, 2 * np.pi, 6)
    stick = _noise(t, rng, 2500, 7500) * np.exp(-t / 0.004)
    wash = _metal(t, drawn, 2500) * np.exp(-t / 0.12) * np.minimum(t / 0.002, 1)
    return 0.25 * modes(len(t), frequencies, strength, decays, phases) + 0.2 * stick + 0.08 * wash


def _membrane(f: float, decay: float, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    t = _time(6 * decay)
    f = f * (0.88 + 0.24 * drawn[5])
    tone = _swept(t, f * (1.3 + 0.4 * drawn[1]), f, 0.05) * np.exp(-t / decay)
    second = np.sin(2 * np.pi * 1.59 * f * t) * np.exp(-t / (0.4 * decay)) * (0.2 + 0.3 * drawn[2])
    stick = _noise(t, rng, 800, 4000) * np.exp(-t / 0.006) * (0.15 + 0.2 * drawn[3])
    return 0.9 * (tone + second) * np.minimum(t / 0.001, 1) + stick


def _block(f: float, decay: float, rng: np.random.Generator) -> np.ndarray:
    t = _time(0.25)
    tone = np.sin(2 * np.pi * f * t) + 0.4 * np.sin(2 * np.pi * min(2.7 * f, TOP) * t) * np.exp(-t / 0.01)
    return 0.6 * tone * np.exp(-t / decay) * np.minimum(t / 0.0005, 1) + 0.1 * _noise(t, rng, 1500, 6000) * np.exp(
        -t / 0.003
    )


def _shaken(decay: float, rise: float, low: float, rng: np.random.Generator) -> np.ndarray:
    t = _time(rise + 5 * decay)
    return 0.4 * _noise(t, rng, low, 7900) * np.minimum(t / rise, 1) ** 2 * np.exp(-np.maximum(t - rise, 0) / decay)


def _percussion(key: int, drawn: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Everything else of General MIDI's drum map; what is rare there shares the sound of its nearest relative."""
    if key in (60, 61):  # bongos
        return _membrane(390 if key == 60 else 290, 0.08 + 0.05 * drawn[0], drawn, rng)
    if key in (62, 63, 64):  # congas
        return _membrane({62: 330, 63: 280, 64: 200}[key], {62: 0.05, 63: 0.16, 64: 0.2}[key], drawn, rng)
    if key in (65, 66):  # timbales
        return _membrane(420 if key == 65 else 310, 0.12 + 0.08 * drawn[0], drawn, rng)
    if key in (56, 67, 68):  # cowbell, agogos
        f, t = {56: 560, 67: 900, 68: 660}[key] * (0.9 + 0.2 * drawn[0]), _time(0.4)
        odd = np.sin(2 * np.pi * f * t) + np.sin(2 * np.pi * 1.5 * f * t) + 0.4 * np.sin(2 * np.pi * 4.5 * f * t)
        return 0.35 * odd * np.exp(-t / (0.07 + 0.06 * drawn[1])) * np.minimum(t / 0.0005, 1)
    if key in (75, 76, 77, 78, 79):  # claves, wood blocks, cuicas
        return _block({75: 2400, 76: 1250, 77: 850}.get(key, 600) * (0.9 + 0.2 * drawn[0]), 0.03, rng)
    if key in (71, 72, 80, 81):  # triangles, whistles
        t = _time(0.3 if key == 80 else 1.5)
        return 0.4 * _metal(t, drawn, 2800) * np.exp(-t / (0.06 if key == 80 else 0.5)) * np.minimum(t / 0.001, 1)
    if key == 54:  # tambourine
        t = _time(0.4)
        jingle = np.exp(-t / 0.03) + 0.5 * np.where(
            t > 0.02, np.exp(-np.maximum(t - 0.02, 0) / (0.05 + 0.05 * drawn[0])), 0
        )
        return 0.3 * (_noise(t, rng, 3500, 7900) + _metal(t, drawn, 4500)) * jingle
    if key in (58, 73, 74):  # vibraslap, guiros: a row of clicks
        t = _time(0.45)
        return _shaken(0.12, 0.02, 2000, rng)[: len(t)] * 1.5
    return _shaken(0.03 + 0.05 * drawn[0], 0.005 + 0.02 * drawn[1], 3000 + 1500 * drawn[2], rng)  # shakers
