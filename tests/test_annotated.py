"""GTZAN and GuitarSet: layouts, forms of annotation, known faults, and files that mean harm."""

import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from phalar.datasets.listing import Copy
from phalar.datasets.prepare import DATASETS
from phalar.datasets.real import GENRES, read_beats, read_chords
from phalar.errors import InputError
from phalar.evaluate.chords import PITCH_CLASSES


def put(path: Path, content: bytes | str = b"RIFF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def sheet(*chords: tuple[float, float, object]) -> dict:
    data = [{"time": start, "duration": end - start, "value": label} for start, end, label in chords]
    return {"namespace": "chord", "data": data, "annotation_metadata": {"data_source": ""}}


def document(*annotations: dict) -> str:
    contour = {"namespace": "pitch_contour", "time": 543.742, "data": {"time": [0.0], "value": [None]}}
    return json.dumps({"annotations": [contour, *annotations]})


PLAYED = sheet((0.0, 10.0, "D#:sus2(7)/1")) | {"annotation_metadata": {"data_source": "Semi-automatic"}}
WHOLE = document(sheet((0.0, 10.0, "D#:maj"), (10.0, 20.0, "A#:7")), PLAYED)


def take(root: Path, title: str, content: str | bytes | None) -> Path | None:
    """A recording and its annotation."""
    put(root / "audio_mono-mic" / f"{title}_mic.wav")
    return put(root / "annotation" / f"{title}.jams", content) if content is not None else None


# GTZAN


@pytest.mark.parametrize(("place", "root"), [("genres", "genres"), ("genres", ""), ("Data/genres_original", "")])
def test_a_whole_copy_of_gtzan_is_found_from_any_of_its_folders(tmp_path, place, root):
    for genre in GENRES:
        for n in range(100):
            put(tmp_path / place / genre / f"{genre}.{n:05d}.{'wav' if n else 'au'}")
        put(tmp_path / place / f"{genre}.mf", "list of files")
        put(tmp_path / place / genre / f"._{genre}.00000.wav", b"\0\5\x16\7")
        put(tmp_path / "Data" / "images_original" / genre / f"{genre}00000.png", b"\x89PNG")
    tracks, problems = DATASETS["gtzan"].list(tmp_path / root)
    assert {"test": len(tracks)} == DATASETS["gtzan"].expected
    assert Counter(track.tags["genre"] for track in tracks) == dict.fromkeys(GENRES, 100)
    assert {(stem.name, stem.file.stem == track.id) for track in tracks for stem in track.stems} == {("mix", True)}
    assert problems == []
    for track in tracks[:-1]:
        if track.id != "reggae.00086":
            name = f"gtzan_{track.id.replace('.', '_')}.beats"
            put(tmp_path / "a" / "gtzan" / "annotations" / "beats" / name, "0.5\t1\n1.0\t2\n")
    for above in ("a", "a/gtzan/annotations/beats"):
        tracks, problems = DATASETS["gtzan"].list(tmp_path / root, annotations=tmp_path / above)
        assert [track.id for track in tracks if track.beats is None] == ["reggae.00086", "rock.00099"]
        assert tracks[0].beats.tolist() == [[0.5, 1], [1.0, 2]]
        assert [path.stem for path, _ in problems] == ["gtzan_rock_00099"]
    with pytest.raises(InputError, match=r"gtzan_blues_00000\.beats"):
        DATASETS["gtzan"].list(tmp_path / root, annotations=tmp_path / "Data")
    with pytest.raises(InputError, match=r"blues/blues.00000.wav"):
        DATASETS["gtzan"].list(tmp_path / "a")


def test_beats_are_read_in_any_spacing():
    for text in ("0.5\t1\r\n1.0\t2\r\n", "0.5 1\n\n1.0 2", "5.0e-01\t1.0e+00\n1.0e+00\t2.0e+00\n"):
        assert read_beats(text).tolist() == [[0.5, 1], [1.0, 2]]


ENDS = ((-1.0, 1.0), (2.0, 1.0), (1.0, 1.0), (1, 1e300), (10**400, 10**401))
HOSTILE = {
    "beats": (
        b"", b"one\ttwo\n", bytes(range(256)), b"-0.5\t1\n0.5\t2\n", b"nan\t1\n", b"0.5\t1\n1e300\t2\n",
        b"9" * 5000 + b"\t1\n", b"0.5\t1\n1.5\t2\n1.0\t3\n", b"0.5\t1\n0.5\t2\n", b"0.5\t1\n1.0\n", b"0.5\t1\t7\n",
        b"0.5\t0\n", b"0.5\t1.5\n", b"0.5\t1e30\n", b"0.5\tnan\n", b"0" * (17 << 20),
    ),
    "jams": (
        "", "{", "{}", '{"annotations": 5}', '{"annotations": ["chord", null, 5]}', '{"annotations": ' + "[" * 100_000,
        b"\xff\xfe\xfa{", " " * (17 << 20), document(sheet((12321, 12322, "C"))).replace("12321", "9" * 5000),
        *(document(sheet((time, 1.0, "C"))) for time in (math.nan, math.inf, -1e-9)),
        WHOLE[:-40], document(), document(sheet((0.0, 1.0, "C")), sheet((0.0, 1.0, "C"))), document(PLAYED),
        document(sheet()), *(document(sheet((0.0, 1.0, label))) for label in (7, " ", None)),
        *(document(sheet((start, end, "C"))) for start, end in ENDS),
        *(document(sheet((0.0, end, "C"), (start, 3.0, "F"))) for start, end in ((1.0, 2.0), (0.0, 1.0))),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_annotations_are_one_clear_problem_each(tmp_path, kind):
    parse = read_chords if kind == "jams" else read_beats
    for i, content in enumerate(HOSTILE[kind]):
        copy, path = Copy(tmp_path), put(tmp_path / f"{i}.{kind}", content)
        assert copy.read(path, parse) is None, content[:200]
        ((where, what),) = copy.problems
        assert where == path
        assert len(what) < 250


def test_all_real_beat_files(fixtures):
    """Counts as in the fact sheet."""
    files = (fixtures / "gtzan" / "beat_this_annotations" / "gtzan" / "annotations" / "beats").glob("*.beats")
    beats = {path.stem: read_beats(path.read_text()) for path in files}
    counts = [len(found) for found in beats.values()]
    assert (len(beats), sum(counts), min(counts), max(counts)) == (999, 59_558, 19, 150)
    assert Counter(found[:, 1].max() for found in beats.values()) == {4: 933, 3: 49, 2: 7, 5: 4, 0: 6}


def test_the_real_clips(fixtures):
    beats = fixtures / "gtzan" / "beat_this_annotations" / "gtzan"
    tracks, problems = DATASETS["gtzan"].list(fixtures / "gtzan" / "genres", annotations=beats)
    assert Counter(track.tags["genre"] for track in tracks) == dict.fromkeys(GENRES, 5) | {"jazz": 4}
    assert problems == []
    assert all(track.beats is not None for track in tracks)


# GuitarSet

PIECES = """
BN1-129-Eb BN1-147-Gb BN2-131-B BN2-166-Ab BN3-119-G BN3-154-E Funk1-97-C Funk1-114-Ab Funk2-108-Eb Funk2-119-G
Funk3-98-A Funk3-112-C# Jazz1-130-D Jazz1-200-B Jazz2-110-Bb Jazz2-187-F# Jazz3-137-Eb Jazz3-150-C Rock1-90-C#
Rock1-130-A Rock2-85-F Rock2-142-D Rock3-117-Bb Rock3-148-C SS1-68-E SS1-100-C# SS2-88-F SS2-107-Ab SS3-84-Bb SS3-98-C
"""
PIECES = re.findall(r"\S+", PIECES)


def test_a_whole_copy_gives_180_takes_of_a_mode(tmp_path):
    for title in [f"{n:02d}_{piece}_{mode}" for n in range(6) for piece in PIECES for mode in ("comp", "solo")]:
        take(tmp_path, title, WHOLE)
    put(tmp_path / "annotation" / "._00_BN1-129-Eb_comp.jams", b"\0\5\x16\7")
    put(tmp_path / "audio_mono-pickup_mix" / "00_BN1-129-Eb_comp_mix.wav")
    for mode in ("solo", "comp"):
        tracks, problems = DATASETS["guitarset"].list(tmp_path, mode=mode)
        assert problems == []
        assert {"test": len(tracks)} == DATASETS["guitarset"].expected
        assert Counter(track.tags["piece"] for track in tracks) == dict.fromkeys(PIECES, 6)
        assert Counter(track.tags["progression"] for track in tracks) == {1: 60, 2: 60, 3: 60}
        for track in tracks:
            tags = track.tags
            assert track.stems[0].file.name == f"{tags['player']}_{tags['piece']}_{mode}_mic.wav"
            assert tags["piece"] == f"{tags['style']}{tags['progression']}-{tags['tempo']}-{tags['key']}"
            assert track.id == tags["title"].replace("#", "s")


def test_chords_are_those_instructed_in_order_and_without_overlap():
    labels = ["Eb:maj", "N", "D#:sus2(7)/1", "C#:7(*5)/1", "B:maj6(b5,*5)/1", "Gb:min7/b3", "X"]
    chords = [(i / 3, (i + 1) / 3 + 1e-9, label) for i, label in enumerate(labels)]  # rounding makes them overlap
    heard = [("A:min", 0, None), ("E:7", 2.5, None)]
    heard = PLAYED | {"data": [{"time": t, "duration": d, "value": v} for v, t, d in heard]}
    both = json.loads(document(heard, sheet(*chords))) | {"file_metadata": {"duration": 4.0}}
    assert read_chords(json.dumps(both), performed=True) == ((0, 2.5, "A:min"), (2.5, 4, "E:7"))
    for annotations in ([sheet(*chords[::-1]), PLAYED], [PLAYED, sheet(*chords)]):
        found = read_chords(document(*annotations))
        assert [label for _, _, label in found] == labels
        assert all(end == start for (_, end, _), (start, _, _) in pairwise(found))
    found = read_chords(document(sheet((0.0, 1.0, "C:maj"), (1.5, 2.0, "F:maj"))))
    assert [(start, end) for start, end, _ in found] == [(0, 1), (1.5, 2)]  # a gap stays


def test_a_take_without_one_of_its_files_is_named_and_left_out(tmp_path):
    with pytest.raises(InputError, match="audio_mono-mic"):
        DATASETS["guitarset"].list(tmp_path)
    take(tmp_path, "00_BN1-129-Eb_comp", WHOLE)
    take(tmp_path, "01_BN1-129-Eb_comp", None)
    take(tmp_path, "02_BN1-129-Eb_comp", "{")
    tracks, problems = DATASETS["guitarset"].list(tmp_path)
    assert [track.id for track in tracks] == ["00_BN1-129-Eb_comp"]
    assert [path.name for path, _ in problems] == ["01_BN1-129-Eb_comp.jams", "02_BN1-129-Eb_comp.jams"]


def test_the_real_lead_sheets_follow_from_the_tempo_and_key_in_their_names(fixtures):
    """Both are of the first progression: twelve bars of 4/4, I IV I V IV I."""
    degrees = np.array([0, 5, 0, 7, 5, 0])
    for title, tonic in (("00_BN1-129-Eb_comp", 3), ("00_BN1-147-Gb_comp", 6)):
        found = read_chords((fixtures / "guitarset" / "annotation" / f"{title}.jams").read_text())
        assert [label for _, _, label in found] == [f"{PITCH_CLASSES[key]}:maj" for key in (tonic + degrees) % 12]
        bars = np.array([start for start, _, _ in found]) * int(title.split("-")[1]) / 240
        np.testing.assert_allclose(bars, [0, 4, 6, 8, 9, 10], atol=1e-5)
    for chords, label in (("instructed", "G:maj"), ("performed", "G:maj7/1")):
        ((track,), _) = DATASETS["guitarset"].list(fixtures / "guitarset", mode="solo", chords=chords)
        assert track.chords == ((0.0, 2.0, label),)
        np.testing.assert_allclose(track.beats, [[60 * n / 119, n + 1] for n in (1, 2, 3)])
