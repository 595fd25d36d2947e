"""Zero-shot beats as results: what each tracker scores on which pieces, found in the cache or measured now.

What takes time is kept: a model's embeddings of shifted metronomes and of each piece's windows, and the beats that
other people's trackers found, each under the hash of weights or tracker, sound, and code. So a decoder can be changed
and tried on all pieces in seconds. Book page *Beats*.
"""

import io
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from phalar import corpora, fingerprint, memory, paths
from phalar.datasets.catalogue import dataset
from phalar.datasets.files import open_listing
from phalar.datasets.tracks import Track
from phalar.errors import InputError, PhalarWarning
from phalar.evaluate.beat_map import BeatMap, PhaseScores, compare, published_map
from phalar.evaluate.beat_windows import (
    FRAME,
    Ruler,
    encode_windows,
    picture_of,
    rotated_ruler,
    scattered_starts,
    sliding_ruler,
    windows,
)
from phalar.evaluate.beats import BEST, Summary, above, as_map, decode, published_beats, summarise
from phalar.evaluate.trackers import TRACKERS, Tracker, beat_scores
from phalar.matching import resolve_model
from phalar.model.assembly import build
from phalar.model.stem_model import StemModel
from phalar.study.results import Record, provenance

CODE = ("model", "evaluate/beat_windows.py", "evaluate/metronomes.py")
"""What embeddings depend on besides weights and sound. Maps and decoders are computed anew each time."""

METRICS = ("f1", "f1_trimmed", "cmlc", "cmlt", "amlc", "amlt")


@dataclass(frozen=True)
class Listener:
    """A model that listens for beats, and what it has heard so far in the cache.

    Attributes
    ----------
    model : StemModel
        In eval mode.
    """

    model: StemModel

    @cached_property
    def weights(self) -> str:
        """Hash of the variant and all its weights."""
        digest = sha256(self.model.variant.name.encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(name.encode())
            digest.update(torch.view_as_real(tensor).cpu().numpy() if tensor.is_complex() else tensor.cpu().numpy())
        return digest.hexdigest()[:12]

    @cached_property
    def ruler(self) -> Ruler:
        """Metronomes at all shifts, embedded once."""
        return self._ruler("sliding", sliding_ruler)

    @cached_property
    def rotated(self) -> Ruler:
        """One metronome a tempo, its shifts by the shift theorem."""
        return self._ruler("rotated", rotated_ruler)

    def phases(self, track: Track, ruler: Ruler | None = None) -> PhaseScores | None:
        """A piece's similarity to a ruler (the sliding one, if not given); None where there is nothing to hear."""
        kept = _kept(self._name("windows", track), lambda: self._windows(track))
        if not len(kept["starts"]):
            return None
        piece = torch.from_numpy(kept["embeddings"]).to(self.model.device)
        return compare(self.model, piece, kept["starts"], float(kept["duration"]), ruler or self.ruler)

    def beats(self, track: Track, decoder: str = BEST, ruler: Ruler | None = None) -> np.ndarray:
        """Seconds of the beats that a decoder finds, (beats,)."""
        return decode(self.phases(track, ruler), decoder)

    def beat_map(self, track: Track, decoder: str = BEST) -> BeatMap | None:
        """The map that a decoder reads."""
        phases = self.phases(track)
        return None if phases is None else as_map(phases, decoder)

    def published_map(self, track: Track, hop: int = 2) -> BeatMap | None:
        """The map of the published way, a window every ``hop`` frames of 10 ms: more than a thousand for 30 s."""

        def make() -> dict[str, np.ndarray]:
            made = published_map(self.model, _mix(track), track.sample_rate, hop=hop)
            empty = np.empty((0, 0), np.float32)
            return (
                {"values": empty, "tempi": np.empty(0), "step": np.array(hop * FRAME)}
                if made is None
                else {"values": made.values.astype(np.float32), "tempi": made.tempi, "step": np.array(made.step)}
            )

        kept = _kept(self._name(f"map{hop}", track), make)
        if not kept["values"].size:
            return None
        return BeatMap(kept["values"].astype(np.float64), kept["tempi"], float(kept["step"]))

    def published_beats(self, track: Track, hop: int = 2) -> np.ndarray:
        """Seconds of the beats that the published decoding finds in the map of the published way."""
        beat_map = self.published_map(track, hop)
        return np.empty(0) if beat_map is None else published_beats(beat_map)

    def _windows(self, track: Track) -> dict[str, np.ndarray]:
        picture = picture_of(self.model, _mix(track), track.sample_rate)
        if picture is None:
            return {"embeddings": np.empty((0, 0)), "starts": np.empty(0, int), "duration": np.array(track.duration)}
        starts = scattered_starts(picture.shape[-1])
        embedded = encode_windows(self.model, windows(picture, starts)).cpu().numpy()
        return {"embeddings": embedded, "starts": starts, "duration": np.array((picture.shape[-1] - 1) * FRAME)}

    def _ruler(self, name: str, make: Callable[[StemModel], Ruler]) -> Ruler:
        def made() -> dict[str, np.ndarray]:
            ruler = make(self.model)
            return {"tempi": ruler.tempi, "shifts": ruler.shifts, "embeddings": ruler.embeddings.cpu().numpy()}

        kept = _kept(self._name(name), made)
        return Ruler(kept["tempi"], kept["shifts"], torch.from_numpy(kept["embeddings"]).to(self.model.device))

    def _name(self, what: str, track: Track | None = None) -> str:
        sound = "" if track is None else _sound(track)
        return f"{what}-{fingerprint.fingerprint([self.weights, sound, fingerprint.of_code(*CODE)])}"


@dataclass(frozen=True)
class Heard:
    """What one tracker found in the pieces of a data set.

    variant : str
        Its name in records: ``"phalar"`` (or another variant) with our decoder, ``"phalar published"`` with the
        published one, ``"untrained"``, ``"librosa"``, ``"madmom"``, ``"beat this"``.
    beats : dict of track id to np.ndarray, (beats,)
    scores : dict of track id to dict
        :func:`phalar.evaluate.trackers.beat_scores`.
    seconds : float
        That it took in this process; next to nothing where all was kept.
    """

    variant: str
    beats: dict[str, np.ndarray] = field(repr=False)
    scores: dict[str, dict[str, float]] = field(repr=False)
    seconds: float

    def among(self, tracks: Sequence[Track]) -> list[dict[str, float]]:
        """Scores of these tracks, in their order."""
        return [self.scores[track.id] for track in tracks]


def listener(model: str | os.PathLike | StemModel, device: torch.device | str = "cpu") -> Listener:
    """A listener for a model's name (:func:`phalar.matching.resolve_model`)."""
    memory.keep_freed()
    return Listener(resolve_model(model).to(device))


def untrained(model: StemModel) -> Listener:
    """The floor: the same variant with the fresh weights of seed 0."""
    if model.variant.backbone == "mert":
        raise InputError(f"variant {model.variant.name!r} hears no picture of 10 ms frames; beats need one that does")
    return Listener(build(model.variant, seed=0).eval().to(model.device))


def hear(variant: str, tracks: Sequence[Track], find: Callable[[Track], np.ndarray], progress: bool = True) -> Heard:
    """Let a tracker (a function of a track) find the beats of tracks that have some, and score it."""
    started, beats, scores = time.monotonic(), {}, {}
    for track in tqdm(tracks, desc=f"beats by {variant}", unit="piece", disable=not progress, mininterval=2.0):
        beats[track.id] = find(track)
        scores[track.id] = beat_scores(track.beats[:, 0], beats[track.id])
    return Heard(variant, beats, scores, time.monotonic() - started)


def hear_others(
    tracks: Sequence[Track], others: Mapping[str, Tracker] = TRACKERS, progress: bool = True
) -> list[Heard]:
    """What other people's trackers find, kept in the cache by tracker and sound."""

    def finder(name: str, tracker: Tracker) -> Callable[[Track], np.ndarray]:
        code = fingerprint.of_code("evaluate/trackers.py", "evaluate/madmom_bridge.py")

        def find(track: Track) -> np.ndarray:
            kept = f"beats-{fingerprint.fingerprint([name, _sound(track), code])}"
            return _kept(kept, lambda: {"beats": tracker(_mix(track), track.sample_rate)})["beats"]

        return find

    return [hear(name, tracks, finder(name, tracker), progress) for name, tracker in others.items()]


def halves(limit: int = 0, progress: bool = True) -> dict[str, list[Track]]:
    """The pieces of `beats`, ``"straight"`` and ``"expressive"``.

    ``limit`` of each at most, 0 for all: genres take turns, and so do the two ways to sound.
    """
    if limit < 0:
        raise InputError(f"limit={limit}: give the number of pieces of each half, or 0 for all")
    casts = corpora.beats.castings()
    chosen = {}
    for half in ("straight", "expressive"):
        genres: dict[str, list[str]] = {}
        for name, cast in casts.items():
            if cast.feel == half:
                genres.setdefault(cast.genre, []).append(name)
        # Within a genre the ways to sound alternate: every other genre begins with the second.
        rounds = max(len(names) for names in genres.values())
        turns = [
            names[(turn + place) % len(names)]
            for turn in range(rounds)
            for place, names in enumerate(genres.values())
            if turn < len(names)
        ]
        chosen[half] = turns[: limit or None]
    # A corpus is limited from its beginning: to the last piece that was chosen.
    last = max(list(casts).index(name) for names in chosen.values() for name in names)
    tracks = {track.id: track for track in corpora.load("beats", "test", limit=last + 1, progress=progress)}
    return {half: [tracks[name] for name in names] for half, names in chosen.items()}


def gtzan(root: Path | str, annotations: Path | str) -> list[Track]:
    """The clips of a copy of GTZAN that have beats, read from their own files; a PhalarWarning names those left out.

    Raises
    ------
    InputError
        If there are no clips or no annotations where they were said to be.
    """
    root = Path(root)
    listing = dataset("gtzan").list(root, annotations=Path(annotations))
    tracks, problems = open_listing(root, listing)
    usable = [track for track in tracks if track.beats is not None]
    left = [track.id for track in tracks if track.beats is None]
    left += [problem.path.name for problem in problems if problem.fatal]
    if left:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        warnings.warn(f"{len(usable)} clips are scored; left out for want of sound or beats: {shown}", PhalarWarning, 2)
    if not usable:
        raise InputError(f"no clip under {root} has beats under {annotations}; name the folders that belong together")
    return usable


def spread_over(tracks: Sequence[Track], limit: int) -> list[Track]:
    """At most ``limit`` tracks (0: all), genres in turn, always the same ones."""
    if not limit or limit >= len(tracks):
        return list(tracks)
    genres: dict[str, list[Track]] = {}
    for track in tracks:
        genres.setdefault(track.tags.get("genre", ""), []).append(track)
    turns = sorted((place, genre) for genre, found in genres.items() for place in range(len(found)))
    return [genres[genre][place] for place, genre in turns[:limit]]


def records(
    heard: Heard,
    parts: Mapping[str, Sequence[Track]],
    floor: Heard | None = None,
    by_genre: bool = True,
    device: str = "cpu",
    config_hash: str = "",
) -> list[Record]:
    """A tracker's scores as records.

    Parameters
    ----------
    heard : Heard
    parts : mapping of split to tracks
        Such as ``{"straight": ..., "expressive": ..., "test": ...}``; tracks of one data set.
    floor : Heard, optional
        Then how far F1 lies above its, on the same tracks, is recorded too (``f1_minus_untrained``).
    by_genre : bool
        Whether F1 of each genre is recorded too, as the experiment ``"beats by genre"`` with splits such as
        ``"straight, blues"``.
    """
    made = []
    for split, tracks in parts.items():
        about = {"dataset": tracks[0].dataset, "variant": heard.variant, "config_hash": config_hash}
        about |= {"wall_seconds": heard.seconds, **provenance(device)}
        scores = heard.among(tracks)
        made += [_record("beats", split, name, each, about) for name, each in summarise(scores).items()]
        if floor is not None:
            difference = above(scores, floor.among(tracks))
            made.append(_record("beats", split, "f1_minus_untrained", difference, about))
        for genre in sorted({track.tags.get("genre", "") for track in tracks} - {""}) if by_genre else ():
            chosen = heard.among([track for track in tracks if track.tags.get("genre") == genre])
            made.append(_record("beats by genre", f"{split}, {genre}", "f1", summarise(chosen)["f1"], about))
    return made


def evaluate_beats(
    model: str | os.PathLike,
    corpus: str | None = None,
    gtzan_root: Path | str | None = None,
    annotations: Path | str | None = None,
    limit: int = 0,
    device: str = "cpu",
    progress: bool = True,
) -> list[Record]:
    """What ``phalar evaluate beats`` does: a model with our decoder on the corpus `beats`, or on a copy of GTZAN.

    Parameters
    ----------
    model : str or path
        As of :func:`phalar.matching.resolve_model`.
    corpus : str, optional
        ``"beats"``. Records are of its straight half, its expressive half, and all (split ``"test"``).
    gtzan_root, annotations : path, optional
        Instead of ``corpus``: the clips, and the folder of their beats. The split is ``"test"``.
    limit : int
        Pieces (of each half of the corpus) at most, 0 for all.
    device : str
        Of torch.

    Raises
    ------
    InputError
        If not exactly one of corpus and GTZAN is named, or anything named is not there.
    """
    if (corpus is None) == (gtzan_root is None):
        raise InputError("beats: name either the corpus (--corpus beats) or a copy of GTZAN (--gtzan ROOT)")
    if limit < 0:
        raise InputError(f"limit={limit}: give a number of pieces, or 0 for all")
    if corpus is not None:
        if corpus != "beats":
            raise InputError(f"corpus {corpus!r} is not one to track beats on: choose 'beats', or a copy of GTZAN")
        chosen = resolve_model(model)
        parts = halves(limit, progress)
        parts = {**parts, "test": [track for tracks in parts.values() for track in tracks]}
    else:
        if annotations is None:
            raise InputError(f"GTZAN at {gtzan_root}: name the folder of its beats, too (--annotations DIR)")
        chosen = resolve_model(model)
        parts = {"test": spread_over(gtzan(gtzan_root, annotations), limit)}
    ears = Listener(chosen.to(device))
    heard = hear(chosen.variant.name, parts["test"], ears.beats, progress)
    identity = fingerprint.fingerprint([ears.weights, BEST, limit, fingerprint.of_code("model", "evaluate")])
    return records(heard, parts, device=device, config_hash=identity)


def report(found: Sequence[Record]) -> str:
    """Records of one run as lines for people."""
    lines = []
    for record in found:
        if record.experiment == "beats":
            interval = f"[{100 * record.ci_low:.1f}, {100 * record.ci_high:.1f}]"
            lines.append(
                f"{record.split:>10s} {record.metric:10s} {100 * record.value:5.1f} %  {interval}  n = {record.n}"
            )
    return "\n".join([*lines, "95 % intervals over pieces; f1 within 70 ms on all beats, the others after 5 s"])


def _record(experiment: str, split: str, metric: str, summary: Summary, about: Mapping[str, object]) -> Record:
    return Record(
        experiment=experiment,
        split=split,
        metric=metric,
        value=summary.value,
        ci_low=summary.low,
        ci_high=summary.high,
        n=summary.tracks,
        **about,
    )


def _mix(track: Track) -> np.ndarray:
    return track.excerpt().sum(axis=0)


def _sound(track: Track) -> str:
    """Hash of what is heard: a cache must not take one copy's clip for another's."""
    return sha256(np.ascontiguousarray(_mix(track))).hexdigest()[:16] + f"@{track.sample_rate}"


def _kept(name: str, make: Callable[[], dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Arrays by name, from the cache or made now and kept there."""
    path = paths.cache() / "beats" / f"{name}.npz"
    if path.is_file():
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **made)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)
    return made
