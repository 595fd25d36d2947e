"""Listings of multitracks: what is in a copy is found, once, in its split, and nothing in a copy does harm."""

import csv
import json
import os
import random
import shutil
from collections import Counter

import pytest
import skeletons
import yaml
from conftest import SHARED
from hypothesis import given
from hypothesis import strategies as st
from skeletons import Sound

from phalar.datasets.files import KNOWN_FAULT
from phalar.datasets.listing import published, track_ids
from phalar.datasets.multitracks import ENSEMBLES, read_keys
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
    return Counter(path for track in listing.tracks for stem in track.audio.stems for path in stem)


def said(listing, serious=True):
    return {problem.path: problem.what for problem in listing.problems if problem.serious == serious}


def splits(listing):
    return {track.id: track.split for track in listing.tracks}


# What every listing must do


def test_every_audio_file_but_mixes_is_in_exactly_one_stem_and_no_audio_is_read(copy):
    name, root = copy
    audio = [path for path in root.rglob("*") if path.suffix in (".wav", ".flac") and not path.stem.startswith("mix")]
    listing = dataset(name).list(root)
    assert files(listing) == Counter(path for path in audio if "omitted" not in path.parts)
    assert not said(listing)
    assert [track.id for track in listing.tracks] == sorted({track.id for track in listing.tracks})
    assert all(track.split in SPLITS and len(track.stems) > 1 and "title" in track.tags for track in listing.tracks)
    assert all(track.pitched is None or len(track.pitched) == len(track.stems) for track in listing.tracks)
    json.dumps([track.tags for track in listing.tracks])
    place = listing.tracks[0].audio.stems[0][0].parent
    for path in [root, *root.rglob("*")]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")  # macOS
    (place / ".Trash" / "stems").mkdir(parents=True)
    (root / "notes.txt").touch()
    for path in files(listing):
        path.write_bytes(b"")
    assert repr(dataset(name).list(root)) == repr(listing)


def test_a_track_of_less_than_two_stems_is_left_out(copy):
    name, root = copy
    whole = dataset(name).list(root)
    for track, first in zip(whole.tracks, (1, 0), strict=False):
        for path in [path for stem in track.audio.stems for path in stem][first:]:
            path.unlink()
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks[2:]
    left = {f"usable stems: {stems}, where a track needs at least two" for stems in (0, 1)}
    assert left <= set(said(listing).values())


@pytest.mark.parametrize("name", MAKERS)
def test_no_track_is_in_two_splits_and_valid_and_validation_are_one(name, tmp_path):
    songs = skeletons.moisesdb_ids(2)
    made = {
        "moisesdb": lambda: skeletons.moisesdb(tmp_path, dict(zip(songs, ("train", "test"), strict=True))),
        "folder": lambda: skeletons.multitracks(tmp_path, ("train/one", "test/two")),
    }
    root = made.get(name, lambda: MAKERS[name](tmp_path))()
    whole = dataset(name).list(root)
    place = next(path for path in root.rglob("test/*") if files(whole).keys() & set(path.rglob("*")))
    again = place.parent.with_name("train") / place.name
    shutil.copytree(place, again)
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    assert set(said(listing)) == {again}
    shutil.rmtree(again)
    test = next(path for path in root.rglob("test") if path.is_dir())
    for spelling in ("valid", "validation"):
        shutil.rmtree(test.with_name(spelling), ignore_errors=True)
    test.rename(test.with_name("Validation"))
    assert "test" not in splits(dataset(name).list(root)).values()
    assert "valid" in splits(dataset(name).list(root)).values()


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_of_something_else_is_refused_and_one_above_a_copy_will_do(name, tmp_path):
    (tmp_path / "empty" / "train").mkdir(parents=True)
    for root, says in (("empty", "does not look like.*expected"), ("absent", "not a folder")):
        with pytest.raises(InputError, match=says):
            dataset(name).list(tmp_path / root)
    if name != "folder":
        root = MAKERS[name](tmp_path / "above" / "copy")
        assert dataset(name).list(root.parent) == dataset(name).list(root)
    (packed := tmp_path / "packed" / "train").mkdir(parents=True)
    (packed / "A - B.stem.mp4").touch()
    with pytest.raises(InputError, match="MUSDB18-HQ, which is wav"):
        dataset("musdb18hq").list(tmp_path / "packed")


def test_a_stem_in_two_formats_counts_once_and_either_will_do(copy, tmp_path):
    name, root = copy
    listing = dataset(name).list(root)
    for path in files(listing):
        shutil.copy(path, path.with_suffix(".wav" if name == "slakh2100" else ".flac"))
    assert dataset(name).list(root).tracks == listing.tracks
    assert files(dataset(name).list(root)) == files(listing)
    for extension in ("wav", "flac"):
        found = files(dataset(name).list(MAKERS[name](tmp_path / extension, sound=Sound(extension=extension))))
        assert {path.suffix for path in found} == {f".{extension}"}


def test_links_to_files_are_followed_but_no_loops_folders_pipes_and_devices(copy, tmp_path):
    """As a model hub lays them: every file lies elsewhere under a digest, and the copy has links of the right names."""
    name, root = copy
    whole = dataset(name).list(root)
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate([path for path in root.rglob("*") if path.is_file()]):
        blob = path.rename(tmp_path / "blobs" / f"{number:064x}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert dataset(name).list(root) == whole
    place = whole.tracks[0].audio.stems[0][0].parent
    refused = {place / "loop": place, place / "S98.wav": place / "S98.wav", place / "S99.wav": "/dev/zero"}
    refused[root / "more"] = skeletons.multitracks(tmp_path / "outside")
    for path, target in refused.items():
        path.symlink_to(target)
    os.mkfifo(place / "9_pipe.wav")
    listing = dataset(name).list(root)
    assert listing.tracks == whole.tracks
    assert set(said(listing)) == refused.keys()


def test_metadata_only_name_and_broken_ones_are_one_clear_problem(tmp_path):
    moisesdb = skeletons.moisesdb(tmp_path / "m", skeletons.moisesdb_ids(1))
    (song,) = moisesdb.glob("*/data.json")
    slakh, coco = skeletons.slakh(tmp_path / "s"), skeletons.cocochorales(tmp_path / "c")
    places = {"moisesdb": song, "slakh2100": next(slakh.rglob("Track00001")) / "metadata.yaml"}
    places["cocochorales"] = next(coco.rglob("random_track144001")) / "metadata.yaml"
    for name, root in (("moisesdb", moisesdb), ("slakh2100", slakh), ("cocochorales", coco)):
        whole = dataset(name).list(root)
        for content in (
            b"\xff\xfe\0",
            b"[" * 500_000,
            b" " * (17 << 20),
            b'{"song": ' + b"9" * 5000,
            b"tempo: x",
            b"",
            None,
        ):
            places[name].unlink() if content is None else places[name].write_bytes(content)
            if content is None:
                os.mkfifo(places[name])
            listing = dataset(name).list(root)
            assert files(listing) == files(whole)
            assert name == "slakh2100" or list(said(listing)) == [places[name]]
    song.unlink()
    for hostile in ("../../x", "/etc/passwd", "..", "\0", "\ud800", "x" * 5000):
        stem = {"stemName": hostile, "tracks": [{"id": hostile, "extension": "wav", "trackType": hostile}]}
        song.write_text(json.dumps({"song": hostile, "stems": [stem]}))
        listing = dataset("moisesdb").list(moisesdb)
        assert listing.tracks[0].stems == ("bass", "drums", "drums", "drums", "vocals")
        assert "1 sources fewer than data.json lists" in said(listing)[song.parent]
        json.dumps(listing.tracks[0].tags, ensure_ascii=False).encode()


def test_names_that_are_not_utf8_do_no_harm(tmp_path):
    root = skeletons.multitracks(tmp_path / "f")
    (root / "two").rename(root / os.fsdecode(b"caf\xe9"))
    (root / "one" / "bass.wav").rename(root / "one" / os.fsdecode(b"b\xe4ss.wav"))
    tracks = dataset("folder").list(root).tracks
    assert [(track.id, track.tags["title"]) for track in tracks] == [("caf_", "caf?"), ("one", "one")]
    assert tracks[1].stems == ("b?ss", "drums", "keys")


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


# One by one


def test_the_published_split_of_moisesdb_comes_from_the_seed_and_moved_songs_keep_their_folder(fixtures, tmp_path):
    with (fixtures / "moisesdb" / "track_index.csv").open(newline="") as file:
        index = {row["track_id"]: row["seed42_split"] for row in csv.DictReader(file)}
    assert {song[:8]: split for song, split in index.items()} == published("moisesdb")
    shuffled = sorted(index)  # the published script, on the whole ids
    random.seed(42)
    random.shuffle(shuffled)
    assert [index[song] for song in shuffled] == ["train"] * 192 + ["valid"] * 24 + ["test"] * 24
    stray, sound = "00000000-0000-4000-8000-000000000000", {"bass": ["bass_guitar"], "drums": ["kick_drum"]}
    flat = skeletons.moisesdb(tmp_path / "flat", [*skeletons.moisesdb_ids(), stray], sound, Sound())
    listing = dataset("moisesdb").list(flat)
    assert splits(listing) == {song: published("moisesdb")[song[:8]] for song in skeletons.moisesdb_ids()}
    assert Counter(splits(listing).values()) == DATASETS["moisesdb"].expected
    assert list(said(listing)) == [flat / stray]
    moved = dict.fromkeys(skeletons.moisesdb_ids(3), "test") | {stray: "valid"}
    listing = dataset("moisesdb").list(skeletons.moisesdb(tmp_path / "moved", moved))
    assert splits(listing) == moved
    assert "are in another split than published" in next(iter(said(listing, False).values()))


def test_units_of_moisesdb(tmp_path):
    root = skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(1))
    (track,) = dataset("moisesdb").list(root).tracks
    named = dict(zip(track.stems, track.tags["stem_names"], strict=True))
    drums = dict.fromkeys(("hi_hat", "kick_drum", "snare_drum"), "drums")
    assert named == {"bass_guitar": "bass", "lead_male_singer": "vocals"} | drums
    assert track.pitched == tuple(name != "drums" for name in track.tags["stem_names"])
    assert (track.tags["artist"], track.tags["genre"]) == ("Nobody", "rock")
    (summed,) = dataset("moisesdb").list(root, unit="stem").tracks
    assert dict(zip(summed.stems, map(len, summed.audio.stems), strict=True)) == {"bass": 1, "drums": 3, "vocals": 1}
    with pytest.raises(InputError, match="unit='song' is none of source, stem"):
        dataset("moisesdb").list(root, unit="song")


def test_slakh_takes_what_sounds_in_every_layout_less_known_faults_and_what_redux_omits(tmp_path):
    root = skeletons.slakh(tmp_path / "redux")
    track = dataset("slakh2100").list(root).tracks[1]
    assert [stem[0].stem for stem in track.audio.stems] == ["S01", "S02", "S03"]  # S00 is MIDI only
    assert track.stems == ("Drums", "Bass", "Strings (continued)")
    assert track.tags["programs"] == ["Drums", "Electric Bass (finger)", "Choir Aahs"]
    assert (track.tags["is_drum"], track.pitched) == ([True, False, False], (False, True, True))
    track.audio.stems[0][0].unlink()
    assert "has no audio of S01" in said(dataset("slakh2100").list(root))[root / "train/Track00002/stems"]
    numbers = {1: "train", 49: None, 1500: "train", 1501: "valid", 1875: "valid", 1876: "test"}
    flat = [(f"Track{number:05d}", None, ("S05", "S09"), ()) for number in numbers]
    listing = dataset("slakh2100").list(skeletons.slakh(tmp_path / "flat", flat, Sound()))
    assert splits(listing) == {f"Track{number:05d}": split for number, split in numbers.items() if split}
    table = [
        ("Track00357", "train", ("S02", "S03", "S04"), ()),
        ("Track00022", "train", ("S10", "S11", "S12"), ()),
        ("Track00157", "train", ("S02", "S04", "S05"), ()),  # the twin of S04 is absent
        ("Track01876", "test", ("S00", "S01"), ()),  # notes are missing in S01: used, as everybody does
    ]
    listing = dataset("slakh2100").list(skeletons.slakh(tmp_path / "faults", table))
    faults = {path.stem: what for path, what in said(listing, False).items()}
    said_of = {"S12": "the same audio as S11", "S03": "white noise", "S01": "notes are missing"}
    assert faults == {stem: KNOWN_FAULT + what for stem, what in said_of.items()}
    assert [(len(track.stems), len(track.tags["programs"])) for track in listing.tracks] == [
        (2, 2),
        (3, 3),
        (2, 2),
        (2, 2),
    ]


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_slakh_in_full_or_in_part(fixtures, tmp_path, step):
    """All 1,539 stems of the published test split, and of training all but the published noise and copies."""
    rows = skeletons.slakh_table(fixtures / "slakh" / "splits" / "redux_stem_index.csv")[::step]
    listing = dataset("slakh2100").list(skeletons.slakh(tmp_path, rows))
    faults = {name for name, what in published("slakh2100").items() if what not in ("omitted", "notes are missing")}
    expected = {
        track: (split.removesuffix("ation"), [stem for stem in stems if f"{track}/{stem}" not in faults])
        for track, split, stems, _ in rows
        if split != "omitted"
    }
    assert {t.id: (t.split, [stem[0].stem for stem in t.audio.stems]) for t in listing.tracks} == expected
    if step == 1:
        assert Counter(splits(listing).values()) == DATASETS["slakh2100"].expected
        assert sum(len(track.stems) for track in listing.tracks if track.split == "test") == 1539


def test_the_real_samples(fixtures):
    for path in (paths := sorted((fixtures / "slakh").rglob("metadata.yaml"))):
        entries, expected = read_keys(path.read_text()), yaml.safe_load(path.read_text())
        assert entries[""]["UUID"] == expected["UUID"]
        read = {stem: {key: yaml.safe_load(value) for key, value in entries[stem].items()} for stem in entries if stem}
        assert read == expected["stems"]
    assert len(paths) == 5
    for place, suffix in (("babyslakh_16k", ".wav"), ("slakh2100_flac_redux", ".flac")):
        (track,) = (
            dataset("slakh2100").list(fixtures / "slakh" / place).tracks
        )  # metadata of BabySlakh deny all its audio
        assert [stem[0].name for stem in track.audio.stems] == [f"S{n:02d}{suffix}" for n in range(11) if n != 6]
        assert track.stems[:4] == ("Guitar", "Drums", "Piano", "Bass")
    (song,) = dataset("musdb18hq").list(fixtures / "musdb18hq").tracks
    assert (song.id, song.split) == ("The_Easton_Ellises_-_Falcon_69", "test")
    own = dataset("folder").list(fixtures / "multitracks")
    assert (len(own.tracks), own.problems) == (6, ())
    redux = json.loads((fixtures / "slakh" / "splits" / "redux.json").read_text())
    omitted = {track for track, what in redux.items() if what["action"] == "omit"}
    assert omitted == {track for track, what in published("slakh2100").items() if what == "omitted"}


@pytest.mark.parametrize("share", [100, pytest.param(1, marks=pytest.mark.slow)])
def test_cocochorales_in_full_or_in_part_by_ensembles_and_voices(tmp_path, share):
    root = skeletons.cocochorales(tmp_path, {"train": 6000 // share, "valid": 2000 // share, "test": 2000 // share})
    listing = dataset("cocochorales").list(root)
    counts = Counter(splits(listing).values())
    assert {split: share * count for split, count in counts.items()} == DATASETS["cocochorales"].expected
    assert {track.tags["ensemble"] for track in listing.tracks} == set(ENSEMBLES)
    for wanted, ensembles in (("random", {"random"}), ("string, brass", {"string", "brass"})):
        tracks = dataset("cocochorales").list(root, ensembles=wanted).tracks
        assert {track.id.split("_")[0] for track in tracks} == ensembles
    for wrong in ("strings", "", "string,all"):
        with pytest.raises(InputError, match="use all, or some of string, brass, woodwind, random"):
            dataset("cocochorales").list(root, ensembles=wrong)
    track = dataset("cocochorales").list(root, ensembles="random").tracks[0]
    assert track.stems == ("saxophone", "viola", "horn", "double bass")
    assert track.tags == {"title": track.id, "ensemble": "random", "tempo": 50}
    place = track.audio.stems[1][0].parents[1]
    track.audio.stems[1][0].unlink()
    assert said(dataset("cocochorales").list(root)) == {place: "has 3 of four voices"}


def test_names_splits_and_parts_of_musdb(tmp_path):
    listing = dataset("musdb18hq").list(skeletons.musdb18hq(tmp_path / "a"))
    titles = {track.tags["title"]: track.id for track in listing.tracks}
    assert titles["Actions - Devil's Words"] == "Actions_-_Devil_s_Words"
    assert [track.split for track in listing.tracks] == ["valid", "train", "test", "test", "train"]
    assert [path.name for path, what in said(listing, False).items() if KNOWN_FAULT in what] == ["PR - Oh No"]
    valid = [song for song, what in published("musdb18hq").items() if what == "valid"]
    names = {"train": [*valid, *(f"A - {n}" for n in range(86))], "test": [f"B - {n}" for n in range(50)]}
    songs = skeletons.musdb18hq(tmp_path / "b", names, Sound())
    assert Counter(splits(dataset("musdb18hq").list(songs)).values()) == DATASETS["musdb18hq"].expected
    (songs / "test" / "B - 1" / "vocals.wav").unlink()
    assert said(dataset("musdb18hq").list(songs)) == {songs / "test" / "B - 1": "lacks vocals"}


def test_splits_and_stems_of_a_folder(tmp_path):
    root = skeletons.multitracks(tmp_path / "a")
    assert splits(dataset("folder").list(root, split="train")) == {"one": "train", "two": "train"}
    root = skeletons.multitracks(tmp_path / "b", ("train/one", "validation/two", "three"))
    assert splits(dataset("folder").list(root)) == {"one": "train", "two": "valid", "three": "test"}
    with pytest.raises(InputError, match="split='all' is none of train, valid, test"):
        dataset("folder").list(root, split="all")
    names = ("Mix", "01 Kick", "mixture", "master", "Mixer")
    root = skeletons.multitracks(tmp_path / "c", ("one", "two/stems"), names)
    Sound().write(root / "two", "spare")
    assert [track.stems for track in dataset("folder").list(root).tracks] == [("01 Kick", "Mixer")] * 2
    for extension in ("wav", "flac", "ogg", "mp3", "aiff", "aif", "AU"):
        root = skeletons.multitracks(tmp_path / extension, sound=Sound(extension=extension))
        assert len(files(dataset("folder").list(root))) == 6
