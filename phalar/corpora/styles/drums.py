"""Drums: grooves of each style, fills at the ends of phrases, and hand percussion.

A groove is one line a drum, as drummers write it: a character a step, over a bar of four quarter notes (three in
triple and compound metres). ``X`` accented, ``x`` struck, ``o`` soft, ``g`` a ghost note, ``?`` struck or not as the
moment takes it.
"""

import numpy as np

from phalar.corpora.arrangement import Stroke
from phalar.corpora.styles.chart import Bar, Chart, steps

KEYS = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "floor": 43,
    "hat": 42,
    "pedal": 44,
    "low": 45,
    "open": 46,
    "middle": 47,
    "crash": 49,
    "high": 50,
    "ride": 51,
    "bell": 53,
    "tambourine": 54,
    "cowbell": 56,
    "bongo high": 60,
    "bongo low": 61,
    "conga mute": 62,
    "conga high": 63,
    "conga low": 64,
    "timbale high": 65,
    "timbale low": 66,
    "agogo": 67,
    "maracas": 70,
    "claves": 75,
    "wood": 76,
    "shaker": 82,
}
"""General MIDI percussion keys."""

VELOCITY = {"X": 116, "x": 98, "o": 80, "g": 48, "?": 60}

RING = {"crash": 3.0, "open": 0.5, "ride": 0.5, "bell": 0.5}
"""Quarter notes that a drum is let ring; the others are short by nature."""

GROOVES = {
    "rock": (
        {"kick": "X.......X.x.....", "snare": "....X.......X...", "hat": "x.o.x.o.x.o.x.o."},
        {"kick": "X.....x.X.......", "snare": "....X.......X..?", "hat": "x.o.x.o.x.o.x.o."},
        {"kick": "X..x....X.x..x..", "snare": "....X.......X...", "ride": "x.o.x.o.x.o.x.o."},
        {"kick": "X.x.....X.x.....", "snare": "....X..?....X..g", "open": "x.x.x.x.x.x.x.x."},
    ),
    "pop": (
        {"kick": "X.....x.x.......", "snare": "....X.......X...", "hat": "x.o.x.o.x.o.x.oo"},
        {"kick": "X.....x...x.....", "clap": "....X.......X...", "hat": "xoxoxoxoxoxoxoxo"},
        {
            "kick": "X...x...X...x...",
            "snare": "....X.......X...",
            "hat": "..x...x...x...x.",
            "shaker": "oooooooooooooooo",
        },
    ),
    "funk": (
        {"kick": "X..x..x...x..?..", "snare": "....X..g.g..X..g", "hat": "xoxoxoxoxoxoxoxo"},
        {
            "kick": "X.x....x..x.....",
            "snare": "....X..g.X.gX...",
            "hat": "x.xxx.xxx.xxx.x.",
            "open": "..............x.",
        },
        {
            "kick": "X..x.....x..x...",
            "snare": "....X..X.g..X..?",
            "hat": "x.o.x.o.x.o.x.o.",
            "open": "......x.........",
        },
    ),
    "swing": (
        {
            "ride": "x...x.o.x...x.o.",
            "pedal": "....x.......x...",
            "kick": "g...g...g...g...",
            "snare": "......?.......?.",
        },
        {
            "ride": "x...x.o.x...x.o.",
            "pedal": "....x.......x...",
            "kick": "g...g.?.g...g...",
            "snare": "..?.......g...?.",
        },
        {"hat": "x.....o.x.....o.", "open": "....x.......x...", "kick": "o...g...o...g...", "rim": "............o..."},
    ),
    "bossa": (
        {"kick": "x.....x.x.....x.", "rim": "x.....x.....x...|....x.....x.....", "hat": "oooooooooooooooo"},
        {"kick": "x.....x.x.....x.", "rim": "x..x..x...x.x...", "hat": "o.o.o.o.o.o.o.o."},
        {
            "kick": "x.....x.x.....x.",
            "rim": "..x...x..x..x...",
            "ride": "x.o.x.o.x.o.x.o.",
            "pedal": "....o.......o...",
        },
    ),
    "reggae": (
        {"kick": "........X.......", "rim": "........X.......", "hat": "x.o.x.o.x.o.x.oo"},
        {"kick": "X.......X.......", "rim": "........X.....?.", "hat": "..x...x...x...x."},
        {"kick": "X...X...X...X...", "rim": "........X...?...", "hat": "x.o.x.o.x.o.x.o."},
    ),
    "disco": (
        {
            "kick": "X...X...X...X...",
            "snare": "....X.......X...",
            "hat": "x...x...x...x...",
            "open": "..x...x...x...x.",
        },
        {"kick": "X...X...X...X...", "clap": "....X.......X...", "hat": "xxoxxxoxxxoxxxox"},
        {
            "kick": "X...X...X...X..?",
            "snare": "....X.......X.?.",
            "open": "..x...x...x...x.",
            "tambourine": "o.o.o.o.o.o.o.o.",
        },
    ),
    "country": (
        {"kick": "X.......x.......", "snare": "....x..g....x.g.", "hat": "x.o.x.o.x.o.x.o."},
        {"kick": "X.......x.......", "snare": "g.ggX.ggg.ggX.gg"},
        {"kick": "X.......x.....?.", "rim": "....x.......x...", "hat": "o.x.o.x.o.x.o.x."},
    ),
    "ballad": (
        {"kick": "X.........x.....", "rim": "....x.......x...", "hat": "o.o.o.o.o.o.o.o."},
        {"kick": "X......x..x.....", "snare": "....x.......x...", "hat": "o.o.o.o.o.o.o.o."},
        {"kick": "X.......x.x.....", "snare": "....x.......x..g", "ride": "x.o.x.o.x.o.x.o."},
    ),
    "metal": (
        {"kick": "XxXxXxXxXxXxXxXx", "snare": "....X.......X...", "open": "x...x...x...x..."},
        {"kick": "X.xxX.xxX.xxX.xx", "snare": "....X.......X...", "ride": "x.x.x.x.x.x.x.x."},
        {
            "kick": "X.xxx.x.X.xxx.x.",
            "snare": "........X.......",
            "crash": "x...............",
            "open": "....x...x...x...",
        },
        {"kick": "X.X.X.X.X.X.X.X.", "snare": "..X...X...X...X.", "hat": "x.x.x.x.x.x.x.x."},
    ),
    "hip-hop": (
        {"kick": "X......x..x.....", "snare": "....X.......X...", "hat": "x.o.x.o.x.o.x.oo"},
        {"kick": "X.x....x..x..?..", "snare": "....X.......X..g", "hat": "x.o.x.o.x.ooxxo."},
        {"kick": "X..x......xx....", "clap": "....X.......X...", "hat": "xoxoxoxoxooooxox", "open": "..............?."},
    ),
    "latin": (
        {"kick": "......x.....x...", "bell": "x.x.x.xxx.x.x.xx", "claves": "x..x..x...x.x..."},
        {"kick": "X.....x.x.....x.", "cowbell": "x...x...x...x...", "rim": "..x..x..x..x..x."},
        {"kick": "X...x...X...x...", "timbale high": "x.xxx.x.xx.xx.x.", "cowbell": "x...x.x.x...x.x."},
    ),
    "march": (
        {"kick": "X.......X.......", "snare": "g...X...g...X...", "pedal": "....o.......o..."},
        {"kick": "X.......X.......", "snare": "x.ggx.ggx.ggxggg"},
        {"kick": "X...x...X...x...", "snare": "..x...x...x...xx", "crash": "o.......?......."},
    ),
    "ska": (
        {"kick": "....X.......X...", "rim": "....X.......X...", "hat": "o.x.o.x.o.x.o.x."},
        {"kick": "X...x...X...x...", "snare": "....X.......X...", "hat": "..x...x...x...x."},
        {"kick": "X.......X.......", "snare": "....X.......X.?.", "ride": "o.x.o.x.o.x.o.x."},
    ),
    "blues": (
        {"kick": "X.......X.....o.", "snare": "....X.......X...", "hat": "x.o.x.o.x.o.x.o."},
        {"kick": "X.......X.x.....", "snare": "....X..g....X...", "ride": "x.o.x.o.x.o.x.o."},
        {"kick": "X...o...X...o...", "snare": "....X.......X.?.", "hat": "x...x.o.x...x.o."},
    ),
    "folk": (
        {"kick": "X.......x.......", "rim": "....x.......x...", "shaker": "x.o.x.o.x.o.x.o."},
        {"kick": "X..x..x.X..x..x.", "tambourine": "....x.......x..."},
        {"kick": "X...o...X...o...", "snare": "g.g.xgg.g.g.x.gg"},
    ),
    "waltz": (
        {"kick": "X...........", "snare": "....o...o...", "hat": "....x...x..."},
        {"kick": "X...........", "rim": "....x...x.?.", "ride": "x...x...x..."},
        {"kick": "X.........?.", "snare": "....x...x..g", "pedal": "....o...o..."},
    ),
    "jazz waltz": (
        {"ride": "x...x.o.x...", "pedal": "....x...x...", "kick": "o.......g...", "snare": "..........?."},
        {"ride": "x...x.o.x.o.", "pedal": "....x.......", "kick": "o.....?.....", "snare": "......g...?."},
        {"ride": "x.o.x.o.x.o.", "rim": "........x...", "kick": "x.....o....."},
    ),
    "country waltz": (
        {"kick": "X...........", "rim": "....x...x...", "hat": "o.o.x.o.x.o."},
        {"kick": "X.......?...", "snare": "....xgg.xgg."},
        {"kick": "X...........", "snare": "....x...x...", "tambourine": "o.o.x.o.x.o."},
    ),
    "slow waltz": (
        {"kick": "X...........", "rim": "........x...", "hat": "o.o.o.o.o.o."},
        {"kick": "X.....x.....", "snare": "........x...", "ride": "x.o.x.o.x.o."},
        {"kick": "X...........", "snare": "....o...x..?", "hat": "o.o.o.o.o.oo"},
    ),
    "jig": (
        {"kick": "X.....x.....", "shaker": "x.o.o.x.o.o."},
        {"kick": "X...o.x...o.", "snare": "g.g.xgg.g.x."},
        {"kick": "X.....x...?.", "tambourine": "....x.....x.", "hat": "x.o.o.x.o.o."},
    ),
    "doo-wop": (
        {"kick": "X.........o.", "snare": "......X.....", "hat": "x.o.o.x.o.o."},
        {"kick": "X...o.......", "snare": "......X....g", "ride": "x.o.o.x.o.o."},
        {"kick": "X.......o.?.", "snare": "......X.....", "tambourine": "......x.....", "hat": "x.o.o.x.o.o."},
    ),
    "afro": (
        {"kick": "X.....x.....", "bell": "x.x..x.x.x.x", "rim": "...x.....x.."},
        {"kick": "X.........x.", "cowbell": "x.x.xx.x.x.x", "snare": "......o....."},
        {"kick": "X..x..x.....", "agogo": "x.x.x.xx.x.x", "rim": "......x..x.."},
    ),
    "tarantella": (
        {"kick": "X.....x.....", "tambourine": "x.o.x.x.o.x."},
        {"kick": "X.....x.....", "snare": "..x.x...x.x.", "hat": "x.....x....."},
        {"kick": "X.....x...x.", "tambourine": "X.x.x.X.x.xx", "snare": "......x....."},
    ),
}
"""By style, from plain to busy."""

FILLS = {
    "duple": (
        {"snare": "............xxxX"},
        {"snare": "............xx..", "high": "..............x.", "floor": "...............X"},
        {"snare": "........x.xxx...", "high": "...........x.x..", "floor": "..............xX"},
        {"snare": "........xxxx....", "middle": "............xx..", "floor": "..............xX"},
        {
            "snare": "xx.xx.x.....x...",
            "high": "......x.xx......",
            "low": "..........xx....",
            "floor": ".............xxX",
        },
        {"kick": "........x..x....", "snare": "..........x..x.X", "open": "..............x."},
        {"snare": "........goxXgoxX"},
    ),
    "triple": (
        {"snare": "........xxxX"},
        {"snare": "....x.x.....", "high": "........x.x.", "floor": "..........xX"},
        {"snare": "xxxx........", "middle": "....xxxx....", "floor": "........xxxX"},
        {"snare": "......x.x.X."},
    ),
    "compound": (
        {"snare": "......x.x.X."},
        {"snare": "......xx....", "high": "........xx..", "floor": "..........xX"},
        {"snare": "x.x.x.......", "middle": "......x.x...", "floor": "..........X."},
        {"snare": "......gxgxgX"},
    ),
}
"""What replaces the end of the last bar of a phrase; the groove goes on until the fill begins."""

QUIET = {"bossa", "swing", "jazz waltz", "ballad", "waltz", "slow waltz", "folk", "march"}
"""Styles that fill on the snare drum and the rim, without a crash after every phrase."""

PERCUSSION = {
    "tambourine": {
        "duple": (
            {"tambourine": "x.o.X.o.x.o.X.o."},
            {"tambourine": "....X.......X..."},
            {"tambourine": "xoooXoooxoooXooo"},
        ),
        "triple": ({"tambourine": "....x...x..."}, {"tambourine": "x.o.x.o.x.o."}),
        "compound": ({"tambourine": "x.o.o.X.o.o."}, {"tambourine": "....x.....x."}),
    },
    "shaker": {
        "duple": ({"shaker": "xoxoXoxoxoxoXoxo"}, {"maracas": "x.o.X.o.x.o.X.o."}, {"shaker": "x.oox.oox.oox.oo"}),
        "triple": ({"shaker": "xooox.o.x.o."}, {"maracas": "x.o.x.o.x.o."}),
        "compound": ({"shaker": "x.o.o.x.o.o."}, {"maracas": "xoooooxooooo"}),
    },
    "congas": {
        "duple": (
            {"conga mute": "x.o...o.x.o.....", "conga high": "....x.......x...", "conga low": "..............xx"},
            {"conga mute": "x..xo..ox..xo...", "conga high": "......x.......x.", "conga low": ".......x.......x"},
        ),
        "triple": ({"conga mute": "x.o.o...o...", "conga high": "......x.....", "conga low": "..........xx"},),
        "compound": (
            {"conga mute": "x...o.o...o.", "conga high": "....x....x..", "conga low": "......x....x"},
            {"conga mute": "x.o...x.o...", "conga high": "....x.......", "conga low": "..........xx"},
        ),
    },
    "bongos": {
        "duple": (
            {"bongo high": "x.ooxoo.x.ooxoo.", "bongo low": "......x.......x."},
            {"bongo high": "x..x..x.x.x...o.", "bongo low": "....x.......x..?"},
        ),
        "triple": ({"bongo high": "x.oox.o.....", "bongo low": "........x.?."},),
        "compound": ({"bongo high": "x.o.o.x.o...", "bongo low": "..........x."},),
    },
    "hand claps": {
        "duple": (
            {"clap": "....X.......X..."},
            {"clap": "....X.......X.x."},
            {"clap": "......x.x.......|....X.......X..."},
        ),
        "triple": ({"clap": "....x...x..."},),
        "compound": ({"clap": "......X....."}, {"clap": "x.....x.x..."}),
    },
}
"""Rhythms of hand percussion, by instrument and family of metres."""


def drums(chart: Chart, style: str, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """The kit's part in the bars ``playing``: a groove for each kind of section, fills where a phrase ends, a crash
    where the next begins."""
    grooves = GROOVES[style]
    chosen, loud = _groove_of_section(chart, len(grooves), rng), 0.75 if style in QUIET else 1.0
    strokes, filled = [], False
    for number, bar in enumerate(chart.bars):
        if number not in playing:
            filled = False
            continue
        if bar.source < 0:
            if bar.place == 0:
                strokes += [_stroke("kick", bar.onset, "X", rng, loud), _stroke("crash", bar.onset, "x", rng, loud)]
            continue
        groove = grooves[chosen[bar.section]]
        if filled and (style not in QUIET or rng.random() < 0.3):
            strokes.append(_stroke("crash", bar.onset, "x" if style not in QUIET else "o", rng, loud))
        half = bar.place % 4 == 3 and rng.random() < 0.35
        filled = (bar.last and rng.random() < 0.9) or half
        begin = bar.end
        if filled:
            # Small fills within a section, any at its end. Where the fill begins the groove stops.
            fills = FILLS[chart.family]
            fill = fills[rng.integers(3 if half and not bar.last else len(fills))]
            played = [s for drum, line in fill.items() for s in _line(drum, line, bar, chart, rng, loud**2)]
            begin = min((s.onset for s in played), default=bar.end)
            strokes += played
        for drum, line in groove.items():
            strokes += [s for s in _line(drum, line, bar, chart, rng, loud) if s.onset < begin - 1e-6]
    return sorted(strokes, key=lambda s: (s.onset, s.pitch))


def percussion(chart: Chart, instrument: str, playing: frozenset[int], rng: np.random.Generator) -> list[Stroke]:
    """A hand percussionist's part in the bars ``playing``."""
    rhythms = PERCUSSION[instrument][chart.family]
    chosen = _groove_of_section(chart, len(rhythms), rng)
    strokes = []
    for number, bar in enumerate(chart.bars):
        if number in playing and bar.source >= 0:
            for drum, line in rhythms[chosen[bar.section]].items():
                strokes += _line(drum, line, bar, chart, rng)
        elif number in playing and bar.place == 0:
            strokes.append(_stroke(next(iter(rhythms[0])), bar.onset, "X", rng, 1.0))
    return sorted(strokes, key=lambda s: (s.onset, s.pitch))


def _groove_of_section(chart: Chart, count: int, rng: np.random.Generator) -> list[int]:
    """A groove for each section: sections of one name share it, now and then a busier one comes instead."""
    by_name = {name: int(rng.integers(count)) for name in dict.fromkeys(chart.sections)}
    return [by_name[name] if rng.random() < 0.75 else int(rng.integers(count)) for name in chart.sections]


def _line(drum: str, line: str, bar: Bar, chart: Chart, rng: np.random.Generator, loud: float = 1.0) -> list[Stroke]:
    struck = []
    for onset, symbol, _ in steps(line, bar, chart.family):
        if symbol != "?" or rng.random() < 0.4:
            struck.append(_stroke(drum, onset, symbol, rng, loud))
    return struck


def _stroke(drum: str, onset: float, symbol: str, rng: np.random.Generator, loud: float) -> Stroke:
    velocity = VELOCITY[symbol] * loud + 4 * rng.standard_normal()
    return Stroke(float(onset), RING.get(drum, 0.25), KEYS[drum], float(np.clip(velocity, 20, 125)))
