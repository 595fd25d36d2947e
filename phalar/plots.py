"""Figures of the book, in one style: one colour a model everywhere, all of them colour-blind safe.

Functions draw what they are given and compute nothing but means over seeds. Shares from 0 to 1 are shown in per cent.
Each returns its :class:`~matplotlib.figure.Figure`; one that takes ``axes`` draws into them, so that a page can put
several side by side and name everything once with :func:`legend`. A figure of a single page is drawn in its notebook.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, cycle
from textwrap import fill, shorten

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.config import InlineBackend
from numpy.typing import ArrayLike

BLUE, RED, ORANGE, GREEN = "#0072B2", "#D55E00", "#E69F00", "#009E73"
PINK, SKY, GREY = "#CC79A7", "#56B4E9", "#7F7F7F"  # the palette of Okabe and Ito (2008)
# One colour a model, a rival or a corpus.
COLOURS = {"phalar": BLUE, "trained": BLUE, "reference": "#00436B", "gap": RED, "magnitude": ORANGE, "cosine": GREEN}
COLOURS |= {"psd": PINK, "hermitian": SKY, "mel": GREY, "cocola": "#000000", "untrained": "#999999", "chroma": GREEN}
COLOURS |= {"librosa": ORANGE, "madmom": PINK, "chorales": BLUE, "band": RED, "studio": GREEN}
CHANCE = "#999999"
REAL, COMPLEX = BLUE, "#D9822B"  # numbers
KEEPS, BREAKS = GREEN, "#8E4585"  # layers that commute with turns, and those that do not
SERIES = (COMPLEX, REAL, KEEPS, BREAKS, SKY, GREY)  # curves or arrows that have no colour of their own elsewhere
MARKERS = "os^DvPXd"
CIRCLE = np.exp(2j * np.pi * np.linspace(0, 1, 241))


def use_style() -> None:
    """Set the book's look for all figures that follow; in a notebook they are drawn as SVG, text as paths."""
    sns.set_theme(context="notebook", style="ticks", rc={"figure.figsize": (7.0, 3.6), "figure.dpi": 160})
    plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e5e5e5"}
    plt.rcParams |= {"legend.frameon": False, "figure.constrained_layout.use": True, "svg.hashsalt": "phalar"}
    plt.rcParams["image.interpolation"] = "none"  # an SVG holds one pixel a number
    if shell := get_ipython():
        InlineBackend.instance(parent=shell).figure_formats = {"svg"}


def colour(name: str) -> str:
    """The colour of a model, a rival or a corpus; a name such as ``phalar path`` has that of its first word."""
    return COLOURS.get(name) or COLOURS.get(name.partition(" ")[0], "#444444")


def styles(names: Iterable[str]) -> dict[str, dict]:
    """Colour, dash and marker of each name: those without a colour of their own are told apart by all three."""
    spare = cycle((shade, dash) for dash in ("--", "-.", ":") for shade in sns.color_palette("dark", 8).as_hex())
    found = {}
    for i, name in enumerate(dict.fromkeys(names)):
        shade, dash = (colour(name), "-") if {name, name.partition(" ")[0]} & set(COLOURS) else next(spare)
        found[name] = {"color": shade, "linestyle": dash, "marker": MARKERS[i % len(MARKERS)]}
    return found


def legend(figure: Figure, place: str = "outside right center", **options) -> None:
    """Name everything in a figure once, beside its panels."""
    named = (axes.get_legend_handles_labels() for axes in figure.axes)
    entries = {label: handle for handles, labels in named for handle, label in zip(handles, labels, strict=True)}
    if len(entries) > 1:
        figure.legend(entries.values(), entries.keys(), loc=place, fontsize=9, **options)


def points(
    table: pd.DataFrame, x: str, by: str, *, axes: Axes | None = None, join=False, log=False, levels=None, **labels
) -> Figure:
    """Estimates with their 95 % intervals, a colour a value of ``by``; side by side where ``x`` is a name. ``table``
    has columns ``x``, ``by``, ``value``, ``low``, ``high``: shares, the last two NaN where there is no interval.
    ``join`` joins points of one colour; ``log``: ``x`` goes by doubling; ``levels``, shares by name, are horizontal
    dotted lines, such as chance; ``labels`` are properties of the axes: ``title``, ``ylabel``."""
    named = not pd.api.types.is_numeric_dtype(table[x])
    places = list(dict.fromkeys(table[x])) if named else sorted(set(table[x]))
    style = styles(table[by])
    alone = axes is None
    if alone:
        _, axes = plt.subplots(figsize=(max(5.0, 0.75 * len(places) + 1.6) if named else 7.4, 3.4))
    side_by_side = (np.arange(len(style)) - (len(style) - 1) / 2) * 0.6 / len(style)
    for shift, (name, rows) in zip(side_by_side, table.groupby(by, sort=False), strict=True):
        at = [places.index(place) + shift for place in rows[x]] if named else rows[x]
        value, low, high = (100 * rows[column].to_numpy(float) for column in ("value", "low", "high"))
        look = style[name] | ({} if join else {"linestyle": "none"})
        bars = np.nan_to_num([value - low, high - value]).clip(0)
        axes.errorbar(at, value, yerr=bars, capsize=3, markersize=5, label=name, **look)
    for (name, level), dash in zip((levels or {}).items(), cycle((":", "--", "-."))):
        axes.axhline(100 * level, color=CHANCE, linestyle=dash, label=name)
    if log:
        axes.set_xscale("log", base=2)
        axes.minorticks_off()
    labelled = [str(place) if named else f"{place:g}" for place in places]
    slant = {"rotation": 35, "ha": "right"} if max(map(len, labelled)) >= 10 else {}
    axes.set_xticks(range(len(places)) if named else places, labelled, **slant)
    axes.set_ylim(bottom=min(0.0, 110 * np.nanmin(table[["value", "low"]].to_numpy(float))))
    axes.set(**{"xlabel": x, "ylabel": "top-1 (%)"} | labels)
    if alone:
        legend(axes.figure)
    return axes.figure


def curves(histories: Mapping[str, Sequence], candidates: int) -> Figure:
    """Learning curves: validation accuracy among so many ``candidates`` against training pairs seen, the mean over
    seeds in a band from lowest to highest, where all were measured. ``histories`` are by variant, one a seed: entries
    with ``pairs`` and, where it was taken, ``valid``, a share. In the legend, after its name, is where one ends."""
    style, (figure, axes) = styles(histories), plt.subplots(figsize=(7.6, 3.8))
    for variant, runs in histories.items():
        seeds = [pd.Series({e["pairs"]: 100 * e["valid"] for e in run if "valid" in e}, dtype=float) for run in runs]
        both = pd.concat(seeds, axis=1).dropna() if seeds else pd.DataFrame()
        if both.empty:
            continue
        mean = both.mean(axis=1)
        axes.plot(mean, label=f"{variant}  {mean.iloc[-1]:.3g}", markersize=4, linewidth=1.8, **style[variant])
        shade = style[variant]["color"]
        axes.fill_between(both.index, both.min(axis=1), both.max(axis=1), color=shade, alpha=0.15, linewidth=0)
    axes.axhline(100 / candidates, color=CHANCE, linestyle=":", label="chance")
    axes.set(ylim=(0, 102), ylabel=f"validation top-1 among {candidates} (%)", xlabel="training pairs seen")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    legend(figure)
    return figure


def lines(
    panels: Mapping[str, Mapping], x: ArrayLike, xlabel: str, ylabel: str, colours: Mapping | None = None, **properties
) -> Figure:
    """Curves over one axis, panels side by side on common axes: title to name to (N,), over ``x`` (N,). The same name
    has the same colour in all, that of ``colours`` if it has one elsewhere; ``properties`` are those of all axes."""
    size = (7.6 if len(panels) == 1 else 2.0 + 4.1 * len(panels), 3.5)
    figure, grid = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False)
    colours = dict(zip(dict.fromkeys(chain(*panels.values())), cycle(SERIES))) | dict(colours or {})
    for axes, (title, named) in zip(grid[0], panels.items(), strict=True):
        for name, values in named.items():
            axes.plot(x, values, color=colours[name], label=name, linewidth=1.8)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set(xlabel=xlabel, **properties)
    grid[0, 0].set_ylabel(ylabel)
    legend(figure)
    return figure


def small_multiples(count: int, columns: int, size: tuple[float, float], **shared) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` panels in rows of at most ``columns``, each of a size in inches."""
    columns = max(1, min(columns, count))
    rows = -(-count // columns)
    shape = (size[0] * columns, (size[1] + 0.3) * rows + 0.3)
    figure, grid = plt.subplots(rows, columns, figsize=shape, squeeze=False, **shared)
    for axes in grid.flat[count:]:
        axes.set_visible(False)
    return figure, list(grid.flat[:count])


def planes(titles: Sequence[str], columns: int, reach: float | Sequence[float] = 1.0) -> tuple[Figure, list[Axes]]:
    """Empty complex planes, each with both axes and the unit circle, out to ``reach``."""
    columns = min(columns, len(titles))
    size = min(2.5, 9.6 / columns)
    figure, grid = small_multiples(len(titles), columns, (size, size))
    for axes, title, limit in zip(grid, titles, np.broadcast_to(1.12 * np.asarray(reach), len(titles)), strict=True):
        axes.axhline(0, color="#dddddd", linewidth=0.8, zorder=0)
        axes.axvline(0, color="#dddddd", linewidth=0.8, zorder=0)
        axes.plot(CIRCLE.real, CIRCLE.imag, color="#cccccc", linewidth=0.9, zorder=0)
        axes.set(aspect="equal", xlim=(-limit, limit), ylim=(-limit, limit), xticks=[], yticks=[])
        axes.set_title(title, fontsize=10)
        axes.spines[:].set_visible(False)
        axes.grid(False)
    return figure, grid


def arrow(axes: Axes, z: complex, shade: str = COMPLEX, start: complex = 0, width: float = 2.2) -> None:
    """A complex number as an arrow."""
    style = {"arrowstyle": "-|>", "color": shade, "linewidth": width, "shrinkA": 0, "shrinkB": 0}
    start, end = complex(start), complex(start) + complex(z)
    arrowprops = style | {"mutation_scale": 9 + 2.5 * width}
    axes.annotate("", (end.real, end.imag), (start.real, start.imag), arrowprops=arrowprops, zorder=3)


def phasors(panels: Mapping[str, Mapping[str, complex]], columns: int = 6) -> Figure:
    """Complex numbers, by title and name, as arrows from the origin, a plane a title, on one scale; the same colour for
    the same name."""
    names = list(dict.fromkeys(chain(*panels.values())))
    colours = dict(zip(names, (CHANCE, COMPLEX) if len(names) == 2 else cycle(SERIES), strict=False))
    reach = max(1.0, *(abs(complex(z)) for arrows in panels.values() for z in arrows.values()))
    figure, grid = planes(list(panels), columns, reach)
    for axes, arrows in zip(grid, panels.values(), strict=True):
        for name, z in arrows.items():
            arrow(axes, z, colours[name])
            axes.plot([], [], color=colours[name], linewidth=2.4, label=name)
    legend(figure, "outside lower center", ncols=len(names))
    return figure


def trajectories(paths: Mapping[str, ArrayLike], values: ArrayLike | None = None, label: str = "") -> Figure:
    """Paths of complex numbers (S,), by title, from dark to light, a ring at their start, each on its own scale.
    ``values`` (S,) are what the colour stands for, such as a shift in seconds, told by a bar with a ``label``; the
    position in the path if not given."""
    paths = {title: np.asarray(path) for title, path in paths.items()}
    figure, grid = planes(list(paths), 4, [max(np.abs(path).max(), 1e-12) for path in paths.values()])
    for axes, path in zip(grid, paths.values(), strict=True):
        axes.plot(path.real, path.imag, color="#bbbbbb", linewidth=0.9, zorder=1)
        by = np.arange(len(path)) if values is None else values
        dots = axes.scatter(path.real, path.imag, c=by, cmap="viridis", s=14, zorder=2)
        axes.plot(path[0].real, path[0].imag, "o", markerfacecolor="none", color=COMPLEX, markersize=9, zorder=3)
    if values is not None:
        figure.colorbar(dots, ax=grid, label=label, shrink=0.7, aspect=30)
    return figure


def fits(matches: Sequence) -> Figure:
    """Where in a song each stem of a ranking (:func:`phalar.rank`) fits, and where not: a row a stem, the best first, a
    box a window, red for a score above zero and blue for one below."""
    told = [match for match in matches if match.windows]
    top = max((abs(score) for match in told for *_, score in match.windows), default=1.0)
    figure, axes = plt.subplots(figsize=(7.4, 1.1 + 0.36 * len(told)))
    colours = plt.cm.ScalarMappable(plt.Normalize(-top, top), "RdBu_r")
    for row, match in enumerate(told):
        boxes = [(begin, end - begin) for begin, end, _ in match.windows]
        shades = [colours.to_rgba(score) for *_, score in match.windows]
        axes.broken_barh(boxes, (row - 0.45, 0.9), facecolors=shades, edgecolors="white")
    axes.set_yticks(range(len(told)), [f"{match.name.rpartition('/')[2]}  {match.score:+.1f}" for match in told])
    axes.set(xlabel="time in the mix (s)", ylim=(len(told) - 0.5, -0.5))
    axes.grid(False)
    figure.colorbar(colours, ax=axes, label="score")
    return figure


VERDICTS = {"reproduced": ("o", GREEN), "partial": ("D", SKY), "not reproduced": ("X", RED), "not shown": ("s", ORANGE)}
"""Marker and colour of each verdict; all others are open circles in grey."""


def forest(table: pd.DataFrame) -> Figure:
    """Claims, a row each, of the ``table`` of `phalar.study.claims.forest`: the paper's effect as a bar, ours on each
    data set as a point with its 95 % interval, whose colour and shape are the verdict."""
    names = list(dict.fromkeys(table["claim"]))
    figure, axes = plt.subplots(figsize=(8.4, 1.2 + 0.36 * len(names)))
    for y, (_, rows) in enumerate(table.groupby("claim", sort=False)):
        shifts = np.linspace(-0.2, 0.2, len(rows)) if len(rows) > 1 else [0.0]
        for shift, row in zip(shifts, rows.itertuples(), strict=True):
            marker, shade = VERDICTS.get(row.verdict, ("o", GREY))
            look = {"color": shade, "markerfacecolor": shade if row.verdict in VERDICTS else "white", "markersize": 6}
            ends = 100 * np.nan_to_num([[row.value - row.low], [row.high - row.value]]).clip(0)
            told = row.verdict if row.verdict in VERDICTS else "not judged, or not run"
            axes.errorbar(100 * row.value, y + shift, xerr=ends, fmt=marker, label=told, capsize=2, **look)
        claimed = {"color": "black", "markersize": 16, "markeredgewidth": 2, "label": "the paper"}
        axes.plot(100 * rows["paper"].iloc[0], y, "|", **claimed)
    axes.axvline(0, color=CHANCE, linewidth=1)
    axes.set_yticks(range(len(names)), [fill(shorten(name, 88, placeholder=" …"), 46) for name in names], fontsize=8)
    axes.set_xlabel("effect, to the right as claimed (points; r and F1 times 100)", fontsize=9)
    axes.set_ylim(len(names) - 0.5, -0.5)
    legend(figure, "outside upper center", ncols=4)
    return figure
