"""How long until a model finds 60 % of the stems among 64? Ours, and one that is trained by the published code's means.

``python -m phalar.study.time_to_accuracy`` trains both on *chorales*, a stand-in for CocoChorales, one after the other,
and prints one JSON object. Ours starts cold: making tables, building transforms and compiling ``fused.c`` count.
Looking at the accuracy does not, nor does rendering, nor writing the reference's FLAC files. The reference is given up
when it has had some times the seconds of ours. Book page *What training costs*.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from phalar.datasets import batches
from phalar.datasets.tracks import Track
from phalar.evaluate import retrieval
from phalar.model import fused
from phalar.model.assembly import StemModel, build
from phalar.study.bench_train import PlainSession, as_flac
from phalar.train import loop
from phalar.train.config import TrainConfig, config

TARGET, K, DRAWS = 0.6, 64, 3
PATIENCE = 4.0  # times ours' seconds that the reference gets
EVERY = 10.0  # seconds of training between two looks


@dataclass(frozen=True)
class Look:
    """Accuracy after so many seconds of training, the start included, and so many steps."""

    seconds: float
    steps: int
    accuracy: float


def looks(
    start: Callable[[], tuple[Callable[[], object], StemModel]],
    accuracy: Callable[[StemModel], float],
    *,
    target: float = TARGET,
    steps: int,
    seconds: float = float("inf"),
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Look]:
    """Train, with a look every ``EVERY`` seconds of training or after each step if that is longer, and one at the end.

    Parameters
    ----------
    start : callable
        Gets everything ready and gives the function that takes a step, and the model; its time counts.
    accuracy : callable
        What a look finds; its time does not count.
    target : float
        Stop at a look that finds this much.
    steps, seconds : int, float
        Where to give up.
    clock : callable
        Seconds that have passed.
    """
    began = clock()
    take_step, model = start()
    spent = looked = clock() - began
    for step in range(1, steps + 1):
        began = clock()
        take_step()
        spent += clock() - began
        last = step == steps or spent >= seconds
        if last or spent - looked >= EVERY:
            look, looked = Look(spent, step, accuracy(model)), spent
            yield look
            if last or look.accuracy >= target:
                return


def compared(ours: Sequence[Look], reference: Sequence[Look], target: float = TARGET) -> dict:
    """What the looks at two runs say: seconds to the target, or None, and their ratio, or the least it can be."""
    mine, theirs = (next((x.seconds for x in seen if x.accuracy >= target), None) for seen in (ours, reference))
    ratio = least = None
    if mine and theirs:
        ratio = least = theirs / mine
    elif mine and reference:
        least = reference[-1].seconds / mine
    return {
        "benchmark": "time to accuracy",
        "target": target,
        "k": K,
        "ours": mine,
        "reference": theirs,
        "unit": "seconds",
        "ratio": ratio,
        "at_least": least,
        "verdict": "ours did not get there" if mine is None else f"{'' if theirs else '>= '}{least:.2f}",
        "looks": {"ours": [asdict(x) for x in ours], "reference": [asdict(x) for x in reference]},
        "threads": torch.get_num_threads(),
    }


def race(ours: TrainConfig, published: TrainConfig, target: float = TARGET, patience: float = PATIENCE) -> dict:
    """Train ours until it finds ``target``, then the reference for ``patience`` times as long at most."""
    tracks, accuracy = loop.tracks_of(ours, "train"), judge(loop.tracks_of(ours, "test"))

    def start_ours() -> tuple[Callable[[], object], StemModel]:
        with nothing_compiled():
            fused.library()
        session = loop._Session(ours, Path(), torch.device("cpu"), progress=False)
        return session.take_step, session.model

    mine = list(_told("ours", looks(start_ours, accuracy, target=target, steps=ours.steps)))
    theirs = []
    if mine[-1].accuracy >= target:
        with tempfile.TemporaryDirectory() as folder:
            files = as_flac(tracks, Path(folder))

            def start_plain() -> tuple[Callable[[], object], StemModel]:
                # Tables are made from what is known of the stored tracks: the files need not be listened to.
                known = replace(batches.tables(tracks), tracks=files)
                session = PlainSession(build(published.variant, seed=published.seed), known, published)
                return session.take_step, session.model

            limit = patience * mine[-1].seconds
            theirs = list(
                _told("reference", looks(start_plain, accuracy, target=target, steps=published.steps, seconds=limit))
            )
    return compared(mine, theirs, target)


def judge(tracks: Sequence[Track]) -> Callable[[StemModel], float]:
    """A function that finds a model's top-1 among ``K`` on fixed pairs of these tracks, by the fast encoder, whatever
    the model itself runs on."""
    pairs = [retrieval.fixed_pairs(tracks, draw) for draw in range(DRAWS)]

    def accuracy(model: StemModel) -> float:
        fast = build(model.variant, seed=0).eval()
        with torch.no_grad():
            for weight, theirs in zip(fast.parameters(), model.parameters(), strict=True):
                weight.copy_(theirs)
        k = min(K, len(tracks))
        return float(np.mean([retrieval.top1(retrieval.pair_scores(fast, each), k).mean() for each in pairs]))

    return accuracy


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """Inside, ``fused.c`` is compiled as on a machine that has never done so."""
    before = os.environ.get("PHALAR_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PHALAR_CACHE"] = folder
        fused.library.cache_clear()
        try:
            yield
        finally:
            del os.environ["PHALAR_CACHE"]
            if before is not None:
                os.environ["PHALAR_CACHE"] = before


def _told(name: str, seen: Iterator[Look]) -> Iterator[Look]:
    """The looks as they come, each with a line on standard error: the whole takes the better part of an hour."""
    for look in seen:
        sys.stderr.write(f"{name}: {look.accuracy:.3f} after {look.seconds:.0f} s, {look.steps} steps\n")
        yield look


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; every option has the value that the book's number was measured with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="short", help="of ours; the reference has 'published'")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of our excerpts")
    parser.add_argument("--reference-seconds", type=float, default=5.0)
    parser.add_argument("--steps", type=int, default=75, help="of ours; the reference may take ten times as many")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0, help="tracks of each split, 0 for all")
    parser.add_argument("--target", type=float, default=TARGET)
    parser.add_argument("--patience", type=float, default=PATIENCE)
    chosen = parser.parse_args(arguments)
    common = {"batch_size": chosen.batch_size, "seed": chosen.seed, "limit": chosen.limit}
    ours, published = (
        config("phalar", ["chorales"], preset=preset, seconds=(seconds, seconds), steps=steps, **common)
        for preset, seconds, steps in (
            (chosen.preset, chosen.seconds, chosen.steps),
            ("published", chosen.reference_seconds, 10 * chosen.steps),
        )
    )
    sys.stdout.write(json.dumps(race(ours, published, chosen.target, chosen.patience)) + "\n")


if __name__ == "__main__":
    main()
