"""The command line: ``phalar COMMAND``. It parses, calls the package, and prints; nothing is computed here.

Exit codes: 0 done, 1 the work failed, 2 bad input, 130 interrupted. With ``--json`` one JSON object goes to standard
output and nothing else; progress bars go to standard error.
"""

import argparse
import json
import logging
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
    except InputError as error:
        return _fail(error, 2)
    except (RunError, OSError, MemoryError) as error:
        return _fail(error, 1)
    except KeyboardInterrupt:
        print("phalar: interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    print(json.dumps(result) if options.json else text)
    return 0


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
    train.add_argument("--preset", default="default", help="'published', 'default' or 'short' (no added noise)")
    train.add_argument("--batch-size", type=int, default=32)
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

    study = commands.add_parser("study", help="Run the study or build its book.", description="The study.")
    parts = study.add_subparsers(dest="part", required=True, metavar="PART")
    run = add("run", _study_run, "Execute the notebooks with a profile.", parts)
    run.add_argument("--profile", default="laptop")
    run.add_argument("--only", nargs="+", metavar="NAME")
    book = add("book", _study_book, "Build the book from the executed notebooks.", parts)
    book.add_argument("--profile", default="laptop")

    bench = add("bench", _bench, "Speed beside a plain reference implementation.")
    bench.add_argument("name", metavar="{cqt,encode}")
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
        seconds=options.seconds,
        limit=options.limit,
    )
    if options.minutes is not None:
        settings = with_steps(settings, options.minutes, device=options.device)
    run = train(settings, options.out, device=options.device)
    best = run.folder / "best.safetensors"
    return (
        {"checkpoint": str(best), "steps": settings.steps, "best_valid": run.best_valid, "seconds": run.seconds},
        f"{best}: validation top-1 {run.best_valid:.3f} after {settings.steps} steps, {run.seconds:.0f} s",
    )


def _retrieval(options) -> tuple[dict, str]:
    from tqdm import tqdm

    from phalar import corpora, fingerprint
    from phalar.evaluate import retrieval
    from phalar.matching import resolve_model
    from phalar.study.experiments import retrieval_records
    from phalar.study.results import provenance

    model = resolve_model(options.model)
    tracks = corpora.load(options.corpus, options.split, limit=options.limit or None)
    with tqdm(total=options.draws * len(tracks), desc=f"test {options.model} on {options.corpus}", unit="pair") as bar:
        results, _ = retrieval.evaluate(model, tracks, options.k, options.draws, seed=options.seed, advance=bar.update)
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


def _study_run(options) -> tuple[dict, str]:
    from phalar.study.run import run_study

    done = run_study(options.profile, only=options.only)
    lines = [f"{n.name}: {'reused' if n.reused else f'executed in {n.seconds:.0f} s'}, {n.path}" for n in done]
    return {"notebooks": [{"name": n.name, "path": str(n.path), "reused": n.reused} for n in done]}, "\n".join(lines)


def _study_book(options) -> tuple[dict, str]:
    from phalar.study.book import build_book

    index = build_book(options.profile)
    return {"index": str(index)}, str(index)


def _bench(options) -> tuple[dict, str]:
    from phalar.evaluate.bench import run

    result = run(options.name)
    error = result.get("max_relative_error")
    return result, (
        f"{result['benchmark']}: {result['ours']:.3g} against {result['reference']:.3g} {result['unit']}, "
        f"{result['ratio']:.1f} times as fast on {result['threads']} thread(s)"
        + (f"; largest relative difference {error:.1e}" if error is not None else "")
    )


if __name__ == "__main__":
    sys.exit(main())
