"""GTZAN and GuitarSet: layouts, forms of annotation, known faults, and files that mean harm."""

import json
import math
import os
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from conftest import SHARED

from phalar.datasets.annotated import (
    GENRES,
    GTZAN,
    GUITARSET,
    LARGEST,
    gtzan,
    guitarset,
    number_beats,
    read_beat_positions,
    read_beats,
    read_chords,
)
from phalar.datasets.listing import KNOWN_FAULT
from phalar.errors import InputError

ONE_COLUMN = {f"jazz.000{n}" for n in ("03", "09", "10", "14", "18", "20")}


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips, all real beat files, and three real annotations of GuitarSet."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip(f"the real samples are not at {SHARED / 'fixtures'}")
    return SHARED / "fixtures"


def put(path: Path, content: bytes | str = b"RIFF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def beats_document(**lists: list[float]) -> str:
    """As GTZAN-Rhythm has them: an annotation for each list, told apart by the sandbox alone."""
    annotations = [
        {
            "namespace": "beat",
            "data": [{"time": time, "duration": 0.0, "value": 1.0} for time in times],
            "sandbox": {"annotation_type": kind.replace("_", "-")},
            "duration": math.nan,
        }
        for kind, times in lists.items()
    ]
    return json.dumps({"annotations": annotations, "file_metadata": {"duration": 30.0}})


# GTZAN


@pytest.mark.parametrize(
    ("place", "root"),
    [("genres", "genres"), ("genres", ""), ("Data/genres_original", "Data"), ("Data/genres_original", "")],
)
def test_a_whole_copy_of_gtzan_is_found_from_any_of_its_folders(tmp_path, place, root):
    for genre in GENRES:
        for n in range(100):
            put(tmp_path / place / genre / f"{genre}.{n:05d}.wav")
        put(tmp_path / place / f"{genre}.mf", "list of files")
        put(tmp_path / place / genre / f"._{genre}.00000.wav", b"\0\5\x16\7")
        put(tmp_path / "Data" / "images_original" / genre / f"{genre}00000.png", b"\x89PNG")
    put(tmp_path / place / "pop" / "pop.00007.au", b".snd")
    listing = gtzan(tmp_path / root)
    assert Counter(track.split for track in listing.tracks) == GTZAN.expected
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 100)
    for track in listing.tracks:
        assert ([stem.name for stem in track.stems], track.beats, track.chords) == (["mix"], None, None)
        assert [file.name for file in track.files] == [f"{track.id}.wav"]
    assert not [problem for problem in listing.problems if problem.fatal]
    beats = tmp_path / "beats"
    for track in listing.tracks[:-1]:
        if track.id != "reggae.00086":
            put(beats / f"gtzan_{track.id.replace('.', '_')}.beats", "0.5\t1\n1.0\t2\n")
    listing = gtzan(tmp_path / root, beats)
    assert [track.id for track in listing.tracks if track.beats is None] == ["reggae.00086", "rock.00099"]
    notes = {problem.path.stem: problem.what for problem in listing.problems if problem.path.suffix == ".wav"}
    assert [what.startswith(KNOWN_FAULT) for what in notes.values()] == [True, False]


def test_what_is_no_clip_is_reported_and_a_root_without_any_refused(tmp_path):
    folder = put(tmp_path / "x" / "blues" / "blues.00000.au").parent
    strange = {put(folder / name) for name in ("my blues.00000.wav", "rock.00000.wav", "blues.0001.wav")}
    (folder / "blues.00002.wav").mkdir()
    os.symlink("blues.00003.wav", folder / "blues.00003.wav")
    os.symlink(put(tmp_path / "elsewhere"), folder / "blues.00004.wav")
    os.mkfifo(folder / "blues.00005.wav")  # reading it would wait for ever
    listing = gtzan(tmp_path / "x")
    assert [track.id for track in listing.tracks] == ["blues.00000", "blues.00004"]
    assert {p.path for p in listing.problems if p.fatal} == strange | {folder / "blues.00003.wav"}
    with pytest.raises(InputError, match=r"blues/blues.00000.wav"):
        gtzan(tmp_path)
    with pytest.raises(InputError, match="not a folder"):
        gtzan(tmp_path / "absent")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"gtzan_blues_00000\.beats or blues\.00000\.wav\.jams"):
        gtzan(tmp_path / "x", tmp_path / "none")


def test_all_forms_of_beats_give_the_same_at_any_depth_of_folder(tmp_path):
    put(tmp_path / "genres" / "blues" / "blues.00000.wav")
    text = "0.5\t3\n1.0\t1\n1.5\t2\n2.0\t3\n2.5\t1\n"
    put(tmp_path / "a" / "gtzan" / "annotations" / "beats" / "gtzan_blues_00000.beats", text)
    put(tmp_path / "b" / "beats" / "gtzan_blues_00000.beats", text)
    lists = {"8th_note": [0.75, 1.25], "downbeat": [1.0, 2.5], "beat": [2.5, 2.0, 1.5, 1.0, 0.5]}
    put(tmp_path / "c" / "jams" / "blues.00000.wav.jams", beats_document(**lists))
    for annotations in (
        "a",
        "a/gtzan",
        "a/gtzan/annotations",
        "a/gtzan/annotations/beats",
        "b",
        "b/beats",
        "c",
        "c/jams",
    ):
        listing = gtzan(tmp_path / "genres", tmp_path / annotations)
        assert listing.tracks[0].beats == ((0.5, 3), (1.0, 1), (1.5, 2), (2.0, 3), (2.5, 1))
        assert listing.problems == ()
    for other in ("\ufeff0.5\t1\r\n1.0\t2\r\n", "0.5 1\n\n1.0 2", "5.000e-01\t1.000e+00\n1.0e+00\t2.0e+00\n"):
        assert read_beats(put(tmp_path / "x.beats", other)) == ((0.5, 1), (1.0, 2))
    assert read_beats(put(tmp_path / "x.beats", "0.5\n1.0\n")) == ((0.5, 0), (1.0, 0))


@pytest.mark.parametrize(
    ("downbeats", "numbers"),
    [
        ([], [0, 0, 0, 0, 0, 0]),
        ([1], [1, 2, 3, 4, 5, 6]),
        ([3], [0, 0, 1, 2, 3, 4]),  # how long the bar of the pick-up is, nothing tells
        ([2, 4], [2, 1, 2, 1, 2, 3]),
        ([4, 6], [0, 0, 0, 1, 2, 1]),  # a pick-up longer than the bar
        ([3.02, 5.98], [2, 3, 1, 2, 3, 1]),  # within 50 ms
        ([3.4, 6], [0, 0, 0, 0, 0, 0]),  # off the beat
        ([3, 3.01], [0, 0, 0, 0, 0, 0]),  # two on one beat
        ([-5, 3], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_numbers_follow_from_downbeats_or_stay_unknown(downbeats, numbers):
    times = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert number_beats(times, downbeats) == tuple(zip(times, numbers, strict=True))
    many = np.arange(0.0, 50_000.0, 0.25).tolist()  # a hostile amount takes no quadratic memory
    assert [number for _, number in number_beats(many, many[::4])] == [1, 2, 3, 4] * (len(many) // 4)


DEEP = "[" * 100_000
BEAT = {"namespace": "beat", "sandbox": {"annotation_type": "beat"}}


def jams(data: object, **fields: object) -> str:
    return json.dumps({"annotations": [{**BEAT, "data": data, **fields}]})


HOSTILE_TEXT = [
    b"",
    b"one\ttwo\n",
    bytes(range(256)),
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"-0.5\t1\n0.5\t2\n",
    b"nan\t1\n",
]
HOSTILE_TEXT += [b"0.5\t1\ninf\t2\n", b"0.5\t1\n1e300\t2\n", b"9" * 5000 + b"\t1\n", b"0.5\t1\n1.5\t2\n1.0\t3\n"]
HOSTILE_TEXT += [b"0.5\t1\n0.5\t2\n", b"0.5\t1\n1.0\n", b"0.5\t1\t7\n", b"0.5\t0\n", b"0.5\t1.5\n", b"0.5\t1e30\n"]
HOSTILE_TEXT += [b"0.5\tnan\n", b"0" * (LARGEST + 1)]
HOSTILE_JAMS = ["", jams([{"time": 0.5}])[:-7], DEEP, jams([{"time": 0.5}]).replace("0.5", DEEP + "]" * len(DEEP))]
HOSTILE_JAMS += [b"\xff\xfe\xfa{", "3", "[]", "{}", '{"annotations": 5}', '{"annotations": ["beat", null, [], 5]}']
HOSTILE_JAMS += [
    jams([{"time": 0.5}], sandbox={"annotation_type": "downbeat"}),
    jams([{"time": 0.5}], sandbox=["beat"]),
]
HOSTILE_JAMS += [
    jams([{"time": 0.5}], sandbox={"annotation_type": {"beat": "beat"}}),
    jams(None),
    jams({"time": [0.5]}),
]
HOSTILE_JAMS += [json.dumps({"annotations": [{**BEAT, "data": [{"time": 0.5}]}] * 2}), jams([]), jams([0.5])]
HOSTILE_JAMS += [jams([{"time": time}]) for time in ("0.5", True, math.nan, math.inf, -1e-9, 10**400, None)]
HOSTILE_JAMS += [jams([{"time": 12321}]).replace("12321", "9" * 5000), jams([{"time": 0.5, "duration": "long"}])]
HOSTILE_JAMS += [jams([{"time": 0.5}, {"time": 0.5}]), jams([0] * 3_500_000), " " * (LARGEST + 1)]


@pytest.mark.parametrize("suffix", ["beats", "jams"])
def test_hostile_beats_are_reported_by_path_and_the_rest_is_read(tmp_path, suffix):
    hostile = HOSTILE_TEXT if suffix == "beats" else HOSTILE_JAMS
    name = "gtzan_metal_{:05d}.beats" if suffix == "beats" else "metal.{:05d}.wav.jams"
    for i in range(len(hostile) + 1):
        put(tmp_path / "metal" / f"metal.{i:05d}.wav")
    bad = [put(tmp_path / "notes" / name.format(i), content) for i, content in enumerate(hostile)]
    put(tmp_path / "notes" / name.format(len(hostile)), "0.5\t1\n" if suffix == "beats" else jams([{"time": 0.5}]))
    listing = gtzan(tmp_path, tmp_path / "notes")
    assert len(listing.tracks) == len(hostile) + 1
    assert [problem.path for problem in listing.problems] == bad
    assert [track.id for track in listing.tracks if track.beats] == [f"metal.{len(hostile):05d}"]
    assert all(problem.fatal and 20 < len(problem.what) < 250 for problem in listing.problems), listing.problems


def test_all_real_beat_files(shared):
    """Counts as in the fact sheet, and the numbers in the bar are those that the downbeats alone imply."""
    files = sorted((shared / "gtzan" / "beat_this_annotations" / "gtzan" / "annotations" / "beats").glob("*.beats"))
    beats = {path.stem.removeprefix("gtzan_").replace("_", "."): read_beats(path) for path in files}
    counts = [len(found) for found in beats.values()]
    assert (len(beats), sum(counts), min(counts), max(counts)) == (999, 59_558, 19, 150)
    assert {name for name, found in beats.items() if found[0][1] == 0} == ONE_COLUMN
    largest = Counter(max(number for _, number in found) for found in beats.values())
    assert largest == {4: 933, 3: 49, 2: 7, 5: 4, 0: 6}
    late = [found[-1][0] for found in beats.values() if found[-1][0] > 30]
    assert (len(late), max(late)) == (33, 30.521)
    for path, (name, found) in zip(files, beats.items(), strict=True):
        table = np.loadtxt(path, ndmin=2)  # the second implementation
        assert np.array_equal(np.array(found)[:, : table.shape[1]], table)
        downbeats = [time for time, number in found if number == 1]
        assert name in ONE_COLUMN or number_beats([time for time, _ in found], downbeats) == found


def test_the_real_clips_and_the_rhythm_file_that_is_the_text_file_before_rounding(shared):
    listing = gtzan(shared / "gtzan" / "genres", shared / "gtzan" / "beat_this_annotations" / "gtzan")
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 5) | {"jazz": 4}
    assert listing.problems == ()
    assert all(track.beats for track in listing.tracks)
    precise = np.array(read_beats(shared / "gtzan" / "GTZAN-Rhythm_excerpt" / "jams" / "blues.00000.wav.jams"))
    (text,) = (shared / "gtzan" / "beat_this_annotations").rglob("gtzan_blues_00000.beats")
    rounded = np.array(read_beats(text))[:16]
    assert len(precise) == 16
    assert np.abs(precise[:, 0] - rounded[:, 0]).max() < 0.001
    assert np.array_equal(precise[:, 1], rounded[:, 1])


# GuitarSet

PIECES = """
BN1-129-Eb BN1-147-Gb BN2-131-B BN2-166-Ab BN3-119-G BN3-154-E Funk1-97-C Funk1-114-Ab Funk2-108-Eb Funk2-119-G
Funk3-98-A Funk3-112-C# Jazz1-130-D Jazz1-200-B Jazz2-110-Bb Jazz2-187-F# Jazz3-137-Eb Jazz3-150-C Rock1-90-C#
Rock1-130-A Rock2-85-F Rock2-142-D Rock3-117-Bb Rock3-148-C SS1-68-E SS1-100-C# SS2-88-F SS2-107-Ab SS3-84-Bb SS3-98-C
"""
PIECES = re.findall(r"\S+", PIECES)
PERFORMED = {"data_source": "Semi-automatic chord transcription with manual verification", "version": 0.9}


def grid(piece: str) -> list[tuple[float, float, str]]:
    """The lead sheet of a piece, made from its name alone: progression, tempo and key in 4/4 (the rule in the book)."""
    progression, tempo, key = re.fullmatch(r"[A-Za-z]+(\d)-(\d+)-(.+)", piece).groups()
    sheet = {  # semitones above the key, quality, bars
        "1": [(0, "maj", 4), (5, "maj", 2), (0, "maj", 2), (7, "maj", 1), (5, "maj", 1), (0, "maj", 2)],
        "2": [(5, "min", 1), (10, "7", 1), (3, "maj", 1), (8, "maj", 1), (2, "hdim7", 1), (7, "7", 1), (0, "min", 2)]
        * 2,
        "3": [(degree, "min" if degree in (4, 9) else "maj", 1) for degree in (0, 7, 9, 4, 5, 0, 5, 7)] * 2,
    }[progression]
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[key[0]] + key.count("#") - key.count("b")
    chords, bar = [], 0
    for degree, quality, bars in sheet:
        start, bar = bar, bar + bars
        label = f"{names[(tonic + degree) % 12]}:{quality}"
        chords.append((start * 240 / int(tempo), bar * 240 / int(tempo), label))
    return chords


def chord_annotation(chords, metadata=None, durations=True) -> dict:
    data = [{"time": s, "duration": e - s if durations else None, "value": label} for s, e, label in chords]
    about = {"data_source": "", "version": ""} | (metadata or {})
    return {"namespace": "chord", "data": data, "annotation_metadata": about, "sandbox": {}}


def beat_annotation(times) -> dict:
    data = [{"time": t, "duration": 0.0, "value": {"position": i % 4 + 1, "measure": 1}} for i, t in enumerate(times)]
    return {"namespace": "beat_position", "data": data}


def document(*annotations: dict, duration: object = 20.0) -> str:
    contour = {"namespace": "pitch_contour", "time": 543.742, "data": {"time": [0.0], "value": [None]}}
    return json.dumps({"annotations": [contour, *annotations], "file_metadata": {"duration": duration}})


def take(root: Path, title: str, content: str | bytes | None) -> Path | None:
    """A recording and its annotation."""
    put(root / "audio_mono-mic" / f"{title}_mic.wav")
    return put(root / "annotation" / f"{title}.jams", content) if content is not None else None


SHEET = [(0.0, 10.0, "D#:maj"), (10.0, 20.0, "A#:7")]
PLAYED = [(0.0, 10.0, "D#:sus2(7)/1"), (10.0, 20.0, "A#:7(*5)/b7")]
BOTH = (chord_annotation(SHEET), chord_annotation(PLAYED, PERFORMED))


def test_a_whole_copy_gives_180_takes_of_a_mode_and_the_published_shares_of_chords(tmp_path):
    """5,485 s of accompaniment: 64.2 % major, 22.4 % minor, 9.0 % sevenths, 4.5 % half-diminished; 42 labels, no N."""
    for title in (
        f"{player:02d}_{piece}_{mode}" for player in range(6) for piece in PIECES for mode in ("comp", "solo")
    ):
        chords = grid(title[3:-5])
        annotations = chord_annotation(chords), chord_annotation(chords, PERFORMED)
        take(tmp_path, title, document(*annotations, duration=chords[-1][1]))
    put(tmp_path / "annotation" / "._00_BN1-129-Eb_comp.jams", b"\0\5\x16\7")
    put(tmp_path / "audio_mono-pickup_mix" / "00_BN1-129-Eb_comp_mix.wav")
    for mode in ("solo", "comp"):
        listing = guitarset(tmp_path, mode=mode)
        assert listing.problems == ()
        assert Counter(track.split for track in listing.tracks) == GUITARSET.expected == {"test": 180}
        assert Counter(track.tags["piece"] for track in listing.tracks) == dict.fromkeys(PIECES, 6)
        assert Counter(track.tags["progression"] for track in listing.tracks) == {1: 60, 2: 60, 3: 60}
        for track in listing.tracks:
            tags = track.tags
            assert (
                track.files[0].name == f"{tags['player']}_{tags['piece']}_{mode}_mic.wav" == f"{tags['title']}_mic.wav"
            )
            assert tags["piece"] == f"{tags['style']}{tags['progression']}-{tags['tempo']}-{tags['key']}"
            assert track.id.replace("s_", "#_") == tags["title"] or "#" not in tags["title"]
    seconds, labels = Counter(), {label for track in listing.tracks for _, _, label in track.chords}
    for start, end, label in (chord for track in listing.tracks for chord in track.chords):
        seconds[label.split(":")[1]] += end - start
    total = sum(seconds.values())
    assert (round(total), len(labels)) == (5485, 42)
    shares = {quality: round(100 * length / total, 1) for quality, length in seconds.items()}
    assert shares == {"maj": 64.2, "min": 22.4, "7": 9.0, "hdim7": 4.5}


def test_the_two_annotations_are_told_apart_by_metadata_in_either_order_or_none_is_taken(tmp_path):
    for annotations in (BOTH, BOTH[::-1]):
        take(tmp_path, "00_BN1-129-Eb_comp", document(*annotations))
        for chords, expected in (("instructed", SHEET), ("performed", PLAYED)):
            assert guitarset(tmp_path, chords=chords).tracks[0].chords == tuple(expected)
    for annotations in (BOTH[:1] * 2, BOTH[1:], [], [*BOTH, BOTH[0]]):
        path = take(tmp_path, "00_BN1-129-Eb_comp", document(*annotations))
        listing = guitarset(tmp_path)
        assert listing.tracks[0].chords is None
        assert [(problem.path, "instructed" in problem.what) for problem in listing.problems] == [(path, True)]


def test_a_chord_without_a_length_lasts_until_the_next_and_the_last_until_the_file_ends(tmp_path):
    path = tmp_path / "x.jams"
    for durations in (document(chord_annotation(PLAYED, PERFORMED, durations=False)), document(BOTH[1])):
        put(path, durations.replace('"duration": null', '"duration": NaN'))
        assert read_chords(path, "performed") == tuple(PLAYED)
    for unknown in (None, math.nan):
        put(path, document(chord_annotation(PLAYED, PERFORMED, durations=False), duration=unknown))
        with pytest.raises(InputError, match="does not end"):
            read_chords(path, "performed")
    labels = ["Eb:maj", "N", "D#:sus2(7)/1", "C#:7(*5)/1", "B:maj6(b5,*5)/1", "Gb:min7/b3", "X"]
    chords = [(i / 3, (i + 1) / 3 + 1e-9, label) for i, label in enumerate(labels)]  # rounding makes them overlap
    found = read_chords(put(path, document(chord_annotation(chords[::-1]))), "instructed")
    assert [label for _, _, label in found] == labels
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(found))
    put(path, document(chord_annotation([(0.0, 1.0, "C:maj"), (1.5, 2.0, "F:maj")])))
    assert [(start, end) for start, end, _ in read_chords(path, "instructed")] == [(0, 1), (1.5, 2)]  # a gap stays


def test_a_take_without_one_of_its_files_is_named_and_wrong_options_refused(tmp_path):
    with pytest.raises(InputError, match="audio_mono-mic"):
        guitarset(tmp_path)
    take(tmp_path, "00_BN1-129-Eb_comp", document(*BOTH, beat_annotation([0.0, 0.5, 1.0])))
    take(tmp_path, "01_BN1-129-Eb_comp", None)
    silent = put(tmp_path / "annotation" / "02_BN1-129-Eb_comp.jams", document(*BOTH))
    strange = take(tmp_path, "notes", "{}")
    listing, sound = guitarset(tmp_path), tmp_path / "audio_mono-mic"
    assert [(track.id[:2], track.chords is None, track.beats) for track in listing.tracks] == [
        ("00", False, ((0.0, 1), (0.5, 2), (1.0, 3))),
        ("01", True, None),
    ]
    assert {(problem.path, problem.fatal) for problem in listing.problems} == {
        (sound / "01_BN1-129-Eb_comp_mic.wav", False),
        (silent, True),
        (strange, True),
        (sound / "notes_mic.wav", True),
    }
    for option, value in (("mode", "both"), ("chords", "first")):
        with pytest.raises(InputError, match=f"{option}='{value}'"):
            guitarset(tmp_path, **{option: value})


def one_chord(*chords: tuple[float, float, object]) -> str:
    return document(chord_annotation(chords))


HOSTILE = ["", b"RIFF\xff\xff\xff\xff", document(*BOTH)[:-40], '{"annotations": ' + "[" * 200_000, '{"annotations": 1}']
HOSTILE += [document(), document(chord_annotation([])), one_chord((0.0, 1.0, 7)), one_chord((0.0, 1.0, " "))]
HOSTILE += [
    one_chord((-1.0, 1.0, "C")),
    one_chord((2.0, 1.0, "C")),
    one_chord((1.0, 1.0, "C")),
    one_chord((1, 1e300, "C")),
]
HOSTILE += [one_chord((10**400, 10**400 + 1, "C")), one_chord((0.0, 2.0, "C"), (1.0, 3.0, "F"))]
HOSTILE += [one_chord((0.0, 1.0, "C"), (0.0, 1.0, "F")), document(*BOTH, duration="long"), document(*BOTH, duration=-3)]
HOSTILE += [json.dumps({"annotations": [{**BOTH[1], "annotation_metadata": ["x"]}, BOTH[0]]})]
HOSTILE += [document(*BOTH, {"namespace": "beat_position", "data": [{"time": 0.0, "value": 1}]})]
HOSTILE += [document(*BOTH, {"namespace": "beat_position", "data": [{"time": 0, "value": {"position": 0}}]})]
HOSTILE += [
    document(*BOTH, beat_annotation([0.0]), beat_annotation([0.0])),
    document(*BOTH, beat_annotation([0.5, 0.5])),
]


def test_hostile_chords_are_reported_by_path_and_the_rest_is_read(tmp_path):
    bad = [take(tmp_path, f"{i:02d}_SS3-98-C_comp", content) for i, content in enumerate(HOSTILE)]
    take(tmp_path, "99_SS3-98-C_comp", document(*BOTH))
    listing = guitarset(tmp_path)
    assert len(listing.tracks) == len(HOSTILE) + 1
    assert sorted(problem.path for problem in listing.problems) == bad
    assert all(problem.fatal and len(problem.what) < 250 for problem in listing.problems)
    assert [track.id for track in listing.tracks if track.chords] == ["99_SS3-98-C_comp"]


def test_the_real_lead_sheets_follow_from_the_names_and_performed_chords_differ(shared):
    folder, roots = shared / "guitarset" / "annotation", []
    for title in ("00_BN1-129-Eb_comp", "00_BN1-147-Gb_comp"):
        path, expected = folder / f"{title}.jams", grid(title[3:-5])
        found, beats = read_chords(path, "instructed"), read_beat_positions(path)
        assert [label for _, _, label in found] == [label for _, _, label in expected]
        starts = [[start for start, _, _ in chords] for chords in (found, expected)]
        assert np.abs(np.subtract(*starts)).max() < 1e-6
        assert abs(found[-1][1] - expected[-1][1]) < 0.01
        assert np.abs(np.array(beats)[:, 0] - 60 / int(title.split("-")[1]) * np.arange(48)).max() < 1e-6
        assert [number for _, number in beats] == [1, 2, 3, 4] * 12
    for path in sorted(folder.glob("*.jams")):
        sheet, played = (read_chords(path, chords) for chords in ("instructed", "performed"))
        assert [start for start, _, _ in sheet] == pytest.approx([start for start, _, _ in played], abs=1e-6)
        assert all(asked != done for (_, _, asked), (_, _, done) in zip(sheet, played, strict=True))
        parsed = [mir_eval.chord.encode_many([label for _, _, label in chords])[0] for chords in (sheet, played)]
        assert np.array_equal(*parsed)  # the same roots
        roots.extend(parsed[0])
    assert len(roots) == 13
    (track,) = guitarset(shared / "guitarset", mode="solo").tracks
    assert (track.chords, [number for _, number in track.beats]) == (((0.0, 2.0, "G:maj"),), [2, 3, 4])
