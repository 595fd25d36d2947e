"""What a score depends on: pitch, or time? Book notebook *Chords*, "What the score itself listens to".

The stems are moved away from their mixes, and the mixes look for them once more. A model that matches harmony must mind
a transposition (in a constant-Q spectrogram a shift by as many bins), one that matches rhythm a delay.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import Pair
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.retrieval import Cuts, Scorer, in_batches, scores_of
from phalar.evaluate.statistics import estimate
from phalar.model.stem_model import StemModel

UNCHANGED = "as it was"
CHANGES = {UNCHANGED: (0, 0.0)} | {f"+{n} semitone{'s' * (n > 1)}": (n, 0.0) for n in (1, 2, 6, 12)}
CHANGES |= {f"{seconds} s late": (0, seconds) for seconds in (0.05, 0.1, 0.25, 0.5)}
"""How a stem is moved away from its mix, by name: semitones, and seconds."""


def by_changes(model: StemModel, changes: dict[str, tuple[int, float]] = CHANGES) -> Scorer:
    """Scores of all mixes against all stems after each change of the stems, as a scorer for ``retrieval.evaluate``. An
    InputError if the model does not look at a constant-Q spectrogram."""
    if model.variant.frontend != "cqt":
        raise InputError(f"{model.variant.name!r} has no constant-Q spectrogram, in which a semitone is a bin")

    def picture(waves: list[np.ndarray]) -> Tensor:
        return model.picture(torch.from_numpy(np.stack(waves).astype(np.float32)).to(model.device))

    @torch.no_grad()
    def scores(cuts: Cuts) -> dict[str, np.ndarray]:
        mixes, stems = [], {name: [] for name in changes}
        for chosen in in_batches(cuts):
            mixes.append(model.encode_picture(picture([waves[0] for _, waves in chosen])))
            for name, (semitones, seconds) in changes.items():
                moved = [late(pair, seconds).audio()[1] if seconds else waves[1] for pair, waves in chosen]
                stems[name].append(model.encode_picture(transposed(picture(moved), semitones)))
        return {name: scores_of(model, torch.cat(mixes), torch.cat(moved)) for name, moved in stems.items()}

    return scores


def evaluate(model: StemModel, corpus: str, k: int = 64, *, limit: int = 0, progress: bool = True) -> pd.DataFrame:
    """How much a model minds each change, on one pair of each test track of a corpus, found or made: a table of
    ``split`` (what was changed), ``metric``, ``k`` and ``estimate``. ``top1`` is among ``k`` (or as many as there are
    tracks) after the change; ``preferred`` how often a stem in its place scores above the changed one."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    code = fingerprint.of_code("model", "evaluate/sensitivity.py")
    key, label = [corpora.version(corpus), fingerprint.of_weights(model), code], f"move stems of {corpus}"
    scores = retrieval.evaluate(by_changes(model), tracks, 1, key=key, label=label if progress else "")
    rows, among = [], min(k, len(tracks))
    for change, (moved,) in scores.items():
        rows.append((f"stem {change}", "top1", among, estimate(retrieval.top1(moved, among))))
        if change != UNCHANGED:
            rows.append((f"stem {change}", "preferred", None, estimate(preferred(scores[UNCHANGED][0], moved))))
    return pd.DataFrame(rows, columns=["split", "metric", "k", "estimate"]).astype({"k": object})


def transposed(spectrogram: Tensor, semitones: int) -> Tensor:
    """Constant-Q spectrograms (..., 96, T) moved along their frequency axis; their own floor comes in at the end."""
    if not semitones:
        return spectrogram
    moved = spectrogram.roll(semitones, dims=-2)
    entering = slice(semitones) if semitones > 0 else slice(semitones, None)
    moved[..., entering, :] = spectrogram.amin(dim=(-2, -1), keepdim=True)
    return moved


def late(pair: Pair, seconds: float) -> Pair:
    """A pair cut so much earlier that its sound comes so much later; where the track has no earlier, as much early. An
    InputError, when it is read, where the track is too short for it."""
    shift = round(seconds * SAMPLE_RATE)
    start = pair.start - shift if pair.start >= shift else pair.start + shift
    return replace(pair, start=start)


def preferred(scores: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Whether each anchor scores its positive above the same positive moved, (n,): 1 or 0, and 0.5 for a tie."""
    own, other = np.diagonal(scores), np.diagonal(moved)
    return np.where(own == other, 0.5, (own > other).astype(float))
