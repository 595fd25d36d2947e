"""The study of chords on a few invented recordings: frames are kept and found, records say what was measured."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import soundfile

from phalar import corpora
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate import chord_frames
from phalar.study import chord_study
from phalar.study.chord_study import ChordStudy, Setting, Windows

SECONDS = 9.0


@dataclass(frozen=True)
class Sound:
    samples: np.ndarray

    def read(self, start, stop):
        return self.samples[None, start:stop]


def recording(player: str, progression: str, keys: list[tuple[int, str]]) -> Track:
    """Three seconds of each triad, struck again every half second; ``player`` is an octave."""
    t = np.arange(round(SECONDS / len(keys) * 16_000)) / 16_000
    parts, spans = [], []
    for k, (root, mode) in enumerate(keys):
        notes = [root, root + (4 if mode == "maj" else 3), root + 7]
        octave = 48 + 12 * (player == "high")
        tone = sum(np.sin(2 * np.pi * 440 * 2 ** ((octave + n - 69) / 12) * t) for n in notes)
        parts.append(tone * np.exp(-4 * (t % 0.5)))
        name = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")[root]
        spans.append((3.0 * k, 3.0 * (k + 1), f"{name}:{mode}"))
    samples = (np.concatenate(parts) / 4).astype(np.float32)
    return Track(
        id=f"{player}_{progression}",
        dataset="invented",
        split="test",
        stems=("hands",),
        sample_rate=16_000,
        num_samples=len(samples),
        audio=Sound(samples),
        tags={"player": player, "progression": progression, "piece": progression},
        chords=tuple(spans),
    )


SHEETS = {
    "a": [(0, "maj"), (5, "maj"), (7, "maj")],
    "b": [(7, "maj"), (0, "maj"), (5, "maj")],
    "c": [(5, "maj"), (7, "maj"), (0, "maj")],
}


@pytest.fixture
def invented(tmp_path, monkeypatch):
    tracks = [recording(player, name, sheet) for player in ("low", "high") for name, sheet in SHEETS.items()]
    monkeypatch.setattr(corpora, "load", lambda name, split, progress: list(tracks))
    monkeypatch.setattr(corpora, "version", lambda name: "invented-1")
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    return tracks


def study(model, **settings):
    return ChordStudy("invented", {"phalar": model}, **({"hop": 1.0, "device": "cpu", "progress": False} | settings))


def test_windows_of_a_study_are_those_of_its_recordings_with_their_labels(invented):
    windows = Windows.over(invented, 1.0)
    assert np.bincount(windows.recording).tolist() == [4] * 6
    assert len(set((windows.starts % 16_000).tolist())) == 6, "each recording's windows begin at moments of their own"
    for moment, later in (("start", 0.0), ("centre", 2.5)):
        assert np.allclose(windows.times(moment), windows.starts / 16_000 + later)
        for i, time, label in zip(windows.recording, windows.times(moment), windows.labels(moment), strict=True):
            assert label == invented[i].chords[int(time // 3)][2]


def test_frames_are_made_once_and_found_again(invented, stirred, monkeypatch):
    made, original = [], chord_frames.pooled_windows
    monkeypatch.setattr(chord_frames, "pooled_windows", lambda *a, **k: made.append(1) or original(*a, **k))
    model = stirred("phalar")
    first = study(model, recordings=3).features(Setting("phalar"))
    assert len(made) == 3
    again = study(model, recordings=3).features(Setting("phalar"))
    assert len(made) == 3
    assert (first == again).all()
    everything = study(model).features(Setting("phalar"))
    assert len(made) == 6, "the other three only"
    assert everything.shape == (24, 512)
    study(model, hop=4.0).features(Setting("phalar"))
    assert len(made) == 12, "another hop is other windows"
    windows = study(model).windows
    start, audio = windows.starts[6], chord_frames.mixture(windows.tracks[windows.recording[6]])
    direct = model.embed(audio[None, start : start + chord_frames.WINDOW], 16_000)[0].numpy()
    assert np.abs(everything[6] - direct).max() < 1e-4 * np.abs(direct).max()


def test_records_say_what_was_measured_on_what(invented, stirred):
    one = study(stirred("phalar"))
    records = one.records(Setting("chroma", folds="player"))
    by_metric = {record.metric: record for record in records}
    assert set(by_metric) == {"accuracy", "balanced_accuracy", "root", "majmin", "thirds", "outside_vocabulary"}
    accuracy = by_metric["accuracy"]
    assert (accuracy.experiment, accuracy.dataset, accuracy.variant, accuracy.n) == ("chords", "invented", "chroma", 6)
    assert accuracy.split == "majmin, label at start, folds by player, real part"
    assert accuracy.value > 0.9, "pure triads are easily read off their chroma"
    assert by_metric["outside_vocabulary"].value == 0
    hashes = {
        record.config_hash for setting in (Setting("chroma"), Setting("mean CQT")) for record in one.records(setting)
    }
    assert len(hashes) == 2
    ceiling = {record.metric: record.value for record in one.ceiling_records()}
    assert all(0 < value <= 1 for value in ceiling.values())
    assert by_metric["majmin"].value == pytest.approx(ceiling["majmin"])


def test_labels_that_have_no_class_are_counted(invented, stirred):
    one = study(stirred("phalar"))
    object.__setattr__(one.tracks[0], "chords", ((0.0, 2.0, "C:hdim7"), (2.0, SECONDS, "C:maj")))
    lost = int(np.sum(one.windows.starts[one.windows.recording == 0] < 2 * 16_000))
    assert one.outside(Setting("chroma")) == {"C:hdim7": lost}
    share = [r.value for r in one.records(Setting("chroma")) if r.metric == "outside_vocabulary"]
    assert share == [pytest.approx(lost / 24)]


def test_other_windows_are_named_by_the_probe_that_did_not_learn_from_their_recording(invented, stirred):
    one = study(stirred("phalar"))
    setting = Setting("chroma", folds="recording")
    same = one.predict(setting, one.windows)
    predicted = one.probe(setting).predicted
    assert [chord_study.chord_labels.vocabulary("majmin").classes[k] for k in predicted] == same
    finer = Windows.over(one.tracks[:2], 0.5)
    assert len(one.predict(setting, finer)) == len(finer.starts)


def test_components_are_shown_instead_of_the_embedding(invented, stirred):
    one = study(stirred("phalar"), recordings=2)
    assert one.features(Setting("phalar", components=(2,))).shape == (8, 80)
    assert one.features(Setting("phalar", components=(1, 2, 3))).shape == (8, 240)


def test_a_model_gets_lines_for_all_folds_readings_moments_and_vocabularies():
    for is_complex in (True, False):
        lines = chord_study.settings("phalar", is_complex)
        assert len(set(lines)) == len(lines)
        own = [line for line in lines if line.source == "phalar"]
        assert {line.folds for line in own} == {"recording", "player", "progression"}
        assert {line.vocabulary for line in own} == {"published", "majmin", "root", "sevenths"}
        assert {line.moment for line in own} == {"start", "centre"}
        readings = {"modulus", "[Re, Im]"} if is_complex else set()
        assert {line.probe for line in own} == {"as published", "real part"} | readings
        assert {line.source for line in lines} == {"phalar", "chroma", "mean CQT", "majority"}


def test_evaluate_gives_the_records_of_every_line(invented, monkeypatch):
    lines = [Setting("gap", "as published", "published", folds="player"), Setting("majority", "majority")]
    monkeypatch.setattr(chord_study, "settings", lambda source, is_complex: lines)
    records = chord_study.evaluate("gap", corpus="invented", hop=4.0, device="cpu", progress=False)
    assert {(record.variant, record.split) for record in records} == {(line.source, line.split) for line in lines}
    assert "published, label at start, folds by player, as published" in {record.split for record in records}
    assert {"accuracy", "accuracy_by_fold", "balanced_accuracy", "majmin"} <= {record.metric for record in records}


def test_recordings_are_chosen_the_same_way_and_a_larger_number_takes_more(invented):
    few, more = (chord_study.choose(invented, n) for n in (2, 4))
    assert {t.id for t in few} < {t.id for t in more}
    assert [t.id for t in more] == sorted(t.id for t in more)
    assert len(chord_study.choose(invented, 0)) == 6
    with pytest.raises(InputError, match="recordings=-1"):
        chord_study.choose(invented, -1)


def test_what_cannot_be_probed_is_refused(invented, stirred, monkeypatch, tmp_path):
    with pytest.raises(
        InputError, match="nothing is called 'gap' here; choose from phalar, chroma, mean CQT, majority"
    ):
        study(stirred("phalar")).features(Setting("gap"))
    with pytest.raises(InputError, match="nowhere"):
        chord_study.opened(tmp_path / "nowhere", progress=False)
    object.__setattr__(invented[0], "chords", None)
    with pytest.warns(PhalarWarning, match="1 of 6 recordings have no chords"):
        assert len(study(stirred("phalar")).tracks) == 5
    for track in invented:
        object.__setattr__(track, "chords", None)
    with pytest.raises(InputError, match="no recording of invented has chords"):
        study(stirred("phalar"))


def test_a_copy_of_guitarset_is_probed_from_its_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path / "cache"))
    for folder in ("annotation", "audio_mono-mic"):
        (tmp_path / folder).mkdir()
    for player, octave in (("00", "low"), ("01", "high")):
        for number, sheet in zip((1, 2, 3), SHEETS.values(), strict=True):
            track, title = recording(octave, "x", sheet), f"{player}_Rock{number}-120-C#_comp"
            soundfile.write(tmp_path / "audio_mono-mic" / f"{title}_mic.wav", track.excerpt()[0], 16_000)
            asked = [{"time": a, "duration": b - a, "value": label, "confidence": None} for a, b, label in track.chords]
            played = [dict(entry, value=entry["value"] + "7/1") for entry in asked]
            annotations = [
                {"namespace": "chord", "data": data, "annotation_metadata": {"data_source": source}, "sandbox": {}}
                for data, source in ((played, "Semi-automatic chord transcription"), (asked, ""))
            ]
            document = {"annotations": annotations, "file_metadata": {"duration": SECONDS}}
            (tmp_path / "annotation" / f"{title}.jams").write_text(json.dumps(document))
    name = chord_study.opened(tmp_path, progress=False)
    one = ChordStudy(name, {}, hop=1.0, device="cpu", progress=False)
    assert [len({track.tags[tag] for track in one.tracks}) for tag in ("player", "progression")] == [2, 3]
    assert set(one.windows.labels("start")) == {"C:maj", "F:maj", "G:maj"}, "the lead sheet's, not the notes'"
    for kind in ("recording", "player", "progression"):
        assert one.probe(Setting("chroma", folds=kind)).accuracy > 0.7
    assert chord_study.opened(tmp_path, progress=False) == name
