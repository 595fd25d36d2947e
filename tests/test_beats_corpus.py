"""Corpus `beats`: what is annotated as a beat is where the music has one."""

import mir_eval
import numpy as np
import pytest

from phalar.corpora import beats
from phalar.datasets import store


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """One piece of each way to play and sound."""
    ways = {(cast.feel, cast.sound): piece for piece, cast in beats.castings().items() if cast.genre != "classical"}
    return built(ways.values(), tmp_path_factory.mktemp("beats"))


def built(pieces, folder):
    for piece in pieces:
        beats.build(piece, folder)
    store.write_index(folder, "beats", beats.SAMPLE_RATE)
    return store.open_store(folder)


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
    tracks = built(chosen, tmp_path)
    found = [madmom_beats(track.excerpt()[0], track.sample_rate) for track in tracks]
    scores = [mir_eval.beat.f_measure(track.beats[:, 0], own) for track, own in zip(tracks, found, strict=True)]
    assert np.mean(scores) >= 0.85
