"""Multitracks read where they lie: files of any rate, mono or stereo, heard as 16 kHz mono stems of equal length.

A store (:mod:`phalar.datasets.store`) gives the same audio hundreds of times faster; this is what it is made from, and
how a data set can be looked at without making one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
import soxr

from phalar.datasets.headers import DamagedFile, Header, decoder_message, read_headers
from phalar.datasets.sources import Listing, Problem, SourceStem, SourceTrack
from phalar.datasets.store import SAMPLE_RATE
from phalar.datasets.tracks import Track

QUALITY = "HQ"
"""Of soxr's filter. From 44.1 kHz it passes 7 kHz and less unchanged and keeps what folds back below -137 dB; "MQ"
keeps it below -110 dB and is no faster."""

FILTER_REACH = 320
"""Samples of the lower of the two rates within which the filter's response has faded to -120 dB, with room to spare."""

BLOCK = 1 << 16
"""Frames decoded at a time, few enough to stay in the processor's cache."""

LOUDEST = 100.0
"""Largest sample that is believed, 40 dB above full scale: more is damage, and would make the rest inaudible."""

SHORTEST_SHARE = 0.5
"""A stem shorter than this share of its track's longest is taken for one cut short, and left out; see
:func:`select_stems`."""

NOTED_GAP = 1.0
"""Seconds between the shortest and the longest stem from which on it is mentioned."""

Headers = Mapping[Path, Header | DamagedFile]


@dataclass(frozen=True)
class SourceFile:
    """An audio file and its header."""

    path: Path
    header: Header

    @property
    def num_samples(self) -> int:
        """Whole samples at 16 kHz that the file covers."""
        return self.header.frames * SAMPLE_RATE // self.header.rate

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples ``start`` to ``stop`` of the file as resampled to 16 kHz, channels averaged: (stop - start,) float32.

        Only the part asked for is decoded and resampled, with as much on either side as the filter reaches, from a
        frame on that falls on a sample at 16 kHz: so it is the same part of the whole file resampled, within 1e-4.

        Raises
        ------
        DamagedFile
            If the file cannot be decoded, ends too early, or has samples that are not finite or absurdly loud.
        """
        frames, rate, _ = self.header
        if rate == SAMPLE_RATE:
            return self._decode(start, stop)
        common = gcd(rate, SAMPLE_RATE)
        source_step, step = rate // common, SAMPLE_RATE // common  # so many frames last as long as so many samples
        reach = FILTER_REACH * SAMPLE_RATE // min(rate, SAMPLE_RATE)
        periods = max(0, start - reach) // step
        last = min(frames, -(-(stop + reach) * rate // SAMPLE_RATE))
        skipped = start - periods * step
        part = soxr.resample(self._decode(periods * source_step, last), rate, SAMPLE_RATE, quality=QUALITY)
        part = part[skipped : skipped + stop - start]
        return np.pad(part, (0, stop - start - len(part)))  # a last sample that soxr rounds away

    def _decode(self, start: int, stop: int) -> np.ndarray:
        """Frames ``start`` to ``stop`` at the file's own rate, channels averaged."""
        mono = np.empty(stop - start, np.float32)
        block = np.empty((min(BLOCK, stop - start), self.header.channels), np.float32)
        done = 0
        try:
            with soundfile.SoundFile(self.path) as file:
                if (file.samplerate, file.channels) != self.header[1:]:
                    raise DamagedFile(self.path, "has changed since its header was read: run the command again")
                file.seek(start)
                while done < len(mono):
                    decoded = file.read(out=block[: len(mono) - done])
                    if not len(decoded):
                        break  # past the end soundfile returns nothing, and no error
                    part = mono[done : done + len(decoded)]
                    part[:] = decoded[:, 0]
                    for channel in range(1, self.header.channels):
                        part += decoded[:, channel]
                    part /= self.header.channels
                    self._check_samples(part, start + done)
                    done += len(decoded)
        except DamagedFile:
            raise
        except (RuntimeError, TypeError, ValueError, OSError) as error:
            at = (start + done) / self.header.rate
            raise DamagedFile(self.path, f"cannot be decoded after {at:.2f} s ({decoder_message(error)})") from error
        if done < len(mono):
            raise DamagedFile(
                self.path,
                f"ends after {(start + done) / self.header.rate:.2f} s, though its header claims "
                f"{self.header.frames / self.header.rate:.2f} s",
            )
        return mono

    def _check_samples(self, samples: np.ndarray, position: int) -> None:
        if max(samples.max(), -samples.min()) <= LOUDEST:  # false also where a sample is NaN
            return
        bad = int(np.argmax(~(np.abs(samples) <= LOUDEST)))
        at = (position + bad) / self.header.rate
        raise DamagedFile(self.path, f"holds a sample of {samples[bad]:g} at {at:.3f} s, where full scale is 1")


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

    def read(self, start: int, stop: int) -> np.ndarray:
        """As :meth:`phalar.datasets.tracks.Audio.read`: (S, stop - start), float32."""
        return np.stack([read_stem(stem, start, stop) for stem in self.stems])


def read_stem(files: Iterable[SourceFile], start: int, stop: int) -> np.ndarray:
    """Samples ``start`` to ``stop`` at 16 kHz of one stem, the sum of its files: (stop - start,) float32."""
    first, *others = files
    sound = first.read(start, stop)
    for file in others:
        sound += file.read(start, stop)
    return sound


def select_stems(track: SourceTrack, headers: Headers) -> tuple[SourceTrack | None, list[Problem]]:
    """What of a track can be used, by the headers of its files, and what is wrong with the rest.

    A stem is left out if one of its files is damaged (without it, the sum would be another stem), or if it is shorter
    than half of the track's longest: a track is as long as its shortest stem, and that stem would cost more of it than
    it is worth. A track is left out if fewer than 2 stems are left, or none of a track that has only 1.

    Parameters
    ----------
    track : SourceTrack
    headers : mapping of Path to Header or DamagedFile
        Of all files of the track.

    Returns
    -------
    track : SourceTrack or None
        With the stems that can be used.
    problems : list of Problem
        ``fatal`` but for stems of unequal length. Taught in ``book/datasets.md``.
    """
    damage = [headers[file] for stem in track.stems for file in stem.files if isinstance(headers[file], DamagedFile)]
    problems = [Problem(damaged.path, damaged.what) for damaged in damage]
    stems = [s for s in track.stems if not any(isinstance(headers[file], DamagedFile) for file in s.files)]
    seconds = {file: headers[file].frames / headers[file].rate for stem in stems for file in stem.files}
    longest = max(seconds.values(), default=0.0)
    for file, length in seconds.items():
        if length < SHORTEST_SHARE * longest:
            problems.append(Problem(file, f"only {length:.2f} s long where another stem has {longest:.2f} s: left out"))
    stems = [s for s in stems if all(seconds[file] >= SHORTEST_SHARE * longest for file in s.files)]
    remaining = {seconds[file]: file for stem in stems for file in stem.files}
    if not enough_stems(len(stems), track):
        return None, [*problems, too_few(track, len(stems))]
    if (gap := longest - min(remaining)) > NOTED_GAP:
        shortest = remaining[min(remaining)]
        problems.append(Problem(shortest, f"ends {gap:.2f} s before the longest stem: the track is cut there", False))
    return keep_stems(track, [track.stems.index(stem) for stem in stems]), problems


def keep_stems(track: SourceTrack, kept: Sequence[int]) -> SourceTrack:
    """A track with some of its stems. A tag that is a list as long as there are stems tells of each, and follows."""
    tags = {
        key: [value[i] for i in kept] if isinstance(value, list) and len(value) == len(track.stems) else value
        for key, value in track.tags.items()
    }
    return replace(track, stems=tuple(track.stems[i] for i in kept), tags=tags)


def enough_stems(left: int, track: SourceTrack) -> bool:
    """Whether so many stems still make a track: 2 make a pair; a single recording is whole as it is."""
    return left >= min(2, len(track.stems))


def too_few(track: SourceTrack, left: int) -> Problem:
    """The track as a whole is lost with its stems."""
    return Problem(
        track.stems[0].files[0].parent, f"track {track.id} left out: {left} of its {len(track.stems)} stems are usable"
    )


def with_headers(stems: Iterable[SourceStem], headers: Headers) -> FileAudio:
    """The audio of stems whose headers are all good."""
    return FileAudio(tuple(tuple(SourceFile(file, headers[file]) for file in stem.files) for stem in stems))


def open_listing(root: Path, listing: Listing) -> tuple[list[Track], list[Problem]]:
    """Tracks that read the data set's own files, as a store's would: slowly, but without making one.

    Parameters
    ----------
    root : Path
        Where the data set lies.
    listing : Listing
        What was found there.

    Returns
    -------
    tracks : list of Track
        At 16 kHz, in the listing's order.
    problems : list of Problem
        The listing's, and files whose headers are damaged. A file that turns out to be damaged further on raises
        :class:`~phalar.datasets.headers.DamagedFile`, a RunError, when it is read.
    """
    headers = dict(read_headers(root, all_files(listing.tracks)))
    tracks, problems = [], list(listing.problems)
    for source in listing.tracks:
        usable, found = select_stems(source, headers)
        problems += found
        if usable is None:
            continue
        audio = with_headers(usable.stems, headers)
        tracks.append(
            Track(
                id=source.id,
                dataset=listing.dataset,
                split=source.split,
                stems=tuple(stem.name for stem in usable.stems),
                sample_rate=SAMPLE_RATE,
                num_samples=audio.num_samples,
                audio=audio,
                tags=dict(source.tags),
                beats=None if source.beats is None else np.array(source.beats, dtype=float).reshape(-1, 2),
                chords=source.chords,
            )
        )
    return tracks, problems


def all_files(tracks: Iterable[SourceTrack]) -> list[Path]:
    """Every audio file, once, in order."""
    return list(dict.fromkeys(file for track in tracks for stem in track.stems for file in stem.files))
