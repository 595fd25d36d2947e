"""The command line: ``phalar COMMAND``. It parses, calls the package, and prints; nothing is computed here.

A command is a function of the classes below, which are only names for its groups; its arguments are the function's,
keyword-only ones are options, and ``**`` stands for those of a data set. Exit codes: 0 done, 1 the work failed, 2 bad
input, 130 interrupted. With ``--json`` one JSON object goes to standard output and nothing else; progress bars go to
standard error.
"""

import inspect
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import get_args

import click

from phalar.errors import InputError, RunError


class _Later:
    """A module of the package that is imported when something of it is used: PyTorch takes seconds, help should not."""

    def __init__(self, name: str) -> None:
        self.module = f"phalar.{name}"

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self.module), name)


beats, chords, judgements, others, retrieval, sensitivity, statistics = (
    _Later(f"evaluate.{name}")
    for name in ("beats", "chords", "judgements", "others", "retrieval", "sensitivity", "statistics")
)
book, compare, experiments, records, run = (
    _Later(f"study.{name}") for name in ("book", "compare", "experiments", "records", "run")
)
copies, store, corpora, bench, plots = map(_Later, ("datasets.prepare", "datasets.store", "corpora", "bench", "plots"))
assembly, checkpoints, official, variants = (
    _Later(f"model.{name}") for name in ("assembly", "checkpoints", "official", "variants")
)
config, loop, fingerprint, matching = map(_Later, ("train.config", "train.loop", "fingerprint", "matching"))

SHOWN = ["experiment", "dataset", "split", "variant", "seed", "metric", "k", "value", "ci_low", "ci_high", "n"]
HELP = {
    "model": "'reference', a checkpoint, or a variant (untrained)",
    "corpus": "built-in, or a data set that was prepared",
    "device": "'auto', 'cpu' or 'cuda'",
    "limit": "tracks at most, 0 for all",
    "steps": "optimiser steps",
    "minutes": "in place of --steps: as many as fit, timed on the first few",
    "preset": "'published', 'default', 'long' or 'short' (ever shorter runs), or 'musical' (hears the key)",
    "start": "weights to go on from: a file, or 'reference' for those that ship",
    "shards": "batches a step, shared out to the devices of torchrun",
    "negatives": "an anchor meets the positives of its 'shard', or 'all'",
    "seconds": "shortest and longest excerpt",
    "draws": "pairs cut from each track",
    "weights": "of a scorer whose package has none",
    "gtzan": "a copy of GTZAN, in place of --corpus",
    "annotations": "the folder of GTZAN's beats",
    "guitarset": "a copy of GuitarSet, in place of --corpus",
    "recordings": "so many, 0 for all",
    "ratings": "the authors' published ratings: their folder listening_tests",
    "audio": "what was rated, SONG/INSTRUMENT_VERSION.wav: the model joins the metrics",
    "hop": "seconds between windows; published: 0.02",
    "profile": "its name, or a YAML file of your own",
    "override": "a parameter and its value, in place of the profile's",
    "jobs": "processes at a time (of data: by default one a processor)",
    "results": "results file, in place of the run's",
    "list": "print the jobs and do none",
    "plot": "picture of where each stem fits (.svg, .png, .pdf)",
    "index": "do this one job alone (an array job's number)",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    logging.basicConfig(level=logging.INFO, format="phalar: %(message)s", stream=sys.stderr)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    warnings.showwarning = lambda message, *_: click.echo(f"phalar: warning: {message}", err=True)
    try:
        return cli.main(arguments, "phalar", standalone_mode=False) or 0
    except (InputError, click.ClickException) as error:
        code, said = 2, f"error: {error.format_message() if isinstance(error, click.ClickException) else error}"
    except (RunError, OSError, MemoryError) as error:
        code, said = 1, f"error: {error}"
    except (KeyboardInterrupt, click.Abort):
        code, said = 130, "interrupted; run the same command again to go on"
    click.echo("phalar: " + " ".join(said.split()), err=True)
    return code


def _text(result: dict) -> str:
    """A result for people: a line a value, a table a list of rows."""
    import pandas as pd

    lines = []
    for name, value in result.items():
        if not isinstance(value, list):
            lines.append(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
        elif value:
            rows = pd.DataFrame(value, columns=SHOWN if name == "records" else None).astype(object)
            lines.append(rows.fillna("").to_string(index=False, float_format="{:.4g}".format))
    # Names of files may hold bytes that are no text.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


class Command(click.Command):
    """A function as a command that prints the dictionary it returns, or the text beside it."""

    def __init__(self, name: str, function: Callable) -> None:
        about = inspect.signature(function).parameters.values()
        self.any = [each for each in about if each.kind is each.VAR_KEYWORD]
        params = [_parameter(each) for each in about if each not in self.any]
        params.append(click.Option(["--json", "as_json"], is_flag=True, help="print one JSON object and nothing else"))

        def call(as_json: bool, **values: object) -> int:
            found = function(**{name: value for name, value in values.items() if value is not None})
            result, text = found if isinstance(found, tuple) else (found, "")
            click.echo(json.dumps(result, default=str) if as_json else text or _text(result))
            return int(result.get("whole") is False)

        super().__init__(name, params=params, help=function.__doc__, callback=call)

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        """``--k 8 16`` means ``--k 8 --k 16``, which is how click takes several values."""
        several = (each for each in self.params if getattr(each, "multiple", False) and each.nargs == 1)
        many = {option for each in several for option in each.opts}
        words, name = [], ""
        for word in arguments:
            if not word.startswith("-") and name in many and words[-1] != name:
                words.append(name)
            name = word if word.startswith("-") else name
            words.append(word)
        return super().parse_args(context, words)

    def get_params(self, context: click.Context) -> list[click.Parameter]:
        """With the options of all data sets for ``**``; a data set refuses those of others. Read when asked for."""
        sets = copies.DATASETS.values() if self.any else ()
        options = ((each.name, *option) for each in sets for option in each.options.items())
        texts = {name: f"{of}: {' or '.join(choices) or 'a folder'}" for of, name, choices in options}
        return [click.Option([f"--{name}"], help=text) for name, text in texts.items()] + super().get_params(context)


def _parameter(about: inspect.Parameter) -> click.Parameter:
    """An argument of a function as one of its command; those that are annotated as tuples take any number of words."""
    kind, default, name = (get_args(about.annotation) or [about.annotation])[0], about.default, about.name
    how = {"type": {Path: click.Path(path_type=Path, resolve_path=True), int: int, float: float}.get(kind)}
    if about.kind is not about.KEYWORD_ONLY:
        return click.Argument([name], nargs=-1 if kind is tuple else 1, **how)
    names = ["-p", name] if name == "override" else [f"--{name.replace('_', '-')}"]
    how |= {"nargs": 2 if name in ("override", "seconds") else 1, "multiple": kind is tuple}
    how |= {"required": True} if default is about.empty else {"default": default, "show_default": bool(default)}
    how["is_flag"] = default is False
    return click.Option(names, help=HELP.get(name), **how)


def _group(commands: type, name: str) -> click.Group:
    made = [Command(name, function) for name, function in vars(commands).items() if inspect.isfunction(function)]
    return click.Group(name, made, help=commands.__doc__)


def _estimates(rows: Iterable[dict], model, experiment: str, dataset: str, **about) -> dict:
    """Estimates (each a row: estimate, metric and what else is known) as records."""
    about |= {"device": model.device.type, "variant": model.variant.name} if model else {}
    about |= {"experiment": experiment, "dataset": dataset}
    return _records(records.record(row.pop("estimate"), **(about | row)) for row in rows)


def _records(made) -> dict:
    return {"records": [vars(record) for record in made]}


def _either(own: str, corpus: str | None, copy: Path | None) -> None:
    if (corpus, copy is None) not in ((own, True), (None, False)):
        raise InputError(f"name either the corpus {own!r} or a copy of the real data set; {corpus!r} is not for this")


def _run(profile: str, override: Iterable[tuple[str, str]], **more):
    """The run of the study that a profile and ``-p NAME VALUE`` mean; values are Python literals, or else texts."""
    return run.study(profile, {name: run.literal(text) for name, text in override} | more)


class Top:
    """PHALAR, reproduced: phasors for musical audio."""

    def models():
        """The registry: variants, parameters, what differs."""
        counts, rows = assembly.parameters(), variants.VARIANTS
        return {"models": [{"variant": row, "parameters": counts[row], "differs": rows[row].differs} for row in rows]}

    def render(corpus: tuple, *, jobs: int | None = None):
        """Render built-in corpora into the cache; all if none is named."""
        folders = {name: corpora.folder(name) for name in corpus or corpora.CORPORA}
        for name in folders:
            corpora.render(name, jobs=jobs)
        return {"corpora": folders}

    def train(variant, *, corpus: tuple, seed=0, steps=100, limit=0, minutes: float | None = None,
              device="auto", preset="default", batch_size=32, out: Path, shards=1, negatives="shard",
              seconds=(2.0, 10.0), start=""):  # fmt: skip
        """Train a model; started again it goes on where it was stopped."""
        how = {"preset": preset, "batch_size": batch_size, "shards": shards, "negatives": negatives, "seconds": seconds}
        how |= {"start": start, "valid_every": max(25, steps // 12)}  # a look takes as long as six steps
        settings = config.config(variant, corpus, seed=seed, limit=limit, steps=steps, **how)
        if minutes is not None:
            settings = loop.with_steps(settings, minutes, out, device=device)
        done = loop.train(settings, out, device=device)
        best = {"checkpoint": done.folder / loop.BEST, "best_valid": done.best_valid}
        return best | {"steps": settings.steps, "seconds": done.seconds}

    def score(mix, stem, *, model="reference"):
        """How well a stem fits a mix, and in how many of 100 mismatched pairs it fits less."""
        value = matching.score(mix, stem, model=model)
        above = "" if value.percentile is None else f"  above {value.percentile:.1f} % of mismatched pairs"
        return {"mix": mix, "stem": stem, "score": value} | vars(value), f"{value:.4f}{above}  ({value.weights})"

    def rank(mix, stem: tuple, *, model="reference", plot: Path | None = None):
        """Stems (files, or one folder of them) by how well they fit a mix, best first."""
        if plot and not (plot.suffix in (".svg", ".png", ".pdf") and plot.parent.is_dir()):
            raise InputError(f"--plot {plot}: give a .svg, .png or .pdf file in a folder that is there")
        found = matching.rank(mix, stem[0] if len(stem) == 1 and Path(stem[0]).is_dir() else stem, model=model)
        made = [asdict(each) | getattr(each.score, "__dict__", {}) for each in found]
        rows = [{"stem": each.name, "score": each.score, "percentile": getattr(each.score, "percentile", None),
                 "windows": len(each.windows)} | ({"problem": each.problem} if each.problem else {})
                for each in found]  # fmt: skip
        if plot:
            plots.fits(found).savefig(plot, bbox_inches="tight")
        return {"mix": mix, "ranking": made}, _text({"mix": mix, "ranking": rows} | ({"picture": plot} if plot else {}))

    def convert(source: Path, target: Path):
        """Turn an official checkpoint into one of ours; no code in it is run."""
        model = official.load_official(source)
        checkpoints.save(model, target, source="official checkpoint")
        return {"variant": model.variant.name, "parameters": model.num_parameters, "path": target}

    def bench(name):
        """Speed beside a plain reference implementation, of one of: cqt, encode, train, data."""
        return bench.run(name)


class Evaluate:
    """Evaluate a model."""

    def retrieval(*, model="reference", corpus: str, seed=0, limit=0, split="test", k: tuple = (8, 16, 64), draws=5,
                  weights: Path | None = None):  # fmt: skip
        """Top-1 stem retrieval among K candidates; by others' measures, too, such as --model musicnn."""
        if model in others.OTHERS:
            rows = others.evaluate(model, corpus, k, draws=draws, limit=limit, split=split, seed=seed, weights=weights)
            return _estimates(rows, None, "retrieval", corpus, split=split, variant=model)
        network, tracks = matching.resolve_model(model), corpora.load(corpus, split, limit=limit or None)
        how = {"ks": k, "seed": seed, "label": f"test {model} on {corpus}"}
        scores = retrieval.evaluate(retrieval.by_model(network), tracks, draws, **how)["symmetrised"]
        made_of = [fingerprint.of_weights(network), corpora.version(corpus), split, draws, limit, seed]
        rows = [{"k": each, "estimate": statistics.estimate(retrieval.by_track(scores, each))} for each in k]
        return _estimates(rows, network, "retrieval", corpus, split=split, metric="top1",
                          config_hash=fingerprint.fingerprint(made_of))  # fmt: skip

    def beats(*, model="reference", corpus: str | None = None, gtzan: Path | None = None,
              annotations: Path | None = None, limit=0, device="auto"):  # fmt: skip
        """Zero-shot beat tracking by similarity to metronomes."""
        _either("beats", corpus, gtzan)
        if gtzan and annotations is None:
            raise InputError(f"GTZAN at {gtzan}: name the folder of its beats, too (--annotations DIR)")
        network = matching.resolve_model(model).to(loop.chosen_device(device))
        halves = {"clips": beats.spread_over(beats.gtzan(gtzan, annotations), limit)} if gtzan else beats.halves(limit)
        tracks = [*chain(*halves.values())]
        found = beats.summary(beats.evaluate(network, tracks, published=0, others={}))
        return _estimates(found.to_dict("records"), network, "beats", tracks[0].dataset)

    def chords(*, model="reference", corpus: str | None = None, guitarset: Path | None = None, recordings=0,
               device="auto", hop=0.5):  # fmt: skip
        """A linear probe for chords on frozen embeddings."""
        _either("comping", corpus, guitarset)
        network = matching.resolve_model(model).to(loop.chosen_device(device))
        name = corpus or copies.prepare("guitarset", guitarset, progress=True).name
        ids = chords.choose(corpora.pieces(name, "test"), recordings)
        tracks = corpora.load(name, "test", ids=ids, progress=True)
        return _estimates(chords.evaluate(network, tracks, hop).to_dict("records"), network, "chords", name)

    def sensitivity(*, model="reference", corpus: str, limit=0):
        """How often a model prefers a stem in its key and place to one transposed, or late."""
        network = matching.resolve_model(model)
        found = sensitivity.evaluate(retrieval.by_model(network), corpus, limit=limit).set_index("scorer")
        return _estimates(found.loc["symmetrised"].to_dict("records"), network, "sensitivity", corpus)

    def judgements(*, ratings: Path, audio: Path | None = None, model="reference"):
        """How far the published metrics, and a model if there is audio, agree with listeners."""
        rated, scores = judgements.load(ratings)
        if audio is not None:
            scores[model] = judgements.own_scores(audio, scores.index, model)
        rows = judgements.evaluate(rated, scores).to_dict("records")
        return _estimates(rows, None, "judgements", judgements.DATASET)


class Datasets:
    """Real data sets: list, check, prepare."""

    def list():
        """What they are, their terms, and how to get them."""
        rows = [{k: each for k, each in vars(row).items() if k != "tracks"} for row in copies.DATASETS.values()]
        return {"datasets": rows, "prepared": [{"name": name} for name in copies.names()]}

    def check(name, root: Path, **options):
        """What a copy holds against what it should; never changes it. NAME is as `phalar datasets list` has it."""
        found = copies.check(name, root, options, progress=True)
        counts = {split: {"found": n, "expected": found.expected.get(split)} for split, n in found.found.items()}
        problems = [each._asdict() for each in found.problems]
        whole = not problems and found.expected in ({}, found.found)
        return {"dataset": name, "whole": whole, "splits": counts, "problems": problems}

    def prepare(name, root: Path, *, jobs: int | None = None, **options):
        """Turn a copy into 16 kHz audio that is read at memory speed. NAME is as `phalar datasets list` has it."""
        made = copies.prepare(name, root, options, jobs=jobs, progress=True)
        problems = [each._asdict() for each in made.problems]
        return {"name": made.name, "folder": copies.folder(made.name), "splits": made.found, "problems": problems}


class Study:
    """Run the study or build its book."""

    def run(*, profile="laptop", override: tuple = (), jobs=1, only: tuple = ()):
        """Execute the notebooks with a profile; a changed value makes another run, with records of its own."""
        return {"notebooks": run.run_study(_run(profile, override), only or None, jobs=jobs)}

    def book(*, profile="laptop", override: tuple = ()):
        """Build the book from the executed notebooks."""
        index = str(book.build_book(_run(profile, override)))
        return {"index": index}, index

    def keep(*, profile="laptop", override: tuple = ()):
        """Put the executed notebooks of a run into the archive that ships with the book."""
        return {"path": book.keep(_run(profile, override))}

    def read():
        """Build the book from the run that ships with it; nothing is rendered, trained or measured."""
        index = str(book.build_book(book.kept(_run("laptop", ()).root)))
        return {"index": index}, index

    def cell(row, *, profile="laptop", override: tuple = (), seed=0, steps: int | None = None):
        """Train and test one row of the ablations alone, in a run of its own."""
        own = _run(profile, override, cells=[row], seeds=[seed], **({} if steps is None else {"steps": steps}))
        job = next(job for job in experiments.jobs(own) if row in job.rows)
        return {"run": own.name} | _records(job.run(own.records))

    def grid(*, profile="laptop", override: tuple = (), jobs=1, results: Path | None = None, list=False,
             index: int | None = None):  # fmt: skip
        """Train and test every cell of the ablation grid that is not finished."""
        own = _run(profile, override)
        work = experiments.jobs(own)
        if index is not None and not 0 <= index < len(work):
            raise InputError(f"job {index} of {len(work)}; give a number from 0 to {len(work) - 1}")
        work = work if index is None else [work[index]]
        if list:
            return {"jobs": [job.about() for job in work]}
        do = partial(
            experiments.Job.run, target=results or own.records, threads=max(1, store.cpu_count() // max(1, jobs))
        )
        outcomes = [*store.in_processes(do, work, jobs)]
        failed = [job.about() | {"error": str(error)} for job, error in outcomes if isinstance(error, Exception)]
        made = chain(*(of_job for _, of_job in outcomes if not isinstance(of_job, Exception)))
        return _records(made) | {"failed": failed, "whole": not failed}

    def merge(source: tuple, *, out: Path):
        """Bring results files of several machines together in one."""
        return {"records": records.merge([Path(each).resolve() for each in source], out), "path": out}

    def differences(outcomes: tuple, *, out: Path, k=64):
        """What every row loses against PHALAR, from the outcomes of all its seeds, as records."""
        files = [Path(each).resolve() for each in outcomes]
        found = compare.against_full(compare.of_outcomes(*files, k=k))
        made = compare.comparison_records(found, "ablations", config_hash=fingerprint.of_file(files[0]))
        records.append(out, made)
        return _records(made)

    def compare(run_a, run_b):
        """Where two runs differ by more than their intervals: profiles, runs' names or folders, files, 'reference'."""
        found = compare.differing(run.records_of(run_a), run.records_of(run_b))
        return {"apart": len(found), "differing": json.loads(found.to_json(orient="records"))}

    def ship(run_folder: Path):
        """Make a finished training run's weights the ones that ship with the package."""
        return {"notes": experiments.ship(run_folder)}

    def pack(row, *, profile="night", override: tuple = ()):
        """Let a row's weights of the first seed ship, so that its tables are recomputed without training."""
        return {"weights": experiments.pack(_run(profile, override), row)}


cli = _group(Top, "phalar")
for each in (Evaluate, Datasets, Study):
    cli.add_command(_group(each, each.__name__.lower()))
