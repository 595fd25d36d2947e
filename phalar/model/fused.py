"""The fast twin of the backbone on a CPU: all its residual branches and strided convolutions as one compiled function
(book page *How it is trained*, "Speed on a CPU").

``fused.c`` is compiled once with the C compiler at hand and kept in the cache; without a compiler, or with
``PHALAR_FUSED=0``, the plain PyTorch code in ``backbone.py`` runs instead. Both compute the same thing; a test holds
them together.
"""

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from phalar import paths

SOURCE = Path(__file__).with_name("fused.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared")
MAX_CHANNELS = 64  # the size of the tables of pointers in fused.c; hidden layers may have twice as many
log = logging.getLogger(__name__)


def usable(x: Tensor, widest: int = 0) -> bool:
    """Whether the compiled functions can take this picture, and what is made of it: float32, on a CPU, nobody asks for
    less precision (autocast), and a compiler was found. ``widest``: the most channels that a later picture has."""
    enabled = os.environ.get("PHALAR_FUSED", "1") != "0"
    return (
        enabled
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and max(x.shape[1], widest) <= MAX_CHANNELS
        and library() is not None
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled functions, or None (and a line in the log) where they cannot be made."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        log.info("no C compiler found: the backbone runs on plain PyTorch, several times slower")
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.CalledProcessError) as error:
        log.info("fused.c could not be compiled with %s (%s): the backbone runs on plain PyTorch", compiler, error)
        return None


def _compiled(compiler: str) -> Path:
    processor = Path("/proc/cpuinfo")
    flags = (
        next((x for x in processor.read_text().splitlines() if x.startswith("flags")), "")
        if (processor.exists())
        else platform.processor()
    )
    identity = "\n".join([SOURCE.read_text(), compiler, " ".join(FLAGS), platform.machine(), flags])
    target = paths.cache() / "kernels" / f"fused-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / "fused.so"
            command = [compiler, *FLAGS, "-o", str(made), str(SOURCE), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(made, target)
    return target


@lru_cache(maxsize=4)
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="phalar-fused")


def _run(
    function: str, pointers: Sequence[ctypes._SimpleCData | ctypes.Array], items: int, sizes: Sequence[int]
) -> None:
    """Call a function of fused.c on all items, spread over torch's number of threads. ctypes lets go of the GIL."""
    call, threads = getattr(library(), function), torch.get_num_threads()
    # A few shares a thread, so that a thread the system held up does not keep the others waiting.
    shares = min(items, 4 * threads) if threads > 1 else 1
    edges = [items * i // shares for i in range(shares + 1)]

    def share(i: int) -> int:
        return call(*pointers, *(ctypes.c_int(v) for v in (edges[i], edges[i + 1], *sizes)))

    failed = [share(0)] if shares == 1 else list(_workers(threads).map(share, range(shares)))
    if any(failed):
        raise MemoryError(f"{function}: no memory for the working space of {items} pictures of sizes {list(sizes)}")


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


def _pack(weight: Tensor) -> Tensor:
    """(..., in, out) with the last axis padded to a multiple of four, as ``product`` in fused.c reads it."""
    return F.pad(weight, (0, -weight.shape[-1] % 4)).contiguous()


class _Link(ctypes.Structure):
    """``Link`` in fused.c. Whoever makes one keeps its tensors alive."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "moments", "gamma", "beta", "w1", "b1", "w2", "gain")),
        *((name, ctypes.c_void_p) for name in ("w1t", "w2t", "dw1", "db1", "correlation", "dnorm")),
        *((name, ctypes.c_void_p) for name in ("w", "weven", "wodd", "dw")),
        *((name, ctypes.c_int) for name in ("channels", "wide", "steps", "hidden", "taps", "along")),
    ]


class _Branch:
    """A residual branch as a link: what fused.c reads, and what becomes of what it writes."""

    def __init__(self, gamma: Tensor, beta: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, gain: Tensor) -> None:
        self.w1, self.w2, self.gain = w1, w2, gain.contiguous()
        hidden, channels = w1.shape[:2]
        taps = w1[0, 0].numel()
        self.sizes = {"channels": channels, "hidden": hidden, "taps": taps, "along": int(w1.shape[2] > 1)}
        self.channels_after = channels
        self.flat = w1.reshape(hidden, channels, taps)
        self.tensors = {
            "gamma": gamma,
            "beta": beta,
            "w1": _pack(self.flat.permute(2, 1, 0).reshape(taps * channels, hidden)),
            "b1": _pack(b1),
            "w2": _pack(w2.reshape(channels, hidden).T),
            "gain": self.gain,
        }

    def steps_after(self, steps: int) -> int:
        return steps

    def prepare_backward(self, items: int) -> None:
        hidden, channels, taps = self.flat.shape
        zeros = self.w1.new_zeros
        self.sums = {
            "dw1": zeros(items, hidden, taps, channels),
            "db1": zeros(items, hidden),
            "correlation": zeros(items, channels, hidden),  # sum of dy silu(h) over the picture
            "dnorm": zeros(items, 2, channels),
        }
        self.tensors |= self.sums | {
            "w1t": _pack(self.flat.permute(2, 0, 1).reshape(taps * hidden, channels)),
            "w2t": _pack(self.w2.reshape(channels, hidden)),
        }

    def gradients(self) -> list[Tensor]:
        dw1, db1, correlation, dnorm = self.sums.values()
        dgain = (correlation * self.w2.reshape(correlation.shape[1:])).sum(-1)
        dw2 = (self.gain[:, :, None] * correlation).sum(0).reshape(self.w2.shape)
        dw1 = torch.empty_like(self.w1).copy_(dw1.sum(0).transpose(1, 2).reshape(self.w1.shape))  # laid out as w1 is
        return [*dnorm.sum(0), dw1, db1.sum(0), dw2, dgain]


class _Widening:
    """A strided convolution as a link."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        wide, channels = weight.shape[:2]
        self.sizes = {"channels": channels, "wide": wide}
        self.channels_after = wide
        self.tensors = {"w": _pack(weight[:, :, 0].permute(2, 1, 0).reshape(3 * channels, wide))}

    def steps_after(self, steps: int) -> int:
        return (steps + 1) // 2

    def prepare_backward(self, items: int) -> None:
        first, middle, last = self.weight[:, :, 0].unbind(-1)
        self.dw = self.weight.new_zeros(items, len(self.weight), 3, self.weight.shape[1])
        self.tensors |= {"weven": _pack(middle), "wodd": _pack(torch.cat([last, first])), "dw": self.dw}

    def gradients(self) -> list[Tensor]:
        return [self.dw.sum(0).transpose(1, 2)[:, :, None]]


_KINDS = {6: _Branch, 1: _Widening}  # by the number of their weights


def _links(counts: Sequence[int], weights: Sequence[Tensor]) -> list[_Branch | _Widening]:
    return [_KINDS[count](*weights[end - count : end]) for count, end in zip(counts, accumulate(counts), strict=True)]


def _described(links: Sequence[_Branch | _Widening], pictures: Sequence[Tensor | None], moments: Sequence, steps: int):
    """The links as fused.c reads them, each with its input, or None where that is not kept, and with its moments."""
    described = []
    for link, x, found in zip(links, pictures, moments, strict=True):
        tensors = link.tensors | {"x": x, "moments": found}
        pointers = {name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None}
        described.append(_Link(**pointers, **link.sizes, steps=steps))
        steps = link.steps_after(steps)
    return [(_Link * len(links))(*described), ctypes.c_int(len(links))]


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, keep, counts, x, *weights):
        x = x.contiguous()
        items, _, bins, steps = x.shape
        links, pictures, after = _links(counts, weights), [x], steps
        for k, link in enumerate(links, 1):
            after = link.steps_after(after)
            needed = keep or k == len(links)
            pictures.append(x.new_empty(items, link.channels_after, bins, after) if needed else None)
        moments = [x.new_empty(items, 2, link.channels_after) if isinstance(link, _Branch) else None for link in links]
        described = _described(links, pictures[:-1], moments, steps)
        _run("chain_forward", [*described, _pointer(pictures[-1])], items, [bins])
        ctx.counts = counts
        ctx.save_for_backward(*weights, *pictures[:-1], *moments)
        return pictures[-1]

    @staticmethod
    def backward(ctx, dy):
        count, dy = len(ctx.counts), dy.contiguous()
        weights, pictures, moments = (
            ctx.saved_tensors[: -2 * count],
            ctx.saved_tensors[-2 * count : -count],
            ctx.saved_tensors[-count:],
        )
        x, links = pictures[0], _links(ctx.counts, weights)
        for link in links:
            link.prepare_backward(len(x))
        dx = torch.empty_like(x)
        described = _described(links, pictures, moments, x.shape[-1])
        _run("chain_backward", [*described, _pointer(dy), _pointer(dx)], len(x), [x.shape[2]])
        return None, None, dx, *(gradient for link in links for gradient in link.gradients())


# What a link needs: gamma, beta, w1, b1, w2 and gain of a residual branch, or the kernel of a strided convolution.
Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor] | tuple[Tensor]


def chain(x: Tensor, links: Sequence[Weights]) -> Tensor:
    """Residual branches and strided convolutions one after the other, as ``AxialBlock.plain`` computes them.

    A branch is x + gain * w2 silu(w1 * norm(x) + b1). A convolution along time of stride 2 makes O channels and
    (T + 1) // 2 steps.

    Parameters
    ----------
    x : Tensor (B, C, F, T) float32
    links : sequence of (gamma, beta, w1, b1, w2, gain) or (kernel,)
        gamma, beta (C,): affine part of the per-item, per-channel norm. w1 (H, C, 3, 1), (H, C, 1, 3) or (H, C, 1, 1);
        b1 (H,); w2 (C, H, 1, 1). gain (B, C): LayerScale times the dropout mask of each item's channels. kernel
        (O, C, 1, 3).

    Returns
    -------
    Tensor (B, O, F, T')
        Where no gradient is asked for, no picture between is kept.
    """
    weights = [tensor for link in links for tensor in link]
    return _Chain.apply(torch.is_grad_enabled(), tuple(len(link) for link in links), x, *weights)
