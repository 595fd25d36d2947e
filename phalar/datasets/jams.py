"""The part of JAMS that this study needs: annotations of chosen kinds, with what tells them apart.

JAMS (Humphrey et al. 2014) is JSON: a list of annotations, each of a *namespace* (``"chord"``, ``"beat"``) and each a
list of observations. Real files hold several annotations of one namespace, so the place in the list means nothing and
metadata must decide. The files come from the internet: whatever they hold, this gives an annotation or an InputError.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from phalar.errors import InputError

LARGEST = 16 * 2**20  # bytes; GuitarSet has 1.7 MB for a take of 22 s, and no take of a minute
LATEST = 86_400.0  # seconds: no recording of these data sets lasts a day


@dataclass(frozen=True)
class Observation:
    """Something observed from ``time`` on, for ``duration`` seconds (None where the file does not say)."""

    time: float
    duration: float | None
    value: object


@dataclass(frozen=True)
class Annotation:
    """One annotator's observations of one kind, in order of time.

    ``data_source`` (of ``annotation_metadata``) and ``annotation_type`` (of ``sandbox``) are "" where the file has
    none.
    """

    namespace: str
    observations: tuple[Observation, ...]
    data_source: str
    annotation_type: str


@dataclass(frozen=True)
class Jams:
    """A file's annotations of the namespaces asked for, and the length of what was annotated, in seconds, if stated."""

    duration: float | None
    annotations: tuple[Annotation, ...]


def read_jams(path: Path, namespaces: Iterable[str]) -> Jams:
    """Read the annotations of some namespaces; the others are passed over unread.

    Raises
    ------
    InputError
        If this is no JAMS file, or a time or duration in what is read is no number of seconds that a recording can
        have. The message says what is wrong inside; the caller knows the path.
    """
    document = _json(path)
    if not isinstance(document, dict) or not isinstance(document.get("annotations"), list):
        raise InputError("is JSON, but not JAMS: there is no list of annotations")
    wanted = set(namespaces)
    chosen = [entry for entry in document["annotations"] if _field(entry, "namespace") in wanted]
    return Jams(
        duration=_length(_field(document, "file_metadata", "duration"), "the file's duration"),
        annotations=tuple(_annotation(entry) for entry in chosen),
    )


def seconds(value: object, what: str) -> float:
    """A time or length in seconds, as a float.

    Raises
    ------
    InputError
        If it is no number, or not from 0 to a day; ``what`` names it.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{what} is {value!r:.40}, not a number of seconds")
    if not 0 <= value <= LATEST:  # NaN too
        raise InputError(f"{what} is {value!r:.40}: seconds from 0 to {LATEST:.0f} were expected")
    return float(value)


def _json(path: Path) -> object:
    try:
        if (size := path.stat().st_size) > LARGEST:
            raise InputError(f"has {size / 2**20:.0f} MB; annotations of a piece have less than {LARGEST >> 20}")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise InputError("is no JSON that anyone would write: nested too deeply") from error
    except InputError:
        raise
    except ValueError as error:  # bad JSON, bad UTF-8, and integers of thousands of digits
        raise InputError(f"is not JSON ({error!s:.80}): download it again") from error


def _annotation(entry: dict) -> Annotation:
    namespace = entry["namespace"]
    data = entry.get("data")
    if not isinstance(data, list):
        raise InputError(f"the observations of a {namespace} annotation are {type(data).__name__}, not a list")
    observations = [_observation(item, f"{namespace} observation {i}") for i, item in enumerate(data, 1)]
    return Annotation(
        namespace=namespace,
        observations=tuple(sorted(observations, key=lambda seen: seen.time)),  # JAMS promises no order
        data_source=_word(_field(entry, "annotation_metadata", "data_source")),
        annotation_type=_word(_field(entry, "sandbox", "annotation_type")),
    )


def _observation(item: object, what: str) -> Observation:
    if not isinstance(item, dict):
        raise InputError(f"{what} is {item!r:.40}, not an object")
    time = seconds(item.get("time"), f"the time of {what}")
    return Observation(time, _length(item.get("duration"), f"the duration of {what}"), item.get("value"))


def _length(value: object, what: str) -> float | None:
    """A length that may be unknown: absent, null, or the NaN that Python writes into JSON."""
    if value is None or value != value:
        return None
    return seconds(value, what)


def _field(entry: object, *names: str) -> object:
    """What is found going down by these names, or None."""
    for name in names:
        entry = entry.get(name) if isinstance(entry, dict) else None
    return entry if not isinstance(entry, dict | list) else None


def _word(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
