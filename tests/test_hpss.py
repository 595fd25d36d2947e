"""Harmonic/percussive separation against scipy, librosa and first principles."""

import librosa
import numpy as np
import pytest
import scipy.ndimage
import torch

from phalar.errors import InputError
from phalar.model import hpss as module
from phalar.model.hpss import hpss, median_filter, separate


def spectrogram(*shape: int, seed: int = 0) -> torch.Tensor:
    """Magnitudes over six decades, as music has them."""
    generator = torch.Generator().manual_seed(seed)
    return 10 ** (torch.rand(shape, generator=generator) * 6 - 4)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 9, 15, 17, 31, 33])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 40), (40, 33)])
@pytest.mark.parametrize("dim", [-1, -2])
def test_median_equals_scipy(kernel, shape, dim):
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(kernel))
    size = [1, 1, 1]
    size[dim] = kernel
    expected = scipy.ndimage.median_filter(x.numpy(), size=size, mode="reflect")
    assert np.array_equal(median_filter(x, kernel, dim).numpy(), expected)


@pytest.mark.parametrize("length", [1, 2, 3, 14, 15, 16, 30, 31, 32])
def test_median_is_the_median_of_the_mirrored_window(length):
    """By brute force, for axes shorter than the kernel too (scipy itself is wrong at length 2)."""
    x = np.random.default_rng(length).normal(size=length)
    mirrored = np.pad(x, 15, mode="symmetric")
    expected = [np.median(mirrored[i : i + 31]) for i in range(length)]
    assert np.array_equal(median_filter(torch.tensor(x)[None], 31, dim=-1)[0].numpy(), expected)


def test_chunks_do_not_change_the_result(monkeypatch):
    x = spectrogram(3, 37, 41)
    whole = [median_filter(x, 31, dim) for dim in (-1, -2)]
    monkeypatch.setattr(module, "CHUNK", {"cpu": 100})
    for dim, expected in zip((-1, -2), whole, strict=True):
        assert torch.equal(median_filter(x, 31, dim), expected)


def test_an_item_does_not_depend_on_its_batch():
    x = spectrogram(3, 20, 50)
    together = torch.stack(separate(x))
    assert torch.equal(together[:, 1], torch.stack(separate(x[1])))


@pytest.mark.parametrize("shape", [(100, 60), (64, 12), (9, 80), (5, 4)])
def test_magnitudes_equal_librosa(shape):
    x = spectrogram(*shape)
    for ours, theirs in zip(hpss(x), librosa.decompose.hpss(x.numpy()), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-5, atol=1e-7)


def test_complex_spectrograms_equal_librosa():
    magnitude = spectrogram(100, 70)
    angle = torch.rand(100, 70, generator=torch.Generator().manual_seed(1)) * 2 * torch.pi
    x = torch.polar(magnitude, angle)
    x[:, 30:] = 0  # digital silence
    for ours, theirs in zip(hpss(x), librosa.decompose.hpss(x.numpy()), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-4, atol=1e-5)


def test_parts_sum_to_the_whole_and_silence_is_split():
    x = spectrogram(40, 90)
    x[:, 40:] = 0
    harmonic, percussive = separate(x)
    assert torch.allclose(harmonic + percussive, torch.ones(()), atol=1e-6)
    assert torch.equal(harmonic[:, 60:], torch.full((40, 30), 0.5))


def test_a_held_note_is_harmonic_and_a_stroke_percussive():
    x = torch.full((80, 80), 1e-3)
    x[20] = 1.0
    x[:, 50] = 1.0
    harmonic, percussive = separate(x)
    assert (harmonic[20, :40] > 0.999).all()
    assert (percussive[40:, 50] > 0.999).all()


def test_quiet_spectrograms_separate_as_loud_ones():
    """Squares of 1e-30 would vanish in float32."""
    x = spectrogram(30, 30)
    quiet = separate(x * 1e-30)
    for loud_mask, quiet_mask in zip(separate(x), quiet, strict=True):
        assert torch.allclose(loud_mask, quiet_mask, atol=1e-5)


def test_no_second_axis_is_refused():
    with pytest.raises(InputError, match="F, T"):
        separate(torch.ones(5))
    with pytest.raises(InputError, match="abs"):
        separate(torch.ones(5, 5, dtype=torch.complex64))
    with pytest.raises(InputError, match="at least one"):
        separate(torch.ones(5, 0))


@pytest.mark.parametrize("kernel", [0, -3, 30])
def test_even_kernels_are_refused(kernel):
    with pytest.raises(InputError, match=f"not {kernel}"):
        separate(torch.ones(5, 5), kernel)


@pytest.mark.gpu
def test_a_gpu_gives_the_same():
    x = spectrogram(2, 513, 200)
    for cpu, gpu in zip(hpss(x), hpss(x.cuda()), strict=True):
        assert torch.allclose(cpu, gpu.cpu(), rtol=1e-5, atol=1e-7)
