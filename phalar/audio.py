"""Reading sound and bringing it to what the model hears: mono, 16 kHz, float32.

A *clip* is one recording: a path, or a pair (samples, rate) with samples (N,) or (channels, N). It is checked here,
once, and refused with one sentence that names the value and the remedy.
"""

import os
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from phalar.errors import InputError

SAMPLE_RATE = 16_000  # Hz
SHORTEST = 2.0  # seconds: less has no rhythm to align, and the CQT's longest window is 1 s

Clip = str | os.PathLike | tuple
_PCM = {"int16": (0, 2.0**15), "int32": (0, 2.0**31), "uint8": (128, 2.0**7)}  # zero and full scale of each


def read(path: str | os.PathLike) -> tuple[np.ndarray, int]:
    """Samples (channels, N) float32 and sample rate in Hz of a file that libsndfile can read, or an InputError."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of an audio file (wav, flac, ogg, mp3, aiff)")
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).split(": ", 1)[-1].strip()
        raise InputError(f"{path}: cannot be read as audio ({reason}); convert it to wav, flac, ogg or mp3") from error
    return samples.T, rate


def to_float(samples: Any, name: str = "audio") -> np.ndarray:
    """Samples as float32: integers of 8 (unsigned), 16 and 32 bits are scaled to [-1, 1), floats kept as they are."""
    try:
        array = samples.detach().cpu().numpy() if hasattr(samples, "detach") else np.asarray(samples)
    except (TypeError, ValueError) as error:  # rows of unequal length, bfloat16
        raise InputError(f"{name}: {type(samples).__name__} cannot be used as samples ({error})") from error
    if str(array.dtype) in _PCM:
        zero, scale = _PCM[str(array.dtype)]
        return ((array.astype(float) - zero) / scale).astype(np.float32)
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{name}: samples of type {array.dtype} have no defined full scale; give floats or PCM")
    return array.astype(np.float32)


def mono(samples: Any, rate: int, wanted: int = SAMPLE_RATE, name: str = "audio") -> np.ndarray:
    """One clip of any length as one channel, (N,) float32 at ``wanted`` Hz. ``samples``: an array or tensor (N,) or
    (channels, N), float in [-1, 1] or integer PCM; ``rate``: whole Hz. An InputError for what is none of this."""
    if not isinstance(rate, Real) or not 1_000 <= rate <= 768_000 or rate != int(rate):
        raise InputError(f"{name}: sample rate {rate!r} is not a whole number of hertz from 1000 to 768000")
    array = to_float(samples, name)
    if array.ndim not in (1, 2):
        raise InputError(f"{name}: shape {array.shape} is not (samples,) or (channels, samples)")
    if array.ndim == 2:
        if not 0 < len(array) <= max(32, array.shape[1]):
            raise InputError(f"{name}: shape {array.shape} has no channels, or is (samples, channels); transpose it")
        array = array.mean(axis=0)
    if len(odd := np.flatnonzero(~np.isfinite(array))):
        at = odd[0]
        raise InputError(f"{name}: sample {at} (at {at / rate:.3f} s) is {array[at]}; remove NaN and infinite samples")
    array = array if rate == wanted else soxr.resample(array, int(rate), wanted)
    return np.ascontiguousarray(array, dtype=np.float32)


def mono_16k(samples: Any, rate: int, name: str = "audio") -> np.ndarray:
    """One clip as the model takes it, (N,) float32 at 16 kHz: :func:`mono` that refuses less than 2 seconds, too."""
    found = mono(samples, rate, name=name)
    if (length := np.shape(samples)[-1]) < SHORTEST * rate:
        raise InputError(f"{name}: {length / rate:.2f} s long; at least {SHORTEST:g} s are needed")
    return found


def load(clip: Clip, name: str = "audio") -> np.ndarray:
    """A clip (path, or (samples, rate)) as (N,) float32 mono at 16 kHz."""
    if isinstance(clip, str | os.PathLike):
        return mono_16k(*read(clip), name=str(clip))
    if isinstance(clip, tuple) and len(clip) == 2:
        return mono_16k(clip[0], clip[1], name)
    raise InputError(f"{name}: {type(clip).__name__} is neither a path nor a pair (samples, sample rate)")


def is_silent(samples: Any) -> bool:
    """Whether a clip never leaves -100 dB of full scale, where the front end has nothing to show."""
    return float(abs(samples).max()) < 1e-5
