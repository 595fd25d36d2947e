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


HARM = {  # beside those of test_corrupt
    "2 MHz": lambda path: patch(path, 24, "<I", 2_000_000),
    "claims nothing": lambda path: patch(path, 40, "<I", 0),
    "gone": lambda path: path.unlink(),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
}


@pytest.mark.parametrize("harm", HARM)
def test_headers_that_lie_are_refused_by_path(tmp_path, harm):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000), 16_000, subtype="PCM_16")
    assert path.read_bytes()[36:40] == b"data"
    HARM[harm](path)
    with pytest.raises(DamagedFile) as refused:
        read_length(path)
    assert refused.value.problem.path == path
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)


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


@pytest.mark.parametrize(("value", "says"), [(np.nan, "nan"), (-np.inf, "-inf"), (3e30, "3e+30")])
def test_samples_that_are_no_sound_are_named_with_their_place(tmp_path, value, says):
    path, samples = tmp_path / "a.wav", sound(16_000)
    samples[20_000] = value
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(DamagedFile, match=r"a\.wav.* at 1\.250 s") as refused:
        read_sound(path)
    assert says in str(refused.value)
