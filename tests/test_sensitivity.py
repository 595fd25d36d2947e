"""What a score minds: stems in another key, stems that come late, and both directions of each."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from phalar import corpora
from phalar.corpora import band, performance, styles
from phalar.datasets.tracks import Pair, Track
from phalar.errors import InputError
from phalar.evaluate import retrieval, sensitivity
from phalar.evaluate.sensitivity import in_pitch, late, preferred

RATE = 16_000


@pytest.fixture(scope="module")
def pairs():
    found = []
    for i, stems in enumerate((0.1 * np.random.default_rng(0).standard_normal((3, 2, 8 * RATE))).astype(np.float32)):
        audio = SimpleNamespace(read=lambda start, stop, stems=stems: stems[:, start:stop])
        track = Track(f"t{i}", "tiny", "test", ("a", "b"), RATE, 8 * RATE, audio=audio)
        found.append(Pair(track, i * RATE // 8, 2 * RATE, (0,), (1,)))
    return found


def test_a_late_stem_sounds_later(pairs):
    pair, shift = pairs[2], RATE // 8
    assert np.array_equal(late(pair, 0.125).audio()[1][shift:], pair.audio()[1][:-shift])
    early = late(pairs[0], 0.125).audio()[1]  # there is nothing before its start
    assert np.array_equal(early[:-shift], pairs[0].audio()[1][shift:])
    with pytest.raises(InputError, match="outside track"):
        late(pair, 9.0).audio()


def test_both_directions_count_and_a_tie_is_half(pairs):
    """Rows are anchors: of the three pairs, then of the three that were moved one way, then the other."""
    scores = np.zeros((9, 9))
    scores[0, 0], scores[3, 3] = 1, 1  # either prefers its own
    scores[1, 4], scores[4, 4] = 1, 1  # both prefer the moved positive: no more than a taste for it
    scores[2, 5], scores[5, 2] = 1, 1  # either prefers the other's
    scores[0, 1] = scores[4, 2] = 9  # of other pairs nobody asks
    found = preferred(lambda cuts: {"one": scores, "none": 0 * scores}, pairs, pairs, pairs)
    assert found["one"].tolist() == [[1.0, 0.5, 0.0], [0.75, 0.5, 0.5]]
    assert found["none"].tolist() == [[0.5] * 3] * 2


def test_the_model_s_scores_are_those_of_its_pairs_one_by_one(stirred, pairs):
    model, ways = stirred("phalar"), [[late(pair, by) for pair in pairs] for by in (0.1, 0.3)]
    found = preferred(retrieval.by_model(model), pairs, *ways)["symmetrised"]
    for values, moved in zip(found, ways, strict=True):
        for value, one, other in zip(values, pairs, moved, strict=True):
            x, y = (model.embed(pair.audio(), RATE) for pair in (one, other))
            scores = [float(model.similarity(a[:1], b[1:])) for a in (x, y) for b in (x, y)]
            assert value == (float(scores[0] > scores[1]) + float(scores[3] > scores[2])) / 2


def test_pairs_are_asked_for_their_key_without_their_drums(pairs):
    drummed = replace(pairs[0], track=replace(pairs[0].track, pitched=(True, False)))
    assert in_pitch([pairs[1], drummed]) == [pairs[1]]
    stems = np.concatenate([pairs[0].track.excerpt(), np.zeros((1, 8 * RATE), np.float32)])
    audio = SimpleNamespace(read=lambda start, stop: stems[:, start:stop])
    three = replace(pairs[0].track, stems=("a", "b", "c"), audio=audio, pitched=(True, False, True))
    both = Pair(three, 0, 2 * RATE, (0,), (1, 2))
    assert in_pitch([both]) == [], "without its drums a side is silent"
    assert in_pitch([replace(both, anchor=(1, 2), positive=(0, 1))]) == []
    kept = in_pitch([replace(both, track=replace(three, pitched=None))])
    assert kept == [replace(both, track=replace(three, pitched=None))], "where nothing is known, nothing is left out"


@pytest.fixture(scope="module")
def page():
    rng, piece = np.random.default_rng(3), next(iter(band.pieces()))
    name = band.style_of()[piece]
    return band.arranger.arrange(band.tunes.lead_sheet(piece, styles.styles()[name].colour), name, rng, band.SECONDS)


@pytest.mark.parametrize("semitones", [-6, -1, 1, 5])
def test_a_twin_is_the_same_performance_in_another_key(page, semitones):
    """Note for note, at the same moments, as loud; within each instrument's range; drums untouched."""
    twin = styles.transposed(page, semitones)
    ranges = {program: (low, high) for program, low, high in styles.table()["instruments"].values()}
    first, second = (performance.perform(each, performance.TIGHT, np.random.default_rng(0)) for each in (page, twin))
    assert np.array_equal(first[1], second[1])
    for part, notes, others in zip(page.parts, first[0], second[0], strict=True):
        moved = 0 if part.drums else semitones
        low, high = (0, 127) if part.drums else ranges[part.program]
        for one, other in zip(notes, others, strict=True):
            assert (other.pitch - one.pitch - moved) % 12 == 0
            assert low <= other.pitch <= high
            assert replace(other, pitch=one.pitch) == one
        steps = {b.pitch - a.pitch for a, b in zip(notes, others, strict=True)}
        assert steps <= {moved, moved - 12, moved + 12}
    assert (twin.tonic - page.tonic - semitones) % 12 == 0
    assert all((b.root - a.root - semitones) % 12 == 0 for a, b in zip(page.chords, twin.chords, strict=True))
    assert styles.transposed(page, 0) == page


def test_a_rendered_twin_sounds_together_with_its_piece():
    """Its drums are the piece's own, but for one common factor, and its length is all but the same."""
    how = {"limit": 1, "progress": False}
    (own,) = corpora.load("band", "test", **how)
    (twin,) = corpora.load("band", "test", semitones=corpora.TWIN, **how)
    assert abs(own.num_samples - twin.num_samples) < 1.5 * RATE
    drums, others = (track.excerpt(0, own.num_samples)[0] for track in (own, twin))
    assert np.corrcoef(drums, others)[0, 1] > 0.9999
    assert np.array_equal(own.beats, twin.beats)
    assert own.tags["key"] != twin.tags["key"]
    assert corpora.interval(own.id) in {*range(-5, 7)} - {0}


def test_who_hears_nothing_prefers_neither_of_any_change():
    def deaf(cuts):
        n = len(list(cuts))
        return {"deaf": np.zeros((n, n))}

    found = sensitivity.evaluate(deaf, "chorales", limit=2, progress=False)
    assert [estimate.value for estimate in found["estimate"]] == [0.5] * 13
    assert {"semitone +1", "semitone -6", "late 0.1"} <= {*found["split"]}
