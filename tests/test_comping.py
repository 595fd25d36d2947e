"""Corpus `comping`: the chords written down are the chords that sound, and nobody plays like a machine."""

from collections import defaultdict

import librosa
import mir_eval
import numpy as np
import pytest

from phalar.corpora import comping
from phalar.corpora.comping import PLAYERS, PROGRESSIONS
from phalar.corpora.leadsheet import INTERVALS, PITCH_CLASSES
from phalar.corpora.parts import fifth
from phalar.datasets import store

QUALITIES = ("maj", "min", "7", "maj7", "min7", "hdim7", "dim7")
"""Every quality that occurs, and so every quality that the reading below may answer."""


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """One piece a player, of all styles."""
    folder = tmp_path_factory.mktemp("comping")
    everything = list(comping.pieces())
    for n in range(6):
        comping.build(everything[n + 6 * (4 * n)], folder)
    store.write_index(folder, "comping")
    return store.open_store(folder)


def read_chord(chroma: np.ndarray) -> tuple[str, frozenset[int]]:
    """The quality and the pitch classes of the binary template nearest, by angle, to a chroma vector (12,)."""
    best = {}
    for quality in QUALITIES:
        for root in range(12):
            tones = frozenset((root + interval) % 12 for interval in INTERVALS[quality])
            best[sum(chroma[list(tones)]) / len(tones) ** 0.5] = (quality, tones)
    return best[max(best)]


def tones(label: str) -> frozenset[int]:
    root, quality = label.split(":")
    return frozenset((PITCH_CLASSES.index(root) + interval) % 12 for interval in INTERVALS[quality])


# --- what is asked ------------------------------------------------------------------------------------------------


def test_six_players_play_thirty_pieces():
    assert set(comping.pieces().values()) == {"test"}
    played = defaultdict(set)
    for piece in comping.pieces():
        player, page = piece.split("_")
        played[player].add(page)
    assert set(played) == set(PLAYERS)
    assert len(PLAYERS) == 6
    assert all(pages == played["nylon"] for pages in played.values())
    assert len(played["nylon"]) == 30
    assert len({name[:-1] for name in PROGRESSIONS}) == 5


@pytest.mark.parametrize("player", PLAYERS)
def test_every_note_belongs_to_its_chord_and_none_is_held_into_the_next(player):
    for page in ("bossa3-134-E", "funk1-96-F", "jazz2-176-Ab", "rock1-128-Bb", "singer3-94-D"):
        made = comping.arrangement(f"{player}_{page}", np.random.default_rng(0))
        sounding = defaultdict(set)
        for stroke in made.parts[0].strokes:
            chord = next(c for c in reversed(made.chords) if c.onset <= stroke.onset + 1e-6)
            assert stroke.pitch % 12 in chord.pitch_classes
            assert stroke.onset + stroke.duration <= chord.onset + chord.duration + 1e-6
            sounding[chord].add(stroke.pitch % 12)
        for chord in made.chords:  # whole, but that a fifth may be left out
            missing = set(chord.pitch_classes) - sounding[chord]
            assert missing <= {(chord.root + fifth(chord)) % 12} or chord.duration < 4


# --- what sounds --------------------------------------------------------------------------------------------------


def test_the_chords_annotated_are_the_chords_that_sound(tracks):
    """A reading that knows nothing of music: mean chroma over each chord against 84 binary templates. A diminished
    seventh chord agrees if its notes do, since any of the four may be called its root."""
    right, shifted, total = 0.0, 0.0, 0.0
    for track in tracks:
        audio = track.excerpt()[0]
        chroma = librosa.feature.chroma_cqt(y=audio, sr=track.sample_rate, norm=None, tuning=0.0)
        times = librosa.times_like(chroma, sr=track.sample_rate)
        for start, end, label in track.chords:
            if label != "N":
                _, heard = read_chord(chroma[:, (times >= start) & (times < end)].mean(1))
                total += end - start
                right += (end - start) * (heard == tones(label))
                # Moved by a semitone the same reading must fail: it is the label that agrees.
                shifted += (end - start) * (heard == frozenset((tone + 1) % 12 for tone in tones(label)))
    assert right / total >= 0.9
    assert shifted / total < 0.05


def test_chords_fill_the_track_and_no_chord_is_silence(tracks):
    for track in tracks:
        starts, ends, labels = zip(*track.chords, strict=True)
        assert starts[0] == 0
        assert starts[1:] == ends[:-1]
        assert ends[-1] == pytest.approx(track.duration, abs=1e-4)
        assert labels[0] == labels[-1] == "N"
        audio = track.excerpt()[0]
        loud = np.sqrt(np.mean(audio**2))
        for start, end, label in track.chords:
            mir_eval.chord.encode(label)  # raises if it is no chord
            here = audio[round((start + 0.45) * 16_000) : round((end - 0.05) * 16_000)]  # what rang before has faded
            if label == "N" and len(here):
                assert np.sqrt(np.mean(here**2)) < 0.03 * loud
            elif len(here):
                assert np.sqrt(np.mean(here**2)) > 0.05 * loud


def test_nobody_plays_on_the_grid_and_nobody_far_from_it(tracks):
    late = defaultdict(list)
    for track in tracks:
        if track.tags["style"] == "jazz":  # its swing is the player's own
            continue
        sixteenths = track.beats[0, 0] + np.arange(4 * len(track.beats)) * 15 / track.tags["tempo"]
        onsets = track.notes[0][:, 0]
        first = np.r_[True, np.diff(onsets) > 0.06]  # the first note of every stroke
        off = onsets[first] - sixteenths[np.abs(onsets[first, None] - sixteenths).argmin(1)]
        assert np.abs(off).max() < 0.06
        assert 0.002 < off.std() < 0.025
        late[track.tags["player"]].append(off.mean())
    mean = {player: np.mean(values) for player, values in late.items()}
    assert mean["epiano"] > mean["steel"] + 0.005


def test_beats_are_the_click_that_all_six_hear(tracks):
    for track in tracks:
        seconds, numbers = track.beats.T
        assert np.allclose(np.diff(seconds), 60 / track.tags["tempo"], atol=2e-4)
        assert np.array_equal(numbers, np.arange(len(numbers)) % 4 + 1)
        changes = [start for start, _, _ in track.chords[1:-1]]
        assert all(np.abs(seconds - change).min() < 2e-4 for change in changes)
