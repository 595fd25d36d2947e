"""Tables out of result records: the paper's number, this run's and the reference run's, each in its own column.

A stand-in corpus never borrows the name of the data set it stands for: it has a column of its own, right beside.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pandas as pd

# The built-in corpora, and the data set each stands in for.
STAND_INS = {"chorales": "CocoChorales", "band": "Slakh2100", "studio": "MoisesDB"}
STAND_INS |= {"beats": "GTZAN", "comping": "GuitarSet"}
DATASETS = ("MoisesDB", "Slakh2100", "CocoChorales", "GTZAN", "GuitarSet", "MUSDB18-HQ")
# Scorers that learn nothing (phalar.evaluate.scorers), and those of them that compare in time.
SHORTCUTS = ("random", "loudness", "tempo", "chroma", "tempo + chroma")
ALIGNED = ("aligned onsets", "aligned chroma", "aligned onsets + chroma")
LABELS = {
    "reference": "PHALAR, shipped weights", "phalar": "PHALAR", "gap": "GAP", "magnitude": "magnitude only",
    "cosine": "complex cosine", "psd": "PSD W", "hermitian": "Hermitian W", "mel": "Mel input", "cocola": "COCOLA",
    "mert-complex": "MERT, complex head", "mert-real": "MERT, real head", "CLAP": "CLAP", "CDPAM": "CDPAM",
}  # fmt: skip
VARIANTS = tuple(LABELS)

PER_CENT = "\u00a0%"  # the sign never starts a line
NOT_RUN = "·"
NOT_GIVEN = "–"
PAPER, REFERENCE_RUN, OURS = "paper, real data", "reference run", "this run"
# Units of the paper's table in those of our own records: shares rather than per cent, plain counts.
UNITS = {"": 1.0, "%": 0.01, "million": 1e6, "h": 1.0}


@cache
def paper() -> dict[tuple, float]:
    """The paper's numbers (``paper.csv`` beside this file) in the unit of our records (86.79 % reads 0.8679) by
    (experiment, data set in lower case, variant, metric, k or None). What the sources do not give is left out."""
    table = pd.read_csv(Path(__file__).with_name("paper.csv"), keep_default_na=False)
    k = [int(k) if k else None for k in table["k"]]
    keys = zip(table["experiment"], table["dataset"].str.lower(), table["variant"], table["metric"], k, strict=True)
    return dict(zip(keys, (table["value"] * table["unit"].map(UNITS)).round(9), strict=True))


def lookup(experiment: str, dataset: str, variant: str, metric: str, k: int | None = None) -> float | None:
    """A number of the `paper`, or None if not given; the case of the data set is no matter."""
    return paper().get((experiment, dataset.lower(), variant, metric, k))


def canonical(dataset: str) -> str:
    """A data set's name as tables write it: ``"moisesdb"`` is ``"MoisesDB"``; a stand-in keeps its own name."""
    return {name.lower().replace("-", ""): name for name in DATASETS}.get(dataset.lower().replace("-", ""), dataset)


class Measured(NamedTuple):
    """A result over seeds: shares 0..1, ``low`` and ``high`` NaN where no interval was measured."""

    dataset: str
    variant: str
    k: int | None
    value: float
    low: float
    high: float
    n: int | None
    seeds: int
    steps: int | None
    sd: float = math.nan  # over seeds; NaN where there is one

    def __str__(self) -> str:
        """In per cent with the interval, for a sentence or a cell: ``"91.2 % [88.0, 93.9]"``."""
        value, bracket, interval = cell(self).partition(" [")
        return f"{value}{PER_CENT}{bracket}{interval}"


def measured(
    records: pd.DataFrame, experiment: str = "retrieval", metric: str = "top1", split: str = "test"
) -> dict[tuple[str, str, int | None], Measured]:
    """Results over seeds by (data set, variant, K or None): their mean, and an interval from the lowest lower end to
    the highest upper end, never blind to a seed that fell out. Runs of different length are never averaged: of each
    model, those as long as its newest one count."""
    about, found = {"experiment": experiment, "metric": metric, "split": split}, {}
    chosen = records[(records[list(about)] == list(about.values())).all(axis=1)]
    chosen = chosen.assign(dataset=chosen["dataset"].map(canonical))
    chosen = chosen.drop_duplicates(["dataset", "variant", "k", "seed", "steps"], keep="last")
    for (dataset, variant, k), rows in chosen.groupby(["dataset", "variant", "k"], dropna=False, sort=False):
        rows = rows[rows["steps"].fillna(-1) == rows["steps"].fillna(-1).iloc[-1]]
        n, k, steps = (None if pd.isna(x) else int(x) for x in (rows["n"].max(), k, rows["steps"].iloc[-1]))
        found[dataset, variant, k] = Measured(
            dataset, variant, k, rows["value"].mean(), rows["ci_low"].min(), rows["ci_high"].max(), n, len(rows), steps,
            rows["value"].std(),
        )  # fmt: skip
    return found


def results_table(
    records: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    caption: str = "",
    name: str = "",
    *,
    variants: Collection[str] = VARIANTS,
    datasets: Iterable[str] | None = None,
) -> str:
    """Retrieval's top-1 accuracy in per cent, Markdown of `by_k`: a row a model of ``variants``, a column a data set
    that was tested (of ``datasets``, if given), and in a cell a line each of the paper, the ``reference`` run and this
    run's ``records``, never mixed, where the model has such a number."""
    runs, cells = {REFERENCE_RUN: {} if reference is None else measured(reference), OURS: measured(records)}, {}
    known = [row for of in runs.values() for row in of.values() if row.variant in variants]
    wanted = {row.dataset for row in known} if datasets is None else {canonical(name) for name in datasets}
    columns = dict.fromkeys(row.dataset for row in known if row.dataset in wanted)
    for k, model in product({row.k for row in known if row.dataset in wanted}, variants):
        lines = {PAPER: [as_printed(lookup("retrieval", STAND_INS.get(d, d), model, "top1", k)) for d in columns]}
        lines |= {whose: [cell(of.get((d, model, k))) for d in columns] for whose, of in runs.items()}
        lines = {whose: of for whose, of in lines.items() if set(of) - {NOT_RUN, NOT_GIVEN}}
        n = [sorted({str(row.n) for row in known if (row.dataset, row.k) == (d, k)}) for d in columns]
        titles = [f"{dataset_label(d)}, n\u00a0=\u00a0{' or '.join(of)}" for d, of in zip(columns, n, strict=True)]
        if lines:
            texts = ("<br>".join(of).replace(" ", "\u00a0") for of in (lines, *zip(*lines.values(), strict=True)))
            cells.setdefault(k, {})[LABELS.get(model, model)] = dict(zip(["", *titles], texts, strict=True))
    return by_k(cells, caption, name)


def by_k(cells: Mapping[int, Mapping[str, Mapping[str, str]]], caption: str = "", name: str = "") -> str:
    """Markdown of texts by K, model and column: K=64 first, below it what is folded away, the other K from the largest
    on. With ``name`` the first table is numbered."""
    shown = []
    for k in sorted(cells, key=lambda k: (k != 64, -k)):
        rows = [[model, *row.values()] for model, row in cells[k].items()]
        title = f"**K = {k}.** {'' if shown else caption}".strip()
        shown.append(markdown_table(["model", *next(iter(cells[k].values()))], rows, title, "" if shown else name))
    return (shown[0] + folded("The same for other K", "\n".join(shown[1:]))) if shown else NOT_RUN


def folded(summary: str, text: str) -> str:
    """Markdown that is folded away under a line, in the book as in Jupyter; nothing if there is nothing to fold."""
    return f"\n<details>\n<summary>{summary}</summary>\n\n{text}\n</details>\n" if text else ""


CAPTION = (
    "Top-1 accuracy in %, the share of queries whose own stem scores highest among K candidates (chance: 100/K) [95 % "
    "bootstrap interval over tracks; over several seeds their mean, from the lowest to the highest end of their "
    "intervals]; n: test tracks. *chorales*, *band* and *studio* are stand-ins, not the same data: the paper's line is "
    "of CocoChorales, Slakh2100 and MoisesDB. COCOLA is shown both its pictures, harmonic and percussive. "
    f"“{NOT_GIVEN}”: not in our sources for the paper; “{NOT_RUN}”: not run here."
)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as text in per cent without the sign: 0.8679 is ``"86.8"``."""
    return NOT_GIVEN if pd.isna(value) else f"{100 * value:.{digits}f}"


def as_printed(share: float | None) -> str:
    """A share of the paper in per cent with the decimals that the paper gives: ``"86.79"``, ``"46"``."""
    return NOT_GIVEN if pd.isna(share) else f"{round(100 * share, 6):g}"


def with_interval(value: float, low: float, high: float, shown: Callable[[float], str] = percent) -> str:
    """``"91.2 [88.0, 93.9]"``, in per cent if not ``shown`` otherwise; the interval is left out where there is none."""
    if pd.isna(value):
        return NOT_RUN
    return shown(value) if pd.isna(low) or pd.isna(high) else f"{shown(value)} [{shown(low)}, {shown(high)}]"


def cell(row: Measured | None) -> str:
    """A result as a cell of a table."""
    return NOT_RUN if row is None else with_interval(*row[3:6])


def points(row: Measured) -> str:
    """A difference in points with its sign: ``"−12.3 [−15.0, −9.8]"``."""
    return with_interval(*row[3:6], lambda share: f"{100 * share:+.1f}".replace("-", "−"))


def dataset_label(name: str) -> str:
    """A data set's name for a table; a stand-in says that it is one, and the caption for what."""
    return f"{name} (stand-in)" if name in STAND_INS else name


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[object]], caption: str = "", name: str = "") -> str:
    """A Markdown table; with ``name`` as a numbered MyST table, else with its caption as a paragraph above."""
    header = list(header)
    cells = ([str(cell).replace("|", "\\|") for cell in row] for row in (header, ["---"] * len(header), *rows))
    body = "".join(f"| {' | '.join(row)} |\n" for row in cells)
    if name:
        return f":::{{table}} {caption}\n:name: {name}\n\n{body}:::\n"
    return f"{caption}\n\n{body}" if caption else body


def frame_markdown(frame: pd.DataFrame, caption: str = "", name: str = "") -> str:
    """`markdown_table` of a frame of texts; a word where it is empty."""
    return markdown_table(frame.columns, frame.to_numpy(), caption, name) if len(frame) else NOT_RUN
