"""Many devices or machines: ``torchrun -m phalar train ...`` starts one process a device; here they find each other.

Without ``torchrun`` everything in this module is a no-op for a world of one. Book page *How it is trained*, "Many
devices".
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_gather
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Inside, the processes that ``torchrun`` started are connected; gives this process's own device.

    By NCCL between GPUs, by gloo between processors. A process that was not started by ``torchrun``, or whose caller
    has connected it already, gets its device back unchanged.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def wrapped(objective: nn.Module) -> nn.Module:
    """The objective with its gradients averaged over all processes; itself in a world of one.

    Buffers are not sent: those of the front ends are constants, and :func:`average_statistics` sees to the others.
    """
    return DistributedDataParallel(objective, broadcast_buffers=False) if world_size() > 1 else objective


@torch.no_grad()
def average_statistics(model: nn.Module) -> None:
    """Make the running statistics of batch norms those of all processes, not of the first one's shards alone.

    In training each shard is normalised by its own statistics, on one process or many, as in the paper; but the running
    ones are what validation and every later use of the model go by. Called after each step, so that they are the same
    everywhere and a saved state is everybody's.
    """
    if world_size() == 1:
        return
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if statistics := [s for norm in norms for s in (norm.running_mean, norm.running_var)]:
        dist.all_reduce(flat := torch.cat(statistics))
        for own, average in zip(statistics, (flat / world_size()).split([len(s) for s in statistics]), strict=True):
            own.copy_(average)


def gather(z: Tensor) -> Tensor:
    """Embeddings (n, d) of all processes, (world_size * n, d), in order of rank.

    Gradients flow back to the process that each embedding came from, summed over all that used it; with the average
    that follows, the gradient is exactly that of one process holding the joined batch.
    """
    if world_size() == 1:
        return z
    parts = all_gather((torch.view_as_real(z) if z.is_complex() else z).contiguous())
    whole = torch.cat(parts)
    return torch.view_as_complex(whole) if z.is_complex() else whole


def mean(value: Tensor) -> Tensor:
    """A number averaged over all processes, for the history."""
    if world_size() > 1:
        dist.all_reduce(value := value.detach().clone())
        value /= world_size()
    return value


def largest(number: int, device: torch.device) -> int:
    """The largest of the processes' numbers; all get the same answer, so that they act together."""
    if world_size() == 1:
        return number
    vote = torch.tensor(number, device=device)
    dist.all_reduce(vote, op=dist.ReduceOp.MAX)
    return int(vote)


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()
