"""What the teaching pages are built of: a loop without a seam, layers that break phase as their formulas say, and what
that costs a student."""

import math

import numpy as np
import pytest
import soundfile
import torch

from phalar.model.complex_layers import ComplexDropout, ComplexHead, ComplexLinear, ComplexRMSNorm, ModReLU
from phalar.study import lessons
from phalar.study.lessons import equivariance_error, turn

EIGHTHS = [math.radians(45 * i) for i in range(1, 8)]


def arrows(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def loop():
    return lessons.loop()


def test_the_loop_is_two_bars_and_the_same_each_time(loop):
    assert list(loop) == ["drums", "bass"]
    for part, again in zip(loop.values(), lessons.loop().values(), strict=True):
        assert part.shape == (64_000,)
        assert part.dtype == np.float32
        assert np.array_equal(part, again)
    assert np.abs(sum(loop.values())).max() < 1


def test_the_loop_closes_without_a_seam(loop):
    """From the last sample to the first there is no jump like those of the strokes."""
    for part in loop.values():
        jumps = np.abs(np.diff(np.append(part, part[0])))
        assert jumps[-1] < 0.1 * jumps.max() + 1e-3


def test_strokes_are_where_the_lines_of_the_drums_say(loop):
    levels = lessons.step_levels(loop["drums"])
    assert levels.shape == (lessons.STEPS,)
    struck = [any(line[i] in "Xx" for key, line in lessons.DRUMS.items() if key != 42) for i in range(lessons.STEPS)]
    loud = levels[torch.tensor(struck)]
    assert loud.min() > 3 * levels[~torch.tensor(struck)].median()
    assert all(len(line) == lessons.STEPS for line in lessons.DRUMS.values())


def test_levels_are_root_mean_squares():
    sound = np.repeat([1.0, -2.0, 0.0, 3.0], 5)
    assert lessons.step_levels(sound, 4).tolist() == [1, 2, 0, 3]


def test_a_turn_has_length_one_and_its_angle():
    assert complex(turn(math.pi / 2)) == pytest.approx(1j, abs=1e-6)
    torch.testing.assert_close(turn(torch.tensor([0.0, 2.0])).angle(), torch.tensor([0.0, 2.0]))


# --- the measure


@pytest.mark.parametrize("name", ["linear", "norm", "modrelu", "dropout", "head"])
def test_what_the_model_is_made_of_keeps_phase(name):
    bricks = {
        "linear": ComplexLinear(12, 7),
        "norm": ComplexRMSNorm(12),
        "modrelu": ModReLU(12),
        "dropout": ComplexDropout(0.5).train(),
        "head": ComplexHead(12, 9).train(),
    }
    assert equivariance_error(bricks[name], arrows(20, 12), EIGHTHS).max() < 1e-5


# Errors at 45, 90, 135, ..., 315 degrees: which of them are zero follows from the formula.
FINGERPRINTS = {
    "bias": (lessons.BiasedLinear(12, 7), []),
    "real matrix": (lessons.RealMatrix(12, 7), [180]),
    "layer norm on parts": (lessons.split_layer_norm, [90, 180, 270]),
    "relu on parts": (lessons.split_relu, []),
    "dropout on parts": (lessons.split_dropout, [180]),
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_each_fault_has_its_fingerprint(name):
    layer, zeros = FINGERPRINTS[name]
    errors = equivariance_error(layer, arrows(20, 12), EIGHTHS).tolist()
    for degrees, error in zip(range(45, 360, 45), errors, strict=True):
        if degrees in zeros:
            assert error < 1e-4, degrees
        else:
            assert error > 0.02, degrees


def test_the_error_of_a_bias_is_the_length_of_its_way():
    """|f(e^{ia} z) - e^{ia} f(z)| = |1 - e^{ia}| |b| for each row."""
    layer, z = lessons.BiasedLinear(5, 3), arrows(1, 5)
    errors = equivariance_error(layer, z, EIGHTHS)
    expected = [2 * math.sin(a / 2) * float(layer.bias.detach().norm() / layer(z).detach().norm()) for a in EIGHTHS]
    torch.testing.assert_close(errors, torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_a_real_matrix_is_a_complex_one_and_one_of_the_conjugate():
    layer, z = lessons.RealMatrix(4, 3), arrows(6, 4)
    (p, q), (r, s) = (half.chunk(2, dim=1) for half in layer.weight.detach().chunk(2))
    a, b = torch.complex(p + s, r - q) / 2, torch.complex(p - s, r + q) / 2
    torch.testing.assert_close(layer(z).detach(), z @ a.T + z.conj() @ b.T)


def test_the_measure_leaves_the_random_numbers_alone_and_draws_the_same_ones():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0])
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0]), first)
    assert not torch.equal(equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0], seed=1), first)


# --- learning


def test_arrows_keep_to_their_spread():
    z = lessons.arrows(500, 3, 0.5, torch.Generator().manual_seed(0))
    assert z.angle().abs().max() <= 0.5
    assert 0.5 <= z.abs().min() < z.abs().max() <= 1.5


def test_who_keeps_phase_is_as_good_at_any_angle_and_who_does_not_is_not():
    torch.manual_seed(0)
    spread, angles = math.radians(30), [math.radians(d) for d in (0, 90, 180)]
    teacher = lessons.Imitator(4, 8, keeps_phase=True).requires_grad_(False)
    test = lessons.arrows(64, 4, spread, torch.Generator().manual_seed(1))
    errors = {}
    for keeps in (True, False):
        student = lessons.Imitator(4, 8, keeps_phase=keeps)
        before = lessons.imitation_error(student, teacher, test, [0.0])[0]
        lessons.imitate(student, teacher, 4, spread, steps=300)
        errors[keeps] = lessons.imitation_error(student, teacher, test, angles)
        assert errors[keeps][0] < 0.3 * before, "it learned what it was shown"
    torch.testing.assert_close(errors[True], errors[True][0].expand(3), rtol=1e-3, atol=1e-5)
    assert errors[False][1:].min() > 3 * errors[False][0]


# --- the page


def test_players_write_a_file_for_each_sound_and_name_it(tmp_path):
    shown = lessons.players(tmp_path, {"0° and 90° together": torch.zeros(800), "a <tone>": np.ones(800)})
    assert shown.count("<audio") == 2
    assert "a &lt;tone&gt;" in shown
    assert soundfile.info(tmp_path / "0-and-90-together.ogg").samplerate == 16_000
    assert (tmp_path / "a-tone.ogg").is_file()


def test_the_source_shown_is_the_source_that_runs():
    shown = lessons.source(lessons.split_relu, lessons.RealMatrix.forward)
    assert shown.startswith("```python\ndef split_relu(z: Tensor)")
    assert '\n\n\ndef forward(self, z: Tensor) -> Tensor:\n    """M' in shown
