"""Corpus `chorales`: the same bytes however it is made, whole whatever happens, and no tune in two splits."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from importlib.util import find_spec
from itertools import groupby, pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from phalar import corpora
from phalar.corpora import chorale_scores, chorales, performance
from phalar.corpora.rendering import loudness
from phalar.corpora.score import Score, Written
from phalar.datasets import store
from phalar.errors import InputError, RunError
from phalar.paths import PACKAGE

LIMIT = 2
"""Pieces of each split in the sliver that these tests render."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "tracks").iterdir())}


@pytest.fixture(scope="module")
def sliver(tmp_path_factory):
    """A few pieces, rendered by two processes without interruption; the folder of the cache."""
    cache = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PHALAR_CACHE", str(cache))
        corpora.render("chorales", jobs=2, limit=LIMIT, progress=False)
        yield cache


# --- rendering ----------------------------------------------------------------------------------------------------


def rendering_process() -> subprocess.Popen:
    """Another program that renders the sliver, in a process group of its own. It comes from standard input: workers
    must not need the caller's main module."""
    program = f"from phalar import corpora; corpora.load('chorales', jobs=1, limit={LIMIT}, progress=False)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    process = subprocess.Popen([sys.executable, "-"], stdin=subprocess.PIPE, env=environment, start_new_session=True)
    process.stdin.write(program.encode())
    process.stdin.close()
    return process


def test_killed_and_started_again_it_gives_the_bytes_of_an_uninterrupted_run(sliver, tmp_path, monkeypatch):
    """One worker instead of two, killed without warning as soon as the first piece is there; then two programs at
    once finish what it began."""
    reference = corpora.folder("chorales")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    folder = corpora.folder("chorales")
    process = rendering_process()
    deadline = time.monotonic() + 60
    while not list(folder.glob("tracks/*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = list(folder.glob("tracks/*.json"))
    assert 1 <= len(done) < 3 * LIMIT
    assert not (folder / "index.json").exists()
    with pytest.raises(RunError, match=r"index\.json"):
        store.open_store(folder)

    made = {path: path.stat().st_mtime_ns for path in done}
    other = rendering_process()
    tracks = corpora.load("chorales", jobs=1, limit=LIMIT, progress=False)
    assert len(tracks) == 3 * LIMIT
    assert other.wait() == 0
    store.sweep(folder, older_than=0)  # what the killed one left
    assert contents(folder) == contents(reference)
    assert (folder / "index.json").read_bytes() == (reference / "index.json").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in made} == made  # what was whole was kept


def test_a_damaged_cache_heals(sliver):
    """A file cut short, one that is gone, one without its record: each is made again, the same, and nothing else is."""
    folder = corpora.folder("chorales")
    before = contents(folder)
    cut, gone, unrecorded, *others = sorted((folder / "tracks").glob("*.npy"))
    made = {path: path.stat().st_mtime_ns for path in others}
    os.truncate(cut, 1000)
    gone.unlink()
    unrecorded.with_suffix(".json").unlink()
    tracks = corpora.load("chorales", limit=LIMIT, jobs=1, progress=False)
    assert len(tracks) == 3 * LIMIT
    assert all(np.abs(track.excerpt()).max() > 0.1 for track in tracks)
    assert contents(folder) == before
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_an_index_older_than_the_tracks_is_renewed(sliver):
    path = corpora.folder("chorales") / "index.json"
    index = json.loads(path.read_text())
    for tracks in (index["tracks"][1:], []):
        path.write_text(json.dumps(index | {"tracks": tracks}))
        assert len(corpora.load("chorales", limit=LIMIT, progress=False)) == 3 * LIMIT
    path.write_text("{")
    assert len(corpora.load("chorales", limit=LIMIT, progress=False)) == 3 * LIMIT


def test_a_loaded_corpus_is_not_rendered_again(sliver, monkeypatch):
    monkeypatch.setattr(corpora, "in_processes", None)
    assert len(corpora.load("chorales", limit=LIMIT)) == 3 * LIMIT


def test_the_stems_are_what_a_multitrack_should_be(sliver):
    tracks = corpora.load("chorales", limit=LIMIT, progress=False)
    assert Counter(t.split for t in tracks) == dict.fromkeys(("train", "valid", "test"), LIMIT)
    for track in tracks:
        audio = track.excerpt()
        assert audio.shape == (4, track.num_samples)
        assert track.duration > 10
        peak = np.abs(audio.sum(0)).max()
        assert 0.5 < peak <= 0.901
        assert np.abs(audio).max() <= 0.901
        levels = [loudness(stem, 16_000) for stem in audio]
        assert max(levels) - min(levels) < 0.2
        sounding = np.flatnonzero(np.abs(audio.sum(0)) > 0.02 * peak) / 16_000
        assert sounding[0] < 1.0
        assert track.duration - sounding[-1] < 0.5


def test_a_track_says_what_is_played(sliver):
    for track in corpora.load("chorales", limit=LIMIT, progress=False):
        name = track.tags["ensemble"]
        if name == "random":
            allowed = zip(track.stems, chorales.RANDOM_ENSEMBLE, strict=True)
            assert all(player in choices for player, choices in allowed)
        else:
            assert track.stems == chorales.ENSEMBLES[name]
        assert 50 <= track.tags["tempo"] <= 150
        assert isinstance(track.tags["tempo"], int)
        assert track.tags["group"] == chorales.table()[track.id]["group"]
        assert track.tags["key"].split()[1] in {"major", "minor"}
        intervals = np.diff(track.beats[:, 0])
        assert (intervals > 0).all()
        quarters = np.median(intervals) * track.tags["tempo"] / 60  # a beat is a quarter, or in 3/2 a half
        assert 0.95 < quarters / round(quarters) < 1.2
        assert set(track.beats[:, 1]) <= {1, 2, 3, 4}


def test_notes_sound_when_the_track_says(sliver):
    """The energy of a stem, at each note's own pitch, is higher in the note than just before it."""
    for track in corpora.load("chorales", limit=LIMIT, progress=False):
        audio = track.excerpt()
        for stem, notes in zip(audio, track.notes, strict=True):
            rises = []
            for before, (onset, duration, pitch) in pairwise(notes):
                if before[2] == pitch or duration < 0.3 or onset < 0.25 or before[1] < 0.3:
                    continue
                f = 440 * 2 ** ((pitch - 69) / 12)
                level = []
                for start in (onset - 0.2, onset + 0.05):
                    part = stem[int(start * 16_000) :][:2400]
                    t = np.arange(len(part)) / 16_000
                    level.append(np.abs(np.mean(part * np.hanning(len(part)) * np.exp(-2j * np.pi * f * t))))
                rises.append(level[1] > 2 * level[0])
            assert np.mean(rises) > 0.85


def test_a_limit_takes_more_of_the_same():
    few, more = (corpora._selected("chorales", None, limit) for limit in (4, 24))
    assert len(few) == 12
    assert len(more) == 72
    assert set(few) < set(more)
    test = corpora._selected("chorales", "test", 4)
    assert set(test) < set(few)
    assert {chorales.ensemble(piece) for piece in test} == {"string", "brass", "woodwind", "random"}


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: corpora.load("choral"), "'choral'.*chorales"),
        (lambda: corpora.render("slakh"), "'slakh'.*chorales"),
        (lambda: corpora.load("chorales", "validation"), "'validation'.*valid"),
        (lambda: corpora.load("chorales", limit=0), "limit=0"),
    ],
)
def test_bad_requests_are_refused(call, match):
    with pytest.raises(InputError, match=match):
        call()


def test_an_unknown_piece_is_named():
    with pytest.raises(RunError, match="bwv9999"):
        chorale_scores.read("bwv9999", "C major")


# --- scores and their performance ---------------------------------------------------------------------------------


def test_scores_are_read_as_written():
    """BWV 66.6: the first line, its fermatas, the upbeat; and another reading of the same file agrees on all notes."""
    score = chorale_scores.read("bwv66.6", "f# minor")
    soprano = score.voices[0]
    assert [(n.onset, n.duration, n.pitch) for n in soprano[:5]] == [
        (0, 0.5, 73),
        (0.5, 0.5, 71),
        (1, 1, 69),
        (2, 1, 71),
        (3, 1, 73),
    ]
    assert [n.onset for n in soprano if n.fermata][:3] == [3, 7, 11]
    assert score.key == chorales.table()["bwv66.6"]["key"] == "f# minor"
    assert score.beats[:3] == ((0.0, 4), (1.0, 1), (2.0, 2))
    assert score.length == 36
    for part, voice in enumerate(score.voices):  # without repetitions, since tied notes count by their pieces there
        read = [key for key, _ in groupby(n.pitch for n in voice if n.duration >= 1)]
        assert read == [key for key, _ in groupby(long_notes(xml_files()["bwv66.6"], part))]


def test_pieces_with_other_than_four_voices_are_refused():
    with pytest.raises(RunError, match="bwv846"):
        chorale_scores.read("bwv846", "C major")


def hymn(pitches, durations=None, beats_in_bar=4) -> Score:
    durations = durations or [1.0] * len(pitches)
    onsets = np.concatenate([[0], np.cumsum(durations)])
    notes = tuple(Written(float(o), float(d), p) for o, d, p in zip(onsets, durations, pitches, strict=False))
    beats = tuple((float(q), q % beats_in_bar + 1) for q in range(int(onsets[-1])))
    return Score("made", "C major", beats, (notes, notes))


MELODY = [67, 69, 71, 72, 71, 69, 67, 74, 72, 71, 69, 71, 67, 64, 66, 67, 69, 67, 72, 74, 76, 74, 72, 71, 72]


def test_without_expression_the_page_is_played_in_time():
    score = hymn(MELODY)
    style = performance.Style(bpm=120, rubato=0, slowing=0, looseness=0, arch=0, accent=0, loudness=80)
    curve = performance.tempo_curve(score, style, np.random.default_rng(0))
    notes = performance.play_voice(score, score.voices[0], style, curve, 0, np.random.default_rng(0))
    np.testing.assert_allclose([n.onset for n in notes], 0.5 * np.arange(len(MELODY)), atol=1e-9)
    assert [n.pitch for n in notes] == MELODY
    assert all(0.3 < n.duration <= 0.5 for n in notes)


def test_players_follow_the_style():
    line = list(MELODY)
    line[8] = line[7]  # a repeated note
    score = hymn(line)
    held = tuple(Written(n.onset, n.duration, n.pitch, i == 11) for i, n in enumerate(score.voices[0]))
    score = Score("made", "C major", score.beats, (held, held))
    plain = performance.Style(bpm=90, rubato=0.0, slowing=0.3, looseness=0.01, arch=12, accent=8, loudness=80)
    curve = performance.tempo_curve(score, plain, np.random.default_rng(1))
    seconds = np.diff(np.interp(np.arange(26), *curve))
    np.testing.assert_allclose(seconds[:8], 60 / 90, rtol=1e-9)
    assert 60 / 90 * 1.25 < seconds[11] <= 60 / 90 * 1.3 + 1e-9  # the fermata yields
    assert seconds[12] == pytest.approx(60 / 90)  # and then it goes on
    assert (np.diff(curve[1]) > 0).all()

    performances = [
        performance.play_voice(score, held, plain, curve, 10, np.random.default_rng(seed)) for seed in range(60)
    ]
    first = performance.play_voice(score, held, plain, curve, 10, np.random.default_rng(0))
    assert first == performances[0]
    assert first != performances[1]
    onsets = np.array([[n.onset for n in notes] for notes in performances])
    written = np.interp([n.onset for n in held], *curve)
    assert np.abs(onsets - written).max() <= 0.03 + 1e-9
    assert 0.005 < (onsets - written)[:, 1:].std() < 0.025
    velocity = np.mean([[n.velocity for n in notes] for notes in performances], axis=0)
    assert velocity[4] > velocity[5]  # a first beat against a second
    assert velocity[[5, 6]].mean() > velocity[[1, 11]].mean()  # the middle of a phrase against its edges
    gaps = np.array([notes[8].onset - notes[7].onset - notes[7].duration for notes in performances])
    assert (gaps > 0.02).mean() > 0.9  # the repeated note is struck anew


def test_styles_are_hymn_like_and_varied():
    styles = [performance.draw_style(np.random.default_rng(seed)) for seed in range(500)]
    bpm = np.array([s.bpm for s in styles])
    assert bpm.min() >= 50
    assert bpm.max() <= 150
    assert 78 < np.median(bpm) < 95
    assert len(set(bpm)) > 50


# --- splits -------------------------------------------------------------------------------------------------------


def test_splits_are_large_enough_whole_and_balanced():
    table = chorales.table()
    assert len(table) == 365
    sizes = Counter(row["split"] for row in table.values())
    assert sizes["test"] >= 100
    assert sizes["valid"] >= 40
    assert sizes["train"] >= 220
    by_group = {}
    for row in table.values():
        by_group.setdefault(row["group"], set()).add(row["split"])
    assert all(len(splits) == 1 for splits in by_group.values())
    tested = {row["group"] for row in table.values() if row["split"] == "test"}
    assert len(tested) > 64
    for split, size in sizes.items():
        counts = Counter(chorales.ensemble(p) for p, row in table.items() if row["split"] == split)
        assert max(counts.values()) - min(counts.values()) <= 1, (split, counts, size)


def xml_files() -> dict[str, Path]:
    folder = Path(find_spec("music21").origin).parent / "corpus" / "bach"
    return {path.stem: path for path in folder.iterdir() if path.suffix in {".mxl", ".xml"}}


def long_notes(path: Path, part: int = 0) -> list[int]:
    """The MIDI keys of a part's notes of a quarter or more, straight from the MusicXML, without music21. A note tied
    on counts by its pieces."""
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            data = archive.read(next(n for n in archive.namelist() if n.endswith("xml") and "/" not in n))
    else:
        data = path.read_bytes()
    keys, divisions = [], 1
    for measure in ElementTree.fromstring(data).findall("part")[part].findall("measure"):
        divisions = int(measure.findtext("attributes/divisions", divisions))
        for note in measure.findall("note"):
            pitch = note.find("pitch")
            if pitch is None or note.find("grace") is not None or note.find("chord") is not None:
                continue
            if int(note.findtext("duration")) >= divisions:
                step = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))[pitch.findtext("step")]
                alter = round(float(pitch.findtext("alter", "0")))
                keys.append(12 + 12 * int(pitch.findtext("octave")) + step + alter)
    return keys


def turns(melody: list[int], n: int = 7) -> set[tuple[int, ...]]:
    """The n-grams of a melody's intervals, repetitions of a note left out."""
    steps = np.diff([key for key, _ in groupby(melody)]).tolist()
    return {tuple(steps[i : i + n]) for i in range(len(steps) - n + 1)}


def shared(one: set, other: set) -> float:
    """Share of the shorter melody's turns that the other has too: a search for near-duplicates that owes nothing to how
    the table was made, nor to music21's reading of the scores."""
    return len(one & other) / max(min(len(one), len(other)), 1)


@pytest.fixture(scope="module")
def sopranos():
    """The turns of every piece's highest voice."""
    files = xml_files()
    return {piece: turns(long_notes(files[piece])) for piece in chorales.table()}


def test_no_tune_is_in_two_splits(sopranos):
    table = chorales.table()
    pieces = list(sopranos)
    across, within = [], []
    for i, one in enumerate(pieces):
        for other in pieces[:i]:
            share = shared(sopranos[one], sopranos[other])
            if table[one]["split"] != table[other]["split"]:
                across.append((share, one, other))
            elif table[one]["group"] == table[other]["group"]:
                within.append(share)
    assert max(across)[0] <= 0.5, sorted(across)[-5:]
    # The search does find tunes set twice, so it would have found one in two splits.
    assert np.sum(np.array(within) > 0.5) > 100


def test_the_search_finds_a_transposed_setting(sopranos):
    """BWV 244.15 and 244.17 are one tune in E and in E flat; BWV 66.6 is another."""
    assert shared(sopranos["bwv244.15"], sopranos["bwv244.17"]) > 0.9
    assert shared(sopranos["bwv244.15"], sopranos["bwv66.6"]) < 0.2
    table = chorales.table()
    assert table["bwv244.15"]["group"] == table["bwv244.17"]["group"]
    assert table["bwv324"]["group"] == table["bwv10.7"]["group"]  # short, but the same psalm tone


@pytest.mark.slow
def test_the_whole_corpus_is_sound():
    tracks = corpora.load("chorales")
    assert len(tracks) == 365
    assert store.verify(corpora.folder("chorales")) == []
    ranges = np.array([[(n[:, 2].min(), n[:, 2].max()) for n in t.notes] for t in tracks])
    from test_soundfont import VOICE_RANGES

    assert [(low.min(), high.max()) for low, high in zip(ranges[..., 0].T, ranges[..., 1].T, strict=True)] == list(
        VOICE_RANGES
    )
    for track in tracks:
        audio = track.excerpt()
        assert 0.5 < np.abs(audio.sum(0)).max() <= 0.901
        assert (audio.std(1) > 0.005).all()
