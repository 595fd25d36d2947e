"""The teaching pages: a loop without a seam, the measure of equivariance, and exercises whose solutions pass and whose
usual mistakes get a word that helps."""

import ast
import contextlib
import json
import math
import re
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from phalar.lessons import check_equivariance
from phalar.model.complex_layers import ComplexDropout, ComplexHead, ComplexLinear, ComplexRMSNorm, ModReLU
from phalar.model.pooling import SpectralPooling
from phalar.paths import PACKAGE
from phalar.study import lessons
from phalar.study.lessons import Exercise, check, drawn, equivariance_error, turn


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


KEEPING = [ComplexLinear(12, 7), ComplexRMSNorm(12), ModReLU(12), ComplexDropout(0.5), ComplexHead(12, 9)]


def test_the_measure_leaves_the_random_numbers_alone_and_draws_the_same_ones():
    def noise(z):
        return z + torch.randn(z.shape)

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = equivariance_error(noise, drawn(4, 6, seed=0), [1.0])
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(equivariance_error(noise, drawn(4, 6, seed=0), [1.0]), first)
    assert not torch.equal(equivariance_error(noise, drawn(4, 6, seed=0), [1.0], seed=1), first)


# --- the exercises of the pages


def names_of(cells):
    """What a reader has who ran a page's imports and exercises, and the functions that these use."""
    names = {}
    for source in cells:
        whole = "lessons.Exercise(" in source
        for node in ast.parse(source).body:
            if whole or isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef):
                with contextlib.suppress(*() if whole else (NameError,)):  # a default that only the page has
                    exec(compile(ast.Module([node], []), "cell", "exec"), names)
    return names


def tasks():
    """(page and exercise, the page's names, the cell as it ships, the solution beside it) in the pages' order."""
    for page, cells in PAGES.items():
        names = names_of(source for kind, source in cells if kind == "code")
        for (_, cell), (_, after) in pairwise(cells):
            if found := re.search(r"^lessons\.check\((\w+), ", cell, flags=re.M):
                solution = re.search(r"\A:::\{admonition\} Solution\n.*?```python\n(.*?)\n```.*:::\Z", after, re.S)
                assert solution, f"{page}: no solution after {found[1]}"
                yield f"{page} {found[1]}", names, names[found[1]], cell, solution[1]


def pages():
    """Kind and text of each cell of every notebook that has exercises, by its name."""
    for path in sorted((PACKAGE.parent / "notebooks").rglob("*.ipynb")):
        cells = [(c["cell_type"], "".join(c["source"])) for c in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        if any("lessons.Exercise(" in source for _, source in cells):
            yield path.stem, cells


PAGES = dict(pages())
TASKS = {name: task for name, *task in tasks()}


def run(source, names):
    """Run a cell; the value of its last line, as a notebook would show it."""
    *body, last = ast.parse(source).body
    names = dict(names)
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


@pytest.mark.parametrize("name", TASKS)
def test_an_exercise_ships_with_dots_accepts_its_solution_and_knows_its_mistakes(name):
    names, exercise, cell, solution = TASKS[name]
    assert run(cell, names).state == "not yet"
    assert run(f"{solution}\n{cell.splitlines()[-1]}", names) == lessons.Verdict("right", "")
    lines = [line.strip().removeprefix("return ") for line in solution.splitlines() if "def " not in line]
    for mistake, message in exercise.mistakes:
        assert check(exercise, mistake if exercise.cases[0] else mistake()) == lessons.Verdict("wrong", message)
        assert not any(line in message for line in lines), "nothing of the solution is told"


@pytest.mark.parametrize("page", [page for page in PAGES if page[0].isdigit()])
def test_a_chapter_asks_predicts_asserts_plays_and_says_where_it_is_in_the_package(page):
    prose = [source for kind, source in PAGES[page] if kind == "markdown"]
    code = [source for kind, source in PAGES[page] if kind == "code"]
    assert "**The question.**" in prose[0]
    assert "book/notation>`" in prose[0] or "book/notation`" in prose[0]
    for heading in ("## Where this is in the package", "## What to take away", "## Further reading"):
        assert sum(heading in source.splitlines() for source in prose) == 1, heading
    predictions, answers = ("".join(prose).count(mark) for mark in ("**Predict", "} Answer\n:class: dropdown\n"))
    assert len(re.findall(r"^\s*assert ", "\n".join(code), flags=re.M)) >= predictions == answers >= 4
    exercises = [source for source in prose if "### Exercise " in source]
    assert 3 <= len(exercises) <= 5
    assert all(":::{admonition} Hint\n:class: dropdown\n" in source for source in exercises)
    assert any("media.player" in source for source in code)
    shown = [source for source in code if source.startswith("lessons.source(")]
    assert len(shown) == 1
    if page == "5-gradients":  # what it shows of the training names the training's page
        return
    title, names = re.match(r"# (\w[^?:\n]*)", prose[0])[1], names_of(code)
    for each in ast.parse(shown[0]).body[0].value.args:
        holder, one = ast.unparse(each).rpartition(".")[0], eval(ast.unparse(each), names)
        told = [place.__doc__ or "" for place in (one, sys.modules[one.__module__], holder and eval(holder, names))]
        assert f"*{title}" in " ".join(" ".join(told).split()), ast.unparse(each)


def on_parts(function):
    return lambda z: torch.complex(function(z.real), function(z.imag))


BROKEN = {
    "z + 0.01": (lambda z: z + 0.01, "is not 0"),
    "the mean of another batch": (lambda z: z - drawn(8, seed=1).mean(), "is not 0"),
    "dropout on parts": (on_parts(torch.nn.functional.dropout), "z* is let in"),
    "tanh on parts": (on_parts(torch.tanh), "through one function"),
    "bf16": (on_parts(lambda x: x.bfloat16().float()), "half precision"),
    "ReLU on parts": (on_parts(torch.relu), "Not even a half turn"),
    "z²": (torch.square, "Not even a half turn"),
    "|z|": (lambda z: z.abs() + 0j, "*invariance*"),
    "a real result": (torch.abs, "result is real"),
    "nothing": (torch.zeros_like, "nothing but zeros"),
    "0 / 0": (lambda z: z * torch.relu(z.abs() - 0.1) / z.abs(), "z = 0 gives NaN"),
    "a root at 0": (lambda z: z * (z.real**2 + z.imag**2).sqrt(), "gradient at z = 0"),
    "a fault": (lambda z: z.nonsense, "AttributeError"),
    "a list": (lambda z: [1], "shape"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_layer_is_told_what_its_fault_looks_like(name):
    layer, said = BROKEN[name]
    verdict = check_equivariance(layer)
    assert verdict.state == "wrong"
    assert said in verdict.message


@pytest.mark.parametrize("layer", KEEPING, ids=lambda layer: type(layer).__name__)
def test_what_the_model_is_made_of_passes_and_dots_are_not_yet_wrong(layer):
    assert check_equivariance(layer.train(), features=12).state == "right"
    assert check_equivariance(...).state == check_equivariance(lambda z: ...).state == "not yet"


def test_the_readers_own_layer_is_checked_and_the_solution_passes():
    text = dict(PAGES)["4-layers"]
    names = names_of(source for kind, source in text if kind == "code")
    at = next(i for i, (_, source) in enumerate(text) if "\ncheck_equivariance(my_layer)" in source)
    assert run(text[at][1], names).state == "not yet"
    solution = re.search(r"```python\n(.*?)\n```", text[at + 1][1], re.S)[1]
    assert run(f"{solution}\ncheck_equivariance(my_layer)", names).state == "right"


def test_padding_turns_as_the_layer_does():
    """The right answer of that exercise, against the package's own pooling."""
    exercise = TASKS["2-a-delay-is-a-turn exercise_4"][1]
    for k, s, steps, components in exercise.cases:
        pool, hit = SpectralPooling(1, 1, components), torch.zeros(1, 1, steps)
        hit[..., 2] = 1
        ratio = pool.spectrum(hit.roll(s, dims=-1)) / pool.spectrum(hit)
        expected = turn(math.radians(exercise.right(k, s, steps, components)))
        torch.testing.assert_close(ratio[0, 0, k - 1], expected, atol=1e-4, rtol=0)


# --- the mechanism

LENGTH = Exercise([(drawn(12, seed=1),)], torch.abs, "How long is an arrow?", (torch.Tensor.angle, "An angle."))
KEEPS = Exercise([("a",), ("b",)], {"a": True, "b": False}.get, "Not so.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda z: z.abs().sum(), "shape is (), where (12,)"),
        (lambda z: z.nonsense, "a tensor of shape (12,) it raised `AttributeError"),
        (lambda z: z.abs() / 0, "NaN or infinite"),
        (lambda z: 2 * z.abs(), "How long"),
        (lambda z: z, "should be real"),
        (lambda z: z.angle(), "An angle."),
        (lambda z: None, "begin with `return`"),
        (lambda z: "left", "and this is `'left'`"),
        (lambda z: [[1], [2, 3]], "A tensor of shape (12,) is wanted"),
        (lambda z: 1 + 1j, "shape is ()"),
        (3, "without brackets"),
    ],
)
def test_a_wrong_answer_is_told_where_to_look_whatever_it_is(answer, said):
    verdict = check(LENGTH, answer)
    assert verdict.state == "wrong"
    assert said in verdict.message


def test_what_is_left_open_is_not_yet_wrong():
    assert check(LENGTH, ...).state == check(LENGTH, lambda z: ...).state == "not yet"
    assert check(KEEPS, {"a": True}).state == check(KEEPS, {"a": True, "b": ...}).state == "not yet"
    assert check(KEEPS, {"a": False, "b": ...}).message == "Not so."
    assert check(KEEPS, {"a": True, "b": False}).state == "right"


def test_a_function_cannot_spoil_what_it_is_checked_with():
    def length(z):
        found = z.abs()
        z.zero_()
        return found

    assert check(LENGTH, length).state == check(LENGTH, length).state == "right"
    assert check(LENGTH, length)._repr_markdown_() == "✓ **Right.** "
