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
    values = st.lists(st.integers(0, 4), min_size=n * n, max_size=n * n)  # few distinct ones, so that ties are common
    scores = np.array(data.draw(values), dtype=float).reshape(n, n)
    k = data.draw(st.integers(1, n))
    assert retrieval.top1(scores, k) == pytest.approx(brute_force(scores, k))


def test_known_cases_and_what_has_no_ranking():
    assert retrieval.top1(np.eye(5), 5) == pytest.approx(np.ones(5))
    assert retrieval.top1(np.zeros((5, 5)), 3) == pytest.approx(np.zeros(5)), "a tie is a miss"
    guess = np.random.default_rng(0).normal(size=(300, 300))
    assert retrieval.top1(guess, 8).mean() == pytest.approx(1 / 8, abs=0.03)
    refused = [(np.full((3, 3), np.nan), 2, "NaN"), (np.zeros((2, 3)), 2, "not square")]
    for scores, k, message in (*refused, (np.eye(3), 4, "K is 1 to 3"), (np.eye(3), 0, "K is 1 to 3")):
        with pytest.raises(InputError, match=message):
            retrieval.top1(scores, k)


class Oracle:
    """A model that hears the tempo and nothing else: embeds a clip by its invented track's number."""

    def __init__(self):
        self.embedded = 0

    def embed(self, waves, sample_rate, batch_size=16):
        self.embedded += len(waves)
        peaks = torch.as_tensor(np.abs(np.fft.rfft(np.abs(waves)))[:, 5:40])
        return peaks / peaks.norm(dim=1, keepdim=True)

    def similarity(self, x, y):
        return x @ y.T

    form = similarity


def test_pairs_do_not_depend_on_the_rest_of_the_corpus(tmp_path):
    tracks = [invent_track(tmp_path, i, split="test") for i in range(5)]
    first, some, other = (retrieval.fixed_pairs(t, d, 2.0) for t, d in ((tracks, 1), (tracks[3:], 1), (tracks, 2)))
    assert first[3:] == some
    assert [p.start for p in other] != [p.start for p in first]


def test_evaluation_end_to_end_and_draws_that_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    tracks = [invent_track(tmp_path, i, split="test") for i in range(6)]
    oracle = Oracle()
    how = {"seconds": 2.0, "key": "oracle"}
    scores = retrieval.evaluate(retrieval.by_model(oracle), tracks, 2, **how)["symmetrised"]
    assert scores.shape == (2, 6, 6)
    assert retrieval.by_track(scores, 2) == pytest.approx(np.mean([brute_force(s, 2) for s in scores], axis=0))
    assert oracle.embedded == 2 * 12
    more = retrieval.evaluate(retrieval.by_model(oracle), tracks, 3, **how)["symmetrised"]
    assert oracle.embedded == 3 * 12, "only the third draw was missing"
    assert np.array_equal(more[:2], scores)
    with pytest.raises(InputError, match="K = 8 with 6 tracks"):  # before any work
        retrieval.evaluate(None, tracks, ks=[2, 8])
