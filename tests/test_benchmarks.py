"""What the benchmarks replay is what the search does."""

import queue
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from study.analysis.pareto import Curve
from study.database.store import open_database
from study.records import Result, Selection, Settings, StopRule
from study.search.events import EpochEnded
from study.search.optuna_study import enqueue
from study.search.runner import Runner
from study.space.plan import StudyPlan
from tasnet_core.cost import count
from tasnet_core.records import Epoch, Scores
from tasnet_core.training.trainer import Training
from tests.support import ROOT, tiny_study
from tests.support.tiny import RECIPE, TINY, Tiny

sys.path.append(str(ROOT / "benchmarks"))
import front
import packing
import speed
from curves import EPOCHS, Recorded, volume
from stop_rule import by_halving, by_rule

# With this rule and order a stopped run that counted as a rival, or another warm-up, would stop others.
RULE = StopRule(margin_db=0.6, warm_up=0.0, patience=2 / EPOCHS)


def made_up(variants):
    """Curves that cross each other, so that some are stopped early, some late and some never."""
    rng = np.random.default_rng(0)
    for variant in variants:
        exact, steps = count.exact(variant), rng.normal(0.4, 0.4, EPOCHS)
        yield Recorded(variant, float(steps.sum()), Curve((exact.parameters, exact.macs_per_s), tuple(np.cumsum(steps).tolist())))


def test_a_replay_stops_whom_the_runner_stops_and_when(tmp_path):
    space = tiny_study.SPACE
    others = [variant for variant in space.variants() if variant != space.reference]
    rows = list(made_up([space.reference, *others]))
    order = [0, *(1 + np.random.default_rng(1).permutation(len(others)))]
    known = {row.variant: row for row in rows}

    def evaluate(task, corpus, hooks):
        variant, row, curve = task.variant, known[task.variant], []
        for number, valid in enumerate(row.curve.curve, 1):
            curve.append(Epoch(number, -valid, valid, 1e-3, 0.3 * number, 0.1))
            if reason := hooks.on_event(EpochEnded(task.trial, task.recipe.seed, curve[-1])):
                return Result("stopped", reason, cost=count.exact(variant), curve=tuple(curve))
        return Result("complete", cost=count.exact(variant), curve=tuple(curve), scores=Scores(si_snri_db=row.si_snri_db),
                      selection=Selection(row.si_snri_db))
    settings = Settings(corpus="tiny", space="tiny", recipe=replace(RECIPE, epochs=EPOCHS), stop=RULE)
    with open_database(str(tmp_path / "study.db"), read_only=False) as database:
        database.register("s", settings)
        work = Runner(StudyPlan.of("s", settings), database, Tiny(), evaluate=evaluate)
        for index in order[1:]:
            enqueue(work.scheduler.study, space, settings, rows[index].variant)
        work.run(len(rows))
        trained = {row["variant"]: row["state"] for row in database.runs("s")}
        epochs = {row["variant"]: len(database.curve(row["id"])) for row in database.runs("s")}
    ends = by_rule(rows, RULE)(order)
    assert ends == [epochs[rows[index].variant.key] for index in order]
    assert [end < EPOCHS for end in ends] == [trained[rows[index].variant.key] == "stopped" for index in order]
    assert len(set(ends)) > 2       # else nothing was compared


@pytest.mark.parametrize(("second", "ends"), [((1, 1, 1, 1), 2), ((1, 3, 1, 1), 4), ((1, 3, 1, 3), EPOCHS)])
def test_halving_keeps_the_better_half_at_each_rung(second, ends):
    good, other = (Recorded(tiny_study.SPACE.reference, 0.0, Curve((1, 1), (*four, 4, 4, 4, 4)))
                   for four in ((1, 2, 2, 2), second))
    assert by_halving([good, good, other])([0, 1, 2]) == [EPOCHS, EPOCHS, ends]


def test_a_process_of_many_tells_the_seconds_of_sound_it_trains_in_a_second(monkeypatch):
    clock = [0.0]

    def steps():
        while True:
            clock[0] += 0.01
            yield
    monkeypatch.setattr(packing, "Training", lambda *given: SimpleNamespace(steps=steps))
    monkeypatch.setattr(packing, "open_corpus", lambda *given: None)
    monkeypatch.setattr(packing, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    answers = queue.Queue()
    packing.train(TINY, RECIPE, "tiny", torch.device("cpu"), 0.3, threading.Barrier(1), answers)
    assert answers.get() == pytest.approx(RECIPE.batch_size * RECIPE.segment_s / 0.01)


def test_what_the_table_of_speeds_calls_fast_on_a_gpu_is_a_step_of_a_training_on_its_sources(monkeypatch):
    made, sources = [], torch.randn(3, 2, 400)
    monkeypatch.setattr(speed, "Training", lambda *given: made.append(Training(*given)) or made[0])
    step = speed.training(TINY, sources, torch.device("cpu"), "float32")
    before = [weight.clone() for weight in made[0].network.parameters()]
    step()
    step()
    assert made[0].segments == 6
    assert not all(map(torch.equal, before, made[0].network.parameters()))
    assert torch.equal(made[0].stepper.batch(made[0].drawer.draw(1, range(6, 9))).sources, sources)


def test_what_is_confirmed_first_adds_the_most_and_all_of_it_is_the_front_of_what_was_believed():
    rows = [Recorded(replace(TINY, N=n), score, Curve((100 * n, 1000 * n), ())) for n, score in
            ((8, 9.0), (6, 8.0), (4, 3.0), (2, 2.9))]
    believed = [9.0, 4.0, 8.5, 1.0]         # so the third seems to beat the second
    assert front.gains(rows, believed) == [0, 2, 3]
    progress = front.confirmed(rows, range(4), believed, spent_s=50.0)
    assert [sound for sound, _ in progress] == [50 + number * front.SCRATCH_S for number in (1, 2, 3)]
    whole = volume([row.point for row in rows], rows[0])
    shares = [volume([rows[place].point for place in some], rows[0]) / whole for some in ([0], [0, 2], [0, 2, 3])]
    assert [share for _, share in progress] == pytest.approx(shares)
    assert front.gains(rows, [9.0, 8.0, 3.0, 2.9])[:2] == [0, 3]      # by far the cheapest adds more than the best
