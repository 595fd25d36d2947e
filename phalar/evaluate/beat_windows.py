"""What a model makes of windows of music and of shifted metronomes: the embeddings that zero-shot beat tracking
compares (paper section 4, "Beats"; book page *Beats*).

Pictures are cut from one constant-Q transform of the whole piece, so that every window has the same floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from phalar.audio import SAMPLE_RATE, is_silent
from phalar.errors import InputError
from phalar.evaluate.madmom_bridge import mono
from phalar.evaluate.metronomes import SECONDS, TEMPI, bank, metronome
from phalar.model.frontend import HOP as SAMPLES_A_FRAME
from phalar.model.pooling import SpectralPooling
from phalar.model.stem_model import StemModel

FRAME = SAMPLES_A_FRAME / SAMPLE_RATE
"""Seconds a frame of the picture."""

WINDOW = 480
"""Frames of a window: 15 steps of the backbone, 4.8 s. (The paper says 5 s, and its metronomes have 5.)"""

HOP = 32
"""Frames from window to window where the metronome slides, on average: one step of the backbone, 0.32 s."""

STEADY = 1.0
"""Decibels between the loudest and the softest tenth of a second of sound that has no beat: a tone, a hum. (Music:
more than 10.)"""

SHIFT = 0.08
"""Seconds between shifts of a sliding metronome, at most; similarity in between is interpolated around the beat."""

LADDER = tuple(float(bpm) for bpm in 55 * 2 ** (np.arange(72) / 36))
"""Beats a minute of a sliding metronome: 55 to 216 in steps of 2 %, by which two metronomes are a twentieth of a second
apart after half a window."""

LEAD = 1.0
"""Seconds of steady clicks before a shifted metronome's window, so that its first frames are as in the midst of music.
"""

BATCH = 16  # windows that go through the network at once

Advance = Callable[[int], object]


@dataclass(frozen=True)
class Ruler:
    """Metronomes of every tempo at every shift, embedded by one model.

    Attributes
    ----------
    tempi : np.ndarray, (B,)
        Beats a minute.
    shifts : np.ndarray, (B,), int
        N_b, the number of shifts of each: metronome (b, n) clicks n / N_b of a beat after the window's beginning, and
        then on every beat.
    embeddings : Tensor, (sum of shifts, 512)
    """

    tempi: np.ndarray
    shifts: np.ndarray
    embeddings: Tensor

    def split(self, scores: np.ndarray) -> list[np.ndarray]:
        """Scores (..., sum of shifts) as one array (..., N_b) for each tempo."""
        return np.split(scores, np.cumsum(self.shifts)[:-1], axis=-1)


def picture_of(model: StemModel, audio: np.ndarray, sample_rate: int) -> Tensor | None:
    """The front end's picture of a whole piece, (1, bins, T) or with channels before the bins, on the model's device;
    None where it is silent, shorter than a window, or a steady tone: there is no beat to find.

    Raises
    ------
    InputError
        For audio that is not a waveform, or a model whose pictures have no frames of 10 ms (MERT).
    """
    samples = mono(audio, sample_rate, SAMPLE_RATE)
    if model.variant.backbone == "mert":
        raise InputError(f"variant {model.variant.name!r} hears no picture of 10 ms frames; beats need one that does")
    if len(samples) < WINDOW * SAMPLES_A_FRAME or is_silent(samples) or is_steady(samples):
        return None
    return model.picture(torch.from_numpy(np.ascontiguousarray(samples))[None].to(model.device))


def is_steady(samples: np.ndarray) -> bool:
    """Whether sound (N,) at 16 kHz keeps its loudness throughout, to a decibel, as no beat does."""
    block = SAMPLE_RATE // 10
    blocks = samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64)
    power = np.mean(blocks**2, axis=1)
    return bool(power.max() < power.min() * 10 ** (STEADY / 10))


def windows(picture: Tensor, starts: Sequence[int] | np.ndarray) -> Tensor:
    """Windows of a picture (1, ..., T) that begin at these frames, (W, ..., 480)."""
    return torch.stack([picture[0, ..., start : start + WINDOW] for start in starts])


def scattered_starts(frames: int, hop: int = HOP) -> np.ndarray:
    """Frames at which windows of a picture of so many frames begin: a window every ``hop`` frames on average.

    They are scattered by up to half a hop to either side (by the golden ratio, which never comes round): a
    tempo that marched in step with the windows would look the same in all of them.
    """
    latest = frames - WINDOW
    count = 1 + -(-latest // hop)
    even = np.linspace(0, latest, count)
    scattered = even + hop * ((np.arange(count) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
    return np.clip(np.round(scattered), 0, latest).astype(int)


@torch.no_grad()
def encode_windows(model: StemModel, pictures: Tensor, advance: Advance | None = None) -> Tensor:
    """Embeddings (W, 512) of windows of a picture (W, ..., frames), beginnings aligned.

    Where spectral pooling pads a short sequence it pads both ends, so windows of 15 and of 16 steps would begin at
    different places. Here all padding is at the right, as in the published evaluation of beats. ``advance`` is told of
    every batch how many windows it held.
    """
    parts = []
    for batch in pictures.split(BATCH):
        parts.append(model.head(pooled(model, batch)))
        if advance:
            advance(len(batch))
    return torch.cat(parts)


@torch.no_grad()
def pooled(model: StemModel, pictures: Tensor) -> Tensor:
    """What the pooling makes of windows, (W, features), short ones padded at the right."""
    features = model.backbone(pictures)
    if isinstance(model.pooling, SpectralPooling):
        # A step of zeros projects to zeros: this pads the projected sequence.
        features = F.pad(features, (0, max(0, model.pooling.shortest - features.shape[-1])))
    return model.pooling(features)


def embedded_bank(model: StemModel, tempi: Sequence[float] = TEMPI) -> Tensor:
    """Embeddings of the published metronomes of 5 s, (B, 512); a few seconds' work for all 211."""
    return encode_windows(model, _pictures(model, bank(tempi)))


def sliding_ruler(
    model: StemModel, tempi: Sequence[float] = LADDER, shift: float = SHIFT, advance: Advance | None = None
) -> Ruler:
    """Metronomes embedded at every shift of a beat: some 600, half of what one piece takes in the published way."""
    counts = _shift_counts(tempi, shift)
    parts = []
    for bpm, count in zip(tempi, counts, strict=True):
        beat = 60 / bpm
        sound = metronome(bpm, LEAD + beat + SECONDS, LEAD % beat)  # it clicks when the lead is over
        picture = _pictures(model, sound[None])
        # A window begins as much before a click as its shift is, at the nearest frame.
        before = [LEAD, *(LEAD + beat * (1 - n / count) for n in range(1, count))]
        starts = np.round(np.array(before) / FRAME).astype(int)
        parts.append(encode_windows(model, windows(picture, starts), advance=advance))
    return Ruler(np.asarray(tempi, dtype=np.float64), counts, torch.cat(parts))


@torch.no_grad()
def rotated_ruler(model: StemModel, tempi: Sequence[float] = LADDER, shift: float = SHIFT) -> Ruler:
    """One metronome embedded for each tempo, and all its shifts made of it by the shift theorem.

    A delay by s seconds turns component k of the pooled spectrum by exp(-2 pi i k s / 6.08 s), as if the sequence of
    19 steps went round in a circle; the head then sees what it would have seen. That holds as far as features follow
    the delay from step to step. Steps are 0.32 s apart, so what beats faster than 1.56 times a second (94 BPM) is seen
    through an alias that turns at another pace, even backwards: book page *Beats* shows where this decoder fails.

    Raises
    ------
    InputError
        For a model without complex spectral pooling, which has no phases to turn.
    """
    if not (model.variant.is_complex and isinstance(model.pooling, SpectralPooling)):
        raise InputError(f"variant {model.variant.name!r} has no phases to turn; use the sliding ruler")
    counts = _shift_counts(tempi, shift)
    sounds = np.stack([metronome(bpm, LEAD + SECONDS, LEAD % (60 / bpm)) for bpm in tempi])
    begin = round(LEAD / FRAME)
    pictures = _pictures(model, sounds)[..., begin : begin + WINDOW]
    spectra = torch.cat([pooled(model, batch) for batch in pictures.split(BATCH)])
    period = model.pooling.shortest * HOP * FRAME
    component = torch.arange(1, model.pooling.components + 1, device=model.device)
    parts = []
    for bpm, count, spectrum in zip(tempi, counts, spectra, strict=True):
        delays = 60 / bpm * torch.arange(count, device=model.device) / count
        turn = torch.exp(-2j * torch.pi * delays[:, None] * component / period)  # (N, C)
        turned = spectrum.unflatten(-1, (-1, len(component))) * turn[:, None]
        parts.append(model.head(turned.flatten(1)))
    return Ruler(np.asarray(tempi, dtype=np.float64), counts, torch.cat(parts))


def _shift_counts(tempi: Sequence[float], shift: float) -> np.ndarray:
    if not len(tempi):
        raise InputError("tempi: a ruler needs at least one")
    if not 0.01 <= shift <= 0.2:
        raise InputError(f"shift={shift!r}: shifts are 0.01 to 0.2 s apart")
    return np.array([max(2, int(np.ceil(60 / bpm / shift))) for bpm in tempi])


def _pictures(model: StemModel, sounds: np.ndarray) -> Tensor:
    """Each metronome's picture as if it were alone."""
    return torch.cat([model.picture(batch.to(model.device)) for batch in torch.from_numpy(sounds).split(BATCH)])
