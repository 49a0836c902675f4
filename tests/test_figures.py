"""The numbers of the figures from rows whose answer is known, and the ink: labels, ticks, same bytes."""

import itertools
import math

import fakes
import matplotlib as mpl
import numpy as np
import pytest
from fakes import epoch, failed, mixture, row, stopped
from matplotlib.figure import Figure
from matplotlib.text import Text

from study import figures, ink
from study.figures import curves_data, letters_data, mixtures_data
from study.fronts import draw_front, front_data
from study.replicates import per_trial

# Trial 1 is best at its parameters only through its MACs, trial 2 is on both fronts, 3 is beaten by 2.
ROWS = [row(0, si_snri_db=7.0, parameters=1000, macs_per_s=9000),
        row(1, si_snri_db=5.0, parameters=500, macs_per_s=1000, X=4),
        row(2, si_snri_db=6.0, parameters=400, macs_per_s=2000, H=64, R=1),
        row(3, si_snri_db=5.5, parameters=400, macs_per_s=2000, N=64),
        failed(4, parameters=10, macs_per_s=10),
        row(5, si_snri_db=math.nan, parameters=10, macs_per_s=10)]


def test_the_front_against_parameters_keeps_what_only_macs_defend_but_joins_the_best_at_each_size():
    data = front_data(ROWS, "parameters")
    assert [(p.trial, p.name, p.cost, p.si_snri_db, p.on_line) for p in data.kept] == [
        (2, "H64 R1", 400, 6.0, True), (1, "X4", 500, 5.0, False), (0, "reference", 1000, 7.0, True)]
    assert [p.trial for p in data.beaten] == [3]
    assert data.line == [(400, 6.0), (1000, 7.0)]
    assert data.reference.trial == 0


def test_a_point_is_the_mean_of_its_seeds_and_spans_from_the_lowest_to_the_highest():
    runs = [row(0, si_snri_db=7.0), row(1, X=4, si_snri_db=4.0), row(1, X=4, seed=1, si_snri_db=5.0), failed(1, X=4, seed=2)]
    data = front_data(per_trial(runs), "parameters")
    assert [(p.trial, p.si_snri_db, p.span_db) for p in (*data.kept, *data.beaten)] == [(0, 7.0, None), (1, 4.5, (4.0, 5.0))]


def test_against_macs_the_same_runs_have_another_line():
    data = front_data(ROWS, "macs_per_s")
    assert data.line == [(1000, 5.0), (2000, 6.0), (9000, 7.0)]
    assert all(p.on_line for p in data.kept)


def test_a_failed_reference_is_no_point():
    assert front_data([failed(0), row(1)], "parameters").reference is None


def test_curves_turn_the_loss_round_and_begin_with_the_reference_and_the_front():
    epochs = [epoch(trial, number, -number - trial, 0.5 * number) for trial in range(5) for number in (1, 2)]
    data = curves_data(ROWS, ROWS, [*epochs, epoch(3, 3, math.nan, None)])
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


def test_only_letters_that_vary_have_a_panel_and_medians_are_of_finished_runs():
    data = {letter.letter: letter for letter in letters_data(ROWS)}
    assert list(data) == ["N", "H", "X", "R"]
    assert data["X"].values == [4, 6]
    assert data["X"].scores == [[5.0], [7.0, 6.0, 5.5]]
    assert data["X"].medians == [5.0, 6.0]
    assert data["X"].kinds == [["front"], ["reference", "front", "beaten"]]


def test_distributions_show_front_and_reference_by_size_and_count_what_has_no_score():
    scores = enumerate([1.0, 2.0, 6.0, None])
    mixtures = [mixture(trial, i, score) for i, score in scores for trial in range(4)]
    data = mixtures_data(ROWS, mixtures)
    assert [(run.trial, run.parameters) for run in data] == [(2, 400), (1, 500), (0, 1000)]
    assert data[0].si_snri_db == [1.0, 2.0, 6.0]
    assert (data[0].median_db, data[0].unscored) == (2.0, 1)


def test_a_long_front_is_thinned_evenly_but_keeps_both_ends_and_the_reference():
    rows = [row(trial, parameters=1000 - trial, si_snri_db=7 - trial / 10) for trial in range(40)]
    data = mixtures_data(rows, [mixture(trial, 0, 1.0) for trial in range(40)])
    assert len(data) == figures.DISTRIBUTIONS_AT_MOST
    assert [data[0].trial, data[-2].trial, data[-1].trial] == [39, 1, 0]


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Small PNGs are drawn faster."""
    monkeypatch.setattr(ink, "DOTS_PER_INCH", 40)


def drawn_front(rows, cost="parameters"):
    """The axes of the page's own figure, the labels on them, and how many found no room."""
    data = front_data(rows, cost)
    with ink.house_style():
        figure = ink.paper(3.9)
        axes = figure.add_axes((0.072, 0.115, 0.915, 0.815))
        unlabelled = draw_front(data, axes)
        figure.draw_without_rendering()
    return data, axes, [text for text in axes.texts if text.get_text()], unlabelled


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cost", ["parameters", "macs_per_s"])
def test_with_fifty_runs_no_label_covers_a_label_or_a_point_and_none_is_missing(seed, cost):
    data, axes, texts, unlabelled = drawn_front(fakes.study(50, seed)[0], cost)
    assert unlabelled == 0
    assert {text.get_text().replace("\n", " ") for text in texts} == {point.name for point in data.kept}
    boxes = [Text.get_window_extent(text) for text in texts]  # without the leader
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for point in (*data.kept, *data.beaten):
        x, y = axes.transData.transform((point.cost, point.si_snri_db))
        assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for box in boxes)
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
               for box in boxes)


def test_axes_name_their_units_and_ticks_are_written_as_engineers_do():
    _, axes, _, _ = drawn_front(fakes.study(50)[0])
    assert "dB" in axes.get_ylabel()
    assert axes.get_xlabel() == "parameters"
    assert {"10k", "50k", "100k"} <= {tick.get_text() for tick in axes.get_xticklabels()}
    assert "one second of sound" in drawn_front(ROWS, "macs_per_s")[1].get_xlabel()
    assert [ink.tick(value) for value in (500, 10_000, 2_000_000, 5e9)] == ["500", "10k", "2M", "5G"]


def test_runs_that_are_equal_in_everything_share_a_label():
    _, _, texts, unlabelled = drawn_front([row(0), row(1, X=4), row(2, X=4)])
    assert sorted(text.get_text() for text in texts) == ["X4", "reference"]
    assert unlabelled == 0


@pytest.mark.parametrize("rows", [
    pytest.param([row(0)], id="one run"),
    pytest.param([row(trial, parameters=1000 + trial, X=trial + 1) for trial in range(4)],
                 id="all scores equal"),
    pytest.param([failed(0), row(1)], id="no reference score"),
    pytest.param([row(3, X=2), row(4, X=3)], id="no reference at all"),
    pytest.param([row(trial, N=32 * (trial + 1), norm="batch" if trial else "global") for trial in range(3)],
                 id="norms vary")])
def test_every_figure_can_be_drawn(rows):
    check_files(figures.draw_all(rows, [epoch(rows[-1]["trial"], 1, -1.0, 1.0)],
                                 [mixture(rows[-1]["trial"], 0, 3.0)]))


def test_every_figure_can_be_drawn_with_seeds_and_runs_that_were_stopped():
    check_files(figures.draw_all(*fakes.confirmed(12)))


def test_every_figure_can_be_drawn_of_nothing_but_a_score():
    check_files(figures.draw_all([row(0)], [], []))


def check_files(drawn):
    assert len(drawn) == 5
    for one in drawn.values():
        assert one.svg.startswith("<?xml")
        assert one.png.startswith(b"\x89PNG")
        assert "nan" not in one.svg


def test_the_same_rows_give_the_same_bytes_and_leave_no_setting_behind():
    before = dict(mpl.rcParams)
    assert before["svg.hashsalt"] == mpl.rcParamsDefault["svg.hashsalt"]  # other tests have drawn already
    first, second = (figures.draw_all(*fakes.study(2)) for _ in range(2))
    assert {name: (one.svg, one.png) for name, one in first.items()} == {
        name: (one.svg, one.png) for name, one in second.items()}
    assert dict(mpl.rcParams) == before
    assert not any("<dc:date>" in one.svg for one in first.values())


def test_a_density_is_a_hill_with_its_top_at_one_even_for_one_value():
    for values in ([3.0], [2.0, 2.0, 2.0], [0.0, 10.0]):
        grid, density = figures._density(values)
        assert density.max() == 1
        assert grid[0] < min(values)
        assert max(values) < grid[-1]
    assert figures._density([3.0])[0][np.argmax(figures._density([3.0])[1])] == pytest.approx(3, abs=0.01)


def test_drawing_needs_no_window_and_no_pyplot_figure():
    import matplotlib.pyplot as plt

    figures.draw_all([row(0)], [], [])
    assert plt.get_fignums() == []
    assert isinstance(ink.paper(1.0), Figure)
