"""Bass lines: written patterns of roots and fifths, and lines that walk.

A pattern has a character a step: ``R`` the root, ``5`` the fifth, ``3`` the third, ``7`` the seventh (or the sixth),
``8`` the root an octave up, ``a`` a step that leads to the next chord's root; ``-`` holds. Whatever is written, a new
chord begins on its root (or the bass that the lead sheet asks for), and strong beats have notes of the chord.
"""

import numpy as np

from phalar.corpora.arrangement import Stroke
from phalar.corpora.leadsheet import Chord
from phalar.corpora.styles.chart import NEAR, Bar, Chart, steps
from phalar.corpora.styles.voicing import chord_fifth

LOW, HIGH = 28, 50
"""Keys between which a bass moves."""

WALK = "walk"

PATTERNS = {
    "rock": ("R-R-R-R-R-R-R-R-", "R---R-R-R---R-5-", "R--RR-R-5--5R-a-", "R-R-R-5-R-R-5-a-"),
    "pop": ("R-----R-5-----a-", "R---R---R---5---", "R-----R-R---5-8-"),
    "funk": ("R..R..8.R.R..7a-", "R.R...8..5R.7-8.", "R..8..R.5..R..a-"),
    "swing": (WALK, WALK, "R---5---R---a---"),
    "bossa": ("R-----5-5-----R-", "R-----5-R-----a-"),
    "reggae": ("R---..R-3-5-....", "....R-R-..5-R---", "R-..R---..3-5-a-", "R-----5-..R-..8-"),
    "disco": ("R.8.R.8.R.8.R.8.", "R--RR.8.R--R5.8.", "R.8.5.8.R.8.a.8."),
    "country": ("R-------5-------", "R---5---R---5-a-", "R-------5---a---"),
    "ballad": ("R-------5-------", "R-----5-8-------", "R-------R---5-a-"),
    "metal": ("R-RRR-RRR-RRR-RR", "RRRRRRRRRRRRRRRR", "R-R-R-R-R-R-5-a-"),
    "hip-hop": ("R------R..8-....", "R-..R---..5-..a-", "R-----------7-8-"),
    "latin": ("......5-----R---", "R-----5-----8---", "R-----5-..R-a---"),
    "march": ("R---....5---....", "R---5---R---5---"),
    "ska": (WALK, "R---3---5---3---", "R---5---8---5---"),
    "blues": ("R---3---5---7---", "R-R-5-5-7-7-5-a-", WALK),
    "folk": ("R-------5-------", "R-----R-5-----a-", "R---------------"),
    "waltz": ("R---........", "R---....5---"),
    "jazz waltz": (WALK, "R-----5-a---", "R-------5---"),
    "country waltz": ("R---........", "R-------a---", "R---5---a---"),
    "slow waltz": ("R-----------", "R-----5-8---", "R-------5---"),
    "jig": ("R---..5---..", "R-----5---a-", "R-----------"),
    "doo-wop": ("R---R-5---a-", "R---3-5---3-", "R-----5---8-"),
    "afro": ("R-..R-5-....", "R--5--8--5--", "....R-5---8-"),
    "tarantella": ("R-....5-....", "R---R-5---a-"),
}
"""By style."""


def bass(chart: Chart, style: str, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """The bass's part in the bars ``playing``."""
    by_section = {name: PATTERNS[style][rng.integers(len(PATTERNS[style]))] for name in dict.fromkeys(chart.sections)}
    strokes, at = [], LOW + 8.0
    for number, bar in enumerate(chart.bars):
        if number not in playing:
            continue
        if bar.source < 0:
            if bar.place == 0:
                end = chart.bars[-1].end
                strokes.append(Stroke(bar.onset, end - bar.onset, nearest(_lowest(chart.chord(bar.onset)), at), 100.0))
            continue
        pattern = by_section[chart.sections[bar.section]]
        line = _walk(chart, bar, at, rng) if pattern == WALK else _written(chart, bar, pattern, at, rng)
        strokes += line
        at = line[-1].pitch if line else at
    return strokes


def nearest(pitch_class: int, to: float) -> int:
    """The key of a pitch class nearest to a key, within the bass's range."""
    return min((key for key in range(LOW, HIGH + 1) if key % 12 == pitch_class % 12), key=lambda key: abs(key - to))


def strong(chart: Chart, bar: Bar, quarter: float) -> bool:
    """Whether a moment is the first beat of a bar, or the middle one of a bar of four."""
    offset = quarter - bar.onset
    return abs(offset) < NEAR or (abs(bar.length - 4 * chart.beat) < NEAR and abs(offset - 2 * chart.beat) < NEAR)


def _lowest(chord: Chord) -> int:
    return chord.root if chord.bass is None else chord.bass


def _degree(chord: Chord, symbol: str) -> int:
    """Pitch class that a character of a pattern stands for."""
    if symbol == "5":
        return chord.root + chord_fifth(chord)
    if symbol == "3":
        return chord.pitch_classes[1]
    if symbol == "7":
        return chord.pitch_classes[3] if len(chord.pitch_classes) > 3 else chord.root + chord_fifth(chord)
    return _lowest(chord) if symbol == "R" else chord.root


def _approach(chart: Chart, target: int, at: float, rng: np.random.Generator) -> int:
    """A step below or above the note to come: mostly of the key, at times chromatic."""
    goal = nearest(target, at)
    side = -1 if goal > LOW and (rng.random() < 0.6 or goal + 2 > HIGH) else 1
    return goal + side if rng.random() < 0.3 else chart.neighbour(goal, side)


def _written(chart: Chart, bar: Bar, pattern: str, at: float, rng: np.random.Generator) -> list[Stroke]:
    events = [(onset, symbol, held) for onset, symbol, held in steps(pattern, bar, chart.family)]
    for chord in chart.chords_in(bar.onset, bar.end):
        # A chord that enters where the pattern rests is stated all the same, if it lasts.
        if chord.duration >= 1 and not any(-0.5 < onset - chord.onset < 1 + NEAR for onset, _, _ in events):
            following = min([onset for onset, _, _ in events if onset > chord.onset], default=bar.end)
            events.append((chord.onset, "R", min(chord.duration, following - chord.onset, 1.0)))
    strokes, stated = [], None
    for onset, symbol, held in sorted(events):
        chord = chart.chord(onset)
        end = min(onset + held, chord.onset + chord.duration)
        if chord.onset != stated and onset - chord.onset < 1 + NEAR:
            symbol = "R"
        stated = chord.onset
        if symbol == "a" and not strong(chart, bar, onset):
            following = chart.chord(min(bar.end, chart.bars[-1].onset))
            key = _approach(chart, _lowest(following), at, rng) if following.root != chord.root else None
            key = nearest(_degree(chord, "5"), at) if key is None else key
        elif symbol == "8":
            key = nearest(chord.root, at) + 12
            key = key if key <= HIGH else key - 12
        else:
            key = nearest(_degree(chord, symbol), at if symbol != "R" else 0.5 * at + 0.5 * (LOW + 8))
        at = key if symbol != "8" else key - 12 if key - 12 >= LOW else key
        accent = 8 if strong(chart, bar, onset) else 0
        strokes.append(Stroke(onset, 0.95 * (end - onset), key, float(88 + accent + 3 * rng.standard_normal())))
    return strokes


def _walk(chart: Chart, bar: Bar, at: float, rng: np.random.Generator) -> list[Stroke]:
    """A note a beat: the root where a chord begins, a leading step before the next one, and between them notes of the
    chord and of the key, going on in one direction as long as there is room."""
    beats = [bar.onset + n * chart.beat for n in range(round(bar.length / chart.beat))]
    strokes, direction = [], 1 if at < (LOW + HIGH) / 2 else -1
    for onset in beats:
        chord = chart.chord(onset)
        following = chart.chord(min(onset + chart.beat, chart.bars[-1].onset))
        if onset - chord.onset < chart.beat - NEAR:
            key = nearest(_lowest(chord), at)
        elif following.onset > onset + NEAR and not strong(chart, bar, onset):
            key = _approach(chart, _lowest(following), at, rng)
        else:
            direction = -1 if at > HIGH - 5 else 1 if at < LOW + 5 else direction
            reach = [at + direction * step for step in range(1, 6)]
            tones = [k for k in reach if k % 12 in chord.pitch_classes]
            scale = [k for k in reach[:2] if k % 12 in chart.scale]
            passing = scale and not strong(chart, bar, onset) and rng.random() < 0.5
            key = int((scale if passing else tones or [nearest(chord.root, at)])[0])
        at = key
        strokes.append(Stroke(onset, 0.92 * chart.beat, int(key), float(92 + 4 * rng.standard_normal())))
        if rng.random() < 0.12 and chart.beat == 1.0:  # a skip: the same note again, off the beat
            strokes.append(Stroke(onset + 0.5, 0.3, int(key), 70.0))
    return strokes
