"""Listings of the real data sets: what is in a copy is found, once, in its split, and nothing in a copy does harm."""

import csv
import json
import os
import random
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import skeletons
import yaml
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from skeletons import Sound

from phalar.datasets import cocochorales, folder, moisesdb, musdb18hq, slakh2100
from phalar.datasets.catalogue import DATASETS, dataset
from phalar.datasets.listing import KNOWN_FAULT, METADATA_LIMIT, track_ids
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError

MAKERS = {
    "moisesdb": skeletons.moisesdb,
    "slakh2100": skeletons.slakh,
    "cocochorales": skeletons.cocochorales,
    "musdb18hq": skeletons.musdb18hq,
    "folder": skeletons.multitracks,
}
IN_SPLITS = {  # the same with a track in each of two split folders
    "moisesdb": lambda place: skeletons.moisesdb(
        place, dict(zip(skeletons.moisesdb_ids(2), ("train", "test"), strict=True))
    ),
    "slakh2100": skeletons.slakh,
    "cocochorales": skeletons.cocochorales,
    "musdb18hq": skeletons.musdb18hq,
    "folder": lambda place: skeletons.multitracks(place, ("train/one", "test/two")),
}
MIXES = {"mix", "mixture"}


@pytest.fixture(scope="session")
def fixtures():
    """Folder of the small real samples; the test is skipped where it is absent."""
    place = SHARED / "fixtures"
    if not place.is_dir():
        pytest.skip(f"the real samples are not at {place}")
    return place


@pytest.fixture(params=MAKERS)
def copy(request, tmp_path):
    """Name and root of a small sound copy of each data set."""
    return request.param, MAKERS[request.param](tmp_path / "copy")


def files(listing):
    return Counter(path for track in listing.tracks for stem in track.stems for path in stem.files)


def fatal(listing):
    return {problem.path: problem.what for problem in listing.problems if problem.fatal}


def notes(listing):
    return {problem.path: problem.what for problem in listing.problems if not problem.fatal}


def splits(listing):
    return {track.id: track.split for track in listing.tracks}


# What every listing must do


def test_every_audio_file_but_mixes_is_in_exactly_one_stem(copy):
    name, root = copy
    audio = [path for path in root.rglob("*") if path.suffix in (".wav", ".flac") and path.stem not in MIXES]
    listing = dataset(name).list(root)
    assert files(listing) == Counter(path for path in audio if "omitted" not in path.parts)
    assert not fatal(listing)
    assert len(listing.tracks) >= 2
    assert listing.dataset == name
    assert [track.id for track in listing.tracks] == sorted({track.id for track in listing.tracks})
    assert all(track.split in SPLITS and len(track.stems) > 1 and "title" in track.tags for track in listing.tracks)
    json.dumps([track.tags for track in listing.tracks])


def test_a_listing_does_not_depend_on_the_order_of_folders_nor_on_where_above_it_begins(copy, monkeypatch):
    name, root = copy
    listing = dataset(name).list(root)
    scandir = os.scandir

    class Shuffled:
        def __init__(self, place):
            with scandir(place) as found:
                self.found = sorted(found, key=lambda entry: entry.name[::-1], reverse=True)

        def __enter__(self):
            return iter(self.found)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", Shuffled)
    assert dataset(name).list(root) == listing
    if name != "folder":
        assert dataset(name).list(root.parent) == listing


def test_a_listing_reads_no_audio_and_changes_nothing(copy):
    name, root = copy
    listing = dataset(name).list(root)
    for path in files(listing):
        path.write_bytes(b"")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")}
    assert dataset(name).list(root) == listing
    assert {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")} == before


def test_companion_files_of_macos_and_other_hidden_names_are_not_there(copy):
    name, root = copy
    listing = dataset(name).list(root)
    for path in [root, *root.rglob("*")]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")
        if path.is_dir():
            (path / ".Trash" / "stems").mkdir(parents=True)
            (path / ".DS_Store").touch()
    assert dataset(name).list(root) == listing


def test_a_track_of_less_than_two_stems_is_left_out(copy):
    name, root = copy
    whole = dataset(name).list(root)
    one, none = whole.tracks[:2]
    for stem in [*one.stems[1:], *none.stems]:
        for path in stem.files:
            path.unlink()
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks[2:]
    assert sorted(what for what in fatal(listing).values()) == [
        "usable stems: 0, where a track needs at least two",
        "usable stems: 1, where a track needs at least two",
    ]


@pytest.mark.parametrize("name", IN_SPLITS)
def test_no_track_is_in_two_splits(name, tmp_path):
    root = IN_SPLITS[name](tmp_path)
    whole = dataset(name).list(root)
    first = next(track for track in whole.tracks if track.split == "train")
    place = next(path for path in root.rglob("train/*") if path.is_dir() and files(whole).keys() & set(path.rglob("*")))
    again = place.parent.with_name("test") / place.name
    shutil.copytree(place, again)
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    assert listing.tracks.count(first) == 1
    assert set(fatal(listing)) == {again}


@pytest.mark.parametrize("name", IN_SPLITS)
@pytest.mark.parametrize("spelling", ["valid", "validation", "Validation"])
def test_valid_and_validation_are_one_split(name, spelling, tmp_path):
    root = IN_SPLITS[name](tmp_path)
    test = next(path for path in root.rglob("test") if path.is_dir())
    if (beside := test.with_name("valid")).exists():
        shutil.rmtree(beside)
    shutil.rmtree(test.with_name("validation"), ignore_errors=True)
    test.rename(test.with_name(spelling))
    listing = dataset(name).list(root)
    assert "test" not in splits(listing).values()
    assert "valid" in splits(listing).values()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "folder"])
def test_a_folder_that_is_none_or_of_something_else_is_refused_with_what_was_expected(name, tmp_path):
    (tmp_path / "empty" / "a" / "b").mkdir(parents=True)
    with pytest.raises(InputError, match="empty does not look like this data set: expected"):
        dataset(name).list(tmp_path / "empty")
    with pytest.raises(InputError, match="absent is not a folder"):
        dataset(name).list(tmp_path / "absent")
    (tmp_path / "hollow" / "train").mkdir(parents=True)
    with pytest.raises(InputError, match=r"holds no \w+ of .*expected"):
        dataset(name).list(tmp_path / "hollow")


@pytest.mark.parametrize("name", ["moisesdb", "slakh2100", "cocochorales", "musdb18hq"])
def test_two_copies_side_by_side_are_not_mixed(name, tmp_path):
    MAKERS[name](tmp_path / "a")
    MAKERS[name](tmp_path / "b")
    with pytest.raises(InputError, match="several copies"):
        dataset(name).list(tmp_path)


def test_a_stem_in_two_formats_counts_once(copy):
    name, root = copy
    listing = dataset(name).list(root)
    extra = ".flac" if name != "slakh2100" else ".wav"
    for path in files(listing):
        shutil.copy(path, path.with_suffix(extra))
    again = dataset(name).list(root)
    assert again.tracks == listing.tracks
    assert not fatal(again)
    assert notes(again)


def test_flac_and_wav_are_read_alike(tmp_path):
    for name, maker in MAKERS.items():
        for extension in ("wav", "flac"):
            root = maker(tmp_path / name / extension, sound=Sound(extension=extension))
            found = files(dataset(name).list(root))
            assert found
            assert {path.suffix for path in found} == {f".{extension}"}


# Links, pipes and crowds


def test_links_neither_lead_in_circles_nor_out_of_the_root(copy, tmp_path):
    name, root = copy
    outside = skeletons.multitracks(tmp_path / "outside")
    whole = dataset(name).list(root)
    place = whole.tracks[0].stems[0].files[0].parent
    (place / "loop").symlink_to(place)
    (root / "loop").symlink_to(root)
    (place / "S97.wav").symlink_to(outside / "one" / "bass.wav")
    (place / "S98.wav").symlink_to(place / "S98.wav")
    (place / "S99.wav").symlink_to("/dev/zero")
    (root / "more").symlink_to(outside)
    os.mkfifo(place / "9_pipe.wav")
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    refused = {place / "loop", place / "S97.wav", place / "S98.wav", place / "S99.wav"}
    if name != "cocochorales":  # which begins a level below its root
        refused |= {root / "loop", root / "more"}
    assert set(fatal(listing)) == refused


def test_a_link_to_a_file_of_the_same_copy_is_that_file(tmp_path):
    root = skeletons.multitracks(tmp_path)
    (root / "one" / "keys.wav").unlink()
    (root / "one" / "keys.wav").symlink_to(Path("..") / "two" / "keys.wav")
    assert [stem.name for stem in folder.list_tracks(root).tracks[0].stems] == ["bass", "drums", "keys"]


def test_metadata_that_is_a_pipe_or_a_device_is_not_opened(tmp_path):
    song = skeletons.moisesdb(tmp_path / "m") / skeletons.moisesdb_ids(1)[0] / "data.json"
    track = skeletons.slakh(tmp_path / "s") / "train" / "Track00001" / "metadata.yaml"
    song.unlink()
    os.mkfifo(song)
    track.unlink()
    track.symlink_to("/dev/zero")
    assert len(moisesdb.list_tracks(tmp_path / "m").tracks) == 3
    assert "link out of" in fatal(slakh2100.list_tracks(tmp_path / "s"))[track]


@pytest.mark.parametrize("name", ["slakh2100", "folder"])
def test_folders_of_ten_thousand_entries(name, tmp_path):
    root = MAKERS[name](tmp_path)
    whole = dataset(name).list(root)
    for number in range(10_000):
        (root / f"{number}.txt").touch()
    place = whole.tracks[0].stems[0].files[0].parent
    for number in range(10_000):
        (place / f"{number}.txt").touch()
    assert dataset(name).list(root).tracks == whole.tracks


def test_names_that_are_not_utf8_do_no_harm(tmp_path):
    root = skeletons.multitracks(tmp_path)
    (root / "two").rename(root / os.fsdecode(b"caf\xe9"))
    (root / "one" / "bass.wav").rename(root / "one" / os.fsdecode(b"b\xe4ss.wav"))
    listing = folder.list_tracks(root)
    assert [(track.id, track.tags["title"]) for track in listing.tracks] == [("caf_", "caf?"), ("one", "one")]
    assert [stem.name for stem in listing.tracks[1].stems] == ["b?ss", "drums", "keys"]
    assert all(path.is_file() for path in files(listing))


# Ids


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


def test_ids_keep_what_can_be_kept():
    assert len({name[:100] for name in track_ids(["x" * 255, "x" * 254]).values()}) == 1
    assert {len(name) for name in track_ids(["x" * 255, "x" * 254, "y"]).values()} == {1, 109}
    nfd = unicodedata.normalize("NFD", "Café, Été & Co.")
    assert track_ids(["Track00001", "Artist - Song (live)", nfd, ".hidden"]) == {
        "Track00001": "Track00001",
        "Artist - Song (live)": "Artist_-_Song__live_",
        nfd: "Cafe__Ete___Co.",
        ".hidden": "_hidden",
    }
    first, second = track_ids(["a b", "a_b"]).values()
    assert first != second
    assert first.startswith("a_b-")
    assert second.startswith("a_b-")


# MoisesDB


def test_the_published_split_of_moisesdb_comes_from_the_seed(fixtures):
    with (fixtures / "moisesdb" / "track_index.csv").open(newline="") as file:
        index = {row["track_id"]: row["seed42_split"] for row in csv.DictReader(file)}
    assert tuple(song[:8] for song in sorted(index)) == moisesdb.SONGS
    assert {song: moisesdb.published_split()[song[:8]] for song in index} == index
    shuffled = sorted(index)  # the published script, on the whole ids
    random.seed(42)
    random.shuffle(shuffled)
    assert {index[song] for song in shuffled[:192]} == {"train"}
    assert {index[song] for song in shuffled[192:216]} == {"valid"}
    assert {index[song] for song in shuffled[216:]} == {"test"}


def test_a_song_of_moisesdb_keeps_its_split_whatever_else_is_there(tmp_path):
    some = skeletons.moisesdb_ids()[::17]
    root = skeletons.moisesdb(tmp_path, [*some, "00000000-0000-4000-8000-000000000000"])
    listing = moisesdb.list_tracks(root)
    assert splits(listing) == {song: moisesdb.published_split()[song[:8]] for song in some}
    assert len(set(splits(listing).values())) > 1
    assert list(fatal(listing)) == [root / "00000000-0000-4000-8000-000000000000"]


def test_songs_of_moisesdb_moved_into_folders_are_where_they_were_moved(tmp_path):
    first, second, third = skeletons.moisesdb_ids(3)
    published = moisesdb.published_split()
    other = next(split for split in SPLITS if split != published[first[:8]])
    moved = {first: other, second: published[second[:8]], "f" * 8 + third[8:]: "valid"}
    listing = moisesdb.list_tracks(skeletons.moisesdb(tmp_path, moved))
    assert splits(listing) == moved
    (note,) = notes(listing).values()
    assert note.startswith("2 songs, such as ")  # the first, and the one that has no published split
    assert note.endswith(" were moved to another split than the published")


def test_units_of_moisesdb(tmp_path):
    root = skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(1))
    (track,) = moisesdb.list_tracks(root).tracks
    kinds = ["bass_guitar", "hi_hat", "kick_drum", "lead_male_singer", "snare_drum"]
    assert sorted(stem.name for stem in track.stems) == kinds
    assert track.tags["stem_names"] == ["bass", "drums", "drums", "drums", "vocals"]
    assert [stem.files[0].parent.name for stem in track.stems] == track.tags["stem_names"]
    assert (track.tags["artist"], track.tags["genre"]) == ("Nobody", "rock")
    (summed,) = moisesdb.list_tracks(root, unit="stem").tracks
    assert {stem.name: len(stem.files) for stem in summed.stems} == {"bass": 1, "drums": 3, "vocals": 1}
    assert {path for stem in summed.stems for path in stem.files} == {stem.files[0] for stem in track.stems}
    with pytest.raises(InputError, match="unit='song' is none of source, stem"):
        moisesdb.list_tracks(root, unit="song")


def test_entries_of_moisesdb_that_come_twice_are_merged(tmp_path):
    root = skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(1))
    path = next(root.glob("*/data.json"))
    about = json.loads(path.read_text())
    (drums,) = (stem for stem in about["stems"] if stem["stemName"] == "drums")
    about["stems"] += [{**drums, "tracks": [source]} for source in drums["tracks"]]
    drums["tracks"] = []
    before = moisesdb.list_tracks(root)
    path.write_text(json.dumps(about))
    assert moisesdb.list_tracks(root) == before


@pytest.mark.parametrize("hostile", ["../../x", "/etc/passwd", "..", "\0", "\ud800", "x" * 5000])
def test_ids_in_metadata_of_moisesdb_lead_nowhere(hostile, tmp_path):
    root = skeletons.moisesdb(tmp_path / "m", skeletons.moisesdb_ids(1))
    Sound().write(tmp_path, "x")
    path = next(root.glob("*/data.json"))
    about = json.loads(path.read_text())
    about["song"] = hostile
    for stem in about["stems"]:
        stem["stemName"] = hostile
        stem["tracks"] = [{"id": hostile, "extension": "wav", "trackType": hostile}]
    path.write_text(json.dumps(about))
    listing = moisesdb.list_tracks(root)
    assert set(files(listing)) == set(root.glob("*/*/*.wav"))
    assert [stem.name for stem in listing.tracks[0].stems] == ["bass", "drums", "drums", "drums", "vocals"]
    assert "lists 1 sources without a file" in notes(listing)[path]
    assert all(len(what) < 300 for what in notes(listing).values())
    json.dumps(listing.tracks[0].tags, ensure_ascii=False).encode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["stems", "tracks", "id", "trackType", "song", "genre", "stemName"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def song(tmp_path_factory):
    return skeletons.moisesdb(tmp_path_factory.mktemp("song"), skeletons.moisesdb_ids(1))


@settings(deadline=None)
@given(about=JSON, text=st.booleans())
def test_no_metadata_hide_the_files_of_moisesdb(song, about, text):
    path = next(song.glob("*/bass")).parent / "data.json"
    path.write_text(json.dumps(about)[: None if text else -1])
    listing = moisesdb.list_tracks(song)
    assert len(files(listing)) == 5
    json.dumps(listing.tracks[0].tags, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "content", [b"", b"null", b"\xff\xfe\0", b"[" * 500_000, b" " * (METADATA_LIMIT + 1), b'{"song": ' + b"9" * 5000]
)
def test_broken_metadata_of_moisesdb_are_reported(song, content):
    path = next(song.glob("*/bass")).parent / "data.json"
    path.write_bytes(content)
    listing = moisesdb.list_tracks(song)
    assert len(listing.tracks[0].stems) == 5
    assert list(notes(listing)) == [path]
    path.unlink()
    assert list(notes(moisesdb.list_tracks(song))) == [path.parent]


# Slakh2100


def test_slakh_takes_what_sounds_and_says_what_does_not(tmp_path):
    root = skeletons.slakh(tmp_path)
    track = slakh2100.list_tracks(root).tracks[1]
    assert [stem.files[0].stem for stem in track.stems] == ["S01", "S02", "S03"]  # S00 is MIDI only
    assert [stem.name for stem in track.stems] == ["Drums", "Bass", "Strings (continued)"]
    assert track.tags["programs"] == ["Drums", "Electric Bass (finger)", "Choir Aahs"]
    assert track.tags["is_drum"] == [True, False, False]
    assert not slakh2100.list_tracks(root).problems
    track.stems[0].files[0].unlink()
    assert notes(slakh2100.list_tracks(root)) == {
        root / "train/Track00002/stems": "has no audio of S01, though metadata.yaml says that it was rendered"
    }


def test_slakh_never_opens_omitted(tmp_path, monkeypatch):
    root = skeletons.slakh(tmp_path / "slakh2100_flac_redux")
    opened = []
    scandir, open_ = os.scandir, Path.open
    monkeypatch.setattr(os, "scandir", lambda place: opened.append(place) or scandir(place))
    monkeypatch.setattr(Path, "open", lambda path, *args: opened.append(path) or open_(path, *args))
    for start in (root, root.parent):
        assert "Track00049" not in splits(slakh2100.list_tracks(start))
    assert len(opened) > 10
    assert not [path for path in opened if "omitted" in Path(path).parts]


def test_slakh_in_its_original_layout_loses_what_redux_omits(tmp_path):
    stems = ("S00", "S01")
    table = [("Track00049", "train", stems, ()), ("Track00050", "train", stems, ())]
    listing = slakh2100.list_tracks(skeletons.slakh(tmp_path, table))
    assert splits(listing) == {"Track00050": "train"}
    assert "1 tracks are left out" in notes(listing)[tmp_path]


def test_slakh_without_split_folders_is_split_by_number(tmp_path):
    numbers = (1, 49, 1500, 1501, 1875, 1876)
    table = [(f"Track{number:05d}", None, ("S05", "S09"), ()) for number in numbers]
    listing = slakh2100.list_tracks(skeletons.slakh(tmp_path, table, Sound()))
    assert splits(listing) == {
        "Track00001": "train",
        "Track01500": "train",
        "Track01501": "valid",
        "Track01875": "valid",
        "Track01876": "test",
    }


def test_faults_of_slakh_are_left_out(tmp_path):
    table = [
        ("Track00357", "train", ("S02", "S03", "S04"), ()),
        ("Track00022", "train", ("S10", "S11", "S12"), ()),
        ("Track00157", "train", ("S02", "S04", "S05"), ()),  # the twin of S04 is absent
    ]
    root = skeletons.slakh(tmp_path, table)
    listing = slakh2100.list_tracks(root)
    assert fatal(listing) == {
        root / "train/Track00022/stems/S12.flac": KNOWN_FAULT + "the same audio as S11",
        root / "train/Track00357/stems/S03.flac": KNOWN_FAULT + "white noise",
    }
    assert len(files(listing)) == 7
    assert [len(track.tags["programs"]) for track in listing.tracks] == [2, 3, 2]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"\x8bUUID: x\nstems:\n  S00:\n    inst_class: Bass\n", ["Bass", "unknown", "unknown"]),
        (b"\0stems:\n  S00:\n    inst_class: Bass\n", ["Bass", "unknown", "unknown"]),
        (b"\xef\xbb\xbfstems:\r\n  S03:\r\n    inst_class: 'Bass '\r\n", ["unknown", "unknown", "Bass"]),
        (b"stems:\n  S01:\n    midi_program_name: Gong\n    inst_class:\n", ["unknown", "Gong", "unknown"]),
        (b"stems:\n  ../../S01:\n    inst_class: Bass\n", ["unknown"] * 3),
        (b"stems: {S00: {inst_class: Bass}}\n", ["unknown"] * 3),
        (b"[" * 500_000, ["unknown"] * 3),
        (b"a: b" + b" " * 900_000 + b"c\n", ["unknown"] * 3),
        (b" " * (METADATA_LIMIT + 1), ["unknown"] * 3),
        (b"", ["unknown"] * 3),
    ],
)
def test_metadata_of_slakh_only_name(content, names, tmp_path):
    root = skeletons.slakh(tmp_path)
    path = root / "train/Track00001/metadata.yaml"
    path.write_bytes(content)
    listing = slakh2100.list_tracks(root)
    assert [stem.name for stem in listing.tracks[0].stems] == names
    assert (path in notes(listing)) == (names == ["unknown"] * 3)


def test_flags_of_slakh_may_lie(tmp_path):
    root = skeletons.slakh(tmp_path)
    before = slakh2100.list_tracks(root)
    for path in root.rglob("metadata.yaml"):
        path.write_text(
            path.read_text().replace("rendered: true", "rendered: false").replace("dir: stems", "dir: /../x")
        )
    assert slakh2100.list_tracks(root) == before


def test_metadata_of_slakh_are_read_as_a_yaml_parser_reads_them(fixtures):
    paths = sorted((fixtures / "slakh").rglob("metadata.yaml"))
    assert len(paths) == 5
    for path in paths:
        entries = slakh2100.read_metadata(path.read_text())
        expected = yaml.safe_load(path.read_text())
        assert entries.keys() - {""} == expected["stems"].keys()
        assert entries[""]["UUID"] == expected["UUID"]
        for stem, words in expected["stems"].items():
            assert {key: yaml.safe_load(value) for key, value in entries[stem].items()} == words


def test_the_real_samples_of_slakh(fixtures):
    for place, suffix in (("babyslakh_16k", ".wav"), ("slakh2100_flac_redux", ".flac")):
        listing = slakh2100.list_tracks(fixtures / "slakh" / place)
        (track,) = listing.tracks
        assert (track.id, track.split) == ("Track00001", "train")
        assert [stem.files[0].name for stem in track.stems] == [
            f"S{number:02d}{suffix}" for number in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10)
        ]
        assert [stem.name for stem in track.stems][:4] == ["Guitar", "Drums", "Piano", "Bass"]
    assert {path.name for path in fatal(listing)} == {"Track01501", "Track01876"}  # they come without audio
    stems = fixtures / "slakh" / "slakh2100_flac_redux" / "validation" / "Track01501" / "stems"
    assert "S09" not in notes(listing)[stems]  # MIDI only, and the metadata say so
    assert "S08 S10" in notes(listing)[stems]


def test_the_tracks_that_redux_omits(fixtures):
    published = json.loads((fixtures / "slakh" / "splits" / "redux.json").read_text())
    assert frozenset(track for track, what in published.items() if what["action"] == "omit") == slakh2100.OMITTED


# CocoChorales


def test_ensembles_of_cocochorales(tmp_path):
    root = skeletons.cocochorales(tmp_path)
    listing = cocochorales.list_tracks(root)
    assert Counter(track.tags["ensemble"] for track in listing.tracks) == dict.fromkeys(cocochorales.ENSEMBLES, 4)
    assert not listing.problems
    for wanted in ("random", ["random"], ("random",)):
        assert {track.id.split("_")[0] for track in cocochorales.list_tracks(root, wanted).tracks} == {"random"}
    two = cocochorales.list_tracks(root, "string, brass").tracks
    assert {track.id.split("_")[0] for track in two} == {"string", "brass"}
    for wrong in ("strings", "", (), "string,all"):
        with pytest.raises(InputError, match="use all, or some of string, brass, woodwind, random"):
            cocochorales.list_tracks(root, wrong)


def test_stems_of_cocochorales_are_in_order_of_voices(tmp_path):
    root = skeletons.cocochorales(tmp_path)
    track = cocochorales.list_tracks(root, "random").tracks[0]
    assert [stem.name for stem in track.stems] == ["saxophone", "viola", "horn", "double bass"]
    assert track.tags == {"title": track.id, "ensemble": "random", "tempo": 50}
    place = track.stems[0].files[0].parent
    for number in range(4):  # as the format's page has it
        next(place.glob(f"{number + 1}_*")).rename(place / f"{number}_{track.stems[number].name}.wav")
    assert [stem.name for stem in cocochorales.list_tracks(root, "random").tracks[0].stems] == [
        stem.name for stem in track.stems
    ]


def test_what_is_odd_in_cocochorales_is_reported(tmp_path):
    root = skeletons.cocochorales(tmp_path)
    place = root / "main_dataset" / "train"
    (place / "brass_track048001" / "stems_audio" / "2_horn.wav").unlink()
    Sound().write(place / "brass_track048002" / "stems_audio", "mix")
    (place / "random_track144001" / "metadata.yaml").write_text("tempo: " + "9" * 5000)
    (place / "random_track144002" / "metadata.yaml").unlink()
    (place / "96").mkdir()
    (place / "string_track000001").rename(place / "string_track200000")
    listing = cocochorales.list_tracks(root)
    assert len(listing.tracks) == 16
    assert set(fatal(listing)) == {place / "96", place / "brass_track048002" / "stems_audio" / "mix.wav"}
    assert notes(listing) == {
        place / "brass_track048001": "has 3 of four voices",
        place / "random_track144001" / "metadata.yaml": "gives no tempo",
        place / "random_track144002" / "metadata.yaml": "gives no tempo",
        place.parent: "1 tracks, such as train/string_track200000, have numbers of another split: were archives of two "
        "splits unpacked into one folder?",
    }


# MUSDB18-HQ


def test_names_and_splits_of_musdb(tmp_path):
    listing = musdb18hq.list_tracks(skeletons.musdb18hq(tmp_path))
    assert {track.tags["title"]: (track.id, track.split) for track in listing.tracks} == {
        "Actions - Devil's Words": ("Actions_-_Devil_s_Words", "train"),
        "ANiMAL - Rockshow": ("ANiMAL_-_Rockshow", "valid"),
        "Triviul feat. The Fiend - Widow": ("Triviul_feat._The_Fiend_-_Widow", "train"),
        "M.E.R.C. Music - Knockout": ("M.E.R.C._Music_-_Knockout", "test"),
        "PR - Oh No": ("PR_-_Oh_No", "test"),
    }
    assert all([stem.name for stem in track.stems] == list(musdb18hq.STEMS) for track in listing.tracks)
    assert [problem.what for problem in listing.problems if problem.what.startswith(KNOWN_FAULT)]
    assert len(musdb18hq.VALIDATION) == 14


def test_what_is_odd_in_musdb_is_reported(tmp_path):
    root = skeletons.musdb18hq(tmp_path, {"train": ("A - B",)})
    song = root / "train" / "A - B"
    (song / "vocals.wav").rename(song / "accompaniment.wav")
    listing = musdb18hq.list_tracks(root)
    assert [stem.name for stem in listing.tracks[0].stems] == ["drums", "bass", "other"]
    assert notes(listing) == {song: "lacks vocals"}
    assert list(fatal(listing)) == [song / "accompaniment.wav"]


def test_compressed_musdb_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "A - B.stem.mp4").touch()
    with pytest.raises(InputError, match="MUSDB18-HQ, which is wav"):
        musdb18hq.list_tracks(tmp_path)


def test_the_real_sample_of_musdb(fixtures):
    listing = musdb18hq.list_tracks(fixtures / "musdb18hq")
    (track,) = listing.tracks
    assert not listing.problems
    assert (track.id, track.split) == ("The_Easton_Ellises_-_Falcon_69", "test")
    assert [stem.files[0].name for stem in track.stems] == ["drums.wav", "bass.wav", "other.wav", "vocals.wav"]


# A folder of multitracks


def test_a_folder_without_splits_is_all_of_one(tmp_path):
    root = skeletons.multitracks(tmp_path)
    assert splits(folder.list_tracks(root)) == {"one": "test", "two": "test"}
    assert splits(folder.list_tracks(root, split="train")) == {"one": "train", "two": "train"}
    with pytest.raises(InputError, match="split='all' is none of train, valid, test"):
        folder.list_tracks(root, split="all")


def test_a_folder_with_splits(tmp_path):
    root = skeletons.multitracks(tmp_path, ("train/one", "validation/two", "three"))
    listing = folder.list_tracks(root)
    assert splits(listing) == {"one": "train", "two": "valid"}
    assert list(fatal(listing)) == [root / "three"]


def test_a_song_may_be_called_test(tmp_path):
    assert splits(folder.list_tracks(skeletons.multitracks(tmp_path / "a", ("test", "one")))) == {
        "one": "test",
        "test": "test",
    }
    assert splits(folder.list_tracks(skeletons.multitracks(tmp_path / "b", ("test/stems", "one")))) == {
        "one": "test",
        "test": "test",
    }


def test_stems_of_a_folder(tmp_path):
    root = skeletons.multitracks(tmp_path, ("one", "two/stems"), ("Mix", "01 Kick", "mixture", "master", "Mixer"))
    Sound().write(root / "two", "mix")
    Sound().write(root / "two", "spare")
    listing = folder.list_tracks(root)
    assert [[stem.name for stem in track.stems] for track in listing.tracks] == [["01 Kick", "Mixer"]] * 2
    assert {path.parent for path in files(listing)} == {root / "one", root / "two" / "stems"}
    assert list(notes(listing)) == [root / "two"]


@pytest.mark.parametrize("extension", ["wav", "flac", "ogg", "mp3", "aiff", "aif", "au"])
def test_formats_of_a_folder(extension, tmp_path):
    root = skeletons.multitracks(tmp_path, sound=Sound(extension=extension))
    assert len(files(folder.list_tracks(root))) == 6
    loud = root / "one" / "bass"
    loud.with_suffix(f".{extension}").rename(loud.with_suffix(f".{extension.upper()}"))
    assert len(files(folder.list_tracks(root))) == 6


def test_a_folder_that_is_one_track_or_empty_is_refused(tmp_path):
    root = skeletons.multitracks(tmp_path)
    with pytest.raises(InputError, match="give the folder above it"):
        folder.list_tracks(root / "one")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="it has none"):
        folder.list_tracks(tmp_path / "empty")


def test_the_real_multitracks(fixtures):
    if not (fixtures / "multitracks").is_dir():
        pytest.skip("the multitracks are not among the real samples")
    listing = folder.list_tracks(fixtures / "multitracks")
    assert len(listing.tracks) == 6
    assert not listing.problems
    assert len(files(listing)) == len(list((fixtures / "multitracks").rglob("*.flac")))


# The catalogue


def test_the_catalogue_says_what_a_user_must_know():
    assert list(DATASETS) == ["moisesdb", "slakh2100", "cocochorales", "musdb18hq", "gtzan", "guitarset", "folder"]
    for name, entry in DATASETS.items():
        assert dataset(name) is entry
        assert entry.name == name
        assert set(entry.expected) <= set(SPLITS)


def test_an_unknown_data_set_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"no data set 'musdb': choose one of moisesdb, .*, folder"):
        dataset("musdb")
