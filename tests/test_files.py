"""Audio read where it lies: any format at 16 kHz mono, and a damaged file says so by name."""

import os
import struct

import numpy as np
import pytest
import soundfile
import soxr

from phalar.datasets.files import DamagedFile, read_length, read_sound

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
