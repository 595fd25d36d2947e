"""From maps to beats: the published steps against brute force, and every decoder against maps whose beats are known."""

import numpy as np
import pytest

from phalar.evaluate import beat_decoding, beat_path
from phalar.evaluate.beat_decoding import dilated, eroded, onset_curve, published_beats, rises, steepest
from phalar.evaluate.beat_map import BeatMap
from phalar.evaluate.beat_network import network_beats, pulse_curve
from phalar.evaluate.beat_path import Habits, best_path, contrast, one_tempo_beats, path_beats, preference, salience
from phalar.evaluate.beat_windows import LADDER
from phalar.evaluate.trackers import f_measure

PATHS = {"path": path_beats, "one tempo": one_tempo_beats}


def ideal(beats, tempo_at, seconds=30.0, step=0.01, tempi=LADDER, width=0.04):
    """What a perfect model would show: a bump at each beat, in the row of the tempo that holds there, and in the rows
    of nearby tempi a lower one."""
    tempi = np.asarray(tempi, dtype=float)
    times = step * np.arange(round(seconds / step))
    values = np.zeros((len(tempi), len(times)))
    for beat in beats:
        bump = np.exp(-((times - beat) ** 2) / (2 * width**2))
        nearness = np.exp(-((np.log2(tempi / tempo_at(beat)) / 0.05) ** 2))
        values += nearness[:, None] * bump
    return BeatMap(values, tempi, step)


def steady(bpm, seconds=30.0, first=0.22):
    return np.arange(first, seconds, 60 / bpm)


def inner(beats):
    """Without the ends, where half a bump is seen and a decoder may take it or leave it."""
    return beats[(beats > 0.2) & (beats < 29.8)]


@pytest.mark.parametrize("decoder", list(PATHS))
@pytest.mark.parametrize("bpm", [60, 73, 90, 107, 120, 141, 160, 180])
def test_on_an_ideal_map_of_a_steady_piece_our_decoders_are_perfect(decoder, bpm):
    beats = steady(bpm)
    found = PATHS[decoder](ideal(beats, lambda _: bpm))
    assert f_measure(inner(beats), inner(found)) == 1
    assert np.abs(inner(found)[:, None] - beats).min(axis=1).max() <= 0.015, "to the column, not just within 70 ms"


@pytest.mark.parametrize("bpm", [75, 96, 120, 150])
def test_on_an_ideal_map_the_published_steps_find_every_beat_within_their_tolerance(bpm):
    beats = steady(bpm)
    # As published, a column is the window that begins there; its metronome clicks 0.02 s later. Similarity rises before
    # it peaks: an ideal map for this decoder is one whose rise is where the beat is.
    found = published_beats(ideal(beats - 0.02 + 0.04, lambda _: bpm, step=0.02, tempi=range(30, 241)))
    assert f_measure(beats, found) > 0.97, "librosa leaves out weak first and last beats"
    assert len(found) == pytest.approx(len(beats), abs=2)


def test_the_network_finds_the_beats_of_an_ideal_curve():
    beats = steady(100)
    beat_map = ideal(beats, lambda _: 100)
    assert f_measure(inner(beats), inner(network_beats(beat_map))) == 1
    curve = pulse_curve(beat_map)
    assert curve.min() == 0
    assert curve.max() == 1
    peaks = beat_map.times[1:-1][(curve[1:-1] > 0.9) & (curve[1:-1] >= curve[:-2]) & (curve[1:-1] >= curve[2:])]
    assert np.abs(peaks[:, None] - beats).min(axis=1).max() <= 0.02


def test_the_path_follows_a_tempo_that_drifts_where_one_tempo_cannot():
    tempo = lambda t: 100 * 2 ** (0.4 * np.sin(2 * np.pi * t / 30))  # noqa: E731
    beats = [0.3]
    while beats[-1] < 29.3:
        beats.append(beats[-1] + 60 / tempo(beats[-1]))
    beats = np.array(beats)
    beat_map = ideal(beats, tempo)
    times, tempi = best_path(beat_map)
    assert f_measure(beats, times) == 1
    assert np.abs(np.log2(tempi / [tempo(t) for t in times])).max() < 0.15
    assert f_measure(beats, one_tempo_beats(beat_map)) < 0.9


def test_the_path_is_the_best_of_all_paths():
    rng = np.random.default_rng(0)
    tempi = np.array([300.0, 400.0, 600.0])  # beats of 4, 3 and 2 columns
    beat_map = BeatMap(rng.standard_normal((3, 9)), tempi, 0.05)
    habits = Habits(lowest=200, highest=700, usual=400, change=0.4, slip=0.2)
    columns = np.round(60 / tempi / beat_map.step).astype(int)
    seconds = 60 / tempi
    earned = (contrast(beat_map) + preference(tempi, habits)[:, None]) * seconds[:, None]

    def paths(b, t):
        """Every path from a beat in row b at column t, and what it earns."""
        for slip in (0, -1, 1):
            for other in range(3):
                cost = habits.slip * abs(slip) + habits.change * abs(np.log2(tempi[other] / tempi[b]))
                there = t + columns[b] + slip
                rest = paths(other, there) if there < 9 else [(0.0, ())]
                for value, more in rest:
                    yield earned[b, t] - cost + value, ((t, b), *more)

    _, best = max(max(paths(b, t)) for b in range(3) for t in range(columns[b]))
    times, followed = best_path(beat_map, habits)
    assert [(round(t / 0.05), tempo) for t, tempo in zip(times, followed, strict=True)] == [
        (t, tempi[b]) for t, b in best
    ]


def test_contrast_says_when_a_tempo_fits_and_not_whether():
    beats = steady(120)
    one = ideal(beats, lambda _: 120)
    raised = BeatMap(3 * one.values + np.linspace(-5, 9, len(one.tempi))[:, None], one.tempi, one.step)
    assert contrast(raised) == pytest.approx(contrast(one), abs=1e-6)
    assert contrast(one).std() == pytest.approx(1)
    assert one.tempi[salience(one).argmax()] == pytest.approx(120, rel=0.02)


def test_habits_decide_only_where_the_map_does_not():
    both = [ideal(steady(bpm), lambda _, bpm=bpm: bpm).values for bpm in (80, 160)]
    beat_map = BeatMap(both[0] + both[1], np.array(LADDER))
    slow, quick = (Habits(usual=usual, octaves=0.4, pull=2.0) for usual in (70, 170))
    assert f_measure(steady(80), path_beats(beat_map, slow)) == 1
    assert f_measure(steady(160), path_beats(beat_map, quick)) == 1
    assert f_measure(steady(80), path_beats(BeatMap(both[0], np.array(LADDER)), quick)) == 1


@pytest.mark.parametrize("decoder", [published_beats, network_beats, path_beats, one_tempo_beats])
def test_a_flat_map_has_no_beats(decoder):
    for values in (np.zeros((len(LADDER), 500)), np.full((len(LADDER), 500), 3.7)):
        assert len(decoder(BeatMap(values, np.array(LADDER)))) == 0
    assert len(decoder(BeatMap(np.zeros((len(LADDER), 1)), np.array(LADDER)))) == 0


def test_the_published_steps_against_their_definitions():
    rng = np.random.default_rng(1)
    values = rng.standard_normal((7, 12))
    change = rises(values)
    assert change[:, 1:-1] == pytest.approx((values[:, 2:] - values[:, :-2]) / 2)
    kept = rng.random((7, 12)) < 0.4
    for cleaned, least in ((eroded(kept), 3), (dilated(kept), 1)):
        for b in range(7):
            for t in range(12):
                around = kept[max(b - 1, 0) : b + 2, max(t - 1, 0) : t + 2]
                assert cleaned[b, t] == (around.sum() >= least)
    wild = np.zeros((20, 50))
    wild[10, 25] = 1.0
    assert steepest(wild).sum() == 1, "one cell of a thousand lies more than three deviations above the mean"
    assert not dilated(eroded(steepest(wild))).any(), "a speck alone is cleaned away"
    assert not steepest(np.ones((4, 5))).any()


def test_the_curve_counts_tempi_that_rise_together():
    values = np.zeros((40, 60))
    values[8:20, 30:] = 1.0
    curve = onset_curve(BeatMap(values, np.arange(60, 100), 0.02))
    assert set(np.flatnonzero(curve)) <= {27, 28, 29, 30, 31, 32}
    assert curve.max() == pytest.approx(12, abs=2)
    assert beat_decoding.FIRST == 0.02
    assert beat_path.REACH >= 1
