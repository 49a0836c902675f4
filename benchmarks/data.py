"""How fast training gets its mixtures on one core: from the memory-mapped cache, and from files as usual toolkits read them.

    python benchmarks/data.py

The peer is python-soundfile, as in the datasets of Asteroid: the same slices of the same recordings are read from 16-bit files
by start and stop, and added. It draws nothing and sets no levels; `segment` does both. A batch is what a training step
begins with: sources and mixture as tensors. All of it lies in the system's file cache.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from tasnet_core.corpora.audio_cache import AudioCache, AudioEntry, Slice
from tasnet_core.corpora.mixed import MixedCorpus
from tasnet_core.corpora.mixture import Sound
from tasnet_core.corpora.registry import open_voices
from tasnet_core.training.batches import batch_of

REPEATS = 9
REPEAT_S = 400          # seconds of sound that each way makes in a repeat
BATCH = 8
RATE_HZ = 8000
KINDS = ("wav", "flac")


class Watched:
    """A cache that keeps what is read from it."""

    def __init__(self, cache: AudioCache) -> None:
        self.cache = cache
        self.slices: list[Slice] = []

    def read(self, entry: AudioEntry, start: int, length: int) -> Sound:
        self.slices.append(Slice(entry, start, length))
        return self.cache.read(entry, start, length)

    def peak(self, cut: Slice, step: int) -> np.float32:
        return self.cache.peak(cut, step)


def chosen(corpus: MixedCorpus, samples: int) -> dict[int, list[Slice]]:
    """Segments for REPEAT_S, and what each reads: first all of its first source, then of its second."""
    found: dict[int, list[Slice]] = {}
    cache, index = corpus.cache, 0
    while len(found) < REPEAT_S * RATE_HZ // samples:
        watched = Watched(cache)
        corpus.cache = watched     # type: ignore[assignment]
        corpus.segment(0, 1, index, samples)
        if sum(cut.length for cut in watched.slices) == 2 * samples:      # else a silent cut was given up for another
            found[index] = watched.slices
        index += 1
    corpus.cache = cache
    return found


def write_files(cache: AudioCache, folder: Path, slices: list[Slice]) -> None:
    """Each recording as WAV and as FLAC of 16 bits."""
    for entry, kind in {(cut.entry, kind) for cut in slices for kind in KINDS}:
        soundfile.write(folder / f"{entry.start}.{kind}", cache.read(entry), RATE_HZ, subtype="PCM_16")


def from_files(folder: Path, kind: str, slices: list[Slice]) -> tuple[Sound, Sound]:
    """Sources [2, T] and their sum [T]."""
    pieces = [soundfile.read(f"{folder}/{cut.entry.start}.{kind}", start=cut.start, stop=cut.start + cut.length,
                             dtype="float32")[0] for cut in slices]
    sources = np.concatenate(pieces).reshape(2, -1)
    return sources, sources[0] + sources[1]


def check_same(ours: Sound, theirs: Sound) -> None:
    """Stop where the files give anything but the same sources at other levels, rounded to 16 bits once more."""
    for one, other in zip(ours.astype(float), theirs.astype(float), strict=True):
        if one @ other < 0.999 * np.sqrt((one @ one) * (other @ other)):
            raise SystemExit("the files do not hold what the cache holds")


def rates(ways: list[Callable[[], None]]) -> list[list[float]]:
    """Seconds of sound per second of each way, for each repeat."""
    def rate(way: Callable[[], None]) -> float:
        start = time.perf_counter()
        way()
        return REPEAT_S / (time.perf_counter() - start)
    return [[rate(way) for way in ways] for _ in range(REPEATS + 1)][1:]       # the first warms up


def measure(corpus: MixedCorpus, samples: int, folder: Path) -> list[list[float]]:
    """Rates of `segment`, of batches, and of the peer with each kind of file."""
    segments = chosen(corpus, samples)
    write_files(corpus.cache, folder, [cut for slices in segments.values() for cut in slices])
    indices, cpu = list(segments), torch.device("cpu")
    for index, kind in ((index, kind) for index in indices for kind in KINDS):
        check_same(corpus.segment(0, 1, index, samples).sources, from_files(folder, kind, segments[index])[0])

    def alone() -> None:
        for index in indices:
            corpus.segment(0, 1, index, samples)

    def batches() -> None:
        for first in range(0, len(indices), BATCH):
            batch = batch_of([corpus.segment(0, 1, index, samples) for index in indices[first:first + BATCH]], cpu)
            assert batch.mixture is not None        # it is made when it is asked for

    def files(kind: str) -> Callable[[], None]:
        def read() -> None:
            for slices in segments.values():
                from_files(folder, kind, slices)
        return read
    return rates([alone, batches, *map(files, KINDS)])


def main() -> None:
    torch.set_num_threads(1)
    corpus = open_voices("voices")
    assert isinstance(corpus, MixedCorpus)
    print(f"Corpus voices, one thread: seconds of sound per second, medians of {REPEATS} repeats of {REPEAT_S} s\n")
    print(f"| segment | `segment` | batches of {BATCH} | soundfile, WAV | soundfile, FLAC | `segment` / WAV | / FLAC |")
    print("|---|---|---|---|---|---|---|")
    for seconds in (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            repeats = measure(corpus, seconds * RATE_HZ, Path(folder))
        medians = [f"{statistics.median(each):,.0f}" for each in zip(*repeats, strict=True)]
        ratios = [f"{statistics.median(alone / files[i] for alone, _, *files in repeats):.1f}" for i in range(len(KINDS))]
        print(f"| {seconds} s | {' | '.join(medians + ratios)} |", flush=True)


if __name__ == "__main__":
    main()
