"""Two processes with one shard each train as one process with both: the same losses, the same weights."""

import os
import subprocess
import sys

import pytest
import torch
from test_train import same_as, sliver

from phalar.errors import InputError
from phalar.train import loop

CODE = """
import sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path
from test_distributed import two_shards
from phalar.train import loop
loop.train(two_shards(sys.argv[3]), Path(sys.argv[1]), device="cpu", progress=False)
"""


def two_shards(negatives: str):
    return sliver(steps=3, batch_size=2, shards=2, negatives=negatives, preset="default")


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
    one = loop.train(two_shards(negatives), tmp_path / "one", device="cpu", progress=False)
    script = tmp_path / "run.py"
    script.write_text(CODE)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    command = [*torchrun, str(tmp_path / "two"), os.path.dirname(__file__), negatives]
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300)
    two = loop.finished(tmp_path / "two", two_shards(negatives))
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
        assert mine["gradient"] == pytest.approx(theirs["gradient"], rel=1e-2)
    a, b = one.model().state_dict(), two.model().state_dict()
    assert all(torch.allclose(a[name], b[name], atol=2e-3) for name in a)


def test_more_candidates_make_the_task_harder(tmp_path):
    """With the negatives of both shards there are four candidates instead of two."""
    first = {
        negatives: loop.train(two_shards(negatives), tmp_path / negatives, device="cpu", progress=False).history[0]
        for negatives in ("shard", "all")
    }
    assert first["all"]["loss"] > first["shard"]["loss"] + 0.5  # ln 4 against ln 2, about


def test_one_shard_is_what_it_was(tmp_path):
    same_as(
        loop.train(sliver(), tmp_path / "a", device="cpu", progress=False),
        loop.train(sliver(negatives="all"), tmp_path / "b", device="cpu", progress=False),
    )


def test_shards_that_cannot_be_shared_out_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(loop.distributed, "world_size", lambda: 3)
    with pytest.raises(InputError, match=r"1 shard.* 3 processes; give a multiple of 3"):
        loop._Session(sliver(), tmp_path, torch.device("cpu"), progress=False)
    with pytest.raises(InputError, match=r"negatives = 'some'; choose 'shard' or 'all'"):
        sliver(negatives="some")
