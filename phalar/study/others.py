"""What other people's programs make of the built-in corpora: a check of the corpora, not of the programs.

A tracker that was taught on recordings should find the beat of `beats`, and a chord recogniser the chords of `comping`:
where they do not, either the sound is not real enough or the annotation is wrong. Book page *What the corpora sound
like*.
"""

from collections.abc import Mapping, Sequence

import mir_eval
import numpy as np
from tqdm import tqdm

from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import madmom_bridge
from phalar.evaluate.trackers import TRACKERS, Tracker, f_measure
from phalar.study.results import Record, mean_record, provenance


def beat_records(
    tracks: Sequence[Track], split: str, trackers: Mapping[str, Tracker] = TRACKERS, progress: bool = True
) -> list[Record]:
    """F-measure (70 ms, all beats) of each tracker, its mean over tracks with a 95 % interval.

    Parameters
    ----------
    tracks : sequence of Track
        With beats.
    split : str
        What the records call this part, such as ``"straight"``.

    Raises
    ------
    InputError
        If there are no tracks, or one has no beats.
    """
    scores = {name: [] for name in trackers}
    for track in tqdm(_annotated(tracks, "beats"), desc=f"beat trackers ({split})", disable=not progress):
        mix = track.excerpt().sum(axis=0)
        for name, tracker in trackers.items():
            scores[name].append(f_measure(track.beats[:, 0], tracker(mix, track.sample_rate)))
    return [_record(tracks[0].dataset, split, name, "f1", values) for name, values in scores.items()]


def chord_records(tracks: Sequence[Track], split: str, progress: bool = True) -> list[Record]:
    """Share of the time in which madmom's chord recogniser names the annotated triad (``mir_eval``'s "majmin": sevenths
    count as their triads, what has no major or minor triad is left out), its mean over tracks with a 95 % interval.

    Parameters and errors as of :func:`beat_records`, with chords.
    """
    scores = []
    for track in tqdm(_annotated(tracks, "chords"), desc=f"chord recogniser ({split})", disable=not progress):
        heard = madmom_bridge.chords(track.excerpt().sum(axis=0), track.sample_rate)
        scores.append(chord_score(track.chords, heard))
    return [_record(tracks[0].dataset, split, "madmom", "accuracy", scores)]


def chord_score(reference: Sequence[tuple[float, float, str]], estimate: Sequence[tuple[float, float, str]]) -> float:
    """``mir_eval``'s weighted major/minor score of chords given as (start, end, label)."""
    both = [
        (np.array([chord[:2] for chord in chords]), [chord[2] for chord in chords]) for chords in (reference, estimate)
    ]
    return float(mir_eval.chord.evaluate(*both[0], *both[1])["majmin"])


def _annotated(tracks: Sequence[Track], what: str) -> Sequence[Track]:
    if not tracks:
        raise InputError(f"no tracks to find {what} in")
    for track in tracks:
        if getattr(track, what) is None:
            raise InputError(f"track {track.id} of {track.dataset} has no {what} to compare with")
    return tracks


def _record(dataset: str, split: str, name: str, metric: str, values: Sequence[float]) -> Record:
    about = {"experiment": "others", "dataset": dataset, "split": split, "variant": name, "metric": metric}
    return mean_record(np.asarray(values), **about, **provenance("cpu"))
