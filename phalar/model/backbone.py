"""The harmonic backbone: axial residual blocks over a constant-Q picture (equation 3 of the book page *The model*).

Frequency and time mean different things in a constant-Q picture, so they are mixed by separate one-dimensional
convolutions. Only time is ever strided: frequency keeps its 96 semitones to the end, and pitch stays readable.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from phalar.model import fused

WIDTHS = (8, 12, 18, 27, 40, 60)  # channels before and after each of five stages: times 1.5, truncated
BLOCKS_PER_STAGE = 2
TIME_REDUCTION = 2 ** (len(WIDTHS) - 1)  # 501 frames (5 s) become 16 steps of 320 ms


class ResidualBranch(nn.Module):
    """x + g * W2 silu(W1 norm(x) + b), the one shape of all three branches; only W1's kernel differs. The norm is per
    channel and per item. g is ``scale`` (LayerScale) times the dropout mask; it starts at zero, so a new block is the
    identity and depth costs nothing at first. It is float32, and so is the sum, under autocast too."""

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

    def forward(self, x: Tensor, gain: Tensor | None = None) -> Tensor:
        """(B, C, F, T) to the same; ``gain`` (B, C) is g where it was drawn beforehand."""
        gain = self.gain(len(x)) if gain is None else gain
        branch = self.out(F.silu(self.mix(self.norm(x))))
        return torch.addcmul(x, branch, gain[:, :, None, None])

    def gain(self, items: int) -> Tensor:
        """g of each item's channels, (B, C); in training dropout leaves some out, each item's own."""
        gain = self.scale.expand(items, -1)
        return F.dropout(gain, self.dropout) if self.training else gain


class AxialBlock(nn.Module):
    """Mix along frequency, along time, across channels; then, in a stage's first block, halve time and widen."""

    def __init__(self, channels: int, out_channels: int | None, dropout: float) -> None:
        super().__init__()
        self.frequency = ResidualBranch(channels, channels, (3, 1), dropout)
        self.time = ResidualBranch(channels, channels, (1, 3), dropout)
        self.pointwise = ResidualBranch(channels, 2 * channels, (1, 1), dropout)
        self.branches = self.frequency, self.time, self.pointwise
        self.widen = None
        if out_channels is not None:
            self.widen = nn.Conv2d(channels, out_channels, (1, 3), stride=(1, 2), padding=(0, 1), bias=False)
            nn.init.xavier_normal_(self.widen.weight)

    def forward(self, x: Tensor, gains: Sequence[Tensor | None] = (None, None, None)) -> Tensor:
        """(B, C, F, T) to (B, C', F, T'); ``gains``: those of the three branches, where they were drawn beforehand."""
        for branch, gain in zip(self.branches, gains, strict=True):
            x = branch(x, gain)
        return x if self.widen is None else self.widen(x)


class HarmonicBackbone(nn.Module):
    """Ten axial blocks in five stages: (B, F, T) to (B, 60, F, ceil(T / 32)), with dropout of branches' channels."""

    def __init__(self, dropout: float = 0.1) -> None:
        super().__init__()
        self.out_channels = WIDTHS[-1]
        self.stem = nn.Conv2d(1, WIDTHS[0], 1, bias=False)
        nn.init.xavier_normal_(self.stem.weight)
        self.blocks = nn.ModuleList()
        for narrow, wide in pairwise(WIDTHS):
            self.blocks.append(AxialBlock(narrow, wide, dropout))
            self.blocks.extend(AxialBlock(wide, None, dropout) for _ in range(BLOCKS_PER_STAGE - 1))

    def forward(self, picture: Tensor) -> Tensor:
        """Compiled C where ``fused.usable`` says so, else PyTorch's own layers; the same numbers either way."""
        gains = self.gains(len(picture))
        links = [link for block, drawn in zip(self.blocks, gains, strict=True) for link in fused.links(block, drawn)]
        if fused.usable(picture, self.stem.weight, links):
            # Of one channel the first convolution is a product; a CPU's general code for it takes six times as long.
            return fused.chain(picture[:, None] * self.stem.weight[:, 0], links)
        return self.plain(picture, gains)

    def gains(self, items: int) -> list[list[Tensor]]:
        """The gains (B, C) of every block's three branches, dropout drawn."""
        return [[branch.gain(items) for branch in block.branches] for block in self.blocks]

    def plain(self, picture: Tensor, gains: Sequence[Sequence[Tensor]], checkpointed: bool = False) -> Tensor:
        """The definition. ``checkpointed``, as in the published code: what is within a block is computed again."""
        x = self.stem(picture[:, None].to(self.stem.weight.dtype))
        for block, drawn in zip(self.blocks, gains, strict=True):
            x = checkpoint(block, x, drawn, use_reentrant=False) if checkpointed else block(x, drawn)
        return x
