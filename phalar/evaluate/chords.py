"""What harmony a frozen embedding holds, read by one matrix (paper section 4, "Chords"; book notebook *Chords*).

A window of 5 s slides over a recording; its embedding is labelled by the chord at its start, as published, or at its
centre. A probe learns from some recordings and names the windows of others. Three things decide what its accuracy
means: which labels are one class, what test and training recordings share, and what else could have been read.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, partial
from hashlib import blake2b
from typing import NamedTuple

import librosa
import mir_eval
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.class_weight import compute_sample_weight
from tqdm import tqdm

from phalar import fingerprint
from phalar.audio import SAMPLE_RATE, mono_16k
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate.statistics import Estimate, difference, estimate
from phalar.evaluate.trackers import kept, madmom_chords
from phalar.model.complex_layers import complex_kaiming_
from phalar.model.frontend import BINS_PER_OCTAVE, FMIN, HOP, ConstantQ, decibels
from phalar.model.stem_model import StemModel

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
OUTSIDE = -1  # in place of a class
MEASURES = ("root", "majmin", "thirds", "sevenths")  # of mir_eval.chord
SECONDS = 5.0
WINDOW = round(SECONDS * SAMPLE_RATE)  # samples
MOMENTS = {"start": 0.0, "centre": SECONDS / 2}  # which moment of the window is labelled, in seconds from its start
PROBES = ("real part", "modulus", "as published", "majority")
PENALTIES = (10.0, 1.0, 0.1, 0.01)  # on half the squared length of the weights, beside the mean loss of a window
FLOOR = 0.1  # of the mean power of a principal axis: added to each axis' own before it is scaled to one
FOLDS = {"track": 5, "player": 100, "progression": 5}  # at most; by recording (as published) is by track
Chords = Sequence[tuple[float, float, str]]


QUALITIES = {"published": "maj min", "majmin": "maj min", "root": "1", "sevenths": "maj min 7 maj7 min7"}
VOCABULARIES = {
    name: ("N", *(f"{root}:{quality}" for quality in qualities.split() for root in PITCH_CLASSES))
    for name, qualities in QUALITIES.items()
}
"""Classes by vocabulary. ``published`` knows triads spelt with sharps; every other label becomes N. The others are
``mir_eval.chord``'s comparisons: a label is of the class that they call equal, and of none where they leave it out."""


@cache
def class_of(label: str, vocabulary: str = "majmin") -> int:
    """Number of a label's class, or ``OUTSIDE``; an InputError for what is no chord label."""
    classes = VOCABULARIES[vocabulary]
    if vocabulary == "published":
        return classes.index(label) if label in classes else 0
    try:
        equal = getattr(mir_eval.chord, vocabulary)([label] * len(classes), list(classes)) == 1
    except mir_eval.chord.InvalidChordException as error:
        raise InputError(f"chord label {label!r} cannot be read ({error}); write it as mir_eval: C:maj7/3") from error
    return int(equal.argmax()) if equal.any() else OUTSIDE


def _apart(chords: Chords) -> tuple[np.ndarray, list[str]]:
    """Spans (n, 2) and labels, as mir_eval takes them."""
    return np.array([chord[:2] for chord in chords]), [chord[2] for chord in chords]


def windows(tracks: Sequence[Track], hop: float) -> pd.DataFrame:
    """All windows that lie within the tracks, ``hop`` seconds apart (published: 0.02), a row each: ``track`` and its
    tags ``player``, ``progression`` and ``piece``; ``begin``, in samples at 16 kHz; the labels at ``start`` and
    ``centre``. The first begins below one hop, drawn by the track's name, since players of one piece keep to one click.
    An InputError for an impossible hop, and for a track without chords or shorter than a window."""
    if not 1 / SAMPLE_RATE <= hop <= 60:
        raise InputError(f"hop={hop!r}: seconds between windows must be above 0 and at most 60 (published: 0.02)")
    step, tables = round(hop * SAMPLE_RATE), []
    for track in tracks:
        last = track.num_samples * SAMPLE_RATE // track.sample_rate - WINDOW
        if last < 0 or not track.chords:
            what = f"is shorter than a window of {SECONDS:g} s" if last < 0 else "has no chords"
            raise InputError(f"{track.id} of {track.dataset} {what}; choose comping, or GuitarSet")
        drawn = int.from_bytes(blake2b(f"window/{track.id}".encode(), digest_size=8).digest(), "little") / 2**64
        begin = np.arange(int(drawn * min(step, last + 1)), last + 1, step)
        table = {"track": track.id} | {tag: track.tags.get(tag) for tag in ("player", "progression", "piece")}
        for name, later in MOMENTS.items():  # of two chords that meet, the one that begins; "X" if none
            times = begin / SAMPLE_RATE + later
            table[name] = mir_eval.util.interpolate_intervals(*_apart(track.chords), times, fill_value="X")
        tables.append(pd.DataFrame(table | {"begin": begin}))
    return pd.concat(tables, ignore_index=True)


def features(
    tracks: Sequence[Track], cut: pd.DataFrame, models: Mapping[str, StemModel], progress: bool = True
) -> dict[str, np.ndarray]:
    """What a probe may be shown of each of T windows, by source: a model's name, its embeddings (T, 512); ``"NAME
    pooled"`` (T, P); ``"chroma"`` (T, 12) and ``"mean CQT"`` (T, 96), see :func:`signals`; ``"majority"``, nothing.
    What takes time is kept in the cache, by weights, sound, windows and code."""
    code, found = fingerprint.of_code("model", "evaluate/chords.py"), {}
    makers = {name: (fingerprint.of_weights(model), partial(pooled, model)) for name, model in models.items()}
    for track in tqdm(tracks, desc="windows", unit="recording", disable=not progress, mininterval=2.0):
        audio = mono_16k(track.excerpt().sum(axis=0), track.sample_rate, track.id)
        begin = cut.loc[cut["track"] == track.id, "begin"].to_numpy()
        for name, (weights, make) in (makers | {"": ("signals", signals)}).items():
            whole = [weights, code, fingerprint.of_sound(audio, SAMPLE_RATE), begin.tolist()]
            for what, part in fingerprint.cached("chords", whole, partial(make, audio, begin)).items():
                found.setdefault(f"{name} {what}".strip(), []).append(part)
    found = {name: np.concatenate(parts) for name, parts in found.items()}
    with torch.no_grad():
        for name, model in models.items():
            found[name] = model.head(torch.from_numpy(found[f"{name} pooled"]).to(model.device)).cpu().numpy()
    return found | {"majority": np.zeros((len(cut), 1), np.float32)}


@torch.no_grad()
def pooled(model: StemModel, audio: np.ndarray, begin: np.ndarray, batch_size: int = 16) -> dict[str, np.ndarray]:
    """What a model's pooling makes, before the head, of windows of audio (N,) at 16 kHz that begin at samples (T,):
    ``pooled`` (T, P); for spectral pooling P = D * C, and entry d * C + k - 1 is projection d at k cycles a window."""
    cut = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)
    batches = np.split(begin, range(batch_size, len(begin), batch_size))
    waves = (torch.from_numpy(cut[batch]).to(model.device) for batch in batches)
    found = [model.pooling(model.backbone(model.picture(batch))) for batch in waves]
    return {"pooled": torch.cat(found).cpu().numpy()}


@torch.no_grad()
def signals(audio: np.ndarray, begin: np.ndarray) -> dict[str, np.ndarray]:
    """What can be read off windows without a model: ``chroma`` at their start, by librosa from the constant-Q transform
    that models are shown, and that transform's mean over the window in decibels, ``mean CQT``: input without time."""
    magnitude = ConstantQ()(torch.from_numpy(audio)[None])[0]
    at = magnitude[:, np.minimum(np.rint(begin / HOP).astype(int), magnitude.shape[1] - 1)].numpy()
    chroma = librosa.feature.chroma_cqt(C=at, fmin=FMIN, bins_per_octave=BINS_PER_OCTAVE, n_octaves=8)
    means = [decibels(magnitude[None, :, b // HOP : (b + WINDOW) // HOP + 1])[0].mean(dim=-1) for b in begin]
    return {"chroma": chroma.T.astype(np.float32), "mean CQT": torch.stack(means).numpy()}


class PublishedProbe:
    """The published probe: one complex linear layer, logits its real part, trained by RAdam (learning rate 1e-3) on
    batches of 64 for 10 epochs; features as they are, no penalty, no class weights. Of real features, a real layer."""

    def fit(self, shown: np.ndarray, targets: np.ndarray, classes: int, epochs: int = 10) -> "PublishedProbe":
        z, y = torch.as_tensor(shown), torch.as_tensor(targets)
        self.weight, self.bias = torch.zeros(classes, z.shape[1], dtype=z.dtype), torch.zeros(classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            complex_kaiming_(self.weight) if z.is_complex() else torch.nn.init.kaiming_uniform_(self.weight, a=5**0.5)
            optimiser = torch.optim.RAdam([self.weight.requires_grad_(), self.bias.requires_grad_()], lr=1e-3)
            for batch in (part for _ in range(epochs) for part in torch.randperm(len(y)).split(64)):
                optimiser.zero_grad()
                F.cross_entropy(self.logits(z[batch]), y[batch]).backward()
                optimiser.step()
        return self

    def logits(self, z: torch.Tensor) -> torch.Tensor:
        return (z @ self.weight.T).real + self.bias

    def predict(self, shown: np.ndarray) -> np.ndarray:
        return self.logits(torch.as_tensor(shown)).argmax(dim=1).numpy()


class Whitening(PCA):
    """Features along their principal axes, at nearly the same power but for the weakest, which are mostly noise. A
    penalty on weights of raw features would be one on all but the few directions that hold most of the power."""

    def transform(self, shown: np.ndarray) -> np.ndarray:
        power = self.explained_variance_
        return super().transform(shown) / np.sqrt(power + FLOOR * power.mean())

    def fit_transform(self, shown: np.ndarray, targets: np.ndarray | None = None) -> np.ndarray:
        return self.fit(shown).transform(shown)


def regularised(shown: np.ndarray, targets: np.ndarray, groups: np.ndarray) -> Pipeline:
    """A linear probe of whitened features (T, D), every class weighted alike. The penalty is the one under which a
    fifth of the training groups (T,) is named best by what the others taught."""
    groups = groups if len(set(groups)) > 1 else np.arange(len(groups))  # two players: one remains to learn from
    held = folds(groups) == 0
    # scikit-learn adds up over windows, where our penalty stands beside a mean.
    options = {"Cs": [1 / (penalty * len(targets)) for penalty in PENALTIES], "l1_ratios": (0,), "max_iter": 500}
    options |= {"cv": [(np.flatnonzero(~held), np.flatnonzero(held))], "scoring": "accuracy"}
    logistic = LogisticRegressionCV(class_weight="balanced", use_legacy_attributes=False, **options)
    return make_pipeline(Whitening(), logistic).fit(shown, targets)


def folds(groups: Sequence[str], count: int = 5) -> np.ndarray:
    """The fold (T,) of each window: whole groups (T,), dealt out at random. Course: *Is it the phase?*"""
    groups, count = np.asarray(groups, dtype=str), min(count, len(set(groups)))
    if count < 2:
        raise InputError(f"{count} group in folds: at least two are needed to test on the unseen")
    parts = GroupKFold(count, shuffle=True, random_state=0).split(groups, groups=groups)
    return sum(number * np.isin(np.arange(len(groups)), tested) for number, (_, tested) in enumerate(parts))


class Setting(NamedTuple):
    """One row of the table: the ``source`` of features (or "majority"), how it is probed (one of ``PROBES``), what a
    class is (``VOCABULARIES``), which moment is labelled (``MOMENTS``), and what folds keep apart (``FOLDS``)."""

    source: str
    probe: str = "real part"
    vocabulary: str = "majmin"
    moment: str = "start"
    folds: str = "progression"

    @property
    def split(self) -> str:
        """As records name it: all but the source."""
        kind = "recording" if self.folds == "track" else self.folds
        return f"{self.vocabulary}, label at {self.moment}, folds by {kind}, {self.probe}"


def probe(
    cut: pd.DataFrame, shown: np.ndarray, setting: Setting, learn: np.ndarray | None = None, fitted: list | None = None
) -> pd.DataFrame:
    """``cut``, a table of :func:`windows`, with ``fold``, what a probe that learned from the other folds ``predicted``,
    and ``truth`` (``OUTSIDE`` where the label has no class: named, but never learned nor scored). ``shown`` (T, D) is
    complex or real: "real part" is a linear layer on [Re z, Im z], the real part of a complex one; "modulus" is shown
    the modulus. ``learn`` (T,) bool, optional, are the windows that may be learned from; the others are named all the
    same. ``fitted`` takes the probe of each fold. An InputError for features that are not finite, folds that cannot be
    made, and where no window remains to learn from."""
    if setting.probe not in PROBES:
        raise InputError(f"there is no probe {setting.probe!r}; choose from {', '.join(PROBES)}")
    if not np.isfinite(shown).all():
        raise InputError("features have NaN or infinite values; find the recording they come from")
    truth = np.array([class_of(label, setting.vocabulary) for label in cut[setting.moment]])
    groups = cut[setting.folds].to_numpy(dtype=str)
    fold = folds(groups, FOLDS[setting.folds])
    shown = np.abs(shown) if setting.probe == "modulus" else shown
    if setting.probe != "as published" and np.iscomplexobj(shown):
        shown = np.concatenate([shown.real, shown.imag], axis=1)
    predicted = np.full(len(cut), OUTSIDE)
    for tested in np.unique(fold):
        here = fold == tested
        chosen = ~here & (truth != OUTSIDE) & (True if learn is None else learn)
        if not chosen.any():
            raise InputError(f"fold {tested}: no labelled window remains to learn from; use fewer, larger folds")
        if setting.probe == "as published":
            found = PublishedProbe().fit(shown[chosen], truth[chosen], len(VOCABULARIES[setting.vocabulary]))
        elif setting.probe == "majority" or len(set(truth[chosen])) < 2:
            found = DummyClassifier().fit(shown[chosen], truth[chosen])
        else:
            found = regularised(shown[chosen], truth[chosen], groups[chosen])
        predicted[here] = found.predict(shown[here])
        if fitted is not None:
            fitted.append(found)
    return cut.assign(truth=truth, predicted=predicted, fold=fold)


def accuracy(named: pd.DataFrame, less: pd.DataFrame | None = None) -> Estimate:
    """Mean over recordings of the share of right windows or, with ``less``, of by how much it exceeds another probe's.
    Recordings of a piece are alike, so pieces are resampled."""

    def shares(table: pd.DataFrame) -> pd.DataFrame:
        scored = table[table["truth"] != OUTSIDE]
        scored = scored.assign(right=scored["truth"] == scored["predicted"])
        return scored.groupby("track").agg({"right": "mean", "piece": "first"})

    own = shares(named)
    if less is None:
        return estimate(own["right"], own["piece"])
    own = own.assign(less=shares(less)["right"]).dropna()
    return difference(own["right"], own["less"], own["piece"])


def measures(named: pd.DataFrame, setting: Setting, tracks: Sequence[Track], hop: float) -> dict[str, Estimate]:
    """``accuracy``; ``accuracy_by_fold``, as published: mean over folds and 1.96 standard errors either side;
    ``balanced_accuracy``, mean over classes, so that naming the most frequent one does not pay; ``mir_eval``'s scores
    that the vocabulary can be scored by; ``outside_vocabulary``, the share of windows without a class of their own."""
    scored, classes = named[named["truth"] != OUTSIDE], VOCABULARIES[setting.vocabulary]
    right = scored["truth"] == scored["predicted"]
    means = right.groupby(scored["fold"]).mean()
    half = np.nan_to_num(1.96 * means.sem())
    balanced = right * compute_sample_weight("balanced", scored["truth"])
    scores = frame_scores(named, tracks, setting.moment, [classes[k] for k in named["predicted"]], hop)
    meant = {"root": MEASURES[:1], "sevenths": MEASURES}.get(setting.vocabulary, MEASURES[:3])
    lost = ~named[setting.moment].isin(classes) if setting.vocabulary == "published" else named["truth"] == OUTSIDE
    return {
        "accuracy": accuracy(named),
        "accuracy_by_fold": Estimate(float(means.mean()), means.mean() - half, means.mean() + half, len(means)),
        "balanced_accuracy": estimate(balanced, scored["piece"]),
        **{name: scores[name] for name in meant if name in scores},
        "outside_vocabulary": Estimate(float(np.mean(lost)), n=len(named)),
    }


def frame_scores(
    cut: pd.DataFrame, tracks: Sequence[Track], moment: str, labels: Sequence[str], hop: float
) -> dict[str, Estimate]:
    """``mir_eval``'s weighted scores of windows' labels (T,), by measure."""
    named = cut.assign(time=cut["begin"] / SAMPLE_RATE + MOMENTS[moment], label=labels)
    return span_scores(tracks, {name: segments(own["time"], own["label"], hop) for name, own in named.groupby("track")})


def span_scores(tracks: Sequence[Track], spans: Mapping[str, Chords]) -> dict[str, Estimate]:
    """``mir_eval``'s weighted scores of chords by track, over tracks; intervals resample pieces."""
    rows = pd.DataFrame([weighted_scores(track.chords, spans[track.id]) for track in tracks])
    pieces = pd.Series([str(track.tags.get("piece", track.id)) for track in tracks])
    return {name: estimate(own, pieces[own.index]) for name in MEASURES if len(own := rows[name].dropna())}


def segments(times: Sequence[float], labels: Sequence[str], hop: float) -> Chords:
    """Windows as chords: each stands for half a hop either side of its moment; equal neighbours are one."""
    chords = []
    for time, label in zip(times, labels, strict=True):
        start = chords.pop()[0] if chords and chords[-1][2] == label else max(0.0, time - hop / 2)
        chords.append((start, time + hop / 2, label))
    return chords


def weighted_scores(reference: Chords, estimated: Chords) -> dict[str, float]:
    """``mir_eval``'s scores over the time that both cover: shares of what each is about, NaN where that is nothing."""
    begin, end = max(reference[0][0], estimated[0][0]), min(reference[-1][1], estimated[-1][1])
    sides = [mir_eval.util.adjust_intervals(*_apart(side), begin, end, "N", "N") for side in (reference, estimated)]
    intervals, truth, guess = mir_eval.util.merge_labeled_intervals(*sides[0], *sides[1])
    agree = pd.DataFrame({name: getattr(mir_eval.chord, name)(truth, guess) for name in MEASURES})
    durations = (agree >= 0).mul(mir_eval.util.intervals_to_durations(intervals), axis=0)
    return ((agree * durations).sum() / durations.sum()).to_dict()


def recognised(track: Track) -> Chords:
    """The chords that madmom recognises in a recording, kept in the cache."""
    find = kept("madmom chords", madmom_chords, "f8, f8, U20")
    return find(track.excerpt().sum(axis=0), track.sample_rate).tolist()


def evaluate(
    model: StemModel, tracks: Sequence[Track], hop: float = 2.0, rows: Sequence[Setting] = (), progress: bool = True
) -> pd.DataFrame:
    """Probe a model (in eval mode) for chords on tracks, windows ``hop`` seconds apart; if no ``rows`` are given as
    published, by folds, and baselines. A row each: ``variant`` (the source), ``split``, ``metric``, ``estimate``."""
    name, cut, found = model.variant.name, windows(tracks, hop), []
    published, baselines = Setting(name, "as published", "published", folds="track"), [Setting("majority", "majority")]
    baselines += [Setting("chroma"), Setting("mean CQT")]
    rows = rows or [published, *(Setting(name, folds=kind) for kind in FOLDS), *baselines]
    shown = features(tracks, cut, {name: model}, progress)
    for row in tqdm(rows, desc="probes", disable=not progress):
        named = probe(cut, shown[row.source], row)
        found += [(row.source, row.split, *pair) for pair in measures(named, row, tracks, hop).items()]
    return pd.DataFrame(found, columns=["variant", "split", "metric", "estimate"])


def choose(recordings: Iterable[str], count: int) -> list[str]:
    """So many of these ids, whoever plays and whatever, sorted; 0 for all. A larger number takes the same, and more."""
    if count < 0:
        raise InputError(f"recordings={count}: give how many, or 0 for all")
    return sorted(sorted(recordings, key=lambda name: blake2b(name.encode()).digest())[: count or None])
