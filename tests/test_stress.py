"""The stress sets: one thing is changed at a time, and a codec leaves everything in its place."""

import numpy as np
import pytest

from phalar.corpora import stress
from phalar.corpora.stress import through_mp3
from phalar.datasets import store
from phalar.evaluate.retrieval import fixed_pairs

RATE = 16_000


def music(seconds: float = 3.0, seed: int = 0) -> np.ndarray:
    """Struck chords and noise that never repeat, (samples,), float32."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    audio = 0.01 * rng.standard_normal(len(time))
    for onset in np.cumsum(rng.uniform(0.1, 0.4, 20)):
        since = np.maximum(time - onset, 0)
        for pitch in rng.uniform(100, 2000, 3):
            audio += 0.1 * (time >= onset) * np.exp(-6 * since) * np.sin(2 * np.pi * pitch * since)
    return (0.7 * audio / np.abs(audio).max()).astype(np.float32)


def delay(changed: np.ndarray, original: np.ndarray) -> int:
    """Samples by which one is later than the other, where they correlate most."""
    size = 1 << (2 * len(original)).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(changed, size) * np.conj(np.fft.rfft(original, size)))
    late = int(np.argmax(correlation))
    return late - size if late > size // 2 else late


@pytest.mark.parametrize("kbps", [64, 32, 16, 8])
def test_what_mp3_returns_is_in_time_and_of_the_length_that_went_in(kbps):
    audio = music()
    coded, rate = through_mp3(audio, RATE, kbps)
    assert coded.shape == audio.shape
    assert coded.dtype == np.float32
    assert abs(delay(coded, audio)) <= 2  # an eighth of a millisecond
    assert rate == pytest.approx(kbps, rel=0.15, abs=4)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """One song in each set, by the set's name."""
    root, piece = tmp_path_factory.mktemp("stress"), list(stress.pieces())[3]
    made = {}
    for name in stress.SETS:
        stress.build(name, piece, root / name)
        store.write_index(root / name, name)
        (made[name],) = store.open_store(root / name)
    return made


def test_sets_are_two_sounding_stems_of_one_length(sets):
    for track in sets.values():
        audio = track.excerpt()
        assert audio.shape == (2, round(stress.SECONDS * RATE))
        assert np.sqrt(np.mean(audio**2, 1)).min() > 0.005
        assert np.abs(audio).max() <= 1
        assert track.split == "test"
        assert any(track.pitched)


def test_every_set_is_cut_at_the_same_places(sets):
    """A song's test pair in a degraded set is the one that it has in the plain set."""
    for draw in range(4):
        pairs = {name: fixed_pairs([track], draw)[0] for name, track in sets.items()}
        assert len({(pair.start, pair.anchor, pair.positive) for pair in pairs.values()}) == 1


def test_a_codec_set_is_the_plain_one_in_time(sets):
    coded, plain = sets["stress-mp3-8"], sets["stress-plain"]
    for before, after in zip(plain.excerpt(), coded.excerpt(), strict=True):
        assert abs(delay(after, before)) <= 2
        assert not np.array_equal(after, before)
    assert max(coded.tags["kbps"]) == pytest.approx(coded.tags["level"], rel=0.15, abs=4)
    assert np.array_equal(coded.beats, plain.beats)


def test_rubato_is_free_and_the_same_people_play(sets):
    spread = []
    for name in ("stress-plain", "stress-rubato-3"):
        lasting = np.diff(sets[name].beats[:, 0])
        spread.append(lasting.std() / lasting.mean())
    assert spread[0] < 1e-3
    assert spread[1] > 0.1
    assert sets["stress-rubato-3"].tags["sources"] == sets["stress-plain"].tags["sources"]
