"""What each player of a band makes of a chart: drums, bass, chords, riffs, the tune, and a second voice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np

from phalar.corpora.chart import STEP, Bar, Chart, events, hits
from phalar.corpora.leadsheet import NEAR, Chord, Stroke, fold
from phalar.corpora.styles import Instrument, Style, table

STRUCK = {"X": 116, "x": 98, "o": 80, "g": 48, "?": 60}  # velocity of a drum, by the character of the pattern
RING = {"crash": 3.0, "open": 0.5, "ride": 0.5, "bell": 0.5}  # quarter notes; the others are short by nature
LOUD = {"!": 92, "X": 98, "x": 86, "o": 70, "s": 84, "u": 74, "m": 62, "b": 88, "f": 82} | dict.fromkeys("0123", 80)
SHORT = {"s": 0.3, "m": 0.12}  # quarter notes, where a chord is not held as long as the pattern says
WIDEST = 9  # semitones between neighbouring voices
EXTENT = 19  # semitones within which an accompanist's voicings lie


def by_section(chart: Chart, patterns: Sequence, rng: np.random.Generator) -> list:
    """A pattern for each section: sections of one name share it, mostly."""
    shared = {name: patterns[rng.integers(len(patterns))] for name in dict.fromkeys(chart.sections)}
    return [shared[name] if rng.random() < 0.8 else patterns[rng.integers(len(patterns))] for name in chart.sections]


def sustained(chart: Chart) -> list[str]:
    """The pattern of whoever holds a note for a bar, for every section."""
    return ["x" + "-" * (round(chart.bars[0].length / STEP) - 1)] * len(chart.sections)


def drums(chart: Chart, grooves: Sequence[Mapping], fills: Sequence[Mapping], quiet: bool, bars: list[int], rng):
    """The part of a kit, or of a hand percussionist (no ``fills``), in some bars: a groove for each kind of section,
    fills where a phrase ends, a crash where the next begins."""
    chosen, loud, filled, strokes = by_section(chart, grooves, rng), 0.75 if quiet else 1.0, False, []

    def struck(onset: float, drum: str, symbol: str, loud: float) -> Stroke:
        return Stroke(onset, RING.get(drum, 0.25), table()["keys"][drum], STRUCK[symbol] * loud)

    def read(lines: Mapping[str, str], bar: Bar, loud: float) -> list[Stroke]:
        found = ((onset, drum, symbol) for drum, line in lines.items() for onset, symbol, _ in hits(line, bar))
        return [struck(*hit, loud) for hit in found if "?" not in hit or rng.random() < 0.4]

    for bar, last in ((chart.bars[number], chart.last(number)) for number in bars):
        if bar.source < 0:
            final = ["kick", "crash"] if fills else list(grooves[0])[:1]
            strokes += [struck(bar.onset, drum, "X", loud) for drum in final if bar.place == 0]
            continue
        if filled and rng.random() < (0.3 if quiet else 1.0):
            strokes.append(struck(bar.onset, "crash", "x", loud))
        filled = bool(fills) and rng.random() < (0.9 if last else 0.35 if bar.place % 4 == 3 else 0.0)
        fill = read(fills[rng.integers(len(fills))], bar, loud**2) if filled else []
        begin = min((stroke.onset for stroke in fill), default=bar.end)  # where the fill begins the groove stops
        strokes += fill + [stroke for stroke in read(chosen[bar.section], bar, loud) if stroke.onset < begin - NEAR]
    return strokes


def bass(chart: Chart, patterns: Sequence[str], instrument: Instrument, bars: list[int], rng: np.random.Generator):
    """A bass line: a new chord begins on its root, and strong beats have notes of the chord."""
    low, high = instrument.low, instrument.low + 22
    home = at = low + 8
    strokes, stated, direction = [], None, 1

    def nearest(pitch_class: int, to: float) -> int:
        return min((key for key in range(low, high + 1) if (key - pitch_class) % 12 == 0), key=lambda k: abs(k - to))

    for onset, end, symbol, chord in events(chart, by_section(chart, patterns, rng), bars):
        coming, strong = chart.chord(end) or chord, chart.strong(onset)
        degrees = {"3": chord.pitch_classes[1], "7": chord.pitch_classes[-1], "8": chord.root}
        if symbol in "R!" or (chord.onset != stated and onset - chord.onset < 1 + NEAR):
            key = nearest(chord.root, 0.5 * (at + home))
        elif symbol in "aw" and coming.root != chord.root and not strong:
            goal = nearest(coming.root, at)  # a step away from it, mostly of the key, at times chromatic
            side = 1 if goal == low or (goal + 2 <= high and rng.random() < 0.4) else -1
            key = goal + side if rng.random() < 0.3 else chart.neighbour(goal, side)
        elif symbol == "w":
            direction = -1 if at > high - 5 else 1 if at < low + 5 else direction
            tones = [at + direction * n for n in range(1, 8) if (at + direction * n) % 12 in chord.pitch_classes]
            key = chart.neighbour(at, direction) if not strong and rng.random() < 0.5 else tones[0]
        else:
            key = nearest(degrees.get(symbol, chord.root + fifth(chord)), at)
            key += 12 if symbol == "8" and key + 12 <= high else 0
        stated, at = chord.onset, key if key - 12 < home else key - 12
        strokes.append(Stroke(onset, 0.94 * (end - onset), key, 96.0 if strong else 88.0))
    return strokes


def fifth(chord: Chord) -> int:
    """Semitones from the root to the fifth: seven, unless the chord has it altered."""
    return next((i for i in (7, 6, 8) if (chord.root + i) % 12 in chord.pitch_classes), 7)


@cache
def voicings(pitch_classes: tuple[int, ...], altered: int, voices: int, low: int, high: int) -> np.ndarray:
    """Every way to spread a chord over so many voices between two keys, (ways, voices), each from low to high. Only the
    root and the fifth (``altered`` semitones up) sound twice; where voices lack, the fifth is left out, then the root.
    """
    root = pitch_classes[0]
    rest = [pc for pc in pitch_classes[1:] if (pc - root) % 12 != altered]
    needed = pitch_classes if len(pitch_classes) <= voices else [*rest, root][:voices]
    ways = combinations([key for key in range(low, high + 1) if key % 12 in needed], voices)
    ways = np.array([way for way in ways if {key % 12 for key in way} == {*needed}], int).reshape(-1, voices)
    fits = (np.diff(ways, axis=1) <= WIDEST).all(1) & np.all([(ways % 12 == pc).sum(1) <= 1 for pc in rest], axis=0)
    return ways[fits]


def lead(chord: Chord, voices: int, low: int, high: int, before: Sequence[int] | None) -> tuple[int, ...]:
    """The voicing whose voices move least from the one before, with a slight pull to the middle of the range; at first,
    the one nearest to the middle. A chord of two notes that cannot fill all voices gets fewer."""
    ways = voicings(chord.pitch_classes, fifth(chord), voices, low, high)
    if not len(ways):
        return lead(chord, voices - 1, low, high, None)
    cost = 0.25 * np.abs(ways.mean(1) - (low + high) / 2)
    if before is None or len(before) != voices:
        cost = 4 * cost + 0.2 * (ways[:, -1] - ways[:, 0])
    else:
        cost = cost + np.abs(ways - np.array(before)).sum(1)
    return tuple(ways[np.argmin(cost)].tolist())


def chordal(chart: Chart, patterns: list[str], bars: list[int], voices: int, keys: tuple[int, int], low: int = 0):
    """Chords in a written rhythm: strummed, comped, held or broken, by one hand or two. ``patterns`` and ``bars`` are
    those of :func:`phalar.corpora.chart.events`; a pattern of two lines (``/``) is for two hands. A chord has so many
    ``voices``, led from the chord before, between two MIDI ``keys``, and ``low`` notes below: 1 the root, 2 its fifth
    too; 3 is a power chord, root, fifth and octave, and nothing above."""
    voiced, before, strokes = {}, None, []
    for chord in chart.chords:
        before, root = lead(chord, voices, *keys, before), keys[0] - 12 + (chord.root - keys[0]) % 12
        voiced[chord.onset] = [root, root + fifth(chord), root + 12][:low], [*before] if low < 3 else []
    hands = [pattern.split("/") for pattern in patterns]
    for hand in range(len(hands[0])):
        for onset, end, symbol, chord in events(chart, [lines[hand] for lines in hands], bars):
            under, over = voiced[chord.onset]
            both = under + [key for key in over if not under or key > under[-1]]
            upper = over if len(hands[0]) > 1 else both
            struck = {"u": upper[:-5:-1], "b": both[:1], "f": both[1:2], "!": both}.get(symbol, upper)
            struck = [over[int(symbol) % len(over)]] if symbol.isdigit() else struck
            held = 0.95 * min(end - onset, SHORT.get(symbol, np.inf))
            strokes += [Stroke(onset, held, key, float(LOUD[symbol])) for key in struck]
    return strokes


def tied(strokes: list[Stroke], longest: float) -> list[Stroke]:
    """The same notes, those joined that follow each other at one pitch, up to a length in quarter notes."""
    result, held = [], {}
    for stroke in strokes:
        last = held.get(stroke.pitch)
        lasting = stroke.end - result[last].onset if last is not None else np.inf
        if lasting <= longest + NEAR and stroke.onset - result[last].onset - result[last].duration < 0.3:
            result[last] = replace(result[last], duration=lasting)
        else:
            held[stroke.pitch] = len(result)
            result.append(stroke)
    return result


def riff(chart: Chart, patterns: Sequence[str], instrument: Instrument, bars: list[int], rng: np.random.Generator):
    """A short figure that moves with the chords and comes again in every bar, with another end in every fourth."""
    shapes = [np.clip(np.cumsum(rng.choice([-2, -1, 0, 1, 1, 2], 18)), 0, 4) for _ in range(2)]
    root = int(np.clip(rng.integers(48, 62), instrument.low, instrument.high - 24))
    strokes, chosen = [], [patterns[rng.integers(len(patterns))]] * len(chart.sections)
    for onset, end, _, chord in events(chart, chosen, bars):
        bar, first = chart.bar(onset), root + (chord.root - root) % 12
        five = (0, 3, 5, 7, 10) if (chord.root + 3) % 12 in chord.pitch_classes else (0, 2, 4, 7, 9)
        tones = {*chord.pitch_classes, *(chart.scale & {(chord.root + step) % 12 for step in five})}
        ladder = [key for key in range(first, first + 13) if key % 12 in tones]
        rung = shapes[bar.place % 4 == 3][round((onset - bar.onset) / STEP) % 18]
        strokes.append(Stroke(onset, 0.9 * (end - onset), ladder[min(rung, len(ladder) - 1)], 90.0))
    return strokes


def melody(chart: Chart, style: Style, instrument: Instrument, rng: np.random.Generator) -> list[Stroke]:
    """The tune, thinned, in a fitting octave, decorated as the style does, and at the end a note of the final chord."""
    tune = thin(chart, chart.melody, style.rate)
    octave, keys = fitting([stroke.pitch for stroke in tune], instrument), (instrument.low, instrument.high)
    strokes: list[Stroke] = []
    for note in tune:
        loud, pitch = 94.0 if chart.strong(note.onset) else 88.0, fold(note.pitch + octave, keys)
        note = Stroke(note.onset, 0.96 * note.duration, pitch, loud)
        kind = rng.choice([*style.ornaments, "plain"], p=[*style.ornaments.values(), 1 - sum(style.ornaments.values())])
        if kind == "grace" and note.duration >= 0.48:
            strokes += [replace(note, duration=0.125, pitch=fold(chart.neighbour(pitch, 1), keys)), _later(note, 0.125)]
        elif kind == "split" and note.duration >= 0.96:
            strokes += [replace(note, duration=0.48), _later(note, 0.5)]
        else:
            strokes.append(_later(note, 0.5) if kind == "late" and note.duration >= 0.96 else note)
    final = next(bar.onset for bar in chart.bars if bar.source < 0)
    key = tones(chart.chord(final), instrument, strokes[-1].pitch)[0]
    return [*strokes, Stroke(final, chart.bars[-1].end - final, key, 88.0)]


def _later(note: Stroke, by: float) -> Stroke:
    return replace(note, onset=note.onset + by, duration=note.duration - by)


def thin(chart: Chart, tune: Sequence[Stroke], rate: float) -> list[Stroke]:
    """Leave out the quickest notes until there are at most ``rate`` a second; what is kept lasts until the next."""
    for grid in (STEP / 6, 0.5, chart.beat, 2 * chart.beat):
        kept = [s for s in tune if abs((s.onset - chart.bar(s.onset).onset + NEAR) % grid) < 0.01 or grid < STEP]
        gaps = np.diff([stroke.onset for stroke in kept])
        if not len(gaps) or chart.seconds(float(np.percentile(gaps, 20))) >= 0.98 / rate:
            break
    onsets, ends = np.array([(stroke.onset, stroke.end) for stroke in tune]).T
    lasting = []
    for stroke, limit in zip(kept, [*[stroke.onset for stroke in kept[1:]], np.inf], strict=True):
        until = float(ends[(onsets > stroke.onset - NEAR) & (onsets < limit - NEAR)].max())
        lasting.append(replace(stroke, duration=min(until, limit) - stroke.onset))
    return lasting


def counter(chart: Chart, instrument: Instrument, tune: list[Stroke], bars: list[int], rng: np.random.Generator):
    """A second voice: with the lead in thirds and sixths, or (and where the lead rests) in long notes, by section."""
    along = {name: rng.random() < 0.55 for name in dict.fromkeys(chart.sections)}
    octave = fitting([stroke.pitch - 5 for stroke in tune], instrument)
    at, strokes = (min(instrument.high, 76) + max(instrument.low, 52)) // 2, []
    for number in bars:
        bar = chart.bars[number]
        sung = [s for s in tune if bar.onset - NEAR <= s.onset < bar.end - NEAR and bar.source >= 0]
        if sung and along[chart.sections[bar.section]]:
            for stroke in sung:
                pitches = [stroke.pitch - i for i in (3, 4, 8, 9, 5, 12)]
                inside = [p for p in pitches[:-1] if p % 12 in chart.chord(stroke.onset).pitch_classes] + pitches[-1:]
                at = fold(inside[0] + octave, (instrument.low, instrument.high))
                strokes.append(replace(stroke, pitch=at, velocity=stroke.velocity - 10))
            continue
        for onset, end, symbol, chord in events(chart, sustained(chart), [number]):
            at = tones(chord, instrument, at)[int(symbol != "!" and rng.random() < 0.35)]
            strokes.append(Stroke(onset, 0.95 * (end - onset), at, 76.0))
    return strokes


def fitting(pitches: list[int], instrument: Instrument) -> int:
    """Octaves, in semitones, by which a line fits an instrument best: away from both ends of its range."""
    goal = min((instrument.low + instrument.high) / 2, 74)
    return min(range(-48, 60, 12), key=lambda shift: abs(float(np.median(pitches)) + shift - goal))


def tones(chord: Chord, instrument: Instrument, at: int) -> list[int]:
    """Keys of a chord on an instrument, the nearest first."""
    keys = [key for key in range(instrument.low, instrument.high + 1) if key % 12 in chord.pitch_classes[:3]]
    return sorted(keys, key=lambda key: abs(key - at))
