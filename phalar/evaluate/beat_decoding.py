"""From a similarity map to beats, step by step as the paper's script does it (paper section 4, "Beats"; book page
*Beats*).

Where a metronome begins to fit, similarity rises. So the map is differentiated over time, only the steepest rises are
kept, specks are cleaned away, and what remains is summed over tempi: an onset curve, as any beat tracker makes one of
sound. From there on a tracker is a tracker.
"""

import librosa
import numpy as np
from scipy.ndimage import convolve

from phalar.evaluate.beat_map import BeatMap
from phalar.evaluate.metronomes import FIRST

DEVIATIONS = 3.0
"""Standard deviations above the mean from which a rise is kept."""

NEIGHBOURS = 3
"""Of a cell's 3 x 3 that must be kept for it to outlast the erosion."""

SQUARE = np.ones((3, 3), dtype=int)


def rises(values: np.ndarray) -> np.ndarray:
    """Central difference over time of a map (B, T), at the ends the one-sided one; zeros if there is one column."""
    return np.gradient(values, axis=1) if values.shape[1] > 1 else np.zeros_like(values)


def steepest(change: np.ndarray, deviations: float = DEVIATIONS) -> np.ndarray:
    """Which cells (B, T) exceed the mean of all by so many standard deviations, bool."""
    return change > change.mean() + deviations * change.std()


def eroded(kept: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Cells in whose 3 x 3 at least so many are kept; beyond the border none is."""
    return convolve(kept.astype(int), SQUARE, mode="constant") >= neighbours


def dilated(kept: np.ndarray) -> np.ndarray:
    """Cells in whose 3 x 3 any is kept."""
    return convolve(kept.astype(int), SQUARE, mode="constant") > 0


def onset_curve(beat_map: BeatMap) -> np.ndarray:
    """For each column (T,) the number of tempi whose similarity rises steeply there, cleaned of specks."""
    return dilated(eroded(steepest(rises(beat_map.values)))).sum(axis=0).astype(np.float64)


def published_beats(beat_map: BeatMap) -> np.ndarray:
    """Beats by the published steps: dynamic programming (librosa's) over the onset curve.

    Parameters
    ----------
    beat_map : BeatMap
        As :func:`phalar.evaluate.beat_map.published_map` gives it.

    Returns
    -------
    np.ndarray, (beats,), float64
        Seconds, ascending; 0.02 s are added, the metronomes' first click. Empty where the curve is flat.
    """
    curve = onset_curve(beat_map)
    if not curve.any():
        return np.empty(0)
    # With a rate of frames and a hop of one, librosa's frames are the map's columns.
    _, columns = librosa.beat.beat_track(onset_envelope=curve, sr=1 / beat_map.step, hop_length=1, units="frames")
    return np.asarray(columns, dtype=np.float64) * beat_map.step + FIRST
