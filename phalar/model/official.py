"""The checkpoints that the paper's authors released, read here without running any of their code.

A Lightning ``.ckpt`` holds weights under the authors' names (``state_dict``) and the settings of their model's
constructor (``hyper_parameters``). `read_official` reads both (`phalar.model.torch_zip` keeps it safe), `variant_of`
says which row of our registry the settings describe, and `translate` renames the weights into ours. Whatever does not
fit is refused by name: a table's row must mean what it says. Taught in ``book/model.md``.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.mert import hubert_names
from phalar.model.stem_model import StemModel
from phalar.model.tensors import fill
from phalar.model.torch_zip import StoredTensor, TorchZip

ENUMS = frozenset(
    f"contrastive_model.constants.{name}"
    for name in (
        "Dataset",
        "EmbeddingMode",
        "FeatureExtractionTime",
        "ModelComparisonMethod",
        "ModelFeatureExtractorType",
        "ModelInputType",
    )
)
MOST_SETTINGS = 1_000

# What their constructor assumes of a setting that is not given.
DEFAULTS: dict[str, Any] = {
    "backbone_type": "freqtimeseparable",
    "comparison_method": "bilinear_similarity",
    "complex_mlp_bias": False,
    "complex_use_silu": False,
    "do_cqt": False,
    "embedding_dim": 512,
    "final_mlp": True,
    "final_mlp_expansion_factor": None,
    "final_mlp_norm": "bn",
    "ft_sep_depth": 4,
    "ft_sep_init_hidden_dim": 8,
    "input_freq_bins": 128,
    "input_type": "double_channel_harmonic_percussive",
    "mert_input_sr": 16_000,
    "mert_layer_idx": -1,
    "pool_type": "spec_pool",
    "spec_pool_center_padding": False,
    "spec_pool_complex_output": False,
    "spec_pool_components": 8,
    "spec_pool_norm": None,
    "spec_pool_out_channels": 80,
}
ALIASES = {"axial": "freqtimeseparable", "fft": "spec_pool"}  # second names that their constructor takes

# The settings that tell the variants apart, and their values for each variant.
DISTINGUISHING = ("backbone_type", "pool_type", "spec_pool_complex_output", "comparison_method", "do_cqt")
VARIANTS: dict[str, tuple] = {
    "phalar": ("freqtimeseparable", "spec_pool", True, "bilinear_similarity", True),
    "gap": ("freqtimeseparable", "avg", False, "bilinear_similarity", True),
    "magnitude": ("freqtimeseparable", "spec_pool", False, "bilinear_similarity", True),
    "cosine": ("freqtimeseparable", "spec_pool", True, "cosine_similarity", True),
    "psd": ("freqtimeseparable", "spec_pool", True, "psd_bilinear_similarity", True),
    "hermitian": ("freqtimeseparable", "spec_pool", True, "hermitian_bilinear_similarity", True),
    "mel": ("freqtimeseparable", "spec_pool", True, "bilinear_similarity", False),
    "cocola": ("efficientnet", "avg", False, "cocola_similarity", False),
    "mert-complex": ("mert", "spec_pool", True, "bilinear_similarity", False),
    "mert-real": ("mert", "avg", False, "bilinear_similarity", False),
}

# What else must hold for our modules to compute the same, by the part that reads the setting.
EVERYWHERE = {"embedding_dim": 512, "final_mlp": True, "final_mlp_expansion_factor": None}
BY_BACKBONE = {
    "freqtimeseparable": {
        "ft_sep_init_hidden_dim": 8,
        "ft_sep_depth": 5,
        "input_freq_bins": 96,
        "input_type": "single_channel_mel_spectrogram",
    },
    "efficientnet": {"input_type": "double_channel_harmonic_percussive"},
    "mert": {"mert_layer_idx": -1, "mert_input_sr": 16_000},
}
SPECTRAL_POOLING = {
    "spec_pool_out_channels": 80,
    "spec_pool_components": 8,
    "spec_pool_norm": "global",
    "spec_pool_center_padding": True,
}
COMPLEX_HEAD = {"complex_mlp_bias": False, "complex_use_silu": False}

WIDTHS = (8, 12, 18, 27, 40, 60)  # channels of the backbone before and after each of its five stages
BINS, PROJECTIONS, COMPONENTS, DIM, MERT_WIDTH = 96, 80, 8, 512, 768


@dataclass(frozen=True)
class OfficialCheckpoint:
    """A checkpoint of the authors, read.

    state : dict of str to Tensor, their names; every value finite
    hyper_parameters : dict, their settings as plain values; a member of one of their enumerations is its value, a str
    path : where it was read from
    """

    state: dict[str, Tensor]
    hyper_parameters: dict[str, Any]
    path: Path

    @property
    def variant(self) -> str:
        """Name of the variant in our registry; see `variant_of`."""
        return _naming(self.path, variant_of, self.hyper_parameters)

    def translated(self) -> dict[str, Tensor]:
        """Its weights under our names; see `translate`."""
        return _naming(self.path, translate, self.state, self.variant)


def load_official(path: str | os.PathLike) -> StemModel:
    """A model with the weights of one of the authors' Lightning checkpoints, in eval mode. Nothing in it is executed.

    >>> model = phalar.load_official("PHALAR_best.ckpt")

    Parameters
    ----------
    path : str or Path of a ``.ckpt`` file
        Of PHALAR, COCOLA or any ablation; its settings decide which variant it is.

    Returns
    -------
    StemModel
        ``phalar.save`` writes it in this package's own format.

    Raises
    ------
    InputError
        See `read_official`, `variant_of` and `translate`.
    """
    checkpoint = read_official(path)
    name = checkpoint.variant
    # A MERT checkpoint holds MERT itself, which has HuBERT's default settings.
    model = build(name, backbone={} if name.startswith("mert") else None, seed=0)
    fill(model, checkpoint.translated(), str(path))
    return model.eval()


def read_official(path: str | Path) -> OfficialCheckpoint:
    """Read a Lightning checkpoint of the authors' repository without executing anything in it.

    Only what is under ``state_dict`` is read into memory, never more than the file's own size; optimiser states are
    passed over.

    Parameters
    ----------
    path : str or Path of a ``.ckpt`` file

    Returns
    -------
    OfficialCheckpoint

    Raises
    ------
    InputError
        One line with the file, the offending name, and the remedy: for a file that is not there, not torch's zip
        format, damaged, or contradicting itself; for a pickle with anything but tensors, plain values and the authors'
        enumerations; for a checkpoint without weights or settings, or with weights that are not finite.
    """
    with TorchZip(path, ENUMS) as file:
        tree = file.tree()
        state = _section(file, tree, "state_dict")
        settings = _section(file, tree, "hyper_parameters")
        for name, stored in state.items():
            if not isinstance(name, str) or not isinstance(stored, StoredTensor):
                raise file.damaged(f"its state_dict holds something that is not a tensor under {name!a:.120}")
        claimed, present = sum(stored.bytes for stored in state.values()), file.path.stat().st_size
        if claimed > 2 * present:  # twice: tensors may share memory
            raise file.damaged(f"its tensors claim {claimed:,} bytes but it has only {present:,}")
        tensors = {name: file.tensor(name, stored) for name, stored in state.items()}
        for name, tensor in tensors.items():
            if not torch.isfinite(tensor).all():
                raise file.refusal(
                    f"weight {name!a:.120} holds values that are not finite (NaN or infinity)",
                    "its training went wrong; use an earlier checkpoint",
                )
        return OfficialCheckpoint(tensors, _plain(file, settings), file.path)


def variant_of(hyper_parameters: Mapping[str, Any]) -> str:
    """Which of our variants a model of theirs with these settings is.

    Parameters
    ----------
    hyper_parameters : mapping
        Arguments of their model's constructor, enumeration members by value; what is left out takes their default.
        Settings of training, and any we do not know, are passed over.

    Returns
    -------
    str, a name of the registry: "phalar", "gap", "magnitude", "cosine", "psd", "hermitian", "mel", "cocola",
    "mert-complex" or "mert-real"

    Raises
    ------
    InputError
        Where no variant has these settings, naming the one that differs and what it would have to be.
    """
    given = {name: hyper_parameters.get(name, default) for name, default in DEFAULTS.items()}
    given = {name: ALIASES.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    wanted = tuple(given[name] for name in DISTINGUISHING)
    variant = next((name for name, row in VARIANTS.items() if row == wanted), None)
    if variant is None:
        described = ", ".join(f"{name}={given[name]!a:.60}" for name in DISTINGUISHING)
        raise InputError(f"no variant has the settings {described}; known are those of {', '.join(VARIANTS)}")
    for name, value in _required(variant).items():
        if given[name] != value or isinstance(given[name], bool) != isinstance(value, bool):
            raise InputError(
                f"the setting {name}={given[name]!a:.60} makes another model than our {variant!r}; "
                f"only {name}={value!r} can be loaded"
            )
    return variant


def translate(state: Mapping[str, Tensor], variant: str) -> dict[str, Tensor]:
    """Weights of theirs under our names, ready for ``load_state_dict``.

    Their complex matrices are stacked real ones, real rows above imaginary rows: here they become complex64. A matrix
    W of a bilinear score keeps their orientation, s(x, y) = Re⟨W x̂, ŷ⟩, that is, W multiplies the first argument.

    Parameters
    ----------
    state : mapping of their names to tensors
    variant : str, from `variant_of`

    Returns
    -------
    dict of str to Tensor: float32, complex64, or int64 for the counters of batch norms

    Raises
    ------
    InputError
        For a variant that is not known, for weights that are missing, unexpected or not finite, and for shapes that
        differ, naming each (the first few of many).
    """
    if variant not in VARIANTS:
        raise InputError(f"no model of the authors is named {variant!r}; choose from {', '.join(VARIANTS)}")
    rules = dict(_rules(variant))
    skipped = re.compile(SKIPPED)
    opaque = {name: OURS_MERT + name.removeprefix(THEIRS_MERT) for name in state if name.startswith(THEIRS_MERT)}
    if not variant.startswith("mert"):
        opaque = {}
    missing = [name for name in rules if name not in state]
    unexpected = [n for n in state if n not in rules and n not in opaque and not skipped.fullmatch(n)]
    if missing or unexpected:
        raise InputError(
            f"these are not the weights of {variant!r}: "
            + "; ".join(filter(None, (_listed("missing", missing), _listed("unexpected", unexpected))))
            + "; load them as the variant they were trained as"
        )
    translated = hubert_names({ours: _as_float(state[theirs]) for theirs, ours in opaque.items()})
    for theirs, rule in rules.items():
        tensor = state[theirs]
        if tuple(tensor.shape) != rule.shape:
            raise InputError(
                f"weight {theirs!r} has shape {tuple(tensor.shape)} where {variant!r} has {rule.shape}; load it as the "
                "variant it was trained as"
            )
        translated[rule.ours] = rule.convert(tensor)
    for ours, tensor in translated.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"weight {ours!r} holds values that are not finite; use an earlier checkpoint")
    return translated


@dataclass(frozen=True)
class Rule:
    """Where a weight of theirs goes: our name, the shape it must have there, and how it is converted."""

    ours: str
    shape: tuple[int, ...]
    convert: Callable[[Tensor], Tensor]


def _as_float(tensor: Tensor) -> Tensor:
    """float32 of its own memory; whole numbers stay whole."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()


def _as_complex(stacked: Tensor) -> Tensor:
    """[Re W; Im W], (2 out, in) real, to W, (out, in) complex64."""
    real, imaginary = _as_float(stacked).chunk(2)
    return torch.complex(real, imaginary)


# Theirs that our modules compute themselves: the constant-Q kernels (the misspelling is nnAudio's), MERT's resampler.
SKIPPED = r"encoder\.cqt_extractor\.0\.(lenghts|cqt_kernels_real|cqt_kernels_imag)|encoder\.backbone\.resampler\.kernel"
# MERT itself is taken over as it is: its names are those of its own publisher.
THEIRS_MERT, OURS_MERT = "encoder.backbone.model.", "backbone.model."


def _rules(variant: str) -> Iterator[tuple[str, Rule]]:
    """Their name and its rule, for every weight of a variant but MERT's own."""
    backbone, pool, is_complex, comparison, _ = VARIANTS[variant]
    if variant == "cocola":
        yield from _cocola_rules()
        return
    if backbone == "freqtimeseparable":
        yield from _backbone_rules()
        step, features = BINS * WIDTHS[-1], WIDTHS[-1]
    else:
        step = features = MERT_WIDTH
    if pool == "spec_pool":
        name = "encoder.pooling.0.project_in.1.weight"
        yield name, Rule("pooling.project.weight", (PROJECTIONS, step), _as_float)
        features = PROJECTIONS * COMPONENTS
    if is_complex:
        yield from _complex_head_rules(features)
    else:
        yield from _real_head_rules(features, normalised=backbone != "mert")
    square = (2 * DIM, DIM) if is_complex else (DIM, DIM)
    if comparison == "cosine_similarity":
        yield "similarity.projection.W.weight", Rule("form.projection", square, _as_complex)
        yield "similarity.logit_scale", Rule("form.log_scale", (), _as_float)
    elif is_complex:
        yield "similarity.W.W.weight", Rule("form.W", square, _as_complex)
    else:
        yield "similarity.projection.weight", Rule("form.W", square, _as_float)


def _backbone_rules() -> Iterator[tuple[str, Rule]]:
    theirs, ours = "encoder.backbone", "backbone"
    yield f"{theirs}.input_proj.weight", Rule(f"{ours}.stem.weight", (WIDTHS[0], 1, 1, 1), _as_float)
    for i in range(2 * (len(WIDTHS) - 1)):
        c = WIDTHS[(i + 1) // 2]
        for branch, ours_branch, hidden, kernel in (
            ("freq_conv", "frequency", c, (3, 1)),
            ("time_conv", "time", c, (1, 3)),
            ("pointwise_op", "pointwise", 2 * c, (1, 1)),
        ):
            for weight, ours_weight, shape in (
                ("0.weight", "norm.weight", (c,)),
                ("0.bias", "norm.bias", (c,)),
                ("1.weight", "mix.weight", (hidden, c, *kernel)),
                ("1.bias", "mix.bias", (hidden,)),
                ("3.weight", "out.weight", (c, hidden, 1, 1)),
                ("4.weight", "scale", (c,)),
            ):
                rule = Rule(f"{ours}.blocks.{i}.{ours_branch}.{ours_weight}", shape, _as_float)
                yield f"{theirs}.layers.{i}.{branch}.{weight}", rule
        if i % 2 == 0:  # the first block of a stage halves time and widens
            rule = Rule(f"{ours}.blocks.{i}.widen.weight", (WIDTHS[i // 2 + 1], c, 1, 3), _as_float)
            yield f"{theirs}.layers.{i}.compression.weight", rule


def _complex_head_rules(features: int) -> Iterator[tuple[str, Rule]]:
    yield "encoder.mlp.0.W.weight", Rule("head.linear1.weight", (2 * DIM, features), _as_complex)
    yield "encoder.mlp.1.weight", Rule("head.norm.gain", (DIM,), _as_float)
    yield "encoder.mlp.2.b", Rule("head.activation.bias", (DIM,), _as_float)
    yield "encoder.mlp.3.W.weight", Rule("head.linear2.weight", (2 * DIM, DIM), _as_complex)


def _real_head_rules(features: int, normalised: bool) -> Iterator[tuple[str, Rule]]:
    yield "encoder.mlp.0.weight", Rule("head.linear1.weight", (DIM, features), _as_float)
    yield "encoder.mlp.0.bias", Rule("head.linear1.bias", (DIM,), _as_float)
    if normalised:
        for name in ("weight", "bias", "running_mean", "running_var"):
            yield f"encoder.mlp.1.{name}", Rule(f"head.norm.{name}", (DIM,), _as_float)
        yield "encoder.mlp.1.num_batches_tracked", Rule("head.norm.num_batches_tracked", (), _as_float)
    yield "encoder.mlp.3.weight", Rule("head.linear2.weight", (DIM, DIM), _as_float)
    yield "encoder.mlp.3.bias", Rule("head.linear2.bias", (DIM,), _as_float)


# Module of ours to module of theirs; {} is the block's number.
COCOLA_MODULES = {
    "backbone.stem.conv": "encoder.backbone.model._conv_stem",
    "backbone.stem.norm": "encoder.backbone.model._bn0",
    "backbone.blocks.{}.widen.conv": "encoder.backbone.model._blocks.{}._expand_conv",
    "backbone.blocks.{}.widen.norm": "encoder.backbone.model._blocks.{}._bn0",
    "backbone.blocks.{}.filter.conv": "encoder.backbone.model._blocks.{}._depthwise_conv",
    "backbone.blocks.{}.filter.norm": "encoder.backbone.model._blocks.{}._bn1",
    "backbone.blocks.{}.attend.squeeze": "encoder.backbone.model._blocks.{}._se_reduce",
    "backbone.blocks.{}.attend.excite": "encoder.backbone.model._blocks.{}._se_expand",
    "backbone.blocks.{}.narrow.conv": "encoder.backbone.model._blocks.{}._project_conv",
    "backbone.blocks.{}.narrow.norm": "encoder.backbone.model._blocks.{}._bn2",
    "backbone.top.conv": "encoder.backbone.model._conv_head",
    "backbone.top.norm": "encoder.backbone.model._bn1",
    "head.linear1": "encoder.mlp.0",
    "head.norm": "encoder.mlp.1",
    "head.linear2": "encoder.mlp.3",
    "form.norm": "similarity.layer_norm",
}


def _cocola_rules() -> Iterator[tuple[str, Rule]]:
    with torch.device("meta"):  # shapes without memory
        ours_state = build("cocola").state_dict()
    for ours, tensor in ours_state.items():
        module, _, weight = ours.rpartition(".")
        number = re.search(r"blocks\.(\d+)\.", ours)
        if number:
            module = module.replace(number[0], "blocks.{}.", 1)
        theirs = "similarity.w" if ours == "form.W" else f"{COCOLA_MODULES[module]}.{weight}"
        yield theirs.format(number and number[1]), Rule(ours, tuple(tensor.shape), _as_float)


def _required(variant: str) -> dict[str, Any]:
    """The settings that a variant's own modules have built in."""
    backbone, pool, is_complex, *_ = VARIANTS[variant]
    required = EVERYWHERE | BY_BACKBONE[backbone]
    if pool == "spec_pool":
        required |= SPECTRAL_POOLING
    # The published MERT baseline with a real head has no batch norm in it.
    return required | (COMPLEX_HEAD if is_complex else {"final_mlp_norm": None if backbone == "mert" else "bn"})


def _section(file: TorchZip, tree: Any, name: str) -> dict:
    section = tree.get(name) if isinstance(tree, dict) else None
    if not isinstance(section, dict) or not section:
        raise file.refusal(f"has no {name}", "give a Lightning checkpoint of the authors' repository")
    return section


def _plain(file: TorchZip, settings: dict) -> dict[str, Any]:
    """Settings whose values are plain, or lists of plain values; nothing deeper is needed or kept."""
    if len(settings) > MOST_SETTINGS:
        raise file.damaged(f"its hyper_parameters hold {len(settings):,} settings")
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        if len(values) > MOST_SETTINGS or not all(type(v) in (bool, int, float, str, type(None)) for v in values):
            raise file.refusal(
                f"its setting {name!a:.120} is not a plain value", "only numbers, texts and lists of them are read"
            )
    return dict(settings)


def _naming(path: Path, function: Callable, *arguments: Any) -> Any:
    """Call a function and put the file's path in front of what it refuses."""
    try:
        return function(*arguments)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _listed(what: str, names: list[str], most: int = 4) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what} " + ", ".join(f"{name!a:.120}" for name in names[:most]) + more
