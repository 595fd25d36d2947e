"""The training loop: draw pairs, add noise, score all against all, step (paper section 4).

Everything random in step s is a function of (seed, s) alone: the tracks, the cuts, the noise, the dropout. So a run
that was killed goes on where its last state was saved and ends with the same weights, bit for bit, as one that was
not; there is no random state to save. Book page *How it is trained*.
"""

import json
import math
import os
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from phalar import corpora, memory
from phalar.datasets import batches
from phalar.datasets.augment import augment
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning, RunError
from phalar.evaluate import retrieval
from phalar.model import checkpoints
from phalar.model.assembly import StemModel, build
from phalar.train import batch_norm, distributed, failure, interrupts
from phalar.train.config import Recipe, TrainConfig
from phalar.train.muon import Muon
from phalar.train.objective import Objective

SAMPLE_RATE = 16_000
LENGTH_STEP = 4000  # samples: excerpt lengths are whole quarters of a second, so that a GPU meets few shapes
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

    Started by ``torchrun``, the processes share the config's shards; the losses are those of one process. Ctrl-C and
    SIGTERM are obeyed after the step in hand, with everything saved, and by all processes if one is told.

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
        The folder holds a run of another config, a corpus has fewer tracks than a step needs, or the shards cannot be
        shared out evenly.
    RunError
        The loss or a gradient is not finite. The weights from before the step and its batch are kept; the message says
        how to look at them.
    """
    folder = Path(folder)
    if (folder / DONE).is_file():
        _claim(folder, config)
        return finished(folder, config)
    with distributed.joined(chosen_device(device)) as chosen:
        if distributed.rank() == 0:
            _claim(folder, config)
        distributed.barrier()
        session = _Session(config, folder, chosen, progress and distributed.rank() == 0)
        session.resume()
        _run(session)
        if distributed.rank() == 0:
            session.finish()
        distributed.barrier()
    return finished(folder, config)


def _run(session: "_Session") -> None:
    """All steps that are left, with a bar; ends early only by an exception."""
    config = session.config
    bar = tqdm(
        total=config.steps,
        initial=session.step,
        desc=f"train {config.variant} (seed {config.seed})",
        unit="step",
        disable=not session.progress,
        mininterval=2.0,
        dynamic_ncols=True,
    )
    saved = time.monotonic()
    with bar, interrupts.deferred() as stop:
        while session.step < config.steps:
            entry = session.take_step()
            if distributed.rank() == 0 and (session.step % config.valid_every == 0 or session.step == config.steps):
                entry["valid"] = session.validate()
            bar.set_postfix_str(_postfix(session.history, config.batch_size * config.shards), refresh=False)
            bar.update()
            asked = distributed.largest(stop.signal, session.device)
            if asked or time.monotonic() - saved > SAVE_SECONDS:
                session.save()
                saved = time.monotonic()
            if asked:
                distributed.barrier()  # nobody leaves before the first process has saved
                stop.obey(asked)


def finished(folder: Path, config: TrainConfig) -> Run:
    """The run that a folder's ``done.json`` describes."""
    done = json.loads((folder / DONE).read_text())
    return Run(folder, config, done["history"], done["best_valid"], done["seconds"])


class _Session:
    """A run in progress on one device: data, model, optimisers and history, and their files."""

    def __init__(self, config: TrainConfig, folder: Path, device: torch.device, progress: bool) -> None:
        self.config, self.folder, self.device, self.progress = config, folder, device, progress
        world = distributed.world_size()
        if config.shards % world:
            raise InputError(f"{config.shards} shard(s) for {world} processes; give a multiple of {world} (--shards)")
        data = tracks_of(config, "train", progress)
        if config.batch_size * config.shards > len(data):
            raise InputError(
                f"batch_size = {config.batch_size * config.shards} but {len(data)} training tracks; use a smaller batch"
            )
        memory.keep_freed()
        self.tables = batches.tables(data)
        self.source = _source(self.tables, device)
        self.valid = tracks_of(config, "valid", progress) if distributed.rank() == 0 else []
        self.mine = range(
            distributed.rank() * config.shards // world, (distributed.rank() + 1) * config.shards // world
        )
        self.model = build(config.variant, seed=config.seed).to(device)
        self.objective = distributed.wrapped(Objective(self.model, config.recipe.target, config.negatives))
        self.optimisers = optimisers(self.model, config.recipe)
        self.full_rates = {name: [g["lr"] for g in o.param_groups] for name, o in self.optimisers.items()}
        self.step = 0
        self.history: list[dict] = []
        self.best = -1.0
        self.ahead = ThreadPoolExecutor(1, "batches")  # draws and reads the next step's pairs during this one
        self.coming: dict[int, Future] = {}

    def batch(self, step: int) -> tuple[list[Tensor], batches.Cuts]:
        """This process's shards of a step, (2, B, N) each, with noise, and where all of the step's pairs were cut."""
        config = self.config
        rng = np.random.default_rng([config.seed, step, _DATA])
        low, high = (round(s * SAMPLE_RATE / LENGTH_STEP) for s in config.seconds)
        length = LENGTH_STEP * int(rng.integers(low, high + 1))
        cuts = batches.draw(self.tables, config.batch_size * config.shards, length, rng)
        shards = []
        for i in self.mine:
            waves = self.source.read(cuts[i * config.batch_size : (i + 1) * config.batch_size])
            noise = torch.Generator(device=self.device).manual_seed(_seed(config.seed, step, _NOISE, i))
            shards.append(augment(waves, noise, config.recipe.noise, config.recipe.as_published))
        return shards, cuts

    def take_step(self) -> dict:
        """One step: pairs, loss, gradients, weights. Returns its entry in the history."""
        config, started = self.config, time.monotonic()
        coming = self.coming.pop(self.step, None) or self.ahead.submit(self.batch, self.step)
        if self.step + 1 < config.steps:
            self.coming[self.step + 1] = self.ahead.submit(self.batch, self.step + 1)
        shards, cuts = coming.result()
        seeds = [_seed(config.seed, self.step, _DROPOUT, i) for i in self.mine]
        self.model.train()
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        loss, right = self.objective(shards, seeds)
        loss.backward()
        size = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if distributed.largest(int(not (torch.isfinite(loss) & torch.isfinite(size))), self.device):
            self._stop_at(loss.item(), size.item(), shards, seeds, cuts)
        factor = learning_rate_factor(self.step, config.steps, config.recipe)
        for name, optimiser in self.optimisers.items():
            for group, rate in zip(optimiser.param_groups, self.full_rates[name], strict=True):
                group["lr"] = rate * factor
            optimiser.step()
        distributed.average_statistics(self.model)
        self.step += 1
        entry = {
            "step": self.step,
            "pairs": self.step * config.batch_size * config.shards,
            "loss": distributed.mean(loss).item(),
            "accuracy": distributed.mean(right).item(),
            "gradient": size.item(),
            "silent": cuts.silent,
            "seconds": round(time.monotonic() - started, 3),
        }
        self.history.append(entry)
        return entry

    def _stop_at(self, loss: float, size: float, shards: list[Tensor], seeds: list[int], cuts: batches.Cuts) -> None:
        """Keep the step that went wrong, leave the weights as they were before it, and say so."""
        path = self.folder / failure.FAILED
        path = path.with_stem(f"{path.stem}-{distributed.rank()}") if distributed.world_size() > 1 else path
        ids = [self.tables.tracks[i].id for i in cuts.track]
        about = {"step": self.step, "seed": self.config.seed, "tracks": ids, "start": cuts.start.tolist()}
        objective = self.objective.module if distributed.world_size() > 1 else self.objective
        failure.keep(path, objective, shards, seeds, about)
        if all(failure.finite(tensor) for tensor in self.model.state_dict().values()):
            self.save()
        raise RunError(
            f"the loss is {loss} and the gradient's norm {size} at step {self.step} of {self.folder} (seed "
            f"{self.config.seed}): the run stops before it spoils the weights. `python -m phalar.train.failure {path}` "
            "repeats the step on the CPU and names what is not finite first; lower the rates or change the seed"
        )

    def validate(self) -> float:
        """Top-1 among up to 64 on fixed validation pairs; keeps the weights when they are the best so far. The first
        process does it for all."""
        self.model.eval()
        with batch_norm.from_batches_alone(self.model):
            scores = retrieval.pair_scores(self.model, retrieval.fixed_pairs(self.valid, draw=0))
            if not np.isfinite(scores).all():
                raise RunError(
                    f"validation scores are not finite at step {self.step} of {self.folder}; lower the rates"
                )
            accuracy = float(retrieval.top1(scores, min(64, len(self.valid))).mean())
            if accuracy > self.best:
                self.best = accuracy
                notes = {"steps": self.step, "valid": accuracy, "seed": self.config.seed}
                checkpoints.save(self.model, self.folder / BEST, **notes, corpora=self.config.corpora)
        return accuracy

    def save(self) -> None:
        """Everything needed to go on, in one file, whole or not at all."""
        if distributed.rank() != 0:
            return
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

    def finish(self) -> None:
        """Write ``done.json`` last, so that it stands for a whole run, and drop the state."""
        seconds = sum(entry["seconds"] for entry in self.history)
        done = {"best_valid": self.best, "seconds": seconds, "history": self.history}
        _write_json(self.folder / DONE, done)
        (self.folder / STATE).unlink(missing_ok=True)


def _source(known: batches.Tables, device: torch.device) -> batches.StoredSource | batches.ResidentSource:
    """A GPU keeps all audio in its own memory if it takes no more than half of what is free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if 2 * int((known.samples * known.stems).sum()) < free / 2:
            return batches.ResidentSource(known, device)
    return batches.StoredSource(known, device)


def _postfix(history: list[dict], batch_size: int) -> str:
    recent = history[-8:]
    mean = {key: sum(e[key] for e in recent) / len(recent) for key in ("loss", "accuracy", "seconds")}
    valid = [e["valid"] for e in history if "valid" in e]
    tail = f", valid {valid[-1]:.2f}" if valid else ""
    return f"loss {mean['loss']:.3f}, acc {mean['accuracy']:.2f}, {batch_size / mean['seconds']:.1f} pairs/s{tail}"


def _claim(folder: Path, config: TrainConfig) -> None:
    """Make the folder this config's, or refuse it when it is another's, or that of other code or corpora."""
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / CONFIG, _described(config)
    if path.is_file() and json.loads(path.read_text()) != mine:
        theirs = json.loads(path.read_text())
        differs = next(key for key in mine if theirs.get(key) != mine[key])
        if differs == "hash":
            raise InputError(
                f"{folder} holds a run with these settings by another version of the code or the corpora; choose "
                "another folder"
            )
        raise InputError(
            f"{folder} holds a run with {differs} = {theirs.get(differs)!r}, not {mine[differs]!r}; "
            "choose another folder"
        )
    _write_json(path, mine)


def _described(config: TrainConfig) -> dict:
    """What ``config.json`` holds: the settings, and last the hash that also stands for code and corpora."""
    return json.loads(json.dumps(asdict(config) | {"hash": config.hash}))


def _write_json(path: Path, value: object) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1))
    os.replace(temporary, path)


def chosen_device(name: str) -> torch.device:
    """``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``, as torch writes it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda") or (name == "cuda" and not torch.cuda.is_available()):
        raise InputError(f"device {name!r} is not at hand; use 'auto', 'cpu', or 'cuda' where there is a GPU")
    return torch.device(name)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def with_steps(
    config: TrainConfig, minutes: float, folder: Path, device: str = "auto", progress: bool = True
) -> TrainConfig:
    """The config with as many steps as fit into some minutes here, timed on a few steps that are thrown away.

    If ``folder`` holds a run that differs in nothing else, that run's number of steps: a run that was stopped goes on.
    Processes started by ``torchrun`` agree on one number.
    """
    if not minutes > 0:
        raise InputError(f"minutes = {minutes}; give a positive number")
    with distributed.joined(chosen_device(device)) as chosen:
        steps = _begun(config, Path(folder))
        if not steps:
            trial = _Session(config, Path(), chosen, progress and distributed.rank() == 0)
            seconds = [trial.take_step()["seconds"] for _ in range(4)]
            steps = max(1, math.floor(60 * minutes / float(np.median(seconds[1:]))))
        return replace(config, steps=distributed.largest(steps, chosen))


def _begun(config: TrainConfig, folder: Path) -> int:
    """Steps of the run that a folder holds, if it is this one but for them; else 0."""
    if not (folder / CONFIG).is_file():
        return 0
    theirs = json.loads((folder / CONFIG).read_text())
    steps = theirs.get("steps")
    same = isinstance(steps, int) and steps > 0 and _described(replace(config, steps=steps)) == theirs
    return steps if same else 0
