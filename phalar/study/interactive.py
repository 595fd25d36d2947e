"""Two pieces of the page that move: a stem that can be dragged in time, and dials that turn by themselves.

Everything they show is computed when the book is made and lies inside the HTML: numbers as JSON, sound as OGG in
base64. They need no kernel, no network and no server, and work from a file. The templates are in `pages/`.
"""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from phalar.evaluate import rotation
from phalar.evaluate.rotation import KINDS, Excerpt, Trace, strongest
from phalar.model.frontend import SAMPLE_RATE

PAGES = Path(__file__).with_name("pages")
DIGITS = 5  # kept of a feature's parts, relative to its largest modulus
COLUMNS = 240  # of the drawn wave, for the length of an excerpt


def piece_data(excerpt: Excerpt, shifts: np.ndarray, seen: Trace, scores: np.ndarray) -> dict:
    """What the interactive piece shows: numbers, names and sound, of a stem (its ``seen`` trace) and its score with the
    mix at each of some shifts (J,) in samples."""
    seconds = shifts / SAMPLE_RATE
    pooled, embedding = seen.pooled.numpy(), seen.embedding.numpy()
    of_pooled = rotation.motion(pooled, seconds, excerpt.length)
    of_embedding = rotation.motion(embedding, seconds, excerpt.length)
    dials = [
        _dial(f"component {k + 1}", pooled[:, d, k], of_pooled, (d, k)) for k, d in enumerate(strongest(pooled))
    ] + [_dial(f"feature {f + 1}", embedding[:, f], of_embedding, (f,)) for f in _examples(of_embedding)]
    furthest = int(shifts.max())
    line = excerpt.track.excerpt(excerpt.start - furthest, excerpt.length + furthest)[excerpt.stem]
    mix = excerpt.mix()
    gain = 0.9 / max(np.abs(mix).max() + np.abs(line).max(), 1e-9)
    column = excerpt.length // COLUMNS
    return {
        "title": str(excerpt.track.tags.get("title", excerpt.track.id)),
        "stem": excerpt.track.stems[excerpt.stem],
        "seconds": _rounded(seconds),
        "beats": _rounded(np.interp(seconds, excerpt.late, np.arange(len(excerpt.late)))),
        "grid": _rounded(excerpt.late),
        "bar": excerpt.bar,
        "length": excerpt.length / SAMPLE_RATE,
        "scores": _rounded(scores),
        "dials": dials,
        "waves": {"mix": _envelope(mix * gain, column), "stem": _envelope(line * gain, column)},
        "sound": {"mix": _ogg(mix * gain), "stem": _ogg(line * gain)},
    }


def clocks_data(wave: np.ndarray, pooled: np.ndarray) -> dict:
    """What the animation shows: a loop (N,) that moves once round, and the strongest feature of each component of what
    was pooled at J shifts, evenly once round: (J, D, C) complex."""
    closed = np.concatenate([pooled, pooled[:1]])
    dials = [
        {"label": f"component {k + 1}", "turns": round(float(rotation.winding(closed[:, d, k])), 2)}
        | _hand(pooled[:, d, k])
        for k, d in enumerate(strongest(pooled))
    ]
    return {"seconds": len(wave) / SAMPLE_RATE, "wave": _envelope(wave, len(wave) // COLUMNS), "dials": dials}


def fragment(name: str, data: dict) -> str:
    """HTML of the piece ``"piece"`` or ``"clocks"`` with its data, to be shown by ``IPython.display.HTML``."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    return page.replace("/*DIALS*/", (PAGES / "dials.js").read_text(encoding="utf-8")).replace("/*DATA*/", text)


def _examples(motion: dict[str, np.ndarray]) -> list[int]:
    """One feature of each kind, where there is one: the steadiest rotation, the narrowest arc, the widest wandering."""
    ranking = {"rotates": motion["best"], "magnitude-only": -motion["arc"], "wanders": motion["arc"] - motion["best"]}
    found = []
    for number, kind in enumerate(KINDS):
        members = np.flatnonzero(motion["kind"] == number)
        if len(members):
            found.append(int(members[ranking[kind][members].argmax()]))
    return found


def _dial(label: str, z: np.ndarray, motion: dict[str, np.ndarray], place: tuple) -> dict:
    return {
        "label": label,
        "kind": KINDS[int(motion["kind"][place])],
        "turns": round(float(motion["winding"][place]), 2),
        "r2": round(float(motion["best"][place]), 3),
    } | _hand(z)


def _hand(z: np.ndarray) -> dict:
    """A trajectory in units of its largest modulus, which stands beside it."""
    scale = max(float(np.abs(z).max()), 1e-12)
    return {"scale": scale, "re": _rounded(z.real / scale), "im": _rounded(z.imag / scale)}


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _envelope(wave: np.ndarray, column: int) -> list[float]:
    count = len(wave) // column
    return [round(float(v), 3) for v in np.abs(wave[: count * column]).reshape(count, column).max(axis=1)]


def _ogg(wave: np.ndarray) -> str:
    buffer = io.BytesIO()
    soundfile.write(buffer, wave.astype(np.float32), SAMPLE_RATE, format="OGG", subtype="VORBIS")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
