"""How a band plays: one clock for all, and players around it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from phalar.corpora import groove
from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.groove import Feel
from phalar.corpora.leadsheet import Chord

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
            Part(
                role,
                role,
                40,
                role == "drums",
                tuple(Stroke(onset, 0.25 * beat, pitch, 80.0) for onset, pitch in notes),
            )
            for role, notes in parts.items()
        ),
    )


def on_beats(pitch=60, count=4 * BARS):
    return [(float(n), pitch) for n in range(count)]


def perform(arrangement, feel, seed=1):
    return groove.perform(arrangement, feel, np.random.default_rng(seed))


def test_a_machine_plays_the_page():
    (notes,), seconds = perform(page(bass=[(0.0, 40), (0.5, 41), (2.25, 42)]), Feel())
    quarter = 60 / 100
    np.testing.assert_allclose(seconds, groove.LEAD_IN + quarter * np.arange(4 * BARS))
    np.testing.assert_allclose([n.onset - groove.LEAD_IN for n in notes], [0, 0.5 * quarter, 2.25 * quarter], atol=1e-6)
    np.testing.assert_allclose([n.duration for n in notes], 0.25 * quarter, atol=1e-6)
    assert [n.pitch for n in notes] == [40, 41, 42]
    assert [n.velocity for n in notes] == [80, 80, 80]


@pytest.mark.parametrize(("written", "override", "expected"), [(0.5, None, 0.5), (0.67, None, 0.67), (0.67, 0.6, 0.6)])
def test_swing_moves_the_second_half_of_a_beat(written, override, expected):
    (notes,), seconds = perform(page(swing=written, lead=[(3.0, 60), (3.5, 60), (3.75, 60)]), Feel(swing=override))
    places = (np.array([n.onset for n in notes]) - seconds[3]) / (seconds[4] - seconds[3])
    np.testing.assert_allclose(places, [0, expected, (1 + expected) / 2], atol=1e-6)


def test_triplets_do_not_swing_twice():
    (notes,), seconds = perform(page(swing=0.67, lead=[(3.0, 60), (3 + 1 / 3, 60), (3 + 2 / 3, 60)]), Feel())
    places = (np.array([n.onset for n in notes]) - seconds[3]) / (seconds[4] - seconds[3])
    np.testing.assert_allclose(places, [0, 1 / 3, 2 / 3], atol=1e-6)


def test_swung_moments_keep_their_order():
    sixteenths = np.arange(-1, 12, 1 / 4)
    assert (np.diff(groove.swung(sixteenths, page(), 0.7)) > 0).all()
    for arrangement in (page(), page(beat=1.5, beats_per_bar=2)):
        np.testing.assert_allclose(groove.swung(sixteenths, arrangement, 0.5), sixteenths, atol=1e-6)


def test_roles_push_and_lay_back():
    (bass, lead), seconds = perform(page(bass=on_beats(40), lead=on_beats()), Feel(push={"bass": -0.01, "lead": 0.02}))
    np.testing.assert_allclose([n.onset for n in bass] - seconds, -0.01, atol=1e-9)
    np.testing.assert_allclose([n.onset for n in lead] - seconds, 0.02, atol=1e-9)


def test_players_stray_as_much_as_their_feel_says():
    strays = []
    for seed in range(40):
        (notes,), seconds = perform(page(bass=on_beats(40)), Feel(looseness=0.01), seed)
        strays.append([n.onset for n in notes] - seconds)
    spread = np.std(strays)
    assert 0.007 < spread < 0.013
    assert np.abs(np.mean(strays)) < 0.003
    assert np.abs(strays).max() < 0.01 * groove.LIMIT * 1.2 + 1e-9


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
    assert (np.diff(spreads) > 0).all()
    np.testing.assert_allclose(spreads, [0.05, 0.1, 0.2, 0.4], rtol=0.35)


def test_how_much_is_drawn_does_not_depend_on_the_feel():
    """A stress set differs from its songs by the rubato alone."""
    arrangement = page(bass=on_beats(40), lead=on_beats())
    feel = replace(groove.TIGHT, rubato=0.0)
    calm, steady = perform(arrangement, feel)
    free, bent = perform(arrangement, replace(feel, rubato=0.3))
    for one, other in zip(calm, free, strict=True):
        assert [n.velocity for n in one] == [n.velocity for n in other]
        np.testing.assert_allclose([n.onset for n in one] - steady, [n.onset for n in other] - bent, atol=1e-9)


def test_drift_is_slow():
    lengths = np.log(np.diff(perform(page(), Feel(drift=0.02))[1]))
    assert 0.01 < np.std(lengths) < 0.035
    assert np.abs(np.diff(lengths)).max() < 0.01


def test_a_ritardando_slows_the_end_and_nothing_else():
    plain, slowing = perform(page(), Feel())[1], perform(page(), Feel(ritardando=0.5))[1]
    ratio = np.diff(slowing) / np.diff(plain)
    np.testing.assert_allclose(ratio[:-8], 1)
    assert (np.diff(ratio[-8:]) > 0).all()
    assert 1.3 < ratio[-1] <= 1.5


def test_strums_go_down_on_the_beat_and_up_between():
    chord = [48, 52, 55, 60]
    (notes,), _ = perform(page(strum=[(q, p) for q in (2.0, 2.5) for p in chord]), Feel(strum=0.01))
    assert [n.pitch for n in notes] == chord + chord[::-1]
    np.testing.assert_allclose(np.diff([n.onset for n in notes[:4]]), 0.01)
    np.testing.assert_allclose(np.diff([n.onset for n in notes[4:]]), 0.01)


def test_chords_are_stored_as_played():
    arrangement = page()
    seconds = perform(arrangement, Feel(rubato=0.2, drift=0.02))[1]
    played = groove.chords(arrangement, seconds)
    assert len(played) == BARS
    assert all(a[1] == b[0] for a, b in pairwise(played))
    np.testing.assert_allclose([start for start, _, _ in played], seconds[::4], atol=1e-4)
    assert played[0][2] == "C:maj"
    last = seconds[-1] - seconds[-2]
    np.testing.assert_allclose(played[-1][1], seconds[-1] + last, atol=1e-4)


def test_only_who_makes_the_pitch_has_vibrato():
    (violin, drums), _ = perform(page(lead=on_beats(), drums=on_beats(36)), groove.TIGHT)
    assert all(n.vibrato_cents > 0 for n in violin)
    assert all(n.vibrato_cents == n.cents == 0 for n in drums)


@pytest.mark.parametrize("style", ["rock", "hip-hop", "slow waltz", "swing"])
def test_studio_and_expressive_bands_play_playable_notes(style):
    arrangement = page(swing=0.64, drums=on_beats(36), strum=[(q, p) for q in range(90) for p in (50, 55, 59)])
    for seed in range(8):
        rng = np.random.default_rng(seed)
        for feel in (groove.studio_feel(style, rng), groove.expressive_feel(rng)):
            parts, seconds = perform(arrangement, feel, seed)
            assert (np.diff(seconds) > 0.2).all()
            assert parts == perform(arrangement, feel, seed)[0]
            for note in (n for part in parts for n in part):
                assert note.onset >= 0
                assert note.duration >= groove.SHORTEST
                assert 1 <= note.velocity <= 127


def test_expressive_bands_are_less_steady_than_those_to_a_click():
    arrangement = page()
    unsteady = []
    for seed in range(10):
        seconds = perform(arrangement, groove.expressive_feel(np.random.default_rng(seed)), seed)[1]
        unsteady.append(np.std(np.log(np.diff(seconds))))
    assert min(unsteady) > 0.03
    assert np.ptp(np.diff(perform(arrangement, groove.TIGHT)[1])) < 1e-9
