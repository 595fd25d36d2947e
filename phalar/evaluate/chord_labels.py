"""From a chord label to a class: vocabularies, and how two classes are related. Book notebook *Chords*.

A label has more to say than a probe can learn: inversions, added notes, one pitch under two names. A vocabulary says
which labels are one class, and which have none. Those that have none are counted and left out of training and scores,
never taken for silence; the published table is the exception, and that is its flaw.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import mir_eval
import numpy as np

from phalar.errors import InputError

PITCH_CLASSES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
NO_CHORD = "N"
UNKNOWN = "X"  # mir_eval's label where nobody says what sounds
OUTSIDE = -1  # in place of a class

# mir_eval's bitmaps: which semitones above the root sound. The triad is decided by those up to the fifth.
TRIADS = {"maj": (8, "maj"), "min": (8, "min")}
SEVENTHS = {quality: (12, quality) for quality in ("maj", "min", "7", "maj7", "min7")}


@dataclass(frozen=True)
class Vocabulary:
    """Classes of chords.

    Attributes
    ----------
    name, about : str
    classes : tuple of str
        Labels that ``mir_eval.chord`` can read, one a class.
    reduce : callable (label) -> label or None
        The class that a label belongs to; None if it has none.
    catch_all : str, optional
        The class that labels without one are put into, as the published table does; none by default.
    """

    name: str
    about: str
    classes: tuple[str, ...]
    reduce: Callable[[str], str | None]
    catch_all: str | None = None

    def index(self, label: str) -> int:
        """Number of a label's class, or ``OUTSIDE``.

        Raises
        ------
        InputError
            If this is no chord label.
        """
        reduced = self.reduce(label) or self.catch_all
        return OUTSIDE if reduced is None else self.classes.index(reduced)

    def indices(self, labels: Iterable[str]) -> np.ndarray:
        """Classes (n,) int64 of n labels."""
        known = {}
        for label in labels:
            known.setdefault(label, None)
        known = {label: self.index(label) for label in known}
        return np.array([known[label] for label in labels], dtype=np.int64)

    def unlisted(self, labels: Sequence[str]) -> Counter:
        """How often each label occurs that has no class of its own, the most frequent first."""
        counts = Counter(labels)
        return Counter({label: n for label, n in counts.most_common() if self.reduce(label) is None})


def encoded(label: str) -> tuple[int, tuple[int, ...]]:
    """Pitch class of the root (-1: none) and bitmap of the semitones above it, as ``mir_eval`` has them."""
    try:
        root, semitones, _ = mir_eval.chord.encode(label)
    except mir_eval.chord.InvalidChordException as error:
        raise InputError(
            f"chord label {label!r} cannot be read ({error}); write it as mir_eval does: C:maj7/3"
        ) from error
    return int(root), tuple(int(s) for s in semitones)


def _quality(label: str, qualities: dict[str, tuple[int, str]]) -> str | None:
    root, semitones = encoded(label)
    if root < 0:
        return NO_CHORD if not any(semitones) else None
    for name, (heard, quality) in qualities.items():
        if semitones[:heard] == tuple(mir_eval.chord.QUALITIES[quality][:heard]):
            return f"{PITCH_CLASSES[root]}:{name}"
    return None


def _root(label: str) -> str | None:
    root, semitones = encoded(label)
    if root < 0:
        return NO_CHORD if not any(semitones) else None
    return f"{PITCH_CLASSES[root]}:1"


def _named(qualities: Iterable[str]) -> tuple[str, ...]:
    return (NO_CHORD, *(f"{root}:{quality}" for quality in qualities for root in PITCH_CLASSES))


PUBLISHED_TABLE = _named(["maj", "min"])


def _published(label: str) -> str | None:
    return label if label in PUBLISHED_TABLE else None


VOCABULARIES = {
    vocabulary.name: vocabulary
    for vocabulary in (
        Vocabulary(
            "published",
            "N and the 24 triads, spelt with sharps and without anything added; every other label becomes N",
            PUBLISHED_TABLE,
            _published,
            catch_all=NO_CHORD,
        ),
        Vocabulary(
            "majmin",
            "N and the 24 triads; a chord counts as the triad below its fifth, what has none is left out",
            _named(TRIADS),
            lambda label: _quality(label, TRIADS),
        ),
        Vocabulary("root", "N and the twelve roots", _named(["1"]), _root),
        Vocabulary(
            "sevenths",
            "N and major, minor, 7, maj7, min7 on twelve roots; all else is left out",
            _named(SEVENTHS),
            lambda label: _quality(label, SEVENTHS),
        ),
    )
}
"""The four, by name."""


def vocabulary(name: str) -> Vocabulary:
    """The vocabulary of that name, or an InputError that lists them."""
    if name not in VOCABULARIES:
        raise InputError(f"there is no chord vocabulary {name!r}; choose from {', '.join(VOCABULARIES)}")
    return VOCABULARIES[name]


def by_fifths(classes: Sequence[str]) -> list[int]:
    """Order in which the classes of ``majmin`` go round the circle of fifths: majors from C, then each major's
    relative minor in the same order (from A minor), then N.

    An error by a fifth then lies beside the diagonal, and one by a relative half a matrix away from it.
    """
    circle = [7 * step % 12 for step in range(12)]
    order = [f"{PITCH_CLASSES[root]}:maj" for root in circle]
    order += [f"{PITCH_CLASSES[(root + 9) % 12]}:min" for root in circle]
    return [classes.index(label) for label in (*order, NO_CHORD)]


RELATIONS = ("right", "a fifth away", "relative", "parallel", "N or a chord", "other")


def relation(truth: str, guess: str) -> str:
    """How a guessed class of ``majmin`` is related to the true one: one of ``RELATIONS``.

    A fifth away: same mode, root a fifth up or down (two of three notes differ). Relative: C major and A minor (two
    notes in common). Parallel: C major and C minor. "N or a chord": silence taken for a chord, or a chord for silence.
    """
    if truth == guess:
        return "right"
    if NO_CHORD in (truth, guess):
        return "N or a chord"
    (root, mode), (other, heard) = (label.split(":") for label in (truth, guess))
    up = (PITCH_CLASSES.index(other) - PITCH_CLASSES.index(root)) % 12
    if mode == heard:
        return "a fifth away" if up in (5, 7) else "other"
    if up == 0:
        return "parallel"
    return "relative" if up == (9 if mode == "maj" else 3) else "other"
