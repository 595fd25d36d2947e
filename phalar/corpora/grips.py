"""Where the fingers go: a guitarist's grips, found by searching the neck, and a pianist's hand positions."""

from functools import cache
from itertools import product

TUNING = (40, 45, 50, 55, 59, 64)
"""MIDI keys of a guitar's open strings."""

SPAN = 4
"""Frets that a hand covers."""

FINGERS = 4

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
    found = {}
    for position in range(frets[0], frets[1] + 1):
        open_strings = {0} if position <= 1 else set()
        choices = [
            [None]
            + [
                fret
                for fret in sorted(open_strings | set(range(max(position, 1), position + SPAN)))
                if (TUNING[string] + fret) % 12 in pitch_classes
            ]
            for string in strings
        ]
        for grip in product(*choices):
            if sum(fret is not None for fret in grip) >= 3 and _fingers(grip) <= FINGERS:
                keys = tuple(TUNING[s] + f for s, f in zip(strings, grip, strict=True) if f is not None)
                awkward = _awkward(grip, keys, pitch_classes, sounding, rooted=0 in strings)
                found[keys] = min(awkward, found.get(keys, awkward))
    return tuple(sorted((awkward, keys) for keys, awkward in found.items())[:40])


def _fingers(grip: tuple[int | None, ...]) -> int:
    """Fingers needed: one bars the lowest fret if no open string is among what it crosses."""
    pressed = [fret for fret in grip if fret]
    if not pressed:
        return 0
    lowest = min(pressed)
    bar = 1 if 0 not in grip else pressed.count(lowest)
    return bar + sum(fret > lowest for fret in pressed)


def _awkward(grip, keys, pitch_classes, sounding, rooted: bool) -> float:
    """A chord should be whole, as full as the player likes it, without silent strings inside, and on its root, for who
    has the lowest string above all; if a note is doubled, then rather its root or fifth than its third or seventh."""
    heard = [key % 12 for key in keys]
    used = [string for string, fret in enumerate(grip) if fret is not None]
    inside = used[-1] - used[0] + 1 - len(used)
    return (
        20 * sum(pitch_class not in heard for pitch_class in pitch_classes)
        + (20 if rooted else 5) * (heard[0] != pitch_classes[0])
        + 3 * (max(sounding[0] - len(keys), 0) + max(len(keys) - sounding[1], 0))
        + 2 * inside
        + 2 * sum(max(heard.count(pitch_class) - 1, 0) for pitch_class in (pitch_classes[1], *pitch_classes[3:]))
    )
