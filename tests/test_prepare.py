"""Prepared data sets: what the store holds is what the files sound like, however it came to be made."""

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
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from phalar import paths
from phalar.datasets import prepare as prepare_module
from phalar.datasets import prepared, store
from phalar.datasets.catalogue import DATASETS
from phalar.datasets.files import open_listing
from phalar.datasets.prepare import prepare
from phalar.errors import InputError, RunError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill(root: Path, tracks=("one", "two"), rate=44_100, channels=2, seconds=1.0, extension="wav", level=0.2) -> Path:
    """A folder of multitracks, three stems each."""
    for number, name in enumerate(tracks):
        (root / name).mkdir(parents=True)
        for i, stem in enumerate(("bass", "drums", "keys")):
            rng = np.random.default_rng([number, i])
            samples = rng.uniform(-level, level, (round(rate * seconds * (1 + 0.1 * i)), channels))
            soundfile.write(root / name / f"{stem}.{extension}", samples, rate)
    return root


def run(root, name="folder", **options):
    return prepare(name, root, options, jobs=1, progress=False)


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_store_sounds_like_the_files(tmp_path):
    root = fill(tmp_path / "songs")
    made = run(root)
    assert (made.name, made.found, made.stored, made.problems) == ("folder-songs", 2, 2, ())
    stored = prepared.load("folder-songs")
    plain, _ = open_listing(root, DATASETS["folder"].list(root))
    for ours, theirs in zip(stored, plain, strict=True):
        assert (ours.id, ours.split, ours.stems) == (theirs.id, theirs.split, theirs.stems)
        assert ours.num_samples == theirs.num_samples == 16_000
        assert ours.sample_rate == 16_000
        np.testing.assert_allclose(ours.excerpt(), theirs.excerpt(), atol=0.51 / 32768)
        np.testing.assert_allclose(ours.excerpt(5_000, 3_000), theirs.excerpt(5_000, 3_000), atol=1e-4)


def test_16_bit_mono_at_16_khz_comes_through_bit_for_bit(tmp_path):
    extremes = np.array([-32768, 32767, 0, 1, -1] * 1000, np.int16)
    for name in "ab":
        (tmp_path / "songs" / "x").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "songs" / "x" / f"{name}.flac", extremes, 16_000)
    run(tmp_path / "songs")
    (one,) = prepared.load("folder-songs")
    np.testing.assert_array_equal(one.excerpt() * 32768, np.stack([extremes, extremes]))


def test_what_exceeds_full_scale_is_scaled_with_its_whole_track(tmp_path):
    """One stem is a square wave at full scale, which rings beyond it in any filter; nothing may wrap around."""
    root = fill(tmp_path / "songs", ["loud", "quiet"])
    square = np.sign(np.sin(2 * np.pi * 441 * np.arange(44_100) / 44_100))
    soundfile.write(root / "loud" / "bass.wav", square, 44_100, subtype="FLOAT")
    run(root)
    loud, quiet = prepared.load("folder-songs")
    (plain, _), _ = open_listing(root, DATASETS["folder"].list(root))
    scale = loud.tags["prepared"]["scale"]
    assert np.abs(plain.excerpt()).max() > 1
    assert scale == pytest.approx(1 / np.abs(plain.excerpt()).max(), rel=1e-5)
    assert quiet.tags["prepared"]["scale"] == 1
    np.testing.assert_allclose(loud.excerpt(), plain.excerpt() * scale, atol=1.01 / 32768)


def test_beats_and_tags_pass_through_and_one_stem_is_enough_for_a_clip(tmp_path):
    (tmp_path / "genres" / "blues").mkdir(parents=True)
    tone = 0.2 * np.sin(np.arange(22_050) / 9)
    for number in range(2):
        soundfile.write(tmp_path / "genres" / "blues" / f"blues.0000{number}.wav", tone, 22_050)
    (tmp_path / "beats").mkdir()
    (tmp_path / "beats" / "gtzan_blues_00000.beats").write_text("0.100\t1\n0.600\t2\n")
    made = run(tmp_path / "genres", "gtzan", annotations=str(tmp_path / "beats"))
    assert made.name == "gtzan"
    with_beats, without = prepared.load("gtzan", "test")
    assert with_beats.stems == ("mix",)
    np.testing.assert_array_equal(with_beats.beats, [[0.1, 1], [0.6, 2]])
    assert without.beats is None
    assert with_beats.tags["genre"] == "blues"


def test_changed_annotations_are_taken_up(tmp_path):
    test_beats_and_tags_pass_through_and_one_stem_is_enough_for_a_clip(tmp_path)
    (tmp_path / "beats" / "gtzan_blues_00000.beats").write_text("0.200\t1\n")
    run(tmp_path / "genres", "gtzan", annotations=str(tmp_path / "beats"))
    np.testing.assert_array_equal(prepared.load("gtzan")[0].beats, [[0.2, 1]])


def test_a_broken_stem_is_left_out_its_track_kept_and_the_file_named(tmp_path):
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(3)])
    samples = np.full(40_000, 0.1)
    samples[30_000] = np.nan
    soundfile.write(root / "song01" / "drums.wav", samples, 44_100, subtype="FLOAT")
    (root / "song02" / "keys.wav").write_text("no sound")
    made = run(root)
    assert made.stored == 3
    assert [problem.path for problem in made.problems] == [
        root / "song01" / "drums.wav",
        root / "song02" / "keys.wav",
    ]
    assert "nan" in made.problems[0].what
    assert [t.stems for t in prepared.load(made.name)] == [
        ("bass", "drums", "keys"),
        ("bass", "keys"),
        ("bass", "drums"),
    ]
    report = json.loads((made.folder / "problems.json").read_text())
    assert [each["path"] for each in report["problems"]] == ["song01/drums.wav", "song02/keys.wav"]
    assert (report["tracks_found"], report["tracks_stored"]) == (3, 3)


def test_a_replaced_file_is_taken_up_and_the_rest_left_alone(tmp_path):
    root = fill(tmp_path / "songs")
    whole = (root / "one" / "bass.wav").read_bytes()
    samples = np.full(44_100, np.nan)
    soundfile.write(root / "one" / "bass.wav", samples, 44_100, subtype="FLOAT")
    made = run(root)
    other = made.folder / "tracks" / "two.npy"
    os.utime(other, (1, 1))
    (root / "one" / "bass.wav").write_bytes(whole)
    assert run(root).problems == ()
    assert prepared.load(made.name)[0].stems == ("bass", "drums", "keys")
    assert other.stat().st_mtime == 1


def test_a_silent_stem_is_kept_and_counted(tmp_path):
    root = fill(tmp_path / "songs")
    soundfile.write(root / "one" / "keys.wav", np.zeros(48_000), 44_100)
    made = run(root)
    assert made.silent_stems == 1
    one, two = prepared.load(made.name)
    assert (one.tags["prepared"]["silent"], two.tags["prepared"]["silent"]) == ([2], [])
    assert json.loads((made.folder / "problems.json").read_text())["silent_stems"] == 1


def test_too_many_failures_are_an_error_but_nothing_is_lost(tmp_path):
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(21)], rate=16_000, channels=1)
    for stem in ("bass", "drums"):
        (root / "song00" / f"{stem}.wav").write_bytes(b"")
    made = run(root)  # 1 of 21 is within 5 %
    assert (made.found, made.stored) == (21, 20)
    for stem in ("bass", "drums"):
        (root / "song01" / f"{stem}.wav").write_bytes(b"")
    shutil.rmtree(made.folder)
    with pytest.raises(RunError, match=r"2 of 21 tracks.*song00.*problems\.json"):
        run(root)
    assert len(prepared.load("folder-songs")) == 19


def test_nothing_that_can_be_used_is_an_error(tmp_path):
    root = fill(tmp_path / "songs", ["one"])
    for path in root.rglob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(RunError, match=r"no track.*bass\.wav"):
        run(root)
    with pytest.raises(InputError, match="prepare folder"):
        prepared.load("folder-songs")


def test_the_bytes_do_not_depend_on_the_number_of_processes(tmp_path, monkeypatch):
    root = fill(tmp_path / "songs", [f"song{i}" for i in range(5)])
    stores = []
    for jobs in (1, 3):
        monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / f"cache{jobs}"))
        stores.append(digest(prepare("folder", root, jobs=jobs, progress=False).folder))
    assert stores[0] == stores[1]
    assert len(stores[0]) == 2 * 5 + 4


@pytest.mark.parametrize("times", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_it_ends_with_the_bytes_of_an_uninterrupted_run(tmp_path, monkeypatch, times):
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(3 * times)], seconds=8.0)
    samples = np.full(8 * 44_100, 0.1)
    samples[300_000] = np.nan
    soundfile.write(root / "song03" / "bass.wav", samples, 44_100, subtype="FLOAT")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "smooth"))
    expected = digest(prepare("folder", root, progress=False).folder)
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "rough"))
    program = "import sys; from phalar.datasets.prepare import prepare; prepare('folder', sys.argv[1], progress=False)"
    tracks = paths.cache() / "datasets" / "folder-songs" / "tracks"
    rng, kills = random.Random(0), 0
    for turn in range(times):
        process = psutil.Popen(
            [sys.executable, "-c", program, str(root)],
            env=os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)},
        )
        # Not before the first track of this turn is there, or no turn would get anywhere.
        done, deadline = len(list(tracks.glob("*.json"))), time.monotonic() + 60
        while len(list(tracks.glob("*.json"))) <= done and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.2))
        kills += process.poll() is None
        workers = process.children() if process.is_running() and turn % 2 else []  # sometimes the workers too
        for each in [process, *workers]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()
        process.wait()
    assert kills >= times // 2
    assert digest(prepare("folder", root, progress=False).folder) == expected


def test_interrupted_it_finishes_the_track_in_hand_and_goes_on_later(tmp_path):
    root = fill(tmp_path / "songs", [f"song{i:02d}" for i in range(20)], seconds=8.0)
    tracks = tmp_path / "cache" / "datasets" / "folder-songs" / "tracks"
    process = subprocess.Popen(
        [sys.executable, "-m", "phalar.cli", "datasets", "prepare", "folder", str(root), "--jobs", "1"],
        env=os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    deadline = time.monotonic() + 60
    while not list(tracks.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again" in said
    left = sorted(path.suffix for path in tracks.iterdir())
    assert 0 < left.count(".json") == left.count(".npy") < 20
    assert len(left) == 2 * left.count(".json")
    with pytest.raises(InputError):
        prepared.load("folder-songs")
    assert run(root).stored == 20


def test_a_second_process_waits_for_the_first(tmp_path, caplog):
    root = fill(tmp_path / "songs")
    folder = run(root).folder
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        program = "import sys; from phalar.datasets.prepare import prepare; prepare('folder', sys.argv[1])"
        other = subprocess.Popen(
            [sys.executable, "-c", program, str(root)],
            env=os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)},
            stderr=subprocess.DEVNULL,
        )
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=2.0)
    assert other.wait(timeout=30) == 0


def test_a_decoder_that_crashes_costs_one_track(tmp_path, monkeypatch):
    root = fill(tmp_path / "songs", ["one", "two", "worse"])
    # A worker that dies on one file, as a decoder might on hostile bytes.
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if any('prepare_worker' in word for word in sys.orig_argv):\n"
        "    import soundfile\n"
        "    whole = soundfile.SoundFile.__init__\n"
        "    def fragile(self, path, *rest, **named):\n"
        "        if 'worse' in str(path): os.abort()\n"
        "        whole(self, path, *rest, **named)\n"
        "    soundfile.SoundFile.__init__ = fragile\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    with pytest.raises(RunError, match=r"1 of 3 tracks.*worse.*exit status -6"):
        run(root)
    assert [track.id for track in prepared.load("folder-songs")] == ["one", "two"]


def test_a_full_disk_stops_it_before_it_begins(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(prepare_module.shutil, "disk_usage", lambda _: usage(10**12, 10**12, 100_000))
    with pytest.raises(RunError, match=r"needs 0\.0 GB more.*0\.0 GB free.*PHALAR_CACHE"):
        run(fill(tmp_path / "songs"))
    with pytest.raises(InputError):
        prepared.load("folder-songs")


def test_a_disk_that_fills_up_stops_it_and_keeps_what_is_done(tmp_path, monkeypatch):
    root = fill(tmp_path / "songs", [f"song{i}" for i in range(4)])
    program = (
        "import resource, signal, sys; from phalar.datasets.prepare import prepare\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"  # inherited by the workers
        "prepare('folder', sys.argv[1], jobs=1, progress=False)"
    )
    small = subprocess.run(
        [sys.executable, "-c", program, str(root)],
        env=os.environ | {"PYTHONPATH": str(paths.PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "RunError: track song0 could not be stored" in small.stderr
    assert "run the same command to go on" in small.stderr
    assert run(root).stored == 4


def test_other_options_and_other_roots_get_stores_of_their_own(tmp_path):
    first, second = fill(tmp_path / "a" / "my songs!"), fill(tmp_path / "b" / "my songs!")
    names = [run(first).name, run(second).name, run(first, split="train").name, run(first).name, run(second).name]
    assert names[0] == names[3] == "folder-my_songs_"
    assert names[1] == names[4]
    assert names[1].startswith("folder-my_songs_-")
    assert names[2] == "folder-my_songs_-split-train"
    assert prepared.names() == sorted(set(names))
    assert prepared.origin(names[1])["root"] == str(second)
    assert {track.split for track in prepared.load(names[2])} == {"train"}
    assert {track.dataset for track in prepared.load(names[2])} == {names[2]}


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("slack", {}, "'slack'.*slakh2100"),
        ("folder", {"unit": "stem"}, "'unit'.*split"),
        ("slakh2100", {"unit": "stem"}, "'unit'.*no options"),
        ("folder", {"split": "tests"}, "'tests'"),
    ],
)
def test_what_there_is_not_is_refused(tmp_path, name, options, says):
    with pytest.raises(InputError, match=says):
        run(fill(tmp_path / "songs"), name, **options)
    assert prepared.names() == []


def test_no_folder_and_no_process_are_refused(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="jobs=0"):
        prepare("folder", fill(tmp_path / "songs"), jobs=0, progress=False)


def test_loading_by_split_and_by_limit(tmp_path):
    root = tmp_path / "songs"
    for split, count in (("train", 6), ("test", 3)):
        fill(root / split, [f"{split}{i}" for i in range(count)], rate=16_000, channels=1)
    name = run(root).name
    assert len(prepared.load(name)) == 9
    assert len(prepared.load(name, "test")) == 3
    assert prepared.load(name, "valid") == []
    few, more = prepared.load(name, limit=2), prepared.load(name, limit=4)
    assert [sum(track.split == split for track in few) for split in ("train", "test")] == [2, 2]
    assert {track.id for track in few} < {track.id for track in more}
    assert [track.id for track in more] == sorted(track.id for track in more)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("moisesdb",), "phalar datasets prepare moisesdb ROOT"),
        (("folder-none",), "phalar datasets prepare NAME ROOT"),
        (("../../etc",), "not the name"),
        (("moisesdb", "validation"), "'validation'"),
        (("moisesdb", "test", 0), "limit=0"),
    ],
)
def test_what_is_not_prepared_is_refused_with_the_remedy(arguments, says):
    name, split, limit = (*arguments, None, None)[:3]
    with pytest.raises(InputError, match=says):
        prepared.load(name, split, limit=limit)


def test_an_unfinished_store_is_not_loaded(tmp_path):
    root = fill(tmp_path / "songs")
    folder = run(root).folder
    (folder / "index.json").unlink()
    with pytest.raises(InputError, match=f"phalar datasets prepare folder {root}"):
        prepared.load("folder-songs")
    run(root)
    assert len(prepared.load("folder-songs")) == 2


def test_a_store_of_an_older_layout_is_made_again(tmp_path, monkeypatch):
    root = fill(tmp_path / "songs")
    monkeypatch.setattr(store, "FORMAT", store.FORMAT - 1)
    folder = run(root).folder
    monkeypatch.undo()
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    with pytest.raises(RunError, match=f"phalar datasets prepare folder {root}"):
        prepared.load("folder-songs")
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("tracks/*.json")}
    run(root)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("tracks/*.json")}
    assert len(prepared.load("folder-songs")) == 2
    assert all(after[name] > before[name] for name in before)


@pytest.mark.slow
def test_an_hour_of_stems_is_prepared_a_hundred_times_faster_than_it_plays(tmp_path):
    """In processor time, since others may be using the machine: 2 cores at 50 times each."""
    resource = pytest.importorskip("resource")
    root = fill(tmp_path / "songs", [f"song{i}" for i in range(8)], seconds=136.0)
    seconds = sum(soundfile.info(path).duration for path in root.rglob("*.wav"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    prepare("folder", root, jobs=2, progress=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds > 3500
    assert seconds / spent > 50
