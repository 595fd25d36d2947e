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
    counts = {name: (count_parameters(name), flops_per_second(name)) for name in VARIANTS}
    return [
        {"variant": name, "parameters": parameters, "flops_per_second": flops, "differs": VARIANTS[name].differs}
        for name, (parameters, flops) in counts.items()
    ]


def count_parameters(name: str) -> int:
    """Learned real numbers of a variant. A frozen MERT is not counted and need not be at hand."""
    return _shape_of(name).num_parameters


def flops_per_second(name: str, seconds: float = SECONDS) -> int:
    """FLOPs of embedding one clip of that many seconds, divided by its length."""
    return round(count_flops(_shape_of(name), seconds) / seconds)


@torch.no_grad()
def count_flops(model: StemModel, seconds: float = SECONDS) -> int:
    """FLOPs of embedding one clip with a model on the device ``meta``, where nothing is computed."""
    clip = torch.empty(1, round(seconds * SAMPLE_RATE), device="meta")
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


def _shape_of(name: str) -> StemModel:
    """A variant whose weights hold no numbers."""
    row = variant(name)
    if row.backbone != "mert":
        return build(row, seed=0).requires_grad_(False).to("meta")
    with torch.device("meta"):  # 94 million weights that are never made
        return assemble(row, _HubertBase())


def formulas() -> dict:
    """How torch's counter shall count what it counts wrongly (complex products) or not at all (Fourier transforms)."""
    aten = torch.ops.aten

    def product(a: Tensor, b: Tensor, *_, out_val: Tensor, **__) -> int:
        return out_val.numel() * a.shape[-1] * (8 if a.is_complex() else 2)

    def real_fourier(x: Tensor, axes: Sequence[int], *_, **__) -> int:
        points = math.prod(x.shape[axis] for axis in axes)
        return round(2.5 * x.numel() * math.log2(points))  # half of the usual 5 N log2 N, as the input is real

    rules = {
        aten.mm: product,
        aten.bmm: product,
        aten.addmm: lambda bias, a, b, *_, out_val, **__: product(a, b, out_val=out_val),
        aten.baddbmm: lambda bias, a, b, *_, out_val, **__: product(a, b, out_val=out_val),
        aten._fft_r2c: real_fourier,
        aten._fft_c2c: lambda x, axes, *_, **__: 2 * real_fourier(x, axes),
    }
    for rule in rules.values():
        rule._get_raw = True  # torch's counter then hands over tensors, not just their shapes
    return rules
