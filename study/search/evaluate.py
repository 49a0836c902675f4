"""One training, from the cost of a variant to its scores. Knows neither Optuna nor the database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.records import Result, Selection
from study.search.events import CostMeasured, EpochEnded, Message, MixtureScored, Progress
from tasnet_core.backend.devices import device_of
from tasnet_core.backend.memory import out_of_memory
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost.measure import measure_apart
from tasnet_core.errors import Abandoned, CheckpointError, CorpusError, DiskFull
from tasnet_core.evaluation import metrics
from tasnet_core.inference import examples
from tasnet_core.network.model import ConvTasNet
from tasnet_core.records import Cost, Epoch, Recipe, Variant
from tasnet_core.training.slimmable import NO_LINEAGE, Lineage
from tasnet_core.training.trainer import Diverged, train


@dataclass(frozen=True)
class Task:
    """One training, as any process of any machine can do it."""

    variant: Variant
    recipe: Recipe
    checkpoint: Path
    device: str = "cpu"
    metrics: tuple[str, ...] = metrics.FAST
    cost: Cost | None = None        # None: measured where it is trained
    micro_batches: int = 1          # at least; 0: as few as memory allows
    lineage: Lineage = NO_LINEAGE
    trial: int = 0
    validated: tuple[str, ...] = ("si_snr",)   # metrics that the search chooses by


@dataclass(frozen=True)
class Hooks:
    """What a training asks of the process that stores its results."""

    on_event: Callable[[Progress], str] = lambda event: ""  # returns the reason to stop, or ""
    should_pause: Callable[[], bool] = lambda: False        # after each step
    wait: Callable[[DiskFull], None] | None = None          # until a full disk can be tried again


def evaluate(task: Task, corpus: Corpus, hooks: Hooks = Hooks(),
             measure: Callable[[Variant], Cost] | None = None) -> Result:
    """Measure, train (or finish the training), and score on the whole test set.

    Audio examples are kept beside the checkpoint. Whatever goes wrong with the training is a
    failed Result. `measure` is for the cost; without it, a process of its own measures.

    Raises:
        CheckpointError: the checkpoint cannot be written or read; the run can go on after that.
        Abandoned: a hook asked for it; the run can go on.
    """
    cost = task.cost or (measure or measure_apart)(task.variant)
    hooks.on_event(CostMeasured(cost))
    trial, seed = task.trial, task.recipe.seed
    curve: list[Epoch] = []

    def message(text: str) -> None:
        hooks.on_event(Message(f"trial {trial}: {text}"))

    def on_scored(done: int, total: int) -> None:
        hooks.on_event(MixtureScored(trial, seed, done, total))

    def ended(state: str, scoring_s: float = 0.0, **found: object) -> Result:
        seconds = sum(epoch.seconds for epoch in curve) + scoring_s
        return Result(state, cost=cost, curve=tuple(curve), seconds=seconds,
                      **found)  # type: ignore[arg-type]
    try:
        training = train(task.variant, task.recipe, corpus, task.checkpoint, task.device,
                         task.micro_batches, hooks.should_pause, hooks.wait, message, task.lineage)
        for epoch in training:
            curve.append(epoch)
            if reason := hooks.on_event(EpochEnded(trial, seed, epoch)):
                return ended("stopped", reason=reason)
        start = time.perf_counter()
        network = load(task.checkpoint).to(device_of(task.device))
        scores = metrics.score_test(network, corpus, task.metrics, on_scored=on_scored,
                                    on_estimates=examples.writer(task.checkpoint, corpus, message))
        selection = _selection(task, corpus, network, curve)
    except (CheckpointError, Abandoned):
        raise
    except Exception as error:      # one variant's failure is a row, not the end of the study
        return ended("failed", reason=one_line(error), kind=kind_of(error))
    return ended("complete", time.perf_counter() - start, mixtures=tuple(scores),
                 scores=metrics.summary(scores, task.metrics), selection=selection)


def _selection(task: Task, corpus: Corpus, network: ConvTasNet,
               curve: Sequence[Epoch]) -> Selection:
    """Scores on the validation mixtures; that of the best epoch, whose weights these are, is known.
    """
    if curve and set(task.validated) <= set(metrics.FAST):
        return Selection(max(epoch.valid_si_snri_db for epoch in curve))
    found = metrics.summary(metrics.score_test(network, corpus, task.validated, part="valid"),
                            task.validated)
    return Selection(found.si_snri_db, found.sdri_db)


def kind_of(error: Exception) -> str:
    """The word of `records.FAILURES` for an error."""
    if isinstance(error, Diverged):
        return "diverged"
    if out_of_memory(error):
        return "out-of-memory"
    return "data" if isinstance(error, CorpusError) else "error"


def one_line(error: Exception) -> str:
    """The first line of an error's text, with its type where it is not one of ours."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, Diverged | CorpusError) else f"{type(error).__name__}: {text}"
