"""What the teaching pages hear, break, measure and ask (*The shift theorem*; *What keeps phase and what breaks it*).

A loop of two bars that closes into a circle, so that the shift theorem holds for it exactly; the error that tells
layers that commute with a turn from those that do not; and the exercises, all by one mechanism (:func:`check`): an
answer is compared with the right one on some cases, and where it differs, with the usual mistakes, each of which knows
what to say. Three dots stand for what is not written yet, so that the pages run through as they ship.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from phalar.audio import SAMPLE_RATE
from phalar.corpora.rendering import render_stems
from phalar.corpora.sampler import Note
from phalar.corpora.soundfont import installed
from phalar.model.complex_layers import ComplexLinear, ModReLU

STEPS = 32
"""Sixteenth notes in the loop: two bars of four beats at 120 beats a minute, four seconds."""

DRUMS = {
    36: "X.......X.x.....X.......X.x..x..",  # kick
    38: "....X.......X.......X.......X..o",  # snare
    42: "x.o.x.o.x.o.x.o.x.o.x.o.x.o.x.o.",  # closed hi-hat
}
"""One line a drum, by General MIDI key; one sign a sixteenth note: struck hard, struck, soft, or not."""

BASS = {0: 33, 3: 33, 6: 36, 10: 38, 16: 33, 19: 33, 22: 40, 26: 38, 29: 36}
"""Keys of the bass by the sixteenth note on which they begin."""

TOLERANCE = 1e-3
"""Relative: loose enough for single precision, far below any mistake."""


def loop() -> dict[str, np.ndarray]:
    """Two bars of ``"drums"`` and ``"bass"``, each (64_000,) float32 at 16 kHz, that can be repeated without a seam.

    What rings beyond the end rings in again at the beginning, so a delay is a rotation of the array.
    """
    step, velocity = 0.125, {"X": 116, "x": 92, "o": 64}
    starts = [at + again * STEPS for again in range(3) for at in range(STEPS)]  # the middle one of three is kept
    struck = [(at, key, velocity.get(line[at % STEPS])) for key, line in DRUMS.items() for at in starts]
    drums = [Note(at * step, 0.3, key, loud) for at, key, loud in struck if loud]
    bass = [Note(at * step, 1.6 * step, BASS[at % STEPS], 96) for at in starts if at % STEPS in BASS]
    font = installed()
    stems = render_stems(font, [(0, drums), (33, bass)], gains=[0.0, -3.0], banks=[128, 0])
    once = stems[:, 4 * SAMPLE_RATE : 8 * SAMPLE_RATE].astype(np.float32) / 32768
    return {"drums": once[0], "bass": once[1]}


def step_levels(sound: np.ndarray | Tensor, steps: int = STEPS) -> Tensor:
    """Root-mean-square level of each of ``steps`` equal parts: (N,) samples to (steps,) float32, never negative."""
    parts = torch.as_tensor(np.asarray(sound, np.float32)).reshape(steps, -1)
    return parts.square().mean(dim=1).sqrt()


def turn(angle: float | Tensor) -> Tensor:
    """e^{i angle}, the number that turns others by ``angle`` (radians) when it multiplies them: complex64."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def on_parts(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The layer that treats real and imaginary part as two real numbers: f(Re z) + i f(Im z)."""
    return lambda z: torch.complex(function(z.real), function(z.imag))


split_relu = on_parts(torch.relu)
split_dropout = on_parts(nn.functional.dropout)
split_layer_norm = on_parts(lambda x: nn.functional.layer_norm(x, x.shape[-1:]))


@torch.no_grad()
def equivariance_error(layer: Callable, z: Tensor, angles: Iterable[float], seed: int = 0) -> Tensor:
    """How far a layer is from commuting with a turn: |f(e^{ia} z) - e^{ia} f(z)| / |f(z)| at each angle a.

    A layer, complex tensor in and out, that draws random numbers draws the same ones each time, by ``seed``. Angles are
    in radians. Returns (angles,) float32: 0 where turning before and turning after are the same, 2 at 180° where
    f(-z) = f(z).
    """

    def drawn_alike(x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return layer(x)

    after = drawn_alike(z)
    return torch.stack([(drawn_alike(turn(a) * z) - turn(a) * after).norm() / after.norm() for a in angles])


# --- exercises


@dataclass(frozen=True)
class Verdict:
    """What a check says: ``state`` is "not yet" (nothing was tried), "wrong" or "right"."""

    state: str
    message: str

    def _repr_markdown_(self) -> str:
        mark = {"not yet": "○ **Not yet.**", "wrong": "✗ **Not right yet.**", "right": "✓ **Right.**"}[self.state]
        return f"{mark} {self.message}"


class Exercise:
    """What is asked, as the arguments of some ``cases``; the ``right`` answer; what to say to a wrong one; and usual
    mistakes, with what to say to each. ``view`` makes comparable what may be said in several ways."""

    def __init__(self, cases: Sequence[tuple], right: Callable, wrong: str, *mistakes: tuple[Callable, str], view=None):
        self.cases, self.right, self.wrong, self.mistakes = cases, right, wrong, mistakes
        self.view = view or (lambda given, *case: given)


def check(name: str, answer: Any) -> Verdict:
    """Compare an answer with an exercise of :data:`EXERCISES`; whatever the answer is or does, this does not raise.

    The answer is callable, or a dictionary for an exercise that asks for one, or a value; three dots, returned or in
    its place, are "not yet".
    """
    exercise = EXERCISES[name]
    for case in exercise.cases:
        asked = (lambda name: answer.get(name, ...)) if isinstance(answer, dict) else answer
        asked = asked if case or callable(asked) else lambda: answer
        if asked is not ... and not callable(asked):
            return Verdict("wrong", "A function is wanted here. Hand over its name, without brackets.")
        given = ... if asked is ... else _outcome(asked, case)
        if given is ...:
            return Verdict("not yet", "Put your answer in the place of the three dots and run the cell again.")
        if _alike(given, exercise.right, exercise, case):
            continue
        for mistake, message in exercise.mistakes:
            if _alike(given, mistake, exercise, case):
                return Verdict("wrong", message)
        return Verdict("wrong", _form(given, exercise.right(*case), case) or exercise.wrong)
    return Verdict("right", "")


def _outcome(function: Callable, case: tuple) -> Any:
    """What a function returns, or the exception that it raises; what it does to its arguments harms nobody else."""
    try:
        return function(*(value.clone() if isinstance(value, Tensor) else value for value in case))
    except Exception as error:  # the student's code may raise anything
        return error


def _alike(given: Any, function: Callable, exercise: Exercise, case: tuple) -> bool:
    wanted = _outcome(function, case)
    if isinstance(given, Exception) or isinstance(wanted, Exception):
        return type(given) is type(wanted)
    try:
        if isinstance(wanted, str | bool):
            return exercise.view(given) == wanted
        a, b = (torch.as_tensor(exercise.view(value, *case)) for value in (given, wanted))
        same = a.shape == b.shape and a.is_complex() <= b.is_complex()
        return same and bool((a - b).abs().max() <= TOLERANCE * (1 + b.abs().max()))
    except (TypeError, ValueError, RuntimeError, AttributeError, OverflowError):
        return False


def _form(given: Any, wanted: Any, case: tuple) -> str:
    """What is wrong with the form of an answer, if that is what is wrong."""
    if isinstance(given, Exception):
        told = [f"a tensor of shape {tuple(v.shape)}" if isinstance(v, Tensor) else f"{v}"[:40] for v in case]
        return f"Called with {', '.join(told)} it raised `{type(given).__name__}: {str(given)[:200]}`."
    if given is None:
        return "It returns nothing. Does its last line begin with `return`?"
    if isinstance(wanted, str | bool):
        return ""
    shape = tuple(torch.as_tensor(wanted).shape)
    try:
        values = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        return f"A tensor of shape {shape} is wanted (a number has shape ()), and this is `{given!r:.60}`."
    if tuple(values.shape) != shape:
        return f"The result has shape {tuple(values.shape)}, where {shape} is wanted (a number has shape ())."
    if values.is_complex() and not torch.as_tensor(wanted).is_complex():
        return "The result is complex, where it should be real. (Taking the real part would hide the fault.)"
    return "" if torch.isfinite(values).all() else "The result is NaN or infinite. Where is something divided by zero?"


def _random(*shape: int, seed: int, dtype: torch.dtype = torch.complex64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _dft(v: Tensor, sign: int = -1) -> Tensor:
    t = torch.arange(len(v))
    return torch.exp(sign * 2j * torch.pi * t[:, None] * t / len(v)) @ v.to(torch.complex64)


def _delay(v: Tensor, s: float) -> Tensor:
    V = torch.fft.rfft(v)
    return torch.fft.irfft(torch.exp(-2j * torch.pi * torch.arange(len(V)) * s / len(v)) * V, n=len(v))


def _delay_by_fft(v: Tensor, s: float) -> Tensor:
    return torch.fft.ifft(torch.exp(-2j * torch.pi * torch.arange(len(v)) * s / len(v)) * torch.fft.fft(v)).real


def _find_delay(v: Tensor, w: Tensor) -> int:
    return int(torch.fft.ifft(torch.fft.fft(v).conj() * torch.fft.fft(w)).real.argmax())


def _slope_of_one(v: Tensor, w: Tensor) -> int:
    angle = (torch.fft.fft(w)[1] / torch.fft.fft(v)[1]).angle()
    return round(float(-angle / (2 * torch.pi) * len(v)))


def _error(layer: Callable, z: Tensor, theta: float, turned: bool = True) -> Tensor:
    return (layer(turn(theta) * z) - (turn(theta) if turned else 1) * layer(z)).norm()


def _blocks(W: Tensor, upper: int = -1, lower: int = 1, last: int = 1) -> Tensor:
    return torch.cat([torch.cat([W.real, upper * W.imag], 1), torch.cat([lower * W.imag, last * W.real], 1)])


def _scaled(z: Tensor, dim: int | None = -1) -> Tensor:
    return z / z.abs().square().mean(dim=dim, keepdim=True).sqrt()


def _centred(z: Tensor, dim: int | None = -1) -> Tensor:
    return z - z.mean(dim=dim, keepdim=True)


CANDIDATES: dict[str, Callable[[Tensor], Tensor]] = {
    "z |z|": lambda z: z * z.abs(),
    "z²": lambda z: z * z,
    "z*": lambda z: z.conj(),
    "i z": lambda z: 1j * z,
    "tanh(Re z) + i tanh(Im z)": on_parts(torch.tanh),
    "softmax(|z|) z": lambda z: torch.softmax(z.abs(), dim=-1) * z,
    "z − mean(z)": _centred,
    "z relative to the first": lambda z: z * (z[..., :1].conj() / z[..., :1].abs()),
}
"""Layers to judge by eye, by their formula; z is a row."""


def colleagues_head() -> Callable[[Tensor], Tensor]:
    """A head (..., 24) to (..., 16) complex64, always the same: linear, norm, modReLU, linear, one of them at fault."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(13)
        first, activation, second = ComplexLinear(24, 32), ModReLU(32), ComplexLinear(32, 16)
    return torch.no_grad()(lambda z: second(activation(split_layer_norm(first(z)))))


def arrows_for_head() -> Tensor:
    """Inputs to try it on: (64, 24) complex64."""
    return _random(64, 24, seed=14)


def _padded(k: int, s: int, T: int, C: int) -> float:
    return -360 * k * s / max(T, 2 * (C + 1) + 1)


_REAL = torch.float32
_BEAT = torch.tensor([1.0, 0, 0, 0.4, 0, 0, 0.7, 0]).repeat(2)  # the same in both halves
_PIECES = [(torch.eye(12)[0], 4), (_random(16, seed=6, dtype=_REAL), 5), (_random(32, seed=7, dtype=_REAL), 29)]
_Z, _W = _random(3, 6, seed=8), _random(6, 6, seed=9)
_LAYERS = [lambda x: x @ _W.T, lambda x: x @ _W.T + 1, lambda x: 10 * (x @ _W.T + 1)]
_SMOOTH = [0.6 + torch.cos(2 * torch.pi * 2 * torch.arange(n) / n + 0.4) for n in (12, 15, 16)]

EXERCISES = {
    "hit_angle": Exercise(
        [(1, 0, 12), (1, 1, 12), (3, 1, 12), (1, 5, 12), (5, 2, 12), (2, 3, 32), (7, 30, 32)],
        lambda k, t, T: -360 * k * t / T,
        "Only one term of the sum is left, since only one step is not zero: what is its angle?",
        (lambda k, t, T: math.radians(-360 * k * t / T), "These look like radians. Degrees are wanted."),
        (lambda k, t, T: 360 * k * t / T, "Size right, direction not: which way do the hands of a clock turn?"),
        (lambda k, t, T: -360 * t / T, "Right for component 1 only: how many rounds does the hand of k make?"),
        (lambda k, t, T: -30 * k * t, "Right on a clock of 12 steps, not on one of 32."),
        view=lambda degrees, *case: turn(math.radians(float(degrees))),
    ),
    "dft": Exercise(
        [(_random(12, seed=1, dtype=_REAL),), (_random(7, seed=2, dtype=_REAL),), (_random(8, seed=3),)],
        torch.fft.fft,
        "Component 0 should be the plain sum of v: start there. Then compare your exponent letter by letter.",
        (torch.fft.rfft, "Of real sequences the other half can be told from this one, but here all are wanted."),
        (lambda v: _dft(v, 1), "All lengths are right, and all angles have the wrong sign."),
        (lambda v: _dft(v) / len(v), "T times too small. The plain sum has no divisor in front."),
        (lambda v: _dft(v).real, "The imaginary parts are missing. A cosine is half of the exponential."),
    ),
    "component_of_beat": Exercise(
        [(120, 3.0), (60, 5.0), (90, 8.0), (100, 6.0)],
        lambda bpm, seconds: bpm * seconds / 60,
        "Tap the beat through the excerpt, and count.",
        (lambda bpm, seconds: bpm * seconds, "Sixty times too much: a tempo counts beats in a *minute*."),
        (lambda bpm, seconds: bpm / 60, "That is beats a *second*. A component counts what fits the excerpt."),
        (lambda bpm, seconds: 60 / bpm, "That is how long a beat *lasts*. How many fit into the excerpt?"),
        (lambda bpm, seconds: bpm * seconds / 240, "That is the component of a bar of four, not of a beat."),
    ),
    "delay": Exercise(
        [(torch.eye(12)[2], 3), (_random(9, seed=4, dtype=_REAL), 2), *zip(_SMOOTH, (2.25, 0.5, -3.7), strict=True)],
        _delay,
        "First make s = 0 return v, then whole s what `v.roll(s)` gives; then look at the ramp.",
        (lambda v, s: _delay(v, -s), "It comes earlier, not later. Mind the sign of the angle."),
        (lambda v, s: v, "The sequence comes out where it was."),
        (lambda v, s: v.roll(round(s)), "Whole steps are right, others are rounded. An angle can be halved."),
        (_delay_by_fft, "Whole steps are right, others not. Component T − k is as fast as k, the other way round."),
    ),
    "padded_turn": Exercise(
        [(1, 1, 32, 8), (1, 1, 16, 8), (3, 2, 16, 8), (2, 1, 10, 10), (1, 2, 9, 16)],
        _padded,
        "How long is what the transform sees, padding and all? The theorem is about that.",
        (lambda *given: math.radians(_padded(*given)), "These look like radians. Degrees are wanted."),
        (lambda *given: -_padded(*given), "The size is right, the direction is not."),
        (lambda k, s, T, C: -360 * k * s / T, "Right for long excerpts. What does `shortest_steps` pad others to?"),
        view=lambda degrees, *case: turn(math.radians(float(degrees))),
    ),
    "find_delay": Exercise(
        [(v, v.roll(s)) for v, s in [*_PIECES, (_BEAT, 3)]],
        _find_delay,
        "A whole number of steps is wanted. Plot the angles of W/V over k: what is the slope?",
        (lambda v, w: -_find_delay(v, w), "That is the delay from w to v: the same size, the other direction."),
        (_slope_of_one, "Not right for a rhythm that comes twice in the circle: what has no length has no angle."),
        view=lambda steps, v, w: v.roll(int(steps)) if steps == round(float(steps)) else v.new_tensor(float(steps)),
    ),
    "equivariance_error": Exercise(
        [(layer, _Z, theta) for layer in _LAYERS for theta in (0.0, 0.7, math.pi)],
        lambda f, z, a: equivariance_error(f, z, [a])[0],
        "Take the norm of each whole tensor: of the difference, and of what it is relative to.",
        (lambda f, z, a: _error(f, z, a, False) / f(z).norm(), "What is f(turned z) to be compared with?"),
        (lambda *given: 0.0, "A layer with a bias gets 0, too. Turn *before* it one time, *after* it the other."),
        (lambda f, z, a: _error(f, z, a), "A layer ten times as loud would be ten times as bad: relative to what?"),
        (lambda f, z, a: (_error(f, z, a) / f(z).norm()) ** 2, "That is the square of it."),
    ),
    "modrelu": Exercise(
        [*((_random(64, seed=10), b) for b in (-0.5, -1.2, 0.0)), (torch.zeros(2, dtype=torch.complex64), -0.1)],
        lambda z, b: torch.relu(z.abs() + b) * z / z.abs().clamp(min=1e-12),
        "Angles must stay, and at z = 0 the result is 0. Draw the output's length against the input's.",
        (lambda z, b: on_parts(torch.relu)(z + b), "Some outputs point elsewhere than their inputs."),
        (lambda z, b: z * (z.abs() > -b), "Long arrows keep their full length. By how much should they shrink?"),
        (lambda z, b: z, "An arrow shorter than −b should become zero, and does not."),
    ),
    "layer_norm": Exercise(
        [(_random(5, 32, seed=11) * torch.tensor([1 + 0j, 2]).repeat(16) + (0.6 - 0.3j),)],
        lambda z: _scaled(_centred(z)),
        "Check the mean of a row, then the mean of |z|², then a turn by 30°.",
        (lambda z: split_layer_norm(z) / 2**0.5, "It looks at real and imaginary parts as two different things."),
        (_scaled, "The mean of a row is to be 0."),
        (_centred, "The mean of |z|² of a row is to be 1."),
        (lambda z: _scaled(_centred(z, None), None), "Statistics are taken over the last dimension, row by row."),
    ),
    "as_real_matrix": Exercise(
        [(_random(3, 4, seed=12),)],
        _blocks,
        "Start with a W of one number, a + ib: M is then 2 by 2.",
        (lambda W: _blocks(W, 1, -1), "This multiplies by W*, not by W: where does the minus sign belong?"),
        (lambda W: _blocks(W, 1), "The real part of Wz is not right. Remember what i² is."),
        (lambda W: _blocks(W, -1, 1, -1), "The imaginary part is not right. Write out Im((a + ib)(c + id))."),
    ),
    "keeps": Exercise(
        [(name,) for name in CANDIDATES],
        lambda name: bool(equivariance_error(CANDIDATES[name], _random(16, 8, seed=3), [0.3, 1, 2.5]).max() < 1e-5),
        "Something you judged is not so. For each: put in $z = 1$, then $z = i$. Is the second output $i$ times the "
        "first? What passes may still fail for a whole row at other angles, so measure with `equivariance_error`.",
    ),
    "fault": Exercise(
        [()],
        lambda: "layer norm on parts",
        "That is none of: bias, real matrix, ReLU on parts, layer norm on parts, dropout on parts.",
        (lambda: "bias", "A bias agrees again only after a full turn. At which angles does this head agree?"),
        (lambda: "relu on parts", "To a ReLU a half turn makes all the difference. Look at your curve at 180°."),
        (lambda: "real matrix", "A real matrix minds a quarter turn. Look at your curve at 90°."),
        (lambda: "dropout on parts", "Dropout draws anew at every call. Call this head twice and compare."),
        view=lambda given, *case: " ".join(str(given).lower().split()),
    ),
}
