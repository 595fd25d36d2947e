"""Where things are kept, and how a file is put there. Nothing else in the package knows a folder's place."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, of the same ending, that takes its place when the block ends well: whoever is
    killed or fails in it leaves the file as it was. The folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
