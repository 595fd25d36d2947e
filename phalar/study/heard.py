"""What scorers that learn nothing reach on the models' test pairs, found or made."""

from collections.abc import Callable, Sequence

import numpy as np

from phalar import corpora, fingerprint
from phalar.datasets.pairs import Pair
from phalar.evaluate import retrieval
from phalar.evaluate.shortcuts import SHORTCUTS, shortcut_scores
from phalar.study.experiments import identity_of, retrieval_records
from phalar.study.kept_scores import find_or_score
from phalar.study.results import Record, provenance


def find_or_hear(
    corpus: str,
    ks: Sequence[int],
    draws: int,
    *,
    experiment: str = "retrieval",
    limit: int = 0,
    progress: bool = True,
) -> dict[str, list[Record]]:
    """What trivial scorers (:data:`phalar.evaluate.shortcuts.SHORTCUTS`) reach on a corpus' test split, on the same
    pairs as the models: records for each K, by scorer; ``experiment`` is what the records name, other arguments as of
    :func:`phalar.study.experiments.find_or_test`."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    used = ("model/frontend.py", "model/mel.py", "datasets/pairs.py", "corpora/rendering.py")
    code = fingerprint.of_code(*used, "evaluate/shortcuts.py", "evaluate/retrieval.py")
    digest = fingerprint.fingerprint([*identity_of(corpus, tracks), code])
    names = {f"{name.replace(' ', '')}-{digest}": name for name in SHORTCUTS}

    def score(pairs: list[Pair], advance: Callable[[int], object]) -> dict[str, np.ndarray]:
        heard = shortcut_scores(pairs, advance=advance)
        return {path: heard[name] for path, name in names.items()}

    scores, seconds = find_or_score(
        list(names), tracks, draws, score, label=f"shortcuts on {corpus}", progress=progress
    )
    return {
        name: retrieval_records(
            [retrieval.summarise(scores[path], k) for k in ks],
            experiment=experiment,
            dataset=corpus,
            split="test",
            variant=name,
            wall_seconds=seconds,
            config_hash=digest,
            **provenance("cpu"),
        )
        for path, name in names.items()
    }
