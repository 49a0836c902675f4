"""A study worked out: what is compared, what is left out and said, and what cannot be told."""

import csv

import pytest

from study.analysis.analyse import analyse, comparable, learned_nothing
from study.analysis.mixture_scores import from_rows
from study.analysis.replicates import per_trial
from study.analysis.uncertainty import SeedSpread, holm
from tests.support import ROOT
from tests.support.fakes import REFERENCE, confirmed, failed, mixture, row, study


def pairs(mixtures):
    """As many pairs of speakers as mixtures."""
    return [{**one, "speakers": f"{one['mixture']}a+b"} for one in mixtures]


def test_a_whole_study_has_intervals_chances_picks_and_advice():
    runs, _, mixtures = confirmed(40, seed=2)
    found = analyse(runs, from_rows(pairs(mixtures)), REFERENCE)
    front = {trial for trial, chance in found.chance.items() if chance > 0.5}
    assert front
    for trial, estimate in found.scores.items():
        assert estimate.low < estimate.value < estimate.high
        assert estimate.value == pytest.approx(next(one for one in found.rows if one["trial"] == trial)["si_snri_db"])
        assert found.losses[trial].value == pytest.approx(found.scores[0].value - estimate.value)
    assert found.losses[0] == pytest.approx((0, 0, 0))
    assert found.uncertainty.spread.freedom == 11
    assert found.advice[0].startswith("Lower ")
    assert found.path.rows
    assert found.notes == []
    assert {pick.title for pick in found.picks} >= {"Within 0.5 dB"}
    alone = {trial: found.uncertainty.difference(trial, 0).p for trial in found.differences}
    assert {trial: one.p for trial, one in found.differences.items()} == pytest.approx(holm(alone))


def test_a_run_tested_on_other_mixtures_is_left_out_and_named():
    runs, _, mixtures = study(9, seed=2)
    other = next(run["trial"] for run in runs[1:] if run["state"] == "complete")
    mixtures = [one for one in pairs(mixtures) if (one["trial"], one["mixture"]) != (other, "test-000")]
    found = analyse(runs, from_rows(mixtures), REFERENCE)
    assert found.notes == [f"1 run was tested on other mixtures than the reference, and is left out of every comparison: "
                           f"trial {other} (seed 0)."]
    assert "test-000" in found.tested.names
    assert other not in {one["trial"] for one in found.rows} | set(found.scores) | set(found.chance)


def test_without_a_reference_most_decide_which_mixtures_are_the_right_ones():
    runs = [failed(0), *(row(trial) for trial in (1, 2, 3))]
    mixtures = [mixture(trial, i, 1.0) for trial in (1, 2, 3) for i in range(8 if trial == 2 else 9)]
    kept, heard, notes = comparable(runs, from_rows(mixtures))
    assert [run["trial"] for run in kept] == [0, 1, 3]
    assert heard.owners == ((1, 0), (3, 0))
    assert "than the most" in notes[0]


def test_a_seed_that_learned_nothing_is_named():
    """As it was with the reference of the recorded digits: 7.2, 6.8 and 0.3 dB (results/quick_fsdd_confirmed.csv)."""
    with (ROOT / "results" / "quick_fsdd_confirmed.csv").open() as lines:
        runs = [{**run, "trial": int(run["trial"]), "seed": int(run["seed"]), "si_snri_db": float(run["si_snri_db"])}
                for run in csv.DictReader(lines)]
    (note,) = learned_nothing(runs)
    assert note.startswith("Seed 2 of trial 0 learned next to nothing: 0.30 dB, where another seed has 7.18.")
    assert SeedSpread.of(per_trial(runs)).sd_db == pytest.approx(0.11, abs=0.005)       # 1.46 with it
    assert learned_nothing([row(0, si_snri_db=0.3), row(1, si_snri_db=7.0)]) == []      # with one seed nobody can tell


def test_one_training_that_failed_without_an_error_spoils_no_effect_of_the_others():
    runs, _, mixtures = study(40, seed=2)
    sound = analyse(runs, from_rows(pairs(mixtures)), REFERENCE)
    large = max((run for run in runs[1:] if run["state"] == "complete"), key=lambda run: run["parameters"])
    dead = [{**run, "si_snri_db": -30.0} if run is large else run for run in runs]
    found = analyse(dead, from_rows(pairs(mixtures)), REFERENCE)
    assert found.notes == [
        f"Trial {large['trial']} learned next to nothing (−30.00 dB), where one that costs no more did: its training failed, "
        f"and it is left out of what is said of hyperparameters; python -m study confirm {large['trial']} trains it again."]
    assert found.effects.variants == sound.effects.variants - 1
    for mine, other in zip(found.effects.letters, sound.effects.letters, strict=True):
        assert mine.doubling_db.value == pytest.approx(other.doubling_db.value, abs=0.1)


def test_a_run_without_mixtures_is_not_called_different():
    runs = [row(0), row(1, X=4)]
    kept, _, notes = comparable(runs, from_rows([]))
    assert (kept, notes) == (runs, [])


@pytest.mark.parametrize("mixtures", [1, 3])
def test_few_mixtures_give_picks_without_intervals(mixtures):
    runs, _, scores = study(30, seed=2)
    found = analyse(runs, from_rows([one for one in pairs(scores) if int(one["mixture"][-3:]) < mixtures]), REFERENCE)
    assert (found.scores, found.losses, found.chance, found.differences) == ({}, {}, {}, {})
    assert found.picks[1].confidence is None
    assert "[" not in found.picks[1].sentence


def test_equal_scores_are_no_ground_for_advice_and_no_error():
    runs = [row(trial, N=(128, 64, 32)[trial % 3], parameters=340_000 - trial, si_snri_db=4.0) for trial in range(30)]
    runs.append(row(0, seed=1, si_snri_db=4.0))
    scores = [mixture(run["trial"], i, 4.0, run["seed"]) for run in runs for i in range(9)]
    found = analyse(runs, from_rows(pairs(scores)), REFERENCE)
    assert (found.advice, found.picks, found.path.rows) == ([], [], [])
    assert found.finding.startswith("No recommendation: ")
    assert found.differences
    assert all(one.p == 1 for one in found.differences.values())


def test_a_failed_reference_leaves_scores_and_chances_and_takes_the_losses():
    runs, _, mixtures = confirmed(30, seed=2)
    runs = [failed(0), *(run for run in runs if run["trial"])]
    found = analyse(runs, from_rows([one for one in pairs(mixtures) if one["trial"]]), REFERENCE)
    assert found.scores
    assert found.losses == {}
    assert found.differences == {}
    assert max(found.chance.values()) > 0.8


def test_without_several_seeds_there_are_intervals_but_no_chances():
    runs, _, mixtures = study(30, seed=2)
    found = analyse(runs, from_rows(pairs(mixtures)), REFERENCE)
    assert found.scores
    assert found.losses
    assert (found.chance, found.differences) == ({}, {})
    assert all(pick.confidence is None for pick in found.picks)
    within = [pick for pick in found.picks if pick.title.startswith("Within") and pick.trial is not None]
    assert within
    for pick in within:       # by scores drawn towards the model, under a spread that was not measured
        assert found.shrunk.chance(pick.trial, float(pick.title.split()[1])) >= 0.8
        assert pick.sentence.endswith("if seeds of one variant differ by a standard deviation of 0.20 dB.")
