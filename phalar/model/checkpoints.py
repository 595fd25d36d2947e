"""A model's weights on disk: safetensors, numbers and text only, nothing that could run.

A file holds the tensors of ``state_dict`` and, as text, the registry row it belongs to. Complex weights are stored as
complex64. Reading checks every name, shape and value before a model is touched.
"""

import json
import os
from dataclasses import asdict

from phalar import paths
from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.stem_model import StemModel
from phalar.model.tensors import fill, read_tensors, write_tensors
from phalar.model.variants import Variant

__all__ = ["FORMAT", "REFERENCE", "fill", "load", "notes", "read_tensors", "save", "write_tensors"]

FORMAT = "phalar-1"
REFERENCE = "reference"
REFERENCE_FILE = paths.PACKAGE / "weights" / "reference.safetensors"


def save(model: StemModel, path: str | os.PathLike, **notes: object) -> None:
    """Write a model's weights, its registry row and any notes (plain values: steps, seed, corpora, accuracy).

    A MERT variant's file holds the frozen MERT as well (380 MB), so that it can be loaded without it.
    """
    metadata = {"format": FORMAT, "variant": json.dumps(asdict(model.variant)), "notes": json.dumps(notes)}
    if hasattr(model.backbone, "config"):
        metadata["backbone"] = json.dumps(model.backbone.config)
    write_tensors(path, model.state_dict(), metadata)


def load(source: str | os.PathLike) -> StemModel:
    """A model with trained weights, in eval mode.

    Parameters
    ----------
    source : str or path
        ``"reference"``, the weights that ship with the package, or a file that ``save`` wrote.

    Raises
    ------
    InputError
        No such file, not one of ours, or a tensor that is missing, of the wrong shape or not finite.
    """
    source = _found(source)
    tensors, metadata = read_tensors(source)
    row, backbone = _described(metadata, source)
    try:
        model = build(row, backbone=backbone, seed=0)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    fill(model, tensors, str(source))
    return model.eval()


def notes(source: str | os.PathLike) -> dict:
    """What ``save`` was told about the weights in a file, or in those that ship (``"reference"``)."""
    source = _found(source)
    metadata = read_tensors(source)[1]
    _described(metadata, source)
    return json.loads(metadata.get("notes", "{}"))


def _found(source: str | os.PathLike) -> str | os.PathLike:
    """The file that a source means."""
    if source != REFERENCE:
        return source
    if not REFERENCE_FILE.is_file():
        raise InputError(
            f"the weights that ship with the package are not at {REFERENCE_FILE}; install the package again, or train "
            "with `phalar train phalar --corpus chorales --out DIR` and load DIR/best.safetensors"
        )
    return REFERENCE_FILE


def _described(metadata: dict[str, str], source: str | os.PathLike) -> tuple[Variant, dict | None]:
    """The registry row in a file's text, and the settings of a frozen backbone where there is one."""
    try:
        if metadata["format"] != FORMAT:
            raise InputError(f"{source}: format {metadata['format']!r}; this version reads {FORMAT!r}")
        backbone = json.loads(metadata["backbone"]) if "backbone" in metadata else None
        return Variant(**json.loads(metadata["variant"])), backbone
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{source}: not a phalar checkpoint (it names no variant); save models with phalar.save"
        ) from error
