"""What every player of a band has on the stand: the form in bars, with chords and the tune, and how rhythms fit."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from phalar.corpora.leadsheet import NEAR, Chord, LeadSheet, Stroke, merged
from phalar.errors import InputError

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10), "dorian": (0, 2, 3, 5, 7, 9, 10)}
SCALES |= {"mixolydian": (0, 2, 4, 5, 7, 9, 10)}
# The family of a metre by beats in a bar and the length of a beat in quarter notes.
METRES = {(2, 1.0): "duple", (4, 1.0): "duple", (3, 1.0): "triple", (2, 1.5): "compound", (3, 1.5): "compound"}
STEP = 0.25  # quarter notes that a character of a pattern stands for


@dataclass(frozen=True)
class Bar:
    """One bar: ``onset`` and ``length`` in quarter notes; ``source``, the bar of the tune whose chords it has (-1 for
    the final chord); whether the tune sounds (``melodic``); the index of its ``section``, and its ``place`` there."""

    onset: float
    length: float
    source: int
    melodic: bool
    section: int
    place: int

    @property
    def end(self) -> float:
        """Quarter notes."""
        return self.onset + self.length


@dataclass(frozen=True)
class Chart:
    """A tune laid out in bars: ``sections`` are their names, ``chords`` by onset, ``melody`` where it sounds."""

    bars: tuple[Bar, ...]
    sections: tuple[str, ...]
    chords: tuple[Chord, ...]
    melody: tuple[Stroke, ...]
    tonic: int
    mode: str
    beat: float
    bpm: float

    def chord(self, quarter: float) -> Chord | None:
        """The chord that sounds at a moment; None where there is none."""
        return next((c for c in self.chords if c.onset - NEAR < quarter < c.end - NEAR), None)

    def bar(self, quarter: float) -> Bar:
        """The bar of a moment."""
        return self.bars[min(int((quarter + NEAR) // self.bars[0].length), len(self.bars) - 1)]

    def last(self, number: int) -> bool:
        """Whether a bar is the last of its section, where a drummer fills."""
        return number + 1 == len(self.bars) or self.bars[number + 1].place == 0

    def strong(self, quarter: float) -> bool:
        """Whether a moment is the first beat of a bar, or the middle one of a bar of four."""
        length = self.bars[0].length
        return (quarter + NEAR) % (length / 2 if abs(length - 4 * self.beat) < NEAR else length) < 2 * NEAR

    @cached_property
    def scale(self) -> frozenset[int]:
        """Pitch classes of the key."""
        return frozenset((self.tonic + step) % 12 for step in SCALES[self.mode])

    def neighbour(self, pitch: int, direction: int) -> int:
        """The next note of the key above (1) or below (-1) a pitch."""
        return next(key for key in range(pitch + direction, pitch + 4 * direction, direction) if key % 12 in self.scale)

    def seconds(self, quarters: float) -> float:
        """How long so many quarter notes last."""
        return quarters / self.beat * 60 / self.bpm


def hits(pattern: str, bar: Bar) -> Iterator[tuple[float, str, float]]:
    """Read a rhythm in a bar, from where the section has come to in it: (onset, character, how long it is held). A bar
    of 2/4 has half a pattern of 16, one of 9/8 one and a half of 12."""
    count, length = round(bar.length / STEP), len(pattern)
    first = bar.place * count % length if length % count == 0 or count % length == 0 else 0
    text = "".join(pattern[(first + step) % length] for step in range(count))
    for found in re.finditer(r"([^.-])-*", text):
        yield bar.onset + STEP * found.start(), found[1], STEP * len(found[0])


def events(chart: Chart, patterns: list[str], bars: list[int]) -> Iterator[tuple[float, float, str, Chord]]:
    """What patterns, one a section, ask for in some bars: (onset, end, character, chord). No note is longer than its
    chord, and a chord that enters where the pattern holds another is struck anew. The final chord is one ``!``."""
    for bar in (chart.bars[number] for number in bars):
        if bar.source < 0 and bar.place == 0:
            yield bar.onset, chart.bars[-1].end, "!", chart.chord(bar.onset)
        for onset, symbol, held in hits(patterns[bar.section], bar) if bar.source >= 0 else ():
            end = onset + held
            while onset < end - NEAR:
                chord = chart.chord(onset)
                stop = min(end, chord.end) if chord else onset + STEP
                if chord:
                    yield onset, stop, symbol, chord
                onset = stop


def lay_out(sheet: LeadSheet, bpm: float, tonic: int, seconds: tuple[float, float], rng: np.random.Generator) -> Chart:
    """A form: introduction, the tune as often as there is time, mostly a break, a final chord, in whole phrases. An
    `InputError` if no form has a length between ``seconds``."""
    bar_seconds = sheet.beats_per_bar * 60 / bpm
    phrase, ending = (4, 2) if bar_seconds < 2.2 else (2, 1)
    fewest, most = int(np.ceil(seconds[0] / bar_seconds)), int(seconds[1] / bar_seconds)
    rest = phrase if rng.random() < 0.6 and most >= 7 * phrase else 0
    outside = phrase + rest + ending
    low, high = max(-(-(fewest - outside) // phrase), 1), max((most - outside) // phrase, 1)
    body = phrase * int(rng.integers(low, high + 1) if low <= high else high)
    intro = phrase + max(fewest - outside - body, 0)  # no whole phrase fits any more: begin earlier
    if intro + rest + body + ending > most:
        raise InputError(f"no piece of {seconds[0]} to {seconds[1]} s can be made at {bpm} BPM: allow more seconds")
    section = 8 if phrase == 4 and body >= 24 else 4
    half = body // 2 // section * section or body  # the tune has come so far when the break is made
    # A bar is a name, the bar of the tune whose chords it has, and whether the tune sounds.
    sung = [(chr(ord("A") + min(n % sheet.bars // section, 25)), n % sheet.bars, True) for n in range(body)]
    layout = [("intro", (n - intro) % sheet.bars, False) for n in range(intro)] + sung[:half]
    layout += [("break", (half + n - rest) % sheet.bars, False) for n in range(rest)] + sung[half:]
    layout += [("ending", -1, False)] * ending
    bars, sections, place = [], [], 0
    for number, (name, source, melodic) in enumerate(layout):
        new = not bars or name != sections[-1] or (melodic and source % section == 0)
        sections, place = sections + [name] * new, 0 if new else place + 1
        bars.append(Bar(number * sheet.bar, sheet.bar, source, melodic, len(sections) - 1, place))
    shift = (tonic - sheet.tonic + 6) % 12 - 6
    chords, melody = _chords(sheet, bars, tonic, shift), _melody(sheet, bars, shift)
    return Chart(tuple(bars), tuple(sections), chords, melody, tonic, sheet.mode, sheet.beat, bpm)


def _chords(sheet: LeadSheet, bars: list[Bar], tonic: int, shift: int) -> tuple[Chord, ...]:
    """The chords of the bars, transposed, and the tonic at the end; neighbours that are the same are one."""
    placed: list[Chord] = []
    for bar in bars:
        start = sheet.pickup + bar.source * sheet.bar
        for chord in sheet.chords if bar.source >= 0 else ():
            begin, end = max(chord.onset, start), min(chord.end, start + bar.length)
            if end - begin > NEAR:
                placed.append(Chord(bar.onset + begin - start, end - begin, (chord.root + shift) % 12, chord.quality))
        if bar.source < 0:
            placed.append(Chord(bar.onset, bar.length, tonic, "min" if sheet.mode in ("minor", "dorian") else "maj"))
    return tuple(merged(placed))


def _melody(sheet: LeadSheet, bars: list[Bar], shift: int) -> tuple[Stroke, ...]:
    """The tune wherever it sounds, with its upbeat in the bar before; a note is held as long as the tune goes on."""
    strokes, end = [], 0.0
    for bar, following in reversed(list(zip(bars, [*bars[1:], None], strict=True))):
        if not (following and following.melodic and following.source == bar.source + 1):
            end = bar.end - (sheet.pickup if following and following.melodic and following.source == 0 else 0)
        start = sheet.pickup + bar.source * sheet.bar
        first = 0.0 if bar.source == 0 and bar.onset > 0 else start
        for note in sheet.melody if bar.melodic else ():
            onset = bar.onset + note.onset - start
            if first - NEAR <= note.onset < start + sheet.bar - NEAR and onset < end - NEAR:
                strokes.append(Stroke(onset, min(note.duration, end - onset), note.pitch + shift))
    return tuple(sorted(strokes, key=lambda stroke: stroke.onset))
