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
            differs="the baseline: harmonic and percussive mel pictures, EfficientNet-B0, real throughout",
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


def variant(name: str | Variant) -> Variant:
    """The row of that name, or an InputError that lists the names there are."""
    if isinstance(name, Variant):
        return name
    if not isinstance(name, str) or name not in VARIANTS:
        raise InputError(f"unknown variant {name!r}; the registry has {', '.join(VARIANTS)}")
    return VARIANTS[name]
