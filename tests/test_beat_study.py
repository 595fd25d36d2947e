"""Beats as records: which pieces, what is kept, and what the command line is told."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
from music import invent_track

from phalar import corpora
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate.metronomes import metronome
from phalar.study import beat_study, beat_tables, media, results
from phalar.study.beat_study import Heard, Listener, evaluate_beats, gtzan, halves, hear, hear_others, records, report


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of beats that starts empty, and a ruler of two tempi that is made in a second."""
    monkeypatch.setattr(beat_study, "paths", type("paths", (), {"cache": staticmethod(lambda: tmp_path)}))
    make = beat_study.sliding_ruler
    monkeypatch.setattr(beat_study, "sliding_ruler", lambda model: make(model, (90.0, 130.0), shift=0.2))
    return tmp_path


def tracks(tmp_path, count=3, genres=("blues", "rock")):
    beats = np.column_stack([np.arange(0.5, 6, 0.5), np.ones(11)])
    return [
        replace(invent_track(tmp_path, i), beats=beats, tags={"genre": genres[i % len(genres)]}) for i in range(count)
    ]


def heard(pieces, *f1, variant="phalar"):
    other = dict.fromkeys(("f1_trimmed", "cmlc", "cmlt", "amlc", "amlt"), 0.5)
    scores = {track.id: {"f1": value, **other} for track, value in zip(pieces, f1, strict=True)}
    return Heard(variant, {track.id: np.arange(3.0) for track in pieces}, scores, 1.5)


def test_records_hold_every_score_of_every_part_and_what_training_adds(tmp_path):
    pieces = tracks(tmp_path, 4)
    parts = {"straight": pieces[:2], "test": pieces}
    made = records(heard(pieces, 0.9, 0.8, 0.4, 0.6), parts, heard(pieces, 0.2, 0.2, 0.3, 0.1, variant="untrained"))
    table = results.frame(made)
    main = table[(table["experiment"] == "beats") & (table["split"] == "test")].set_index("metric")
    assert set(main.index) == {*beat_study.METRICS, "f1_minus_untrained"}
    assert main.loc["f1", "value"] == pytest.approx(0.675)
    assert main.loc["f1", "ci_low"] < 0.675 < main.loc["f1", "ci_high"]
    assert main.loc["f1_minus_untrained", "value"] == pytest.approx(0.475)
    assert main.loc["f1_minus_untrained", "ci_low"] > 0
    assert set(main["n"]) == {4}
    genres = table[table["experiment"] == "beats by genre"].set_index("split")["value"]
    assert genres["test, blues"] == pytest.approx((0.9 + 0.4) / 2)
    assert genres["straight, rock"] == pytest.approx(0.8)
    assert "f1_minus_untrained" not in {r.metric for r in records(heard(pieces, 1, 1, 1, 1), parts)}
    assert report(made).splitlines()[0].split()[:3] == ["straight", "f1", "85.0"]


def test_the_table_names_stand_ins_and_puts_the_papers_number_beside_its_own_decoding(tmp_path):
    pieces = [replace(track, dataset="beats") for track in tracks(tmp_path)]
    made = []
    for variant in ("phalar", "phalar as published"):
        made += records(heard(pieces, 1, 0, 0.5, variant=variant), {"straight": pieces})
    text = beat_tables.beats_markdown(results.frame(made), ["beats", "gtzan"])
    assert "*beats* is a stand-in for GTZAN" in text
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if "zero-shot" in line]
    assert [(row[0], row[3]) for row in rows] == [("beats (stand-in)", "–")] * 2 + [("GTZAN", "62.7")]
    assert rows[0][4].startswith("50.0 [")
    assert rows[2][4] == "·", "GTZAN was not run"


@pytest.mark.parametrize(
    ("difference", "said"),
    [((0.3, 0.1, 0.5), "excludes zero"), ((0.1, -0.1, 0.3), "does not show"), ((-0.3, -0.5, -0.1), "takes away")],
)
def test_what_training_adds_is_said_as_it_came_out(difference, said):
    assert said in beat_tables.verdict(difference)


def test_tempo_and_drift_of_beats():
    assert beat_tables.tempo_of(np.arange(0, 5, 0.5)) == pytest.approx(120)
    assert np.isnan(beat_tables.tempo_of(np.array([1.0])))
    assert beat_tables.drift_of(np.arange(0, 5, 0.5)) == pytest.approx(0, abs=1e-9)
    assert beat_tables.drift_of(np.array([0, 1, 1.5])) == pytest.approx(1 / 3)


def test_what_a_model_heard_is_kept_by_weights_and_sound(cache, tmp_path, stirred, monkeypatch):
    pieces, model = tracks(tmp_path, 2), stirred("phalar")
    first = hear("phalar", pieces, Listener(model).beats, progress=False)
    assert all(len(beats) for beats in first.beats.values())
    calls = []
    monkeypatch.setattr(beat_study, "encode_windows", lambda *a: calls.append(a))
    monkeypatch.setattr(beat_study, "sliding_ruler", lambda *a: calls.append(a))
    again = hear("phalar", pieces, Listener(model).beats, progress=False)
    assert not calls, "ruler and windows were kept"
    assert all(np.array_equal(first.beats[name], again.beats[name]) for name in first.beats)
    assert first.among(pieces[::-1]) == [first.scores[pieces[1].id], first.scores[pieces[0].id]]
    other = replace(pieces[0], audio=pieces[1].audio)
    assert beat_study._sound(other) == beat_study._sound(pieces[1]) != beat_study._sound(pieces[0])
    assert Listener(stirred("hermitian")).weights != Listener(model).weights


def test_other_peoples_trackers_run_once(cache, tmp_path):
    pieces, calls = tracks(tmp_path, 2), []

    def tap(audio, rate):
        calls.append(rate)
        return np.arange(0.5, 6, 0.5)

    for _ in range(2):
        (found,) = hear_others(pieces, {"tap": tap}, progress=False)
        assert [score["f1"] for score in found.among(pieces)] == [1.0, 1.0]
    assert len(calls) == 2


def test_a_piece_without_a_beat_to_be_found_scores_nothing(cache, tmp_path, stirred):
    silent = replace(invent_track(tmp_path, 7, silent=(0, 1, 2)), beats=tracks(tmp_path)[0].beats)
    found = hear("phalar", [silent], Listener(stirred("phalar")).beats, progress=False)
    assert found.scores[silent.id]["f1"] == 0
    assert Listener(stirred("phalar")).beat_map(silent) is None
    assert len(Listener(stirred("phalar")).published_beats(silent)) == 0


def test_halves_take_genres_and_sounds_in_turn(monkeypatch, tmp_path):
    asked, one = {}, invent_track(tmp_path, 0)

    def load(name, split, limit, progress):
        asked["limit"] = limit
        casts = list(corpora.beats.castings().items())[:limit]
        return [replace(one, id=name, tags={"genre": cast.genre}) for name, cast in casts]

    monkeypatch.setattr(beat_study.corpora, "load", load)
    casts = corpora.beats.castings()
    for limit in (1, 10, 20):
        chosen = halves(limit)
        for half, found in chosen.items():
            names = [track.id for track in found]
            assert len(set(names)) == limit
            assert {casts[name].feel for name in names} == {half}
            if limit >= 10:
                genres, sounds = ([getattr(casts[name], what) for name in names] for what in ("genre", "sound"))
                assert len(set(genres[:10])) == 10
                assert sounds.count("soundfont") == limit // 2
    whole = halves()
    assert len(whole["straight"]) + len(whole["expressive"]) == len(casts) == asked["limit"]
    with pytest.raises(InputError, match="limit=-1"):
        halves(-1)


@pytest.fixture
def copy(tmp_path):
    """A copy of GTZAN with three clips: one annotated with bar positions, one with times alone, one not at all."""
    beats = tmp_path / "annotations"
    beats.mkdir()
    for genre, number in (("blues", 0), ("jazz", 3), ("reggae", 86)):
        folder = tmp_path / "genres" / genre
        folder.mkdir(parents=True)
        soundfile.write(folder / f"{genre}.{number:05d}.wav", metronome(120, 6.0, 0.25, "tick"), 16_000)
    times = np.arange(0.25, 6, 0.5)
    (beats / "gtzan_blues_00000.beats").write_text("".join(f"{t:.3f}\t{i % 4 + 1}\n" for i, t in enumerate(times)))
    (beats / "gtzan_jazz_00003.beats").write_text("".join(f"{t:.3f}\n" for t in times))
    return tmp_path / "genres", beats


def test_gtzan_is_scored_where_it_has_beats_and_says_what_it_leaves_out(cache, copy, stirred, monkeypatch):
    with pytest.warns(PhalarWarning, match=r"2 clips are scored.*reggae\.00086"):
        found = gtzan(*copy)
    assert [track.id for track in found] == ["blues.00000", "jazz.00003"]
    monkeypatch.setattr(beat_study, "resolve_model", lambda name: stirred("phalar"))
    with pytest.warns(PhalarWarning, match="reggae"):
        made = evaluate_beats("reference", gtzan_root=copy[0], annotations=copy[1], progress=False)
    main = [record for record in made if record.experiment == "beats"]
    assert {(r.dataset, r.split, r.variant, r.n) for r in main} == {("gtzan", "test", "phalar", 2)}
    assert made[0].metric == "f1"


def test_a_request_that_cannot_be_met_is_refused(copy, tmp_path):
    for arguments in ({}, {"corpus": "beats", "gtzan_root": copy[0]}):
        with pytest.raises(InputError, match="either the corpus"):
            evaluate_beats("phalar", **arguments)
    with pytest.raises(InputError, match="'band' is not one"):
        evaluate_beats("phalar", corpus="band")
    with pytest.raises(InputError, match="--annotations"):
        evaluate_beats("phalar", gtzan_root=copy[0])
    with pytest.raises(InputError, match="nowhere"):
        evaluate_beats("phalar", gtzan_root=tmp_path / "nowhere", annotations=copy[1])
    with pytest.raises(InputError, match="limit=-2"):
        evaluate_beats("phalar", corpus="beats", limit=-2)
    with pytest.raises(InputError, match="no such checkpoint"):
        evaluate_beats("nothing", gtzan_root=copy[0], annotations=copy[1])


def test_two_channels_are_saved_as_left_and_right(tmp_path):
    time = np.arange(200_000) / 16_000
    left, right = 0.5 * np.sin(2 * np.pi * 440 * time), 2.0 * np.sin(2 * np.pi * 1000 * time)
    back, rate = soundfile.read(media.save_audio(tmp_path / "both.ogg", np.stack([left, right]), 16_000))
    assert (rate, back.shape) == (16_000, (200_000, 2))
    assert [int(np.abs(np.fft.rfft(channel)).argmax() * 16_000 / 200_000 + 0.5) for channel in back.T] == [440, 1000]
    assert np.abs(back[:, 1]).max() == pytest.approx(0.99, abs=0.15)
    assert np.abs(back[:, 0]).max() == pytest.approx(0.25, abs=0.05), "both channels are scaled alike"
    assert metronome(60, 1.0).ndim == 1
