"""Stems that come late: what must be exact is exact, and what is measured is what a slow reading of the rule gives."""

import cmath
import itertools
import math

import numpy as np
import pytest
import torch

from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import rotation
from phalar.evaluate.rotation import ALIASES, BORDER, KINDS, STEP
from phalar.evaluate.rotation.shifting import Excerpt

RATE = 16_000
SHORT = 80_000  # samples of 5 s


class Held:
    """Audio in memory."""

    def __init__(self, waves):
        self.waves = waves

    def read(self, start, stop):
        return self.waves[:, start:stop]


def piece(stems=3, seconds=16.0, beat=0.5, bar=4, silent=()):
    rng = np.random.default_rng(5)
    waves = rng.uniform(-0.3, 0.3, (stems, round(seconds * RATE))).astype(np.float32)
    for stem, start, stop in silent:
        waves[stem, start:stop] = 0
    times = np.arange(0, seconds, beat)
    beats = np.column_stack([times, np.arange(len(times)) % bar + 1])
    return Track("one", "held", "test", tuple("abc"[:stems]), RATE, waves.shape[1], Held(waves), beats=beats)


def test_a_delayed_stem_is_what_was_played_that_much_earlier():
    track = piece()
    excerpt = rotation.choose(track, 5.0)
    shifts = np.array([0, 1, 777, round(excerpt.late[-1] * RATE)])
    for shift, wave in zip(shifts, excerpt.delayed(shifts), strict=True):
        earlier = track.audio.waves[excerpt.stem, excerpt.start - shift :][: excerpt.length]
        assert np.array_equal(wave, earlier)
    others = [i for i in range(3) if i != excerpt.stem]
    stop = excerpt.start + excerpt.length
    assert np.allclose(excerpt.mix(), track.audio.waves[others, excerpt.start : stop].sum(axis=0))


def test_excerpts_begin_at_a_downbeat_two_bars_in_and_are_the_same_each_time():
    excerpt = rotation.choose(piece(), 5.0)
    assert excerpt.bar == 4
    assert np.allclose(excerpt.late, np.arange(9) * 0.5)
    assert excerpt.start / RATE % 2.0 == 0
    assert excerpt.start >= 4 * RATE
    again = rotation.choose(piece(), 5.0)
    assert (again.stem, again.start) == (excerpt.stem, excerpt.start)


def test_a_stem_that_rests_is_not_moved():
    whole = round(16 * RATE)
    for resting in range(3):
        track = piece(silent=[(s, 0, whole) for s in range(3) if s not in (resting, (resting + 1) % 3)])
        assert rotation.choose(track, 5.0).stem in (resting, (resting + 1) % 3)
    assert rotation.choose(piece(silent=[(s, 0, whole) for s in (0, 1)]), 5.0) is None
    with pytest.raises(InputError, match="two bars"):
        rotation.choose_all([piece(seconds=6.0)], 1, 5.0)


def test_shifts_hit_every_step_and_every_beat():
    excerpt = rotation.choose(piece(), 5.0)
    steps = rotation.by_steps(excerpt, 3)
    assert np.array_equal(steps[::3], np.arange(len(steps[::3])) * STEP)
    assert excerpt.late[-1] * RATE - STEP < steps[-1] <= excerpt.late[-1] * RATE
    beats, samples = rotation.by_beats(excerpt, 6)
    assert np.allclose(samples[::6] / RATE, excerpt.late)
    assert np.allclose(beats[::6], np.arange(9))


def test_shifts_follow_beats_that_are_not_even():
    excerpt = Excerpt(piece(), 0, 80_000, 80_000, np.array([0.0, 0.7, 1.2, 1.6, 2.4]))
    _beats, samples = rotation.by_beats(excerpt, 2)
    assert np.allclose(samples[[2, 4, 6, 8]] / RATE, [0.7, 1.2, 1.6, 2.4])
    assert excerpt.bar == 2
    assert samples[3] == round((0.7 + 1.2) / 2 * RATE)


# The rule, read slowly: three features, one way through the plane each, no arrays.


def slow_motion(way, seconds, frequencies, own):
    """(winding, arc, spread, R² at the own frequency, best R², kind) of one trajectory, by loops over plain numbers."""
    angle, angles, turned = cmath.phase(way[0]), [cmath.phase(way[0])], 0.0
    for before, after in itertools.pairwise(way):
        step = cmath.phase(after) - cmath.phase(before)
        while step > math.pi:
            step -= 2 * math.pi
        while step < -math.pi:
            step += 2 * math.pi
        turned += step
        angle += step
        angles.append(angle)
    arc = min(1.0, (max(angles) - min(angles)) / (2 * math.pi))
    mean = sum(abs(z) for z in way) / len(way)
    spread = math.sqrt(sum((abs(z) - mean) ** 2 for z in way) / len(way)) / mean

    def r2(frequency):
        ramp = [cmath.exp(-2j * math.pi * frequency * s) for s in seconds]
        amplitude = sum(z * r.conjugate() for z, r in zip(way, ramp, strict=True)) / len(way)
        missed = sum(abs(z - amplitude * r) ** 2 for z, r in zip(way, ramp, strict=True))
        return 1 - missed / sum(abs(z) ** 2 for z in way)

    best = max(r2(f) for f in frequencies)
    kind = "rotates" if best >= 0.5 and best > r2(0.0) else "magnitude-only" if arc < 0.5 else "wanders"
    return turned / (2 * math.pi), arc, spread, r2(own), best, kind


@pytest.fixture(scope="module")
def seen(stirred, music):
    """A stirred network's trajectories on a sound that comes late by thirds of a step."""
    sound = music(1, 9.0)[0].numpy()
    shifts = np.round(np.arange(13) * STEP / 3).astype(int)
    waves = np.stack([sound[60_000 - s : 60_000 - s + SHORT] for s in shifts])
    return rotation.trace(stirred("phalar"), waves), shifts / RATE


@pytest.mark.parametrize("place", [(3, 0), (40, 3), (79, 7)])
def test_three_pooled_features_by_brute_force(seen, place):
    trace, seconds = seen
    z = trace.pooled.numpy()
    motion = rotation.motion(z, seconds, SHORT, pooled=True)
    own = (place[1] + 1) / 6.08
    expected = slow_motion(
        [complex(v) for v in z[(slice(None), *place)]], seconds.tolist(), [own + n / 0.32 for n in ALIASES], own
    )
    found = [float(getattr(motion, name)[place]) for name in ("winding", "arc", "spread", "own", "best")]
    assert found == pytest.approx(expected[:5], abs=1e-6)
    assert KINDS[motion.kind[place]] == expected[5]


@pytest.mark.parametrize("feature", [0, 200, 511])
def test_three_features_of_the_embedding_by_brute_force(seen, feature):
    trace, seconds = seen
    z = trace.embedding.numpy()
    motion = rotation.motion(z, seconds, SHORT, pooled=False)
    all_of = {k: [k / 6.08 + n / 0.32 for n in ALIASES] for k in range(1, 9)}
    own = int(motion.component[feature]) / 6.08
    expected = slow_motion(
        [complex(v) for v in z[:, feature]], seconds.tolist(), [f for speeds in all_of.values() for f in speeds], own
    )
    found = [float(getattr(motion, name)[feature]) for name in ("winding", "arc", "spread", "own", "best")]
    assert found == pytest.approx(expected[:5], abs=1e-6)
    assert KINDS[motion.kind[feature]] == expected[5]


@pytest.mark.parametrize(("alias", "k"), [(0, 1), (0, 8), (-1, 3), (1, 5)])
def test_a_uniform_rotation_rotates_at_its_own_frequency_or_an_alias(alias, k):
    seconds = np.arange(38) * 0.32 / 3
    z = np.zeros((38, 1, 8), complex)
    z[:, 0, k - 1] = (2 - 1j) * np.exp(-2j * np.pi * (k / 6.08 + alias / 0.32) * seconds)
    motion = rotation.motion(z, seconds, SHORT, pooled=True)
    assert KINDS[motion.kind[0, k - 1]] == "rotates"
    assert motion.alias[0, k - 1] == alias
    assert motion.best[0, k - 1] == pytest.approx(1, abs=1e-9)
    assert motion.winding[0, k - 1] == pytest.approx(-(k / 6.08 + alias / 0.32) * seconds[-1], abs=1e-6)
    if alias:
        assert motion.own[0, k - 1] < 0.1


def test_what_stands_still_is_magnitude_only_and_noise_wanders():
    rng = np.random.default_rng(0)
    seconds = np.arange(38) * 0.32 / 3
    still = (1 + 0.5 * rng.random((38, 10, 8))) * np.exp(0.3j * rng.standard_normal((38, 10, 8)))
    assert (rotation.motion(still, seconds, SHORT, pooled=True).kind == 1).all()
    noise = rng.standard_normal((38, 10, 8)) + 1j * rng.standard_normal((38, 10, 8))
    assert (rotation.motion(noise, seconds, SHORT, pooled=True).kind == 2).mean() > 0.95


def test_a_model_without_phases_has_no_trajectories(stirred):
    with pytest.raises(InputError, match="gap"):
        rotation.trace(stirred("gap"), np.zeros((1, SHORT)))


# The analytic twin.


def test_a_delay_turns_pooled_components_as_the_transform_of_the_delayed_sequence(stirred):
    """The ramp against the transform itself: a sequence of 20 steps, rolled by whole steps."""
    pooling = stirred("phalar").pooling
    sequence = torch.randn(1, 80, 20, generator=torch.Generator().manual_seed(0))
    length = rotation.loop_length(20) - 160
    assert rotation.period(length) == 20 * STEP
    turned, _ = rotation.turned(
        stirred("phalar"), pooling.spectrum(sequence)[0].detach(), [0, 3 * STEP, 11 * STEP], length
    )
    for shift, z in zip((0, 3, 11), turned, strict=True):
        assert torch.allclose(z, pooling.spectrum(sequence.roll(shift, dims=-1))[0], atol=1e-5)


def test_at_whole_steps_a_loop_without_borders_is_exact_and_between_them_it_is_not(stirred, music):
    """The tolerance that the strided backbone allows: none but rounding at multiples of 32 frames, much in between."""
    model = stirred("phalar")
    wave = music(1, 7.0)[0, : rotation.loop_length(20)].numpy()
    shifts = [0, STEP, 13 * STEP, STEP // 2]
    trace = rotation.trace_wrapped(rotation.wrapped(model), rotation.loop(wave, shifts))
    pooled, embedding = rotation.turned(model, trace.pooled[0], shifts, len(wave) - 160)
    for truth, twin in ((trace.pooled, pooled), (trace.embedding, embedding)):
        error = ((truth - twin).flatten(1).norm(dim=1) / truth.flatten(1).norm(dim=1)).numpy()
        assert error[:3].max() < 1e-4  # float32 through ten blocks
        assert error[3] > 0.1


def test_with_borders_only_steps_near_them_differ(stirred):
    """What reaches how far: 124 frames to either side of a step, so 13 of 20 steps hear none of the zeros outside.

    Norms look at all frames, so they are set to pass everything; then a change of the first frame must reach just the
    steps that hear it."""
    from copy import deepcopy

    backbone = deepcopy(stirred("phalar").backbone).double()
    for block in backbone.blocks:
        for branch in (block.frequency, block.time, block.pointwise):
            branch.norm = torch.nn.Identity()
    picture = torch.randn(1, 96, 640, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    other = picture.clone()
    other[..., 320] += 1
    with torch.no_grad():
        changed = (backbone(picture) != backbone(other)).flatten(0, 2).any(dim=0)
    hears = [abs(32 * step - 320) <= BORDER for step in range(20)]
    assert changed.tolist() == hears
    whole = [32 * step >= BORDER and 32 * step + BORDER < 640 for step in range(20)]
    assert sum(whole) == 13


def test_the_plain_wrapped_network_is_the_network_where_no_border_is_near(stirred):
    """The copy computes the same: norms set to pass everything, interior steps agree with the ordinary backbone."""
    from copy import deepcopy

    model = deepcopy(stirred("phalar"))
    for block in model.backbone.blocks:
        for branch in (block.frequency, block.time, block.pointwise):
            branch.norm = torch.nn.Identity()
    closed = rotation.wrapped(model).double()
    picture = torch.randn(1, 96, 640, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        ordinary, wrapped = model.backbone.double()(picture), closed.backbone(picture)
    assert torch.allclose(ordinary[..., 4:17], wrapped[..., 4:17], atol=1e-10)
    assert not torch.allclose(ordinary[..., :4], wrapped[..., :4], atol=1e-6)


def test_a_constant_enters_by_the_padding_of_five_seconds_only(stirred):
    pooling = stirred("phalar").pooling
    variation = 1e-3 * torch.randn(1, 80, 20, generator=torch.Generator().manual_seed(3))
    for steps, enters in ((16, True), (20, False)):
        bare, lifted = (pooling.spectrum(variation[..., :steps] + level) for level in (0.0, 1.0))
        assert torch.allclose(bare, lifted, atol=1e-2) != enters


def test_wrapped_pictures_are_those_of_a_sound_that_goes_on(stirred, music):
    model = stirred("phalar")
    wave = music(1, 2.0)[0, : rotation.loop_length(6)].numpy()
    picture = rotation.wrapped_picture(model, wave[None])
    assert picture.shape == (1, 96, 192)
    later = rotation.wrapped_picture(model, np.roll(wave, 5 * 160)[None])
    assert torch.allclose(picture.roll(5, dims=-1), later, atol=1e-4)
    with pytest.raises(InputError, match="whole number of steps"):
        rotation.wrapped_picture(model, wave[None, :-160])


def test_explained_is_one_for_the_truth_and_minus_three_for_its_opposite():
    z = torch.randn(3, 5, 8, dtype=torch.complex64)
    assert np.allclose(rotation.explained(z, z), 1)
    assert np.allclose(rotation.explained(z, 0 * z), 0)
    assert np.allclose(rotation.explained(z, -z), -3)


# Coherence.


def test_contrast_tells_beats_and_bars():
    beats = np.arange(17) / 2
    whole, bars = beats % 1 == 0, beats % 4 == 0
    peaks = rotation.contrast(1.0 * whole + 1.0 * bars, beats, 4)
    assert peaks.beat > 1
    assert peaks.bar > 1
    flat = rotation.contrast(1.0 * whole, beats, 4)
    assert flat.beat > 1
    assert flat.bar == pytest.approx(0)
    with pytest.raises(InputError, match="no contrast"):
        rotation.contrast(np.zeros(9), np.arange(9), 4)


def test_scores_are_those_of_the_public_way(stirred):
    model, excerpt = stirred("phalar"), rotation.choose(piece(), 2.0)
    shifts = np.array([0, 4_000])
    found = rotation.scores(model, excerpt, shifts)
    for shift, value in zip(shifts, found, strict=True):
        stem = excerpt.track.audio.waves[excerpt.stem, excerpt.start - shift :][: excerpt.length]
        pair = model.similarity(model.embed(excerpt.mix(), RATE), model.embed(stem, RATE))
        assert float(pair) == pytest.approx(value, abs=1e-4)
