"""Every variant against the full model on the same pairs, as records and as the ablation table.

Differences are taken track by track, p values are corrected for being many (Holm) over all comparisons of a table at
once. Book notebook *Ablations*.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from phalar.evaluate.statistics import Comparison, compare, holm, relative_gain
from phalar.study.paper import index
from phalar.study.results import Record, provenance
from phalar.study.tables import (
    NOT_GIVEN,
    NOT_RUN,
    PER_CENT,
    STAND_INS,
    dataset_label,
    markdown_table,
    percent,
    summarise,
    with_interval,
)

DIFFERENCE, P_VALUE, GAIN = "top1_minus_phalar", "p_value", "relative_gain"

Key = tuple[str, str, int]  # (variant or cell, data set, K)


@dataclass(frozen=True)
class Compared:
    """A row of the ablation table on one data set: its own accuracy is elsewhere, this is its distance to PHALAR."""

    variant: str
    dataset: str
    k: int
    difference: Comparison  # variant minus PHALAR
    p: float  # corrected
    seeds: int
    gain: tuple[float, float, float]  # by what share PHALAR exceeds it, with the interval; NaN where it has nothing


def against_full(by_track: Mapping[Key, np.ndarray], full: str = "phalar") -> list[Compared]:
    """Compare everything with the full model on the same data set and K.

    Parameters
    ----------
    by_track : mapping of (variant, data set, K) to array (seeds, tracks)
        Accuracy of each track's anchors, the mean over draws.
    full : str
        Whom the others are compared with; what it was not tested on is left out.
    """
    pairs = []
    for key, values in by_track.items():
        whole = by_track.get((full, *key[1:]))
        if key[0] != full and whole is not None:
            gain = relative_gain(whole, values) if values.mean() > 0 else (math.nan,) * 3
            pairs.append((key, compare(values, whole), len(values), gain))
    corrected = holm([found.p for _, found, _, _ in pairs]) if pairs else []
    return [
        Compared(*key, found, float(p), seeds, gain)
        for (key, found, seeds, gain), p in zip(pairs, corrected, strict=True)
    ]


def comparison_records(compared: Sequence[Compared], experiment: str, **about: object) -> list[Record]:
    """Records of each comparison: the difference as a share of 1, its corrected p value, and PHALAR's relative gain
    where all of that is a number."""
    records = []
    for each in compared:
        shared = {
            "experiment": experiment,
            "dataset": each.dataset,
            "split": "test",
            "variant": each.variant,
            "k": each.k,
            "n": each.difference.tracks,
            **provenance("cpu"),
            **about,
        }
        ends = {"ci_low": each.difference.low, "ci_high": each.difference.high}
        records.append(Record(metric=DIFFERENCE, value=each.difference.difference, **ends, **shared))
        records.append(Record(metric=P_VALUE, value=each.p, **shared))
        if np.isfinite(each.gain).all():
            gain, low, high = each.gain
            records.append(Record(metric=GAIN, value=gain, ci_low=low, ci_high=high, **shared))
    return records


def ablation_markdown(
    rows: Sequence[tuple[str, str]],
    accuracies: Mapping[Key, tuple[float, float, float]],
    compared: Sequence[Compared],
    paper: pd.DataFrame,
    k_of: Mapping[str, int],
) -> str:
    """The ablation table: what changes | the paper's accuracy and drop | ours on each data set, with the difference.

    Parameters
    ----------
    rows : sequence of (str, str)
        Name of a cell, and what changes in words.
    accuracies : mapping of (cell, data set, K) to (value, low, high)
        Shares of 1.
    compared : sequence of Compared
    paper : DataFrame
        The paper's numbers.
    k_of : mapping of data set to K
        The K shown for each data set.
    """
    claims, found = index(paper), {(each.variant, each.dataset, each.k): each for each in compared}
    whole = claims.get(("ablations", "moisesdb", "phalar", "top1", 64))
    lines = []
    for name, text in rows:
        claimed = claims.get(("ablations", "moisesdb", name, "top1", 64))
        cells = [f"`{name}`: {text}", NOT_GIVEN if claimed is None else _claimed(claimed, whole)]
        for dataset, k in k_of.items():
            key = (name, dataset, k)
            value = with_interval(*accuracies[key]) if key in accuracies else NOT_RUN
            cells.append(value + (f"; {difference_text(found[key])}" if key in found else ""))
        lines.append(cells)
    used = [name for name in k_of if name in STAND_INS]
    caption = (
        "Ablations: top-1 accuracy in % [95 % interval over test tracks]; then the difference to the full model in "
        "points [95 %], taken track by track on the same pairs, and its p value (sign flips over tracks, corrected by "
        "Holm for all comparisons of this table). The paper's column: MoisesDB, K = 64. "
        + " ".join(f"*{name}* is a stand-in for {STAND_INS[name]}, K = {k_of[name]}." for name in used)
    )
    return markdown_table(["what changes", "paper", *map(dataset_label, k_of)], lines, caption=caption)


def recipes_markdown(records: pd.DataFrame, own: str, k: int = 64) -> str:
    """What presets make of the same model and pairs: accuracy, and the difference to the study's own preset.

    Parameters
    ----------
    records : DataFrame
        Of an *Ablations* run with ``recipe-*`` cells, several seeds each.
    own : str
        The preset of that run's PHALAR.
    """
    found = summarise(records, "ablations", "top1")
    found = found[(found["k"] == k) & found["variant"].str.match("phalar$|recipe-")]
    if found.empty:
        return NOT_RUN
    of_k = records[records["k"] == k].set_index(["variant", "dataset", "metric"])
    rows = []
    for variant, of_variant in found.groupby("variant", sort=False):
        name, cells = own if variant == "phalar" else variant.removeprefix("recipe-"), []
        for row in of_variant.itertuples():
            value = with_interval(row.value, row.low, row.high)
            if variant != "phalar":
                apart, p = (of_k.loc[(variant, row.dataset, metric)] for metric in (DIFFERENCE, P_VALUE))
                ends = (apart["value"], apart["ci_low"], apart["ci_high"])
                value += f"; {_signed(*ends)}, {p_text(p['value'])}"
            cells.append(value)
        rows.append([f"`{name}`", str(of_variant["seeds"].iloc[0]), *cells])
    corpora = list(dict.fromkeys(found["dataset"]))
    caption = (
        f"Presets: top-1 among {k} in %, the mean of the seeds [from the lowest to the highest end of their 95 % "
        f"intervals over test tracks] after {int(found['steps'].iloc[0])} steps; then the difference to `{own}` in "
        "points [95 %] on the same pairs, and its corrected p value. "
        + " ".join(f"*{c}* stands in for {STAND_INS[c]}." for c in corpora)
    )
    return markdown_table(["preset", "seeds", *corpora], rows, caption=caption, name="presets-table")


def _claimed(claimed: float, whole: float | None) -> str:
    drop = None if whole is None or claimed == whole else whole - claimed
    return percent(claimed) + ("" if drop is None else f" (−{percent(drop)})")


def difference_text(each: Compared, reverse: bool = False) -> str:
    """``"−12.3 [−15.0, −9.8], p < 0.001"``, in points: the variant minus PHALAR, or the other way round."""
    d = each.difference
    points = (-d.difference, -d.high, -d.low) if reverse else (d.difference, d.low, d.high)
    return f"{_signed(*points)}, {p_text(each.p)}"


def gain_of_full(each: Compared) -> str:
    """By what share PHALAR exceeds a variant, as the paper states it: ``"+69.2 [+60.1, +78.9] %"``."""
    return "–" if np.isnan(each.gain[0]) else f"{_signed(*each.gain)}{PER_CENT}"


def _signed(value: float, low: float, high: float) -> str:
    value, low, high = (f"{100 * share:+.1f}".replace("-", "−").replace("inf", "∞") for share in (value, low, high))
    return f"{value} [{low}, {high}]"


def p_text(p: float) -> str:
    """A p value as a sentence has it."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def drops(rows: Sequence[tuple[str, str]], compared: Sequence[Compared], k_of: Mapping[str, int]) -> pd.DataFrame:
    """What `phalar.plots_retrieval.ablation_forest` draws: a row a cell, given as (name, group), and data set."""
    found = {(each.variant, each.dataset, each.k): each.difference for each in compared}
    lines = [
        {"group": group, "variant": name, "corpus": dataset, "drop": -d.difference, "low": -d.high, "high": -d.low}
        for name, group in rows
        for dataset, k in k_of.items()
        if (d := found.get((name, dataset, k)))
    ]
    return pd.DataFrame(lines, columns=["group", "variant", "corpus", "drop", "low", "high"])


def paper_drops(paper: pd.DataFrame) -> dict[str, float]:
    """The paper's drops against its full model (MoisesDB, K = 64), as shares of 1."""
    claims = index(paper)
    whole = claims["ablations", "moisesdb", "phalar", "top1", 64]
    return {
        variant: whole - value
        for (experiment, _, variant, metric, _), value in claims.items()
        if experiment == "ablations" and metric == "top1" and variant != "phalar"
    }
