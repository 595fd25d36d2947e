"""The checkpoints that the paper's authors released, read here without running any of their code.

A Lightning ``.ckpt`` holds weights under the authors' names (``state_dict``) and the settings of their model's
constructor (``hyper_parameters``). `read_official` reads both, `variant_of` says which row of our registry the settings
describe, and `translate` renames the weights into ours. What does not fit is refused. Taught in ``book/model.md``.
"""

import os
import re
from collections.abc import Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from phalar.errors import InputError
from phalar.model.assembly import PARTS, build, skeleton
from phalar.model.mert import hubert_names
from phalar.model.stem_model import StemModel
from phalar.model.tensors import fill, named_tensors, read_archive, same_names
from phalar.model.variants import VARIANTS, variant

_ENUMS = "Dataset EmbeddingMode FeatureExtractionTime ModelComparisonMethod ModelFeatureExtractorType ModelInputType"
ENUMS = tuple(f"contrastive_model.constants.{name}" for name in _ENUMS.split())

# Their settings of each of our parts, and their names of its weights: pieces replaced one after the other.
TABLES = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
# What tells the variants apart.
DISTINGUISHING = ("backbone_type", "pool_type", "spec_pool_complex_output", "comparison_method", "do_cqt")
# Theirs that our modules compute themselves: the constant-Q kernels (the misspelling is nnAudio's), MERT's resampler.
SKIPPED = r"encoder\.cqt_extractor\.0\.(lenghts|cqt_kernels_real|cqt_kernels_imag)|encoder\.backbone\.resampler\.kernel"
# MERT itself is taken over as it is: its names are those of its own publisher.
THEIRS_MERT, OURS_MERT = "encoder.backbone.model.", "backbone.model."


def load_official(path: str | os.PathLike) -> StemModel:
    """A model with the weights of one of the authors' Lightning checkpoints, in eval mode. Nothing in it is executed.

    >>> model = phalar.load_official("PHALAR_best.ckpt")

    ``path``: a ``.ckpt`` file of PHALAR, COCOLA or any ablation; its settings decide which variant it is. What does not
    fit is an InputError: see `read_official`, `variant_of` and `translate`.
    """
    state, settings = read_official(path)
    try:
        name = variant_of(settings)
        tensors = translate(state, name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    # A MERT checkpoint holds MERT itself, which has HuBERT's default settings.
    model = build(name, backbone={} if name.startswith("mert") else None, seed=0)
    fill(model, tensors, str(path))
    return model.eval()


def read_official(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights, under the authors' names, and settings of one of their Lightning checkpoints; nothing in it is executed.
    An InputError for what `read_archive` refuses, and for a checkpoint without weights, or without plain settings."""
    path, tree = Path(path), read_archive(path, ENUMS)
    tree = tree if isinstance(tree, dict) else {}
    state, settings = named_tensors(path, tree.get("state_dict"), "state_dict"), tree.get("hyper_parameters")
    if not isinstance(settings, dict) or not settings:
        raise InputError(f"{path}: has no hyper_parameters; give a Lightning checkpoint of the authors' repository")
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        if not all(type(v) in (bool, int, float, str, type(None)) for v in values):
            raise InputError(f"{path}: its setting {name!a:.120} is not a plain value; only such are read")
    return state, settings


def variant_of(hyper_parameters: Mapping[str, Any]) -> str:
    """Name of our variant that a model of theirs with these arguments of its constructor is, enumeration members by
    value; what is left out takes their default, settings of training and unknown ones are passed over. An InputError
    where no variant has them, naming the one that differs and what it would have to be."""
    given = TABLES["defaults"] | dict(hyper_parameters)
    for name in ("backbone_type", "pool_type"):
        given[name] = TABLES["aliases"].get(str(given[name]), given[name])
    parts = {name: [TABLES["settings"][getattr(row, part)] for part in PARTS] for name, row in VARIANTS.items()}
    wanted = {name: reduce(or_, settings, TABLES["everywhere"]) for name, settings in parts.items()}
    found = next((name for name, row in wanted.items() if all(row[n] == given[n] for n in DISTINGUISHING)), None)
    if found is None:
        described = ", ".join(f"{name}={given[name]!a:.60}" for name in DISTINGUISHING)
        raise InputError(f"no variant has the settings {described}; known are those of {', '.join(VARIANTS)}")
    for name, value in wanted[found].items():
        have = given.get(name, value)
        if have != value or isinstance(have, bool) != isinstance(value, bool):
            raise InputError(f"setting {name}={have!a:.60} makes another model than our {found!r}; {value!r} is ours")
    return found


def named(name: str) -> dict[str, tuple[str, Tensor]]:
    """Their name of every weight of a variant but MERT's own: our name, and a tensor of its shape on ``meta``."""
    row, found = variant(name), {}
    for our_name, tensor in skeleton(row).state_dict().items():
        theirs = our_name
        for old, new in TABLES["names"][getattr(row, our_name.partition(".")[0])].items():
            theirs = theirs.replace(old, new)
        found[theirs] = our_name, tensor
    return found


def translate(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of theirs under our names, for `fill`, which looks at their shapes. Their complex matrices are stacked
    real ones, real rows above imaginary rows: here they become complex64. A matrix W of a bilinear score keeps their
    orientation, s(x, y) = Re⟨W x̂, ŷ⟩, that is, W multiplies the first argument. ``name`` is from `variant_of`. An
    InputError for weights that are missing or unexpected, naming the first of each."""
    expected = named(name)
    mert = {n: t for n, t in state.items() if name.startswith("mert") and n.startswith(THEIRS_MERT)}
    rest = {n: t for n, t in state.items() if n not in mert and not re.fullmatch(SKIPPED, n)}
    same_names(expected, rest, f"these are not the weights of {name!r}; load them as what they were trained as")
    ours = hubert_names({OURS_MERT + n.removeprefix(THEIRS_MERT): tensor for n, tensor in mert.items()})
    for theirs, (our_name, like) in expected.items():
        tensor = state[theirs]
        stacked = like.is_complex() and tensor.shape == (2 * len(like), *like.shape[1:])
        ours[our_name] = torch.complex(*tensor.float().chunk(2)) if stacked else tensor
    return ours
