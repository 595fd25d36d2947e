"""From a page to a stored track: performed, played, decimated, levelled, scaled by one constant, 16-bit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.corpora import performance
from phalar.corpora.leadsheet import Arrangement
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont, installed
from phalar.datasets.store import FULL_SCALE, write_track
from phalar.errors import RunError

# Notes are played at 32 kHz and then decimated, since the sampler does not limit their bandwidth. What is left below
# 8 kHz of aliasing is at least 41 dB under the loudest, highest notes of every instrument; at 16 kHz it is 27 dB.
OVERSAMPLING = 2
LOUDNESS = -23.0  # LUFS to which each stem is brought before the common scale
PEAK = 0.9  # largest absolute value of the mix or of any stem
TAIL = 1.5  # seconds a last note may ring at most
BLOCK = 0.4  # seconds in which loudness is measured
FLOOR = -60.0  # dB at which a released note is over: nobody hears what is below, and it is a third of the work
DRUM_BANK = 128


def loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness of ITU-R BS.1770-4, in LUFS, by pyloudnorm, of one channel (samples,) in [-1, 1]. What is
    shorter than 0.4 s is measured with silence behind it; -inf if the standard's gates leave nothing."""
    import pyloudnorm  # here, not above: it takes a second

    measured = np.zeros(max(len(audio), int(np.ceil(BLOCK * sample_rate))))
    measured[: len(audio)] = audio
    # Noise at -240 dB: in true silence the filters would come to rest among denormal numbers, which are slow.
    measured += np.resize(1e-12 * np.random.default_rng(0).standard_normal(sample_rate), len(measured))
    return float(pyloudnorm.Meter(sample_rate, block_size=BLOCK).integrated_loudness(measured))


def render_part(
    font: SoundFont, program: int, notes: Sequence[Note], length: int, bank: int = 0, floor: float = -100.0
) -> np.ndarray:
    """One part as the SoundFont plays it, (length,), float32 at 16 kHz; not levelled. ``floor`` as for ``play``."""
    played = play(font, program, notes, OVERSAMPLING * length, OVERSAMPLING * SAMPLE_RATE, bank, floor)
    return soxr.resample(played, OVERSAMPLING * SAMPLE_RATE, SAMPLE_RATE)[:length]


def levelled(stem: np.ndarray, lufs: float, what: str) -> np.ndarray:
    """A stem at a loudness; a RunError that names it as ``what`` if it is silent or not finite."""
    level = loudness(stem, SAMPLE_RATE) if np.isfinite(stem).all() else np.nan
    if not np.isfinite(level):
        raise RunError(f"{what} rendered to silence or to values that are not finite; use another one")
    return stem * 10 ** ((lufs - level) / 20)


def to_pcm(stems: np.ndarray) -> np.ndarray:
    """All stems (S, samples) scaled by one constant, so that their sum or one of them peaks at :data:`PEAK`: int16."""
    peak = max(np.abs(stems.sum(0)).max(), np.abs(stems).max())
    return np.round(stems * (PEAK / peak * (FULL_SCALE - 1))).astype(np.int16)


def render_stems(
    font: SoundFont,
    parts: Sequence[tuple[int, Sequence[Note]]],
    *,
    gains: Sequence[float] | None = None,
    banks: Sequence[int] | None = None,
    floor: float = -100.0,
) -> np.ndarray:
    """Render the parts of a piece to stems whose sum is the mix, (S, samples), int16 at 16 kHz. ``parts`` are General
    MIDI program and notes of each stem; ``gains`` the decibels by which it is louder than the common level, ``banks``
    its bank of the SoundFont, each 0 if not given; ``floor`` as for ``play``. The mix, or a stem, peaks at 0.9 of full
    scale. A `RunError` if a stem is silent or not finite. Taught in ``book/corpora.md``."""
    length = int(np.ceil((max(n.onset + n.duration for _, notes in parts for n in notes) + TAIL) * SAMPLE_RATE))
    rows = zip(parts, banks or [0] * len(parts), gains or [0.0] * len(parts), strict=True)
    stems = np.stack(
        [
            levelled(render_part(font, program, notes, length, bank, floor), LOUDNESS + gain, f"program {program}")
            for (program, notes), bank, gain in rows
        ]
    )
    stems /= max(np.abs(stems.sum(0)).max(), np.abs(stems).max())
    audible = np.flatnonzero(np.abs(stems).max(0) > 1e-3)
    stems = stems[:, : audible[-1] + 1]
    fade = min(round(0.02 * SAMPLE_RATE), stems.shape[1])
    stems[:, -fade:] *= np.linspace(1, 0, fade)
    return to_pcm(stems)


def render(page: Arrangement, notes: list[list[Note]], gains: list[float] | None = None) -> np.ndarray:
    """The stems of a performance on the installed SoundFont, as :func:`render_stems` gives them."""
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
        tags={"title": page.title, "tempo": page.bpm, "key": page.key} | tags,
        beats=np.column_stack([seconds, [number for _, number in page.beats]]),
        chords=chords,
        notes=[[(n.onset, n.duration, n.pitch) for n in played] for played in notes],
    )
