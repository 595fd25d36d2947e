"""Other people's programs on the corpora: scores as mir_eval has them, one value a track."""

from dataclasses import replace

import numpy as np
import pytest
from music import invent_track

from phalar.errors import InputError
from phalar.study.others import beat_records, chord_records, chord_score


def test_a_tracker_that_hears_all_has_one_and_one_that_hears_half_has_two_thirds(tmp_path):
    beats = np.column_stack([np.arange(0.5, 6, 0.5), np.ones(11)])
    tracks = [replace(invent_track(tmp_path, i), beats=beats) for i in range(3)]
    trackers = {"all": lambda audio, rate: beats[:, 0], "every other": lambda audio, rate: beats[::2, 0]}
    records = beat_records(tracks, "straight", trackers, progress=False)
    assert [(r.variant, r.split, r.n, r.metric) for r in records] == [
        ("all", "straight", 3, "f1"),
        ("every other", "straight", 3, "f1"),
    ]
    assert records[0].value == records[0].ci_low == 1
    assert records[1].value == pytest.approx(2 * 6 / (11 + 6))


def test_chords_are_compared_by_triad_and_duration():
    reference = [(0.0, 2.0, "C:maj7"), (2.0, 3.0, "A:min"), (3.0, 4.0, "B:hdim7")]
    assert chord_score(reference, [(0.0, 2.0, "C:maj"), (2.0, 4.0, "A:min")]) == 1, "hdim7 has no such triad"
    assert chord_score(reference, [(0.0, 4.0, "C:maj")]) == pytest.approx(2 / 3)


def test_tracks_without_what_is_looked_for_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="no tracks"):
        beat_records([], "straight", progress=False)
    with pytest.raises(InputError, match="track0 of invented has no chords"):
        chord_records([invent_track(tmp_path, 0)], "test", progress=False)
