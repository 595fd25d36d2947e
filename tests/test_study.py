"""The main job on a sliver: every notebook through papermill with the smoke profile, then the book from it."""

import ast
import json
import re

import nbformat
from test_book import from_the_network

from phalar.evaluate import others
from phalar.paths import repository
from phalar.study import records, tables
from phalar.study.book import build_book
from phalar.study.run import NOTEBOOKS, run_study, study


def test_the_study_runs_and_the_book_is_built_from_it():
    run = study("smoke")
    executed = run_study(run, jobs=2)
    assert [one["name"] for one in executed] == list(NOTEBOOKS)
    for notebook in executed:
        cells = nbformat.read(notebook["path"], as_version=4).cells
        assert all(c.execution_count for c in cells if c.cell_type == "code" and c.source.strip())
        assert str(repository()) not in notebook["path"].read_text(), "nothing of this machine goes into the book"
        drawn = [c for c in cells for o in c.get("outputs", ()) if any("image/" in kind for kind in o.get("data", ()))]
        assert all(len(c.metadata["mystnb"]["image"]["alt"]) > 40 for c in drawn), "figures say what is seen"
    found = records.read(run.records)
    newest = found[(found["experiment"] == "retrieval") & ~found["variant"].isin([*others.OTHERS])]
    assert set(newest["variant"]) == {"reference", "phalar", "gap", *tables.SHORTCUTS, *tables.ALIGNED}
    shares = found[found["metric"].isin(["top1", "accuracy", "f1"])]
    assert shares["value"].between(0, 1).all()
    alone = shares["ci_low"].isna()
    assert (shares["n"][alone] == 1).all(), "what has no interval is of one piece"
    assert (shares["ci_low"] <= shares["value"])[~alone].all()
    assert {"ablations", "beats", "chords", "limits", "rotation", "sensitivity"} <= set(found["experiment"])
    assert all(one["reused"] for one in run_study(run)), "nothing changed: nothing is executed again"
    index = build_book(run)
    page = (index.parent / "notebooks" / "retrieval.html").read_text()
    assert page.count("<audio") >= 3, "the mix, the stem ranked first and the true stem can be played"
    assert "stand-in" in page
    assert not from_the_network(index.parent)
    claims = (index.parent / "book" / "claims.html").read_text()
    assert "one seed" in claims, "a run of one seed judges no model"


def test_notebooks_are_kept_without_outputs_and_with_short_cells():
    for path in (repository() / "notebooks").rglob("*.ipynb"):
        notebook = json.loads(path.read_text())
        code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        assert not any(c["outputs"] or c["execution_count"] for c in code), path.name
        assert all(len("".join(c["source"]).splitlines()) < 40 for c in code), path.name
        (parameters,) = ["".join(c["source"]) for c in code if "parameters" in c["metadata"].get("tags", [])]
        values = {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(parameters).body}
        assert values["results_path"] == "_build/results/own/results.jsonl", "what a reader tries is a run of its own"
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
        assert not re.search(r"globals\(\)", "".join("".join(c["source"]) for c in code)), path.name
