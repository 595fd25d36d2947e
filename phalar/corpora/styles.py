"""The styles that a band knows, read from ``styles.yaml``: tempo, harmony, who plays, and every player's patterns."""

import csv
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from phalar.errors import InputError

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
        row = dict(row)
        patterns = {role: row.pop(role) for role in ("drums", "bass", "strum", "comp")}
        patterns |= {role: table()[role][row["family"]] for role in ("arpeggio", "riff", "fills")}
        players = [pair for player in row.pop("players") for pair in player.items()]
        found[name] = Style(patterns=patterns, players=players, **row)
    return found


def instrument(name: str) -> Instrument:
    """Look an instrument up by name; an `InputError` if there is none."""
    if name in table()["instruments"]:
        return Instrument(name, *table()["instruments"][name])
    if name in table()["kits"] or name in table()["percussion"]:
        return Instrument(name, table()["kits"].get(name, 0), drums=True)
    raise InputError(f"no instrument {name!r}: choose one of {', '.join(table()['instruments'])}, or a kit")
