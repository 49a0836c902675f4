"""Training one variant by one recipe: an iterator of epochs that any interruption only pauses.

As published (arXiv 1809.07454v3, section III-C): Adam, gradient norm clipped, the rate halved after
three epochs without a new best. Chance is a function of (seed, epoch, index) and the state is saved
at each epoch's end, so a resumed training equals an uninterrupted one, on the CPU bit for bit.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tasnet_core.backend.devices import device_of
from tasnet_core.backend.fused import speed_up
from tasnet_core.checkpoints import checkpoint
from tasnet_core.checkpoints.training_files import before_decay, files_of, within_epoch
from tasnet_core.corpora.registry import Corpus
from tasnet_core.errors import Abandoned, CheckpointError, CorpusError, DiskFull, UserError
from tasnet_core.evaluation.metrics import estimates_of, in_order, silent
from tasnet_core.files import clear_scratch, state
from tasnet_core.network.importance import first_order, reorder_channels
from tasnet_core.network.loss import pit_loss
from tasnet_core.network.model import ConvTasNet
from tasnet_core.network.slices import take
from tasnet_core.records import Epoch, Recipe, Variant
from tasnet_core.training.batches import Drawer, batch_of
from tasnet_core.training.schedule import constant_epochs, rate_factor
from tasnet_core.training.slimmable import NO_LINEAGE, Lineage, Values
from tasnet_core.training.step import Stepper, silently

# A training that takes longer for an epoch is also saved in the middle of it.
SAVE_S = 300.0
FROM_ANOTHER = ("inherit", "given", "adapted")      # trainings that begin with a network's weights
TENSORS = ("model", "best", "optimizer")            # of a checkpoint, beside what it says of itself
IMPORTANCE_STEPS = 64   # batches whose gradients tell which channels are important


class Diverged(Exception):
    """The loss was no longer a finite number."""


class Paused(Abandoned):
    """The training was asked to pause. All it did is saved, to the last step."""


def train(variant: Variant, recipe: Recipe, corpus: Corpus, path: Path, device: str = "cpu",
          micro_batches: int = 1, should_pause: Callable[[], bool] = lambda: False,
          wait: Callable[[DiskFull], None] | None = None,
          log: Callable[[str], None] = silently,
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
        UserError: when there is no teacher, or the variant is no slice of it; when there is no
            network to distil, or one of other speakers or another rate.
    """
    training = Training(variant, recipe, corpus, device_of(device), lineage.values, log)
    training.origin = replace(lineage.origin, corpus=corpus.fingerprint)
    if recipe.distill:
        training.imitate(lineage.guide)
    for file in files_of(path):
        clear_scratch(file)
    if not training.resume(path):
        if recipe.init in FROM_ANOTHER:
            training.inherit(lineage.teacher)
        if not micro_batches:
            training.stepper.fit_memory()
    if micro_batches:
        training.stepper.split(micro_batches)
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


@lru_cache(maxsize=1)
def _of_file(teacher: Path, _: object) -> tuple[dict[str, Any], ConvTasNet]:
    """What a checkpoint says of itself, and its network: read once for all slices of it, while the
    file is the same."""
    content = checkpoint.read(teacher)
    stamp = {name: value for name, value in content.items() if name not in TENSORS}
    return stamp, checkpoint.best_of(content, teacher)


class Training:
    """The state between two epochs: network, optimizer, best weights so far, and the curve."""

    def __init__(self, variant: Variant, recipe: Recipe, corpus: Corpus, device: torch.device,
                 values: Values | None = None, log: Callable[[str], None] = silently):
        self.variant = variant
        self.recipe = recipe
        self.corpus = corpus
        self.device = device
        self.log = log
        self.stepper = Stepper(variant, recipe, corpus, device, values, log)
        self.network = self.stepper.network
        self.optimizer = self.stepper.optimizer
        self.origin = checkpoint.NOWHERE         # `train` says where it belongs
        self.best = copy.deepcopy(self.network.state_dict())
        self.epochs: list[Epoch] = []
        self._begin_epoch()
        resident = self.stepper.resident
        self.drawer: Drawer[Any] = Drawer(
            resident.plan if resident else corpus.segment, recipe, self.stepper.segment,
            ahead=device.type == "cuda")
        self.silent = 0     # mixtures of the last validation in which a source is silent

    def _begin_epoch(self) -> None:
        self.segments = 0
        self.seconds = 0.0
        # Its sum over sources with speech; their number.
        self.loss = torch.zeros(2, device=self.device)

    def inherit(self, teacher: Path | None) -> None:
        """Begin with the weights of a slice of the teacher's best network."""
        if teacher is None:
            raise UserError(f"{self.variant}: init {self.recipe.init!r} needs a network to inherit "
                            "from")
        whole = self._of_study(teacher) if self.origin.study else checkpoint.load(teacher)
        if why := self.variant.no_slice_of(whole.variant):
            raise UserError(f"{self.variant}: is no slice of {teacher}: {why}")
        self.network.load_state_dict(take(whole, self.variant).state_dict())
        if self.recipe.init == "adapted":
            reorder_channels(self.network, self._importance())
        self.best = copy.deepcopy(self.network.state_dict())

    def imitate(self, guide: Path | None) -> None:
        """Learn from the estimates of this network, too, as much as the recipe says."""
        if guide is None:
            raise UserError(f"{self.variant}: distill={self.recipe.distill:g} needs a network to "
                            "learn from")
        network = checkpoint.load(guide)
        for name in ("C", "sample_rate_hz"):
            own, its = getattr(self.variant, name), getattr(network.variant, name)
            if own != its:
                raise UserError(f"{guide}: {name}={its}, but {own} in the network that is to learn "
                                "from it")
        self.stepper.imitate(network)

    def _importance(self) -> list[Tensor]:
        """Of each kind of channels, on segments of no epoch, how much the loss hangs on each."""
        network, size = speed_up(self.network, self.recipe.precision).eval(), self.recipe.batch_size
        steps = []
        for step in range(IMPORTANCE_STEPS):
            drawn = [self.corpus.segment(self.recipe.seed, 0, index, self.stepper.segment)
                     for index in range(step * size, (step + 1) * size)]
            batch = batch_of(drawn, self.device)
            self.optimizer.zero_grad()
            pit_loss(batch.sources, network(batch.mixture), batch.valid).backward()
            steps.append(first_order(network))
        self.optimizer.zero_grad()
        return [torch.stack(kind).sum(0) for kind in zip(*steps, strict=True)]

    def _of_study(self, teacher: Path) -> ConvTasNet:
        stamp, network = _of_file(teacher, state(teacher))
        if how := self.origin.foreign_teacher(stamp):
            raise CheckpointError(f"{teacher}: {how}, so nothing can be inherited from it; put the "
                                  "checkpoint of the study's own trial 0 there")
        return network

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
        for score in self.validate():
            scores.append(score)
            yield
        seconds = before + time.perf_counter() - start
        mean_loss = loss / speaking if speaking else math.nan
        self._end_epoch(number, mean_loss, math.fsum(scores) / len(scores), seconds)

    def _step(self, number: int) -> None:
        recipe = self.recipe
        end = min(self.segments + recipe.batch_size, recipe.epoch_segments)
        indices = range(self.segments, end)
        drawn = self.drawer.draw(number, indices)
        chance = (recipe.seed, number, indices.start)
        loss = self.stepper(drawn, self._rate(number, end), chance)
        self.loss += loss * len(indices)        # stays on the device: no wait for the number
        self.segments = end

    def _rate(self, number: int, segments: int) -> float:
        """The learning rate of the step that ends at so many segments of an epoch."""
        progress = (number - 1 + segments / self.recipe.epoch_segments) / self.recipe.epochs
        return self.recipe.learning_rate * rate_factor(self.recipe, progress, self.scores)

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

    def validate(self) -> Iterator[float]:
        """SI-SNRi in dB of each validation mixture, whole, as the test separates it.

        Mixtures with a silent source are left out: nothing can be similar to it.
        """
        total, count = self.corpus.count("valid"), 0
        for index in range(total):
            mixture = self.corpus.mixture("valid", index)
            if silent(mixture.sources[:, :mixture.length]):
                count += 1
                continue
            separate = partial(estimates_of, self.network, mixture)
            estimates = self.stepper.within_memory(separate)
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
            "optimizer": self.optimizer.state_dict(),
            "micro_batch": self.stepper.micro_batch,
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
        micro_batch = content.get("micro_batch", self.stepper.micro_batch)
        self.stepper.micro_batch = micro_batch
