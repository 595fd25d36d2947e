"""Top-1 accuracy: the closed form is the mean over all batches, checked by going through them. Rules that learn
nothing: each finds what it is named for and nothing else. And what a score minds: stems in another key, or late."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from music import in_memory, invent_track
from scipy.spatial.distance import cdist
from scipy.stats import zscore

from phalar import corpora
from phalar.corpora import band, performance, styles
from phalar.datasets.tracks import Pair
from phalar.errors import InputError
from phalar.evaluate import retrieval, scorers, sensitivity
from phalar.evaluate.scorers import RULES, compare, features
from phalar.evaluate.sensitivity import in_pitch, late, preferred


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


# --- rules


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


@pytest.fixture(scope="module")
def pairs():
    found = []
    for i, stems in enumerate((0.1 * np.random.default_rng(0).standard_normal((3, 2, 8 * RATE))).astype(np.float32)):
        found.append(Pair(in_memory(stems, f"t{i}"), i * RATE // 8, 2 * RATE, (0,), (1,)))
    return found


def test_a_late_stem_sounds_later(pairs):
    pair, shift = pairs[2], RATE // 8
    assert np.array_equal(late(pair, 0.125).audio()[1][shift:], pair.audio()[1][:-shift])
    early = late(pairs[0], 0.125).audio()[1]  # there is nothing before its start
    assert np.array_equal(early[:-shift], pairs[0].audio()[1][shift:])
    with pytest.raises(InputError, match="outside track"):
        late(pair, 9.0).audio()


def test_both_directions_count_and_a_tie_is_half(pairs):
    """Rows are anchors: of the three pairs, then of the three that were moved one way, then the other."""
    scores = np.zeros((9, 9))
    scores[0, 0], scores[3, 3] = 1, 1  # either prefers its own
    scores[1, 4], scores[4, 4] = 1, 1  # both prefer the moved positive: no more than a taste for it
    scores[2, 5], scores[5, 2] = 1, 1  # either prefers the other's
    scores[0, 1] = scores[4, 2] = 9  # of other pairs nobody asks
    found = preferred(lambda cuts: {"one": scores, "none": 0 * scores}, pairs, pairs, pairs)
    assert found["one"].tolist() == [[1.0, 0.5, 0.0], [0.75, 0.5, 0.5]]
    assert found["none"].tolist() == [[0.5] * 3] * 2


def test_the_model_s_scores_are_those_of_its_pairs_one_by_one(stirred, pairs):
    model, ways = stirred("phalar"), [[late(pair, by) for pair in pairs] for by in (0.1, 0.3)]
    found = preferred(retrieval.by_model(model), pairs, *ways)["symmetrised"]
    for values, moved in zip(found, ways, strict=True):
        for value, one, other in zip(values, pairs, moved, strict=True):
            x, y = (model.embed(pair.audio(), RATE) for pair in (one, other))
            scores = [float(model.similarity(a[:1], b[1:])) for a in (x, y) for b in (x, y)]
            assert value == (float(scores[0] > scores[1]) + float(scores[3] > scores[2])) / 2


def test_pairs_are_asked_for_their_key_without_their_drums(pairs):
    drummed = replace(pairs[0], track=replace(pairs[0].track, pitched=(True, False)))
    assert in_pitch([pairs[1], drummed]) == [pairs[1]]
    stems = np.concatenate([pairs[0].track.excerpt(), np.zeros((1, 8 * RATE), np.float32)])
    three = in_memory(stems, pitched=(True, False, True))
    both = Pair(three, 0, 2 * RATE, (0,), (1, 2))
    assert in_pitch([both]) == [], "without its drums a side is silent"
    assert in_pitch([replace(both, anchor=(1, 2), positive=(0, 1))]) == []
    kept = in_pitch([replace(both, track=replace(three, pitched=None))])
    assert kept == [replace(both, track=replace(three, pitched=None))], "where nothing is known, nothing is left out"


@pytest.fixture(scope="module")
def page():
    rng, piece = np.random.default_rng(3), next(iter(band.pieces()))
    name = band.style_of()[piece]
    return band.arranger.arrange(band.tunes.lead_sheet(piece, styles.styles()[name].colour), name, rng, band.SECONDS)


@pytest.mark.parametrize("semitones", [-6, -1, 1, 5])
def test_a_twin_is_the_same_performance_in_another_key(page, semitones):
    """Note for note, at the same moments, as loud; within each instrument's range; drums untouched."""
    twin = styles.transposed(page, semitones)
    ranges = {program: (low, high) for program, low, high in styles.table()["instruments"].values()}
    first, second = (performance.perform(each, performance.TIGHT, np.random.default_rng(0)) for each in (page, twin))
    assert np.array_equal(first[1], second[1])
    for part, notes, others in zip(page.parts, first[0], second[0], strict=True):
        moved = 0 if part.drums else semitones
        low, high = (0, 127) if part.drums else ranges[part.program]
        for one, other in zip(notes, others, strict=True):
            assert (other.pitch - one.pitch - moved) % 12 == 0
            assert low <= other.pitch <= high
            assert replace(other, pitch=one.pitch) == one
        steps = {b.pitch - a.pitch for a, b in zip(notes, others, strict=True)}
        assert steps <= {moved, moved - 12, moved + 12}
    assert (twin.tonic - page.tonic - semitones) % 12 == 0
    assert all((b.root - a.root - semitones) % 12 == 0 for a, b in zip(page.chords, twin.chords, strict=True))
    assert styles.transposed(page, 0) == page


def test_a_rendered_twin_sounds_together_with_its_piece():
    """Its drums are the piece's own, but for one common factor, and its length is all but the same."""
    how = {"limit": 1, "progress": False}
    (own,) = corpora.load("band", "test", **how)
    (twin,) = corpora.load("band", "test", semitones=corpora.TWIN, **how)
    assert abs(own.num_samples - twin.num_samples) < 1.5 * RATE
    drums, others = (track.excerpt(0, own.num_samples)[0] for track in (own, twin))
    assert np.corrcoef(drums, others)[0, 1] > 0.9999
    assert np.array_equal(own.beats, twin.beats)
    assert own.tags["key"] != twin.tags["key"]
    assert corpora.interval(own.id) in {*range(-5, 7)} - {0}


def test_who_hears_nothing_prefers_neither_of_any_change():
    def deaf(cuts):
        n = len(list(cuts))
        return {"deaf": np.zeros((n, n))}

    found = sensitivity.evaluate(deaf, "chorales", limit=2, progress=False)
    assert [estimate.value for estimate in found["estimate"]] == [0.5] * 13
    assert {"semitone +1", "semitone -6", "late 0.1"} <= {*found["split"]}
