"""All that can only be measured on a GPU, in one go: ``python -m phalar.study.gpu_check`` prints one JSON object.

The step is that of the paper's recipe: 64 pairs of *chorales* (a stand-in for CocoChorales), 2 to 10 s long, cut from
the GPU's memory, noise and all. Book page *What training costs*, "On a GPU".
"""

import copy
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from phalar.errors import InputError
from phalar.model.assembly import StemModel
from phalar.study import training_cost
from phalar.study.bench_train import relative_error, with_gradient
from phalar.train import loop
from phalar.train.config import config
from phalar.train.objective import contrastive_loss

BATCH, SECONDS, FIXED = 64, (2.0, 10.0), (5.0, 5.0)
WARM_UP, STEPS = 5, 40
COMPARED = 4  # pairs whose gradients are held together
COPIED = 2**29  # values, for the memory's bandwidth
TARGETS = {"pairs_per_second": 1400, "peak_gigabytes": 40}  # the first is the paper's five million pairs in an hour


def check() -> dict:
    """Speed, memory, share of the memory's bandwidth, and agreement of precisions and paths.

    Returns
    -------
    dict
        ``recipe`` (lengths from 2 to 10 s, as training runs), ``eager`` and ``compiled`` (5 s throughout): what
        :func:`timed` gives; ``bandwidth`` of a large copy in bytes a second; ``errors``: what :func:`agreement` gives;
        ``targets``. A path that fails has an ``error`` instead of numbers.

    Raises
    ------
    InputError
        Where there is no GPU.
    """
    if not torch.cuda.is_available():
        raise InputError("no GPU is at hand: PyTorch finds no CUDA device; run this on a machine that has one")
    device = torch.device("cuda")
    bandwidth = copied_bytes_a_second(device)
    recipe = timed(session(SECONDS, device), bandwidth)
    steady = session(FIXED, device)
    eager = timed(steady, bandwidth)
    waves = steady.batch(0)[0][0][:, :COMPARED]

    def compiled() -> dict:
        began = time.perf_counter()
        steady.model.backbone.compile(dynamic=False)
        steady.take_step()
        return {"compile_seconds": time.perf_counter() - began} | timed(steady, bandwidth)

    return {
        "benchmark": "gpu",
        "device": torch.cuda.get_device_name(device),
        "torch": torch.__version__,
        "batch": BATCH,
        "bandwidth": bandwidth,
        "recipe": recipe,
        "eager": eager,
        "errors": attempted(lambda: agreement(at_work(steady.model), waves)),
        "compiled": attempted(compiled),
        "targets": TARGETS,
    }


def attempted(measure: Callable[[], dict]) -> dict:
    """What is measured, or ``error``: a compiler that does not work must not cost the other numbers."""
    try:
        return measure()
    except Exception as error:
        return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def session(seconds: tuple[float, float], device: torch.device) -> loop._Session:
    """Training by the published recipe on as many tracks as two batches need."""
    steps = 3 * (WARM_UP + STEPS)
    settings = config(
        "phalar", ["chorales"], steps=steps, batch_size=BATCH, seconds=seconds, preset="published", limit=2 * BATCH
    )
    return loop._Session(settings, Path(), device, progress=False)


def timed(running: loop._Session, bandwidth: float) -> dict:
    """Some steps of a session, after a few that warm up.

    Returns
    -------
    dict
        ``pairs_per_second``; ``step_ms``; ``peak_gigabytes`` of the device's memory (None on a CPU);
        ``bandwidth_share``: the time in which the memory could move the step's bytes, with the backbone's pictures in
        bfloat16 and every operation by itself, over the time that the step takes. Above 1 where operations are fused.
    """
    device, batch, lengths = running.device, running.batch, {}

    def watched(step: int) -> tuple:
        shards, cuts = batch(step)
        lengths[step] = cuts.length / loop.SAMPLE_RATE
        return shards, cuts

    running.batch = watched
    for _ in range(WARM_UP):
        running.take_step()
    wait(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    first, began = running.step, time.perf_counter()
    for _ in range(STEPS):
        running.take_step()
    wait(device)
    seconds = (time.perf_counter() - began) / STEPS
    running.batch = batch
    size = running.config.batch_size
    mean = sum(lengths[step] for step in range(first, running.step)) / STEPS
    least = training_cost.bytes_in_bfloat16(training_cost.counted(size, mean)) / bandwidth
    return {
        "pairs_per_second": size / seconds,
        "step_ms": 1000 * seconds,
        "peak_gigabytes": torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else None,
        "bandwidth_share": least / seconds,
    }


def copied_bytes_a_second(device: torch.device, values: int = COPIED, repeats: int = 10) -> float:
    """Bytes that a large copy within the device's memory reads and writes in a second: the best of a few."""
    source, target, best = torch.zeros(values, device=device), torch.empty(values, device=device), 0.0
    for _ in range(repeats):
        wait(device)
        began = time.perf_counter()
        target.copy_(source)
        wait(device)
        best = max(best, 2 * source.nbytes / (time.perf_counter() - began))
    return best


def at_work(model: StemModel) -> StemModel:
    """A copy without dropout whose residual branches do something: their gains start at zero."""
    moved = copy.deepcopy(model).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            if name.endswith(".scale"):
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return moved


def agreement(model: StemModel, waves: Tensor) -> dict:
    """Relative errors of the loss, or of the gradient as one vector, whichever is larger, on pairs (2, B, N).

    Returns
    -------
    dict
        ``float32``: of this device, against float32 on a CPU. ``bfloat16``: of the backbone in bfloat16 and the rest in
        float32, against the same. ``compiled``: of the latter compiled, against itself uncompiled.
    """
    plain = loss_and_gradient(copy.deepcopy(model).cpu(), waves.cpu(), in_bfloat16=False)
    half = loss_and_gradient(model, waves, in_bfloat16=True)
    errors = {
        "float32": relative_error(loss_and_gradient(model, waves, in_bfloat16=False), plain),
        "bfloat16": relative_error(half, plain),
    }
    fast = copy.deepcopy(model)
    fast.backbone.compile(dynamic=False)
    return errors | {"compiled": relative_error(loss_and_gradient(fast, waves, in_bfloat16=True), half)}


def loss_and_gradient(model: StemModel, waves: Tensor, in_bfloat16: bool) -> tuple[float, Tensor]:
    """Of pairs (2, B, N), as training computes them, and with the backbone in bfloat16 or not on any device."""
    picture = model.picture(waves.flatten(0, 1))
    with torch.autocast(waves.device.type, torch.bfloat16, enabled=in_bfloat16):
        features = model.backbone(picture)
    return with_gradient(contrastive_loss(model.form(*model.head(model.pooling(features)).chunk(2))), model)


def wait(device: torch.device) -> None:
    """Until the device has done all it was told to do; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> int:
    """Print the JSON object; 2, and one line, where there is no GPU."""
    try:
        result = check()
    except InputError as error:
        sys.stderr.write(f"gpu_check: error: {error}\n")
        return 2
    sys.stdout.write(json.dumps(result) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
