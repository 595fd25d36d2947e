"""The encoder without its fast paths: nnAudio's transform and plain PyTorch layers, with the same weights.

The yardstick of ``phalar bench``, and the oracle of the tests that hold the fast paths to it.
"""

import copy
from collections.abc import Callable

from nnAudio.features.cqt import CQT1992v2
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from phalar.model.assembly import StemModel
from phalar.model.backbone import HarmonicBackbone
from phalar.model.frontend import BINS, FMIN, HOP, SAMPLE_RATE, decibels


def plain_backbone(backbone: HarmonicBackbone, picture: Tensor, checkpointed: bool = False) -> Tensor:
    """What ``backbone(picture)`` computes, by PyTorch's own layers.

    ``checkpointed``, as in the published code: of each block only the input is kept, and the backward pass computes the
    rest again.
    """
    x = backbone.stem(picture[:, None])
    for block in backbone.blocks:
        x = checkpoint(block.plain, x, use_reentrant=False) if checkpointed else block.plain(x)
    return x


class PlainLogCQT(nn.Module):
    """``LogCQT`` by nnAudio's transform."""

    bins = BINS

    def __init__(self) -> None:
        super().__init__()
        self.transform = CQT1992v2(sr=SAMPLE_RATE, hop_length=HOP, n_bins=BINS, fmin=FMIN, verbose=False)

    def forward(self, audio: Tensor) -> Tensor:
        return decibels(self.transform(audio))


class PlainBackbone(nn.Module):
    """A ``HarmonicBackbone`` on its plain path, in training with checkpointed blocks."""

    def __init__(self, backbone: HarmonicBackbone) -> None:
        super().__init__()
        self.layers = backbone
        self.out_channels = backbone.out_channels

    def forward(self, picture: Tensor) -> Tensor:
        return plain_backbone(self.layers, picture, checkpointed=self.training)


def plain_twin(model: StemModel) -> StemModel:
    """A model with PHALAR's front end and backbone again, with weights of its own that are equal, on the plain paths.

    Both have the same parameters in the same order, and draw the same dropout from the same random state.
    """
    twin = copy.deepcopy(model)
    twin.frontend, twin.backbone = PlainLogCQT().to(model.device), PlainBackbone(twin.backbone)
    return twin.train(model.training)


def plain_encode(model: StemModel) -> Callable[[Tensor], Tensor]:
    """A function that computes what ``model.encode`` does for a model with PHALAR's front end and backbone."""
    return plain_twin(model).encode
