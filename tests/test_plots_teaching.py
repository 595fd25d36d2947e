"""Figures of the teaching pages show what they are given."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.text import Annotation

from phalar import plots_teaching as plots


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def arrows(axes):
    """(start, end, colour, width) of every arrow in a plane."""
    found = [child for child in axes.get_children() if isinstance(child, Annotation)]
    return [
        (complex(*a.xyann), complex(*a.xy), a.arrow_patch.get_edgecolor(), a.arrow_patch.get_linewidth()) for a in found
    ]


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_phasors_point_where_they_are_told_and_keep_their_colour():
    panels = {"one": {"before": 1, "after": 1j}, "two": {"after": -2}}
    figure = plots.phasors(panels, columns=2)
    first, second = figure.axes
    assert [arrow[:2] for arrow in arrows(first)] == [(0, 1), (0, 1j)]
    assert [arrow[:2] for arrow in arrows(second)] == [(0, -2)]
    assert same_color(arrows(first)[0][2], plots.BEFORE)
    assert same_color(arrows(first)[1][2], plots.COMPLEX)
    assert same_color(arrows(second)[0][2], plots.COMPLEX)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["before", "after"]
    assert first.get_xlim() == second.get_xlim(), "lengths can be compared between panels"
    assert first.get_xlim()[1] > 2
    assert first.get_aspect() == 1


def test_panels_beyond_the_last_are_empty():
    figure = plots.phasors({str(i): {"z": 1} for i in range(5)}, columns=3)
    assert [axes.get_visible() for axes in figure.axes] == [True] * 5 + [False]
    assert not figure.legends, "one label needs no legend"


def test_a_chain_goes_head_to_tail_and_its_sum_from_start_to_end():
    figure = plots.chains({"open": np.array([1, 0, 1j]), "closed": np.array([1, 1j, -1, -1j])})
    opened, closed = figure.axes
    total, *terms = sorted(arrows(opened), key=lambda arrow: -arrow[3])
    assert total[:2] == (0, 1 + 1j)
    assert same_color(total[2], plots.COMPLEX)
    assert [term[:2] for term in terms] == [(0, 1), (1, 1 + 1j)], "a step without a stroke has no arrow"
    assert len(arrows(closed)) == 4, "a sum of nothing is a dot"
    assert any(line.get_marker() == "o" for line in closed.get_lines())


def test_stems_stand_at_their_values():
    figure = plots.stems({"a": [1.0, -2.0], "b": [0.5, 0.5]}, "t", "v", x=[3, 4], kinds={"b": "complex"}, yticks=[0, 1])
    left, right = figure.axes
    dots = next(line for line in left.get_lines() if line.get_marker() == "o")
    assert dots.get_xydata().tolist() == [[3, 1], [4, -2]]
    assert same_color(dots.get_color(), plots.REAL)
    assert same_color(next(line for line in right.get_lines() if line.get_marker() == "o").get_color(), plots.COMPLEX)
    assert [segment.tolist() for segment in left.collections[0].get_segments()] == [[[3, 0], [3, 1]], [[4, 0], [4, -2]]]
    assert left.get_yticks().tolist() == [0, 1]


def test_curves_share_colours_axes_and_one_legend():
    panels = {"left": {"a": [1, 2, 3]}, "right": {"b": [3, 2, 1], "a": [1, 1, 1]}}
    dots = {"measured": ([0, 1], [2, 2])}
    figure = plots.curves(panels, [0, 1, 2], "x", "y", shaded=(0.5, 1), dots=dots, ticks=[0, 2], log=True)
    left, right = figure.axes
    assert lines(left)["a"].tolist() == [[0, 1], [1, 2], [2, 3]]
    assert lines(right)["measured"].tolist() == [[0, 2], [1, 2]]
    colours = [{line.get_label(): line.get_color() for line in axes.get_lines()} for axes in (left, right)]
    assert colours[0]["a"] == colours[1]["a"] != colours[1]["b"]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["a", "measured", "b"]
    assert left.get_yscale() == "log"
    assert left.patches, "the range is marked"
    (chosen,) = plots.curves({"": {"a": [1], "b": [2]}}, [0], "x", "y", colours={"b": plots.KEEPS}).axes
    assert [line.get_color() for line in chosen.get_lines()] == [plots.SERIES[0], plots.KEEPS]


def test_waveforms_mark_the_delay_in_later_columns_only():
    rows = {"loop": {"in time": np.ones(8), "late": np.zeros(8)}, "click": {"in time": np.ones(8), "late": np.ones(8)}}
    axes = np.reshape(plots.waveforms(rows, seconds=2.0, mark=0.5).axes, (2, 2))
    assert [[line.get_xdata()[0] for line in a.get_lines()] for a in axes.flat] == [[], [0.5], [], [0.5]]
    assert axes[1, 0].get_ylabel() == "click"
    assert axes[0, 1].get_title(loc="left") == "late"


def test_a_waveform_shows_a_single_sample_however_long_the_sound():
    click = np.zeros(64_000)
    click[16_000] = -1
    (axes,) = plots.waveforms({"click": {"alone": click}}, seconds=4.0).axes
    outline = axes.collections[0].get_paths()[0].vertices
    assert outline[:, 1].min() == -1
    assert outline[outline[:, 1] == -1, 0] == pytest.approx([1.0] * (outline[:, 1] == -1).sum(), abs=0.01)


def test_a_path_begins_at_its_ring():
    path = np.array([1 + 1j, 2, -1j])
    (axes,) = plots.trajectories({"k = 1": path}).axes
    ring = next(line for line in axes.get_lines() if line.get_marker() == "o")
    assert ring.get_xydata().tolist() == [[1, 1]]
    assert axes.collections[0].get_offsets().tolist() == [[1, 1], [2, 0], [0, -1]]


def test_an_orbit_is_drawn_over_the_circle_on_which_it_would_have_to_be():
    turn = np.exp(2j * np.pi * np.linspace(0, 1, 9))
    figure = plots.orbits({"kept": (2j * turn, True), "broken": (turn + 1, False)})
    for axes, colour in zip(figure.axes, (plots.KEEPS, plots.BREAKS), strict=True):
        wanted, path = [line for line in axes.get_lines() if len(line.get_xdata()) == 9]
        assert same_color(path.get_color(), colour)
        np.testing.assert_allclose(np.abs(wanted.get_xdata() + 1j * wanted.get_ydata()), 2)
    kept = [line.get_xydata() for line in figure.axes[0].get_lines() if len(line.get_xdata()) == 9]
    np.testing.assert_allclose(*kept, atol=1e-12)


def test_error_bars_reach_to_the_largest_and_stop_at_the_floor():
    errors = {"kept": [0.0, 1e-7], "broken": [0.2, 0.5]}
    (axes,) = plots.error_bars(errors, {"kept": True, "broken": False}).axes
    reach = {round(bar.get_y() + bar.get_height() / 2): bar.get_x() + bar.get_width() for bar in axes.patches}
    assert reach[1] == pytest.approx(1e-7)
    assert reach[0] == pytest.approx(0.5)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["broken", "kept"]
    assert axes.get_xscale() == "log"
    assert "none at all" not in [text.get_text() for text in axes.texts]
    assert min(line.get_xdata().min() for line in axes.get_lines() if line.get_marker() == "|") == 1e-8


def test_maps_share_one_scale_and_stand_the_right_way_up():
    low, high = np.arange(9.0).reshape(3, 3), np.full((3, 3), 20.0)
    figure = plots.plane_maps({"a": low, "b": high}, extent=1.5, label="length")
    first, second = (axes.images[0] for axes in figure.axes[:2])
    assert first.get_clim() == second.get_clim() == (0, 20)
    assert first.origin == "lower"
    assert first.get_extent() == [-1.5, 1.5, -1.5, 1.5]
