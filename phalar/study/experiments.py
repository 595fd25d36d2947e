"""What the notebooks ask for: a trained model, found or made; its test scores, found or made; the records of both.

Finished work is kept in the cache under the hash of what determines it, so a notebook that is run again, or another
one that needs the same model, does not train twice.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from phalar import corpora, fingerprint, paths
from phalar.datasets.prepare import prepare
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.model import checkpoints
from phalar.study.results import Record, provenance
from phalar.train.config import TrainConfig
from phalar.train.loop import BEST, Run, chosen_device, train


@dataclass(frozen=True)
class Weights:
    """Trained weights, and what records say of them."""

    file: Path
    variant: str  # what records call them: the variant's name, or "reference" for those that ship
    seed: int | None
    steps: int | None
    seconds: float | None  # of training
    config_hash: str

    @property
    def label(self) -> str:
        return self.variant if self.seed is None else f"{self.variant} (seed {self.seed})"


def weights_of(run: Run) -> Weights:
    """The weights that a run chose on validation."""
    config = run.config
    return Weights(run.folder / BEST, config.variant, config.seed, config.steps, run.seconds, config.hash)


def shipped() -> Weights:
    """The weights that ship with the package (book page *The weights that ship*)."""
    about = checkpoints.notes(checkpoints.REFERENCE)
    return Weights(
        checkpoints.REFERENCE_FILE,
        checkpoints.REFERENCE,
        None,
        about.get("steps"),
        about.get("seconds"),
        about.get("config_hash", ""),
    )


@dataclass(frozen=True)
class Tested:
    """Trained weights' retrieval on one corpus."""

    weights: Weights
    corpus: str
    tracks: list[Track]
    scores: np.ndarray  # (draws, n, n), rows anchors, columns positives
    results: list[retrieval.Retrieval]  # one for each K
    device: str  # "cpu" or "cuda"

    def records(self, experiment: str = "retrieval", variant: str = "") -> list[Record]:
        """One record for each K; ``variant`` where the row of a table is called otherwise than the weights."""
        weights = self.weights
        return retrieval_records(
            self.results,
            experiment=experiment,
            dataset=self.corpus,
            split="test",
            variant=variant or weights.variant,
            seed=weights.seed,
            steps=weights.steps,
            wall_seconds=weights.seconds,
            config_hash=weights.config_hash,
            **provenance(self.device),
        )


def retrieval_records(
    results: Sequence[retrieval.Retrieval], experiment: str = "retrieval", **about: object
) -> list[Record]:
    """One record for each K, with what else is known of the run in ``about`` (fields of `Record`)."""
    return [
        Record(
            experiment=experiment,
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
    weights: Weights | Run,
    corpus: str,
    ks: Sequence[int],
    draws: int,
    *,
    seconds: float = retrieval.SECONDS,
    symmetrised: bool = True,
    limit: int = 0,
    device: str = "auto",
    progress: bool = True,
) -> Tested:
    """Retrieval with trained weights on a corpus' test split; the scores are kept.

    Parameters
    ----------
    weights : Weights or Run
        A run stands for the weights it chose.
    corpus : str
    ks : sequence of int
        A K larger than the number of test tracks is an InputError.
    draws : int
        Pairs cut from each test track; the same for every model.
    seconds : float
        Length of the test excerpts; the paper's 5 by default.
    symmetrised : bool
        Score by the mean of both directions, as the paper does; else by s(anchor, positive) alone.
    limit : int
        Test tracks at most, 0 for all.
    device : str
        ``"auto"`` (a GPU if there is one), ``"cpu"`` or ``"cuda"``.
    """
    weights = weights_of(weights) if isinstance(weights, Run) else weights
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    chosen = chosen_device(device)
    model = cache(lambda: checkpoints.load(weights.file).to(chosen))  # loaded only if a draw is missing

    def score(cuts: retrieval.Cuts, advance: Callable[[int], object]) -> dict[str, np.ndarray]:
        return retrieval.by_model(model())(cuts, advance)

    key = [fingerprint.of_file(weights.file), corpora.version(corpus), fingerprint.of_code("model")]
    label = f"test {weights.label} on {corpus}" if progress else ""
    scores = retrieval.evaluate(score, tracks, draws, ks=ks, seconds=seconds, key=key, label=label)
    chosen_scores = scores["symmetrised" if symmetrised else "one way"]
    results = [retrieval.summarise(chosen_scores, k) for k in ks]
    return Tested(weights, corpus, tracks, chosen_scores, results, chosen.type)


def identity_of(corpus: str, tracks: Sequence[Track], seconds: float = retrieval.SECONDS) -> list:
    """What determines test pairs, for a hash."""
    return [corpora.version(corpus), [track.id for track in tracks], seconds]


def present(real: Sequence[str], *, progress: bool = True) -> tuple[list[str], dict[str, str]]:
    """Which real data sets are at hand, prepared now if their root is given.

    Parameters
    ----------
    real : sequence of str
        Names of prepared data sets (:mod:`phalar.datasets.prepare`), or ``NAME=ROOT`` of a copy to prepare.

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
