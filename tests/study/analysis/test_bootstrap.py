"""Intervals, comparisons and chances, against closed forms, definitions and made-up studies whose truth is known."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.analysis import pareto
from study.analysis.bootstrap import Repeated, SeedSpread, holm, on_front
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import per_trial
from tests.support import ROOT
from tests.support.fakes import mixture, row

sys.path.append(str(ROOT / "benchmarks"))
import coverage  # the made-up studies of the benchmark

EASY = coverage.World("small", 24, 120, [3] * 4 + [1] * 6)


def heard_of(scores, pairs=None):
    """Mixtures of trials from their scores [trials, mixtures]; each its own pair of speakers unless said."""
    return from_rows([{**mixture(trial, i, score), "speakers": pairs[i] if pairs else f"a{i}+b{i}"}
                      for trial, line in enumerate(scores) for i, score in enumerate(line)]).per_trial(
                          [row(trial) for trial in range(len(scores))])


def test_with_independent_mixtures_and_no_seeds_the_interval_is_students():
    scores = np.random.default_rng(1).normal(5, 2, 200)
    made = Repeated(heard_of([scores]), {0: 1}, None, draws=20_000)
    found = made.scores([0])[0]
    low, high = stats.t.interval(0.95, 199, scores.mean(), stats.sem(scores))
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_a_tenfold_copy_of_every_mixture_says_nothing_new():
    scores = np.random.default_rng(1).normal(5, 2, 30)
    pairs = [f"a{i}+b{i}" for i in range(30)]
    once = Repeated(heard_of([scores], pairs), {0: 1}, None).scores([0])[0]
    often = Repeated(heard_of([np.tile(scores, 10)], pairs * 10), {0: 1}, None).scores([0])[0]
    assert often == pytest.approx(once)


def test_the_same_two_people_in_either_order_are_one_pair():
    assert Repeated(heard_of([[1.0, 2.0, 3.0]], ["a+b", "b+a", "a+c"]), {0: 1}, None).pairs == 2


def test_what_all_variants_share_is_in_no_difference():
    rng = np.random.default_rng(2)
    shared = rng.normal(5, 3, 100)
    made = Repeated(heard_of([shared, shared - 0.5, shared + rng.normal(0, 0.1, 100)]), {}, None)
    loss = made.losses([1, 2], 0)
    assert loss[1] == pytest.approx((0.5, 0.5, 0.5))
    assert loss[2].high - loss[2].low < 0.06
    assert made.scores([0])[0].high - made.scores([0])[0].low > 1


def test_a_mixture_that_only_one_of_two_has_a_score_on_is_in_no_difference_and_no_interval_of_it():
    scores = np.random.default_rng(0).normal(7, 1, 40)
    scores[0] = -30.0
    same = scores.copy()
    same[0] = np.nan            # what is compared are equal scores
    repeated = Repeated(heard_of([scores, same]), {}, None)
    assert repeated.losses([1], 0)[1] == pytest.approx((0, 0, 0), abs=1e-9)
    assert repeated.difference(1, 0).db == pytest.approx((0, 0, 0), abs=1e-9)
    assert repeated.within([1], 0, 0.1) == {1: 1.0}


def test_a_difference_is_the_paired_t_test_where_every_pair_has_one_mixture():
    rng = np.random.default_rng(3)
    a, b = rng.normal(5, 2, (2, 60))
    found = Repeated(heard_of([a, b]), {}, None).difference(0, 1)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert found.db.value == pytest.approx((a - b).mean())
    back = Repeated(heard_of([a, b]), {}, None).difference(1, 0)
    assert back.p == pytest.approx(found.p)
    assert back.db == pytest.approx((-found.db.value, -found.db.high, -found.db.low))


def test_seeds_widen_an_interval_by_their_standard_deviation():
    quiet = np.full(50, 5.0)            # mixtures say nothing: what is left is the seeds'
    made = Repeated(heard_of([quiet, quiet]), {0: 4, 1: 1}, SeedSpread(0.3, 20), draws=50_000)
    found = made.scores([0, 1])
    reach = 0.3 * stats.t.ppf(0.975, 20)
    assert found[0].high - 5 == pytest.approx(reach / 2, rel=0.03)
    assert found[1].high - 5 == pytest.approx(reach, rel=0.03)
    assert made.losses([1], 0)[1].high == pytest.approx(reach * np.sqrt(1 + 1 / 4), rel=0.03)
    assert made.difference(1, 0).p == 1


def test_the_spread_of_seeds_is_pooled_over_the_variants_that_have_several():
    runs = [row(trial, seed=seed, si_snri_db=score) for trial, scores in enumerate([(4.0, 5.0, 6.0), (7.0, 7.4), (1.0,)])
            for seed, score in enumerate(scores)]
    found = SeedSpread.of(per_trial(runs))
    assert found.freedom == 3
    assert found.sd_db == pytest.approx(np.sqrt((2 * 1.0 + 0.08) / 3))
    assert SeedSpread.of(per_trial(runs[-1:])) is None


@pytest.mark.parametrize("scores", [[[5.0]], [[5.0, 6.0, 7.0, 8.0, 9.0]], np.zeros((1, 0))])
def test_too_few_pairs_of_speakers_give_no_interval(scores):
    made = Repeated(heard_of(scores), {}, SeedSpread(0.3, 4))
    assert not made.enough
    assert (made.scores([0]), made.losses([0], 0), made.within([0], 0, 1.0), made.difference(0, 0)) == ({}, {}, {}, None)
    assert on_front([row(0)], ("parameters",), made) == {}


def test_a_variant_without_scores_has_no_interval_and_harms_no_other():
    made = Repeated(heard_of([np.arange(20.0), [None] * 20]), {}, None)
    assert set(made.scores([0, 1, 7])) == {0}
    assert made.difference(0, 1) is None


def test_many_variants_at_once_are_as_each_alone():
    scores = np.random.default_rng(0).normal(5, 2, (1100, 12))
    made = Repeated(heard_of(scores), {3: 2}, SeedSpread(0.2, 5), draws=100)
    together = made.scores(range(1100))
    assert together[1099] == pytest.approx(made.scores([1099])[1099])
    assert together[3] == pytest.approx(made.scores([700, 3])[3])


# Holm (1979), worked by hand: sorted 0.01 0.02 0.03 0.04 times 4 3 2 1, never falling.
def test_holms_correction_is_the_textbooks():
    assert holm({"a": 0.04, "b": 0.01, "c": 0.03, "d": 0.02}) == pytest.approx({"b": 0.04, "d": 0.06, "c": 0.06, "a": 0.06})
    assert holm({}) == {}


@settings(deadline=None)
@given(st.dictionaries(st.integers(), st.floats(0, 1), min_size=1))
def test_holms_correction_keeps_the_order_and_lies_between_none_and_bonferronis(p):
    found = holm(p)
    for key, value in p.items():
        assert value <= found[key] <= min(1.0, len(p) * value) + 1e-12
    keys = sorted(p, key=p.get)
    assert [found[key] for key in keys] == sorted(found.values())


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(0, 30)), min_size=1, max_size=9), st.integers(0, 99))
def test_the_chance_of_the_front_is_the_share_of_draws_whose_front_it_is_on(variants, seed):
    rng = np.random.default_rng(seed)
    made = Repeated(heard_of([rng.normal(score / 10, 1, 8) for *_, score in variants]), {}, SeedSpread(0.3, 3), draws=60)
    rows = [row(trial, parameters=cost, macs_per_s=macs) for trial, (cost, macs, _) in enumerate(variants)]
    found = on_front(rows, ("parameters", "macs_per_s"), made)
    drawn = made.draws(range(len(variants)))
    points = [[(-score, cost, macs) for score, (cost, macs, _) in zip(line, variants, strict=True)] for line in drawn]
    fronts = [[not any(pareto.dominates(other, mine) for other in some) for mine in some] for some in points]
    assert list(found.values()) == pytest.approx(np.mean(fronts, axis=0))


def test_the_chance_to_be_within_a_limit_grows_with_the_limit_and_is_sure_for_the_reference_itself():
    made = Repeated(heard_of(np.random.default_rng(0).normal(5, 2, (3, 40))), {}, SeedSpread(0.2, 4))
    chances = [made.within([0, 1, 2], 0, limit) for limit in (0.0, 0.5, 1.0, 100.0)]
    for trial in range(3):
        of = [chance[trial] for chance in chances]
        assert of == sorted(of)
    assert chances[0][0] == 1
    assert chances[3] == {0: 1, 1: 1, 2: 1}


def test_intervals_of_made_up_studies_hold_the_truth_about_95_times_in_100():
    found = coverage.coverage(EASY, 60, np.random.default_rng(0))
    # 60 studies of 10 variants, which share their mixtures: the share is uncertain by about 2 %.
    assert 0.91 <= found["score"] <= 0.995
    assert 0.91 <= found["loss"] <= 0.995
    assert found["any, Holm"] <= 0.13
