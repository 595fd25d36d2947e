"""Learned spectral pooling: time alignment becomes phase (equations 4 and 5 of the book page *The model*).

The Fourier shift theorem does the work: delay a sequence by s of its T steps and component k of its transform is
multiplied by exp(-2 pi i k s / T). What happens stays in the modulus; *when* it happens goes to the phase. The course's
chapters *A delay is a turn* and *From a spectrogram to a modulation spectrum* start from nothing and end here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.model.frontend import full_precision

COMPONENTS = 8  # C, as published


def shortest_steps(components: int = COMPONENTS) -> int:
    """Steps below which spectral pooling pads a sequence with zeros: 2 (C + 1) + 1, which is 19 for the 8 components of
    the paper. Fewer components are padded to 19 too, so that they are the first ones of the same transform."""
    return 2 * (max(components, COMPONENTS) + 1) + 1


class SpectralPooling(nn.Module):
    """Project, transform over time, keep components 1 to C, and divide by the mean modulus. ``features``: length of one
    time step, flattened, frequency bins times channels; ``channels``: D, the number of learned projections;
    ``components``: C, the Fourier components kept of each; ``constant``: keep component 0, what sounds on average, as
    well; ``scaling``: what components are divided by, the mean modulus of all (``"global"``), of those of the same
    projection (``"channel"``), or nothing (``"none"``). Course: *From a spectrogram to a modulation spectrum*."""

    def __init__(
        self, features: int, channels: int = 80, components: int = 8, constant: bool = False, scaling: str = "global"
    ) -> None:
        super().__init__()
        self.channels, self.components, self.lowest, self.scaling = channels, components, 0 if constant else 1, scaling
        self.project = nn.Linear(features, channels, bias=False)
        nn.init.xavier_normal_(self.project.weight)
        self.out_features = channels * (components + 1 - self.lowest)
        self.shortest = shortest_steps(components)  # steps below which a sequence is padded

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, F, T) to (B, D * C) complex64: entry (d, k) is how strongly projection d repeats k times
        within the excerpt (modulus) and where in its cycle it stands at the start (angle)."""
        with full_precision(x.device):  # phases need single precision
            steps = x.float().permute(0, 3, 2, 1).flatten(2)  # (B, T, F * channels)
            return self.spectrum(self.project(steps).transpose(1, 2)).flatten(1)

    def spectrum(self, sequence: Tensor) -> Tensor:
        """Components 1..C (or 0..C) of real sequences (B, D, T), scaled to a mean modulus of one: (B, D, C) complex.
        Course: *A delay is a turn*."""
        missing = max(0, self.shortest - sequence.shape[-1])
        padded = F.pad(sequence, (missing // 2, missing - missing // 2))
        spectrum = torch.fft.rfft(padded, norm="ortho")[..., self.lowest : self.components + 1]
        if self.scaling == "none":
            return spectrum
        over = (-2, -1) if self.scaling == "global" else -1
        return spectrum / (spectrum.abs().mean(dim=over, keepdim=True) + 1e-6)


class MagnitudePooling(SpectralPooling):
    """Spectral pooling without its phases: what repeats, but not when. An ablation of the paper."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).abs()


class PartsPooling(SpectralPooling):
    """Spectral pooling's real and imaginary parts side by side, as 2 D C real features: for a head that sees the phases
    but does not know that they are phases. An ablation of ours."""

    def __init__(self, *sizes: int, **options: object) -> None:
        super().__init__(*sizes, **options)
        self.out_features *= 2

    def forward(self, x: Tensor) -> Tensor:
        return torch.view_as_real(super().forward(x)).flatten(1)


class ProjectedPooling(SpectralPooling):
    """Spectral pooling's projection averaged over time, (B, channels, F, T) to (B, D): what it gains by looking at all
    frequencies and channels together, without its transform. An ablation of ours."""

    def __init__(self, *sizes: int, **options: object) -> None:
        super().__init__(*sizes, **options)
        self.out_features = self.channels

    def forward(self, x: Tensor) -> Tensor:
        with full_precision(x.device):
            return self.project(x.float().mean(dim=-1).transpose(1, 2).flatten(1))  # the mean of projections


class AveragePooling(nn.Module):
    """Global average over frequency and time, (B, channels, F, T) to (B, channels): the "GAP" ablation."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=(-2, -1))


POOLINGS = {
    "spectral": SpectralPooling,
    "magnitude": MagnitudePooling,
    "parts": PartsPooling,
    "projected": ProjectedPooling,
    "average": AveragePooling,
}
