"""Studies whose reference is a network that was given: a yardstick, and no training of the study."""

import math

import numpy as np
import pytest
from optuna.study import StudyDirection
from optuna.trial import create_trial

from study.analysis.analyse import analyse
from study.analysis.mixture_scores import from_rows
from study.analysis.predicted_front import predicted_front
from study.analysis.rank_agreement import agreement
from study.analysis.replicates import per_trial, seeds_in_means
from study.analysis.uncertainty import SeedSpread, Uncertainty
from study.records import Budget
from study.search.model_sampler import GIVEN, proposal
from study.space.presets import QUICK
from tests.support.fakes import REFERENCE, confirmed, mixture, row

UP_DB = 2.0


def given(rows):
    """The same study, whose reference was not trained here but given, and is so much better."""
    return [{**one, "init": "given", "epochs": 0, "si_snri_db": one["si_snri_db"] + UP_DB} if one["trial"] == 0 else one
            for one in rows if one["trial"] or one["seed"] == 0]


def lifted(mixtures):
    pairs = [{**one, "speakers": f"{one['mixture']}a+b"} for one in mixtures]
    return [{**one, "si_snri_db": one["si_snri_db"] + UP_DB} if one["trial"] == 0 else one
            for one in pairs if one["trial"] or one["seed"] == 0]


@pytest.fixture(scope="module")
def known():
    runs, _, mixtures = confirmed(40, seed=2)
    return given(runs), lifted(mixtures)


def test_losses_are_against_it_and_have_no_chance_of_its_seeds(known):
    runs, mixtures = known
    rows = per_trial(runs)
    scores = from_rows(mixtures).per_trial(runs)
    seeds = seeds_in_means(rows)
    assert seeds[0] == math.inf
    spread = SeedSpread.of(rows)
    widths = {}
    for own in (math.inf, 1):
        losses = Uncertainty(scores, {**seeds, 0: own}, spread).losses(list(seeds), 0)
        widths[own] = np.array([loss.high - loss.low for trial, loss in losses.items() if trial])
    assert len(widths[1]) > 5
    assert (widths[math.inf] < widths[1]).all()


def test_what_is_said_of_hyperparameters_does_not_depend_on_its_score(known):
    runs, mixtures = known
    found = analyse(runs, from_rows(mixtures), REFERENCE)
    worse = [{**one, "si_snri_db": one["si_snri_db"] - 1} if one["trial"] == 0 else one for one in runs]
    worse_mixtures = [{**one, "si_snri_db": one["si_snri_db"] - 1} if one["trial"] == 0 else one for one in mixtures]
    other = analyse(worse, from_rows(worse_mixtures), REFERENCE)
    assert found.effects == other.effects
    assert found.importance == other.importance
    for trial, loss in found.losses.items():
        if trial:
            assert loss.value - other.losses[trial].value == pytest.approx(1)
            assert found.shrunk.loss_db[trial] - other.shrunk.loss_db[trial] == pytest.approx(1)
            assert found.shrunk.sd_db[trial] == pytest.approx(other.shrunk.sd_db[trial])


def test_before_anything_is_trained_it_alone_is_analysed():
    alone = [row(0, init="given", epochs=0)]
    found = analyse(alone, from_rows([{**mixture(0, place, 7.0), "speakers": f"{place}a+b"} for place in range(9)]), REFERENCE)
    assert [one["trial"] for one in found.rows] == [0]
    assert found.effects.refused
    assert found.path.rows == []


def test_the_predicted_front_is_of_what_the_study_trains_and_its_losses_are_against_the_given(known):
    rng = np.random.default_rng(0)
    variants = [QUICK.reference, *(QUICK.variant_of(QUICK.point(int(place))) for place in rng.choice(len(QUICK), 12))]
    rows = [{**row(trial, **vars(variant)), "variant": variant.key, "init": "given" if trial == 0 else "inherit",
             "si_snri_db": 5 + 0.3 * variant.X + rng.normal(0, 0.1)} for trial, variant in enumerate(variants)]
    found = predicted_front(QUICK, Budget(), rows)
    better = predicted_front(QUICK, Budget(), [{**rows[0], "si_snri_db": rows[0]["si_snri_db"] + 1}, *rows[1:]])
    for cost, steps in found.steps.items():
        assert [step.score for step in steps] == [step.score for step in better.steps[cost]]
        for mine, theirs in zip(steps, better.steps[cost], strict=True):
            assert mine.loss.value == pytest.approx(rows[0]["si_snri_db"] - mine.score.value)
            assert theirs.loss.value - mine.loss.value == pytest.approx(1)
            assert mine.loss.high - mine.loss.low == pytest.approx(mine.score.high - mine.score.low)
            assert theirs.near < mine.near


def test_the_sampler_does_not_learn_from_it():
    directions = [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]
    proposed = []
    for score in (3.0, 30.0):
        points = [QUICK.parameters_of(QUICK.reference), *(QUICK.point(place) for place in (0, 700, 1500, 2400))]
        known = [create_trial(values=[score if not place else 4.0 + 0.1 * place, 1.0], params=point,
                              distributions=distributions(), user_attrs={GIVEN: True} if not place else {})
                 for place, point in enumerate(points)]
        proposed.append(proposal(QUICK, Budget(), known, known, directions, np.random.default_rng(0)))
    assert proposed[0] == proposed[1] is not None


def distributions():
    from optuna.distributions import IntDistribution
    return {name: IntDistribution(numbers[0], numbers[-1], step=numbers.step) for name, numbers in QUICK.ranges().items()}


def test_orders_of_two_studies_are_compared_without_it():
    """It has the same score in both, which says nothing of their trainings."""
    rows = [row(trial, parameters=340_000 - 1000 * trial, si_snri_db=7.0 - 0.3 * trial) for trial in range(7)]
    rows[0]["init"] = "given"
    turned = [{**one, "si_snri_db": 10 - one["si_snri_db"]} if one["trial"] else one for one in rows]
    found = agreement(rows, turned)
    assert found.tau.value == pytest.approx(-1)
    assert found.variants == 7


def test_a_variant_in_two_trials_is_compared_by_the_first():
    """Of a given network that as it is, not the adapted one."""
    rows = [row(trial, parameters=340_000 - 1000 * trial, si_snri_db=7.0 - 0.3 * trial) for trial in range(5)]
    twice = [*rows, {**rows[0], "trial": 5, "si_snri_db": 1.0}]
    assert agreement(twice, rows) == agreement(rows, rows)
