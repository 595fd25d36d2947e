"""Figures of retrieval and its ablations. They draw what they are given; shares from 0 to 1 are shown in per cent, and
differences of shares in points."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from phalar.evaluate.breakdown import FAMILIES
from phalar.evaluate.statistics import spread
from phalar.plots import CHANCE, COLOURS, colour

CORPUS_STYLES = {"chorales": ("#0072B2", "o"), "band": ("#D55E00", "s"), "studio": ("#009E73", "^")}
"""Colour and marker of the stand-ins."""

_OTHER_STYLES = [("#CC79A7", "v"), ("#E69F00", "P"), ("#56B4E9", "X"), ("#000000", "d")]
ROW = 0.34
"""Inches a row of a chart with names down its side."""


def _styles(corpora: Sequence[str]) -> dict[str, tuple[str, str]]:
    others = cycle(_OTHER_STYLES)
    return {name: CORPUS_STYLES.get(name) or next(others) for name in corpora}


def ablation_forest(drops: pd.DataFrame, paper: Mapping[str, float] | None = None) -> Figure:
    """What each variant loses against the full model, with 95 % intervals, and what it loses in the paper.

    Parameters
    ----------
    drops : pandas.DataFrame
        A row a variant and corpus: ``group`` (a heading), ``variant``, ``corpus``, ``drop``, ``low``, ``high``: shares,
        positive where the full model is better; the last two NaN where no interval was measured. Groups and variants
        stay in the order of their first rows; a corpus has one colour throughout.
    paper : mapping of variant to float, optional
        Drops of the paper as shares, an open diamond each.
    """
    corpora = list(dict.fromkeys(drops["corpus"]))
    styles, paper = _styles(corpora), paper or {}
    height, labels, places = 0.0, [], []
    figure, axes = plt.subplots()
    for group, rows in drops.groupby("group", sort=False):
        height -= 0.2
        axes.text(
            -0.01, height, group, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold", size=10
        )
        for variant, found in rows.groupby("variant", sort=False):
            height -= 1
            labels.append(variant)
            places.append(height)
            for row in found.itertuples():
                dye, marker = styles[row.corpus]
                # Corpora side by side within the row, so that their intervals do not hide each other.
                y = height + 0.5 * ((len(corpora) - 1) / 2 - corpora.index(row.corpus)) / len(corpora)
                if np.isfinite([row.low, row.high]).all():
                    axes.plot([100 * row.low, 100 * row.high], [y, y], color=dye, linewidth=1.6, solid_capstyle="butt")
                axes.plot(100 * row.drop, y, marker, color=dye, markersize=5)
            if variant in paper:
                axes.plot(
                    100 * paper[variant], height, "D", color="#222222", markerfacecolor="none", markersize=8, zorder=1
                )
        height -= 1
    axes.axvline(0, color=CHANCE, linewidth=1.2, zorder=0.5)
    axes.set(yticks=places, xlabel="drop from the full model (points of top-1 accuracy)", ylim=(height + 0.3, 0.4))
    axes.set_yticklabels(labels, fontsize=10)
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    for place in places[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color="#f5f5f5", zorder=0)
    handles = [Line2D([], [], color=dye, marker=marker, label=name) for name, (dye, marker) in styles.items()]
    if set(paper) & set(labels):
        handles.append(
            Line2D([], [], color="#222222", marker="D", markerfacecolor="none", linestyle="none", label="paper")
        )
    figure.set_size_inches(8.2, 1.1 + ROW * -height)
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=10)
    return figure


def accuracy_by_family(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy by what plays in the anchor and in the positive, a matrix a model, on one scale, with counts of tracks.

    Parameters
    ----------
    tables : mapping of title to pandas.DataFrame
        :func:`phalar.evaluate.breakdown.by_family`. A family that is in none of them has no row and no column.
    """
    seen = {name for table in tables.values() for name in (*table["anchor"], *table["positive"])}
    names = [name for name in FAMILIES if name in seen]
    if not names:
        names = list(FAMILIES)
    side = 0.62 * len(names) + 0.6
    figure, panels = plt.subplots(
        1, len(tables), figsize=(1.6 + side * len(tables), 1.2 + side), sharey=True, squeeze=False
    )
    for axes, (title, table) in zip(panels[0], tables.items(), strict=True):
        grid = np.full((len(names), len(names)), np.nan)
        for row in table.itertuples():
            at = names.index(row.anchor), names.index(row.positive)
            grid[at] = 100 * row.accuracy
            shade = "white" if grid[at] < 60 else "black"
            axes.text(at[1], at[0] - 0.12, f"{grid[at]:.0f}", ha="center", va="center", color=shade, size=10)
            axes.text(at[1], at[0] + 0.27, f"{row.tracks}", ha="center", va="center", color=shade, size=7)
        picture = axes.imshow(grid, cmap="viridis", vmin=0, vmax=100)
        axes.set(title=title, xlabel="positive holds", xticks=range(len(names)), yticks=range(len(names)))
        axes.set_xticklabels(names, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticklabels(names)
        axes.grid(False)
    panels[0, 0].set_ylabel("anchor holds")
    figure.colorbar(picture, ax=panels[0], label="top-1 accuracy (%)", shrink=0.8)
    return figure


def accuracy_by_stems(tables: Mapping[str, Mapping[str, pd.DataFrame]], k: int) -> Figure:
    """Accuracy against the number of stems in the anchor (left) and in the positive (right), with 95 % intervals.

    Parameters
    ----------
    tables : mapping of variant to mapping of "anchor" and "positive" to pandas.DataFrame
        :func:`phalar.evaluate.breakdown.by_stems`.
    k : int
        Candidates; chance is 1 / k.
    """
    figure, panels = plt.subplots(1, 2, figsize=(9.0, 3.6), sharey=True)
    shifts = np.linspace(-0.15, 0.15, len(tables)) if len(tables) > 1 else [0.0]
    for axes, side in zip(panels, ("anchor", "positive"), strict=True):
        for shift, (variant, sides) in zip(shifts, tables.items(), strict=True):
            table = sides[side]
            stems = table["stems"].to_numpy() + shift
            middle, low, high = (100 * table[name].to_numpy() for name in ("accuracy", "low", "high"))
            bars = np.stack([middle - low, high - middle])
            dye = colour(variant)
            axes.plot(stems, middle, "-", color=dye, linewidth=1, alpha=0.5)
            axes.errorbar(stems, middle, yerr=bars, fmt="o", capsize=3, color=dye, label=variant)
        axes.axhline(100 / k, color=CHANCE, linestyle=":", label="chance")
        axes.set(xlabel=f"stems in the {side}", ylim=(0, 102))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel(f"top-1 among {k} (%)")
    panels[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def validation_curves(histories: Mapping[str, Sequence[Sequence[dict]]], candidates: int) -> Figure:
    """Validation accuracy against training pairs seen, of many variants; the legend is in the order of their ends.

    Parameters
    ----------
    histories : mapping of variant to histories, one a seed
        Entries with ``pairs`` and, where it was measured, ``valid``. Seeds are thin lines about their mean, which is
        taken where all of them were measured. A variant that was never measured is left out.
    candidates : int
        K of the validation accuracy; chance is 1 / K.
    """
    figure, axes = plt.subplots(figsize=(9.0, 4.4))
    # Beyond the colours that a variant has throughout the book, colours and dashes that tell the others apart.
    spare = cycle((dye, dash) for dash in ("--", "-.", ":") for dye in sns.color_palette("dark", 8))
    ends = []
    for variant, runs in histories.items():
        curves = [{e["pairs"]: 100 * e["valid"] for e in run if "valid" in e} for run in runs]
        common = sorted(set.intersection(*map(set, curves))) if curves else []
        if not common:
            continue
        dye, dash = (COLOURS[variant], "-") if variant in COLOURS else next(spare)
        mean = [np.mean([curve[pairs] for curve in curves]) for pairs in common]
        for curve in curves if len(curves) > 1 else []:
            axes.plot(list(curve), list(curve.values()), dash, color=dye, linewidth=0.6, alpha=0.45)
        width = 2.8 if variant == "phalar" else 1.6
        (line,) = axes.plot(common, mean, dash, color=dye, linewidth=width, label=variant, zorder=3 if width > 2 else 2)
        axes.plot(common[-1], mean[-1], "o", color=dye, markersize=4)
        ends.append((mean[-1], line))
    chance = axes.axhline(100 / candidates, color=CHANCE, linestyle=":", label="chance")
    axes.set(
        xlabel="training pairs seen", ylabel=f"validation top-1 among {candidates} (%)", ylim=(0, 102), xlim=(0, None)
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    order = [line for _, line in sorted(ends, key=lambda end: -end[0])]
    handles = [*order, chance]
    axes.legend(
        handles=handles,
        labels=[*(f"{line.get_label()}  {line.get_ydata()[-1]:.0f}" for line in order), "chance"],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        fontsize=9 if len(handles) <= 14 else 7.5,
    )
    return figure


def seed_spread(values: Mapping[str, np.ndarray], k: int, title: str = "") -> Figure:
    """The luck of training beside that of the test tracks: a dot a seed, a bar for the interval over tracks.

    Parameters
    ----------
    values : mapping of variant to array (seeds, tracks)
        Accuracy of every training run on every test track. The bar reaches half a mean 95 % interval to each side of
        the seeds' mean, which is the line across it.
    k : int
        Candidates.
    title : str
    """
    figure, axes = plt.subplots(figsize=(8.0, 1.4 + ROW * 1.25 * len(values)))
    for y, (variant, by_seed) in enumerate(values.items()):
        found, means = spread(by_seed), 100 * np.asarray(by_seed).mean(axis=1)
        dye = colour(variant)
        axes.barh(
            y, 200 * found.half_width, left=100 * (found.mean - found.half_width), height=0.56, color=dye, alpha=0.18
        )
        axes.plot([100 * found.mean] * 2, [y - 0.28, y + 0.28], color=dye, linewidth=2)
        # Seeds of the same accuracy side by side.
        heights = y + (np.linspace(-0.16, 0.16, len(means)) if len(means) > 1 else np.zeros(1))
        axes.plot(means, heights, "o", color=dye, markersize=5, markeredgecolor="white", markeredgewidth=0.6)
    axes.axvline(100 / k, color=CHANCE, linestyle=":", label="chance")
    axes.set(yticks=range(len(values)), xlabel=f"top-1 among {k} (%)", ylim=(len(values) - 0.4, -0.6), title=title)
    axes.set_yticklabels(values)
    axes.grid(False, axis="y")
    _key(axes)
    return figure


def _key(axes: Axes) -> None:
    handles = [
        Line2D([], [], color="#444444", marker="o", linestyle="none", label="one training run"),
        plt.Rectangle((0, 0), 1, 1, color="#444444", alpha=0.18, label="95 % over tracks"),
        Line2D([], [], color=CHANCE, linestyle=":", label="chance"),
    ]
    axes.figure.legend(handles=handles, loc="outside upper right", ncols=3, fontsize=9)
