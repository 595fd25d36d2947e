"""Where single precision is kept although the rest may run in bfloat16: phases and decibels need it."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager:
    """Inside, autocast is off on this device. (The device ``meta``, on which FLOPs are counted, has no autocast.)"""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
