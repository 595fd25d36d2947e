"""Muon makes a matrix's singular values nearly equal, for real and for complex matrices."""

import pytest
import torch

from phalar.train.muon import Muon, muon_update, orthogonalise


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


def test_weights_decay_apart_from_the_step():
    still = torch.nn.Parameter(torch.ones(2, 2))
    optimiser = Muon([still], lr=0.5, weight_decay=0.1)
    still.grad = torch.zeros(2, 2)
    optimiser.step()
    assert still.detach() == pytest.approx(torch.full((2, 2), 0.95))
