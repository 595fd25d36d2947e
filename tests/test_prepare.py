"""Prepared data sets: what the store holds is what the files sound like, however it came to be made; and checking."""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skeletons
import soundfile

from phalar import paths
from phalar.cli import main
from phalar.datasets import files, prepare
from phalar.datasets.files import KNOWN_FAULT, NOTE, Problem
from phalar.datasets.prepare import DATASETS, check, dataset
from phalar.errors import InputError, RunError

PROGRAM = "import sys; from phalar.datasets.prepare import prepare; prepare('folder', sys.argv[1], progress=False)"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(root: Path, tracks=("one", "two"), rate=44_100, channels=2, seconds=1.0, level=0.2) -> Path:
    """A folder of multitracks, three stems each."""
    for number, name in enumerate(tracks):
        (root / name).mkdir(parents=True)
        for i, stem in enumerate(("bass", "drums", "keys")):
            length, rng = round(rate * seconds * (1 + 0.1 * i)), np.random.default_rng([number, i])
            soundfile.write(root / name / f"{stem}.wav", rng.uniform(-level, level, (length, channels)), rate)
    return root


def no_number(path: Path) -> None:
    """A file whose sample at three quarters is none."""
    samples = np.full(44_100, 0.1)
    samples[33_000] = np.nan
    soundfile.write(path, samples, 44_100, subtype="FLOAT")


def run(root, name="folder", jobs=1, **options):
    return prepare.prepare(name, root, options, jobs=jobs, progress=False)


def start(*words, **about) -> subprocess.Popen:
    """A process of Python."""
    environment = os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)}
    return subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True, **about)


def digest(folder: Path) -> dict[str, str]:
    every = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in every}


def test_16_bit_mono_at_16_khz_comes_through_bit_for_bit_and_silence_is_kept_and_counted(tmp_path):
    extremes = np.array([-32768, 32767, 0, 1, -1] * 1000, np.int16)
    (tmp_path / "songs" / "x").mkdir(parents=True)
    for name, samples in (("a", extremes), ("b", extremes), ("c", 0 * extremes)):
        soundfile.write(tmp_path / "songs" / "x" / f"{name}.flac", samples, 16_000)
    made = run(tmp_path / "songs")
    (one,) = prepare.load("folder-songs")
    np.testing.assert_array_equal(one.excerpt() * 32768, np.stack([extremes, extremes, 0 * extremes]))
    assert (made.silent_stems, one.tags["prepared"]["silent"]) == (1, [2])
    assert json.loads((made.folder / "problems.json").read_text())["silent_stems"] == 1


def test_the_store_sounds_like_the_files_and_what_exceeds_full_scale_is_scaled_with_its_whole_track(tmp_path):
    """One stem is a square wave at full scale, which rings beyond it in any filter; nothing may wrap around."""
    root = fill(tmp_path / "songs", ["loud", "quiet"])
    square = np.sign(np.sin(2 * np.pi * 441 * np.arange(44_100) / 44_100))
    soundfile.write(root / "loud" / "bass.wav", square, 44_100, subtype="FLOAT")
    made = run(root)
    assert (made.name, made.found, made.stored, made.problems) == ("folder-songs", 2, 2, ())
    plain, _ = files.open_tracks(dataset("folder").list(root))
    for ours, theirs in zip(prepare.load("folder-songs"), plain, strict=True):
        assert (ours.id, ours.split, ours.stems) == (theirs.id, theirs.split, theirs.stems)
        assert ours.num_samples == theirs.num_samples == ours.sample_rate == 16_000
        scale = ours.tags["prepared"]["scale"]
        assert scale == pytest.approx(1 / max(1, np.abs(theirs.excerpt()).max()), rel=1e-5)
        assert (scale < 1) == (ours.id == "loud")
        np.testing.assert_allclose(ours.excerpt(), theirs.excerpt() * scale, atol=1.01 / 32768)


def test_annotations_pass_through_and_changed_ones_are_taken_up(tmp_path):
    for number in range(2):
        path = tmp_path / "genres" / "blues" / f"blues.0000{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * np.sin(np.arange(22_050) / 9), 22_050)
    (tmp_path / "beats").mkdir()
    for text, beats in (("0.100\t1\n0.600\t2\n", [[0.1, 1], [0.6, 2]]), ("0.200\t1\n", [[0.2, 1]])):
        (tmp_path / "beats" / "gtzan_blues_00000.beats").write_text(text)
        assert run(tmp_path / "genres", "gtzan", annotations=str(tmp_path / "beats")).name == "gtzan"
        with_beats, without = prepare.load("gtzan", "test")
        np.testing.assert_array_equal(with_beats.beats, beats)
        assert (with_beats.stems, with_beats.tags["genre"], without.beats) == (("mix",), "blues", None)
    run(skeletons.musdb18hq(tmp_path / "musdb"), "musdb18hq")
    assert {track.pitched for track in prepare.load("musdb18hq")} == {(False, True, True, True)}


def test_a_broken_stem_is_left_out_its_track_kept_and_a_replaced_file_taken_up(tmp_path):
    root = fill(tmp_path / "songs", [f"song{i}" for i in range(3)])
    whole = (root / "song1" / "drums.wav").read_bytes()
    no_number(root / "song1" / "drums.wav")
    (root / "song2" / "keys.wav").write_text("no sound")
    made = run(root)
    assert [problem.path for problem in made.problems] == [root / "song1" / "drums.wav", root / "song2" / "keys.wav"]
    assert "nan" in made.problems[0].what
    stems = [("bass", "drums", "keys"), ("bass", "keys"), ("bass", "drums")]
    assert [track.stems for track in prepare.load(made.name)] == stems
    report = json.loads((made.folder / "problems.json").read_text())
    assert [each["path"] for each in report["problems"]] == ["song1/drums.wav", "song2/keys.wav"]
    assert (report["tracks_found"], report["tracks_stored"]) == (3, 3)
    other = made.folder / "tracks" / "song0.npy"
    os.utime(other, (1, 1))
    (root / "song1" / "drums.wav").write_bytes(whole)
    assert len(run(root).problems) == 1
    assert prepare.load(made.name)[1].stems == stems[0]
    assert other.stat().st_mtime == 1


def test_too_many_failures_are_an_error_but_nothing_is_lost(tmp_path):
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(21)], rate=16_000, channels=1, seconds=0.1)
    made = None
    for failed in (1, 2, 21):
        for path in [path for i in range(failed) for path in (root / f"song{i:02d}").glob("[bd]*.wav")]:
            path.write_bytes(b"")
        if made is None:  # 1 of 21 is within 5 %
            made = run(root)
            assert (made.found, made.stored) == (21, 20)
            continue
        shutil.rmtree(made.folder)
        with pytest.raises(RunError, match=rf"{failed} of 21 tracks.*song00.*problems\.json"):
            run(root)
        assert (prepare.folder("folder-songs") / "index.json").is_file() == (failed < 21)


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_it_ends_with_the_bytes_of_an_uninterrupted_run(tmp_path, monkeypatch, times):
    """And of one process, too. Last it is interrupted as by a terminal: no word of workers, nothing half-written."""
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(10 * times)], seconds=8.0)
    no_number(root / "song03" / "bass.wav")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "smooth"))
    expected = digest(run(root).folder)
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "rough"))
    tracks, rng, kills = paths.cache() / "datasets" / "folder-songs" / "tracks", random.Random(0), 0
    for turn in range(times + 1):
        process = start(
            *("-m", "phalar.cli", "datasets", "prepare", "folder", root, "--jobs", "2"),
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        # Not before the first track of this turn is there, or no turn would get anywhere.
        done, deadline = len(list(tracks.glob("*.json"))), time.monotonic() + 60
        while len(list(tracks.glob("*.json"))) <= done and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if turn < times:
            time.sleep(rng.uniform(0, 0.1))
            kills += process.poll() is None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if turn % 2 else process.kill()  # sometimes the workers too
        else:
            os.killpg(process.pid, signal.SIGINT)
            said = process.communicate(timeout=60)[1]
            assert process.returncode == 130
            assert "run the same command again" in said
            assert "Traceback" not in said, said
            assert not list(tracks.parent.rglob(".[0-9]*"))
        process.wait()
    assert kills >= times // 2
    assert digest(run(root, jobs=2).folder) == expected


def test_a_second_process_waits_for_the_first(tmp_path):
    root = fill(tmp_path / "songs")
    with (run(root).folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a worker of a killed run holds it
        other = start("-c", PROGRAM, root)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=2.5)
    assert other.wait(timeout=60) == 0


def test_a_disk_that_is_full_or_fills_up_stops_it_and_keeps_what_is_done(tmp_path, monkeypatch):
    root, usage = fill(tmp_path / "songs", [f"song{i}" for i in range(4)]), namedtuple("usage", "total used free")
    with monkeypatch.context() as full:
        full.setattr(prepare.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 100_000))
        with pytest.raises(RunError, match=r"needs 0\.0 GB more.*0\.0 GB free.*PHALAR_CACHE"):
            run(root)
    limits = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "  # inherited by the workers
    )
    said = start("-c", limits + PROGRAM, root).communicate()[1]
    assert "could not be stored" in said
    assert "run the same command to go on" in said
    assert run(root).stored == 4


def test_other_options_and_other_roots_get_stores_of_their_own(tmp_path):
    first, second = fill(tmp_path / "a" / "my songs!"), fill(tmp_path / "b" / "my songs!")
    names = [run(first).name, run(second).name, run(first, split="train").name, run(first).name, run(second).name]
    assert names[0] == names[3] == "folder-my_songs_"
    assert names[1] == names[4]
    assert names[1].startswith("folder-my_songs_-")
    assert names[2] == "folder-my_songs_-split-train"
    assert prepare.names() == sorted(set(names))
    assert prepare.origin(names[1])["root"] == str(second)
    assert {(track.split, track.dataset) for track in prepare.load(names[2])} == {("train", names[2])}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("slack", {}, "'slack'.*slakh2100"),
        ("folder", {"unit": "stem"}, "'unit'.*split"),
        ("slakh2100", {"unit": "stem"}, "'unit'.*none"),
        ("slakh2100", {}, "Track00001"),
        ("folder", {"split": "tests"}, "'tests'"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, name, options, says):
    root = fill(tmp_path / "songs")
    for command in (lambda: run(root, name, **options), lambda: list(check(name, root, options))):
        with pytest.raises(InputError, match=says):
            command()
    for refused, says in (
        (lambda: run(tmp_path / "nowhere"), "nowhere"),
        (lambda: prepare.prepare("folder", root, jobs=0), "jobs=0"),
    ):
        with pytest.raises(InputError, match=says):
            refused()
    assert prepare.names() == []


def test_loading_by_split_and_by_limit(tmp_path):
    for split, count in (("train", 6), ("test", 3)):
        fill(tmp_path / "songs" / split, [f"{split}{i}" for i in range(count)], rate=16_000, channels=1, seconds=0.1)
    name = run(tmp_path / "songs").name
    assert [len(prepare.load(name, split)) for split in (None, "test", "valid")] == [9, 3, 0]
    few, more = prepare.load(name, limit=2), prepare.load(name, limit=4)
    assert [sum(track.split == split for track in few) for split in ("train", "test")] == [2, 2]
    assert {track.id for track in few} < {track.id for track in more}
    assert [track.id for track in more] == sorted(track.id for track in more)
    (prepare.folder(name) / "index.json").unlink()
    with pytest.raises(InputError, match=f"phalar datasets prepare folder {tmp_path / 'songs'}"):
        prepare.load(name)


@pytest.mark.parametrize(
    ("name", "split", "limit", "says"),
    [
        ("moisesdb", None, None, "phalar datasets prepare moisesdb ROOT"),
        ("folder-none", None, None, "phalar datasets prepare NAME ROOT"),
        ("../../etc", None, None, "cannot be the name"),
        ("moisesdb", "validation", None, "'validation'"),
        ("moisesdb", "test", 0, "limit=0"),
    ],
)
def test_what_is_not_prepared_is_refused_with_the_remedy(name, split, limit, says):
    with pytest.raises(InputError, match=says):
        prepare.load(name, split, limit=limit)


# Checking


def checked(*arguments):
    *problems, summary = check(*arguments)
    return problems, summary


def test_found_is_compared_with_what_is_expected(tmp_path, monkeypatch):
    root = skeletons.cocochorales(tmp_path / "copy")
    for expected in (4, 5):
        row = replace(DATASETS["cocochorales"], expected={"train": 8, "valid": 4, "test": expected})
        monkeypatch.setitem(DATASETS, "cocochorales", row)
        problems, summary = checked("cocochorales", root)
        assert (problems, summary.found) == ([], {"train": 8, "valid": 4, "test": 4})
        assert (summary.whole, summary.stems) == (expected == 4, 64)
    assert summary.hours == pytest.approx(16 * 0.05 / 3600)
    assert not Problem(root, KNOWN_FAULT + "noise").serious
    assert not Problem(root, NOTE + "noise").serious


def test_every_damaged_file_is_named_as_it_is_found_and_nothing_changes(tmp_path, monkeypatch):
    root = skeletons.multitracks(tmp_path / "copy", [f"song{i:02d}" for i in range(20)])
    (root / "song00" / "bass.wav").write_bytes(b"")
    for stem in ("bass", "keys"):
        (root / "song01" / f"{stem}.wav").write_text("no sound")
    before = {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in [root, *root.rglob("*")]}
    problems, summary = checked("folder", root)
    found = [problem.path.relative_to(root).as_posix() for problem in problems]
    assert found == ["song00/bass.wav", "song01/bass.wav", "song01/keys.wav", "song01"]
    assert (summary.found, summary.expected, summary.stems) == ({"test": 19}, {}, 56)
    assert (summary.serious, summary.whole) == (4, False)
    assert {path: (path.lstat().st_mtime_ns, path.lstat().st_size) for path in [root, *root.rglob("*")]} == before
    looked_at, real = [], files.read_header
    monkeypatch.setattr(files, "read_header", lambda path: looked_at.append(path) or real(path))
    first = check("folder", root)
    assert next(first).path == root / "song00" / "bass.wav"
    assert len(looked_at) <= 8
    first.close()


# The command line


@pytest.fixture
def command(capsys):
    def run_command(*arguments):
        code = main(["datasets", *(str(each) for each in arguments)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return run_command


def test_the_list_has_what_one_needs_to_know(command):
    code, listed, _ = command("list", "--json")
    names = ["moisesdb", "slakh2100", "cocochorales", "musdb18hq", "gtzan", "guitarset", "folder"]
    assert (code, [row["name"] for row in listed["datasets"]], listed["prepared"]) == (0, names, [])
    assert list(DATASETS) == names
    assert listed["datasets"][1]["expected"] == {"train": 1289, "valid": 270, "test": 151}
    for row, each in zip(listed["datasets"], DATASETS.values(), strict=True):
        assert [row[key] for key in ("title", "licence", "source", "citation")] == [
            each.title, each.licence, each.source, each.citation
        ]  # fmt: skip


def test_checking_ends_with_0_for_a_whole_copy_and_with_1_for_another(command, tmp_path):
    root = skeletons.multitracks(tmp_path / "songs")
    code, result, err = command("check", "folder", root, "--json")
    assert (code, result["whole"], result["stems"], result["problems"]) == (0, True, 6, [])
    assert "checking folder" in err
    open(os.fsencode(root / "one") + b"/b\xff\nd.wav", "wb").close()  # a name that is no text
    code, result, _ = command("check", "folder", root, "--json")
    assert (code, result["whole"], result["splits"]) == (1, False, {"test": {"found": 2, "expected": None}})
    assert [each["serious"] for each in result["problems"]] == [True]
    code, out, _ = command("check", "folder", root)
    assert code == 1
    assert "b\\udcff" in out
    assert command("prepare", "folder", root)[0] == 0
    code, result, _ = command("check", "slakh2100", skeletons.slakh(tmp_path / "slakh"), "--json")
    assert (code, result["splits"]["train"]) == (1, {"found": 2, "expected": 1289})


def test_preparing_prints_the_name_to_use_and_takes_the_options_of_a_listing(command, tmp_path):
    root = skeletons.moisesdb(tmp_path / "moises")
    for flags, name, stems in (([], "moisesdb", 5), (["--unit", "stem"], "moisesdb-unit-stem", 3)):
        code, result, err = command("prepare", "moisesdb", root, *flags, "--jobs", 1, "--json")
        assert (code, result["name"], result["tracks_found"], result["tracks_stored"]) == (0, name, 3, 3)
        assert f"preparing {name}" in err
        assert {len(track.stems) for track in prepare.load(name)} == {stems}
    assert {each["root"] for each in command("list", "--json")[1]["prepared"]} == {str(root)}
    for arguments, says in (("check slack .", "'slack'"), ("prepare folder . --unit stem", "'unit'")):
        code, out, err = command(*arguments.split())
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
        assert says in err
