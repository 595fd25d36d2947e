"""A run of the study: named by what determines it, its notebooks executed through papermill once for their inputs.

A notebook counts as executed only if papermill raised nothing and no output is an error. Book page: *How to read and
how to run*.
"""

import ast
import hashlib
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from tqdm.auto import tqdm

from phalar import fingerprint
from phalar.datasets.store import in_processes, processors
from phalar.errors import InputError, RunError
from phalar.paths import PACKAGE
from phalar.study import media
from phalar.study.profiles import load_profile, notebooks_folder, parameters_for
from phalar.study.records import REFERENCE, place, versions

# The notebooks of the study in the order in which they run. Those of a line share trained models, and those of the
# second group look into weights that the first group trained; the others do not mind what runs beside them.
FIRST = (
    ("retrieval", "ablations"),
    ("corpora",),
    ("limits",),
    ("shift-theorem",),
    ("phase",),
    ("judging",),
    ("beats",),
)
THEN = (("rotation",), ("chords",))
NOTEBOOKS = tuple(name for line in (*FIRST, *THEN) for name in line)

MEASURING = ("audio.py", "datasets", "corpora", "model", "evaluate", "train")  # the code whose numbers a run holds


@dataclass(frozen=True)
class Study:
    """A run of the study. Its name is ``<profile>-<id>``; the id is a hash of all values and of the measuring code, so
    a changed value or other code makes another run, in folders of its own, by itself."""

    values: Mapping[str, Any]  # the profile's, with what was overridden
    root: Path

    @property
    def name(self) -> str:
        return f"{self.values['profile_name']}-{fingerprint.fingerprint([self.values, _code()], 8)}"

    @property
    def folder(self) -> Path:
        """Of its records (``results.jsonl``), weights, figures and sounds."""
        return self.root / "_build" / "results" / self.name

    @property
    def records(self) -> Path:
        return self.folder / "results.jsonl"

    @property
    def executed(self) -> Path:
        """Folder of its executed notebooks."""
        return self.root / "_build" / "executed" / self.name / "notebooks"

    def parameters(self, notebook: str) -> dict[str, Any]:
        """What papermill injects into one notebook. ``{run}`` in a text of a profile stands for this run's folder."""
        values = {"results_path": "{run}/results.jsonl"} | self.values
        values = parameters_for(self.root / "notebooks" / f"{notebook}.ipynb", values)
        return json.loads(json.dumps(values).replace("{run}", self.folder.relative_to(self.root).as_posix()))


@cache
def _code() -> str:
    return fingerprint.of_code(*MEASURING)


def study(profile: str | Path, overrides: Mapping[str, Any] | None = None, root: Path | None = None) -> Study:
    """The run that a profile (name or file) with some values overridden stands for.

    An `InputError` for an unknown profile or parameter, or a name that cannot be a folder's.
    """
    root = root or notebooks_folder().parent
    values = load_profile(profile, overrides, root / "notebooks")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(values["profile_name"])):
        raise InputError(f"profile_name={values['profile_name']!r} cannot name a folder; use letters, digits, . - _")
    return Study(values, root)


def records_of(run: str) -> Path:
    """The results file that a text means: ``"reference"``, a run's name or folder, a file, or a profile."""
    if run == "reference":
        return place(REFERENCE)
    for path in (place(run), place(Path("_build") / "results" / run)):
        if path.exists():
            return path / "results.jsonl" if path.is_dir() else path
    return study(run).records


@dataclass(frozen=True)
class Executed:
    """One notebook of a run: where its executed copy is, whether an earlier one served, and seconds taken."""

    name: str
    path: Path
    reused: bool
    seconds: float


def run_study(run: Study, only: Iterable[str] | None = None, *, jobs: int = 1, progress: bool = True) -> list[Executed]:
    """Execute the notebooks of a run (``only`` some), ``jobs`` at a time, each with its share of the processors.

    A notebook whose executed copy was made from the same inputs (`inputs`) is reused. What an interrupted notebook had
    trained is found again by the notebook itself, so a second call resumes. With ``progress`` standard error tells
    which notebook and cell runs, and what the notebook says.

    An `InputError` for an unknown notebook, before anything runs. A `RunError` when one fails: it names notebook,
    cell and exception; the copy as far as it got stays beside, as ``<name>.failed.ipynb``.
    """
    done, wanted = {}, set(NOTEBOOKS if only is None else only)
    if unknown := wanted - set(NOTEBOOKS):
        raise InputError(f"unknown notebook {min(unknown)!r}; the study has: {', '.join(NOTEBOOKS)}")
    for group in (FIRST, THEN):
        lines = [tuple(name for name in line if name in wanted) for line in group]
        tasks = [(run, line, progress, max(1, processors() // jobs) if jobs > 1 else 0) for line in lines if line]
        for task, found in in_processes(_run_line, tasks, jobs) if jobs > 1 else ((t, _run_line(t)) for t in tasks):
            if isinstance(found, BaseException):
                raise found if isinstance(found, InputError | RunError) else RunError(f"{task[1]}: {found}")
            done |= {each.name: each for each in found}
    return [done[name] for name in NOTEBOOKS if name in done]


def _run_line(task: tuple[Study, tuple[str, ...], bool, int]) -> list[Executed]:
    run, names, progress, threads = task
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # of the kernels, which inherit it
    return [_run_one(run, name, progress) for name in names]


def _run_one(run: Study, name: str, progress: bool) -> Executed:
    notebook, target = run.root / "notebooks" / f"{name}.ipynb", run.executed / f"{name}.ipynb"
    title = f"study ({run.name}) {name}"
    parameters = run.parameters(name)
    key = inputs(notebook, parameters)

    def say(message: str) -> None:
        if progress:
            tqdm.write(f"{title}: {message}", file=sys.stderr)

    if _is_current(run, target, key):
        say("reused: same cells, parameters, code, weights and versions as the executed copy")
        return Executed(name, target, reused=True, seconds=0.0)
    target.parent.mkdir(parents=True, exist_ok=True)
    failed, partial = target.with_suffix(".failed.ipynb"), target.with_name(f".{name}.partial.ipynb")
    say("running")
    started, before = time.monotonic(), run.records.stat().st_size if run.records.is_file() else 0
    if failure := _execute(notebook, partial, parameters, run.root, title if progress else ""):
        where = ""
        if partial.exists():
            os.replace(partial, failed)
            where = f"\nThe copy as far as it got: {failed}."
        raise RunError(
            f"notebook {name}: {failure}{where} Correct the cause and run again; finished training is reused."
        )
    seconds = time.monotonic() - started
    executed = tidy(nbformat.read(partial, as_version=4), run.root)
    made = sorted(_lines(run.records, after=before))
    executed.metadata["phalar"] = {"key": key, "parameters": parameters, "seconds": round(seconds, 1), "records": made}
    nbformat.write(executed, partial)
    os.replace(partial, target)
    failed.unlink(missing_ok=True)
    say(f"done in {seconds:.0f} s")
    return Executed(name, target, reused=False, seconds=seconds)


def _lines(records: Path, after: int = 0) -> set[str]:
    """A short hash of every line of a results file, or of those that begin after some bytes."""
    lines = records.read_bytes()[after:].splitlines() if records.is_file() else []
    return {hashlib.sha256(line).hexdigest()[:8] for line in lines}


def _is_current(run: Study, target: Path, key: str) -> bool:
    """Whether an executed copy can stand for a new run: same key, no error, and its records, sounds and pictures are
    still there."""
    try:
        executed = nbformat.read(target, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return False
    about = executed.metadata.get("phalar", {})
    return (
        about.get("key") == key
        and first_failure(executed) is None
        and set(about.get("records", [])) <= _lines(run.records)
        and all(media_file(source, target, run.root) for source in media.sources(executed))
    )


def media_file(source: str, executed: Path, root: Path) -> Path | None:
    """The file that a local address in an executed notebook means: beside it, beside its source, or at the root."""
    folders = (executed.parent, root / "notebooks", root)
    return next((folder / source for folder in folders if (folder / source).is_file()), None)


def inputs(notebook: Path, parameters: Mapping[str, Any]) -> str:
    """Hash of what determines an executed notebook: its cells and parameters, the package's modules that it reaches
    (their code, without comments and docstrings) and the tables beside them, the weights it loads, the versions of
    what it runs on, and the reference records that it shows beside its own."""
    source, root = nbformat.read(notebook, as_version=4), notebook.parent.parent
    cells = [[cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))] for cell in source.cells]
    modules = reached("\n".join(cell.source for cell in source.cells if cell.cell_type == "code"))
    beside = {path for part in modules for path in (PACKAGE / part).parent.iterdir()}
    files = {path for path in beside if path.suffix in fingerprint.TABLES}
    files |= {root / name for name in re.findall(r"[^'\"= ]+\.safetensors", str(parameters))}
    if "model/checkpoints.py" in modules:
        files |= set((PACKAGE / "weights").glob("*.safetensors"))
    if "study/records.py" in modules:
        files.add(root / REFERENCE)
    hashes = [[path.name, fingerprint.of_file(path)] for path in sorted(files) if path.is_file()]
    return fingerprint.fingerprint([cells, parameters, fingerprint.of_code(*modules), hashes, versions()], 32)


def reached(code: str) -> tuple[str, ...]:
    """Files of the package, below its folder, that code imports, directly or through another of them."""
    found, waiting = set(), ["__init__.py", *_imported(code)]
    while waiting:
        if (part := waiting.pop()) not in found:
            found.add(part)
            waiting += _imported((PACKAGE / part).read_text(encoding="utf-8"))
    return tuple(sorted(found))


@cache
def _imported(code: str) -> tuple[str, ...]:
    """Files of the package that the import statements of some code mean, wherever they stand in it."""
    names = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    parts = ["/".join(name.split(".")[1:]) for name in names if name.startswith("phalar.")]
    return tuple(file for part in parts for file in (f"{part}.py", f"{part}/__init__.py") if (PACKAGE / file).is_file())


def _execute(notebook: Path, target: Path, parameters: dict[str, Any], root: Path, title: str) -> str | None:
    """Run a notebook through papermill; returns what went wrong, if anything did."""
    import papermill

    stream = sys.stderr if title else None
    bar = {"file": stream, "desc": title, "bar_format": "{desc}: cell {n_fmt} of {total_fmt}, {elapsed}"}
    about = {"parameters": parameters, "kernel_name": "python3", "cwd": str(root), "progress_bar": title and bar}
    # Papermill's own warnings are about how it uses its libraries; the kernel's remarks would drown the progress.
    about |= {"stdout_file": stream, "stderr_file": stream, "extra_arguments": ["--log-level=50"]}
    target.unlink(missing_ok=True)
    reason = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            papermill.execute_notebook(str(notebook), str(target), **about)
    except Exception as error:  # of a cell, a dead kernel, no kernel at all: they have no common base
        reason = f"could not be executed ({' '.join(str(error).split()) or type(error).__name__})"
        reason += "; a kernel that dies has mostly run out of memory" * ("died" in reason.lower())
    return (first_failure(nbformat.read(target, as_version=4)) if target.exists() else None) or reason


def first_failure(notebook: nbformat.NotebookNode) -> str | None:
    """What went wrong in an executed notebook, or None: the cell, its first line of code, and the exception."""
    cells = [cell for cell in notebook.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    for number, cell in enumerate(cells, start=1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                code = next((line for line in map(str.strip, cell.source.splitlines()) if line and line[0] != "#"), "")
                said = output.evalue.strip().partition("\n")[0]
                return f"cell {number} ({code[:60]!r}) raised {output.ename}: {said}"
    return None


def tidy(notebook: nbformat.NotebookNode, root: Path) -> nbformat.NotebookNode:
    """An executed notebook as the book shows it: no machine's paths or times, and nothing of what was said on standard
    error (progress bars). The checkout's folder reads ``.``, the home folder ``~``."""
    for holder in (notebook, *notebook.cells):
        for leftover in ("papermill", "execution", "widgets"):
            holder.metadata.pop(leftover, None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    text = nbformat.writes(notebook)
    return nbformat.reads(text.replace(str(root), ".").replace(str(Path.home()), "~"), as_version=4)
