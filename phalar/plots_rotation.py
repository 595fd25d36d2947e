"""Figures of the rotation study: ways through the complex plane, what turns how fast, and the score against the shift.

They draw what they are given and compute nothing.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phalar.plots import CHANCE, COLOURS

REAL, COMPLEX = "#5b7aa8", "#d9822b"
"""The book's colours of real and of complex numbers."""

MODEL_COLOURS = COLOURS | {"trained": COMPLEX, "untrained": CHANCE, "pooled": REAL, "embedding": COMPLEX}


def sines_and_phasors(time: np.ndarray, waves: Mapping[str, np.ndarray], phasors: Mapping[str, complex]) -> Figure:
    """One sine wave in several places, a panel each, and the complex number that its transform gives.

    Parameters
    ----------
    time : array (N,)
    waves : mapping of label to array (N,)
    phasors : mapping of the same labels to numbers of modulus 1 at most
    """
    figure, panels = plt.subplots(2, len(waves), figsize=(2.3 * len(waves), 3.6), height_ratios=[1, 1.5])
    for column, (label, wave) in enumerate(waves.items()):
        top, plane = panels[:, column]
        top.plot(time, wave, color=REAL)
        top.set_title(label, fontsize=10)
        top.set(xticks=[time[0], time[-1]], xticklabels=["0", "P"], yticks=[])
        _plane(plane)
        plane.annotate(
            "",
            (phasors[label].real, phasors[label].imag),
            (0, 0),
            arrowprops={"arrowstyle": "-|>", "color": COMPLEX, "linewidth": 2, "shrinkA": 0, "shrinkB": 0},
        )
    return figure


def ways(trajectories: Mapping[str, np.ndarray], seconds: np.ndarray, columns: int = 4) -> Figure:
    """Small multiples: each feature's way through the complex plane, its colour the shift, a ring where it starts.

    Parameters
    ----------
    trajectories : mapping of label to array (J,) complex
    seconds : array (J,)
    """
    rows = -(-len(trajectories) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(2.25 * columns, 2.45 * rows + 0.4), squeeze=False)
    points = None
    for panel in panels.flat[len(trajectories) :]:
        panel.axis("off")
    for panel, (label, z) in zip(panels.flat, trajectories.items(), strict=False):
        z = z / max(np.abs(z).max(), 1e-12)
        _plane(panel)
        panel.plot(z.real, z.imag, color="#bbbbbb", linewidth=0.9, zorder=1)
        points = panel.scatter(z.real, z.imag, c=seconds, cmap="viridis", s=14, zorder=2)
        panel.plot(z[0].real, z[0].imag, marker="o", markersize=8, markerfacecolor="none", color=COMPLEX, zorder=3)
        panel.set_title(label, fontsize=9)
    if points is not None:
        figure.colorbar(points, ax=panels, label="shift (s)", shrink=0.7, aspect=30)
    return figure


def turning_speeds(power: Mapping[str, np.ndarray], frequency: np.ndarray, step: float) -> Figure:
    """How fast components turn while a loop is delayed, a panel a model.

    Parameters
    ----------
    power : mapping of label to array (C, speeds)
        Share of each component's power that turns at each speed; rows add up to one.
    frequency : array (speeds,), Hz
        Positive is the way a delay turns.
    step : float
        Seconds between outputs of the backbone: the dashed lines are its half rates.
    """
    figure, panels = plt.subplots(len(power), 1, figsize=(8.4, 1.1 + 1.75 * len(power)), sharex=True, squeeze=False)
    edges = (frequency[1] - frequency[0]) / 2
    for panel, (label, rows) in zip(panels[:, 0], power.items(), strict=True):
        picture = panel.imshow(
            rows,
            origin="lower",
            aspect="auto",
            cmap="magma_r",
            vmin=0,
            vmax=1,
            extent=(frequency[0] - edges, frequency[-1] + edges, 0.5, len(rows) + 0.5),
            interpolation="nearest",
        )
        for n in (-3, -1, 1, 3):
            panel.axvline(n / (2 * step), color=REAL, linestyle="--", linewidth=1)
        panel.set(ylabel="component", yticks=range(1, len(rows) + 1))
        panel.set_title(label, fontsize=10, loc="left")
        panel.grid(False)
    panels[-1, 0].set_xlim(-2.5 / step, 2.5 / step)
    panels[-1, 0].set_xlabel("turns a second of delay (positive: as the shift theorem says)")
    figure.colorbar(picture, ax=panels, label="share of power", shrink=0.8)
    return figure


def linearity(curves: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]], step: float) -> Figure:
    """What the analytic twin explains against the shift, a panel a model; dots of a curve are whole steps.

    Parameters
    ----------
    curves : mapping of model to mapping of label to (seconds (J,), explained (J,))
    step : float
        Seconds between outputs of the backbone.
    """
    figure, panels = plt.subplots(1, len(curves), figsize=(4.6 * len(curves), 3.5), sharey=True, squeeze=False)
    colours = {"loop, no borders": "#009E73", "loop": COMPLEX, "real": REAL}
    for panel, (model, lines) in zip(panels[0], curves.items(), strict=True):
        for label, (seconds, share) in lines.items():
            colour = colours.get(label, "#444444")
            whole = np.isclose(seconds / step, np.round(seconds / step), atol=1e-3)
            panel.plot(seconds, share, color=colour, linewidth=0.8, alpha=0.6)
            panel.plot(seconds[whole], share[whole], "o", markersize=4, color=colour, label=label)
        panel.axhline(0, color=CHANCE, linewidth=0.8)
        panel.set_title(model, fontsize=10)
        panel.set(xlabel="shift (s)", ylim=(-3.3, 1.15))
    panels[0, 0].set_ylabel("share of power explained (R²)")
    entries = {name: line for panel in panels[0] for line, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    panels[0, -1].legend(
        entries.values(), entries.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5), title="whole steps"
    )
    return figure


def shares(table: Mapping[str, Mapping[str, float]], kinds: Sequence[str]) -> Figure:
    """Stacked bars: how features divide into kinds, a bar a row of the table, all shares in 0..1."""
    figure, axes = plt.subplots(figsize=(7.4, 0.9 + 0.42 * len(table)))
    colours = (COMPLEX, REAL, "#dddddd")
    left = np.zeros(len(table))
    for kind, colour in zip(kinds, colours, strict=True):
        widths = np.array([100 * row[kind] for row in table.values()])
        axes.barh(list(table), widths, left=left, color=colour, label=kind, height=0.7)
        left += widths
    axes.invert_yaxis()
    axes.grid(False)
    axes.set(xlabel="share of features (%)", xlim=(0, 100))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(kinds))
    return figure


def intervals(
    points: Mapping[str, Mapping[str, tuple[float, float, float]]], xlabel: str, ylabel: str = "rotating (%)"
) -> Figure:
    """Shares with 95 % intervals, side by side for each model.

    Parameters
    ----------
    points : mapping of model to mapping of place to (value, low, high), all 0..1
    """
    places = list(dict.fromkeys(place for rows in points.values() for place in rows))
    figure, axes = plt.subplots(figsize=(max(5.0, 0.75 * len(places) + 1.6), 3.2))
    for i, (model, rows) in enumerate(points.items()):
        x = [places.index(place) + 0.16 * (i - (len(points) - 1) / 2) for place in rows]
        middle, low, high = 100 * np.array(list(rows.values())).T
        colour = MODEL_COLOURS.get(model, "#444444")
        axes.errorbar(x, middle, yerr=[middle - low, high - middle], fmt="o", capsize=3, color=colour, label=model)
    axes.set(ylabel=ylabel, xlabel=xlabel, xticks=range(len(places)), xlim=(-0.5, len(places) - 0.5))
    axes.set_xticklabels(places, rotation=0 if max(map(len, places)) < 4 else 35, ha="center")
    axes.set_ylim(bottom=0)
    axes.legend()
    return figure


def coherence(curves: Sequence[tuple[str, np.ndarray, int, Mapping[str, np.ndarray]]]) -> Figure:
    """Score against shift, a panel a piece, a line a model, each on its own scale; lines mark beats, bold ones bars.

    Parameters
    ----------
    curves : sequence of (title, beats (J,), beats in a bar, mapping of model to scores (J,))
    """
    figure, panels = plt.subplots(len(curves), 1, figsize=(8.4, 0.7 + 1.9 * len(curves)), squeeze=False)
    for panel, (title, beats, bar, lines) in zip(panels[:, 0], curves, strict=True):
        for beat in range(round(beats[-1]) + 1):
            panel.axvline(beat, color="#bbbbbb", linewidth=1.6 if beat % bar == 0 else 0.6, zorder=0)
        for model, scores in lines.items():
            spread = max(scores.std(), 1e-12)
            panel.plot(beats, (scores - scores.mean()) / spread, color=MODEL_COLOURS.get(model), label=model)
        panel.set_title(title, fontsize=10, loc="left")
        panel.set(xlim=(beats[0], beats[-1]), yticks=[])
        panel.grid(False)
    panels[-1, 0].set_xlabel("beats late")
    figure.supylabel("score, in units of its spread", fontsize=11)
    panels[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5)
    return figure


def _plane(axes: Axes) -> None:
    axes.add_patch(plt.Circle((0, 0), 1, fill=False, color="#cccccc", linewidth=0.8))
    axes.axhline(0, color="#e5e5e5", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#e5e5e5", linewidth=0.8, zorder=0)
    axes.set(xlim=(-1.12, 1.12), ylim=(-1.12, 1.12), xticks=[], yticks=[], aspect="equal")
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
