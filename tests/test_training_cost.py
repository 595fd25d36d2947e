"""What a step costs: counts against counts made by hand."""

import pytest
import torch

from phalar.model import fused
from phalar.model.assembly import build
from phalar.model.backbone import ResidualBranch
from phalar.study import training_cost
from phalar.study.training_cost import ByteCounter, Row


@pytest.fixture(scope="module")
def rows():
    return {row.name: row for row in training_cost.counted(batch=2, seconds=5.0)}


def test_bytes_are_those_of_inputs_and_outputs_and_views_are_free():
    a, b = torch.zeros(10, 4), torch.zeros(4, 6)
    with ByteCounter() as moved:
        product = a.T.T @ b.view(4, 6)
        product.add_(1)
    assert moved.total == 4 * (40 + 24 + 60) + 4 * (60 + 60)


def test_a_part_costs_three_times_its_forward_pass(rows):
    """The backward pass of a convolution is two more of its size; the first one of all needs one only."""
    backbone, steps, clips = build("phalar").backbone, 501, 4
    for stage in range(5):
        forward = 0
        for block in backbone.blocks[2 * stage : 2 * stage + 2]:
            branches = (block.frequency, block.time, block.pointwise)
            forward += sum(2 * w.weight.numel() for branch in branches for w in (branch.mix, branch.out)) * 96 * steps
            if block.widen is not None:
                steps = (steps + 1) // 2
                forward += 2 * block.widen.weight.numel() * 96 * steps
        stem = 2 * 2 * 8 * 96 * 501 if stage == 0 else 0
        assert rows[f"backbone, stage {stage + 1}"].flops == clips * (3 * forward + stem)


def test_plain_branches_move_many_times_as_much(rows):
    branch = ResidualBranch(8, 8, (3, 1), 0.1).to("meta")
    x = torch.empty(1, 8, 96, 501, device="meta", requires_grad=True)
    with ByteCounter() as moved:
        branch(x).backward(torch.ones_like(x))
    assert 36 <= moved.total / (4 * x.numel()) < 40  # the page's count, and small things
    for row in rows.values():
        if row.name.startswith("backbone"):
            assert 10 < row.plain_bytes / row.our_bytes < 36 / training_cost.FUSED_PASSES
        else:
            assert row.plain_bytes == row.our_bytes


@pytest.mark.skipif(fused.library() is None, reason="no C compiler here: the plain path keeps other pictures")
def test_what_is_moved_is_what_is_kept_for_the_way_back():
    backbone, kept = build("phalar").backbone.train(), {}

    def note(tensor):
        if tensor.ndim == 4 and tensor.shape[1] > 1 and tensor.shape[2] == 96:  # pictures, after the first layer
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        y = backbone(torch.zeros(2, 96, 70))
    steps, counted = 70, 0
    for stage in range(5):
        counted += training_cost.fused_bytes(stage, 2, steps)
        steps = (steps + 1) // 2
    assert y.shape[-1] == steps
    assert counted == 4 * training_cost.FUSED_PASSES * sum(kept.values())


def test_costs_grow_with_the_batch_but_the_optimisers_do_not(rows):
    twice = {row.name: row for row in training_cost.counted(batch=4, seconds=5.0)}
    for name, row in rows.items():
        same = name in ("Muon", "Adam")
        if name != "form and loss":  # scores grow with the square
            assert twice[name].flops == pytest.approx(row.flops * (1 if same else 2), rel=1e-6)


def test_every_part_is_run_and_shown(monkeypatch):
    monkeypatch.setattr(training_cost, "fastest", lambda part: part() is None or 0.5)
    rows = training_cost.measured(batch=2, seconds=2.0)
    assert [row.name for row in rows] == [row.name for row in training_cost.counted(batch=2, seconds=2.0)]
    assert all(row.seconds > 0 for row in rows)
    text = training_cost.markdown(rows, 1e11, 1e10)
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(rows) + 1
    assert "in balance at 10 FLOP per byte" in text


def test_the_sum_is_the_last_row():
    text = training_cost.markdown(
        [Row("backbone", 10**9, 10**8, 10**7, 0.003), Row("rest", 0, 10**8, 10**8, 0.001)], 1, 1
    )
    assert "| backbone | 1.0 | 100 | 10 | 10.0 | 100.0 | 3 | 75 % |" in text
    assert "| a step | 1.0 | 200 | 110 | 5.0 | 9.1 | 4 | 100 % |" in text
