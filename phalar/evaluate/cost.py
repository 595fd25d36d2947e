"""What a model costs: parameters, and arithmetic for a second of audio (paper section 5; book page *The model*).

A FLOP is one real addition or multiplication. Counted are matrix products (8 for a complex term), convolutions,
attention and Fourier transforms, front end included; what lies between costs time by the memory that it moves.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchaudio.models import hubert_base

from phalar.audio import SAMPLE_RATE
from phalar.model.assembly import assemble, build
from phalar.model.stem_model import StemModel
from phalar.model.variants import VARIANTS, variant

SECONDS = 5.0  # length of the clip that is embedded, as in the tests


def model_rows() -> list[dict[str, str | int]]:
    """The registry as a table: variant, learned parameters, FLOPs per second of audio, and what differs from PHALAR."""
    rows = []
    for name, row in VARIANTS.items():
        model = shape_of(name)
        about = {"variant": name, "parameters": model.num_parameters}
        rows.append(about | {"flops_per_second": round(count_flops(model) / SECONDS), "differs": row.differs})
    return rows


@torch.no_grad()
def count_flops(model: StemModel) -> int:
    """FLOPs of embedding a clip of 5 s with a model on the device ``meta``, where nothing is computed."""
    clip = torch.empty(1, round(SECONDS * SAMPLE_RATE), device="meta")
    model.eval().encode(clip)  # tables that are made once are not part of the cost
    with FlopCounterMode(display=False, custom_mapping=formulas()) as counter:
        model.encode(clip)
    return counter.get_total_flops()


class _HubertBase(nn.Module):
    """Stands for MERT-v1-95M: the same layers, as torchaudio has them."""

    frozen = True
    out_channels = 768

    def __init__(self) -> None:
        super().__init__()
        self.model = hubert_base()

    def forward(self, audio: Tensor) -> Tensor:
        return self.model(audio)[0].transpose(1, 2)[:, :, None]


def shape_of(name: str) -> StemModel:
    """A variant whose weights hold no numbers; a frozen MERT need not be at hand."""
    row = variant(name)
    if row.backbone != "mert":
        return build(row, seed=0).requires_grad_(False).to("meta")
    with torch.device("meta"):  # 94 million weights that are never made
        return assemble(row, _HubertBase())


def formulas() -> dict:
    """How torch's counter shall count what it counts wrongly (complex products) or not at all (Fourier transforms)."""
    aten = torch.ops.aten

    def product(*factors: Tensor, out_val: Tensor, **_) -> int:
        """Of the last two; what stands before them is added."""
        a = factors[-2]
        return out_val.numel() * a.shape[-1] * (8 if a.is_complex() else 2)

    def fourier(x: Tensor, axes: Sequence[int], *_, **__) -> int:
        points = math.prod(x.shape[axis] for axis in axes)
        return (1 + x.is_complex()) * round(2.5 * x.numel() * math.log2(points))  # 5 N log2 N, or half

    rules = dict.fromkeys((aten.mm, aten.bmm, aten.addmm, aten.baddbmm), product)
    rules |= dict.fromkeys((aten._fft_r2c, aten._fft_c2c), fourier)
    for rule in (product, fourier):
        rule._get_raw = True  # torch's counter then hands over tensors, not just their shapes
    return rules
