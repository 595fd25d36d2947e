"""Intervals cover what they say, tests are wrong as rarely as they say, and both refuse what they cannot mean."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from phalar.errors import InputError
from phalar.evaluate import statistics
from phalar.evaluate.statistics import difference, estimate, gain, holm, p_value, sign_flip_test

SETS = 300


def equals(rng, tracks, models=2):
    """Accuracies (models, tracks) of models that are equally good, on tracks of very different difficulty."""
    return rng.binomial(20, rng.beta(2, 1, size=tracks), size=(models, tracks)) / 20


def trained(rng, seeds, tracks=80):
    """Accuracies (seeds, tracks) of one model: the luck of training (sd 0.1) is larger than that of tracks."""
    return 0.5 + 0.1 * rng.normal(size=(seeds, 1)) + 0.1 * rng.normal(size=(seeds, tracks))


def test_the_interval_of_one_seed_is_scipys():
    rng = np.random.default_rng(0)
    values, b = rng.exponential(size=60), rng.beta(3, 3, size=80)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
    found = estimate(values)
    assert (found.value, found.n) == (pytest.approx(values.mean()), 60)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.02)
    a = np.clip(b + 0.2 + 0.2 * rng.normal(size=80), 0, 1)
    for ours, statistic in (
        (difference(a, b), lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis)),
        (gain(a, b), lambda x, y, axis: x.mean(axis=axis) / y.mean(axis=axis) - 1),
    ):
        theirs = stats.bootstrap((a, b), statistic, paired=True, method="percentile", n_resamples=20_000, rng=2)
        assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_an_interval_misses_the_truth_about_one_time_in_twenty(seeds):
    rng, missed = np.random.default_rng(1), 0
    for _ in range(SETS):
        a, b = (trained(rng, seeds) if seeds > 1 else rng.normal(size=80) for _ in range(2))
        found = difference(a, b, resamples=800)
        missed += not found.low <= 0 <= found.high
    assert missed / SETS < 0.10
    assert missed / SETS > 0.02 or seeds > 1


def test_seeds_widen_an_interval_as_much_as_they_differ():
    """Not resampled, four seeds would look as sure as one; resampled as they are, they would miss a quarter of their
    variance."""
    rng = np.random.default_rng(3)
    values = trained(rng, 4, 400)
    found = estimate(values)
    expected = math.sqrt(values.mean(axis=1).var(ddof=1) / 4 + values.mean(axis=0).var(ddof=1) / 400)
    assert (found.high - found.low) / 2 / stats.t.ppf(0.975, 3) == pytest.approx(expected, rel=0.1)
    assert found.value == pytest.approx(values.mean())
    alone = estimate(values.mean(axis=0))
    assert found.high - found.low > 5 * (alone.high - alone.low)


def test_recordings_of_one_piece_are_one_unit():
    """Each piece recorded ten times, alike: as sure as one recording of each; treated as independent, too sure."""
    pieces = np.random.default_rng(1).random(12)
    often, groups = np.repeat(pieces, 10), np.repeat(np.arange(12), 10)
    grouped, apart = estimate(often, groups), estimate(pieces)
    assert (grouped.low, grouped.high, grouped.n) == pytest.approx((apart.low, apart.high, 12))
    assert estimate(often).high - estimate(often).low < 0.5 * (grouped.high - grouped.low)
    uneven = difference(np.array([1.0, 1, 1, 0]), np.zeros(4), ["a", "a", "a", "b"])
    assert (uneven.value, uneven.n) == (0.75, 2)  # a mean over recordings still


def test_one_unit_has_no_interval_shares_end_at_one_and_a_gain_over_almost_nothing_has_no_end():
    assert estimate([0.5]) == statistics.Estimate(0.5, None, None, 1)
    assert (estimate(np.ones((3, 5))).low, estimate(np.ones((3, 5))).high) == pytest.approx((1, 1))
    assert estimate(np.array([[0.2] * 5, [1.0] * 5, [0.9] * 5])).high == 1, "three seeds know little"
    found = gain(np.full(5, 0.7087), np.full(5, 0.4184))
    assert (found.value, found.low, found.high) == pytest.approx((0.692, 0.692, 0.692), abs=2e-3), "the paper's"
    found = gain(np.full(6, 0.5), np.array([0.1, 0, 0, 0, 0, 0]))
    assert found.value == pytest.approx(29)
    assert found.low < found.value
    assert math.isinf(found.high)
    assert gain(np.zeros(3), np.ones(3)).value == -1
    with pytest.raises(InputError, match="in points"):
        gain(np.ones(6), np.zeros(6))


@pytest.mark.parametrize("differences", [[5], [3, -3], [1, 2, 3, 4, 5], [7, 7, 7, -7, 0, 0], [1, -2, 3, -4, 5, -6, 7]])
def test_few_units_are_enumerated_exactly(differences):
    flipped = itertools.product((1, -1), repeat=len(differences))
    sums = [abs(np.dot(signs, differences)) for signs in flipped]  # in whole numbers
    expected = np.mean([total >= abs(sum(differences)) for total in sums])
    tenths = np.array(differences) / 10  # inexact in binary: ties must still count
    assert sign_flip_test(tenths) == expected
    assert p_value(0.3 + tenths, np.full(len(tenths), 0.3)) == expected


def test_drawn_p_values_are_those_of_scipy():
    values = np.random.default_rng(2).normal(0.1, 0.3, size=40)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=100_000, rng=3).pvalue
    assert sign_flip_test(values) == pytest.approx(theirs, abs=0.01)
    assert sign_flip_test(np.ones(60)) == 1 / (statistics.FLIPS + 1)  # never zero
    assert sign_flip_test(np.zeros(60)) == 1


@pytest.mark.parametrize("kind", ["12 tracks", "40 tracks", "three seeds"])
def test_equals_are_told_apart_about_one_time_in_twenty(monkeypatch, kind):
    """Over tracks alone, three lucky seeds of one model would beat three unlucky ones with p < 0.001."""
    monkeypatch.setattr(statistics, "FLIPS", 1000)
    rng, tracks = np.random.default_rng(5), int(kind[:2]) if kind[0].isdigit() else 80
    sets = [(trained(rng, 3), trained(rng, 3)) if tracks == 80 else equals(rng, tracks) for _ in range(SETS)]
    positive = sum(p_value(a, b) <= 0.05 for a, b in sets)
    assert tracks == 80 or positive > 0
    assert positive <= stats.binom.ppf(1 - 1e-4, SETS, 0.05), "no more than chance gives, but for one time in 10,000"
    if tracks == 80:
        assert np.mean([sign_flip_test(a.mean(axis=0) - b.mean(axis=0)) <= 0.05 for a, b in sets[:50]]) > 0.5


def test_a_real_difference_is_found_and_holm_by_hand():
    rng = np.random.default_rng(6)
    assert p_value(trained(rng, 5) + 0.5, trained(rng, 5)) < 0.001
    assert p_value(np.ones((3, 4)), np.zeros((2, 4))) == 0  # nothing varies
    assert p_value(np.ones((3, 4)), np.ones((2, 4))) == 1
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7, 0.8]) == pytest.approx([1, 1, 1])
    assert len(holm([])) == 0


def test_unpaired_or_senseless_values_are_refused():
    for function in (difference, gain, p_value):
        with pytest.raises(InputError, match="same tracks"):
            function(np.ones(3), np.ones(4))
    for bad, why in ((np.ones((3, 1, 3)), "shape"), (np.ones(0), "at least one"), ([1, np.nan], "finite")):
        for function in (difference, gain, p_value, lambda _, values: estimate(values)):
            with pytest.raises(InputError, match=why):
                function(np.ones(3), bad)
