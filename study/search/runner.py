"""The search: Optuna asks, we measure, the database keeps, Optuna is told. In that order.

A worker takes a run, trains it, and comes back for the next; any number of them, on any number of machines, may be at work
on one study. Or it lets others train, several at a time, and records what they tell. Work is handed out by one at a time
(`Database.lock`), so the total is kept and nothing is trained twice.
A result is in our tables before Optuna hears of it, and whoever hands out work next tells what a killed process left
untold and takes up what it left unfinished. So no order of death loses a result.
"""

import itertools
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, Trial, TrialState

from study.analysis.pareto import Curve, hopeless
from study.database.connection import see_in_place
from study.database.leases import RENEW_S
from study.database.schema import MEASURED
from study.database.store import Database, LeaseLost
from study.database.study_names import checkpoint_name
from study.records import OBJECTIVES, TRAINED, Budget, Result
from study.search.environment import environment
from study.search.evaluate import Hooks, evaluate, one_line
from study.search.events import Silent, Watcher
from study.search.inherit_recipe import recipe_of
from study.search.optuna_study import created, measured, open_study, opened, refuse_outside, tell, tell_continued
from study.search.samplers import Proposals, stride
from study.space.plan import StudyPlan
from study.space.space import on_as_much_audio, suggest, suggested_recipe
from tasnet_core.checkpoints.checkpoint import Origin
from tasnet_core.checkpoints.training_files import before_decay, files_of
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost import count
from tasnet_core.cost.measure import measure_apart
from tasnet_core.errors import Abandoned, Damaged, DiskFull, Foreign, UserError
from tasnet_core.files import write_atomically
from tasnet_core.records import SLICED, Cost, Epoch, Recipe, Variant
from tasnet_core.training.slimmable import Lineage
from tasnet_core.training.trainer import Paused

PATIENCE = 20       # repeats in a row before the sampler is helped to a variant it has not met
DEATHS = 8          # of a run's processes within one epoch before it is given up
BARREN = 3          # trials in a row that fail before their first epoch: the fault is not theirs
SAY_S = 60.0        # how often somebody who has to wait says why

@dataclass(frozen=True)
class Task:
    """One training, as any process of any machine can do it."""

    variant: Variant
    recipe: Recipe
    checkpoint: Path
    device: str
    metrics: tuple[str, ...]
    measured: Cost | None       # None: to be measured where it is trained
    parts: int
    kin: Lineage


def carry_out(task: Task, corpus: Corpus, hooks: Hooks) -> Result:
    """Measure, train, score; `evaluate` says what may be raised."""
    measured = task.measured or measure_apart(task.variant)
    hooks.measured(measured)
    return evaluate(task.variant, task.recipe, Budget(), corpus, task.checkpoint, task.device, task.metrics, hooks, measured,
                    task.parts, task.kin)


class Runner:
    """One process at work on one study."""

    def __init__(self, plan: StudyPlan, database: Database, corpus: Corpus | None = None, watcher: Watcher | None = None,
                 stop: threading.Event | None = None):
        self.name, self.settings, self.space, self.device = plan.name, plan.settings, plan.space, plan.device
        self.database, self.corpus, self.parts = database, corpus, plan.micro_batches
        self.watcher, self.seed = watcher or Silent(), plan.settings.recipe.seed
        self.stop = stop or threading.Event()       # set: pause at the next step, with everything saved
        self.said_s, self.barren = -math.inf, 0
        self.renewed_s: dict[int, float] = {}       # by run: when its lease was
        self.at_work: set[int] = set()              # runs that others train for us
        self.begun: dict[int, Trial] = {}           # by number: of the runs that we have begun
        self.environment: Mapping[str, Any] | None = None       # where the next run will be trained; None: here
        self.database = database = database.retrying(self.rest)
        self.study = database.retry(lambda: open_study(plan, database))
        self.checkpoints = database.retry(lambda: database.settle(plan.name, self.watcher.says))

    def run(self, trials: int) -> None:
        """Work until the study has `trials` trials that are trained or with somebody, or nothing is left to train.

        Any interruption only pauses it.

        Raises:
            Paused: when `stop` was set.
            UserError: when a checkpoint cannot be written, or nothing can be trained.
        """
        while True:
            run = self.database.retry(lambda: self.next_run(trials))
            if run is not None:
                try:
                    self.work_on(run)
                except LeaseLost:
                    self.watcher.says(f"trial {run['trial']}: another worker has taken it over")
            elif self.teacher_state() == "running":
                self.rest("trial 0, from which all others inherit, is in training", 2.0)
            else:
                return

    def trained(self) -> int:
        return self.database.trained(self.name, self.seed)

    # ── handing out work ─────────────────────────────────────────────────────────────────────────

    def next_run(self, trials: int) -> Mapping[str, Any] | None:
        """A run of ours: one that was left unfinished, or a new trial's; None when there is nothing to begin."""
        self.pause_if_asked()
        with self.database.lock(self.name):
            asked = self.all_trials()
            self.tell_untold(asked)
            if left := self.database.take_up(self.name, self.at_work):
                return left
            while True:
                self.pause_if_asked()
                if self.teacher_state() not in ("", "complete"):
                    return None
                counts = self.database.counts(self.name, self.seed)
                if sum(counts.get(state, 0) for state in ("running", *TRAINED)) >= trials:
                    return None
                trial = self.unfinished_ask(asked) or self.new_ask(asked)
                if trial is None:
                    return None
                if run := self.begin(trial):
                    self.begun[trial.number] = trial
                    return run
                asked = self.all_trials()

    def all_trials(self) -> list[FrozenTrial]:
        """Optuna's, for the sampler too. As seldom as can be: each time Optuna reads all that are running."""
        asked, sampler = self.study.get_trials(False), self.study.sampler
        assert isinstance(sampler, Proposals)
        sampler.trials = asked
        return asked

    def teacher_state(self) -> str:
        """How far the network is from which others inherit; empty where nobody inherits, or it has not begun.

        Raises:
            UserError: when it has failed.
        """
        run = self.database.run_of(self.name, 0, self.seed) if self.settings.recipe.init == "inherit" else None
        if run is not None and run["state"] not in ("running", "complete"):
            raise UserError(f"trial 0, from which all others inherit, is {run['state']} ({run['reason']}); "
                            f"go on with it: python -m study continue 0 --study {self.name}")
        return "" if run is None else str(run["state"])

    def begin(self, trial: Trial) -> Mapping[str, Any] | None:
        """A trial's run; None where it needs none, being over the budget, or a repeat."""
        if outside := refuse_outside(self.study, trial, self.space):
            self.watcher.says(f"trial {trial.number}: refused, it was queued with {outside}; python -m study enqueue takes any "
                              "variant")
            return None
        variant, recipe = self.proposed(trial)
        same = self.database.same(self.name, variant, recipe)
        if same is not None and same["trial"] != trial.number:
            trial.set_user_attr("repeats_trial", same["trial"])
            if same["state"] != "running":      # else it is told when that run has finished
                self.tell(trial, measured(same))
            return None
        exact, path = count.exact(variant), self.checkpoints / checkpoint_name(trial.number)
        run = self.database.begin_run(self.name, trial.number, variant, recipe, exact, str(path),
                                      self.environment or environment(self.device), stoppable=variant not in self.space.first)
        # The reference is the yardstick, not a candidate: no budget rejects it.
        if trial.number and (excess := self.settings.budget.excess(exact)):
            rejected = Result("rejected", reason=excess, cost=exact)
            self.database.finish(run, rejected)
            self.tell(trial, rejected)
            self.watcher.trial_ends(trial.number, recipe.seed, variant, rejected)
            return None
        return self.database.run_of(self.name, trial.number, recipe.seed)

    def proposed(self, trial: Trial) -> tuple[Variant, Recipe]:
        """What a trial stands for: a variant put in by hand, or the sampler's."""
        recipe, by_hand = self.settings.recipe, trial.user_attrs.get("variant")
        if by_hand is not None:
            variant, recipe = Variant(**by_hand), on_as_much_audio(recipe, trial.user_attrs.get("recipe", {}))
        if by_hand is None or self.space.parameters_of(variant, recipe):    # what it cannot propose, a sampler need not know
            variant, recipe = suggest(trial, self.space), suggested_recipe(trial, self.space, self.settings.recipe)
        return variant, recipe_of(recipe, self.settings, variant == self.space.reference)

    def tell_untold(self, asked: Sequence[FrozenTrial]) -> None:
        """Tell Optuna the results that are in our tables but not yet in its own, of all the trials that it has."""
        for trial, number in self.not_at_work(asked):
            run = self.database.run_of(self.name, number, self.seed)
            if run is not None and run["state"] != "running":
                self.tell(opened(self.study, trial), measured(run))

    def tell_end(self, number: int, result: Result) -> None:
        """Tell Optuna the stored result of a trial, begun here or elsewhere; who repeats it is told with the next run."""
        if number in self.begun:
            run = self.database.run_of(self.name, number, self.seed)
            assert run is not None
            self.tell(self.begun[number], measured(run))
            del self.begun[number]
        else:
            asked = self.all_trials()
            self.tell_untold(asked)
            tell_continued(self.study, self.settings, asked[number], result)

    def unfinished_ask(self, asked: Sequence[FrozenTrial]) -> Trial | None:
        """A trial whose process died between Optuna's proposal and our row of it."""
        for trial, number in self.not_at_work(asked):
            if "repeats_trial" not in trial.user_attrs and not self.database.run_of(self.name, number, self.seed):
                return opened(self.study, trial)
        return None

    def not_at_work(self, asked: Sequence[FrozenTrial]) -> list[tuple[FrozenTrial, int]]:
        """The trials that Optuna takes to be running and whose run is not, with the number of the trial that has that run."""
        running = [(trial, trial.user_attrs.get("repeats_trial", trial.number)) for trial in asked
                   if trial.state == TrialState.RUNNING]
        at_work = self.database.at_work(self.name, self.seed) if running else set()
        return [(trial, number) for trial, number in running if number not in at_work]

    def tell(self, trial: Trial, result: Result) -> None:
        tell(self.study, self.settings, trial, result)

    def new_ask(self, trials: Sequence[FrozenTrial]) -> Trial | None:
        """The next trial, one that is queued first; None where no variant is left to measure.

        After many repeats in a row it is one that nobody has measured.
        """
        space = self.space
        if any(trial.state == TrialState.WAITING for trial in trials):
            return self.study.ask()
        repeating = len(trials) >= PATIENCE and all("repeats_trial" in trial.user_attrs for trial in trials[-PATIENCE:])
        if not repeating and len(trials) < len(space):      # it cannot be used up yet
            return created(self.study)
        met = self.database.met(self.name, self.seed)
        start = int(np.random.default_rng((self.seed, len(trials))).integers(len(space)))
        points = (space.point((start + number * stride(len(space))) % len(space)) for number in range(len(space)))
        left = next((point for point in points if self.is_new(point, met)), None)
        if left and repeating:
            self.study.enqueue_trial(left)
            return self.study.ask()
        return created(self.study) if left else None

    def is_new(self, point: Mapping[str, int], met: set[tuple[Any, ...]]) -> bool:
        """Whether a point is within the budget and has no run."""
        variant, recipe = self.space.variant_of(point), self.space.recipe_of(point, self.settings.recipe)
        return ((variant.key, recipe.learning_rate, recipe.segment_s, recipe.batch_size) not in met
                and not self.settings.budget.excess(count.exact(variant)))

    # ── one run ──────────────────────────────────────────────────────────────────────────────────

    def work_on(self, run: Mapping[str, Any]) -> None:
        """Train a run, or the rest of it, to its result."""
        variant = self.begins(run)
        try:
            while True:
                try:
                    result = self.measure(run, variant)
                    break
                except (Damaged, Foreign) as error:     # what it should hold can be had again, by training
                    self.set_aside(run, error.path, getattr(error, "how", ""))
                except (Abandoned, UserError):
                    raise
                except Exception as error:      # of ours: a row all the same, or it would be met again and again
                    result = Result("failed", one_line(error), "error", count.exact(variant))
                    break
            self.database.finish(run["id"], result)
        except (Abandoned, UserError):
            self.give_back(run)
            raise
        self.ends(run, variant, result)

    def measure(self, run: Mapping[str, Any], variant: Variant) -> Result:
        assert self.corpus is not None      # only who trains nothing goes without
        return self.given_up(run, variant) or carry_out(self.task(run, variant), self.corpus, self.hooks(run))

    def begins(self, run: Mapping[str, Any]) -> Variant:
        variant = self.database.variant(run["variant"])
        self.watcher.trial_begins(run["trial"], run["seed"], variant, count.exact(variant), run["epochs"])
        return variant

    def ends(self, run: Mapping[str, Any], variant: Variant, result: Result) -> None:
        """Tell of a result that is stored."""
        self.watcher.trial_ends(run["trial"], run["seed"], variant, result)
        if run["seed"] == self.seed:
            self.database.retry(lambda: self.tell_end(run["trial"], result))
        self.see_it_bears(run, result)

    def give_back(self, run: Mapping[str, Any]) -> None:
        self.database.retrying(None).release(run["id"])     # once: whoever stops us wants an end, and a lease ends by itself

    def task(self, run: Mapping[str, Any], variant: Variant) -> Task:
        """What is to be done for a run."""
        known = {name: run[name] for name in MEASURED}
        self.bring_along(run)
        measured = None if None in known.values() else Cost(**{**vars(count.exact(variant)), **known})
        out_of_memory = run["kind"] == "out-of-memory"      # says whoever saw the kernel kill its process
        return Task(variant, Recipe.of(run), self.checkpoint_of(run), self.device, self.settings.metrics, measured,
                    2 ** run["deaths"] if out_of_memory else self.parts, replace(self.kin, origin=self.origin(run)))

    def hooks(self, run: Mapping[str, Any]) -> Hooks:
        """What records a training of this run as it goes on."""
        curve: list[float] = []
        costs: list[Cost] = []
        self.renewed_s[run["id"]] = time.monotonic()

        def measured(found: Cost) -> None:
            self.database.set_cost(run["id"], found)
            costs.append(found)

        def tell(epoch: Epoch) -> str:
            self.database.add_epoch(run["id"], epoch)
            self.renewed_s[run["id"]] = time.monotonic()
            self.watcher.epoch_ends(run["trial"], run["seed"], epoch)
            curve.append(epoch.valid_si_snri_db)
            return self.verdict(run, costs[-1], tuple(curve))

        def scored(done: int, total: int) -> None:
            self.watcher.mixture_scored(run["trial"], run["seed"], done, total)
            self.pulse(run)
            self.pause_if_asked()

        def say(line: str) -> None:
            self.watcher.says(f"trial {run['trial']}: {line}")

        return Hooks(tell, scored, lambda: self.pulse(run), self.wait_for_space(run), say, measured)

    @property
    def kin(self) -> Lineage:
        """The reference, as the teacher of others, and the slices that are trained with it."""
        letters = {name: values for name, values in self.space.letters.items() if name in SLICED}
        return Lineage(self.checkpoints / checkpoint_name(0), letters)

    def origin(self, run: Mapping[str, Any]) -> Origin:
        """What the checkpoint of a run says of itself, in one of before that only by its curve."""
        grown_from = self.settings.grown_from
        curve = self.database.curve(run["id"]) or next((self.database.curve(one["id"]) for one in self.shorter(run)), ())
        return Origin(study=self.database.identity(self.name), grown_from=grown_from and self.database.identity(grown_from),
                      curve=curve)

    def shorter(self, run: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The complete runs, of the study that this one has grown from, that this run goes on from."""
        base = self.settings.grown_from
        return [one for one in self.database.runs(base) if (one["variant"], one["seed"], one["state"]) ==
                (run["variant"], run["seed"], "complete")] if base else []

    def bring_along(self, run: Mapping[str, Any]) -> None:
        """Let a run that has not begun go on from the shorter training of the study that this one has grown from."""
        mine = self.checkpoint_of(run)
        if mine.exists() or any(mine.parent.glob(f"{mine.name}.*-[0-9]*")):     # set aside: it was of no use
            return
        names = [Path(one["checkpoint"]).name for one in self.shorter(run)]
        places = [path for name in names for whole in [self.database.checkpoints(self.settings.grown_from) / name]
                  for path in (before_decay(whole), whole) if path.exists()]
        if places:
            content = places[0].read_bytes()
            write_atomically(mine, lambda file: file.write(content))

    def set_aside(self, run: Mapping[str, Any], path: Path, how: str = "") -> None:
        """Keep a checkpoint out of the way that is damaged or, where it says `how`, another training's, with all beside it."""
        whole, word, kept = self.checkpoint_of(run), "foreign" if how else "damaged", []
        for file in filter(Path.exists, files_of(whole) if how and path.name == whole.name else (path,)):
            kept.append(next(free for number in itertools.count(1)
                             if not (free := file.with_name(f"{file.name}.{word}-{number}")).exists()))
            file.rename(kept[-1])
        self.watcher.says(f"trial {run['trial']}: its checkpoint was {how or word} and is {kept[0]} now; " +
                          ("the trial is trained from its own start" if how else "what it held is trained again"))

    def checkpoint_of(self, run: Mapping[str, Any]) -> Path:
        """Where a run's training lies: in the folder the database lies in, wherever that has been moved to."""
        return self.checkpoints / checkpoint_name(run["trial"], None if run["seed"] == self.seed else run["seed"])

    def given_up(self, run: Mapping[str, Any], variant: Variant) -> Result | None:
        """The failure of a run that has killed its process too often."""
        deaths, epoch, exact = run["deaths"] or 0, len(self.database.curve(run["id"])) + 1, count.exact(variant)
        if run["kind"] == "out-of-memory" and 2 ** (deaths - 1) >= run["batch_size"]:
            return Result("failed", f"epoch {epoch}: the kernel killed its process for lack of memory {deaths} times, "
                          "the last time with one segment at once", "out-of-memory", exact)
        return Result("failed", f"epoch {epoch}: its process died {deaths} times", "killed", exact) if deaths >= DEATHS else None

    def verdict(self, run: Mapping[str, Any], measured: Cost, curve: tuple[float, ...]) -> str:
        """Why the stop rule ends a run here; empty when it does not."""
        rule = self.settings.stop
        if rule is None or not run["stoppable"] or run["seed"] != self.seed or len(curve) >= run["epochs"]:
            return ""
        warm_up, patience = rule.in_epochs(run["epochs"])
        if len(curve) - patience < warm_up:
            return ""
        axes = [name for name in self.settings.objectives if OBJECTIVES[name] == "minimize"
                and getattr(measured, name) is not None]
        mine = Curve(tuple(getattr(measured, name) for name in axes), curve)
        for trial, rival in self.database.rivals(self.name, self.seed, mine, axes, rule.margin_db, patience):
            if hopeless(mine, [rival], rule.margin_db, warm_up, patience):
                return (f"after epoch {len(curve)}: trial {trial}, which costs no more, was ahead by more than "
                        f"{rule.margin_db:g} dB" + (f" for {patience} epochs running" if patience > 1 else ""))
        return ""

    def see_it_bears(self, run: Mapping[str, Any], result: Result) -> None:
        """Stop where trial after trial fails before its first epoch: that is no property of variants."""
        barren = result.state == "failed" and result.kind in ("data", "error") and not result.curve
        self.barren = self.barren + 1 if barren else 0
        if self.barren >= BARREN:
            trial = run["trial"]
            raise UserError(f"{self.barren} trials in a row failed before their first epoch, the last, trial {trial}, with "
                            f"{result.reason!r}; mend that, then: python -m study continue {trial} --study {self.name}")

    # ── waiting, pausing ─────────────────────────────────────────────────────────────────────────

    def pulse(self, run: Mapping[str, Any]) -> bool:
        """Renew the lease now and then; whether to pause.

        Raises:
            Misplaced: the study's files are not there any more; what is trained is not saved in their place.
        """
        see_in_place(self.database.held)
        if time.monotonic() - self.renewed_s[run["id"]] > RENEW_S:      # monotonic: no clock that is set back stops it
            self.renewed_s[run["id"]] = time.monotonic()
            self.database.renew(run["id"])
        return self.stop.is_set()

    def pause_if_asked(self) -> None:
        if self.stop.is_set():
            raise Paused

    def wait_for_space(self, run: Mapping[str, Any]) -> Any:
        def wait(error: DiskFull) -> None:
            self.rest(str(error), 5.0)
            self.pulse(run)
        return wait

    def rest(self, reason: str, seconds: float = 0.05) -> None:
        """Wait a little for what passes by itself, saying why now and then."""
        if reason and time.monotonic() - self.said_s > SAY_S:
            self.said_s = time.monotonic()
            self.watcher.says(f"waiting: {reason}")
        self.stop.wait(max(seconds, 0.5) if reason else seconds)
        self.pause_if_asked()
