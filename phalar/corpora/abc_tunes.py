"""Dance tunes and airs from three printed books, read from the ABC files in music21's installed corpus.

Ryan's Mammoth Collection (Boston, 1883; contributed by R. Davies), six books of James Aird's Selection of Airs
(Glasgow, 1778 to about 1801; J. Campin) and O'Neill's Music of Ireland (Chicago, 1903; several transcribers). The files
stay in the installed package. They are read here directly, since music21 takes fifty times as long; a test holds
the two readings against each other.

Read is the part of ABC that these books use: keys with modes, repeats with first and second endings, triplets, ties,
broken rhythm, accidentals that last to the end of the bar (in every octave). Grace notes and ornaments are left out;
of a chord the highest note stays. A tune that does not add up is not guessed at: it is left out.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from phalar.corpora.score import Written
from phalar.errors import RunError

BOOKS = {"aird": "airdsAirs", "oneill": "oneills1850", "ryan": "ryansMammoth"}
"""Folder of each book in music21's corpus."""

METERS = {"2/4": (2, 1.0), "3/4": (3, 1.0), "4/4": (4, 1.0), "C": (4, 1.0), "C|": (4, 1.0)} | {
    "6/8": (2, 1.5),
    "9/8": (3, 1.5),
}
"""Beats in a bar and length of a beat in quarter notes. Tunes in other metres (one in a hundred) are left out."""

MODES = {"": "major", "maj": "major", "ion": "major", "m": "minor", "min": "minor", "aeo": "minor"} | {
    "dor": "dorian",
    "mix": "mixolydian",
}

FIFTHS = {"major": 0, "mixolydian": -1, "dorian": -2, "minor": -3}
"""By how many fifths a mode's signature differs from that of the major key on the same tonic."""

SEMITONES = {"major": 0, "dorian": 2, "mixolydian": 7, "minor": 9}
"""Where the tonic of each mode lies in the major scale of the same signature."""

SHORTEST, LONGEST, AMBITUS = 16, 160, 30
"""Bars, repeats counted, that a tune must have at least and at most; semitones that it may span."""

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
SHARPS = "FCGDAEB"

TOKEN = re.compile(
    r"""
    (?P<skip>"[^"]*"|\{[^}]*\}|![^!\s|]*!|\+[^+\s|]*\+|[ \t`\\().~*!uvyH-Wh-wJ]+(?<!\())
    |\((?P<tuplet>[2-9])(?::(?P<into>\d*))?(?::(?P<over>\d*))?
    |\[(?P<field>[A-Za-z]:[^\]]*)\]
    |\[(?P<chord>[^\]|:0-9][^\]|]*)\](?P<chord_length>\d*/*\d*)
    |(?P<note>(?P<accidental>\^\^|\^|__|_|=)?(?P<step>[A-Ga-gzx])(?P<octave>[,']*)(?P<length>\d*/*\d*))
    |(?P<broken><+|>+)
    |(?P<tie>-)
    |(?P<bar>(?::*(?:\[\||\|[|\]]*)+:*)|::)[ ]*(?:\[?(?P<ending>[12])(?![\d/]))?
    |\[(?P<also_ending>[12])
    |\(
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class Tune:
    """A tune as it is played: repeats played out, bars whole. Times in quarter notes from the beginning.

    Attributes
    ----------
    id : str
        Book and number, such as ``"oneill-0736"``; the file's name in Ryan's book, which is not numbered throughout.
    titles : tuple of str
        The name first, then other names.
    tonic : int
        Pitch class from C = 0.
    mode : str
        ``"major"``, ``"minor"``, ``"dorian"`` or ``"mixolydian"``.
    beats_per_bar, beat, pickup
        As in :class:`phalar.corpora.leadsheet.LeadSheet`.
    melody : tuple of Written
        In order, not overlapping.
    strains : tuple of (float, str)
        The first bar line of each strain, a repeat counted as another strain of the same letter.
    bars : int
        Whole bars after the pickup.
    """

    id: str
    titles: tuple[str, ...]
    tonic: int
    mode: str
    beats_per_bar: int
    beat: float
    pickup: float
    melody: tuple[Written, ...]
    strains: tuple[tuple[float, str], ...]
    bars: int

    @property
    def bar(self) -> float:
        """Length of a bar in quarter notes."""
        return self.beats_per_bar * self.beat

    @property
    def length(self) -> float:
        """Quarter notes until the last bar line."""
        return self.pickup + self.bars * self.bar


@dataclass
class Measure:
    """What stands between two bar lines: ``notes`` as [quarter notes, MIDI key or None for a rest, whether tied on],
    and what the bar lines around it say."""

    notes: list[list]
    begins: bool = False  # a strain: after |: or a double bar
    repeats: bool = False  # ends in :|
    closes: bool = False  # ends in a double bar
    ending: int = 0

    @property
    def length(self) -> float:
        return sum(duration for duration, _, _ in self.notes)


class UnreadableError(ValueError):
    """What is written is not a tune that adds up; says why."""


def names() -> list[str]:
    """Every tune of the three books, readable or not; those that O'Neill's transcribers did twice count once."""
    return sorted({f"{book}-{key}" for book in BOOKS for path in _files(book) for key in _sources(path)})


def read(name: str) -> Tune:
    """One tune; takes some milliseconds.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Raises
    ------
    RunError
        If the installed corpus has no such tune.
    UnreadableError
        If it does not add up, or is too short, too long, too wide or in a metre or mode not used here.
    """
    return parse(name, source(name))


def source(name: str) -> str:
    """A tune's ABC text."""
    book, _, key = name.partition("-")
    for path in _files(book) if book in BOOKS else ():
        if (book == "ryan" and path.stem == key) or (book != "ryan" and key in _sources(path)):
            return _sources(path)[key]
    raise RunError(f"music21's corpus has no tune {name!r}: install music21 10.5.1, whose tunes are used")


@cache
def _files(book: str) -> list[Path]:
    spec = find_spec("music21")  # found, not imported: that would take a second
    if spec is None or spec.origin is None:
        raise RunError("the tunes come inside music21, which is not installed: pip install music21==10.5.1")
    return sorted((Path(spec.origin).parent / "corpus" / BOOKS[book]).glob("*.abc"))


@cache
def _sources(path: Path) -> dict[str, str]:
    """The tunes of a file, by the second part of their ids."""
    text = path.read_text(encoding="utf-8", errors="replace")
    if path.parent.name == BOOKS["ryan"]:
        return {path.stem: text}
    found = re.split(r"^X:\s*(\d+)", text, flags=re.MULTILINE)
    return {f"{int(number):04d}": body for number, body in zip(found[1::2], found[2::2], strict=True)}


def parse(name: str, text: str) -> Tune:
    """As :func:`read`, from ABC text."""
    head, measures = measures_of(text)
    meter = head["M"].split("%")[0].strip()
    if meter not in METERS:
        raise UnreadableError(f"metre {meter}")
    beats_per_bar, beat = METERS[meter]
    bar = beats_per_bar * beat
    pickup, notes, strains = lay_out(_played(measures), bar)
    length = notes[-1].onset + notes[-1].duration
    bars = -int(-(length - pickup - 1e-6) // bar)
    if not SHORTEST <= bars <= LONGEST:
        raise UnreadableError(f"{bars} bars")
    pitches = [note.pitch for note in notes]
    if max(pitches) - min(pitches) > AMBITUS:
        raise UnreadableError(f"{max(pitches) - min(pitches)} semitones wide")
    tonic, mode = _heard_key(*key_of(head["K"]), notes)
    return Tune(name, titles_of(text), tonic, mode, beats_per_bar, beat, pickup, notes, strains, bars)


def titles_of(text: str) -> tuple[str, ...]:
    """Titles as they are said: without the full stop, the article in front, accents put over their letters."""
    found = []
    for title in re.findall(r"^T:(.*)$", text, re.MULTILINE):
        title = re.sub(r"\\(['`^\"~])([A-Za-z])", _accented, title.split("%")[0]).strip(" .;,\r")
        title = re.sub(r"^(.*?)\.?, (The|A|An)$", r"\2 \1", title)
        if title:
            found.append(re.sub(r"\s+", " ", title))
    return tuple(found)


def display_title(title: str) -> str:
    """A title without the kind of dance set off by a dash, not in capitals: "Acacia", from "ACACIA -- REEL"."""
    title = re.sub(r"\s*--.*", "", title)
    return re.sub(r"'[A-Z]\b", lambda match: match[0].lower(), title.title()) if title.isupper() else title


def _accented(match: re.Match) -> str:
    mark = {"'": "\u0301", "`": "\u0300", "^": "\u0302", '"': "\u0308", "~": "\u0303"}[match[1]]
    return unicodedata.normalize("NFC", match[2] + mark)


def key_of(field: str) -> tuple[int, str]:
    """Tonic and mode of a ``K:`` field."""
    match = re.fullmatch(r"([A-G])([#b]?)\s*([A-Za-z]*)", field.split("%")[0].strip())
    mode = MODES.get(match[3] if match[3] == "M" else match[3][:3].lower()) if match else None
    if mode is None:
        raise UnreadableError(f"key {field}")
    return (STEPS[match[1]] + {"": 0, "#": 1, "b": -1}[match[2]]) % 12, mode


def _heard_key(tonic: int, mode: str, notes: tuple[Written, ...]) -> tuple[int, str]:
    """The key, and where a tune does not end on its tonic chord, the mode of the same signature that it ends in: the
    books often write a tune in E dorian with the key signature's major, D."""
    scale, final = (tonic - SEMITONES[mode]) % 12, notes[-1].pitch % 12
    if (final - tonic) % 12 in {0, 7, 3 if mode in {"minor", "dorian"} else 4}:
        return tonic, mode
    for other, step in SEMITONES.items():
        if final == (scale + step) % 12:
            return final, other
    raise UnreadableError("ends outside of its tonic chord")


def measures_of(text: str) -> tuple[dict[str, str], list[Measure]]:
    """The fields before the music, and the measures as written."""
    lines = [line.rstrip() for line in text.splitlines()]
    key = next((i for i, line in enumerate(lines) if line.startswith("K:")), None)
    if key is None:
        raise UnreadableError("no key")
    head: dict[str, str] = {}
    for line in lines[: key + 1]:
        if re.match("[A-Za-z]:", line):
            head.setdefault(line[0], line[2:].strip())
    if "M" not in head:
        raise UnreadableError("no metre")
    body = []
    for line in lines[key + 1 :]:
        if re.match(r"[H-Zh-z]:", line):
            if line[0] in "KMLV":  # a change of key, metre, unit or voice
                raise UnreadableError(f"changes to {line}")
            continue
        body.append(line.split("%")[0])
    tonic, mode = key_of(head["K"])
    return head, list(_measures(" ".join(body), _signature(tonic, mode), _unit(head)))


def _unit(head: dict[str, str]) -> float:
    """Length of a note without a number, in quarter notes."""
    if "L" in head:
        numerator, denominator = head["L"].split("%")[0].split("/")
        return 4 * int(numerator) / int(denominator)
    numbers = re.findall(r"\d+", head["M"])
    return 0.25 if numbers and int(numbers[0]) / int(numbers[1]) < 0.75 else 0.5


def _signature(tonic: int, mode: str) -> dict[str, int]:
    major = (tonic - SEMITONES[mode]) % 12
    fifths = (major * 7 + 5) % 12 - 5  # from -5, five flats, to 6
    sharps = dict.fromkeys(SHARPS[: max(fifths, 0)], 1)
    return sharps | dict.fromkeys(SHARPS[::-1][: max(-fifths, 0)], -1)


def _length(text: str) -> float:
    """Of a note, in units: ``3/2``, ``/``, ``//``, ``/4``."""
    before, slashes, after = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()
    return int(before or 1) / (int(after) if after else 2 ** len(slashes))


def _measures(body: str, signature: dict[str, int], unit: float):
    measure, accidentals = Measure([], begins=True), {}
    tuplet, left, broken, at = 1.0, 0, 1.0, 0
    while at < len(body):
        token = TOKEN.match(body, at)
        if token is None or token.end() == at:
            raise UnreadableError(f"{body[at : at + 8]!r}")
        at = token.end()
        if token["bar"]:
            bar = token["bar"]
            measure.repeats = bar.startswith(":")
            measure.closes = measure.repeats or bar not in {"|"}
            begins = bar.endswith(":") or measure.closes
            if measure.notes:
                yield measure
                measure = Measure([], begins=begins, ending=int(token["ending"] or 0))
            else:
                measure.begins, measure.repeats = measure.begins or begins, False
                measure.ending = int(token["ending"] or measure.ending)
            accidentals, left, broken = {}, 0, 1.0
        elif token["also_ending"]:
            measure.ending = int(token["also_ending"])
        elif token["tuplet"]:
            size = int(token["tuplet"])
            into = int(token["into"] or {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}.get(size, 0))
            if not into:
                raise UnreadableError(f"tuplet {token[0]}")
            tuplet, left = into / size, int(token["over"] or size)
        elif token["note"] or token["chord"]:
            if token["note"]:
                pitch, length = _pitch(token, signature, accidentals), _length(token["length"])
            else:
                inner = [t for t in TOKEN.finditer(token["chord"]) if t["note"]]
                if not inner:
                    raise UnreadableError(f"chord {token[0]}")
                pitch = max((p for t in inner if (p := _pitch(t, signature, accidentals)) is not None), default=None)
                length = _length(inner[0]["length"]) * _length(token["chord_length"])
            length *= unit * broken * (tuplet if left else 1)
            broken, left = 1.0, max(left - 1, 0)
            measure.notes.append([length, pitch, False])
        elif token["broken"]:
            if not measure.notes:
                raise UnreadableError("broken rhythm without a note")
            shorter = 0.5 ** len(token["broken"])
            before, broken = (2 - shorter, shorter) if token["broken"][0] == ">" else (shorter, 2 - shorter)
            measure.notes[-1][0] *= before
        elif token["tie"] and measure.notes:
            measure.notes[-1][2] = True
        elif token["field"] and token["field"][0] in "KMLV":
            raise UnreadableError(f"changes to {token['field']}")
    if measure.notes:
        measure.closes = True
        yield measure


def _pitch(token: re.Match, signature: dict[str, int], accidentals: dict[str, int]) -> int | None:
    step = token["step"].upper()
    if step in "ZX":
        return None
    if token["accidental"]:
        accidentals[step] = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}[token["accidental"]]
    alter = accidentals.get(step, signature.get(step, 0))
    octave = token["step"].islower() + token["octave"].count("'") - token["octave"].count(",")
    return 60 + 12 * octave + STEPS[step] + alter


def _played(measures: list[Measure]) -> list[tuple[Measure, str]]:
    """The measures in the order in which they are played, each with the letter of its strain; where a strain begins
    the letter is marked with a star."""
    played, strains, start, turn, i = [], [], 0, 1, 0
    while i < len(measures):
        measure = measures[i]
        if measure.begins and not measure.ending and turn == 1:
            start = i
        if measure.ending and measure.ending != turn:
            if measure.ending == 2:
                raise UnreadableError("a second ending without a repeat")
            i = next((j for j in range(i, len(measures)) if measures[j].ending == 2), None)
            if i is None:
                raise UnreadableError("a first ending without a second")
            measure = measures[i]
        if start not in strains:
            strains.append(start)
        played.append((measure, chr(ord("A") + strains.index(start) % 26) + "*" * (i == start)))
        if measure.repeats and turn == 1:
            i, turn = start, 2
            continue
        if measure.repeats or (measure.closes and turn == 2):
            start, turn = i + 1, 1
        i += 1
    return played


def lay_out(played: list[tuple[Measure, str]], bar: float):
    """Put measures one after another so that bar lines fall on whole bars.

    Where strains meet, the last note of one yields to the upbeat of the next, or waits for it.

    Returns
    -------
    pickup : float
        Quarter notes before the first bar line.
    notes : tuple of Written
    strains : tuple of (float, str)
    """
    if not played:
        raise UnreadableError("no music")
    pickup = played[0][0].length if played[0][0].length < bar - 1e-6 else 0.0
    line: list[list] = []  # quarter notes, MIDI key or None, tied on
    strains, at = [], -pickup
    for i, (measure, letter) in enumerate(played):
        if measure.length > bar + 1e-6:
            raise UnreadableError("a bar that is too long")
        if "*" in letter:
            strains.append((_ceil(at, bar) + pickup, letter[0]))
        line += [list(note) for note in measure.notes]
        at += measure.length
        over = at - _ceil(at, bar)  # 0 or, in the middle of a bar, less
        over = 0.0 if abs(over) < 1e-6 else over
        at = round(at * 48) / 48
        if not (measure.closes or measure.repeats) and over and i:
            raise UnreadableError("a bar that does not add up")
        if (measure.closes or measure.repeats) and i + 1 < len(played):
            upbeat = played[i + 1][0].length % bar
            upbeat = 0.0 if upbeat > bar - 1e-6 else upbeat
            change = -over - upbeat  # room left in this bar, less what the next strain needs
            if line[-1][0] + change < 1e-6:
                raise UnreadableError("no room for an upbeat")
            line[-1][0] += change
            at += change
    notes: list[Written] = []
    onset, held = 0.0, False
    for duration, pitch, tied in line:
        if pitch is not None:
            if held and notes[-1].pitch == pitch:
                last = notes.pop()
                notes.append(Written(last.onset, onset + duration - last.onset, pitch))
            else:
                notes.append(Written(onset, duration, pitch))
        onset, held = round((onset + duration) * 48) / 48, tied and pitch is not None
    if not notes:
        raise UnreadableError("no notes")
    return pickup, tuple(notes), tuple(strains)


def _ceil(at: float, bar: float) -> float:
    return -((-at + 1e-6) // bar) * bar
