"""What the runner adds to a trial: a study on SQLite whose evaluation is made up, one worker, TPE with three objectives.

The study is filled with finished trials up to shortly before each place, then runs; medians of the trials around it.

    python benchmarks/overhead.py [PLACE …]
"""

import math
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import IntDistribution

from study.database import schema
from study.database.store import open_database
from study.records import EXACT, Result, Selection, Settings, StopRule
from study.search.evaluate import Hooks, Task
from study.search.events import EpochEnded
from study.search.runner import Runner
from study.space.plan import StudyPlan
from study.space.toml import space_named
from tasnet_core.corpora.registry import Corpus
from tasnet_core.cost import count
from tasnet_core.records import Epoch, MixtureScore, Scores, Variant

SPACE = space_named("full")
AROUND = 60         # trials of which the median is taken
SETTINGS = Settings(space="full", recipe=replace(SPACE.recipe, epochs=8), stop=StopRule())


def score_of(variant: Variant) -> float:
    return float(2.2 * math.log10(count.exact(variant).parameters) - 5 + int(variant.key, 16) % 97 / 100)


def curve_of(top: float) -> list[Epoch]:
    return [Epoch(number, -top, top - 5 / number, 1e-3, 540.0 * number, 10.0) for number in range(1, SETTINGS.recipe.epochs + 1)]


def made_up(task: Task, corpus: Corpus, hooks: Hooks) -> Result:
    exact, top, curve = count.exact(task.variant), score_of(task.variant), []
    for epoch in curve_of(top):
        curve.append(epoch)
        if reason := hooks.on_event(EpochEnded(task.trial, task.recipe.seed, epoch)):
            return Result("stopped", reason, cost=exact, curve=tuple(curve), seconds=1.0)
    scored = tuple(MixtureScore(f"test/{i:03}", "a+b", "FM", 4.0, 0.0, top, top) for i in range(120))
    return Result("complete", cost=exact, curve=tuple(curve), mixtures=scored, seconds=1.0,
                  scores=Scores(si_snr_db=top, si_snri_db=top, mixtures=120), selection=Selection(top))


def fill(work: Runner, trials: int) -> None:
    """Give a study so many finished trials at once: what is measured comes after them."""
    rng = np.random.default_rng(trials)
    ranges = {name: IntDistribution(values[0], values[-1], step=values.step) for name, values in SPACE.ranges().items()}
    rows, curves, told, variants = [], [], [], {row["key"]: None for row in work.database.query("SELECT key FROM variants")}
    fresh = []
    for number in range(1, trials):
        point = SPACE.point(int(rng.integers(len(SPACE))))
        variant = SPACE.variant_of(point)
        exact, top = count.exact(variant), score_of(variant)
        if variant.key not in variants:
            variants[variant.key] = None
            fresh.append({"key": variant.key, **asdict(variant), **{name: getattr(exact, name) for name in EXACT}})
        rows.append({"id": number + 1, "study": "s", "trial": number, "variant": variant.key, "state": "complete", "deaths": 0,
                     "stoppable": True, "si_snri_db": top, "checkpoint": "", **asdict(SETTINGS.recipe)})
        curves += [{"run": number + 1, **asdict(epoch)} for epoch in curve_of(top)]
        told.append(optuna.create_trial(params=point, distributions=ranges, values=[top, exact.parameters, exact.macs_per_s]))
    with work.database.engine.begin() as connection:
        for table, some in ((schema.variants, fresh), (schema.runs, rows), (schema.epochs, curves)):
            if some:
                connection.execute(table.insert(), some)
    work.scheduler.study.add_trials(told)


def main(places: list[int]) -> None:
    print("| around trial | runner, median ms | 90 % below |")
    print("|---|---|---|")
    for place in places:
        with tempfile.TemporaryDirectory() as folder, open_database(str(Path(folder) / "study.db"), read_only=False) as database:
            database.register("s", SETTINGS)
            work = Runner(StudyPlan.of("s", SETTINGS), database, object(), evaluate=made_up)     # type: ignore[arg-type]  # of no use
            work.run(1)
            fill(work, place - AROUND // 2)
            times = []
            for _ in range(AROUND):
                start = time.perf_counter()
                work.run(work.trained() + 1)
                times.append(time.perf_counter() - start)
            print(f"| {place:,} | {1000 * statistics.median(times):.0f} | {1000 * sorted(times)[int(0.9 * AROUND)]:.0f} |",
                  flush=True)


if __name__ == "__main__":
    main([int(place) for place in sys.argv[1:]] or [100, 1_000, 10_000])
