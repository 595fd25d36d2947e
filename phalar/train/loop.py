"""The training loop: draw pairs, add noise, score all against all, step (paper section 4).

Everything random in step s is a function of (seed, s) alone: the tracks, the cuts, the noise, the dropout. So a run
that was killed goes on where its last state was saved and ends with the same weights, bit for bit, as one that was
not; there is no random state to save. Book page *How it is trained*.
"""

import ctypes
import json
import math
import os
import time
import warnings
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from phalar import corpora
from phalar.datasets.augment import augment
from phalar.datasets.pairs import draw_batch
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning, RunError
from phalar.evaluate import retrieval
from phalar.model import checkpoints
from phalar.model.assembly import StemModel, build
from phalar.train.config import Recipe, TrainConfig
from phalar.train.muon import Muon

SAMPLE_RATE = 16_000
SAVE_SECONDS = 20.0  # the longest a kill can throw training back
STATE, BEST, DONE, CONFIG = "state.safetensors", "best.safetensors", "done.json", "config.json"
_DATA, _NOISE, _DROPOUT = 1, 2, 3  # streams of randomness of one step


@dataclass(frozen=True)
class Run:
    """A finished training run."""

    folder: Path
    config: TrainConfig
    history: list[dict]  # one entry a step: step, pairs, loss, accuracy, seconds; valid where it was measured
    best_valid: float
    seconds: float

    def model(self) -> StemModel:
        """The checkpoint with the best validation accuracy, in eval mode."""
        return checkpoints.load(self.folder / BEST)


def contrastive_loss(scores: Tensor, target: float = 0.9) -> Tensor:
    """Softmax cross-entropy of anchors against positives, (B, B) to a scalar.

    The true pair is asked to have probability ``target``; the rest is spread evenly over the B - 1 others.
    """
    others = (1 - target) / (len(scores) - 1)
    wanted = torch.full_like(scores, others).fill_diagonal_(target)
    return -(wanted * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Share of the full learning rate at a step: up over the warm-up, level, down to zero over the decay."""
    warm = (step + 1) / max(1.0, recipe.warmup * steps)
    left = (steps - step) / max(1.0, recipe.decay * steps) if recipe.decay else 1.0
    return min(1.0, warm, left)


def optimisers(model: StemModel, recipe: Recipe) -> dict[str, torch.optim.Optimizer]:
    """Muon for the encoder's weights of two or more dimensions, Adam for the rest and for the similarity."""
    encoder = [p for name, p in model.named_parameters() if not name.startswith("form.") and p.requires_grad]
    matrices, vectors = [p for p in encoder if p.ndim >= 2], [p for p in encoder if p.ndim < 2]
    adam = [
        {"params": vectors, "lr": recipe.vector_lr},
        {"params": list(model.form.parameters()), "lr": recipe.form_lr},
    ]
    return {
        "muon": Muon(matrices, recipe.muon_lr, recipe.momentum, recipe.weight_decay, recipe.as_published),
        "adam": torch.optim.AdamW(adam, betas=recipe.betas, eps=1e-10, weight_decay=recipe.weight_decay),
    }


def tracks_of(config: TrainConfig, split: str, progress: bool = True) -> list[Track]:
    """The tracks of a split of all the config's corpora, rendered first if need be."""
    limit = config.limit or None
    return [t for name in config.corpora for t in corpora.load(name, split, limit=limit, progress=progress)]


def train(config: TrainConfig, folder: Path, *, device: str = "auto", progress: bool = True) -> Run:
    """Train a model, or go on where an earlier call was stopped, or return at once what it finished.

    Parameters
    ----------
    config : TrainConfig
    folder : Path
        Belongs to this run alone; holds ``config.json``, ``state.safetensors`` while it goes on,
        ``best.safetensors`` (highest validation accuracy) and, at the end, ``done.json``.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.
    progress : bool
        A bar on standard error with loss, batch accuracy, pairs a second and the time left.

    Raises
    ------
    InputError
        The folder holds a run of another config, or a corpus has fewer tracks than the batch.
    RunError
        The loss is not finite. Nothing is overwritten; the message names the step.
    """
    folder = Path(folder)
    _claim(folder, config)
    if (folder / DONE).is_file():
        return finished(folder, config)
    chosen = _device(device)
    data, valid = tracks_of(config, "train", progress), tracks_of(config, "valid", progress)
    if config.batch_size > len(data):
        raise InputError(f"batch_size = {config.batch_size} but {len(data)} training tracks; use a smaller batch")
    _keep_freed_memory()
    session = _Session(config, folder, build(config.variant, seed=config.seed).to(chosen))
    session.resume()
    bar = tqdm(
        total=config.steps,
        initial=session.step,
        desc=f"train {config.variant} (seed {config.seed})",
        unit="step",
        disable=not progress,
        mininterval=2.0,
        dynamic_ncols=True,
    )
    with bar:
        saved = time.monotonic()
        while session.step < config.steps:
            entry = session.take_step(data)
            if session.step % config.valid_every == 0 or session.step == config.steps:
                entry["valid"] = session.validate(valid)
            bar.set_postfix_str(_postfix(session.history, config.batch_size), refresh=False)
            bar.update()
            if time.monotonic() - saved > SAVE_SECONDS:
                session.save()
                saved = time.monotonic()
    return session.finish()


def finished(folder: Path, config: TrainConfig) -> Run:
    """The run that a folder's ``done.json`` describes."""
    done = json.loads((folder / DONE).read_text())
    return Run(folder, config, done["history"], done["best_valid"], done["seconds"])


class _Session:
    """A run in progress: model, optimisers and history, and their file."""

    def __init__(self, config: TrainConfig, folder: Path, model: StemModel) -> None:
        self.config, self.folder, self.model = config, folder, model
        self.optimisers = optimisers(model, config.recipe)
        self.full_rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}
        self.step = 0
        self.history: list[dict] = []
        self.best = -1.0

    def take_step(self, tracks: Sequence[Track]) -> dict:
        """One batch: draw, augment, score, step. Returns its entry in the history."""
        config, started = self.config, time.monotonic()
        rng = np.random.default_rng([config.seed, self.step, _DATA])
        length = int(rng.uniform(*config.seconds) * SAMPLE_RATE)
        waves, pairs, silent = draw_batch(tracks, config.batch_size, length, rng)
        noise = torch.Generator(device=self.model.device).manual_seed(_seed(config.seed, self.step, _NOISE))
        waves = augment(waves.to(self.model.device), noise, config.recipe.noise, config.recipe.as_published)
        self.model.train()
        with _seeded(_seed(config.seed, self.step, _DROPOUT), self.model.device):
            scores = self.model(*waves)
        loss = contrastive_loss(scores, config.recipe.target)
        if not torch.isfinite(loss):
            raise RunError(
                f"the loss is {loss.item()} at step {self.step} of {self.folder}: the run stops before it spoils the "
                f"weights. The batch is a function of seed {config.seed} and the step "
                f"(tracks {', '.join(p.track.id for p in pairs[:3])}, ...); lower the learning rates or change the seed"
            )
        factor = learning_rate_factor(self.step, config.steps, config.recipe)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss.backward()
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.full_rates[name], strict=True):
                group["lr"] = rate * factor
            optimiser.step()
        self.step += 1
        correct = (scores.argmax(dim=1) == torch.arange(len(scores), device=scores.device)).float().mean()
        entry = {
            "step": self.step,
            "pairs": self.step * config.batch_size,
            "loss": loss.item(),
            "accuracy": correct.item(),
            "silent": silent,
            "seconds": round(time.monotonic() - started, 3),
        }
        self.history.append(entry)
        return entry

    def validate(self, tracks: Sequence[Track]) -> float:
        """Top-1 among up to 64 on fixed validation pairs; keeps the weights when they are the best so far."""
        self.model.eval()
        pairs = retrieval.fixed_pairs(tracks, draw=0)
        scores = retrieval.pair_scores(self.model, pairs)
        if not np.isfinite(scores).all():
            raise RunError(f"validation scores are not finite at step {self.step} of {self.folder}; lower the rates")
        accuracy = float(retrieval.top1(scores, min(64, len(tracks))).mean())
        if accuracy > self.best:
            self.best = accuracy
            notes = {"steps": self.step, "valid": accuracy, "seed": self.config.seed, "corpora": self.config.corpora}
            checkpoints.save(self.model, self.folder / BEST, **notes)
        return accuracy

    def save(self) -> None:
        """Everything needed to go on, in one file, whole or not at all."""
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        for kind, optimiser in self.optimisers.items():
            for i, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"{kind}/{i}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        progress = {"step": self.step, "best": self.best, "history": self.history}
        checkpoints.write_tensors(self.folder / STATE, tensors, {"progress": json.dumps(progress)})

    def resume(self) -> None:
        """Take up the saved state, if there is one; an unreadable one is set aside with a warning."""
        path = self.folder / STATE
        if not path.is_file():
            return
        try:
            tensors, metadata = checkpoints.read_tensors(path)
            progress = json.loads(metadata["progress"])
        except (InputError, KeyError, ValueError) as error:
            path.rename(path.with_suffix(".broken"))
            warnings.warn(f"{path} could not be read ({error}); training starts again", PhalarWarning, stacklevel=3)
            return
        own = {name.removeprefix("model/"): t for name, t in tensors.items() if name.startswith("model/")}
        checkpoints.fill(self.model, own, str(path))
        for kind, optimiser in self.optimisers.items():
            state = optimiser.state_dict()
            for name, tensor in tensors.items():
                if name.startswith(f"{kind}/"):
                    _, i, slot = name.split("/")
                    state["state"].setdefault(int(i), {})[slot] = tensor
            optimiser.load_state_dict(state)
        self.step, self.best, self.history = progress["step"], progress["best"], progress["history"]

    def finish(self) -> Run:
        """Write ``done.json`` last, so that it stands for a whole run, and drop the state."""
        seconds = sum(entry["seconds"] for entry in self.history)
        done = {"best_valid": self.best, "seconds": seconds, "history": self.history}
        _write_json(self.folder / DONE, done)
        (self.folder / STATE).unlink(missing_ok=True)
        return finished(self.folder, self.config)


def _postfix(history: list[dict], batch_size: int) -> str:
    recent = history[-8:]
    mean = {key: sum(e[key] for e in recent) / len(recent) for key in ("loss", "accuracy", "seconds")}
    valid = [e["valid"] for e in history if "valid" in e]
    tail = f", valid {valid[-1]:.2f}" if valid else ""
    return f"loss {mean['loss']:.3f}, acc {mean['accuracy']:.2f}, {batch_size / mean['seconds']:.1f} pairs/s{tail}"


def _claim(folder: Path, config: TrainConfig) -> None:
    """Make the folder this config's, or refuse it when it is another's."""
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / CONFIG, json.loads(json.dumps(asdict(config)))
    if path.is_file() and json.loads(path.read_text()) != mine:
        theirs = json.loads(path.read_text())
        differs = next(key for key in mine if theirs.get(key) != mine[key])
        raise InputError(
            f"{folder} holds a run with {differs} = {theirs.get(differs)!r}, not {mine[differs]!r}; "
            "choose another folder"
        )
    _write_json(path, mine)


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    os.replace(temporary, path)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device {name!r} is not at hand; use 'auto', 'cpu', or 'cuda' where there is a GPU")
    return torch.device(name)


def _keep_freed_memory() -> None:
    """Have the C library keep what tensors free: a step asks for the same 2 GB again, and the system would hand them
    out page by page, zeroed, at a quarter of the step's time. Linux's glibc only; elsewhere nothing happens."""
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


@contextmanager
def _seeded(seed: int, device: torch.device):
    """torch's global random state set to a seed inside, and as it was outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def with_steps(config: TrainConfig, minutes: float, device: str = "auto", progress: bool = True) -> TrainConfig:
    """The config with as many steps as fit into some minutes here, timed on a few steps that are thrown away."""
    if not minutes > 0:
        raise InputError(f"minutes = {minutes}; give a positive number")
    data = tracks_of(config, "train", progress)
    trial = _Session(config, Path(), build(config.variant, seed=config.seed).to(_device(device)))
    seconds = [trial.take_step(data)["seconds"] for _ in range(4)]
    return replace(config, steps=max(1, math.floor(60 * minutes / float(np.median(seconds[1:])))))
