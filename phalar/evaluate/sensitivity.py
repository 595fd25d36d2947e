"""What a score depends on: pitch, or time? Book notebook *Chords*, "What the score itself listens to".

An excerpt meets itself moved: played once more in another key (a twin, the same performance note for note), or cut a
little earlier, so that all comes late. Who hears the difference prefers, for an anchor of either, the positive of the
same. Both directions count, for one alone is biased by what the scorer makes of a positive as such.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import SILENCE, Pair, Track
from phalar.evaluate import retrieval
from phalar.evaluate.retrieval import Scorer
from phalar.evaluate.statistics import estimate

SEMITONES = (-6, -5, -2, -1, 1, 2, 5, 6)
SECONDS = (0.02, 0.05, 0.1, 0.25, 0.5)


def in_pitch(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs without their drums, those left out of which a side is then empty or silent."""
    found = []
    for pair in pairs:
        known = pair.track.pitched or [True] * len(pair.track.stems)
        sides = {side: tuple(n for n in getattr(pair, side) if known[n]) for side in ("anchor", "positive")}
        if all(sides.values()) and np.abs((tuned := replace(pair, **sides)).audio()).max(axis=1).min() > SILENCE:
            found.append(tuned)
    return found


def twins_of(pairs: Sequence[Pair], twins: Sequence[Track]) -> list[Pair]:
    """The same cuts of the tracks' twins."""
    by_id = {track.id: track for track in twins}
    return [replace(pair, track=by_id[pair.track.id]) for pair in pairs]


def late(pair: Pair, seconds: float) -> Pair:
    """A pair cut so much earlier that its sound comes so much later; where the track has no earlier, as much early. An
    InputError, when it is read, where the track is too short for it."""
    shift = round(seconds * SAMPLE_RATE)
    start = pair.start - shift if pair.start >= shift else pair.start + shift
    return replace(pair, start=start)


def preferred(score: Scorer, pairs: Sequence[Pair], *moved: Sequence[Pair]) -> dict[str, np.ndarray]:
    """How often anchors score the positive of their own version above that of another: for each way in which all n
    pairs were moved and each pair, (ways, n), the mean of its two directions, each 1 or 0, and 0.5 for a tie; by the
    names that the scorer gives."""
    found, n = {}, len(pairs)
    every = chain(pairs, *moved)
    for name, scores in score((pair, pair.audio()) for pair in every).items():
        own = np.diagonal(scores).reshape(-1, n)
        there = np.stack([np.diagonal(scores, way * n)[:n] for way in range(1, len(own))])
        back = np.stack([np.diagonal(scores, -way * n)[:n] for way in range(1, len(own))])
        found[name] = (_above(own[0], there) + _above(own[1:], back)) / 2
    return found


def _above(own: np.ndarray, other: np.ndarray) -> np.ndarray:
    return 0.5 * (own == other) + (own > other)


def evaluate(
    score: Scorer,
    corpus: str,
    *,
    semitones: Sequence[int] = SEMITONES,
    seconds: Sequence[float] = SECONDS,
    key: object = None,
    limit: int = 0,
    progress: bool = True,
    draws: int = 1,
) -> pd.DataFrame:
    """What a scorer (``retrieval.by_model(model)``, ``scorers.by_rules()``) hears, on ``draws`` pairs of each test
    track of a built-in corpus, moved by all ``semitones`` and ``seconds``: a table of ``scorer`` (its name for the
    score), ``split`` (what was moved), ``metric`` (``preferred``) and ``estimate`` over tracks. For ``semitone`` the
    pairs are without their drums. With ``key``, plain values that determine the scores, what was found is kept in the
    cache.
    """
    how = {"limit": limit or None, "progress": progress}
    tracks = corpora.load(corpus, "test", **how)
    pairs = [pair for draw in range(draws) for pair in retrieval.fixed_pairs(tracks, draw)]
    tuned, rows = in_pitch(pairs), []

    def twins() -> Iterator[list[Pair]]:
        return (twins_of(tuned, corpora.load(corpus, "test", semitones=by, **how)) for by in semitones)

    def delays() -> Iterator[list[Pair]]:
        return ([late(pair, by) for pair in pairs] for by in seconds)

    names = [f"semitone {by:+d}" for by in semitones], [f"late {by:g}" for by in seconds]
    for own, splits, ways in zip((tuned, pairs), names, (twins, delays), strict=True):

        def make(own: list[Pair] = own, ways: Callable = ways) -> dict[str, np.ndarray]:
            return preferred(score, own, *ways())

        code = fingerprint.of_code("datasets/tracks.py", "evaluate/retrieval.py", "evaluate/sensitivity.py")
        identity = [key, corpora.version(corpus), splits, limit, draws, code]
        found = make() if key is None else fingerprint.cached("sensitivity", identity, make)
        ids = [pair.track.id for pair in own]
        rows += [
            (name, split, "preferred", estimate(values, ids))
            for name, ways_found in found.items()
            for split, values in zip(splits, ways_found, strict=True)
        ]
    return pd.DataFrame(rows, columns=["scorer", "split", "metric", "estimate"])
