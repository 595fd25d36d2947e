"""Corpus `studio`: songs as a studio would leave them, by other presets than `band`'s. And the stress sets made of
them: one thing is changed at a time, and a codec leaves everything in its place."""

import numpy as np
import pytest
from scipy.signal import correlate

from phalar.audio import SAMPLE_RATE
from phalar.corpora import effects, performance, stress, studio
from phalar.corpora.styles import instrument, table
from phalar.datasets import store
from phalar.evaluate.retrieval import fixed_pairs

PIECES = list(studio.pieces())


@pytest.fixture(scope="module")
def casts():
    """Arrangement, performance and sources of many pieces, without their sound."""
    found = []
    for piece in PIECES[:18]:
        page = studio.arrangement(piece)
        played, _ = performance.perform(page, studio.feel(piece, page), np.random.default_rng(0))
        found.append((page, played, studio.cast(piece, page, played)))
    return found


def test_no_preset_is_one_of_bands():
    names = [name for rows in ("instruments", "kits", "percussion") for name in table()[rows]]
    band = {(each.program, each.drums) for each in map(instrument, names)}
    assert not band & {(patch.program, patch.drums) for patch in studio.PATCHES.values()}


def test_drums_are_split_without_loss(casts):
    split = 0
    for page, played, sources in casts:
        written = [n for part, notes in zip(page.parts, played, strict=True) if part.role == "drums" for n in notes]
        recorded = [source for source in sources if source.patch.stem == "drums"]
        together = [(n.onset, n.pitch) for source in recorded for n in source.notes]
        assert sorted(together) == sorted((n.onset, n.pitch) for n in written)
        split += len(recorded) > 1
        for source in recorded:
            if source.name in studio.MICROPHONES:
                assert {n.pitch for n in source.notes} <= studio.MICROPHONES[source.name]
    assert 1 <= split <= 9  # of 18: some, not most


def beeps(seconds: float = 4.0) -> np.ndarray:
    """Half a second of decaying tone at the beginning of every second, from 0.5 s on."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    local = (t - 0.5) % 1
    tone = np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 880 * t)
    return (tone * np.exp(-local / 0.15) * (t > 0.5) * (local < 0.5)).astype(np.float32)


def treated(channel: str, seed: int, audio: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return effects.treat(audio, studio.CHANNELS[channel], effects.draw_room(rng), 120.0, rng)


@pytest.mark.parametrize("channel", studio.CHANNELS)
def test_a_treated_source_is_sound_and_in_time(channel):
    audio = beeps()
    outcomes = [treated(channel, seed, audio) for seed in range(6)]
    for out in outcomes:
        assert out.shape == audio.shape
        assert out.dtype == np.float32
        assert np.isfinite(out).all()
        loud = np.abs(out) > 0.1 * np.abs(out).max()
        assert abs(np.flatnonzero(loud)[0] / SAMPLE_RATE - 0.5) < 0.006
        assert not np.abs(out[:7900]).max() > 0.02 * np.abs(out).max()
        # What stands out is rounded off: one stroke cannot decide how loud the song may be.
        assert np.abs(out).max() < 6 * effects.sounding_level(out)
    assert len({out.tobytes() for out in outcomes}) == 6
    np.testing.assert_array_equal(outcomes[0], treated(channel, 0, audio))
    np.testing.assert_allclose(treated(channel, 1, 0.01 * audio), outcomes[1], atol=2e-4)  # whatever its level


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
