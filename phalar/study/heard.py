"""What scorers that learn nothing reach on the models' test pairs, found or made."""

from collections.abc import Sequence

from phalar import corpora
from phalar.evaluate import retrieval, scorers
from phalar.evaluate.statistics import estimate
from phalar.study.records import Record, record


def find_or_hear(
    corpus: str,
    ks: Sequence[int],
    draws: int,
    *,
    experiment: str = "retrieval",
    limit: int = 0,
    progress: bool = True,
) -> dict[str, list[Record]]:
    """What trivial scorers (:data:`phalar.evaluate.scorers.RULES`) reach on a corpus' test split, on the same pairs as
    the models: records for each K, by scorer."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    key, label = [corpora.version(corpus), scorers.code()], f"rules on {corpus}" if progress else ""
    scores = retrieval.evaluate(scorers.by_rules(), tracks, draws, ks=ks, key=key, label=label)
    about = {"experiment": experiment, "dataset": corpus, "split": "test", "metric": "top1"}
    return {
        name: [record(estimate(retrieval.by_track(found, k)), variant=name, k=k, **about) for k in ks]
        for name, found in scores.items()
    }
