"""The package stays small and reads one way: what data flow through last may import what they flow through first."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from phalar import paths

LAYERS = "errors paths fingerprint audio; datasets; corpora; model; matching; evaluate; train; plots; study"
ORDER = [layer.split() for layer in f"{LAYERS}; lessons bench cli __main__".split(";")]
"""Layers of the package, lowest first (book page *How the code is laid out*)."""

LEVEL = {part: level for level, parts in enumerate(ORDER) for part in parts}
FILES = sorted(paths.PACKAGE.rglob("*.py"))


def name_of(file: Path) -> str:
    parts = file.relative_to(paths.PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(file): file for file in FILES}


def imports(file: Path, *, lazy: bool) -> Iterator[str]:
    """Modules of the package that a file imports; with ``lazy`` those inside functions too."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "phalar":
            yield from {n if (n := f"{node.module}.{a.name}") in MODULES else node.module for a in node.names}


@pytest.mark.parametrize("name", [name for name in MODULES if name != "phalar"])
def test_no_module_imports_one_of_a_layer_above_it(name):
    own = LEVEL[name.split(".")[1]]
    above = [each for each in imports(MODULES[name], lazy=True) if each != "phalar" and LEVEL[each.split(".")[1]] > own]
    assert not above, f"{name} is of layer {ORDER[own]} and imports {above}"


def test_no_modules_import_each_other_in_a_circle():
    graph = {name: set(imports(file, lazy=False)) - {name, "phalar"} for name, file in MODULES.items()}
    while free := [name for name, needed in graph.items() if not needed]:
        graph = {name: needed - set(free) for name, needed in graph.items() if name not in free}
    assert not graph, f"these import each other: {sorted(graph)}"


@pytest.mark.parametrize(("folder", "most"), [("phalar", 13_000), ("tests", 8_000)])
def test_small_enough_to_be_read(folder, most):
    lines = sum(len(f.read_text(encoding="utf-8").splitlines()) for f in (paths.PACKAGE.parent / folder).rglob("*.py"))
    assert lines <= most
