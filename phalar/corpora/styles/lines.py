"""Melodic parts: the tune as a style sings it, what goes along with it, and riffs."""

from itertools import pairwise

import numpy as np

from phalar.corpora.arrangement import Stroke
from phalar.corpora.leadsheet import Chord
from phalar.corpora.styles.chart import NEAR, Bar, Chart, steps
from phalar.corpora.styles.instruments import Instrument

RIFFS = {
    "duple": (
        "x-x-..x-x---..x-",
        "x--x--x-....x-x-",
        "x.xx..x.x...x-..",
        "x---x-x-..x-x---",
        "..x-x-x-....x.x.",
        "x-..x-..xxx-....|x-..x-..x---....",
        "x-----x-x-----..",
    ),
    "triple": ("x---x-x-x---", "x-x-x---....", "....x-x-x-x-", "x-----x-x---"),
    "compound": ("x---x-x-....", "x-x-x-x---..", "x---x-x---x-", "....x-x-x-x-"),
}
"""Rhythms of riffs, by family of metres."""

RATES = {"ballad": 3.5, "hip-hop": 4.5, "reggae": 4.5, "bossa": 5.0, "slow waltz": 3.5, "doo-wop": 4.0, "metal": 6.0}
"""Notes a second above which a melody is thinned, where it is not :data:`RATE`."""

RATE = 7.5

ORNAMENTS = {
    "folk": {"grace": 0.15, "turn": 0.15, "passing": 0.1},
    "jig": {"grace": 0.2, "turn": 0.15},
    "country": {"grace": 0.2, "passing": 0.1},
    "country waltz": {"grace": 0.2, "passing": 0.15},
    "swing": {"late": 0.25, "passing": 0.2, "approach": 0.15},
    "jazz waltz": {"late": 0.25, "passing": 0.2, "approach": 0.15},
    "bossa": {"late": 0.35, "approach": 0.1},
    "blues": {"grace": 0.25, "late": 0.15, "approach": 0.15},
    "ballad": {"late": 0.2, "turn": 0.1},
    "funk": {"split": 0.3, "late": 0.15},
    "latin": {"late": 0.25, "split": 0.15},
    "metal": {"split": 0.35},
    "march": {"grace": 0.1, "turn": 0.1},
    "waltz": {"turn": 0.15, "passing": 0.15},
    "tarantella": {"split": 0.15, "turn": 0.1},
}
"""How often, of the notes that allow it, a style decorates a tune; the others hardly do."""


def in_range(pitches: list[int], instrument: Instrument) -> int:
    """Octaves, in semitones, by which a line fits an instrument best: away from both ends of its range."""
    centre = (instrument.low + instrument.high) / 2
    middle = float(np.median(pitches))
    return min(range(-48, 60, 12), key=lambda shift: abs(middle + shift - min(centre, 74)))


def fold(pitch: int, instrument: Instrument) -> int:
    """A pitch, moved by octaves into an instrument's range."""
    while pitch < instrument.low:
        pitch += 12
    while pitch > instrument.high:
        pitch -= 12
    return pitch


def melody(
    chart: Chart, style: str, instrument: Instrument, playing: frozenset[int], rng: np.random.Generator
) -> list[Stroke]:
    """The tune: thinned where it would be too quick, decorated as the style does and never twice the same, up an
    octave here and there where a section comes again."""
    tune = [s for s in chart.melody if _bar(chart, s.onset) in playing]
    if not tune:
        return []
    tune = thin(chart, tune, RATES.get(style, RATE))
    shift = in_range([s.pitch for s in tune], instrument)
    lifted = {
        n
        for n, name in enumerate(chart.sections)
        if name in chart.sections[:n]
        and rng.random() < 0.25
        and max([s.pitch for s in tune if _section(chart, s.onset) == n], default=0) + shift + 12 <= instrument.high
    }
    strokes = []
    for stroke, following in zip(tune, [*tune[1:], None], strict=True):
        octave = 12 if _section(chart, stroke.onset) in lifted else 0
        pitch = fold(stroke.pitch + shift + octave, instrument)
        accent = 6 if abs(stroke.onset - chart.bars[_bar(chart, stroke.onset)].onset) < NEAR else 0
        note = Stroke(stroke.onset, stroke.duration, pitch, float(88 + accent + 3 * rng.standard_normal()))
        to = None if following is None else fold(following.pitch + shift + octave, instrument)
        strokes += [
            Stroke(s.onset, 0.96 * s.duration, fold(s.pitch, instrument), s.velocity)
            for s in _decorated(chart, style, note, to, rng)
        ]
    return strokes + _last(chart, instrument, playing, strokes[-1].pitch)


def thin(chart: Chart, tune: list[Stroke], rate: float) -> list[Stroke]:
    """Leave out the quickest notes until there are at most ``rate`` a second; what is kept lasts until the next."""
    for grid in (0.25, 0.5, 1.0, 2.0) if chart.family != "compound" else (0.25, 0.5, 1.5):
        kept = [s for s in tune if _on_grid(s.onset - chart.bars[_bar(chart, s.onset)].onset, grid)]
        if grid == 0.25:
            kept = tune
        gaps = np.diff([s.onset for s in kept])
        if len(gaps) == 0 or chart.seconds(float(np.percentile(gaps, 20))) >= 0.98 / rate:
            break
    lasting = []
    for stroke, following in zip(kept, [*kept[1:], None], strict=True):
        dropped = [s for s in tune if s.onset > stroke.onset and (following is None or s.onset < following.onset)]
        end = max([stroke.onset + stroke.duration, *[s.onset + s.duration for s in dropped]])
        end = end if following is None else min(end, following.onset)
        lasting.append(Stroke(stroke.onset, end - stroke.onset, stroke.pitch, stroke.velocity))
    return lasting


def counter(
    chart: Chart, instrument: Instrument, playing: frozenset[int], lead: list[Stroke], rng: np.random.Generator
) -> list[Stroke]:
    """A second voice: along with the lead in thirds and sixths, in long notes that follow the harmony, or answering
    in the lead's rests; one of these throughout a section, and long notes where the lead rests."""
    kinds = {name: str(rng.choice(["thirds", "long", "answers"], p=[0.4, 0.35, 0.25])) for name in chart.sections}
    at = (min(instrument.high, 76) + max(instrument.low, 52)) // 2
    shift = in_range([s.pitch - 5 for s in lead], instrument) if lead else 0
    strokes: list[Stroke] = []
    for section, name in enumerate(chart.sections):
        bars = [bar for n, bar in enumerate(chart.bars) if bar.section == section and n in playing and bar.source >= 0]
        sung = {bar: [s for s in lead if bar.onset - NEAR <= s.onset < bar.end - NEAR] for bar in bars}
        kind = kinds[name] if any(sung.values()) else "long"
        line: list[Stroke] = []
        for bar in bars:
            at = line[-1].pitch if line else at
            line += _counter_bar(chart, bar, kind, sung[bar], at, shift, instrument, rng)
        if kind == "answers" and len(line) < len(bars):  # the lead leaves no room
            line = []
            for bar in bars:
                line += _counter_bar(chart, bar, "thirds", sung[bar], at, shift, instrument, rng)
        strokes += line
        at = line[-1].pitch if line else at
    return strokes + _last(chart, instrument, playing, at)


def riff(chart: Chart, instrument: Instrument, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """A short figure that moves with the chords and comes again in every bar, with another end in every fourth."""
    rhythm = RIFFS[chart.family][rng.integers(len(RIFFS[chart.family]))]
    count = max(len(part.replace(".", "").replace("-", "")) for part in rhythm.split("|"))
    shape, other = _shape(count, rng), _shape(count, rng)
    root = int(np.clip(rng.integers(48, 62), instrument.low, max(instrument.high - 14, instrument.low)))
    strokes = []
    for number, bar in enumerate(chart.bars):
        if number not in playing or bar.source < 0:
            continue
        figure = other if bar.place % 4 == 3 else shape
        for index, (onset, _, held) in enumerate(steps(rhythm, bar, chart.family)):
            chord = chart.chord(onset)
            ladder = _ladder(chart, chord, root, instrument)
            pitch = ladder[min(figure[index % count], len(ladder) - 1)]
            end = min(onset + held, chord.onset + chord.duration)
            strokes.append(Stroke(onset, 0.9 * (end - onset), pitch, float(90 + 4 * rng.standard_normal())))
    return strokes + _last(chart, instrument, playing, root + 5)


def _bar(chart: Chart, quarter: float) -> int:
    return min(int((quarter + NEAR) // chart.bars[0].length), len(chart.bars) - 1)


def _section(chart: Chart, quarter: float) -> int:
    return chart.bars[_bar(chart, quarter)].section


def _on_grid(offset: float, grid: float) -> bool:
    return abs(offset / grid - round(offset / grid)) < 0.01


def _last(chart: Chart, instrument: Instrument, playing: frozenset[int], at: int) -> list[Stroke]:
    """The note of the final chord nearest to where a line stands, held to the end."""
    final = next((n for n, bar in enumerate(chart.bars) if bar.source < 0), None)
    if final is None or final not in playing:
        return []
    bar = chart.bars[final]
    chord = chart.chord(bar.onset)
    key = min((k for k in _tones(chord, instrument)), key=lambda k: abs(k - at))
    return [Stroke(bar.onset, chart.bars[-1].end - bar.onset, key, 88.0)]


def _tones(chord: Chord, instrument: Instrument) -> list[int]:
    return [key for key in range(instrument.low, instrument.high + 1) if key % 12 in chord.pitch_classes[:3]]


def _nearest_tone(chord: Chord, at: int, instrument: Instrument, rng: np.random.Generator) -> int:
    """A note of the chord near ``at``, mostly the nearest that moves."""
    tones = sorted(_tones(chord, instrument), key=lambda key: abs(key - at))
    return tones[1] if rng.random() < 0.35 else tones[0]


def _below(chart: Chart, stroke: Stroke) -> int:
    """A third to a sixth below: a note of the chord if there is one, else a third in the key."""
    chord = chart.chord(stroke.onset)
    for interval in (3, 4, 5, 8, 9):
        if (stroke.pitch - interval) % 12 in chord.pitch_classes:
            return stroke.pitch - interval
    return chart.neighbour(chart.neighbour(stroke.pitch, -1), -1)


def _counter_bar(
    chart: Chart,
    bar: Bar,
    kind: str,
    sung: list[Stroke],
    at: int,
    shift: int,
    instrument: Instrument,
    rng: np.random.Generator,
) -> list[Stroke]:
    """One bar of a second voice that stands at ``at``."""
    if kind == "thirds":
        return [Stroke(s.onset, s.duration, fold(_below(chart, s) + shift, instrument), s.velocity - 10) for s in sung]
    if kind == "answers":
        return _answer(chart, bar, sung, at, instrument, rng)
    line = []
    for chord in chart.chords_in(bar.onset, bar.end):
        at = _nearest_tone(chord, at, instrument, rng)
        line.append(Stroke(chord.onset, 0.95 * chord.duration, at, float(76 + 3 * rng.standard_normal())))
    return line


def _answer(
    chart: Chart, bar: Bar, sung: list[Stroke], at: int, instrument: Instrument, rng: np.random.Generator
) -> list[Stroke]:
    """A run to a note of the chord, in eighth notes, where the lead holds a note or rests for a beat and a half."""
    moments = sorted({bar.onset, *[s.onset for s in sung], bar.end})
    length, onset = max((after - before, before) for before, after in pairwise(moments))
    if length < 1.5 - NEAR or rng.random() < 0.15:
        return []
    count = min(int((length - 0.5) / 0.5), 4)
    line = [_nearest_tone(chart.chord(onset + length - 0.5), at, instrument, rng)]
    for _ in range(count - 1):
        line.append(chart.neighbour(line[-1], -1 if at < 67 else 1))
    first = onset + length - 0.5 * count
    return [
        Stroke(first + 0.5 * n, 0.45, fold(key, instrument), float(82 + 3 * rng.standard_normal()))
        for n, key in enumerate(reversed(line))
    ]


def _shape(count: int, rng: np.random.Generator) -> list[int]:
    """Rungs of a ladder of chord and key notes: small steps, now and then a leap, beginning on the lowest."""
    rungs = [0]
    for step in rng.choice([-2, -1, -1, 0, 1, 1, 2, 3], count):
        rungs.append(int(np.clip(rungs[-1] + step, 0, 5)))
    return rungs[:count]


def _ladder(chart: Chart, chord: Chord, root: int, instrument: Instrument) -> list[int]:
    """Five notes to the octave from the chord's root: those of the chord, and of the key what makes it pentatonic."""
    low = fold(root + (chord.root - root) % 12, instrument)
    five = [i for i in range(15) if (low + i) % 12 in chord.pitch_classes or (low + i) % 12 in chart.scale]
    minor = (chord.root + 3) % 12 in chord.pitch_classes
    wanted = {0, 3, 5, 7, 10, 12, 15} if minor else {0, 2, 4, 7, 9, 12, 14}
    keys = [low + i for i in five if i in wanted and low + i <= instrument.high]
    return keys or [low]


def _decorated(chart: Chart, style: str, note: Stroke, to: int | None, rng: np.random.Generator) -> list[Stroke]:
    """A note with at most one ornament."""
    chances = ORNAMENTS.get(style, {"late": 0.05, "passing": 0.05})
    draw, kind = rng.random(), None
    for name, chance in chances.items():
        if draw < chance:
            kind = name
            break
        draw -= chance
    onset, duration, pitch, velocity = note.onset, note.duration, note.pitch, note.velocity
    small = min(0.125, duration / 4)
    if kind == "grace" and duration >= 0.5:
        return [
            Stroke(onset, small, chart.neighbour(pitch, 1), velocity - 10),
            Stroke(onset + small, duration - small, pitch, velocity),
        ]
    if kind == "turn" and duration >= 0.75 and chart.seconds(0.25) > 0.09:
        return [
            Stroke(onset, 0.25, pitch, velocity),
            Stroke(onset + 0.25, 0.25, chart.neighbour(pitch, 1), velocity - 8),
            Stroke(onset + 0.5, duration - 0.5, pitch, velocity - 4),
        ]
    if kind == "passing" and to is not None and duration >= 1 and abs(to - pitch) in (3, 4):
        between = chart.neighbour(pitch, 1 if to > pitch else -1)
        return [
            Stroke(onset, duration - 0.5, pitch, velocity),
            Stroke(onset + duration - 0.5, 0.5, between, velocity - 8),
        ]
    if kind == "approach" and duration >= 1:
        return [Stroke(onset, 0.5, pitch - 1, velocity - 8), Stroke(onset + 0.5, duration - 0.5, pitch, velocity)]
    if kind == "late" and duration >= 1:
        return [Stroke(onset + 0.5, duration - 0.5, pitch, velocity)]
    if kind == "split" and duration >= 1:
        return [Stroke(onset, 0.5, pitch, velocity), Stroke(onset + 0.5, duration - 0.5, pitch, velocity - 6)]
    return [note]
