"""Two trials side by side in the terminal."""

import re

import pytest
from scipy import stats

from study.analysis.compare import compare
from study.analysis.mixture_scores import from_rows
from tasnet_core.errors import UserError
from tests.support.fakes import confirmed, failed, mixture, row, study


def by_pairs(mixtures):
    return from_rows([{**one, "speakers": f"{one['mixture']}a+{one['mixture']}b"} for one in mixtures])


def test_two_trials_differ_by_what_the_paired_t_test_says():
    runs, _, mixtures = study(9, seed=2)
    lines = "\n".join(compare(runs, by_pairs(mixtures), 2, 0))
    scores = [[one["si_snri_db"] for one in mixtures if one["trial"] == trial] for trial in (2, 0)]
    better = sum(a > b for a, b in zip(*scores, strict=True))
    assert f"p = {stats.ttest_rel(*scores).pvalue:.2g}; no variant has several seeds" in lines
    assert f"better on {better} of 48 mixtures" in lines
    assert re.search(rf"parameters \(count\) +{runs[2]['parameters']:,} +{runs[0]['parameters']:,} +× ", lines)
    assert re.search(r"\n  FM: [−+]\d\.\d\d dB over 48 mixtures", lines)


def test_the_spread_of_seeds_is_in_it_where_it_is_known():
    runs, _, mixtures = confirmed(12, seed=2)
    trials = sorted({run["trial"] for run in runs if run["seed"]})
    lines = "\n".join(compare(runs, by_pairs(mixtures), trials[1], trials[0]))
    assert "the interval includes the spread of seeds" in lines
    assert re.search(r"seeds +[12] +3", lines)       # fresh ones, of which one may have failed; all of the reference


def test_one_against_the_other_is_the_other_against_one_with_the_sign_turned():
    runs, _, mixtures = study(9, seed=2)
    there, back = ("\n".join(compare(runs, by_pairs(mixtures), *pair)) for pair in ((2, 0), (0, 2)))
    change = re.search(r"([−+])(\d\.\d\d) dB \[", there)
    assert f"{'+−'['+−'.index(change[1]) - 1]}{change[2]} dB [" in back


def test_too_few_speakers_are_said():
    runs = [row(0), row(1, X=4)]
    heard = from_rows([mixture(trial, i, 5.0 - trial) for trial in (0, 1) for i in range(20)])      # all of a+b
    assert "trial 1 against trial 0: −1.00 dB; too few speakers" in "\n".join(compare(runs, heard, 1, 0))


@pytest.mark.parametrize(("trial", "words"), [
    (9, "trial 9: not in this study; see: python -m study status"),
    (1, "trial 1: is failed, and only trials with scores can be compared; see: python -m study show 1"),
    (2, "trial 2: tested on other mixtures than the reference")])
def test_what_cannot_be_compared_is_one_line(trial, words):
    runs = [row(0), failed(1), row(2, X=4)]
    heard = from_rows([mixture(0, 0, 5.0), mixture(2, 1, 5.0)])
    with pytest.raises(UserError, match=re.escape(words)):
        compare(runs, heard, trial, 0)
