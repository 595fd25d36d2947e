"""What the teaching pages listen to, break and measure (book pages *The shift theorem* and *What keeps phase and what
breaks it*).

A loop of two bars that closes into a circle, so that the shift theorem holds for it exactly; layers for complex numbers
that do not commute with a turn, next to :mod:`phalar.model.complex_layers`, whose layers do; the error that tells them
apart; and one small experiment on what the difference means for learning.
"""

import inspect
import math
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalar.corpora.rendering import SAMPLE_RATE, render_stems
from phalar.corpora.sampler import Note
from phalar.corpora.soundfont import SoundFont, installed_font
from phalar.model.complex_layers import ComplexLinear, ModReLU
from phalar.study.media import player, save_audio

TEMPO = 120
"""Beats a minute of the loop."""

STEPS = 32
"""Sixteenth notes in the loop: two bars of four beats, four seconds."""

DRUMS = {
    36: "X.......X.x.....X.......X.x..x..",  # kick
    38: "....X.......X.......X.......X..o",  # snare
    42: "x.o.x.o.x.o.x.o.x.o.x.o.x.o.x.o.",  # closed hi-hat
}
"""One line a drum, by General MIDI key; one sign a sixteenth note: struck hard, struck, soft, or not."""

BASS = {0: 33, 3: 33, 6: 36, 10: 38, 16: 33, 19: 33, 22: 40, 26: 38, 29: 36}
"""Keys of the bass by the sixteenth note on which they begin."""

_VELOCITY = {"X": 116, "x": 92, "o": 64}

Layer = Callable[[Tensor], Tensor]


def loop() -> dict[str, np.ndarray]:
    """Two bars of drums and of bass that can be repeated without a seam.

    Returns
    -------
    dict of str to np.ndarray, (64_000,), float32
        ``"drums"`` and ``"bass"``, 4 s at 16 kHz; their sum peaks below 1. What rings beyond the end rings in again at
        the beginning, so a delay is a rotation of the array.
    """
    step, bars = 60 / TEMPO / 4, STEPS * 60 / TEMPO / 4
    drums = [
        Note(at * step, 0.3, key, _VELOCITY[sign])
        for key, line in DRUMS.items()
        for at, sign in enumerate(line)
        if sign in _VELOCITY
    ]
    bass = [Note(at * step, 1.6 * step, key, 96) for at, key in BASS.items()]
    # Played three times: the second time is preceded and followed by itself.
    parts = [(program, _repeated(notes, bars, 3)) for program, notes in ((0, drums), (33, bass))]
    stems = render_stems(SoundFont(installed_font()), parts, gains=[0.0, -3.0], banks=[128, 0])
    length = round(bars * SAMPLE_RATE)
    once = stems[:, length : 2 * length].astype(np.float32) / 32768
    return {"drums": once[0], "bass": once[1]}


def _repeated(notes: Sequence[Note], period: float, times: int) -> list[Note]:
    return [
        Note(note.onset + turn * period, note.duration, note.pitch, note.velocity)
        for turn in range(times)
        for note in notes
    ]


def step_levels(sound: np.ndarray, steps: int = STEPS) -> Tensor:
    """Root-mean-square level of each of ``steps`` equal parts: (N,) samples to (steps,) float32, never negative."""
    parts = torch.as_tensor(np.asarray(sound, np.float32)).reshape(steps, -1)
    return parts.square().mean(dim=1).sqrt()


# --- layers that break phase


class BiasedLinear(ComplexLinear):
    """y = W x + b: the linear layer that every real network uses. The bias does not turn with the input."""

    def __init__(self, in_features: int, out_features: int, size: float = 0.3) -> None:
        super().__init__(in_features, out_features)
        self.bias = nn.Parameter(size * torch.randn(out_features, dtype=torch.complex64))

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias


class RealMatrix(nn.Module):
    """[Re y; Im y] = M [Re x; Im x] with any real M: what a real linear layer on stacked parts learns.

    It is A x + B x* for two complex matrices A and B, and x* turns the other way.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2 * out_features, 2 * in_features) / math.sqrt(2 * in_features))

    def forward(self, z: Tensor) -> Tensor:
        """M [Re z; Im z]."""
        real, imaginary = (torch.cat([z.real, z.imag], dim=-1) @ self.weight.T).chunk(2, dim=-1)
        return torch.complex(real, imaginary)


def split_relu(z: Tensor) -> Tensor:
    """relu(Re z) + i relu(Im z): everything lands in the first quadrant."""
    return torch.complex(torch.relu(z.real), torch.relu(z.imag))


def split_layer_norm(z: Tensor) -> Tensor:
    """Layer norm of the real parts and layer norm of the imaginary parts, each with its own mean and variance."""
    real, imaginary = (nn.functional.layer_norm(part, part.shape[-1:]) for part in (z.real, z.imag))
    return torch.complex(real, imaginary)


def split_dropout(z: Tensor, p: float = 0.5) -> Tensor:
    """Real and imaginary parts left out independently of each other."""
    real, imaginary = (nn.functional.dropout(part, p) for part in (z.real, z.imag))
    return torch.complex(real, imaginary)


# --- the measure


def turn(angle: float | Tensor) -> Tensor:
    """e^{i angle}, the number that turns others by ``angle`` (radians) when it multiplies them: complex64."""
    angle = torch.as_tensor(angle, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)


@torch.no_grad()
def equivariance_error(layer: Layer, z: Tensor, angles: Iterable[float], seed: int = 0) -> Tensor:
    """How far a layer is from commuting with a turn: |f(e^{ia} z) - e^{ia} f(z)| / |f(z)| at each angle a.

    Parameters
    ----------
    layer : callable
        Complex tensor in, complex tensor out. One that draws random numbers draws the same ones each time, so that
        what is measured is the turn and not the luck.
    z : Tensor, complex
    angles : iterable of float
        Radians.
    seed : int
        For layers that draw.

    Returns
    -------
    Tensor, (angles,), float32
        0 says that turning before and turning after are the same; 2 is what a layer with f(-z) = f(z) gets at 180°.
    """

    def drawn_alike(x: Tensor) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return layer(x)

    after = drawn_alike(z)
    return torch.stack([(drawn_alike(turn(a) * z) - turn(a) * after).norm() / after.norm() for a in angles])


# --- what it means for learning


class Imitator(nn.Module):
    """Two layers and a nonlinearity: complex matrices and modReLU, or real matrices and ReLU on stacked parts.

    The real one has twice as many weights: it could represent the complex matrices too.
    """

    def __init__(self, features: int, hidden: int, keeps_phase: bool) -> None:
        super().__init__()
        first, second = (ComplexLinear, ComplexLinear) if keeps_phase else (RealMatrix, RealMatrix)
        self.first, self.second = first(features, hidden), second(hidden, features)
        self.activation = ModReLU(hidden) if keeps_phase else split_relu

    def forward(self, z: Tensor) -> Tensor:
        return self.second(self.activation(self.first(z)))


def arrows(count: int, features: int, spread: float, generator: torch.Generator) -> Tensor:
    """Random arrows (count, features) complex64 whose angles lie within ``spread`` radians of 0, lengths around 1."""
    length = torch.rand(count, features, generator=generator) + 0.5
    return length * turn(spread * (2 * torch.rand(count, features, generator=generator) - 1))


def imitate(
    student: nn.Module, teacher: Layer, features: int, spread: float, steps: int = 400, seed: int = 0
) -> nn.Module:
    """Train a student by Adam on the squared distance to a teacher, on arrows within ``spread`` radians of 0 only."""
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(student.parameters(), lr=1e-2)
    for _ in range(steps):
        z = arrows(256, features, spread, generator)
        with torch.no_grad():
            wanted = teacher(z)
        loss = (student(z) - wanted).abs().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return student.eval()


@torch.no_grad()
def imitation_error(student: Layer, teacher: Layer, z: Tensor, angles: Iterable[float]) -> Tensor:
    """|student - teacher| / |teacher| on inputs that are all turned by each of the angles (radians): (angles,)."""
    turned = [turn(a) * z for a in angles]
    return torch.stack([(student(x) - teacher(x)).norm() / teacher(x).norm() for x in turned])


# --- the page


def players(folder: Path, sounds: Mapping[str, np.ndarray | Tensor]) -> str:
    """HTML of a player for each sound by its label, side by side where there is room; files go into ``folder``."""
    shown = ""
    for label, sound in sounds.items():
        name = "-".join(re.findall(r"[a-z0-9]+", label.lower()))
        shown += player(save_audio(folder / f"{name}.ogg", np.asarray(sound), SAMPLE_RATE), label)
    grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); column-gap: 1rem"
    return f'<div style="{grid}">{shown}</div>'


def source(*functions: Callable) -> str:
    """The code of functions as Markdown: what a page shows is what it runs."""
    texts = (textwrap.dedent(inspect.getsource(function)).strip() for function in functions)
    return "```python\n" + "\n\n\n".join(texts) + "\n```"
