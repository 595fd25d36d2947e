"""What several test files share: stirred models, music-like sound, and where the fixtures of the workplace lie."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from browser import Browser

from phalar.model.assembly import build

LONGEST = ("study", "distributed", "book", "train", "bench", "compare", "cli", "judgements")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, in this order: begun last they would leave the other process without work."""
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


SHARED = Path(__file__).resolve().parents[2] / "shared"


def shared(name: str, what: str) -> Path:
    """A folder beside the checkout; the test is skipped where it is absent."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"{what} are not at {SHARED / name}")
    return SHARED / name


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.process.kill()


@pytest.fixture(scope="session")
def listening_tests() -> Path:
    """The authors' folder of ratings."""
    return shared("listening_tests", "the published ratings")


@pytest.fixture(scope="session")
def official_vectors() -> Path:
    """Folder of what the authors' code computes from random weights."""
    return shared("official_vectors", "the published vectors")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """Folder of small samples of the real data sets."""
    return shared("fixtures", "the real samples")


@pytest.fixture(scope="session")
def music():
    """music(items, seconds): (items, N) float32 at 16 kHz, a held chord, clicks and noise, different for each item."""

    def make(items: int, seconds: float = 2.0, seed: int = 0) -> torch.Tensor:
        samples = round(seconds * 16_000)
        t = torch.arange(samples) / 16_000
        audio = 0.01 * torch.randn(items, samples, generator=torch.Generator().manual_seed(seed))
        for i in range(items):
            for k, pitch in enumerate((110, 165, 220, 330)):
                phase = 2 * torch.pi * pitch * 2 ** ((seed + 2 * i) / 12) * t
                audio[i] += 0.1 * torch.sin(phase) * (1 + torch.sin(2 * torch.pi * (k + 1 + i) / 3 * t))
            audio[i, i * 777 :: 6_000 + 500 * i] += 0.5
        return audio

    return make


@pytest.fixture(scope="session")
def stirred(music):
    """stirred(name): a model of the registry as training might leave it, in eval mode; one of each name a session.

    Fresh models are degenerate: every residual branch is scaled by zero, W of the real form is the identity, batch
    norms have seen nothing. Tests on them would miss most of the code. Do not change what this returns.
    """

    return cache(lambda name: stir(build(name, seed=1), music(4, 2.0, seed=9)))


@torch.no_grad()
def stir(model: torch.nn.Module, audio: torch.Tensor | None = None) -> torch.nn.Module:
    """Weights moved away from where they start, and batch norms, if any, that have seen this audio."""
    generator = torch.Generator().manual_seed(2)
    for name, weight in model.named_parameters():
        if name.endswith(".scale"):
            weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        elif weight.ndim < 2:
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
        elif name.startswith("form."):
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.add_(0.1 * noise / weight.shape[0] ** 0.5)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = None  # a plain average over what it sees
    if norms:
        model.train()
        for shift in range(2):
            model.encode(audio.roll(1_000 * shift, dims=-1))
    return model.eval()


@pytest.fixture
def threads():
    """A function that sets the number of torch's threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def wav(tmp_path_factory):
    """wav(name, samples, rate): the path of a sound file with samples (N,) or (channels, N)."""
    import soundfile

    folder = tmp_path_factory.mktemp("wav")

    def write(name: str, samples: np.ndarray | torch.Tensor, rate: int = 16_000, subtype: str = "FLOAT") -> Path:
        path = folder / name
        soundfile.write(path, np.asarray(samples).T, rate, subtype=subtype)
        return path

    return write
