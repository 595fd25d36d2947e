"""Chords as accompanists play them: strummed, comped, held as pads, broken into arpeggios.

Rhythms have a character a step. Strumming: ``d`` down over all strings, ``u`` up over the higher ones, ``m`` muted,
``b`` the bass string alone. Comping: ``X`` and ``x`` a chord, accented or not, ``o`` soft, ``b`` its lowest note.
Arpeggios: digits count the voices of the chord from the lowest. ``-`` holds.
"""

import numpy as np

from phalar.corpora.arrangement import Stroke
from phalar.corpora.grips import next_grip
from phalar.corpora.leadsheet import Chord
from phalar.corpora.styles.chart import NEAR, Chart, steps
from phalar.corpora.styles.instruments import Instrument
from phalar.corpora.styles.voicing import lead, power

STRUMS = {
    "rock": ("d---d-u-d---d-u-", "d-d-d-d-d-d-d-d-", "d-----u-..u-d-u-"),
    "pop": ("d---d-u-..u-d-u-", "d---d---d---d-u-", "d-.ud-.u..u-d-u-"),
    "funk": ("m.dumd.um.dum.du", "..d.m.u.m.dum.u.", "d.mum.du.mdum.u."),
    "swing": ("d-..d-..d-..d-..",),
    "bossa": ("b-d-..d-b-..d-..", "b-..d-d-b-d-..d-"),
    "reggae": ("....d.......d...", "....d.u.....d.u."),
    "disco": ("..d.m.d.m.d.m.du", "d.mumdmud.mumdmu", "....d.u.....d.u."),
    "country": ("b---d-u-b---d-u-", "b---d---b---d---", "b-..d.u.b-..d.u."),
    "ballad": ("d-------d---d-u-", "d---------u-d---", "b---d---..u-d---"),
    "metal": ("d.mmd.mmd.mmd.dd", "d-----------d-d-", "dmmmdmmmdmmmdmmm"),
    "hip-hop": ("d-----..........", "....d.......d.u."),
    "latin": ("d-..d-d-..d-d-..", "..d-..d-..d-d-d-"),
    "march": ("b---d---b---d---",),
    "ska": ("..d...d...d...d.", "..du..d...du..d."),
    "blues": ("d-d-d-d-d-d-d-d-", "d---d-u-d---d-u-"),
    "folk": ("d---d-u-d---d-u-", "b-..d-u-b-..d-u-", "d--ud-u-d--ud-u-"),
    "waltz": ("b---d-..d-..", "b---d---d---"),
    "jazz waltz": ("d-..d-..d-..", "....d---d-.."),
    "country waltz": ("b---d-u-d-u-", "b---d---d-u-"),
    "slow waltz": ("d-------d-u-", "b-..d---d---"),
    "jig": ("d-..u-d-..u-", "d-..d-d-..d-", "d-d-u-d-d-u-"),
    "doo-wop": ("d-..d-d-..d-", "d-----d---u-"),
    "afro": ("d-u-..d-..u-", "d-..u-..d-u-"),
    "tarantella": ("d-d-d-d-d-d-", "b-..d-b-..d-"),
}

COMPS = {
    "rock": ("x-------x-------", "x-x-x-x-x-x-x-x-", "X-----x-..x-....", "x--x--x-x--x--x-"),
    "pop": ("x---x---x---x---", "x-----x-..x-x---", "x-..x-x-..x-x-.."),
    "funk": ("..x..x..x..x....", "x..x....x.x..x..", "....x..x.x..x.x."),
    "swing": ("x-....x-........|......x-....x-..", "x.....x-....x---", "......x.....x-..", "x---......x-...."),
    "bossa": ("x-....x-....x-..|..x-....x-..x-..", "x-..x-....x-x-..", "..x-..x-..x-...."),
    "reggae": ("..x...x...x...x.", "....x-......x-..", "..xo..xo..xo..xo"),
    "disco": ("..x-..x-..x-..x-", "x..x..x...x.x...", "x---....x-x-...."),
    "country": ("....x-......x-..", "b-..x-..b-..x-..", "x---x---x---x-x-"),
    "ballad": ("x-------x-------", "x---x---x---x---", "x-----x-x-------"),
    "metal": ("x---------------", "X-------X-----X-"),
    "hip-hop": ("x-----..x-......", "x-------..x-..x-", "x-....x-....x---"),
    "latin": ("x.x-.x-x-x-.x-.x", "b.x.bx.x.bx.bx.x", "x-.x-.x-..x-.x-."),
    "march": ("..x-..x-..x-..x-", "....x-......x-.."),
    "ska": ("..x...x...x...x.", "..xx..x...xx..x."),
    "blues": ("x-..x-....x-....", "......x-..x-....", "x---....x-..x-.."),
    "folk": ("x---x---x---x---", "..x-..x-..x-..x-", "b---x---b---x---"),
    "waltz": ("....x-..x-..", "b---x-..x-.."),
    "jazz waltz": ("....x-....x-", "x-....x-....", "......x---x-"),
    "country waltz": ("....x---x---", "b---x-..x-.."),
    "slow waltz": ("x-----------", "....x---x---", "x-------x---"),
    "jig": ("x-..x-x-..x-", "....x-....x-", "x-----x-----"),
    "doo-wop": ("x-x-x-x-x-x-", "x-----x-----", "..x-x-..x-x-"),
    "afro": ("x-..x-..x-x-", "..x-..x-x-..", "x--x--x-x-x-"),
    "tarantella": ("b-..x-b-..x-", "..x-x-..x-x-"),
}

ARPEGGIOS = {
    "duple": (
        "0-1-2-3-2-1-2-1-",
        "0-2-1-2-0-2-1-2-",
        "3-2-1-0-3-2-1-0-",
        "0123210101232101",
        "0-2-3-2-1-3-2-1-",
        "0.23.21.0.23.21.",
        "0---1---2---3---",
    ),
    "triple": ("0-1-2-3-2-1-", "0-2-3-2-3-2-", "0---2---3---", "012321321232"),
    "compound": ("0-1-2-3-2-1-", "0-2-1-3-2-1-", "3-2-1-2-1-0-"),
}
"""By family of metres."""

ALL_STRINGS, FULL, FRETS = (0, 1, 2, 3, 4, 5), (5, 6), (0, 7)
"""What a strummer asks of a grip: any strings, five or six of them sounding, not far up the neck."""

EXTENT = 15
"""Semitones above its lowest key within which an accompanist's voicings lie."""


def strum(
    chart: Chart, style: str, guitar: Instrument, playing: frozenset[int], rng: np.random.Generator
) -> list[Stroke]:
    """A strumming part: full chords on six strings, power chords in metal. The strings of a chord are written
    together; whoever performs spreads them."""
    by_section = _by_section(chart, STRUMS[style], rng)
    strokes, held_grip = [], None
    for start, end, symbol, chord in _events(chart, by_section, playing):
        if style == "metal":
            keys = power(chord)
        else:
            keys = held_grip = next_grip(chord.pitch_classes, ALL_STRINGS, FULL, FRETS, held_grip)
        keys = tuple(key for key in keys if guitar.low <= key <= guitar.high)
        velocity = {"d": 90, "u": 74, "m": 62, "b": 84, "X": 96}[symbol] + 4 * rng.standard_normal()
        chosen = {"u": keys[-4:], "b": keys[:1]}.get(symbol, keys)
        held = 0.12 if symbol == "m" else 0.95 * (end - start)
        strokes += [Stroke(start, held, key, float(velocity + rng.normal(0, 2))) for key in chosen]
    return strokes


def comp(
    chart: Chart, style: str, instrument: Instrument, playing: frozenset[int], rng: np.random.Generator
) -> list[Stroke]:
    """Chords in a rhythm of the style, three or four voices, each moving as little as it can."""
    by_section = _by_section(chart, COMPS[style], rng)
    voices = int(rng.choice([3, 4], p=[0.4, 0.6]))
    voiced = _voiced(chart, voices, *_register(instrument, rng))
    strokes = []
    for start, end, symbol, chord in _events(chart, by_section, playing):
        keys = voiced[chord.onset]
        velocity = {"x": 82, "X": 98, "o": 66, "b": 78}[symbol] + 4 * rng.standard_normal()
        for key in keys[:1] if symbol == "b" else keys:
            strokes.append(Stroke(start, 0.92 * (end - start), key, float(velocity + rng.normal(0, 2))))
    return strokes


def pad(chart: Chart, instrument: Instrument, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """Held chords; a note that two chords share is held on, for four bars at most."""
    voiced = _voiced(chart, int(rng.choice([3, 4], p=[0.6, 0.4])), *_register(instrument, rng))
    longest, held, strokes = 4 * chart.bars[0].length, {}, []
    level = rng.uniform(70, 86)

    def release(key: int, at: float) -> None:
        onset = held.pop(key)
        strokes.append(Stroke(onset, at - onset - 0.02, key, float(level + rng.normal(0, 3))))

    end = 0.0
    for number, bar in enumerate(chart.bars):
        if number not in playing:
            continue
        for chord in chart.chords_in(bar.onset, bar.end):
            keys = set(voiced[_onset_of(chart, chord)])
            for key, onset in sorted(held.items()):
                if key not in keys or chord.onset - onset >= longest - NEAR or chord.onset > end + NEAR:
                    release(key, min(chord.onset, end))
            for key in sorted(keys - held.keys()):
                held[key] = chord.onset
            end = chord.onset + chord.duration
    for key in sorted(held):
        release(key, end)
    return sorted(strokes, key=lambda s: (s.onset, s.pitch))


def arpeggio(chart: Chart, instrument: Instrument, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """Chords broken into a figure over four voices; the figure may change with the section."""
    figures = ARPEGGIOS[chart.family]
    # Nobody picks sixteenths faster than this.
    slow = [f for f in figures if "-" in f or chart.seconds(0.25) > 0.11]
    by_section = _by_section(chart, slow, rng)
    voiced = _voiced(chart, 4, *_register(instrument, rng))
    ringing = rng.choice([1.0, 2.0])
    strokes = []
    for start, end, symbol, chord in _events(chart, by_section, playing):
        keys = voiced[chord.onset]
        if symbol == "X":  # the last chord, rolled
            for place, key in enumerate(keys):
                strokes.append(Stroke(start + 0.1 * place, end - start - 0.1 * place, key, 80.0))
            continue
        limit = chord.onset + chord.duration - start
        velocity = 84 - 6 * (symbol != "0") + 4 * rng.standard_normal()
        key = keys[min(int(symbol), len(keys) - 1)]
        strokes.append(Stroke(start, min(ringing * (end - start), limit), key, float(velocity)))
    return strokes


def _by_section(chart: Chart, patterns: tuple[str, ...] | list[str], rng: np.random.Generator) -> list[str]:
    """A rhythm for each section: sections of one name share it, mostly."""
    by_name = {name: patterns[rng.integers(len(patterns))] for name in dict.fromkeys(chart.sections)}
    return [by_name[name] if rng.random() < 0.8 else patterns[rng.integers(len(patterns))] for name in chart.sections]


def _events(chart: Chart, by_section: list[str], playing: frozenset[int]):
    """What a written rhythm asks for: (start, end, character, chord), no note longer than its chord, and a chord that
    enters where the pattern holds another is struck anew. The final chord is one ``X`` in any pattern."""
    for number, bar in enumerate(chart.bars):
        if number not in playing:
            continue
        if bar.source < 0:
            if bar.place == 0:
                yield bar.onset, chart.bars[-1].end, "X", chart.chord(bar.onset)
            continue
        for onset, symbol, held in steps(by_section[bar.section], bar, chart.family):
            end = onset + held
            while onset < end - NEAR:
                chord = chart.chord(onset)
                stop = min(end, chord.onset + chord.duration)
                yield onset, stop, symbol, chord
                onset = stop


def _onset_of(chart: Chart, clipped: Chord) -> float:
    return chart.chord(clipped.onset).onset


def _register(instrument: Instrument, rng: np.random.Generator) -> tuple[int, int]:
    """Lowest and highest key of an accompanist's voicings: somewhere between A2 and A5, within the instrument."""
    low = int(np.clip(rng.integers(48, 58), instrument.low, max(instrument.high - EXTENT - 4, instrument.low)))
    return low, min(low + EXTENT + 4, instrument.high)


def _voiced(chart: Chart, voices: int, low: int, high: int) -> dict[float, tuple[int, ...]]:
    """The voicing of every chord, by its onset, each led from the one before."""
    result, before = {}, None
    for chord in chart.chords:
        before = result[chord.onset] = lead(chord, voices, low, high, before)
    return result
