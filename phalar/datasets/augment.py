"""Noise that training adds, so that recordings match by their music and not by their hiss (paper section 4).

Five noises, each with a chance of its own, drawn apart for anchor and positive. White, pink, brown and band-limited
noise are Gaussian, and a sum of independent Gaussian noises is Gaussian with the sum of their spectra: one noise per
clip, shaped by the sum, does the work of four. Book page *How it is trained*, "Noise".
"""

import math
from dataclasses import dataclass

import scipy.fft
import torch
from torch import Tensor

SAMPLE_RATE = 16_000  # Hz
GAIN_DB = 6.0  # a pair's common gain is uniform in +-6 dB


@dataclass(frozen=True)
class Noise:
    """How often a noise is added and how far below the music, in dB (uniform)."""

    chance: float
    snr_db: tuple[float, float]


WHITE = Noise(0.5, (15, 25))
PINK = Noise(0.5, (15, 25))
BROWN = Noise(0.3, (12, 20))
BAND = Noise(0.3, (12, 20))
BURSTS = Noise(0.2, (6, 12))

LOWEST = 20.0  # Hz: pink and brown spectra are flat below it, so that their power is in what can be heard
BAND_EDGES = (100.0, 8000.0)  # Hz
BURST_COUNT = (1, 3)
BURST_LENGTH = (10, 30)  # samples


def augment(waves: Tensor, generator: torch.Generator, share: float = 1.0, as_published: bool = False) -> Tensor:
    """A common gain for each pair, then noise for each clip.

    Parameters
    ----------
    waves : Tensor (2, B, N) float32
        Anchors and positives.
    generator : torch.Generator
        On the same device; the result is a function of its state.
    share : float
        Factor on the chance of every noise, 0 to 1.
    as_published : bool
        Brown noise as the published code makes it: integrated over the wrong axis, hence white in effect.

    Returns
    -------
    Tensor (2, B, N)
    """
    gain = 10 ** (_uniform((1, waves.shape[1], 1), -GAIN_DB, GAIN_DB, generator) / 20)
    clips = (waves * gain).flatten(0, 1)
    if share == 0:
        return clips.view_as(waves)
    power = clips.square().mean(dim=-1, keepdim=True)
    noise = torch.sqrt(power) * (
        gaussian_noise(*clips.shape, generator, share, as_published) + bursts(*clips.shape, generator, share)
    )
    return (clips + noise).view_as(waves)


def gaussian_noise(
    clips: int, length: int, generator: torch.Generator, share: float = 1.0, as_published: bool = False
) -> Tensor:
    """White, pink, brown and band-limited noise in one draw, (clips, length), for clips of power one."""
    device = generator.device
    size = scipy.fft.next_fast_len(length, real=True)
    frequency = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=device)
    above = frequency.clamp(min=LOWEST)
    low, high = _band(clips, generator)
    flat = torch.ones_like(frequency)
    spectra = [
        (WHITE, flat),
        (PINK, 1 / above),
        (BROWN, flat if as_published else 1 / above.square()),
        (BAND, ((frequency >= low) & (frequency <= high)).float()),
    ]
    total = torch.zeros(clips, len(frequency), device=device)
    for noise, spectrum in spectra:
        mean = spectrum.mean(dim=-1, keepdim=True).clamp(min=1e-12)  # a very short clip may have no bin in a band
        total += _level(noise, clips, generator, share).square() * spectrum / mean
    # Unit complex Gaussians have an expected inverse transform of power 2 / size, hence the factor.
    draw = torch.view_as_complex(torch.randn(clips, len(frequency), 2, generator=generator, device=device))
    return torch.fft.irfft(draw * torch.sqrt(total), n=size)[:, :length] * (size / 2) ** 0.5


def bursts(clips: int, length: int, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """One to three short crackles of noise, (clips, length): as loud while they last as their ratio says."""
    device = generator.device
    level = _level(BURSTS, clips, generator, share)
    count = _integer((clips, 1), *BURST_COUNT, generator)
    duration = _integer((clips, BURST_COUNT[1]), *BURST_LENGTH, generator)
    start = (torch.rand(duration.shape, generator=generator, device=device) * (length - duration)).long()
    sample = torch.arange(BURST_LENGTH[1], device=device)
    lasting = (sample < duration[..., None]) & (torch.arange(BURST_COUNT[1], device=device) < count)[..., None]
    crackle = torch.randn(lasting.shape, generator=generator, device=device) * lasting
    position = (start[..., None] + sample).clamp(max=length - 1)
    return torch.zeros(clips, length, device=device).scatter_add(1, position.flatten(1), crackle.flatten(1)) * level


def _level(noise: Noise, clips: int, generator: torch.Generator, share: float = 1.0) -> Tensor:
    """Amplitude of a noise against clips of power one, (clips, 1); zero where chance leaves it out."""
    added = torch.rand(clips, 1, generator=generator, device=generator.device) < share * noise.chance
    return added * 10 ** (-_uniform((clips, 1), *noise.snr_db, generator) / 20)


def _band(clips: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Edges in Hz of a band at least an octave wide, (clips, 1) each, even on a scale of pitch."""
    octaves = math.log2(BAND_EDGES[1] / BAND_EDGES[0])
    low = _uniform((clips, 1), 0, octaves - 1, generator)
    high = low + 1 + torch.rand(clips, 1, generator=generator, device=generator.device) * (octaves - 1 - low)
    return BAND_EDGES[0] * 2**low, BAND_EDGES[0] * 2**high


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _integer(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high + 1, shape, generator=generator, device=generator.device)
