"""Folds for cross-validation: what test and training must not have in common. Book notebook *Chords*.

In GuitarSet, and in its stand-in, six players play the same pieces. Folds over recordings, as published, put one
player's take of a piece into training and another's into the test: same chords, same order, same tempo. A probe may
then know the answer by the piece. Folds by player keep a player's sound apart, folds by progression the harmony.
"""

from collections.abc import Sequence

import numpy as np

from phalar.datasets.tracks import Track
from phalar.errors import InputError

KINDS = ("recording", "player", "progression")
FOLDS = 5


def groups_of(tracks: Sequence[Track], kind: str) -> list[str]:
    """For each recording the name of what it must share a fold with: itself, its player or its progression.

    Raises
    ------
    InputError
        If the kind is another, or a recording has no such tag.
    """
    if kind not in KINDS:
        raise InputError(f"folds by {kind!r}: choose from {', '.join(KINDS)}")
    if kind == "recording":
        return [track.id for track in tracks]
    for track in tracks:
        if kind not in track.tags:
            raise InputError(f"{track.id} of {track.dataset} has no tag {kind!r}; folds by {kind} need it")
    return [str(track.tags[kind]) for track in tracks]


def assign(groups: Sequence[str], folds: int = FOLDS, seed: int = 0) -> np.ndarray:
    """The fold (n,) of each recording: whole groups, dealt out in a random order. No more folds than groups.

    Raises
    ------
    InputError
        If there are fewer than two groups, or fewer than two folds are asked for.
    """
    names = sorted(set(groups))
    if len(names) < 2 or folds < 2:
        raise InputError(f"{len(names)} groups in {folds} folds: at least two of both are needed to test on the unseen")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[k]: place % folds for place, k in enumerate(order)}
    return np.array([fold_of[group] for group in groups])


def by(tracks: Sequence[Track], kind: str, seed: int = 0) -> np.ndarray:
    """The fold of each recording: five by recording (as published) and progression, each player alone."""
    groups = groups_of(tracks, kind)
    return assign(groups, len(set(groups)) if kind == "player" else FOLDS, seed)


def seen(groups: Sequence[str], fold: np.ndarray) -> float:
    """Share of recordings of whose group there is another one in their training part: 1 is a complete leak.

    ``seen(groups_of(tracks, "progression"), by(tracks, "recording"))`` says how far folds by recording leak harmony.
    """
    groups = np.asarray(groups)
    return float(np.mean([(groups[fold != fold[i]] == groups[i]).any() for i in range(len(groups))]))
