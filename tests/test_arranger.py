"""The arranger: every style in every metre, parts that fit the chords and the instruments, voices that move little.
Harmony: the search is exact, the chords carry the tune, and the key does not matter. And how a page is played."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from phalar.corpora import arranger, band, harmony, performance, seeds, styles, tunes
from phalar.corpora.chart import METRES, SCALES
from phalar.corpora.harmony import COLOURS, best_path, harmonise, slots, strength, vocabulary
from phalar.corpora.leadsheet import INTERVALS, Arrangement, Chord, LeadSheet, Part, Stroke
from phalar.corpora.parts import fifth, voicings
from phalar.corpora.performance import TIGHT, Feel

STYLES = styles.styles()


def invent(beats_per_bar=4, beat=1.0, bars=16, pickup=0.0, mode="major", seed=0) -> LeadSheet:
    """A tune of steps and small leaps, and chords that change once or twice a bar."""
    rng = np.random.default_rng(seed)
    bar, chords, end = beats_per_bar * beat, [], pickup + bars * beats_per_bar * beat
    qualities = {0: "maj", 2: "min7", 5: "maj7", 7: "7", 9: "min", 10: "9", 4: "hdim7"}
    for at in np.arange(pickup, end, bar).tolist():
        root, lasting = int(rng.choice(list(qualities))), beat if rng.random() < 0.3 else bar
        chords.append(Chord(at, lasting, root, qualities[root]))
        chords += [Chord(at + beat, bar - beat, 7, "7")] if lasting < bar else []
    melody, onset, pitch = [], 0.0, 72
    while onset < end:
        duration = min(float(rng.choice([0.5, 0.5, 1.0, 1.0, 2.0])), end - onset)
        pitch = int(np.clip(pitch + rng.choice([-4, -2, -1, 1, 2, 3]), 62, 81))
        melody.append(Stroke(onset, duration, pitch))
        onset += duration
    return LeadSheet("invented", "Invented", 0, mode, beats_per_bar, beat, pickup, tuple(melody), tuple(chords))


@pytest.fixture(scope="module")
def arrangements():
    """Every style in every metre that it claims, lengths, upbeats and modes of the tunes taking turns."""
    fitting = [(metre, name) for metre in METRES for name in arranger.styles_for(invent(*metre))]
    made = []
    for n, (metre, style) in enumerate(fitting):
        tune = invent(*metre, (8, 16, 17)[n % 3], (0.0, 0.5)[n % 2], list(SCALES)[n % 4], n)
        made.append(arranger.arrange(tune, style, np.random.default_rng(n)))
    return made


def bar_length(page) -> float:
    return page.beat * max(number for _, number in page.beats)


def chord_at(page, quarter) -> Chord:
    return next(c for c in reversed(page.chords) if c.onset <= quarter + 1e-6)


def test_bands_of_every_style_are_whole(arrangements):
    assert {page.style for page in arrangements} == set(STYLES)
    assert {style.colour for style in STYLES.values()} <= set(harmony.COLOURS)
    for page in arrangements:
        roles = [part.role for part in page.parts]
        assert 4 <= len(roles) <= 9
        assert roles[:2] == ["drums", "bass"]
        assert roles.count("lead") == 1
        assert all(part.strokes for part in page.parts)
        assert [part.pitched for part in page.parts] == [role not in ("drums", "percussion") for role in roles]
        assert page.bpm in STYLES[page.style].bpm


def test_beats_chords_and_sections_cover_the_piece(arrangements):
    for page in arrangements:
        bar = bar_length(page)
        onsets, numbers = np.array(page.beats).T
        np.testing.assert_allclose(onsets, page.beat * np.arange(len(onsets)), atol=1e-9)
        np.testing.assert_array_equal(numbers, 1 + np.arange(len(numbers)) % round(bar / page.beat))
        assert len(onsets) * page.beat == pytest.approx(page.length)
        assert page.chords[0].onset == 0
        for one, following in pairwise(page.chords):
            assert one.onset + one.duration == pytest.approx(following.onset)
        assert page.chords[-1].root == page.tonic
        assert (page.sections[0], page.sections[-1][1]) == ((0.0, "intro"), "ending")
        assert all(onset % bar == pytest.approx(0) for onset, _ in page.sections)


def test_chords_are_the_sheets_transposed_and_the_lead_has_the_tune():
    sheet = invent(bars=16, pickup=1.0, seed=5)
    page = arranger.arrange(sheet, "disco", np.random.default_rng(1))
    start = next(onset for onset, name in page.sections if name == "A")
    shift = page.tonic - sheet.tonic
    for offset in np.arange(0, 16, 0.5):
        source = next(c for c in reversed(sheet.chords) if c.onset <= sheet.pickup + offset + 1e-6)
        chord = chord_at(page, start + offset)
        assert (chord.root, chord.quality) == ((source.root + shift) % 12, source.quality)
    tune = next(part.strokes for part in page.parts if part.role == "lead")
    sung = {(round(s.onset - start + sheet.pickup, 3), s.pitch % 12) for s in tune}
    wanted = [(n.onset, (n.pitch + shift) % 12) for n in sheet.melody if n.onset < 16]
    assert np.mean([note in sung for note in wanted]) > 0.8
    assert (0.0, wanted[0][1]) in sung  # the upbeat


def test_strokes_lie_in_the_piece_and_in_their_instruments(arrangements):
    for page in arrangements:
        for part in page.parts:
            who = styles.instrument(part.instrument)
            assert (part.program, part.drums) == (who.program, who.drums)
            assert [s.onset for s in part.strokes] == sorted(s.onset for s in part.strokes)
            for s in part.strokes:
                assert 0 <= s.onset < page.length
                assert s.duration > 0
                assert part.drums or s.onset + s.duration <= page.length + 1e-6
                assert who.low <= s.pitch <= who.high, (part.role, part.instrument, s)
                assert 1 <= s.velocity <= 127
        assert len({part.instrument for part in page.parts}) == len(page.parts)


def test_the_bass_has_chord_tones_on_strong_beats_and_begins_chords_on_their_root(arrangements):
    strong, roots = [], []
    for page in arrangements:
        bar = bar_length(page)
        for stroke in page.parts[1].strokes:
            chord = chord_at(page, stroke.onset)
            middle = bar == 4 * page.beat and stroke.onset % bar == pytest.approx(2 * page.beat)
            if stroke.onset % bar == pytest.approx(0) or middle:
                strong.append(stroke.pitch % 12 in chord.pitch_classes)
            if stroke.onset == pytest.approx(chord.onset):
                roots.append(stroke.pitch % 12 == chord.root)
    assert len(strong) > 500
    assert all(strong)
    assert np.mean(roots) > 0.97


def test_accompanists_play_the_chords(arrangements):
    """Every note of those who play chords belongs to the chord, and none is held into the next one."""
    checked = 0
    for page in arrangements:
        for part in page.parts:
            for s in part.strokes if part.role in ("strum", "comp", "pad", "arpeggio") else ():
                chord = chord_at(page, s.onset)
                assert s.pitch % 12 in {*chord.pitch_classes, (chord.root + fifth(chord)) % 12}
                assert s.pitch % 12 in chord_at(page, s.end - 0.1).pitch_classes or chord.onset == s.onset
                checked += 1
    assert checked > 5000


def brute_force(chord: Chord, voices: int, low: int, high: int) -> set[tuple[int, ...]]:
    """Rising keys of the chord, no gap above nine semitones, all its notes sounding."""
    keys = [k for k in range(low, high + 1) if k % 12 in chord.pitch_classes]
    found = {()}
    for _ in range(voices):
        found = {(*f, k) for f in found for k in keys if not f or 0 < k - f[-1] <= 9}
    return {f for f in found if {k % 12 for k in f} == set(chord.pitch_classes)}


@pytest.mark.parametrize(("quality", "voices"), [("maj", 3), ("min", 4), ("7", 4), ("hdim7", 4), ("dim", 3)])
def test_voicings_are_all_there_are(quality, voices):
    """Four voices on a triad double the root or the fifth, not the third."""
    chord = Chord(0, 4, 2, quality)
    ways = {tuple(way) for way in voicings(chord.pitch_classes, fifth(chord), voices, 50, 69).tolist()}
    third = chord.pitch_classes[1]
    wanted = {w for w in brute_force(chord, voices, 50, 69) if sum(k % 12 == third for k in w) == 1}
    assert ways == wanted


def test_tempo_and_key_do_not_tell_which_piece_it_is():
    """Of 64 test pieces most share their tempo with a third of the others, and tempo and scale with several."""
    tempo, both = [], []
    for piece in [piece for piece, split in band.pieces().items() if split == "test"][:64]:
        rng = seeds.generator("band", band.SEED, "arrangement", piece)
        mode = tunes.table()[piece]["mode"]
        tempo.append(float(rng.choice(STYLES[band.style_of()[piece]].bpm)))
        tonic = rng.choice(arranger.KEYS[mode], p=arranger.KEY_SHARES)
        both.append((tempo[-1], frozenset((int(tonic) + step) % 12 for step in SCALES[mode])))
    assert np.median([Counter(tempo)[bpm] for bpm in tempo]) > 64 / 3
    assert np.mean([Counter(both)[pair] > 3 for pair in both]) > 0.75


# --- harmony


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


# --- performance: one clock for all, and players around it


BARS = 24


def page(swing=0.5, **parts) -> Arrangement:
    """A page of bars of four; parts are lists of (onset, pitch) by role, each lasting a quarter of a beat."""
    strokes = {role: tuple(Stroke(at, 0.25, pitch, 80.0) for at, pitch in notes) for role, notes in parts.items()}
    made = tuple(Part(role, role, 40, role == "drums", own) for role, own in strokes.items())
    beats = tuple((float(n), n % 4 + 1) for n in range(4 * BARS))
    chords = tuple(Chord(4 * n, 4, (5 * n) % 12, "maj") for n in range(BARS))
    return Arrangement("x", "x", "rock", 100.0, 1.0, swing, 0, "major", beats, chords, ((0.0, "A"),), made)


def on_beats(pitch=60):
    return [(float(n), pitch) for n in range(4 * BARS)]


def perform(arrangement, feel, seed=1):
    return performance.perform(arrangement, feel, np.random.default_rng(seed))


def test_a_machine_plays_the_page():
    (notes,), seconds = perform(page(bass=[(0.0, 40), (0.5, 41), (2.25, 42)]), Feel())
    quarter = 60 / 100
    np.testing.assert_allclose(seconds, 0.1 + quarter * np.arange(4 * BARS))
    np.testing.assert_allclose([n.onset - 0.1 for n in notes], [0, 0.5 * quarter, 2.25 * quarter], atol=1e-6)
    np.testing.assert_allclose([n.duration for n in notes], 0.25 * quarter, atol=1e-6)
    assert [(n.pitch, n.velocity) for n in notes] == [(40, 80), (41, 80), (42, 80)]


@pytest.mark.parametrize(("written", "override", "expected"), [(0.5, None, 0.5), (0.67, None, 0.67), (0.67, 0.6, 0.6)])
def test_swing_moves_the_second_half_of_a_beat(written, override, expected):
    (notes,), seconds = perform(page(swing=written, lead=[(3.0, 60), (3.5, 60), (3.75, 60)]), Feel(swing=override))
    places = (np.array([n.onset for n in notes]) - seconds[3]) / (seconds[4] - seconds[3])
    np.testing.assert_allclose(places, [0, expected, (1 + expected) / 2], atol=1e-6)


def test_rubato_bends_all_parts_alike():
    """Without looseness every part is exactly on the common clock, however free that is."""
    arrangement = page(drums=on_beats(36), bass=on_beats(40), lead=[(n + 0.5, 70) for n in range(4 * BARS - 1)])
    steady = np.diff(perform(arrangement, Feel())[1])
    spreads = []
    for rubato in (0.05, 0.1, 0.2, 0.4):
        (drums, bass, lead), seconds = perform(arrangement, Feel(rubato=rubato))
        np.testing.assert_allclose([n.onset for n in drums], seconds, atol=1e-9)
        np.testing.assert_allclose([n.onset for n in bass], seconds, atol=1e-9)
        np.testing.assert_allclose([n.onset for n in lead], (seconds[:-1] + seconds[1:]) / 2, atol=1e-6)
        spreads.append(np.std(np.log(np.diff(seconds) / steady)))
    np.testing.assert_allclose(spreads, [0.05, 0.1, 0.2, 0.4], rtol=0.35)


@pytest.mark.parametrize("change", [{"rubato": 0.3}, {"drift": 0.02}, {"ritardando": 0.5}, {"fermata": 0.3}])
def test_how_much_is_drawn_does_not_depend_on_the_feel(change):
    """Performances differ by what is changed alone: here by the clock."""
    arrangement = replace(page(bass=on_beats(40), lead=on_beats()), fermatas=((14.0, 16.0),))
    calm, steady = perform(arrangement, TIGHT)
    free, bent = perform(arrangement, replace(TIGHT, **change))
    assert not np.allclose(steady, bent)
    for one, other in zip(calm, free, strict=True):
        assert [n.velocity for n in one] == [n.velocity for n in other]
        np.testing.assert_allclose([n.onset for n in one] - steady, [n.onset for n in other] - bent, atol=1e-9)
