"""Exercises of the teaching pages: one check each, which says what is wrong without saying what is right.

A check takes what the student wrote, mostly a function, and returns a :class:`Verdict`, which a notebook shows as a
line of text. Three dots stand for what is not written yet: the page as it ships runs through, and its checks say "not
yet". Checks never raise, whatever they are given. The exercises are on the pages *The shift theorem* and *What keeps
phase and what breaks it*; their solutions are there, and ``tests/test_exercises.py`` runs each of them.
"""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phalar.model.complex_layers import ComplexLinear, ModReLU
from phalar.model.pooling import SpectralPooling
from phalar.study.lessons import equivariance_error, split_layer_norm, turn

TOLERANCE = 1e-3
"""Relative: loose enough for single precision, far below any mistake."""

_MARKS = {"not yet": "○ **Not yet.**", "wrong": "✗ **Not right yet.**", "right": "✓ **Right.**"}


@dataclass(frozen=True)
class Verdict:
    """What a check says: ``state`` is "not yet" (nothing was tried), "wrong" or "right"."""

    state: str
    message: str

    @property
    def passed(self) -> bool:
        return self.state == "right"

    def __repr__(self) -> str:
        return f"{_MARKS[self.state].replace('*', '')} {self.message}"

    def _repr_markdown_(self) -> str:
        return f"{_MARKS[self.state]} {self.message}"


class _NotYet(Exception):
    pass


class _Wrong(Exception):
    pass


def _exercise(check: Callable[[Any], str]) -> Callable[[Any], Verdict]:
    """Make a check, which raises what is wrong and returns what to take along, return a verdict in every case."""

    @functools.wraps(check)
    def judged(answer: Any) -> Verdict:
        try:
            if answer is ...:
                raise _NotYet
            return Verdict("right", check(answer))
        except _NotYet:
            return Verdict("not yet", "Put your answer in the place of the three dots and run the cell again.")
        except _Wrong as fault:
            return Verdict("wrong", str(fault))

    judged.__annotations__["return"] = Verdict
    return judged


def _call(answer: Any, *given: Any) -> Any:
    """What the student's function returns, with every way to fail put into words."""
    if not callable(answer):
        raise _Wrong(f"A function is wanted here, and this is `{answer!r:.60}`. Hand over its name, without brackets.")
    try:
        result = answer(*(value.clone() if isinstance(value, Tensor) else value for value in given))
    except Exception as error:  # the student's code may raise anything
        message = " ".join(str(error).split())[:200]
        raise _Wrong(f"Called with {_told(answer, given)} it raised `{type(error).__name__}: {message}`.") from error
    if result is ...:
        raise _NotYet
    if result is None:
        raise _Wrong("It returns nothing. Does its last line begin with `return`?")
    return result


def _told(answer: Callable, given: tuple) -> str:
    """The arguments of a call in words: numbers as they are, tensors by their shape."""
    try:
        names = list(inspect.signature(answer).parameters)
    except (TypeError, ValueError):
        names = []
    names += [f"argument {i + 1}" for i in range(len(names), len(given))]
    values = [f"a tensor of shape {tuple(v.shape)}" if isinstance(v, Tensor) else _short(v) for v in given]
    return ", ".join(f"{name} = {value}" for name, value in zip(names, values, strict=False))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else getattr(value, "__name__", None) or str(value)[:40]


def _number(result: Any) -> float:
    try:
        value = float(result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _Wrong(f"One real number is wanted, and this is `{result!r:.60}`.") from error
    if not math.isfinite(value):
        raise _Wrong(f"It returns {value}. Is something divided by zero?")
    return value


def _tensor(result: Any, shape: tuple[int, ...], complex_values: bool) -> Tensor:
    if not isinstance(result, Tensor | np.ndarray | list | tuple):
        raise _Wrong(f"A tensor of shape {shape} is wanted, and this is `{result!r:.60}`.")
    try:
        values = torch.as_tensor(result)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _Wrong(f"This cannot be made into a tensor: {' '.join(str(error).split())[:200]}.") from error
    if tuple(values.shape) != shape:
        raise _Wrong(f"The result has shape {tuple(values.shape)}, where {shape} is wanted.")
    if values.is_complex() and not complex_values:
        raise _Wrong("The result is complex, where real numbers are wanted. An imaginary part of zero is still one.")
    if not torch.isfinite(torch.view_as_real(values) if values.is_complex() else values).all():
        raise _Wrong("The result holds NaN or infinity. Where is something divided by zero?")
    return values.to(torch.complex128 if complex_values else torch.float64)


def _close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= TOLERANCE * (1 + b.abs().max()))


def _same_angle(a: float, b: float) -> bool:
    """Whether two angles in degrees point the same way."""
    return abs((a - b + 180) % 360 - 180) < 0.1


def _random(*shape: int, seed: int, complex_values: bool = False) -> Tensor:
    dtype = torch.complex64 if complex_values else torch.float32
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


# ------------------------------------------------------------------------------------------------ The shift theorem


@_exercise
def check_hit_angle(answer: Callable[[int, int, int], float]) -> str:
    """``answer(k, t, T)``: where component k's arrow of a single hit at step t of T points, in degrees."""
    for k, t, steps in ((1, 0, 12), (1, 1, 12), (3, 1, 12), (1, 5, 12), (5, 2, 12), (2, 3, 32), (7, 30, 32)):
        given, wanted = _number(_call(answer, k, t, steps)), -360 * k * t / steps
        if _same_angle(given, wanted):
            continue
        if _same_angle(math.degrees(given), wanted):
            raise _Wrong("These look like radians. Degrees are wanted.")
        if _same_angle(given, -wanted):
            raise _Wrong("The size is right, the direction is not: which way do the hands of a clock turn?")
        if _same_angle(given, wanted / k):
            raise _Wrong(
                f"Right for component 1, not for component {k}: how many rounds does its hand make in {steps} steps?"
            )
        if _same_angle(given, -360 * k * t / 12):
            raise _Wrong(f"Right on a clock of 12 steps, not on one of {steps}.")
        raise _Wrong(
            f"For k = {k}, t = {t}, T = {steps} you say {given:.4g}°, and the arrow points elsewhere. Only one term "
            "of the sum is left, since only one step is not zero: what is its angle?"
        )
    return "A hit at step t is turned back by k·t steps of the clock. Everything else on this page follows from that."


@_exercise
def check_dft(answer: Callable[[Tensor], Tensor]) -> str:
    """``answer(v)``: the DFT of v, without ``torch.fft``."""
    for v in (_random(12, seed=1), _random(7, seed=2), _random(8, seed=3, complex_values=True)):
        steps, wanted = len(v), torch.fft.fft(v.to(torch.complex128))
        result = _call(answer, v)
        half = steps // 2 + 1
        if isinstance(result, Tensor) and tuple(result.shape) == (half,):
            raise _Wrong(
                f"These are {half} components of {steps}. Of real sequences the others can be told from them, but "
                "here all are wanted."
            )
        given = _tensor(result, (steps,), complex_values=True)
        if _close(given, wanted):
            continue
        turned_back = torch.fft.ifft(v.to(torch.complex128)) * steps
        if _close(given, turned_back):
            raise _Wrong("All lengths are right, and all angles have the wrong sign.")
        for divisor in (steps, math.sqrt(steps)):
            if _close(given * divisor, wanted):
                raise _Wrong(
                    f"Every component is {divisor:.4g} times too small. The plain sum has no divisor in front."
                )
        if _close(given.real, wanted.real):
            raise _Wrong("The real parts are right, the imaginary parts are not. A cosine is half of the exponential.")
        if _close(given[0], wanted[0]):
            raise _Wrong(
                f"Component 0 is right, others are not (T = {steps}). Compare your exponent with the formula, "
                "letter by letter."
            )
        raise _Wrong(
            f"For v of length {steps}, component 0 should be the plain sum of v, and is not. Start there: what "
            "becomes of the exponential at k = 0?"
        )
    return "The same as `torch.fft.fft`, for real and complex sequences of any length."


@_exercise
def check_component_of_beat(answer: Callable[[float, float], float]) -> str:
    """``answer(bpm, seconds)``: which component of an excerpt turns once a beat."""
    for bpm, seconds in ((120, 3.0), (60, 5.0), (90, 8.0), (100, 6.0)):
        given, wanted = _number(_call(answer, bpm, seconds)), bpm * seconds / 60
        if math.isclose(given, wanted, rel_tol=TOLERANCE):
            continue
        if math.isclose(given, bpm * seconds, rel_tol=TOLERANCE):
            raise _Wrong("Sixty times too much: a tempo counts beats in a minute, the excerpt is in seconds.")
        if math.isclose(given, bpm / 60, rel_tol=TOLERANCE):
            raise _Wrong("That is beats a *second*. A component counts what fits into the excerpt.")
        if math.isclose(given, 60 / bpm, rel_tol=TOLERANCE):
            raise _Wrong("That is how long a beat *lasts*. A component counts how many fit into the excerpt.")
        if math.isclose(given, wanted / 4, rel_tol=TOLERANCE):
            raise _Wrong("That is the component of a bar of four beats. One beat is asked for.")
        raise _Wrong(f"At {bpm} beats a minute, in {seconds:g} s, you say component {given:.4g}. Tap it and count.")
    return "Component k is what happens k times in the excerpt; so which k is the beat depends on both."


@_exercise
def check_delay(answer: Callable[[Tensor, float], Tensor]) -> str:
    """``answer(v, s)``: the real sequence v delayed in a circle by s steps, whole or not, by way of its spectrum."""
    for v, s in ((torch.eye(12)[2], 3), (_random(9, seed=4), 2), (_random(12, seed=5), -4)):
        given = _real_sequence(_call(answer, v, s), len(v))
        if _close(given, v.roll(s).double()):
            continue
        if _close(given, v.roll(-s).double()):
            raise _Wrong(f"A delay by {s} comes out as a delay by {-s}. Mind the sign of the angle.")
        if _close(given, v.double()):
            raise _Wrong("The sequence comes out where it was.")
        raise _Wrong(
            f"A delay of a sequence of {len(v)} steps by {s} is not what `v.roll({s})` gives. First make s = 0 "
            "return v, then look at the ramp."
        )
    for steps, s in ((12, 0.5), (15, 2.25), (16, -3.7)):
        time = torch.arange(steps)
        v, wanted = (1 + torch.cos(2 * torch.pi * 2 * (time - at) / steps + 0.4) for at in (0, s))
        given = _real_sequence(_call(answer, v, s), steps)
        if _close(given, wanted.double()):
            continue
        if _close(given, v.roll(round(s)).double()) or _close(given, v.roll(int(s)).double()):
            raise _Wrong(
                f"Whole steps are right, but a delay by {s} is rounded. The array cannot be moved by half a step; "
                "an angle can be halved."
            )
        raise _Wrong(
            f"Whole steps are right, {s} steps are not. Component T − k runs as fast as component k, the other way "
            "round: does your ramp know, or does it count up to T − 1?"
        )
    return "Whole steps and fractions of steps, forwards and backwards."


def _real_sequence(result: Any, steps: int) -> Tensor:
    if isinstance(result, Tensor) and result.is_complex():
        raise _Wrong(
            "A delayed sound is still real, and yours is complex. Which transform takes real sequences there "
            "and back? (Taking the real part would hide the fault.)"
        )
    return _tensor(result, (steps,), complex_values=False)


@_exercise
def check_padded_turn(answer: Callable[[int, int, int, int], float]) -> str:
    """``answer(k, s, T, C)``: by how many degrees PHALAR's pooling turns component k when what is in an excerpt of T
    steps comes s steps later and nothing falls out."""
    for k, s, steps, components in ((1, 1, 32, 8), (1, 1, 16, 8), (3, 2, 16, 8), (2, 1, 10, 10), (1, 2, 9, 16)):
        pool = SpectralPooling(1, 1, components)
        hit = torch.zeros(1, 1, steps)
        hit[..., 2] = 1
        ratio = pool.spectrum(hit.roll(s, dims=-1)) / pool.spectrum(hit)
        given, wanted = _number(_call(answer, k, s, steps, components)), math.degrees(ratio[0, 0, k - 1].angle())
        if _same_angle(given, wanted):
            continue
        if _same_angle(math.degrees(given), wanted):
            raise _Wrong("These look like radians. Degrees are wanted.")
        if _same_angle(given, -wanted):
            raise _Wrong("The size is right, the direction is not.")
        if _same_angle(given, -360 * k * s / steps):
            raise _Wrong(
                f"Right for long excerpts. But of {steps} steps with C = {components} the transform sees more than "
                "the excerpt: look at `shortest_steps`, which the layer pads to."
            )
        raise _Wrong(
            f"For k = {k}, s = {s}, T = {steps}, C = {components} you say {given:.4g}°, and the layer turns it by "
            "another angle."
        )
    return "The layer itself turns by exactly this; padding makes the circle longer and every turn smaller."


@_exercise
def check_find_delay(answer: Callable[[Tensor, Tensor], int]) -> str:
    """``answer(v, w)``: by how many steps v must be delayed in a circle to become w."""
    beat = torch.tensor([1.0, 0, 0, 0.4, 0, 0, 0.7, 0]).repeat(2)  # the same in both halves
    twice = (
        "It is right for most sequences, but not for a rhythm that comes twice in the circle. Some of its components "
        "are zero, and what has no length has no angle."
    )
    for v, s in ((torch.eye(12)[0], 4), (_random(16, seed=6), 5), (_random(32, seed=7), 29), (beat, 3)):
        w = v.roll(s)
        try:
            given = _number(_call(answer, v, w))
        except _Wrong as fault:
            raise _Wrong(f"{fault} {twice}" if v is beat else str(fault)) from fault
        if given != round(given):
            raise _Wrong(f"A whole number of steps is wanted, and this is {given:.4g}. Round what you measured.")
        steps = int(given) % len(v)
        if _close(v.roll(steps), w):
            continue
        if _close(v.roll(-steps), w):
            raise _Wrong("That is the delay from w to v: the same size, the other direction.")
        if v is beat:
            raise _Wrong(twice)
        raise _Wrong(
            f"For a sequence of {len(v)} steps delayed by {s} you say {int(given)}. Plot the angles of W/V over k "
            "for this one: what is the slope?"
        )
    return "A delay is read off phases. PHALAR's $x^H W y$ is made of such products: one angle minus the other."


# --------------------------------------------------------------------------- What keeps phase and what breaks it


@_exercise
def check_equivariance_error(answer: Callable[[Callable, Tensor, float], float]) -> str:
    """``answer(layer, z, theta)``: |f(e^{i theta} z) - e^{i theta} f(z)| / |f(z)|."""
    z, weight = _random(3, 6, seed=8, complex_values=True), _random(6, 6, seed=9, complex_values=True)

    def linear(x: Tensor) -> Tensor:
        return x @ weight.T

    def shifted(x: Tensor) -> Tensor:
        return x @ weight.T + 1

    def louder(x: Tensor) -> Tensor:
        return 10 * shifted(x)

    for layer in (linear, shifted, louder):
        for theta in (0.0, 0.7, math.pi):
            given = _number(_call(answer, layer, z, theta))
            wanted = float(equivariance_error(layer, z, [theta])[0])
            if abs(given - wanted) < TOLERANCE:
                continue
            if layer is linear:
                raise _Wrong(
                    f"`x @ W.T` commutes with every turn, and your measure gives it {given:.3g} at {theta:.2g} rad. "
                    "What is f(turned z) to be compared with?"
                )
            if layer is shifted and abs(given) < TOLERANCE:
                raise _Wrong(
                    "Your measure gives 0 for a layer with a bias, too. Is the input turned *before* the layer one "
                    "time, and the output *after* it the other time?"
                )
            plain = wanted * float(layer(z).norm())
            if abs(given - plain) < TOLERANCE * max(plain, 1):
                raise _Wrong(
                    "The difference is right. But a layer that is ten times as loud would be ten times as bad: "
                    "relative to what should it be measured?"
                )
            if abs(given - wanted**2) < TOLERANCE:
                raise _Wrong("That is the square of it.")
            raise _Wrong(
                f"For `x @ W.T + 1` at {theta:.2g} rad your measure gives {given:.4g}, the formula something else. "
                "Take the norm of each whole tensor."
            )
    return "Zero for what keeps phase, and the same whether the layer is loud or soft."


@_exercise
def check_modrelu(answer: Callable[[Tensor, float], Tensor]) -> str:
    """``answer(z, b)``: relu(|z| + b) z / |z|, and 0 at 0."""
    z = _random(64, seed=10, complex_values=True)
    for b in (-0.5, -1.2, 0.0):
        given = _tensor(_call(answer, z, b), (64,), complex_values=True)
        length = z.abs().double()
        wanted = torch.relu(length + b) * z / length
        if _close(given, wanted):
            continue
        if not _close((given * z.conj()).imag, torch.zeros(64)):
            raise _Wrong(
                f"With b = {b} some outputs point elsewhere than their inputs. Lengths may change here, angles must "
                "not."
            )
        if given[length < -b].abs().gt(TOLERANCE).any():
            raise _Wrong(f"With b = {b} an arrow shorter than {-b} should become zero, and does not.")
        if _close(given, z * (length > -b)):
            raise _Wrong(
                f"With b = {b} short arrows vanish, and long ones keep their full length: the output jumps where "
                "the dead zone ends. By how much should they shrink?"
            )
        raise _Wrong(
            f"With b = {b} all angles are right, and the lengths are not. Draw the output's length against the input's."
        )
    _tensor(_call(answer, torch.zeros(2, dtype=torch.complex64), -0.1), (2,), complex_values=True)
    return "A dead zone about the origin, no angle changed, and no NaN at zero."


@_exercise
def check_layer_norm(answer: Callable[[Tensor], Tensor]) -> str:
    """``answer(z)``: over the last dimension, mean 0 and mean squared modulus 1, commuting with every turn."""
    z = _random(5, 32, seed=11, complex_values=True) * torch.tensor([1 + 0j, 2]).repeat(16) + (0.6 - 0.3j)
    given = _tensor(_call(answer, z), (5, 32), complex_values=True)
    if not _close(given.mean(dim=-1), torch.zeros(5)):
        raise _Wrong(
            f"The mean of a row is to be 0, and one is {complex(given.mean(dim=-1)[0]):.2g}. Is it the mean over "
            "the last dimension?"
        )
    power = given.abs().square().mean(dim=-1)
    if not _close(power, torch.ones(5)):
        raise _Wrong(f"The mean of |z|² of a row is to be 1, and is {float(power[0]):.3g}.")

    def layer(x: Tensor) -> Tensor:
        return _tensor(_call(answer, x), (5, 32), complex_values=True)

    error = float(equivariance_error(layer, z, [math.pi / 6])[0])
    if error > TOLERANCE:
        raise _Wrong(
            f"Mean and power are right, but a turn by 30° gets an error of {error:.2g}. Which of your statistics "
            "looks at real and imaginary parts as if they were different things?"
        )
    again = _tensor(_call(answer, 7 * z), (5, 32), complex_values=True)
    if not _close(again, given):
        raise _Wrong("Seven times the input gives another output; a norm should not care.")
    return (
        "Subtracting a complex mean is a linear map, and a division by a length turns nothing: layer norm can be saved."
    )


@_exercise
def check_as_real_matrix(answer: Callable[[Tensor], Tensor]) -> str:
    """``answer(W)``: the real matrix M with M [Re z; Im z] = [Re Wz; Im Wz]."""
    weight, z = (_random(*shape, seed=12 + len(shape), complex_values=True) for shape in ((3, 4), (4,)))
    matrix = _tensor(_call(answer, weight), (6, 8), complex_values=False)
    given, wanted = matrix @ torch.cat([z.real, z.imag]).double(), (weight @ z).to(torch.complex128)
    real, imaginary = (_close(given[part], w) for part, w in ((slice(3), wanted.real), (slice(3, 6), wanted.imag)))
    if real and imaginary:
        return (
            "Of the four blocks two are free and two are copies: that is what a real layer on stacked parts does "
            "not know."
        )
    if _close(torch.complex(given[:3], given[3:]), (weight.conj() @ z).to(torch.complex128)):
        raise _Wrong("This multiplies by W*, not by W: where does the minus sign belong?")
    if real:
        raise _Wrong("The real part of Wz is right, the imaginary part is not. Write out Im((a + ib)(c + id)).")
    if imaginary:
        raise _Wrong(
            "The imaginary part of Wz is right, the real part is not. Write out Re((a + ib)(c + id)); remember "
            "what i² is."
        )
    raise _Wrong("Neither part of Wz comes out. Start with a W of one number, a + ib: M is then 2 by 2.")


def _first_as_reference(z: Tensor) -> Tensor:
    return z * (z[..., :1].conj() / z[..., :1].abs())


CANDIDATES: dict[str, Callable[[Tensor], Tensor]] = {
    "z |z|": lambda z: z * z.abs(),
    "z²": lambda z: z * z,
    "z*": lambda z: z.conj(),
    "i z": lambda z: 1j * z,
    "tanh(Re z) + i tanh(Im z)": lambda z: torch.complex(torch.tanh(z.real), torch.tanh(z.imag)),
    "softmax(|z|) z": lambda z: torch.softmax(z.abs(), dim=-1) * z,
    "z − mean(z)": lambda z: z - z.mean(dim=-1, keepdim=True),
    "z relative to the first": _first_as_reference,
}
"""Layers to judge by eye, by their formula. The last divides by the direction of the first value of a row."""

_KEEPS = {"z |z|", "i z", "softmax(|z|) z", "z − mean(z)"}


@_exercise
def check_keeps(answer: Mapping[str, bool]) -> str:
    """``answer[name]``: whether the candidate of that name commutes with every turn."""
    if not isinstance(answer, Mapping):
        raise _Wrong(f"A dictionary from names to True or False is wanted, and this is `{answer!r:.60}`.")
    if unknown := set(answer) - set(CANDIDATES):
        raise _Wrong(f"`{next(iter(unknown))}` is none of the candidates: {', '.join(CANDIDATES)}.")
    judged = {name: value for name, value in answer.items() if value is not ...}
    if not judged:
        raise _NotYet
    if other := [name for name, value in judged.items() if not isinstance(value, bool)]:
        raise _Wrong(f"`{other[0]}` is {judged[other[0]]!r:.40}; say True or False.")
    wrong = sum(value != (name in _KEEPS) for name, value in judged.items())
    if wrong:
        raise _Wrong(
            f"{wrong} of the {len(judged)} you judged {'is' if wrong == 1 else 'are'} not so. For each: put in "
            "$z = 1$, then $z = i$. Is the second output $i$ times the first? What passes this may still fail "
            "at other angles or with several values, so think of a whole row of arrows, and measure with "
            "`equivariance_error`."
        )
    if left := len(CANDIDATES) - len(judged):
        raise _Wrong(f"All right so far; {left} {'is' if left == 1 else 'are'} still open.")
    return (
        "Note the last one: it turns nothing at all, and forgets the common angle. That is *invariance*, another thing."
    )


FAULTS = ("bias", "real matrix", "relu on parts", "layer norm on parts", "dropout on parts")
"""What may be wrong with the head of the last exercise, as its answer names it."""


class _BrokenHead(nn.Module):
    """Linear, norm, modReLU, linear, one of which is not what it says."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(13)
            self.linear1, self.linear2 = ComplexLinear(24, 32), ComplexLinear(32, 16)
            self.activation = ModReLU(32)

    def forward(self, z: Tensor) -> Tensor:
        return self.linear2(self.activation(split_layer_norm(self.linear1(z))))

    def __repr__(self) -> str:
        return "a head of 24 inputs and 16 outputs; it does not say more"


def colleagues_head() -> nn.Module:
    """A head (..., 24) to (..., 16) complex64 with one fault, always the same."""
    return _BrokenHead().eval().requires_grad_(False)


def arrows_for_head() -> Tensor:
    """Inputs to try it on: (64, 24) complex64."""
    return _random(64, 24, seed=14, complex_values=True) * turn(0.4)


@_exercise
def check_fault(answer: str) -> str:
    """``answer``: which of :data:`FAULTS` the colleague's head has."""
    name = " ".join(str(answer).lower().split())
    if name not in FAULTS:
        raise _Wrong(f"`{str(answer)[:40]}` is none of: {', '.join(FAULTS)}.")
    if name == "layer norm on parts":
        return "A quarter turn only swaps the parts and changes a sign, and each part has its own statistics anyway."
    told = {
        ("bias"): (
            "A bias never agrees again until the turn is a full one. Look at your curve for angles at which this "
            "head does agree."
        ),
        ("relu on parts"): (
            "Which quadrant an arrow lands in after a half turn makes all the difference to a ReLU. Look at your "
            "curve at 180°."
        ),
        ("real matrix"): (
            "A real matrix does not mind a half turn, but it minds a quarter turn. Look at your curve at 90°."
        ),
        "dropout on parts": "Dropout draws anew at every call. Call this head twice with the same input and compare.",
    }
    raise _Wrong(told[name])
