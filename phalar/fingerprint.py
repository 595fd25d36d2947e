"""What a result depends on, as a short name: the same inputs and code give the same hash, and work is found again."""

import ast
import hashlib
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from phalar import paths
from phalar.errors import RunError

TABLES = (".csv", ".yaml")  # endings of the package's data, which determine results as code does


def fingerprint(value: object, digits: int = 12) -> str:
    """Hash of a value made of plain numbers, text, lists and dictionaries; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


@cache
def of_code(*parts: str) -> str:
    """Hash of the code (.py, .c) and tables (.csv, .yaml) of folders and files below ``phalar/``: comments, docstrings
    and layout do not count. A RunError for a part that does not exist. So ``of_code("model", "datasets/tracks.py")``.
    """
    digest = hashlib.sha256()
    for part in parts:
        place = paths.PACKAGE / part
        if not place.exists():
            raise RunError(f"the package has no part {part!r} to take a fingerprint of: mend the list that names it")
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.suffix == ".py":
                digest.update(_meaning(file).encode())
            elif file.suffix == ".yaml":
                digest.update(repr(yaml.safe_load(file.read_text(encoding="utf-8"))).encode())
            elif file.suffix in (".c", ".csv"):
                digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _meaning(file: Path) -> str:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body.pop(0)
    return ast.dump(tree)


@cache
def sources(module: str) -> tuple[str, ...]:
    """Parts of the package that decide what a module ("corpora/studio.py") makes, for :func:`of_code`: itself, what it
    imports from its own folder but ``__init__``, directly or through others, and the tables that these name."""
    folder, found, waiting = Path(module).parent, set(), [Path(module)]
    beside = [file.relative_to(paths.PACKAGE) for file in (paths.PACKAGE / folder).iterdir()]
    within = ".".join(("phalar", *folder.parts))
    while waiting:
        found.add(part := waiting.pop())
        text = _meaning(paths.PACKAGE / part) if part.suffix == ".py" else ""
        for file in set(beside) - found - {folder / "__init__.py"}:
            imported = (f"'{within}.{file.stem}'", f"alias(name='{file.stem}'")
            named = imported if file.suffix == ".py" else (f"Constant(value='{file.name}'",)
            waiting += [file] if any(name in text for name in named) else []
    return tuple(sorted(part.as_posix() for part in found))


def of_file(path: Path, digits: int = 12) -> str:
    """Hash of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:digits]


def of_sound(audio: np.ndarray, sample_rate: int) -> str:
    """Hash of a waveform and its rate: a cache must not take one copy's clip for another's."""
    return f"{hashlib.sha256(np.ascontiguousarray(audio)).hexdigest()[:16]}@{sample_rate}"


def of_weights(model) -> str:
    """Hash of a model's variant and all its weights (a :class:`phalar.model.stem_model.StemModel`)."""
    digest = hashlib.sha256(repr(model.variant).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def cached(kind: str, key: object, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, from a folder of the cache such as ``"scores"``, their ``kind``, else made and kept there.
    ``key``: plain values that determine the arrays, code and weights included (:func:`of_code`, :func:`of_file`)."""
    path = paths.cache() / kind / f"{fingerprint(key, 16)}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        made = make()
    with paths.replacing(path) as temporary:
        np.savez(temporary, **made)
    return made
