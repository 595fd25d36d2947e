"""GTZAN: its three layouts, its three forms of beat annotation, its known faults, and files that mean harm."""

import json
import math
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phalar.datasets.beat_files import number_beats, read_beats
from phalar.datasets.gtzan import DATASET, GENRES, list_tracks
from phalar.datasets.jams import LARGEST, read_jams
from phalar.datasets.listing import KNOWN_FAULT
from phalar.errors import InputError

ONE_COLUMN = {f"jazz.000{n}" for n in ("03", "09", "10", "14", "18", "20")}
WAV = b"RIFF....WAVE"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips and all real beat files."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "gtzan"
    if not folder.is_dir():
        pytest.skip(f"the samples of GTZAN are not at {folder}")
    return folder


def put(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def whole(folder: Path, suffix: str = ".wav", header: bytes = WAV) -> Path:
    """The names of all 1000 clips, and headers only."""
    for genre in GENRES:
        for n in range(100):
            put(folder / genre / f"{genre}.{n:05d}{suffix}", header)
    return folder


def rhythm(path: Path, **lists: list[float]) -> Path:
    """A file as GTZAN-Rhythm has them: an annotation for each list, told apart by the sandbox alone."""
    annotations = [
        {
            "namespace": "beat",
            "data": [{"time": time, "duration": 0.0, "value": 1.0, "confidence": 1.0} for time in times],
            "sandbox": {"annotation_type": kind.replace("_", "-")},
            "annotation_metadata": {},
            "time": 0,
            "duration": math.nan,
        }
        for kind, times in lists.items()
    ]
    return put(path, json.dumps({"annotations": annotations, "file_metadata": {"duration": 30.0}, "sandbox": {}}))


# --- where clips are found


@pytest.mark.parametrize(
    ("place", "root"),
    [
        ("genres", "genres"),
        ("genres", ""),
        ("Data/genres_original", "Data"),
        ("Data/genres_original", "Data/genres_original"),
        ("Data/genres_original", ""),
    ],
)
def test_a_whole_copy_is_found_from_any_of_its_folders(tmp_path, place, root):
    whole(tmp_path / place)
    for i in range(3):  # what lies beside the clips in one copy or another
        put(tmp_path / place / f"{GENRES[i]}.mf", "list of files")
        put(tmp_path / place / GENRES[i] / f"._{GENRES[i]}.00000.wav", b"\0\5\x16\7")
        put(tmp_path / "Data" / "images_original" / GENRES[i] / f"{GENRES[i]}00000.png", b"\x89PNG")
    put(tmp_path / "Data" / "features_30_sec.csv", "filename,length\n")
    listing = list_tracks(tmp_path / root)
    assert listing.dataset == "gtzan"
    assert Counter(track.split for track in listing.tracks) == DATASET.expected
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 100)
    ids = [track.id for track in listing.tracks]
    assert ids == sorted(set(ids))
    assert ids[0] == "blues.00000"
    for track in listing.tracks:
        (stem,) = track.stems
        assert (stem.name, track.beats, track.chords) == ("mix", None, None)
        assert [file.name for file in stem.files] == [f"{track.id}.wav"]
    (problem,) = listing.problems
    assert not problem.fatal
    assert "annotations" in problem.what


def test_older_copies_in_au_are_read_and_wav_is_preferred(tmp_path):
    whole(tmp_path, ".au", b".snd")
    put(tmp_path / "pop" / "pop.00007.wav", WAV)
    tracks = {track.id: track.stems[0].files for track in list_tracks(tmp_path).tracks}
    assert len(tracks) == 1000
    assert tracks["pop.00006"][0].suffix == ".au"
    assert [file.name for file in tracks["pop.00007"]] == ["pop.00007.wav"]


def test_the_clip_that_is_no_sound_file_is_left_out_for_its_header_and_not_for_its_name(tmp_path):
    whole(tmp_path)
    assert len(list_tracks(tmp_path).tracks) == 1000  # jazz.00054 is whole in the original
    broken = put(tmp_path / "jazz" / "jazz.00054.wav", b"\x00\x12\x34\x56junk")
    empty = put(tmp_path / "rock" / "rock.00001.wav", b"")
    listing = list_tracks(tmp_path)
    assert len(listing.tracks) == 998
    assert {"jazz.00054", "rock.00001"}.isdisjoint(track.id for track in listing.tracks)
    assert {problem.path for problem in listing.problems if problem.fatal} == {broken, empty}


def test_sound_files_that_are_no_clips_are_reported_and_links_go_nowhere(tmp_path):
    put(tmp_path / "x" / "blues" / "blues.00000.wav", WAV)
    root = tmp_path / "x"
    strange = {put(root / "blues" / name, WAV) for name in ("my blues.00000.wav", "rock.00000.wav", "blues.0001.wav")}
    (root / "blues" / "blues.00002.wav").mkdir()
    os.symlink("blues.00003.wav", root / "blues" / "blues.00003.wav")
    os.symlink(put(tmp_path / "outside.wav", WAV), root / "blues" / "blues.00004.wav")
    os.mkfifo(root / "blues" / "blues.00005.wav")  # reading it would wait for ever
    os.symlink(root, root / "rock")
    listing = list_tracks(root)
    assert [track.id for track in listing.tracks] == ["blues.00000"]
    links = {root / "rock", root / "blues" / "blues.00003.wav", root / "blues" / "blues.00004.wav"}
    assert {problem.path for problem in listing.problems if problem.fatal} == strange | links


def test_a_root_without_clips_says_what_was_expected(tmp_path):
    with pytest.raises(InputError, match=r"blues/blues.00000.wav"):
        list_tracks(tmp_path)
    for root in (tmp_path / "absent", put(tmp_path / "file", "x")):
        with pytest.raises(InputError, match="not a folder"):
            list_tracks(root)


# --- beats, by format


def test_the_two_text_formats_and_both_depths_of_folder_give_the_same(tmp_path):
    put(tmp_path / "genres" / "blues" / "blues.00000.wav", WAV)
    beats = put(tmp_path / "a" / "gtzan" / "annotations" / "beats" / "gtzan_blues_00000.beats", "0.217\t3\n0.695\t4\n")
    put(tmp_path / "b" / "beats" / beats.name, beats.read_bytes())
    put(tmp_path / "b" / "tempo" / "gtzan_blues_00000.bpm", "125.3\n")
    for annotations in ("a", "a/gtzan", "a/gtzan/annotations", "a/gtzan/annotations/beats", "b", "b/beats"):
        listing = list_tracks(tmp_path / "genres", tmp_path / annotations)
        assert listing.tracks[0].beats == ((0.217, 3), (0.695, 4))
        assert listing.problems == ()


def test_rhythm_annotations_are_told_apart_by_their_type_in_any_order(tmp_path):
    beats = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    lists = {"8th_note": [0.75, 1.25], "downbeat": [1.0, 2.5], "beat": beats[::-1]}
    for names in (sorted(lists), sorted(lists, reverse=True)):
        path = rhythm(tmp_path / "x" / "jams" / "pop.00001.wav.jams", **{name: lists[name] for name in names})
        assert read_beats(path) == ((0.5, 3), (1.0, 1), (1.5, 2), (2.0, 3), (2.5, 1), (3.0, 2))
    put(tmp_path / "pop" / "pop.00001.wav", WAV)
    assert list_tracks(tmp_path, tmp_path / "x").tracks[0].beats == read_beats(path)


@pytest.mark.parametrize(
    ("downbeats", "numbers"),
    [
        ([], [0, 0, 0, 0, 0, 0]),
        ([1], [1, 2, 3, 4, 5, 6]),
        ([3], [0, 0, 1, 2, 3, 4]),  # how long the bar of the pick-up is, nothing tells
        ([2, 4], [2, 1, 2, 1, 2, 3]),
        ([4, 6], [0, 0, 0, 1, 2, 1]),  # a pick-up longer than the bar
        ([3, 6], [2, 3, 1, 2, 3, 1]),
        ([3.02, 5.98], [2, 3, 1, 2, 3, 1]),  # within 50 ms
        ([3.4, 6], [0, 0, 0, 0, 0, 0]),  # off the beat
        ([3, 3.01], [0, 0, 0, 0, 0, 0]),  # two on one beat
        ([-5, 3], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_numbers_follow_from_downbeats_or_stay_unknown(downbeats, numbers):
    times = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert number_beats(times, downbeats) == tuple(zip(times, numbers, strict=True))


def test_a_clip_without_beats_stays_and_is_named(tmp_path):
    whole(tmp_path / "genres")
    for track in list_tracks(tmp_path).tracks:
        if track.id != "reggae.00086":
            put(tmp_path / "beats" / f"gtzan_{track.id.replace('.', '_')}.beats", "0.5\t1\n1.0\t2\n")
    listing = list_tracks(tmp_path, tmp_path / "beats")
    assert [track.id for track in listing.tracks if track.beats is None] == ["reggae.00086"]
    assert len(listing.tracks) == 1000
    (problem,) = listing.problems
    assert problem.path.name == "reggae.00086.wav"
    assert problem.what.startswith(KNOWN_FAULT)
    assert not problem.fatal


def test_annotations_without_a_beat_file_say_what_was_expected(tmp_path):
    put(tmp_path / "blues" / "blues.00000.wav", WAV)
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(InputError, match=r"gtzan_blues_00000\.beats or blues\.00000\.wav\.jams"):
            list_tracks(tmp_path, folder)


def test_text_that_other_programs_write_is_read(tmp_path):
    variants = ["\ufeff0.5\t1\r\n1.0\t2\r\n", "0.5 1\n\n1.0 2", "5.000e-01\t1.000e+00\n1.0e+00\t2.0e+00\n"]
    for text in variants:
        assert read_beats(put(tmp_path / "x.beats", text)) == ((0.5, 1), (1.0, 2))
    assert read_beats(put(tmp_path / "x.beats", "0.5\n1.0\n")) == ((0.5, 0), (1.0, 0))


# --- files that mean harm

DEEP = "[" * 100_000
BEAT = {"namespace": "beat", "sandbox": {"annotation_type": "beat"}}


def jams(data: object, **fields: object) -> str:
    return json.dumps({"annotations": [{**BEAT, "data": data, **fields}]})


HOSTILE_TEXT = {
    "empty": b"",
    "words": b"one\ttwo\n",
    "bytes": bytes(range(256)),
    "wav": b"RIFF\xff\xff\xff\xffWAVEfmt ",
    "negative": b"-0.5\t1\n0.5\t2\n",
    "nan": b"nan\t1\n",
    "infinite": b"0.5\t1\ninf\t2\n",
    "huge": b"0.5\t1\n1e300\t2\n",
    "longer than a float": b"9" * 5000 + b"\t1\n",
    "unsorted": b"0.5\t1\n1.5\t2\n1.0\t3\n",
    "repeated": b"0.5\t1\n0.5\t2\n",
    "ragged": b"0.5\t1\n1.0\n",
    "three columns": b"0.5\t1\t7\n",
    "number 0": b"0.5\t0\n",
    "number 1.5": b"0.5\t1.5\n",
    "number huge": b"0.5\t1e30\n",
    "number nan": b"0.5\tnan\n",
    "too large": b"0" * (LARGEST + 1),
}
HOSTILE_JAMS = {
    "empty": "",
    "truncated": jams([{"time": 0.5}])[:-7],
    "deep": DEEP,
    "deep within": jams([{"time": 0.5}]).replace("0.5", DEEP + "]" * len(DEEP)),
    "not utf-8": b"\xff\xfe\xfa{",
    "number": "3",
    "list": "[]",
    "no annotations": "{}",
    "annotations are a number": '{"annotations": 5}',
    "annotations are texts": '{"annotations": ["beat", null, [], 5]}',
    "only downbeats": jams([{"time": 0.5}], sandbox={"annotation_type": "downbeat"}),
    "sandbox a list": jams([{"time": 0.5}], sandbox=["beat"]),
    "type a dict": jams([{"time": 0.5}], sandbox={"annotation_type": {"beat": "beat"}}),
    "twice": json.dumps({"annotations": [{**BEAT, "data": [{"time": 0.5}]}] * 2}),
    "no data": jams(None),
    "data a dict of lists": jams({"time": [0.5]}),
    "no beats": jams([]),
    "observation a number": jams([0.5]),
    "time missing": jams([{"value": 1.0}]),
    "time a text": jams([{"time": "0.5"}]),
    "time true": jams([{"time": True}]),
    "time nan": jams([{"time": math.nan}]),
    "time negative": jams([{"time": -1e-9}]),
    "time infinite": '{"annotations": [' + json.dumps({**BEAT, "data": [{"time": 7}]}).replace("7", "1e999") + "]}",
    "time an integer beyond floats": jams([{"time": 10**400}]),
    "time of too many digits": jams([{"time": 12321}]).replace("12321", "9" * 5000),
    "duration a text": jams([{"time": 0.5, "duration": "long"}]),
    "repeated": jams([{"time": 0.5}, {"time": 0.5}]),
    "10 MB of nothing": json.dumps({"annotations": [{**BEAT, "data": [0] * 3_500_000}]}),
    "too large": b" " * (LARGEST + 1),
}


@pytest.mark.parametrize("suffix", ["beats", "jams"])
def test_hostile_annotations_are_reported_by_path_and_the_rest_is_read(tmp_path, suffix):
    hostile = HOSTILE_TEXT if suffix == "beats" else HOSTILE_JAMS
    name = "gtzan_metal_{:05d}.beats" if suffix == "beats" else "metal.{:05d}.wav.jams"
    for i in range(len(hostile) + 1):
        put(tmp_path / "metal" / f"metal.{i:05d}.wav", WAV)
    bad = [put(tmp_path / "notes" / name.format(i), content) for i, content in enumerate(hostile.values())]
    good = "0.5\t1\n" if suffix == "beats" else jams([{"time": 0.5}])
    put(tmp_path / "notes" / name.format(len(hostile)), good)
    listing = list_tracks(tmp_path, tmp_path / "notes")
    assert [track.id for track in listing.tracks if track.beats] == [f"metal.{len(hostile):05d}"]
    assert len(listing.tracks) == len(hostile) + 1
    assert [problem.path for problem in listing.problems] == bad
    assert all(problem.fatal and 20 < len(problem.what) < 250 for problem in listing.problems), listing.problems


def test_an_annotation_that_is_a_dangling_link_or_a_folder_is_reported_not_followed(tmp_path):
    put(tmp_path / "metal" / "metal.00000.wav", WAV)
    put(tmp_path / "metal" / "metal.00001.wav", WAV)
    (tmp_path / "notes" / "gtzan_metal_00000.beats").mkdir(parents=True)
    os.symlink("nowhere", tmp_path / "notes" / "gtzan_metal_00001.beats")
    put(tmp_path / "notes" / "gtzan_metal_00002.beats", "0.5\n")
    listing = list_tracks(tmp_path, tmp_path / "notes")
    assert [track.beats for track in listing.tracks] == [None, None]
    assert {(problem.path.name, problem.fatal) for problem in listing.problems} == {
        ("gtzan_metal_00001.beats", True),
        ("metal.00000.wav", False),
        ("metal.00001.wav", False),
    }


def test_numbering_a_hostile_amount_of_beats_takes_no_quadratic_memory():
    times = np.arange(0.0, 50_000.0, 0.25).tolist()
    numbers = [number for _, number in number_beats(times, times[::4])]
    assert numbers == [1, 2, 3, 4] * (len(times) // 4)


# --- the real files


def test_all_real_beat_files(shared):
    """Counts as in the fact sheet, and the numbers in the bar are those that the downbeats alone imply."""
    files = sorted((shared / "beat_this_annotations" / "gtzan" / "annotations" / "beats").glob("*.beats"))
    beats = {path.stem.removeprefix("gtzan_").replace("_", "."): read_beats(path) for path in files}
    counts = [len(found) for found in beats.values()]
    assert (len(beats), sum(counts), min(counts), max(counts)) == (999, 59_558, 19, 150)
    assert {name for name, found in beats.items() if found[0][1] == 0} == ONE_COLUMN
    largest = Counter(max(number for _, number in found) for found in beats.values())
    assert largest == {4: 933, 3: 49, 2: 7, 5: 4, 0: 6}
    late = {name: found[-1][0] for name, found in beats.items() if found[-1][0] > 30}
    assert (len(late), max(late.values())) == (33, 30.521)
    assert "reggae.00086" not in beats
    for path in files:  # numpy's reader as the second implementation
        table = np.loadtxt(path, ndmin=2)
        found = np.array(read_beats(path))
        assert np.array_equal(found[:, : table.shape[1]], table)
    for name, found in beats.items():
        if name not in ONE_COLUMN:
            downbeats = [time for time, number in found if number == 1]
            assert number_beats([time for time, _ in found], downbeats) == found


def test_the_real_clips_and_their_beats(shared):
    listing = list_tracks(shared / "genres", shared / "beat_this_annotations" / "gtzan")
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 5) | {"jazz": 4}
    assert listing.problems == ()
    after_the_end = {}
    for track in listing.tracks:
        name = f"gtzan_{track.id.replace('.', '_')}.beats"
        (path,) = (shared / "beat_this_annotations").rglob(name)
        assert track.beats == read_beats(path)
        late = track.beats[-1][0] - soundfile.info(track.stems[0].files[0]).duration
        if late > 0:
            after_the_end[track.id] = round(late, 2)
    assert after_the_end == {"reggae.00002": 0.10}  # the book says so


def test_the_real_rhythm_file_is_the_text_file_before_rounding(shared):
    path = shared / "GTZAN-Rhythm_excerpt" / "jams" / "blues.00000.wav.jams"
    (text,) = (shared / "beat_this_annotations").rglob("gtzan_blues_00000.beats")
    precise, rounded = np.array(read_beats(path)), np.array(read_beats(text))[:16]
    assert len(precise) == 16
    assert np.abs(precise[:, 0] - rounded[:, 0]).max() < 0.001
    assert np.array_equal(precise[:, 1], rounded[:, 1])
    assert read_jams(path, ["tag_open"]).annotations[0].observations == ()
    assert read_jams(path, []).duration == 30.0
