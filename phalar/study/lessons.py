"""What the course hears, breaks, measures and asks (book page *The course*).

An answer to an exercise is compared with the right one on some cases, and where it differs, with the usual mistakes,
each of which knows what to say. Three dots stand for what is not written yet, so that pages run through as they ship.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from IPython.display import Markdown
from torch import Tensor

from phalar.audio import SAMPLE_RATE
from phalar.corpora.rendering import render_stems
from phalar.corpora.sampler import Note
from phalar.corpora.soundfont import installed
from phalar.model.complex_layers import squared_modulus

STEPS = 32  # sixteenth notes in the loop: two bars of four beats at 120 beats a minute, four seconds
# One line a drum, by General MIDI key; one sign a sixteenth note: struck hard, struck, soft, or not.
DRUMS = {
    36: "X.......X.x.....X.......X.x..x..",  # kick
    38: "....X.......X.......X.......X..o",  # snare
    42: "x.o.x.o.x.o.x.o.x.o.x.o.x.o.x.o.",  # closed hi-hat
}
# Keys of the bass by the sixteenth note on which they begin.
BASS = {0: 33, 3: 33, 6: 36, 10: 38, 16: 33, 19: 33, 22: 40, 26: 38, 29: 36}


def loop(drums: Mapping[int, str] = DRUMS) -> dict[str, np.ndarray]:
    """Two bars of ``"drums"``, played as their lines say, and ``"bass"``, each (64_000,) float32 at 16 kHz. What rings
    beyond the end rings in again at the beginning, so a delay is a rotation of the array."""
    step, velocity = 0.125, {"X": 116, "x": 92, "o": 64}
    starts = [at + again * STEPS for again in range(3) for at in range(STEPS)]  # the middle one of three is kept
    struck = [(at, key, velocity.get(line[at % STEPS])) for key, line in drums.items() for at in starts]
    played = [Note(at * step, 0.3, key, loud) for at, key, loud in struck if loud]
    bass = [Note(at * step, 1.6 * step, BASS[at % STEPS], 96) for at in starts if at % STEPS in BASS]
    stems = render_stems(installed(), [(0, played), (33, bass)], gains=[0.0, -3.0], banks=[128, 0])
    once = stems[:, 4 * SAMPLE_RATE : 8 * SAMPLE_RATE].astype(np.float32) / 32768
    return {"drums": once[0], "bass": once[1]}


def step_levels(sound: np.ndarray | Tensor, steps: int = STEPS) -> Tensor:
    """Root-mean-square level of each of ``steps`` equal parts: (N,) samples to (steps,) float32, never negative."""
    parts = torch.as_tensor(np.asarray(sound, np.float32)).reshape(steps, -1)
    return parts.square().mean(dim=1).sqrt()


def turn(angle: float | Tensor) -> Tensor:
    """e^{i angle}, which turns what it multiplies by ``angle`` (radians): complex64. Course: *A number that turns*."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


def drawn(*shape: int, seed: int) -> Tensor:
    """Standard normal complex64 numbers of a shape, the same ones for a seed: what exercises are tried on."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.complex64)


@torch.no_grad()
def equivariance_error(layer: Callable, z: Tensor, angles: Iterable[float], seed: int = 0) -> Tensor:
    """How far a layer, complex tensor in and out, is from commuting with a turn: |f(e^{ia} z) - e^{ia} f(z)| / |f(z)|
    at each angle a (radians), (angles,) float32. If it draws random numbers, ``seed`` makes them the same each time."""

    def drawn_alike(x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return layer(x)

    after = drawn_alike(z)
    size = after.norm().clamp(min=1e-30)  # of nothing at all, nothing is missing
    return torch.stack([(drawn_alike(turn(a) * z) - turn(a) * after).norm() / size for a in angles])


def source(*objects: Callable) -> Markdown:
    """The code of functions, methods or classes of the package, each under its full name, for a page to show."""
    named = {f"{each.__module__}.{each.__qualname__}": textwrap.dedent(inspect.getsource(each)) for each in objects}
    return Markdown("\n".join(f"`{name}`\n\n```python\n{text}```\n" for name, text in named.items()))


@dataclass(frozen=True)
class Verdict:
    """What a check says: ``state`` is "not yet" (nothing was tried), "wrong" or "right"."""

    state: str
    message: str

    def _repr_markdown_(self) -> str:
        mark = {"not yet": "○ **Not yet.**", "wrong": "✗ **Not right yet.**", "right": "✓ **Right.**"}[self.state]
        return f"{mark} {self.message}"


class Exercise:
    """Arguments of some ``cases`` (one empty, if a value is asked for), the ``right`` answer, what to say to a wrong
    one, and usual mistakes with what to say to each. ``view`` makes comparable what may be said in several ways."""

    def __init__(self, cases: Sequence[tuple], right: Callable, wrong: str, *mistakes: tuple[Callable, str], view=None):
        self.cases, self.right, self.wrong, self.mistakes = cases, right, wrong, mistakes
        self.view = view or (lambda given, *case: given)


def check(exercise: Exercise, answer: Any) -> Verdict:
    """Compare an answer (callable, a dictionary for an exercise that asks for one, or a value) with an exercise;
    whatever it is or does, this does not raise. Three dots, returned or in its place, are "not yet"."""
    asked = (lambda name: answer.get(name, ...)) if isinstance(answer, dict) else answer
    for case in exercise.cases:
        if case and asked is not ... and not callable(asked):
            return Verdict("wrong", "A function is wanted here. Hand over its name, without brackets.")
        given = _outcome(asked, case) if callable(asked) else asked
        if given is ...:
            return Verdict("not yet", "Put your answer in the place of the three dots and run the cell again.")
        if _alike(given, exercise.right, exercise, case):
            continue
        said = (message for mistake, message in exercise.mistakes if _alike(given, mistake, exercise, case))
        return Verdict("wrong", next(said, "") or _form(given, exercise.right(*case), case) or exercise.wrong)
    return Verdict("right", "")


# What the errors of a faulty layer look like over the angle, by fault; the first that fits is told.
FINGERPRINTS = {
    "unmoved": "It does not notice the turn at all: that is *invariance*. It forgets the angle, and with it the time. "
    "Multiply z by something that is made of lengths.",
    "not 0 at 0": "What comes out for z = 0 is not 0: something is added that does not turn. Is there a bias, or the "
    "mean of another batch?",
    "rounding": "It is small, about as large at every angle, and gone at quarter turns: real and imaginary part are "
    "rounded to too few digits. Does something compute in half precision?",
    "quarter turns": "It is gone at 90°, 180° and 270° only: real and imaginary part go through one function, each "
    "alone. Let them share one factor, made of |z|.",
    "half turn": "It is gone at 180° and not at 90°: z* is let in, the sound played backwards. Real and imaginary part "
    "are mixed or weighted other than by a complex number, or a mean is taken over both.",
    "nowhere": "Not even a half turn comes through. Does it clip the *parts* at zero, as a ReLU does, or does it turn "
    "z by more or less than z itself turns?",
}


def check_equivariance(layer: Callable, features: int = 8, tolerance: float = 1e-4) -> Verdict:
    """Does a layer, complex (B, features) in and complex out, hand turns on, and if not, what does its fault look like?
    Tried on soft and loud numbers at 23 angles (:func:`equivariance_error`, at most ``tolerance``), and on z = 0, where
    neither it nor its gradient may be NaN. Course chapter *Layers that commute with turning*."""
    z = drawn(64, features, seed=0)
    given = ... if layer is ... else _outcome(layer, (z,))
    if given is ...:
        return Verdict("not yet", "Put your layer in the place of the three dots and run the cell again.")
    if not isinstance(given, Tensor):
        return Verdict("wrong", _form(given, z, (z,)) or "A complex tensor is wanted.")
    if not given.is_complex():
        return Verdict("wrong", "The result is real, so it has no angle that could turn. Give complex numbers.")
    if not given.isfinite().all() or not given.any():
        return Verdict("wrong", "On ordinary numbers the result is NaN, infinite, or nothing but zeros.")
    start = torch.zeros_like(z).requires_grad_()
    if not (nothing := layer(start)).isfinite().all():
        return Verdict("wrong", "z = 0 gives NaN. Where is something divided by |z|, which is 0 there?")
    if nothing.requires_grad:
        squared_modulus(nothing).sum().backward()
        if not start.grad.isfinite().all():
            return Verdict("wrong", "Its gradient at z = 0 is NaN. Which root has no slope where a length is 0?")
    angles = torch.arange(1, 24) * torch.pi / 12
    errors = torch.stack([equivariance_error(layer, size * z, angles) for size in (1.0, 0.1, 10.0)])
    if bool((errors <= tolerance).all()):
        return Verdict("right", f"At every angle it is at most {errors.max():.0e} from commuting with the turn.")
    one, quarters = errors[0], torch.arange(1, 24) % 6 == 0
    gone, others = one[quarters] <= tolerance, one[~quarters]
    seen = {
        "unmoved": bool(torch.allclose(layer(turn(1.0) * z), given, atol=1e-3)),
        "not 0 at 0": bool(nothing.any()),
        "rounding": bool(gone.all() and others.max() < min(0.02, 2 * others.min())),
        "quarter turns": bool(gone.all()),
        "half turn": bool(gone[1]),
        "nowhere": True,
    }
    fault = next(name for name, fits in seen.items() if fits)
    return Verdict("wrong", f"It is {errors.max():.1g} from commuting with the turn. {FINGERPRINTS[fault]}")


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
            return bool(exercise.view(given) == wanted)
        a, b = (torch.as_tensor(exercise.view(value, *case)) for value in (given, wanted))
        same = a.shape == b.shape and a.is_complex() <= b.is_complex()
        return same and bool((a - b).abs().max() <= 1e-3 * (1 + b.abs().max()))  # far below any mistake
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
    wanted = torch.as_tensor(wanted)
    try:
        values = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError):
        return f"A tensor of shape {tuple(wanted.shape)} is wanted, and this is `{given!r:.60}`."
    if values.shape != wanted.shape:
        return f"The shape is {tuple(values.shape)}, where {tuple(wanted.shape)} is wanted (a number has shape ())."
    if values.is_complex() > wanted.is_complex():
        return "The result is complex, where it should be real. (Taking the real part would hide the fault.)"
    return "" if torch.isfinite(values).all() else "The result is NaN or infinite. Where is something divided by zero?"
