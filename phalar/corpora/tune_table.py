"""Which tunes are used and for what: makes ``tunes.csv``.

The three books share many tunes, in other keys, varied, under other names. Settings of one tune form a group, and of a
group one setting is used, once: so no tune is in two corpora or two splits. What is chosen is then held apart further,
by a lower limit than the one that makes groups.
"""

import csv
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b
from itertools import combinations, groupby
from pathlib import Path

import numpy as np

from phalar.corpora import abc_tunes, melodies
from phalar.corpora.abc_tunes import Tune

USES = {
    ("band", "test"): 110,
    ("studio", "test"): 80,
    ("beats", "test"): 220,
    ("comping", "test"): 40,
    ("band", "valid"): 60,
    ("studio", "valid"): 26,
    ("band", "train"): 560,
    ("studio", "train"): 170,
}
"""How many tunes each corpus gets."""

METERS = {"4/4": 0.48, "2/4": 0.24, "6/8": 0.16, "3/4": 0.09, "9/8": 0.03}
"""Share of each metre in every corpus and split: more common time than the books have, since most styles of today's
bands are in it."""

SAME, APART = 0.5, 0.4
"""Two melodies are one if they align over this share of the shorter; those chosen align over less than the second. Of
8,000 pairs drawn at random one reached 0.5 and one in a thousand 0.4; of pairs with one title in two books more than
half do, and most others (different tunes of one name) stay under 0.3."""

SAME_TURNS, APART_TURNS = 0.4, 0.25
"""The same for the share of turns that two melodies have in common. It finds tunes written in another metre, whose
skeletons differ."""

GRAM, SHARED_GRAMS = 5, 2
"""Only pairs are aligned that share so many runs of so many intervals. Of the pairs with one title that align over 0.5
the sieve lets 95 % through, of those over 0.65 all."""

TURN = 7
"""Intervals in a turn."""

COMMON_TITLE = 4
"""A title that more tunes bear is not a name: "Quick Step"."""

SHORTEST = 48.0
"""Quarter notes, repeats played out."""


def skeleton(tune: Tune) -> np.ndarray:
    """A tune without its ornaments: what sounds at each quarter of a bar (in 3/4 each beat, in 6/8 and 9/8 each eighth
    note), each strain once, repetitions of a note dropped. The same reel written in 2/4 and in 4/4 comes out the same.
    (notes,), int64, MIDI keys."""
    step = {(3, 1.0): 1.0, (2, 1.5): 0.5, (3, 1.5): 0.5}.get((tune.beats_per_bar, tune.beat), tune.bar / 4)
    onsets, pitches = np.array([(n.onset, n.pitch) for n in tune.melody]).T
    edges, seen, kept = [*(onset for onset, _ in tune.strains), tune.length], set(), []
    for (begin, letter), end in zip(tune.strains, edges[1:], strict=True):
        if letter not in seen:
            seen.add(letter)
            sounding = np.searchsorted(onsets, np.arange(begin, end - 1e-6, step) + 1e-6) - 1
            kept += pitches[sounding[sounding >= 0]].astype(int).tolist()
    return np.array([p for p, before in zip(kept, [None, *kept[:-1]], strict=True) if p != before])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the shorter of two skeletons over which they align, in any transposition."""
    return melodies.similarity(a, b) / min(len(a), len(b))


def candidates(skeletons: Sequence[np.ndarray]) -> list[tuple[int, int]]:
    """Pairs that may be one tune: those that share runs of intervals. Indices, the smaller first."""
    shared = _in_common([_runs(melody, GRAM) for melody in skeletons])
    return sorted(pair for pair, count in shared.items() if count >= SHARED_GRAMS)


def aligned(tunes: Sequence[Tune]) -> dict[tuple[int, int], float]:
    """Every pair whose :func:`overlap` is at least :data:`APART`, and it. Indices, the smaller first."""
    skeletons = [skeleton(tune) for tune in tunes]
    shares = {(i, j): overlap(skeletons[i], skeletons[j]) for i, j in candidates(skeletons)}
    return {pair: share for pair, share in shares.items() if share >= APART}


def turned(tunes: Sequence[Tune]) -> dict[tuple[int, int], float]:
    """Every pair that has at least :data:`APART_TURNS` of the shorter melody's turns in common, and that share. A turn
    is a run of intervals between notes as written, whatever their lengths."""
    turns = [_runs([p for p, _ in groupby(note.pitch for note in tune.melody)], TURN) for tune in tunes]
    shares = {(i, j): n / min(len(turns[i]), len(turns[j])) for (i, j), n in _in_common(turns).items()}
    return {pair: share for pair, share in shares.items() if share >= APART_TURNS}


def _runs(melody: Sequence[int], length: int) -> set[tuple[int, ...]]:
    steps = np.diff(melody).tolist()
    return {tuple(steps[i : i + length]) for i in range(len(steps) - length + 1)}


def _in_common(sets: Sequence[set]) -> Counter:
    """How many members every pair of sets shares, where it is any. By indices, the smaller first."""
    where = defaultdict(list)
    for i, members in enumerate(sets):
        for member in members:
            where[member].append(i)
    return Counter(pair for found in where.values() for pair in combinations(found, 2))


def name(title: str) -> str:
    """A title without what different editors write differently: articles, the kind of dance, accents, spaces."""
    plain = unicodedata.normalize("NFD", re.sub(r"--.*|\(.*", "", title.lower()))
    kinds = "the|a|an|reel|jig|hornpipe|strathspey|clog|march|waltz|quickstep|quick step|favorite|air"
    return re.sub("[^a-z]", "", re.sub(rf"\b({kinds})\b", "", plain))


def namesakes(tunes: Sequence[Tune]) -> list[tuple[int, int]]:
    """Pairs with one title. Indices, the smaller first."""
    bearing = defaultdict(list)
    for i, tune in enumerate(tunes):
        for title in sorted({name(title) for title in tune.titles} - {""}):
            bearing[title].append(i)
    return sorted({p for found in bearing.values() if len(found) <= COMMON_TITLE for p in combinations(found, 2)})


def choose(
    tunes: Sequence[Tune], aligned: dict[tuple[int, int], float], turned: dict[tuple[int, int], float]
) -> dict[str, tuple[str, str, int]]:
    """Corpus, split and size of the group of every tune used, by id.

    Parameters
    ----------
    tunes : sequence of Tune
    aligned, turned : dict
        From the functions of these names.
    """
    links = [pair for pair, share in aligned.items() if share >= SAME] + namesakes(tunes)
    links += [pair for pair, share in turned.items() if share >= SAME_TURNS]
    grouped = melodies.joined(len(tunes), links)
    size = {i: len(members) for members in grouped for i in members}
    near = defaultdict(set)
    for i, j in [*aligned, *turned]:
        near[i].add(j)
        near[j].add(i)
    order = sorted(range(len(tunes)), key=lambda i: blake2b(tunes[i].id.encode()).digest())
    group = {i: number for number, members in enumerate(grouped) for i in members}
    kept: dict[int, Tune] = {}
    taken = set()
    for i in order:
        if tunes[i].length >= SHORTEST and group[i] not in taken and not near[i] & kept.keys():
            kept[i] = tunes[i]
            taken.add(group[i])
    queues = {m: _mixed([i for i in kept if meter(tunes[i]) == m], tunes) for m in METERS}
    used = {}
    for (corpus, split), wanted in USES.items():
        counts = {m: round(wanted * share) for m, share in METERS.items()}
        counts["4/4"] += wanted - sum(counts.values())
        for m, count in counts.items():
            for i in queues[m][:count]:
                used[tunes[i].id] = (corpus, split, size[i])
            del queues[m][:count]
    return used


def meter(tune: Tune) -> str:
    """Such as ``"6/8"``."""
    return f"{tune.beats_per_bar}/4" if tune.beat == 1 else f"{3 * tune.beats_per_bar}/8"


def _mixed(order: list[int], tunes: Sequence[Tune]) -> list[int]:
    """Every third tune not in major, while there are any: the books have one in five."""
    major = [i for i in order if tunes[i].mode == "major"]
    other = [i for i in order if tunes[i].mode != "major"]
    mixed = []
    while major or other:
        mixed += major[:2] + other[:1]
        del major[:2], other[:1]
    return mixed


def write_table(path: Path) -> None:
    """Read all tunes, group them, choose and write ``tunes.csv``. Takes some minutes, nearly all for aligning."""
    tunes = []
    for tune in abc_tunes.names():
        try:
            tunes.append(abc_tunes.read(tune))
        except abc_tunes.UnreadableError:
            continue
    used = choose(tunes, aligned(tunes), turned(tunes))
    made = path.with_name(f".{path.name}.{os.getpid()}")
    with made.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "book", "number", "size", "corpus", "split", "meter", "mode", "title"])
        for tune in tunes:
            if tune.id in used:
                corpus, split, size = used[tune.id]
                book, _, number = tune.id.partition("-")
                title = abc_tunes.display_title(tune.titles[0])
                writer.writerow([tune.id, book, number, size, corpus, split, meter(tune), tune.mode, title])
    os.replace(made, path)
