"""The front ends, constant-Q, mel, harmonic/percussive: against nnAudio, torchaudio, scipy, librosa and definitions;
and what COCOLA shows its network of them."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio.transforms as T
from nnAudio.features.cqt import CQT1992v2

from phalar.model import mel as module
from phalar.model.assembly import build
from phalar.model.cocola import Block, Cocola
from phalar.model.frontend import BINS, FMIN, HOP, SAMPLE_RATE, ConstantQ, decibels
from phalar.model.mel import LogMel, hpss, median_filter


@pytest.fixture(scope="module")
def ours() -> ConstantQ:
    return ConstantQ()


@pytest.mark.parametrize(("kind", "seconds"), [("noise", 2), ("noise", 10), ("music", 2.0077), ("music", 5)])
def test_equals_nnaudio(ours, music, kind, seconds):
    samples = round(seconds * SAMPLE_RATE)
    audio = noise(1, samples) if kind == "noise" else music(1, seconds)
    expected = CQT1992v2(sr=SAMPLE_RATE, hop_length=HOP, n_bins=BINS, fmin=FMIN, verbose=False)(audio)
    assert ours(audio).shape == expected.shape == (1, 96, 1 + samples // 160)
    assert (ours(audio) - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_each_item_has_its_own_floor_and_full_scale_is_one():
    """The trap: torchaudio lets the loudest item of (B, F, T) set the floor of the whole batch."""
    magnitude = 10 ** noise(3, 5, 4)
    magnitude[1] *= 1e-4
    magnitude[0, 0, 0] = 1e-9
    alone = torch.cat([decibels(item[None]) for item in magnitude])
    assert torch.equal(decibels(magnitude), alone)
    theirs = T.AmplitudeToDB("amplitude", top_db=80)
    assert ((theirs(magnitude) + 80) / 80 - alone).abs().max() > 0.05
    torch.testing.assert_close(alone[:1], (theirs(magnitude[:1]) + 80) / 80)
    values = decibels(torch.tensor([[[1.0, 0.1, 1e-7, 0.0]]]))
    torch.testing.assert_close(values, torch.tensor([[[1.0, 0.75, 0.0, 0.0]]]))


def test_no_lower_precision_gets_in(ours, music):
    """Neither a caller's autocast nor TF32 or bfloat16 products: cuDNN's default is off by 2.5 dB in quiet bins."""
    audio, expected = music(2, 2), ours(music(2, 2))
    seen, conv = [], torch.nn.functional.conv1d
    switches = (torch.backends.cudnn.conv, torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
    before = [switch.fp32_precision for switch in switches]
    with pytest.MonkeyPatch.context() as patch, torch.autocast("cpu", torch.bfloat16):
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        noted = lambda *a, **k: seen.extend(s.fp32_precision for s in switches) or conv(*a, **k)  # noqa: E731
        patch.setattr(torch.nn.functional, "conv1d", noted)
        found = ours(audio)
        assert torch.backends.mkldnn.matmul.fp32_precision == "bf16"
    torch.backends.mkldnn.matmul.fp32_precision = before[2]
    assert set(seen) == {"ieee"}
    assert [switch.fp32_precision for switch in switches] == before
    assert torch.equal(found, expected)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_mel_equals_torchaudio_on_each_item_alone():
    """As the variant is defined."""
    steps = torch.nn.Sequential(
        T.Spectrogram(n_fft=1024, win_length=400, hop_length=160),
        T.MelScale(n_mels=96, sample_rate=16_000, f_min=60.0, f_max=7800.0, n_stft=513),
        T.AmplitudeToDB("power", top_db=80),
    )
    audio = torch.stack([noise(8_000), noise(8_000, seed=1) * 1e-3, torch.zeros(8_000)])
    audio[1, 4_000:] *= 1e-5
    ours = LogMel()(audio)
    alone = torch.cat([(steps(item[None]) + 80) / 80 for item in audio])
    torch.testing.assert_close(ours, alone, rtol=1e-5, atol=1e-5)
    assert ((steps(audio) + 80) / 80 - alone).abs().max() > 0.1  # what the published code would have given


@pytest.mark.parametrize("shape", [(1, 2), (3, 5), (14, 15), (16, 30), (31, 32), (7, 40), (40, 33)])
@pytest.mark.parametrize("dim", [-1, -2])
def test_median_is_that_of_the_mirrored_window_in_chunks_too(shape, dim, monkeypatch):
    """By brute force, for axes shorter than the kernel too (scipy itself is wrong at length 2)."""
    x = noise(2, *shape)
    lines = x if dim == -1 else x.mT
    mirrored = np.pad(lines.numpy(), [(0, 0), (0, 0), (15, 15)], mode="symmetric")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(mirrored, 31, axis=-1), axis=-1)
    for chunk in (1 << 15, 100):
        monkeypatch.setattr(module, "CHUNK", {"cpu": chunk})
        found = median_filter(x, dim)
        assert np.array_equal(found if dim == -1 else found.mT, expected)


def test_harmonic_and_percussive_part_equal_librosas_and_quiet_ones_separate_as_loud_ones():
    """Squares of 1e-30 would vanish in float32."""
    x = torch.polar(10 ** noise(100, 70), noise(100, 70, seed=1))
    x[:, 30:] = 0  # digital silence
    for ours, quiet, theirs in zip(hpss(x), hpss(x * 1e-30), librosa.decompose.hpss(x.numpy()), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(quiet * 1e30, ours, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sum(hpss(x)), x)


@pytest.fixture(scope="module")
def cocola(stirred) -> Cocola:
    return stirred("cocola")


def test_drop_connect_drops_whole_items_and_keeps_the_mean(cocola):
    assert cocola.backbone.blocks[-2].drop == pytest.approx(0.2 * 14 / 16)  # the deepest with a residual
    torch.manual_seed(0)
    block, x = Block(32, 32, 3, 1, 2, drop=0.175).train(), noise(2000, 32, 1, 1)
    dropped = ((block(x) - x).flatten(1).abs().amax(1) < 1e-6).float().mean().item()
    assert dropped == pytest.approx(block.drop, abs=0.03)
    assert torch.equal(block.eval()(x), block(x))


def test_random_draws_in_training_only_and_both_sides_of_a_pair_show_the_same(monkeypatch):
    model, pictures = build("cocola"), noise(6, 2, 64, 32)
    assert model.eval().shown(pictures) is pictures
    torch.manual_seed(0)
    drawn = model.train().draw_parts(3000)
    assert drawn.any(dim=1).all()  # never neither
    for row in ((True, False), (False, True), (True, True)):
        assert (drawn == torch.tensor(row)).all(1).float().mean().item() == pytest.approx(1 / 3, abs=0.04)
    monkeypatch.setattr(Cocola, "draw_parts", lambda self, items: drawn[:items])
    assert torch.equal(model.shown(pictures), pictures * drawn[:3].repeat(2, 1)[:, :, None, None])
