"""The benchmarks compare like with like: references and rivals compute what ours computes, from the same sound. And
every variant's parameters."""

import pytest
import torch
from music import invent_track

from phalar import bench, corpora
from phalar.errors import InputError
from phalar.model.assembly import build, parameters
from phalar.model.variants import VARIANTS


def test_the_plain_step_has_our_loss_and_gradient_with_the_same_dropout_and_weights_of_its_own(music):
    model = build("phalar", seed=0).train()
    torch.manual_seed(0)
    for branch in (m for m in model.modules() if hasattr(m, "scale")):
        torch.nn.init.normal_(branch.scale, 0, 0.1)  # it starts at zero
    waves = torch.stack([music(3, seed=1), music(3, seed=1).roll(500, -1)])
    assert bench.largest_error(model, bench.plain_twin(model), waves) < 1e-4
    assert 1e-5 < bench.largest_error(model, bench.plain_twin(model, torch.bfloat16), waves) < 0.1
    other = bench.plain_twin(model)
    with torch.no_grad():
        other.backbone.blocks[3].time.mix.bias += 0.1
    assert bench.largest_error(model, other, waves) > 1e-3, "or the comparison says nothing, or weights are shared"


@pytest.fixture
def small(monkeypatch, tmp_path):
    sizes = {"BATCH": 4, "SECONDS": 2.0, "STEPS": 1, "REFERENCE_STEPS": 1, "CLIPS": 2, "PIECES": 2}
    for name, value in (sizes | {"EXCERPTS": 4}).items():
        monkeypatch.setattr(bench, name, value)
    made = [invent_track(tmp_path, i, stems=4, seconds=12.0) for i in range(4)]
    monkeypatch.setattr(corpora, "load", lambda *_, limit=4, **__: made[:limit])


def test_the_store_is_faster_than_decoding_and_gives_the_same(small):
    result = bench.run("data")
    assert result["ratio"] == pytest.approx(result["ours"] / result["reference"])
    assert result["ratio"] > 10
    assert result["max_relative_error"] < 0.05, "but for what a resampler takes from sharp attacks"


def test_embedding_is_compared_with_plain_layers_on_a_named_processor(small, tmp_path):
    result = bench.run("encode")
    assert result["ratio"] == result["ours"] / result["reference"]
    assert result["max_relative_error"] < 1e-4
    assert result["processor"]
    with pytest.raises(InputError, match="'gpu'; there are cqt, encode, train, data"):
        bench.run("gpu")


def test_training_has_a_reference_and_fair_rivals(small, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("no\ncompiler")

    monkeypatch.setattr(torch, "compile", broken)  # it takes minutes
    result = bench.run("train")
    assert result["ratio"] == result["ours"] / result["reference"] > 0
    assert result["unit"] == "pairs per second"
    assert result["max_relative_error"] < 1e-3
    assert result["rivals"]["eager bfloat16"] > 0
    assert result["rivals"]["compiled bfloat16"] == "RuntimeError: no compiler"


def test_every_variant_has_a_row_with_its_parameters():
    rows = parameters()
    assert list(rows) == list(VARIANTS)
    assert [rows[name] for name in ("phalar", "cocola")] == [2_293_104, 5_189_980]
    assert [rows[name] for name in ("mert-complex", "mert-real")] == [1_766_400, 918_528]
