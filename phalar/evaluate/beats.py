"""Zero-shot beat tracking: a model that never saw a beat finds them by the metronome that fits (paper section 4,
"Beats"; book page *Beats*).

Here the parts are put together to trackers, functions of a waveform that give beats, like those of
:mod:`phalar.evaluate.trackers`. How the map comes about is in ``beat_map.py``, the published way from map to beats in
``beat_decoding.py``, ours in ``beat_path.py`` and ``beat_network.py``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from phalar.errors import InputError
from phalar.evaluate.beat_decoding import published_beats
from phalar.evaluate.beat_map import (
    STEP,
    BeatMap,
    PhaseScores,
    map_of,
    phase_scores,
    published_map,
    swings,
)
from phalar.evaluate.beat_network import network_beats
from phalar.evaluate.beat_path import one_tempo_beats, path_beats
from phalar.evaluate.beat_windows import Ruler, rotated_ruler, sliding_ruler
from phalar.evaluate.metronomes import FIRST
from phalar.evaluate.statistics import bootstrap_interval, paired_difference
from phalar.evaluate.trackers import Tracker
from phalar.model.stem_model import StemModel

NO_PULSE = 0.05
"""Share of a metronome's own swing below which a piece has no beat at any tempo."""

PUBLISHED_STEP = 0.02
"""Seconds a column of the published map."""


@dataclass(frozen=True)
class Decoder:
    """A way from a map to beats: the function, whether it wants the map as published (a column is a window that begins
    there) or of the whole piece, and what it is, in a few words."""

    beats: Callable[[BeatMap], np.ndarray]
    as_published: bool
    about: str


DECODERS: Mapping[str, Decoder] = {
    "published": Decoder(published_beats, True, "steepest rises, cleaned, summed over tempi; librosa's tracker"),
    "one tempo": Decoder(one_tempo_beats, False, "best path in the one tempo that swings most"),
    "network": Decoder(network_beats, False, "what swings, summed over tempi; madmom's dynamic Bayesian network"),
    "path": Decoder(path_beats, False, "best path through tempo and time"),
}
"""From the published to what works best."""

BEST = "path"


def decode(phases: PhaseScores | None, decoder: str = BEST) -> np.ndarray:
    """Beats from phase scores, seconds (beats,); none where there are no scores or no pulse in them.

    Raises
    ------
    InputError
        For an unknown decoder.
    """
    if decoder not in DECODERS:
        raise InputError(f"there is no decoder {decoder!r}: choose one of {', '.join(DECODERS)}")
    if phases is None or pulse(phases) < NO_PULSE:
        return np.empty(0)
    return DECODERS[decoder].beats(as_map(phases, decoder))


def as_map(phases: PhaseScores, decoder: str = BEST) -> BeatMap:
    """The map that a decoder reads, from phase scores."""
    if not DECODERS[decoder].as_published:
        return map_of(swings(phases), step=STEP)
    whole = map_of(phases, anchor=0.0, step=PUBLISHED_STEP)
    # A column says what clicks at its time; as published, what clicks 0.02 s later. And it ends where windows end.
    columns = round(FIRST / PUBLISHED_STEP)
    last = int(phases.starts[-1] / PUBLISHED_STEP) + 1
    return BeatMap(whole.values[:, columns : columns + last], whole.tempi, whole.step)


def pulse(phases: PhaseScores) -> float:
    """How much a piece swings at its clearest tempo, as a share of how much a metronome does."""
    clearest = max(float(np.sqrt(np.mean(each**2))) for each in swings(phases).scores)
    return clearest / phases.scale if phases.scale > 0 else 0.0


def zero_shot(model: StemModel, decoder: str = BEST, ruler: Ruler | None = None) -> Tracker:
    """A model as a beat tracker, by sliding metronomes.

    >>> track = zero_shot(phalar.load("reference"))
    >>> track(samples, 44_100)

    Parameters
    ----------
    model : StemModel
        In eval mode.
    decoder : str
        A key of :data:`DECODERS`.
    ruler : Ruler, optional
        Of the same model; :func:`phalar.evaluate.beat_windows.sliding_ruler` if not given, which takes
        as long as most of a piece in the published way.

    Returns
    -------
    Tracker
        Gives no beats for silence, for less than 4.8 s, and for sound without a pulse.

    Raises
    ------
    InputError
        For an unknown decoder, or a model whose pictures have no frames.
    """
    if decoder not in DECODERS:
        raise InputError(f"there is no decoder {decoder!r}: choose one of {', '.join(DECODERS)}")
    ruler = sliding_ruler(model) if ruler is None else ruler
    return lambda audio, sample_rate: decode(phase_scores(model, audio, sample_rate, ruler), decoder)


def rotated(model: StemModel) -> Tracker:
    """The best decoder with one metronome a tempo, its shifts made by the shift theorem
    (:func:`phalar.evaluate.beat_windows.rotated_ruler`)."""
    return zero_shot(model, BEST, rotated_ruler(model))


def as_published(model: StemModel, hop: int = 2) -> Tracker:
    """A model as a beat tracker by sliding the music, a window every ``hop`` frames of 10 ms, and the published
    decoding: the reference path, slow."""

    def track(audio: np.ndarray, sample_rate: int) -> np.ndarray:
        beat_map = published_map(model, audio, sample_rate, hop=hop)
        return np.empty(0) if beat_map is None else published_beats(beat_map)

    return track


@dataclass(frozen=True)
class Summary:
    """A score's mean over tracks, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float
    tracks: int


def summarise(scores: Sequence[Mapping[str, float]]) -> dict[str, Summary]:
    """Means over tracks of :func:`phalar.evaluate.trackers.beat_scores`, by score."""
    if not scores:
        raise InputError("no tracks were scored")
    columns = {name: np.array([each[name] for each in scores]) for name in scores[0]}
    return {
        name: Summary(float(values.mean()), *bootstrap_interval(values), len(values))
        for name, values in columns.items()
    }


def above(ours: Sequence[Mapping[str, float]], floor: Sequence[Mapping[str, float]], score: str = "f1") -> Summary:
    """By how much one tracker's score exceeds another's on the same tracks: the mean difference and its interval."""
    pairs = [np.array([each[score] for each in scores]) for scores in (ours, floor)]
    return Summary(*paired_difference(*pairs), len(ours))
