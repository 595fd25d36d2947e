"""What the paper claims the architecture is biased to, each claim proved on numbers, beside what must fail it."""

import math

import pytest
import torch

from phalar.model.assembly import build
from phalar.model.complex_layers import ComplexHead, ComplexLinear
from phalar.model.frontend import LogCQT
from phalar.model.mel import LogMel
from phalar.model.pooling import MagnitudePooling, SpectralPooling
from phalar.model.similarity import ComplexCosine, HermitianForm, SemidefiniteForm, SesquilinearForm, symmetrised, unit

FORMS = [SesquilinearForm, HermitianForm, SemidefiniteForm, ComplexCosine]
STEP = 5_120  # samples from one step of the pooling to the next, 0.32 s


@pytest.fixture(autouse=True)
def same_weights():
    torch.manual_seed(0)


def draw(*shape: int, seed: int = 0, dtype=torch.complex64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def turn(angle: float) -> complex:
    return complex(math.cos(angle), math.sin(angle))


def same(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(found, expected, rtol=10 * tolerance, atol=tolerance)


@torch.no_grad()
def test_a_head_equals_its_form_in_real_pairs():
    """(a + ib)(x + iy) is a block matrix; norm and modReLU are real factors."""
    z, head = draw(5, 12), ComplexHead(12, 9).eval()
    head.norm.gain.copy_(draw(9, seed=1, dtype=torch.float32))
    head.activation.bias.copy_(draw(9, seed=2, dtype=torch.float32))

    def linear(weight, pair):
        block = torch.cat([torch.cat([weight.real, -weight.imag], 1), torch.cat([weight.imag, weight.real], 1)])
        return pair @ block.T

    pair = linear(head.linear1.weight, torch.cat([z.real, z.imag], dim=1))
    pair = pair * head.norm.gain.repeat(2) / (2 * pair.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    modulus = (pair.unflatten(1, (2, 9)).square().sum(dim=1) + 1e-6).sqrt()
    pair = pair * ((modulus + head.activation.bias).clamp(min=0) / modulus).repeat(1, 2)
    same(head(z), torch.complex(*linear(head.linear2.weight, pair).chunk(2, dim=1)))


def test_complex_weights_start_as_published():
    """Real and imaginary part uniform with a variance of 1 / (6 n) each, so that outputs are a third as strong."""
    weight, bound = ComplexLinear(640, 512).weight.detach(), 1 / math.sqrt(2 * 640)
    for part in (weight.real, weight.imag):
        assert part.abs().max() <= bound
        assert part.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


@torch.no_grad()
def test_the_complex_head_turns_with_its_input_with_dropout_too_and_what_does_not(stirred):
    """The magnitude head, deaf to the angle; a bias; an activation of real and imaginary part by themselves."""
    z, head, real = draw(4, 640), stirred("phalar").head, stirred("magnitude").head
    functions = {
        "turns": (head, True),
        "turns with dropout": (ComplexHead(640, 512).train(), True),
        "magnitude": (lambda z: real(z.abs()), False),
        "bias": (lambda z: head(z) + 0.1, False),
        "parts": (lambda z: torch.complex(head(z).real.relu(), head(z).imag.relu()), False),
    }
    for name, (function, turns) in functions.items():
        for angle in (0.3, math.pi / 2, 2.0, -1.1) if turns else (2.0,):
            torch.manual_seed(3)
            straight = function(z)
            torch.manual_seed(3)  # the same dropout
            error = (function(turn(angle) * z) - turn(angle) * straight).abs().max() / straight.abs().max()
            assert (error < 1e-4) if turns else (error > 0.05), name
    same(real((turn(2.0) * z).abs()), real(z.abs()))


@torch.no_grad()
@pytest.mark.parametrize("form", FORMS)
def test_scores_mind_one_side_turning_but_for_the_cosine_and_neither_both_nor_lengths(form):
    """What `cosine` takes away: to it, a stem that comes late fits as well as one that is in time."""
    score, x, y = form(16), draw(3, 16), draw(5, 16, seed=1)
    same(score(turn(0.7) * x, turn(0.7) * y), score(x, y))
    same(score(7 * x, 3 * y), score(x, y))
    minded = ((score(turn(1.0) * x, y) - score(x, y)).abs().max() / score(x, y).abs().max()).item()
    assert minded < 1e-4 if form is ComplexCosine else minded > 0.1


@pytest.mark.parametrize(("steps", "shift"), [(19, 1), (20, 7), (32, 3), (33, -2)])
def test_a_circular_shift_of_the_projection_is_a_phase_ramp(steps, shift):
    pooling, v = SpectralPooling(5, channels=4), draw(2, 4, steps, dtype=torch.float32)
    ramp = torch.exp(-2j * math.pi * torch.arange(1, 9) * shift / steps)
    straight, delayed = pooling.spectrum(v), pooling.spectrum(v.roll(shift, dims=-1))
    same(delayed, ramp * straight)
    same(delayed.abs(), straight.abs())
    same(pooling.spectrum(v + 10), straight, 1e-3)  # the dropped component: what never changes says nothing of time


@torch.no_grad()
def test_pooling_equals_a_fourier_sum_written_out():
    pooling, magnitude = (kind(6, channels=3, components=8).eval() for kind in (SpectralPooling, MagnitudePooling))
    x = draw(2, 2, 3, 16, dtype=torch.float32)  # (B, channels, F, T)
    padded = torch.zeros(2, 3, 19)  # 3 steps are missing: 1 before, 2 behind
    padded[..., 1:17] = torch.einsum("dfc,bcft->bdt", pooling.project.weight.view(3, 3, 2), x)
    wave = torch.exp(-2j * math.pi * torch.outer(torch.arange(1, 9), torch.arange(19)) / 19)
    expected = torch.einsum("bdt,kt->bdk", padded.to(torch.complex64), wave) / math.sqrt(19)
    expected = expected / expected.abs().mean(dim=(1, 2), keepdim=True)
    same(pooling(x), expected.flatten(1))
    magnitude.load_state_dict(pooling.state_dict())
    assert torch.equal(magnitude(x), pooling(x).abs())


PERIOD = 4 * STEP  # samples: four steps of the pooling, 1.28 s
EXCERPT = 20 * STEP - 160  # 640 frames: exactly 20 steps, so nothing is padded


@torch.no_grad()
def pooled(name: str, *delays: int) -> torch.Tensor:
    """What a fresh model's pooling makes of three plucked notes, again and again every 1.28 s, as late as each of the
    delays, in samples."""
    t = torch.arange(12 * 16_000)
    beat, audio = t % PERIOD, torch.zeros(len(t))
    for start, pitch in ((0, 220.0), (6_000, 330.0), (12_800, 277.0)):
        since = (beat - start).clamp(min=0) / 16_000
        note = torch.sin(2 * math.pi * pitch * since) * torch.exp(-6 * since) * (beat >= start)
        audio += 0.3 * note + 0.2 * torch.sin(4 * math.pi * pitch * since) * torch.exp(-9 * since) * (beat >= start)
    model = build(name, seed=0).eval()
    clips = torch.stack([audio[3 * PERIOD - delay :][:EXCERPT] for delay in delays])
    return model.pooling(model.backbone(model.frontend(clips)))


def test_a_delay_of_periodic_music_is_a_phase_ramp_which_magnitude_and_average_pooling_do_not_notice():
    """Through the real front end and backbone. Of 20 steps with a period of 4, only component 5 is music; half a period
    late, the complex one turns right round, and the variants that must fail are all but the same."""
    straight, *late = pooled("phalar", 0, STEP, 2 * STEP, 3 * STEP).unflatten(1, (80, 8))
    assert straight.abs().mean(0).argmax() == 4
    for delay, delayed in enumerate(late, start=1):
        likeness = torch.vdot(straight[:, 4], delayed[:, 4]) / straight[:, 4].norm() / delayed[:, 4].norm()
        assert likeness.abs() > 0.95  # all 80 projections turned alike ...
        assert abs(torch.angle(likeness / turn(-2 * math.pi * 5 * delay / 20))) < 0.1  # ... by the angle of the ramp
    both = {name: pooled(name, 0, PERIOD // 2) for name in ("phalar", "magnitude", "gap")}
    changes = {name: ((a - b).norm() / a.norm()).item() for name, (a, b) in both.items()}
    assert changes["phalar"] > 1.6  # 2 is a turn by half a circle; other components than 5 hold what edges leave
    assert changes["magnitude"] < 0.4
    assert changes["gap"] < 0.1


def test_a_semitone_is_a_bin_of_the_constant_q_picture_and_an_octave_no_fixed_number_of_mel_bands():
    """The variant that must fail: how far a note moves depends on where it started."""
    t, loudest = torch.arange(48_000, dtype=torch.float64) / 16_000, {}
    pitches = [pitch * 2 ** (s / 12) for pitch in (220, 440, 880, 1760) for s in (0, 1, 3)]
    notes = torch.stack([sum(0.3 * torch.sin(2 * math.pi * k * pitch * t) / k for k in (1, 2)) for pitch in pitches])
    for frontend in (LogCQT(), LogMel()):  # the bin in which a note with its octave is loudest
        loudest[type(frontend)] = frontend(notes.float())[:, :, 140:160].mean(dim=2).argmax(dim=1)
    assert loudest[LogCQT].diff().tolist() == [1, 2, 9] * 3 + [1, 2]
    assert len(set(loudest[LogMel][::3].diff().tolist())) == 3


@torch.no_grad()
@pytest.mark.parametrize("shift", [1, 5])
def test_the_backbone_moves_with_its_picture(shift, stirred):
    """Each of the ten blocks lets an edge reach one bin further in; further in than that, the shift is exact."""
    backbone, picture = stirred("phalar").backbone, torch.full((1, 96, 70), 0.3)
    picture[:, 36:56] += draw(20, 70, dtype=torch.float32)
    low, high = backbone(picture), backbone(picture.roll(shift, dims=1))
    inner = slice(20, 76 - shift)
    moved = low[:, :, inner], high[:, :, inner.start + shift : inner.stop + shift]
    torch.testing.assert_close(*moved, rtol=1e-3, atol=1e-3 * low.abs().max().item())
    assert (low[:, :, inner] - high[:, :, inner]).abs().max() > 0.1 * low.abs().max()  # or nothing moved


@torch.no_grad()
def test_the_symmetrised_score_keeps_the_hermitian_part_of_w():
    """s(x, y) = Re((W x)^H y), so W^H stands where the formula Re(x^H A y) has its matrix A."""
    score, other, psd, x, y = SesquilinearForm(16), HermitianForm(16), SemidefiniteForm(16), draw(3, 16), draw(5, 16)
    a = score.W.mH

    def by_matrix(a, x, y):
        return torch.einsum("ai,ij,bj->ab", unit(x).conj(), a, unit(y)).real

    same(score(x, y), by_matrix(a, x, y))
    both_ways = symmetrised(score, x, y)
    same(both_ways, by_matrix((a + a.mH) / 2, x, y))
    same(both_ways, symmetrised(score, y, x).T)
    other.W.copy_(score.W)
    same(other(x, y), both_ways)
    assert (score(x, y) - both_ways).abs().max() > 0.05  # the raw score is not symmetric
    same(psd(x, y), by_matrix(psd.W.mH @ psd.W, x, y))


@torch.no_grad()
def test_w_is_indefinite_and_psd_is_not():
    """The same W: as PHALAR uses it, some embedding is unlike itself; as `psd` uses it, none is."""
    full, psd = SesquilinearForm(32), SemidefiniteForm(32)
    psd.W.copy_(full.W)
    values, vectors = torch.linalg.eigh((full.W + full.W.mH) / 2)
    worst = vectors[:, :1].T.contiguous()
    assert values[0] < -0.1
    assert full(worst, worst).item() == pytest.approx(values[0].item(), rel=1e-3)
    candidates = torch.cat([vectors.T, draw(1000, 32)])
    assert (psd(candidates, candidates).diagonal() >= 0).all()
    full.W.copy_(-torch.eye(32))
    assert (full(candidates, candidates).diagonal() < -0.99).all()  # nothing is like itself: psd cannot learn it
