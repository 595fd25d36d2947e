"""The fast twin of the backbone on a CPU, one compiled function. Book page *What training costs*.

``fused.c`` is compiled once with the C compiler at hand (``CC``, or the first of cc, gcc and clang) and kept in the
cache. Without a compiler, with ``PHALAR_FUSED=0``, or for what ``usable`` refuses, ``backbone.py`` runs as it is.
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import subprocess
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar import paths
from phalar.errors import PhalarWarning

SOURCE = Path(__file__).with_name("fused.c")
FLAGS = ("-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared")
MAX_CHANNELS = 64  # the size of the tables of pointers in fused.c; hidden layers may have twice as many
KERNELS = ((3, 1), (1, 3), (1, 1))

# What a link needs: gamma, beta, w1, b1, w2 and gain of a residual branch, or the kernel of a strided convolution.
Weights = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor] | tuple[Tensor]


def links(block: nn.Module, gains: Sequence[Tensor]) -> list[Weights]:
    """An ``AxialBlock`` as links of a chain, with the gains (B, C) of its branches."""
    found = [
        (b.norm.weight, b.norm.bias, b.mix.weight, b.mix.bias, b.out.weight, gain)
        for b, gain in zip(block.branches, gains, strict=True)
    ]
    return found if block.widen is None else [*found, (block.widen.weight,)]


def usable(picture: Tensor, stem: Tensor, links: Sequence[Weights]) -> bool:
    """Whether the compiled functions compute these links of this picture (B, F, T): the one place that chooses. All is
    float32 on a CPU, of widths that fit together and into their tables; nobody asks for less precision (autocast) or
    traces the code (``torch.compile``); and a compiler was found."""
    tensors = [picture, stem, *(tensor for link in links for tensor in link)]
    return (
        os.environ.get("PHALAR_FUSED", "1") != "0"
        and all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and picture.numel() > 0
        and _fit(len(picture), len(stem), links)
        and library() is not None
    )


def _fit(items: int, channels: int, links: Sequence[Weights]) -> bool:
    for link in links:
        before, channels, hidden = channels, len(link[0]), 0
        wanted = [(channels, before, 1, 3)]
        if len(link) == 6:
            hidden, kernel = len(link[2]), tuple(link[2].shape[2:])
            mixing = [(hidden, before, *kernel), (hidden,), (before, hidden, 1, 1)]
            wanted = [(before,), (before,), *mixing, (items, before)] if kernel in KERNELS else []
        if [t.shape for t in link] != wanted or max(before, channels, hidden / 2) > MAX_CHANNELS:
            return False
    return True


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled functions, or None, with a PhalarWarning, where they cannot be made."""
    named = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    reason = "no C compiler was found"
    if named is not None:
        try:
            loaded = ctypes.CDLL(str(_compiled(shlex.split(named))))
            here, there = ctypes.sizeof(_Link), loaded.size_of_link()
            if here != there:
                raise AssertionError(f"Link has {there} bytes in C and {here} in Python")
            return loaded
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            reason = f"fused.c could not be compiled with {named} ({error})"
    slower = f"{reason}: the backbone runs on plain PyTorch, several times slower; install a C compiler or set CC"
    warnings.warn(slower, PhalarWarning, stacklevel=2)
    return None


def _compiled(command: Sequence[str]) -> Path:
    """The shared library, named by all that decides what is in it: source, command, flags, and what the compiler says
    of itself and, by ``-march=native``, of the processor, on x86 and on ARM: the macros that it defines."""
    asked = [*command, *FLAGS, "-dM", "-E", "-x", "c", os.devnull]
    macros = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    identity = "\n".join([SOURCE.read_text(), *asked, macros])
    target = paths.cache() / "kernels" / f"fused-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    if not target.exists():
        with paths.replacing(target) as made:
            subprocess.run([*command, *FLAGS, "-o", made, SOURCE, "-lm"], check=True, capture_output=True)
    return target


@lru_cache(maxsize=4)
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="phalar-fused")


def _run(function: str, pointers: Sequence, items: int, bins: int) -> None:
    """Call a function of fused.c on all items by torch's number of threads; ctypes lets go of the GIL."""
    call, threads = getattr(library(), function), torch.get_num_threads()
    # A few shares a thread, so that a thread the system held up does not keep the others waiting.
    shares = min(items, 4 * threads) if threads > 1 else 1
    edges = [items * i // shares for i in range(shares + 1)]

    def share(i: int) -> int:
        return call(*pointers, *(ctypes.c_int(v) for v in (edges[i], edges[i + 1], bins)))

    failed = [share(0)] if shares == 1 else list(_workers(threads).map(share, range(shares)))
    if any(failed):
        raise MemoryError(f"{function}: no memory for the working space of {items} pictures")


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
    """A residual branch as a link: what fused.c reads, and, for so many ``items``, what it writes on the way back."""

    stride = 1

    def __init__(self, items: int, gamma, beta, w1: Tensor, b1: Tensor, w2: Tensor, gain: Tensor) -> None:
        self.w1, self.w2, self.gain = w1, w2, gain.contiguous()
        flat, square = w1.flatten(2), w2.flatten(1)
        hidden, channels, taps = flat.shape
        self.channels_after, along = channels, int(w1.shape[2] > 1)
        self.sizes = {"channels": channels, "hidden": hidden, "taps": taps, "along": along}
        self.tensors = {"gamma": gamma.contiguous(), "beta": beta.contiguous(), "gain": self.gain}
        packed = {"w1": flat.permute(2, 1, 0).flatten(0, 1), "b1": b1, "w2": square.T}
        packed |= {"w1t": flat.permute(2, 0, 1).flatten(0, 1), "w2t": square} if items else {}
        # The correlation is the sum of dy silu(h) over the picture.
        sizes = {"dw1": (hidden, taps, channels), "db1": (hidden,), "correlation": (channels, hidden)}
        self.sums = {name: w1.new_zeros(items, *size) for name, size in (sizes | {"dnorm": (2, channels)}).items()}
        self.tensors |= self.sums | {name: _pack(weight) for name, weight in packed.items()}

    def gradients(self) -> list[Tensor]:
        dw1, db1, correlation, dnorm = self.sums.values()
        dgain = (correlation * self.w2.flatten(1)).sum(-1)
        dw2 = (self.gain[:, :, None] * correlation).sum(0).reshape(self.w2.shape)
        dw1 = torch.empty_like(self.w1).copy_(dw1.sum(0).transpose(1, 2).reshape(self.w1.shape))  # laid out as w1 is
        return [*dnorm.sum(0), dw1, db1.sum(0), dw2, dgain]


class _Widening:
    """A strided convolution as a link."""

    stride = 2

    def __init__(self, items: int, weight: Tensor) -> None:
        self.channels_after, channels = weight.shape[:2]
        self.sizes = {"channels": channels, "wide": self.channels_after}
        first, middle, last = weight[:, :, 0].unbind(-1)
        packed = {"w": weight[:, :, 0].permute(2, 1, 0).flatten(0, 1)}
        packed |= {"weven": middle, "wodd": torch.cat([last, first])} if items else {}
        self.dw = weight.new_zeros(items, self.channels_after, 3, channels)
        self.tensors = {"dw": self.dw} | {name: _pack(weight) for name, weight in packed.items()}

    def gradients(self) -> list[Tensor]:
        return [self.dw.sum(0).transpose(1, 2)[:, :, None]]


def _made(items: int, counts: Sequence[int], weights: Sequence[Tensor]) -> list[_Branch | _Widening]:
    """Links of flat weights, of which each has so many."""
    rest = iter(weights)
    return [(_Branch if count == 6 else _Widening)(items, *islice(rest, count)) for count in counts]


def _described(links: Sequence[_Branch | _Widening], pictures: Sequence[Tensor | None], moments: Sequence, steps: int):
    """The links as fused.c reads them, each with its input, or None where that is not kept, and with its moments."""
    described = []
    for link, x, found in zip(links, pictures, moments, strict=True):
        tensors = link.tensors | {"x": x, "moments": found}
        pointers = {name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None}
        described.append(_Link(**pointers, **link.sizes, steps=steps))
        steps = -(-steps // link.stride)
    return [(_Link * len(links))(*described), ctypes.c_int(len(links))]


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, keep, counts, x, *weights):
        x = x.contiguous()
        items, _, bins, steps = x.shape
        links, pictures, after = _made(0, counts, weights), [x], steps
        for k, link in enumerate(links, 1):
            after = -(-after // link.stride)
            needed = keep or k == len(links)
            pictures.append(x.new_empty(items, link.channels_after, bins, after) if needed else None)
        moments = [x.new_empty(items, 2, link.channels_after) if isinstance(link, _Branch) else None for link in links]
        described = _described(links, pictures[:-1], moments, steps)
        _run("chain_forward", [*described, ctypes.c_void_p(pictures[-1].data_ptr())], items, bins)
        ctx.counts = counts
        ctx.save_for_backward(*weights, *pictures[:-1], *moments)
        return pictures[-1]

    @staticmethod
    def backward(ctx, dy):
        count, dy = len(ctx.counts), dy.contiguous()
        weights, kept = ctx.saved_tensors[: -2 * count], ctx.saved_tensors[-2 * count :]
        pictures, moments = kept[:count], kept[count:]
        x = pictures[0]
        links = _made(len(x), ctx.counts, weights)
        dx = torch.empty_like(x)
        described = _described(links, pictures, moments, x.shape[-1])
        pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in (dy, dx)]
        _run("chain_backward", [*described, *pointers], len(x), x.shape[2])
        return None, None, dx, *(gradient for link in links for gradient in link.gradients())


def chain(x: Tensor, links: Sequence[Weights]) -> Tensor:
    """Residual branches, x + gain * w2 silu(w1 * norm(x) + b1), and convolutions of stride 2 along time one after the
    other, as ``AxialBlock`` computes them: x (B, C, F, T) float32 to (B, O, F, T'). Of a branch: gamma, beta (C,); w1
    (H, C, 3, 1), (H, C, 1, 3) or (H, C, 1, 1); b1 (H,); w2 (C, H, 1, 1); gain (B, C). Of a convolution: its kernel (O,
    C, 1, 3). Where no gradient is asked for, no picture between is kept."""
    weights = [tensor for link in links for tensor in link]
    return _Chain.apply(torch.is_grad_enabled(), tuple(len(link) for link in links), x, *weights)


def keep_freed() -> None:
    """Have the C library keep what tensors free. A training step, or a batch of windows, asks for the same memory as
    the one before, which glibc would hand out zeroed, page by page, in up to a quarter of the time."""
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)  # never
