"""The training loop: draw pairs, add noise, score all against all, step (paper section 4).

Everything random in step s is a function of (seed, s) alone. So there is no random state to save, and a run that was
killed ends with the same weights, bit for bit, as one that was not. Book page *How it is trained*.
"""

import json
import math
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from phalar import corpora, paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets import batches
from phalar.datasets.augment import augment, crop
from phalar.datasets.tracks import Pair, Track
from phalar.errors import InputError, RunError
from phalar.evaluate import retrieval, sensitivity
from phalar.model import checkpoints, fused
from phalar.model.assembly import StemModel, build
from phalar.model.similarity import start_at
from phalar.model.variants import variant
from phalar.train import batch_norm, distributed
from phalar.train.config import Recipe, TrainConfig
from phalar.train.muon import Muon
from phalar.train.objective import Objective

LENGTH_STEP = 4000  # samples: excerpt lengths are whole quarters of a second, so that a GPU meets few shapes
KEY_TIMES = 2  # so many times the pairs in steps that teach the key alone, whose backbone rests
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
    """Muon for the encoder's weights of two or more dimensions, Adam for the rest and the similarity (in COCOLA also
    for ``stem`` and ``head``, as its authors have it), and for all behind the backbone while the key is learned
    first."""
    adams = ("stem", "head") if model.variant.backbone == "efficientnet" else ()
    matrices, vectors = [], []
    for name, weight in model.named_parameters():
        if weight.requires_grad and not name.startswith("form."):
            by_adam = weight.ndim < 2 or any(part in name for part in adams)
            (vectors if by_adam else matrices).append(weight)
    adam = [{"params": vectors, "lr": recipe.vector_lr}, {"params": [*model.form.parameters()], "lr": recipe.form_lr}]
    behind = [weight for name, weight in model.named_parameters() if not name.startswith("backbone.")]
    first = {"key": torch.optim.AdamW(behind, recipe.key_lr, (0.9, 0.98))} if recipe.key_first else {}
    return first | {
        "muon": Muon(matrices, recipe.muon_lr, recipe.momentum, recipe.weight_decay, recipe.as_published),
        "adam": torch.optim.AdamW(adam, betas=recipe.betas, eps=1e-10, weight_decay=recipe.weight_decay),
    }


def train(config: TrainConfig, folder: Path, *, device: str = "auto", progress: bool = True) -> Run:
    """Train a model, or go on where an earlier call was stopped, or return at once what it finished. ``folder`` belongs
    to this run alone; it holds ``config.json``, ``state.safetensors`` while the run goes on, ``best.safetensors``
    (highest validation accuracy) and, at the end, ``done.json``. Started by ``torchrun``, the processes share the
    config's shards; the losses are those of one process. Ctrl-C and SIGTERM are obeyed after the step in hand, with
    everything saved, and by all processes if one is told. Raises InputError if the folder holds another run, there are
    fewer tracks than a step needs, or shards cannot be shared out evenly; RunError if the loss or a gradient is not
    finite, saying where the step is kept."""
    folder = Path(folder)
    with distributed.joined(chosen_device(device)) as chosen:
        if distributed.rank() == 0:
            _refuse(folder, config)
        distributed.barrier()
        if not (folder / DONE).is_file():
            trainer = Trainer(config, folder, chosen, progress)
            if distributed.rank() == 0:
                _write_json(folder / CONFIG, _described(config))  # the folder is this run's from now on
            trainer.resume()
            trainer.run()
            distributed.barrier()
    return finished(folder, config)


def finished(folder: Path, config: TrainConfig) -> Run:
    """The run that a folder's ``done.json`` describes."""
    return Run(folder, config, **json.loads((folder / DONE).read_text()))


class Trainer:
    """A run in progress on one device, to be driven by hand: ``step()``, ``validate()``, ``save()``; ``history`` has an
    entry a step, ``model`` is the model. Parameters and errors are those of :func:`train`."""

    def __init__(
        self, config: TrainConfig, folder: Path, device: str | torch.device = "auto", progress: bool = True
    ) -> None:
        rank, world, recipe = distributed.rank(), distributed.world_size(), config.recipe
        self.config, self.folder, self.device = config, Path(folder), chosen_device(device)
        self.progress, self.pairs = progress and rank == 0, config.batch_size * config.shards  # of a step
        if config.shards % world:
            raise InputError(f"{config.shards} shard(s) for {world} processes; give a multiple of {world} (--shards)")
        data, self.valid = (self._tracks(split) for split in ("train", "valid"))
        for split, tracks in {"train": data, "valid": self.valid}.items():
            if not tracks:
                raise InputError(f"no {split} tracks in {', '.join(config.corpora)}; training needs both splits")
        self.halves = 2 if recipe.key else 1  # each pair, and the same in another key
        if self.pairs > len(data):
            raise InputError(f"batch_size = {self.pairs} but {len(data)} training tracks; use a smaller batch")
        fused.keep_freed()
        self.tables = batches.tables(data)
        self.sources = [_source(self.tables, self.device)]
        if recipe.key:
            twins = replace(self.tables, tracks=tuple(self._tracks("train", corpora.TWIN)))
            self.sources.append(_source(twins, self.device))
        self.mine = range(rank * config.shards // world, (rank + 1) * config.shards // world)
        model = checkpoints.load(config.start) if config.start else build(config.variant, seed=config.seed)
        if model.variant != variant(config.variant):
            raise InputError(f"{config.start} holds weights of {model.variant.name!r}, not of {config.variant!r}")
        if not config.start:
            start_at(model.form, recipe.identity)
        self.model = model.to(self.device)
        joint = recipe.as_published and config.shards > 1 and bool(batch_norm.norms_of(self.model))
        if joint and world > 1:
            if self.device.type != "cuda":
                raise InputError(f"preset {config.preset!r}: processes share batch norms on GPUs only; train in one")
            self.model = torch.nn.SyncBatchNorm.convert_sync_batchnorm(self.model)
        self.model.picture_noise = recipe.picture_noise
        # Weights to go on from have learned something already, and would only be thrown back.
        self.key_steps = 0 if config.start else round(recipe.key_first * config.steps)
        self.objective = Objective(self.model, recipe.target, config.negatives, joint, recipe.key)
        self.optimisers = optimisers(self.model, recipe)
        self.history, self.best = [], -1.0
        self.ahead = ThreadPoolExecutor(1, "batches")  # draws and reads the next step's pairs during this one
        self.coming: dict[int, Future] = {}

    def _tracks(self, split: str, semitones: int | str = 0) -> list[Track]:
        how = {"limit": self.config.limit or None, "progress": self.progress, "semitones": semitones}
        return [track for name in self.config.corpora for track in corpora.load(name, split, **how)]

    def batch(self, step: int) -> tuple[list[Tensor], batches.Cuts]:
        """This process's shards of a step, (2, B, N) each, with noise, and where all of the step's pairs were cut. Of
        twins the second half of a shard is the first in another key: the same cuts with the same gain and noise."""
        config, recipe = self.config, self.config.recipe
        rng = np.random.default_rng([config.seed, step, _DATA])
        low, high = (round(s * SAMPLE_RATE / LENGTH_STEP) for s in config.seconds)
        key_alone = step < self.key_steps
        length = LENGTH_STEP * (high if key_alone else int(rng.integers(low, high + 1)))
        # As published, noise is added to the longest excerpt, each pair of which is cropped at a place of its own.
        read = LENGTH_STEP * high if recipe.as_published else length
        known, size = self.tables, self.pairs * (KEY_TIMES if key_alone else 1) // self.halves
        if rng.random() < recipe.one_corpus and not key_alone:
            known = batches.of_one(known, str(rng.choice(config.corpora)))
        cuts = batches.draw(known, size, read, rng, 1.0 if key_alone else recipe.pitched)
        shards = []
        for i in self.mine:
            halves = []
            for source in self.sources:
                waves = source.read(self._shard(cuts, i))
                noise = torch.Generator(device=self.device).manual_seed(_seed(config.seed, step, _NOISE, i))
                if recipe.augment and not key_alone:
                    waves = augment(waves, noise, recipe.noise, recipe.as_published)
                halves.append(crop(waves, length, noise) if read > length else waves)
            shards.append(torch.cat(halves, dim=1))
        return shards, cuts

    def _shard(self, cuts: batches.Cuts, i: int) -> batches.Cuts:
        size = len(cuts.track) // self.config.shards
        return cuts[i * size : (i + 1) * size]

    def step(self) -> dict:
        """One step: pairs, loss, gradients, weights. Returns its entry in the history."""
        config, at, started = self.config, len(self.history), time.monotonic()
        coming = self.coming.pop(at, None) or self.ahead.submit(self.batch, at)
        if at + 1 < config.steps:
            self.coming[at + 1] = self.ahead.submit(self.batch, at + 1)
        shards, cuts = coming.result()
        seeds = [_seed(config.seed, at, _DROPOUT, i) for i in self.mine]
        pitched = [torch.from_numpy(self._shard(cuts, i).pitched).repeat(self.halves) for i in self.mine]
        twins = [[each.to(self.device) for each in pitched]] if self.objective.key else []
        key_alone = at < self.key_steps
        self.model.train(not key_alone).zero_grad(set_to_none=True)  # dropout and noise would hide a semitone
        self.model.backbone.requires_grad_(not key_alone and self.model.variant.backbone != "mert")
        self.objective.contrast = not key_alone
        loss, right = self._gradients(shards, seeds, *twins)
        size = torch.nn.utils.get_total_norm([p.grad for p in self.model.parameters() if p.grad is not None])
        if not torch.isfinite(loss + size):
            self._stop(loss.item(), cuts.track)
        for kind, optimiser in self.optimisers.items():
            if (kind == "key") != key_alone:
                continue
            for group in optimiser.param_groups if not key_alone else ():
                full, left = group.setdefault("initial_lr", group["lr"]), config.steps - self.key_steps
                group["lr"] = full * learning_rate_factor(at - self.key_steps, left, config.recipe)
            optimiser.step()
        for norm in batch_norm.norms_of(self.model):  # what validation and every later use of the model go by
            distributed.average([norm.running_mean, norm.running_var])
        pairs = self.history[-1]["pairs"] if at else 0
        entry = {
            "step": at + 1,
            "pairs": pairs + self.halves * len(cuts.track),
            "loss": loss.item(),
            "accuracy": right.item(),
        }
        entry |= {"gradient": size.item(), "silent": cuts.silent, "seconds": round(time.monotonic() - started, 3)}
        self.history.append(entry)
        return entry

    def _gradients(self, *shards: list) -> tuple[Tensor, Tensor]:
        """Loss and accuracy over all processes, with gradients, of shards' waves, seeds and, with twins, pitched
        pairs; separable shards one by one, which saves memory."""
        alone = [[[each] for each in shard] for shard in zip(*shards, strict=True)]
        parts, found = alone if self.objective.separable else [shards], torch.zeros(2, device=self.device)
        for part in parts:
            loss, right = self.objective(*part)
            (loss / len(parts)).backward()
            found += torch.stack([loss.detach(), right]) / len(parts)
        distributed.average([found, *(p.grad for p in self.model.parameters() if p.grad is not None)])
        return found[0], found[1]

    def _stop(self, loss: float, tracks: Iterable[int]) -> None:
        """Leave the weights as they were before a step that went wrong, and say what is not finite."""
        wrong = [n for n, p in self.model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
        if all(tensor.isfinite().all() for tensor in self.model.state_dict().values()):
            self.save()
        raise RunError(
            f"the loss is {loss} at step {len(self.history)} of {self.folder} (seed {self.config.seed}), and of the "
            f"gradients {', '.join(wrong[:3]) or 'none'} are not finite; its tracks: "
            f"{', '.join(self.tables.tracks[i].id for i in tracks)}. Started again it meets the same step: lower the "
            "rates or change the seed"
        )

    @cached_property
    def key_pairs(self) -> tuple[list[Pair], list[Pair]]:
        """The pairs with a pitch of the validation split, and the same cuts of their twins."""
        pairs = sensitivity.in_pitch(retrieval.fixed_pairs(self.valid, draw=0))
        return pairs, sensitivity.twins_of(pairs, self._tracks("valid", corpora.TWIN))

    def validate(self) -> float:
        """Top-1 among up to 64 on fixed validation pairs, or where the key is learned the mean of that and of how often
        a pair is heard in key; keeps the weights when they are the best so far."""
        step = len(self.history)
        model = batch_norm.from_batches_alone(self.model).eval()
        sides = retrieval.embeddings(model, retrieval.cut_pairs(self.valid, draw=0))
        scores = retrieval.scores_of(model, *sides)
        if not np.isfinite(scores).all():
            raise RunError(f"validation scores are not finite at step {step} of {self.folder}; lower the rates")
        accuracy = float(retrieval.top1(scores, min(64, len(self.valid))).mean())
        reached, parts = accuracy, {"valid": accuracy}
        if self.config.recipe.key:
            heard = sensitivity.preferred(retrieval.by_model(model), *self.key_pairs)["symmetrised"]
            parts["in_key"] = float(heard.mean())
            reached = (accuracy + parts["in_key"]) / 2
        if reached > self.best:
            self.best = reached
            notes = {"steps": step, **parts, "seed": self.config.seed, "corpora": self.config.corpora}
            checkpoints.save(model, self.folder / BEST, **notes)
        self.history[-1] |= parts
        return accuracy

    def run(self) -> None:
        """All steps that are left, with a bar, and the files of a finished run; ends early only by an exception."""
        config, saved, shown, asked = self.config, time.monotonic(), {}, 0
        bar = tqdm(total=config.steps * self.pairs, initial=len(self.history) * self.pairs, unit=" pairs",
                   desc=f"train {config.variant} (seed {config.seed})", disable=not self.progress, mininterval=2.0,
                   dynamic_ncols=True)  # fmt: skip
        with bar, distributed.deferred_signals() as signals:
            while len(self.history) < config.steps and not asked:
                done = self.step()["step"]
                if distributed.rank() == 0 and (done % config.valid_every == 0 or done == config.steps):
                    shown["valid"] = self.validate()
                shown |= {key: np.mean([entry[key] for entry in self.history[-8:]]) for key in ("loss", "accuracy")}
                bar.set_postfix(shown, refresh=False)
                bar.update(self.pairs)
                asked = distributed.largest(max(signals, default=0), self.device)
                if asked or time.monotonic() - saved > SAVE_SECONDS:
                    self.save()
                    saved = time.monotonic()
        distributed.barrier()  # nobody leaves before the first process has saved
        if asked:
            distributed.obey(asked)
        if distributed.rank() == 0:
            done = {"best_valid": self.best, "seconds": sum(entry["seconds"] for entry in self.history)}
            _write_json(self.folder / DONE, done | {"history": self.history})  # last: it stands for a whole run
            (self.folder / STATE).unlink(missing_ok=True)

    def save(self) -> None:
        """Everything needed to go on, in one file, whole or not at all."""
        if distributed.rank() != 0:
            return
        tensors = {f"model/{name}": t for name, t in self.model.state_dict().items()}
        for kind, optimiser in self.optimisers.items():
            for i, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"{kind}/{i}/{slot}": torch.as_tensor(value) for slot, value in slots.items()}
        progress = {"step": len(self.history), "best": self.best, "history": self.history}
        checkpoints.write_tensors(self.folder / STATE, tensors, {"progress": json.dumps(progress)})

    def resume(self) -> None:
        """Take up the saved state, if there is one; an InputError if it cannot be read."""
        path = self.folder / STATE
        if not path.is_file():
            return
        tensors, metadata = checkpoints.read_tensors(path)
        progress = json.loads(metadata["progress"])
        checkpoints.fill(self.model, _below("model/", tensors), str(path))
        for kind, optimiser in self.optimisers.items():
            state = optimiser.state_dict()
            for name, tensor in _below(f"{kind}/", tensors).items():
                i, slot = name.split("/")
                state["state"].setdefault(int(i), {})[slot] = tensor
            optimiser.load_state_dict(state)
        self.best, self.history = progress["best"], progress["history"]


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _source(known: batches.Tables, device: torch.device) -> batches.StoredSource | batches.ResidentSource:
    """A GPU keeps all audio in its own memory if it takes no more than half of what is free."""
    size = 2 * int((known.samples * known.stems).sum())
    fits = device.type == "cuda" and size < torch.cuda.mem_get_info(device)[0] / 2
    return (batches.ResidentSource if fits else batches.StoredSource)(known, device)


def _described(config: TrainConfig) -> dict:
    """What ``config.json`` holds: the settings, and last the hash that also stands for code and corpora."""
    return json.loads(json.dumps(asdict(config) | {"start_hash": config.start_hash, "hash": config.hash}))


def _refuse(folder: Path, config: TrainConfig) -> None:
    """Refuse a folder, made if need be, that is another config's, or that of other code or corpora."""
    folder.mkdir(parents=True, exist_ok=True)
    path, mine = folder / CONFIG, _described(config)
    theirs = json.loads(path.read_text()) if path.is_file() else mine
    for key in (key for key in mine if theirs.get(key) != mine[key]):
        other = f"{key} = {theirs.get(key)!r}, not {mine[key]!r}"
        if key == "hash":
            other = "these settings by another version of the code or the corpora"
        raise InputError(f"{folder} holds a run with {other}; choose another folder")


def _write_json(path: Path, value: object) -> None:
    with paths.replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1))


def chosen_device(name: str | torch.device) -> torch.device:
    """``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``, as torch writes it."""
    if isinstance(name, torch.device):
        return name
    there = ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]
    if name not in ["auto", *there]:
        raise InputError(f"device {name!r} is not at hand; use 'auto', 'cpu', or 'cuda' where there is a GPU")
    return torch.device(there[0] if name == "auto" else name)


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def with_steps(
    config: TrainConfig, minutes: float, folder: Path, device: str = "auto", progress: bool = True
) -> TrainConfig:
    """The config with as many steps as fit into some minutes here, timed on a few that are thrown away; or those of a
    run in ``folder`` that differs in nothing else, so that it goes on."""
    if not minutes > 0:
        raise InputError(f"minutes = {minutes}; give a positive number")
    path = Path(folder) / CONFIG
    theirs = json.loads(path.read_text()) if path.is_file() else {}
    with distributed.joined(chosen_device(device)) as chosen:
        steps = theirs.get("steps", 1)
        if _described(replace(config, steps=steps)) != theirs:
            trial = Trainer(replace(config, recipe=replace(config.recipe, key_first=0.0)), Path(), chosen, progress)
            seconds = [trial.step()["seconds"] for _ in range(4)]
            steps = max(1, math.floor(60 * minutes / float(np.median(seconds[1:]))))
        return replace(config, steps=distributed.largest(steps, chosen))
