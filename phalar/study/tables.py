"""Tables out of result records: the paper's number, this run's and the reference run's, each in its own column.

A stand-in corpus never borrows the name of the data set it stands for: it has rows of its own, right below.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

# The built-in corpora, and the data set each stands in for.
STAND_INS = {
    "chorales": "CocoChorales",
    "band": "Slakh2100",
    "studio": "MoisesDB",
    "beats": "GTZAN",
    "comping": "GuitarSet",
}
DATASETS = ("MoisesDB", "Slakh2100", "CocoChorales", "GTZAN", "GuitarSet", "MUSDB18-HQ")
VARIANTS = (
    "reference", "phalar", "gap", "magnitude", "cosine", "psd", "hermitian", "mel", "cocola",
    "mert-complex", "mert-real",
)  # fmt: skip
# Scorers that learn nothing (phalar.evaluate.scorers), and those of them that compare in time.
SHORTCUTS = ("random", "loudness", "tempo", "chroma", "tempo + chroma")
ALIGNED = ("aligned onsets", "aligned chroma", "aligned onsets + chroma")

LABELS = {"phalar": "PHALAR", "gap": "GAP", "psd": "PSD W", "hermitian": "Hermitian W", "cocola": "COCOLA"} | {
    "reference": "PHALAR, shipped weights",
    "magnitude": "magnitude only", "cosine": "complex cosine", "mel": "Mel input",
    "mert-complex": "MERT, complex head", "mert-real": "MERT, real head",
}  # fmt: skip

PER_CENT = "\u00a0%"  # the sign never starts a line
NOT_RUN = "·"
NOT_GIVEN = "–"


def canonical(dataset: str) -> str:
    """A data set's name as tables write it: ``"moisesdb"`` is ``"MoisesDB"``; a stand-in keeps its own name."""
    return next((name for name in DATASETS if _bare(name) == _bare(dataset)), dataset)


def _bare(name: str) -> str:
    return name.lower().replace("-", "")


def summarise(records: pd.DataFrame, experiment: str, metric: str, split: str = "test") -> pd.DataFrame:
    """One row per (dataset, variant, k), over seeds.

    Returns columns ``dataset, variant, k, value, low, high, n, seeds, steps``. With one seed, value and interval are
    the record's own. With several, the value is their mean and the interval reaches from the lowest lower end to the
    highest upper end: wider than an interval of the mean, and never blind to a seed that fell out.
    Runs of different length are never averaged: of each model, those as long as its newest one count.
    """
    columns = ["dataset", "variant", "k", "value", "low", "high", "n", "seeds", "steps"]
    chosen = records[
        (records["experiment"] == experiment) & (records["metric"] == metric) & (records["split"] == split)
    ].copy()
    if chosen.empty:
        return pd.DataFrame(columns=columns)
    chosen["dataset"] = chosen["dataset"].map(canonical)
    rows = []
    for (dataset, variant, k), group in chosen.groupby(["dataset", "variant", "k"], dropna=False, sort=False):
        group = group.drop_duplicates(["seed", "steps"], keep="last")
        newest = group["steps"].iloc[-1]
        group = group[group["steps"].isna() if pd.isna(newest) else (group["steps"] == newest).fillna(False)]
        rows.append(
            {
                "dataset": dataset,
                "variant": variant,
                "k": None if pd.isna(k) else int(k),
                "value": group["value"].mean(),
                "low": group["ci_low"].min(),
                "high": group["ci_high"].max(),
                "n": None if group["n"].isna().all() else int(group["n"].max()),
                "seeds": len(group),
                "steps": None if pd.isna(newest) else int(newest),
            }
        )
    return pd.DataFrame(rows, columns=columns)


def retrieval_table(
    records: pd.DataFrame,
    paper: pd.DataFrame,
    reference: pd.DataFrame | None = None,
    datasets: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Stem retrieval, top-1: paper | this run | reference run, never mixed.

    Parameters
    ----------
    records : DataFrame
        This run's records (`phalar.study.results.read`).
    paper : DataFrame
        The paper's numbers (`phalar.study.paper.read_paper`).
    reference : DataFrame, optional
        Records of the reference run that ships with the book.
    datasets : iterable of str, optional
        Data sets or stand-ins to show; a stand-in brings the data set it stands for. All by default.

    Returns
    -------
    DataFrame
        Columns ``dataset, stands_in_for, variant, k``, then ``paper`` (share or NaN where it gives none), then
        ``value, low, high, n, seeds, steps`` of this run, then ``reference, reference_low, reference_high``. All
        shares are 0..1. Rows are ordered by data set (each followed by its stand-in), variant and K.
    """
    key = ["dataset", "variant", "k"]
    claimed = paper[(paper["experiment"] == "retrieval") & (paper["metric"] == "top1")]
    claimed = claimed.rename(columns={"share": "paper"})[[*key, "paper"]]
    ours = summarise(records, "retrieval", "top1")
    table = _join(claimed, ours, key)
    kept = summarise(reference, "retrieval", "top1") if reference is not None else ours.iloc[:0]
    kept = kept.rename(columns={"value": "reference", "low": "reference_low", "high": "reference_high"})
    table = _join(table, kept[[*key, "reference", "reference_low", "reference_high"]], key)
    table.insert(1, "stands_in_for", table["dataset"].map(STAND_INS).fillna(""))
    if datasets is not None:
        wanted = {canonical(name) for name in datasets}
        wanted |= {STAND_INS[name] for name in wanted if name in STAND_INS}
        table = table[table["dataset"].isin(wanted)]
    table = table[table["variant"].isin(VARIANTS)]
    order = table.apply(lambda row: (*_place(row["dataset"]), _position(VARIANTS, row["variant"]), row["k"]), axis=1)
    return table.loc[order.sort_values().index].reset_index(drop=True) if len(table) else table


def _join(left: pd.DataFrame, right: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    left, right = left.astype({"k": "Int64"}), right.astype({"k": "Int64"})
    return left.merge(right, on=key, how="outer", validate="one_to_one")


def _place(dataset: str) -> tuple[int, int]:
    """A stand-in sorts right below the data set it stands for."""
    return _position(DATASETS, STAND_INS.get(dataset, dataset)), int(dataset in STAND_INS)


def _position(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)


def percent(value: float | None, digits: int = 1) -> str:
    """A share as text in per cent without the sign: 0.8679 is ``"86.8"``."""
    return NOT_GIVEN if value is None or math.isnan(value) else f"{100 * value:.{digits}f}"


def as_printed(share: float | None) -> str:
    """A share of the paper in per cent with the decimals that the paper gives: ``"86.79"``, ``"46"``."""
    return NOT_GIVEN if share is None or math.isnan(share) else f"{round(100 * share, 6):g}"


def with_interval(value: float, low: float, high: float) -> str:
    """``"91.2 [88.0, 93.9]"``, in per cent; the interval is left out where there is none."""
    if pd.isna(value):
        return NOT_RUN
    return percent(value) if pd.isna(low) or pd.isna(high) else f"{percent(value)} [{percent(low)}, {percent(high)}]"


def shortcuts_markdown(records: pd.DataFrame, datasets: Iterable[str]) -> str:
    """What scorers that learn nothing reach, as Markdown in per cent: a row a data set and scorer, a column a K."""
    measured = retrieval_measured(records)
    names = [canonical(name) for name in datasets]
    ks = sorted({k for dataset, variant, k in measured if dataset in names and variant in (*SHORTCUTS, *ALIGNED)})
    rows = []
    for name in names:
        for scorer in (*SHORTCUTS, *ALIGNED):
            found = [measured.get((name, scorer, k)) for k in ks]
            if any(found):
                cells = [NOT_RUN if row is None else with_interval(row.value, row.low, row.high) for row in found]
                rows.append([dataset_label(name), scorer, *cells])
    caption = "Scorers that learn nothing, on the pairs of the table above: top-1 accuracy in % [95 %]."
    return markdown_table(["data", "scorer", *(f"K = {k}" for k in ks)], rows, caption=caption)


def dataset_label(name: str) -> str:
    """A data set's name for a table; a stand-in says that it is one, and the caption for what."""
    return f"{name} (stand-in)" if name in STAND_INS else name


def retrieval_markdown(table: pd.DataFrame, caption: str = "", name: str = "") -> str:
    """`retrieval_table` as Markdown, in per cent, with a caption that names the metric and every stand-in.

    With ``name`` (a label to refer to) it is a numbered MyST table for a page of the book, otherwise a plain table
    that any notebook viewer shows. The reference column is there only if there is a reference run.
    """
    has_reference = bool(table["reference"].notna().any())
    header = [
        "data",
        "model",
        "K",
        "paper",
        "this run [95 %]",
        "n",
        *(["reference run [95 %]"] if has_reference else []),
    ]
    rows = []
    for row in table.itertuples():
        cells = [
            dataset_label(row.dataset),
            LABELS.get(row.variant, row.variant),
            str(row.k),
            as_printed(row.paper),
            with_interval(row.value, row.low, row.high),
            NOT_RUN if pd.isna(row.n) else str(int(row.n)),
        ]
        if has_reference:
            cells.append(with_interval(row.reference, row.reference_low, row.reference_high))
        rows.append(cells)
    return markdown_table(header, rows, caption=" ".join([caption, retrieval_caption(table)]).strip(), name=name)


def retrieval_caption(table: pd.DataFrame) -> str:
    """What the columns of the retrieval table mean, with its stand-ins and the number of seeds named."""
    used = [name for name in dict.fromkeys(table["dataset"]) if name in STAND_INS]
    parts = [
        "Stem retrieval: top-1 accuracy in %, the share of queries whose own stem scores highest among K candidates "
        "(chance: 100/K). In brackets: 95 % bootstrap interval over tracks; n: test tracks.",
        *(f"*{name}* is a stand-in for {STAND_INS[name]}, not the same data." for name in used),
    ]
    if "cocola" in set(table["variant"]):
        parts.append("COCOLA is shown both its pictures, harmonic and percussive.")
    seeds = table["seeds"].dropna()
    if len(seeds) and seeds.max() > 1:
        parts.append(
            f"Over {int(seeds.max())} seeds: their mean, and the interval from the lowest to the highest end of theirs."
        )
    parts.append(f"“{NOT_GIVEN}”: not in our sources for the paper; “{NOT_RUN}”: not run here.")
    return " ".join(parts)


def variants_table(differs: Mapping[str, str], parameters: Mapping[str, int]) -> str:
    """The registry as Markdown: variant | what differs from PHALAR | real parameters, counted."""
    rows = [[f"`{name}`", text, f"{parameters[name]:,}"] for name, text in differs.items()]
    caption = (
        "The variants. Parameters are real numbers, counted in the models as built here; a complex one counts as two."
    )
    return markdown_table(["variant", "what differs", "parameters"], rows, caption=caption, name="variants-table")


def markdown_table(header: list[str], rows: list[list[str]], caption: str = "", name: str = "") -> str:
    """A Markdown table; with ``name`` as a numbered MyST table, else with its caption as a paragraph above."""

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"

    body = "\n".join([line(header), line(["---"] * len(header)), *(line(row) for row in rows)])
    if name:
        return f":::{{table}} {caption}\n:name: {name}\n\n{body}\n:::\n"
    return f"{caption}\n\n{body}\n" if caption else f"{body}\n"


BENCHES = {
    "cqt": "constant-Q transform",
    "encode": "embedding, 5 s at a time",
    "data": "excerpts as they are read, one thread",
    "train": "training, pairs and noise included",
    "time to accuracy": "from a cold start to 60 % among 64",
}


def bench_markdown(measured: Iterable[Mapping]) -> str:
    """What ``phalar bench ... --json`` and ``phalar.study.time_to_accuracy`` print, as a table; of two, the last."""
    last = {each["benchmark"]: each for each in measured}
    rows = []
    for name, what in BENCHES.items():
        if name not in last:
            continue
        each = last[name]
        ours, theirs, ratio = each["ours"], each["reference"], each["ratio"]
        if theirs is None:  # given up before it got there
            theirs, ratio = f"not in {ours * each['at_least']:.0f}", f"more than {each['at_least']:.1f}"
        shown = [x if isinstance(x, str) else f"{float(f'{x:.3g}'):,g}" for x in (ours, theirs, ratio)]
        rows.append([what, each["unit"], *shown])
    return markdown_table(["", "unit", "ours", "reference", "ratio"], rows) if rows else NOT_RUN


class Measured(NamedTuple):
    """One row of `summarise`: shares 0..1, ``low`` and ``high`` NaN where no interval was measured."""

    dataset: str
    variant: str
    k: int
    value: float
    low: float
    high: float
    n: int | None
    seeds: int
    steps: int | None

    def __str__(self) -> str:
        """In per cent with the interval, for a sentence or a cell: ``"91.2 % [88.0, 93.9]"``."""
        value, bracket, interval = with_interval(self.value, self.low, self.high).partition(" [")
        return f"{value}{PER_CENT}{bracket}{interval}"

    def apart_from(self, other: "Measured") -> bool:
        """Whether the two intervals do not meet; False where one is missing."""
        return bool(self.low > other.high or other.low > self.high)


def retrieval_measured(records: pd.DataFrame) -> dict[tuple[str, str, int], Measured]:
    """This run's retrieval results on the test split by (dataset, variant, K)."""
    table = summarise(records, "retrieval", "top1")
    rows = (Measured(*row) for row in table.itertuples(index=False))
    return {(row.dataset, row.variant, row.k): row for row in rows}
