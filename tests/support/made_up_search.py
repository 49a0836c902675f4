"""Searches whose evaluation is made up, so that hundreds of trials cost seconds; what several tests share."""

import math
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import optuna

from study.database.store import open_database
from study.records import OBJECTIVES, Budget, Result, Selection, Settings
from study.search.evaluate import evaluate as real_evaluate
from study.search.events import EpochEnded, Message, silent
from study.search.runner import Runner
from study.search.samplers import Proposals
from study.space.plan import StudyPlan
from study.space.presets import SPACES
from study.space.space import suggest
from tasnet_core.cost import count
from tasnet_core.records import Epoch, MixtureScore, Scores
from tests.support.tiny import RECIPE, Tiny

SETTINGS = Settings(corpus="tiny", space="tiny", recipe=RECIPE)
LUCK = 1 / 300        # dB: how much of a made-up score is no matter of size


def made_up(given):
    """An evaluation whose score is a function of the variant; `given` hears of every variant."""
    def fake(task, corpus, hooks):
        variant, exact = task.variant, count.exact(task.variant)
        given.append(variant)
        score = exact.parameters ** 0.5 / 10 + int(variant.key, 16) % 97 * LUCK
        curve = tuple(Epoch(n, -score, score * n / 5, 1e-3, 0.3 * n, 0.1) for n in range(1, 6))
        for n, epoch in enumerate(curve, 1):
            if reason := hooks.on_event(EpochEnded(task.trial, task.recipe.seed, epoch)):
                return Result("stopped", reason, cost=exact, curve=curve[:n], seconds=1.0)
        tested = score - 0.25       # the people of the test are harder to tell apart
        return Result("complete", cost=exact, curve=curve, seconds=1.0,
                      scores=Scores(si_snr_db=tested, si_snri_db=tested, mixtures=1), selection=Selection(score),
                      mixtures=(MixtureScore("test/000", "a+b", "FM", 1.0, 0.0, tested, tested),))
    return fake


evaluate = untimed = partial(real_evaluate, measure=count.exact)     # what is measured differs from run to run


@contextmanager
def opened(folder, settings=SETTINGS, on_event=silent, until_db=None, name="s", storage=None):
    with open_database(storage or str(folder / "study.db"), read_only=False) as database:
        database.register(name, settings)
        plan = replace(StudyPlan.of(name, settings), until_db=until_db)
        runner = Runner(plan, database, Tiny(), on_event, evaluate=evaluate)
        yield runner
        runner.scheduler.study._storage._backend.engine.dispose()       # Optuna closes no connection to a server


class Messages(list):
    """The texts of a study's messages."""

    def __call__(self, event):
        if isinstance(event, Message):
            self.append(event.text)


def table(folder):
    """What a study measured, without what no two runs share."""
    with open_database(str(folder / "study.db")) as database:
        blind = {"seconds": 0, "realtime_factor": 0, "run": 0}
        return [[{**row, **blind} for row in rows("s")]
                for rows in (database.results, database.epochs, database.mixtures)]


def told(folder):
    study = optuna.load_study(study_name="s", storage=f"sqlite:///{folder / 'study.db'}")
    return [(trial.number, trial.state.name, trial.params, trial.values) for trial in study.get_trials()]


class Death(BaseException):
    """What kill -9 is to a process: nothing more is done."""


def dies(monkeypatch, owner, name, after, at):
    """Let the process die at the `at`-th call of a method: before its work, or after it."""
    real, calls = getattr(owner, name), []

    def deadly(*arguments, **named):
        calls.append(1)
        if len(calls) != at:
            return real(*arguments, **named)
        if after:
            real(*arguments, **named)
        raise Death
    monkeypatch.setattr(owner, name, deadly)


def ask_and_tell(name, trials, space=SPACES["quick"], budget=None, seed=0, study=None):
    """Ask and tell with a known score: more parameters, better, with some noise; returns what was proposed."""
    budget = budget or Budget()
    study = study or optuna.create_study(directions=[OBJECTIVES[name] for name in space.objectives])
    study.sampler = Proposals(name, space, budget, seed)
    if not study.trials:
        study.enqueue_trial(space.parameters_of(space.reference))
    while len(study.trials) < trials:
        trial = study.ask()
        exact = count.exact(suggest(trial, space))
        for limit, excess in budget.ratios(exact).items():
            trial.set_constraint(limit, excess)
        if budget.excess(exact) and trial.number:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            score = 2 * math.log10(exact.parameters) + (int(suggest(trial, space).key, 16) % 97) / 100
            study.tell(trial, [score, exact.parameters, exact.macs_per_s])
    return [space.variant_of(trial.params) for trial in study.trials], study
