"""Training: the loss is the paper's, a run is a function of its config, and nothing is lost when it is stopped."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from music import RATE, invent_track

from phalar.datasets import batches
from phalar.errors import InputError, RunError
from phalar.model.assembly import build
from phalar.model.checkpoints import read_tensors
from phalar.train import failure, loop
from phalar.train.config import PRESETS, config
from phalar.train.loop import learning_rate_factor, optimisers, train
from phalar.train.objective import contrastive_loss


def sliver(variant="phalar", **changes):
    settings = {"steps": 4, "batch_size": 4, "seconds": (2.0, 2.0), "limit": 4, "valid_every": 4}
    return config(variant, ["chorales"], **(settings | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(sliver(), tmp_path_factory.mktemp("whole"), device="cpu", progress=False)


def test_loss_is_cross_entropy_against_soft_targets():
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    wanted = torch.full((5, 5), 0.1 / 4).fill_diagonal_(0.9)
    assert contrastive_loss(scores).item() == pytest.approx(F.cross_entropy(scores, wanted).item())
    assert contrastive_loss(scores, 1.0).item() == pytest.approx(F.cross_entropy(scores, torch.arange(5)).item())


def test_rates_rise_stay_and_fall():
    recipe = PRESETS["default"]
    factors = [learning_rate_factor(s, 100, recipe) for s in range(100)]
    assert factors[0] == pytest.approx(0.2)
    assert max(factors) == 1.0
    assert factors[10:40] == [1.0] * 30
    assert factors[-1] == pytest.approx(0.02)
    assert all(a >= b for a, b in pairwise(factors[50:]))
    assert {learning_rate_factor(s, 100, PRESETS["published"]) for s in range(100)} == {1.0}


@pytest.mark.parametrize("variant", ["phalar", "gap"])
def test_every_weight_is_in_exactly_one_group(variant):
    model = build(variant, seed=0)
    groups = optimisers(model, PRESETS["published"])
    held = {name: {id(p) for g in o.param_groups for p in g["params"]} for name, o in groups.items()}
    assert not held["muon"] & held["adam"]
    assert held["muon"] | held["adam"] == {id(p) for p in model.parameters()}
    for name, p in model.named_parameters():
        assert (id(p) in held["muon"]) == (p.ndim >= 2 and not name.startswith("form."))


def test_eight_pairs_can_be_learnt_by_heart(tmp_path):
    """After overfitting, each mix finds its own missing stem among the eight: the path from sound to loss is whole."""
    import numpy as np

    tracks = [invent_track(tmp_path, i) for i in range(8)]
    known = batches.tables(tracks)
    waves = batches.StoredSource(known, torch.device("cpu")).read(
        batches.draw(known, 8, 2 * RATE, np.random.default_rng(0))
    )
    model = build("phalar", seed=0)
    groups = optimisers(model, PRESETS["default"])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(40):
            loss = contrastive_loss(model.form(*model(*waves)))
            for optimiser in groups.values():
                optimiser.zero_grad()
            loss.backward()
            for optimiser in groups.values():
                optimiser.step()
    anchors, positives = (model.embed(side, RATE) for side in waves)
    scores = model.similarity(anchors, positives)
    assert scores.argmax(dim=1).tolist() == list(range(8))


def test_a_run_leaves_what_it_promises(finished):
    assert [e["step"] for e in finished.history] == [1, 2, 3, 4]
    assert finished.history[-1]["pairs"] == 16
    assert "valid" in finished.history[-1]
    assert all(e["loss"] > 0 for e in finished.history)
    assert finished.best_valid == finished.history[-1]["valid"]
    assert {p.name for p in finished.folder.iterdir()} == {"config.json", "best.safetensors", "done.json"}
    assert not finished.model().training
    again = train(finished.config, finished.folder, progress=False)
    assert again.history == finished.history, "a finished run is found, not trained again"


def test_resumed_after_a_stop_equals_uninterrupted_bit_for_bit(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    take_step = loop._Session.take_step

    def stopping(session):
        if session.step == 2:
            raise KeyboardInterrupt
        return take_step(session)

    monkeypatch.setattr(loop._Session, "take_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        train(sliver(), tmp_path, device="cpu", progress=False)
    monkeypatch.setattr(loop._Session, "take_step", take_step)
    resumed = train(sliver(), tmp_path, device="cpu", progress=False)
    same_as(resumed, finished)


def same_as(one, other):
    a, b = (read_tensors(run.folder / "best.safetensors")[0] for run in (one, other))
    assert a.keys() == b.keys()
    assert all(a[name].equal(b[name]) for name in a)
    for key in ("loss", "accuracy", "step"):
        assert [e[key] for e in one.history] == [e[key] for e in other.history]


def test_a_step_that_is_not_finite_stops_the_run_spoils_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    real = loop._Session.batch

    def spoilt(session, step):
        shards, cuts = real(session, step)
        if step == 2:
            shards[0][1, 3, 1000] = torch.inf
        return shards, cuts

    monkeypatch.setattr(loop._Session, "batch", spoilt)
    with pytest.raises(RunError, match=r"nan .*step 2 .*seed 0.*phalar.train.failure .*failed-step"):
        train(sliver(), tmp_path, device="cpu", progress=False)
    tensors, metadata = read_tensors(tmp_path / "state.safetensors")
    assert json.loads(metadata["progress"])["step"] == 2
    assert all(failure.finite(t) for t in tensors.values())
    found = failure.replay(tmp_path / failure.FAILED)
    assert found["step"] == 2
    assert found["seed"] == 0
    assert len(found["tracks"]) == 4
    assert found["first_output"] == "frontend.transform"
    assert not math.isfinite(found["loss"])
    with pytest.raises(InputError, match="holds no failed step"):
        failure.replay(tmp_path / "state.safetensors")


def test_a_signal_is_obeyed_after_the_step_in_hand_with_everything_saved(finished, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path; from test_train import sliver\n"
        "import os, signal\nfrom phalar.train import loop\nreal = loop._Session.take_step\n"
        "def step(session):\n"
        "    if session.step == 1: os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return real(session)\n"
        "loop._Session.take_step = step\n"
        "loop.train(sliver(), Path(sys.argv[1]), device='cpu', progress=False)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path), os.path.dirname(__file__)])
    assert ended.returncode == -signal.SIGTERM
    assert json.loads(read_tensors(tmp_path / "state.safetensors")[1]["progress"])["step"] == 2
    same_as(train(sliver(), tmp_path, device="cpu", progress=False), finished)


def test_a_folder_belongs_to_one_config(finished):
    with pytest.raises(InputError, match=r"steps = 4, not 5"):
        train(sliver(steps=5), finished.folder, progress=False)


def test_minutes_become_steps_and_a_run_that_was_begun_keeps_its_own(finished, tmp_path):
    settings = finished.config
    timed = loop.with_steps(settings, 0.05, tmp_path, device="cpu", progress=False)
    assert timed.steps >= 1
    assert replace(timed, steps=settings.steps) == settings
    assert loop.with_steps(replace(settings, steps=99), 500, finished.folder, device="cpu") == settings
    other = replace(settings, seed=settings.seed + 1)
    assert loop._begun(other, finished.folder) == 0
    with pytest.raises(InputError, match="positive"):
        loop.with_steps(settings, 0, tmp_path)


def test_a_folder_of_other_code_is_refused(finished, monkeypatch):
    monkeypatch.setattr(type(finished.config), "hash", "another")
    with pytest.raises(InputError, match="another version of the code or the corpora"):
        loop.train(finished.config, finished.folder, device="cpu", progress=False)


def test_an_unreadable_state_is_set_aside_with_a_warning(finished, tmp_path):
    (tmp_path / "state.safetensors").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="training starts again"):
        run = train(sliver(), tmp_path, device="cpu", progress=False)
    same_as(run, finished)


def test_the_name_of_a_run_depends_on_what_determines_it():
    assert sliver().hash == sliver().hash
    assert len({sliver().hash, sliver(seed=1).hash, sliver(steps=5).hash, sliver(preset="published").hash}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": (1.0, 5.0)}, "at least 2"),
        ({"seconds": (6.0, 5.0)}, "at least 2"),
        ({"steps": 0}, "steps = 0"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"preset": "fast"}, "unknown preset 'fast'; there are published, default"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        sliver(**changes)


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'phalarr'.*gap"):
        config("phalarr", ["chorales"], steps=1)
    with pytest.raises(InputError, match=r"'chorals'.*chorales"):
        config("phalar", ["chorals"], steps=1)


def test_a_batch_larger_than_the_corpus_is_refused(tmp_path):
    with pytest.raises(InputError, match="batch_size = 5 but 4 training tracks"):
        train(sliver(batch_size=5), tmp_path, progress=False)
