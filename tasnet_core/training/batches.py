"""Batches of training segments, and drawing them ahead of a GPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasnet_core.corpora.mixture import Mixture
from tasnet_core.records import Recipe

Drawn = TypeVar("Drawn")


@dataclass
class Batch:
    """Segments side by side; `valid` is None when none of them is padded."""

    sources: Tensor                 # [B, C, T]
    valid: Tensor | None            # [B, T]: 1 for samples of a recording, 0 for padding
    noise: Tensor | None = None     # [B, T], in the mixture beside the sources

    @property
    def mixture(self) -> Tensor:
        speech = self.sources.sum(1)
        return speech if self.noise is None else speech + self.noise

    @property
    def valid_of_sources(self) -> Tensor | None:
        """`valid` beside each source: [B, 1, T]."""
        return None if self.valid is None else self.valid[:, None]


def batch_of(mixtures: Sequence[Mixture], device: torch.device) -> Batch:
    """Put segments of equal length on the device as one batch."""
    sources = sent(np.stack([mixture.sources for mixture in mixtures]), device)
    # Of all mixtures, or of none.
    noises = [mixture.noise for mixture in mixtures if mixture.noise is not None]
    noise = sent(np.stack(noises), device) if noises else None
    lengths = np.array([mixture.length for mixture in mixtures])
    if lengths.min() == sources.shape[-1]:
        return Batch(sources, None, noise)
    valid = torch.arange(sources.shape[-1], device=device) < sent(lengths, device)[:, None]
    return Batch(sources, valid.to(sources.dtype), noise)


def sent(numbers: NDArray[Any], device: torch.device) -> Tensor:
    """On the device; a GPU fetches it by itself from pinned memory, and nobody waits."""
    tensor = torch.from_numpy(numbers)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Drawer(Generic[Drawn]):
    """The segments of a training, batch after batch.

    `one(seed, epoch, index, samples)` draws a segment: `Corpus.segment`, or what plans it for a
    device. With `ahead`, a thread draws the next batch while this one is computed.
    """

    def __init__(self, one: Callable[[int, int, int, int], Drawn], recipe: Recipe, samples: int,
                 ahead: bool):
        self.one = one
        self.recipe = recipe
        self.samples = samples
        self.thread = ThreadPoolExecutor(1) if ahead else None
        self.coming: tuple[int, range, Future[list[Drawn]]] | None = None

    def draw(self, epoch: int, indices: range) -> list[Drawn]:
        """These segments of an epoch: chance is a function of where they are."""
        if self.thread is None:
            return self._draw(epoch, indices)
        drawn = self._drawn_ahead(epoch, indices) or self._draw(epoch, indices)
        start = indices.stop
        if start >= self.recipe.epoch_segments:
            epoch, start = epoch + 1, 0
        follow = range(start, min(start + self.recipe.batch_size, self.recipe.epoch_segments))
        self.coming = epoch, follow, self.thread.submit(self._draw, epoch, follow)
        return drawn

    def _drawn_ahead(self, epoch: int, indices: range) -> list[Drawn] | None:
        if self.coming is None or self.coming[:2] != (epoch, indices):
            return None
        return self.coming[2].result()

    def _draw(self, epoch: int, indices: range) -> list[Drawn]:
        return [self.one(self.recipe.seed, epoch, index, self.samples) for index in indices]
