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

import nbformat
import numpy as np
import soundfile

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError
from phalar.paths import replacing

# A file that is played or shown: not an address of another site, and no data inside the page.
_SOURCE = re.compile(r"""(<(?:audio|source|img|video)\b[^>]*?\bsrc=["'])(?![a-z][a-z0-9+.-]*:|//|#)([^"']+)""", re.I)
PAGES = Path(__file__).with_name("pages")


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


def player(path: Path | str, label: str) -> str:
    """HTML that plays a saved file under a label, and loads nothing before the reader presses play. In the book the
    path is changed to the file's copy there."""
    source = html.escape(Path(path).as_posix(), quote=True)
    return (
        f'<figure class="listen"><figcaption>{html.escape(label)}</figcaption>'
        f'<audio controls preload="none" src="{source}"></audio></figure>'
    )


def players(folder: Path, sounds: Mapping[str, np.ndarray], prefix: str = "", sample_rate: int = SAMPLE_RATE) -> str:
    """HTML of a player for each sound by its label, side by side; files go into ``folder``, named by what they are."""
    shown = ""
    for label, sound in sounds.items():
        name = "-".join(re.findall(r"[a-z0-9]+", f"{prefix} {label}".lower()))
        shown += player(save_audio(folder / f"{name}.ogg", np.asarray(sound), sample_rate), label)
    grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); column-gap: 1rem"
    return f'<div style="{grid}">{shown}</div>'


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
    page = (PAGES / f"{name}.html").read_text(encoding="utf-8")
    return page.replace("/*DIALS*/", (PAGES / "dials.js").read_text(encoding="utf-8")).replace("/*DATA*/", text)


def base64_ogg(wave: np.ndarray) -> str:
    """A wave (N,) as the text of a sound inside a page."""
    return base64.b64encode(_ogg(wave)).decode("ascii")


def guess(mix: Path, candidates: Sequence[Path], scores: Sequence[float], own: int) -> str:
    """HTML in which the reader guesses which of some candidates belongs to a mix, hears each with it, without a gap
    when another is chosen, and then sees what a model says; ``own`` is the place of the right one."""
    top = max(*np.abs(scores), 1e-9)
    sounds = "".join(
        f'<audio preload="none" src="{html.escape(path.as_posix())}"></audio>' for path in (mix, *candidates)
    )
    rows = "".join(
        f'<div class="row"><label><input type="radio" name="guess" {"checked" * (i == 0)}> number {i + 1}</label>'
        f'<span class="bar"><i style="width: {50 + 50 * score / top:.0f}%"></i></span><span>{score:+.2f}</span></div>'
        for i, score in enumerate(scores)
    )
    page = fragment("guess", {"scores": [round(float(score), 3) for score in scores], "own": own})
    return page.replace("<!--ROWS-->", rows).replace("<!--SOUNDS-->", sounds)
