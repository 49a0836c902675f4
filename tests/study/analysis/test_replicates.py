"""Means over the seeds of a trial, against the statistics of the standard library."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import LEARNED_DB, OUTLOOK, per_mixture, per_trial, pooled_seed_sd, with_seeds
from tests.support.fakes import failed, mixture, outlook, row

SCORES = st.floats(-20, 20)
RUNS = st.lists(st.builds(lambda trial, seed, score, state: row(trial, seed=seed, si_snri_db=score, pesq=None, state=state),
                          st.integers(0, 3), st.integers(0, 5), st.none() | SCORES,
                          st.sampled_from(["complete", "complete", "running", "stopped", "failed"])),
                unique_by=lambda one: (one["trial"], one["seed"]))


@given(RUNS)
def test_with_one_seed_each_a_row_stays_what_it_was(runs):
    alone = list({one["trial"]: one for one in runs}.values())
    for before, after in zip(sorted(alone, key=lambda one: one["trial"]), per_trial(alone), strict=True):
        assert {name: after[name] for name in before} == before
        assert after["si_snri_sd_db"] is None


@given(RUNS, st.randoms())
def test_the_order_of_the_rows_does_not_matter(runs, chance):
    mixtures = [mixture(one["trial"], index, one["si_snri_db"], one["seed"]) for one in runs for index in range(2)]
    found = per_trial(runs), per_mixture(runs, mixtures)
    chance.shuffle(runs)
    chance.shuffle(mixtures)
    assert (per_trial(runs), per_mixture(runs, mixtures)) == found


@given(st.lists(st.floats(LEARNED_DB, 20), min_size=2, max_size=6))
def test_a_score_is_the_mean_of_the_seeds_scores(scores):
    one, = per_trial(row(3, seed=seed, si_snri_db=score, pesq=2.0) for seed, score in enumerate(scores))
    assert one["si_snri_db"] == pytest.approx(statistics.mean(scores), abs=1e-9)
    assert one["si_snri_sd_db"] == pytest.approx(statistics.stdev(scores), abs=1e-9)
    assert (one["si_snri_low_db"], one["si_snri_high_db"]) == (min(scores), max(scores))
    assert (one["seeds"], one["seeds_without"], one["pesq"], one["stoi"]) == (len(scores), 0, 2.0, None)


@pytest.mark.parametrize("other", [failed(1), row(1, state="running", si_snri_db=None), row(1, state="stopped", si_snri_db=None),
                                   row(1, si_snri_db=None), row(1, si_snri_db=math.nan)])
@pytest.mark.parametrize("seed", [0, 2])
def test_a_run_without_a_score_leaves_the_mean_to_the_others_and_is_counted(other, seed):
    one, = per_trial([row(1, seed=1, si_snri_db=5.0), {**other, "seed": seed}, row(1, seed=3, si_snri_db=6.0)])
    assert (one["state"], one["si_snri_db"], one["seeds"], one["seeds_without"]) == ("complete", 5.5, 2, 1)
    assert one["reason"] == ""


def test_a_seed_that_learned_nothing_is_in_no_mean_and_no_spread_and_is_counted():
    """As it was with the reference of the recorded digits (results/quick_fsdd_confirmed.csv)."""
    runs = [row(0, seed=seed, si_snri_db=score) for seed, score in enumerate((7.1847, 6.7786, 0.2957))]
    one, = per_trial(runs)
    assert one["si_snri_db"] == pytest.approx((7.1847 + 6.7786) / 2)
    assert one["si_snri_sd_db"] == pytest.approx((7.1847 - 6.7786) / math.sqrt(2))
    assert (one["si_snri_low_db"], one["seeds"], one["seeds_without"], one["seeds_unlearned"]) == (6.7786, 2, 0, 1)
    mixtures = [mixture(0, 0, one["si_snri_db"], one["seed"]) for one in runs]
    assert per_mixture(runs, mixtures)[0]["si_snri_db"] == pytest.approx(one["si_snri_db"])
    assert from_rows(mixtures).per_trial(runs).of(0, "si_snri_db") == pytest.approx(one["si_snri_db"])
    slow = [row(0, seed=seed, si_snri_db=score) for seed, score in enumerate((0.9, 3.0))]      # one that is only slower
    assert per_trial(slow)[0]["seeds"] == 2


def test_a_trial_without_any_score_is_what_became_of_its_first_seed():
    one, = per_trial([failed(1, seed=1), row(1, state="stopped", si_snri_db=None, seed=0)])
    assert (one["state"], one["seeds"], one["seeds_without"]) == ("stopped", 0, 2)


def test_a_mixture_has_the_mean_of_the_seeds_that_scored_it():
    runs = [row(1, seed=0), row(1, seed=1), failed(1, seed=2), *(row(2, seed=seed) for seed in range(3))]
    mixtures = [mixture(1, 0, 4.0, 0), mixture(1, 0, 6.0, 1), mixture(1, 0, 100.0, 2),
                mixture(1, 1, None, 0), mixture(1, 1, 3.0, 1), mixture(2, 0, 1.0, 0)]
    assert [(one["trial"], one["mixture"], one["si_snri_db"]) for one in per_mixture(runs, mixtures)] == [
        (1, "test-000", 5.0), (1, "test-001", 3.0), (2, "test-000", 1.0)]


@pytest.mark.parametrize(("fresh", "wanted"), [([6.0, 5.8], 5.9), ([6.0], 6.0)])
def test_a_variant_chosen_by_its_first_seed_is_scored_by_the_fresh_ones(fresh, wanted):
    runs = [row(0, seed=seed, si_snri_db=7.0 + seed) for seed in range(3)]
    runs += [row(1, seed=seed, si_snri_db=score) for seed, score in enumerate((6.4, *fresh))] + [row(2, si_snri_db=4.0)]
    reference, chosen, other = per_trial(runs)
    assert (reference["si_snri_db"], reference["seeds"], reference["chosen_db"]) == (8.0, 3, None)     # chosen by nobody
    assert (chosen["si_snri_db"], chosen["seeds"], chosen["chosen_db"]) == (pytest.approx(wanted), len(fresh), 6.4)
    assert (other["si_snri_db"], other["seeds"], other["chosen_db"]) == (4.0, 1, None)
    mixtures = [mixture(one["trial"], 0, one["si_snri_db"], one["seed"]) for one in runs]
    assert from_rows(mixtures).per_trial(runs).of(1, "si_snri_db") == pytest.approx(wanted)
    assert chosen["si_snri_sd_db"] == pytest.approx(statistics.stdev([6.4, *fresh]))       # a spread has all seeds
    assert pooled_seed_sd([chosen]) == (pytest.approx(chosen["si_snri_sd_db"]), len(fresh))
    seeds = {2: "2 fresh seeds", 1: "1 fresh seed"}[len(fresh)]
    assert with_seeds(chosen) == f"{seeds}, sd {chosen['si_snri_sd_db']:.2f}, chosen with 6.40 dB"


def test_where_every_complete_variant_was_given_a_fresh_seed_nothing_was_chosen():
    runs = [row(trial, seed=seed, si_snri_db=5.0 + seed) for trial in (1, 2) for seed in range(3)]
    runs += [row(0), row(3, state="stopped", si_snri_db=None), failed(4)]
    assert [one["seeds"] for one in per_trial(runs)] == [1, 3, 3, 0, 0]
    queued = [row(trial, seed=3, state="running", si_snri_db=None) for trial in (1, 2)]
    assert [one["seeds"] for one in per_trial([*runs, *queued])] == [1, 3, 3, 0, 0]
    assert [one["seeds"] for one in per_trial([*runs, queued[0]])] == [1, 3, 3, 0, 0]
    some_have_less = [one for one in runs if (one["trial"], one["seed"]) != (2, 2)]
    assert [one["seeds"] for one in per_trial(some_have_less)] == [1, 3, 2, 0, 0]
    assert [one["chosen_db"] for one in per_trial([*runs, row(5)])] == [None, 5.0, 5.0, None, None, None]


def test_all_seeds_know_more_than_the_fresh_ones_where_every_variant_has_some():
    """A simulation: 20 variants of two seeds each, the four best by the first with a third."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(300):
        true = rng.normal(5, 0.35, 20)
        scores = true[:, None] + rng.normal(0, 0.25, (20, 3))
        third = set(np.argsort(scores[:, 0])[-4:].tolist())
        runs = [row(trial + 1, seed=seed, si_snri_db=float(scores[trial, seed]))
                for trial in range(20) for seed in range(3 if trial in third else 2)]
        found = np.array([one["si_snri_db"] for one in per_trial(runs)])
        fresh = np.array([scores[trial, 1:3 if trial in third else 2].mean() for trial in range(20)])
        errors.append([found.max() - true[found.argmax()], fresh.max() - true[fresh.argmax()],
                       ((found - true) ** 2).mean(), ((fresh - true) ** 2).mean()])
    best, best_by_fresh, apart, apart_by_fresh = np.mean(errors, axis=0)
    assert 0 < best < 0.7 * best_by_fresh
    assert apart < 0.7 * apart_by_fresh


@pytest.mark.parametrize("again", [failed(1, seed=1), row(1, seed=1, state="running", si_snri_db=None),
                                   row(1, seed=1, si_snri_db=0.2)])
def test_without_a_fresh_score_the_first_seed_stands(again):
    chosen = per_trial([row(1, si_snri_db=6.4), again, row(2, si_snri_db=4.0)])[0]
    assert (chosen["si_snri_db"], chosen["seeds"], chosen["chosen_db"]) == (6.4, 1, None)


def test_seeds_are_told_where_there_are_several():
    three = per_trial(row(1, seed=seed, si_snri_db=score) for seed, score in enumerate((4.7, 4.9, 5.1)))
    assert [with_seeds(one) for one in (*three, row(2), *per_trial([row(2)]))] == ["3 seeds, sd 0.20", "", ""]


def test_a_mean_gains_what_its_runs_gain_on_average_and_is_no_surer_of_it():
    runs = [row(1, seed=seed, si_snri_db=score, **outlook(0.5, score + 1, score, score + 3))
            for seed, score in enumerate((4, 5, 6, 5))]
    one, = per_trial(runs)
    assert [one[name] for name in OUTLOOK] == [0.5, 6.0, 5.0, 8.0]
    unknown = row(1, seed=4, si_snri_db=10.0, **outlook(*[None] * 4))
    one, = per_trial([*runs, unknown])      # it counts for the score, and is taken to gain what the others do
    assert [one[name] for name in ("si_snri_db", *OUTLOOK)] == [6.0, 0.5, 7.0, 6.0, 9.0]
    one, = per_trial([unknown, {**unknown, "seed": 5}])
    assert [one[name] for name in OUTLOOK] == [None] * 4
