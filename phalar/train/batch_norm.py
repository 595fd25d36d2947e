"""Running statistics of batch norms, without the values they start from: after n batches a share (1 - m)^n of them is
left, 70 % in COCOLA's backbone after 36 steps. Book page *How it is trained*, "Batch norms in short runs"."""

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a model that keep running averages."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.momentum]


@torch.no_grad()
def from_batches_alone(model: nn.Module) -> nn.Module:
    """A copy of a model whose running statistics are weighted averages of the batches' own alone."""
    model = copy.deepcopy(model)
    for norm in norms_of(model):
        if norm.num_batches_tracked > 0:
            left = (1 - norm.momentum) ** int(norm.num_batches_tracked)
            norm.running_mean.div_(1 - left)
            norm.running_var.sub_(left).div_(1 - left)
    return model
