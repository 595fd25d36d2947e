"""How much a model minds a stem that is transposed or late: records, from scores that are found or made."""

from phalar import corpora, fingerprint
from phalar.evaluate import retrieval
from phalar.evaluate.sensitivity import UNCHANGED, by_changes, preferred
from phalar.evaluate.statistics import estimate
from phalar.model.stem_model import StemModel
from phalar.study.records import Record, record

EXPERIMENT = "sensitivity"


def find_or_change(
    variant: str, model: StemModel, corpus: str, k: int = 64, *, limit: int = 0, progress: bool = True
) -> list[Record]:
    """Top-1 among ``k`` (or as many as there are test tracks) after each change of the stems, and how often a stem in
    its place scores above the changed one; a record's split says what was changed."""
    tracks = corpora.load(corpus, "test", limit=limit or None, progress=progress)
    key = [
        corpora.version(corpus),
        fingerprint.of_weights(model),
        fingerprint.of_code("model", "evaluate/sensitivity.py"),
    ]
    label = f"move stems of {corpus}, {variant}" if progress else ""
    scores = retrieval.evaluate(by_changes(model), tracks, 1, key=key, label=label)
    about = {"experiment": EXPERIMENT, "dataset": corpus, "variant": variant, "device": model.device.type}
    about["config_hash"] = fingerprint.fingerprint(key)
    among, found = min(k, len(tracks)), []
    for change, (moved,) in scores.items():
        about["split"] = f"stem {change}"
        found.append(record(estimate(retrieval.top1(moved, among)), metric="top1", k=among, **about))
        if change != UNCHANGED:
            better = preferred(scores[UNCHANGED][0], moved)
            found.append(record(estimate(better), metric="preferred", **about))
    return found
