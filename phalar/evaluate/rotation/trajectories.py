"""Each feature's way through the complex plane while the stem is moved, and whether that way is a rotation.

A delay by s seconds turns component k by exp(-2 pi i k s / P), where P is the period of component 1. But the backbone
answers only every 0.32 s, and a slow watcher mistakes a fast wheel: a rhythm that turns k + n T times in T steps looks
like one of k turns. So component k may turn at f = k / P + n / 0.32 s, its own frequency (n = 0) or an alias of it, and
whole steps cannot tell which. Shifts by a third of a step can, for n = -1, 0, 1.

The rule that sorts features:

* a feature *rotates* if a uniform rotation at one of its frequencies explains at least half of its trajectory's power,
  and more of it than standing still does;
* else it is *magnitude-only* if its angle stays within half a circle: only its length can say anything then;
* else it *wanders*.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalar.errors import InputError
from phalar.evaluate.rotation.shifting import STEP
from phalar.evaluate.rotation.twin import period, wrapped_picture
from phalar.model.frontend import SAMPLE_RATE
from phalar.model.pooling import COMPONENTS
from phalar.model.stem_model import StemModel

KINDS = ("rotates", "magnitude-only", "wanders")
ALIASES = (-1, 0, 1)
EXPLAINED = 0.5  # share of a trajectory's power that a uniform rotation must explain
NARROW = 0.5  # of the circle


@dataclass(frozen=True)
class Trace:
    """What a network makes of J sounds.

    pooled : Tensor (J, D, C) complex64
    embedding : Tensor (J, 512) complex64
    """

    pooled: Tensor
    embedding: Tensor


@dataclass(frozen=True)
class Motion:
    """What features do on one excerpt; every array has the features' shape.

    winding : signed turns about the origin; a delay turns clockwise, which is negative
    arc : share of the circle that the angle covers, 0..1
    spread : standard deviation of the radius over its mean
    own : R² of a uniform rotation at the component's own frequency, 0..1
    best : the same at whichever of its frequencies explains most
    component : k of that frequency, from 1
    alias : n of that frequency
    kind : index into `KINDS`
    """

    winding: np.ndarray
    arc: np.ndarray
    spread: np.ndarray
    own: np.ndarray
    best: np.ndarray
    component: np.ndarray
    alias: np.ndarray
    kind: np.ndarray


@torch.inference_mode()
def trace(model: StemModel, waves: np.ndarray, batch_size: int = 16) -> Trace:
    """Pooled components and embeddings of waves (J, N) at 16 kHz.

    Raises
    ------
    InputError
        If the model keeps no phases: then there is nothing to follow.
    """
    if not (model.variant.is_complex and model.variant.pooling == "spectral"):
        raise InputError(f"variant {model.variant.name!r} keeps no phases; give one with spectral pooling and a "
                         "complex head, such as phalar")  # fmt: skip
    pooled, embedding = [], []
    for batch in torch.from_numpy(np.ascontiguousarray(waves, dtype=np.float32)).split(batch_size):
        z = model.pooling(model.backbone(model.picture(batch.to(model.device))))
        pooled.append(z.unflatten(1, (model.pooling.channels, -1)).cpu())
        embedding.append(model.head(z).cpu())
    return Trace(torch.cat(pooled), torch.cat(embedding))


def trace_wrapped(model: StemModel, loops: np.ndarray) -> Trace:
    """The same for loops (J, N) through a model made by `wrapped`, one at a time: it is slow."""
    pooled, embedding = [], []
    with torch.inference_mode():
        for one in loops:
            z = model.pooling(model.backbone(wrapped_picture(model, one[None])))
            pooled.append(z.unflatten(1, (model.pooling.channels, -1)).cpu())
            embedding.append(model.head(z).cpu())
    return Trace(torch.cat(pooled), torch.cat(embedding))


def speeds(components: np.ndarray, length: int) -> np.ndarray:
    """Frequencies at which components k of an excerpt of ``length`` samples may turn, in Hz: (..., aliases)."""
    own = np.asarray(components)[..., None] * SAMPLE_RATE / period(length)
    return own + np.asarray(ALIASES) * SAMPLE_RATE / STEP


def motion(z: np.ndarray, seconds: np.ndarray, length: int, *, pooled: bool) -> Motion:
    """Measure trajectories and sort them by the rule.

    Parameters
    ----------
    z : array (J, D, C) or (J, features), complex
        Pooled components or embeddings at J shifts.
    seconds : array (J,)
        The shifts, increasing.
    length : int
        Samples of the excerpt.
    pooled : bool
        Whether these are pooled components, which have a k each. Features of an embedding are mixed of all; theirs is
        the one that explains most, excerpt by excerpt.
    """
    z = np.asarray(z).astype(np.complex128)
    k = np.arange(1, (z.shape[2] if pooled else COMPONENTS) + 1)
    table = np.stack([steadiness(z, seconds, f) for f in speeds(k, length).ravel()])
    table = table.reshape(len(k), len(ALIASES), *z.shape[1:])
    if pooled:  # a component's rotation is compared with its own frequencies only
        table = np.moveaxis(table[k - 1, :, :, k - 1], 0, -1)  # (aliases, D, C)
        component = np.broadcast_to(k, z.shape[1:])
    else:
        component = 1 + table.max(axis=1).argmax(axis=0)
        table = np.take_along_axis(table, component[None, None] - 1, axis=0)[0]
    best, own, still = table.max(axis=0), table[ALIASES.index(0)], steadiness(z, seconds, 0.0)
    covered = arc(z)
    kind = np.where((best >= EXPLAINED) & (best > still), 0, np.where(covered < NARROW, 1, 2))
    alias = np.asarray(ALIASES)[table.argmax(axis=0)]
    return Motion(winding(z), covered, radius_spread(z), own, best, component, alias, kind)


def winding(z: np.ndarray) -> np.ndarray:
    """Signed turns about the origin of trajectories (J, ...), counter-clockwise positive.

    Each step counts as the shorter way round, so what turns by more than half between two shifts is counted wrongly.
    """
    return np.angle(z[1:] * z[:-1].conj()).sum(axis=0) / (2 * np.pi)


def arc(z: np.ndarray) -> np.ndarray:
    """Share of the circle that the angle of trajectories (J, ...) passes through, 0..1."""
    angle = np.unwrap(np.angle(z), axis=0)
    return np.minimum(1.0, (angle.max(axis=0) - angle.min(axis=0)) / (2 * np.pi))


def radius_spread(z: np.ndarray) -> np.ndarray:
    """Standard deviation of |z| over its mean, of trajectories (J, ...)."""
    radius = np.abs(z)
    return radius.std(axis=0) / np.maximum(radius.mean(axis=0), 1e-12)


def steadiness(z: np.ndarray, seconds: np.ndarray, frequency: float) -> np.ndarray:
    """R² of z(s) = a exp(-2 pi i f s) about the origin, with the best complex a for each feature.

    With power P = sum |z|² the least-squares residual is P - |sum z exp(2 pi i f s)|² / J.

    Parameters
    ----------
    z : array (J, ...)
    seconds : array (J,)
    frequency : float
        Hz; 0 for standing still.

    Returns
    -------
    array (...), 0..1
    """
    ramp = np.exp(2j * np.pi * frequency * np.asarray(seconds))
    along = np.abs(np.tensordot(ramp, z, axes=1)) ** 2 / len(z)
    return along / np.maximum((np.abs(z) ** 2).sum(axis=0), 1e-24)
