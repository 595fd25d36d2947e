"""Move one stem in time against its mix, from its own place to two bars late.

The mix stays; the stem is read from the track that much earlier, so that it comes that much late. What leaves the
excerpt at its end is lost, and what enters at its beginning was played before: a real shift, not a circular one.
`loop` makes the circular case.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from phalar.datasets.tracks import BLOCK, SILENCE, Track
from phalar.errors import InputError
from phalar.model.backbone import TIME_REDUCTION
from phalar.model.frontend import HOP, SAMPLE_RATE

BARS = 2  # how far the stem is moved
SOUNDING = 0.8  # share of tenths of a second in which stem and mix must sound
STEP = TIME_REDUCTION * HOP  # samples between two outputs of the backbone: 32 frames, 0.32 s


@dataclass(frozen=True)
class Excerpt:
    """One stem of a piece against the others.

    Attributes
    ----------
    track : Track
    stem : int
        The stem that is moved; all others are the mix.
    start, length : int
        Samples. The excerpt begins at a downbeat.
    late : np.ndarray, (2 bars + 1,) float64
        Seconds by which the stem is late when it is 0, 1, 2, ... beats late, up to two bars. Beats are as long as they
        are in the two bars before the excerpt.
    """

    track: Track
    stem: int
    start: int
    length: int
    late: np.ndarray

    @property
    def bar(self) -> int:
        """Beats in a bar."""
        return (len(self.late) - 1) // BARS

    @property
    def instrument(self) -> str:
        """What the stem does in the piece (its role), or what plays it where the corpus knows no roles."""
        return (self.track.tags.get("roles") or self.track.stems)[self.stem]

    def mix(self) -> np.ndarray:
        """All stems but the moved one, at their place: (length,) float32."""
        stems = self.track.excerpt(self.start, self.length)
        return np.delete(stems, self.stem, axis=0).sum(axis=0)

    def delayed(self, shifts: np.ndarray) -> np.ndarray:
        """The stem as late as each of the shifts, in samples up to two bars: (J,) to (J, length) float32."""
        furthest = int(max(shifts))
        line = self.track.excerpt(self.start - furthest, self.length + furthest)[self.stem]
        return np.stack([line[furthest - s : furthest - s + self.length] for s in shifts])


def by_steps(excerpt: Excerpt, parts: int = 3) -> np.ndarray:
    """Shifts from 0 to two bars, so many for each of the backbone's steps of 0.32 s: (J,) samples, int64."""
    count = int(excerpt.late[-1] * SAMPLE_RATE * parts / STEP)
    return np.round(np.arange(count + 1) * STEP / parts).astype(np.int64)


def by_beats(excerpt: Excerpt, division: int) -> tuple[np.ndarray, np.ndarray]:
    """Shifts from 0 to two bars, so many for each beat: in beats, (J,), and in samples, (J,) int64."""
    count = len(excerpt.late) - 1
    beats = np.arange(count * division + 1) / division
    seconds = np.interp(beats, np.arange(count + 1), excerpt.late)
    return beats, np.round(seconds * SAMPLE_RATE).astype(np.int64)


def choose(track: Track, seconds: float) -> Excerpt | None:
    """A place in a track where a stem can be moved by two bars, with one of its stems.

    The first of all (downbeat, stem) pairs, in an order that depends on nothing but the track, where stem and mix sound
    for most of the time from two bars before the excerpt to its end.

    Parameters
    ----------
    track : Track
        At 16 kHz, with beats that are numbered in their bars; None comes back where it has none.
    seconds : float
        Length of the excerpt.

    Returns
    -------
    Excerpt or None
        None if there is no such place.
    """
    if track.beats is None or len(track.stems) < 2 or track.sample_rate != SAMPLE_RATE:
        return None
    length = round(seconds * SAMPLE_RATE)
    bars = np.flatnonzero(track.beats[:, 1] == 1)
    if len(bars) <= BARS:
        return None
    loud = _loud(track)
    digest = hashlib.blake2b(f"rotation/{track.dataset}/{track.id}".encode(), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(digest, "big")).permutation((len(bars) - BARS) * len(track.stems))
    for index in order:
        bar, stem = divmod(int(index), len(track.stems))
        times = track.beats[bars[bar] : bars[bar + BARS] + 1, 0]
        start, earliest = round(times[-1] * SAMPLE_RATE), round(times[0] * SAMPLE_RATE)
        if start + length > track.num_samples:
            continue
        heard = loud[:, earliest // BLOCK : (start + length) // BLOCK]
        if min(heard[stem].mean(), np.delete(heard, stem, axis=0).any(axis=0).mean()) >= SOUNDING:
            return Excerpt(track, stem, start, length, times[-1] - times[::-1])
    return None


def choose_all(tracks: Iterable[Track], count: int, seconds: float) -> list[Excerpt]:
    """The first so many tracks that have a place, each with it.

    Raises
    ------
    InputError
        If no track has one.
    """
    found = []
    for track in tracks:
        if len(found) == count:
            break
        excerpt = choose(track, seconds)
        if excerpt is not None:
            found.append(excerpt)
    if not found:
        raise InputError("no track has beats and a stem that sounds long enough to be moved by two bars")
    return found


def loop_length(steps: int) -> int:
    """Samples of a loop that is a whole number of the backbone's steps long: ``steps`` times 5,120."""
    return steps * STEP


def loop(wave: np.ndarray, shifts: Sequence[int]) -> np.ndarray:
    """A wave that repeats for ever, as late as each of the shifts: (N,) to (J, N).

    Nothing enters and nothing leaves: what goes out at the end comes in at the beginning.
    """
    return np.stack([np.roll(wave, int(shift)) for shift in shifts])


def _loud(track: Track) -> np.ndarray:
    """Whether each stem sounds in each whole tenth of a second, (S, blocks)."""
    stems = track.excerpt()
    blocks = stems.shape[1] // BLOCK
    return np.abs(stems[:, : blocks * BLOCK]).reshape(len(stems), blocks, BLOCK).max(axis=2) > SILENCE
