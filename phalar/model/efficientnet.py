"""EfficientNet-B0 without its classifier: the backbone of the COCOLA baseline (Tan and Le 2019).

A network for 224 × 224 photographs, used here on two 64-band spectrograms. The table `STAGES` is the architecture;
every row is a run of inverted bottlenecks: widen by a 1 × 1 convolution, filter each channel alone, let each channel
be scaled by what all channels hear on average ("squeeze and excitation"), narrow again, add the input.

The published baseline uses the package ``efficientnet_pytorch``: its constants are kept where they change numbers
(batch norm with eps 1e-3 and momentum 0.01, padding fixed for 224 × 224, drop-connect 0.2).
Taught in ``book/model.md``.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 1280  # channels that come out
REDUCTION = 32  # frames and bands that become one
IMAGE = 224  # side of the image whose padding is used for every input
DROP_CONNECT = 0.2  # reached linearly over the depth
SQUEEZE = 4  # input channels per squeezed channel


class Stage(NamedTuple):
    """A run of equal blocks; the first one changes resolution and width."""

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
    """Convolution without bias, padded as a square image of side `size` would need, whatever the input is.

    With stride 2 that is one zero more behind than before. For a spectrogram with an odd number of frames it is *not*
    the padding that "same" asks for: frames are halved rounding down, and the windows sit half a frame off. The
    published baseline has it so, hence its weights expect it.
    """

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
    """Inverted bottleneck: x + narrow(attend(filter(widen(x)))), the sum only where shapes agree.

    `drop` is the probability that an item skips the block's branch during training (drop-connect); the branch is
    scaled by 1 / (1 - drop) when it is kept.
    """

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
    """EfficientNet-B0 up to its last feature map.

    Parameters
    ----------
    inputs : int
        Channels of the image: 2 for COCOLA.
    """

    out_channels = WIDTH

    def __init__(self, inputs: int) -> None:
        super().__init__()
        size = IMAGE
        self.stem = _convolve(inputs, STEM, 3, 2, size)
        size = -(-size // 2)
        depth = sum(stage.blocks for stage in STAGES)
        channels, blocks = STEM, []
        for stage in STAGES:
            for position in range(stage.blocks):
                stride = stage.stride if position == 0 else 1
                drop = DROP_CONNECT * len(blocks) / depth
                blocks.append(Block(channels, stage, stride, size, drop))
                channels, size = stage.channels, -(-size // stride)
        self.blocks = nn.Sequential(*blocks)
        self.top = _convolve(channels, WIDTH, 1, 1, size)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps of images, (B, inputs, H, W) float to (B, 1280, ⌊H/32⌋, ⌊W/32⌋); H and W at least 32."""
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
