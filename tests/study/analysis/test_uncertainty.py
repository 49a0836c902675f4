"""Intervals, comparisons and chances, against closed forms, definitions and made-up studies whose truth is known."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from study.analysis import pareto
from study.analysis.mixture_scores import from_rows, people_of
from study.analysis.replicates import per_trial
from study.analysis.uncertainty import Design, SeedSpread, Uncertainty, holm, on_front
from tests.support import ROOT
from tests.support.fakes import mixture, row

sys.path.append(str(ROOT / "benchmarks"))
import coverage  # the made-up studies of the benchmark


def heard_of(scores, pairs=None, corpus="folder:x"):
    """Mixtures of trials from their scores [trials, mixtures]; each its own pair of speakers unless said."""
    found = from_rows([{**mixture(trial, i, score), "speakers": pairs[i] if pairs else f"a{i}+b{i}"}
                       for trial, line in enumerate(scores) for i, score in enumerate(line)])
    return found.per_trial([row(trial) for trial in range(len(scores))])._replace(people=people_of(corpus))


def among(speakers, mixtures, C=2, seed=0):
    """Who speaks in each mixture, and a score on it that has an effect of each speaker."""
    rng = np.random.default_rng(seed)
    who = [rng.permutation(speakers)[:C] for _ in range(mixtures)]
    effects = rng.normal(0, 1, speakers)
    scores = 5 + np.array([effects[some].sum() for some in who]) + rng.normal(0, 1, mixtures)
    return ["+".join(f"s{i:02}" for i in some) for some in who], scores


def variance(scores, people, corpus="folder:x"):
    """Of the mean of one variant's scores."""
    return float(Design(heard_of([scores], people, corpus)).means(np.array([scores])).variance[0])


def test_with_independent_mixtures_and_no_seeds_the_interval_is_students():
    scores = np.random.default_rng(1).normal(5, 2, 200)
    made = Uncertainty(heard_of([scores]), {0: 1}, None, draws=20_000)
    found = made.scores([0])[0]
    low, high = stats.t.interval(0.95, 199, scores.mean(), stats.sem(scores))
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.02)


def test_a_tenfold_copy_of_every_mixture_says_nothing_new():
    scores = np.random.default_rng(1).normal(5, 2, 30)
    pairs = [f"a{i}+b{i}" for i in range(30)]
    once = Uncertainty(heard_of([scores], pairs), {0: 1}, None).scores([0])[0]
    often = Uncertainty(heard_of([np.tile(scores, 10)], pairs * 10), {0: 1}, None).scores([0])[0]
    assert often == pytest.approx(once)


def test_the_same_two_people_in_either_order_are_one_pair():
    design = Design(heard_of([[1.0, 2.0, 3.0]], ["a+b", "b+a", "a+c"]))
    assert (design.speakers, design.groups) == (3, 2)


# One-way layout, one speaker a mixture: the variance of the mean is the mean square between over n (Searle et al. 1992, 3.6).
@pytest.mark.parametrize("seed", range(5))
def test_in_a_balanced_one_way_layout_the_variance_is_that_of_anova_and_of_reml(seed):
    rng = np.random.default_rng(seed)
    scores = (rng.normal(0, 2, (8, 1)) + rng.normal(0, 1, (8, 6))).ravel()
    people = [f"s{i // 6}" for i in range(48)]
    between = 6 * scores.reshape(8, 6).mean(axis=1).var(ddof=1)
    assert variance(scores, people) == pytest.approx(between / 48)
    mixedlm = pytest.importorskip("statsmodels.regression.mixed_linear_model")
    fitted = mixedlm.MixedLM(scores, np.ones((48, 1)), people).fit(reml=True)
    assert variance(scores, people) == pytest.approx(fitted.bse_fe[0]**2, rel=1e-3)


def test_the_two_moment_equations_are_solved_as_numpy_does():
    people, scores = among(24, 120)
    table = np.array([[f"s{i:02}" in some.split("+") for i in range(24)] for some in people], float)
    centre, between = np.eye(120) - 1 / 120, table @ table.T
    products = [between, np.eye(120)]
    equations = [[np.trace(centre @ a @ centre @ b) for b in products] for a in products]
    e = centre @ scores
    found = np.linalg.lstsq(equations, [e @ a @ e for a in products], rcond=None)[0]
    assert (found > 0).all()
    assert variance(scores, people) == pytest.approx(found @ [a.sum() for a in products] / 120**2)


def test_without_effects_of_speakers_the_variance_is_that_of_independent_pairs():
    people, _ = among(24, 120)
    scores = np.random.default_rng(0).normal(0, 1, (300, 120))
    found = Design(heard_of(scores[:1], people)).means(scores).variance
    labels, where = np.unique(["+".join(sorted(some.split("+"))) for some in people], return_inverse=True)
    sums = np.stack([np.bincount(where, line - line.mean()) for line in scores])
    pairs = (sums**2).sum(axis=1) / 120**2 * len(labels) / (len(labels) - 1)
    assert (found >= pairs * (1 - 1e-12)).all()
    assert 1 / 120 < found.mean() < 1.3 / 120


def test_variances_know_no_names_no_order_and_no_unit():
    people, scores = among(9, 60)
    once = variance(scores, people)
    renamed = ["+".join(reversed([f"p{9 - int(name[1:])}" for name in some.split("+")])) for some in people]
    order = np.random.default_rng(1).permutation(60)
    assert variance(scores, renamed) == pytest.approx(once)
    assert variance(scores[order], [people[i] for i in order]) == pytest.approx(once)
    assert variance(3 + 10 * scores, people) == pytest.approx(100 * once)


@pytest.mark.parametrize("C", [1, 2, 3])
def test_variance_and_covariance_agree_for_any_number_of_speakers_in_a_mixture(C):
    people, scores = among(7, 90, C)
    lines = np.stack([scores, 2 * scores + np.random.default_rng(0).normal(0, 0.1, 90), -scores])
    design = Design(heard_of(lines, people))
    factor = design.factor(lines)
    together = factor.T @ factor
    assert np.diag(together) == pytest.approx(design.means(lines).variance)
    assert together[0, 2] == pytest.approx(-together[0, 0])
    assert together[0, 1] / np.sqrt(together[0, 0] * together[1, 1]) > 0.99


def test_known_people_are_no_sample_so_only_what_differs_within_their_pairs_counts():
    people = [f"s{a}+s{b}" for a in range(4) for b in range(a) for _ in range(10)]
    effects, rest = np.repeat(np.random.default_rng(0).normal(0, 9, 6), 10), np.random.default_rng(1).normal(0, 1, 60)
    within = np.mean(rest.reshape(6, 10).var(axis=1, ddof=1)) / 60
    assert variance(effects + rest, people, "folder:x?split=recording") == pytest.approx(within)
    assert variance(effects + rest, people, "folder:x?split=speaker") > 100 * within
    once, scores = among(24, 120)       # no pair twice: what is not the sum of two speakers' effects
    assert 0.7 / 120 < variance(scores, once, "folder:x?seed=1&split=recording") < 1.4 / 120


def test_a_new_speaker_of_voices_is_a_new_voice():
    people = [f"test{i:03}-{language}-{voice}+test{i + 9:03}-en-us-m{i % 5}" for i, (language, voice) in
              enumerate((language, voice) for language in ("de", "en-gb-scotland") for voice in ("f2", "f5", "anika") * 4)]
    scores = np.random.default_rng(0).normal(5, 1, 24)
    made = Uncertainty(heard_of([scores], people, "voices?seed=1"), {}, None)
    assert made.design.speakers == 8
    assert made.of_whom() == "95 % confidence intervals are for new voices, from 8 test voices (48 speakers)."


@pytest.mark.parametrize(("corpus", "whom"), [
    ("wsj0mix:x", "are for new speakers, from 24 test speakers."),
    ("folder:x?split=recording", "are for these 24 speakers, who were in training too.")])
def test_a_sentence_tells_for_whom_the_intervals_are(corpus, whom):
    people, scores = among(24, 120)
    assert Uncertainty(heard_of([scores], people, corpus), {}, None).of_whom() == f"95 % confidence intervals {whom}"
    unknown = Uncertainty(heard_of([scores], [""] * 120), {}, None)
    assert unknown.of_whom() == "95 % confidence intervals are for new mixtures, from 120 test mixtures."


def test_missing_scores_widen_an_interval_and_too_few_left_give_none():
    people, scores = among(24, 120)
    half, few = scores.copy(), scores.copy()
    half[::2] = np.nan
    few[3:] = np.nan
    found = Uncertainty(heard_of([scores, half, few], people), {}, None).scores([0, 1, 2])
    assert set(found) == {0, 1}
    assert found[1].value == pytest.approx(np.nanmean(half))
    assert found[1].high - found[1].low > found[0].high - found[0].low
    draws = Uncertainty(heard_of([scores, half, few], people), {}, None).draws([0, 1, 2])
    assert np.isfinite(draws).all()


def test_an_interval_excludes_0_where_p_is_below_5_percent_and_the_chance_to_be_above_is_half_of_p():
    people, scores = among(8, 60)
    other = scores + np.random.default_rng(5).normal(0.3, 1, 60)
    made = Uncertainty(heard_of([scores, other], people), {0: 2, 1: 1}, SeedSpread(0.1, 7))
    found = made.difference(1, 0)
    assert (found.p < 0.05) == (found.db.low > 0 or found.db.high < 0)
    assert made.within([1], 0, 0)[1] == pytest.approx(1 - found.p / 2 if found.db.value > 0 else found.p / 2)


def test_draws_have_the_variances_of_the_intervals():
    people, scores = among(24, 120)
    lines = np.stack([scores + own for own in np.random.default_rng(0).normal(0, 1, (5, 120))])
    made = Uncertainty(heard_of(lines, people), {0: 3}, SeedSpread(0.2, 40), draws=20_000)
    drawn = made.draws(range(5))
    contrast = made.losses([1], 0)[1]
    spread = np.subtract(*np.quantile(drawn[:, 0] - drawn[:, 1], [0.975, 0.025]))
    assert spread == pytest.approx(contrast.high - contrast.low, rel=0.15)
    assert np.mean(drawn[:, 0] - drawn[:, 1]) == pytest.approx(contrast.value, abs=0.02)


def test_what_all_variants_share_is_in_no_difference():
    rng = np.random.default_rng(2)
    shared = rng.normal(5, 3, 100)
    made = Uncertainty(heard_of([shared, shared - 0.5, shared + rng.normal(0, 0.1, 100)]), {}, None)
    loss = made.losses([1, 2], 0)
    assert loss[1] == pytest.approx((0.5, 0.5, 0.5))
    assert loss[2].high - loss[2].low < 0.06
    assert made.scores([0])[0].high - made.scores([0])[0].low > 1


def test_a_mixture_that_only_one_of_two_has_a_score_on_is_in_no_difference_and_no_interval_of_it():
    scores = np.random.default_rng(0).normal(7, 1, 40)
    scores[0] = -30.0
    same = scores.copy()
    same[0] = np.nan            # what is compared are equal scores
    repeated = Uncertainty(heard_of([scores, same]), {}, None)
    assert repeated.losses([1], 0)[1] == pytest.approx((0, 0, 0), abs=1e-9)
    assert repeated.difference(1, 0).db == pytest.approx((0, 0, 0), abs=1e-9)
    assert repeated.within([1], 0, 0.1) == {1: 1.0}


def test_a_difference_is_the_paired_t_test_where_every_pair_has_one_mixture():
    rng = np.random.default_rng(3)
    a, b = rng.normal(5, 2, (2, 60))
    found = Uncertainty(heard_of([a, b]), {}, None).difference(0, 1)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)
    assert found.db.value == pytest.approx((a - b).mean())
    back = Uncertainty(heard_of([a, b]), {}, None).difference(1, 0)
    assert back.p == pytest.approx(found.p)
    assert back.db == pytest.approx((-found.db.value, -found.db.high, -found.db.low))


def test_seeds_widen_an_interval_by_their_standard_deviation():
    quiet = np.full(50, 5.0)            # mixtures say nothing: what is left is the seeds'
    made = Uncertainty(heard_of([quiet, quiet]), {0: 4, 1: 1}, SeedSpread(0.3, 20), draws=50_000)
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


@pytest.mark.parametrize(("scores", "people", "told"), [
    ([[5.0]], ["a+b"], "1 mixture of 2 speakers"), (np.zeros((1, 0)), [], ""),
    ([[5.0, 6.0, 7.0, 8.0, 9.0]], ["a"] * 5, "5 mixtures of 1 speaker"),
    ([[5.0, 6.0, 7.0, 8.0, 9.0]], ["a+b"] * 5, "5 mixtures of 2 speakers"),
    ([[5.0, 6.0, 7.0]] * 4, ["a+b", "b+c", "a+c"], "3 mixtures of 3 speakers"),
    ([[5.0, 6.0, 7.0, 8.0]], ["a+b+c"] * 4, "4 mixtures of 3 speakers"),
    ([[5.0, 6.0, 7.0]], ["", "", ""], "3 mixtures of 3 mixtures")])
def test_too_few_speakers_give_no_interval(scores, people, told):
    made = Uncertainty(heard_of(scores, people), {}, SeedSpread(0.3, 4))
    assert not made.enough
    assert told in made.of_whom()
    assert (made.scores([0]), made.losses([0], 0), made.within([0], 0, 1.0), made.difference(0, 0)) == ({}, {}, {}, None)
    assert on_front([row(0)], ("parameters",), made) == {}


def test_a_variant_without_scores_has_no_interval_and_harms_no_other():
    made = Uncertainty(heard_of([np.arange(20.0), [None] * 20]), {}, None)
    assert set(made.scores([0, 1, 7])) == {0}
    assert made.difference(0, 1) is None


def test_many_variants_at_once_are_as_each_alone():
    scores = np.random.default_rng(0).normal(5, 2, (1100, 12))
    made = Uncertainty(heard_of(scores), {3: 2}, SeedSpread(0.2, 5), draws=100)
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
    made = Uncertainty(heard_of([rng.normal(score / 10, 1, 8) for *_, score in variants]), {}, SeedSpread(0.3, 3), draws=60)
    rows = [row(trial, parameters=cost, macs_per_s=macs) for trial, (cost, macs, _) in enumerate(variants)]
    found = on_front(rows, ("parameters", "macs_per_s"), made)
    drawn = made.draws(range(len(variants)))
    points = [[(-score, cost, macs) for score, (cost, macs, _) in zip(line, variants, strict=True)] for line in drawn]
    fronts = [[not any(pareto.dominates(other, mine) for other in some) for mine in some] for some in points]
    assert list(found.values()) == pytest.approx(np.mean(fronts, axis=0))


def test_the_chance_to_be_within_a_limit_grows_with_the_limit_and_is_sure_for_the_reference_itself():
    made = Uncertainty(heard_of(np.random.default_rng(0).normal(5, 2, (3, 40))), {}, SeedSpread(0.2, 4))
    chances = [made.within([0, 1, 2], 0, limit) for limit in (0.0, 0.5, 1.0, 100.0)]
    for trial in range(3):
        of = [chance[trial] for chance in chances]
        assert of == sorted(of)
    assert chances[0][0] == 1
    assert chances[3] == {0: 1, 1: 1, 2: 1}


@pytest.mark.parametrize("world", [coverage.WORLDS[3], coverage.WORLDS[4], coverage.KNOWN[1]], ids=lambda world: world.name)
@pytest.mark.parametrize("speakers", [6, 24])
def test_intervals_of_simulated_studies_hold_the_truth_about_95_times_in_100(world, speakers):
    found = coverage.coverage(world, speakers, 200)
    # 200 studies whose variants share their mixtures: shares are uncertain by about 2 %.
    assert 0.90 <= found["after"]["score"] <= 1
    assert 0.90 <= found["after"]["loss"] <= 1
    assert found["after"]["holm"] <= 0.13
    if world.name == "orders":
        assert found["before"]["score"] < 0.75


def test_a_score_that_is_missing_here_and_there_leaves_the_coverage_as_it_is():
    world, rng = coverage.WORLDS[3], np.random.default_rng(0)
    design = Design(coverage.mixtures(12, world.corpus, rng))
    scores, _ = coverage.simulated(world, design, 100, rng)
    scores[rng.random(scores.shape) < 0.3] = np.nan
    low, high = design.means(scores.reshape(-1, scores.shape[2])).intervals()
    assert 0.90 <= np.mean((low <= 0) & (high >= 0)) <= 0.99
