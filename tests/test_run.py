"""A run is named by what determines it; its notebooks run once for their inputs, and failures say what failed."""

import json

import nbformat
import pytest

from phalar.errors import InputError, RunError
from phalar.paths import PACKAGE
from phalar.study import experiments, records, run
from phalar.study.run import inputs, load_profile, reached, records_of, run_study, study

REPOSITORY = PACKAGE.parent
PARAMETERS = 'profile_name = "x"\nfactor = 2\nks = [8]\nrate = 0.5\nfast = False\nlimit = None\nresults_path = ""'
WORK = """
import json, os, sys
from pathlib import Path
from IPython.display import HTML, display
from tqdm import tqdm
for _ in tqdm(range(3), desc="training"):
    pass
print("product", 21 * factor)
print("folder", Path.cwd())
path = Path(results_path)
path.parent.mkdir(parents=True, exist_ok=True)
with open(path, "a") as file:
    line = dict.fromkeys(("experiment", "dataset", "split", "variant", "metric"), "x")
    file.write(json.dumps(line | {"value": factor, "page": os.environ["PHALAR_PAGE"]}) + "\\n")
(path.parent / "a.ogg").write_bytes(b"sound")
display(HTML(f'<audio controls preload="none" src="{path.parent}/a.ogg"></audio>'))
"""


def notebook(path, parameters, *cells):
    """Write a notebook with a parameters cell."""
    made = nbformat.v4.new_notebook()
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    made.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(made, path)
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout with one notebook, `work`, and a profile, `tiny`."""
    notebook(tmp_path / "notebooks" / "work.ipynb", PARAMETERS, WORK)
    (tmp_path / "notebooks" / "profiles").mkdir()
    (tmp_path / "notebooks" / "profiles" / "tiny.yaml").write_text("factor: 3\n")
    monkeypatch.setattr(run, "FIRST", (("work",),))
    monkeypatch.setattr(run, "THEN", ())
    monkeypatch.setattr(run, "NOTEBOOKS", ("work",))
    return tmp_path


def executed(root, **overrides):
    (one,) = run_study(study("tiny", overrides, root))
    return one


def test_a_notebook_runs_once_for_what_determines_it(root, capfd):
    tiny = study("tiny", root=root)
    (first,) = run_study(tiny)
    told = capfd.readouterr()
    assert told.out == ""
    assert "work: running" in told.err
    assert "training: 100%" in told.err, "the notebook's own progress is passed on"
    assert not first["reused"]
    assert first["path"] == tiny.executed / "work.ipynb"
    text = first["path"].read_text()
    assert "product 63" in text
    assert "folder ." in text
    assert "training:" not in text, "progress bars are not for the book"
    assert "papermill" not in json.loads(text)["metadata"]
    assert str(root) not in json.dumps([cell.get("outputs") for cell in json.loads(text)["cells"]])
    assert not list(first["path"].parent.glob(".*")), "nothing half-written stays"
    assert executed(root)["reused"]
    before = tiny.records.read_bytes()
    assert [(one.page, one.value) for one in records.lines(tiny.records)] == [("work", 3)]

    # What a reader tries is a run of its own: this one's records stay as they are, byte for byte.
    other = executed(root, factor=4)
    assert not other["reused"]
    assert other["path"].parent != first["path"].parent
    assert tiny.records.read_bytes() == before
    assert executed(root)["reused"]

    # What it made is gone: it must run again.
    (tiny.folder / "a.ogg").unlink()
    assert not executed(root)["reused"]
    tiny.records.unlink()
    assert not executed(root)["reused"]


def test_a_notebook_that_raises_is_an_error_that_names_cell_and_exception(root):
    path = notebook(root / "notebooks" / "work.ipynb", PARAMETERS, "a = 1", "# why\nb = a / 0\n", "print('never')")
    with pytest.raises(RunError) as caught:
        executed(root)
    assert "notebook work: cell 4 ('b = a / 0') raised ZeroDivisionError: division by zero" in str(caught.value)
    folder = study("tiny", root=root).executed
    assert str(folder / "work.failed.ipynb") in str(caught.value)
    assert "ZeroDivisionError" in (folder / "work.failed.ipynb").read_text()
    assert [entry.name for entry in folder.iterdir()] == ["work.failed.ipynb"]
    notebook(path, PARAMETERS, "a = 1", WORK)
    assert not executed(root)["reused"]
    assert not (folder / "work.failed.ipynb").exists(), "a success takes the failed copy away"
    notebook(path, PARAMETERS, "import os\nos._exit(1)")
    with pytest.raises(RunError, match=r"notebook work: could not be executed .*died"):
        executed(root)


def test_bad_requests_are_refused_before_anything_runs(root):
    with pytest.raises(InputError, match="cannot name a folder"):
        executed(root, profile_name="../elsewhere")
    with pytest.raises(InputError, match="override: no notebook has a parameter 'fctor'"):
        executed(root, fctor=1)
    with pytest.raises(InputError, match="unknown notebook 'wrk'; the study has: work"):
        run_study(study("tiny", root=root), ["wrk"])
    with pytest.raises(InputError, match="unknown profile 'tny'; known: tiny"):
        study("tny", root=root)
    assert not (root / "_build").exists()


def test_a_run_is_named_by_values_and_measuring_code(root, monkeypatch):
    name = study("tiny", root=root).name
    assert name.startswith("tiny-")
    assert study("tiny", {"factor": 3}, root).name == name, "what is already so changes nothing"
    assert study("tiny", {"factor": 4}, root).name != name
    monkeypatch.setattr(run.fingerprint, "of_code", lambda *_: "other code")
    assert study("tiny", root=root).name != name
    (root / "notebooks/profiles/tiny.yaml").write_text('ks: [3]\nprofile_name: "other"\n')
    assert study("tiny", root=root).name.startswith("other-")
    notebook(root / "notebooks" / "work.ipynb", 'profile_name = ""\nresults_path = ""\ngap = ""\nks = [1]')
    (root / "notebooks/profiles/tiny.yaml").write_text('gap: "{run}/weights/gap.safetensors"\n')
    tiny = study("tiny", root=root)
    values = tiny.parameters("work")
    assert values["gap"] == f"_build/results/{tiny.name}/weights/gap.safetensors"
    assert values["results_path"] == f"_build/results/{tiny.name}/results.jsonl"
    assert records_of("reference").is_file()


def test_the_inputs_of_a_notebook_are_its_cells_parameters_reached_code_and_weights(root, monkeypatch):
    path = root / "notebooks" / "work.ipynb"
    source = "from phalar.study import records\nimport phalar.evaluate.statistics"
    notebook(path, PARAMETERS, source)
    key = inputs(path, {"factor": 1}, root)
    assert inputs(path, {"factor": 1}, root) == key
    assert inputs(path, {"factor": 2}, root) != key
    read = nbformat.read(path, as_version=4)
    read.cells[-1].outputs = [nbformat.v4.new_output("stream", text="an output")]
    nbformat.write(read, path)
    assert inputs(path, {"factor": 1}, root) == key, "outputs do not determine a run"
    weights = root / "gap.safetensors"
    weights.write_bytes(b"some")
    trained = inputs(path, {"gap": "gap=gap.safetensors"}, root)
    weights.write_bytes(b"other")
    assert inputs(path, {"gap": "gap=gap.safetensors"}, root) != trained, "a new weights file is loaded again"
    modules = reached(source)
    assert {"__init__.py", "study/records.py", "evaluate/statistics.py", "errors.py"} <= set(modules)
    assert "cli.py" not in modules
    assert "study/run.py" not in modules
    assert {"matching.py", "model/checkpoints.py"} <= set(reached("import phalar\nphalar.rank(mix, stems)"))


# --- profiles


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("fcator: 5\n", "no notebook has a parameter 'fcator'"),
        ("factor: true\n", "factor=True is not of the kind of 2"),
        ("factor: {a: 1}\n", "is not of the kind of 2"),
        ("- factor\n", "cannot be read as lines"),
        ("factor: !!python/object/apply:os.getcwd []\n", "cannot be read as lines"),
    ],
)
def test_a_bad_profile_is_refused_with_the_line_at_fault(root, text, named):
    (root / "notebooks" / "profiles" / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        study("bad", root=root)
    assert named in str(caught.value)
    assert "bad.yaml" in str(caught.value)


@pytest.mark.parametrize("name", ["smoke", "laptop", "night", "gpu", "paper"])
def test_the_shipped_profiles_load_and_have_seeds_enough(name):
    values = load_profile(name, {}, REPOSITORY / "notebooks")
    assert values["profile_name"] == name
    assert len(values["seeds"]) >= (1 if name in ("smoke", "laptop") else 3), "three seeds, or nothing is judged"
    assert name != "smoke" or max(*values["ks"], values["batch_size"]) <= values["limit"]


def test_the_grid_has_a_job_a_training_and_the_notebook_holds_its_rows(monkeypatch):
    rows = experiments.table_of_rows(REPOSITORY / "notebooks" / "ablations.ipynb")
    assert rows["phalar"] == {}
    assert rows["one-direction"] == {"symmetrised": False}
    assert set().union(*rows.values()) <= set(experiments.SETTINGS)
    with pytest.raises(InputError, match="unknown cell 'gop'"):
        experiments.choose(rows, ["gop"])
    monkeypatch.setattr(experiments.corpora, "load", lambda *_, **__: ["a track"])
    smoke = study("smoke", {"cells": ["gap", "cocola", "one-direction", "2-seconds"], "seeds": [0, 1]})
    jobs = experiments.jobs(smoke)
    assert [(list(job.rows), job.training.seed) for job in jobs] == [
        (["phalar", "one-direction", "2-seconds"], 0), (["gap"], 0), (["cocola"], 0),
        (["phalar", "one-direction", "2-seconds"], 1), (["gap"], 1), (["cocola"], 1),
    ]  # fmt: skip
    assert jobs[0].rows["2-seconds"]["test_seconds"] == 2.0
    assert jobs[0].training.steps == 4
    with pytest.raises(InputError, match="unknown setting 'stpes'"):
        experiments.settings(stpes=1)


def test_data_that_is_not_at_hand_is_said_and_left_out_and_an_unfinished_run_does_not_ship(tmp_path):
    wanted = ["slakh2100", f"musdb18hq={tmp_path / 'nowhere'}", "chorals"]
    made, absent = experiments.settings(wanted, corpora=["chorales"], trained=["chorales"])
    assert made["corpora"] == ["chorales"]
    assert "phalar datasets prepare slakh2100 ROOT" in absent["slakh2100"]
    assert "nowhere" in absent["musdb18hq"]
    assert "chorals" in absent["chorals"]
    with pytest.raises(InputError, match="holds no finished training run"):
        experiments.ship(tmp_path)
