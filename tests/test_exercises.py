"""The exercises of the teaching pages: each shipped solution passes, plausible mistakes get a word that helps, and the
pages as they ship say "not yet"."""

import ast
import json
import math
import re
from itertools import pairwise

import pytest
import torch
from torch import nn

from phalar.paths import PACKAGE
from phalar.study import exercises, lessons
from phalar.study.exercises import CANDIDATES, FAULTS, Verdict

PAGES = ("shift-theorem", "phase")
CHECKS = sorted(name for name in dir(exercises) if name.startswith("check_"))


def namespace():
    """Names that the pages import before their first exercise."""
    return {"math": math, "torch": torch, "nn": nn, "exercises": exercises, "lessons": lessons}


def tasks():
    """(check's name, the cell as it ships, the solution beside it) of every exercise on the pages, in their order."""
    for page in PAGES:
        cells = json.loads((PACKAGE.parent / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
        sources = ["".join(cell["source"]) for cell in cells]
        for cell, after in pairwise(sources):
            if found := re.search(r"^exercises\.(check_\w+)\(", cell, flags=re.M):
                solution = re.search(
                    r"\A:::\{admonition\} Solution\n.*?```python\n(.*?)\n```.*:::\Z", after, flags=re.S
                )
                assert solution, f"{page}: no solution after {found[1]}"
                yield found[1], cell, solution[1]


TASKS = {name: (cell, solution) for name, cell, solution in tasks()}


def run(source, names):
    """Run a cell; the value of its last line, as a notebook would show it."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def test_every_check_has_its_exercise_and_every_page_its_share():
    assert sorted(TASKS) == CHECKS
    assert len(CHECKS) == 12


@pytest.mark.parametrize("name", CHECKS)
def test_the_page_ships_with_a_placeholder_that_is_told_not_yet(name):
    cell, _ = TASKS[name]
    assert re.search(r"(return|=|:) \.\.\.", cell), "three dots show where the answer goes"
    verdict = run(cell, namespace())
    assert verdict.state == "not yet"
    assert "Not yet" in verdict._repr_markdown_()


@pytest.mark.parametrize("name", CHECKS)
def test_the_solution_on_the_page_passes(name):
    cell, solution = TASKS[name]
    names = namespace()
    check = cell.splitlines()[-1]
    if name == "check_fault":  # its solution measures what the cell makes
        names |= {"head": exercises.colleagues_head(), "z": exercises.arrows_for_head()}
    verdict = run(f"{solution}\n{check}", names)
    assert verdict.passed, verdict
    assert verdict.message


# --- plausible mistakes, and a part of what is said to each


def ramp(T, s, sign=-1):
    return torch.exp(sign * 2j * torch.pi * torch.arange(T) * s / T)


def transform(v, sign=-1, steps=None):
    t = torch.arange(len(v))
    return torch.exp(sign * 2j * torch.pi * t[:, None] * t / (steps or len(v))) @ v.to(torch.complex64)


def by_rfft(v, s, sign=-1):
    V = torch.fft.rfft(v)
    return torch.fft.irfft(torch.exp(sign * 2j * torch.pi * torch.arange(len(V)) * s / len(v)) * V, n=len(v))


def slope_of_component_one(v, w):
    angle = (torch.fft.fft(w)[1] / torch.fft.fft(v)[1]).angle()
    return round(float(-angle / (2 * torch.pi) * len(v))) % len(v)


def best_match(v, w, sign=1):
    return sign * int(torch.fft.ifft(torch.fft.fft(v).conj() * torch.fft.fft(w)).real.argmax())


def on_parts(function, z):
    return torch.complex(function(z.real), function(z.imag))


def standardised(x):
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


def error_of(layer, z, theta, turned_after=True, relative=True):
    turn = lessons.turn(theta)
    difference = (layer(turn * z) - (turn if turned_after else 1) * layer(z)).norm()
    return difference / layer(z).norm() if relative else difference


def block(W, signs=((1, -1), (1, 1)), parts=(("real", "imag"), ("imag", "real"))):
    rows = [
        [sign * getattr(W, part) for sign, part in zip(*row, strict=True)] for row in zip(signs, parts, strict=True)
    ]
    return torch.cat([torch.cat(row, dim=1) for row in rows])


ALL_TRUE = dict.fromkeys(CANDIDATES, True)

MISTAKES = {
    "check_hit_angle": [
        (lambda k, t, T: 360 * k * t / T, "direction"),
        (lambda k, t, T: -2 * math.pi * k * t / T, "radians"),
        (lambda k, t, T: -360 * t / T, "component 3"),
        (lambda k, t, T: -30 * k * t, "not on one of 32"),
        (lambda k, t, T: -360 * k / T, "what is its angle"),
    ],
    "check_dft": [
        (lambda v: transform(v, sign=1), "wrong sign"),
        (lambda v: transform(v) / len(v), "12 times too small"),
        (lambda v: transform(v) / len(v) ** 0.5, "3.464 times too small"),
        (lambda v: torch.fft.rfft(v) if not v.is_complex() else torch.fft.fft(v), "7 components of 12"),
        (lambda v: transform(v).real, "imaginary parts are not"),
        (lambda v: transform(v, steps=len(v) - 1), "letter by letter"),
        (lambda v: transform(v) - v.sum(), "plain sum"),
        (lambda v: transform(v).sum(), "shape"),
    ],
    "check_component_of_beat": [
        (lambda bpm, seconds: bpm * seconds, "Sixty"),
        (lambda bpm, seconds: bpm / 60, "beats a *second*"),
        (lambda bpm, seconds: 60 / bpm, "*lasts*"),
        (lambda bpm, seconds: bpm * seconds / 240, "bar of four"),
        (lambda bpm, seconds: bpm / seconds, "Tap it"),
    ],
    "check_delay": [
        (lambda v, s: v.roll(round(s)), "rounded"),
        (lambda v, s: by_rfft(v, s, sign=1), "sign"),
        (lambda v, s: v, "where it was"),
        (lambda v, s: torch.fft.ifft(ramp(len(v), s) * torch.fft.fft(v)), "complex"),
        (lambda v, s: torch.fft.ifft(ramp(len(v), s) * torch.fft.fft(v)).real, "Component T − k"),
        (lambda v, s: torch.fft.irfft(ramp(len(v), s)[: len(v) // 2 + 1] * torch.fft.rfft(v)), "shape (8,)"),
        (lambda v, s: v.flip(0), "`v.roll(3)`"),
    ],
    "check_padded_turn": [
        (lambda k, s, T, C: -360 * k * s / T, "`shortest_steps`"),
        (lambda k, s, T, C: 360 * k * s / max(T, 2 * (C + 1) + 1), "direction"),
        (lambda k, s, T, C: -2 * math.pi * k * s / max(T, 2 * (C + 1) + 1), "radians"),
        (lambda k, s, T, C: -360 * k * s / (T + 2 * (C + 1) + 1), "another angle"),
    ],
    "check_find_delay": [
        (lambda v, w: best_match(v, w, -1), "other direction"),
        (slope_of_component_one, "comes twice"),
        (lambda v, w: int(w.argmax()) / 2 + 0.3, "whole number"),
        (lambda v, w: int(w.argmax()), "what is the slope"),
    ],
    "check_equivariance_error": [
        (lambda f, z, a: error_of(f, z, a, turned_after=False), "compared with"),
        (lambda f, z, a: error_of(f, z, a, relative=False), "relative to what"),
        (lambda f, z, a: 0.0, "a layer with a bias, too"),
        (lambda f, z, a: error_of(f, z, a) ** 2, "square"),
        (lambda f, z, a: error_of(f, z, a) / 2, "norm of each whole tensor"),
    ],
    "check_modrelu": [
        (lambda z, b: on_parts(torch.relu, z + b), "point elsewhere"),
        (lambda z, b: z * (z.abs() > -b), "full length"),
        (lambda z, b: torch.relu(z.abs() + b) * z / z.abs(), "NaN"),
        (lambda z, b: z, "should become zero"),
        (lambda z, b: 2 * torch.relu(z.abs() + b) * torch.sgn(z), "lengths are not"),
        (lambda z, b: torch.relu(z.abs() + b), "point elsewhere"),
    ],
    "check_layer_norm": [
        (lambda z: on_parts(standardised, z) / 2**0.5 * (32 / 31) ** 0.5, "real and imaginary parts"),
        (lambda z: z / z.abs().square().mean(-1, keepdim=True).sqrt(), "mean of a row"),
        (lambda z: z - z.mean(-1, keepdim=True), "mean of |z|²"),
        (lambda z: (z - z.mean()) / (z - z.mean()).abs().square().mean().sqrt(), "last dimension"),
    ],
    "check_as_real_matrix": [
        (lambda W: block(W, signs=((1, 1), (-1, 1))), "W*"),
        (lambda W: block(W, signs=((1, 1), (1, 1))), "i² is"),
        (lambda W: block(W, signs=((1, -1), (1, -1))), "Im((a + ib)(c + id))"),
        (lambda W: block(W, signs=((1, 1), (1, -1))), "2 by 2"),
        (lambda W: block(W).T, "shape"),
        (lambda W: W, "shape"),
    ],
    "check_keeps": [
        (ALL_TRUE, "4 of the 8"),
        (ALL_TRUE | {"z²": False, "z*": False, "tanh(Re z) + i tanh(Im z)": False}, "1 of the 8 you judged is"),
        ({"i z": True, "z²": ...}, "7 are still open"),
        ({"z^2": False}, "none of the candidates"),
        ({"i z": "yes"}, "True or False"),
        (["i z"], "dictionary"),
    ],
    "check_fault": [
        ("bias", "angles at which this head does agree"),
        ("Real  matrix", "90°"),
        ("relu on parts", "180°"),
        ("dropout on parts", "twice"),
        ("modReLU", "none of"),
        (7, "none of"),
    ],
}

WRONG = [(name, wrong, said) for name, mistakes in MISTAKES.items() for wrong, said in mistakes]


@pytest.mark.parametrize(("name", "wrong", "said"), WRONG)
def test_a_plausible_mistake_is_told_what_is_wrong_with_it(name, wrong, said):
    verdict = getattr(exercises, name)(wrong)
    assert verdict.state == "wrong", verdict
    assert said in verdict.message


def test_every_exercise_has_mistakes():
    assert sorted(MISTAKES) == CHECKS


FUNCTIONS = [name for name in CHECKS if name not in ("check_keeps", "check_fault")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_whatever_a_function_does_the_check_does_not_raise(name):
    check = getattr(exercises, name)
    outcomes = {
        "nothing": lambda *given: None,
        "no number": lambda *given: "left",
        "a list in lists": lambda *given: [[1], [2, 3]],
        "not a number": lambda *given: given[0] * float("nan"),
        "another shape": lambda *given: torch.zeros(1, 1, 1),
        "infinite": lambda *given: math.inf,
        "too large": lambda *given: 1e30,
        "complex": lambda *given: 1 + 1j,
    }
    for what, function in outcomes.items():
        verdict = check(function)
        assert verdict.state == "wrong", what
        assert verdict.message, what
    assert "returns nothing" in check(outcomes["nothing"]).message
    assert "without brackets" in check(3).message
    assert check(lambda *given: ...).state == "not yet"
    assert check(...).state == "not yet"


def test_what_the_function_raised_is_told_with_what_it_was_given():
    def angle(k, t, T):
        return k / t

    verdict = exercises.check_hit_angle(angle)
    assert verdict.message == "Called with k = 1, t = 0, T = 12 it raised `ZeroDivisionError: division by zero`."
    assert "3 were given" in exercises.check_hit_angle(lambda k, t: 0).message
    assert "a tensor of shape (12,)" in exercises.check_dft(lambda v: v.nonsense).message


def test_a_function_cannot_spoil_what_it_is_checked_with():
    def dft(v):
        spectrum = torch.fft.fft(v)
        v.zero_()
        return spectrum

    assert exercises.check_dft(dft).passed


@pytest.mark.parametrize("name", CHECKS)
def test_no_message_gives_the_solution_away(name):
    """Not a line of a solution's arithmetic stands in what its check says to a mistake."""
    _, solution = TASKS[name]
    lines = [line.strip().removeprefix("return ") for line in solution.splitlines() if not line.startswith("def ")]
    said = " ".join(getattr(exercises, name)(wrong).message for wrong, _ in MISTAKES[name])
    assert not [line for line in lines if line in said]


def test_the_candidates_are_judged_as_they_measure():
    z = torch.randn(16, 8, dtype=torch.complex64, generator=torch.Generator().manual_seed(3))
    angles = [0.3, 1.0, math.pi / 2, 2.5]
    measured = {
        name: bool(lessons.equivariance_error(layer, z, angles).max() < 1e-5) for name, layer in CANDIDATES.items()
    }
    assert exercises.check_keeps(measured).passed


def test_the_colleagues_head_has_the_fingerprint_of_its_fault_and_of_no_other():
    head, z = exercises.colleagues_head(), exercises.arrows_for_head()
    assert torch.equal(head(z), exercises.colleagues_head()(z)), "it draws nothing, and is the same each time"
    at = dict(zip((45, 90, 180), lessons.equivariance_error(head, z, map(math.radians, (45, 90, 180))), strict=True))
    assert at[45] > 0.05
    assert at[90] < 1e-4
    assert at[180] < 1e-4
    assert "norm" not in repr(head).lower()
    assert "layer norm on parts" in FAULTS


def test_a_verdict_reads_as_text_and_as_markdown():
    verdict = Verdict("wrong", "The sign.")
    assert not verdict.passed
    assert repr(verdict) == "✗ Not right yet. The sign."
    assert verdict._repr_markdown_() == "✗ **Not right yet.** The sign."
