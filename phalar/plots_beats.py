"""Figures of zero-shot beat tracking: the similarity map, tempi found against tempi annotated, scores by genre. They
draw what they are given and compute nothing but medians."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from phalar.evaluate.beat_map import BeatMap
from phalar.plots import CHANCE, colour

FOUND, ANNOTATED = "#D55E00", "#009E73"
TRACKER_COLOURS = {"untrained": "#999999", "librosa": "#E69F00", "madmom": "#CC79A7", "beat this": "#56B4E9"}
TICKS = (60, 80, 100, 120, 160, 200)
RATIOS = {"half": 0.5, "two thirds": 2 / 3, "same": 1.0, "three halves": 1.5, "double": 2.0}


def tracker_colour(variant: str) -> str:
    """One colour a tracker, everywhere; PHALAR's own for its decoders."""
    return TRACKER_COLOURS.get(variant, colour(variant.split()[0]))


def similarity_map(
    beat_map: BeatMap,
    beats: np.ndarray,
    found: np.ndarray,
    title: str,
    path: tuple[np.ndarray, np.ndarray] | None = None,
    span: tuple[float, float] = (0.0, 12.0),
) -> Figure:
    """A map as a picture, tempo by time, and above it the beats annotated and found.

    Parameters
    ----------
    beat_map : BeatMap
        Best its contrast: each row without its mean.
    beats, found : np.ndarray, (beats,)
        Seconds.
    path : pair of arrays (beats,), optional
        Seconds and tempi of the path that was chosen.
    span : (float, float)
        Seconds shown.
    """
    figure, (top, axes) = plt.subplots(2, 1, sharex=True, figsize=(9.0, 3.9), height_ratios=[1, 7])
    shown = (beat_map.times >= span[0]) & (beat_map.times <= span[1])
    limit = np.quantile(np.abs(beat_map.values[:, shown]), 0.995)
    edges = np.append(beat_map.times[shown], beat_map.times[shown][-1] + beat_map.step) - beat_map.step / 2
    rows = np.log2(beat_map.tempi)
    borders = 2 ** np.concatenate([[rows[0]], (rows[1:] + rows[:-1]) / 2, [rows[-1]]])
    axes.pcolormesh(edges, borders, beat_map.values[:, shown], cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True)
    axes.set_yscale("log")
    tempo_axis(axes.yaxis, beat_map.tempi)
    axes.set(xlabel="seconds", ylabel="beats a minute", xlim=span)
    if path is not None:
        axes.plot(*path, "o-", color="black", markersize=3.5, linewidth=0.8, label="path")
        axes.legend(loc="upper right", fontsize=9, frameon=True)
    axes.grid(False)
    for height, times, shade in ((1, beats, ANNOTATED), (0, found, FOUND)):
        top.plot(times, np.full(len(times), height), "|", color=shade, markersize=9, markeredgewidth=1.8)
    top.set(yticks=[1, 0], ylim=(-0.7, 1.7), yticklabels=["annotated", "found"])
    top.set_title(title, fontsize=11, loc="left")
    top.grid(False)
    top.spines["bottom"].set_visible(False)
    top.tick_params(bottom=False)
    return figure


def tempo_axis(axis, tempi: Sequence[float] = (50.0, 220.0)) -> None:
    """Ticks at tempi that people know, on a logarithmic axis."""
    known = [tick for tick in TICKS if min(tempi) <= tick <= max(tempi)]
    axis.set_major_locator(FixedLocator(known))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:.0f}")


def tempo_errors(tempi: Mapping[str, np.ndarray], title: str = "") -> Figure:
    """Tempo found against tempo annotated, a panel a tracker: beside the diagonal are the octave errors.

    Parameters
    ----------
    tempi : mapping of tracker to array, (pieces, 2)
        Annotated and found, beats a minute; NaN where none was found.
    """
    figure, panels = plt.subplots(
        1, len(tempi), figsize=(0.8 + 2.7 * len(tempi), 3.2), sharex=True, sharey=True, squeeze=False
    )
    for axes, (tracker, pairs) in zip(panels[0], tempi.items(), strict=True):
        line = np.array([50.0, 220.0])
        for name, ratio in RATIOS.items():
            axes.plot(line, ratio * line, color=CHANCE, linewidth=1.6 if name == "same" else 0.7, zorder=0.5)
            y = ratio * line[-1] * 0.97
            if y < line[-1]:
                axes.text(line[-1], y, name, fontsize=7, color="#777777", ha="right", va="top")
        axes.plot(*np.asarray(pairs, dtype=float).T, "o", markersize=4.5, alpha=0.8, color=tracker_colour(tracker))
        axes.set(xscale="log", yscale="log", xlim=line, ylim=line, title=tracker, xlabel="annotated")
        tempo_axis(axes.xaxis)
        tempo_axis(axes.yaxis)
        axes.tick_params(axis="x", labelsize=8)
        axes.grid(False)
    panels[0, 0].set_ylabel("found (beats a minute)")
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def by_genre(table: pd.DataFrame, title: str = "") -> Figure:
    """F1 of each genre with 95 % intervals, a colour a tracker.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``genre, variant, value, ci_low, ci_high``, shares.
    """
    genres, variants = sorted(table["genre"].unique()), list(dict.fromkeys(table["variant"]))
    figure, axes = plt.subplots(figsize=(9.4, 3.5))
    for place, variant in enumerate(variants):
        rows = table[table["variant"] == variant].set_index("genre").reindex(genres)
        x = np.arange(len(genres)) + (place - (len(variants) - 1) / 2) * 0.8 / len(variants)
        value = 100 * rows["value"]
        bars = np.array([value - 100 * rows["ci_low"], 100 * rows["ci_high"] - value])
        axes.errorbar(x, value, yerr=bars.clip(0), fmt="o", capsize=2, color=tracker_colour(variant), label=variant)
    axes.set(ylabel="F1 (%)", ylim=(-3, 103), xticks=range(len(genres)), title=title)
    axes.set_xticklabels(genres)
    axes.grid(False, axis="x")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def drift(points: Mapping[str, np.ndarray]) -> Figure:
    """F1 of single pieces against how much their tempo drifts, a colour a tracker.

    Parameters
    ----------
    points : mapping of tracker to array, (pieces, 2)
        Drift (standard deviation of the beat's length, as a share of its mean) and F1.
    """
    figure, axes = plt.subplots(figsize=(7.4, 3.4))
    for tracker, pairs in points.items():
        x, y = 100 * np.asarray(pairs, dtype=float).T
        axes.plot(x, y, "o", markersize=5, alpha=0.75, color=tracker_colour(tracker), label=tracker)
    axes.set(xlabel="drift: spread of the beat's length (%)", ylabel="F1 (%)", ylim=(-3, 103))
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def shift_theorem(shifts: np.ndarray, embedded: np.ndarray, turned: np.ndarray, axes: Axes, title: str) -> None:
    """Similarity of one window to a metronome at shifts (N,) of a beat: embedded anew, and turned by the theorem."""
    axes.plot(shifts, embedded, "o-", markersize=4, color=colour("phalar"), label="embedded anew")
    axes.plot(shifts, turned, "s--", markersize=3.5, color=FOUND, label="turned")
    axes.axhline(0, color=CHANCE, linewidth=0.7)
    axes.set(xlabel="shift (beats)", title=title)
