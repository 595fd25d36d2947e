"""The mel front end against torchaudio's own pipeline, one item at a time."""

import pytest
import torch
import torchaudio.transforms as T

from phalar.errors import InputError
from phalar.model.mel import LogMel


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def reference():
    """As the variant is defined."""
    steps = torch.nn.Sequential(
        T.Spectrogram(n_fft=1024, win_length=400, hop_length=160),
        T.MelScale(n_mels=96, sample_rate=16_000, f_min=60.0, f_max=7800.0, n_stft=513),
        T.AmplitudeToDB("power", top_db=80),
    )
    return lambda audio: (steps(audio) + 80) / 80


@pytest.mark.parametrize("samples", [513, 16_000, 32_017])
def test_equals_torchaudio_on_one_item(reference, samples):
    audio = noise(1, samples) * torch.linspace(1, 1e-5, samples)  # a decay beyond 80 dB
    ours = LogMel()(audio)
    assert ours.shape == (1, 96, 1 + samples // 160)
    torch.testing.assert_close(ours, reference(audio), rtol=1e-5, atol=1e-5)


def test_each_item_has_its_own_floor(reference):
    """The trap: torchaudio lets the loudest item of (B, F, T) set the floor of the whole batch."""
    audio = torch.stack([noise(8_000), noise(8_000, seed=1) * 1e-3, torch.zeros(8_000)])
    audio[1, 4_000:] *= 1e-5
    ours = LogMel()(audio)
    alone = torch.cat([reference(item[None]) for item in audio])
    torch.testing.assert_close(ours, alone, rtol=1e-5, atol=1e-5)
    assert (reference(audio) - alone).abs().max() > 0.1  # what the published code would have given


def test_values_span_at_most_one():
    """80 dB are one unit; nothing lies further below the loudest value."""
    values = LogMel()(noise(2, 16_000) * torch.tensor([[1.0], [1e-4]]))
    spans = values.amax((1, 2)) - values.amin((1, 2))
    assert (spans <= 1 + 1e-6).all()


def test_every_band_hears_something():
    """No band is so narrow that it falls between two bins."""
    assert (LogMel().bands.sum(dim=1) > 0).all()


def test_tables_are_not_weights():
    assert not LogMel().state_dict()


@pytest.mark.parametrize("shape", [(16_000,), (1, 512), (1, 0), (1, 1, 16_000)])
def test_unusable_audio_is_refused(shape):
    with pytest.raises(InputError, match="batch, samples"):
        LogMel()(torch.zeros(shape))
