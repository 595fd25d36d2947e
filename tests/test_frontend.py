"""The constant-Q front end: against nnAudio, against the definition of a decibel, and in what it does to music."""

import pytest
import torch
import torchaudio.transforms as T
from nnAudio.features.cqt import CQT1992v2

from phalar.model.frontend import BINS, FMIN, HOP, SAMPLE_RATE, ConstantQ, LogCQT, decibels


def sine(bin_number: float, seconds: float = 3.0, amplitude: float = 1.0) -> torch.Tensor:
    t = torch.arange(round(seconds * SAMPLE_RATE), dtype=torch.float64) / SAMPLE_RATE
    return (amplitude * torch.sin(2 * torch.pi * FMIN * 2 ** (bin_number / 12) * t)).float()


@pytest.fixture(scope="module")
def ours() -> ConstantQ:
    return ConstantQ()


@pytest.fixture(scope="module")
def reference() -> CQT1992v2:
    return CQT1992v2(sr=SAMPLE_RATE, hop_length=HOP, n_bins=BINS, fmin=FMIN, verbose=False)


@pytest.mark.parametrize(("kind", "seconds"), [("noise", 2), ("noise", 10), ("music", 2.0077), ("music", 5)])
def test_equals_nnaudio(ours, reference, music, kind, seconds):
    samples = round(seconds * SAMPLE_RATE)
    audio = (
        torch.randn(1, samples, generator=torch.Generator().manual_seed(0)) if kind == "noise" else music(1, seconds)
    )
    expected = reference(audio)
    assert ours(audio).shape == expected.shape == (1, 96, 1 + samples // 160)
    assert (ours(audio) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("number", [12, 45, 83])
def test_a_sine_lights_its_own_bin(ours, number):
    """With the height that the page gives: half the square root of the window's length."""
    picture = ours(sine(number)[None])[0, :, 120:180]
    assert (picture.argmax(dim=0) == number).all()
    length = 1 / (2 ** (1 / 12) - 1) * SAMPLE_RATE / (FMIN * 2 ** (number / 12))
    assert picture[number].mean() == pytest.approx(length**0.5 / 2, rel=0.01)


def test_a_hop_later_is_a_frame_later(ours, music):
    audio = music(1, 5)
    early, late = ours(audio[:, 7 * HOP :]), ours(audio)[..., 7:]
    torch.testing.assert_close(early[..., 110:-110], late[..., 110 : late.shape[-1] - 110], rtol=1e-4, atol=1e-4)


def test_decibels_equal_torchaudio_on_one_item(music):
    picture = ConstantQ()(music(1, 2))
    reference = (T.AmplitudeToDB("amplitude", top_db=80)(picture) + 80) / 80
    torch.testing.assert_close(decibels(picture), reference, rtol=1e-5, atol=1e-5)


def test_each_item_has_its_own_floor(music):
    """The trap: torchaudio lets the loudest item of (B, F, T) set the floor of the whole batch."""
    magnitude = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(0)) + 0.01
    magnitude[1] *= 1e-4
    magnitude[0, 0, 0] = 1e-9
    alone = torch.cat([decibels(item[None]) for item in magnitude])
    assert torch.equal(decibels(magnitude), alone)
    theirs = (T.AmplitudeToDB("amplitude", top_db=80)(magnitude) + 80) / 80
    assert (theirs - alone).abs().max() > 0.05


def test_values_span_at_most_one_and_one_is_full_scale():
    values = decibels(torch.tensor([[[1.0, 0.1, 1e-7, 0.0]]]))
    torch.testing.assert_close(values, torch.tensor([[[1.0, 0.75, 0.0, 0.0]]]))


def test_silence_is_finite():
    assert torch.isfinite(LogCQT()(torch.zeros(1, 32_000))).all()


def test_tables_are_not_weights():
    assert not LogCQT().state_dict()
    assert not list(LogCQT().parameters())


def test_nothing_is_printed(capsys):
    ConstantQ()
    assert capsys.readouterr() == ("", "")


def test_another_default_device_does_not_matter():
    with torch.device("meta"):
        frontend = ConstantQ()
    assert torch.isfinite(frontend.gain.cpu()).all()
