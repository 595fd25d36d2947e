"""From a lead sheet to a band's parts: a key, a tempo, a form, who plays where, and then each player's patterns.

What each player knows is in ``phalar/corpora/styles``; here it is decided who they are and when they play. A form has
an introduction, the tune as often as there is time, often a break, and a final chord. In every section some play and
others rest, so that stems have silences as real ones do.
"""

import numpy as np

from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.leadsheet import Chord, LeadSheet
from phalar.corpora.styles import accompaniment, bass, drums, lines, table
from phalar.corpora.styles.chart import NEAR, Bar, Chart, family
from phalar.corpora.styles.instruments import Instrument, instrument
from phalar.errors import InputError

STYLES: tuple[str, ...] = tuple(table.STYLES)
"""Every style, by name."""

KEYS = {"major": (0, 7, 2, 5), "minor": (9, 4, 11, 2), "dorian": (2, 9, 4, 7), "mixolydian": (7, 2, 9, 0)}
"""Tonics that a tune is put in, by mode: always the notes of C, G, D or F major. Few, so that many pieces share
their notes and a key does not tell which piece it is."""

KEY_SHARES = (0.3, 0.3, 0.2, 0.2)
"""How often each of the four is taken."""

BANDS = {4: 0.2, 5: 0.36, 6: 0.27, 7: 0.11, 8: 0.04, 9: 0.02}
"""How often a band has so many players."""

WITH_STYLE = {"strum": accompaniment.strum, "comp": accompaniment.comp}
WITHOUT_STYLE = {"pad": accompaniment.pad, "arpeggio": accompaniment.arpeggio, "riff": lines.riff}
"""Who plays chords and figures, by role: in a rhythm of the style, or in one of the metre."""

INTROS = ("drums", "rhythm", "chords", "build", "all")
BREAKS = ("drums", "no drums", "stops", "chords")


def styles_for(sheet: LeadSheet) -> tuple[str, ...]:
    """The styles that fit a tune's metre.

    Raises
    ------
    InputError
        If the metre is one that no style knows.
    """
    which = family(sheet)
    return tuple(name for name, style in table.STYLES.items() if style.family == which)


def colour(style: str) -> str:
    """How a tune is to be harmonised for a style (see ``phalar.corpora.tunes.lead_sheet``)."""
    return _style(style).colour


def arrange(
    sheet: LeadSheet, style: str, rng: np.random.Generator, seconds: tuple[float, float] = (40, 60)
) -> Arrangement:
    """Arrange a tune for a band.

    Parameters
    ----------
    sheet : LeadSheet
        The tune, best with chords of :func:`colour` of the style.
    style : str
        One of :func:`styles_for` the sheet.
    rng : np.random.Generator
        Decides key, tempo, form, players and what they play.
    seconds : (float, float)
        How long the piece shall be, at least and at most.

    Returns
    -------
    Arrangement
        Four to nine parts, the drums first, then the bass. Beats and chords cover all of it. Taught in
        ``book/corpora.md``.

    Raises
    ------
    InputError
        If there is no such style, if it does not fit the metre, or if nothing fits between the two lengths.
    """
    known = _style(style)
    if style not in styles_for(sheet):
        raise InputError(f"style {style!r} is for {known.family} metres; for {sheet.id} use {styles_for(sheet)}")
    sheet = _in_quarters(sheet)
    bpm = float(rng.choice(known.bpm))
    tonic = int(rng.choice(KEYS[sheet.mode], p=KEY_SHARES))
    chart = _chart(sheet, bpm, tonic, seconds, rng)
    players = _players(known, rng)
    playing = _who_plays_when(chart, [role for role, _ in players], rng)
    parts = _parts(chart, style, players, playing, rng)
    parts = _with_stops(chart, parts, rng)
    return Arrangement(
        id=sheet.id,
        title=sheet.title,
        style=style,
        bpm=bpm,
        beat=sheet.beat,
        swing=known.swing,
        tonic=tonic,
        mode=sheet.mode,
        beats=tuple((bar.onset + n * sheet.beat, n + 1) for bar in chart.bars for n in range(sheet.beats_per_bar)),
        chords=chart.chords,
        sections=tuple((bar.onset, chart.sections[bar.section]) for bar in chart.bars if bar.place == 0),
        parts=tuple(parts),
    )


def _style(name: str) -> table.Style:
    if name not in table.STYLES:
        raise InputError(f"there is no style {name!r}: choose one of {', '.join(STYLES)}")
    return table.STYLES[name]


def _in_quarters(sheet: LeadSheet) -> LeadSheet:
    """A tune in 2/2 is counted in four, as the patterns are."""
    if sheet.beat != 2.0:
        return sheet
    return LeadSheet(sheet.id, sheet.title, sheet.tonic, sheet.mode, 4, 1.0, sheet.pickup, sheet.melody, sheet.chords)


# --- form ---------------------------------------------------------------------------------------------------------


def _chart(sheet: LeadSheet, bpm: float, tonic: int, seconds: tuple[float, float], rng: np.random.Generator) -> Chart:
    """Lay the tune out: introduction, tune, break, tune, final chord, in whole phrases within the time there is."""
    bar_seconds = sheet.beats_per_bar * 60 / bpm
    fewest, most = int(np.ceil(seconds[0] / bar_seconds)), int(seconds[1] / bar_seconds)
    if most < max(fewest, 6):
        raise InputError(f"no piece of {seconds[0]} to {seconds[1]} s can be made at {bpm} BPM: allow more seconds")
    phrase = 4 if bar_seconds < 2.2 else 2
    tune = max(round((sheet.length - sheet.pickup) / sheet.bar + 0.499), 1)
    intro = phrase if bar_seconds < 3 or rng.random() < 0.5 else 1
    rest = phrase if rng.random() < 0.6 and most >= 7 * phrase else 0
    ending = 2 if bar_seconds < 2.2 else 1
    total = round(rng.uniform(fewest, most))
    body = total - intro - rest - ending
    body -= body % phrase
    while intro + rest + ending + body < fewest and intro + rest + ending + body + phrase <= most:
        body += phrase
    body = max(body, phrase)
    intro += max(fewest - (intro + rest + ending + body), 0)  # no whole phrase fits any more: begin earlier
    while intro + rest + ending + body > most and intro > 1:
        intro -= 1

    section = (8 if bar_seconds < 2.2 else 4) if body >= 24 or bar_seconds >= 2.2 else 4
    layout = [("intro", (tune - intro + n) % tune, False) for n in range(intro)]
    placed, broken = 0, rest == 0
    while placed < body:
        first = placed % tune
        count = min(section - first % section, tune - first, body - placed)
        name = chr(ord("A") + min(first // section, 25))
        if not broken and placed >= body / 2 - NEAR:
            layout += [("break", (first - rest + n) % tune, False) for n in range(rest)]
            broken = True
        layout += [(name, first + n, True) for n in range(count)]
        placed += count
    if not broken:
        layout += [("break", (tune - rest + n) % tune, False) for n in range(rest)]
    layout += [("ending", -1, False)] * ending

    bars, sections = [], []
    for number, (name, source, melodic) in enumerate(layout):
        before = layout[number - 1] if number else None
        new = before is None or before[0] != name or (melodic and source % section == 0) or source == 0 < number
        if new:
            sections.append(name)
        place = 0 if new else bars[-1].place + 1
        bars.append(Bar(number * sheet.bar, sheet.bar, source, melodic, len(sections) - 1, place, False))
    bars = [
        Bar(b.onset, b.length, b.source, b.melodic, b.section, b.place, following is None or following.place == 0)
        for b, following in zip(bars, [*bars[1:], None], strict=True)
    ]
    shift = (tonic - sheet.tonic + 6) % 12 - 6
    return Chart(
        bars=tuple(bars),
        sections=tuple(sections),
        chords=_chords(sheet, bars, tonic, shift),
        melody=_melody(sheet, bars, shift),
        tonic=tonic,
        mode=sheet.mode,
        family=family(sheet),
        beat=sheet.beat,
        bpm=bpm,
    )


def _chords(sheet: LeadSheet, bars: list[Bar], tonic: int, shift: int) -> tuple[Chord, ...]:
    """The chords of the bars, transposed; neighbours that are the same are one."""
    placed: list[Chord] = []
    for bar in bars:
        if bar.source < 0:
            last = sheet.chords[-1]
            plain = "min" if sheet.mode in ("minor", "dorian") else "maj"
            quality = last.quality if last.root == sheet.tonic and last.quality[:1] != "7" else plain
            found = [Chord(bar.onset, bar.length, tonic, quality)]
        else:
            start = sheet.pickup + bar.source * sheet.bar
            found = []
            for chord in sheet.chords:
                onset, end = max(chord.onset, start), min(chord.onset + chord.duration, start + sheet.bar)
                if end - onset > NEAR:
                    lowest = None if chord.bass is None else (chord.bass + shift) % 12
                    root = (chord.root + shift) % 12
                    found.append(Chord(bar.onset + onset - start, end - onset, root, chord.quality, lowest))
            last = found[-1]  # a last bar that lacks what the upbeat has is filled up
            found[-1] = Chord(last.onset, bar.end - last.onset, last.root, last.quality, last.bass)
        for chord in found:
            before = placed[-1] if placed else None
            if before and (before.root, before.quality, before.bass) == (chord.root, chord.quality, chord.bass):
                joined = before.duration + chord.duration
                placed[-1] = Chord(before.onset, joined, before.root, before.quality, before.bass)
            else:
                placed.append(chord)
    return tuple(placed)


def _melody(sheet: LeadSheet, bars: list[Bar], shift: int) -> tuple[Stroke, ...]:
    """The tune wherever it sounds, with its upbeat in the bar before."""
    strokes = []
    for number, bar in enumerate(bars):
        if not bar.melodic:
            continue
        end = bar.end
        for following in bars[number + 1 :]:  # how long a note may be held: as long as the tune goes on
            if not following.melodic or following.source != bars[round(following.onset / bar.length) - 1].source + 1:
                break
            end = following.end
        if bar.source == 0 and number:
            cut = bar.onset - sheet.pickup
            strokes = [_until(cut, s) for s in strokes if s.onset < cut - NEAR]
            upbeat = [note for note in sheet.melody if note.onset < sheet.pickup - NEAR]
            strokes += [Stroke(cut + note.onset, note.duration, note.pitch + shift, 90.0) for note in upbeat]
        start = sheet.pickup + bar.source * sheet.bar
        for note in sheet.melody:
            if start - NEAR <= note.onset < start + sheet.bar - NEAR:
                onset = bar.onset + note.onset - start
                strokes.append(_until(end, Stroke(onset, note.duration, note.pitch + shift, 90.0)))
    return tuple(sorted(strokes, key=lambda s: s.onset))


def _until(end: float, stroke: Stroke) -> Stroke:
    """A stroke cut at a moment."""
    return Stroke(stroke.onset, min(stroke.duration, end - stroke.onset), stroke.pitch, stroke.velocity)


# --- players ------------------------------------------------------------------------------------------------------


def _players(style: table.Style, rng: np.random.Generator) -> list[tuple[str, Instrument]]:
    """Drums, bass, chords and lead, and so many more; no instrument twice."""
    count = int(rng.choice(list(BANDS), p=list(BANDS.values())))
    wanted = [("drums", style.drums), ("bass", style.bass), style.rhythm[0], ("lead", style.lead)]
    more = [*style.rhythm[1:], *style.extras, ("counter", style.counter)]
    wanted += [more[n] for n in rng.permutation(len(more))]
    players: list[tuple[str, Instrument]] = []
    for role, names in wanted:
        free = [name for name in names if name not in {player.name for _, player in players}]
        if free and len(players) < count:
            players.append((role, instrument(str(rng.choice(free)))))
    return players


def _who_plays_when(chart: Chart, roles: list[str], rng: np.random.Generator) -> list[frozenset[int]]:
    """For each player the bars played in.

    The tune's sections grow: some of the players rest in the first ones and after the break. The introduction and the
    break are given to some of them, in one of several ways. All play the final chord.
    """
    members: dict[int, list[int]] = {}
    for number, bar in enumerate(chart.bars):
        members.setdefault(bar.section, []).append(number)
    body = [s for s, name in enumerate(chart.sections) if name not in ("intro", "break", "ending")]
    playing: list[set[int]] = [set() for _ in roles]
    core = {"drums", "bass", "lead"}
    chords = next(p for p, role in enumerate(roles) if role not in core)

    def give(player: int, section: int) -> None:
        playing[player].update(members[section])

    rank = rng.permutation(len(roles)) / max(len(roles) - 1, 1)
    thin = body[rng.integers(len(body))] if len(body) > 2 else None
    silent = rng.choice(["drums", "bass", "both"], p=[0.5, 0.25, 0.25])
    for place, section in enumerate(body):
        energy = 0.45 + 0.65 * place / max(len(body) - 1, 1) + 0.15 * rng.standard_normal()
        for player, role in enumerate(roles):
            if role in core or player == chords:
                resting = section == thin and (role == silent or (silent == "both" and role in ("drums", "bass")))
                if not resting:
                    give(player, section)
            elif rank[player] < energy:
                give(player, section)
    for section, name in enumerate(chart.sections):
        if name == "intro":
            _introduce(members[section], roles, chords, playing, str(rng.choice(INTROS)))
        elif name == "break":
            kind = str(rng.choice(BREAKS))
            for player, role in enumerate(roles):
                if (
                    (kind == "drums" and role in ("drums", "percussion"))
                    or (kind == "no drums" and role not in ("drums", "percussion", "lead"))
                    or kind == "stops"
                    or (kind == "chords" and (player == chords or role == "pad"))
                ):
                    give(player, section)
        elif name == "ending":
            for player in range(len(roles)):
                give(player, section)
    for player, role in enumerate(roles):  # whoever came has something to do, and rests somewhere
        if role not in core and player != chords:
            at_least, free = max(len(body) // 3, 1), [s for s in body if not playing[player] & set(members[s])]
            while sum(bool(playing[player] & set(members[s])) for s in body) < at_least and free:
                give(player, free.pop())
            if len(body) > 1 and all(playing[player] & set(members[s]) for s in body):
                playing[player] -= set(members[body[0]])
    return [frozenset(bars) for bars in playing]


def _introduce(bars: list[int], roles: list[str], chords: int, playing: list[set[int]], kind: str) -> None:
    for player, role in enumerate(roles):
        entry = {
            "drums": 0 if role in ("drums", "percussion") else None,
            "rhythm": 0 if role in ("drums", "bass", "riff") else None,
            "chords": 0 if player == chords or role in ("pad", "arpeggio") else None,
            "build": {"drums": 0, "bass": len(bars) // 4}.get(role, len(bars) // 2),
            "all": 0,
        }[kind]
        if role not in ("lead", "counter") and entry is not None:
            playing[player].update(bars[entry:])


def _parts(
    chart: Chart,
    style: str,
    players: list[tuple[str, Instrument]],
    playing: list[frozenset[int]],
    rng: np.random.Generator,
) -> list[Part]:
    upbeats = {n - 1 for n, bar in enumerate(chart.bars) if bar.melodic and bar.source == 0 and n}
    written: dict[int, list[Stroke]] = {}
    order = sorted(range(len(players)), key=lambda p: players[p][0] != "lead")  # the others listen to the lead
    lead: list[Stroke] = []
    for number in order:
        (role, player), bars = players[number], playing[number]
        if role == "drums":
            strokes = drums.drums(chart, style, bars, rng)
        elif role == "percussion":
            strokes = drums.percussion(chart, player.name, bars, rng)
        elif role == "bass":
            strokes = bass.bass(chart, style, bars, rng)
        elif role == "lead":
            strokes = lead = lines.melody(chart, style, player, bars | upbeats, rng)
        elif role == "counter":
            strokes = lines.counter(chart, player, bars, lead, rng)
        elif role in WITH_STYLE:
            strokes = WITH_STYLE[role](chart, style, player, bars, rng)
        else:
            strokes = WITHOUT_STYLE[role](chart, player, bars, rng)
        written[number] = strokes
    return [
        Part(role, player.name, player.program, player.drums, tuple(sorted(written[n], key=lambda s: s.onset)))
        for n, (role, player) in enumerate(players)
    ]


def _with_stops(chart: Chart, parts: list[Part], rng: np.random.Generator) -> list[Part]:
    """Now and then all but the drums play only the first beat of each bar of a break."""
    bars = [bar for bar in chart.bars if chart.sections[bar.section] == "break"]
    if not bars or rng.random() < 0.6:
        return parts
    start, end = bars[0].onset, bars[-1].end
    firsts = [bar.onset for bar in bars]

    def kept(stroke: Stroke) -> bool:
        inside = start - NEAR <= stroke.onset < end - NEAR
        return not inside or any(abs(stroke.onset - first) < NEAR for first in firsts)

    def short(stroke: Stroke) -> Stroke:
        if not start - NEAR <= stroke.onset < end - NEAR:
            return stroke
        return Stroke(stroke.onset, min(stroke.duration, 0.5), stroke.pitch, stroke.velocity)

    return [
        part
        if part.drums or part.role == "lead"
        else Part(part.role, part.instrument, part.program, part.drums, tuple(map(short, filter(kept, part.strokes))))
        for part in parts
    ]
