"""Parameters and FLOPs: against counts made by hand."""

import math

import pytest
import torch

from phalar.evaluate import cost
from phalar.model.assembly import build
from phalar.model.frontend import LOW_OCTAVES, OCTAVES
from phalar.model.variants import VARIANTS


@pytest.fixture(scope="module")
def rows():
    return {row["variant"]: row for row in cost.model_rows()}


def test_every_variant_has_a_row(rows):
    assert list(rows) == list(VARIANTS)
    assert [rows[name]["parameters"] for name in ("phalar", "cocola")] == [2_293_104, 5_189_980]
    assert [rows[name]["parameters"] for name in ("mert-complex", "mert-real")] == [1_766_400, 918_528]
    assert all(row["flops_per_second"] > 1e8 for row in rows.values())


def test_the_transform_and_the_backbone_by_hand(rows):
    """Kernels' lengths times bins times frames; weights of each convolution times the places where it is computed."""
    model = build("phalar")
    kernels = [getattr(model.frontend.transform, f"kernels_{i}") for i in range(LOW_OCTAVES, OCTAVES)]
    size, steps = 8 * 16_000, 800  # 5 s and half a kernel at either end, in whole seconds
    transform = sum(2 * k.numel() * 501 for k in kernels) + 2.5 * size * math.log2(size)
    transform += LOW_OCTAVES * 12 * 5 * steps * math.log2(steps)
    steps, backbone = 501, 2 * 8 * 96 * 501
    for block in model.backbone.blocks:
        mixing = [block.frequency.mix, block.frequency.out, block.time.mix, block.time.out]
        mixing += [block.pointwise.mix, block.pointwise.out]
        backbone += 2 * sum(m.weight.numel() for m in mixing) * 96 * steps
        if block.widen is not None:
            steps = (steps + 1) // 2
            backbone += 2 * block.widen.weight.numel() * 96 * steps
    rest = 8 * (640 * 512 + 512 * 512) + 2 * 16 * 5760 * 80
    assert rows["phalar"]["flops_per_second"] * 5 == pytest.approx(transform + backbone + rest, rel=1e-3)


def test_the_stand_in_for_mert_costs_what_mert_costs(rows):
    pytest.importorskip("transformers", reason="the optional package transformers is not installed")
    from phalar.model.assembly import assemble
    from phalar.model.mert import Mert

    with torch.device("meta"):
        real = assemble(VARIANTS["mert-real"], Mert({}))
        stand_in = cost._HubertBase()
    assert sum(p.numel() for p in stand_in.parameters()) == sum(p.numel() for p in real.backbone.parameters())
    assert round(cost.count_flops(real) / 5) == rows["mert-real"]["flops_per_second"]
