"""Training runs whose weights ship with the package, so that a table is recomputed without training.

A row of the reference run is one file ``weights/ROW.safetensors``: its weights in half precision, and as text the
training that was asked for, what its search of learning rates found, and its learning curve. It serves wherever the
same training is asked for, whatever the code has become since. Book page *The weights that ship*.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open

from phalar import fingerprint, paths
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.train import loop
from phalar.train.config import TrainConfig

FOLDER = checkpoints.REFERENCE_FILE.parent
ASKED, TOLD = "asked", "told"  # what the text of a file is called
LEVELS = (0.1, 0.3, 0.5, 0.7)  # validation accuracies by which the cost of a row is told


def values(config: TrainConfig) -> dict[str, Any]:
    """What a training is made of, as JSON has it, but for the learning rates, which a search may have changed."""
    made = json.loads(json.dumps(asdict(config)))
    for name in ("muon_lr", "vector_lr", "form_lr"):
        made["recipe"].pop(name)
    if not made["start"]:
        del made["start"]  # runs that ship tell of a start only where they have one
    return made


def pack(run: loop.Run, search: Mapping[float, loop.Run], name: str, folder: Path = FOLDER) -> Path:
    """Write a finished run's chosen weights to ``folder/NAME.safetensors`` in half precision; ``search`` holds the runs
    by which its learning rates were found, by what the preset's were multiplied by."""
    tried = {each: {"best_valid": found.best_valid, "seconds": found.seconds} for each, found in search.items()}
    told = {"history": run.history, "best_valid": run.best_valid, "seconds": run.seconds}
    texts = {ASKED: values(run.config), TOLD: told | {"search": tried}}
    target, weights = folder / f"{name}.safetensors", run.model().state_dict()
    real = {key: torch.view_as_real(weight) if weight.is_complex() else weight for key, weight in weights.items()}
    half = {key: weight.half() if weight.is_floating_point() else weight for key, weight in real.items()}
    checkpoints.write_tensors(target, half, {key: json.dumps(value) for key, value in texts.items()})
    return target


def find(config: TrainConfig, rates: Collection[float], but: Collection[str] = ()) -> dict[str, Any] | None:
    """What is told of the run that ships for a training, but for some of its values, whose search tried these multiples
    of the learning rates, with its ``file``; None if none does."""
    wanted = {name: value for name, value in values(config).items() if name not in but}
    for asked, told in texts():
        if wanted.items() <= asked.items() and {float(rate) for rate in told["search"]} == set(rates):
            return told
    return None


def texts() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Of every run that ships, what was asked for and what is told of it, with its ``file``."""
    for file in sorted(FOLDER.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:  # the text alone, not the weights
            found = opened.metadata() or {}
        if ASKED in found:
            yield json.loads(found[ASKED]), json.loads(found[TOLD]) | {"file": file}


def costs() -> pd.DataFrame:
    """What the rows cost whose weights ship, a row each, as texts: steps, pairs, pairs a second by the median step,
    hours at that pace, best validation accuracy, and minutes until it first reached each of `LEVELS`, where it did."""
    rows = []
    for _, told in sorted(texts(), key=lambda each: -each[1]["best_valid"]):
        history, pace = told["history"], median(entry["seconds"] for entry in told["history"])
        steps, pairs = len(history), history[-1]["pairs"]
        row = {"row": f"`{told['file'].stem}`", "steps": steps, "pairs": f"{pairs:,}"}
        row |= {"pairs/s": f"{pairs / (steps * pace):.1f}", "hours": f"{steps * pace / 3600:.2f}"}
        row["validation top-1 (%)"] = f"{100 * told['best_valid']:.1f}"
        for level in LEVELS:
            at = next((entry["step"] for entry in history if entry.get("valid", 0) >= level), None)
            row[f"minutes to {100 * level:.0f} %"] = "–" if at is None else f"{at * pace / 60:.0f}"
        rows.append(row)
    return pd.DataFrame(rows)


def unpack(told: Mapping[str, Any], config: TrainConfig) -> loop.Run:
    """The run that a file tells of, its weights in single precision in the cache."""
    folder = paths.cache() / "runs" / f"shipped-{told['file'].stem}-{fingerprint.of_file(told['file'])}"
    if not (folder / loop.BEST).is_file():
        model, (weights, _) = build(config.variant, seed=0), checkpoints.read_tensors(told["file"])
        kinds = model.state_dict()
        full = {key: weight.float() for key, weight in weights.items() if key in kinds}
        full |= {key: torch.view_as_complex(full[key]) for key in full if kinds[key].is_complex()}
        full = {key: weight.to(kinds[key].dtype) for key, weight in full.items()}
        checkpoints.fill(model, full, str(told["file"]))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoints.save(model, folder / loop.BEST)
    return loop.Run(folder, config, told["history"], told["best_valid"], told["seconds"])
