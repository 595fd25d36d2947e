"""Windows, labels and features: each against a second way to get it."""

from itertools import pairwise
from types import SimpleNamespace

import mir_eval
import numpy as np
import pytest
import torch

from phalar.errors import InputError
from phalar.evaluate import chord_frames, chords
from phalar.evaluate.chord_frames import labels_at, window_starts

CHORDS = [(0.0, 2.0, "C:maj"), (2.0, 3.5, "A:min"), (4.0, 6.0, "G:7")]


def test_the_chord_that_begins_at_a_moment_is_its_label_and_a_gap_is_unknown():
    times = np.array([0.0, 1.99, 2.0, 3.49, 3.5, 3.9, 4.0, 5.99, 6.0, 7.0])
    expected = ["C:maj", "C:maj", "A:min", "A:min", "X", "X", "G:7", "G:7", "X", "X"]
    assert labels_at(CHORDS, times) == expected
    assert labels_at(CHORDS[1:], np.array([0.5])) == ["X"]


def test_every_moment_has_the_label_of_the_chord_that_holds_it():
    times = np.random.default_rng(0).uniform(0, 7, 200)
    for time, label in zip(times, labels_at(CHORDS, times), strict=True):
        assert label == next((name for start, end, name in CHORDS if start <= time < end), "X")


def test_chords_that_overlap_are_refused():
    with pytest.raises(InputError, match=r"'A:min' starts at 1\.0 s, before 'C:maj' ends at 2\.0 s"):
        labels_at([(0.0, 2.0, "C:maj"), (1.0, 3.0, "A:min")], np.array([0.0]))


def test_windows_lie_inside_and_a_hop_apart():
    for name in "abcdef":
        for hop in (0.02, 0.5, 2.0, 30.0):
            for length in (chord_frames.WINDOW, 6 * 16_000, 20 * 16_000 + 1):
                starts = window_starts(length, hop, name)
                step = round(hop * 16_000)
                assert 0 <= starts[0] < step
                assert length - step < starts[-1] + chord_frames.WINDOW <= length or len(starts) == 1
                assert set(np.diff(starts).tolist()) <= {step}
    assert window_starts(chord_frames.WINDOW, 2.0, "a").tolist() == [0]
    for hop in (0.0, -1.0, 61.0):
        with pytest.raises(InputError, match="seconds between windows"):
            window_starts(6 * 16_000, hop)


def test_windows_of_different_recordings_do_not_begin_together():
    firsts = [int(window_starts(20 * 16_000, 2.0, f"player{i}_piece")[0]) for i in range(50)]
    assert len(set(firsts)) == 50
    assert max(firsts) - min(firsts) > 1.5 * 16_000
    assert firsts == [int(window_starts(20 * 16_000, 2.0, f"player{i}_piece")[0]) for i in range(50)]


@pytest.mark.parametrize("name", ["phalar", "gap"])
def test_head_after_pooling_is_what_embed_gives_of_each_window(stirred, music, name):
    model, audio = stirred(name), music(1, 7.0)[0].numpy()
    starts = np.array([0, 9_000, 32_000])
    pooled = chord_frames.pooled_windows(model, audio, starts, batch_size=2)
    assert pooled.dtype == (np.complex64 if name == "phalar" else np.float32)
    found = chord_frames.embeddings(model, pooled)
    direct = model.embed([audio[s : s + chord_frames.WINDOW] for s in starts], 16_000).numpy()
    assert np.abs(found - direct).max() < 1e-4 * np.abs(direct).max()


def test_chosen_components_are_those_of_the_pooling(stirred, music):
    model, audio = stirred("phalar"), music(1, 5.0)[0].numpy()
    pooled = chord_frames.pooled_windows(model, audio, np.array([0]))
    with torch.no_grad():
        features = model.backbone(model.picture(torch.from_numpy(audio)[None]))
        steps = features.permute(0, 3, 2, 1).flatten(2)
        spectrum = model.pooling.spectrum(model.pooling.project(steps).transpose(1, 2))[0].numpy()
    assert np.allclose(chord_frames.spectral_components(pooled, 8, [3])[0], spectrum[:, 2], atol=1e-5)
    both = chord_frames.spectral_components(pooled, 8, [1, 8])[0].reshape(80, 2)
    assert np.allclose(both, spectrum[:, [0, 7]], atol=1e-5)
    assert chord_frames.spectral_components(pooled, 8, range(1, 9)).tolist() == pooled.tolist()
    for wrong in ([], [0], [9]):
        with pytest.raises(InputError, match="choose from 1 to 8"):
            chord_frames.spectral_components(pooled, 8, wrong)


def tones(keys: list[list[int]], seconds: float) -> np.ndarray:
    """One chord of sines after the other, MIDI keys."""
    t = np.arange(round(seconds * 16_000)) / 16_000
    parts = [sum(np.sin(2 * np.pi * 440 * 2 ** ((key - 69) / 12) * t) for key in chord) for chord in keys]
    return np.concatenate(parts).astype(np.float32) / 5


def test_chroma_names_the_notes_that_sound_at_the_moment():
    magnitude = chord_frames.magnitudes(tones([[60, 64, 67], [69, 72, 76]], 4.0))
    chroma = chord_frames.chroma_at(magnitude, np.array([2.0, 6.0]))
    assert chroma.shape == (2, 12)
    assert set(np.argsort(chroma[0])[-3:]) == {0, 4, 7}
    assert set(np.argsort(chroma[1])[-3:]) == {9, 0, 4}
    assert chroma.max() <= 1 + 1e-6


def test_the_mean_over_a_window_does_not_say_when():
    forth, back = [[60], [67]], [[67], [60]]
    means = [
        chord_frames.mean_cqt(chord_frames.magnitudes(tones(keys, 2.5)), np.array([0]))[0] for keys in (forth, back)
    ]
    assert means[0].shape == (96,)
    assert {int(k) for k in np.argsort(means[0])[-2:]} == {48, 55}, "C4 and G4, counted from C0"
    assert np.abs(means[0] - means[1]).max() < 0.1 * np.ptp(means[0])


def test_frames_become_segments_of_half_a_hop_either_side():
    assert chords.segments(np.array([0.0, 1.0, 2.0]), ["C:maj", "C:maj", "N"], 1.0) == [
        (0.0, 1.5, "C:maj"),
        (1.5, 2.5, "N"),
    ]


def test_weighted_scores_are_those_of_mir_eval_where_both_cover_the_same_time():
    rng = np.random.default_rng(0)
    labels = ["C:maj", "C:min", "A:min7", "G:7", "B:hdim7", "N", "Eb:maj7"]

    def sequence():
        ends = np.sort(rng.choice(np.arange(1, 100), 9, replace=False)) / 5
        bounds = [0.0, *ends, 20.0]
        return [(a, b, str(rng.choice(labels))) for a, b in pairwise(bounds)]

    for _ in range(5):
        reference, estimate = sequence(), sequence()
        sides = [(np.array([c[:2] for c in s]), [c[2] for c in s]) for s in (reference, estimate)]
        expected = mir_eval.chord.evaluate(*sides[0], *sides[1])
        found = chords.weighted_scores(reference, estimate)
        assert found == pytest.approx({name: expected[name] for name in found})


def test_only_the_time_that_both_cover_is_scored():
    estimate = [(0.0, 1.0, "C:maj")]
    assert chords.weighted_scores([(0.0, 1.0, "C:maj"), (1.0, 9.0, "G:maj")], estimate)["majmin"] == 1
    late = [(5.0, 9.0, "G:maj")]
    assert chords.weighted_scores([(0.0, 9.0, "G:maj")], late)["root"] == 1
    with pytest.raises(InputError, match="share no time"):
        chords.weighted_scores([(0.0, 1.0, "C:maj")], late)


def test_a_measure_that_nothing_is_about_is_not_a_number():
    scores = chords.weighted_scores([(0.0, 1.0, "B:hdim7")], [(0.0, 1.0, "B:min")])
    assert np.isnan(scores["majmin"])
    assert scores["root"] == 1


def test_a_recording_shorter_than_a_window_is_refused():
    track = SimpleNamespace(id="short", sample_rate=16_000, excerpt=lambda: np.zeros((1, 3 * 16_000), np.float32))
    with pytest.raises(InputError, match=r"short: 3.00 s long; a window of 5 s does not fit"):
        chord_frames.mixture(track)
