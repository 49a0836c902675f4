"""One variant, from its cost to its scores. Knows nothing of Optuna or of the database."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from study.records import Budget, Result
from tasnet_core import cost, metrics
from tasnet_core.checkpoint import load
from tasnet_core.corpora import Corpus
from tasnet_core.errors import CheckpointError, CorpusError
from tasnet_core.memory import out_of_memory
from tasnet_core.records import Epoch, Recipe, Variant
from tasnet_core.training import Diverged, device_of, train


def evaluate(variant: Variant, recipe: Recipe, budget: Budget, corpus: Corpus, checkpoint: Path,
             device: str = "cpu", tell: Callable[[Epoch], None] = lambda epoch: None,
             measures: Sequence[str] = metrics.FAST,
             tell_scored: Callable[[int, int], None] = lambda done, total: None,
             fit_memory: bool = False) -> Result:
    """Cheap before expensive: cost, budget, training (or the rest of it), scores on the whole test set.

    `tell` hears every epoch from the first, as it ends; `tell_scored` how many test mixtures are scored, of how
    many, by the metrics `measures`. Whatever goes wrong with the training comes back as a failed Result.

    Raises:
        CheckpointError: the checkpoint cannot be written or read; the run can go on once that is mended.
    """
    if excess := budget.excess(cost.exact(variant)):
        return Result("rejected", reason=excess, cost=cost.exact(variant))
    measured = cost.measure(variant)
    curve: list[Epoch] = []
    try:
        for epoch in train(variant, recipe, corpus, checkpoint, device, fit_memory):
            curve.append(epoch)
            tell(epoch)
        start = time.perf_counter()
        scores = metrics.score_test(load(checkpoint).to(device_of(device)), corpus, measures, tell=tell_scored)
    except CheckpointError:
        raise
    except Exception as error:      # one variant's bad end is a row, not the end of the study
        return Result("failed", reason=one_line(error), kind=kind_of(error), cost=measured, curve=tuple(curve),
                      seconds=sum(epoch.seconds for epoch in curve))
    return Result("complete", cost=measured, scores=metrics.summary(scores, measures), curve=tuple(curve),
                  mixtures=tuple(scores),
                  seconds=sum(epoch.seconds for epoch in curve) + time.perf_counter() - start)


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
