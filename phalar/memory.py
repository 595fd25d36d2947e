"""How the C library hands out memory, for work that asks for the same gigabytes again and again."""

import ctypes
from contextlib import suppress


def keep_freed() -> None:
    """Have the C library keep what tensors free.

    A training step, or a batch of windows, asks for the same memory as the one before, and the system would hand it out
    page by page, zeroed, which takes up to a quarter of the time. Linux's glibc only; elsewhere nothing happens.
    """
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, -1)  # never
