"""Voicings and voice leading: which notes of a chord to play so that every voice moves as little as it can."""

from functools import cache
from itertools import combinations_with_replacement, product

import numpy as np

from phalar.corpora.leadsheet import Chord

WIDEST_GAP = 9
"""Semitones between neighbouring voices."""


@cache
def voicings(pitch_classes: tuple[int, ...], voices: int, low: int, high: int) -> np.ndarray:
    """Every way to spread a chord over so many voices between two keys, (ways, voices), each from low to high.

    All notes sound where there are voices enough; else the fifth is left out first, then the root (the bass has it).
    """
    root, rest = pitch_classes[0], list(pitch_classes[1:])
    fifth = (root + 7) % 12
    essential = [pc for pc in rest if pc != fifth]
    if len(pitch_classes) <= voices:
        needed = list(pitch_classes)
    elif len(essential) + 1 <= voices:
        needed = [*essential, root]
    else:
        needed = essential[-voices:]
    spare = voices - len(needed)
    found = set()
    for extra in combinations_with_replacement(sorted({root, fifth} & set(pitch_classes)), spare):
        choices = [[key for key in range(low, high + 1) if key % 12 == pc] for pc in [*needed, *extra]]
        for keys in product(*choices):
            ordered = tuple(sorted(keys))
            gaps = np.diff(ordered)
            if (gaps > 0).all() and (gaps <= WIDEST_GAP).all():
                found.add(ordered)
    return np.array(sorted(found), int).reshape(-1, voices)


def lead(chord: Chord, voices: int, low: int, high: int, before: tuple[int, ...] | None) -> tuple[int, ...]:
    """The voicing nearest to the one before; at first, nearest to the middle of the range.

    Nearness is the sum of what the voices move, with a slight pull to the middle, so that a long progression does not
    drift to an end of the range. A chord of two notes that cannot fill all voices in the range gets fewer.
    """
    ways = voicings(chord.pitch_classes, voices, low, high)
    if not len(ways):
        return lead(chord, voices - 1, low, high, before)
    centre = np.abs(ways.mean(1) - (low + high) / 2)
    if before is None or len(before) != voices:
        cost = centre + 0.2 * (ways[:, -1] - ways[:, 0])
    else:
        cost = np.abs(ways - np.array(before)).sum(1) + 0.25 * centre
    return tuple(int(key) for key in ways[np.argmin(cost)])


def power(chord: Chord, low: int = 40) -> tuple[int, ...]:
    """Root, fifth and octave on a guitar's low strings."""
    root = low + (chord.root - low) % 12
    return root, root + chord_fifth(chord), root + 12


def chord_fifth(chord: Chord) -> int:
    """Semitones from the root to the fifth: seven, unless the chord has it altered."""
    for interval in (7, 6, 8):
        if (chord.root + interval) % 12 in chord.pitch_classes:
            return interval
    return 7
