"""What is predicted of a study, from speeds that are made up."""

from dataclasses import replace

import optuna
import pytest

from study.planning.dry_run import Forecast, Sizes, Trial, cases
from study.planning.measure import Speeds, Timing, mean_of
from study.records import Budget, Settings
from study.space.presets import SPACES
from tasnet_core.cost import count
from tests.support import tiny_study
from tests.support.made_up_search import ask_and_tell
from tests.support.tiny import RECIPE

QUICK = SPACES["quick"]
BY_MACS = Timing((1e6, 1e9), (1e-3, 1.0))       # a nanosecond each
NOTHING = Timing((1.0,), (1e-30,))
SIZES = Sizes(40, 120, 4.0, 4.0)


def forecast(workers=1, cores=1, sampler="tpe", space=QUICK, slow_s=0.0, **changes):
    settings = replace(Settings(space=space.name, recipe=space.recipe, sampler=sampler), **changes)
    speeds = Speeds(BY_MACS, NOTHING, 0.0, slow_s, 0.0, 0.0, 1, "here")
    return Forecast(settings, space, speeds, SIZES, workers, cores)


def seconds(variant, recipe=QUICK.recipe):
    """By hand: all MACs of the training, a nanosecond each."""
    return count.exact(variant).macs_per_s * recipe.audio_s * 1e-9


def test_a_trial_takes_its_macs():
    assert forecast().trial(QUICK.reference, QUICK.recipe).seconds == pytest.approx(seconds(QUICK.reference), rel=1e-6)


@pytest.mark.parametrize("name", ["random", "qmc", "grid", "tpe", "nsga2"])
def test_proposals_that_need_no_scores_are_those_the_sampler_makes(name):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    proposed, _ = ask_and_tell(name, 12)
    assert [case[0] for case in forecast(sampler=name).proposals(12)] == proposed


def hours(one, number, first=0):
    return one.hours(one.trials(number, first))


def test_what_a_sampler_learns_is_not_pretended_to_be_known():
    assert len(forecast().proposals(30)) == 17
    assert len(forecast().trials(30)) == 30


def test_a_lone_trial_is_the_reference():
    assert hours(forecast(), 1) == pytest.approx(seconds(QUICK.reference) / 3600, rel=1e-6)


def test_hours_grow_in_proportion_to_the_trials_of_one_kind():
    assert hours(forecast(), 200, 17) == pytest.approx(2 * hours(forecast(), 100, 17))


def test_two_workers_halve_the_hours_of_many_trials():
    one, two = (hours(forecast(workers=workers), 100) for workers in (1, 2))
    assert two == pytest.approx(one / 2, rel=0.05)


def test_epochs_count_in_proportion():
    short, long = (hours(forecast(recipe=replace(QUICK.recipe, epochs=epochs)), 10) for epochs in (2, 6))
    assert long == pytest.approx(3 * short)


def test_a_budget_rejects_what_it_would_reject_and_still_counts_the_trials():
    limit = Budget(max_parameters=40_000)
    found = forecast(sampler="grid", budget=limit).proposals(10)
    assert len(found) == 10
    assert found[0][0] == QUICK.reference
    assert not any(limit.excess(count.exact(variant)) for variant, _ in found[1:])


def test_a_list_is_predicted_in_its_order_and_no_longer_than_it_is():
    table2 = SPACES["table2"]
    assert [case[0] for case in forecast(space=table2).proposals(99)] == list(table2.listed)


def test_a_run_that_was_begun_is_predicted_by_the_recipe_it_has():
    """That of an inherited variant is in its row: a tenth of the epochs, and not a tenth of these once more."""
    small, tuned = QUICK.extremes("macs_per_s")[0], replace(QUICK.recipe, epochs=20, init="inherit")
    one = forecast(recipe=replace(tuned, epochs=200))
    assert one.proposals(20)[0] == (QUICK.reference, replace(tuned, epochs=200, init="teacher"))
    assert {case[1] for case in one.proposals(10)[1:]} == {tuned}
    assert one.trial(small, tuned).seconds == pytest.approx(seconds(small, tuned), rel=1e-6)


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


@pytest.mark.parametrize(("workers", "ends"), [(1, 10.0), (2, 6.0), (9, 4.0)])
def test_each_trial_goes_to_whoever_is_free_first(workers, ends):
    trials = [Trial(3600 * hours, 0.0) for hours in (4.0, 1.0, 2.0, 3.0)]
    assert forecast(workers=workers).hours(trials) == ends


@pytest.mark.parametrize("space", [QUICK, SPACES["table2"], tiny_study.SPACE, QUICK.tuned(("batch_size",), QUICK.recipe)],
                         ids=["quick", "a list", "tiny", "tuned"])
def test_what_is_measured_spans_the_space_from_its_smallest_to_the_reference(space):
    found = cases(space, space.recipe)
    assert found[-1] == (space.reference, space.recipe)
    assert count.exact(found[0][0]).parameters == count.exact(space.extremes("macs_per_s")[0]).parameters
    assert len(set(found)) == len(found) > 1


def test_processes_count_on_average_and_with_the_most_memory():
    one = Speeds(BY_MACS, BY_MACS, 0.1, 0.1, 1.0, 5.0, 100, "here")
    found = mean_of([one, one._replace(memory_bytes=300, startup_s=7.0, step=Timing((1e6, 1e9), (3e-3, 3.0)))])
    assert found.step == Timing((1e6, 1e9), (pytest.approx(2e-3), pytest.approx(2.0)))
    assert (found.startup_s, found.memory_bytes, found.environment) == (6.0, 300, "here")


def test_seconds_between_and_beyond_what_was_measured_follow_a_power_of_the_macs():
    timing = Timing((1.0, 100.0, 10_000.0), (1.0, 10.0, 1000.0))      # the root, then in proportion
    assert [timing(macs) for macs in (0.01, 1, 25, 100, 1000, 1e6)] == pytest.approx([0.1, 1, 5, 10, 100, 1e5])
    assert Timing((2.0,), (4.0,))(3.0) == 6.0


def test_a_tuned_recipe_is_predicted_as_it_is_proposed():
    space = QUICK.tuned(("segment_s",), QUICK.recipe)
    recipes = {case[1].segment_s for case in forecast(space=space, sampler="random", tune=("segment_s",)).proposals(12)}
    assert len(recipes) > 1
    assert RECIPE.segment_s not in recipes
