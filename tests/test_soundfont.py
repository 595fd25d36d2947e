"""The sampler plays the written notes: in tune for every program in use, as loud and as long as asked."""

import librosa
import numpy as np
import pytest
from scipy.signal import find_peaks

from phalar.corpora import chorales, studio
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont, installed
from phalar.corpora.styles import styles, table
from phalar.errors import InputError

RATE = 32_000
VOICES = ((57, 81), (53, 74), (48, 69), (36, 64))
"""Lowest and highest note of each voice in the chorales, soprano to bass."""
OCTAVE_BELOW = {"drawbar organ", "rock organ", "organ", "church_organ"}  # as their sixteen-foot stop sounds
BLURRED = {"choir", "humming", "string ensemble"}  # whose octave the measure mistakes on some keys


def instruments() -> dict[str, tuple[int, int, int]]:
    """Program, lowest and highest key that may be asked for, by name: of `chorales`, `band` and `studio`."""
    players = [(name, *VOICES[v]) for ensemble in chorales.ENSEMBLES.values() for v, name in enumerate(ensemble)]
    players += [(name, *VOICES[v]) for v, names in enumerate(chorales.RANDOM_ENSEMBLE) for name in names]
    found = {}
    for name, program in chorales.PROGRAMS.items():
        low, high = zip(*(keys for player, *keys in players if player == name), strict=True)
        found[f"chorales {name}"] = program, min(low), max(high)
    found |= {f"band {name}": tuple(row) for name, row in table()["instruments"].items()}
    return found | {f"studio {n}": (p.program, *p.keys) for n, p in studio.PATCHES.items() if not p.drums}


INSTRUMENTS = instruments()
BASSES = {name for style in styles().values() for role, names in style.players for name in names if role == "bass"}


@pytest.fixture(scope="module")
def font():
    return installed()


def hertz(key: float) -> float:
    return 440 * 2 ** ((key - 69) / 12)


def note(font, program, key, duration=0.7, velocity=90.0, **more):
    return play(font, program, [Note(0.0, duration, key, velocity, **more)], int(RATE * (duration + 0.5)), RATE)


def measured_key(audio: np.ndarray, about: float) -> float:
    """Pitch as a (fractional) MIDI key, looked for within an octave and a half of ``about``.

    The autocorrelation names the period up to a multiple; the spectrum decides which: the fundamental and the odd
    harmonics are above what lies between them. A strong second harmonic (an oboe's) does not mislead it.
    """
    audio = audio[int(0.25 * RATE) : int(0.65 * RATE)]
    size = 1 << 16
    correlation = np.fft.irfft(np.abs(np.fft.rfft(audio, size)) ** 2)[: size // 2]
    correlation *= len(audio) / (len(audio) - np.arange(len(correlation)).clip(max=len(audio) - 1))
    lags = np.arange(int(RATE / hertz(about + 18)), int(RATE / hertz(about - 18)) + 2)
    values = correlation[lags] / correlation[0]
    peaks, _ = find_peaks(values, height=0.85 * values.max())
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), size))
    frequency = RATE / size

    def near(f: float) -> float:
        return spectrum[max(int(0.97 * f / frequency), 1) : int(1.03 * f / frequency) + 2].max()

    for peak in peaks:  # from the shortest period on
        before, at, after = values[peak - 1 : peak + 2]
        lag = lags[peak] + 0.5 * (before - after) / (before - 2 * at + after)
        f = RATE / lag
        # The true period is reached once nothing sounds at half its frequency, or at one and a half.
        if max(near(0.5 * f), near(1.5 * f)) < 0.02 * spectrum.max():
            return 69 + 12 * np.log2(f / 440)
    return np.nan


def yin_key(audio: np.ndarray, about: float) -> float:
    """The same, up to octaves, by another method, which also resolves the lowest keys."""
    audio = audio[int(0.1 * RATE) : int(0.7 * RATE)]
    f0 = librosa.yin(audio, fmin=hertz(about - 14), fmax=hertz(about + 14), sr=RATE, frame_length=16384)
    return 69 + 12 * np.log2(np.median(f0) / 440)


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_instrument_is_in_tune_on_every_key_sounds_and_ends(font, name):
    """At both ends of every recording's keys: in between its pitch is straight in the key."""
    program, low, high = INSTRUMENTS[name]
    zones = {key: font.zones(program, key, 90) for key in range(low, high + 1)}
    keys = [key for key, own in zones.items() if not own == zones.get(key - 1) == zones.get(key + 1)]
    own, errors, levels = name.partition(" ")[2], {}, []
    for key in keys:
        audio = note(font, program, key)
        levels.append(20 * np.log10(np.sqrt(np.mean(audio[: RATE // 2] ** 2))))
        measure = yin_key if own in BASSES and key < 40 else measured_key
        octaves, cents = divmod(100 * (measure(audio, key) - key) + 600, 1200)
        errors[key] = round(cents - 600) if octaves == -(own in OCTAVE_BELOW) or own in BLURRED else 1200
    assert {key: cents for key, cents in errors.items() if not abs(cents) < 50} == {}
    assert np.isfinite(levels).all()
    assert max(levels) - min(levels) < 20
    for key in (keys[0], keys[-1]):
        audio = play(font, program, [Note(0.0, 0.5, key, 90)], 6 * RATE, RATE)
        assert np.abs(audio[-RATE // 10 :]).max() < 0.01 * np.abs(audio).max()


def test_the_measures_agree_and_notice_a_wrong_note(font):
    for program, key, about, more in ((40, 70, 69, 0.0), (40, 81, 69, 0.0), (68, 76, 76, 0.0), (73, 69, 69, 60.0)):
        audio = note(font, program, key, cents=more)
        assert measured_key(audio, about) == pytest.approx(key + more / 100, abs=0.2)
        assert (yin_key(audio, about) - key - more / 100 + 6) % 12 == pytest.approx(6, abs=0.3)


def test_every_drum_in_use_sounds_and_ends():
    keys, kits = table()["keys"], {drum for style in styles().values() for g in style.patterns["drums"] for drum in g}
    hands = {drum for ways in table()["percussion"].values() for gs in ways.values() for g in gs for drum in g}
    players = [(program, kits | {"crash"}) for program in table()["kits"].values()] + [(0, hands)]
    players += [(p.program, hands if p.stem == "percussion" else kits) for p in studio.PATCHES.values() if p.drums]
    for program, drum in {(program, drum) for program, drums in players for drum in drums}:
        audio = play(installed(), program, [Note(0.0, 0.2, keys[drum], 100)], 6 * RATE, RATE, bank=128)
        assert 0.005 < np.abs(audio).max() < 4, (program, drum)
        assert np.abs(audio[-RATE // 4 :]).max() < 0.01, (program, drum)


@pytest.mark.parametrize("program", [0, 24, 33, 73])
def test_notes_add_up_and_are_the_same_whatever_else_is_played_on_their_key(font, program):
    """Its sound is shared with other notes, which are softer, louder, longer, and cut by the end."""
    notes = [Note(0.0, 0.3, 60, 80), Note(0.2, 1.5, 60, 50), Note(0.71, 0.1, 60, 110), Note(0.9, 2.0, 67, 90)]
    apart = [play(font, program, [one], RATE, RATE) for one in notes]
    np.testing.assert_allclose(play(font, program, notes, RATE, RATE), sum(apart), atol=1e-6)
    assert not apart[2][: int(0.71 * RATE)].any()


def test_unknown_presets_and_files_are_refused_and_holes_filled(font, tmp_path):
    """TimGM6mb's alto saxophone has no zone for E4: the letter of the format is silence."""
    with pytest.raises(InputError, match="program 200"):
        font.zones(200, 60)
    wrong = tmp_path / "wrong.sf2"
    wrong.write_bytes(b"RIFF0000WAVEfmt ")
    with pytest.raises(InputError, match=r"wrong\.sf2"):
        SoundFont(wrong)
    (zone,) = font.zones(65, 64)
    assert zone.distance(64) == 1
    assert measured_key(note(font, 65, 64), 64) == pytest.approx(64, abs=0.5)
