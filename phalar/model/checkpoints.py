"""A model's weights on disk: safetensors, numbers and text only, nothing that could run.

A file holds the tensors of ``state_dict`` and, as text, the registry row it belongs to. Complex weights are stored as
complex64. Reading checks every name, shape and value before a model is touched.
"""

import json
import os
from dataclasses import asdict
from typing import Any

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
    """Write a model's weights, its registry row and any notes (plain values: steps, seed, corpora, accuracy). A MERT
    variant's file holds the frozen MERT as well (380 MB)."""
    about = {"variant": asdict(model.variant), "notes": notes, "backbone": getattr(model.backbone, "config", None)}
    metadata = {name: json.dumps(value) for name, value in about.items() if value is not None}
    write_tensors(path, model.state_dict(), {"format": FORMAT, **metadata})


def load(source: str | os.PathLike) -> StemModel:
    """A model with trained weights, in eval mode. ``source``: ``"reference"``, the weights that ship with the package,
    or a file that ``save`` wrote. An InputError for no such file, one that is not ours, or a tensor that is missing, of
    the wrong shape or not finite."""
    tensors, about = _read(source)
    try:
        model = build(about["variant"], backbone=about["backbone"], seed=0)
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    fill(model, tensors, str(source))
    return model.eval()


def file_of(source: str | os.PathLike) -> str | os.PathLike:
    """The file that is meant: ``"reference"`` or a path."""
    return REFERENCE_FILE if source == REFERENCE else source


def notes(source: str | os.PathLike) -> dict[str, Any]:
    """What ``save`` was told about the weights in a file, or in those that ship (``"reference"``)."""
    return _read(source)[1]["notes"]


def _read(source: str | os.PathLike) -> tuple[dict, dict[str, Any]]:
    """A file's tensors, and by name its registry row, its notes and the settings of a frozen backbone or None."""
    if source == REFERENCE and not REFERENCE_FILE.is_file():
        remedy = "install the package again, or `phalar train phalar --corpus chorales --out DIR`"
        raise InputError(f"the weights that ship with the package are not at {REFERENCE_FILE}; {remedy}")
    tensors, metadata = read_tensors(file_of(source))
    if metadata.get("format", FORMAT) != FORMAT:
        raise InputError(f"{source}: format {metadata['format']!r}; this version reads {FORMAT!r}")
    texts = {"notes": "{}", "backbone": "null"} | metadata
    try:
        about = {name: json.loads(texts[name]) for name in ("variant", "notes", "backbone")}
        about["variant"] = Variant(**about["variant"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{source}: names no variant of ours; save models with phalar.save") from error
    return tensors, about
