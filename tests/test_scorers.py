"""Rules that learn nothing: each finds what it is named for and nothing else, and none of them breaks."""

import numpy as np
import pytest
from music import invent_track
from scipy.spatial.distance import cdist
from scipy.stats import zscore

from phalar.evaluate import retrieval, scorers
from phalar.evaluate.scorers import RULES, compare, features

RATE = 16_000
SECONDS = 4.0
PIECES = 12  # one a key
BEATS = 0.30 * 1.06 ** np.arange(PIECES)  # seconds: no two of them an octave of tempo apart
PHASED = 0.6  # seconds: the one beat of pieces that differ in phase alone
BLIND = ("random", "loudness", "tempo", "chroma")


def play(rng, beat=0.5, root=0, gain=0.2, phase=None, seconds=SECONDS):
    """Plucked tones of one major chord, in any order and octave, one every beat, and a little noise."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.zeros_like(time)
    onset = rng.uniform(0, beat) if phase is None else phase
    while onset < seconds:
        pitch = 220 * 2 ** ((root + rng.choice([0, 4, 7]) + 12 * rng.integers(0, 2)) / 12)
        since = np.maximum(time - onset, 0)
        wave += (time >= onset) * np.exp(-12 * since) * np.sin(2 * np.pi * pitch * since)
        onset += beat
    return (gain * (wave / np.sqrt((wave**2).mean()) + 1e-3 * rng.normal(size=len(wave)))).astype(np.float32)


def pairs_of(side):
    """Mixes and stems (2, n, N), each made for itself."""
    return np.array([[side(i), side(i)] for i in range(PIECES)]).swapaxes(0, 1)


@pytest.mark.parametrize(("shared", "solver"), [("level", "loudness"), ("tempo", "tempo"), ("key", "chroma")])
def test_what_is_shared_is_found_by_its_rule_and_by_no_other(shared, solver):
    rng = np.random.default_rng(7)

    def side(i):
        beat, key, level = (i if shared == what else rng.integers(PIECES) for what in ("tempo", "key", "level"))
        return play(rng, BEATS[beat], key, 0.02 * 10 ** (level / 10))

    known = [features(waves) for waves in pairs_of(side)]
    accuracy = {name: retrieval.top1(compare(name, *known), PIECES).mean() for name in BLIND}
    assert accuracy.pop(solver) > 0.9
    assert max(accuracy.values()) < 0.35, accuracy


def test_only_the_aligned_rule_hears_when():
    rng = np.random.default_rng(7)
    sides = pairs_of(lambda i: play(rng, PHASED, rng.integers(PIECES), phase=PHASED * i / PIECES))
    known = [features(side) for side in sides]
    aligned, tempo = (compare(rule, *known) for rule in ("aligned onsets", "tempo"))
    assert retrieval.top1(aligned, PIECES).mean() > 0.9
    far = np.roll(np.eye(PIECES, dtype=bool), PIECES // 2, axis=1)  # half a beat apart
    assert aligned[far].max() < 0.3
    assert tempo[far].min() > 0.9


def test_autocorrelation_cosine_and_sums_of_cues_by_other_means():
    curve = np.random.default_rng(0).normal(size=(3, 300))
    by_sums = [[(row[lag:] * row[: len(row) - lag]).sum() / (row**2).sum() for lag in range(20, 300)] for row in curve]
    assert scorers.autocorrelation(curve) == pytest.approx(np.array(by_sums))
    known = {"rhythm": curve, "chroma": curve[::-1, :12]}
    by_scipy = sum(zscore(1 - cdist(x, x, "cosine"), axis=None) for x in known.values())
    assert compare("tempo + chroma", known, known) == pytest.approx(by_scipy)


@pytest.mark.filterwarnings("error")
def test_silence_has_a_score_and_wins_nothing():
    rng, silence = np.random.default_rng(0), np.zeros(2 * RATE, np.float32)
    a, b, c, d, e = (play(rng, seconds=2.0) for _ in range(5))
    mixes, stems = np.stack([silence, silence, b, c, e]), np.stack([silence, a, silence, d, e])
    known = [features(side) for side in (mixes, stems)]
    for name in RULES:
        matrix = compare(name, *known)
        assert np.isfinite(matrix).all(), name
        won = retrieval.top1(matrix, 5)
        assert won[4] == 1 or name == "random", f"{name}: a clip is most like itself"
        assert won[0] == 0 or name in ("random", "loudness"), f"{name}: silence is like nothing"


def test_rules_go_through_the_models_pairs_one_by_one_or_together(tmp_path):
    tracks = [invent_track(tmp_path, i) for i in range(5)]
    together = retrieval.evaluate(scorers.by_rules(), tracks, 1, seconds=2.0)
    mixes, stems = np.stack([waves for _, waves in retrieval.cut_pairs(tracks, 0, 2.0)], axis=1)
    assert list(together) == list(RULES)
    for name in ("loudness", "aligned chroma"):  # rows are mixes
        assert together[name][0] == pytest.approx(compare(name, features(mixes), features(stems)), abs=1e-6)
