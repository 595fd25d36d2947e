"""Every model of the registry as a whole: what it counts, what it computes, and what it does with any sound."""

import re
import subprocess
import sys

import numpy as np
import pytest
import torch

import phalar
from phalar.errors import InputError, SilentAudioWarning
from phalar.model.assembly import StemModel, build
from phalar.model.official import load_official, read_official, translate
from phalar.model.tensors import fill
from phalar.model.variants import ABLATIONS, VARIANTS, Variant

OWN = [name for name in VARIANTS if not name.startswith("mert")]
PARAMETERS = dict.fromkeys(("phalar", "psd", "hermitian", "mel"), 2_293_104)
PARAMETERS |= {"gap": 684_400, "magnitude": 1_442_160, "cosine": 2_293_105, "cocola": 5_189_980}


@pytest.mark.parametrize("name", ["cosine", "psd", "mel"])
def test_what_does_not_differ_has_the_same_weights(name):
    """Same seed, same parts, same numbers; torch's own random state is left alone."""
    before = torch.get_rng_state()
    ours, phalars = build(name, seed=3).state_dict(), build("phalar", seed=3).state_dict()
    shared = [k for k in phalars if not k.startswith("form.")]
    assert all(torch.equal(ours[k], phalars[k]) for k in shared)
    assert not torch.equal(build(name, seed=2).state_dict()[shared[0]], ours[shared[0]])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["Phalar", None, ["phalar"]])
def test_unknown_variants_are_refused(name):
    with pytest.raises(InputError, match=f"unknown variant {re.escape(repr(name))}; the registry has phalar, gap"):
        build(name)
    for change in ({"form": "cosin"}, {"channels": 0}, {"channels": 5.0}, {"components": True}):
        with pytest.raises(InputError, match=f"variant 'mine': {next(iter(change))} = "):
            build(Variant("mine", "", **change))


@pytest.mark.parametrize("name", OWN)
def test_an_embedding_never_depends_on_its_batch_mates_and_silence_scores_zero(name, stirred, music):
    """Neither among clips of one length nor of several; a quiet one's floor must be its own. Silence is zeros."""
    model, audio = stirred(name), [*music(3), *music(2, 2.37, seed=1), torch.zeros(32_000)]
    audio[2] *= 1e-3
    with pytest.warns(SilentAudioWarning, match="clip 5: its score is 0"):
        together = model.embed(audio, 16_000, batch_size=2)
    alone = torch.cat([model.embed(clip, 16_000) for clip in audio[:5]])
    assert (together[:5] - alone).abs().max() <= 1e-5 * together.abs().max().clamp(min=1)
    assert (together[0] - together[1]).abs().mean() > 1e-3 * together.abs().mean()  # or that would say nothing
    assert together.dtype == (torch.complex64 if VARIANTS[name].is_complex else torch.float32)
    assert together.shape == (6, 512)
    assert together.any(dim=1).tolist() == [True] * 5 + [False]
    scores = model.similarity(together[:1], together[1:])
    assert (scores.shape, scores.dtype) == ((1, 5), torch.float32)
    assert (scores != 0).tolist() == [[True] * 4 + [False]]
    torch.testing.assert_close(scores, model.similarity(together[1:], together[:1]).T, rtol=1e-4, atol=1e-5)


def test_shapes_of_sound_that_mean_the_same_and_embedding_leaves_the_model_alone(music):
    model, audio = build("gap", seed=0).train(), music(2).numpy()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    expected = model.embed(audio, 16_000)
    assert model.training
    assert not expected.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items()), "batch norms too"
    stereo = np.stack([audio * 1.5, audio * 0.5], axis=1)
    for same in (torch.from_numpy(audio), list(audio), audio[:, None], stereo, [audio[0], stereo[1]]):
        torch.testing.assert_close(model.embed(same, 16_000), expected, rtol=1e-4, atol=1e-5)


def test_sound_that_cannot_be_used_and_what_is_no_embedding_are_refused(stirred):
    good = torch.ones(1, 512, dtype=torch.complex64)
    for sound, says in (
        (torch.zeros(2, 31_999), "clip 0: 2.00 s long"),
        (torch.zeros(0, 32_000), "no clips"),
        (torch.zeros(1, 1, 1, 32_000), r"shape \(1, 1, 1, 32000\)"),
        ("song.wav", "str is not an array"),
        ([None], "clip 0: samples of type object"),
    ):
        with pytest.raises(InputError, match=says):
            stirred("gap").embed(sound, 16_000)
    for x, says in (
        (good[:, :511], r"x: torch\.complex64 of shape \(1, 511\)"),
        (good.real, r"x: torch\.float32 of shape \(1, 512\) is not \(clips, 512\), complex"),
        (good * complex(0, float("nan")), "x: embedding has NaN"),
    ):
        with pytest.raises(InputError, match=says):
            stirred("phalar").similarity(x, good)


@pytest.mark.parametrize("name", [*OWN, *ABLATIONS])
def test_training_scores_are_the_forms_of_one_batch(name, music):
    """Batch norms see anchors and positives together; every learned weight gets a gradient."""
    torch.manual_seed(0)
    model = build(name).train()
    assert model.num_parameters == PARAMETERS.get(name, model.num_parameters)
    for key, weight in model.named_parameters():
        if key.endswith(".scale"):
            torch.nn.init.normal_(weight)
    scores = model.form(*model(music(3), music(3, seed=1)))
    assert scores.shape == (3, 3)
    torch.nn.functional.cross_entropy(scores, torch.arange(3)).backward()
    assert not [k for k, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]


def published(folder, name) -> StemModel:
    """The variant with the weights that its vectors were computed from."""
    if name in ("phalar", "cocola"):
        return load_official(folder / f"{name}.ckpt")
    if name in ("psd", "hermitian"):
        state, _ = read_official(folder / "phalar.ckpt")
    else:
        with np.load(folder / f"{name}.npz") as stored:
            state = {k.removeprefix("state/"): torch.from_numpy(stored[k]) for k in stored.files if "state/" in k}
    model = build(name)
    fill(model, translate(state, name), name)
    return model.eval()


@pytest.mark.parametrize("name", OWN)
def test_published_vectors(name, official_vectors):
    model = published(official_vectors, name)
    assert model.variant.name == name
    with np.load(official_vectors / "phalar.npz") as sounds, np.load(official_vectors / f"{name}.npz") as expected:
        for clip in range(3):
            z = model.embed(sounds[f"audio_{clip}"], 16_000)
            with torch.no_grad():
                raw = model.form(z, z)
            pair = torch.stack([z.real, z.imag], dim=1) if z.is_complex() else z
            ours_by_name = {"embedding": pair, "similarity": raw, "similarity_symmetric": model.similarity(z, z)}
            for key, ours in ours_by_name.items():
                theirs = torch.from_numpy(expected[f"{key}_{clip}"])
                assert ours.shape == theirs.shape
                assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), (key, clip)


def test_importing_it_is_quick_and_its_names_exist():
    """PyTorch waits until it is needed."""
    code = "import sys, phalar; print([m for m in ('torch', 'numpy', 'librosa') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"
    assert all(hasattr(phalar, name) for name in phalar.__all__)
