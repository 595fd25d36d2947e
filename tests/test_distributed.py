"""Two processes with one shard each train as one process with both, and stop together; and training that is killed,
again and again, at random moments, ends with the weights of a run that was left alone."""

import copy
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from test_train import same_as, sliver

from phalar.errors import InputError
from phalar.model.checkpoints import read_tensors
from phalar.train import distributed, loop
from phalar.train.config import TrainConfig
from phalar.train.objective import Objective

STEP = loop.Trainer.step
RUNS = {"shard": {}, "all": {"negatives": "all", "steps": 2}, "gap": {"variant": "gap", "steps": 1}}


def two_shards(**changes):
    return sliver(**({"steps": 3, "batch_size": 2, "shards": 2, "preset": "default"} | changes))


def strike(number: int, rank: int) -> None:
    """From now on the process of that rank gets a signal in the second step that it takes of a run."""

    def step(trainer):
        if len(trainer.history) == 1 and distributed.rank() == rank:
            os.kill(os.getpid(), number)
        return STEP(trainer)

    loop.Trainer.step = step


def work(folder: Path) -> None:
    """What each of two processes does: three runs to their end, one that a SIGINT stops and that then goes on, and one
    that a SIGTERM stops."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without
    with distributed.joined(torch.device("cpu")):
        for name, changes in RUNS.items():
            loop.train(two_shards(**changes), folder / name, device="cpu", progress=False)
        strike(signal.SIGINT, rank=0)
        try:
            loop.train(two_shards(), folder / "SIGINT", device="cpu", progress=False)
        except KeyboardInterrupt:
            (folder / f"interrupted {distributed.rank()}").write_text(f"{step_of(folder / 'SIGINT')}")
        loop.train(two_shards(), folder / "SIGINT", device="cpu", progress=False)
        strike(signal.SIGTERM, rank=1)
        loop.train(two_shards(), folder / "SIGTERM", device="cpu", progress=False)


def step_of(folder: Path) -> int:
    return json.loads(read_tensors(folder / loop.STATE)[1]["progress"])["step"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The folder of two processes that nobody watches (``torchrun`` would end the one when it sees the other end), and
    how they ended."""
    folder = tmp_path_factory.mktemp("pair")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}", "TORCHELASTIC_RUN_ID": "pair"}
    tests = Path(__file__).parent
    where |= os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{tests}:{tests.parent}"}
    code = "import sys, pathlib, test_distributed; test_distributed.work(pathlib.Path(sys.argv[1]))"

    def run(rank: int) -> subprocess.CompletedProcess:
        env = where | {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
        command = [sys.executable, "-c", code, str(folder)]
        return subprocess.run(command, env=env, stderr=subprocess.PIPE, text=True, timeout=600)

    with ThreadPoolExecutor(2) as pool:
        return folder, list(pool.map(run, range(2)))


@pytest.fixture
def one_thread(threads):
    """As many as each of the two processes has. Sums by two threads are rounded otherwise, and Muon, which gives every
    direction of a gradient the same step, makes that rounding large where a gradient is next to nothing."""
    threads(1)


@pytest.mark.parametrize("name", ["shard", "all"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_have_the_losses_of_one_with_the_joined_batch(pair, tmp_path, name):
    settings = two_shards(**RUNS[name])
    one = loop.train(settings, tmp_path / "one", device="cpu", progress=False)
    two = loop.finished(pair[0] / name, settings)
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["gradient"] == pytest.approx(theirs["gradient"], rel=1e-2)
    a, b = one.model().state_dict(), two.model().state_dict()
    assert all(torch.allclose(a[name], b[name], atol=2e-3) for name in a)
    assert (one.history[0]["loss"] > 1.1) == (name == "all")  # four candidates in place of two


def test_shards_that_cannot_be_shared_out_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.distributed, "world_size", lambda: 3)
    with pytest.raises(InputError, match=r"1 shard.* 3 processes; give a multiple of 3"):
        loop.Trainer(sliver(), tmp_path, "cpu", progress=False)
    with pytest.raises(InputError, match="share batch norms on GPUs only"):
        loop.Trainer(sliver("gap", preset="published", batch_size=2, shards=3, limit=6), tmp_path, "cpu", False)


def test_a_signal_to_one_process_stops_both_with_everything_saved(pair):
    """And taken up again, the run ends with the same bits."""
    folder, ended = pair
    assert [(folder / f"interrupted {rank}").read_text() for rank in range(2)] == ["2", "2"]
    same_as(*(loop.finished(folder / name, two_shards()) for name in ("SIGINT", "shard")))
    assert step_of(folder / "SIGTERM") == 2
    assert [process.returncode for process in ended] == [-signal.SIGTERM, -signal.SIGTERM]
    assert not any("Traceback" in process.stderr for process in ended)


@pytest.mark.usefixtures("one_thread")
def test_running_statistics_are_those_of_all_processes(pair, tmp_path):
    """Batch norm in the ablations' heads: after one step they are the mean of what each shard by itself gives."""
    settings = two_shards(**RUNS["gap"])
    trainer = loop.Trainer(settings, tmp_path / "one", "cpu", progress=False)
    shards, _ = trainer.batch(0)
    alone = [copy.deepcopy(trainer.model).train() for _ in shards]
    for i, (model, waves) in enumerate(zip(alone, shards, strict=True)):
        Objective(model, 0.9, "shard")([waves], [loop._seed(0, 0, loop._DROPOUT, i)])
    saved = loop.finished(pair[0] / "gap", settings).model().head.norm
    for name in ("running_mean", "running_var"):
        each = [getattr(model.head.norm, name) for model in alone]
        start, left = float(name == "running_var"), 1 - saved.momentum  # what is saved is free of its start
        torch.testing.assert_close(getattr(saved, name), (sum(each) / 2 - left * start) / saved.momentum)
        assert not torch.allclose(each[0], each[1], rtol=1e-3), "or the mean says nothing"


SIGNALS = (signal.SIGKILL, signal.SIGTERM)


def run_and_kill(config: TrainConfig, folder: Path, step: int, delay: float, number: int) -> int:
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
    assert run_and_kill(config, tmp_path / "whole", steps, 0, signal.SIGKILL) == 0
    whole = loop.finished(tmp_path / "whole", config)
    seconds = float(np.median([entry["seconds"] for entry in whole.history]))
    rng = np.random.default_rng(0)
    moments = np.sort(rng.choice(steps - 3 * kills, kills, replace=False))  # a killed run may be three steps further
    numbers = rng.permutation(np.resize(SIGNALS, kills)).tolist()
    for step, number in zip(moments, numbers, strict=True):
        delay = rng.uniform(0, 1.5 * seconds)
        assert run_and_kill(config, tmp_path / "killed", int(step), delay, number) == -number
    assert run_and_kill(config, tmp_path / "killed", steps, 0, signal.SIGKILL) == 0
    same_as(loop.finished(tmp_path / "killed", config), whole)
    assert len(whole.history) == steps
