"""Similarity of music to metronomes: a map, tempo by time, that says which metronome fits when (paper section 4,
"Beats"; book notebook *Beats*).

No metronome fits that is too slow, too fast, or late. As published one **slides the music** (:func:`published_map`):
one metronome a tempo, and a window of the piece every 20 ms. Our way **slides the metronome** (:func:`shifted_map`):
one that starts later does what a window that starts earlier does. Metronomes at all shifts are embedded once for a
model, and a piece needs a window every 320 ms. Windows are cut from one constant-Q transform of the whole piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from torch import Tensor

from phalar.audio import SAMPLE_RATE, is_silent, mono
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import installed
from phalar.errors import InputError
from phalar.model.frontend import HOP as SAMPLES_A_FRAME
from phalar.model.pooling import SpectralPooling
from phalar.model.stem_model import StemModel

TEMPI = tuple(range(30, 241))  # beats a minute of the published bank
SECONDS = 5.0  # length of a published metronome. (The pieces' windows have 4.8.)
FIRST = 0.02  # seconds of the first click: what fits has a beat that much after its beginning
PROGRAM, KEY, VELOCITY = 115, 69, 110  # General MIDI program (from 0) of the woodblock, A4
PEAK = 0.9

FRAME = SAMPLES_A_FRAME / SAMPLE_RATE  # seconds a frame of the picture
WINDOW = 480  # frames of a window: 15 steps of the backbone, 4.8 s. (The paper says 5 s.)
PUBLISHED_HOP = 2  # frames from window to window
BATCH = 16  # windows that go through the network at once
STEADY = 1.0  # decibels between the loudest and softest tenth of a second of a tone or a hum. (Music: more than 10.)

# Where the metronome slides.
HOP = 32  # frames from window to window, on average: a step of the backbone, 0.32 s
STEP = 0.01  # seconds a column of the map
SHIFT = 0.08  # seconds between shifts, at most; similarity in between is interpolated around the beat
OCTAVE = 36  # tempi an octave: steps of 2 %
LEAD = 1.0  # seconds of clicks before a metronome's window, so that its first frames are as in mid-music
SPAN = 2.0  # seconds over which windows must be spread for their mean to say what has nothing to do with beats


@cache
def woodblock() -> np.ndarray:
    """One click of the installed SoundFont's woodblock, (N,) float32, 16 kHz, peaking at one."""
    rate = 2 * SAMPLE_RATE  # the sampler interpolates without a band limit, so it plays at twice our rate
    played = play(installed(), PROGRAM, [Note(0.0, 0.1, KEY, VELOCITY)], SAMPLE_RATE, rate)
    click = soxr.resample(played, rate, SAMPLE_RATE)
    return np.trim_zeros(np.where(np.abs(click) < 1e-4, 0, click), "b") / np.abs(click).max()


def metronome(
    bpm: float, seconds: float = SECONDS, first: float = FIRST, click: np.ndarray | None = None
) -> np.ndarray:
    """A metronome alone: (N,) float32 at 16 kHz, peaking at 0.9, of ``bpm`` beats a minute, so many ``seconds`` long.
    The ``first`` click begins after so many seconds; what sounds later than the end is cut. ``click`` (N,), at 16 kHz,
    is :func:`woodblock`, as published, if not given. An InputError for an impossible tempo, length or first click."""
    if not 10 <= bpm <= 600 or not 0 < seconds <= 3600 or first < 0:
        remedy = "choose a bpm from 10 to 600, up to an hour, and a first click at 0 or later"
        raise InputError(f"bpm={bpm!r}, seconds={seconds!r}, first={first!r}: {remedy}")
    samples = clicks_at(np.arange(first, seconds, 60 / bpm), round(seconds * SAMPLE_RATE), click=click)
    return np.asarray(PEAK * samples / max(np.abs(samples).max(), 1e-9), dtype=np.float32)


def clicks_at(
    times: Sequence[float], length: int, sample_rate: int = SAMPLE_RATE, click: np.ndarray | None = None
) -> np.ndarray:
    """A click (16 kHz) at each of these seconds, (length,) float32: lets one hear whether found beats are right."""
    sound = woodblock() if click is None else click
    sound = sound if sample_rate == SAMPLE_RATE else soxr.resample(sound, SAMPLE_RATE, sample_rate)
    out = np.zeros(length + len(sound), np.float32)
    for start in np.round(np.asarray(times) * sample_rate).astype(int):
        if 0 <= start < length:
            out[start : start + len(sound)] += sound
    return out[:length]


def ladder(octave: int = OCTAVE) -> tuple[float, ...]:
    """Beats a minute from 55 over two octaves, so many in each: to 216 by default."""
    return tuple((55 * 2 ** (np.arange(2 * octave) / octave)).tolist())


def picture_of(model: StemModel, audio: np.ndarray, sample_rate: int) -> Tensor | None:
    """The front end's picture of a whole piece, (1, bins, T) or with channels before the bins, on the model's device;
    None where it is silent, shorter than a window, or a steady tone: there is no beat to find.

    ``model`` is in eval mode, here and below; ``audio`` (N,) or (channels, N), float in [-1, 1] or integer PCM, at
    ``sample_rate`` in Hz. An InputError for what is no waveform, and for MERT, whose pictures have no frames of 10 ms.
    """
    samples, block = mono(audio, sample_rate), SAMPLE_RATE // 10
    if model.variant.backbone == "mert":
        raise InputError(f"variant {model.variant.name!r} has no picture of 10 ms frames; beats need one that does")
    if len(samples) < WINDOW * SAMPLES_A_FRAME or is_silent(samples):
        return None
    power = np.mean(samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64) ** 2, axis=1)
    steady = power.max() < power.min() * 10 ** (STEADY / 10)
    return None if steady else model.picture(torch.from_numpy(samples)[None].to(model.device))


def embed_windows(model: StemModel, picture: Tensor, starts: Sequence[int] | np.ndarray) -> Tensor:
    """Embeddings (W, 512) of the windows of a picture (1, ..., T) that begin at these frames."""
    batches = np.split(np.asarray(starts), range(BATCH, len(starts), BATCH))
    cut = (torch.stack([picture[0, ..., start : start + WINDOW] for start in batch]) for batch in batches)
    return torch.cat([embed_pictures(model, batch) for batch in cut])


@torch.no_grad()
def embed_pictures(model: StemModel, pictures: Tensor) -> Tensor:
    """Embeddings (W, 512) of pictures (W, ..., frames), beginnings aligned: spectral pooling pads a short sequence at
    both ends; here all padding is at the right, as in the published evaluation of beats."""
    features = model.backbone(pictures)
    if isinstance(model.pooling, SpectralPooling):  # zeros project to zeros: this pads the projected sequence
        features = F.pad(features, (0, max(0, model.pooling.shortest - features.shape[-1])))
    return model.head(model.pooling(features))


def scattered_starts(frames: int, hop: int = HOP) -> np.ndarray:
    """Frames at which windows of a picture of so many frames begin, ``hop`` apart on average: scattered by up to half a
    hop to either side (by the golden ratio, which never comes round), lest a tempo that marches in step with the
    windows look the same in all of them."""
    latest = frames - WINDOW
    count = 1 + -(-latest // hop)
    scatter = hop * ((np.arange(count) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
    return np.clip(np.round(np.linspace(0, latest, count) + scatter), 0, latest).astype(int)


@dataclass(frozen=True)
class BeatMap:
    """Similarity of a piece to metronomes; without columns where there is no beat to find."""

    values: np.ndarray  # (B, T) float64: how well a metronome of tempo b fits that clicks at t, in units of the score
    tempi: np.ndarray  # (B,) beats a minute, rising
    step: float = STEP  # seconds a column; the first is at 0

    @property
    def times(self) -> np.ndarray:
        """Seconds of the columns, (T,)."""
        return self.step * np.arange(self.values.shape[1])


def published_map(model: StemModel, audio: np.ndarray, sample_rate: int, tempi: Sequence[float] = TEMPI) -> BeatMap:
    """The map by sliding the music, as published: column t is the window that begins at t. A metronome's first click is
    0.02 s after the window's beginning, so a beat is that much later than its column says. Audio as of
    :func:`picture_of`."""
    picture, rows = picture_of(model, audio, sample_rate), np.asarray(tempi, dtype=np.float64)
    if picture is None:
        return BeatMap(np.empty((len(tempi), 0)), rows, PUBLISHED_HOP * FRAME)
    sounds = torch.from_numpy(np.stack([metronome(bpm) for bpm in tempi])).to(model.device)
    bank = torch.cat([embed_pictures(model, model.picture(batch)) for batch in sounds.split(BATCH)])
    piece = embed_windows(model, picture, np.arange(0, picture.shape[-1] - WINDOW + 1, PUBLISHED_HOP))
    return BeatMap(model.similarity(bank, piece).double().cpu().numpy(), rows, PUBLISHED_HOP * FRAME)


@dataclass(frozen=True)
class Bank:
    """Metronomes embedded by one model: (b, n) clicks n / N_b of a beat after the window begins, then on every beat."""

    tempi: np.ndarray  # (B,) beats a minute
    shifts: np.ndarray  # (B,) int: N_b, the number of shifts of each
    embeddings: np.ndarray  # (sum of shifts, 512)


def shifted_bank(model: StemModel, tempi: Sequence[float], shift: float = SHIFT) -> Bank:
    """Metronomes embedded at every shift of a beat, ``shift`` seconds apart at most: some 600."""
    counts = np.array([max(2, int(np.ceil(60 / bpm / shift))) for bpm in tempi])
    parts = []
    for bpm, count in zip(tempi, counts, strict=True):
        beat = 60 / bpm
        sound = metronome(bpm, LEAD + beat + SECONDS, LEAD % beat)  # it clicks when the lead is over
        picture = model.picture(torch.from_numpy(sound)[None].to(model.device))
        # A window begins as much before a click as its shift is, at the nearest frame.
        before = np.array([LEAD, *(LEAD + beat * (1 - n / count) for n in range(1, count))])
        parts.append(embed_windows(model, picture, np.round(before / FRAME).astype(int)).cpu().numpy())
    return Bank(np.asarray(tempi, dtype=np.float64), counts, np.concatenate(parts))


def shifted_map(model: StemModel, bank: Bank, audio: np.ndarray, sample_rate: int) -> BeatMap:
    """The map by sliding the metronome, over the whole piece, from a bank of the same model. Audio as of
    :func:`picture_of`."""
    picture = picture_of(model, audio, sample_rate)
    if picture is None:
        return BeatMap(np.empty((len(bank.tempi), 0)), bank.tempi)
    starts = scattered_starts(picture.shape[-1])
    embedded = torch.from_numpy(bank.embeddings).to(model.device)
    similarity = model.similarity(embed_windows(model, picture, starts), embedded).double().cpu().numpy()
    return unrolled(similarity, bank, FRAME * starts, (picture.shape[-1] - 1) * FRAME)


def unrolled(similarity: np.ndarray, bank: Bank, begin: np.ndarray, seconds: float) -> BeatMap:
    """The map of a piece of so many seconds whose windows begin at seconds (W,), from their similarity to a bank
    (W, sum of shifts). Column t asks the two windows whose middle is nearest to t, in proportion to their nearness; at
    the ends the first and the last. Between shifts it is interpolated by the Fourier series around the beat."""
    times, last = STEP * np.arange(round(seconds / STEP)), len(begin) - 1
    values = np.zeros((len(bank.tempi), len(times)))
    place = np.interp(times - WINDOW * FRAME / 2, begin, np.arange(last + 1))
    before = np.minimum(place.astype(int), max(last - 1, 0))
    by_tempo = np.split(similarity, np.cumsum(bank.shifts)[:-1], axis=1)
    for row, bpm, scores in zip(values, bank.tempi, by_tempo, strict=True):
        # What has nothing to do with when beats fall: how well a click goes with this sound, and with this piece.
        scores = scores - scores.mean(axis=1, keepdims=True)
        if begin[-1] - begin[0] >= SPAN:
            scores = scores - scores.mean(axis=0)
        series = np.fft.rfft(scores, axis=1) / scores.shape[1]
        series[:, 1 : (scores.shape[1] + 1) // 2] *= 2  # each turns both ways; not the constant, nor the highest of N/2
        for window, share in ((before, 1 - (place - before)), (np.minimum(before + 1, last), place - before)):
            beats = (times - begin[window])[:, None] * bpm / 60
            turned = series[window] * np.exp(2j * np.pi * beats * np.arange(series.shape[1]))
            row += share * turned.real.sum(axis=1)
    return BeatMap(values, bank.tempi)
