"""Corpus `band`: in tune, the same bytes in any process, stems that sound where their notes are and rest elsewhere."""

import os
import subprocess
import sys
from collections import Counter

import librosa
import mir_eval
import numpy as np
import pytest
from test_soundfont import RATE, hertz, measured_key, note

from phalar.corpora import arranger, band, seeds, tunes
from phalar.corpora.chart import SCALES
from phalar.corpora.rendering import SAMPLE_RATE, loudness
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import installed
from phalar.corpora.styles import instrument, styles, table
from phalar.datasets.store import open_store, write_index
from phalar.paths import PACKAGE

ORGANS = {"drawbar organ", "rock organ"}
"""They sound an octave below too, as their sixteen-foot stop does."""

BASSES = {name for style in styles().values() for role, names in style.players for name in names if role == "bass"}


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Four pieces: in 4/4, 2/4, 3/4 and 6/8."""
    folder = tmp_path_factory.mktemp("band")
    for metre in ("4/4", "2/4", "3/4", "6/8"):
        band.build(next(p for p in band.pieces() if tunes.table()[p]["meter"] == metre), folder)
    write_index(folder, "band")
    return open_store(folder)


# --- instruments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", table()["instruments"])
def test_every_instrument_is_in_tune_over_its_range_sounds_and_ends(name):
    player, errors = instrument(name), {}
    for key in (*range(player.low, player.high, 6), player.high):
        if name in BASSES and key < 40:  # too low for the other method's frequency resolution
            audio = note(installed(), player.program, key, duration=0.9)[int(0.1 * RATE) : int(0.7 * RATE)]
            f0 = librosa.yin(audio, fmin=hertz(key - 14), fmax=hertz(key + 14), sr=RATE, frame_length=16384)
            found = 69 + 12 * np.log2(np.median(f0) / 440)
        else:
            found = measured_key(note(installed(), player.program, key), key)
        cents = 100 * (found - key)
        errors[key] = (cents + 600) % 1200 - 600 if name in ORGANS else cents
    assert {key: round(cents) for key, cents in errors.items() if not abs(cents) < 50} == {}
    for key in (player.low, player.high):
        audio = play(installed(), player.program, [Note(0.0, 0.5, key, 90)], 6 * RATE, RATE)
        assert np.isfinite(audio).all()
        assert np.abs(audio[-RATE // 10 :]).max() < 0.01 * np.abs(audio).max()


def test_every_drum_in_use_sounds():
    for kit, program in table()["kits"].items():
        for drum in {drum for style in styles().values() for g in style.patterns["drums"] for drum in g} | {"crash"}:
            audio = play(installed(), program, [Note(0.0, 0.2, table()["keys"][drum], 100)], RATE, RATE, bank=128)
            assert 0.005 < np.abs(audio).max() < 4, (kit, drum)
    for drum in {
        drum for rhythms in table()["percussion"].values() for gs in rhythms.values() for g in gs for drum in g
    }:
        audio = play(installed(), 0, [Note(0.0, 0.2, table()["keys"][drum], 100)], RATE, RATE, bank=128)
        assert np.abs(audio).max() > 0.02, drum


# --- the corpus ---------------------------------------------------------------------------------------------------


def test_splits_hold_well_over_64_compositions_and_styles_take_turns():
    sizes = Counter(band.pieces().values())
    assert (sum(sizes.values()) >= 700, sizes["test"] >= 100, sizes["valid"] >= 50) == (True, True, True)
    for split in ("train", "test"):
        counts = Counter(band.style_of()[piece] for piece, name in band.pieces().items() if name == split)
        assert set(counts) == set(styles())
        for which in ("duple", "triple", "compound"):
            dealt = [counts[name] for name, style in styles().items() if style.family == which]
            assert max(dealt) - min(dealt) <= 1


def test_tempo_and_key_do_not_tell_which_piece_it_is():
    """Of 64 test pieces most share their tempo with a third of the others, and tempo and scale with several."""
    tempo, both = [], []
    for piece in [piece for piece, split in band.pieces().items() if split == "test"][:64]:
        rng = seeds.generator("band", band.SEED, "arrangement", piece)
        mode = tunes.table()[piece]["mode"]
        tempo.append(float(rng.choice(styles()[band.style_of()[piece]].bpm)))
        tonic = rng.choice(arranger.KEYS[mode], p=arranger.KEY_SHARES)
        both.append((tempo[-1], frozenset((int(tonic) + step) % 12 for step in SCALES[mode])))
    assert np.median([Counter(tempo)[bpm] for bpm in tempo]) > 64 / 3
    assert np.mean([Counter(both)[pair] > 3 for pair in both]) > 0.75


def test_stems_are_sound(tracks):
    for track in tracks:
        audio = track.excerpt()
        assert 4 <= len(track.stems) == len(set(track.stems)) == len(track.tags["roles"]) <= 9
        assert track.pitched == tuple(role not in ("drums", "percussion") for role in track.tags["roles"])
        assert band.SECONDS[0] < track.duration < band.SECONDS[1] + 3
        assert 0.5 < np.abs(audio.sum(0)).max() <= 0.901
        assert np.abs(audio).max() <= 0.901
        levels = np.array([loudness(stem, SAMPLE_RATE) for stem in audio])
        np.testing.assert_allclose(levels - levels[0], np.array(track.tags["gains"]) - track.tags["gains"][0], atol=0.5)


def test_stems_sound_where_their_notes_are_and_rest_elsewhere(tracks):
    for track in tracks:
        audio = track.excerpt()
        for stem, notes in zip(audio, track.notes, strict=True):
            frame = SAMPLE_RATE // 10
            level = np.sqrt(np.mean(stem[: len(stem) // frame * frame].reshape(-1, frame) ** 2, axis=1))
            moments = (np.arange(len(level)) + 0.5) / 10
            onsets, ends = notes[:, 0], notes[:, 0] + notes[:, 1]
            # Between an onset and a tenth of a second later something sounds.
            heard = [level[int(t * 10) : int(t * 10) + 2].max() > 0.01 * level.max() for t in onsets]
            assert np.mean(heard) > 0.98
            # Half a minute of tails apart, silence where nobody plays.
            since = np.array([min([t - e for e in ends if e <= t] or [99]) for t in moments])
            playing = np.array([np.any((onsets <= t + 0.1) & (ends > t - 0.1)) for t in moments])
            far = ~playing & (since > 3)
            assert not far.any() or level[far].max() < 0.02 * level.max()


def test_annotations_fit_the_performance(tracks):
    for track in tracks:
        times, numbers = track.beats.T
        np.testing.assert_allclose(np.diff(times), 60 / track.tags["tempo"], rtol=1e-3)
        count, unit = map(int, track.tags["metre"].split("/"))
        assert set(numbers) == set(range(1, (count // 3 if unit == 8 else count) + 1))
        starts, ends, labels = zip(*track.chords, strict=True)
        assert starts[0] == pytest.approx(times[0], abs=1e-3)
        np.testing.assert_allclose(starts[1:], ends[:-1])
        assert ends[-1] >= times[-1]
        for label in labels:
            mir_eval.chord.encode(label)


def test_another_process_makes_the_same_bytes(tracks, tmp_path):
    track = tracks[0]
    program = (
        f"from pathlib import Path; from phalar.corpora import band; band.build({track.id!r}, Path({str(tmp_path)!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    for ours in track.audio.path.parent.glob(f"{track.id}.*"):
        assert ours.read_bytes() == (tmp_path / "tracks" / ours.name).read_bytes()
