"""GuitarSet: names, the two chord annotations and which is which, the computed grid, and files that mean harm."""

import json
import math
import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import mir_eval
import numpy as np
import pytest

from phalar.datasets.guitarset import CHORDS, DATASET, list_tracks, read_beats, read_chords
from phalar.datasets.jams import read_jams
from phalar.datasets.store import write_track
from phalar.errors import InputError

PIECES = (  # noqa: SIM905
    "BN1-129-Eb BN1-147-Gb BN2-131-B BN2-166-Ab BN3-119-G BN3-154-E Funk1-97-C Funk1-114-Ab Funk2-108-Eb Funk2-119-G "
    "Funk3-98-A Funk3-112-C# Jazz1-130-D Jazz1-200-B Jazz2-110-Bb Jazz2-187-F# Jazz3-137-Eb Jazz3-150-C Rock1-90-C# "
    "Rock1-130-A Rock2-85-F Rock2-142-D Rock3-117-Bb Rock3-148-C SS1-68-E SS1-100-C# SS2-88-F SS2-107-Ab SS3-84-Bb "
    "SS3-98-C"
).split()
PERFORMED = {"data_source": "Semi-automatic chord transcription with manual verification", "version": 0.9}


@pytest.fixture(scope="session")
def shared() -> Path:
    """Three real annotations, one of them cut to two seconds."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "guitarset"
    if not folder.is_dir():
        pytest.skip(f"the samples of GuitarSet are not at {folder}")
    return folder


def grid(piece: str) -> list[tuple[float, float, str]]:
    """The lead sheet of a piece, made from its name alone: progression, tempo and key in 4/4 (the rule in the book)."""
    progression, tempo, key = re.fullmatch(r"[A-Za-z]+(\d)-(\d+)-(.+)", piece).groups()
    sheet = {  # semitones above the key, quality, bars
        "1": [(0, "maj", 4), (5, "maj", 2), (0, "maj", 2), (7, "maj", 1), (5, "maj", 1), (0, "maj", 2)],
        "2": [(5, "min", 1), (10, "7", 1), (3, "maj", 1), (8, "maj", 1), (2, "hdim7", 1), (7, "7", 1), (0, "min", 2)],
        "3": [(degree, "min" if degree in (4, 9) else "maj", 1) for degree in (0, 7, 9, 4, 5, 0, 5, 7)],
    }[progression]
    sheet = sheet if progression == "1" else sheet * 2
    names = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"]
    tonic = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[key[0]] + key.count("#") - key.count("b")
    chords, bar = [], 0
    for degree, quality, bars in sheet:
        start, bar = bar, bar + bars
        label = f"{names[(tonic + degree) % 12]}:{quality}"
        chords.append((start * 240 / int(tempo), bar * 240 / int(tempo), label))
    return chords


def observations(chords, durations=True) -> list[dict]:
    return [
        {"time": start, "duration": end - start if durations else None, "value": label, "confidence": None}
        for start, end, label in chords
    ]


def chord_annotation(chords, metadata=None, durations=True) -> dict:
    return {
        "namespace": "chord",
        "data": observations(chords, durations),
        "annotation_metadata": {"data_source": "", "version": ""} | (metadata or {}),
        "sandbox": {},
        "time": 0,
        "duration": None if metadata else 20.0,
    }


def beat_annotation(times) -> dict:
    data = [
        {"time": t, "duration": 0.0, "value": {"position": i % 4 + 1, "measure": i // 4 + 1}}
        for i, t in enumerate(times)
    ]
    return {"namespace": "beat_position", "data": data}


def document(*annotations: dict, duration: object = 20.0) -> str:
    contour = {"namespace": "pitch_contour", "time": 543.742, "data": {"time": [0.0], "value": [None]}}
    return json.dumps({"annotations": [contour, *annotations], "file_metadata": {"duration": duration}})


def put(path: Path, content: str | bytes = b"RIFF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def take(root: Path, title: str, content: str | bytes | None) -> Path:
    """A recording and its annotation."""
    put(root / "audio_mono-mic" / f"{title}_mic.wav")
    return put(root / "annotation" / f"{title}.jams", content) if content is not None else None


SHEET = [(0.0, 10.0, "D#:maj"), (10.0, 20.0, "A#:7")]
PLAYED = [(0.0, 10.0, "D#:sus2(7)/1"), (10.0, 20.0, "A#:7(*5)/b7")]
BOTH = (chord_annotation(SHEET), chord_annotation(PLAYED, PERFORMED))


# --- the whole set


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """All 360 takes by name, with the computed lead sheets; of the files that belong to other zips, a few."""
    root = tmp_path_factory.mktemp("guitarset")
    for player in range(6):
        for piece in PIECES:
            chords = grid(piece)
            content = document(chord_annotation(chords), chord_annotation(chords, PERFORMED), duration=chords[-1][1])
            for mode in ("comp", "solo"):
                take(root, f"{player:02d}_{piece}_{mode}", content)
    put(root / "annotation" / "._00_BN1-129-Eb_comp.jams", b"\0\5\x16\7")
    put(root / "audio_mono-mic" / "._00_BN1-129-Eb_comp_mic.wav", b"\0\5\x16\7")
    put(root / "audio_mono-pickup_mix" / "00_BN1-129-Eb_comp_mix.wav")
    put(root / "audio_hex-pickup_debleeded" / "00_BN1-129-Eb_comp_hex_cln.wav")
    return root


@pytest.mark.parametrize("mode", ["comp", "solo"])
def test_a_whole_copy_gives_180_takes_of_a_mode(whole, mode):
    listing = list_tracks(whole, mode=mode)
    assert listing.problems == ()
    assert Counter(track.split for track in listing.tracks) == DATASET.expected == {"test": 180}
    assert Counter(track.tags["player"] for track in listing.tracks) == {f"{player:02d}": 30 for player in range(6)}
    assert Counter(track.tags["piece"] for track in listing.tracks) == dict.fromkeys(PIECES, 6)
    styles = Counter(track.tags["style"] for track in listing.tracks)
    assert styles == dict.fromkeys(("BN", "Funk", "Jazz", "Rock", "SS"), 36)
    assert Counter(track.tags["progression"] for track in listing.tracks) == {1: 60, 2: 60, 3: 60}
    assert [track.id for track in listing.tracks] == sorted({track.id for track in listing.tracks})
    for track in listing.tracks:
        (stem,) = track.stems
        assert [file.name for file in stem.files] == [f"{track.tags['title']}_mic.wav"]
        assert track.tags["title"] == f"{track.tags['player']}_{track.tags['piece']}_{mode}"
        assert track.tags["piece"].endswith(f"{track.tags['progression']}-{track.tags['tempo']}-{track.tags['key']}")


def test_ids_can_name_files_and_no_two_become_one(whole, tmp_path):
    tracks = list_tracks(whole).tracks
    sharp = [track for track in tracks if "#" in track.tags["title"]]
    assert len(sharp) == 6 * sum("#" in piece for piece in PIECES) == 24
    for track in sharp[:2]:
        write_track(tmp_path, track.id, np.zeros((1, 10), np.int16), split="test", stems=["guitar"], tags=track.tags)
        assert track.id.replace("s_", "#_") == track.tags["title"]


def test_the_lead_sheets_have_the_published_shares_of_chord_qualities(whole):
    """5,485 s of accompaniment: 64.2 % major, 22.4 % minor, 9.0 % sevenths, 4.5 % half-diminished; 42 labels, no N."""
    seconds, labels = Counter(), set()
    for track in list_tracks(whole).tracks:
        for start, end, label in track.chords:
            seconds[label.split(":")[1]] += end - start
            labels.add(label)
    total = sum(seconds.values())
    assert round(total) == 5485
    shares = {quality: round(100 * length / total, 1) for quality, length in seconds.items()}
    assert shares == {"maj": 64.2, "min": 22.4, "7": 9.0, "hdim7": 4.5}
    assert len(labels) == 42


def test_six_players_share_a_chord_timeline(whole):
    timelines = {}
    for track in list_tracks(whole).tracks:
        timelines.setdefault(track.tags["piece"], set()).add(track.chords)
    assert {len(timeline) for timeline in timelines.values()} == {1}


# --- which annotation is which


def test_the_two_annotations_are_told_apart_by_metadata_in_either_order(tmp_path):
    for i, annotations in enumerate((BOTH, BOTH[::-1])):
        take(tmp_path, f"0{i}_BN1-129-Eb_comp", document(*annotations))
    for chords, expected in zip(CHORDS, (SHEET, PLAYED), strict=True):
        for track in list_tracks(tmp_path, chords=chords).tracks:
            assert track.chords == tuple(expected)


@pytest.mark.parametrize("annotations", [BOTH[:1] * 2, BOTH[1:], [], [*BOTH, BOTH[0]]])
def test_where_it_is_not_clear_which_is_the_lead_sheet_none_is_taken(tmp_path, annotations):
    path = take(tmp_path, "00_BN1-129-Eb_comp", document(*annotations))
    (track,) = list_tracks(tmp_path).tracks
    assert track.chords is None
    (problem,) = list_tracks(tmp_path).problems
    assert problem.path == path
    assert "instructed" in problem.what


def test_a_chord_without_a_length_lasts_until_the_next_and_the_last_until_the_file_ends(tmp_path):
    path = put(tmp_path / "x.jams", document(chord_annotation(PLAYED, PERFORMED, durations=False), duration=20.0))
    assert read_chords(read_jams(path, ["chord"]), "performed") == tuple(PLAYED)
    nan = json.loads(path.read_text())
    nan["annotations"][-1]["data"][1]["duration"] = math.nan
    nan["annotations"][-1]["duration"] = math.nan
    path.write_text(json.dumps(nan))
    assert "NaN" in path.read_text()
    assert read_chords(read_jams(path, ["chord"]), "performed") == tuple(PLAYED)
    for unknown in (None, math.nan):
        put(path, document(chord_annotation(PLAYED, PERFORMED, durations=False), duration=unknown))
        with pytest.raises(InputError, match="does not end"):
            read_chords(read_jams(path, ["chord"]), "performed")


def test_labels_stay_as_written_and_rounding_does_not_make_chords_overlap(tmp_path):
    labels = ["Eb:maj", "N", "D#:sus2(7)/1", "C#:7(*5)/1", "B:maj6(b5,*5)/1", "Gb:min7/b3", "X"]
    chords = [(i / 3, (i + 1) / 3 + 1e-9, label) for i, label in enumerate(labels)]
    path = put(tmp_path / "x.jams", document(chord_annotation(chords[::-1])))
    found = read_chords(read_jams(path, ["chord"]), "instructed")
    assert [label for _, _, label in found] == labels
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(found))
    mir_eval.chord.encode_many(labels)


def test_a_gap_between_chords_stays_a_gap(tmp_path):
    path = put(tmp_path / "x.jams", document(chord_annotation([(0.0, 1.0, "C:maj"), (1.5, 2.0, "F:maj")])))
    assert [(start, end) for start, end, _ in read_chords(read_jams(path, ["chord"]), "instructed")] == [
        (0, 1),
        (1.5, 2),
    ]


# --- what is missing


def test_a_take_without_one_of_its_files_is_named(tmp_path):
    take(tmp_path, "00_BN1-129-Eb_comp", document(*BOTH, beat_annotation([0.0, 0.5, 1.0])))
    take(tmp_path, "01_BN1-129-Eb_comp", None)
    silent = put(tmp_path / "annotation" / "02_BN1-129-Eb_comp.jams", document(*BOTH))
    strange = take(tmp_path, "notes", "{}")
    listing = list_tracks(tmp_path)
    assert [(track.id[:2], track.chords is None, track.beats) for track in listing.tracks] == [
        ("00", False, ((0.0, 1), (0.5, 2), (1.0, 3))),
        ("01", True, None),
    ]
    sound = tmp_path / "audio_mono-mic"
    assert {(problem.path, problem.fatal) for problem in listing.problems} == {
        (sound / "01_BN1-129-Eb_comp_mic.wav", False),
        (silent, True),
        (strange, True),
        (sound / "notes_mic.wav", True),
    }


def test_wrong_options_and_roots_are_refused_by_name(tmp_path):
    (tmp_path / "annotation").mkdir()
    with pytest.raises(InputError, match=r"audio_mono-mic\.zip"):
        list_tracks(tmp_path)
    (tmp_path / "audio_mono-mic").mkdir()
    assert list_tracks(tmp_path).tracks == ()
    for options in ({"mode": "both"}, {"chords": "first"}):
        ((name, value),) = options.items()
        with pytest.raises(InputError, match=f"{name}='{value}'"):
            list_tracks(tmp_path, **options)
    with pytest.raises(InputError, match="not a folder"):
        list_tracks(tmp_path / "absent")


# --- files that mean harm

HOSTILE = {
    "empty": "",
    "wav": b"RIFF\xff\xff\xff\xff",
    "truncated": document(*BOTH)[:-40],
    "deep": '{"annotations": ' + "[" * 200_000,
    "annotations a number": '{"annotations": 1}',
    "no chords": document(),
    "no chord in it": document(chord_annotation([])),
    "label a number": document(chord_annotation([(0.0, 1.0, 7)])),
    "label a list": document(chord_annotation([(0.0, 1.0, ["C:maj"])])),
    "label empty": document(chord_annotation([(0.0, 1.0, " ")])),
    "negative time": document(chord_annotation([(-1.0, 1.0, "C:maj")])),
    "negative length": document(chord_annotation([(2.0, 1.0, "C:maj")])),
    "no length": document(chord_annotation([(1.0, 1.0, "C:maj")])),
    "huge length": document(chord_annotation([(1.0, 1e300, "C:maj")])),
    "time beyond floats": document(chord_annotation([(10**400, 10**400 + 1, "C:maj")])),
    "overlap": document(chord_annotation([(0.0, 2.0, "C:maj"), (1.0, 3.0, "F:maj")])),
    "two at once": document(chord_annotation([(0.0, 1.0, "C:maj"), (0.0, 1.0, "F:maj")])),
    "metadata a list": json.dumps({"annotations": [{**BOTH[1], "annotation_metadata": ["x"]}, BOTH[0]]}),
    "file's length a text": document(*BOTH, duration="long"),
    "file's length negative": document(*BOTH, duration=-3),
    "beat without position": document(*BOTH, {"namespace": "beat_position", "data": [{"time": 0.0, "value": 1}]}),
    "beat position 0": document(*BOTH, {"namespace": "beat_position", "data": [{"time": 0, "value": {"position": 0}}]}),
    "two beat annotations": document(*BOTH, beat_annotation([0.0]), beat_annotation([0.0])),
    "beats at once": document(*BOTH, beat_annotation([0.5, 0.5])),
    "10 MB of nothing": document(*BOTH, {"namespace": "chord", "data": [None] * 1_800_000}),
}


def test_hostile_annotations_are_reported_by_path_and_the_rest_is_read(tmp_path):
    bad = {take(tmp_path, f"{i:02d}_SS3-98-C_comp", content): name for i, (name, content) in enumerate(HOSTILE.items())}
    take(tmp_path, "99_SS3-98-C_comp", document(*BOTH))
    listing = list_tracks(tmp_path)
    assert len(listing.tracks) == len(HOSTILE) + 1
    reported = {problem.path: problem for problem in listing.problems}
    assert {bad[path] for path in reported} == set(HOSTILE)
    assert all(problem.fatal and len(problem.what) < 250 for problem in listing.problems)
    assert [track.id for track in listing.tracks if track.chords] == ["99_SS3-98-C_comp"]


def test_one_value_anywhere_replaced_by_any_other_gives_chords_or_an_error(tmp_path):
    """What comes back is always in order, within a day, and labelled: 500 files with one fault each."""
    rng = np.random.default_rng(0)
    strange = [None, True, -1, 0, 2.5, 1e300, math.nan, math.inf, 10**400, "", "N", [], {}, [[]], {"time": 1}]
    text = document(*BOTH, beat_annotation([0.0, 0.5, 1.0]))
    read = refused = 0
    for _ in range(500):
        root = json.loads(text)
        node = root
        while True:  # down to a random depth
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = keys[rng.integers(len(keys))]
            if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.15:
                break
            node = node[key]
        node[key] = strange[rng.integers(len(strange))]
        path = put(tmp_path / "x.jams", json.dumps(root))
        try:
            jams = read_jams(path, ["chord", "beat_position"])
            chords, beats = read_chords(jams, CHORDS[rng.integers(2)]), read_beats(jams)
        except InputError:
            refused += 1
            continue
        read += 1
        times = [time for start, end, _ in chords for time in (start, end)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] < 200_000
        assert all(isinstance(label, str) and label for _, _, label in chords)
        assert beats is None or all(type(number) is int and number > 0 for _, number in beats)
    assert read > 50
    assert refused > 50


# --- the real files


def test_the_real_lead_sheets_follow_from_the_names_and_end_with_the_recording(shared):
    for title in ("00_BN1-129-Eb_comp", "00_BN1-147-Gb_comp"):
        jams = read_jams(shared / "annotation" / f"{title}.jams", ["chord", "beat_position"])
        found, expected = read_chords(jams, "instructed"), grid(title[3:-5])
        assert [label for _, _, label in found] == [label for _, _, label in expected]
        starts = [[start for start, _, _ in chords] for chords in (found, expected)]
        assert np.abs(np.subtract(*starts)).max() < 1e-6
        assert abs(found[-1][1] - jams.duration) < 1e-6
        assert abs(found[-1][1] - expected[-1][1]) < 0.01
        assert {label.split(":")[0] for _, _, label in found}.isdisjoint({"Eb", "Gb", "Ab", "Db", "Bb"})
        beats = read_beats(jams)
        period = 60 / int(title.split("-")[1])
        assert len(beats) == 48
        assert np.abs(np.array(beats)[:, 0] - period * np.arange(48)).max() < 1e-6
        assert [number for _, number in beats] == [1, 2, 3, 4] * 12


def test_the_real_performed_chords_differ_and_every_label_can_be_parsed(shared):
    roots = []
    for path in sorted((shared / "annotation").glob("*.jams")):
        jams = read_jams(path, ["chord"])
        both = [read_chords(jams, chords) for chords in CHORDS]
        assert [start for start, _, _ in both[0]] == pytest.approx([start for start, _, _ in both[1]], abs=1e-6)
        assert all(sheet != played for (_, _, sheet), (_, _, played) in zip(*both, strict=True))
        parsed = [mir_eval.chord.encode_many([label for _, _, label in chords]) for chords in both]
        assert np.array_equal(parsed[0][0], parsed[1][0])  # the same roots
        roots.extend(parsed[0][0])
    assert len(roots) == 13


def test_the_real_folder(shared):
    listing = list_tracks(shared)  # the accompaniments come without sound
    assert listing.tracks == ()
    assert [problem.path.name for problem in listing.problems] == [
        "00_BN1-129-Eb_comp.jams",
        "00_BN1-147-Gb_comp.jams",
    ]
    for chords, label in zip(CHORDS, ("G:maj", "G:maj7/1"), strict=True):
        (track,) = list_tracks(shared, mode="solo", chords=chords).tracks
        assert track.chords == ((0.0, 2.0, label),)
        assert [number for _, number in track.beats] == [2, 3, 4]
        assert track.tags["piece"] == "BN3-119-G"
