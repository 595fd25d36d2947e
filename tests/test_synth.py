"""The synthesiser of `studio`: in tune, without aliasing, another instrument for every song."""

import numpy as np
import pytest
from scipy.signal import correlate

from phalar.corpora.sampler import Note
from phalar.corpora.synth import PATCHES, drums, noises
from phalar.corpora.synth.struck import BARS
from phalar.corpora.synth.waves import SAMPLE_RATE, cycle, hertz, partials, saw

BREATHY = {"accordion", "violin", "cello", "string_section", "flute", "saxophone", "clarinet", "trumpet"} | {
    "brass_section",
    "choir",
    "voice",
}
"""Patches with noise in them."""


def play(patch, notes, seconds=1.0, seed=1):
    return PATCHES[patch].play(notes, round(seconds * SAMPLE_RATE), np.random.default_rng(seed))


def period_of(audio: np.ndarray, longest: int = 700) -> float:
    """Samples of a sound's period: the first peak of its normalised autocorrelation that is nearly the highest."""
    window = len(audio) - longest
    head = audio[:window].astype(np.float64)
    products = correlate(audio.astype(np.float64), head, "valid")[: longest + 1]
    power = np.concatenate([[0], np.cumsum(audio.astype(np.float64) ** 2)])
    similarity = products / np.sqrt((power[window : window + longest + 1] - power[: longest + 1]) * power[window])
    a, b, c = similarity[:-2], similarity[1:-1], similarity[2:]
    peaks = np.flatnonzero((b > a) & (b >= c)) + 1
    shift = 0.5 * (a - c)[peaks - 1] / (a - 2 * b + c)[peaks - 1]
    # Between samples a peak is higher than its samples, the more so the shorter the period.
    height = similarity[peaks] - 0.25 * (a - c)[peaks - 1] * shift
    first = np.flatnonzero(height > 0.95 * height.max())[0]
    return peaks[first] + shift[first]


def cents_off(patch: str, pitch: int, seed: int) -> float:
    audio = play(patch, [Note(0.02, 0.6, pitch, 95)], 0.65, seed)[round(0.1 * SAMPLE_RATE) : round(0.6 * SAMPLE_RATE)]
    if patch in BARS:  # not periodic: the strongest partial is what is heard
        size = 1 << 17
        spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio)), size))
        found = spectrum.argmax() * SAMPLE_RATE / size
    else:
        found = SAMPLE_RATE / period_of(audio)
    return 1200 * np.log2(found / hertz(pitch))


@pytest.mark.parametrize("patch", PATCHES)
def test_every_patch_is_in_tune(patch):
    lowest, highest = PATCHES[patch].lowest, PATCHES[patch].highest
    for pitch in sorted({*range(lowest, min(highest, 88) + 1, 7), min(highest, 88)}):
        for seed in (1, pitch):
            off = cents_off(patch, pitch, seed)
            if patch == "organ":  # a sixteen-foot stop sounds an octave below, and its period is that of both
                off = (off + 600) % 1200 - 600
            assert abs(off) < 25, f"{patch} plays {pitch} {off:.0f} cents off (seed {seed})"


def test_the_measure_tells_a_wrong_note():
    audio = play("synth_lead", [Note(0.0, 0.6, 60, 90)], 0.6)[1600:]
    found = 1200 * np.log2(SAMPLE_RATE / period_of(audio) / hertz(60))
    assert abs(found) < 25
    assert abs(1200 * np.log2(SAMPLE_RATE / period_of(audio) / hertz(60.6))) > 50
    assert abs(1200 * np.log2(SAMPLE_RATE / period_of(audio) / hertz(72))) > 1150


@pytest.mark.parametrize("patch", sorted(set(PATCHES) - BREATHY - set(BARS) - {"piano"}))
def test_nothing_aliases(patch):
    """Whatever is not near a partial lies 40 dB and more below the partials, at the top of the range."""
    pitch = PATCHES[patch].highest
    audio = play(patch, [Note(0.0, 0.6, pitch, 120)], 0.6)[1600:8000].astype(np.float64)
    power = np.abs(np.fft.rfft(audio * np.blackman(len(audio)))) ** 2
    frequencies = np.arange(len(power)) * SAMPLE_RATE / len(audio)
    number = frequencies / hertz(pitch) * (2 if patch == "organ" else 1)
    near = np.abs(number - np.round(number)) * hertz(pitch) < 0.015 * frequencies + 25
    assert 10 * np.log10(power[~near].sum() / power.sum()) < -40


def test_a_cycle_holds_the_partials_it_was_given():
    numbers = partials(1000.0)
    assert numbers.tolist() == list(range(1, 8))
    spectrum = np.abs(np.fft.rfft(cycle(saw(numbers))[:-1]))
    np.testing.assert_allclose(spectrum[1:8] / spectrum[1], 1 / numbers, rtol=1e-4)
    assert spectrum[8:].max() < 1e-4 * spectrum[1]


@pytest.mark.parametrize("patch", PATCHES)
def test_a_patch_sounds_where_notes_are(patch):
    pitch = (PATCHES[patch].lowest + PATCHES[patch].highest) // 2
    loud = play(patch, [Note(0.5, 0.5, pitch, 110)], 5.0)
    soft = play(patch, [Note(0.5, 0.5, pitch, 50)], 5.0)
    assert loud.shape == (5 * SAMPLE_RATE,)
    assert loud.dtype == np.float32
    assert np.isfinite(loud).all()
    early = round(0.38 * SAMPLE_RATE)  # a singer hisses a little before
    peak = np.abs(loud).max()
    assert np.abs(loud[:early]).max() < 1e-6
    assert np.sqrt(np.mean(loud[8000:16000] ** 2)) > 0.05 * peak
    assert np.abs(loud[-8000:]).max() < 0.01 * peak
    assert np.abs(soft).max() < 0.6 * peak
    np.testing.assert_array_equal(loud, play(patch, [Note(0.5, 0.5, pitch, 110)], 5.0))


@pytest.mark.parametrize("patch", PATCHES)
def test_two_songs_have_two_instruments(patch):
    pitch = (PATCHES[patch].lowest + PATCHES[patch].highest) // 2
    spectra = []
    for seed in (3, 4):
        audio = play(patch, [Note(0.05, 0.8, pitch, 100)], 1.0, seed)
        spectra.append(np.abs(np.fft.rfft(audio / np.sqrt(np.mean(audio**2)))))
    a, b = spectra
    assert np.linalg.norm(a - b) > 0.05 * np.linalg.norm(a)


def test_notes_are_brought_into_the_range_by_octaves():
    patch = PATCHES["flute"]
    notes = [Note(n, 1, pitch, 80) for n, pitch in enumerate((48, 50, 52, 60, 61))]
    moved = patch.within(notes)
    assert [n.pitch for n in moved] == [60, 62, 64, 72, 73]
    assert [n.onset for n in moved] == [n.onset for n in notes]
    wide = patch.within([Note(0, 1, pitch, 80) for pitch in range(20, 110)])
    assert all(patch.lowest <= n.pitch <= patch.highest for n in wide)
    assert [n.pitch % 12 for n in wide] == [pitch % 12 for pitch in range(20, 110)]
    assert patch.within([]) == []


def test_a_singer_sings_one_note_at_a_time_and_glides():
    audio = play("voice", [Note(0.1, 2.0, 60, 100), Note(1.0, 1.0, 67, 100)], 2.2)
    before, after = (period_of(audio[round(t * SAMPLE_RATE) :][:4000]) for t in (0.6, 1.5))
    assert abs(1200 * np.log2(SAMPLE_RATE / before / hertz(60))) < 60  # vibrato included
    assert abs(1200 * np.log2(SAMPLE_RATE / after / hertz(67))) < 60
    assert play("voice", []).any() == False  # noqa: E712


@pytest.mark.parametrize("kit", [1, 2])
def test_every_drum_sounds(kit):
    for key in drums.KEYS:
        audio = drums.play([Note(0.1, 0.1, key, 110)], SAMPLE_RATE, kit)
        assert np.isfinite(audio).all(), key
        assert not audio[:1600].any(), key
        assert 0.2 < np.abs(audio).max() < 3, key
        rise = np.flatnonzero(np.abs(audio) > 0.3 * np.abs(audio).max())[0] / SAMPLE_RATE - 0.1
        assert rise < 0.04, f"drum {key} comes {1000 * rise:.0f} ms late"


def test_a_closed_hi_hat_ends_an_open_one():
    hit, closed = Note(0.0, 0.1, 46, 100), Note(0.3, 0.1, 42, 1)
    ringing, choked = (drums.play(notes, SAMPLE_RATE, 4) for notes in ([hit], [hit, closed]))
    late = slice(round(0.32 * SAMPLE_RATE), round(0.4 * SAMPLE_RATE))
    assert np.abs(choked[late]).max() < 0.1 * np.abs(ringing[late]).max()


def test_two_kits_differ_and_one_kit_does_not():
    notes = [Note(0.25 * n, 0.1, key, 100) for n, key in enumerate((36, 42, 38, 42))]
    one, again, other = (drums.play(notes, SAMPLE_RATE, kit) for kit in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.linalg.norm(one - other) > 0.3 * np.linalg.norm(one)


@pytest.mark.parametrize("key", drums.KEYS)
def test_drums_belong_to_groups(key):
    name = drums.group(key)
    assert name == "percussion" or key in drums.GROUPS[name]


def test_a_sweep_rises_into_its_moment():
    audio = noises.play([4.0], 6 * SAMPLE_RATE, np.random.default_rng(0))
    level = [np.sqrt(np.mean(audio[round(t * SAMPLE_RATE) :][:1600] ** 2)) for t in (0.2, 3.3, 3.9, 5.8)]
    assert level[0] == 0
    assert level[1] < level[2]
    assert level[3] < 0.5 * level[2]


def test_a_ride_bell_that_beats_a_rhythm_does_not_drone():
    """Between strokes a fifth of a second apart it falls by 15 dB and more."""
    for kit in range(4):
        audio = drums.play([Note(0.2 * n, 0.1, 53, 98) for n in range(10)], 2 * SAMPLE_RATE, kit)
        levels = np.sqrt(np.mean(audio.reshape(-1, 320) ** 2, 1))  # 20 ms: ten to a stroke
        strokes = levels[: 10 * 9].reshape(-1, 10)
        assert 20 * np.log10(np.median(strokes.max(1) / strokes.min(1))) > 15
