"""Figures of the teaching pages: complex numbers as arrows, sequences as stems, layers as what they make of a circle.

They draw what they are given and compute nothing. Blue is real, orange is complex, everywhere; of layers, green keeps
phase and purple breaks it.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

REAL = "#0072B2"
COMPLEX = "#D9822B"
BEFORE = "#9A9A9A"
KEEPS = "#009E73"
BREAKS = "#8E4585"

SERIES = ("#D9822B", "#0072B2", "#009E73", "#8E4585", "#56B4E9", "#7F7F7F")
"""Colours of several curves or arrows in one picture, in this order."""

CIRCLE = np.exp(2j * np.pi * np.linspace(0, 1, 241))


def phasors(panels: Mapping[str, Mapping[str, complex]], columns: int = 6, legend: bool = True) -> Figure:
    """Complex numbers as arrows from the origin, a plane each panel, with the unit circle and twelve hours.

    Parameters
    ----------
    panels : mapping of title to mapping of label to complex
        The same label has the same colour in every panel. All panels share one scale.
    columns : int
        Panels in a row.
    legend : bool
        Name the labels once, below.
    """
    figure, grid = _planes(len(panels), columns)
    labels = list(dict.fromkeys(label for arrows in panels.values() for label in arrows))
    colours = {label: SERIES[i % len(SERIES)] for i, label in enumerate(labels)}
    if len(labels) == 2:
        colours = dict(zip(labels, (BEFORE, COMPLEX), strict=True))
    reach = max((abs(z) for arrows in panels.values() for z in arrows.values()), default=1.0)
    for axes, (title, arrows) in zip(grid, panels.items(), strict=False):
        _clock(axes, max(reach, 1.0))
        for label, z in arrows.items():
            _arrow(axes, 0, z, colours[label])
        axes.set_title(title, fontsize=10)
    if legend and len(labels) > 1:
        handles = [plt.Line2D([], [], color=colours[label], linewidth=2.4) for label in labels]
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=9)
    return figure


def chains(panels: Mapping[str, Sequence[complex]], columns: int = 6) -> Figure:
    """Complex numbers added by hand: thin arrows put head to tail, and their sum as a thick one below them.

    Parameters
    ----------
    panels : mapping of title to sequence of complex
        The terms in the order in which they are added; zeros are left out. Each panel has its own scale, which the
        unit circle tells; a sum of zero is a dot.
    """
    figure, grid = _planes(len(panels), columns)
    for axes, (title, terms) in zip(grid, panels.items(), strict=False):
        points = np.concatenate([[0], np.cumsum(np.asarray(terms))])
        reach = np.abs(points).max()
        _clock(axes, max(reach, 1.0), hours=False)
        if abs(points[-1]) > 1e-5 * reach:
            _arrow(axes, 0, points[-1], COMPLEX, width=5)
        else:
            axes.plot(0, 0, "o", color=COMPLEX, markersize=9, zorder=2)
        for start, end in pairwise(points):
            if start != end:
                _arrow(axes, start, end, REAL, width=1.3)
        axes.set_title(title, fontsize=10)
    return figure


def stems(
    panels: Mapping[str, ArrayLike],
    xlabel: str,
    ylabel: str,
    x: ArrayLike | None = None,
    kinds: Mapping[str, str] | None = None,
    yticks: Sequence[float] | None = None,
    columns: int = 2,
) -> Figure:
    """Sequences as stems, a panel each, on common axes.

    Parameters
    ----------
    panels : mapping of title to (T,)
    x : (T,), optional
        Positions common to all; 0, 1, 2, ... if not given.
    kinds : mapping of title to "real" or "complex", optional
        Which colour a panel has; "real" for those not named.
    """
    rows = -(-len(panels) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(9.2, 0.6 + 1.9 * rows), sharex=True, sharey=True, squeeze=False)
    for axes, (title, values) in zip(grid.flat, panels.items(), strict=False):
        values = np.asarray(values)
        place = np.arange(len(values)) if x is None else np.asarray(x)
        colour = COMPLEX if (kinds or {}).get(title) == "complex" else REAL
        axes.axhline(0, color="#bbbbbb", linewidth=0.8)
        axes.vlines(place, 0, values, color=colour, linewidth=1.6)
        axes.plot(place, values, "o", color=colour, markersize=4.5)
        axes.set_title(title, fontsize=10, loc="left")
        axes.grid(False, axis="x")
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel(xlabel)
    for axes in grid[:, 0]:
        axes.set_ylabel(ylabel)
        if yticks is not None:
            axes.set_yticks(yticks)
    return figure


def curves(
    panels: Mapping[str, Mapping[str, ArrayLike]],
    x: ArrayLike,
    xlabel: str,
    ylabel: str,
    shaded: tuple[float, float] | None = None,
    dots: Mapping[str, tuple[ArrayLike, ArrayLike]] | None = None,
    ticks: Sequence[float] | None = None,
    log: bool = False,
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """Lines over one axis, side by side panels on common axes; the same name has the same colour everywhere.

    Parameters
    ----------
    panels : mapping of title to mapping of name to (N,)
    x : (N,)
    shaded : (float, float), optional
        A range of x to mark.
    dots : mapping of name to (x, y), optional
        Single points, drawn into every panel, with colours of their own.
    colours : mapping of name to colour, optional
        Where a name means something that has a colour elsewhere.
    """
    figure, grid = plt.subplots(
        1, len(panels), figsize=(7.6 if len(panels) == 1 else 2.0 + 4.1 * len(panels), 3.5), sharey=True, squeeze=False
    )
    names = list(dict.fromkeys([name for lines in panels.values() for name in lines] + list(dots or {})))
    colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)} | dict(colours or {})
    for axes, (title, lines) in zip(grid[0], panels.items(), strict=True):
        if shaded:
            axes.axvspan(*shaded, color="#eeeeee", zorder=0)
        for name, values in lines.items():
            axes.plot(x, values, color=colours[name], label=name, linewidth=1.8)
        for i, (name, (at, values)) in enumerate((dots or {}).items()):
            marker = {"marker": "so^"[i % 3], "markersize": 5, "linestyle": "none"}
            axes.plot(at, values, color=colours[name], label=name, **marker)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xlabel(xlabel)
        if ticks is not None:
            axes.set_xticks(ticks)
        if log:
            axes.set_yscale("log")
    grid[0, 0].set_ylabel(ylabel)
    entries = {name: line for axes in grid[0] for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    if len(entries) > 1:
        grid[0, -1].legend(entries.values(), entries.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    return figure


def waveforms(rows: Mapping[str, Mapping[str, ArrayLike]], seconds: float, mark: float | None = None) -> Figure:
    """Sounds as waveforms, a row a name and a column a version, on a common axis of time.

    Parameters
    ----------
    rows : mapping of name to mapping of version to (N,)
    seconds : float
        Duration of every sound.
    mark : float, optional
        A moment to mark in the second column, relative to nothing in the first: the delay between both.
    """
    columns = list(next(iter(rows.values())))
    figure, grid = plt.subplots(
        len(rows), len(columns), figsize=(9.6, 0.7 + 1.05 * len(rows)), sharex=True, sharey="row", squeeze=False
    )
    for line, (name, versions) in zip(grid, rows.items(), strict=True):
        for i, (axes, (version, sound)) in enumerate(zip(line, versions.items(), strict=True)):
            # Lowest and highest sample of each of some hundred blocks: more cannot be told apart.
            blocks = np.array_split(np.asarray(sound), min(600, len(np.asarray(sound))))
            time = np.linspace(0, seconds, len(blocks), endpoint=False)
            low, high = [block.min() for block in blocks], [block.max() for block in blocks]
            axes.fill_between(time, low, high, color=REAL, linewidth=0.8, step="post")
            axes.set_xlim(-seconds / 40, seconds)  # what happens at time zero is not hidden by the axis
            if i and mark is not None:
                axes.axvline(mark, color=COMPLEX, linewidth=1.2, linestyle="--")
            axes.set_yticks([])
            axes.grid(False, axis="y")
            if axes in grid[0]:
                axes.set_title(version, fontsize=10, loc="left")
            if axes in grid[-1]:
                axes.set_xlabel("seconds")
        line[0].set_ylabel(name, fontsize=9, rotation=0, ha="right", va="center")
    return figure


def trajectories(panels: Mapping[str, ArrayLike], columns: int = 4) -> Figure:
    """Paths of complex numbers: the first position as a ring, the path from light to dark, each panel on its own scale.

    Parameters
    ----------
    panels : mapping of title to (S,) complex
    """
    figure, grid = _planes(len(panels), columns)
    for axes, (title, path) in zip(grid, panels.items(), strict=False):
        path = np.asarray(path)
        _clock(axes, np.abs(path).max(), hours=False, unit=False)
        axes.plot(path.real, path.imag, color=COMPLEX, linewidth=0.9, alpha=0.5)
        axes.scatter(path.real, path.imag, c=np.arange(len(path)), cmap="YlOrBr", vmin=-len(path) / 3, s=16, zorder=3)
        axes.plot(path[0].real, path[0].imag, "o", markerfacecolor="none", color="#222222", markersize=9, zorder=4)
        axes.set_title(title, fontsize=10)
    return figure


def orbits(images: Mapping[str, tuple[ArrayLike, bool]], marks: int = 8, columns: int = 5) -> Figure:
    """One output of each layer while its input turns once: green if the layer keeps phase, else purple.

    Parameters
    ----------
    images : mapping of name to ((N,) complex, bool)
        f(e^{ia} z) for angles a from 0 to 360 degrees, and whether f commutes with turns by its formula. The dotted
        circle is e^{ia} f(z), where it would have to be. Each panel has its own scale.
    marks : int
        So many equally spaced turns are marked by dots, and by rings where they would have to be.
    """
    figure, grid = _planes(len(images), columns)
    for axes, (name, (path, keeps)) in zip(grid, images.items(), strict=False):
        path, colour = np.asarray(path), KEEPS if keeps else BREAKS
        wanted = path[0] * np.exp(2j * np.pi * np.linspace(0, 1, len(path)))
        _clock(axes, max(np.abs(path).max(), abs(path[0])), hours=False, unit=False)
        axes.plot(wanted.real, wanted.imag, ":", color="#777777", linewidth=1.2)
        axes.plot(path.real, path.imag, color=colour, linewidth=1.8)
        chosen = np.round(np.linspace(0, len(path) - 1, marks, endpoint=False)).astype(int)
        axes.plot(wanted[chosen].real, wanted[chosen].imag, "o", markerfacecolor="none", color="#777777", markersize=8)
        axes.plot(path[chosen].real, path[chosen].imag, "o", color=colour, markersize=4.5)
        axes.plot(path[0].real, path[0].imag, "o", color="#222222", markersize=5)
        axes.set_title(name, fontsize=10)
    return figure


def error_bars(errors: Mapping[str, Sequence[float]], keeps: Mapping[str, bool], floor: float = 1e-8) -> Figure:
    """Equivariance errors of layers on a logarithmic scale: the bar is the largest, the dots are all of them.

    Parameters
    ----------
    errors : mapping of layer to errors, one an angle
    keeps : mapping of layer to bool
        Whether it commutes with turns, by its formula.
    floor : float
        Left end of the axis. Errors below it are drawn there.
    """
    figure, axes = plt.subplots(figsize=(8.0, 0.9 + 0.36 * len(errors)))
    for row, (name, values) in enumerate(reversed(errors.items())):
        colour = KEEPS if keeps[name] else BREAKS
        shown = np.maximum(np.asarray(values, dtype=float), floor)
        axes.barh(row, shown.max() - floor, left=floor, color=colour, alpha=0.35, height=0.7)
        axes.plot(shown, np.full(len(shown), row), "|", color=colour, markersize=9)
        if not np.any(values):
            axes.text(1.3 * floor, row, "none at all", fontsize=8, color=colour, va="center")
    axes.set_yticks(range(len(errors)), list(reversed(errors)))
    single = float(np.finfo(np.float32).eps)
    axes.axvline(single, color="#555555", linestyle=":", linewidth=1)
    axes.text(single, len(errors) - 0.4, "last digit of single precision", fontsize=8, color="#555555")
    axes.set(xscale="log", xlim=(floor, 10), xlabel="equivariance error")
    axes.grid(False, axis="y")
    return figure


def plane_maps(maps: Mapping[str, ArrayLike], extent: float, label: str) -> Figure:
    """Values over the complex plane from -extent to extent on both axes, as pictures on one scale, with circles.

    Parameters
    ----------
    maps : mapping of title to (N, N)
        Rows from the lowest imaginary part up, columns from the lowest real part.
    """
    figure, grid = plt.subplots(1, len(maps), figsize=(3.3 * len(maps) + 0.8, 3.2), squeeze=False, sharey=True)
    top = max(np.asarray(values).max() for values in maps.values())
    for axes, (title, values) in zip(grid[0], maps.items(), strict=True):
        limits = (-extent, extent, -extent, extent)
        picture = axes.imshow(values, origin="lower", extent=limits, cmap="viridis", vmin=0, vmax=top)
        for radius in (0.5, 1.0):
            axes.plot(radius * CIRCLE.real, radius * CIRCLE.imag, ":", color="white", linewidth=0.8)
        axes.set(xlabel="Re z", xlim=(-extent, extent), ylim=(-extent, extent))
        axes.set_title(title, fontsize=10)
        axes.grid(False)
    grid[0, 0].set_ylabel("Im z")
    figure.colorbar(picture, ax=grid[0].tolist(), label=label, shrink=0.9)
    return figure


def _planes(count: int, columns: int) -> tuple[Figure, list[Axes]]:
    columns = min(columns, count)
    rows = -(-count // columns)
    size = min(2.5, 9.6 / columns)
    figure, grid = plt.subplots(rows, columns, figsize=(size * columns, (size + 0.3) * rows), squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def _clock(axes: Axes, reach: float, hours: bool = True, unit: bool = True) -> None:
    """An empty plane: both axes, the unit circle, and a tick each 30 degrees."""
    axes.axhline(0, color="#dddddd", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#dddddd", linewidth=0.8, zorder=0)
    if unit:
        axes.plot(CIRCLE.real, CIRCLE.imag, color="#cccccc", linewidth=0.9, zorder=0)
    if hours:
        for z in np.exp(2j * np.pi * np.arange(12) / 12):
            axes.plot([0.94 * z.real, 1.06 * z.real], [0.94 * z.imag, 1.06 * z.imag], color="#bbbbbb", linewidth=0.9)
    limit = 1.12 * reach
    axes.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(False)


def _arrow(axes: Axes, start: complex, end: complex, colour: str, width: float = 2.2) -> None:
    start, end = complex(start), complex(end)
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    style["mutation_scale"] = 9 + 2.5 * width
    axes.annotate("", (end.real, end.imag), (start.real, start.imag), arrowprops=style, zorder=3)
