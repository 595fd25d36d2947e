"""Profiles: every key is a declared parameter of the declared kind, and stands once."""

import nbformat
import pytest

from phalar.errors import InputError
from phalar.paths import PACKAGE
from phalar.study.profiles import declared_parameters, known_profiles, load_profile, parameters_for

REPOSITORY = PACKAGE.parent


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
def folder(tmp_path):
    """A folder of two notebooks and one profile."""
    notebook(
        tmp_path / "first.ipynb", 'profile_name = "x"\nsteps = 3\nks = [8]\nrate = 0.5\nfast = False\nlimit = None'
    )
    notebook(tmp_path / "second.ipynb", 'profile_name = "x"\nwindow = 4.8')
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "tiny.yaml").write_text("steps: 5\nks: [4, 8]\nrate: 1\nwindow: 5.0\n")
    return tmp_path


def test_a_profile_is_its_values_and_its_name(folder):
    values = load_profile("tiny", folder)
    assert values == {"profile_name": "tiny", "steps": 5, "ks": [4, 8], "rate": 1, "window": 5.0}
    assert load_profile(folder / "profiles" / "tiny.yaml", folder) == values


def test_declared_parameters_are_names_with_defaults(folder):
    expected = {"profile_name": "x", "steps": 3, "ks": [8], "rate": 0.5, "fast": False, "limit": None}
    assert declared_parameters(folder / "first.ipynb") == expected
    with pytest.raises(InputError, match=r"notebook 'third' does not exist; known: first, second"):
        declared_parameters(folder / "third.ipynb")


def test_each_notebook_gets_only_what_it_declares_and_overrides_go_first(folder):
    values = load_profile("tiny", folder)
    assert parameters_for(folder / "second.ipynb", values) == {"profile_name": "tiny", "window": 5.0}
    assert parameters_for(folder / "first.ipynb", values, {"steps": 9})["steps"] == 9


def test_an_unknown_profile_lists_the_known_ones(folder):
    with pytest.raises(InputError, match="unknown profile 'huge'; known: tiny"):
        load_profile("huge", folder)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("stpes: 5\n", "'stpes'; did you mean 'steps'?"),
        ("steps: 5\nsteps: 6\n", "'steps' stands twice"),
        ("steps: many\n", "steps='many' is not a whole number"),
        ("steps: 5.5\n", "steps=5.5 is not a whole number"),
        ("steps: true\n", "steps=True is not a whole number"),
        ("ks: 8\n", "ks=8 is not a list"),
        ("fast: 1\n", "fast=1 is not true or false"),
        ("steps: {a: 1}\n", "'steps' is not a flat"),
        ("- steps\n", "holds list"),
        ("", "holds NoneType"),
        ("steps: [\n", "not valid YAML"),
        ("steps: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
    ],
)
def test_a_bad_profile_is_refused_with_the_line_at_fault(folder, text, named):
    path = folder / "profiles" / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_profile("bad", folder)
    assert named in str(caught.value)
    assert "bad.yaml" in str(caught.value)


def test_a_profile_file_that_is_not_there_is_an_input_error(folder):
    with pytest.raises(InputError, match="cannot be read"):
        load_profile(folder / "none.yaml", folder)


def test_an_override_must_be_a_parameter_of_the_notebook(folder):
    with pytest.raises(InputError, match="no parameter 'windw' to override; did you mean 'window'"):
        parameters_for(folder / "second.ipynb", {}, {"windw": 1.0})
    with pytest.raises(InputError, match="override window='wide' is not a number"):
        parameters_for(folder / "second.ipynb", {}, {"window": "wide"})


def test_anything_may_take_the_place_of_a_default_of_none(folder):
    assert parameters_for(folder / "first.ipynb", {}, {"limit": 3}) == {"limit": 3}


# --- the profiles that ship


@pytest.mark.parametrize("name", ["smoke", "laptop", "night", "gpu", "paper"])
def test_the_shipped_profiles_load_and_are_named_after_their_files(name):
    values = load_profile(name)
    assert values["profile_name"] == name
    assert name in values["results_path"]


def test_the_shipped_profiles_are_all_known_and_say_why():
    assert known_profiles() == ["smoke", "laptop", "night", "gpu", "paper"]
    for path in (REPOSITORY / "notebooks" / "profiles").glob("*.yaml"):
        assert path.read_text().startswith(f"# {path.stem}")


def test_smoke_draws_no_more_candidates_than_it_keeps_tracks():
    values = load_profile("smoke")
    assert max(values["ks"]) <= values["limit"]
    assert values["batch_size"] <= values["limit"]
