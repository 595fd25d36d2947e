"""The main job on a sliver: every notebook through papermill with the smoke profile, then the book from it."""

import json

import nbformat

from phalar.paths import repository
from phalar.study import results, tables
from phalar.study.book import build_book
from phalar.study.run import run_study


def test_the_study_runs_and_the_book_is_built_from_it():
    executed = run_study("smoke")
    for notebook in executed:
        cells = nbformat.read(notebook.path, as_version=4).cells
        assert all(c.execution_count for c in cells if c.cell_type == "code" and c.source.strip())
        text = notebook.path.read_text()
        assert str(repository()) not in text, "nothing of this machine goes into the book"
    records = results.read(results.results_path("smoke"))
    newest = records[records["experiment"] == "retrieval"]
    assert set(newest["variant"]) == {"reference", "phalar", "gap", *tables.SHORTCUTS, *tables.ALIGNED}
    shares = records[records["metric"].isin(["top1", "accuracy", "f1"])]
    assert shares["value"].between(0, 1).all()
    assert (shares["ci_low"] <= shares["value"]).all()
    assert {"ablations", "beats", "chords", "limits", "rotation", "sensitivity"} <= set(records["experiment"])
    index = build_book("smoke")
    assert index.is_file()
    page = (index.parent / "notebooks" / "retrieval.html").read_text()
    assert page.count("<audio") >= 3, "the mix, the stem ranked first and the true stem can be played"
    assert "stand-in" in page


def test_notebooks_are_kept_without_outputs_and_with_short_cells():
    for path in (repository() / "notebooks").glob("*.ipynb"):
        notebook = json.loads(path.read_text())
        code = [c for c in notebook["cells"] if c["cell_type"] == "code"]
        assert not any(c["outputs"] or c["execution_count"] for c in code), path.name
        assert all(len("".join(c["source"]).splitlines()) < 40 for c in code), path.name
        assert sum("parameters" in c["metadata"].get("tags", []) for c in code) == 1, path.name
        assert notebook["metadata"]["kernelspec"]["name"] == "python3"
