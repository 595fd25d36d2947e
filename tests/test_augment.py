"""Augmentation: each noise has the spectrum of its colour and the level it is given."""

import numpy as np
import pytest
import torch

from phalar.datasets import augment
from phalar.datasets.augment import BAND, BROWN, BURSTS, PINK, WHITE, Noise

RATE = 16_000
OFF = Noise(0.0, (0, 0))


def only(monkeypatch, name):
    """Leave one noise, always on, 20 dB below the music."""
    for each in ("WHITE", "PINK", "BROWN", "BAND", "BURSTS"):
        monkeypatch.setattr(augment, each, Noise(1.0, (20, 20)) if each == name else OFF)


def slope(noise):
    """Decibels an octave from 100 Hz to 4 kHz of noise (clips, N)."""
    power = torch.fft.rfft(noise).abs().square().mean(0).numpy()
    frequency = np.fft.rfftfreq(noise.shape[-1], 1 / RATE)
    octaves = np.arange(np.log2(100), np.log2(4000), 0.5)
    level = [10 * np.log10(power[(frequency >= 2**o) & (frequency < 2 ** (o + 0.5))].mean()) for o in octaves]
    return np.polyfit(octaves, level, 1)[0]


@pytest.mark.parametrize(("name", "per_octave"), [("WHITE", 0.0), ("PINK", -3.01), ("BROWN", -6.02)])
def test_colours_fall_by_their_decibels_an_octave(monkeypatch, name, per_octave):
    only(monkeypatch, name)
    _, noise = augment.gaussian_noise(24, RATE, torch.Generator().manual_seed(0))
    assert slope(noise) == pytest.approx(per_octave, abs=0.35)
    assert 10 * torch.log10(noise.square().mean()).item() == pytest.approx(-20, abs=0.5)


def test_published_brown_noise_is_white(monkeypatch):
    only(monkeypatch, "BROWN")
    _, noise = augment.gaussian_noise(24, RATE, torch.Generator().manual_seed(0), as_published=True)
    assert slope(noise) == pytest.approx(0, abs=0.35)


def test_band_noise_stays_in_a_band_of_an_octave_or_more(monkeypatch):
    only(monkeypatch, "BAND")
    _, noise = augment.gaussian_noise(16, RATE, torch.Generator().manual_seed(0))
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)
    for clip in torch.fft.rfft(noise).abs().square().numpy():
        heard = frequency[clip > clip.max() * 1e-4]
        assert heard.min() >= 99
        assert heard.max() <= 8000
        assert heard.max() / heard.min() > 1.9
        inside = (frequency >= heard.min()) & (frequency <= heard.max())
        assert clip[inside].sum() > 0.999 * clip.sum()
    assert 10 * torch.log10(noise.square().mean()).item() == pytest.approx(-20, abs=0.7)


def test_bursts_are_one_to_three_and_short(monkeypatch):
    only(monkeypatch, "BURSTS")
    noise = torch.zeros(200, 4000).scatter_add(1, *augment.bursts(200, 4000, torch.Generator().manual_seed(0)))
    counts = []
    for clip in noise.numpy():
        places = np.flatnonzero(clip)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        counts.append(len(runs))
        assert all(10 <= len(run) <= 90 for run in runs)  # bursts may touch
    assert set(counts) == {1, 2, 3}
    heard = noise[noise != 0]
    assert 10 * torch.log10(heard.square().mean()).item() == pytest.approx(-20, abs=0.7)


def test_gain_is_common_to_a_pair_and_within_6_db(monkeypatch):
    only(monkeypatch, "NONE")
    waves = torch.rand(2, 300, 50) + 0.5
    ratio = augment.augment(waves, torch.Generator().manual_seed(0)) / waves
    gain = 20 * torch.log10(ratio[0, :, 0])
    assert torch.allclose(ratio, ratio[0, :, :1].expand_as(ratio), rtol=1e-4)
    assert gain.min() >= -6.001
    assert gain.max() <= 6.001
    assert gain.max() - gain.min() > 11


def test_anchor_and_positive_get_noise_of_their_own(monkeypatch):
    only(monkeypatch, "WHITE")
    waves = torch.randn(1, 4, 1000).repeat(2, 1, 1)
    a, p = augment.augment(waves, torch.Generator().manual_seed(0))
    assert not torch.allclose(a, p)


def test_noises_come_with_their_chance():
    generator = torch.Generator().manual_seed(0)
    for noise in (WHITE, PINK, BROWN, BAND, BURSTS):
        on = (augment._level(noise, 4000, generator) > 0).float().mean().item()
        assert on == pytest.approx(noise.chance, abs=0.03)


def test_silence_stays_silent_and_finite():
    assert not augment.augment(torch.zeros(2, 3, 500), torch.Generator().manual_seed(0)).any()


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_clips_without_noise_are_skipped_on_a_cpu_and_nothing_else_changes(monkeypatch, share):
    """As on a GPU, where all are shaped at once: the same draws, the same sound but for rounding."""
    waves = torch.randn(2, 40, 3001, generator=torch.Generator().manual_seed(1))
    one_by_one = augment.augment(waves, torch.Generator().manual_seed(5), share)
    heard, noise = augment.gaussian_noise(80, 3001, torch.Generator().manual_seed(5), share)
    assert 0 < len(heard) < 80
    assert noise.shape == (len(heard), 3001)
    assert (noise.square().mean(dim=1) > 1e-4).all()
    monkeypatch.setattr(augment, "_at_once", lambda device: True)
    everyone, dense = augment.gaussian_noise(80, 3001, torch.Generator().manual_seed(5), share)
    assert everyone.tolist() == list(range(80))
    torch.testing.assert_close(dense[heard], noise)
    assert not dense[[i for i in range(80) if i not in heard.tolist()]].any()
    torch.testing.assert_close(augment.augment(waves, torch.Generator().manual_seed(5), share), one_by_one)


def test_no_clip_may_have_noise():
    heard, noise = augment.gaussian_noise(3, 500, torch.Generator().manual_seed(0), share=0.0)
    assert len(heard) == len(noise) == 0
    waves = torch.ones(2, 1, 500)
    assert torch.isfinite(augment.augment(waves, torch.Generator().manual_seed(0), share=1e-9)).all()


def test_what_is_augmented_is_left_as_it_was():
    waves = torch.rand(2, 3, 500)
    before = waves.clone()
    augment.augment(waves, torch.Generator().manual_seed(0))
    assert waves.equal(before)


def test_the_result_is_a_function_of_the_generator():
    waves = torch.randn(2, 3, 500)
    a, b = (augment.augment(waves, torch.Generator().manual_seed(5)) for _ in range(2))
    assert a.equal(b)


def test_a_share_scales_every_chance_and_zero_leaves_the_gain_alone():
    generator = torch.Generator().manual_seed(0)
    for noise in (WHITE, PINK, BROWN, BAND, BURSTS):
        on = (augment._level(noise, 4000, generator, share=0.5) > 0).float().mean().item()
        assert on == pytest.approx(noise.chance / 2, abs=0.03)
    waves = torch.rand(2, 5, 400) + 0.5
    ratio = augment.augment(waves, torch.Generator().manual_seed(0), share=0.0) / waves
    assert torch.allclose(ratio, ratio[:1, :, :1].expand_as(ratio), rtol=1e-4)
