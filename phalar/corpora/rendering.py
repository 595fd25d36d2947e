"""From notes to stems: played, decimated, levelled, scaled by one constant, 16-bit."""

from collections.abc import Sequence

import numpy as np
import pyloudnorm
import soxr

from phalar.audio import SAMPLE_RATE
from phalar.corpora.sampler import Note, play
from phalar.corpora.soundfont import SoundFont
from phalar.datasets.store import FULL_SCALE
from phalar.errors import RunError

# Notes are played at 32 kHz and then decimated, since the sampler does not limit their bandwidth. What is left below
# 8 kHz of aliasing is at least 41 dB under the loudest, highest notes of every instrument; at 16 kHz it is 27 dB.
OVERSAMPLING = 2
LOUDNESS = -23.0  # LUFS to which each stem is brought before the common scale
PEAK = 0.9  # largest absolute value of the mix or of any stem
TAIL = 1.5  # seconds a last note may ring at most
BLOCK = 0.4  # seconds in which loudness is measured


def loudness(audio: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness of ITU-R BS.1770-4, by pyloudnorm.

    Parameters
    ----------
    audio : np.ndarray, (samples,)
        One channel in [-1, 1]. What is shorter than a block of 0.4 s is measured with silence behind it.
    sample_rate : int
        Hz.

    Returns
    -------
    float
        LUFS: a 997 Hz sine at full scale is -3.01. Silence, by the standard's gates, does not count; -inf if nothing
        is left.
    """
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
        If a stem is silent or not finite: an instrument of the SoundFont does not sound. Taught in ``book/corpora.md``.
    """
    end = max(note.onset + note.duration for _, notes in parts for note in notes) + TAIL
    length = int(np.ceil(end * SAMPLE_RATE))
    gains, banks = gains or [0.0] * len(parts), banks or [0] * len(parts)
    stems = []
    for (program, notes), bank, gain in zip(parts, banks, gains, strict=True):
        stem = render_part(font, program, notes, length, bank, floor)
        stems.append(levelled(stem, LOUDNESS + gain, f"program {program} of bank {bank}"))
    stems = np.stack(stems)
    stems /= max(np.abs(stems.sum(0)).max(), np.abs(stems).max())
    audible = np.flatnonzero(np.abs(stems).max(0) > 1e-3)
    stems = stems[:, : audible[-1] + 1]
    fade = min(round(0.02 * SAMPLE_RATE), stems.shape[1])
    stems[:, -fade:] *= np.linspace(1, 0, fade)
    return to_pcm(stems)
