"""What an engineer does to one recorded source: equaliser, compressor, amplifier, chorus, delay, room; and what the
studio does to it unasked: noise, hum, and the neighbour's sound in its microphone.

Every treatment belongs to one source, and nothing is done to the sum: the stems of a song still add up to its mix.
Effects are those of the pedalboard library.
"""

from dataclasses import dataclass

import numpy as np
import pedalboard as pb
import soxr
from scipy.signal import butter, sosfilt

from phalar.corpora.synth.waves import SAMPLE_RATE

LEVEL = -18.0
"""dB full scale (root mean square while it sounds) of a source before its effects, so that thresholds mean the same."""

HEADROOM = 3.5
"""Peaks above so many times the level are rounded off."""

OVERSAMPLING = 2
"""Of distortion, whose overtones would otherwise come back down from half the sample rate."""


@dataclass(frozen=True)
class Room:
    """One song's room, which its sources share in different amounts: size and damping, 0 to 1."""

    size: float
    damping: float


def draw_room(rng: np.random.Generator) -> Room:
    """From a booth to a hall, most of them small."""
    return Room(size=float(rng.beta(1.6, 2.6)), damping=rng.uniform(0.2, 0.8))


@dataclass(frozen=True)
class Taste:
    """How often, and how much, a kind of source is treated; amounts lie between two numbers.

    ``high_pass`` Hz; ``drive`` dB into an amplifier, with its chance; ``chorus``, ``phaser``, ``delay``: chances;
    ``room``: wet level; ``ratio`` of the compressor; ``cabinet``: whether drive goes through a loudspeaker.
    """

    high_pass: tuple[float, float] = (30, 90)
    drive: tuple[float, float] = (0, 0)
    driven: float = 0.0
    cabinet: bool = False
    chorus: float = 0.0
    phaser: float = 0.0
    delay: float = 0.0
    room: tuple[float, float] = (0.0, 0.15)
    ratio: tuple[float, float] = (1.5, 4.0)


TASTES = {
    "vocals": Taste((80, 140), (2, 8), 0.2, delay=0.4, room=(0.05, 0.3), ratio=(2.5, 6)),
    "drums": Taste((25, 40), (3, 9), 0.3, room=(0.0, 0.15), ratio=(2, 5)),
    "percussion": Taste((80, 200), room=(0.02, 0.2)),
    "bass": Taste((25, 40), (3, 12), 0.5, chorus=0.1, room=(0.0, 0.02), ratio=(3, 6)),
    "guitar": Taste((70, 120), (3, 10), 0.2, chorus=0.3, phaser=0.08, delay=0.25, room=(0.02, 0.2)),
    "piano": Taste((40, 90), chorus=0.15, phaser=0.05, room=(0.02, 0.25)),
    "other_keys": Taste((40, 120), (2, 10), 0.2, chorus=0.35, phaser=0.1, delay=0.3, room=(0.03, 0.3)),
    "bowed_strings": Taste((50, 150), room=(0.1, 0.35), ratio=(1.3, 2.5)),
    "wind": Taste((60, 150), delay=0.2, room=(0.05, 0.3), ratio=(1.5, 3)),
    "other_plucked": Taste((60, 140), chorus=0.1, delay=0.15, room=(0.03, 0.25)),
    "other": Taste((60, 200), phaser=0.3, delay=0.4, room=(0.1, 0.4)),
}
"""By MoisesDB's stem names."""

DISTORTED = Taste((70, 110), (18, 32), 1.0, cabinet=True, delay=0.2, room=(0.0, 0.15), ratio=(1.5, 3))
"""A guitar whose sound is its amplifier's."""


def treat(audio: np.ndarray, taste: Taste, room: Room, bpm: float, rng: np.random.Generator) -> np.ndarray:
    """One source, as it comes out of its channel.

    Parameters
    ----------
    audio : np.ndarray, (samples,), float32
        At 16 kHz; not silent.
    taste : Taste
        What suits the kind of source; what is done to this one is drawn from ``rng``.
    room : Room
    bpm : float
        Delays repeat in time with the music.
    rng : np.random.Generator

    Returns
    -------
    np.ndarray, (samples,), float32
        At no particular level. Taught in ``book/corpora.md``.
    """
    audio = (audio * 10 ** (LEVEL / 20) / sounding_level(audio)).astype(np.float32) + _breath(len(audio))
    driven, high_pass = rng.random() < taste.driven, rng.uniform(*taste.high_pass)
    if driven:
        audio = _amplifier(audio, rng.uniform(*taste.drive), taste.cabinet, rng)
    board = pb.Pedalboard([pb.HighpassFilter(high_pass), *_equaliser(rng)])
    board.append(
        pb.Compressor(
            threshold_db=rng.uniform(-26, -14),
            ratio=rng.uniform(*taste.ratio),
            attack_ms=rng.uniform(2, 25),
            release_ms=rng.uniform(60, 250),
        )
    )
    if rng.random() < taste.chorus:
        board.append(
            pb.Chorus(rng.uniform(0.3, 1.5), rng.uniform(0.1, 0.3), rng.uniform(6, 9), 0.0, rng.uniform(0.25, 0.5))
        )
    if rng.random() < taste.phaser:
        board.append(
            pb.Phaser(rng.uniform(0.2, 0.8), 0.5, rng.uniform(500, 1500), rng.uniform(0, 0.3), rng.uniform(0.3, 0.5))
        )
    if rng.random() < taste.delay:
        beats = float(rng.choice([0.5, 0.75, 1.0]))
        board.append(pb.Delay(60 / bpm * beats, rng.uniform(0.1, 0.35), rng.uniform(0.08, 0.22)))
    wet = rng.uniform(*taste.room)
    if wet > 0.02:
        board.append(pb.Reverb(room.size, room.damping, wet_level=wet, dry_level=1 - 0.5 * wet))
    return _tape(board(audio, SAMPLE_RATE))


def _breath(length: int) -> np.ndarray:
    """Noise at -180 dB full scale, (length,), float32. In true silence every filter and echo would come to rest among
    the smallest numbers there are, on which processors take several times as long."""
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE, np.float32)
    return np.resize(np.float32(1e-9) * noise, length)


def _tape(audio: np.ndarray) -> np.ndarray:
    """Round off what stands out by more than 11 dB, so that no single stroke decides how loud the whole song may be."""
    knee = HEADROOM * sounding_level(audio)
    high = np.flatnonzero(np.abs(audio) > knee)
    over = np.abs(audio[high]) / knee - 1
    audio[high] = np.sign(audio[high]) * knee * (1 + 0.6 * (1 - np.exp(-over)))
    return audio


def sounding_level(audio: np.ndarray) -> float:
    """Root mean square, linear, over the blocks of 50 ms within 30 dB of the loudest."""
    size = min(SAMPLE_RATE // 20, len(audio))
    blocks = np.asarray(audio)[: len(audio) // size * size].reshape(-1, size)
    power = np.einsum("bn,bn->b", blocks, blocks) / size
    return float(np.sqrt(np.mean(power[power > 1e-3 * power.max()], dtype=np.float64)))


def _equaliser(rng: np.random.Generator) -> list[pb.Plugin]:
    """Three broad bands, each by a few decibels."""
    middle = float(np.exp(rng.uniform(np.log(300), np.log(4000))))
    return [
        pb.LowShelfFilter(rng.uniform(80, 300), 3 * float(rng.standard_normal())),
        pb.PeakFilter(middle, 3 * float(rng.standard_normal()), rng.uniform(0.5, 1.5)),
        pb.HighShelfFilter(rng.uniform(3000, 6000), 3 * float(rng.standard_normal())),
    ]


def _amplifier(audio: np.ndarray, drive: float, cabinet: bool, rng: np.random.Generator) -> np.ndarray:
    """Drive into a soft clipper, at a higher rate; a guitar's goes on through a loudspeaker that has no treble."""
    loud = soxr.resample(audio, SAMPLE_RATE, OVERSAMPLING * SAMPLE_RATE)
    loud = pb.Pedalboard([pb.Distortion(drive)])(loud, OVERSAMPLING * SAMPLE_RATE)
    audio = soxr.resample(loud, OVERSAMPLING * SAMPLE_RATE, SAMPLE_RATE)[: len(audio)]
    if not cabinet:
        return audio
    edge = rng.uniform(3200, 4800)
    speaker = pb.Pedalboard(
        [pb.LowpassFilter(edge), pb.LowpassFilter(edge), pb.PeakFilter(rng.uniform(1800, 2800), 4.0, 0.8)]
    )
    return speaker(audio, SAMPLE_RATE)


def bleed(audio: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What the neighbour's microphone hears of a source: later, and without the top and the bottom.

    3 to 10 ms are one to three and a half metres.
    """
    late = round(rng.uniform(0.003, 0.01) * SAMPLE_RATE)
    heard = np.concatenate([np.zeros(late, audio.dtype), audio[: len(audio) - late]])
    band = butter(1, [rng.uniform(100, 300), rng.uniform(1500, 4000)], "band", fs=SAMPLE_RATE, output="sos")
    return sosfilt(band, heard)


def hiss(length: int, rng: np.random.Generator) -> np.ndarray:
    """A preamplifier's noise, (length,), with a root mean square of 1."""
    noise = rng.standard_normal(length, np.float32)
    noise[1:] -= 0.92 * noise[:-1].copy()  # less of the bottom
    return noise / np.sqrt(np.mean(noise**2))


def hum(length: int, rng: np.random.Generator) -> np.ndarray:
    """The mains in a pickup, (length,), with a root mean square of about 1: 50 or 60 Hz and its overtones."""
    mains, t = float(rng.choice([50.0, 60.0])), np.arange(SAMPLE_RATE // 10) / SAMPLE_RATE  # whole periods of both
    parts = [
        np.sin(2 * np.pi * (k * mains * t + rng.random())) * rng.uniform(0.3, 1.0) / k**0.7 / (1 + (k % 2 == 0))
        for k in (1, 2, 3, 5, 7)
    ]
    return np.resize(sum(parts), length)
