"""Data sets that were prepared: where their stores are, and their tracks.

A store is named after its data set, followed by the options that are not the usual ones: ``slakh2100``,
``moisesdb-unit-stem``. Any folder of multitracks is named after itself: ``folder-my_songs``. A second copy, with
another root, gets the same name and a short digest of that root: ``slakh2100-1f0c3a``.
"""

import json
import os
import re
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from phalar import paths
from phalar.datasets import store
from phalar.datasets.catalogue import DATASETS, dataset
from phalar.datasets.listing import track_ids
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError, RunError

_NAME = re.compile(r"\w[\w.-]*")


def names() -> list[str]:
    """Of all stores that are finished."""
    home = paths.cache() / "datasets"
    return sorted(place.parent.name for place in home.glob("*/index.json")) if home.is_dir() else []


def folder(name: str) -> Path:
    """Where a store is, whether it is there or not.

    Raises
    ------
    InputError
        If ``name`` cannot be a store's.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not the name of a prepared data set: {_remedy(name)}")
    return paths.cache() / "datasets" / name


def origin(name: str) -> dict | None:
    """What a store is made from: ``dataset``, ``root`` and ``options``; None if there is no such store."""
    try:
        return json.loads((folder(name) / "origin.json").read_bytes())
    except (OSError, ValueError):
        return None


def store_name(name: str, root: Path, options: Mapping[str, object]) -> str:
    """Name of the store that a copy of a data set goes into, by the rule above.

    Parameters
    ----------
    name : str
        Of the data set.
    root : Path
        Where the copy lies.
    options : mapping
        Those of the listing that are not as usual. One that names a folder (its default is None) is no part of the
        name.
    """
    words = [f"folder-{root.resolve().name}" if name == "folder" else name]
    words += [f"{key}-{value}" for key, value in sorted(options.items()) if dataset(name).options[key][0] is not None]
    (plain,) = track_ids(["-".join(words)]).values()
    other = origin(plain)
    if other is None or other["root"] == str(root.resolve()):
        return plain
    return f"{plain}-{blake2b(os.fsencode(root.resolve()), digest_size=3).hexdigest()}"


def describe(name: str, root: Path, options: Mapping[str, object]) -> dict:
    """What :func:`origin` says of a store made from this."""
    return {
        "dataset": name,
        "root": str(root.resolve()),
        "options": {key: str(value) for key, value in sorted(options.items())},
    }


def load(name: str, split: str | None = None, *, limit: int | None = None) -> list[Track]:
    """The tracks of a prepared data set.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    split : str, optional
        ``"train"``, ``"valid"`` or ``"test"``; all three if not given.
    limit : int, optional
        At most so many tracks of each split, always the same ones, and not the first by name: those are often alike.

    Returns
    -------
    list of Track
        In order of their ids, at 16 kHz.

    Raises
    ------
    InputError
        If it is not prepared, saying how to, or there is no such split, or ``limit`` is below 1.
    RunError
        If the store is damaged. Taught in ``book/datasets.md``.
    """
    if split is not None and split not in SPLITS:
        raise InputError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: at least one track of each split is needed")
    where = folder(name)
    if not (where / "index.json").is_file():
        raise InputError(f"{name} is not prepared: {_remedy(name)}")
    try:
        tracks = store.open_store(where)
    except RunError as error:
        raise RunError(f"{error} ({_remedy(name)})") from error
    chosen = []
    for each in SPLITS if split is None else [split]:
        of_split = [track for track in tracks if track.split == each]
        chosen += sorted(of_split, key=lambda track: blake2b(track.id.encode()).digest())[:limit]
    return sorted(chosen, key=lambda track: track.id)


def _remedy(name: str) -> str:
    made_from = origin(name) if _NAME.fullmatch(name) else None
    if made_from:
        flags = "".join(f" --{key} {value}" for key, value in made_from["options"].items())
        return f"run `phalar datasets prepare {made_from['dataset']} {made_from['root']}{flags}`"
    known = f"; prepared so far: {', '.join(names())}" if names() else ""
    usual = name if name in DATASETS else "NAME"
    return f"run `phalar datasets prepare {usual} ROOT` first, with the folder that holds the data for ROOT{known}"
