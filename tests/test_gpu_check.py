"""What can be known of the GPU's check without a GPU: it says so, and what it measures it measures right."""

from pathlib import Path

import pytest
import torch
from test_train import sliver

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.backbone import HarmonicBackbone
from phalar.study import gpu_check, training_cost
from phalar.train import loop

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model():
    return gpu_check.at_work(build("phalar", seed=0))


@pytest.fixture
def pairs(music):
    return torch.stack([music(3, seed=1), music(3, seed=1).roll(500, -1)])


def test_without_a_gpu_there_is_one_line_and_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main() == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "no GPU is at hand" in err


def test_errors_of_precision_are_seen_and_those_of_bfloat16_are_small(model, pairs, monkeypatch):
    monkeypatch.setattr(HarmonicBackbone, "compile", lambda self, dynamic: None)
    errors = gpu_check.agreement(model, pairs)
    assert errors["float32"] == 0, "here, device and reference are one"
    assert 1e-4 < errors["bfloat16"] < 0.1
    assert errors["compiled"] == 0


def test_a_compiler_that_computes_something_else_is_seen(model, pairs, monkeypatch):
    monkeypatch.setattr(HarmonicBackbone, "compile", lambda self, dynamic: self.blocks[3].time.mix.bias.data.add_(0.1))
    before = [weight.clone() for weight in model.parameters()]
    assert gpu_check.agreement(model, pairs)["compiled"] > 1e-3
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), "the model is left alone"


def test_pooling_works_in_single_precision_on_a_backbone_in_bfloat16(model, pairs):
    with torch.no_grad():
        picture = model.picture(pairs[0])
        exact = model.pooling(model.backbone(picture))
        with torch.autocast("cpu", torch.bfloat16):
            features = model.backbone(picture)
            rounded = model.pooling(features)
    assert features.dtype == torch.bfloat16
    assert rounded.dtype == torch.complex64
    assert torch.linalg.vector_norm(rounded - exact) < 0.05 * torch.linalg.vector_norm(exact)
    assert torch.equal(rounded, model.pooling(features)), "autocast makes no difference to it"


def test_a_session_is_timed_with_its_share_of_the_bandwidth(monkeypatch):
    monkeypatch.setattr(gpu_check, "WARM_UP", 1)
    monkeypatch.setattr(gpu_check, "STEPS", 2)
    session = loop._Session(sliver(steps=9, preset="published"), Path(), CPU, progress=False)
    found = gpu_check.timed(session, bandwidth=1e12)
    assert session.step == 3
    assert found["pairs_per_second"] == pytest.approx(4 / found["step_ms"] * 1000)
    assert found["peak_gigabytes"] is None
    bytes_moved = training_cost.bytes_in_bfloat16(training_cost.counted(4, 2.0))
    assert found["bandwidth_share"] == pytest.approx(bytes_moved / 1e12 / found["step_ms"] * 1000)


def test_bfloat16_halves_the_backbones_bytes_and_no_others():
    rows = training_cost.counted(2, 2.0)
    backbone = sum(row.plain_bytes for row in rows if row.name.startswith("backbone"))
    whole = sum(row.plain_bytes for row in rows)
    assert training_cost.bytes_in_bfloat16(rows) == pytest.approx(whole - backbone / 2)


def test_a_path_that_fails_costs_its_own_numbers_only():
    def broken():
        raise RuntimeError("no\ncompiler")

    assert gpu_check.attempted(broken) == {"error": "RuntimeError: no compiler"}
    assert gpu_check.attempted(lambda: {"a": 1}) == {"a": 1}


def test_a_copy_takes_time():
    assert 1e6 < gpu_check.copied_bytes_a_second(CPU, values=2**20, repeats=2) < 1e13


def test_the_check_itself_refuses(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="run this on a machine that has one"):
        gpu_check.check()


@pytest.mark.gpu
def test_on_a_gpu_it_measures_everything():
    found = gpu_check.check()
    assert found["recipe"]["pairs_per_second"] > 0
    assert found["recipe"]["peak_gigabytes"] < found["targets"]["peak_gigabytes"]
    assert found["errors"]["float32"] < 0.01
    assert found["errors"]["bfloat16"] < 0.1
    assert "error" not in found["compiled"]
