"""Whether anything can be recommended: asked of every recorded study, and of cases made by hand."""

import sys

import pytest

from study.analysis.analyse import analyse
from study.analysis.compare import compare
from study.analysis.learned import finding
from study.analysis.mixture_scores import from_rows
from study.analysis.rank_agreement import agreement, lines
from study.analysis.recommendations import Compared
from study.analysis.replicates import SCORE, per_trial
from study.cli.show import show_status
from study.records import Estimate
from study.report.summary import answer
from tests.support import ROOT
from tests.support.fakes import failed, mixture, outlook, row, stopped

sys.path.insert(0, str(ROOT / "benchmarks"))
from learned import recorded

SIZES = {"parameters": (340_000, 34_000, 17_000), "macs_per_s": (330_000_000, 30_000_000, 15_000_000)}
# As it was on real speech after 8,000 s: none separates anything, and shrinking is free.
ORDERS = [row(trial, X=6 - trial, si_snri_db=score, **{name: sizes[trial] for name, sizes in SIZES.items()})
          for trial, score in enumerate((1.16, 0.98, 0.98))]
HEARD = from_rows([{**mixture(run["trial"], i, run[SCORE] + (i - 9.5) / 5), "speakers": f"a{i}+b"}
                   for run in ORDERS for i in range(20)])


@pytest.mark.parametrize(("name", "runs", "right"), [pytest.param(*case, id=case[0]) for case in recorded()])
def test_it_speaks_of_every_recorded_study_that_learned_nothing_and_of_no_other(name, runs, right):
    assert bool(finding(per_trial(runs))) != right


def of(*scores, **reference):
    """Variants of these scores, each a tenth smaller than the one before."""
    rows = [row(i, si_snri_db=score, parameters=1000 - 100 * i, macs_per_s=1000 - 100 * i) for i, score in enumerate(scores)]
    return [{**rows[0], **reference}, *rows[1:]]


@pytest.mark.parametrize(("rows", "said"), [
    (of(1.16, 0.98, 1.34), "improves a mixture by 1.16 dB SI-SNRi (0 passes it on; 77 % of the other speaker's energy is left)"),
    (of(1.16, 0.98, 1.34), "python -m tasnet_core check CORPUS"),
    (of(-2.0), "by −2.00 dB SI-SNRi (0 passes it on)"),
    (of(-14.67, -17.36, -11.70), "cannot do the task yet"),      # all learned nothing: none shows what another could do
    (of(1.122, 1.132, 1.12), "the smallest of the variants are as good"),
    (of(2.5, 1.5, 0.5, **outlook(0.6, 3.0, 2.7, 3.3)), "its learning curve has not converged"),
    (of(2.5, 1.5, 0.5), "its learning curve has not been seen to end"),
    ([*of(2.5, 2.4, 2.3), stopped(3, parameters=500)], "cannot do the task yet"),
    (of(5.0, 4.9, 4.6), "the smallest of the variants are 0.40 dB worse"),       # all within the tolerance of half a dB
    (of(7.0, 8.5, 4.0), "is 1.50 dB behind trial 1, which is smaller"),
    (of(7.0, 4.0, seeds=1, seeds_unlearned=2), "learned nothing with 2 of 3 seeds"),
    (of(7.0, 6.8, 7.1), "all 3 variants, of 800 to 1,000 parameters, score alike: 6.80 to 7.10 dB SI-SNRi"),
    ([failed(0), *of(7.0, 1.0, 0.5)[1:]], "the best variant, trial 1, without a reference beside it, cannot do the task yet")])
def test_what_is_lacking_is_said(rows, said):
    assert finding(rows).startswith("No recommendation: ")
    assert said in finding(rows)


@pytest.mark.parametrize("rows", [
    of(7.0, 6.8), of(7.0, 6.8, 6.0), of(7.0, 7.9, 4.0), of(5.0, 4.9, 4.2), [], [failed(0)], of(4.0),
    of(2.5, 1.5, 0.5, **outlook(0.1, 2.6, 2.4, 2.75)),      # all such recordings allow: sizes differ, the curve has ended
    [*of(5.0, 4.9, 4.6), stopped(3, parameters=500)],       # what was far behind has no score, and shows it all the same
    [failed(0), *of(7.0, 6.8, 6.0)[1:]]])
def test_where_the_reference_does_the_task_and_sizes_differ_nothing_is_said(rows):
    assert finding(rows) == ""


def test_a_tie_is_one_within_the_spread_of_seeds_and_within_the_intervals():
    apart = of(7.0, 6.5, 6.1)
    assert finding(apart) == ""
    assert "score alike" in finding([{**one, "seeds": 2, "si_snri_sd_db": 0.6} for one in apart])      # 1.96 √2 0.6 / √2 = 1.2
    losses = {1: Estimate(0.5, -0.1, 1.1), 2: Estimate(0.9, -0.2, 2.0)}
    assert "score alike" in finding(apart, losses)
    assert finding(apart, {**losses, 2: Estimate(0.9, 0.1, 1.7)}) == ""


def test_the_easiest_and_the_hardest_mixtures_are_told():
    assert "by 3.00 dB on the easiest tenth of the test mixtures and by −1.00 dB on the hardest" in finding(
        ORDERS, None, [float("nan"), -1.0, *[1.0] * 8, 3.0])


def test_no_door_gives_a_recommendation_past_it(capsys):
    found = analyse(ORDERS, HEARD, None)
    assert found.finding.startswith("No recommendation: the reference cannot do the task yet.")
    assert "on the easiest tenth of the test mixtures" in found.finding
    assert (found.picks, found.advice, found.path.rows) == ([], [], [])
    told = answer(Compared.of(per_trial(ORDERS), {}), 20, found.finding)
    first = finding(ORDERS)
    assert told.smallest == ""
    assert told.sentences[:2] == [found.finding, told.front]
    assert compare(ORDERS, HEARD, 0, 2)[-1] == first
    show_status("orders", None, ORDERS, [], [])
    assert "No recommendation:" in capsys.readouterr().out
    assert agreement(ORDERS, of(7.0, 6.8, 4.0)) is not None
    assert "| none: too little learned |" in lines([("short", ORDERS), ("long", ORDERS)])[-1]
