"""The stress sets: one thing is changed at a time, and a codec leaves everything in its place."""

import numpy as np
import pytest
from scipy.signal import correlate

from phalar.corpora import stress
from phalar.datasets import store
from phalar.evaluate.retrieval import fixed_pairs

RATE = 16_000


def delay(changed: np.ndarray, original: np.ndarray) -> int:
    """Samples by which one is later than the other, where they correlate most."""
    return int(np.argmax(correlate(changed, original, method="fft"))) - len(original) + 1


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
    plain, free = (np.diff(sets[name].beats[:, 0]) for name in ("stress-plain", "stress-rubato-3"))
    assert plain.std() < 1e-3 * plain.mean()
    assert free.std() > 0.1 * free.mean()
    assert sets["stress-rubato-3"].tags["sources"] == sets["stress-plain"].tags["sources"]
