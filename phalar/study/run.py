"""A run of the study: named by what determines it, its notebooks executed through papermill once for their inputs.

A profile is one flat YAML file of parameter values under ``notebooks/profiles/``. papermill only warns of a parameter
it does not know; here every key must be a declared parameter of a notebook, of the declared kind. A notebook counts as
executed only if papermill raised nothing and no output is an error. Book page: *How to read and how to run*.
"""

import ast
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from modulefinder import ModuleFinder
from pathlib import Path
from typing import Any

import nbformat
import yaml
from tqdm.auto import tqdm

from phalar import _HOMES, fingerprint
from phalar.datasets.store import cpu_count, in_processes
from phalar.errors import InputError, RunError
from phalar.paths import PACKAGE, replacing, repository
from phalar.study import media
from phalar.study.records import REFERENCE, Record, lines, place, versions

# The notebooks of the study in the order in which they run. Those of a line share trained models; of the second group
# some look into weights that the first group trained. Otherwise long ones come first, so that none is left running
# alone at the end. The chapters of the course are those that are there.
COURSE = tuple(f"course/{path.stem}" for path in sorted((PACKAGE.parent / "notebooks" / "course").glob("*.ipynb")))
FIRST = (("retrieval", "ablations"), ("corpora",), ("beats",), ("judging",), ("own-stems",), ("judgements",))
THEN = (("limits",), ("chords",), ("rotation",), COURSE)
NOTEBOOKS = tuple(name for line in (*FIRST, *THEN) for name in line)

MEASURING = ("audio.py", "datasets", "corpora", "model", "evaluate", "train")  # the code whose numbers a run holds


def declared_parameters(notebook: Path) -> dict[str, Any]:
    """Parameters that a notebook declares in its ``parameters`` cell, with their default values."""
    cells = nbformat.read(notebook, as_version=4).cells
    declared = [ast.parse(cell.source).body for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    named = [node for body in declared for node in body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: literal(ast.unparse(node.value)) for node in named}


def literal(text: str) -> Any:
    """The value of a text that is a plain Python literal, or else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def load_profile(name_or_path: str | Path, overrides: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Parameter values of a profile, by name (``"laptop"``) or the path of a YAML file; ``overrides`` go before them.
    ``profile_name`` is among them: the file's name unless the file says otherwise. ``folder`` holds the notebooks.

    An `InputError` for an unknown profile, a file that is no flat list of ``name: value`` lines, a name that no
    notebook declares, or a value of another kind than its default.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / "profiles" / f"{name_or_path}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in path.parent.glob("*.yaml"))) or "none"
            raise InputError(f"unknown profile {str(name_or_path)!r}; known: {known}; or give the path of a .yaml file")
    declared: dict[str, Any] = {}
    for notebook in sorted(folder.rglob("*.ipynb")):
        declared = declared_parameters(notebook) | declared
    try:
        told = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValueError, TypeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"profile {path}: cannot be read as lines of the form `name: value` ({said})") from error
    values = {"profile_name": path.stem}
    for what, given in ((f"profile {path.name}", told), ("override", overrides)):
        for name, value in given.items():
            if name not in declared:
                raise InputError(f"{what}: no notebook has a parameter {name!r}")
            default = declared[name]
            # A whole number passes for a fraction, None for anything.
            kinds = {float: (int, float), list: (list, tuple)}.get(type(default), (type(default),))
            if None not in (value, default) and type(value) not in kinds:
                raise InputError(f"{what}: {name}={value!r} is not of the kind of {default!r}")
        values |= given
    return values


@dataclass(frozen=True)
class Study:
    """A run of the study. Its name is ``<profile>-<id>``; the id is a hash of all values and of the measuring code, so
    a changed value or other code makes another run, in folders of its own, by itself."""

    values: Mapping[str, Any]  # the profile's, with what was overridden
    root: Path
    name: str
    folder: Path  # of its records, weights and sounds
    records: Path  # results.jsonl in it
    executed: Path  # folder of its executed notebooks

    def parameters(self, notebook: str) -> dict[str, Any]:
        """What papermill injects into one notebook. ``{run}`` in a text of a profile stands for this run's folder."""
        declared = declared_parameters(self.root / "notebooks" / f"{notebook}.ipynb")
        values = {"results_path": "{run}/results.jsonl"} | self.values
        values = {name: value for name, value in values.items() if name in declared}
        return json.loads(json.dumps(values).replace("{run}", self.folder.relative_to(self.root).as_posix()))


def study(profile: str | Path, overrides: Mapping[str, Any] | None = None, root: Path | None = None) -> Study:
    """The run that a profile (name or file) with some values overridden stands for. An `InputError` for an unknown
    profile or parameter, a name that cannot be a folder's, or a package that was installed without a checkout."""
    root = root or repository()
    if root is None:
        raise InputError("the study's notebooks are not here; run from a clone of the repository (pip install -e .)")
    values = load_profile(profile, overrides or {}, root / "notebooks")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", str(values["profile_name"])):
        raise InputError(f"profile_name={values['profile_name']!r} cannot name a folder; use letters, digits, . - _")
    name = f"{values['profile_name']}-{fingerprint.fingerprint([values, fingerprint.of_code(*MEASURING)], 8)}"
    return named(values, root, name)


def named(values: Mapping[str, Any], root: Path, name: str) -> Study:
    """The run of that name, whatever the code has become since."""
    build, folder = root / "_build", root / "_build" / "results" / name
    return Study(values, root, name, folder, folder / "results.jsonl", build / "executed" / name / "notebooks")


def records_of(run: str) -> Path:
    """The results file that a text means: ``"reference"``, a run's name or folder, a file, or a profile."""
    places = [place(REFERENCE)] if run == "reference" else [place(run), place(Path("_build") / "results" / run)]
    files = [path / "results.jsonl" if path.is_dir() else path for path in places]
    return next((path for path in files if path.is_file()), None) or study(run).records


def run_study(run: Study, only: Iterable[str] | None = None, *, jobs: int = 1) -> list[dict[str, Any]]:
    """Execute the notebooks of a run (``only`` some), ``jobs`` at a time, each with its share of the processors. One
    whose executed copy was made from the same inputs (`inputs`) is reused; what was trained is found again. Of each
    its ``name``, the ``path`` of its executed copy, whether an earlier one was ``reused``, and ``seconds`` taken.

    An `InputError` for an unknown notebook, before anything runs. A `RunError` when one fails: it names notebook,
    cell and exception; the copy as far as it got stays beside, as ``<name>.failed.ipynb``.
    """
    done, wanted = {}, set(NOTEBOOKS if only is None else only)
    if unknown := wanted - set(NOTEBOOKS):
        raise InputError(f"unknown notebook {min(unknown)!r}; the study has: {', '.join(NOTEBOOKS)}")
    for group in (FIRST, THEN):
        lines = [[name for name in line if name in wanted] for line in group]
        tasks = [(run, line, jobs) for line in lines if line]
        for task, found in in_processes(_run_line, tasks, jobs) if jobs > 1 else ((t, _run_line(t)) for t in tasks):
            if isinstance(found, BaseException):
                raise found if isinstance(found, InputError | RunError) else RunError(f"{task[1]}: {found}")
            done |= {each["name"]: each for each in found}
    return [done[name] for name in NOTEBOOKS if name in done]


def _run_line(task: tuple[Study, list[str], int]) -> list[dict[str, Any]]:
    run, names, jobs = task
    if jobs > 1:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cpu_count() // jobs))  # of the kernels, which inherit it
    return [_run_one(run, name) for name in names]


def _run_one(run: Study, name: str) -> dict[str, Any]:
    notebook, target = run.root / "notebooks" / f"{name}.ipynb", run.executed / f"{name}.ipynb"
    title, parameters = f"study ({run.name}) {name}", run.parameters(name)
    key, failed = inputs(notebook, parameters, run.root), target.with_suffix(".failed.ipynb")

    def say(message: str) -> None:
        tqdm.write(f"{title}: {message}", file=sys.stderr)

    executed, _, fault = opened(target, run.root)
    about = {"key": "", "made": 0} | executed.metadata.get("phalar", {})
    if not fault and about["key"] == key and about["made"] <= len(of_page(run, name)):
        say("reused: same cells, parameters, code, weights and versions as the executed copy")
        return {"name": name, "path": target, "reused": True, "seconds": 0.0}
    say("running")
    started = time.monotonic()
    with replacing(target) as partial:
        os.environ["PHALAR_PAGE"] = name  # the kernel inherits it, and its records tell it
        failure = _execute(notebook, partial, parameters, run.root, title)
        del os.environ["PHALAR_PAGE"]  # what this process measures is no page's
        if failure:
            if partial.exists():
                os.replace(partial, failed)
                failure += f"\nThe copy as far as it got: {failed}."
            raise RunError(f"notebook {name}: {failure} Correct the cause and run again; finished training is reused.")
        seconds, executed = time.monotonic() - started, tidy(nbformat.read(partial, as_version=4), run.root)
        about = {"key": key, "parameters": parameters, "seconds": round(seconds, 1)}
        about["made"] = len(of_page(run, name))
        executed.metadata["phalar"] = about
        nbformat.write(executed, partial)
    failed.unlink(missing_ok=True)
    say(f"done in {seconds:.0f} s")
    return {"name": name, "path": target, "reused": False, "seconds": seconds}


def of_page(run: Study, name: str) -> list[Record]:
    """What a page measured in a run."""
    return [one for one in lines(run.records) if one.page == name]


def opened(path: Path, root: Path) -> tuple[nbformat.NotebookNode, dict[str, Path], str]:
    """An executed notebook, the files that it plays or shows by their address in it (beside it, beside its source, or
    at the root), and what is wrong with it, or an empty text."""
    try:
        executed = nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return nbformat.v4.new_notebook(), {}, "not executed, or damaged"
    files, fault = {}, first_failure(executed) or ""
    for source in media.sources(executed):
        places = [folder / source for folder in (path.parent, root / "notebooks", root)]
        files[source] = next((place for place in places if place.is_file()), None)
        fault = fault if files[source] else f"the file {source!r} that it plays or shows is gone"
    return executed, files, fault


def inputs(notebook: Path, parameters: Mapping[str, Any], root: Path) -> str:
    """Hash of what determines an executed notebook: its cells and parameters, the package's modules that it reaches
    (their code, without comments and docstrings), the tables beside them and what they are drawn with, the weights it
    loads, the versions of what it runs on, and the reference records that it shows beside its own."""
    source = nbformat.read(notebook, as_version=4)
    cells = [[cell.cell_type, cell.source, sorted(cell.metadata.get("tags", [])), cell.metadata.get("mystnb")]
             for cell in source.cells]  # fmt: skip
    modules = reached("\n".join(cell.source for cell in source.cells if cell.cell_type == "code"))
    beside = {path for part in modules for path in (PACKAGE / part).parent.iterdir()}
    files = {path for path in beside if path.suffix in fingerprint.TABLES}
    files |= {root / name for name in re.findall(r"[^'\"= ]+\.safetensors", str(parameters))}
    if "model/checkpoints.py" in modules:
        files |= set((PACKAGE / "weights").glob("*.safetensors"))
    if "study/media.py" in modules:
        files |= set((PACKAGE / "study" / "pages").iterdir())
    if "study/records.py" in modules:
        files |= set((root / REFERENCE).parent.glob("*.jsonl"))
    hashes = [[path.name, fingerprint.of_file(path)] for path in sorted(files) if path.is_file()]
    return fingerprint.fingerprint([cells, parameters, fingerprint.of_code(*modules), hashes, versions()], 32)


def reached(code: str) -> tuple[str, ...]:
    """Files of the package, below its folder, that code imports, directly or through others, wherever it says so."""
    finder = ModuleFinder([str(PACKAGE.parent)])  # what is not ours is not looked into
    finder.scan_code(compile(code, "cells", "exec"), finder.add_module("__main__"))
    lazy = [home for name, home in _HOMES.items() if f"phalar.{name}" in code]
    finder.scan_code(compile("".join(f"import {home}\n" for home in lazy), "lazy", "exec"), finder.modules["__main__"])
    files = [Path(module.__file__) for module in finder.modules.values() if module.__file__]
    return tuple(sorted(file.relative_to(PACKAGE).as_posix() for file in files))


def _execute(notebook: Path, target: Path, parameters: dict[str, Any], root: Path, title: str) -> str | None:
    """Run a notebook through papermill; returns what went wrong, if anything did."""
    import papermill

    bar = {"file": sys.stderr, "desc": title, "bar_format": "{desc}: cell {n_fmt} of {total_fmt}, {elapsed}"}
    about = {"parameters": parameters, "kernel_name": "python3", "cwd": str(root), "progress_bar": bar}
    # Papermill's own warnings are about how it uses its libraries; the kernel's remarks would drown the progress.
    about |= {"stdout_file": sys.stderr, "stderr_file": sys.stderr, "extra_arguments": ["--log-level=50"]}
    reason = None
    try:
        with warnings.catch_warnings(action="ignore"):
            papermill.execute_notebook(str(notebook), str(target), **about)
    except Exception as error:  # of a cell, a dead kernel, no kernel at all: they have no common base
        reason = f"could not be executed ({' '.join(str(error).split()) or type(error).__name__})"
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
