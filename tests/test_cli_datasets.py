"""`phalar datasets`: exit codes, problems as they come, JSON and nothing else on standard output."""

import json
import os

import pytest
import skeletons

from phalar.cli import main
from phalar.datasets import prepared
from phalar.datasets.catalogue import DATASETS


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))


def run(capsys, *arguments):
    code = main(["datasets", *(str(a) for a in arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_list_has_what_one_needs_to_know(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    for each in DATASETS.values():
        for words in (each.name, each.title, each.licence, each.size, each.source, each.citation):
            assert words in out
    assert "prepared: none yet" in out
    code, out, _ = run(capsys, "list", "--json")
    rows = json.loads(out)["datasets"]
    assert [row["name"] for row in rows] == list(DATASETS)
    assert rows[1]["expected"] == {"train": 1289, "valid": 270, "test": 151}


def test_a_whole_copy_ends_with_0_and_a_damaged_one_with_1(capsys, tmp_path):
    root = skeletons.multitracks(tmp_path / "songs")
    code, out, err = run(capsys, "check", "folder", root)
    assert (code, out.splitlines()) == (
        0,
        ["test: 2 tracks", "folder: whole, 6 stems, 0.00 h of music, 0 problems, 0 notes"],
    )
    assert "checking folder" in err
    (root / "one" / "bass.wav").write_bytes(b"")
    code, out, _ = run(capsys, "check", "folder", root)
    assert code == 1
    assert out.splitlines()[0] == f"problem: {root / 'one' / 'bass.wav'}: is empty"
    assert "not whole" in out.splitlines()[-1]
    code, out, _ = run(capsys, "check", "folder", root, "--json")
    result = json.loads(out)
    assert (code, result["whole"]) == (1, False)
    assert result["splits"] == {"test": {"found": 2, "expected": None}}
    assert result["problems"] == [{"path": str(root / "one" / "bass.wav"), "what": "is empty", "serious": True}]


def test_a_copy_with_missing_tracks_says_how_many(capsys, tmp_path):
    code, out, _ = run(capsys, "check", "slakh2100", skeletons.slakh(tmp_path / "slakh"))
    assert code == 1
    assert "train: 2 tracks of 1,289" in out


def test_preparing_prints_the_name_to_use(capsys, tmp_path):
    root = skeletons.multitracks(tmp_path / "songs")
    code, out, err = run(capsys, "prepare", "folder", root, "--jobs", 1, "--json")
    result = json.loads(out)
    assert code == 0
    assert (result["name"], result["tracks_found"], result["tracks_stored"]) == ("folder-songs", 2, 2)
    assert "preparing folder-songs" in err
    assert len(prepared.load(result["name"])) == 2
    _, out, _ = run(capsys, "list")
    assert f"prepared: folder-songs (from {root})" in out
    _, out, _ = run(capsys, "list", "--json")
    assert json.loads(out)["prepared"][0]["root"] == str(root)


def test_options_of_a_listing_are_flags(capsys, tmp_path):
    root = skeletons.moisesdb(tmp_path / "moises")
    _, out, _ = run(capsys, "prepare", "moisesdb", root, "--unit", "stem", "--json")
    assert json.loads(out)["name"] == "moisesdb-unit-stem"
    assert {track.stems for track in prepared.load("moisesdb-unit-stem")} == {("bass", "drums", "vocals")}
    _, out, _ = run(capsys, "prepare", "moisesdb", root, "--json")
    assert json.loads(out)["name"] == "moisesdb"
    assert {len(track.stems) for track in prepared.load("moisesdb")} == {5}


def test_broken_files_are_printed_and_too_many_are_a_failure(capsys, tmp_path):
    root = skeletons.multitracks(tmp_path / "songs")
    (root / "one" / "bass.wav").write_bytes(b"")
    code, out, _ = run(capsys, "prepare", "folder", root)
    assert code == 0
    assert out.splitlines()[0] == f"problem: {root / 'one' / 'bass.wav'}: is empty"
    (root / "two" / "bass.wav").write_bytes(b"")
    (root / "two" / "keys.wav").write_bytes(b"")
    (tmp_path / "cache" / "datasets" / "folder-songs" / "tracks" / "two.json").unlink()
    code, out, err = run(capsys, "prepare", "folder", root)
    assert (code, out) == (1, "")
    assert "1 of 2 tracks" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "slack", "."], "'slack'"),
        (["prepare", "slakh2100", "nowhere"], "nowhere"),
        (["prepare", "slakh2100", ".", "--unit", "stem"], "'unit'"),
        (["prepare", "folder", "nowhere", "--jobs", "0"], "jobs=0"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, arguments, says):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_names_that_are_no_text_can_be_printed(capsys, tmp_path):
    root = skeletons.multitracks(tmp_path / "songs")
    odd = os.fsencode(root / "one") + b"/b\xff\nd.wav"
    with open(odd, "wb"):
        pass
    code, out, _ = run(capsys, "check", "folder", root)
    assert code == 1
    assert "b\\udcff\\nd.wav: is empty" in out
    code, _, _ = run(capsys, "prepare", "folder", root)
    assert code == 0
