"""The registry of models: PHALAR, and everything the paper compares it with, as rows that name what differs.

A variant is data, not code: ``assembly.py`` reads a row and puts the named parts together, so an ablation differs from
PHALAR in exactly what its row says. Book page *The model*, "Variants".
"""

from dataclasses import dataclass, fields, replace

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

    def changes(self) -> dict[str, str]:
        """The fields in which this row differs from PHALAR's, with their values."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("name", "differs") and getattr(self, field.name) != getattr(PHALAR, field.name)
        }


PHALAR = Variant("phalar", "the full model")

VARIANTS = {
    row.name: row
    for row in (
        PHALAR,
        replace(
            PHALAR,
            name="gap",
            differs="global average pooling, real MLP, real bilinear form",
            pooling="average",
            head="real",
            form="bilinear",
        ),
        replace(
            PHALAR,
            name="magnitude",
            differs="modulus of the pooled components, real MLP, real bilinear form",
            pooling="magnitude",
            head="real",
            form="bilinear",
        ),
        replace(PHALAR, name="cosine", differs="complex cosine |x^H y| with a learned temperature", form="cosine"),
        replace(PHALAR, name="psd", differs="W^H W in place of W: positive semi-definite", form="semidefinite"),
        replace(PHALAR, name="hermitian", differs="the Hermitian part of W, in training too", form="hermitian"),
        replace(PHALAR, name="mel", differs="mel spectrogram in place of the constant-Q transform", frontend="mel"),
        replace(
            PHALAR,
            name="cocola",
            differs="the baseline: harmonic and percussive mel pictures, EfficientNet-B0, real throughout; trained "
            "with its authors' learning rates and without label smoothing",
            frontend="harmonic-percussive",
            backbone="efficientnet",
            pooling="average",
            head="real",
            form="tanh",
        ),
        replace(
            PHALAR,
            name="mert-complex",
            differs="frozen MERT (94 M parameters, not counted) in place of constant-Q transform and backbone",
            frontend="24 kHz",
            backbone="mert",
        ),
        replace(
            PHALAR,
            name="mert-real",
            differs="frozen MERT, average over time, real MLP without batch norm, real bilinear form",
            frontend="24 kHz",
            backbone="mert",
            pooling="average",
            head="real without norm",
            form="bilinear",
        ),
    )
}

# What the paper's own ablation leaves open: the steps from GAP to PHALAR one at a time, and the sizes of the pooling.
ABLATIONS = {
    row.name: row
    for row in (
        replace(
            PHALAR,
            name="projected",
            differs="the learned projection averaged over time, real MLP, real bilinear form: GAP that hears pitch",
            pooling="projected",
            head="real",
            form="bilinear",
        ),
        replace(
            PHALAR,
            name="parts",
            differs="real and imaginary parts of the pooled components, real MLP, real bilinear form: phase is there, "
            "but nothing keeps it",
            pooling="parts",
            head="real",
            form="bilinear",
        ),
        *(
            replace(PHALAR, name=f"components-{c}", differs=f"C = {c} of the 8 components kept", components=c)
            for c in (1, 2, 4)
        ),
        replace(
            PHALAR,
            name="components-16",
            differs="C = 16 components in place of 8; 5 s are padded to 35 steps in place of 19, so they "
            "divide nearly the same band, twice as finely",
            components=16,
        ),
        replace(PHALAR, name="constant", differs="the constant component is kept too", constant=True),
        *(
            replace(PHALAR, name=f"channels-{d}", differs=f"D = {d} projections in place of 80", channels=d)
            for d in (20, 40, 160)
        ),
        replace(
            PHALAR,
            name="per-channel",
            differs="each projection's components are divided by their own mean modulus",
            scaling="channel",
        ),
        replace(PHALAR, name="unscaled", differs="components are not divided by anything", scaling="none"),
    )
}


def variant(name: str | Variant) -> Variant:
    """The row of that name, or an InputError that lists the names there are."""
    if isinstance(name, Variant):
        return name
    rows = VARIANTS | ABLATIONS
    if not isinstance(name, str) or name not in rows:
        raise InputError(f"unknown variant {name!r}; the registry has {', '.join(rows)}")
    return rows[name]
