"""Phasors one can see: what the network's features do while a stem is moved in time against its mix.

A delay by s seconds turns component k by exp(-2 pi i k s / P), where P is the period of component 1 (the shift
theorem). But the backbone has one output every 0.32 s, so component k may turn at f = k / P + n / 0.32 s: its own
frequency (n = 0) or an *alias* of it. Delays by a third of a step tell which, for n = -1, 0, 1.

A feature *rotates* if a uniform rotation at one of its frequencies explains at least half of its trajectory's power,
and more of it than standing still does; else it is *magnitude-only* if its angle stays within half a circle; else it
*wanders*. Book notebook *Phasors one can see and hear*.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import BLOCK, SILENCE, Track
from phalar.errors import InputError
from phalar.model import fused
from phalar.model.backbone import TIME_REDUCTION, HarmonicBackbone
from phalar.model.frontend import HOP
from phalar.model.pooling import COMPONENTS, SpectralPooling, shortest_steps
from phalar.model.stem_model import StemModel

BARS = 2  # how far a stem is moved
SOUNDING = 0.8  # share of tenths of a second in which stem and mix must sound
STEP = TIME_REDUCTION * HOP  # samples between two outputs of the backbone: 32 frames, 0.32 s
KINDS = ("rotates", "magnitude-only", "wanders")
ALIASES = (-1, 0, 1)
EXPLAINED, NARROW = 0.5, 0.5  # share of the power that a rotation must explain; of the circle
LEVELS = ("pooled", "embedding")


@dataclass(frozen=True)
class Excerpt:
    """One stem of a piece against the others, the mix. ``start`` (a downbeat) and ``length`` are samples; ``late``
    (2 bars + 1,) has the seconds of 0, 1, 2, ... beats, up to two bars, by the beats before the excerpt."""

    track: Track
    stem: int
    start: int
    length: int
    late: np.ndarray

    @property
    def bar(self) -> int:
        """Beats in a bar."""
        return (len(self.late) - 1) // BARS

    def mix(self) -> np.ndarray:
        """All stems but the moved one, at their place: (length,) float32."""
        return np.delete(self.track.excerpt(self.start, self.length), self.stem, axis=0).sum(axis=0)

    def delayed(self, shifts: np.ndarray) -> np.ndarray:
        """The stem as late as each of the shifts (J,), in samples up to two bars: (J, length) float32. What was played
        before enters at the beginning: a real shift, not a circular one."""
        return np.stack([self.track.excerpt(self.start - int(s), self.length)[self.stem] for s in shifts])

    def by_steps(self, parts: int = 3) -> np.ndarray:
        """Shifts from 0 to two bars, so many for each of the backbone's steps: (J,) samples, int64."""
        count = int(self.late[-1] * SAMPLE_RATE * parts / STEP)
        return np.round(np.arange(count + 1) * STEP / parts).astype(np.int64)

    def by_beats(self, division: int) -> tuple[np.ndarray, np.ndarray]:
        """Shifts from 0 to two bars, so many for each beat: in beats, (J,), and in samples, (J,) int64."""
        beats = np.arange((len(self.late) - 1) * division + 1) / division
        return beats, np.round(np.interp(beats, np.arange(len(self.late)), self.late) * SAMPLE_RATE).astype(np.int64)


def choose(track: Track, seconds: float) -> Excerpt | None:
    """The first of a track's (downbeat, stem) pairs, in an order drawn by its name, where stem and mix sound for most
    of the time from two bars before the excerpt to its end; None where there is none, or no beats."""
    if track.beats is None or len(track.stems) < 2:
        return None
    length, bars = round(seconds * SAMPLE_RATE), np.flatnonzero(track.beats[:, 1] == 1)
    blocks = np.arange(0, track.num_samples, BLOCK)
    loud = np.maximum.reduceat(np.abs(track.excerpt()), blocks, axis=1) > SILENCE  # (stems, tenths of a second)
    digest = blake2b(f"rotation/{track.dataset}/{track.id}".encode(), digest_size=8).digest()
    rng, places = np.random.default_rng(int.from_bytes(digest, "big")), max(0, len(bars) - BARS) * len(track.stems)
    for bar, stem in (divmod(int(place), len(track.stems)) for place in rng.permutation(places)):
        times = track.beats[bars[bar] : bars[bar + BARS] + 1, 0]
        start, earliest = round(times[-1] * SAMPLE_RATE), round(times[0] * SAMPLE_RATE)
        if start + length <= track.num_samples:
            here = loud[:, earliest // BLOCK : (start + length) // BLOCK]
            if min(here[stem].mean(), np.delete(here, stem, axis=0).any(axis=0).mean()) >= SOUNDING:
                return Excerpt(track, stem, start, length, times[-1] - times[::-1])
    return None


def choose_all(tracks: Iterable[Track], count: int, seconds: float) -> list[Excerpt]:
    """The first so many tracks that have a place, each with it; an InputError if no track has one."""
    if found := list(islice(filter(None, (choose(track, seconds) for track in tracks)), count)):
        return found
    raise InputError("no track has beats and a stem that sounds long enough to be moved by two bars")


class Trace(NamedTuple):
    """What a network makes of J sounds, complex64: (J, D, C) and (J, 512)."""

    pooled: Tensor
    embedding: Tensor


@torch.inference_mode()
def trace(model: StemModel, waves: np.ndarray) -> Trace:
    """Waves (J, N) at 16 kHz through a network. An InputError if it keeps no phases."""
    kept = isinstance(model.backbone, HarmonicBackbone) and isinstance(model.pooling, SpectralPooling)
    if not (kept and model.variant.is_complex):
        raise InputError(f"variant {model.variant.name!r} keeps no phases: take one that does, such as phalar")
    batches = torch.from_numpy(np.ascontiguousarray(waves, dtype=np.float32)).to(model.device).split(16)
    pooled = torch.cat([model.pooling(model.backbone(model.picture(batch))) for batch in batches])
    return Trace(pooled.unflatten(1, (model.pooling.channels, -1)).cpu(), model.head(pooled).cpu())


def period(length: int, components: int = COMPONENTS) -> int:
    """Samples in which component 1 turns once: the excerpt's steps, padded where there are too few."""
    return max(-(-(1 + length // HOP) // TIME_REDUCTION), shortest_steps(components)) * STEP


def winding(z: np.ndarray) -> np.ndarray:
    """Signed turns about the origin of trajectories (J, ...), each step the shorter way round; negative for a delay."""
    return np.angle(z[1:] * z[:-1].conj()).sum(axis=0) / (2 * np.pi)


def steadiness(z: np.ndarray, seconds: np.ndarray, frequency: float) -> np.ndarray:
    """R² of z(s) = a exp(-2 pi i f s) about the origin with the best complex a, (J, ...) to (...): with power
    P = sum |z|² the least-squares residual is P - |sum z exp(2 pi i f s)|² / J. A frequency of 0 Hz stands still."""
    along = np.abs(np.tensordot(np.exp(2j * np.pi * frequency * seconds), z, axes=1)) ** 2 / len(z)
    return along / np.maximum((np.abs(z) ** 2).sum(axis=0), 1e-24)


def motion(z: np.ndarray, seconds: np.ndarray, length: int) -> dict[str, np.ndarray]:
    """Measure trajectories z, pooled (J, D, C) or embeddings (J, features), at shifts (J,) of an excerpt of so many
    samples, and sort them by the rule. A feature of an embedding has the component k that explains it best. Arrays of
    the features' shape: ``winding``; ``arc``; ``spread``, the standard deviation of the radius over its mean; ``own``,
    R² of a uniform rotation at the component's own frequency, 0..1; ``best``, the same at whichever of its frequencies
    explains most; ``kind``, the index into `KINDS`; ``strict``, whether it rotates without aliases."""
    z = np.asarray(z).astype(np.complex128)
    k = np.arange(1, (z.shape[2] if z.ndim == 3 else COMPONENTS) + 1)
    speeds = k[:, None] * SAMPLE_RATE / period(length) + np.array(ALIASES) * SAMPLE_RATE / STEP  # Hz
    table = np.stack([[steadiness(z, seconds, f) for f in row] for row in speeds])  # (k, n, features)
    if z.ndim == 3:  # a pooled feature's component is its own
        table[~np.broadcast_to(np.eye(len(k), dtype=bool)[:, None, None], table.shape)] = 0
    still, unaliased = steadiness(z, seconds, 0.0), table[:, ALIASES.index(0)]
    component, best, radius = table.max(axis=1).argmax(axis=0), table.max(axis=(0, 1)), np.abs(z)
    # Share of the circle that the angle passes through.
    covered = np.minimum(1.0, np.ptp(np.unwrap(np.angle(z), axis=0), axis=0) / (2 * np.pi))
    return {
        "winding": winding(z),
        "arc": covered,
        "spread": radius.std(axis=0) / np.maximum(radius.mean(axis=0), 1e-12),
        "own": np.take_along_axis(unaliased, component[None], axis=0)[0],
        "best": best,
        "kind": np.where((best >= EXPLAINED) & (best > still), 0, np.where(covered < NARROW, 1, 2)),
        "strict": (unaliased.max(axis=0) >= EXPLAINED) & (unaliased.max(axis=0) > still),
    }


def smooth_null(z: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Trajectories (J, ...) as smooth as those given, about the same means, that prefer no direction: the power of the
    spectrum over the shifts, the mean of both directions, with random phases. Course: *Is it the phase?*"""
    spectrum = np.fft.fft(z, axis=0)
    power = np.abs(spectrum) ** 2
    both = (power + np.roll(power[::-1], 1, axis=0)) / 2
    made = np.sqrt(both) * np.exp(2j * np.pi * rng.random(z.shape))
    made[0] = spectrum[0]
    return np.fft.ifft(made, axis=0)


@torch.inference_mode()
def turned(model: StemModel, pooled: Tensor, shifts: np.ndarray, length: int) -> Trace:
    """The analytic twin: what the shift theorem says of a sound of so many samples, with pooled components (D, C), when
    it comes later by each of the shifts (J,) in samples."""
    k = torch.arange(1, pooled.shape[-1] + 1)
    late = torch.as_tensor(np.asarray(shifts) / period(length, pooled.shape[-1]))
    z = pooled.cpu() * torch.exp(-2j * torch.pi * late[:, None] * k).to(torch.complex64)[:, None]
    return Trace(z, model.head(z.flatten(1).to(model.device)).cpu())


def explained(truth: Tensor, predicted: Tensor) -> np.ndarray:
    """Share of the power of (J, ...) that a prediction explains, at each shift: 1 - |z - ẑ|² / |z|², (J,)."""
    truth, predicted = (z.flatten(1).to(torch.complex128) for z in (truth, predicted))
    power, missed = (z.abs().square().sum(dim=1) for z in (truth, truth - predicted))
    return (1 - missed / power.clamp(min=1e-24)).numpy()


def measure(model: StemModel, excerpt: Excerpt) -> dict[str, np.ndarray]:
    """Move the stem by thirds of a step up to two bars, and follow every feature. ``"pooled kind"``, ``"embedding
    arc"``, ... are what :func:`motion` finds; ``"pooled null kind"``, ... what it finds in trajectories that are as
    smooth by chance (:func:`smooth_null`); ``"whole"`` and ``"all"`` linearity R², what the twin explains of the
    embeddings over shifts by whole steps and over all but 0."""
    shifts = excerpt.by_steps()
    seen, seconds = trace(model, excerpt.delayed(shifts)), shifts / SAMPLE_RATE
    twin = turned(model, seen.pooled[0], shifts, excerpt.length)
    found, rng = {}, np.random.default_rng(excerpt.start)
    for level, z in zip(LEVELS, seen, strict=True):
        for what, ways in (("", z.numpy()), ("null ", smooth_null(z.numpy(), rng))):
            moves = motion(ways, seconds, excerpt.length)
            found |= {f"{level} {what}{name}": values.astype(np.float32) for name, values in moves.items()}
    for name, chosen in (("whole", slice(3, None, 3)), ("all", slice(1, None))):
        found[name] = explained(*(each.embedding[chosen].flatten()[None] for each in (seen, twin)))[0]
    return found


def find_or_measure(model: StemModel, excerpts: Sequence[Excerpt], label: str) -> list[dict[str, np.ndarray]]:
    """:func:`measure` for each excerpt; what was measured before is found in the cache."""
    fused.keep_freed()
    key, found = [fingerprint.of_weights(model), fingerprint.of_code("model", "evaluate/rotation.py")], []
    for one in tqdm(excerpts, desc=f"turn {label}", unit="excerpt", disable=not label, mininterval=2.0):
        place = [*key, corpora.version(one.track.dataset), one.track.id, one.stem, one.start, one.length]
        found.append(fingerprint.cached("rotation", place, lambda one=one: measure(model, one)))
    return found


def scores(model: StemModel, excerpt: Excerpt, shifts: np.ndarray) -> np.ndarray:
    """Symmetrised scores of the mix with the stem at each shift: (J,) samples to (J,) float64."""
    sides = (model.embed(waves, SAMPLE_RATE) for waves in (excerpt.mix(), excerpt.delayed(shifts)))
    return model.similarity(*sides)[0].double().cpu().numpy()
