"""Sound files: read, write, resample. The only door to soundfile and soxr; every error names its file."""

import io
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tasnet_core.errors import CorpusError
from tasnet_core.files import write_atomically

BLOCK = 2**18  # samples of a channel read at once where a recording may be long
SUFFIXES = (".wav", ".flac", ".ogg")  # compared in lower case

Samples = NDArray[np.float32]

RATES_HZ = (1000, 1_000_000)  # what a header may claim: a wrong one would cost memory and hours when it is resampled

_WAV_KINDS = (1, 3)  # integers and floats: what a frame's size can be told of without libsndfile
_WAV_SUBKIND = 0xFFFE  # the kind is told later, in the same chunk
_WAV_CHUNKS = 1000  # looked at before the sound; of zeros alone a file could have millions
_UNKNOWN_FRAMES = 2**62  # libsndfile has that many for a FLAC from a pipe

_LENGTH_TOLD = ("FLAC", "OGG", "MP3", "CAF")  # the header says how many samples there are, the number of bytes does not

# What libsndfile notes of a container that is cut short, or of its sound: 16000 bytes (should be 7978).
_LESS = re.compile(r"^ *(?:riff|Riff size|SSND|BODY|data|Data Size|Data length) *:? (\d+) \(?should be (\d+)", re.MULTILINE)


def readable(path: str | os.PathLike[str]) -> str:
    """The path as text that any terminal, JSON file or database takes, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: str | os.PathLike[str]) -> tuple[Samples, int]:
    """A whole sound file: float32 [channels, T] with full scale at ±1, and its rate in Hz.

    Raises:
        CorpusError: when the file is missing, is not sound, is cut short, or holds NaN or infinity.
    """
    with _named_errors(path), _file(path) as file, _opened(file) as sound:  # soundfile cannot open names that are not UTF-8
        _check_whole(file, sound)
        pieces = list(_pieces(sound, sound.frames))
        _check_length(sound, sum(map(len, pieces)))
        samples = pieces[0] if len(pieces) == 1 else np.concatenate([np.zeros((0, sound.channels), np.float32), *pieces])
    return np.ascontiguousarray(samples.T), int(sound.samplerate)


class Header(NamedTuple):
    """What a sound file says of itself."""

    rate: int
    channels: int
    frames: int


def header(path: str | os.PathLike[str]) -> Header:
    """What a file's header says, without reading its sound where that can be; and that nothing of the file is missing.

    Raises:
        CorpusError: when the file is missing, is not sound, or shows already now that it is cut short.
    """
    with _named_errors(path), _file(path) as file:
        wav = _wav(file)
        if wav and wav.header and not wav.missing:
            _check_rate(wav.header.rate)
            return wav.header
        with _opened(file) as sound:
            _check_whole(file, sound)
            return Header(int(sound.samplerate), int(sound.channels), _counted(sound))


def read_part(path: str | os.PathLike[str], start: int, frames: int) -> Samples:
    """Only samples `start` to `start + frames` of a file, or as far as it reaches: float32 [channels, T].

    Raises:
        CorpusError: as `read`, as far as this part shows it.
    """
    with _named_errors(path), _file(path) as file, _opened(file) as sound:
        if sound.can_seek():
            sound.seek(min(start, int(sound.frames)))
        else:
            for _ in _pieces(sound, start):
                pass
        pieces = [np.zeros((0, sound.channels), np.float32), *_pieces(sound, frames)]
        samples = pieces[1] if len(pieces) == 2 else np.concatenate(pieces)
    return np.ascontiguousarray(samples.T)


def write_exactly(path: str | os.PathLike[str], samples: Samples, rate: int) -> None:
    """Write float32 [T] as a float WAV, every bit kept, whatever its level; for folders that appear as a whole."""
    with open(path, "wb") as file:
        soundfile.write(file, np.asarray(samples, np.float32), rate, format="WAV", subtype="FLOAT")


def blocks(path: str | os.PathLike[str], size: int = BLOCK) -> Iterator[Samples]:
    """What `read` reads, float32 [channels, n] at a time, n up to `size`: for recordings of any length.

    Raises:
        CorpusError: as `read`, when the fault is reached.
    """
    with _named_errors(path), _file(path) as file, _opened(file) as sound:
        _check_whole(file, sound)
        read = 0
        for piece in _pieces(sound, sound.frames, size):
            read += len(piece)
            yield np.ascontiguousarray(piece.T)
        _check_length(sound, read)


def write(path: str | os.PathLike[str], samples: Samples, rate: int) -> None:
    """Write [T] or [channels, T] as a 16-bit PCM WAV that appears whole or not at all.

    Raises:
        ValueError: when a sample is not finite or beyond ±1. Nothing is ever clipped: scale first.
        OSError: when it cannot be written; what stood there stays.
    """
    whole = _whole_numbers(path, np.asarray(samples))
    write_atomically(
        Path(path), lambda file: soundfile.write(file, whole, rate, format="WAV", subtype="PCM_16"))


def write_blocks(path: str | os.PathLike[str], pieces: Iterable[Samples], rate: int, length: int) -> None:
    """What `write` writes, from pieces [n] that are `length` samples in all; RF64 where that is too long for a WAV.

    Raises:
        ValueError, OSError: as `write`.
    """
    def fill(file: BinaryIO) -> None:
        kind = "WAV" if 2 * length < 2**32 - 2**16 else "RF64"
        with soundfile.SoundFile(file, "w", rate, 1, "PCM_16", format=kind) as sound:
            for piece in pieces:
                sound.write(_whole_numbers(path, piece))
    write_atomically(Path(path), fill)


def encoded(samples: Samples, rate: int, kind: str) -> bytes:
    """[T] as the content of a file that every browser plays: `kind` flac, 16 bit and without loss, or mp3.

    Raises:
        ValueError: as `write`.
        RuntimeError: when libsndfile cannot encode this kind, or not at this rate.
    """
    file = io.BytesIO()
    soundfile.write(file, _whole_numbers(f"a sound for {kind}", samples), rate, format=kind)
    return file.getvalue()


def _whole_numbers(path: str | os.PathLike[str], samples: Samples) -> NDArray[np.int16]:
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak <= 1.0:  # also true for NaN
        raise ValueError(f"{readable(path)}: peak {peak:.3g} does not fit into ±1; scale the samples first")
    # Rounded here, once: libsndfile would scale by 32768 and clip the sample +1.
    return np.rint(samples.T.astype(np.float64) * 32767).astype(np.int16)


def resample(samples: Samples, rate: float, wanted: float) -> Samples:
    """[T] or [channels, T] from one rate to another: soxr's high quality, which keeps the time axis."""
    if rate == wanted:
        return samples
    return np.asarray(soxr.resample(samples.T, rate, wanted, quality="HQ").T, dtype=np.float32)


def resampled_length(frames: int, rate: int, wanted: int) -> int:
    """How many samples `resample` makes of so many: rounded, half of one upwards."""
    return frames if rate == wanted else (2 * frames * wanted + rate) // (2 * rate)


def resampled(pieces: Iterable[Samples], rate: float, wanted: float) -> Iterator[Samples]:
    """What `resample` gives for the pieces [n] joined, sample for sample, without ever joining them."""
    if rate == wanted:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(piece)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


class _UndecodableError(Exception):
    pass


class _Sound(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is read from its beginning on: soundfile would seek after each read, which some codings cannot."""

    def seekable(self) -> bool:
        return False

    def can_seek(self) -> bool:
        # Of DWVW libsndfile says that it can; in a file of unknown length a place behind its end is an error.
        return bool(super().seekable()) and not self.subtype.startswith("DWVW") and self.frames < _UNKNOWN_FRAMES


class _Wav(NamedTuple):
    """What the chunks of a WAV file tell."""

    start: int  # of its sound, in bytes
    missing: int  # bytes of it
    streamed: bool  # written to a pipe: its size was not known
    header: Header | None  # None where libsndfile has to be asked


class _Bytes:
    """A file as libsndfile is to see it, the bytes at `unknown` as 0xFF; soundfile would print what goes wrong as tracebacks."""

    def __init__(self, file: BinaryIO, unknown: range) -> None:
        self.tell, self._file, self._unknown = file.tell, file, unknown

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with suppress(OSError, OverflowError):  # a damaged header sends it before the beginning
            self._file.seek(offset, whence)
        return self.tell()

    def readinto(self, buffer: Any) -> int:
        here, count = self.tell(), 0
        with suppress(OSError):
            count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        for place in range(max(here, self._unknown.start), min(here + count, self._unknown.stop)):
            buffer[place - here] = b"\xff"
        return count


def _wav(file: BinaryIO) -> _Wav | None:
    """What its chunks tell of a WAV file, three times as fast as libsndfile; None for files of other kinds."""
    rate = channels = size = 0
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not ((start := file.read(12))[:4] == b"RIFF" and start[8:] == b"WAVE"):
        return None
    whole = struct.unpack_from("<I", start, 4)[0] + 8
    for _ in range(_WAV_CHUNKS):
        if len(start := file.read(8)) < 8:
            break
        name, length = struct.unpack("<4sI", start)
        here = file.tell()
        if name == b"data":
            streamed = here < end and (_unknown(length) if length > end - here else not length and not here < whole <= end)
            length = end - here if streamed else length
            header = Header(rate, channels, length // size) if size and rate else None
            return _Wav(here, max(0, here + length - end), streamed, header)
        if name == b"fmt " and 16 <= length <= 64 and len(content := file.read(length)) == length:
            kind, channels, rate, _, size, bits = struct.unpack_from("<HHIIHH", content)
            if kind == _WAV_SUBKIND and length >= 26:
                kind = struct.unpack_from("<H", content, 24)[0]
            if kind not in _WAV_KINDS or not size or size != channels * (-(-bits // 8)):
                size = 0
        file.seek(here + length + length % 2)
    return None


def _unknown(size: int) -> bool:
    """Whether a program that writes to a pipe, and cannot come back to its header, gives its sound such a size in bytes.

    sox has 0x7F000000 or 0x7FFFF000, less what is no whole frame; arecord 0x7FFFFF00 or 0x80000000; ffmpeg 0xFFFFFFFF.
    """
    return abs(size - 0x7F000000) < 1024 or 0x7FFFF000 - 1024 < size <= 0x80000000 or size >= 0xFFFFFF00


def _file(path: str | os.PathLike[str]) -> BinaryIO:
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a folder is refused when it is opened, a FIFO would wait for ever
        raise _UndecodableError("a FIFO, socket or device, but a file is wanted")
    return open(path, "rb")


@contextmanager
def _named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """What goes wrong with a file, as a CorpusError that names it."""
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{readable(path)}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte in its name
        raise CorpusError(f"{readable(path)}: cannot be read: {error}") from error
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{readable(path)}: truncated or damaged: {error.error_string}") from error
    except _UndecodableError as error:
        raise CorpusError(f"{readable(path)}: {error}") from error


def _opened(file: BinaryIO) -> _Sound:
    wav = _wav(file)
    file.seek(0)
    if not file.read(1):
        raise _UndecodableError("not a sound file: no bytes in it")
    file.seek(0)
    try:
        if wav and wav.header and not wav.streamed:
            sound = _Sound(file)
        else:
            sound = _Sound(_Bytes(file, range(wav.start - 4, wav.start) if wav and wav.streamed else range(0)))
    except soundfile.LibsndfileError as error:
        raise _UndecodableError(f"not a sound file: {error.error_string}") from error
    _check_rate(sound.samplerate)
    return sound


def _check_rate(rate: int) -> None:
    if not RATES_HZ[0] <= rate <= RATES_HZ[1]:
        raise _UndecodableError(f"{rate} Hz, but {RATES_HZ[0]} to {RATES_HZ[1]} Hz are wanted; is its header damaged?")


def _pieces(sound: _Sound, frames: int, size: int = BLOCK) -> Iterator[Samples]:
    """The next `frames` samples, or as many as there are, [n, channels] at a time: never is memory taken on a header's word."""
    size = max(1, size // sound.channels)
    while frames > 0 and len(piece := sound.read(min(frames, size), dtype="float32", always_2d=True)):
        if not np.isfinite(piece).all():
            raise _UndecodableError("holds samples that are NaN or infinite")
        frames -= len(piece)
        yield piece


def _counted(sound: _Sound) -> int:
    """How many samples of a channel there are: where only the header says it the last is tried, where it does not all are."""
    if sound.frames >= _UNKNOWN_FRAMES:
        return sum(map(len, _pieces(sound, sound.frames)))
    if sound.frames and sound.format in _LENGTH_TOLD:
        sound.seek(sound.frames - 1)
        _check_length(sound, sound.frames - 1 + sum(map(len, _pieces(sound, 1))))
    return int(sound.frames)


def _check_length(sound: _Sound, read: int) -> None:
    if read < sound.frames < _UNKNOWN_FRAMES:
        raise _UndecodableError(f"truncated: {read} of {sound.frames} samples could be read")


def _check_whole(file: BinaryIO, sound: _Sound) -> None:
    """libsndfile reads a file that is cut short to its end and says nothing, so a broken copy would look whole."""
    here = file.tell()
    wav = _wav(file)
    fault = (f"{wav.missing} bytes fewer than its header says" if wav and wav.missing else
             "" if wav else _ogg_fault(file) or _nist_fault(file, sound) or _noted_fault(sound))
    file.seek(here)
    if fault:
        raise _UndecodableError(f"truncated: {fault}")


def _noted_fault(sound: _Sound) -> str:
    """What libsndfile notes while it opens a file that is cut short, or ""."""
    sizes = [(int(said), int(there)) for said, there in _LESS.findall(sound.extra_info)]
    missing = max((said - there for said, there in sizes), default=0)
    return f"{missing} bytes fewer than its header says" if missing > 0 and not any(_unknown(said) for said, _ in sizes) else ""


def _nist_fault(file: BinaryIO, sound: _Sound) -> str:
    """What shows that a NIST SPHERE file is cut short, or ""."""
    file.seek(0)
    found = re.search(rb"\nsample_count -i (\d+)\n", file.read(1024)) if sound.format == "NIST" else None
    return f"{sound.frames} of {int(found[1])} samples could be read" if found and sound.frames < int(found[1]) else ""


def _ogg_fault(file: BinaryIO) -> str:
    """What shows that an Ogg file is cut short, or "" when its last page is whole and marked as the last."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return ""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * 65_307))  # a page has at most 65,307 bytes
    tail = file.read()
    page = tail[tail.rfind(b"OggS"):]  # mark, version, flags at 5, …, segments at 26, their lengths from 27
    whole = len(page) > 26 and len(page) >= 27 + page[26] + sum(page[27:27 + page[26]])
    return "" if whole and page[5] & 4 else "its stream has no end"
