"""Stems that come late: what must be exact is exact, and what is measured is what a slow reading of the rule gives."""

import cmath
import copy
import itertools
import json
import math
import re

import nbformat
import numpy as np
import pytest
import torch
from music import RATE, in_memory

from phalar.errors import InputError
from phalar.evaluate import rotation
from phalar.evaluate.rotation import ALIASES, KINDS, STEP, Excerpt
from phalar.model.frontend import decibels
from phalar.paths import repository
from phalar.study import media

SHORT = 80_000  # samples of 5 s


def piece(stems=3, seconds=16.0, silent=()):
    """Half a second a beat, four to the bar."""
    waves = np.random.default_rng(5).uniform(-0.3, 0.3, (stems, round(seconds * RATE))).astype(np.float32)
    waves[list(silent)] = 0
    times = np.arange(0, seconds, 0.5)
    beats = np.column_stack([times, np.arange(len(times)) % 4 + 1])
    return in_memory(waves, beats=beats)


@pytest.fixture(scope="module")
def song():
    """Two stems that beat twice a second in bars of two, with an awkward title."""
    time = np.arange(9 * RATE) / RATE
    waves = [0.3 * np.exp(-8 * (time % 0.5)) * np.sin(2 * np.pi * pitch * time) for pitch in (220, 330)]
    beats = np.column_stack([np.arange(18) / 2, np.arange(18) % 2 + 1])
    tags = {"title": "</script><b>Tom & Jerry</b>", "roles": ["bass", "lead"]}
    return in_memory(waves, "piece", stems=("tuba", "flute"), tags=tags, beats=beats)


def test_excerpts_begin_at_a_downbeat_and_a_delayed_stem_is_what_was_played_that_much_earlier():
    excerpt, again = rotation.choose(piece(), 5.0), rotation.choose(piece(), 5.0)
    assert (again.stem, again.start, excerpt.bar) == (excerpt.stem, excerpt.start, 4)
    assert np.allclose(excerpt.late, np.arange(9) * 0.5)
    assert excerpt.start / RATE % 2.0 == 0
    assert excerpt.start >= 4 * RATE
    waves, shifts = excerpt.track.audio.waves, np.array([0, 1, 777, round(excerpt.late[-1] * RATE)])
    for shift, wave in zip(shifts, excerpt.delayed(shifts), strict=True):
        assert np.array_equal(wave, waves[excerpt.stem, excerpt.start - shift :][: excerpt.length])
    assert np.array_equal(excerpt.by_steps(3)[::3], np.arange(len(excerpt.by_steps(1))) * STEP)
    assert excerpt.late[-1] * RATE - STEP < excerpt.by_steps(3)[-1] <= excerpt.late[-1] * RATE
    uneven = Excerpt(piece(), 0, SHORT, SHORT, np.array([0.0, 0.7, 1.2, 1.6, 2.4]))
    assert uneven.by_beats(2)[1][[2, 3, 4, 6, 8]] / RATE == pytest.approx([0.7, 0.95, 1.2, 1.6, 2.4], abs=1e-4)
    others = [i for i in range(3) if i != excerpt.stem]
    assert np.allclose(excerpt.mix(), waves[others, excerpt.start : excerpt.start + excerpt.length].sum(axis=0))


def test_a_stem_that_rests_is_not_moved():
    for resting in range(3):
        assert rotation.choose(piece(silent=[resting]), 5.0).stem != resting
    assert rotation.choose(piece(silent=[0, 1]), 5.0) is None
    with pytest.raises(InputError, match="two bars"):
        rotation.choose_all([piece(seconds=6.0)], 1, 5.0)


def slow_motion(way, seconds, speeds):
    """(winding, arc, spread, R² at the own frequency, best R², kind) of one trajectory, by loops over plain numbers."""
    angle, angles, turns = cmath.phase(way[0]), [cmath.phase(way[0])], 0.0
    for before, after in itertools.pairwise(way):
        step = math.remainder(cmath.phase(after) - cmath.phase(before), 2 * math.pi)
        turns, angle = turns + step, angle + step
        angles.append(angle)
    arc = min(1.0, (max(angles) - min(angles)) / (2 * math.pi))
    mean = sum(abs(z) for z in way) / len(way)
    spread = math.sqrt(sum((abs(z) - mean) ** 2 for z in way) / len(way)) / mean

    def r2(frequency):
        ramp = [cmath.exp(-2j * math.pi * frequency * s) for s in seconds]
        amplitude = sum(z * r.conjugate() for z, r in zip(way, ramp, strict=True)) / len(way)
        missed = sum(abs(z - amplitude * r) ** 2 for z, r in zip(way, ramp, strict=True))
        return 1 - missed / sum(abs(z) ** 2 for z in way)

    best, own = max((r2(speed + n / 0.32), speed) for speed in speeds for n in ALIASES)
    kind = "rotates" if best >= 0.5 and best > r2(0) else "magnitude-only" if arc < 0.5 else "wanders"
    return turns / (2 * math.pi), arc, spread, r2(own), best, kind


@pytest.fixture(scope="module")
def seen(stirred, song):
    """An excerpt, its shifts, what the network made of them, and the scores."""
    excerpt = rotation.choose(song, 3.0)
    shifts = excerpt.by_steps(2)
    model = stirred("phalar")
    return excerpt, shifts, rotation.trace(model, excerpt.delayed(shifts)), rotation.scores(model, excerpt, shifts)


@pytest.mark.parametrize("place", [(0, 0), (17, 3), (79, 7), (200,), (511,)])
def test_features_by_brute_force(seen, place):
    excerpt, shifts, trace, _ = seen
    z = (trace.pooled if len(place) == 2 else trace.embedding).numpy()
    motion, seconds = rotation.motion(z, shifts / RATE, excerpt.length), (shifts / RATE).tolist()
    period = rotation.period(excerpt.length) / RATE
    speeds = [(place[1] + 1) / period] if len(place) == 2 else [k / period for k in range(1, 9)]
    expected = slow_motion([complex(v) for v in z[(slice(None), *place)]], seconds, speeds)
    found = [float(motion[name][place]) for name in ("winding", "arc", "spread", "own", "best")]
    assert found == pytest.approx(expected[:5], abs=1e-6)
    assert KINDS[motion["kind"][place]] == expected[5]


@pytest.mark.parametrize(("alias", "k"), [(0, 1), (0, 8), (-1, 3), (1, 5)])
def test_a_uniform_rotation_rotates_at_its_own_frequency_or_an_alias(alias, k):
    seconds, speed = np.arange(38) * 0.32 / 3, k / 6.08 + alias / 0.32
    z = np.zeros((38, 1, 8), complex)
    z[:, 0, k - 1] = (2 - 1j) * np.exp(-2j * np.pi * speed * seconds)
    motion = {name: values[0, k - 1] for name, values in rotation.motion(z, seconds, SHORT).items()}
    assert KINDS[motion["kind"]] == "rotates"
    assert motion["best"] == pytest.approx(1, abs=1e-9)
    assert motion["winding"] == pytest.approx(-speed * seconds[-1], abs=1e-6)
    assert not alias or motion["own"] < 0.1
    assert motion["strict"] == (alias == 0), "the rule fixed first knows no aliases"


def test_the_null_is_as_smooth_and_turns_no_way_in_particular():
    seconds = np.arange(57) * 0.32 / 3
    one_way = 0.5 + np.exp(-2j * np.pi * 2 / 6.08 * seconds)[:, None] * np.ones((1, 2000))
    made = rotation.smooth_null(one_way, np.random.default_rng(0))
    assert made.mean(axis=0) == pytest.approx(one_way.mean(axis=0))
    power = [(np.abs(np.diff(z, n=n, axis=0)) ** 2).mean() for z in (one_way, made) for n in (0, 1)]
    assert power[2:] == pytest.approx(power[:2], rel=0.15), "size and speed"
    turned = [abs(rotation.winding(z)).mean() for z in (one_way - 0.5, made)]
    assert turned[1] < 0.6 * turned[0]
    ways = rotation.steadiness(made, seconds, 2 / 6.08), rotation.steadiness(made, seconds, -2 / 6.08)
    assert ways[0].mean() == pytest.approx(ways[1].mean(), rel=0.1)


@pytest.fixture(scope="module")
def page():
    """Functions of the notebook."""
    names = {"rotation": rotation, "media": media, "np": np, "RATE": 16_000, "copy": copy, "torch": torch}
    names |= {"pad": torch.nn.functional.pad, "decibels": decibels}
    for cell in nbformat.read(repository() / "notebooks" / "rotation.ipynb", as_version=4).cells:
        if cell.source.startswith(("def strongest", "def examples", "def wrapped")):
            exec(cell.source, names)
    return names


def test_at_whole_steps_a_loop_without_borders_is_exact_and_between_them_it_is_not(stirred, music, page):
    model, shifts = stirred("phalar"), [0, STEP, 13 * STEP, STEP // 2]
    wave = music(1, 7.0)[0, : 20 * STEP].numpy()
    trace = rotation.trace(page["wrapped"](model), np.stack([np.roll(wave, s) for s in shifts]))
    for truth, twin in zip(trace, rotation.turned(model, trace.pooled[0], shifts, len(wave) - 160), strict=True):
        error = np.sqrt(1 - rotation.explained(truth, twin).clip(max=1))
        assert error[:3].max() < 1e-3  # float32 through ten blocks
        assert error[3] > 0.1


@pytest.mark.parametrize("name", ["gap", "cocola"])
def test_a_model_without_phases_is_refused(stirred, name):
    with pytest.raises(InputError, match=name):
        rotation.trace(stirred(name), np.zeros((1, SHORT)))


def test_the_interactive_pieces_hold_the_measured_numbers_and_nothing_breaks_out(seen, song, page):
    excerpt, shifts, trace, scores = seen
    pooled, embedding, wave = trace.pooled.numpy(), trace.embedding.numpy(), song.excerpt(0, 20 * STEP)[0]
    text = media.fragment("piece", page["piece_data"](excerpt, shifts, trace, scores))
    data = json.loads(re.search(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[1])
    assert data["title"] == song.tags["title"]
    assert np.allclose(data["scores"], scores, atol=1e-3)
    for dial in data["dials"]:
        z = dial["scale"] * (np.array(dial["re"]) + 1j * np.array(dial["im"]))
        name, number = dial["label"].split()
        i = int(number) - 1
        way = pooled[:, page["strongest"](pooled)[i], i] if name == "component" else embedding[:, i]
        assert np.abs(z - way).max() < 1e-3 * dial["scale"]
    clocks = media.fragment("clocks", page["clocks_data"](wave, pooled))
    for each in (text, clocks, media.fragment("loop", {}), media.fragment("plane", {})):
        assert each.count("<script") == each.count("</script>") == 2
        assert "://" not in each
        assert not re.search(r"\b(fetch|import|XMLHttpRequest)\s*\(", each)
        assert not [a for a in re.findall(r"""(?:src|href)=["']([^"']*)""", each) if not a.startswith(("#", "data:"))]
