"""The compiled backbone computes what the plain one does: forward, gradients, odd shapes, any number of threads."""

import shutil

import pytest
import torch
import torch.nn.functional as F
from conftest import stir

from phalar.errors import PhalarWarning
from phalar.model import fused
from phalar.model.backbone import HarmonicBackbone

compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
pytestmark = pytest.mark.skipif(compiler is None, reason="no C compiler here: only the plain path exists")

# Items, channels, bins, steps: single ones, odd ones, one more and one less than what vectors and blocks hold.
SHAPES = [(2, 1, 3, 4), (1, 3, 1, 9), (3, 5, 7, 1), (2, 8, 5, 16), (1, 12, 6, 17), (2, 27, 4, 15), (1, 64, 5, 33)]
SHAPES += [(5, 18, 1, 2), (2, 7, 33, 65)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def branch_inputs(shape, kernel, hidden):
    items, channels = shape[:2]
    x = draw(*shape) * 3 + 1
    gamma, beta = 1 + 0.3 * draw(channels, seed=1), 0.3 * draw(channels, seed=2)
    w1, b1 = draw(hidden, channels, *kernel, seed=3) / channels**0.5, 0.3 * draw(hidden, seed=4)
    w2, gain = draw(channels, hidden, 1, 1, seed=5) / hidden**0.5, draw(items, channels, seed=6)
    gain[0, 0] = 0  # a channel that dropout left out
    return [x, gamma, beta, w1, b1, w2, gain]


def plain_branch(x, gamma, beta, w1, b1, w2, gain):
    """The definition, written out: no module, no group norm."""
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, unbiased=False)
    normed = (x - mean) / torch.sqrt(variance + 1e-5) * gamma[:, None, None] + beta[:, None, None]
    mixed = F.conv2d(normed, w1, b1, padding=(w1.shape[2] // 2, w1.shape[3] // 2))
    return x + gain[:, :, None, None] * F.conv2d(mixed * torch.sigmoid(mixed), w2)


def fused_link(x, *weights):
    return fused.chain(x, [weights])


def closest(ours, exact, relative, absolute=0.0):
    for mine, theirs in zip(ours, exact, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).abs().max() <= relative * theirs.abs().max() + absolute


def gradients(function, inputs, weight):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    out = function(*inputs)
    return [out, *torch.autograd.grad((out * weight.to(out)).sum(), inputs)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", [((3, 1), 1), ((1, 3), 1), ((1, 1), 2), 1, 9, 60], ids=str)
def test_a_link_and_its_gradients(shape, kind):
    """A branch, by its kernel and how much it widens, or a strided convolution, by its channels. Against double
    precision, so that the tolerance is about our rounding alone."""
    if isinstance(kind, int):
        inputs = [draw(*shape), draw(kind, shape[1], 1, 3, seed=1)]
        plain = lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=(0, 1))  # noqa: E731
    else:
        inputs, plain = branch_inputs(shape, kind[0], kind[1] * shape[1]), plain_branch
    weight = draw(*fused_link(*inputs).shape, seed=7)
    exact = gradients(plain, [t.double() for t in inputs], weight)
    closest(gradients(fused_link, inputs, weight), exact, 2e-4, 1e-5)


@pytest.mark.parametrize("before", ["branch", "strided convolution"])
def test_a_norm_sees_small_deviations_from_a_mean_that_the_link_before_moved_far(before):
    """Quiet sound is nearly a constant picture, and what is counted while it is written must not drown in its mean."""
    gamma, _, w1, b1, w2, gain = branch_inputs((2, 8, 96, 501), (1, 1), 8)[1:]
    constant = (1e-3 * gamma, torch.full((8,), 0.5), w1, b1, w2, 10 * gain)  # adds nearly the same everywhere
    first = constant if before == "branch" else (5 + draw(8, 8, 1, 3, seed=9),)
    second = (gamma, torch.zeros(8), w1, b1, w2, gain)
    x = 0.5 + 1e-3 * draw(2, 8, 96, 501)
    y = fused.chain(x, [first])
    exact = plain_branch(y.double(), *(tensor.double() for tensor in second)) - y.double()
    assert (fused.chain(x, [first, second]) - y - exact).abs().max() < 2e-3 * exact.abs().max()


@pytest.mark.parametrize("kernel", [(3, 1), (1, 3), (1, 1)], ids=str)
def test_a_picture_that_is_not_finite_leaves_nothing_behind(kernel, threads):
    """The working space is kept from call to call and not cleared."""
    threads(1)
    inputs, weight = branch_inputs((2, 5, 7, 19), kernel, 10), draw(2, 5, 7, 19, seed=7)
    clean = gradients(fused_link, inputs, weight)
    for larger in ((2, 5, 7, 19), (1, 60, 40, 90)):
        spoiled = branch_inputs(larger, (3, 1), larger[1])
        spoiled[0].fill_(torch.nan)
        for link in (spoiled, [spoiled[0], draw(9, larger[1], 1, 3)]):
            gradients(fused_link, link, draw(*fused_link(*link).shape))
            closest(gradients(fused_link, inputs, weight), clean, 0)


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return stir(HarmonicBackbone())


@pytest.mark.parametrize("training", [False, True], ids=["without dropout", "with the same dropout"])
def test_the_backbone_agrees_with_its_definition(backbone, training, monkeypatch):
    picture, weights = draw(2, 96, 37), list(backbone.train(training).parameters())
    results = []
    for enabled in ("1", "0"):
        monkeypatch.setenv("PHALAR_FUSED", enabled)
        torch.manual_seed(3)
        out = backbone(picture)
        results.append([out, *torch.autograd.grad((out * draw(*out.shape, seed=1)).sum(), weights)])
    closest(*results, 1e-3)


def test_neither_threads_nor_how_it_lies_in_memory_change_a_bit(threads):
    inputs, strided, results = branch_inputs((7, 18, 12, 21), (1, 3), 18), draw(27, 18, 1, 3), []
    for count in (1, 2, 3):
        threads(count)
        found = gradients(fused_link, inputs, draw(7, 18, 12, 21, seed=7))
        results.append(found + gradients(fused_link, [inputs[0], strided], draw(7, 27, 12, 11)))
        closest(results[-1], results[0], 0)
    views = [inputs[0].mT.contiguous().mT, *(torch.stack([t, t + 1], dim=-1)[..., 0] for t in inputs[1:])]
    assert not any(view.is_contiguous() for view in views)
    assert torch.equal(fused_link(*views), fused_link(*inputs))


def usable(backbone, picture):
    drawn = zip(backbone.blocks, backbone.gains(len(picture)), strict=True)
    return fused.usable(picture, backbone.stem.weight, [link for pair in drawn for link in fused.links(*pair)])


def test_a_backbone_of_another_precision_goes_the_plain_way(backbone):
    """Its weights are looked at, not its picture alone: pointers to doubles read as floats give garbage."""
    picture, expected = draw(2, 96, 37), backbone(draw(2, 96, 37))
    with torch.autocast("cpu", torch.bfloat16):  # as published: only what is added to the sum is rounded
        assert not usable(backbone, picture)
        assert backbone.stem(picture[:, None]).dtype == torch.bfloat16
        assert backbone(picture).dtype == torch.float32
    found = backbone.double()(picture)
    assert found.dtype == torch.float64
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda b: b.to(torch.bfloat16),
        lambda b: b.blocks[3].time.norm.to(torch.bfloat16),
        lambda b: b.blocks[0].time.norm.to("meta"),
        lambda b: setattr(b.blocks[0], "widen", torch.nn.Conv2d(8, 65, (1, 3), bias=False)),
        lambda b: setattr(b.blocks[2].frequency, "mix", torch.nn.Conv2d(12, 12, 3, padding=1)),
        lambda b: setattr(b.blocks[2].pointwise, "mix", torch.nn.Conv2d(12, 200, 1)),
        lambda b: setattr(b.blocks[2].pointwise, "norm", torch.nn.GroupNorm(11, 11)),
    ],
    ids=["bfloat16", "in part", "another device", "too wide", "square kernel", "too many", "do not fit"],
)
def test_weights_and_pictures_it_cannot_take_are_seen(backbone, spoil):
    picture = draw(1, 96, 37)
    assert usable(backbone, picture)
    for other in (picture.double(), picture.to("meta"), picture[:0]):
        assert not usable(backbone, other)
    spoil(backbone)
    assert not usable(backbone, picture)


@pytest.fixture
def compiled_anew(monkeypatch, tmp_path):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    fused.library.cache_clear()
    yield tmp_path / "kernels"
    fused.library.cache_clear()


@pytest.mark.parametrize("named", ["no-such-compiler", "false", 'cc "'])
def test_without_a_compiler_it_warns_and_goes_the_plain_way(monkeypatch, compiled_anew, backbone, named):
    monkeypatch.setenv("CC", named)
    with pytest.warns(PhalarWarning, match="could not be compiled with .*; install a C compiler or set CC"):
        assert backbone(draw(1, 96, 33)).shape == (1, 60, 96, 2)
    backbone(draw(1, 96, 33))  # says it once


def test_another_compiler_or_processor_makes_another_file(compiled_anew, tmp_path):
    """Both are in the macros that a compiler defines."""
    script = tmp_path / "mycc"
    for version in ("1", "2", "2"):
        script.write_text(f'#!/bin/sh\n[ "$7" = -E ] && echo "#define __ARM_FEATURE_SVE {version}" || touch "$7"\n')
        script.chmod(0o755)
        fused._compiled([str(script)])
    assert len(list(compiled_anew.glob("*.so"))) == 2


def test_a_struct_of_another_size_is_refused(monkeypatch, compiled_anew):
    """Here the compiler is called through another program, as ``CC="ccache gcc"`` does."""
    monkeypatch.setenv("CC", f"env {compiler}")
    other = type("Other", (fused.ctypes.Structure,), {"_fields_": [("x", fused.ctypes.c_void_p)]})
    monkeypatch.setattr(fused, "_Link", other)
    with pytest.raises(AssertionError, match="bytes in C"):
        fused.library()
