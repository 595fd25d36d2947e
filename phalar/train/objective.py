"""What training minimises: every anchor should prefer its own positive to all others (paper section 4).

A batch comes in one or more *shards*, each as many pairs as one device holds. Dropout, noise and batch statistics are a
shard's own, so a run has the same losses whether its shards sit on one device or on as many as there are shards. Book
page *How it is trained*, "The loss".
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from phalar.model.assembly import StemModel
from phalar.train import distributed


def contrastive_loss(scores: Tensor, target: float = 0.9, first: int = 0) -> Tensor:
    """Softmax cross-entropy of anchors against positives, (A, B) to a scalar.

    Anchor a belongs to positive ``first + a``. The true pair is asked to have probability ``target``; the rest is
    spread evenly over the B - 1 others.
    """
    anchors, positives = scores.shape
    wanted = torch.full_like(scores, (1 - target) / (positives - 1))
    own = torch.arange(anchors, device=scores.device)
    wanted[own, first + own] = target
    return -(wanted * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


class Objective(nn.Module):
    """Shards of pairs to a loss; a module, so that ``DistributedDataParallel`` can wrap it.

    Parameters
    ----------
    model : StemModel
    target : float
        Probability asked of the true pair.
    negatives : str
        ``"shard"``: an anchor meets the positives of its own shard, as in the paper. ``"all"``: those of all shards, on
        whatever device they are.
    """

    def __init__(self, model: StemModel, target: float, negatives: str) -> None:
        super().__init__()
        self.model, self.target, self.negatives = model, target, negatives

    def forward(self, shards: Sequence[Tensor], seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean loss over this process's shards, (2, B, N) each, and the share of anchors that were right."""
        embedded = [self._embed(waves, seed) for waves, seed in zip(shards, seeds, strict=True)]
        own = [positives for _, positives in embedded]
        first, every = 0, None
        if self.negatives == "all":
            every = distributed.gather(torch.cat(own))
            first = distributed.rank() * len(own) * len(own[0])
        losses, right = [], []
        for i, (anchors, positives) in enumerate(embedded):
            at = first + i * len(anchors) if every is not None else 0
            scores = self.model.form(anchors, positives if every is None else every)
            losses.append(contrastive_loss(scores, self.target, at))
            right.append((scores.argmax(dim=1) == at + torch.arange(len(anchors), device=scores.device)).float().mean())
        return torch.stack(losses).mean(), torch.stack(right).mean()

    def _embed(self, waves: Tensor, seed: int) -> tuple[Tensor, Tensor]:
        with seeded(seed, waves.device):
            return self.model(*waves)


@contextmanager
def seeded(seed: int, device: torch.device):
    """torch's global random state set to a seed inside, and as it was outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
