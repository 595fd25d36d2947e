"""Rendered `chorales`, `band`, `studio`, `comping` and `beats`: sound, annotated as they sound, made alike again."""

import os
import subprocess
import sys

import librosa
import mir_eval
import numpy as np
import pytest

from phalar.corpora import CORPORA, band, beats, chorales, comping, studio, tunes
from phalar.corpora.leadsheet import PITCH_CLASSES, Chord
from phalar.corpora.rendering import PEAK, loudness
from phalar.datasets import store
from phalar.datasets.store import open_store, write_index
from phalar.paths import PACKAGE

RATE = 16_000
STEMS = {"vocals", "drums", "bass", "guitar", "piano", "other_keys", "percussion", "bowed_strings", "wind"}
STEMS |= {"other_plucked", "other"}
"""MoisesDB's."""
CHOSEN = {"chorales": list(chorales.pieces())[:2], "studio": list(studio.pieces())[2:4]}
CHOSEN["band"] = [next(p for p in band.pieces() if tunes.table()[p]["meter"] == m) for m in ("4/4", "3/4", "6/8")]
CHOSEN["comping"] = list(comping.pieces())[:150:25]  # each player once, of all styles


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    found = {}
    for corpus, pieces in CHOSEN.items():
        folder = tmp_path_factory.mktemp(corpus)
        for piece in pieces:
            CORPORA[corpus].module.build(piece, folder)
        write_index(folder, corpus)
        found[corpus] = open_store(folder)
    return found


@pytest.fixture(params=CHOSEN)
def tracks(request, everything):
    return everything[request.param]


def test_stems_are_sound_and_add_up_to_the_mix(tracks):
    for track in tracks:
        audio = track.excerpt()
        assert audio.shape == (len(track.stems), track.num_samples)
        assert len(track.pitched) == len(track.notes) == len(track.stems)
        peaks = np.abs(audio.sum(0)).max(), np.abs(audio).max()
        assert max(peaks) == pytest.approx(PEAK, abs=2e-3)
        assert (np.abs(audio).max(1) > 0.02).all()
        if track.dataset == "chorales":
            assert np.ptp([loudness(stem, RATE) for stem in audio]) < 0.2
        sounding = np.flatnonzero(np.abs(audio.sum(0)) > 0.02 * max(peaks)) / RATE
        assert sounding[0] < 1.0
        assert track.duration - sounding[-1] < 3


def test_stems_sound_where_their_notes_are_and_rest_elsewhere(tracks):
    for track in tracks:
        for stem, notes in zip(track.excerpt(), track.notes, strict=True):
            level = np.abs(stem[: len(stem) // 1600 * 1600]).reshape(-1, 1600).max(1)
            moments, onsets, ends = (np.arange(len(level)) + 0.5) / 10, notes[:, 0], notes[:, 0] + notes[:, 1]
            found = [level[int(t * 10) : int(t * 10) + 3].max() > 0.0056 * level.max() for t in onsets]
            assert np.mean(found) > 0.98
            # Three seconds after the last note: silence, or what a studio's tape and neighbours leave.
            far = ((onsets > moments[:, None] + 0.1) | (ends < moments[:, None] - 3)).all(1)
            floor = 0.15 if track.dataset == "studio" else 0.02
            assert not far.any() or level[far].max() < floor * level.max()


def test_annotations_are_in_order(tracks):
    for track in tracks:
        times, numbers = track.beats.T
        assert (np.diff(times) > 0.1).all()
        assert set(np.diff(numbers)) <= {1, *range(-6, 0)}
        if track.dataset in ("band", "comping"):  # to a click
            np.testing.assert_allclose(np.diff(times), 60 / track.tags["tempo"], rtol=1e-3)
        if track.chords:
            starts, ends, labels = zip(*track.chords, strict=True)
            assert all(map(mir_eval.chord.encode, labels))
            assert all(start < end for start, end in zip(starts, ends, strict=True))
            np.testing.assert_allclose(starts[1:], ends[:-1], atol=1e-4)
            assert starts[0] <= times[0] + 1e-3
            assert ends[-1] > times[-1]


def test_another_process_makes_the_same_bytes(everything, tmp_path):
    chosen = {name: tracks[0] for name, tracks in everything.items()}
    jobs = [f"{name}.build({track.id!r}, Path({str(tmp_path)!r}))" for name, track in chosen.items()]
    program = "\n".join(["from pathlib import Path", f"from phalar.corpora import {', '.join(chosen)}", *jobs])
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    for track in chosen.values():
        for ours in track.audio.path.parent.glob(f"{track.id}.*"):
            assert ours.read_bytes() == (tmp_path / "tracks" / ours.name).read_bytes()


# --- what is each corpus' own -------------------------------------------------------------------------------------


def test_band_is_mixed_as_its_tags_say(everything):
    for track in everything["band"]:
        assert 4 <= len(track.stems) == len(set(track.stems)) == len(track.tags["roles"]) <= 9
        assert track.pitched == tuple(role not in ("drums", "percussion") for role in track.tags["roles"])
        assert band.SECONDS[0] < track.duration < band.SECONDS[1] + 3
        levels = np.array([loudness(stem, RATE) for stem in track.excerpt()])
        np.testing.assert_allclose(levels - levels[0], np.array(track.tags["gains"]) - track.tags["gains"][0], atol=0.5)
        count, unit = map(int, track.tags["metre"].split("/"))
        assert set(track.beats[:, 1]) == set(range(1, (count // 3 if unit == 8 else count) + 1))


def test_studio_names_its_sources_and_ends_them_where_their_recordings_do(everything):
    shares = []
    for track in everything["studio"]:
        names, lengths = track.tags["stem_names"], track.tags["lengths"]
        assert len(track.stems) == len(names) == len(lengths) == len(track.tags["patches"])
        assert set(names) <= STEMS
        unpitched = [a == "drums" or b == "atonal_percussion" for a, b in zip(names, track.stems, strict=True)]
        assert [not pitched for pitched in track.pitched] == unpitched
        assert all(not audio[length:].any() for audio, length in zip(track.excerpt(), lengths, strict=True))
        assert max(lengths) == track.num_samples
        shares += [length / track.num_samples for length in lengths]
    assert len(set(shares)) > len(everything["studio"])  # not all of a song are as long as the song


def read_chord(chroma: np.ndarray) -> set[int]:
    """The pitch classes of the binary template nearest, by angle, to a chroma vector (12,), of every quality in use."""
    qualities = ("maj", "min", "7", "maj7", "min7", "hdim7", "dim7")
    templates = [Chord(0, 1, root, quality).pitch_classes for quality in qualities for root in range(12)]
    return {*max(templates, key=lambda tones: sum(chroma[list(tones)]) / len(tones) ** 0.5)}


def test_the_chords_annotated_in_comping_are_the_chords_that_sound(everything):
    """A reading that knows nothing of music: mean chroma over each chord against 84 binary templates. Where there is
    no chord, silence."""
    right = shifted = total = 0.0
    for track in everything["comping"]:
        audio = track.excerpt()[0]
        chroma = librosa.feature.chroma_cqt(y=audio, sr=RATE, norm=None, tuning=0.0)
        times, loud = librosa.times_like(chroma, sr=RATE), np.sqrt(np.mean(audio**2))
        assert track.chords[0][2] == track.chords[-1][2] == "N"
        for start, end, label in track.chords:
            here = audio[round((start + 0.45) * RATE) : round((end - 0.05) * RATE)]  # what rang before has faded
            if len(here):
                level = np.sqrt(np.mean(here**2)) / loud
                assert level < 0.03 if label == "N" else level > 0.05
            if label != "N":
                root, quality = label.split(":")
                found = read_chord(chroma[:, (times >= start) & (times < end)].mean(1))
                wanted = Chord(0, 1, PITCH_CLASSES.index(root), quality).pitch_classes
                total += end - start
                right += (end - start) * (found == {*wanted})
                # Moved by a semitone the same reading must fail: it is the label that agrees.
                shifted += (end - start) * (found == {(tone + 1) % 12 for tone in wanted})
    assert right / total >= 0.9
    assert shifted / total < 0.05


# --- beats: what is annotated as a beat is where the music has one


@pytest.fixture(scope="module")
def mixes(tmp_path_factory):
    """One piece of each way to play and sound."""
    ways = {(cast.feel, cast.sound): piece for piece, cast in beats.castings().items() if cast.genre != "classical"}
    return built(ways.values(), tmp_path_factory.mktemp("beats"))


def built(pieces, folder):
    for piece in pieces:
        beats.build(piece, folder)
    store.write_index(folder, "beats", beats.SAMPLE_RATE)
    return store.open_store(folder)


def test_a_track_is_thirty_seconds_of_a_mix_with_beats_all_over(mixes):
    for track in mixes:
        assert (track.stems, track.pitched) == (("mix",), (True,))
        assert track.sample_rate == 22_050
        assert track.num_samples == 30 * 22_050
        audio = track.excerpt()[0]
        assert 0.85 < np.abs(audio).max() < 0.95
        seconds, numbers = track.beats.T
        assert 0 <= seconds[0] < 4
        assert 26 < seconds[-1] < 30
        count = int(numbers.max())
        assert np.array_equal(numbers[1:], numbers[:-1] % count + 1)
        tempo = 60 / np.median(np.diff(seconds))
        assert tempo == pytest.approx(track.tags["tempo"], rel=0.01 if track.tags["feel"] == "straight" else 0.15)


def test_straight_is_steady_and_expressive_is_not(mixes):
    for track in mixes:
        lasting = np.diff(track.beats[:, 0])
        if track.tags["feel"] == "straight":
            assert lasting.std() / lasting.mean() < 1e-3
        else:
            assert lasting.std() / lasting.mean() > 0.03
            assert lasting[-1] > 1.1 * np.median(lasting)  # the ritardando
