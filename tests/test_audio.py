"""Whatever sound comes in, in any format: brought to mono, 16 kHz, float32, or refused with one sentence that helps."""

import os
import struct

import numpy as np
import pytest
import soundfile
import soxr
import torch

from phalar import audio
from phalar.datasets.files import DamagedFile, read_length, read_sound
from phalar.errors import InputError

RNG = np.random.default_rng(0)
FINE = RNG.standard_normal(40_000).astype(np.float32) * 0.1


def test_pcm_equals_float_and_channels_are_averaged():
    assert np.array_equal(audio.mono_16k(FINE, 16_000), FINE)
    for dtype, scale in ((np.int16, 2**15), (np.int32, 2**31)):
        pcm = np.round(FINE.astype(np.float64) * scale).astype(dtype)
        np.testing.assert_allclose(audio.mono_16k(pcm, 16_000), FINE, atol=1.0 / min(scale, 2**23))
    eight = np.array([0, 64, 128, 255], dtype=np.uint8)
    np.testing.assert_allclose(audio.to_float(eight), [-1, -0.5, 0, 127 / 128])
    np.testing.assert_allclose(audio.mono_16k(np.stack([FINE, -0.5 * FINE]), 16_000), FINE / 4, atol=1e-7)


@pytest.mark.parametrize(
    ("samples", "rate", "says"),
    [
        (FINE[:31_999], 16_000, r"2\.00 s long; at least 2 s"),
        (np.zeros((0, 40_000), np.float32), 16_000, "no channels"),
        (np.zeros((2, 2, 40_000), np.float32), 16_000, r"shape \(2, 2, 40000\)"),
        (np.zeros((40_000, 2), np.float32), 16_000, "transpose"),
        (np.where(np.arange(40_000) == 16_000, np.nan, FINE), 16_000, r"sample 16000 \(at 1\.000 s\) is nan"),
        (np.stack([np.full(40_000, np.inf), np.full(40_000, -np.inf)]), 16_000, "sample 0 .* is nan"),
        (np.zeros(40_000, np.int64), 16_000, "int64 have no defined full scale"),
        ([[0.0] * 40_000, [0.0] * 3], 16_000, "list cannot be used as samples"),
        (torch.zeros(40_000, dtype=torch.bfloat16), 16_000, "cannot be used as samples"),
        (FINE, 0, "sample rate 0"),
        (FINE, 44_100.5, r"sample rate 44100\.5"),
        (FINE, np.array([16_000, 2]), "sample rate array"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_what_cannot_be_used_is_refused(samples, rate, says):
    with pytest.raises(InputError, match=says) as refused:
        audio.mono_16k(samples, rate, "the bass")
    assert str(refused.value).startswith("the bass: ")
    assert "\n" not in str(refused.value)


def test_files_come_back(wav):
    stereo = np.stack([FINE, FINE[::-1]])
    samples, rate = audio.read(wav("stereo.wav", stereo, 44_100))
    assert (rate, samples.tolist()) == (44_100, stereo.tolist())
    np.testing.assert_allclose(audio.load(wav("mono.flac", FINE, 16_000, "PCM_16")), FINE, atol=1e-4)


@pytest.mark.parametrize("content", [b"no sound\n" * 50, b"", b"RIFF\x24\x00\x00\x00WAVEfmt ", b"fLaC\x00\x00\x00"])
def test_unreadable_files_are_refused(tmp_path, content):
    path = tmp_path / "a.wav"
    with pytest.raises(InputError, match="no such file"):
        audio.load(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.wav: cannot be read as audio") as refused:
        audio.load(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


# --- files of data sets


RATES = (16_000, 44_100, 48_000, 22_050, 8_000, 44_099, 96_000, 1_000)


def sound(rate: int, seconds: float = 3.0, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(channels).uniform(-0.3, 0.3, (round(rate * seconds), channels))


@pytest.mark.parametrize("rate", RATES)
def test_a_file_of_any_rate_is_read_as_16_khz_mono(tmp_path, rate):
    path = tmp_path / "a.wav"
    for frames, channels in ((3 * rate, 2), (1001, 3), (3, 1), (1, 2)):
        samples = sound(rate, channels=channels)[:frames]
        soundfile.write(path, samples, rate, subtype="FLOAT")
        whole = soxr.resample(samples.mean(axis=1).astype(np.float32), rate, 16_000, quality="HQ")
        whole = np.pad(whole, (0, 1))[: frames * 16_000 // rate]
        np.testing.assert_allclose(read_sound(path), whole, atol=1e-6)
        assert read_length(path) == len(whole)


def patch(path, at: int, form: str, value: int):
    data, field = bytearray(path.read_bytes()), struct.pack(form, value)
    data[at : at + len(field)] = field
    path.write_bytes(data)


@pytest.mark.parametrize("extension", ["flac", "mp3", "au", "aiff"])
def test_files_cut_short_are_found_in_every_format_that_tells(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, sound(44_100), 44_100)
    assert read_length(path) == 48_000
    for share in (0.95, 0.5):
        os.truncate(path, int(share * path.stat().st_size))
        with pytest.raises(DamagedFile, match=rf"a\.{extension}"):
            read_length(path)


def test_a_streamed_wav_of_unknown_size_and_one_with_a_large_picture_are_no_lies(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000), 16_000, subtype="PCM_16")
    patch(path, 40, "<I", 0xFFFFFFFF)
    assert read_length(path) == 48_000
    soundfile.write(path, sound(16_000, 0.1), 16_000, subtype="PCM_16")
    with path.open("ab") as file:
        file.write(b"id3 " + struct.pack("<I", 50_000) + bytes(50_000))
    assert read_length(path) == 1_600
