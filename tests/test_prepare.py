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
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skeletons
import soundfile

from phalar import paths
from phalar.cli import main
from phalar.datasets import prepare
from phalar.datasets.files import read_sound
from phalar.datasets.prepare import DATASETS, check
from phalar.errors import InputError

PROGRAM = "import sys; from phalar.datasets.prepare import prepare; prepare('folder', sys.argv[1], progress=False)"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


SOUND = skeletons.Sound(rate=44_100, channels=2, seconds=1.0)


def fill(root: Path, count=2, sound=SOUND) -> Path:
    """A folder of multitracks, three stems each."""
    return skeletons.multitracks(root, [f"song{i:02d}" for i in range(count)], sound=sound)


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


def test_the_store_sounds_like_the_files_and_what_exceeds_full_scale_is_scaled_with_its_whole_track(tmp_path):
    """One stem is a square wave at full scale, which rings beyond it in any filter; nothing may wrap around."""
    root = fill(tmp_path / "songs")
    square = np.sign(np.sin(2 * np.pi * 441 * np.arange(50_000) / 44_100))
    soundfile.write(root / "song00" / "bass.wav", square, 44_100, subtype="FLOAT")
    assert run(root) == ("folder-songs", {"test": 2}, {}, [])
    for track in prepare.load("folder-songs"):
        assert (track.stems, track.tags["title"]) == (("bass", "drums", "keys"), track.id)
        assert track.num_samples == track.sample_rate == 16_000  # of its shortest stem
        stems = [read_sound(root / track.id / f"{stem}.wav")[:16_000] for stem in track.stems]
        scale = 1 / max(1, np.abs(stems).max())
        assert (scale < 1) == (track.id == "song00")
        np.testing.assert_allclose(track.excerpt(), np.multiply(stems, scale), atol=1.01 / 32768)


def test_what_is_known_of_tracks_and_stems_passes_through_and_changed_annotations_are_taken_up(tmp_path):
    for number in range(2):
        skeletons.Sound(rate=22_050, seconds=1).write(tmp_path / "genres" / "blues", f"blues.0000{number}")
    (tmp_path / "beats").mkdir()
    for text, beats in (("0.100\t1\n0.600\t2\n", [[0.1, 1], [0.6, 2]]), ("0.200\t1\n", [[0.2, 1]])):
        (tmp_path / "beats" / "gtzan_blues_00000.beats").write_text(text)
        assert run(tmp_path / "genres", "gtzan", annotations=str(tmp_path / "beats")).name == "gtzan"
        with_beats, without = prepare.load("gtzan", "test")
        np.testing.assert_array_equal(with_beats.beats, beats)
        assert (with_beats.stems, with_beats.tags["genre"], without.beats) == (("mix",), "blues", None)
    run(skeletons.moisesdb(tmp_path / "moises"), "moisesdb")
    for track in prepare.load("moisesdb"):
        kinds = [next(kind for kind, names in skeletons.SONG.items() if stem in names) for stem in track.stems]
        assert track.tags["stem_names"] == kinds
        assert track.pitched == tuple(kind != "drums" for kind in kinds)
        assert track.tags["artist"] == "Nobody"


def test_a_broken_stem_is_left_out_its_track_kept_and_a_replaced_file_taken_up(tmp_path):
    root = fill(tmp_path / "songs", 4)
    whole = (root / "song01" / "drums.wav").read_bytes()
    no_number(root / "song01" / "drums.wav")
    (root / "song02" / "keys.wav").write_text("no sound")
    skeletons.Sound(seconds=0.4).write(root / "song03", "bass")
    made = run(root)
    bad = ["song01/drums.wav", "song02/keys.wav", "song03/bass.wav"]
    assert [problem.path for problem in made.problems] == [root / path for path in bad]
    assert "nan" in made.problems[0].what
    assert "only 0.40 s long where another stem has 1.00 s" in made.problems[2].what
    stems = [("bass", "drums", "keys"), ("bass", "keys"), ("bass", "drums"), ("drums", "keys")]
    assert [track.stems for track in prepare.load(made.name)] == stems
    folder = prepare.folder(made.name)
    assert [path for path, _ in json.loads((folder / "problems.json").read_text())] == bad
    other = folder / "tracks" / "song00.npy"
    os.utime(other, (1, 1))
    (root / "song01" / "drums.wav").write_bytes(whole)
    shutil.rmtree(root / "song03")
    assert len(run(root).problems) == 1
    assert [track.stems for track in prepare.load(made.name)] == [stems[0], stems[0], stems[2]]
    assert other.stat().st_mtime == 1


@pytest.mark.parametrize("times", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_killed_at_random_it_ends_with_the_bytes_of_an_uninterrupted_run(tmp_path, monkeypatch, times):
    """And of one process, too. Last it is interrupted as by a terminal: no word of workers, nothing half-written."""
    root = fill(tmp_path / "songs", 20 * times, replace(SOUND, seconds=8.0))
    no_number(root / "song03" / "bass.wav")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "smooth"))
    expected = digest(prepare.folder(run(root).name))
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "rough"))
    tracks, rng, kills = paths.cache() / "datasets" / "folder-songs" / "tracks", random.Random(0), 0
    for turn in range(times + 1):
        process = start(
            *("-m", "phalar", "datasets", "prepare", "folder", root, "--jobs", "2"),
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
        )
        # Not before this turn's first track, or none would get anywhere; last, not while a worker still imports.
        done, deadline = len(list(tracks.glob("*.json"))) + 3 * (turn == times), time.monotonic() + 60
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
    run(root, jobs=2)
    assert digest(tracks.parent) == expected


def test_a_second_process_waits_for_the_first(tmp_path):
    root = fill(tmp_path / "songs")
    with (prepare.folder(run(root).name) / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as a worker of a killed run holds it
        other = start("-c", PROGRAM, root)
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(timeout=2.5)
    assert other.wait(timeout=120) == 0


def test_a_disk_that_fills_up_stops_it_and_keeps_what_is_done(tmp_path):
    root = fill(tmp_path / "songs", 4)
    limits = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); "  # inherited by the workers
    )
    said = start("-c", limits + PROGRAM, root).communicate()[1]
    assert "could not be stored" in said
    assert "run the same command to go on" in said
    assert run(root).found == {"test": 4}


def test_what_there_is_not_is_refused(tmp_path):
    root, options = fill(tmp_path / "songs"), "its options are .*'split': .'test', 'train', 'valid'"
    for name, chosen, says in (
        ("slack", {}, "'slack'.*slakh2100"),
        ("slakh2100", {"mode": "comp"}, "mode='comp': its options are none"),
        ("slakh2100", {}, "Track00001"),
        ("folder", {"mode": "comp"}, f"mode='comp': {options}"),
        ("folder", {"split": "tests"}, f"split='tests': {options}"),
    ):
        for command in (prepare.prepare, check):
            with pytest.raises(InputError, match=says):
                command(name, root, chosen)
    with pytest.raises(InputError, match="jobs=0"):
        run(root, jobs=0)
    assert prepare.names() == []


def test_loading_by_split_and_by_limit(tmp_path):
    names = [f"{split}/{split}{i}" for split, count in (("train", 6), ("test", 3)) for i in range(count)]
    skeletons.multitracks(tmp_path / "songs", names)
    name = run(tmp_path / "songs").name
    assert [len(prepare.load(name, split)) for split in (None, "test", "valid")] == [9, 3, 0]
    few, more = prepare.load(name, limit=2), prepare.load(name, limit=4)
    assert [sum(track.split == split for track in few) for split in ("train", "test")] == [2, 2]
    assert {track.id for track in few} < {track.id for track in more}
    assert [track.id for track in more] == sorted(track.id for track in more)
    refused = {"'validation'": {"split": "validation"}, "limit=0": {"limit": 0}, "phalar datasets prepare": {}}
    for says, how in refused.items():
        with pytest.raises(InputError, match=says):
            prepare.load(name if how else "../../etc", **how)


# Checking, and the command line


@pytest.fixture
def command(capsys):
    def run_command(*arguments):
        code = main(["datasets", *(str(each) for each in arguments)])
        out, err = capsys.readouterr()
        return code, json.loads(out) if "--json" in arguments and out else out, err

    return run_command


def test_checking_ends_with_0_for_a_whole_copy_and_with_1_for_another(command, tmp_path, monkeypatch):
    root = skeletons.cocochorales(tmp_path / "chorales")
    for expected in (4, 5):
        row = replace(DATASETS["cocochorales"], expected={"train": 8, "valid": 4, "test": expected})
        monkeypatch.setitem(DATASETS, "cocochorales", row)
        code, result, err = command("check", "cocochorales", root, "--json")
        assert (code, result["whole"], result["problems"]) == (expected - 4, expected == 4, [])
        assert result["splits"]["test"] == {"found": 4, "expected": expected}
        assert "checking cocochorales" in err
    root = skeletons.multitracks(tmp_path / "songs")
    assert command("check", "folder", root)[0] == 0
    open(os.fsencode(root / "one") + b"/b\xff\nd.wav", "wb").close()  # a name that is no text
    code, out, _ = command("check", "folder", root)
    assert code == 1
    assert "b\\udcff" in out


def test_preparing_prints_the_name_to_use_and_takes_the_options_of_a_listing(command, tmp_path):
    root = skeletons.multitracks(tmp_path / "my songs!")
    (root / "one" / "bass.wav").rename(root / "one" / os.fsdecode(b"b\xe4ss.wav"))
    (root / "one").rename(root / os.fsdecode(b"caf\xe9"))
    names = []
    for flags, split in (([], "test"), (["--split", "train"], "train"), (["--split", "test"], "test")):
        code, result, err = command("prepare", "folder", root, *flags, "--jobs", 1, "--json")
        assert (code, result["splits"], result["problems"]) == (0, {split: 2}, [])
        assert f"preparing {result['name']}" in err
        names.append(result["name"])
        tracks = prepare.load(names[-1])
        assert {(track.split, track.dataset) for track in tracks} == {(split, names[-1])}
        assert {(track.tags["title"], track.stems[0]) for track in tracks} == {("caf?", "b?ss"), ("two", "bass")}
    assert names[0] == names[2] != names[1]
    assert names[0].startswith("folder-my_songs_-")
    assert [each["name"] for each in command("list", "--json")[1]["prepared"]] == sorted(set(names))
    for arguments, says in (("check slack .", "'slack'"), ("prepare folder . --mode solo", "mode=")):
        code, out, err = command(*arguments.split())
        assert (code, out, len(err.strip().splitlines())) == (2, "", 1)
        assert says in err
