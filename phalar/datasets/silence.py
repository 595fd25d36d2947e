"""Where a stem sounds. Half of real music is stems that wait; a pair cut from silence has nothing to match.

Silence is measured in blocks of a tenth of a second, once, when a track is stored; drawing pairs then needs no sound.
Book page *How it is trained*, "Silence".
"""

import numpy as np

SILENCE = 1e-4  # peak of full scale (-80 dB) up to which sound counts as silence
BLOCK = 1600  # samples: a tenth of a second at 16 kHz


def sounding(audio: np.ndarray) -> list[np.ndarray]:
    """Which blocks of each stem sound.

    Parameters
    ----------
    audio : np.ndarray, (S, samples)
        int16 with full scale at 32768, or float in [-1, 1].

    Returns
    -------
    list of np.ndarray, each (spans, 2) int64
        For each stem the stretches of sounding blocks: number of the first, and of the one after the last. A last block
        that is not full counts like any other.
    """
    scale = 32768 if audio.dtype == np.int16 else 1
    starts = np.arange(0, audio.shape[1], BLOCK)
    highest = np.maximum.reduceat(audio, starts, axis=1).astype(np.float32)
    lowest = np.minimum.reduceat(audio, starts, axis=1).astype(np.float32)
    peaks = np.maximum(highest, -lowest)
    edges = np.diff(np.pad((peaks > SILENCE * scale).astype(np.int8), ((0, 0), (1, 1))), axis=1)
    return [np.column_stack([np.flatnonzero(row == 1), np.flatnonzero(row == -1)]) for row in edges]
