"""COCOLA, the baseline that PHALAR is measured against in the paper's retrieval tables (Ciranni et al. 2025).

Where PHALAR keeps phase and time to the end, COCOLA sees two log-mel pictures of the music, one of what lasts
(harmonic) and one of what strikes (percussive), through a convolutional network for photographs, and averages the
result over time. Its score is s(x, y) = tanh(LN(x))ᵀ W tanh(LN(y)) with a real, unconstrained W, hence not
symmetric.

Scores come back only if the pictures that were shown are stated: that is the embedding mode. Taught in
``book/model.md``.
"""

import torch
from torch import Tensor, nn

from phalar.errors import InputError
from phalar.model.stem_model import StemModel
from phalar.model.variants import Variant

# Embedding mode to which parts are kept: (harmonic, percussive).
PARTS = {"harmonic": (True, False), "percussive": (False, True), "both": (True, True)}
MODES = (*PARTS, "random")


class Cocola(StemModel):
    """A stem model that shows its network the harmonic picture, the percussive one, or both.

    The attribute ``mode`` says which and may be set at any time:

    "random" (at first)
        In training one of the three, drawn for each pair with equal chances; otherwise both.
    "both", "harmonic", "percussive"
        That, always. A picture that is not shown is replaced by zeros (0 dB everywhere), as published.

    So embeddings of a model as built or loaded show both. Say so with every number: scores of one mode do not compare
    with those of another. Setting an unknown mode raises an InputError.
    """

    def __init__(self, row: Variant, *parts: nn.Module) -> None:
        super().__init__(row, *parts)
        self.mode = "random"

    @property
    def mode(self) -> str:
        """The embedding mode, one of ``MODES``."""
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise InputError(f"cocola: there is no embedding mode {mode!r}; choose from {', '.join(MODES)}")
        self._mode = mode

    def extra_repr(self) -> str:
        return f"mode={self.mode!r}"

    def draw_parts(self, items: int) -> Tensor:
        """Which parts each of ``items`` shows, (items, 2) bool: (harmonic, percussive), by the mode."""
        if self.mode == "random" and self.training:
            rows = torch.randint(len(PARTS), (items,))
        else:
            rows = torch.full((items,), list(PARTS).index("both" if self.mode == "random" else self.mode))
        return torch.tensor(list(PARTS.values()))[rows].to(self.device)

    def encode(self, audio: Tensor, parts: Tensor | None = None) -> Tensor:
        """Waveforms (B, N) float32 at 16 kHz to embeddings (B, 512), showing ``parts`` (B, 2) of each item."""
        shown = self.draw_parts(len(audio)) if parts is None else parts
        return self.encode_picture(self.picture(audio) * shown[:, :, None, None])

    def shown(self, pictures: Tensor) -> Tensor:
        """Both pictures of a pair show the same parts, as published: a harmonic anchor is never asked to find a
        percussive positive."""
        parts = self.draw_parts(len(pictures) // 2).repeat(2, 1)
        return pictures * parts[:, :, None, None]
