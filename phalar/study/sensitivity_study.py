"""How much a model minds a stem that is transposed or late: records, from scores that are found or made."""

from collections.abc import Callable

import numpy as np

from phalar import corpora, fingerprint
from phalar.datasets.pairs import Pair
from phalar.evaluate import retrieval
from phalar.evaluate.sensitivity import CHANGES, UNCHANGED, changed_scores, preferred
from phalar.model.stem_model import StemModel
from phalar.study.experiments import identity_of
from phalar.study.kept_scores import find_or_score
from phalar.study.results import Record, mean_record, provenance
from phalar.study.rotation_study import weights

EXPERIMENT = "sensitivity"


def find_or_change(
    variant: str, model: StemModel, corpus: str, k: int = 64, *, limit: int = 0, progress: bool = True
) -> list[Record]:
    """Top-1 among ``k`` after each change of the stems, and how often a stem in its place scores above the changed one.

    One pair of each test track; 95 % intervals are over tracks; a record's split says what was changed.

    Parameters
    ----------
    variant : str
        The name that records give the model.
    model : StemModel
        In eval mode, with the constant-Q front end.
    corpus : str
    k : int
        Candidates; as many as there are test tracks, if there are fewer.
    limit : int
        Tracks taken at most; 0 for all.
    """
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    code = fingerprint.of_code("model", "datasets/pairs.py", "evaluate/retrieval.py", "evaluate/sensitivity.py")
    digest = fingerprint.fingerprint([*identity_of(corpus, tracks), weights(model), code])
    files = {f"changed-{digest}-{i}": change.name for i, change in enumerate(CHANGES)}

    def score(pairs: list[Pair], advance: Callable[[int], object]) -> dict[str, np.ndarray]:
        scores = changed_scores(model, pairs, advance=advance)
        return {path: scores[change] for path, change in files.items()}

    label = f"move stems of {corpus}, {variant}"
    scores, _ = find_or_score(list(files), tracks, 1, score, label=label, progress=progress)
    by_change = {change: scores[path][0] for path, change in files.items()}
    about = {"experiment": EXPERIMENT, "dataset": corpus, "variant": variant, "config_hash": digest}
    about |= provenance(model.device.type)
    among, found = min(k, len(tracks)), []
    for change, moved in by_change.items():
        about["split"] = f"stem {change}"
        found.append(mean_record(retrieval.top1(moved, among), metric="top1", k=among, **about))
        if change != UNCHANGED.name:
            better = preferred(by_change[UNCHANGED.name], moved)
            found.append(mean_record(better, metric="preferred", **about))
    return found
