"""The paper's numbers, read from the one table that holds them (``paper.csv`` beside this file).

Cells that the sources do not give are left out of the table, never guessed: a look-up of one gives ``None``.
"""

from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("paper.csv")
COLUMNS = ["experiment", "dataset", "variant", "metric", "k", "value", "unit", "source", "note"]

# What one unit of the table is worth in the unit of our own records: shares rather than per cent, plain counts.
UNITS = {"": 1.0, "%": 0.01, "million": 1e6, "h": 1.0}


def read_paper(path: Path = TABLE) -> pd.DataFrame:
    """The paper's numbers, one row each, with where each comes from.

    Returns a frame with the columns of `COLUMNS` (``k`` is a nullable integer, ``value`` is in ``unit`` exactly as
    printed) and one more, ``share``: the same number in the unit of our records, so that 86.79 % reads 0.8679.
    """
    text = ["experiment", "dataset", "variant", "metric", "unit", "source", "note"]
    table = pd.read_csv(path, dtype=dict.fromkeys(text, "object") | {"k": "Int64", "value": "float64"})
    table[text] = table[text].fillna("")
    table["share"] = table["value"] * table["unit"].map(UNITS)
    return table


def index(table: pd.DataFrame) -> dict[tuple[str, str, str, str, int | None], float]:
    """The table's shares by (experiment, data set in lower case, variant, metric, k or None)."""
    return {
        (row.experiment, row.dataset.lower(), row.variant, row.metric, None if pd.isna(row.k) else int(row.k)): round(
            float(row.share), 9
        )
        for row in table.itertuples()
    }


def lookup(
    experiment: str, dataset: str, variant: str, metric: str, k: int | None = None, table: pd.DataFrame | None = None
) -> float | None:
    """One number of the paper in the unit of our records (shares from 0 to 1, counts, hours), or None if not given.

    ``dataset`` is compared without regard to case (``"MoisesDB"`` or ``"moisesdb"``).
    """
    numbers = index(read_paper() if table is None else table)
    return numbers.get((experiment, dataset.lower(), variant, metric, k))
