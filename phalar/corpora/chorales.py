"""Corpus ``chorales``: the four-part Bach chorales, played by four instruments. Stands in for CocoChorales.

Ensembles are CocoChorales': string, brass, woodwind, and random, where each voice draws from its own list. Each piece
is played once, by one ensemble.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np

from phalar.corpora import seeds
from phalar.datasets.store import write_track

SEED = 0

TABLE = Path(__file__).with_name("chorales.csv")
"""For every piece its melody group, split, key and title. ``data/README.md`` says how it was made."""

PROGRAMS = {
    "violin": 40,
    "viola": 41,
    "cello": 42,
    "double bass": 43,
    "trumpet": 56,
    "trombone": 57,
    "tuba": 58,
    "horn": 60,
    "saxophone": 66,
    "oboe": 68,
    "bassoon": 70,
    "clarinet": 71,
    "flute": 73,
}
"""General MIDI programs, counted from 0. The saxophone is the tenor: it has no hole in the middle of its range."""

VIBRATO = {"violin": 16, "viola": 16, "cello": 14, "double bass": 6, "flute": 12, "oboe": 9, "saxophone": 9} | {
    "bassoon": 5,
    "trumpet": 5,
    "trombone": 4,
}
"""Peak depth in cents that an instrument invites; none for those not named."""

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
    """Perform, render and store one piece.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store.
    """
    # Here, not above: these need music21 and numba, and reading a finished corpus needs neither.
    from phalar.corpora import chorale_scores
    from phalar.corpora.performance import draw_style, play_voice, tempo_curve
    from phalar.corpora.rendering import render_stems
    from phalar.corpora.soundfont import SoundFont, installed_font

    row = table()[piece]
    score = chorale_scores.read(piece, row["key"])
    rng = seeds.generator(SEED, "performance", piece)
    name = ensemble(piece)
    players = ENSEMBLES.get(name) or tuple(str(rng.choice(voice)) for voice in RANDOM_ENSEMBLE)
    style = draw_style(rng)
    curve = tempo_curve(score, style, rng)
    parts = [
        play_voice(score, voice, style, curve, VIBRATO.get(player, 0), rng)
        for voice, player in zip(score.voices, players, strict=True)
    ]
    font = _font(SoundFont, installed_font())
    audio = render_stems(font, [(PROGRAMS[player], part) for player, part in zip(players, parts, strict=True)])
    seconds = np.interp([quarter for quarter, _ in score.beats], *curve)
    write_track(
        folder,
        piece,
        audio,
        split=row["split"],
        stems=players,
        pitched=[True] * len(players),
        tags={
            "title": row["title"],
            "bwv": piece.removeprefix("bwv"),
            "composer": "Johann Sebastian Bach",
            "group": row["group"],
            "ensemble": name,
            "tempo": style.bpm,
            "key": score.key,
        },
        beats=np.column_stack([seconds, [number for _, number in score.beats]]),
        notes=[[(n.onset, n.duration, n.pitch) for n in part] for part in parts],
    )


@cache
def _font(kind: type, path: Path):
    return kind(path)  # 6 MB and a second to read: once a process
