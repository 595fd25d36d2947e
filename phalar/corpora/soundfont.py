"""Reading a SoundFont: which recording sounds for which key, at which pitch, with which envelope.

A SoundFont 2 file holds short recordings (*samples*) and *zones*: for these keys and velocities play this sample, loop,
tune and shape it so. A zone's settings are its *generators* (SoundFont 2.04, section 8.1.2); an instrument's are
absolute, a preset's are added. The *overriding root key* (58) is easy to miss: without it TimGM6mb's violin is ten
semitones sharp. The font is read from the installed pretty_midi package, and no part of it is copied anywhere.
"""

import struct
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from phalar.corpora.styles import inside
from phalar.errors import InputError

# The tables of the format; fields that nobody reads are lumped together.
POSITIONS = [(field, "<u4") for field in ("start", "end", "loop_start", "loop_end", "rate")]
SAMPLE_HEADER = np.dtype([("name", "S20"), *POSITIONS, ("root", "u1"), ("correction", "i1"), ("other", "S4")])
PRESET_HEADER = np.dtype([("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("other", "S12")])
INSTRUMENT_HEADER = np.dtype([("name", "S20"), ("bag", "<u2")])
BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
GENERATOR = np.dtype([("operator", "<u2"), ("amount", "<i2")])

# Generators by their numbers, SoundFont 2.04 section 8.1.2. Offsets come in samples and in blocks of 32,768 samples.
OFFSETS = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}
MODULATION_ENVELOPE, VOLUME_ENVELOPE = range(25, 31), range(33, 39)
INSTRUMENT, KEYS, VELOCITIES, COARSE_TUNE, FINE_TUNE = 41, 43, 44, 51, 52
SAMPLE, LOOP_MODE, EXCLUSIVE_CLASS, OVERRIDING_ROOT = 53, 54, 57, 58
NOT_ADDED = {KEYS, VELOCITIES, SAMPLE, LOOP_MODE, EXCLUSIVE_CLASS, OVERRIDING_ROOT, INSTRUMENT}
FULL_RANGE = 127 << 8
# Fields of a zone that are a generator's value: its number, what it is if not given, and the unit. In practice players
# take 0.04 dB for a unit of attenuation, as the EMU8000 did.
PLAIN = {"cents_per_key": (56, 100, 1), "gain": (48, 0, -0.04), "cutoff": (8, 13500, 1), "resonance": (9, 0, 0.1)}
PLAIN |= {"modulation_to_pitch": (7, 0, 1), "modulation_to_cutoff": (11, 0, 1)}

LOOPED = 4096  # samples for which a loop, however short, is written out: few are the times a player has to go back
MARGIN = 1024  # samples that go on behind the end of a recording, so that a player may read on before going back


Envelope = tuple[float, float, float, float, float, float]
"""Delay, attack, hold and decay in seconds; how far it falls, in decibels (volume) or as a share of the peak, 0 to 1
(modulation); and release in seconds."""


@dataclass(frozen=True, eq=False)
class Recording:
    """What a zone plays: ``samples`` (N,), float32, are a zero, the recording with its loop written out several times,
    and a little more; ``end`` is where to go back, or to stop; ``turn`` how far to go back: whole loops, 0 if none."""

    samples: np.ndarray
    end: int
    turn: int


@dataclass(frozen=True)
class Zone:
    """One recording and how to play it."""

    keys: tuple[int, int]  # inclusive
    velocities: tuple[int, int]  # inclusive
    start: int  # of the waveform and of its loop, in samples
    end: int
    loop_start: int
    loop_end: int
    looped: bool
    rate: int
    root: int  # MIDI key
    cents: float
    cents_per_key: float
    gain: float  # dB
    cutoff: float  # of a low-pass filter, absolute cents, 0 = 8.176 Hz
    resonance: float  # dB
    volume: Envelope
    modulation: Envelope
    modulation_to_pitch: float  # cents, at its peak
    modulation_to_cutoff: float
    exclusive: int  # the class whose next note ends this one; 0: none

    def distance(self, key: int) -> int:
        """Semitones from the nearest key this zone covers."""
        return max(self.keys[0] - key, key - self.keys[1], 0)


@cache
def installed() -> "SoundFont":
    """The SoundFont inside the installed pretty_midi package, opened; 6 MB and a second to read, so once a process. A
    `RunError` if it is not there."""
    return SoundFont(inside("pretty_midi==0.2.11", "TimGM6mb.sf2"))


class SoundFont:
    """An uncompressed SoundFont 2 file (``.sf2``), opened for playing; an `InputError` if it is none. ``waveforms``
    (samples,), float32 in [-1, 1), are all its recordings, end to end. Taught in ``book/corpora.md``."""

    def __init__(self, path: Path):
        data = Path(path).read_bytes()
        if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
            raise InputError(f"{path} is not a SoundFont 2 file: it begins with {data[:12]!r}")
        self._chunks = {}
        for _, start, size in _chunks(data, 12, len(data)):  # the lists INFO, sdta and pdta
            for name, first, length in _chunks(data, start + 4, start + size):
                self._chunks[name] = data[first : first + length]
        self.waveforms = np.frombuffer(self._chunks[b"smpl"], "<i2").astype(np.float32) / 32768
        self._found: dict[tuple[int, ...], list[Zone]] = {}
        self._recordings: dict[tuple[int, ...], Recording] = {}

    def zones(self, program: int, key: int, velocity: int = 100, bank: int = 0) -> list[Zone]:
        """The zones that sound together for one key; a key in a hole between two zones gets the nearest one (the alto
        saxophone has such a hole at E4). An `InputError` if the font has no such preset."""
        asked = bank, program, key, velocity
        if asked not in self._found:
            preset = self._presets.get((bank, program))
            if not preset:
                raise InputError(f"the SoundFont has no preset for program {program} in bank {bank}")
            right = [z for z in preset if z.velocities[0] <= velocity <= z.velocities[1]] or preset
            nearest = min(z.distance(key) for z in right)
            chosen = [z for z in right if z.distance(key) == nearest]
            self._found[asked] = chosen if nearest == 0 else chosen[:1]
        return self._found[asked]

    def recording(self, zone: Zone) -> Recording:
        """The recording of a zone, ready to be played; the same object each time."""
        place = zone.start, zone.end, zone.loop_start, zone.loop_end, zone.looped
        if place not in self._recordings:
            length, nothing = zone.loop_end - zone.loop_start, np.zeros(MARGIN, np.float32)
            if not zone.looped or length < 2:
                plain = self.waveforms[zone.start : zone.end]
                made = Recording(np.concatenate([nothing[:1], plain, nothing]), len(plain), 0)
            else:
                head, turn = self.waveforms[zone.start : zone.loop_start], -(-LOOPED // length) * length
                loop = np.resize(self.waveforms[zone.loop_start : zone.loop_end], turn + MARGIN)
                made = Recording(np.concatenate([nothing[:1], head, loop]), 1 + len(head) + turn, turn)
            self._recordings[place] = made
        return self._recordings[place]

    @cached_property
    def _presets(self) -> dict[tuple[int, int], list[Zone]]:
        """The zones of every preset, by bank and program."""
        inside = self._generators(b"inst", INSTRUMENT_HEADER, b"ibag", b"igen", SAMPLE)
        instruments = [zones for _, zones in inside]
        found = {}
        for header, parts in self._generators(b"phdr", PRESET_HEADER, b"pbag", b"pgen", INSTRUMENT):
            zones = [self._zone(own, part) for part in parts for own in instruments[part[INSTRUMENT]]]
            found[int(header["bank"]), int(header["program"])] = [zone for zone in zones if zone is not None]
        return found

    def _generators(self, headers: bytes, kind: np.dtype, bags: bytes, generators: bytes, last: int) -> list:
        """For each instrument or preset its header, and the generators of each zone that ends, as it must, in ``last``;
        those of its global zone, the first if it does not, are filled in."""
        headers = np.frombuffer(self._chunks[headers], kind)
        starts = np.frombuffer(self._chunks[bags], BAG)["generator"]
        table = np.frombuffer(self._chunks[generators], GENERATOR)
        rows = [dict(table[a:b].tolist()) for a, b in pairwise(starts)]
        result = []
        for header, (begin, end) in zip(headers[:-1], pairwise(headers["bag"]), strict=True):
            shared = rows[begin] if begin < end and last not in rows[begin] else {}
            result.append((header, [shared | part for part in rows[begin:end] if last in part]))
        return result

    def _zone(self, own: dict[int, int], preset: dict[int, int]) -> Zone | None:
        """What an instrument's generators and a preset's make together; None where they share no key or velocity."""
        header = np.frombuffer(self._chunks[b"shdr"], SAMPLE_HEADER)[own[SAMPLE]]

        def value(generator: int, default: float = 0) -> float:
            return own.get(generator, default) + (preset.get(generator, 0) if generator not in NOT_ADDED else 0)

        def overlap(generator: int) -> tuple[int, int]:
            ranges = [g.get(generator, FULL_RANGE) & 0xFFFF for g in (own, preset)]
            return max(r & 0xFF for r in ranges), min(r >> 8 for r in ranges)

        def envelope(generators: range, sustain: float) -> Envelope:
            fall = generators[4]
            return tuple(sustain * value(g) if g == fall else 2.0 ** (value(g, -12000) / 1200) for g in generators)

        keys, velocities = overlap(KEYS), overlap(VELOCITIES)
        if keys[0] > keys[1] or velocities[0] > velocities[1]:
            return None
        root = own.get(OVERRIDING_ROOT, -1)
        return Zone(
            keys=keys,
            velocities=velocities,
            **{field: int(header[field]) + value(a) + 32768 * value(b) for field, (a, b) in OFFSETS.items()},
            looped=own.get(LOOP_MODE, 0) % 4 in (1, 3),
            rate=int(header["rate"]),
            root=root if 0 <= root <= 127 else int(header["root"]),
            cents=100 * value(COARSE_TUNE) + value(FINE_TUNE) + float(header["correction"]),
            **{field: unit * value(generator, default) for field, (generator, default, unit) in PLAIN.items()},
            volume=envelope(VOLUME_ENVELOPE, 0.1),
            modulation=envelope(MODULATION_ENVELOPE, 0.001),
            exclusive=own.get(EXCLUSIVE_CLASS, 0),
        )


def _chunks(data: bytes, start: int, end: int):
    """The RIFF chunks between two offsets: (name, first byte of the content, length of the content)."""
    while start + 8 <= end:
        name, size = struct.unpack_from("<4sI", data, start)
        yield name, start + 8, size
        start += 8 + size + size % 2
