"""Corpus `chorales`: Bach's notes as written, and no tune in two splits."""

import zipfile
from collections import Counter
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from phalar.corpora import chorales
from phalar.errors import RunError


def test_four_players_get_the_notes_of_the_page():
    score = chorales.read("bwv66.6")
    page = chorales.arrangement("bwv66.6", score, chorales.ENSEMBLES["string"], np.random.default_rng(0))
    for part, voice in zip(page.parts, score.voices, strict=True):
        assert [(s.onset, s.duration, s.pitch) for s in part.strokes] == [(n.onset, n.duration, n.pitch) for n in voice]
    assert (page.tonic, page.mode) == (6, "minor")
    assert [onset for onset, _ in page.fermatas][:3] == [3, 7, 11]
    assert page.fermatas[-1][1] == 36
    rngs = (np.random.default_rng(seed) for seed in range(300))
    tempi = [chorales.arrangement("bwv66.6", score, chorales.ENSEMBLES["brass"], rng).bpm for rng in rngs]
    assert (min(tempi) >= 50, max(tempi) <= 150, 78 < np.median(tempi) < 95, len(set(tempi)) > 50) == (True,) * 4


def test_scores_are_read_as_written():
    """BWV 66.6: the first line, its fermatas, the upbeat; and another reading of the same file agrees on all notes."""
    score = chorales.read("bwv66.6")
    soprano = score.voices[0]
    assert [(n.onset, n.pitch) for n in soprano[:5]] == [(0, 73), (0.5, 71), (1, 69), (2, 71), (3, 73)]
    assert score.beats[:3] == ((0.0, 4), (1.0, 1), (2.0, 2))
    for part, voice in enumerate(score.voices):  # without repetitions, since tied notes count by their pieces there
        read = [key for key, _ in groupby(n.pitch for n in voice if n.duration >= 1)]
        assert read == [key for key, _ in groupby(long_notes(xml_files()["bwv66.6"], part))]


def test_what_is_no_chorale_is_refused():
    with pytest.raises(RunError, match="bwv9999"):
        chorales.read("bwv9999")


def test_splits_are_large_enough_whole_and_balanced():
    table = chorales.table()
    assert len(table) == 365
    splits = {row["group"]: row["split"] for row in table.values()}
    assert all(splits[row["group"]] == row["split"] for row in table.values())
    assert list(splits.values()).count("test") > 64
    for split, least in (("train", 220), ("valid", 40), ("test", 100)):
        counts = Counter(chorales.ensemble(piece) for piece, row in table.items() if row["split"] == split)
        assert counts.total() >= least
        assert max(counts.values()) - min(counts.values()) <= 1


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
    """Share of the shorter melody's turns that the other has too, whatever the table was made by."""
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
    assert shared(sopranos["bwv244.15"], sopranos["bwv244.17"]) > 0.9  # one tune in E and in E flat
