"""Tracks and the store they are kept in: what is read is what was written, and nothing half-written is ever read."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from phalar import paths
from phalar.datasets import store
from phalar.errors import RunError

ABOUT = {
    "stems": ["a", "b", "b"],
    "tags": {"title": "Ä"},
    "beats": np.array([[0.1, 1], [0.6, 2]]),
    "chords": [(0.0, 0.3, "C:min7")],
    "notes": [np.array([[0.0, 0.1, 60]]), np.zeros((0, 3)), np.array([[0.1, 0.12345, 61]])],
    "pitched": [True, False, np.True_],
}


def noise(seed: int, stems: int = 3, length: int = 5000) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, (stems, length)).astype(np.int16)


@pytest.fixture
def filled(tmp_path):
    """A store of three tracks."""
    for seed, split in enumerate(("train", "valid", "test")):
        store.write_track(tmp_path, f"piece-{seed}", noise(seed), split=split, **ABOUT)
    store.write_index(tmp_path, "toy")
    return tmp_path


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    store.write_track(folder, "x", noise(7), split="test", stems=["a", "b", "c"])
    store.write_index(folder, "toy")
    return store.open_store(folder)[0]


def test_what_is_read_is_what_was_written(filled, track):
    tracks = store.open_store(filled)
    expected = [("piece-0", "train", "toy"), ("piece-1", "valid", "toy"), ("piece-2", "test", "toy")]
    assert [(t.id, t.split, t.dataset) for t in tracks] == expected
    one = tracks[1]
    assert (one.stems, one.tags, one.sample_rate, one.duration) == (("a", "b", "b"), {"title": "Ä"}, 16_000, 0.3125)
    assert (one.chords, one.pitched, track.pitched) == (((0.0, 0.3, "C:min7"),), (True, False, True), None)
    np.testing.assert_array_equal(one.beats, [[0.1, 1], [0.6, 2]])
    assert [n.shape for n in one.notes] == [(1, 3), (0, 3), (1, 3)]
    assert hash(one) == hash(store.open_store(filled)[1])
    store.write_index(filled, "toy", ids=["piece-0", "piece-2", "piece-9"])
    assert [t.id for t in store.open_store(filled)] == ["piece-0", "piece-2"]


@given(start=st.integers(0, 4999), length=st.integers(1, 9000))
def test_an_excerpt_is_a_slice_padded_with_zeros(track, start, length):
    whole = np.pad(noise(7) / np.float32(32768), ((0, 0), (0, 9000)))
    np.testing.assert_array_equal(track.excerpt(start, length), whole[:, start : start + length])


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damaged_audio_is_found_on_opening_or_afterwards_and_named(filled, damage):
    one, path = store.open_store(filled)[1], filled / "tracks" / "piece-1.npy"
    if damage == "cut":
        os.truncate(path, path.stat().st_size - 2)
    elif damage == "gone":
        path.unlink()
    else:
        np.save(path, noise(0, stems=2))
    with pytest.raises(RunError, match=r"piece-1\.npy"):
        one.excerpt(0, 10)
    with pytest.raises(RunError, match=r"piece-1\.npy.*again"):
        store.open_store(filled)
    assert store.incomplete(filled, ["piece-0", "piece-1", "piece-2", "piece-9"]) == ["piece-1", "piece-9"]
    assert [t.id for t in store.open_store(filled, ["piece-0", "piece-2"])] == ["piece-0", "piece-2"]


def test_a_bad_index_or_record_is_one_clear_error(filled, tmp_path):
    for rubbish in ("", "{", "[]", "null", '{"id": "piece-0"}', '{"bytes": "many"}'):
        (filled / "tracks" / "piece-0.json").write_text(rubbish)
        assert store.incomplete(filled, ["piece-0"]) == ["piece-0"]
    store.write_index(filled, "toy")
    assert [t.id for t in store.open_store(filled)] == ["piece-1", "piece-2"]
    with pytest.raises(RunError, match="piece-7"):
        store.open_store(filled, ["piece-1", "piece-7"])
    for text in ("", "{", "[]", '{"format": 99, "tracks": []}'):
        (filled / "index.json").write_text(text)
        with pytest.raises(RunError, match="again"):
            store.open_store(filled)
    with pytest.raises(RunError, match=r"index\.json"):
        store.open_store(tmp_path / "nowhere")


def test_a_writer_that_fails_leaves_no_track_and_sweeping_removes_old_leftovers_only(filled, monkeypatch):
    def full_disk(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as full:
        full.setattr(paths.os, "replace", full_disk)
        with pytest.raises(OSError, match="space"):
            store.write_track(filled, "piece-0", noise(9), split="train", stems=["a", "b", "b"])
    assert store.incomplete(filled, ["piece-0"]) == ["piece-0"]
    assert list(filled.rglob(".*")) == []
    old, new = filled / "tracks" / ".1.a.npy", filled / "tracks" / ".2.b.npy"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (0, 0))
    store.sweep(filled)
    assert (old.exists(), new.exists()) == (False, True)


def die_at_three(item: int) -> int:
    return os.abort() if item == 3 else -item


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_costs_the_one_item_it_had_in_hand(jobs):
    done = dict(store.in_processes(die_at_three, range(7), jobs))
    assert isinstance(died := done.pop(3), RunError)
    assert "its process died" in str(died)
    assert done == {item: -item for item in (0, 1, 2, 4, 5, 6)}
