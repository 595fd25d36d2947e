"""How sure a number is, and how sure a difference. Book pages *How to read and how to run*, "Uncertainty", and *The
claims, one by one*.

Values are (units,), or (seeds, units) where a model was trained from several seeds, all tested on the same units: test
tracks, or pieces of which there are several recordings. One bootstrap resamples units and seeds; of two models on the
same units, in the same order, the seeds independently.

Resampling S seeds gives means whose variance is (S - 1) / S of what it should be, so seeds' departures from their mean
are stretched by sqrt(S / (S - 1)). And few seeds do not know their own spread well: an interval is as much wider as
Student's t is than the normal distribution, with Satterthwaite's degrees of freedom; the p value is of the same t.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from phalar.errors import InputError

RESAMPLES = 10_000
FLIPS = 100_000  # signs drawn where there are too many to try all: the smallest p value leaves room for a correction
ALL_FLIPS = 14  # up to so many units all 2^n signs are tried, and the p value is exact


@dataclass(frozen=True)
class Estimate:
    """A measured number with its 95 % interval; the interval is None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None  # units behind it


def estimate(values: np.ndarray, groups: Sequence | None = None, resamples: int = RESAMPLES) -> Estimate:
    """Mean of values (n,) or (seeds, n) with its bootstrap interval; an InputError for none or not finite ones.
    ``groups`` (n,) says which piece or progression each value belongs to: whole groups are then resampled, and are what
    the estimate's ``n`` counts."""
    return _bootstrapped(np.positive, [_checked(values)], groups, resamples)


def difference(a: np.ndarray, b: np.ndarray, groups: Sequence | None = None, resamples: int = RESAMPLES) -> Estimate:
    """Mean of a less mean of b, (n,) or (seeds, n) each, with its bootstrap interval: surer than either number, since
    what is hard for one model is hard for the other. Unit i of both is the same track, cut at the same places; seeds
    need not be equally many; the other arguments are those of :func:`estimate`."""
    return _bootstrapped(np.subtract, _paired(a, b), groups, resamples)


def gain(a: np.ndarray, b: np.ndarray, resamples: int = RESAMPLES) -> Estimate:
    """By what share of b the mean of a exceeds it, mean(a) / mean(b) - 1: 0.692 for +69.2 %, as the paper has it. Where
    b is small the upper end may be infinite, and if its mean is not positive it is an InputError."""
    a, b = _paired(a, b)
    if b.mean() <= 0:
        raise InputError(f"a gain relative to a mean of {b.mean():g} means nothing; state the difference in points")
    scale = a.mean() / b.mean() or 1.0  # both models' luck is in the units of a

    def ratio(over: np.ndarray, under: np.ndarray) -> np.ndarray:
        return scale * np.divide(over, under, out=np.full(np.shape(over), np.inf), where=under > 0) - 1

    return _bootstrapped(ratio, [a, scale * b], None, resamples)


def p_value(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided p value of "a and b are equally good on the average"; ``a, b`` as of :func:`difference`. With one
    seed of both it is about these two files of weights alone: :func:`sign_flip_test` over units. With more, a t test
    whose variance has three sources: the seeds of a, the seeds of b, and the units. Course: *Is it the phase?*"""
    a, b = _paired(a, b)
    by_unit = a.mean(axis=0) - b.mean(axis=0)
    if len(a) == len(b) == 1:
        return sign_flip_test(by_unit)
    variance, freedom = _luck(a, b)
    if not variance:
        return float(not by_unit.mean())
    return float(2 * student.sf(abs(by_unit.mean()) / np.sqrt(variance), freedom))


def sign_flip_test(differences: np.ndarray) -> float:
    """Two-sided p value of the paired permutation test for a mean of differences (n,) that is not zero: the share of
    the 2^n assignments of signs whose mean is at least as far from zero (Fisher 1935); of `FLIPS` drawn ones beyond
    `ALL_FLIPS` units, the observed one counted among them. 1 where none differs."""
    differences = _checked(np.ravel(differences))[0]
    differences = differences[differences != 0]  # their sign changes nothing
    # Sums of the same numbers in another order differ in the last digits, and a tie must count as one.
    bar = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if len(differences) <= ALL_FLIPS:
        signs = 1 - 2 * ((np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences))) & 1)
        return float((np.abs(signs @ differences) >= bar).mean())
    rng, reached = np.random.default_rng(0), 0
    for _ in range(10):
        signs = 1.0 - 2 * rng.integers(0, 2, size=(FLIPS // 10, len(differences)), dtype=np.int8)
        reached += int((np.abs(signs @ differences) >= bar).sum())
    return (reached + 1) / (FLIPS + 1)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values (m,) of all comparisons that were made, corrected for being many by Holm's step-down method (1979): the
    smallest times m, the next times m - 1 and so on, none below the one before it, none above 1."""
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(1.0, corrected)


def _bootstrapped(
    statistic: Callable, models: Sequence[np.ndarray], groups: Sequence | None, resamples: int
) -> Estimate:
    """A statistic of the means of models (seeds, n), and between what ends it lies when units and seeds are drawn."""
    sums, (sizes, *_) = zip(*(_grouped(values, groups) for values in models), strict=True)
    n, rng, means = len(sizes), np.random.default_rng(0), [each / sizes for each in sums]
    value = float(statistic(*(each.sum(axis=1).mean() / sizes.sum() for each in sums)))
    if n == 1:
        return Estimate(value, n=n)
    counts = rng.multinomial(n, np.full(n, 1 / n), size=resamples)  # how often each unit is in each resample
    resampled = statistic(*(_means(each, counts, rng, sizes) for each in sums))
    # A resample's own value at each end, not a mixture of two: next to an infinite one that would be no number.
    ends = np.quantile(resampled, [0.025, 0.975], method="inverted_cdf")
    freedom = _luck(*means)[1]
    if np.isfinite(freedom):
        ends = value + (ends - value) * student.ppf(0.975, freedom) / norm.ppf(0.975)
    if len(models) == 1 and means[0].min() >= 0 and means[0].max() <= 1:
        ends = ends.clip(0, 1)  # shares
    return Estimate(value, *ends.tolist(), n)


def _means(sums: np.ndarray, counts: np.ndarray, rng: np.random.Generator, sizes: np.ndarray) -> np.ndarray:
    """Means (resamples,) of sums (seeds, n) of so many values each: units as counted, seeds drawn here."""
    seeds, weights = len(sums), np.ones((len(counts), 1))
    if seeds > 1:
        drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=len(counts)) / seeds
        weights = 1 / seeds + (drawn - 1 / seeds) * np.sqrt(seeds / (seeds - 1))
    return ((weights @ sums) * counts).sum(axis=1) / (counts * sizes).sum(axis=1)


def _luck(*models: np.ndarray) -> tuple[float, float]:
    """Variance of the mean of a model (seeds, n), or of the difference of two, and Satterthwaite's degrees of freedom:
    infinite where there is one seed only, and units are resampled as they are."""
    by_unit = models[0].mean(axis=0) - (models[1].mean(axis=0) if len(models) > 1 else 0)
    sources = [source for source in (by_unit, *(m.mean(axis=1) for m in models)) if len(source) > 1]
    variances = np.array([source.var(ddof=1) / len(source) for source in sources])
    if max(map(len, models)) == 1 or not variances.sum():
        return variances.sum(), np.inf
    return variances.sum(), variances.sum() ** 2 / (variances**2 / [len(source) - 1 for source in sources]).sum()


def _grouped(values: np.ndarray, groups: Sequence | None) -> tuple[np.ndarray, np.ndarray]:
    """Sums of values (seeds, n) by group, (seeds, groups), and how many each sums, (groups,)."""
    if groups is None:
        return values, np.ones(values.shape[1])
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    member = np.eye(group.max() + 1)[group]
    return values @ member, member.sum(axis=0)


def _checked(values: np.ndarray) -> np.ndarray:
    """As (seeds, n) float64."""
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or not values.size or not np.isfinite(values).all():
        raise InputError(
            f"values of shape {values.shape}: give finite ones, one a unit or (seeds, units), at least one"
        )
    return np.atleast_2d(values)


def _paired(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = _checked(a), _checked(b)
    if a.shape[1] != b.shape[1]:
        raise InputError(f"values of shapes {a.shape} and {b.shape} are not paired; test both on the same tracks")
    return a, b
