"""What the notebooks ask for: a trained model, found or made; its test scores, found or made; the records of both.

Finished work is kept in the cache under the hash of what determines it, so a notebook that is run again, or another
one that needs the same model, does not train twice.
"""

import io
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from phalar import corpora, fingerprint, paths
from phalar.datasets.tracks import Track
from phalar.evaluate import retrieval
from phalar.study.results import Record, provenance
from phalar.train.config import TrainConfig
from phalar.train.loop import Run, train


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


def _chosen(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device


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
    identity = [weights, corpora.folder(corpus).name, [t.id for t in tracks], retrieval.SECONDS, code]
    path = paths.cache() / "scores" / f"{run.config.variant}-{fingerprint.fingerprint(identity)}.npz"
    kept, seconds = _read_scores(path)
    if len(kept) < draws:
        model = run.model().to(_chosen(device))
        bar = tqdm(
            total=(draws - len(kept)) * len(tracks),
            desc=f"test {run.config.variant} (seed {run.config.seed}) on {corpus}",
            unit="pair",
            disable=not progress,
            mininterval=2.0,
        )
        with bar:
            for draw in range(len(kept), draws):
                started = time.monotonic()
                scores = retrieval.pair_scores(model, retrieval.fixed_pairs(tracks, draw), advance=bar.update)
                seconds += time.monotonic() - started
                kept = [*kept, scores]
                _write_scores(path, kept, seconds)
    scores = np.stack(kept[:draws])
    results = [retrieval.summarise(scores, k) for k in ks]
    return Tested(run, corpus, tracks, scores, results, _chosen(device), seconds)


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
