"""Corpus ``band``: folk and dance tunes arranged for four to nine General MIDI stems. Stands in for Slakh2100."""

from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np

from phalar.corpora import seeds
from phalar.datasets.store import write_track

SEED = 0

SECONDS = (40.0, 55.0)
"""Shortest and longest piece as written; a last note may ring a little longer."""

GAINS = {
    "drums": 2.0,
    "bass": 1.0,
    "lead": 0.5,
    "riff": -2.5,
    "strum": -3.5,
    "comp": -3.0,
    "arpeggio": -4.5,
    "counter": -4.0,
    "pad": -6.0,
    "percussion": -6.0,
}
"""Decibels by which a role is louder than the common level of stems, before what the piece's own mix adds."""

FLOOR = -60.0
"""Decibels at which a released note is over: in a band nobody hears what is below, and it is a third of the work."""

BALANCE = 1.5
"""Standard deviation, in decibels, of what a piece's mix adds to the gain of each role."""

DRUM_BANK = 128
"""Of a SoundFont, where drum kits are."""

FAMILIES = {"2/4": "duple", "4/4": "duple", "2/2": "duple", "3/4": "triple", "6/8": "compound", "9/8": "compound"}
"""Families of the metres that the tunes have."""


@cache
def pieces() -> dict[str, str]:
    """The split of every piece, by id, in an order that has nothing to do with their names."""
    from phalar.corpora import tunes

    return tunes.pieces("band")


@cache
def styles() -> dict[str, str]:
    """The style of every piece, by id. The styles of a family of metres take turns, so each plays its share of every
    split, and of any first part of one in the order of :func:`pieces`."""
    from phalar.corpora import tunes
    from phalar.corpora.styles.table import STYLES

    turns, result = Counter(), {}
    for piece, split in pieces().items():
        which = FAMILIES[tunes.table()[piece]["meter"]]
        fitting = [name for name, style in STYLES.items() if style.family == which]
        result[piece] = fitting[turns[split, which] % len(fitting)]
        turns[split, which] += 1
    return result


def build(piece: str, folder: Path) -> None:
    """Harmonise, arrange, perform, render and store one piece.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store.
    """
    # Here, not above: these need music21 and numba, and reading a finished corpus needs neither.
    from phalar.corpora import arranger, groove, tunes
    from phalar.corpora.leadsheet import PITCH_CLASSES
    from phalar.corpora.rendering import render_stems
    from phalar.corpora.soundfont import SoundFont, installed_font

    rng = seeds.generator("band", SEED, "arrangement", piece)
    name = styles()[piece]
    arrangement = arranger.arrange(tunes.lead_sheet(piece, arranger.colour(name)), name, rng, SECONDS)
    notes, beats = groove.perform(arrangement, groove.TIGHT, rng)
    gains = [GAINS[part.role] + BALANCE * float(rng.standard_normal()) for part in arrangement.parts]
    audio = render_stems(
        _font(SoundFont, installed_font()),
        [(part.program, played) for part, played in zip(arrangement.parts, notes, strict=True)],
        gains=gains,
        banks=[DRUM_BANK if part.drums else 0 for part in arrangement.parts],
        floor=FLOOR,
    )
    write_track(
        folder,
        piece,
        audio,
        split=pieces()[piece],
        stems=[part.instrument for part in arrangement.parts],
        pitched=[not part.drums for part in arrangement.parts],
        tags={
            "title": arrangement.title,
            "style": name,
            "tempo": arrangement.bpm,
            "key": f"{PITCH_CLASSES[arrangement.tonic]} {arrangement.mode}",
            "metre": metre(arrangement),
            "roles": [part.role for part in arrangement.parts],
            "gains": [round(gain, 2) for gain in gains],
            "sections": [name for _, name in arrangement.sections],
            "seed": SEED,
        },
        beats=np.column_stack([beats, [number for _, number in arrangement.beats]]),
        chords=groove.chords(arrangement, beats),
        notes=[[(n.onset, n.duration, n.pitch) for n in played] for played in notes],
    )


def metre(arrangement) -> str:
    """As a time signature, such as ``"6/8"``."""
    count = max(number for _, number in arrangement.beats)
    return f"{3 * count}/8" if arrangement.beat == 1.5 else f"{count}/4"


@cache
def _font(kind: type, path: Path):
    return kind(path)  # 6 MB and a second to read: once a process
