"""Nothing imports upward: the package reads in the order in which data flow."""

import ast

from phalar.paths import PACKAGE

# Each layer may import itself and what stands above it in this list.
ORDER = [
    {"errors", "paths"},
    {"fingerprint", "audio", "memory"},
    {"datasets"},
    {"corpora"},
    {"model"},
    {"evaluate", "matching"},
    {"train"},
    {"study", "plots"},
    {"bench"},
    {"cli", "__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "phalar":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "a relative import"
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("phalar."))


def test_nothing_imports_upward():
    for file in PACKAGE.rglob("*.py"):
        own = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for name in imports(file):
            if own == "__init__":
                continue
            assert name != "a relative import", f"{file.name}: imports are absolute here"
            if name in LEVEL:
                assert LEVEL[name] <= LEVEL[own], f"{file.relative_to(PACKAGE)} imports {name}"
        if own == "model":
            assert not {"datasets", "corpora"} & set(imports(file)), f"{file.name}: the model knows no data set"
        if own == "datasets":
            assert "model" not in set(imports(file)), f"{file.name}: data sets know no model"
