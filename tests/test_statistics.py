"""Intervals cover what they say, and refuse what they cannot mean."""

import numpy as np
import pytest

from phalar.errors import InputError
from phalar.evaluate.statistics import bootstrap_interval, paired_difference


def test_interval_agrees_with_scipy():
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).exponential(size=60)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    assert bootstrap_interval(values) == pytest.approx(tuple(theirs), abs=0.02)


def test_a_95_percent_interval_misses_the_truth_about_one_time_in_twenty():
    rng = np.random.default_rng(0)
    missed = 0
    for trial in range(300):
        low, high = bootstrap_interval(rng.normal(size=80), seed=trial, resamples=800)
        missed += not low <= 0 <= high
    assert 0.02 < missed / 300 < 0.10


def test_a_constant_has_an_interval_of_no_width():
    assert bootstrap_interval(np.ones(5)) == pytest.approx((1, 1))


def test_pairing_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=100)
    a, b = hard + 0.1 + 0.01 * rng.normal(size=100), hard
    difference, low, high = paired_difference(a, b)
    assert difference == pytest.approx(0.1, abs=0.01)
    apart = bootstrap_interval(a)
    assert high - low < (apart[1] - apart[0]) / 10


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, np.nan], [np.inf]])
def test_values_that_mean_nothing_are_refused(values):
    with pytest.raises(InputError):
        bootstrap_interval(np.array(values))


def test_unpaired_values_are_refused():
    with pytest.raises(InputError, match="same tracks"):
        paired_difference(np.ones(3), np.ones(4))
