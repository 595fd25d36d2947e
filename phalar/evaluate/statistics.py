"""How sure a number is. Book page *How to read and how to run*, "Uncertainty"."""

import numpy as np

from phalar.errors import InputError

RESAMPLES = 10_000


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
    rng = np.random.default_rng(seed)
    # Counts of a resample of n units from n are multinomial: no need to draw and gather indices.
    counts = rng.multinomial(len(values), np.full(len(values), 1 / len(values)), size=resamples)
    means = counts @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_difference(a: np.ndarray, b: np.ndarray, level: float = 0.95, seed: int = 0) -> tuple[float, float, float]:
    """Mean of a - b and its bootstrap interval, for two models tested on the same units.

    Parameters
    ----------
    a, b : array (n,)
        Unit i of both is the same track, cut at the same places: what is hard for one model is hard for the other,
        and the difference is surer than either number.

    Returns
    -------
    difference, low, high : float
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape:
        raise InputError(f"values of shapes {a.shape} and {b.shape} are not paired; test both on the same tracks")
    return (float((a - b).mean()), *bootstrap_interval(a - b, level, seed))
