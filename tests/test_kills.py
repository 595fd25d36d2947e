"""Training that is killed, again and again, at random moments, ends with the weights of a run that was left alone."""

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from test_train import same_as, sliver

from phalar.train import loop
from phalar.train.config import TrainConfig

SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def run(config: TrainConfig, folder: Path, step: int, delay: float, number: int) -> int:
    """Train in a process of its own, which gets a signal some seconds after a step has begun, or two steps later at the
    latest. Its exit code. The processes are forks of one that has imported everything but done nothing."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["phalar.train.loop"])
    process = processes.Process(target=_train, args=(config, folder, step, delay, number))
    process.start()
    process.join()
    return process.exitcode


def _train(config: TrainConfig, folder: Path, step: int, delay: float, number: int) -> None:
    loop.SAVE_SECONDS = 0.0  # after every step, so that kills hit the saving as well
    torch.set_num_threads(1)
    once, real = threading.Lock(), loop.Trainer.step
    timer = threading.Timer(delay, lambda: once.acquire(blocking=False) and os.kill(os.getpid(), number))
    timer.daemon = True

    def watched(trainer):
        at = len(trainer.history) - step
        if at >= 0 and timer.ident is None:
            timer.start()
        if at >= 2:
            timer.function()
        return real(trainer)

    loop.Trainer.step = watched
    loop.train(config, folder, device="cpu", progress=False)


@pytest.mark.slow
@pytest.mark.parametrize(("kills", "steps"), [(5, 24), (20, 200)])
def test_killed_at_random_moments_and_resumed_equals_uninterrupted(kills, steps, tmp_path):
    config = sliver(steps=steps, limit=12, batch_size=6, valid_every=max(4, steps // 4))
    assert run(config, tmp_path / "whole", steps, 0, signal.SIGKILL) == 0
    whole = loop.finished(tmp_path / "whole", config)
    seconds = float(np.median([entry["seconds"] for entry in whole.history]))
    rng = np.random.default_rng(0)
    moments = np.sort(rng.choice(steps - 3 * kills, kills, replace=False))  # a killed run may be three steps further
    numbers = rng.permutation(np.resize(SIGNALS, kills)).tolist()
    for step, number in zip(moments, numbers, strict=True):
        delay = rng.uniform(0, 1.5 * seconds)
        assert run(config, tmp_path / "killed", int(step), delay, number) == -number
    assert run(config, tmp_path / "killed", steps, 0, signal.SIGKILL) == 0
    same_as(loop.finished(tmp_path / "killed", config), whole)
    assert len(whole.history) == steps
