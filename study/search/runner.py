"""The runner: one process at work on a study, from one run to the next.

Optuna proposes, we measure, the database keeps, Optuna is told: in that order. The runner trains
itself; an engine whose runs are trained elsewhere uses its `scheduler` and `executor`.
"""

import threading
from collections.abc import Callable

from study.database.store import Database, LeaseLost
from study.records import Result
from study.search.environment import environment
from study.search.evaluate import Hooks, Task, evaluate, one_line
from study.search.events import Message, OnEvent, TrialEnded, silent
from study.search.inherit_recipe import teacher_of
from study.search.run_executor import Run, RunExecutor
from study.search.scheduler import Scheduler
from study.search.waiting import Waiting
from study.space.plan import StudyPlan
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost import count
from tasnet_core.errors import Abandoned, Damaged, Foreign, UserError
from tasnet_core.records import Variant

EARLY_FAILURES = 3      # in a row before a first epoch: that is no property of variants

Evaluate = Callable[[Task, Corpus, Hooks], Result]


class Runner:
    """One process at work on one study. Without a corpus it trains nothing itself."""

    def __init__(self, plan: StudyPlan, database: Database, corpus: Corpus | None = None,
                 on_event: OnEvent = silent, stop: threading.Event | None = None,
                 evaluate: Evaluate = evaluate):
        self.plan, self.corpus, self.on_event, self.evaluate = plan, corpus, on_event, evaluate
        self.waiting = Waiting(on_event, stop)
        self.database = database.retrying(self.waiting.wait)
        self.scheduler = Scheduler(plan, self.database, self.waiting)
        self.executor = RunExecutor(plan, self.database, self.waiting, self.scheduler.checkpoints)
        self.early_failures = 0

    def run(self, trials: int) -> None:
        """Work until the study has `trials` trials that are trained or in training, or nothing is
        left to train. Any interruption only pauses it.

        Raises:
            Paused: `stop` was set.
            UserError: a checkpoint cannot be written, or nothing can be trained.
        """
        while True:
            run = self.scheduler.next_run(trials, environment(self.plan.device))
            if run is not None:
                try:
                    self.work_on(run)
                except LeaseLost:
                    text = f"trial {run['trial']}: another worker has taken it over"
                    self.on_event(Message(text))
            elif self.scheduler.teacher_state() == "running":
                self.waiting.wait(f"trial {teacher_of(self.scheduler.settings)}, from which all "
                                  "others inherit, is in training", 2.0)
            else:
                return

    def trained(self) -> int:
        return self.database.trained(self.plan.name, self.plan.settings.recipe.seed)

    def work_on(self, run: Run) -> None:
        """Train a run, or the rest of it, and store its result."""
        variant = self.executor.start(run)
        try:
            result = self._result(run, variant)
            self.database.finish(run["id"], result)
        except (Abandoned, UserError):
            self.executor.give_back(run)
            raise
        self.ended(run, variant, result)

    def _result(self, run: Run, variant: Variant) -> Result:
        assert self.corpus is not None
        while True:
            try:
                return self.executor.given_up(run, variant) or self.evaluate(
                    self.executor.task(run, variant), self.corpus, self.executor.hooks(run))
            except (Damaged, Foreign) as error:     # what it should hold can be trained again
                self.executor.set_aside(run, error.path, getattr(error, "how", ""))
            except (Abandoned, UserError):
                raise
            except Exception as error:      # a defect of ours: a row too, or every start meets it
                return Result("failed", one_line(error), "error", count.exact(variant))

    def ended(self, run: Run, variant: Variant, result: Result) -> None:
        """Report a stored result to Optuna and to whoever shows it.

        Raises:
            UserError: trial after trial fails before its first epoch.
        """
        self.on_event(TrialEnded(run["trial"], run["seed"], variant, result))
        if run["seed"] == self.plan.settings.recipe.seed:
            self.scheduler.report(run["trial"], result)
        self.abort_after_repeated_early_failures(run, result)

    def abort_after_repeated_early_failures(self, run: Run, result: Result) -> None:
        early = result.state == "failed" and result.kind in ("data", "error") and not result.curve
        self.early_failures = self.early_failures + 1 if early else 0
        if self.early_failures >= EARLY_FAILURES:
            trial = run["trial"]
            raise UserError(
                f"{self.early_failures} trials in a row failed before their first epoch, the last, "
                f"trial {trial}, with {result.reason!r}; mend that, then: "
                f"python -m study continue {trial} --study {self.plan.name}")
