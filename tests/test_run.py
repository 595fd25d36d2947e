"""Running the study: what counts as executed, what is reused, and what a failure says and leaves behind."""

import json

import nbformat
import numpy as np
import pytest
import soundfile
from test_profiles import notebook

from phalar.errors import InputError, RunError
from phalar.study import media
from phalar.study.run import executed_folder, first_failure, package_hash, run_study, study_key, tidy

PARAMETERS = 'profile_name = "x"\nfactor = 2\nresults_path = "out/results.jsonl"'
WORK = """
import sys
from pathlib import Path
from IPython.display import HTML, display
from tqdm import tqdm
for _ in tqdm(range(3), desc="training"):
    pass
print("product", 21 * factor)
print("kept warning", file=sys.stderr)
print("folder", Path.cwd())
path = Path(results_path)
path.parent.mkdir(parents=True, exist_ok=True)
with open(path, "a") as file:
    file.write("line\\n")
(path.parent / "a.ogg").write_bytes(b"sound")
display(HTML(f'<audio controls preload="none" src="{path.parent}/a.ogg"></audio>'))
"""


@pytest.fixture
def root(tmp_path):
    """A checkout with one notebook, `work`, and a profile, `tiny`."""
    notebook(tmp_path / "notebooks" / "work.ipynb", PARAMETERS, WORK)
    (tmp_path / "notebooks" / "profiles").mkdir()
    (tmp_path / "notebooks" / "profiles" / "tiny.yaml").write_text("factor: 3\n")
    return tmp_path


def study(root, **options):
    return run_study("tiny", root=root, **({"notebooks": ["work"], "progress": False} | options))


def test_a_notebook_runs_once_for_what_determines_it(root, capfd):
    (first,) = study(root, progress=True)
    told = capfd.readouterr()
    assert told.out == ""
    assert "1/1 work: running" in told.err
    assert "training: 100%" in told.err, "the notebook's own progress is passed on"
    assert "cell 1 of 3" in told.err
    assert not first.reused
    assert first.path == executed_folder("tiny", root) / "work.ipynb"

    text = first.path.read_text()
    assert "product 63" in text
    assert "kept warning" in text
    assert "folder ." in text
    assert "training:" not in text, "progress bars are not for the book"
    made = json.loads(text)
    assert "papermill" not in made["metadata"]
    assert not any("papermill" in cell["metadata"] for cell in made["cells"])
    source = json.dumps([cell.get("outputs") for cell in made["cells"]])
    assert str(root) not in source
    assert not list(first.path.parent.glob(".*")), "nothing half-written stays"

    (again,) = study(root)
    assert again.reused
    assert (root / "out/results.jsonl").read_text() == "line\n"

    # What it made is gone: it must run again.
    (root / "out/a.ogg").unlink()
    assert not study(root)[0].reused
    (root / "out/results.jsonl").unlink()
    assert not study(root)[0].reused
    # Another parameter, and an executed copy with an error in it.
    assert not study(root, overrides={"factor": 4})[0].reused
    spoilt = nbformat.read(first.path, as_version=4)
    spoilt.cells[-1].outputs = [nbformat.v4.new_output("error", ename="E", evalue="v", traceback=[])]
    nbformat.write(spoilt, first.path)
    assert not study(root, overrides={"factor": 4})[0].reused


def test_a_notebook_that_raises_is_an_error_that_names_cell_and_exception(root):
    path = notebook(root / "notebooks" / "work.ipynb", PARAMETERS, "a = 1", "# why\nb = a / 0\n", "print('never')")
    with pytest.raises(RunError) as caught:
        study(root)
    said = str(caught.value)
    assert "notebook work: cell 4 ('b = a / 0') raised ZeroDivisionError: division by zero" in said
    failed = executed_folder("tiny", root) / "work.failed.ipynb"
    assert str(failed) in said
    assert "ZeroDivisionError" in failed.read_text()
    assert not (executed_folder("tiny", root) / "work.ipynb").exists()
    assert not list(failed.parent.glob(".*"))

    notebook(path, PARAMETERS, "a = 1", WORK)
    assert not study(root)[0].reused
    assert not failed.exists(), "a success takes the failed copy away"


def test_a_kernel_that_dies_is_an_error_with_a_hint(root):
    notebook(root / "notebooks" / "work.ipynb", PARAMETERS, "import os\nos._exit(1)")
    with pytest.raises(RunError, match=r"notebook work: could not be executed .*memory"):
        study(root)


def test_bad_requests_are_refused_before_anything_runs(root):
    for options, said in [
        ({"only": ["wrk"]}, "unknown notebook 'wrk'; the study has: work"),
        ({"overrides": {"fctor": 1}}, "no parameter 'fctor' to override; did you mean 'factor'"),
        ({"overrides": {"factor": "two"}}, "factor='two' is not a whole number"),
        ({"overrides": {"profile_name": "../elsewhere"}}, "cannot name a folder"),
    ]:
        with pytest.raises(InputError, match=said.replace("(", r"\(").replace("?", r"\?")):
            study(root, **options)
    with pytest.raises(InputError, match="unknown profile 'tny'; known: tiny"):
        run_study("tny", root=root, notebooks=["work"])
    (root / "notebooks/profiles/tiny.yaml").write_text("profile_name: ../up\n")
    with pytest.raises(InputError, match="cannot name a folder"):
        study(root)
    assert not (root / "_build").exists()


def test_an_override_known_to_one_notebook_is_not_an_error_in_the_other(root):
    notebook(root / "notebooks" / "other.ipynb", 'profile_name = "x"\nwidth = 1', "print(width)")
    done = study(root, notebooks=["other", "work"], only=["other"], overrides={"width": 7})
    assert [one.name for one in done] == ["other"]
    assert '"7\\n"' in done[0].path.read_text()


def test_the_key_follows_source_parameters_and_package(root, tmp_path):
    path = root / "notebooks" / "work.ipynb"
    key = study_key(path, {"factor": 1})
    assert study_key(path, {"factor": 1}) == key
    assert study_key(path, {"factor": 2}) != key
    read = nbformat.read(path, as_version=4)
    read.metadata["anything"] = "else"
    read.cells[-1].outputs = [nbformat.v4.new_output("stream", text="an output")]
    nbformat.write(read, path)
    assert study_key(path, {"factor": 1}) == key, "outputs and metadata do not determine a run"
    notebook(path, PARAMETERS, WORK + "\n1")
    assert study_key(path, {"factor": 1}) != key

    package = tmp_path / "package"
    package.mkdir()
    (package / "a.py").write_text("x = 1")
    before = package_hash(package)
    (package / "a.pyc").write_text("byte code")
    assert package_hash(package) == before
    (package / "a.py").rename(package / "b.py")
    assert package_hash(package) != before


@pytest.mark.parametrize("where", ["notebook", "cell", "output"])
def test_every_mark_of_a_failure_is_seen(where):
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("work()")])
    assert first_failure(made) is None
    if where == "notebook":
        made.metadata["papermill"] = {"exception": True}
    elif where == "cell":
        made.cells[0].metadata["papermill"] = {"exception": True}
    else:
        made.cells[0].outputs = [nbformat.v4.new_output("error", ename="E", evalue="why\nmore", traceback=[])]
    assert first_failure(made)


def test_tidying_keeps_what_was_said_and_drops_bars_and_places(tmp_path):
    cell = nbformat.v4.new_code_cell("")
    new = nbformat.v4.new_output
    cell.outputs = [
        new("stream", name="stderr", text="a:  10%|#   | 1/10 [00:00<00:09, 1.0it/s]\r"),
        new("stream", name="stdout", text="one "),
        new("stream", name="stderr", text="a: 100%|####| 10/10 [00:10<00:00, 1.0it/s]\nwarn: 50% of it\n"),
        new("stream", name="stdout", text="line\nold\rnew\n"),
        new("display_data", data={"text/html": f"<i>{tmp_path}/x</i>", "image/png": "AAAA"}),
    ]
    tidy(nbformat.v4.new_notebook(cells=[cell]), tmp_path)
    assert [(o.output_type, o.get("name"), o.get("text")) for o in cell.outputs[:2]] == [
        ("stream", "stderr", "warn: 50% of it\n"),
        ("stream", "stdout", "one line\nnew\n"),
    ]
    assert cell.outputs[2].data == {"text/html": "<i>./x</i>", "image/png": "AAAA"}


# --- sound that a notebook plays


def test_saved_audio_is_whole_audible_and_never_clipped(tmp_path):
    tone = 3.0 * np.sin(2 * np.pi * 440 * np.arange(160_000) / 16_000)
    path = media.save_audio(tmp_path / "deep" / "tone.ogg", tone, 16_000)
    back, rate = soundfile.read(path)
    assert (rate, len(back)) == (16_000, 160_000)
    assert 0.9 < np.abs(back).max() < 1.1
    assert np.argmax(np.abs(np.fft.rfft(back))) == 4400
    assert [entry.name for entry in path.parent.iterdir()] == ["tone.ogg"]


@pytest.mark.parametrize(
    "bad", [np.zeros((3, 100)), np.zeros((1, 2, 9)), np.zeros(0), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_audio_that_cannot_be_played_is_refused(tmp_path, bad):
    with pytest.raises(InputError):
        media.save_audio(tmp_path / "x.ogg", bad, 16_000)
    assert not list(tmp_path.iterdir())


def test_local_files_in_html_are_found_and_redirected_and_nothing_else_is():
    cell = nbformat.v4.new_code_cell("")
    text = media.player("out/a & b.ogg", "<mix>") + '<img src="https://x.org/a.png"><img src="data:image/png;base64,A">'
    cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": text})]
    made = nbformat.v4.new_notebook(cells=[cell])
    assert media.sources(made) == ["out/a & b.ogg"]
    assert "&lt;mix&gt;" in text
    media.redirect(made, {"out/a & b.ogg": "../_static/a & b.ogg"})
    assert media.sources(made) == ["../_static/a & b.ogg"]
    assert 'src="https://x.org/a.png"' in cell.outputs[0].data["text/html"]
