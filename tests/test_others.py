"""Other people's measures: what is missing is said, and those whose packages are installed hear what they should."""

import sys

import numpy as np
import pytest
import torch
from music import HUBERT, invent_track
from scipy.linalg import sqrtm

from phalar.errors import InputError
from phalar.evaluate import appendices, others, retrieval
from phalar.evaluate.others import OTHERS, Other

PACKAGES = {
    "musicnn": "musicnn", "FAD": "musicnn", "musly": "pymusly", "PESTO": "pesto.loader", "CDPAM": "cdpam",
    "ViSQOL": "visqol", "CLAP": "transformers", "MERT": "transformers", "Audiobox CE": "audiobox_aesthetics.infer",
}  # fmt: skip
TIME = np.arange(32_000) / 16_000


def tone(pitch, overtones):
    """A tone of so many overtones with a little noise, of the same level."""
    wave = sum(np.sin(2 * np.pi * pitch * n * TIME) / n for n in range(1, overtones + 1))
    return 0.1 * (wave / wave.std() + 0.02 * np.random.default_rng(round(pitch)).normal(size=len(TIME)))


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_missing_is_one_error_that_says_how_to_get_it(name, tmp_path, monkeypatch):
    row = OTHERS[name]
    if row.weights:
        for weights in (None, tmp_path / "nowhere"):
            with pytest.raises(InputError, match=f"{name} needs weights.*(folder|checkpoint).*https://"):
                others.load(name, weights)
    (tmp_path / "config.json").write_text('{"model_type": "hubert"}')
    (tmp_path / "model.safetensors").touch()
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    with pytest.raises(InputError, match="pip install"):
        others.load(name, tmp_path if row.weights else None)


def stub(monkeypatch, embed, **about):
    row = Other("level", "nothing", lambda _: (embed, lambda mixes, stems: mixes @ stems.T), **about)
    monkeypatch.setitem(OTHERS, "stub", row)


def test_a_measure_goes_through_the_models_pairs_at_its_own_rate_with_mixes_in_rows(tmp_path, monkeypatch):
    stub(monkeypatch, lambda w: np.stack([w.std(axis=1), np.full(len(w), w.shape[1] / 64_000)], 1), rate=32_000)
    tracks = [invent_track(tmp_path, i) for i in range(5)]
    found = retrieval.evaluate(others.by_other("stub"), tracks, 1, seconds=2.0)
    mixes, stems = np.stack([waves for _, waves in retrieval.cut_pairs(tracks, 0, 2.0)], axis=1)
    assert found["stub"][0] == pytest.approx(1 + np.outer(mixes.std(axis=1), stems.std(axis=1)), rel=1e-3)
    assert found["seconds"].shape == (1,)


@pytest.mark.parametrize("embed", [lambda waves: np.ones((len(waves), 3)), lambda w: np.full((len(w), 3), np.nan)])
def test_weights_that_hear_no_difference_are_refused(embed, monkeypatch):
    stub(monkeypatch, embed)
    with pytest.raises(InputError, match="does not tell noise from a tone"):
        others.load("stub")


def test_distance_of_gaussians_by_other_means():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3, 9, 4)), rng.normal(2, 3, size=(2, 9, 4))

    def distance(a, b):
        root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
        return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)

    assert -others.minus_frechet(x, y) == pytest.approx(np.array([[distance(a, b) for b in y] for a in x]))
    few = np.random.default_rng(1).normal(size=(2, 2, 4))  # as many clips have: their covariance is singular
    assert others.minus_frechet(few, few).diagonal() == pytest.approx(0, abs=1e-9)


def test_musicnn_computes_what_its_authors_code_does_with_tensorflow():
    pytest.importorskip("musicnn")
    time = np.arange(47_800) / 16_000
    wave = sum(np.sin(2 * np.pi * f * time) * (1 + np.sin(2 * np.pi * b * time)) for f, b in SUNG)
    found = OTHERS["musicnn"].load(None)[0](np.float32(0.02 * wave[None]))
    assert found.shape == (1, 1, 200)
    assert found[0, 0, [40, 56, 37, 81]] == pytest.approx([2.3472767, 2.0947785, 1.9474982, 1.5464545], abs=1e-4)
    assert (found.sum(), np.abs(found).sum()) == pytest.approx((31.774662, 73.763229), rel=1e-5)


SUNG = (330, 2), (495, 3), (2200, 5)  # Hz: tones, and how fast their level goes up and down


@pytest.mark.parametrize("name", ["musicnn", "FAD", "musly", "PESTO", pytest.param("CDPAM", marks=pytest.mark.slow),
                                  pytest.param("ViSQOL", marks=pytest.mark.slow)])  # fmt: skip
def test_a_clip_is_most_like_itself_and_silence_like_nothing(name):
    pytest.importorskip(PACKAGES[name])
    noises = [np.convolve(np.random.default_rng(i).normal(0, 0.1, len(TIME)), [1, i, 1], "same") for i in range(3)]
    clips = np.stack([0 * TIME, tone(220, 1), tone(330, 12), tone(550, 4), *noises])
    scores = others.load(name)(clips, clips[1:])
    assert np.isfinite(scores).all()
    assert (scores[1:].argmax(axis=1) == range(6)).all()
    assert (scores[0] < scores[1:].diagonal().min()).all()


def clap(folder):
    transformers = pytest.importorskip("transformers")
    audio = {"depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 16, "hidden_size": 32}
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    settings = transformers.ClapConfig(audio_config=audio, text_config=text, projection_dim=16)
    transformers.ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
    return transformers.ClapModel(settings)


def mert(folder):
    transformers = pytest.importorskip("transformers")
    return transformers.HubertModel(transformers.HubertConfig(**HUBERT))


@pytest.mark.parametrize(("name", "make"), [("CLAP", clap), ("MERT", mert)])
def test_weights_by_a_path_are_loaded_and_collapsed_ones_refused(name, make, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = make(tmp_path)
    monkeypatch.setattr("socket.socket", None)  # nothing is fetched
    mixes, stems = np.stack([tone(220, 1), tone(330, 12)]), np.stack([tone(262, 3), tone(440, 5), tone(330, 12)])
    model.save_pretrained(tmp_path)
    scores = others.load(name, tmp_path)(mixes, stems)
    assert scores.shape == (2, 3)
    assert np.ptp(scores) > 0
    assert scores[1, 2] == pytest.approx(1, abs=1e-5)  # an embedding, compared by its angle
    with torch.no_grad():
        for weights in model.parameters():
            weights.zero_()
    model.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="noise from a tone"):
        others.load(name, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"needs|not readable"):
        others.load(name, tmp_path)


def test_a_neural_codec_by_its_folder_keeps_what_its_first_codebooks_say(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"encoder_hidden_size": 8, "decoder_hidden_size": 16, "n_codebooks": 4, "codebook_size": 16}
    rates = {"downsampling_ratios": [2, 4], "upsampling_ratios": [4, 2], "codebook_dim": 4, "sampling_rate": 24_000}
    transformers.DacModel(transformers.DacConfig(**sizes, **rates)).save_pretrained(tmp_path)
    codec, wave = appendices.neural(tmp_path), tone(220, 1)
    (less, low), (more, high) = (codec(wave, 16_000, kept) for kept in (1, 4))
    assert less.shape == more.shape == wave.shape
    assert (low, high) == pytest.approx((12, 48), rel=0.01)  # 24,000 / 8 frames a second of four bits, in kbit/s
    assert np.abs(less - more).max() > 0
    with pytest.raises(InputError, match="no DAC or EnCodec"):
        appendices.neural(tmp_path / "none")
