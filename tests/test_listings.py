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
from hypothesis import given
from hypothesis import strategies as st
from skeletons import Sound

from phalar.datasets.listing import file_name, published
from phalar.datasets.prepare import DATASETS
from phalar.datasets.real import read_stems
from phalar.datasets.tracks import SPLITS
from phalar.errors import InputError

MAKERS = {"moisesdb": skeletons.moisesdb, "slakh2100": skeletons.slakh, "cocochorales": skeletons.cocochorales}
MAKERS |= {"musdb18hq": skeletons.musdb18hq, "folder": skeletons.multitracks}


@pytest.fixture(params=MAKERS)
def copy(request, tmp_path):
    """Name and root of a small sound copy of each data set."""
    return request.param, MAKERS[request.param](tmp_path / "copy")


def tracks(name, root, **options):
    """What is listed where nothing is wrong."""
    found, problems = DATASETS[name].list(root, **options)
    assert problems == []
    return found


def files(tracks):
    return Counter(stem.file for track in tracks for stem in track.stems)


def splits(tracks):
    return {track.id: track.split for track in tracks}


# What every listing must do


def test_every_audio_file_but_mixes_is_in_exactly_one_stem_and_no_audio_is_read(copy):
    name, root = copy
    audio = [path for path in root.rglob("*") if path.suffix in (".wav", ".flac") and not path.stem.startswith("mix")]
    found = tracks(name, root)
    assert files(found) == Counter(path for path in audio if "omitted" not in path.parts)
    assert [track.id for track in found] == sorted({track.id for track in found})
    assert all(track.split in SPLITS and len(track.stems) > 1 for track in found)
    for path in [root, *root.rglob("*")]:
        (path.parent / f"._{path.name}").write_bytes(b"\0\5\x16\7")  # macOS
    (found[0].stems[0].file.parent / ".Trash" / "stems").mkdir(parents=True)
    (root / "notes.txt").touch()
    for path in files(found):
        path.write_bytes(b"")
    assert tracks(name, root) == found


def test_a_track_of_less_than_two_stems_is_left_out(copy):
    name, root = copy
    first, *others = tracks(name, root)
    for stem in first.stems[1:]:
        stem.file.unlink()
    found, problems = DATASETS[name].list(root)
    assert (found, problems[-1]) == (others, (first.place, "usable stems: 1, where a track needs 2"))


def test_no_track_is_in_two_splits(tmp_path):
    whole = tracks("folder", skeletons.multitracks(tmp_path, ("train/one", "test/two")))
    again = shutil.copytree(tmp_path / "test" / "two", tmp_path / "train" / "two")
    found, problems = DATASETS["folder"].list(tmp_path)
    assert (found, [path for path, _ in problems]) == (whole, [again])


@pytest.mark.parametrize("name", MAKERS)
def test_a_folder_of_something_else_is_refused_and_one_above_a_copy_will_do(name, tmp_path):
    (tmp_path / "empty" / "train").mkdir(parents=True)
    for root, says in (("empty", "does not look like.*expected"), ("absent", "not a folder")):
        with pytest.raises(InputError, match=says):
            DATASETS[name].list(tmp_path / root)
    if name != "folder":
        root = MAKERS[name](tmp_path / "above" / "copy")
        assert tracks(name, root.parent) == tracks(name, root)


def test_a_stem_in_two_formats_counts_once_and_either_will_do(copy, tmp_path):
    name, _ = copy
    for extension, other in (("wav", ".flac"), ("flac", ".mp3")):
        root = MAKERS[name](tmp_path / extension, sound=Sound(extension=extension))
        found = tracks(name, root)
        assert {path.suffix for path in files(found)} == {f".{extension}"}
        for path in files(found):
            shutil.copy(path, path.with_suffix(other))
        assert tracks(name, root) == found


def test_links_to_files_are_followed_but_no_loops_folders_pipes_and_devices(copy, tmp_path):
    """As a model hub lays them: every file lies elsewhere under a digest, and the copy has links of the right names."""
    name, root = copy
    whole = tracks(name, root)
    (tmp_path / "blobs").mkdir()
    for number, path in enumerate([path for path in root.rglob("*") if path.is_file()]):
        blob = path.rename(tmp_path / "blobs" / f"{number:064x}")
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert tracks(name, root) == whole
    place = whole[0].stems[0].file.parent
    refused = {place / "loop": place, place / "S98.wav": place / "S98.wav", place / "S99.wav": "/dev/zero"}
    refused[root / "more"] = skeletons.multitracks(tmp_path / "outside")
    for path, target in refused.items():
        path.symlink_to(target)
    os.mkfifo(place / "9_pipe.wav")
    found, problems = DATASETS[name].list(root)
    assert (found, {path for path, _ in problems}) == (whole, refused.keys())


def test_metadata_only_name_and_broken_ones_are_one_clear_problem(tmp_path):
    root = skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(1))
    (song,) = root.glob("*/data.json")
    whole = files(tracks("moisesdb", root))
    broken = (b"\xff\xfe\0", b"[" * 500_000, b" " * (17 << 20), b'{"song": ' + b"9" * 5000, b"", None)
    for content in broken:
        song.unlink() if content is None else song.write_bytes(content)
        if content is None:
            os.mkfifo(song)
        found, problems = DATASETS["moisesdb"].list(root)
        assert (files(found), [path for path, _ in problems]) == (whole, [song])
    song.unlink()
    for hostile in ("../../x", "/etc/passwd", "..", "\0", "\ud800", "x" * 5000):
        stem = {"stemName": hostile, "tracks": [{"id": hostile, "extension": "wav", "trackType": hostile}]}
        song.write_text(json.dumps({"song": hostile, "stems": [stem]}))
        (found,), ((path, what),) = DATASETS["moisesdb"].list(root)
        assert [stem.name for stem in found.stems] == ["bass", "drums", "drums", "drums", "vocals"]
        assert path == song.parent
        assert "lacks 1 of its stems" in what


@given(st.text(min_size=1), st.text(min_size=1))
def test_ids_name_files_and_differ_where_names_do(one, other):
    assert (file_name(one) == file_name(other)) == (one == other)
    assert set(file_name(one)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert not file_name(one).startswith(".")
    assert len(file_name(9 * one)) < 120
    assert file_name("Track00001") == "Track00001"


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
    found = tracks("moisesdb", skeletons.moisesdb(tmp_path, [*skeletons.moisesdb_ids(), stray], sound, Sound()))
    assert splits(found) == {song: published("moisesdb")[song[:8]] for song in skeletons.moisesdb_ids()}
    assert Counter(splits(found).values()) == DATASETS["moisesdb"].expected
    moved = dict.fromkeys(skeletons.moisesdb_ids(3), "test") | {stray: "valid"}
    assert splits(tracks("moisesdb", skeletons.moisesdb(tmp_path / "moved", moved))) == moved


def test_slakh_takes_what_sounds_in_every_layout_less_known_faults_and_what_redux_omits(tmp_path):
    root = skeletons.slakh(tmp_path / "redux")
    stems = tracks("slakh2100", root)[1].stems
    assert [stem.file.stem for stem in stems] == ["S01", "S02", "S03"]  # S00 is MIDI only
    assert [stem.name for stem in stems] == ["Drums", "Bass", "Strings (continued)"]
    assert [stem.pitched for stem in stems] == [False, True, True]
    stems[0].file.unlink()
    assert DATASETS["slakh2100"].list(root)[1] == [(stems[0].file.parent, "lacks 1 of its stems: 'S01'")]
    numbers = {1: "train", 49: None, 1500: "train", 1501: "valid", 1875: "valid", 1876: "test"}
    flat = [(f"Track{number:05d}", None, ("S05", "S09"), ()) for number in numbers]
    found = tracks("slakh2100", skeletons.slakh(tmp_path / "flat", flat, Sound()))
    assert splits(found) == {f"Track{number:05d}": split for number, split in numbers.items() if split}


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_slakh_in_full_or_in_part(fixtures, tmp_path, step):
    """All 1,539 stems of the published test split, and of training all but the published noise and copies."""
    rows = skeletons.slakh_table(fixtures / "slakh" / "splits" / "redux_stem_index.csv")
    rows = [row for number, row in enumerate(rows) if number % step == 0 or row[0] in ("Track00022", "Track00357")]
    found = tracks("slakh2100", skeletons.slakh(tmp_path, rows))
    faults, kept = published("slakh2100"), [row for row in rows if row[1] != "omitted"]
    stems_of = {track: [stem for stem in stems if f"{track}/{stem}" not in faults] for track, _, stems, _ in kept}
    expected = {track: (split.removesuffix("ation"), stems_of[track]) for track, split, _, _ in kept}
    assert {t.id: (t.split, [stem.file.stem for stem in t.stems]) for t in found} == expected
    assert "S12" not in expected["Track00022"][1]
    if step == 1:
        assert Counter(splits(found).values()) == DATASETS["slakh2100"].expected
        assert sum(len(track.stems) for track in found if track.split == "test") == 1539


def test_the_real_samples(fixtures):
    for path in (paths := sorted((fixtures / "slakh").rglob("metadata.yaml"))):
        read, expected = read_stems(path.read_text()), yaml.safe_load(path.read_text())["stems"]
        assert read.keys() == expected.keys()
        for stem, words in expected.items():
            assert words == {key: yaml.safe_load(read[stem][key]) for key in words}
    assert len(paths) == 5
    for place, suffix in (("babyslakh_16k", ".wav"), ("slakh2100_flac_redux", ".flac")):
        ((track,), _) = DATASETS["slakh2100"].list(fixtures / "slakh" / place)  # metadata of BabySlakh deny its audio
        assert [stem.file.name for stem in track.stems] == [f"S{n:02d}{suffix}" for n in range(11) if n != 6]
        assert [stem.name for stem in track.stems[:4]] == ["Guitar", "Drums", "Piano", "Bass"]
    (song,) = tracks("musdb18hq", fixtures / "musdb18hq")
    assert (song.name, song.split) == ("The Easton Ellises - Falcon 69", "test")
    assert len(tracks("folder", fixtures / "multitracks")) == 6
    redux = json.loads((fixtures / "slakh" / "splits" / "redux.json").read_text())
    omitted = {track for track, what in redux.items() if what["action"] == "omit"}
    assert omitted == {track for track, what in published("slakh2100").items() if what == "omitted"}


@pytest.mark.parametrize("share", [100, pytest.param(1, marks=pytest.mark.slow)])
def test_cocochorales_in_full_or_in_part_by_voices(tmp_path, share):
    root = skeletons.cocochorales(tmp_path, {"train": 6000 // share, "valid": 2000 // share, "test": 2000 // share})
    found = tracks("cocochorales", root)
    counts = Counter(splits(found).values())
    assert {split: share * count for split, count in counts.items()} == DATASETS["cocochorales"].expected
    for track in found:
        assert tuple(stem.name for stem in track.stems) == skeletons.CHORALE_PLAYERS[track.tags["ensemble"]]
    alone = tracks("cocochorales", root, ensembles="random")
    assert alone == [track for track in found if track.tags["ensemble"] == "random"]
    found[0].stems[1].file.unlink()
    assert DATASETS["cocochorales"].list(root)[1] == [(found[0].place, "has 3 of four voices")]


def test_names_splits_and_parts_of_musdb(tmp_path):
    names = {track.name: track.split for track in tracks("musdb18hq", skeletons.musdb18hq(tmp_path / "a"))}
    assert [names[song] for song in skeletons.MUSDB["train"]] == ["train", "valid", "train"]
    names = {"train": [*published("musdb18hq"), *map("A - {}".format, range(86))]}
    names["test"] = map("B - {}".format, range(50))
    root = skeletons.musdb18hq(tmp_path / "b", names, Sound())
    assert Counter(splits(tracks("musdb18hq", root)).values()) == DATASETS["musdb18hq"].expected
    (root / "test" / "B - 1" / "vocals.wav").unlink()
    assert DATASETS["musdb18hq"].list(root)[1] == [(root / "test" / "B - 1", "lacks 1 of its stems: 'vocals'")]


def test_splits_and_stems_of_a_folder(tmp_path):
    root = skeletons.multitracks(tmp_path / "a", ("train/one", "validation/two", "three"))
    assert splits(tracks("folder", root)) == {"one": "train", "two": "valid", "three": "test"}
    assert splits(tracks("folder", root, split="train"))["three"] == "train"
    names = ("Mix", "01 Kick", "mixture", "master", "Mixer")
    root = skeletons.multitracks(tmp_path / "c", ("one", "two/stems"), names)
    Sound().write(root / "two", "spare")
    assert [[stem.name for stem in track.stems] for track in tracks("folder", root)] == [["01 Kick", "Mixer"]] * 2
    for extension in ("ogg", "mp3", "aiff", "aif", "AU"):
        assert len(files(tracks("folder", skeletons.multitracks(tmp_path / extension, sound=Sound(extension))))) == 6
