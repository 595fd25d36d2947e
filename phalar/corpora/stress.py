"""The stress sets: what the paper names as its limits, one at a time, on the same excerpts of `studio` test songs.

`stress-plain` is the measure of the others: 8 s of each song, played strictly in time, its sources summed to two stems,
so that every set asks for the same pairs. Then rubato of rising strength, nothing but sustained pads, and MP3 and
Opus at falling bit-rates. Each set is a corpus of its own, with over 64 compositions.
"""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from phalar.corpora import seeds
from phalar.corpora.arrangement import Arrangement, Part, Stroke
from phalar.corpora.excerpts import bar_lines, crop
from phalar.corpora.grips import next_position
from phalar.datasets import store
from phalar.datasets.store import FULL_SCALE, SAMPLE_RATE, write_track

VERSION = 2
"""Raised whenever the same id would come out as other bytes."""

SEED = 0

SONGS = 66
"""Compositions in each set."""

SECONDS = 8.0
"""Length of each excerpt."""

MARGIN = 1.0
"""Seconds of page beyond that, since rubato may hurry."""

PLAIN = "stress-plain"


@dataclass(frozen=True)
class Stress:
    """One set: what is done, how much of it, and a line about it. ``kind`` is ``"plain"``, ``"rubato"``, ``"pads"``,
    ``"mp3"`` or ``"opus"``; ``level`` the standard deviation of the tempo, or kbit/s."""

    kind: str
    level: float
    about: str


SETS = {
    PLAIN: Stress("plain", 0, "excerpts of studio songs in strict time: what the other stress sets start from"),
    "stress-rubato-1": Stress("rubato", 0.07, "the same with a tempo that wanders by 7 %, as a singer's does"),
    "stress-rubato-2": Stress("rubato", 0.15, "the same with a tempo that wanders by 15 %"),
    "stress-rubato-3": Stress("rubato", 0.3, "the same with a tempo that wanders by 30 %: hardly a pulse is left"),
    "stress-pads": Stress("pads", 0, "the chords of the same excerpts, held by two pads"),
    "stress-mp3-32": Stress("mp3", 32, "the same through MP3 at 32 kbit/s a stem"),
    "stress-mp3-16": Stress("mp3", 16, "the same through MP3 at 16 kbit/s a stem"),
    "stress-mp3-8": Stress("mp3", 8, "the same through MP3 at 8 kbit/s a stem"),
    "stress-opus-16": Stress("opus", 16, "the same through Opus at 16 kbit/s a stem"),
    "stress-opus-6": Stress("opus", 6, "the same through Opus at 6 kbit/s a stem"),
}
"""Every stress set, by the name of its corpus."""

PADS = ((48, 49, 50, 52), (89, 90, 91, 92))
"""General MIDI programs, from 0, of who holds the low and the high notes: strings and choir; synthesisers."""


@cache
def pieces() -> dict[str, str]:
    """The same test songs of `studio` in every set, by id."""
    from phalar.corpora import studio

    return dict.fromkeys([piece for piece, split in studio.pieces().items() if split == "test"][:SONGS], "test")


def build(name: str, piece: str, folder: Path) -> None:
    """Make one excerpt of one set.

    Parameters
    ----------
    name : str
        A key of :data:`SETS`.
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store. Sets that are made by a codec read `stress-plain` from the folder beside it, and put the piece there
        first if it is missing.
    """
    stress = SETS[name]
    if stress.kind in ("mp3", "opus"):
        _transcode(stress, piece, folder)
    else:
        _play(stress, piece, folder)


def passage(piece: str) -> Arrangement:
    """The bars of a song from which its excerpt is cut: where most parts play, and those parts alone."""
    from phalar.corpora import studio

    page = studio.arrangement(piece)
    lines = bar_lines(page)
    quarters = page.bpm * page.beat / 60  # quarter notes a second
    starts = [line for line in lines if line + (SECONDS + MARGIN) * quarters <= lines[-1]]

    def fourths_played(part: Part, start: float) -> list[bool]:
        """In which fourths of the excerpt a part has something to strike."""
        length = SECONDS / 4 * quarters
        return [any(a <= s.onset < a + length for s in part.strokes) for a in start + length * np.arange(4)]

    start = max(starts, key=lambda line: sum(sum(fourths_played(part, line)) for part in page.parts))
    end = lines[np.searchsorted(lines, start + (SECONDS + MARGIN) * quarters)]
    there = [part for part in page.parts if sum(fourths_played(part, start)) >= 2]
    return crop(replace(page, parts=tuple(there)), start, end)


def padded(page: Arrangement, rng: np.random.Generator) -> Arrangement:
    """The chords of a page, held from one to the next by two pads, and nothing else."""
    strokes, position = ([], []), None
    for chord in page.chords:
        position = next_position(chord.pitch_classes, 3, (55, 67), position) if len(chord.pitch_classes) > 2 else None
        keys = position or (36 + chord.root % 12, 43 + chord.root % 12, 60 + chord.root % 12, 67 + chord.root % 12)
        for part, held in zip(strokes, (keys[:2], keys[2:]), strict=True):
            part += [Stroke(chord.onset, chord.duration, key, 80.0) for key in held]
    parts = [
        Part("pad", name, int(rng.choice(programs)), False, tuple(part))
        for name, programs, part in zip(("low pad", "high pad"), PADS, strokes, strict=True)
    ]
    return replace(page, parts=tuple(parts))


def _play(stress: Stress, piece: str, folder: Path) -> None:
    from phalar.corpora import groove, studio
    from phalar.corpora.leadsheet import PITCH_CLASSES

    page = passage(piece)
    if stress.kind == "pads":
        page = padded(page, seeds.generator(SEED, "stress", "pads", piece))
    # Same band, same habits, same studio in all sets: only the clock differs.
    how = replace(studio.feel(piece, page), drift=0.0, ritardando=0.0, rubato=stress.level)
    song = studio.record(f"stress/{piece}", page, how)
    audio = song.audio[:, : round(SECONDS * SAMPLE_RATE)]
    groups = _two_stems(piece, len(audio))
    pair = np.stack([audio[group].sum(0, dtype=np.int32) for group in groups])
    pair = np.round(pair * (0.9 * (FULL_SCALE - 1) / max(np.abs(pair).max(), np.abs(pair.sum(0)).max())))
    pair = np.pad(pair, ((0, 0), (0, round(SECONDS * SAMPLE_RATE) - pair.shape[1])))
    beats = np.column_stack([song.seconds, [number for _, number in page.beats]])
    write_track(
        folder,
        piece,
        pair.astype(np.int16),
        split=pieces()[piece],
        stems=["one", "other"],
        tags={
            "title": page.title,
            "style": page.style,
            "tempo": page.bpm,
            "key": f"{PITCH_CLASSES[page.tonic]} {page.mode}",
            "stress": stress.kind,
            "level": stress.level,
            "sources": [[song.sources[n].name for n in group] for group in groups],
        },
        beats=beats[beats[:, 0] < SECONDS],
        chords=[(a, min(b, SECONDS), label) for a, b, label in groove.chords(page, song.seconds) if a < SECONDS],
    )


def _two_stems(piece: str, sources: int) -> tuple[list[int], list[int]]:
    """Which sources make up each of the two stems, dealt at random: the same in every set."""
    order = seeds.generator(SEED, "stress", "stems", piece).permutation(sources).tolist()
    return order[::2], order[1::2]


def _transcode(stress: Stress, piece: str, folder: Path) -> None:
    from phalar.corpora.codecs import transcode

    plain = folder.parent / f"{PLAIN}-v{VERSION}"
    if store.incomplete(plain, [piece]):
        _play(SETS[PLAIN], piece, plain)
    record = json.loads((plain / "tracks" / f"{piece}.json").read_bytes())
    stems = np.load(plain / "tracks" / f"{piece}.npy", allow_pickle=False) / np.float32(FULL_SCALE)
    coded = [transcode(stem, SAMPLE_RATE, stress.kind, int(stress.level)) for stem in stems]
    audio = np.stack([audio for audio, _ in coded])
    write_track(
        folder,
        piece,
        np.round(np.clip(audio, -1, 1) * (FULL_SCALE - 1)).astype(np.int16),
        split=record["split"],
        stems=record["stems"],
        tags=record["tags"]
        | {"stress": stress.kind, "level": stress.level, "kbps": [round(rate, 1) for _, rate in coded]},
        beats=record["beats"],
        chords=record["chords"],
    )
