"""What is written, before anybody arranges or plays it. Times are in quarter notes from the beginning."""

from dataclasses import dataclass

PITCH_CLASSES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")

MODES = {"major": 0, "dorian": 2, "mixolydian": 7, "minor": 9}
"""Semitones from the tonic of the major key with the same signature up to the tonic of each mode."""

_CHORDS = """maj 0 4 7, min 0 3 7, 7 0 4 7 10, maj7 0 4 7 11, min7 0 3 7 10, maj6 0 4 7 9, min6 0 3 7 9, dim 0 3 6,
    dim7 0 3 6 9, hdim7 0 3 6 10, aug 0 4 8, sus2 0 2 7, sus4 0 5 7, 9 0 4 7 10 14, 5 0 7"""
INTERVALS = {name: tuple(map(int, steps)) for name, *steps in map(str.split, _CHORDS.split(","))}
"""Semitones above the root, by quality in the syntax of ``mir_eval.chord`` (a power chord is written ``(1,5)``)."""


@dataclass(frozen=True)
class Written:
    """A written note: ``onset`` and ``duration`` in quarter notes, ``pitch`` as a MIDI key, and whether a fermata
    stands over it (in a chorale: the end of a line)."""

    onset: float
    duration: float
    pitch: int
    fermata: bool = False

    @property
    def end(self) -> float:
        return self.onset + self.duration


@dataclass(frozen=True)
class Score:
    """A piece of written music: its ``key`` (such as ``"f# minor"``), every beat with its number in the bar from 1, and
    one melody a voice, highest voice first, notes in order and not overlapping."""

    id: str
    key: str
    beats: tuple[tuple[float, int], ...]
    voices: tuple[tuple[Written, ...], ...]


@dataclass(frozen=True)
class Chord:
    """A chord over a stretch of music: ``onset`` and ``duration`` in quarter notes; ``root`` and ``bass`` pitch classes
    from C = 0 (``bass`` None where it is the root); ``quality`` a key of :data:`INTERVALS`."""

    onset: float
    duration: float
    root: int
    quality: str
    bass: int | None = None

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """From the root up."""
        return tuple((self.root + interval) % 12 for interval in INTERVALS[self.quality])

    @property
    def label(self) -> str:
        """In the syntax of ``mir_eval.chord``, without the bass."""
        quality = "(1,5)" if self.quality == "5" else self.quality
        return f"{PITCH_CLASSES[self.root]}:{quality}"


@dataclass(frozen=True)
class LeadSheet:
    """A melody, its metre, key and chords.

    ``tonic`` is a pitch class and ``mode`` a key of :data:`MODES`. A bar has ``beats_per_bar`` (2 in 6/8) of ``beat``
    quarter notes each; ``pickup`` is the length of the upbeat before the first bar line. ``melody`` is in order, not
    overlapping; ``chords`` are contiguous from the first bar line to the end, none where only the tune is known.
    ``strains`` are the first bar line and the letter of each; a repeat is another strain of the same letter.
    """

    id: str
    title: str
    tonic: int
    mode: str
    beats_per_bar: int
    beat: float
    pickup: float
    melody: tuple[Written, ...]
    chords: tuple[Chord, ...] = ()
    strains: tuple[tuple[float, str], ...] = ()

    @property
    def bar(self) -> float:
        """Length of a bar in quarter notes."""
        return self.beats_per_bar * self.beat

    @property
    def bars(self) -> int:
        """Bars after the upbeat, the last one whole."""
        end = self.chords[-1].onset + self.chords[-1].duration if self.chords else self.melody[-1].end
        return -int(-(end - self.pickup - 1e-6) // self.bar)

    @property
    def length(self) -> float:
        """Quarter notes until the last bar line."""
        return self.pickup + self.bars * self.bar
