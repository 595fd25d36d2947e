"""Named tensors on disk and into a model: safetensors, numbers and text only, nothing that could run."""

import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from phalar.errors import InputError


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all: under a temporary name first, then renamed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # as any new file has it; safetensors would keep others from reading
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, metadata)
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text of a safetensors file, or an InputError that says what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a readable safetensors file ({error}); "
            "convert the authors' .ckpt files with `phalar convert IN.ckpt OUT.safetensors`"
        ) from error


def fill(model: nn.Module, tensors: dict[str, Tensor], source: str, name: str = "") -> None:
    """Put tensors into a model after checking each; the model is unchanged when anything is wrong.

    Parameters
    ----------
    tensors : dict
        Every entry of the model's ``state_dict``, no more and no less.
    source : str
        Where they come from, and
    name : str
        what the model is called (default: its variant), for the messages.

    Raises
    ------
    InputError
        A tensor is missing, unexpected, of the wrong shape or kind, or not finite.
    """
    name = name or model.variant.name
    expected = model.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    if missing or unknown:
        raise InputError(
            f"{source}: does not fit {name!r}: "
            + "; ".join(
                f"{what} {names[0]!r}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
                for what, names in (("missing", missing), ("unexpected", unknown))
                if names
            )
        )
    for key, want in expected.items():
        have = tensors[key]
        if have.shape != want.shape or _kind(have) != _kind(want):
            raise InputError(
                f"{source}: {key} is {have.dtype} {tuple(have.shape)}, not {want.dtype} {tuple(want.shape)}"
            )
        if not torch.isfinite(torch.view_as_real(have) if have.is_complex() else have).all():
            raise InputError(f"{source}: {key} has NaN or infinite values; the training that wrote it diverged")
    model.load_state_dict(tensors)


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_complex(), tensor.is_floating_point()
