"""Where retrieval goes right and wrong: by what plays in the mix and in the stem, and by how many stems there are.

Book page *Retrieval*, notebooks/ablations.ipynb.
"""

import re
from collections.abc import Sequence
from itertools import repeat

import numpy as np
import pandas as pd

from phalar.datasets.tracks import Pair
from phalar.evaluate.retrieval import top1
from phalar.evaluate.statistics import estimate

FAMILIES = ("drums", "bass", "guitar", "keys", "strings", "wind", "vocals", "other")
FEWEST = 5
"""Tracks that an interval needs: resampling fewer shows hardly any of what other tracks would have given."""

# Words that tell the family, looked for in this order: a bass guitar is a bass, a reed organ has keys.
_WORDS = {
    "other": r"steel drums?|pitched percussion|chromatic percussion|click track",
    "vocals": r"vocals?|voices?|sing(er|ing)|choir",
    "drums": r"drums?|drumkit|percussi(on|ve)|kick|snare|toms?|cymbals?|overheads?|hi hat|tambourine|shakers?|congas|"
    r"bongos|claps?",
    "bass": r"bass|contrabass",
    "strings": r"strings?|violins?|fiddle|violas?|cellos?",
    "guitar": r"guitars?|banjo|mandolin|ukulele",
    "keys": r"piano|organ|harpsichord|clavinet|accordion|synth|synthesi[sz]er|polysynth|lead|pad|keys|keyboards?",
    "wind": r"wind|woodwinds?|brass|trumpets?|trombones?|tuba|horns?|reeds?|saxophones?|oboe|clarinets?|bassoon|pipe|"
    r"piccolo|flutes?|recorder|harmonica",
}


def family(stem: str, group: str = "") -> str:
    """To which of `FAMILIES` a stem belongs, by its name in any of the data sets (``"snare_drum"``), or else by
    that of its ``group`` (MoisesDB: ``"other_keys"``)."""
    told = [" ".join(re.split(r"[^a-z0-9]+", name.lower())) for name in (stem, group)]
    found = (name for words in told for name, pattern in _WORDS.items() if re.search(rf"\b({pattern})\b", words))
    return next(found, "other")


def outcomes(scores: np.ndarray, pairs: Sequence[Pair], k: int) -> pd.DataFrame:
    """What became of each pair, from scores (n, n) or (draws, n, n), rows anchors, and the pairs of the first draw, of
    the second, and so on. A row a pair: ``track``, ``accuracy`` (0..1, the mean over all batches of K), ``anchor``
    and ``positive`` (the families in them, each once), ``anchor_stems`` and ``positive_stems`` (how many)."""
    draws = np.reshape(scores, (-1, *np.shape(scores)[-2:]))
    rows = []
    for pair, accuracy in zip(pairs, np.concatenate([top1(matrix, k) for matrix in draws]), strict=True):
        track, row = pair.track, {"track": f"{pair.track.dataset}/{pair.track.id}", "accuracy": accuracy}
        plays = list(map(family, track.stems, track.tags.get("stem_names") or repeat("")))
        for side, stems in (("anchor", pair.anchor), ("positive", pair.positive)):
            row[side] = tuple(name for name in FAMILIES if name in {plays[i] for i in stems})
            row[f"{side}_stems"] = len(stems)
        rows.append(row)
    return pd.DataFrame(rows)


def by_family(found: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of pairs whose anchor holds one family and whose positive another, from `outcomes` of one model: a row a
    cell that has pairs, in the order of `FAMILIES`, by ``anchor`` and ``positive``, with the columns of `by_stems`. A
    pair of several families counts in several cells: read them one at a time."""
    cells = _over_tracks(found.explode("anchor").explode("positive"), ["anchor", "positive"])
    return cells.sort_values(["anchor", "positive"], key=lambda names: names.map(FAMILIES.index), ignore_index=True)


def by_stems(found: pd.DataFrame, side: str) -> pd.DataFrame:
    """Accuracy against how many stems sound together in the ``"anchor"`` or the ``"positive"``, from `outcomes`: a row
    a number, ``stems``, with ``accuracy`` (mean over tracks of their means), ``low`` and ``high`` (95 % interval over
    tracks; NaN for fewer than `FEWEST`), ``tracks``, ``pairs``."""
    return _over_tracks(found.rename(columns={f"{side}_stems": "stems"}), ["stems"])


def _over_tracks(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    rows = []
    for key, group in pairs.groupby(by):
        found = estimate(group.groupby("track")["accuracy"].mean().to_numpy())
        low, high = (found.low, found.high) if found.n >= FEWEST else (np.nan, np.nan)
        rows.append((*key, found.value, low, high, found.n, len(group)))
    return pd.DataFrame(rows, columns=[*by, "accuracy", "low", "high", "tracks", "pairs"])
