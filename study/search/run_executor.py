"""One run, from the row in the database to the task that trains it and the events that come back.

The training itself may be in this process or in another: see `Task` and `Hooks`.
"""

import itertools
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, assert_never

from study.analysis.pareto import Curve, hopeless
from study.database.device_costs import budget_of
from study.database.store import Database
from study.database.study_names import checkpoint_name
from study.records import COSTS, MEASURED, Budget, Result
from study.search.evaluate import Hooks, Task
from study.search.events import (
    CostMeasured,
    EpochEnded,
    Message,
    MixtureScored,
    Progress,
    TrialStarted,
)
from study.search.given_reference import lent
from study.search.waiting import Heartbeat, Waiting
from study.space.plan import StudyPlan
from tasnet_core.checkpoints.checkpoint import Origin
from tasnet_core.checkpoints.training_files import before_decay, files_of
from tasnet_core.cost import count
from tasnet_core.errors import DiskFull
from tasnet_core.files import write_atomically
from tasnet_core.records import SLICED, Cost, Recipe, Variant
from tasnet_core.training.slimmable import Lineage

FEW_RIVALS = 3      # of those that cost no more, the best
SHOWN_S = 0.25      # between two events of mixtures scored: each wakes the process that shows them
DEATHS = 8          # of a run's processes within one epoch, before the run is given up

Run = Mapping[str, Any]     # a row of `runs`


class RunExecutor:
    """The runs of one study that this process trains, or lets others train."""

    def __init__(self, plan: StudyPlan, database: Database, waiting: Waiting, checkpoints: Path):
        self.plan, self.settings, self.seed = plan, plan.settings, plan.settings.recipe.seed
        self.database, self.checkpoints = database, checkpoints
        self.waiting, self.on_event = waiting, waiting.on_event

    def start(self, run: Run) -> Variant:
        """Send the event that a run begins or goes on; returns its variant."""
        variant = self.database.variant(run["variant"])
        self.on_event(TrialStarted(run["trial"], run["seed"], variant, count.exact(variant),
                                   run["epochs"]))
        return variant

    def given_up(self, run: Run, variant: Variant) -> Result | None:
        """The failure of a run that has killed its process too often; None where it may go on."""
        deaths, exact = run["deaths"] or 0, count.exact(variant)
        epoch = len(self.database.curve(run["id"])) + 1
        if run["kind"] == "out-of-memory" and 2 ** (deaths - 1) >= run["batch_size"]:
            return Result("failed", f"epoch {epoch}: the kernel killed its process for lack of "
                          f"memory {deaths} times, the last time with one segment at once",
                          "out-of-memory", exact)
        if deaths >= DEATHS:
            return Result("failed", f"epoch {epoch}: its process died {deaths} times", "killed",
                          exact)
        return None

    def task(self, run: Run, variant: Variant) -> Task:
        """The training of a run, or the rest of it."""
        self._copy_shorter_training(run)
        known = {name: run[name] for name in MEASURED}
        cost = None if None in known.values() else replace(count.exact(variant), **known)
        # Known from whoever saw the kernel kill its process: each death halves the micro-batches.
        out_of_memory = run["kind"] == "out-of-memory"
        micro_batches = 2 ** run["deaths"] if out_of_memory else self.plan.micro_batches
        subnets = {name: axis.values for name, axis in self.plan.space.variant_axes.items()
                   if name in SLICED}
        recipe = Recipe.of(run)
        lineage = Lineage(*lent(self.settings, self.checkpoints, recipe), subnets,
                          self._origin(run))
        return Task(variant, recipe, self.checkpoint_of(run), self.plan.device,
                    self.settings.metrics, cost, micro_batches, lineage, run["trial"],
                    ("si_snr", "sdr") if "sdri_db" in self.settings.objectives else ("si_snr",))

    def checkpoint_of(self, run: Run) -> Path:
        """The checkpoint of a run, in the folder that the database now lies in."""
        seed = None if run["seed"] == self.seed else run["seed"]
        return self.checkpoints / checkpoint_name(run["trial"], seed)

    def hooks(self, run: Run) -> Hooks:
        """What stores the events of a run's training, and decides whether it goes on."""
        curve: list[float] = []
        cost = count.exact(self.database.variant(run["variant"]))
        heartbeat = Heartbeat(self.database, run["id"], self.waiting.stop)
        shown_s = -math.inf

        def on_event(event: Progress) -> str:
            nonlocal cost, shown_s
            match event:
                case CostMeasured():
                    self.database.set_cost(run["id"], event.cost)
                    cost = event.cost
                case EpochEnded():
                    self.database.add_epoch(run["id"], event.epoch)
                    heartbeat.renewed()
                    self.on_event(event)
                    curve.append(event.epoch.valid_si_snri_db)
                    return self.reason_to_stop(run, cost, tuple(curve))
                case MixtureScored():
                    if event.done == event.total or time.monotonic() - shown_s > SHOWN_S:
                        shown_s = time.monotonic()
                        self.on_event(event)
                    heartbeat.beat()
                    self.waiting.pause_if_asked()
                case Message():
                    self.on_event(event)
                case _:
                    assert_never(event)
            return ""

        def wait(error: DiskFull) -> None:
            self.waiting.wait(str(error), 5.0)
            heartbeat.beat()

        return Hooks(on_event, heartbeat.beat, wait)

    def reason_to_stop(self, run: Run, cost: Cost, curve: tuple[float, ...]) -> str:
        """The reason why the stop rule ends a run after this epoch; "" when it does not."""
        rule = self.settings.stop
        if rule is None or not run["stoppable"] or run["seed"] != self.seed:
            return ""
        warm_up, patience = rule.in_epochs(run["epochs"])
        if len(curve) >= run["epochs"] or len(curve) - patience < warm_up:
            return ""
        axes = [name for name in self.settings.objectives if name in COSTS
                and getattr(cost, name) is not None]
        mine = Curve(tuple(getattr(cost, name) for name in axes), curve)
        budget = budget_of(self.database, self.settings)
        most = None if budget.weighed else FEW_RIVALS
        rivals = self.database.rivals(self.plan.name, self.seed, mine, axes, rule.margin_db,
                                      patience, most)
        mine = mine.costing(self._on_devices(budget, run["variant"]))
        for trial, rival, variant in rivals:
            rival = rival.costing(self._on_devices(budget, variant))
            if hopeless(mine, [rival], rule.margin_db, warm_up, patience):
                running = f" for {patience} epochs running" if patience > 1 else ""
                return (f"after epoch {len(curve)}: trial {trial}, which costs no more, was ahead "
                        f"by more than {rule.margin_db:g} dB{running}")
        return ""

    def _on_devices(self, budget: Budget, key: str) -> tuple[float, ...]:
        """A variant's costs on the axes of devices that are objectives."""
        if not budget.weighed:
            return ()
        found = budget.on(self.database.variant(key))
        return tuple(found[axis].value for axis in budget.weighed)

    def give_back(self, run: Run) -> None:
        """Release a run, without waiting for the database: the lease would end by itself."""
        self.database.retrying(None).release(run["id"])

    def set_aside(self, run: Run, path: Path, how: str = "") -> None:
        """Rename a checkpoint that is damaged or, where it says `how`, another training's, with
        all files beside it."""
        whole, word, renamed = self.checkpoint_of(run), "foreign" if how else "damaged", []
        files = files_of(whole) if how and path.name == whole.name else (path,)
        for file in filter(Path.exists, files):
            free = (path for number in itertools.count(1)
                    if not (path := file.with_name(f"{file.name}.{word}-{number}")).exists())
            renamed.append(next(free))
            file.rename(renamed[-1])
        consequence = ("the trial is trained from its own start" if how else
                       "what it held is trained again")
        self.on_event(Message(f"trial {run['trial']}: its checkpoint was {how or word} and is "
                              f"{renamed[0]} now; {consequence}"))

    # ── studies with longer trainings ───────────────────────────────────────────────────────

    def _origin(self, run: Run) -> Origin:
        """The study a run's checkpoint must be of; older checkpoints are known by their curve."""
        grown_from = self.settings.grown_from or self.settings.adapted_in
        curve = self.database.curve(run["id"])
        if not curve:
            curve = next((self.database.curve(one["id"]) for one in self._shorter(run)), ())
        return Origin(study=self.database.identity(self.plan.name), curve=curve,
                      grown_from=grown_from and self.database.identity(grown_from))

    def _shorter(self, run: Run) -> list[dict[str, Any]]:
        """The complete runs of the study that this one has grown from, which this run continues."""
        if not self.settings.grown_from:
            return []
        wanted = run["variant"], run["seed"], "complete"
        return [one for one in self.database.runs(self.settings.grown_from)
                if (one["variant"], one["seed"], one["state"]) == wanted]

    def _copy_shorter_training(self, run: Run) -> None:
        """Give a run that has not begun the checkpoint of its shorter training."""
        mine = self.checkpoint_of(run)
        was_set_aside = any(mine.parent.glob(f"{mine.name}.*-[0-9]*"))
        if mine.exists() or was_set_aside:
            return
        folder = self.database.checkpoints(self.settings.grown_from)
        wholes = [folder / Path(one["checkpoint"]).name for one in self._shorter(run)]
        paths = [path for whole in wholes for path in (before_decay(whole), whole)]
        if found := next(filter(Path.exists, paths), None):
            content = found.read_bytes()
            write_atomically(mine, lambda file: file.write(content))
