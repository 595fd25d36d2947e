"""Figures of retrieval show the numbers they are given, at their place, and nothing else."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from phalar import plots_retrieval
from phalar.evaluate.statistics import spread
from phalar.plots import colour


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def drops(variants, corpora=("chorales", "band", "studio")):
    rng = np.random.default_rng(0)
    rows = [("paper", v, c, d, d - 0.02, d + 0.03) for v in variants for c in corpora for d in [rng.uniform(-0.1, 0.3)]]
    return pd.DataFrame(rows, columns=["group", "variant", "corpus", "drop", "low", "high"])


def dots(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


@pytest.mark.parametrize("variants", [["gap"], ["gap", "mel", *(f"cell {i}" for i in range(16))]])
def test_the_forest_has_a_dot_and_an_interval_for_every_drop(variants):
    table = drops(variants)
    figure = plots_retrieval.ablation_forest(table, {"gap": 0.189, "cosine": 0.09})
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == variants
    for corpus, marker in (("chorales", "o"), ("band", "s"), ("studio", "^")):
        shown = [line.get_xdata()[0] for line in dots(axes, marker)]
        np.testing.assert_allclose(shown, 100 * table[table["corpus"] == corpus]["drop"])
        rows = [round(line.get_ydata()[0]) for line in dots(axes, marker)]
        assert len(set(rows)) == len(variants), "a row of its own for each variant"
    bars = [
        tuple(line.get_xdata()) for line in axes.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2
    ]
    for row in table.itertuples():
        assert any(bar == pytest.approx((100 * row.low, 100 * row.high)) for bar in bars)
    (diamond,) = dots(axes, "D")  # of the paper's two numbers, the one whose variant is shown
    assert diamond.get_xdata()[0] == pytest.approx(18.9)
    assert diamond.get_ydata()[0] == axes.get_yticks()[0]
    assert diamond.get_markerfacecolor() == "none"


def test_groups_stand_under_their_headings_in_their_order():
    table = pd.concat([drops(["a", "b"]), drops(["c"]).assign(group="added")])
    axes = plots_retrieval.ablation_forest(table).axes[0]
    headings = {text.get_text(): text.get_position()[1] for text in axes.texts}
    heights = dict(zip("abc", axes.get_yticks(), strict=True))
    assert headings["paper"] > heights["a"] > heights["b"] > headings["added"] > heights["c"]
    assert not dots(axes, "D")


def test_a_drop_without_an_interval_is_a_dot_alone():
    table = drops(["gap"], ["MoisesDB"]).assign(low=np.nan, high=np.nan)
    axes = plots_retrieval.ablation_forest(table).axes[0]
    assert len(axes.lines) == 2  # the dot, and zero


def test_the_matrix_shows_each_cell_at_its_row_and_column_with_its_count():
    table = pd.DataFrame(
        [("drums", "bass", 0.81, 7, 9), ("wind", "drums", 0.123, 3, 3)],
        columns=["anchor", "positive", "accuracy", "tracks", "pairs"],
    )
    figure = plots_retrieval.accuracy_by_family({"phalar": table, "gap": table.iloc[:1]})
    first, second = figure.axes[:2]
    assert [label.get_text() for label in first.get_yticklabels()] == ["drums", "bass", "wind"]
    np.testing.assert_allclose(
        np.ma.filled(first.images[0].get_array(), np.nan),
        [[np.nan, 81, np.nan], [np.nan] * 3, [12.3, np.nan, np.nan]],
    )
    assert [text.get_text() for text in first.texts] == ["81", "7", "12", "3"]
    assert [text.get_text() for text in second.texts] == ["81", "7"]
    assert first.images[0].get_clim() == second.images[0].get_clim() == (0, 100)


def test_accuracy_by_stems_has_points_on_both_sides():
    def table(shift):
        return pd.DataFrame(
            {"stems": [1, 2], "accuracy": [0.9 - shift, 0.7], "low": [0.8, np.nan], "high": [0.95, np.nan]}
        )

    figure = plots_retrieval.accuracy_by_stems({"phalar": {"anchor": table(0), "positive": table(0.1)}}, 64)
    left, right = figure.axes
    for axes, first in ((left, 90), (right, 80)):
        np.testing.assert_allclose(dots(axes, "o")[0].get_ydata(), [first, 70])
        np.testing.assert_allclose(dots(axes, "o")[0].get_xdata(), [1, 2])
    assert left.get_xlabel() == "stems in the anchor"


def history(values):
    return [{"pairs": 10 * i, "loss": 1.0} | ({"valid": v} if v is not None else {}) for i, v in enumerate(values, 1)]


def test_curves_are_means_over_seeds_and_the_legend_is_in_the_order_of_their_ends():
    histories = {
        "gap": [history([None, 0.2, None, 0.3])],
        "phalar": [history([None, 0.4, None, 0.8]), history([None, 0.6, None, 0.9])],
        **{f"cell {i}": [history([0.1, 0.5 + i / 100])] for i in range(14)},
        "never measured": [history([None])],
        "not run": [],
    }
    axes = plots_retrieval.validation_curves(histories, 64).axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["phalar"].get_ydata(), [50, 85])
    np.testing.assert_allclose(lines["phalar"].get_xdata(), [20, 40])
    assert lines["phalar"].get_color() == colour("phalar")
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[0] == "phalar  85"
    assert names[-2:] == ["gap  30", "chance"]
    assert len(names) == 17
    looks = {
        (str(line.get_color()), line.get_linestyle()) for name, line in lines.items() if name[:4] in ("cell", "gap")
    }
    assert len(looks) == 15, "no two variants look alike"


@pytest.mark.parametrize("seeds", [1, 5])
def test_seeds_are_dots_and_the_bar_is_the_interval_over_tracks(seeds):
    values = np.random.default_rng(0).random((seeds, 50))
    axes = plots_retrieval.seed_spread({"phalar": values, "gap": values / 2}, 64).axes[0]
    first, second = dots(axes, "o")
    np.testing.assert_allclose(first.get_xdata(), 100 * values.mean(axis=1))
    np.testing.assert_allclose(second.get_xdata(), 50 * values.mean(axis=1))
    bar, found = axes.patches[0], spread(values)
    assert bar.get_width() == pytest.approx(200 * found.half_width)
    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(100 * found.mean)
