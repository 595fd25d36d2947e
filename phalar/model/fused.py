"""The fast twin of the backbone on a CPU: a block's residual branches as one compiled function (book page *How it is
trained*, "Speed on a CPU").

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
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from phalar import paths

SOURCE = Path(__file__).with_name("fused.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared")
MAX_CHANNELS = 64  # the size of the tables of pointers in fused.c; hidden layers may have twice as many
log = logging.getLogger(__name__)


def usable(x: Tensor) -> bool:
    """Whether the compiled functions can take this picture: float32, on a CPU, nobody asks for less precision
    (autocast), and a compiler was found."""
    enabled = os.environ.get("PHALAR_FUSED", "1") != "0"
    return (
        enabled
        and x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.shape[1] <= MAX_CHANNELS
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


class _Layout(ctypes.Structure):
    """``Branch`` in fused.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("x", "gamma", "beta", "w1", "b1", "w2", "gain", "y", "moments")),
        *((name, ctypes.c_void_p) for name in ("w1t", "w2t", "dw1", "db1", "correlation", "dnorm")),
        *((name, ctypes.c_int) for name in ("hidden", "taps", "along")),
    ]

    @classmethod
    def of(cls, kernel: Tensor, **tensors: Tensor) -> "_Layout":
        """The first convolution as PyTorch has it, for its sizes; tensors by name. Whoever calls keeps them alive."""
        pointers = {name: tensor.data_ptr() for name, tensor in tensors.items()}
        return cls(**pointers, hidden=len(kernel), taps=kernel[0, 0].numel(), along=int(kernel.shape[2] > 1))


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, *parameters):
        x = x.contiguous()
        items, channels, bins, steps = x.shape
        kept, layouts, alive = [], [], []
        for gamma, beta, w1, b1, w2, gain in zip(*[iter(parameters)] * 6, strict=True):
            hidden, taps = len(w1), w1.shape[2] * w1.shape[3]
            packed = _pack(w1.reshape(hidden, channels, taps).permute(2, 1, 0).reshape(taps * channels, hidden))
            bias, out, gain = _pack(b1), _pack(w2.reshape(channels, hidden).T), gain.contiguous()
            y, moments = torch.empty_like(x), x.new_empty(items, 2, channels)
            given = {"x": x, "gamma": gamma, "beta": beta, "w1": packed, "b1": bias, "w2": out, "gain": gain}
            layouts.append(_Layout.of(w1, **given, y=y, moments=moments))
            alive.append(out)
            kept += [x, moments, gamma, beta, w1, packed, bias, w2, gain]
            x = y
        sizes = [channels, bins, steps]
        _run("chain_forward", [(_Layout * len(layouts))(*layouts), ctypes.c_int(len(layouts))], items, sizes)
        ctx.save_for_backward(*kept)
        return x

    @staticmethod
    def backward(ctx, dy):
        dy = dy.contiguous()
        items, channels, bins, steps = dy.shape
        dx, layouts, sums, alive = torch.empty_like(dy), [], [], []
        for x, moments, gamma, beta, w1, packed, bias, w2, gain in zip(*[iter(ctx.saved_tensors)] * 9, strict=True):
            hidden, taps = len(w1), w1.shape[2] * w1.shape[3]
            back = _pack(w1.reshape(hidden, channels, taps).permute(2, 0, 1).reshape(taps * hidden, channels))
            out_back = _pack(w2.reshape(channels, hidden))
            own = {
                "dw1": x.new_zeros(items, hidden, taps, channels),
                "db1": x.new_zeros(items, hidden),
                "correlation": x.new_zeros(items, channels, hidden),  # sum of dy silu(h) over the picture
                "dnorm": x.new_zeros(items, 2, channels),
            }
            given = {"x": x, "gamma": gamma, "beta": beta, "w1": packed, "b1": bias, "gain": gain, "moments": moments}
            layouts.append(_Layout.of(w1, **given, w1t=back, w2t=out_back, **own))
            sums.append((w1, w2, gain, *own.values()))
            alive += [back, out_back]
        pointers = [(_Layout * len(layouts))(*layouts), ctypes.c_int(len(layouts)), _pointer(dy), _pointer(dx)]
        _run("chain_backward", pointers, items, [channels, bins, steps])
        gradients = []
        for w1, w2, gain, dw1, db1, correlation, dnorm in sums:
            dgain = (correlation * w2.reshape(correlation.shape[1:])).sum(-1)
            dw2 = (gain[:, :, None] * correlation).sum(0).reshape(w2.shape)
            dw1 = torch.empty_like(w1).copy_(dw1.sum(0).transpose(1, 2).reshape(w1.shape))  # laid out as the weight is
            gradients += [*dnorm.sum(0), dw1, db1.sum(0), dw2, dgain]
        return dx, *gradients


class _Widen(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        x = x.contiguous()
        items, channels, bins, steps = x.shape
        wide = len(weight)
        packed = _pack(weight[:, :, 0].permute(2, 1, 0).reshape(3 * channels, wide))
        y = x.new_empty(items, wide, bins, (steps + 1) // 2)
        ctx.sizes = [channels, wide, bins, steps]
        _run("widen_forward", [_pointer(t) for t in (x, y, packed)], items, ctx.sizes)
        ctx.save_for_backward(x, weight)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, weight = ctx.saved_tensors
        first, middle, last = weight[:, :, 0].unbind(-1)
        dx = torch.empty_like(x)
        dw = x.new_zeros(len(x), len(weight), 3, x.shape[1])
        tensors = [x, dy.contiguous(), dx, _pack(middle), _pack(torch.cat([last, first])), dw]
        _run("widen_backward", [_pointer(t) for t in tensors], len(x), ctx.sizes)
        return dx, dw.sum(0).transpose(1, 2)[:, :, None]


Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def chain(x: Tensor, branches: Sequence[Weights]) -> Tensor:
    """x + gain * w2 silu(w1 * norm(x) + b1) for one branch after the other, as ``ResidualBranch.plain`` computes it.

    Parameters
    ----------
    x : Tensor (B, C, F, T) float32
    branches : sequence of (gamma, beta, w1, b1, w2, gain)
        gamma, beta (C,): affine part of the per-item, per-channel norm. w1 (H, C, 3, 1), (H, C, 1, 3) or (H, C, 1, 1);
        b1 (H,); w2 (C, H, 1, 1). gain (B, C): LayerScale times the dropout mask of each item's channels.
    """
    return _Chain.apply(x, *(tensor for weights in branches for tensor in weights))


def widen(x: Tensor, weight: Tensor) -> Tensor:
    """Convolution along time, (O, C, 1, 3) kernel, stride 2: (B, C, F, T) to (B, O, F, (T + 1) // 2)."""
    return _Widen.apply(x, weight)
