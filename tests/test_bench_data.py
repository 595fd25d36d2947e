"""The benchmark of the data compares like with like."""

import numpy as np
import pytest
import torch

from phalar.datasets import augment
from phalar.evaluate import bench, bench_data


def test_the_store_is_twenty_times_faster_than_decoding_and_gives_the_same(monkeypatch):
    for name, value in {"PIECE_SECONDS": 12.0, "PIECES": 2, "EXCERPTS": 4, "PAIRS": 8, "PLAIN_PAIRS": 2}.items():
        monkeypatch.setattr(bench_data, name, value)
    result = bench.run("data")
    assert result["ratio"] == pytest.approx(result["ours"] / result["reference"])
    assert result["ratio"] > 20
    assert result["max_relative_error"] < 2e-4
    assert result["pair_ratio"] == pytest.approx(result["pair_reference_ms"] / result["pair_ms"])
    assert result["pair_ratio"] > 1


def test_the_plain_noise_is_as_loud_as_ours(monkeypatch):
    """Power of what is added to a tone, over many clips."""
    for module in (augment, bench_data):
        monkeypatch.setattr(module, "GAIN_DB", 0.0)
    tone = np.sin(np.arange(4_000) / 5).astype(np.float32)
    rng = np.random.default_rng(0)
    plain = np.concatenate([bench_data.plain_augment(np.stack([tone, tone]), rng) - tone for _ in range(400)])
    waves = torch.from_numpy(np.broadcast_to(tone, (2, 400, 4_000)).copy())
    ours = augment.augment(waves, torch.Generator().manual_seed(0)) - waves
    assert np.mean(plain**2) == pytest.approx(ours.square().mean().item(), rel=0.1)
