"""From a page to a stored track: what `chorales`, `band` and `comping` share."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from phalar.audio import SAMPLE_RATE
from phalar.corpora import performance
from phalar.corpora.arrangement import Arrangement
from phalar.corpora.band import DRUM_BANK
from phalar.corpora.leadsheet import PITCH_CLASSES
from phalar.corpora.rendering import render_stems
from phalar.corpora.soundfont import installed
from phalar.datasets.store import write_track


def record(
    folder: Path,
    page: Arrangement,
    feel: performance.Feel,
    rng: np.random.Generator,
    *,
    split: str,
    tags: dict,
    gains: Sequence[float] | None = None,
    floor: float = -100.0,
    tail: float | None = None,
) -> None:
    """Perform a page, play it on the SoundFont and store it, with all that is known of it.

    Parameters
    ----------
    folder : Path
        The store.
    page, feel, rng
        As for :func:`phalar.corpora.performance.perform`.
    split, tags
        As for :func:`phalar.datasets.store.write_track`; title, tempo and key are added.
    gains, floor
        As for :func:`phalar.corpora.rendering.render_stems`.
    tail : float, optional
        Seconds after the last chord at which the track ends, with ``N`` in place of a chord before the first one and
        after the last; the end of the sound, if not given.
    """
    notes, seconds = performance.perform(page, feel, rng)
    parts = [(part.program, played) for part, played in zip(page.parts, notes, strict=True)]
    banks = [DRUM_BANK if part.drums else 0 for part in page.parts]
    audio = render_stems(installed(), parts, gains=gains, banks=banks, floor=floor)
    chords = performance.chords(page, seconds) if page.chords else None
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
