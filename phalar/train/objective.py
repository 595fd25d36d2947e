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

LEFT_OUT = -1e4  # far below any score, and its exponential is zero


def contrastive_loss(scores: Tensor, target: float = 0.9, first: int = 0) -> Tensor:
    """Softmax cross-entropy of anchors against positives, (A, B) to a scalar. Anchor a and positive ``first + a`` are a
    pair and shall have probability ``target``; the rest is spread evenly over the B - 1 others. A score of
    :data:`LEFT_OUT` is no candidate's."""
    own = torch.arange(len(scores), device=scores.device)
    wanted = (scores > LEFT_OUT).float()
    wanted[own, first + own] = 0
    wanted *= (1 - target) / wanted.sum(dim=1, keepdim=True)
    wanted[own, first + own] = target
    return -(wanted * F.log_softmax(scores, dim=1)).sum(dim=1).mean()


def key_loss(scores: Tensor, pitched: Tensor, first: int = 0) -> Tensor:
    """Cross-entropy of each anchor between its own positive and that one's twin, the same notes in another key: scores
    (A, B), and which pairs have a pitch at all (A,) bool, to a scalar. The two halves of a batch are twins."""
    own = first + torch.arange(len(scores), device=scores.device)
    mine, twins = (scores.gather(1, column[:, None])[:, 0] for column in (own, own.roll(len(own) // 2)))
    return (F.softplus(twins - mine) * pitched).sum() / pitched.sum().clamp(min=1)


@dataclass
class Objective:
    """Shards of pairs to a loss: training's one way through the model. ``target`` is the probability asked of the true
    pair. With ``negatives`` ``"shard"`` an anchor meets the positives of its own shard, as in the paper, with ``"all"``
    those of all shards. ``joint``: shards go through the network as one batch, so that batch norms see all of them (the
    published ``sync_batchnorm``). ``key`` above 0: the second half of a shard are the twins of the first, and
    :func:`key_loss` is added, times ``key``; a twin is then no candidate of the contrastive loss, in which the two
    would stay equal and share the first place."""

    model: StemModel
    target: float
    negatives: str = "shard"
    joint: bool = False
    key: float = 0.0
    contrast: bool = True  # False while the key alone is learned

    @property
    def separable(self) -> bool:
        """Whether the loss is a mean of the shards' own, each of which may be computed by itself."""
        return self.negatives == "shard" and not self.joint

    def __call__(
        self, shards: Sequence[Tensor], seeds: Sequence[int], pitched: Sequence[Tensor] = ()
    ) -> tuple[Tensor, Tensor]:
        """Mean loss over this process's shards, (2, B, N) each, and the share of anchors that were right. ``pitched``,
        (B,) bool for each shard, is needed where there are twins."""
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
            scores, loss = self.model.form(anchors, positives if every is None else every), 0.0
            true = first + torch.arange(len(anchors), device=scores.device)
            if self.key:
                loss = self.key * key_loss(scores, pitched[i], first)
                scores = scores.scatter(1, true.roll(len(true) // 2)[:, None], LEFT_OUT)
            losses.append(loss + contrastive_loss(scores, self.target, first) if self.contrast else loss)
            right.append((scores.argmax(dim=1) == true).float().mean())
        return torch.stack(losses).mean(), torch.stack(right).mean()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's global random state set to a seed inside, and as it was outside."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
