"""Batches drawn from tables, without a look at the sound: the same pairs that drawing one by one would give. And their
augmentation: each noise has the spectrum of its colour and the level it is given; the published faults on demand."""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from music import RATE, invent_track

from phalar.datasets import augment, batches
from phalar.datasets.augment import BAND, BROWN, BURSTS, PINK, WHITE, Noise
from phalar.datasets.tracks import BLOCK, SILENCE, draw_pair, draw_stems, sounding
from phalar.errors import InputError, RunError

CPU = torch.device("cpu")


def draw(tracks, size, seed=0, seconds=2):
    return batches.draw(batches.tables(tracks), size, round(seconds * RATE), np.random.default_rng(seed))


def test_sounding_blocks_are_those_with_a_sample_above_the_threshold():
    rng = np.random.default_rng(0)
    audio = np.zeros((2, 10 * BLOCK + 7), np.float32)
    for block in (0, 3, 4, 10):
        audio[0, min(block * BLOCK + rng.integers(BLOCK), audio.shape[1] - 1)] = -2 * SILENCE
    audio[1] = 0.5 * SILENCE
    first, second = sounding(audio)
    assert first.tolist() == [[0, 1], [3, 5], [10, 11]]
    assert second.shape == (0, 2)
    assert sounding(np.full((1, BLOCK), -32768, np.int16))[0].tolist() == [[0, 1]]


def test_sides_share_no_stem_and_sound(tmp_path):
    tracks = [invent_track(tmp_path, i, stems=2 + i % 3, silent=(0,) if i % 3 == 2 else ()) for i in range(6)]
    source = batches.StoredSource(batches.tables(tracks), CPU)
    silent = 0
    for seed in range(20):
        cuts = draw(tracks, 6, seed)
        assert not (cuts.anchor & cuts.positive).any()
        assert np.abs(source.read(cuts)).amax(dim=2).min() > SILENCE
        silent += cuts.silent
    assert silent > 0, "a third of the tracks has a silent stem"


@pytest.mark.parametrize("stems", [2, 3, 4])
def test_the_stems_of_a_pair_are_distributed_as_by_draw_stems(tmp_path, stems):
    known = batches.tables([invent_track(tmp_path, i, stems=stems) for i in range(4)])
    rng = np.random.default_rng(1)
    seen = Counter()
    for _ in range(600):
        cuts = batches.draw(known, 4, 2 * RATE, rng)
        for a, p in zip(cuts.anchor, cuts.positive, strict=True):
            seen[tuple(np.flatnonzero(a)), tuple(np.flatnonzero(p))] += 1
    expected = Counter(draw_stems(stems, rng) for _ in range(20_000))
    for sides, count in expected.items():
        share, error = count / 20_000, np.sqrt(count / 20_000 / 2400)
        assert seen[sides] / 2400 == pytest.approx(share, abs=5 * error)
    assert set(seen) <= set(expected)


def test_no_track_twice_and_every_data_set_has_the_same_chance(tmp_path):
    small = [replace(invent_track(tmp_path, i), dataset="small") for i in range(4)]
    large = [replace(invent_track(tmp_path, i), dataset="large") for i in range(4, 16)]
    known = batches.tables(small + large)
    rng = np.random.default_rng(0)
    assert sorted(batches.draw(known, 16, RATE * 2, rng).track) == list(range(16))
    firsts = [batches.draw(known, 1, 2 * RATE, rng).track[0] for _ in range(800)]
    assert np.mean(np.array(firsts) < 4) == pytest.approx(0.5, abs=0.07)
    with pytest.raises(InputError, match="17 pairs from 16 tracks"):
        batches.draw(known, 17, 2 * RATE, rng)


def test_audio_is_the_sum_of_the_chosen_stems_from_disk_and_from_memory_alike(tmp_path):
    tracks = [invent_track(tmp_path, i, stems=2 + i, seconds=3.0 + i) for i in range(3)]
    known = batches.tables(tracks)
    cuts = batches.draw(known, 3, 5 * RATE, np.random.default_rng(0))
    waves = batches.StoredSource(known, CPU).read(cuts)
    assert waves.shape == (2, 3, 5 * RATE)
    for i, side in product(range(3), (0, 1)):
        stems = tracks[cuts.track[i]].excerpt(int(cuts.start[i]), 5 * RATE)
        chosen = (cuts.anchor, cuts.positive)[side][i]
        assert np.allclose(waves[side, i], sum(stems[s] for s in np.flatnonzero(chosen)))
    assert torch.allclose(batches.ResidentSource(known, CPU).read(cuts), waves, atol=1e-6)
    part = batches.StoredSource(known, CPU).read(cuts[1:])
    assert part.equal(waves[:, 1:])


def test_excerpts_reach_a_track_s_both_ends(tmp_path):
    track = [invent_track(tmp_path, 0, seconds=2.001)]
    starts = {int(draw(track, 1, seed).start[0]) for seed in range(400)}
    assert (min(starts), max(starts)) == (0, track[0].num_samples - 2 * RATE)


SKELETON = """
import resource, sys
import numpy as np
from phalar.datasets import batches
from phalar.datasets.tracks import Track

def used():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = used()
share, rng = int(sys.argv[1]), np.random.default_rng(0)
MOST = {"moisesdb": 40, "slakh2100": 40, "cocochorales": 3}  # sounding spans of a stem

def skeleton(dataset, number, stems, seconds):
    blocks = int(10 * seconds)
    edges = [np.sort(rng.choice(blocks, 2 * MOST[dataset], False)).astype(np.int32) for _ in range(stems)]
    spans = tuple(each.reshape(-1, 2) for each in edges)
    return Track(str(number), dataset, "train", ("x",) * stems, 16000, 1600 * blocks, None, sounding=spans)

tracks = [skeleton("moisesdb", i, 13, 216) for i in range(192)]
tracks += [skeleton("slakh2100", i, 42 if i == 868 else 10, 900 if i == 0 else 250) for i in range(1289)]
tracks += [skeleton("cocochorales", i, 4, 21) for i in range(192_000 // share)]
known = batches.tables(tracks)
cuts = batches.draw(known, 128, 160_000, rng)
print(used() - before, len(known.tracks), len(set(cuts.track)))
"""


@pytest.mark.parametrize("share", [50, pytest.param(1, marks=pytest.mark.slow)])
def test_tables_of_the_three_real_training_sets_take_less_than_a_gigabyte(share):
    """Skeletons of 192 + 1289 + 192,000 tracks; a table of tracks by most stems by most blocks would have 146 GB."""
    done = subprocess.run([sys.executable, "-c", SKELETON, str(share)], capture_output=True, text=True, check=True)
    mega, tracks, drawn = map(float, done.stdout.split())
    assert (tracks, drawn) == (192 + 1289 + 192_000 // share, 128)
    assert mega < (1000 if share == 1 else 100)


def test_bad_tracks_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="no tracks"):
        batches.tables([])
    with pytest.raises(InputError, match=r"track0 .* one stem"):
        batches.tables([invent_track(tmp_path, 0, stems=1)])
    with pytest.raises(RunError, match=r"track1 .*silent side"):
        draw([invent_track(tmp_path, 1, stems=2, silent=(1,))], 1)
    with pytest.raises(RunError, match="track2"):
        draw_pair(invent_track(tmp_path, 2, stems=2, silent=(0, 1)), 2 * RATE, np.random.default_rng(0))
    with pytest.raises(InputError, match="at least 2"):
        draw_stems(1, np.random.default_rng(0))


# --- augmentation


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
        assert 99 <= inside.min() < inside.max() <= 8000
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
