"""What the studio does to a source: finite, in time, the same every time, and never to the sum."""

import numpy as np
import pytest

from phalar.audio import SAMPLE_RATE
from phalar.corpora import effects
from phalar.corpora.studio import CHANNELS


def beeps(seconds: float = 4.0) -> np.ndarray:
    """Half a second of decaying tone at the beginning of every second, from 0.5 s on."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    local = (t - 0.5) % 1
    tone = np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 880 * t)
    return (tone * np.exp(-local / 0.15) * (t > 0.5) * (local < 0.5)).astype(np.float32)


def treated(channel: str, seed: int, audio: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return effects.treat(audio, CHANNELS[channel], effects.draw_room(rng), 120.0, rng)


@pytest.mark.parametrize("channel", CHANNELS)
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
