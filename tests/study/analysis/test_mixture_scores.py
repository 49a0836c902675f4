"""Scores as tables: the same numbers as the rows, in whatever pieces they come."""

import math
import random

import numpy as np
import pytest

from study.analysis.mixture_scores import COLUMNS, from_chunks, from_rows
from study.analysis.replicates import per_mixture
from tests.support.fakes import confirmed, mixture, row


def test_the_tables_hold_what_the_rows_say_whatever_their_order():
    _, _, mixtures = confirmed(9, seed=2)
    random.Random(0).shuffle(mixtures)
    found = from_rows(mixtures)
    assert found.names == tuple(sorted({one["mixture"] for one in mixtures}))
    for one in mixtures:
        assert found.of((one["trial"], one["seed"]), "si_snri_db")[found.names.index(one["mixture"])] == one["si_snri_db"]
    assert np.isfinite(found.scores["si_snri_db"]).sum() == len(mixtures)
    assert set(found.sexes) == {"FM"}
    assert set(found.facts["duration_s"]) == {4.0}


def test_rows_that_come_in_pieces_make_the_same_tables():
    _, _, mixtures = confirmed(9, seed=2)
    rows = [tuple(one.get(name) for name in COLUMNS) for one in mixtures]
    whole, pieces = from_chunks([rows]), from_chunks([rows[:7], [], rows[7:200], rows[200:]])
    assert (whole.names, whole.owners, list(whole.tests)) == (pieces.names, pieces.owners, list(pieces.tests))
    np.testing.assert_array_equal(whole.scores["si_snri_db"], pieces.scores["si_snri_db"])


def test_the_means_over_seeds_are_those_of_the_rows():
    runs, _, mixtures = confirmed(12, seed=3)
    found = from_rows(mixtures).per_trial(runs)
    wanted = per_mixture(runs, mixtures)
    assert set(found.owners) == {one["trial"] for one in wanted}
    for one in wanted:
        score = found.of(one["trial"], "si_snri_db")[found.names.index(one["mixture"])]
        assert score == pytest.approx(one["si_snri_db"], abs=1e-12)


def test_what_is_no_number_is_missing_and_a_score_nobody_has_is_not_there():
    scores = [1.0, None, math.nan, math.inf]
    found = from_rows([{**mixture(0, i, score), "sdri_db": None} for i, score in enumerate(scores)])
    assert np.isfinite(found.of((0, 0), "si_snri_db")).tolist() == [True, False, False, False]
    assert "sdri_db" not in found.scores
    assert np.isnan(found.of((0, 0), "sdri_db")).all()
    assert np.isnan(found.of((7, 0), "si_snri_db")).all()


def test_a_mean_is_over_the_seeds_that_have_the_score():
    rows = [mixture(0, 0, 4.0), mixture(0, 0, None, seed=1), mixture(0, 1, None), mixture(0, 1, None, seed=1)]
    found = from_rows(rows).per_trial([row(0), row(0, seed=1)])
    assert found.of(0, "si_snri_db")[0] == 4.0
    assert np.isnan(found.of(0, "si_snri_db")[1])


def test_runs_tested_on_other_mixtures_are_told_apart():
    mine = [mixture(0, i, 1.0) for i in range(5)]
    same = [{**one, "trial": 1, "si_snri_db": None} for one in reversed(mine)]      # unscored, but heard
    fewer = [{**one, "trial": 2} for one in mine[1:]]
    longer = [{**one, "trial": 3, "duration_s": 5.0} for one in mine]
    others = [{**one, "trial": 4, "speakers": "c+d"} for one in mine]
    found = from_rows(mine + same + fewer + longer + others)
    tests = dict(zip((trial for trial, _ in found.owners), found.tests, strict=True))
    assert [tests[trial] == tests[0] for trial in range(5)] == [True, True, False, False, False]


def test_of_nothing_there_is_an_empty_table():
    found = from_rows([])
    assert (found.names, found.owners, found.scores) == ((), (), {})
    assert found.per_trial([]).owners == ()
