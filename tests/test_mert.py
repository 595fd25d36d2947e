"""The MERT variants on tiny random HuBERTs on disk: the real loading path, and nothing from the folder runs."""

import json
import sys

import pytest
import torch
from music import HUBERT

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.mert import Resampled, load_mert

transformers = pytest.importorskip("transformers", reason="the optional package transformers is not installed")


@pytest.fixture(scope="module")
def hubert():
    torch.manual_seed(0)
    return transformers.HubertModel(transformers.HubertConfig(**HUBERT)).eval()


@pytest.fixture
def folder(hubert, tmp_path):
    """As MERT is published: its own model type, and code that would have to be run."""
    hubert.save_pretrained(tmp_path)
    own = {"model_type": "mert_model", "sample_rate": 24_000, "deepnorm": False, "feature_extractor_cqt": False}
    change(tmp_path, **own, auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"})
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nraise SystemExit\n")
    return tmp_path


def change(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


@pytest.mark.parametrize("name", ["mert-complex", "mert-real"])
def test_the_whole_path(name, folder, hubert, music):
    model = build(name, backbone=folder, seed=0).eval()
    audio = music(3, 2.5)
    z = model.embed(audio, 16_000)
    assert z.dtype == (torch.complex64 if name == "mert-complex" else torch.float32)
    assert (z[:1] - model.embed(audio[0], 16_000)).abs().max() <= 1e-5 * z.abs().max()
    assert (z[0] - z[1]).abs().max() > 1e-3 * z.abs().max()
    with torch.no_grad():  # what it is made of, one by one
        features = hubert(Resampled()(audio)).last_hidden_state.mT
        torch.testing.assert_close(model.backbone(model.frontend(audio))[:, :, 0], features, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(z, model.head(model.pooling(features[:, :, None])), rtol=1e-3, atol=1e-4)
    assert not (folder / "ran").exists()
    assert "evil" not in sys.modules
    model.train().form(*model(music(2), music(2, seed=1))).diagonal().sum().backward()  # MERT stays frozen
    assert not any(module.training for module in model.backbone.modules())
    assert all(p.grad is None and not p.requires_grad for p in model.backbone.parameters())
    assert all(p.grad is not None for part in (model.pooling, model.head, model.form) for p in part.parameters())
    with pytest.raises(InputError, match=f"'{name}' needs MERT's weights: build.*m-a-p/MERT-v1-95M"):
        build(name)


def test_weights_as_they_are_published(folder, hubert):
    """By torch, in half precision, under the names of older versions."""
    expected = load_mert(folder).state_dict()
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    names = {k: next((k.replace(a, b) for a, b in old.items() if a in k), k) for k in hubert.state_dict()}
    assert "encoder.pos_conv_embed.conv.weight_g" in names.values()
    (folder / "model.safetensors").unlink()
    torch.save({names[k]: v.half() for k, v in hubert.state_dict().items()}, folder / "pytorch_model.bin")
    again = load_mert(str(folder)).state_dict()
    assert expected.keys() == again.keys()
    assert all(torch.allclose(v, again[k], rtol=0, atol=1e-3) for k, v in expected.items())
    assert all(v.dtype == torch.float32 for v in again.values())


def test_what_is_not_mert_is_refused_and_nothing_runs(folder):
    class Bomb:
        def __reduce__(self):
            return open, (str(folder / "ran"), "w")

    def refused(says, source=folder):
        with pytest.raises(InputError, match=says):
            build("mert-real", backbone=source)

    published = json.loads((folder / "config.json").read_text())
    for name, value, says in (
        ("model_type", "bert", "model_type 'bert' is not MERT"),
        ("feature_extractor_cqt", True, "feature_extractor_cqt = True makes another model; only False"),
        ("hidden_size", 64, "'MERT'|is torch"),
        ("num_attention_heads", 5, "no HuBERT has MERT's settings"),
    ):
        change(folder, **published | {name: value})
        refused(says)
    change(folder, **published)
    refused("none: has neither", folder / "none")
    (folder / "model.safetensors").write_bytes(b"no")
    refused("not a readable safetensors file")
    (folder / "model.safetensors").unlink()
    refused(r"has neither model\.safetensors nor pytorch_model\.bin")
    (folder / "pytorch_model.bin").write_bytes(b"no")
    refused("is not a whole zip archive")
    torch.save({"masked_spec_embed": Bomb()}, folder / "pytorch_model.bin")
    refused(r"io\.open")
    assert not (folder / "ran").exists()
    (folder / "config.json").write_text("{")
    refused("not readable as JSON")
