"""The command line: ``phalar COMMAND``. It parses, calls the package, and prints; nothing is computed here.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted. With ``--json`` one JSON object goes to standard
output and nothing else; progress bars go to standard error.
"""

import argparse
import json
import logging
import shlex
import sys
import warnings
from pathlib import Path

from phalar.errors import InputError, RunError


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="phalar: %(message)s", stream=sys.stderr)
    logging.getLogger("papermill").setLevel(logging.WARNING)
    warnings.showwarning = _show_warning
    try:
        result, text = options.run(options)
        code = 1 if result.get("whole") is False else 0
    except InputError as error:
        return _fail(error, 2)
    except (RunError, OSError, MemoryError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        print("phalar: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    print(json.dumps(result) if options.json else text)
    return code


def _fail(error: BaseException, code: int) -> int:
    print("phalar: error: " + " ".join(str(error).split()), file=sys.stderr)
    return code


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    print(f"phalar: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phalar", description="PHALAR, reproduced: phasors for musical audio.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run, about: str, into=commands) -> argparse.ArgumentParser:
        command = into.add_parser(name, help=about, description=about)
        command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        command.set_defaults(run=run)
        return command

    add("models", _models, "The registry: variants, parameters, what differs.")

    render = add("render", _render, "Render built-in corpora into the cache.")
    render.add_argument("corpus", nargs="*", help="names; all if none is given")
    render.add_argument("--jobs", type=int, help="processes (default: one a processor)")

    train = add("train", _train, "Train a model; started again it goes on where it was stopped.")
    train.add_argument("variant", metavar="VARIANT")
    train.add_argument("--corpus", nargs="+", required=True, metavar="NAME")
    length = train.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="optimiser steps (default 100)")
    length.add_argument("--minutes", type=float, help="as many steps as fit, timed on the first few")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument(
        "--preset", default="default", help="'published', 'default', 'long' (a fifth of the noise) or 'short' (none)"
    )
    train.add_argument("--batch-size", type=int, default=32)
    train.add_argument("--shards", type=int, default=1, help="batches a step, shared out to the devices of torchrun")
    train.add_argument("--negatives", default="shard", help="an anchor meets the positives of its 'shard', or 'all'")
    train.add_argument("--seconds", type=float, nargs=2, default=(2.0, 10.0), metavar=("MIN", "MAX"))
    train.add_argument("--limit", type=int, default=0, help="tracks of each split, 0 for all")
    train.add_argument("--device", default="auto", help="'auto', 'cpu' or 'cuda'")
    train.add_argument("--out", type=Path, required=True, metavar="DIR")

    evaluate = commands.add_parser("evaluate", help="Evaluate a model.", description="Evaluate a model.")
    tasks = evaluate.add_subparsers(dest="task", required=True, metavar="TASK")
    retrieval = add("retrieval", _retrieval, "Top-1 stem retrieval among K candidates.", tasks)
    retrieval.add_argument("--model", default="reference", help="'reference', a checkpoint, or a variant (untrained)")
    retrieval.add_argument("--corpus", required=True, metavar="NAME")
    retrieval.add_argument("--k", type=int, nargs="+", default=[8, 16, 64])
    retrieval.add_argument("--split", default="test")
    retrieval.add_argument("--draws", type=int, default=5, help="pairs cut from each track")
    retrieval.add_argument("--limit", type=int, default=0, help="tracks, 0 for all")
    retrieval.add_argument("--seed", type=int, default=0)

    beats = add("beats", _beats, "Zero-shot beat tracking by similarity to metronomes.", tasks)
    beats.add_argument("--gtzan", type=Path, metavar="ROOT", help="a copy of GTZAN, in place of --corpus")
    beats.add_argument("--annotations", type=Path, metavar="DIR", help="the folder of GTZAN's beats")
    beats.add_argument("--limit", type=int, default=0, help="pieces, 0 for all")
    chords = add("chords", _chords, "A linear probe for chords on frozen embeddings.", tasks)
    chords.add_argument("--guitarset", type=Path, metavar="ROOT", help="a copy of GuitarSet, in place of --corpus")
    chords.add_argument("--recordings", type=int, default=0, help="recordings, 0 for all")
    chords.add_argument("--hop", type=float, default=0.5, help="seconds between windows (default 0.5; published: 0.02)")
    for task in (beats, chords):
        task.add_argument("--model", default="reference", help="'reference', a checkpoint, or a variant (untrained)")
        task.add_argument("--corpus", metavar="NAME", help="a built-in corpus: beats, or comping")
        task.add_argument("--device", default="auto", help="'auto', 'cpu' or 'cuda'")

    for name, run, about, stems in (
        ("score", _score, "How well a stem fits a mix.", {"metavar": "STEM"}),
        ("rank", _rank, "Stems by how well they fit a mix, best first.", {"nargs": "+", "metavar": "STEM"}),
    ):
        command = add(name, run, about)
        command.add_argument("mix", metavar="MIX")
        command.add_argument("stem", **stems)
        command.add_argument("--model", default="reference")

    convert = add("convert", _convert, "Turn an official checkpoint into one of ours; no code in it is run.")
    convert.add_argument("source", metavar="IN.ckpt")
    convert.add_argument("target", metavar="OUT.safetensors", type=Path)

    datasets = commands.add_parser(
        "datasets", help="Real data sets: list, check, prepare.", description="Real data sets."
    )
    actions = datasets.add_subparsers(dest="action", required=True, metavar="ACTION")
    add("list", _datasets_list, "What they are, their terms, and how to get them.", actions)
    check = add("check", _datasets_check, "What a copy holds against what it should; never changes it.", actions)
    prepare = add("prepare", _datasets_prepare, "Turn a copy into 16 kHz audio that is read at memory speed.", actions)
    prepare.add_argument("--jobs", type=int, help="processes (default: one a processor)")
    for command in (check, prepare):
        command.add_argument("name", metavar="NAME", help="as `phalar datasets list` has it; 'folder' for your own")
        command.add_argument("root", metavar="ROOT", type=Path, help="the folder that holds it")
        for option, about in _listing_options().items():
            command.add_argument(f"--{option}", metavar="VALUE", help=about)

    study = commands.add_parser("study", help="Run the study or build its book.", description="The study.")
    parts = study.add_subparsers(dest="part", required=True, metavar="PART")
    run = add("run", _study_run, "Execute the notebooks with a profile.", parts)
    run.add_argument("--profile", default="laptop")
    run.add_argument("--only", nargs="+", metavar="NAME")
    book = add("book", _study_book, "Build the book from the executed notebooks.", parts)
    book.add_argument("--profile", default="laptop")
    grid = add("grid", _study_grid, "Train and test every cell of the ablation grid that is not finished.", parts)
    grid.add_argument("--profile", default="laptop")
    grid.add_argument("--jobs", type=int, default=1, help="trainings at a time, each in a process (default 1)")
    grid.add_argument("--results", type=Path, metavar="FILE", help="results file (default: the profile's)")
    what = grid.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="print the jobs, a command line each, and do none")
    what.add_argument("--index", type=int, help="do this one job alone (an array job's number)")
    merge = add("merge", _study_merge, "Bring results files of several machines together in one.", parts)
    merge.add_argument("source", nargs="+", type=Path, metavar="FILE")
    merge.add_argument("--out", type=Path, required=True, metavar="FILE")
    ship = add("ship", _study_ship, "Make a run's weights the ones that ship with the package.", parts)
    ship.add_argument("run_folder", type=Path, metavar="RUN", help="folder of a finished training run")

    bench = add("bench", _bench, "Speed beside a plain reference implementation.")
    bench.add_argument("name", metavar="{cqt,encode,train,data}")
    return parser


def _models(options) -> tuple[dict, str]:
    from phalar.evaluate.cost import model_rows

    rows = model_rows()
    columns = list(rows[0])
    widths = {c: max(len(c), *(len(_cell(r[c])) for r in rows)) for c in columns}
    lines = ["  ".join(c.ljust(widths[c]) for c in columns)]
    lines += ["  ".join(_cell(r[c]).ljust(widths[c]) for c in columns).rstrip() for r in rows]
    return {"models": rows}, "\n".join(lines)


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)


def _render(options) -> tuple[dict, str]:
    from phalar import corpora

    names = options.corpus or list(corpora.CORPORA)
    for name in names:
        corpora.folder(name)
    folders = {name: str(corpora.render(name, jobs=options.jobs, progress=True)) for name in names}
    return {"corpora": folders}, "\n".join(f"{name}: {folder}" for name, folder in folders.items())


def _train(options) -> tuple[dict, str]:
    from phalar.train.config import config
    from phalar.train.loop import train, with_steps

    settings = config(
        options.variant,
        options.corpus,
        steps=100 if options.steps is None else options.steps,
        seed=options.seed,
        preset=options.preset,
        batch_size=options.batch_size,
        shards=options.shards,
        negatives=options.negatives,
        seconds=options.seconds,
        limit=options.limit,
    )
    if options.minutes is not None:
        settings = with_steps(settings, options.minutes, options.out, device=options.device)
    run = train(settings, options.out, device=options.device)
    best = run.folder / "best.safetensors"
    return (
        {"checkpoint": str(best), "steps": settings.steps, "best_valid": run.best_valid, "seconds": run.seconds},
        f"{best}: validation top-1 {run.best_valid:.3f} after {settings.steps} steps, {run.seconds:.0f} s",
    )


def _retrieval(options) -> tuple[dict, str]:
    from phalar import corpora, fingerprint
    from phalar.evaluate import retrieval
    from phalar.matching import resolve_model
    from phalar.study.experiments import retrieval_records
    from phalar.study.results import provenance

    model = resolve_model(options.model)
    tracks = corpora.load(options.corpus, options.split, limit=options.limit or None)
    label = f"test {options.model} on {options.corpus}"
    score = retrieval.by_model(model)
    scores = retrieval.evaluate(score, tracks, options.draws, ks=options.k, seed=options.seed, label=label)
    results = [retrieval.summarise(scores["symmetrised"], k) for k in options.k]
    identity = [options.model, options.corpus, options.split, options.draws, options.limit, options.seed]
    records = retrieval_records(
        results,
        dataset=options.corpus,
        split=options.split,
        variant=model.variant.name,
        config_hash=fingerprint.fingerprint(identity),
        **provenance(model.device.type),
    )
    lines = [f"K = {r.k:3d}: {100 * r.accuracy:5.1f} %  [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in results]
    lines.append(f"{results[0].tracks} tracks, {options.draws} draws, 95 % intervals over tracks")
    return {"records": [record.as_dict() for record in records]}, "\n".join(lines)


def _beats(options) -> tuple[dict, str]:
    from phalar.evaluate import beats
    from phalar.matching import resolve_model
    from phalar.train.loop import chosen_device

    if (options.corpus is None) == (options.gtzan is None):
        raise InputError("beats: name either the corpus (--corpus beats) or a copy of GTZAN (--gtzan ROOT)")
    if options.corpus not in (None, "beats"):
        raise InputError(f"corpus {options.corpus!r} is not one to track beats on: choose 'beats', or a copy of GTZAN")
    if options.gtzan and options.annotations is None:
        raise InputError(f"GTZAN at {options.gtzan}: name the folder of its beats, too (--annotations DIR)")
    model = resolve_model(options.model).to(chosen_device(options.device))
    if options.gtzan:
        tracks = beats.spread_over(beats.gtzan(options.gtzan, options.annotations), options.limit)
    else:
        tracks = [track for half in beats.halves(options.limit).values() for track in half]
    found = beats.summary(beats.evaluate(model, tracks, published=0, others={}))
    return _estimates(found, "beats", tracks[0].dataset, model.device.type)


def _chords(options) -> tuple[dict, str]:
    from phalar import corpora
    from phalar.datasets.prepare import prepare
    from phalar.evaluate import chords
    from phalar.matching import resolve_model
    from phalar.train.loop import chosen_device

    if (options.corpus is None) == (options.guitarset is None):
        raise InputError("chords: name either the corpus (--corpus comping) or a copy of GuitarSet (--guitarset ROOT)")
    model = resolve_model(options.model).to(chosen_device(options.device))
    name = options.corpus or prepare("guitarset", options.guitarset, progress=True).name
    tracks = chords.choose(corpora.load(name, "test", progress=True), options.recordings)
    return _estimates(chords.evaluate(model, tracks, options.hop), "chords", name, model.device.type)


def _estimates(found, experiment: str, dataset: str, device: str) -> tuple[dict, str]:
    """A table of estimates (variant, split, metric, estimate) as records, and as lines for people."""
    from phalar.study.records import record

    about = {"experiment": experiment, "dataset": dataset, "device": device}
    rows = found.to_dict("records")
    records, lines = [record(row.pop("estimate"), **row, **about) for row in rows], []
    for r in records:
        interval = "" if r.ci_low is None else f"[{100 * r.ci_low:.1f}, {100 * r.ci_high:.1f}]"
        lines.append(f"{r.variant:10s} {r.metric:18s} {100 * r.value:5.1f} %  {interval:14s}  n = {r.n}  {r.split}")
    return {"records": [r.as_dict() for r in records]}, "\n".join(lines)


def _score(options) -> tuple[dict, str]:
    from phalar.matching import score

    value = score(options.mix, options.stem, model=options.model)
    return {"mix": options.mix, "stem": options.stem, "score": value}, f"{value:.4f}"


def _rank(options) -> tuple[dict, str]:
    from dataclasses import asdict

    from phalar.matching import rank

    ranking = rank(options.mix, options.stem, model=options.model)
    lines = [
        f"{place:3d}  {'unreadable' if m.score is None else f'{m.score:8.4f}'}  {m.name}"
        for place, m in enumerate(ranking, 1)
    ]
    return {"mix": options.mix, "ranking": [asdict(m) for m in ranking]}, "\n".join(lines)


def _convert(options) -> tuple[dict, str]:
    from phalar.model.checkpoints import save
    from phalar.model.official import load_official

    model = load_official(options.source)
    save(model, options.target, source="official checkpoint")
    return (
        {"variant": model.variant.name, "parameters": model.num_parameters, "path": str(options.target)},
        f"{options.target}: {model.variant.name}, {model.num_parameters:,} parameters",
    )


def _listing_options() -> dict[str, str]:
    """Every option that some data set's listing has, with its help. A data set refuses those of others."""
    from phalar.datasets.prepare import DATASETS

    return {
        option: f"{name}: {about}".replace("%", "%%") + ("" if default is None else f" (default: {default})")
        for name, dataset in DATASETS.items()
        for option, (default, about) in dataset.options.items()
    }


def _given(options) -> dict[str, str]:
    return {name: value for name in _listing_options() if (value := getattr(options, name)) is not None}


def _datasets_list(options) -> tuple[dict, str]:
    from phalar.datasets import prepare as prepared
    from phalar.datasets.prepare import DATASETS

    rows = [
        {
            "name": each.name,
            "title": each.title,
            "licence": each.licence,
            "size": each.size,
            "source": each.source,
            "citation": each.citation,
            "expected": dict(each.expected),
            "options": {option: about for option, (_, about) in each.options.items()},
        }
        for each in DATASETS.values()
    ]
    stores = [{"name": name, **(prepared.origin(name) or {})} for name in prepared.names()]
    lines = []
    for row in rows:
        lines.append(f"{row['name']}: {row['title']}")
        lines += [f"  {key}: {row[key]}" for key in ("licence", "size", "source", "citation")]
        if row["expected"]:
            lines.append("  tracks: " + ", ".join(f"{split} {count:,}" for split, count in row["expected"].items()))
        lines += [f"  --{option}: {about}" for option, about in row["options"].items()]
    lines += ["", "prepared: " + (", ".join(f"{s['name']} (from {s.get('root')})" for s in stores) or "none yet")]
    return {"datasets": rows, "prepared": stores}, "\n".join(lines)


def _datasets_check(options) -> tuple[dict, str]:
    from tqdm import tqdm

    from phalar.datasets.listing import Problem
    from phalar.datasets.prepare import check

    problems = []
    for found in check(options.name, options.root, _given(options), progress=True):
        if isinstance(found, Problem):
            serious = found.serious
            problems.append({"path": str(found.path), "what": found.what, "serious": serious})
            if not options.json:
                line = f"{'problem' if serious else 'note'}: {_printable(found.path)}: {_printable(found.what)}"
                tqdm.write(line, file=sys.stdout)
    summary = found
    splits = {
        split: {"found": count, "expected": summary.expected.get(split)} for split, count in summary.found.items()
    }
    lines = [
        f"{split}: {count:,} tracks" + (f" of {summary.expected[split]:,}" if split in summary.expected else "")
        for split, count in summary.found.items()
    ]
    lines.append(
        f"{options.name}: {'whole' if summary.whole else 'not whole'}, {summary.stems:,} stems, "
        f"{summary.hours:.2f} h of music, {summary.problems} problems, {summary.notes} notes"
    )
    return {"dataset": options.name, "whole": summary.whole, "splits": splits, "problems": problems}, "\n".join(lines)


def _datasets_prepare(options) -> tuple[dict, str]:
    from phalar.datasets.prepare import prepare

    made = prepare(options.name, options.root, _given(options), jobs=options.jobs, progress=True)
    serious = [problem for problem in made.problems if problem.serious]
    problems = [{"path": str(p.path), "what": p.what, "serious": p in serious} for p in made.problems]
    lines = [f"problem: {_printable(p.path)}: {_printable(p.what)}" for p in serious]
    lines.append(
        f"{made.name}: {made.stored:,} of {made.found:,} tracks in {_printable(made.folder)}, {len(serious)} problems"
        + (f", {made.silent_stems} silent stems" if made.silent_stems else "")
    )
    result = {"name": made.name, "folder": str(made.folder), "tracks_found": made.found, "tracks_stored": made.stored}
    return {**result, "silent_stems": made.silent_stems, "problems": problems}, "\n".join(lines)


def _printable(text: object) -> str:
    """Names of files may hold bytes that are no text, or line breaks."""
    return str(text).encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def _study_run(options) -> tuple[dict, str]:
    from phalar.study.run import run_study

    done = run_study(options.profile, only=options.only)
    lines = [f"{n.name}: {'reused' if n.reused else f'executed in {n.seconds:.0f} s'}, {n.path}" for n in done]
    return {"notebooks": [{"name": n.name, "path": str(n.path), "reused": n.reused} for n in done]}, "\n".join(lines)


def _study_grid(options) -> tuple[dict, str]:
    from tqdm import tqdm

    from phalar.study import grid

    if options.list:
        _, listed = grid.jobs(options.profile)
        rows = [
            {
                "index": job.index,
                "cells": [cell.name for cell in job.cells],
                "seed": job.seed,
                "trained": job.trained,
                "command": "phalar " + shlex.join(grid.command(options.profile, job.index, options.results)),
            }
            for job in listed
        ]
        return {"jobs": rows}, "\n".join(row["command"] + f"  # {', '.join(row['cells'])}" for row in rows)
    if options.index is not None:
        records = grid.run_job(options.profile, options.index, options.results)
        return {"records": [record.as_dict() for record in records]}, _accuracies(records)

    def tell(outcome) -> None:
        if outcome.error:
            tqdm.write(f"phalar: job {outcome.job.index} ({outcome.job.name}) failed: {outcome.error}", sys.stderr)
        else:
            tqdm.write(_accuracies(outcome.records), sys.stderr)

    outcomes = grid.run_all(options.profile, options.jobs, target=options.results, tell=tell)
    failed = [outcome for outcome in outcomes if outcome.error]
    records = [record.as_dict() for outcome in outcomes for record in outcome.records]
    failures = [{"index": each.job.index, "name": each.job.name, "error": each.error} for each in failed]
    text = f"{len(outcomes) - len(failed)} of {len(outcomes)} jobs done" + "".join(
        f"\nfailed: job {each['index']} ({each['name']}): {each['error']}" for each in failures
    )
    return {"records": records, "failed": failures, "whole": not failed}, text


def _accuracies(records) -> str:
    """Accuracies at the largest K, a line a cell and corpus."""
    largest = {(r.variant, r.dataset): r for r in sorted(records, key=lambda r: r.k)}
    return "\n".join(
        f"{r.variant} (seed {r.seed}) on {r.dataset}, K = {r.k}: {100 * r.value:.1f} % "
        f"[{100 * r.ci_low:.1f}, {100 * r.ci_high:.1f}]"
        for r in largest.values()
    )


def _study_merge(options) -> tuple[dict, str]:
    from phalar.study.results import merge

    count = merge(options.source, options.out)
    return {"records": count, "path": str(options.out)}, f"{options.out}: {count:,} records"


def _study_ship(options) -> tuple[dict, str]:
    from phalar.study.shipping import ship

    notes = ship(options.run_folder)
    return {"notes": notes}, (
        f"now phalar.load('reference'): {notes['steps']} steps, validation top-1 {notes['valid']:.3f}; "
        "run the notebooks again for its results"
    )


def _study_book(options) -> tuple[dict, str]:
    from phalar.study.book import build_book

    index = build_book(options.profile)
    return {"index": str(index)}, str(index)


def _bench(options) -> tuple[dict, str]:
    from phalar import bench

    result = bench.run(options.name)
    error, pair = result.get("max_relative_error"), "pair_ms" in result
    return result, (
        f"{result['benchmark']}: {result['ours']:.3g} against {result['reference']:.3g} {result['unit']}, "
        f"{result['ratio']:.1f} times as fast on {result['threads']} thread(s)"
        + (f"; largest relative difference {error:.1e}" if error is not None else "")
        + (f"; {result['pair_ms']:.2f} ms an augmented pair, {result['pair_ratio']:.1f} times as fast" if pair else "")
    )


if __name__ == "__main__":
    sys.exit(main())
