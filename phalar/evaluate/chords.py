"""What harmony a frozen embedding holds: probes cross-validated over recordings, and their scores.

The parts: labels to classes (``chord_labels``), recordings to frames (``chord_frames``), what test and training may
share (``chord_folds``), the probes (``chord_probes``). Book notebook *Chords*.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache

import mir_eval
import numpy as np
import torch
from threadpoolctl import threadpool_limits

from phalar.errors import InputError
from phalar.evaluate import chord_folds, chord_probes
from phalar.evaluate.chord_labels import OUTSIDE
from phalar.evaluate.statistics import RESAMPLES, bootstrap_interval

PROBES = ("real part", "modulus", "[Re, Im]", "as published", "majority")
MEASURES = ("root", "majmin", "thirds", "sevenths")  # of mir_eval.chord
INNER = 5  # an INNER-th of the training groups chooses the penalty

Chords = Sequence[tuple[float, float, str]]
Predictor = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Probing:
    """Every frame's class as probes name it that never met its recording.

    Attributes
    ----------
    truth, predicted : array (T,) int
        ``OUTSIDE`` in ``truth`` where the label has no class: predicted all the same, never scored.
    recording : array (T,) int
        Which recording a frame is of, from 0.
    fold : array (R,) int
        In which fold a recording was tested.
    probes : list
        The probe of each fold: a :class:`phalar.evaluate.chord_probes.Probe`, or a :class:`Majority`.
    """

    truth: np.ndarray
    predicted: np.ndarray
    recording: np.ndarray
    fold: np.ndarray
    classes: int
    probes: list

    @cached_property
    def scored(self) -> np.ndarray:
        """Which frames count, (T,) bool."""
        return self.truth != OUTSIDE

    @cached_property
    def by_recording(self) -> np.ndarray:
        """Share of right frames of each recording (R,); NaN where no frame counts."""
        total = np.bincount(self.recording[self.scored], minlength=len(self.fold))
        right = np.bincount(self.recording[self.scored & (self.predicted == self.truth)], minlength=len(self.fold))
        return np.divide(right, total, out=np.full(len(total), np.nan), where=total > 0)

    @property
    def accuracy(self) -> float:
        """Mean over recordings of the share of right frames."""
        return float(np.nanmean(self.by_recording))

    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval of ``accuracy`` over recordings."""
        return bootstrap_interval(self.by_recording[np.isfinite(self.by_recording)])

    def published_interval(self) -> tuple[float, float]:
        """As published: mean over folds, and 1.96 standard deviations over the root of their number either side."""
        folds = [
            np.mean(self.predicted[chosen] == self.truth[chosen])
            for fold in np.unique(self.fold)
            if (chosen := self.scored & (self.fold[self.recording] == fold)).any()
        ]
        half = 1.96 * np.std(folds, ddof=1) / np.sqrt(len(folds)) if len(folds) > 1 else 0.0
        return float(np.mean(folds) - half), float(np.mean(folds) + half)

    def balanced(self, seed: int = 0) -> tuple[float, float, float]:
        """Mean over classes of the share of its frames that are found, and its 95 % interval over recordings.

        A probe that always names the most frequent class has 1 / (classes that occur).
        """
        total = np.zeros((len(self.fold), self.classes))
        right = np.zeros_like(total)
        np.add.at(total, (self.recording[self.scored], self.truth[self.scored]), 1)
        hits = self.scored & (self.predicted == self.truth)
        np.add.at(right, (self.recording[hits], self.truth[hits]), 1)
        resamples = RESAMPLES // 5
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(len(total), np.full(len(total), 1 / len(total)), size=resamples)
        low, high = np.nanquantile(_recall(counts @ right, counts @ total), [0.025, 0.975])
        return float(_recall(right.sum(axis=0), total.sum(axis=0))), float(low), float(high)

    def confusion(self) -> np.ndarray:
        """Frames of each true class (row) by predicted class (column), (classes, classes)."""
        counts = np.zeros((self.classes, self.classes), dtype=np.int64)
        np.add.at(counts, (self.truth[self.scored], self.predicted[self.scored]), 1)
        return counts


def _recall(right: np.ndarray, total: np.ndarray) -> np.ndarray:
    return np.nanmean(np.divide(right, total, out=np.full(total.shape, np.nan), where=total > 0), axis=-1)


@dataclass(frozen=True)
class Majority:
    """Names the most frequent class of its training frames, whatever it is shown."""

    most: int

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), self.most)


def cross_validate(
    features: np.ndarray,
    truth: np.ndarray,
    recording: np.ndarray,
    groups: Sequence[str],
    fold: np.ndarray,
    classes: int,
    probe: str = "real part",
    *,
    balanced: bool = True,
    epochs: int = chord_probes.RADAM["epochs"],
    training: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    advance: Callable[[int], object] = lambda folds: None,
) -> Probing:
    """Fit a probe on all folds but one and let it name the frames of that one; for each fold.

    Parameters
    ----------
    features : array (T, D), complex or real
    truth, recording : array (T,) int
        As in :class:`Probing`.
    groups : sequence of R str
        What each recording must share a fold with; the inner split that chooses the penalty keeps them whole too.
    fold : array (R,) int
        As :mod:`phalar.evaluate.chord_folds` makes it.
    classes : int
    probe : str
        One of ``PROBES``. "real part" and "modulus" are complex linear layers ("real part" of real features is a real
        one), "[Re, Im]" a real one on both parts, each scaled for itself. Their penalty is chosen by accuracy on a
        fifth of the *training* groups.
    balanced : bool
        Weight classes alike in the loss; "as published" and "majority" do not.
    epochs : int
        Of "as published".
    training : int, optional
        Recordings to learn from at most, drawn from the training part by ``seed``; all by default.
    advance : callable (folds)
        Told of each fold that is done.

    Raises
    ------
    InputError
        An unknown probe, or a fold to which nothing remains to learn from.
    """
    if probe not in PROBES:
        raise InputError(f"there is no probe {probe!r}; choose from {', '.join(PROBES)}")
    groups, rng = np.asarray(groups), np.random.default_rng(seed)
    features = chord_probes.as_real(features) if probe == "[Re, Im]" else features
    parts = []
    for tested in range(fold.max() + 1):
        learned = np.flatnonzero(fold != tested)
        if training is not None:
            learned = rng.permutation(learned)[:training]
        parts.append(np.isin(recording, learned) & (truth != OUTSIDE))
        if not parts[-1].any():
            raise InputError(f"fold {tested}: no labelled frame remains to learn from; use fewer, larger folds")

    def fitted(chosen: np.ndarray) -> chord_probes.Probe | Majority:
        frames = features[chosen], truth[chosen], groups[recording[chosen]]
        return _fitted(probe, *frames, classes, balanced, epochs, seed, device)

    predicted, probes = np.full(len(truth), OUTSIDE), []
    with _workers() as pool:
        for tested, found in enumerate(pool.map(fitted, parts)):
            here = fold[recording] == tested
            if here.any():
                predicted[here] = found.predict(features[here])
            probes.append(found)
            advance(1)
    return Probing(truth, predicted, recording, fold, classes, probes)


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that fit folds side by side, each computing alone: the products of a fit are too small to be shared."""
    threads = torch.get_num_threads()
    try:
        with (
            threadpool_limits(limits=1),
            ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            yield pool
    finally:
        torch.set_num_threads(threads)  # what a worker sets is what later threads begin with


def _fitted(
    probe: str,
    features: np.ndarray,
    targets: np.ndarray,
    groups: np.ndarray,
    classes: int,
    balanced: bool,
    epochs: int,
    seed: int,
    device: str,
) -> chord_probes.Probe | Majority:
    if probe == "majority":
        return Majority(int(np.bincount(targets, minlength=classes).argmax()))
    if probe == "as published":
        return chord_probes.fit_as_published(features, targets, classes, epochs=epochs, seed=seed, device=device)
    reading = "modulus" if probe == "modulus" else "real"
    about = {"reading": reading, "balanced": balanced, "seed": seed, "device": device}
    penalty = _penalty(features, targets, groups, classes, about)
    return chord_probes.fit(features, targets, classes, penalties=[penalty], **about)[0]


def _penalty(features: np.ndarray, targets: np.ndarray, groups: np.ndarray, classes: int, about: dict) -> float:
    """The penalty under which groups that were held out of the training part are named best."""
    if len(set(groups)) < 2:
        return chord_probes.PENALTIES[len(chord_probes.PENALTIES) // 2]
    held = chord_folds.assign(list(groups), INNER, about["seed"]) == 0
    path = chord_probes.fit(features[~held], targets[~held], classes, penalties=chord_probes.PENALTIES, **about)
    scores = [np.mean(found.predict(features[held]) == targets[held]) for found in path]
    return path[int(np.argmax(scores))].penalty


def segments(times: np.ndarray, labels: Sequence[str], hop: float) -> list[tuple[float, float, str]]:
    """Frames as chords: each stands for half a hop either side of its moment; equal neighbours are one."""
    chords: list[tuple[float, float, str]] = []
    for time, label in zip(times, labels, strict=True):
        start, end = max(0.0, time - hop / 2), time + hop / 2
        if chords and chords[-1][2] == label:
            chords[-1] = (chords[-1][0], end, label)
        else:
            chords.append((start, end, label))
    return chords


def weighted_scores(reference: Chords, estimate: Chords) -> dict[str, float]:
    """``mir_eval``'s scores, weighted by duration, over the time that both cover.

    Returns
    -------
    dict of str to float
        For each of ``MEASURES`` a share of the time that the measure is about: ``majmin`` leaves out reference chords
        without a major or minor triad, ``sevenths`` those that are not one of five kinds. NaN where that is all.

    Raises
    ------
    InputError
        If they share no time.
    """
    begin = max(reference[0][0], estimate[0][0])
    end = min(reference[-1][1], estimate[-1][1])
    if end <= begin:
        raise InputError(f"reference and estimated chords share no time ({begin:.2f} to {end:.2f} s)")
    sides = []
    for chords in (reference, estimate):
        intervals, labels = np.array([chord[:2] for chord in chords]), [chord[2] for chord in chords]
        sides += mir_eval.util.adjust_intervals(intervals, labels, begin, end, mir_eval.chord.NO_CHORD, "N")
    intervals, truth, guess = mir_eval.util.merge_labeled_intervals(*sides)
    durations = mir_eval.util.intervals_to_durations(intervals)
    scores = {}
    for name in MEASURES:
        compared = np.array([_agreement(name, *pair) for pair in zip(truth, guess, strict=True)])
        known = compared >= 0
        scores[name] = float(np.average(compared[known], weights=durations[known])) if known.any() else float("nan")
    return scores


@lru_cache(maxsize=65_536)
def _agreement(measure: str, truth: str, guess: str) -> float:
    """``mir_eval``'s comparison of two labels; few pairs make up all segments, and each takes it a millisecond."""
    return float(getattr(mir_eval.chord, measure)([truth], [guess])[0])
