"""Does this stem fit this mix? Scores and rankings over whole recordings, of any rate and number of channels.

A mix and a stem are laid side by side from their beginning, over the part that both have. Where that is longer than the
10 s of training it is cut into windows of 5 s (the last ends with the part), and the score is the mean over those in
which both sides sound, each weighted by what it adds to those before it. Book page *The weights that ship*.
"""

import json
import os
import reprlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from phalar import audio, fingerprint
from phalar.audio import SAMPLE_RATE, Clip
from phalar.errors import InputError, PhalarWarning, SilentAudioWarning
from phalar.model import checkpoints
from phalar.model.assembly import build
from phalar.model.official import load_official
from phalar.model.stem_model import StemModel
from phalar.model.variants import ABLATIONS, VARIANTS

WHOLE = 10 * SAMPLE_RATE  # samples: no more than this is heard in one piece
WINDOW = 5 * SAMPLE_RATE  # samples: longer recordings are cut into pieces of this length
SOUNDS = (".wav", ".flac", ".ogg", ".mp3", ".aif", ".aiff")  # what a folder of stems is searched for
Model = StemModel | str | os.PathLike  # what `resolve_model` takes
MISMATCHED = checkpoints.REFERENCE_FILE.with_suffix(".json")  # as `phalar study ship` writes it


class Score(float):
    """How well a stem fits a mix: a number on its model's own scale, no probability.

    ``weights``: the model's name and the hash of its weights, ``"reference 1a2b3c4d5e6f"``. ``percentile``: how many in
    a hundred mismatched pairs of the built-in test sets (a mix, and a stem of another piece, 5 s) score lower, 0..100;
    None for other weights than those that ship.
    """

    def __new__(cls, value: float, weights: str = "", percentile: float | None = None) -> "Score":
        made = super().__new__(cls, value)
        made.weights, made.percentile = weights, percentile
        return made


@dataclass(frozen=True)
class Match:
    """One stem of a ranking."""

    name: str  # its path, or "stem 3" for the third (from 0) where an array was given
    index: int  # its place among the stems that were given, from 0
    score: Score | None  # how well it fits; 0 where it never sounds together with the mix, None where it is unreadable
    windows: tuple[tuple[float, float, float], ...] = ()  # (begin s, end s, score) of those the score is the mean of
    problem: str | None = None  # why it could not be read


def score(mix: Clip, stem: Clip, model: Model = "reference") -> Score:
    """How well a stem fits a mix that lacks it: a number, and its percentile among pairs that do not belong together.

    >>> phalar.score("mix.wav", (stem, 48_000))

    ``mix``, ``stem``: a path, or (array, rate), with an array (samples,) or (channels, samples), float in [-1, 1] or
    integer PCM, and a rate in Hz; at least 2 s each, both starting at the same moment of the music. ``model``: a
    StemModel, "reference", a checkpoint's path, or a variant's name (untrained).

    The mean over windows, the same to the last bit whatever was scored before; 0.0, with a SilentAudioWarning, where
    mix and stem never sound together. A clip that cannot be used, or an unknown model, is an InputError.
    """
    scorer = _Scorer(resolve_model(model), audio.load(mix, "mix"))
    return scorer.match("stem", 0, audio.load(stem, "stem")).score


def rank(mix: Clip, stems: Sequence[Clip] | str | os.PathLike, model: Model = "reference") -> list[Match]:
    """Stems by how well they fit a mix, best first, with a bar on standard error for more than 8.

    ``mix`` and ``model`` as in ``score``; ``stems``: paths, or (array, rate) pairs, of unequal length compared with
    unequal parts of the mix; or a folder, for all audio files in it.

    A stem that never sounds together with the mix has score 0.0 and no windows, with a SilentAudioWarning; one that
    cannot be read comes last, with score None and a PhalarWarning. No usable stem, model or mix: an InputError.
    """
    if isinstance(stems, str | os.PathLike) and (folder := Path(stems)).is_dir():
        stems = sorted(path for path in folder.iterdir() if path.suffix.lower() in SOUNDS)
        if not stems:
            raise InputError(f"{folder} holds no {', '.join(SOUNDS)} file; folders in it are not searched")
    if isinstance(stems, str | bytes | os.PathLike) or not isinstance(stems, Sequence) or not stems:
        raise InputError(f"stems: {reprlib.repr(stems)} is no list of clips, nor a folder; give at least one")
    scorer = _Scorer(resolve_model(model), audio.load(mix, "mix"))
    matches = []
    for index, stem in enumerate(tqdm(stems, desc="rank stems", unit="stem", disable=len(stems) <= 8)):
        name = os.fspath(stem) if isinstance(stem, str | os.PathLike) else f"stem {index}"
        try:
            matches.append(scorer.match(name, index, audio.load(stem, name)))
        except InputError as error:
            warnings.warn(f"left out of the ranking: {error}", PhalarWarning, 2)
            matches.append(Match(name, index, None, problem=str(error)))
    if all(match.problem for match in matches):
        raise InputError(f"none of the stems can be used: {matches[0].problem}")
    return sorted(matches, key=lambda m: (m.score is None, -(m.score or 0.0), m.index))


def resolve_model(model: Model) -> StemModel:
    """The model, in eval mode, that a name stands for: ``"reference"``; the path of a checkpoint, ours
    (``.safetensors``) or the authors' (``.ckpt``); or a variant's name, untrained, with the weights of seed 0. A model
    is returned as it is; for anything else an InputError lists what there is."""
    if isinstance(model, StemModel):
        return model
    if isinstance(model, str | os.PathLike):
        if model in VARIANTS | ABLATIONS:
            return build(model, seed=0).eval()
        if Path(model).suffix == ".ckpt":
            return load_official(model)
        if model == checkpoints.REFERENCE or Path(model).suffix == ".safetensors" or Path(model).is_file():
            return checkpoints.load(model)
    choices = f"'reference', the path of a .safetensors or .ckpt file, or one of {', '.join(VARIANTS)} (untrained)"
    raise InputError(f"model {reprlib.repr(model)}: no such checkpoint or variant; give {choices}")


def spans(samples: int) -> list[tuple[int, int]]:
    """Where a recording of that many samples is cut: one piece up to 10 s, else windows of 5 s, the last at its end."""
    if samples <= WHOLE:
        return [(0, samples)]
    starts = [*range(0, samples - WINDOW, WINDOW), samples - WINDOW]
    return [(start, start + WINDOW) for start in starts]


class _Scorer:
    """Scores windows of stems against the same windows of one mix, each of which is embedded once."""

    def __init__(self, model: StemModel, mix: np.ndarray) -> None:
        self.model, self.mix = model, mix
        self.embedded = cache(lambda start, stop: model.embed(mix[start:stop], SAMPLE_RATE))
        own, table = fingerprint.of_weights(model), json.loads(MISMATCHED.read_text())
        self.quantiles = table["quantiles"] if own == table["weights"] else None
        self.weights = f"{checkpoints.REFERENCE if self.quantiles else model.variant.name} {own}"

    def match(self, name: str, index: int, stem: np.ndarray) -> Match:
        windows, weights, heard = [], [], 0
        for start, stop in spans(min(len(self.mix), len(stem))):
            if audio.is_silent(self.mix[start:stop]) or audio.is_silent(stem[start:stop]):
                continue
            embedded = self.model.embed(stem[start:stop], SAMPLE_RATE)
            found = self.model.similarity(self.embedded(start, stop), embedded).item()
            windows.append((start / SAMPLE_RATE, stop / SAMPLE_RATE, found))
            weights.append(stop - max(start, heard))
            heard = stop
        if not windows:
            warnings.warn(f"silent audio: mix and {name} never sound together; the score is 0", SilentAudioWarning, 3)
            return Match(name, index, Score(0.0, self.weights))
        mean, percentile = np.average([found for *_, found in windows], weights=weights), None
        if self.quantiles:
            percentile = float(np.interp(mean, self.quantiles, np.linspace(0, 100, len(self.quantiles))))
        return Match(name, index, Score(mean, self.weights, percentile), tuple(windows))
