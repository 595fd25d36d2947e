"""The folk tunes that ``band``, ``studio`` and ``beats`` are made of, and their lead sheets.

The books (:mod:`phalar.corpora.abc_tunes`) give no chords; :mod:`phalar.corpora.harmony` finds them. Which tune serves
which corpus and split is kept in ``tunes.csv``; ``data/README.md`` says how it was chosen.
"""

import csv
from functools import cache
from pathlib import Path

from phalar.corpora import abc_tunes, seeds
from phalar.corpora.leadsheet import LeadSheet
from phalar.errors import InputError

SEED = 0
TABLE = Path(__file__).with_name("tunes.csv")


@cache
def table() -> dict[str, dict[str, str]]:
    """For every tune, by id: ``book``, ``number``, ``size`` (settings of it in the books), ``corpus``, ``split``,
    ``meter``, ``mode``, ``title``."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


@cache
def pieces(corpus: str) -> dict[str, str]:
    """The split of every tune of a corpus, by id, in an order that has nothing to do with their names. An `InputError`
    if no tune is set apart for such a corpus."""
    found = {piece: row["split"] for piece, row in table().items() if row["corpus"] == corpus}
    if not found:
        known = ", ".join(sorted({row["corpus"] for row in table().values()}))
        raise InputError(f"corpus {corpus!r} has no tunes: use one of {known}")
    return {piece: found[piece] for piece in sorted(found, key=lambda piece: seeds.digest(SEED, "order", piece))}


def tune(piece: str) -> LeadSheet:
    """One tune, repeats played out, without chords; an `InputError` if it is not in the table."""
    if piece not in table():
        raise InputError(f"tune {piece!r} is not in {TABLE.name}: use an id from phalar.corpora.tunes.pieces")
    row = table()[piece]
    return abc_tunes.parse(abc_tunes.source(row["book"], row["number"]), row["meter"], row["mode"], piece, row["title"])


def lead_sheet(piece: str, colour: str) -> LeadSheet:
    """A tune with chords in a colour of :data:`phalar.corpora.harmony.COLOURS`: the same ones for the same request. An
    `InputError` if there is no such tune or colour."""
    from phalar.corpora.harmony import harmonise

    return harmonise(tune(piece), colour, seeds.generator(SEED, "harmony", colour, piece))
