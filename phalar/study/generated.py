"""What pages of the book include and show above their text: numbers of the front page, the answer to a page's question,
how to rerun it, the record of the run, and the package's functions with their docstrings. All of it is Markdown."""

import hashlib
import inspect
import json
import re
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import pandas as pd

import phalar
from phalar.study import tables
from phalar.study.claims import Judged, counted, page_of
from phalar.study.compare import Verdict

# Numbers of the front page: what it is, and where the reference records and the paper's table have it.
NUMBERS = {
    "The missing stem found among 64": (
        ("retrieval", "top1", "test", "studio", "reference", 64),
        ("retrieval", "MoisesDB", "phalar", "top1", 64),
    ),
    "Agreement with listeners, Pearson's r": (
        ("judgements", "pearson", "as published", "MUSDB18-HQ", "phalar", None),
        ("judgements", "MUSDB18-HQ", "phalar", "pearson", None),
    ),
    "Beats that nobody taught it, F1": (
        ("beats", "f1", "test", "beats", "phalar", None),
        ("beats", "GTZAN", "phalar", "f1", None),
    ),
}

# What a program or a notebook calls.
FUNCTIONS = [f"{home}.{name}" for name, home in phalar._HOMES.items() if name[0].islower()]
FUNCTIONS += ["phalar.corpora.load", "phalar.datasets.prepare.prepare", "phalar.datasets.prepare.load"]
FUNCTIONS += [f"phalar.evaluate.retrieval.{name}" for name in ("fixed_pairs", "top1", "by_track", "evaluate")]
FUNCTIONS += [f"phalar.evaluate.statistics.{name}" for name in ("estimate", "difference", "holm")]
FUNCTIONS += ["phalar.evaluate.sensitivity.evaluate", "phalar.train.config.config", "phalar.train.loop.train"]
FUNCTIONS += [f"phalar.study.experiments.{name}" for name in ("settings", "train", "evaluate")]
FUNCTIONS += ["phalar.study.compare.judge", "phalar.lessons.check_equivariance"]


def verdict(judged: Sequence[Judged]) -> str:
    """What came back of the paper, in a sentence."""
    back = sum(one.verdict is Verdict.REPRODUCED for one in judged)
    against = sum(one.verdict is Verdict.NOT_REPRODUCED for one in judged)
    return (
        f"Of {len(judged)} claims of the paper {back} came back and {against or 'none'} failed; the others cannot be "
        f"judged yet, most of them for want of training seeds ({counted(judged)})."
    )


def numbers(records: pd.DataFrame) -> str:
    """Three numbers with their intervals beside the paper's, as cards."""
    cards = []
    for title, (own, printed) in NUMBERS.items():
        found, paper = tables.measured(records, *own[:3]).get(own[3:]), tables.lookup(*printed)
        share = printed[3] == "top1"
        shown = (lambda x: f"{100 * x:.2f}{tables.PER_CENT}") if share else "{:.3f}".format
        ours = str(found) if share else tables.with_interval(*found[3:6], shown) if found else tables.NOT_RUN
        about = f"{tables.dataset_label(own[3])}. The paper, {printed[1]}: {shown(paper)}."
        cards.append(f":::{{grid-item-card}} {title}\n**{ours}**\n\n{about}\n:::")
    return "::::{grid} 1 1 3 3\n:gutter: 2\n\n" + "\n\n".join(cards) + "\n::::"


def answer(page: str, judged: Sequence[Judged]) -> str:
    """The answer to a page's question: the claims that the page tests, each with what came back."""
    lines = []
    for one in judged:
        if page_of(one.claim) == page:
            here = f" {one.here[0]}." if one.here else ""
            lines.append(f"- {one.claim['claim']}: **{one.verdict}**.{here}")
    told = "\n".join(lines[:3]) + ("\n- ..." if len(lines) > 3 else "")
    return (
        f":::{{admonition}} What came back\n:class: tip\n{told}\n\nThe rule: {{doc}}`/book/claims`.\n:::"
        if lines
        else ""
    )


def rerun(page: str, about: Mapping, run: str, own: pd.DataFrame) -> str:
    """The box that says how a page is run again, how long that took and on what, and where the page as it ran and its
    ``own`` records are."""
    name, command = page.rpartition("/")[2], f"$ phalar study run --profile {run} --only {page}"
    seeds = f'\n{command} -p seeds "[1]"' * ("seeds" in about["parameters"])
    took = f"It took {about['seconds'] / 60:.1f} minutes" + (f" on {own['device'].iloc[-1]}" if len(own) else "")
    table = f" and {{download}}`its records <{name}.csv>`" if len(own) else ""
    return (
        f":::{{admonition}} Rerun this page\n:class: dropdown\n```console\n{command}{seeds}\n```\n{took}; other "
        f"profiles: {{doc}}`/book/how-to-read`. {{download}}`The page as it ran <{name}.ipynb>`{table}.\n:::"
    )


def records_of(results: Path, hashes: Sequence[str]) -> pd.DataFrame:
    """The records of a results file whose lines have these hashes (`phalar.study.run`)."""
    lines = results.read_bytes().splitlines() if results.is_file() else []
    own = [json.loads(line) for line in lines if hashlib.sha256(line).hexdigest()[:8] in set(hashes)]
    return pd.json_normalize(own)


def run_record(records: pd.DataFrame) -> str:
    """What was measured in a run, by experiment: how many records, of which models, seeds and steps, by which code."""
    rows = []
    for experiment, own in records.groupby("experiment", sort=False):
        counted = [", ".join(f"{x:g}" for x in sorted(own[name].dropna().unique())) for name in ("seed", "steps")]
        code = ", ".join(f"`{commit[:8]}`" for commit in own["commit"].dropna().unique())
        days = sorted(set(own["date"].str[:10]))
        rows.append((experiment, len(own), own["variant"].nunique(), *counted, code, " to ".join({days[0], days[-1]})))
    header = ["experiment", "records", "models and rules", "seeds", "steps", "code", "day"]
    return tables.markdown_table(header, rows) if rows else tables.NOT_RUN


def api() -> str:
    """The functions that programs call: signature and docstring of each."""
    parts = []
    for full in FUNCTIONS:
        home, _, name = full.rpartition(".")
        thing = getattr(import_module(home), name)
        shown = full if home not in phalar._HOMES.values() else f"phalar.{name}"
        taken = inspect.signature(thing).parameters.values()
        taken = ", ".join(str(each.replace(annotation=inspect.Parameter.empty)) for each in taken)
        parts.append(f"## `{shown}`\n\n```python\n{shown}({taken})\n```\n\n{_markdown(inspect.getdoc(thing))}")
    return "\n\n".join(parts)


def _markdown(docstring: str) -> str:
    """A docstring of ours: paragraphs, ``names``, references and examples, as Markdown."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", docstring.replace("``", "`"))
    shown = (
        f"```python\n{part}\n```" if part.startswith(">>>") else part.replace("|", "\\|") for part in text.split("\n\n")
    )
    return "\n\n".join(shown)
