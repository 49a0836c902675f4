"""Learning curves and the growth of the front: the numbers."""

import math

import pytest

from study.analysis.hypervolume_curve import Progress
from study.analysis.replicates import per_trial
from study.report.figures.learning import curves_data, hypervolume_data
from tests.support.fakes import FRONT_ROWS, epoch, failed, row, stopped


def test_curves_turn_the_loss_round_and_begin_with_the_reference_and_the_front():
    epochs = [epoch(trial, number, -number - trial, 0.5 * number) for trial in range(5) for number in (1, 2)]
    data = curves_data(FRONT_ROWS, FRONT_ROWS, [*epochs, epoch(3, 3, math.nan, None)])
    assert [panel.trial for panel in data.panels] == [0, 2, 1, 3, 4]
    assert data.panels[1].curves == [(0, "", [400, 800], [3, 4], [0.5, 1.0])]
    assert data.panels[3].curves[0].train_si_snr_db == [4, 5, None]
    assert data.left_out == 0


def test_every_seed_has_a_curve_in_its_variants_panel_and_says_how_it_ended_if_early():
    runs = [row(0), row(0, seed=1), stopped(1, after=1), failed(1, seed=2), row(2, state="running")]
    epochs = [epoch(run["trial"], number, -1.0, 1.0, run["seed"]) for number in (1, 2) for run in runs]
    data = curves_data(per_trial(runs), runs, epochs)
    assert [(panel.trial, [(curve.seed, curve.ended) for curve in panel.curves]) for panel in data.panels] == [
        (0, [(0, ""), (1, "")]), (2, [(0, "")]), (1, [(0, "stopped"), (2, "failed")])]


def test_of_thirty_curves_twelve_are_drawn_and_the_others_counted():
    rows = [row(trial) for trial in range(30)]
    data = curves_data(rows, rows, [epoch(trial, 1, 0, 0) for trial in range(30)])
    assert (len(data.panels), data.left_out) == (12, 18)


@pytest.mark.parametrize(("last_s", "unit", "last"), [(7200.0, "hours", 2.0), (3600.0, "minutes", 60.0), (90.0, "seconds", 90.0)])
def test_growth_starts_from_nothing_and_counts_sound_in_what_makes_a_readable_number(last_s, unit, last):
    data = hypervolume_data(Progress([1, 2, 3], [last_s / 3, last_s / 2, last_s], [1.0, 8.9, 10.0], {}))
    assert (data.trials, data.volume) == ([0, 1, 2, 3], [0, 1.0, 8.9, 10.0])
    assert (data.unit, data.audio[0], data.audio[-1]) == (unit, 0, last)


@pytest.mark.parametrize(("second", "trial"), [(8.9, 3), (9.0, 2)])
def test_the_mark_stands_where_nine_tenths_of_the_last_volume_are_reached(second, trial):
    data = hypervolume_data(Progress([1, 2, 3], [1.0, 2.0, 3.0], [1.0, second, 10.0], {}))
    assert data.trials[data.reached] == trial


@pytest.mark.parametrize("progress", [None, Progress([], [], [], {}), Progress([1], [1.0], [2.0], {}),
                                      Progress([1, 2], [1.0, 2.0], [0.0, 0.0], {})])
def test_there_is_no_growth_to_see_in_fewer_than_two_trials_or_where_nothing_is_enclosed(progress):
    assert hypervolume_data(progress) is None
