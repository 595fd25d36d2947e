"""Scores of test pairs, kept in the cache draw by draw: a run that was stopped goes on, and more draws add to it."""

import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from phalar import memory, paths
from phalar.datasets.pairs import Pair
from phalar.datasets.tracks import Track
from phalar.evaluate import retrieval

Scorer = Callable[[list[Pair], Callable[[int], object]], dict[str, np.ndarray]]


def find_or_score(
    names: Sequence[str],
    tracks: Sequence[Track],
    draws: int,
    score: Scorer,
    *,
    label: str,
    seconds: float = retrieval.SECONDS,
    progress: bool = True,
) -> tuple[dict[str, np.ndarray], float]:
    """Scores (draws, n, n) by name, from the cache as far as they are kept there, and the seconds they took.

    Parameters
    ----------
    names : sequence of str
        One for each kind of score; a name stands for everything that determines the scores.
    tracks : sequence of Track
    draws : int
        Pairs cut from each track.
    score : callable
        Pairs, and whom to tell how many are done, to scores (n, n) by name.
    label : str
        Of the bar on standard error.
    seconds : float
        Length of the excerpts.
    """
    files = {name: paths.cache() / "scores" / f"{name}.npz" for name in names}
    kept = {name: _read_scores(path) for name, path in files.items()}
    scores, spent = {name: found for name, (found, _) in kept.items()}, min(took for _, took in kept.values())
    memory.keep_freed()
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
            new = score(retrieval.fixed_pairs(tracks, draw, seconds), bar.update)
            spent += time.monotonic() - started
            for name, path in files.items():
                scores[name] = [*scores[name][:draw], new[name]]
                _write_scores(path, scores[name], spent)
    return {name: np.stack(found[:draws]) for name, found in scores.items()}, spent


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
