"""Harmony: the search is exact, the chords carry the tune, and the key does not matter."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from phalar.corpora import harmony, tunes
from phalar.corpora.harmony import COLOURS, best_path, harmonise, slots, strength, vocabulary
from phalar.corpora.leadsheet import INTERVALS

PIECES = [p for corpus in ("band", "studio") for p in list(tunes.pieces(corpus))[:20]]


@pytest.fixture(scope="module")
def sheets():
    return {colour: [tunes.lead_sheet(piece, colour) for piece in PIECES] for colour in COLOURS}


def total(path, local, moves) -> float:
    return sum(local[i, s] for i, s in enumerate(path)) + sum(moves[i, a, b] for i, (a, b) in enumerate(pairwise(path)))


def test_no_sequence_beats_the_search():
    """All sequences of four chords over the last six slots of real tunes, with the scores that are used."""
    for piece in PIECES[:6]:
        tune = tunes.tune(piece)
        symbols = vocabulary(tune.mode, "folk")[:4]
        local, moves = harmony.scores(tune, symbols, COLOURS["folk"], np.random.default_rng(0))
        local, moves = local[-6:], moves[-5:]
        path, score = best_path(local, moves)
        best = max(product(range(4), repeat=6), key=lambda other: total(other, local, moves))
        assert score == pytest.approx(total(path, local, moves))
        assert score == pytest.approx(total(best, local, moves))


@pytest.mark.parametrize("colour", COLOURS)
def test_chords_fill_the_bars_change_where_they_may_and_end_on_the_tonic(sheets, colour):
    for sheet in sheets[colour]:
        tune = tunes.tune(sheet.id)
        assert sheet.chords[0].onset == sheet.pickup == tune.pickup
        assert sheet.length == pytest.approx(tune.length)
        assert all(a.onset + a.duration == pytest.approx(b.onset) for a, b in pairwise(sheet.chords))
        allowed = {round(begin, 6) for begin, _ in slots(tune)}
        assert {round(chord.onset, 6) for chord in sheet.chords} <= allowed
        assert all(chord.quality in INTERVALS and 0 <= chord.root < 12 for chord in sheet.chords)
        assert all((a.root, a.quality) != (b.root, b.quality) for a, b in pairwise(sheet.chords))
        # They end on their tonic, with its third of the mode, or none; never suspended.
        last = sheet.chords[-1]
        assert last.root == sheet.tonic
        minor = {"min", "min7", "min6", "5"}
        assert last.quality in (minor if sheet.mode in {"minor", "dorian"} else {"maj", "maj6", "maj7", "7", "5"})


def shares(sheet) -> tuple[float, float]:
    """Of the melody over chords: the share that is chord tones; of what begins on a beat, the share that is none and
    lies a semitone from one."""
    covered = total = clashing = strong = 0.0
    onsets = [chord.onset for chord in sheet.chords]
    for note in sheet.melody:
        chord = sheet.chords[max(np.searchsorted(onsets, note.onset + 1e-6) - 1, 0)]
        tones, degree = set(chord.pitch_classes), note.pitch % 12
        total += note.duration
        covered += note.duration * (degree in tones)
        if strength(sheet, note.onset) >= 0.8:
            near = degree not in tones and tones & {(degree + 1) % 12, (degree - 1) % 12}
            strong += note.duration
            clashing += note.duration * bool(near)
    return covered / total, clashing / strong


@pytest.mark.parametrize(
    ("colour", "covered"), [("folk", 0.72), ("pop", 0.7), ("jazz", 0.76), ("blues", 0.76), ("modal", 0.58)]
)
def test_chords_carry_the_melody(sheets, colour, covered):
    found = np.array([shares(sheet) for sheet in sheets[colour]])
    assert found[:, 0].mean() > covered
    assert found[:, 0].min() > covered - 0.3
    assert found[:, 1].mean() < 0.06
    # The same chords under another piece's bars carry it less: the measure tells right from wrong.
    chords = [tuple(replace(c, root=(c.root + 6) % 12) for c in sheet.chords) for sheet in sheets[colour]]
    wrong = [shares(replace(sheet, chords=moved))[0] for sheet, moved in zip(sheets[colour], chords, strict=True)]
    assert np.mean(wrong) < found[:, 0].mean() - 0.3


@pytest.mark.parametrize("colour", COLOURS)
def test_a_transposed_tune_has_its_chords_transposed(colour):
    for piece, shift in zip(PIECES[:6], (1, 5, -3, 7, 11, -8), strict=True):
        tune = tunes.tune(piece)
        melody = tuple(replace(note, pitch=note.pitch + shift) for note in tune.melody)
        moved = harmonise(replace(tune, tonic=(tune.tonic + shift) % 12, melody=melody), colour, rng())
        for one, other in zip(harmonise(tune, colour, rng()).chords, moved.chords, strict=True):
            assert other == replace(one, root=(one.root + shift) % 12)


def rng():
    return np.random.default_rng(3)
