"""The command line: exit codes, one clear line for bad input, JSON and nothing else on standard output."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from phalar.cli import main

RATE = 16_000


@pytest.fixture
def clips(tmp_path):
    """Paths of a few recordings, good and bad."""
    rng = np.random.default_rng(0)
    sound = 0.1 * rng.standard_normal(3 * RATE)
    made = {
        "mix": (sound, RATE),
        "stereo": (0.1 * rng.standard_normal((3 * 44_100, 2)), 44_100),
        "silent": (np.zeros(3 * RATE), RATE),
        "short": (sound[:RATE], RATE),
        "empty": (sound[:0], RATE),
    }
    paths = {}
    for name, (samples, rate) in made.items():
        paths[name] = str(tmp_path / f"{name}.wav")
        soundfile.write(paths[name], samples, rate)
    holes = sound.copy()
    holes[5] = np.nan
    paths["nan"] = str(tmp_path / "nan.wav")
    soundfile.write(paths["nan"], holes, RATE, subtype="FLOAT")
    paths["text"] = str(tmp_path / "text.wav")
    (tmp_path / "text.wav").write_text("this is no sound")
    paths["missing"] = str(tmp_path / "missing.wav")
    return paths


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_score_is_one_number_and_json_is_one_object(capsys, clips):
    code, out, _ = run(capsys, "score", clips["mix"], clips["stereo"], "--model", "phalar")
    assert code == 0
    value = float(out)
    code, out, _ = run(capsys, "score", clips["mix"], clips["stereo"], "--model", "phalar", "--json")
    assert code == 0
    assert json.loads(out)["score"] == pytest.approx(value, abs=1e-3)


@pytest.mark.filterwarnings("default::phalar.errors.PhalarWarning")
def test_a_ranking_puts_the_best_first_and_the_unreadable_last(capsys, clips):
    stems = [clips[name] for name in ("stereo", "text", "mix")]
    code, out, err = run(capsys, "rank", clips["mix"], *stems, "--model", "phalar", "--json")
    assert code == 0
    ranking = json.loads(out)["ranking"]
    assert ranking[-1]["score"] is None
    assert ranking[0]["score"] >= ranking[1]["score"]
    assert "text.wav" in err


@pytest.mark.parametrize("bad", ["short", "empty", "nan", "text", "missing"])
def test_bad_audio_is_one_line_with_the_file_and_exit_code_2(capsys, clips, bad):
    code, out, err = run(capsys, "score", clips["mix"], clips[bad], "--model", "phalar")
    assert code == 2
    assert out == ""
    assert err.startswith("phalar: error: ")
    assert clips[bad] in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.filterwarnings("default::phalar.errors.PhalarWarning")
def test_a_silent_stem_scores_zero_with_a_warning(capsys, clips):
    code, out, err = run(capsys, "score", clips["mix"], clips["silent"], "--model", "phalar")
    assert (code, float(out)) == (0, 0.0)
    assert "silent" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train", "phallar", "--corpus", "chorales", "--out", "x"], "'phallar'"),
        (["train", "phalar", "--corpus", "chorals", "--out", "x"], "'chorals'"),
        (["train", "phalar", "--corpus", "chorales", "--preset", "quick", "--out", "x"], "'quick'"),
        (["evaluate", "retrieval", "--model", "nowhere.safetensors", "--corpus", "chorales"], "nowhere.safetensors"),
        (["study", "run", "--profile", "lapdog"], "'lapdog'"),
        (["bench", "fft"], "'fft'"),
        (["render", "bands"], "'bands'"),
        (["convert", "nowhere.ckpt", "out.safetensors"], "nowhere.ckpt"),
    ],
)
def test_unknown_names_are_one_line_and_exit_code_2(capsys, arguments, says):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_models_lists_the_registry_with_exact_counts(capsys):
    code, out, _ = run(capsys, "models", "--json")
    assert code == 0
    rows = {row["variant"]: row for row in json.loads(out)["models"]}
    assert rows["phalar"]["parameters"] == 2_293_104
    assert rows["gap"]["parameters"] == 684_400
    code, out, _ = run(capsys, "models")
    assert "2,293,104" in out


def test_the_transform_is_measured_beside_its_reference(capsys):
    code, out, _ = run(capsys, "bench", "cqt", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["max_relative_error"] < 1e-5
    assert result["ratio"] == pytest.approx(result["ours"] / result["reference"])


def test_training_and_evaluation_from_the_shell(tmp_path):
    """The real entry point, in a process of its own: standard output is one JSON object."""
    command = [sys.executable, "-m", "phalar.cli"]
    settings = ["--steps", "2", "--batch-size", "4", "--seconds", "2", "2", "--limit", "4", "--json"]
    trained = subprocess.run(
        [*command, "train", "gap", "--corpus", "chorales", "--out", str(tmp_path / "run"), *settings],
        capture_output=True,
        text=True,
        check=True,
    )
    checkpoint = json.loads(trained.stdout)["checkpoint"]
    assert "pairs/s" in trained.stderr
    tested = subprocess.run(
        [*command, "evaluate", "retrieval", "--model", checkpoint, "--corpus", "chorales", "--k", "2", "4",
         "--limit", "4", "--draws", "1", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    records = json.loads(tested.stdout)["records"]
    assert [r["k"] for r in records] == [2, 4]
    assert {r["metric"] for r in records} == {"top1"}
    assert all(0 <= r["ci_low"] <= r["value"] <= r["ci_high"] <= 1 for r in records)


def test_chords_are_told_line_by_line_where_a_number_has_no_interval_too(monkeypatch, capsys):
    import pandas as pd

    from phalar import corpora
    from phalar.evaluate import chords
    from phalar.evaluate.statistics import Estimate

    found = {"accuracy": Estimate(0.5, 0.4, 0.6, 3), "outside_vocabulary": Estimate(0.1, n=3)}
    rows = [("phalar", "majmin", *pair) for pair in found.items()]
    table = pd.DataFrame(rows, columns=["variant", "split", "metric", "estimate"])
    monkeypatch.setattr(corpora, "load", lambda *_, **__: [])
    monkeypatch.setattr(chords, "evaluate", lambda *_, **__: table)
    assert main(["evaluate", "chords", "--corpus", "comping"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[-5:] == ["accuracy", "0.5", "0.4", "0.6", "3"]
    assert second.split()[-3:] == ["outside_vocabulary", "0.1", "3"]
    assert main(["evaluate", "chords", "--corpus", "comping", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)["records"]
    assert [(r["metric"], r["dataset"]) for r in records] == [
        ("accuracy", "comping"),
        ("outside_vocabulary", "comping"),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "either the corpus"),
        (["--corpus", "band"], "'band' is not"),
        (["--gtzan", "nowhere"], "--annotations"),
        (["--gtzan", "nowhere", "--annotations", "nowhere"], "nowhere"),
        (["--corpus", "beats", "--limit", "-2"], "limit=-2"),
    ],
)
def test_beats_that_cannot_be_tracked_are_refused(options, said, capsys):
    assert main(["evaluate", "beats", "--model", "phalar", *options]) == 2
    assert said in capsys.readouterr().err
