"""Corpus `chorales`: Bach's notes as written, and no tune in two splits."""

import zipfile
from importlib.util import find_spec
from itertools import combinations, groupby
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
    with pytest.raises(RunError, match="bwv9999"):
        chorales.read("bwv9999")


def xml_files() -> dict[str, Path]:
    folder = Path(find_spec("music21").origin).parent / "corpus" / "bach"
    return {path.stem: path for path in folder.glob("*.[mx]*l")}


def long_notes(path: Path, part: int = 0) -> list[int]:
    """The MIDI keys of a part's notes of a quarter or more, straight from the MusicXML, without music21. A note tied
    on counts by its pieces."""
    data = path.read_bytes()
    if path.suffix == ".mxl":
        archive = zipfile.ZipFile(path)
        data = archive.read(next(n for n in archive.namelist() if n.endswith("xml") and "/" not in n))
    keys, divisions = [], 1
    for measure in ElementTree.fromstring(data).findall("part")[part].findall("measure"):
        divisions = int(measure.findtext("attributes/divisions", divisions))
        for note in measure.iterfind("note[pitch][duration]"):  # grace notes have no duration
            if note.find("chord") is None and int(note.findtext("duration")) >= divisions:
                step, octave, alter = (note.findtext(f"pitch/{name}", "0") for name in ("step", "octave", "alter"))
                keys.append(12 + 12 * int(octave) + "C D EF G A B".index(step) + round(float(alter)))
    return keys


def turns(melody: list[int], n: int = 7) -> set[tuple[int, ...]]:
    """The n-grams of a melody's intervals, repetitions of a note left out."""
    steps = np.diff([key for key, _ in groupby(melody)]).tolist()
    return {tuple(steps[i : i + n]) for i in range(len(steps) - n + 1)}


def test_no_tune_is_in_two_splits():
    files, table = xml_files(), chorales.table()
    sopranos = {piece: turns(long_notes(files[piece])) for piece in table}

    def shared(one: str, other: str) -> float:
        """Share of the shorter melody's turns that the other has too, whatever the table was made by."""
        a, b = sopranos[one], sopranos[other]
        return len(a & b) / max(min(len(a), len(b)), 1)

    across, within = [], []
    for one, other in combinations(sopranos, 2):
        if table[one]["split"] != table[other]["split"]:
            across.append((shared(one, other), one, other))
        elif table[one]["group"] == table[other]["group"]:
            within.append(shared(one, other))
    assert max(across)[0] <= 0.5, sorted(across)[-5:]
    # The search does find tunes set twice, so it would have found one in two splits.
    assert np.sum(np.array(within) > 0.5) > 100
    assert shared("bwv244.15", "bwv244.17") > 0.9  # one tune in E and in E flat
