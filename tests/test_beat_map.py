"""The similarity map: alignment of windows, both ways to fill it, and what is no piece with a beat at all."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.evaluate import beat_windows
from phalar.evaluate.beat_map import PhaseScores, compare, map_of, phase_scores, published_map, swings
from phalar.evaluate.beat_windows import (
    LEAD,
    WINDOW,
    encode_windows,
    picture_of,
    pooled,
    rotated_ruler,
    scattered_starts,
    sliding_ruler,
    windows,
)
from phalar.evaluate.metronomes import metronome

TEMPI = (100.0, 120.0)


@pytest.fixture(scope="module")
def model(stirred):
    return stirred("phalar")


@pytest.fixture(scope="module")
def ruler(model):
    return sliding_ruler(model, TEMPI, shift=0.05)


def clicks(bpm=120, seconds=7.0, first=0.3):
    return metronome(bpm, seconds, first)


def apart(a, b):
    """Largest distance of two embeddings, relative to their size."""
    return float(((a - b).norm(dim=-1) / b.norm(dim=-1)).max())


def test_windows_are_cut_from_one_picture_and_padded_at_the_right(model):
    picture = picture_of(model, clicks(), SAMPLE_RATE)
    cut = windows(picture, [0, 7, 100])
    assert torch.equal(cut[2], picture[0, :, 100 : 100 + WINDOW])
    features = model.backbone(cut)
    steps = features.permute(0, 3, 2, 1).flatten(2)
    assert steps.shape[1] == 15
    sequence = F.pad(model.pooling.project(steps).transpose(1, 2), (0, 4))  # nothing on the left
    spectrum = torch.fft.rfft(sequence, norm="ortho")[..., 1:9]
    spectrum = spectrum / spectrum.abs().mean(dim=(-2, -1), keepdim=True)
    assert pooled(model, cut).unflatten(1, (80, 8)) == pytest.approx(spectrum.detach(), abs=1e-4)
    assert encode_windows(model, cut) == pytest.approx(model.head(spectrum.flatten(1)).detach(), abs=1e-3)


def test_windows_begin_within_the_piece_and_march_in_step_with_nothing():
    for frames in (480, 481, 700, 3001):
        starts = scattered_starts(frames)
        assert starts.min() >= 0
        assert starts.max() <= frames - WINDOW
        assert (np.diff(starts) > 0).all()
        assert len(starts) == 1 or starts[0] < 32
    gaps = np.diff(scattered_starts(3001))
    assert gaps.mean() == pytest.approx(31.9, abs=0.5)
    assert len(set(gaps)) > 3
    for period in (25, 32, 48, 64):  # beats of 240, 187.5, 125 and 94 a minute
        phases = scattered_starts(3001) % period / period
        assert abs(np.exp(2j * np.pi * phases).mean()) < 0.2


def test_a_rulers_metronome_is_a_window_that_begins_before_a_click(model, ruler):
    """Shift n of tempo b clicks n / N of a beat after the window's beginning."""
    first = 0
    for bpm, count in zip(ruler.tempi, ruler.shifts, strict=True):
        beat = 60 / bpm
        assert beat / count == pytest.approx(0.05), "whole frames at these tempi"
        for n in (0, 3):
            steady = metronome(bpm, LEAD + 5.0, (LEAD + beat * n / count) % beat)
            picture = picture_of(model, steady, SAMPLE_RATE)
            alone = encode_windows(model, windows(picture, [round(LEAD * 100)]))[0]
            assert apart(alone, ruler.embeddings[first + n]) < 0.02
        first += count
    assert first == len(ruler.embeddings)


def test_a_metronome_is_most_like_itself_in_both_ways(stirred):
    """With a score that is highest for equal embeddings, even for random ones."""
    like = stirred("cosine")
    audio = clicks(120, 7.0, 0.3)

    def off_the_click(time):
        return abs((time - 0.3 + 0.25) % 0.5 - 0.25)

    published = published_map(like, audio, SAMPLE_RATE, TEMPI)
    assert published.values.shape == (2, 111)
    assert published.step == pytest.approx(0.02)
    row, column = np.unravel_index(published.values.argmax(), published.values.shape)
    assert published.tempi[row] == 120
    assert off_the_click(published.times[column] + 0.02) < 0.021, "it clicks 0.02 s after the column's time"
    phases = phase_scores(like, audio, SAMPLE_RATE, sliding_ruler(like, TEMPI, shift=0.05), hop=10)
    assert phases.scores[1].max() > phases.scores[0].max()
    window, shift = np.unravel_index(phases.scores[1].argmax(), phases.scores[1].shape)
    assert off_the_click(phases.starts[window] + 0.5 * shift / 10) < 0.021


def test_the_map_reads_every_window_at_the_shift_that_clicks_there():
    """Against a truth that is a function of time alone, whatever window is asked."""
    tempi = np.array([75.0, 131.0])
    starts = np.array([0.0, 0.21, 0.64, 0.9, 1.3, 1.61])
    counts = (11, 8)

    def truth(time, bpm):
        return np.cos(2 * np.pi * time * bpm / 60) + 0.5 * np.sin(4 * np.pi * time * bpm / 60)

    scores = tuple(
        truth(starts[:, None] + np.arange(count) / count * 60 / bpm, bpm)
        for bpm, count in zip(tempi, counts, strict=True)
    )
    phases = PhaseScores(scores, tempi, starts, 6.4, 1.0)
    for anchor in (0.0, 2.4):
        made = map_of(phases, anchor)
        assert made.values.shape == (2, 640)
        expected = np.stack([truth(made.times, bpm) for bpm in tempi])
        assert made.values == pytest.approx(expected, abs=0.02), "linear between 64 points of a beat"


def test_swings_do_not_depend_on_what_has_nothing_to_do_with_time():
    rng = np.random.default_rng(0)
    scores = tuple(rng.standard_normal((20, count)) for count in (5, 8))
    phases = PhaseScores(scores, np.array([100.0, 60.0]), np.linspace(0, 8, 20), 13.0, 1.0)
    biased = replace(
        phases, scores=tuple(s + rng.standard_normal((20, 1)) + rng.standard_normal((1, s.shape[1])) for s in scores)
    )
    for one, other in zip(swings(phases).scores, swings(biased).scores, strict=True):
        assert one == pytest.approx(other)
    short = replace(biased, starts=np.linspace(0, 0.5, 20))
    kept = swings(short).scores[0]
    assert kept.mean(axis=1) == pytest.approx(0, abs=1e-12)
    assert np.abs(kept.mean(axis=0)).max() > 0.1, "half a second of windows cannot tell a bias from a beat"


def test_a_model_compares_a_piece_with_its_own_ruler(model, ruler):
    piece = ruler.embeddings[:3]
    phases = compare(model, piece, np.array([0, 30, 60]), 6.0, ruler)
    assert [each.shape for each in phases.scores] == [(3, count) for count in ruler.shifts]
    together = np.concatenate(phases.scores, axis=1)
    assert together == pytest.approx(model.similarity(piece, ruler.embeddings).numpy(), abs=1e-5)
    assert phases.scale > 0
    assert phases.starts == pytest.approx([0, 0.3, 0.6])


def test_turned_metronomes_begin_as_embedded_ones_do(model, ruler):
    turned = rotated_ruler(model, TEMPI, shift=0.05)
    assert np.array_equal(turned.shifts, ruler.shifts)
    firsts = np.cumsum(ruler.shifts) - ruler.shifts
    assert apart(turned.embeddings[firsts], ruler.embeddings[firsts]) < 0.02
    assert apart(turned.embeddings[1], ruler.embeddings[0]) > 0.05, "the second one is turned"


def test_turning_is_a_delay_of_what_the_pooling_sees(model):
    """The theorem itself: a step's delay of a sequence that does not reach the circle's end turns its spectrum."""
    sequence = torch.zeros(1, 80, 19)
    sequence[..., 2:12] = torch.randn(1, 80, 10, generator=torch.Generator().manual_seed(0))
    component = torch.arange(1, 9)
    turn = torch.exp(-2j * torch.pi * component * 0.32 / (19 * 0.32))
    turned = model.pooling.spectrum(sequence) * turn
    assert turned == pytest.approx(model.pooling.spectrum(sequence.roll(1, dims=-1)), abs=1e-4)


def test_a_model_without_phases_has_nothing_to_turn(stirred):
    for name in ("gap", "magnitude"):
        with pytest.raises(InputError, match=f"'{name}' has no phases"):
            rotated_ruler(stirred(name), TEMPI)


@pytest.mark.parametrize("name", ["gap", "mel", "cocola"])
def test_other_variants_have_maps_too(stirred, name):
    other = stirred(name)
    own = sliding_ruler(other, (120.0,), shift=0.2)
    made = map_of(phase_scores(other, clicks(seconds=5.2), SAMPLE_RATE, own))
    assert made.values.shape == (1, 520)
    assert np.isfinite(made.values).all()


def test_where_there_is_no_beat_there_is_no_picture(model):
    time = np.arange(12 * SAMPLE_RATE) / SAMPLE_RATE
    harmonic = sum(np.sin(2 * np.pi * 110 * k * time) / k for k in range(1, 40))
    nothing = {
        "silence": np.zeros(12 * SAMPLE_RATE),
        "a tone": 0.5 * np.sin(2 * np.pi * 440 * time),
        "a low tone with overtones": 0.2 * harmonic,
        "a tone in 16 bits": np.round(3 * np.sin(2 * np.pi * 440 * time)) / 32768,
        "less than a window": clicks(seconds=4.79),
        "no samples": np.empty(0),
    }
    for what, samples in nothing.items():
        assert picture_of(model, samples.astype(np.float32), SAMPLE_RATE) is None, what
        assert published_map(model, samples.astype(np.float32), SAMPLE_RATE, TEMPI) is None, what
    stereo = np.round(30_000 * np.stack([clicks(), clicks()])).astype(np.int16)
    assert picture_of(model, stereo, SAMPLE_RATE).shape == (1, 96, 701)


def test_audio_and_rulers_that_cannot_be_are_refused(model):
    with pytest.raises(InputError, match="NaN"):
        picture_of(model, np.full(100_000, np.nan), SAMPLE_RATE)
    with pytest.raises(InputError, match="shift=3"):
        sliding_ruler(model, TEMPI, shift=3)
    with pytest.raises(InputError, match="at least one"):
        sliding_ruler(model, ())
    assert beat_windows.LADDER[0] == 55
    assert beat_windows.LADDER[-1] == pytest.approx(216, abs=1)
