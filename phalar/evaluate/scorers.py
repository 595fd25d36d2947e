"""Scorers that learn nothing: what a model must beat before its score means that it hears coherence.

Two submixes of one excerpt share a tempo, a key and a level. Would these tell pieces apart, any model would win: so
each is a rule of its own and ranks the same pairs as a model. The ``aligned`` rules compare moment by moment: no
shortcuts, but the honest baseline without learning; the others know nothing of *when*. Book page *Retrieval*.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import blake2b

import librosa
import numpy as np
import torch
from scipy.ndimage import convolve1d
from scipy.signal import detrend
from sklearn.metrics.pairwise import cosine_similarity as cosine

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.corpora.rendering import loudness
from phalar.evaluate import retrieval
from phalar.evaluate.retrieval import SECONDS, Cuts, Scorer, in_batches
from phalar.model.frontend import BINS_PER_OCTAVE, HOP, OCTAVES, ConstantQ
from phalar.model.mel import LogMel

FRAME_RATE = SAMPLE_RATE // HOP  # frames a second
SMOOTHING = 7  # frames, Hann: players who mean to strike together are some 20 ms apart
LAGS = (0.2, 4.0)  # seconds between two onsets: from a fast tremolo's to a slow bar's
POOLED = 5  # frames averaged to one of the chroma: 50 ms
ALIGNED = 4  # of those averaged again where chroma are compared in time: 0.2 s
NOISE = 64  # dimensions of the random vectors

Features = dict[str, np.ndarray]


@torch.inference_mode()
def features(waves: np.ndarray) -> Features:
    """What the rules know of clips (n, N) at 16 kHz, N of 2 s or more; float64, zeros where a clip is silent. ``noise``
    (n, 64): nothing, drawn from a digest of the samples. ``level`` (n, 1): LUFS, at least -70. ``rhythm`` (n, lags):
    autocorrelation of the onset curve. ``chroma`` (n, 12): magnitude of each pitch class over the clip, less their
    mean. ``onsets`` (n, T): the onset curve. ``pitches`` (n, 12 F): chroma of every 0.2 s, likewise."""
    audio = torch.from_numpy(np.ascontiguousarray(waves, dtype=np.float32))
    constant_q, mel = _front_ends()
    onsets = onset_curve(mel(audio).double().numpy())
    chroma = pitch_classes(constant_q(audio).double().numpy())
    return {
        "noise": np.stack([_noise(wave) for wave in audio.numpy()]),
        "level": np.array([[max(loudness(wave, SAMPLE_RATE), -70.0)] for wave in waves]),
        "rhythm": autocorrelation(onsets),
        "chroma": detrend(chroma.mean(axis=2), axis=1, type="constant"),
        "onsets": onsets,
        "pitches": detrend(_averaged(chroma, ALIGNED), axis=1, type="constant").reshape(len(waves), -1),
    }


_front_ends = cache(lambda: (ConstantQ(), LogMel()))


def onset_curve(mel: np.ndarray) -> np.ndarray:
    """Mean rise of log-mel bands (n, bands, T) from frame to frame, smoothed, less its mean: (n, T)."""
    rise = np.maximum(np.diff(mel, axis=2, prepend=mel[:, :, :1]), 0).mean(axis=1)
    window = np.hanning(SMOOTHING + 2)[1:-1]
    return detrend(convolve1d(rise, window / window.sum(), axis=1, mode="constant"), axis=1, type="constant")


def autocorrelation(curve: np.ndarray) -> np.ndarray:
    """Autocorrelation of curves (n, T) at :data:`LAGS`, as far as they reach, over that at lag 0: (n, lags)."""
    shortest, longest = (round(lag * FRAME_RATE) for lag in LAGS)
    whole = librosa.autocorrelate(curve, max_size=longest + 1, axis=1)
    return _over(whole[:, shortest:], whole[:, :1])


def pitch_classes(constant_q: np.ndarray) -> np.ndarray:
    """Chroma (n, 12, F) of constant-Q magnitudes (n, 96, T), from C, every 50 ms, of local maxima over pitch alone."""
    averaged = _averaged(constant_q, POOLED)
    around = np.pad(averaged, ((0, 0), (1, 1), (0, 0)))
    peaks = averaged * ((averaged > around[:, :-2]) & (averaged > around[:, 2:]))
    return peaks.reshape(len(peaks), OCTAVES, BINS_PER_OCTAVE, -1).sum(axis=1)


def _averaged(values: np.ndarray, frames: int) -> np.ndarray:
    """Means of so many neighbouring frames (last axis); an incomplete end is left out."""
    whole = values[..., : values.shape[-1] // frames * frames]
    return whole.reshape(*values.shape[:-1], -1, frames).mean(axis=-1)


def _noise(wave: np.ndarray) -> np.ndarray:
    seed = int.from_bytes(blake2b(wave.tobytes(), digest_size=8).digest(), "big")
    return np.random.default_rng(seed).normal(size=NOISE)


def _over(values: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Values over a scale, 0 where the scale is nothing but rounding."""
    sounds = scale > 1e-12
    return np.where(sounds, values / np.where(sounds, scale, 1), 0.0)


RULES = {
    "random": ("noise",),
    "loudness": ("level",),
    "tempo": ("rhythm",),
    "chroma": ("chroma",),
    "tempo + chroma": ("rhythm", "chroma"),
    "aligned onsets": ("onsets",),
    "aligned chroma": ("pitches",),
    "aligned onsets + chroma": ("onsets", "pitches"),
}
"""Every rule by name, and the features whose likeness it adds up; nothing is tuned."""


def compare(rule: str, mixes: Features, stems: Features) -> np.ndarray:
    """How well each stem (m) fits each mix (n) by a rule: (n, m), finite for silence too. Where a rule has several
    features, each one's likeness is standardised over all pairs, so that none outweighs another."""
    found = [-np.abs(mixes[n] - stems[n].T) if n == "level" else cosine(mixes[n], stems[n]) for n in RULES[rule]]
    return found[0] if len(found) == 1 else sum(_over(each - each.mean(), np.asarray(each.std())) for each in found)


def by_rules() -> Scorer:
    """All rules as one scorer for ``retrieval.evaluate``: features of every clip are made once, for all of them."""

    def scores(cuts: Cuts) -> dict[str, np.ndarray]:
        parts = [features(np.concatenate([waves for _, waves in part])) for part in in_batches(cuts)]
        known = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        mixes, stems = ({name: rows[side::2] for name, rows in known.items()} for side in (0, 1))
        return {name: compare(name, mixes, stems) for name in RULES}

    return scores


def evaluate(
    corpus: str, draws: int, ks: Sequence[int] = (), *, limit: int = 0, seconds: float = SECONDS, progress: bool = True
) -> dict[str, np.ndarray]:
    """Scores (draws, n, n) of every rule on a corpus' test pairs, the same as the models', found or made."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    used = ("model/frontend.py", "model/mel.py", "corpora/rendering.py", "evaluate/scorers.py")
    key, label = [corpora.version(corpus), fingerprint.of_code(*used)], f"rules on {corpus}" if progress else ""
    return retrieval.evaluate(by_rules(), tracks, draws, ks=ks, seconds=seconds, key=key, label=label)
