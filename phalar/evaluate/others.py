"""Other people's measures as scorers: is what PHALAR hears also in tags, timbre, pitch, or a measure of quality?

A row of :data:`OTHERS` is one of them. Each needs a package of its own, some also weights by the user's path. Nothing
is fetched; what is missing is an InputError that says how to get it. A measure becomes a function ``score(mixes,
stems)``, from clips (n, N) and (m, N) at 16 kHz to (n, m), higher where they fit. Book page *Retrieval*.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import process_time
from unittest import mock

import librosa
import numpy as np
import soxr
import torch
import torch.nn.functional as F
from scipy.signal import detrend
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import cosine_similarity as cosine
from torch import Tensor

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.evaluate import retrieval
from phalar.evaluate.retrieval import BATCH, Cuts, Scorer
from phalar.evaluate.statistics import estimate
from phalar.model.mert import EXAMPLE, RATE, load_mert

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]
Parts = tuple[Callable[[np.ndarray], np.ndarray], Score]
"""How a measure is made: from clips (n, N) to what it keeps of each, (n, ...), and from two of those to scores."""


@dataclass(frozen=True)
class Other:
    """One measure: what it hears, what to install, and its two parts, ``load(path of the weights)``."""

    hears: str
    install: str  # after ``pip install``; the version is the one tried
    load: Callable[[Path | None], Parts]
    rate: int = SAMPLE_RATE  # Hz, of the clips that it is given
    tracks: int = 0  # where it is slow: only so many of a test set are scored; 0 for all
    weights: str = ""  # where the package has none: what to give the path of


def _musicnn(_: Path | None, compare: Score | None = None) -> Parts:
    """A tagger (Pons and Serra 2019): its last hidden layer, 200 values, for windows of 3 s, one every half second. The
    package wants TensorFlow and NumPy of 2019; here its weights are read from its wheel, and PyTorch computes."""
    shapes = {"beta1_power": (), "beta2_power": ()}
    for i, kernel in enumerate(MUSICNN_KERNELS):
        shapes |= {f"conv2d_{i}/kernel": kernel, f"conv2d_{i}/bias": kernel[-1:]}
    for i, size in enumerate(MUSICNN_NORMS):
        shapes |= {f"batch_normalization_{i}/{name}": (size,) for name in ("beta", "gamma", *MOVING)}
    for i, kernel in enumerate(((1506, 200), (200, 50))):
        shapes |= {f"dense_{i}/kernel": kernel, f"dense_{i}/bias": kernel[-1:]}
    path = Path(import_module("musicnn").__file__).with_name("MTT_musicnn") / ".data-00000-of-00001"
    values, at, weights = torch.from_numpy(np.fromfile(path, "<f4")), 0, {}
    for name, shape in sorted(shapes.items()):  # one after the other, each that was trained with two of the optimiser's
        weights[name] = values[at : at + math.prod(shape)].reshape(shape)
        at += math.prod(shape) * (1 if name.endswith((*MOVING, "power")) else 3)
    if at != len(values):
        raise InputError(f"{path}: {len(values)} values, not {at}; install musicnn==0.1.0 again")

    def norm(i: int, x: Tensor) -> Tensor:
        mean, variance, gamma, beta = (weights[f"batch_normalization_{i}/{n}"] for n in (*MOVING, "gamma", "beta"))
        return F.batch_norm(x, mean, variance, gamma, beta, eps=1e-3)

    def layer(i: int, x: Tensor) -> Tensor:
        kernel, bias = weights[f"conv2d_{i}/kernel"].permute(3, 2, 0, 1), weights[f"conv2d_{i}/bias"]
        k = kernel.shape[2]
        return norm(i + 1, F.relu(F.conv2d(F.pad(x, (0, 0, (k - 1) // 2, k // 2)), kernel, bias)))

    @torch.inference_mode()
    def embed(waves: np.ndarray) -> np.ndarray:
        mel = librosa.feature.melspectrogram(y=waves, sr=SAMPLE_RATE, n_fft=512, hop_length=256, n_mels=96)
        x = norm(0, torch.from_numpy(np.log10(10_000 * mel + 1)).mT[:, None])  # (n, 1, T, 96)
        found = [torch.cat([layer(i, x).amax(3) for i in range(5)], dim=1)]
        found.append(layer(5, found[0].mT[:, None])[..., 0])
        for i in (6, 7):
            found.append(layer(i, found[-1].mT[:, None])[..., 0] + found[-1])
        windows = torch.cat(found, dim=1).unfold(2, min(187, mel.shape[2]), 31).transpose(1, 2)  # (n, w, 753, 187)
        x = norm(9, torch.stack([windows.amax(3), windows.mean(3)], dim=3).flatten(0, 1).flatten(1))
        x = norm(10, F.relu(x @ weights["dense_0/kernel"] + weights["dense_0/bias"]))
        return x.unflatten(0, windows.shape[:2]).numpy()

    return embed, compare or (lambda mixes, stems: cosine(mixes.mean(axis=1), stems.mean(axis=1)))


MUSICNN_KERNELS = (
    (7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51),
    (7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64),
)  # fmt: skip
MUSICNN_NORMS = (1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)
MOVING = ("moving_mean", "moving_variance")


def minus_frechet(mixes: np.ndarray, stems: np.ndarray) -> np.ndarray:
    """Minus the Fréchet distance between the Gaussians of two clips' windows, (n, w, D) and (m, w, D) to (n, m). With
    centred windows X and Y, tr (C_x C_y)^(1/2) is the sum of the singular values of X Y^T, so few windows suffice."""
    means = mixes.mean(axis=1), stems.mean(axis=1)
    x, y = ((c - c.mean(axis=1, keepdims=True)) / max(1, c.shape[1] - 1) ** 0.5 for c in (mixes, stems))
    common = np.linalg.svd(np.einsum("iad,jbd->ijab", x, y), compute_uv=False).sum(axis=2)
    return 2 * common - cdist(*means, "sqeuclidean") - (x**2).sum((1, 2))[:, None] - (y**2).sum((1, 2))


def _musly(_: Path | None) -> Parts:
    """Musly's *timbre* (Schnitzer 2014): Gaussians of MFCCs, their distances normalised over all clips compared."""
    pymusly = import_module("pymusly")

    def embed(waves: np.ndarray) -> np.ndarray:
        box = pymusly.MuslyJukebox("timbre", "none")
        tracks = (box.serialize_track(box.track_from_audiodata(wave)) for wave in waves)
        return np.stack([np.frombuffer(track, ">f4") for track in tracks])  # NaN for silence

    def compare(mixes: np.ndarray, stems: np.ndarray) -> np.ndarray:
        box, clips = pymusly.MuslyJukebox("timbre", "none"), np.concatenate([mixes, stems])
        tracks = [box.deserialize_track(kept.astype(">f4").tobytes()) for kept in clips]
        box.set_style([track for track, sounds in zip(tracks, np.isfinite(clips).all(axis=1), strict=True) if sounds])
        known = list(zip(box.add_tracks(tracks), tracks, strict=True))
        apart = [box.compute_similarity(each, known[len(mixes) :]) for each in known[: len(mixes)]]
        return -np.nan_to_num(apart, nan=1.0)

    return embed, compare


def _pesto(_: Path | None) -> Parts:
    """PESTO (Riou et al. 2023), one pitch at a time: how sure it is of each pitch class, over the clip."""
    model = import_module("pesto.loader").load_model("mir-1k_g7", step_size=50.0, sampling_rate=SAMPLE_RATE)

    @torch.inference_mode()
    def embed(waves: np.ndarray) -> np.ndarray:
        _, sure, _, thirds = model(torch.from_numpy(waves), convert_to_freq=False, return_activations=True)
        weighed = (
            (sure[..., None] * thirds).mean(dim=1).roll(1, dims=1)
        )  # three bins a semitone, the middle one in tune
        semitones = F.pad(weighed.unflatten(1, (-1, 3)).sum(dim=2), (0, 4))
        return detrend(semitones.unflatten(1, (-1, 12)).sum(dim=1).double().numpy(), axis=1, type="constant")

    return embed, cosine


def _cdpam(_: Path | None) -> Parts:
    """CDPAM (Manocha et al. 2021), a learned distance between recordings. Its weights are a pickle of Python 2, which
    torch reads only without restrictions: no worse than importing the package that they come in."""
    with mock.patch("torch.load", partial(torch.load, weights_only=False)):
        model = import_module("cdpam").CDPAM(dev="cpu").model

    @torch.inference_mode()
    def embed(waves: np.ndarray) -> np.ndarray:
        return F.normalize(model.base_encoder(torch.from_numpy(waves * 32768).round()[:, None])[1], dim=1).numpy()

    @torch.inference_mode()
    def compare(mixes: np.ndarray, stems: np.ndarray) -> np.ndarray:
        x, y = torch.from_numpy(mixes).repeat_interleave(len(stems), 0), torch.from_numpy(stems).repeat(len(mixes), 1)
        return -model.model_dist(x, y).reshape(len(mixes), len(stems)).numpy()

    return embed, compare


def _in_pairs(measure: Callable[[np.ndarray, np.ndarray], float]) -> Parts:
    """A measure of two waveforms, or of their sum: nothing is kept of a clip but itself."""
    return np.asarray, lambda mixes, stems: np.array([[measure(mix, stem) for stem in stems] for mix in mixes])


def _visqol(_: Path | None) -> Parts:
    """ViSQOL (Chinen et al. 2020): how good the stem would be as a copy of the mix, 1 to 5."""
    api = import_module("visqol").VisqolApi()
    api.create(mode="audio")
    return _in_pairs(lambda mix, stem: api.measure_from_arrays(mix.astype(float), stem.astype(float), 48_000).moslqo)


def _clap(folder: Path | None) -> Parts:
    """CLAP (Wu et al. 2023): the embedding that it shares with text."""
    transformers = import_module("transformers")
    model = transformers.ClapModel.from_pretrained(folder, local_files_only=True).eval()
    prepare = transformers.ClapFeatureExtractor.from_pretrained(folder, local_files_only=True)

    @torch.inference_mode()
    def embed(waves: np.ndarray) -> np.ndarray:
        found = model.get_audio_features(**prepare(list(waves), sampling_rate=48_000, return_tensors="pt"))
        return getattr(found, "pooler_output", found).numpy()  # newer versions return it among others

    return embed, cosine


def _mert(folder: Path | None) -> Parts:
    """MERT (Li et al. 2024): the mean of its last layer over time."""
    model = load_mert(folder)
    return lambda waves: model(torch.from_numpy(waves)).mean(dim=(2, 3)).numpy(), cosine


def _audiobox(path: Path | None) -> Parts:
    """Audiobox Aesthetics (Tjandra et al. 2025): content enjoyment of mix and stem together."""
    predict = import_module("audiobox_aesthetics.infer").AesPredictor(str(path)).forward
    heard = partial(dict, sample_rate=SAMPLE_RATE)
    return _in_pairs(lambda mix, stem: predict([heard(path=torch.from_numpy(mix + stem)[None])])[0]["CE"])


MUSICNN = "--no-deps musicnn==0.1.0"  # its own pins cannot be met
OTHERS = {
    "musicnn": Other("tags: instruments, genre, mood", MUSICNN, _musicnn),
    "FAD": Other("tags, as distributions", MUSICNN, partial(_musicnn, compare=minus_frechet)),
    "musly": Other("timbre", "pymusly==2.0.0", _musly, rate=22_050),
    "PESTO": Other("one pitch at a time", "pesto-pitch==2.0.1", _pesto),
    "CDPAM": Other("difference between recordings", "cdpam==0.0.6 resampy==0.4.3", _cdpam, rate=22_050, tracks=8),
    "ViSQOL": Other("loss of quality", "visqol-python==3.8.0", _visqol, rate=48_000, tracks=8),
    "CLAP": Other("what words say of sound", "transformers", _clap, rate=48_000,
                  weights="a folder with the files of https://huggingface.co/laion/larger_clap_music"),
    "MERT": Other("music, without labels", "transformers", _mert, rate=RATE, weights=f"a folder with {EXAMPLE}"),
    "Audiobox CE": Other("enjoyment of the sum", "audiobox-aesthetics==0.0.4", _audiobox, tracks=8,
                         weights="checkpoint.pt of https://huggingface.co/facebook/audiobox-aesthetics"),
}  # fmt: skip
"""Every measure by the name that tables give it."""


def load(name: str, weights: Path | None = None) -> Score:
    """A measure of :data:`OTHERS` as a function ``score(mixes, stems)``. An InputError if it is unknown, if its package
    or its weights are missing or unusable, or if it does not tell noise from a tone."""
    if name not in OTHERS:
        raise InputError(f"no scorer {name!r}; there are {', '.join(OTHERS)}")
    row = OTHERS[name]
    if row.weights and (weights is None or not weights.exists()):
        raise InputError(f"{name} needs weights, {'and none are given' if weights is None else weights}: {row.weights}")
    try:
        embed, compare = row.load(weights)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(f"{name} needs a package ({error}): pip install {row.install}") from error
    except Exception as error:  # whatever is wrong with the files: each library has words of its own
        raise InputError(f"{name} cannot be read ({error}); it needs {row.weights or row.install}") from error

    def kept(waves: np.ndarray) -> Iterator[np.ndarray]:
        for at in range(0, len(waves), BATCH):
            part = np.asarray(waves[at : at + BATCH], dtype=np.float32)
            yield embed(np.ascontiguousarray(soxr.resample(part.T, SAMPLE_RATE, row.rate).T))

    def score(mixes: np.ndarray, stems: np.ndarray) -> np.ndarray:
        return compare(*(np.concatenate([*kept(side)]) for side in (mixes, stems))).astype(np.float64)

    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    (two,) = kept(0.1 * np.stack([np.random.default_rng(0).normal(size=len(time)), np.sin(880 * np.pi * time)]))
    apart = np.ptp(two, axis=0).max() > 0  # not so for NaN either
    if not (apart and np.ptp(scores := compare(two, two)) > 1e-5 * np.abs(scores).max()):
        raise InputError(f"{name} does not tell noise from a tone; its weights are not what they should be")
    return score


def by_other(name: str, weights: Path | None = None) -> Scorer:
    """A measure as a scorer for ``retrieval.evaluate``: scores, by its name, and processor ``"seconds"`` of a pair."""
    score = load(name, weights)

    def scores(cuts: Cuts) -> dict[str, np.ndarray]:
        mixes, stems = np.stack([waves for _, waves in cuts], axis=1)
        start = process_time()
        score(mixes[:1], stems[:1])
        return {"seconds": np.array(process_time() - start), name: score(mixes, stems)}

    return scores


def evaluate(
    name: str,
    corpus: str,
    ks: Sequence[int],
    *,
    draws: int = 1,
    limit: int = 0,
    split: str = "test",
    seed: int = 0,
    weights: Path | None = None,
    progress: bool = True,
) -> list[dict]:
    """What a measure is worth on the pairs of a corpus' tracks, the same as the models', found or made: a row
    (``estimate``, ``metric``, ``k``) for each K of ``ks`` that so many tracks allow, and one for the seconds of a pair.
    ``draws``, ``limit``, ``split`` and ``seed`` are those of the models' test, ``weights`` is as of :func:`load`."""
    scorer = by_other(name, weights)
    least = min(filter(None, (limit, OTHERS[name].tracks)), default=None)
    tracks = corpora.load(corpus, split, limit=least, progress=progress)
    files = sorted(file for file in (weights, *weights.rglob("*")) if file.is_file()) if weights else []
    key = [name, corpora.version(corpus), fingerprint.of_code("evaluate/others.py"), [*map(fingerprint.of_file, files)]]
    label = f"{name} on {corpus}" if progress else ""
    found = retrieval.evaluate(scorer, tracks, draws, seed=seed, key=key, label=label)
    rows = [{"metric": "seconds", "k": None, "estimate": float(found["seconds"].mean())}]
    for k in (k for k in ks if k <= len(tracks)):
        rows.append({"metric": "top1", "k": k, "estimate": estimate(retrieval.by_track(found[name], k))})
    return rows
