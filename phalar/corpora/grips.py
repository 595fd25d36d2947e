"""Where the fingers go: a guitarist's grips, found by searching the neck, and a pianist's hand positions."""

from functools import cache

import numpy as np

TUNING = (40, 45, 50, 55, 59, 64)
"""MIDI keys of a guitar's open strings."""

SPAN = 4
"""Frets that a hand covers."""

FINGERS = 4

MUTED = -1
"""In place of a fret: a string that does not sound."""

LOWEST_BASS = 36
"""MIDI key under which a pianist's left hand puts no root."""


def next_grip(
    pitch_classes: tuple[int, ...],
    strings: tuple[int, ...],
    sounding: tuple[int, int],
    frets: tuple[int, int],
    previous: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """The grip a guitarist reaches for.

    Parameters
    ----------
    pitch_classes : tuple of int
        The chord, root first.
    strings : tuple of int
        Strings that may sound, 0 the lowest.
    sounding : (int, int)
        Fewest and most strings that should.
    frets : (int, int)
        Where on the neck the hand may be. Open strings are used in the lowest position only.
    previous : tuple of int, or None
        The grip before: of equally good ones the nearest is taken.

    Returns
    -------
    tuple of int
        MIDI keys, from the lowest string up.
    """

    def cost(found: tuple[float, tuple[int, ...]]) -> tuple[float, tuple[int, ...]]:
        awkward, keys = found
        return awkward + (_movement(keys, previous) if previous else 0), keys

    return min(_grips(pitch_classes, strings, sounding, frets), key=cost)[1]


def next_position(
    pitch_classes: tuple[int, ...], fingers: int, reach: tuple[int, int], previous: tuple[int, ...] | None
) -> tuple[int, ...]:
    """What a pianist's hands move to: root and fifth (or what stands for it) low, the chord in close position above.

    Parameters
    ----------
    pitch_classes : tuple of int
        The chord, root first.
    fingers : int
        Most notes in the right hand, which leaves the root to the left one where it has to choose.
    reach : (int, int)
        Lowest and highest MIDI key on which the right hand may begin: an octave or more.
    previous : tuple of int, or None
        The position before.

    Returns
    -------
    tuple of int
        MIDI keys: two of the left hand, then the right hand's from below.
    """
    root, fifth = pitch_classes[0], pitch_classes[2]
    bass = LOWEST_BASS + (root - LOWEST_BASS) % 12
    left = (bass, bass + (fifth - root) % 12)
    above = pitch_classes if len(pitch_classes) <= fingers else pitch_classes[1:]
    inversions = [
        tuple(sorted(lowest + (pitch_class - lowest) % 12 for pitch_class in above))
        for lowest in range(reach[0], reach[1] + 1)
        if lowest % 12 in above
    ]
    home, before = sum(reach) / 2, previous[2:] if previous else None

    def cost(keys: tuple[int, ...]) -> tuple[float, tuple[int, ...]]:
        return 0.3 * abs(keys[0] - home) + (_movement(keys, before) if before else 0), keys

    return left + min(inversions, key=cost)


def _movement(keys: tuple[int, ...], previous: tuple[int, ...]) -> float:
    """How far, in semitones, the middle and the top of the hand travel."""
    middle = sum(keys) / len(keys) - sum(previous) / len(previous)
    return 0.5 * abs(middle) + 0.3 * abs(keys[-1] - previous[-1])


@cache
def _grips(
    pitch_classes: tuple[int, ...], strings: tuple[int, ...], sounding: tuple[int, int], frets: tuple[int, int]
) -> tuple[tuple[float, tuple[int, ...]], ...]:
    """The playable grips of a chord, each with how awkward it is; the best forty."""
    grips = np.concatenate([_at(position, pitch_classes, strings) for position in range(frets[0], frets[1] + 1)])
    grips = grips[(np.sum(grips != MUTED, 1) >= 3) & (_fingers(grips) <= FINGERS)]
    awkward = _awkward(grips, pitch_classes, strings, sounding)
    found: dict[tuple[int, ...], int] = {}
    for index in np.argsort(awkward, kind="stable"):
        if len(found) >= 40 and awkward[index] > max(found.values()):
            break
        keys = tuple(TUNING[s] + f for s, f in zip(strings, grips[index].tolist(), strict=True) if f != MUTED)
        found.setdefault(keys, int(awkward[index]))
    return tuple(sorted((awkward, keys) for keys, awkward in found.items())[:40])


def _at(position: int, pitch_classes: tuple[int, ...], strings: tuple[int, ...]) -> np.ndarray:
    """Everything that can be held with the hand at a fret and belongs to a chord: (grips, strings), frets, some of the
    strings muted."""
    within = [0] * (position <= 1) + list(range(max(position, 1), position + SPAN))
    choices = [[MUTED] + [f for f in within if (TUNING[string] + f) % 12 in pitch_classes] for string in strings]
    return np.stack([fret.ravel() for fret in np.meshgrid(*choices, indexing="ij")], 1)


def _fingers(grips: np.ndarray) -> np.ndarray:
    """Fingers needed, (grips,): one bars the lowest fret if no open string is among what it crosses."""
    pressed = grips > 0
    lowest = np.where(pressed, grips, np.inf).min(1, keepdims=True)
    bar = np.where((grips == 0).any(1), np.sum(grips == lowest, 1), pressed.any(1))
    return bar + np.sum(grips > lowest, 1)


def _awkward(
    grips: np.ndarray, pitch_classes: tuple[int, ...], strings: tuple[int, ...], sounding: tuple[int, int]
) -> np.ndarray:
    """(grips,), int. A chord should be whole, as full as the player likes it, without silent strings inside, and on its
    root, for who has the lowest string above all; if a note is doubled, then rather its root or fifth than its third or
    seventh."""
    used = grips != MUTED
    heard = np.where(used, (np.array(TUNING)[list(strings)] + grips) % 12, MUTED)
    first, last, count = used.argmax(1), used.shape[1] - 1 - used[:, ::-1].argmax(1), used.sum(1)
    bass = heard[np.arange(len(heard)), first]
    times = {pitch_class: np.sum(heard == pitch_class, 1) for pitch_class in pitch_classes}
    return (
        20 * sum(times[pitch_class] == 0 for pitch_class in pitch_classes)
        + (20 if 0 in strings else 5) * (bass != pitch_classes[0])
        + 3 * (np.maximum(sounding[0] - count, 0) + np.maximum(count - sounding[1], 0))
        + 2 * (last - first + 1 - count)
        + 2 * sum(np.maximum(times[pitch_class] - 1, 0) for pitch_class in (pitch_classes[1], *pitch_classes[3:]))
    )
