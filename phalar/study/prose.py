"""Numbers for the book's sentences, made from the same records as its tables.

`substitutions` gives one text for each name a page may use as ``{{ name }}``. The list of names is the same under
every profile: what this run did not measure reads "not run in this profile", and a misspelt name stops the build.
Sentences that compare are made here too, so that a page can never claim what the run beside it did not show.
"""

from collections.abc import Mapping

import pandas as pd

from phalar.study.paper import index
from phalar.study.tables import (
    DATASETS,
    PER_CENT,
    STAND_INS,
    VARIANTS,
    Measured,
    as_printed,
    percent,
    retrieval_measured,
)

MISSING = "not run in this profile"
NOT_GIVEN = "not in our sources"
KS = (4, 8, 16, 64)


def slug(name: str) -> str:
    """A name as it stands in a substitution: ``"mert-complex"`` is ``"mert_complex"``."""
    return name.lower().replace("-", "_")


def substitutions(records: pd.DataFrame, paper: pd.DataFrame, profile: str) -> dict[str, str]:
    """Every substitution of the book, by name.

    - ``<variant>_<dataset>_<K>``: this run's top-1, such as ``"91.2 %"``; with ``_ci`` appended, with its interval;
      "not run in this profile" where there is no such record
    - ``paper_<variant>_<dataset>_<K>``: the paper's, or "not in our sources"
    - ``profile``, ``run_date``, ``run_device``, ``run_commit``, ``run_steps``, ``run_seeds``
    - ``answer``, ``answer_pooling``: what came back, as sentences
    """
    measured, claims = retrieval_measured(records), index(paper)
    texts = {"profile": profile, "answer": answer(measured), "answer_pooling": answer_pooling(measured)}
    texts |= about(records)
    for dataset in (*DATASETS, *STAND_INS):
        for variant in VARIANTS:
            for k in KS:
                name = f"{slug(variant)}_{slug(dataset)}_{k}"
                row = measured.get((dataset, variant, k))
                claimed = claim(dataset, variant, k, claims)
                texts[name] = MISSING if row is None else f"{percent(row.value)}{PER_CENT}"
                texts[f"{name}_ci"] = MISSING if row is None else str(row)
                texts[f"paper_{name}"] = NOT_GIVEN if claimed is None else f"{claimed}{PER_CENT}"
    return texts


def claim(dataset: str, variant: str, k: int, numbers: Mapping[tuple, float]) -> str | None:
    """The paper's top-1 in per cent, as printed, from its retrieval table or else its ablation table.

    ``numbers`` is `phalar.study.paper.index` of its table.
    """
    for experiment in ("retrieval", "ablations"):
        value = numbers.get((experiment, dataset.lower(), variant, "top1", k))
        if value is not None:
            return as_printed(value)
    return None


def about(records: pd.DataFrame) -> dict[str, str]:
    """When, on what and for how long this run trained."""
    if records.empty:
        return dict.fromkeys(("run_date", "run_device", "run_commit", "run_steps", "run_seeds"), MISSING)
    newest = records.iloc[-1]
    return {
        "run_date": newest["date"][:10] or "unknown",
        "run_device": newest["device"],
        "run_commit": newest["commit"],
        "run_steps": ", ".join(str(steps) for steps in sorted(records["steps"].dropna().unique())) or MISSING,
        "run_seeds": ", ".join(str(seed) for seed in sorted(records["seed"].dropna().unique())) or MISSING,
    }


def hardest(measured: dict[tuple[str, str, int], Measured], variant: str) -> Measured | None:
    """A variant's result at the largest K, on chorales if it ran there."""
    rows = [row for row in measured.values() if row.variant == variant]
    return max(rows, key=lambda row: (row.dataset in ("chorales", "CocoChorales"), row.k), default=None)


def answer(measured: dict[tuple[str, str, int], Measured]) -> str:
    """Did retrieval come back? A sentence that names data, K, interval, chance and the length of training."""
    row = hardest(measured, "phalar")
    if row is None:
        return f"Retrieval: {MISSING}."
    chance = 1 / row.k
    verdict = "finds" if row.low > chance else "does not yet find"
    stand_in = f", a stand-in for {STAND_INS[row.dataset]}" if row.dataset in STAND_INS else ""
    return (
        f"After {row.steps} training steps PHALAR {verdict} the stem that belongs to a mix among {row.k} candidates: "
        f"top\u20111 accuracy {row} on pieces it never heard (*{row.dataset}*{stand_in}), where chance gives "
        f"{percent(chance)}{PER_CENT}."
    )


def answer_pooling(measured: dict[tuple[str, str, int], Measured]) -> str:
    """Does spectral pooling matter, as the paper claims? Judged by whether the two intervals meet."""
    ours = hardest(measured, "phalar")
    gap = measured.get((ours.dataset, "gap", ours.k)) if ours else None
    if ours is None or gap is None:
        return f"PHALAR against average pooling: {MISSING}."
    length = "trained as long" if gap.steps == ours.steps else f"trained for {gap.steps} steps, not {ours.steps}"
    text = f"The same network with average pooling in place of spectral pooling, {length}, reaches {gap}"
    if not ours.apart_from(gap):
        return f"{text}: the intervals meet, so this run shows no difference."
    if ours.value < gap.value:
        return f"{text}: more than PHALAR, outside both intervals. The paper's claim did not come back in this run."
    return f"{text}: less than PHALAR by a margin outside both intervals, which is what the paper claims."
