"""Augmentation: each noise has the spectrum of its colour and the level it is given; the published faults on demand."""

import numpy as np
import pytest
import torch

from phalar.datasets import augment
from phalar.datasets.augment import BAND, BROWN, BURSTS, PINK, WHITE, Noise

RATE = 16_000


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def only(monkeypatch, name, snr=(20, 20)):
    """Leave one noise, always on, 20 dB below the music."""
    for each in ("WHITE", "PINK", "BROWN", "BAND", "BURSTS"):
        row = getattr(augment, each)
        always = Noise(1.0, snr, row.falls, row.falls_as_published)
        monkeypatch.setattr(augment, each, always if each == name else Noise(0.0, (0, 0)))


@pytest.mark.parametrize(("name", "per_octave"), [("WHITE", (0, 0)), ("PINK", (-3.01, -6.02)), ("BROWN", (-6.02, 0))])
@pytest.mark.parametrize("as_published", [False, True])
def test_colours_fall_by_their_decibels_an_octave(monkeypatch, name, as_published, per_octave):
    """As published, pink noise is a sum of random walks, and brown noise is white."""
    only(monkeypatch, name)
    _, noise = augment.gaussian_noise(24, RATE, seeded(), as_published=as_published)
    power, frequency = torch.fft.rfft(noise).abs().square().mean(0).numpy(), np.fft.rfftfreq(RATE, 1 / RATE)
    octaves = np.arange(np.log2(100), np.log2(4000), 0.5)
    level = [10 * np.log10(power[(frequency >= 2**o) & (frequency < 2 ** (o + 0.5))].mean()) for o in octaves]
    assert np.polyfit(octaves, level, 1)[0] == pytest.approx(per_octave[as_published], abs=0.35)
    level = 10 * torch.log10(noise.square().mean()).item()
    assert level == pytest.approx(-20, abs=2 if (name, as_published) == ("PINK", True) else 0.5)


@pytest.mark.parametrize("as_published", [False, True])
def test_band_noise_stays_in_its_band(monkeypatch, as_published):
    only(monkeypatch, "BAND")
    _, noise = augment.gaussian_noise(16, RATE, seeded(), as_published=as_published)
    frequency = np.fft.rfftfreq(RATE, 1 / RATE)
    for clip in torch.fft.rfft(noise).abs().square().numpy():
        inside = frequency[clip > clip.max() * 1e-4]
        assert inside.min() >= 99
        assert inside.max() <= 8000
        assert inside.max() - inside.min() > 90 if as_published else inside.max() / inside.min() > 1.9
        assert clip[(frequency >= inside.min()) & (frequency <= inside.max())].sum() > 0.999 * clip.sum()
    assert 10 * torch.log10(noise.square().mean()).item() == pytest.approx(-20, abs=0.7)
    low, high = augment._band(40_000, seeded(), as_published)
    if as_published:  # even in hertz and a hundred wide at least
        assert (low.min() >= 100) & (low.max() <= 4000) & (high.max() <= 8000) & ((high - low).min() >= 100)
        assert low.mean().item() == pytest.approx(2050, rel=0.02)
        assert high[low > 3900].mean().item() == pytest.approx(6025, rel=0.02)  # uniform too: from 4000 to 8000


@pytest.mark.parametrize("as_published", [False, True])
def test_bursts_are_one_to_three_and_short_and_only_the_published_differ_in_level(monkeypatch, as_published):
    only(monkeypatch, "BURSTS", (0, 60))
    placed = augment.bursts(300, 40_000, seeded(), as_published=as_published)
    noise = torch.zeros(300, 40_000).scatter_add(1, *placed)
    counts, unequal = set(), 0
    for clip in noise.numpy():
        places = np.flatnonzero(clip)
        runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
        counts.add(len(runs))
        assert all(10 <= len(run) <= 60 for run in runs)  # two may touch
        levels = [np.sqrt(np.mean(clip[run] ** 2)) for run in runs]
        unequal += max(levels) > 5 * min(levels)
    assert counts == {1, 2, 3}
    assert (unequal > 60) == as_published


def test_gain_is_common_to_a_pair_and_within_6_db_and_noise_is_not_common(monkeypatch):
    only(monkeypatch, "NONE")
    waves = torch.rand(1, 300, 50).repeat(2, 1, 1) + 0.5
    before = waves.clone()
    ratio = augment.augment(waves, seeded()) / waves
    assert waves.equal(before)
    gain = 20 * torch.log10(ratio[0, :, 0])
    assert torch.allclose(ratio, ratio[:1, :, :1].expand_as(ratio), rtol=1e-4)
    assert -6.001 <= gain.min() < -5
    assert 5 < gain.max() <= 6.001
    only(monkeypatch, "WHITE")
    anchor, positive = augment.augment(waves, seeded())
    assert not torch.allclose(anchor, positive)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0])
def test_noises_come_with_their_chance_times_the_share(share):
    generator = seeded()
    for noise in (WHITE, PINK, BROWN, BAND, BURSTS):
        on = (augment._level(noise, (4000,), generator, share) > 0).float().mean().item()
        assert on == pytest.approx(share * noise.chance, abs=0.03)
    waves = torch.rand(2, 5, 400) + 0.5
    ratio = augment.augment(waves, seeded(), share) / waves
    assert torch.allclose(ratio, ratio[:1, :, :1].expand_as(ratio), rtol=1e-4) == (share == 0)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_clips_without_noise_are_skipped_on_a_cpu_and_nothing_else_changes(monkeypatch, share):
    """As on a GPU, where all are shaped at once: the same draws, the same sound but for rounding."""
    waves = torch.randn(2, 40, 3001, generator=seeded(1))
    one_by_one = augment.augment(waves, seeded(5), share)
    noisy, noise = augment.gaussian_noise(80, 3001, seeded(5), share)
    assert 0 < len(noisy) < 80
    monkeypatch.setattr(augment, "_at_once", lambda device: True)
    everyone, dense = augment.gaussian_noise(80, 3001, seeded(5), share)
    assert everyone.tolist() == list(range(80))
    torch.testing.assert_close(dense[noisy], noise)
    assert not dense[[i for i in range(80) if i not in noisy.tolist()]].any()
    torch.testing.assert_close(augment.augment(waves, seeded(5), share), one_by_one)
    assert augment.augment(waves, seeded(5), share).equal(augment.augment(waves, seeded(5), share))
    assert not augment.augment(torch.zeros(2, 3, 500), seeded()).any(), "silence stays silent"
    assert torch.isfinite(augment.augment(torch.ones(2, 1, 500), seeded(), share=1e-9)).all(), "none may be noisy"


def test_a_crop_is_one_place_for_both_sides_of_a_pair_and_may_miss_the_noise():
    waves = torch.arange(1000.0).repeat(2, 64, 1)
    cut = augment.crop(waves, 100, seeded())
    assert cut.shape == (2, 64, 100)
    assert cut[0].equal(cut[1])
    assert torch.equal(cut.diff(dim=2), torch.ones(2, 64, 99))
    assert len(cut[0, :, 0].unique()) > 30
    assert augment.crop(waves, 1000, seeded()).equal(waves)
