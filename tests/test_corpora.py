"""Rendering: what is asked for and no more, damage heals, never stale."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from phalar import corpora, fingerprint, paths
from phalar.corpora import seeds
from phalar.datasets import store
from phalar.errors import InputError, RunError

PIECES = {f"p{n}": split for n, split in enumerate(["train"] * 6 + ["valid"] * 2 + ["test"] * 4)}


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """A corpus of noise; what goes wrong is in the environment."""
    if os.environ.get("FAILS") == piece:
        raise ValueError("no such tune")
    audio = seeds.generator("noise", piece).integers(-9000, 9000, (2, 16_000)).astype(np.int16)
    store.write_track(folder, piece, audio, split=PIECES[piece], stems=["a", "b"], pitched=[True, False])


@pytest.fixture(autouse=True)
def noise(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    made = corpora.Corpus(SimpleNamespace(__file__="seeds.py", pieces=lambda: PIECES), build=build)
    monkeypatch.setattr(corpora, "CORPORA", corpora.CORPORA | {"noise": made})


@pytest.fixture
def here(monkeypatch):
    """Pieces are made in this process, where what processes do is not the matter: starting them takes seconds."""
    monkeypatch.setattr(corpora, "in_processes", lambda make, ids, jobs: ((piece, make(piece)) for piece in ids))


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (corpora.folder("noise") / "tracks").iterdir()}


def ids(split: str, limit: int | None = None) -> list[str]:
    return [track.id for track in corpora.load("noise", split, limit=limit, progress=False)]


@pytest.mark.usefixtures("here")
def test_a_split_is_rendered_by_itself_and_a_larger_limit_takes_what_a_smaller_one_did_and_more():
    assert ids("valid") == ["p6", "p7"]
    assert {name.split(".")[0] for name in contents()} == {"p6", "p7"}
    assert ids("train", 2) == ["p0", "p1"]
    first = contents()
    assert len(first) == 2 * 4
    assert ids("train", 99) == [f"p{n}" for n in range(6)]
    assert first.items() < contents().items()
    assert ids("train", 2) == ["p0", "p1"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"name": "noises"}, "no built-in corpus 'noises'.*choose one of .*noise"),
        ({"split": "tests"}, "no split 'tests': choose one of train, valid, test"),
        ({"limit": 0}, "limit=0"),
        ({"jobs": 0}, "jobs"),
    ],
)
def test_bad_requests_are_refused_and_leave_nothing(wrong, said):
    with pytest.raises(InputError, match=said):
        corpora.load(**{"name": "noise", "progress": False} | wrong)
    assert not list(corpora.folder("noise").glob("tracks/*"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("damage", ["npy", "json", "index.json", "stale"])
def test_a_damaged_cache_heals_and_a_stale_index_is_renewed(damage):
    folder = corpora.render("noise", "test", progress=False)
    before, record = contents(), folder / "tracks" / "p9.json"
    if damage == "stale":  # another process has rendered a piece, and has not come to the index yet
        record.unlink()
        store.write_index(folder, "noise")
        build("p9", folder)
    else:
        file = folder / damage if "index" in damage else record.with_suffix(f".{damage}")
        file.write_bytes(file.read_bytes()[:-100])
    assert ids("test") == ["p10", "p11", "p8", "p9"]
    assert contents() == before


def test_what_goes_wrong_in_a_process_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("FAILS", "p3")
    with pytest.raises(RunError, match=r"(?s)noise piece p3 .*ValueError: no such tune.*call again to go on"):
        corpora.render("noise", jobs=2, progress=False)
    assert "p3" in store.incomplete(corpora.folder("noise"), PIECES)


def test_twins_have_a_folder_and_an_interval_of_their_own(here):
    """The rule is written down here: should it change, every twin changes."""
    assert [corpora.interval(piece) for piece in ("bwv66.6", "p3")] == [4, -4]
    folders = {corpora.folder("noise", by) for by in (0, 1, -1, corpora.TWIN)}
    assert len(folders) == 4
    assert [track.id for track in corpora.load("noise", "test", semitones=corpora.TWIN, progress=False)]
    with pytest.raises(InputError, match="from -6 to 6"):
        corpora.folder("noise", 7)


def test_a_cache_is_named_by_the_code_and_tables_that_made_it(tmp_path, monkeypatch):
    shutil.copytree(paths.PACKAGE / "corpora", tmp_path / "phalar" / "corpora")
    monkeypatch.setattr(paths, "PACKAGE", tmp_path / "phalar")

    def names() -> dict[str, str]:
        fingerprint.of_code.cache_clear()
        fingerprint.sources.cache_clear()
        return {name: corpora.folder(name).name for name in ("band", "studio", "noise")}

    def edit(file: str, old: str, new: str) -> None:
        path = paths.PACKAGE / "corpora" / file
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    before = names()
    edit("sampler.py", '"""Playing notes', '"""How to play notes')
    edit("studio.yaml", "# Who may", "# A comment on who may")
    assert names() == before
    edit("studio.yaml", "lufs: -20", "lufs: -21")
    after = names()
    assert {name for name in after if after[name] != before[name]} == {"studio"}
    edit("sampler.py", "BLOCK = 32", "BLOCK = 64")
    assert {name for name, other in names().items() if other != before[name]} == {"band", "studio"}
    monkeypatch.undo()
    fingerprint.of_code.cache_clear()
    fingerprint.sources.cache_clear()


def test_arrays_are_made_once_and_again_when_broken(tmp_path):
    made, arrays = [], {"a": np.arange(3.0)}
    make = lambda: made.append(1) or arrays  # noqa: E731
    for _ in range(2):
        assert np.array_equal(fingerprint.cached("kind", ["key", 1], make)["a"], arrays["a"])
    assert len(made) == 1
    next((tmp_path / "kind").iterdir()).write_bytes(b"no")
    fingerprint.cached("kind", ["key", 1], make)
    fingerprint.cached("kind", ["key", 2], make)
    assert len(made) == 3
