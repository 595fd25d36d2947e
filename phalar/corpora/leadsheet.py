"""What is written, before anybody plays it: lead sheets, and what a band makes of them. Times in quarter notes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

NEAR = 1e-6  # quarter notes: moments closer than this are the same
PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

MODES = {"major": 0, "dorian": 2, "mixolydian": 7, "minor": 9}
"""Semitones from the tonic of the major key with the same signature up to the tonic of each mode."""

_CHORDS = """maj 0 4 7, min 0 3 7, 7 0 4 7 10, maj7 0 4 7 11, min7 0 3 7 10, maj6 0 4 7 9, min6 0 3 7 9, dim 0 3 6,
    dim7 0 3 6 9, hdim7 0 3 6 10, aug 0 4 8, sus2 0 2 7, sus4 0 5 7, 9 0 4 7 10 14, 5 0 7"""
INTERVALS = {name: tuple(map(int, steps)) for name, *steps in map(str.split, _CHORDS.split(","))}
"""Semitones above the root, by quality in the syntax of ``mir_eval.chord`` (a power chord is written ``(1,5)``)."""


@dataclass(frozen=True)
class Stroke:
    """A note: ``onset``, ``duration``, MIDI ``pitch`` (in a drum part a General MIDI key), ``velocity`` 1 to 127."""

    onset: float
    duration: float
    pitch: int
    velocity: float = 90.0

    @property
    def end(self) -> float:
        return self.onset + self.duration


@dataclass(frozen=True)
class Chord:
    """A chord over a stretch of music: ``onset`` and ``duration`` in quarter notes; ``root``, a pitch class from C = 0;
    ``quality``, a key of :data:`INTERVALS`."""

    onset: float
    duration: float
    root: int
    quality: str

    @property
    def end(self) -> float:
        return self.onset + self.duration

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """From the root up."""
        return tuple((self.root + interval) % 12 for interval in INTERVALS[self.quality])

    @property
    def label(self) -> str:
        """In the syntax of ``mir_eval.chord``."""
        return f"{PITCH_CLASSES[self.root]}:{'(1,5)' if self.quality == '5' else self.quality}"


def merged(chords: Iterable[Chord]) -> list[Chord]:
    """Equal neighbours as one chord."""
    found: list[Chord] = []
    for chord in chords:
        before = found[-1] if found else None
        if before and (before.root, before.quality) == (chord.root, chord.quality) and chord.onset - before.end < NEAR:
            chord = replace(found.pop(), duration=before.duration + chord.duration)
        found.append(chord)
    return found


@dataclass(frozen=True)
class LeadSheet:
    """A melody, its metre, key and chords. ``tonic`` is a pitch class and ``mode`` a key of :data:`MODES`. A bar has
    ``beats_per_bar`` (2 in 6/8) of ``beat`` quarter notes each; ``pickup`` is the length of the upbeat before the first
    bar line. ``melody`` is in order, not overlapping; ``chords`` are contiguous from the first bar line to the end,
    none where only the tune is known. ``strains`` are the first bar line and the letter of each; a repeat is another
    strain of the same letter."""

    id: str
    title: str
    tonic: int
    mode: str
    beats_per_bar: int
    beat: float
    pickup: float
    melody: tuple[Stroke, ...]
    chords: tuple[Chord, ...] = ()
    strains: tuple[tuple[float, str], ...] = ()

    @property
    def bar(self) -> float:
        """Length of a bar in quarter notes."""
        return self.beats_per_bar * self.beat

    @property
    def bars(self) -> int:
        """Bars after the upbeat, the last one whole."""
        return -int(-((self.chords or self.melody)[-1].end - self.pickup - 1e-6) // self.bar)

    @property
    def length(self) -> float:
        """Quarter notes until the last bar line."""
        return self.pickup + self.bars * self.bar


@dataclass(frozen=True)
class Part:
    """What one player plays: ``role``, of a band (``drums`` to ``counter``, as in ``styles.yaml``) or of a chorale;
    ``instrument``, the stem's name; ``program`` of General MIDI from 0, for ``drums`` (and unpitched percussion) the
    kit in bank 128; ``strokes`` by onset, those of one onset in the order in which they are struck."""

    role: str
    instrument: str
    program: int
    drums: bool
    strokes: tuple[Stroke, ...]

    @property
    def pitched(self) -> bool:
        """False for drums and unpitched percussion."""
        return not self.drums


@dataclass(frozen=True)
class Arrangement:
    """A piece ready to be played. ``bpm`` beats a minute, of ``beat`` quarter notes; ``swing``, where the second half
    of a beat falls: 0.5 straight, 0.67 triplets (strokes are written straight, who performs them applies it); ``tonic``
    and ``mode`` as in :class:`LeadSheet`; ``beats``, every beat and its number in the bar from 1; ``chords`` by onset,
    and where there is none nobody plays; ``sections``, where each begins and its name; ``fermatas``, onset and end of
    every held note: where phrases of a chorale end."""

    id: str
    title: str
    style: str
    bpm: float
    beat: float
    swing: float
    tonic: int
    mode: str
    beats: tuple[tuple[float, int], ...]
    chords: tuple[Chord, ...]
    sections: tuple[tuple[float, str], ...]
    parts: tuple[Part, ...]
    fermatas: tuple[tuple[float, float], ...] = ()

    @property
    def length(self) -> float:
        """Quarter notes until the last beat, or the last chord, ends."""
        return max([self.beats[-1][0] + self.beat, *(chord.end for chord in self.chords[-1:])])

    @property
    def key(self) -> str:
        """Such as ``"Eb minor"``."""
        return f"{PITCH_CLASSES[self.tonic]} {self.mode}"

    @property
    def metre(self) -> str:
        """As a time signature, such as ``"6/8"``."""
        count = max(number for _, number in self.beats)
        return f"{3 * count}/8" if self.beat == 1.5 else f"{count}/4"


def fold(pitch: int, keys: tuple[int, int]) -> int:
    """A pitch, moved by octaves between two keys that are at least an octave apart."""
    low, high = keys
    return low + (pitch - low) % 12 if pitch < low else high - (high - pitch) % 12 if pitch > high else pitch
