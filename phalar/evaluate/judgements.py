"""Do scores agree with listeners? The authors' published ratings beside any metric. Book notebook *What listeners say*.

Listeners rated, from 1 to 5, four versions of the bass or drums that a mix lacks: the original and three generators'.
An *item* is a version of an instrument of a song. A metric scores every item, rated or not; higher is better. What
agrees with what depends on who was asked and which songs were played: intervals resample both, listeners and songs.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm, rankdata
from statsmodels.regression.mixed_linear_model import MixedLM

from phalar import matching
from phalar.errors import InputError
from phalar.evaluate.statistics import Estimate, estimate

DATASET = "MUSDB18-HQ"
ITEM = ["song", "instrument", "version"]
VERSIONS = {"og": "original", "sac": "SA-ControlNet", "stage": "STAGE", "moises": "Moises"}
METRICS = {f"audiobox_{name.lower()}": f"Audiobox {name}" for name in ("CE", "PQ", "CU", "PC")}
METRICS |= {"clap": "CLAP", "cdpam": "CDPAM", "visqol": "ViSQOL"}  # what tables call them; others as their file
OURS, RIVAL = "phalar", "Audiobox CE"
GET = "get the folder listening_tests of github.com/gladia-research-group/phalar"

PUBLISHED = "as published"
# How ratings and scores become z-scores (within groups of equal what; [] as they are), and whether an item's ratings
# are averaged first.
RECIPES = {
    PUBLISHED: (["listener", "instrument"], ["instrument"], True),
    "by listener": (["listener"], [], True),
    "raw": ([], [], True),
    "raw, not averaged": ([], [], False),
    "not averaged": (["listener", "instrument"], ["instrument"], False),
    "within a trial": (["listener", "song", "instrument"], ["song", "instrument"], True),
}
RESAMPLES = 1_000


def load(folder: Path | str) -> tuple[pd.Series, pd.DataFrame]:
    """Ratings by (listener, song, instrument, version), and scores by (song, instrument, version), a column a metric.
    The folder is as published: ``user_ratings/results_*.json``, and a ``results_METRIC.json`` for each metric, to which
    you may add your own. A null is a missing rating. An `InputError` for files of another form, a version that is none
    of `VERSIONS`, a rating that is none of 1 to 5, or a rated item without a score."""
    of_listeners, of_metrics = (
        {file.stem.removeprefix("results_"): _items(file) for file in sorted(place.glob("results_*.json"))}
        for place in (Path(folder) / "user_ratings", Path(folder))
    )
    if not of_listeners or OURS not in of_metrics:
        raise InputError(f"{folder} has no user_ratings/results_*.json beside results_{OURS}.json; {GET}")
    ratings = pd.concat(of_listeners, names=["listener"]).dropna()
    scores = pd.concat(of_metrics, axis=1).rename(columns=METRICS)
    if not (known := ratings.isin(range(1, 6))).all():
        raise InputError(f"{folder}: a rating of {ratings[~known].iloc[0]}; ratings are 1, 2, 3, 4 or 5")
    missing = scores.reindex(ratings.index.droplevel("listener")).isna().stack()
    if missing.any():
        raise InputError(f"{folder}: no score of {missing.idxmax()}, which was rated")
    return ratings.astype(float).rename("listeners"), scores


def _items(file: Path) -> pd.Series:
    """A listener's trials (a list), or a metric's table (of songs by instrument), by item."""
    try:
        found = json.loads(file.read_text("utf-8"))
        if isinstance(found, list):
            trials = pd.MultiIndex.from_tuples((trial["folder"], trial["type"]) for trial in found)
            wide = pd.DataFrame([trial["scores"] for trial in found], trials)
        else:
            wide = pd.concat({name: pd.DataFrame(songs).set_index("song") for name, songs in found.items()}).swaplevel()
        items = wide.rename(columns={"gt": "og"}).stack().rename_axis(ITEM)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{file} is not of the published form ({error!r}); {GET}") from error
    if unknown := set(items.index.get_level_values("version")) - set(VERSIONS):
        raise InputError(f"{file}: unknown version {min(unknown)!r}; known: {', '.join(VERSIONS)}")
    return items


def own_scores(folder: Path | str, items: pd.MultiIndex, model: str = "reference") -> pd.Series:
    """A model's score of every item, from ``SONG/{bass,drums}_{input,ground_truth,sac_generated,...}.wav``, as the
    authors name the audio (which is not published). An `InputError` for a file that is missing or cannot be used."""
    network, found = matching.resolve_model(model), {}
    for song, instrument in items.droplevel("version").unique():
        names = ("input", *("ground_truth" if name == "og" else f"{name}_generated" for name in VERSIONS))
        mix, *stems = (Path(folder) / song / f"{instrument}_{name}.wav" for name in names)
        for stem, version in zip(stems, VERSIONS, strict=True):
            found[song, instrument, version] = matching.score(mix, stem, network)
    return pd.Series(found).reindex(items)


def standardised(values: pd.Series | pd.DataFrame, by: Sequence[str]):
    """z-scores within groups of equal ``by``, levels of the index. Where a group is constant (a listener who gives all
    the same) nothing is told apart, and they are 0."""
    if not by:
        return values
    groups = values.groupby(level=list(by))
    sd = groups.transform("std", ddof=0)
    return (values - groups.transform("mean")) / sd.where(sd > 1e-9, 1.0)


def joined(ratings: pd.Series, scores: pd.DataFrame, recipe: str = PUBLISHED) -> pd.DataFrame:
    """A row a rating: ``listeners`` and every metric, as one of the `RECIPES` has them. Scores are standardised over
    all items, those that nobody rated among them."""
    by_rating, by_score, _ = RECIPES[recipe]
    return standardised(ratings, by_rating).to_frame().join(standardised(scores, by_score), on=ITEM)


def _resampled(index: pd.MultiIndex, resamples: int) -> Iterator[list[np.ndarray]]:
    """For each row how often its listener and its song were drawn: first each once, then with replacement."""
    rng = np.random.default_rng(0)
    codes = [pd.factorize(index.get_level_values(name))[0] for name in ("listener", "song") if name in index.names]
    yield [np.ones(len(index), dtype=int) for _ in codes]
    for _ in range(resamples):
        yield [rng.multinomial(n := code.max() + 1, np.full(n, 1 / n))[code] for code in codes]


def _interval(drawn: np.ndarray, n: int) -> Estimate:
    """Of a value and, after it, the same of resamples."""
    return Estimate(float(drawn[0]), *map(float, np.nanquantile(drawn[1:], [0.025, 0.975])), n)


def agreement(table: pd.DataFrame, averaged: bool = True, resamples: int = RESAMPLES) -> dict[str, pd.DataFrame]:
    """``pearson`` and ``spearman`` correlations of every metric (columns) with listeners, over items, or over ratings
    if they are not ``averaged``: of the `joined` table in the first row, of resamples below."""
    code = table.groupby(level=ITEM if averaged else table.index.names).ngroup().to_numpy()
    first = np.unique(code, return_index=True)[1]
    of_items = table.drop(columns="listeners").to_numpy()[first]
    heard, found = table["listeners"].to_numpy(), []
    for listener, song in _resampled(table.index, resamples):
        n = np.bincount(code, listener)
        mean = np.bincount(code, listener * heard) / np.maximum(n, 1)
        rows = np.repeat(np.flatnonzero(n), song[first][n > 0])
        both = np.column_stack([mean[rows], of_items[rows]])
        with warnings.catch_warnings(action="ignore"):  # a resample may hold too few items: NaN, which is left out
            found.append([np.corrcoef(x, rowvar=False)[0, 1:] for x in (both, rankdata(both, axis=0))])
    if not np.isfinite(found[0]).all():
        raise InputError("nothing to correlate: all items are rated alike, or a metric scores them alike")
    names, found = table.columns.drop("listeners"), np.array(found)
    return {kind: pd.DataFrame(found[:, i], columns=names) for i, kind in enumerate(("pearson", "spearman"))}


def steiger(r_a: float, r_b: float, r_ab: float, n: int) -> float:
    """Two-sided p value of "a and b correlate equally with a third": r_a and r_b with it, r_ab with each other, over n
    items taken for independent (Steiger 1980, equation 14)."""
    square = ((r_a + r_b) / 2) ** 2
    shared = (r_ab * (1 - 2 * square) - square * (1 - 2 * square - r_ab**2) / 2) / (1 - square) ** 2
    return float(2 * norm.sf(abs(np.arctanh(r_a) - np.arctanh(r_b)) * np.sqrt((n - 3) / (2 - 2 * shared))))


def aic(table: pd.DataFrame, metric: str) -> float:
    """Akaike's criterion of a linear model of the ratings by a metric, with a random intercept a listener, by maximum
    likelihood; ratings standardised by listener leave that intercept no variance, which is no fault."""
    exog, listener = np.column_stack([np.ones(len(table)), table[metric]]), table.index.get_level_values("listener")
    with warnings.catch_warnings(action="ignore"):
        return float(MixedLM(table["listeners"].to_numpy(), exog, listener).fit(reml=False).aic)


def others(ratings: pd.Series) -> pd.Series:
    """For each rating the mean of the other listeners' of the same item; NaN where it was rated once."""
    items = ratings.groupby(level=ITEM)
    n = items.transform("size") - 1
    return (items.transform("sum") - ratings) / n.where(n > 0)


def reliability(ratings: pd.Series) -> tuple[float, float]:
    """ICC(1), the share of the ratings' variance that lies between items (analysis of variance), and the correlation of
    the items' means with what ever more listeners would say: no metric can do better. NaN if none is rated twice."""
    items, total = ratings.groupby(level=ITEM), len(ratings)
    n, mean = items.size(), items.mean()
    if len(n) == total:
        return np.nan, np.nan
    between = (n * (mean - ratings.mean()) ** 2).sum() / (len(n) - 1)
    within = ((ratings - items.transform("mean")) ** 2).sum() / (total - len(n))
    typical = (total - (n**2).sum() / total) / (len(n) - 1)
    share = max(0.0, (between - within) / (between + (typical - 1) * within))
    return share, float(np.sqrt(share / (share + (1 - share) * (1 / n).mean())))


def ceiling(ratings: pd.Series) -> dict[str, Estimate]:
    """How far any metric could go: ``one against the others``, each listener's correlation with the others' mean, and
    ``icc`` and ``ceiling`` (`reliability`) with intervals by the jackknife over listeners."""
    both = pd.DataFrame({"one": ratings, "others": others(ratings)}).dropna()
    alone = [own.corr().iloc[0, 1] for _, own in both.groupby(level="listener") if own.std().min() > 0]
    listeners = ratings.index.get_level_values("listener")
    without = np.array([reliability(ratings[listeners != name]) for name in listeners.unique()])
    half = 1.96 * np.sqrt((len(without) - 1) * without.var(axis=0))
    found = {"one against the others": estimate(np.array(alone))} if alone else {}
    whole = zip(("icc", "ceiling"), reliability(ratings), half, strict=True)
    return found | {name: Estimate(x, x - h, x + h, len(without)) for name, x, h in whole if np.isfinite(x + h)}


def means(values: pd.DataFrame, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """The mean of every column over rows of a ``song``, and of a ``listener`` if they have one."""
    if values.empty:
        return {}
    array = values.to_numpy()
    drawn = (np.prod(times, axis=0) for times in _resampled(values.index, resamples))
    drawn = np.array([times @ array / times.sum() for times in drawn if times.any()])
    return {name: _interval(drawn[:, i], len(values)) for i, name in enumerate(values)}


def choices(table: pd.DataFrame, versions: Iterable[str] = tuple(VERSIONS)) -> pd.DataFrame:
    """Whether each metric scores that of two versions higher which the listener preferred, in each trial and pair of
    versions that he rated differently: 1, 0, or 0.5 for a tie."""
    apart = [table.xs(a, level="version") - table.xs(b, level="version") for a, b in combinations(versions, 2)]
    signs = np.sign(pd.concat(apart).dropna())
    signs = signs[signs["listeners"] != 0]
    return (1 + signs.drop(columns="listeners").mul(signs["listeners"], axis=0)) / 2


def power(r_ab: float, r_b: float, icc: float, listeners: Sequence[int], gaps: Sequence[float], runs: int = 400):
    """How often Steiger's test (p < .05) finds that metric a correlates better than b with what listeners hear, by how
    many ``listeners`` there are and by the true gap, r_a - r_b: `Estimate`, by (listeners, gap). Invented experiments
    of the published design: each listener rates 5 of 49 songs an instrument. Items differ as r_b, r_ab (correlation of
    the metrics) and ``icc`` say, and are independent."""
    rng, found = np.random.default_rng(0), {}
    root = np.linalg.cholesky([[1, r_ab], [r_ab, 1]])
    for n, gap in product(listeners, gaps):
        weights, hits = np.linalg.solve([[1, r_ab], [r_ab, 1]], rho := np.array([r_b + gap, r_b])), 0
        for _ in range(runs):
            metrics = rng.normal(size=(2 * 49, 4, 2)) @ root.T
            truth = metrics @ weights + np.sqrt(1 - rho @ weights) * rng.normal(size=(2 * 49, 4))
            trials = rng.random((n, 2, 49)).argpartition(5)[..., :5] + np.array([[0], [49]])
            count = np.bincount(trials.ravel(), minlength=2 * 49)[:, None]
            rated = np.sqrt(icc) * truth + np.sqrt((1 - icc) / np.maximum(count, 1)) * rng.normal(size=truth.shape)
            seen = np.broadcast_to(count > 0, truth.shape)
            r = np.corrcoef([rated[seen], *metrics[seen].T])
            hits += r[0, 1] > r[0, 2] and steiger(r[0, 1], r[0, 2], r[1, 2], seen.sum()) < 0.05
        share = binomtest(int(hits), runs)
        found[n, gap] = Estimate(share.statistic, *share.proportion_ci(), runs)
    return found


def evaluate(ratings: pd.Series, scores: pd.DataFrame, resamples: int = RESAMPLES) -> pd.DataFrame:
    """All that the page shows but its power, as rows of ``variant`` (a metric, a version, or listeners), ``split``,
    ``metric`` and ``estimate`` (a number, where it has no interval)."""
    rows, published = [], joined(ratings, scores)
    for recipe in RECIPES:
        averaged = RECIPES[recipe][2]
        table = joined(ratings, scores, recipe)
        n = len(table.groupby(level=ITEM)) if averaged else len(table)
        found = agreement(table, averaged, resamples)
        rows += [(name, recipe, kind, _interval(x[name], n)) for kind, x in found.items() for name in x]
        r = found["pearson"]
        rows += [(f"{OURS} - {name}", recipe, "pearson", _interval(r[OURS] - r[name], n)) for name in r if name != OURS]
        if recipe == PUBLISHED:
            between = published[list(r)].groupby(level=ITEM).first().corr()[OURS]
            tests = {name: steiger(r[OURS][0], r[name][0], between[name], n) for name in r if name != OURS}
            rows += [(name, recipe, "steiger_p", p) for name, p in tests.items()]
    rows += [(name, PUBLISHED, "aic", aic(published, name)) for name in scores]
    rows += [("listeners", PUBLISHED, name, e) for name, e in ceiling(published["listeners"]).items()]
    raw = ratings.to_frame().join(scores, on=ITEM)
    by_others = ratings.to_frame().assign(**{"the other listeners": others(ratings)})
    for split, versions in {"all versions": VERSIONS, "generated versions": [*VERSIONS][1:]}.items():
        right = means(choices(raw, versions), resamples) | means(choices(by_others, versions), resamples)
        rows += [(name, split, "accuracy", e) for name, e in right.items()]
    rated = raw.groupby(level=ITEM).first().drop(columns="listeners")
    shown = [name for name in ("listeners", OURS, RIVAL) if name in raw]
    for split, values in {"all items": scores, "rated items": rated, "every rating": raw}.items():
        values = values[values.columns.intersection(shown)]
        of = {label: values.xs(version, level="version") for version, label in VERSIONS.items()}
        of["STAGE - SA-ControlNet"] = (of["STAGE"] - of["SA-ControlNet"]).dropna()
        rows += [(label, split, f"mean {name}", e) for label in of for name, e in means(of[label], resamples).items()]
    return pd.DataFrame(rows, columns=["variant", "split", "metric", "estimate"])
