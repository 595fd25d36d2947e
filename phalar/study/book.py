"""Stage and build the book.

Sphinx sees a copy under ``_build/book-src/<run>/``: the pages, the executed notebooks with the sound they saved, the
source files that pages quote, and what is generated from the result records. Numbers reach the prose as MyST
substitutions (``{{ run_steps }}``): they exist under every profile, and a misspelt one stops the build.
``jupyter-book`` exits 0 with a page or a picture missing, so every warning is an error, and pages are counted.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import yaml

from phalar import fingerprint, plots
from phalar.errors import InputError, RunError
from phalar.matching import MISMATCHED
from phalar.model import assembly, checkpoints
from phalar.model.variants import VARIANTS
from phalar.paths import replacing
from phalar.study import claims, compare, generated, media, tables
from phalar.study.records import BENCHES, JUDGEMENTS, REFERENCE, read
from phalar.study.run import NOTEBOOKS, Study, named, of_page, opened
from phalar.study.shipped import costs

MISSING = "not run in this profile"
KEPT = Path("book/reference/book.zip")  # an executed run, for `make read`


def build_book(run: Study) -> Path:
    """Build the book from the executed notebooks of a run.

    Returns ``_build/html/<run>/index.html``, which is only replaced by a book that was built whole. A `RunError` if a
    notebook was not executed or failed, if Sphinx warns of anything, or if a page is missing.
    """
    built = _sphinx(stage(run))
    if missing := [name for name in pages(run.root / "_toc.yml") if not (built / f"{name}.html").is_file()]:
        raise RunError(f"the book was built without its pages {', '.join(missing)}")
    target = run.root / "_build" / "html" / run.name
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(built, target)
    return target / "index.html"


def keep(run: Study) -> Path:
    """Put a run's executed notebooks, what they play and show, and its records into the archive that ships, from which
    the book is built without running anything; a `RunError` if a notebook was not executed or failed."""
    with replacing(run.root / KEPT) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.comment = json.dumps([run.name, dict(run.values)]).encode()
        paths = {run.records}
        for name in NOTEBOOKS:
            paths |= {run.executed / f"{name}.ipynb", *_executed(name, run)[1].values()}
        for path in sorted(paths):
            archive.write(path, path.relative_to(run.root))
    return run.root / KEPT


def kept(root: Path) -> Study:
    """The run in the archive that ships, unpacked to where runs are; an InputError if one of that name is there."""
    with zipfile.ZipFile(root / KEPT) as archive:
        name, values = json.loads(archive.comment)
        run = named(values, root, name)
        if run.records.is_file() and run.records.read_bytes() != archive.read(str(run.records.relative_to(root))):
            raise InputError(
                f"{run.folder} is a run of your own; `phalar study book` shows it, `make clean` removes it"
            )
        archive.extractall(root)
    return run


def pages(toc: Path) -> list[str]:
    """Every page of the table of contents, the root page first, as paths without suffix."""
    return re.findall(r"^[\s-]*(?:root|file): *(\S+?)(?:\.md|\.ipynb)?$", toc.read_text(encoding="utf-8"), flags=re.M)


def stage(run: Study) -> Path:
    """Bring the book's sources together in ``_build/book-src/<run>/``, made anew, and return that folder: Sphinx does
    not repeat a warning about a page that it does not read again."""
    root, target = run.root, run.root / "_build" / "book-src" / run.name
    shutil.rmtree(target, ignore_errors=True)
    for part in ("book", "phalar"):
        shutil.copytree(root / part, target / part, ignore=shutil.ignore_patterns(".*", "__pycache__", "weights"))
    shutil.copy(root / "_toc.yml", target)
    records, parameters = read(run.records), assembly.parameters()
    published = [] if "judgements" in set(records["experiment"]) else [root / JUDGEMENTS]
    judged = claims.judged(read(run.records, *published), parameters)
    shipped = read(root / REFERENCE, root / JUDGEMENTS)
    before = claims.judged(shipped, parameters)
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    config["parse"]["myst_substitutions"] = substitutions(records, run.values["profile_name"], before)
    texts = {"_config.yml": yaml.safe_dump(config, allow_unicode=True, sort_keys=False)}
    for page, text in _generated(root, records, shipped, parameters).items():
        texts[f"book/generated/{page}.md"] = text
    texts["book/generated/claims-page.md"] = claims.claims_page(before, judged)
    texts["book/generated/numbers.md"] = generated.numbers(shipped)
    texts |= {f"book/generated/{name}.csv": of.to_csv() for name, of in (("results", records), ("reference", shipped))}
    for page in pages(root / "_toc.yml"):
        if page.startswith("notebooks/"):
            texts |= _notebook(page.removeprefix("notebooks/"), run, target / "book", before)
    for name, text in texts.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    plots.use_style()
    plots.forest(claims.forest(before)).savefig(target / "book" / "generated" / "claims.svg")
    return target


def _generated(root: Path, records, shipped, parameters: Mapping[str, int]) -> dict[str, str]:
    """Tables that pages include, by name, as Markdown."""
    variants = [[f"`{name}`", row.differs, f"{parameters[name]:,}"] for name, row in VARIANTS.items()]
    counted = "Parameters are real numbers, counted in the models as built here; a complex one counts as two."
    header = ["variant", "what differs", "parameters"]
    benches = (root / BENCHES).read_text(encoding="utf-8").splitlines() if (root / BENCHES).is_file() else []
    weights = tables.results_table(
        records, shipped, f"The shipped weights. {tables.CAPTION}", "weights-table", variants=["reference"]
    )
    return {
        "run-record": generated.run_record(records),
        "variants": tables.markdown_table(header, variants, counted, "variants-table"),
        "weights": training_markdown(checkpoints.notes(checkpoints.REFERENCE), json.loads(MISMATCHED.read_text())),
        "weights-results": weights,
        "weights-hear": tables.frame_markdown(hearing_table(shipped), HEARING_CAPTION, "hearing-table"),
        "bench": bench_markdown(map(json.loads, benches)),
        "costs-of-rows": tables.frame_markdown(costs()),
    }


HEARING_CAPTION = (
    "How often the shipped weights prefer a stem to the same stem moved, % [95 % interval over pieces]: both "
    "directions, 50 is a coin; in other keys without drums. The rules, which learn nothing, compare moment by moment."
)


def hearing_table(records: pd.DataFrame) -> pd.DataFrame:
    """What a score hears, of records of the experiment ``sensitivity``: a row a corpus and scorer, a column a way in
    which stems were moved."""
    known = records[records["experiment"] == "sensitivity"]
    cells = [tables.with_interval(*row) for row in known[["value", "ci_low", "ci_high"]].itertuples(index=False)]
    data = known["dataset"].map(tables.dataset_label)
    names = {"PHALAR": tables.LABELS["reference"], "phalar": "PHALAR, the paper's loss alone"}
    table = known.assign(cell=cells, data=data, scorer=known["variant"].replace(names))
    table = table.drop_duplicates(["data", "scorer", "split"], keep="last")
    wide = table.pivot(index=["data", "scorer"], columns="split", values="cell").fillna(tables.NOT_RUN)
    return wide[sorted(wide, key=lambda split: split.startswith("late"))].reset_index()  # keys first


def training_markdown(notes: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """How the shipped weights were trained, from what :func:`phalar.study.experiments.ship` wrote into their file, and
    how they score the test sets, from the file beside it."""
    above = ", ".join(f"{100 * share:.1f} % of *{name}*" for name, share in table["above 95"].items())
    names, (low, high) = ", ".join(f"*{name}*" for name in notes["corpora"]), notes["excerpt_seconds"]
    rows = {
        "variant": "`phalar`",
        "trained on": f"{names}, the same share of the pairs each",
        "preset": "`{preset}`",
        "batch": f"{notes['batch_size']} pairs, excerpts of {low:g} to {high:g} s, one length a batch",
        "steps": "{steps:,} of {of_steps:,} (the best on validation)",
        "pairs seen": "{pairs:,} (the paper's models: about 5 million)",
        "time": f"{notes['seconds'] / 60:.0f} minutes of training steps",
        "seed": "{seed}",
        "validation": f"top-1 {100 * notes['valid']:.1f} % among 64, one draw of cuts",
        "percentile of a stem's score with its own mix": f"over 95 in {above} test pairs",
    }
    if "before" in notes:
        rows["went on from"] = (
            "weights after {before[steps]:,} of the steps and {before[pairs]:,} pairs, seed {before[seed]}"
        )
    return tables.markdown_table(["", ""], [(name, text.format(**notes)) for name, text in rows.items()])


def bench_markdown(printed: Iterable[Mapping]) -> str:
    """What ``phalar bench ... --json`` printed, as a table: of two of a name the last, each followed by its rivals. The
    caption names the processors, where they are known."""
    rows, last = [], {each["benchmark"]: each for each in printed}
    for name, each in last.items():
        rivals = {f"{name}, against {rival}": speed for rival, speed in each.get("rivals", {}).items()}
        for label, theirs in {name: each["reference"], **rivals}.items():
            ratio = "–" if isinstance(theirs, str) else each["ours"] / theirs  # a text says why there is no speed
            shown = [x if isinstance(x, str) else f"{float(f'{x:.3g}'):,g}" for x in (each["ours"], theirs, ratio)]
            rows.append([label, each["unit"], *shown])
    on = [f"{name} on {each['processor']}" for name, each in last.items() if "processor" in each]
    caption = f"Measured: {'; '.join(on)}." if on else ""
    return tables.markdown_table(["", "unit", "ours", "reference", "ratio"], rows, caption) if rows else tables.NOT_RUN


def _executed(name: str, run: Study) -> tuple[nbformat.NotebookNode, dict[str, Path]]:
    """An executed notebook, and the files that it plays or shows by their address in it; refuses one that was not
    executed or failed."""
    path = run.executed / f"{name}.ipynb"
    failed, (notebook, files, fault) = path.with_suffix(".failed.ipynb"), opened(path, run.root)
    if failed.exists() or fault:
        fault = f"its last run failed, see {failed}" if failed.exists() else fault
        raise RunError(f"notebook {name}: {fault}; run `phalar study run --profile {run.values['profile_name']}` first")
    return notebook, files


def _notebook(name: str, run: Study, book: Path, judged: Sequence[claims.Judged]) -> dict[str, str]:
    """An executed notebook for the book, whose media are copied to it, with the answer right below its question, then
    how to rerun it, and its records."""
    notebook, files = _executed(name, run)
    addresses = {}
    for source, found in files.items():
        staged = book / "_static" / "media" / f"{fingerprint.of_file(found)}-{found.name}"
        staged.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, staged)
        addresses[source] = f"../{'../' * name.count('/')}_static/media/{staged.name}"
    media.sources(notebook, addresses)
    _retell(notebook, run.root / "notebooks" / f"{name}.ipynb")
    about = notebook.metadata.pop("phalar")
    own = pd.json_normalize([vars(one) for one in of_page(run, name)])
    title, question, *rest = notebook.cells[0].source.split("\n\n", 2)
    boxes = [generated.answer(name, judged), *rest, generated.rerun(name, about, run.values["profile_name"], own)]
    shown = (f"{title}\n\n{question}", *filter(None, boxes))
    notebook.cells[:1] = map(nbformat.v4.new_markdown_cell, shown)
    for tags in (cell.metadata.get("tags", []) for cell in notebook.cells):
        tags += ["hide-input"] * bool({"parameters", "injected-parameters"} & set(tags))
    made = {f"notebooks/{name}.ipynb": nbformat.writes(notebook)}
    if name == "own-stems":  # the front page shows its guess, too
        shown = (
            output.get("data", {}).get("text/html", "") for cell in notebook.cells for output in cell.get("outputs", [])
        )
        made["book/generated/guess.md"] = "\n".join(text for text in map("".join, shown) if "phalar-guess" in text)
    return made | ({f"notebooks/{name}.csv": own.to_csv(index=False)} if len(own) else {})


def _retell(executed: nbformat.NotebookNode, source: Path) -> None:
    """Give an executed notebook the words of its source as they are now, where its cells follow each other as there."""
    told = nbformat.read(source, as_version=4).cells if source.is_file() else []
    cells = [cell for cell in executed.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    if [cell.cell_type for cell in cells] == [cell.cell_type for cell in told]:
        for cell, now in zip(cells, told, strict=True):
            cell.source = now.source if cell.cell_type == "markdown" else cell.source


def _sphinx(source: Path) -> Path:
    """Run jupyter-book over the staged book with every warning an error; return the folder of the pages."""
    # The interpreter that runs this; -P, so that no staged folder is taken for a module.
    command = [sys.executable, "-P", "-c", "from jupyter_book.cli.main import main; main()", "build", "-n", "-W"]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "cwd": source}
    how["env"] = os.environ | {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1"}
    done = subprocess.run([*command, "--keep-going", str(source)], **how)
    log = source.with_name(f"{source.name}.log")
    log.write_text(done.stdout, encoding="utf-8")
    if done.returncode != 0:
        alarming = re.findall(r"^.*\b(?:WARNING|ERROR|CRITICAL|SEVERE)\b.*$", done.stdout, flags=re.M)
        said = "\n".join((alarming or done.stdout.splitlines())[-40:])
        raise RunError(f"the book did not build without warnings, see {log}; from it:\n{said}")
    built = source / "_build" / "html"
    for page in built.rglob("*.html"):
        text = page.read_text()
        unused = "vendor/fontawesome" + "|mathjax" * ('class="math' not in text)  # icons.css has the icons
        page.write_text(re.sub(rf"<(?:link|script)\b[^>]*(?:{unused})[^>]*>(?:</script>)?", "", text))
    for part in {built / "_static" / "vendor", *(built / "_static" / "mathjax").iterdir()}:
        if part.name not in ("tex-chtml.js", "input", "output"):
            shutil.rmtree(part) if part.is_dir() else part.unlink()
    return built


def substitutions(records: pd.DataFrame, profile: str, judged: Sequence[claims.Judged]) -> dict[str, str]:
    """Every substitution of the book, by name, the same names under every profile: what the run was, thresholds of the
    rule by which claims are judged, and the verdict of the reference run, as a sentence."""
    texts = {"profile": profile, "verdict": generated.verdict(judged)}
    texts |= {"rule_seeds": str(compare.SEEDS), "rule_size": str(compare.SIZE), "rule_alpha": f"{compare.ALPHA:g}"}
    texts |= {"rule_closed": f"{100 * compare.CLOSED:g}"}
    newest = records.iloc[-1] if len(records) else dict.fromkeys(("device", "commit", "date"), MISSING)
    texts |= {"run_device": newest["device"], "run_commit": newest["commit"], "run_date": newest["date"].split("T")[0]}
    for name, column in {"run_steps": "steps", "run_seeds": "seed"}.items():
        texts[name] = ", ".join(str(value) for value in sorted(records[column].dropna().unique())) or MISSING
    return texts
