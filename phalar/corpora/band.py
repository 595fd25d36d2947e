"""Corpus ``band``: folk and dance tunes arranged for four to nine General MIDI stems. Stands in for Slakh2100."""

from collections import Counter
from functools import cache, partial
from pathlib import Path

import numpy as np

from phalar.corpora import arranger, performance, rendering, seeds, tunes
from phalar.corpora.leadsheet import Arrangement
from phalar.corpora.styles import styles, table, transposed

SEED = 0
SECONDS = (40.0, 55.0)  # shortest and longest piece as written; a last note may ring a little longer
PACES = (0.87, 1.0, 1.15)  # by which a piece is slower or faster than its style's tempi
BALANCE = 1.5  # standard deviation, in dB, of what a piece's mix adds to the gain of each role


pieces = partial(tunes.pieces, "band")
"""The split of every piece, by id, in an order that has nothing to do with their names."""


@cache
def style_of() -> dict[str, str]:
    """The style of every piece, by id. The styles of a family of metres take turns, so each plays its share of every
    split, and of any first part of one in the order of :func:`pieces`."""
    turns, result = Counter(), {}
    for piece, split in pieces().items():
        which = tunes.family(piece)
        fitting = [name for name, style in styles().items() if style.family == which]
        result[piece] = fitting[turns[split, which] % len(fitting)]
        turns[split, which] += 1
    return result


def mixed(page: Arrangement, rng: np.random.Generator) -> list[float]:
    """Decibels by which each part is louder than the common level."""
    return [table()["gains"][part.role] + BALANCE * float(rng.standard_normal()) for part in page.parts]


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """Harmonise, arrange, perform, render and store one of :func:`pieces` in ``folder``, so many semitones higher."""

    rng = seeds.generator("band", SEED, "arrangement", piece)
    name = style_of()[piece]
    page = arranger.arrange(tunes.lead_sheet(piece, styles()[name].colour), name, rng, SECONDS, PACES)
    page = transposed(page, semitones)
    gains = mixed(page, rng)
    tags = {"style": name, "metre": page.metre, "roles": [part.role for part in page.parts]}
    tags |= {"gains": [round(gain, 2) for gain in gains], "sections": [name for _, name in page.sections], "seed": SEED}
    rendering.record(folder, page, performance.TIGHT, rng, pieces()[piece], tags, gains)
