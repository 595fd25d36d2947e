"""Audio read where it lies: files of any rate, mono or stereo, as 16 kHz mono stems of equal length.

Lengths come from headers, and headers lie: a download cut short keeps its old one. So a header counts only if the file
can hold what it claims and its last frame can be read. Book page *Real data sets*.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import Track
from phalar.errors import RunError

LOUDEST = 100.0  # largest sample that is believed, 40 dB above full scale: more would make the rest inaudible
SHORTEST_SHARE = 0.5  # of its track's longest stem: a shorter one is taken for one cut short, and left out
NOTED_GAP = 1.0  # seconds between the shortest and the longest stem from which on it is mentioned
RATES = (1_000, 768_000)  # Hz: lowest and highest sample rate that is believed
LONGEST = 24 * 3600  # seconds: no track is longer, so a header that says so is damaged
UNKNOWN_SIZE = "4294967295"  # written by programs that stream a WAV file; no lie, and read to the end
SAMPLE_BYTES = {"PCM_S8": 1, "PCM_U8": 1, "PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
NOTE = "note: "  # how a problem begins that does no harm
KNOWN_FAULT = "known fault of the published data: "  # how a problem begins that a perfect copy has too

# libsndfile mends the size of the sound data where a file is too short for it, and says so in its log.
MENDED = re.compile(r"^\s*(?:data|Data Size|SSND)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)


class Problem(NamedTuple):
    """Something that was not used, or departs from the published layout, and what is the matter with it."""

    path: Path
    what: str

    @property
    def serious(self) -> bool:
        """Whether this keeps a copy from being whole."""
        return not self.what.startswith((NOTE, KNOWN_FAULT))


class DamagedFile(RunError):
    """An audio file that cannot be used, as a :class:`Problem`."""

    def __init__(self, path: Path, what: str):
        super().__init__(f"{path}: {what}")
        self.problem = Problem(path, what)


class Listing(NamedTuple):
    """What was found under a root: tracks whose audio is :class:`FileAudio`, not opened yet, in order of their ids, and
    the problems met."""

    dataset: str
    tracks: tuple[Track, ...]
    problems: tuple[Problem, ...]


class Header(NamedTuple):
    """Length of a file in frames, sample rate in Hz, channels."""

    frames: int
    rate: int
    channels: int

    @property
    def num_samples(self) -> int:
        """Whole samples at 16 kHz that the file covers."""
        return self.frames * SAMPLE_RATE // self.rate


def read_header(path: Path) -> Header:
    """Header of a file, checked against what the file holds. Taught in ``book/datasets.md``.

    Raises DamagedFile if the file is no regular file or no audio, has no frames, an impossible rate, fewer bytes than
    its header claims or far more, or cannot be read to its end.
    """
    return _read(path, whole=False)[0]


def _read(path: Path, whole: bool) -> tuple[Header, np.ndarray]:
    """Header and samples (frames, channels) float32: all, or the last frame alone."""
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            raise DamagedFile(path, "is no regular file")
        with soundfile.SoundFile(path) as file:
            header = Header(file.frames, file.samplerate, file.channels)
            if lie := _lie(header, file, path.stat().st_size):
                raise DamagedFile(path, lie)
            file.seek(0 if whole else header.frames - 1)
            samples = file.read(dtype="float32", always_2d=True)
            if len(samples) != (header.frames if whole else 1):
                raise DamagedFile(path, f"cut short: its header claims {header.frames} frames, and the last is missing")
            return header, samples
    except (soundfile.SoundFileError, TypeError, ValueError, OSError) as error:
        said = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise DamagedFile(path, f"cannot be read as audio ({said.strip().rstrip('.')})") from error


def _lie(header: Header, file: soundfile.SoundFile, size: int) -> str | None:
    """What a header claims that a file of so many bytes cannot hold."""
    frames, rate, channels = header
    if frames < 1 or not RATES[0] <= rate <= RATES[1] or frames > LONGEST * rate:
        return f"its header says {frames} frames at {rate} Hz, which is not believed"
    if (mended := MENDED.search(file.extra_info)) and mended[1] != UNKNOWN_SIZE:
        return f"cut short: its header claims {mended[1]} bytes of sound, it holds {mended[2]}"
    claimed = frames * channels * SAMPLE_BYTES.get(file.subtype, 0)
    # A log that reaches "End" accounts for all other bytes (pictures, loops, ...) as chunks of their own.
    if 0 < claimed < size / 2 and not re.search(r"^End$", file.extra_info, re.MULTILINE):
        return f"its header claims {claimed} bytes of sound, but the file has {size}"
    return None


def read_sound(path: Path) -> np.ndarray:
    """The whole file at 16 kHz, channels averaged: (num_samples,) float32.

    Raises DamagedFile if it cannot be decoded, or has samples that are not finite or absurdly loud.
    """
    header, samples = _read(path, whole=True)
    if not max(samples.max(), -samples.min()) <= LOUDEST:  # NaN too
        frame, channel = np.argwhere(~(np.abs(samples) <= LOUDEST))[0]
        at = f"{samples[frame, channel]:g} at {frame / header.rate:.3f} s"
        raise DamagedFile(path, f"holds a sample of {at}; full scale is 1")
    sound = samples[:, 0].copy()
    for channel in range(1, header.channels):
        sound += samples[:, channel]
    sound /= header.channels
    if header.rate != SAMPLE_RATE:
        sound = soxr.resample(sound, header.rate, SAMPLE_RATE, quality="HQ")[: header.num_samples]
    return np.pad(sound, (0, header.num_samples - len(sound)))  # a last sample that soxr rounds away


@dataclass(frozen=True)
class FileAudio:
    """The stems of one track, each the sum of one or more files (see :class:`phalar.datasets.tracks.Audio`).

    Where several files are summed, or a file is mastered to the limit, samples may pass 1 a little.
    """

    stems: tuple[tuple[Path, ...], ...]

    def read_stem(self, stem: int) -> np.ndarray:
        """One stem, as long as the shortest of its files: (samples,) float32."""
        sounds = [read_sound(path) for path in self.stems[stem]]
        length = min(map(len, sounds))
        return sum((sound[:length] for sound in sounds[1:]), sounds[0][:length])

    def read(self, start: int, stop: int) -> np.ndarray:
        """As :meth:`phalar.datasets.tracks.Audio.read`: (S, stop - start), float32. Decodes the files to their ends."""
        return np.stack([self.read_stem(stem)[start:stop] for stem in range(len(self.stems))])


def keep(track: Track, kept: Sequence[int]) -> Track | None:
    """Some stems of a listed track; None if they are too few: 2 make a pair, a single recording is whole as it is. A
    tag that is a list as long as there are stems tells of each, and follows."""
    if len(kept) < min(2, len(track.stems)):
        return None

    def of_kept(value: object) -> object:
        each = isinstance(value, list | tuple) and len(value) == len(track.stems)
        return type(value)(value[i] for i in kept) if each else value

    tags, audio = {key: of_kept(value) for key, value in track.tags.items()}, FileAudio(of_kept(track.audio.stems))
    return replace(track, stems=of_kept(track.stems), audio=audio, tags=tags, pitched=of_kept(track.pitched))


def lost(track: Track, why: int | str) -> Problem:
    """The track as a whole is left out: so many of its stems are usable, or for another reason."""
    why = f"{why} of its {len(track.stems)} stems are usable" if isinstance(why, int) else why
    return Problem(track.audio.stems[0][0].parent, f"track {track.id} left out: {why}")


def open_track(track: Track, each: Callable = map) -> tuple[Track | None, list[Problem]]:
    """Read the headers of a listed track (a pool's ``map`` reads them at once): what of it is usable, with its length,
    and what is wrong.

    A stem is left out if one of its files is damaged (without it, the sum would be another stem), or if it is shorter
    than half of the track's longest: a track is as long as its shortest stem, and that stem would cost more of it than
    it is worth. A track is left out (None) if fewer than 2 stems are left, or none of a track that has only 1.
    """
    paths = [path for stem in track.audio.stems for path in stem]
    headers = dict(zip(paths, each(_header, paths), strict=True))
    bad = {path: found.problem.what for path, found in headers.items() if isinstance(found, DamagedFile)}
    whole = [path for stem in track.audio.stems if not bad.keys() & set(stem) for path in stem]
    seconds = {path: headers[path].frames / headers[path].rate for path in whole}
    longest = max(seconds.values(), default=0.0)
    for path in (path for path in whole if seconds[path] < SHORTEST_SHARE * longest):
        bad[path] = f"only {seconds[path]:.2f} s long where another stem has {longest:.2f} s: left out"
    problems = [Problem(*each) for each in bad.items()]
    kept = [i for i, stem in enumerate(track.audio.stems) if not bad.keys() & set(stem)]
    usable = keep(track, kept)
    if usable is None:
        return None, [*problems, lost(track, len(kept))]
    used = [path for stem in usable.audio.stems for path in stem]
    shortest = min(used, key=seconds.get)
    if (gap := longest - seconds[shortest]) > NOTED_GAP:
        problems.append(Problem(shortest, f"{NOTE}ends {gap:.2f} s before the longest stem: the track is cut there"))
    return replace(usable, num_samples=min(headers[path].num_samples for path in used)), problems


def _header(path: Path) -> Header | DamagedFile:
    try:
        return read_header(path)
    except DamagedFile as damage:
        return damage


def open_tracks(listing: Listing) -> tuple[list[Track], list[Problem]]:
    """Tracks at 16 kHz that read the data set's own files: slowly, but without a store. And the problems.

    A file that turns out to be damaged after its header raises :class:`DamagedFile`, a RunError, when it is read.
    """
    opened = [open_track(track) for track in listing.tracks]
    problems = [problem for _, found in opened for problem in found]
    return [track for track, _ in opened if track is not None], [*listing.problems, *problems]
