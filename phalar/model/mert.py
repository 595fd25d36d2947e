"""MERT, a large transformer trained on music without labels, as a frozen backbone (Li et al. 2024).

The paper's check that PHALAR's gain is not just its pooling and head: the same pooling and head on top of MERT's last
layer reach much less. MERT hears 24 kHz and gives 75 steps of 768 features a second.

``m-a-p/MERT-v1-95M`` is published with model code of its own, which is not run: with its settings the computation is
HuBERT's, step for step, so transformers' own ``HubertModel`` takes the weights. Settings under which that is not so are
refused. As in the published baseline it hears waveforms without preprocessing. Taught in ``book/model.md``.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torchaudio.functional import resample

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.model.frontend import full_precision
from phalar.model.tensors import fill, named_tensors, read_archive, read_tensors

RATE = 24_000  # Hz, what MERT hears
EXAMPLE = "the files of https://huggingface.co/m-a-p/MERT-v1-95M"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# The settings of HuBERT that decide what it computes; all others concern its training.
SETTINGS = (
    "conv_bias", "conv_dim", "conv_kernel", "conv_pos_batch_norm", "conv_stride", "do_stable_layer_norm",
    "feat_extract_activation", "feat_extract_norm", "feat_proj_layer_norm", "hidden_act", "hidden_size",
    "intermediate_size", "layer_norm_eps", "num_attention_heads", "num_conv_pos_embedding_groups",
    "num_conv_pos_embeddings", "num_hidden_layers",
)  # fmt: skip
# Settings under which MERT is not HuBERT, and the value it must have.
REQUIRED = {"feature_extractor_cqt": False, "deepnorm": False, "sample_rate": RATE}
# torch's older and newer names for the two halves of a weight norm.
RENAMED = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}


class Resampled(nn.Module):
    """The MERT variants' front end: nothing but the waveform at 24 kHz, (B, N) to (B, ceil(1.5 N)) float32."""

    bins = 1

    def forward(self, audio: Tensor) -> Tensor:
        return resample(audio.float(), SAMPLE_RATE, RATE)


class Mert(nn.Module):
    """The last layer of a frozen HuBERT: waveforms at 24 kHz (B, N) to (B, hidden size, 1, T) float32. It never trains,
    whatever ``train()`` is told; its weights are part of ``state_dict``. ``config``: settings as in its
    ``config.json``; what is left out is as in HuBERT base, hence as in MERT-v1-95M."""

    frozen = True

    def __init__(self, config: Mapping) -> None:
        super().__init__()
        try:
            with torch.device("cpu"):  # tensors that modules make as they are imported belong to no model's device
                from transformers import HubertConfig, HubertModel
        except ImportError as error:
            raise InputError("the MERT variants need the package transformers: pip install 'phalar[mert]'") from error
        for key, value in REQUIRED.items():
            if config.get(key, value) != value:
                raise InputError(f"MERT's {key} = {config[key]!r} makes another model; only {value!r} is computed")
        self.config = {key: config[key] for key in SETTINGS if key in config}
        try:
            settings = HubertConfig(**self.config, mask_time_prob=0.0, mask_feature_prob=0.0)
            self.model = HubertModel(settings)
        except Exception as error:  # transformers validates with a family of exceptions of its own
            raise InputError(f"no HuBERT has MERT's settings {self.config}: {error}") from error
        self.out_channels = settings.hidden_size
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Mert":
        return super().train(False)

    @torch.no_grad()
    def forward(self, audio: Tensor) -> Tensor:
        with full_precision(audio.device):
            return self.model(audio.float()).last_hidden_state.transpose(1, 2)[:, :, None]


def load_mert(source: str | os.PathLike | Mapping | None, name: str = "mert-complex") -> Mert:
    """MERT with its published weights, from a folder with ``config.json`` and ``model.safetensors`` or
    ``pytorch_model.bin``; with random ones where only settings are given. ``name``: of the variant that it is for. An
    InputError if transformers is not installed, HuBERT does not compute such settings, or the weights do not fit."""
    if source is None:
        how = f"build({name!r}, backbone=FOLDER), with {EXAMPLE}; no run trains it here"
        raise InputError(f"variant {name!r} needs MERT's weights: {how}")
    if isinstance(source, Mapping):
        return Mert(source)
    folder = Path(source)
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if path is None:
        raise InputError(f"{folder}: has neither {' nor '.join(WEIGHTS)}; give a folder with {EXAMPLE}")
    try:
        config = dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{folder / 'config.json'}: not readable as JSON ({error}); download it again") from error
    if (kind := config.get("model_type")) not in ("hubert", "mert_model"):
        raise InputError(f"{folder}: model_type {kind!r} is not MERT ('mert_model') or HuBERT ('hubert')")
    mert, zipped = Mert(config), path.suffix == ".bin"
    tensors = named_tensors(path, read_archive(path), "weights") if zipped else read_tensors(path)[0]
    fill(mert.model, hubert_names(tensors), str(path), name="MERT")
    return mert


def hubert_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names that ``HubertModel`` has today, float32; what only pre-training needs is left out."""
    named = {}
    for name, tensor in tensors.items():
        module, dot, last = name.rpartition(".")
        if last != "masked_spec_embed":
            named[module + dot + RENAMED.get(last, last)] = tensor.float() if tensor.is_floating_point() else tensor
    return named
