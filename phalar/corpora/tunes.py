"""The tunes that the corpora ``band``, ``studio``, ``beats`` and ``comping`` are made of, and their lead sheets.

They are folk and dance tunes of the 18th and 19th centuries, read by :mod:`phalar.corpora.abc_tunes`; the books give no
chords, so :mod:`phalar.corpora.harmony` finds them. Which tune serves which corpus and split is kept in ``tunes.csv``,
made by :mod:`phalar.corpora.tune_table`.
"""

import csv
from functools import cache
from pathlib import Path

from phalar.corpora import seeds
from phalar.corpora.abc_tunes import Tune, read
from phalar.corpora.leadsheet import LeadSheet
from phalar.errors import InputError

SEED = 0

TABLE = Path(__file__).with_name("tunes.csv")
"""For every tune used its book, the number of its settings found in the three books, corpus, split, metre, mode and
title."""


@cache
def table() -> dict[str, dict[str, str]]:
    """The rows of ``tunes.csv`` by id: ``book``, ``number``, ``size``, ``corpus``, ``split``, ``meter``, ``mode``,
    ``title``."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@cache
def pieces(corpus: str) -> dict[str, str]:
    """The split of every tune of a corpus, by id, in an order that has nothing to do with their names.

    Raises
    ------
    InputError
        If no tune is set apart for such a corpus.
    """
    found = {piece: row["split"] for piece, row in table().items() if row["corpus"] == corpus}
    if not found:
        known = ", ".join(sorted({row["corpus"] for row in table().values()}))
        raise InputError(f"corpus {corpus!r} has no tunes: use one of {known}")
    return {piece: found[piece] for piece in sorted(found, key=lambda piece: seeds.digest(SEED, "order", piece))}


def tune(piece: str) -> Tune:
    """One tune as written, repeats played out. Takes some milliseconds.

    Raises
    ------
    InputError
        If it is not in the table.
    """
    if piece not in table():
        raise InputError(f"tune {piece!r} is not in {TABLE.name}: use an id from phalar.corpora.tunes.pieces")
    return read(piece)


def lead_sheet(piece: str, colour: str) -> LeadSheet:
    """A tune with chords. The same tune and colour give the same chords.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    colour : str
        A key of :data:`phalar.corpora.harmony.COLOURS`: ``"folk"``, ``"pop"``, ``"jazz"``, ``"blues"`` or ``"modal"``.

    Raises
    ------
    InputError
        If there is no such tune or colour.
    """
    from phalar.corpora.harmony import harmonise

    return harmonise(tune(piece), colour, seeds.generator(SEED, "harmony", colour, piece))


def sections(piece: str) -> tuple[tuple[float, str], ...]:
    """The first bar line of every strain of a tune, in quarter notes, and its letter. A repeat counts as another strain
    of the same letter."""
    return tune(piece).strains
