"""GTZAN and GuitarSet: layouts, forms of annotation, known faults, and files that mean harm."""

import json
import math
import re
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import mir_eval
import numpy as np
import pytest
from conftest import SHARED

from phalar.datasets.annotated import GENRES, read_beats, read_chords, read_take
from phalar.datasets.files import KNOWN_FAULT
from phalar.datasets.listing import Copy
from phalar.datasets.prepare import DATASETS, dataset
from phalar.errors import InputError

ONE_COLUMN = {f"jazz.000{n}" for n in ("03", "09", "10", "14", "18", "20")}
PERFORMED = {"data_source": "Semi-automatic chord transcription with manual verification", "version": 0.9}
SHEET = [(0.0, 10.0, "D#:maj"), (10.0, 20.0, "A#:7")]
PLAYED = [(0.0, 10.0, "D#:sus2(7)/1"), (10.0, 20.0, "A#:7(*5)/b7")]


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


def name_of(track) -> str:
    return track.audio.stems[0][0].name


def document(*annotations: dict, duration: object = 20.0) -> str:
    contour = {"namespace": "pitch_contour", "time": 543.742, "data": {"time": [0.0], "value": [None]}}
    return json.dumps({"annotations": [contour, *annotations], "file_metadata": {"duration": duration}})


def chord_annotation(chords, metadata=None, durations=True) -> dict:
    data = [{"time": s, "duration": e - s if durations else math.nan, "value": label} for s, e, label in chords]
    return {"namespace": "chord", "data": data, "annotation_metadata": {"data_source": ""} | (metadata or {})}


def bars(times) -> dict:
    data = [{"time": t, "duration": 0.0, "value": {"position": i % 4 + 1, "measure": 1}} for i, t in enumerate(times)]
    return {"namespace": "beat_position", "data": data}


BOTH = (chord_annotation(SHEET), chord_annotation(PLAYED, PERFORMED))


def take(root: Path, title: str, content: str | bytes | None) -> Path | None:
    """A recording and its annotation."""
    put(root / "audio_mono-mic" / f"{title}_mic.wav")
    return put(root / "annotation" / f"{title}.jams", content) if content is not None else None


# GTZAN


@pytest.mark.parametrize(("place", "root"), [("genres", "genres"), ("genres", ""), ("Data/genres_original", "")])
def test_a_whole_copy_of_gtzan_is_found_from_any_of_its_folders(tmp_path, place, root):
    for genre in GENRES:
        for n in range(100):
            put(tmp_path / place / genre / f"{genre}.{n:05d}.wav")
        put(tmp_path / place / f"{genre}.mf", "list of files")
        put(tmp_path / place / genre / f"._{genre}.00000.wav", b"\0\5\x16\7")
        put(tmp_path / "Data" / "images_original" / genre / f"{genre}00000.png", b"\x89PNG")
    put(tmp_path / place / "pop" / "pop.00007.au", b".snd")
    listing = dataset("gtzan").list(tmp_path / root)
    assert Counter(track.split for track in listing.tracks) == DATASETS["gtzan"].expected
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 100)
    assert all(
        (track.stems, track.beats, name_of(track)) == (("mix",), None, f"{track.id}.wav") for track in listing.tracks
    )
    assert not [problem for problem in listing.problems if problem.serious]
    beats = tmp_path / "annotated"
    for track in listing.tracks[:-1]:
        if track.id != "reggae.00086":
            put(beats / f"gtzan_{track.id.replace('.', '_')}.beats", "0.5\t1\n1.0\t2\n")
    listing = dataset("gtzan").list(tmp_path / root, annotations=beats)
    assert [track.id for track in listing.tracks if track.beats is None] == ["reggae.00086", "rock.00099"]
    assert [problem.what.startswith(KNOWN_FAULT) for problem in listing.problems] == [True, False]
    with pytest.raises(InputError, match=r"gtzan_blues_00000\.beats"):
        dataset("gtzan").list(tmp_path / root, annotations=tmp_path / "Data" / "images_original")
    with pytest.raises(InputError, match=r"blues/blues.00000.wav"):
        dataset("gtzan").list(beats)


def test_beats_are_found_at_any_depth_of_folder_and_read_in_any_spacing(tmp_path):
    put(tmp_path / "genres" / "blues" / "blues.00000.wav")
    put(tmp_path / "a" / "gtzan" / "annotations" / "beats" / "gtzan_blues_00000.beats", "0.5\t3\n1.0\t1\n")
    for place in ("a", "a/gtzan", "a/gtzan/annotations", "a/gtzan/annotations/beats"):
        listing = dataset("gtzan").list(tmp_path / "genres", annotations=tmp_path / place)
        assert listing.tracks[0].beats.tolist() == [[0.5, 3], [1.0, 1]]
        assert listing.problems == ()
    for other in ("0.5\t1\r\n1.0\t2\r\n", "0.5 1\n\n1.0 2", "5.000e-01\t1.000e+00\n1.0e+00\t2.0e+00\n"):
        assert read_beats(other).tolist() == [[0.5, 1], [1.0, 2]]
    assert read_beats("0.5\n1.0\n").tolist() == [[0.5, 0], [1.0, 0]]


def one_chord(*chords: tuple[float, float, object]) -> str:
    return document(chord_annotation(chords))


ENDS = ((-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1, 1e300), (10**400, 10**401))
HOSTILE = {
    "beats": (
        b"", b"one\ttwo\n", bytes(range(256)), b"-0.5\t1\n0.5\t2\n", b"nan\t1\n", b"0.5\t1\n1e300\t2\n",
        b"9" * 5000 + b"\t1\n", b"0.5\t1\n1.5\t2\n1.0\t3\n", b"0.5\t1\n0.5\t2\n", b"0.5\t1\n1.0\n", b"0.5\t1\t7\n",
        b"0.5\t0\n", b"0.5\t1.5\n", b"0.5\t1e30\n", b"0.5\tnan\n", b"0" * (17 << 20),
    ),
    "chord.jams": (
        "", "{", "{}", '{"annotations": 5}', '{"annotations": ["chord", null, 5]}', '{"annotations": ' + "[" * 100_000,
        b"\xff\xfe\xfa{", " " * (17 << 20), one_chord((12321, 12322, "C")).replace("12321", "9" * 5000),
        *(one_chord((time, 1.0, "C")) for time in (math.nan, math.inf, -1e-9)),
        document(*BOTH)[:-40], document(), document(*BOTH[:1] * 2), document(*BOTH[1:]), one_chord(),
        *(one_chord((0.0, 1.0, label)) for label in (7, " ", None)),
        *(one_chord((start, end, "C")) for start, end in ENDS),
        one_chord((0.0, 2.0, "C"), (1.0, 3.0, "F")), one_chord((0.0, 1.0, "C"), (0.0, 1.0, "F")),
        document(*BOTH, bars([0.0]), bars([0.0])), document(*BOTH, bars([0.5, 0.5])), document(*BOTH, bars([-1.0])),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_annotations_are_one_clear_problem_each(tmp_path, kind):
    parse = partial(read_take, chords="instructed") if kind == "chord.jams" else read_beats
    for i, content in enumerate(HOSTILE[kind]):
        copy, path = Copy(tmp_path), put(tmp_path / f"{i}.{kind}", content)
        assert copy.read(path, parse) is None, content[:200]
        (problem,) = copy.problems
        assert (problem.path, problem.serious) == (path, True)
        assert len(problem.what) < 250


def test_all_real_beat_files(shared):
    """Counts as in the fact sheet."""
    files = sorted((shared / "gtzan" / "beat_this_annotations" / "gtzan" / "annotations" / "beats").glob("*.beats"))
    beats = {path.stem.removeprefix("gtzan_").replace("_", "."): read_beats(path.read_text()) for path in files}
    counts = [len(found) for found in beats.values()]
    assert (len(beats), sum(counts), min(counts), max(counts)) == (999, 59_558, 19, 150)
    assert {name for name, found in beats.items() if found[0, 1] == 0} == ONE_COLUMN
    assert Counter(found[:, 1].max() for found in beats.values()) == {4: 933, 3: 49, 2: 7, 5: 4, 0: 6}
    late = [found[-1, 0] for found in beats.values() if found[-1, 0] > 30]
    assert (len(late), max(late)) == (33, 30.521)
    for path, found in list(zip(files, beats.values(), strict=True))[::10]:
        table = np.loadtxt(path, ndmin=2)  # the second implementation
        assert np.array_equal(found[:, : table.shape[1]], table)


def test_the_real_clips(shared):
    beats = shared / "gtzan" / "beat_this_annotations" / "gtzan"
    listing = dataset("gtzan").list(shared / "gtzan" / "genres", annotations=beats)
    assert Counter(track.tags["genre"] for track in listing.tracks) == dict.fromkeys(GENRES, 5) | {"jazz": 4}
    assert listing.problems == ()
    assert all(track.beats is not None for track in listing.tracks)


# GuitarSet

PIECES = """
BN1-129-Eb BN1-147-Gb BN2-131-B BN2-166-Ab BN3-119-G BN3-154-E Funk1-97-C Funk1-114-Ab Funk2-108-Eb Funk2-119-G
Funk3-98-A Funk3-112-C# Jazz1-130-D Jazz1-200-B Jazz2-110-Bb Jazz2-187-F# Jazz3-137-Eb Jazz3-150-C Rock1-90-C#
Rock1-130-A Rock2-85-F Rock2-142-D Rock3-117-Bb Rock3-148-C SS1-68-E SS1-100-C# SS2-88-F SS2-107-Ab SS3-84-Bb SS3-98-C
"""
PIECES = re.findall(r"\S+", PIECES)


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


def test_a_whole_copy_gives_180_takes_of_a_mode_and_the_published_shares_of_chords(tmp_path):
    """5,485 s of accompaniment: 64.2 % major, 22.4 % minor, 9.0 % sevenths, 4.5 % half-diminished; 42 labels, no N."""
    titles = [f"{player:02d}_{piece}_{mode}" for player in range(6) for piece in PIECES for mode in ("comp", "solo")]
    for title in titles:
        chords = grid(title[3:-5])
        annotations = chord_annotation(chords), chord_annotation(chords, PERFORMED)
        take(tmp_path, title, document(*annotations, duration=chords[-1][1]))
    put(tmp_path / "annotation" / "._00_BN1-129-Eb_comp.jams", b"\0\5\x16\7")
    put(tmp_path / "audio_mono-pickup_mix" / "00_BN1-129-Eb_comp_mix.wav")
    for mode in ("solo", "comp"):
        listing = dataset("guitarset").list(tmp_path, mode=mode)
        assert listing.problems == ()
        assert Counter(track.split for track in listing.tracks) == DATASETS["guitarset"].expected == {"test": 180}
        assert Counter(track.tags["piece"] for track in listing.tracks) == dict.fromkeys(PIECES, 6)
        assert Counter(track.tags["progression"] for track in listing.tracks) == {1: 60, 2: 60, 3: 60}
        for track in listing.tracks:
            tags = track.tags
            assert name_of(track) == f"{tags['player']}_{tags['piece']}_{mode}_mic.wav" == f"{tags['title']}_mic.wav"
            assert tags["piece"] == f"{tags['style']}{tags['progression']}-{tags['tempo']}-{tags['key']}"
            assert track.id == tags["title"].replace("#", "s")
    seconds, labels = Counter(), {label for track in listing.tracks for _, _, label in track.chords}
    for start, end, label in (chord for track in listing.tracks for chord in track.chords):
        seconds[label.split(":")[1]] += end - start
    total = sum(seconds.values())
    assert (round(total), len(labels)) == (5485, 42)
    shares = {quality: round(100 * length / total, 1) for quality, length in seconds.items()}
    assert shares == {"maj": 64.2, "min": 22.4, "7": 9.0, "hdim7": 4.5}


def test_the_two_annotations_are_told_apart_by_metadata_in_either_order_and_ends_are_found(tmp_path):
    for annotations in (BOTH, BOTH[::-1]):
        for chords, expected in (("instructed", SHEET), ("performed", PLAYED)):
            assert read_chords(document(*annotations), chords) == tuple(expected)
    open_ended = chord_annotation(PLAYED, PERFORMED, durations=False)
    assert read_chords(document(open_ended), "performed") == tuple(PLAYED)
    for unknown in (None, math.nan):
        with pytest.raises(InputError, match="does not end"):
            read_chords(document(open_ended, duration=unknown), "performed")
    labels = ["Eb:maj", "N", "D#:sus2(7)/1", "C#:7(*5)/1", "B:maj6(b5,*5)/1", "Gb:min7/b3", "X"]
    chords = [(i / 3, (i + 1) / 3 + 1e-9, label) for i, label in enumerate(labels)]  # rounding makes them overlap
    found = read_chords(one_chord(*chords[::-1]), "instructed")
    assert [label for _, _, label in found] == labels
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(found))
    found = read_chords(one_chord((0.0, 1.0, "C:maj"), (1.5, 2.0, "F:maj")), "instructed")
    assert [(start, end) for start, end, _ in found] == [(0, 1), (1.5, 2)]  # a gap stays


def test_a_take_without_one_of_its_files_is_named_and_wrong_options_refused(tmp_path):
    with pytest.raises(InputError, match="audio_mono-mic"):
        dataset("guitarset").list(tmp_path)
    take(tmp_path, "00_BN1-129-Eb_comp", document(*BOTH, bars([0.0, 0.5, 1.0])))
    take(tmp_path, "01_BN1-129-Eb_comp", None)
    silent = put(tmp_path / "annotation" / "02_BN1-129-Eb_comp.jams", document(*BOTH))
    broken = take(tmp_path, "03_BN1-129-Eb_comp", "{")
    listing = dataset("guitarset").list(tmp_path)
    assert [track.chords is None for track in listing.tracks] == [False, True, True]
    assert listing.tracks[0].beats.tolist() == [[0.0, 1], [0.5, 2], [1.0, 3]]
    assert {p.path for p in listing.problems} == {
        tmp_path / "audio_mono-mic/01_BN1-129-Eb_comp_mic.wav",
        silent,
        broken,
    }
    for option, value in (("mode", "both"), ("chords", "first")):
        with pytest.raises(InputError, match=f"{option}='{value}'"):
            dataset("guitarset").list(tmp_path, **{option: value})


def test_the_real_lead_sheets_follow_from_the_names_and_performed_chords_differ(shared):
    folder, roots = shared / "guitarset" / "annotation", []
    for title in ("00_BN1-129-Eb_comp", "00_BN1-147-Gb_comp"):
        expected = grid(title[3:-5])
        found, beats = read_take((folder / f"{title}.jams").read_text(), "instructed")
        assert [label for _, _, label in found] == [label for _, _, label in expected]
        starts = [[start for start, _, _ in chords] for chords in (found, expected)]
        assert np.abs(np.subtract(*starts)).max() < 1e-6
        assert abs(found[-1][1] - expected[-1][1]) < 0.01
        assert np.abs(beats[:, 0] - 60 / int(title.split("-")[1]) * np.arange(48)).max() < 1e-6
        assert beats[:, 1].tolist() == [1, 2, 3, 4] * 12
    for path in sorted(folder.glob("*.jams")):
        sheet, played = (read_chords(path.read_text(), chords) for chords in ("instructed", "performed"))
        assert [start for start, _, _ in sheet] == pytest.approx([start for start, _, _ in played], abs=1e-6)
        assert all(asked != done for (_, _, asked), (_, _, done) in zip(sheet, played, strict=True))
        parsed = [mir_eval.chord.encode_many([label for _, _, label in chords])[0] for chords in (sheet, played)]
        assert np.array_equal(*parsed)  # the same roots
        roots.extend(parsed[0])
    assert len(roots) == 13
    (track,) = dataset("guitarset").list(shared / "guitarset", mode="solo").tracks
    assert (track.chords, track.beats[:, 1].tolist()) == (((0.0, 2.0, "G:maj"),), [2, 3, 4])
