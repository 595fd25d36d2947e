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

    @property
    def end(self) -> float:
        return self.onset + self.duration


@dataclass(frozen=True)
class Score:
    """A piece of written music: its ``key`` (such as ``"f# minor"``), every beat with its number in the bar from 1, and
    one melody a voice, highest voice first, notes in order and not overlapping."""

    id: str
    key: str
    beats: tuple[tuple[float, int], ...]
    voices: tuple[tuple[Written, ...], ...]

    @property
    def length(self) -> float:
        """Quarter notes until the last note ends."""
        return max(voice[-1].end for voice in self.voices)
