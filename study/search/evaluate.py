"""One variant, from its cost to its scores. Knows nothing of Optuna or of the database."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.records import Budget, Result
from tasnet_core.backend.devices import device_of
from tasnet_core.backend.memory import out_of_memory
from tasnet_core.checkpoints.checkpoint import load
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost import count as cost
from tasnet_core.cost.measure import measure_apart
from tasnet_core.errors import Abandoned, CheckpointError, CorpusError, DiskFull
from tasnet_core.evaluation import metrics
from tasnet_core.inference import examples
from tasnet_core.records import Cost, Epoch, Recipe, Variant
from tasnet_core.training.slimmable import NO_LINEAGE, Lineage
from tasnet_core.training.trainer import Diverged, train


@dataclass(frozen=True)
class Hooks:
    """What an evaluation tells while it is at work, and what it asks."""

    tell: Callable[[Epoch], str] = lambda epoch: ""         # each epoch, as it ends; why to give up, or ""
    scored: Callable[[int, int], None] = lambda done, total: None       # how many test mixtures are scored, of how many
    pulse: Callable[[], bool] = lambda: False               # after each step of the training: whether to pause
    wait: Callable[[DiskFull], None] | None = None          # returns when a full disk is to be written to again
    say: Callable[[str], None] = lambda line: None          # what went wrong without harm to the result
    measured: Callable[[Cost], None] = lambda cost: None    # what it costs to run, before the training


def evaluate(variant: Variant, recipe: Recipe, budget: Budget, corpus: Corpus, checkpoint: Path, device: str = "cpu",
             measures: Sequence[str] = metrics.FAST, hooks: Hooks = Hooks(), measured: Cost | None = None,
             parts: int = 1, kin: Lineage = NO_LINEAGE) -> Result:
    """Cheap before expensive: cost, budget, training (or the rest of it), scores on the whole test set.

    The tests are those of the metrics `measures`; what three of the mixtures sound like is kept beside the checkpoint.
    `measured` is the cost, where it is known already; `kin` those that the variant's weights have to do with. A batch is
    computed in at least `parts` parts; 0 looks for as few as memory allows. Whatever goes wrong with the training comes back
    as a failed Result.

    Raises:
        CheckpointError: the checkpoint cannot be written or read; the run can go on once that is mended.
        Abandoned: a hook asked for it; the run can go on.
    """
    if excess := budget.excess(cost.exact(variant)):
        return Result("rejected", reason=excess, cost=cost.exact(variant))
    measured = measured or measure_apart(variant)
    curve: list[Epoch] = []

    def ended(state: str, seconds: float = 0.0, **found: object) -> Result:
        return Result(state, cost=measured, curve=tuple(curve),
                      seconds=sum(epoch.seconds for epoch in curve) + seconds, **found)  # type: ignore[arg-type]
    try:
        for epoch in train(variant, recipe, corpus, checkpoint, device, parts, hooks.pulse, hooks.wait, hooks.say, kin):
            curve.append(epoch)
            if reason := hooks.tell(epoch):
                return ended("stopped", reason=reason)
        start = time.perf_counter()
        scores = metrics.score_test(load(checkpoint).to(device_of(device)), corpus, measures, tell=hooks.scored,
                                    hear=examples.keeper(checkpoint, corpus, hooks.say))
    except Exception as error:      # one variant's bad end is a row, not the end of the study
        if isinstance(error, CheckpointError | Abandoned):
            raise
        return ended("failed", reason=one_line(error), kind=kind_of(error))
    return ended("complete", time.perf_counter() - start, scores=metrics.summary(scores, measures), mixtures=tuple(scores))


def kind_of(error: Exception) -> str:
    """The word of `records.FAILURES` for what was raised."""
    if isinstance(error, Diverged):
        return "diverged"
    if out_of_memory(error):
        return "out-of-memory"
    return "data" if isinstance(error, CorpusError) else "error"


def one_line(error: Exception) -> str:
    """The first line of an error's text, with its type where that is no error of ours."""
    text = str(error).strip().splitlines()[0] if str(error).strip() else ""
    return text if isinstance(error, Diverged | CorpusError) else f"{type(error).__name__}: {text}"
