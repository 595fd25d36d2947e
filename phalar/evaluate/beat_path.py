"""From a similarity map to beats, by a path through tempo and time (ours; book page *Beats*).

The published decoding reduces the map to a curve and forgets which tempo each rise came from. Here nothing is
forgotten. A row of the map swings once a beat where its tempo is right and hardly elsewhere, so:

1. of each row its mean over a beat is taken away: what is left says *when* a metronome fits, not *whether*
   (:func:`contrast`);
2. beats are a path: one at time t in tempo b earns what the map holds there, and the next one comes a beat of that
   tempo later, in the same tempo or one close by (:func:`path_beats`);
3. earnings count by the time that a beat covers, else quick tempi would win by their number; and tempi far from those
   that people tap earn less.

The best path is found exactly, by dynamic programming from the end.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import uniform_filter1d

from phalar.evaluate.beat_map import BeatMap


@dataclass(frozen=True)
class Habits:
    """What the path takes for likely before it sees the map. The unit of costs and earnings is the standard deviation
    of the contrast, held for a second.

    Attributes
    ----------
    lowest, highest : float
        Beats a minute.
    usual, octaves : float
        Tempo that earns nothing less, and how many octaves away ``pull`` is taken off (times a half).
    pull : float
    change : float
        Cost of an octave's change of tempo from one beat to the next.
    slip : float
        Cost of a beat that comes a column early or late.
    """

    lowest: float = 55.0
    highest: float = 215.0
    usual: float = 110.0
    octaves: float = 0.8
    pull: float = 0.6
    change: float = 30.0
    slip: float = 0.06


REACH = 2
"""Rows of the map by which tempo may change from one beat to the next."""


def contrast(beat_map: BeatMap) -> np.ndarray:
    """A map's values less their mean over the beat around each moment, (B, T), in units of their standard deviation.
    Zeros where nothing swings."""
    spans = np.maximum(np.round(60 / beat_map.tempi / beat_map.step).astype(int), 1)
    swing = np.stack(
        [row - uniform_filter1d(row, span, mode="nearest") for row, span in zip(beat_map.values, spans, strict=True)]
    )
    spread = swing.std()
    return swing / spread if spread > 1e-9 else np.zeros_like(swing)


def salience(beat_map: BeatMap) -> np.ndarray:
    """How much each tempo swings over the whole piece, (B,): a tempogram of what the model hears."""
    return np.sqrt(np.mean(contrast(beat_map) ** 2, axis=1))


def preference(tempi: np.ndarray, habits: Habits) -> np.ndarray:
    """What each tempo earns a second before the map is seen, (B,), 0 or less."""
    return -habits.pull / 2 * (np.log2(tempi / habits.usual) / habits.octaves) ** 2


def path_beats(beat_map: BeatMap, habits: Habits = Habits()) -> np.ndarray:
    """Beats along the best path.

    Parameters
    ----------
    beat_map : BeatMap
        Over the whole piece; rows by tempo, rising.
    habits : Habits

    Returns
    -------
    np.ndarray, (beats,), float64
        Seconds, ascending. Empty where nothing swings.
    """
    return best_path(beat_map, habits)[0]


def best_path(beat_map: BeatMap, habits: Habits = Habits()) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the beats of the best path, and the tempo of each in beats a minute, both (beats,)."""
    allowed = (beat_map.tempi >= habits.lowest) & (beat_map.tempi <= habits.highest)
    swing, tempi = contrast(beat_map)[allowed], beat_map.tempi[allowed]
    if not swing.any():
        return np.empty(0), np.empty(0)
    seconds = 60 / tempi
    earnings = (swing + preference(tempi, habits)[:, None]) * seconds[:, None]
    columns = np.maximum(np.round(seconds / beat_map.step).astype(np.int64), 2)
    best, row, slip = _from_the_end(earnings, columns, np.log2(tempi), habits.change, habits.slip)
    # The first beat comes within the first beat's length.
    starts = [(best[b, :count].max(), b, int(best[b, :count].argmax())) for b, count in enumerate(columns)]
    _, b, t = max(starts)
    path = []
    while t < swing.shape[1]:
        path.append((t * beat_map.step, tempi[b]))
        b, t = row[b, t], t + columns[b] + slip[b, t]
    times, followed = np.array(path).T
    return times, followed


@njit(cache=True)
def _from_the_end(earnings, columns, octave, change, slip):
    """Best total from each cell (B, T) on, and where it goes next: the row, and the columns early (-1) or late (1)."""
    rows, length = earnings.shape
    best = np.zeros((rows, length))
    next_row = np.zeros((rows, length), np.int64)
    next_slip = np.zeros((rows, length), np.int64)
    for t in range(length - 1, -1, -1):
        for b in range(rows):
            top, top_row, top_slip = -np.inf, b, 0
            for s in (0, -1, 1):
                there = t + columns[b] + s
                for other in range(max(b - REACH, 0), min(b + REACH + 1, rows)):
                    value = -slip * abs(s) - change * abs(octave[other] - octave[b])
                    if there < length:
                        value += best[other, there]
                    if value > top:
                        top, top_row, top_slip = value, other, s
            best[b, t] = earnings[b, t] + top
            next_row[b, t] = top_row
            next_slip[b, t] = top_slip
    return best, next_row, next_slip


def one_tempo_beats(beat_map: BeatMap, habits: Habits = Habits()) -> np.ndarray:
    """Beats of the best path that keeps to the tempo that swings most (and is likely). Parameters and result as of
    :func:`path_beats`."""
    weighed = salience(beat_map) + preference(beat_map.tempi, habits)
    weighed[(beat_map.tempi < habits.lowest) | (beat_map.tempi > habits.highest)] = -np.inf
    chosen = [int(weighed.argmax())]
    return path_beats(BeatMap(beat_map.values[chosen], beat_map.tempi[chosen], beat_map.step), habits)
