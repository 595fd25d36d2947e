"""Speed, side by side in one run, against plain references in the same process: never a number from another day.

The references do what the published code does: nnAudio's transform, PyTorch's own layers in float32, each block of the
backbone computed twice, FLAC files, noise for one clip after the other. Training has fair rivals too: the same network,
fed by the same loader, in bfloat16, as it stands and by ``torch.compile``. Book page *What training costs*.
"""

import copy
import platform
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from nnAudio.features.cqt import CQT1992v2
from torch import Tensor
from torch.utils.benchmark import Timer

from phalar import corpora
from phalar.audio import SAMPLE_RATE
from phalar.datasets import augment, batches, store
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.frontend import BINS, FMIN, HOP, ConstantQ
from phalar.model.stem_model import StemModel
from phalar.train import loop
from phalar.train.config import config
from phalar.train.objective import Objective

CLIPS, SECONDS = 8, 5.0  # embedded at once
BATCH, STEPS, REFERENCE_STEPS, COMPARED = 32, 5, 2, 4  # pairs a step; steps timed; pairs whose gradients are compared
PIECES, EXCERPTS, SOURCE_RATE = 4, 16, 44_100  # as many excerpts are read at once
MARGIN = 4_000  # samples at 16 kHz that are decoded on either side, for the resampler


def run(name: str) -> dict:
    """A benchmark by name: ``ours`` and ``reference`` in its ``unit``, ``ratio``, ``max_relative_error`` (both compute
    the same thing), ``threads``, ``processor``; an InputError for another name."""
    if name not in BENCHMARKS:
        raise InputError(f"unknown benchmark {name!r}; there are {', '.join(BENCHMARKS)}")
    unit, measure = BENCHMARKS[name]
    found = {"benchmark": name, "unit": unit, "threads": torch.get_num_threads(), "processor": processor()} | measure()
    return found | {"ratio": found["ours"] / found["reference"]}


def processor(about: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name and its wide instructions: with bfloat16 among them rivals are faster."""
    text = about.read_text() if about.exists() else ""
    known = dict(re.findall(r"^(model name|flags)\s*: (.*)$", text, re.MULTILINE))
    name, flags = known.get("model name", platform.processor()), known.get("flags", "").split()
    wide = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{name} ({', '.join(wide)})" if wide else name


def seconds_of(function: Callable[[], object], threads: int | None = None) -> float:
    """Median seconds of a call, after one that warms up."""
    timer = Timer("function()", globals={"function": function}, num_threads=threads or torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=1.0).median


def encode() -> dict:
    """Embedding clips: our encoder against the same weights on plain PyTorch layers and nnAudio's transform."""
    model = build("phalar", seed=0).eval()
    return _embedding(model.encode, plain_twin(model).encode)


@torch.no_grad()
def _embedding(ours: Callable[[Tensor], Tensor], reference: Callable[[Tensor], Tensor]) -> dict:
    audio = 0.1 * torch.randn(CLIPS, round(SECONDS * SAMPLE_RATE), generator=torch.Generator().manual_seed(0))
    a, b = ours(audio), reference(audio)
    speeds = [CLIPS * SECONDS / seconds_of(lambda f=f: f(audio)) for f in (ours, reference)]
    error = ((a - b).abs().max() / b.abs().max()).item()
    return {"ours": speeds[0], "reference": speeds[1], "max_relative_error": error}


def _nnaudio() -> CQT1992v2:
    return CQT1992v2(SAMPLE_RATE, HOP, fmin=FMIN, n_bins=BINS, verbose=False)


def plain_twin(model: StemModel, dtype: torch.dtype | None = None, compiled: bool = False) -> StemModel:
    """A PHALAR with equal weights of its own, and the same dropout, whose backbone runs on PyTorch's own layers: in
    ``dtype``, keeping what it computed; or, without one, in float32, checkpointed, behind nnAudio's transform."""
    twin = copy.deepcopy(model)
    backbone, published = twin.backbone, dtype is None
    plain = torch.compile(backbone.plain, dynamic=False) if compiled else backbone.plain

    def forward(picture: Tensor) -> Tensor:
        with torch.autocast(picture.device.type, dtype, enabled=not published):
            return plain(picture, backbone.gains(len(picture)), published and backbone.training)

    backbone.forward = forward
    if published:
        twin.frontend.transform = _nnaudio().to(model.device)
    return twin


def train() -> dict:
    """Training steps of PHALAR by the paper's recipe on *chorales*, a stand-in for CocoChorales, from the audio on disk
    to the changed weights. ``rivals`` are speeds by name, or why there is none."""
    trainer = _trainer()
    ours, rivals = pairs_a_second(trainer, STEPS), {}
    for name, compiled in (("eager bfloat16", False), ("compiled bfloat16", True)):
        try:
            rivals[name] = pairs_a_second(_trainer(plain_twin(trainer.model, torch.bfloat16, compiled)), STEPS)
        except Exception as error:  # a compiler that does not work must not cost the other numbers
            rivals[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    with tempfile.TemporaryDirectory() as folder:
        plain = _trainer(plain_twin(trainer.model))
        tables = replace(plain.tables, tracks=as_flac(plain.tables.tracks, Path(folder), SAMPLE_RATE))

        def batch(step: int) -> tuple[list[Tensor], batches.Cuts]:
            """Pairs with noise, (2, B, N), made one by one, and where they were cut."""
            cuts = batches.draw(tables, BATCH, round(SECONDS * SAMPLE_RATE), np.random.default_rng(step))
            waves = batches.StoredSource(tables, torch.device("cpu")).read(cuts)
            noise = torch.Generator().manual_seed(step)
            return [torch.cat([augment.augment(pair, noise) for pair in waves.split(1, dim=1)], dim=1)], cuts

        plain.batch = batch
        error = largest_error(trainer.model, plain.model, plain.batch(0)[0][0][:, :COMPARED])
        reference = pairs_a_second(plain, REFERENCE_STEPS)
    return {"ours": ours, "reference": reference, "max_relative_error": error, "rivals": rivals}


def _trainer(model: StemModel | None = None) -> "loop.Trainer":
    """Training by the published recipe: of a fresh PHALAR, or of another model."""
    settings = config(
        "phalar", ["chorales"], steps=99, batch_size=BATCH, seconds=(SECONDS, SECONDS), limit=BATCH, preset="published"
    )
    trainer = loop.Trainer(settings, Path(), "cpu", progress=False)
    if model is not None:
        trainer.model, trainer.objective.model = model, model
        trainer.optimisers = loop.optimisers(model, settings.recipe)
    return trainer


def pairs_a_second(trainer: "loop.Trainer", steps: int) -> float:
    """Mean over some steps, each with the preparation of one batch, after a step that compiles and makes tables."""
    trainer.step()
    started = time.perf_counter()
    for _ in range(steps):
        trainer.step()
    trainer.ahead.shutdown(wait=True)
    return trainer.config.batch_size * steps / (time.perf_counter() - started)


def largest_error(model: StemModel, twin: StemModel, waves: Tensor) -> float:
    """Relative difference of two models' losses on pairs (2, B, N), or of their gradients as vectors, if larger."""
    losses, gradients = [], []
    for each in (model, twin):
        loss = Objective(each, 0.9, "shard")([waves], [0])[0]
        found = torch.autograd.grad(loss, list(each.parameters()))
        gradients.append(torch.cat([(torch.view_as_real(g) if g.is_complex() else g).flatten() for g in found]))
        losses.append(loss.item())
    (ours, theirs), (mine, right) = losses, gradients
    return max(abs(ours - theirs) / abs(theirs), ((mine - right).norm() / right.norm()).item())


def data() -> dict:
    """Excerpts of pieces of *chorales*, stored against decoded from stereo FLAC at 44.1 kHz, on one thread."""
    with tempfile.TemporaryDirectory() as folder:
        tracks = corpora.load("chorales", "train", limit=PIECES)
        files = as_flac(tracks, Path(folder), SOURCE_RATE)
        length = round(SECONDS * SAMPLE_RATE)
        shortest = min(track.num_samples for track in tracks)
        places = HOP * np.random.default_rng(0).integers((shortest - length) // HOP, size=EXCERPTS)

        def excerpts(of: Sequence[Track]) -> list[np.ndarray]:
            return [of[i % PIECES].excerpt(int(start), length) for i, start in enumerate(places)]

        error = max(np.abs(a - b).max() / np.abs(b).max() for a, b in zip(*map(excerpts, (tracks, files)), strict=True))
        ours, reference = (EXCERPTS / seconds_of(lambda of=of: excerpts(of), threads=1) for of in (tracks, files))
    return {"ours": ours, "reference": reference, "max_relative_error": float(error), "threads": 1}


@dataclass(frozen=True)
class FlacAudio:
    """Stems as FLAC files of a rate, one each: decoded, mixed to mono and resampled whenever they are read."""

    files: tuple[Path, ...]
    rate: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """(S, stop - start) float32 at 16 kHz."""
        if self.rate == SAMPLE_RATE:
            return np.stack([soundfile.read(file, stop - start, start, dtype="float32")[0] for file in self.files])
        step = HOP * self.rate // SAMPLE_RATE  # whole samples at both rates
        first, last = max(0, start - MARGIN) // HOP, -(-(stop + MARGIN) // HOP)
        read = [soundfile.read(f, (last - first) * step, first * step, dtype="float32")[0] for f in self.files]
        mono = [soxr.resample(samples.mean(axis=1), self.rate, SAMPLE_RATE) for samples in read]
        return np.stack(mono)[:, start - first * HOP : stop - first * HOP]


def as_flac(tracks: Sequence[Track], folder: Path, rate: int) -> tuple[Track, ...]:
    """Tracks whose stems were written to a folder as 16-bit FLAC files, stereo unless at 16 kHz, and are read there."""
    written = []
    for i, track in enumerate(tracks):
        files = tuple(folder / f"{i}-{stem}.flac" for stem in range(len(track.stems)))
        for file, stem in zip(files, track.excerpt(), strict=True):
            if rate != SAMPLE_RATE:
                stem = np.stack(2 * [soxr.resample(stem, SAMPLE_RATE, rate)], axis=1)
            soundfile.write(file, np.round(stem * store.FULL_SCALE).astype(np.int16), rate)
        written.append(replace(track, audio=FlacAudio(files, rate)))
    return tuple(written)


BENCHMARKS = {
    "cqt": ("seconds of audio per second", lambda: _embedding(ConstantQ(), _nnaudio())),
    "encode": ("seconds of audio per second", encode),
    "train": ("pairs per second", train),
    "data": ("excerpts of 4 stems per second", data),
}
