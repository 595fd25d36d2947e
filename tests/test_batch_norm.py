"""Running statistics without their beginning: against averages by hand, and out of training's way."""

import pytest
import torch
from torch import nn

from phalar.train.batch_norm import from_batches_alone


def batches(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [3 + 2 * torch.randn(64, 5, generator=generator) for _ in range(count)]


@pytest.mark.parametrize(("momentum", "count"), [(0.1, 3), (0.01, 36), (0.01, 1)])
def test_statistics_are_weighted_averages_of_the_batches(momentum, count):
    norm = nn.BatchNorm1d(5, momentum=momentum)
    seen = batches(count)
    for x in seen:
        norm(x)
    weights = torch.tensor([(1 - momentum) ** k for k in reversed(range(count))])
    weights /= weights.sum()
    mean = sum(w * x.mean(dim=0) for w, x in zip(weights, seen, strict=True))
    variance = sum(w * x.var(dim=0) for w, x in zip(weights, seen, strict=True))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with from_batches_alone(nn.Sequential(norm)):
        torch.testing.assert_close(norm.running_mean, mean, atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(norm.running_var, variance, atol=1e-3, rtol=1e-3)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_a_short_run_is_tested_as_it_was_trained():
    norm = nn.BatchNorm1d(5, momentum=0.01)
    for x in batches(20):
        norm(x)
    (x,) = batches(1, seed=9)
    trained = norm(x)
    norm.eval()
    plain = norm(x)
    with from_batches_alone(norm):
        unbiased = norm(x)
    assert (unbiased - trained).abs().mean() < 0.1 * (plain - trained).abs().mean()


def test_what_met_no_batch_or_keeps_no_averages_stays():
    for norm in (nn.BatchNorm1d(5), nn.BatchNorm1d(5, track_running_stats=False), nn.BatchNorm1d(5, momentum=None)):
        before = [t.clone() for t in norm.buffers()]
        with from_batches_alone(norm):
            assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))


def test_statistics_come_back_after_an_error():
    norm = nn.BatchNorm1d(5)
    norm(batches(1)[0])
    before = norm.running_mean.clone()
    with pytest.raises(RuntimeError), from_batches_alone(norm):
        raise RuntimeError
    assert torch.equal(norm.running_mean, before)
