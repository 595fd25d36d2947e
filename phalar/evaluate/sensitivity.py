"""What a score listens to: pitch, or time? Book notebook *Chords*, "What the score itself
listens to".

The right stem is moved away from its mix, and the mix looks for it once more. A model that matches harmony must mind a
transposition; one that matches rhythm must mind a delay. The change is the same for all candidates, so nothing but the
fit tells them apart.

In a constant-Q picture of 12 bins an octave a semitone is a bin, so a transposition is a shift along the frequency
axis: every partial of every note moves by as many bins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalar.datasets.pairs import Pair
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.model.frontend import SAMPLE_RATE
from phalar.model.stem_model import StemModel


@dataclass(frozen=True)
class Change:
    """How a stem is moved away from its mix.

    Attributes
    ----------
    semitones : int
        Up, or down if negative.
    seconds : float
        Late; 0 or more.
    """

    semitones: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """As records name it: "+2 semitones", "0.25 s late", "as it was"."""
        parts = [f"{self.semitones:+d} semitone{'s' * (abs(self.semitones) != 1)}"] if self.semitones else []
        parts += [f"{self.seconds:g} s late"] if self.seconds else []
        return ", ".join(parts) or "as it was"


UNCHANGED = Change()
CHANGES = (
    UNCHANGED,
    *(Change(semitones=n) for n in (1, 2, 6, 12)),
    *(Change(seconds=s) for s in (0.05, 0.1, 0.25, 0.5)),
)


@torch.no_grad()
def changed_scores(
    model: StemModel,
    pairs: Sequence[Pair],
    changes: Sequence[Change] = CHANGES,
    batch_size: int = 16,
    advance: Callable[[int], object] | None = None,
) -> dict[str, np.ndarray]:
    """Scores (n, n) of all anchors against all positives, after each change of the positives, by its name.

    Parameters
    ----------
    model : StemModel
        In eval mode, with the constant-Q front end.
    pairs : sequence of Pair
    changes : sequence of Change
    batch_size : int
        Pairs that go through the network at once.
    advance : callable, optional
        Told after each batch how many pairs it held.

    Raises
    ------
    InputError
        If the model does not look at a constant-Q picture, or a change leaves the picture or the track.
    """
    if model.variant.frontend != "cqt":
        raise InputError(
            f"{model.variant.name!r} does not look at a constant-Q picture, in which a semitone is a bin; choose a "
            "variant that does"
        )
    anchors: list[Tensor] = []
    positives: dict[str, list[Tensor]] = {change.name: [] for change in changes}
    for begin in range(0, len(pairs), batch_size):
        chosen = pairs[begin : begin + batch_size]
        sides = np.stack([pair.audio() for pair in chosen])
        anchors.append(model.encode(_waves(sides[:, 0], model)))
        pictures = {0.0: model.picture(_waves(sides[:, 1], model))}  # by delay
        for change in changes:
            if change.seconds not in pictures:
                moved = np.stack([late(pair, change.seconds).audio()[1] for pair in chosen])
                pictures[change.seconds] = model.picture(_waves(moved, model))
            picture = transposed(pictures[change.seconds], change.semitones)
            positives[change.name].append(model.encode_picture(picture))
        if advance:
            advance(len(chosen))
    return {name: retrieval.scores_of(model, torch.cat(anchors), torch.cat(found)) for name, found in positives.items()}


def transposed(picture: Tensor, semitones: int) -> Tensor:
    """Constant-Q pictures (..., 96, T) moved along their frequency axis: what leaves at one end is lost, and the
    picture's own floor, 80 dB below its loudest point, comes in at the other."""
    bins = picture.shape[-2]
    if abs(semitones) >= bins:
        raise InputError(f"semitones={semitones}: the picture has {bins} bins, one a semitone; give less")
    if not semitones:
        return picture
    result = picture.amin(dim=(-2, -1), keepdim=True).expand_as(picture).clone()
    if semitones > 0:
        result[..., semitones:, :] = picture[..., :-semitones, :]
    else:
        result[..., :semitones, :] = picture[..., -semitones:, :]
    return result


def late(pair: Pair, seconds: float) -> Pair:
    """A pair cut so much earlier that its sound comes so much later; where the track has no earlier, as much early."""
    if seconds < 0:
        raise InputError(f"seconds={seconds:g}: a delay is 0 or more")
    shift = round(seconds * SAMPLE_RATE)
    start = pair.start - shift if pair.start >= shift else pair.start + shift
    if start >= pair.track.num_samples:
        raise InputError(f"{pair.track.id}: no sound {seconds:g} s before or after the excerpt; choose a shorter delay")
    return replace(pair, start=start)


def preferred(scores: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Whether each anchor scores its positive above the same positive moved, (n,): 1 or 0, and 0.5 for a tie."""
    own, other = np.diagonal(scores), np.diagonal(moved)
    return np.where(own == other, 0.5, (own > other).astype(float))


def _waves(waves: np.ndarray, model: StemModel) -> Tensor:
    return torch.from_numpy(waves.astype(np.float32)).to(model.device)
