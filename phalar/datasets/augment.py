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
    if share > 0:
        loudness = torch.linalg.vector_norm(clips, dim=-1, keepdim=True) / math.sqrt(clips.shape[1])
        heard, noise = gaussian_noise(*clips.shape, generator, share, as_published)
        clips.index_add_(0, heard, noise.mul_(loudness[heard]))
        sample, crackle = bursts(*clips.shape, generator, share)
        clips.scatter_add_(1, sample, crackle * loudness)
    return clips.view_as(waves)


def gaussian_noise(
    clips: int, length: int, generator: torch.Generator, share: float = 1.0, as_published: bool = False
) -> tuple[Tensor, Tensor]:
    """White, pink, brown and band-limited noise in one draw, for clips of power one: which clips (n,) have any, and
    theirs (n, length)."""
    device = generator.device
    size = scipy.fft.next_fast_len(length, real=True)
    frequency = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=device)
    above = frequency.clamp(min=LOWEST)
    flat = torch.ones_like(frequency)
    spectra = torch.stack([flat, 1 / above, flat if as_published else 1 / above.square()])  # white, pink, brown
    spectra /= spectra.mean(dim=-1, keepdim=True)
    power = torch.cat([_level(noise, clips, generator, share) for noise in (WHITE, PINK, BROWN)], dim=1).square()
    band, (low, high) = _level(BAND, clips, generator, share).square(), _band(clips, generator)
    draw = torch.randn(clips, len(frequency), dtype=torch.complex64, generator=generator, device=device)
    every = torch.arange(clips, device=device)
    heard = every if _at_once(device) else every[power.any(dim=1) | band.any(dim=1)]
    for i in [slice(None)] if _at_once(device) else [slice(j, j + 1) for j in heard.tolist()]:
        inside = ((frequency >= low[i]) & (frequency <= high[i])).float()
        inside /= inside.mean(dim=-1, keepdim=True).clamp(min=1e-12)  # a very short clip may have no bin in a band
        draw[i] *= torch.addcmul(power[i] @ spectra, band[i], inside).mul_(size).sqrt_()
    if not len(heard):  # which the transform refuses
        return heard, torch.zeros(0, length, device=device)
    return heard, torch.fft.irfft(draw[heard], n=size)[:, :length]


def _at_once(device: torch.device) -> bool:
    """Whether all clips are shaped in one go, noise or none: to ask which have some would keep a GPU's host waiting.

    On a CPU it is those with noise, one after the other: their spectra then stay in the processor's cache.
    """
    return device.type != "cpu"


def bursts(clips: int, length: int, generator: torch.Generator, share: float = 1.0) -> tuple[Tensor, Tensor]:
    """One to three short crackles of noise for clips of power one: samples (clips, n) and what is added there, zero
    where nothing is; as loud while they last as their ratio says."""
    device = generator.device
    level = _level(BURSTS, clips, generator, share)
    count = _integer((clips, 1), *BURST_COUNT, generator)
    duration = _integer((clips, BURST_COUNT[1]), *BURST_LENGTH, generator)
    start = (torch.rand(duration.shape, generator=generator, device=device) * (length - duration)).long()
    sample = torch.arange(BURST_LENGTH[1], device=device)
    lasting = (sample < duration[..., None]) & (torch.arange(BURST_COUNT[1], device=device) < count)[..., None]
    crackle = torch.randn(lasting.shape, generator=generator, device=device) * lasting
    position = (start[..., None] + sample).clamp(max=length - 1)
    return position.flatten(1), crackle.flatten(1) * level


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
