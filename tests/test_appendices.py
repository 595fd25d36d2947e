"""The paper's appendices: bounds hold and are reached, codecs keep time, phases and tempi are as they were made."""

import numpy as np
import pytest
import torch
from music import in_memory

from phalar.evaluate import appendices
from phalar.evaluate.beats import BeatMap

RATE = 16_000


@pytest.mark.parametrize("name", ["phalar", "hermitian", "psd", "gap"])
def test_no_score_exceeds_its_bound_and_some_pair_reaches_it(stirred, name):
    model, draw = stirred(name), torch.Generator().manual_seed(0)
    W = model.form.W.detach()
    M = {"hermitian": (W + W.mH) / 2, "psd": W.mH @ W}.get(name, W)
    one_way, both = appendices.bounds(model.form)
    U, _, Vh = torch.linalg.svd(M)
    values, vectors = torch.linalg.eigh((M + M.mH) / 2)
    top = vectors[:, values.abs().argmax()][None]
    with torch.no_grad():
        x, y = (torch.randn(200, len(W), dtype=W.dtype, generator=draw) for _ in range(2))
        assert model.form(x, y).abs().max() < one_way
        assert model.similarity(x, y).abs().max() < both <= one_way * (1 + 1e-6)
        reached = max(model.form(a, b).abs().max() for a, b in ((Vh[:1].mH.T, U[:, :1].T), (U[:, :1].T, Vh[:1].mH.T)))
        assert reached == pytest.approx(one_way, rel=1e-4)
        assert model.similarity(top, top).abs().item() == pytest.approx(both, rel=1e-4)


def test_codecs_keep_time_and_length_and_lose_more_at_lower_rates(music):
    wave = music(1, 3.0)[0].numpy()
    for codec in appendices.CODECS.values():
        found = [codec(wave, RATE, kbps) for kbps in (64, 16, 8)]
        for (decoded, rate), kbps in zip(found, (64, 16, 8), strict=True):
            assert decoded.shape == wave.shape
            assert rate == pytest.approx(kbps, abs=4)
            lags = np.correlate(decoded, wave[200:-200], "valid")
            assert abs(lags.argmax() - 200) <= 1
        errors = [np.square(decoded - wave).mean() for decoded, _ in found]
        assert errors == sorted(errors)
    heard = appendices.coded(lambda cuts: {"both": np.concatenate([w for _, w in cuts])}, appendices.through_opus, 8)
    both = heard([("pair", np.stack([wave, wave]))])["both"]
    assert np.array_equal(both[1], appendices.through_opus(wave, RATE, 8)[0])


def test_a_joined_piece_changes_at_a_downbeat_and_the_map_names_both_tempi():
    tracks = []
    for bpm, bar in ((80, 3), (150, 4)):
        times = 0.3 + np.arange(0, 19, 60 / bpm)
        beats = np.column_stack([times, np.arange(len(times)) % bar + 1])
        waves = np.zeros((2, 20 * RATE), np.float32)
        waves[:, np.round(times * RATE).astype(int)] = beats[:, 1] / 10
        tracks.append(in_memory(waves, str(bpm), beats=beats))
    audio, beats, change = appendices.joined(*tracks, 8.0)
    at = np.flatnonzero(audio) / RATE
    assert at == pytest.approx(beats[:, 0], abs=1e-4)
    assert np.round(10 * audio[audio > 0] / 2) == pytest.approx(beats[:, 1])
    assert change == pytest.approx(0.3 + 9 * 0.75)
    assert beats[beats[:, 0] >= change][0].tolist() == pytest.approx([change, 1])
    assert len(audio) / RATE == pytest.approx(change + 8)
    tempi, t = np.array([60.0, 80.0, 110.0, 150.0]), 0.01 * np.arange(1500)
    values = np.cos(2 * np.pi * tempi[:, None] / 60 * t)
    beat_map = BeatMap(values * np.where(t < change, tempi[:, None] == 80, tempi[:, None] == 150), tempi)
    assert [appendices.loudest(beat_map, *part) for part in ((0, change), (change, 15))] == [80, 150]
    assert np.isnan(appendices.loudest(BeatMap(0 * values, tempi), 0, 9))
