"""Weights on disk: what is saved comes back bit for bit; what is not a checkpoint is refused, and nothing runs."""

import json
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import save_file

import phalar
from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.model.variants import PHALAR


def described(**changes) -> dict[str, str]:
    """The text of a checkpoint of PHALAR, with some of it changed."""
    row = {"name": "phalar", "differs": ""} | {k: v for k, v in changes.items() if k not in ("format", "notes")}
    return {"format": changes.get("format", "phalar-1"), "variant": json.dumps(row), "notes": "{}"}


@pytest.mark.parametrize("name", ["phalar", "gap", "cosine", "cocola"])
def test_round_trip_is_bit_exact(name, stirred, tmp_path):
    model = stirred(name)
    phalar.save(model, tmp_path / "m.safetensors", steps=3, corpora=["chorales"])
    again = phalar.load(tmp_path / "m.safetensors")
    assert (again.variant, type(again), again.training) == (model.variant, type(model), False)
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value), key
    assert checkpoints.notes(tmp_path / "m.safetensors") == {"steps": 3, "corpora": ["chorales"]}


def test_a_killed_write_leaves_the_old_file_whole(stirred, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    phalar.save(stirred("gap"), path)
    before = path.read_bytes()

    def interrupted(file, data):
        file.open("wb").write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        phalar.save(stirred("phalar"), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.safetensors"]


def refused(path, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        phalar.load(path)
    assert str(path) in str(caught.value)


SPOILED = [
    (lambda t: t.pop("head.norm.gain"), r"missing 'head\.norm\.gain'"),
    (lambda t: t.update(extra=torch.ones(1)), "unexpected 'extra'"),
    (lambda t: t.update({"form.W": t["form.W"][:, :5].clone()}), r"form\.W is torch\.complex64 \(512, 5\), not"),
    (lambda t: t.update({"head.norm.gain": torch.ones(512).int()}), r"head\.norm\.gain is torch\.int32"),
    (lambda t: t.update({"form.W": t["form.W"] * complex(0, float("nan"))}), r"form\.W has NaN or infinite"),
]
DESCRIBED = [
    ({"format": "phalar-1", "variant": "no json"}, "names no variant"),
    ({"format": "phalar-9", "variant": "{}"}, "this version reads 'phalar-1'"),
    (described(surprise=1), "names no variant"),
    (described(pooling="eval"), "pooling = 'eval' does not exist; choose from spectral"),
    (described(channels=10**12), "channels = 1000000000000 does not exist; choose from whole numbers"),
    (described(channels=8), r"is torch\.float32"),
    ({**described(), "backbone": "{}"}, "has its own backbone"),
    (described(frontend="24 kHz", backbone="mert"), "needs MERT's weights"),
]


@pytest.mark.parametrize(
    ("spoil", "metadata", "says"),
    [*((spoil, described(), says) for spoil, says in SPOILED), *((bool, text, says) for text, says in DESCRIBED)],
)
def test_tensors_and_texts_that_make_no_model_are_named_and_change_nothing(tmp_path, spoil, metadata, says):
    model = build("phalar", seed=0)
    spoil(tensors := dict(model.state_dict()))
    save_file(tensors, tmp_path / "m.safetensors", metadata)
    refused(tmp_path / "m.safetensors", says)
    if spoil is not bool:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(InputError):
            checkpoints.fill(model, tensors, "here")
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    header = b'{"w":{"dtype":"F32","shape":[750000000],"data_offsets":[0,3000000000]}}'
    large = [struct.pack("<Q", 1 << 40) + b"{}", struct.pack("<Q", len(header)) + header + b"\0" * 4]
    for content in (b"", b"hello", pickle.dumps({"w": 1}), b"PK\x03\x04" + b"\0" * 100, *large):
        path.write_bytes(content)
        refused(path, "not a readable safetensors file")


def test_reference_loads_or_says_how_to_make_one(monkeypatch, tmp_path):
    assert phalar.load("reference").variant == PHALAR
    monkeypatch.setattr(checkpoints, "REFERENCE_FILE", tmp_path / "none.safetensors")
    with pytest.raises(InputError, match="phalar train"):
        phalar.load("reference")
