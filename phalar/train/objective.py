"""What training minimises: every anchor should prefer its own positive to all others (paper section 4).

A batch comes in *shards*, each as many pairs as one device holds. Dropout, noise and batch statistics are a shard's
own, so losses are the same on one device or on many. Book page *How it is trained*, "The loss".
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from phalar.model.stem_model import StemModel
from phalar.train import distributed


def contrastive_loss(scores: Tensor, target: float = 0.9, first: int = 0) -> Tensor:
    """Softmax cross-entropy of anchors against positives, (A, B) to a scalar. Anchor a and positive ``first + a`` are a
    pair and shall have probability ``target``; the rest is spread evenly over the B - 1 others."""
    anchors, positives = scores.shape
    wanted = torch.full_like(scores, (1 - target) / (positives - 1))
    own = torch.arange(anchors, device=scores.device)
    wanted[own, first + own] = target
    return -(wanted * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


@dataclass
class Objective:
    """Shards of pairs to a loss: training's one way through the model.

    ``target`` is the probability asked of the true pair. With ``negatives`` ``"shard"`` an anchor meets the positives
    of its own shard, as in the paper, with ``"all"`` those of all shards. ``joint``: shards go through the network as
    one batch, so that batch norms see all of them (the published ``sync_batchnorm``)."""

    model: StemModel
    target: float
    negatives: str = "shard"
    joint: bool = False

    @property
    def separable(self) -> bool:
        """Whether the loss is a mean of the shards' own, each of which may be computed by itself."""
        return self.negatives == "shard" and not self.joint

    def __call__(self, shards: Sequence[Tensor], seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean loss over this process's shards, (2, B, N) each, and the share of anchors that were right."""
        parts = [(torch.cat(list(shards), dim=1), seeds[0])] if self.joint else zip(shards, seeds, strict=True)
        sides = []
        for waves, seed in parts:
            with seeded(seed, waves.device):
                sides.append(self.model(*waves))
        if self.joint:
            sides = list(zip(*(side.chunk(len(shards)) for side in sides[0]), strict=True))
        own = [positives for _, positives in sides]
        every = distributed.gather(torch.cat(own)) if self.negatives == "all" else None
        losses, right = [], []
        for i, (anchors, positives) in enumerate(sides):
            first = 0 if every is None else (distributed.rank() * len(own) + i) * len(anchors)
            scores = self.model.form(anchors, positives if every is None else every)
            losses.append(contrastive_loss(scores, self.target, first))
            true = first + torch.arange(len(anchors), device=scores.device)
            right.append((scores.argmax(dim=1) == true).float().mean())
        return torch.stack(losses).mean(), torch.stack(right).mean()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's global random state set to a seed inside, and as it was outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
