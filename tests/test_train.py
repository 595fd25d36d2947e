"""Training: the loss is the paper's, a run is a function of its config, and nothing is lost when it is stopped."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from music import RATE
from torch import nn

from phalar.errors import InputError, RunError
from phalar.model.assembly import build
from phalar.model.checkpoints import read_tensors
from phalar.train import batch_norm, loop
from phalar.train.config import PRESETS, config
from phalar.train.loop import Trainer, optimisers, train
from phalar.train.objective import LEFT_OUT, contrastive_loss, key_loss

CPU = torch.device("cpu")


def sliver(variant="phalar", **changes):
    settings = {"steps": 4, "batch_size": 4, "seconds": (2.0, 2.0), "limit": 4, "valid_every": 4}
    return config(variant, ["chorales"], **(settings | changes))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return train(sliver(), tmp_path_factory.mktemp("whole"), device="cpu", progress=False)


def same_as(one, other):
    a, b = (read_tensors(run.folder / "best.safetensors")[0] for run in (one, other))
    assert a.keys() == b.keys()
    assert all(a[name].equal(b[name]) for name in a)
    for key in ("loss", "accuracy", "step"):
        assert [e[key] for e in one.history] == [e[key] for e in other.history]


# --- loss, rates, groups


def test_loss_is_cross_entropy_against_soft_targets():
    scores = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    wanted = torch.full((5, 5), 0.1 / 4).fill_diagonal_(0.9)
    assert contrastive_loss(scores).item() == pytest.approx(F.cross_entropy(scores, wanted).item())
    assert contrastive_loss(scores, 1.0).item() == pytest.approx(F.cross_entropy(scores, torch.arange(5)).item())


@pytest.mark.parametrize("variant", ["phalar", "gap", "cocola"])
def test_every_weight_is_in_exactly_one_group(variant):
    """COCOLA's stem and head go to Adam, as its authors have it."""
    model = build(variant, seed=0)
    held = [(id(p), kind) for kind, o in optimisers(model, PRESETS["published"]).items()
            for g in o.param_groups for p in g["params"]]  # fmt: skip
    assert len(held) == len(dict(held)) == len([*model.parameters()])
    for name, p in model.named_parameters():
        theirs = variant == "cocola" and ("stem" in name or "head" in name)
        by_muon = p.ndim >= 2 and not name.startswith("form.") and not theirs
        assert dict(held)[id(p)] == ("muon" if by_muon else "adam"), name


def test_the_key_s_loss_asks_each_anchor_to_choose_between_its_positive_and_that_one_s_twin():
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    pitched = torch.tensor([True, False, True, True, False, True])
    wanted = [F.cross_entropy(scores[i, [i, (i + 3) % 6]], torch.tensor(0)) for i in range(6) if pitched[i]]
    assert key_loss(scores, pitched).item() == pytest.approx(torch.stack(wanted).mean().item())
    assert key_loss(scores, torch.zeros(6, dtype=torch.bool)).item() == 0


def test_what_is_left_out_is_no_candidate():
    scores = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    without = scores.scatter(1, torch.tensor([[2], [3], [0], [1]]), LEFT_OUT)
    rest = [F.cross_entropy(scores[i, [j for j in range(4) if j != (i + 2) % 4]],
                            torch.tensor([0.9 if j == i else 0.05 for j in range(4) if j != (i + 2) % 4]))
            for i in range(4)]  # fmt: skip
    assert contrastive_loss(without).item() == pytest.approx(torch.stack(rest).mean().item())


def musical(**changes):
    found = sliver(preset="musical", batch_size=4, steps=4, **changes)
    return replace(found, recipe=replace(found.recipe, key_first=0.5, noise=1.0))


def test_half_of_a_batch_are_twins_cut_at_the_same_places_with_the_same_gain(tmp_path):
    trainer = Trainer(musical(), tmp_path, CPU, progress=False)
    (waves,), cuts = trainer.batch(3)
    assert len(cuts.track) == 2
    own, twins = (source.read(cuts) for source in trainer.sources)
    for pair, half in ((0, own), (2, twins)):
        gain = waves[:, pair].norm() / half[:, 0].norm()  # noise is 12 dB below at least
        assert gain == pytest.approx((waves[:, 0].norm() / own[:, 0].norm()).item(), rel=0.1)
    assert not torch.allclose(own, twins, atol=1e-2)


def test_the_key_is_learned_first_and_alone_and_a_stopped_run_goes_on_in_either_part(tmp_path):
    trainer = Trainer(musical(), tmp_path, CPU, progress=False)
    start = {name: p.clone() for name, p in trainer.model.named_parameters()}
    assert trainer.model.form.W.detach().equal(5 * torch.eye(512, dtype=torch.complex64))
    for _ in range(2):
        trainer.step()
        trainer.save()
    moved = {name for name, p in trainer.model.named_parameters() if not p.equal(start[name])}
    assert moved == {name for name in start if not name.startswith("backbone.")}
    again = Trainer(musical(), tmp_path, CPU, progress=False)
    again.resume()
    assert again.step()["loss"] == trainer.step()["loss"]
    assert any(not p.equal(start[name]) for name, p in again.model.named_parameters() if name.startswith("backbone."))
    trainer.validate()
    assert trainer.best == (trainer.history[-1]["valid"] + trainer.history[-1]["in_key"]) / 2


# --- as published


def test_as_published_noise_is_added_to_the_longest_excerpt_and_each_pair_cropped_at_its_own_place(
    tmp_path, monkeypatch
):
    """The level of noise is then that of the whole."""
    seen = []
    monkeypatch.setattr(loop, "augment", lambda waves, *others: seen.append(waves.clone()) or waves)
    trainer = Trainer(sliver(preset="published", seconds=(2.0, 3.0)), tmp_path, CPU, progress=False)
    (waves,), _ = next(made for made in map(trainer.batch, range(9)) if made[0][0].shape[2] < 2.5 * RATE)
    whole, length = seen[-1], waves.shape[2]
    assert whole.shape == (2, 4, 3 * RATE)
    starts = set()
    for pair in range(4):
        (start,) = (whole[:, pair].unfold(1, 32, 1) == waves[:, pair, None, :32]).all(dim=2).all(dim=0).nonzero()
        assert waves[:, pair].equal(whole[:, pair, start : start + length])
        starts.add(start.item())
    assert len(starts) == 4
    ours = Trainer(sliver(seconds=(2.0, 3.0)), tmp_path, CPU, progress=False)
    (waves,), _ = ours.batch(0)
    assert seen[-1].shape == waves.shape


def test_cocola_is_trained_without_augmentation_by_its_own_rates(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "augment", None)
    for preset, form_lr in (("published", 4e-3), ("default", 1e-4)):
        trainer = Trainer(sliver("cocola", preset=preset), tmp_path, CPU, progress=False)
        (waves,), cuts = trainer.batch(0)
        assert waves.equal(trainer.sources[0].read(cuts))
        assert [g["lr"] for g in trainer.optimisers["adam"].param_groups] == [4e-3, form_lr]
        assert trainer.objective.target == 1.0


@pytest.mark.parametrize(("preset", "share"), [("published", 0.5), ("default", 0.0)])
def test_the_published_mel_has_noise_on_its_picture(preset, share, tmp_path):
    model = Trainer(sliver("mel", preset=preset), tmp_path, CPU, progress=False).model
    picture = torch.zeros(400, 96, 3)
    torch.manual_seed(0)
    added = model.train().shown(picture).flatten(1).std(dim=1)
    assert (added > 0).float().mean() == pytest.approx(share, abs=0.1 * (share > 0))
    assert added.max() < 0.07
    assert model.eval().shown(picture).equal(picture)


@pytest.mark.parametrize(("preset", "met"), [("published", [8]), ("default", [4, 4])])
def test_batch_norms_as_published_see_all_shards(preset, met, tmp_path):
    """``sync_batchnorm: true``."""
    trainer = Trainer(sliver("gap", preset=preset, batch_size=2, shards=2), tmp_path, CPU, progress=False)
    seen = []
    trainer.model.head.norm.register_forward_hook(lambda _, given, out: seen.append(len(given[0])))
    trainer.step()
    assert seen == met


# --- a run


def test_a_run_leaves_what_it_promises(finished):
    assert [e["step"] for e in finished.history] == [1, 2, 3, 4]
    assert finished.history[-1]["pairs"] == 16
    assert finished.best_valid == finished.history[-1]["valid"]
    assert {p.name for p in finished.folder.iterdir()} == {"config.json", "best.safetensors", "done.json"}
    assert not finished.model().training
    again = train(finished.config, finished.folder, progress=False)
    assert again.history == finished.history, "a finished run is found, not trained again"


def test_a_trainer_that_is_driven_by_hand_is_the_same_run(finished, tmp_path):
    trainer = Trainer(sliver(), tmp_path, "cpu", progress=False)
    losses = [trainer.step()["loss"] for _ in range(2)]
    trainer.save()
    other = Trainer(sliver(), tmp_path, "cpu", progress=False)
    other.resume()
    losses += [other.step()["loss"] for _ in range(2)]
    assert losses == [entry["loss"] for entry in finished.history]
    assert other.validate() == finished.best_valid
    assert read_tensors(tmp_path / "best.safetensors")[0].keys() == other.model.state_dict().keys()


def test_a_run_goes_on_from_weights_that_are_there_and_asks_for_no_key_first(finished, tmp_path):
    trainer = Trainer(sliver(preset="musical", start=str(finished.folder / "best.safetensors")), tmp_path, "cpu")
    begun, there = (model.state_dict().values() for model in (trainer.model, finished.model()))
    assert all(a.equal(b) for a, b in zip(begun, there, strict=True))
    assert trainer.key_steps == 0 < sliver(preset="musical").recipe.key_first


def test_a_step_that_is_not_finite_stops_the_run_and_spoils_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    real = Trainer.batch

    def spoilt(trainer, step):
        shards, cuts = real(trainer, step)
        if step == 2:
            shards[0][1, 3, 1000] = torch.inf
        return shards, cuts

    monkeypatch.setattr(Trainer, "batch", spoilt)
    with pytest.raises(RunError, match=r"nan at step 2 .*seed 0.*of the gradients \w.* are not finite; its tracks: "):
        train(sliver(), tmp_path, device="cpu", progress=False)
    tensors, metadata = read_tensors(tmp_path / "state.safetensors")
    assert json.loads(metadata["progress"])["step"] == 2
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_folder_belongs_to_one_config_and_one_version_of_the_code(finished, monkeypatch):
    with pytest.raises(InputError, match=r"steps = 4, not 5"):
        train(sliver(steps=5), finished.folder, progress=False)
    monkeypatch.setattr(type(finished.config), "hash", "another")
    with pytest.raises(InputError, match="another version of the code or the corpora"):
        train(finished.config, finished.folder, device="cpu", progress=False)


def test_minutes_become_steps_and_a_run_that_was_begun_keeps_its_own(finished, tmp_path):
    settings = finished.config
    timed = loop.with_steps(settings, 0.05, tmp_path, device="cpu", progress=False)
    assert timed.steps >= 1
    assert replace(timed, steps=settings.steps) == settings
    assert loop.with_steps(replace(settings, steps=99), 500, finished.folder, device="cpu") == settings
    with pytest.raises(InputError, match="positive"):
        loop.with_steps(settings, 0, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seconds": (1.0, 5.0)}, "at least 2"),
        ({"seconds": (6.0, 5.0)}, "at least 2"),
        ({"steps": 0}, "steps = 0"),
        ({"batch_size": 5, "limit": 4}, "batch_size = 5 but 4 training tracks"),
        ({"batch_size": 1}, "batch_size = 1"),
        ({"batch_size": 2, "preset": "musical"}, "at least 4"),
        ({"variant": "gap", "start": "reference"}, "weights of 'phalar', not of 'gap'"),
        ({"corpora": ["comping"]}, "no train tracks in comping"),
        ({"target": 0}, "target = 0"),
        ({"negatives": "some"}, "choose 'shard' or 'all'"),
        ({"preset": "fast"}, "unknown preset 'fast'; there are published, default"),
        ({"variant": "phalarr"}, r"'phalarr'.*gap"),
        ({"corpora": ["chorals"]}, r"'chorals'.*chorales"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message, tmp_path):
    settings = {"variant": "phalar", "corpora": ["chorales"]} | changes
    with pytest.raises(InputError, match=message):
        train(config(**settings), tmp_path, device="cpu", progress=False)
    assert not any(tmp_path.iterdir()), "a refused training claims no folder"


@pytest.mark.parametrize(("momentum", "count"), [(0.1, 3), (0.01, 36), (0.01, 1)])
def test_running_statistics_are_weighted_averages_of_the_batches_alone(momentum, count):
    norm, generator = nn.BatchNorm1d(5, momentum=momentum), torch.Generator().manual_seed(0)
    seen = [3 + 2 * torch.randn(64, 5, generator=generator) for _ in range(count)]
    for x in seen:
        norm(x)
    weights = torch.tensor([(1 - momentum) ** k for k in reversed(range(count))])
    weights /= weights.sum()
    before = norm.running_mean.clone()
    alone = batch_norm.from_batches_alone(norm)
    for found, each in ((alone.running_mean, torch.Tensor.mean), (alone.running_var, torch.Tensor.var)):
        torch.testing.assert_close(found, weights @ torch.stack([each(x, dim=0) for x in seen]), atol=1e-3, rtol=1e-3)
    assert torch.equal(norm.running_mean, before), "a copy"
    for norm in (nn.BatchNorm1d(5), nn.BatchNorm1d(5, track_running_stats=False), nn.BatchNorm1d(5, momentum=None)):
        mean = batch_norm.from_batches_alone(norm).running_mean  # met no batch, or keeps no such averages
        assert mean is None or not mean.any()
