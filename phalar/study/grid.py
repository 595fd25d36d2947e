"""The ablation grid as independent jobs: one training run each, and every test that its weights serve.

A job is a function of a profile and its number in the list, so the same list serves two processes on a laptop and an
array of a cluster's queue. What is finished is found by its hash and skipped; a job that fails is reported and the
others go on. Book notebook *Ablations*; page *How to read and how to run*.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from phalar import corpora, paths
from phalar.errors import InputError
from phalar.study import cells as grid_cells
from phalar.study.cells import Cell
from phalar.study.experiments import Tested, find_or_test, find_or_train, present, run_folder
from phalar.study.profiles import declared_parameters, load_profile, notebooks_folder, parameters_for
from phalar.study.results import Record, append, results_path
from phalar.train.config import TrainConfig, config
from phalar.train.loop import BEST, DONE, Run

KEPT = 16_384  # bytes of what a job last said, to tell why it failed
FEWEST, MOST = 10, 500  # steps between two looks at the validation split, which take as long as a step or two


@dataclass(frozen=True)
class Budget:
    """How much a study spends on each training run and each test: values of a profile."""

    corpora: tuple[str, ...]  # tested on each
    trained: tuple[str, ...]  # trained on their mixture
    steps: int
    batch_size: int
    excerpt_seconds: tuple[float, float]
    preset: str
    limit: int
    draws: int
    ks: tuple[int, ...]
    device: str = "auto"
    shards: int = 1  # of a step, each a batch

    def training(self, cell: Cell, seed: int) -> TrainConfig:
        """The training run of a cell."""
        return config(
            cell.variant,
            self.trained,
            steps=self.steps,
            seed=seed,
            preset=cell.preset or self.preset,
            batch_size=self.batch_size,
            seconds=self.excerpt_seconds,
            limit=self.limit,
            valid_every=min(max(FEWEST, self.steps // 6), MOST),
            shards=self.shards,
            target=cell.target,
        )

    def sizes(self, corpus: str) -> list[int]:
        """The Ks for which a corpus has enough test tracks."""
        tracks = len(corpora.load(corpus, "test", limit=self.limit or None))
        return [k for k in self.ks if k <= tracks]


def budget(values: Mapping[str, Any], *, progress: bool = True) -> tuple[Budget, dict[str, str]]:
    """The budget that values of a profile (or a notebook's parameters) describe, and the real data sets that are
    absent, with why.

    Real data sets that were prepared are tested too; as soon as one has a training split, models are trained on real
    data alone.
    """
    found, absent = present(values.get("real", []), progress=progress)
    names = [*values["corpora"], *found]
    with_training = [name for name in names if corpora.load(name, "train", limit=1, progress=progress)]
    made = Budget(
        corpora=tuple(names),
        trained=tuple([name for name in with_training if name in found] or with_training),
        steps=values["steps"],
        batch_size=values["batch_size"],
        excerpt_seconds=tuple(values["excerpt_seconds"]),
        preset=values["preset"],
        limit=values["limit"],
        draws=values["draws"],
        ks=tuple(values["ks"]),
        device=values["device"],
        shards=values.get("shards", 1),
    )
    return made, absent


def budgets(spend: Budget, trained_on: str) -> dict[str, Budget]:
    """The budget for each corpus: all from one training on the ``"mixture"``, or ``"each"`` from one on itself alone
    (where it has a training split)."""
    if trained_on == "mixture":
        return dict.fromkeys(spend.corpora, spend)
    if trained_on == "each":
        return {name: replace(spend, corpora=(name,), trained=(name,)) for name in spend.trained}
    raise InputError(f"trained_on = {trained_on!r}; choose 'mixture' or 'each'")


@dataclass(frozen=True)
class Trial:
    """A cell with one seed: its run, and its test on every corpus."""

    cell: Cell
    run: Run
    tested: dict[str, Tested]

    def records(self) -> list[Record]:
        """Accuracies by corpus and K, as the ablation table's."""
        return [r for test in self.tested.values() for r in test.records("ablations", self.cell.name)]


def attempt(spend: Budget, cell: Cell, seed: int, *, progress: bool = True) -> Trial:
    """Train and test a cell with one seed, or find what was done before."""
    run = find_or_train(spend.training(cell, seed), device=spend.device, progress=progress)
    tested = {
        corpus: find_or_test(
            run,
            corpus,
            spend.sizes(corpus),
            spend.draws,
            seconds=cell.seconds,
            symmetrised=cell.symmetrised,
            limit=spend.limit,
            device=spend.device,
            progress=progress,
        )
        for corpus in spend.corpora
    }
    return Trial(cell, run, tested)


def keep_weights(trials: Mapping[tuple[str, int], Trial], folder: Path) -> list[Path]:
    """Copy the weights of every model with its first seed to ``folder/NAME.safetensors``, where other notebooks look
    for them."""
    kept = {}
    for (name, _), trial in trials.items():
        if name not in kept and name == trial.run.config.variant:
            kept[name] = folder / f"{name}.safetensors"
            partial = kept[name].with_name(f".{kept[name].name}.{os.getpid()}")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(trial.run.folder / BEST, partial)
            os.replace(partial, kept[name])
    return list(kept.values())


@dataclass(frozen=True)
class Job:
    """One training run of the grid and the cells that share it."""

    index: int
    cells: tuple[Cell, ...]
    seed: int
    config: TrainConfig

    @property
    def name(self) -> str:
        return f"{'+'.join(cell.name for cell in self.cells)}, seed {self.seed}"

    @property
    def trained(self) -> bool:
        """Whether its run is finished; its tests may still be missing."""
        return (run_folder(self.config) / DONE).is_file()


def jobs(profile: str | Path, notebook: str = "ablations") -> tuple[Budget, list[Job]]:
    """The jobs of a profile's grid, numbered from 0, and what each may spend: a seed's whole table before the next's.

    Cells with the same training share it. COCOLA goes first: its step takes twice as long, and the longest job, begun
    last, would keep a processor waiting.

    Raises
    ------
    InputError
        For an unknown profile or cell.
    """
    path = notebooks_folder() / f"{notebook}.ipynb"
    values = declared_parameters(path) | parameters_for(path, load_profile(profile))
    spend, _ = budget(values)
    rows = grid_cells.chosen(values["cells"])
    shared: dict[TrainConfig, list[Cell]] = {}
    for seed in values["seeds"]:
        for cell in sorted(rows, key=lambda cell: cell.variant != "cocola"):
            shared.setdefault(spend.training(cell, seed), []).append(cell)
    made = [Job(i, tuple(served), run.seed, run) for i, (run, served) in enumerate(shared.items())]
    return spend, made


def run_job(profile: str | Path, index: int, target: Path | None = None) -> list[Record]:
    """Do one job in this process and append its records to ``target``, or to the profile's results.

    Raises
    ------
    InputError
        A number that is no job's.
    """
    spend, listed = jobs(profile)
    if not 0 <= index < len(listed):
        raise InputError(f"job {index} of {len(listed)}; give a number from 0 to {len(listed) - 1}")
    job = listed[index]
    records = [record for cell in job.cells for record in attempt(spend, cell, job.seed).records()]
    append(target or results_file(profile), records)
    return records


def results_file(profile: str | Path) -> Path:
    """Where the grid of a profile keeps its records."""
    root = notebooks_folder().parent
    return root / load_profile(profile).get("results_path", results_path(load_profile(profile)["profile_name"], root))


@dataclass(frozen=True)
class Outcome:
    """What became of a job: its records, or why it failed."""

    job: Job
    records: list[Record]
    error: str = ""


def run_all(
    profile: str | Path,
    processes: int,
    *,
    target: Path | None = None,
    tell: Callable[[Outcome], object] = lambda outcome: None,
    progress: bool = True,
) -> list[Outcome]:
    """Do all jobs of a profile's grid, some at a time, each in a process of its own with its share of the processors.

    Parameters
    ----------
    profile : str or Path
    processes : int
        Jobs at a time.
    target : Path, optional
        Results file; the profile's by default.
    tell : callable
        Called with each outcome as it comes.
    progress : bool
        A bar over the jobs on standard error, and one below it for each that is running.

    Raises
    ------
    InputError
        ``processes`` below 1, or an unknown profile.
    """
    if processes < 1:
        raise InputError(f"jobs = {processes}; at least one at a time is needed")
    _, listed = jobs(profile)
    places, lock = list(range(1, processes + 1)), threading.Lock()
    outcomes: list[Outcome] = []

    def work(job: Job) -> None:
        with lock:
            place = places.pop(0)
        outcome = _in_a_process(command(profile, job.index, target), job, processes, place, progress)
        with lock:
            places.insert(0, place)
            outcomes.append(outcome)
            tell(outcome)
            bar.update()

    with (
        tqdm(total=len(listed), desc="ablation grid", unit="job", disable=not progress, dynamic_ncols=True) as bar,
        ThreadPoolExecutor(processes) as pool,
    ):
        waiting = [pool.submit(work, job) for job in listed]
        try:
            for each in waiting:
                each.result()
        except BaseException:  # Ctrl-C reaches the jobs too: they save and stop, and no other is started
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return sorted(outcomes, key=lambda outcome: outcome.job.index)


def command(profile: str | Path, index: int, target: Path | None = None) -> list[str]:
    """The command line of a job, for a process here or a cluster's queue."""
    words = ["study", "grid", "--profile", str(profile), "--index", str(index)]
    return words + (["--results", str(target)] if target else [])


def _in_a_process(words: Sequence[str], job: Job, processes: int, place: int, progress: bool) -> Outcome:
    """A job in a process of its own: its memory is its own, and its crash is not ours."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TQDM_POSITION": str(place), "TQDM_LEAVE": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(paths.PACKAGE.parent), *filter(None, [environment.get("PYTHONPATH")])]
    )
    with subprocess.Popen(
        [sys.executable, "-m", "phalar", *words, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    ) as process:
        said = bytearray()
        reader = threading.Thread(target=_pass_on, args=(process.stderr, said, progress))
        reader.start()
        printed = process.stdout.read()
        reader.join()
    try:
        return Outcome(job, [Record.from_dict(fields) for fields in json.loads(printed)["records"]])
    except (ValueError, KeyError, TypeError, InputError):
        lines = [line for line in said.decode(errors="replace").replace("\r", "\n").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()]
        why = (errors or lines or ["it said nothing"])[-1].removeprefix("phalar: error: ")
        return Outcome(job, [], f"{why} (exit status {process.returncode})")


def _pass_on(pipe: BinaryIO, said: bytearray, progress: bool) -> None:
    """What a job says on standard error, shown as it comes; its end is kept."""
    while chunk := pipe.read1(4096):
        said += chunk
        del said[:-KEPT]
        if progress:
            sys.stderr.buffer.write(chunk)
            sys.stderr.flush()
