"""Figures of the corpora: what a passage looks like, and how pieces are distributed. They draw what they are given and
compute nothing but histograms."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator, NullLocator

from phalar.corpora.leadsheet import PITCH_CLASSES
from phalar.study.portrait import Passage

LOWEST = 12
"""MIDI key of the picture's lowest row, C0."""

SHOWN = 0.6
"""Of the picture's range of 1 (80 dB), from the loudest down: what is below is black."""

CORPUS_COLOUR = "#0072B2"

MODES = {"major": "#0072B2", "mixolydian": "#56B4E9", "minor": "#D55E00", "dorian": "#E69F00"}
"""Colours of the modes: blue where the third is major, orange where it is minor."""


def roll_and_picture(passage: Passage) -> Figure:
    """A passage as notes and, below it on the same axes of time and pitch, as the model sees the mix.

    Each stem has its colour. Drums are on lines of their own beneath the roll, since their keys are no pitches.
    Vertical lines are beats, the strong ones downbeats; names above are chords. A corpus that keeps no notes has the
    picture alone. Shown in ``notebooks/corpora.ipynb``.
    """
    drums = [i for i, is_drum in enumerate(passage.drums) if is_drum]
    heights = {"roll": 3.0, "drums": 0.16 * len(drums) + 0.15, "picture": 2.6}
    shown = [name for name in heights if (name == "picture" or passage.notes) and (name != "drums" or drums)]
    figure, panels = plt.subplots(
        len(shown),
        1,
        sharex=True,
        squeeze=False,
        figsize=(9.4, 0.7 + sum(heights[name] for name in shown)),
        height_ratios=[heights[name] for name in shown],
    )
    axes = dict(zip(shown, panels[:, 0], strict=True))
    if passage.notes:
        colours = sns.color_palette("colorblind", 10) + sns.color_palette("dark", 10)
        _roll(axes["roll"], passage, colours)
        if drums:
            _drums(axes["drums"], passage, drums)
    axes["picture"].imshow(
        passage.picture,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=passage.picture.max() - SHOWN,
        extent=(0, passage.seconds, LOWEST - 0.5, LOWEST + len(passage.picture) - 0.5),
        interpolation="nearest",
    )
    axes["picture"].grid(False)
    axes["picture"].set(xlabel="seconds", xlim=(0, passage.seconds), ylim=_range(passage))
    for name in shown:
        _mark_beats(axes[name], passage.beats, "white" if name == "picture" else "#555555")
        if name != "drums":
            _octaves(axes[name], "CQT of the mix" if name == "picture" else "notes")
    _mark_chords(panels[0, 0], passage.chords)
    panels[0, 0].set_title(passage.title, fontsize=11, loc="left", pad=18 if passage.chords else 6)
    return figure


def _roll(axes: Axes, passage: Passage, colours: Sequence) -> None:
    for i, (stem, notes) in enumerate(zip(passage.stems, passage.notes, strict=True)):
        if passage.drums[i] or not len(notes):
            continue
        lines = [[(onset, pitch), (onset + duration, pitch)] for onset, duration, pitch in notes]
        axes.add_collection(LineCollection(lines, colors=[colours[i]], linewidths=3.2, capstyle="butt", label=stem))
    axes.set_ylim(_range(passage))
    if axes.collections:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9, handlelength=1.2)


def _drums(axes: Axes, passage: Passage, drums: Sequence[int]) -> None:
    for row, i in enumerate(reversed(drums)):
        axes.plot(passage.notes[i][:, 0], np.full(len(passage.notes[i]), row), "|", color="#222222", markersize=8)
    axes.set(ylim=(-0.7, len(drums) - 0.3), yticks=range(len(drums)))
    axes.set_yticklabels([passage.stems[i] for i in reversed(drums)], fontsize=8)
    axes.grid(False)


def _range(passage: Passage) -> tuple[float, float]:
    """Pitches shown: all that are played and an octave above, for overtones; everything if no notes are known."""
    played = [n[:, 2] for n, drum in zip(passage.notes or (), passage.drums, strict=False) if len(n) and not drum]
    if not played:
        return LOWEST + 8, LOWEST + len(passage.picture)
    pitches = np.concatenate(played)
    return pitches.min() - 3, min(pitches.max() + 13, LOWEST + len(passage.picture))


def _octaves(axes: Axes, label: str) -> None:
    low, high = axes.get_ylim()
    keys = [key for key in range(12, 121, 12) if low <= key <= high]
    axes.set_yticks(keys, [f"C{key // 12 - 1}" for key in keys])
    axes.set_ylabel(label)


def _mark_beats(axes: Axes, beats: np.ndarray, shade: str) -> None:
    axes.grid(False, axis="x")
    for time, number in beats:
        first = number == 1
        axes.axvline(time, color=shade, linewidth=1.1 if first else 0.5, alpha=0.75 if first else 0.4, zorder=0.5)


def _mark_chords(axes: Axes, chords: Sequence[tuple[float, float, str]]) -> None:
    for begin, end, label in chords:
        if end - begin > 0.25:  # no room for a name
            text = label.replace(":maj", "", 1) if label.endswith(":maj") else label.replace(":", " ")
            place = axes.get_xaxis_transform()
            axes.text(begin + 0.02, 1.02, text, transform=place, fontsize=8, color="#333333", va="bottom", rotation=0)


def distributions(measured: Mapping[str, pd.DataFrame]) -> Figure:
    """How pieces are distributed, a row a corpus: tempo, tonic and mode, stems, loudness, density.

    Parameters
    ----------
    measured : mapping of corpus to pandas.DataFrame
        :func:`phalar.study.portrait.measures`, with a column ``loudness`` (LUFS). Columns share an axis, so that
        corpora can be compared downwards; what is not known of a corpus is left blank and says so.
    """
    columns = {
        "tempo": ("beats a minute", np.arange(40, 221, 10)),
        "tonic": ("tonic", None),
        "stems": ("stems a piece", np.arange(0.5, 11)),
        "loudness": ("loudness of the mix (LUFS)", np.arange(-32, -5, 1.5)),
        "density": ("notes a second", np.arange(0, 41, 2)),
    }
    rows = len(measured)
    figure, panels = plt.subplots(rows, len(columns), figsize=(11.6, 0.8 + 1.5 * rows), sharex="col", squeeze=False)
    for line, (corpus, table) in zip(panels, measured.items(), strict=True):
        for axes, (name, (label, bins)) in zip(line, columns.items(), strict=True):
            if name == "tonic":
                _keys(axes, table)
            elif table[name].notna().any():
                axes.hist(table[name].dropna().clip(bins[0], bins[-1]), bins=bins, color=CORPUS_COLOUR)
            else:
                axes.text(0.5, 0.5, "not kept", transform=axes.transAxes, ha="center", color="#777777", fontsize=9)
            known = name == "tonic" or table[name].notna().any()
            axes.yaxis.set_major_locator(MaxNLocator(3, integer=True) if known else NullLocator())
            axes.tick_params(labelsize=8)
            axes.grid(False, axis="x")
            if axes in panels[-1]:
                axes.set_xlabel(label, fontsize=9)
        line[2].xaxis.set_major_locator(MultipleLocator(2))
        line[0].set_ylabel(f"{corpus}\npieces", fontsize=9)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in MODES.values()]
    figure.legend(handles, MODES, loc="outside upper center", ncols=len(MODES), fontsize=9)
    return figure


def _keys(axes: Axes, table: pd.DataFrame) -> None:
    below = np.zeros(12)
    for mode, colour in MODES.items():
        counts = table[table["mode"] == mode]["tonic"].value_counts()
        heights = np.array([counts.get(tonic, 0) for tonic in PITCH_CLASSES])
        axes.bar(range(12), heights, bottom=below, color=colour, width=0.8)
        below += heights
    axes.set_xticks(range(12), PITCH_CLASSES, fontsize=7)
