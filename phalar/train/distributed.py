"""Many devices or machines: ``torchrun -m phalar train ...`` starts one process a device; here they find each other.

Without ``torchrun`` everything in this module is a no-op for a world of one. Book page *How it is trained*, "Many
devices".
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Inside, the processes that ``torchrun`` started are connected, by NCCL or gloo; gives this process's own device,
    unchanged if it was not started so or is connected already."""
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


def gather(z: Tensor) -> Tensor:
    """Embeddings (n, d) of all processes, (world_size * n, d), in order of rank. Gradients flow back to where each came
    from, summed over all that used it; averaged after that, they are those of one process with the joined batch."""
    if world_size() == 1:
        return z
    whole = torch.cat(all_gather(torch.view_as_real(z) if z.is_complex() else z))
    return torch.view_as_complex(whole) if z.is_complex() else whole


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Make each tensor, real or complex, its mean over all processes."""
    for tensor in tensors if world_size() > 1 else ():
        real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        dist.all_reduce(whole := real.contiguous())
        real.copy_(whole / world_size())


def largest(number: int, device: torch.device) -> int:
    """The largest of the processes' numbers; all get the same answer, so that they act together."""
    vote = torch.tensor(number, device=device)
    if world_size() > 1:
        dist.all_reduce(vote, op=dist.ReduceOp.MAX)
    return int(vote)


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()
