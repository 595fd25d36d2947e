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
    imports from its own folder, directly or through others, and the tables (.csv, .yaml) that these name. A folder's
    ``__init__`` does not count."""
    folder, found, waiting = Path(module).parent, set(), [Path(module)]
    while waiting:
        part = waiting.pop()
        if part in found or part == folder / "__init__.py" or not (paths.PACKAGE / part).is_file():
            continue
        found.add(part)
        tree = ast.parse((paths.PACKAGE / part).read_text(encoding="utf-8") if part.suffix == ".py" else "")
        for node in ast.walk(tree):
            names = [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
            if isinstance(node, ast.ImportFrom):
                names = [node.module, *(f"{node.module}.{name}" for name in names)]
            modules = [Path(*name.split(".")[1:]) for name in names if name.startswith("phalar.")]
            waiting += [p for m in modules for p in (m.with_suffix(".py"), m / "__init__.py") if folder in p.parents]
            if isinstance(node, ast.Constant) and str(node.value).endswith(TABLES):
                waiting.append(part.with_name(node.value))
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
    """Arrays by name, from the cache if they are there, else made and kept: the one find-or-make of the package.

    ``kind``: what they are, such as ``"scores"``, a folder of the cache. ``key``: plain values that determine the
    arrays, code and weights included (:func:`of_code`, :func:`of_file`). ``make`` is called if nothing is kept, or what
    is kept cannot be read.
    """
    path = paths.cache() / kind / f"{fingerprint(key, 16)}.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        made = make()
    with paths.replacing(path) as temporary:
        np.savez(temporary, **made)
    return made
