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
from phalar.corpora.rendering import SAMPLE_RATE, loudness, render_stems
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont, installed_font
from phalar.corpora.styles import bass, drums, table
from phalar.corpora.styles.chart import SCALES
from phalar.corpora.styles.instruments import HANDS, INSTRUMENTS, KITS
from phalar.datasets.store import open_store, write_index
from phalar.paths import PACKAGE

ORGANS = {"drawbar organ", "rock organ"}
"""They sound an octave below too, as their sixteen-foot stop does."""

BASSES = {name for row in table.STYLES.values() for name in row.bass}


@pytest.fixture(scope="module")
def font():
    return SoundFont(installed_font())


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    """Four pieces: in 4/4, 2/4, 3/4 and 6/8."""
    folder = tmp_path_factory.mktemp("band")
    for metre in ("4/4", "2/4", "3/4", "6/8"):
        band.build(next(p for p in band.pieces() if tunes.table()[p]["meter"] == metre), folder)
    write_index(folder, "band")
    return open_store(folder)


# --- instruments --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_is_in_tune_over_its_range(font, name):
    player = INSTRUMENTS[name]
    keys = [*range(player.low, player.high, 6), player.high]
    errors = {}
    for key in keys:
        if name in BASSES and key < 40:  # too low for the other method's frequency resolution
            audio = note(font, player.program, key, duration=0.9)[int(0.1 * RATE) : int(0.7 * RATE)]
            f0 = librosa.yin(audio, fmin=hertz(key - 14), fmax=hertz(key + 14), sr=RATE, frame_length=16384)
            found = 69 + 12 * np.log2(np.median(f0) / 440)
        else:
            found = measured_key(note(font, player.program, key), key)
        cents = 100 * (found - key)
        errors[key] = (cents + 600) % 1200 - 600 if name in ORGANS else cents
    assert {key: round(cents) for key, cents in errors.items() if not abs(cents) < 50} == {}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_sounds_and_ends(font, name):
    player = INSTRUMENTS[name]
    levels = []
    for key in (player.low, (player.low + player.high) // 2, player.high):
        audio = play(font, player.program, [Note(0.0, 0.5, key, 90)], 6 * RATE, RATE)
        assert np.isfinite(audio).all()
        levels.append(np.sqrt(np.mean(audio[: RATE // 2] ** 2)))
        assert np.abs(audio[-RATE // 10 :]).max() < 0.01 * np.abs(audio).max()
    assert 20 * np.log10(max(levels) / min(levels)) < 20


def test_every_drum_in_use_sounds(font):
    struck = {drum for grooves in drums.GROOVES.values() for groove in grooves for drum in groove}
    struck |= {drum for fills in drums.FILLS.values() for fill in fills for drum in fill} | {"kick", "crash"}
    for kit in KITS.values():
        for drum in struck:
            audio = play(font, kit.program, [Note(0.0, 0.2, drums.KEYS[drum], 100)], RATE, RATE, bank=128)
            assert 0.005 < np.abs(audio).max() < 4, (kit.name, drum)
    played = {drum for name in HANDS for rhythms in drums.PERCUSSION[name].values() for r in rhythms for drum in r}
    for drum in played:
        assert np.abs(play(font, 0, [Note(0.0, 0.2, drums.KEYS[drum], 100)], RATE, RATE, bank=128)).max() > 0.02, drum


def test_drums_are_drums(font):
    """The kick drum is low, the hi-hat high, the snare drum between and noisy; none has a steady pitch."""

    def centroid(drum, kit=0):
        audio = play(font, kit, [Note(0.0, 0.2, drums.KEYS[drum], 100)], RATE // 2, RATE, bank=128)
        spectrum = np.abs(np.fft.rfft(audio)) ** 2
        return np.sum(spectrum * np.fft.rfftfreq(len(audio), 1 / RATE)) / spectrum.sum()

    for kit in (0, 8, 16, 32):
        assert centroid("kick", kit) < 300
        assert max(centroid("kick", kit), centroid("floor", kit)) < centroid("snare", kit) < centroid("hat", kit)
    assert centroid("hat") > 5000


def test_a_closed_hi_hat_silences_an_open_one(font):
    """Drums of one exclusive class cut each other; others ring on."""
    opened, closed, crash = (Note(0.0, 0.1, drums.KEYS[name], 100) for name in ("open", "hat", "crash"))
    after = Note(0.3, 0.1, drums.KEYS["hat"], 100)

    def tail(*notes):
        return play(font, 0, notes, RATE, RATE, bank=128)[int(0.42 * RATE) : int(0.6 * RATE)]

    alone = tail(after)
    assert np.abs(tail(opened)).max() > 0.01
    np.testing.assert_allclose(tail(opened, after), alone, atol=1e-3 * np.abs(tail(opened)).max())
    np.testing.assert_allclose(tail(crash, after), tail(crash) + alone, atol=1e-6)
    assert np.abs(tail(closed)).max() < np.abs(tail(opened)).max()


def test_gains_are_heard_and_a_floor_is_not(font):
    parts = [(56, [Note(0.0, 1.0, 72, 100)]), (0, [Note(0.5, 1.0, 50, 90), Note(2.0, 0.5, 55, 90)])]
    plain = render_stems(font, parts) / 32768
    louder = render_stems(font, parts, gains=[-6.0, 2.0]) / 32768
    levels = [[loudness(stem, SAMPLE_RATE) for stem in stems] for stems in (plain, louder)]
    assert levels[0][0] - levels[0][1] == pytest.approx(0, abs=0.5)
    assert levels[1][0] - levels[1][1] == pytest.approx(-8, abs=0.5)
    cut = render_stems(font, parts, floor=-60) / 32768
    shared = min(cut.shape[1], plain.shape[1]) - 400  # both fade at their ends
    assert np.abs(cut[:, :shared] - plain[:, :shared]).max() < 2e-3
    kit = render_stems(font, [(0, [Note(0.0, 0.2, 36, 100)] * 2), parts[1]], banks=[128, 0])
    assert np.abs(kit[0]).max() > 1000


# --- the corpus ---------------------------------------------------------------------------------------------------


def test_splits_hold_well_over_64_compositions_and_styles_take_turns():
    pieces = band.pieces()
    sizes = Counter(pieces.values())
    assert sum(sizes.values()) >= 700
    assert sizes["test"] >= 100
    assert sizes["valid"] >= 50
    by_split = {split: Counter(band.styles()[p] for p, s in pieces.items() if s == split) for split in sizes}
    assert len(by_split["test"]) >= 12
    assert set(by_split["train"]) == set(arranger.STYLES)
    for which in ("duple", "triple", "compound"):
        counts = [by_split["train"][name] for name, row in table.STYLES.items() if row.family == which]
        assert max(counts) - min(counts) <= 1


def test_tempo_and_key_do_not_tell_which_piece_it_is():
    """Of 64 test pieces most share their tempo with several others, and tempo and scale with another."""
    chosen = [piece for piece, split in band.pieces().items() if split == "test"][:64]
    tempo, both = [], []
    for piece in chosen:
        rng = seeds.generator("band", band.SEED, "arrangement", piece)
        style = band.styles()[piece]
        row = table.STYLES[style]
        mode = tunes.table()[piece]["mode"]
        tempo.append(float(rng.choice(row.bpm)))
        tonic = rng.choice(arranger.KEYS[mode], p=arranger.KEY_SHARES)
        both.append((tempo[-1], frozenset((int(tonic) + step) % 12 for step in SCALES[mode])))
    assert np.median([Counter(tempo)[bpm] for bpm in tempo]) >= 5
    assert np.mean([Counter(both)[pair] > 1 for pair in both]) > 0.75


def test_stems_are_sound(tracks):
    for track in tracks:
        audio = track.excerpt()
        assert 4 <= len(track.stems) <= 9
        assert len(set(track.stems)) == len(track.stems)
        assert band.SECONDS[0] < track.duration < band.SECONDS[1] + 3
        mix = audio.sum(0)
        assert 0.5 < np.abs(mix).max() <= 0.901
        assert np.abs(audio).max() <= 0.901
        levels = np.array([loudness(stem, SAMPLE_RATE) for stem in audio])
        np.testing.assert_allclose(levels - levels[0], np.array(track.tags["gains"]) - track.tags["gains"][0], atol=0.5)


def test_stems_sound_where_their_notes_are_and_rest_elsewhere(tracks):
    for track in tracks:
        audio = track.excerpt()
        resting = 0
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
            resting += np.max(np.diff(np.flatnonzero(np.concatenate([[1], level > 0.02 * level.max(), [1]])))) > 20
        assert resting >= 2  # stems that are silent for two seconds on end


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
        assert track.tags["style"] in arranger.STYLES
        assert len(track.tags["roles"]) == len(track.stems)


def test_the_bass_is_on_the_annotated_roots(tracks):
    """The note of the bass nearest to a chord's beginning is its root, mostly (inversions aside)."""
    right = []
    for track in tracks:
        notes = track.notes[track.tags["roles"].index("bass")]
        for start, _, label in track.chords:
            near = notes[np.abs(notes[:, 0] - start) < 0.06]
            if len(near):
                right.append(near[0, 2] % 12 == mir_eval.chord.encode(label)[0])
    assert len(right) > 40
    assert np.mean(right) > 0.8


def test_drums_strike_on_the_annotated_beats(tracks):
    """Onsets found in the drum stem's audio coincide with its notes, and beats with onsets."""
    for track in tracks:
        stem = track.excerpt()[track.tags["roles"].index("drums")]
        notes = np.unique(track.notes[track.tags["roles"].index("drums")][:, 0])
        found = librosa.onset.onset_detect(y=stem, sr=SAMPLE_RATE, hop_length=128, units="time", backtrack=False)
        distance = [np.abs(notes - t).min() for t in found]
        assert np.median(distance) < 0.02, track.tags["style"]


def test_another_process_makes_the_same_bytes(tracks, tmp_path):
    track = tracks[0]
    program = (
        f"from pathlib import Path; from phalar.corpora import band; band.build({track.id!r}, Path({str(tmp_path)!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-c", program], check=True, env=environment)
    ours, theirs = track.audio.path.parent, tmp_path / "tracks"
    for suffix in (".npy", ".json"):
        assert (ours / f"{track.id}{suffix}").read_bytes() == (theirs / f"{track.id}{suffix}").read_bytes()


def test_a_bass_stays_within_its_range(tracks):
    for track in tracks:
        pitches = track.notes[track.tags["roles"].index("bass")][:, 2]
        assert pitches.min() >= bass.LOW
        assert pitches.max() <= bass.HIGH
