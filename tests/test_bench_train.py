"""The yardstick of `phalar bench train`: it computes what our step computes, from the same sound."""

import numpy as np
import pytest
import torch
from music import RATE, invent_track

from phalar.datasets import batches
from phalar.model.assembly import build
from phalar.model.plain import plain_backbone, plain_twin
from phalar.study import bench_train
from phalar.train import loop
from phalar.train.config import config


@pytest.fixture
def moved():
    """A model whose residual branches are at work: their gains start at zero."""
    model = build("phalar", seed=0)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for name, weight in model.named_parameters():
            if name.endswith(".scale"):
                weight.normal_(0, 0.1)
    return model


@pytest.mark.parametrize("training", [False, True], ids=["without dropout", "with the same dropout"])
def test_the_plain_step_has_our_loss_and_gradient(training, moved, music):
    model = moved.train(training)
    waves = torch.stack([music(3, seed=1), music(3, seed=1).roll(500, -1)])
    assert bench_train.largest_error(model, plain_twin(model), waves) < 1e-4
    other = plain_twin(model)
    with torch.no_grad():
        other.backbone.layers.blocks[3].time.mix.bias += 0.1
    assert bench_train.largest_error(model, other, waves) > 1e-3, "or the comparison says nothing"


def test_checkpointed_blocks_change_no_gradient(moved):
    backbone, picture = moved.train().backbone, torch.randn(2, 96, 70, generator=torch.Generator().manual_seed(0))
    results = []
    for checkpointed in (False, True):
        with torch.random.fork_rng():
            torch.manual_seed(3)
            out = plain_backbone(backbone, picture, checkpointed)
        results.append([out, *torch.autograd.grad(out.square().sum(), list(backbone.parameters()))])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_twin_has_weights_of_its_own(moved):
    twin = plain_twin(moved)
    for mine, theirs in zip(moved.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()


def test_flac_files_hold_what_the_store_holds(tmp_path):
    track = invent_track(tmp_path, 0)
    (again,) = bench_train.as_flac([track], tmp_path)
    assert len(list(tmp_path.glob("*.flac"))) == len(track.stems)
    assert np.array_equal(again.excerpt(1234, 5000), track.excerpt(1234, 5000))
    assert np.array_equal(again.excerpt(track.num_samples - 10, 100), track.excerpt(track.num_samples - 10, 100))


def test_the_plain_session_learns(tmp_path):
    known = batches.tables([invent_track(tmp_path, i) for i in range(4)])
    settings = config("phalar", ["chorales"], steps=3, batch_size=4, seconds=(2.0, 2.0), preset="published")
    model = build("phalar", seed=0)
    before = [weight.clone() for weight in model.parameters()]
    session = bench_train.PlainSession(model, known, settings)
    waves = session.batch(0)
    assert waves.shape == (2, 4, 2 * RATE)
    assert waves.dtype == torch.float32
    assert torch.equal(waves, session.batch(0))
    assert all(np.isfinite(session.take_step()) for _ in range(2))
    session.ahead.shutdown()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(before, session.model.parameters(), strict=True) if a.ndim == 2)


def test_the_benchmark_reports_both_sides(monkeypatch, tmp_path):
    monkeypatch.setattr(bench_train, "BATCH", 4)
    monkeypatch.setattr(bench_train, "SECONDS", 2.0)
    monkeypatch.setattr(bench_train, "STEPS", 2)
    monkeypatch.setattr(bench_train, "PLAIN_STEPS", 1)
    monkeypatch.setattr(
        loop, "tracks_of", lambda settings, split, progress: [invent_track(tmp_path, i) for i in range(4)]
    )
    found = bench_train.train()
    assert found["ratio"] == found["ours"] / found["reference"]
    assert found["ratio"] > 0
    assert found["unit"] == "pairs per second"
    assert found["max_relative_error"] < 1e-3
