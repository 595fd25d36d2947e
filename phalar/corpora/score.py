"""What is written on the page, before anybody plays it. Times are in quarter notes from the beginning."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Written:
    """A written note: ``onset`` and ``duration`` in quarter notes, ``pitch`` as a MIDI key, and whether a fermata
    stands over it (in a chorale: the end of a line)."""

    onset: float
    duration: float
    pitch: int
    fermata: bool = False


@dataclass(frozen=True)
class Score:
    """A piece of written music.

    Attributes
    ----------
    key : str
        Tonic and mode, such as ``"f# minor"``.
    beats : tuple of (float, int)
        Every beat: its time in quarter notes, and its number in the bar, counted from 1.
    voices : tuple of tuple of Written
        One melody a voice, highest voice first, notes in order and not overlapping.
    """

    id: str
    key: str
    beats: tuple[tuple[float, int], ...]
    voices: tuple[tuple[Written, ...], ...]

    @property
    def length(self) -> float:
        """Quarter notes until the last note ends."""
        return max(voice[-1].onset + voice[-1].duration for voice in self.voices)
