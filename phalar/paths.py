"""Where things are kept. Nothing else in the package knows a folder's place."""

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def repository() -> Path | None:
    """The checkout this package runs from, or None when it was installed without one."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "notebooks").is_dir() else None


def cache() -> Path:
    """Folder for everything that can be made again: ``$PHALAR_CACHE``, else ``data/cache`` of the checkout,
    else ``~/.cache/phalar``. It is made when something is written, not here."""
    if named := os.environ.get("PHALAR_CACHE"):
        return Path(named).expanduser().resolve()
    root = repository()
    return root / "data" / "cache" if root else Path.home() / ".cache" / "phalar"
