"""The harmonic backbone: axial residual blocks over a constant-Q picture (paper section 3; book page *The model*).

Frequency and time mean different things in a constant-Q picture, so they are mixed by separate one-dimensional
convolutions. Only time is ever strided: frequency keeps its 96 semitones to the end, and pitch stays readable.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.model import fused

STAGES = 5
BLOCKS_PER_STAGE = 2
FIRST_WIDTH = 8
TIME_REDUCTION = 2**STAGES  # 501 frames (5 s) become 16 steps of 320 ms


def widths() -> list[int]:
    """Channels before and after each stage: 8, 12, 18, 27, 40, 60 (times 1.5, truncated)."""
    channels = [FIRST_WIDTH]
    for _ in range(STAGES):
        channels.append(int(channels[-1] * 1.5))
    return channels


class ResidualBranch(nn.Module):
    """x + scale * W2 silu(W1 norm(x)), the one shape of all three branches; only W1's kernel differs.

    The norm is per channel and per item. ``scale`` (LayerScale) starts at zero, so a new block is the identity and
    depth costs nothing at the start of training.
    """

    def __init__(self, channels: int, hidden: int, kernel: tuple[int, int], dropout: float) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels, channels)
        self.mix = nn.Conv2d(channels, hidden, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
        self.out = nn.Conv2d(hidden, channels, 1, bias=False)
        self.scale = nn.Parameter(torch.zeros(channels))
        self.dropout = dropout
        nn.init.kaiming_normal_(self.mix.weight, mode="fan_in", nonlinearity="relu")
        nn.init.zeros_(self.mix.bias)
        nn.init.xavier_normal_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        gain = self.gain(x.shape[0])
        return fused.chain(x, [self.weights(gain)]) if fused.usable(x) else self.plain(x, gain)

    def gain(self, items: int) -> Tensor:
        """LayerScale of each item's channels, (B, channels); in training some are left out, each item's own."""
        gain = self.scale.expand(items, -1)
        return F.dropout(gain, self.dropout) if self.training else gain

    def weights(self, gain: Tensor) -> fused.Weights:
        """What ``fused.chain`` needs to know of this branch."""
        norm, mix = self.norm, self.mix
        return norm.weight, norm.bias, mix.weight, mix.bias, self.out.weight, gain

    def plain(self, x: Tensor, gain: Tensor) -> Tensor:
        """The definition; ``fused.chain`` does the same, compiled. ``gain``: (B, channels)."""
        branch = self.out(F.silu(self.mix(self.norm(x))))
        return torch.addcmul(x, branch, gain[:, :, None, None].to(branch.dtype))


class AxialBlock(nn.Module):
    """Mix along frequency, along time, across channels; then, in a stage's first block, halve time and widen."""

    def __init__(self, channels: int, out_channels: int | None, dropout: float) -> None:
        super().__init__()
        self.frequency = ResidualBranch(channels, channels, (3, 1), dropout)
        self.time = ResidualBranch(channels, channels, (1, 3), dropout)
        self.pointwise = ResidualBranch(channels, 2 * channels, (1, 1), dropout)
        self.widen = None
        if out_channels is not None:
            self.widen = nn.Conv2d(channels, out_channels, (1, 3), stride=(1, 2), padding=(0, 1), bias=False)
            nn.init.xavier_normal_(self.widen.weight)

    def forward(self, x: Tensor) -> Tensor:
        widest = 0 if self.widen is None else self.widen.out_channels
        return fused.chain(x, self.links(len(x))) if fused.usable(x, widest) else self.plain(x)

    def plain(self, x: Tensor) -> Tensor:
        """The definition; ``fused.chain`` does the same, compiled."""
        for branch in (self.frequency, self.time, self.pointwise):
            x = branch.plain(x, branch.gain(len(x)))
        return x if self.widen is None else self.widen(x)

    def links(self, items: int) -> list[fused.Weights]:
        """What ``fused.chain`` needs to know of this block."""
        found = [branch.weights(branch.gain(items)) for branch in (self.frequency, self.time, self.pointwise)]
        return found if self.widen is None else [*found, (self.widen.weight,)]


class HarmonicBackbone(nn.Module):
    """Ten axial blocks in five stages: (B, F, T) to (B, 60, F, ceil(T / 32)).

    Parameters
    ----------
    dropout : float
        Share of channels left out of each residual branch in training.
    """

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        channels = widths()
        self.out_channels = channels[-1]
        self.stem = nn.Conv2d(1, channels[0], 1, bias=False)
        nn.init.xavier_normal_(self.stem.weight)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(channels):
            self.blocks.append(AxialBlock(narrow, wide, dropout))
            self.blocks.extend(AxialBlock(wide, None, dropout) for _ in range(BLOCKS_PER_STAGE - 1))

    def forward(self, picture: Tensor) -> Tensor:
        x = picture[:, None]
        if fused.usable(x, self.out_channels):
            # Of one channel the first convolution is a product; a CPU's general code for it takes six times as long.
            return fused.chain(x * self.stem.weight[:, 0], [k for block in self.blocks for k in block.links(len(x))])
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return x
