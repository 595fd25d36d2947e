"""What the README says came back is what the reference records say, and every command it names is there."""

import re

import click

from phalar.cli import cli
from phalar.paths import repository
from phalar.study import records, tables

SHOWN = ("reference", "tempo + chroma", "aligned onsets + chroma")
PAGES = [repository() / "README.md", *(repository() / "book").glob("*.md")]


def test_numbers_of_the_readme_are_those_of_the_reference_run():
    lines = (repository() / "README.md").read_text().splitlines()
    measured = tables.measured(records.read(records.REFERENCE))
    datasets = {dataset for dataset, _, k in measured if k == 64}
    assert datasets == {"chorales", "band", "studio"}
    for dataset in datasets:
        (line,) = [line for line in lines if line.startswith(f"| *{dataset}* |")]
        for variant in SHOWN:
            number = tables.cell(measured[dataset, variant, 64])
            assert f"| {number} |" in line, f"{variant} on {dataset} at K = 64: {number}"


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
