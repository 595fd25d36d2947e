"""Stage and build the book, and look at what came out.

Sphinx never sees the checkout itself. A copy is staged under ``_build/book-src/<run>/``: the pages, the executed
notebooks with the sound they saved, the source files that pages quote, and what is generated from the result records.
So the tracked tree stays clean, and two runs' books never mix.

Numbers reach the prose as MyST substitutions (``{{ run_steps }}``), written into the staged ``_config.yml`` from the
records: they exist under every profile, and a misspelt one stops the build.

``jupyter-book`` exits 0 with a page or a picture missing, so every warning is an error, and the outcome is checked.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml

from phalar.errors import RunError
from phalar.model import checkpoints
from phalar.model.variants import VARIANTS
from phalar.paths import replacing
from phalar.study import claims, compare, media, tables
from phalar.study.records import BENCHES, PRESETS, REFERENCE, read
from phalar.study.run import Study, first_failure, media_file

LOG_LINES = 40  # of a failed build's log are shown
MISSING = "not run in this profile"


def build_book(run: Study) -> Path:
    """Build the book from the executed notebooks of a run.

    Returns ``_build/html/<run>/index.html``, which is only replaced by a book that was built and checked whole. A
    `RunError` if a notebook was not executed or failed, if Sphinx warns of anything, or if a page is missing or would
    need the network.
    """
    built = _sphinx(stage(run))
    check(built, pages(run.root / "_toc.yml"))
    target = run.root / "_build" / "html" / run.name
    mirror(_contents(built), target)
    return target / "index.html"


def pages(toc: Path) -> list[str]:
    """Every page of the table of contents, the root page first, as paths without suffix."""
    return re.findall(r"^[\s-]*(?:root|file): *(\S+?)(?:\.md|\.ipynb)?$", toc.read_text(encoding="utf-8"), flags=re.M)


def stage(run: Study) -> Path:
    """Bring the book's sources together in ``_build/book-src/<run>/`` and return that folder.

    Only files that differ are written, so that Sphinx rebuilds only the pages that changed.
    """
    root, target = run.root, run.root / "_build" / "book-src" / run.name
    files: dict[str, bytes] = {"_toc.yml": (root / "_toc.yml").read_bytes()}
    files |= {f"book/{path}": data for path, data in _contents(root / "book").items()}
    code = _contents(root / "phalar").items()
    files |= {f"phalar/{path}": data for path, data in code if path.endswith((".py", ".csv", ".yaml"))}
    for page in pages(root / "_toc.yml"):
        if page.startswith("notebooks/"):
            files |= _notebook(page.removeprefix("notebooks/"), run)
    files |= {f"book/figures/run/{path}": data for path, data in _contents(run.folder / "figures").items()}
    records, parameters = read(run.records), parameter_counts()
    judged = claims.judged(records, parameters)
    for page, text in _generated(root, records, judged, parameters).items():
        files[f"book/generated/{page}.md"] = text.encode()
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["parse"]["myst_substitutions"] = substitutions(records, run.values["profile_name"], judged)
    files["_config.yml"] = yaml.safe_dump(config, allow_unicode=True, sort_keys=False).encode()
    mirror(files, target, keep="_build")
    return target


def parameter_counts() -> dict[str, int]:
    """Real parameters of every model of the registry, counted in freshly built ones."""
    from phalar.evaluate.cost import count_parameters

    return {name: count_parameters(name) for name in VARIANTS}


def _generated(root: Path, records, judged: list[claims.Judged], parameters: Mapping[str, int]) -> dict[str, str]:
    """Tables that pages include, by name, as Markdown."""
    reference, presets = read(root / REFERENCE), read(root / PRESETS)
    variants = [[f"`{name}`", row.differs, f"{parameters[name]:,}"] for name, row in VARIANTS.items()]
    counted = "Parameters are real numbers, counted in the models as built here; a complex one counts as two."
    header = ["variant", "what differs", "parameters"]
    weights = tables.results_table(records, reference, variants=["reference"], claimed=False)
    recipes = {name: name.removeprefix("recipe-").replace("phalar", "short") for name in presets["variant"].unique()}
    named = tables.ablation_table(presets, recipes, dict.fromkeys(presets["dataset"].unique(), 64), claimed=False)
    preset_table = named.drop(columns="row", errors="ignore")
    benches = (root / BENCHES).read_text(encoding="utf-8").splitlines() if (root / BENCHES).is_file() else []
    caption = tables.CAPTION
    return {
        "claims": claims.claims_table(judged),
        "claims-page": claims.claims_page(judged),
        "variants": tables.markdown_table(header, variants, counted, "variants-table"),
        "retrieval": tables.frame_markdown(tables.results_table(records, reference), caption, "retrieval-table"),
        "weights": training_markdown(checkpoints.notes(checkpoints.REFERENCE)),
        "weights-results": tables.frame_markdown(weights, f"The shipped weights. {caption}", "weights-table"),
        "presets": tables.frame_markdown(preset_table, f"Presets. {tables.ABLATION_CAPTION}", "presets-table"),
        "bench": bench_markdown(map(json.loads, benches)),
    }


def training_markdown(notes: Mapping[str, Any]) -> str:
    """How the shipped weights were trained, from what :func:`phalar.study.experiments.ship` wrote into their file."""
    low, high = notes["excerpt_seconds"]
    rows = [
        ("variant", "`phalar`"),
        ("trained on", ", ".join(f"*{name}*" for name in notes["corpora"]) + ", the same share of the pairs each"),
        ("preset", f"`{notes['preset']}`"),
        ("batch", f"{notes['batch_size']} pairs, excerpts of {low:g} to {high:g} s, one length a batch"),
        ("steps", f"{notes['steps']:,} of {notes['of_steps']:,} (the best on validation)"),
        ("pairs seen", f"{notes['pairs']:,} (the paper's models: about 5 million)"),
        ("time", f"{notes['seconds'] / 60:.0f} minutes of training steps"),
        ("seed", notes["seed"]),
        ("validation", f"top-1 {100 * notes['valid']:.1f} % among 64, one draw of cuts"),
    ]
    return tables.markdown_table(["", ""], rows)


def bench_markdown(printed: Iterable[Mapping]) -> str:
    """What ``phalar bench ... --json`` printed, as a table: of two of a name the last, each followed by its rivals. The
    caption names the processors, where they are known."""
    rows, last = [], {each["benchmark"]: each for each in printed}
    for name, each in last.items():
        rivals = {f"{name}, against {rival}": speed for rival, speed in each.get("rivals", {}).items()}
        for label, theirs in {name: each["reference"], **rivals}.items():
            ours, ratio = each["ours"], "–"
            if theirs is None:  # given up before it got there
                theirs, ratio = f"not in {ours * each['at_least']:.0f}", f"more than {each['at_least']:.1f}"
            elif not isinstance(theirs, str):  # a text says why there is no speed
                ratio = ours / theirs
            shown = [x if isinstance(x, str) else f"{float(f'{x:.3g}'):,g}" for x in (ours, theirs, ratio)]
            rows.append([label, each["unit"], *shown])
    on = [f"{name} on {each['processor']}" for name, each in last.items() if "processor" in each]
    caption = f"Measured: {'; '.join(on)}." if on else ""
    return tables.markdown_table(["", "unit", "ours", "reference", "ratio"], rows, caption) if rows else tables.NOT_RUN


def _notebook(name: str, run: Study) -> dict[str, bytes]:
    """An executed notebook and its media as staged files; refuses one that was not executed or failed."""
    path, again = run.executed / f"{name}.ipynb", f"run `phalar study run --profile {run.values['profile_name']}` first"
    failed = path.with_suffix(".failed.ipynb")
    if failed.exists():
        raise RunError(f"notebook {name}: its last run failed, see {failed}; {again}")
    try:
        notebook = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise RunError(f"notebook {name}: not executed in the run {run.name}, or damaged; {again}") from error
    if failure := first_failure(notebook):
        raise RunError(f"notebook {name}: {failure}; correct it and {again}")
    files, addresses = {}, {}
    for source in media.sources(notebook):
        found = media_file(source, path, run.root)
        if found is None:
            raise RunError(f"notebook {name}: the file {source!r} that it plays or shows is gone; {again}")
        staged = f"_static/media/{name}/{found.name}"
        if files.setdefault(f"book/{staged}", found.read_bytes()) != found.read_bytes():
            raise RunError(f"notebook {name}: plays two different files called {found.name}; give them two names")
        addresses[source] = f"../{staged}"
    media.sources(notebook, addresses)
    notebook.metadata.pop("phalar", None)
    tags = [cell.metadata.get("tags", []) for cell in notebook.cells]
    if ["injected-parameters"] in tags:  # what ran; the defaults with their comments fold away above it
        next(names for names in tags if "parameters" in names).append("hide-input")
    return files | {f"notebooks/{name}.ipynb": nbformat.writes(notebook).encode()}


def _contents(folder: Path) -> dict[str, bytes]:
    """Files below a folder by their path in it; hidden ones and byte code are left out; none if it does not exist."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path.read_bytes() for name, path in names.items() if not re.search(r"(^|/)(\.|__pycache__)", name)}


def mirror(files: Mapping[str, bytes], target: Path, keep: str = "") -> None:
    """Make a folder hold exactly these files. What is equal is not touched; ``keep`` names a subfolder left alone."""
    for name, data in files.items():
        path = target / name
        if not path.is_file() or path.read_bytes() != data:
            with replacing(path) as partial:
                partial.write_bytes(data)
    for path in sorted(target.rglob("*"), reverse=True):
        name = path.relative_to(target)
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and name.parts[0] != keep and name.as_posix() not in files:
            path.unlink()


def _sphinx(source: Path) -> Path:
    """Run jupyter-book over the staged book with every warning an error; return the folder of the pages.

    Sphinx does not repeat a warning about a page it does not read again, so a build that did not end well is never
    built upon: only after a success does the next one go on from there.
    """
    build, succeeded = source / "_build", source / "_build" / ".succeeded"
    if not succeeded.exists():
        shutil.rmtree(build, ignore_errors=True)
    succeeded.unlink(missing_ok=True)
    # The interpreter that runs this; -P, so that no staged folder is taken for a module.
    command = [sys.executable, "-P", "-c", "from jupyter_book.cli.main import main; main()", "build", "-n", "-W"]
    environment = os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    words = [*command, "--keep-going", str(source)]
    done, log = subprocess.run(words, **how, env=environment, cwd=source), source.with_name(f"{source.name}.log")
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        lines = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines() if line.strip()]  # no colours
        alarming = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b", line)]
        said = "\n".join((alarming or lines)[-LOG_LINES:])
        raise RunError(f"the book did not build without warnings, see {log}; from it:\n{said}")
    succeeded.touch()
    return build / "html"


def check(built: Path, names: Iterable[str]) -> None:
    """Look at a built book: a `RunError` names every page that is missing and all that is loaded from the network."""
    faults = [f"page {name}.html was not made" for name in ("index", *names) if not (built / f"{name}.html").is_file()]
    for path in sorted(built.rglob("*.html")):
        page = path.relative_to(built).as_posix()
        for tag, address in network(path) if not page.startswith(("_static/", "_sources/")) else ():
            faults.append(f"{page}: <{tag}> loads {address} from the network")
    if faults:
        raise RunError("the book was built but is not whole:\n" + "\n".join(faults[:LOG_LINES]))


def network(page: Path) -> list[tuple[str, str]]:
    """What an HTML page loads (``script``, ``link``, ``img``, ``audio``, ...) from elsewhere: tag and address."""
    tags = re.sub(r"(?s)<!--.*?-->|(?<=>)[^<]*", "", page.read_text(encoding="utf-8"))
    # A link (a) is no load, nor are relations that only name an address.
    kept = re.findall(r"""<(?!a\b)(\w+)\b(?![^<>]*\brel=["']?(?:canonical|author|license))([^<>]*)>""", tags)
    address = re.compile(r"""(?<![\w-])(?:src|href|poster|data)=["']((?:https?:)?//[^"']+)""")
    return [(tag, each) for tag, attributes in kept for each in address.findall(attributes)]


def substitutions(records: pd.DataFrame, profile: str, judged: Sequence[claims.Judged]) -> dict[str, str]:
    """Every substitution of the book, by name: the same names under every profile.

    ``profile``, ``run_date``, ``run_device``, ``run_commit``, ``run_steps``, ``run_seeds``; ``rule_seeds``,
    ``rule_size``, ``rule_alpha``: thresholds of the rule by which claims are judged; ``answer``, ``answer_pooling``:
    what came back, as sentences.
    """
    found = tables.measured(records)
    texts = {"profile": profile, "answer": answer(found), "answer_pooling": answer_pooling(found, judged)}
    texts |= {"rule_seeds": str(compare.SEEDS), "rule_size": str(compare.SIZE), "rule_alpha": f"{compare.ALPHA:g}"}
    texts |= {"rule_flat": f"{100 * compare.FLAT:g}"}
    newest = records.iloc[-1] if len(records) else dict.fromkeys(("device", "commit", "date"), MISSING)
    texts |= {"run_device": newest["device"], "run_commit": newest["commit"], "run_date": newest["date"].split("T")[0]}
    for name, column in {"run_steps": "steps", "run_seeds": "seed"}.items():
        texts[name] = ", ".join(str(value) for value in sorted(records[column].dropna().unique())) or MISSING
    return texts


def hardest(found: Mapping[tuple, tables.Measured], variant: str) -> tables.Measured | None:
    """A variant's result at the largest K, on chorales if it ran there."""
    rows = [row for row in found.values() if row.variant == variant]
    return max(rows, key=lambda row: (row.dataset in ("chorales", "CocoChorales"), row.k), default=None)


def answer(found: Mapping[tuple, tables.Measured]) -> str:
    """Did retrieval come back? A sentence that names data, K, interval, chance and the length of training."""
    row = hardest(found, "phalar")
    if row is None:
        return f"Retrieval: {MISSING}."
    verdict = "finds" if row.low > 1 / row.k else "does not yet find"
    stand_in = f", a stand-in for {tables.STAND_INS[row.dataset]}" if row.dataset in tables.STAND_INS else ""
    return (
        f"After {row.steps} training steps PHALAR {verdict} the stem that belongs to a mix among {row.k} candidates: "
        f"top\u20111 accuracy {row} on pieces it never heard (*{row.dataset}*{stand_in}), where chance gives "
        f"{tables.percent(1 / row.k)}{tables.PER_CENT}."
    )


def answer_pooling(found: Mapping[tuple, tables.Measured], judged: Sequence[claims.Judged]) -> str:
    """Does spectral pooling matter, as the paper claims? With the verdict of the claims' table."""
    ours = hardest(found, "phalar")
    gap = found.get((ours.dataset, "gap", ours.k)) if ours else None
    if ours is None or gap is None:
        return f"PHALAR against average pooling: {MISSING}."
    length = "trained as long" if gap.steps == ours.steps else f"trained for {gap.steps} steps, not {ours.steps}"
    told = [one for one in judged if "average pooling" in one.claim["claim"] and one.why]
    verdict = f" The paper's claim that it does worse: **{told[0].verdict}** ({told[0].why})." if told else ""
    return f"The same network with average pooling in place of spectral pooling, {length}, reaches {gap}.{verdict}"
