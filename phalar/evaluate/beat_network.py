"""From a similarity map to beats by way of a pulse curve and madmom's dynamic Bayesian network (ours; book page
*Beats*).

Like the published decoding it reduces the map to a curve, but by what swings and not by what rises: similarity peaks at
the beat and rises a tenth of a second before it. The network, which was made for curves that recurrent networks learn,
finds the tempo and follows it; no trained model is in it.
"""

import numpy as np
from scipy.ndimage import gaussian_filter1d

from phalar.evaluate.beat_map import BeatMap
from phalar.evaluate.beat_path import contrast
from phalar.evaluate.madmom_bridge import dbn

FAVOUR = 4
"""Power of a tempo's swing by which it counts: those that swing most are listened to most."""

SPREAD = 0.01
"""Seconds by which the curve is blurred; madmom expects peaks some frames wide."""

FULL = 0.99
"""Quantile of the curve that counts as certain."""


def pulse_curve(beat_map: BeatMap) -> np.ndarray:
    """How likely a beat falls on each column, (T,), 0 to 1: squared positive contrast, summed over tempi.

    Half of all columns are 0. All are where nothing swings.
    """
    swing = contrast(beat_map)
    weight = np.mean(swing**2, axis=1) ** (FAVOUR / 2)
    curve = gaussian_filter1d(weight @ np.maximum(swing, 0) ** 2, SPREAD / beat_map.step)
    curve = np.maximum(curve - np.median(curve), 0)
    full = np.quantile(curve, FULL)
    return np.clip(curve / full, 0, 1) if full > 0 else np.zeros_like(curve)


def network_beats(beat_map: BeatMap) -> np.ndarray:
    """Seconds of the beats that madmom's network finds in the pulse curve, (beats,); empty where nothing swings."""
    return dbn(pulse_curve(beat_map), 1 / beat_map.step)
