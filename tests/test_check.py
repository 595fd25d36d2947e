"""Checking a copy: found against expected, problems as they come, and nothing in it is ever changed."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import skeletons
import soundfile

from phalar import paths
from phalar.datasets import headers
from phalar.datasets.catalogue import DATASETS
from phalar.datasets.check import Summary, check, is_serious
from phalar.datasets.listing import KNOWN_FAULT
from phalar.datasets.sources import Problem
from phalar.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))


def checked(*arguments, **options) -> tuple[list[Problem], Summary]:
    *problems, summary = check(*arguments, **options)
    return problems, summary


def contents(root):
    """Everything about a folder that a reader could change."""
    return {
        str(path.relative_to(root)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        )
        for path in sorted([root, *root.rglob("*")])
    }


def expecting(monkeypatch, name, **splits):
    monkeypatch.setitem(DATASETS, name, replace(DATASETS[name], expected=splits))


def test_a_whole_copy_is_clean(tmp_path, monkeypatch):
    expecting(monkeypatch, "cocochorales", train=8, valid=4, test=4)
    problems, summary = checked("cocochorales", skeletons.cocochorales(tmp_path / "copy"))
    assert problems == []
    assert summary.found == summary.expected == {"train": 8, "valid": 4, "test": 4}
    assert summary.whole
    assert summary.stems == 64
    assert summary.hours == pytest.approx(16 * 0.05 / 3600)


def test_a_copy_that_lacks_tracks_is_not_whole(tmp_path, monkeypatch):
    expecting(monkeypatch, "cocochorales", train=8, valid=4, test=5)
    problems, summary = checked("cocochorales", skeletons.cocochorales(tmp_path / "copy", {"train": 2, "valid": 1}))
    assert problems == []
    assert summary.found == {"train": 8, "valid": 4, "test": 0}
    assert not summary.whole


def test_of_a_folder_nothing_is_expected(tmp_path):
    problems, summary = checked("folder", skeletons.multitracks(tmp_path / "copy"))
    assert (problems, summary.found, summary.expected, summary.whole) == ([], {"test": 2}, {}, True)


def test_every_damaged_file_is_named_and_its_track_still_counted(tmp_path):
    root = skeletons.multitracks(tmp_path / "copy", ["a", "b", "c"])
    (root / "a" / "bass.wav").write_bytes(b"")
    for stem in ("bass", "keys"):
        (root / "b" / f"{stem}.wav").write_text("no sound")
    problems, summary = checked("folder", root)
    assert [problem.path.relative_to(root).as_posix() for problem in problems] == [
        "a/bass.wav",
        "b/bass.wav",
        "b/keys.wav",
        "b",
    ]
    assert summary.found == {"test": 2}
    assert (summary.problems, summary.notes, summary.stems) == (4, 0, 5)
    assert not summary.whole


def test_unequal_lengths_are_a_note_and_no_problem(tmp_path):
    root = skeletons.multitracks(tmp_path / "copy", sound=skeletons.Sound(seconds=6.0, unequal=True))
    problems, summary = checked("folder", root)
    assert len(problems) == 2
    assert all("the track is cut there" in problem.what for problem in problems)
    assert (summary.problems, summary.notes, summary.whole) == (0, 2, True)


def test_faults_of_the_published_data_do_not_count(tmp_path):
    assert not is_serious(Problem(tmp_path, KNOWN_FAULT + "noise"))
    assert is_serious(Problem(tmp_path, "noise"))
    assert not is_serious(Problem(tmp_path, "noise", fatal=False))


def test_problems_come_as_they_are_found(tmp_path, monkeypatch):
    root = skeletons.multitracks(tmp_path / "copy", [f"song{i:02d}" for i in range(40)])
    (root / "song00" / "bass.wav").write_bytes(b"")
    monkeypatch.setattr(headers, "BATCH", 8)
    looked_at, real = [], headers.read_header
    monkeypatch.setattr(headers, "read_header", lambda path: looked_at.append(path) or real(path))
    found = check("folder", root)
    assert next(found).path == root / "song00" / "bass.wav"
    assert len(looked_at) <= 8
    found.close()


def test_nothing_in_the_copy_changes(tmp_path):
    root = skeletons.multitracks(tmp_path / "copy", ["a", "b"])
    (root / "a" / "bass.wav").write_bytes(b"")
    (root / "b" / "._bass.wav").write_bytes(b"\0")
    before = contents(root)
    checked("folder", root)
    checked("folder", root)
    assert contents(root) == before


@pytest.mark.skipif(not os.path.exists("/usr/bin/setpriv"), reason="needs setpriv to give up the right to write")
def test_a_copy_that_may_not_be_written_is_checked_all_the_same(tmp_path):
    root = skeletons.multitracks(tmp_path / "copy", ["a", "b"])
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = contents(root)
    program = "import sys; from phalar.datasets.check import check; print(list(check('folder', sys.argv[1]))[-1].whole)"
    # An administrator may write anywhere, unless the capability to do so is dropped.
    limited = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*limited, sys.executable, "-c", program, str(root)],
        env=os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"
    assert contents(root) == before


def test_a_header_cache_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "file" / "cache"))
    assert checked("folder", skeletons.multitracks(tmp_path / "copy"))[1].whole


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("slack", {}, "'slack'"),
        ("slakh2100", {}, "Track00001"),
        ("slakh2100", {"unit": "stem"}, "'unit'"),
        ("moisesdb", {"unit": "song"}, "'song'"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, name, options, says):
    with pytest.raises(InputError, match=says):
        checked(name, skeletons.multitracks(tmp_path / "copy"), options)


@pytest.mark.parametrize("sound", [skeletons.Sound("flac"), skeletons.Sound("wav")])
def test_cut_downloads_are_found_without_decoding_the_rest(tmp_path, sound, monkeypatch):
    root = skeletons.multitracks(tmp_path / "copy", sound=replace(sound, seconds=5.0))
    cut = root / "one" / f"drums.{sound.extension}"
    os.truncate(cut, cut.stat().st_size - 2_000)
    decoded, read = [], soundfile.SoundFile.read

    def counting(self, *arguments, **named):
        block = read(self, *arguments, **named)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    (problem,), _ = checked("folder", root)
    assert problem.path == cut
    assert sum(decoded) <= 6
