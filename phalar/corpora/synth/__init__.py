"""A synthesiser of our own, so that `studio` sounds like nothing in the SoundFont of `band`.

Every patch is drawn anew for each song: two songs do not have the same guitar. All sound at 16 kHz and are made
without partials above the band, so nothing aliases. Taught in ``book/corpora.md``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from phalar.corpora.sampler import Note
from phalar.corpora.synth import plucked, struck, sustained, voice

RANGES = {
    "acoustic_guitar": (40, 84),
    "nylon_guitar": (40, 84),
    "clean_electric_guitar": (40, 86),
    "distorted_electric_guitar": (38, 86),
    "bass_guitar": (28, 60),
    "contrabass": (28, 58),
    "banjo": (48, 86),
    "mandolin": (55, 88),
    "ukulele": (55, 84),
    "harp": (36, 93),
    "vibraphone": (53, 89),
    "marimba": (45, 91),
    "glockenspiel": (67, 98),
    "steel_drum": (52, 84),
    "piano": (28, 98),
    "electric_piano": (33, 93),
    "synth_bass": (28, 60),
    "synth_lead": (43, 93),
    "synth_pluck": (43, 93),
    "synth_pad": (40, 91),
    "organ": (36, 93),
    "accordion": (48, 91),
    "violin": (55, 93),
    "cello": (36, 72),
    "string_section": (40, 91),
    "flute": (60, 93),
    "saxophone": (46, 80),
    "clarinet": (50, 86),
    "trumpet": (54, 84),
    "brass_section": (43, 82),
    "choir": (43, 81),
    "voice": (43, 79),
}
"""Lowest and highest MIDI key of every patch."""


@dataclass(frozen=True)
class Patch:
    """An instrument, its lowest and highest MIDI key, and how it plays: (notes, samples, rng) to float32 audio."""

    name: str
    lowest: int
    highest: int
    play: Callable[[Sequence[Note], int, np.random.Generator], np.ndarray]

    def within(self, notes: Sequence[Note]) -> list[Note]:
        """The same notes where the instrument has them: all moved by the octaves that suit most, and those still
        outside by further ones."""
        pitches = np.array([note.pitch for note in notes])
        shifts = 12 * np.arange(-4, 5)
        outside = [np.sum((pitches + s < self.lowest) | (pitches + s > self.highest)) for s in shifts]
        best = min(zip(outside, np.abs(shifts), shifts, strict=True))[2] if len(pitches) else 0
        return [replace(note, pitch=self._fold(note.pitch + int(best))) for note in notes]

    def _fold(self, pitch: int) -> int:
        while pitch < self.lowest:
            pitch += 12
        while pitch > self.highest:
            pitch -= 12
        return pitch


def _sustained(name: str, notes: Sequence[Note], length: int, rng: np.random.Generator) -> np.ndarray:
    return sustained.play(sustained.TONES[name](rng), notes, length, rng)


def _player(name: str) -> Callable:
    if name in plucked.STRINGS:
        return partial(plucked.play, name)
    if name in struck.BARS:
        return partial(struck.play_bars, name)
    if name in sustained.TONES:
        return partial(_sustained, name)
    return {"piano": struck.play_piano, "electric_piano": struck.play_electric_piano, "voice": voice.play}[name]


PATCHES = {name: Patch(name, *span, _player(name)) for name, span in RANGES.items()}
"""Every pitched instrument, by name. Drums are in ``drums.py``."""
