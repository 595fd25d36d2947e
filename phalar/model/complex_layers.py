"""Layers that commute with a rotation, f(e^{i theta} z) = e^{i theta} f(z): equations 6 and 7 of *The model*.

A delay turns each pooled component by its own angle, which such a layer hands on unharmed. Linear maps without bias
commute, and so does scaling a value by a function of moduli. A bias, or a ReLU on real and imaginary parts, does not.
Each is built from scratch, and broken, in the course's chapter *Layers that commute with turning*.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn


def complex_kaiming_(weight: Tensor) -> Tensor:
    """Fill a complex (out, in) weight as PHALAR does: real and imaginary part uniform in +-1 / sqrt(2 in). Course:
    *Layers that commute with turning*."""
    bound = 1 / math.sqrt(2 * weight.shape[1])
    with torch.no_grad():
        # The stacked real matrix [Re; Im] is drawn in one go, Kaiming-uniform with a = sqrt(5), over sqrt(2).
        stacked = torch.empty(2, *weight.shape).uniform_(-bound, bound)
        return weight.copy_(torch.complex(stacked[0], stacked[1]))


class ComplexLinear(nn.Module):
    """y = W x, complex, no bias: (..., in) complex64 to (..., out). Course: *Layers that commute with turning*."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features, dtype=torch.complex64))
        complex_kaiming_(self.weight)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T


class ComplexRMSNorm(nn.Module):
    """z / sqrt(mean |z|^2) over channels, times one real gain a channel: lengths change, angles do not. Course: *Layers
    that commute with turning*."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(channels))

    def forward(self, z: Tensor) -> Tensor:
        power = squared_modulus(z).mean(dim=-1, keepdim=True)
        return z * (self.gain * torch.rsqrt(power + 1e-6))


class ModReLU(nn.Module):
    """relu(|z| + b) z / |z|: a dead zone of radius -b about the origin (Arjovsky et al. 2016). Angles are kept. Course:
    *Layers that commute with turning*."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.full((channels,), -0.01))

    def forward(self, z: Tensor) -> Tensor:
        modulus = torch.sqrt(squared_modulus(z) + 1e-6)
        return z * (torch.relu(modulus + self.bias) / modulus)


class ComplexDropout(nn.Module):
    """Leave out whole complex values with probability p in training and scale the rest by 1 / (1 - p). Course: *Layers
    that commute with turning*."""

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p = p

    def forward(self, z: Tensor) -> Tensor:
        return z * nn.functional.dropout(torch.ones_like(z.real), self.p, self.training)


def squared_modulus(z: Tensor) -> Tensor:
    """|z|^2 as a real tensor, differentiable at zero where ``z.abs() ** 2`` is not."""
    return z.real.square() + z.imag.square()


class ComplexHead(nn.Module):
    """Two complex layers with a norm and a modReLU between: (B, in) complex64 to (B, out) complex64. Course: *Layers
    that commute with turning*."""

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.dropout = ComplexDropout(dropout)
        self.linear1 = ComplexLinear(in_features, out_features)
        self.norm = ComplexRMSNorm(out_features)
        self.activation = ModReLU(out_features)
        self.linear2 = ComplexLinear(out_features, out_features)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear2(self.activation(self.norm(self.linear1(self.dropout(z)))))


class RealHead(nn.Module):
    """The real counterpart for the ablations: linear, batch norm (or none), SiLU, linear; (B, in) to (B, out)."""

    def __init__(self, in_features: int, out_features: int, dropout: float = 0.1, normalised: bool = True) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear1 = nn.Linear(in_features, out_features)
        self.norm = nn.BatchNorm1d(out_features) if normalised else nn.Identity()
        self.activation = nn.SiLU()
        self.linear2 = nn.Linear(out_features, out_features)
        nn.init.kaiming_normal_(self.linear1.weight, nonlinearity="relu")
        nn.init.xavier_normal_(self.linear2.weight)
        for linear in (self.linear1, self.linear2):
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear2(self.activation(self.norm(self.linear1(self.dropout(x)))))


HEADS = {"complex": ComplexHead, "real": RealHead, "real without norm": partial(RealHead, normalised=False)}
