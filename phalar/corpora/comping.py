"""Corpus ``comping``: one player accompanies, chords known to the sample. Stands in for GuitarSet.

Thirty pages, each a progression in a key at a tempo, and six players (rows of ``comping`` in ``styles.yaml``) who all
play all of them, as in GuitarSet. Chord labels are those on the page: what a player was asked to play.
"""

from functools import cache
from pathlib import Path

import numpy as np

from phalar.corpora import performance, rendering, seeds
from phalar.corpora.chart import Bar, Chart
from phalar.corpora.leadsheet import PITCH_CLASSES, Arrangement, Chord, Part, merged
from phalar.corpora.parts import chordal
from phalar.corpora.styles import table, transposed

SEED = 0
SECONDS = 24.0  # about: an even number of bars, the progression begun again as often as it takes
LEAD_IN, TAIL = 0.5, 0.5  # seconds before the first bar, and after the last
DEGREES = ("I", "bII", "II", "bIII", "III", "IV", "bV", "V", "bVI", "VI", "bVII", "VII")
PROGRESSIONS: dict[str, str] = table()["comping"]["progressions"]
PLAYERS: dict[str, dict] = table()["comping"]["players"]


@cache
def pieces() -> dict[str, str]:
    """Every recording, such as ``steel_rock2-86-Db``: all test, since probes make folds of their own."""
    takes = [(name, *pages[take]) for take in range(2) for name, pages in table()["comping"]["takes"].items()]
    return {f"{player}_{name}-{bpm}-{tonic}": "test" for name, bpm, tonic in takes for player in PLAYERS}


def timeline(progression: str, tonic: int, bars: int) -> list[Chord]:
    """What is on the page for so many bars of four quarter notes; where nobody plays there is no chord."""
    written = [bar.split() for bar in progression.split("|")]
    chords: list[Chord] = []
    for bar in range(bars):
        names = written[bar % len(written)]
        for place, name in enumerate(names):
            onset, duration = 4 * (bar + place / len(names)), 4 / len(names)
            degree, _, quality = name.partition(":")
            if quality:
                chords.append(Chord(onset, duration, (tonic + DEGREES.index(degree)) % 12, quality))
    return merged(chords)


def arrangement(piece: str, rng: np.random.Generator) -> Arrangement:
    """What the player of a piece plays, on the page: one of two figures in every other bar."""

    name, page = piece.split("_")
    progression, bpm, tonic = page.split("-")
    player, style = PLAYERS[name], progression[:-1]
    bars, key = 2 * round(SECONDS * int(bpm) / 240 / 2), PITCH_CLASSES.index(tonic)
    mode = "minor" if {"I:min", "I:min7"} & set(PROGRESSIONS[progression].split()) else "major"
    laid = tuple(Bar(4.0 * n, 4.0, n, False, n // 2, n % 2) for n in range(bars))
    chords = tuple(timeline(PROGRESSIONS[progression], key, bars))
    stand = Chart(laid, ("A",) * (bars // 2), chords, (), key, mode, 1.0, float(bpm))
    figures = table()["comping"]["figures"][style][player.get("elsewhere", {}).get(style, player["hands"])]
    chosen = [figures[int(rng.random() < 0.4)] for _ in stand.sections]
    strokes = chordal(stand, chosen, list(range(bars)), player["voices"], tuple(player["keys"]), player["low"])
    part = Part("strum", name, player["program"], False, tuple(strokes))
    beats = tuple((float(n), n % 4 + 1) for n in range(4 * bars))
    swing = player["swing"] if style == "jazz" else 0.5
    return Arrangement(piece, page, style, int(bpm), 1.0, swing, key, mode, beats, chords, (), (part,))


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """Perform, render and store one of :func:`pieces` in the store ``folder``, so many semitones higher than it is."""

    rng = seeds.generator(SEED, "comping", piece)
    name, page = piece.split("_")
    player = PLAYERS[name]
    habits = {"looseness": player["looseness"], "push": {"strum": player["late"]}, "strum": player["spread"]}
    feel = performance.Feel(velocity=5.0, lead_in=LEAD_IN, **habits)
    progression = page.split("-")[0]
    tags = {"player": name, "style": progression[:-1], "progression": progression, "piece": page}
    page = transposed(arrangement(piece, rng), semitones)
    rendering.record(folder, page, feel, rng, pieces()[piece], tags, tail=TAIL)
