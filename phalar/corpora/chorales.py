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

from phalar.corpora import seeds
from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.score import Score

SEED = 0

TABLE = Path(__file__).with_name("chorales.csv")
"""For every piece its melody group, split, key and title. ``data/README.md`` says how it was made."""

PROGRAMS = {"violin": 40, "viola": 41, "cello": 42, "double bass": 43, "trumpet": 56, "trombone": 57, "tuba": 58}
PROGRAMS |= {"horn": 60, "saxophone": 66, "oboe": 68, "bassoon": 70, "clarinet": 71, "flute": 73}
"""General MIDI programs, counted from 0. The saxophone is the tenor: it has no hole in the middle of its range."""

ROLES, LOUDER = ("soprano", "alto", "tenor", "bass"), np.array([5.0, 0.0, 0.0, 0.0])
"""Voices, and the velocity steps by which each is louder than the others."""

ENSEMBLES = {
    "string": ("violin", "violin", "viola", "cello"),
    "brass": ("trumpet", "horn", "trombone", "tuba"),
    "woodwind": ("flute", "oboe", "clarinet", "bassoon"),
}

RANDOM_ENSEMBLE = (
    ("violin", "flute", "oboe", "clarinet", "trumpet", "saxophone"),
    ("violin", "viola", "oboe", "clarinet", "trumpet", "horn", "saxophone"),
    ("viola", "cello", "clarinet", "bassoon", "horn", "trombone", "saxophone"),
    ("cello", "double bass", "bassoon", "trombone", "tuba"),
)
"""What may play each voice, from soprano to bass, in the ensemble called random."""


@cache
def table() -> dict[str, dict[str, str]]:
    """For every piece: ``group`` (pieces on one melody share it), ``split``, ``key`` and ``title``."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@cache
def pieces() -> dict[str, str]:
    """The split of every piece, by id, in an order that has nothing to do with their names."""
    return {
        piece: table()[piece]["split"]
        for piece in sorted(table(), key=lambda piece: seeds.digest(SEED, "order", piece))
    }


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
    players = ENSEMBLES.get(name) or tuple(str(rng.choice(voice)) for voice in RANDOM_ENSEMBLE)
    page = replace(arrangement(score, players, rng), title=row["title"])
    tags = {
        "bwv": piece.removeprefix("bwv"),
        "composer": "Johann Sebastian Bach",
        "group": row["group"],
        "ensemble": name,
        "key": score.key,
    }
    recording.record(folder, page, performance.hymn_feel(rng), rng, split=row["split"], tags=tags)


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
    tonic, mode = score.key.split()
    pitch_class = "CDEFGAB".index(tonic[0].upper())
    sharp = tonic.count("#") - tonic.count("-")
    return Arrangement(
        id=score.id,
        title=score.id,
        style="chorale",
        bpm=bpm,
        beat=1.0,
        swing=0.5,
        tonic=((0, 2, 4, 5, 7, 9, 11)[pitch_class] + sharp) % 12,
        mode=mode,
        beats=score.beats,
        chords=(),
        sections=(),
        parts=tuple(parts),
        fermatas=tuple(sorted(held)),
    )
