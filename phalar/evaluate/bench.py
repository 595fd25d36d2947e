"""Speed, side by side in one run, against a plain reference in the same process: never a number from another day.

Each benchmark returns ``ratio`` (how many times faster ours is), ``ours``, ``reference``, ``unit``, ``threads`` and,
as both compute the same thing, ``max_relative_error``.
"""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.frontend import BINS, FMIN, HOP, SAMPLE_RATE, ConstantQ
from phalar.model.plain import plain_encode

REPEATS = 3
CLIPS, SECONDS = 8, 5.0


def fastest(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest of a few timings in seconds, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


def cqt() -> dict:
    """Our constant-Q transform against nnAudio's ``CQT1992v2``."""
    from nnAudio.features.cqt import CQT1992v2

    return _compared("cqt", ConstantQ(), CQT1992v2(SAMPLE_RATE, HOP, fmin=FMIN, n_bins=BINS, verbose=False))


def encode() -> dict:
    """Embedding clips: our encoder against the same weights on plain PyTorch layers and nnAudio's transform."""
    model = build("phalar", seed=0).eval()
    return _compared("encode", model.encode, plain_encode(model))


def data() -> dict:
    """Excerpts from a store, and augmented pairs, against decoding and augmenting one by one."""
    from phalar.evaluate import bench_data  # which times with what is above

    return bench_data.data()


@torch.no_grad()
def _compared(name: str, ours: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor]) -> dict:
    """Both on the same clips of noise, in seconds of audio a second."""
    audio = 0.1 * torch.randn(CLIPS, round(SECONDS * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    a, b = ours(audio), reference(audio)
    mine, theirs = (CLIPS * SECONDS / fastest(lambda f=f: f(audio)) for f in (ours, reference))
    return {
        "benchmark": name,
        "ours": mine,
        "reference": theirs,
        "ratio": mine / theirs,
        "unit": "seconds of audio per second",
        "max_relative_error": ((a - b).abs().max() / b.abs().max()).item(),
        "threads": torch.get_num_threads(),
    }


BENCHMARKS = {"cqt": cqt, "encode": encode, "data": data}


def run(name: str, benchmarks: Mapping[str, Callable[[], dict]] = BENCHMARKS) -> dict:
    """A benchmark by name, or an InputError that lists them."""
    if name not in benchmarks:
        raise InputError(f"unknown benchmark {name!r}; there are {', '.join(benchmarks)}")
    return benchmarks[name]()
