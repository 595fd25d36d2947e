"""The paper's numbers, read from the one table that holds them (``paper.csv`` beside this file).

Cells that the sources do not give are left out of the table, never guessed: a look-up of one gives ``None``.
"""

from functools import lru_cache
from pathlib import Path

import pandas as pd

TABLE = Path(__file__).with_name("paper.csv")

# What one unit of the table is worth in the unit of our own records: shares rather than per cent, plain counts.
UNITS = {"": 1.0, "%": 0.01, "million": 1e6, "h": 1.0}


def read_paper(path: Path = TABLE) -> pd.DataFrame:
    """The paper's numbers, one row each, with where each comes from.

    ``value`` is in ``unit`` as printed, ``k`` a nullable integer; ``share`` is the number in the unit of our records,
    so that 86.79 % reads 0.8679.
    """
    table = pd.read_csv(path, dtype={"k": "Int64", "value": "float64"}, keep_default_na=False, na_values={"k": [""]})
    table["share"] = (table["value"] * table["unit"].map(UNITS)).round(9)
    return table


@lru_cache(maxsize=1)
def index() -> dict[tuple[str, str, str, str, int | None], float]:
    """The table's shares by (experiment, data set in lower case, variant, metric, k or None)."""
    rows = read_paper().astype({"k": object}).itertuples()
    return {
        (row.experiment, row.dataset.lower(), row.variant, row.metric, None if pd.isna(row.k) else row.k): row.share
        for row in rows
    }


def lookup(experiment: str, dataset: str, variant: str, metric: str, k: int | None = None) -> float | None:
    """One number of the paper in the unit of our records (shares from 0 to 1, counts, hours), or None if not given.

    ``dataset`` is compared without regard to case (``"MoisesDB"`` or ``"moisesdb"``).
    """
    return index().get((experiment, dataset.lower(), variant, metric, k))
