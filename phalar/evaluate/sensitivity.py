"""What a score depends on: pitch, or time? Book notebook *Chords*, "What the score itself listens to".

An excerpt meets itself moved: played once more in another key (a twin, the same performance note for note), or cut a
little earlier, so that all comes late. Who hears the difference prefers, for an anchor of either, the positive of the
same. Both directions count, for one alone is biased by what the scorer makes of a positive as such.
"""

from collections.abc import Sequence
from dataclasses import replace

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


def preferred(score: Scorer, pairs: Sequence[Pair], moved: Sequence[Pair]) -> dict[str, np.ndarray]:
    """How often anchors score the positive of their own version above that of the other: for each pair (n,) the mean of
    its two directions, each 1 or 0, and 0.5 for a tie; by the names that the scorer gives."""
    found, n = {}, len(pairs)
    for name, scores in score((pair, pair.audio()) for pair in (*pairs, *moved)).items():
        own = np.diagonal(scores).reshape(2, n)
        other = np.stack([np.diagonal(scores, n), np.diagonal(scores, -n)])
        found[name] = (0.5 * (own == other) + (own > other)).mean(axis=0)
    return found


def evaluate(
    score: Scorer, corpus: str, *, key: object = None, limit: int = 0, progress: bool = True, draws: int = 1
) -> pd.DataFrame:
    """What a scorer (``retrieval.by_model(model)``, ``scorers.by_rules()``) hears, on ``draws`` pairs of each test
    track of a built-in corpus: a table of ``scorer`` (its name for the score), ``split`` (what was moved), ``metric``
    (``preferred``) and ``estimate`` over tracks. For ``semitone`` the pairs are without their drums. With ``key``,
    plain values that determine the scores, what was found is kept in the cache.
    """
    how = {"limit": limit or None, "progress": progress}
    tracks = corpora.load(corpus, "test", **how)
    pairs = [pair for draw in range(draws) for pair in retrieval.fixed_pairs(tracks, draw)]
    tuned = in_pitch(pairs)
    changes = {f"semitone {n:+d}": (tuned, n) for n in SEMITONES} | {f"late {s:g}": (pairs, s) for s in SECONDS}
    rows = []
    for change, (own, by) in changes.items():

        def make(own: list[Pair] = own, by: float = by) -> dict[str, np.ndarray]:
            if isinstance(by, float):
                return preferred(score, own, [late(pair, by) for pair in own])
            return preferred(score, own, twins_of(own, corpora.load(corpus, "test", semitones=by, **how)))

        identity = [key, corpora.version(corpus), change, limit, draws, fingerprint.of_code("evaluate/sensitivity.py")]
        found = make() if key is None else fingerprint.cached("sensitivity", identity, make)
        ids = [pair.track.id for pair in own]
        rows += [(name, change, "preferred", estimate(values, ids)) for name, values in found.items()]
    return pd.DataFrame(rows, columns=["scorer", "split", "metric", "estimate"])
