"""Audio read where it lies: any format at 16 kHz mono, and a damaged file says so by name."""

import os
import struct

import numpy as np
import pytest
import soundfile
import soxr

from phalar.datasets import files
from phalar.datasets.files import DamagedFile, FileAudio, Header, open_track, read_header, read_sound
from phalar.datasets.listing import Copy, Found
from phalar.errors import RunError

RATES = (16_000, 44_100, 48_000, 22_050, 8_000, 44_099, 96_000, 1_000)


def sound(rate: int, seconds: float = 3.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (round(rate * seconds), channels))


def track(folder, lengths, rate=16_000, **annotations):
    """A track of mono stems of these lengths in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, seconds in enumerate(lengths):
        soundfile.write(folder / f"s{i}.wav", sound(rate, seconds, seed=i), rate)
    stems = [(f"stem {i}", [folder / f"s{i}.wav"]) for i in range(len(lengths))]
    return listed(folder, stems, {"drum": [i == 0 for i in range(len(stems))], "bpm": 60}, **annotations)


def listed(folder, stems, tags, **annotations):
    return Copy(folder).track(Found("a", "train", folder), stems, tags, least=1, **annotations)


@pytest.mark.parametrize("rate", RATES)
def test_a_file_of_any_rate_is_read_as_16_khz_mono(tmp_path, rate):
    for frames in (3 * rate, 1001, 3, 1):
        samples = sound(rate, channels=2)[:frames]
        soundfile.write(tmp_path / "a.wav", samples, rate, subtype="FLOAT")
        whole = soxr.resample(samples.mean(axis=1).astype(np.float32), rate, 16_000, quality="HQ")
        whole = np.pad(whole, (0, 1))[: frames * 16_000 // rate]
        np.testing.assert_allclose(read_sound(tmp_path / "a.wav"), whole, atol=1e-6)


def test_channels_are_averaged_and_files_summed(tmp_path):
    places = tuple(tmp_path / f"{channels}.wav" for channels in (1, 2, 3))
    for channels, path in enumerate(places, 1):
        soundfile.write(path, sound(16_000, 1.0, channels, channels), 16_000, subtype="FLOAT")
    expected = sum(sound(16_000, 1.0, channels, channels).mean(axis=1) for channels in (1, 2, 3))
    both = FileAudio((places, places[:1])).read(100, 900)
    assert both.shape == (2, 800)
    np.testing.assert_allclose(both[0], expected[100:900], atol=1e-6)


def test_a_listing_opens_as_tracks_cut_to_their_shortest_stem(tmp_path):
    about = {"chords": ((0.0, 1.0, "C:maj"),), "pitched": (False, True, True), "beats": np.array([[0.5, 1], [1.0, 0]])}
    plain = track(tmp_path / "a", [2.0, 1.5, 1.8], 44_100, **about)
    (one,), problems = files.open_tracks(files.Listing("mine", (plain,), ()))
    assert (one.id, one.split, one.sample_rate, one.num_samples) == ("a", "train", 16_000, 24_000)
    assert one.excerpt(23_000, 2_000).shape == (3, 2_000)
    assert not one.excerpt(23_000, 2_000)[:, 1_000:].any()
    assert one.beats is about["beats"]
    assert (one.chords, one.pitched, problems) == (about["chords"], about["pitched"], [])


@pytest.mark.parametrize(
    ("lengths", "left", "serious"),
    [([4.0, 0.4, 4.0], 2, [True]), ([4.0, 0.4], None, [True, True]), ([0.4], 1, []), ([4.0, 2.5, 4.0], 3, [False])],
)
def test_a_stem_that_was_cut_off_does_not_shorten_its_track_and_a_gap_is_noted(tmp_path, lengths, left, serious):
    opened, problems = open_track(track(tmp_path / "a", lengths))
    assert (None if opened is None else len(opened.stems)) == left
    assert [problem.serious for problem in problems] == serious
    assert [problem.path for problem in problems] == [tmp_path / "a" / "s1.wav", tmp_path / "a"][: len(serious)]
    if serious == [False]:
        assert "1.50 s before" in problems[0].what
    if left == 2:
        assert opened.tags == {"title": "a", "drum": [True, False], "bpm": 60}


def test_a_stem_goes_with_any_of_its_files(tmp_path):
    (a,), (b,), (c,), (d,) = track(tmp_path / "a", [1.0] * 4).audio.stems
    b.write_bytes(b"")
    opened, (problem,) = open_track(listed(tmp_path, [("x", [a, b]), ("y", [c]), ("z", [d])], {}))
    assert (opened.stems, problem.path) == (("y", "z"), b)


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
        read_header(path)
    assert isinstance(refused.value, RunError)
    assert refused.value.problem.path == path
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("extension", ["flac", "mp3", "au", "aiff"])
def test_files_cut_short_are_found_in_every_format_that_tells(tmp_path, extension):
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, sound(44_100), 44_100)
    assert read_header(path) == Header(3 * 44_100, 44_100, 1)
    for share in (0.95, 0.5):
        os.truncate(path, int(share * path.stat().st_size))
        with pytest.raises(DamagedFile, match=rf"a\.{extension}"):
            read_header(path)


def test_a_streamed_wav_of_unknown_size_and_one_with_a_large_picture_are_no_lies(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000), 16_000, subtype="PCM_16")
    patch(path, 40, "<I", 0xFFFFFFFF)
    assert read_header(path) == Header(48_000, 16_000, 1)
    soundfile.write(path, sound(16_000, 0.1), 16_000, subtype="PCM_16")
    with path.open("ab") as file:
        file.write(b"id3 " + struct.pack("<I", 50_000) + bytes(50_000))
    assert read_header(path).frames == 1_600


@pytest.mark.parametrize(("value", "says"), [(np.nan, "nan"), (-np.inf, "-inf"), (3e30, "3e+30")])
def test_samples_that_are_no_sound_are_named_with_their_place(tmp_path, value, says):
    path, samples = tmp_path / "a.wav", sound(16_000)
    samples[20_000] = value
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    with pytest.raises(DamagedFile, match=r"a\.wav.* at 1\.250 s") as refused:
        read_sound(path)
    assert says in str(refused.value)
