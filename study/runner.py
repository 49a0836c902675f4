"""The search: Optuna asks, we measure, the database keeps, Optuna is told. In that order.

A result is in our tables before Optuna hears of it, and every start tells what a killed process left untold,
then goes on with the trials it left running. So no order of death loses a result.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from study.database import Database, is_held
from study.environment import environment
from study.evaluate import evaluate
from study.records import OBJECTIVES, TRAINED, Budget, Result, Settings
from study.space import Space, space_named, suggest
from tasnet_core import cost
from tasnet_core.corpora import Corpus
from tasnet_core.records import Cost, Epoch, Scores, Variant

PATIENCE = 20       # repeats in a row before the sampler is helped to a variant it has not met

optuna.logging.set_verbosity(optuna.logging.WARNING)


def tpe(seed: int) -> BaseSampler:
    """TPE for several objectives; the letters depend on each other, so they are drawn together."""
    return TPESampler(seed=seed, multivariate=True)


SAMPLERS = {"tpe": tpe}


class PerTrial(BaseSampler):
    """A sampler whose chance is a function of (seed, trial number): restarts draw what one long run draws."""

    def __init__(self, name: str, seed: int):
        self.make, self.seed = SAMPLERS[name], seed
        self.inner = self.make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self.inner = self.make(int(np.random.SeedSequence((self.seed, trial.number)).generate_state(1)[0]))
        self.inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self.inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial,
                        search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        return self.inner.sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str,
                           param_distribution: BaseDistribution) -> Any:
        return self.inner.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self.inner.after_trial(study, trial, state, values)


Rows = Sequence[Mapping[str, Any]]


class Watcher(Protocol):
    """Who is shown what happens."""

    def trial_begins(self, trial: int, variant: Variant, cost: Cost) -> None: ...
    def epoch_ends(self, trial: int, epoch: Epoch) -> None: ...
    def mixture_scored(self, trial: int, done: int, total: int) -> None: ...
    def trial_ends(self, trial: int, variant: Variant, result: Result, front: Rows) -> None: ...


class Silent:
    """Shows nothing."""

    def trial_begins(self, trial: int, variant: Variant, cost: Cost) -> None: ...
    def epoch_ends(self, trial: int, epoch: Epoch) -> None: ...
    def mixture_scored(self, trial: int, done: int, total: int) -> None: ...
    def trial_ends(self, trial: int, variant: Variant, result: Result, front: Rows) -> None: ...


def open_study(name: str, settings: Settings, url: str) -> optuna.Study:
    """Optuna's study beside our tables, with the reference waiting as trial 0, or a whole list."""
    sqlite = url.startswith("sqlite")
    storage = optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else None)
    study = optuna.create_study(
        study_name=name, storage=storage, load_if_exists=True, directions=[way for _, way in OBJECTIVES],
        sampler=PerTrial(settings.sampler, settings.recipe.seed))
    known, space = len(study.get_trials(deepcopy=False)), space_named(settings.space)
    if not known:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([metric for metric, _ in OBJECTIVES])     # for optuna-dashboard's axes
    for variant in space.first[known:]:     # what a process that died here did not queue any more
        study.enqueue_trial(space.parameters_of(variant))
    return study


class Runner:
    """One process at work on one study."""

    def __init__(self, name: str, settings: Settings, database: Database, corpus: Corpus, device: str = "cpu",
                 fit_memory: bool = False):
        self.name, self.settings, self.database, self.corpus, self.device = name, settings, database, corpus, device
        self.fit_memory = fit_memory
        self.study = open_study(name, settings, database.optuna_url)
        self.checkpoints = database.folder / "checkpoints" / re.sub(r"[^\w.-]", "_", name)
        self.watcher: Watcher = Silent()

    def run(self, trials: int) -> None:
        """Work until the study has `trials` trained trials in all, or the space has no variant left to train.

        Any interruption only pauses it.

        Raises:
            UserError: when a checkpoint cannot be written.
        """
        self.tell_untold()
        while self.trained() < trials and (trial := self.next_trial()):
            self.work_on(trial)

    def trained(self) -> int:
        return sum(run["state"] in TRAINED for run in self.database.runs(self.name))

    def tell_untold(self) -> None:
        """Tell Optuna the results that are in our tables but not yet in its own."""
        open_trials = {trial.number: trial for trial in self.study.get_trials(False, (TrialState.RUNNING,))}
        for run in self.database.runs(self.name):
            if run["state"] != "running" and run["trial"] in open_trials:
                self.tell(self.reopen(open_trials[run["trial"]]), self.measured(run))

    def next_trial(self) -> Trial | None:
        """A trial that a dead process left, or else a new one; None when the space is used up."""
        owners = {run["trial"]: run for run in self.database.runs(self.name)}
        for trial in self.study.get_trials(False, (TrialState.RUNNING,)):
            if trial.number not in owners or not is_held(owners[trial.number]):
                return self.reopen(trial)
        return self.study.ask() if self.something_left() else None

    def reopen(self, trial: FrozenTrial) -> Trial:
        return Trial(self.study, trial._trial_id)

    def work_on(self, trial: Trial) -> None:
        space = space_named(self.settings.space)
        variant = suggest(trial, space)
        known = self.known_run(variant, trial.number)
        if known is not None:
            trial.set_user_attr("repeats_trial", known["trial"])
            self.tell(trial, self.measured(known))
            return
        result = self.measure(trial.number, variant)
        self.tell(trial, result)
        self.watcher.trial_ends(trial.number, variant, result, self.database.front(self.name))

    def measure(self, number: int, variant: Variant) -> Result:
        recipe, path = self.settings.recipe, self.checkpoints / f"trial-{number:04}.pt"
        exact = cost.exact(variant)
        run = self.database.begin_run(self.name, number, variant, recipe, exact, str(path), environment(self.device))
        self.watcher.trial_begins(number, variant, exact)

        def tell(epoch: Epoch) -> None:
            self.database.add_epoch(run, epoch)
            self.watcher.epoch_ends(number, epoch)

        # The reference is the yardstick, not a candidate: no budget rejects it.
        budget = self.settings.budget if number else Budget()
        result = evaluate(variant, recipe, budget, self.corpus, path, self.device, tell, self.settings.metrics,
                          lambda done, total: self.watcher.mixture_scored(number, done, total),
                          self.fit_memory)
        self.database.finish(run, result)
        return result

    def known_run(self, variant: Variant, number: int) -> Mapping[str, Any] | None:
        """The finished run of another trial that already measured this variant with this seed."""
        return next((run for run in self.database.runs(self.name)
                     if run["variant"] == variant.key and run["seed"] == self.settings.recipe.seed
                     and run["trial"] != number and run["state"] != "running"), None)

    def measured(self, run: Mapping[str, Any]) -> Result:
        """What a row of `runs` has to tell Optuna."""
        row = next(row for row in self.database.results(self.name) if row["trial"] == run["trial"])
        return Result(run["state"], cost=Cost(row["parameters"], row["macs_per_s"], row["receptive_field_s"]),
                      scores=Scores(**{field.name: run[field.name] for field in fields(Scores)}))

    def tell(self, trial: Trial, result: Result) -> None:
        if result.cost is not None:
            for limit, excess in self.settings.budget.ratios(result.cost).items():
                trial.set_constraint(limit, excess)     # feasible at 0 or less; the sampler learns from it
        if result.state == "complete" and result.scores.si_snri_db is not None and result.cost is not None:
            values = {**vars(result.cost), **vars(result.scores)}
            self.study.tell(trial, [values[name] for name, _ in OBJECTIVES], skip_if_finished=True)
        else:
            state = TrialState.FAIL if result.state in ("failed", "complete") else TrialState.PRUNED
            self.study.tell(trial, state=state, skip_if_finished=True)

    def something_left(self) -> bool:
        """Whether any variant is left to measure. After many repeats in a row, queues one that nobody has measured."""
        trials, space = self.study.get_trials(False), space_named(self.settings.space)
        if any(trial.state == TrialState.WAITING for trial in trials):
            return True
        repeating = len(trials) >= PATIENCE and all("repeats_trial" in trial.user_attrs for trial in trials[-PATIENCE:])
        met = {run["variant"] for run in self.database.runs(self.name)}
        if not repeating and len(met) < len(space):
            return True
        left = self.unmeasured(space, met) if len(met) < len(space) else []
        if left:
            number = np.random.default_rng((self.settings.recipe.seed, len(trials))).integers(len(left))
            self.study.enqueue_trial(space.parameters_of(left[number]))
        return bool(left)

    def unmeasured(self, space: Space, met: set[str]) -> list[Variant]:
        """The variants within the budget that have no run."""
        return [variant for variant in space.variants() if variant.key not in met
                and not self.settings.budget.excess(cost.exact(variant))]
