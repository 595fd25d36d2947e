"""Muon: momentum whose matrices are replaced by the nearest one with equal singular values (Jordan et al. 2024).

A gradient matrix is usually dominated by a few directions. With nearly equal singular values (about 0.7 to 1.2) rare
features learn as fast as common ones. Book page *How it is trained*.
"""

import math

import torch
from torch import Tensor


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """U V^H of a matrix (m, n), real or complex, with singular value decomposition U S V^H, nearly."""
    a, b, c = 3.4445, -4.7750, 2.0315  # odd polynomial a x + b x^3 + c x^5 that drives (0, 1] to about 1
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mH if tall else matrix
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mH
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)  # a x + (b gram + c gram^2) x
    return x.mH if tall else x


def muon_update(step: Tensor, as_published: bool = False) -> Tensor:
    """The update of one weight, given its momentum (out, in) or (out, in, h, w), real or complex: orthogonalised, then
    scaled by sqrt(max(1, rows / columns)) of the flattened matrix. ``as_published``: complex matrices stacked as real
    ones [Re; Im], which does not make them nearly unitary; and a kernel's scale read off its own height and width, so
    that 3 x 1 steps sqrt(3) times as far as 1 x 3."""
    if as_published and step.is_complex():
        stacked = muon_update(torch.cat([step.real, step.imag]), as_published)
        return torch.complex(*stacked.chunk(2))
    flat = step.flatten(1)
    rows, columns = step.shape[-2:] if as_published else flat.shape
    return orthogonalise(flat).view_as(step) * math.sqrt(max(1.0, rows / columns))


class Muon(torch.optim.Optimizer):
    """Nesterov momentum with orthogonalised updates and decoupled weight decay, for weights of two or more dimensions,
    real or complex; ``as_published`` as of :func:`muon_update`."""

    def __init__(self, params, lr=0.02, momentum=0.95, weight_decay=0.0, as_published=False) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.as_published = as_published

    @torch.no_grad()
    def step(self, closure=None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                average = state["momentum"].lerp_(weight.grad, 1 - group["momentum"])
                ahead = torch.lerp(weight.grad, average, group["momentum"])
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(group["lr"] * muon_update(ahead, self.as_published))
