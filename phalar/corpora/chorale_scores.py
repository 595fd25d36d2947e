"""The four-part chorales of J. S. Bach, read from music21's bundled corpus.

The scores (compiled by M. Greentree) come with the installed package and stay there. Of the modules needed to render,
only this one needs music21, whose import takes a second.
"""

from functools import cache
from pathlib import Path

from music21 import converter, corpus, expressions
from music21.stream import Measure, Part

from phalar.corpora.score import Score, Written
from phalar.errors import RunError

VOICES = ["Soprano", "Alto", "Tenor", "Bass"]


@cache
def paths() -> dict[str, Path]:
    """Every MusicXML file of Bach in the installed corpus, by its name, such as ``bwv66.6``. Not all are chorales."""
    found = (Path(str(path)) for path in corpus.getComposer("bach"))
    return {path.stem: path for path in sorted(found) if path.suffix in {".mxl", ".xml"}}


def read(name: str, key: str | None = None) -> Score | None:
    """One chorale as written; repeats are not played out.

    Parameters
    ----------
    name : str
        As in :func:`paths`.
    key : str, optional
        Tonic and mode, if they are known: to find them in the notes takes as long as to read these.

    Returns
    -------
    Score or None
        None if the piece does not have exactly four parts, soprano, alto, tenor and bass.

    Raises
    ------
    RunError
        If the installed corpus has no such piece.
    """
    path = paths().get(name)
    if path is None:
        raise RunError(f"music21's corpus has no Bach piece {name!r}: install music21 10.5.1, whose chorales are used")
    return read_file(path, key)


def read_file(path: Path, key: str | None = None) -> Score | None:
    """As :func:`read`, for a file."""
    # From the source, always: music21 would else keep pickles of what it parsed in the temporary folder, and load them.
    parsed = converter.parse(path, forceSource=True, storePickle=False)
    parts = list(parsed.parts)
    if [part.partName for part in parts] != VOICES:
        return None
    voices = tuple(_voice(part) for part in parts)
    if not all(voices):
        return None
    end = max(voice[-1].onset + voice[-1].duration for voice in voices)
    beats = tuple(beat for beat in _beats(parts[0]) if beat[0] < end)
    return Score(id=path.stem, key=key or str(parsed.analyze("key")), beats=beats, voices=voices)


def _voice(part: Part) -> tuple[Written, ...]:
    notes: list[Written] = []
    for element in part.flatten().notes:
        onset, duration = float(element.offset), float(element.quarterLength)
        pitch = max(pitch.midi for pitch in element.pitches)
        held = any(isinstance(mark, expressions.Fermata) for mark in element.expressions)
        end = notes[-1].onset + notes[-1].duration if notes else 0.0
        if duration <= 0 or onset < end - 1e-6:
            continue  # a grace note, or a second line written into the same staff
        if element.tie and element.tie.type != "start" and notes and pitch == notes[-1].pitch and onset < end + 1e-6:
            last = notes.pop()
            notes.append(Written(last.onset, onset + duration - last.onset, pitch, held or last.fermata))
        else:
            notes.append(Written(onset, duration, pitch, held))
    return tuple(notes)


def _beats(part: Part):
    """Every beat: quarter notes from the beginning, and number in the bar. A bar that a repeat sign cuts in two is
    counted on in its second half."""
    meter, carried = None, 0.0
    for number, measure in enumerate(part.getElementsByClass(Measure)):
        meter = measure.timeSignature or meter
        if meter is None:
            continue
        bar, unit = meter.barDuration.quarterLength, meter.beatDuration.quarterLength
        length = min(measure.duration.quarterLength, bar)
        before = measure.paddingLeft or (bar - length if number == 0 else carried if carried + length <= bar else 0)
        carried = (before + length) % bar
        at = -(-before // unit) * unit  # the first beat at or after the measure's beginning
        while at < before + length:
            yield float(measure.offset + at - before), int(at // unit) + 1
            at += unit
