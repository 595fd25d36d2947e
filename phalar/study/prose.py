"""Numbers for the book's sentences, made from the same records as its tables.

`substitutions` gives one text for each name a page may use as ``{{ name }}``. The list of names is the same under
every profile: what this run did not measure reads "not run in this profile", and a misspelt name stops the build.
Sentences that compare are made here too, so that a page can never claim what the run beside it did not show.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from phalar.study import paper
from phalar.study.claims import Judged
from phalar.study.compare import ALPHA, SEEDS, SIZE
from phalar.study.tables import DATASETS, PER_CENT, STAND_INS, VARIANTS, Measured, as_printed, measured, percent

MISSING = "not run in this profile"
NOT_GIVEN = "not in our sources"
KS = (4, 8, 16, 64)


def slug(name: str) -> str:
    """A name as it stands in a substitution: ``"mert-complex"`` is ``"mert_complex"``."""
    return name.lower().replace("-", "_")


def substitutions(
    records: pd.DataFrame, profile: str, judged: Sequence[Judged], parameters: Mapping[str, int]
) -> dict[str, str]:
    """Every substitution of the book, by name.

    - ``<variant>_<dataset>_<K>``: this run's top-1, such as ``"91.2 %"``; with ``_ci`` appended, with its interval;
      "not run in this profile" where there is no such record
    - ``paper_<variant>_<dataset>_<K>``: the paper's, or "not in our sources"
    - ``profile``, ``run_date``, ``run_device``, ``run_commit``, ``run_steps``, ``run_seeds``; ``parameters_<variant>``
    - ``rule_seeds``, ``rule_size``, ``rule_alpha``: thresholds of the rule by which claims are judged
    - ``answer``, ``answer_pooling``: what came back, as sentences
    """
    found = measured(records)
    texts = {"profile": profile, "answer": answer(found), "answer_pooling": answer_pooling(found, judged)}
    texts |= {f"parameters_{slug(name)}": f"{count:,}" for name, count in parameters.items()}
    texts |= {"rule_seeds": str(SEEDS), "rule_size": str(SIZE), "rule_alpha": f"{ALPHA:g}"} | about(records)
    for dataset, variant, k in ((d, v, k) for d in (*DATASETS, *STAND_INS) for v in VARIANTS for k in KS):
        name, row = f"{slug(variant)}_{slug(dataset)}_{k}", found.get((dataset, variant, k))
        printed = [paper.lookup(experiment, dataset, variant, "top1", k) for experiment in ("retrieval", "ablations")]
        claimed = next((value for value in printed if value is not None), None)
        texts[name] = MISSING if row is None else f"{percent(row.value)}{PER_CENT}"
        texts[f"{name}_ci"] = MISSING if row is None else str(row)
        texts[f"paper_{name}"] = NOT_GIVEN if claimed is None else f"{as_printed(claimed)}{PER_CENT}"
    return texts


def about(records: pd.DataFrame) -> dict[str, str]:
    """When, on what and for how long this run trained."""
    texts = dict.fromkeys(("run_date", "run_device", "run_commit", "run_steps", "run_seeds"), MISSING)
    for name, column in {"run_steps": "steps", "run_seeds": "seed"}.items():
        texts[name] = ", ".join(str(value) for value in sorted(records[column].dropna().unique())) or MISSING
    if len(records):
        newest = records.iloc[-1]
        texts |= {f"run_{name}": newest[name] for name in ("device", "commit")}
        texts["run_date"] = newest["date"][:10] or "unknown"
    return texts


def hardest(found: Mapping[tuple, Measured], variant: str) -> Measured | None:
    """A variant's result at the largest K, on chorales if it ran there."""
    rows = [row for row in found.values() if row.variant == variant]
    return max(rows, key=lambda row: (row.dataset in ("chorales", "CocoChorales"), row.k), default=None)


def answer(found: Mapping[tuple, Measured]) -> str:
    """Did retrieval come back? A sentence that names data, K, interval, chance and the length of training."""
    row = hardest(found, "phalar")
    if row is None:
        return f"Retrieval: {MISSING}."
    verdict = "finds" if row.low > 1 / row.k else "does not yet find"
    stand_in = f", a stand-in for {STAND_INS[row.dataset]}" if row.dataset in STAND_INS else ""
    return (
        f"After {row.steps} training steps PHALAR {verdict} the stem that belongs to a mix among {row.k} candidates: "
        f"top\u20111 accuracy {row} on pieces it never heard (*{row.dataset}*{stand_in}), where chance gives "
        f"{percent(1 / row.k)}{PER_CENT}."
    )


def answer_pooling(found: Mapping[tuple, Measured], judged: Sequence[Judged]) -> str:
    """Does spectral pooling matter, as the paper claims? With the verdict of the claims' table."""
    ours = hardest(found, "phalar")
    gap = found.get((ours.dataset, "gap", ours.k)) if ours else None
    if ours is None or gap is None:
        return f"PHALAR against average pooling: {MISSING}."
    length = "trained as long" if gap.steps == ours.steps else f"trained for {gap.steps} steps, not {ours.steps}"
    claim = next((one for one in judged if "average pooling" in one.claim["claim"]), None)
    verdict = (
        f" The paper's claim that it does worse: **{claim.verdict}** ({claim.why})." if claim and claim.why else ""
    )
    return f"The same network with average pooling in place of spectral pooling, {length}, reaches {gap}.{verdict}"
