"""The records of every corpus: a mixture, a speaker, and the size of a split."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SHORTEST = 40  # samples; shorter than the longest encoder filter anyone uses
SILENT = 1e-5  # peak to peak, a third of the smallest step of 16 bits

Sound = NDArray[np.float32]


class Mixture(NamedTuple):
    """Several people talking at once, each of them alone, and noise if there is any."""

    id: str
    sources: Sound  # [C, T]
    length: int  # samples that are sound; the rest is zeros
    speakers: tuple[str, ...]
    sexes: tuple[str, ...]  # "F", "M" or "?"
    noise: Sound | None = None  # [T], in the mixture and in no source

    @property
    def mixture(self) -> Sound:
        """The sum of the sources, and of the noise if there is any, exactly: float32 [T]."""
        speech = np.asarray(self.sources.sum(axis=0, dtype=np.float32))
        return speech if self.noise is None else speech + self.noise


class Speaker(NamedTuple):
    """A person who talks."""

    name: str
    sex: str  # "F", "M" or "?"


class Part(NamedTuple):
    """The size of one split. Where training draws mixtures without end, mixtures is None."""

    split: str
    speakers: int
    sexes: dict[str, int]  # speakers of each
    recordings: int
    seconds: float
    mixtures: int | None
