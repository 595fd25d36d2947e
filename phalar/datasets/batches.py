"""Batches for training: drawn all at once, without a look at the sound, then read from the disk or from a GPU's memory.

Drawing needs to know how long a track is, how many stems it has and where they sound: a few tables. It is a handful of
array operations for the whole batch, and the same on every machine; where the sound lies is another matter. Book page
*How it is trained*, "A pair".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalar.datasets.store import FULL_SCALE
from phalar.datasets.tracks import BLOCK, Track, sounding
from phalar.errors import InputError, RunError

TRIES = 8  # cuts drawn at once for each pair; the first in which both sides sound is taken
ROUNDS = 25  # of so many tries, before a track is given up


@dataclass(frozen=True)
class Tables:
    """What drawing needs to know of n tracks with at most S stems. ``stems``, ``samples`` (n,) count the stems of each
    track, and its length; ``weights`` (n,) are the chances of the tracks: every data set has the same, whatever its
    size (paper section 4). All blocks of all stems lie on one line, one stem after the other, as long as the music,
    however unequal the tracks are; ``origin`` (n,) is where a track's first stem begins there, and ``edges`` (2 spans +
    1,), rising, where a sounding span begins, where it ends, where the next begins, ..., and a place beyond all others.
    ``pitched`` (n, S) bool: which stems a transposition moves; all, where a track does not say."""

    tracks: tuple[Track, ...]
    stems: np.ndarray
    samples: np.ndarray
    weights: np.ndarray
    origin: np.ndarray
    edges: np.ndarray
    pitched: np.ndarray


@dataclass(frozen=True)
class Cuts:
    """Where the pairs of a batch are cut: number of the track and first sample (B,) int64, which stems are summed to
    the anchor and the positive (B, S) bool, on which pairs both sides have a pitch (B,) bool, ``length`` in samples;
    and how many silent cuts were drawn before these."""

    track: np.ndarray
    start: np.ndarray
    anchor: np.ndarray
    positive: np.ndarray
    pitched: np.ndarray
    length: int
    silent: int

    def __getitem__(self, part: slice) -> "Cuts":
        """Some of the pairs."""
        arrays = (each[part] for each in (self.track, self.start, self.anchor, self.positive, self.pitched))
        return Cuts(*arrays, self.length, self.silent)


def tables(tracks: Sequence[Track]) -> Tables:
    """Measure tracks, each of at least two stems, or an InputError. Audio is read only where silences are not known."""
    if not tracks:
        raise InputError("no tracks to draw from")
    for track in tracks:
        if len(track.stems) < 2:
            raise InputError(f"track {track.id} of {track.dataset} has one stem; a pair needs at least 2")
    count = Counter(track.dataset for track in tracks)
    stems = np.array([len(track.stems) for track in tracks])
    samples = np.array([track.num_samples for track in tracks])
    per_stem = _blocks(samples) + 1  # one more than there are, so that no two spans of different stems touch
    origin = np.cumsum(stems * per_stem) - stems * per_stem
    known = (sounding(track.excerpt()) if track.sounding is None else track.sounding for track in tracks)
    spans = [stem for stems_of_track in known for stem in stems_of_track]
    first = np.cumsum(stems) - stems  # number of a track's first stem among all
    begin = np.repeat(origin, stems) + (np.arange(len(spans)) - np.repeat(first, stems)) * np.repeat(per_stem, stems)
    edges = np.concatenate(spans) + np.repeat(begin, [len(each) for each in spans])[:, None]
    beyond = np.iinfo(np.int64).max
    weights = np.array([1 / count[track.dataset] for track in tracks])
    pitched = np.ones((len(tracks), stems.max()), bool)
    for row, track in zip(pitched, tracks, strict=True):
        row[: len(track.stems)] = True if track.pitched is None else track.pitched
    return Tables(tuple(tracks), stems, samples, weights, origin, np.append(edges.reshape(-1), beyond), pitched)


def of_one(known: Tables, dataset: str) -> Tables:
    """The same tables, of which the tracks of one data set are drawn before all others."""
    there = np.array([track.dataset == dataset for track in known.tracks])
    return replace(known, weights=np.where(there, known.weights, known.weights * 1e-100))


def draw(known: Tables, size: int, length: int, rng: np.random.Generator, pitched: float = 0.0) -> Cuts:
    """B = ``size`` pairs of ``length`` samples, all of different tracks, since two excerpts of one piece are no fair
    negatives of each other. A cut in which one side is silent is drawn again; sides are as in
    :func:`phalar.datasets.tracks.draw_stems`, on the share ``pitched`` of the tries without their drums. A track that
    is shorter is cut at its beginning and padded with zeros when read. InputError if there are fewer tracks than pairs,
    RunError if a track seems to have no two stems that sound in one excerpt. Taught in ``book/training.md``."""
    if size > len(known.tracks):
        raise InputError(f"batch of {size} pairs from {len(known.tracks)} tracks; it needs as many different tracks")
    # Largest of log(weight) + Gumbel noise: a draw without replacement, by weight (Efraimidis and Spirakis 2006).
    keys = np.log(known.weights) + rng.gumbel(size=len(known.weights))
    track = np.argsort(-keys, kind="stable")[:size]
    start, silent, tuned = np.zeros(size, np.int64), 0, np.zeros(size, bool)
    anchor, positive = np.zeros((2, size, known.stems.max()), bool)
    open_pairs = np.arange(size)
    for _ in range(ROUNDS):
        *cut, sounds = _try(known, track[open_pairs], length, rng, pitched)
        found, first = sounds.any(axis=1), np.where(sounds.any(axis=1), sounds.argmax(axis=1), TRIES)
        silent += int(first.sum())
        done, row, column = open_pairs[found], np.flatnonzero(found), first[found]
        start[done], anchor[done], positive[done], tuned[done] = (part[row, column] for part in cut)
        open_pairs = open_pairs[~found]
        if not len(open_pairs):
            return Cuts(track, start, anchor, positive, tuned, length, silent)
    lost, what = known.tracks[track[open_pairs[0]]], f"{ROUNDS * TRIES} excerpts of {length} samples in a row"
    raise RunError(f"track {lost.id} of {lost.dataset}: {what} had a silent side; leave this track out")


def _try(
    known: Tables, track: np.ndarray, length: int, rng: np.random.Generator, pitched: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """TRIES cuts of each track: start (B, TRIES), anchor and positive (B, TRIES, S), whether a stem with a pitch sounds
    on both sides, and whether any does."""
    shape, every = (len(track), TRIES), np.arange(known.stems.max())
    stems, samples = known.stems[track][:, None], known.samples[track][:, None]
    start = (rng.random(shape) * (np.maximum(samples - length, 0) + 1)).astype(np.int64)
    order = rng.random((*shape, len(every)))
    order[np.broadcast_to(every >= stems[..., None], order.shape)] = np.inf
    place = order.argsort(axis=2).argsort(axis=2)
    anchors = 1 + (rng.random(shape) * (stems - 1)).astype(np.int64)
    positives = 1 + (rng.random(shape) * (stems - anchors)).astype(np.int64)
    anchor = place < anchors[..., None]
    positive = ~anchor & (place < (anchors + positives)[..., None])
    tuned = known.pitched[track][:, None]
    if pitched:
        kept = tuned | (rng.random(shape) >= pitched)[..., None]
        anchor, positive = anchor & kept, positive & kept
    # A block counts only if it lies inside the excerpt as a whole; but a track's last block need not be full.
    first = _blocks(start)
    last = np.where(start + length >= samples, _blocks(samples), (start + length) // BLOCK)
    begin = known.origin[track][:, None, None] + every * (_blocks(samples) + 1)[..., None]
    passed = np.searchsorted(known.edges, begin + first[..., None], side="right")
    within = passed % 2 == 1  # more spans have begun than ended
    sounds = (within | (known.edges[passed] < begin + last[..., None])) & (first < last)[..., None]

    def both(heard: np.ndarray) -> np.ndarray:
        return (anchor & heard).any(axis=2) & (positive & heard).any(axis=2)

    return start, anchor, positive, both(sounds & tuned), both(sounds)


def _blocks(samples: np.ndarray) -> np.ndarray:
    """How many blocks so many samples take, the last one perhaps in part."""
    return -(-samples // BLOCK)


class StoredSource:
    """Reads cuts from the tracks' own audio, excerpt by excerpt. ``replace(known, tracks=others)`` reads the same
    places of other tracks of the same shapes."""

    def __init__(self, known: Tables, device: torch.device) -> None:
        self.known, self.device = known, device

    def read(self, cuts: Cuts) -> Tensor:
        """Anchors and positives, (2, B, length) float32 on the device."""
        waves = np.empty((2, len(cuts.track), cuts.length), np.float32)
        for i, track in enumerate(cuts.track):
            chosen = self.known.tracks[track]
            stems = chosen.excerpt(int(cuts.start[i]), cuts.length)
            waves[0, i] = stems[cuts.anchor[i, : len(stems)]].sum(axis=0)
            waves[1, i] = stems[cuts.positive[i, : len(stems)]].sum(axis=0)
        return torch.from_numpy(waves).to(self.device)


class ResidentSource:
    """Holds the audio of all tracks as integers in the device's memory and cuts there: no copy, no loop over pairs."""

    def __init__(self, known: Tables, device: torch.device) -> None:
        stems = int(known.stems.max())
        sizes = known.samples * known.stems
        self.audio = torch.empty(int(sizes.sum()), dtype=torch.int16, device=device)
        begin = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        for track, first, size in zip(known.tracks, begin, sizes, strict=True):
            samples = size // len(track.stems)  # a twin may ring a little longer, or less long
            whole = np.round(track.excerpt(0, int(samples)) * FULL_SCALE).astype(np.int16)
            self.audio[first : first + size] = torch.from_numpy(whole.reshape(-1)).to(device)
        self.device = device
        self.begin = torch.from_numpy(begin[:, None] + known.samples[:, None] * np.arange(stems)).to(device)
        self.samples = torch.from_numpy(known.samples).to(device)

    def read(self, cuts: Cuts) -> Tensor:
        """Anchors and positives, (2, B, length) float32."""
        track, start = (torch.from_numpy(part).to(self.device) for part in (cuts.track, cuts.start))
        sides = torch.from_numpy(np.stack([cuts.anchor, cuts.positive])).to(self.device)  # (2, B, S)
        sample = start[:, None] + torch.arange(cuts.length, device=self.device)  # (B, length)
        inside = sample < self.samples[track][:, None]
        waves = torch.zeros(2, len(track), cuts.length, device=self.device)
        for s in range(sides.shape[2]):
            position = (self.begin[track, s][:, None] + sample).clamp(max=len(self.audio) - 1)
            stem = self.audio[position] * (inside * (1 / FULL_SCALE))
            waves += sides[:, :, s, None] * stem
        return waves
