"""The encoder without its fast paths: nnAudio's transform and plain PyTorch layers, with the same weights.

The yardstick of ``phalar bench``, and the oracle of the tests that hold the fast paths to it.
"""

from collections.abc import Callable

import torch
from nnAudio.features.cqt import CQT1992v2
from torch import Tensor

from phalar.model.assembly import StemModel
from phalar.model.backbone import AxialBlock, HarmonicBackbone
from phalar.model.frontend import BINS, FMIN, HOP, SAMPLE_RATE, decibels


def plain_backbone(backbone: HarmonicBackbone, picture: Tensor) -> Tensor:
    """What ``backbone(picture)`` computes in eval mode, by PyTorch's own layers."""
    x = backbone.stem(picture[:, None])
    for block in backbone.blocks:
        x = _plain_block(block, x)
    return x


def _plain_block(block: AxialBlock, x: Tensor) -> Tensor:
    for branch in (block.frequency, block.time, block.pointwise):
        x = branch.plain(x, branch.scale.expand(len(x), -1))
    return x if block.widen is None else block.widen(x)


def plain_encode(model: StemModel) -> Callable[[Tensor], Tensor]:
    """A function that computes what ``model.encode`` does for a model with PHALAR's front end and backbone."""
    transform = CQT1992v2(sr=SAMPLE_RATE, hop_length=HOP, n_bins=BINS, fmin=FMIN, verbose=False)

    def encode(audio: Tensor) -> Tensor:
        with torch.no_grad():
            picture = decibels(transform(audio))
        return model.head(model.pooling(plain_backbone(model.backbone, picture)))

    return encode
