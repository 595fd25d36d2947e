"""Sound with nothing in it, or too much: losses and gradients stay finite and bounded, alone and in a batch.

Silence, a constant and one click leave channels without variance, and thirty norms in a row divide by it. What was
found about it is in the book, *What training costs*.
"""

import math

import pytest
import torch
from conftest import stir

from phalar.model.assembly import build
from phalar.train.muon import muon_update, orthogonalise
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


# --- Muon makes a matrix's singular values nearly equal, for real and for complex matrices


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_singular_values_come_out_near_one_and_directions_stay(shape, dtype):
    torch.manual_seed(0)
    matrix = torch.randn(shape, dtype=dtype)
    result = orthogonalise(matrix)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.5
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(matrix, full_matrices=False)
    middle = u.mH @ result @ vh.mH  # diagonal if the singular vectors are kept
    assert (middle - torch.diag_embed(torch.diagonal(middle))).abs().max() < 1e-2


def test_complex_matrices_become_near_unitary_by_the_conjugate_transpose_but_not_as_published():
    torch.manual_seed(0)
    matrix = torch.randn(32, 32, dtype=torch.complex64) @ torch.diag(torch.logspace(0, -1, 32)).to(torch.complex64)
    ours = torch.linalg.svdvals(muon_update(matrix))
    theirs = torch.linalg.svdvals(muon_update(matrix, as_published=True))
    assert ours.std() < 0.2
    assert theirs.std() > 1.3 * ours.std()


def test_the_published_scale_reads_the_kernel_and_ours_the_matrix():
    torch.manual_seed(0)
    for kernel, ratio in ((torch.randn(4, 4, 3, 1), 3**0.5), (torch.randn(4, 4, 1, 3), 1.0)):
        torch.testing.assert_close(muon_update(kernel, as_published=True), ratio * muon_update(kernel))
    assert muon_update(torch.randn(12, 3)).norm() == pytest.approx(2 * 3**0.5, rel=0.2)
