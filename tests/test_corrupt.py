"""Three hundred damaged files: each is named, nothing crashes, the rest is whole.

Damage is done to files at 16 kHz, so that what is stored can be compared with what it was before, sample by sample.
"""

import io
import json
import struct

import numpy as np
import pytest
import skeletons
import soundfile
from skeletons import Sound

from phalar.datasets.prepare import check, folder, load, prepare
from phalar.errors import RunError

TRACKS, DAMAGED, FLIPS = 120, 100, 5
SOUNDS = {"wav": Sound(seconds=0.5), "stereo": Sound(channels=2, seconds=0.5), "flac": Sound("flac", seconds=0.5)}


def flipped(data: bytes, first: int, last: int, rng) -> bytes:
    harmed = bytearray(data)
    for place in rng.integers(first, last, FLIPS):
        harmed[place] ^= 1 << int(rng.integers(8))
    return bytes(harmed)


def with_flac(data: bytes, *, rate: int | None = None, frames: int | None = None) -> bytes:
    """Another sample rate (20 bits) or length (36 bits) in a FLAC file's STREAMINFO."""
    bits = int.from_bytes(data[18:26], "big")
    if rate is not None:
        bits = bits & ~(0xFFFFF << 44) | rate << 44
    if frames is not None:
        bits = bits & ~0xFFFFFFFFF | frames
    return data[:18] + bits.to_bytes(8, "big") + data[26:]


def with_wav(data: bytes, at: int, form: str, value: int) -> bytes:
    assert data[36:40] == b"data"
    field = struct.pack(form, value)
    return data[:at] + field + data[at + len(field) :]


def not_a_number(data: bytes, rng) -> bytes:
    samples = np.full(8_000, 0.1)
    samples[rng.integers(8_000)] = np.nan
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


ANY = {
    "truncated": lambda data, rng: data[: len(data) * int(rng.integers(10, 95)) // 100],
    "almost whole": lambda data, rng: data[:-100],
    "bits flipped": lambda data, rng: flipped(data, len(data) // 4, len(data), rng),
    "bits flipped in the header": lambda data, rng: flipped(data, 0, 42, rng),
    "empty": lambda data, rng: b"",
    "text": lambda data, rng: b"this is a letter and no sound\n" * 400,
    "not a number": not_a_number,
}
WAV = {
    "claims more": lambda data, rng: with_wav(data, 40, "<I", 2 * len(data)),
    "claims less": lambda data, rng: with_wav(data, 40, "<I", 200),
    "no channels": lambda data, rng: with_wav(data, 22, "<H", 0),
    "1 Hz": lambda data, rng: with_wav(data, 24, "<I", 1),
}
FLAC = {
    "claims more": lambda data, rng: with_flac(data, frames=12_000),
    "claims less": lambda data, rng: with_flac(data, frames=100),
    "no channels": lambda data, rng: data[:8],
    "1 Hz": lambda data, rng: with_flac(data, rate=1),
}
MAY_GO_UNNOTICED = {"bits flipped", "bits flipped in the header"}
"""WAV has no checksums. FLAC has, but not for its header."""


@pytest.mark.parametrize("kind", SOUNDS)
def test_damaged_files_are_named_and_the_rest_is_whole(tmp_path, monkeypatch, kind):
    """Every third damaged track has two stems, so that it is lost as a whole."""
    assert len(SOUNDS) * DAMAGED >= 300
    root = skeletons.multitracks(tmp_path / "copy", [f"song{n:03d}" for n in range(TRACKS)], sound=SOUNDS[kind])
    harms, rng, harm_of = ANY | (FLAC if kind == "flac" else WAV), np.random.default_rng(len(kind)), {}
    for number in range(0, DAMAGED, 3):
        next((root / f"song{number:03d}").glob("keys.*")).unlink()
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "before"))
    assert prepare("folder", root, progress=False).problems == []
    before = {track.id: track for track in load("folder-copy")}

    for number in range(DAMAGED):
        harm, path = list(harms)[number % len(harms)], next((root / f"song{number:03d}").glob("bass.*"))
        data = path.read_bytes()
        path.write_bytes(harms[harm](data, rng))
        assert path.read_bytes() != data, harm
        harm_of[path] = harm

    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "after"))
    checked = {path for path, _ in check("folder", root).problems}
    with pytest.raises(
        RunError, match="could not be prepared"
    ):  # more than 5 % are lost, the others there all the same
        prepare("folder", root, progress=False)
    reported = {root / path for path, _ in json.loads((folder("folder-copy") / "problems.json").read_text())}
    after = {track.id: track for track in load("folder-copy")}
    for path, harm in harm_of.items():
        was, now = before[path.parent.name], after.get(path.parent.name)
        if path in reported:
            assert now is None if len(was.stems) == 2 else now.stems == ("drums", "keys"), (path, harm)
        else:
            assert harm in MAY_GO_UNNOTICED, f"{path}: {harm} was not reported"
            if harm == "bits flipped":
                assert (now.excerpt() != was.excerpt()).sum() <= FLIPS
        if harm not in {*MAY_GO_UNNOTICED, "not a number"}:
            assert path in checked, f"{path}: {harm} was not found by its header"
    for path in reported:
        assert path in harm_of or path.is_dir(), f"{path} was reported and is as it was"
    for number in range(DAMAGED, TRACKS):
        np.testing.assert_array_equal(after[f"song{number:03d}"].excerpt(), before[f"song{number:03d}"].excerpt())
