"""The clock of the time to an accuracy: what counts, what does not, when it stops, and what it says."""

import os

import pytest
import torch
from music import invent_track
from test_train import sliver

from phalar.model import fused
from phalar.model.assembly import build
from phalar.model.plain import plain_twin
from phalar.study import time_to_accuracy as experiment
from phalar.study.time_to_accuracy import Look, compared, judge, looks
from phalar.train import loop


class Pretended:
    """A learner whose start takes 5 s, a step 4 s and a look 100 s, and which learns 0.1 a step."""

    def __init__(self):
        self.now, self.steps = 0.0, 0

    def clock(self):
        return self.now

    def start(self):
        self.now += 5
        return self.take_step, self

    def take_step(self):
        self.now += 4
        self.steps += 1

    def accuracy(self, model):
        assert model is self
        self.now += 100
        return self.steps / 10

    def seen(self, **limits):
        limits = {"steps": 1000} | limits
        return list(looks(self.start, self.accuracy, clock=self.clock, **limits))


def test_starting_and_training_count_and_looking_does_not():
    assert Pretended().seen() == [Look(17, 3, 0.3), Look(29, 6, 0.6)]


def test_it_is_given_up_after_so_many_steps_or_seconds_with_a_last_look():
    assert Pretended().seen(target=2.0, steps=4) == [Look(17, 3, 0.3), Look(21, 4, 0.4)]
    assert Pretended().seen(target=2.0, seconds=24) == [Look(17, 3, 0.3), Look(25, 5, 0.5)]


def test_a_long_step_is_looked_at_each_time(monkeypatch):
    monkeypatch.setattr(experiment, "EVERY", 1.0)
    assert [look.steps for look in Pretended().seen()] == [1, 2, 3, 4, 5, 6]


def test_what_two_runs_say():
    ours = [Look(10, 1, 0.2), Look(20, 2, 0.7)]
    both = compared(ours, [Look(50, 1, 0.1), Look(90, 2, 0.6), Look(95, 3, 0.9)])
    assert (both["ours"], both["reference"], both["ratio"], both["verdict"]) == (20, 90, 4.5, "4.50")
    never = compared(ours, [Look(50, 1, 0.1), Look(84, 2, 0.5)])
    assert (never["reference"], never["ratio"], never["at_least"], never["verdict"]) == (None, None, 4.2, ">= 4.20")
    lost = compared(ours[:1], [])
    assert (lost["ours"], lost["ratio"], lost["at_least"]) == (None, None, None)
    assert lost["verdict"] == "ours did not get there"


def test_both_are_judged_by_the_same_measure(tmp_path, stirred):
    """A model and its slow twin with the same weights find the same; another model does not."""
    accuracy = judge([invent_track(tmp_path, i) for i in range(6)])
    model = stirred("phalar")
    assert accuracy(model) == accuracy(plain_twin(model))
    other = build("phalar", seed=3).eval()
    assert accuracy(other) != accuracy(model)


def test_the_fused_functions_are_compiled_again_for_a_cold_start(monkeypatch):
    made = []
    monkeypatch.setattr(fused, "_compiled", lambda compiler: made.append(compiler) or "/nowhere/at/all.so")
    monkeypatch.setenv("PHALAR_CACHE", "/the/users/own")
    try:
        with experiment.nothing_compiled():
            fused.library()
            assert os.environ["PHALAR_CACHE"] != "/the/users/own"
    finally:
        fused.library.cache_clear()
    assert len(made) == 1
    assert os.environ["PHALAR_CACHE"] == "/the/users/own"


def test_the_race_trains_both_and_stops(monkeypatch, tmp_path):
    """For real, on invented tracks, with targets that are met at once, late, or never."""
    tracks = [invent_track(tmp_path, i) for i in range(4)]
    monkeypatch.setattr(loop, "tracks_of", lambda settings, split, progress=True: tracks)
    monkeypatch.setattr(experiment, "EVERY", 0.0)
    ours, published = sliver(preset="short", steps=2), sliver(preset="published", steps=3)
    models = []
    monkeypatch.setattr(experiment, "judge", lambda tracks: lambda model: models.append(model) or len(models) / 10)
    found = experiment.race(ours, published, target=0.4, patience=1e9)
    assert found["verdict"] == "ours did not get there"
    assert len(models) == 2
    found = experiment.race(ours, published, target=0.3, patience=1e9)
    assert [look["accuracy"] for look in found["looks"]["ours"]] == [0.3]
    assert found["ratio"] == pytest.approx(found["reference"] / found["ours"])
    assert torch.is_tensor(next(models[-1].parameters()))
    assert type(models[-1].backbone).__name__ == "PlainBackbone"
