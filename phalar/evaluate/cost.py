"""How many parameters every variant has (book page *The model*)."""

from torch import nn

from phalar.model.assembly import assemble, build
from phalar.model.variants import VARIANTS


def parameters() -> dict[str, int]:
    """Learned real numbers of every variant, by name; the MERT of some, which is frozen, need not be at hand."""
    mert, found = nn.Identity(), {}
    mert.frozen, mert.out_channels = True, 768
    for name, row in VARIANTS.items():
        model = assemble(row, mert) if row.backbone == "mert" else build(row, seed=0)
        found[name] = model.num_parameters
    return found
