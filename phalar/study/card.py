"""The card of the weights that ship: how they were trained and what they reach, as Markdown.

Book page *The weights that ship*.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from phalar.study.tables import (
    NOT_RUN,
    STAND_INS,
    Measured,
    dataset_label,
    markdown_table,
    retrieval_measured,
    with_interval,
)


def training_markdown(notes: Mapping[str, Any]) -> str:
    """How the weights were trained, from what :func:`phalar.study.shipping.ship` wrote into their file."""
    low, high = notes["excerpt_seconds"]
    rows = [
        ("variant", "`phalar`"),
        ("trained on", ", ".join(f"*{name}*" for name in notes["corpora"]) + ", the same share of the pairs each"),
        ("preset", f"`{notes['preset']}`"),
        ("batch", f"{notes['batch_size']} pairs, excerpts of {low:g} to {high:g} s, one length a batch"),
        ("steps", f"{notes['steps']:,} of {notes['of_steps']:,} (the best on validation)"),
        ("pairs seen", f"{notes['pairs']:,} (the paper's models: about 5 million)"),
        ("time", f"{notes['seconds'] / 60:.0f} minutes of training steps"),
        ("seed", notes["seed"]),
        ("validation", f"top-1 {100 * notes['valid']:.1f} % among 64, one draw of cuts"),
    ]
    return markdown_table(["", ""], [[what, str(value)] for what, value in rows])


def results_markdown(records: pd.DataFrame, reference: pd.DataFrame) -> str:
    """What the weights reach on each corpus' test split: reference run | this run, a row a corpus and K."""
    both = [
        {(row.dataset, row.k): row for row in retrieval_measured(table).values() if row.variant == "reference"}
        for table in (reference, records)
    ]
    order = [*STAND_INS]
    keys = sorted({*both[0], *both[1]}, key=lambda key: (order.index(key[0]) if key[0] in order else -1, key[1]))
    rows = [[dataset_label(key[0]), str(key[1]), *(_cell(table.get(key)) for table in both)] for key in keys]
    stand_ins = " ".join(f"*{name}* stands in for {STAND_INS[name]}." for name in order if name in dict(keys))
    caption = f"The shipped weights: top-1 accuracy in % [95 % over test tracks]. {stand_ins}"
    return markdown_table(["data", "K", "reference run", "this run"], rows, caption=caption, name="weights-table")


def _cell(row: Measured | None) -> str:
    return NOT_RUN if row is None else with_interval(row.value, row.low, row.high)
