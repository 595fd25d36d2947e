"""The styles that a band knows, read from ``styles.yaml``: tempo, harmony, who plays, and every player's patterns."""

import csv
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from phalar.corpora.leadsheet import Arrangement, Part, fold
from phalar.errors import InputError, RunError

TABLE = Path(__file__).with_name("styles.yaml")


@dataclass(frozen=True)
class Instrument:
    """A General MIDI ``program`` counted from 0 (of bank 128 if ``drums``), and its lowest and highest key in use."""

    name: str
    program: int
    low: int = 27
    high: int = 87
    drums: bool = False


@dataclass(frozen=True)
class Style:
    """What a band knows of a style before it sees the tune: a row of ``styles`` in ``styles.yaml``, which says what the
    fields mean. ``patterns`` are by role; those of drums and fills are mappings of drums to patterns."""

    family: str
    colour: str
    bpm: list[int]
    swing: float
    players: list[tuple[str, list[str]]]
    patterns: dict[str, list]
    lean: float = 0.0
    click: float = 0.4
    quiet: bool = False
    rate: float = 7.5
    ornaments: dict[str, float] = field(default_factory=lambda: {"late": 0.05})


def inside(package: str, *path: str) -> Path:
    """A file or folder inside an installed package (``"name==version"``), which is not imported, since that would take
    seconds; a `RunError` if it is not there."""
    spec = find_spec(package.partition("==")[0])
    place = Path(spec.origin).parent.joinpath(*path) if spec and spec.origin else None
    if place is None or not place.exists():
        raise RunError(f"scores and sounds come inside {package}, and {'/'.join(path)} is not there: install it")
    return place


def read_table(path: Path) -> list[dict[str, str]]:
    """The rows of a table of this folder."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def table() -> dict:
    """``styles.yaml`` as it is."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8"))


@cache
def styles() -> dict[str, Style]:
    """Every style, by name."""
    found = {}
    for name, row in table()["styles"].items():
        patterns = {role: row[role] for role in ("drums", "bass", "strum", "comp")}
        patterns |= {role: table()[role][row["family"]] for role in ("arpeggio", "riff", "fills")}
        own = {key: value for key, value in row.items() if key not in patterns}
        players = [pair for player in row["players"] for pair in player.items()]
        found[name] = Style(**own | {"players": players, "patterns": patterns})
    return found


def instrument(name: str) -> Instrument:
    """Look an instrument up by name; an `InputError` if there is none."""
    if name in table()["instruments"]:
        return Instrument(name, *table()["instruments"][name])
    if name in table()["kits"] or name in table()["percussion"]:
        return Instrument(name, table()["kits"].get(name, 0), drums=True)
    raise InputError(f"no instrument {name!r}: choose one of {', '.join(table()['instruments'])}, or a kit")


def transposed(page: Arrangement, semitones: int) -> Arrangement:
    """The same piece in another key, 1 to 6 semitones above or below; drums stay. A part that this would take out of
    its instrument's range is moved the other way to the same pitch classes, and a note that is still outside by an
    octave. Taught in ``book/corpora.md``, "Twins"."""
    if not semitones:
        return page
    ranges = {program: (low, high) for program, low, high in table()["instruments"].values()}

    def moved(part: Part) -> Part:
        if part.drums:
            return part
        low, high = ranges.get(part.program, (0, 127))
        shifts = semitones, semitones - 12 if semitones > 0 else semitones + 12
        by = min(shifts, key=lambda shift: sum(not low <= stroke.pitch + shift <= high for stroke in part.strokes))
        return replace(part, strokes=tuple(replace(s, pitch=fold(s.pitch + by, (low, high))) for s in part.strokes))

    chords = tuple(replace(chord, root=(chord.root + semitones) % 12) for chord in page.chords)
    parts = tuple(moved(part) for part in page.parts)
    return replace(page, tonic=(page.tonic + semitones) % 12, chords=chords, parts=parts)
