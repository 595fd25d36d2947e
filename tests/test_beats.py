"""Zero-shot beats: metronomes, maps filled in two ways, decoders against maps whose beats are known, and the table."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import torch.nn.functional as F
from music import invent_track

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate import beats
from phalar.evaluate.beats import BeatMap, Prior, ZeroShot, contrast, metronome, path_beats, shifted_bank, shifted_map
from phalar.evaluate.trackers import beat_scores

LADDER = 55 * 2 ** (np.arange(72) / 36)


def f1(reference, estimate):
    return beat_scores(reference, estimate)["f1"]


@pytest.fixture(scope="module")
def model(stirred):
    return stirred("phalar")


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache that starts empty, and a bank of three tempi that is made in a second."""
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    three = lambda model, tempi: shifted_bank(model, (60.0, 100.0, 140.0), 0.2)  # noqa: E731
    monkeypatch.setattr(beats, "shifted_bank", three)


def onsets(samples, rate=SAMPLE_RATE, gap=0.1):
    """Seconds at which sound sets in after silence or decay."""
    block = rate // 500
    level = np.abs(samples[: len(samples) // block * block]).reshape(-1, block).max(axis=1)
    loud = np.flatnonzero(level > 0.5 * level.max())
    return loud[np.insert(np.diff(loud) > gap * rate / block, 0, True)] * block / rate


@pytest.mark.parametrize("bpm", [30, 97.5, 240])
def test_a_metronome_clicks_at_its_tempo_from_its_first_click_on(bpm):
    for first in (0.02, 0.1):
        samples = metronome(bpm, 5.0, first)
        assert (samples.dtype, len(samples)) == (np.float32, 5 * SAMPLE_RATE)
        assert np.abs(samples).max() == pytest.approx(0.9)
        assert onsets(samples) == pytest.approx(np.arange(first, 5, 60 / bpm), abs=0.006)
    found = onsets(beats.clicks_at([-1.0, 0.5, 1.25, 9.0], 3 * 44_100, 44_100), 44_100)
    assert found == pytest.approx([0.5, 1.25], abs=0.006), "at another rate, and not outside"


def apart(a, b):
    """Largest distance of two embeddings, relative to their size."""
    return float(((a - b).norm(dim=-1) / b.norm(dim=-1)).max())


def test_windows_are_cut_from_one_picture_and_padded_at_the_right(model):
    picture = beats.picture_of(model, metronome(120, 7.0, 0.3), SAMPLE_RATE)
    starts = [0, 7, 100]
    cut = torch.stack([picture[0, :, start : start + beats.WINDOW] for start in starts])
    with torch.no_grad():
        steps = model.backbone(cut).permute(0, 3, 2, 1).flatten(2)
        assert steps.shape[1] == 15
        sequence = F.pad(model.pooling.project(steps).transpose(1, 2), (0, 4))  # nothing on the left
        spectrum = torch.fft.rfft(sequence, norm="ortho")[..., 1:9]
        spectrum = spectrum / spectrum.abs().mean(dim=(-2, -1), keepdim=True)
        expected = model.head(spectrum.flatten(1))
    assert apart(beats.embed_windows(model, picture, starts), expected) < 1e-3


@pytest.mark.parametrize("frames", [480, 481, 700, 3001])
def test_windows_begin_within_the_piece_and_march_in_step_with_nothing(frames):
    starts = beats.scattered_starts(frames)
    assert 0 <= starts.min() < 32
    assert starts.max() <= frames - beats.WINDOW
    assert (np.diff(starts) > 0).all()
    for period in (25, 32, 48, 64) if frames > 3000 else ():  # beats of 240, 187.5, 125 and 94 a minute
        assert abs(np.exp(2j * np.pi * (starts % period / period)).mean()) < 0.2


def test_a_metronome_is_most_like_itself_in_both_ways(stirred):
    """With a score that is highest for equal embeddings, even for random ones."""
    like, audio = stirred("cosine"), metronome(120, 6.0, 0.3)

    def off_the_click(time):
        return np.abs((time - 0.3 + 0.25) % 0.5 - 0.25)

    published = beats.published_map(like, audio, SAMPLE_RATE, (100.0, 120.0))
    assert published.values.shape == (2, 61)
    assert published.step == pytest.approx(0.02)
    row, column = np.unravel_index(published.values.argmax(), published.values.shape)
    assert published.tempi[row] == 120
    assert off_the_click(published.times[column] + 0.02) < 0.021, "it clicks 0.02 s after the column's time"
    ours = shifted_map(like, shifted_bank(like, (100.0, 120.0), shift=0.05), audio, SAMPLE_RATE)
    assert ours.values.shape == (2, 600)
    assert ours.values[1].std() > ours.values[0].std()
    assert off_the_click(ours.times[ours.values[1].argmax()]) < 0.05


def test_the_map_reads_every_window_at_the_shift_that_clicks_there(stirred):
    """Against a truth that is a function of time alone, whatever window is asked: similarity is made to be it."""
    tempi, starts, counts = np.array([75.0, 131.0]), np.array([0, 21, 64, 90, 130, 161]), np.array([11, 8])

    def truth(time, bpm):
        return np.cos(2 * np.pi * time * bpm / 60) + 0.5 * np.sin(4 * np.pi * time * bpm / 60)

    parts = zip(tempi, counts, strict=True)
    scores = [truth(starts[:, None] / 100 + np.arange(n) / n * 60 / bpm, bpm) for bpm, n in parts]

    bank = beats.Bank(tempi, counts, np.empty((19, 1)))
    made = beats.unrolled(np.concatenate(scores, axis=1), bank, starts / 100, 6.4)
    assert made.values == pytest.approx(np.stack([truth(made.times, bpm) for bpm in tempi]), abs=1e-6)


def test_where_there_is_no_beat_none_is_found_and_the_score_says_so(model, small):
    t = np.arange(8 * SAMPLE_RATE) / SAMPLE_RATE
    nothing = {
        "silence": 0 * t,
        "a low tone with overtones": sum(0.2 * np.sin(2 * np.pi * 110 * k * t) / k for k in range(1, 40)),
        "a tone in 16 bits": np.round(3 * np.sin(2 * np.pi * 440 * t)) / 32768,
        "less than a window": metronome(120, 4.79),
        "no samples": np.empty(0),
    }
    for what, samples in nothing.items():
        for track in (ZeroShot(model).beats, ZeroShot(model).published_beats):
            found = track(samples.astype(np.float32), SAMPLE_RATE)
            assert found.shape == (0,), what
            assert set(beat_scores(np.array([0.5, 1.0, 1.5]), found).values()) == {0.0}
    mert = SimpleNamespace(variant=SimpleNamespace(backbone="mert", name="mert-real"))
    with pytest.raises(InputError, match="'mert-real' has no picture of 10 ms frames"):
        beats.picture_of(mert, metronome(120), SAMPLE_RATE)


def ideal(times, bpm, seconds=15.0, step=0.01, tempi=LADDER, width=0.04):
    """What a perfect model would show: a bump at each beat, in the row of its tempo, and in nearby rows a lower one."""
    tempi, columns = np.asarray(tempi, dtype=float), step * np.arange(round(seconds / step))
    bumps = np.exp(-((columns[:, None] - times) ** 2) / (2 * width**2)).sum(axis=1)
    return BeatMap(np.exp(-((np.log2(tempi / bpm) / 0.05) ** 2))[:, None] * bumps, tempi, step)


def steady(bpm, seconds=15.0, first=0.22):
    return np.arange(first, seconds, 60 / bpm)


def test_the_path_is_the_best_of_all_paths():
    tempi = np.array([300.0, 400.0, 600.0])  # beats of 4, 3 and 2 columns
    prior = Prior(lowest=200, highest=700, usual=400, change=0.4, slip=0.2)
    for seed in range(2):
        beat_map = BeatMap(np.random.default_rng(seed).standard_normal((3, 9)), tempi, 0.05)
        columns = np.round(60 / tempi / beat_map.step).astype(int)
        likely = -0.3 * (np.log2(tempi / 400) / 0.8) ** 2
        earned = (contrast(beat_map) + likely[:, None]) * (60 / tempi)[:, None]

        def paths(b, t, earned=earned, columns=columns):
            """Every path from a beat in row b at column t, and what it earns."""
            for slip in (0, -1, 1):
                for other in range(3):
                    cost = prior.slip * abs(slip) + prior.change * abs(np.log2(tempi[other] / tempi[b]))
                    there = t + columns[b] + slip
                    for value, more in paths(other, there) if there < 9 else [(0.0, ())]:
                        yield earned[b, t] - cost + value, ((t, b), *more)

        _, best = max(max(paths(b, t)) for b in range(3) for t in range(columns[b]))
        pairs = zip(*path_beats(beat_map, prior), strict=True)
        assert [(round(t / 0.05), tempo) for t, tempo in pairs] == [(t, tempi[b]) for t, b in best]


def test_the_published_way_against_its_definition_and_on_an_ideal_map():
    values = np.cumsum(np.random.default_rng(1).standard_normal((12, 300)) ** 3, axis=1)
    rise = np.zeros_like(values)
    rise[:, 1:-1] = (values[:, 2:] - values[:, :-2]) / 2
    rise[:, 0], rise[:, -1] = values[:, 1] - values[:, 0], values[:, -1] - values[:, -2]
    kept = rise > rise.mean() + 3 * rise.std()
    for least in (3, 1):  # erosion, then dilation
        grid = np.pad(kept.astype(int), 1)
        kept = sum(grid[b : b + 12, t : t + 300] for b in range(3) for t in range(3)) >= least
    assert kept.any()
    assert beats.onset_curve(values).tolist() == kept.sum(axis=0).tolist()
    # A column is the window that begins there; its metronome clicks 0.02 s later. Similarity rises before it peaks: an
    # ideal map for this decoder is one whose rise is where the beat is.
    found = beats.published_beats(ideal(steady(96) + 0.02, 96, step=0.02, tempi=range(30, 241)))
    assert f1(steady(96), found) > 0.93, "librosa leaves out weak first and last beats"


def test_the_table_has_a_row_for_each_tracker_and_track(tmp_path, small, stirred):
    times, calls = np.column_stack([np.arange(0.5, 6, 0.5), np.ones(11)]), []
    tags = [{"genre": genre, "feel": "straight"} for genre in ("blues", "rock")]
    tracks = [replace(invent_track(tmp_path, i), beats=times, tags=tags[i]) for i in range(2)]

    def tap(audio, rate):
        calls.append(rate)
        return np.arange(0.5, 6, 0.5)

    known, found = (beats.evaluate(stirred("phalar"), tracks, 0, {"tap": tap}, progress=False) for _ in range(2))
    assert len(calls) == 2, "other people's trackers run once a piece"
    assert found.drop(columns="beats").equals(known.drop(columns="beats"))
    assert found["tracker"].tolist() == np.repeat(["phalar", "untrained", "tap"], 2).tolist()
    assert found["genre"].tolist() == ["blues", "rock"] * 3
    assert (found.loc[found["tracker"] == "tap", "f1"] == 1).all()
    assert all((np.diff(own) > 0).all() and own[0] >= 0 and own[-1] < 6 for own in found["beats"] if len(own))


def test_gtzan_is_scored_where_it_has_beats_and_says_what_it_leaves_out(tmp_path, monkeypatch):
    """Two clips, one of them annotated."""
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    notes = tmp_path / "annotations"
    notes.mkdir()
    for genre, number in (("jazz", 3), ("reggae", 86)):
        folder = tmp_path / "genres" / genre
        folder.mkdir(parents=True)
        soundfile.write(folder / f"{genre}.{number:05d}.wav", metronome(120, 6.0, 0.25), 16_000)
    (notes / "gtzan_jazz_00003.beats").write_text("".join(f"{t:.3f}\n" for t in np.arange(0.25, 6, 0.5)))
    with pytest.warns(PhalarWarning, match="1 clips are scored; 999 have no sound or no beats"):
        found = beats.gtzan(tmp_path / "genres", notes)
    assert [track.id for track in found] == ["jazz.00003"]
