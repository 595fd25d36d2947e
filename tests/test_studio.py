"""Corpus `studio`: songs as a studio would leave them, by other presets than `band`'s."""

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from test_soundfont import measured_key, note

from phalar.corpora import performance, rendering, studio
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import installed
from phalar.corpora.styles import instrument, table
from phalar.datasets import store
from phalar.paths import PACKAGE

STEMS = {"vocals", "drums", "bass", "guitar", "piano", "other_keys", "percussion", "bowed_strings", "wind"} | {
    "other_plucked",
    "other",
}
"""MoisesDB's."""

RATE = 32_000
PIECES = list(studio.pieces())
SLIVER = PIECES[2:4]
MELODIC = [name for name, patch in studio.PATCHES.items() if not patch.drums]
OCTAVE_BELOW = {"organ", "church_organ"}  # a sixteen-foot stop
VOWELS = {"choir", "humming"}  # whose octave the measure mistakes on some keys


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    for piece in SLIVER:
        studio.build(piece, folder)
    store.write_index(folder, "studio")
    return store.open_store(folder)


@pytest.fixture(scope="module")
def casts():
    """Arrangement, performance and sources of many pieces, without their sound."""
    found = []
    for piece in PIECES[:18]:
        page = studio.arrangement(piece)
        played, _ = performance.perform(page, studio.feel(piece, page), np.random.default_rng(0))
        found.append((page, played, studio.cast(piece, page, played)))
    return found


# --- who may be recorded --------------------------------------------------------------------------------------------


def test_no_preset_is_one_of_bands():
    names = [name for rows in ("instruments", "kits", "percussion") for name in table()[rows]]
    band = {(each.program, each.drums) for each in map(instrument, names)}
    assert not band & {(patch.program, patch.drums) for patch in studio.PATCHES.values()}


@pytest.mark.parametrize("name", MELODIC)
def test_every_patch_is_in_tune_and_sounds_and_ends_on_every_key(name):
    patch, levels = studio.PATCHES[name], []
    for key in range(patch.keys[0], patch.keys[1] + 1):
        audio = note(installed(), patch.program, key)
        assert np.isfinite(audio).all()
        levels.append(20 * np.log10(np.sqrt(np.mean(audio[: RATE // 2] ** 2))))
        octaves, cents = divmod(100 * (measured_key(audio, key) - key) + 600, 1200)
        assert abs(cents - 600) < 50, key
        assert octaves == -(name in OCTAVE_BELOW) or name in VOWELS, key
    assert max(levels) - min(levels) < 20


@pytest.mark.parametrize("name", [name for name, patch in studio.PATCHES.items() if patch.drums])
def test_every_drum_that_a_style_strikes_sounds_and_ends(name):
    pages = [studio.arrangement(piece) for piece in PIECES[:8]]
    for key in {n.pitch for page in pages for part in page.parts if part.drums for n in part.strokes}:
        strokes = [Note(0.0, 0.2, key, 90, cents=studio.TUNING)]
        audio = play(installed(), studio.PATCHES[name].program, strokes, 6 * RATE, RATE, studio.DRUM_BANK)
        assert np.isfinite(audio).all()
        assert np.abs(audio[: RATE // 2]).max() > 0.01, key
        assert np.abs(audio[-RATE // 4 :]).max() < 0.01, key


def test_the_table_is_whole():
    named = [name for _, others in studio.INSTEAD.values() for name in others]
    assert set(named) <= studio.PATCHES.keys()
    assert {patch.stem for patch in studio.PATCHES.values()} <= STEMS
    assert {patch.channel or patch.stem for patch in studio.PATCHES.values()} <= studio.CHANNELS.keys()


def test_notes_are_moved_by_octaves_into_the_range():
    patch = studio.PATCHES["cello"]
    for pitches in ([90, 93, 97], [20, 25], [30, 60, 100]):
        moved = [n.pitch for n in patch.within([Note(0, 1, pitch, 80) for pitch in pitches])]
        assert all(patch.keys[0] <= pitch <= patch.keys[1] for pitch in moved)
        assert all((a - b) % 12 == 0 for a, b in zip(moved, pitches, strict=True))
    assert [n.pitch for n in patch.within([Note(0, 1, 50, 80)])] == [50]


def test_songs_have_the_sources_of_a_studio(casts):
    stems = Counter()
    for page, _, sources in casts:
        assert 4 <= len(sources) <= studio.MOST
        stems.update({source.patch.stem for source in sources})
        for source in sources:
            low, high = source.patch.keys
            assert all(low <= n.pitch <= high for n in source.notes)
        assert len(page.parts) <= len(sources)
    assert stems["vocals"] > 5
    assert stems["drums"] == len(casts)
    assert len(stems) >= 9


def test_drums_are_split_without_loss(casts):
    split = 0
    for page, played, sources in casts:
        written = [n for part, notes in zip(page.parts, played, strict=True) if part.role == "drums" for n in notes]
        recorded = [source for source in sources if source.patch.stem == "drums"]
        together = [(n.onset, n.pitch) for source in recorded for n in source.notes]
        assert sorted(together) == sorted((n.onset, n.pitch) for n in written)
        split += len(recorded) > 1
        for source in recorded:
            if source.name in studio.MICROPHONES:
                assert {n.pitch for n in source.notes} <= studio.MICROPHONES[source.name]
    assert 1 <= split <= 9  # of 18: some, not most


def test_who_plays_does_not_depend_on_the_key(casts):
    """A twin in another key has the same sources, drums and all."""
    for piece, (page, played, sources) in zip(PIECES, casts, strict=False):
        higher = [
            notes if part.drums else [replace(n, pitch=n.pitch + 3) for n in notes]
            for part, notes in zip(page.parts, played, strict=True)
        ]
        twin = studio.cast(piece, page, higher)
        assert [(s.name, s.patch, len(s.notes)) for s in twin] == [(s.name, s.patch, len(s.notes)) for s in sources]
        assert [s.notes for s in twin if s.patch.drums] == [s.notes for s in sources if s.patch.drums]


# --- what is recorded -----------------------------------------------------------------------------------------------


def test_stems_are_sound_and_add_up_to_the_mix(tracks):
    for track in tracks:
        audio = track.excerpt()
        assert 38 < track.duration < 80
        assert np.isfinite(audio).all()
        peaks = np.abs(audio.sum(0)).max(), np.abs(audio).max()
        assert max(peaks) == pytest.approx(rendering.PEAK, abs=1e-3)
        assert min(peaks) > 0.2
        assert (np.abs(audio).max(1) > 0.02).all()


def test_every_note_sounds(tracks):
    """Within a third of a second of a note's onset its stem is no quieter than 45 dB below its own loudest moment."""
    for track in tracks:
        for audio, notes in zip(track.excerpt(), track.notes, strict=True):
            peak = np.abs(audio).max()
            for onset in notes[:, 0]:
                first = round(onset * 16_000)
                assert np.abs(audio[first : first + 5_300]).max() > 0.0056 * peak


def test_tracks_are_described(tracks):
    for track in tracks:
        names, lengths = track.tags["stem_names"], track.tags["lengths"]
        assert len(track.stems) == len(names) == len(lengths) == len(track.tags["patches"]) == len(track.notes)
        assert set(names) <= STEMS
        drums = [stem == "drums" for stem in names]
        hands = [stem == "atonal_percussion" for stem in track.stems]
        assert [not pitched for pitched in track.pitched] == [a or b for a, b in zip(drums, hands, strict=True)]
        assert (np.diff(track.beats[:, 0]) > 0.1).all()
        assert set(np.diff(track.beats[:, 1])) <= {1, *range(-6, 0)}
        assert all(a[1] == b[0] for a, b in pairwise(track.chords))
        assert track.chords[0][0] <= track.beats[0, 0] + 1e-3
        assert track.chords[-1][1] > track.beats[-1, 0]


def test_stems_end_where_their_recordings_do(tracks):
    lengths = []
    for track in tracks:
        for audio, length in zip(track.excerpt(), track.tags["lengths"], strict=True):
            assert not audio[length:].any()
        assert max(track.tags["lengths"]) == track.num_samples
        lengths += [length / track.num_samples for length in track.tags["lengths"]]
    assert len(set(lengths)) > len(tracks)  # not all of a song are as long as the song


def test_another_process_makes_the_same_bytes(tracks, tmp_path):
    program = f"""
from pathlib import Path
from phalar.corpora import studio
studio.build({SLIVER[0]!r}, Path({str(tmp_path)!r}))
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=PACKAGE.parent)
    here = next(track for track in tracks if track.id == SLIVER[0]).audio.path
    there = tmp_path / "tracks" / here.name
    assert hashlib.sha256(here.read_bytes()).digest() == hashlib.sha256(there.read_bytes()).digest()
    assert here.with_suffix(".json").read_text() == there.with_suffix(".json").read_text()
