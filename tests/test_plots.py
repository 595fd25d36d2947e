"""Figures show the numbers they are given, at their place, and nothing else."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from phalar import plots


@pytest.fixture(autouse=True)
def closed():
    """No figure outlives its test."""
    yield
    plt.close("all")


def table(rows, *columns):
    return pd.DataFrame([(*row, row[-1] - 0.02, row[-1] + 0.03) for row in rows], columns=[*columns, "low", "high"])


def dots(axes, marker):
    return [line for line in axes.lines if line.get_marker() == marker]


def bars(axes):
    return [tuple(np.round(np.sort(s[:, i]), 9)) for c in axes.collections for s in c.get_segments() for i in (0, 1)]


@pytest.mark.parametrize("x", [[16, 64], ["band", "studio"]])
def test_points_stand_at_their_values_with_their_intervals(x):
    rows = [(model, at, 0.1 * i) for model in ("phalar", "gap") for i, at in enumerate(x, 1)]
    found = table(rows, "model", "x", "value")
    axes = plots.points(found, "x", "model", log=x[0] == 16, levels={"chance": 0.02}).axes[0]
    shown = {line.get_label(): line for line in axes.lines}
    for marker, model in (("o", "phalar"), ("s", "gap")):
        (line,) = dots(axes, marker)
        np.testing.assert_allclose(line.get_ydata(), [10, 20])
        assert same_color(line.get_color(), plots.colour(model))
        np.testing.assert_allclose(np.asarray(line.get_xdata(), float), x if x[0] == 16 else [0, 1], atol=0.3)
    assert {(8, 13), (18, 23)} <= set(bars(axes))
    assert shown["chance"].get_ydata()[0] == 2


def test_learning_curves_are_means_over_seeds_where_all_were_measured():
    def history(*valid):
        return [{"pairs": 10 * i, "loss": 1.0} | ({} if v is None else {"valid": v}) for i, v in enumerate(valid)]

    histories = {"phalar": [history(0, 0.2, 0.4), history(0, None, 0.8)], "gap": [], "mel": [history(None)]}
    axes = plots.curves(histories, candidates=64).axes[0]
    curve, chance = axes.lines
    assert curve.get_label() == "phalar  60"
    np.testing.assert_allclose(curve.get_xydata(), [[0, 0], [20, 60]])
    assert chance.get_ydata()[0] == 100 / 64
    (band,) = axes.collections
    assert band.get_datalim(axes.transData).y1 == pytest.approx(80)
