"""The nouns of every corpus: a mixture, and what a split has."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float32]


class Mixture(NamedTuple):
    """Several people talking at once, each of them alone, and what else is heard."""

    id: str
    sources: Sound  # [C, T]
    length: int  # samples that are sound; the rest is zeros
    speakers: tuple[str, ...]
    sexes: tuple[str, ...]  # "F", "M" or "?"
    noise: Sound | None = None  # [T], in the mixture and in no source

    @property
    def mixture(self) -> Sound:
        """What is heard: the sum of the sources, and the noise if there is any, exactly: float32 [T]."""
        speech = np.asarray(self.sources.sum(axis=0, dtype=np.float32))
        return speech if self.noise is None else speech + self.noise


class Speaker(NamedTuple):
    """Someone who talks."""

    name: str
    sex: str  # "F", "M" or "?"


class Part(NamedTuple):
    """What a corpus has for one split. Where training draws its mixtures without end, mixtures is None."""

    split: str
    speakers: int
    sexes: dict[str, int]  # speakers of each
    recordings: int
    seconds: float
    mixtures: int | None
