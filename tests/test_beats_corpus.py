"""Corpus `beats`: what is annotated as a beat is where the music has one."""

import librosa
import mir_eval
import numpy as np
import pytest

from phalar.corpora import beats
from phalar.datasets import store

HOP = 64
"""Samples between two frames of the onset detector: 2.9 ms."""


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """One piece of each way to play and sound, all of other genres."""
    folder = tmp_path_factory.mktemp("beats")
    taken = set()
    chosen = {}
    for piece, cast in beats.castings().items():
        if (cast.feel, cast.sound) not in chosen and cast.genre not in taken | {"classical"}:
            chosen[cast.feel, cast.sound] = piece
            taken.add(cast.genre)
    for piece in chosen.values():
        beats.build(piece, folder)
    store.write_index(folder, "beats", beats.SAMPLE_RATE)
    return store.open_store(folder)


def onsets(audio: np.ndarray) -> np.ndarray:
    """Seconds of onsets, by spectral flux."""
    rate = beats.SAMPLE_RATE
    flux = librosa.onset.onset_strength(y=audio, sr=rate, hop_length=HOP, n_fft=512, n_mels=64, lag=2)
    near, around = round(0.03 * rate / HOP), round(0.1 * rate / HOP)
    windows = {"wait": near, "pre_max": near, "post_max": near, "pre_avg": around, "post_avg": around, "delta": 0.05}
    return librosa.onset.onset_detect(
        onset_envelope=flux, sr=rate, hop_length=HOP, backtrack=False, units="time", **windows
    )


def latency() -> float:
    """How late the detector is, in seconds: on clicks at known moments."""
    moments = 0.3 + 0.5 * np.arange(20) + np.random.default_rng(0).uniform(0, 0.01, 20)
    audio = np.zeros(11 * beats.SAMPLE_RATE, np.float32)
    time = np.arange(beats.SAMPLE_RATE // 5) / beats.SAMPLE_RATE
    for moment in moments:
        first = round(moment * beats.SAMPLE_RATE)
        audio[first : first + len(time)] += np.exp(-time / 0.03) * np.sin(2 * np.pi * 880 * time)
    return float(np.median(nearest(onsets(audio), moments)))


def nearest(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """From every wanted moment to the nearest one found, signed."""
    away = found[None] - wanted[:, None]
    return away[np.arange(len(wanted)), np.abs(away).argmin(1)]


def test_a_track_is_thirty_seconds_of_a_mix_with_beats_all_over(tracks):
    for track in tracks:
        assert (track.stems, track.pitched) == (("mix",), (True,))
        assert track.sample_rate == 22_050
        assert track.num_samples == 30 * 22_050
        audio = track.excerpt()[0]
        assert 0.85 < np.abs(audio).max() < 0.95
        seconds, numbers = track.beats.T
        assert 0 <= seconds[0] < 4
        assert 26 < seconds[-1] < 30
        count = int(numbers.max())
        assert np.array_equal(numbers[1:], numbers[:-1] % count + 1)
        tempo = 60 / np.median(np.diff(seconds))
        assert tempo == pytest.approx(track.tags["tempo"], rel=0.01 if track.tags["feel"] == "straight" else 0.15)


def test_onsets_coincide_with_the_beats(tracks):
    """Median under 10 ms, after what the detector is late on clicks; and halfway between beats it is not so."""
    late = latency()
    assert abs(late) < 0.02
    for track in tracks:
        if track.tags["feel"] == "straight":
            found, seconds = onsets(track.excerpt()[0]) - late, track.beats[:, 0]
            assert np.median(np.abs(nearest(found, seconds))) < 0.01
            assert np.mean(np.abs(nearest(found, seconds)) < 0.03) > 0.5
            moved = seconds[:-1] + 0.37 * np.diff(seconds)  # neither an eighth nor a triplet nor a sixteenth
            assert np.median(np.abs(nearest(found, moved))) > 0.02


def test_straight_is_steady_and_expressive_is_not(tracks):
    for track in tracks:
        lasting = np.diff(track.beats[:, 0])
        if track.tags["feel"] == "straight":
            assert lasting.std() / lasting.mean() < 1e-3
        else:
            assert lasting.std() / lasting.mean() > 0.03
            assert lasting[-1] > 1.1 * np.median(lasting)  # the ritardando


@pytest.mark.slow
def test_a_tracker_trained_on_real_music_finds_the_beats(tmp_path):
    """madmom on the straight pieces among the first sixty."""
    from phalar.evaluate.trackers import madmom_beats

    chosen = [piece for piece in list(beats.pieces())[:60] if beats.castings()[piece].feel == "straight"]
    for piece in chosen:
        beats.build(piece, tmp_path)
    store.write_index(tmp_path, "beats", beats.SAMPLE_RATE)
    scores = [
        mir_eval.beat.f_measure(track.beats[:, 0], madmom_beats(track.excerpt()[0], track.sample_rate))
        for track in store.open_store(tmp_path)
    ]
    assert np.mean(scores) >= 0.85
