"""One step of a training: the gradients of a batch within the memory there is, and the update.

Where memory runs out, a batch's gradients are added up over micro-batches. A GPU replays steps that
it recorded.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tasnet_core.backend.cuda_graphs import Captured, adam, recorder_of, set_rate
from tasnet_core.backend.fused import speed_up
from tasnet_core.backend.fused_adam import Adam, clip_gradients
from tasnet_core.backend.fused_loss import pit_loss
from tasnet_core.backend.memory import SHARE, available_bytes, largest_fitting, out_of_memory
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.count import LiveBytes
from tasnet_core.network.loss import speaks
from tasnet_core.network.model import ConvTasNet, chance, seeded
from tasnet_core.records import Recipe, Variant
from tasnet_core.training.batches import Batch, batch_of
from tasnet_core.training.gpu_corpus import resident
from tasnet_core.training.muon import Muon
from tasnet_core.training.slimmable import Subnetworks, Values

Result = TypeVar("Result")
OPTIMIZERS: dict[str, type[Adam]] = {"adam": Adam, "muon": Muon}


def silently(line: str) -> None:
    """A log that nobody reads."""


class Stepper:
    """A network, its optimizer, and how a device takes a step with them."""

    def __init__(self, variant: Variant, recipe: Recipe, corpus: Corpus, device: torch.device,
                 values: Values | None = None, log: Callable[[str], None] = silently):
        self.variant = variant
        self.recipe = recipe
        self.device = device
        self.log = log
        self.network = speed_up(seeded(variant, recipe.seed).to(device), recipe.precision)
        self.optimizer = adam(self.network, device, OPTIMIZERS[recipe.optimizer])
        self.subnetworks: Subnetworks | None = None
        if recipe.teaches:
            self.subnetworks = Subnetworks(self.network, values or {}, recipe.precision)
        # Dropout and sub-networks are drawn anew in each step, and a recording is not.
        recorder = None if variant.dropout or self.subnetworks else recorder_of(device)
        self.captured = Captured(recorder) if recorder else None
        self.guide: ConvTasNet | None = None
        self.segment = round(recipe.segment_s * variant.sample_rate_hz)  # samples
        self.resident = resident(corpus, device)    # None: segments are mixed on the host
        self.micro_batch = recipe.batch_size        # items at once, whose gradients add up

    def __call__(self, drawn: Sequence[Any], rate: float, chance: tuple[int, ...]) -> Tensor:
        """Update the network from these segments.

        Dropout and sub-networks are a function of `chance`. Returns [2]: the mean loss in dB, and
        the share of sources with speech; both stay on the device.
        """
        set_rate(self.optimizer, rate)
        loss = self._captured_step(drawn)
        if loss is None:
            loss = self.within_memory(partial(self.gradients, drawn, chance))
            self._update()
        return loss

    def imitate(self, guide: ConvTasNet) -> None:
        """Let the recipe's share of the loss be SI-SNR against this network's estimates."""
        guide = guide.to(self.device).eval().requires_grad_(False)
        self.guide = speed_up(guide, self.recipe.precision)
        self.captured = None

    @property
    def splits(self) -> bool:
        """Whether micro-batches give the batch's numbers: not with batch norm, which needs all."""
        return "batch" not in (self.variant.norm, self.variant.input_norm)

    def split(self, parts: int) -> None:
        """Compute the gradients of a batch in at least so many micro-batches."""
        if self.splits:
            most = math.ceil(self.recipe.batch_size / parts)
            self.micro_batch = min(self.micro_batch, most)

    def fit_memory(self) -> None:
        """Choose the largest micro-batch that fits.

        It is tried on a CUDA device, and on a CPU computed from what one item needs: there memory
        is lent without being there, so trying would end with a killed process.
        """
        if not self.splits:
            return
        if self.device.type == "cuda":
            self.micro_batch = largest_fitting(self.recipe.batch_size, self.fits)
        else:
            with LiveBytes() as live:
                self.fits(1)
            free = SHARE * available_bytes()
            self.micro_batch = largest_fitting(
                self.recipe.batch_size, lambda size: size * live.peak <= free)
        self.optimizer.zero_grad()

    def within_memory(self, work: Callable[[], Result]) -> Result:
        """Do what needs memory, again from its start while that runs out.

        Before that the recording is given up, or else the micro-batch is halved.
        """
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                can_do_with_less = self.captured or (self.micro_batch > 1 and self.splits)
                if not out_of_memory(error) or not can_do_with_less:
                    raise
                reason = str(error)
            # Here the error, and with it every tensor of the failed attempt, is gone.
            if self.captured:
                self._drop_captured(reason)
            else:
                self.micro_batch = math.ceil(self.micro_batch / 2)
                self._free()

    def _captured_step(self, drawn: Sequence[Any]) -> Tensor | None:
        """The loss of a step that is recorded, or soon will be; None where this one is not."""
        whole = len(drawn) == self.recipe.batch_size == self.micro_batch
        if self.captured is None or not whole:
            return None
        try:
            batch = self.batch(drawn)
            return self.captured(self._whole_step, batch.sources, batch.valid, batch.noise)
        except (RuntimeError, MemoryError) as error:
            reason = str(error)
        self._drop_captured(reason)
        return None

    def _whole_step(self, sources: Tensor, valid: Tensor | None, noise: Tensor | None) -> Tensor:
        """Gradients and update from one batch; it waits for no number, so it can be recorded."""
        self.optimizer.zero_grad()
        loss = self._backward(Batch(sources, valid, noise))
        self._update()
        return loss

    def _update(self) -> None:
        clip_gradients(self.optimizer.param_groups[0]["params"], self.recipe.clip_norm)
        self.optimizer.step()

    def batch(self, drawn: Sequence[Any]) -> Batch:
        """Segments that were drawn, side by side on the device."""
        if self.resident:
            return self.resident.batch(drawn, self.segment)
        return batch_of(drawn, self.device)

    def gradients(self, drawn: Sequence[Any], chance: tuple[int, ...]) -> Tensor:
        """The mean loss over a batch and its gradients, one micro-batch after another, from none.

        Returns [2]: the loss, and the share of sources with speech.
        """
        self.optimizer.zero_grad()
        total = torch.zeros(2, device=self.device)
        for first in range(0, len(drawn), self.micro_batch):
            some = drawn[first:first + self.micro_batch]
            with self._chance(*chance, first):
                total += self._backward(self.batch(some), len(some) / len(drawn), chance)
        return total

    def _backward(self, batch: Batch, share: float = 1.0, chance: tuple[int, ...] = ()) -> Tensor:
        signals = self.network(batch.mixture)
        loss = pit_loss(batch.sources, signals, batch.valid) * share
        self._with_guide(loss, batch, signals, share).backward()
        if self.subnetworks:
            self.subnetworks.add_gradients(batch, signals, chance, share)
        speaking = speaks(batch.sources, batch.valid_of_sources).mean() * share
        return torch.stack([loss.detach(), speaking])

    def _with_guide(self, loss: Tensor, batch: Batch, signals: Tensor, share: float) -> Tensor:
        """The loss that is trained by: with another network's estimates as second targets."""
        if self.guide is None:
            return loss
        with torch.no_grad():
            targets = self.guide(batch.mixture)
        weight = self.recipe.distill
        imitation = pit_loss(targets, signals, batch.valid) * share
        return (1 - weight) * loss + weight * imitation

    @contextmanager
    def _chance(self, *where: int) -> Iterator[None]:
        """Dropout's chance as a function of where the training is; the caller's stays as it was."""
        if not self.variant.dropout:
            yield
            return
        seed = int(np.random.SeedSequence(where).generate_state(1)[0])
        with chance(seed, [self.device] if self.device.type == "cuda" else []):
            yield

    def _drop_captured(self, reason: str) -> None:
        """Do without recorded steps from here on, and without the memory they hold."""
        first_line = reason.partition("\n")[0]
        self.log(f"steps are not recorded any more, so a small network trains slower: {first_line}")
        self.captured = None
        self._free()

    def _free(self) -> None:
        self.optimizer.zero_grad()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def fits(self, size: int) -> bool:
        """Whether the gradients of so many whole items fit beside the optimizer's state."""
        self.network.train()
        try:
            weights = [*self.network.parameters()]
            state = [torch.empty_like(weight) for weight in (*weights, *weights)]
            silence = torch.zeros(size, self.variant.C, self.segment, device=self.device)
            valid = torch.ones_like(silence[:, 0])
            with self._chance(0):
                pit_loss(silence, self.network(silence.sum(1)), valid).backward()
            del state
            return True
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        self._free()
        return False
