"""Harmonic/percussive separation: what lasts goes one way, what strikes goes the other.

A median over time erases strokes, a median over frequency erases held notes, and each bin is shared between the two
according to which is the larger (Fitzgerald 2010): ``librosa.decompose.hpss`` with its defaults, batched and on the
device of its input. COCOLA listens through it. Taught in ``book/model.md``.
"""

import torch
from torch import Tensor

from phalar.errors import InputError

KERNEL = 31  # bins or frames in each median, as in librosa
# Values filtered at once: for each CPU thread what stays in its cache, and what fills a GPU.
CHUNK = {"cpu": 1 << 15, "cuda": 1 << 24}


def separate(magnitude: Tensor, kernel: int = KERNEL) -> tuple[Tensor, Tensor]:
    """Soft masks of the harmonic and of the percussive part of a magnitude spectrogram.

    With H the median over time and P the median over frequency, the masks are H²/(H²+P²) and P²/(H²+P²): the share
    of each bin's magnitude that each part keeps. They sum to one; where both medians vanish each part gets one half.
    ``magnitude`` (..., F, T) is real and not negative; ``kernel`` is the odd length of both medians, in frames and in
    bins. An InputError for a complex or empty spectrogram, or an even kernel.
    """
    if magnitude.is_complex() or magnitude.ndim < 2 or magnitude.numel() == 0:
        raise InputError(
            f"hpss: a magnitude spectrogram (..., F, T) is needed, not {magnitude.dtype} of shape "
            f"{tuple(magnitude.shape)}; give abs() of a spectrogram that has at least one bin and one frame"
        )
    h, p = median_filter(magnitude, kernel, dim=-1), median_filter(magnitude, kernel, dim=-2)
    # Scaled by the larger one before squaring, or quiet bins would underflow.
    larger = torch.maximum(h, p)
    silent = larger < torch.finfo(larger.dtype).tiny
    larger = larger.masked_fill(silent, 1.0)
    h, p = (h / larger).square(), (p / larger).square()
    total = (h + p).masked_fill(silent, 1.0)
    return (h / total).masked_fill(silent, 0.5), (p / total).masked_fill(silent, 0.5)


def hpss(spectrogram: Tensor, kernel: int = KERNEL) -> tuple[Tensor, Tensor]:
    """Harmonic and percussive part of a spectrogram (..., F, T), real (a magnitude) or complex (an STFT, whose phase
    both keep); they sum to it. ``kernel`` as in `separate`."""
    harmonic, percussive = separate(spectrogram.abs(), kernel)
    return spectrogram * harmonic, spectrogram * percussive


def median_filter(x: Tensor, kernel: int, dim: int) -> Tensor:
    """Running median of odd length along axis -1 or -2 of (..., F, T), edges mirrored (d c b a | a b c d | d c b a).

    The same numbers as ``scipy.ndimage.median_filter(..., mode="reflect")``, also where the axis is shorter than the
    kernel (but for an axis of 2, where scipy 1.17 is not the median of its own window). Only minima and maxima of
    whole shifted arrays are taken, so neither CPU nor GPU ever branches.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"hpss: the kernel must be odd and positive, not {kernel}; librosa's is {KERNEL}")
    length = x.shape[dim]
    index = torch.arange(-(kernel // 2), length + kernel // 2, device=x.device) % (2 * length)
    padded = x.index_select(dim, torch.where(index < length, index, 2 * length - 1 - index))
    planes = padded.reshape(-1, *padded.shape[-2:])
    out = torch.empty_like(x).reshape(-1, *x.shape[-2:])
    across = -2 if dim == -1 else -1  # lines along this axis do not meet, so it may be cut into chunks
    budget = CHUNK["cuda"] if x.is_cuda else CHUNK["cpu"] * torch.get_num_threads()
    lines = max(1, budget // padded.shape[dim])
    items = max(1, budget // (planes.shape[1] * planes.shape[2]))
    for source, target in zip(planes.split(items), out.split(items), strict=True):
        for lines_in, lines_out in zip(source.split(lines, across), target.split(lines, across), strict=True):
            lines_out.copy_(_running_median(lines_in, kernel, dim))
    return out.reshape(x.shape)


def _running_median(x: Tensor, kernel: int, dim: int) -> Tensor:
    """Median of each full window of `kernel` values along `dim`.

    A window is cut into two sorted blocks A and B. Of a values from A and m - a from B the largest is max(A_a, B_m-a);
    the m-th smallest of all is the least of these over every a.
    """
    blocks = {1: [x]}
    half = (kernel + 1) // 2  # the median is the half-th smallest
    size = 1 << (half - 1).bit_length()  # a power of two at least `half`, so that the block is shared with others
    if size >= kernel:
        return _sorted_windows(blocks, kernel, dim)[half - 1]
    length = x.shape[dim] - kernel + 1
    a = [part.narrow(dim, 0, length) for part in _sorted_windows(blocks, size, dim)]
    b = [part.narrow(dim, size, length) for part in _sorted_windows(blocks, kernel - size, dim)]
    least = a[half - 1]
    for taken in range(half - len(b), half):
        largest = torch.maximum(a[taken - 1], b[half - taken - 1]) if taken else b[half - 1]
        least = torch.minimum(least, largest)
    return least


def _sorted_windows(blocks: dict[int, list[Tensor]], size: int, dim: int) -> list[Tensor]:
    """Every window of `size` values along `dim`, sorted: entry i holds the i-th smallest of each window.

    Neighbouring windows share their halves, so a block of each smaller size is sorted once for all positions.
    """
    if size not in blocks:
        first = 1 << (size - 1).bit_length() - 1
        length = blocks[1][0].shape[dim] - size + 1
        left = [part.narrow(dim, 0, length) for part in _sorted_windows(blocks, first, dim)]
        right = [part.narrow(dim, first, length) for part in _sorted_windows(blocks, size - first, dim)]
        blocks[size] = _merge(left, right)
    return blocks[size]


def _merge(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
    """Batcher's odd-even merge of two sorted lists of any lengths, element by element over the whole arrays."""
    if not a or not b:
        return a or b
    if len(a) == len(b) == 1:
        return [torch.minimum(a[0], b[0]), torch.maximum(a[0], b[0])]
    even, odd = _merge(a[0::2], b[0::2]), _merge(a[1::2], b[1::2])
    merged = [even[0]]
    for low, high in zip(odd, even[1:], strict=False):
        merged += [torch.minimum(low, high), torch.maximum(low, high)]
    return merged + (odd[len(even) - 1 :] or even[len(odd) + 1 :])
