"""Small invented multitracks for tests: stems that share a rhythm and a key, as pieces do."""

from types import SimpleNamespace

import numpy as np

from phalar.datasets.store import StoredAudio
from phalar.datasets.tracks import Track

RATE = 16_000

HUBERT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
HUBERT |= {"conv_dim": (16,) * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
"""Settings of a tiny model of MERT's kind."""


def in_memory(waves: np.ndarray, name: str = "one", dataset: str = "chorales", **about) -> Track:
    """A track for testing with these stems (S, N) at 16 kHz, and whatever else is known about it."""
    waves = np.asarray(waves, np.float32)
    audio = SimpleNamespace(waves=waves, read=lambda start, stop: waves[:, start:stop])
    stems = about.pop("stems", tuple("abcdef"[: len(waves)]))
    return Track(name, dataset, "test", stems, RATE, waves.shape[1], audio, **about)


def invent_track(folder, index: int, stems: int = 3, seconds: float = 6.0, split: str = "train", silent=()) -> Track:
    """A piece whose stems strike together at a tempo and on a chord of its own; stems in ``silent`` are zeros."""
    rng = np.random.default_rng(index)
    time = np.arange(round(seconds * RATE)) / RATE
    beat = 0.3 + 0.05 * (index % 9)
    root = 110 * 2 ** ((7 * index % 12) / 12)
    waves = np.zeros((stems, len(time)), np.float32)
    for s in range(stems):
        if s in silent:
            continue
        envelope = np.exp(-((time + 0.02 * s) % (beat * (1 + s % 2))) * 8)
        pitch = root * 2 ** ((0, 4, 7, 12)[s % 4] / 12) * (1 + s)
        waves[s] = 0.2 * envelope * np.sin(2 * np.pi * pitch * time) + 1e-3 * rng.standard_normal(len(time))
    file = folder / f"track{index}.npy"
    np.save(file, np.round(waves * 32768).astype(np.int16))
    names = tuple(f"stem{s}" for s in range(stems))
    return Track(f"track{index}", "invented", split, names, RATE, len(time), StoredAudio(file, waves.shape))
