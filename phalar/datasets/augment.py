"""Noise that training adds, so that recordings match by their music and not by their hiss (paper section 3).

Five noises, each with a chance of its own, drawn apart for anchor and positive. White, pink, brown and band-limited
noise are Gaussian, and a sum of independent Gaussian noises is Gaussian with the sum of their spectra: one noise per
clip, shaped by the sum, does the work of four. Book page *How it is trained*, "Noise".
"""

import math
from dataclasses import dataclass

import scipy.fft
import torch
from torch import Tensor

from phalar.audio import SAMPLE_RATE


@dataclass(frozen=True)
class Noise:
    """How often a noise is added, how far below the music, in dB (uniform), and by which power of the frequency its
    spectrum falls: as its name says, and as the published code makes it."""

    chance: float
    snr_db: tuple[float, float]
    falls: float = 0
    falls_as_published: float = 0


WHITE = Noise(0.5, (15, 25))
PINK = Noise(0.5, (15, 25), falls=1, falls_as_published=2)  # sums random walks over time: in effect brown
BROWN = Noise(0.3, (12, 20), falls=2, falls_as_published=0)  # integrates over the wrong axis: in effect white
BAND = Noise(0.3, (12, 20))
BURSTS = Noise(0.2, (6, 12))

GAIN_DB = 6.0  # a pair's common gain is uniform in +-6 dB
LOWEST = 20.0  # Hz: pink and brown spectra are flat below it, so that their power is in what can be heard
BAND_EDGES = (100.0, 8000.0)  # Hz
BURST_COUNT, BURST_LENGTH = (1, 3), (10, 30)  # bursts, and samples of each


def augment(waves: Tensor, generator: torch.Generator, share: float = 1.0, as_published: bool = False) -> Tensor:
    """A common gain for each pair, then noise for each clip, at a level set by its own: waves (2, B, N) float32 at 16
    kHz, anchors and positives, to the same. The result is a function of the generator's state. ``share``, 0 to 1, is a
    factor on the chance of every noise. ``as_published``: pink and brown noise as the published code makes them, band
    edges even in hertz, a level for each burst. That code hands in 10 s and crops afterwards (:func:`crop`): the level
    is that of the whole, and a crop may hold none of the bursts. Taught in ``book/training.md``."""
    gain = 10 ** (_uniform((1, waves.shape[1], 1), -GAIN_DB, GAIN_DB, generator) / 20)
    clips = (waves * gain).flatten(0, 1)
    if share > 0:
        loudness = torch.linalg.vector_norm(clips, dim=-1, keepdim=True) / math.sqrt(clips.shape[1])
        noisy, noise = gaussian_noise(*clips.shape, generator, share, as_published)
        clips.index_add_(0, noisy, noise.mul_(loudness[noisy]))
        sample, crackle = bursts(*clips.shape, generator, share, as_published)
        clips.scatter_add_(1, sample, crackle * loudness)
    return clips.view_as(waves)


def crop(waves: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Anchors and positives (2, B, N) cut to (2, B, length), each pair at a place of its own."""
    pairs = waves.shape[1]
    start = torch.randint(waves.shape[2] - length + 1, (pairs, 1), generator=generator, device=generator.device)
    sample = start + torch.arange(length, device=start.device)
    return waves.gather(2, sample.expand(2, pairs, length))


def gaussian_noise(
    clips: int, length: int, generator: torch.Generator, share: float = 1.0, as_published: bool = False
) -> tuple[Tensor, Tensor]:
    """White, pink, brown and band noise in one draw, for clips of power one: which clips (n,) have any, and theirs."""
    device = generator.device
    size = scipy.fft.next_fast_len(length, real=True)
    frequency = torch.fft.rfftfreq(size, 1 / SAMPLE_RATE, device=device)
    colours = (WHITE, PINK, BROWN)
    falls = [colour.falls_as_published if as_published else colour.falls for colour in colours]
    above = frequency.clamp(min=SAMPLE_RATE / size if as_published else LOWEST)  # a random walk knows no lowest
    spectra = torch.stack([above**-exponent for exponent in falls])
    spectra /= spectra.mean(dim=-1, keepdim=True)
    power = torch.cat([_level(colour, (clips, 1), generator, share) for colour in colours], dim=1).square()
    band, (low, high) = _level(BAND, (clips, 1), generator, share).square(), _band(clips, generator, as_published)
    draw = torch.randn(clips, len(frequency), dtype=torch.complex64, generator=generator, device=device)
    every = torch.arange(clips, device=device)
    noisy = every if _at_once(device) else every[power.any(dim=1) | band.any(dim=1)]
    for i in [slice(None)] if _at_once(device) else [slice(j, j + 1) for j in noisy.tolist()]:
        inside = ((frequency >= low[i]) & (frequency <= high[i])).float()
        inside /= inside.mean(dim=-1, keepdim=True).clamp(min=1e-12)  # a very short clip may have no bin in a band
        draw[i] *= torch.addcmul(power[i] @ spectra, band[i], inside).mul_(size).sqrt_()
    if not len(noisy):  # which the transform refuses
        return noisy, torch.zeros(0, length, device=device)
    return noisy, torch.fft.irfft(draw[noisy], n=size)[:, :length]


def _at_once(device: torch.device) -> bool:
    """Whether all clips are shaped in one go, noise or none: to ask which have some would keep a GPU's host waiting. On
    a CPU it is those with noise, one after the other: their spectra then stay in the processor's cache."""
    return device.type != "cpu"


def bursts(
    clips: int, length: int, generator: torch.Generator, share: float = 1.0, as_published: bool = False
) -> tuple[Tensor, Tensor]:
    """One to three short crackles of noise for clips of power one: samples (clips, n) and what is added there, zero
    where nothing is; as loud while they last as their ratio says."""
    device = generator.device
    added = _level(BURSTS, (clips, 1), generator, share)
    count = _integer((clips, 1), *BURST_COUNT, generator)
    duration = _integer((clips, BURST_COUNT[1]), *BURST_LENGTH, generator)
    start = (torch.rand(duration.shape, generator=generator, device=device) * (length - duration)).long()
    sample = torch.arange(BURST_LENGTH[1], device=device)
    lasting = (sample < duration[..., None]) & (torch.arange(BURST_COUNT[1], device=device) < count)[..., None]
    crackle = torch.randn(lasting.shape, generator=generator, device=device) * lasting
    if as_published:  # each burst has its own
        added = (added > 0) * 10 ** (-_uniform(duration.shape, *BURSTS.snr_db, generator) / 20)
    position = (start[..., None] + sample).clamp(max=length - 1)
    return position.flatten(1), (crackle * added[..., None]).flatten(1)


def _level(noise: Noise, shape: tuple[int, ...], generator: torch.Generator, share: float = 1.0) -> Tensor:
    """Amplitude of a noise against clips of power one; zero where chance leaves it out."""
    added = torch.rand(shape, generator=generator, device=generator.device) < share * noise.chance
    return added * 10 ** (-_uniform(shape, *noise.snr_db, generator) / 20)


def _band(clips: int, generator: torch.Generator, as_published: bool) -> tuple[Tensor, Tensor]:
    """Edges in Hz of a band, (clips, 1) each: an octave wide at least, even on a scale of pitch; as published at least
    100 Hz wide, even in hertz, the lower in 100 to 4000."""
    (lowest, highest), octaves = BAND_EDGES, math.log2(BAND_EDGES[1] / BAND_EDGES[0])
    low = _uniform((clips, 1), *((lowest, highest / 2) if as_published else (0, octaves - 1)), generator)
    width = torch.rand(clips, 1, generator=generator, device=generator.device)
    if as_published:
        return low, low + 100 + width * (highest - low - 100)
    return lowest * 2**low, lowest * 2 ** (low + 1 + width * (octaves - 1 - low))


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def _integer(shape: tuple[int, ...], low: int, high: int, generator: torch.Generator) -> Tensor:
    return torch.randint(low, high + 1, shape, generator=generator, device=generator.device)
