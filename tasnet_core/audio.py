"""Sound files: read, write, resample. The only door to soundfile and soxr; every error names its file."""

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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

Samples = NDArray[np.float32]

_WAV_KINDS = (1, 3)  # integers and floats: what a frame's size can be told of without libsndfile
_WAV_SUBKIND = 0xFFFE  # the kind is told later, in the same chunk
_UNKNOWN_SIZE = 0xFFFFFFFF  # what a program writes that streams a WAV and cannot come back to its header


def readable(path: str | os.PathLike[str]) -> str:
    """The path as text that any terminal, JSON file or database takes, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: str | os.PathLike[str]) -> tuple[Samples, int]:
    """A whole sound file: float32 [channels, T] with full scale at ±1, and its rate in Hz.

    Raises:
        CorpusError: when the file is missing, is not sound, is cut short, or holds NaN or infinity.
    """
    with _named_errors(path), open(path, "rb") as file:  # opened here: soundfile cannot open names that are not UTF-8
        samples, rate, frames = _decode(file)
        fault = _wav_fault(file) or _ogg_fault(file)
    if fault:
        raise CorpusError(f"{readable(path)}: truncated: {fault}")
    if len(samples) < frames:
        raise CorpusError(f"{readable(path)}: truncated: {len(samples)} of {frames} samples could be read")
    if not np.isfinite(samples).all():
        raise CorpusError(f"{readable(path)}: holds samples that are NaN or infinite")
    return np.ascontiguousarray(samples.T), rate


class Header(NamedTuple):
    """What a sound file says of itself."""

    rate: int
    channels: int
    frames: int


def header(path: str | os.PathLike[str]) -> Header:
    """What a file's header says, without reading its sound; of a WAV also that no byte of it is missing.

    Raises:
        CorpusError: when the file is missing, is not sound, or shows already now that it is cut short.
    """
    with _named_errors(path), open(path, "rb") as file:
        found, fault = _wav_header(file), _wav_fault(file)
        if not found:
            with _opened(file) as sound:
                found = Header(int(sound.samplerate), int(sound.channels), int(sound.frames))
    if fault:
        raise CorpusError(f"{readable(path)}: truncated: {fault}")
    return found


def read_part(path: str | os.PathLike[str], start: int, frames: int) -> Samples:
    """Only samples `start` to `start + frames` of a file, or as far as it reaches: float32 [channels, T].

    Raises:
        CorpusError: as `read`, as far as this part shows it.
    """
    with _named_errors(path), open(path, "rb") as file, _opened(file) as sound:
        sound.seek(min(start, int(sound.frames)))
        samples = sound.read(frames, dtype="float32", always_2d=True)
    if not np.isfinite(samples).all():
        raise CorpusError(f"{readable(path)}: holds samples that are NaN or infinite")
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
    with _named_errors(path), open(path, "rb") as file:
        if fault := _wav_fault(file) or _ogg_fault(file):
            raise CorpusError(f"{readable(path)}: truncated: {fault}")
        with _opened(file) as sound:
            read = 0
            for block in sound.blocks(size, dtype="float32", always_2d=True):
                if not np.isfinite(block).all():
                    raise CorpusError(f"{readable(path)}: holds samples that are NaN or infinite")
                read += len(block)
                yield np.ascontiguousarray(block.T)
            if read < sound.frames:
                raise CorpusError(f"{readable(path)}: truncated: {read} of {sound.frames} samples could be read")


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


def _wav_header(file: BinaryIO) -> Header | None:
    """The header of a plain WAV, three times as fast as libsndfile tells it; None where that has to be asked."""
    rate = channels = size = 0
    if not (file.read(4) == b"RIFF" and file.read(8)[4:] == b"WAVE"):
        return None
    while len(start := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", start)
        if name == b"data":
            if length == _UNKNOWN_SIZE:
                here = file.tell()
                length = file.seek(0, os.SEEK_END) - here
            return Header(rate, channels, length // size) if size and rate else None
        if name == b"fmt " and 16 <= length <= 64:
            content = file.read(length + length % 2)
            if len(content) < length:
                return None
            kind, channels, rate, _, size, _ = struct.unpack_from("<HHIIHH", content)
            if kind == _WAV_SUBKIND and length >= 26:
                kind = struct.unpack_from("<H", content, 24)[0]
            if kind not in _WAV_KINDS:
                return None
        else:
            file.seek(length + length % 2, os.SEEK_CUR)
    return None


@contextmanager
def _named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """What goes wrong with a file, as a CorpusError that names it."""
    try:
        yield
    except OSError as error:
        raise CorpusError(f"{readable(path)}: cannot be read: {error.strerror or error}") from error
    except soundfile.LibsndfileError as error:
        raise CorpusError(f"{readable(path)}: truncated or damaged: {error.error_string}") from error
    except _UndecodableError as error:
        raise CorpusError(f"{readable(path)}: {error}") from error


def _opened(file: BinaryIO) -> soundfile.SoundFile:
    file.seek(0)
    if not file.read(1):
        raise _UndecodableError("not a sound file: no bytes in it")
    file.seek(0)
    try:
        return soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        raise _UndecodableError(f"not a sound file: {error.error_string}") from error


def _decode(file: BinaryIO) -> tuple[Samples, int, int]:
    """[T, channels], the rate, and how many samples of a channel the header promised."""
    with _opened(file) as sound:
        return sound.read(dtype="float32", always_2d=True), int(sound.samplerate), int(sound.frames)


def _wav_fault(file: BinaryIO) -> str:
    """What shows that a WAV file is cut short, or "" when nothing does.

    libsndfile reads such a file to its end and says nothing, so a broken copy would look whole.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not (file.read(4) == b"RIFF" and file.read(8)[4:] == b"WAVE"):
        return ""
    while len(header := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", header)
        end = file.tell() + length
        if name == b"data":
            missing = 0 if length == _UNKNOWN_SIZE else end - size
            return f"{missing} bytes fewer than its header says" if missing > 0 else ""
        file.seek(end + length % 2)
    return ""


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
