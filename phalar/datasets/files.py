"""Audio files of any format, rate and number of channels, as mono at 16 kHz.

Lengths come from headers, and headers lie: a download cut short keeps its old one. So a header counts only if the file
can hold what it claims and its last frame can be read. Book page *Real data sets*.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.errors import RunError

LOUDEST = 100.0  # largest sample that is believed, 40 dB above full scale: more would make the rest inaudible
RATES = (1_000, 768_000)  # Hz: lowest and highest sample rate that is believed
LONGEST = 24 * 3600  # seconds: no track is longer, so a header that says so is damaged
UNKNOWN_SIZE = "4294967295"  # written by programs that stream a WAV file; no lie, and read to the end
SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}

# libsndfile mends the size of the sound data where a file is too short for it, and says so in its log.
MENDED = re.compile(r"^\s*(?:data|Data Size|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


class Problem(NamedTuple):
    """Something of a copy that is missing or was not used, and what is the matter with it."""

    path: Path
    what: str


class DamagedFile(RunError):
    """An audio file that cannot be used, as a :class:`Problem`."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path}: {what}")
        self.problem = Problem(path, what)


def read_length(path: Path) -> int:
    """Samples at 16 kHz that a file covers, by its header, checked against the file. DamagedFile if it is no regular
    file or no audio, has no frames, an impossible rate, too few bytes or far too many, or cannot be read to its end."""
    return _read(path, whole=False)[1]


def _read(path: Path, whole: bool) -> tuple[np.ndarray, int, int]:
    """Samples (frames, channels) float32, all or the last frame alone; length of all at 16 kHz; the file's rate."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise DamagedFile(path, "is no regular file")
        with soundfile.SoundFile(os.fsencode(path)) as file:  # a name need not be text
            frames, rate = file.frames, file.samplerate
            if lie := _lie(file, path.stat().st_size):
                raise DamagedFile(path, lie)
            file.seek(0 if whole else frames - 1)
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) != (frames if whole else 1):
                raise DamagedFile(path, f"cut short: its header claims {frames} frames, and the last is missing")
            return samples, frames * SAMPLE_RATE // rate, rate
    except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
        said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise DamagedFile(path, f"cannot be read as audio ({said.strip().rstrip('.')})") from error


def _lie(file: soundfile.SoundFile, size: int) -> str | None:
    """What the header claims that a file of so many bytes cannot hold."""
    frames, rate, log = file.frames, file.samplerate, file.extra_info
    if frames < 1 or not RATES[0] <= rate <= RATES[1] or frames > LONGEST * rate:
        return f"its header says {frames} frames at {rate} Hz, which is not believed"
    if (mended := MENDED.search(log)) and mended[1] != UNKNOWN_SIZE:
        return f"cut short: its header claims {mended[1]} bytes of sound, it holds {mended[2]}"
    claimed = frames * file.channels * SAMPLE_BYTES.get(file.subtype, 0)
    # A log that reaches "End" accounts for all other bytes (pictures, loops, ...) as chunks of their own.
    if 0 < claimed < size / 2 and not re.search(r"^End$", log, re.MULTILINE):
        return f"its header claims {claimed} bytes of sound, but the file has {size}"
    return None


def read_sound(path: Path) -> np.ndarray:
    """The whole file at 16 kHz, channels averaged: float32, as many samples as :func:`read_length` says. DamagedFile if
    it cannot be decoded, or has samples that are not finite or absurdly loud."""
    samples, length, rate = _read(path, whole=True)
    if not max(samples.max(), -samples.min()) <= LOUDEST:  # NaN too
        frame, channel = np.argwhere(~(np.abs(samples) <= LOUDEST))[0]
        what = f"holds a sample of {samples[frame, channel]:g} at {frame / rate:.3f} s; full scale is 1"
        raise DamagedFile(path, what)
    sound = samples[:, 0].copy()
    for channel in range(1, samples.shape[1]):
        sound += samples[:, channel]
    sound /= samples.shape[1]
    if rate != SAMPLE_RATE:
        sound = soxr.resample(sound, rate, SAMPLE_RATE, quality="HQ")[:length]
    return np.pad(sound, (0, length - len(sound)))  # a last sample that soxr rounds away
