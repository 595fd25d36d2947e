"""Which pieces share a melody, and hence which must not be parted between training and test.

Bach harmonised many hymn tunes several times: in other keys, with other passing notes, in another metre, for other
words. A model that has met the tune in training is not met with a new composition in the test. So pieces are compared
by the melody of their highest voice, those with one melody form a group, and groups go into splits as a whole.

The outcome for the chorales is kept in ``chorales.csv``; :func:`write_table` makes that file.
"""

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numba import njit

from phalar.corpora.score import Score

GAP = -0.6
"""Cost of a note that only one of two melodies has; a shared note counts 1, a different one -1."""

SHARE, SHARED_NOTES, SHARE_OF_SHORT = 0.65, 16, 0.85
"""Two melodies are one if their alignment scores this share of the shorter's length and at least so many notes (else
two common cadences would do), or nearly all of a melody that has fewer. Of the chorales' pairs with one title 92 %
reach the share (the others are mostly different tunes for the same words), of those with different titles 0.3 %."""

TEST, VALID = 104, 40
"""Pieces wanted at least in the two smaller splits."""

LARGEST_TESTED = 3
"""Only groups of at most so many pieces are tested on, so that the test has many different melodies."""


def skeleton(score: Score) -> np.ndarray:
    """A melody without its ornaments and its metre: pitches that begin on a quarter note or last one, repetitions
    dropped. (notes,), int64, MIDI keys."""
    kept = [n.pitch for n in score.voices[0] if n.onset % 1 == 0 or n.duration >= 1]
    return np.array([p for p, before in zip(kept, [None, *kept[:-1]], strict=True) if p != before])


@njit(cache=True)
def similarity(a, b):
    """Score of the best local alignment of two melodies, in any transposition: about the number of notes in common.

    Smith and Waterman's algorithm (1981) with the costs above, for transpositions within a fifth of the one that
    brings the medians together. (n,), (m,) int64 MIDI keys -> float.
    """
    middle = round(np.median(a) - np.median(b))
    best = 0.0
    for shift in range(middle - 7, middle + 8):
        above = np.zeros(len(b) + 1)
        for i in range(len(a)):
            row = np.zeros(len(b) + 1)
            for j in range(len(b)):
                match = 1.0 if a[i] == b[j] + shift else -1.0
                row[j + 1] = max(0.0, above[j] + match, above[j + 1] + GAP, row[j] + GAP)
                best = max(best, row[j + 1])
            above = row
    return best


def groups(scores: Sequence[Score], titles: Sequence[str]) -> list[list[int]]:
    """Which pieces belong together: the same melody, or the same title, directly or through a third piece.

    Parameters
    ----------
    scores : sequence of Score
    titles : sequence of str
        One per piece; an empty one equals no other.

    Returns
    -------
    list of list of int
        Indices, each in exactly one group; in order of their first members.
    """
    melodies = [skeleton(score) for score in scores]
    names = [re.sub("[^a-z]", "", unicodedata.normalize("NFD", t.split("(")[0]).lower()) for t in titles]
    pairs = [
        (j, i)
        for i in range(len(scores))
        for j in range(i)
        if (names[i] and names[i] == names[j]) or same_melody(melodies[i], melodies[j])
    ]
    return joined(len(scores), pairs)


def joined(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Groups of what belongs together, directly or through others.

    Parameters
    ----------
    count : int
        How many there are.
    pairs : iterable of (int, int)
        Which belong together.

    Returns
    -------
    list of list of int
        Indices, each in exactly one group; in order of their first members.
    """
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    for i, j in pairs:
        one, other = sorted((root(i), root(j)))
        parent[other] = one
    members: dict[int, list[int]] = {}
    for i in range(count):
        members.setdefault(root(i), []).append(i)
    return list(members.values())


def same_melody(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two skeletons are settings of one tune."""
    shorter = min(len(a), len(b))
    return similarity(a, b) >= max(SHARE * shorter, min(SHARED_NOTES, SHARE_OF_SHORT * shorter))


def splits(grouped: Iterable[Sequence[str]]) -> dict[str, str]:
    """Deal groups out to the splits, whole, in an order that depends on nothing but their members' names.

    Parameters
    ----------
    grouped : iterable of sequence of str
        Ids.

    Returns
    -------
    dict of str to str
        The split of each id: at least 104 in ``"test"``, 40 in ``"valid"`` (if there are so many), else ``"train"``.
    """
    order = sorted(grouped, key=lambda group: blake2b(min(group).encode()).digest())
    assigned: dict[str, str] = {}
    for group in order:
        counts = [list(assigned.values()).count(split) for split in ("test", "valid")]
        if counts[0] < TEST and len(group) <= LARGEST_TESTED:
            split = "test"
        elif counts[0] >= TEST and counts[1] < VALID:
            split = "valid"
        else:
            split = "train"
        assigned |= dict.fromkeys(group, split)
    return assigned


def chorale_titles(names: Iterable[str]) -> dict[str, str]:
    """Titles that music21 knows, by name such as ``bwv66.6``; empty where it knows none."""
    from music21.corpus import chorales

    known = {str(row["bwv"]): row["title"] for row in chorales.ChoraleList().byBWV.values()}
    known |= {row["bwv"]: row["title"] for row in chorales.ChoraleListRKBWV().byRiemenschneider.values()}
    return {name: known.get(name.removeprefix("bwv"), "").replace("AAch", "Ach") for name in names}


def write_table(path: Path) -> None:
    """Read all chorales, group them and write ``chorales.csv``: id, group (its first member), split, key and title.

    A piece without a title of its own gets that of the piece with the nearest melody, if it is the same melody.
    Reading takes about a minute.
    """
    from phalar.corpora import chorale_scores

    scores = [score for name in chorale_scores.paths() if (score := chorale_scores.read(name)) is not None]
    titles = chorale_titles(score.id for score in scores)
    grouped = [[scores[i].id for i in group] for group in groups(scores, [titles[s.id] for s in scores])]
    split, group = splits(grouped), {piece: ids[0] for ids in grouped for piece in ids}
    melodies, keys = {score.id: skeleton(score) for score in scores}, {score.id: score.key for score in scores}
    named = [piece for piece in titles if titles[piece]]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "group", "split", "key", "title"])
        for piece, melody in melodies.items():
            title = titles[piece]
            if not title:
                nearest = max(named, key=lambda other: similarity(melody, melodies[other]))
                title = titles[nearest] if same_melody(melody, melodies[nearest]) else ""
            writer.writerow([piece, group[piece], split[piece], keys[piece], title])
