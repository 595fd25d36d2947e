"""Speed, side by side in one run, against a plain reference in the same process: never a number from another day.

Each benchmark returns at least ``ratio`` (how many times faster ours is), ``ours``, ``reference``, ``unit`` and, where
both compute the same thing, ``max_relative_error``.
"""

import time
from collections.abc import Callable

import torch

from phalar.errors import InputError
from phalar.model.frontend import HOP, SAMPLE_RATE, ConstantQ

REPEATS = 3


def fastest(function: Callable[[], object], repeats: int = REPEATS) -> float:
    """Shortest of a few timings in seconds, after one call to warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return min(times)


@torch.no_grad()
def cqt(clips: int = 8, seconds: float = 5.0) -> dict:
    """Our constant-Q transform against nnAudio's ``CQT1992v2``, in seconds of audio a second."""
    from nnAudio.features.cqt import CQT1992v2

    audio = torch.randn(clips, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0)) * 0.1
    ours = ConstantQ()
    reference = CQT1992v2(sr=SAMPLE_RATE, hop_length=HOP, n_bins=96, fmin=16.35, verbose=False)
    a, b = ours(audio), reference(audio)
    heard = clips * seconds
    mine, theirs = heard / fastest(lambda: ours(audio)), heard / fastest(lambda: reference(audio))
    return {
        "benchmark": "cqt",
        "ours": mine,
        "reference": theirs,
        "ratio": mine / theirs,
        "unit": "seconds of audio per second",
        "max_relative_error": ((a - b).abs().max() / b.abs().max()).item(),
        "threads": torch.get_num_threads(),
    }


@torch.no_grad()
def encode(clips: int = 8, seconds: float = 5.0) -> dict:
    """Embedding clips: our encoder against the same weights on plain PyTorch layers and nnAudio's transform."""
    from phalar.model.assembly import build
    from phalar.model.plain import plain_encode

    audio = torch.randn(clips, round(seconds * SAMPLE_RATE), generator=torch.Generator().manual_seed(0)) * 0.1
    model = build("phalar", seed=0).eval()
    reference = plain_encode(model)
    a, b = model.encode(audio), reference(audio)
    heard = clips * seconds
    mine, theirs = heard / fastest(lambda: model.encode(audio)), heard / fastest(lambda: reference(audio))
    return {
        "benchmark": "encode",
        "ours": mine,
        "reference": theirs,
        "ratio": mine / theirs,
        "unit": "seconds of audio per second",
        "max_relative_error": ((a - b).abs().max() / b.abs().max()).item(),
        "threads": torch.get_num_threads(),
    }


BENCHMARKS = {"cqt": cqt, "encode": encode}


def run(name: str) -> dict:
    """A benchmark by name, or an InputError that lists them."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]()
