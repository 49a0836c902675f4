"""espeak-ng, a separate GPL-3 library called through ctypes as the wheel `espeakng-loader` has it.

It speaks in a process of its own: its noise depends on state that no call resets, so only a fresh
process that is given the same sentences in the same order speaks them the same, bit for bit.
"""

import ctypes
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasnet_core.errors import CorpusError
from tasnet_core.worker_process import DIED, WorkerProcess, serve

RATE_HZ = 22050  # espeak-ng's own rate


class Request(NamedTuple):
    """One sentence to be spoken."""

    text: str
    voice: str  # in espeak-ng's words: language+variant
    rate: int  # words per minute
    pitch: int  # 0 to 99; 50 is the variant's own
    range: int  # 0 to 99, how much the melody moves; 50 is the variant's own


def edition() -> str:
    """Version of the espeak-ng that would speak, for the key of a cache.

    Raises:
        CorpusError: when the wheel is not installed.
    """
    try:
        return version("espeakng-loader")
    except PackageNotFoundError as error:
        raise CorpusError(
            "corpus voices: the package espeakng-loader, which speaks it, is not installed; "
            "pip install espeakng-loader, or give recordings of your own with folder:PATH"
        ) from error


def speak(requests: Sequence[Request],
          voice_files: Mapping[str, str]) -> Iterator[NDArray[np.float32]]:
    """Audio of each request, float32 [T] at RATE_HZ, without the silence before and after.

    requests: in the order they are spoken in, which decides their noise.
    voice_files: text of voice variants of our own, by name, beside those of espeak-ng.

    Raises:
        CorpusError: when espeak-ng cannot be loaded or ends early.
    """
    edition()
    with tempfile.TemporaryDirectory() as scratch:
        process = WorkerProcess("tasnet_core.corpora.espeak", _data_folder(scratch, voice_files))
        try:
            answers = process.answers(requests)
            for request in requests:
                try:
                    audio = next(answers)
                except DIED:
                    audio = f"status {process.process.wait()}"
                if isinstance(audio, str):
                    raise CorpusError(
                        f"corpus voices: espeak-ng ended in voice {request.voice} ({audio}), but "
                        f"it speaks this corpus; mend its package or give recordings of your own "
                        f"with folder:PATH")
                yield trim(np.frombuffer(audio, "<i2"))
        finally:
            process.end()


def trim(audio: NDArray[np.int16]) -> NDArray[np.float32]:
    """The samples from the first to the last of at least a hundredth of the peak, in ±1."""
    size = np.abs(audio.astype(np.int32))
    loud = np.flatnonzero(size > 0.01 * size.max(initial=0))
    if not len(loud):
        return np.zeros(0, np.float32)
    return audio[loud[0]:loud[-1] + 1].astype(np.float32) / np.float32(32768)


class _Espeak:
    """The library, loaded and ready to speak into memory; it plays nothing."""

    # As in its speak_lib.h.
    SYNCHRONOUS, NO_EXIT, UTF8 = 2, 0x8000, 1
    RATE, PITCH, RANGE = 1, 3, 4

    def __init__(self, data: str) -> None:
        import espeakng_loader

        self.spoken: list[bytes] = []
        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self.library.espeak_Initialize(
            self.SYNCHRONOUS, 0, data.encode(), self.NO_EXIT)
        if rate != RATE_HZ:
            raise RuntimeError(f"espeak_Initialize answered {rate}, not {RATE_HZ} Hz")
        # espeak_Initialize seeds from the clock; the C library's generator is as new in a fresh
        # process.
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._receive)  # kept: C holds no reference to it
        self.library.espeak_SetSynthCallback(self.callback)

    def _receive(self, audio: Any, count: int, events: Any) -> int:
        if audio and count > 0:
            self.spoken.append(ctypes.string_at(audio, 2 * count))
        return 0

    def __call__(self, text: str, voice: str, rate: int, pitch: int, range: int) -> bytes | str:
        """The sound as 16-bit numbers, or why there is none."""
        if self.library.espeak_SetVoiceByName(voice.encode()):
            return f"espeak-ng has no voice {voice}"
        for parameter, value in ((self.RATE, rate), (self.PITCH, pitch), (self.RANGE, range)):
            self.library.espeak_SetParameter(parameter, value, 0)
        self.spoken.clear()
        words = text.encode()
        self.library.espeak_Synth(
            words, ctypes.c_size_t(len(words) + 1), 0, 1, 0, self.UTF8, None, None)
        self.library.espeak_Synchronize()
        return b"".join(self.spoken)


def _data_folder(parent: str, voice_files: Mapping[str, str]) -> str:
    """A folder like espeak-ng's own data, but with these voice variants."""
    import espeakng_loader

    own = Path(espeakng_loader.get_data_path())
    if not voice_files:
        return str(own)
    data = Path(parent, "espeak-ng-data")
    variants = data / "voices" / "!v"
    variants.mkdir(parents=True)
    for entry in own.iterdir():
        if entry.name != "voices":
            (data / entry.name).symlink_to(entry)
    for name, text in voice_files.items():
        (variants / name).write_text(text)
    return str(data)


if __name__ == "__main__":
    speak_one = _Espeak(sys.argv[1])
    serve(lambda request: speak_one(*request))
