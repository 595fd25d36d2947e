"""COCOLA, the baseline that PHALAR is measured against in the paper's retrieval tables (Ciranni et al. 2025).

It sees two log-mel pictures, of what lasts (harmonic) and of what strikes (percussive), through EfficientNet-B0 (Tan
and Le 2019), a network for photographs, and averages over time. Constants that change numbers are those of the package
that the published baseline uses, ``efficientnet_pytorch``. Taught in ``book/model.md``.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.model.stem_model import StemModel

PARTS = ((True, False), (False, True), (True, True))  # what is shown in training: harmonic, percussive
STEM, TOP = 32, 1280  # channels after the first and after the last convolution of EfficientNet-B0
STAGES = (  # blocks, kernel, stride of the first block, hidden channels per input channel, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
DROP_CONNECT = 0.2  # reached linearly over the depth
SQUEEZE = 4  # input channels per squeezed channel


class Cocola(StemModel):
    """A stem model that shows its network the harmonic picture and the percussive one, and in training one of them, or
    both, as is drawn for each pair (the authors' mode "random"). What is not shown is zeros (0 dB)."""

    def draw_parts(self, pairs: int) -> Tensor:
        """Which parts each of ``pairs`` shows in training, (pairs, 2) bool: (harmonic, percussive)."""
        return torch.tensor(PARTS)[torch.randint(len(PARTS), (pairs,))].to(self.device)

    def shown(self, pictures: Tensor) -> Tensor:
        """Both sides of a pair show the same parts: no harmonic anchor has to find a percussive positive."""
        if not self.training:
            return pictures
        parts = self.draw_parts(len(pictures) // 2).repeat(2, 1)
        return super().shown(pictures) * parts[:, :, None, None]


class FixedPadConv2d(nn.Conv2d):
    """Convolution without bias, padded, as the published weights expect it, for an even side to give side / stride
    values, whatever the input is: an odd number of frames is halved rounding down, half a frame off."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)
        missing = kernel - stride
        self.margins = (missing // 2, missing - missing // 2) * 2

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
    skips the branch with probability ``drop`` (drop-connect)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int, drop: float) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.widen = _convolve(inputs, hidden, 1) if expansion > 1 else nn.Identity()
        self.filter = _convolve(hidden, hidden, kernel, stride, groups=hidden)
        self.attend = SqueezeExcite(hidden, inputs // SQUEEZE)
        self.narrow = _convolve(hidden, outputs, 1)[:-1]  # without its SiLU
        self.residual = stride == 1 and inputs == outputs
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        branch = self.narrow(self.attend(self.filter(self.widen(x))))
        if not self.residual:
            return branch
        if self.training:
            branch = branch * (torch.rand(len(x), 1, 1, 1, device=x.device) >= self.drop) / (1 - self.drop)
        return x + branch


class EfficientNet(nn.Module):
    """EfficientNet-B0 up to its last feature map: (B, 2, H, W) to (B, 1280, ⌊H/32⌋, ⌊W/32⌋), H and W at least 32."""

    out_channels = TOP

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolve(2, STEM, 3, 2)
        depth, channels, blocks = sum(stage[0] for stage in STAGES), STEM, []
        for count, kernel, stride, expansion, outputs in STAGES:
            for position in range(count):
                drop, step = DROP_CONNECT * len(blocks) / depth, 1 if position else stride
                blocks.append(Block(channels, outputs, kernel, step, expansion, drop))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.top = _convolve(channels, TOP, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(self.blocks(self.stem(x)))


def _convolve(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm and SiLU."""
    convolution = FixedPadConv2d(inputs, outputs, kernel, stride, groups)
    norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
    return nn.Sequential(OrderedDict(conv=convolution, norm=norm, activation=nn.SiLU()))
