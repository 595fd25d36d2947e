"""Corpus ``chorales``: the four-part Bach chorales, played by four instruments. Stands in for CocoChorales.

The scores (compiled by M. Greentree) come with the installed music21 package and stay there. Each is played once, by
one of CocoChorales' ensembles: string, brass, woodwind, and random, where each voice draws from its own list.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from phalar.corpora import performance, rendering, seeds, styles
from phalar.corpora.leadsheet import NEAR, Arrangement, Part, Stroke
from phalar.errors import RunError

SEED = 0
TABLE = Path(__file__).with_name("chorales.csv")  # ``data/README.md`` says how it was made
PROGRAMS: dict[str, int] = styles.table()["chorales"]["programs"]
ENSEMBLES: dict[str, list[str]] = styles.table()["chorales"]["ensembles"]
RANDOM_ENSEMBLE: list[list[str]] = styles.table()["chorales"]["random"]  # who may play each voice in that ensemble
ROLES, LOUDER = ("soprano", "alto", "tenor", "bass"), np.array([5.0, 0.0, 0.0, 0.0])  # in velocity steps


class Score(NamedTuple):
    """A chorale as written: a melody a voice, highest first, notes in order and not overlapping; every beat and its
    number in the bar; onset and end of the soprano's notes that end a line."""

    voices: list[list[Stroke]]
    beats: tuple[tuple[float, int], ...]
    fermatas: tuple[tuple[float, float], ...]


@cache
def table() -> dict[str, dict[str, str]]:
    """For every piece: ``group`` (pieces on one melody share it), ``split``, ``key`` and ``title``."""
    return {row["id"]: row for row in styles.read_table(TABLE)}


@cache
def pieces() -> dict[str, str]:
    """The split of every piece, by id, in an order that has nothing to do with their names."""
    return {piece: table()[piece]["split"] for piece in seeds.shuffled(SEED, table())}


def ensemble(piece: str) -> str:
    """Which ensemble plays a piece. They take turns, so each plays a quarter of every split, and of any first part of
    one in the order of :func:`pieces`."""
    split = [other for other, name in pieces().items() if name == table()[piece]["split"]]
    return [*ENSEMBLES, "random"][split.index(piece) % 4]


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """Perform, render and store one of :func:`pieces` in the store ``folder``, so many semitones higher than it is."""

    row = table()[piece]
    rng = seeds.generator(SEED, "performance", piece)
    name = ensemble(piece)
    players = ENSEMBLES.get(name) or [str(rng.choice(voice)) for voice in RANDOM_ENSEMBLE]
    page = styles.transposed(arrangement(piece, read(piece), players, rng), semitones)
    tags = {"bwv": piece.removeprefix("bwv"), "composer": "Johann Sebastian Bach", "group": row["group"]}
    tags |= {"ensemble": name}
    rendering.record(folder, page, performance.draw_feel("hymn", rng), rng, row["split"], tags)


def arrangement(piece: str, score: Score, players: Sequence[str], rng: np.random.Generator) -> Arrangement:
    """A chorale for four players, its phrases told by fermatas, the last note held as if it had one. Tempi are whole
    numbers within CocoChorales' 50 to 150 quarter notes a minute, most of them 70 to 105."""
    bpm = int(np.clip(round(86 * np.exp(0.25 * rng.standard_normal())), 50, 150))
    loudness = rng.uniform(72, 92)
    parts = [
        Part(role, player, PROGRAMS[player], False, tuple(replace(note, velocity=level) for note in voice))
        for role, player, voice, level in zip(ROLES, players, score.voices, loudness + LOUDER, strict=True)
    ]
    row = table()[piece]
    key, mode = row["key"].split()
    tonic = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}[key[0].lower()] + key.count("#") - key.count("-")
    known = piece, row["title"], "chorale", bpm, 1.0, 0.5, tonic % 12, mode
    return Arrangement(*known, score.beats, (), (), tuple(parts), score.fermatas)


def read(name: str) -> Score:
    """One chorale as written, repeats not played out. A `RunError` if music21 has none, or not in four voices."""
    from music21 import converter  # here, not above: it takes a second, and reading a finished corpus does not need it
    from music21.expressions import Fermata

    (file,) = sorted(styles.inside("music21==10.5.1", "corpus", "bach").glob(f"{name}.[mx]*l")) or [None]
    if file is None:
        raise RunError(f"music21's corpus has no Bach piece {name!r}: install music21 10.5.1, whose chorales are used")
    # From the source, always: music21 would else keep pickles of what it parsed in the temporary folder, and load them.
    parts = list(converter.parse(file, forceSource=True, storePickle=False).parts)
    if [part.partName for part in parts] != ["Soprano", "Alto", "Tenor", "Bass"]:
        raise RunError(f"{name} is not written for soprano, alto, tenor and bass")
    voices = [_voice(part) for part in parts]
    marked = {float(e.offset) for e in parts[0].flatten().notes if any(isinstance(m, Fermata) for m in e.expressions)}
    ending = {voices[0][-1].onset} | marked
    fermatas = tuple((n.onset, n.end) for n in voices[0] if any(n.onset <= mark < n.end for mark in ending))
    length = max(voice[-1].end for voice in voices)
    return Score(voices, tuple(beat for beat in _beats(parts[0]) if beat[0] < length), fermatas)


def _voice(part) -> list[Stroke]:
    """The notes of a part, tied ones joined."""
    notes: list[Stroke] = []
    for element in part.flatten().notes:
        onset, duration, end = float(element.offset), float(element.quarterLength), notes[-1].end if notes else 0.0
        pitch = max(pitch.midi for pitch in element.pitches)
        if duration <= 0 or onset < end - NEAR:
            continue  # a grace note, or a second line written into the same staff
        tied = element.tie is not None and element.tie.type != "start" and onset < end + NEAR
        onset = notes.pop().onset if tied and notes and pitch == notes[-1].pitch else onset
        notes.append(Stroke(onset, float(element.offset) + duration - onset, pitch))
    return notes


def _beats(part):
    """Every beat and its number in the bar. A bar that a repeat sign cuts in two is counted on in its second half."""
    meter, carried = None, 0.0
    for number, measure in enumerate(part.getElementsByClass("Measure")):
        meter = measure.timeSignature or meter
        bar, unit = meter.barDuration.quarterLength, meter.beatDuration.quarterLength
        length = min(measure.duration.quarterLength, bar)
        before = measure.paddingLeft or (bar - length if number == 0 else carried if carried + length <= bar else 0)
        carried = (before + length) % bar
        at = -(-before // unit) * unit  # the first beat at or after the measure's beginning
        while at < before + length:
            yield float(measure.offset + at - before), int(at // unit) + 1
            at += unit
