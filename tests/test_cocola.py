"""COCOLA: what it shows its network, and what it leaves out in training."""

import pytest
import torch

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.cocola import Block, Cocola


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(stirred) -> Cocola:
    return stirred("cocola")


def test_drop_connect_drops_whole_items_and_keeps_the_mean(model):
    assert model.backbone.blocks[-2].drop == pytest.approx(0.2 * 14 / 16)  # the deepest with a residual
    torch.manual_seed(0)
    block, x = Block(32, 32, 3, 1, 2, drop=0.175).train(), noise(2000, 32, 1, 1)
    dropped = ((block(x) - x).flatten(1).abs().amax(1) < 1e-6).float().mean().item()
    assert dropped == pytest.approx(block.drop, abs=0.03)
    assert torch.equal(block.eval()(x), block(x))


@pytest.mark.parametrize(("mode", "hidden"), [("harmonic", 1), ("percussive", 0)])
def test_a_mode_hides_the_other_part(model, music, monkeypatch, mode, hidden):
    audio = music(2, 0.75)
    features = model.frontend(audio)
    features[:, hidden] = 0
    with torch.no_grad():
        both = model.encode(audio)
        monkeypatch.setattr(model, "mode", mode)
        assert torch.equal(model.encode(audio), model.encode_picture(features))
    assert not torch.allclose(both, model.encode(audio))
    monkeypatch.setattr(model, "mode", "loud")
    with pytest.raises(InputError, match="'loud'; choose from harmonic, percussive, both, random"):
        model.encode(audio)


def test_random_draws_in_training_only_and_both_sides_of_a_pair_show_the_same(monkeypatch):
    model = build("cocola")
    assert model.eval().draw_parts(50).all()
    torch.manual_seed(0)
    drawn = model.train().draw_parts(3000)
    assert drawn.any(dim=1).all()  # never neither
    for row in ((True, False), (False, True), (True, True)):
        assert (drawn == torch.tensor(row)).all(1).float().mean().item() == pytest.approx(1 / 3, abs=0.04)
    monkeypatch.setattr(Cocola, "draw_parts", lambda self, items: drawn[:items])
    pictures = noise(6, 2, 64, 32)
    assert torch.equal(model.shown(pictures), pictures * drawn[:3].repeat(2, 1)[:, :, None, None])
