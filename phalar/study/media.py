"""Sound and pictures that a notebook saves as files and its output plays: written, found again, moved with the book.

A second of base64 WAV weighs 43 kB in a page; a file beside it costs nothing until it is played.
"""

import html
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import numpy as np
import soundfile

from phalar.errors import InputError

_SOURCE = re.compile(r"""(<(?:audio|source|img|video)\b[^>]*?\bsrc=)(["'])([^"']*)\2""", re.IGNORECASE)


def save_audio(path: Path | str, samples: np.ndarray, sample_rate: int) -> Path:
    """Write mono or stereo audio as OGG Vorbis; folders are made, the file appears whole or not at all.

    Parameters
    ----------
    path : Path or str
        Ends in ``.ogg``.
    samples : array (N,) or (2, N), float
        One channel, or left and right. Scaled down to a peak of 0.99 if louder, so that nothing clips; never scaled up.
    sample_rate : int, Hz

    Raises
    ------
    InputError
        If the samples are not one or two finite, non-empty channels.
    """
    path, samples = Path(path), np.asarray(samples, dtype=np.float32)
    if not samples.size or not (samples.ndim == 1 or (samples.ndim == 2 and len(samples) == 2)):
        raise InputError(f"{path.name}: audio of shape {samples.shape} is not one or two channels of samples; "
                         "give shape (N,) or (2, N)")  # fmt: skip
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
    """HTML that plays a saved file under a label; nothing is loaded until the reader presses play.

    Show it with ``IPython.display.HTML``. In the book the path is changed to the file's copy there.
    """
    source = html.escape(Path(path).as_posix(), quote=True)
    return (
        f'<figure class="listen"><figcaption>{html.escape(label)}</figcaption>'
        f'<audio controls preload="none" src="{source}"></audio></figure>'
    )


def is_local(source: str) -> bool:
    """Whether an address names a file, rather than another site or data inside the page."""
    return bool(source) and not re.match(r"^([a-z][a-z0-9+.-]*:|//|#)", source, re.IGNORECASE)


def html_outputs(notebook: nbformat.NotebookNode) -> Iterator[nbformat.NotebookNode]:
    """The data of every output that has an HTML form."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                yield output["data"]


def find(source: str, folders: list[Path]) -> Path | None:
    """The file that a local address means, looked for from each folder in turn."""
    for folder in folders:
        path = folder / source  # an absolute source stands for itself
        if path.is_file():
            return path
    return None


def sources(notebook: nbformat.NotebookNode) -> list[str]:
    """Local files that a notebook's HTML outputs play or show."""
    texts = ("".join(data["text/html"]) for data in html_outputs(notebook))
    return [html.unescape(match[3]) for text in texts for match in _SOURCE.finditer(text) if is_local(match[3])]


def redirect(notebook: nbformat.NotebookNode, addresses: dict[str, str]) -> None:
    """Change local addresses in HTML outputs, in place; those not in ``addresses`` stay."""

    def replaced(match: re.Match) -> str:
        address = addresses.get(html.unescape(match[3]))
        return match[0] if address is None else f"{match[1]}{match[2]}{html.escape(address, quote=True)}{match[2]}"

    for data in html_outputs(notebook):
        data["text/html"] = _SOURCE.sub(replaced, "".join(data["text/html"]))
