"""Corpus ``chorales``: the four-part Bach chorales, played by four instruments. Stands in for CocoChorales.

Ensembles are CocoChorales': string, brass, woodwind, and random, where each voice draws from its own list. Each piece
is played once, by one ensemble.
"""

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from phalar.corpora import seeds, styles
from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.score import Score

SEED = 0

TABLE = Path(__file__).with_name("chorales.csv")
"""For every piece its melody group, split, key and title. ``data/README.md`` says how it was made."""

PROGRAMS: dict[str, int] = styles.table()["chorales"]["programs"]
ENSEMBLES: dict[str, list[str]] = styles.table()["chorales"]["ensembles"]
RANDOM_ENSEMBLE: list[list[str]] = styles.table()["chorales"]["random"]  # who may play each voice in that ensemble
ROLES, LOUDER = ("soprano", "alto", "tenor", "bass"), np.array([5.0, 0.0, 0.0, 0.0])  # in velocity steps


@cache
def table() -> dict[str, dict[str, str]]:
    """For every piece: ``group`` (pieces on one melody share it), ``split``, ``key`` and ``title``."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@cache
def pieces() -> dict[str, str]:
    """The split of every piece, by id, in an order that has nothing to do with their names."""
    order = sorted(table(), key=lambda piece: seeds.digest(SEED, "order", piece))
    return {piece: table()[piece]["split"] for piece in order}


def ensemble(piece: str) -> str:
    """Which ensemble plays a piece. They take turns, so each plays a quarter of every split, and of any first part of
    one in the order of :func:`pieces`."""
    split = [other for other, name in pieces().items() if name == table()[piece]["split"]]
    return [*ENSEMBLES, "random"][split.index(piece) % 4]


def build(piece: str, folder: Path) -> None:
    """Perform, render and store one of :func:`pieces` in the store ``folder``."""
    # Here, not above: these need music21 and numba, and reading a finished corpus needs neither.
    from phalar.corpora import chorale_scores, performance, recording

    row = table()[piece]
    score = chorale_scores.read(piece, row["key"])
    rng = seeds.generator(SEED, "performance", piece)
    name = ensemble(piece)
    players = ENSEMBLES.get(name) or [str(rng.choice(voice)) for voice in RANDOM_ENSEMBLE]
    page = replace(arrangement(score, players, rng), title=row["title"])
    tags = {"bwv": piece.removeprefix("bwv"), "composer": "Johann Sebastian Bach", "group": row["group"]}
    tags |= {"ensemble": name, "key": score.key}
    recording.record(folder, page, performance.draw_feel("hymn", rng), rng, row["split"], tags)


def arrangement(score: Score, players: Sequence[str], rng: np.random.Generator) -> Arrangement:
    """A chorale for four players, its phrases told by fermatas, the last note held as if it had one. Tempi are whole
    numbers within CocoChorales' 50 to 150 quarter notes a minute, most of them 70 to 105."""
    bpm = int(np.clip(round(86 * np.exp(0.25 * rng.standard_normal())), 50, 150))
    loudness = rng.uniform(72, 92)
    parts = [
        Part(role, player, PROGRAMS[player], False, tuple(Stroke(n.onset, n.duration, n.pitch, level) for n in voice))
        for role, player, voice, level in zip(ROLES, players, score.voices, loudness + LOUDER, strict=True)
    ]
    last = score.voices[0][-1]
    held = {(n.onset, n.onset + n.duration) for n in score.voices[0] if n.fermata or n == last}
    key, mode = score.key.split()
    tonic = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}[key[0].lower()] + key.count("#") - key.count("-")
    beats, fermatas = score.beats, tuple(sorted(held))
    return Arrangement(
        score.id, score.id, "chorale", bpm, 1.0, 0.5, tonic % 12, mode, beats, (), (), tuple(parts), fermatas
    )
