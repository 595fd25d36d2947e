"""Speed of the data: excerpts from a store against decoding them, and pairs in arrays against pairs one by one.

The reference is what a training script does that reads a multitrack data set as it was downloaded: open each stem's
FLAC file, decode five seconds at 44.1 kHz, resample, sum, and add noise with NumPy, pair after pair. All on one core,
and with every file in the system's memory, so that it is the work that is timed and not the disk.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile
import torch

from phalar.audio import SAMPLE_RATE
from phalar.datasets import batches, store
from phalar.datasets.augment import (
    BAND,
    BAND_EDGES,
    BROWN,
    BURST_COUNT,
    BURST_LENGTH,
    BURSTS,
    GAIN_DB,
    LOWEST,
    PINK,
    WHITE,
    augment,
)
from phalar.datasets.files import all_files, open_listing
from phalar.datasets.folder import list_tracks
from phalar.datasets.headers import read_header
from phalar.datasets.pairs import draw_pair
from phalar.datasets.prepare_worker import convert
from phalar.datasets.tracks import Track
from phalar.evaluate.bench import fastest

PIECES, STEMS, PIECE_SECONDS, SOURCE_RATE = 4, 4, 30.0, 44_100
EXCERPT = 5 * SAMPLE_RATE  # samples
EXCERPTS = 16  # timed at once
PAIRS, PLAIN_PAIRS = 32, 4


def data() -> dict:
    """Excerpts of all stems of a track, and excerpts made into augmented pairs.

    Beside what every benchmark returns: ``pair_ms`` and ``pair_reference_ms`` (milliseconds a pair and core, from the
    audio on disk to both augmented sides), and ``pair_ratio``.
    """
    with tempfile.TemporaryDirectory() as folder, _one_thread():
        stored, plain = _both_ways(Path(folder))
        places = np.random.default_rng(0).integers(0, stored[0].num_samples - EXCERPT, EXCERPTS)

        def excerpts(tracks: list[Track]) -> list[np.ndarray]:
            return [tracks[i % PIECES].excerpt(int(start), EXCERPT) for i, start in enumerate(places)]

        error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*map(excerpts, (stored, plain)), strict=True))
        ours, reference = (EXCERPTS / fastest(lambda t=tracks: excerpts(t)) for tracks in (stored, plain))
        pair, plain_pair = 1000 * _seconds_a_pair(stored), 1000 * _seconds_a_plain_pair(plain)
    return {
        "benchmark": "data",
        "ours": ours,
        "reference": reference,
        "ratio": ours / reference,
        "unit": f"excerpts of {STEMS} stems per second",
        "max_relative_error": float(error),
        "threads": 1,
        "pair_ms": pair,
        "pair_reference_ms": plain_pair,
        "pair_ratio": plain_pair / pair,
    }


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _both_ways(folder: Path) -> tuple[list[Track], list[Track]]:
    """The same pieces in a store, and as stereo FLAC files at 44.1 kHz."""
    rng = np.random.default_rng(0)
    seconds = np.arange(round(PIECE_SECONDS * SOURCE_RATE)) / SOURCE_RATE
    for piece in range(PIECES):
        (folder / "files" / f"piece{piece}").mkdir(parents=True)
        for stem in range(STEMS):
            pitch = 55.0 * 2 ** ((7 * stem + piece) / 12)
            tone = sum(np.sin(2 * np.pi * pitch * h * seconds) / h for h in range(1, 7))
            beat = 0.1 * tone * (1 + np.sin(2 * np.pi * (stem + 1) * seconds))
            stereo = np.stack([beat, 0.7 * beat], axis=1) + 0.003 * rng.standard_normal((len(seconds), 2))
            soundfile.write(folder / "files" / f"piece{piece}" / f"{stem}.flac", stereo, SOURCE_RATE)
    listing = list_tracks(folder / "files")
    for track in listing.tracks:
        usable, audio, _, _ = convert(track, {file: read_header(file) for file in all_files([track])})
        names = [stem.name for stem in usable.stems]
        store.write_track(folder / "store", track.id, audio, split=track.split, stems=names)
    store.write_index(folder / "store", "bench")
    return store.open_store(folder / "store"), open_listing(folder / "files", listing)[0]


def _seconds_a_pair(tracks: list[Track]) -> float:
    """Ours: a batch drawn at once, read, and augmented as one array."""
    # A batch wants as many tracks as pairs; the same few, under other names, do for timing.
    known = batches.tables([replace(tracks[i % PIECES], id=f"{i}") for i in range(PAIRS)])
    source = batches.StoredSource(known, torch.device("cpu"))
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    return fastest(lambda: augment(source.read(batches.draw(known, PAIRS, EXCERPT, rng)), generator)) / PAIRS


def _seconds_a_plain_pair(tracks: list[Track]) -> float:
    rng = np.random.default_rng(0)

    def pairs() -> None:
        for i in range(PLAIN_PAIRS):
            _, waves, _ = draw_pair(tracks[i % PIECES], EXCERPT, rng)
            plain_augment(waves, rng)

    return fastest(pairs) / PLAIN_PAIRS


def plain_augment(waves: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What :func:`phalar.datasets.augment.augment` does, for one pair (2, N) and one noise after the other."""
    waves = waves * 10 ** (rng.uniform(-GAIN_DB, GAIN_DB) / 20)
    return np.stack([_with_noise(wave, rng) for wave in waves])


def _with_noise(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    length, noisy = len(wave), wave.copy()
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    above = np.maximum(frequency, LOWEST)
    octaves = np.log2(BAND_EDGES[1] / BAND_EDGES[0])
    low = rng.uniform(0, octaves - 1)
    low, high = BAND_EDGES[0] * 2.0 ** np.array([low, rng.uniform(low + 1, octaves)])
    shapes = (
        (WHITE, None),
        (PINK, above**-0.5),
        (BROWN, above**-1.0),
        (BAND, (frequency >= low) & (frequency <= high)),
    )
    level = np.sqrt(np.mean(wave**2))
    for noise, shape in shapes:
        if rng.random() < noise.chance:
            added = rng.standard_normal(length)
            if shape is not None:
                added = np.fft.irfft(np.fft.rfft(added) * shape, length)
            noisy += level * 10 ** (-rng.uniform(*noise.snr_db) / 20) * added / np.sqrt(np.mean(added**2))
    if rng.random() < BURSTS.chance:
        gain = level * 10 ** (-rng.uniform(*BURSTS.snr_db) / 20)
        for _ in range(rng.integers(BURST_COUNT[0], BURST_COUNT[1] + 1)):
            duration = rng.integers(BURST_LENGTH[0], BURST_LENGTH[1] + 1)
            start = rng.integers(0, length - duration)
            noisy[start : start + duration] += gain * rng.standard_normal(duration)
    return noisy
