"""COCOLA: its front end against librosa, its backbone against the definition."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio.transforms as T

from phalar.errors import InputError
from phalar.model.assembly import build
from phalar.model.cocola import Cocola, EfficientNet
from phalar.model.mel import SHORTEST, HarmonicPercussiveMel
from phalar.train.objective import Objective


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(stirred) -> Cocola:
    return stirred("cocola")


@pytest.mark.parametrize("seconds", [1, 1.505])
def test_front_end_equals_librosa(seconds, music):
    audio = music(2, seconds)
    ours = HarmonicPercussiveMel()(audio)
    stft = T.Spectrogram(n_fft=1024, win_length=400, hop_length=160, power=None)
    for item, features in zip(audio, ours, strict=True):
        parts = librosa.decompose.hpss(stft(item).numpy())
        mels = [
            librosa.feature.melspectrogram(S=np.abs(p) ** 2, sr=16_000, n_mels=64, fmin=60, fmax=7800) for p in parts
        ]
        expected = np.stack([librosa.power_to_db(mel, ref=np.max) for mel in mels])
        np.testing.assert_allclose(features.numpy(), expected, atol=1e-3)  # decibels, of 80


def test_drop_connect_drops_whole_items_and_keeps_the_mean():
    torch.manual_seed(0)
    block = EfficientNet().blocks[-2]  # the deepest with a residual
    assert block.residual
    assert block.drop == pytest.approx(0.2 * 14 / 16)
    block.train()
    x = noise(1000, 192, 1, 1)
    branch = block(x) - x
    dropped = (branch.flatten(1).abs().amax(1) < 1e-6).float().mean().item()
    assert dropped == pytest.approx(block.drop, abs=0.04)
    assert torch.equal(block.eval()(x), block(x))


@pytest.mark.parametrize(("mode", "hidden"), [("harmonic", 1), ("percussive", 0)])
def test_a_mode_hides_the_other_part(model, music, monkeypatch, mode, hidden):
    audio = music(2, 0.75)
    features = model.frontend(audio)
    features[:, hidden] = 0
    with torch.no_grad():
        both = model.encode(audio)
        monkeypatch.setattr(model, "mode", mode)
        assert torch.equal(model.encode(audio), model.encode_picture(features))
    assert not torch.allclose(both, model.encode(audio))
    monkeypatch.setattr(model, "mode", "loud")
    with pytest.raises(InputError, match="'loud'; choose from harmonic, percussive, both, random"):
        model.encode(audio)


def test_random_draws_in_training_only():
    model = build("cocola")
    assert model.eval().draw_parts(50).all()
    torch.manual_seed(0)
    drawn = model.train().draw_parts(3000)
    assert drawn.any(dim=1).all()  # never neither
    for row in ((True, False), (False, True), (True, True)):
        assert (drawn == torch.tensor(row)).all(1).float().mean().item() == pytest.approx(1 / 3, abs=0.04)


def test_training_hides_parts_as_the_model_does(monkeypatch, music):
    """The training loop goes from waves to scores by its own way; what a pair shows must be drawn there too."""
    torch.manual_seed(0)
    model = build("cocola").train()
    drawn = torch.tensor([[True, False], [False, True], [True, True]])
    monkeypatch.setattr(Cocola, "draw_parts", lambda self, items: drawn[:items])
    waves = torch.stack([music(3, 2.5), music(3, 2.5).flip(0)])
    seen = []
    hook = model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    Objective(model, 1.0, "shard")([waves], [0])
    hook.remove()
    whole = model.picture(waves.flatten(0, 1))
    assert torch.equal(seen[0], whole * drawn.repeat(2, 1)[:, :, None, None])


@pytest.mark.parametrize("shape", [(SHORTEST,), (1, SHORTEST - 1), (1, 1, 16_000)])
def test_unusable_audio_is_refused(model, shape):
    with pytest.raises(InputError, match="at least 4960 samples"):
        model.encode(torch.zeros(shape))
    assert model.encode(torch.zeros(1, SHORTEST)).shape == (1, 512)
