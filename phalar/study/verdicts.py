"""Did a claim come back? The rule, fixed before anything was measured, and no word of judgement by hand.

Book page *The claims, one by one*, which shows `RULE` as it stands here.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

SIZE = 5
"""Effects that differ by more than this factor are of another size."""

ALPHA = 0.05
"""Corrected p values from here on do not count as evidence."""

SOME = 0.01
"""Share of features that counts as "some"."""


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    PARTIAL = "partial"
    NOT_REPRODUCED = "not reproduced"
    NOT_TESTABLE = "not testable here"
    NOT_RUN = "not run yet"


RULE = f"""\
An *effect* is the difference that a claim is about, taken in the direction the paper claims, with its 95 % interval.
On each corpus it is

- **reproduced** if it is positive, its interval excludes zero, where a p value was corrected for many comparisons that
  is below {ALPHA:g}, and some value in the interval is within a factor of {SIZE} of the paper's effect, where the paper
  gives one;
- **partial** if it is positive and one of the other conditions fails: the interval includes zero (or there is none),
  the corrected p value is {ALPHA:g} or more, or the effect is of another size, over {SIZE} times the paper's or under
  1/{SIZE} of it;
- **not reproduced** if it is zero or negative, or if its interval includes zero and is so tight that even 1/{SIZE} of
  the paper's effect lies above it.

If the data set of the claim itself was tested, it alone decides, and the level counts too: an effect that is there, at
a level whose interval stays below the paper's number, is partial. Otherwise the stand-ins decide: reproduced, or not
reproduced, where all agree; partial where they do not. A level measured on a stand-in is shown and never judged, since
it is other music.

A claim without a difference has a rule of its own. A size (parameters) is reproduced if our counts round to the paper's
figures, partial if only the claimed proportion holds. "Some features do this, others that" is reproduced if the
interval of their share lies from {100 * SOME:g} to {100 * (1 - SOME):g} %, partial if only the share itself does.

What no record of this run speaks of is **not run yet**. What cannot be tested with what is at hand is **not testable
here**, with the reason.
"""


@dataclass(frozen=True)
class Effect:
    """A difference in the direction that the paper claims: positive is as claimed. In the unit of its records."""

    value: float
    low: float = math.nan  # 95 % interval; NaN where none was measured
    high: float = math.nan
    p: float | None = None  # corrected for many comparisons; None where none was recorded


def judge(effect: Effect, claimed: float | None = None) -> tuple[Verdict, str]:
    """Verdict on one corpus, and why, in a few words.

    Parameters
    ----------
    effect : Effect
    claimed : float, optional
        The paper's effect, positive; None where it gives no number.
    """
    if not effect.value > 0:
        return Verdict.NOT_REPRODUCED, "no difference" if effect.value == 0 else "the other way round"
    if math.isnan(effect.low) or math.isnan(effect.high):
        return Verdict.PARTIAL, "no interval"
    if effect.low <= 0:
        if claimed is not None and effect.high < claimed / SIZE:
            return Verdict.NOT_REPRODUCED, f"not even 1/{SIZE} of the paper's effect"
        return Verdict.PARTIAL, "the interval includes zero"
    if effect.p is not None and effect.p >= ALPHA:
        return Verdict.PARTIAL, f"corrected p = {effect.p:.2g}"
    if claimed is not None and effect.high < claimed / SIZE:
        return Verdict.PARTIAL, f"under 1/{SIZE} of the paper's effect"
    if claimed is not None and effect.low > claimed * SIZE:
        return Verdict.PARTIAL, f"over {SIZE} times the paper's effect"
    return Verdict.REPRODUCED, "interval excludes zero"


def at_level(verdict: Verdict, why: str, high: float, claimed: float) -> tuple[Verdict, str]:
    """The verdict on the paper's own data, where the level counts too: ``high`` is the upper end of ours."""
    if verdict is Verdict.REPRODUCED and not high >= claimed:
        return Verdict.PARTIAL, "below the paper's level"
    return verdict, why


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of several corpora: theirs where they agree, else partial; not run where there is none."""
    found = set(verdicts)
    if not found:
        return Verdict.NOT_RUN
    return found.pop() if len(found) == 1 else Verdict.PARTIAL


def judge_share(value: float, low: float = math.nan, high: float = math.nan) -> tuple[Verdict, str]:
    """Verdict on "some do, others do not", by the share that does and its interval."""
    if not SOME <= value <= 1 - SOME:
        return Verdict.NOT_REPRODUCED, "hardly any do" if value < SOME else "nearly all do"
    if low >= SOME and high <= 1 - SOME:
        return Verdict.REPRODUCED, "both kinds are there"
    return Verdict.PARTIAL, "no interval" if math.isnan(low) else "the interval includes hardly any, or nearly all"


def judge_sizes(ours: int, baseline: int, claimed: float, claimed_baseline: float, unit: float) -> tuple[Verdict, str]:
    """Verdict on counted parameters against the paper's figures, given to ``unit`` (0.1 million).

    The proportion claimed is "less than half".
    """
    share = f"{100 * ours / baseline:.0f} % of COCOLA"
    exact = all(abs(count - figure) <= unit / 2 for count, figure in ((ours, claimed), (baseline, claimed_baseline)))
    if exact:
        return Verdict.REPRODUCED, share
    if 2 * ours < baseline:
        return Verdict.PARTIAL, f"{share}, but other figures"
    return Verdict.NOT_REPRODUCED, share
