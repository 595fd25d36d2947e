"""What each player of a band makes of a chart: drums, bass, chords, riffs, the tune, and a second voice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np

from phalar.corpora.arrangement import Stroke, fold
from phalar.corpora.chart import NEAR, STEP, Bar, Chart, events, hits
from phalar.corpora.leadsheet import Chord
from phalar.corpora.styles import Instrument, Style, table

STRUCK = {"X": 116, "x": 98, "o": 80, "g": 48, "?": 60}
"""Velocity of a drum, by the character of the pattern."""

RING = {"crash": 3.0, "open": 0.5, "ride": 0.5, "bell": 0.5}
"""Quarter notes that a drum is let ring; the others are short by nature."""

LOUD = {"!": 92, "X": 98, "x": 86, "o": 70, "s": 84, "u": 74, "m": 62, "b": 88, "f": 82} | dict.fromkeys("0123", 80)
"""Velocity of a chord or one of its notes, by the character of the pattern."""

SHORT = {"s": 0.3, "m": 0.12}
"""Quarter notes, where a chord is not held as long as the pattern says."""

WIDEST = 9
"""Semitones between neighbouring voices."""

EXTENT = 19
"""Semitones within which an accompanist's voicings lie."""


# --- drums --------------------------------------------------------------------------------------------------------


def drums(chart: Chart, grooves: Sequence[Mapping], fills: Sequence[Mapping], quiet: bool, bars: list[int], rng):
    """The part of a kit, or of a hand percussionist (no ``fills``), in some bars: a groove for each kind of section,
    fills where a phrase ends, a crash where the next begins."""
    chosen, loud, filled, strokes = by_section(chart, grooves, rng), 0.75 if quiet else 1.0, False, []
    for bar in (chart.bars[number] for number in bars):
        if bar.source < 0:
            final = {"kick": "X", "crash": "x"} if fills else dict.fromkeys(list(grooves[0])[:1], "X")
            strokes += [_stroke(bar.onset, drum, symbol, loud) for drum, symbol in final.items() if bar.place == 0]
            continue
        if filled and rng.random() < (0.3 if quiet else 1.0):
            strokes.append(_stroke(bar.onset, "crash", "o" if quiet else "x", loud))
        filled = bool(fills) and rng.random() < (0.9 if bar.last else 0.35 if bar.place % 4 == 3 else 0.0)
        fill = fills[rng.integers(len(fills))] if filled else {}
        played = [stroke for drum, line in fill.items() for stroke in _line(drum, line, bar, loud**2, rng)]
        begin = min((stroke.onset for stroke in played), default=bar.end)  # where the fill begins the groove stops
        groove = [s for drum, line in chosen[bar.section].items() for s in _line(drum, line, bar, loud, rng)]
        strokes += played + [stroke for stroke in groove if stroke.onset < begin - NEAR]
    return strokes


def _line(drum: str, line: str, bar: Bar, loud: float, rng: np.random.Generator) -> list[Stroke]:
    found = [(onset, symbol) for onset, symbol, _ in hits(line, bar) if symbol != "?" or rng.random() < 0.4]
    return [_stroke(onset, drum, symbol, loud) for onset, symbol in found]


def _stroke(onset: float, drum: str, symbol: str, loud: float) -> Stroke:
    return Stroke(onset, RING.get(drum, 0.25), table()["keys"][drum], STRUCK[symbol] * loud)


def by_section(chart: Chart, patterns: Sequence, rng: np.random.Generator) -> list:
    """A pattern for each section: sections of one name share it, mostly."""
    shared = {name: patterns[rng.integers(len(patterns))] for name in dict.fromkeys(chart.sections)}
    return [shared[name] if rng.random() < 0.8 else patterns[rng.integers(len(patterns))] for name in chart.sections]


# --- bass ---------------------------------------------------------------------------------------------------------


def bass(chart: Chart, patterns: Sequence[str], instrument: Instrument, bars: list[int], rng: np.random.Generator):
    """A bass line. Whatever is written, a new chord begins on its root (or the bass that the lead sheet asks for), and
    strong beats have notes of the chord."""
    low, high = instrument.low, instrument.low + 22
    home = at = low + 8
    strokes, stated, direction = [], None, 1

    def nearest(pitch_class: int, to: float) -> int:
        return min((key for key in range(low, high + 1) if (key - pitch_class) % 12 == 0), key=lambda k: abs(k - to))

    for onset, end, symbol, chord in events(chart, by_section(chart, patterns, rng), bars):
        coming = chart.chord(end) or chord
        root, goal = (c.root if c.bass is None else c.bass for c in (chord, coming))
        degrees = {"3": chord.pitch_classes[1], "7": chord.pitch_classes[-1], "8": chord.root}
        if symbol in "R!" or (chord.onset != stated and onset - chord.onset < 1 + NEAR):
            key = nearest(root, 0.5 * (at + home))
        elif symbol in "aw" and coming.root != chord.root and not chart.strong(onset):
            goal = nearest(goal, at)  # a step away from it, mostly of the key, at times chromatic
            side = 1 if goal == low or (goal + 2 <= high and rng.random() < 0.4) else -1
            key = goal + side if rng.random() < 0.3 else chart.neighbour(goal, side)
        elif symbol == "w":
            direction = -1 if at > high - 5 else 1 if at < low + 5 else direction
            tones = [at + direction * n for n in range(1, 8) if (at + direction * n) % 12 in chord.pitch_classes]
            passing = not chart.strong(onset) and rng.random() < 0.5
            key = chart.neighbour(at, direction) if passing else tones[0]
        else:
            key = nearest(degrees.get(symbol, chord.root + fifth(chord)), at)
            key += 12 if symbol == "8" and key + 12 <= high else 0
        stated, at = chord.onset, key if key - 12 < home else key - 12
        strokes.append(Stroke(onset, 0.94 * (end - onset), key, 96.0 if chart.strong(onset) else 88.0))
    return strokes


# --- chords -------------------------------------------------------------------------------------------------------


def fifth(chord: Chord) -> int:
    """Semitones from the root to the fifth: seven, unless the chord has it altered."""
    return next((i for i in (7, 6, 8) if (chord.root + i) % 12 in chord.pitch_classes), 7)


@cache
def voicings(pitch_classes: tuple[int, ...], altered: int, voices: int, low: int, high: int) -> np.ndarray:
    """Every way to spread a chord over so many voices between two keys, (ways, voices), each from low to high.

    All notes sound where there are voices enough, and none but the root and the fifth (``altered`` semitones above it)
    twice; else the fifth is left out first, then the root (the bass has it).
    """
    root, rest = pitch_classes[0], [pc for pc in pitch_classes[1:] if (pc - pitch_classes[0]) % 12 != altered]
    needed = (
        pitch_classes if len(pitch_classes) <= voices else ([*rest, root] if len(rest) < voices else rest[-voices:])
    )
    keys = [key for key in range(low, high + 1) if key % 12 in needed]
    ways = np.array(list(combinations(keys, voices)), int).reshape(-1, voices)
    doubled = [sum(ways[:, v] % 12 == pc for v in range(voices)) for pc in rest]
    fits = (np.diff(ways, axis=1) <= WIDEST).all(1)
    for pc in needed:
        fits &= (ways % 12 == pc).any(1)
    for count in doubled:
        fits &= count <= 1
    return ways[fits]


def lead(chord: Chord, voices: int, low: int, high: int, before: Sequence[int] | None) -> tuple[int, ...]:
    """The voicing nearest to the one before; at first, nearest to the middle of the range.

    Nearness is the sum of what the voices move, with a slight pull to the middle, so that a long progression does not
    drift to an end of the range. A chord of two notes that cannot fill all voices in the range gets fewer.
    """
    ways = voicings(chord.pitch_classes, fifth(chord), voices, low, high)
    if not len(ways):
        return lead(chord, voices - 1, low, high, None)
    cost = 0.25 * np.abs(ways.mean(1) - (low + high) / 2)
    if before is None or len(before) != voices:
        cost = 4 * cost + 0.2 * (ways[:, -1] - ways[:, 0])
    else:
        cost = cost + np.abs(ways - np.array(before)).sum(1)
    return tuple(ways[np.argmin(cost)].tolist())


def chordal(
    chart: Chart,
    patterns: list[str],
    bars: list[int],
    voices: int,
    keys: tuple[int, int],
    low: int = 0,
    stating: bool = False,
) -> list[Stroke]:
    """Chords in a written rhythm: strummed, comped, held or broken, by one hand or two.

    Parameters
    ----------
    chart, patterns, bars
        As for :func:`phalar.corpora.chart.events`. A pattern of two lines (``/``) is for two hands.
    voices, keys : int, (int, int)
        How many notes a chord has, each led from the chord before, and the keys between which they lie.
    low : int
        Notes of a low hand below them: 1 the root, 2 its fifth too; 3 a power chord, root, fifth and octave, and
        nothing above.
    stating : bool
        Whether every chord is struck where it enters, also where the pattern rests.

    Returns
    -------
    list of Stroke
        The notes of a chord in the order in which they are struck.
    """
    voiced, before, strokes = {}, None, []
    for chord in chart.chords:
        before = lead(chord, voices, *keys, before)
        root = keys[0] - 12 + (chord.root - keys[0]) % 12
        voiced[chord.onset] = [root, root + fifth(chord), root + 12][:low], before if low < 3 else ()
    for hand in range(max(pattern.count("/") for pattern in patterns) + 1):
        lines = [pattern.split("/")[min(hand, pattern.count("/"))] for pattern in patterns]
        alone = "/" not in patterns[0]
        for onset, end, symbol, chord in events(chart, lines, bars, ("X" if alone or hand else "b") if stating else ""):
            under, over = voiced[chord.onset]
            upper = [*under, *(key for key in over if not under or key > under[-1])] if alone else list(over)
            both = [*under, *over]
            struck = {"u": upper[:-5:-1], "b": both[:1], "f": both[1:2]}.get(symbol, upper)
            struck = [over[int(symbol) % len(over)]] if symbol.isdigit() else struck
            held = min(end - onset, SHORT.get(symbol, np.inf)) * (0.95 if symbol != "!" else 1)
            if symbol != "!" or hand == 0:
                struck = both if symbol == "!" else struck
                strokes += [Stroke(onset, held, key, float(LOUD[symbol])) for key in struck]
    return sorted(strokes, key=lambda stroke: stroke.onset)


def tied(strokes: list[Stroke], longest: float) -> list[Stroke]:
    """The same notes, those joined that follow each other at one pitch, up to a length in quarter notes."""
    result, held = [], {}
    for stroke in strokes:
        last = held.get(stroke.pitch)
        joined = last is not None and abs(result[last].onset + result[last].duration - stroke.onset) < 0.3
        if joined and stroke.onset + stroke.duration - result[last].onset <= longest + NEAR:
            result[last] = replace(result[last], duration=stroke.onset + stroke.duration - result[last].onset)
        else:
            held[stroke.pitch] = len(result)
            result.append(stroke)
    return result


def register(instrument: Instrument, rng: np.random.Generator) -> tuple[int, int]:
    """Lowest and highest key of an accompanist's voicings: somewhere between C3 and E5, within the instrument."""
    low = int(np.clip(rng.integers(48, 58), instrument.low, max(instrument.high - EXTENT, instrument.low)))
    return low, min(low + EXTENT, instrument.high)


# --- lines --------------------------------------------------------------------------------------------------------


def riff(chart: Chart, patterns: Sequence[str], instrument: Instrument, bars: list[int], rng: np.random.Generator):
    """A short figure that moves with the chords and comes again in every bar, with another end in every fourth."""
    shapes = [np.clip(np.cumsum(rng.choice([-2, -1, 0, 1, 1, 2], 18)), 0, 4) for _ in range(2)]
    root = int(np.clip(rng.integers(48, 62), instrument.low, instrument.high - 24))
    strokes, chosen = [], [patterns[rng.integers(len(patterns))]] * len(chart.sections)
    for onset, end, _, chord in events(chart, chosen, bars):
        bar = chart.bar(onset)
        scale = (0, 3, 5, 7, 10) if (chord.root + 3) % 12 in chord.pitch_classes else (0, 2, 4, 7, 9)
        tones = {*chord.pitch_classes, *(chart.scale & {(chord.root + step) % 12 for step in scale})}
        first = root + (chord.root - root) % 12
        ladder = [key for key in range(first, first + 13) if key % 12 in tones]
        rung = shapes[bar.place % 4 == 3][round((onset - bar.onset) / STEP) % 18]
        strokes.append(Stroke(onset, 0.9 * (end - onset), ladder[min(rung, len(ladder) - 1)], 90.0))
    return strokes


def melody(chart: Chart, style: Style, instrument: Instrument, final: bool, rng: np.random.Generator) -> list[Stroke]:
    """The tune: thinned where it would be too quick, in a fitting octave, decorated as the style does."""
    tune = thin(chart, chart.melody, style.rate)
    octave = fitting([stroke.pitch for stroke in tune], instrument)
    strokes: list[Stroke] = []
    for note in tune:
        pitch = fold(note.pitch + octave, (instrument.low, instrument.high))
        note = replace(
            note, pitch=pitch, duration=0.96 * note.duration, velocity=94.0 if chart.strong(note.onset) else 88.0
        )
        kind = rng.choice([*style.ornaments, "plain"], p=[*style.ornaments.values(), 1 - sum(style.ornaments.values())])
        if kind == "grace" and note.duration >= 0.48:
            above = min(chart.neighbour(pitch, 1), instrument.high)
            strokes += [replace(note, duration=0.125, pitch=above, velocity=78.0), _later(note, 0.125)]
        elif kind == "late" and note.duration >= 0.96:
            strokes.append(_later(note, 0.5))
        elif kind == "split" and note.duration >= 0.96:
            strokes += [replace(note, duration=0.48), _later(note, 0.5)]
        else:
            strokes.append(note)
    return strokes + _last(chart, instrument, strokes[-1].pitch if strokes else 70, final)


def _later(note: Stroke, by: float) -> Stroke:
    return replace(note, onset=note.onset + by, duration=note.duration - by)


def thin(chart: Chart, tune: Sequence[Stroke], rate: float) -> list[Stroke]:
    """Leave out the quickest notes until there are at most ``rate`` a second; what is kept lasts until the next."""
    for grid in (0.0, 0.5, chart.beat, 2 * chart.beat):
        offsets = np.array([stroke.onset - chart.bar(stroke.onset).onset for stroke in tune])
        kept = [s for s, at in zip(tune, offsets, strict=True) if not grid or abs(at / grid - round(at / grid)) < 0.01]
        gaps = np.diff([stroke.onset for stroke in kept])
        if not len(gaps) or chart.seconds(float(np.percentile(gaps, 20))) >= 0.98 / rate:
            break
    ends = np.array([stroke.onset + stroke.duration for stroke in tune])
    onsets = np.array([stroke.onset for stroke in tune])
    following = [*[stroke.onset for stroke in kept[1:]], np.inf]
    lasting = []
    for stroke, limit in zip(kept, following, strict=True):
        until = float(ends[(onsets > stroke.onset - NEAR) & (onsets < limit - NEAR)].max())
        lasting.append(replace(stroke, duration=min(until, limit) - stroke.onset))
    return lasting


def counter(chart: Chart, instrument: Instrument, tune: list[Stroke], bars: list[int], rng: np.random.Generator):
    """A second voice: along with the lead in thirds and sixths, or in long notes that follow the harmony; one of these
    throughout a section, and long notes where the lead rests."""
    along = {name: rng.random() < 0.55 for name in dict.fromkeys(chart.sections)}
    octave = fitting([stroke.pitch - 5 for stroke in tune], instrument)
    at, strokes, long = (min(instrument.high, 76) + max(instrument.low, 52)) // 2, [], sustained(chart)
    for number in bars:
        bar = chart.bars[number]
        sung = [s for s in tune if bar.onset - NEAR <= s.onset < bar.end - NEAR and bar.source >= 0]
        if sung and along[chart.sections[bar.section]]:
            for stroke in sung:
                tones = chart.chord(stroke.onset).pitch_classes
                below = next((i for i in (3, 4, 8, 9, 5) if (stroke.pitch - i) % 12 in tones), 12)
                at = fold(stroke.pitch - below + octave, (instrument.low, instrument.high))
                strokes.append(replace(stroke, pitch=at, velocity=stroke.velocity - 10))
            continue
        for onset, end, symbol, chord in events(chart, long, [number]):
            at = _tones(chord, instrument, at)[int(symbol != "!" and rng.random() < 0.35)]
            strokes.append(Stroke(onset, 0.95 * (end - onset), at, 76.0))
    return strokes


def sustained(chart: Chart) -> list[str]:
    """The pattern of whoever holds a note for a bar, for every section."""
    return ["x" + "-" * (round(chart.bars[0].length / STEP) - 1)] * len(chart.sections)


def fitting(pitches: list[int], instrument: Instrument) -> int:
    """Octaves, in semitones, by which a line fits an instrument best: away from both ends of its range."""
    goal, middle = min((instrument.low + instrument.high) / 2, 74), float(np.median(pitches)) if pitches else 70.0
    return min(range(-48, 60, 12), key=lambda shift: abs(middle + shift - goal))


def _tones(chord: Chord, instrument: Instrument, at: int) -> list[int]:
    """Notes of a chord, the nearest first."""
    keys = [key for key in range(instrument.low, instrument.high + 1) if key % 12 in chord.pitch_classes[:3]]
    return sorted(keys, key=lambda key: abs(key - at))


def _last(chart: Chart, instrument: Instrument, at: int, playing: bool) -> list[Stroke]:
    """The note of the final chord nearest to where a line stands, held to the end."""
    onset = next(bar.onset for bar in chart.bars if bar.source < 0)
    key = _tones(chart.chord(onset), instrument, at)[0]
    return [Stroke(onset, chart.bars[-1].end - onset, key, 88.0)] if playing else []
