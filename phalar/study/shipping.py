"""Making a training run's weights the ones that ship: one file inside the package, with what is known of it.

Book page *The weights that ship*.
"""

import json
from pathlib import Path
from typing import Any

from phalar import fingerprint
from phalar.errors import InputError
from phalar.model import checkpoints
from phalar.train.loop import BEST, CONFIG, DONE

LARGEST = 10_000_000  # bytes: what a repository and a wheel can carry without regret


def ship(folder: Path, target: Path = checkpoints.REFERENCE_FILE) -> dict[str, Any]:
    """Write a finished run's chosen weights to the package, with how they were trained; returns those notes.

    Parameters
    ----------
    folder : Path
        Of a finished run (:func:`phalar.train.loop.train`).
    target : Path
        The package's own file by default; replaced whole or not at all.

    Raises
    ------
    InputError
        The folder holds no finished run, another variant than PHALAR, or weights larger than what ships.
    """
    if not (folder / DONE).is_file():
        raise InputError(f"{folder} holds no finished training run; give the folder that `phalar train --out` filled")
    best, config = folder / BEST, json.loads((folder / CONFIG).read_text())
    if config["variant"] != "phalar":
        raise InputError(f"{folder} holds a {config['variant']!r}; what ships is a 'phalar'")
    if best.stat().st_size > LARGEST:
        raise InputError(f"{best} has {best.stat().st_size:,} bytes; what ships is below {LARGEST:,}")
    done, chosen = json.loads((folder / DONE).read_text()), checkpoints.notes(best)
    notes = {
        "steps": chosen["steps"],
        "of_steps": config["steps"],
        "pairs": chosen["steps"] * config["batch_size"] * config["shards"],
        "valid": chosen["valid"],
        "seconds": round(done["seconds"]),
        "seed": config["seed"],
        "corpora": config["corpora"],
        "preset": config["preset"],
        "batch_size": config["batch_size"] * config["shards"],
        "excerpt_seconds": config["seconds"],
        "config_hash": fingerprint.of_file(best),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    checkpoints.save(checkpoints.load(best), target, **notes)
    return notes
