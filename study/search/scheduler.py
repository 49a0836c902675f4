"""The scheduler: which run comes next in a study, and what Optuna is told about those that ended.

Any number of processes, on any number of machines, may work on one study. They are handed work
one at a time (`Database.lock`), so the total is kept and nothing is trained twice. A result is in
our tables before Optuna is told, and whoever asks for work next tells what a killed process has
not told and takes up what it has not finished: no order of death loses a result.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, Trial, TrialState

from study.database.device_costs import budget_of
from study.database.store import Database
from study.database.study_names import checkpoint_name
from study.records import TRAINED, Result
from study.search.events import Message, TrialEnded
from study.search.inherit_recipe import first, recipe_of, teacher_of
from study.search.known_front import half_width_db
from study.search.optuna_study import (
    created,
    measured,
    open_study,
    opened,
    refuse_outside,
    tell,
    tell_continued,
)
from study.search.samplers import stride
from study.search.waiting import Waiting
from study.space.plan import StudyPlan
from study.space.space import on_as_much_audio, suggest, suggested_recipe
from tasnet_core.cost import count
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

REPEATS = 20        # proposals in a row that have a run already, before an untried point is given

Run = Mapping[str, Any]     # a row of `runs`


class Scheduler:
    """The work of one study, as one process asks for it."""

    def __init__(self, plan: StudyPlan, database: Database, waiting: Waiting):
        self.name, self.settings, self.space = plan.name, plan.settings, plan.space
        self.first = first(plan.settings, plan.space)
        self.seed, self.database = plan.settings.recipe.seed, database
        self.until_db = plan.until_db
        self.waiting, self.on_event = waiting, waiting.on_event
        self.started: dict[int, Trial] = {}     # by number: of the runs that began here
        self.study = database.retry(lambda: open_study(plan, database))
        self.budget = database.retry(lambda: budget_of(database, plan.settings))
        self.checkpoints = database.retry(
            lambda: database.settle(plan.name, lambda text: self.on_event(Message(text))))

    def next_run(self, trials: int, environment: Mapping[str, Any],
                 at_work: Collection[int] = ()) -> Run | None:
        """A run that is now ours: an unfinished one, or a new trial's; None when there is none.

        `trials` is the total of the study, `environment` where the run is going to be trained,
        `at_work` the runs of this process that are being trained.

        Raises:
            Paused: this process is asked to stop.
            UserError: the reference, from which all others inherit, has failed.
        """
        return self.database.retry(lambda: self._next_run(trials, environment, at_work))

    def _next_run(self, trials: int, environment: Mapping[str, Any],
                  at_work: Collection[int]) -> Run | None:
        self.waiting.pause_if_asked()
        with self.database.lock(self.name):
            known = self.study.get_trials(False)
            self._see_devices()
            if self._tell_untold(known):
                known = self.study.get_trials(False)    # the sampler is to see what was told
            if unfinished := self.database.take_up(self.name, at_work):
                return unfinished
            while True:
                self.waiting.pause_if_asked()
                if self.teacher_state() not in ("", "complete"):
                    return None
                counts = self.database.counts(self.name, self.seed)
                if sum(counts.get(state, 0) for state in ("running", *TRAINED)) >= trials:
                    return None
                trial = self._unstarted(known)
                if trial is None and not self._known_enough(known):
                    trial = self._new_trial(known)
                if trial is None:
                    return None
                if run := self._start(trial, environment):
                    self.started[trial.number] = trial
                    return run
                known = self.study.get_trials(False)

    def _see_devices(self) -> None:
        """Use what devices have measured by now."""
        self.budget = budget_of(self.database, self.settings)
        proposals: Any = self.study.sampler
        proposals.budget = self.budget

    def _measured(self, run: Run) -> Result:
        return measured(run, self.budget.on(self.database.variant(run["variant"])))

    def teacher_state(self) -> str:
        """The state of the network that others inherit from; "" where it is no trial of the study,
        or before it begins.

        Raises:
            UserError: it has failed.
        """
        teacher = teacher_of(self.settings)
        if teacher is None:
            return ""
        run = self.database.run_of(self.name, teacher, self.seed)
        if run is not None and run["state"] not in ("running", "complete"):
            raise UserError(
                f"trial {teacher}, from which all others inherit, is {run['state']} "
                f"({run['reason']}); go on with it: python -m study continue {teacher} "
                f"--study {self.name}")
        return "" if run is None else str(run["state"])

    def report(self, number: int, result: Result) -> None:
        """Tell Optuna the stored result of a trial; its duplicates are told with the next run."""
        self.database.retry(lambda: self._report(number, result))

    def _report(self, number: int, result: Result) -> None:
        run = self.database.run_of(self.name, number, self.seed)
        assert run is not None
        if number in self.started:
            tell(self.study, self.settings, self.started[number], self._measured(run))
            del self.started[number]
        else:
            known = self.study.get_trials(False)
            self._tell_untold(known)
            tell_continued(self.study, self.settings, known[number], self._measured(run))

    # ── new trials ──────────────────────────────────────────────────────────────────────────

    def _start(self, trial: Trial, environment: Mapping[str, Any]) -> Run | None:
        """A trial's run; None where it needs none: a duplicate, or one over the budget."""
        if outside := refuse_outside(self.study, trial, self.space):
            self.on_event(Message(f"trial {trial.number}: refused, it was queued with {outside}; "
                                  "python -m study enqueue takes any variant"))
            return None
        variant, recipe = self._proposed(trial)
        original = self.database.first_run(self.name, variant, recipe)
        if original is not None and original["trial"] != trial.number:
            trial.set_user_attr("repeats_trial", original["trial"])
            if original["state"] != "running":      # else it is told when that run has finished
                tell(self.study, self.settings, trial, self._measured(original))
            return None
        exact, on_devices = count.exact(variant), self.budget.on(variant)
        run = self.database.begin_run(
            self.name, trial.number, variant, recipe, exact,
            str(self.checkpoints / checkpoint_name(trial.number)), environment,
            stoppable=variant not in self.first)
        # The reference is the yardstick, not a candidate: no budget rejects it.
        if trial.number and (excess := self.budget.excess(exact, on_devices)):
            rejected = Result("rejected", reason=excess, cost=exact, on_devices=on_devices)
            self.database.finish(run, rejected)
            tell(self.study, self.settings, trial, rejected)
            self.on_event(TrialEnded(trial.number, recipe.seed, variant, rejected))
            return None
        return self.database.run_of(self.name, trial.number, recipe.seed)

    def _proposed(self, trial: Trial) -> tuple[Variant, Recipe]:
        """The variant and recipe of a trial: enqueued by hand, or the sampler's."""
        recipe, by_hand = self.settings.recipe, trial.user_attrs.get("variant")
        if by_hand is not None:
            variant = Variant(**by_hand)
            recipe = on_as_much_audio(recipe, trial.user_attrs.get("recipe", {}))
        # A variant that the sampler cannot propose, it need not know.
        if by_hand is None or self.space.parameters_of(variant, recipe):
            variant = suggest(trial, self.space)
            recipe = suggested_recipe(trial, self.space, self.settings.recipe)
        is_reference = variant == self.space.reference
        return variant, recipe_of(recipe, self.settings, is_reference, trial.number)

    def _new_trial(self, known: Sequence[FrozenTrial]) -> Trial | None:
        """The next trial, queued ones first; None where no variant is left to measure.

        After many duplicates in a row it is a point that has no run.
        """
        if any(trial.state == TrialState.WAITING for trial in known):
            return self.study.ask()
        size = len(self.space)
        repeating = len(known) >= REPEATS and all(
            "repeats_trial" in trial.user_attrs for trial in known[-REPEATS:])
        if not repeating and len(known) < size:      # it cannot be used up yet
            return created(self.study, known)
        tried = self.database.tried(self.name, self.seed)
        start = int(np.random.default_rng((self.seed, len(known))).integers(size))
        points = (self.space.point((start + number * stride(size)) % size)
                  for number in range(size))
        untried = next((point for point in points if self._is_untried(point, tried)), None)
        if untried and repeating:
            self.study.enqueue_trial(untried)
            return self.study.ask()
        return created(self.study, known) if untried else None

    def _known_enough(self, known: Sequence[FrozenTrial]) -> bool:
        """Whether the front is known as well as was asked for, and nothing is queued."""
        if self.until_db is None or any(trial.state == TrialState.WAITING for trial in known):
            return False
        width = half_width_db(self.database, self.name, self.space, self.budget)
        if width is None or width > self.until_db:
            return False
        self.on_event(Message(f"the front is known to ±{width:.2f} dB; no further trial is begun"))
        return True

    def _is_untried(self, point: Mapping[str, int], tried: set[tuple[Any, ...]]) -> bool:
        """Whether a point is within the budget and has no run."""
        variant = self.space.variant_of(point)
        recipe = self.space.recipe_of(point, self.settings.recipe)
        key = variant.key, recipe.learning_rate, recipe.segment_s, recipe.batch_size
        excess = self.budget.excess(count.exact(variant), self.budget.on(variant))
        return key not in tried and not excess

    # ── after the death of a process ────────────────────────────────────────────────────────

    def _tell_untold(self, known: Sequence[FrozenTrial]) -> bool:
        """Tell Optuna the results that are in our tables but not yet in its own; whether there were
        any."""
        told = False
        for trial, number in self._not_at_work(known):
            run = self.database.run_of(self.name, number, self.seed)
            if run is not None and run["state"] != "running":
                tell(self.study, self.settings, opened(self.study, trial, known),
                     self._measured(run))
                told = True
        return told

    def _unstarted(self, known: Sequence[FrozenTrial]) -> Trial | None:
        """A trial whose process died between Optuna's proposal and our row of it."""
        for trial, number in self._not_at_work(known):
            duplicate = "repeats_trial" in trial.user_attrs
            if not duplicate and not self.database.run_of(self.name, number, self.seed):
                return opened(self.study, trial, known)
        return None

    def _not_at_work(self, known: Sequence[FrozenTrial]) -> list[tuple[FrozenTrial, int]]:
        """Trials that run for Optuna but not in our tables, each with the trial that has its run.
        """
        running = [(trial, trial.user_attrs.get("repeats_trial", trial.number))
                   for trial in known if trial.state == TrialState.RUNNING]
        at_work = self.database.at_work(self.name, self.seed) if running else set()
        return [(trial, number) for trial, number in running if number not in at_work]
