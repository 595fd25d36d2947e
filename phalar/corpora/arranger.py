"""From a lead sheet to a band's parts: a key, a tempo, a form, who plays where, and then each player's patterns."""

from collections.abc import Sequence

import numpy as np

from phalar.corpora import parts
from phalar.corpora.chart import METRES, Chart, lay_out
from phalar.corpora.leadsheet import Arrangement, LeadSheet, Part, Stroke
from phalar.corpora.styles import Instrument, Style, instrument, styles, table
from phalar.errors import InputError

# Tonics by mode, and how often each is taken: always the notes of C, G or D major, so that a key tells no piece.
KEYS = {"major": (0, 7, 2), "minor": (9, 4, 11), "dorian": (2, 9, 4), "mixolydian": (7, 2, 9)}
KEY_SHARES = (0.4, 0.4, 0.2)
BANDS = {4: 0.2, 5: 0.36, 6: 0.27, 7: 0.11, 8: 0.04, 9: 0.02}  # how often a band has so many players

RHYTHM, CHORDS = {"drums", "percussion"}, {"strum", "comp", "pad", "arpeggio"}
# Roles that play in an introduction and in a break: one of these sets.
INTROS = (RHYTHM, {"drums", "bass", "riff"}, CHORDS, RHYTHM | CHORDS | {"bass", "riff"})
BREAKS = (RHYTHM, CHORDS | {"bass", "riff", "counter"}, CHORDS, {"bass", "strum", "comp"})


def styles_for(sheet: LeadSheet) -> list[str]:
    """The styles that fit a tune's metre; an `InputError` if no style knows it."""
    metre = sheet.beats_per_bar, sheet.beat
    if metre not in METRES:
        raise InputError("no style knows bars of {} beats of {} quarter notes: ".format(*metre) + sheet.id)
    return [name for name, style in styles().items() if style.family == METRES[metre]]


def arrange(
    sheet: LeadSheet,
    style: str,
    rng: np.random.Generator,
    seconds: tuple[float, float] = (40, 60),
    paces: Sequence[float] = (1.0,),
) -> Arrangement:
    """Arrange a tune for a band: four to nine parts, the drums first, then the bass. The ``style`` is one of
    :func:`styles_for` the sheet, which has best chords of the style's ``colour``; ``rng`` decides key, tempo (one of
    the style's times one of ``paces``), form, players and what they play; the piece lasts between the two ``seconds``.
    An `InputError` if the style does not fit the metre, or nothing fits between the lengths. Taught in
    ``book/band-and-studio.md``."""
    if style not in styles_for(sheet):
        raise InputError(f"there is no style {style!r} for the metre of {sheet.id}: choose one of {styles_for(sheet)}")
    known = styles()[style]
    bpm = float(round(rng.choice(known.bpm) * rng.choice(paces)))
    tonic = int(rng.choice(KEYS[sheet.mode], p=KEY_SHARES))
    chart = lay_out(sheet, bpm, tonic, seconds, rng)
    band = _players(known, rng)
    tune = parts.melody(chart, known, band[3][1], rng)  # the others listen to the lead
    made = []
    for (role, who), bars in zip(band, _who_plays_when(chart, [role for role, _ in band], rng), strict=True):
        strokes = tune if role == "lead" else _strokes(chart, known, role, who, bars, tune, rng)
        strokes = tuple(sorted(strokes, key=lambda stroke: stroke.onset))
        made.append(Part(role, who.name, who.program, who.drums, strokes))
    beats = tuple((bar.onset + n * sheet.beat, n + 1) for bar in chart.bars for n in range(sheet.beats_per_bar))
    sections = tuple((bar.onset, chart.sections[bar.section]) for bar in chart.bars if bar.place == 0)
    what = sheet.id, sheet.title, style, bpm, sheet.beat, known.swing, tonic, sheet.mode
    return Arrangement(*what, beats, chart.chords, sections, tuple(made))


def _players(style: Style, rng: np.random.Generator) -> list[tuple[str, Instrument]]:
    """Drums, bass, chords and lead, and so many more; no instrument twice."""
    count = int(rng.choice(list(BANDS), p=list(BANDS.values())))
    more = 4 + rng.permutation(len(style.players) - 4)
    band: list[tuple[str, Instrument]] = []
    for role, names in (style.players[n] for n in (0, 1, 2, 3, *more)):
        free = [name for name in names if name not in {who.name for _, who in band}]
        if free and len(band) < count:
            band.append((role, instrument(str(rng.choice(free)))))
    return band


def _who_plays_when(chart: Chart, roles: list[str], rng: np.random.Generator) -> list[list[int]]:
    """For each player the bars played in. Drums, bass, chords and lead play nearly all of the tune, the others come in
    one by one; introduction and break are given to some; all play the final chord."""
    body = [s for s, name in enumerate(chart.sections) if name not in ("intro", "break", "ending")]
    entry = [0.0] * 4 + rng.uniform(0.15, 0.85, len(roles) - 4).tolist()
    silent = ({"drums"}, {"bass"}, {"drums", "bass"})[rng.choice(3, p=[0.5, 0.25, 0.25])]
    giving = {"intro": INTROS[rng.integers(len(INTROS))], "break": BREAKS[rng.integers(len(BREAKS))]}
    giving["ending"] = set(roles)
    last, entries = len(body) - 1, list(zip(roles, entry, strict=True))
    come = {s: {role for role, at in entries if n >= at * last} for n, s in enumerate(body)}
    if len(body) > 2:  # in one section some of the rhythm section rest
        come[body[rng.integers(len(body))]] -= silent
    plays = [come.get(s, giving.get(name, set())) for s, name in enumerate(chart.sections)]
    return [[n for n, bar in enumerate(chart.bars) if role in plays[bar.section]] for role in roles]


def _strokes(chart: Chart, style: Style, role: str, who: Instrument, bars: list[int], tune: list[Stroke], rng):
    """What one player plays in some bars; ``tune`` is the lead's part."""
    patterns = style.patterns
    if role == "counter":
        return parts.counter(chart, who, tune, bars, rng)
    if role == "drums":
        return parts.drums(chart, patterns["drums"], patterns["fills"], style.quiet, bars, rng)
    if role == "percussion":
        return parts.drums(chart, table()["percussion"][who.name][style.family], (), False, bars, rng)
    if role in ("bass", "riff"):
        return getattr(parts, role)(chart, patterns[role], who, bars, rng)
    if role == "strum":
        chosen, power = parts.by_section(chart, patterns[role], rng), 3 if style.colour == "modal" else 1
        return parts.chordal(chart, chosen, bars, 4, (who.low + 12, who.low + 31), power)
    low = int(np.clip(rng.integers(48, 58), who.low, max(who.high - parts.EXTENT, who.low)))
    keys = low, min(low + parts.EXTENT, who.high)  # somewhere between C3 and E5
    if role == "pad":
        held = parts.chordal(chart, parts.sustained(chart), bars, int(rng.choice([3, 4])), keys)
        return parts.tied(held, 4 * chart.bars[0].length)
    quick = role == "arpeggio" and chart.seconds(parts.STEP) < 0.11  # nobody picks sixteenths faster than this
    chosen = parts.by_section(chart, [p for p in patterns[role] if "-" in p or not quick], rng)
    return parts.chordal(chart, chosen, bars, 4 if role == "arpeggio" else int(rng.choice([3, 4])), keys)
