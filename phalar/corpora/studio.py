"""Corpus ``studio``: songs as a studio would leave them. Stands in for MoisesDB.

Other tunes and presets than ``band``'s, and people: each source is played around a common clock, goes through its own
channel of effects, and may hear its neighbours, hiss or hum. Stems are single sources (a kick drum, a singer), and
``tags["stem_names"]`` says to which of MoisesDB's stems each belongs. Who may be recorded is in ``studio.yaml``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml

from phalar.audio import SAMPLE_RATE
from phalar.corpora import arranger, effects, performance, seeds, tunes
from phalar.corpora.leadsheet import Arrangement, Part, fold
from phalar.corpora.rendering import DRUM_BANK, FLOOR, levelled, render_part, to_pcm
from phalar.corpora.sampler import Note
from phalar.corpora.soundfont import installed
from phalar.corpora.styles import styles, transposed
from phalar.datasets.store import write_track

SEED = 0
SECONDS = (40, 62)  # how long a song is, by its page
MOST = 10  # sources that a song has at most
BALANCE = 2.0  # standard deviation, in dB, of the sources' loudness around their stem's
TUNING = 60.0  # standard deviation, in cents, by which each drum of a song's kit is tuned otherwise than recorded
TAKE_BLOCK = 1600  # samples in which an editor fades a recording in or out

TABLE = yaml.safe_load(Path(__file__).with_name("studio.yaml").read_text(encoding="utf-8"))
CHANNELS = {name: effects.Channel(**row) for name, row in TABLE["channels"].items()}
MICROPHONES = {name: frozenset(keys) for name, keys in TABLE["microphones"].items()}


@dataclass(frozen=True)
class Patch:
    """Who may be recorded: a row of ``sources`` in ``studio.yaml``, which says what the fields mean."""

    patch: str
    name: str
    stem: str
    program: int
    written: tuple[int, int]
    keys: tuple[int, int] = (0, 127)
    drums: bool = False
    hums: bool = False
    channel: str = ""

    def within(self, notes: Sequence[Note]) -> list[Note]:
        """The same notes where the instrument has them, moved by the octaves that suit most."""
        pitches, shifts = np.array([note.pitch for note in notes]), 12 * np.arange(-4, 5)
        moved = pitches + shifts[:, None]
        outside = ((moved < self.keys[0]) | (moved > self.keys[1])).sum(1)
        best = min(zip(outside, np.abs(shifts), moved.tolist(), strict=True))[2]
        return [replace(note, pitch=fold(pitch, self.keys)) for note, pitch in zip(notes, best, strict=True)]


PATCHES = {patch: Patch(patch, **row) for patch, row in TABLE["sources"].items()}


class Source(NamedTuple):
    """One thing that is recorded: its name as MoisesDB has it, who plays, and what."""

    name: str
    patch: Patch
    notes: tuple[Note, ...]


class Song(NamedTuple):
    """A song as recorded: its S ``sources``; ``audio`` (S, samples), int16 at 16 kHz, whose sum is the mix;
    ``lengths``, of each source in samples before it was padded to the longest; ``seconds`` (beats,) of every beat."""

    sources: list[Source]
    audio: np.ndarray
    lengths: list[int]
    seconds: np.ndarray


pieces = partial(tunes.pieces, "studio")
"""The split of every piece, by id, in an order that has nothing to do with their names."""


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """Arrange, record and store one of :func:`pieces` in the store ``folder``, so many semitones higher than it is."""
    page = transposed(arrangement(piece), semitones)
    song = record(piece, page, feel(piece, page))
    write_track(
        folder,
        piece,
        song.audio,
        split=pieces()[piece],
        stems=[source.name for source in song.sources],
        pitched=[not source.patch.drums for source in song.sources],
        tags=tags(page)
        | {"stem_names": [source.patch.stem for source in song.sources]}
        | {"patches": [source.patch.patch for source in song.sources], "lengths": song.lengths},
        beats=np.column_stack([song.seconds, [number for _, number in page.beats]]),
        chords=performance.chords(page, song.seconds),
        notes=[[(n.onset, n.duration, n.pitch) for n in source.notes] for source in song.sources],
    )


def tags(page: Arrangement) -> dict:
    """What is known of a song as a whole."""
    return {"title": page.title, "style": page.style, "tempo": page.bpm, "key": page.key}


def arrangement(piece: str) -> Arrangement:
    """What the band of a piece plays, on the page."""
    rng = seeds.generator(SEED, "arrangement", piece)
    style = str(rng.choice(arranger.styles_for(tunes.tune(piece))))
    return arranger.arrange(tunes.lead_sheet(piece, styles()[style].colour), style, rng, SECONDS)


def feel(piece: str, page: Arrangement) -> performance.Feel:
    """How the band of a piece plays it: to a click, as often as the style has it, or drifting by a few percent. No two
    swing alike, and who plays straight is never quite so."""
    style, rng = styles()[page.style], seeds.generator(SEED, "feel", piece)
    swing = page.swing + (0.03 * rng.standard_normal() if page.swing > 0.52 else rng.uniform(0, 0.02))
    swing = float(np.clip(swing, 0.5, 0.72)) if page.beat == 1.0 else 0.5
    drawn = performance.draw_feel("click" if rng.random() < style.click else "free", rng, style.lean)
    return replace(drawn, swing=swing)


def record(piece: str, page: Arrangement, how: performance.Feel) -> Song:
    """Play a page as ``how`` and record it; studio, instruments and their treatment depend on ``piece`` (any text)
    alone. A `RunError` if a source came out silent or not finite. Taught in ``book/band-and-studio.md``."""
    played, seconds = performance.perform(page, how, seeds.generator(SEED, "performance", piece))
    sources = cast(piece, page, played)
    length = int((max(n.onset + n.duration for s in sources for n in s.notes) + 3.0) * SAMPLE_RATE)
    stems = _channels(piece, page.bpm, sources, length)
    for index, leak in _leaks(piece, sources, stems.copy()):
        stems[index] += leak
    lengths = _cut(piece, stems)
    return Song(sources, to_pcm(stems[:, : max(lengths)]), lengths, seconds)


def cast(piece: str, page: Arrangement, played: Sequence[Sequence[Note]]) -> list[Source]:
    """Who is recorded: a patch for every part that plays, nobody twice if it can be helped, drums together or apart."""
    rng, tuning = seeds.generator(SEED, "cast", piece), seeds.generator(SEED, "kit", piece).standard_normal(128)
    sources, used, free = [], set(), MOST - len(page.parts)
    for part, notes in zip(page.parts, played, strict=True):
        if not notes:
            continue
        patch = PATCHES[_patch(part, used, rng)]
        used.add(patch.patch)
        if not patch.drums:
            sources.append(Source(patch.name, patch, tuple(patch.within(notes))))
            continue
        notes = [replace(n, cents=n.cents + TUNING * float(np.clip(tuning[n.pitch], -2, 2))) for n in notes]
        recorded = {}  # by one microphone for all, or by some of their own (drums of eight strokes or more) and others
        if patch.stem == "drums" and rng.random() < 0.2:
            own = {name: tuple(n for n in notes if n.pitch in keys) for name, keys in MICROPHONES.items()}
            recorded = dict([(name, part) for name, part in own.items() if len(part) >= 8][:free])
        rest = tuple(n for n in notes if not any(n.pitch in MICROPHONES[name] for name in recorded))
        recorded |= {"overheads" if recorded else patch.name: rest} if rest else {}
        sources += [Source(name, patch, part) for name, part in recorded.items()]
    return sources


def _patch(part: Part, used: set[str], rng: np.random.Generator) -> str:
    """Who plays a part: as written, or somebody else."""
    if part.role == "percussion":
        return "hands"
    fitting = [name for name, patch in PATCHES.items() if patch.drums == part.drums]
    written = [name for name in fitting if PATCHES[name].written[0] <= part.program <= PATCHES[name].written[1]]
    chance, others = TABLE["instead"].get(part.role, (0.0, []))
    options = others if rng.random() < chance else written or ["calliope"]
    fresh = [name for name in options if name not in used] or [n for n in [*written, *others] if n not in used]
    return str(rng.choice(fresh or options))


def _channels(piece: str, bpm: float, sources: Sequence[Source], length: int) -> np.ndarray:
    """Every source played, treated and levelled: (S, length), float32."""
    room = effects.draw_room(seeds.generator(SEED, "studio", piece))
    stems = np.zeros((len(sources), length), np.float32)
    for index, source in enumerate(sources):
        rng, patch = seeds.generator(SEED, "channel", index, piece), source.patch
        channel, bank = CHANNELS[patch.channel or patch.stem], DRUM_BANK if patch.drums else 0
        raw = render_part(installed(), patch.program, source.notes, length, bank, FLOOR)
        treated = effects.treat(raw, channel, room, bpm, rng) if raw.any() else raw
        lufs = channel.lufs + BALANCE * rng.standard_normal()
        stems[index] = levelled(treated, lufs, f"{piece}: {source.name} ({patch.patch})")
    return stems


def _leaks(piece: str, sources: Sequence[Source], clean: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """What tapes hold besides their sources, by the source's index: neighbours in an open microphone, hiss, hum."""
    rng = seeds.generator(SEED, "leaks", piece)
    live, hiss, hum = rng.random() < 0.3, rng.uniform(-72, -56), rng.uniform(-64, -50)
    for index, source in enumerate(sources):
        own, stem = seeds.generator(SEED, "tape", index, piece), source.patch.stem
        cut, hissing, humming = (own.random() < chance for chance in (0.7, 0.35, 0.35))
        leak, machine = np.zeros((2, clean.shape[1]), np.float32)
        if CHANNELS[stem].open:
            others = [n for n in range(len(sources)) if n != index]
            near = [n for n in others if sources[n].patch.stem == stem == "drums"]
            far = [n for n in others if sources[n].patch.stem in ("drums", "vocals", "wind")][:3]
            for other in near or (far if live else []):
                quieter = own.uniform(-30, -20) if near else own.uniform(-46, -34)
                leak += effects.bleed(clean[other], own) * np.float32(10 ** (quieter / 20))
        if hissing:
            machine += effects.hiss(len(leak), own) * np.float32(10 ** ((CHANNELS[stem].lufs + hiss) / 20))
        if humming and source.patch.hums:
            machine += effects.hum(len(leak), own) * np.float32(10 ** ((CHANNELS[stem].lufs + hum) / 20))
        takes = _takes(source, len(leak))
        yield index, leak * (takes if cut else 1) + machine * takes


def _takes(source: Source, length: int) -> np.ndarray:
    """1 where a recording was kept, 0 where it was cut out because nobody plays for seconds; (length,), float32."""
    blocks = np.zeros(length // TAKE_BLOCK + 2, np.float32)
    for note in source.notes:
        first = int((note.onset - 0.5) * SAMPLE_RATE) // TAKE_BLOCK
        blocks[max(first, 0) : int((note.onset + note.duration + 1.5) * SAMPLE_RATE) // TAKE_BLOCK + 1] = 1
    ramp = np.arange(TAKE_BLOCK, dtype=np.float32) / TAKE_BLOCK
    return (blocks[:-1, None] + np.diff(blocks)[:, None] * ramp).ravel()[:length]


def _cut(piece: str, stems: np.ndarray) -> list[int]:
    """End every stem where its recording ends, in place: when its sound has faded by 60 dB, or with the song."""
    rng = seeds.generator(SEED, "lengths", piece)
    whole, later = rng.random(len(stems)) < 0.5, rng.uniform(0.05, 0.5, len(stems))
    loud = np.abs(stems) > 1e-3 * np.abs(stems).max(1, keepdims=True)
    faded = stems.shape[1] - loud[:, ::-1].argmax(1) + (later * SAMPLE_RATE).astype(int)
    ends = np.minimum(faded, stems.shape[1])
    lengths = np.where(whole, ends.max(), ends).tolist()
    for stem, end in zip(stems, lengths, strict=True):
        fade = min(320, end)
        stem[end - fade : end] *= np.linspace(1, 0, fade)
        stem[end:] = 0
    return lengths
