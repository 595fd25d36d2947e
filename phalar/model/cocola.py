"""COCOLA, the baseline that PHALAR is measured against in the paper's retrieval tables (Ciranni et al. 2025).

It sees two log-mel pictures, of what lasts (harmonic) and of what strikes (percussive), through EfficientNet-B0 (Tan
and Le 2019), a network for photographs, and averages over time. Constants that change numbers are those of the package
that the published baseline uses, ``efficientnet_pytorch``. Taught in ``book/model.md``.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.errors import InputError
from phalar.model.stem_model import StemModel
from phalar.model.variants import Variant

# Embedding mode to which parts are kept: (harmonic, percussive).
PARTS = {"harmonic": (True, False), "percussive": (False, True), "both": (True, True)}
MODES = (*PARTS, "random")
WIDTH = 1280  # channels that come out of EfficientNet-B0
IMAGE = 224  # side of the image whose padding is used for every input
DROP_CONNECT = 0.2  # reached linearly over the depth
SQUEEZE = 4  # input channels per squeezed channel


class Cocola(StemModel):
    """A stem model that shows its network the harmonic picture, the percussive one, or both.

    ``mode`` says which, and may be set at any time: "both", "harmonic" or "percussive", or, at first, "random": one of
    these, drawn for each pair in training, and both otherwise. What is not shown is replaced by zeros (0 dB), as
    published. Say the mode with every number: scores of one do not compare with those of another.
    """

    def __init__(self, row: Variant, *parts: nn.Module) -> None:
        super().__init__(row, *parts)
        self.mode = "random"

    @property
    def mode(self) -> str:
        """The embedding mode, one of ``MODES``."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise InputError(f"cocola: there is no embedding mode {mode!r}; choose from {', '.join(MODES)}")
        self._mode = mode

    def draw_parts(self, items: int) -> Tensor:
        """Which parts each of ``items`` shows, (items, 2) bool: (harmonic, percussive), by the mode."""
        if self.mode == "random" and self.training:
            rows = torch.randint(len(PARTS), (items,))
        else:
            rows = torch.full((items,), list(PARTS).index("both" if self.mode == "random" else self.mode))
        return torch.tensor(list(PARTS.values()))[rows].to(self.device)

    def encode(self, audio: Tensor, parts: Tensor | None = None) -> Tensor:
        """Waveforms (B, N) float32 at 16 kHz to embeddings (B, 512), showing ``parts`` (B, 2) of each item."""
        shown = self.draw_parts(len(audio)) if parts is None else parts
        return self.encode_picture(self.picture(audio) * shown[:, :, None, None])

    def shown(self, pictures: Tensor) -> Tensor:
        """Both pictures of a pair show the same parts, as published: a harmonic anchor is never asked to find a
        percussive positive."""
        parts = self.draw_parts(len(pictures) // 2).repeat(2, 1)
        return super().shown(pictures) * parts[:, :, None, None]


class Stage(NamedTuple):
    """A run of equal inverted bottlenecks; the first one changes resolution and width."""

    blocks: int
    kernel: int
    stride: int
    expansion: int  # hidden channels per input channel
    channels: int


STEM = 32
STAGES = (
    #     blocks kernel stride expansion channels
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


def same_padding(kernel: int, stride: int, size: int) -> tuple[int, int]:
    """Zeros before and after an axis of `size` so that a convolution gives ⌈size / stride⌉ values."""
    missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return missing // 2, missing - missing // 2


class FixedPadConv2d(nn.Conv2d):
    """Convolution without bias, padded as a square image of side `size` would need, whatever the input is: as the
    published weights expect it. An odd number of frames is halved rounding down, half a frame off."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, size: int, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.margins = same_padding(kernel, stride, size) * 2

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.margins))


class SqueezeExcite(nn.Module):
    """Scales each channel by a number in (0, 1) computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=(-2, -1), keepdim=True)
        return x * torch.sigmoid(self.excite(F.silu(self.squeeze(mean))))


class Block(nn.Module):
    """Inverted bottleneck: x + narrow(attend(filter(widen(x)))), the sum only where shapes agree. In training an item
    skips the branch with probability `drop` (drop-connect)."""

    def __init__(self, inputs: int, stage: Stage, stride: int, size: int, drop: float) -> None:
        super().__init__()
        hidden = inputs * stage.expansion
        self.widen = _convolve(inputs, hidden, 1, 1, size) if stage.expansion > 1 else nn.Identity()
        self.filter = _convolve(hidden, hidden, stage.kernel, stride, size, groups=hidden)
        self.attend = SqueezeExcite(hidden, inputs // SQUEEZE)
        self.narrow = _convolve(hidden, stage.channels, 1, 1, size, activation=False)
        self.residual = stride == 1 and inputs == stage.channels
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        branch = self.narrow(self.attend(self.filter(self.widen(x))))
        if not self.residual:
            return branch
        if self.training and self.drop > 0:
            keep = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop
            branch = branch * keep / (1 - self.drop)
        return x + branch


class EfficientNet(nn.Module):
    """EfficientNet-B0 up to its last feature map: (B, inputs, H, W) to (B, 1280, ⌊H/32⌋, ⌊W/32⌋), H and W at least 32.

    ``inputs``: channels of the image, 2 for COCOLA.
    """

    out_channels = WIDTH

    def __init__(self, inputs: int = 2) -> None:
        super().__init__()
        size = IMAGE
        self.stem = _convolve(inputs, STEM, 3, 2, size)
        size = -(-size // 2)
        depth = sum(stage.blocks for stage in STAGES)
        channels, blocks = STEM, []
        for stage in STAGES:
            for position in range(stage.blocks):
                stride = stage.stride if position == 0 else 1
                blocks.append(Block(channels, stage, stride, size, DROP_CONNECT * len(blocks) / depth))
                channels, size = stage.channels, -(-size // stride)
        self.blocks = nn.Sequential(*blocks)
        self.top = _convolve(channels, WIDTH, 1, 1, size)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.blocks(self.stem(x)))


def _convolve(
    inputs: int, outputs: int, kernel: int, stride: int, size: int, groups: int = 1, activation: bool = True
) -> nn.Sequential:
    """Convolution, batch norm and, but for the narrowing one, SiLU."""
    layers = nn.Sequential()
    layers.add_module("conv", FixedPadConv2d(inputs, outputs, kernel, stride, size, groups))
    layers.add_module("norm", nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))
    if activation:
        layers.add_module("activation", nn.SiLU())
    return layers
