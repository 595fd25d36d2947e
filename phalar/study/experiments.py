"""What the notebooks ask for: `settings` of a cell of a table, `train`, `evaluate`, and the grid of all cells.

Finished work is kept in the cache under the hash of what determines it, so a notebook that is run again, or another
one that needs the same model, does not train twice. Book notebooks *Stem retrieval* and *Ablations*.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import torch

from phalar import corpora, fingerprint, paths
from phalar.datasets.prepare import prepare
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.statistics import Estimate, estimate
from phalar.model import checkpoints
from phalar.study import shipped
from phalar.study.compare import GAINED
from phalar.study.records import OUTCOMES, Outcome, Record, append, record
from phalar.study.run import Study, declared_parameters
from phalar.train import loop
from phalar.train.config import TrainConfig, config

SEARCH_SEED = 1_000  # no table's models are trained from it

# All that determines a cell of a table: its training, then its test. A row of the ablations changes some of these.
SETTINGS: dict[str, Any] = {
    "variant": "phalar",
    "corpora": ["chorales", "band", "studio"],  # tested on each
    "trained": None,  # trained on their mixture; None: all that have a training split, real ones alone if there are any
    "seed": 0,
    "steps": 40,
    "longer": {},  # how many times the steps a variant gets that learns more slowly
    "batch_size": 32,
    "shards": 1,
    "excerpt_seconds": [3.0, 3.0],
    "preset": "short",
    "target": None,  # probability asked of the true pair, where it is not the preset's
    "identity": None,  # W's start, times the identity (0: at random), where it is not the preset's
    "rate": 1.0,  # what the preset's learning rates are multiplied by,
    "search": [],  # or: the best of these, by validation after
    "search_steps": 40,  # so many steps
    "retrain": True,  # else weights that ship serve where there are some of just this training
    "limit": 0,  # tracks of each split, 0 for all
    "draws": 2,  # pairs cut from each test track
    "ks": [8, 16, 64],
    "test_seconds": retrieval.SECONDS,
    "symmetrised": True,  # the score is the mean of both directions
    "device": "auto",
}


def settings(real: Sequence[str] = (), **chosen: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """`SETTINGS` with some ``chosen`` otherwise, and with the ``real`` data sets that are at hand, prepared now where
    their root is given (``NAME=ROOT``); as soon as one has a training split, models are trained on real data alone.
    Returns settings, and why each real data set that cannot be used is left out."""
    if unknown := chosen.keys() - SETTINGS:
        raise InputError(f"unknown setting {min(unknown)!r}; there are {', '.join(SETTINGS)}")
    made, found, absent = SETTINGS | chosen, [], {}
    for entry in real:
        name, _, root = entry.partition("=")
        try:
            ready = prepare(name, Path(root), progress=True).name if root else name
            corpora.folder(ready)
            found.append(ready)
        except InputError as error:
            absent[name] = str(error)
    made["corpora"] = [*made["corpora"], *found]
    if made["trained"] is None:
        can = [name for name in made["corpora"] if corpora.pieces(name, "train", 1)]
        made["trained"] = [name for name in can if name in found] or can
    return made, absent


def training(chosen: Mapping[str, Any]) -> TrainConfig:
    """The training run that settings ask for."""
    names = ("seed", "preset", "batch_size", "shards", "limit", "target", "identity", "rate")
    how = {name: chosen[name] for name in names} | {"seconds": chosen["excerpt_seconds"]}
    how["steps"] = chosen["steps"] * chosen["longer"].get(chosen["variant"], 1)
    # A look at the validation split takes as long as a step or two.
    return config(chosen["variant"], chosen["trained"], valid_every=min(max(10, how["steps"] // 6), 500), **how)


def train(chosen: Mapping[str, Any]) -> loop.Run:
    """The finished training run of some settings: found, or trained (to its end, if it was stopped), with the learning
    rates that its own search found best; where nothing is to be trained again, the one that ships."""
    asked, ready = training(tuned(chosen)), _shipped(chosen)
    if ready:
        return shipped.unpack(ready, asked)
    folder = paths.cache() / "runs" / f"{asked.variant}-{asked.hash}"
    return loop.train(asked, folder, device=chosen["device"])


def _shipped(chosen: Mapping[str, Any], but: Sequence[str] = ()) -> dict[str, Any] | None:
    """What is told of the run that ships for some settings ``but`` these, if they ask for none of their own and for no
    longer or shorter search than that of every run that ships."""
    own = chosen["retrain"] or chosen["search_steps"] != SETTINGS["search_steps"]
    return None if own else shipped.find(training(chosen), chosen["search"], but)


def searches(chosen: Mapping[str, Any]) -> dict[float, loop.Run]:
    """The trainings by which a model's learning rates are found, the same for every model and for all its seeds, by
    multiple of the preset's rates."""
    short = {"steps": chosen["search_steps"], "seed": SEARCH_SEED, "search": []}
    ready = _shipped(chosen, but=("seed", "steps", "valid_every"))
    tried = {rate: {**chosen, **short, "rate": rate} for rate in chosen["search"]}
    if ready:
        told = {float(rate): each for rate, each in ready["search"].items()}
        return {rate: loop.Run(ready["file"], training(each), [], **told[rate]) for rate, each in tried.items()}
    return {rate: train(each) for rate, each in tried.items()}


def tuned(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the learning rates that are best on the validation split after the search, to the whole point (the
    first, of those that are equal), as they are without."""
    found = {rate: round(run.best_valid, 2) for rate, run in searches(chosen).items()}
    return {**chosen, "rate": max(found, key=found.get, default=chosen["rate"])}


def search_records(chosen: Mapping[str, Any], name: str) -> list[Record]:
    """What the search of a row of a table found: validation accuracy by multiple of the learning rates."""
    made, about = [], {"experiment": "search", "dataset": " + ".join(chosen["trained"]), "metric": "top1"}
    for rate, run in searches(chosen).items():
        about |= {"steps": run.config.steps, "seed": SEARCH_SEED, "config_hash": run.config.hash, "variant": name}
        made.append(record(run.best_valid, split=f"valid, rates times {rate:g}", wall_seconds=run.seconds, **about))
    return made


def gained(run: loop.Run, chosen: Mapping[str, Any]) -> float | None:
    """What a training of some settings added to the best validation accuracy that its search, which is much shorter,
    had reached; None where there was none."""
    same = {"variant": run.config.variant, "trained": list(run.config.corpora)}
    found = [short.best_valid for short in searches({**chosen, **same}).values()]
    return run.best_valid - max(found) if found else None


@dataclass(frozen=True)
class Tested:
    """Trained weights' retrieval on one corpus."""

    about: dict[str, Any]  # what records say of the weights and the corpus
    gained: float | None  # since the search
    tracks: list[Track]
    scores: np.ndarray  # (draws, n, n), rows anchors, columns positives
    results: dict[int, Estimate]  # by K

    def records(self, experiment: str = "retrieval", variant: str = "") -> list[Record]:
        """A record for each K, and what was gained; ``variant`` is what a table calls it, if not its own."""
        about = self.about | {"experiment": experiment, "variant": variant or self.about["variant"]}
        made = [record(found, metric="top1", k=k, **about) for k, found in self.results.items()]
        return made if self.gained is None else [*made, record(self.gained, metric=GAINED, **about)]

    def outcome(self, row: str) -> Outcome:
        """What a comparison of this ``row`` with others needs."""
        rivals = [retrieval.rivals(of_draw).tolist() for of_draw in self.scores]
        about = {name: self.about[name] for name in ("dataset", "seed", "config_hash")}
        return Outcome(variant=row, rivals=rivals, **about)


def sizes(corpus: str, chosen: Mapping[str, Any]) -> list[int]:
    """The Ks of some settings for which a corpus has enough test tracks."""
    tracks = len(corpora.load(corpus, "test", limit=chosen["limit"] or None))
    return [k for k in chosen["ks"] if k <= tracks]


def evaluate(run: loop.Run | str, corpus: str, chosen: Mapping[str, Any]) -> Tested:
    """Retrieval on a corpus' test split with the weights that a training ``run`` chose, or those that ship
    (``"reference"``); the scores of each draw are kept. Of the settings ``ks, draws, limit, test_seconds, symmetrised,
    device`` and the run's own count here.
    """
    device = loop.chosen_device(chosen["device"])
    about = {"variant": checkpoints.REFERENCE, "dataset": corpus, "split": "test", "device": device.type}
    if run == checkpoints.REFERENCE:
        file, gain, told = checkpoints.REFERENCE_FILE, None, checkpoints.notes(checkpoints.REFERENCE)
        about |= {"steps": told["steps"], "wall_seconds": told["seconds"], "config_hash": told["config_hash"]}
    else:
        file, gain, made = run.folder / loop.BEST, gained(run, chosen), run.config
        about |= {"variant": made.variant, "seed": made.seed, "steps": made.steps, "config_hash": made.hash}
        about["wall_seconds"] = run.seconds
    tracks = corpora.load(corpus, "test", limit=chosen["limit"] or None)
    kept = _scores(file, corpus, tracks, chosen, device, f"test {about['variant']} on {corpus}")
    scores = kept["symmetrised" if chosen["symmetrised"] else "one way"]
    results = {k: estimate(retrieval.by_track(scores, k)) for k in sizes(corpus, chosen)}
    return Tested(about, gain, tracks, scores, results)


def _scores(file: Path, corpus: str, tracks: list[Track], chosen: Mapping[str, Any], device, label: str) -> dict:
    """Scores of a corpus' test pairs by a file of weights, which is loaded only if a draw is not kept yet."""
    model = cache(lambda: checkpoints.load(file).to(device))
    how = {"ks": sizes(corpus, chosen), "seconds": chosen["test_seconds"], "label": label}
    how["key"] = [fingerprint.of_file(file), corpora.version(corpus), fingerprint.of_code("model")]
    return retrieval.evaluate(lambda cuts: retrieval.by_model(model())(cuts), tracks, chosen["draws"], **how)


def table_of_rows(notebook: Path) -> dict[str, dict[str, Any]]:
    """The rows of the ablations, as their notebook's literal table ``ROWS`` has them: name to what it changes."""
    sources = [cell.source for cell in nbformat.read(notebook, as_version=4).cells if "ROWS = " in cell.source]
    nodes = [node for source in sources for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    rows = next(node.value for node in nodes if node.targets[0].id == "ROWS")
    return {name: row for group in ast.literal_eval(rows).values() for name, row in group.items()}


def choose(rows: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """Rows by name in the table's order, the full model always among them; an unknown name is an `InputError`."""
    if unknown := set(names) - rows.keys():
        raise InputError(f"unknown cell {min(unknown)!r}; the table has {', '.join(rows)}")
    return [name for name in rows if name in {"phalar", *names}]


@dataclass(frozen=True)
class Job:
    """One training run of the grid, and the rows of the table that its weights serve."""

    index: int
    rows: dict[str, dict[str, Any]]  # settings by name; they share their training
    training: TrainConfig

    def about(self) -> dict[str, Any]:
        """Number, rows and seed."""
        return {"index": self.index, "cells": "+".join(self.rows), "seed": self.training.seed}

    def run(self, target: Path, threads: int | None = None) -> list[Record]:
        """Train and test, or find; the records are appended to ``target``, outcomes to ``outcomes.jsonl`` beside it."""
        torch.set_num_threads(threads or torch.get_num_threads())
        made, outcomes = [], []
        for name, chosen in self.rows.items():
            run = train(chosen)
            made += search_records(chosen, name)
            for corpus in chosen["corpora"]:
                tested = evaluate(run, corpus, chosen)
                made += tested.records("ablations", name)
                outcomes.append(tested.outcome(name))
                if name == "phalar" and not chosen["retrain"]:  # tables that are recomputed show these beside it
                    evaluate(checkpoints.REFERENCE, corpus, chosen)
        append(target, made)
        append(target.with_name(OUTCOMES.name), outcomes)
        return made


def jobs(study: Study) -> list[Job]:
    """The ablation grid of a run as independent jobs, numbered from 0: a seed's whole table before the next's."""
    notebook = study.root / "notebooks" / "ablations.ipynb"
    values = declared_parameters(notebook) | study.parameters("ablations")
    table = table_of_rows(notebook)
    common, _ = settings(values["real"], **{name: values[name] for name in SETTINGS if name in values})
    shared: dict[TrainConfig, dict[str, dict]] = {}
    for seed in values["seeds"]:
        for name in choose(table, values["cells"]):
            chosen = common | table[name] | {"seed": seed}
            shared.setdefault(training(chosen), {})[name] = chosen
    return [Job(number, rows, asked) for number, (asked, rows) in enumerate(shared.items())]


def mismatched(file: Path) -> dict[str, Any]:
    """How weights score pairs of the built-in test sets that do not belong together (a mix, and a stem of another
    piece): 0, 1, ... 100 % quantiles; and what share of those that do scores above 95 % of them, by corpus."""
    own, others = {}, []
    for name in SETTINGS["corpora"]:
        tracks = corpora.load(name, "test", limit=SETTINGS["limit"] or None)
        found = _scores(file, name, tracks, SETTINGS, "cpu", name)["symmetrised"]
        diagonal = np.eye(len(tracks), dtype=bool)
        own[name], others = found[:, diagonal], [*others, found[:, ~diagonal].ravel()]
    quantiles = np.quantile(np.concatenate(others), np.linspace(0, 1, 101)).round(4)
    above = {name: round(float((scores > quantiles[95]).mean()), 3) for name, scores in own.items()}
    weights = fingerprint.of_weights(checkpoints.load(file))
    return {"weights": weights, "above 95": above, "quantiles": quantiles.tolist()}


def ship(folder: Path, target: Path = checkpoints.REFERENCE_FILE) -> dict[str, Any]:
    """Write a finished run's chosen weights to the package, with how they were trained, which is returned, and beside
    them how they score (:func:`mismatched`). An `InputError` where the folder holds no finished run of PHALAR."""
    files = [folder / name for name in (loop.CONFIG, loop.DONE)]
    made, done = (json.loads(file.read_text()) if file.is_file() else {} for file in files)
    if not done or made["variant"] != "phalar":
        raise InputError(f"{folder} holds no finished training run of phalar; give a folder that `phalar train` filled")
    best, chosen = folder / loop.BEST, checkpoints.notes(folder / loop.BEST)
    notes = {"steps": chosen["steps"], "of_steps": made["steps"], "batch_size": made["batch_size"] * made["shards"]}
    notes |= {"pairs": done["history"][chosen["steps"] - 1]["pairs"], "excerpt_seconds": made["seconds"]}
    notes |= {"seconds": round(done["seconds"])} | {k: chosen[k] for k in ("valid", "in_key") if k in chosen}
    notes |= {name: made[name] for name in ("seed", "corpora", "preset")} | {"config_hash": fingerprint.of_file(best)}
    if made.get("start"):  # whose weights it went on from
        if fingerprint.of_file(Path(checkpoints.file_of(made["start"]))) != made["start_hash"]:
            raise InputError(f"{made['start']} is no longer the file of weights that the run in {folder} went on from")
        before = checkpoints.notes(made["start"])
        notes |= {name: notes[name] + before[name] for name in ("steps", "pairs", "seconds")} | {"before": before}
        notes["of_steps"] += before["steps"]
    target.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(checkpoints.load(best), target, **notes)
    with paths.replacing(target.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(mismatched(target)) + "\n")
    return notes


def pack(study: Study, row: str) -> Path:
    """Let a row's weights of the first seed ship with the package (`phalar.study.shipped`); they are trained if they
    are not yet."""
    chosen = next((job.rows[row] for job in jobs(study) if row in job.rows), None)
    if chosen is None:
        raise InputError(f"no row {row!r} in the profile {study.values['profile_name']}; name one of its cells")
    return shipped.pack(train(chosen), searches(chosen), row)
