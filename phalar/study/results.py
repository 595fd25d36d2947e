"""The tidy record of results: one JSON line a number, appended by the code that measured it, never typed.

A line is self-contained: what was measured on what, how sure it is, and the code, settings and day that made it.
Shares (top-1 accuracy, F1) are kept from 0 to 1; tables multiply by 100. Book page: *How to read and how to run*.
"""

import dataclasses
import datetime
import fcntl
import json
import math
import numbers
import os
import platform
import subprocess
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phalar.errors import InputError, PhalarWarning, RunError
from phalar.evaluate.statistics import bootstrap_interval
from phalar.paths import repository
from phalar.study.tables import retrieval_markdown, retrieval_table

__all__ = ["KEY", "Record", "append", "provenance", "read", "results_path", "retrieval_markdown", "retrieval_table"]

# Metrics that are shares of a whole: a value outside 0..1 is a per cent value by mistake.
SHARES = frozenset({"top1", "accuracy", "f1", "cmlt", "amlt", "cmlc", "amlc"})

# Records that ship with the book, from the top folder: what its tables show as the reference run.
REFERENCE = Path("book") / "reference" / "results.jsonl"
PRESETS = REFERENCE.with_name("presets.jsonl")
BENCHES = REFERENCE.with_name("bench.jsonl")  # what `phalar bench` printed on the machine of the reference run

# Two records with the same key are the same measurement made twice: the newest counts.
KEY = ["experiment", "dataset", "split", "variant", "seed", "metric", "k", "config_hash"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One measured number and everything needed to judge it.

    Parameters
    ----------
    experiment, dataset, split, variant, metric : str
        What was measured (``"retrieval"``), on what (``"chorales"``, ``"test"``), of which model (``"phalar"``), and
        the measure (``"top1"``).
    value : float
        The number, finite; shares as 0..1.
    seed : int or None
        Seed of the training run; None where nothing was drawn.
    k : int or None
        Candidates in retrieval; None elsewhere.
    ci_low, ci_high : float or None
        95 % interval, in the unit of ``value``.
    n : int or None
        Number of units behind ``value`` that the interval is over (test tracks, recordings, listeners).
    steps : int or None
        Optimiser steps of the model measured.
    device : str
        Kind of processor, such as ``"cpu (2 threads)"``; never a machine's name.
    wall_seconds : float or None
        Time the measurement took.
    config_hash : str
        Hash of what determines the run, so that a table never mixes settings unawares.
    commit, versions, date
        From `provenance`.

    Raises
    ------
    InputError
        For a value that is not finite, not of its type, or (for shares) outside 0..1.
    """

    experiment: str
    dataset: str
    split: str
    variant: str
    metric: str
    value: float
    seed: int | None = None
    k: int | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    steps: int | None = None
    device: str = "unknown"
    wall_seconds: float | None = None
    config_hash: str = ""
    commit: str = "unknown"
    versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    date: str = ""

    def __post_init__(self) -> None:
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str):
                raise InputError(f"record: {name}={getattr(self, name)!r} is not text; give a string")
        for name in ("experiment", "dataset", "split", "variant", "metric"):
            if not getattr(self, name):
                raise InputError(f"record: {name} is empty; every result says what it measured, on what")
        for name in _FLOATS:
            object.__setattr__(self, name, _number(name, getattr(self, name), required=name == "value"))
        for name in _INTEGERS:
            object.__setattr__(self, name, _integer(name, getattr(self, name)))
        if self.metric in SHARES:
            for name in ("value", "ci_low", "ci_high"):
                share = getattr(self, name)
                if share is not None and not 0 <= share <= 1:
                    raise InputError(f"record: {name}={share!r} of {self.metric!r} is not a share from 0 to 1; "
                                     "divide a per cent value by 100")  # fmt: skip
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise InputError(f"record: the interval {self.ci_low!r}..{self.ci_high!r} is upside down; swap its ends")
        if not isinstance(self.versions, Mapping):
            raise InputError(f"record: versions={self.versions!r} is not a mapping; give {{name: version}}")
        object.__setattr__(self, "versions", {str(name): str(value) for name, value in self.versions.items()})

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "Record":
        """A record from a mapping; an unknown or missing field is an `InputError` that names it."""
        unknown = sorted(set(fields) - set(COLUMNS))
        if unknown:
            raise InputError(f"record: unknown field {unknown[0]!r}; the fields are {', '.join(COLUMNS)}")
        missing = [name for name in _REQUIRED if name not in fields]
        if missing:
            raise InputError(f"record: field {missing[0]!r} is missing; every record needs {', '.join(_REQUIRED)}")
        return cls(**fields)

    def as_dict(self) -> dict[str, Any]:
        """The record as plain values, in the order of the results form."""
        return {name: getattr(self, name) for name in COLUMNS}


_FLOATS = ("value", "ci_low", "ci_high", "wall_seconds")
_INTEGERS = ("seed", "k", "n", "steps")
_TEXTS = ("experiment", "dataset", "split", "variant", "metric", "device", "config_hash", "commit", "date")
_REQUIRED = ("experiment", "dataset", "split", "variant", "metric", "value")

# The published order of the columns (design: results form).
COLUMNS = (
    "experiment", "dataset", "split", "variant", "seed", "metric", "k", "value", "ci_low", "ci_high", "n", "steps",
    "device", "wall_seconds", "config_hash", "commit", "versions", "date",
)  # fmt: skip


def _number(name: str, value: Any, required: bool) -> float | None:
    if value is None and not required:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"record: {name}={value!r} is not a number; give a float")
    if not math.isfinite(value):
        raise InputError(f"record: {name}={value!r} is not finite; leave out what could not be measured")
    return float(value)


def _integer(name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise InputError(f"record: {name}={value!r} is not a whole number; give an int")
    return int(value)


def mean_record(values: np.ndarray, **about: Any) -> Record:
    """A record of the mean of values (n,), one a unit, with its 95 % bootstrap interval over units; ``about`` is all
    else that a record holds."""
    low, high = bootstrap_interval(values)
    return Record(value=float(values.mean()), ci_low=low, ci_high=high, n=len(values), **about)


def results_path(profile: str, root: Path | None = None) -> Path:
    """Where a study run under ``profile`` keeps its records: ``_build/results/<profile>/results.jsonl``.

    ``root`` is the checkout (by default the one this package runs from, else the working directory).
    """
    return (root or repository() or Path.cwd()) / "_build" / "results" / profile / "results.jsonl"


def append(path: Path | str, records: Iterable[Record]) -> None:
    """Add records to a results file, one JSON line each; folders are made.

    All lines go out in one write, under a lock, after the existing ones: whatever interrupts it, earlier lines stay
    as they were. A torn last line left by an earlier interruption is cut off first, and a `PhalarWarning` says so.

    Raises
    ------
    InputError
        If something that is not a `Record` is given; nothing is written then.
    """
    records = list(records)
    for record in records:
        if not isinstance(record, Record):
            raise InputError(f"append: {type(record).__name__} is not a Record; make one with Record.from_dict")
    text = "".join(json.dumps(record.as_dict(), allow_nan=False, ensure_ascii=False) + "\n" for record in records)
    if not text:
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        tail = file.read().rpartition(b"\n")[2]
        if tail and _parses(tail):
            text = "\n" + text  # complete but for its line break
        elif tail:
            warnings.warn(f"{path}: cut off a torn last line ({len(tail)} bytes)", PhalarWarning, stacklevel=2)
            file.truncate(file.seek(0, os.SEEK_END) - len(tail))
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def read(path: Path | str) -> pd.DataFrame:
    """All records of a results file as a frame with the columns of the results form, oldest first.

    Of records with the same key (`KEY`) the newest counts. A file that does not exist is an empty frame. ``seed``,
    ``k``, ``n`` and ``steps`` are nullable integers. A torn last line, as an interrupted run leaves it, is left out
    with a `PhalarWarning`.

    Raises
    ------
    RunError
        If any other line is not a record: it names file and line.
    """
    path = Path(path)
    rows = []
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            rows.append(Record.from_dict(json.loads(line)).as_dict())
        except (ValueError, TypeError) as error:
            if number == len(lines) and not _parses(line):  # no line break after it: an append was interrupted
                warnings.warn(f"{path}: left out a torn last line ({len(line)} bytes)", PhalarWarning, stacklevel=2)
                continue
            raise RunError(f"{path}, line {number}: not a record ({error}); delete that line or the file and run again"
                           ) from error  # fmt: skip
    return frame(rows)


def merge(sources: Iterable[Path | str], target: Path | str) -> int:
    """Bring results files together in one, oldest first, of each measurement (`KEY`) the newest; returns how many.

    The target may be one of the sources. It is written whole or not at all.

    Raises
    ------
    InputError
        If a source does not exist.
    RunError
        If a line of one is not a record.
    """
    newest: dict[tuple, Record] = {}
    for source in map(Path, sources):
        if not source.is_file():
            raise InputError(f"results file {source} does not exist; give files that a run wrote")
        rows = read(source).astype(object)
        for fields in rows.where(rows.notna(), None).to_dict("records"):
            record = Record.from_dict(fields)
            key = tuple(fields[name] for name in KEY)
            if key not in newest or newest[key].date <= record.date:
                newest[key] = record
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    append(partial, sorted(newest.values(), key=lambda record: record.date))
    if not newest:
        partial.touch()
    os.replace(partial, target)
    return len(newest)


def frame(records: Iterable[Record | Mapping[str, Any]]) -> pd.DataFrame:
    """Records as the frame that `read` gives, newest of each key kept."""
    rows = [record.as_dict() if isinstance(record, Record) else dict(record) for record in records]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in _INTEGERS:
        table[name] = table[name].astype("Int64")
    for name in _FLOATS:
        table[name] = table[name].astype("float64")
    return table.drop_duplicates(KEY, keep="last").reset_index(drop=True)


def _parses(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def provenance(device: str = "cpu") -> dict[str, Any]:
    """Who made a number: ``device``, ``commit``, ``versions`` and ``date``, the last fields of a `Record`.

    ``device`` is torch's name of the device used. The commit ends in ``-dirty`` when the tree had changes, and is
    ``"unknown"`` outside a checkout. The date is UTC, to the second. No host names, users or paths are recorded.
    """
    return {
        "device": _device(device),
        "commit": commit(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _device(device: str) -> str:
    import torch

    kind = torch.device(device)
    if kind.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(kind)})"
    return f"cpu ({torch.get_num_threads()} threads)" if kind.type == "cpu" else kind.type


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of Python, this package and what its numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("phalar", "torch", "numpy", "scipy", "librosa", "nnAudio", "music21", "symusic"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Commit of the checkout, with ``-dirty`` when it has changes; ``"unknown"`` where there is none."""
    root = repository()
    if root is None:
        return "unknown"
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"]
    try:
        quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # look only: the index is not touched
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=quiet)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return answer.stdout.strip() or "unknown"
