"""The built-in corpora: real compositions, rendered here, nothing to download.

>>> from phalar import corpora
>>> tracks = corpora.load("chorales", "test")  # rendered on first use, with a progress bar
>>> twins = corpora.load("chorales", "test", semitones=TWIN)  # the same pieces, note for note, in other keys

A real data set that was prepared (``phalar datasets prepare``) is loaded by its name in the same way.
"""

from collections.abc import Callable, Collection
from contextlib import closing
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from tqdm import tqdm

from phalar import audio, fingerprint, paths
from phalar.corpora import band, beats, chorales, comping, seeds, stress, studio
from phalar.datasets import prepare as prepared
from phalar.datasets import store
from phalar.datasets.prepare import DATASETS
from phalar.datasets.store import in_processes
from phalar.datasets.tracks import SPLITS, Track
from phalar.errors import InputError, RunError


class Corpus(NamedTuple):
    """How a corpus is made: by ``module``, with ``build(piece, folder, semitones)``, which renders a piece into a store
    (if no other ``build`` is given), and ``pieces()``, the split of each by id, in the order they are taken."""

    module: ModuleType
    sample_rate: int = audio.SAMPLE_RATE
    build: Callable[[str, Path, int], None] | None = None


CORPORA = {"chorales": Corpus(chorales), "band": Corpus(band), "studio": Corpus(studio)}
CORPORA |= {"beats": Corpus(beats, beats.SAMPLE_RATE), "comping": Corpus(comping)}
CORPORA |= {name: Corpus(stress, build=partial(stress.build, name)) for name in stress.SETS}
"""Every built-in corpus, by name."""

TWIN = "twin"
"""In place of a number of semitones: another for every piece, by :func:`interval`."""


def interval(piece: str) -> int:
    """By how many semitones, -5 to 6 and never 0, the twin of a piece is higher: the same for the same id."""
    return int(seeds.generator("twin", piece).choice([n for n in range(-5, 7) if n]))


def folder(name: str, semitones: int | str = 0) -> Path:
    """Where a corpus, rendered or not, or a prepared real data set is kept; an `InputError` if there is neither. A
    corpus' folder is named by the code and tables that make it (not their comments), so music that is read is never
    stale, and by the ``semitones`` by which all is higher: -6 to 6, or :data:`TWIN`."""
    if semitones != TWIN and semitones not in range(-6, 7):
        raise InputError(f"semitones = {semitones!r}; give a whole number from -6 to 6, or {TWIN!r}")
    if name not in CORPORA and name in prepared.names():
        if semitones:
            raise InputError(f"{name} has no scores, and so no twins in other keys; choose one of {', '.join(CORPORA)}")
        return prepared.folder(name)
    key = "" if semitones == 0 else f"{semitones:+d}" if semitones != TWIN else f"-{TWIN}"
    file = Path(_corpus(name).module.__file__).name
    made_by = fingerprint.of_code(*fingerprint.sources(f"corpora/{file}"))
    return paths.cache() / "corpora" / f"{name}-{made_by}{key}"


def version(name: str) -> str:
    """What names the contents of a corpus or prepared data set: equal versions hold equal tracks."""
    where = folder(name)
    return where.name if name in CORPORA else f"{name}-{fingerprint.of_file(where / 'index.json')}"


def render(
    name: str,
    split: str | None = None,
    *,
    limit: int | None = None,
    ids: Collection[str] | None = None,
    semitones: int | str = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> Path:
    """Render what is missing of a corpus, a key of :data:`CORPORA`, and return its folder, a store. Interrupted and
    called again it completes, with the bytes of an uninterrupted run; two processes may do this at once. ``split`` is
    ``"train"``, ``"valid"``, ``"test"``, or None for all; ``limit`` takes at most so many pieces of each, always the
    same, ``ids`` those named alone; ``semitones`` as in :func:`folder`: the same performances higher or lower; ``jobs``
    are processes, by default as many as processors; ``progress`` shows a bar. An `InputError` for another corpus or
    split, or a number below 1; a `RunError` if a piece fails. Taught in ``book/corpora.md``."""
    where = folder(name, semitones)
    missing = store.incomplete(where, pieces(name, split, limit, ids))
    if missing:
        where.mkdir(parents=True, exist_ok=True)
        store.sweep(where)
        build = CORPORA[name].build or CORPORA[name].module.build
        with closing(in_processes(partial(_build, build, where, semitones), missing, jobs)) as built:
            for piece, error in tqdm(built, f"rendering {name}", len(missing), unit="piece", disable=not progress):
                if error is not None:
                    why = f"{type(error).__name__}: {error}; what is finished is kept in {where}, call again to go on"
                    raise RunError(f"{name} piece {piece} could not be rendered: {why}") from error
    if missing or not (where / "index.json").is_file():
        store.write_index(where, name, CORPORA[name].sample_rate)
    return where


def load(
    name: str,
    split: str | None = None,
    *,
    limit: int | None = None,
    ids: Collection[str] | None = None,
    semitones: int | str = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> list[Track]:
    """The tracks of a corpus, by id, rendered first where they are not there yet; or of a prepared data set, which is
    there or not. Parameters and errors are those of :func:`render`: what is not asked for is not rendered."""
    if folder(name, semitones) and name not in CORPORA:
        return [track for track in prepared.load(name, split, limit=limit) if ids is None or track.id in ids]
    wanted = pieces(name, split, limit, ids)
    where = render(name, split, limit=limit, ids=ids, semitones=semitones, jobs=jobs, progress=progress)
    try:
        return store.open_store(where, wanted)
    except RunError:  # the index is older than the tracks (another process was rendering too), or damaged
        store.write_index(where, name, CORPORA[name].sample_rate)
        return store.open_store(where, wanted)


def _build(build: Callable[[str, Path, int], None], folder: Path, semitones: int | str, piece: str) -> None:
    """Build a piece, unless another program, doing the same, was quicker."""
    if store.incomplete(folder, [piece]):
        build(piece, folder, interval(piece) if semitones == TWIN else semitones)


def _corpus(name: str) -> Corpus:
    if name not in CORPORA:
        also = f", or of what is prepared, {', '.join(prepared.names())}" if prepared.names() else ""
        remedy = f"; run `phalar datasets prepare {name} ROOT` first" if name in DATASETS else ""
        raise InputError(f"there is no built-in corpus {name!r}{remedy}: choose one of {', '.join(CORPORA)}{also}")
    return CORPORA[name]


def pieces(
    name: str, split: str | None = None, limit: int | None = None, ids: Collection[str] | None = None
) -> list[str]:
    """Ids of the pieces meant, sorted, if ``ids`` are given of these alone; none is rendered. A larger limit takes what
    a smaller one did, and more."""
    if split is not None and split not in SPLITS:
        raise InputError(f"there is no split {split!r}: choose one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise InputError(f"limit={limit}: at least one piece of each split is needed")
    if name not in CORPORA and name in prepared.names():
        found = [track.id for track in prepared.load(name, split, limit=limit)]
        return [piece for piece in found if ids is None or piece in ids]
    known = _corpus(name).module.pieces()
    splits = SPLITS if split is None else [split]
    found = [piece for each in splits for piece in [p for p, own in known.items() if own == each][:limit]]
    return sorted(piece for piece in found if ids is None or piece in ids)
