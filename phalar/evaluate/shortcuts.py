"""Scorers that learn nothing: what a model must beat before its score means that it hears coherence.

Two submixes of one excerpt share more than their music. They have one tempo, one key, one level; some of that can be
read off each of them alone. A corpus in which tempo and key already tell its pieces apart would let any model win, so
each of these cues is made a scorer of its own, and goes through the same pairs and the same ranking as a model does.

``random``, ``loudness``, ``tempo``, ``chroma`` and ``tempo + chroma`` know nothing of *when*: they would not notice if
one side were shifted or reordered in time. The ``aligned`` ones compare moment by moment, as a model can. They are no
shortcuts but the honest baseline of hearing without learning. Book page *Retrieval*.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b

import numpy as np
import torch
from torch import nn

from phalar.audio import SHORTEST
from phalar.corpora.rendering import loudness
from phalar.datasets.pairs import Pair
from phalar.errors import InputError
from phalar.model.frontend import BINS_PER_OCTAVE, HOP, OCTAVES, SAMPLE_RATE, ConstantQ
from phalar.model.mel import LogMel

FRAME_RATE = SAMPLE_RATE // HOP  # frames a second
SMOOTHING = 7  # frames, Hann: players who mean to strike together are some 20 ms apart
LAGS = (0.2, 4.0)  # seconds between two onsets: from a fast tremolo's to a slow bar's
POOLED = 5  # frames averaged to one of the chroma: 50 ms
ALIGNED = 4  # of those averaged again where chroma are compared in time: 0.2 s
NOISE = 64  # dimensions of the random vectors


@dataclass(frozen=True)
class Heard:
    """What the scorers know of n clips of one length; all float64, and zeros where a clip is silent.

    Attributes
    ----------
    noise : np.ndarray, (n, 64)
        Nothing: drawn from a digest of the clip's samples.
    level : np.ndarray, (n,)
        LUFS, at least -70.
    rhythm : np.ndarray, (n, lags)
        Autocorrelation of the onset curve at lags of 0.2 to 4 s every 10 ms, 1 at lag 0.
    chroma : np.ndarray, (n, 12)
        Magnitude of each pitch class over the whole clip, less the mean of all twelve.
    onsets : np.ndarray, (n, T)
        Onset curve: how much louder the mel bands are getting, every 10 ms, less its mean.
    pitches : np.ndarray, (n, 12 F)
        Chroma of every 0.2 s, each less the mean of its twelve.
    """

    noise: np.ndarray
    level: np.ndarray
    rhythm: np.ndarray
    chroma: np.ndarray
    onsets: np.ndarray
    pitches: np.ndarray


class Listener(nn.Module):
    """Hears clips for all scorers at once, by the front ends of the models."""

    def __init__(self) -> None:
        super().__init__()
        self.constant_q, self.mel = ConstantQ(), LogMel()

    @torch.inference_mode()
    def forward(self, waves: np.ndarray) -> Heard:
        """Clips (n, N), float32 at 16 kHz, N of 2 s or more."""
        audio = torch.from_numpy(np.ascontiguousarray(waves, dtype=np.float32))
        onsets = onset_curve(self.mel(audio).double().numpy())
        chroma = pitch_classes(self.constant_q(audio).double().numpy())
        aligned = _averaged(chroma, ALIGNED)
        return Heard(
            noise=np.stack([_noise(wave) for wave in waves]),
            level=np.array([max(loudness(wave, SAMPLE_RATE), -70.0) for wave in waves]),
            rhythm=autocorrelation(onsets),
            chroma=_centred(chroma.mean(axis=2), axis=1),
            onsets=onsets,
            pitches=_centred(aligned, axis=1).reshape(len(waves), -1),
        )


def onset_curve(mel: np.ndarray) -> np.ndarray:
    """Mean rise of log-mel bands (n, bands, T) from frame to frame, smoothed, less its mean: (n, T)."""
    rise = np.maximum(np.diff(mel, axis=2, prepend=mel[:, :, :1]), 0).mean(axis=1)
    window = np.hanning(SMOOTHING + 2)[1:-1]
    smooth = np.apply_along_axis(np.convolve, 1, rise, window / window.sum(), mode="same")
    return _centred(smooth, axis=1)


def autocorrelation(curve: np.ndarray) -> np.ndarray:
    """Autocorrelation of curves (n, T) at :data:`LAGS`, as far as they reach, over that at lag 0: (n, lags)."""
    length = curve.shape[1]
    power = np.abs(np.fft.rfft(curve, 2 * length)) ** 2  # twice as long, so that the end does not meet the start
    whole = np.fft.irfft(power)[:, :length]
    shortest, longest = (round(lag * FRAME_RATE) for lag in LAGS)
    return _over(whole[:, shortest : longest + 1], whole[:, :1])


def pitch_classes(constant_q: np.ndarray) -> np.ndarray:
    """Chroma (n, 12, F) of constant-Q magnitudes (n, 96, T), from C, every 50 ms.

    Only local maxima over pitch count. A bin's neighbours hear its note too, and would make every chroma smooth.
    """
    averaged = _averaged(constant_q, POOLED)
    around = np.pad(averaged, ((0, 0), (1, 1), (0, 0)))
    peaks = averaged * ((averaged > around[:, :-2]) & (averaged > around[:, 2:]))
    return peaks.reshape(len(peaks), OCTAVES, BINS_PER_OCTAVE, -1).sum(axis=1)


def _averaged(values: np.ndarray, frames: int) -> np.ndarray:
    """Means of so many neighbouring frames (last axis); an incomplete end is left out."""
    whole = values.shape[-1] // frames
    return values[..., : whole * frames].reshape(*values.shape[:-1], whole, frames).mean(axis=-1)


def _noise(wave: np.ndarray) -> np.ndarray:
    seed = int.from_bytes(blake2b(np.ascontiguousarray(wave, np.float32).tobytes(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).normal(size=NOISE)


def _centred(values: np.ndarray, axis: int) -> np.ndarray:
    return values - values.mean(axis=axis, keepdims=True)


def _over(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values over a scale, 0 where the scale is nothing but rounding."""
    heard = scale > 1e-12
    return np.where(heard, values / np.where(heard, scale, 1), 0.0)


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cosines (n, m) of all rows of x (n, d) with all rows of y (m, d); 0 where one is zero."""
    x, y = (_over(v, np.linalg.norm(v, axis=1, keepdims=True)) for v in (x, y))
    return x @ y.T


def standardised(scores: np.ndarray) -> np.ndarray:
    """Scores less their mean, over their standard deviation; zeros if they are all the same."""
    return _over(scores - scores.mean(), np.asarray(scores.std()))


Cue = Callable[[Heard, Heard], np.ndarray]


def by_chance(a: Heard, b: Heard) -> np.ndarray:
    return cosine(a.noise, b.noise)


def same_level(a: Heard, b: Heard) -> np.ndarray:
    return -np.abs(a.level[:, None] - b.level)


def same_rhythm(a: Heard, b: Heard) -> np.ndarray:
    return cosine(a.rhythm, b.rhythm)


def same_chroma(a: Heard, b: Heard) -> np.ndarray:
    return cosine(a.chroma, b.chroma)


def onsets_together(a: Heard, b: Heard) -> np.ndarray:
    return cosine(a.onsets, b.onsets)


def pitches_together(a: Heard, b: Heard) -> np.ndarray:
    return cosine(a.pitches, b.pitches)


@dataclass(frozen=True)
class Shortcut:
    """A scorer: the sum of its cues' similarities, standardised over all pairs where there are several, so that none
    outweighs another. Nothing is tuned.

    Attributes
    ----------
    about : str
        One line.
    cues : tuple of callable (anchors, positives) -> np.ndarray (n, m)
    """

    about: str
    cues: tuple[Cue, ...]

    def scores(self, anchors: Heard, positives: Heard) -> np.ndarray:
        """Scores (n, m) of all anchors (rows) against all positives (columns), float64 and finite."""
        if len(self.cues) == 1:
            return self.cues[0](anchors, positives)
        return sum(standardised(cue(anchors, positives)) for cue in self.cues)


SHORTCUTS = {
    "random": Shortcut("nothing at all", (by_chance,)),
    "loudness": Shortcut("the nearest level (LUFS)", (same_level,)),
    "tempo": Shortcut("the most alike autocorrelation of onsets, whatever the shift", (same_rhythm,)),
    "chroma": Shortcut("the most alike mean chroma, whatever the order", (same_chroma,)),
    "tempo + chroma": Shortcut("both of these", (same_rhythm, same_chroma)),
    "aligned onsets": Shortcut("onsets at the same moments", (onsets_together,)),
    "aligned chroma": Shortcut("the same pitch classes at the same moments", (pitches_together,)),
    "aligned onsets + chroma": Shortcut("both of these", (onsets_together, pitches_together)),
}
"""Every scorer by name; the ``aligned`` ones compare in time."""


def shortcut_scores(
    pairs: Sequence[Pair],
    names: Sequence[str] = tuple(SHORTCUTS),
    batch_size: int = 16,
    advance: Callable[[int], object] | None = None,
) -> dict[str, np.ndarray]:
    """Scores (n, n) of all anchors (rows) against all positives (columns), float64, by each scorer.

    Every clip is read and heard once, for all scorers. The scores are finite, silence included, so that
    :func:`phalar.evaluate.retrieval.summarise` takes them as it takes a model's.

    Parameters
    ----------
    pairs : sequence of Pair
        n of one length, 2 s or more, as :func:`phalar.evaluate.retrieval.fixed_pairs` gives them.
    names : sequence of str
        Keys of :data:`SHORTCUTS`; all by default.
    batch_size : int
        Pairs that are read and heard at once.
    advance : callable, optional
        Told after each batch how many pairs it held (for a progress bar).

    Raises
    ------
    InputError
        For a name that is not a scorer's, or pairs of unequal length or less than 2 s.
    """
    unknown = [name for name in names if name not in SHORTCUTS]
    if unknown:
        raise InputError(f"there is no shortcut {unknown[0]!r}; there are {', '.join(SHORTCUTS)}")
    lengths = {pair.length for pair in pairs}
    if len(lengths) != 1 or min(lengths) < SHORTEST * SAMPLE_RATE:
        raise InputError(
            f"pairs of {sorted(lengths)} samples: shortcuts need pairs, all of one length of at least "
            f"{SHORTEST * SAMPLE_RATE:.0f} samples"
        )
    listener = Listener()
    parts = []
    for start in range(0, len(pairs), batch_size):
        chosen = pairs[start : start + batch_size]
        parts.append(listener(np.concatenate([pair.audio() for pair in chosen])))
        if advance:
            advance(len(chosen))
    heard = {field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Heard)}
    anchors, positives = (Heard(**{name: rows[side::2] for name, rows in heard.items()}) for side in (0, 1))
    return {name: SHORTCUTS[name].scores(anchors, positives) for name in names}
