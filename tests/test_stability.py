"""Sound with nothing in it, or too much: losses and gradients stay finite and bounded, alone and in a batch.

Silence, a constant and one click leave channels without variance, and thirty norms in a row divide by it. What was
found about it is in the book, *What training costs*.
"""

import math

import pytest
import torch
from conftest import stir

from phalar.model.assembly import build
from phalar.train.muon import muon_update
from phalar.train.objective import Objective

SAMPLES = 32_000
BOUND = 1e3  # on the gradient's norm; music gives 0.3 in a fresh model, up to 30 in one at work


@pytest.mark.parametrize("kind", ["fresh", "at work"])
def test_loss_and_gradient_of_odd_clips(kind, music):
    """With dropout, and with gains of the branches that are zero, and far from zero; one clip among others,
    all of them, and nothing but silence."""
    loud, click, model = music(1, seed=5)[0], torch.zeros(SAMPLES), build("phalar", seed=1)
    click[SAMPLES // 2] = 1
    clips = {
        "silent": torch.zeros(SAMPLES),
        "constant": torch.full((SAMPLES,), 0.3),
        "one sample": click,
        "1e-30 loud": 1e-30 * loud,
        "least bits": torch.sign(loud) / 32768,
        "clipped": (1e4 * loud).clamp(-1, 1),
    }
    model = (model if kind == "fresh" else stir(model)).train()
    batches = {"all": torch.stack(list(clips.values())).expand(2, -1, -1), "silence": torch.zeros(2, 3, SAMPLES)}
    for name, clip in clips.items():
        batches[name] = torch.stack([music(3, seed=1), music(3, seed=1).roll(500, -1)])
        batches[name][0, 1] = clip
    for name, waves in batches.items():
        model.zero_grad()
        loss, _ = Objective(model, 0.9, "shard")([waves], [0])
        loss.backward()
        size = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item()
        assert math.isfinite(loss.item()), name
        assert size < BOUND, name
        assert size > 0 or name == "silence"


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-12, 1.0, 1e18, 1e30])
def test_muon_steps_are_bounded_whatever_the_gradient(size, as_published):
    """Zero, rank one, tiny or huge: singular values of an update stay below 1.3 (twice that where it is stacked)."""
    generator = torch.Generator().manual_seed(0)
    full = torch.randn(24, 40, generator=generator, dtype=torch.complex64)
    for matrix in (full, full.real, full[:, :1] @ full[:1], full.real[:, :1] @ full.real[:1]):
        update = muon_update(size * matrix, as_published)
        assert torch.isfinite(update).all()
        assert torch.linalg.svdvals(update).max() < (2.6 if as_published else 1.3)
