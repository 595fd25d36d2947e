"""Stem retrieval: which of K candidates belongs to this mix? (paper section 5; book page *Retrieval*)

From every test track one random pair is cut, the anchor and the positive, at the same place. A batch holds the pairs
of K different tracks; an anchor is right when its own positive scores highest of the K.

Which K - 1 other tracks share a batch is chance, and that chance need not be simulated. With all n x n scores at hand,
let b be the number of other tracks' positives that score at least as high as the anchor's own. A random batch of K
lets the anchor win if it has none of these b:

    P(win) = C(n - 1 - b, K - 1) / C(n - 1, K - 1).

This is the mean over *all* batches, so the only chance left is which excerpts and submixes are cut: hence fixed seeds,
several draws, and an interval over tracks.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import gammaln
from torch import Tensor

from phalar.datasets.pairs import Pair, draw_pair
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate.statistics import bootstrap_interval

SAMPLE_RATE = 16_000
SECONDS = 5.0  # length of a test excerpt


@dataclass(frozen=True)
class Retrieval:
    """Top-1 accuracy at one K, with its 95 % interval over tracks."""

    k: int
    accuracy: float
    low: float
    high: float
    tracks: int
    draws: int
    by_track: np.ndarray  # (n,) expected accuracy of each track's anchors


def fixed_pairs(tracks: Sequence[Track], draw: int, seconds: float = SECONDS, seed: int = 0) -> list[Pair]:
    """One random pair of each track. It depends on the track's id, ``draw`` and ``seed`` alone, so every model, every
    subset of the corpus and every degraded form of it is tested on the same pairs."""
    return [draw_pair(track, round(seconds * SAMPLE_RATE), _rng(track, draw, seed))[0] for track in tracks]


def _rng(track: Track, draw: int, seed: int) -> np.random.Generator:
    name = hashlib.sha256(track.id.encode()).digest()[:8]
    return np.random.default_rng([seed, draw, int.from_bytes(name, "big")])


def pair_embeddings(
    model, pairs: Sequence[Pair], batch_size: int = 16, advance: Callable[[int], object] | None = None
) -> tuple[Tensor, Tensor]:
    """Embeddings of all anchors and of all positives, (n, 512) each.

    Parameters
    ----------
    model
        Anything with ``embed(waves, sample_rate)``.
    pairs : sequence of Pair
    batch_size : int
        Pairs that are read and embedded at once.
    advance : callable, optional
        Told after each batch how many pairs it held (for a progress bar).
    """
    anchors, positives = [], []
    for start in range(0, len(pairs), batch_size):
        chosen = pairs[start : start + batch_size]
        waves = np.concatenate([pair.audio() for pair in chosen])
        embedded = model.embed(waves, SAMPLE_RATE, batch_size=2 * batch_size)
        anchors.append(embedded[0::2])
        positives.append(embedded[1::2])
        if advance:
            advance(len(chosen))
    return torch.cat(anchors), torch.cat(positives)


@torch.no_grad()
def scores_of(model, anchors: Tensor, positives: Tensor, symmetrised: bool = True) -> np.ndarray:
    """Scores (n, n) of all anchors (rows) against all positives (columns), float64: the mean of both directions, or the
    one from anchor to positive."""
    scores = model.similarity(anchors, positives) if symmetrised else model.form(anchors, positives)
    return scores.double().cpu().numpy()


def pair_scores(model, pairs: Sequence[Pair], batch_size: int = 16, advance: Callable[[int], object] | None = None):
    """Symmetrised scores (n, n) of the pairs' anchors against their positives; arguments as of
    :func:`pair_embeddings`."""
    return scores_of(model, *pair_embeddings(model, pairs, batch_size, advance))


def top1(scores: np.ndarray | Tensor, k: int) -> np.ndarray:
    """Each anchor's chance to find its own positive among K, the mean over all batches of K different tracks.

    Parameters
    ----------
    scores : array (n, n)
        Row: anchor; column: positive; the diagonal holds the pairs that belong together.
    k : int
        Candidates, the right one included. A tie with the right one counts as a miss.

    Returns
    -------
    array (n,), float64
    """
    scores = np.asarray(scores)
    n = len(scores)
    if scores.shape != (n, n):
        raise InputError(f"scores of shape {scores.shape} are not square: rows are anchors, columns their positives")
    if not np.isfinite(scores).all():
        raise InputError("scores have NaN or infinite entries; a ranking of them would mean nothing")
    if not 1 <= k <= n:
        raise InputError(f"K = {k} with {n} tracks; a batch needs K different tracks, so K is 1 to {n}")
    own = np.diagonal(scores)[:, None]
    rivals = (scores >= own).sum(axis=1) - 1
    return np.exp(_log_binomial(n - 1 - rivals, k - 1) - _log_binomial(np.full(n, n - 1), k - 1))


def _log_binomial(n: np.ndarray, k: int) -> np.ndarray:
    """log C(n, k); minus infinity where n < k."""
    with np.errstate(invalid="ignore"):
        value = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(np.maximum(n - k, 0) + 1.0)
    return np.where(n < k, -np.inf, value)


def evaluate(
    model,
    tracks: Sequence[Track],
    ks: Sequence[int] = (8, 16, 64),
    draws: int = 5,
    seconds: float = SECONDS,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> tuple[list[Retrieval], np.ndarray]:
    """Accuracy at each K, and the scores (draws, n, n) it came from.

    Parameters
    ----------
    tracks : sequence of Track
        Test tracks, all of different compositions.
    draws : int
        Pairs cut from each track. Accuracies are averaged over draws within a track before the interval is taken.
    """
    too_large = [k for k in ks if k > len(tracks)]
    if too_large:
        raise InputError(f"K = {too_large[0]} with {len(tracks)} tracks; choose K up to {len(tracks)}")
    scores = np.stack(
        [pair_scores(model, fixed_pairs(tracks, d, seconds, seed), advance=advance) for d in range(draws)]
    )
    return [summarise(scores, k) for k in ks], scores


def summarise(scores: np.ndarray, k: int) -> Retrieval:
    """Accuracy at K of scores (draws, n, n), with a bootstrap interval over tracks."""
    by_track = np.stack([top1(matrix, k) for matrix in scores]).mean(axis=0)
    low, high = bootstrap_interval(by_track)
    return Retrieval(k, float(by_track.mean()), low, high, len(by_track), len(scores), by_track)
