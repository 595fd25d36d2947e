"""The paper's claims at a glance, each beside what came back: the first table of the book."""

from collections.abc import Mapping

import pandas as pd

from phalar.study.paper import index, lookup
from phalar.study.prose import claim
from phalar.study.tables import (
    LABELS,
    NOT_GIVEN,
    PER_CENT,
    STAND_INS,
    Measured,
    markdown_table,
    percent,
    retrieval_measured,
)

NOT_YET = "not run yet"
CAPTION = (
    "What the paper claims and what came back in this run. Retrieval is top-1 accuracy in % with K=64 candidates "
    "unless another K is named, with a 95 % bootstrap interval. Names in italics are stand-in corpora, made here from "
    "real compositions: not the paper's data, so their numbers need not agree with it."
)
ABLATIONS = {
    "magnitude": "Phase matters: moduli and a real head do worse",
    "cosine": "The learned W matters: complex cosine does worse",
    "psd": "W must be free to be indefinite: a positive one does worse",
    "mel": "The CQT helps a little over a Mel spectrogram",
    "mert-complex": "A large frozen encoder (MERT) does not replace the small trained one",
}


def claims_table(records: pd.DataFrame, paper: pd.DataFrame, parameters: Mapping[str, int]) -> str:
    """Markdown table: claim | paper | here.

    Parameters
    ----------
    records, paper : DataFrame
        This run's records and the paper's numbers.
    parameters : mapping of str to int
        Counted real parameters of the variants that can be built here.
    """
    measured = retrieval_measured(records)
    # K = 64 is the paper's; a sliver of a corpus has fewer tracks, and then the largest K that was run is shown.
    k = max((size for _, _, size in measured), default=64)
    rows = [_retrieval(name, measured, k, paper) for name in ("MoisesDB", "Slakh2100", "CocoChorales")]
    rows.append(_pooling(measured, k, paper))
    for variant, text in ABLATIONS.items():
        rows.append([text, f"MoisesDB: {_paper(paper, 'MoisesDB', variant)}", _ours(measured, variant, k)])
    pearson, spearman = (lookup("judgements", "MUSDB18-HQ", "phalar", name, table=paper) for name in _CORRELATIONS)
    rows.append(["Agrees with listeners", f"Pearson {pearson:.3f}, Spearman {spearman:.3f}", NOT_YET])
    f1 = lookup("beats", "GTZAN", "phalar", "f1", table=paper)
    rows.append(["Follows the beat without being taught to", f"GTZAN: F1 {f1:.3f}", NOT_YET])
    ours, baseline = (lookup("cost", "", name, "parameters", table=paper) / 1e6 for name in ("phalar", "cocola"))
    counted = [f"{LABELS[name]} {parameters[name]:,}" for name in ("phalar", "cocola") if name in parameters]
    rows.append(
        [
            "Less than half the size",
            f"{ours:.1f} M parameters, COCOLA {baseline:.1f} M",
            f"counted: {', '.join(counted)}" if counted else NOT_YET,
        ]
    )
    ours, baseline = (lookup("cost", "", name, "gpu_hours", table=paper) for name in ("phalar", "cocola"))
    rows.append(["A seventh of the training time", f"{ours:.0f} GPU-hours, COCOLA {baseline:.0f}", NOT_YET])
    return markdown_table(["claim", "paper", "here"], rows, caption=CAPTION, name="claims")


_CORRELATIONS = ("pearson", "spearman")


def _paper(paper: pd.DataFrame, dataset: str, variant: str) -> str:
    value = claim(dataset, variant, 64, index(paper))
    return NOT_GIVEN if value is None else f"{value}{PER_CENT}"


def _at(k: int) -> str:
    return "" if k == 64 else f" (K={k})"


def _retrieval(dataset: str, measured: dict[tuple[str, str, int], Measured], k: int, paper: pd.DataFrame) -> list[str]:
    names = [dataset, *(name for name, real in STAND_INS.items() if real == dataset)]
    here = [
        f"*{row.dataset}*{_at(k)}: {LABELS[variant]} {row}"
        for name in names
        for variant in ("phalar", "cocola")
        if (row := measured.get((name, variant, k)))
    ]
    claimed = f"PHALAR {_paper(paper, dataset, 'phalar')}, COCOLA {_paper(paper, dataset, 'cocola')}"
    return [f"Finds the stem of a mix among 64, {dataset}", claimed, "; ".join(here) or NOT_YET]


def _pooling(measured: dict[tuple[str, str, int], Measured], k: int, paper: pd.DataFrame) -> list[str]:
    here = []
    for row in measured.values():
        full = measured.get((row.dataset, "phalar", k))
        if row.variant == "gap" and row.k == k and full:
            apart = "outside both intervals" if full.apart_from(row) else "the intervals meet"
            here.append(f"*{row.dataset}*{_at(k)}: {percent(full.value)} → {percent(row.value)}{PER_CENT}, {apart}")
    full, gap = _paper(paper, "MoisesDB", "phalar").removesuffix(PER_CENT), _paper(paper, "MoisesDB", "gap")
    text = "Spectral pooling carries it: average pooling (GAP) does worse"
    return [text, f"MoisesDB: {full} → {gap}", "; ".join(here) or NOT_YET]


def _ours(measured: dict[tuple[str, str, int], Measured], variant: str, k: int) -> str:
    rows = [row for row in measured.values() if row.variant == variant and row.k == k]
    return "; ".join(f"*{row.dataset}*{_at(k)}: {row}" for row in rows) or NOT_YET
