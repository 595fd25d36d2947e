"""What a band plays from a lead sheet: parts on the grid of the page before anybody performs them. In quarter notes."""

from dataclasses import dataclass

from phalar.corpora.leadsheet import PITCH_CLASSES, Chord, Stroke


@dataclass(frozen=True)
class Part:
    """What one player plays: ``role``, of a band (``drums`` to ``counter``, as in ``styles.yaml``) or of a chorale;
    ``instrument``, the stem's name; ``program`` of General MIDI from 0, for ``drums`` (and unpitched percussion) the
    kit in bank 128; ``strokes`` by onset, those of one onset in the order in which they are struck."""

    role: str
    instrument: str
    program: int
    drums: bool
    strokes: tuple[Stroke, ...]

    @property
    def pitched(self) -> bool:
        """False for drums and unpitched percussion."""
        return not self.drums


@dataclass(frozen=True)
class Arrangement:
    """A piece ready to be played.

    ``bpm`` beats a minute, of ``beat`` quarter notes; ``swing``, where the second half of a beat falls: 0.5 straight,
    0.67 triplets (strokes are written straight, who performs them applies it); ``tonic`` and ``mode`` as in
    :class:`phalar.corpora.leadsheet.LeadSheet`; ``beats``, every beat and its number in the bar
    from 1; ``chords`` by onset, and where there is none nobody plays; ``sections``, where each begins and its name;
    ``fermatas``, onset and end of every held note: where phrases of a chorale end.
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
        return max([self.beats[-1][0] + self.beat, *(chord.end for chord in self.chords[-1:])])

    @property
    def key(self) -> str:
        """Such as ``"Eb minor"``."""
        return f"{PITCH_CLASSES[self.tonic]} {self.mode}"

    @property
    def metre(self) -> str:
        """As a time signature, such as ``"6/8"``."""
        count = max(number for _, number in self.beats)
        return f"{3 * count}/8" if self.beat == 1.5 else f"{count}/4"


def fold(pitch: int, keys: tuple[int, int]) -> int:
    """A pitch, moved by octaves between two keys that are at least an octave apart."""
    low, high = keys
    return low + (pitch - low) % 12 if pitch < low else high - (high - pitch) % 12 if pitch > high else pitch
