"""Retrieval by instrument and by number of stems: counted again by hand and by brute force."""

import numpy as np
import pytest

from phalar.datasets.tracks import Pair, Track
from phalar.evaluate.breakdown import FEWEST, by_family, by_stems, family, outcomes
from phalar.evaluate.retrieval import top1


def track(name, stems, **tags):
    return Track(name, "tiny", "test", tuple(stems), 16_000, 160_000, audio=None, tags=tags)


def pair(of, anchor, positive):
    return Pair(of, 0, 80_000, tuple(anchor), tuple(positive))


@pytest.mark.parametrize(
    ("expected", "names"),
    [
        ("drums", ["drum kit", "kick_drum", "hi-hat", "hand claps", "full_acoustic_drumkit", "Percussive", "Drums"]),
        ("drums", ["a-tonal percussion (claps, shakers, congas, cowbell etc)", "atonal_percussion", "overheads"]),
        ("bass", ["bass_guitar", "synth bass", "double bass", "contrabass", "Bass", "bass_synthesizer"]),
        ("guitar", ["steel guitar", "clean_electric_guitar", "lap steel guitar or slide guitar", "ukulele"]),
        ("keys", ["grand_piano", "reed organ", "accordion", "saw lead", "synth_pad", "Synth Lead", "Organ"]),
        ("strings", ["violin", "synth strings", "string_section", "Strings (continued)", "fiddle"]),
        ("wind", ["brass", "bassoon", "pan flute", "Reed", "Pipe", "reeds", "tenor saxophone", "harmonica"]),
        ("vocals", ["lead_singer", "background_vocals", "lead male singer", "vocals"]),
        ("other", ["fx", "steel drum", "pitched_percussion", "Chromatic Percussion", "vibraphone", "harp", "unknown"]),
    ],
)
def test_families_by_the_names_of_every_data_set(expected, names):
    assert {name: family(name) for name in names} == dict.fromkeys(names, expected)


def test_the_group_is_asked_only_where_the_name_says_nothing():
    assert family("other sounds", "other_keys") == "keys"
    assert family("other_plucked", "other_plucked") == "other"
    assert family("bass_synthesizer", "other") == "bass"


def test_by_hand():
    """Two tracks of two draws. The second track's anchors lose against the first one's positive in the second draw."""
    one = track("one", ["kick_drum", "snare_drum", "mellotron"], stem_names=["drums", "drums", "bass"])
    two = track("two", ["violin", "cello", "lead_singer"])
    pairs = [pair(one, [0, 1], [2]), pair(two, [0], [2]), pair(one, [0], [1, 2]), pair(two, [0, 2], [1])]
    scores = np.array([[[2, 1], [1, 2]], [[2, 1], [3, 2]]])
    found = outcomes(scores, pairs, 2)
    assert found["accuracy"].tolist() == [1, 1, 1, 0]
    assert found["track"].tolist() == ["tiny/one", "tiny/two"] * 2
    assert found["anchor"].tolist() == [("drums",), ("strings",), ("drums",), ("strings", "vocals")]
    assert found["positive"].tolist() == [("bass",), ("vocals",), ("drums", "bass"), ("strings",)]
    assert by_family(found).drop(columns=["low", "high"]).values.tolist() == [
        ["drums", "drums", 1, 1, 1],
        ["drums", "bass", 1, 1, 2],
        ["strings", "strings", 0, 1, 1],
        ["strings", "vocals", 1, 1, 1],
        ["vocals", "strings", 0, 1, 1],
    ]
    anchors, positives = by_stems(found, "anchor"), by_stems(found, "positive")
    shown = ["stems", "accuracy", "tracks", "pairs"]
    assert anchors[shown].values.tolist() == [[1, 1, 2, 2], [2, 0.5, 2, 2]]
    assert positives[shown].values.tolist() == [[1, 0.75, 2, 3], [2, 1, 1, 1]]
    assert anchors[["low", "high"]].isna().all(axis=None), "two tracks give no interval"


def test_intervals_are_over_tracks_and_only_where_there_are_enough():
    songs = [track(f"t{i}", ["organ", "violin", "flute"]) for i in range(30)]
    pairs = [pair(song, [0], [1, 2][: 1 + (i >= FEWEST - 1)]) for _ in range(4) for i, song in enumerate(songs)]
    scores = np.random.default_rng(0).normal(size=(4, 30, 30)) + 1.5 * np.eye(30)
    found = outcomes(scores, pairs, 8)
    assert found["accuracy"].to_numpy() == pytest.approx(np.concatenate([top1(matrix, 8) for matrix in scores]))
    few, enough = by_stems(found, "positive").itertuples()
    assert (few.tracks, enough.tracks, enough.pairs) == (FEWEST - 1, 31 - FEWEST, 4 * (31 - FEWEST))
    assert np.isnan(few.low)
    assert enough.low < enough.accuracy < enough.high
