"""Frames of a recording: a window's embedding at every step, the label that goes with it, and simpler features.

The window is 5 s long, so it hears several chords. Its embedding is labelled with the chord at its *start*, as
published, or at its centre; which of them a probe can read is a question about the phases. Book notebook *Chords*.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import librosa
import numpy as np
import torch

from phalar.audio import SAMPLE_RATE, mono_16k
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate.chord_labels import UNKNOWN
from phalar.model.frontend import BINS_PER_OCTAVE, FMIN, HOP, ConstantQ, decibels
from phalar.model.stem_model import StemModel

SECONDS = 5.0
WINDOW = round(SECONDS * SAMPLE_RATE)  # samples
PUBLISHED_HOP = 0.02  # seconds
MOMENTS = {"start": 0.0, "centre": SECONDS / 2}  # which moment of the window is labelled, in seconds from its start
FRAMES_PER_SECOND = SAMPLE_RATE // HOP  # of the constant-Q transform


def mixture(track: Track) -> np.ndarray:
    """The mix of a track as the model hears it, (N,) float32 at 16 kHz.

    Raises
    ------
    InputError
        If it is shorter than a window.
    """
    audio = mono_16k(track.excerpt().sum(axis=0), track.sample_rate, track.id)
    if len(audio) < WINDOW:
        raise InputError(f"{track.id}: {len(audio) / SAMPLE_RATE:.2f} s long; a window of {SECONDS:g} s does not fit")
    return audio


def window_starts(num_samples: int, hop: float, name: str = "") -> np.ndarray:
    """First samples (T,) of windows that lie within ``num_samples``, ``hop`` seconds apart.

    The first one begins at a moment below one hop that is drawn by ``name``. Players of one piece keep to one click: if
    the windows of all began at the same moments, a probe could know them by heart, and a coarse hop would flatter.

    Raises
    ------
    InputError
        If the hop is not from one sample to a minute.
    """
    step = round(hop * SAMPLE_RATE)
    if not 1 <= step <= 60 * SAMPLE_RATE:
        raise InputError(f"hop={hop!r}: seconds between windows must be above 0 and at most 60 (published: 0.02)")
    last = num_samples - WINDOW
    drawn = int.from_bytes(blake2b(f"window/{name}".encode(), digest_size=8).digest(), "little") / 2**64
    return np.arange(int(drawn * min(step, last + 1)), last + 1, step)


@torch.no_grad()
def pooled_windows(model: StemModel, audio: np.ndarray, starts: np.ndarray, batch_size: int = 16) -> np.ndarray:
    """What a model's pooling makes of each window, before the head.

    Parameters
    ----------
    model : StemModel
        In eval mode.
    audio : array (N,), float32, 16 kHz
    starts : array (T,) int
        First sample of each window.
    batch_size : int
        Windows that go through the network at once.

    Returns
    -------
    array (T, P), complex64 or float32
        For spectral pooling P = D * C: entry d * C + k - 1 is projection d at k cycles a window.
    """
    windows = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[starts]
    parts = []
    for begin in range(0, len(windows), batch_size):
        batch = torch.from_numpy(windows[begin : begin + batch_size].copy()).to(model.device)
        parts.append(model.pooling(model.backbone(model.picture(batch))).cpu().numpy())
    return np.concatenate(parts)


@torch.no_grad()
def embeddings(model: StemModel, pooled: np.ndarray) -> np.ndarray:
    """The embeddings (T, 512) that the head makes of pooled windows: those of ``model.embed``."""
    return model.head(torch.from_numpy(pooled).to(model.device)).cpu().numpy()


def spectral_components(pooled: np.ndarray, components: int, chosen: Sequence[int]) -> np.ndarray:
    """Of pooled windows (T, D * C) those entries that belong to the chosen components, counted from 1.

    Raises
    ------
    InputError
        If a component is not from 1 to C.
    """
    if not chosen or not set(chosen) <= set(range(1, components + 1)):
        raise InputError(f"components {list(chosen)!r}: choose from 1 to {components}")
    by_component = pooled.reshape(len(pooled), -1, components)
    return by_component[:, :, [k - 1 for k in chosen]].reshape(len(pooled), -1)


@torch.no_grad()
def magnitudes(audio: np.ndarray) -> np.ndarray:
    """The constant-Q transform (96, frames) that the models are shown, before decibels: 100 frames a second."""
    return _constant_q()(torch.from_numpy(audio)[None])[0].numpy()


def chroma_at(magnitude: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Chroma (T, 12) at moments (T,) in seconds, by librosa from :func:`magnitudes`: how strongly each pitch class
    sounds there, over the strongest."""
    frames = np.minimum(np.rint(times * FRAMES_PER_SECOND).astype(int), magnitude.shape[1] - 1)
    found = librosa.feature.chroma_cqt(C=magnitude[:, frames], fmin=FMIN, bins_per_octave=BINS_PER_OCTAVE, n_octaves=8)
    return found.T.astype(np.float32)


def mean_cqt(magnitude: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Mean over each window of the decibels that the model is shown, (T, 96): what can be read off the input itself,
    without time."""
    windows = [magnitude[:, start // HOP : (start + WINDOW) // HOP + 1] for start in starts]
    return np.stack([decibels(torch.from_numpy(window)[None])[0].mean(dim=-1).numpy() for window in windows])


def labels_at(chords: Sequence[tuple[float, float, str]], times: np.ndarray) -> list[str]:
    """The label at each moment: of two chords that meet there, the one that begins. "X" where there is none.

    Parameters
    ----------
    chords : sequence of (start, end, label)
        Seconds, in order, without overlap.
    times : array (T,)

    Raises
    ------
    InputError
        If they are out of order or overlap.
    """
    starts = np.array([start for start, _, _ in chords])
    for (_, end, label), (start, _, following) in pairwise(chords):
        if start < end - 1e-6:
            raise InputError(f"chord {following!r} starts at {start} s, before {label!r} ends at {end} s")
    places = np.searchsorted(starts, np.asarray(times) + 1e-9, side="right") - 1
    return [
        chords[place][2] if place >= 0 and time < chords[place][1] else UNKNOWN
        for place, time in zip(places, times, strict=True)
    ]


@lru_cache(maxsize=1)
def _constant_q() -> ConstantQ:
    return ConstantQ()
