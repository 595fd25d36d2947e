"""The paper's claims, and the verdict table made from a run's records by the one rule (`phalar.study.compare`).

The registry is ``claims.yaml`` beside this file: what is measured for each claim, what would refute it, the command
that tests it. Book page *The claims, one by one*.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy.stats import t as student

from phalar.evaluate.statistics import holm
from phalar.study import tables
from phalar.study.compare import DIFFERENCE, GAINED, P_RAW, P_VALUE, Effect, Verdict, judge, together
from phalar.study.tables import LABELS, Measured, lookup, markdown_table, measured

REGISTRY = Path(__file__).with_name("claims.yaml")
K = 64
OF_BOUND = "largest score over its bound"  # metric: of all test pairs of some weights
PLAIN_MINUS = "plain_minus_top1"  # metric: what a stress set costs
CAPTION = (
    "What the paper claims and what came back. Retrieval is top-1 accuracy in % with K=64 candidates "
    "unless another K is named, with a 95 % bootstrap interval; points are PHALAR minus the other model. Names in "
    "italics are stand-in corpora, made here from real compositions: not the paper's data, so their numbers need not "
    "agree with it. What listeners say is of the reference records, unless this run was given their ratings."
)
Evidence = dict[str, tuple[Effect, str]]  # by data set: the effect, and the numbers behind it in words
Look = Callable[..., dict]  # `measured` of one run's records, by (experiment, metric[, split])


@cache
def registry() -> list[dict[str, Any]]:
    """The entries of ``claims.yaml``."""
    return yaml.safe_load(REGISTRY.read_text(encoding="utf-8"))


def paired(look: Look, variant: str, experiments: Sequence[str], datasets: Sequence[str] = ()) -> Evidence:
    """PHALAR minus a variant in retrieval: differences that were recorded, at K = 64 or the largest below it.
    Whichever of the two is behind must have been trained enough, and not be catching up."""
    found: Evidence = {}
    for experiment in experiments:
        wanted = (DIFFERENCE, P_RAW, P_VALUE, "top1", GAINED)
        apart, raw, p, top1, gained = (look(experiment, metric) for metric in wanted)
        for key in sorted((key for key in apart if key[1] == variant and key[2] <= K), key=lambda key: -key[2]):
            (dataset, _, k), full, less = key, top1.get((key[0], "phalar", key[2])), top1.get(key)
            if None in (full, less) or dataset in found or (datasets and dataset not in datasets):
                continue
            value, low, high = -apart[key].value, -apart[key].high, -apart[key].low
            behind, ahead = (less, full) if value >= 0 else (full, less)
            gains = [gained.get((dataset, each.variant, None)) for each in (behind, ahead)]
            closed = math.nan if None in gains else gains[0].value - gains[1].value
            seeds, p_value = min(full.seeds, less.seeds), raw.get(key, p.get(key)).value
            effect = Effect(value, low, high, p_value, seeds, behind.low, 1 / k, closed, level=full.high)
            apart_by = tables.points(apart[key]._replace(value=value, low=low, high=high))
            at, name = "" if k == K else f" (K={k})", LABELS.get(variant, variant)
            found[dataset] = effect, f"{_name(dataset)}{at}: PHALAR {full}, {name} {less}, {apart_by} points"
    return found


def against(
    look: Look, models: Sequence[str], experiment: str, metric: str, split: str = "test", trained: bool = True
) -> Evidence:
    """The first model minus the best of the others in any measure: the paired difference where one was recorded (as
    ``metric_minus_rival``, or of ``ours - rival``), else the difference of two intervals. The others learn nothing
    here (an untrained network, chroma, published weights), so that only the first has training seeds, if it was
    ``trained`` here."""
    (ours, *rivals), found, table = models, {}, look(experiment, metric, split)
    for (dataset, variant, k), row in table.items():
        others = [table[dataset, name, k] for name in rivals if (dataset, name, k) in table]
        if variant == ours and others:
            best = max(others, key=lambda other: other.value)
            named = look(experiment, f"{metric}_minus_{best.variant.split()[0]}", split)
            apart = named.get((dataset, ours, k)) or table.get((dataset, f"{ours} - {best.variant}", k))
            shown = (f"{each.variant} {tables.with_interval(*each[3:6], '{:.3f}'.format)}" for each in (row, best))
            effect = replace(_effect(row, best, apart), seeds=row.seeds if trained else None, level=row.high)
            found[dataset] = effect, f"{_name(dataset)}: {', '.join(shown)}"
    return found


def stressed(look: Look, name: str) -> Evidence:
    """What the same weights lose on a stress set against the plain one, song by song where that was recorded."""
    table, apart, found = look("limits", "top1"), look("limits", PLAIN_MINUS), {}
    for (dataset, variant, k), hurt in table.items():
        plain = table.get(("stress-plain", variant, k))
        if dataset == name and plain and variant in ("phalar", "reference"):
            effect = _effect(plain, hurt, apart.get((dataset, variant, k)))
            found[dataset] = effect, f"*stress-plain* (K={k}) {plain}, *{name}* {hurt}"
    return found


def _effect(a: Measured, b: Measured, apart: Measured | None) -> Effect:
    """a - b, as recorded ``apart`` or of two separate results, whose interval reaches as far as any two values of
    theirs; no surer than Student's t test over the seeds is."""
    if apart is None:
        sd = math.hypot(a.sd, 0.0 if math.isnan(b.sd) else b.sd)
        apart = a._replace(value=a.value - b.value, low=a.low - b.high, high=a.high - b.low, sd=sd)
    value, low, high = apart.value, apart.low, apart.high
    effect = Effect(value, low, high, seeds=min(a.seeds, b.seeds))
    if math.isnan(apart.sd):
        return effect
    error, freedom = max(apart.sd, 1e-12) / math.sqrt(apart.seeds), apart.seeds - 1
    half = float(student.ppf(0.975, freedom)) * error
    p = max(effect.p_value(), float(2 * student.sf(abs(value) / error, freedom)))
    return replace(effect, low=min(low, value - half), high=max(high, value + half), p=p)


def evidence(look: Look, entry: Mapping[str, Any]) -> Evidence:
    """What a run's records say about an entry of the registry."""
    where = entry.get("evidence", {})
    if "paired" in where:
        return paired(look, where["paired"], where["in"], where.get("datasets", ()))
    if "against" in where:
        return against(look, where["against"], **{name: x for name, x in where.items() if name != "against"})
    return stressed(look, where["stress"]) if "stress" in where else {}


@dataclass(frozen=True)
class Judged:
    """A claim with what came back: its entry, the paper's numbers as printed, ours by data set, the verdict and why."""

    claim: Mapping[str, Any]
    paper: str
    here: tuple[str, ...]
    verdict: Verdict
    why: str
    effects: Mapping[str, tuple[Effect, Verdict]] = field(default_factory=dict)  # by data set
    claimed: float | None = None  # the paper's effect


def judged(records: pd.DataFrame, parameters: Mapping[str, int]) -> list[Judged]:
    """Every claim of the registry with its verdict; p values are corrected (Holm) for all claims and data sets
    together. ``records`` are of one run; ``parameters`` are counted, real ones, of the variants that can be built
    here."""
    look, made = cache(partial(measured, records)), []
    found = [evidence(look, entry) for entry in registry()]
    family = [(i, name) for i, of in enumerate(found) for name, (effect, _) in of.items() if not effect.unjudged]
    corrected = dict(zip(family, holm([found[i][name][0].p_value() for i, name in family]), strict=True))
    for i, entry in enumerate(registry()):
        values = [lookup(*number) for number in entry.get("paper", ())]
        claimed = values[0] - values[1] if len(values) == 2 and values[0] < 1 else None
        own, verdicts = (entry["paper"][0][1] if values else ""), {}
        for name, (effect, _) in found[i].items():
            effect = replace(effect, p=corrected.get((i, name), effect.p))
            verdicts[name] = judge(effect, claimed, values[0] if name == own else None)
        effects = {name: (effect, verdicts[name][0]) for name, (effect, _) in found[i].items()}
        if own in verdicts:  # the paper's own data set decides where it was tested, else all that were
            verdicts = {own: verdicts[own]}
        here, verdict = tuple(text for _, text in found[i].values()), together(each for each, _ in verdicts.values())
        reasons = {why for _, why in verdicts.values()}
        detail = "; ".join(f"{_name(name)} {why}" for name, (_, why) in verdicts.items())
        why = reasons.pop() if len(reasons) == 1 else detail
        if entry.get("evidence") == "sizes":
            here, verdict, why = _sizes(parameters, *values)
        elif entry.get("evidence") == "bounds":
            here, verdict, why = _bounded(look("bounds", OF_BOUND))
        elif "impossible" in entry and not here:
            verdict, why = Verdict.NOT_TESTABLE, entry["impossible"]
        made.append(Judged(entry, _printed(entry, values), here, verdict, why, effects, claimed))
    return made


def _sizes(counted: Mapping[str, int], *claimed: float) -> tuple[tuple[str, ...], Verdict, str]:
    """Parameters as counted here, against the paper's figures, which are given to 0.1 million."""
    if not {"phalar", "cocola"} <= set(counted):
        return (), Verdict.NOT_RUN, ""
    ours, theirs = counted["phalar"], counted["cocola"]
    exact = all(abs(count - figure) <= 0.5e5 for count, figure in zip((ours, theirs), claimed, strict=True))
    verdict = Verdict.REPRODUCED if exact else Verdict.PARTIAL if 2 * ours < theirs else Verdict.NOT_REPRODUCED
    return (f"counted: PHALAR {ours:,}, COCOLA {theirs:,}",), verdict, f"{100 * ours / theirs:.0f} % of COCOLA"


def _bounded(shares: Mapping[Any, Measured]) -> tuple[tuple[str, ...], Verdict, str]:
    """The largest share of its bound that a score of any weights reached, one of ``shares``: a theorem has no error."""
    if not shares:
        return (), Verdict.NOT_RUN, ""
    top = max(shares.values(), key=lambda row: row.value)
    verdict = Verdict.REPRODUCED if top.value <= 1 else Verdict.NOT_REPRODUCED
    text = f"largest score of {len(shares)} weights ({LABELS.get(top.variant, top.variant)})"
    return (f"{text}: {100 * top.value:.0f} % of its bound",), verdict, "a theorem, proved on the page *The model*"


def _printed(entry: Mapping[str, Any], values: Sequence[float]) -> str:
    """The paper's numbers in their own units: ``"MoisesDB: PHALAR 70.87 %, COCOLA 41.84 %"``."""
    units = {"parameters": lambda x: f"{x / 1e6:.1f} M", "gpu_hours": lambda x: f"{x:.0f} GPU-hours"}
    units |= dict.fromkeys(("top1", "accuracy"), lambda share: tables.as_printed(share) + tables.PER_CENT)
    named = zip(entry.get("paper", ()), values, strict=True)
    texts = [f"{LABELS.get(n[2], n[2])} {units.get(n[3], '{:.3f}'.format)(value)}" for n, value in named]
    return (f"{entry['paper'][0][1]}: " if texts and entry["paper"][0][1] else "") + ", ".join(texts) or "no number"


def _name(dataset: str) -> str:
    return f"*{dataset}*" if dataset in tables.STAND_INS or dataset.startswith("stress-") else dataset


def counted(found: Sequence[Judged]) -> str:
    """How many claims came to which verdict, as half a sentence."""
    counts = Counter(one.verdict for one in found)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])


def basis(claim: Mapping[str, Any]) -> str:
    """What a claim is judged by, in words."""
    how = claim.get("evidence", {})
    if isinstance(how, str):
        return "a count or a theorem"
    return "the authors' own published scores" if how.get("experiment") == "judgements" else "models trained here"


def page_of(claim: Mapping[str, Any]) -> str:
    """The notebook that tests a claim, or an empty text."""
    words = claim.get("command", "").split()
    return words[words.index("--only") + 1] if "--only" in words else "".join(words[1:2] if "evaluate" in words else [])


def forest(found: Sequence[Judged]) -> pd.DataFrame:
    """What `phalar.plots.forest` draws: a row an effect that was measured, and one a claim of which there is the
    paper's alone."""
    rows = []
    for one in found:
        told = [(name, e.value, e.low, e.high, str(verdict)) for name, (e, verdict) in one.effects.items()]
        missing = [("", math.nan, math.nan, math.nan, str(one.verdict))] if one.claimed is not None else []
        rows += [(one.claim["claim"], *row, one.claimed) for row in told or missing]
    return pd.DataFrame(rows, columns=["claim", "data", "value", "low", "high", "verdict", "paper"])


def claims_page(found: Sequence[Judged], run: Sequence[Judged]) -> str:
    """Markdown of the page of claims: how many came back in the reference run; of each claim the page that tests it,
    verdict and evidence (of the run that built the book as well, where they differ), the paper's number, the measure,
    what would refute it and the command."""
    rows = []
    for one, own in zip(found, run, strict=True):
        command = f"<br>`phalar {one.claim['command']}`" if "command" in one.claim else ""
        page = page_of(one.claim)
        told = ["<br>".join([f"**{each.verdict}**", *filter(None, [each.why]), *each.here]) for each in (one, own)]
        title = one.claim["claim"] + (f"<br>{{doc}}`/notebooks/{page}`" if page else "")
        measure = f"{one.claim['measure']}; refuted by: {one.claim['refuted']}{command}"
        rows.append((title, "<br>*this run:* ".join(dict.fromkeys(told)), one.paper, measure))
    header = ["claim", "what came back, reference run", "paper", "measure, what would refute it, and the command"]
    table = markdown_table(header, rows, CAPTION, "claims-one-by-one")
    ours = sum(bool(one.claim.get("exploratory")) for one in found)
    return f"{len(found) - ours} claims, and {ours} of ours beside them: {counted(found)}.\n\n{table}"
