"""Names made of what a result depends on: what matters changes them, what does not leaves them."""

import numpy as np
import pytest

from phalar import fingerprint, paths
from phalar.errors import RunError


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(files, parts): the hash of the parts of a package of these files, by name."""

    def of(files: dict[str, str], *parts: str) -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.setattr(paths, "PACKAGE", folder)
        fingerprint.of_code.cache_clear()
        return fingerprint.of_code(*parts)

    yield of
    fingerprint.of_code.cache_clear()


def test_code_counts_and_its_comments_do_not(package):
    plain = package({"a/b.py": "def f(x):\n    return x + 1\n"}, "a")
    described = '"""New."""\ndef f(x):\n    """Told."""\n    return (x +\n        1)  # one\n'
    assert package({"a/b.py": described}, "a") == plain
    assert package({"a/b.py": "def f(x):\n    return x + 2\n"}, "a") != plain


@pytest.mark.parametrize("name", ["t.csv", "t.yaml", "t.c"])
def test_tables_count(package, name):
    for part in ("a", f"a/{name}"):
        assert package({f"a/{name}": "1"}, part) != package({f"a/{name}": "2"}, part)


def test_a_part_that_does_not_exist_is_refused():
    """It would name results by nothing, and find old ones again whatever changes."""
    with pytest.raises(RunError, match=r"no part 'no/such\.py'"):
        fingerprint.of_code("model", "no/such.py")


def test_arrays_are_made_once_and_again_when_broken(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    made, arrays = [], {"a": np.arange(3.0)}
    make = lambda: made.append(1) or arrays  # noqa: E731
    for _ in range(2):
        assert np.array_equal(fingerprint.cached("kind", ["key", 1], make)["a"], arrays["a"])
    assert len(made) == 1
    next((tmp_path / "kind").iterdir()).write_bytes(b"no")
    fingerprint.cached("kind", ["key", 1], make)
    fingerprint.cached("kind", ["key", 2], make)
    assert len(made) == 3
