"""What the README says came back is what the reference records say, what it and the book name or count is there."""

import re
from collections import Counter
from itertools import takewhile

import click

from phalar.cli import cli
from phalar.corpora import CORPORA, band
from phalar.model import checkpoints
from phalar.paths import repository
from phalar.study import records, tables

SHOWN = ("reference", "tempo + chroma", "aligned onsets + chroma")
PAGES = [repository() / "README.md", *(repository() / "book").glob("*.md")]


def test_numbers_of_the_readme_are_those_of_the_reference_run():
    lines = (repository() / "README.md").read_text().splitlines()
    found = records.read(records.REFERENCE)
    measured = tables.measured(found)
    datasets = {dataset for dataset, _, k in measured if k == 64}
    assert datasets == {"chorales", "band", "studio"}
    for dataset in datasets:
        (line,) = [line for line in lines if line.startswith(f"| *{dataset}* |")]
        for variant in SHOWN:
            number = tables.cell(measured[dataset, variant, 64])
            assert f"| {number} |" in line, f"{variant} on {dataset} at K = 64: {number}"
        claimed = tables.lookup("retrieval", tables.STAND_INS[dataset], "phalar", "top1", 64)
        for split in ("semitone +1", "late 0.05"):
            moved = tables.measured(found, "sensitivity", "preferred", split)
            assert f"| {tables.cell(moved[dataset, 'PHALAR', None])} |" in line, f"{split} on {dataset}"
        assert f"| {tables.as_printed(claimed)} |" in line


def test_every_number_with_an_interval_that_prose_states_is_a_reference_record():
    kept = [records.read(path) for path in (records.REFERENCE, records.JUDGEMENTS, records.SCORERS)]
    rows = [row for of in kept for row in of[["value", "ci_low", "ci_high"]].itertuples(index=False)]
    known = {tables.with_interval(*row, form) for row in rows for form in ("{:.3f}".format, tables.percent)}
    for page in [*PAGES, *(repository() / "notebooks").rglob("*.ipynb")]:
        stated = re.findall(r"\d*\.\d+ \[\d*\.\d+, \d*\.\d+\]", page.read_text())
        assert set(stated) <= known, page.name


def test_the_records_of_the_shipped_weights_are_of_these_weights():
    found = records.read(records.REFERENCE).query("variant == 'reference' and metric == 'top1'")
    shipped = checkpoints.notes(checkpoints.REFERENCE)["config_hash"]
    assert set(found["config_hash"]) == {shipped}, "other weights were shipped: measure them, and replace the records"


def test_every_command_and_option_that_readme_and_book_name_is_there():
    said = [
        line.split("#")[0] for page in PAGES for line in re.findall(r"(?:\$ .*)?\bphalar ([a-z].*)", page.read_text())
    ]
    said = [re.split(r"[`(;,]", line)[0].split() for line in said]
    tried = 0
    for words in said:
        command, rest = cli, list(words)
        while isinstance(command, click.Group) and rest and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        if command is cli:  # the package, not the command: "the phalar package"
            continue
        assert not isinstance(command, click.Group) or not rest, words
        options = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in rest if re.match(r"--?[a-z]", word)} <= options, words
        tried += 1
    assert tried > 15


def table_of(page, header):
    """Cells by the first one of their row, of a page's first table with such a line in it."""
    lines = (repository() / "book" / page).read_text(encoding="utf-8").splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(header))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in takewhile(bool, lines[first:])]
    return {row[0]: row[1:] for row in rows}


def test_the_pages_count_pieces_as_the_corpora_do():
    splits = {name: Counter(corpus.module.pieces().values()) for name, corpus in CORPORA.items()}
    rows = table_of("corpora.md", "| | `chorales`")
    names = [cell.strip("`") for cell in rows[""]]
    assert rows["pieces"] == [str(splits[name].total()) for name in names]
    for name, told in zip(names, rows["train, valid, test"], strict=True):
        counts = [splits[name][split] for split in ("train", "valid", "test")]
        assert told == ("test only" if counts[:2] == [0, 0] else ", ".join(map(str, counts)))
    seconds = dict(zip(names, rows["a piece"], strict=True))
    assert seconds["band"] == "{:.0f} to {:.0f}\u00a0s".format(*band.SECONDS)
    rows = table_of("band-and-studio.md", "| | train")
    for name in ("band", "studio", "beats"):
        assert rows[f"`{name}`"] == [str(splits[name][split] or "–") for split in rows[""]]
