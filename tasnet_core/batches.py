"""Batches of training segments, and drawing them ahead of a GPU."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasnet_core.corpora import Corpus, Mixture
from tasnet_core.records import Recipe


@dataclass
class Batch:
    """Segments side by side; `heard` is None when none of them is padded."""

    sources: Tensor             # [B, C, T]
    heard: Tensor | None        # [B, T]
    noise: Tensor | None = None     # [B, T], heard beside the sources

    @property
    def mixture(self) -> Tensor:
        speech = self.sources.sum(1)
        return speech if self.noise is None else speech + self.noise

    def split(self, size: int) -> "Iterator[Batch]":
        """The same in parts of at most `size` items."""
        for first in range(0, len(self.sources), size):
            here = slice(first, first + size)
            yield Batch(self.sources[here], *(None if one is None else one[here] for one in (self.heard, self.noise)))


def batch_of(mixtures: Sequence[Mixture], device: torch.device) -> Batch:
    """Put segments of equal length on the device as one batch."""
    sources = _sent(np.stack([mixture.sources for mixture in mixtures]), device)
    noises = [mixture.noise for mixture in mixtures if mixture.noise is not None]      # of all mixtures, or of none
    noise = _sent(np.stack(noises), device) if noises else None
    lengths = [mixture.length for mixture in mixtures]
    if min(lengths) == sources.shape[-1]:
        return Batch(sources, None, noise)
    heard = torch.arange(sources.shape[-1]) < torch.tensor(lengths)[:, None]
    return Batch(sources, heard.to(device, sources.dtype), noise)


def _sent(signals: NDArray[np.float32], device: torch.device) -> Tensor:
    """On the device; a GPU fetches it by itself from memory that stays in its place, and nobody waits."""
    tensor = torch.from_numpy(signals)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Drawer:
    """The segments of a training, batch after batch. With `ahead`, a thread draws the next while this one is computed.

    One core mixes thousands of seconds of sound per second (benchmarks/data.py), more than a GPU trains on: to mix on
    the device would save nothing.
    """

    def __init__(self, corpus: Corpus, recipe: Recipe, samples: int, ahead: bool):
        self.corpus, self.recipe, self.samples = corpus, recipe, samples
        self.thread = ThreadPoolExecutor(1) if ahead else None
        self.coming: tuple[int, range, Future[list[Mixture]]] | None = None

    def draw(self, epoch: int, indices: range) -> list[Mixture]:
        """These segments of an epoch, whatever was drawn before: chance is a function of where they are."""
        if self.thread is None:
            return self._draw(epoch, indices)
        mixtures = self.coming[2].result() if self.coming and self.coming[:2] == (epoch, indices) else self._draw(epoch, indices)
        follow = range(indices.stop, min(indices.stop + self.recipe.batch_size, self.recipe.epoch_segments))
        if not follow:
            epoch, follow = epoch + 1, range(min(self.recipe.batch_size, self.recipe.epoch_segments))
        self.coming = epoch, follow, self.thread.submit(self._draw, epoch, follow)
        return mixtures

    def _draw(self, epoch: int, indices: range) -> list[Mixture]:
        return [self.corpus.segment(self.recipe.seed, epoch, index, self.samples) for index in indices]
