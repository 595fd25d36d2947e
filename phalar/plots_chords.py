"""Figures of the chord probes. They draw what they are given and compute nothing but shares and circles."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from phalar.evaluate.chord_labels import NO_CHORD, PITCH_CLASSES

SOURCES = ("#0072B2", "#7F7F7F", "#D55E00", "#E69F00", "#009E73", "#CC79A7")
FLATS = dict(zip(PITCH_CLASSES, ("C", "D♭", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"), strict=True))


def short(label: str) -> str:
    """A class as musicians write it: "A♭", "Am", "N"."""
    if label == NO_CHORD:
        return label
    root, _, quality = label.partition(":")
    return FLATS[root] + {"maj": "", "min": "m", "1": ""}.get(quality, quality)


def fifth_colour(label: str) -> tuple[float, float, float]:
    """A colour for a chord: hue by its place on the circle of fifths, minor as its relative major but darker."""
    if label == NO_CHORD or ":" not in label:
        return 0.85, 0.85, 0.85
    root, _, quality = label.partition(":")
    minor = quality.startswith("min")
    place = 7 * (PITCH_CLASSES.index(root) + (3 if minor else 0)) % 12
    red, green, blue, _ = plt.get_cmap("hsv")(place / 12)
    shade = 0.55 if minor else 0.9
    return tuple(0.15 + 0.85 * shade * channel for channel in (red, green, blue))


def confusion_by_fifths(counts: np.ndarray, classes: Sequence[str], order: Sequence[int]) -> Figure:
    """Shares of each true class (row) by named class (column), in an order round the circle of fifths.

    Thin lines show where errors by a fifth lie (either side of the diagonal) and where those by the relative major or
    minor lie (half a matrix away). A class that never occurs is an empty row.

    Parameters
    ----------
    counts : array (classes, classes)
    classes : sequence of str
    order : sequence of int
        :func:`phalar.evaluate.chord_labels.by_fifths`.
    """
    order = list(order)
    ordered = counts[np.ix_(order, order)].astype(float)
    total = ordered.sum(axis=1, keepdims=True)
    shares = np.divide(ordered, total, out=np.zeros_like(ordered), where=total > 0)
    names = [short(classes[k]) for k in order]
    figure, axes = plt.subplots(figsize=(7.4, 6.6))
    picture = axes.imshow(100 * shares, cmap="magma_r", vmin=0, vmax=max(10.0, 100 * shares.max()))
    steps = np.arange(12)
    for shift in (-1, 1):
        for block in (0, 12):
            inside = (steps + shift >= 0) & (steps + shift < 12)
            axes.plot(steps[inside] + block + shift, steps[inside] + block, color="#0072B2", linewidth=0.8)
    axes.plot(steps + 12, steps, color="#009E73", linewidth=0.8)
    axes.plot(steps, steps + 12, color="#009E73", linewidth=0.8)
    for edge in (11.5, 23.5):
        axes.axhline(edge, color="#bbbbbb", linewidth=0.8)
        axes.axvline(edge, color="#bbbbbb", linewidth=0.8)
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=90)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="named by the probe", ylabel="annotated")
    axes.grid(False)
    figure.colorbar(picture, ax=axes, label="share of the annotated class (%)", shrink=0.7)
    lines = [plt.Line2D([], [], color=c, label=n) for c, n in (("#0072B2", "a fifth away"), ("#009E73", "relative"))]
    figure.legend(handles=lines, loc="outside upper right", ncols=2, fontsize=9)
    return figure


def relations(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Which errors: for each source a bar of shares (0 to 1) by relation, all but the right ones."""
    names = [name for name in next(iter(shares.values())) if name != "right"]
    figure, axes = plt.subplots(figsize=(7.4, 0.9 + 0.5 * len(shares)))
    left = np.zeros(len(shares))
    for name, colour in zip(names, ("#0072B2", "#009E73", "#56B4E9", "#bbbbbb", "#E69F00"), strict=True):
        widths = np.array([100 * row[name] for row in shares.values()])
        axes.barh(list(shares), widths, left=left, color=colour, label=name)
        left += widths
    axes.invert_yaxis()
    axes.grid(False, axis="y")
    axes.set(xlabel="share of all frames (%)", xlim=(0, 100))
    figure.legend(loc="outside upper center", ncols=len(names), fontsize=8)
    return figure


def weight_phasors(weight: np.ndarray, classes: Sequence[str], shown: Sequence[str], strongest: int = 60) -> Figure:
    """A complex probe's weights as arrows from the origin, a panel a chord: those of the largest modulus.

    An arrow's angle is the phase that an embedding's entry must have (up to its sign in the conjugate) to speak most
    for the chord; arrows in all directions say that the probe reads *where in its cycle* a feature stands.

    Parameters
    ----------
    weight : array (classes, D), complex
    classes, shown : sequence of str
        All labels, and those to draw.
    """
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure, panels = plt.subplots(rows, columns, figsize=(2.3 * columns, 2.4 * rows), squeeze=False)
    limit = 1.02 * max(np.abs(weight[list(classes).index(label)]).max() for label in shown)
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, label in zip(panels.flat, shown, strict=False):
        entries = weight[list(classes).index(label)]
        chosen = entries[np.argsort(-np.abs(entries))[:strongest]]
        zero = np.zeros(len(chosen))
        arrows = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.008, "headwidth": 4}
        axes.quiver(zero, zero, chosen.real, chosen.imag, color=fifth_colour(label), **arrows)
        for radius in (limit / 2, limit):
            axes.add_patch(plt.Circle((0, 0), radius, fill=False, color="#cccccc", linewidth=0.7))
        edge = 1.03 * limit
        axes.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
        axes.set_title(short(label), fontsize=11)
    return figure


def timeline(lanes: Mapping[str, Sequence[tuple[float, float, str]]], seconds: float) -> Figure:
    """Chords over time, a lane each, truth first; colours go round the circle of fifths, so that near is alike.

    Parameters
    ----------
    lanes : mapping of name to (start, end, label)
    seconds : float
        Length of the piece.
    """
    figure, panels = plt.subplots(len(lanes), 1, figsize=(9.4, 0.6 + 0.62 * len(lanes)), sharex=True, squeeze=False)
    for axes, (name, chords) in zip(panels[:, 0], lanes.items(), strict=True):
        for start, end, label in chords:
            shown = _drawn(label)
            axes.axvspan(start, min(end, seconds), color=fifth_colour(shown), ec="white", linewidth=0.8)
            if end - start > 0.028 * seconds:
                ink = "black" if np.dot(fifth_colour(shown), (0.3, 0.59, 0.11)) > 0.4 else "white"
                place = {"ha": "center", "va": "center", "clip_on": True}
                axes.text((start + end) / 2, 0.5, _written(label), fontsize=8, color=ink, **place)
        axes.set(xlim=(0, seconds), ylim=(0, 1), yticks=[])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.grid(False)
        axes.spines["left"].set_visible(False)
    panels[-1, 0].set_xlabel("seconds")
    return figure


def _drawn(label: str) -> str:
    """A label of the annotation as far as colours can say it: its root in sharps, and whether its third is minor."""
    sharp = dict(zip(("Db", "Eb", "Gb", "Ab", "Bb", "Cb", "Fb"), ("C#", "D#", "F#", "G#", "A#", "B", "E"), strict=True))
    root, _, rest = label.partition(":")
    minor = rest.startswith(("min", "dim", "hdim"))
    root = sharp.get(root, root)
    return f"{root}:{'min' if minor else 'maj'}" if root in PITCH_CLASSES else NO_CHORD


def _written(label: str) -> str:
    root, _, quality = label.partition(":")
    root = root.replace("b", "♭").replace("#", "♯")
    return root + {"maj": "", "min": "m", "min7": "m7", "hdim7": "ø7"}.get(quality, quality)


def accuracy_lines(
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]],
    xlabel: str,
    base: Mapping[str, float] | None = None,
    log: bool = False,
) -> Figure:
    """Frame accuracy against something, a line a source with 95 % intervals.

    Parameters
    ----------
    lines : mapping of name to (x, accuracy, low, high), shares from 0 to 1
    xlabel : str
    base : mapping of name to share, optional
        Dotted levels to compare with.
    log : bool
        Whether x goes by doubling.
    """
    figure, axes = plt.subplots(figsize=(7.4, 3.6))
    for (name, points), colour in zip(lines.items(), SOURCES, strict=False):
        x, middle, low, high = np.array(points).T
        bars = 100 * np.array([middle - low, high - middle])
        axes.errorbar(x, 100 * middle, yerr=bars, marker="o", markersize=4, capsize=3, color=colour, label=name)
    for (name, level), style in zip((base or {}).items(), (":", "--", "-."), strict=False):
        axes.axhline(100 * level, color="#999999", linestyle=style, label=name)
    ticks = sorted({point[0] for points in lines.values() for point in points})
    if log:
        axes.set_xscale("log", base=2)
        axes.minorticks_off()
    axes.set(xlabel=xlabel, ylabel="frame accuracy (%)", xticks=ticks)
    axes.set_xticklabels([f"{tick:g}" for tick in ticks])
    axes.set_ylim(bottom=0)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
