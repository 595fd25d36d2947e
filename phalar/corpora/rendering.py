"""From a performance to stems: played, decimated, levelled, scaled by one constant, 16-bit."""

from collections.abc import Sequence

import numpy as np
import soxr

from phalar.corpora.loudness import loudness
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont
from phalar.errors import RunError

SAMPLE_RATE = 16_000
"""Hz, of every stem."""

OVERSAMPLING = 2
"""Notes are played at 32 kHz and then decimated, since the sampler does not limit their bandwidth. What is left below
8 kHz of aliasing is at least 41 dB under the loudest, highest notes of every instrument; at 16 kHz it is 27 dB."""

LOUDNESS = -23.0
"""LUFS to which each stem is brought before the common scale."""

PEAK = 0.9
"""Largest absolute value of the mix or of any stem."""

TAIL = 1.5
"""Seconds a last note may ring at most."""


def render_stems(
    font: SoundFont,
    parts: Sequence[tuple[int, Sequence[Note]]],
    *,
    gains: Sequence[float] | None = None,
    banks: Sequence[int] | None = None,
    floor: float = -100.0,
) -> np.ndarray:
    """Render the parts of a piece to stems whose sum is the mix, of equal loudness if not told otherwise.

    Parameters
    ----------
    font : SoundFont
    parts : sequence of (int, sequence of Note)
        General MIDI program and notes of each stem, S of them.
    gains : sequence of float, optional
        Decibels by which each stem is louder than the common level; 0 if not given.
    banks : sequence of int, optional
        Bank of the SoundFont for each stem; 0 if not given. Drum kits are in bank 128.
    floor : float
        Decibels, relative to its peak, at which a released note is over.

    Returns
    -------
    np.ndarray, (S, samples), int16
        16 kHz. The sum over stems is the mix and peaks at 0.9 of full scale (or a stem does, where stems cancel in the
        mix). The end is where the mix has faded by 60 dB.

    Raises
    ------
    RunError
        If a stem is silent or not finite: an instrument of the SoundFont does not sound.
    """
    end = max(note.onset + note.duration for _, notes in parts for note in notes) + TAIL
    length = int(np.ceil(end * SAMPLE_RATE)) * OVERSAMPLING
    gains, banks = gains or [0.0] * len(parts), banks or [0] * len(parts)
    stems = np.stack(
        [
            _stem(font, program, bank, notes, length, gain, floor)
            for (program, notes), bank, gain in zip(parts, banks, gains, strict=True)
        ]
    )
    peak = max(np.abs(stems.sum(0)).max(), np.abs(stems).max())
    stems *= PEAK / peak
    audible = np.flatnonzero(np.abs(stems).max(0) > 1e-3 * PEAK)
    stems = stems[:, : audible[-1] + 1]
    fade = min(round(0.02 * SAMPLE_RATE), stems.shape[1])
    stems[:, -fade:] *= np.linspace(1, 0, fade)
    return np.round(stems * 32767).astype(np.int16)


def _stem(
    font: SoundFont, program: int, bank: int, notes: Sequence[Note], length: int, gain: float, floor: float
) -> np.ndarray:
    played = play(font, program, notes, length, OVERSAMPLING * SAMPLE_RATE, bank, floor)
    stem = soxr.resample(played, OVERSAMPLING * SAMPLE_RATE, SAMPLE_RATE)[: length // OVERSAMPLING]
    level = loudness(stem, SAMPLE_RATE)
    if not np.isfinite(level):
        raise RunError(
            f"program {program} of bank {bank} rendered to silence or to values that are not finite; use another one"
        )
    return stem * 10 ** ((LOUDNESS + gain - level) / 20)
