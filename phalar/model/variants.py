"""The registry of models: PHALAR, and everything the paper compares it with, as rows that name what differs.

A variant is data, not code: ``assembly.py`` reads a row and puts the named parts together, so an ablation differs from
PHALAR in exactly what its row says. To add one, add a row. Book page *The model*, "Variants".
"""

from dataclasses import dataclass, replace

from phalar.errors import InputError

EMBEDDING_DIM = 512


@dataclass(frozen=True)
class Variant:
    """One model: which part is used at each stage, and in words what differs from PHALAR."""

    name: str
    differs: str
    frontend: str = "cqt"
    backbone: str = "axial"
    pooling: str = "spectral"
    head: str = "complex"
    form: str = "sesquilinear"
    channels: int = 80  # D of spectral pooling
    components: int = 8  # C of spectral pooling
    constant: bool = False  # whether spectral pooling keeps component 0 as well
    scaling: str = "global"  # what spectral pooling divides by: the mean modulus of all, of each "channel", or "none"

    @property
    def is_complex(self) -> bool:
        """Whether embeddings are complex64 rather than float32."""
        return self.head == "complex"


PHALAR = Variant("phalar", "the full model")


def _rows(*rows: tuple[str, str, dict]) -> dict[str, Variant]:
    return {name: replace(PHALAR, name=name, differs=differs, **changes) for name, differs, changes in rows}


_REAL, _AND_REAL = {"head": "real", "form": "bilinear"}, ", real MLP, real bilinear form"
_MERT = {"frontend": "24 kHz", "backbone": "mert"}
_COCOLA = {"frontend": "harmonic-percussive", "backbone": "efficientnet", "pooling": "average", "head": "real"}
VARIANTS = {"phalar": PHALAR} | _rows(
    ("gap", "global average pooling" + _AND_REAL, {"pooling": "average", **_REAL}),
    ("magnitude", "modulus of the pooled components" + _AND_REAL, {"pooling": "magnitude", **_REAL}),
    ("cosine", "complex cosine |x^H y| with a learned temperature", {"form": "cosine"}),
    ("psd", "W^H W in place of W: positive semi-definite", {"form": "semidefinite"}),
    ("hermitian", "the Hermitian part of W, in training too", {"form": "hermitian"}),
    ("mel", "mel spectrogram in place of the constant-Q transform", {"frontend": "mel"}),
    (
        "cocola",
        "the baseline: harmonic and percussive mel pictures, EfficientNet-B0, real throughout; trained "
        "with its authors' learning rates and without label smoothing",
        {**_COCOLA, "form": "tanh"},
    ),
    ("mert-complex", "frozen MERT (94 M parameters, not counted) in place of constant-Q transform and backbone", _MERT),
    (
        "mert-real",
        "frozen MERT, average over time, real MLP without batch norm, real bilinear form",
        {**_MERT, "pooling": "average", "head": "real without norm", "form": "bilinear"},
    ),
)

# What the paper's own ablation leaves open: the steps from GAP to PHALAR one at a time, and the sizes of the pooling.
ABLATIONS = _rows(
    (
        "projected",
        f"the learned projection averaged over time{_AND_REAL}: GAP that hears pitch",
        {"pooling": "projected", **_REAL},
    ),
    (
        "parts",
        f"real and imaginary parts of the pooled components{_AND_REAL}: phase is there, but nothing keeps it",
        {"pooling": "parts", **_REAL},
    ),
    *((f"components-{c}", f"C = {c} of the 8 components kept", {"components": c}) for c in (1, 2, 4)),
    (
        "components-16",
        "C = 16 components in place of 8; 5 s are padded to 35 steps in place of 19, so they "
        "divide nearly the same band, twice as finely",
        {"components": 16},
    ),
    ("constant", "the constant component is kept too", {"constant": True}),
    *((f"channels-{d}", f"D = {d} projections in place of 80", {"channels": d}) for d in (20, 40, 160)),
    ("per-channel", "each projection's components are divided by their own mean modulus", {"scaling": "channel"}),
    ("unscaled", "components are not divided by anything", {"scaling": "none"}),
)


def variant(name: str | Variant) -> Variant:
    """The row of that name, or an InputError that lists the names there are."""
    if isinstance(name, Variant):
        return name
    rows = VARIANTS | ABLATIONS
    if not isinstance(name, str) or name not in rows:
        raise InputError(f"unknown variant {name!r}; the registry has {', '.join(rows)}")
    return rows[name]
