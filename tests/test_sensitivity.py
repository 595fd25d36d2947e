"""What a score minds: stems transposed in the picture, stems that come late, and models that must mind just one."""

import dataclasses

import librosa
import numpy as np
import pytest
import torch

import phalar
from phalar.datasets.pairs import Pair
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import sensitivity
from phalar.evaluate.sensitivity import Change, changed_scores, late, preferred, transposed

RATE = 16_000


class Sounds:
    """Audio of a track that lies in memory."""

    def __init__(self, stems):
        self.stems = stems

    def read(self, start, stop):
        return self.stems[:, start:stop]


def note(midi, seconds=12.0):
    time = np.arange(round(seconds * RATE)) / RATE
    pitch = librosa.midi_to_hz(midi)
    return sum(np.sin(2 * np.pi * k * pitch * time) / k for k in (1, 2, 3)).astype(np.float32) / 4


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return phalar.build("phalar").eval()


@pytest.fixture(scope="module")
def pairs():
    rng = np.random.default_rng(0)
    found = []
    for i in range(3):
        stems = (0.1 * rng.standard_normal((2, 8 * RATE))).astype(np.float32)
        track = Track(f"t{i}", "tiny", "test", ("a", "b"), RATE, 8 * RATE, audio=Sounds(stems))
        found.append(Pair(track, i * RATE // 8, 5 * RATE, (0,), (1,)))
    return found


@pytest.mark.parametrize("semitones", [-12, -1, 3, 12])
def test_a_transposed_picture_is_the_picture_of_the_transposed_note(model, semitones):
    played = model.picture(torch.from_numpy(note(60)[None]))
    higher = model.picture(torch.from_numpy(note(60 + semitones)[None]))
    moved = transposed(played, semitones)
    inside = slice(15, -15)
    distance = (moved - higher)[:, inside].abs().mean()
    assert distance < 0.2 * (played - higher)[:, inside].abs().mean()


def test_what_leaves_the_picture_is_lost_and_its_floor_comes_in():
    picture = torch.rand(2, 96, 4) + 1
    for n in (1, 5):
        up, down = transposed(picture, n), transposed(picture, -n)
        assert torch.equal(up[:, n:], picture[:, :-n])
        assert torch.equal(down[:, :-n], picture[:, n:])
        lowest = picture.amin(dim=(1, 2), keepdim=True)
        assert torch.equal(up[:, :n], lowest.expand(2, n, 4))
        assert torch.equal(down[:, -n:], lowest.expand(2, n, 4))
    assert torch.equal(transposed(picture, 0), picture)
    with pytest.raises(InputError, match="96 bins"):
        transposed(picture, -96)


def test_a_late_stem_sounds_later(pairs):
    pair = pairs[2]
    shift = RATE // 8
    before, after = pair.audio()[1], late(pair, 0.125).audio()[1]
    assert np.array_equal(after[shift:], before[:-shift])
    early = late(pairs[0], 0.125).audio()[1]  # there is nothing before its start
    assert np.array_equal(early[:-shift], pairs[0].audio()[1][shift:])
    with pytest.raises(InputError, match="0 or more"):
        late(pair, -1.0)
    with pytest.raises(InputError, match="shorter delay"):
        late(pair, 9.0)


def test_scores_are_those_of_the_changed_stems_one_by_one(model, pairs):
    changes = (Change(), Change(semitones=2), Change(seconds=0.1), Change(semitones=-1, seconds=0.1))
    found = changed_scores(model, pairs, changes, batch_size=2)
    assert list(found) == ["as it was", "+2 semitones", "0.1 s late", "-1 semitone, 0.1 s late"]
    with torch.no_grad():
        for change in changes:
            for i, anchor in enumerate(pairs):
                for j, positive in enumerate(pairs):
                    x = model.encode(torch.from_numpy(anchor.audio()[:1]))
                    wave = late(positive, change.seconds).audio()[1:]
                    y = model.encode_picture(transposed(model.picture(torch.from_numpy(wave)), change.semitones))
                    assert found[change.name][i, j] == pytest.approx(float(model.similarity(x, y)), abs=1e-4)


def test_preferred_counts_ties_as_half():
    own, moved = np.diag([1.0, 2.0, 3.0]), np.diag([0.0, 2.0, 4.0])
    assert preferred(own, moved).tolist() == [1.0, 0.5, 0.0]


def test_other_pictures_are_refused(pairs):
    with pytest.raises(InputError, match="constant-Q"):
        changed_scores(phalar.build("mel").eval(), pairs)


def test_names_of_changes_are_all_different():
    names = [change.name for change in sensitivity.CHANGES]
    assert len(set(names)) == len(names)
    assert names[0] == "as it was"
    assert dataclasses.replace(Change(), semitones=1).name == "+1 semitone"
