"""All that is measured of one network on one excerpt, as a survey of many excerpts needs it."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from phalar.evaluate.rotation.shifting import Excerpt, by_steps
from phalar.evaluate.rotation.trajectories import Motion, motion, trace
from phalar.evaluate.rotation.twin import turned
from phalar.model.frontend import SAMPLE_RATE
from phalar.model.stem_model import StemModel


@dataclass(frozen=True)
class Moved:
    """What one model's features do on one excerpt.

    pooled, embedding : Motion
        Arrays (D, C) and (512,).
    whole, all : float
        Linearity R²: share of the embeddings' power that the analytic twin explains, over shifts by whole steps and
        over all shifts; 0, where it is exact, is left out.
    chance : float
        Share of pooled features that the rule calls rotating when the shifts are put in random order.
    """

    pooled: Motion
    embedding: Motion
    whole: float
    all: float
    chance: float


def measure(model: StemModel, excerpt: Excerpt) -> Moved:
    """Move the stem by thirds of a step up to two bars, and follow every feature."""
    shifts = by_steps(excerpt)
    seen = trace(model, excerpt.delayed(shifts))
    seconds = shifts / SAMPLE_RATE
    predicted = turned(model, seen.pooled[0], shifts, excerpt.length)[1]
    whole = np.arange(len(shifts)) % 3 == 0
    whole[0] = False
    pooled = seen.pooled.numpy()
    shuffled = pooled[np.random.default_rng(excerpt.start).permutation(len(pooled))]
    return Moved(
        motion(pooled, seconds, excerpt.length, pooled=True),
        motion(seen.embedding.numpy(), seconds, excerpt.length, pooled=False),
        _linearity(seen.embedding[whole], predicted[whole]),
        _linearity(seen.embedding[1:], predicted[1:]),
        float((motion(shuffled, seconds, excerpt.length, pooled=True).kind == 0).mean()),
    )


def _linearity(truth: Tensor, predicted: Tensor) -> float:
    missed = (truth - predicted).abs().square().sum()
    return float(1 - missed / truth.abs().square().sum())
