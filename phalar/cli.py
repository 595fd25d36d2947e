"""The command line: ``phalar COMMAND``. It parses, calls the package, and prints; nothing is computed here.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted. With ``--json`` one JSON object goes to standard
output and nothing else; progress bars go to standard error.
"""

import json
import logging
import sys
import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import click

from phalar.errors import InputError, RunError


class _Later:
    """A module of the package that is imported when something of it is used: PyTorch takes seconds, help should not."""

    def __init__(self, name: str) -> None:
        self.module = f"phalar.{name}"

    def __getattr__(self, name: str) -> object:
        return getattr(import_module(self.module), name)


def _modules(names: str, folder: str = "") -> list[_Later]:
    return [_Later(folder + name) for name in names.split()]


beats, chords, cost, retrieval, sensitivity, statistics = _modules(
    "beats chords cost retrieval sensitivity statistics", "evaluate."
)
book, compare, experiments, profiles, records, run = _modules("book compare experiments profiles records run", "study.")
bench, corpora, fingerprint, matching, copies = _modules("bench corpora fingerprint matching datasets.prepare")
checkpoints, official, config, loop = _modules("model.checkpoints model.official train.config train.loop")
MANY = ("--corpus", "--k", "--only")  # options that take several values: --k 8 16 64
SHOWN = ["experiment", "dataset", "split", "variant", "seed", "metric", "k", "value", "ci_low", "ci_high", "n"]


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    logging.basicConfig(level=logging.INFO, format="phalar: %(message)s", stream=sys.stderr)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    warnings.showwarning = lambda message, *_: click.echo(f"phalar: warning: {message}", err=True)
    words = _one_by_one(sys.argv[1:] if arguments is None else arguments)
    try:
        return cli.main(words, "phalar", standalone_mode=False) or 0
    except (InputError, click.ClickException) as error:
        return _fail(error.format_message() if isinstance(error, click.ClickException) else error, 2)
    except (RunError, OSError, MemoryError) as error:
        return _fail(error, 1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("phalar: interrupted; run the same command again to go on", err=True)
        return 130


def _fail(error: object, code: int) -> int:
    click.echo("phalar: error: " + " ".join(str(error).split()), err=True)
    return code


def _one_by_one(words: list[str]) -> list[str]:
    """``--k 8 16`` as ``--k 8 --k 16``, which is how click takes several values."""
    spread, name = [], ""
    for word in words:
        if word.startswith("-"):
            name = word
        elif name in MANY and spread[-1] != name:
            spread.append(name)
        spread.append(word)
    return spread


def _text(result: dict) -> str:
    """A result for people: a line a value, a table a list of rows."""
    import pandas as pd

    def shown(value: object) -> str:
        if value is None or value != value:
            return ""
        kind = {int: ",", float: ".4g"}.get(type(value), "")
        return format(value, kind) if kind else str(value)

    lines = []
    for name, value in result.items():
        rows = pd.DataFrame(value if isinstance(value, list) else [], dtype=object)
        if len(rows):
            lines.append((rows[SHOWN] if name == "records" else rows).map(shown).to_string(index=False))
        elif not isinstance(value, list):
            lines.append(f"{name}: {shown(value)}")
    # Names of files may hold bytes that are no text.
    return "\n".join(lines).encode("utf-8", "backslashreplace").decode()


cli = click.Group(help="PHALAR, reproduced: phasors for musical audio.")
evaluate = click.Group("evaluate", help="Evaluate a model.")
datasets = click.Group("datasets", help="Real data sets: list, check, prepare.")
study = click.Group("study", help="Run the study or build its book.")
for each in (evaluate, datasets, study):
    cli.add_command(each)


PATH = click.Path(path_type=Path, resolve_path=True)


def option(*names: str, **about) -> click.Option:
    return click.Option(names, show_default=about.get("default") is not None, **about)


def argument(name: str, **about) -> click.Argument:
    return click.Argument([name], **about)


def _listing_options() -> dict[str, str]:
    """Every option that some data set's listing has, with its help. A data set refuses those of others."""
    sets = copies.DATASETS.values()
    return {name: f"{each.name}: {about}" for each in sets for name, (_, about) in each.options.items()}


# By the name under which `command` asks for them; (other names) where an option means something else elsewhere.
OPTIONS = {
    "names": argument("names", nargs=-1, metavar="[CORPUS]..."),
    "variant": argument("variant"),
    "mix": argument("mix"),
    "stem": argument("stem"),
    "stems": argument("stem", nargs=-1, required=True),
    "source": argument("source"),
    "sources": argument("source", nargs=-1, type=PATH),
    "target": argument("target", type=PATH),
    "name": argument("name"),
    "root": argument("root", type=PATH),
    "row": argument("row"),
    "run_a": argument("run_a"),
    "run_b": argument("run_b"),
    "run_folder": argument("run_folder", type=PATH),
    "benchmark": argument("name", metavar="{cqt,encode,train,data}"),
    "model": option("--model", default="reference", help="'reference', a checkpoint, or a variant (untrained)"),
    "corpus": option("--corpus", help="a built-in corpus, or a data set that was prepared"),
    "corpus!": option("--corpus", required=True),
    "corpora": option("--corpus", multiple=True, required=True, metavar="NAME..."),
    "split": option("--split", default="test"),
    "device": option("--device", default="auto", help="'auto', 'cpu' or 'cuda'"),
    "limit": option("--limit", type=int, default=0, help="tracks at most, 0 for all"),
    "seed": option("--seed", type=int, default=0),
    "steps": option("--steps", type=int, help="optimiser steps (of a training: 100)"),
    "minutes": option("--minutes", type=float, help="as many steps as fit, timed on the first few"),
    "preset": option("--preset", default="default", help="'published', 'default', 'long' or 'short': ever less noise"),
    "batch-size": option("--batch-size", type=int, default=32),
    "out": option("--out", type=PATH, required=True),
    "shards": option("--shards", type=int, default=1, help="batches a step, shared out to the devices of torchrun"),
    "negatives": option("--negatives", default="shard", help="an anchor meets the positives of its 'shard', or 'all'"),
    "seconds": option("--seconds", type=float, nargs=2, default=(2.0, 10.0), metavar="MIN MAX"),
    "k": option("--k", type=int, default=64),
    "ks": option("--k", type=int, multiple=True, default=[8, 16, 64]),
    "draws": option("--draws", type=int, default=5, help="pairs cut from each track"),
    "gtzan": option("--gtzan", type=PATH, help="a copy of GTZAN, in place of --corpus"),
    "annotations": option("--annotations", type=PATH, help="the folder of GTZAN's beats"),
    "guitarset": option("--guitarset", type=PATH, help="a copy of GuitarSet, in place of --corpus"),
    "recordings": option("--recordings", type=int, default=0, help="recordings, 0 for all"),
    "hop": option("--hop", type=float, default=0.5, help="seconds between windows; published: 0.02"),
    "profile": option("--profile", default="laptop", help="its name, or a YAML file of your own"),
    "override": option("-p", "override", nargs=2, multiple=True, metavar="NAME VALUE", help="not the profile's value"),
    "jobs": option("--jobs", type=int, help="processes (default: one a processor)"),
    "processes": option("--jobs", type=int, default=1, help="at a time, each in a process of its own"),
    "only": option("--only", multiple=True, metavar="NAME..."),
    "results": option("--results", type=PATH, help="results file (default: the run's)"),
    "list": option("--list", is_flag=True, help="print the jobs and do none"),
    "index": option("--index", type=int, help="do this one job alone (an array job's number)"),
    "json": option("--json", is_flag=True, help="print one JSON object and nothing else"),
}
OPTIONS |= {f"--{n}": option(f"--{n}", n, metavar="VALUE", help=about) for n, about in _listing_options().items()}
COPY = " ".join(["name root", *(name for name in OPTIONS if name.startswith("--"))])


def command(into: click.Group, name: str, options: str = ""):
    """Make a function of its `OPTIONS` a command: ``--json`` prints the dictionary it returns; a text may follow it."""

    def add(function):
        def invoke(**values) -> int:
            found = function(SimpleNamespace(**values))
            result, text = found if isinstance(found, tuple) else (found, "")
            click.echo(json.dumps(result) if values["json"] else text or _text(result))
            return int(result.get("whole") is False)

        parameters = [OPTIONS[each] for each in f"{options} json".split()]
        into.add_command(click.Command(name, params=parameters, callback=invoke, help=function.__doc__))

    return add


@command(cli, "models")
def _models(o) -> dict:
    """The registry: variants, parameters, what differs."""
    return {"models": cost.model_rows()}


@command(cli, "render", "names jobs")
def _render(o) -> dict:
    """Render built-in corpora into the cache; all if none is named."""
    names = o.names or list(corpora.CORPORA)
    for name in names:
        corpora.folder(name)
    return {"corpora": {name: str(corpora.render(name, jobs=o.jobs, progress=True)) for name in names}}


@command(cli, "train", "variant corpora seed steps limit device minutes preset batch-size out shards negatives seconds")
def _train(o) -> dict:
    """Train a model; started again it goes on where it was stopped."""
    if o.steps is not None and o.minutes is not None:
        raise InputError("give --steps or --minutes, not both")
    names = ("seed", "preset", "batch_size", "shards", "negatives", "seconds", "limit")
    steps = 100 if o.steps is None else o.steps
    settings = config.config(o.variant, o.corpus, steps=steps, **{name: getattr(o, name) for name in names})
    if o.minutes is not None:
        settings = loop.with_steps(settings, o.minutes, o.out, device=o.device)
    done = loop.train(settings, o.out, device=o.device)
    found = {"checkpoint": str(done.folder / loop.BEST), "steps": settings.steps}
    return found | {"best_valid": done.best_valid, "seconds": done.seconds}


def _records(made) -> dict:
    return {"records": [record.as_dict() for record in made]}


def _estimates(found, experiment: str, dataset: str, model) -> dict:
    """A table of estimates (variant, split, metric, estimate and what else is known) as records."""
    about = {"experiment": experiment, "dataset": dataset, "device": model.device.type, "variant": model.variant.name}
    return _records(records.record(row.pop("estimate"), **(about | row)) for row in found.to_dict("records"))


@command(evaluate, "retrieval", "model corpus! seed limit split ks draws")
def _retrieval(o) -> dict:
    """Top-1 stem retrieval among K candidates."""
    model, label = matching.resolve_model(o.model), f"test {o.model} on {o.corpus}"
    tracks = corpora.load(o.corpus, o.split, limit=o.limit or None)
    scores = retrieval.evaluate(retrieval.by_model(model), tracks, o.draws, ks=o.k, seed=o.seed, label=label)
    digest = fingerprint.fingerprint([o.model, o.corpus, o.split, o.draws, o.limit, o.seed])
    about = {"experiment": "retrieval", "dataset": o.corpus, "split": o.split, "variant": model.variant.name}
    about |= {"metric": "top1", "config_hash": digest, "device": model.device.type}
    own = {k: statistics.estimate(retrieval.by_track(scores["symmetrised"], k)) for k in o.k}
    return _records(records.record(each, k=k, **about) for k, each in own.items())


def _either(what: str, own: str, corpus: str | None, root: Path | None) -> None:
    if (corpus is None) == (root is None):
        raise InputError(f"{what}: name either the corpus (--corpus {own}) or a copy of the real data set")
    if corpus not in (None, own):
        raise InputError(f"{what}: corpus {corpus!r} is not one for this; choose {own!r}, or the real data set")


@command(evaluate, "beats", "model corpus gtzan annotations limit device")
def _beats(o) -> dict:
    """Zero-shot beat tracking by similarity to metronomes."""
    _either("beats", "beats", o.corpus, o.gtzan)
    if o.gtzan and o.annotations is None:
        raise InputError(f"GTZAN at {o.gtzan}: name the folder of its beats, too (--annotations DIR)")
    model = matching.resolve_model(o.model).to(loop.chosen_device(o.device))
    if o.gtzan:
        tracks = beats.spread_over(beats.gtzan(o.gtzan, o.annotations), o.limit)
    else:
        tracks = [track for half in beats.halves(o.limit).values() for track in half]
    found = beats.summary(beats.evaluate(model, tracks, published=0, others={}))
    return _estimates(found, "beats", tracks[0].dataset, model)


@command(evaluate, "chords", "model corpus guitarset recordings device hop")
def _chords(o) -> dict:
    """A linear probe for chords on frozen embeddings."""
    _either("chords", "comping", o.corpus, o.guitarset)
    model = matching.resolve_model(o.model).to(loop.chosen_device(o.device))
    name = o.corpus or copies.prepare("guitarset", o.guitarset, progress=True).name
    ids = chords.choose(corpora.pieces(name, "test"), o.recordings)
    tracks = corpora.load(name, "test", ids=ids, progress=True)
    return _estimates(chords.evaluate(model, tracks, o.hop), "chords", name, model)


@command(evaluate, "sensitivity", "model corpus! limit k")
def _sensitivity(o) -> dict:
    """How much a model minds a stem that is transposed, or late."""
    model = matching.resolve_model(o.model)
    return _estimates(sensitivity.evaluate(model, o.corpus, o.k, limit=o.limit), "sensitivity", o.corpus, model)


@command(cli, "score", "mix stem model")
def _score(o) -> tuple[dict, str]:
    """How well a stem fits a mix."""
    value = matching.score(o.mix, o.stem, model=o.model)
    return {"mix": o.mix, "stem": o.stem, "score": value}, f"{value:.4f}"


@command(cli, "rank", "mix stems model")
def _rank(o) -> dict:
    """Stems by how well they fit a mix, best first."""
    return {"mix": o.mix, "ranking": [asdict(match) for match in matching.rank(o.mix, list(o.stem), model=o.model)]}


@command(cli, "convert", "source target")
def _convert(o) -> dict:
    """Turn an official checkpoint into one of ours; no code in it is run."""
    model = official.load_official(o.source)
    checkpoints.save(model, o.target, source="official checkpoint")
    return {"variant": model.variant.name, "parameters": model.num_parameters, "path": str(o.target)}


@command(datasets, "list")
def _datasets_list(o) -> dict:
    """What they are, their terms, and how to get them."""
    rows = []
    for each in copies.DATASETS.values():
        row = {name: getattr(each, name) for name in ("name", "title", "licence", "size", "source", "citation")}
        options = {name: about for name, (_, about) in each.options.items()}
        rows.append(row | {"expected": dict(each.expected), "options": options})
    return {"datasets": rows, "prepared": [{"name": name, **(copies.origin(name) or {})} for name in copies.names()]}


def _given(o) -> dict[str, str]:
    return {name: getattr(o, name) for name in _listing_options() if getattr(o, name) is not None}


def _problems(found) -> list[dict]:
    return [{"path": str(each.path), "what": each.what, "serious": each.serious} for each in found]


@command(datasets, "check", COPY)
def _datasets_check(o) -> dict:
    """What a copy holds against what it should; never changes it. NAME is as `phalar datasets list` has it."""
    *problems, found = copies.check(o.name, o.root, _given(o), progress=True)
    counts = {split: {"found": n, "expected": found.expected.get(split)} for split, n in found.found.items()}
    about = {"stems": found.stems, "hours": round(found.hours, 2), "problems": _problems(problems)}
    return {"dataset": o.name, "whole": found.whole, "splits": counts, **about}


@command(datasets, "prepare", f"{COPY} jobs")
def _datasets_prepare(o) -> dict:
    """Turn a copy into 16 kHz audio that is read at memory speed. NAME is as `phalar datasets list` has it."""
    made = copies.prepare(o.name, o.root, _given(o), jobs=o.jobs, progress=True)
    result = {"name": made.name, "folder": str(made.folder), "tracks_found": made.found, "tracks_stored": made.stored}
    return {**result, "silent_stems": made.silent_stems, "problems": _problems(made.problems)}


def _run(o, **more):
    """The run of the study that a profile and ``-p NAME VALUE`` mean; values are Python literals, or else texts."""
    chosen = {name: text if (value := profiles.literal(text)) is ... else value for name, text in o.override}
    return run.study(o.profile, chosen | more)


@command(study, "run", "profile override processes only")
def _study_run(o) -> dict:
    """Execute the notebooks with a profile; a changed value makes another run, with records of its own."""
    done = run.run_study(_run(o), o.only or None, jobs=o.jobs)
    return {"notebooks": [asdict(each) | {"path": str(each.path)} for each in done]}


@command(study, "book", "profile override")
def _study_book(o) -> tuple[dict, str]:
    """Build the book from the executed notebooks."""
    index = str(book.build_book(_run(o)))
    return {"index": index}, index


@command(study, "cell", "row profile override seed steps")
def _study_cell(o) -> dict:
    """Train and test one row of the ablations alone, in a run of its own."""
    own = _run(o, cells=[o.row], seeds=[o.seed], **({} if o.steps is None else {"steps": o.steps}))
    job = next(job for job in experiments.jobs(own) if o.row in job.rows)
    return {"run": own.name} | _records(job.run(own.records))


@command(study, "grid", "profile override processes results list index")
def _study_grid(o) -> dict:
    """Train and test every cell of the ablation grid that is not finished."""
    own = _run(o)
    target, work = o.results or own.records, experiments.jobs(own)
    if o.list:
        return {"jobs": [job.about() for job in work]}
    if o.index is not None:
        if not 0 <= o.index < len(work):
            raise InputError(f"job {o.index} of {len(work)}; give a number from 0 to {len(work) - 1}")
        return _records(work[o.index].run(target))
    outcomes = list(experiments.run_jobs(work, target, o.jobs))
    failed = [job.about() | {"error": str(error)} for job, error in outcomes if isinstance(error, Exception)]
    made = [record for _, of_job in outcomes if not isinstance(of_job, Exception) for record in of_job]
    return _records(made) | {"failed": failed, "whole": not failed}


@command(study, "merge", "sources out")
def _study_merge(o) -> dict:
    """Bring results files of several machines together in one."""
    return {"records": records.merge(o.source, o.out), "path": str(o.out)}


@command(study, "compare", "run_a run_b")
def _study_compare(o) -> dict:
    """Where two runs differ by more than their intervals: a profile, a run's name or folder, a file, or 'reference'."""
    found = compare.differing(run.records_of(o.run_a), run.records_of(o.run_b))
    return {"apart": len(found), "differing": json.loads(found.to_json(orient="records"))}


@command(study, "ship", "run_folder")
def _study_ship(o) -> dict:
    """Make a finished training run's weights the ones that ship with the package."""
    return {"notes": experiments.ship(o.run_folder)}


@command(cli, "bench", "benchmark")
def _bench(o) -> dict:
    """Speed beside a plain reference implementation."""
    return bench.run(o.name)


if __name__ == "__main__":
    sys.exit(main())
