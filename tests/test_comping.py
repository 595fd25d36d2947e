"""Corpus `comping`: the chords written down are the chords that sound, and nobody plays like a machine."""

from collections import Counter, defaultdict
from itertools import product

import librosa
import mir_eval
import numpy as np
import pytest

from phalar.corpora import comping, grips
from phalar.corpora.comping import PLAYERS, PROGRESSIONS, TAKES
from phalar.corpora.leadsheet import INTERVALS, PITCH_CLASSES
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


def test_every_triad_and_the_sevenths_occur():
    """Over the thirty pages, in seconds: every major and minor chord often enough to learn it."""
    seconds = defaultdict(float)
    for name, takes in TAKES.items():
        for bpm, tonic in takes:
            page = comping.timeline(PROGRESSIONS[name], PITCH_CLASSES.index(tonic), comping.count_bars(bpm))
            for start, end, chord in page:
                seconds[chord.label if chord else "N"] += (end - start) * 240 / bpm
    for root in PITCH_CLASSES:
        assert seconds[f"{root}:maj"] > 8
        assert seconds[f"{root}:min"] > 4
    for quality in ("7", "maj7", "min7", "hdim7", "dim7"):
        assert sum(value for label, value in seconds.items() if label.endswith(f":{quality}")) > 8
    assert seconds["N"] > 8


def test_a_timeline_is_the_progression_in_its_key():
    bars = comping.timeline("II:min7 V:7 | I:maj | I:maj | -", tonic=10, bars=6)
    heard = [(start, end, chord.label if chord else "N") for start, end, chord in bars]
    assert heard == [
        (0, 0.5, "C:min7"),
        (0.5, 1, "F:7"),
        (1, 3, "Bb:maj"),
        (3, 4, "N"),
        (4, 4.5, "C:min7"),
        (4.5, 5, "F:7"),
        (5, 6, "Bb:maj"),
    ]


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


def test_a_piece_is_the_same_page_and_another_sound_for_each_player(tmp_path):
    for player in ("jazz", "clean"):
        comping.build(f"{player}_rock3-150-A", tmp_path)
    comping.build("jazz_rock3-150-A", tmp_path / "again")
    store.write_index(tmp_path, "comping")
    clean, jazz = store.open_store(tmp_path)
    assert clean.chords == jazz.chords
    assert clean.tags["piece"] == jazz.tags["piece"]
    assert np.abs(np.corrcoef(clean.excerpt(), jazz.excerpt())[0, 1]) < 0.5
    again = tmp_path / "again" / "tracks" / "jazz_rock3-150-A.npy"
    assert again.read_bytes() == (tmp_path / "tracks" / again.name).read_bytes()


# --- hands --------------------------------------------------------------------------------------------------------


def best_grips(chord, strings, sounding, frets) -> list[tuple[int, tuple[int, ...]]]:
    """The forty least awkward grips, one after the other and in other words than `grips`."""
    found = {}
    for position in range(frets[0], frets[1] + 1):
        within = {0} if position <= 1 else set()
        within |= set(range(max(position, 1), position + grips.SPAN))
        choices = [[None, *(f for f in within if (grips.TUNING[s] + f) % 12 in chord)] for s in strings]
        for grip in product(*choices):
            played = [
                (n, grips.TUNING[s] + f) for n, (s, f) in enumerate(zip(strings, grip, strict=True)) if f is not None
            ]
            pressed = sorted(f for f in grip if f)
            barred = pressed.count(pressed[0]) - 1 if pressed and 0 not in grip else 0
            if len(played) < 3 or len(pressed) - barred > grips.FINGERS:
                continue
            places, keys = zip(*played, strict=True)
            heard = Counter(key % 12 for key in keys)
            awkward = 20 * len(set(chord) - set(heard)) + (20 if 0 in strings else 5) * (keys[0] % 12 != chord[0])
            awkward += 3 * max(sounding[0] - len(keys), len(keys) - sounding[1], 0)
            awkward += 2 * (places[-1] - places[0] + 1 - len(places))
            awkward += 2 * sum(max(heard[p] - 1, 0) for p in (chord[1], *chord[3:]))
            found[keys] = min(awkward, found.get(keys, awkward))
    return sorted((awkward, keys) for keys, awkward in found.items())[:40]


@pytest.mark.parametrize("chord", [(0, 4, 7), (9, 0, 4, 7), (6, 10, 1), (2, 5, 8, 11)])
@pytest.mark.parametrize("player", [p for p in PLAYERS.values() if p.strings], ids=lambda p: p.hands)
def test_the_search_finds_the_least_awkward_grips(chord, player):
    asked = chord, player.strings, player.sounding, player.reach
    assert list(grips._grips(*asked)) == best_grips(*asked)


def test_every_chord_has_a_grip_that_a_hand_can_hold():
    """Whole and, where the player reaches the low strings, on its root; each note on a string of its own within four
    frets of the next or open."""
    for player in PLAYERS.values():
        for quality in QUALITIES:
            for root in (0, 3, 5, 10):
                chord = tuple((root + interval) % 12 for interval in INTERVALS[quality])
                if player.strings is None:
                    keys = grips.next_position(chord, player.sounding[1], player.reach, None)
                    assert keys[0] % 12 == root
                    assert max(keys[2:]) - min(keys[2:]) < 12
                else:
                    keys = grips.next_grip(chord, player.strings, player.sounding, player.reach, None)
                    assert playable(keys, player.strings)
                    assert keys[0] % 12 == root or 0 not in player.strings
                assert {key % 12 for key in keys} == set(chord)


def playable(keys, strings) -> bool:
    """Whether some way of putting these keys on these strings, in order, keeps the pressed frets within four."""

    def ways(keys, strings):
        if not keys:
            yield ()
        for n, string in enumerate(strings):
            fret = keys[0] - grips.TUNING[string] if keys else -1
            if fret >= 0:
                for rest in ways(keys[1:], strings[n + 1 :]):
                    yield (fret, *rest)

    spans = ([fret for fret in way if fret] or [0] for way in ways(keys, strings))
    return any(max(span) - min(span) < 4 for span in spans)


def test_hands_move_no_further_than_they_must():
    """Through a progression in fourths the middle of the hand never jumps by an octave."""
    for player in PLAYERS.values():
        grip = None
        for _, _, chord in comping.timeline("II:min7 | V:7 | I:maj7 | IV:maj7 | VI:min7", 3, 5):
            following = comping._grip(player, chord, grip)
            if grip:
                assert abs(np.mean(following) - np.mean(grip)) < 12
            grip = following


def test_swing_moves_the_second_half_of_the_beat():
    assert comping.swung(np.arange(5), 0.5) == pytest.approx(np.arange(5))
    assert comping.swung(np.array([0, 2, 4, 6]), 2 / 3) == pytest.approx([0, 8 / 3, 4, 4 + 8 / 3])
