"""Corpus ``comping``: one player accompanies, chords known to the sample. Stands in for GuitarSet.

Thirty pieces, each a progression in a key at a tempo, and six players who all play all of them, as in GuitarSet. A
player has an instrument, grips or hand positions of their own, figures they fall into in each style, and a way of being
late. Chord labels are those on the page, from beat to beat: what a player was asked to play.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from itertools import groupby
from pathlib import Path

import numpy as np

from phalar.corpora import seeds
from phalar.corpora.grips import next_grip, next_position
from phalar.corpora.leadsheet import PITCH_CLASSES, Chord
from phalar.datasets.store import write_track

SEED = 0

SECONDS = 24.0
"""Pieces last about so long: an even number of bars, the progression begun again as often as it takes."""

LEAD_IN, TAIL = 0.5, 0.5
"""Seconds before the first bar, and after the last."""

DEGREES = ("I", "bII", "II", "bIII", "III", "IV", "bV", "V", "bVI", "VI", "bVII", "VII")

PROGRESSIONS = {
    "bossa1": "I:maj7 | I:maj7 | II:7 | II:7 | II:min7 | V:7 | I:maj | -",
    "bossa2": "I:min | I:min | IV:min7 | IV:min7 | II:hdim7 | V:7 | I:min | I:min7",
    "bossa3": "I:maj | bII:dim7 | II:min7 | V:7 | III:min | VI:min | IV:maj7 IV:min | I:maj",
    "funk1": "I:7 | I:7 | I:7 | - | IV:7 | IV:7 | I:7 | I:7",
    "funk2": "I:min7 | IV:7 | I:min7 | IV:7 | bVI:maj7 | V:min7 | I:min | -",
    "funk3": "I:maj | bVII:maj | IV:maj | I:maj | bIII:maj | IV:maj | I:maj | -",
    "jazz1": "II:min7 | V:7 | I:maj7 | I:maj7 | VI:min | II:7 | II:min7 V:7 | I:maj",
    "jazz2": "II:hdim7 | V:7 | I:min | I:min7 | IV:min7 | bVII:7 | bIII:maj7 | VI:hdim7 V:7",
    "jazz3": "I:maj VI:min | II:min7 V:7 | I:maj | I:7 | IV:maj | bV:dim7 | I:maj V:7 | I:maj -",
    "rock1": "I:maj | I:maj | I:maj | I:maj | IV:maj | IV:maj | I:maj | I:maj | V:maj | IV:maj | I:maj | -",
    "rock2": "I:min | bVI:maj | bIII:maj | bVII:maj | I:min | IV:min | V:min | I:min",
    "rock3": "I:maj | V:maj | VI:min | IV:maj | I:maj | V:maj | IV:maj | -",
    "singer1": "I:maj | III:min | IV:maj | I:maj | VI:min | II:min | V:maj | V:maj",
    "singer2": "VI:min | IV:maj | I:maj | V:maj | II:min | VI:min | IV:maj | V:maj",
    "singer3": "I:min | bVII:maj | bVI:maj | V:maj | I:min | IV:min | V:7 | I:min -",
}
"""Bars between strokes; ``-`` is a stretch in which nobody plays. What comes twice in one bar shares it."""

TAKES = {
    "bossa1": ((122, "Ab"), (146, "Db")),
    "bossa2": ((118, "G"), (140, "A")),
    "bossa3": ((112, "Gb"), (134, "E")),
    "funk1": ((96, "F"), (112, "A")),
    "funk2": ((102, "Db"), (92, "Bb")),
    "funk3": ((98, "D"), (110, "Eb")),
    "jazz1": ((132, "Gb"), (188, "Eb")),
    "jazz2": ((110, "Bb"), (176, "Ab")),
    "jazz3": ((124, "Ab"), (160, "G")),
    "rock1": ((128, "Bb"), (142, "F")),
    "rock2": ((86, "C"), (138, "B")),
    "rock3": ((118, "B"), (150, "A")),
    "singer1": ((68, "C"), (100, "D")),
    "singer2": ((88, "E"), (106, "Gb")),
    "singer3": ((76, "F"), (94, "D")),
}
"""Every progression is played in two keys: beats a minute, and tonic."""


@dataclass(frozen=True)
class Player:
    """Who plays.

    Attributes
    ----------
    program : int
        General MIDI, counted from 0.
    strings : tuple of int, or None
        Strings of the guitar that may sound, 0 the low E; None at a keyboard.
    sounding : (int, int)
        Fewest and most notes that the player likes in a chord; at a keyboard, in the right hand.
    reach : (int, int)
        Frets at which the hand may be; at a keyboard, keys between which the right hand begins.
    late : float
        Seconds after the beat, on average; below 0 before it.
    loose : float
        Standard deviation, in seconds, around that.
    spread : float
        Seconds from one string, or finger, to the next.
    swing : float
        Where in the beat its second half falls, in jazz.
    variety : float
        How often the player leaves the first figure for the second.
    hands : str
        Key of :data:`FIGURES`' figures, where a style has no other in ``elsewhere``.
    elsewhere : dict
        Styles in which the player does something else.
    """

    program: int
    strings: tuple[int, ...] | None
    sounding: tuple[int, int]
    reach: tuple[int, int]
    late: float
    loose: float
    spread: float
    swing: float
    variety: float
    hands: str
    elsewhere: dict[str, str] = field(default_factory=dict)


PLAYERS = {
    "nylon": Player(24, (0, 1, 2, 3, 4, 5), (4, 5), (0, 7), 0.004, 0.007, 0.006, 0.62, 0.3, "fingers"),
    "steel": Player(25, (0, 1, 2, 3, 4, 5), (5, 6), (0, 4), -0.006, 0.009, 0.011, 0.66, 0.4, "strum"),
    "jazz": Player(26, (0, 1, 2, 3, 4), (4, 4), (2, 10), 0.012, 0.008, 0.008, 0.6, 0.5, "stabs", {"singer": "fingers"}),
    "clean": Player(
        27,
        (2, 3, 4, 5),
        (4, 4),
        (3, 11),
        -0.003,
        0.006,
        0.005,
        0.64,
        0.6,
        "strum",
        {"bossa": "stabs", "singer": "picked"},
    ),
    "piano": Player(0, None, (3, 4), (53, 67), 0.003, 0.008, 0.003, 0.65, 0.4, "keys"),
    "epiano": Player(4, None, (3, 3), (48, 62), 0.014, 0.01, 0.004, 0.58, 0.5, "stabs", {"singer": "keys"}),
}
"""The six. The jazz guitarist and the electric pianist lay back, the steel guitarist pushes."""

FIGURES = {
    "bossa": {
        "fingers": (("B.......B.......", "..C...C...C..C.."), ("B.......b.......", "C..C..C...C..C..")),
        "strum": (("................", "C..uc.u.c.u.c.u."), ("................", "C..u..c.u.c..uc.")),
        "stabs": (("B.......b.......", "C.....s...s..s.."), ("B.......b.......", "s..s..s...s...s.")),
        "keys": (("B.....b.b.....B.", "C.....C...C..C.."), ("B.....b.b.....b.", "C..C......C...C.")),
    },
    "funk": {
        "fingers": (("B.....b...B.....", "..s.s..s..s..s.."), ("B..B....b.......", "....s..s.s..s.s.")),
        "strum": (("................", "CxusxxuxsxuxCxux"), ("................", "CxxusxuxxxusxxCu")),
        "stabs": (("B.........b.....", "C..s..s...s..s.."), ("B.......B.......", "s...s..s.s..s...")),
        "keys": (("B..b....B..b..b.", "s..s..C...s..s.."), ("B.......b..B....", "C...s..s....s.s.")),
    },
    "jazz": {
        "fingers": (("B...b...B...b...", "C.....c...C....."), ("B...b...B...b...", "..c...C...c...c.")),
        "strum": (("................", "C...s...C...s..."), ("................", "C...s.u.C...s.u.")),
        "stabs": (("B.......b.......", "C.....s........."), ("B.......b.......", "C...s.....s...s.")),
        "keys": (("B...b...B...b...", "C.....s...s....."), ("B...b...B...b...", "C...s.......s...")),
    },
    "rock": {
        "fingers": (("B...b...B...b...", "..1.2.3.2.1.3.2."), ("B.......b.......", "..C...C...C.C...")),
        "strum": (("................", "C.c.c.u.c.c.c.u."), ("................", "C...c.u...u.c.u.")),
        "stabs": (("B.......b.......", "C.....C...C....."), ("B...B...b...b...", "C.s.s.C.s.s.s.s.")),
        "keys": (("B.......B.......", "C...C...C...C..."), ("B.....B.b.....b.", "C.c.C.c.C.c.C.c.")),
    },
    "singer": {
        "fingers": (("B.......b.......", "..1.3.2.3.1.3.2."), ("B...b...B...b...", "C.2.3.2.C.2.3.2.")),
        "strum": (("................", "C...c.u...u.c.u."), ("................", "C.......c.u.c.u.")),
        "picked": (("................", "C.2.3.4.3.2.3.4."), ("................", "1.2.3.4.1.2.4.3.")),
        "keys": (("B.......b.......", "C...c...c...c..."), ("B.....b.B.......", "1.2.3.2.1.2.3.2.")),
    },
}
"""Two bars a style and a way of playing; sixteen steps each, what is low above what is high. ``B`` the lowest note,
``b`` another low one; ``C`` the chord held, ``c`` lighter, ``s`` short, ``u`` light from above, ``x`` choked at once;
a digit one note of it, 1 the lowest. Where no low hand plays, the chord is the whole grip."""

NOTHING = 16 * "."

LOUDER = {"B": 4, "b": -3, "C": 6, "c": -10, "s": 0, "u": -12, "x": -22} | dict.fromkeys("1234", -4)
"""Velocity steps above an ordinary note."""

LONGEST = {"s": 0.16, "x": 0.045}
"""Seconds, where a note is not held until the next."""


@cache
def pieces() -> dict[str, str]:
    """Every recording, such as ``steel_rock2-86-Db``: all test, since probes make folds of their own."""
    return {
        f"{player}_{name}-{bpm}-{tonic}": "test"
        for take in range(2)
        for name in PROGRESSIONS
        for bpm, tonic in [TAKES[name][take]]
        for player in PLAYERS
    }


def count_bars(bpm: int) -> int:
    """How many bars of four beats a piece has: an even number, the nearest to :data:`SECONDS`."""
    return 2 * round(SECONDS * bpm / 240 / 2)


def timeline(progression: str, tonic: int, bars: int) -> list[tuple[float, float, Chord | None]]:
    """What is on the page: (start, end, chord) in bars, None where nobody plays; equal neighbours are one."""
    written = [bar.split() for bar in progression.split("|")]
    slots = []
    for bar in range(bars):
        names = written[bar % len(written)]
        slots += [(bar + k / len(names), bar + (k + 1) / len(names), name) for k, name in enumerate(names)]
    joined = []
    for name, same in groupby(slots, key=lambda slot: slot[2]):
        same = list(same)
        start, end = same[0][0], same[-1][1]
        degree, _, quality = name.partition(":")
        root = (tonic + DEGREES.index(degree)) % 12 if quality else 0
        joined.append((start, end, Chord(4 * start, 4 * (end - start), root, quality) if quality else None))
    return joined


def build(piece: str, folder: Path) -> None:
    """Perform, render and store one recording.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store.
    """
    # Here, not above: these need numba, and reading a finished corpus does not.
    from phalar.corpora.rendering import SAMPLE_RATE, render_stems
    from phalar.corpora.soundfont import SoundFont, installed_font

    name, page = piece.split("_")
    progression, bpm, tonic = page.split("-")
    bar, bars = 240 / int(bpm), count_bars(int(bpm))
    written = timeline(PROGRESSIONS[progression], PITCH_CLASSES.index(tonic), bars)
    rng = seeds.generator(SEED, "comping", piece)
    notes = perform(PLAYERS[name], progression[:-1], written, bar, rng)
    audio = render_stems(_font(SoundFont, installed_font()), [(PLAYERS[name].program, notes)])

    labels = [(LEAD_IN + start * bar, LEAD_IN + end * bar, _label(chord)) for start, end, chord in written]
    end = labels[-1][1] + TAIL
    audio = audio[:, : round(end * SAMPLE_RATE)]
    audio = np.pad(audio, ((0, 0), (0, round(end * SAMPLE_RATE) - audio.shape[1])))
    labels = [(0.0, LEAD_IN, "N"), *labels, (labels[-1][1], end, "N")]
    write_track(
        folder,
        piece,
        audio,
        split=pieces()[piece],
        stems=[name],
        pitched=[True],
        tags={
            "player": name,
            "style": progression[:-1],
            "progression": progression,
            "tempo": int(bpm),
            "key": f"{tonic} {_mode(PROGRESSIONS[progression])}",
            "piece": page,
        },
        beats=np.column_stack([LEAD_IN + np.arange(4 * bars) * bar / 4, np.arange(4 * bars) % 4 + 1]),
        chords=[(round(a, 4), round(b, 4), label) for a, b, label in labels],
        notes=[[(n.onset, n.duration, n.pitch) for n in notes]],
    )


def perform(
    player: Player, style: str, written: list[tuple[float, float, Chord | None]], bar: float, rng: np.random.Generator
) -> list:
    """What a player makes of the page.

    Parameters
    ----------
    player : Player
    style : str
        Key of :data:`FIGURES`.
    written : list of (float, float, Chord or None)
        :func:`timeline`'s answer.
    bar : float
        Seconds.
    rng : np.random.Generator

    Returns
    -------
    list of phalar.corpora.sampler.Note
        In order, in seconds from the beginning of the recording. A new chord is struck where it begins, whatever the
        figure says, and nothing is held into the next. Taught in ``book/corpora.md``.
    """
    from phalar.corpora.sampler import Note

    bars = round(written[-1][1])
    figures = FIGURES[style][player.elsewhere.get(style, player.hands)]
    figures = [figures[int(rng.random() < player.variety)] for _ in range(bars)]
    page = LEAD_IN + bar * swung(np.arange(16 * bars + 1), player.swing if style == "jazz" else 0.5) / 16
    moments = page + np.clip(player.late + _drift(player.loose, len(page), rng), -0.035, 0.035)
    tuning = 2.5 * rng.standard_normal(128)  # cents, one a key: no instrument is quite in tune
    notes, grip = [], None
    for start, end, chord in written:
        if chord is None:
            continue
        grip = _grip(player, chord, grip)
        for step, until, mark in _hits(figures, round(16 * start), round(16 * end)):
            for finger, key in enumerate(_struck(player, grip, mark, alone=figures[0][0] == NOTHING)):
                onset = moments[step] + finger * player.spread * rng.uniform(0.7, 1.3)
                length = page[until] - onset - rng.uniform(0.005, 0.03)
                velocity = 86 + LOUDER[mark] + 3 * (step % 16 == 0) + 4 * rng.standard_normal()
                notes.append(
                    Note(
                        onset=float(onset),
                        duration=float(np.clip(length, 0.04, LONGEST.get(mark, np.inf))),
                        pitch=key,
                        velocity=float(np.clip(velocity, 30, 124)),
                        cents=float(tuning[key]),
                    )
                )
    return _replucked(sorted(notes, key=lambda note: note.onset))


def swung(steps: np.ndarray, swing: float) -> np.ndarray:
    """Where sixteenths fall when the second half of each beat is moved to ``swing`` of the beat; in sixteenths."""
    beats, within = np.divmod(steps / 4, 1)
    moved = np.where(within < 0.5, 2 * within * swing, swing + (2 * within - 1) * (1 - swing))
    return 4 * (beats + moved)


def _drift(loose: float, length: int, rng: np.random.Generator) -> np.ndarray:
    """How far off the player is at each step, in seconds: who is late now is still a little late at the next."""
    drift = loose * rng.standard_normal(length)
    for step in range(1, length):
        drift[step] = 0.6 * drift[step - 1] + 0.8 * drift[step]
    return drift


def _hits(figures: list[tuple[str, str]], start: int, end: int) -> list[tuple[int, int, str]]:
    """What is struck from one step to another: (step, step until which it may be held, mark)."""
    hits = []
    for hand, first in enumerate("BC"):
        rows = [figure[hand] for figure in figures]
        if rows[0] == NOTHING:
            continue
        marks = [(step, rows[step // 16][step % 16]) for step in range(start, end)]
        marks[0] = (start, first) if marks[0][1] == "." else marks[0]
        marks = [(step, mark) for step, mark in marks if mark != "."]
        for k, (step, mark) in enumerate(marks):
            later = [] if mark.isdigit() else [other for other, name in marks[k + 1 :] if not name.isdigit()]
            hits.append((step, later[0] if later else end, mark))
    return hits


def _grip(player: Player, chord: Chord, previous: tuple[int, ...] | None) -> tuple[int, ...]:
    if player.strings is None:
        return next_position(chord.pitch_classes, player.sounding[1], player.reach, previous)
    return next_grip(chord.pitch_classes, player.strings, player.sounding, player.reach, previous)


def _struck(player: Player, grip: tuple[int, ...], mark: str, alone: bool) -> tuple[int, ...]:
    """The keys that a mark means, in the order in which they are struck."""
    if mark in "Bb":
        return (grip["Bb".index(mark)],)
    upper = grip if alone else grip[2:] if player.strings is None else grip[1:]
    if mark.isdigit():
        return (upper[(int(mark) - 1) % len(upper)],)
    return upper[:-5:-1] if mark == "u" else upper


def _replucked(notes: list) -> list:
    """The same notes, each ended where its key is struck again."""
    following, result = {}, []
    for note in reversed(notes):
        longest = following.get(note.pitch, np.inf) - note.onset
        result.append(replace(note, duration=max(min(note.duration, longest), 0.03)))
        following[note.pitch] = note.onset
    return result[::-1]


def _label(chord: Chord | None) -> str:
    return chord.label if chord else "N"


def _mode(progression: str) -> str:
    return "minor" if any(name in ("I:min", "I:min7") for name in progression.split()) else "major"


@cache
def _font(kind: type, path: Path):
    return kind(path)  # 6 MB and a second to read: once a process
