"""Beats as tables and sentences, from records alone. Book page *Beats*."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from phalar.study.paper import lookup
from phalar.study.tables import (
    LABELS,
    NOT_RUN,
    STAND_INS,
    as_printed,
    canonical,
    dataset_label,
    markdown_table,
    percent,
    with_interval,
)

WAYS = {
    "": "our map and decoding",
    " as published": "as published",
    " published": "our map, published decoding",
    " one tempo": "our map, one tempo throughout",
    " network": "our map, madmom's DBN as decoder",
    " rotated": "our decoding, shifts by the shift theorem",
}
"""What follows a model's name in records, and what it means; in the table's order."""

OTHERS = {
    "untrained": "the same network untrained, our map and decoding",
    "librosa": "librosa (nothing learned)",
    "madmom": "madmom (taught on beats)",
    "beat this": "Beat This! (taught on beats)",
}
"""Who else is in the table."""

PARTS = ("straight", "expressive", "test")


def trackers(variants: Iterable[str]) -> dict[str, str]:
    """Of the variants of records, or PHALAR where there is no model among them, every row that the table may have."""
    variants = [name for name in variants if name not in OTHERS]
    models = [name for name in variants if not any(name.endswith(way) for way in WAYS if way)]
    named = {}
    for model in dict.fromkeys(models or ["phalar"]):
        for way, words in WAYS.items():
            named[model + way] = f"{LABELS.get(model, model)}, zero-shot, {words}"
    return named | OTHERS


def beats_markdown(records: pd.DataFrame, datasets: Iterable[str], parts: Iterable[str] = PARTS) -> str:
    """Every tracker's scores as Markdown, in per cent, with the paper's F1 beside the row it belongs to.

    Parameters
    ----------
    records : pandas.DataFrame
        :func:`phalar.study.results.read`.
    datasets, parts : iterable of str
        Which data sets and splits to show; rows that were not run are left out.
    """
    found = records[records["experiment"] == "beats"]
    rows, used, names = [], [], trackers(found["variant"].unique())
    for dataset in dict.fromkeys(canonical(name) for name in datasets):
        of_dataset = found[found["dataset"].map(canonical) == dataset]
        for part in parts:
            table = of_dataset[of_dataset["split"] == part].drop_duplicates(["variant", "metric"], keep="last")
            for name, label in names.items():
                metrics = table[table["variant"] == name].set_index("metric")
                as_claimed = (name, part) == ("phalar as published", "test")
                claimed = lookup("beats", dataset, "phalar", "f1") if as_claimed else None
                if metrics.empty and claimed is None:
                    continue
                used.append(dataset)
                cells = [NOT_RUN] * 7
                if not metrics.empty:
                    f1 = metrics.loc["f1"]
                    cells = [with_interval(f1["value"], f1["ci_low"], f1["ci_high"])]
                    cells += [
                        percent(metrics.loc[name, "value"]) for name in ("f1_trimmed", "cmlc", "cmlt", "amlc", "amlt")
                    ]
                    cells.append(str(int(f1["n"])))
                rows.append([dataset_label(dataset), part, label, as_printed(claimed), *cells])
    header = ["data", "part", "tracker", "paper F1", "F1 [95 %]", "F1 after 5 s", "CMLc", "CMLt", "AMLc", "AMLt", "n"]
    stand_ins = " ".join(
        f"*{name}* is a stand-in for {STAND_INS[name]}." for name in dict.fromkeys(used) if name in STAND_INS
    )
    caption = (
        "Beats, scores in %: F1 within 70 ms on all beats, with its 95 % bootstrap interval over pieces; then F1, "
        f"CMLc, CMLt, AMLc and AMLt without the first 5 s, as mir_eval has them. {stand_ins}"
    )
    return markdown_table(header, rows, caption=caption.strip())


def verdict(difference: tuple[float, float, float]) -> str:
    """What training adds to F1, as a sentence: the mean difference to the untrained network and its interval."""
    value, low, high = difference
    text = f"{percent(value)} points of F1 [{percent(low)}, {percent(high)}]"
    if low > 0:
        return f"Training adds {text}: the interval excludes zero."
    if high < 0:
        return f"Training takes away: {text}, and the interval excludes zero."
    return (
        f"Training makes a difference of {text}: the interval includes zero, so this run does not show that it helps."
    )


def tempo_of(beats: np.ndarray) -> float:
    """Beats a minute of the middle beat, by length; NaN where there are fewer than two."""
    return float(60 / np.median(np.diff(beats))) if len(beats) > 1 else float("nan")


def drift_of(beats: np.ndarray) -> float:
    """How much the length of a beat varies through a piece: its standard deviation as a share of its mean."""
    lengths = np.diff(beats)
    return float(lengths.std() / lengths.mean()) if len(lengths) else float("nan")
