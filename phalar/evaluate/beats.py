"""Zero-shot beat tracking: a model that never saw a beat finds them by the metronome that fits (paper section 4,
"Beats"; book notebook *Beats*).

Two ways lead from a map of ``metronomes.py`` to beats. **As published** it is differentiated over time, only the
steepest rises are kept, specks are cleaned away, and what remains is summed over tempi: an onset curve, for any beat
tracker. **Ours**: beats are a path through the map. One at time t in tempo b earns what the map holds there, and the
next comes a beat of that tempo later, in the same tempo or one close by. The best path is found exactly.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, zip_longest
from pathlib import Path

import librosa
import numpy as np
import pandas as pd
from scipy.ndimage import maximum_filter, rank_filter, uniform_filter1d
from tqdm import tqdm

from phalar import corpora, fingerprint
from phalar.datasets.files import open_tracks
from phalar.datasets.prepare import dataset
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate import metronomes
from phalar.evaluate.metronomes import FIRST, OCTAVE, Bank, BeatMap
from phalar.evaluate.statistics import difference, estimate
from phalar.evaluate.trackers import METRICS, TRACKERS, Tracker, beat_scores
from phalar.model.assembly import build
from phalar.model.stem_model import StemModel

DEVIATIONS = 3.0  # standard deviations above the mean from which a rise is kept
NEIGHBOURS = 3  # of a cell's 3 x 3 that must be kept for it to outlast the erosion
REACH = 2  # rows of the map by which the path's tempo may change from one beat to the next


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
    :func:`phalar.evaluate.metronomes.published_map` gives it, and 0.02 s, the metronomes' first click."""
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

    def of(self, tempi: np.ndarray) -> np.ndarray:
        """What each tempo earns a second before the map is seen, (B,), 0 or less."""
        return -self.pull / 2 * (np.log2(tempi / self.usual) / self.octaves) ** 2


def contrast(beat_map: BeatMap) -> np.ndarray:
    """A map's values less their mean over the beat around each moment, (B, T), in units of their standard deviation.
    Zeros where nothing swings."""
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
    earnings = (swing + prior.of(tempi)[:, None]) * seconds[:, None]
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
    """A model (in eval mode) as a beat tracker: no beats for silence, for less than 4.8 s, and for a steady tone. All
    before the decoding is kept in the cache by weights, sound and code, so that a decoding can be tried in seconds."""

    model: StemModel
    octave: int = OCTAVE  # tempi of our way's metronomes in an octave

    def _kept(self, name: str, *given: object, sound: tuple = ()) -> dict[str, np.ndarray]:
        """What a function of ``metronomes`` makes of the model, of what is given and, if so, of audio and its rate."""
        key = [fingerprint.of_weights(self.model), fingerprint.of_code("model", "evaluate/metronomes.py"), name]
        key += [self.octave, fingerprint.of_sound(*sound) if sound else ""]
        make = getattr(metronomes, name)
        return fingerprint.cached("beats", key, lambda: vars(make(self.model, *given, *sound)))

    @cached_property
    def bank(self) -> Bank:
        """Metronomes at all shifts, embedded once."""
        return Bank(**self._kept("shifted_bank", metronomes.ladder(self.octave)))

    def map(self, audio: np.ndarray, sample_rate: int) -> BeatMap:
        """The map by sliding the metronome."""
        return BeatMap(**self._kept("shifted_map", self.bank, sound=(audio, sample_rate)))

    def beats(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Seconds of the beats, our way."""
        return path_beats(self.map(audio, sample_rate))[0]

    def published_beats(self, audio: np.ndarray, sample_rate: int) -> np.ndarray:
        """Seconds of the beats, the published way: slow, with more than a thousand windows for 30 s."""
        return published_beats(BeatMap(**self._kept("published_map", sound=(audio, sample_rate))))


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

    Returns a row for each ``tracker`` and ``track``: its ``genre`` and ``feel``, the scores of
    :func:`phalar.evaluate.trackers.beat_scores`, and ``beats``, the seconds found.
    """
    few, tables = spread_over(tracks, published or len(tracks)) if published != 0 else [], []
    floor = build(model.variant, seed=0).eval().to(model.device)
    for name, ears in ((model.variant.name, ZeroShot(model, octave)), ("untrained", ZeroShot(floor, octave))):
        tables.append(score(name, ears.beats, tracks, progress))
        tables.append(score(f"{name} as published", ears.published_beats, few, progress))
    tables += [score(name, tracker, tracks, progress, keep=True) for name, tracker in others.items()]
    return pd.concat([table for table in tables if len(table)], ignore_index=True)


def score(
    name: str, tracker: Tracker, tracks: Sequence[Track], progress: bool = True, keep: bool = False
) -> pd.DataFrame:
    """What one tracker finds in tracks: rows as of :func:`evaluate`. With ``keep`` its beats are kept in the cache."""
    rows, code = [], fingerprint.of_code("evaluate/trackers.py")
    for track in tqdm(tracks, desc=f"beats by {name}", unit="piece", disable=not progress, mininterval=2.0):
        if track.beats is None:
            raise InputError(f"track {track.id} of {track.dataset} has no beats to compare with")
        sound = track.excerpt().sum(axis=0), track.sample_rate
        find = partial(tracker, *sound)
        key = [name, getattr(tracker, "weights", ""), fingerprint.of_sound(*sound), code]
        found = fingerprint.cached("beats", key, lambda find=find: {"beats": find()})["beats"] if keep else find()
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
    """The pieces of `beats`, ``"straight"`` and ``"expressive"``; ``limit`` of each at most, 0 for all. No other piece
    is rendered."""
    if limit < 0:
        raise InputError(f"limit={limit}: give the number of pieces of each half, or 0 for all")
    casts, chosen = corpora.beats.castings(), {}
    # In every 40 pieces of the corpus each genre has four, one of each way to play and to sound.
    known = sorted(list(casts)[: 40 * -(-limit // 20) or None])
    for half in ("straight", "expressive"):
        own = [piece for piece in known if casts[piece].feel == half]
        chosen[half] = spread_over(own, limit, genre=lambda piece: casts[piece].genre)
    loaded = corpora.load("beats", "test", ids={*chain(*chosen.values())}, progress=progress)
    return {half: [track for piece in own for track in loaded if track.id == piece] for half, own in chosen.items()}


def spread_over(pieces: Sequence, limit: int, genre: Callable = lambda track: track.tags.get("genre", "")) -> list:
    """At most ``limit`` pieces (0: all), always the same ones: genres in turn, every other one from its second on."""
    genres = {}
    for piece in pieces:
        genres.setdefault(genre(piece), []).append(piece)
    turned = (found[place % len(found) :] + found[: place % len(found)] for place, found in enumerate(genres.values()))
    chosen = [piece for piece in chain(*zip_longest(*turned)) if piece is not None]
    return chosen[:limit] if 0 < limit < len(pieces) else list(pieces)


def gtzan(root: Path | str, annotations: Path | str) -> list[Track]:
    """The clips of a copy of GTZAN that have beats, read from their own files; a PhalarWarning names those left out, an
    InputError says that there are none."""
    tracks, problems = open_tracks(dataset("gtzan").list(Path(root), annotations=Path(annotations)))
    usable = [track for track in tracks if track.beats is not None]
    if not usable:
        raise InputError(f"no clip under {root} has beats under {annotations}; name the folders that belong together")
    left = [track.id for track in tracks if track.beats is None] + [p.path.name for p in problems if p.serious]
    if left:
        named = f"{', '.join(left[:5])}{' and others' * (len(left) > 5)}"
        warnings.warn(f"{len(usable)} clips are scored; {len(left)} have no sound or beats: {named}", PhalarWarning, 2)
    return usable
