"""What the paper's appendices show: codecs (D), the bound of a score (E), the phase of a delayed excerpt (F), a change
of tempo and metre (G). Book notebooks *Where it breaks*, *Ablations*, *Phasors one can see and hear* and *Beats*.
"""

import io
import math
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from phalar.audio import SAMPLE_RATE
from phalar.corpora.stress import through_mp3
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate.beats import BeatMap, contrast
from phalar.evaluate.retrieval import Cuts, Scorer
from phalar.model.similarity import BilinearForm, HermitianForm, SemidefiniteForm, SesquilinearForm

Codec = Callable[[np.ndarray, int, int], tuple[np.ndarray, float]]


def through_opus(audio: np.ndarray, sample_rate: int, kbps: int) -> tuple[np.ndarray, float]:
    """What Opus (as libsndfile carries it) leaves of a recording, in time with the original: ``audio`` (samples,),
    float32 in [-1, 1], at 8, 12, 16, 24 or 48 kHz; 6 to 256 kbit/s. Returns the decoded audio, (samples,), float32, and
    the bit-rate of the file made, with what its container takes."""
    coded, level = io.BytesIO(), 1 - (kbps - 6) / (256 - 6)  # libsndfile's scale, straight in bit-rate
    soundfile.write(coded, audio, sample_rate, format="OGG", subtype="OPUS", compression_level=level)
    rate = 8 * coded.tell() / 1000 / (len(audio) / sample_rate)
    coded.seek(0)
    return soundfile.read(coded, dtype="float32")[0], rate


CODECS: dict[str, Codec] = {"Opus": through_opus, "MP3": through_mp3}


def neural(folder: Path) -> Codec:
    """DAC or EnCodec as a codec of (wave, rate, codebooks), from a folder with its weights as the library
    ``transformers`` saves them; of the residual quantiser's codebooks the first so many are kept. Paper, appendix D."""
    try:
        model = import_module("transformers").AutoModel.from_pretrained(folder, local_files_only=True).eval()
        own = model.config.sampling_rate
    except (ImportError, OSError, ValueError, AttributeError) as error:
        raise InputError(f"{folder}: no DAC or EnCodec ({error}); pip install transformers, give its folder") from error

    best = {"bandwidth": max(model.config.target_bandwidths)} if hasattr(model.config, "target_bandwidths") else {}

    @torch.inference_mode()
    def through(audio: np.ndarray, sample_rate: int, codebooks: int) -> tuple[np.ndarray, float]:
        made = model.encode(torch.from_numpy(soxr.resample(audio, sample_rate, own)).float()[None, None], **best)
        codes = made.audio_codes[..., :codebooks, :]
        scales = {"audio_scales": made.audio_scales} if "audio_scales" in made else {}
        decoded = model.decode(audio_codes=codes, **scales).audio_values.flatten()
        heard = soxr.resample(decoded.numpy(), own, sample_rate)
        bits = codes.numel() * math.log2(model.config.codebook_size)
        return np.resize(heard, len(audio)), bits / 1000 / (len(audio) / sample_rate)

    return through


def coded(score: Scorer, codec: Codec, kbps: int) -> Scorer:
    """A scorer that hears mix and stem, each by itself, through a codec, with so many kbit/s (or codebooks)."""

    def heard(cuts: Cuts) -> dict[str, np.ndarray]:
        return score((pair, np.stack([codec(wave, SAMPLE_RATE, kbps)[0] for wave in waves])) for pair, waves in cuts)

    return heard


def bounds(form: torch.nn.Module) -> tuple[float, float] | None:
    """How large a score can be, one way and symmetrised, whatever is heard: with M the matrix between the two unit
    embeddings, sigma_max(M) and the largest modulus of an eigenvalue of (M + M^H) / 2. None for a form without such a
    matrix (cosine, COCOLA's). Book page *The model*, "How large a score can be"."""
    if not isinstance(form, SesquilinearForm | BilinearForm):
        return None
    matrix = form.W.detach().cpu().to(torch.complex128)
    hermitian = (matrix + matrix.mH) / 2
    if isinstance(form, SemidefiniteForm):
        matrix = hermitian = matrix.mH @ matrix
    elif isinstance(form, HermitianForm):
        matrix = hermitian
    return torch.linalg.svdvals(matrix).max().item(), torch.linalg.eigvalsh(hermitian).abs().max().item()


def mean_phase(z: np.ndarray) -> np.ndarray:
    """Turns (J,) of embeddings (J, 512) at rising delays: the mean over entries of each one's unwrapped phase, weighted
    by its mean modulus. A real entry's phase is 0 or half a turn."""
    turns = np.unwrap(np.angle(z), axis=0) / (2 * np.pi)
    return turns @ np.abs(z).mean(axis=0) / np.maximum(np.abs(z).mean(axis=0).sum(), 1e-12)


def joined(first: Track, second: Track, seconds: float) -> tuple[np.ndarray, np.ndarray, float]:
    """A piece that changes its tempo and metre: whole bars of one mix, about so many seconds of them, then the other
    from a downbeat on, as long, at the same rate. Audio (N,) float32; beats (n, 2); the moment of the change."""
    rate, bars = first.sample_rate, first.beats[first.beats[:, 1] == 1, 0]
    change, start = bars[np.abs(bars - seconds).argmin()], second.beats[second.beats[:, 1] == 1, 0][0]
    one, other = first.excerpt(0, round(change * rate)), second.excerpt(round(start * rate), round(seconds * rate))
    after = second.beats[(second.beats[:, 0] >= start) & (second.beats[:, 0] < start + seconds)]
    beats = np.concatenate([first.beats[first.beats[:, 0] < change], after + np.array([change - start, 0])])
    return np.concatenate([one.sum(axis=0), other.sum(axis=0)]), beats, float(change)


def loudest(beat_map: BeatMap, start: float, stop: float) -> float:
    """The tempo (beats a minute) whose row of a map swings most between two moments in seconds; NaN where none does."""
    swing = contrast(beat_map)[:, (beat_map.times >= start) & (beat_map.times < stop)]
    return float(beat_map.tempi[(swing**2).sum(axis=1).argmax()]) if swing.any() else np.nan
