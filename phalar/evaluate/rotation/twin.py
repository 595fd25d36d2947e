"""The analytic twin: what the shift theorem says a delayed sound must be embedded as, without hearing it.

If the backbone moved with the sound, a delay by s of the T steps would multiply pooled component k by
exp(-2 pi i k s / T), and all that is left is to send the turned components through the head. Three things stand in the
way. The backbone answers only every 32 frames, so it moves with the sound exactly only for shifts by whole steps of
0.32 s. Its borders are padded with zeros, so a step within 124 frames of one hears less than the others. And in a real
excerpt new sound enters and old sound leaves. `wrapped` takes the second away and a loop the third, and then shifts by
whole steps are exact.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.errors import InputError
from phalar.evaluate.rotation.shifting import STEP
from phalar.model.backbone import HarmonicBackbone
from phalar.model.frontend import HOP, decibels
from phalar.model.pooling import COMPONENTS, shortest_steps
from phalar.model.stem_model import StemModel

BORDER = 124  # frames on either side that one step of the backbone hears: 4 (1 + 2 + 4 + 8 + 16)
REACH = 104 * HOP  # samples, whole frames, that cover half of the longest constant-Q kernel (16,384)


def period(length: int, components: int = COMPONENTS) -> int:
    """Samples in which component 1 turns once: the excerpt's steps, padded where there are too few."""
    steps = -(-(1 + length // HOP) // (STEP // HOP))
    return max(steps, shortest_steps(components)) * STEP


@torch.inference_mode()
def turned(model: StemModel, pooled: Tensor, shifts: np.ndarray, length: int) -> tuple[Tensor, Tensor]:
    """Pooled components (D, C) of a sound, turned as if it came later, and their embeddings.

    Parameters
    ----------
    pooled : Tensor (D, C) complex64
    shifts : array (J,), samples
    length : int
        Samples of the sound.

    Returns
    -------
    (Tensor (J, D, C), Tensor (J, 512)), complex64
    """
    k = torch.arange(1, pooled.shape[-1] + 1)
    late = torch.as_tensor(np.asarray(shifts) / period(length, pooled.shape[-1]))
    ramp = torch.exp(-2j * torch.pi * late[:, None] * k).to(torch.complex64)  # (J, C)
    z = pooled.cpu() * ramp[:, None]
    return z, model.head(z.flatten(1).to(model.device)).cpu()


def explained(truth: Tensor, predicted: Tensor) -> np.ndarray:
    """Share of the power of (J, ...) that a prediction explains, at each shift: 1 - |z - ẑ|² / |z|², (J,).

    1 is exact, 0 no better than predicting nothing, and an unrelated prediction of equal power has -1.
    """
    truth, predicted = (z.flatten(1).to(torch.complex128) for z in (truth, predicted))
    missed = (truth - predicted).abs().square().sum(dim=1)
    return (1 - missed / truth.abs().square().sum(dim=1).clamp(min=1e-24)).numpy()


class _Wrapped(nn.Module):
    """A harmonic backbone on plain PyTorch whose convolutions over time see a loop, not an excerpt."""

    def __init__(self, backbone: HarmonicBackbone) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone)
        self.out_channels = backbone.out_channels

    def forward(self, picture: Tensor) -> Tensor:
        x = self.backbone.stem(picture[:, None])
        for block in self.backbone.blocks:
            for branch in (block.frequency, block.time, block.pointwise):
                x = self._branch(branch, x)
            if block.widen is not None:
                x = F.conv2d(F.pad(x, (1, 1, 0, 0), mode="circular"), block.widen.weight, stride=(1, 2))
        return x

    @staticmethod
    def _branch(branch: nn.Module, x: Tensor) -> Tensor:
        height, width = branch.mix.kernel_size
        padded = F.pad(branch.norm(x), (width // 2, width // 2, 0, 0), mode="circular")
        mixed = F.conv2d(padded, branch.mix.weight, branch.mix.bias, padding=(height // 2, 0))
        return x + branch.out(F.silu(mixed)) * branch.scale[:, None, None]


def wrapped(model: StemModel) -> StemModel:
    """A copy of a model whose backbone hears a picture as one turn of a loop: the network without borders.

    Raises
    ------
    InputError
        If the backbone is another one.
    """
    if not isinstance(model.backbone, HarmonicBackbone):
        raise InputError(f"variant {model.variant.name!r} has no harmonic backbone; there is nothing to wrap")
    parts = copy.deepcopy(model)
    parts.backbone = _Wrapped(model.backbone)
    return parts.eval()


@torch.inference_mode()
def wrapped_picture(model: StemModel, loops: np.ndarray) -> Tensor:
    """Constant-Q pictures of loops, as if each had played for ever: (B, N) to (B, 96, N / 160)."""
    waves = torch.from_numpy(np.ascontiguousarray(loops, dtype=np.float32)).to(model.device)
    if waves.shape[-1] % STEP:
        raise InputError(f"a loop of {waves.shape[-1]} samples is no whole number of steps of {STEP}")
    magnitudes = model.frontend.transform(F.pad(waves[:, None], (REACH, REACH), mode="circular")[:, 0])
    first = REACH // HOP
    return decibels(magnitudes[..., first : first + waves.shape[-1] // HOP])
