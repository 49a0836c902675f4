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
    """Segments side by side; `heard` is None when none of them is padded."""

    sources: Tensor             # [B, C, T]
    heard: Tensor | None        # [B, T]
    noise: Tensor | None = None     # [B, T], heard beside the sources

    @property
    def mixture(self) -> Tensor:
        speech = self.sources.sum(1)
        return speech if self.noise is None else speech + self.noise

    @property
    def heard_by_all(self) -> Tensor | None:
        """`heard` beside each source: [B, 1, T]."""
        return None if self.heard is None else self.heard[:, None]


def batch_of(mixtures: Sequence[Mixture], device: torch.device) -> Batch:
    """Put segments of equal length on the device as one batch."""
    sources = sent(np.stack([mixture.sources for mixture in mixtures]), device)
    noises = [mixture.noise for mixture in mixtures if mixture.noise is not None]      # of all mixtures, or of none
    noise = sent(np.stack(noises), device) if noises else None
    lengths = np.array([mixture.length for mixture in mixtures])
    if lengths.min() == sources.shape[-1]:
        return Batch(sources, None, noise)
    heard = torch.arange(sources.shape[-1], device=device) < sent(lengths, device)[:, None]
    return Batch(sources, heard.to(sources.dtype), noise)


def sent(numbers: NDArray[Any], device: torch.device) -> Tensor:
    """On the device; a GPU fetches it by itself from memory that stays in its place, and nobody waits."""
    tensor = torch.from_numpy(numbers)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class Drawer(Generic[Drawn]):
    """The segments of a training, batch after batch. With `ahead`, a thread draws the next while this one is computed.

    `one(seed, epoch, index, samples)` draws a segment: `Corpus.segment`, or what plans it for a device.
    """

    def __init__(self, one: Callable[[int, int, int, int], Drawn], recipe: Recipe, samples: int, ahead: bool):
        self.one, self.recipe, self.samples = one, recipe, samples
        self.thread = ThreadPoolExecutor(1) if ahead else None
        self.coming: tuple[int, range, Future[list[Drawn]]] | None = None

    def draw(self, epoch: int, indices: range) -> list[Drawn]:
        """These segments of an epoch, whatever was drawn before: chance is a function of where they are."""
        if self.thread is None:
            return self._draw(epoch, indices)
        drawn = self.coming[2].result() if self.coming and self.coming[:2] == (epoch, indices) else self._draw(epoch, indices)
        follow = range(indices.stop, min(indices.stop + self.recipe.batch_size, self.recipe.epoch_segments))
        if not follow:
            epoch, follow = epoch + 1, range(min(self.recipe.batch_size, self.recipe.epoch_segments))
        self.coming = epoch, follow, self.thread.submit(self._draw, epoch, follow)
        return drawn

    def _draw(self, epoch: int, indices: range) -> list[Drawn]:
        return [self.one(self.recipe.seed, epoch, index, self.samples) for index in indices]
