"""Corpus ``studio``: songs as a studio would leave them. Stands in for MoisesDB.

Other tunes than ``band``'s, another synthesiser, and a band of people: each source is played around a common clock,
goes through its own channel of effects, and may hear its neighbours, hiss or hum. A track's stems are single sources
(a kick drum, a singer), as in MoisesDB, and ``tags["stem_names"]`` says to which of MoisesDB's stems each belongs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phalar.corpora import seeds, tunes
from phalar.corpora.arrangement import Arrangement, Part
from phalar.corpora.groove import Feel
from phalar.corpora.leadsheet import PITCH_CLASSES
from phalar.corpora.sampler import Note
from phalar.datasets.store import SAMPLE_RATE, write_track
from phalar.errors import RunError

VERSION = 2
"""Raised whenever the same id would come out as other bytes."""

SEED = 0

SECONDS = (40, 62)
"""How long a song is, by its page."""

MOST = 10
"""Sources that a song has at most."""

PEAK = 0.9
"""Largest absolute value of the mix or of any stem."""

SOURCES = {
    "acoustic_guitar": ("acoustic_guitar", "guitar"),
    "nylon_guitar": ("acoustic_guitar", "guitar"),
    "clean_electric_guitar": ("clean_electric_guitar", "guitar"),
    "distorted_electric_guitar": ("distorted_electric_guitar", "guitar"),
    "bass_guitar": ("bass_guitar", "bass"),
    "contrabass": ("contrabass", "bass"),
    "synth_bass": ("bass_synthesizer", "bass"),
    "banjo": ("banjo", "other_plucked"),
    "mandolin": ("mandolin", "other_plucked"),
    "ukulele": ("ukulele", "other_plucked"),
    "harp": ("harp", "other_plucked"),
    "vibraphone": ("pitched_percussion", "percussion"),
    "marimba": ("pitched_percussion", "percussion"),
    "glockenspiel": ("pitched_percussion", "percussion"),
    "steel_drum": ("pitched_percussion", "percussion"),
    "piano": ("grand_piano", "piano"),
    "electric_piano": ("electric_piano", "piano"),
    "synth_lead": ("synth_lead", "other_keys"),
    "synth_pluck": ("synth_lead", "other_keys"),
    "synth_pad": ("synth_pad", "other_keys"),
    "organ": ("organ", "other_keys"),
    "accordion": ("accordion", "other_keys"),
    "violin": ("violin", "bowed_strings"),
    "cello": ("cello", "bowed_strings"),
    "string_section": ("string_section", "bowed_strings"),
    "flute": ("flute", "wind"),
    "saxophone": ("reeds", "wind"),
    "clarinet": ("reeds", "wind"),
    "trumpet": ("brass", "wind"),
    "brass_section": ("brass", "wind"),
    "choir": ("background_vocals", "vocals"),
    "voice": ("lead_singer", "vocals"),
}
"""For every patch the source's name and the stem of MoisesDB it belongs to."""

FAMILIES = (
    (range(0, 4), ("piano",)),
    (range(4, 6), ("electric_piano",)),
    (range(6, 8), ("electric_piano", "synth_pluck")),
    (range(8, 16), ("vibraphone", "marimba", "glockenspiel")),
    (range(16, 21), ("organ",)),
    (range(21, 24), ("accordion",)),
    (range(24, 25), ("nylon_guitar",)),
    (range(25, 26), ("acoustic_guitar",)),
    (range(26, 29), ("clean_electric_guitar",)),
    (range(29, 32), ("distorted_electric_guitar",)),
    (range(32, 33), ("contrabass",)),
    (range(33, 38), ("bass_guitar",)),
    (range(38, 40), ("synth_bass",)),
    (range(40, 42), ("violin",)),
    (range(42, 44), ("cello",)),
    (range(45, 47), ("harp", "ukulele")),
    (range(48, 50), ("string_section",)),
    (range(50, 52), ("string_section", "synth_pad")),
    (range(52, 56), ("choir",)),
    (range(56, 61), ("trumpet",)),
    (range(61, 64), ("brass_section",)),
    (range(64, 68), ("saxophone",)),
    (range(68, 72), ("clarinet",)),
    (range(72, 80), ("flute",)),
    (range(80, 88), ("synth_lead",)),
    (range(88, 96), ("synth_pad",)),
    (range(105, 106), ("banjo",)),
    (range(110, 111), ("violin",)),
    (range(114, 115), ("steel_drum",)),
)
"""Patches that may take the part of a General MIDI program."""

INSTEAD = {
    "lead": (0.6, ("voice",)),
    "counter": (0.25, ("choir", "voice", "glockenspiel")),
    "pad": (0.3, ("choir", "synth_pad", "organ")),
    "strum": (0.15, ("ukulele", "mandolin", "clean_electric_guitar")),
    "comp": (0.15, ("piano", "organ", "electric_piano")),
    "arpeggio": (0.3, ("synth_pluck", "harp", "vibraphone")),
    "riff": (0.2, ("synth_lead", "synth_pluck")),
    "bass": (0.15, ("synth_bass",)),
}
"""By role: how often somebody else than written plays, and who."""

LOUDNESS = {
    "vocals": -20.0,
    "drums": -22.0,
    "bass": -22.0,
    "guitar": -24.0,
    "piano": -25.0,
    "wind": -24.0,
    "bowed_strings": -25.0,
    "other_keys": -26.0,
    "other_plucked": -25.0,
    "percussion": -28.0,
    "other": -30.0,
}
"""LUFS at which a source of a stem is mixed, give or take :data:`BALANCE`."""

BALANCE = 2.0
"""Standard deviation, in dB, of the sources' loudness around that."""

MICROPHONES = {"vocals", "drums", "wind", "bowed_strings", "percussion"}
"""Stems recorded in the room, where the others can be heard too."""

STRINGED_BY_MAGNET = {"clean_electric_guitar", "distorted_electric_guitar", "bass_guitar"}
"""Patches whose pickup hums."""

TAKE_BLOCK = 1600
"""Samples in which an editor fades a recording in or out."""

OVERHEADS = (
    (("kick_drum",), ("snare_drum",), ("hi_hat",)),
    (("kick_drum",), ("snare_drum",)),
    (("kick_drum",), ("snare_drum",), ("hi_hat",), ("toms",)),
    (("kick_drum",),),
)
"""Ways of recording drums: what has a microphone of its own. The rest of the kit goes to the overheads."""


@dataclass(frozen=True)
class Source:
    """One thing that is recorded: its name and stem as MoisesDB calls them, the patch that plays it (``"drums"`` and
    ``"fx"`` too), and what it plays."""

    name: str
    stem: str
    patch: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Song:
    """A song as recorded.

    Attributes
    ----------
    sources : tuple of Source
        S of them.
    audio : np.ndarray, (S, samples), int16
        16 kHz. Their sum is the mix.
    lengths : tuple of int
        Samples of each source before it was padded to the longest.
    seconds : np.ndarray, (beats,)
        When each beat of the arrangement was played.
    """

    sources: tuple[Source, ...]
    audio: np.ndarray
    lengths: tuple[int, ...]
    seconds: np.ndarray


def pieces() -> dict[str, str]:
    """The split of every piece, by id, in an order that has nothing to do with their names."""
    return tunes.pieces("studio")


def build(piece: str, folder: Path) -> None:
    """Arrange, record and store one piece.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store.
    """
    from phalar.corpora import groove

    page = arrangement(piece)
    song = record(piece, page, feel(piece, page))
    write_track(
        folder,
        piece,
        song.audio,
        split=pieces()[piece],
        stems=[source.name for source in song.sources],
        tags={
            "title": page.title,
            "style": page.style,
            "tempo": page.bpm,
            "key": f"{PITCH_CLASSES[page.tonic]} {page.mode}",
            "stem_names": [source.stem for source in song.sources],
            "patches": [source.patch for source in song.sources],
            "lengths": list(song.lengths),
        },
        beats=np.column_stack([song.seconds, [number for _, number in page.beats]]),
        chords=groove.chords(page, song.seconds),
        notes=[[(n.onset, n.duration, n.pitch) for n in source.notes] for source in song.sources],
    )


def arrangement(piece: str) -> Arrangement:
    """What the band of a piece plays, on the page."""
    from phalar.corpora import arranger

    rng = seeds.generator(SEED, "arrangement", piece)
    fitting = arranger.styles_for(tunes.lead_sheet(piece, "folk"))
    style = str(rng.choice(fitting))
    return arranger.arrange(tunes.lead_sheet(piece, arranger.colour(style)), style, rng, SECONDS)


def feel(piece: str, page: Arrangement) -> Feel:
    """How the band of a piece plays it. No two swing alike, and who plays straight is never quite so."""
    from phalar.corpora import groove

    rng = seeds.generator(SEED, "feel", piece)
    swing = page.swing + (0.03 * rng.standard_normal() if page.swing > 0.52 else rng.uniform(0, 0.02))
    if page.beat != 1.0:
        swing = 0.5
    return replace(groove.studio_feel(page.style, rng), swing=float(np.clip(swing, 0.5, 0.72)))


def record(piece: str, page: Arrangement, how: Feel) -> Song:
    """Play a page and record it. The studio, the instruments and their treatment depend on the piece alone, so other
    ways of playing can be compared.

    Parameters
    ----------
    piece : str
        Names the song; any text.
    page : Arrangement
    how : Feel

    Returns
    -------
    Song

    Raises
    ------
    RunError
        If a source came out silent or not finite. Taught in ``book/corpora.md``.
    """
    from phalar.corpora import groove

    played, seconds = groove.perform(page, how, seeds.generator(SEED, "performance", piece))
    sources = _sources(piece, page, played)
    sections = [float(groove.moment(page, seconds, onset)) for onset, _ in page.sections]
    if len(sources) < MOST and len(sections) > 2 and seeds.generator(SEED, "fx", piece).random() < 0.12:
        sources.append(Source("fx", "other", "fx", ()))
    end = max(note.onset + note.duration for source in sources for note in source.notes)
    length = int((end + 3.0) * SAMPLE_RATE)
    stems = _channels(piece, page, sources, sections[1:], length)
    stems, lengths = _cut(piece, stems)
    peak = max(np.abs(stems.sum(0)).max(), np.abs(stems).max())
    audio = np.round(stems * (PEAK / peak * 32767)).astype(np.int16)
    return Song(tuple(sources), audio, lengths, seconds)


def _sources(piece: str, page: Arrangement, played: Sequence[Sequence[Note]]) -> list[Source]:
    """Who is recorded: a patch for every part, and the drums together or apart."""
    from phalar.corpora.synth import PATCHES

    rng, sources = seeds.generator(SEED, "cast", piece), []
    free = MOST - len(page.parts)
    used: set[str] = set()
    for part, notes in zip(page.parts, played, strict=True):
        if not notes:
            continue
        if part.drums:
            sources += _drums(part, notes, free, rng)
            continue
        patch = _patch(part, used, rng)
        used.add(patch)
        name, stem = SOURCES[patch]
        sources.append(Source(name, stem, patch, tuple(PATCHES[patch].within(notes))))
    return sources


def _patch(part: Part, used: set[str], rng: np.random.Generator) -> str:
    """Who plays a part: as written, or somebody else; nobody twice, if it can be helped."""
    written = next((patches for programs, patches in FAMILIES if part.program in programs), ("synth_lead",))
    chance, others = INSTEAD.get(part.role, (0.0, ()))
    options = others if rng.random() < chance else written
    fresh = [patch for patch in options if patch not in used] or [p for p in (*written, *others) if p not in used]
    return str(rng.choice(fresh or options))


def _drums(part: Part, notes: Sequence[Note], free: int, rng: np.random.Generator) -> list[Source]:
    from phalar.corpora.synth.drums import group

    if part.role == "percussion":
        return [Source("atonal_percussion", "percussion", "drums", tuple(notes))]
    ways = [way for way in OVERHEADS if len(way) <= free]
    way = ways[rng.integers(len(ways))] if ways and rng.random() < 0.45 else ()
    close = {name: [n for n in notes if group(n.pitch) == name] for (name,) in way}
    close = {name: strokes for name, strokes in close.items() if len(strokes) >= 8}  # too few to be worth a channel
    if not close:
        return [Source("full_acoustic_drumkit", "drums", "drums", tuple(notes))]
    rest = [n for n in notes if group(n.pitch) not in close]
    parts = close | ({"overheads": rest} if rest else {})
    return [Source(name, "drums", "drums", tuple(strokes)) for name, strokes in parts.items()]


def _channels(
    piece: str, page: Arrangement, sources: Sequence[Source], sections: Sequence[float], length: int
) -> np.ndarray:
    """Every source as it is on tape: played, treated, mixed with what leaked into it; (S, length)."""
    from phalar.corpora import effects
    from phalar.corpora.loudness import loudness

    rng = seeds.generator(SEED, "studio", piece)
    room, kit = effects.draw_room(rng), int(rng.integers(2**31))
    stems = np.zeros((len(sources), length), np.float32)
    for index, source in enumerate(sources):
        own = seeds.generator(SEED, "channel", index, piece)
        raw = _play(source, sections, length, kit, own)
        taste = effects.DISTORTED if source.patch == "distorted_electric_guitar" else effects.TASTES[source.stem]
        if np.isfinite(raw).all() and raw.any():
            treated = effects.treat(raw, taste, room, page.bpm, own)
            level = loudness(treated, SAMPLE_RATE)
        else:
            level = -np.inf
        if not np.isfinite(level):
            raise RunError(f"{piece}: {source.name} ({source.patch}) came out silent or not finite; use another patch")
        wanted = LOUDNESS[source.stem] + BALANCE * own.standard_normal()
        stems[index] = treated * 10 ** ((wanted - level) / 20)
    for index, leak in _leaks(piece, sources, stems, rng):
        stems[index] += leak
    return stems


def _leaks(
    piece: str, sources: Sequence[Source], stems: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """What tapes hold besides their sources, by the source's index: neighbours in an open microphone, hiss, hum.

    Between takes there is none of it, since an editor has cut that out, except now and then of the neighbours.
    """
    from phalar.corpora import effects

    live = rng.random() < 0.3
    noise, mains = rng.uniform(-72, -56), rng.uniform(-64, -50)
    clean = stems.copy()
    for index, source in enumerate(sources):
        own = seeds.generator(SEED, "tape", index, piece)
        floor = 10 ** (LOUDNESS[source.stem] / 20)
        leak = np.zeros(stems.shape[1], np.float32)
        cut, hissing, humming = (own.random() < chance for chance in (0.7, 0.35, 0.35))
        if source.stem in MICROPHONES and source.patch not in ("vibraphone", "marimba", "glockenspiel"):
            near = [n for n, other in enumerate(sources) if n != index and source.stem == other.stem == "drums"]
            far = [n for n, other in enumerate(sources) if n != index and other.stem in ("drums", "vocals", "wind")]
            for other in near or (far[:3] if live else []):
                quieter = own.uniform(-30, -20) if near else own.uniform(-46, -34)
                leak += effects.bleed(clean[other], own) * np.float32(10 ** (quieter / 20))
        machine = np.zeros_like(leak)
        if hissing:
            machine += effects.hiss(len(leak), own) * np.float32(floor * 10 ** (noise / 20))
        if humming and source.patch in STRINGED_BY_MAGNET:
            machine += effects.hum(len(leak), own) * np.float32(floor * 10 ** (mains / 20))
        if not (leak.any() or machine.any()):
            continue
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


def _play(source: Source, sections: Sequence[float], length: int, kit: int, rng: np.random.Generator) -> np.ndarray:
    from phalar.corpora.synth import PATCHES, drums, noises

    if source.patch == "drums":
        return drums.play(source.notes, length, kit)
    if source.patch == "fx":
        return noises.play(sections, length, rng)
    return PATCHES[source.patch].play(source.notes, length, rng)


def _cut(piece: str, stems: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """End every stem where its recording ends, in place: when its sound has faded by 60 dB, or some time after."""
    rng = seeds.generator(SEED, "lengths", piece)
    whole = rng.random(len(stems)) < 0.5
    ends = []
    for stem in stems:
        loud = np.flatnonzero(np.abs(stem) > 1e-3 * np.abs(stem).max())
        ends.append(int(loud[-1]) + 1 + int(rng.uniform(0.05, 0.5) * SAMPLE_RATE))
    longest = min(max(ends), stems.shape[1])
    lengths = tuple(longest if full else min(end, longest) for full, end in zip(whole, ends, strict=True))
    for stem, end in zip(stems, lengths, strict=True):
        fade = min(320, end)
        stem[end - fade : end] *= np.linspace(1, 0, fade)
        stem[end:] = 0
    return stems[:, : max(lengths)], lengths
