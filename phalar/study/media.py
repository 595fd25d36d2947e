"""Sound and moving pieces on pages: files that a notebook saves and its output plays, since sound inside a page weighs
it down, and interactive pieces (templates in `pages/`), which hold all their numbers and need no kernel or network.
"""

import base64
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import soundfile
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from phalar.audio import SAMPLE_RATE, mono_16k
from phalar.errors import InputError
from phalar.model.frontend import LogCQT
from phalar.paths import replacing

# A file that is played or shown: not an address of another site, and no data inside the page.
_SOURCE = re.compile(r"""(<(?:audio|source|img|video)\b[^>]*?\bsrc=["'])(?![a-z][a-z0-9+.-]*:|//|#)([^"']+)""", re.I)
PAGES = Path(__file__).with_name("pages")
_LISTEN = '<div class="for">Listen for: {}</div>'


def save_audio(path: Path | str, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write mono (N,) or stereo (2, N) float audio as OGG Vorbis, whole or not at all, scaled down to a peak of 0.99 if
    louder. An `InputError` if the samples are not one or two finite, non-empty channels."""
    path, samples = Path(path), np.asarray(samples, dtype=np.float32)
    if not (samples.size and samples.ndim and samples.shape[:-1] in ((), (2,)) and np.isfinite(samples).all()):
        raise InputError(f"{path.name}: give one or two channels of finite audio, (N,) or (2, N), not {samples.shape}")
    with replacing(path) as partial:
        partial.write_bytes(_ogg(samples * min(1.0, 0.99 / max(float(np.abs(samples).max()), 1e-9)), sample_rate))
    return path


def _ogg(samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> bytes:
    buffer, frames = io.BytesIO(), samples.T.astype(np.float32)
    with soundfile.SoundFile(buffer, "w", sample_rate, samples.ndim, format="OGG", subtype="VORBIS") as file:
        for block in np.split(frames, range(65536, len(frames), 65536)):  # libsndfile's encoder dislikes long ones
            file.write(block)
    return buffer.getvalue()


def player(path: Path | str, label: str, listen: str = "", shown: str = "") -> str:
    """HTML that plays a saved file under a label, and loads nothing before the reader presses play: what to ``listen``
    for, and a :func:`picture` to follow. In the book the path is changed to the file's copy there."""
    source = html.escape(Path(path).as_posix())
    return (
        f'<figure class="listen"><figcaption>{html.escape(label)}{listen and _LISTEN.format(html.escape(listen))}'
        f'</figcaption>{shown}<audio controls preload="none" src="{source}"></audio></figure>'
    )


def players(
    folder: Path,
    sounds: Mapping[str, np.ndarray],
    prefix: str = "",
    sample_rate: int = SAMPLE_RATE,
    listen: str = "",
    shown: str | Mapping[str, str] = "",
) -> str:
    """HTML of a player for each sound by its label, side by side; files go into ``folder``, named by what they are.
    With what to ``listen`` for they become one in the book, in which another is heard without a gap, below a
    :func:`picture` of all, or of each by its label."""
    inside, own = "", shown if isinstance(shown, Mapping) else {}
    for label, sound in sounds.items():
        name = "-".join(re.findall(r"[a-z0-9]+", f"{prefix} {label}".lower()))
        path = save_audio(folder / f"{name}.ogg", np.asarray(sound), sample_rate)
        inside += player(path, label, shown=own.get(label, ""))
    if listen:
        return f'<div class="together">{_LISTEN.format(html.escape(listen))}{"" if own else shown}{inside}</div>'
    grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); column-gap: 1rem"
    return f'<div style="{grid}">{inside}</div>'


def picture(path: Path, figure: Figure, about: str) -> str:
    """HTML of a figure, whose last axes go along a sound in seconds, saved as WebP and closed: a line crosses it as the
    sound goes on, and a click goes there. ``about`` says what there is to see to those who cannot."""
    with replacing(path) as partial:
        figure.savefig(partial, format="webp", dpi=100, pil_kwargs={"quality": 40})
    place, limits = figure.axes[-1].get_position(), figure.axes[-1].get_xlim()
    plt.close(figure)
    span, source = " ".join(f"{x:.4f}" for x in (place.x0, place.x1, *limits)), html.escape(path.as_posix())
    return f'<div class="seen"><div data-span="{span}"><img src="{source}" alt="{html.escape(about)}"></div></div>'


def draw_cqt(samples: np.ndarray, sample_rate: int, axes: Axes | None = None) -> Figure:
    """Draw what a model is given of a sound (N,): its constant-Q picture, over seconds and MIDI keys, octaves named."""
    with torch.inference_mode():
        values = LogCQT()(torch.from_numpy(mono_16k(samples, sample_rate))[None])[0].numpy()
    axes = axes or plt.subplots(figsize=(8.0, 1.7))[1]
    extent = (0, len(samples) / sample_rate, 11.5, len(values) + 11.5)
    look = {"origin": "lower", "aspect": "auto", "cmap": "magma", "interpolation": "nearest"}
    axes.imshow(values, extent=extent, vmin=values.max() - 0.6, **look)  # black where it is 48 dB below the loudest
    axes.grid(False)
    axes.set(xlabel="seconds", yticks=range(12, 108, 12), yticklabels=[f"C{octave}" for octave in range(8)])
    return axes.figure


def sources(notebook: nbformat.NotebookNode, addresses: Mapping[str, str] | None = None) -> list[str]:
    """Local files that a notebook's HTML outputs play or show. Those in ``addresses`` are changed to what it says, in
    place."""
    found, new = [], addresses or {}

    def seen(match: re.Match) -> str:
        found.append(html.unescape(match[2]))
        return match[1] + html.escape(new.get(found[-1], found[-1]))

    for data in (output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])):
        if "text/html" in data:
            data["text/html"] = _SOURCE.sub(seen, "".join(data["text/html"]))
    return found


def fragment(name: str, data: dict) -> str:
    """HTML of a piece, by the name of its template in `pages/`, with its data: for ``IPython.display.HTML`` to show."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    page, dials = ((PAGES / each).read_text(encoding="utf-8") for each in (f"{name}.html", "dials.js"))
    whole = page.replace("/*DIALS*/", dials).replace("/*DATA*/", text)
    return re.sub(r"\n\s*\n", "\n", whole)  # a page in Markdown takes an empty line for the end of HTML


def base64_ogg(wave: np.ndarray) -> str:
    """A wave (N,) as the text of a sound inside a page."""
    return base64.b64encode(_ogg(wave)).decode("ascii")


def guess(
    folder: Path, mix: np.ndarray, candidates: Sequence[np.ndarray], scores: Sequence[float], own: int, sample_rate: int
) -> str:
    """HTML in which the reader hears a mix (N,) with each candidate (N,), guesses which belongs to it, and then sees
    what a model says; ``own`` is the place of the right one."""
    sounds = {"the mix alone": mix} | {f"with number {i}": mix + each for i, each in enumerate(candidates, start=1)}
    listen = "the part that plays with the others, beat for beat and in their key"
    page = fragment("guess", {"scores": [round(float(score), 3) for score in scores], "own": own})
    return page.replace("<!--SOUNDS-->", players(folder, sounds, "guess", sample_rate, listen=listen))
