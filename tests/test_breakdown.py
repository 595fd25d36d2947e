"""Retrieval by instrument and by number of stems: counted again by hand and by brute force."""

import numpy as np
import pytest

from phalar.datasets.pairs import Pair, draw_stems
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate.breakdown import FEWEST, by_family, by_stems, families, family, outcomes
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
    song = track("song", ["mellotron", "kick_drum"], stem_names=["other_keys", "drums"])
    assert families(song) == ("keys", "drums")


def test_by_hand():
    """Two tracks of two draws. The second track's anchors lose against the first one's positive in the second draw."""
    one = track("one", ["kick_drum", "snare_drum", "bass_guitar"])
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


NAMES = ["drum kit", "finger bass", "clean guitar", "organ", "violin", "flute", "lead_singer", "harp", "snare_drum"]


@pytest.fixture(scope="module")
def many():
    """Random songs of 3 to 6 stems, 4 draws of pairs, and random scores."""
    rng = np.random.default_rng(0)
    songs = [track(f"t{i}", rng.choice(NAMES, size=rng.integers(3, 7), replace=False).tolist()) for i in range(30)]
    pairs = [pair(song, *draw_stems(len(song.stems), rng)) for _ in range(4) for song in songs]
    return pairs, rng.normal(size=(4, 30, 30)) + 1.5 * np.eye(30)


def test_against_brute_force(many):
    """Cell by cell, by going through all pairs: means over tracks of their means."""
    pairs, scores = many
    found = outcomes(scores, pairs, 8)
    accuracy = np.concatenate([top1(matrix, 8) for matrix in scores])
    assert found["accuracy"].to_numpy() == pytest.approx(accuracy)

    def check(row, belongs):
        values = {}
        for of, value in zip(pairs, accuracy, strict=True):
            if belongs(of):
                values.setdefault(of.track.id, []).append(value)
        means = [np.mean(each) for each in values.values()]
        assert row.accuracy == pytest.approx(np.mean(means))
        assert (row.tracks, row.pairs) == (len(means), sum(map(len, values.values())))
        assert np.isnan(row.low) == (len(means) < FEWEST)
        assert np.isnan(row.low) or row.low <= row.accuracy <= row.high

    for row in by_family(found).itertuples():
        check(row, lambda of, row=row: row.anchor in {families(of.track)[i] for i in of.anchor}
              and row.positive in {families(of.track)[i] for i in of.positive})  # fmt: skip
    for side in ("anchor", "positive"):
        assert by_stems(found, side)["pairs"].sum() == len(pairs)
        for row in by_stems(found, side).itertuples():
            check(row, lambda of, row=row, side=side: len(getattr(of, side)) == row.stems)


def test_what_does_not_fit_is_refused(many):
    pairs, scores = many
    with pytest.raises(InputError, match="119 pairs"):
        outcomes(scores, pairs[:-1], 8)
    with pytest.raises(InputError, match="side='mix'"):
        by_stems(outcomes(scores[0], pairs[:30], 8), "mix")
