"""Corpus ``beats``: mixes of 30 s with every beat known. Stands in for GTZAN and its beat annotations.

Ten genres, by GTZAN's names as far as the arranger's styles go, each played by half of its bands to a click (the
straight half) and by the other half with drift, rubato and a last ritardando (the expressive half). Of each half of
a genre, half sounds from the SoundFont, as `band` does, and half from the synthesiser and effects of `studio`.
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soxr

from phalar.corpora import seeds
from phalar.corpora.arrangement import Arrangement
from phalar.corpora.excerpts import bar_lines, crop
from phalar.datasets import store
from phalar.datasets.store import write_track

if TYPE_CHECKING:  # else it is imported where it is needed: reading a finished corpus needs no numba
    from phalar.corpora.groove import Feel

SEED = 0

SAMPLE_RATE = 22_050
"""Hz, GTZAN's."""

SECONDS = 30.0

MARGIN, RING = 3.0, 1.5
"""Seconds played besides the excerpt, and how long a last note may ring."""

FINAL = 2.5
"""Seconds from the last chord of an expressive piece to the end of its excerpt."""

PLAYED_AT = 32_000
"""Hz at which the sampler plays: below 11 kHz, half the rate of the corpus, its images are weak."""

TEMPI = (60.0, 200.0)
"""Lowest and highest beats a minute. Around those that a style knows every piece has a tempo of its own."""

GENRES = {
    "blues": ("blues", "doo-wop"),
    "classical": ("march", "waltz", "tarantella"),
    "country": ("country", "folk", "country waltz", "jig"),
    "disco": ("disco",),
    "hiphop": ("hip-hop",),
    "jazz": ("swing", "bossa", "jazz waltz", "afro"),
    "metal": ("metal",),
    "pop": ("pop", "ballad", "slow waltz", "afro"),
    "reggae": ("reggae", "ska", "afro"),
    "rock": ("rock", "funk"),
}
"""The arranger's styles for each genre. There is no classical style: it is a small orchestra without drums playing
what a band would (:data:`ORCHESTRA`)."""

PER_GENRE = 22

ORCHESTRA = {
    "bass": (42, 43, 70),
    "strum": (45, 46),
    "comp": (0, 6, 46),
    "arpeggio": (46, 45, 0),
    "pad": (48, 49),
    "riff": (60, 71, 45),
    "lead": (40, 73, 68, 71),
    "counter": (41, 60, 42),
}
"""General MIDI programs, from 0, of the instruments that may take over a role: strings bowed and plucked, harp, piano,
harpsichord, horn, woodwind."""


@dataclass(frozen=True)
class Casting:
    """What becomes of a tune: its genre, the arranger's style, how it is played (``"straight"`` or ``"expressive"``)
    and what it sounds from (``"soundfont"`` or ``"synthesiser"``)."""

    genre: str
    style: str
    feel: str
    sound: str


@cache
def castings() -> dict[str, Casting]:
    """For every tune what becomes of it.

    Genres fill evenly; tunes in three or in compound time are dealt first, since fewer styles can use them. Within a
    genre the four ways to play and sound take turns. The order is that of :func:`pieces`.
    """
    from phalar.corpora import tunes
    from phalar.corpora.band import FAMILIES
    from phalar.corpora.styles.table import STYLES

    given = list(tunes.pieces("beats"))[: PER_GENRE * len(GENRES)]
    families = {piece: FAMILIES[tunes.table()[piece]["meter"]] for piece in given}
    filled, styles = Counter(), {}
    for piece in sorted(given, key=lambda piece: ("triple", "compound", "duple").index(families[piece])):
        fitting = {g: [s for s in names if STYLES[s].family == families[piece]] for g, names in GENRES.items()}
        genre = min((g for g in GENRES if fitting[g] and filled[g] < PER_GENRE), key=lambda g: filled[g])
        styles[piece] = genre, fitting[genre][filled[genre] % len(fitting[genre])]
        filled[genre] += 1
    ways = list(product(("soundfont", "synthesiser"), ("straight", "expressive")))
    turns, cast = Counter(), []
    for piece in given:
        genre, style = styles[piece]
        sound, feel = ways[turns[genre] % 4]
        cast.append((turns[genre], genre, piece, Casting(genre, style, feel, sound)))
        turns[genre] += 1
    return {piece: casting for _, _, piece, casting in sorted(cast, key=lambda row: row[:2])}


@cache
def pieces() -> dict[str, str]:
    """All are test, by id; genres take turns, so that any first part holds as much of each."""
    return dict.fromkeys(castings(), "test")


def build(piece: str, folder: Path) -> None:
    """Arrange, perform, render and store one piece.

    Parameters
    ----------
    piece : str
        One of :func:`pieces`.
    folder : Path
        The store, at 22.05 kHz.
    """
    # Here, not above: these need music21 and numba, and reading a finished corpus needs neither.
    from phalar.corpora import arranger, groove, tunes
    from phalar.corpora.band import metre
    from phalar.corpora.leadsheet import PITCH_CLASSES

    rng = seeds.generator(SEED, "beats", piece)
    cast = castings()[piece]
    sheet = tunes.lead_sheet(piece, arranger.colour(cast.style))
    page = arranger.arrange(sheet, cast.style, rng, (SECONDS + 8, SECONDS + 20))
    page = replace(page, bpm=round(float(np.clip(page.bpm * np.exp(rng.uniform(-0.12, 0.12)), *TEMPI)), 1))
    if cast.genre == "classical":
        page = orchestrated(page, rng)
    feel = groove.TIGHT if cast.feel == "straight" else groove.expressive_feel(rng)
    page = _stretch(page, cast.feel, rng)
    render = {"soundfont": _from_soundfont, "synthesiser": _from_synthesiser}[cast.sound]
    mix, rate, seconds = render(piece, page, feel, rng)
    # The straight ones end where they are cut, the expressive ones with the music: their ritardando is to be heard.
    last = float(groove.moment(page, seconds, max(s.onset for part in page.parts for s in part.strokes)))
    start = rng.uniform(0, 1) if cast.feel == "straight" else max(last + FINAL - SECONDS, 0.0)
    beats = np.column_stack([seconds - start, [number for _, number in page.beats]])
    audible = min(last - start + 0.05, SECONDS)  # while the last chord is held nobody can hear the beats go on
    write_track(
        folder,
        piece,
        _excerpt(mix, rate, start)[None],
        split=pieces()[piece],
        stems=["mix"],
        pitched=[True],
        tags={
            "title": page.title,
            "genre": cast.genre,
            "style": cast.style,
            "feel": cast.feel,
            "sound": cast.sound,
            "tempo": page.bpm,
            "key": f"{PITCH_CLASSES[page.tonic]} {page.mode}",
            "metre": metre(page),
            "instruments": [part.instrument for part in page.parts if part.strokes],
        },
        beats=beats[(beats[:, 0] >= 0) & (beats[:, 0] < audible)],
    )


def orchestrated(arrangement: Arrangement, rng: np.random.Generator) -> Arrangement:
    """The same music without drums, every part given to an instrument of the orchestra."""
    names = {0: "piano", 6: "harpsichord", 40: "violin", 41: "viola", 42: "cello", 43: "double bass", 45: "pizzicato"}
    names |= {46: "harp", 48: "strings", 49: "slow strings", 60: "horn", 68: "oboe", 70: "bassoon", 71: "clarinet"}
    names |= {73: "flute"}
    parts = []
    for part in arrangement.parts:
        if part.role in ORCHESTRA:
            program = int(rng.choice(ORCHESTRA[part.role]))
            parts.append(replace(part, program=program, instrument=names[program], drums=False))
    return replace(arrangement, parts=tuple(parts))


def _stretch(page: Arrangement, feel: str, rng: np.random.Generator) -> Arrangement:
    """What is played, a little longer than the excerpt: any bars of a straight piece; of the others the last ones, and
    of the final chord one beat, so that the ritardando is in what comes before it."""
    lines = bar_lines(page)
    quarters = page.bpm * page.beat / 60  # quarter notes a second
    final = max(stroke.onset for part in page.parts for stroke in part.strokes)
    end = min(final + page.beat, page.length) if feel == "expressive" else page.length
    latest = max(int(np.searchsorted(lines, end - (SECONDS + MARGIN) * quarters, "right")) - 1, 0)
    if feel == "expressive":
        return crop(page, lines[latest], end)
    first = int(rng.integers(latest + 1))
    last = min(int(np.searchsorted(lines, lines[first] + (SECONDS + MARGIN) * quarters)), len(lines) - 1)
    return crop(page, lines[first], lines[last])


def _from_soundfont(piece: str, page: Arrangement, feel: "Feel", rng: np.random.Generator):
    """The mix as `band` would have it: (samples,), its rate, and the seconds of every beat."""
    from phalar.corpora import groove
    from phalar.corpora.band import BALANCE, DRUM_BANK, GAINS
    from phalar.corpora.rendering import loudness
    from phalar.corpora.sampler import play
    from phalar.corpora.soundfont import SoundFont, installed_font

    notes, seconds = groove.perform(page, feel, rng)
    end = max(note.onset + note.duration for played in notes for note in played)
    mix = np.zeros(round((end + RING) * PLAYED_AT))
    for part, played in zip(page.parts, notes, strict=True):
        gain = GAINS[part.role] + BALANCE * float(rng.standard_normal())
        if played:
            bank = DRUM_BANK if part.drums else 0
            stem = play(_font(SoundFont, installed_font()), part.program, played, len(mix), PLAYED_AT, bank)
            mix += stem * 10 ** ((gain - loudness(stem, PLAYED_AT)) / 20)
    return mix, PLAYED_AT, seconds


def _from_synthesiser(piece: str, page: Arrangement, feel: "Feel", rng: np.random.Generator):
    """The mix as `studio` would have it, likewise."""
    from phalar.corpora import studio

    song = studio.record(f"beats/{piece}", page, feel)
    return song.audio.sum(0, dtype=np.float64), store.SAMPLE_RATE, song.seconds


def _excerpt(mix: np.ndarray, rate: int, start: float) -> np.ndarray:
    """30 s from a moment on, at 22.05 kHz, peaking at 0.9 of full scale, int16."""
    first = round(start * rate)
    excerpt = soxr.resample(mix[first : first + round(SECONDS * rate)], rate, SAMPLE_RATE)
    excerpt = np.pad(excerpt, (0, max(round(SECONDS * SAMPLE_RATE) - len(excerpt), 0)))
    return np.round(excerpt * (0.9 * (store.FULL_SCALE - 1) / np.abs(excerpt).max())).astype(np.int16)


@cache
def _font(kind: type, path: Path):
    return kind(path)  # 6 MB and a second to read: once a process
