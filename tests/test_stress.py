"""The stress sets: one thing is changed at a time, and a codec leaves everything in its place."""

from itertools import pairwise

import numpy as np
import pytest

from phalar.corpora import codecs, stress, studio
from phalar.corpora.codecs import transcode
from phalar.datasets import store
from phalar.errors import InputError

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


# --- codecs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codec", "kbps"), [("mp3", 64), ("mp3", 32), ("mp3", 16), ("mp3", 8), ("opus", 32), ("opus", 16), ("opus", 6)]
)
def test_what_a_codec_returns_is_in_time_and_of_the_length_that_went_in(codec, kbps):
    audio = music()
    coded, rate = transcode(audio, RATE, codec, kbps)
    assert coded.shape == audio.shape
    assert coded.dtype == np.float32
    assert abs(delay(coded, audio)) <= 2  # an eighth of a millisecond
    assert delay(np.r_[np.zeros(codecs.LAME_DELAY, np.float32), audio][: len(audio)], audio) == codecs.LAME_DELAY
    assert rate == pytest.approx(kbps, rel=0.15, abs=4)


def test_less_is_left_at_a_lower_rate():
    audio = music(seed=1)
    for codec, rates in {"mp3": (64, 32, 16, 8), "opus": (32, 16, 6)}.items():
        lost = [np.sum((transcode(audio, RATE, codec, kbps)[0] - audio) ** 2) for kbps in rates]
        assert all(later > 1.2 * earlier for earlier, later in pairwise(lost))
        assert lost[0] < 0.05 * np.sum(audio**2)


def test_silence_stays_silent():
    for codec in codecs.CODECS:
        coded, _ = transcode(np.zeros(RATE, np.float32), RATE, codec, 16)
        assert np.abs(coded).max() < 1e-3


@pytest.mark.parametrize(
    ("codec", "kbps", "named"), [("mp3", 33, "33"), ("opus", 500, "500"), ("opus", 2, "2"), ("aac", 32, "aac")]
)
def test_what_a_codec_cannot_do_is_said(codec, kbps, named):
    with pytest.raises(InputError, match=named):
        transcode(music(), RATE, codec, kbps)


# --- sets ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """One song in each set, by the set's name."""
    root, piece = tmp_path_factory.mktemp("stress"), list(stress.pieces())[3]
    made = {}
    for name in reversed(stress.SETS):  # the codecs' sets first: they must not need the plain one
        folder = root / f"{name}-v{stress.VERSION}"
        stress.build(name, piece, folder)
        store.write_index(folder, name)
        (made[name],) = store.open_store(folder)
    return made


def test_every_set_has_over_64_test_songs_of_studio():
    assert len(stress.pieces()) > 64
    assert all(studio.pieces()[piece] == "test" for piece in stress.pieces())


def test_sets_are_two_sounding_stems_of_one_length(sets):
    for track in sets.values():
        audio = track.excerpt()
        assert audio.shape == (2, round(stress.SECONDS * RATE))
        assert np.sqrt(np.mean(audio**2, 1)).min() > 0.005
        assert np.abs(audio).max() <= 1
        assert track.split == "test"


def test_a_codec_set_is_the_plain_one_in_time(sets):
    plain = sets["stress-plain"].excerpt()
    for name, track in sets.items():
        if track.tags["stress"] in codecs.CODECS:
            for before, after in zip(plain, track.excerpt(), strict=True):
                assert abs(delay(after, before)) <= 2
                assert not np.array_equal(after, before)
            assert max(track.tags["kbps"]) == pytest.approx(track.tags["level"], rel=0.15, abs=4)
            assert np.array_equal(track.beats, sets["stress-plain"].beats), name


def test_rubato_rises_and_the_same_people_play(sets):
    strength = []
    for name in ("stress-plain", "stress-rubato-1", "stress-rubato-2", "stress-rubato-3"):
        lasting = np.diff(sets[name].beats[:, 0])
        strength.append(lasting.std() / lasting.mean())
        assert sets[name].tags["sources"] == sets["stress-plain"].tags["sources"]
    assert strength[0] < 1e-3
    assert all(later > 1.3 * earlier for earlier, later in pairwise(strength))


def test_pads_change_with_the_chords_and_at_no_other_moment():
    for piece in list(stress.pieces())[:5]:
        page = stress.passage(piece)
        pads = stress.padded(page, np.random.default_rng(0))
        assert pads.chords == page.chords
        assert [part.role for part in pads.parts] == ["pad", "pad"]
        changes = {chord.onset: chord for chord in page.chords}
        for part in pads.parts:
            assert {stroke.onset for stroke in part.strokes} == set(changes)
            assert all(stroke.duration == changes[stroke.onset].duration for stroke in part.strokes)
        for chord in page.chords:
            held = {s.pitch % 12 for part in pads.parts for s in part.strokes if s.onset == chord.onset}
            assert held == set(chord.pitch_classes)


def test_a_passage_is_long_enough_and_full():
    for piece in list(stress.pieces())[:10]:
        page = stress.passage(piece)
        assert page.length * 60 / (page.bpm * page.beat) >= stress.SECONDS
        assert page.beats[0] == (0.0, 1)
        assert sum(bool(part.strokes) for part in page.parts) >= 3
