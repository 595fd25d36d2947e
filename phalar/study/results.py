"""The former name of `phalar.study.records`, until its last caller has moved."""

import numpy as np

from phalar.evaluate.statistics import bootstrap_interval
from phalar.study.records import (  # noqa: F401
    BENCHES,
    COLUMNS,
    KEY,
    PRESETS,
    REFERENCE,
    Record,
    append,
    commit,
    frame,
    merge,
    provenance,
    read,
    versions,
)


def mean_record(values: np.ndarray, **about) -> Record:
    """A record of the mean of values (n,), one a unit, with its 95 % bootstrap interval over units."""
    low, high = bootstrap_interval(values)
    return Record(value=float(values.mean()), ci_low=low, ci_high=high, n=len(values), **about)
