"""Scorers without learning: each finds what it is named for and nothing else, and none of them breaks."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from music import invent_track
from scipy.spatial.distance import cdist
from scipy.stats import zscore

from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.shortcuts import (
    FRAME_RATE,
    SHORTCUTS,
    Heard,
    Listener,
    autocorrelation,
    cosine,
    onset_curve,
    pitch_classes,
    shortcut_scores,
    standardised,
)

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


@dataclass(frozen=True)
class Clips:
    """A pair that exists in memory only."""

    anchor: np.ndarray
    positive: np.ndarray

    @property
    def length(self):
        return len(self.anchor)

    def audio(self):
        return np.stack([self.anchor, self.positive])


def pieces_that_share(what):
    """Pairs whose two sides have one of tempo, key, level and phase in common; all else is drawn for each side."""
    rng = np.random.default_rng(7)

    def side(i):
        return play(
            rng,
            beat=PHASED if what == "phase" else BEATS[i if what == "tempo" else rng.integers(PIECES)],
            root=i if what == "key" else rng.integers(PIECES),
            gain=0.02 * 10 ** ((i if what == "level" else rng.integers(PIECES)) / 10),
            phase=PHASED * i / PIECES if what == "phase" else None,
        )

    return [Clips(side(i), side(i)) for i in range(PIECES)]


def found(pairs, names):
    """Top-1 accuracy among all pairs, by scorer."""
    return {name: retrieval.top1(matrix, len(pairs)).mean() for name, matrix in shortcut_scores(pairs, names).items()}


@pytest.mark.parametrize(("shared", "solver"), [("level", "loudness"), ("tempo", "tempo"), ("key", "chroma")])
def test_what_is_shared_is_found_by_its_scorer_and_by_no_other(shared, solver):
    accuracy = found(pieces_that_share(shared), BLIND)
    assert accuracy.pop(solver) > 0.9
    for name, value in accuracy.items():
        assert value < 0.35, f"{name} finds {shared}"


def test_two_cues_find_what_neither_finds_alone():
    rng = np.random.default_rng(7)

    def side(i):
        return play(rng, beat=BEATS[2 * (i % 4)], root=4 * (i // 4), gain=rng.uniform(0.02, 0.2))

    accuracy = found([Clips(side(i), side(i)) for i in range(12)], ("tempo", "chroma", "tempo + chroma"))
    assert accuracy["tempo"] < 0.6, "three pieces share each tempo"
    assert accuracy["chroma"] < 0.6, "four pieces share each key"
    assert accuracy["tempo + chroma"] > 0.9


def test_only_the_aligned_scorer_hears_when():
    pairs = pieces_that_share("phase")
    scores = shortcut_scores(pairs, ("tempo", "aligned onsets"))
    assert retrieval.top1(scores["aligned onsets"], PIECES).mean() > 0.9
    far = np.roll(np.eye(PIECES, dtype=bool), PIECES // 2, axis=1)  # half a beat apart
    assert scores["aligned onsets"][far].max() < 0.3
    assert scores["tempo"][far].min() > 0.9


def test_aligned_chroma_hears_the_order_of_chords_that_the_mean_chroma_does_not():
    rng = np.random.default_rng(0)
    orders = [(0, 5, 7), (5, 7, 0), (7, 0, 5), (0, 7, 5), (7, 5, 0), (5, 0, 7)]

    def progression(roots):
        return np.concatenate([play(rng, beat=0.1, root=root, seconds=1.0) for root in roots])

    accuracy = found([Clips(progression(roots), progression(roots)) for roots in orders], ("chroma", "aligned chroma"))
    assert accuracy["aligned chroma"] == 1
    assert accuracy["chroma"] < 0.5


def test_random_is_at_chance():
    rng = np.random.default_rng(3)
    noises = rng.normal(size=(2, 400, 64))
    few = {name: np.zeros((400, 1)) for name in ("level", "rhythm", "chroma", "onsets", "pitches")}
    scores = SHORTCUTS["random"].scores(*(Heard(noise=noise, **few) for noise in noises))
    for k in (2, 8, 64):
        assert retrieval.top1(scores, k).mean() == pytest.approx(1 / k, abs=3 * np.sqrt((1 - 1 / k) / k / 400))


def test_random_draws_anew_for_every_clip_and_the_same_for_the_same():
    clip, other = (play(np.random.default_rng(seed), seconds=2.0) for seed in (0, 1))
    noise = Listener()(np.stack([clip, clip, other])).noise
    assert np.array_equal(noise[0], noise[1])
    assert abs(cosine(noise[:1], noise[2:]).item()) < 0.5


def heard(*waves):
    return Listener()(np.stack(waves).astype(np.float32))


def batch_of_one(wave):
    return torch.from_numpy(wave.astype(np.float32))[None]


def test_tempo_is_the_same_after_transposition_and_after_a_shift():
    one, transposed = (play(np.random.default_rng(1), root=root, phase=0.1) for root in (0, 5))
    shifted = play(np.random.default_rng(1), phase=0.23)
    faster = play(np.random.default_rng(1), beat=0.41, phase=0.1)
    rhythm = heard(one, transposed, shifted, faster).rhythm
    like = cosine(rhythm[:1], rhythm)[0]
    assert like[1] > 0.95
    assert like[2] > 0.95
    assert like[3] < 0.5


def test_chroma_is_the_same_at_another_tempo_and_in_another_order():
    one = play(np.random.default_rng(1), beat=0.25)
    slower = play(np.random.default_rng(5), beat=0.4)
    reordered = np.concatenate(np.split(one, 4)[::-1])
    other_key = play(np.random.default_rng(1), beat=0.25, root=6)
    chroma = heard(one, slower, reordered, other_key).chroma
    like = cosine(chroma[:1], chroma)[0]
    assert like[1] > 0.8
    assert like[2] > 0.95
    assert like[3] < 0.3


def test_a_pure_tone_has_its_own_pitch_class_and_hardly_another():
    time = np.arange(2 * RATE) / RATE
    for midi in (48, 57, 66, 75, 84):
        tone = 0.3 * np.sin(2 * np.pi * 440 * 2 ** ((midi - 69) / 12) * time)
        magnitudes = Listener().constant_q(batch_of_one(tone)).double().numpy()
        classes = pitch_classes(magnitudes)[0].mean(axis=1)
        assert classes.argmax() == midi % 12
        assert np.delete(classes, midi % 12).max() < 0.1 * classes.max()


def test_the_onset_curve_peaks_where_notes_start():
    wave = play(np.random.default_rng(2), beat=0.8, phase=0.4)
    curve = onset_curve(Listener().mel(batch_of_one(wave)).double().numpy())[0]
    peaks = [i for i in range(1, len(curve) - 1) if curve[i - 1] < curve[i] >= curve[i + 1] and curve[i] > 0.01]
    assert np.array(peaks) / FRAME_RATE == pytest.approx(np.arange(0.4, SECONDS, 0.8), abs=0.03)


def test_autocorrelation_and_cosine_by_other_means():
    curve = np.random.default_rng(0).normal(size=(3, 300))
    by_sums = [[(row[lag:] * row[: len(row) - lag]).sum() / (row**2).sum() for lag in range(20, 300)] for row in curve]
    assert autocorrelation(curve) == pytest.approx(np.array(by_sums))
    assert cosine(curve[:2], curve) == pytest.approx(1 - cdist(curve[:2], curve, "cosine"))


def test_a_sum_of_cues_weighs_them_alike():
    pairs = pieces_that_share("tempo")[:5]
    scores = shortcut_scores(pairs, ("tempo", "chroma", "tempo + chroma"))
    by_scipy = zscore(scores["tempo"], axis=None) + zscore(scores["chroma"], axis=None)
    assert scores["tempo + chroma"] == pytest.approx(by_scipy)
    assert np.array_equal(standardised(np.full((3, 3), 0.7)), np.zeros((3, 3))), "all the same tells nothing"


@pytest.mark.filterwarnings("error")
def test_silence_has_a_score_and_wins_nothing():
    rng = np.random.default_rng(0)
    silence = np.zeros(2 * RATE, np.float32)
    sounds = [play(rng, seconds=2.0) for _ in range(5)]
    pairs = [
        Clips(silence, silence),
        Clips(silence, sounds[0]),
        Clips(sounds[1], silence),
        Clips(sounds[2], sounds[3]),
        Clips(sounds[4], sounds[4]),
    ]
    for name, matrix in shortcut_scores(pairs).items():
        assert np.isfinite(matrix).all(), name
        won = retrieval.top1(matrix, len(pairs))
        assert won[4] == 1 or name == "random", f"{name}: a clip is most like itself"
        if name not in ("random", "loudness"):
            assert won[0] == 0, f"{name}: silence is like nothing"
    everything_silent = shortcut_scores([Clips(silence, silence)] * 3)
    assert all(np.isfinite(matrix).all() for matrix in everything_silent.values())


def test_scores_of_real_pairs_do_not_depend_on_batches_or_on_who_else_is_asked(tmp_path):
    pairs = retrieval.fixed_pairs([invent_track(tmp_path, i) for i in range(5)], draw=0, seconds=2.0)
    told = []
    together = shortcut_scores(pairs, advance=told.append)
    alone = shortcut_scores(pairs, ("aligned chroma",), batch_size=2)["aligned chroma"]
    assert sum(told) == 5
    assert list(together) == list(SHORTCUTS)
    assert together["aligned chroma"] == pytest.approx(alone, abs=1e-6)
    for matrix in together.values():
        assert matrix.shape == (5, 5)
        assert retrieval.summarise(matrix[None], 5).tracks == 5


def test_rows_are_anchors_and_columns_positives():
    quiet, loud = (play(np.random.default_rng(0), gain=gain, seconds=2.0) for gain in (0.01, 0.2))
    scores = shortcut_scores([Clips(quiet, loud), Clips(loud, loud)], ("loudness",))["loudness"]
    assert scores[1] == pytest.approx([0, 0])
    assert scores[0] == pytest.approx([-26, -26], abs=0.5)  # 20 log10(0.2 / 0.01)


def test_bad_input_is_refused(tmp_path):
    long, short = Clips(*np.zeros((2, 3 * RATE), np.float32)), Clips(*np.zeros((2, RATE), np.float32))
    with pytest.raises(InputError, match="no shortcut 'key'"):
        shortcut_scores([long], ("key",))
    for pairs in ([long, short], [short], []):
        with pytest.raises(InputError, match="all of one length of at least 32000"):
            shortcut_scores(pairs)
