"""The teaching pages: a loop without a seam, the measure of equivariance, and exercises whose solutions pass and whose
usual mistakes get a word that helps."""

import ast
import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from phalar.model.complex_layers import ComplexDropout, ComplexHead, ComplexLinear, ComplexRMSNorm, ModReLU
from phalar.model.pooling import SpectralPooling
from phalar.paths import PACKAGE
from phalar.study import lessons
from phalar.study.lessons import EXERCISES, check, equivariance_error, turn

EIGHTHS = [math.radians(45 * i) for i in range(1, 8)]


def arrows(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def test_the_loop_closes_without_a_seam_and_is_struck_where_its_lines_say():
    loop = lessons.loop()
    for part in loop.values():
        assert (part.shape, part.dtype) == ((64_000,), np.float32)
        jumps = np.abs(np.diff(np.append(part, part[0])))
        assert jumps[-1] < 0.1 * jumps.max() + 1e-3
    assert np.abs(sum(loop.values())).max() < 1
    levels = lessons.step_levels(loop["drums"])
    struck = [any(line[i] in "Xx" for key, line in lessons.DRUMS.items() if key != 42) for i in range(lessons.STEPS)]
    assert levels[torch.tensor(struck)].min() > 3 * levels[~torch.tensor(struck)].median()
    assert lessons.step_levels(np.repeat([1.0, -2.0, 0.0, 3.0], 5), 4).tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    "layer",
    [ComplexLinear(12, 7), ComplexRMSNorm(12), ModReLU(12), ComplexDropout(0.5).train(), ComplexHead(12, 9).train()],
    ids=lambda layer: type(layer).__name__,
)
def test_what_the_model_is_made_of_keeps_phase(layer):
    assert equivariance_error(layer, arrows(20, 12), EIGHTHS).max() < 1e-5


W, B = arrows(7, 12, seed=1) / 4, 0.3 * arrows(7, seed=2)
# Errors at 45, 90, 135, ..., 315 degrees: which of them are zero follows from the formula.
FINGERPRINTS = {
    "bias": (lambda z: z @ W.T + B, []),
    "conjugate": (lambda z: z @ W.T + z.conj() @ W.flip(0).T, [180]),
    "layer norm on parts": (lessons.split_layer_norm, [90, 180, 270]),
    "relu on parts": (lessons.split_relu, []),
    "dropout on parts": (lessons.split_dropout, [180]),
    "the colleague's head": (lambda z: lessons.colleagues_head()(torch.cat([z, 1j * z], dim=-1)), [90, 180, 270]),
}


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_each_fault_has_its_fingerprint(name):
    layer, zeros = FINGERPRINTS[name]
    errors = equivariance_error(layer, arrows(20, 12), EIGHTHS).tolist()
    for degrees, error in zip(range(45, 360, 45), errors, strict=True):
        assert error < 1e-4 if degrees in zeros else error > 0.02, degrees


def test_the_measure_leaves_the_random_numbers_alone_and_draws_the_same_ones():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0])
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0]), first)
    assert not torch.equal(equivariance_error(lessons.split_dropout, arrows(4, 6), [1.0], seed=1), first)


# --- exercises


def tasks():
    """(exercise, the cell as it ships, the solution beside it) of every exercise on the pages, in their order."""
    for page in ("shift-theorem", "phase"):
        cells = json.loads((PACKAGE.parent / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
        for cell, after in pairwise("".join(cell["source"]) for cell in cells):
            if found := re.search(r'^lessons\.check\("(\w+)", ', cell, flags=re.M):
                solution = re.search(r"\A:::\{admonition\} Solution\n.*?```python\n(.*?)\n```.*:::\Z", after, re.S)
                assert solution, f"{page}: no solution after {found[1]}"
                yield found[1], cell, solution[1]


TASKS = {name: (cell, solution) for name, cell, solution in tasks()}


def run(source, **names):
    """Run a cell; the value of its last line, as a notebook would show it."""
    names |= {"math": math, "torch": torch, "nn": nn, "lessons": lessons}
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_every_exercise_is_on_a_page():
    assert sorted(TASKS) == sorted(EXERCISES)
    assert len(TASKS) == 12


@pytest.mark.parametrize("name", EXERCISES)
def test_the_page_ships_with_three_dots_and_its_solution_passes(name):
    cell, solution = TASKS[name]
    assert run(cell).state == "not yet"
    head = {"head": lessons.colleagues_head(), "z": lessons.arrows_for_head()}
    verdict = run(f"{solution}\n{cell.splitlines()[-1]}", **head)
    assert verdict.state == "right", verdict


MISTAKES = [(name, n) for name, exercise in EXERCISES.items() for n in range(len(exercise.mistakes))]


@pytest.mark.parametrize(("name", "n"), MISTAKES)
def test_each_usual_mistake_is_told_what_is_wrong_with_it_and_nothing_of_the_solution(name, n):
    mistake, message = EXERCISES[name].mistakes[n]
    assert check(name, mistake if EXERCISES[name].cases[0] else mistake()) == lessons.Verdict("wrong", message)
    lines = [line.strip().removeprefix("return ") for line in TASKS[name][1].splitlines() if "def " not in line]
    assert not any(line in message for line in lines)


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("dft", lambda v: torch.fft.fft(v).sum(), "shape ()"),
        ("dft", lambda v: v.nonsense, "a tensor of shape (12,) it raised `AttributeError"),
        ("find_delay", lambda v, w: int(w.argmax()) / 2 + 0.3, "whole number"),
        ("modrelu", lambda z, b: torch.relu(z.abs() + b) * z / z.abs(), "NaN"),
        ("modrelu", lambda z, b: torch.relu(z.abs() + b) * torch.sgn(z) * 2, "length"),
        ("keeps", dict.fromkeys(lessons.CANDIDATES, True), "put in $z = 1$"),
        ("fault", "modReLU", "none of"),
        ("dft", 3, "without brackets"),
    ],
)
def test_other_wrong_answers_are_told_where_to_look(name, answer, said):
    verdict = check(name, answer)
    assert verdict.state == "wrong"
    assert any(part in verdict.message for part in said.split("|")), verdict.message


@pytest.mark.parametrize("name", sorted(set(EXERCISES) - {"keeps", "fault"}))
@pytest.mark.parametrize("outcome", [None, "left", [[1], [2, 3]], math.inf, torch.zeros(1, 1, 1), 1 + 1j], ids=str)
def test_whatever_a_function_returns_the_check_does_not_raise(name, outcome):
    verdict = check(name, lambda *given: outcome)
    assert verdict.state == "wrong"
    assert verdict.message
    assert check(name, lambda *given: ...).state == check(name, ...).state == "not yet"


def test_what_is_left_open_is_not_yet_wrong():
    assert check("keeps", {"z |z|": True, "z²": ...}).state == "not yet"
    assert check("keeps", {"z |z|": False, "z²": ...}).state == "wrong"


def test_a_function_cannot_spoil_what_it_is_checked_with():
    def dft(v):
        spectrum = torch.fft.fft(v)
        v.zero_()
        return spectrum

    assert check("dft", dft).state == "right"
    assert check("dft", dft)._repr_markdown_() == "✓ **Right.** "


def test_padding_turns_as_the_layer_does():
    """The right answer of that exercise, against the package's own pooling."""
    for k, s, steps, components in EXERCISES["padded_turn"].cases:
        pool, hit = SpectralPooling(1, 1, components), torch.zeros(1, 1, steps)
        hit[..., 2] = 1
        ratio = pool.spectrum(hit.roll(s, dims=-1)) / pool.spectrum(hit)
        expected = turn(math.radians(EXERCISES["padded_turn"].right(k, s, steps, components)))
        torch.testing.assert_close(ratio[0, 0, k - 1], expected, atol=1e-4, rtol=0)
