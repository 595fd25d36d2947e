"""How far the verdicts can be trusted: invented results, of which the truth is known, through the whole chain.

Accuracies of models that differ by nothing (or by the paper's effects) are drawn with the two kinds of luck there are,
recorded as notebooks record theirs, and judged by the registry of claims. Book notebook *How we judge*.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from phalar.datasets.store import in_processes
from phalar.evaluate.statistics import difference, estimate
from phalar.study import claims
from phalar.study.compare import GAINED, Key, against_full, comparison_records
from phalar.study.records import Record, frame
from phalar.study.tables import lookup

TRACKS = {"chorales": 104, "band": 110, "studio": 80}  # of their test splits
PIECES, DRAWS = 40, 5  # of the other experiments; cuts of each track
LEVEL, HARD = 0.7, 0.2  # accuracy of the full model, and how much tracks differ in it (standard deviation)
SIZE = 0.1  # an effect of which the paper gives no size
RESAMPLES = 400  # of the bootstrap: fewer than the study's, since it is done thousands of times


def effect_of(claim: Mapping[str, Any]) -> float:
    """The paper's effect in a claim's measure, or `SIZE` where it gives none."""
    values = [lookup(*number) for number in claim.get("paper", ())]
    return values[0] - values[1] if len(values) == 2 and values[0] < 1 else SIZE


def drawn(rng: np.random.Generator, mean: float, hard: np.ndarray, seeds: int, luck: float) -> np.ndarray:
    """Accuracies (seeds, tracks) of a model whose training runs scatter by ``luck`` (standard deviation) about a mean,
    on tracks (n,) that are easier or harder than others by ``hard``."""
    chance = mean + rng.normal(0, luck, (seeds, 1)) + hard
    return rng.binomial(DRAWS, chance.clip(0, 1)) / DRAWS


def written(found: np.ndarray, less: np.ndarray | None = None, **about: Any) -> list[Record]:
    """A record a seed of accuracies (seeds, n), or of what they have more than others, (seeds, n) or (1, n)."""
    made = []
    for seed, ours in enumerate(found):
        models = (ours,) if less is None else (ours, less[seed % len(less)])
        e = (estimate if less is None else difference)(*models, resamples=RESAMPLES)
        interval = {"value": e.value, "ci_low": e.low, "ci_high": e.high, "n": e.n}
        made.append(Record(seed=seed, **{"split": "test"} | about | interval))
    return made


def compared(by_track: Mapping[Key, np.ndarray]) -> list[Record]:
    """Records of retrieval with models, accuracies (seeds, n), none gaining since its search, and of comparisons."""
    made = comparison_records(against_full(by_track, resamples=RESAMPLES), "ablations")
    for (variant, dataset, k), found in by_track.items():
        about = {"experiment": "ablations", "dataset": dataset, "variant": variant, "split": "test"}
        made += [*written(found, k=k, metric="top1", **about), Record(metric=GAINED, value=0.0, **about)]
    return made


def invented(rng: np.random.Generator, effects: Mapping[str, float], seeds: int, luck: float) -> pd.DataFrame:
    """Records of a run in which each claim's effect is as given, or else 0, with so many seeds of every model."""
    made, by_track = [], {}
    hard = {name: rng.normal(0, HARD, n) for name, n in TRACKS.items()}
    others = rng.normal(0, HARD, PIECES)
    for claim in claims.registry():
        where, effect = claim.get("evidence", {}), effects.get(claim["claim"], 0.0)
        if "paired" in where:
            for name in [each for each in TRACKS if each in where.get("datasets", TRACKS)]:
                by_track[where["paired"], name, claims.K] = drawn(rng, LEVEL - effect, hard[name], seeds, luck)
        elif "against" in where:
            (ours, *_, rival), metric = where["against"], where["metric"]
            about = {"experiment": where["experiment"], "dataset": "invented", "split": where.get("split", "test")}
            a, b = drawn(rng, LEVEL, others, seeds, luck), drawn(rng, LEVEL - effect, others, 1, 0.0)
            made += written(a, variant=ours, metric=metric, **about)
            made += written(b, variant=rival, metric=metric, **about)
            made += written(a, b, variant=ours, metric=f"{metric}_minus_{rival.split()[0]}", **about)
        elif "stress" in where:
            about = {"experiment": "limits", "variant": "phalar", "k": claims.K}
            luck_of = rng.normal(0, luck, (seeds, 1))  # the same weights on both: training's luck is one
            plain, hurt = (drawn(rng, mean + luck_of, others, seeds, 0.0) for mean in (LEVEL, LEVEL - effect))
            made += written(plain, dataset="stress-plain", metric="top1", **about)
            made += written(hurt, dataset=where["stress"], metric="top1", **about)
            made += written(plain, hurt, dataset=where["stress"], metric=claims.PLAIN_MINUS, **about)
    by_track |= {("phalar", name, claims.K): drawn(rng, LEVEL, hard[name], seeds, luck) for name in TRACKS}
    return frame(made + compared(by_track))


def judge_once(task: tuple[int, float, int, float]) -> dict[str, str]:
    """The verdict on every claim in the invented results of a task: (number, size of the effects, seeds, luck)."""
    number, size, seeds, luck = task
    rng = np.random.default_rng([number, seeds, round(1000 * luck), round(1000 * size)])
    effects = {claim["claim"]: size * effect_of(claim) for claim in claims.registry()}
    found = claims.judged(invented(rng, effects, seeds, luck), {})
    return {one.claim["claim"]: str(one.verdict) for one in found if isinstance(one.claim.get("evidence"), Mapping)}


def judge_many(
    repetitions: int, sizes: Sequence[float], seeds: Sequence[int], lucks: Sequence[float], jobs: int = 1
) -> pd.DataFrame:
    """Verdicts of so many invented runs of each kind, in ``jobs`` processes: a row a run and claim, with columns
    ``size, seeds, luck, repetition, claim, verdict``. ``sizes`` are what the paper's effects are multiplied by, 0 where
    nothing is there; ``seeds`` of every model; ``lucks`` standard deviations of their accuracies, as shares."""
    tasks = [(i, size, s, luck) for size in sizes for s in seeds for luck in lucks for i in range(repetitions)]
    rows = []
    for (number, size, s, luck), found in in_processes(judge_once, tasks, jobs):
        if isinstance(found, BaseException):
            raise found
        about = {"size": size, "seeds": s, "luck": luck, "repetition": number}
        rows += [about | {"claim": claim, "verdict": verdict} for claim, verdict in found.items()]
    return pd.DataFrame(rows)
