"""Many processes that train together, and stop together. ``torchrun -m phalar train ...`` starts one a device; without
it everything is a no-op for a world of one. Book page *How it is trained*, "Many devices"."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NoReturn

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
    """Inside, the processes that ``torchrun`` started are connected (NCCL or gloo); gives this process's own device."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        torch.cuda.set_device(device := torch.device("cuda", int(os.environ["LOCAL_RANK"])))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def gather(z: Tensor) -> Tensor:
    """Embeddings (n, d) of all processes, (world_size * n, d), in order of rank; gradients flow back, summed."""
    if world_size() == 1:
        return z
    whole = torch.cat(all_gather(torch.view_as_real(z) if z.is_complex() else z))
    return torch.view_as_complex(whole) if z.is_complex() else whole


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Make each tensor, real or complex, its mean over all processes."""
    for tensor in tensors if world_size() > 1 else ():
        dist.all_reduce(whole := tensor.contiguous())
        tensor.copy_(whole / world_size())


def largest(number: int, device: torch.device) -> int:
    """The largest of the processes' numbers; all get the same answer, so that they act together."""
    if world_size() > 1:
        dist.all_reduce(vote := torch.tensor(number, device=device), op=dist.ReduceOp.MAX)
        number = int(vote)
    return number


def barrier() -> None:
    """Wait until every process is here."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def deferred_signals() -> Iterator[list[int]]:
    """Inside, the first signal of a kind is only noted, in the list that it gives; a second one acts at once. Not what
    is ignored, nor outside the main thread, where handlers belong."""
    asked, before = [], {}

    def note(number: int, frame: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    for each in (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ():
        if signal.getsignal(each) not in (signal.SIG_IGN, None):
            before[each] = signal.signal(each, note)
    try:
        yield asked
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def obey(number: int) -> NoReturn:
    """Do what a signal does that this process or another one got: KeyboardInterrupt, or the process's end."""
    signal.raise_signal(number)
    raise KeyboardInterrupt  # ignored here: another process got it, and none can go on alone
