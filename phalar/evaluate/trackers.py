"""Beat trackers to compare with, in one form, and the scores they are compared by (book page *Beats*).

A tracker is a function of a waveform and its sample rate that gives the seconds of its beats. Silence, and a clip too
short to hold a beat, give none.
"""

import importlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import librosa
import mir_eval
import numpy as np

from phalar.audio import is_silent
from phalar.errors import InputError
from phalar.evaluate import madmom_bridge

Tracker = Callable[[np.ndarray, int], np.ndarray]

LIBROSA_RATE = 22_050  # Hz: what librosa's defaults are made for
SHORTEST = 1.0  # seconds: less has no tempo
TRIM = 5.0  # seconds at the start of a piece that MIREX leaves out: a tracker may need some time to settle


def librosa_beats(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """librosa's beat tracker with its defaults: one tempo for the piece, and dynamic programming over onset strength
    (Ellis 2007). Nothing in it is learned.

    Parameters
    ----------
    audio : np.ndarray, (N,) or (channels, N)
        Float in [-1, 1], or integer PCM.
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray, (beats,), float64
        Seconds, ascending, each the time of one of librosa's frames (23 ms apart).
    """
    samples = madmom_bridge.mono(audio, sample_rate, LIBROSA_RATE)
    if len(samples) < SHORTEST * LIBROSA_RATE or is_silent(samples):
        return np.empty(0)
    _, found = librosa.beat.beat_track(y=samples, sr=LIBROSA_RATE, units="time")
    return np.asarray(found, dtype=np.float64)


def beat_this(checkpoint: str | os.PathLike, device: str = "cpu") -> Tracker:
    """Beat This! (Foscarin, Schlüter and Widmer 2024) as a tracker, without a DBN after it.

    Its weights are not part of this project. Checkpoints named ``final`` were not trained on GTZAN.

    Parameters
    ----------
    checkpoint : path
        A checkpoint of the authors', such as ``final0.ckpt``.
    device : str
        Of torch.

    Raises
    ------
    InputError
        If the package ``beat-this`` is not installed, or ``checkpoint`` is no file or no such checkpoint.
    """
    path = Path(checkpoint)
    if not path.is_file():  # the package would take it for a name and try to download it
        raise InputError(f"{path}: no such file; give the path of a Beat This! checkpoint, such as final0.ckpt")
    try:
        inference = importlib.import_module("beat_this.inference")
    except ImportError as error:
        raise InputError(f"Beat This! cannot be imported ({error}); install it with: pip install beat-this") from error
    try:
        model = inference.Audio2Beats(checkpoint_path=str(path), device=device, dbn=False)
    except Exception as error:  # whatever is wrong with the file, torch has many words for it
        raise InputError(f"{path}: not a Beat This! checkpoint ({type(error).__name__}: {error})") from error

    def track(audio: np.ndarray, sample_rate: int) -> np.ndarray:
        samples = madmom_bridge.mono(audio, sample_rate, LIBROSA_RATE)  # 22,050 Hz, as it was trained
        if len(samples) < SHORTEST * LIBROSA_RATE or is_silent(samples):
            return np.empty(0)
        found, _downbeats = model(samples, LIBROSA_RATE)
        return np.asarray(found, dtype=np.float64)

    return track


TRACKERS: Mapping[str, Tracker] = {"librosa": librosa_beats, "madmom": madmom_bridge.beats}
"""Those that need no weights from the user, by name."""


def f_measure(reference: np.ndarray, estimate: np.ndarray, trim: bool = False) -> float:
    """Share of beats found and of beats rightly claimed, as their harmonic mean; right is within 70 ms.

    Parameters
    ----------
    reference, estimate : np.ndarray, (beats,)
        Seconds, ascending.
    trim : bool
        Leave out the first 5 s of both, as ``mir_eval.beat.evaluate`` does and the paper's script does not.

    Returns
    -------
    float
        0 to 1; 0 if either has no beats.
    """
    return float(_scored(mir_eval.beat.f_measure, reference, estimate, trim))


def continuity(reference: np.ndarray, estimate: np.ndarray, trim: bool = True) -> dict[str, float]:
    """Shares of the piece that are tracked without a slip in tempo or phase (17.5 % of a beat), by ``mir_eval``.

    Parameters are those of :func:`f_measure`, but the first 5 s are left out unless told otherwise, as in the paper.

    Returns
    -------
    dict
        ``cmlc``, ``cmlt``: at the annotated metrical level, the longest stretch and all stretches; ``amlc``, ``amlt``:
        at double or half tempo or off the beat, too. 0 to 1; 0 if either has fewer than 2 beats.
    """
    scores = _scored(mir_eval.beat.continuity, reference, estimate, trim)
    return dict(zip(("cmlc", "cmlt", "amlc", "amlt"), map(float, scores), strict=True))


def beat_scores(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """All scores of one piece: ``f1`` on all beats, ``f1_trimmed`` and those of :func:`continuity` after 5 s."""
    return {
        "f1": f_measure(reference, estimate),
        "f1_trimmed": f_measure(reference, estimate, trim=True),
        **continuity(reference, estimate),
    }


def _scored(measure: Callable, reference: np.ndarray, estimate: np.ndarray, trim: bool):
    pair = [_ascending(name, beats) for name, beats in (("reference", reference), ("estimate", estimate))]
    if trim:
        pair = [mir_eval.beat.trim_beats(beats, TRIM) for beats in pair]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are no beats: the score of 0 says so
        return measure(*pair)


def _ascending(name: str, beats: np.ndarray) -> np.ndarray:
    beats = np.asarray(beats, dtype=np.float64)
    if beats.ndim != 1 or not np.isfinite(beats).all() or (np.diff(beats) < 0).any():
        raise InputError(f"{name}: beats of shape {beats.shape} are not seconds in ascending order, (beats,)")
    return beats
