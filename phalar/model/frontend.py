"""From a waveform to log-magnitude constant-Q frames: equations 1 and 2 of the book page *The model*, paper section 3.

A constant-Q transform (CQT) spaces its bins evenly in pitch: bin k is centred on f_k = fmin * 2^(k / 12), and its
window is Q cycles long. A convolution along frequency so sees an interval the same way in every octave.
"""

import contextlib
import io
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from nnAudio.utils import create_cqt_kernels
from torch import Tensor, nn

from phalar.audio import SAMPLE_RATE

HOP = 160  # samples: 100 frames a second
BINS = 96  # eight octaves of twelve semitones
BINS_PER_OCTAVE = 12
FMIN = 16.35  # Hz: C0
OCTAVES = BINS // BINS_PER_OCTAVE
LOW_OCTAVES = 2  # from the bottom: those whose kernels are so long that spectra are the faster way
NEGLIGIBLE = 1e-7  # of a kernel spectrum's peak: what lies below is left out
SMALLEST = 1e-10  # amplitude or power that stands for nothing at all, as in torchaudio
TOP_DB = 80.0  # decibels kept below the loudest bin of an item


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Inside, products are float32 whatever the caller asked for: no autocast, no TF32 or bfloat16 in their place.
    Phases and decibels need it: a constant-Q transform in TF32, cuDNN's default, is off by 2.5 dB in quiet bins."""
    backends = torch.backends
    switches = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
    before = [switch.fp32_precision for switch in switches]
    known = torch.amp.is_autocast_available(device.type)  # not so for "meta", the device on which FLOPs are counted
    with torch.autocast(device.type, enabled=False) if known else contextlib.nullcontext():
        try:
            for switch in switches:
                switch.fp32_precision = "ieee"
            yield
        finally:
            for switch, precision in zip(switches, before, strict=True):
                switch.fp32_precision = precision


@lru_cache(maxsize=1)
def _nnaudio_kernels() -> tuple[np.ndarray, np.ndarray]:
    """Kernels (BINS, 32768) complex64 and their lengths in samples (BINS,) of nnAudio's ``CQT1992v2``, which prints."""
    q = 1.0 / (2 ** (1 / BINS_PER_OCTAVE) - 1)
    with contextlib.redirect_stdout(io.StringIO()), torch.device("cpu"):
        kernels, _, lengths, _ = create_cqt_kernels(q, SAMPLE_RATE, FMIN, BINS, BINS_PER_OCTAVE, norm=1, window="hann")
    return kernels.astype(np.complex64), np.asarray(lengths, dtype=np.float32)


class ConstantQ(nn.Module):
    """Magnitudes of the constant-Q transform, equal to nnAudio's ``CQT1992v2`` and many times faster. nnAudio
    correlates every bin with a kernel of 32,768 samples. Here the upper octaves' kernels are cropped to their support,
    which halves with each octave. The lower octaves' stay long but span a narrow band: there the correlation is a
    product of spectra, folded before it is transformed back, as sampling in time is folding in frequency. Course: *A
    number that turns*."""

    def __init__(self) -> None:
        super().__init__()
        kernels, lengths = _nnaudio_kernels()
        self.centre = kernels.shape[1] // 2
        for octave in range(LOW_OCTAVES, OCTAVES):
            rows = kernels[octave * BINS_PER_OCTAVE : (octave + 1) * BINS_PER_OCTAVE]
            support = np.flatnonzero(np.abs(rows).max(axis=0))
            half = int(max(self.centre - support[0], support[-1] + 1 - self.centre))
            cropped = rows[:, self.centre - half : self.centre + half]
            # Real and imaginary parts are stacked so that one real correlation does the work of a complex one.
            stacked = np.concatenate([cropped.real, cropped.imag])[:, None]
            self.register_buffer(f"kernels_{octave}", torch.tensor(stacked, device="cpu"), persistent=False)
        # nnAudio's "librosa" normalisation: a sine of amplitude one gives sqrt(length) / 2 in its bin.
        self.register_buffer("gain", torch.tensor(np.sqrt(lengths)[:, None], device="cpu"), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (B, N) at 16 kHz to magnitudes (B, 96, 1 + N // 160) float32: entry (b, k, t) is how strongly pitch
        C0 + k semitones sounds around t / 100 s. N > 16,384, since the ends are mirrored by half a kernel."""
        frames = 1 + audio.shape[-1] // HOP
        with full_precision(audio.device):
            padded = F.pad(audio.float()[:, None], (self.centre, self.centre), mode="reflect")
            low = self._low_octaves(padded[:, 0], frames)
            high = [self._octave(padded, getattr(self, f"kernels_{i}"), frames) for i in range(LOW_OCTAVES, OCTAVES)]
            return torch.cat([low, *high], dim=1) * self.gain

    def _octave(self, padded: Tensor, kernels: Tensor, frames: int) -> Tensor:
        length = kernels.shape[-1]
        start = self.centre - length // 2
        heard = padded[..., start : start + (frames - 1) * HOP + length]
        real, imaginary = F.conv1d(heard, kernels, stride=HOP).chunk(2, dim=1)
        return torch.sqrt(real.square() + imaginary.square())

    def _low_octaves(self, padded: Tensor, frames: int) -> Tensor:
        # Whole seconds, so that few lengths of transform (and tables of kernel spectra) are ever needed.
        size = -(-padded.shape[-1] // SAMPLE_RATE) * SAMPLE_RATE
        steps = size // HOP
        spectrum = torch.fft.rfft(padded, n=size)
        parts = []
        for below, above, kernels in _kernel_spectra(size, padded.device):
            band = torch.cat([spectrum[:, 1 : below + 1].flip(-1).conj(), spectrum[:, :above]], dim=-1)
            folded = (band[:, None] * kernels).unflatten(-1, (-1, steps)).sum(dim=-2)
            parts.append(torch.fft.ifft(folded)[..., :frames].abs() / HOP)
        return torch.cat(parts, dim=1)


@lru_cache(maxsize=16)
def _kernel_spectra(size: int, device: torch.device) -> list[tuple[int, int, Tensor]]:
    """For each low octave the conjugate spectra of its kernels, (12, below + above) complex64, over the frequencies
    -below .. above - 1 at which they are not negligible, both whole multiples of the frame rate."""
    steps = size // HOP
    rows = torch.from_numpy(_nnaudio_kernels()[0][: LOW_OCTAVES * BINS_PER_OCTAVE])
    spectra = torch.fft.fftshift(torch.fft.fft(rows, n=size).conj(), dim=-1)
    tables = []
    for octave in spectra.split(BINS_PER_OCTAVE):
        level = octave.abs().amax(dim=0)
        heard = torch.nonzero(level > NEGLIGIBLE * level.max())
        below = -(-(size // 2 - int(heard[0])) // steps) * steps
        above = -(-(int(heard[-1]) + 1 - size // 2) // steps) * steps
        tables.append((below, above, octave[:, size // 2 - below : size // 2 + above].contiguous().to(device)))
    return tables


def decibels(magnitude: Tensor, power: bool = False) -> Tensor:
    """Amplitudes (or powers) (B, F, T) to decibels, cut ``TOP_DB`` below each item's loudest bin, then scaled: (dB +
    80) / 80, so that 1 stands for 0 dB and an item spans at most 1. The published code takes the floor from the loudest
    clip of the batch, so that an embedding depends on its batch mates. Book: *The model*, "Where text and code
    differ"."""
    db = (10.0 if power else 20.0) * torch.log10(magnitude.clamp(min=SMALLEST))
    floor = db.amax(dim=(-2, -1), keepdim=True) - TOP_DB
    return (torch.maximum(db, floor) + TOP_DB) / TOP_DB


class LogCQT(nn.Module):
    """The front end of PHALAR: constant-Q magnitudes on a decibel scale, (B, N) to (B, 96, T)."""

    bins = BINS

    def __init__(self) -> None:
        super().__init__()
        self.transform = ConstantQ()

    def forward(self, audio: Tensor) -> Tensor:
        return decibels(self.transform(audio))
