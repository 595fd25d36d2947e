"""The tidy record of results: one JSON line a number, appended by the code that measured it, never typed.

A line is self-contained: what was measured on what, how sure it is, and the code, settings and day that made it.
Shares (top-1 accuracy, F1) are kept from 0 to 1; tables multiply by 100. Book page: *How to read and how to run*.
"""

import dataclasses
import datetime
import fcntl
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from phalar.errors import InputError, RunError
from phalar.paths import replacing, repository

# Metrics that are shares of a whole: a value outside 0..1 is a per cent value by mistake.
SHARES = frozenset({"top1", "accuracy", "f1", "cmlt", "amlt", "cmlc", "amlc"})

# Records that ship with the book, from the top folder; they are read by the same code as a run's.
REFERENCE = Path("book") / "reference" / "results.jsonl"
SIMULATION = REFERENCE.with_name("simulation.jsonl")  # of the page How we judge, with many repetitions
JUDGEMENTS = REFERENCE.with_name("judgements.jsonl")  # of the authors' published ratings, which are not here
SCORERS = REFERENCE.with_name("scorers.jsonl")  # other people's measures, where their packages were installed
OUTCOMES = REFERENCE.with_name("outcomes.jsonl")  # every anchor of every row and seed
BENCHES = REFERENCE.with_name("bench.jsonl")  # what `phalar bench` printed on the machine of the reference run

# Two records with the same key are the same measurement made twice: the newest counts.
KEY = ["experiment", "dataset", "split", "variant", "seed", "metric", "k", "config_hash"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One measured number and everything needed to judge it: what was measured (``experiment``, "retrieval"), on what
    (``dataset, split``), of which model or row (``variant``) and in which measure (``metric``); ``k`` candidates in
    retrieval; ``seed`` and ``steps`` of the training run, None where there is none. ``value`` is finite, shares are
    0..1; ``ci_low, ci_high`` its 95 % interval over ``n`` units (tracks, recordings, listeners). ``config_hash`` names
    what determines the measurement; ``device, commit, versions, date`` and the book's ``page`` that measured it, if one
    did, come from `record`. An InputError for a value that is not finite or (for shares) outside 0..1, or an interval
    upside down."""

    experiment: str
    dataset: str
    split: str
    variant: str
    seed: int | None = None
    metric: str
    k: int | None = None
    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    steps: int | None = None
    device: str = "unknown"
    wall_seconds: float | None = None
    config_hash: str = ""
    commit: str = "unknown"
    versions: dict = dataclasses.field(default_factory=dict)
    date: str = ""
    page: str = ""

    def __post_init__(self) -> None:
        known = {name: getattr(self, name) for name in _FLOATS if getattr(self, name) is not None}
        for name, value in known.items():
            if not math.isfinite(value):
                raise InputError(f"record: {name}={value!r} is not finite; leave out what was not measured")
            if self.metric in SHARES and name != "wall_seconds" and not 0 <= value <= 1:
                raise InputError(f"record: {name}={value!r} of {self.metric!r} is not a share; divide per cent by 100")
        if known.get("ci_low", -math.inf) > known.get("ci_high", math.inf):
            raise InputError(f"record: the interval {self.ci_low!r}..{self.ci_high!r} is upside down; swap its ends")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one training run of a row found on one corpus' test pairs, as one line of ``outcomes.jsonl``: ``rivals`` by
    draw and track (`phalar.evaluate.retrieval.rivals`). Rows are compared from these, wherever they were trained."""

    variant: str
    dataset: str
    seed: int
    rivals: list[list[int]]
    config_hash: str


NAMES = {Record: "a record", Outcome: "an outcome"}  # what a line of a file is called
_INTEGERS, _FLOATS = ("seed", "k", "n", "steps"), ("value", "ci_low", "ci_high", "wall_seconds")


def record(estimate: Any, *, device: str = "cpu", **about: Any) -> Record:
    """A record of an estimate (`phalar.evaluate.statistics.Estimate`; a bare number has no interval) and of ``about``,
    with what made it: ``device`` (torch's name), commit, versions and date, but no hosts, users or paths."""
    import torch

    if hasattr(estimate, "value"):
        about |= {"ci_low": estimate.low, "ci_high": estimate.high, "n": estimate.n}
        estimate = estimate.value
    kind = torch.device(device).type
    detail = torch.cuda.get_device_name(device) if kind == "cuda" else f"{torch.get_num_threads()} threads"
    about |= {"device": f"{kind} ({detail})", "commit": commit(), "versions": versions()}
    about["page"] = os.environ.get("PHALAR_PAGE", "")  # `phalar.study.run` names it to the kernel
    return Record(value=estimate, date=f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%SZ}", **about)


@cache
def versions() -> dict[str, str]:
    """Versions of Python, this package and what its numbers depend on."""
    installed = {each.name: each.version for each in metadata.distributions()}
    names = ("phalar", "torch", "numpy", "scipy", "librosa", "nnAudio", "music21", "symusic")
    return {"python": platform.python_version()} | {name: installed[name] for name in names if name in installed}


@cache
def commit() -> str:
    """Commit of the checkout, with ``-dirty`` when it has changes; ``"unknown"`` where there is none."""
    command = ["git", "-C", str(repository()), "describe", "--always", "--dirty", "--exclude", "*", "--abbrev=12"]
    quiet = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}  # look only: the index is not touched
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, check=True, env=quiet).stdout.strip()
    return "unknown"


def place(path: Path | str) -> Path:
    """A results file's path: a relative one is below the checkout, so that a notebook in its own folder finds it."""
    here = Path.cwd()
    return (here if (here / "notebooks").is_dir() else repository() or here) / path


def append(path: Path | str, records: Iterable[Record | Outcome]) -> None:
    """Add records to a results file (`place`), one JSON line each, in one write under a lock; folders are made."""
    how = {"allow_nan": False, "ensure_ascii": False, "default": np.generic.item}  # numpy's numbers become plain ones
    text = "".join(json.dumps(vars(each), **how) + "\n" for each in records)
    path = place(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(text.encode())


def read(*paths: Path | str) -> pd.DataFrame:
    """All records of results files (`place`) as `frame` has them; none of one that does not exist. A line that is
    no record, or a torn one, is a RunError that names file and line."""
    return frame(lines(*paths))


def lines(*paths: Path | str, kind: type = Record) -> Iterator[Any]:
    """All lines of results files, oldest first, or of files of another ``kind`` (`Outcome`)."""
    for path in map(place, paths):
        for number, line in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
            try:
                yield kind(**json.loads(line))
            except (ValueError, TypeError) as error:
                what, again = NAMES[kind], "delete that line or the file and run again"
                raise RunError(f"{path}, line {number}: not {what} ({error}); {again}") from error


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Records as a frame, oldest first; of those with the same `KEY` the newest. Integers are nullable."""
    table = pd.DataFrame(map(vars, records), columns=[field.name for field in dataclasses.fields(Record)])
    kinds = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_FLOATS, "float64")
    return table.astype(kinds).drop_duplicates(KEY, keep="last").reset_index(drop=True)


def merge(sources: Iterable[Path | str], target: Path | str) -> int:
    """Bring results files together in one, oldest first, of each measurement (`KEY`) the newest; returns how many. The
    target may be one of them, and is written whole or not at all. A missing source, or none, is an InputError."""
    sources = [place(source) for source in sources]
    missing = [str(source) for source in sources if not source.is_file()]
    if missing or not sources:
        raise InputError(f"there is nothing to merge, or missing: {missing}; give results files that a run wrote")
    found = sorted(lines(*sources), key=lambda each: each.date)
    newest = {tuple(getattr(each, name) for name in KEY): each for each in found}
    with replacing(place(target)) as partial:
        append(partial, newest.values())
    return len(newest)
