"""Poolings of the ablation grid that are not the paper's: each does exactly what it says."""

import math

import torch

from phalar.model.pooling import PartsPooling, SpectralPooling


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
