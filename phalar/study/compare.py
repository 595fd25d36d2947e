"""The one comparison of two models and the one verdict about a claim. Book page *The claims, one by one*.

Two kinds of luck are in an accuracy: of the training seed and of the test tracks. A difference of two models counts
only beyond both (`phalar.evaluate.statistics`): seeds are resampled, then tracks.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from phalar.errors import InputError
from phalar.evaluate.retrieval import among
from phalar.evaluate.statistics import RESAMPLES, Estimate, difference, gain, holm, p_value
from phalar.study import records
from phalar.study.records import Record, record

ALPHA = 0.05  # corrected p values from here on do not count as evidence
SEEDS = 3  # fewer training runs than this of either model, and nothing is said about the models
CLOSED = 0.02  # who is behind and gained more than this (a share), and than is left of the lead, is catching up
SIZE = 5  # effects that differ by more than this factor are of another size

DIFFERENCE, P_RAW, P_VALUE, GAIN = "top1_minus_phalar", "p_uncorrected", "p_value", "relative_gain"
GAINED = "gained"  # metric: what a training added to the validation accuracy of its short search
Key = tuple[str, str, int]  # (variant or row, data set, K)


@dataclass(frozen=True)
class Comparison:
    """A model minus the full model on the same tracks, in shares (0.1 is 10 points)."""

    difference: Estimate
    gain: Estimate | None  # by what share the full model exceeds it; None where it has nothing
    p: float  # of no difference, two-sided
    corrected: float  # p, by Holm for its family
    seeds: int  # training runs of the model that has fewer


def against_full(by_track: Mapping[Key, np.ndarray], resamples: int = RESAMPLES) -> dict[Key, Comparison]:
    """Compare everything with the full model on the same data set and K, where it was tested; the comparisons are one
    family for Holm. ``by_track`` has the accuracies (seeds, tracks), means over draws, by (variant, data set, K)."""
    full = {key: by_track.get(("phalar", *key[1:])) for key in by_track if key[0] != "phalar"}
    pairs = {key: (by_track[key], theirs) for key, theirs in full.items() if theirs is not None}
    p, found = {key: p_value(*pair) for key, pair in pairs.items()}, {}
    for (key, (a, b)), corrected in zip(pairs.items(), holm(list(p.values())), strict=True):
        relative = gain(b, a, resamples=resamples) if a.mean() > 0 else None
        apart, seeds = difference(a, b, resamples=resamples), min(len(a), len(b))
        found[key] = Comparison(apart, relative, p[key], float(corrected), seeds)
    return found


def of_outcomes(*files: Path | str, k: int) -> dict[Key, np.ndarray]:
    """Accuracies at K of all outcomes in files, as `against_full` takes them, each row's seeds in their order; of the
    same seed of a row the newest counts. An InputError where there are none."""
    found: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for each in records.lines(*files, kind=records.Outcome):
        found.setdefault((each.variant, each.dataset), {})[each.seed] = among(np.array(each.rivals), k).mean(axis=0)
    if not found:
        raise InputError(f"no outcomes in {', '.join(map(str, files))}; `phalar study grid` writes them beside results")
    mixed = [key for key, seeds in found.items() if len({len(values) for values in seeds.values()}) > 1]
    if mixed:
        raise InputError(f"outcomes of {' on '.join(mixed[0])} are of other test tracks in other seeds; give one kind")
    return {(*key, k): np.stack([seeds[seed] for seed in sorted(seeds)]) for key, seeds in found.items()}


def comparison_records(compared: Mapping[Key, Comparison], experiment: str, **about: object) -> list[Record]:
    """Records of each comparison: difference, p, p corrected for this family, and the relative gain, if finite."""
    made = []
    for (variant, dataset, k), each in compared.items():
        shared = {"experiment": experiment, "dataset": dataset, "split": "test", "variant": variant, "k": k, **about}
        values = {DIFFERENCE: each.difference, P_RAW: each.p, P_VALUE: each.corrected}
        values |= {GAIN: each.gain} if each.gain and math.isfinite(each.gain.high or math.inf) else {}
        made += [record(value, metric=metric, **shared) for metric, value in values.items()]
    return made


def corrected(differences: Iterable[Estimate]) -> list[float]:
    """p values of all differences that a page marks, as their intervals mean them, corrected by Holm."""
    ends = [(e.value, *((math.nan, math.nan) if e.low is None else (e.low, e.high))) for e in differences]
    return holm([Effect(*each).p_value() for each in ends]).tolist()


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    PARTIAL = "partial"
    NOT_REPRODUCED = "not reproduced"
    NOT_SHOWN = "not shown"
    NOT_JUDGED = "not judged"
    NOT_TESTABLE = "not testable here"
    NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Effect:
    """A difference in the direction that the paper claims: positive is as claimed. In the unit of its records."""

    value: float
    low: float = math.nan  # 95 % interval; NaN where none was measured
    high: float = math.nan
    p: float | None = None  # None where none was recorded; from the interval then
    seeds: int | None = None  # of the model that has fewer; None where nothing is trained
    behind_low: float = math.inf  # of the model that is behind: lower end of its own interval,
    chance: float = 0.0  # which must lie above this,
    closed: float = 0.0  # and what it `GAINED` on the model ahead since the search; NaN where none was recorded
    level: float = math.nan  # upper end of our own value

    @property
    def unjudged(self) -> str:
        """Why nothing can be said about it, or an empty text. Course: *Is it the phase?*"""
        if self.seeds is not None and self.seeds < SEEDS:
            return "one seed" if self.seeds == 1 else f"{self.seeds} seeds"
        if self.behind_low <= self.chance:
            return "the model behind is not trained enough: its interval does not lie above chance"
        left = self.low if self.value >= 0 else -self.high
        if not self.closed <= (CLOSED if math.isnan(left) else max(CLOSED, left)):
            return "no shorter training is recorded" if math.isnan(self.closed) else "the model behind is catching up"
        return "no interval" if math.isnan(self.low) else ""

    def p_value(self) -> float:
        """p as recorded, or what the interval means under a normal distribution."""
        if self.p is not None or math.isnan(self.low):
            return 1.0 if self.p is None else self.p
        half = max((self.high - self.low) / 2, 1e-12)
        return float(2 * stats.norm.sf(1.96 * abs(self.value) / half))


def judge(effect: Effect, claimed: float | None = None, level: float | None = None) -> tuple[Verdict, str]:
    """Verdict on one corpus by the rule of the page *The claims, one by one*, and why, in a few words. The effect's p
    is corrected for the family it is judged in. ``claimed`` is the paper's effect, positive, and ``level`` its own
    level, given on its own data only; None where there is no number. Course: *Is it the phase?*"""
    if effect.unjudged:
        return Verdict.NOT_JUDGED, effect.unjudged
    if effect.high <= 0:
        return Verdict.NOT_REPRODUCED, "the other way round" if effect.high < 0 else "no difference"
    if effect.low <= 0 or effect.p_value() >= ALPHA:
        if claimed is not None and effect.high < claimed / SIZE:
            return Verdict.NOT_REPRODUCED, f"not even 1/{SIZE} of the paper's effect"
        return (
            Verdict.NOT_SHOWN,
            "the interval holds zero" if effect.low <= 0 else f"corrected p = {effect.p_value():.2g}",
        )
    if claimed is not None and effect.high < claimed / SIZE:
        return Verdict.PARTIAL, f"under 1/{SIZE} of the paper's effect"
    if claimed is not None and effect.low > claimed * SIZE:
        return Verdict.PARTIAL, f"over {SIZE} times the paper's effect"
    if level is not None and not effect.level >= level:
        return Verdict.PARTIAL, "below the paper's level"
    return Verdict.REPRODUCED, "the interval lies above zero"


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several corpora: theirs where they agree, partial where only some reproduced it; those that could
    not be judged have no vote where others could."""
    found = set(verdicts)
    found = found - {Verdict.NOT_JUDGED} or found
    if len(found) <= 1:
        return found.pop() if found else Verdict.NOT_RUN
    if found & {Verdict.REPRODUCED, Verdict.PARTIAL}:
        return Verdict.PARTIAL
    return Verdict.NOT_REPRODUCED


def differing(first: Path | str, second: Path | str) -> pd.DataFrame:
    """Where two results files differ by more than their intervals: a row a measurement whose intervals do not meet. Of
    several seeds of a model the mean counts, and the widest interval. An InputError where they have none in common."""
    key = [name for name in records.KEY if name not in ("config_hash", "seed")]
    how, once = {"value": "mean", "ci_low": "min", "ci_high": "max"}, [*key, "seed"]
    tables = [records.read(path).drop_duplicates(once, keep="last") for path in (first, second)]
    means = [table.groupby(key, dropna=False).agg(how).reset_index() for table in tables]
    both = means[0].merge(means[1], on=key, suffixes=("_a", "_b"))
    if both.empty:
        raise InputError(f"{first} and {second} have no measurement in common: is one of them still to be run?")
    apart = (both["ci_low_a"] > both["ci_high_b"]) | (both["ci_low_b"] > both["ci_high_a"])
    ends = ["value_a", "ci_low_a", "ci_high_a", "value_b", "ci_low_b", "ci_high_b"]
    return both.loc[apart, [*key, *ends]].reset_index(drop=True)
