"""What the chord notebook and ``phalar evaluate chords`` ask for: frames found or made, probes, records of both.

Embedding windows is what takes time, so what pooling makes of each window is kept in the cache, a file a recording,
under the hash of the weights, the window and the code; the head and the probes are run anew. Book notebook *Chords*.
"""

import hashlib
import io
import json
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from phalar import corpora, fingerprint, memory, paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate import chord_folds, chord_frames, chord_labels, chords, madmom_bridge
from phalar.evaluate.statistics import bootstrap_interval, paired_difference
from phalar.matching import resolve_model
from phalar.model.stem_model import StemModel
from phalar.study.experiments import present
from phalar.study.results import Record, provenance
from phalar.train.loop import chosen_device

EXPERIMENT = "chords"
HEARD = ("chroma", "mean CQT")  # sources that no model makes
MAJORITY = "majority"  # a source with nothing in it
LAPTOP_HOP = 2.0  # seconds between windows, where nobody says otherwise: a hundred times the published one


@dataclass(frozen=True)
class Setting:
    """One line of the table: what is probed, how, for what, and on whom.

    ``source`` is a model's name in the study, "chroma", "mean CQT" or "majority"; ``probe`` one of ``chords.PROBES``;
    ``vocabulary``, ``moment`` and ``folds`` as in the modules of those names. ``components`` are the components of
    spectral pooling that the probe is shown, instead of the embedding; none by default.
    """

    source: str
    probe: str = "real part"
    vocabulary: str = "majmin"
    moment: str = "start"
    folds: str = "progression"
    components: tuple[int, ...] = ()

    @property
    def split(self) -> str:
        """As records name it: all but the source."""
        shown = [f"components {'+'.join(map(str, self.components))}"] if self.components else []
        return ", ".join([self.vocabulary, f"label at {self.moment}", f"folds by {self.folds}", self.probe, *shown])


@dataclass(frozen=True)
class Windows:
    """All windows of some recordings, one recording after the other.

    Attributes
    ----------
    tracks : tuple of Track
        R recordings, with chords.
    hop : float
        Seconds.
    recording, starts : array (T,) int
        Which recording a window is of, and its first sample at 16 kHz.
    """

    tracks: tuple[Track, ...]
    hop: float
    recording: np.ndarray = field(repr=False)
    starts: np.ndarray = field(repr=False)

    @classmethod
    def over(cls, tracks: Sequence[Track], hop: float) -> "Windows":
        lengths = [track.num_samples * SAMPLE_RATE // track.sample_rate for track in tracks]
        starts = [
            chord_frames.window_starts(length, hop, track.id) for length, track in zip(lengths, tracks, strict=True)
        ]
        recording = np.repeat(np.arange(len(tracks)), [len(part) for part in starts])
        return cls(tuple(tracks), hop, recording, np.concatenate(starts))

    def times(self, moment: str) -> np.ndarray:
        """Seconds (T,) of the labelled moment of each window."""
        return self.starts / SAMPLE_RATE + chord_frames.MOMENTS[moment]

    def labels(self, moment: str) -> list[str]:
        """The label of each window."""
        times = self.times(moment)
        found: list[str] = []
        for i, track in enumerate(self.tracks):
            found += chord_frames.labels_at(track.chords, times[self.recording == i])
        return found


class ChordStudy:
    """Recordings, the models that hear them, and every probe that was fitted on them so far.

    Parameters
    ----------
    dataset : str
        A corpus or prepared data set of which every track has ``player`` and ``progression`` tags.
    models : dict of str to StemModel
        By the name that records and tables give them.
    recordings : int
        How many, always the same ones; 0 for all.
    hop : float
        Seconds between windows.
    device : str
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    progress : bool
        Bars on standard error.

    Raises
    ------
    InputError
        If no recording has chords, or one is shorter than a window. A recording without chords is left out with a
        PhalarWarning.
    """

    def __init__(
        self,
        dataset: str,
        models: dict[str, StemModel],
        *,
        recordings: int = 0,
        hop: float = LAPTOP_HOP,
        device: str = "auto",
        progress: bool = True,
    ) -> None:
        memory.keep_freed()
        self.dataset, self.progress = dataset, progress
        self.device = chosen_device(device)
        self.models = {name: model.to(self.device).eval() for name, model in models.items()}
        self.windows = Windows.over(choose(_with_chords(dataset, progress), recordings), hop)
        self._pooled: dict[tuple[str, float], np.ndarray] = {}
        self._probed: dict[tuple, chords.Probing] = {}

    @property
    def tracks(self) -> tuple[Track, ...]:
        return self.windows.tracks

    def features(self, setting: Setting, windows: Windows | None = None) -> np.ndarray:
        """What a setting shows its probe of each window, (T, D)."""
        windows = windows or self.windows
        if setting.source == MAJORITY:
            return np.zeros((len(windows.starts), 1), np.float32)
        pooled = self._found(setting.source, windows)
        if setting.source in HEARD:
            chroma, cqt = np.split(pooled, [12 * len(chord_frames.MOMENTS)], axis=1)
            by_moment = np.split(chroma, len(chord_frames.MOMENTS), axis=1)
            return cqt if setting.source == "mean CQT" else by_moment[list(chord_frames.MOMENTS).index(setting.moment)]
        model = self.models[setting.source]
        if setting.components:
            return chord_frames.spectral_components(pooled, model.pooling.components, setting.components)
        return chord_frames.embeddings(model, pooled)

    def probe(self, setting: Setting, training: int | None = None, seed: int = 0) -> chords.Probing:
        """A setting, cross-validated: found if it was asked for before."""
        key = setting, training, seed
        if key not in self._probed:
            vocabulary = chord_labels.vocabulary(setting.vocabulary)
            fold = chord_folds.by(self.tracks, setting.folds)
            with tqdm(
                total=int(fold.max()) + 1,
                desc=f"probe {setting.source}: {setting.split}",
                unit="fold",
                disable=not self.progress,
                leave=False,
            ) as bar:
                self._probed[key] = chords.cross_validate(
                    self.features(setting),
                    vocabulary.indices(self.windows.labels(setting.moment)),
                    self.windows.recording,
                    chord_folds.groups_of(self.tracks, setting.folds),
                    fold,
                    len(vocabulary.classes),
                    setting.probe,
                    training=training,
                    seed=seed,
                    device=self.device.type,
                    advance=bar.update,
                )
        return self._probed[key]

    def predict(self, setting: Setting, windows: Windows) -> list[str]:
        """Labels of other windows of the study's recordings, each by the probe that did not learn from it."""
        probing, features = self.probe(setting), self.features(setting, windows)
        classes = chord_labels.vocabulary(setting.vocabulary).classes
        place = {track.id: i for i, track in enumerate(self.tracks)}
        fold = np.array([probing.fold[place[track.id]] for track in windows.tracks])[windows.recording]
        found = np.zeros(len(features), dtype=np.int64)
        for tested in np.unique(fold):
            found[fold == tested] = probing.probes[tested].predict(features[fold == tested])
        return [classes[index] for index in found]

    def difference(self, one: Setting, other: Setting) -> tuple[float, float, float]:
        """How much more accurate one setting is than another, recording by recording, and its 95 % interval."""
        pair = [self.probe(setting).by_recording for setting in (one, other)]
        both = np.isfinite(pair[0]) & np.isfinite(pair[1])
        return paired_difference(pair[0][both], pair[1][both])

    def right(self, setting: Setting, windows: Windows) -> np.ndarray:
        """Of other windows, whether each is named rightly (T,): 1 or 0, NaN where the label has no class."""
        vocabulary = chord_labels.vocabulary(setting.vocabulary)
        truth = vocabulary.indices(windows.labels(setting.moment))
        found = vocabulary.indices(self.predict(setting, windows))
        return np.where(truth == chord_labels.OUTSIDE, np.nan, found == truth)

    def outside(self, setting: Setting) -> Counter:
        """Labels of the study's windows that have no class in a setting's vocabulary, and how many windows each."""
        return chord_labels.vocabulary(setting.vocabulary).unlisted(self.windows.labels(setting.moment))

    def scores(self, windows: Windows, moment: str, labels: Sequence[str]) -> dict[str, np.ndarray]:
        """``mir_eval``'s weighted scores (R,) of frame labels, by measure."""
        times = windows.times(moment)
        rows = []
        for i, track in enumerate(windows.tracks):
            here = np.flatnonzero(windows.recording == i)
            estimate = chords.segments(times[here], [labels[k] for k in here], windows.hop)
            rows.append(chords.weighted_scores(track.chords, estimate))
        return {name: np.array([row[name] for row in rows]) for name in chords.MEASURES}

    def recognised_scores(self, windows: Windows, moment: str = "start") -> dict[str, np.ndarray]:
        """The scores (R,) of madmom's chord recogniser over the time that the windows' labels cover."""
        times, rows = windows.times(moment), []
        for i, track in enumerate(windows.tracks):
            here = times[windows.recording == i]
            begin, end = max(0.0, here[0] - windows.hop / 2), here[-1] + windows.hop / 2
            heard = [(max(a, begin), min(b, end), label) for a, b, label in recognised(track, self.dataset)]
            rows.append(chords.weighted_scores(track.chords, [chord for chord in heard if chord[0] < chord[1]]))
        return {name: np.array([row[name] for row in rows]) for name in chords.MEASURES}

    def records(self, setting: Setting) -> list[Record]:
        """Accuracy, balanced accuracy, ``mir_eval``'s scores, and the share of windows whose label has no class."""
        probing = self.probe(setting)
        values = [("accuracy", probing.accuracy, *probing.interval())]
        if setting.probe == "as published":
            low, high = probing.published_interval()
            values.append(("accuracy_by_fold", (low + high) / 2, low, high))  # the mean over folds lies in its middle
        values.append(("balanced_accuracy", *probing.balanced()))
        classes = chord_labels.vocabulary(setting.vocabulary).classes
        scores = self.scores(self.windows, setting.moment, [classes[index] for index in probing.predicted])
        values += measured({name: scores[name] for name in _meant(setting.vocabulary)})
        share = sum(self.outside(setting).values()) / len(self.windows.starts)
        values.append(("outside_vocabulary", share, None, None))
        return self._records(setting.source, setting.split, values, asdict(setting))

    def ceiling_records(self, moment: str = "start") -> list[Record]:
        """``mir_eval``'s scores of the *true* labels at the same frames: no probe can do better at this hop."""
        scores = self.scores(self.windows, moment, self.windows.labels(moment))
        return self._records("true labels", f"label at {moment}", measured(scores), {"moment": moment})

    def recogniser_records(self, windows: Windows) -> list[Record]:
        """madmom's scores on other windows' time, as records."""
        values = measured(self.recognised_scores(windows))
        about = {"checked": [track.id for track in windows.tracks], "hop": windows.hop}
        return self._records("madmom", "recogniser", values, about, len(windows.tracks))

    def _records(self, source: str, split: str, values: Sequence[tuple], about: dict, n: int = 0) -> list[Record]:
        identity = [about, _identity(self.dataset, self.windows), self._weights(source)]
        return [
            Record(
                experiment=EXPERIMENT,
                dataset=self.dataset,
                split=split,
                variant=source,
                metric=metric,
                value=value,
                ci_low=low,
                ci_high=high,
                n=n or len(self.tracks),
                config_hash=fingerprint.fingerprint(identity),
                **provenance(self.device.type),
            )
            for metric, value, low, high in values
        ]

    def _weights(self, source: str) -> str:
        return weights(self.models[source]) if source in self.models else ""

    def _found(self, source: str, windows: Windows) -> np.ndarray:
        """What the cache keeps of windows, (T, P): pooled components of a model, or chroma and mean CQT."""
        name = "heard" if source in HEARD else source
        if source not in HEARD and source not in self.models:
            raise InputError(
                f"nothing is called {source!r} here; choose from {', '.join([*self.models, *HEARD])}, {MAJORITY}"
            )
        key = name, windows.hop
        ids = [track.id for track in windows.tracks]
        if (*key, *ids) not in self._pooled:
            self._pooled[(*key, *ids)] = self._find_or_make(name, windows)
        return self._pooled[(*key, *ids)]

    def _find_or_make(self, name: str, windows: Windows) -> np.ndarray:
        code = fingerprint.of_code("model", "evaluate/chord_frames.py")
        parts = [corpora.version(self.dataset), windows.hop, self._weights(name), code]
        folder = paths.cache() / "frames" / f"{name.replace(' ', '-')}-{fingerprint.fingerprint(parts)}"
        files = [folder / f"{track.id}.npy" for track in windows.tracks]
        missing = sum(not path.is_file() for path in files)
        bar = tqdm(total=missing, desc=f"frames of {name}", unit="recording", disable=not self.progress or not missing)
        with bar:
            for i, (track, path) in enumerate(zip(windows.tracks, files, strict=True)):
                if path.is_file():
                    continue
                audio, starts = chord_frames.mixture(track), windows.starts[windows.recording == i]
                _write(path, self._make(name, audio, starts))
                bar.update(1)
        return np.concatenate([np.load(path, allow_pickle=False) for path in files])

    def _make(self, name: str, audio: np.ndarray, starts: np.ndarray) -> np.ndarray:
        if name in self.models:
            return chord_frames.pooled_windows(self.models[name], audio, starts)
        magnitude = chord_frames.magnitudes(audio)
        times = [starts / SAMPLE_RATE + offset for offset in chord_frames.MOMENTS.values()]
        chroma = [chord_frames.chroma_at(magnitude, moments) for moments in times]
        return np.concatenate([*chroma, chord_frames.mean_cqt(magnitude, starts)], axis=1)


def evaluate(
    model: str,
    *,
    corpus: str = "comping",
    guitarset: Path | None = None,
    recordings: int = 0,
    hop: float = LAPTOP_HOP,
    device: str = "auto",
    progress: bool = True,
) -> list[Record]:
    """Probe a model for chords: what ``phalar evaluate chords`` prints.

    Parameters
    ----------
    model : str
        As :func:`phalar.matching.resolve_model` takes it.
    corpus : str
        A built-in corpus with chords and players, if no ``guitarset`` is given.
    guitarset : path, optional
        Root of a copy of GuitarSet; prepared first where it is not yet.
    recordings, hop, device, progress
        As of :class:`ChordStudy`.

    Raises
    ------
    InputError
        An unknown model or corpus, a root that holds no GuitarSet, or tracks without chords or players.
    """
    subject = resolve_model(model)
    name = subject.variant.name
    dataset = corpus if guitarset is None else opened(guitarset, progress)
    study = ChordStudy(dataset, {name: subject}, recordings=recordings, hop=hop, device=device, progress=progress)
    return [record for setting in settings(name, subject.variant.is_complex) for record in study.records(setting)]


def settings(source: str, is_complex: bool) -> list[Setting]:
    """The lines that one model gets: as published; by folds, readings, moments and vocabularies; baselines."""
    lines = [Setting(source, "as published", "published", folds="recording")]
    lines += [Setting(source, folds=kind) for kind in chord_folds.KINDS]
    lines += [Setting(source, "modulus"), Setting(source, "[Re, Im]")] if is_complex else []
    lines += [Setting(source, moment="centre"), Setting(source, vocabulary="root")]
    lines += [Setting(source, vocabulary="sevenths")]
    lines += [Setting(MAJORITY, MAJORITY), *(Setting(heard) for heard in HEARD)]
    return lines


def opened(root: Path | str, progress: bool = True) -> str:
    """The name of a copy of GuitarSet, prepared now if it is not yet.

    Raises
    ------
    InputError
        If there is no GuitarSet at the root.
    """
    found, absent = present([f"guitarset={root}"], progress=progress)
    for why in absent.values():
        raise InputError(why)
    return found[0]


def choose(tracks: Sequence[Track], recordings: int) -> list[Track]:
    """So many recordings in an order that has nothing to do with players and pieces, then sorted; 0 for all.

    A larger number takes the same ones, and more.
    """
    if recordings < 0:
        raise InputError(f"recordings={recordings}: give how many, or 0 for all")
    drawn = sorted(tracks, key=lambda track: hashlib.blake2b(track.id.encode()).digest())
    return sorted(drawn[: recordings or None], key=lambda track: track.id)


def measured(scores: dict[str, np.ndarray]) -> list[tuple[str, float, float, float]]:
    """(name, mean, low, high) over recordings of scores (R,); what does not apply to a recording is left out."""
    rows = []
    for name, values in scores.items():
        known = values[np.isfinite(values)]
        if len(known):
            rows.append((name, float(known.mean()), *bootstrap_interval(known)))
    return rows


def recognised(track: Track, dataset: str) -> list[tuple[float, float, str]]:
    """The chords that madmom hears in a recording, found in the cache or made."""
    digest = fingerprint.fingerprint([corpora.version(dataset), fingerprint.of_code("evaluate/madmom_bridge.py")])
    path = paths.cache() / "frames" / f"madmom-{digest}" / f"{track.id}.json"
    if not path.is_file():
        heard = madmom_bridge.chords(track.excerpt().sum(axis=0), track.sample_rate)
        _replace(path, json.dumps(heard).encode())
    return [(start, end, label) for start, end, label in json.loads(path.read_text())]


def weights(model: StemModel) -> str:
    """Hash of a model's variant and weights."""
    digest = hashlib.sha256(repr([getattr(model.variant, f.name) for f in fields(model.variant)]).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _with_chords(dataset: str, progress: bool) -> list[Track]:
    tracks = corpora.load(dataset, "test", progress=progress)
    found = [track for track in tracks if track.chords]
    if not found:
        raise InputError(f"no recording of {dataset} has chords; choose comping, or a root of GuitarSet")
    if len(found) < len(tracks):
        warnings.warn(
            f"{dataset}: {len(tracks) - len(found)} of {len(tracks)} recordings have no chords and are left out",
            PhalarWarning,
            stacklevel=2,
        )
    return found


def _identity(dataset: str, windows: Windows) -> list:
    return [corpora.version(dataset), [track.id for track in windows.tracks], windows.hop, chord_frames.SECONDS]


def _meant(vocabulary: str) -> tuple[str, ...]:
    """The measures that a vocabulary's classes can be scored by."""
    return {"root": ("root",), "sevenths": chords.MEASURES}.get(vocabulary, ("root", "majmin", "thirds"))


def _write(path: Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    _replace(path, buffer.getvalue())


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(data)
    os.replace(temporary, path)
