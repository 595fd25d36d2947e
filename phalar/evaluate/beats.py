"""Zero-shot beat tracking: a model that never saw a beat finds them by the metronome that fits (paper section 4,
"Beats"; book notebook *Beats*).

Similarity to metronomes is a map, tempo by time. As published one slides the music (:func:`published_map`); our way
slides the metronome (:func:`shifted_map`), which takes a sixteenth of the windows. Two ways lead from a map to beats:
as published, where it rises, summed over tempi (:func:`onset_curve`); ours is the best path through it.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, zip_longest
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import pandas as pd
import soxr
import torch
import torch.nn.functional as F
from scipy.ndimage import maximum_filter, rank_filter, uniform_filter1d
from torch import Tensor
from tqdm import tqdm

from phalar import corpora, fingerprint
from phalar.audio import SAMPLE_RATE, is_silent, mono
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import installed
from phalar.datasets.prepare import load, prepare
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate.statistics import difference, estimate
from phalar.evaluate.trackers import METRICS, TRACKERS, Tracker, beat_scores, kept
from phalar.model.assembly import build
from phalar.model.frontend import HOP as SAMPLES_A_FRAME
from phalar.model.pooling import SpectralPooling
from phalar.model.stem_model import StemModel

TEMPI = tuple(range(30, 241))  # beats a minute of the published bank
SECONDS = 5.0  # length of a published metronome. (The pieces' windows have 4.8.)
FIRST = 0.02  # seconds of the first click: what fits has a beat that much after its beginning
FRAME = SAMPLES_A_FRAME / SAMPLE_RATE  # seconds a frame of the picture
WINDOW = 480  # frames of a window: 15 steps of the backbone, 4.8 s. (The paper says 5 s.)
PUBLISHED_HOP = 2  # frames from window to window
BATCH = 16  # windows that go through the network at once
STEADY = 1.0  # decibels between the loudest and softest tenth of a second of a tone or a hum. (Music: more than 10.)
DEVIATIONS = 3.0  # standard deviations above the mean from which a rise of the published map is kept
NEIGHBOURS = 3  # of a cell's 3 x 3 that must be kept for it to outlast the erosion

# Where the metronome slides.
HOP = 32  # frames from window to window, on average: a step of the backbone, 0.32 s
STEP = 0.01  # seconds a column of the map
SHIFT = 0.08  # seconds between shifts, at most; similarity in between is interpolated around the beat
OCTAVE = 36  # tempi an octave: steps of 2 %
LEAD = 1.0  # seconds of clicks before a metronome's window, so that its first frames are as in mid-music
SPAN = 2.0  # seconds over which windows must be spread for their mean to say what has nothing to do with beats
REACH = 2  # rows of the map by which the path's tempo may change from one beat to the next


@cache
def woodblock(sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """One click of the installed SoundFont's woodblock (A4), (N,) float32, peaking at one at 16 kHz."""
    rate = 2 * SAMPLE_RATE  # the sampler interpolates without a band limit, so it plays at twice our rate
    played = play(installed(), 115, [Note(0.0, 0.1, 69, 110)], SAMPLE_RATE, rate)  # General MIDI program, from 0
    click = soxr.resample(played, rate, SAMPLE_RATE)
    click = np.trim_zeros(np.where(np.abs(click) < 1e-4, 0, click), "b") / np.abs(click).max()
    return click if sample_rate == SAMPLE_RATE else soxr.resample(click, SAMPLE_RATE, sample_rate)


def metronome(bpm: float, seconds: float = SECONDS, first: float = FIRST) -> np.ndarray:
    """A metronome alone: (N,) float32 at 16 kHz, peaking at 0.9, of ``bpm`` beats a minute, so many ``seconds`` long.
    The ``first`` click begins after so many seconds; what sounds later than the end is cut."""
    samples = clicks_at(np.arange(first, seconds, 60 / bpm), round(seconds * SAMPLE_RATE))
    return np.asarray(0.9 * samples / max(np.abs(samples).max(), 1e-9), dtype=np.float32)


def clicks_at(times: Sequence[float], length: int, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """A click at each of these seconds, (length,) float32: lets one hear whether found beats are right."""
    sound = woodblock(sample_rate)
    out = np.zeros(length + len(sound), np.float32)
    for start in np.round(np.asarray(times) * sample_rate).astype(int):
        if 0 <= start < length:
            out[start : start + len(sound)] += sound
    return out[:length]


def picture_of(model: StemModel, audio: np.ndarray, sample_rate: int) -> Tensor | None:
    """The front end's picture of a whole piece, (1, bins, T) or with channels before the bins, on the model's device;
    None where it is silent, shorter than a window, or a steady tone: there is no beat to find. ``model`` is in eval
    mode, here and below; ``audio`` (N,) or (channels, N), float in [-1, 1] or integer PCM, at ``sample_rate`` in Hz. An
    InputError for what is no waveform, and for MERT, whose pictures have no frames of 10 ms."""
    samples, block = mono(audio, sample_rate), SAMPLE_RATE // 10
    if model.variant.backbone == "mert":
        raise InputError(f"variant {model.variant.name!r} has no picture of 10 ms frames; beats need one that does")
    if len(samples) < WINDOW * SAMPLES_A_FRAME or is_silent(samples):
        return None
    power = np.mean(samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64) ** 2, axis=1)
    steady = power.max() < power.min() * 10 ** (STEADY / 10)
    return None if steady else model.picture(torch.from_numpy(samples)[None].to(model.device))


def embed_windows(model: StemModel, picture: Tensor, starts: Sequence[int] | np.ndarray) -> Tensor:
    """Embeddings (W, 512) of the windows of a picture (1, ..., T) that begin at these frames."""
    batches = torch.as_tensor(starts).split(BATCH)
    cut = (torch.stack([picture[0, ..., start : start + WINDOW] for start in batch]) for batch in batches)
    return torch.cat([embed_pictures(model, batch) for batch in cut])


@torch.no_grad()
def embed_pictures(model: StemModel, pictures: Tensor) -> Tensor:
    """Embeddings (W, 512) of pictures (W, ..., frames), beginnings aligned: spectral pooling pads a short sequence at
    both ends; here all padding is at the right, as in the published evaluation of beats."""
    features = model.backbone(pictures)
    if isinstance(model.pooling, SpectralPooling):  # zeros project to zeros: this pads the projected sequence
        features = F.pad(features, (0, max(0, model.pooling.shortest - features.shape[-1])))
    return model.head(model.pooling(features))


def scattered_starts(frames: int, hop: int = HOP) -> np.ndarray:
    """Frames at which windows of a picture of so many frames begin, ``hop`` apart on average: scattered by the golden
    ratio, lest a tempo that marches in step with the windows look the same in all of them."""
    latest = frames - WINDOW
    count = 1 + -(-latest // hop)
    scatter = hop * ((np.arange(count) * (np.sqrt(5) - 1) / 2) % 1 - 0.5)
    return np.clip(np.round(np.linspace(0, latest, count) + scatter), 0, latest).astype(int)


class BeatMap(NamedTuple):
    """Similarity of a piece to metronomes; without columns where there is no beat to find."""

    values: np.ndarray  # (B, T) float64: how well a metronome of tempo b fits that clicks at t, in units of the score
    tempi: np.ndarray  # (B,) beats a minute, rising
    step: float = STEP  # seconds a column; the first is at 0

    @property
    def times(self) -> np.ndarray:
        """Seconds of the columns, (T,)."""
        return self.step * np.arange(self.values.shape[1])


def published_map(model: StemModel, audio: np.ndarray, sample_rate: int, tempi: Sequence[float] = TEMPI) -> BeatMap:
    """The map by sliding the music, as published: column t is the window that begins at t, and a beat is 0.02 s later,
    where a metronome's first click is. Audio as of :func:`picture_of`."""
    picture, rows = picture_of(model, audio, sample_rate), np.asarray(tempi, dtype=np.float64)
    if picture is None:
        return BeatMap(np.empty((len(tempi), 0)), rows, PUBLISHED_HOP * FRAME)
    sounds = torch.from_numpy(np.stack([metronome(bpm) for bpm in tempi])).to(model.device)
    bank = torch.cat([embed_pictures(model, model.picture(batch)) for batch in sounds.split(BATCH)])
    piece = embed_windows(model, picture, np.arange(0, picture.shape[-1] - WINDOW + 1, PUBLISHED_HOP))
    return BeatMap(model.similarity(bank, piece).double().cpu().numpy(), rows, PUBLISHED_HOP * FRAME)


class Bank(NamedTuple):
    """Metronomes embedded by one model: (b, n) clicks n / N_b of a beat after the window begins, then on every beat."""

    tempi: np.ndarray  # (B,) beats a minute
    shifts: np.ndarray  # (B,) int: N_b, the number of shifts of each
    embeddings: np.ndarray  # (sum of shifts, 512)


def shifted_bank(model: StemModel, tempi: Sequence[float] | np.ndarray, shift: float = SHIFT) -> Bank:
    """Metronomes embedded at every shift of a beat, ``shift`` seconds apart at most: some 600."""
    counts = np.array([max(2, int(np.ceil(60 / bpm / shift))) for bpm in tempi])
    parts = []
    for bpm, count in zip(tempi, counts, strict=True):
        beat = 60 / bpm
        sound = metronome(bpm, LEAD + beat + SECONDS, LEAD % beat)  # it clicks when the lead is over
        picture = model.picture(torch.from_numpy(sound)[None].to(model.device))
        # A window begins as much before a click as its shift is, at the nearest frame.
        before = np.array([LEAD, *(LEAD + beat * (1 - n / count) for n in range(1, count))])
        parts.append(embed_windows(model, picture, np.round(before / FRAME).astype(int)).cpu().numpy())
    return Bank(np.asarray(tempi, dtype=np.float64), counts, np.concatenate(parts))


def shifted_map(model: StemModel, bank: Bank, audio: np.ndarray, sample_rate: int) -> BeatMap:
    """The map by sliding the metronome, from a bank of the same model. Audio as of :func:`picture_of`."""
    picture = picture_of(model, audio, sample_rate)
    if picture is None:
        return BeatMap(np.empty((len(bank.tempi), 0)), bank.tempi)
    starts = scattered_starts(picture.shape[-1])
    embedded = torch.from_numpy(bank.embeddings).to(model.device)
    similarity = model.similarity(embed_windows(model, picture, starts), embedded).double().cpu().numpy()
    return unrolled(similarity, bank, FRAME * starts, (picture.shape[-1] - 1) * FRAME)


def unrolled(similarity: np.ndarray, bank: Bank, begin: np.ndarray, seconds: float) -> BeatMap:
    """The map of a piece of so many seconds whose windows begin at seconds (W,), from their similarity to a bank
    (W, sum of shifts). Column t asks the two windows whose middle is nearest to t, in proportion to their nearness; at
    the ends the first and the last. Between shifts it is interpolated by the Fourier series around the beat."""
    times, last = STEP * np.arange(round(seconds / STEP)), len(begin) - 1
    values = np.zeros((len(bank.tempi), len(times)))
    place = np.interp(times - WINDOW * FRAME / 2, begin, np.arange(last + 1))
    before = np.minimum(place.astype(int), max(last - 1, 0))
    by_tempo = np.split(similarity, np.cumsum(bank.shifts)[:-1], axis=1)
    for row, bpm, scores in zip(values, bank.tempi, by_tempo, strict=True):
        # What has nothing to do with when beats fall: how well a click goes with this sound, and with this piece.
        scores = scores - scores.mean(axis=1, keepdims=True)
        if begin[-1] - begin[0] >= SPAN:
            scores = scores - scores.mean(axis=0)
        series = np.fft.rfft(scores, axis=1) / scores.shape[1]
        series[:, 1 : (scores.shape[1] + 1) // 2] *= 2  # each turns both ways; not the constant, nor the highest of N/2
        for window, share in ((before, 1 - (place - before)), (np.minimum(before + 1, last), place - before)):
            beats = (times - begin[window])[:, None] * bpm / 60
            turned = series[window] * np.exp(2j * np.pi * beats * np.arange(series.shape[1]))
            row += share * turned.real.sum(axis=1)
    return BeatMap(values, bank.tempi)


def onset_curve(values: np.ndarray) -> np.ndarray:
    """For each column of a map (B, T) the number of tempi whose similarity rises steeply there, cleaned of specks."""
    if values.shape[1] < 2:
        return np.zeros(values.shape[1])
    rise = np.gradient(values, axis=1)
    steep = rise > rise.mean() + DEVIATIONS * rise.std()
    eroded = rank_filter(steep.astype(float), -NEIGHBOURS, size=3, mode="constant")
    return maximum_filter(eroded, size=3, mode="constant").sum(axis=0)


def published_beats(beat_map: BeatMap) -> np.ndarray:
    """Seconds (beats,) by the published steps: dynamic programming (librosa's) over the onset curve of a map as
    :func:`published_map` gives it, and 0.02 s, the metronomes' first click."""
    curve = onset_curve(beat_map.values)
    if not curve.any():
        return np.empty(0)
    # With a rate of frames and a hop of one, librosa's frames are the map's columns.
    _, columns = librosa.beat.beat_track(onset_envelope=curve, sr=1 / beat_map.step, hop_length=1, units="frames")
    return np.asarray(columns, dtype=np.float64) * beat_map.step + FIRST


@dataclass(frozen=True)
class Prior:
    """What the path takes for likely before it sees the map. Costs and earnings are in standard deviations of the
    contrast, held for a second: earnings count by the time that a beat covers, else quick tempi would win."""

    lowest: float = 55.0  # beats a minute
    highest: float = 215.0
    usual: float = 110.0  # the tempo that earns nothing less
    octaves: float = 0.8  # so many away from it ``pull`` is taken off (times a half)
    pull: float = 0.6
    change: float = 30.0  # cost of an octave's change of tempo from one beat to the next
    slip: float = 0.06  # cost of a beat that comes a column early or late


def contrast(beat_map: BeatMap) -> np.ndarray:
    """A map's values less their mean over a beat's length, (B, T), over their deviation; 0 where nothing swings."""
    spans = np.maximum(np.round(60 / beat_map.tempi / beat_map.step).astype(int), 1)
    means = [uniform_filter1d(row, span, mode="nearest") for row, span in zip(beat_map.values, spans, strict=True)]
    swing = beat_map.values - np.stack(means)
    return swing / swing.std() if np.abs(swing).max(initial=0) > 1e-9 else np.zeros_like(swing)


def path_beats(beat_map: BeatMap, prior: Prior = Prior()) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of the beats of the best path through a map of the whole piece, ascending, and the tempo of each in beats
    a minute, both (beats,). Empty where nothing swings."""
    allowed = (beat_map.tempi >= prior.lowest) & (beat_map.tempi <= prior.highest)
    swing, tempi = contrast(beat_map)[allowed], beat_map.tempi[allowed]
    if not swing.any():
        return np.empty(0), np.empty(0)
    (rows, length), seconds = swing.shape, 60 / tempi
    unusual = (np.log2(tempi / prior.usual) / prior.octaves) ** 2
    earnings = (swing - prior.pull / 2 * unusual[:, None]) * seconds[:, None]
    columns = np.maximum(np.round(seconds / beat_map.step).astype(int), 2)
    # Where a path may go from each row: so many columns on, into which row, at what cost, (B, moves).
    slips, steps = (part.ravel() for part in np.meshgrid((0, -1, 1), np.arange(-REACH, REACH + 1), indexing="ij"))
    row = np.arange(rows)[:, None] + steps
    costs = np.where((row >= 0) & (row < rows), prior.slip * np.abs(slips), np.inf)
    row = row.clip(0, rows - 1)
    costs += prior.change * np.abs(np.log2(tempi[row] / tempi[:, None]))
    ahead = columns[:, None] + slips
    best = np.zeros((rows, length + columns.max() + 2))  # what each cell earns from there on; nothing after the end
    move = np.zeros((rows, length), dtype=int)
    for t in range(length - 1, -1, -1):
        choices = best[row, t + ahead] - costs
        move[:, t] = choices.argmax(axis=1)
        best[:, t] = earnings[:, t] + choices.max(axis=1)
    # The first beat comes within the first beat's length.
    _, b, t = max((best[b, :count].max(), b, int(best[b, :count].argmax())) for b, count in enumerate(columns))
    path = []
    while t < length:
        path.append((t * beat_map.step, tempi[b]))
        b, t = row[b, move[b, t]], t + ahead[b, move[b, t]]
    return tuple(np.array(path).T)


@dataclass(frozen=True)
class ZeroShot:
    """A model (in eval mode) as a beat tracker: no beats for silence, for less than 4.8 s, and for a steady tone. Bank
    and maps are kept in the cache by weights, sound and code, so that a prior can be tried in seconds."""

    model: StemModel
    octave: int = OCTAVE  # tempi of our way's metronomes in an octave

    def _kept(self, make: Callable, *given: object, sound: tuple = ()) -> dict[str, np.ndarray]:
        """What a function makes of the model, of what is given and, if so, of audio and its rate."""
        code = fingerprint.of_code("model", "evaluate/beats.py", "corpora/sampler.py", "corpora/soundfont.py")
        key = [fingerprint.of_weights(self.model), code, make.__name__, self.octave]
        key += [fingerprint.of_sound(*sound) if sound else ""]
        return fingerprint.cached("beats", key, lambda: make(self.model, *given, *sound)._asdict())

    @cached_property
    def bank(self) -> Bank:
        """Metronomes at all shifts, embedded once."""
        return Bank(**self._kept(shifted_bank, 55 * 2 ** (np.arange(2 * self.octave) / self.octave)))

    def map(self, audio: np.ndarray, sample_rate: int) -> BeatMap:
        """The map by sliding the metronome."""
        return BeatMap(**self._kept(shifted_map, self.bank, sound=(audio, sample_rate)))

    def beats(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Seconds of the beats, our way."""
        return path_beats(self.map(audio, sample_rate))[0]

    def published_beats(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Seconds of the beats, the published way: slow, with more than a thousand windows for 30 s."""
        return published_beats(BeatMap(**self._kept(published_map, sound=(audio, sample_rate))))


def evaluate(
    model: StemModel,
    tracks: Sequence[Track],
    published: int | None = None,
    others: Mapping[str, Tracker] = TRACKERS,
    octave: int = OCTAVE,
    progress: bool = True,
) -> pd.DataFrame:
    """Beats of tracks by a model (in eval mode) in both ways, by the same network with fresh weights (``"untrained"``,
    the floor), and by others. The published way, half a minute a piece, is taken on ``published`` of the tracks, all
    if not given; its rows are called ``" as published"`` after the model. Our way has ``octave`` tempi an octave.
    A row for each ``tracker`` and ``track``: ``genre``, ``feel``, :func:`beat_scores`, and ``beats``, seconds found."""
    few, tables = spread_over(tracks, published or len(tracks)) if published != 0 else [], []
    floor = build(model.variant, seed=0).eval().to(model.device)
    for name, ears in ((model.variant.name, ZeroShot(model, octave)), ("untrained", ZeroShot(floor, octave))):
        tables += [score(name, ears.beats, tracks, progress)]
        tables += [score(f"{name} as published", ears.published_beats, few, progress)]
    tables += [score(name, kept(name, tracker), tracks, progress) for name, tracker in others.items()]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def score(name: str, tracker: Tracker, tracks: Sequence[Track], progress: bool = True) -> pd.DataFrame:
    """What one tracker finds in tracks: rows as of :func:`evaluate`."""
    rows = []
    for track in tqdm(tracks, desc=f"beats by {name}", unit="piece", disable=not progress, mininterval=2.0):
        found = tracker(track.excerpt().sum(axis=0), track.sample_rate)
        about = {"tracker": name, "track": track.id, "genre": track.tags.get("genre"), "feel": track.tags.get("feel")}
        rows.append(about | beat_scores(track.beats[:, 0], found) | {"beats": found})
    return pd.DataFrame(rows)


def summary(found: pd.DataFrame, by: str = "feel") -> pd.DataFrame:
    """Means over pieces of what :func:`evaluate` found, a row each: ``variant`` (the tracker), ``split`` (``"test"``,
    all pieces, and each value of ``by``), ``metric`` and its ``estimate``. Besides the scores ``f1_minus_untrained``:
    by how much F1 lies above the floor's of the same way, piece by piece."""
    rows = []
    for split, part in [("test", found), *found.groupby(by)]:
        f1 = part.pivot(index="track", columns="tracker", values="f1")
        for name, own in part.groupby("tracker", sort=False):
            rows += [(name, split, metric, estimate(own[metric].to_numpy())) for metric in METRICS]
            floor = "untrained as published" if name.endswith(" as published") else "untrained"
            if floor in f1 and name != floor:
                both = f1[[name, floor]].dropna().to_numpy()
                rows.append((name, split, "f1_minus_untrained", difference(*both.T)))
    return pd.DataFrame(rows, columns=["variant", "split", "metric", "estimate"])


def halves(limit: int = 0, progress: bool = True) -> dict[str, list[Track]]:
    """The pieces of `beats`, ``"straight"`` and ``"expressive"``, at most ``limit`` of each; 0 for all."""
    if limit < 0:
        raise InputError(f"limit={limit}: give the number of pieces of each half, or 0 for all")
    casts = corpora.beats.castings()
    # In every 40 pieces of the corpus each genre has four, one of each way to play and to sound.
    known = sorted(list(casts)[: 40 * -(-limit // 20) or None])
    parts = {half: [piece for piece in known if casts[piece].feel == half] for half in ("straight", "expressive")}
    parts = {half: spread_over(own, limit, lambda piece: casts[piece].genre) for half, own in parts.items()}
    loaded = corpora.load("beats", "test", ids={*chain(*parts.values())}, progress=progress)
    return {half: [track for piece in own for track in loaded if track.id == piece] for half, own in parts.items()}


def spread_over(pieces: Sequence, limit: int, genre: Callable = lambda track: track.tags.get("genre", "")) -> list:
    """At most ``limit`` pieces (0: all), always the same ones: genres in turn, every other one from its second on."""
    genres = {}
    for piece in pieces:
        genres.setdefault(genre(piece), []).append(piece)
    turned = (found[place % len(found) :] + found[: place % len(found)] for place, found in enumerate(genres.values()))
    chosen = [piece for piece in chain(*zip_longest(*turned)) if piece is not None]
    return chosen[:limit] if 0 < limit < len(pieces) else list(pieces)


def gtzan(root: Path | str, annotations: Path | str) -> list[Track]:
    """The clips of a copy of GTZAN that have beats, prepared first if need be; a PhalarWarning counts those that are
    left out, an InputError says that there are none."""
    made = prepare("gtzan", root, {"annotations": Path(annotations)})
    usable = [track for track in load(made.name) if track.beats is not None]
    if not usable:
        raise InputError(f"no clip under {root} has beats under {annotations}; name the folders that belong together")
    left = made.expected["test"] - len(usable)
    warnings.warn(f"{len(usable)} clips are scored; {left} have no sound or no beats", PhalarWarning, 2)
    return usable
