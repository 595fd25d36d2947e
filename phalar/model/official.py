"""The checkpoints that the paper's authors released, read here without running any of their code.

A Lightning ``.ckpt`` holds weights under the authors' names (``state_dict``) and the settings of their model's
constructor (``hyper_parameters``). `read_official` reads both, `variant_of` says which row of our registry the settings
describe, and `translate` renames the weights into ours. Whatever does not fit is refused by name: a table's row must
mean what it says. Taught in ``book/model.md``.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from phalar.errors import InputError
from phalar.model.assembly import assemble, build
from phalar.model.mert import hubert_names
from phalar.model.stem_model import StemModel
from phalar.model.tensors import damaged, fill, named_tensors, read_archive, same_names
from phalar.model.variants import variant

_ENUMS = "Dataset EmbeddingMode FeatureExtractionTime ModelComparisonMethod ModelFeatureExtractorType ModelInputType"
ENUMS = tuple(f"contrastive_model.constants.{name}" for name in _ENUMS.split())
MOST_SETTINGS = 1_000
MERT_WIDTH = 768

# Settings of their constructor: what it assumes where one is not given, and what our PHALAR computes.
SETTINGS: dict[str, tuple[Any, Any]] = {
    "backbone_type": ("freqtimeseparable", "freqtimeseparable"),
    "pool_type": ("spec_pool", "spec_pool"),
    "spec_pool_complex_output": (False, True),
    "comparison_method": ("bilinear_similarity", "bilinear_similarity"),
    "do_cqt": (False, True),
    "complex_mlp_bias": (False, False),
    "complex_use_silu": (False, False),
    "embedding_dim": (512, 512),
    "final_mlp": (True, True),
    "final_mlp_expansion_factor": (None, None),
    "final_mlp_norm": ("bn", "bn"),
    "ft_sep_depth": (4, 5),
    "ft_sep_init_hidden_dim": (8, 8),
    "input_freq_bins": (128, 96),
    "input_type": ("double_channel_harmonic_percussive", "single_channel_mel_spectrogram"),
    "mert_input_sr": (16_000, 16_000),
    "mert_layer_idx": (-1, -1),
    "spec_pool_center_padding": (False, True),
    "spec_pool_components": (8, 8),
    "spec_pool_norm": (None, "global"),
    "spec_pool_out_channels": (80, 80),
}
ALIASES = {"axial": "freqtimeseparable", "fft": "spec_pool"}  # second names that their constructor takes
DISTINGUISHING = tuple(SETTINGS)[:5]  # what tells the variants apart
_GAP = {"pool_type": "avg", "spec_pool_complex_output": False}
_COCOLA = {"backbone_type": "efficientnet", "comparison_method": "cocola_similarity", "do_cqt": False}
_MERT = {"backbone_type": "mert", "do_cqt": False}
# Each variant by what differs from PHALAR.
VARIANTS: dict[str, dict[str, Any]] = {
    "phalar": {},
    "gap": _GAP,
    "magnitude": {"spec_pool_complex_output": False},
    "cosine": {"comparison_method": "cosine_similarity"},
    "psd": {"comparison_method": "psd_bilinear_similarity"},
    "hermitian": {"comparison_method": "hermitian_bilinear_similarity"},
    "mel": {"do_cqt": False},
    "cocola": {**_GAP, **_COCOLA, "input_type": "double_channel_harmonic_percussive"},
    "mert-complex": _MERT,
    "mert-real": {**_GAP, **_MERT, "final_mlp_norm": None},  # the published baseline has no norm
}
# Settings that only some parts read, by how their names begin.
READ_BY = {
    "ft_sep": ("axial",),
    "input_freq_bins": ("axial",),
    "input_type": ("axial", "efficientnet"),
    "mert": ("mert",),
    "spec_pool": ("spectral", "magnitude"),
    "complex": ("complex",),
    "final_mlp_norm": ("real", "real without norm"),
}

# Our names to theirs, by the value of the row whose weights they are: pieces that are replaced one after the other.
PROJECTION = {"pooling.project": "encoder.pooling.0.project_in.1"}
REAL = {"head.linear1": "encoder.mlp.0", "head.norm": "encoder.mlp.1", "head.linear2": "encoder.mlp.3"}
SESQUILINEAR = {"form.W": "similarity.W.W.weight"}
NAMES: dict[str, dict[str, str]] = {
    "axial": {
        "backbone.stem": "encoder.backbone.input_proj",
        "backbone.blocks.": "encoder.backbone.layers.",
        ".frequency.": ".freq_conv.",
        ".time.": ".time_conv.",
        ".pointwise.": ".pointwise_op.",
        ".widen.": ".compression.",
        ".norm.": ".0.",
        ".mix.": ".1.",
        ".out.": ".3.",
        ".scale": ".4.weight",
    },
    "efficientnet": {
        "backbone.": "encoder.backbone.model.",
        ".stem.conv.": "._conv_stem.",
        ".stem.norm.": "._bn0.",
        ".top.conv.": "._conv_head.",
        ".top.norm.": "._bn1.",
        ".blocks.": "._blocks.",
        ".widen.conv.": "._expand_conv.",
        ".widen.norm.": "._bn0.",
        ".filter.conv.": "._depthwise_conv.",
        ".filter.norm.": "._bn1.",
        ".attend.squeeze.": "._se_reduce.",
        ".attend.excite.": "._se_expand.",
        ".narrow.conv.": "._project_conv.",
        ".narrow.norm.": "._bn2.",
    },
    "mert": {},
    "spectral": PROJECTION,
    "magnitude": PROJECTION,
    "average": {},
    "complex": {
        "head.linear1": "encoder.mlp.0.W",
        "head.norm.gain": "encoder.mlp.1.weight",
        "head.activation.bias": "encoder.mlp.2.b",
        "head.linear2": "encoder.mlp.3.W",
    },
    "real": REAL,
    "real without norm": REAL,
    "sesquilinear": SESQUILINEAR,
    "hermitian": SESQUILINEAR,
    "semidefinite": SESQUILINEAR,
    "cosine": {"form.projection": "similarity.projection.W.weight", "form.log_scale": "similarity.logit_scale"},
    "bilinear": {"form.W": "similarity.projection.weight"},
    "tanh": {"form.W": "similarity.w", "form.norm": "similarity.layer_norm"},
}
# Theirs that our modules compute themselves: the constant-Q kernels (the misspelling is nnAudio's), MERT's resampler.
SKIPPED = r"encoder\.cqt_extractor\.0\.(lenghts|cqt_kernels_real|cqt_kernels_imag)|encoder\.backbone\.resampler\.kernel"
# MERT itself is taken over as it is: its names are those of its own publisher.
THEIRS_MERT, OURS_MERT = "encoder.backbone.model.", "backbone.model."


@dataclass(frozen=True)
class OfficialCheckpoint:
    """A checkpoint of the authors, read: finite weights under their names, and their settings as plain values."""

    state: dict[str, Tensor]
    hyper_parameters: dict[str, Any]
    path: Path

    @property
    def variant(self) -> str:
        """Name of the variant in our registry; see `variant_of`."""
        return self._naming(variant_of, self.hyper_parameters)

    def translated(self) -> dict[str, Tensor]:
        """Its weights under our names; see `translate`."""
        return self._naming(translate, self.state, self.variant)

    def _naming(self, function: Callable, *arguments: Any) -> Any:
        """Call a function and put the file's path in front of what it refuses."""
        try:
            return function(*arguments)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error


def load_official(path: str | os.PathLike) -> StemModel:
    """A model with the weights of one of the authors' Lightning checkpoints, in eval mode. Nothing in it is executed.

    >>> model = phalar.load_official("PHALAR_best.ckpt")

    Parameters
    ----------
    path : str or Path of a ``.ckpt`` file
        Of PHALAR, COCOLA or any ablation; its settings decide which variant it is. ``phalar.save`` writes the model in
        this package's own format.

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


def read_official(path: str | os.PathLike) -> OfficialCheckpoint:
    """Read a Lightning checkpoint of the authors' repository without executing anything in it.

    Raises
    ------
    InputError
        What `read_archive` refuses; a checkpoint without weights or settings, with weights that are not finite or claim
        more than the file holds, or with settings that are not plain values.
    """
    path, tree = Path(path), read_archive(path, ENUMS)
    state, settings = (
        tree.get(name) if isinstance(tree, dict) else None for name in ("state_dict", "hyper_parameters")
    )
    state = named_tensors(path, state, "state_dict")
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{path}: weight {name!a:.120} holds values that are not finite; its training went wrong: use an "
                "earlier checkpoint"
            )
    if not isinstance(settings, dict) or not settings:
        raise InputError(f"{path}: has no hyper_parameters; give a Lightning checkpoint of the authors' repository")
    if len(settings) > MOST_SETTINGS:
        raise damaged(path, f"its hyper_parameters hold {len(settings):,} settings")
    for name, value in settings.items():
        values = value if isinstance(value, (list, tuple)) else (value,)
        if not all(type(v) in (bool, int, float, str, type(None)) for v in values):
            raise InputError(f"{path}: its setting {name!a:.120} is not a plain value; only such are read")
    return OfficialCheckpoint(state, dict(settings), path)


def variant_of(hyper_parameters: Mapping[str, Any]) -> str:
    """Name of our variant that a model of theirs with these arguments of its constructor is, enumeration members by
    value; what is left out takes their default, settings of training and unknown ones are passed over.

    An InputError where no variant has them, naming the one that differs and what it would have to be.
    """
    given = {name: hyper_parameters.get(name, default) for name, (default, _) in SETTINGS.items()}
    given = {name: ALIASES.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    known = {each: {n: ours for n, (_, ours) in SETTINGS.items()} | changes for each, changes in VARIANTS.items()}
    found = next((each for each, row in known.items() if all(row[n] == given[n] for n in DISTINGUISHING)), None)
    if found is None:
        described = ", ".join(f"{name}={given[name]!a:.60}" for name in DISTINGUISHING)
        raise InputError(f"no variant has the settings {described}; known are those of {', '.join(VARIANTS)}")
    row = variant(found)
    for name, value in known[found].items():
        readers = next((parts for begin, parts in READ_BY.items() if name.startswith(begin)), None)
        is_read = readers is None or {row.backbone, row.pooling, row.head} & set(readers)
        if is_read and (given[name] != value or isinstance(given[name], bool) != isinstance(value, bool)):
            raise InputError(
                f"the setting {name}={given[name]!a:.60} makes another model than our {found!r}; "
                f"only {name}={value!r} can be loaded"
            )
    return found


def named(name: str) -> dict[str, tuple[str, Tensor]]:
    """Their name of every weight of a variant but MERT's own: our name, and a tensor of its shape on ``meta``."""
    row = variant(name)
    with torch.device("meta"):
        if row.backbone == "mert":
            mert = nn.Identity()
            mert.out_channels = MERT_WIDTH
            ours = assemble(row, mert).state_dict()
        else:
            ours = build(row).state_dict()
    found = {}
    for our_name, tensor in ours.items():
        theirs = our_name
        for old, new in NAMES[getattr(row, our_name.partition(".")[0])].items():
            theirs = theirs.replace(old, new)
        is_matrix = tensor.is_complex()  # stacked: real rows above imaginary rows
        shape = (2 * tensor.shape[0], *tensor.shape[1:]) if is_matrix else tensor.shape
        found[theirs] = our_name, torch.empty(shape, dtype=tensor.dtype, device="meta")
    return found


def translate(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Weights of theirs under our names, ready for ``load_state_dict``.

    Their complex matrices are stacked real ones, real rows above imaginary rows: here they become complex64. A matrix
    W of a bilinear score keeps their orientation, s(x, y) = Re⟨W x̂, ŷ⟩, that is, W multiplies the first argument.
    ``name`` is from `variant_of`. An InputError for an unknown one, and for weights that are missing, unexpected, not
    finite or of another shape, naming the first of each.
    """
    if name not in VARIANTS:
        raise InputError(f"no model of the authors is named {name!r}; choose from {', '.join(VARIANTS)}")
    expected = named(name)
    mert = {n: t for n, t in state.items() if name.startswith("mert") and n.startswith(THEIRS_MERT)}
    rest = {n: t for n, t in state.items() if n not in mert and not re.fullmatch(SKIPPED, n)}
    same_names(expected, rest, f"these are not the weights of {name!r}; load them as what they were trained as")
    ours = hubert_names({OURS_MERT + n.removeprefix(THEIRS_MERT): _own(tensor) for n, tensor in mert.items()})
    for theirs, (our_name, like) in expected.items():
        tensor = state[theirs]
        if tensor.shape != like.shape:
            raise InputError(
                f"weight {theirs!r} has shape {tuple(tensor.shape)} where {name!r} has {tuple(like.shape)}; load it as "
                "the variant it was trained as"
            )
        ours[our_name] = torch.complex(*_own(tensor).chunk(2)) if like.is_complex() else _own(tensor)
    for our_name, tensor in ours.items():
        if not torch.isfinite(tensor).all():
            raise InputError(f"weight {our_name!r} holds values that are not finite; use an earlier checkpoint")
    return ours


def _own(tensor: Tensor) -> Tensor:
    """float32 of its own memory; whole numbers stay whole."""
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True).contiguous()
