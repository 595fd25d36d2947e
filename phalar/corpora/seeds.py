"""What is random in a corpus depends on nothing but what it is for: the same bytes in any process, order and number of
processes."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np


def digest(*purpose: str | int) -> bytes:
    """Sixteen bytes that depend on nothing but these words and numbers."""
    return blake2b("/".join(map(str, purpose)).encode(), digest_size=16).digest()


def shuffled(seed: int, pieces: Iterable[str]) -> list[str]:
    """Pieces in an order that has nothing to do with their names."""
    return sorted(pieces, key=lambda piece: digest(seed, "order", piece))


def generator(*purpose: str | int) -> np.random.Generator:
    """Random numbers that depend on nothing but these words and numbers: a corpus' seed, what is drawn, the piece."""
    return np.random.default_rng(int.from_bytes(digest(*purpose), "little"))
