"""How a page is played: one clock for all, and players around it."""

from dataclasses import replace

import numpy as np
import pytest

from phalar.corpora import performance
from phalar.corpora.leadsheet import Arrangement, Chord, Part, Stroke
from phalar.corpora.performance import TIGHT, Feel

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
