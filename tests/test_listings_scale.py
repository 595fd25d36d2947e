"""Listings at full size: counts and splits are the published ones, in seconds and little memory."""

import json
import subprocess
import sys

import pytest
import skeletons
from conftest import SHARED

from phalar.datasets import cocochorales, moisesdb, musdb18hq, slakh2100
from phalar.datasets.catalogue import dataset

PUBLISHED_STEMS = {"train": 13_546, "valid": 2_833, "test": 1_539}
"""Rendered stems of Slakh2100 redux."""

MEASURE = """
import json, resource, sys, time
from collections import Counter
from phalar.datasets.catalogue import dataset
start = time.process_time()
listing = dataset(sys.argv[1]).list(sys.argv[2])
print(json.dumps({
    "seconds": time.process_time() - start,
    "mega": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    "splits": Counter(track.split for track in listing.tracks),
    "problems": len(listing.problems),
}))
"""


@pytest.fixture(scope="session")
def slakh_rows():
    """The real stem table of all 2,100 tracks; the test is skipped where it is absent."""
    path = SHARED / "fixtures" / "slakh" / "splits" / "redux_stem_index.csv"
    if not path.is_file():
        pytest.skip(f"the stem table is not at {path}")
    return skeletons.slakh_table(path)


def measure(name, root):
    """Lists a copy in a process of its own, whose memory is then its own. CPU seconds: a busy machine is no slower."""
    done = subprocess.run([sys.executable, "-c", MEASURE, name, root], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def check_slakh(listing, rows):
    """Every track and every stem of the table, in its split, but for the known faults."""
    faults = slakh2100.FAULTS.keys() | slakh2100.TWINS.keys()
    expected = {
        track: (split.removesuffix("ation"), [stem for stem in stems if (track, stem) not in faults])
        for track, split, stems, _ in rows
        if split != "omitted"
    }
    assert {t.id: (t.split, [s.files[0].stem for s in t.stems]) for t in listing.tracks} == expected
    left_out = {(problem.path.parts[-3], problem.path.stem) for problem in listing.problems}
    assert left_out == {(track, stem) for track, _, stems, _ in rows for stem in stems} & faults


def test_a_tenth_of_slakh(slakh_rows, tmp_path):
    rows = slakh_rows[7::10]  # has tracks of all splits and of omitted
    check_slakh(slakh2100.list_tracks(skeletons.slakh(tmp_path, rows)), rows)


def test_all_songs_of_moisesdb(tmp_path):
    stems = {"bass": ["bass_guitar"], "drums": ["kick_drum", "snare_drum"]}
    listing = moisesdb.list_tracks(skeletons.moisesdb(tmp_path, skeletons.moisesdb_ids(), stems))
    counts = {split: sum(t.split == split for t in listing.tracks) for split in ("train", "valid", "test")}
    assert counts == dataset("moisesdb").expected == {"train": 192, "valid": 24, "test": 24}
    assert not listing.problems


def test_all_songs_of_musdb(tmp_path):
    train = [*musdb18hq.VALIDATION, *(f"Somebody - Song {number}" for number in range(86))]
    root = skeletons.musdb18hq(tmp_path, {"train": train, "test": [f"Others - Song {number}" for number in range(50)]})
    listing = musdb18hq.list_tracks(root)
    counts = {split: sum(t.split == split for t in listing.tracks) for split in ("train", "valid", "test")}
    assert counts == dataset("musdb18hq").expected == {"train": 86, "valid": 14, "test": 50}


def test_a_hundredth_of_cocochorales(tmp_path):
    listing = cocochorales.list_tracks(skeletons.cocochorales(tmp_path, {"train": 60, "valid": 20, "test": 20}))
    counts = {split: sum(t.split == split for t in listing.tracks) for split in ("train", "valid", "test")}
    assert {split: 100 * count for split, count in counts.items()} == dataset("cocochorales").expected
    assert not listing.problems


@pytest.mark.slow
def test_the_whole_of_slakh(slakh_rows, tmp_path):
    root = skeletons.slakh(tmp_path, slakh_rows)
    listing = slakh2100.list_tracks(root)
    check_slakh(listing, slakh_rows)
    stems = dict.fromkeys(PUBLISHED_STEMS, 0)
    for track in listing.tracks:
        stems[track.split] += len(track.stems)
    for problem in listing.problems:  # the known faults
        stems[problem.path.parts[-4].removesuffix("ation")] += 1
    assert stems == PUBLISHED_STEMS
    measured = measure("slakh2100", root)
    assert measured["splits"] == dataset("slakh2100").expected
    assert measured["seconds"] < 10
    assert measured["mega"] < 1024


@pytest.mark.slow
def test_slakh_in_its_original_layout_and_flat(slakh_rows, tmp_path):
    rows = slakh_rows[::5]
    for layout in ("orig", "flat"):
        folders = [
            "train" if number <= 1500 else "validation" if number <= 1875 else "test"
            for number in (int(track.removeprefix("Track")) for track, *_ in rows)
        ]
        table = [
            (track, folder if layout == "orig" else None, stems, midi)
            for (track, _, stems, midi), folder in zip(rows, folders, strict=True)
        ]
        listing = slakh2100.list_tracks(skeletons.slakh(tmp_path / layout, table))
        assert {track.id: track.split for track in listing.tracks} == {
            track: split.removesuffix("ation") for track, split, *_ in rows if split != "omitted"
        }


@pytest.mark.slow
def test_the_whole_of_tiny_cocochorales(tmp_path):
    root = skeletons.cocochorales(tmp_path, {"train": 6000, "valid": 2000, "test": 2000})
    measured = measure("cocochorales", root)
    assert measured["splits"] == dataset("cocochorales").expected == {"train": 24_000, "valid": 8_000, "test": 8_000}
    assert measured["problems"] == 0
    assert measured["seconds"] < 60
    assert measured["mega"] < 1024
