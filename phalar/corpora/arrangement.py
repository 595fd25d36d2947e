"""What a band plays from a lead sheet: parts on the grid of the page, before anybody performs them."""

from dataclasses import dataclass, replace

import numpy as np

from phalar.corpora.leadsheet import Chord


@dataclass(frozen=True)
class Stroke:
    """A note of a part: ``onset`` and ``duration`` in quarter notes, MIDI ``pitch`` (a General MIDI drum key in a drum
    part), ``velocity`` 1 to 127."""

    onset: float
    duration: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Part:
    """What one player plays.

    Attributes
    ----------
    role : str
        ``"drums"``, ``"percussion"``, ``"bass"``, ``"strum"``, ``"comp"``, ``"pad"``, ``"arpeggio"``, ``"riff"``,
        ``"lead"`` or ``"counter"``; in a chorale ``"soprano"`` to ``"bass"``.
    instrument : str
        Such as ``"finger bass"``; the stem's name in `band`.
    program : int
        General MIDI program counted from 0; for drums the number of the kit in bank 128.
    drums : bool
        Drums and unpitched percussion.
    strokes : tuple of Stroke
        By onset, those of one onset in the order in which they are struck; may overlap (chords).
    keys : (int, int)
        Lowest and highest MIDI key of the instrument.
    """

    role: str
    instrument: str
    program: int
    drums: bool
    strokes: tuple[Stroke, ...]
    keys: tuple[int, int] = (0, 127)

    @property
    def pitched(self) -> bool:
        """False for drums and unpitched percussion."""
        return not self.drums


@dataclass(frozen=True)
class Arrangement:
    """A piece ready to be played.

    Attributes
    ----------
    id, title, style : str
    bpm : float
        Beats (of ``beat`` quarter notes) a minute.
    beat : float
        Length of a beat in quarter notes.
    swing : float
        Where the second half of a beat falls: 0.5 straight, 0.67 triplets. The strokes are written straight; who
        performs them applies it.
    tonic, mode : int, str
        As in :class:`phalar.corpora.leadsheet.LeadSheet`, after transposition.
    beats : tuple of (float, int)
        Every beat: its time in quarter notes, and its number in the bar from 1.
    chords : tuple of Chord
        By onset; where there is none, nobody plays chords.
    sections : tuple of (float, str)
        Where each begins, and its name (``"intro"``, ``"A"``, ``"B"``, ``"break"``, ``"ending"``).
    parts : tuple of Part
    fermatas : tuple of (float, float)
        Onset and end of every held note, in quarter notes: where phrases of a chorale end.
    """

    id: str
    title: str
    style: str
    bpm: float
    beat: float
    swing: float
    tonic: int
    mode: str
    beats: tuple[tuple[float, int], ...]
    chords: tuple[Chord, ...]
    sections: tuple[tuple[float, str], ...]
    parts: tuple[Part, ...]
    fermatas: tuple[tuple[float, float], ...] = ()

    @property
    def length(self) -> float:
        """Quarter notes until the last beat, or the last chord, ends."""
        chords = self.chords[-1].onset + self.chords[-1].duration if self.chords else 0.0
        return max(chords, self.beats[-1][0] + self.beat if self.beats else 0.0)

    @property
    def metre(self) -> str:
        """As a time signature, such as ``"6/8"``."""
        count = max(number for _, number in self.beats)
        return f"{3 * count}/8" if self.beat == 1.5 else f"{count}/{round(4 / self.beat)}"


def fold(pitch: int, keys: tuple[int, int]) -> int:
    """A pitch, moved by octaves between two keys that are at least an octave apart."""
    low, high = keys
    return low + (pitch - low) % 12 if pitch < low else high - (high - pitch) % 12 if pitch > high else pitch


def transpose(page: Arrangement, semitones: int) -> Arrangement:
    """The same arrangement in another key: nothing but pitches, chords and the tonic differ.

    Every pitched part moves as a whole, by the octave that keeps most of it within its instrument; notes that would
    still lie outside move by further octaves. Performed with the same feel and generator, the two are played alike:
    nothing that is drawn depends on pitch. Taught in ``book/band-and-studio.md``.
    """

    def moved(part: Part) -> Part:
        pitches = semitones + np.array([stroke.pitch for stroke in part.strokes])
        low, high = part.keys

        def outside(octave: int) -> tuple[int, int]:
            return int(np.sum((pitches + octave < low) | (pitches + octave > high))), abs(octave + semitones)

        shift = semitones + min(range(-36, 48, 12), key=outside)
        return replace(part, strokes=tuple(replace(s, pitch=fold(s.pitch + shift, part.keys)) for s in part.strokes))

    def other(chord: Chord) -> Chord:
        bass = None if chord.bass is None else (chord.bass + semitones) % 12
        return replace(chord, root=(chord.root + semitones) % 12, bass=bass)

    return replace(
        page,
        tonic=(page.tonic + semitones) % 12,
        chords=tuple(map(other, page.chords)),
        parts=tuple(moved(part) if part.pitched and part.strokes else part for part in page.parts),
    )
