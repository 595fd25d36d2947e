"""What the rotation page shows is what was measured: kept work, records, and the numbers inside the moving pieces."""

import json
import re
from dataclasses import fields

import numpy as np
import pytest
from music import RATE

from phalar.datasets.store import StoredAudio
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import rotation
from phalar.evaluate.rotation import KINDS, Motion, Moved
from phalar.study import interactive, rotation_study
from phalar.study.media import is_local


@pytest.fixture(scope="module")
def track(tmp_path_factory):
    """Two stems that beat twice a second in bars of two, with an awkward title."""
    time = np.arange(9 * RATE) / RATE
    waves = [0.3 * np.exp(-8 * (time % 0.5)) * np.sin(2 * np.pi * pitch * time) for pitch in (220, 330)]
    file = tmp_path_factory.mktemp("rotation") / "piece.npy"
    np.save(file, np.round(np.stack(waves) * 32768).astype(np.int16))
    beats = np.column_stack([np.arange(18) / 2, np.arange(18) % 2 + 1])
    tags = {"title": "</script><b>Tom & Jerry</b>", "roles": ["bass", "lead"]}
    audio = StoredAudio(file, (2, len(time)))
    return Track("piece", "chorales", "test", ("tuba", "flute"), RATE, len(time), audio, tags=tags, beats=beats)


@pytest.fixture(scope="module")
def shown(track, stirred):
    """An excerpt, its shifts, what the network made of them, and the scores."""
    excerpt = rotation.choose(track, 3.0)
    shifts = rotation.by_steps(excerpt, 2)
    model = stirred("phalar")
    return excerpt, shifts, rotation.trace(model, excerpt.delayed(shifts)), rotation.scores(model, excerpt, shifts)


def inside(fragment):
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', fragment, re.DOTALL)[1])


def test_the_interactive_piece_holds_the_measured_numbers(shown):
    excerpt, shifts, seen, scores = shown
    data = inside(interactive.fragment("piece", interactive.piece_data(excerpt, shifts, seen, scores)))
    assert np.allclose(data["seconds"], shifts / RATE, atol=1e-3)
    assert np.allclose(data["scores"], scores, atol=1e-3)
    pooled, embedding = seen.pooled.numpy(), seen.embedding.numpy()
    assert [dial["label"] for dial in data["dials"][:8]] == [f"component {k}" for k in range(1, 9)]
    motion = rotation.motion(pooled, shifts / RATE, excerpt.length, pooled=True)
    for dial in data["dials"]:
        z = dial["scale"] * (np.array(dial["re"]) + 1j * np.array(dial["im"]))
        name, number = dial["label"].split()
        if name == "component":
            k = int(number) - 1
            d = np.abs(pooled[:, :, k]).mean(axis=0).argmax()
            assert np.abs(z - pooled[:, d, k]).max() < 1e-3 * dial["scale"]
            assert dial["kind"] == KINDS[motion.kind[d, k]]
            assert dial["r2"] == pytest.approx(motion.best[d, k], abs=1e-3)
        else:
            assert np.abs(z - embedding[:, int(number) - 1]).max() < 1e-3 * dial["scale"]


def test_the_sound_inside_the_piece_is_mix_and_stem(shown):
    import base64
    import io

    import soundfile

    excerpt, shifts, seen, scores = shown
    data = interactive.piece_data(excerpt, shifts, seen, scores)
    furthest = int(shifts[-1])
    line = excerpt.track.excerpt(excerpt.start - furthest, excerpt.length + furthest)[excerpt.stem]
    for name, wave in (("mix", excerpt.mix()), ("stem", line)):
        heard, rate = soundfile.read(io.BytesIO(base64.b64decode(data["sound"][name])))
        assert (rate, len(heard)) == (RATE, len(wave))
        assert np.corrcoef(heard, wave)[0, 1] > 0.95  # lossy, but in place and the right way up


def test_the_animation_turns_as_the_loop_does(stirred, track):
    wave = rotation_study.looped(track, 0, 0)
    assert wave.shape == (rotation.loop_length(20),)
    loops = rotation_study.heard_once(rotation.loop(wave, np.arange(8) * len(wave) // 8))
    pooled = rotation.trace(stirred("phalar"), loops).pooled.numpy()
    data = inside(interactive.fragment("clocks", interactive.clocks_data(wave, pooled)))
    for k, (dial, d) in enumerate(zip(data["dials"], rotation_study.strongest(pooled), strict=True)):
        z = dial["scale"] * (np.array(dial["re"]) + 1j * np.array(dial["im"]))
        assert np.abs(z - pooled[:, d, k]).max() < 1e-3 * dial["scale"]
        assert dial["turns"] == pytest.approx(round(dial["turns"]))  # a closed way goes round whole times


@pytest.mark.parametrize("name", ["piece", "clocks"])
def test_pieces_need_no_network_and_titles_cannot_break_out(shown, track, name):
    excerpt, shifts, seen, scores = shown
    wave = rotation_study.looped(track, 0, 0)
    data = {
        "piece": lambda: interactive.piece_data(excerpt, shifts, seen, scores),
        "clocks": lambda: interactive.clocks_data(wave, seen.pooled.numpy()),
    }[name]()
    text = interactive.fragment(name, data)
    assert len(text) < 400_000
    assert text.count("<script") == text.count("</script>") == 2
    assert "://" not in text
    assert not re.search(r"\b(fetch|import|XMLHttpRequest)\s*\(", text)
    assert not [a for a in re.findall(r"""(?:src|href)=["']([^"']*)""", text) if is_local(a) or "//" in a]
    assert "/*DA" not in text
    assert "/*DI" not in text
    if name == "piece":
        assert inside(text)["title"] == track.tags["title"]
        assert '<input type="range"' in text


def moved(kind, chance=0.0):
    """Results in which a given share of features rotates and the others wander."""
    made = []
    for shape in ((80, 8), (512,)):
        flat = np.full(int(np.prod(shape)), 2)
        flat[: round(kind * flat.size)] = 0
        arrays = {f.name: np.zeros(shape) for f in fields(Motion)} | {"kind": flat.reshape(shape)}
        made.append(Motion(**arrays))
    return Moved(*made, whole=kind, all=0.0, chance=chance)


def test_records_hold_means_intervals_and_paired_differences(shown):
    excerpt = shown[0]
    rng = np.random.default_rng(1)
    trained = [moved(0.6 + 0.1 * rng.random()) for _ in range(12)]
    untrained = [moved(0.2 + 0.1 * rng.random()) for _ in range(12)]
    found = rotation_study.records({"trained": trained, "untrained": untrained}, [excerpt] * 12, "hash", "cpu")
    by = {(r.variant, r.metric, r.split): r for r in found}
    assert len(by) == len(found)
    share = by["trained", "rotates share, pooled", "test"]
    assert share.value == pytest.approx(np.mean([(m.pooled.kind == 0).mean() for m in trained]))
    assert share.ci_low < share.value < share.ci_high
    assert share.n == 12
    difference = by["trained - untrained", "rotates share, pooled", "test"]
    other = by["untrained", "rotates share, pooled", "test"]
    assert difference.value == pytest.approx(share.value - other.value)
    assert difference.ci_low > 0
    assert by["trained", "rotates share, pooled", excerpt.instrument].value == pytest.approx(share.value)
    component = [by["trained", f"rotates share, component {k}", "test"].value for k in range(1, 9)]
    assert np.mean(component) == pytest.approx(share.value)


def test_records_by_training_step_are_shares_in_order(shown):
    by_steps = {36: [moved(0.0), moved(1.0)], 0: [moved(0.0), moved(0.0)]}
    records = rotation_study.records_by_steps(by_steps, [shown[0]] * 2, "name", "cpu")
    assert [(r.steps, r.metric.rpartition(" ")[2], r.value) for r in records] == [
        (0, "pooled", 0.0), (0, "embedding", 0.0), (36, "pooled", 0.5), (36, "embedding", 0.5)
    ]  # fmt: skip
    assert {r.n for r in records} == {2}


def test_steps_are_those_that_the_weights_tell():
    assert rotation_study.steps_of("reference") > 0
    assert rotation_study.steps_of("/nowhere/else.safetensors") is None


def test_kinds_of_features_add_up_to_all(shown, stirred):
    one = rotation.measure(stirred("phalar"), shown[0])
    table = rotation_study.measures([one])
    for level in rotation_study.LEVELS:
        assert sum(table[f"{kind} share, {level}"][0] for kind in KINDS) == pytest.approx(1)
        assert table[f"uniform R2, {level}"] >= table[f"uniform R2 at own frequency, {level}"]


def test_what_was_measured_is_kept_and_read_back(shown, stirred, tmp_path, monkeypatch):
    monkeypatch.setenv("PHALAR_CACHE", str(tmp_path))
    model, excerpt = stirred("phalar"), shown[0]
    first = rotation_study.find_or_measure(model, [excerpt], "test", progress=False)[0]
    fresh = rotation.measure(model, excerpt)
    for level in rotation_study.LEVELS:
        for field in fields(Motion):
            kept, made = (getattr(getattr(m, level), field.name) for m in (first, fresh))
            assert np.allclose(kept, made, atol=1e-5)
    monkeypatch.setattr(rotation_study, "measure", None)  # nothing may be measured twice
    again = rotation_study.find_or_measure(model, [excerpt], "test", progress=False)[0]
    assert (again.whole, again.all, again.chance) == (first.whole, first.all, first.chance)


def test_weights_name_the_model(stirred):
    from phalar.model.assembly import build

    assert rotation_study.weights(build("phalar", seed=0)) == rotation_study.weights(build("phalar", seed=0))
    assert rotation_study.weights(build("phalar", seed=0)) != rotation_study.weights(stirred("phalar"))


def test_turning_power_finds_the_speed_and_the_alias():
    late = np.arange(160) / 160
    pooled = np.zeros((160, 2, 8), complex)
    for k in range(1, 9):
        pooled[:, 0, k - 1] = np.exp(-2j * np.pi * k * late)
        pooled[:, 1, k - 1] = np.sqrt(3) * np.exp(-2j * np.pi * (k - 20) * late)
    frequency, power = rotation_study.turning_power(pooled, 6.4)
    assert power.sum(axis=1) == pytest.approx(np.ones(8))
    shares = rotation_study.by_alias(frequency, power, 6.4)
    assert shares == pytest.approx({-2: 0, -1: 0.75, 0: 0.25, 1: 0, 2: 0}, abs=1e-9)


def test_models_to_compare_are_found_or_left_out_with_a_word():
    found, absent = rotation_study.find_models(["plain=cosine", "gap=nowhere.safetensors"])
    assert list(found) == ["plain"]
    assert "nowhere.safetensors" in absent["gap"]
    with pytest.raises(InputError, match="LABEL=MODEL"):
        rotation_study.find_models(["gap"])


def test_a_study_of_nothing_is_refused():
    with pytest.raises(InputError, match="excerpts=0"):
        rotation_study.excerpts_of(["band"], 0)


def test_a_loop_has_no_seam(track):
    wave = rotation_study.looped(track, 100, 0)
    assert abs(wave[0] - wave[-1]) <= np.abs(np.diff(wave)).max()
