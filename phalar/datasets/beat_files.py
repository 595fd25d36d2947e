"""Beat annotations of GTZAN, in the forms in which they are handed round.

``.beats``: one beat a line, its time in seconds and, after a tab, its number in the bar; six files have times only.
``.jams`` (GTZAN-Rhythm): times of the beats and times of the downbeats, from which the numbers follow.
"""

from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.datasets.jams import LARGEST, read_jams, seconds
from phalar.errors import InputError

Beats = tuple[tuple[float, int], ...]
"""Seconds of each beat, rising, and its number in the bar counted from 1, or 0 where it is not known."""

LONGEST_BAR = 99  # beats; GTZAN's longest has 5
COINCIDE = 0.05  # seconds between a downbeat and the beat that it is


def read_beats(path: Path) -> Beats:
    """Beats of one clip, from a ``.beats`` or a ``.jams`` file.

    Raises
    ------
    InputError
        If the file is not of its form, or beats are negative, out of order, or none at all. The message says what is
        wrong inside; the caller knows the path.
    """
    beats = _from_jams(path) if path.suffix == ".jams" else _from_text(path)
    if not beats:
        raise InputError("holds no beats")
    return rising(beats)


def rising(beats: Beats) -> Beats:
    """The beats, if each comes after the one before; an InputError if not."""
    for (time, _), (following, _) in pairwise(beats):
        if following <= time:
            raise InputError(f"the beat at {time} s is followed by one at {following} s: times must rise")
    return beats


def _from_text(path: Path) -> Beats:
    try:
        if path.stat().st_size > LARGEST:
            raise InputError("is too large to be a list of beats")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError("is not text: one beat a line, time and number in the bar, was expected") from error
    rows = [(i, line.split()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len({len(row) for _, row in rows}) > 1:
        raise InputError("some lines have a number in the bar and some have none")
    return tuple(_beat(row, f"line {i}") for i, row in rows)


def _beat(row: list[str], where: str) -> tuple[float, int]:
    try:
        values = [float(word) for word in row]
    except ValueError:
        values = []
    if len(values) not in (1, 2):
        raise InputError(f"{where} is {' '.join(row)!r:.40}: a time in seconds and a number in the bar were expected")
    time = seconds(values[0], f"the time in {where}")
    if len(values) == 1:
        return time, 0
    number = values[1]
    if number not in range(1, LONGEST_BAR + 1):
        raise InputError(f"the number in the bar in {where} is {row[1]!r:.40}; it counts from 1")
    return time, int(number)


def _from_jams(path: Path) -> Beats:
    lists: dict[str, list[float]] = {}
    for annotation in read_jams(path, ["beat"]).annotations:
        if annotation.annotation_type in lists:
            raise InputError(f"two annotations are of the type {annotation.annotation_type!r:.40}")
        lists[annotation.annotation_type] = [seen.time for seen in annotation.observations]
    if "beat" not in lists:
        raise InputError("no annotation has the sandbox.annotation_type 'beat'")
    return number_beats(lists["beat"], lists.get("downbeat", []))


def number_beats(times: list[float], downbeats: list[float]) -> Beats:
    """Number beats in their bars, given which of them begin one.

    Beats before the first downbeat (a pick-up) are counted back from it, as if their bar were as long as the first
    whole one. Numbers are 0 where they do not follow: in a pick-up without a whole bar as long, and throughout if there
    are no downbeats or one of them is not (within 50 ms) on a beat of its own.
    """
    beats, bars = np.asarray(times), np.asarray(downbeats)
    unknown = tuple((time, 0) for time in times)
    if not len(beats) or not len(bars):
        return unknown
    halfway = (beats[1:] + beats[:-1]) / 2
    firsts = np.searchsorted(halfway, bars).tolist()  # the beat nearest to each downbeat
    if np.abs(beats[firsts] - bars).max() > COINCIDE or len(set(firsts)) < len(firsts):
        return unknown
    numbers = [0] * len(times)
    for first, end in pairwise([*firsts, len(times)]):
        numbers[first:end] = range(1, end - first + 1)
    pick_up = firsts[0]
    bar = firsts[1] - firsts[0] if len(firsts) > 1 else 0
    if pick_up < bar:
        numbers[:pick_up] = range(bar - pick_up + 1, bar + 1)
    return tuple(zip(times, numbers, strict=True))
