"""The command line: exit codes, one clear line for bad input, JSON and nothing else on standard output."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from phalar.cli import main
from phalar.study import experiments
from phalar.study.run import study

RATE = 16_000


@pytest.fixture(scope="module")
def clips(wav):
    """Paths of a few recordings, good and bad."""
    rng = np.random.default_rng(0)
    sound, stereo = 0.1 * rng.standard_normal(3 * RATE), 0.1 * rng.standard_normal((2, 3 * 44_100))
    made = {"mix": sound, "silent": 0 * sound, "short": sound[:RATE], "nan": np.full(3 * RATE, np.nan)}
    paths = {name: str(wav(f"{name}.wav", samples)) for name, samples in made.items()}
    return paths | {
        "stereo": str(wav("stereo.wav", stereo, 44_100)),
        "text": __file__,
        "code": str(Path(__file__).parent),
    }


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.filterwarnings("default::phalar.errors.PhalarWarning")
def test_scores_are_numbers_and_a_ranking_puts_the_best_first_and_the_unreadable_last(capsys, clips):
    mix, stereo, text, model = clips["mix"], clips["stereo"], clips["text"], ("--model", "phalar")
    value = float(run(capsys, "score", mix, stereo, *model)[1].split()[0])
    code, out, err = run(capsys, "rank", mix, stereo, text, mix, *model, "--json")
    assert code == 0
    ranking = json.loads(out)["ranking"]
    assert ranking[-1]["score"] is None
    assert ranking[0]["score"] >= ranking[1]["score"]
    assert value == pytest.approx(next(each["score"] for each in ranking if each["index"] == 0), abs=1e-3)
    assert "test_cli.py" in err
    code, out, err = run(capsys, "score", clips["mix"], clips["silent"], "--model", "phalar")
    assert (code, float(out.split()[0])) == (0, 0.0)
    assert "silent" in err
    code, out, _ = run(capsys, "score", mix, stereo, "--json")
    found = json.loads(out)
    assert found["weights"].startswith("reference ")
    assert f"above {found['percentile']:.1f} % of mismatched pairs" in run(capsys, "score", mix, stereo)[1]
    ranked = json.loads(run(capsys, "rank", mix, text, stereo, "--json")[1])["ranking"]
    assert ranked[0]["percentile"] == found["percentile"]


def test_a_folder_of_stems_is_ranked_and_drawn(capsys, clips, tmp_path):
    for name in ("mix", "stereo"):
        shutil.copy(clips[name], tmp_path)
    (tmp_path / "notes.txt").write_text("no sound")
    picture = tmp_path / "fits.svg"
    _, out, _ = run(capsys, "rank", clips["mix"], tmp_path, "--model", "phalar", "--plot", picture, "--json")
    assert {Path(each["name"]).name for each in json.loads(out)["ranking"]} == {"mix.wav", "stereo.wav"}
    assert picture.read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("score {mix} {short} --model phalar", "{short}"),
        ("score {mix} {nan} --model phalar", "{nan}"),
        ("score {mix} missing.wav --model phalar", "missing.wav"),
        ("rank {mix} {mix} --plot fits.doc", "fits.doc"),
        ("rank {mix} {code}", "{code} holds no .wav"),
        ("train phalar --corpus chorals --out x", "'chorals'"),
        ("train phalar --corpus chorales --preset quick --out x", "'quick'"),
        ("evaluate retrieval --model nowhere.safetensors --corpus chorales", "nowhere.safetensors"),
        ("evaluate retrieval --model CLAP --corpus chorales", "CLAP needs weights"),
        ("study run --profile lapdog", "'lapdog'"),
        ("bench fft", "'fft'"),
        ("render bands", "'bands'"),
        ("convert nowhere.ckpt out.safetensors", "nowhere.ckpt"),
        ("evaluate beats --model phalar", "either the corpus"),
        ("evaluate beats --model phalar --corpus band", "'band' is not for"),
        ("evaluate chords --corpus comping band", "unexpected extra argument (band)"),
        ("evaluate retrieval --corpus chorales --limit 2 --k 1 2 --draws 0", "draws = 0"),
        ("study pack nosuch", "no row 'nosuch'"),
        ("evaluate beats --model phalar --gtzan nowhere", "--annotations"),
        ("evaluate beats --model phalar --gtzan nowhere --annotations nowhere", "nowhere"),
        ("evaluate beats --model phalar --corpus beats --limit -2", "limit=-2"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_code_2(capsys, clips, words, says):
    code, out, err = run(capsys, *words.format(**clips).split())
    assert (code, out) == (2, "")
    assert err.startswith("phalar: error: ")
    assert says.format(**clips) in err
    assert len(err.strip().splitlines()) == 1


def test_one_cell_alone_is_a_run_of_its_own(monkeypatch, capsys):
    """So another seed of one row moves no number, and no verdict, of the profile's own run."""
    made = []
    monkeypatch.setattr(experiments.corpora, "pieces", lambda *_: ["a piece"])
    monkeypatch.setattr(experiments.Job, "run", lambda job, target: made.append((job, target)) or [])
    assert run(capsys, "study", "cell", "gap", "--profile", "smoke", "--seed", "1", "--steps", "9")[0] == 0
    ((job, target),) = made
    assert (list(job.rows), job.training.seed, job.training.steps) == (["gap"], 1, 9)
    assert target.parent.parent == study("smoke").folder.parent
    assert target != study("smoke").records


def test_training_and_evaluation_from_the_shell(tmp_path, capsys):
    """By the real entry point, in a process of its own: standard output is one JSON object."""
    sizes = "--steps 2 --batch-size 2 --seconds 2 2 --limit 2"
    words = f"-m phalar train gap --corpus chorales --out {tmp_path / 'run'} {sizes} --json"
    trained = subprocess.run([sys.executable, *words.split()], capture_output=True, text=True, check=True)
    assert "pairs/s" in trained.stderr
    words = f"--model {json.loads(trained.stdout)['checkpoint']} --corpus chorales --k 1 2 --limit 2 --draws 1 --json"
    tested = json.loads(run(capsys, "evaluate", "retrieval", *words.split())[1])["records"]
    assert [(r["k"], r["metric"]) for r in tested] == [(1, "top1"), (2, "top1")]
    assert all(0 <= r["ci_low"] <= r["value"] <= r["ci_high"] <= 1 for r in tested)
