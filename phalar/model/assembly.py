"""PHALAR and every other row of the registry put together from their parts: front end, backbone, pooling, head, form.

Paper section 3; book page *The model*. What the whole does is said in ``stem_model.py``.
"""

import os
from collections.abc import Mapping

import torch
from torch import nn

from phalar.errors import InputError
from phalar.model.backbone import HarmonicBackbone
from phalar.model.cocola import Cocola, EfficientNet
from phalar.model.complex_layers import HEADS
from phalar.model.frontend import LogCQT
from phalar.model.mel import HarmonicPercussiveMel, LogMel
from phalar.model.mert import Resampled, load_mert
from phalar.model.pooling import POOLINGS
from phalar.model.similarity import FORMS
from phalar.model.stem_model import StemModel
from phalar.model.variants import EMBEDDING_DIM, PHALAR, VARIANTS, Variant, variant

__all__ = ["StemModel", "assemble", "build", "parameters", "skeleton"]

FRONTENDS = {"cqt": LogCQT, "mel": LogMel, "harmonic-percussive": HarmonicPercussiveMel, "24 kHz": Resampled}
BACKBONES = {"axial": HarmonicBackbone, "efficientnet": EfficientNet, "mert": load_mert}
PARTS = {"frontend": FRONTENDS, "backbone": BACKBONES, "pooling": POOLINGS, "head": HEADS, "form": FORMS}
SIZES = range(1, 4097)  # channels or components of spectral pooling: a damaged file cannot ask for all memory
CHOICES = PARTS | {"scaling": ("global", "channel", "none"), "constant": (False, True)}
CHOICES |= {"channels": SIZES, "components": SIZES}


def build(
    name: str | Variant, *, backbone: str | os.PathLike | Mapping | None = None, seed: int | None = None
) -> StemModel:
    """A model of the registry with fresh weights, by a variant's name: ``phalar models`` lists them. ``backbone``: for
    the MERT variants only, which need it: see ``phalar.model.mert.load_mert``. ``seed`` makes the weights a function of
    itself and leaves torch's own random state alone. Whatever cannot be built is an InputError."""
    row = _checked(variant(name))
    if row.backbone != "mert" and backbone is not None:
        raise InputError(f"variant {row.name!r} has its own backbone; only the MERT variants take backbone=...")
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        arguments = (backbone, row.name) if row.backbone == "mert" else ()
        return assemble(row, BACKBONES[row.backbone](*arguments))


def assemble(row: Variant, backbone: nn.Module) -> StemModel:
    """The parts that a row names around a backbone, whose ``out_channels`` decides their sizes."""
    frontend = FRONTENDS[row.frontend]()
    sizes = frontend.bins * backbone.out_channels, row.channels, row.components, row.constant, row.scaling
    pooling = POOLINGS[row.pooling](*(() if row.pooling == "average" else sizes))
    head = HEADS[row.head](getattr(pooling, "out_features", backbone.out_channels), EMBEDDING_DIM)
    whole = Cocola if row.backbone == "efficientnet" else StemModel
    return whole(row, frontend, backbone, pooling, head, FORMS[row.form](EMBEDDING_DIM))


def skeleton(row: Variant) -> StemModel:
    """A model whose weights have names and shapes, no values (device ``meta``), and without MERT."""
    mert = nn.Identity()
    mert.frozen, mert.out_channels = True, 768
    with torch.device("meta"):
        return assemble(row, mert if row.backbone == "mert" else BACKBONES[row.backbone]())


def parameters() -> dict[str, int]:
    """Learned real numbers of every variant, by name; MERT, which is frozen, is not counted. Book page *The model*."""
    return {name: skeleton(row).num_parameters for name, row in VARIANTS.items()}


def _checked(row: Variant) -> Variant:
    """The row itself, or an InputError where it names a part that does not exist: rows also come from files."""
    for field, choices in CHOICES.items():
        value = getattr(row, field)
        if type(value) is not type(getattr(PHALAR, field)) or value not in choices:
            listed = "whole numbers from 1 to 4096" if choices is SIZES else ", ".join(map(str, choices))
            raise InputError(f"variant {row.name!r}: {field} = {value!r} does not exist; choose from {listed}")
    return row
