"""What a score minds: stems transposed in the spectrogram, stems that come late, and models that must mind just one."""

from types import SimpleNamespace

import librosa
import numpy as np
import pytest
import torch

import phalar
from phalar.datasets.tracks import Pair, Track
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.sensitivity import CHANGES, UNCHANGED, by_changes, late, preferred, transposed

RATE = 16_000


def note(midi, seconds=4.0):
    turns = librosa.midi_to_hz(midi) * np.arange(round(seconds * RATE)) / RATE
    return sum(np.sin(2 * np.pi * k * turns) for k in (1, 2, 3)).astype(np.float32) / 4


@pytest.fixture(scope="module")
def pairs():
    found = []
    for i, stems in enumerate((0.1 * np.random.default_rng(0).standard_normal((3, 2, 8 * RATE))).astype(np.float32)):
        audio = SimpleNamespace(read=lambda start, stop, stems=stems: stems[:, start:stop])
        track = Track(f"t{i}", "tiny", "test", ("a", "b"), RATE, 8 * RATE, audio=audio)
        found.append(Pair(track, i * RATE // 8, 2 * RATE, (0,), (1,)))
    return found


def test_a_transposed_spectrogram_is_that_of_the_transposed_note(stirred):
    model = stirred("phalar")
    played = model.picture(torch.from_numpy(note(60)[None]))
    for semitones in (-12, 3):
        higher = model.picture(torch.from_numpy(note(60 + semitones)[None]))
        inside = slice(15, -15)
        distance = (transposed(played, semitones) - higher)[:, inside].abs().mean()
        assert distance < 0.2 * (played - higher)[:, inside].abs().mean()


def test_what_leaves_the_spectrogram_is_lost_and_its_floor_comes_in():
    picture = torch.rand(2, 96, 4) + 1
    floor = picture.amin(dim=(1, 2), keepdim=True).expand(2, 5, 4)
    assert torch.equal(transposed(picture, 5), torch.cat([floor, picture[:, :-5]], dim=1))
    assert torch.equal(transposed(picture, -5), torch.cat([picture[:, 5:], floor], dim=1))


def test_a_late_stem_sounds_later(pairs):
    pair, shift = pairs[2], RATE // 8
    assert np.array_equal(late(pair, 0.125).audio()[1][shift:], pair.audio()[1][:-shift])
    early = late(pairs[0], 0.125).audio()[1]  # there is nothing before its start
    assert np.array_equal(early[:-shift], pairs[0].audio()[1][shift:])
    with pytest.raises(InputError, match="outside track"):
        late(pair, 9.0).audio()


def test_scores_are_those_of_the_changed_stems_one_by_one(stirred, pairs):
    model, changes = stirred("phalar"), {UNCHANGED: (0, 0.0), "up": (2, 0.0), "both": (-1, 0.1)}
    found = by_changes(model, changes)([(pair, pair.audio()) for pair in pairs])
    with torch.no_grad():
        for name, (semitones, seconds) in changes.items():
            for i, j in ((0, 0), (0, 2), (2, 1)):
                x = model.encode(torch.from_numpy(pairs[i].audio()[:1]))
                wave = torch.from_numpy(late(pairs[j], seconds).audio()[1:])
                y = model.encode_picture(transposed(model.picture(wave), semitones))
                assert found[name][i, j] == pytest.approx(float(model.similarity(x, y)), abs=1e-4)
    plain = retrieval.by_model(model)([(pair, pair.audio()) for pair in pairs])["symmetrised"]
    assert found[UNCHANGED] == pytest.approx(plain, abs=1e-4)


def test_preferred_counts_ties_as_half_and_other_pictures_are_refused():
    assert preferred(np.diag([1.0, 2.0, 3.0]), np.diag([0.0, 2.0, 4.0])).tolist() == [1.0, 0.5, 0.0]
    assert next(iter(CHANGES)) == UNCHANGED
    with pytest.raises(InputError, match="constant-Q"):
        by_changes(phalar.build("mel").eval())
