"""Synthetic copies of the real data sets: their folders, names and metadata at any size, with tiny but real audio.

Every function makes the folder, fills it and returns it. ``sound`` says what the audio files hold.
"""

import csv
import io
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import soundfile

from phalar.datasets.listing import published

CHORALE_IDS = {"train": (1, 48_000), "valid": (192_001, 6_000), "test": (216_001, 6_000)}
"""First id of a split of CocoChorales, and how many ids each of its four ensembles has there."""

CHORALE_PLAYERS = {
    "string": ("violin", "violin", "viola", "cello"),
    "brass": ("trumpet", "horn", "trombone", "tuba"),
    "woodwind": ("flute", "oboe", "clarinet", "bassoon"),
    "random": ("saxophone", "viola", "horn", "double bass"),
}

SONG = {"bass": ("bass_guitar",), "drums": ("kick_drum", "snare_drum", "hi_hat"), "vocals": ("lead_male_singer",)}
"""Sources in each stem folder of a MoisesDB song."""


@dataclass(frozen=True)
class Sound:
    """What an audio file holds: quiet noise. ``extension``: anything that soundfile writes."""

    extension: str = "wav"
    rate: int = 16_000
    channels: int = 1
    seconds: float = 0.05

    def write(self, folder: Path, name: str, number: int = 0) -> Path:
        """``folder/name.extension``; eight different sounds take turns by ``number``."""
        path = folder / f"{name}.{self.extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_encoded(self, number % 8))
        return path


@cache
def _encoded(sound: Sound, number: int) -> bytes:
    length = round(sound.rate * sound.seconds)
    noise = np.random.default_rng(number).uniform(-0.05, 0.05, (length, sound.channels))
    buffer = io.BytesIO()
    soundfile.write(buffer, noise, sound.rate, format={"aif": "aiff"}.get(sound.extension, sound.extension))
    return buffer.getvalue()


def slakh_table(path: Path) -> list[tuple[str, str, list[str], list[str]]]:
    """Rows for :func:`slakh` from the fixtures' ``redux_stem_index.csv``: all 2,100 tracks as redux lays them out."""
    with path.open(newline="") as file:
        rows = [*csv.DictReader(file)]
    return [(r["track"], r["redux_split"], r["audio_stems"].split(), r["midi_only_stems"].split()) for r in rows]


SLAKH = (
    ("Track00001", "train", ("S00", "S01", "S03"), ()),
    ("Track00002", "train", ("S01", "S02", "S03"), ("S00",)),
    ("Track00049", "omitted", ("S00", "S01"), ()),
    ("Track01501", "validation", ("S00", "S01", "S02"), ()),
    ("Track01877", "test", ("S00", "S01", "S02"), ("S05",)),
)


def slakh(folder: Path, table: Iterable[tuple] = SLAKH, sound: Sound = Sound(extension="flac")) -> Path:
    """Slakh2100: rows are track, split folder (None for none, as in BabySlakh), stems with audio, stems without."""
    families = (("Guitar", "Distortion Guitar"), ("Drums", "Drums"), ("Bass", "Bass"), ("Strings (continued)", "Choir"))
    for number, (track, split, stems, midi_only) in enumerate(table):
        place = folder / (split or "") / track
        sound.write(place, "mix")
        lines = ["UUID: 0a1b", "audio_dir: stems", "normalization_factor: -13.0", "stems:"]
        for index, stem in enumerate(sorted({*stems, *midi_only})):
            if rendered := stem in stems:
                sound.write(place / "stems", stem, number + index)
            family, program = families[index % 4]
            lines += [f"  {stem}:", f"    audio_rendered: {str(rendered).lower()}", f"    inst_class: {family}"]
            lines += [f"    is_drum: {str(family == 'Drums').lower()}", f"    midi_program_name: {program}"]
        (place / "metadata.yaml").write_text("\n".join([*lines, "target_peak: -1.0", ""]))
    return folder


def moisesdb_ids(count: int = 240) -> list[str]:
    """The first songs of MoisesDB in order; beyond the published eight digits their ids are made up."""
    return [f"{song}-0000-4000-8000-000000000000" for song in list(published("moisesdb"))[:count]]


def moisesdb(
    folder: Path,
    songs: Iterable[str] | Mapping[str, str] = tuple(moisesdb_ids(3)),
    stems: Mapping[str, Iterable[str]] = SONG,
    sound: Sound = Sound(rate=44_100, channels=2),
) -> Path:
    """MoisesDB: ``songs`` are ids (all in one folder), or a mapping from ids to the split folders they are in."""
    for song in songs:
        place = folder / (songs[song] if isinstance(songs, Mapping) else "") / song
        described = []
        for stem, kinds in stems.items():
            sources = []
            for kind in kinds:
                source = str(uuid.UUID(bytes=blake2b(f"{song}/{stem}/{kind}".encode(), digest_size=16).digest()))
                sound.write(place / stem, source, len(sources) + len(described))
                sources.append({"id": source, "trackType": kind, "extension": sound.extension})
            described.append({"stemName": stem, "tracks": sources})
        about = {"song": f"Song {song[:4]}", "artist": "Nobody", "genre": "rock", "stems": described}
        (place / "data.json").write_text(json.dumps(about))
    return folder


def cocochorales(
    folder: Path,
    per_ensemble: Mapping[str, int] = {"train": 2, "valid": 1, "test": 1},
    sound: Sound = Sound(),
) -> Path:
    """CocoChorales: so many tracks of each ensemble in each split; the tiny subset has 6000, 2000 and 2000."""
    for split, count in per_ensemble.items():
        first, step = CHORALE_IDS[split]
        for block, (ensemble, players) in enumerate(CHORALE_PLAYERS.items()):
            for number in range(count):
                place = folder / "main_dataset" / split / f"{ensemble}_track{first + block * step + number:06d}"
                for voice, player in enumerate(players):
                    sound.write(place / "stems_audio", f"{voice + 1}_{player}", voice + number)
                sound.write(place, "mix")
    return folder


MUSDB = {
    "train": ("Actions - Devil's Words", "ANiMAL - Rockshow", "Triviul feat. The Fiend - Widow"),
    "test": ("M.E.R.C. Music - Knockout", "PR - Oh No"),
}


def musdb18hq(
    folder: Path, names: Mapping[str, Iterable[str]] = MUSDB, sound: Sound = Sound(rate=44_100, channels=2)
) -> Path:
    """MUSDB18-HQ: songs by name in each split folder."""
    parts = ("mixture", "drums", "bass", "other", "vocals")
    return multitracks(folder, [f"{split}/{song}" for split, songs in names.items() for song in songs], parts, sound)


def multitracks(
    folder: Path,
    names: Iterable[str] = ("one", "two"),
    stems: Iterable[str] = ("bass", "drums", "keys"),
    sound: Sound = Sound(),
) -> Path:
    """Any folder of multitracks: one subfolder a track, one file a stem. A name may hold a split: ``"train/one"``."""
    for name in names:
        for number, stem in enumerate(stems):
            sound.write(folder / name, stem, number)
    return folder
