"""Rows of the ablation grid: poolings that are not the paper's, and the one search for every row's learning rates."""

from dataclasses import dataclass

import pytest
import torch

from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.model.pooling import PartsPooling, SpectralPooling
from phalar.study import experiments, shipped
from phalar.train import loop
from phalar.train.config import TrainConfig


def pooled(pooling: torch.nn.Module, twin: SpectralPooling) -> torch.Tensor:
    """What a pooling with a twin's weights makes of (B, channels, F, T), as a backbone would give them."""
    pooling.load_state_dict(twin.state_dict())
    return pooling(torch.randn(3, 4, 5, 20, generator=torch.Generator().manual_seed(0))).detach()


def test_poolings_of_the_grid_differ_from_the_papers_by_what_their_rows_say():
    raw = SpectralPooling(20, 6, 3, scaling="none")
    unscaled = pooled(raw, raw).view(3, 6, 3)
    split = pooled(SpectralPooling(20, 6, 3, scaling="none", constant=True), raw).view(3, 6, 4)
    torch.testing.assert_close(split[..., 1:], unscaled)
    assert split[..., 0].imag.abs().max() == 0, "the constant component comes first and is real"
    per_channel = pooled(SpectralPooling(20, 6, 3, scaling="channel"), raw).view(3, 6, 3)
    overall = pooled(SpectralPooling(20, 6, 3), raw).view(3, 6, 3)
    torch.testing.assert_close(per_channel.abs().mean(dim=2), torch.ones(3, 6), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(overall.abs().mean(dim=(1, 2)), torch.ones(3), atol=1e-4, rtol=1e-4)
    for scaled in (per_channel, overall):  # a scale is no turn
        torch.testing.assert_close(scaled.angle(), unscaled.angle())
    sides = pooled(PartsPooling(20, 6, 3), raw)
    torch.testing.assert_close(torch.view_as_complex(sides.view(3, 6, 3, 2)), overall)


@dataclass
class Trained:
    """What a training would have given: the best rates are those nearest to ``muon_lr = 0.05``."""

    config: TrainConfig
    seconds: float = 1.0

    @property
    def best_valid(self) -> float:
        return 1 - abs(self.config.recipe.muon_lr - 0.05)


@pytest.mark.parametrize("variant", ["phalar", "gap", "cocola"])
def test_every_row_is_trained_with_the_rates_that_its_own_search_found_on_validation(monkeypatch, variant):
    asked = []
    monkeypatch.setattr(experiments.loop, "train", lambda config, *_, **__: asked.append(config) or Trained(config))
    row = experiments.SETTINGS | {"trained": ["chorales"], "search": [0.4, 1.0, 2.5], "search_steps": 7}
    row |= {"variant": variant, "seed": 3}
    plain = experiments.training(row).recipe
    final = experiments.train(row).config
    assert [(config.steps, config.seed) for config in asked] == 3 * [(7, experiments.SEARCH_SEED)] + [(40, 3)]
    for name in ("muon_lr", "vector_lr", "form_lr"):
        tried = [getattr(config.recipe, name) for config in asked]
        assert tried == pytest.approx([rate * getattr(plain, name) for rate in (0.4, 1.0, 2.5, 2.5)])
    assert final.recipe.target == plain.target
    found = {record.split: record.value for record in experiments.search_records(row, "a row")}
    assert max(found, key=found.get) == "valid, rates times 2.5"
    assert len(found) == 3
    asked.clear()
    assert experiments.train(row | {"search": []}).config == experiments.training(row)
    assert len(asked) == 1


def test_weights_that_ship_serve_for_just_the_training_they_came_from(monkeypatch, tmp_path):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "weights")
    row = experiments.SETTINGS | {"trained": ["chorales"], "search": [0.4, 2.5], "retrain": False}
    tried = {rate: Trained(experiments.training(row | {"rate": rate})) for rate in row["search"]}
    asked, model = experiments.training(row | {"rate": 2.5}), build("phalar", seed=3)
    checkpoints.save(model, tmp_path / loop.BEST)
    history = [{"step": 1, "pairs": 32, "valid": 0.25}]
    shipped.pack(loop.Run(tmp_path, asked, history, 0.25, 9.0), tried, "phalar", tmp_path / "weights")
    monkeypatch.setattr(loop, "train", lambda config, *_, **__: Trained(config))
    found = experiments.train(row)
    assert (found.config, found.history, found.best_valid, found.seconds) == (asked, history, 0.25, 9.0)
    for same in (row, row | {"seed": 1, "steps": 41}):  # one search serves every seed
        found_by = experiments.searches(same).values()
        assert [(type(run), run.best_valid) for run in found_by] == [(loop.Run, r.best_valid) for r in tried.values()]
    assert experiments.gained(found, row) == 0.25 - max(each.best_valid for each in tried.values())
    assert experiments.gained(found, row | {"search": []}) is None
    for mine, theirs in zip(found.model().state_dict().values(), model.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-6)
    for change in ({"steps": 41}, {"seed": 1}, {"search": [1.0]}, {"variant": "gap"}, {"retrain": True}):
        assert isinstance(experiments.train(row | change), Trained)
