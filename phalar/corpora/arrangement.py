"""What a band plays from a lead sheet: parts on the grid of the page, before anybody performs them."""

from dataclasses import dataclass

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
        Function: ``"drums"``, ``"percussion"``, ``"bass"``, ``"strum"``, ``"comp"``, ``"pad"``, ``"arpeggio"``,
        ``"riff"``, ``"lead"``, ``"counter"``.
    instrument : str
        Such as ``"electric bass (finger)"``; the stem's name in `band`.
    program : int
        General MIDI program counted from 0; for drums the number of the kit in bank 128.
    drums : bool
    strokes : tuple of Stroke
        By onset; may overlap (chords).
    """

    role: str
    instrument: str
    program: int
    drums: bool
    strokes: tuple[Stroke, ...]


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
        Contiguous over the whole form.
    sections : tuple of (float, str)
        Where each begins, and its name (``"intro"``, ``"A"``, ``"B"``, ``"break"``, ``"ending"``).
    parts : tuple of Part
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

    @property
    def length(self) -> float:
        """Quarter notes until the last chord ends."""
        return self.chords[-1].onset + self.chords[-1].duration
