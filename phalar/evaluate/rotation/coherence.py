"""How well a stem still fits its mix when it comes late: the score against the shift.

Music repeats, so the score should come back at beats, and more so at bars.
"""

from dataclasses import dataclass

import numpy as np

from phalar.errors import InputError
from phalar.evaluate.rotation.shifting import Excerpt
from phalar.model.frontend import SAMPLE_RATE
from phalar.model.stem_model import StemModel


@dataclass(frozen=True)
class Contrast:
    """How far a coherence curve stands out, in standard deviations of that curve.

    beat : mean over shifts by whole beats, less the mean over all others; 0 and bars are left out of both
    bar : mean over shifts by whole bars, less the mean over the other whole beats; 0 is left out
    """

    beat: float
    bar: float


def scores(model: StemModel, excerpt: Excerpt, shifts: np.ndarray) -> np.ndarray:
    """Symmetrised scores of the mix with the stem at each shift: (J,) samples to (J,) float64."""
    mix = model.embed(excerpt.mix(), SAMPLE_RATE)
    stems = model.embed(excerpt.delayed(shifts), SAMPLE_RATE)
    return model.similarity(mix, stems)[0].double().cpu().numpy()


def contrast(score: np.ndarray, beats: np.ndarray, bar: int) -> Contrast:
    """Whether a curve has peaks at beats and at bars.

    Parameters
    ----------
    score : array (J,)
    beats : array (J,)
        The shifts in beats, from 0.
    bar : int
        Beats in a bar.
    """
    score, beats = np.asarray(score, dtype=np.float64), np.asarray(beats)
    whole = np.isclose(beats, np.round(beats))
    bars = whole & np.isclose(beats / bar, np.round(beats / bar))
    if not (~whole).any() or not (whole & ~bars).any():
        raise InputError("a curve without shifts between beats, or without beats between bars, has no contrast")
    unit = max(float(score.std()), 1e-12)
    inner, outer = score[whole & ~bars].mean(), score[~whole].mean()
    return Contrast((inner - outer) / unit, (score[bars & (beats > 0)].mean() - inner) / unit)
