"""Three hundred damaged files, spread over copies of every data set: each is named, nothing crashes, the rest is whole.

Damage is done to copies at 16 kHz, so that what is stored can be compared with what it was before, sample by sample.
"""

import io
import json
import struct

import numpy as np
import pytest
import skeletons
import soundfile
from skeletons import Sound

from phalar.datasets import prepare as prepared
from phalar.datasets.files import Problem, open_tracks
from phalar.datasets.listing import published
from phalar.datasets.prepare import DATASETS, check, prepare
from phalar.errors import RunError

TRACKS, DAMAGED = 60, 44
FLIPS = 5

WAV, STEREO, FLAC = (
    Sound(seconds=0.5),
    Sound(channels=2, seconds=0.5),
    Sound(extension="flac", seconds=0.5),
)


REDUX = [name for n in range(1, 2 * TRACKS) if (name := f"Track{n:05d}") not in published("slakh2100")]


def clips(folder):
    """GTZAN: clips of one genre."""
    (folder / "blues").mkdir(parents=True)
    for number in range(TRACKS):
        WAV.write(folder / "blues", f"blues.{number:05d}", number)


CHORD = '{"annotations": [{"namespace": "chord", "data": [{"time": 0, "duration": 0.5, "value": "C"}]}]}'


def takes(folder):
    """GuitarSet: takes of two players, of one chord each."""
    (folder / "annotation").mkdir(parents=True)
    (folder / "audio_mono-mic").mkdir()
    for number in range(TRACKS):
        name = f"{number // 30:02d}_Rock{1 + number % 3}-{90 + number % 30}-C_comp_mic"
        WAV.write(folder / "audio_mono-mic", name, number)
        (folder / "annotation" / f"{name.removesuffix('_mic')}.jams").write_text(CHORD)


COPIES = {
    "moisesdb": lambda folder: skeletons.moisesdb(folder, skeletons.moisesdb_ids(TRACKS), sound=STEREO),
    "slakh2100": lambda folder: skeletons.slakh(
        folder, [(name, "train", ("S00", "S01", "S05"), ()) for name in REDUX[:TRACKS]], FLAC
    ),
    "cocochorales": lambda folder: skeletons.cocochorales(folder, {"train": TRACKS // 4}, WAV),
    "musdb18hq": lambda folder: skeletons.musdb18hq(folder, {"test": [f"A - {n}" for n in range(TRACKS)]}, STEREO),
    "folder": lambda folder: skeletons.multitracks(folder, [f"song {n}" for n in range(TRACKS)], sound=FLAC),
    "gtzan": clips,
    "guitarset": takes,
}


def flipped(data: bytes, first: int, last: int, rng) -> bytes:
    harmed = bytearray(data)
    for place in rng.integers(first, last, FLIPS):
        harmed[place] ^= 1 << int(rng.integers(8))
    return bytes(harmed)


def with_flac(data: bytes, *, rate: int | None = None, frames: int | None = None) -> bytes:
    """Another sample rate (20 bits) or length (36 bits) in a FLAC file's STREAMINFO."""
    assert data[:4] == b"fLaC"
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


HARM = {
    "truncated": lambda data, rng: data[: len(data) * int(rng.integers(10, 95)) // 100],
    "almost whole": lambda data, rng: data[:-100],
    "bits flipped": lambda data, rng: flipped(data, len(data) // 4, len(data), rng),
    "bits flipped in the header": lambda data, rng: flipped(data, 0, 42, rng),
    "empty": lambda data, rng: b"",
    "text": lambda data, rng: b"this is a letter and no sound\n" * 400,
    "claims more": lambda data, rng: (
        with_flac(data, frames=12_000) if data[:4] == b"fLaC" else with_wav(data, 40, "<I", 2 * len(data))
    ),
    "claims less": lambda data, rng: (
        with_flac(data, frames=100) if data[:4] == b"fLaC" else with_wav(data, 40, "<I", 200)
    ),
    "not a number": not_a_number,
    "no channels": lambda data, rng: data[:8] if data[:4] == b"fLaC" else with_wav(data, 22, "<H", 0),
    "1 Hz": lambda data, rng: with_flac(data, rate=1) if data[:4] == b"fLaC" else with_wav(data, 24, "<I", 1),
}

MAY_GO_UNNOTICED = {"bits flipped", "bits flipped in the header"}
"""WAV has no checksums. FLAC has, but not for its header."""


def prepare_what_can_be(name, root):
    """The paths reported as not used, and the store's tracks."""
    try:
        store = prepare(name, root, jobs=2, progress=False).name
    except RunError:  # more than 5 % lost, as is the case for single recordings; the others are there all the same
        store = prepared.store_name(name, root, {})
    report = json.loads((prepared.folder(store) / "problems.json").read_text())
    return {root / each["path"] for each in report["problems"] if each["serious"]}, {
        track.id: track for track in prepared.load(store)
    }


@pytest.mark.parametrize("name", COPIES)
def test_damaged_files_are_named_and_the_rest_is_whole(tmp_path, monkeypatch, name):
    root = tmp_path / "copy"
    COPIES[name](root)
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "before"))
    reported, before = prepare_what_can_be(name, root)
    listed = {track.id: track for track in DATASETS[name].list(root).tracks}
    assert len(before) == len(listed) == TRACKS
    assert COPIES.keys() == DATASETS.keys()
    assert len(COPIES) * DAMAGED >= 300
    assert not reported

    rng, harm_of, owner = np.random.default_rng(len(name)), {}, {}
    for number, (track_id, track) in enumerate(list(listed.items())[:DAMAGED]):
        path = track.audio.stems[number % len(track.stems)][0]
        harm = list(HARM)[number % len(HARM)]
        data = path.read_bytes()
        path.write_bytes(HARM[harm](data, rng))
        assert path.read_bytes() != data, harm
        harm_of[path], owner[path] = harm, track_id

    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "after"))
    checked = {found.path for found in check(name, root) if isinstance(found, Problem)}
    reported, after = prepare_what_can_be(name, root)
    for path, harm in harm_of.items():
        was, now = before[owner[path]], after.get(owner[path])
        if path in reported:
            stems = len(was.stems)
            assert (0 if now is None else len(now.stems)) == (stems - 1 if stems > 2 else 0), (path, harm)
        else:
            assert harm in MAY_GO_UNNOTICED, f"{path}: {harm} was not reported"
            if harm == "bits flipped":
                assert now.stems == was.stems
                assert (now.excerpt() != was.excerpt()).sum() <= FLIPS
        if harm not in {*MAY_GO_UNNOTICED, "not a number"}:
            assert path in checked, f"{path}: {harm} was not found by its header"
    for path in reported:
        assert path in harm_of or path.is_dir(), f"{path} was reported and is as it was"
    for track_id in listed.keys() - set(owner.values()):
        np.testing.assert_array_equal(after[track_id].excerpt(), before[track_id].excerpt())

    # Unprepared, each excerpt that can be had is right, and the others fail with the file's name.
    tracks, _ = open_tracks(DATASETS[name].list(root))
    for track in tracks:
        harms = {harm_of.get(path) for stem in track.audio.stems for path in stem}
        if "not a number" in harms:
            with pytest.raises(RunError, match=f"(?s){root}.* holds a sample of nan"):
                track.excerpt()
        elif not harms & MAY_GO_UNNOTICED:
            assert np.isfinite(track.excerpt()).all()
