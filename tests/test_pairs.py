"""A pair: two submixes of one place of one track that share no stem."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from music import RATE, invent_track

from phalar.datasets.pairs import draw_pair, draw_stems
from phalar.errors import InputError, RunError


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_anchor_and_positive_share_no_stem_and_both_have_some(stems, seed):
    anchor, positive = draw_stems(stems, np.random.default_rng(seed))
    assert anchor
    assert positive
    assert not set(anchor) & set(positive)
    assert set(anchor) | set(positive) <= set(range(stems))


def test_every_split_of_three_stems_can_come_up():
    seen = {draw_stems(3, np.random.default_rng(seed)) for seed in range(500)}
    # ordered pairs of disjoint non-empty subsets of three things: 3^3 - 2 * 2^3 + 1 = 12
    assert len(seen) == 12


def test_one_stem_makes_no_pair():
    with pytest.raises(InputError, match="at least 2"):
        draw_stems(1, np.random.default_rng(0))


def test_both_sides_are_cut_at_the_same_place_and_are_sums_of_stems(tmp_path):
    track = invent_track(tmp_path, 0)
    pair, waves, _ = draw_pair(track, 2 * RATE, np.random.default_rng(3))
    stems = track.excerpt(pair.start, 2 * RATE)
    assert np.allclose(waves[0], stems[list(pair.anchor)].sum(0))
    assert np.allclose(waves[1], stems[list(pair.positive)].sum(0))
    assert np.array_equal(pair.audio(), waves)


def test_a_silent_side_is_drawn_again_and_counted(tmp_path):
    track = invent_track(tmp_path, 1, stems=3, silent=(0,))
    counted = 0
    for seed in range(30):
        _, waves, silent = draw_pair(track, 2 * RATE, np.random.default_rng(seed))
        assert np.abs(waves).max(axis=1).min() > 0
        counted += silent
    assert counted > 0


def test_a_track_without_sound_is_refused_by_name(tmp_path):
    with pytest.raises(RunError, match="track2"):
        draw_pair(invent_track(tmp_path, 2, stems=2, silent=(0, 1)), 2 * RATE, np.random.default_rng(0))


def test_a_track_shorter_than_the_excerpt_is_padded(tmp_path):
    pair, waves, _ = draw_pair(invent_track(tmp_path, 3, seconds=3.0), 5 * RATE, np.random.default_rng(0))
    assert pair.start == 0
    assert waves.shape == (2, 5 * RATE)
    assert not waves[:, 3 * RATE :].any()
