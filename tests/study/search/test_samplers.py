"""One contract for every sampler, and what is special about some."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.distributions import IntDistribution
from optuna.trial import TrialState

from study.records import OBJECTIVES, SAMPLERS, Budget
from study.search import samplers
from study.search.samplers import LADDER, LEARNING, halved, stride
from study.space.presets import SPACES
from study.space.space import Grid, suggest, suggested_recipe
from tasnet_core.cost import count
from tasnet_core.records import Variant
from tests.support.made_up_search import ask_and_tell
from tests.support.tiny import RECIPE

QUICK = SPACES["quick"]
SMALL = Grid("small", Variant(N=16, L=4, B=8, H=16, Sc=8, X=3, R=2), {"H": (4, 8, 16), "X": (1, 2, 3), "R": (1, 2)}, RECIPE)
DIRECTIONS = [OBJECTIVES[name] for name in QUICK.objectives]


def lane(name):
    """A Gaussian process takes seconds where the others take none."""
    return pytest.param(name, marks=pytest.mark.long) if name == "gp" else name


@pytest.fixture(scope="module", params=list(map(lane, SAMPLERS)))
def thirty(request):
    return request.param, *ask_and_tell(request.param, 30)


def test_every_proposal_is_in_the_space_and_the_reference_is_first(thirty):
    _, proposed, study = thirty
    assert proposed[0] == QUICK.reference
    for variant, trial in zip(proposed, study.trials, strict=True):
        assert QUICK.parameters_of(variant) == trial.params


@pytest.mark.parametrize("axis", ["parameters", "macs_per_s"])
def test_no_part_of_the_range_of_sizes_is_empty_after_thirty_trials(thirty, axis):
    name, proposed, _ = thirty
    low, high = (math.log(getattr(count.exact(variant), axis)) for variant in QUICK.extremes(axis))
    bins = Counter(min(7, int(8 * (math.log(getattr(count.exact(variant), axis)) - low) / (high - low))) for variant in proposed)
    if name in ("grid", "model"):   # these go by letters, and by what says most; few of their points are small
        bins |= Counter(dict.fromkeys(range(2), 1))
    assert len(bins) == 8, sorted(bins.items())


def test_a_restart_proposes_what_one_long_run_does(thirty):
    name, proposed, _ = thirty
    _, study = ask_and_tell(name, 9)
    assert ask_and_tell(name, 21, study=study)[0] == proposed[:21]


def test_another_seed_proposes_something_else(thirty):
    name, proposed, _ = thirty
    assert ask_and_tell(name, 12, seed=1)[0][1:] != proposed[1:12]


@pytest.mark.parametrize("name", list(map(lane, SAMPLERS)))
def test_tuned_fields_and_uneven_letters_are_proposed_by_every_sampler(name):
    space = SMALL.tuned(["learning_rate", "batch_size"], RECIPE)
    _, study = ask_and_tell(name, 24, space)
    recipes = [suggested_recipe(optuna.trial.FixedTrial(trial.params), space, RECIPE) for trial in study.trials]
    assert len({recipe.learning_rate for recipe in recipes}) > 3
    assert {recipe.batch_size for recipe in recipes} <= set(space.choices["batch_size"])
    assert all(recipe.audio_s == pytest.approx(RECIPE.audio_s) for recipe in recipes)


@pytest.mark.parametrize("name", list(map(lane, sorted(LEARNING))))
def test_a_sampler_that_learns_leaves_what_is_over_the_budget(name):
    limit = 60_000      # most of the space is dearer
    proposed, _ = ask_and_tell(name, 60, budget=Budget(max_parameters=limit))
    over = [count.exact(variant).parameters > limit for variant in proposed]
    blind = [count.exact(variant).parameters > limit for variant in QUICK.variants()]
    assert sum(over[LADDER + 1:]) / len(over[LADDER + 1:]) < 0.6 * sum(blind) / len(blind)


def test_what_climbs_through_the_sizes_stays_within_the_budget():
    proposed, _ = ask_and_tell("qmc", 20, budget=Budget(max_parameters=60_000, max_macs_per_s=60_000_000))
    for number, variant in list(enumerate(proposed))[1:]:
        exact = count.exact(variant)
        within = exact.macs_per_s <= 60_000_000 if number % 2 else exact.parameters <= 60_000
        assert within, number


def test_a_grid_proposes_every_variant_once():
    proposed, _ = ask_and_tell("grid", len(SMALL) + 1, SMALL)
    assert len(set(proposed[1:])) == len(proposed[1:]) == len(SMALL)
    assert set(proposed) == set(SMALL.variants())


def test_a_trial_outside_of_the_space_does_not_stop_what_learns():
    _, study = ask_and_tell("tpe", 20)
    study.add_trial(optuna.create_trial(params={}, distributions={}, values=[9.0, 1e9, 1e9]))
    trial = study.ask()
    assert suggest(trial, QUICK)
    assert set(trial.params) == set(QUICK.ranges())


def test_mirrored_digits_are_the_sequence_of_van_der_corput():
    assert [halved(number) for number in range(8)] == [0, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 18, 2560])
def test_a_stride_visits_all_once(size):
    assert {number * stride(size) % size for number in range(size)} == set(range(size))


def test_a_budget_is_learned_from_by_its_ratio():
    budget = replace(Budget(), max_parameters=100)
    assert budget.ratios(count.exact(QUICK.reference))["parameters"] > 0


@pytest.mark.parametrize("name", list(map(lane, ["tpe", "gp"])))
def test_what_would_look_at_every_trial_sees_the_front_and_the_newest(name, monkeypatch):
    seen = []
    drawn = LEARNING[name](0).__class__.sample_relative

    def looks(sampler, study, trial, space):
        seen.append([one.number for one in study._get_trials(False, (TrialState.COMPLETE,))])
        return drawn(sampler, study, trial, space)
    monkeypatch.setattr(LEARNING[name](0).__class__, "sample_relative", looks)
    _, study = ask_and_tell(name, 20)
    assert seen[-1] == list(range(19))
    monkeypatch.setattr(samplers, "MOST_LEARNT", 5)
    _, study = ask_and_tell(name, 24, study=study)
    front = {trial.number for trial in study.best_trials}       # Optuna's own
    ask_and_tell(name, 25, study=study)
    assert set(seen[-1]) == {number for number in range(24) if number in front or number >= 25 - 5}
    assert set(seen[-1]) < set(range(24))


@pytest.mark.parametrize("limit", [None, 9_000])
def test_a_point_that_was_tried_gives_way_to_the_nearest_untried_one_within_the_budget(limit):
    ranges, budget = SMALL.ranges(), Budget(max_parameters=limit)
    points = [SMALL.point(number) for number in range(len(SMALL))]
    proposals = samplers.Proposals("tpe", SMALL, budget, seed=0)

    def steps(one, other):
        return sum(abs(one[name] - other[name]) // values.step for name, values in ranges.items())
    for number in range(1, len(points)):
        tried = [points[place] for place in np.random.default_rng(number).permutation(len(points))[:number]]
        study = optuna.create_study(directions=DIRECTIONS)
        for point in tried:
            study.add_trial(optuna.create_trial(values=[1.0] * len(DIRECTIONS), params=point, distributions={
                name: IntDistribution(values[0], values[-1], step=values.step) for name, values in ranges.items()}))
        possible = [point for point in points if point not in tried and proposals.excess(point) <= 0]
        found = proposals.nearest_untried(study, len(tried), tried[0])
        if possible:
            assert found in possible
            assert steps(found, tried[0]) == min(steps(point, tried[0]) for point in possible)
        else:
            assert found == tried[0]
