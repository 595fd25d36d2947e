"""The styles that a band knows, read from ``styles.yaml``: tempo, harmony, who plays, and every player's patterns."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from phalar.errors import InputError

TABLE = Path(__file__).with_name("styles.yaml")

STEPS = {"duple": 16, "triple": 12, "compound": 12}
"""Characters that one bar of a pattern has, a sixteenth note each, by family of metres."""

SYMBOLS = {"drums": "Xxog?", "bass": "R3578aw", "strum": "Xxosumbf0123/", "comp": "Xxosumbf0123/", "arpeggio": "0123"}
SYMBOLS |= {"riff": "x"}
"""What the patterns of a role may hold besides ``.`` and ``-``; ``styles.yaml`` says what it means."""

LEAN = {"pushing": -0.007, "": 0.0, "laid back": 0.012}
"""Seconds by which the players of a style aim behind the beat."""


@dataclass(frozen=True)
class Instrument:
    """A General MIDI ``program`` counted from 0 (of bank 128 if ``drums``), and its lowest and highest key in use."""

    name: str
    program: int
    low: int
    high: int
    drums: bool = False


@dataclass(frozen=True)
class Style:
    """What a band knows of a style before it sees the tune.

    Attributes
    ----------
    family : str
        Metres it fits: ``"duple"``, ``"triple"`` or ``"compound"``.
    colour : str
        How the tune is harmonised (:data:`phalar.corpora.harmony.COLOURS`).
    bpm : tuple of int
        Beats a minute. Few, and shared between styles, so that a tempo does not tell which piece it is.
    swing : float
        Where the second half of a beat falls.
    players : tuple of (str, tuple of str)
        Role, and instruments to choose from; the first four always come: drums, bass, chords and lead.
    patterns : dict of str to tuple
        By role. For drums and fills a mapping of drums to patterns, else patterns.
    lean, click : float
        Seconds behind the beat; how often such a band records to a click.
    quiet : bool
        Fills on the snare drum, hardly a crash.
    rate : float
        Notes a second above which a melody is thinned.
    ornaments : dict of str to float
        How often, of the notes that allow it, the lead has ``"grace"`` notes, comes ``"late"`` or ``"split"`` s notes.
    """

    family: str
    colour: str
    bpm: tuple[int, ...]
    swing: float
    players: tuple[tuple[str, tuple[str, ...]], ...]
    patterns: dict[str, tuple]
    lean: float
    click: float
    quiet: bool
    rate: float
    ornaments: dict[str, float]


@cache
def table() -> dict:
    """``styles.yaml`` as it is.

    Raises
    ------
    InputError
        If a pattern has a wrong length or character, or an instrument or drum is not known, naming the place.
    """
    data = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    families = [(which, role, data[f"{role}s"][which]) for which in STEPS for role in ("arpeggio", "riff")]
    families += [(which, "drums", data["fills"][which]) for which in STEPS]
    families += [(which, "drums", rhythms[which]) for rhythms in data["percussion"].values() for which in STEPS]
    known = {*data["instruments"], *data["kits"], *data["percussion"]}
    for name, row in data["styles"].items():
        families += [(row["family"], role, row[role]) for role in ("drums", "bass", "strum", "comp")]
        named = {player for who in row["players"] for players in who.values() for player in players}
        if named - known or [next(iter(who)) for who in row["players"]][:2] != ["drums", "bass"]:
            raise InputError(
                f"{TABLE.name}: style {name!r}: unknown {sorted(named - known)}, or no drums and bass first"
            )
    families += [("duple", "comp", p) for ways in data["comping"]["figures"].values() for p in ways.values()]
    for which, role, patterns in families:
        for pattern in patterns:
            for line in pattern.values() if role == "drums" else pattern.split("/"):
                if len(line) % STEPS[which] or not line or set(line) - set(SYMBOLS[role] + ".-"):
                    raise InputError(f"{TABLE.name}: {role} pattern {line!r} is none for a {which} metre")
            if role == "drums" and not set(pattern) <= set(data["keys"]):
                raise InputError(f"{TABLE.name}: drums {sorted(pattern)} are not all among its keys")
    return data


@cache
def styles() -> dict[str, Style]:
    """Every style, by name."""
    found = {}
    for name, row in table()["styles"].items():
        which = row["family"]
        shared = {"arpeggio": table()["arpeggios"][which], "riff": table()["riffs"][which]}
        own = {role: tuple(row[role]) for role in ("drums", "bass", "strum", "comp")}
        found[name] = Style(
            family=which,
            colour=row["colour"],
            bpm=tuple(row["bpm"]),
            swing=row["swing"],
            players=tuple((role, tuple(names)) for who in row["players"] for role, names in who.items()),
            patterns=own | {"fills": tuple(table()["fills"][which])} | {k: tuple(v) for k, v in shared.items()},
            lean=LEAN[row.get("lean", "")],
            click=row.get("click", 0.4),
            quiet=row.get("quiet", False),
            rate=row.get("rate", 7.5),
            ornaments=row.get("ornaments", {"late": 0.05}),
        )
    return found


def instrument(name: str) -> Instrument:
    """Look an instrument up by name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name in table()["instruments"]:
        return Instrument(name, *table()["instruments"][name])
    if name in table()["kits"] or name in table()["percussion"]:
        return Instrument(name, table()["kits"].get(name, 0), 27, 87, drums=True)
    known = [*table()["instruments"], *table()["kits"], *table()["percussion"]]
    raise InputError(f"no instrument {name!r}: choose one of {', '.join(known)}")
