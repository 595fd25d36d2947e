"""What the paper claims the architecture is biased to, each claim proved on numbers, beside what must fail it."""

import math

import pytest
import torch
from torch.func import functional_call

from phalar.model.assembly import build
from phalar.model.backbone import HarmonicBackbone
from phalar.model.complex_layers import (
    ComplexDropout,
    ComplexHead,
    ComplexLinear,
    ComplexRMSNorm,
    ModReLU,
    RealHead,
)
from phalar.model.frontend import LogCQT
from phalar.model.mel import LogMel
from phalar.model.pooling import AveragePooling, MagnitudePooling, SpectralPooling
from phalar.model.similarity import (
    ComplexCosine,
    HermitianForm,
    SemidefiniteForm,
    SesquilinearForm,
    symmetrised,
    unit,
)


def draw(*shape: int, seed: int = 0, dtype=torch.complex64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def turn(angle: float) -> complex:
    return complex(math.cos(angle), math.sin(angle))


ANGLES = [0.3, math.pi / 2, 2.0, math.pi, -1.1]

# ---------------------------------------------------------------- layers: complex numbers as real pairs


def pair_linear(weight, x, y):
    """(a + ib)(x + iy) = (ax - by) + i(ay + bx)."""
    a, b = weight.real, weight.imag
    return x @ a.T - y @ b.T, y @ a.T + x @ b.T


def pair_norm(gain, x, y):
    scale = gain / torch.sqrt((x**2 + y**2).mean(-1, keepdim=True) + 1e-6)
    return x * scale, y * scale


def pair_modrelu(bias, x, y):
    modulus = torch.sqrt(x**2 + y**2 + 1e-6)
    scale = torch.clamp(modulus + bias, min=0) / modulus
    return x * scale, y * scale


def same(z, pair):
    torch.testing.assert_close(z, torch.complex(*pair), rtol=1e-4, atol=1e-5)


def test_layers_equal_their_real_pair_form():
    z = draw(7, 20)
    x, y = z.real, z.imag
    linear, norm, activation = ComplexLinear(20, 30), ComplexRMSNorm(20), ModReLU(20)
    with torch.no_grad():
        norm.gain.copy_(draw(20, seed=1, dtype=torch.float32))
        activation.bias.copy_(draw(20, seed=2, dtype=torch.float32))
        same(linear(z), pair_linear(linear.weight, x, y))
        same(norm(z), pair_norm(norm.gain, x, y))
        same(activation(z), pair_modrelu(activation.bias, x, y))


def test_head_equals_its_real_pair_form():
    z, head = draw(5, 12), ComplexHead(12, 9).eval()
    with torch.no_grad():
        pair = pair_linear(head.linear1.weight, z.real, z.imag)
        pair = pair_norm(head.norm.gain, *pair)
        pair = pair_modrelu(head.activation.bias, *pair)
        same(head(z), pair_linear(head.linear2.weight, *pair))


@pytest.mark.parametrize("make", [lambda: ComplexLinear(3, 4), lambda: ComplexRMSNorm(3), lambda: ModReLU(3)])
def test_gradients_of_the_layers(make):
    """In double precision, against finite differences, with respect to input and weights."""
    torch.manual_seed(0)
    layer = make()
    names = [name for name, _ in layer.named_parameters()]
    wide = [p.detach().to(torch.complex128 if p.is_complex() else torch.float64) for p in layer.parameters()]
    z = draw(2, 3, dtype=torch.complex128)
    inputs = [t.clone().requires_grad_() for t in (z, *wide)]

    def function(z, *weights):
        return functional_call(layer, dict(zip(names, weights, strict=True)), (z,))

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("form", [SesquilinearForm, HermitianForm, SemidefiniteForm, ComplexCosine])
def test_gradients_of_the_scores(form):
    torch.manual_seed(0)
    module = form(3)
    names = [name for name, _ in module.named_parameters()]
    wide = [p.detach().to(torch.complex128 if p.is_complex() else torch.float64) for p in module.parameters()]
    x, y = draw(2, 3, dtype=torch.complex128), draw(4, 3, seed=1, dtype=torch.complex128)
    inputs = [t.clone().requires_grad_() for t in (x, y, *wide)]

    def function(x, y, *weights):
        return functional_call(module, dict(zip(names, weights, strict=True)), (x, y))

    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize("layer", [ComplexRMSNorm(3), ModReLU(3), ComplexLinear(3, 3)])
def test_gradients_are_finite_at_zero(layer):
    z = torch.zeros(2, 3, dtype=torch.complex64, requires_grad=True)
    layer(z).real.sum().backward()
    assert torch.isfinite(torch.view_as_real(z.grad)).all()


def test_complex_weights_start_as_published():
    """Real and imaginary part uniform with a variance of 1 / (6 n) each, so that outputs are a third as strong."""
    weight = ComplexLinear(640, 512).weight.detach()
    bound = 1 / math.sqrt(2 * 640)
    for part in (weight.real, weight.imag):
        assert part.abs().max() <= bound
        assert part.std() == pytest.approx(bound / math.sqrt(3), rel=0.01)


def test_dropout_drops_whole_values_and_keeps_angles():
    torch.manual_seed(0)
    z = draw(50, 200)
    dropped = ComplexDropout(0.2).train()(z)
    kept = dropped != 0
    assert kept.float().mean() == pytest.approx(0.8, abs=0.02)
    torch.testing.assert_close(dropped[kept], z[kept] / 0.8)
    assert torch.equal(ComplexDropout(0.2).eval()(z), z)


# ---------------------------------------------------------------- phase equivariance


@pytest.mark.parametrize("angle", ANGLES)
def test_the_complex_head_turns_with_its_input(angle, stirred):
    head, z = stirred("phalar").head, draw(4, 640)
    with torch.no_grad():
        torch.testing.assert_close(head(turn(angle) * z), turn(angle) * head(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("angle", ANGLES)
def test_so_does_dropout(angle):
    head, z = ComplexHead(640, 512).train(), draw(4, 640)
    torch.manual_seed(0)
    straight = head(z)
    torch.manual_seed(0)
    torch.testing.assert_close(head(turn(angle) * z), turn(angle) * straight, rtol=1e-4, atol=1e-4)


def test_the_magnitude_head_does_not_turn(stirred):
    """The variant that must fail: its output is real, and deaf to the angle."""
    head, z = stirred("magnitude").head, draw(4, 640)
    with torch.no_grad():
        straight, turned = head(z.abs()), head((turn(2.0) * z).abs())
    torch.testing.assert_close(turned, straight, rtol=1e-4, atol=1e-4)
    assert (turned - turn(2.0) * straight).abs().max() > 0.1 * straight.abs().max()


@pytest.mark.parametrize("spoil", ["bias", "relu of the parts"])
def test_what_would_break_it(spoil):
    """The test can fail: a bias, or an activation on real and imaginary part, does not commute with a turn."""
    head, z = ComplexHead(640, 512).eval(), draw(4, 640)

    def spoiled(z):
        z = head(z)
        return z + 0.1 if spoil == "bias" else torch.complex(z.real.relu(), z.imag.relu())

    with torch.no_grad():
        error = (spoiled(turn(1.0) * z) - turn(1.0) * spoiled(z)).abs().max()
    assert error > 0.05


@pytest.mark.parametrize("form", [SesquilinearForm, HermitianForm, SemidefiniteForm, ComplexCosine])
def test_scores_do_not_change_when_both_sides_turn(form):
    torch.manual_seed(0)
    score, x, y = form(16), draw(3, 16), draw(5, 16, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(score(turn(0.7) * x, turn(0.7) * y), score(x, y), rtol=1e-4, atol=1e-5)


def test_only_the_cosine_is_blind_to_one_side_turning():
    """What `cosine` takes away: to it, a stem that comes late fits as well as one that is in time."""
    torch.manual_seed(0)
    x, y = draw(3, 16), draw(5, 16, seed=1)
    with torch.no_grad():
        cosine, full = ComplexCosine(16), SesquilinearForm(16)
        torch.testing.assert_close(cosine(turn(1.0) * x, y), cosine(x, y), rtol=1e-4, atol=1e-5)
        assert (full(turn(1.0) * x, y) - full(x, y)).abs().max() > 0.1 * full(x, y).abs().max()


# ---------------------------------------------------------------- time shift and phase ramp


@pytest.mark.parametrize("steps", [19, 20, 32, 33])
@pytest.mark.parametrize("shift", [1, 3, 7, -2])
def test_a_circular_shift_of_the_projection_is_a_phase_ramp(steps, shift):
    pooling = SpectralPooling(5, channels=4)
    v = draw(2, 4, steps, dtype=torch.float32)
    ramp = torch.exp(-2j * math.pi * torch.arange(1, 9) * shift / steps)
    straight, delayed = pooling.spectrum(v), pooling.spectrum(v.roll(shift, dims=-1))
    torch.testing.assert_close(delayed, ramp * straight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(delayed.abs(), straight.abs(), rtol=1e-3, atol=1e-4)


def test_pooling_equals_a_fourier_sum_written_out():
    pooling = SpectralPooling(6, channels=3, components=8).eval()
    x = draw(2, 2, 3, 16, dtype=torch.float32)  # (B, channels, F, T)
    with torch.no_grad():
        got = pooling(x)
        v = torch.einsum("dfc,bcft->bdt", pooling.project.weight.view(3, 3, 2), x)
    padded = torch.zeros(2, 3, 19)
    padded[..., 1:17] = v  # 3 steps are missing: 1 before, 2 behind
    wave = torch.exp(-2j * math.pi * torch.outer(torch.arange(1, 9), torch.arange(19)) / 19)
    expected = torch.einsum("bdt,kt->bdk", padded.to(torch.complex64), wave) / math.sqrt(19)
    expected = expected / expected.abs().mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(got, expected.flatten(1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(got.abs().mean(dim=1), torch.ones(2), rtol=1e-3, atol=1e-4)


def test_a_constant_sequence_says_nothing_about_time():
    """The dropped component: what never changes is not in the pooled spectrum at all."""
    pooling = SpectralPooling(5, channels=4)
    v = draw(1, 4, 24, dtype=torch.float32)
    torch.testing.assert_close(pooling.spectrum(v + 10), pooling.spectrum(v), rtol=1e-2, atol=1e-3)


PERIOD = 4 * 5_120  # samples: four steps of the pooling, 1.28 s
EXCERPT = 20 * 5_120 - 160  # 640 frames: exactly 20 steps, so nothing is padded


def periodic(seconds: float) -> torch.Tensor:
    """Three plucked notes, again and again every 1.28 s."""
    t = torch.arange(round(seconds * 16_000))
    beat = t % PERIOD
    audio = torch.zeros(len(t))
    for start, pitch in ((0, 220.0), (6_000, 330.0), (12_800, 277.0)):
        since = (beat - start).clamp(min=0) / 16_000
        note = torch.sin(2 * math.pi * pitch * since) * torch.exp(-6 * since) * (beat >= start)
        audio += 0.3 * note + 0.2 * torch.sin(4 * math.pi * pitch * since) * torch.exp(-9 * since) * (beat >= start)
    return audio


def pooled(model, audio: torch.Tensor) -> torch.Tensor:
    """(B, D, C): what the pooling makes of a sound."""
    with torch.no_grad():
        return model.pooling(model.backbone(model.frontend(audio))).unflatten(1, (80, 8))


@pytest.mark.parametrize("delay", [1, 2, 3])
def test_a_delay_of_periodic_music_is_a_phase_ramp(delay):
    """Through the real front end and backbone. Of 20 steps with a period of 4, only component 5 is music."""
    model, music = build("phalar", seed=0).eval(), periodic(12)
    early, late = music[3 * PERIOD :][:EXCERPT], music[3 * PERIOD - delay * 5_120 :][:EXCERPT]
    straight, delayed = pooled(model, torch.stack([early, late]))
    assert straight.abs().mean(0).argmax() == 4
    likeness = torch.vdot(straight[:, 4], delayed[:, 4]) / straight[:, 4].norm() / delayed[:, 4].norm()
    assert likeness.abs() > 0.95  # all 80 projections turned alike ...
    assert abs(torch.angle(likeness / turn(-2 * math.pi * 5 * delay / 20))) < 0.1  # ... by the angle of the ramp


def test_magnitude_and_average_pooling_do_not_notice_the_delay():
    """The variants that must fail: half a period late, all but the same; the complex one turns right round."""
    music = periodic(12)
    early = music[3 * PERIOD :][:EXCERPT]
    late = music[3 * PERIOD - PERIOD // 2 :][:EXCERPT]
    both = torch.stack([early, late])
    changes = {}
    for name in ("phalar", "magnitude", "gap"):
        model = build(name, seed=0).eval()
        with torch.no_grad():
            a, b = model.pooling(model.backbone(model.frontend(both)))
        changes[name] = ((a - b).norm() / a.norm()).item()
    assert changes["phalar"] > 1.6  # 2 is a turn by half a circle; other components than 5 hold what edges leave
    assert changes["magnitude"] < 0.4
    assert changes["gap"] < 0.1


# ---------------------------------------------------------------- pitch shift and bins


def tone(pitch: float) -> torch.Tensor:
    """A note and its octave, (1, 3 s)."""
    t = torch.arange(48_000, dtype=torch.float64) / 16_000
    return sum(torch.sin(2 * math.pi * k * pitch * t) / k for k in (1, 2)).float()[None] * 0.3


def peak(frontend: torch.nn.Module, pitch: float) -> int:
    """The bin in which a note is loudest."""
    return frontend(tone(pitch))[0, :, 140:160].mean(dim=1).argmax().item()


@pytest.mark.parametrize("pitch", [110, 880])
@pytest.mark.parametrize("semitones", [1, 3])
def test_a_semitone_is_a_bin_of_the_constant_q_picture(pitch, semitones):
    """The whole picture of the note moves up, not just its peak."""
    low, high = (LogCQT()(tone(pitch * 2 ** (s / 12)))[0, 20:, 140:160] for s in (0, semitones))
    left = {shift: (high[5:] - low[5 - shift : len(low) - shift]).abs().mean().item() for shift in range(6)}
    assert min(left, key=left.get) == semitones
    assert left[semitones] < 0.15 * left[0]


def test_an_octave_is_no_fixed_number_of_bands_of_the_mel_picture():
    """The variant that must fail: how far a note moves depends on where it started."""
    pitches, moved = (220, 440, 880), {}
    for frontend in (LogCQT(), LogMel()):
        moved[type(frontend)] = [peak(frontend, 2 * p) - peak(frontend, p) for p in pitches]
    assert moved[LogCQT] == [12, 12, 12]
    assert len(set(moved[LogMel])) == 3


def scaled(model: torch.nn.Module, size: float = 0.3) -> torch.nn.Module:
    torch.manual_seed(0)
    for name, weight in model.named_parameters():
        if name.endswith("scale"):
            torch.nn.init.normal_(weight, std=size)
    return model.eval()


@pytest.mark.parametrize("shift", [1, 5])
def test_the_backbone_moves_with_its_picture(shift):
    """Each of the ten blocks lets an edge reach one bin further in; further in than that, the shift is exact."""
    backbone, picture = scaled(HarmonicBackbone()), torch.full((1, 96, 70), 0.3)
    picture[:, 36:56] += draw(20, 70, dtype=torch.float32)
    with torch.no_grad():
        low, high = backbone(picture), backbone(picture.roll(shift, dims=1))
    inner = slice(20, 76 - shift)
    moved = low[:, :, inner], high[:, :, inner.start + shift : inner.stop + shift]
    torch.testing.assert_close(*moved, rtol=1e-3, atol=1e-3 * low.abs().max().item())
    assert (low[:, :, inner] - high[:, :, inner]).abs().max() > 0.1 * low.abs().max()  # or nothing moved


def test_a_semitone_moves_the_backbones_output_by_a_bin():
    """From the sound on: the same note a semitone higher, one bin higher in what the backbone makes of it."""
    model = build("phalar", seed=0)
    scaled(model.backbone, 0.1)
    with torch.no_grad():
        low, high = (model.backbone(model.frontend(tone(p)))[0, :, :, 3:7] for p in (220, 220 * 2 ** (1 / 12)))
    inner = slice(25, 80)
    moved = high[:, inner.start + 1 : inner.stop + 1] - low[:, inner]
    unmoved = high[:, inner] - low[:, inner]
    assert moved.norm() < 0.5 * unmoved.norm()


# ---------------------------------------------------------------- the score


def test_the_symmetrised_score_keeps_the_hermitian_part_of_w():
    """s(x, y) = Re((W x)^H y), so W^H stands where the formula Re(x^H A y) has its matrix A."""
    torch.manual_seed(0)
    score, x, y = SesquilinearForm(16), draw(3, 16), draw(5, 16, seed=1)
    with torch.no_grad():
        a = score.W.mH
        raw = torch.einsum("ai,ij,bj->ab", unit(x).conj(), a, unit(y)).real
        torch.testing.assert_close(score(x, y), raw, rtol=1e-4, atol=1e-5)
        hermitian = (a + a.mH) / 2
        both_ways = symmetrised(score, x, y)
        by_matrix = torch.einsum("ai,ij,bj->ab", unit(x).conj(), hermitian, unit(y)).real
        torch.testing.assert_close(both_ways, by_matrix, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both_ways, symmetrised(score, y, x).T, rtol=1e-4, atol=1e-5)
        other = HermitianForm(16)
        other.W.copy_(score.W)
        torch.testing.assert_close(other(x, y), both_ways, rtol=1e-4, atol=1e-5)
        assert (score(x, y) - both_ways).abs().max() > 0.05  # the raw score is not symmetric


def test_w_is_indefinite_and_psd_is_not():
    """The same W: as PHALAR uses it, some embedding is unlike itself; as `psd` uses it, none is."""
    torch.manual_seed(0)
    full, psd = SesquilinearForm(32), SemidefiniteForm(32)
    with torch.no_grad():
        psd.W.copy_(full.W)
        values, vectors = torch.linalg.eigh((full.W + full.W.mH) / 2)
        worst = vectors[:, :1].T.contiguous()
        assert values[0] < -0.1
        assert full(worst, worst).item() == pytest.approx(values[0].item(), rel=1e-3)
        candidates = torch.cat([vectors.T, draw(1000, 32)])
        assert (psd(candidates, candidates).diagonal() >= 0).all()
        full.W.copy_(-torch.eye(32))
        assert (full(candidates, candidates).diagonal() < -0.99).all()  # nothing is like itself: psd cannot learn it


def test_psd_equals_its_own_gram_matrix():
    torch.manual_seed(0)
    psd, x, y = SemidefiniteForm(8), draw(3, 8), draw(4, 8, seed=1)
    with torch.no_grad():
        gram = psd.W.mH @ psd.W
        expected = torch.einsum("ai,ij,bj->ab", unit(x).conj(), gram, unit(y)).real
        torch.testing.assert_close(psd(x, y), expected, rtol=1e-4, atol=1e-5)


def test_the_cosine_equals_its_formula_and_is_capped():
    torch.manual_seed(0)
    cosine, x, y = ComplexCosine(8), draw(3, 8), draw(4, 8, seed=1)
    with torch.no_grad():
        cosine.projection.add_(0.3 * draw(8, 8, seed=2))
        px, py = x @ cosine.projection.T, y @ cosine.projection.T
        modulus = (px.conj() @ py.T).abs() / px.norm(dim=1)[:, None] / py.norm(dim=1)
        torch.testing.assert_close(cosine(x, y), modulus / 0.07, rtol=1e-3, atol=1e-3)
        cosine.log_scale.fill_(50.0)
        torch.testing.assert_close(cosine(x, y), 100 * modulus, rtol=1e-3, atol=1e-2)


def test_scores_do_not_depend_on_length():
    torch.manual_seed(0)
    x, y = draw(3, 16), draw(5, 16, seed=1)
    with torch.no_grad():
        for form in (SesquilinearForm(16), SemidefiniteForm(16), ComplexCosine(16)):
            torch.testing.assert_close(form(7 * x, 3 * y), form(x, y), rtol=1e-4, atol=1e-4)


def test_average_pooling_is_the_mean():
    x = draw(2, 3, 4, 5, dtype=torch.float32)
    torch.testing.assert_close(AveragePooling()(x), x.flatten(2).mean(2))


def test_magnitude_pooling_is_the_modulus():
    torch.manual_seed(0)
    magnitude = MagnitudePooling(12, channels=4)
    spectral = SpectralPooling(12, channels=4)
    spectral.load_state_dict(magnitude.state_dict())
    x = draw(2, 3, 4, 25, dtype=torch.float32)
    assert torch.equal(magnitude(x), spectral(x).abs())


def test_the_real_head_has_a_norm_or_none():
    x = draw(4, 6, dtype=torch.float32)
    head = RealHead(6, 5, normalised=False).eval()
    with torch.no_grad():
        expected = torch.nn.functional.silu(x @ head.linear1.weight.T) @ head.linear2.weight.T
        torch.testing.assert_close(head(x), expected)
    assert not [name for name in head.state_dict() if "norm" in name]
