"""The paper's claims, each beside what came back and a verdict by a rule fixed beforehand (`phalar.study.verdicts`).

`claims` reads this run's records. Two tables are made of it: at a glance for the first page of the book, and in full
with reasons for the page *The claims, one by one*. A claim whose records are missing says "not run yet".
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

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
    summarise,
)
from phalar.study.verdicts import RULE, Effect, Verdict, at_level, judge, judge_share, judge_sizes, together

NOT_YET = "not run yet"
K = 64
CAPTION = (
    "What the paper claims and what came back in this run. Retrieval is top-1 accuracy in % with K=64 candidates "
    "unless another K is named, with a 95 % bootstrap interval; points are PHALAR minus the other model. Names in "
    "italics are stand-in corpora, made here from real compositions: not the paper's data, so their numbers need not "
    "agree with it."
)
ABLATIONS = {
    "gap": "Spectral pooling carries it: average pooling (GAP) does worse",
    "magnitude": "Phase matters: moduli and a real head do worse",
    "cosine": "The learned W matters: complex cosine does worse",
    "psd": "W must be free to be indefinite: a positive one does worse",
    "mel": "The CQT helps a little over a Mel spectrogram",
    "mert-complex": "A large frozen encoder (MERT) does not replace the small trained one",
}
# What the paper names as its limits, and the stress set that has most of it. Each is measured against PLAIN.
PLAIN = "stress-plain"
LIMITS = {
    "stress-rubato-3": "Relies on a steady pulse: rubato hurts",
    "stress-pads": "Weak on sustained pads",
    "stress-mp3-8": "Sensitive to lossy compression",
}
# The setting of the chord probe that counts: chords as majors and minors, no progression in two folds.
CHORDS = "majmin, label at start, folds by progression"
ROTATING, STAYING = "rotates share, embedding", "magnitude-only share, embedding"
_WEIGHTS = "MERT's weights come in no package and must be brought"
_HOURS = "GPU-hours on the paper's machine and data; the page on cost compares steps on this one"
_MUSIC = "no other music is at hand in enough stems"


@dataclass(frozen=True)
class Claim:
    """One claim of the paper."""

    text: str
    paper: str  # its number, as printed
    here: tuple[str, ...]  # ours, one entry a corpus
    verdict: Verdict
    why: str


def claims_table(records: pd.DataFrame, paper: pd.DataFrame, parameters: Mapping[str, int]) -> str:
    """Markdown table for the first page: claim | paper | here, with the verdict first.

    Parameters
    ----------
    records, paper : DataFrame
        This run's records and the paper's numbers.
    parameters : mapping of str to int
        Counted real parameters of the variants that can be built here.
    """
    rows = []
    for found in claims(records, paper, parameters):
        # A claim that waits for a comparison shows what is there without a verdict.
        waiting = found.verdict is Verdict.NOT_RUN and found.here
        rows.append(
            [found.text, found.paper, "<br>".join([*([] if waiting else [f"**{found.verdict}**"]), *found.here])]
        )
    return markdown_table(["claim", "paper", "here"], rows, caption=CAPTION, name="claims")


def claims_page(records: pd.DataFrame, paper: pd.DataFrame, parameters: Mapping[str, int]) -> str:
    """Markdown of the page of claims: how many came back, the table with reasons, and the rule.

    Arguments as of :func:`claims_table`.
    """
    found = claims(records, paper, parameters)
    counts = Counter(one.verdict for one in found)
    summary = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    rows = [
        [
            one.text,
            one.paper,
            "<br>".join(one.here),
            f"**{one.verdict}**" + (f": {one.why}" * bool(one.why)),
        ]
        for one in found
    ]
    table = markdown_table(["claim", "paper", "here", "verdict"], rows, caption=CAPTION, name="claims-one-by-one")
    return f"{len(found)} claims: {summary}.\n\n{table}\n## The rule\n\n{RULE}"


def claims(records: pd.DataFrame, paper: pd.DataFrame, parameters: Mapping[str, int]) -> list[Claim]:
    """Every claim of the paper with what came back, in the paper's order. Arguments as of :func:`claims_table`."""
    found = _Numbers(records)
    return [
        *(_retrieval(name, found, paper) for name in ("MoisesDB", "Slakh2100", "CocoChorales")),
        *(_ablation(variant, text, found, paper) for variant, text in ABLATIONS.items()),
        _judgements(found, paper),
        _beats(found, paper),
        _chords(found),
        _rotation(found),
        _size(paper, parameters),
        _hours(paper),
        *(_limit(stress, text, found) for stress, text in LIMITS.items()),
        Claim("Trained on Western pop: other music is not covered", "stated, no number", (), *_cannot(_MUSIC)),
    ]


class _Numbers:
    """This run's records by (experiment, metric), then (data set, variant, K or None), over seeds."""

    def __init__(self, records: pd.DataFrame) -> None:
        self.records = records
        self.tables: dict[tuple[str, str], dict[tuple[str, str, int | None], Measured]] = {}

    def of(self, experiment: str, metric: str) -> dict[tuple[str, str, int | None], Measured]:
        if (experiment, metric) not in self.tables:
            rows = [Measured(*row) for row in summarise(self.records, experiment, metric).itertuples(index=False)]
            rows = [row._replace(k=None if pd.isna(row.k) else int(row.k)) for row in rows]
            self.tables[experiment, metric] = {(row.dataset, row.variant, row.k): row for row in rows}
        return self.tables[experiment, metric]

    def top1(
        self, dataset: str, variant: str, experiments: Iterable[str] = ("retrieval", "ablations")
    ) -> Measured | None:
        """Accuracy at K = 64, or at the largest K below it in a run on fewer tracks."""
        for experiment in experiments:
            rows = [row for key, row in self.of(experiment, "top1").items() if key[:2] == (dataset, variant)]
            if rows := [row for row in rows if row.k is not None and row.k <= K]:
                return max(rows, key=lambda row: row.k)
        return None

    def datasets(self, variant: str) -> list[str]:
        """Where a variant's retrieval was measured, in any way."""
        keys = [key for experiment in ("ablations", "retrieval") for metric in ("top1", "top1_minus_phalar")
                for key in self.of(experiment, metric)]  # fmt: skip
        return list(dict.fromkeys(key[0] for key in keys if key[1] == variant))


# Who speaks for PHALAR where no two trainings are compared: this run's model, else the weights that ship.
_OURS = ("phalar", "reference")


def _ours(table: Mapping[tuple[str, str, int | None], Measured], dataset: str) -> Measured | None:
    return next((table[dataset, name, None] for name in _OURS if (dataset, name, None) in table), None)


@dataclass(frozen=True)
class _Drop:
    """What a variant loses against PHALAR on one corpus."""

    dataset: str
    effect: Effect
    paired: bool  # measured track by track; else all that is known are two intervals
    k: int
    full: Measured | None
    less: Measured | None


def _drop(found: _Numbers, dataset: str, variant: str) -> _Drop | None:
    """PHALAR minus a variant: the paired difference if it was recorded, else the difference of two results."""
    experiments = ("ablations", "retrieval")
    for experiment in experiments:
        table = found.of(experiment, "top1_minus_phalar")
        rows = [row for key, row in table.items() if key[:2] == (dataset, variant) and row.k is not None and row.k <= K]
        if rows:
            row = max(rows, key=lambda row: row.k)
            p = found.of(experiment, "p_value").get((dataset, variant, row.k))
            effect = Effect(-row.value, -row.high, -row.low, None if p is None else p.value)
            full, less = (found.of(experiment, "top1").get((dataset, name, row.k)) for name in ("phalar", variant))
            return _Drop(dataset, effect, True, row.k, full, less)
    for experiment in experiments:
        full, less = (found.top1(dataset, name, (experiment,)) for name in ("phalar", variant))
        if full and less and (full.k, full.steps) == (less.k, less.steps):
            return _Drop(dataset, _difference(full, less), False, full.k, full, less)
    return None


def _difference(a: Measured, b: Measured) -> Effect:
    """a - b of two separate results. The interval reaches as far as any two values of theirs: never too narrow."""
    return Effect(a.value - b.value, a.low - b.high, a.high - b.low)


def _retrieval(dataset: str, found: _Numbers, paper: pd.DataFrame) -> Claim:
    numbers = [lookup("retrieval", dataset, variant, "top1", K, paper) for variant in ("phalar", "cocola")]
    claimed, baseline = numbers
    printed = ", ".join(f"{LABELS[variant]} {_paper(paper, dataset, variant)}" for variant in ("phalar", "cocola"))
    here, verdicts = [], {}
    for name in _own(dataset):
        ours, drop = found.top1(name, "phalar"), _drop(found, name, "cocola")
        if ours is None:
            continue
        text = f"{_name(name)}{_at(ours.k)}: {LABELS['phalar']} {ours}"
        if drop is not None:
            if drop.less is not None:
                text += f", {LABELS['cocola']} {drop.less}"
            text += f", {_points(drop)}{_gain(found, name, drop)}"
            verdict = judge(drop.effect, claimed - baseline)
            verdicts[name] = at_level(*verdict, ours.high, claimed) if name == dataset else verdict
        here.append(text)
    missing = "" if verdicts or not here else "COCOLA was not run"
    return Claim(
        f"Finds the stem of a mix among 64 better than COCOLA, {dataset}",
        f"{printed}: {100 * (claimed / baseline - 1):+.1f}{PER_CENT}",
        tuple(here),
        *_decide(verdicts, dataset, missing),
    )


def _gain(found: _Numbers, dataset: str, drop: _Drop) -> str:
    """Relative gain over COCOLA: as recorded with its interval, else the ratio of the two results."""
    row = found.of("retrieval", "relative_gain").get((dataset, "cocola", drop.k))
    if row is not None:
        return f", relative gain {_signed(row.value, row.low, row.high)}{PER_CENT}"
    if drop.full is None or drop.less is None or not drop.less.value:
        return ""
    return f", relative gain {_signed(drop.full.value / drop.less.value - 1, math.nan, math.nan)}{PER_CENT}"


def _signed(value: float, low: float, high: float) -> str:
    """A difference of shares with its sign, and its interval if there is one: ``"+20.0 [−1.0, +41.0]"``."""
    value, low, high = (f"{100 * share:+.1f}".replace("-", "−") for share in (value, low, high))
    return value if "nan" in low else f"{value} [{low}, {high}]"


def _ablation(variant: str, text: str, found: _Numbers, paper: pd.DataFrame) -> Claim:
    dataset = "MoisesDB"
    full, less = (lookup("ablations", dataset, name, "top1", K, paper) for name in ("phalar", variant))
    printed = _paper(paper, dataset, variant)
    if variant != "mert-complex":  # "about 46": of no row of the table
        whole, ahead = _paper(paper, dataset, "phalar").removesuffix(PER_CENT), 100 * (full - less)
        printed = f"{whole} → {printed}, {ahead:+.4g} points"
    here, verdicts = [], {}
    for name in found.datasets(variant):
        drop = _drop(found, name, variant)
        if drop is None:
            continue
        values = ""
        if drop.full is not None and drop.less is not None:
            values = f"{percent(drop.full.value)} → {percent(drop.less.value)}{PER_CENT}, "
        here.append(f"{_name(name)}{_at(drop.k)}: {values}{_points(drop)}")
        verdicts[name] = judge(drop.effect, full - less)
    if variant == "mert-complex" and not verdicts:
        return Claim(text, f"{dataset}: {printed}", (NOT_YET,), *_cannot(_WEIGHTS))
    return Claim(text, f"{dataset}: {printed}", tuple(here), *_decide(verdicts, dataset))


def _points(drop: _Drop) -> str:
    """The difference in points with its interval and p value; of unpaired results, whether their intervals meet."""
    effect = drop.effect
    if drop.paired:
        p = "" if effect.p is None else f", p = {effect.p:.2g}" if effect.p >= 0.001 else ", p < 0.001"
        return f"{_signed(effect.value, effect.low, effect.high)} points{p}"
    return "outside both intervals" if drop.full.apart_from(drop.less) else "the intervals meet"


def _judgements(found: _Numbers, paper: pd.DataFrame) -> Claim:
    dataset, printed, here, verdicts = "MUSDB18-HQ", [], [], {}
    for metric in ("pearson", "spearman"):
        claimed = lookup("judgements", dataset, "phalar", metric, table=paper)
        printed.append(f"{metric.capitalize()} {claimed:.3f}")
        table = found.of("judgements", metric)
        for name in _corpora(table):
            row = _ours(table, name)
            if row is None:
                continue
            others = {variant: other.value for (where, variant, _), other in table.items()
                      if where == name and variant not in _OURS}  # fmt: skip
            best = max(others, key=others.get, default=None)
            rival = "" if best is None else f", next {LABELS.get(best, best)} {others[best]:.3f}"
            here.append(f"{metric.capitalize()} {_plain(row)}{rival}")
            verdict, why = at_level(*judge(Effect(row.value, row.low, row.high), claimed), row.high, claimed)
            if best is not None and others[best] >= row.value and verdict is Verdict.REPRODUCED:
                verdict, why = Verdict.PARTIAL, f"not above {LABELS.get(best, best)}"
            verdicts[f"{name}, {metric}"] = verdict, why
    text = "Agrees with listeners, more than every other measure"
    return Claim(text, ", ".join(printed), tuple(here), *_decide(verdicts, ""))


def _beats(found: _Numbers, paper: pd.DataFrame) -> Claim:
    claimed, here, verdicts = lookup("beats", "GTZAN", "phalar", "f1", table=paper), [], {}
    table = found.of("beats", "f1")
    for name in _corpora(table):
        ours = _ours(table, name)
        published, floor = (table.get((name, variant, None)) for variant in ("phalar published", "untrained"))
        if ours is None:
            continue
        parts = [("", ours), ("published decoding ", published), ("untrained ", floor)]
        here.append(f"{_name(name)}: F1 " + ", ".join(f"{text}{_plain(row)}" for text, row in parts if row is not None))
        if floor is not None:
            verdict = judge(_difference(ours, floor))
            verdicts[name] = at_level(*verdict, ours.high, claimed) if name == "GTZAN" else verdict
    missing = "" if verdicts or not here else "the untrained network was not run"
    text = "Follows the beat without being taught to"
    return Claim(text, f"GTZAN: F1 {claimed:.3f}", tuple(here), *_decide(verdicts, "GTZAN", missing))


def _chords(found: _Numbers) -> Claim:
    here, verdicts, table = [], {}, _Numbers(_probed(found.records)).of("chords", "accuracy")
    for name in _corpora(table):
        ours, floors = _ours(table, name), [table.get((name, variant, None)) for variant in ("majority", "untrained")]
        if ours is None:
            continue
        shown = [f"{row.variant} {row}" for row in floors if row is not None]
        here.append(f"{_name(name)}: " + ", ".join([f"{LABELS['phalar']} {ours}", *shown]))
        if all(row is not None for row in floors):
            verdicts[name] = judge(_difference(ours, max(floors, key=lambda row: row.value)))
    missing = "" if verdicts or not here else "majority class or untrained network was not run"
    return Claim(
        "Embeddings hold the harmony: a linear probe reads chords, better than chance and than an untrained network's",
        f"GuitarSet: {NOT_GIVEN}",
        tuple(here),
        *_decide(verdicts, "GuitarSet", missing),
    )


def _probed(records: pd.DataFrame) -> pd.DataFrame:
    """Chord records of the setting that counts: their split names the setting where there are several."""
    setting = records["split"].str.fullmatch(rf"{CHORDS}(, (real part|majority))?")
    return records.assign(
        split=records["split"].mask(setting.astype(bool), "test"), variant=records["variant"].str.lower()
    )


def _rotation(found: _Numbers) -> Claim:
    here, verdicts, tables = [], {}, {metric: found.of("rotation", metric) for metric in (ROTATING, STAYING)}
    for name in _corpora(tables[ROTATING]):
        kinds = {}
        for metric, does in ((ROTATING, "rotate"), (STAYING, "stay within half a circle")):
            row, floor = (tables[metric].get((name, variant, None)) for variant in ("trained", "untrained"))
            if row is not None:
                beside = f", untrained {floor}" if floor is not None else ""
                here.append(f"{_name(name)}: {row} of the embedding's features {does}{beside}")
                kinds[does] = judge_share(row.value, row.low, row.high)
        if len(kinds) == 2:
            why = "; ".join(f"{does}: {reason}" for does, (_, reason) in kinds.items())
            verdicts[name] = together(verdict for verdict, _ in kinds.values()), why
    text = "Some features rotate about the origin as time shifts, others stay in a narrow range"
    return Claim(text, "shown, no number", tuple(here), *_decide(verdicts, ""))


def _size(paper: pd.DataFrame, parameters: Mapping[str, int]) -> Claim:
    ours, baseline = (lookup("cost", "", name, "parameters", table=paper) for name in ("phalar", "cocola"))
    counted = [f"{LABELS[name]} {parameters[name]:,}" for name in ("phalar", "cocola") if name in parameters]
    judged = Verdict.NOT_RUN, ""
    if {"phalar", "cocola"} <= set(parameters):
        judged = judge_sizes(parameters["phalar"], parameters["cocola"], ours, baseline, unit=1e5)
    return Claim(
        "Less than half the size",
        f"{ours / 1e6:.1f} M parameters, COCOLA {baseline / 1e6:.1f} M",
        (f"counted: {', '.join(counted)}",) if counted else (),
        *judged,
    )


def _hours(paper: pd.DataFrame) -> Claim:
    ours, baseline = (lookup("cost", "", name, "gpu_hours", table=paper) for name in ("phalar", "cocola"))
    printed = f"{ours:.0f} GPU-hours, COCOLA {baseline:.0f}"
    return Claim("A seventh of the training time", printed, (), *_cannot(_HOURS))


def _limit(stress: str, text: str, found: _Numbers) -> Claim:
    here, verdicts = (), {}
    for variant in _OURS:
        plain, hurt = (found.top1(name, variant, ("limits",)) for name in (PLAIN, stress))
        if plain is not None and hurt is not None and plain.k == hurt.k:
            here = (f"*{PLAIN}*{_at(plain.k)} {plain}, *{stress}* {hurt}",)
            verdicts[stress] = judge(_difference(plain, hurt))
            break
    return Claim(text, "stated, no number", here, *_decide(verdicts, ""))


def _cannot(why: str) -> tuple[Verdict, str]:
    return Verdict.NOT_TESTABLE, why


def _decide(verdicts: Mapping[str, tuple[Verdict, str]], own: str, missing: str = "") -> tuple[Verdict, str]:
    """The paper's own data set decides where it was tested, else all that were; and why, corpus by corpus if several
    reasons hold."""
    if own in verdicts:
        return verdicts[own]
    reasons = {why for _, why in verdicts.values()}
    detail = "; ".join(f"{_name(name)} {why}" for name, (_, why) in verdicts.items())
    why = reasons.pop() if len(reasons) == 1 else detail
    return together(verdict for verdict, _ in verdicts.values()), why or missing


def _own(dataset: str) -> list[str]:
    return [dataset, *(name for name, real in STAND_INS.items() if real == dataset)]


def _corpora(table: Mapping[tuple[str, str, int | None], Measured]) -> list[str]:
    return list(dict.fromkeys(key[0] for key in table))


def _name(dataset: str) -> str:
    return f"*{dataset}*" if dataset in STAND_INS else dataset


def _plain(row: Measured) -> str:
    """Not in per cent: ``"0.627 [0.590, 0.660]"``."""
    interval = "" if math.isnan(row.low) else f" [{row.low:.3f}, {row.high:.3f}]"
    return f"{row.value:.3f}{interval}"


def _paper(paper: pd.DataFrame, dataset: str, variant: str) -> str:
    value = claim(dataset, variant, K, index(paper))
    return NOT_GIVEN if value is None else f"{value}{PER_CENT}"


def _at(k: int) -> str:
    return "" if k == K else f" (K={k})"
