"""How well does y fit x? Scores of all pairs of embeddings: equations 8 and 9 of the book page *The model*.

Every module maps x (A, d) and y (B, d) to raw scores (A, B): row a, column b is s(x_a, y_b). A raw score need not be
symmetric; ``symmetrised`` averages both directions: for the bilinear form this keeps the Hermitian part of W.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.model.complex_layers import complex_kaiming_, squared_modulus


def unit(x: Tensor) -> Tensor:
    """Scale complex embeddings (..., d) to length one; zero stays zero."""
    return x * torch.rsqrt(squared_modulus(x).sum(dim=-1, keepdim=True) + 1e-6)


def real_inner(x: Tensor, y: Tensor) -> Tensor:
    """Re(x^H y) of all pairs, (A, d) and (B, d) complex to (A, B) real."""
    return x.real @ y.real.T + x.imag @ y.imag.T


def symmetrised(similarity: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """(s(x, y) + s(y, x)) / 2 of all pairs: the score used at inference, (A, B). Course: *Forms*."""
    return (similarity(x, y) + similarity(y, x).T) / 2


class SesquilinearForm(nn.Module):
    """Re((W x)^H y) with a full complex W and unit x, y: PHALAR's score. W is not constrained, so the form is
    indefinite: it can be negative, which says "these do not belong together" and not just "these have nothing in
    common". There is no temperature; the size of W is the scale. Course: *Forms*."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.empty(dim, dim, dtype=torch.complex64))
        complex_kaiming_(self.W)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return real_inner(unit(x) @ self.W.T, unit(y))


class HermitianForm(SesquilinearForm):
    """The same with the Hermitian part of W, in training too: s(x, y) = s(y, x) by construction. Course: *Forms*."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = unit(x), unit(y)
        return (real_inner(x @ self.W.T, y) + real_inner(x, y @ self.W.T)) / 2


class SemidefiniteForm(SesquilinearForm):
    """Re((W x)^H (W y)): W^H W is positive semi-definite, so nothing is unlike itself ("PSD W"). Course: *Forms*."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return real_inner(unit(x) @ self.W.T, unit(y) @ self.W.T)


class ComplexCosine(nn.Module):
    """|x^H y| after one shared complex projection, times a learned temperature: blind to a common rotation."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.projection = nn.Parameter(torch.eye(dim, dtype=torch.complex64))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = (unit(unit(v) @ self.projection.T) for v in (x, y))
        modulus = torch.sqrt(squared_modulus(x.conj() @ y.T) + 1e-9)
        return modulus * self.log_scale.exp().clamp(max=100.0)


class BilinearForm(nn.Module):
    """(W x)^T y of unit real embeddings, W starting at the identity: the score of the real-valued ablations."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.W = nn.Parameter(torch.eye(dim))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (F.normalize(x, dim=-1) @ self.W.T) @ F.normalize(y, dim=-1).T


TANH_SQUARED = 0.394  # mean of tanh(z)^2, z ~ N(0, 1)


class TanhBilinearForm(nn.Module):
    """tanh(LN(x))^T W tanh(LN(y)) with one layer norm for both sides and W ~ N(0, 0.05^2): the score of COCOLA."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.W = nn.Parameter(torch.randn(dim, dim) * 0.05)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return torch.tanh(self.norm(x)) @ self.W @ torch.tanh(self.norm(y)).T


@torch.no_grad()
def start_at(form: nn.Module, scale: float) -> None:
    """Let a form's W begin as a multiple of the identity, so that the score of two embeddings is ``scale`` times their
    inner product (COCOLA's, which have no unit length: their cosine, nearly); at 0, or where there is no W, it begins
    as it was made. Course: *Forms*."""
    if scale and hasattr(form, "W"):
        size = math.sqrt(scale) if isinstance(form, SemidefiniteForm) else scale
        if isinstance(form, TanhBilinearForm):
            size /= TANH_SQUARED * len(form.W)
        form.W.copy_(size * torch.eye(len(form.W)))


FORMS = {
    "sesquilinear": SesquilinearForm,
    "hermitian": HermitianForm,
    "semidefinite": SemidefiniteForm,
    "cosine": ComplexCosine,
    "bilinear": BilinearForm,
    "tanh": TanhBilinearForm,
}
