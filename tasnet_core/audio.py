"""Sound files: read, write, resample. Every error names its file.

The only door to soundfile and soxr.
"""

import io
import mmap
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tasnet_core.errors import CorpusError
from tasnet_core.files import write_atomically

BLOCK = 2**18  # samples of a channel read at once where a recording may be long
SUFFIXES = (".wav", ".flac", ".ogg")  # compared in lower case
RATES_HZ = (1000, 1_000_000)  # a wrong one in a header would cost memory and hours when resampled

Samples = NDArray[np.float32]
AnyPath = str | os.PathLike[str]

_UNKNOWN_FRAMES = 2**62  # libsndfile has that many for a FLAC from a pipe

# Formats in which only the header has the number of samples; the size of the file does not give it.
_LENGTH_IN_HEADER = ("FLAC", "OGG", "MP3", "CAF")

# libsndfile's note of a container, or its sound, that is cut short: 16000 (should be 7978).
_SHORTER = re.compile(
    r"^ *(?:riff|Riff size|SSND|BODY|data|Data Size|Data length) *:? (\d+) \(?should be (\d+)",
    re.MULTILINE)
_NIST_LENGTH = re.compile(rb"\nsample_count -i (\d+)\n")


def readable(path: AnyPath) -> str:
    """The path as text that any terminal, JSON file or database takes, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Header(NamedTuple):
    """Rate in Hz, channels and samples of a channel, as a sound file states them."""

    rate: int
    channels: int
    frames: int


def header(path: AnyPath) -> Header:
    """The header of a file, its sound unread where possible; and that nothing of it is missing.

    Raises:
        CorpusError: when the file is missing, is not sound, or is seen to be cut short.
    """
    with _opened(path) as sound:
        return Header(int(sound.samplerate), int(sound.channels), _count(sound))


def read(path: AnyPath) -> tuple[Samples, int]:
    """A whole sound file: float32 [channels, T] with full scale at ±1, and its rate in Hz.

    Raises:
        CorpusError: when the file is missing, is not sound, is cut short, or has NaN or infinity.
    """
    with _opened(path) as sound:
        return _joined(sound, _all_pieces(sound)), int(sound.samplerate)


def read_part(path: AnyPath, start: int, frames: int) -> Samples:
    """Samples `start` to `start + frames`, or as far as the file reaches: float32 [channels, T].

    Raises:
        CorpusError: as `read`, as far as this part shows it.
    """
    with _opened(path) as sound:
        if sound.can_seek():
            sound.seek(min(start, int(sound.frames)))
        else:
            for _ in _pieces(sound, start):
                pass
        return _joined(sound, _pieces(sound, frames))


def blocks(path: AnyPath, size: int = BLOCK) -> Iterator[Samples]:
    """The samples of `read`, float32 [channels, n] at a time, n up to `size`: for any length.

    Raises:
        CorpusError: as `read`, when the fault is reached.
    """
    with _opened(path) as sound:
        for piece in _all_pieces(sound, size):
            yield np.ascontiguousarray(piece.T)


def write(path: AnyPath, samples: Samples, rate: int) -> None:
    """Write [T] or [channels, T] as a 16-bit PCM WAV that appears whole or not at all.

    Raises:
        ValueError: when a sample is not finite or beyond ±1. Nothing is clipped: scale first.
        OSError: when it cannot be written; what stood there stays.
    """
    whole = _whole_numbers(path, np.asarray(samples))
    write_atomically(Path(path), lambda file: soundfile.write(
        file, whole, rate, format="WAV", subtype="PCM_16"))


def write_blocks(path: AnyPath, pieces: Iterable[Samples], rate: int, length: int) -> None:
    """`write` for pieces [n] of `length` samples in all; RF64 where that is too long for a WAV.

    Raises:
        ValueError, OSError: as `write`.
    """
    def fill(file: BinaryIO) -> None:
        kind = "WAV" if 2 * length < 2**32 - 2**16 else "RF64"
        with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format=kind) as sound:
            for piece in pieces:
                sound.write(_whole_numbers(path, piece))
    write_atomically(Path(path), fill)


def write_exactly(path: AnyPath, samples: Samples, rate: int) -> None:
    """Write float32 [T] as a float WAV, every bit kept; for folders that appear as a whole."""
    with open(path, "wb") as file:
        soundfile.write(file, np.asarray(samples, np.float32), rate, format="WAV", subtype="FLOAT")


def encoded(samples: Samples, rate: int, kind: str) -> bytes:
    """[T] as bytes that every browser plays: `kind` flac, 16 bit and without loss, or mp3.

    Raises:
        ValueError: as `write`.
        RuntimeError: when libsndfile cannot encode this kind, or not at this rate.
    """
    file = io.BytesIO()
    soundfile.write(file, _whole_numbers(f"a sound for {kind}", samples), rate, format=kind)
    return file.getvalue()


def _whole_numbers(path: AnyPath, samples: Samples) -> NDArray[np.int16]:
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak <= 1.0:  # also true for NaN
        raise ValueError(f"{readable(path)}: peak {peak:.3g} does not fit into ±1; "
                         f"scale the samples first")
    # Rounded here, once: libsndfile would scale by 32768 and clip the sample +1.
    return np.rint(samples.T.astype(np.float64) * 32767).astype(np.int16)


def resample(samples: Samples, rate: float, wanted: float) -> Samples:
    """[T] or [channels, T] at another rate: soxr's high quality, which keeps the time axis."""
    if rate == wanted:
        return samples
    return np.asarray(soxr.resample(samples.T, rate, wanted, quality="HQ").T, dtype=np.float32)


def resampled_length(frames: int, rate: int, wanted: int) -> int:
    """Number of samples that `resample` returns for so many: rounded, half of one upwards."""
    return frames if rate == wanted else (2 * frames * wanted + rate) // (2 * rate)


def resampled(pieces: Iterable[Samples], rate: float, wanted: float) -> Iterator[Samples]:
    """`resample` of the pieces [n] joined, sample for sample, without ever joining them."""
    if rate == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


class _UnusableError(Exception):
    """A fault of a file whose name `_opened` adds."""


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file read from its beginning on: soundfile seeks after reads, which some codings cannot."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        # libsndfile claims it of DWVW; and of unknown length a place behind its end is an error.
        return (bool(super().seekable()) and not self.subtype.startswith("DWVW")
                and self.frames < _UNKNOWN_FRAMES)


class _Bytes(mmap.mmap):
    """Bytes of a file, changed in memory alone. A seek beyond its ends does nothing."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> None:
        with suppress(ValueError):
            super().seek(offset, whence)  # type: ignore[arg-type]


@contextmanager
def _opened(path: AnyPath) -> Iterator[_Sound]:
    """A whole sound file, to read from; each fault of it is a CorpusError that names it."""
    name = readable(path)
    try:
        with _open(path) as sound:
            if not RATES_HZ[0] <= sound.samplerate <= RATES_HZ[1]:
                raise _UnusableError(
                    f"{sound.samplerate} Hz, but {RATES_HZ[0]} to {RATES_HZ[1]} Hz are wanted; "
                    f"is its header damaged?")
            if fault := _cut_short(path, sound):
                raise _UnusableError(f"truncated: {fault}")
            yield sound
    except OSError as error:
        raise CorpusError(f"{name}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte in its name
        raise CorpusError(f"{name}: cannot be read: {error}") from error
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{name}: truncated or damaged: {error.error_string}") from error
    except _UnusableError as error:
        raise CorpusError(f"{name}: {error}") from error


def _open(path: AnyPath) -> _Sound:
    with open(path, "rb", opener=_open_regular) as file:
        if not file.read(1):
            raise _UnusableError("not a sound file: no bytes in it")
    try:
        sound = _Sound(os.fsencode(path))  # as bytes: soundfile refuses names that are not UTF-8
        if sound.frames or not sound.format.startswith("WAV"):
            return sound
        unfinished = _with_unknown_size(path)
        return _Sound(unfinished) if unfinished else sound
    except soundfile.LibsndfileError as error:
        raise _UnusableError(f"not a sound file: {error.error_string}") from error


def _open_regular(path: str, flags: int) -> int:
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # opening a FIFO would wait for ever
        raise _UnusableError("a FIFO, socket or device, but a file is wanted")
    return os.open(path, flags)


def _with_unknown_size(path: AnyPath) -> _Bytes | None:
    """A WAV whose writer never came back to its header, as one from a pipe; None if it is empty."""
    with open(path, "rb") as file:
        data = _Bytes(file.fileno(), 0, access=mmap.ACCESS_COPY)
    start = data.find(b"data\0\0\0\0", 12, 2**16) + 8
    end_of_chunks = int.from_bytes(data[4:8], "little") + 8
    if not 12 < start < len(data) or start < end_of_chunks <= len(data):
        return None
    data[start - 4:start] = b"\xff\xff\xff\xff"
    return data


def _pieces(sound: _Sound, frames: int, size: int = BLOCK) -> Iterator[Samples]:
    """The next `frames` samples or fewer, [n, channels] at a time.

    Memory is never taken on a header's word.
    """
    size = max(1, size // sound.channels)
    while frames > 0:
        piece = sound.read(min(frames, size), dtype="float32", always_2d=True)
        if not len(piece):
            return
        if not np.isfinite(piece).all():
            raise _UnusableError("holds samples that are NaN or infinite")
        frames -= len(piece)
        yield piece


def _all_pieces(sound: _Sound, size: int = BLOCK) -> Iterator[Samples]:
    count = 0
    for piece in _pieces(sound, sound.frames, size):
        count += len(piece)
        yield piece
    _check_length(sound, count)


def _joined(sound: _Sound, pieces: Iterable[Samples]) -> Samples:
    """[channels, T] of pieces [n, channels]."""
    found = list(pieces) or [np.zeros((0, sound.channels), np.float32)]
    return np.ascontiguousarray((found[0] if len(found) == 1 else np.concatenate(found)).T)


def _count(sound: _Sound) -> int:
    """Samples of a channel. Where only the header has the number, the last of them is read."""
    if sound.frames >= _UNKNOWN_FRAMES:
        return sum(map(len, _pieces(sound, sound.frames)))
    if sound.frames and sound.format in _LENGTH_IN_HEADER:
        sound.seek(sound.frames - 1)
        _check_length(sound, sound.frames - 1 + sum(map(len, _pieces(sound, 1))))
    return int(sound.frames)


def _check_length(sound: _Sound, count: int) -> None:
    if count < sound.frames < _UNKNOWN_FRAMES:
        raise _UnusableError(f"truncated: {count} of {sound.frames} samples could be read")


def _cut_short(path: AnyPath, sound: _Sound) -> str:
    """The sign that a file is cut short, or "".

    libsndfile reads such a file to its end without an error, so a broken copy would look whole.
    """
    notes = _SHORTER.findall(sound.extra_info)
    sizes = [(int(claimed), int(found)) for claimed, found in notes]
    missing = max((claimed - found for claimed, found in sizes), default=0)
    if missing > 0 and not any(_of_a_pipe(claimed) for claimed, _ in sizes):
        return f"{missing} bytes fewer than its header says"
    if sound.format in ("OGG", "NIST"):
        with open(path, "rb") as file:
            return _ogg_fault(file) if sound.format == "OGG" else _nist_fault(file, sound.frames)
    return ""


def _ogg_fault(file: BinaryIO) -> str:
    """"" when the last page is whole and marked as the last."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 2 * 65_307))  # a page has at most 65,307 bytes
    tail = file.read()
    page = tail[tail.rfind(b"OggS"):]  # flags at 5, number of segments at 26, their lengths from 27
    whole = len(page) > 26 and len(page) >= 27 + page[26] + sum(page[27:27 + page[26]])
    return "" if whole and page[5] & 4 else "its stream has no end"


def _nist_fault(file: BinaryIO, frames: int) -> str:
    found = _NIST_LENGTH.search(file.read(1024))
    if found and frames < int(found[1]):
        return f"{frames} of {int(found[1])} samples could be read"
    return ""


def _of_a_pipe(size: int) -> bool:
    """True for a size in bytes that a program writes which cannot come back to its header.

    sox: 0x7F000000 or 0x7FFFF000, less what is no whole frame; arecord: 0x7FFFFF00 or 0x80000000;
    ffmpeg: 0xFFFFFFFF.
    """
    return (abs(size - 0x7F000000) < 1024 or 0x7FFFF000 - 1024 < size <= 0x80000000
            or size >= 0xFFFFFF00)
