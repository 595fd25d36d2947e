"""Stem retrieval: which of K candidates belongs to this mix? (paper section 5; book page *Retrieval*)

From every test track one random pair is cut. A batch holds the pairs of K different tracks; an anchor is right when
its own positive scores highest of the K. Which K - 1 other tracks share the batch need not be simulated: with b other
positives that score at least as high as the anchor's own,

    P(win) = C(n - 1 - b, K - 1) / C(n - 1, K - 1)

is the mean over *all* batches. The only chance left is which excerpts and submixes are cut: hence fixed seeds, several
draws, and an interval over tracks.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from phalar import fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import Pair, Track, draw_pair
from phalar.errors import InputError

SECONDS = 5.0  # length of a test excerpt
BATCH = 16  # pairs that are read and embedded at once

Cuts = Iterable[tuple[Pair, np.ndarray]]
Scorer = Callable[[Cuts], dict[str, np.ndarray]]


def cut_pairs(
    tracks: Sequence[Track], draw: int, seconds: float = SECONDS, seed: int = 0
) -> Iterator[tuple[Pair, np.ndarray]]:
    """One random pair of each track, and its waveforms (2, N), cut as they are asked for. A pair depends on the track's
    id, ``draw`` and ``seed`` alone, so every model, subset and degraded form of a corpus is tested on the same ones."""
    for track in tracks:
        name = hashlib.sha256(track.id.encode()).digest()[:8]
        rng = np.random.default_rng([seed, draw, int.from_bytes(name, "big")])
        yield draw_pair(track, round(seconds * SAMPLE_RATE), rng)[:2]


def in_batches(cuts: Cuts) -> Iterator[list[tuple[Pair, np.ndarray]]]:
    """Sixteen cuts at a time; no more are held."""
    cuts = iter(cuts)
    while chosen := list(islice(cuts, BATCH)):
        yield chosen


def fixed_pairs(tracks: Sequence[Track], draw: int, seconds: float = SECONDS, seed: int = 0) -> list[Pair]:
    """The pairs of :func:`cut_pairs` alone."""
    return [pair for pair, _ in cut_pairs(tracks, draw, seconds, seed)]


def embeddings(model, cuts: Cuts) -> tuple[Tensor, Tensor]:
    """Embeddings of all anchors and of all positives of cuts, as of :func:`cut_pairs`: (n, 512) each."""
    batches = (np.concatenate([waves for _, waves in chosen]) for chosen in in_batches(cuts))
    found = [model.embed(waves, SAMPLE_RATE, batch_size=2 * BATCH).unflatten(0, (-1, 2)) for waves in batches]
    return torch.cat(found).unbind(dim=1)


@torch.no_grad()
def scores_of(model, anchors: Tensor, positives: Tensor, symmetrised: bool = True) -> np.ndarray:
    """Scores (n, n) of anchors (rows) against positives (columns), float64: the mean of both directions, or one way."""
    scores = model.similarity(anchors, positives) if symmetrised else model.form(anchors, positives)
    return scores.double().cpu().numpy()


def by_model(model) -> Scorer:
    """A model as a scorer: ``"symmetrised"`` scores, as the paper's, and ``"one way"``, from anchor to positive."""

    def score(cuts: Cuts) -> dict[str, np.ndarray]:
        sides = embeddings(model, cuts)
        return {name: scores_of(model, *sides, name == "symmetrised") for name in ("symmetrised", "one way")}

    return score


def rivals(scores: np.ndarray | Tensor) -> np.ndarray:
    """How many other positives score as high as each anchor's own or higher, (n,) int64: from scores (n, n), anchors in
    rows, their positives in columns. All that retrieval among any K depends on."""
    scores = np.asarray(scores)
    if scores.shape != (len(scores), len(scores)):
        raise InputError(f"scores of shape {scores.shape} are not square: rows are anchors, columns their positives")
    if not np.isfinite(scores).all():
        raise InputError("scores have NaN or infinite entries; a ranking of them would mean nothing")
    return (scores >= np.diagonal(scores)[:, None]).sum(axis=1) - 1


def among(rivals: np.ndarray, k: int) -> np.ndarray:
    """Each anchor's chance to find its own positive among K (which counts; a tie with it is a miss), the mean over all
    batches of K different tracks, float64: from what :func:`rivals` counts, (..., n)."""
    n, others = rivals.shape[-1], np.arange(k - 1)  # the quotient of binomials, factor by factor: it never overflows
    if not 1 <= k <= n:
        raise InputError(f"K = {k} with {n} tracks; a batch needs K different tracks, so K is 1 to {n}")
    return np.maximum(0.0, 1 - rivals[..., None] / (n - 1 - others)).prod(axis=-1)


def top1(scores: np.ndarray | Tensor, k: int) -> np.ndarray:
    """:func:`among` of scores (n, n)."""
    return among(rivals(scores), k)


def by_track(scores: np.ndarray, k: int) -> np.ndarray:
    """Accuracy at K of each track's anchors, (n,), the mean over draws of scores (draws, n, n)."""
    return np.mean([top1(matrix, k) for matrix in scores], axis=0)


def evaluate(
    score: Scorer,
    tracks: Sequence[Track],
    draws: int = 5,
    *,
    ks: Sequence[int] = (),
    seconds: float = SECONDS,
    seed: int = 0,
    key: object = None,
    label: str = "",
) -> dict[str, np.ndarray]:
    """Scores (draws, n, n) of the test pairs of tracks, all of different compositions, by name; :func:`by_track` says
    what they are worth. ``score`` is :func:`by_model`, or one of ``phalar.evaluate.scorers``; ``draws``, ``seconds``
    and ``seed`` are those of :func:`cut_pairs`; no draws, or a K of ``ks`` for which there are too few tracks, are
    refused at once (InputError). ``key``: plain values that determine the scores besides the pairs (the
    weights, the corpus' version, the scorer's code); with it each draw is kept in the cache, so that a run that was
    stopped goes on. ``label``: of bars on standard error; none without it."""
    if max(ks, default=0) > len(tracks):
        raise InputError(f"K = {max(ks)} with {len(tracks)} tracks; choose K up to {len(tracks)}")
    if draws < 1:
        raise InputError(f"draws = {draws}; give at least 1")
    identity = [key, [f"{track.dataset}/{track.id}" for track in tracks], seconds, seed]
    identity.append(fingerprint.of_code("datasets/tracks.py", "evaluate/retrieval.py"))
    bar, found = {"total": len(tracks), "unit": "pair", "disable": not label, "mininterval": 2.0}, []
    for draw in range(draws):

        def make(draw: int = draw) -> dict[str, np.ndarray]:
            return score(tqdm(cut_pairs(tracks, draw, seconds, seed), f"{label}, draw {draw + 1}", **bar))

        found.append(make() if key is None else fingerprint.cached("scores", [*identity, draw], make))
    return {name: np.stack([each[name] for each in found]) for name in found[0]}
