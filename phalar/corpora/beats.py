"""Corpus ``beats``: mixes of 30 s with every beat known. Stands in for GTZAN and its beat annotations.

Ten genres by GTZAN's names, each played by half of its bands to a click (the straight half) and by the others with
drift, rubato and a last ritardando (the expressive half); of each half, half sounds as `band` does, half as `studio`.
"""

from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr

from phalar import audio
from phalar.corpora import arranger, performance, rendering, seeds, studio, tunes
from phalar.corpora.band import mixed
from phalar.corpora.leadsheet import Arrangement
from phalar.corpora.styles import styles, table, transposed
from phalar.datasets.store import FULL_SCALE, write_track

SEED = 0
SAMPLE_RATE = 22_050  # Hz, GTZAN's
SECONDS = 30.0
FINAL = 2.5  # seconds from the last chord of an expressive piece to the end of its excerpt
TEMPI = (60.0, 200.0)  # beats a minute; around those that a style knows every piece has a tempo of its own
PER_GENRE = 22
GENRES: dict[str, list[str]] = table()["genres"]
ORCHESTRA: dict[str, dict[str, int]] = table()["orchestra"]


class Casting(NamedTuple):
    """What becomes of a tune: its genre, the arranger's style, how it is played (``"straight"`` or ``"expressive"``)
    and whose sounds it has (``"band"`` or ``"studio"``)."""

    genre: str
    style: str
    feel: str
    sound: str


@cache
def castings() -> dict[str, Casting]:
    """For every tune what becomes of it, in the order of :func:`pieces`. Genres fill evenly, tunes in three or in
    compound time first, since fewer styles can use them; in a genre the four ways to play and sound take turns."""
    given = list(tunes.pieces("beats"))[: PER_GENRE * len(GENRES)]
    families = {piece: tunes.family(piece) for piece in given}
    filled, chosen = Counter(), {}
    for piece in sorted(given, key=lambda piece: ("triple", "compound", "duple").index(families[piece])):
        fitting = {g: [s for s in names if styles()[s].family == families[piece]] for g, names in GENRES.items()}
        genre = min((g for g in GENRES if fitting[g] and filled[g] < PER_GENRE), key=lambda g: filled[g])
        chosen[piece] = genre, fitting[genre][filled[genre] % len(fitting[genre])]
        filled[genre] += 1
    ways = list(product(("band", "studio"), ("straight", "expressive")))
    turns, cast = Counter(), []
    for piece in given:
        genre, style = chosen[piece]
        sound, feel = ways[turns[genre] % 4]
        cast.append((turns[genre], genre, piece, Casting(genre, style, feel, sound)))
        turns[genre] += 1
    return {piece: casting for _, _, piece, casting in sorted(cast, key=lambda row: row[:2])}


@cache
def pieces() -> dict[str, str]:
    """All are test, by id; genres take turns, so that any first part holds as much of each."""
    return dict.fromkeys(castings(), "test")


def build(piece: str, folder: Path, semitones: int = 0) -> None:
    """Arrange, perform and render one of :func:`pieces` into ``folder``, at 22.05 kHz, so many semitones higher."""

    rng = seeds.generator(SEED, "beats", piece)
    cast = castings()[piece]
    sheet = tunes.lead_sheet(piece, styles()[cast.style].colour)
    page = arranger.arrange(sheet, cast.style, rng, (SECONDS + 8, SECONDS + 20))
    page = replace(page, bpm=round(float(np.clip(page.bpm * np.exp(rng.uniform(-0.2, 0.2)), *TEMPI)), 1))
    page = transposed(orchestrated(page, rng) if cast.genre == "classical" else page, semitones)
    straight = cast.feel == "straight"
    feel = performance.TIGHT if straight else performance.draw_feel("expressive", rng)
    final = max(stroke.onset for part in page.parts for stroke in part.strokes)
    if not straight:  # the clock ends with the last chord's first beat, so that the ritardando is in what comes before
        page = replace(page, beats=tuple(beat for beat in page.beats if beat[0] < final + page.beat))
    if cast.sound == "band":
        page = replace(page, parts=tuple(part for part in page.parts if part.strokes))
        notes, seconds = performance.perform(page, feel, rng)
        stems = rendering.render(page, notes, mixed(page, rng))
    else:
        song = studio.record(f"beats/{piece}", page, feel)
        stems, seconds = song.audio, song.seconds
    # The straight ones are cut somewhere, the expressive ones end with the music: their ritardando is to be heard.
    last = float(performance.moment(page, seconds, final))
    start = max(last + FINAL - SECONDS, 0.0) * (rng.random() if straight else 1.0)
    beats = np.column_stack([seconds - start, [number for _, number in page.beats]])
    audible = min(last - start + 0.05, SECONDS)  # while the last chord is held nobody can hear the beats go on
    write_track(
        folder,
        piece,
        _excerpt(stems.sum(0, dtype=np.float64), start)[None],
        split=pieces()[piece],
        stems=["mix"],
        pitched=[True],
        tags=cast._asdict()
        | {"title": page.title, "tempo": page.bpm, "key": page.key, "metre": page.metre}
        | {"instruments": [part.instrument for part in page.parts if part.strokes]},
        beats=beats[(beats[:, 0] >= 0) & (beats[:, 0] < audible)],
    )


def orchestrated(page: Arrangement, rng: np.random.Generator) -> Arrangement:
    """The same music without drums, every part given to an instrument of the orchestra."""
    parts = []
    for part in (part for part in page.parts if part.role in ORCHESTRA):
        name, program = list(ORCHESTRA[part.role].items())[rng.choice(len(ORCHESTRA[part.role]))]
        parts.append(replace(part, program=program, instrument=name))
    return replace(page, parts=tuple(parts))


def _excerpt(mix: np.ndarray, start: float) -> np.ndarray:
    """30 s from a moment on, at 22.05 kHz, peaking at 0.9 of full scale, int16."""
    first = round(start * audio.SAMPLE_RATE)
    excerpt = soxr.resample(mix[first : first + round(SECONDS * audio.SAMPLE_RATE)], audio.SAMPLE_RATE, SAMPLE_RATE)
    excerpt = np.pad(excerpt, (0, max(round(SECONDS * SAMPLE_RATE) - len(excerpt), 0)))
    return np.round(excerpt * (0.9 * (FULL_SCALE - 1) / np.abs(excerpt).max())).astype(np.int16)
