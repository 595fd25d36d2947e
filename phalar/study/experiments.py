"""What the notebooks ask for: a trained model, found or made; its test scores, found or made; the records of both.

Finished work is kept in the cache under the hash of what determines it, so a notebook that is run again, or another
one that needs the same model, does not train twice.
"""

import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from phalar import corpora, fingerprint, paths
from phalar.datasets.pairs import Pair
from phalar.datasets.prepare import prepare
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.shortcuts import SHORTCUTS, shortcut_scores
from phalar.study.results import Record, provenance
from phalar.train.config import TrainConfig
from phalar.train.loop import Run, chosen_device, train


@dataclass(frozen=True)
class Tested:
    """A trained model's retrieval on one corpus."""

    run: Run
    corpus: str
    tracks: list[Track]
    scores: np.ndarray  # (draws, n, n), rows anchors, columns positives
    results: list[retrieval.Retrieval]  # one for each K
    device: str  # "cpu" or "cuda"
    seconds: float  # of embedding and scoring, when it was done

    def records(self) -> list[Record]:
        """One record for each K."""
        config = self.run.config
        return retrieval_records(
            self.results,
            dataset=self.corpus,
            split="test",
            variant=config.variant,
            seed=config.seed,
            steps=config.steps,
            wall_seconds=self.run.seconds,
            config_hash=config.hash,
            **provenance(self.device),
        )


def retrieval_records(results: Sequence[retrieval.Retrieval], **about: object) -> list[Record]:
    """One record for each K, with what else is known of the run in ``about`` (fields of `Record`)."""
    return [
        Record(
            experiment="retrieval",
            metric="top1",
            k=result.k,
            value=result.accuracy,
            ci_low=result.low,
            ci_high=result.high,
            n=result.tracks,
            **about,
        )
        for result in results
    ]


def run_folder(config: TrainConfig) -> Path:
    """Where the study keeps the run of a config."""
    return paths.cache() / "runs" / f"{config.variant}-{config.hash}"


def find_or_train(config: TrainConfig, *, device: str = "auto", progress: bool = True) -> Run:
    """The finished run of a config, trained (or trained to its end) if it is not there yet."""
    return train(config, run_folder(config), device=device, progress=progress)


def find_or_test(
    run: Run,
    corpus: str,
    ks: Sequence[int],
    draws: int,
    *,
    limit: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Tested:
    """A run's retrieval on a corpus' test split; the scores are kept.

    Parameters
    ----------
    run : Run
    corpus : str
    ks : sequence of int
        A K larger than the number of test tracks is an InputError.
    draws : int
        Pairs cut from each test track; the same for every model.
    limit : int
        Test tracks at most, 0 for all.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.
    """
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    code = fingerprint.of_code("model", "datasets/pairs.py", "evaluate/retrieval.py")
    weights = fingerprint.of_file(run.folder / "best.safetensors")
    name = f"{run.config.variant}-{fingerprint.fingerprint([weights, *_tested(corpus, tracks), code])}"
    chosen = chosen_device(device)
    model = cache(lambda: run.model().to(chosen))  # loaded only if a draw is missing

    def score(pairs: list[Pair], advance: Callable[[int], object]) -> dict[str, np.ndarray]:
        return {name: retrieval.pair_scores(model(), pairs, advance=advance)}

    label = f"test {run.config.variant} (seed {run.config.seed}) on {corpus}"
    scores, seconds = _find_or_score([name], tracks, draws, score, label, progress)
    results = [retrieval.summarise(scores[name], k) for k in ks]
    return Tested(run, corpus, tracks, scores[name], results, chosen.type, seconds)


def present(real: Sequence[str], *, progress: bool = True) -> tuple[list[str], dict[str, str]]:
    """Which real data sets are at hand, prepared now if their root is given.

    Parameters
    ----------
    real : sequence of str
        Names of prepared data sets (:mod:`phalar.datasets.prepared`), or ``NAME=ROOT`` of a copy to prepare.

    Returns
    -------
    (list of str, dict of str to str)
        Names to load, and for each entry that cannot be used, why: a study says what is missing and goes on.
    """
    found, absent = [], {}
    for entry in real:
        name, _, root = entry.partition("=")
        try:
            ready = prepare(name, Path(root), progress=progress).name if root else name
            corpora.folder(ready)
        except InputError as error:
            absent[name] = str(error)
        else:
            found.append(ready)
    return found, absent


def find_or_hear(
    corpus: str, ks: Sequence[int], draws: int, *, limit: int = 0, progress: bool = True
) -> dict[str, list[Record]]:
    """What trivial scorers (:data:`phalar.evaluate.shortcuts.SHORTCUTS`) reach on a corpus' test split, on the same
    pairs as the models: records for each K, by scorer. Arguments as of :func:`find_or_test`."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    code = fingerprint.of_code("model/frontend.py", "model/mel.py", "datasets/pairs.py", "evaluate")
    digest = fingerprint.fingerprint([*_tested(corpus, tracks), code])
    names = {f"{name.replace(' ', '')}-{digest}": name for name in SHORTCUTS}

    def score(pairs: list[Pair], advance: Callable[[int], object]) -> dict[str, np.ndarray]:
        heard = shortcut_scores(pairs, advance=advance)
        return {path: heard[name] for path, name in names.items()}

    scores, seconds = _find_or_score(list(names), tracks, draws, score, f"shortcuts on {corpus}", progress)
    return {
        name: retrieval_records(
            [retrieval.summarise(scores[path], k) for k in ks],
            dataset=corpus,
            split="test",
            variant=name,
            wall_seconds=seconds,
            config_hash=digest,
            **provenance("cpu"),
        )
        for path, name in names.items()
    }


def _tested(corpus: str, tracks: Sequence[Track]) -> list:
    return [corpora.version(corpus), [track.id for track in tracks], retrieval.SECONDS]


def _find_or_score(
    names: Sequence[str],
    tracks: Sequence[Track],
    draws: int,
    score: Callable[[list[Pair], Callable[[int], object]], dict[str, np.ndarray]],
    label: str,
    progress: bool,
) -> tuple[dict[str, np.ndarray], float]:
    """Scores (draws, n, n) by name, from the cache as far as they are kept there, and the seconds they took."""
    files = {name: paths.cache() / "scores" / f"{name}.npz" for name in names}
    kept = {name: _read_scores(path) for name, path in files.items()}
    scores, seconds = {name: found for name, (found, _) in kept.items()}, min(spent for _, spent in kept.values())
    first = min(len(found) for found in scores.values())
    bar = tqdm(
        total=max(0, draws - first) * len(tracks),
        desc=label,
        unit="pair",
        disable=not progress or first >= draws,
        mininterval=2.0,
    )
    with bar:
        for draw in range(first, draws):
            started = time.monotonic()
            new = score(retrieval.fixed_pairs(tracks, draw), bar.update)
            seconds += time.monotonic() - started
            for name, path in files.items():
                scores[name] = [*scores[name][:draw], new[name]]
                _write_scores(path, scores[name], seconds)
    return {name: np.stack(found[:draws]) for name, found in scores.items()}, seconds


def _read_scores(path: Path) -> tuple[list[np.ndarray], float]:
    if not path.is_file():
        return [], 0.0
    with np.load(path, allow_pickle=False) as file:
        return list(file["scores"]), float(file["seconds"])


def _write_scores(path: Path, scores: list[np.ndarray], seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, scores=np.stack(scores), seconds=seconds)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)
