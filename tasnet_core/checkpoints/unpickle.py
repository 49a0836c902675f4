"""Files that torch saved, read without running their code, in memory of at most their size.

torch.load is not used: even with `weights_only` it unpacks compressed records, makes a bytearray of
any size, and hashes tuples of tuples without end. Here a file is read by the few instructions of
pickle that torch.save writes for plain data and tensors; functions and classes are only names.
"""

import io
import pickletools
import stat
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from tasnet_core.errors import CheckpointError, Damaged

Fill = Callable[[str, Tensor], None]    # reads the storage of a key into a flat tensor of its size

SHARED = 4      # times the file's size that its tensors may show together: some share their storage
DTYPES = {
    "torch DoubleStorage": torch.float64, "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16, "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64, "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16, "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8, "torch BoolStorage": torch.bool}
# GLOBAL: its name, as a str.
VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "GLOBAL"}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
LONGEST = 100       # characters of a word in a message
# What a file of torch before 1.6 begins with: a magic number, a protocol.
LEGACY = (0x1950a86a20f9469cfc6c, 1001)


class _Foreign(ValueError):
    """What torch.save does not write for plain data and tensors."""


def read_saved(path: Path) -> Any:
    """The content of a file that torch.save wrote: tensors on the CPU, and plain data.

    Raises:
        Damaged: when it holds anything else, or unpacks to more than its size.
        CheckpointError: when it is missing, or no file.
    """
    with opened(path) as file:
        try:
            size = file.seek(0, io.SEEK_END)
            zipped = zipfile.is_zipfile(file)
            file.seek(0)
            # Old ones whole: a file makes room for as many bytes as a word claims to have, before
            # it reads them.
            return _from_zip(file, size) if zipped else _from_legacy(io.BytesIO(file.read()), size)
        except _Foreign as error:
            raise Damaged(path, str(error)) from error
        # Whatever zipfile, pickletools and torch meet in a damaged file.
        except Exception as error:
            raise Damaged(path, type(error).__name__) from error


def opened(path: Path) -> BinaryIO:
    """A file, opened for reading; no pipe and no device, which may never end.

    Raises:
        CheckpointError: when it is missing, cannot be read, or is no file.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise CheckpointError(
                f"{path}: not a file; wanted what a training saved, or a file that Asteroid wrote")
        return open(path, "rb")
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such checkpoint") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in its name
        raise CheckpointError(
            f"{path}: cannot be read: {getattr(error, 'strerror', '') or error}") from None


def plain(values: Any) -> dict[str, Any]:
    """Values by name as a file has them, where each is a number, a word, true, false or nothing.

    Raises:
        TypeError: naming what is something else: it may be as long as no message can be, or refer
            to itself.
    """
    if not isinstance(values, Mapping):
        raise TypeError(f"{type(values).__name__} where values by name belong")
    for name, value in values.items():
        is_plain = isinstance(name, str) and isinstance(value, str | int | float | None)
        if not is_plain or shown(value) != repr(value):
            raise TypeError(f"{str(name)[:LONGEST]}={shown(value)} is no value of a field")
    return dict(values)


def shown(value: Any) -> str:
    """A value of a file as a message can hold it: itself, where that is short, or what it is."""
    if isinstance(value, int | float | None) or (isinstance(value, str) and len(value) <= LONGEST):
        try:
            return repr(value)
        except ValueError:      # more digits than Python writes
            pass
    kind = type(value).__name__
    return f"a long {kind}" if isinstance(value, str | int) else f"a {kind}"


def _from_zip(file: BinaryIO, size: int) -> Any:
    with zipfile.ZipFile(file) as archive:
        listed = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in listed):
            raise _Foreign("its records are compressed, which torch.save never does")
        if sum(record.file_size for record in listed) > size:
            raise _Foreign("it unpacks to more than its size")
        records = {record.filename.partition("/")[2]: record for record in listed}

        def fill(key: str, flat: Tensor) -> None:
            with archive.open(records[f"data/{key}"]) as stored:
                _fill(stored, flat)
                if stored.read(1):      # checks its checksum, too
                    raise _Foreign("more bytes than its tensors have")
        if "byteorder" in records and archive.read(records["byteorder"]) != b"little":
            raise _Foreign("written on a machine of the other byte order")
        return _Pickle(size, fill).content(io.BytesIO(archive.read(records["data.pkl"])))


def _from_legacy(file: BinaryIO, size: int) -> Any:
    """The content of a file of torch before 1.6.

    Pickles of a magic number, a protocol, the system, the content and its storages' keys; then
    those.
    """
    def none(key: str, flat: Tensor) -> None:
        raise _Foreign("a tensor before the content")
    if tuple(_Pickle(size, none).content(file) for _ in LEGACY) != LEGACY:
        raise _Foreign("not what torch.save writes")
    if not _Pickle(size, none).content(file)["little_endian"]:
        raise _Foreign("written on a machine of the other byte order")
    waiting: dict[str, Tensor] = {}
    content = _Pickle(size, waiting.__setitem__).content(file)
    for key in _Pickle(size, none).content(file):
        flat = waiting.pop(key)
        if int.from_bytes(file.read(8), "little") != len(flat):
            raise _Foreign("a storage of another size than its tensors'")
        _fill(file, flat)
    if waiting:
        raise _Foreign("storages are missing")
    return content


def _fill(file: Any, flat: Tensor) -> None:
    """Read a tensor's bytes."""
    rest = memoryview(flat.view(torch.uint8).numpy().data)
    while rest:
        if not (done := file.readinto(rest)):
            raise EOFError
        rest = rest[done:]


class _Pickle:
    """Reads a pickle of plain data and tensors from a file of `size` bytes."""

    def __init__(self, size: int, fill: Fill):
        self.size, self.fill = size, fill
        self.stored = self.shown = 0        # bytes of storages, and of the tensors on them
        self.storages: dict[str, Tensor] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []

    def content(self, file: Any) -> Any:
        """The value of the next pickle in the file, which is left behind it."""
        stack, memo = self.stack, dict[Any, Any]()
        for instruction, value, _ in pickletools.genops(file):
            match instruction.name:
                case name if name in VALUES:
                    stack.append(value)
                case name if name in CONSTANTS:
                    stack.append(CONSTANTS[name])
                case name if name in TUPLES:
                    stack.append(tuple(self._popped(len(stack) - TUPLES[name])))
                case "TUPLE":
                    stack.append(tuple(self._marked()))
                case "EMPTY_DICT":
                    stack.append({})
                case "EMPTY_LIST":
                    stack.append([])
                case "MARK":
                    self.marks.append(len(stack))
                case "BINPUT" | "LONG_BINPUT":
                    memo[value] = stack[-1]
                case "BINGET" | "LONG_BINGET":
                    stack.append(memo[value])
                case "APPEND" | "APPENDS":
                    new = self._marked() if name == "APPENDS" else [stack.pop()]
                    _only(stack[-1], list).extend(new)
                case "SETITEM" | "SETITEMS":
                    new = self._marked() if name == "SETITEMS" else self._popped(len(stack) - 2)
                    _only(stack[-1], dict).update(
                        zip((_key(key) for key in new[::2]), new[1::2], strict=True))
                case "REDUCE" | "NEWOBJ":
                    stack.append(self._made(*self._popped(len(stack) - 2)))
                case "BINPERSID":
                    stack.append(self._storage(*stack.pop()))
                case "BUILD":       # a state_dict's versions
                    stack.pop()
                case "PROTO" | "STOP":
                    pass
                case _:
                    raise _Foreign(f"{name} in it")
        return stack.pop()

    def _popped(self, start: int) -> list[Any]:
        if start < 0:
            raise EOFError
        found = self.stack[start:]
        del self.stack[start:]
        return found

    def _marked(self) -> list[Any]:
        return self._popped(self.marks.pop())

    def _storage(
        self, kind: str, dtype: str, key: str, _: str, count: int, view: None = None
    ) -> Tensor:
        if (kind, view) != ("storage", None) or dtype not in DTYPES:
            raise _Foreign("tensors of a kind of their own in it")
        if key not in self.storages:
            self.stored += _count(count) * DTYPES[dtype].itemsize
            if self.stored > self.size:
                raise _Foreign("its tensors have more bytes than the file")
            self.storages[key] = torch.empty(count, dtype=DTYPES[dtype])
            self.fill(key, self.storages[key])
        if self.storages[key].dtype != DTYPES[dtype]:
            raise _Foreign("tensors of two kinds on one storage")
        return self.storages[key]

    def _made(self, name: str, arguments: tuple[Any, ...]) -> Any:
        match name:
            case "collections OrderedDict" if not arguments:
                return {}
            case "torch._utils _rebuild_tensor_v2":
                return self._tensor(*arguments[:4])
            case "torch._utils _rebuild_parameter":
                return _only(arguments[0], Tensor)
            case "torch.torch_version TorchVersion":        # Asteroid notes it in its files
                return _only(arguments[0], str)
            case _:
                found = name[:LONGEST] if isinstance(name, str) else "something"
                raise _Foreign(f"{found} in it; of a network, its state_dict alone is read")

    def _tensor(
        self, flat: Tensor, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
    ) -> Tensor:
        if not all(_count(number) < 2**62 for number in (offset, *shape, *strides)):
            raise _Foreign("a tensor beyond all sizes")
        # Refuses what lies outside.
        found: Tensor = _only(flat, Tensor).as_strided(shape, strides, offset)
        self.shown += found.numel() * found.element_size()
        if found.numel() > flat.numel() or self.shown > SHARED * self.size:
            raise _Foreign("its tensors show more than they have")
        return found


def _only(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise _Foreign(f"{type(value).__name__} where {kind.__name__} belongs")
    return value


def _key(value: Any) -> str | int:
    # A tuple of tuples of tuples ... has a hash that takes as long as all that it holds, once for
    # each mention.
    if type(value) not in (str, int):
        raise _Foreign(f"a table of {type(value).__name__}")
    return value        # type: ignore[no-any-return]


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _Foreign("a size that is no count")
    return value
