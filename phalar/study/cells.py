"""The ablation grid as data: one row for each thing that is changed, and nothing else changed with it.

Rows of the paper's table come first, then what it lacks: the steps from GAP to PHALAR one at a time, the sizes of the
pooling, its scaling, the loss; and choices that are made at the test alone and need no training of their own. Book
notebook *Ablations*.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.model.variants import variant
from phalar.train.config import PRESETS

PAPER, STEPS, SIZES, LOSS, RECIPES, TESTING = (
    "the paper's table",
    "from GAP to PHALAR",
    "sizes and scaling of the pooling",
    "the loss",
    "how it is trained",
    "at the test alone",
)


@dataclass(frozen=True)
class Cell:
    """A row of the ablation table.

    Attributes
    ----------
    name, group : str
        What the row is called, and its part of the table.
    variant : str
        The model that is trained.
    target : float, optional
        Probability asked of the true pair, where it is not the preset's.
    preset : str, optional
        How it is trained, where that is not as the profile says (book page *How it is trained*).
    seconds : float
        Length of the test excerpts.
    symmetrised : bool
        Whether the score is the mean of both directions.
    note : str
        What differs from PHALAR, where the model's own row does not say it.
    """

    name: str
    group: str
    variant: str = "phalar"
    target: float | None = None
    preset: str | None = None
    seconds: float = retrieval.SECONDS
    symmetrised: bool = True
    note: str = ""

    @property
    def differs(self) -> str:
        """In words, what differs from PHALAR."""
        return self.note or variant(self.variant).differs

    @property
    def trained(self) -> bool:
        """Whether it asks for a training of its own, and not only for another test of the full model."""
        return self == FULL or self.group != TESTING


FULL = Cell("phalar", PAPER)

CELLS = {
    cell.name: cell
    for cell in (
        FULL,
        *(Cell(name, PAPER, name) for name in ("gap", "magnitude", "cosine", "psd", "hermitian", "mel", "cocola")),
        *(Cell(name, STEPS, name) for name in ("projected", "parts")),
        *(Cell(f"components-{c}", SIZES, f"components-{c}") for c in (1, 2, 4, 16)),
        *(Cell(f"channels-{d}", SIZES, f"channels-{d}") for d in (20, 40, 160)),
        *(Cell(name, SIZES, name) for name in ("constant", "per-channel", "unscaled")),
        Cell("hard-targets", LOSS, target=1.0, note="no label smoothing: all probability asked of the true pair"),
        *(Cell(f"recipe-{name}", RECIPES, preset=name, note=f"trained with the preset `{name}`") for name in PRESETS),
        Cell("one-direction", TESTING, symmetrised=False, note="s(mix, stem) alone in place of the mean of both ways"),
        *(
            Cell(f"{seconds}-seconds", TESTING, seconds=float(seconds), note=f"tested on {seconds} s in place of 5 s")
            for seconds in (2, 3, 7, 10)
        ),
    )
}


def chosen(names: Iterable[str]) -> list[Cell]:
    """Cells by name, in the table's order, the full model always among them.

    Raises
    ------
    InputError
        For a name that is no cell; the message lists those there are.
    """
    names = list(names)
    for name in names:
        if name not in CELLS:
            raise InputError(f"unknown cell {name!r}; the grid has {', '.join(CELLS)}")
    return [cell for cell in CELLS.values() if cell.name in {FULL.name, *names}]
