"""Profiles: one flat YAML file of parameter values each, under ``notebooks/profiles/``.

papermill only warns of a parameter it does not know, and YAML silently keeps the last of two equal keys. Here every
key must be a declared parameter of a notebook, of the declared kind, and stand once. Book page: *How to read and
how to run*.
"""

import ast
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from phalar.errors import InputError
from phalar.paths import repository


def notebooks_folder() -> Path:
    """Folder of the parameterized notebooks in the checkout.

    An `InputError` if the package was installed without a checkout: the study is made of notebooks, which it holds.
    """
    root = repository()
    if root is None:
        raise InputError("the study's notebooks are not here; run from a clone of the repository (pip install -e .)")
    return root / "notebooks"


def declared_parameters(notebook: Path | str) -> dict[str, Any]:
    """Parameters that a notebook declares in its ``parameters`` cell, with their default values.

    A default that is not a plain literal is given as `Ellipsis`: it is known to exist, its kind is not.
    """
    path = Path(notebook)
    if not path.is_file():
        known = ", ".join(sorted(found.stem for found in path.parent.glob("*.ipynb"))) or "none"
        raise InputError(f"notebook {path.stem!r} does not exist; known: {known}")
    cells = nbformat.read(path, as_version=4).cells
    declared = [ast.parse(cell.source).body for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    named = [node for body in declared for node in body if isinstance(node, ast.Assign)]
    return {node.targets[0].id: literal(ast.unparse(node.value)) for node in named}


def literal(text: str) -> Any:
    """The value of a text that is a plain Python literal, else `Ellipsis`."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ...


def load_profile(
    name_or_path: str | Path, overrides: Mapping[str, Any] | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Parameter values of a profile, by name (``"laptop"``) or the path of a YAML file; ``overrides`` go before them.

    ``profile_name`` is among them: the file's name unless the file says otherwise. ``folder`` holds the notebooks.

    An `InputError` for an unknown name (the known ones are listed), a file that is not a flat YAML mapping, a key that
    stands twice or that no notebook declares, or a value of another kind than the declared default.
    """
    folder = folder or notebooks_folder()
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / "profiles" / f"{name_or_path}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in path.parent.glob("*.yaml"))) or "none"
            raise InputError(f"unknown profile {str(name_or_path)!r}; known: {known}; or give the path of a .yaml file")
    declared: dict[str, Any] = {}
    for notebook in sorted(folder.glob("*.ipynb")):
        declared = declared_parameters(notebook) | declared
    values = {"profile_name": path.stem}
    for what, given in ((f"profile {path.name}", _read_yaml(path)), ("override", overrides or {})):
        for name, value in given.items():
            if name not in declared:
                near = "".join(f"; did you mean {each!r}?" for each in difflib.get_close_matches(name, declared, n=1))
                raise InputError(f"{what}: no notebook has a parameter {name!r}{near}")
            _check_kind(f"{what}: {name}", value, declared[name])
        values |= given
    return values


def parameters_for(notebook: Path | str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What papermill injects into one notebook: those of a profile's values that it declares."""
    return {name: value for name, value in values.items() if name in declared_parameters(notebook)}


def _check_kind(what: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default (a whole number passes for a fraction, None for anything)."""
    allowed = {float: (float, int), list: (list, tuple)}.get(type(default), type(default))
    if (
        None not in (value, default)
        and default is not ...
        and (not isinstance(value, allowed) or isinstance(value, bool) is not isinstance(default, bool))
    ):
        raise InputError(f"{what}={value!r} is not of the kind of {default!r}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        values, nodes = yaml.safe_load(text), getattr(yaml.compose(text), "value", [])
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        fault = "cannot be read" if isinstance(error, OSError) else "not valid YAML"
        raise InputError(f"profile {path}: {fault} ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise InputError(f"profile {path}: holds {type(values).__name__}, not lines of the form `name: value`")
    keys = [key.value for key, _ in nodes]
    for name, value in values.items():
        if keys.count(str(name)) > 1:  # YAML keeps the last and says nothing
            raise InputError(f"profile {path}: key {name!r} stands twice")
        if not isinstance(name, str) or isinstance(value, dict):
            raise InputError(f"profile {path}: {name!r} is not a flat `name: value` line")
    return values
