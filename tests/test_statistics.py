"""Intervals cover what they say, tests are wrong as rarely as they say, and both refuse what they cannot mean."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from phalar.errors import InputError
from phalar.evaluate.statistics import (
    ALL_FLIPS,
    bootstrap_interval,
    compare,
    holm,
    mcnemar,
    paired_difference,
    relative_gain,
    sign_flip_test,
    spread,
)

SETS = 400
"""Data sets without a difference, for the rate of false positives."""


def equals(rng, tracks, models=2):
    """Accuracies (models, tracks) of models that are equally good, on tracks of very different difficulty."""
    difficulty = rng.beta(2, 1, size=tracks)
    return rng.binomial(20, difficulty, size=(models, tracks)) / 20


def plausible(count, trials, rate):
    """Whether so many hits are within what chance gives at that rate, but for one time in ten thousand."""
    return stats.binom.ppf(5e-5, trials, rate) <= count <= stats.binom.ppf(1 - 5e-5, trials, rate)


# --- intervals


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).exponential(size=60)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=1).confidence_interval
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


def test_seeds_are_averaged_and_need_not_be_equally_many():
    rng = np.random.default_rng(0)
    a, b = rng.random((3, 20)), rng.random((2, 20))
    for function in (paired_difference, relative_gain, sign_flip_test):
        assert function(a, b) == function(a.mean(axis=0), b.mean(axis=0))
    assert compare(a, b[0]) == compare(a.mean(axis=0), b[0])


# --- relative gain


def test_the_gain_is_the_papers():
    gain, low, high = relative_gain(np.full(5, 0.7087), np.full(5, 0.4184))
    assert (gain, low, high) == pytest.approx((0.692, 0.692, 0.692), abs=2e-3)


def test_the_interval_of_a_gain_is_that_of_scipy():
    rng = np.random.default_rng(1)
    b = rng.beta(3, 3, size=80)
    a = np.clip(b + 0.2 + 0.2 * rng.normal(size=80), 0, 1)

    def ratio(x, y, axis):
        return x.mean(axis=axis) / y.mean(axis=axis) - 1

    theirs = stats.bootstrap((a, b), ratio, paired=True, method="percentile", n_resamples=20_000, rng=2)
    assert relative_gain(a, b)[1:] == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)


def test_a_gain_over_almost_nothing_has_no_upper_end():
    a, b = np.full(6, 0.5), np.array([0.1, 0, 0, 0, 0, 0])
    gain, low, high = relative_gain(a, b)
    assert gain == pytest.approx(29)
    assert low < gain
    assert math.isinf(high)
    with pytest.raises(InputError, match="in points"):
        relative_gain(a, np.zeros(6))


# --- sign flips


def brute_force(differences):
    """Share of all assignments of signs whose mean is as far from zero, one by one, in whole numbers."""
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(total >= observed for total in sums) / len(sums)


@pytest.mark.parametrize(
    "differences",
    [
        [5],
        [3, -3],
        [1, 2, 3, 4, 5],
        [7, 7, 7, -7, 0, 0],  # ties and zeros
        [1, -2, 3, -4, 5, -6, 7, -8, 9],
        [2, 2, 2, 2, 2, 2, 2, 2, -1, 1],
    ],
)
def test_few_tracks_are_enumerated_exactly(differences):
    a = np.array(differences) / 10  # tenths are inexact in binary: ties must still count
    assert sign_flip_test(a, np.zeros(len(a))) == brute_force(differences)
    assert sign_flip_test(0.3 + a, np.full(len(a), 0.3)) == brute_force(differences)


def test_exact_and_drawn_p_values_are_those_of_scipy():
    rng = np.random.default_rng(2)
    for n in (ALL_FLIPS - 2, ALL_FLIPS, 40):
        a, b = rng.random(n) + 0.1, rng.random(n)
        theirs = stats.permutation_test(
            (a - b,), np.mean, permutation_type="samples", n_resamples=100_000 if n > ALL_FLIPS else np.inf, rng=3
        ).pvalue
        ours = sign_flip_test(a, b)
        assert ours == (pytest.approx(theirs, abs=1e-12) if n <= ALL_FLIPS else pytest.approx(theirs, abs=0.01))


def test_a_drawn_p_value_is_that_of_the_enumeration(monkeypatch):
    a, b = np.random.default_rng(3).random((2, 13))
    exact = sign_flip_test(a, b)
    monkeypatch.setattr("phalar.evaluate.statistics.ALL_FLIPS", 0)
    drawn = sign_flip_test(a, b)
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=0.008)  # five standard deviations of 100,000 draws


def test_a_drawn_p_value_is_never_zero_and_depends_on_its_seed_alone():
    a, b = np.ones(60), np.zeros(60)
    assert sign_flip_test(a, b, flips=999) == 1 / 1000
    a, b = np.random.default_rng(4).random((2, 30))
    assert sign_flip_test(a, b) == sign_flip_test(a, b) == sign_flip_test(b, a)
    assert sign_flip_test(a, b, seed=1, flips=500) != sign_flip_test(a, b, seed=2, flips=500)
    assert sign_flip_test(a, b, flips=15_000) == pytest.approx(sign_flip_test(a, b), abs=0.03)  # not a whole chunk


@pytest.mark.parametrize("tracks", [3, 100])
def test_no_difference_at_all_is_no_evidence(tracks):
    same = np.random.default_rng(0).random(tracks)
    assert sign_flip_test(same, same) == 1
    assert compare(same, same).p == 1
    assert mcnemar(same > 0.5, same > 0.5) == 1


@pytest.mark.parametrize("tracks", [12, 40])
def test_equals_are_told_apart_about_one_time_in_twenty(tracks):
    rng = np.random.default_rng(5)
    positive = sum(sign_flip_test(*equals(rng, tracks), seed=i, flips=999) <= 0.05 for i in range(SETS))
    assert plausible(positive, SETS, 0.05)
    assert positive > 0


def test_a_real_difference_is_found():
    """0.1 with a standard deviation of 0.2 on 40 tracks is 3.2 standard errors: the t test's power is 0.87."""
    rng = np.random.default_rng(6)
    found = sum(sign_flip_test(rng.normal(0.1, 0.2, size=40), np.zeros(40), flips=999) <= 0.05 for _ in range(200))
    noncentral = 0.1 / 0.2 * math.sqrt(40)
    power = stats.nct.sf(stats.t.ppf(0.975, 39), 39, noncentral) + stats.nct.cdf(
        -stats.t.ppf(0.975, 39), 39, noncentral
    )
    assert plausible(found, 200, power)


# --- McNemar


def test_mcnemar_is_the_binomial_test_of_the_disagreements():
    rng = np.random.default_rng(7)
    for tracks in (1, 9, 30, 200):
        a, b = rng.random((2, tracks)) < [[0.8], [0.6]]
        wins, losses = int((a & ~b).sum()), int((b & ~a).sum())
        theirs = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1
        assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(theirs)


def test_mcnemar_by_hand():
    """Six tracks on which only one is right, always the same one: 2 / 2^6. Agreement adds nothing."""
    a = np.array([1] * 6 + [1] * 50 + [0] * 50)
    assert mcnemar(a, np.where(np.arange(106) < 6, 0, a)) == pytest.approx(2 / 64)


def test_mcnemar_on_right_and_wrong_is_the_sign_flip_test():
    """Both flip the same coins, so on 0 and 1 they are one test."""
    a, b = np.random.default_rng(8).random((2, 20)) < [[0.9], [0.5]]
    assert (a != b).sum() <= ALL_FLIPS
    assert mcnemar(a, b) == pytest.approx(sign_flip_test(a, b))


def test_mcnemar_of_chances_is_refused():
    with pytest.raises(InputError, match="single draws"):
        mcnemar(np.array([0.5, 1]), np.array([0, 1]))


def test_mcnemar_is_wrong_no_more_often_than_it_says():
    """An exact test of whole numbers is on the safe side: at most 5 %."""
    rng = np.random.default_rng(9)
    positive = sum(mcnemar(*(rng.random((2, 60)) < 0.7)) <= 0.05 for _ in range(SETS))
    assert positive <= stats.binom.ppf(1 - 5e-5, SETS, 0.05)
    assert positive > 0


# --- many comparisons


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04: times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04, and the last may not fall below 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.2]) == pytest.approx([0.2])
    assert holm([0.6, 0.7, 0.8]) == pytest.approx([1, 1, 1])
    assert holm([0.02, 0.02]) == pytest.approx([0.04, 0.04])
    assert len(holm([])) == 0


def test_holm_rejects_what_the_step_down_procedure_rejects():
    rng = np.random.default_rng(10)
    for _ in range(50):
        p_values = rng.beta(0.4, 2, size=8)
        rejected = set()
        for step, i in enumerate(np.argsort(p_values)):
            if p_values[i] > 0.05 / (8 - step):
                break
            rejected.add(int(i))
        assert set(np.flatnonzero(holm(p_values) <= 0.05).tolist()) == rejected


def test_among_many_comparisons_of_equals_one_is_positive_about_one_time_in_twenty():
    """Each of nine variants against one model, on the same tracks: without the correction far more often."""
    rng = np.random.default_rng(11)
    raw = corrected = 0
    for _ in range(SETS):
        first, *others = equals(rng, 12, models=10)
        p_values = np.array([sign_flip_test(other, first) for other in others])
        raw += (p_values <= 0.05).any()
        corrected += (holm(p_values) <= 0.05).any()
    assert raw / SETS > 0.15
    assert corrected <= stats.binom.ppf(1 - 5e-5, SETS, 0.05)


@pytest.mark.parametrize("bad", [[0.1, np.nan], [-0.1], [1.1], [[0.1]], 0.1])
def test_holm_of_no_p_values_is_refused(bad):
    with pytest.raises(InputError, match="p values"):
        holm(bad)


# --- seeds


def test_the_spread_of_training_and_that_of_testing_are_kept_apart():
    rng = np.random.default_rng(12)
    tracks = 0.7 + 0.1 * rng.normal(size=100)
    lucky = np.array([-0.03, 0.0, 0.03])[:, None] + tracks  # seeds differ, the same on every track
    found = spread(lucky)
    assert found.mean == pytest.approx(tracks.mean())
    assert found.sd == pytest.approx(0.03)
    assert found.half_width == pytest.approx(1.96 * tracks.std() / 10, rel=0.05)
    assert (found.seeds, found.tracks) == (3, 100)
    alike = spread(np.stack([tracks, tracks]))
    assert alike.sd == pytest.approx(0, abs=1e-12)
    assert alike.half_width == pytest.approx(found.half_width)
    assert spread(np.full((3, 5), 0.5)).half_width == pytest.approx(0, abs=1e-12)


def test_one_seed_has_no_spread():
    assert spread(np.ones((1, 4))).sd is None


@pytest.mark.parametrize("values", [np.ones(4), np.ones((0, 4)), np.ones((2, 0)), [[1, np.nan]]])
def test_a_spread_of_something_else_is_refused(values):
    with pytest.raises(InputError):
        spread(values)


# --- a comparison as a whole


def test_a_comparison_gathers_points_gain_and_chance():
    rng = np.random.default_rng(13)
    a, b = rng.beta(8, 2, size=50), rng.beta(5, 5, size=50)
    found = compare(a, b)
    assert (found.difference, found.low, found.high) == paired_difference(a, b)
    assert (found.gain, found.gain_low, found.gain_high) == relative_gain(a, b)
    assert (found.p, found.tracks) == (sign_flip_test(a, b), 50)
    back = compare(b, a)
    assert (back.difference, back.p) == (pytest.approx(-found.difference), found.p)
    nothing = compare(a, np.zeros(50))
    assert math.isnan(nothing.gain)
    assert nothing.difference == pytest.approx(a.mean())


@pytest.mark.parametrize("function", [paired_difference, relative_gain, sign_flip_test, mcnemar, compare])
def test_unpaired_or_senseless_values_are_refused(function):
    with pytest.raises(InputError, match="same tracks"):
        function(np.ones(3), np.ones(4))
    with pytest.raises(InputError, match="same tracks"):
        function(np.ones(3), np.ones((3, 1, 3)))
    with pytest.raises(InputError, match="same tracks"):
        function(np.float64(1), np.ones(1))
    with pytest.raises(InputError, match="at least one"):
        function(np.ones(0), np.ones(0))
    with pytest.raises(InputError, match="NaN"):
        function(np.ones(2), np.array([1, np.nan]))


def test_mcnemar_knows_no_seeds():
    with pytest.raises(InputError, match="same tracks"):
        mcnemar(np.ones((2, 3)), np.ones((2, 3)))
