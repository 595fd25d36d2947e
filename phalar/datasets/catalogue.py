"""The real data sets that can be used, by name."""

from phalar.datasets import cocochorales, folder, gtzan, guitarset, moisesdb, musdb18hq, slakh2100
from phalar.datasets.sources import Dataset
from phalar.errors import InputError

DATASETS: dict[str, Dataset] = {
    module.DATASET.name: module.DATASET
    for module in (moisesdb, slakh2100, cocochorales, musdb18hq, gtzan, guitarset, folder)
}
"""In the order in which the book takes them; last, any folder of multitracks."""


def dataset(name: str) -> Dataset:
    """The data set of this name.

    Raises
    ------
    InputError
        If there is none, listing those there are.
    """
    if name not in DATASETS:
        raise InputError(f"there is no data set {name!r}: choose one of {', '.join(DATASETS)}")
    return DATASETS[name]
