"""Figures of the book, in one style. Functions draw what they are given and compute nothing."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

# One colour a variant, everywhere. Colour-blind safe (Okabe and Ito 2008).
COLOURS = {
    "reference": "#00436b",
    "phalar": "#0072B2",
    "gap": "#D55E00",
    "magnitude": "#E69F00",
    "cosine": "#009E73",
    "psd": "#CC79A7",
    "hermitian": "#56B4E9",
    "mel": "#7F7F7F",
    "cocola": "#000000",
}
CHANCE = "#999999"


def use_style() -> None:
    """Set the book's look for all figures that follow."""
    sns.set_theme(
        context="notebook",
        style="ticks",
        rc={
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 110,
            "savefig.dpi": 160,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e5e5e5",
            "legend.frameon": False,
            "figure.constrained_layout.use": True,
        },
    )


def colour(variant: str) -> str:
    return COLOURS.get(variant, "#444444")


def learning_curves(histories: Mapping[str, Sequence[Sequence[dict]]], candidates: int) -> Figure:
    """Validation accuracy against pairs seen, and training loss below it.

    Parameters
    ----------
    histories : mapping of variant to histories, one a seed
        Entries with ``pairs``, ``loss`` and, where it was measured, ``valid``.
    candidates : int
        K of the validation accuracy; chance is 1 / K.
    """
    figure, (top, bottom) = plt.subplots(1, 2, figsize=(9.0, 3.4))
    for variant, runs in histories.items():
        for i, history in enumerate(runs):
            label = variant if i == 0 else None
            measured = [e for e in history if "valid" in e]
            top.plot(
                [e["pairs"] for e in measured],
                [100 * e["valid"] for e in measured],
                marker="o",
                markersize=4,
                color=colour(variant),
                label=label,
            )
            loss = np.array([e["loss"] for e in history])
            width = max(1, len(loss) // 40)
            smooth = np.convolve(loss, np.ones(width) / width, mode="valid")
            bottom.plot([e["pairs"] for e in history][width - 1 :], smooth, color=colour(variant), label=label)
    top.axhline(100 / candidates, color=CHANCE, linestyle=":", label="chance")
    top.set(xlabel="training pairs seen", ylabel=f"validation top-1 among {candidates} (%)", ylim=(0, 100))
    bottom.set(xlabel="training pairs seen", ylabel="training loss")
    top.legend()
    return figure


def accuracy_by_k(
    results: Mapping[str, Mapping[str, Sequence]], paper: Mapping[str, Mapping[str, Mapping[int, float]]] | None = None
) -> Figure:
    """Top-1 accuracy against K with 95 % intervals, chance, and the paper's numbers as open diamonds.

    Parameters
    ----------
    results : mapping of corpus to mapping of variant to results with ``k``, ``accuracy``, ``low``, ``high``
        One panel a corpus.
    paper : mapping of corpus to mapping of variant to mapping of K to share, optional
    """
    figure, panels = plt.subplots(1, len(results), figsize=(1.6 + 3.1 * len(results), 3.4), sharey=True, squeeze=False)
    for axes, (corpus, by_variant) in zip(panels[0], results.items(), strict=True):
        for variant, rows in by_variant.items():
            middle = np.array([100 * r.accuracy for r in rows])
            bars = np.array([[100 * (r.accuracy - r.low), 100 * (r.high - r.accuracy)] for r in rows]).T
            ks = [r.k for r in rows]
            axes.errorbar(ks, middle, yerr=bars, marker="o", capsize=3, color=colour(variant), label=f"{variant}, here")
        for variant, points in (paper or {}).get(corpus, {}).items():
            x, y = list(points), [100 * share for share in points.values()]
            style = {"marker": "D", "markerfacecolor": "none", "linestyle": "none"}
            axes.plot(x, y, color=colour(variant), label=f"{variant}, paper", **style)
        ks = sorted({r.k for rows in by_variant.values() for r in rows})
        axes.plot(ks, [100 / k for k in ks], linestyle=":", color=CHANCE, label="chance")
        axes.set_xscale("log", base=2)
        axes.set(title=corpus, xlabel="candidates K", ylim=(0, 102), xticks=ks, xticklabels=ks)
        axes.minorticks_off()
    panels[0, 0].set_ylabel("top-1 accuracy (%)")
    entries = {name: line for axes in panels[0] for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    panels[0, -1].legend(entries.values(), entries.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def similarity_matrices(scores: Mapping[str, np.ndarray], shown: int = 32) -> Figure:
    """Scores of the first anchors against the first positives, one picture a variant, each on its own scale."""
    figure, axes = plt.subplots(1, len(scores), figsize=(4.4 * len(scores), 3.9), squeeze=False)
    for panel, (variant, matrix) in zip(axes[0], scores.items(), strict=True):
        part = matrix[:shown, :shown]
        limit = np.abs(part).max()
        picture = panel.imshow(part, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
        panel.set(title=variant, xlabel="positive of track", ylabel="anchor of track")
        panel.grid(False)
        figure.colorbar(picture, ax=panel, label="score", shrink=0.85)
    return figure
