"""The paper's claims, and the verdict table made from a run's records by the one rule (`phalar.study.compare`).

The registry is ``claims.yaml`` beside this file: what is measured for each claim, what would refute it, the command
that tests it. Book page *The claims, one by one*.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy.stats import t as student

from phalar.evaluate.statistics import holm
from phalar.study.compare import DIFFERENCE, LATE_RISE, P_RAW, P_VALUE, Effect, Verdict, judge, together
from phalar.study.tables import (
    LABELS,
    PER_CENT,
    STAND_INS,
    Measured,
    as_printed,
    lookup,
    markdown_table,
    measured,
    points,
)

REGISTRY = Path(__file__).with_name("claims.yaml")
K = 64
PLAIN_MINUS = "plain_minus_top1"  # metric: what a stress set costs
CAPTION = (
    "What the paper claims and what came back in this run. Retrieval is top-1 accuracy in % with K=64 candidates "
    "unless another K is named, with a 95 % bootstrap interval; points are PHALAR minus the other model. Names in "
    "italics are stand-in corpora, made here from real compositions: not the paper's data, so their numbers need not "
    "agree with it."
)
Evidence = dict[str, tuple[Effect, str]]  # by data set: the effect, and the numbers behind it in words
Look = Callable[..., dict]  # `measured` of one run's records, by (experiment, metric[, split])


@cache
def registry() -> list[dict[str, Any]]:
    """The entries of ``claims.yaml``."""
    return yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))


def paired(look: Look, variant: str, experiments: Sequence[str], datasets: Sequence[str] = ()) -> Evidence:
    """PHALAR minus a variant in retrieval: differences that were recorded, at K = 64 or the largest below it.
    Whichever of the two is behind must have been trained enough."""
    found: Evidence = {}
    for experiment in experiments:
        wanted = (DIFFERENCE, P_RAW, P_VALUE, "top1", LATE_RISE)
        apart, raw, p, top1, rises = (look(experiment, metric) for metric in wanted)
        for key in sorted((key for key in apart if key[1] == variant and key[2] <= K), key=lambda key: -key[2]):
            dataset, k = key[0], key[2]
            full, less = top1.get((dataset, "phalar", k)), top1.get(key)
            if full is None or less is None or dataset in found or (datasets and dataset not in datasets):
                continue
            row = apart[key]._replace(value=-apart[key].value, low=-apart[key].high, high=-apart[key].low)
            behind = less if row.value >= 0 else full
            rise = rises[dataset, behind.variant, None].value if (dataset, behind.variant, None) in rises else math.nan
            effect = Effect(
                row.value, row.low, row.high, raw.get(key, p.get(key)).value, min(full.seeds, less.seeds),
                behind.low, 1 / k, rise, full.high,
            )  # fmt: skip
            at = "" if k == K else f" (K={k})"
            text = f"{_name(dataset)}{at}: PHALAR {full}, {LABELS.get(variant, variant)} {less}, {points(row)} points"
            found[dataset] = effect, text
    return found


def against(look: Look, models: Sequence[str], experiment: str, metric: str, split: str = "test") -> Evidence:
    """The first model minus the best of the others in any measure: the paired difference where one was recorded (as
    ``metric_minus_rival``, or of ``ours - rival``), else the difference of two intervals. The others learn nothing
    here (an untrained network, chroma, published weights), so that only the first has training seeds."""
    (ours, *rivals), found, table = models, {}, look(experiment, metric, split)
    for (dataset, variant, k), row in table.items():
        others = [table[dataset, name, k] for name in rivals if (dataset, name, k) in table]
        if variant == ours and others:
            best = max(others, key=lambda other: other.value)
            named = look(experiment, f"{metric}_minus_{best.variant.split()[0]}", split)
            apart = named.get((dataset, ours, k)) or table.get((dataset, f"{ours} - {best.variant}", k))
            effect = _effect(apart or _unpaired(row, best), row.seeds, row.high)
            found[dataset] = effect, f"{_name(dataset)}: {ours} {_plain(row)}, {best.variant} {_plain(best)}"
    return found


def stressed(look: Look, name: str) -> Evidence:
    """What the same weights lose on a stress set against the plain one, song by song where that was recorded."""
    table, apart, found = look("limits", "top1"), look("limits", PLAIN_MINUS), {}
    for (dataset, variant, k), hurt in table.items():
        plain = table.get(("stress-plain", variant, k))
        if dataset == name and plain and variant in ("phalar", "reference"):
            effect = _effect(apart.get((dataset, variant, k), _unpaired(plain, hurt)), min(plain.seeds, hurt.seeds))
            found[dataset] = effect, f"*stress-plain* (K={k}) {plain}, *{name}* {hurt}"
    return found


def _unpaired(a: Measured, b: Measured) -> Measured:
    """a - b of two separate results. The interval reaches as far as any two values of theirs: never too narrow."""
    sd = math.hypot(a.sd, 0.0 if math.isnan(b.sd) else b.sd)
    return a._replace(value=a.value - b.value, low=a.low - b.high, high=a.high - b.low, sd=sd)


def _effect(row: Measured, seeds: int, level: float = math.nan) -> Effect:
    """Of a difference that was recorded seed by seed: no surer than Student's t test over the seeds is."""
    effect = Effect(row.value, row.low, row.high, seeds=seeds, level=level)
    if math.isnan(row.sd):
        return effect
    error, freedom = max(row.sd, 1e-12) / math.sqrt(row.seeds), row.seeds - 1
    half = float(student.ppf(0.975, freedom)) * error
    p = max(effect.p_value(), float(2 * student.sf(abs(row.value) / error, freedom)))
    return replace(effect, low=min(row.low, row.value - half), high=max(row.high, row.value + half), p=p)


def evidence(look: Look, entry: Mapping[str, Any]) -> Evidence:
    """What a run's records say about an entry of the registry."""
    where = entry.get("evidence", {})
    if "paired" in where:
        return paired(look, where["paired"], where["in"], where.get("datasets", ()))
    if "against" in where:
        return against(look, where["against"], where["experiment"], where["metric"], where.get("split", "test"))
    return stressed(look, where["stress"]) if "stress" in where else {}


@dataclass(frozen=True)
class Judged:
    """A claim with what came back: its entry, the paper's numbers as printed, ours by data set, the verdict and why."""

    claim: Mapping[str, Any]
    paper: str
    here: tuple[str, ...]
    verdict: Verdict
    why: str


def judged(
    records: pd.DataFrame, parameters: Mapping[str, int], claims: Sequence[Mapping[str, Any]] | None = None
) -> list[Judged]:
    """Every claim with its verdict; p values are corrected (Holm) for all claims and data sets together.

    Parameters
    ----------
    records : DataFrame
        Of one run (`phalar.study.records.read`).
    parameters : mapping of str to int
        Counted real parameters of the variants that can be built here.
    claims : sequence of mappings, optional
        The registry by default.
    """
    claims = registry() if claims is None else claims
    look = cache(partial(measured, records))
    found = [evidence(look, entry) for entry in claims]
    family = [(i, name) for i, of in enumerate(found) for name, (effect, _) in of.items() if not effect.unjudged]
    corrected = dict(zip(family, holm([found[i][name][0].p_value() for i, name in family]), strict=True))
    made = []
    for i, entry in enumerate(claims):
        values = [lookup(*number) for number in entry.get("paper", ())]
        claimed = values[0] - values[1] if len(values) == 2 and values[0] < 1 else None
        own, verdicts = (entry["paper"][0][1] if values else ""), {}
        for name, (effect, _) in found[i].items():
            effect = replace(effect, p=corrected.get((i, name), effect.p))
            verdicts[name] = judge(effect, claimed, values[0] if name == own else None)
        here, (verdict, why) = tuple(text for _, text in found[i].values()), _decided(verdicts, own)
        if entry.get("evidence") == "sizes":
            here, verdict, why = _sizes(parameters, *values)
        elif "impossible" in entry and not here:
            verdict, why = Verdict.NOT_TESTABLE, entry["impossible"]
        made.append(Judged(entry, _printed(entry, values), here, verdict, why))
    return made


def _decided(verdicts: Mapping[str, tuple[Verdict, str]], own: str) -> tuple[Verdict, str]:
    """The paper's own data set decides where it was tested, else all that were; and why."""
    if own in verdicts:
        return verdicts[own]
    reasons = {why for _, why in verdicts.values()}
    detail = "; ".join(f"{_name(name)} {why}" for name, (_, why) in verdicts.items())
    return together(verdict for verdict, _ in verdicts.values()), reasons.pop() if len(reasons) == 1 else detail


def _sizes(counted: Mapping[str, int], *claimed: float) -> tuple[tuple[str, ...], Verdict, str]:
    """Parameters as counted here, against the paper's figures, which are given to 0.1 million."""
    if not {"phalar", "cocola"} <= set(counted):
        return (), Verdict.NOT_RUN, ""
    ours, theirs = counted["phalar"], counted["cocola"]
    exact = all(abs(count - figure) <= 0.5e5 for count, figure in zip((ours, theirs), claimed, strict=True))
    verdict = Verdict.REPRODUCED if exact else Verdict.PARTIAL if 2 * ours < theirs else Verdict.NOT_REPRODUCED
    return (f"counted: PHALAR {ours:,}, COCOLA {theirs:,}",), verdict, f"{100 * ours / theirs:.0f} % of COCOLA"


def _printed(entry: Mapping[str, Any], values: Sequence[float]) -> str:
    """The paper's numbers in their own units: ``"MoisesDB: PHALAR 70.87 %, COCOLA 41.84 %"``."""
    units = {"parameters": lambda x: f"{x / 1e6:.1f} M", "gpu_hours": lambda x: f"{x:.0f} GPU-hours"}
    units |= dict.fromkeys(("top1", "accuracy"), lambda share: as_printed(share) + PER_CENT)
    named = zip(entry.get("paper", ()), values, strict=True)
    texts = [f"{LABELS.get(n[2], n[2])} {units.get(n[3], '{:.3f}'.format)(value)}" for n, value in named]
    return (f"{entry['paper'][0][1]}: " if texts and entry["paper"][0][1] else "") + ", ".join(texts) or "no number"


def _name(dataset: str) -> str:
    return f"*{dataset}*" if dataset in STAND_INS or dataset.startswith("stress-") else dataset


def _plain(row: Measured) -> str:
    """Not in per cent: ``"0.627 [0.590, 0.660]"``."""
    return f"{row.value:.3f}" + ("" if math.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]")


def claims_table(found: Sequence[Judged]) -> str:
    """Markdown table for the first page: claim | paper | here, with the verdict first."""
    rows = [[one.claim["claim"], one.paper, "<br>".join([f"**{one.verdict}**", *one.here])] for one in found]
    return markdown_table(["claim", "paper", "here"], rows, CAPTION, "claims")


def claims_page(found: Sequence[Judged]) -> str:
    """Markdown of the page of claims: how many came back, and claim → measure → what would refute it → evidence →
    verdict, each with the command that tests it."""
    counts, rows = Counter(one.verdict for one in found), []
    for one in found:
        command = f"<br>`phalar {one.claim['command']}`" if "command" in one.claim else ""
        verdict = f"**{one.verdict}**" + (f": {one.why}" if one.why else "")
        measure = one.claim["measure"] + command
        rows.append([one.claim["claim"], one.paper, measure, one.claim["refuted"], "<br>".join(one.here), verdict])
    header = ["claim", "paper", "measure, and the command that tests it", "what would refute it", "here", "verdict"]
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    return f"{len(found)} claims: {summary}.\n\n{markdown_table(header, rows, CAPTION, 'claims-one-by-one')}"
