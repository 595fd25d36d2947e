"""Whether a copy of a data set is whole: what is there against what should be, and every file that cannot be used.

Only looks: folders, metadata, headers and the last frame of each audio file, so minutes for the largest set, not hours.
Damage in the middle of a file shows when it is decoded, by :func:`phalar.datasets.prepare.prepare`, which reports it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from phalar.datasets.catalogue import dataset
from phalar.datasets.files import all_files, select_stems, with_headers
from phalar.datasets.headers import read_headers
from phalar.datasets.listing import KNOWN_FAULT
from phalar.datasets.prepare import list_copy
from phalar.datasets.sources import Problem
from phalar.datasets.store import SAMPLE_RATE


@dataclass(frozen=True)
class Summary:
    """What a copy holds.

    Attributes
    ----------
    dataset : str
    found : dict of str to int
        Usable tracks of each split.
    expected : dict of str to int
        Tracks of each split in a whole copy; empty where nothing is expected.
    stems : int
        Of all usable tracks.
    hours : float
        Length of all usable tracks.
    problems, notes : int
        How many problems there are, and how many departures that do no harm, or that every copy has.
    """

    dataset: str
    found: dict[str, int]
    expected: dict[str, int]
    stems: int
    hours: float
    problems: int
    notes: int

    @property
    def whole(self) -> bool:
        """Nothing is wrong, and nothing missing."""
        return not self.problems and (not self.expected or self.found == self.expected)


def check(
    name: str, root: Path | str, options: Mapping[str, object] | None = None, *, progress: bool = False
) -> Iterator[Problem | Summary]:
    """Look through a copy of a data set, without changing anything in it.

    Parameters
    ----------
    name, root, options
        As for :func:`phalar.datasets.prepare.prepare`.
    progress : bool
        Show a bar on standard error.

    Yields
    ------
    Problem or Summary
        Problems as they are found; at the end, one summary.

    Raises
    ------
    InputError
        If there is no such data set or option, or ``root`` holds nothing of the kind. Taught in ``book/datasets.md``.
    """
    root = Path(root)
    listing = list_copy(name, root, options or {})
    found, counts, stems, seconds = Counter(), Counter(), 0, 0.0
    for problem in listing.problems:
        counts[is_serious(problem)] += 1
        yield problem
    files = all_files(listing.tracks)
    with tqdm(total=len(files), desc=f"checking {name}", unit="file", disable=not progress) as bar:
        headers = read_headers(root, files)
        known = {}
        for track in listing.tracks:
            own = all_files([track])
            while not known.keys() >= set(own):
                file, header = next(headers)
                known[file] = header
                bar.update()
            usable, problems = select_stems(track, known)
            for problem in problems:
                counts[is_serious(problem)] += 1
                yield problem
            if usable is not None:
                found[track.split] += 1
                stems += len(usable.stems)
                seconds += with_headers(usable.stems, known).num_samples / SAMPLE_RATE
        headers.close()
    expected = dict(dataset(name).expected)
    splits = [*expected, *sorted(found.keys() - expected.keys())]
    yield Summary(
        name, {split: found[split] for split in splits}, expected, stems, seconds / 3600, counts[True], counts[False]
    )


def is_serious(problem: Problem) -> bool:
    """Whether this keeps a copy from being whole; faults that the published data have do not."""
    return problem.fatal and not problem.what.startswith(KNOWN_FAULT)
