"""Sound files: read, write, resample. The only door to soundfile and soxr; every error names its file."""

import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tasnet_core.errors import CorpusError
from tasnet_core.files import write_atomically

SUFFIXES = (".wav", ".flac", ".ogg")  # compared in lower case

Samples = NDArray[np.float32]

_UNKNOWN_SIZE = 0xFFFFFFFF  # what a program writes that streams a WAV and cannot come back to its header


def readable(path: str | os.PathLike[str]) -> str:
    """The path as text that any terminal, JSON file or database takes, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def read(path: str | os.PathLike[str]) -> tuple[Samples, int]:
    """A whole sound file: float32 [channels, T] with full scale at ±1, and its rate in Hz.

    Raises:
        CorpusError: when the file is missing, is not sound, is cut short, or holds NaN or infinity.
    """
    try:
        with open(path, "rb") as file:  # opened here: soundfile cannot open names that are not UTF-8
            samples, rate, frames = _decode(file)
            fault = _wav_fault(file) or _ogg_fault(file)
    except OSError as error:
        raise CorpusError(f"{readable(path)}: cannot be read: {error.strerror or error}") from error
    except _UndecodableError as error:
        raise CorpusError(f"{readable(path)}: {error}") from error
    if fault:
        raise CorpusError(f"{readable(path)}: truncated: {fault}")
    if len(samples) < frames:
        raise CorpusError(f"{readable(path)}: truncated: {len(samples)} of {frames} samples could be read")
    if not np.isfinite(samples).all():
        raise CorpusError(f"{readable(path)}: holds samples that are NaN or infinite")
    return np.ascontiguousarray(samples.T), rate


def write(path: str | os.PathLike[str], samples: Samples, rate: int) -> None:
    """Write [T] or [channels, T] as a 16-bit PCM WAV that appears whole or not at all.

    Raises:
        ValueError: when a sample is not finite or beyond ±1. Nothing is ever clipped: scale first.
        OSError: when it cannot be written; what stood there stays.
    """
    samples = np.asarray(samples)
    peak = float(np.abs(samples).max(initial=0.0))
    if not peak <= 1.0:  # also true for NaN
        raise ValueError(f"{readable(path)}: peak {peak:.3g} does not fit into ±1; scale the samples first")
    # Rounded here, once: libsndfile would scale by 32768 and clip the sample +1.
    whole = np.rint(samples.T.astype(np.float64) * 32767).astype(np.int16)
    write_atomically(
        Path(path), lambda file: soundfile.write(file, whole, rate, format="WAV", subtype="PCM_16"))


def resample(samples: Samples, rate: float, wanted: float) -> Samples:
    """[T] or [channels, T] from one rate to another: soxr's high quality, which keeps the time axis."""
    if rate == wanted:
        return samples
    return np.asarray(soxr.resample(samples.T, rate, wanted, quality="HQ").T, dtype=np.float32)


class _UndecodableError(Exception):
    pass


def _decode(file: BinaryIO) -> tuple[Samples, int, int]:
    """[T, channels], the rate, and how many samples of a channel the header promised."""
    if not file.read(1):
        raise _UndecodableError("not a sound file: no bytes in it")
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        raise _UndecodableError(f"not a sound file: {error.error_string}") from error
    with sound:
        try:
            return sound.read(dtype="float32", always_2d=True), int(sound.samplerate), int(sound.frames)
        except soundfile.LibsndfileError as error:
            raise _UndecodableError(f"truncated or damaged: {error.error_string}") from error


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
