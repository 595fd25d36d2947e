"""Corpus `studio`: songs as a studio would leave them."""

import hashlib
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from phalar.corpora import groove, studio
from phalar.corpora.synth import PATCHES, drums
from phalar.datasets import store
from phalar.paths import PACKAGE

STEMS = {"vocals", "drums", "bass", "guitar", "piano", "other_keys", "percussion", "bowed_strings", "wind"} | {
    "other_plucked",
    "other",
}
"""MoisesDB's."""

PIECES = list(studio.pieces())
SLIVER = PIECES[2:4]


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studio")
    for piece in SLIVER:
        studio.build(piece, folder)
    store.write_index(folder, "studio")
    return store.open_store(folder)


@pytest.fixture(scope="module")
def casts():
    """Arrangement and sources of many pieces, without their sound."""
    found = []
    for piece in PIECES[:18]:
        page = studio.arrangement(piece)
        played, _ = groove.perform(page, studio.feel(piece, page), np.random.default_rng(0))
        found.append((page, played, studio._sources(piece, page, played)))
    return found


def test_stems_are_sound_and_add_up_to_the_mix(tracks):
    for track in tracks:
        audio = track.excerpt()
        assert 38 < track.duration < 80
        assert np.isfinite(audio).all()
        assert np.abs(audio).max() <= studio.PEAK + 1e-3
        assert 0.5 < np.abs(audio.sum(0)).max() <= studio.PEAK + 1e-3
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
        assert track.split == studio.pieces()[track.id]
        names, lengths = track.tags["stem_names"], track.tags["lengths"]
        assert len(track.stems) == len(names) == len(lengths) == len(track.tags["patches"]) == len(track.notes)
        assert set(names) <= STEMS
        assert 60 <= track.tags["tempo"] <= 200
        assert track.tags["key"].split()[1] in {"major", "minor", "dorian", "mixolydian"}
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


def test_beats_fall_on_strokes(tracks):
    """Of a band to a common clock: half of the beats where the drums play have a stroke within 20 ms."""
    for track in tracks:
        strokes = np.concatenate(
            [notes[:, 0] for notes, name in zip(track.notes, track.tags["stem_names"], strict=True) if name == "drums"]
        )
        gaps = [np.abs(strokes - beat).min() for beat in track.beats[:, 0]]
        assert np.median([gap for gap in gaps if gap < 0.2]) < 0.02


def test_songs_have_the_sources_of_a_studio(casts):
    stems = Counter()
    for page, _, sources in casts:
        assert 4 <= len(sources) <= studio.MOST
        stems.update({source.stem for source in sources})
        assert stems.keys() <= STEMS
        for source in sources:
            if source.patch in PATCHES:
                patch = PATCHES[source.patch]
                assert (source.name, source.stem) == studio.SOURCES[source.patch]
                assert all(patch.lowest <= n.pitch <= patch.highest for n in source.notes)
        assert len(page.parts) <= len(sources)
    assert stems["vocals"] > 5
    assert stems["drums"] == len(casts)
    assert len(stems) >= 9


def test_drums_are_split_without_loss(casts):
    split = 0
    for page, played, sources in casts:
        written = [n for part, notes in zip(page.parts, played, strict=True) if part.role == "drums" for n in notes]
        recorded = [source for source in sources if source.stem == "drums"]
        together = sorted((n for source in recorded for n in source.notes), key=lambda n: (n.onset, n.pitch))
        assert together == sorted(written, key=lambda n: (n.onset, n.pitch))
        split += len(recorded) > 1
        for source in recorded:
            if source.name in drums.GROUPS:
                assert {drums.group(n.pitch) for n in source.notes} == {source.name}
    assert 3 <= split <= 13


def test_every_patch_has_a_name_and_a_stem():
    assert studio.SOURCES.keys() == PATCHES.keys()
    assert {stem for _, stem in studio.SOURCES.values()} <= STEMS
    assert studio.LOUDNESS.keys() == STEMS
    for _, patches in studio.FAMILIES:
        assert set(patches) <= PATCHES.keys()
    for _, patches in studio.INSTEAD.values():
        assert set(patches) <= PATCHES.keys()


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


def test_the_same_song_can_be_played_otherwise(tracks):
    """What a stress set does: another clock, the same sources with the same notes in the same order."""
    piece = SLIVER[1]
    page = studio.arrangement(piece)
    how = studio.feel(piece, page)
    song = studio.record(piece, page, replace(how, rubato=0.3))
    track = next(track for track in tracks if track.id == piece)
    assert tuple(source.name for source in song.sources) == track.stems
    for source, notes in zip(song.sources, track.notes, strict=True):
        assert sorted(n.pitch for n in source.notes) == sorted(notes[:, 2].astype(int).tolist())
    assert np.std(np.log(np.diff(song.seconds))) > np.std(np.log(np.diff(track.beats[:, 0]))) + 0.1
