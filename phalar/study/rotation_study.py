"""The rotation study: what features do over many excerpts, found or measured; the records; what the pages are fed with.

`phalar.evaluate.rotation` measures. Here the measures are kept, excerpt by excerpt, under the hash of what determines
them, so that an interrupted notebook goes on where it was. Book notebook *Phasors one can see and hear*.
"""

import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
from tqdm import tqdm

from phalar import corpora, fingerprint, memory, paths
from phalar.datasets.tracks import Track
from phalar.errors import InputError
from phalar.evaluate import rotation
from phalar.evaluate.rotation import Excerpt, Motion, Moved, measure
from phalar.evaluate.statistics import paired_difference
from phalar.matching import resolve_model
from phalar.model import checkpoints
from phalar.model.frontend import HOP, SAMPLE_RATE
from phalar.model.stem_model import StemModel
from phalar.study.portrait import spread
from phalar.study.results import Record, mean_record, provenance

SECONDS = 5.0  # as in the retrieval test
LOOP_STEPS = 20  # 6.4 s: the shortest round loop that spectral pooling does not pad
FINE = 8  # shifts a step where trajectories are drawn
FEWEST = 4  # excerpts of an instrument that are worth an interval
LEVELS = ("pooled", "embedding")


def excerpts_of(names: Sequence[str], count: int, limit: int = 0, progress: bool = True) -> list[Excerpt]:
    """So many excerpts of the corpora's test splits, as evenly from each as they have them; ``limit`` is the number of
    tracks taken of each at most, 0 for all."""
    if count < 1 or not names:
        raise InputError(f"excerpts={count} of corpora {list(names)}: give at least one of each")
    found: list[Excerpt] = []
    for i, name in enumerate(names):
        wanted = (count - len(found)) // (len(names) - i)
        tracks = corpora.load(name, "test", limit=limit or None, progress=progress)
        found += rotation.choose_all(tracks, max(1, wanted), SECONDS)
    return found


def showcase(excerpts: Sequence[Excerpt]) -> Excerpt:
    """The excerpt to look at closely: in four if there is one, and with two bars nearest to 4 s."""
    return min(excerpts, key=lambda excerpt: (excerpt.bar != 4, abs(excerpt.late[-1] - 4)))


def spread_in_four(excerpts: Sequence[Excerpt], count: int) -> list[Excerpt]:
    """So many excerpts, evenly spaced; those with four beats in a bar if there are enough of them."""
    in_four = [excerpt for excerpt in excerpts if excerpt.bar == 4]
    chosen = in_four if len(in_four) >= count else list(excerpts)
    return spread(chosen, count)


def find_or_measure(model: StemModel, excerpts: Sequence[Excerpt], label: str, progress: bool = True) -> list[Moved]:
    """`measure` for each excerpt; what was measured before is read."""
    memory.keep_freed()
    code = fingerprint.of_code("model", "evaluate/rotation")
    folder = paths.cache() / "rotation" / fingerprint.fingerprint([weights(model), code])
    found = []
    for excerpt in tqdm(excerpts, desc=f"turn {label}", unit="excerpt", disable=not progress, mininterval=2.0):
        track = excerpt.track
        name = fingerprint.fingerprint([corpora.version(track.dataset), track.id, excerpt.stem, excerpt.start])
        path = folder / f"{name}.npz"
        if not path.is_file():
            _write(path, measure(model, excerpt))
        found.append(_read(path))
    return found


def weights(model: StemModel) -> str:
    """A short name for a model's weights and its row of the registry."""
    digest = hashlib.sha256(model.variant.name.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def _write(path: Path, moved: Moved) -> None:
    arrays = {
        f"{level}-{field.name}": np.asarray(getattr(getattr(moved, level), field.name))
        for level in LEVELS
        for field in fields(Motion)
    }
    compact = {name: a.astype(np.int8 if a.dtype.kind == "i" else np.float32) for name, a in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, whole=moved.whole, all=moved.all, chance=moved.chance, **compact)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    os.replace(temporary, path)


def _read(path: Path) -> Moved:
    with np.load(path, allow_pickle=False) as file:
        motions = [Motion(**{f.name: file[f"{level}-{f.name}"] for f in fields(Motion)}) for level in LEVELS]
        return Moved(*motions, *(float(file[name]) for name in ("whole", "all", "chance")))


def share(moved: Sequence[Moved], level: str, kind: str) -> np.ndarray:
    """Each excerpt's share of features of a kind, (excerpts,)."""
    index = rotation.KINDS.index(kind)
    return np.array([(getattr(one, level).kind == index).mean() for one in moved])


def share_by_component(moved: Sequence[Moved]) -> np.ndarray:
    """Each excerpt's share of rotating pooled features, component by component: (excerpts, C)."""
    return np.stack([(one.pooled.kind == 0).mean(axis=0) for one in moved])


def measures(moved: Sequence[Moved]) -> dict[str, np.ndarray]:
    """Every number of the statistics table, one value an excerpt: name of the metric to (excerpts,)."""
    table = {}
    for level in LEVELS:
        for kind in rotation.KINDS:
            table[f"{kind} share, {level}"] = share(moved, level, kind)
        motions = [getattr(one, level) for one in moved]
        at_own = [((m.kind == 0) & (m.alias == 0)).mean() for m in motions]
        table[f"rotates at its own frequency share, {level}"] = np.array(at_own)
        table[f"turns, {level}"] = np.array([np.abs(m.winding).mean() for m in motions])
        table[f"arc, {level}"] = np.array([m.arc.mean() for m in motions])
        table[f"radius spread, {level}"] = np.array([m.spread.mean() for m in motions])
        table[f"uniform R2, {level}"] = np.array([m.best.mean() for m in motions])
        table[f"uniform R2 at own frequency, {level}"] = np.array([m.own.mean() for m in motions])
    table["rotates share, pooled, shifts shuffled"] = np.array([one.chance for one in moved])
    table["linearity R2, whole steps"] = np.array([one.whole for one in moved])
    table["linearity R2, all shifts"] = np.array([one.all for one in moved])
    return table


def records(
    by_model: Mapping[str, Sequence[Moved]], excerpts: Sequence[Excerpt], config_hash: str, device: str
) -> list[Record]:
    """Means over excerpts with 95 % intervals, of each model; of "trained" less "untrained"; by component; by
    instrument.

    Parameters
    ----------
    by_model : mapping of "trained" and "untrained" to their results on the same excerpts
    """
    about = {
        "experiment": "rotation",
        "dataset": "+".join(dict.fromkeys(e.track.dataset for e in excerpts)),
        "config_hash": config_hash,
        **provenance(device),
    }
    found = []

    def add(variant: str, metric: str, values: np.ndarray, split: str = "test") -> None:
        found.append(mean_record(values, variant=variant, metric=metric, split=split, **about))

    instruments = np.array([e.instrument for e in excerpts])
    for label, moved in by_model.items():
        for metric, values in measures(moved).items():
            add(label, metric, values)
        for k, values in enumerate(share_by_component(moved).T, start=1):
            add(label, f"rotates share, component {k}", values)
        for name in sorted(set(instruments)):
            if (instruments == name).sum() >= FEWEST:
                add(label, "rotates share, pooled", share(moved, "pooled", "rotates")[instruments == name], name)
    trained, untrained = (measures(by_model[label]) for label in ("trained", "untrained"))
    for metric, values in trained.items():
        value, low, high = paired_difference(values, untrained[metric])
        ends = {"value": value, "ci_low": low, "ci_high": high, "n": len(values)}
        found.append(Record(variant="trained - untrained", metric=metric, split="test", **ends, **about))
    return found


def steps_of(source: str) -> int | None:
    """Training steps behind a checkpoint or the weights that ship; None where nothing is there or it does not say."""
    try:
        return checkpoints.notes(source).get("steps")
    except InputError:
        return None


def records_by_steps(
    by_steps: Mapping[int, Sequence[Moved]], excerpts: Sequence[Excerpt], config_hash: str, device: str
) -> list[Record]:
    """Shares of rotating features after so many training steps, with 95 % intervals over excerpts."""
    found = []
    for steps, moved in sorted(by_steps.items()):
        for level in LEVELS:
            found.append(
                mean_record(
                    share(moved, level, "rotates"),
                    experiment="rotation by training step",
                    dataset="+".join(dict.fromkeys(e.track.dataset for e in excerpts)),
                    split="test",
                    variant=f"{steps} steps",
                    steps=steps,
                    metric=f"rotates share, {level}",
                    config_hash=config_hash,
                    **provenance(device),
                )
            )
    return found


def find_models(names: Sequence[str]) -> tuple[dict[str, StemModel], dict[str, str]]:
    """Models to compare, by label, and for each that cannot be used, why.

    Parameters
    ----------
    names : sequence of str
        ``LABEL=MODEL``, where MODEL is a checkpoint's path, ``"reference"`` or a variant's name (untrained).
    """
    found, absent = {}, {}
    for entry in names:
        label, separator, source = entry.partition("=")
        if not separator:
            raise InputError(f"compared: {entry!r} is not LABEL=MODEL, such as gap=runs/gap/best.safetensors")
        try:
            found[label] = resolve_model(source)
        except InputError as error:
            absent[label] = str(error)
    return found, absent


def strongest(pooled: np.ndarray) -> np.ndarray:
    """For each component the projection that is largest on the average: (J, D, C) to (C,) indices."""
    return np.abs(pooled).mean(axis=0).argmax(axis=0)


def turning_power(pooled: np.ndarray, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """How fast each component turns while a loop is delayed once round.

    Parameters
    ----------
    pooled : array (J, D, C) complex
        At J shifts, evenly once round.
    seconds : float
        Length of the loop.

    Returns
    -------
    (array (J,), array (C, J))
        Turns a second of delay, ascending, positive as the shift theorem says; and each component's power at each,
        over all projections, as shares that add up to one.
    """
    power = (np.abs(np.fft.ifft(pooled, axis=0)) ** 2).sum(axis=1)  # ifft: a delay turns by exp(-2 pi i ...)
    order = np.argsort(np.fft.fftfreq(len(pooled)))
    return np.fft.fftfreq(len(pooled), seconds / len(pooled))[order], (power / power.sum(axis=0)).T[:, order]


def by_alias(frequency: np.ndarray, power: np.ndarray, seconds: float) -> dict[int, float]:
    """What `turning_power` gives, summed over components, by alias n: the share that turns k + n T times a loop of T
    steps. n = 0 is what the shift theorem says; other n are faster turns that whole steps cannot tell from it."""
    turns, k = np.round(frequency * seconds).astype(int), np.arange(1, len(power) + 1)[:, None]
    return {n: float(power[turns == k + n * LOOP_STEPS].sum() / power.sum()) for n in range(-2, 3)}


def looped(track: Track, start: int, stem: int) -> np.ndarray:
    """The stem of an excerpt as a loop of 6.4 s, which is a whole number of steps: (102400,) float32.

    Its ends are joined over 20 ms, so that the seam is no click.
    """
    length, seam = rotation.loop_length(LOOP_STEPS), round(0.02 * SAMPLE_RATE)
    wave = track.excerpt(start, length + seam)[stem]
    fade = np.linspace(0, 1, seam, dtype=np.float32)
    head = fade * wave[:seam] + (1 - fade) * wave[length:]
    return np.concatenate([head, wave[seam:length]])


def heard_once(loops: np.ndarray) -> np.ndarray:
    """Loops as clips that give as many frames as the loop has: a clip has one frame more than hops."""
    return loops[:, : loops.shape[1] - HOP]
