"""Top-1 accuracy: the closed form is the mean over all batches, checked by going through them."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from music import invent_track

from phalar.errors import InputError
from phalar.evaluate import retrieval


def brute_force(scores, k):
    """Share of all batches of k tracks that contain an anchor in which its own positive beats all others."""
    n = len(scores)
    won = np.zeros(n)
    for anchor in range(n):
        batches = list(combinations([j for j in range(n) if j != anchor], k - 1))
        won[anchor] = np.mean([all(scores[anchor, anchor] > scores[anchor, j] for j in others) for others in batches])
    return won


@given(st.integers(2, 7), st.data())
def test_closed_form_equals_going_through_all_batches(n, data):
    # few distinct values, so that ties are common
    values = st.lists(st.integers(0, 4), min_size=n * n, max_size=n * n)
    scores = np.array(data.draw(values), dtype=float).reshape(n, n)
    k = data.draw(st.integers(1, n))
    assert retrieval.top1(scores, k) == pytest.approx(brute_force(scores, k))


def test_batches_drawn_at_random_come_to_the_same():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 40)) + 1.5 * np.eye(40)
    drawn = []
    for _ in range(2000):
        batch = rng.choice(40, 8, replace=False)
        drawn.append((scores[np.ix_(batch, batch)].argmax(axis=1) == np.arange(8)).mean())
    assert np.mean(drawn) == pytest.approx(retrieval.top1(scores, 8).mean(), abs=0.01)


def test_known_cases():
    assert retrieval.top1(np.eye(5), 5) == pytest.approx(np.ones(5))
    assert retrieval.top1(1 - np.eye(5), 2) == pytest.approx(np.zeros(5))
    assert retrieval.top1(np.zeros((5, 5)), 3) == pytest.approx(np.zeros(5)), "a tie is a miss"
    assert retrieval.top1(np.zeros((5, 5)), 1) == pytest.approx(np.ones(5))
    guess = np.random.default_rng(0).normal(size=(300, 300))
    assert retrieval.top1(guess, 8).mean() == pytest.approx(1 / 8, abs=0.03)


@pytest.mark.parametrize(
    ("scores", "k", "message"),
    [
        (np.full((3, 3), np.nan), 2, "NaN"),
        (np.eye(3), 4, "K is 1 to 3"),
        (np.eye(3), 0, "K is 1 to 3"),
        (np.zeros((2, 3)), 2, "not square"),
    ],
)
def test_what_has_no_ranking_is_refused(scores, k, message):
    with pytest.raises(InputError, match=message):
        retrieval.top1(scores, k)


class Oracle:
    """A model that hears the tempo and nothing else: embeds a clip by its invented track's number."""

    def embed(self, waves, sample_rate, batch_size=16):
        peaks = torch.as_tensor(np.abs(np.fft.rfft(np.abs(waves)))[:, 5:40])
        return peaks / peaks.norm(dim=1, keepdim=True)

    def similarity(self, x, y):
        return x @ y.T


def test_pairs_do_not_depend_on_the_rest_of_the_corpus(tmp_path):
    tracks = [invent_track(tmp_path, i, split="test") for i in range(5)]
    all_pairs = retrieval.fixed_pairs(tracks, draw=1, seconds=2.0)
    some = retrieval.fixed_pairs(tracks[3:], draw=1, seconds=2.0)
    assert [(p.start, p.anchor, p.positive) for p in all_pairs[3:]] == [(p.start, p.anchor, p.positive) for p in some]
    other = retrieval.fixed_pairs(tracks, draw=2, seconds=2.0)
    assert [p.start for p in other] != [p.start for p in all_pairs]


def test_evaluation_end_to_end(tmp_path):
    tracks = [invent_track(tmp_path, i, split="test") for i in range(6)]
    told = []
    results, scores = retrieval.evaluate(Oracle(), tracks, [2, 6], draws=3, seconds=2.0, advance=told.append)
    assert scores.shape == (3, 6, 6)
    assert sum(told) == 18
    small, large = results
    assert (small.k, large.k, small.tracks, small.draws) == (2, 6, 6, 3)
    assert large.accuracy <= small.accuracy
    for result in results:
        assert result.low <= result.accuracy <= result.high
        assert result.accuracy == pytest.approx(np.mean([brute_force(s, result.k) for s in scores]))


def test_k_larger_than_the_corpus_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="K = 3 with 2 tracks"):
        retrieval.evaluate(None, [invent_track(tmp_path, i) for i in range(2)], [2, 3])
