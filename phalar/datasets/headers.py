"""What an audio file says of itself, and whether to believe it.

Lengths come from headers, and headers lie: a download cut short keeps its old one. So a header counts only if the file
can hold what it claims and its last frame can be read.
"""

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import soundfile

from phalar import paths
from phalar.errors import RunError

RATES = (1_000, 768_000)
"""Hz: lowest and highest sample rate that is believed."""

LONGEST = 24 * 3600
"""Seconds: no track is longer, so a header that says so is damaged."""

FLAC_LARGEST_BLOCK, FLAC_SMALLEST_FRAME = 65_535, 11
"""Most samples a FLAC frame may hold, and the fewest bytes it may take."""

UNKNOWN_SIZE = 0xFFFFFFFF
"""Written by programs that stream a WAV file and cannot go back to fill in its size; no lie, and read to the end."""

SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}

CACHE_FORMAT = 1
THREADS = 8  # headers wait for the disk, not for the processor
BATCH = 1024
SAVE_EVERY = 30.0  # seconds

# libsndfile mends the size of the sound data where a file is too short for it, and says so in its log.
_MENDED = re.compile(r"^\s*(?:data|Data Size|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


class Header(NamedTuple):
    """Length in frames, sample rate in Hz, and channels of an audio file."""

    frames: int
    rate: int
    channels: int


class DamagedFile(RunError):
    """An audio file that cannot be used: ``path``, and ``what`` is wrong with it."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path}: {what}")
        self.path, self.what = path, what


def read_header(path: Path) -> Header:
    """Header of one file, checked against what the file holds.

    Raises
    ------
    DamagedFile
        If the file is no regular file or no audio, has no frames, an impossible rate, fewer bytes than its header
        claims or far more, or cannot be read to its end. Taught in ``book/datasets.md``.
    """
    size = _stat(path).st_size
    try:
        with soundfile.SoundFile(path) as file:
            header = Header(file.frames, file.samplerate, file.channels)
            _check_claims(path, header, size, file)
            file.seek(header.frames - 1)
            if len(file.read(1, dtype="float32", always_2d=True)) != 1:
                raise DamagedFile(path, f"its header claims {header.frames} frames, but the last cannot be read")
    except DamagedFile:
        raise
    except (RuntimeError, TypeError, ValueError, OSError) as error:
        raise DamagedFile(path, f"cannot be read as audio ({decoder_message(error)})") from error
    return header


def decoder_message(error: Exception) -> str:
    """What libsndfile says, without the path."""
    return (getattr(error, "error_string", "") or str(error)).strip().rstrip(".")


def read_headers(root: Path, files: Iterable[Path]) -> Iterator[tuple[Path, Header | DamagedFile]]:
    """Headers of many files, in their order, each read once ever.

    What was read is kept in the cache folder, one file for each ``root``, and believed as long as a file keeps its size
    and its time of change. Several threads read ahead, since on a cold disk this is all waiting.

    Parameters
    ----------
    root : Path
        Names the cache.
    files : iterable of Path

    Yields
    ------
    (Path, Header or DamagedFile)
        A damaged file is yielded, not raised: others follow.
    """
    kept = _cache_file(root)
    known, saved, fresh = _load(kept), time.monotonic(), False

    def look(path: Path) -> tuple[list, bool]:
        try:
            status = _stat(path)
            stamp = [status.st_size, status.st_mtime_ns]
            if (old := known.get(str(path))) is not None and old[:2] == stamp:
                return old, False
            return [*stamp, *read_header(path)], True
        except DamagedFile as damage:
            return [0, 0, damage.what], False  # not kept: looked at again next time

    files = iter(files)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            while batch := list(islice(files, BATCH)):
                for path, (entry, new) in zip(batch, pool.map(look, batch), strict=True):
                    if new:
                        known[str(path)], fresh = entry, True
                    yield path, DamagedFile(path, entry[2]) if len(entry) == 3 else Header(*entry[2:])
                if fresh and time.monotonic() - saved > SAVE_EVERY:
                    _save(kept, known)
                    saved, fresh = time.monotonic(), False
    finally:
        if fresh:
            _save(kept, known)


def _check_claims(path: Path, header: Header, size: int, file: soundfile.SoundFile) -> None:
    frames, rate, channels = header
    if frames < 1:
        raise DamagedFile(path, "has no sound in it: 0 frames")
    if channels < 1:
        raise DamagedFile(path, f"its header says {channels} channels")
    if not RATES[0] <= rate <= RATES[1]:
        raise DamagedFile(path, f"its header says {rate} Hz, which is outside {RATES[0]} to {RATES[1]} Hz")
    if frames > LONGEST * rate:
        raise DamagedFile(path, f"its header claims {frames / rate / 3600:.1f} hours of sound")
    if file.format == "FLAC" and frames > size / FLAC_SMALLEST_FRAME * FLAC_LARGEST_BLOCK:
        raise DamagedFile(path, f"its header claims {frames} frames, more than its {size} bytes can hold")
    log = file.extra_info
    if (mended := _MENDED.search(log)) and int(mended[1]) != UNKNOWN_SIZE:
        raise DamagedFile(path, f"cut short: its header claims {mended[1]} bytes of sound, it holds {mended[2]}")
    claimed = frames * channels * SAMPLE_BYTES.get(file.subtype, 0)
    # A log that reaches "End" accounts for all other bytes (pictures, loops, ...) as chunks of their own.
    if 0 < claimed < size / 2 and not re.search(r"^End$", log, re.MULTILINE):
        raise DamagedFile(path, f"its header claims {claimed} bytes of sound, but the file has {size}")


def _stat(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # gone, a loop of links, a name no file can have
        raise DamagedFile(path, f"cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise DamagedFile(path, "is no regular file")
    if status.st_size == 0:
        raise DamagedFile(path, "is empty")
    return status


def _cache_file(root: Path) -> Path:
    key = blake2b(os.fsencode(root.resolve()), digest_size=8).hexdigest()
    return paths.cache() / "headers" / f"{key}.json"


def _load(path: Path) -> dict[str, list]:
    try:
        kept = json.loads(path.read_bytes())
        return kept["files"] if kept["format"] == CACHE_FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # only a shortcut: what is not there is read again


def _save(path: Path, files: dict[str, list]) -> None:
    with contextlib.suppress(OSError):  # a cache that cannot be written costs time, nothing else
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
        temporary.write_text(json.dumps({"format": CACHE_FORMAT, "files": files}))
        os.replace(temporary, path)
