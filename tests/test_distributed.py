"""Two processes with one shard each train as one process with both: the same losses, the same weights. And they stop
together."""

import copy
import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from test_train import sliver

from phalar.errors import InputError
from phalar.model.checkpoints import read_tensors
from phalar.train import distributed, loop
from phalar.train.objective import Objective

CODE = """
import os, signal, sys; sys.path[:0] = [sys.argv[2], os.path.dirname(sys.argv[2])]
from pathlib import Path
from test_distributed import two_shards
from phalar.train import loop
{change}
loop.train(two_shards(**{settings}), Path(sys.argv[1]), device="cpu", progress=False)
"""
INTERRUPTED = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background begins without
real = loop.Trainer.step
def step(trainer):
    if len(trainer.history) == 1 and os.environ["RANK"] == "{rank}": os.kill(os.getpid(), signal.{name})
    return real(trainer)
loop.Trainer.step = step
"""


def two_shards(**changes):
    return sliver(**({"steps": 3, "batch_size": 2, "shards": 2, "preset": "default"} | changes))


def pair_of_processes(tmp_path, settings: dict, change: str = "") -> list[subprocess.CompletedProcess]:
    """Train with two processes that nobody watches: ``torchrun`` would end the one when it sees the other end."""
    script = tmp_path / "run.py"
    script.write_text(CODE.format(change=change, settings=settings))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": f"{port}", "TORCHELASTIC_RUN_ID": "pair"}
    command = [sys.executable, str(script), str(tmp_path / "two"), os.path.dirname(__file__)]
    where |= os.environ | {"OMP_NUM_THREADS": "1"}

    def run(rank):
        env = where | {"RANK": f"{rank}", "LOCAL_RANK": f"{rank}"}
        return subprocess.run(command, env=env, stderr=subprocess.PIPE, text=True, timeout=240)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, range(2)))


@pytest.fixture
def one_thread():
    """As many as each of the two processes has. Sums by two threads are rounded otherwise, and Muon, which gives every
    direction of a gradient the same step, makes that rounding large where a gradient is next to nothing."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("negatives", ["shard", "all"])
@pytest.mark.usefixtures("one_thread")
def test_two_processes_have_the_losses_of_one_with_the_joined_batch(tmp_path, negatives):
    settings = {"negatives": negatives}
    one = loop.train(two_shards(**settings), tmp_path / "one", device="cpu", progress=False)
    script = tmp_path / "run.py"
    script.write_text(CODE.format(change="", settings=settings))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    command = [*torchrun, str(tmp_path / "two"), os.path.dirname(__file__)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=env, timeout=300)
    two = loop.finished(tmp_path / "two", two_shards(**settings))
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["gradient"] == pytest.approx(theirs["gradient"], rel=1e-2)
    a, b = one.model().state_dict(), two.model().state_dict()
    assert all(torch.allclose(a[name], b[name], atol=2e-3) for name in a)


def test_more_candidates_make_the_task_harder(tmp_path):
    """With the negatives of both shards there are four candidates instead of two."""
    first = {
        each: loop.train(two_shards(negatives=each), tmp_path / each, device="cpu", progress=False).history[0]
        for each in ("shard", "all")
    }
    assert first["all"]["loss"] > first["shard"]["loss"] + 0.5  # ln 4 against ln 2, about


def test_shards_that_cannot_be_shared_out_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.distributed, "world_size", lambda: 3)
    with pytest.raises(InputError, match=r"1 shard.* 3 processes; give a multiple of 3"):
        loop.Trainer(sliver(), tmp_path, "cpu", progress=False)
    with pytest.raises(InputError, match="share on GPUs only"):  # the published batch norms
        loop.Trainer(sliver("gap", preset="published", batch_size=1 + 1, shards=3, limit=6), tmp_path, "cpu", False)


@pytest.mark.parametrize(("rank", "name"), [(1, "SIGTERM"), (0, "SIGINT")])
def test_a_signal_to_one_process_stops_both_with_everything_saved(tmp_path, rank, name):
    ended = pair_of_processes(tmp_path, {"steps": 50, "valid_every": 50}, INTERRUPTED.format(rank=rank, name=name))
    assert json.loads(read_tensors(tmp_path / "two" / "state.safetensors")[1]["progress"])["step"] == 2
    if name == "SIGTERM":
        assert [process.returncode for process in ended] == [-signal.SIGTERM, -signal.SIGTERM]
        assert not any("Traceback" in process.stderr for process in ended)
    else:
        assert all(process.returncode != 0 and "KeyboardInterrupt" in process.stderr for process in ended)


def test_a_process_stops_by_another_ones_signal_whatever_it_does_with_its_own():
    """It ignores that signal, or is in a thread where none arrives: it cannot go on alone."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with distributed.deferred_signals() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert not signals, "what is ignored stays so"
        with pytest.raises(KeyboardInterrupt):
            distributed.obey(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    with ThreadPoolExecutor(1) as elsewhere, pytest.raises(KeyboardInterrupt):
        elsewhere.submit(distributed.obey, signal.SIGTERM).result()


@pytest.mark.usefixtures("one_thread")
def test_running_statistics_are_those_of_all_processes(tmp_path):
    """Batch norm in the ablations' heads: after one step they are the mean of what each shard by itself gives."""
    settings = two_shards(variant="gap", steps=1)
    ended = pair_of_processes(tmp_path, {"variant": "gap", "steps": 1})
    assert [process.returncode for process in ended] == [0, 0]
    trainer = loop.Trainer(settings, tmp_path / "one", "cpu", progress=False)
    shards, _ = trainer.batch(0)
    alone = [copy.deepcopy(trainer.model).train() for _ in shards]
    for i, (model, waves) in enumerate(zip(alone, shards, strict=True)):
        Objective(model, 0.9, "shard")([waves], [loop._seed(0, 0, loop._DROPOUT, i)])
    saved = loop.finished(tmp_path / "two", settings).model().head.norm
    for name in ("running_mean", "running_var"):
        each = [getattr(model.head.norm, name) for model in alone]
        start, left = float(name == "running_var"), 1 - saved.momentum  # what is saved is free of its start
        torch.testing.assert_close(getattr(saved, name), (sum(each) / 2 - left * start) / saved.momentum)
        assert not torch.allclose(each[0], each[1], rtol=1e-3), "or the mean says nothing"
