"""Run the study's notebooks through papermill, each one once for what determines it.

papermill is not trusted on its word: a notebook counts as executed only if papermill raised nothing, marked no
exception and no output is an error. Book page: *How to read and how to run*.
"""

import hashlib
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
from tqdm.auto import tqdm

from phalar.errors import InputError, RunError
from phalar.paths import PACKAGE, repository
from phalar.study import media
from phalar.study.profiles import NOTEBOOKS, declared_parameters, load_profile, notebooks_folder, parameters_for
from phalar.study.results import REFERENCE, versions

# Packages, besides those every record names, whose version can change what a notebook shows.
RENDERERS = ("torchaudio", "pretty_midi", "mir_eval", "pandas", "matplotlib", "seaborn", "papermill")


@dataclass(frozen=True)
class Executed:
    """One notebook of the study: where its executed copy is, whether an earlier one served, and seconds taken."""

    name: str
    path: Path
    reused: bool
    seconds: float


def executed_folder(profile_name: str, root: Path | None = None) -> Path:
    """Folder of the executed notebooks: ``_build/executed/<profile>/notebooks``."""
    return (root or notebooks_folder().parent) / "_build" / "executed" / profile_name / "notebooks"


def run_study(
    profile: str | Path,
    only: Iterable[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
    *,
    root: Path | None = None,
    notebooks: Iterable[str] = NOTEBOOKS,
) -> list[Executed]:
    """Execute the study's notebooks in order with a profile's parameters.

    A notebook whose executed copy was made from the same source, parameters, package and versions is reused. What an
    interrupted notebook had trained is found again by the notebook itself, so a second call resumes.

    Parameters
    ----------
    profile : str or Path
        A profile's name or file.
    only : iterable of str, optional
        Names of the notebooks to run, all by default.
    overrides : mapping, optional
        Parameter values that go before the profile's.
    progress : bool
        Tell on standard error which notebook and cell runs, and pass on what the notebook says.
    root : Path, optional
        The checkout; that of this package by default.
    notebooks : iterable of str
        The study's notebooks in order.

    Raises
    ------
    InputError
        For an unknown profile, notebook or parameter, before anything runs.
    RunError
        When a notebook fails: it names notebook, cell and exception. The copy as far as it got stays beside, as
        ``<name>.failed.ipynb``.
    """
    root = root or notebooks_folder().parent
    folder = root / "notebooks"
    values = load_profile(profile, folder)
    chosen = _chosen(list(notebooks), only)
    profile_name = check_profile_name((dict(overrides or {})).get("profile_name", values["profile_name"]))
    jobs = [(name, _parameters(folder / f"{name}.ipynb", values, overrides, chosen, folder)) for name in chosen]
    done = []
    for position, (name, parameters) in enumerate(jobs, start=1):
        say = _teller(f"study ({profile_name}) {position}/{len(jobs)} {name}", progress)
        done.append(_run_one(folder / f"{name}.ipynb", parameters, executed_folder(profile_name, root), root, say))
    return done


def check_profile_name(name: str) -> str:
    """A profile's name becomes a folder's: letters, digits, dot, dash and underscore only."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise InputError(f"profile_name={name!r} cannot name a folder; use letters, digits, '.', '-' and '_'")
    return name


def _chosen(notebooks: list[str], only: Iterable[str] | None) -> list[str]:
    wanted = notebooks if only is None else list(only)
    for name in wanted:
        if name not in notebooks:
            raise InputError(f"unknown notebook {name!r}; the study has: {', '.join(notebooks)}")
    return [name for name in notebooks if name in wanted]


def _parameters(
    path: Path, values: Mapping[str, Any], overrides: Mapping[str, Any] | None, chosen: list[str], folder: Path
) -> dict[str, Any]:
    """One notebook's parameters; an override must be known to it, or else to another one of those chosen."""
    elsewhere = {name for other in chosen for name in declared_parameters(folder / f"{other}.ipynb")}
    own = declared_parameters(path)
    mine = {key: value for key, value in (overrides or {}).items() if key in own or key not in elsewhere}
    return parameters_for(path, values, mine)


def _teller(title: str, progress: bool):
    def say(message: str) -> None:
        if progress:
            tqdm.write(f"{title}: {message}", file=sys.stderr)

    say.title, say.on = title, progress
    return say


def study_key(notebook: Path, parameters: Mapping[str, Any]) -> str:
    """SHA-256 over what determines an executed notebook: source, parameters, this package, versions, and the
    reference records that it shows beside its own."""
    digest = hashlib.sha256()
    source = nbformat.read(notebook, as_version=4)
    cells = [[cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))] for cell in source.cells]
    tools = {name: metadata.version(name) for name in RENDERERS if _installed(name)}
    reference = notebook.parent.parent / REFERENCE
    shown = reference.read_text(encoding="utf-8") if reference.is_file() else ""
    for part in (cells, dict(parameters), package_hash(), versions() | tools, shown):
        digest.update(json.dumps(part, sort_keys=True, default=str).encode() + b"\0")
    return digest.hexdigest()


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def package_hash(package: Path = PACKAGE) -> str:
    """SHA-256 over the names and contents of the package's source files and tables."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in (".py", ".csv", ".c", ".html", ".js") and path.is_file():
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _run_one(notebook: Path, parameters: dict[str, Any], folder: Path, root: Path, say) -> Executed:
    name, target = notebook.stem, folder / notebook.name
    key = study_key(notebook, parameters)
    results = (declared_parameters(notebook) | parameters).get("results_path")
    if _is_current(target, key, [root / results] if results else [], root):
        say("reused: same source, parameters, code and versions as the executed copy")
        return Executed(name, target, reused=True, seconds=0.0)
    folder.mkdir(parents=True, exist_ok=True)
    failed, partial = folder / f"{name}.failed.ipynb", folder / f".{name}.partial.ipynb"
    say("running")
    started = time.monotonic()
    try:
        _execute(notebook, partial, parameters, root, say)
        failure = first_failure(nbformat.read(partial, as_version=4))
        if failure:
            raise RunError(f"notebook {name}: {failure}")
    except RunError as error:
        if partial.exists():
            os.replace(partial, failed)
            raise RunError(f"{error}\nThe copy as far as it got: {failed}. Correct the cause and run again; "
                           "finished training is reused.") from error  # fmt: skip
        raise
    seconds = time.monotonic() - started
    executed = tidy(nbformat.read(partial, as_version=4), root)
    executed.metadata["phalar"] = {"key": key, "parameters": parameters, "seconds": round(seconds, 1)}
    nbformat.write(executed, partial)
    os.replace(partial, target)
    failed.unlink(missing_ok=True)
    say(f"done in {seconds:.0f} s")
    return Executed(name, target, reused=False, seconds=seconds)


def _is_current(target: Path, key: str, made: list[Path], root: Path) -> bool:
    """Whether an executed copy can stand for a new run: same key, no error, and all files it made are still there."""
    try:
        executed = nbformat.read(target, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return False
    return (
        executed.metadata.get("phalar", {}).get("key") == key
        and first_failure(executed) is None
        and all(path.is_file() for path in made)
        and all(media.find(source, media_folders(target, root)) for source in media.sources(executed))
    )


def media_folders(executed: Path, root: Path) -> list[Path]:
    """Where a local address in an executed notebook is looked for: beside it, beside its source, at the root."""
    return [executed.parent, root / "notebooks", root]


def _execute(notebook: Path, target: Path, parameters: dict[str, Any], root: Path, say) -> None:
    import papermill

    stream = sys.stderr if say.on else None
    counter = {"file": stream, "desc": say.title, "bar_format": "{desc}: cell {n_fmt} of {total_fmt}, {elapsed}"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # papermill's own, about how it uses its libraries
            papermill.execute_notebook(
                str(notebook),
                str(target),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(root),
                progress_bar=counter if say.on else False,
                stdout_file=stream,
                stderr_file=stream,
                extra_arguments=["--log-level=50"],  # the kernel's remarks on itself would drown the progress
            )
    except papermill.PapermillExecutionError as error:
        raise RunError(f"notebook {notebook.stem}: {_describe(error.cell_index, error.source, error)}") from error
    except Exception as error:  # a dead kernel, no kernel at all: nbclient and jupyter_client have no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        hint = "; a kernel that dies has mostly run out of memory" if "died" in reason.lower() else ""
        raise RunError(f"notebook {notebook.stem}: could not be executed ({reason}){hint}") from error


def first_failure(notebook: nbformat.NotebookNode) -> str | None:
    """What went wrong in an executed notebook, or None: papermill's marks and every output are looked at."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                return _describe(index, cell.source, output)
        if cell.metadata.get("papermill", {}).get("exception"):
            return f"cell {index + 1} is marked as failed by papermill"
    if notebook.metadata.get("papermill", {}).get("exception"):
        return "marked as failed by papermill"
    return None


def _describe(index: int, source: str, error: Any) -> str:
    """One line: the cell, its first line of code, and the exception."""
    code = next((line.strip() for line in source.splitlines() if line.strip() and not line.startswith("#")), "")
    said = next((line for line in str(error.evalue).splitlines() if line.strip()), "")
    return f"cell {index + 1} ({code[:60]!r}) raised {error.ename}: {said}"


# A progress bar as tqdm draws it: "steps:  12%|#2   | 3/25 [00:01<00:09, 2.3it/s]".
# The first alternatives are tqdm's word that it has no widgets here, which is as intended.
_BAR = re.compile(r"TqdmWarning|notebook_tqdm|\d+%\|.*\||\d+(it|steps?|pairs?|tracks?) \[|\d[^|]*\[\d\d:\d\d[<,\]]")


def tidy(notebook: nbformat.NotebookNode, root: Path | None = None) -> nbformat.NotebookNode:
    """An executed notebook as the book shows it, changed in place: no machine's paths or times, no progress bars.

    Streams in pieces become one, a line overwritten by carriage returns keeps its last state, progress bars go, and
    the checkout's folder reads ``.``, the home folder ``~``.
    """
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    places = {str(root or repository() or Path.cwd()): ".", str(Path.home()): "~"}
    for cell in notebook.cells:
        for leftover in ("papermill", "execution"):
            cell.metadata.pop(leftover, None)
        if cell.cell_type == "code":
            cell.outputs = [_without(output, places) for output in _joined(cell.outputs)]
    return notebook


def _joined(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs with all pieces of each stream put together where the stream first spoke, progress bars left out."""
    kept: list[nbformat.NotebookNode] = []
    streams: dict[str, nbformat.NotebookNode] = {}
    for output in outputs:
        if output.output_type != "stream":
            kept.append(output)
        elif output.name in streams:
            streams[output.name].text += "".join(output.text)
        else:
            streams[output.name] = nbformat.v4.new_output("stream", name=output.name, text="".join(output.text))
            kept.append(streams[output.name])
    for stream in streams.values():
        lines = [line.rstrip("\r").rpartition("\r")[2] for line in stream.text.split("\n")]
        stream.text = "\n".join(line for line in lines if not _BAR.search(line))
    return [output for output in kept if output.output_type != "stream" or output.text.strip()]


def _without(output: nbformat.NotebookNode, places: Mapping[str, str]) -> nbformat.NotebookNode:
    def scrub(text: Any) -> Any:
        text = "".join(text) if isinstance(text, list) else text
        for place, name in places.items():
            text = text.replace(place, name) if len(place) > 1 else text
        return text

    if output.output_type == "stream":
        output.text = scrub(output.text)
    for kind, value in output.get("data", {}).items():
        if kind.startswith("text/") and isinstance(value, (str, list)):
            output.data[kind] = scrub(value)
    return output
