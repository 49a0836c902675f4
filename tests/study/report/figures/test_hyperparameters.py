"""Scores by hyperparameter and parallel coordinates: the numbers."""

import pytest

from study.report.figures import hyperparameters
from study.report.figures.hyperparameters import hyperparameters_data, parallel_data
from tests.support.fakes import FRONT_ROWS, row


def test_only_hyperparameters_that_vary_have_a_panel_and_medians_are_of_finished_runs():
    data = {one.hyperparameter: one for one in hyperparameters_data(FRONT_ROWS)}
    assert list(data) == ["N", "H", "X", "R"]
    assert data["X"].values == [4, 6]
    assert data["X"].scores == [[5.0], [7.0, 6.0, 5.5]]
    assert data["X"].medians == [5.0, 6.0]
    assert data["X"].kinds == [["front"], ["reference", "front", "dominated"]]


def test_axes_stand_upright_from_least_to_most_and_hyperparameters_and_costs_are_spaced_by_octaves():
    rows = [row(0, N=64, parameters=4000, macs_per_s=8e6, si_snri_db=6.0),
            row(1, N=16, parameters=1000, macs_per_s=1e6, si_snri_db=2.0),
            row(2, N=32, parameters=2000, macs_per_s=4e6, si_snri_db=3.0)]
    data = parallel_data(rows)
    assert [scale.name for scale in data.scales] == ["N", "parameters", "MACs per s", "SI-SNRi (dB)"]
    places = {line.trial: line.places for line in data.lines}
    assert places == {0: [1, 1, 1, 1], 1: [0, 0, 0, 0], 2: [0.5, pytest.approx(0.5), pytest.approx(2 / 3), 0.25]}
    assert data.scales[0].ticks == [(0, "16"), (0.5, "32"), (1, "64")]
    assert [text for _, text in data.scales[1].ticks] == ["1.00k", "2k", "4.00k"]
    assert [text for _, text in data.scales[3].ticks] == ["2.0", "3", "4", "5", "6.0"]


def test_no_skip_path_stands_an_octave_below_the_narrowest():
    data = parallel_data([row(0, Sc=64), row(1, Sc=16), row(2, Sc=0)])
    assert [place for place, _ in data.scales[0].ticks] == [0, pytest.approx(1 / 3), 1]  # 8, 16 and 64


def test_words_stand_at_equal_distances_and_what_all_have_alike_in_the_middle():
    data = parallel_data([row(0), row(1, norm="batch"), row(2, norm="frame")])
    assert data.scales[0].ticks == [(0, "batch"), (0.5, "frame"), (1, "global")]
    assert {line.places[1] for line in data.lines} == {0.5}


def test_of_many_beaten_lines_an_even_choice_by_score_is_drawn_and_the_reference_lies_on_top():
    rows = [row(0, si_snri_db=9.0), *(row(trial, X=trial % 5 + 1, si_snri_db=trial / 100) for trial in range(1, 500))]
    data = parallel_data(rows)
    assert [line.kind for line in data.lines] == ["dominated"] * hyperparameters.LINES_AT_MOST["dominated"] + ["reference"]
    assert (data.lines[0].trial, data.lines[-2].trial, data.left_out) == (1, 499, 199)


def test_without_a_hyperparameter_that_varies_there_is_nothing_parallel():
    assert parallel_data([row(0), row(1)]) is None
