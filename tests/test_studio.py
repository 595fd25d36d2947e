"""Corpus `studio`: songs as a studio would leave them, by other presets than `band`'s."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from phalar.audio import SAMPLE_RATE
from phalar.corpora import effects, performance, studio
from phalar.corpora.sampler import Note
from phalar.corpora.styles import instrument, table

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


# --- who may be recorded --------------------------------------------------------------------------------------------


def test_no_preset_is_one_of_bands():
    names = [name for rows in ("instruments", "kits", "percussion") for name in table()[rows]]
    band = {(each.program, each.drums) for each in map(instrument, names)}
    assert not band & {(patch.program, patch.drums) for patch in studio.PATCHES.values()}


def test_the_table_is_whole():
    named = [name for _, others in studio.INSTEAD.values() for name in others]
    assert set(named) <= studio.PATCHES.keys()
    assert {patch.channel or patch.stem for patch in studio.PATCHES.values()} <= studio.CHANNELS.keys()


def test_notes_are_moved_by_octaves_into_the_range():
    patch = studio.PATCHES["cello"]
    for pitches in ([90, 93, 97], [20, 25], [30, 60, 100]):
        moved = [n.pitch for n in patch.within([Note(0, 1, pitch, 80) for pitch in pitches])]
        assert all(patch.keys[0] <= pitch <= patch.keys[1] for pitch in moved)
        assert all((a - b) % 12 == 0 for a, b in zip(moved, pitches, strict=True))
    assert [n.pitch for n in patch.within([Note(0, 1, 50, 80)])] == [50]


def test_songs_have_the_sources_of_a_studio(casts):
    stems = Counter()
    for page, _, sources in casts:
        assert 4 <= len(sources) <= studio.MOST
        stems.update({source.patch.stem for source in sources})
        for source in sources:
            low, high = source.patch.keys
            assert all(low <= n.pitch <= high for n in source.notes)
        assert len(page.parts) <= len(sources)
    assert stems["vocals"] > 5
    assert stems["drums"] == len(casts)
    assert len(stems) >= 9


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


def test_who_plays_does_not_depend_on_the_key(casts):
    """A twin in another key has the same sources, drums and all."""
    for piece, (page, played, sources) in zip(PIECES, casts, strict=False):
        higher = [
            notes if part.drums else [replace(n, pitch=n.pitch + 3) for n in notes]
            for part, notes in zip(page.parts, played, strict=True)
        ]
        twin = studio.cast(piece, page, higher)
        assert [(s.name, s.patch, len(s.notes)) for s in twin] == [(s.name, s.patch, len(s.notes)) for s in sources]
        assert [s.notes for s in twin if s.patch.drums] == [s.notes for s in sources if s.patch.drums]


# --- what is done to a source -----------------------------------------------------------------------------------


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


def test_drive_adds_partials_and_none_of_them_folded():
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1100 * t).astype(np.float32) * 0.1
    out = effects.amplified(tone, 24.0, False, np.random.default_rng(0))[2000:10000].astype(np.float64)
    power = np.abs(np.fft.rfft(out * np.blackman(len(out)))) ** 2
    frequencies = np.arange(len(power)) * SAMPLE_RATE / len(out)
    third = power[np.abs(frequencies - 3300) < 30].sum()
    partial = np.abs(frequencies / 1100 - np.round(frequencies / 1100)) * 1100 < 30
    assert third > 1e-3 * power.sum()
    assert power[~partial].sum() < 3e-4 * power.sum()


def test_level_counts_only_what_sounds():
    t = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 440 * t).astype(np.float32) * (t < 1)
    assert effects.sounding_level(tone) == pytest.approx(0.5**0.5, rel=0.02)


def test_bleed_is_late_and_dull():
    rng = np.random.default_rng(3)
    click = np.zeros(8000, np.float32)
    click[1000] = 1
    for _ in range(10):
        heard = effects.bleed(click, rng)
        late = (np.flatnonzero(np.abs(heard) > 1e-6)[0] - 1000) / SAMPLE_RATE
        assert 0.0029 < late < 0.0101
        spectrum = np.abs(np.fft.rfft(heard))
        assert spectrum[3900:].max() < 0.5 * spectrum.max()
        assert spectrum[5] < 0.3 * spectrum.max()


@pytest.mark.parametrize("seed", range(4))
def test_hum_is_the_mains_and_hiss_is_noise(seed):
    hum = effects.hum(SAMPLE_RATE, np.random.default_rng(seed))
    spectrum = np.abs(np.fft.rfft(hum)) ** 2
    assert any(spectrum[::mains].sum() > 0.999 * spectrum.sum() for mains in (50, 60))
    assert 0.3 < np.sqrt(np.mean(hum**2)) < 2
    noise = effects.hiss(SAMPLE_RATE, np.random.default_rng(seed))
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum.max() < 0.01 * spectrum.sum()
