"""How well every tempo fits at every moment: the similarity of a piece to metronomes, as a map (tempo by time).

Two ways to fill the map (book page *Beats*):

- **Slide the music**, as published: one metronome a tempo, and a window of the piece every 20 ms. A clip of 30 s needs
  1,260 windows, each of which overlaps the next by 99.6 %.
- **Slide the metronome**: similarity asks only how the two lie against each other, so a metronome that starts later
  does what a window that starts earlier does. Metronomes at all shifts (a :class:`~phalar.evaluate.beat_windows.Ruler`)
  are embedded once for a model, whatever the number of pieces, and the piece needs a window every 320 ms: a sixteenth
  of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalar.evaluate.beat_windows import (
    BATCH,
    FRAME,
    HOP,
    WINDOW,
    Advance,
    Ruler,
    embedded_bank,
    encode_windows,
    picture_of,
    scattered_starts,
    windows,
)
from phalar.evaluate.metronomes import TEMPI
from phalar.model.stem_model import StemModel

STEP = 0.01
"""Seconds a column of a map by sliding metronomes. (As published: 0.02.)"""

SPAN = 2.0
"""Seconds over which windows must be spread for their mean to say what has nothing to do with beats."""


@dataclass(frozen=True)
class BeatMap:
    """Similarity of a piece to metronomes.

    Attributes
    ----------
    values : np.ndarray, (B, T), float64
        Row b, column t: how well a metronome of tempo b fits that clicks at t; in units of the model's score.
    tempi : np.ndarray, (B,)
        Beats a minute, rising.
    step : float
        Seconds a column; the first is at 0.
    """

    values: np.ndarray
    tempi: np.ndarray
    step: float = STEP

    @property
    def times(self) -> np.ndarray:
        """Seconds of the columns, (T,)."""
        return self.step * np.arange(self.values.shape[1])


@dataclass(frozen=True)
class PhaseScores:
    """Similarity of a piece's windows to a ruler.

    Attributes
    ----------
    scores : tuple of B arrays, (W, N_b), float64
        Entry (w, n): how well a metronome fits window w that clicks n / N_b of a beat after its beginning.
    tempi : np.ndarray, (B,)
        Beats a minute.
    starts : np.ndarray, (W,)
        Seconds at which the windows begin.
    duration : float
        Seconds of the piece.
    scale : float
        Standard deviation of a metronome's similarity to its own shifts: how much the clearest of pulses would swing.
    """

    scores: tuple[np.ndarray, ...]
    tempi: np.ndarray
    starts: np.ndarray
    duration: float
    scale: float


def published_map(
    model: StemModel,
    audio: np.ndarray,
    sample_rate: int,
    tempi: Sequence[float] = TEMPI,
    hop: int = 2,
    advance: Advance | None = None,
) -> BeatMap | None:
    """The map by sliding the music, as published: column t is the window that begins at t.

    Parameters
    ----------
    model : StemModel
        In eval mode.
    audio : np.ndarray, (N,) or (channels, N)
        Float in [-1, 1], or integer PCM.
    sample_rate : int
        Hz.
    tempi : sequence of float
        Beats a minute.
    hop : int
        Frames from window to window; 2 (20 ms) as published.
    advance : callable, optional
        Told of every batch how many windows it held (for a progress bar).

    Returns
    -------
    BeatMap or None
        It ends a window before the piece. A metronome's first click is 0.02 s after the window's beginning, so a beat
        is that much later than its column says. None for silence, and for less than 4.8 s.

    Raises
    ------
    InputError
        As of :func:`picture_of` and :func:`phalar.evaluate.metronomes.bank`.
    """
    picture = picture_of(model, audio, sample_rate)
    if picture is None:
        return None
    starts = np.arange(0, picture.shape[-1] - WINDOW + 1, hop)
    batches = np.split(starts, range(BATCH, len(starts), BATCH))  # all at once they would take 200 MB
    piece = torch.cat([encode_windows(model, windows(picture, batch), advance=advance) for batch in batches])
    similarity = model.similarity(embedded_bank(model, tempi), piece).double().cpu().numpy()
    return BeatMap(similarity, np.asarray(tempi, dtype=np.float64), hop * FRAME)


def phase_scores(
    model: StemModel,
    audio: np.ndarray,
    sample_rate: int,
    ruler: Ruler,
    hop: int = HOP,
    advance: Advance | None = None,
) -> PhaseScores | None:
    """Similarity of a piece's windows to a ruler of the same model; None for silence and for less than 4.8 s.

    Parameters and errors are those of :func:`published_map`.
    """
    picture = picture_of(model, audio, sample_rate)
    if picture is None:
        return None
    starts = scattered_starts(picture.shape[-1], hop)
    piece = encode_windows(model, windows(picture, starts), advance=advance)
    return compare(model, piece, starts, (picture.shape[-1] - 1) * FRAME, ruler)


def compare(model: StemModel, piece: Tensor, starts: np.ndarray, duration: float, ruler: Ruler) -> PhaseScores:
    """Similarity to a ruler of embedded windows (W, 512) of a piece, which begin at frames ``starts``."""
    first = np.cumsum(ruler.shifts) - ruler.shifts
    own = model.similarity(ruler.embeddings[first], ruler.embeddings).double().cpu().numpy()
    scale = float(np.median([each[b].std() for b, each in enumerate(ruler.split(own))]))
    similarity = model.similarity(piece, ruler.embeddings).double().cpu().numpy()
    return PhaseScores(tuple(ruler.split(similarity)), ruler.tempi, FRAME * starts, duration, scale)


def swings(phases: PhaseScores) -> PhaseScores:
    """The same without what has nothing to do with when beats fall.

    Of each window and tempo the mean over shifts is taken away (how well a click goes with this sound at all), and of
    each tempo and shift the mean over windows (how well this click goes with this piece, wherever its windows begin);
    the latter only of pieces whose windows are spread over two seconds.
    """
    spread = phases.starts[-1] - phases.starts[0] >= SPAN
    scores = [each - each.mean(axis=1, keepdims=True) for each in phases.scores]
    return replace(phases, scores=tuple(each - each.mean(axis=0) if spread else each for each in scores))


def map_of(phases: PhaseScores, anchor: float = WINDOW * FRAME / 2, step: float = STEP) -> BeatMap:
    """The map that phase scores stand for, over the whole piece.

    A metronome that clicks at some time clicks a beat later, too: every window has something to say on every moment
    that it covers. Column t asks the two windows whose ``anchor`` (seconds after their beginning; their middle, if not
    given) is nearest to t, in proportion to their nearness; at the ends of the piece the first and the last. With
    ``anchor=0`` it asks windows that begin at t, as the published map does.
    """
    times = step * np.arange(round(phases.duration / step))
    last = len(phases.starts) - 1
    place = np.interp(times - anchor, phases.starts, np.arange(last + 1))
    before = np.minimum(place.astype(int), max(last - 1, 0))
    after = np.minimum(before + 1, last)
    nearness = place - before
    values = np.empty((len(phases.tempi), len(times)))
    for row, bpm, scores in zip(values, phases.tempi, phases.scores, strict=True):
        earlier, later = (_at(scores, window, (times - phases.starts[window]) * bpm / 60) for window in (before, after))
        row[:] = (1 - nearness) * earlier + nearness * later
    return BeatMap(values, phases.tempi, step)


FINE = 64  # points of a beat to which shifts are interpolated


def _at(scores: np.ndarray, window: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Scores (W, N) around the circle of a beat, at windows (T,) and phases (T,) in beats."""
    fine = _around(scores)
    place = (phase % 1) * FINE
    low = place.astype(int)
    share = place - low
    return (1 - share) * fine[window, low % FINE] + share * fine[window, (low + 1) % FINE]


def _around(scores: np.ndarray) -> np.ndarray:
    """(W, N) to (W, FINE): what lies between N points of a circle, if nothing turns faster than they can tell."""
    count = scores.shape[1]
    spectrum = np.fft.rfft(scores, axis=1)
    if count % 2 == 0:
        spectrum[:, -1] /= 2  # the highest turns both ways; it is counted once in a longer transform
    return np.fft.irfft(spectrum, FINE, axis=1) * (FINE / count)
