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


@cache
def paths() -> dict[str, Path]:
    """Every MusicXML file of Bach in the installed corpus, by its name, such as ``bwv66.6``. Not all are chorales."""
    found = (Path(str(path)) for path in corpus.getComposer("bach"))
    return {path.stem: path for path in sorted(found) if path.suffix in {".mxl", ".xml"}}


def read(name: str, key: str) -> Score:
    """One chorale as written, repeats not played out; ``key`` is its tonic and mode. A `RunError` if the installed
    corpus has no such piece, or not in four voices."""
    if name not in paths():
        raise RunError(f"music21's corpus has no Bach piece {name!r}: install music21 10.5.1, whose chorales are used")
    # From the source, always: music21 would else keep pickles of what it parsed in the temporary folder, and load them.
    parts = list(converter.parse(paths()[name], forceSource=True, storePickle=False).parts)
    if [part.partName for part in parts] != ["Soprano", "Alto", "Tenor", "Bass"]:
        raise RunError(f"{name} is not written for soprano, alto, tenor and bass")
    voices = tuple(_voice(part) for part in parts)
    end = max(voice[-1].end for voice in voices)
    return Score(name, key, tuple(beat for beat in _beats(parts[0]) if beat[0] < end), voices)


def _voice(part: Part) -> tuple[Written, ...]:
    notes: list[Written] = []
    for element in part.flatten().notes:
        onset, duration, end = float(element.offset), float(element.quarterLength), notes[-1].end if notes else 0.0
        pitch = max(pitch.midi for pitch in element.pitches)
        held = any(isinstance(mark, expressions.Fermata) for mark in element.expressions)
        if duration <= 0 or onset < end - 1e-6:
            continue  # a grace note, or a second line written into the same staff
        tied = element.tie is not None and element.tie.type != "start" and onset < end + 1e-6
        if tied and notes and pitch == notes[-1].pitch:
            last = notes.pop()
            onset, held = last.onset, held or last.fermata
        notes.append(Written(onset, float(element.offset) + duration - onset, pitch, held))
    return tuple(notes)


def _beats(part: Part):
    """Every beat: quarter notes from the beginning, and number in the bar. A bar that a repeat sign cuts in two is
    counted on in its second half."""
    meter, carried = None, 0.0
    for number, measure in enumerate(part.getElementsByClass(Measure)):
        meter = measure.timeSignature or meter
        bar, unit = meter.barDuration.quarterLength, meter.beatDuration.quarterLength
        length = min(measure.duration.quarterLength, bar)
        before = measure.paddingLeft or (bar - length if number == 0 else carried if carried + length <= bar else 0)
        carried = (before + length) % bar
        at = -(-before // unit) * unit  # the first beat at or after the measure's beginning
        while at < before + length:
            yield float(measure.offset + at - before), int(at // unit) + 1
            at += unit
