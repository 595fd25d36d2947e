"""Audio read where it lies: files of any rate, mono or stereo, as 16 kHz mono stems of equal length.

Lengths come from headers, and headers lie: a download cut short keeps its old one. So a header counts only if the file
can hold what it claims and its last frame can be read. Book page *Real data sets*.
"""

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.datasets.listing import Listing, Problem, SourceTrack
from phalar.datasets.tracks import Track
from phalar.errors import RunError

QUALITY = "HQ"  # of soxr's filter: what folds back stays below -137 dB; "MQ" keeps it below -110 dB and is no faster
LOUDEST = 100.0  # largest sample that is believed, 40 dB above full scale: more would make the rest inaudible
SHORTEST_SHARE = 0.5  # of its track's longest stem: a shorter one is taken for one cut short, and left out
NOTED_GAP = 1.0  # seconds between the shortest and the longest stem from which on it is mentioned
RATES = (1_000, 768_000)  # Hz: lowest and highest sample rate that is believed
LONGEST = 24 * 3600  # seconds: no track is longer, so a header that says so is damaged
FLAC_LARGEST_BLOCK, FLAC_SMALLEST_FRAME = 65_535, 11  # most samples a frame may hold, fewest bytes it may take
UNKNOWN_SIZE = "4294967295"  # written by programs that stream a WAV file; no lie, and read to the end
SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}

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
    """Header of one file, checked against what the file holds. Taught in ``book/datasets.md``.

    Raises DamagedFile if the file is no regular file or no audio, has no frames, an impossible rate, fewer bytes than
    its header claims or far more, or cannot be read to its end.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise DamagedFile(path, "is no regular file")
        if status.st_size == 0:
            raise DamagedFile(path, "is empty")
        with soundfile.SoundFile(path) as file:
            header = Header(file.frames, file.samplerate, file.channels)
            if lie := _lie(header, status.st_size, file):
                raise DamagedFile(path, lie)
            file.seek(header.frames - 1)
            if len(file.read(1, dtype="float32", always_2d=True)) != 1:
                raise DamagedFile(path, f"its header claims {header.frames} frames, but the last cannot be read")
    except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
        raise DamagedFile(path, f"cannot be read as audio ({_said(error)})") from error
    return header


def _lie(header: Header, size: int, file: soundfile.SoundFile) -> str | None:
    """What a header claims that a file of this size cannot hold."""
    frames, rate, channels = header
    if frames < 1 or channels < 1:
        return f"has no sound in it: {frames} frames, {channels} channels"
    if not RATES[0] <= rate <= RATES[1] or frames > LONGEST * rate:
        return f"its header says {rate} Hz and {frames / rate / 3600:.1f} hours, which is not believed"
    if file.format == "FLAC" and frames > size / FLAC_SMALLEST_FRAME * FLAC_LARGEST_BLOCK:
        return f"its header claims {frames} frames, more than its {size} bytes can hold"
    log = file.extra_info
    if (mended := _MENDED.search(log)) and mended[1] != UNKNOWN_SIZE:
        return f"cut short: its header claims {mended[1]} bytes of sound, it holds {mended[2]}"
    claimed = frames * channels * SAMPLE_BYTES.get(file.subtype, 0)
    # A log that reaches "End" accounts for all other bytes (pictures, loops, ...) as chunks of their own.
    if 0 < claimed < size / 2 and not re.search(r"^End$", log, re.MULTILINE):
        return f"its header claims {claimed} bytes of sound, but the file has {size}"
    return None


def _said(error: Exception) -> str:
    """What libsndfile or the system says, without the path."""
    said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return said.strip().rstrip(".")


@dataclass(frozen=True)
class SourceFile:
    """An audio file and its header."""

    path: Path
    header: Header

    @property
    def num_samples(self) -> int:
        """Whole samples at 16 kHz that the file covers."""
        return self.header.frames * SAMPLE_RATE // self.header.rate

    def read(self) -> np.ndarray:
        """The whole file at 16 kHz, channels averaged: (num_samples,) float32.

        Raises DamagedFile if it cannot be decoded, is not as its header said, or has samples that are not finite or
        absurdly loud.
        """
        try:
            samples, rate = soundfile.read(self.path, dtype="float32", always_2d=True)
        except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
            raise DamagedFile(self.path, f"cannot be decoded ({_said(error)})") from error
        if (found := Header(len(samples), rate, samples.shape[1])) != self.header:
            raise DamagedFile(self.path, f"cut short or changed: it holds {found}, its header claims {self.header}")
        if not max(samples.max(), -samples.min()) <= LOUDEST:  # NaN too
            frame, channel = np.argwhere(~(np.abs(samples) <= LOUDEST))[0]
            value = samples[frame, channel]
            raise DamagedFile(self.path, f"holds a sample of {value:g} at {frame / rate:.3f} s; full scale is 1")
        sound = samples[:, 0].copy()
        for channel in range(1, samples.shape[1]):
            sound += samples[:, channel]
        sound /= samples.shape[1]
        if rate != SAMPLE_RATE:
            sound = soxr.resample(sound, rate, SAMPLE_RATE, quality=QUALITY)[: self.num_samples]
        return np.pad(sound, (0, self.num_samples - len(sound)))  # a last sample that soxr rounds away


@dataclass(frozen=True)
class FileAudio:
    """The stems of one track, each the sum of one or more files (see :class:`phalar.datasets.tracks.Audio`).

    Where several files are summed, or a file is mastered to the limit, samples may pass 1 a little.
    """

    stems: tuple[tuple[SourceFile, ...], ...]

    @property
    def num_samples(self) -> int:
        """Length at 16 kHz: that of the shortest file."""
        return min(file.num_samples for stem in self.stems for file in stem)

    def read_stem(self, stem: int) -> np.ndarray:
        """The whole of one stem: (num_samples,) float32."""
        first, *others = self.stems[stem]
        sound = first.read()[: self.num_samples]
        for file in others:
            sound += file.read()[: self.num_samples]
        return sound

    def read(self, start: int, stop: int) -> np.ndarray:
        """As :meth:`phalar.datasets.tracks.Audio.read`: (S, stop - start), float32. Decodes the files to their ends."""
        return np.stack([self.read_stem(stem)[start:stop] for stem in range(len(self.stems))])


class Opened(NamedTuple):
    """What of a track can be used, by the headers of its files, and its audio."""

    track: SourceTrack
    audio: FileAudio


def open_track(track: SourceTrack, pool: ThreadPoolExecutor | None = None) -> tuple[Opened | None, list[Problem]]:
    """Read the headers of a track's files (a pool reads them at once); what can be used, and what is wrong.

    A stem is left out if one of its files is damaged (without it, the sum would be another stem), or if it is shorter
    than half of the track's longest: a track is as long as its shortest stem, and that stem would cost more of it than
    it is worth. A track is left out (None) if fewer than 2 stems are left, or none of a track that has only 1. All that
    is left out is a problem; so is a large difference in length, which is not fatal.
    """
    headers = dict(zip(track.files, (pool.map if pool else map)(_header, track.files), strict=True))
    bad = {file: header.what for file, header in headers.items() if isinstance(header, DamagedFile)}
    seconds = {file: header.frames / header.rate for file, header in headers.items() if file not in bad}
    whole = [stem for stem in track.stems if not bad.keys() & set(stem.files)]
    longest = max((seconds[file] for stem in whole for file in stem.files), default=0.0)
    for file in [file for stem in whole for file in stem.files if seconds[file] < SHORTEST_SHARE * longest]:
        bad[file] = f"only {seconds[file]:.2f} s long where another stem has {longest:.2f} s: left out"
    problems = [Problem(file, what) for file, what in bad.items()]
    kept = [i for i, stem in enumerate(track.stems) if not bad.keys() & set(stem.files)]
    if not enough_stems(len(kept), track):
        return None, [*problems, lost(track, len(kept))]
    usable = track.keep(kept)
    audio = FileAudio(tuple(tuple(SourceFile(file, headers[file]) for file in stem.files) for stem in usable.stems))
    shortest = min(usable.files, key=seconds.get)
    if (gap := longest - seconds[shortest]) > NOTED_GAP:
        problems.append(Problem(shortest, f"ends {gap:.2f} s before the longest stem: the track is cut there", False))
    return Opened(usable, audio), problems


def _header(path: Path) -> Header | DamagedFile:
    try:
        return read_header(path)
    except DamagedFile as damage:
        return damage


def enough_stems(left: int, track: SourceTrack) -> bool:
    """Whether so many stems still make a track: 2 make a pair; a single recording is whole as it is."""
    return left >= min(2, len(track.stems))


def lost(track: SourceTrack, why: int | str) -> Problem:
    """The track as a whole is left out: so many of its stems are usable, or for another reason."""
    why = f"{why} of its {len(track.stems)} stems are usable" if isinstance(why, int) else why
    return Problem(track.stems[0].files[0].parent, f"track {track.id} left out: {why}")


def open_tracks(listing: Listing) -> tuple[list[Track], list[Problem]]:
    """Tracks at 16 kHz that read the data set's own files: slowly, but without a store. And the problems.

    A file that turns out to be damaged after its header raises :class:`DamagedFile`, a RunError, when it is read.
    """
    tracks, problems = [], list(listing.problems)
    with ThreadPoolExecutor(8) as pool:
        for source in listing.tracks:
            opened, found = open_track(source, pool)
            problems += found
            if opened is not None:
                source, audio = opened
                names, length = tuple(stem.name for stem in source.stems), audio.num_samples
                track = Track(source.id, listing.dataset, source.split, names, SAMPLE_RATE, length, audio, source.tags)
                beats = None if source.beats is None else np.array(source.beats, dtype=float).reshape(-1, 2)
                tracks.append(replace(track, beats=beats, chords=source.chords, pitched=source.pitched))
    return tracks, problems
