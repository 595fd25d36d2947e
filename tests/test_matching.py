"""Scores and rankings over recordings of any kind, and what unusable ones get."""

import json

import numpy as np
import pytest
import soxr
import torch

import phalar
from phalar import corpora, matching
from phalar.errors import InputError, PhalarWarning, SilentAudioWarning
from phalar.evaluate import retrieval
from phalar.matching import Match, rank, resolve_model, score
from phalar.model import checkpoints
from phalar.model.variants import VARIANTS
from phalar.study import experiments
from phalar.train import loop
from phalar.train.config import config

RATE = 16_000


@pytest.fixture(scope="module")
def model(stirred):
    return stirred("phalar")


def clip(music, seconds, seed=0):
    return music(1, seconds, seed)[0].numpy(), RATE


def by_hand(model, mix, stem, windows, weights=None):
    """Mean of the scores of windows in seconds, one at a time."""
    cuts = [slice(round(a * RATE), round(b * RATE)) for a, b in windows]
    scores = [model.similarity(model.embed(mix[0][c], RATE), model.embed(stem[0][c], RATE)).item() for c in cuts]
    return np.average(scores, weights=weights)


def test_a_window_counts_by_what_it_adds(model, music):
    """10.01 s and 10 s are all but the same recording. The last two windows of the first overlap all but 10 ms."""
    (mix, _), (stem, _) = clip(music, 12), clip(music, 12, 1)
    mix = mix.copy()
    mix[5 * RATE : 10 * RATE + 200] *= np.linspace(1, 0.01, 5 * RATE + 200)
    longer = round(10.01 * RATE)
    expected = by_hand(model, (mix, RATE), (stem, RATE), [(0, 5), (5, 10)])
    assert score((mix[:longer], RATE), (stem[:longer], RATE), model) == pytest.approx(expected, abs=2e-3)
    quiet = mix.copy()
    quiet[5 * RATE : 10 * RATE] = 0  # what is not heard covers nothing: the last window then counts in full
    found = score((quiet[: 11 * RATE], RATE), (stem[: 11 * RATE], RATE), model)
    assert found == pytest.approx(by_hand(model, (quiet, RATE), (stem, RATE), [(0, 5), (6, 11)], [5, 5]), abs=1e-4)


@pytest.mark.parametrize(
    ("silent", "windows", "weights"), [((0, 0), [(0, 5), (5, 10), (7, 12)], [5, 5, 2]), ((5, 7), [(5, 10)], [5])]
)
def test_a_score_is_the_mean_of_the_windows_in_which_both_sound(model, music, silent, windows, weights):
    (mix, _), (stem, _) = clip(music, 12), clip(music, 14, 1)
    mix, stem = mix.copy(), stem.copy()
    stem[: silent[0] * RATE] = 0
    mix[silent[1] * RATE or len(mix) :] = 0
    expected = by_hand(model, (mix, RATE), (stem, RATE), windows, weights)
    assert score((mix, RATE), (stem, RATE), model) == pytest.approx(expected, abs=1e-4)
    assert score((stem, RATE), (mix, RATE), model) == pytest.approx(expected, abs=1e-4)  # over what both have
    assert [w[:2] for w in rank((mix, RATE), [(stem, RATE)], model)[0].windows] == windows


def test_never_heard_together_is_zero_and_said(model, music):
    mix, silence = clip(music, 3), (np.zeros(3 * RATE, np.float32), RATE)
    with pytest.warns(SilentAudioWarning, match="never sound together; the score is 0"):
        assert score(silence, mix, model) == 0.0
    with pytest.warns(SilentAudioWarning, match="stem 1 never sound together"):
        ranking = rank(mix, [mix, silence], model)
    assert [len(m.windows) for m in sorted(ranking, key=lambda m: m.index)] == [1, 0]
    assert next(m for m in ranking if m.index == 1).score == 0.0


def test_files_rates_and_channels(model, music, wav):
    """The same music as a 44.1 kHz stereo file, as 16-bit samples at 48 kHz, and as it is."""
    mix, stem = clip(music, 3), clip(music, 3, 1)
    expected = score(mix, stem, model)
    high = soxr.resample(stem[0], RATE, 44_100)
    stereo = wav("stereo.wav", np.stack([high * 1.2, high * 0.8]), 44_100)
    pcm = np.round(soxr.resample(mix[0], RATE, 48_000) * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    assert score((pcm, 48_000), str(stereo), model) == pytest.approx(expected, abs=0.02)
    assert score(wav("mix.wav", mix[0]), (torch.from_numpy(stem[0]), RATE), model) == pytest.approx(expected, abs=1e-5)


def test_a_ranking_is_the_scores_in_order_to_the_last_bit(model, music, capsys):
    """Whatever a stem is ranked with. From nine stems on a bar is shown, on standard error."""
    mix = clip(music, 12)
    stems = [clip(music, seconds, seed) for seed, seconds in enumerate((3, 12, 7, 11, 2, 2, 2, 13, 5.5), start=1)]
    ranking = rank(mix, stems, model)
    assert [m.score for m in ranking] == sorted((score(mix, stem, model) for stem in stems), reverse=True)
    assert all(match.name == f"stem {match.index}" for match in ranking)
    assert sorted(m.index for m in ranking) == list(range(9))
    assert {m.index: len(m.windows) for m in ranking}[7] == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert "rank stems" in err
    rank(mix, stems[:2], model)
    assert not capsys.readouterr().err


def test_a_score_says_what_share_of_mismatched_test_pairs_it_exceeds_and_whose_it_is(music):
    """For the weights that ship alone: their table is of these very weights."""
    mix = clip(music, 3)
    found = sorted(score(mix, clip(music, 3, seed), "reference") for seed in range(3))
    assert [s.percentile for s in found] == sorted(s.percentile for s in found)
    assert all(0 <= s.percentile <= 100 and s.weights.startswith("reference ") for s in found)
    other = score(mix, mix, "gap")
    assert other.percentile is None
    assert other.weights.startswith("gap ")


def test_shipping_weights_makes_the_table_of_their_mismatched_pairs(model, tmp_path, monkeypatch):
    made = config("phalar", ["chorales"], start="reference")
    (tmp_path / loop.CONFIG).write_text(json.dumps(vars(made) | {"start_hash": made.start_hash}, default=str))
    (tmp_path / loop.DONE).write_text('{"seconds": 1, "history": [{"pairs": 8}]}')
    phalar.save(model, tmp_path / loop.BEST, steps=1, valid=0.5)
    for name, value in {"corpora": ["chorales"], "limit": 3, "draws": 1}.items():
        monkeypatch.setitem(experiments.SETTINGS, name, value)
    target = tmp_path / "weights" / "reference.safetensors"
    assert experiments.ship(tmp_path, target)["before"] == checkpoints.notes("reference")
    monkeypatch.setattr(matching, "MISMATCHED", target.with_suffix(".json"))
    waves = [each for _, each in retrieval.cut_pairs(corpora.load("chorales", "test", limit=3), 0)]
    pairs = [(a, b) for a in range(3) for b in range(3) if a != b]
    scores = [score((waves[a][0], RATE), (waves[b][1], RATE), target) for a, b in pairs]
    assert [s.percentile for s in sorted(scores)] == pytest.approx([0, 20, 40, 60, 80, 100], abs=1)


def test_what_cannot_be_scored_is_refused_and_ranked_last(model, music, wav, tmp_path):
    mix, good, bad = clip(music, 3), wav("good.wav", clip(music, 3, 1)[0]), tmp_path / "bad.wav"
    bad.write_text("no sound")
    for stem, says in (
        ((np.zeros(31_000, np.float32), RATE), "1.94 s long"),
        ("none.wav", "no such file"),
        (None, "neither a path nor a pair"),
        (bad, r"bad\.wav: cannot be read as audio"),
    ):
        for a, b in ((mix, stem), (stem, mix)):
            with pytest.raises(InputError, match=says):
                score(a, b, model)
        with pytest.raises(InputError, match=says):
            rank(stem, [mix], model)
        with pytest.warns(PhalarWarning, match=f"left out of the ranking: .*{says}"):
            ranking = rank(mix, [stem, good], model)
        assert ranking[0].name == str(good)
        assert ranking[1] == Match(
            str(stem) if stem in ("none.wav", bad) else "stem 0", 0, None, (), ranking[1].problem
        )


def test_models_by_name(model, stirred, tmp_path):
    assert resolve_model(model) is model
    untrained = resolve_model("gap")
    assert (untrained.variant.name, untrained.training) == ("gap", False)
    assert torch.equal(untrained.form.W, resolve_model("gap").form.W)
    phalar.save(stirred("magnitude"), tmp_path / "m.safetensors")
    assert resolve_model(str(tmp_path / "m.safetensors")).variant.name == "magnitude"
    choices = r"no such checkpoint or variant; give 'reference', .* or one of " + ", ".join(VARIANTS)
    for name in ("resnet", "", None, 3, ["phalar"]):
        with pytest.raises(InputError, match=choices):
            resolve_model(name)
