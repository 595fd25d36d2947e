"""Zero-shot beat tracking as a whole: what has no beat, what is refused, and metronomes by the shipped weights."""

import numpy as np
import pytest

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.evaluate import beats
from phalar.evaluate.beat_map import PhaseScores
from phalar.evaluate.beat_windows import sliding_ruler
from phalar.evaluate.beats import DECODERS, above, as_map, as_published, decode, pulse, rotated, summarise, zero_shot
from phalar.evaluate.metronomes import metronome
from phalar.evaluate.trackers import beat_scores, f_measure
from phalar.paths import PACKAGE

TIME = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
NOTHING = {
    "silence": np.zeros(8 * SAMPLE_RATE, np.float32),
    "tone": np.sin(2 * np.pi * 440 * TIME).astype(np.float32),
    "short": metronome(120, 4.0),
}


@pytest.fixture(scope="module")
def tracker(stirred):
    model = stirred("phalar")
    return zero_shot(model, ruler=sliding_ruler(model, (60.0, 100.0, 140.0), shift=0.15))


@pytest.mark.parametrize("what", list(NOTHING))
def test_where_there_is_no_beat_none_is_found_and_the_score_says_so(tracker, stirred, what):
    for track in (tracker, as_published(stirred("phalar"))):
        found = track(NOTHING[what], SAMPLE_RATE)
        assert found.shape == (0,)
        assert set(beat_scores(np.array([0.5, 1.0, 1.5]), found).values()) == {0.0}


def test_a_tracker_takes_any_waveform_and_gives_seconds_in_order(tracker):
    rate = 22_050
    samples = np.zeros((2, 6 * rate), np.int16)
    samples[:, ::11_025] = 20_000
    found = tracker(samples, rate)
    assert len(found) > 3
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0
    assert found[-1] < 6


def swinging(bpm, seconds=20.0, sharpness=4.0, tempi=tuple(range(50, 200, 2))):
    """Phase scores as of a piece that clicks at ``bpm`` from 0.4 s on, and of a model that hears it well."""
    starts = np.arange(0, seconds - 4.8, 0.3)
    scores = []
    for tempo in tempi:
        count = int(np.ceil(60 / tempo / 0.06))
        clicks = starts[:, None] + np.arange(count) / count * 60 / tempo
        off = np.abs((clicks - 0.4 + 30 / bpm) % (60 / bpm) - 30 / bpm)
        fit = np.exp(-((off / 0.05) ** 2)) * np.exp(-((np.log2(tempo / bpm) / 0.04) ** 2))
        scores.append(sharpness * fit)
    return PhaseScores(tuple(scores), np.array(tempi, dtype=float), starts, seconds, 1.0)


@pytest.mark.parametrize("decoder", ["path", "one tempo", "network"])
@pytest.mark.parametrize("bpm", [76, 100, 124])
def test_every_decoder_of_ours_finds_a_clear_pulse_to_the_end_of_the_piece(decoder, bpm):
    expected = np.arange(0.4, 20, 60 / bpm)
    found = decode(swinging(bpm), decoder)
    assert f_measure(expected, found) > 0.95
    assert found[-1] > 18, "although the last window begins at 15 s"


def test_the_published_map_ends_where_windows_end_and_counts_from_the_first_click():
    phases = swinging(100)
    published, whole = as_map(phases, "published"), as_map(phases)
    assert published.step == 0.02
    assert published.times[-1] == pytest.approx(phases.starts[-1], abs=0.02)
    assert whole.times[-1] == pytest.approx(20, abs=0.02)
    row = int(np.flatnonzero(phases.tempi == 100)[0])
    peak = published.times[published.values[row, :30].argmax()]
    assert peak == pytest.approx(0.4 - 0.02, abs=0.021), "the window that begins 0.02 s before the click"


def test_a_pulse_is_measured_against_a_metronomes():
    assert pulse(swinging(100, sharpness=4.0)) == pytest.approx(4 * pulse(swinging(100, sharpness=1.0)))
    assert len(decode(swinging(100, sharpness=1e-3))) == 0, "a thousandth of a metronome's swing is no beat"
    assert len(decode(None)) == 0


def test_scores_are_averaged_over_tracks_with_their_interval():
    ours = [{"f1": value, "amlt": 1.0} for value in (0.2, 0.4, 0.9, 0.7)]
    floor = [{"f1": value, "amlt": 0.0} for value in (0.1, 0.3, 0.5, 0.5)]
    found = summarise(ours)
    assert found["f1"].value == pytest.approx(0.55)
    assert found["f1"].low < 0.55 < found["f1"].high
    assert (found["amlt"].low, found["amlt"].high, found["amlt"].tracks) == (1, 1, 4)
    assert above(ours, floor).value == pytest.approx(0.2)
    assert above(ours, floor).low >= 0.1, "paired: no track is below its floor by less"
    with pytest.raises(InputError, match="no tracks"):
        summarise([])


def test_what_does_not_exist_is_refused_by_name(stirred):
    with pytest.raises(InputError, match=r"'tapping'.*published"):
        zero_shot(stirred("phalar"), "tapping")
    with pytest.raises(InputError, match="'tapping'"):
        decode(swinging(100), "tapping")
    with pytest.raises(InputError, match="no phases"):
        rotated(stirred("gap"))
    assert beats.BEST in DECODERS


@pytest.mark.slow
def test_with_the_shipped_weights_metronomes_of_all_tempi_are_found():
    if not (PACKAGE / "weights" / "reference.safetensors").is_file():
        pytest.skip("no reference weights ship with this version")
    from phalar.study.beat_study import listener

    ears = listener("reference")
    track = zero_shot(ears.model, ruler=ears.ruler)
    scores = {}
    for bpm in range(60, 181, 10):
        expected = np.arange(0.3, 12, 60 / bpm)
        found = track(metronome(bpm, 12.0, 0.3), SAMPLE_RATE)
        levels = (expected, expected[::2], expected[1::2], np.arange(0.3, 12, 30 / bpm))
        scores[bpm] = max(f_measure(level, found) for level in levels)
    assert np.mean(list(scores.values())) >= 0.95, scores
