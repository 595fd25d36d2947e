"""Rows of the ablation grid: poolings that are not the paper's, and the one search for every row's learning rates."""

import math
from dataclasses import dataclass

import pytest
import torch

from phalar.model.pooling import PartsPooling, SpectralPooling
from phalar.study import experiments
from phalar.train.config import TrainConfig


def features() -> torch.Tensor:
    """(B, channels, F, T) as a backbone would give them."""
    return torch.randn(3, 4, 5, 20, generator=torch.Generator().manual_seed(0))


def pooled(pooling: torch.nn.Module, twin: SpectralPooling | None = None) -> torch.Tensor:
    if twin is not None:
        pooling.load_state_dict(twin.state_dict())
    return pooling(features()).detach()


def test_the_constant_component_comes_first_and_is_the_mean():
    plain, more = SpectralPooling(20, 6, 3, scaling="none"), SpectralPooling(20, 6, 3, scaling="none", constant=True)
    without, with_constant = pooled(plain), pooled(more, plain)
    assert more.out_features == 6 * 4
    assert plain.out_features == 6 * 3
    split = with_constant.view(3, 6, 4)
    torch.testing.assert_close(split[..., 1:].flatten(1), without)
    projected = plain.project(features().permute(0, 3, 2, 1).flatten(2)).mean(dim=1)
    torch.testing.assert_close(split[..., 0].real, projected * math.sqrt(20), atol=1e-5, rtol=1e-5)
    assert split[..., 0].imag.abs().max() == 0


def test_scalings_differ_by_what_they_divide_by():
    raw = SpectralPooling(20, 6, 3, scaling="none")
    unscaled = pooled(raw).view(3, 6, 3)
    per_channel = pooled(SpectralPooling(20, 6, 3, scaling="channel"), raw).view(3, 6, 3)
    overall = pooled(SpectralPooling(20, 6, 3), raw).view(3, 6, 3)
    torch.testing.assert_close(per_channel.abs().mean(dim=2), torch.ones(3, 6), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(overall.abs().mean(dim=(1, 2)), torch.ones(3), atol=1e-4, rtol=1e-4)
    for scaled in (per_channel, overall):  # a scale is no turn
        torch.testing.assert_close(scaled.angle(), unscaled.angle())


def test_the_parts_are_the_real_and_the_imaginary_ones():
    whole, parts = SpectralPooling(20, 6, 3), PartsPooling(20, 6, 3)
    spectrum, sides = pooled(whole), pooled(parts, whole)
    assert parts.out_features == 36
    assert not sides.is_complex()
    torch.testing.assert_close(torch.view_as_complex(sides.view(3, 18, 2)), spectrum)


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


@pytest.mark.parametrize(
    ("valid", "rise"), [({2: 0.1, 4: 0.5, 6: 0.6}, 0.1), ({2: 0.5, 4: 0.4, 6: 0.3}, -0.2), ({6: 0.9}, None), ({}, None)]
)
def test_a_learning_curve_rises_late_by_what_its_last_third_added(valid, rise):
    history = [{"step": step, **({"valid": valid[step]} if step in valid else {})} for step in range(1, 7)]
    assert experiments.late_rise(history) == (None if rise is None else pytest.approx(rise))
