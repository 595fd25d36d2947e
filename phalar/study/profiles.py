"""Profiles: one flat YAML file of parameter values each, under ``notebooks/profiles/``.

papermill only warns of a parameter it does not know, and YAML silently keeps the last of two equal keys. Here every
key must be a declared parameter of a notebook, of the declared kind, and stand once. Book page: *How to read and
how to run*.
"""

import ast
import functools
import warnings
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from phalar.errors import InputError
from phalar.paths import repository

# The notebooks of the study in the order in which they run. `study.run` executes them, the profiles parameterize them.
NOTEBOOKS = (
    "retrieval",
    "ablations",
    "corpora",
    "limits",
    "shift-theorem",
    "phase",
    "rotation",
    "beats",
    "chords",
)


def notebooks_folder() -> Path:
    """Folder of the parameterized notebooks in the checkout.

    Raises
    ------
    InputError
        If the package was installed without a checkout: the study is made of notebooks, which only that holds.
    """
    root = repository()
    if root is None:
        raise InputError("the study's notebooks are not here; run from a clone of the repository (pip install -e .)")
    return root / "notebooks"


def known_profiles(folder: Path | None = None) -> list[str]:
    """Names of the profiles that ship, shortest run first."""
    folder = folder or notebooks_folder()
    found = sorted(path.stem for path in (folder / "profiles").glob("*.yaml"))
    order = ["smoke", "laptop", "night", "gpu", "paper"]
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def declared_parameters(notebook: Path | str) -> dict[str, Any]:
    """Parameters that a notebook declares in its ``parameters`` cell, with their default values.

    A default that is not a plain literal is given as `Ellipsis`: it is known to exist, its kind is not.
    """
    path = Path(notebook)
    return dict(_declared(path, path.stat().st_mtime_ns)) if path.is_file() else _no_notebook(path)


@functools.lru_cache(maxsize=64)
def _declared(path: Path, _changed: int) -> tuple[tuple[str, Any], ...]:
    import papermill

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = papermill.inspect_notebook(str(path))
    return tuple((name, _literal(entry["default"])) for name, entry in found.items())


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ...


def _no_notebook(path: Path) -> dict[str, Any]:
    known = ", ".join(sorted(found.stem for found in path.parent.glob("*.ipynb"))) or "none"
    raise InputError(f"notebook {path.stem!r} does not exist; known: {known}")


def load_profile(name_or_path: str | Path, folder: Path | None = None) -> dict[str, Any]:
    """Parameter values of a profile.

    Parameters
    ----------
    name_or_path : str or Path
        A name (``"laptop"``) or the path of a YAML file of one's own.
    folder : Path, optional
        Folder of the notebooks; the checkout's by default.

    Returns
    -------
    dict
        Values by parameter name, ``profile_name`` among them (the file's name unless the file says otherwise).

    Raises
    ------
    InputError
        For an unknown name (the known ones are listed), a file that is not a flat YAML mapping, a key that stands
        twice, a key that no notebook declares, or a value of another kind than the declared default.
    """
    folder = folder or notebooks_folder()
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / "profiles" / f"{name_or_path}.yaml"
        if not path.is_file():
            known = ", ".join(known_profiles(folder)) or "none"
            raise InputError(f"unknown profile {str(name_or_path)!r}; known: {known}; or give the path of a .yaml file")
    values = _read_yaml(path)
    declared: dict[str, list[Any]] = {}
    for notebook in sorted(folder.glob("*.ipynb")):
        for name, default in declared_parameters(notebook).items():
            declared.setdefault(name, []).append(default)
    for name, value in values.items():
        if name not in declared:
            raise InputError(f"profile {path.name}: no notebook has a parameter {name!r}{_nearest(name, declared)}")
        check_kind(f"profile {path.name}: {name}", value, declared[name][0])
    return {"profile_name": path.stem} | values


def parameters_for(
    notebook: Path | str, profile: Mapping[str, Any], overrides: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What papermill injects into one notebook: the profile's values that it declares, then the overrides.

    Raises
    ------
    InputError
        If an override is no parameter of this notebook, or of another kind than its default.
    """
    declared = declared_parameters(notebook)
    chosen = {name: value for name, value in profile.items() if name in declared}
    for name, value in (overrides or {}).items():
        if name not in declared:
            raise InputError(f"{Path(notebook).stem}: no parameter {name!r} to override{_nearest(name, declared)}")
        check_kind(f"{Path(notebook).stem}: override {name}", value, declared[name])
        chosen[name] = value
    return chosen


def check_kind(what: str, value: Any, default: Any) -> None:
    """Refuse a value of another kind than the default (a whole number passes for a fraction, None for anything)."""
    if default is None or default is ... or value is None:
        return
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text", list: "a list"}
    fits = type(value) is type(default) or (type(default) is float and type(value) is int)
    fits = fits or (isinstance(default, (list, tuple)) and isinstance(value, (list, tuple)))
    if not fits:
        raise InputError(f"{what}={value!r} is not {kinds.get(type(default), type(default).__name__)} "
                         f"such as {default!r}")  # fmt: skip


def _nearest(name: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(known))}"


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key standing twice, where the standard keeps the last and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice")
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # a safe loader
    except OSError as error:
        raise InputError(f"profile {path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"profile {path}: not valid YAML ({reason})") from error
    if not isinstance(values, dict):
        raise InputError(f"profile {path}: holds {type(values).__name__}, not lines of the form `name: value`")
    for name, value in values.items():
        if not isinstance(name, str) or isinstance(value, dict):
            raise InputError(f"profile {path}: {name!r} is not a flat `name: value` line")
    return values
