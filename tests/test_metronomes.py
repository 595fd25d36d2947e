"""Metronomes: clicks where and as often as asked for, from the SoundFont or from a formula."""

import numpy as np
import pytest

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.evaluate import metronomes
from phalar.evaluate.metronomes import CLICKS, bank, clicks_at, metronome


def onsets(samples, rate=SAMPLE_RATE, gap=0.1):
    """Seconds at which sound sets in after silence or decay."""
    block = rate // 500
    level = np.abs(samples[: len(samples) // block * block]).reshape(-1, block).max(axis=1)
    loud = np.flatnonzero(level > 0.5 * level.max())
    return loud[np.insert(np.diff(loud) > gap * rate / block, 0, True)] * block / rate


@pytest.mark.parametrize("click", list(CLICKS))
@pytest.mark.parametrize("bpm", [30, 60, 97.5, 240])
def test_a_metronome_clicks_at_its_tempo_from_its_first_click_on(bpm, click):
    samples = metronome(bpm, 5.0, click=click)
    assert samples.dtype == np.float32
    assert len(samples) == 5 * SAMPLE_RATE
    assert np.abs(samples).max() == pytest.approx(0.9)
    expected = np.arange(0.02, 5, 60 / bpm)
    assert onsets(samples) == pytest.approx(expected, abs=0.006)
    assert onsets(metronome(bpm, 5.0, first=0.1, click=click))[0] == pytest.approx(0.1, abs=0.006)


def test_the_published_bank_is_211_metronomes_of_five_seconds():
    assert metronomes.TEMPI[0] == 30
    assert metronomes.TEMPI[-1] == 240
    assert len(metronomes.TEMPI) == 211
    some = bank((60, 120), "tick")
    assert some.shape == (2, 80_000)
    assert np.array_equal(some[1], metronome(120, click="tick"))


@pytest.mark.parametrize("rate", [16_000, 22_050, 44_100])
def test_clicks_fall_on_the_beats_at_any_rate_and_not_outside(rate):
    beats = [0.5, 1.25, 2.0]
    assert onsets(clicks_at([-1.0, *beats, 9.0], 3 * rate, rate, "tick"), rate) == pytest.approx(beats, abs=0.006)
    assert not clicks_at([], 100, rate).any()


def test_the_last_click_is_cut_where_the_metronome_ends():
    assert len(metronome(60, 1.03, click="tick")) == round(1.03 * SAMPLE_RATE)
    assert not metronome(60, 1.0, first=2.0).any()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [((0,), "bpm=0"), ((float("nan"),), "bpm=nan"), ((120, -1.0), "seconds=-1.0"), ((120, 5.0, -0.1), "first=-0.1")],
)
def test_an_impossible_metronome_is_refused(arguments, named):
    with pytest.raises(InputError, match=named):
        metronome(*arguments)


def test_an_unknown_click_and_an_empty_bank_are_refused():
    with pytest.raises(InputError, match="woodblock, tick"):
        metronome(120, click="cowbell")
    with pytest.raises(InputError, match="at least one"):
        bank(())
