"""What every player of a band has on the stand: the bars with their chords, the tune, and how rhythms fit the bars."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from phalar.corpora.arrangement import Stroke
from phalar.corpora.leadsheet import Chord, LeadSheet
from phalar.errors import InputError

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
}

PATTERN_LENGTH = {"duple": 4.0, "triple": 3.0, "compound": 3.0}
"""Quarter notes that one bar of a written pattern covers, by family of metres."""

NEAR = 1e-6
"""Quarter notes: moments closer than this are the same."""


def family(sheet: LeadSheet) -> str:
    """``"duple"`` (2/4, 4/4, 2/2), ``"triple"`` (3/4) or ``"compound"`` (6/8, 9/8, 12/8).

    Raises
    ------
    InputError
        If nobody here knows the metre.
    """
    metre = sheet.beats_per_bar, sheet.beat
    if metre in {(2, 1.0), (4, 1.0), (2, 2.0)}:
        return "duple"
    if metre == (3, 1.0):
        return "triple"
    if metre in {(2, 1.5), (3, 1.5), (4, 1.5)}:
        return "compound"
    raise InputError(
        f"tune {sheet.id} has {sheet.beats_per_bar} beats of {sheet.beat} quarter notes in a bar; "
        "arrangements are made in 2/4, 3/4, 4/4, 2/2, 6/8, 9/8 and 12/8"
    )


@dataclass(frozen=True)
class Bar:
    """One bar of an arrangement.

    Attributes
    ----------
    onset, length : float
        Quarter notes.
    source : int
        The bar of the tune whose chords it has; -1 for the final chord.
    melodic : bool
        Whether the tune sounds.
    section : int
        Index into the arrangement's sections.
    place : int
        Position in its section, from 0.
    last : bool
        Whether it is the last of its section: where a drummer fills.
    """

    onset: float
    length: float
    source: int
    melodic: bool
    section: int
    place: int
    last: bool

    @property
    def end(self) -> float:
        """Quarter notes."""
        return self.onset + self.length


@dataclass(frozen=True)
class Chart:
    """A tune laid out in bars.

    Attributes
    ----------
    bars : tuple of Bar
    sections : tuple of str
        ``"intro"``, ``"A"``, ``"B"``, ..., ``"break"``, ``"ending"``.
    chords : tuple of Chord
        Contiguous over all bars.
    melody : tuple of Stroke
        The tune wherever it sounds.
    tonic, mode : int, str
    family : str
    beat : float
    bpm : float
    """

    bars: tuple[Bar, ...]
    sections: tuple[str, ...]
    chords: tuple[Chord, ...]
    melody: tuple[Stroke, ...]
    tonic: int
    mode: str
    family: str
    beat: float
    bpm: float

    @cached_property
    def _onsets(self) -> list[float]:
        return [chord.onset for chord in self.chords]

    def chord(self, quarter: float) -> Chord:
        """The chord that sounds at a moment."""
        return self.chords[max(bisect_right(self._onsets, quarter + NEAR) - 1, 0)]

    def chords_in(self, start: float, end: float) -> list[Chord]:
        """Chords between two moments, clipped to them."""
        clipped = []
        for chord in self.chords[max(bisect_right(self._onsets, start + NEAR) - 1, 0) :]:
            if chord.onset > end - NEAR:
                break
            onset = max(chord.onset, start)
            stop = min(chord.onset + chord.duration, end)
            clipped.append(Chord(onset, stop - onset, chord.root, chord.quality, chord.bass))
        return clipped

    @cached_property
    def scale(self) -> frozenset[int]:
        """Pitch classes of the key."""
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.mode])

    def neighbour(self, pitch: int, direction: int) -> int:
        """The next note of the key above (1) or below (-1) a pitch."""
        pitch += direction
        while pitch % 12 not in self.scale:
            pitch += direction
        return pitch

    def seconds(self, quarters: float) -> float:
        """How long so many quarter notes last."""
        return quarters / self.beat * 60 / self.bpm


def cells(bar: Bar, which: str) -> list[tuple[float, float, float, int]]:
    """How a bar is covered by bars of a pattern: where in the bar, where in the pattern, how long, and which bar of
    the pattern (counted from the section's beginning). A bar of 2/4 is half a pattern, one of 12/8 two, one of 9/8 one
    and a half."""
    whole = PATTERN_LENGTH[which]
    if bar.length < whole - NEAR:
        halves = round(whole / bar.length)
        return [(0.0, bar.place % halves * bar.length, bar.length, bar.place // halves)]
    covered, result = 0.0, []
    count = round(-(-bar.length // whole))
    for n in range(count):
        length = min(whole, bar.length - covered)
        result.append((covered, whole - length, length, bar.place * count + n))
        covered += length
    return result


def steps(pattern: str, bar: Bar, which: str) -> Iterator[tuple[float, str, float]]:
    """Read a written rhythm in a bar.

    Parameters
    ----------
    pattern : str
        One character a step; ``.`` is a rest, ``-`` prolongs what is before it, ``|`` separates bars that take turns.
    bar : Bar
    which : str
        Family of metres.

    Yields
    ------
    (float, str, float)
        Moment in quarter notes, character, and how long it is held.
    """
    turns = pattern.split("|")
    for at, start, length, turn in cells(bar, which):
        text = turns[turn % len(turns)]
        step = PATTERN_LENGTH[which] / len(text)
        for index, symbol in enumerate(text):
            offset = index * step - start
            if symbol in ".-" or not -NEAR <= offset < length - NEAR:
                continue
            held = 1
            while index + held < len(text) and text[index + held] == "-":
                held += 1
            yield bar.onset + at + offset, symbol, min(held * step, length - offset)
