"""The stress sets: what the paper names as its limits, one at a time, on the same excerpts of `studio` test songs.

`stress-plain` is the measure of the others: 8 s of each song, strictly in time, its sources dealt to two stems, so that
all ask for the same pairs. Each set is a corpus of its own; another one is another row of :data:`SETS`.
"""

import io
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from phalar.audio import SAMPLE_RATE
from phalar.corpora import performance, seeds, studio
from phalar.corpora.leadsheet import NEAR, Arrangement, Part, Stroke
from phalar.corpora.parts import fifth, lead
from phalar.corpora.styles import transposed
from phalar.datasets.store import FULL_SCALE, write_track

SEED = 0
SONGS = 66  # compositions in each set
SECONDS = 8.0  # length of each excerpt
LENGTH = round(SECONDS * SAMPLE_RATE)
MARGIN = 1.0  # seconds of page beyond that, since rubato may hurry
PLAIN = "stress-plain"


class Stress(NamedTuple):
    """One set: what is done, how much of it (standard deviation of the tempo, or kbit/s), and a line about it."""

    kind: str
    level: float
    about: str


SETS = {
    PLAIN: Stress("plain", 0, "excerpts of studio songs in strict time: what the other stress sets start from"),
    "stress-rubato-3": Stress("rubato", 0.3, "the same with a tempo that wanders by 30 %: hardly a pulse is left"),
    "stress-pads": Stress("pads", 0, "the chords of the same excerpts, held by two pads"),
    "stress-mp3-8": Stress("mp3", 8, "the same through MP3 at 8 kbit/s a stem"),
}
"""Every stress set, by the name of its corpus."""

# Programs of General MIDI of who holds the low and the high notes: strings and choir; synthesisers.
PADS = {"low pad": (48, 49, 50, 52), "high pad": (89, 90, 91, 92)}
LAME_DELAY = 576 + 529  # samples by which an MP3 is late whose first frame is too small for the note that says so


@cache
def pieces() -> dict[str, str]:
    """The same test songs of `studio` in every set, by id."""
    return dict.fromkeys([piece for piece, split in studio.pieces().items() if split == "test"][:SONGS], "test")


def build(name: str, piece: str, folder: Path, semitones: int = 0) -> None:
    """Make one of :func:`pieces` of one of :data:`SETS` into the store ``folder``, so many semitones higher."""
    stress, page = SETS[name], transposed(passage(piece), semitones)
    if stress.kind == "pads":
        page = padded(page, seeds.generator(SEED, "stress", "pads", piece))
    # Same band, same habits, same studio in all sets: only the clock differs.
    rubato = stress.level if stress.kind == "rubato" else 0.0
    how = replace(studio.feel(piece, page), drift=0.0, ritardando=0.0, rubato=rubato)
    song = studio.record(f"stress/{piece}", page, how)
    order = seeds.generator(SEED, "stress", "stems", piece).permutation(len(song.sources))
    groups = order[::2].tolist(), order[1::2].tolist()  # the same in every set
    pair = np.stack([song.audio[group, :LENGTH].sum(0, dtype=np.float32) for group in groups])
    pair *= 0.9 / max(np.abs(pair).max(), np.abs(pair.sum(0)).max())
    pair = np.pad(pair, ((0, 0), (0, LENGTH - pair.shape[1])))
    tags = {"stress": stress.kind, "level": stress.level}
    if stress.kind == "mp3":
        pair, rates = zip(*(through_mp3(stem, SAMPLE_RATE, int(stress.level)) for stem in pair), strict=True)
        tags["kbps"] = [round(rate, 1) for rate in rates]
    beats = np.column_stack([song.seconds, [number for _, number in page.beats]])
    write_track(
        folder,
        piece,
        np.round(np.clip(np.stack(pair), -1, 1) * (FULL_SCALE - 1)).astype(np.int16),
        split=pieces()[piece],
        stems=["one", "other"],
        pitched=[any(not song.sources[n].patch.drums for n in group) for group in groups],
        tags=studio.tags(page) | tags | {"sources": [[song.sources[n].name for n in group] for group in groups]},
        beats=beats[beats[:, 0] < SECONDS],
        chords=[(a, min(b, SECONDS), label) for a, b, label in performance.chords(page, song.seconds) if a < SECONDS],
    )


def passage(piece: str) -> Arrangement:
    """The bars of a song from which its excerpt is cut: where most parts play, and those parts alone. What begins
    before is left out, chords excepted; what lasts beyond the end is cut there."""
    page = studio.arrangement(piece)
    lines = np.array([onset for onset, number in page.beats if number == 1] + [page.length])
    quarters = page.bpm * page.beat / 60  # quarter notes a second
    starts = [line for line in lines if line + (SECONDS + MARGIN) * quarters <= lines[-1]]

    def fourths_played(part: Part, start: float) -> int:  # of the excerpt
        return len({int((s.onset - start) // (SECONDS / 4 * quarters)) for s in part.strokes} & set(range(4)))

    start = max(starts, key=lambda line: sum(fourths_played(part, line) for part in page.parts))
    end = lines[np.searchsorted(lines, start + (SECONDS + MARGIN) * quarters)]

    def cut(events: Iterable) -> tuple:
        spans = [(event, max(event.onset, start) - start, min(event.end, end) - start) for event in events]
        return tuple(replace(event, onset=a, duration=b - a) for event, a, b in spans if b - a > NEAR)

    there = [part for part in page.parts if fourths_played(part, start) >= 2]
    parts = [replace(part, strokes=cut(s for s in part.strokes if s.onset > start - NEAR)) for part in there]
    beats = tuple((onset - start, number) for onset, number in page.beats if start - NEAR <= onset < end - NEAR)
    return replace(page, beats=beats, chords=cut(page.chords), sections=(), parts=tuple(parts))


def padded(page: Arrangement, rng: np.random.Generator) -> Arrangement:
    """The chords of a page, held from one to the next by two pads, and nothing else."""
    low, high, position = [], [], None
    for chord in page.chords:
        position, root = lead(chord, 3, 55, 74, position), 36 + chord.root % 12
        low += [Stroke(chord.onset, chord.duration, key, 80.0) for key in (root, root + fifth(chord))]
        high += [Stroke(chord.onset, chord.duration, key, 80.0) for key in position]
    pads = zip(PADS.items(), (low, high), strict=True)
    parts = [Part("pad", name, int(rng.choice(programs)), False, tuple(held)) for (name, programs), held in pads]
    return replace(page, parts=tuple(parts))


def through_mp3(audio: np.ndarray, sample_rate: int, kbps: int) -> tuple[np.ndarray, float]:
    """What MP3 (LAME, as libsndfile carries it) leaves of a recording, in time with the original: ``audio`` (samples,),
    float32 in [-1, 1], at 16 or 24 kHz, through the constant bit-rate nearest to ``kbps``, 8 to 160 kbit/s. Returns the
    decoded audio, (samples,), float32, and the bit-rate of the file made, with what its container takes."""
    level = min(1 - (kbps - 8) / (160 - 8), 0.99)  # libsndfile's scale, straight in bit-rate; 1 itself is refused
    coded = io.BytesIO()
    soundfile.write(coded, audio, sample_rate, format="MP3", bitrate_mode="CONSTANT", compression_level=level)
    rate = 8 * coded.tell() / 1000 / (len(audio) / sample_rate)
    coded.seek(0)
    decoded, _ = soundfile.read(coded, dtype="float32")
    late = LAME_DELAY if len(decoded) > len(audio) else 0
    return decoded[late : late + len(audio)], rate
