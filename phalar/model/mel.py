"""Front ends that listen in mel bands where PHALAR has the constant-Q transform: of `mel`, and of the COCOLA baseline.

Below about 1 kHz mel bands are near evenly spaced in hertz, not in pitch: what the `mel` ablation takes away is the
pitch-shift equivariance of the constant-Q axis. Taught in ``book/model.md``.
"""

import librosa
import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.model.frontend import BINS, HOP, TOP_DB, decibels, full_precision
from phalar.model.hpss import hpss

FMIN, FMAX = 60.0, 7800.0  # Hz
N_FFT = 1024  # samples, 64 ms
WINDOW = 400  # samples, 25 ms, Hann, centred in the N_FFT
PART_BANDS = 64  # mel bands of COCOLA's harmonic and of its percussive picture
SHORTEST = 31 * HOP  # samples: 32 frames, which COCOLA's backbone makes one


def stft(audio: Tensor, window: Tensor) -> Tensor:
    """Centred short-time Fourier transform with mirrored ends: (B, N) float32 to (B, 513, 1 + N // 160) complex64; an
    InputError where there are too few samples to mirror."""
    if audio.ndim != 2 or audio.shape[-1] <= N_FFT // 2:
        raise InputError(
            f"spectrogram: audio of shape {tuple(audio.shape)} cannot be used; give (batch, samples) with more than "
            f"{N_FFT // 2} samples at {SAMPLE_RATE} Hz"
        )
    return torch.stft(audio, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)


class LogMel(nn.Module):
    """Log-power mel spectrogram on the decibel scale of PHALAR's own front end: (B, N) to (B, 96, 1 + N // 160).

    96 triangular bands of unit height, as many as the constant-Q transform has bins, evenly spaced from 60 to 7800 Hz
    on the HTK mel scale, 2595 log₁₀(1 + f/700); 64 ms Fourier transforms of 25 ms Hann windows every 10 ms.
    """

    bins = BINS

    def __init__(self) -> None:
        super().__init__()
        with torch.device("cpu"):  # where numbers are, whatever device the model is made on
            bands = melscale_fbanks(N_FFT // 2 + 1, FMIN, FMAX, BINS, SAMPLE_RATE, norm=None, mel_scale="htk")
        self.register_buffer("bands", bands.T.contiguous(), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        with full_precision(audio.device):
            power = stft(audio.float(), self.window).abs().square()
            return decibels(self.bands @ power, power=True)


class HarmonicPercussiveMel(nn.Module):
    """COCOLA's front end: two log-mel spectrograms of each waveform, its harmonic and its percussive part.

    64 Slaney mel bands of each part's power, in decibels below the part's own loudest value. So a part's level is lost:
    one that is barely there looks as loud as one that dominates, and digital silence is 0 dB everywhere.
    """

    bins = PART_BANDS

    def __init__(self) -> None:
        super().__init__()
        bands = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=N_FFT, n_mels=PART_BANDS, fmin=FMIN, fmax=FMAX)
        self.register_buffer("bands", torch.from_numpy(bands), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)

    @torch.no_grad()  # some 160 minima and maxima per median: nobody asks for their gradient
    def forward(self, audio: Tensor) -> Tensor:
        """Waveforms (B, N) float32 at 16 kHz to (B, 2, 64, 1 + N // 160) float32 decibels in [-80, 0].

        Raises InputError for audio that is not (B, N), or shorter than 4,960 samples (0.31 s).
        """
        if audio.ndim != 2 or audio.shape[-1] < SHORTEST:
            raise InputError(
                f"cocola: audio of shape {tuple(audio.shape)} cannot be used; give (batch, samples) with at least "
                f"{SHORTEST} samples ({SHORTEST / SAMPLE_RATE:.2f} s) at {SAMPLE_RATE} Hz"
            )
        with full_precision(audio.device):
            parts = torch.stack(hpss(stft(audio.float(), self.window)), dim=1)
            return relative_decibels(self.bands @ parts.abs().square())


def relative_decibels(power: Tensor) -> Tensor:
    """Power in decibels below the loudest value of its own last two axes, 0 to -80."""
    scaled = decibels(power, power=True)
    return (scaled - scaled.amax(dim=(-2, -1), keepdim=True)) * TOP_DB
