"""Reads the files of ``torch.save`` without running anything that is in them.

Such a file is a zip archive: ``data.pkl``, a pickle that says how the objects hang together, and one entry of raw
numbers for each tensor storage. Unpickling a stranger's file means calling whatever it names. Here the pickle is read
as data instead: a small interpreter of its own knows only the steps by which dictionaries, lists, numbers, texts and
tensors are put together, and the few names in `KNOWN` stand for marks, not for functions. There is nothing to call.
The same holds for sizes: what a file claims is compared with what it has before any memory is asked for.

Used by `phalar.model.official`. Taught in ``book/model.md``, "Trusting a checkpoint".
"""

import io
import math
import pickletools
import struct
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from phalar.errors import InputError

LARGEST_PICKLE = 2 << 20  # bytes; the pickle of a checkpoint of this size of model has 0.1 MB
MOST_ENTRIES = 100_000
LARGEST_COUNT = 1 << 48  # values; no length, step or offset of a tensor is larger
MOST_AXES = 16
# What zipfile raises on archives that are not, or that were tampered with.
UNREADABLE = (zipfile.BadZipFile, OSError, EOFError, ValueError, LookupError, RuntimeError, OverflowError, struct.error)

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


@dataclass(frozen=True)
class Known:
    """Stands in the pickle machine for a name of the file. It is not callable; `kind` says what to build from it."""

    kind: str  # "dict", "tensor", "parameter", "storage" or "enum"
    dtype: torch.dtype | None = None


KNOWN = {
    "collections.OrderedDict": Known("dict"),
    "torch._utils._rebuild_tensor_v2": Known("tensor"),
    "torch._utils._rebuild_parameter": Known("parameter"),
    **{f"torch.{name}": Known("storage", dtype) for name, dtype in STORAGES.items()},
}


@dataclass(frozen=True)
class Storage:
    """A run of numbers in the archive: the entry's name, and how many values of which type it is said to hold."""

    key: str
    dtype: torch.dtype
    values: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that was described but not read; `TorchZip.tensor` checks it and reads it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in memory, as claimed."""
        return math.prod(self.shape) * self.storage.dtype.itemsize


class TorchZip:
    """An opened file of ``torch.save``. Use it in a ``with`` block.

    Parameters
    ----------
    path : str or Path
    enums : frozenset of str
        Full names (``module.Class``) of enumerations whose members may occur; a member becomes its value, a str.

    Raises
    ------
    InputError
        Naming the file, what is wrong with it, and the remedy; nothing has been run or allocated then.
    """

    def __init__(self, path: str | Path, enums: frozenset[str] = frozenset()) -> None:
        self.path = Path(path)
        self.known = KNOWN | {name: Known("enum") for name in enums}
        if not self.path.is_file():
            raise InputError(f"{self.path}: there is no such file; give the path of a .ckpt file")
        try:
            self.archive = zipfile.ZipFile(self.path)
        except UNREADABLE as error:
            raise self.refusal(
                f"is not a zip archive as torch.save writes it ({error})",
                "it may be cut short or an error page saved under this name; download it again",
            ) from error
        try:
            self.folder = self._checked_folder()
            order = self._read("byteorder") if self._has("byteorder") else b"little"
        except BaseException:
            self.archive.close()
            raise
        self.swapped = order.decode("latin-1").strip() != sys.byteorder
        self._storages: dict[Storage, Tensor] = {}

    def __enter__(self) -> "TorchZip":
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.close()

    def refusal(self, problem: str, remedy: str) -> InputError:
        """The one-line error about this file."""
        return InputError(f"{self.path}: {problem}; {remedy}")

    def damaged(self, problem: str) -> InputError:
        """The error about a file that contradicts itself."""
        return self.refusal(problem, "the file is damaged or forged and was not loaded; get it again from its source")

    def _checked_folder(self) -> str:
        """The one folder that all entries lie in, once no entry can surprise."""
        entries = self.archive.infolist()
        size = self.path.stat().st_size
        names = [entry.filename for entry in entries]
        if len(names) > MOST_ENTRIES or len(set(names)) < len(names):
            raise self.damaged("has too many entries or two of one name")
        if sum(entry.file_size for entry in entries) > size:
            raise self.damaged(f"claims to hold {sum(e.file_size for e in entries):,} bytes but has only {size:,}")
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size < 0:
                raise self.damaged(f"holds a compressed or encrypted entry, {_shown(entry.filename)}")
        pickles = [name for name in names if PurePosixPath(name).name == "data.pkl"]
        if len(pickles) != 1 or pickles[0].count("/") != 1:
            raise self.refusal("has no data.pkl", "give a checkpoint written by torch.save (torch 1.6 or newer)")
        return pickles[0].removesuffix("data.pkl")

    def _has(self, name: str) -> bool:
        return self.folder + name in self.archive.NameToInfo

    def _read(self, name: str) -> bytes:
        """Bytes of an entry, whose checksum is compared."""
        try:
            return self.archive.read(self.folder + name)
        except UNREADABLE as error:
            raise self.damaged(f"entry {_shown(name)} cannot be read") from error

    def tree(self) -> Any:
        """What was saved: dictionaries, lists, tuples and plain values, with each tensor as a `StoredTensor`."""
        size = self.archive.getinfo(self.folder + "data.pkl").file_size
        if size > LARGEST_PICKLE:
            raise self.damaged(f"its data.pkl has {size:,} bytes, more than the {LARGEST_PICKLE:,} allowed")
        return _Machine(self).run(self._read("data.pkl"))

    def tensor(self, name: str, stored: StoredTensor) -> Tensor:
        """Read one tensor; tensors of one storage share memory.

        Raises InputError, with the tensor's `name`, where its claims do not fit the file.
        """
        storage = stored.storage
        values = math.prod(stored.shape)
        last = stored.offset + sum((n - 1) * step for n, step in zip(stored.shape, stored.stride, strict=True))
        if max(values, stored.offset) > storage.values or (values and last >= storage.values):
            raise self.damaged(
                f"tensor {_shown(name)} of shape {_shown(stored.shape)} does not fit its {storage.values:,} values"
            )
        return self._values(name, storage).as_strided(stored.shape, stored.stride, stored.offset)

    def _values(self, name: str, storage: Storage) -> Tensor:
        if storage not in self._storages:
            entry = self.archive.NameToInfo.get(f"{self.folder}data/{storage.key}")
            claimed = storage.values * storage.dtype.itemsize
            if entry is None or entry.file_size != claimed:
                raise self.damaged(
                    f"tensor {_shown(name)} claims {claimed:,} bytes where the file has "
                    f"{entry.file_size if entry else 0:,}"
                )
            # A bytearray, since torch wants memory it may write to.
            raw = bytearray(self._read(f"data/{storage.key}"))
            if not raw:
                self._storages[storage] = torch.empty(0, dtype=storage.dtype)
                return self._storages[storage]
            if self.swapped:
                width = storage.dtype.itemsize // (2 if storage.dtype.is_complex else 1)
                raw = bytearray(torch.frombuffer(raw, dtype=torch.uint8).view(-1, width).flip(1).numpy().tobytes())
            self._storages[storage] = torch.frombuffer(raw, dtype=storage.dtype)
        return self._storages[storage]


class _Machine:
    """Interpreter of the steps of a pickle that ``torch.save`` writes; any other step, and any other name, is refused.

    A stack, marks into it, and a memo, as the pickle format defines them. Names become `Known` marks.
    """

    def __init__(self, file: TorchZip) -> None:
        self.file = file
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(io.BytesIO(data)):
                if opcode.name == "STOP":
                    return self.stack.pop()
                self.step(opcode.name, argument)
        except InputError:
            raise
        except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeError, AttributeError) as error:
            raise self.file.damaged(f"its data.pkl cannot be read ({type(error).__name__})") from error
        raise self.file.damaged("its data.pkl has no end")

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        match name:
            case "PROTO" | "FRAME":
                pass
            case "MARK":
                self.marks.append(len(stack))
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT" | "EMPTY_LIST" | "EMPTY_TUPLE":
                stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
            case "TUPLE":
                stack.append(tuple(self.since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self.last(int(name[-1]))))
            case "APPEND" | "APPENDS":
                items = self.last(1) if name == "APPEND" else self.since_mark()
                self.top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self.last(2) if name == "SETITEM" else self.since_mark()
                target = self.top(dict)
                for key, value in zip(items[0::2], items[1::2], strict=True):
                    # Plain keys only: the hash of a tuple nested a million deep would overflow the C stack.
                    target[_plain_key(key)] = value
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                self.memo[len(self.memo) if name == "MEMOIZE" else argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                stack.append(self.look_up(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                stack.append(self.look_up(*self.last(2)))
            case "BINPERSID":
                stack.append(_storage(*self.last(1)))
            case "REDUCE":
                stack.append(self.build(*self.last(2)))
            case "BUILD":
                self.last(1)  # attributes of an OrderedDict, where a state dict keeps its versions: not needed
                self.top(dict)
            case "INST":
                self.look_up(*argument.split(" ", 1))
                raise self.unknown_step(name)
            case _:
                raise self.unknown_step(name)

    def unknown_step(self, name: str) -> InputError:
        return self.file.refusal(
            f"its pickle uses {name}, which no checkpoint of tensors and plain values needs",
            "it was not loaded and nothing in it was run; get the file from its authors",
        )

    def look_up(self, module: str, name: str) -> Known:
        if type(module) is not str or type(name) is not str:
            raise TypeError("a name is a text")
        known = self.file.known.get(f"{module}.{name}")
        if known is None:
            raise self.file.refusal(
                f"its pickle asks for {_shown(f'{module}.{name}')}, which is neither a tensor nor a plain value",
                "it was not loaded and nothing in it was run; get the file from its authors",
            )
        return known

    def build(self, known: Known, arguments: tuple) -> Any:
        """What a name applied to its arguments stands for."""
        match known, arguments:
            case Known("dict"), ():
                return {}
            case Known("tensor"), (Storage() as storage, int(offset), tuple(shape), tuple(stride), *_):
                if len(shape) != len(stride) or len(shape) > MOST_AXES or not _are_counts(offset, *shape, *stride):
                    raise self.file.damaged("a tensor in it has an impossible layout")
                return StoredTensor(storage, offset, shape, stride)
            case Known("parameter"), (StoredTensor() as data, *_):
                return data
            case Known("enum"), (str(value),):
                return value
        raise TypeError("arguments that do not belong together")

    def since_mark(self) -> list[Any]:
        return self.last(len(self.stack) - self.marks.pop())

    def last(self, count: int) -> list[Any]:
        """Take the last `count` values off the stack."""
        if not 0 <= count <= len(self.stack):
            raise IndexError("stack")
        start = len(self.stack) - count
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise TypeError("unexpected value")
        return self.stack[-1]


def _storage(reference: Any) -> Storage:
    match reference:
        case ("storage", Known("storage", dtype), str(key), str(), values) if _are_counts(values):
            return Storage(key, dtype, values)
    raise TypeError("not a storage")


def _are_counts(*values: Any) -> bool:
    return all(type(n) is int and 0 <= n < LARGEST_COUNT for n in values)


def _plain_key(key: Any) -> str | int:
    if type(key) not in (str, int):
        raise TypeError("keys are texts or whole numbers")
    return key


def _shown(value: Any) -> str:
    """A value from the file on one line of bounded length, whatever characters it has."""
    text = ascii(value)
    return text if len(text) <= 120 else text[:117] + "..."
