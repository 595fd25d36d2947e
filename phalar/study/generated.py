"""What pages of the book include and show above their text: numbers of the front page, the answer to a page's question,
how to rerun it, and the record of the run. All of it is Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd

from phalar.study import tables
from phalar.study.claims import Judged, basis, counted, page_of
from phalar.study.compare import SEEDS, Verdict

# Numbers of the front page: what it is, where the reference records have it, the data set of the paper's, and how far
# the two compare.
OTHER = "Other music than the paper's: no comparison of levels."
NUMBERS = {
    "The missing stem found among 64": ("retrieval", "top1", "test", "studio", "reference", 64, "MoisesDB", OTHER),
    "Agrees with listeners, r": (
        "judgements", "pearson", "as published", "MUSDB18-HQ", "phalar", None, "MUSDB18-HQ",
        "Computed again from the scores that the authors published.",
    ),
    "Beats that nobody taught it, F1": (
        "beats", "f1", "test", "beats", "phalar", None, "GTZAN",
        OTHER + " And read by our decoding, not by the paper's.",
    ),
}  # fmt: skip


def verdict(judged: Sequence[Judged]) -> str:
    """What came back of the paper, by what it is judged by."""
    own, groups = [one for one in judged if not one.claim.get("exploratory")], {}
    for one in own:
        groups.setdefault(basis(one.claim), []).append(one)
    back = sum(one.verdict is Verdict.REPRODUCED for one in own)
    told = "; ".join(f"by {what}, {counted(found)}" for what, found in groups.items())
    return f"Of {len(own)} claims of the paper {back} came back: {told}. Models are judged by {SEEDS} training seeds."


def numbers(records: pd.DataFrame) -> str:
    """Three numbers with their intervals beside the paper's, as cards."""
    cards = []
    for title, (experiment, metric, split, dataset, variant, k, printed, compares) in NUMBERS.items():
        found = tables.measured(records, experiment, metric, split).get((dataset, variant, k))
        paper, share = tables.lookup(experiment, printed, "phalar", metric, k), metric == "top1"
        shown = (lambda x: f"{100 * x:.2f}{tables.PER_CENT}") if share else "{:.3f}".format
        ours = str(found) if share else tables.with_interval(*found[3:6], shown) if found else tables.NOT_RUN
        about = f"{tables.dataset_label(dataset)}. The paper, {printed}: {shown(paper)}. {compares}"
        cards.append(f":::{{grid-item-card}} {title}\n**{ours}**\n\n{about}\n:::")
    return "::::{grid} 1 1 3 3\n:gutter: 2\n\n" + "\n\n".join(cards) + "\n::::"


def answer(page: str, judged: Sequence[Judged]) -> str:
    """The answer to a page's question, of the claims that the page tests: what came of the first that was measured, in
    a sentence with its numbers; then the others by verdict."""
    mine = sorted((one for one in judged if page_of(one.claim) == page), key=lambda one: not one.here)
    if not mine:
        return ""
    first, others = mine[0], {}
    why, numbers = (f" ({first.why})" if first.why else ""), [*first.here[:1], f"The paper: {first.paper}"]
    for one in mine[1:]:
        others.setdefault(one.verdict, []).append(one.claim["claim"] + "".join(f" ({x})" for x in one.here[:1]))
    told = f"{first.claim['claim']}: **{first.verdict}**{why}. {'. '.join(numbers)}.\n\n"
    told += "".join(f"- **{verdict}**: {'; '.join(claims)}.\n" for verdict, claims in others.items())
    box = ":::{admonition} The answer, by the reference run\n:class: tip\n"
    return f"{box}{told}\nThe rule: {{doc}}`/book/claims`.\n:::"


def rerun(page: str, about: Mapping, run: str, own: pd.DataFrame) -> str:
    """The box that says how a page is run again, how long that took and on what, and where the page as it ran and its
    ``own`` records are."""
    name, command = page.rpartition("/")[2], f"$ phalar study run --profile {run} --only {page}"
    seeds = f'\n{command} -p seeds "[1]"  # trains what does not ship' * ("seeds" in about["parameters"])
    took = f"The first took {about['seconds'] / 60:.1f} minutes" + (f" on {own['device'].iloc[-1]}" if len(own) else "")
    table = f" and {{download}}`its records <{name}.csv>`" if len(own) else ""
    return (
        f":::{{admonition}} Rerun this page\n:class: dropdown\n```console\n{command}{seeds}\n```\n{took}; other "
        f"profiles: {{doc}}`/book/how-to-read`. {{download}}`The page as it ran <{name}.ipynb>`{table}.\n:::"
    )


def run_record(records: pd.DataFrame) -> str:
    """What was measured in a run, by experiment: how many records, of which models, seeds and steps, by which code."""
    rows = []
    for experiment, own in records.groupby("experiment", sort=False):
        counted = [", ".join(f"{x:g}" for x in sorted(own[name].dropna().unique())) for name in ("seed", "steps")]
        code = ", ".join(f"`{commit[:8]}`" for commit in own["commit"].dropna().unique())
        days = sorted(set(own["date"].str[:10]))
        when = " to ".join(dict.fromkeys((days[0], days[-1])))
        rows.append((experiment, len(own), own["variant"].nunique(), *counted, code, when))
    header = ["experiment", "records", "models and rules", "seeds", "steps", "code", "day"]
    return tables.markdown_table(header, rows) if rows else tables.NOT_RUN
