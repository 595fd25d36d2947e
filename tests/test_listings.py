"""Listings of multitracks: what is in a copy is found, once, in its split, and nothing in a copy does harm."""

import csv
import json
import os
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
import skeletons
import yaml
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st
from skeletons import Sound

from phalar.datasets import multitracks
from phalar.datasets.listing import KNOWN_FAULT, METADATA_LIMIT, published, track_ids
from phalar.datasets.multitracks import cocochorales, folder, moisesdb, musdb18hq, slakh2100
from phalar.datasets.prepare import DATASETS, dataset
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError

MAKERS = {
    "moisesdb": skeletons.moisesdb,
    "slakh2100": skeletons.slakh,
    "cocochorales": skeletons.cocochorales,
    "musdb18hq": skeletons.musdb18hq,
    "folder": skeletons.multitracks,
}
IN_SPLITS = MAKERS | {  # the same with tracks in the folders of two splits
    "moisesdb": lambda root: skeletons.moisesdb(root, dict(zip(skeletons.moisesdb_ids(2), SPLITS[::2], strict=True))),
    "folder": lambda root: skeletons.multitracks(root, ("train/one", "test/two")),
}


@pytest.fixture(scope="session")
def fixtures():
    """Folder of the small real samples; the test is skipped where it is absent."""
    if not (SHARED / "fixtures").is_dir():
        pytest.skip(f"the real samples are not at {SHARED / 'fixtures'}")
    return SHARED / "fixtures"


@pytest.fixture(params=MAKERS)
def copy(request, tmp_path):
    """Name and root of a small sound copy of each data set."""
    return request.param, MAKERS[request.param](tmp_path / "copy")


def files(listing):
    return Counter(path for track in listing.tracks for path in track.files)


def fatal(listing):
    return {problem.path: problem.what for problem in listing.problems if problem.fatal}


def notes(listing):
    return {problem.path: problem.what for problem in listing.problems if not problem.fatal}


def splits(listing):
    return {track.id: track.split for track in listing.tracks}


# What every listing must do


def test_every_audio_file_but_mixes_is_in_exactly_one_stem(copy):
    name, root = copy
    audio = [path for path in root.rglob("*") if path.suffix in (".wav", ".flac") and not path.stem.startswith("mix")]
    listing = dataset(name).list(root)
    assert files(listing) == Counter(path for path in audio if "omitted" not in path.parts)
    assert not fatal(listing)
    assert listing.dataset == name
    assert [track.id for track in listing.tracks] == sorted({track.id for track in listing.tracks})
    assert all(track.split in SPLITS and len(track.stems) > 1 and "title" in track.tags for track in listing.tracks)
    assert all(track.pitched is None or len(track.pitched) == len(track.stems) for track in listing.tracks)
    json.dumps([track.tags for track in listing.tracks])


def test_a_listing_reads_no_audio_and_changes_nothing(copy):
    name, root = copy
    listing = dataset(name).list(root)
    for path in files(listing):
        path.write_bytes(b"")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}
    assert dataset(name).list(root) == listing
    if name != "folder":
        assert dataset(name).list(root.parent) == listing
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")} == before


def test_hidden_names_and_crowds_are_passed_over(copy):
    name, root = copy
    listing = dataset(name).list(root)
    place = listing.tracks[0].files[0].parent
    for path in [root, *root.rglob("*")]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")  # macOS
    (place / ".Trash" / "stems").mkdir(parents=True)
    for number in range(3_000):
        (root / f"{number}.txt").touch()
        (place / f"{number}.txt").touch()
    assert dataset(name).list(root) == listing


def test_a_track_of_less_than_two_stems_is_left_out(copy):
    name, root = copy
    whole = dataset(name).list(root)
    for path in [*whole.tracks[0].files[1:], *whole.tracks[1].files]:
        path.unlink()
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks[2:]
    left = [f"usable stems: {stems}, where a track needs at least two" for stems in (0, 1)]
    assert sorted(fatal(listing).values()) == left


@pytest.mark.parametrize("name", IN_SPLITS)
def test_no_track_is_in_two_splits_and_valid_and_validation_are_one(name, tmp_path):
    root = IN_SPLITS[name](tmp_path)
    whole = dataset(name).list(root)
    place = next(path for path in root.rglob("train/*") if files(whole).keys() & set(path.rglob("*")))
    again = place.parent.with_name("test") / place.name
    shutil.copytree(place, again)
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    assert set(fatal(listing)) == {again}
    shutil.rmtree(again)
    test = next(path for path in root.rglob("test") if path.is_dir())
    for spelling in ("valid", "validation"):
        shutil.rmtree(test.with_name(spelling), ignore_errors=True)
    test.rename(test.with_name("Validation"))
    assert "test" not in splits(dataset(name).list(root)).values()
    assert "valid" in splits(dataset(name).list(root)).values()


@pytest.mark.parametrize("name", list(MAKERS)[:4])
def test_a_folder_that_is_none_or_of_something_else_or_of_two_copies_is_refused(name, tmp_path):
    (tmp_path / "empty" / "a" / "b").mkdir(parents=True)
    (tmp_path / "hollow" / "train").mkdir(parents=True)
    for root, says in (
        ("empty", "does not look like.*expected"),
        ("absent", "not a folder"),
        ("hollow", "holds no track"),
    ):
        with pytest.raises(InputError, match=says):
            dataset(name).list(tmp_path / root)
    for each in "ab":
        MAKERS[name](tmp_path / "two" / each)
    with pytest.raises(InputError, match="several copies"):
        dataset(name).list(tmp_path / "two")


def test_a_stem_in_two_formats_counts_once_and_either_will_do(copy, tmp_path):
    name, root = copy
    listing = dataset(name).list(root)
    for path in files(listing):
        shutil.copy(path, path.with_suffix(".wav" if name == "slakh2100" else ".flac"))
    again = dataset(name).list(root)
    assert again.tracks == listing.tracks
    assert not fatal(again)
    assert notes(again)
    for extension in ("wav", "flac"):
        found = files(dataset(name).list(MAKERS[name](tmp_path / extension, sound=Sound(extension=extension))))
        assert {path.suffix for path in found} == {f".{extension}"}


def test_files_that_are_links_are_followed_as_a_model_hub_lays_them(copy, tmp_path):
    """Every file lies elsewhere under a digest, and the copy has links of the right names."""
    name, root = copy
    whole = dataset(name).list(root)
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate([path for path in root.rglob("*") if path.is_file()]):
        blob = path.rename(tmp_path / "blobs" / f"{number:064x}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert dataset(name).list(root) == whole


def test_loops_folders_pipes_and_devices_behind_links_are_not_followed(copy, tmp_path):
    name, root = copy
    outside = skeletons.multitracks(tmp_path / "outside")
    whole = dataset(name).list(root)
    place = whole.tracks[0].files[0].parent
    (place / "loop").symlink_to(place)
    (place / "S98.wav").symlink_to(place / "S98.wav")
    (place / "S99.wav").symlink_to("/dev/zero")
    (root / "more").symlink_to(outside)
    os.mkfifo(place / "9_pipe.wav")
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    refused = {place / "loop", place / "S98.wav", place / "S99.wav"}
    assert set(fatal(listing)) == refused | (set() if name == "cocochorales" else {root / "more"})


def test_names_that_are_not_utf8_and_metadata_that_are_pipes_do_no_harm(tmp_path):
    root = skeletons.multitracks(tmp_path / "f")
    (root / "two").rename(root / os.fsdecode(b"caf\xe9"))
    (root / "one" / "bass.wav").rename(root / "one" / os.fsdecode(b"b\xe4ss.wav"))
    listing = folder(root)
    assert [(track.id, track.tags["title"]) for track in listing.tracks] == [("caf_", "caf?"), ("one", "one")]
    assert [stem.name for stem in listing.tracks[1].stems] == ["b?ss", "drums", "keys"]
    song = skeletons.moisesdb(tmp_path / "m") / skeletons.moisesdb_ids(1)[0] / "data.json"
    song.unlink()
    os.mkfifo(song)
    assert len(moisesdb(tmp_path / "m").tracks) == 3


@given(st.sets(st.text(min_size=1, max_size=30), min_size=1, max_size=6))
def test_ids_name_files_and_are_unique_on_any_file_system(names):
    ids = track_ids(names)
    assert len({track_id.lower() for track_id in ids.values()}) == len(names)
    for track_id in ids.values():
        assert track_id.isascii()
        assert all(c.isalnum() or c in "._-" for c in track_id)
        assert not track_id.startswith(".")
        assert len(track_id) <= 120
    assert track_ids(sorted(names, reverse=True)) == ids


# MoisesDB


def test_the_published_split_of_moisesdb_comes_from_the_seed(fixtures):
    with (fixtures / "moisesdb" / "track_index.csv").open(newline="") as file:
        index = {row["track_id"]: row["seed42_split"] for row in csv.DictReader(file)}
    assert {song[:8]: split for song, split in index.items()} == multitracks.published_split()
    shuffled = sorted(index)  # the published script, on the whole ids
    random.seed(42)
    random.shuffle(shuffled)
    assert [index[song] for song in shuffled] == ["train"] * 192 + ["valid"] * 24 + ["test"] * 24


def test_songs_of_moisesdb_keep_their_published_split_or_the_folder_they_were_moved_to(tmp_path):
    some, published_split = skeletons.moisesdb_ids()[::17], multitracks.published_split()
    stray = "00000000-0000-4000-8000-000000000000"
    listing = moisesdb(skeletons.moisesdb(tmp_path / "flat", [*some, stray]))
    assert splits(listing) == {song: published_split[song[:8]] for song in some}
    assert list(fatal(listing)) == [tmp_path / "flat" / stray]
    other = next(split for split in SPLITS if split != published_split[some[0][:8]])
    moved = {some[0]: other, some[1]: published_split[some[1][:8]], stray: "valid"}
    listing = moisesdb(skeletons.moisesdb(tmp_path / "moved", moved))
    assert splits(listing) == moved
    (note,) = notes(listing).values()
    assert note.startswith("2 songs, such as ")  # the first, and the one that has no published split


def test_units_of_moisesdb(tmp_path):
    root = skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(1))
    (track,) = moisesdb(root).tracks
    named = dict(zip([stem.name for stem in track.stems], track.tags["stem_names"], strict=True))
    drums = dict.fromkeys(("hi_hat", "kick_drum", "snare_drum"), "drums")
    assert named == {"bass_guitar": "bass", "lead_male_singer": "vocals"} | drums
    assert track.pitched == tuple(name != "drums" for name in track.tags["stem_names"])
    assert (track.tags["artist"], track.tags["genre"]) == ("Nobody", "rock")
    (summed,) = moisesdb(root, unit="stem").tracks
    assert {stem.name: len(stem.files) for stem in summed.stems} == {"bass": 1, "drums": 3, "vocals": 1}
    with pytest.raises(InputError, match="unit='song' is none of source, stem"):
        moisesdb(root, unit="song")


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    """A song of MoisesDB: its root and its metadata."""
    root = skeletons.moisesdb(tmp_path_factory.mktemp("song"), skeletons.moisesdb_ids(1))
    path = next(root.glob("*/data.json"))
    return root, path, path.read_text()


def test_metadata_of_moisesdb_lead_nowhere_and_broken_ones_are_reported(song):
    root, path, text = song
    twice = json.loads(text)  # entries that come twice are merged
    twice["stems"] += [{**stem, "tracks": [source]} for stem in twice["stems"] for source in stem["tracks"]]
    path.write_text(json.dumps(twice))
    assert moisesdb(root).tracks[0].stems[0].name == "bass_guitar"
    for hostile in ("../../x", "/etc/passwd", "..", "\0", "\ud800", "x" * 5000):
        stem = {"stemName": hostile, "tracks": [{"id": hostile, "extension": "wav", "trackType": hostile}]}
        path.write_text(json.dumps({"song": hostile, "stems": [stem]}))
        listing = moisesdb(root)
        assert set(files(listing)) == set(root.glob("*/*/*.wav"))
        assert [stem.name for stem in listing.tracks[0].stems] == ["bass", "drums", "drums", "drums", "vocals"]
        assert "lists 1 sources without a file" in notes(listing)[path]
        json.dumps(listing.tracks[0].tags, ensure_ascii=False).encode()
    long = b" " * (METADATA_LIMIT + 1)
    for content in (b"", b"null", b"\xff\xfe\0", b"[" * 500_000, long, b'{"song": ' + b"9" * 5000):
        path.write_bytes(content)
        assert len(moisesdb(root).tracks[0].stems) == 5
        assert list(notes(moisesdb(root))) == [path]


# Slakh2100


def test_slakh_takes_what_sounds_and_says_what_does_not(tmp_path):
    root = skeletons.slakh(tmp_path)
    track = slakh2100(root).tracks[1]
    assert [stem.files[0].stem for stem in track.stems] == ["S01", "S02", "S03"]  # S00 is MIDI only
    assert [stem.name for stem in track.stems] == ["Drums", "Bass", "Strings (continued)"]
    assert track.tags["programs"] == ["Drums", "Electric Bass (finger)", "Choir Aahs"]
    assert (track.tags["is_drum"], track.pitched) == ([True, False, False], (False, True, True))
    assert not slakh2100(root).problems
    track.files[0].unlink()
    assert notes(slakh2100(root)) == {
        root / "train/Track00002/stems": "has no audio of S01, which metadata.yaml says was rendered"
    }


def test_slakh_never_opens_omitted(tmp_path, monkeypatch):
    root, opened, scandir = skeletons.slakh(tmp_path / "slakh2100_flac_redux"), [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda place: opened.append(place) or scandir(place))
    for start in (root, root.parent):
        assert "Track00049" not in splits(slakh2100(start))
    assert len(opened) > 10
    assert not [path for path in opened if "omitted" in Path(path).parts]


def test_slakh_in_its_other_layouts_loses_what_redux_omits(tmp_path):
    stems = ("S05", "S09")
    table = [("Track00049", "train", stems, ()), ("Track00050", "train", stems, ())]
    listing = slakh2100(skeletons.slakh(tmp_path / "orig", table))
    assert splits(listing) == {"Track00050": "train"}
    assert "1 tracks are left out" in notes(listing)[tmp_path / "orig"]
    numbers = {1: "train", 49: None, 1500: "train", 1501: "valid", 1875: "valid", 1876: "test"}
    flat = [(f"Track{number:05d}", None, stems, ()) for number in numbers]
    listing = slakh2100(skeletons.slakh(tmp_path / "flat", flat, Sound()))
    assert splits(listing) == {f"Track{number:05d}": split for number, split in numbers.items() if split}


def test_faults_of_slakh_are_left_out_but_those_of_the_published_test_split(tmp_path):
    table = [
        ("Track00357", "train", ("S02", "S03", "S04"), ()),
        ("Track00022", "train", ("S10", "S11", "S12"), ()),
        ("Track00157", "train", ("S02", "S04", "S05"), ()),  # the twin of S04 is absent
        ("Track01876", "test", ("S00", "S01"), ()),
    ]
    root = skeletons.slakh(tmp_path, table)
    listing = slakh2100(root)
    assert fatal(listing) == {
        root / "train/Track00022/stems/S12.flac": KNOWN_FAULT + "the same audio as S11",
        root / "train/Track00357/stems/S03.flac": KNOWN_FAULT + "white noise",
    }
    assert notes(listing) == {root / "test/Track01876/stems/S01.flac": KNOWN_FAULT + "notes are missing"}
    assert [len(track.stems) for track in listing.tracks] == [2, 3, 2, 2]
    assert [len(track.tags["programs"]) for track in listing.tracks] == [2, 3, 2, 2]


def test_metadata_of_slakh_only_name(tmp_path):
    root, unknown = skeletons.slakh(tmp_path), ["unknown"] * 3
    path = root / "train/Track00001/metadata.yaml"
    for content, names in (
        (b"\x8bUUID: x\nstems:\n  S00:\n    inst_class: Bass\n", ["Bass", "unknown", "unknown"]),
        (b"\xef\xbb\xbfstems:\r\n  S03:\r\n    inst_class: 'Bass '\r\n", ["unknown", "unknown", "Bass"]),
        (b"stems:\n  S01:\n    midi_program_name: Gong\n    inst_class:\n", ["unknown", "Gong", "unknown"]),
        (b"stems:\n  ../../S01:\n    inst_class: Bass\n", unknown),
        (b"[" * 500_000, unknown),
        (b"a: b" + b" " * 900_000 + b"c\n", unknown),
        (b" " * (METADATA_LIMIT + 1), unknown),
    ):
        path.write_bytes(content)
        listing = slakh2100(root)
        assert [stem.name for stem in listing.tracks[0].stems] == names
        assert (path in notes(listing)) == (names == unknown)


def test_metadata_of_slakh_are_read_as_a_yaml_parser_reads_them(fixtures):
    paths = sorted((fixtures / "slakh").rglob("metadata.yaml"))
    assert len(paths) == 5
    for path in paths:
        entries = multitracks.read_slakh_metadata(path.read_text())
        expected = yaml.safe_load(path.read_text())
        assert entries.keys() - {""} == expected["stems"].keys()
        assert entries[""]["UUID"] == expected["UUID"]
        for stem, words in expected["stems"].items():
            assert {key: yaml.safe_load(value) for key, value in entries[stem].items()} == words


def test_the_real_samples(fixtures):
    for place, suffix in (("babyslakh_16k", ".wav"), ("slakh2100_flac_redux", ".flac")):
        listing = slakh2100(fixtures / "slakh" / place)
        (track,) = listing.tracks  # in BabySlakh the metadata deny all its audio
        assert [stem.files[0].name for stem in track.stems] == [f"S{n:02d}{suffix}" for n in range(11) if n != 6]
        assert [stem.name for stem in track.stems][:4] == ["Guitar", "Drums", "Piano", "Bass"]
    assert {path.name for path in fatal(listing)} == {"Track01501", "Track01876"}  # they come without audio
    (song,) = musdb18hq(fixtures / "musdb18hq").tracks
    assert (song.id, song.split) == ("The_Easton_Ellises_-_Falcon_69", "test")
    own = folder(fixtures / "multitracks")
    assert (len(own.tracks), own.problems) == (6, ())
    redux = json.loads((fixtures / "slakh" / "splits" / "redux.json").read_text())
    omitted = {track for track, what in redux.items() if what["action"] == "omit"}
    assert omitted == {track for track, what in published("slakh2100").items() if what == "omitted"}


# CocoChorales, MUSDB18-HQ


def test_ensembles_and_voices_of_cocochorales(tmp_path):
    root = skeletons.cocochorales(tmp_path)
    listing = cocochorales(root)
    assert Counter(track.tags["ensemble"] for track in listing.tracks) == dict.fromkeys(multitracks.ENSEMBLES, 4)
    for wanted, ensembles in (("random", {"random"}), (["random"], {"random"}), ("string, brass", {"string", "brass"})):
        assert {track.id.split("_")[0] for track in cocochorales(root, wanted).tracks} == ensembles
    for wrong in ("strings", "", (), "string,all"):
        with pytest.raises(InputError, match="use all, or some of string, brass, woodwind, random"):
            cocochorales(root, wrong)
    track = cocochorales(root, "random").tracks[0]
    assert [stem.name for stem in track.stems] == ["saxophone", "viola", "horn", "double bass"]
    assert track.tags == {"title": track.id, "ensemble": "random", "tempo": 50}
    for number, path in enumerate(track.files):  # as the format's page has it
        path.rename(path.with_name(f"{number}_{track.stems[number].name}.wav"))
    again = cocochorales(root, "random").tracks[0]
    assert [stem.name for stem in again.stems] == [stem.name for stem in track.stems]


def test_what_is_odd_in_cocochorales_and_musdb_is_reported(tmp_path):
    place = skeletons.cocochorales(tmp_path / "coco") / "main_dataset" / "train"
    (place / "brass_track048001" / "stems_audio" / "2_horn.wav").unlink()
    Sound().write(place / "brass_track048002" / "stems_audio", "mix")
    (place / "random_track144001" / "metadata.yaml").write_text("tempo: " + "9" * 5000)
    (place / "96").mkdir()
    (place / "string_track000001").rename(place / "string_track200000")
    listing = cocochorales(tmp_path / "coco")
    assert len(listing.tracks) == 16
    assert set(fatal(listing)) == {place / "96", place / "brass_track048002" / "stems_audio" / "mix.wav"}
    said = notes(listing)
    assert said.pop(place / "brass_track048001") == "has 3 of four voices"
    assert said.pop(place / "random_track144001" / "metadata.yaml") == "gives no tempo"
    assert "string_track200000, have numbers of another split" in said.pop(tmp_path / "coco")
    assert not said
    song = skeletons.musdb18hq(tmp_path / "musdb", {"train": ("A - B",)}) / "train" / "A - B"
    (song / "vocals.wav").rename(song / "accompaniment.wav")
    listing = musdb18hq(tmp_path / "musdb")
    assert [stem.name for stem in listing.tracks[0].stems] == ["drums", "bass", "other"]
    assert (notes(listing), list(fatal(listing))) == ({song: "lacks vocals"}, [song / "accompaniment.wav"])
    (tmp_path / "packed" / "train").mkdir(parents=True)
    (tmp_path / "packed" / "train" / "A - B.stem.mp4").touch()
    with pytest.raises(InputError, match="MUSDB18-HQ, which is wav"):
        musdb18hq(tmp_path / "packed")


def test_names_and_splits_of_musdb(tmp_path):
    listing = musdb18hq(skeletons.musdb18hq(tmp_path))
    assert {track.tags["title"]: track.id for track in listing.tracks}[
        "Actions - Devil's Words"
    ] == "Actions_-_Devil_s_Words"
    assert [track.split for track in listing.tracks] == ["valid", "train", "test", "test", "train"]
    assert [p.path.name for p in listing.problems if p.what.startswith(KNOWN_FAULT)] == ["PR - Oh No"]


# A folder of multitracks


def test_splits_of_a_folder(tmp_path):
    root = skeletons.multitracks(tmp_path / "a")
    assert splits(folder(root)) == {"one": "test", "two": "test"}
    assert splits(folder(root, split="train")) == {"one": "train", "two": "train"}
    root = skeletons.multitracks(tmp_path / "b", ("train/one", "validation/two", "three"))
    assert splits(folder(root)) == {"one": "train", "two": "valid"}
    assert list(fatal(folder(root))) == [root / "three"]
    for number, name in enumerate(("test", "test/stems")):  # a song may be called test
        root = skeletons.multitracks(tmp_path / str(number), (name, "one"))
        assert splits(folder(root)) == {"one": "test", "test": "test"}
    with pytest.raises(InputError, match="split='all' is none of train, valid, test"):
        folder(root, split="all")
    with pytest.raises(InputError, match="give the folder above it"):
        folder(root / "one")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it has none"):
        folder(tmp_path / "empty")


def test_stems_of_a_folder(tmp_path):
    names = ("Mix", "01 Kick", "mixture", "master", "Mixer")
    root = skeletons.multitracks(tmp_path / "a", ("one", "two/stems"), names)
    Sound().write(root / "two", "mix")
    Sound().write(root / "two", "spare")
    listing = folder(root)
    assert [[stem.name for stem in track.stems] for track in listing.tracks] == [["01 Kick", "Mixer"]] * 2
    assert {path.parent for path in files(listing)} == {root / "one", root / "two" / "stems"}
    assert list(notes(listing)) == [root / "two"]
    for extension in ("wav", "flac", "ogg", "mp3", "aiff", "aif", "AU"):
        root = skeletons.multitracks(tmp_path / extension, sound=Sound(extension=extension))
        assert len(files(folder(root))) == 6


# Full size


def test_all_songs_of_moisesdb_and_musdb(tmp_path):
    stems = {"bass": ["bass_guitar"], "drums": ["kick_drum"]}
    songs = skeletons.moisesdb(tmp_path / "moises", skeletons.moisesdb_ids(), stems, Sound())
    assert Counter(splits(moisesdb(songs)).values()) == DATASETS["moisesdb"].expected
    valid = [song for song, what in published("musdb18hq").items() if what == "valid"]
    names = {"train": [*valid, *(f"A - {n}" for n in range(86))], "test": [f"B - {n}" for n in range(50)]}
    songs = skeletons.musdb18hq(tmp_path / "musdb", names, Sound())
    assert Counter(splits(musdb18hq(songs)).values()) == DATASETS["musdb18hq"].expected


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_slakh_in_full_or_in_part(fixtures, tmp_path, step):
    """All 1,539 stems of the published test split, and of training all but the published noise and copies."""
    rows = skeletons.slakh_table(fixtures / "slakh" / "splits" / "redux_stem_index.csv")[::step]
    listing = slakh2100(skeletons.slakh(tmp_path, rows))
    faults = {name for name, what in published("slakh2100").items() if what not in ("omitted", "notes are missing")}
    expected = {
        track: (split.removesuffix("ation"), [stem for stem in stems if f"{track}/{stem}" not in faults])
        for track, split, stems, _ in rows
        if split != "omitted"
    }
    assert {t.id: (t.split, [s.files[0].stem for s in t.stems]) for t in listing.tracks} == expected
    if step == 1:
        assert Counter(splits(listing).values()) == DATASETS["slakh2100"].expected
        assert sum(len(track.stems) for track in listing.tracks if track.split == "test") == 1539


@pytest.mark.parametrize("share", [100, pytest.param(1, marks=pytest.mark.slow)])
def test_tiny_cocochorales_in_full_or_in_part(tmp_path, share):
    root = skeletons.cocochorales(tmp_path, {"train": 6000 // share, "valid": 2000 // share, "test": 2000 // share})
    counts = Counter(splits(cocochorales(root)).values())
    assert {split: share * count for split, count in counts.items()} == DATASETS["cocochorales"].expected
