"""A process that turns listed tracks into stored ones for :mod:`phalar.datasets.prepare`.

Started as ``python -m phalar.datasets.prepare_worker STORE``: reads a track a line as JSON on standard input, answers
each with one line. A process of its own, so that a file which crashes its decoder costs one track; a plain program for
the reasons that :mod:`phalar.corpora.worker` gives.
"""

import json
import sys
from pathlib import Path

import numpy as np

from phalar.datasets.files import enough_stems, keep_stems, read_stem, too_few, with_headers
from phalar.datasets.headers import DamagedFile, Header
from phalar.datasets.sources import Problem, SourceStem, SourceTrack
from phalar.datasets.store import FULL_SCALE, write_track


def main(folder: str) -> None:
    """Convert tracks until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints must not be taken for an answer
    for line in sys.stdin:
        answers.write(json.dumps(_answer(Path(folder), json.loads(line))) + "\n")
        answers.flush()


def encode(track: SourceTrack, headers: dict[Path, Header], source: str) -> str:
    """A track, the headers of its files and the digest of both, as one line."""
    stems = [[stem.name, [[str(file), *headers[file]] for file in stem.files]] for stem in track.stems]
    fields = {"split": track.split, "tags": dict(track.tags), "beats": track.beats, "chords": track.chords}
    return json.dumps({"id": track.id, **fields, "stems": stems, "source": source})


def _answer(folder: Path, request: dict) -> dict:
    headers = {Path(file): Header(*header) for _, files in request["stems"] for file, *header in files}
    track = SourceTrack(
        request["id"],
        request["split"],
        tuple(SourceStem(name, tuple(Path(file) for file, *_ in files)) for name, files in request["stems"]),
        request["tags"],
        request["beats"],
        request["chords"],
    )
    try:
        problems = _store(folder, track, headers, request["source"])
    except OSError as error:  # the disk is full or gone: the next track would fare no better
        return {"id": track.id, "problems": [], "fatal": f"{type(error).__name__}: {error}"}
    except Exception as error:  # whatever is the matter with this track, others follow
        where = track.stems[0].files[0].parent
        problems = [Problem(where, f"track {track.id} left out: {type(error).__name__}: {error}")]
    return {"id": track.id, "problems": [[str(p.path), p.what, p.fatal] for p in problems]}


def _store(folder: Path, track: SourceTrack, headers: dict[Path, Header], source: str) -> list[Problem]:
    usable, audio, scale, damage = convert(track, headers)
    problems = [Problem(each.path, each.what) for each in damage]
    if usable is None:
        return [*problems, too_few(track, len(track.stems) - len(damage))]
    made = {
        "source": source,
        "scale": scale,
        "silent": [i for i, stem in enumerate(audio) if not stem.any()],
        "left_out": [[problem.path.name, problem.what] for problem in problems],
    }
    write_track(
        folder,
        track.id,
        audio,
        split=track.split,
        stems=[stem.name for stem in usable.stems],
        tags={**usable.tags, "prepared": made},
        beats=track.beats,
        chords=track.chords,
    )
    return problems


def convert(
    track: SourceTrack, headers: dict[Path, Header]
) -> tuple[SourceTrack | None, np.ndarray | None, float, list[DamagedFile]]:
    """A track's audio as it is stored.

    A 16-bit mono file at 16 kHz comes out bit for bit. What sums, or rings in the resampling filter, beyond full scale
    would wrap around: then all stems of the track are scaled by the same constant, so that they still sum to the mix.

    Parameters
    ----------
    track : SourceTrack
    headers : dict of Path to Header
        Of all its files.

    Returns
    -------
    track : SourceTrack or None
        With the stems that could be decoded; None if too few could.
    audio : np.ndarray, (S, samples), int16, or None
        As long as the shortest of these.
    scale : float
        1, or by how much the track was scaled down.
    damage : list of DamagedFile
        For each stem left out the file to blame.
    """
    kept, damage, scale = track, [], 1.0
    while enough_stems(len(kept.stems), track):
        source = with_headers(kept.stems, headers)
        audio = np.empty((len(kept.stems), source.num_samples), np.int16)
        peak, good = 0.0, []
        for i, stem in enumerate(source.stems):
            try:
                sound = read_stem(stem, 0, source.num_samples)
            except DamagedFile as error:
                damage.append(error)
                continue
            good.append(i)
            peak = max(peak, float(sound.max()), -float(sound.min()))
            sound *= scale * FULL_SCALE
            np.rint(sound, out=sound)
            audio[i] = np.clip(sound, -FULL_SCALE, FULL_SCALE - 1, out=sound)
        if len(good) < len(kept.stems):  # without these the track may be longer
            kept, scale = keep_stems(kept, good), 1.0
        elif scale == 1.0 and peak > 1:  # rare, so decoded again rather than all kept in memory as floats
            scale = 1 / peak
        else:
            return kept, audio, scale, damage
    return None, None, 1.0, damage


if __name__ == "__main__":
    main(*sys.argv[1:])
