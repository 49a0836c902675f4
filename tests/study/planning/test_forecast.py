"""What is predicted of a study, from speeds that are made up."""

from dataclasses import replace

import optuna
import pytest

from study.planning.cost_model import Growth, Work
from study.planning.forecast import Forecast, Sizes, cases, makespan
from study.planning.measure import Measured, Speeds, together
from study.records import Budget, Settings, StopRule
from study.space.presets import SPACES
from tasnet_core.cost import count
from tests.support import tiny_study
from tests.support.made_up_search import ask_and_tell
from tests.support.tiny import RECIPE

QUICK = SPACES["quick"]
BY_MACS = Growth(Work(0.0, 0.0, 0.0, 0.0, 1e-9), 0.0)
NOTHING = Growth(Work(0.0, 0.0, 0.0, 0.0, 0.0), 0.0)
SIZES = Sizes(40, 120, [32000], [32000])


def forecast(workers=1, cores=1, sampler="tpe", space=QUICK, slow_s=0.0, **changes):
    settings = replace(Settings(space=space.name, recipe=space.recipe, sampler=sampler), **changes)
    speeds = Speeds(BY_MACS, NOTHING, NOTHING, slow_s, 0.0, 0.0, 1, "here")
    return Forecast(settings, space, speeds, SIZES, workers, cores)


def seconds(variant, recipe=QUICK.recipe):
    """By hand: all MACs of the training, a nanosecond each."""
    return count.exact(variant).macs_per_s * recipe.audio_s * 1e-9


def test_a_trial_takes_its_macs():
    assert forecast().trial(QUICK.reference, QUICK.recipe).seconds == pytest.approx(seconds(QUICK.reference), rel=1e-6)


def test_a_lone_trial_is_the_reference_and_certain():
    found = forecast().hours(1)
    assert found.hours == pytest.approx(seconds(QUICK.reference) / 3600, rel=1e-6)
    assert found.low < found.hours < found.high


@pytest.mark.parametrize("name", ["random", "qmc", "grid", "tpe", "nsga2"])
def test_proposals_that_need_no_scores_are_those_the_sampler_makes(name):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    proposed, _ = ask_and_tell(name, 12)
    assert [case[0] for case in forecast(sampler=name).proposals(12)] == proposed


def test_what_a_sampler_learns_is_not_pretended_to_be_known():
    found = forecast().proposals(30)
    assert found[16] is not None
    assert found[17:] == [None] * 13


def test_hours_grow_in_proportion_to_the_trials_of_one_kind():
    few, many = (forecast().hours(trials, first=17) for trials in (100, 200))
    assert many.hours == pytest.approx(2 * few.hours, rel=0.03)
    assert many.low < many.hours < many.high


def test_two_workers_halve_the_hours_of_many_trials():
    one, two = (forecast(workers=workers).hours(100) for workers in (1, 2))
    assert two.hours == pytest.approx(one.hours / 2, rel=0.05)


def test_epochs_count_in_proportion():
    short, long = (forecast(recipe=replace(QUICK.recipe, epochs=epochs)).hours(10) for epochs in (2, 6))
    assert long.hours == pytest.approx(3 * short.hours)


def test_a_budget_rejects_what_it_would_reject_and_still_counts_the_trials():
    limit = Budget(max_parameters=40_000)
    found = forecast(sampler="grid", budget=limit).proposals(10)
    assert len(found) == 10
    assert found[0][0] == QUICK.reference
    assert not any(limit.excess(count.exact(variant)) for variant, _ in found[1:])


def test_a_list_is_predicted_in_its_order_and_no_longer_than_it_is():
    table2 = SPACES["table2"]
    assert [case[0] for case in forecast(space=table2).proposals(99)] == list(table2.listed)


def test_the_rest_of_a_trial_that_was_begun_is_a_share_of_it():
    begun = {(QUICK.reference, QUICK.recipe): 0.25}
    assert forecast().hours(0, 1, begun).hours == pytest.approx(seconds(QUICK.reference) / 4 / 3600, rel=1e-6)
    assert forecast().hours(0, 1).hours == 0.0


def test_a_run_that_was_begun_is_predicted_by_the_recipe_it_has():
    """That of an inherited variant is in its row: a tenth of the epochs, and not a tenth of these once more."""
    small, tuned = QUICK.extremes("macs_per_s")[0], replace(QUICK.recipe, epochs=20, init="inherit")
    one = forecast(recipe=replace(tuned, epochs=200))
    assert one.proposals(20)[0] == (QUICK.reference, replace(tuned, epochs=200, init="teacher"))
    assert {case[1] for case in one.proposals(10)[1:]} == {tuned}
    assert one.hours(0, 1, {(small, tuned): 0.5}).hours == pytest.approx(seconds(small, tuned) / 2 / 3600, rel=1e-6)


def test_finished_runs_are_believed_once_there_are_enough():
    one = forecast()
    twice = [((QUICK.reference, QUICK.recipe), 2 * seconds(QUICK.reference))]
    one.believe(twice * 2)
    assert one.factor == 1.0
    one.believe(twice * 3)
    assert one.factor == pytest.approx(2.0, rel=1e-6)
    one.believe(twice * 3)      # told again, it is the same
    assert one.factor == pytest.approx(2.0, rel=1e-6)


def test_slow_metrics_use_the_cores_that_other_workers_leave():
    alone, shared = (forecast(workers=workers, cores=4, slow_s=0.1).slow_s for workers in (1, 4))
    assert (alone, shared) == (pytest.approx(3.0), pytest.approx(12.0))


def test_the_stop_rule_lowers_the_lower_end_alone():
    plain, stopping = (forecast(stop=rule).hours(20) for rule in (None, StopRule()))
    assert stopping.low == pytest.approx(0.9 * plain.low)
    assert (stopping.hours, stopping.high) == (plain.hours, plain.high)


@pytest.mark.parametrize(("workers", "ends"), [(1, 10.0), (2, 6.0), (9, 4.0)])
def test_each_trial_goes_to_whoever_is_free_first(workers, ends):
    assert makespan([4.0, 1.0, 2.0, 3.0], workers) == ends


@pytest.mark.parametrize("space", [QUICK, SPACES["table2"], tiny_study.SPACE, QUICK.tuned(("batch_size",), QUICK.recipe)],
                         ids=["quick", "a list", "tiny", "tuned"])
def test_what_is_measured_spans_the_space_from_its_smallest_to_the_reference(space):
    found = cases(space, space.recipe, 0)
    assert found[-1] == (space.reference, space.recipe)
    assert count.exact(found[0][0]).parameters == count.exact(space.extremes()[0]).parameters
    assert len(set(found)) == len(found) > 2


def test_processes_that_agree_are_as_one():
    works = [Work(1.0, 2.0, 3.0, 4.0, size) for size in (1e6, 2e6, 5e6)]
    rows = [(work, BY_MACS(work)) for work in works]
    one = Measured(rows, rows, rows, 0.1, 1.0, 5.0, 100, "here")
    found = together([one, one._replace(memory_bytes=300, startup_s=7.0)])
    assert found.step.weights.macs == pytest.approx(1e-9)
    assert (found.slow_s, found.startup_s, found.memory_bytes) == (pytest.approx(0.1), 6.0, 300)


def test_a_tuned_recipe_is_predicted_as_it_is_proposed():
    space = QUICK.tuned(("segment_s",), QUICK.recipe)
    recipes = {case[1].segment_s for case in forecast(space=space, sampler="random", tune=("segment_s",)).proposals(12)}
    assert len(recipes) > 1
    assert RECIPE.segment_s not in recipes
