"""Speed of training: our step against one that does what the published code does, pairs and all.

Both take the step of the paper's own recipe on the same pairs of *chorales*, a stand-in for CocoChorales: 32 of them,
5 s each. The reference reads every stem's FLAC file, adds noise to one pair after the other with NumPy, runs nnAudio's
transform and PyTorch's own layers in float32, and computes each block of the backbone twice to save memory. Both draw
the pairs of the next step in a thread of its own, so neither waits for data while a core is idle. Book page *What
training costs*.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from phalar.datasets import batches
from phalar.datasets.store import FULL_SCALE
from phalar.datasets.tracks import Track
from phalar.evaluate.bench_data import plain_augment
from phalar.model.assembly import StemModel
from phalar.model.plain import plain_twin
from phalar.train import loop
from phalar.train.config import TrainConfig, config
from phalar.train.objective import Objective

BATCH, SECONDS = 32, 5.0
STEPS, PLAIN_STEPS = 5, 2  # timed, after one that warms up
COMPARED = 4  # pairs whose gradients are held together


def train() -> dict:
    """Training steps of PHALAR: pairs a second, from the audio on disk to the changed weights.

    ``max_relative_error`` is that of the loss or of the gradient as a whole, whichever is larger, on a few pairs.
    """
    settings = config(
        "phalar", ["chorales"], steps=STEPS + 2, batch_size=BATCH, seconds=(SECONDS, SECONDS), limit=BATCH,
        preset="published",
    )  # fmt: skip
    session = loop._Session(settings, Path(), torch.device("cpu"), progress=False)
    session.take_step()  # makes tables and, once on a machine, compiles the fused functions
    ours = BATCH / _seconds_a_step(session.take_step, STEPS, session.ahead)
    with tempfile.TemporaryDirectory() as folder:
        tables = replace(session.tables, tracks=as_flac(session.tables.tracks, Path(folder)))
        plain = PlainSession(session.model, tables, settings)
        error = largest_error(session.model, plain.model, plain.batch(0)[:, :COMPARED])
        plain.take_step()  # warms up, and has the next batch made, as ours did
        reference = BATCH / _seconds_a_step(plain.take_step, PLAIN_STEPS, plain.ahead)
    return {
        "benchmark": "train",
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "unit": "pairs per second",
        "max_relative_error": error,
        "threads": torch.get_num_threads(),
    }


def _seconds_a_step(take_step: Callable[[], object], steps: int, ahead: ThreadPoolExecutor) -> float:
    """Mean over some steps, each with the preparation of one batch: the last one's is waited for."""
    started = time.perf_counter()
    for _ in range(steps):
        take_step()
    ahead.shutdown(wait=True)
    return (time.perf_counter() - started) / steps


class PlainSession:
    """Training by the published code's means.

    Parameters
    ----------
    model : StemModel
        Whose weights it starts from; it is left as it is.
    tables : batches.Tables
        Tracks to draw from.
    settings : TrainConfig
    """

    def __init__(self, model: StemModel, tables: batches.Tables, settings: TrainConfig) -> None:
        self.tables, self.settings = tables, settings
        self.model = plain_twin(model).train()
        self.objective = Objective(self.model, settings.recipe.target, settings.negatives)
        self.optimisers = loop.optimisers(self.model, settings.recipe)
        self.step = 0
        self.ahead = ThreadPoolExecutor(1, "plain batches")
        self.coming = None

    def batch(self, step: int) -> Tensor:
        """Pairs with noise, (2, B, N), made one by one."""
        rng = np.random.default_rng([self.settings.seed, step])
        length = round(self.settings.seconds[0] * loop.SAMPLE_RATE)
        cuts = batches.draw(self.tables, self.settings.batch_size, length, rng)
        waves = batches.StoredSource(self.tables, torch.device("cpu")).read(cuts).numpy()
        pairs = [plain_augment(waves[:, i], rng) for i in range(waves.shape[1])]
        return torch.from_numpy(np.stack(pairs, axis=1).astype(np.float32))

    def take_step(self) -> float:
        """One step: pairs, loss, gradients, weights. Returns the loss."""
        coming = self.coming or self.ahead.submit(self.batch, self.step)
        self.coming = self.ahead.submit(self.batch, self.step + 1)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss, _ = self.objective([coming.result()], [self.step])
        loss.backward()
        for optimiser in self.optimisers.values():
            optimiser.step()
        self.step += 1
        return loss.item()


@dataclass(frozen=True)
class FlacAudio:
    """Stems as FLAC files, one each: decoded whenever they are read."""

    files: tuple[Path, ...]

    def read(self, start: int, stop: int) -> np.ndarray:
        """(S, stop - start) float32."""
        return np.stack([soundfile.read(file, stop - start, start, dtype="float32")[0] for file in self.files])


def as_flac(tracks: Sequence[Track], folder: Path) -> tuple[Track, ...]:
    """Tracks whose stems were written to a folder as 16-bit FLAC files, and are read from there."""
    written = []
    for i, track in enumerate(tracks):
        files = tuple(folder / f"{i}-{stem}.flac" for stem in range(len(track.stems)))
        for file, stem in zip(files, track.excerpt(), strict=True):
            soundfile.write(file, np.round(stem * FULL_SCALE).astype(np.int16), track.sample_rate)
        written.append(replace(track, audio=FlacAudio(files)))
    return tuple(written)


def largest_error(model: StemModel, twin: StemModel, waves: Tensor) -> float:
    """Relative difference of the losses, or of the gradients as one vector, of two models on the same pairs (2, B, N)
    and with the same dropout: whichever is larger."""
    return relative_error(*(with_gradient(Objective(m, 0.9, "shard")([waves], [0])[0], m) for m in (model, twin)))


def with_gradient(loss: Tensor, model: StemModel) -> tuple[float, Tensor]:
    """A loss, and its gradient by all of a model's weights as one real vector on the CPU."""
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    flat = [(torch.view_as_real(g) if g.is_complex() else g).flatten() for g in gradients]
    return loss.item(), torch.cat(flat).cpu()


def relative_error(found: tuple[float, Tensor], right: tuple[float, Tensor]) -> float:
    """Of a loss or of its gradient, whichever is larger."""
    (loss, gradient), (right_loss, right_gradient) = found, right
    size = torch.linalg.vector_norm(right_gradient)
    return max(
        abs(loss - right_loss) / abs(right_loss), (torch.linalg.vector_norm(gradient - right_gradient) / size).item()
    )
