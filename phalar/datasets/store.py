"""Audio on disk, made once and read in place: 16 kHz mono stems, one file a track, nothing half-written.

A store is a folder::

    tracks/ID.npy     int16, (S, samples): read by memory map, so that an excerpt costs what it reads
    tracks/ID.json    the track's record: split, stems, tags, ..., and the size and checksum of ID.npy
    index.json        all records in one file, written last, so that opening a store is one read

A track is whole if its record exists and names the size that the audio file has. The audio is put in place before the
record, both under temporary names first, so whoever is killed at whatever moment leaves whole tracks and nothing else.
"""

import hashlib
import io
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import cpu_count
from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from phalar import paths
from phalar.audio import SAMPLE_RATE
from phalar.datasets.tracks import SPLITS, Track, sounding
from phalar.errors import InputError, RunError

FORMAT = 2  # version of the folder's layout
FULL_SCALE = 32768  # the integer that stands for 1.0 in stored audio
# In each process: they share the processors already, and glibc shall keep what arrays free, as `fused.keep_freed` says.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
ONE_THREAD |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}


@dataclass(frozen=True)
class StoredAudio:
    """The stems of one track in a store: a ``.npy`` file, int16, of this shape."""

    path: Path
    shape: tuple[int, int]

    def read(self, start: int, stop: int) -> np.ndarray:
        """As :meth:`phalar.datasets.tracks.Audio.read`; only the samples asked for are read from the disk."""
        try:
            stored = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if stored.shape != self.shape or stored.dtype != np.int16:
                raise ValueError(f"{stored.dtype} {stored.shape} where int16 {self.shape} belongs")
        except (OSError, ValueError, EOFError) as error:
            again = f"delete that file and make the data set {self.path.parent.parent} again (what is whole is kept)"
            raise RunError(f"the stored audio {self.path} cannot be read ({error}): {again}") from error
        return np.divide(stored[:, start:stop], np.float32(FULL_SCALE), dtype=np.float32)


def write_track(
    folder: Path,
    track_id: str,
    audio: np.ndarray,
    *,
    split: str,
    stems: Iterable[str],
    tags: dict | None = None,
    beats: np.ndarray | None = None,
    chords: Iterable[tuple[float, float, str]] | None = None,
    notes: Iterable[np.ndarray] | None = None,
    pitched: Iterable[bool] | None = None,
) -> dict:
    """Put one track into a store: it is there as a whole when this returns its record, and not at all before. ``audio``
    is (S, samples) int16 at the store's rate, full scale at 32768; ``track_id`` names a file: letters, digits and ``. _
    -`` only; the rest is as in :class:`phalar.datasets.tracks.Track`, tags plain JSON. Else it is an InputError."""
    stems, pitched = list(stems), None if pitched is None else [bool(each) for each in pitched]
    fits = audio.dtype == np.int16 and audio.ndim == 2 and audio.shape[0] == len(stems) and audio.size
    if not (fits and split in SPLITS and re.fullmatch(r"[\w-][\w.-]*", track_id)):
        what = f"track {track_id!r}, split {split!r}, {len(stems)} stems: {audio.dtype} {audio.shape}"
        raise InputError(f"{what} cannot be stored; audio is int16 (stems, samples), an id letters, digits and . _ -")
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(audio), allow_pickle=False)
    data = buffer.getbuffer()
    made = {
        "id": track_id,
        "split": split,
        "stems": stems,
        "num_samples": audio.shape[1],
        "tags": tags or {},
        "file": f"tracks/{track_id}.npy",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "beats": None if beats is None else np.asarray(beats).round(4).tolist(),
        "chords": None if chords is None else [list(chord) for chord in chords],
        "notes": None if notes is None else [np.asarray(stem).round(4).tolist() for stem in notes],
        "sounding": [spans.tolist() for spans in sounding(audio)],
        "pitched": pitched,
    }
    text, file = json.dumps(made), folder / f"tracks/{track_id}.json"
    if record(folder, track_id) == json.loads(text):
        return made  # another process was quicker: not whole for a moment would be worse than nothing
    file.unlink(missing_ok=True)  # from here on the track is not whole, and says so
    for path, content in ((folder / made["file"], data), (file, text.encode())):
        with paths.replacing(path) as temporary:
            temporary.write_bytes(content)
    return made


def incomplete(folder: Path, track_ids: Iterable[str]) -> list[str]:
    """Which of these tracks are not there, or not whole: no record, or audio of another size than it names."""
    return [track_id for track_id in track_ids if record(folder, track_id) is None]


def write_index(folder: Path, dataset: str, sample_rate: int = SAMPLE_RATE, ids: Iterable[str] | None = None) -> None:
    """Gather the records of all whole tracks, or of those ``ids``, into ``index.json``; ``sample_rate`` in Hz."""
    ids = [path.stem for path in (folder / "tracks").glob("*.json")] if ids is None else ids
    records = [made for track_id in sorted(ids) if (made := record(folder, track_id)) is not None]
    index = {"format": FORMAT, "dataset": dataset, "sample_rate": sample_rate, "tracks": records}
    with paths.replacing(folder / "index.json") as temporary:
        temporary.write_text(json.dumps(index))


def open_store(folder: Path, track_ids: Iterable[str] | None = None) -> list[Track]:
    """The tracks of a store, in order of their ids; all if none are named. A RunError if the index is missing, damaged
    or of another version, or lacks one of ``track_ids``, or audio has another size. Book page *The corpora*."""
    path = folder / "index.json"
    try:
        index = json.loads(path.read_bytes())
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']}, where this version reads {FORMAT}")
        records = {record["id"]: record for record in index["tracks"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is missing, damaged or of another version ({error}): make the set again") from error
    wanted = sorted(records if track_ids is None else set(track_ids))
    if absent := [track_id for track_id in wanted if track_id not in records]:
        raise RunError(f"{folder} has no track {absent[0]} ({len(absent)} missing in all): make the data set again")
    return [_track(folder, index, records[track_id]) for track_id in wanted]


def _track(folder: Path, index: dict, record: dict) -> Track:
    path = folder / record["file"]
    if (size := path.stat().st_size if path.is_file() else 0) != record["bytes"]:
        what = f"{size} bytes where the index says {record['bytes']}: it is missing or cut short"
        raise RunError(f"{path} has {what}; make the data set {index['dataset']} again (what is whole is kept)")

    def each(name: str, make: Callable) -> object:
        return None if record.get(name) is None else make(record[name])  # a store may be older

    return Track(
        **{name: record[name] for name in ("id", "split", "num_samples", "tags")},
        **{name: index[name] for name in ("dataset", "sample_rate")},
        stems=tuple(record["stems"]),
        audio=StoredAudio(path, (len(record["stems"]), record["num_samples"])),
        beats=each("beats", lambda beats: np.array(beats).reshape(-1, 2)),
        chords=each("chords", lambda chords: tuple(map(tuple, chords))),
        notes=each("notes", lambda notes: tuple(np.array(stem).reshape(-1, 3) for stem in notes)),
        sounding=each("sounding", lambda stems: tuple(np.array(spans, np.int64).reshape(-1, 2) for spans in stems)),
        pitched=each("pitched", tuple),
    )


def record(folder: Path, track_id: str) -> dict | None:
    """A whole track's record, or None."""
    try:
        made = json.loads((folder / f"tracks/{track_id}.json").read_bytes())
        return made if (folder / made["file"]).stat().st_size == made["bytes"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def sweep(folder: Path, older_than: float = 3600) -> None:
    """Remove what killed writers left behind: temporary files untouched for ``older_than`` seconds."""
    for path in folder.rglob(".[0-9]*"):
        with suppress(FileNotFoundError):  # another process swept it, or finished it
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


def in_processes(
    function: Callable[[object], object], items: Sequence, jobs: int | None = None
) -> Iterator[tuple[object, object]]:
    """Call a function for every item, in several processes (``jobs``; one for each processor if not given). Yields
    (item, result) as they are done; where the function raised, the exception stands for its result. A process that dies
    (its decoder crashed, the memory ran out) costs the one item it had in hand, for which a RunError stands. When the
    caller is interrupted or stops asking, the processes are ended at once, wherever they are: what they write must
    allow for it. An InputError if ``jobs`` is below 1."""
    jobs = cpu_count() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"jobs={jobs}: at least one process is needed")
    waiting, workers = dict(enumerate(items)), jobs
    while waiting:
        pool, tasks, died = ProcessPoolExecutor(min(workers, len(waiting)), env=ONE_THREAD), {}, None
        # Ctrl-C is for this process alone: the others are started with the signal blocked.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        with suppress(BrokenProcessPool):  # already: those submitted will tell
            for number, item in waiting.items():
                tasks[pool.submit(_call, function, item, os.getpid())] = number
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        try:
            for task in as_completed(tasks):
                if isinstance(task.exception(), BrokenProcessPool):
                    died = task.exception()
                    break
                yield waiting.pop(tasks[task]), task.exception() or task.result()
        finally:
            for process in list(pool._processes) if waiting and not died else []:
                with suppress(ProcessLookupError):  # loky 3.6's own way trips over tasks that no process has taken yet
                    os.kill(process, signal.SIGKILL)
            pool.shutdown(wait=True)
        if died and workers == 1:  # items are taken in order, so it was the first
            yield waiting.pop(min(waiting)), RunError("its process died: its decoder crashed, or the memory ran out")
        workers = 1 if died and workers > 1 else jobs  # one at a time, until it is known which it was


def _call(function: Callable, item: object, caller: int) -> object:
    if os.getppid() != caller:
        os._exit(0)  # nobody is left to want the result
    return function(item)
