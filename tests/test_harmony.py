"""Harmony: the search is exact, the chords carry the tune, and the key does not matter."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from phalar.corpora import harmony, tunes
from phalar.corpora.harmony import COLOURS, best_path, fit, harmonise, slots, strength, vocabulary
from phalar.corpora.leadsheet import INTERVALS, Chord
from phalar.errors import InputError

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


def test_fit_agrees_with_a_count_note_by_note():
    for piece in PIECES[:4]:
        tune = tunes.tune(piece)
        symbols = vocabulary(tune.mode, "pop")
        edges = slots(tune)
        tones = [Chord(0, 0, s.root, s.quality).pitch_classes for s in symbols]
        quick = fit(tune, edges, symbols)
        for slot, (begin, end) in list(enumerate(edges))[:10]:
            for number in range(len(symbols)):
                worth = 0.0
                for i, note in enumerate(tune.melody):
                    sounding = min(note.onset + note.duration, end) - max(note.onset, begin)
                    if sounding <= 1e-6:
                        continue
                    degree, weight = (note.pitch - tune.tonic) % 12, strength(tune, max(note.onset, begin))
                    step = i + 1 < len(tune.melody) and 0 < abs(tune.melody[i + 1].pitch - note.pitch) <= 2
                    if degree in tones[number]:
                        each = 1.0
                    elif weight >= 0.8:
                        near = any((degree + d) % 12 in tones[number] for d in (1, -1))
                        each = harmony.CLASH if near else harmony.LEAP
                    else:
                        each = harmony.STEP if step else harmony.LEAP
                    worth += each * weight * sounding / (end - begin)
                assert quick[slot, number] == pytest.approx(worth, abs=1e-9)


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


def test_colours_differ_as_styles_do(sheets):
    used = {c: Counter(chord.quality for sheet in found for chord in sheet.chords) for c, found in sheets.items()}
    part = {colour: {q: n / count.total() for q, n in count.items()} for colour, count in used.items()}
    triads = {colour: part[colour].get("maj", 0) + part[colour].get("min", 0) for colour in COLOURS}
    assert triads["folk"] > 0.75
    assert triads["jazz"] < 0.1
    assert part["blues"]["7"] > 0.4
    assert part["modal"]["5"] > 0.1
    assert part["pop"]["sus4"] > 0.01
    assert part["jazz"]["maj7"] > 0.05
    rate = {c: np.mean([len(s.chords) / (s.length / s.bar) for s in found]) for c, found in sheets.items()}
    assert rate["jazz"] > rate["folk"] > rate["modal"] > 0.8


def test_dominants_of_other_degrees_resolve():
    """In the bare harmony of a colour that dresses little: a seventh chord on II leads to V, on VI to ii."""
    resolved = []
    for piece in PIECES:
        sheet = tunes.lead_sheet(piece, "folk")
        for chord, following in pairwise(sheet.chords):
            if chord.quality == "7" and (chord.root - sheet.tonic) % 12 != 7:
                resolved.append((following.root - chord.root) % 12 == 5)
    assert len(resolved) > 20
    assert np.mean(resolved) > 0.9


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


def test_the_same_request_gives_the_same_sheet_and_another_taste_another():
    piece = PIECES[0]
    assert tunes.lead_sheet(piece, "jazz") == tunes.lead_sheet(piece, "jazz")
    tune = tunes.tune(piece)
    found = {harmonise(tune, "pop", np.random.default_rng(seed)).chords for seed in range(5)}
    assert len(found) == 5


def test_unknown_colours_are_refused():
    with pytest.raises(InputError, match=r"'polka'.*folk"):
        tunes.lead_sheet(PIECES[0], "polka")


def test_substitutes_are_refused_where_they_carry_the_melody_less():
    """A long c over the tonic chord: no major seventh, whose b it would rub against, and no tritone substitute."""
    tune = tunes.tune(PIECES[0])
    tune = replace(tune, pickup=0.0, tonic=0, melody=(replace(tune.melody[0], onset=0.0, duration=2.0, pitch=72),))
    tonic = Chord(0.0, tune.bar, 0, "maj")
    rule = {"qualities": "maj", "degrees": "*", "motion": "*", "part": "all", "often": "1"}
    others = {"maj7 maj6": (0, "maj6"), "maj7": (0, "maj"), "6:7": (0, "maj"), "5:maj": (5, "maj")}
    for replacements, chosen in others.items():
        (dressed,) = harmony.dress(tonic, None, [rule | {"replacements": replacements}], tune, rng())
        assert (dressed.root, dressed.quality) == chosen
    ninth = replace(tune, melody=(replace(tune.melody[0], pitch=74),))  # a d, which is a tone of the ninth chord alone
    (dressed,) = harmony.dress(tonic, None, [rule | {"replacements": "9"}], ninth, rng())
    assert dressed.quality == "9"
    seventh, better = harmony.fit(ninth, [(0.0, 2.0)], [replace(tonic, quality="7"), dressed])[0]
    assert better > seventh
    first = rule | {"part": "first", "replacements": "sus4"}
    assert [c.quality for c in harmony.dress(tonic, None, [first], tune, rng())] == ["sus4", "maj"]
