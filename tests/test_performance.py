"""How a page is played: one clock for all, and players around it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from phalar.corpora import performance
from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.leadsheet import Chord
from phalar.corpora.performance import TIGHT, Feel

BARS = 24


def page(swing=0.5, beat=1.0, beats_per_bar=4, bpm=100.0, **parts) -> Arrangement:
    """A page of bars; parts are lists of (onset, pitch) by role, each lasting a quarter of a beat."""
    bar = beat * beats_per_bar
    return Arrangement(
        id="x",
        title="x",
        style="rock",
        bpm=bpm,
        beat=beat,
        swing=swing,
        tonic=0,
        mode="major",
        beats=tuple((n * beat, n % beats_per_bar + 1) for n in range(BARS * beats_per_bar)),
        chords=tuple(Chord(n * bar, bar, (5 * n) % 12, "maj") for n in range(BARS)),
        sections=((0.0, "A"),),
        parts=tuple(
            Part(role, role, 40, role == "drums", tuple(Stroke(at, 0.25 * beat, pitch, 80.0) for at, pitch in notes))
            for role, notes in parts.items()
        ),
    )


def on_beats(pitch=60, count=4 * BARS):
    return [(float(n), pitch) for n in range(count)]


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


def test_triplets_do_not_swing_twice_and_moments_keep_their_order():
    thirds = [3.0, 3 + 1 / 3, 3 + 2 / 3]
    np.testing.assert_allclose(performance.swung(thirds, page(), 0.67), thirds, atol=1e-6)
    sixteenths = np.arange(-1, 12, 1 / 4)
    assert (np.diff(performance.swung(sixteenths, page(), 0.7)) > 0).all()
    for arrangement in (page(), page(beat=1.5, beats_per_bar=2)):
        np.testing.assert_allclose(performance.swung(sixteenths, arrangement, 0.5), sixteenths, atol=1e-6)


def test_players_stray_as_much_as_their_feel_says():
    strays = []
    for seed in range(40):
        (notes,), seconds = perform(page(bass=on_beats(40)), Feel(looseness=0.01), seed)
        strays.append([n.onset for n in notes] - seconds)
    assert 0.007 < np.std(strays) < 0.013
    assert np.abs(np.mean(strays)) < 0.003
    assert np.abs(strays).max() < 0.01 * performance.LIMIT * 1.2 + 1e-9


def test_rubato_bends_all_parts_alike():
    """Without looseness every part is exactly on the common clock, however free that is."""
    arrangement = page(drums=on_beats(36), bass=on_beats(40), lead=[(n + 0.5, 70) for n in range(4 * BARS - 1)])
    steady = np.diff(perform(arrangement, Feel())[1])
    spreads = []
    for strength in (0.05, 0.1, 0.2, 0.4):
        (drums, bass, lead), seconds = perform(arrangement, Feel(rubato=strength))
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


def test_drift_is_slow_and_a_ritardando_slows_the_end_alone():
    lengths = np.log(np.diff(perform(page(), Feel(drift=0.02))[1]))
    assert 0.01 < np.std(lengths) < 0.035
    assert np.abs(np.diff(lengths)).max() < 0.01
    ratio = np.diff(perform(page(), Feel(ritardando=0.5))[1]) / np.diff(perform(page(), Feel())[1])
    np.testing.assert_allclose(ratio[:-8], 1)
    assert (np.diff(ratio[-8:]) > 0).all()
    assert 1.3 < ratio[-1] <= 1.5


def test_strings_of_a_strum_follow_each_other_as_written():
    chord = [48, 52, 55, 60]
    (notes,), _ = perform(page(strum=[(2.0, p) for p in chord] + [(2.5, p) for p in chord[::-1]]), Feel(strum=0.01))
    assert [n.pitch for n in notes] == chord + chord[::-1]
    np.testing.assert_allclose(np.diff([n.onset for n in notes]).reshape(-1)[[0, 1, 2, 4, 5, 6]], 0.01)


def test_chords_are_stored_as_played_and_where_there_is_none_is_silence():
    arrangement = page()
    seconds = perform(arrangement, Feel(rubato=0.2, drift=0.02))[1]
    played = performance.chords(arrangement, seconds)
    assert len(played) == BARS
    assert all(a[1] == b[0] for a, b in pairwise(played))
    np.testing.assert_allclose([start for start, _, _ in played], seconds[::4], atol=1e-4)
    assert played[0][2] == "C:maj"
    np.testing.assert_allclose(played[-1][1], 2 * seconds[-1] - seconds[-2], atol=1e-4)
    gap = replace(arrangement, chords=(*arrangement.chords[:3], *arrangement.chords[4:-1]))
    assert [label for _, _, label in performance.chords(gap, seconds)][2:5] == ["Bb:maj", "N", "Ab:maj"]
    assert performance.chords(gap, seconds)[-1][2] == "N"


def test_hymns_breathe():
    """A fermata yields, phrases swell, strong beats are leaned on, and a repeated note is struck anew."""
    line = [67, 69, 71, 72, 71, 69, 67, 74, 74, 71, 69, 71, 67, 64, 66, 67]
    arrangement = replace(page(soprano=list(enumerate(map(int, line)))), fermatas=((11.0, 12.0), (15.0, 16.0)))
    part = arrangement.parts[0]
    part = replace(part, strokes=tuple(replace(s, onset=float(s.onset), duration=1.0) for s in part.strokes))
    arrangement = replace(arrangement, parts=(part,))
    feel = Feel(looseness=0.01, velocity=3.0, fermata=0.3, arch=12, accent=8, detached=0.3)
    played = [perform(arrangement, feel, seed)[0][0] for seed in range(60)]
    beats = np.diff(perform(arrangement, feel)[1]) * 100 / 60
    np.testing.assert_allclose(beats[:9], 1, rtol=1e-9)
    assert 1.25 < beats[11] <= 1.3 + 1e-9
    assert beats[12] == pytest.approx(1)  # and then it goes on
    velocity = np.mean([[n.velocity for n in notes] for notes in played], axis=0)
    assert velocity[4] > velocity[5]  # a first beat against a second
    assert velocity[[5, 6]].mean() > velocity[[1, 11]].mean()  # the middle of a phrase against its edges
    gaps = np.array([notes[8].onset - notes[7].onset - notes[7].duration for notes in played])
    assert (gaps > 0.02).mean() > 0.9
    shares = [notes[0].duration * 100 / 60 for notes in played]
    assert 0.68 < min(shares) < 0.8 < 0.99 < max(shares) <= 1 + 1e-6  # from detached to legato


@pytest.mark.parametrize("style", ["rock", "hip-hop", "waltz", "swing"])
def test_studio_expressive_and_hymn_feels_give_playable_notes(style):
    arrangement = page(swing=0.64, drums=on_beats(36), strum=[(q, p) for q in range(90) for p in (50, 55, 59)])
    unsteady = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        feels = (
            performance.studio_feel(style, rng),
            performance.draw_feel("expressive", rng),
            performance.draw_feel("hymn", rng),
        )
        for feel in feels:
            parts, seconds = perform(arrangement, feel, seed)
            assert (np.diff(seconds) > 0.2).all()
            assert parts == perform(arrangement, feel, seed)[0]
            for note in (n for part in parts for n in part):
                assert note.onset >= 0
                assert note.duration >= performance.SHORTEST
                assert 1 <= note.velocity <= 127
        unsteady.append(np.std(np.log(np.diff(perform(arrangement, feels[1], seed)[1]))))
    assert min(unsteady) > 0.03
    assert np.ptp(np.diff(perform(arrangement, TIGHT)[1])) < 1e-9
