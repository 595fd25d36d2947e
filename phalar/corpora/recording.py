"""From a page to a stored track: what `chorales`, `band` and `comping` share."""

from pathlib import Path

import numpy as np

from phalar.audio import SAMPLE_RATE
from phalar.corpora import performance
from phalar.corpora.arrangement import Arrangement
from phalar.corpora.band import DRUM_BANK, FLOOR
from phalar.corpora.leadsheet import PITCH_CLASSES
from phalar.corpora.rendering import render_stems
from phalar.corpora.sampler import Note
from phalar.corpora.soundfont import installed
from phalar.datasets.store import write_track


def render(page: Arrangement, notes: list[list[Note]], gains: list[float] | None = None) -> np.ndarray:
    """The stems of a performance on the SoundFont, as :func:`phalar.corpora.rendering.render_stems` gives them."""
    parts = [(part.program, played) for part, played in zip(page.parts, notes, strict=True)]
    banks = [DRUM_BANK if part.drums else 0 for part in page.parts]
    return render_stems(installed(), parts, gains=gains, banks=banks, floor=FLOOR if gains else -100.0)


def record(
    folder: Path,
    page: Arrangement,
    feel: performance.Feel,
    rng: np.random.Generator,
    split: str,
    tags: dict,
    gains: list[float] | None = None,
    tail: float | None = None,
) -> None:
    """Perform a page, play it on the SoundFont and store it with all that is known of it; ``tags`` get title, tempo and
    key. With ``tail`` the track ends so many seconds after the last chord, and where there is none it is ``N``."""
    notes, seconds = performance.perform(page, feel, rng)
    audio, chords = render(page, notes, gains), performance.chords(page, seconds) if page.chords else None
    if tail is not None:
        end = round(chords[-1][1] + tail, 4)
        audio = np.pad(audio, ((0, 0), (0, round(end * SAMPLE_RATE))))[:, : round(end * SAMPLE_RATE)]
        chords = [(0.0, chords[0][0], "N"), *chords, (chords[-1][1], end, "N")]
    write_track(
        folder,
        page.id,
        audio,
        split=split,
        stems=[part.instrument for part in page.parts],
        pitched=[part.pitched for part in page.parts],
        tags={"title": page.title, "tempo": page.bpm, "key": f"{PITCH_CLASSES[page.tonic]} {page.mode}"} | tags,
        beats=np.column_stack([seconds, [number for _, number in page.beats]]),
        chords=chords,
        notes=[[(n.onset, n.duration, n.pitch) for n in played] for played in notes],
    )
