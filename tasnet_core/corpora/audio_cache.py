"""Recordings of a corpus, decoded once at one rate into one memory-mapped file on disk.

A folder of the cache has `sound.i16` (16-bit samples, one recording after the other) and
`index.json`. Its name stands for everything it depends on; it is made beside its place and moved
there, whole or not at all. Each recording has a checksum, compared when a process reads it for the
first time (0.3 ms for a megabyte); where it differs, all is decoded again.
"""

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from tasnet_core.errors import UserError
from tasnet_core.files import cache_folder, write_atomically

SPLITS = ("train", "valid", "test")

Making = Iterator[tuple[str, NDArray[np.float32]]]
Make = Callable[[dict[str, Any]], Making]


class AudioEntry(NamedTuple):
    """A recording in the cache. A scale of its own keeps quiet ones, and those beyond ±1."""

    id: str
    start: int  # in samples from the beginning of the file
    length: int
    scale: float  # sample = 16-bit number * scale

    @property
    def peak(self) -> float:
        """The largest absolute sample."""
        return self.scale * 32767


class Slice(NamedTuple):
    """A part of one recording."""

    entry: AudioEntry
    start: int  # in samples from the recording's beginning
    length: int


class Recording(NamedTuple):
    """One person talking alone, and the split the recording is used for."""

    entry: AudioEntry
    speaker: str
    sex: str  # "F", "M" or "?"
    split: str


class Unusable(NamedTuple):
    """A recording that is left out, and why."""

    path: str
    reason: str


class AudioCache:
    """The recordings of one corpus, read from disk as they are needed.

    entries: in the order of making; facts: what `make` found out meanwhile.
    remake: returns a whole cache to take the place of this one if it is damaged.
    """

    def __init__(self, folder: Path, remake: Callable[[], "AudioCache"]) -> None:
        index = _unsealed((folder / "index.json").read_bytes())
        self.entries = [AudioEntry(*entry) for entry in index["items"]]
        self.facts: dict[str, Any] = index["facts"]
        self._folder, self.remake = folder, remake
        self._checksums: dict[AudioEntry, int] = dict(
            zip(self.entries, index["checksums"], strict=True))
        self._verified: set[AudioEntry] = set()  # by this process
        total = sum(entry.length for entry in self.entries)
        size = (folder / "sound.i16").stat().st_size
        if size != 2 * total:
            raise ValueError(f"{folder}: {size} bytes of sound, {2 * total} wanted")
        self._sound = np.zeros(0, np.int16)
        if total:
            # A plain array on the same memory: a memmap runs Python code for each slice and
            # product, half of the time of a read.
            self._sound = np.asarray(np.memmap(folder / "sound.i16", dtype="<i2", mode="r"))

    def read(self, entry: AudioEntry, start: int = 0,
             length: int | None = None) -> NDArray[np.float32]:
        """float32 [length]: a recording from `start` on; by default all of it."""
        part = Slice(entry, start, entry.length - start if length is None else length)
        return self.numbers(part) * np.float32(entry.scale)

    def peak(self, part: Slice, step: int = 1) -> np.float32:
        """The largest absolute sample of a slice, or of every `step`-th one in it."""
        return np.float32(np.abs(self.numbers(part)[::step]).max()) * np.float32(part.entry.scale)

    def numbers(self, part: Slice) -> NDArray[np.int16]:
        """The 16-bit numbers of a slice as they lie on disk: a view."""
        start = part.entry.start + part.start
        self._verify(part.entry)
        return self._sound[start:start + part.length]

    def identity(self, entry: AudioEntry) -> Hashable:
        """A value equal for recordings whose samples are all equal."""
        return entry.length, entry.scale, self._checksums[entry]

    def content(self, entry: AudioEntry) -> tuple[str, ...]:
        """A digest of the file of a recording, equal on every machine; none for synthetic ones."""
        contents = self.facts.get("contents")
        return (contents[entry.id],) if contents else ()

    def damaged(self) -> bool:
        """Whether any recording differs from its checksum: reads all of them."""
        return any(self._differs(entry) for entry in self.entries)

    def _differs(self, entry: AudioEntry) -> bool:
        sound = self._sound[entry.start:entry.start + entry.length]
        return zlib.crc32(sound.tobytes()) != self._checksums[entry]

    def _verify(self, entry: AudioEntry) -> None:
        if entry in self._verified:
            return
        if self._differs(entry):
            fresh = self.remake()
            if fresh.entries != self.entries or fresh._differs(entry):
                raise UserError(
                    f"{self._folder}: the sound of {entry.id} is damaged, and making it again gave "
                    f"other sound; start again to read the recordings as they are now")
            self._sound, self._checksums = fresh._sound, fresh._checksums
        self._verified.add(entry)


def cached(name: str, depends_on: Any, make: Make) -> AudioCache:
    """The cache for `depends_on` (anything JSON can hold); made now if it is not there yet.

    `make(facts)` yields (id, float32 [T]) for each recording, and may put into `facts` what JSON
    can hold.

    Raises:
        UserError: when the cache folder cannot be written.
    """
    root, place = cache_folder(), _place(name, depends_on)

    def opened() -> AudioCache | None:
        try:
            return AudioCache(place, made)
        except (ValueError, KeyError, TypeError, FileNotFoundError):  # not there yet, or damaged
            return None
        except OSError as error:
            raise _unwritable(error) from error

    def made() -> AudioCache:
        try:
            root.mkdir(parents=True, exist_ok=True)
            with FileLock(root / ".lock"):  # of many workers that begin together one makes it
                there = opened()
                if there is None or there.damaged():
                    shutil.rmtree(place, ignore_errors=True)
                    with tempfile.TemporaryDirectory(prefix=f"{place.name}.", dir=root) as scratch:
                        _fill(Path(scratch) / "made", make)
                        _move(Path(scratch) / "made", place)
            return AudioCache(place, made)
        except OSError as error:
            raise _unwritable(error) from error

    return opened() or made()


def recall(name: str, depends_on: Any) -> Any:
    """The value of `remember` for the same name and `depends_on`; None if there is none."""
    try:
        return _unsealed(_place(name, depends_on).with_suffix(".json").read_bytes())
    except (OSError, ValueError):  # not there, or damaged from outside
        return None


def remember(name: str, depends_on: Any, value: Any) -> None:
    """Keep what JSON can hold, for `recall`.

    Raises:
        UserError: when the cache folder cannot be written.
    """
    place = _place(name, depends_on).with_suffix(".json")
    try:
        write_atomically(place, lambda file: file.write(_sealed(value)))
    except OSError as error:
        raise _unwritable(error) from error


def _sealed(value: Any) -> bytes:
    """JSON behind a line with its checksum."""
    text = json.dumps(value).encode()
    return b"%08x\n%b" % (zlib.crc32(text), text)


def _unsealed(data: bytes) -> Any:
    """The value of `_sealed`; ValueError where a byte was changed."""
    checksum, _, text = data.partition(b"\n")
    if checksum != b"%08x" % zlib.crc32(text):
        raise ValueError("differs from its checksum")
    return json.loads(text)


def _place(name: str, depends_on: Any) -> Path:
    key = hashlib.sha256(json.dumps([name, depends_on], sort_keys=True).encode()).hexdigest()[:16]
    return cache_folder() / f"{name}-{key}"


def _unwritable(error: OSError) -> UserError:
    return UserError(
        f"cache folder {cache_folder()}: {error.strerror or error}, but corpora are kept there; "
        f"make room or name a folder that can be written in TASNET_CACHE")


def _move(folder: Path, place: Path) -> None:
    try:
        os.replace(folder, place)
    except OSError:
        if not place.is_dir():  # else another process made the same meanwhile, and it serves
            raise


def _fill(folder: Path, make: Make) -> None:
    folder.mkdir()
    entries: list[AudioEntry] = []
    checksums: list[int] = []
    facts: dict[str, Any] = {}
    start = 0
    with open(folder / "sound.i16", "wb") as file:
        for name, samples in make(facts):
            scale = float(np.abs(samples).max(initial=0.0)) / 32767 or 1.0
            numbers = np.rint(samples / np.float64(scale)).astype("<i2").tobytes()
            file.write(numbers)
            checksums.append(zlib.crc32(numbers))
            entries.append(AudioEntry(name, start, len(samples), scale))
            start += len(samples)
    index = {"items": entries, "checksums": checksums, "facts": facts}
    (folder / "index.json").write_bytes(_sealed(index))
