"""What an engineer does to one recorded source, and what the studio does to it unasked: noise, hum, its neighbours.

Nothing is done to the sum: the stems of a song still add up to its mix. Effects are those of the pedalboard library.
"""

from dataclasses import dataclass

import numpy as np
import pedalboard as pb
import soxr

from phalar.audio import SAMPLE_RATE

LEVEL = -18.0  # dB full scale (while it sounds) of a source before its effects, so that thresholds mean the same
HEADROOM = 3.5  # peaks above so many times the level are rounded off
OVERSAMPLING = 2  # of distortion, whose overtones would otherwise fold at half the sample rate


@dataclass(frozen=True)
class Channel:
    """How a kind of source is treated: a row of ``channels`` in ``studio.yaml``, which says what the fields mean."""

    lufs: float
    open: bool = False
    high_pass: tuple[float, float] = (30, 90)
    treble: float = 0.0
    drive: tuple[float, float] = (0, 0)
    driven: float = 0.0
    cabinet: bool = False
    ratio: tuple[float, float] = (1.5, 4.0)
    chorus: float = 0.0
    delay: float = 0.0
    room: tuple[float, float] = (0.0, 0.15)


def draw_room(rng: np.random.Generator) -> tuple[float, float]:
    """Size and damping, 0 to 1, of a song's room: from a booth to a hall, most of them small."""
    return float(rng.beta(1.6, 2.6)), float(rng.uniform(0.2, 0.8))


def treat(
    audio: np.ndarray, channel: Channel, room: tuple[float, float], bpm: float, rng: np.random.Generator
) -> np.ndarray:
    """One source, (samples,), float32 at 16 kHz, not silent, as it comes out of its channel, at no particular level.
    ``channel`` suits the kind of source, ``rng`` draws what is done to this one; ``room`` is size and damping; delays
    repeat in time with ``bpm``. Taught in ``book/band-and-studio.md``."""
    # Noise at -180 dB: in true silence every filter would come to rest among denormal numbers, which are slow.
    noise = np.float32(1e-9) * np.random.default_rng(0).standard_normal(SAMPLE_RATE, np.float32)
    audio = audio * np.float32(10 ** (LEVEL / 20) / sounding_level(audio)) + np.resize(noise, len(audio))
    driven, high_pass = rng.random() < channel.driven, rng.uniform(*channel.high_pass)
    if driven:
        audio = amplified(audio, rng.uniform(*channel.drive), channel.cabinet, rng)
    middle = float(np.exp(rng.uniform(np.log(300), np.log(4000))))
    board = pb.Pedalboard(
        [
            pb.HighpassFilter(high_pass),
            pb.LowShelfFilter(rng.uniform(80, 300), 3 * float(rng.standard_normal())),
            pb.PeakFilter(middle, 3 * float(rng.standard_normal()), rng.uniform(0.5, 1.5)),
            pb.HighShelfFilter(rng.uniform(1500, 5000), channel.treble + 3 * float(rng.standard_normal())),
            pb.Compressor(rng.uniform(-26, -14), rng.uniform(*channel.ratio), rng.uniform(2, 25), rng.uniform(60, 250)),
        ]
    )
    if rng.random() < channel.chorus:
        rate, depth, centre = rng.uniform(0.3, 1.5), rng.uniform(0.1, 0.3), rng.uniform(6, 9)
        board.append(pb.Chorus(rate, depth, centre, feedback=0.0, mix=rng.uniform(0.25, 0.5)))
    if rng.random() < channel.delay:
        beats = float(rng.choice([0.5, 0.75, 1.0]))
        board.append(pb.Delay(60 / bpm * beats, feedback=rng.uniform(0.1, 0.35), mix=rng.uniform(0.08, 0.22)))
    wet = rng.uniform(*channel.room)
    if wet > 0.02:
        board.append(pb.Reverb(*room, wet_level=wet, dry_level=1 - 0.5 * wet))
    audio = board(audio, SAMPLE_RATE)
    # Tape: what stands out by more than 11 dB is rounded off, so no single stroke decides how loud the song may be.
    knee = HEADROOM * sounding_level(audio)
    high = np.flatnonzero(np.abs(audio) > knee)
    audio[high] = np.sign(audio[high]) * knee * (1.6 - 0.6 * np.exp(1 - np.abs(audio[high]) / knee))
    return audio


def sounding_level(audio: np.ndarray) -> float:
    """Root mean square, linear, over the blocks of 50 ms within 30 dB of the loudest."""
    size = min(SAMPLE_RATE // 20, len(audio))
    blocks = np.asarray(audio)[: len(audio) // size * size].reshape(-1, size)
    power = np.einsum("bn,bn->b", blocks, blocks) / size
    return float(np.sqrt(power[power >= 1e-3 * power.max()].mean()))


def amplified(audio: np.ndarray, drive: float, cabinet: bool, rng: np.random.Generator) -> np.ndarray:
    """``drive`` dB into a soft clipper, at a higher rate; a guitar's goes on through a loudspeaker without treble."""
    loud = soxr.resample(audio, SAMPLE_RATE, OVERSAMPLING * SAMPLE_RATE)
    loud = pb.Distortion(drive)(loud, OVERSAMPLING * SAMPLE_RATE)
    audio = soxr.resample(loud, OVERSAMPLING * SAMPLE_RATE, SAMPLE_RATE)[: len(audio)]
    if not cabinet:
        return audio
    edge, presence = rng.uniform(3200, 4800), rng.uniform(1800, 2800)
    speaker = pb.Pedalboard([pb.LowpassFilter(edge), pb.LowpassFilter(edge), pb.PeakFilter(presence, 4.0, 0.8)])
    return speaker(audio, SAMPLE_RATE)


def bleed(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A source in the neighbour's microphone: 3 to 10 ms later (1 to 3.5 m), without the top and the bottom."""
    from scipy.signal import butter, sosfilt  # here, not above: reading a corpus needs no second of imports

    late = round(rng.uniform(0.003, 0.01) * SAMPLE_RATE)
    band = butter(1, [rng.uniform(100, 300), rng.uniform(1500, 4000)], "band", fs=SAMPLE_RATE, output="sos")
    return sosfilt(band, np.concatenate([np.zeros(late, audio.dtype), audio[: len(audio) - late]]))


def hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    """A preamplifier's noise, (length,), with a root mean square of 1."""
    noise = np.diff(rng.standard_normal(length + 1, np.float32)) + 0.1 * rng.standard_normal(length, np.float32)
    return noise / np.sqrt(np.mean(noise**2))


def hum(length: int, rng: np.random.Generator) -> np.ndarray:
    """The mains in a pickup, (length,), with a root mean square of about 1: 50 or 60 Hz and its overtones."""
    mains, t = float(rng.choice([50.0, 60.0])), np.arange(SAMPLE_RATE // 10) / SAMPLE_RATE  # whole periods of both
    parts = [np.sin(2 * np.pi * (k * mains * t + rng.random())) * rng.uniform(0.3, 1.0) / k for k in (1, 2, 3, 5, 7)]
    return np.resize(sum(parts), length)
