"""Named tensors on disk and into a model, without running anything that is in a file.

Our own files are safetensors: numbers and text. Those of ``torch.save`` (the authors' checkpoints, MERT's weights) are
zip archives with a pickle in them, and unpickling a stranger's file means calling whatever it names. They are read by
torch's restricted reader, after a look at the archive and at every name in the pickle. Book page *The model*,
"Trusting a checkpoint".
"""

import os
import pickletools
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from phalar.errors import InputError
from phalar.paths import replacing

LARGEST_PICKLE = 2 << 20  # bytes; the pickle of a model of this size has 0.1 MB
MOST_TUPLES = 20_000  # a checkpoint has a few a tensor; one nested a hundred thousand deep would overflow the stack
_STORAGES = "Float Double Half BFloat16 Long Int Short Char Byte Bool ComplexFloat ComplexDouble"
KNOWN = {
    "collections.OrderedDict",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
    *(f"torch.{kind}Storage" for kind in _STORAGES.split()),
}


def write_tensors(path: str | os.PathLike, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file whole or not at all: under a temporary name first, then renamed."""
    with replacing(Path(path)) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode  # as any new file has it; safetensors would keep others from reading
        save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, temporary, metadata)
        temporary.chmod(mode)


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


def fill(model: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str = "") -> None:
    """Put tensors, every entry of a model's ``state_dict`` and no more, into it after checking each.

    An InputError, which names ``source`` and the model, if one is missing, unexpected, of the wrong shape or kind, or
    not finite; the model is unchanged then.
    """
    expected = model.state_dict()
    same_names(expected, tensors, f"{source}: does not fit {name or model.variant.name!r}")
    for key, want in expected.items():
        have = tensors[key]
        kinds = [(t.shape, t.is_complex(), t.is_floating_point()) for t in (have, want)]
        if kinds[0] != kinds[1]:
            raise InputError(
                f"{source}: {key} is {have.dtype} {tuple(have.shape)}, not {want.dtype} {tuple(want.shape)}"
            )
        if not torch.isfinite(have).all():
            raise InputError(f"{source}: {key} has NaN or infinite values; the training that wrote it diverged")
    model.load_state_dict(tensors)


def same_names(expected: Collection[str], found: Collection[str], otherwise: str) -> None:
    """Nothing, or an InputError that begins with ``otherwise`` and lists what is missing or unexpected."""
    parts = []
    for what, these, others in (("missing", expected, found), ("unexpected", found, expected)):
        names = [name for name in these if name not in others]
        if names:
            parts.append(f"{what} {names[0]!a:.120}" + (f" and {len(names) - 1} more" if len(names) > 1 else ""))
    if parts:
        raise InputError(f"{otherwise}: {'; '.join(parts)}")


def read_archive(path: str | os.PathLike, enums: Collection[str] = ()) -> object:
    """What ``torch.save`` wrote: dictionaries, lists, plain values and tensors on the CPU, mapped from the file.

    ``enums``: full names (``module.Class``) of enumerations whose members may occur; a member becomes its value, a str.
    An InputError, one line with the file, what is wrong and the remedy, if there is no such archive, if it is damaged,
    or if its pickle names anything but tensors, plain values and ``enums``. Nothing in it has been called then.
    """
    path = Path(path)
    if torch.__version__ < (2, 10):
        raise InputError(
            f"torch {torch.__version__} reads such files less safely; install torch 2.10 or newer, then read {path}"
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .ckpt file")
    _check_pickle(path, _pickle_of(path), KNOWN | set(enums))
    try:
        with torch.serialization.safe_globals([(_value_of_enum, name) for name in enums]):
            return torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except Exception as error:  # torch, its zip reader and the unpickler raise a dozen kinds
        reason = " ".join(str(error).split())[:200]
        raise damaged(path, f"its data.pkl cannot be read ({type(error).__name__}: {reason!a})") from error


def named_tensors(path: Path, section: object, name: str) -> dict[str, Tensor]:
    """A section of an archive that must map names to tensors, none claiming more than the file could hold."""
    if not isinstance(section, dict) or not section:
        raise InputError(f"{path}: has no {name}; give a checkpoint of the model's own publisher")
    for key, tensor in section.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise damaged(path, f"its {name} holds something that is not a tensor under {key!a:.120}")
    claimed, present = sum(t.numel() * t.element_size() for t in section.values()), path.stat().st_size
    if claimed > 2 * present:  # twice: tensors may share memory
        raise damaged(path, f"its tensors claim {claimed:,} bytes but it has only {present:,}")
    return section


def damaged(path: Path, problem: str) -> InputError:
    """The error about a file that contradicts itself."""
    return InputError(f"{path}: {problem}; the file is damaged or forged and was not loaded; get it again")


def _pickle_of(path: Path) -> bytes:
    """The one data.pkl of an archive whose entries are plain, whole and no larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries, size = archive.infolist(), path.stat().st_size
            claimed = sum(entry.file_size for entry in entries)
            if claimed > size or len({entry.filename for entry in entries}) < len(entries):
                raise damaged(path, f"claims to hold {claimed:,} bytes of {size:,}, or has two entries of one name")
            if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                raise damaged(path, "holds compressed or encrypted entries, which torch never writes")
            pickles = [entry for entry in entries if PurePosixPath(entry.filename).name == "data.pkl"]
            if len(pickles) != 1:
                raise InputError(f"{path}: has no data.pkl; give a checkpoint written by torch.save (1.6 or newer)")
            if pickles[0].file_size > LARGEST_PICKLE:
                raise damaged(path, f"its data.pkl has more than the {LARGEST_PICKLE:,} bytes allowed")
            if (broken := archive.testzip()) is not None:
                raise damaged(path, f"entry {broken!a:.120} has another checksum than it says")
            return archive.read(pickles[0])
    except InputError:
        raise
    except Exception as error:  # zipfile raises its own, struct's, codecs' and the system's errors
        raise InputError(
            f"{path}: is not a whole zip archive as torch.save writes it ({type(error).__name__}); it may be cut short "
            "or an error page saved under this name; download it again"
        ) from error


def _check_pickle(path: Path, data: bytes, known: Collection[str]) -> None:
    """Refuse a pickle that names what is not known, or that nests tuples too deep to be hashed."""
    tuples = 0
    try:
        for step, argument, _ in pickletools.genops(data):
            tuples += step.name.startswith("TUPLE")
            name = argument.replace(" ", ".") if step.name in ("GLOBAL", "INST") else None
            if name is not None and name not in known:
                raise InputError(
                    f"{path}: its pickle asks for {name!a:.120}, which is neither a tensor nor a plain value; it was "
                    "not loaded and nothing in it was run; get the file from its authors"
                )
    except InputError:
        raise
    except (ValueError, IndexError, OverflowError) as error:
        raise damaged(path, f"its data.pkl cannot be read ({type(error).__name__})") from error
    if tuples > MOST_TUPLES:
        raise damaged(path, f"its data.pkl makes {tuples:,} tuples")


def _value_of_enum(value: str) -> str:
    """Stands for the authors' enumerations, which need not exist here: a member is its value."""
    if type(value) is not str:
        raise TypeError("the value of such a member is a text")
    return value
