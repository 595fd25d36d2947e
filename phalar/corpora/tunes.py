"""The folk tunes that ``band``, ``studio`` and ``beats`` are made of, and their lead sheets.

Ryan's Mammoth Collection (Boston, 1883; contributed by R. Davies), James Aird's Selection of Airs (Glasgow, 1778 to
about 1801; J. Campin) and O'Neill's Music of Ireland (Chicago, 1903; several transcribers) lie in music21's installed
corpus and stay there. They give no chords; :mod:`phalar.corpora.harmony` finds them. Which tune serves which corpus and
split is kept in ``tunes.csv``; ``data/README.md`` says how it was chosen.

Ornaments are left out, and of a chord the highest note stays. (music21's own reader takes fifty times as long, and
drops notes that have ornaments.)
"""

import re
from collections import namedtuple
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

from phalar.corpora import seeds
from phalar.corpora.chart import METRES
from phalar.corpora.harmony import harmonise
from phalar.corpora.leadsheet import MODES, LeadSheet, Stroke
from phalar.corpora.styles import inside, read_table
from phalar.errors import RunError

SEED = 0
TABLE = Path(__file__).with_name("tunes.csv")

# Folder of each book in music21's corpus; and of each metre the beats in a bar, and a beat's length in quarter notes.
BOOKS = {"aird": "airdsAirs", "oneill": "oneills1850", "ryan": "ryansMammoth"}
METERS = {"2/4": (2, 1.0), "3/4": (3, 1.0), "4/4": (4, 1.0), "6/8": (2, 1.5), "9/8": (3, 1.5)}
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
ALTERATIONS = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0, "#": 1, "b": -1, "": 0}

ORNAMENT = re.compile(r'"[^"]*"|\{[^}]*\}|![^!\s|]*!|\((?!3)|[)`\\.~*!yH-Wh-w]')
BAR = re.compile(r"(:*\|[|\]]*:*|::)\s*(?:\[?([12]))?")
ENDING = re.compile(r"\[([12])")
NOTE = re.compile(r"((?:\(3)*)(\[[^\]]+\]|[\^_=]*[A-Ga-gxz][,']*)(\d*/*\d*)([-<>]*)")
PITCH = re.compile(r"([\^_=]*)([A-Ga-gxz])([,']*)(\d*/*\d*)")

Measure = namedtuple("Measure", "notes length ending begins closes repeats")
"""What stands between two bar lines: notes as [quarter notes, MIDI key or None for a rest, whether tied on], their
length in all, the number of the ending that begins here, and whether a strain begins, ends, or is repeated."""


@cache
def table() -> dict[str, dict[str, str]]:
    """For every tune, by id: ``book``, ``number``, ``size`` (settings of it in the books), ``corpus``, ``split``,
    ``meter``, ``mode``, ``title``."""
    return {row["id"]: row for row in read_table(TABLE)}


@cache
def pieces(corpus: str) -> dict[str, str]:
    """The split of every tune of a corpus, by id, in an order that has nothing to do with their names."""
    chosen = [piece for piece, row in table().items() if row["corpus"] == corpus]
    return {piece: table()[piece]["split"] for piece in seeds.shuffled(SEED, chosen)}


def family(piece: str) -> str:
    """The family of a tune's metre: ``"duple"``, ``"triple"`` or ``"compound"``."""
    return METRES[METERS[table()[piece]["meter"]]]


def tune(piece: str) -> LeadSheet:
    """One tune of the table, repeats played out, without chords."""
    row = table()[piece]
    return parse(source(row["book"], row["number"]), row["meter"], row["mode"], piece, row["title"])


def lead_sheet(piece: str, colour: str) -> LeadSheet:
    """A tune with chords in a colour of :data:`phalar.corpora.harmony.COLOURS`: the same ones for the same request."""
    return harmonise(tune(piece), colour, seeds.generator(SEED, "harmony", colour, piece))


@cache
def _sources(book: str) -> dict[str, str]:
    """The tunes of a book by number, or by the file's name where files hold one tune each."""
    files = sorted(inside("music21==10.5.1", "corpus", BOOKS[book]).glob("*.abc"))
    texts = {file.stem: file.read_text(encoding="utf-8", errors="replace") for file in files}
    found = [re.split(r"^X:\s*(\d+)", text, flags=re.MULTILINE) for text in reversed(texts.values())]
    numbered = {f"{int(n):04d}": tune for parts in found for n, tune in zip(parts[1::2], parts[2::2], strict=True)}
    return texts if book == "ryan" else numbered


def source(book: str, number: str) -> str:
    """A tune's ABC, by the columns of ``tunes.csv``; a `RunError` if the installed corpus has no such tune."""
    if number not in _sources(book):
        raise RunError(f"music21's corpus has no tune {book}-{number}: install music21 10.5.1, whose tunes are used")
    return _sources(book)[number]


def parse(text: str, meter: str, mode: str, id: str = "", title: str = "") -> LeadSheet:
    """A tune as it is played, repeats played out and bars whole, without chords. ``mode`` is the one that sounds: the
    books often write E dorian as D, the major key of that signature. A `RunError` if it does not add up."""
    beats, beat = METERS[meter]
    try:
        fifths, measures = measures_of(text, meter)
        pickup, melody, strains = lay_out(_played(measures), beats * beat)
    except (ValueError, LookupError, StopIteration) as error:
        raise RunError(f"tune {id!r} cannot be read: {error}") from error
    return LeadSheet(id, title, (7 * fifths + MODES[mode]) % 12, mode, beats, beat, pickup, melody, (), strains)


def measures_of(text: str, meter: str) -> tuple[int, list[Measure]]:
    """The signature, as sharps (or, below 0, flats), and the measures as written."""
    head, _, rest = re.sub(r"%.*", "", text).partition("\nK:")
    key, _, body = rest.partition("\n")
    tonic, sign, name = re.match(r"\s*([A-G])([#b]?)\s*([A-Za-z]{0,3})", key).groups()
    mode = next(mode for mode in MODES if mode.startswith({"": "maj", "m": "min"}.get(name, name.lower())))
    fifths = "FCGDAEB".index(tonic) - 1 + 7 * ALTERATIONS[sign] - 7 * MODES[mode] % 12
    given = re.search(r"^L:\s*(\d+/\d+)", head, re.MULTILINE)
    unit = 4 * float(Fraction(given[1])) if given else 0.25 if meter == "2/4" else 0.5

    parts = BAR.split(ORNAMENT.sub("", re.sub(r"(?m)^[H-Zh-z]:.*", "", body)))
    measures, begins, ending = [], True, None
    for music, bar, number in zip(parts[::3], [*parts[1::3], "|]"], [*parts[2::3], None], strict=True):
        late = ENDING.search(music)  # in the middle of a bar
        notes = _notes("".join(ENDING.sub("", music).split()), fifths, unit)
        if notes:
            length, ending = sum(duration for duration, _, _ in notes), late[1] if late else ending
            measures.append(Measure(notes, length, ending, begins, bar != "|", bar.startswith(":")))
            begins, ending = False, None
        begins, ending = begins or bar != "|", number or ending
    return fifths, measures


def _notes(music: str, fifths: int, unit: float) -> list[list]:
    if NOTE.sub("", music):
        raise ValueError(f"{music!r}")
    notes, accidentals, left, swing = [], {}, 0, 1.0
    for triplet, what, length, after in NOTE.findall(music):
        inner = PITCH.findall(what)
        keys = [key for letter in inner if (key := _key(*letter[:3], fifths, accidentals)) is not None]
        left = 3 if triplet else left - 1
        duration = unit * _length(inner[0][3]) * _length(length) * swing * (2 / 3 if left > 0 else 1)
        shorter = 0.5 ** len(after.strip("-"))
        first, swing = (2 - shorter, shorter) if ">" in after else (shorter, 2 - shorter)
        notes.append([duration * first, max(keys, default=None), "-" in after])
    return notes


def _key(accidental: str, step: str, octaves: str, fifths: int, accidentals: dict[str, int]) -> int | None:
    letter = step.upper()
    if letter in "XZ":
        return None
    if accidental:
        accidentals[letter] = ALTERATIONS[accidental]
    signature = (fifths + 6 - "FCGDAEB".index(letter)) // 7  # 1 for the first sharps, -1 for the last ones as flats
    octave = step.islower() + octaves.count("'") - octaves.count(",")
    return 60 + 12 * octave + STEPS[letter] + accidentals.get(letter, signature)


def _length(text: str) -> float:
    """Of a note, in units: ``3/2``, ``/``, ``//``, ``/4``."""
    before, slashes, after = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()
    return int(before or 1) / (int(after) if after else 2 ** len(slashes))


def _played(measures: list[Measure]) -> list[tuple[Measure, str]]:
    """The measures in the order in which they are played; the first of a strain with the strain's letter."""
    played, strains, start, turn, i = [], [], 0, "1", 0
    while i < len(measures):
        if measures[i].begins and not measures[i].ending and turn == "1":
            start = i
        if measures[i].ending and measures[i].ending != turn:  # the second time on, pass over the first ending
            i = next(j for j in range(i, len(measures)) if measures[j].ending == turn)
        if start not in strains:
            strains.append(start)
        played.append((measures[i], chr(ord("A") + strains.index(start)) if i == start else ""))
        again = measures[i].repeats and turn == "1"
        if not again and (measures[i].repeats or (measures[i].closes and turn == "2")):
            start, turn = i + 1, "1"
        i, turn = (start, "2") if again else (i + 1, turn)
    return played


def lay_out(played: list[tuple[Measure, str]], bar: float):
    """Measures one after another, so that bar lines fall on whole bars: where strains meet, the last note of one yields
    to the upbeat of the next, or waits for it. Returns the upbeat's length, the melody and the strains."""

    def upbeat(measure: Measure) -> float:
        return measure.length if measure.length < bar - 1e-6 else 0.0

    pickup, line, strains, at = upbeat(played[0][0]), [], [], -upbeat(played[0][0])
    for (measure, letter), (following, _) in pairwise([*played, (None, "")]):
        if letter:  # the strain begins at the next bar line
            strains.append((-((-at + 1e-6) // bar) * bar + pickup, letter))
        line += [list(note) for note in measure.notes]
        at = round((at + measure.length) * 48) / 48
        room = -at % bar
        if measure.closes and following is not None:
            line[-1][0] += room - upbeat(following)
            at += room - upbeat(following)
        elif (room and following is not None) or line[-1][0] < 1e-6 or measure.length > bar + 1e-6:
            raise ValueError(f"a bar of {measure.length:g} quarter notes")
    melody: list[Stroke] = []
    onset, held = 0.0, False
    for duration, pitch, tied in line:
        start = melody.pop().onset if held and pitch == melody[-1].pitch else onset
        if pitch is not None:
            melody.append(Stroke(start, onset + duration - start, pitch))
        onset, held = round((onset + duration) * 48) / 48, tied and pitch is not None
    return pickup, tuple(melody), tuple(strains)
