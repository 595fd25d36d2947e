"""Front ends in mel bands where PHALAR has the constant-Q transform: of `mel`, and of the COCOLA baseline.

Below about 1 kHz mel bands are near evenly spaced in hertz, not in pitch: what the `mel` ablation takes away is the
pitch-shift equivariance of the constant-Q axis. COCOLA sees what lasts and what strikes apart: a median over time
erases strokes, a median over frequency erases held notes (Fitzgerald 2010). Taught in ``book/model.md``.
"""

from typing import ClassVar

import librosa
import torch
from torch import Tensor, nn

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.model.frontend import BINS, HOP, TOP_DB, decibels, full_precision

FMIN, FMAX = 60.0, 7800.0  # Hz
N_FFT = 1024  # samples, 64 ms
WINDOW = 400  # samples, 25 ms, Hann, centred in the N_FFT
PART_BANDS = 64  # mel bands of COCOLA's harmonic and of its percussive picture
SHORTEST = 31 * HOP  # samples: 32 frames, which COCOLA's backbone makes one
MEDIAN = 31  # bins or frames in each median, as in librosa
CHUNK = {"cpu": 1 << 16, "cuda": 1 << 24}  # values filtered at once: what a CPU thread's cache holds, what fills a GPU


def stft(audio: Tensor, window: Tensor, shortest: int = N_FFT // 2 + 1) -> Tensor:
    """Centred short-time Fourier transform with mirrored ends: (B, N) float32 to (B, 513, 1 + N // 160) complex64; an
    InputError where there are fewer samples than ``shortest``, at first as many as can be mirrored."""
    if audio.ndim != 2 or audio.shape[-1] < shortest:
        raise InputError(
            f"spectrogram: audio of shape {tuple(audio.shape)} cannot be used; give (batch, samples) with at least "
            f"{shortest} samples at {SAMPLE_RATE} Hz"
        )
    return torch.stft(audio, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)


class LogMel(nn.Module):
    """Log-power mel spectrogram on the decibel scale of PHALAR's own front end: (B, N) to (B, 96, 1 + N // 160). 96
    triangular bands of unit height, as many as the constant-Q transform has bins, evenly spaced from 60 to 7800 Hz on
    the HTK mel scale, 2595 log₁₀(1 + f/700); 64 ms Fourier transforms of 25 ms Hann windows every 10 ms."""

    bins = BINS
    scale: ClassVar = {"htk": True, "norm": None}

    def __init__(self) -> None:
        super().__init__()
        bands = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=self.bins, fmin=FMIN, fmax=FMAX, **self.scale)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        with full_precision(audio.device):
            power = stft(audio.float(), self.window).abs().square()
            return decibels(self.bands @ power, power=True)


class HarmonicPercussiveMel(LogMel):
    """COCOLA's front end: two log-mel spectrograms of each waveform, its harmonic and its percussive part. 64 Slaney
    mel bands of each part's power, in decibels below the part's own loudest value. So a part's level is lost: one that
    is barely there looks as loud as one that dominates, and digital silence is 0 dB everywhere."""

    bins = PART_BANDS
    scale: ClassVar = {}

    @torch.no_grad()  # some 160 minima and maxima per median: nobody asks for their gradient
    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (B, N) float32 at 16 kHz to (B, 2, 64, 1 + N // 160) float32 decibels in [-80, 0]. Raises
        InputError for audio that is not (B, N), or shorter than 4,960 samples (0.31 s)."""
        with full_precision(audio.device):
            parts = torch.stack(hpss(stft(audio.float(), self.window, SHORTEST)), dim=1)
            scaled = decibels(self.bands @ parts.abs().square(), power=True)
            return (scaled - scaled.amax(dim=(-2, -1), keepdim=True)) * TOP_DB


def hpss(spectrogram: Tensor) -> tuple[Tensor, Tensor]:
    """Harmonic and percussive part of a spectrogram (..., F, T), complex or real; they sum to it and keep its phases.
    ``librosa.decompose.hpss`` with its defaults, batched and on the input's device: with H the median of the moduli
    over time and P that over frequency, the parts' shares of a bin are H²/(H²+P²) and P²/(H²+P²), or halves."""
    magnitude = spectrogram.abs()
    h, p = median_filter(magnitude, dim=-1), median_filter(magnitude, dim=-2)
    larger = torch.maximum(h, p)  # both are scaled by it before they are squared, or quiet bins would underflow
    silent = larger < torch.finfo(larger.dtype).tiny
    h, p = ((median / larger.masked_fill(silent, 1.0)).square().masked_fill(silent, 1.0) for median in (h, p))
    return spectrogram * (h / (h + p)), spectrogram * (p / (h + p))


def median_filter(x: Tensor, dim: int) -> Tensor:
    """Running median of 31 values along an axis, edges mirrored (d c b a | a b c d | d c b a). The same numbers as
    ``scipy.ndimage.median_filter(..., mode="reflect")``, also where the axis is shorter than the window. Only minima
    and maxima of whole shifted arrays are taken, so neither CPU nor GPU ever branches."""
    length, lines = x.shape[dim], x.movedim(dim, 0)
    index = torch.arange(-(MEDIAN // 2), length + MEDIAN // 2, device=x.device) % (2 * length)
    padded = lines.flatten(1)[torch.where(index < length, index, 2 * length - 1 - index)]
    budget = CHUNK["cuda"] if x.is_cuda else CHUNK["cpu"] * torch.get_num_threads()
    chunks = padded.split(max(1, budget // len(padded)), dim=1)  # lines do not meet
    return torch.cat([_running_median(chunk) for chunk in chunks], dim=1).view(lines.shape).movedim(0, dim)


def _running_median(x: Tensor) -> Tensor:
    """Median of each full window of 31 values of every column. A window is cut into two sorted blocks, A of 16 and B of
    15. Of n values from A and 16 - n from B the largest is max(A_n, B_16-n); the 16th smallest of all, the median, is
    the least of these over every n."""
    half, blocks = (MEDIAN + 1) // 2, {1: [x]}
    length = len(x) - MEDIAN + 1
    a = [part[:length] for part in _sorted_windows(blocks, half)]
    b = [part[half : half + length] for part in _sorted_windows(blocks, MEDIAN - half)]
    least = a[-1]
    for taken in range(1, half):
        least = torch.minimum(least, torch.maximum(a[taken - 1], b[-taken]))
    return least


def _sorted_windows(blocks: dict[int, list[Tensor]], size: int) -> list[Tensor]:
    """Every window of ``size`` values of a column, sorted: entry i holds the i-th smallest of each window. Neighbouring
    windows share their halves, so a block of each smaller size is sorted once for all positions."""
    if size not in blocks:
        first = 1 << (size - 1).bit_length() - 1
        length = len(blocks[1][0]) - size + 1
        left = [part[:length] for part in _sorted_windows(blocks, first)]
        right = [part[first : first + length] for part in _sorted_windows(blocks, size - first)]
        blocks[size] = _merge(left, right)
    return blocks[size]


def _merge(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """Batcher's odd-even merge of two sorted lists of any lengths, element by element over the whole arrays."""
    if not a or not b:
        return a or b
    if len(a) == len(b) == 1:
        return [torch.minimum(a[0], b[0]), torch.maximum(a[0], b[0])]
    even, odd = _merge(a[0::2], b[0::2]), _merge(a[1::2], b[1::2])
    merged = [even[0]]
    for low, high in zip(odd, even[1:], strict=False):
        merged += [torch.minimum(low, high), torch.maximum(low, high)]
    return merged + (odd[len(even) - 1 :] or even[len(odd) + 1 :])
