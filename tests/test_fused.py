"""The compiled backbone computes what the plain one does: forward, gradients, odd shapes, any number of threads."""

from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F

from phalar.model import fused
from phalar.model.backbone import AxialBlock, HarmonicBackbone, ResidualBranch

needs_compiler = pytest.mark.skipif(fused.library() is None, reason="no C compiler here: only the plain path exists")
pytestmark = needs_compiler

# Items, channels, bins, steps: single ones, odd ones, one more and one less than what vectors and blocks hold.
SHAPES = [(2, 1, 3, 4), (1, 3, 1, 9), (3, 5, 7, 1), (2, 8, 5, 16), (1, 12, 6, 17), (2, 27, 4, 15), (1, 60, 5, 33)]
SHAPES += [(1, 64, 3, 8), (5, 18, 1, 2), (2, 7, 33, 65)]


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@contextmanager
def threads(count: int):
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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


def fused_branch(x, *weights):
    return fused.chain(x, [weights])


def fused_widen(x, kernel):
    return fused.chain(x, [(kernel,)])


def gradients(function, inputs, weight):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    out = function(*inputs)
    return out, torch.autograd.grad((out * weight.to(out)).sum(), inputs)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("kernel", "widening"), [((3, 1), 1), ((1, 3), 1), ((1, 1), 2)], ids=str)
def test_branch_and_its_gradients(shape, kernel, widening):
    """Against double precision, so that the tolerance is about our rounding alone."""
    inputs = branch_inputs(shape, kernel, widening * shape[1])
    weight = draw(*shape, seed=7)
    ours, our_gradients = gradients(fused_branch, inputs, weight)
    exact, exact_gradients = gradients(plain_branch, [t.double() for t in inputs], weight)
    torch.testing.assert_close(ours.double(), exact, rtol=1e-4, atol=1e-4 * exact.abs().max().item())
    names = ["x", "gamma", "beta", "w1", "b1", "w2", "gain"]
    for name, mine, theirs in zip(names, our_gradients, exact_gradients, strict=True):
        assert mine.shape == theirs.shape
        scale = theirs.abs().max().item()
        assert (mine - theirs).abs().max() <= 2e-4 * scale + 1e-5, name


@pytest.mark.parametrize("shape", [(1, 3, 1, 9), (3, 5, 7, 1), (5, 18, 6, 17)], ids=str)
def test_a_chain_is_its_branches_one_by_one(shape):
    """Means and deviations of the pictures between are found while these are written: other sums, same values."""
    channels = shape[1]
    links = [branch_inputs(shape, *kind) for kind in (((3, 1), channels), ((1, 3), channels), ((1, 1), 2 * channels))]
    weight = draw(*shape, seed=7)

    def one_by_one(x, *weights):
        for k in range(0, 18, 6):
            x = fused.chain(x, [weights[k : k + 6]])
        return x

    inputs = [links[0][0], *(tensor for link in links for tensor in link[1:])]
    together = lambda x, *weights: fused.chain(x, [weights[k : k + 6] for k in range(0, 18, 6)])  # noqa: E731
    (ours, our_gradients), (single, single_gradients) = (
        gradients(function, inputs, weight) for function in (together, one_by_one)
    )
    for mine, other in zip([ours, *our_gradients], [single, *single_gradients], strict=True):
        assert (mine - other).abs().max() <= 2e-5 * other.abs().max() + 1e-6


@pytest.mark.parametrize("before", ["branch", "strided convolution"])
def test_a_norm_sees_small_deviations_from_a_mean_that_the_link_before_moved_far(before):
    """Quiet sound is nearly a constant picture. What is counted while a picture is written must not drown in its mean,
    which is not that of the picture that was read."""
    gamma, _, w1, b1, w2, gain = branch_inputs((2, 8, 96, 501), (1, 1), 8)[1:]
    constant = (1e-3 * gamma, torch.full((8,), 0.5), w1, b1, w2, 10 * gain)  # adds nearly the same everywhere
    first = constant if before == "branch" else (5 + draw(8, 8, 1, 3, seed=9),)
    x = 0.5 + 1e-3 * draw(2, 8, 96, 501)
    y = fused.chain(x, [first])
    second = (gamma, torch.zeros(8), w1, b1, w2, gain)
    found = fused.chain(x, [first, second]) - y
    exact = plain_branch(y.double(), *(tensor.double() for tensor in second)) - y.double()
    assert (found - exact).abs().max() < 2e-3 * exact.abs().max()


@pytest.mark.parametrize(("kernel", "widening"), [((3, 1), 1), ((1, 3), 1), ((1, 1), 2)], ids=str)
def test_a_picture_that_is_not_finite_leaves_nothing_behind(kernel, widening):
    """The working space is kept from call to call and not cleared."""
    with threads(1):
        inputs, weight = branch_inputs((2, 5, 7, 19), kernel, widening * 5), draw(2, 5, 7, 19, seed=7)
        clean, clean_gradients = gradients(fused_branch, inputs, weight)
        for larger in ((2, 5, 7, 19), (1, 60, 40, 90)):
            spoiled = branch_inputs(larger, (3, 1), larger[1])
            spoiled[0].fill_(torch.nan)
            gradients(fused_branch, spoiled, draw(*larger))
            gradients(
                fused_widen, [spoiled[0], draw(9, larger[1], 1, 3)], draw(larger[0], 9, larger[2], -(-larger[3] // 2))
            )
            again, again_gradients = gradients(fused_branch, inputs, weight)
            assert all(
                torch.equal(a, b) for a, b in zip([clean, *clean_gradients], [again, *again_gradients], strict=True)
            )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("wide", [1, 9, 60])
def test_widening_and_its_gradients(shape, wide):
    x, kernel = draw(*shape), draw(wide, shape[1], 1, 3, seed=1)
    steps = (shape[3] + 1) // 2
    weight = draw(shape[0], wide, shape[2], steps, seed=2)
    ours, our_gradients = gradients(fused_widen, [x, kernel], weight)
    plain = lambda x, w: F.conv2d(x, w, stride=(1, 2), padding=(0, 1))  # noqa: E731
    exact, exact_gradients = gradients(plain, [x.double(), kernel.double()], weight)
    assert ours.shape == exact.shape
    for mine, theirs in zip([ours, *our_gradients], [exact, *exact_gradients], strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-4, atol=1e-4)


def test_the_modules_agree_with_their_plain_selves(monkeypatch):
    torch.manual_seed(0)
    block = AxialBlock(8, 12, 0.1).eval()
    for name, weight in block.named_parameters():
        if name.endswith("scale"):
            torch.nn.init.normal_(weight)
    x = draw(2, 8, 11, 13)
    compiled = block(x)
    monkeypatch.setenv("PHALAR_FUSED", "0")
    assert not fused.usable(x)
    torch.testing.assert_close(compiled, block(x), rtol=1e-4, atol=1e-4)


def test_dropout_leaves_out_whole_channels_of_an_item_and_keeps_the_mean():
    torch.manual_seed(0)
    branch = ResidualBranch(64, 64, (3, 1), dropout=0.25)
    torch.nn.init.ones_(branch.scale)
    x = draw(30, 64, 3, 4)
    full = branch.eval()(x) - x
    dropped = branch.train()(x) - x
    kept = dropped.flatten(2).abs().amax(2) > 0
    assert kept.float().mean() == pytest.approx(0.75, abs=0.04)
    torch.testing.assert_close(dropped[kept], full[kept] / 0.75, rtol=1e-3, atol=1e-4)


def test_the_number_of_threads_does_not_change_a_bit():
    inputs, weight = branch_inputs((7, 18, 12, 21), (1, 3), 18), draw(7, 18, 12, 21, seed=7)
    results = []
    for count in (1, 2, 3):
        with threads(count):
            out, grads = gradients(fused_branch, inputs, weight)
            wide, wide_grads = gradients(fused_widen, [inputs[0], draw(27, 18, 1, 3)], draw(7, 27, 12, 11))
            results.append([out, *grads, wide, *wide_grads])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_an_item_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    backbone = HarmonicBackbone().eval()
    for name, weight in backbone.named_parameters():
        if name.endswith("scale"):
            torch.nn.init.normal_(weight)
    picture = draw(3, 96, 70)
    with torch.no_grad():
        assert torch.equal(backbone(picture)[1:2], backbone(picture[1:2]))


def test_views_are_read_as_they_look():
    inputs = branch_inputs((2, 8, 5, 16), (1, 3), 8)
    expected = fused_branch(*inputs)
    flipped = inputs[0].transpose(2, 3).contiguous().transpose(2, 3)
    assert not flipped.is_contiguous()
    assert torch.equal(fused_branch(flipped, *inputs[1:]), expected)


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (torch.zeros(1, 4, 3, 3, dtype=torch.float64), "double"),
        (torch.zeros(1, 4, 3, 3, dtype=torch.bfloat16), "bfloat16"),
        (torch.zeros(1, 4, 3, 3, device="meta"), "another device"),
        (torch.zeros(1, 65, 1, 1), "more channels than its tables hold"),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_it_cannot_take_goes_the_plain_way(x, reason):
    assert not fused.usable(x)


def test_a_block_that_becomes_wider_than_the_tables_goes_the_plain_way():
    torch.manual_seed(0)
    block, x = AxialBlock(60, 90, 0.1).eval(), draw(1, 60, 5, 9)
    assert fused.usable(x)
    assert not fused.usable(x, 90)
    assert torch.equal(block(x), block.plain(x))


def test_where_less_precision_is_asked_for_the_plain_way_gives_it():
    with torch.autocast("cpu", torch.bfloat16):
        assert not fused.usable(torch.zeros(1, 4, 3, 3))
        assert HarmonicBackbone()(draw(1, 96, 33)).dtype == torch.bfloat16


def test_no_compiler_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    fused.library.cache_clear()
    try:
        assert fused.library() is None
        assert HarmonicBackbone().eval()(draw(1, 96, 33)).shape == (1, 60, 96, 2)
    finally:
        fused.library.cache_clear()
