"""Named tensors on disk and into a model, without running anything that is in a file.

Our own files are safetensors: numbers and text. Those of ``torch.save`` (the authors' checkpoints, MERT's weights) are
zip archives with a pickle in them, and unpickling a stranger's file means calling whatever it names. They are read by
torch's restricted reader, after a look at the archive and at every name in the pickle. Book page *The model*.
"""

import os
import pickletools
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
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
        temporary.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata))


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and text of a safetensors file, or an InputError that says what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .safetensors checkpoint")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        hint = "get it again; the authors' .ckpt files become one by `phalar convert IN.ckpt OUT.safetensors`"
        raise InputError(f"{path}: not a readable safetensors file ({error}); {hint}") from error


def fill(model: nn.Module, tensors: Mapping[str, Tensor], source: str, name: str = "") -> None:
    """Put tensors, every entry of a model's ``state_dict`` and no more, into it after checking each. An InputError,
    naming ``source``, if one is missing, unexpected, of another shape or kind, or not finite; nothing changes then."""
    expected = model.state_dict()
    same_names(expected, tensors, f"{source}: does not fit {name or model.variant.name!r}")
    for key, want in expected.items():
        have = tensors[key]
        kinds = [(t.shape, t.is_complex(), t.is_floating_point()) for t in (have, want)]
        if kinds[0] != kinds[1]:
            described = [f"{t.dtype} {tuple(t.shape)}" for t in (have, want)]
            raise InputError(f"{source}: {key} is {', not '.join(described)}")
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
    An InputError if there is no such archive, if it is damaged, or if its pickle names anything but tensors, plain
    values and ``enums``. Nothing in it has been called then."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .ckpt file")
    data = _pickle_of(path)
    try:
        _check_pickle(path, data, KNOWN | set(enums))
        with torch.serialization.safe_globals([(_value_of_enum, name) for name in enums]):
            return torch.load(path, weights_only=True, mmap=True, map_location="cpu")
    except InputError:
        raise
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
    return InputError(f"{path}: {problem}; the file is damaged or forged and was not loaded; download it again")


def _pickle_of(path: Path) -> bytes:
    """The one data.pkl of an archive whose entries are plain, whole and no larger than the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries, size = archive.infolist(), path.stat().st_size
            claimed = sum(entry.file_size for entry in entries)
            pickles = [entry for entry in entries if PurePosixPath(entry.filename).name == "data.pkl"]
            if claimed > size or len({entry.filename for entry in entries}) < len(entries):
                problem = f"claims to hold {claimed:,} bytes of {size:,}, or has two entries of one name"
            elif any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
                problem = "holds compressed or encrypted entries, which torch never writes"
            elif len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
                problem = f"has no data.pkl, as torch.save (1.6 or newer) writes it, of up to {LARGEST_PICKLE:,} bytes"
            elif (broken := archive.testzip()) is not None:
                problem = f"entry {broken!a:.120} has another checksum than it says"
            else:
                return archive.read(pickles[0])
    except Exception as error:  # zipfile raises its own, struct's, codecs' and the system's errors
        problem = f"is not a whole zip archive as torch.save writes it ({type(error).__name__}), perhaps cut short"
    raise damaged(path, problem)


def _check_pickle(path: Path, data: bytes, known: Collection[str]) -> None:
    """Refuse a pickle that names what is not known, or that nests tuples too deep to be hashed."""
    tuples = 0
    for step, argument, _ in pickletools.genops(data):
        tuples += step.name.startswith("TUPLE")
        if step.name in ("GLOBAL", "INST") and (name := argument.replace(" ", ".")) not in known:
            problem = f"its pickle asks for {name!a:.120}, which is neither a tensor nor a plain value"
            raise InputError(f"{path}: {problem}; nothing in it was run; get the file from its authors")
    if tuples > MOST_TUPLES:
        raise damaged(path, f"its data.pkl makes {tuples:,} tuples")


def _value_of_enum(value: str) -> str:
    """Stands for the authors' enumerations, which need not exist here: a member is its value."""
    if type(value) is not str:
        raise TypeError("the value of such a member is a text")
    return value
