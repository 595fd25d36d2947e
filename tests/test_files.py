"""Audio read where it lies: an excerpt is that part of the whole file resampled, and a damaged file says so by name."""

import json
import os
import struct

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from phalar import paths
from phalar.datasets.files import FileAudio, SourceFile, keep_stems, open_listing, read_stem, select_stems
from phalar.datasets.headers import DamagedFile, Header, read_header, read_headers
from phalar.datasets.sources import Listing, SourceStem, SourceTrack
from phalar.errors import RunError

RATES = (16_000, 44_100, 48_000, 22_050, 8_000, 44_099, 96_000, 1_000)


def sound(rate: int, seconds: float = 3.0, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (round(rate * seconds), channels))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """For each rate a stereo file, and the whole of it as mono at 16 kHz."""
    folder, made = tmp_path_factory.mktemp("rates"), {}
    for rate in RATES:
        path, samples = folder / f"{rate}.wav", sound(rate, channels=2)
        soundfile.write(path, samples, rate, subtype="FLOAT")
        whole = soxr.resample(samples.mean(axis=1).astype(np.float32), rate, 16_000, quality="HQ")
        made[rate] = SourceFile(path, read_header(path)), whole
    return made


def track(folder, lengths, rate=16_000, extension="wav"):
    """A track of mono stems of these lengths in seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = []
    for i, seconds in enumerate(lengths):
        path = folder / f"s{i}.{extension}"
        soundfile.write(path, sound(rate, seconds, seed=i), rate)
        stems.append(SourceStem(f"stem {i}", (path,)))
    return SourceTrack(folder.name, "test", tuple(stems), {"drum": [i == 0 for i in range(len(stems))], "bpm": 60})


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_an_excerpt_is_that_part_of_the_whole_file_resampled(recordings, rate, data):
    file, whole = recordings[rate]
    assert file.num_samples == len(whole)
    start = data.draw(st.integers(0, file.num_samples - 1))
    stop = data.draw(st.integers(start + 1, min(file.num_samples, start + 20_000)))
    np.testing.assert_allclose(file.read(start, stop), whole[start:stop], atol=1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_the_ends_of_a_file_are_read_too(recordings, rate):
    file, whole = recordings[rate]
    np.testing.assert_allclose(file.read(0, file.num_samples), whole, atol=1e-5)
    np.testing.assert_allclose(file.read(file.num_samples - 1, file.num_samples), whole[-1:], atol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 441, 44_101])
def test_files_of_a_few_frames(tmp_path, frames):
    path = tmp_path / "short.wav"
    soundfile.write(path, sound(44_100, 2.0)[:frames], 44_100)
    file = SourceFile(path, read_header(path))
    assert file.num_samples == frames * 16_000 // 44_100
    assert file.read(0, file.num_samples).shape == (file.num_samples,)


def test_only_the_part_asked_for_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "long.flac"
    soundfile.write(path, sound(44_100, 60.0), 44_100)
    file, read, decoded = SourceFile(path, read_header(path)), soundfile.SoundFile.read, []

    def counting(self, *arguments, **named):
        block = read(self, *arguments, **named)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counting)
    file.read(30 * 16_000, 31 * 16_000)
    assert 44_100 <= sum(decoded) < 1.1 * 44_100


def test_channels_are_averaged_and_files_summed(tmp_path):
    files = []
    for i, channels in enumerate((1, 2, 3)):
        soundfile.write(tmp_path / f"{i}.wav", sound(16_000, 1.0, channels, seed=i), 16_000, subtype="FLOAT")
        files.append(SourceFile(tmp_path / f"{i}.wav", read_header(tmp_path / f"{i}.wav")))
    expected = sum(sound(16_000, 1.0, channels, seed=i).mean(axis=1) for i, channels in enumerate((1, 2, 3)))
    np.testing.assert_allclose(read_stem(files, 100, 900), expected[100:900], atol=1e-6)
    audio = FileAudio((tuple(files), (files[0],)))
    np.testing.assert_allclose(audio.read(100, 900)[0], expected[100:900], atol=1e-6)
    assert audio.read(100, 900).shape == (2, 800)


def test_a_listing_opens_as_tracks_cut_to_their_shortest_stem(tmp_path):
    source = track(tmp_path / "a", [2.0, 1.5, 1.8], 44_100)
    beats = ((0.5, 1), (1.0, 0))
    source = SourceTrack(source.id, "train", source.stems, source.tags, beats, ((0.0, 1.0, "C:maj"),))
    tracks, problems = open_listing(tmp_path, Listing("mine", (source,), ()))
    (one,) = tracks
    assert (one.id, one.dataset, one.split, one.sample_rate) == ("a", "mine", "train", 16_000)
    assert one.stems == ("stem 0", "stem 1", "stem 2")
    assert one.num_samples == 24_000
    assert one.excerpt(23_000, 2_000).shape == (3, 2_000)
    assert not one.excerpt(23_000, 2_000)[:, 1_000:].any()
    np.testing.assert_array_equal(one.beats, beats)
    assert one.chords == ((0.0, 1.0, "C:maj"),)
    assert problems == []


def test_a_large_gap_between_stems_is_noted(tmp_path):
    _, (problem,) = open_listing(tmp_path, Listing("mine", (track(tmp_path / "a", [4.0, 2.5, 4.0]),), ()))
    assert problem.path.name == "s1.wav"
    assert "1.50 s before" in problem.what
    assert not problem.fatal


@pytest.mark.parametrize(("lengths", "left"), [([4.0, 0.4, 4.0], 2), ([4.0, 0.4], None), ([0.4], 1)])
def test_a_stem_that_was_cut_off_does_not_shorten_its_track(tmp_path, lengths, left):
    source = track(tmp_path / "a", lengths)
    headers = dict(read_headers(tmp_path, [file for stem in source.stems for file in stem.files]))
    usable, problems = select_stems(source, headers)
    assert (None if usable is None else len(usable.stems)) == left
    if len(lengths) > 1:
        assert problems[0].path == tmp_path / "a" / "s1.wav"
    if left is None:
        assert problems[-1].path == tmp_path / "a"


def test_tags_that_tell_of_each_stem_follow_the_stems(tmp_path):
    kept = keep_stems(track(tmp_path / "a", [1.0, 1.0, 1.0]), [0, 2])
    assert [stem.name for stem in kept.stems] == ["stem 0", "stem 2"]
    assert kept.tags == {"drum": [True, False], "bpm": 60}


def test_a_stem_goes_with_any_of_its_files(tmp_path):
    source = track(tmp_path / "a", [1.0] * 4)
    files = [stem.files[0] for stem in source.stems]
    grouped = SourceTrack(
        "a", "test", (SourceStem("x", (files[0], files[1])), SourceStem("y", (files[2],)), SourceStem("z", (files[3],)))
    )
    files[1].write_bytes(b"")
    usable, (problem,) = select_stems(grouped, dict(read_headers(tmp_path, files)))
    assert [stem.name for stem in usable.stems] == ["y", "z"]
    assert problem.path == files[1]


def wav_with(path, *, at: int, value: bytes):
    data = bytearray(path.read_bytes())
    data[at : at + len(value)] = value
    path.write_bytes(data)


HARM = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("a letter, no sound\n" * 99),
    "half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "no channels": lambda path: wav_with(path, at=22, value=struct.pack("<H", 0)),
    "1 Hz": lambda path: wav_with(path, at=24, value=struct.pack("<I", 1)),
    "2 MHz": lambda path: wav_with(path, at=24, value=struct.pack("<I", 2_000_000)),
    "claims too much": lambda path: wav_with(path, at=40, value=struct.pack("<I", 10**9)),
    "claims too little": lambda path: wav_with(path, at=40, value=struct.pack("<I", 100)),
    "claims nothing": lambda path: wav_with(path, at=40, value=struct.pack("<I", 0)),
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
    assert refused.value.path == path
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("extension", ["flac", "mp3", "au", "aiff"])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_files_cut_short_are_found_in_every_format_that_tells(tmp_path, extension, share):
    path = tmp_path / f"a.{extension}"
    soundfile.write(path, sound(44_100), 44_100)
    assert read_header(path) == Header(3 * 44_100, 44_100, 1)
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(DamagedFile, match=rf"a\.{extension}"):
        read_header(path)


def test_a_streamed_wav_of_unknown_size_is_no_lie(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000), 16_000, subtype="PCM_16")
    wav_with(path, at=40, value=b"\xff" * 4)
    assert read_header(path) == Header(48_000, 16_000, 1)


def test_a_wav_with_a_picture_larger_than_its_sound_is_fine(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000, 0.1), 16_000, subtype="PCM_16")
    with path.open("ab") as file:
        file.write(b"id3 " + struct.pack("<I", 50_000) + bytes(50_000))
    assert read_header(path).frames == 1_600


@pytest.mark.parametrize(("value", "says"), [(np.nan, "nan"), (-np.inf, "-inf"), (3e30, "3e+30")])
def test_samples_that_are_no_sound_are_named_with_their_place(tmp_path, value, says):
    path, samples = tmp_path / "a.wav", sound(16_000)
    samples[20_000] = value
    soundfile.write(path, samples, 16_000, subtype="FLOAT")
    file = SourceFile(path, read_header(path))
    with pytest.raises(DamagedFile, match=r"a\.wav.* at 1\.250 s") as refused:
        file.read(0, 48_000)
    assert says in str(refused.value)
    assert np.isfinite(file.read(0, 10_000)).all()


def test_a_file_that_changes_while_it_is_used(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, sound(16_000), 16_000)
    file = SourceFile(path, read_header(path))
    soundfile.write(path, sound(16_000, 1.0), 16_000)
    with pytest.raises(DamagedFile, match=r"a\.wav: ends after 1\.00 s, though its header claims 3\.00 s"):
        file.read(0, 48_000)
    soundfile.write(path, sound(16_000), 8_000)
    with pytest.raises(DamagedFile, match="changed"):
        file.read(0, 100)
    path.unlink()
    with pytest.raises(DamagedFile, match=r"a\.wav"):
        file.read(0, 100)


def test_headers_are_read_once_and_again_when_a_file_changes(tmp_path, monkeypatch):
    source = track(tmp_path / "a", [1.0, 1.0, 1.0])
    files = [stem.files[0] for stem in source.stems]
    files[2].write_text("no sound")
    first = dict(read_headers(tmp_path, files))
    assert list(first) == files
    assert isinstance(first[files[2]], DamagedFile)

    opened, real = [], soundfile.SoundFile.__init__

    def counting(self, path, *arguments, **named):
        opened.append(path)
        real(self, path, *arguments, **named)

    monkeypatch.setattr(soundfile.SoundFile, "__init__", counting)
    again = dict(read_headers(tmp_path, files))
    assert opened == [files[2]]  # what is damaged is looked at again
    assert again[files[0]] == first[files[0]] == Header(16_000, 16_000, 1)
    soundfile.write(files[1], sound(16_000, 2.0), 16_000)
    opened.clear()
    assert dict(read_headers(tmp_path, files))[files[1]].frames == 32_000
    assert sorted(opened) == files[1:]


def test_headers_read_before_an_interruption_are_kept(tmp_path):
    source = track(tmp_path / "a", [1.0, 1.0, 1.0])
    reading = read_headers(tmp_path, [stem.files[0] for stem in source.stems])
    next(reading)
    reading.close()
    (kept,) = (paths.cache() / "headers").iterdir()
    assert json.loads(kept.read_text())["files"]


@pytest.mark.parametrize("rubbish", ["", "[]", '{"format": 1}', '{"format": 99, "files": {}}'])
def test_a_damaged_header_cache_is_as_good_as_none(tmp_path, rubbish):
    source = track(tmp_path / "a", [1.0])
    file = source.stems[0].files[0]
    list(read_headers(tmp_path, [file]))
    (kept,) = (paths.cache() / "headers").iterdir()
    kept.write_text(rubbish)
    assert dict(read_headers(tmp_path, [file])) == {file: Header(16_000, 16_000, 1)}
