"""Sound that a notebook saves as files and its output plays: written, found again, moved with the book.

A second of base64 WAV weighs 43 kB in a page; a file beside it costs nothing until it is played.
"""

import html
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import nbformat
import numpy as np
import soundfile

from phalar.audio import SAMPLE_RATE
from phalar.errors import InputError

_SOURCE = re.compile(r"""(<(?:audio|source|img|video)\b[^>]*?\bsrc=)(["'])([^"']*)\2""", re.IGNORECASE)


def save_audio(path: Path | str, samples: np.ndarray, sample_rate: int = SAMPLE_RATE) -> Path:
    """Write mono (N,) or stereo (2, N) float audio as OGG Vorbis; the file appears whole or not at all.

    Scaled down to a peak of 0.99 if louder, so that nothing clips; never scaled up. An `InputError` if the samples are
    not one or two finite, non-empty channels.
    """
    path, samples = Path(path), np.asarray(samples, dtype=np.float32)
    if not samples.size or not (samples.ndim == 1 or (samples.ndim == 2 and len(samples) == 2)):
        raise InputError(f"{path.name}: audio of shape {samples.shape}: give one or two channels, (N,) or (2, N)")
    if not np.isfinite(samples).all():
        raise InputError(f"{path.name}: audio holds NaN or infinite samples; nothing was written")
    samples = samples * min(1.0, 0.99 / max(float(np.abs(samples).max()), 1e-9))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    frames = samples.T
    with soundfile.SoundFile(partial, "w", sample_rate, samples.ndim, format="OGG", subtype="VORBIS") as file:
        for block in np.split(frames, range(65536, len(frames), 65536)):  # libsndfile's encoder dislikes long ones
            file.write(block)
    os.replace(partial, path)
    return path


def player(path: Path | str, label: str) -> str:
    """HTML that plays a saved file under a label; nothing is loaded until the reader presses play. Show it with
    ``IPython.display.HTML``. In the book the path is changed to the file's copy there."""
    source = html.escape(Path(path).as_posix(), quote=True)
    return (
        f'<figure class="listen"><figcaption>{html.escape(label)}</figcaption>'
        f'<audio controls preload="none" src="{source}"></audio></figure>'
    )


def players(folder: Path, sounds: Mapping[str, np.ndarray], prefix: str = "", sample_rate: int = SAMPLE_RATE) -> str:
    """HTML of a player for each sound by its label, side by side where there is room; files go into ``folder``, named
    by what they are."""
    shown = ""
    for label, sound in sounds.items():
        name = "-".join(re.findall(r"[a-z0-9]+", f"{prefix} {label}".lower()))
        shown += player(save_audio(folder / f"{name}.ogg", np.asarray(sound), sample_rate), label)
    grid = "display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); column-gap: 1rem"
    return f'<div style="{grid}">{shown}</div>'


def spread(items: Sequence, count: int) -> list:
    """So many items, evenly spaced in the sequence, or all of them if there are fewer."""
    if count < 1:
        raise InputError(f"{count} examples: at least one is needed")
    return [items[i * len(items) // count] for i in range(count)] if count < len(items) else list(items)


def is_local(source: str) -> bool:
    """Whether an address names a file, rather than another site or data inside the page."""
    return bool(source) and not re.match(r"^([a-z][a-z0-9+.-]*:|//|#)", source, re.IGNORECASE)


def find(source: str, folders: list[Path]) -> Path | None:
    """The file that a local address means, looked for from each folder in turn."""
    return next((folder / source for folder in folders if (folder / source).is_file()), None)


def _html_outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                yield output["data"]


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    """Local files that a notebook's HTML outputs play or show."""
    texts = ("".join(data["text/html"]) for data in _html_outputs(notebook))
    return [html.unescape(match[3]) for text in texts for match in _SOURCE.finditer(text) if is_local(match[3])]


def redirect(notebook: nbformat.NotebookNode, addresses: dict[str, str]) -> None:
    """Change local addresses in HTML outputs, in place; those not in ``addresses`` stay."""

    def replaced(match: re.Match) -> str:
        address = addresses.get(html.unescape(match[3]))
        return match[0] if address is None else f"{match[1]}{match[2]}{html.escape(address, quote=True)}{match[2]}"

    for data in _html_outputs(notebook):
        data["text/html"] = _SOURCE.sub(replaced, "".join(data["text/html"]))
