"""How much models mind a stem that is transposed or late: records, from scores that are found or made."""

from collections.abc import Mapping

import numpy as np

from phalar import corpora, fingerprint
from phalar.evaluate import retrieval
from phalar.evaluate.sensitivity import CHANGES, UNCHANGED, changed_scores, preferred
from phalar.evaluate.statistics import bootstrap_interval
from phalar.model.stem_model import StemModel
from phalar.study.experiments import identity_of
from phalar.study.kept_scores import find_or_score
from phalar.study.results import Record, provenance
from phalar.study.rotation_study import weights

EXPERIMENT = "sensitivity"


def find_or_change(
    models: Mapping[str, StemModel], corpus: str, k: int = 64, *, limit: int = 0, progress: bool = True
) -> list[Record]:
    """Top-1 among ``k`` after each change of the stems, and how often a stem in its place scores above the changed one.

    One pair of each test track; 95 % intervals are over tracks; a record's split says what was changed.

    Parameters
    ----------
    models : mapping of str to StemModel
        By the name that records give them; in eval mode, with the constant-Q front end.
    corpus : str
    k : int
        Candidates; as many as there are test tracks, if there are fewer.
    limit : int
        Tracks taken at most; 0 for all.
    """
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    code = fingerprint.of_code("model", "datasets/pairs.py", "evaluate/retrieval.py", "evaluate/sensitivity.py")
    among, found = min(k, len(tracks)), []
    for variant, model in models.items():
        digest = fingerprint.fingerprint([*identity_of(corpus, tracks), weights(model), code])
        files = {f"changed-{digest}-{i}": change.name for i, change in enumerate(CHANGES)}

        def score(pairs, advance, model=model, files=files):
            scores = changed_scores(model, pairs, advance=advance)
            return {path: scores[change] for path, change in files.items()}

        label = f"move stems of {corpus}, {variant}"
        scores, _ = find_or_score(list(files), tracks, 1, score, label=label, progress=progress)
        by_change = {change: scores[path][0] for path, change in files.items()}
        about = {"dataset": corpus, "variant": variant, "config_hash": digest, **provenance(model.device.type)}
        for change, moved in by_change.items():
            found.append(_record(change, "top1", retrieval.top1(moved, among), among, about))
            if change != UNCHANGED.name:
                found.append(_record(change, "preferred", preferred(by_change[UNCHANGED.name], moved), None, about))
    return found


def _record(change: str, metric: str, by_track: np.ndarray, k: int | None, about: Mapping) -> Record:
    low, high = bootstrap_interval(by_track)
    return Record(
        experiment=EXPERIMENT,
        split=f"stem {change}",
        metric=metric,
        k=k,
        value=float(by_track.mean()),
        ci_low=low,
        ci_high=high,
        n=len(by_track),
        **about,
    )
