"""Training one variant by one recipe: an iterator of epochs that any interruption only pauses.

As published (arXiv 1809.07454v3, section III-C): Adam, gradient norm clipped, the rate halved after
three epochs without a new best. Chance is a function of (seed, epoch, index) and the state is saved
at each epoch's end, so a resumed training equals an uninterrupted one, on the CPU bit for bit.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from tasnet_core.backend.cuda_graphs import Captured, adam, recorder_of, set_rate
from tasnet_core.backend.devices import device_of
from tasnet_core.backend.fused import speed_up
from tasnet_core.backend.memory import SHARE, available_bytes, largest_fitting, out_of_memory
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.training_files import before_decay, files_of, within_epoch
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.count import LiveBytes
from tasnet_core.errors import Abandoned, CheckpointError, CorpusError, DiskFull, UserError
from tasnet_core.evaluation.metrics import estimates_of, in_order, silent
from tasnet_core.files import clear_scratch
from tasnet_core.network.loss import pit_loss, speaks
from tasnet_core.network.model import chance, seeded
from tasnet_core.network.slices import take
from tasnet_core.records import Epoch, Recipe, Variant
from tasnet_core.training.batches import Batch, Drawer, batch_of
from tasnet_core.training.gpu_corpus import resident
from tasnet_core.training.schedule import constant_epochs, rate_factor
from tasnet_core.training.slimmable import NO_LINEAGE, Lineage, Subnetworks, Values

Result = TypeVar("Result")

# A training that takes longer for an epoch is also saved in the middle of it.
SAVE_S = 300.0


class Diverged(Exception):
    """The loss was no longer a finite number."""


class Paused(Abandoned):
    """The training was asked to pause. All it did is saved, to the last step."""


def train(variant: Variant, recipe: Recipe, corpus: Corpus, path: Path, device: str = "cpu",
          micro_batches: int = 1, should_pause: Callable[[], bool] = lambda: False,
          wait: Callable[[DiskFull], None] | None = None,
          log: Callable[[str], None] = lambda line: None,
          lineage: Lineage = NO_LINEAGE) -> Iterator[Epoch]:
    """Train, or go on training, and yield every epoch: those already in `path` at once.

    After each new epoch, and before it is yielded, `path` holds the whole training. The gradients
    of a batch are computed in at least so many `micro_batches`; 0 looks, before the first epoch,
    for as few as the device has memory for. The recipe's batch stays.

    `should_pause` is asked after every step; where it is True, the training is saved as it is,
    beside `path`, and ends. A full disk is an error without `wait`; with it, it is written to again
    when that returns. `log` gets what makes the training slower than it could be.

    Raises:
        Diverged: when the loss is no finite number; `path` still holds the epoch before.
        Paused: when `should_pause` asked for it.
        Foreign: when `path` holds a training of another corpus or study, or the teacher is of one.
        CheckpointError: when `path` holds another training, or cannot be read or written; when the
            teacher's cannot be read.
        UserError: when there is no teacher, or the variant is no slice of it.
    """
    training = Training(variant, recipe, corpus, device_of(device), lineage.values)
    training.log = log
    training.origin = replace(lineage.origin, corpus=corpus.fingerprint)
    for file in files_of(path):
        clear_scratch(file)
    if not training.resume(path):
        if recipe.init == "inherit":
            training.inherit(lineage.teacher)
        if not micro_batches:
            training.fit_memory()
    if micro_batches and training.splits:
        most = math.ceil(recipe.batch_size / micro_batches)
        training.micro_batch = min(training.micro_batch, most)
    if not recipe.epochs:       # nothing to learn: a slice is kept as it is
        _save(partial(training.save, path), wait)
    yield from training.epochs
    while len(training.epochs) < recipe.epochs:
        saved = time.monotonic()
        for _ in training.steps():
            pause = should_pause()
            if pause or time.monotonic() - saved > SAVE_S:
                _save(partial(training.save_within, path), wait)
                saved = time.monotonic()
            if pause:
                raise Paused
        _save(partial(training.save, path), wait)
        yield training.epochs[-1]


def _save(save: Callable[[], None], wait: Callable[[DiskFull], None] | None) -> None:
    while True:
        try:
            return save()
        except DiskFull as error:
            if wait is None:
                raise
            full = error
        wait(full)


class Training:
    """The state between two epochs: network, optimizer, best weights so far, and the curve."""

    def __init__(self, variant: Variant, recipe: Recipe, corpus: Corpus, device: torch.device,
                 values: Values | None = None):
        self.variant = variant
        self.recipe = recipe
        self.corpus = corpus
        self.device = device
        self.network = speed_up(seeded(variant, recipe.seed).to(device), recipe.precision)
        self.optimizer = adam(self.network, device)
        self.subnetworks: Subnetworks | None = None
        if recipe.init == "teacher":
            self.subnetworks = Subnetworks(self.network, values or {}, recipe.precision)
        # Dropout and sub-networks are drawn anew in each step, and a recording is not.
        recorder = None if variant.dropout or self.subnetworks else recorder_of(device)
        self.captured = Captured(recorder) if recorder else None
        self.log: Callable[[str], None] = lambda line: None
        self.origin = checkpoint.NOWHERE         # `train` says where it belongs
        self.best = copy.deepcopy(self.network.state_dict())
        self.epochs: list[Epoch] = []
        self._begin_epoch()
        self.segment = round(recipe.segment_s * variant.sample_rate_hz)
        self.resident = resident(corpus, device)    # None: segments are mixed on the host
        self.drawer: Drawer[Any] = Drawer(
            self.resident.plan if self.resident else corpus.segment, recipe, self.segment,
            ahead=device.type == "cuda")
        self.micro_batch = recipe.batch_size        # items at once, whose gradients add up
        self.silent = 0     # mixtures of the last validation in which a source is silent

    def _begin_epoch(self) -> None:
        self.segments = 0
        self.seconds = 0.0
        # Its sum over sources with speech; their number.
        self.loss = torch.zeros(2, device=self.device)

    def inherit(self, teacher: Path | None) -> None:
        """Begin with the weights of a slice of the teacher's best network."""
        if teacher is None:
            raise UserError(f"{self.variant}: init 'inherit' needs a network to inherit from")
        if self.origin.study and (how := self.origin.foreign_teacher(checkpoint.read(teacher))):
            raise CheckpointError(f"{teacher}: {how}, so nothing can be inherited from it; put the "
                                  "checkpoint of the study's own trial 0 there")
        whole = checkpoint.load(teacher)
        if why := self.variant.no_slice_of(whole.variant):
            raise UserError(f"{self.variant}: is no slice of {teacher}: {why}")
        self.network.load_state_dict(take(whole, self.variant).state_dict())
        self.best = copy.deepcopy(self.network.state_dict())

    @property
    def scores(self) -> list[float]:
        return [epoch.valid_si_snri_db for epoch in self.epochs]

    def steps(self) -> Iterator[None]:
        """Go on with the epoch to its end; yield after each step and each validated mixture.

        There it can be saved.
        """
        start = time.perf_counter()
        before = self.seconds
        number = len(self.epochs) + 1
        speed_up(self.network, self.recipe.precision).train()
        while self.segments < self.recipe.epoch_segments:
            self._step(number)
            self.seconds = before + time.perf_counter() - start
            yield
        loss, speaking = self.loss.tolist()
        speed_up(self.network).eval()       # in the precision it will be tested in
        scores = []
        for score in self._validation():
            scores.append(score)
            yield
        seconds = before + time.perf_counter() - start
        mean_loss = loss / speaking if speaking else math.nan
        self._end_epoch(number, mean_loss, math.fsum(scores) / len(scores), seconds)

    def _step(self, number: int) -> None:
        recipe = self.recipe
        end = min(self.segments + recipe.batch_size, recipe.epoch_segments)
        indices = range(self.segments, end)
        set_rate(self.optimizer, self._rate(number, end))
        drawn = self.drawer.draw(number, indices)
        loss = self._captured_step(drawn)
        if loss is None:
            chance = (recipe.seed, number, indices.start)
            loss = self._within_memory(partial(self._gradients, drawn, chance))
            self._update()
        self.loss += loss * len(indices)        # stays on the device: no wait for the number
        self.segments = end

    def _rate(self, number: int, segments: int) -> float:
        """The learning rate of the step that ends at so many segments of an epoch."""
        progress = (number - 1 + segments / self.recipe.epoch_segments) / self.recipe.epochs
        return self.recipe.learning_rate * rate_factor(self.recipe, progress, self.scores)

    def _captured_step(self, drawn: Sequence[Any]) -> Tensor | None:
        """The loss of a step that is recorded, or soon will be; None where this one is not."""
        whole = len(drawn) == self.recipe.batch_size == self.micro_batch
        if self.captured is None or not whole:
            return None
        try:
            batch = self._batch(drawn)
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
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimizer.step()

    def _end_epoch(self, number: int, loss: float, score: float, seconds: float) -> None:
        if not (math.isfinite(loss) and math.isfinite(score)):
            last = "no finite epoch before"
            if self.epochs:
                last = f"last finite loss {self.epochs[-1].train_loss_db:.2f} dB"
            raise Diverged(f"epoch {number}: training loss {loss}, validation {score} dB; {last}")
        rate = self._rate(number, self.recipe.epoch_segments)
        if not self.epochs or score > max(self.scores):
            self.best = copy.deepcopy(self.network.state_dict())
        audio_s = self.recipe.audio_s_of(number)
        self.epochs.append(Epoch(number, loss, score, rate, audio_s, seconds))
        self._begin_epoch()

    def _batch(self, drawn: Sequence[Any]) -> Batch:
        if self.resident:
            return self.resident.batch(drawn, self.segment)
        return batch_of(drawn, self.device)

    def _gradients(self, drawn: Sequence[Any], chance: tuple[int, ...]) -> Tensor:
        """The mean loss over a batch and its gradients, one micro-batch after another, from none.

        Returns [2]: the loss, and the share of sources with speech.
        """
        self.optimizer.zero_grad()
        total = torch.zeros(2, device=self.device)
        for first in range(0, len(drawn), self.micro_batch):
            some = drawn[first:first + self.micro_batch]
            with self._chance(*chance, first):
                total += self._backward(self._batch(some), len(some) / len(drawn), chance)
        return total

    def _backward(self, batch: Batch, share: float = 1.0, chance: tuple[int, ...] = ()) -> Tensor:
        signals = self.network(batch.mixture)
        loss = pit_loss(batch.sources, signals, batch.valid) * share
        loss.backward()
        if self.subnetworks:
            self.subnetworks.add_gradients(batch, signals, chance, share)
        speaking = speaks(batch.sources, batch.valid_of_sources).mean() * share
        return torch.stack([loss.detach(), speaking])

    @contextmanager
    def _chance(self, *where: int) -> Iterator[None]:
        """Dropout's chance as a function of where the training is; the caller's stays as it was."""
        if not self.variant.dropout:
            yield
            return
        seed = int(np.random.SeedSequence(where).generate_state(1)[0])
        with chance(seed, [self.device] if self.device.type == "cuda" else []):
            yield

    def _within_memory(self, work: Callable[[], Result]) -> Result:
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

    @property
    def splits(self) -> bool:
        """Whether micro-batches give the batch's numbers: not with batch norm, which needs all."""
        return "batch" not in (self.variant.norm, self.variant.input_norm)

    def fit_memory(self) -> None:
        """Choose the largest micro-batch that fits.

        It is tried on a CUDA device, and on a CPU computed from what one item needs: there memory
        is lent without being there, so trying would end with a killed process.
        """
        if not self.splits:
            return
        if self.device.type == "cuda":
            self.micro_batch = largest_fitting(self.recipe.batch_size, self._trial)
        else:
            with LiveBytes() as live:
                self._trial(1)
            free = SHARE * available_bytes()
            self.micro_batch = largest_fitting(
                self.recipe.batch_size, lambda size: size * live.peak <= free)
        self.optimizer.zero_grad()

    def _trial(self, size: int) -> bool:
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

    def _validation(self) -> Iterator[float]:
        """SI-SNRi in dB of each validation mixture, whole, as the test separates it.

        Mixtures with a silent source are left out: nothing can be similar to it.
        """
        total, count = self.corpus.count("valid"), 0
        for index in range(total):
            mixture = self.corpus.mixture("valid", index)
            if silent(mixture.sources[:, :mixture.length]):
                count += 1
                continue
            estimates = self._within_memory(partial(estimates_of, self.network, mixture))
            yield in_order(mixture, estimates).si_snri_db
        if count == total:
            raise CorpusError(
                f"corpus {self.corpus.spec!r}: in each of its {total} validation mixtures a source "
                "is silent, but one without is needed to tell which epoch is best; give it "
                "recordings in which all speak")
        if count and not self.silent:
            self.log(f"validation: {count} of {total} mixtures have a silent source "
                     "and are left out")
        self.silent = count

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.network.state_dict(), "best": self.best,
            "optimizer": self.optimizer.state_dict(), "micro_batch": self.micro_batch,
            **self.origin.stamp()}

    def _save(self, path: Path, **more: Any) -> None:
        checkpoint.save(path, self.variant, self.recipe, self.epochs, {**self._state(), **more})

    def save(self, path: Path) -> None:
        """Save the training at an epoch's end."""
        if len(self.epochs) == constant_epochs(self.recipe) < self.recipe.epochs:
            self._save(before_decay(path))
        self._save(path)
        within_epoch(path).unlink(missing_ok=True)

    def save_within(self, path: Path) -> None:
        """Save the training between two steps of an epoch, beside the last epoch's end."""
        self._save(within_epoch(path), segments=self.segments, seconds=self.seconds, loss=self.loss)

    def resume(self, path: Path) -> bool:
        """Go on from `path` if it is there; with a longer budget, from before its decay.

        The micro-batch goes on as well: with another, gradients would round otherwise.
        """
        if self._resume_within(path):
            return True
        if not path.exists():
            return False
        content = checkpoint.read_for(path, self.variant, self.recipe, self.origin)
        budget = content["recipe"].epochs
        if budget > self.recipe.epochs:
            raise CheckpointError(f"{path}: made with a budget of {budget} epochs, now "
                                  f"{self.recipe.epochs} are asked for; a budget can only grow: "
                                  "choose another file")
        has_decayed = len(content["epochs"]) > constant_epochs(content["recipe"])
        if budget != self.recipe.epochs and has_decayed:
            content = checkpoint.read_for(
                before_decay(path), self.variant, self.recipe, self.origin)
        self._continue(content, path)
        return True

    def _resume_within(self, path: Path) -> bool:
        """Go on in the middle of an epoch, if it was saved there with this very recipe."""
        within = within_epoch(path)
        if not within.exists():
            return False
        content = checkpoint.read_for(within, self.variant, self.recipe, self.origin)
        ended = checkpoint.read(path)["epochs"] if path.exists() else []
        if content["recipe"] != self.recipe or content["epochs"] != ended:
            return False
        self._continue(content, within)
        self.segments = content["segments"]
        self.seconds = content["seconds"]
        self.loss = content["loss"].to(self.device)
        return True

    def _continue(self, content: dict[str, Any], path: Path) -> None:
        checkpoint.check_state(content, path, self.recipe, list(self.network.parameters()))
        self.network.load_state_dict(content["model"])
        # Its moments alone: steps are this device's, and the rate follows from where we are.
        moments = content["optimizer"]["state"]
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if "corpus" not in content and not self.origin.study:
            self.log("its checkpoint is of before checkpoints named their corpus: "
                     "see yourself that it is this one")
        self.best, self.epochs = content["best"], content["epochs"]
        self.micro_batch = content.get("micro_batch", self.micro_batch)
