"""How sure a number is, and how sure a difference. Book pages *How to read and how to run*, "Uncertainty", and *The
claims, one by one*.

Values are shares from 0 to 1, one a test track, or (seeds, tracks) where a model was trained from several seeds. The
unit is always the track: its draws are averaged before they come here, and its seeds here. Two models are compared on
the same tracks, in the same order.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from phalar.errors import InputError

RESAMPLES = 10_000
FLIPS = 100_000
"""Sign flips drawn where there are too many to try all: the smallest p value is then 1e-5, which leaves room for a
correction for many comparisons."""

ALL_FLIPS = 14
"""Up to so many units all 2^n sign flips are tried, and the p value is exact."""


def bootstrap_interval(
    values: np.ndarray, level: float = 0.95, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of independent values.

    The values must be the units that were sampled (one a track, not one an excerpt): excerpts of one piece are alike,
    and counting them as independent would make the interval too narrow.

    Parameters
    ----------
    values : array (n,)
    level : float
        Share of resampled means inside the interval.
    seed : int
    resamples : int

    Returns
    -------
    low, high : float
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) == 0:
        raise InputError(f"values of shape {values.shape}: a bootstrap needs one value a unit, at least one")
    if not np.isfinite(values).all():
        raise InputError("values have NaN or infinite entries; find out why before averaging them away")
    means = _resamples(len(values), seed, resamples) @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _resamples(n: int, seed: int, resamples: int) -> np.ndarray:
    """How often each of n units is in each resample, (resamples, n): counts of n draws from n are multinomial, so no
    indices need be drawn and gathered."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def paired_difference(a: np.ndarray, b: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a - b and its bootstrap interval, for two models tested on the same units.

    Parameters
    ----------
    a, b : array (n,) or (seeds, n)
        Unit i of both is the same track, cut at the same places: what is hard for one model is hard for the other,
        and the difference is surer than either number. Seeds are averaged, and need not be equally many.

    Returns
    -------
    difference, low, high : float
    """
    a, b = _paired(a, b)
    return (float((a - b).mean()), *bootstrap_interval(a - b, level, seed))


def relative_gain(a: np.ndarray, b: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """By what share of b the mean of a exceeds it, mean(a) / mean(b) - 1, and its bootstrap interval over tracks.

    The paper states its gain over COCOLA so: 70.87 against 41.84 is +69.2 %. Tracks are resampled for both models at
    once. Where b is small the ratio is hardly known, and the interval says so; its upper end may be infinite.

    Parameters
    ----------
    a, b : array (n,) or (seeds, n)
        As in :func:`paired_difference`.

    Returns
    -------
    gain, low, high : float
        0.692 for +69.2 %.

    Raises
    ------
    InputError
        If the mean of b is not positive: nothing can be stated in shares of it.
    """
    a, b = _paired(a, b)
    if b.mean() <= 0:
        raise InputError(f"a gain relative to a mean of {b.mean():g} means nothing; state the difference in points")
    counts = _resamples(len(a), seed, RESAMPLES)
    over, under = counts @ a, counts @ b
    ratios = np.divide(over, under, out=np.full(RESAMPLES, np.inf), where=under > 0)
    # An actual resample's value at each end, not a mixture of two: next to an infinite one that would be no number.
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
    return float(a.mean() / b.mean() - 1), float(low - 1), float(high - 1)


def sign_flip_test(a: np.ndarray, b: np.ndarray, seed: int = 0, flips: int = FLIPS) -> float:
    """Two-sided p value of the paired permutation test for a difference of means.

    If two models were equally good, it would be chance which of them got which of a track's two values. So each
    track's difference may as well have the other sign, and p is the share of all 2^n assignments of signs whose mean
    is at least as far from zero as the observed one (Fisher 1935). Nothing is supposed about how values are
    distributed. Up to `ALL_FLIPS` tracks that differ, all assignments are tried. Beyond, ``flips`` are drawn, and the
    observed one counts among them, so that p is never zero and never too small.

    Parameters
    ----------
    a, b : array (n,) or (seeds, n)
        As in :func:`paired_difference`.
    seed : int
        Of the draw of signs.
    flips : int
        Assignments drawn.

    Returns
    -------
    float
        1 where no track differs.
    """
    a, b = _paired(a, b)
    differences = a - b
    differences = differences[differences != 0]  # their sign changes nothing
    n, observed = len(differences), abs(differences.sum())
    # Sums of the same numbers in another order differ in the last digits, and a tie must count as one.
    bar = observed - 1e-9 * np.abs(differences).sum()
    if n <= ALL_FLIPS:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ differences) >= bar).mean())
    rng, reached, step = np.random.default_rng(seed), 0, 10_000
    for start in range(0, flips, step):
        signs = 1.0 - 2 * rng.integers(0, 2, size=(min(step, flips - start), n), dtype=np.int8)
        reached += int((np.abs(signs @ differences) >= bar).sum())
    return (reached + 1) / (flips + 1)


def mcnemar(a: np.ndarray, b: np.ndarray) -> float:
    """Two-sided exact p value of McNemar's test: is one of two models right more often where only one of them is?

    A check of :func:`sign_flip_test` that sees only right and wrong: of the tracks on which the models disagree, each
    should have half. Values between 0 and 1 (a chance over many batches, a mean over draws) are no right and wrong:
    take one draw, with all tracks as candidates, where :func:`phalar.evaluate.retrieval.top1` is 0 or 1.

    Parameters
    ----------
    a, b : array (n,) of bool, or of 0 and 1
        Right or wrong of both models on the same pairs.

    Returns
    -------
    float
        1 where they never disagree.
    """
    a, b = _paired(a, b, seeds=False)
    if not (np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all()):
        raise InputError("values other than 0 and 1: McNemar's test compares right and wrong of single draws")
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    return float(min(1.0, 2 * binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p values corrected for being many, by Holm's step-down method (1979).

    With twenty comparisons of equals one is expected to pass 0.05. Corrected ones below 0.05 contain *any* false
    positive with a chance of at most 0.05, however the comparisons hang together.

    Parameters
    ----------
    p_values : sequence (m,)
        Of all comparisons that were made, not of the interesting ones.

    Returns
    -------
    array (m,), float64
        In the same order: the smallest times m, the next times m - 1 and so on, none below the one before it, none
        above 1.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise InputError(f"p values {p_values.tolist()} are not a list of numbers from 0 to 1")
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


@dataclass(frozen=True)
class Spread:
    """Two kinds of luck, apart: of training (``sd``) and of the choice of test tracks (``half_width``)."""

    mean: float
    sd: float | None  # over seeds, of their means; None for one seed
    half_width: float  # of the 95 % interval over tracks, the mean of the seeds' own
    seeds: int
    tracks: int


def spread(values: np.ndarray) -> Spread:
    """How far training runs differ that differ in their seed alone, beside how well the test tracks pin each one down.

    All seeds are tested on the same tracks: which tracks these are moves them together, so ``sd`` holds none of it,
    and ``half_width`` none of the luck of training. A new training run, tested on new tracks, has both.

    Parameters
    ----------
    values : array (seeds, tracks)
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"values of shape {values.shape}: a spread over seeds needs (seeds, tracks)")
    ends = [bootstrap_interval(one) for one in values]  # refuses what is not finite
    means = values.mean(axis=1)
    return Spread(
        mean=float(means.mean()),
        sd=float(means.std(ddof=1)) if len(means) > 1 else None,
        half_width=float(np.mean([(high - low) / 2 for low, high in ends])),
        seeds=values.shape[0],
        tracks=values.shape[1],
    )


@dataclass(frozen=True)
class Comparison:
    """Model a against model b on the same tracks. Differences are shares (0.1 for 10 points), intervals are 95 %."""

    difference: float  # mean(a) - mean(b)
    low: float
    high: float
    gain: float  # mean(a) / mean(b) - 1, NaN (with its interval) where the mean of b is zero
    gain_low: float
    gain_high: float
    p: float  # of `sign_flip_test`, not corrected: see `holm`
    tracks: int


def compare(a: np.ndarray, b: np.ndarray, seed: int = 0) -> Comparison:
    """Effect in points and relative, as the paper states it, and whether it may be chance.

    Parameters
    ----------
    a, b : array (n,) or (seeds, n)
        As in :func:`paired_difference`.
    """
    first, second = _paired(a, b)
    gain = relative_gain(first, second, seed=seed) if second.mean() > 0 else (math.nan,) * 3
    return Comparison(
        *paired_difference(first, second, seed=seed), *gain, sign_flip_test(first, second, seed), len(first)
    )


def _paired(a: np.ndarray, b: np.ndarray, seeds: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Both as (tracks,) float64, their seeds averaged."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim not in (1, 1 + seeds) or b.ndim not in (1, 1 + seeds) or a.shape[-1] != b.shape[-1]:
        raise InputError(f"values of shapes {a.shape} and {b.shape} are not paired; test both on the same tracks")
    if a.size == 0 or b.size == 0:
        raise InputError(f"values of shapes {a.shape} and {b.shape}: nothing to compare; at least one track is needed")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("values have NaN or infinite entries; find out why before comparing them")
    return tuple(values.mean(axis=0) if values.ndim == 2 else values for values in (a, b))
