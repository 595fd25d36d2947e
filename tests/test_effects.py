"""What the studio does to a source: finite, in time, the same every time, and never to the sum."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from phalar.corpora import effects
from phalar.corpora.synth.waves import SAMPLE_RATE

CHAINS = [*effects.TASTES, "distorted"]


def beeps(seconds: float = 4.0) -> np.ndarray:
    """Half a second of decaying tone at the beginning of every second, from 0.5 s on."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    local = (t - 0.5) % 1
    tone = np.sin(2 * np.pi * 220 * t) + 0.5 * np.sin(2 * np.pi * 880 * t)
    return (tone * np.exp(-local / 0.15) * (t > 0.5) * (local < 0.5)).astype(np.float32)


def treated(chain: str, seed: int, audio: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(seed)
    taste = effects.DISTORTED if chain == "distorted" else effects.TASTES[chain]
    return effects.treat(audio, taste, effects.draw_room(rng), 120.0, rng)


def checksum() -> str:
    return hashlib.sha256(b"".join(treated(c, s, beeps()).tobytes() for c in CHAINS for s in (1, 2))).hexdigest()


@pytest.mark.parametrize("chain", CHAINS)
def test_a_treated_source_is_sound_and_in_time(chain):
    audio = beeps()
    outcomes = [treated(chain, seed, audio) for seed in range(6)]
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
    np.testing.assert_array_equal(outcomes[0], treated(chain, 0, audio))


def test_the_level_of_the_source_does_not_change_its_treatment():
    np.testing.assert_allclose(
        treated("vocals", 1, 0.01 * beeps()), treated("vocals", 1, beeps()), atol=1e-4 * np.abs(beeps()).max()
    )


def test_another_process_gives_the_same_bytes():
    """The library's effects keep no state from call to call, and none is random."""
    program = "import sys; sys.path.insert(0, sys.argv[1]); import test_effects; print(test_effects.checksum())"
    there = subprocess.run(
        [sys.executable, "-c", program, __file__.rsplit("/", 1)[0]], capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == checksum()


def test_drive_adds_partials_and_none_of_them_folded():
    t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = np.sin(2 * np.pi * 1100 * t).astype(np.float32) * 0.1
    out = effects._amplifier(tone, 24.0, False, np.random.default_rng(0))[2000:10000].astype(np.float64)
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


def test_hum_is_the_mains():
    for seed in range(4):
        hum = effects.hum(SAMPLE_RATE, np.random.default_rng(seed))
        spectrum = np.abs(np.fft.rfft(hum)) ** 2
        assert any(spectrum[::mains].sum() > 0.999 * spectrum.sum() for mains in (50, 60))
        assert 0.3 < np.sqrt(np.mean(hum**2)) < 2


def test_hiss_is_noise_of_level_one():
    noise = effects.hiss(SAMPLE_RATE, np.random.default_rng(0))
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum.max() < 0.01 * spectrum.sum()
