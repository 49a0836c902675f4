"""The fronts against each cost: points from rows whose answer is known, and the drawing: labels, ticks, legend."""

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from study.analysis.replicates import per_trial
from study.records import Estimate
from study.report.figures import all as figures
from study.report.figures import front, style
from study.report.figures.front import Published, draw_front, front_data, kinds
from tests.support import fakes
from tests.support.fakes import FRONT_ROWS as ROWS
from tests.support.fakes import failed, row


def test_the_front_against_parameters_has_what_only_macs_defend_but_joins_the_best_at_each_size():
    data = front_data(ROWS, "parameters")
    assert [(p.trial, p.name, p.cost, p.si_snri_db, p.on_line) for p in data.front] == [
        (2, "H64 R1", 400, 6.0, True), (1, "X4", 500, 5.0, False), (0, "reference", 1000, 7.0, True)]
    assert [p.trial for p in data.dominated] == [3]
    assert data.line == [(400, 6.0), (1000, 7.0)]
    assert data.reference.trial == 0
    assert kinds(ROWS) == {0: "reference", 1: "front", 2: "front", 3: "dominated"}


def test_a_point_is_the_mean_of_its_seeds_and_has_the_interval_and_the_chance_that_were_handed_in():
    runs = [row(0, si_snri_db=7.0), row(1, X=4, si_snri_db=4.0), row(1, X=4, seed=1, si_snri_db=5.0), failed(1, X=4, seed=2)]
    data = front_data(per_trial(runs), "parameters", {1: Estimate(4.5, 4.1, 4.8)}, {0: 1.0})
    assert [(p.trial, p.si_snri_db, p.interval_db, p.chance) for p in (*data.front, *data.dominated)] == [
        (0, 7.0, None, 1.0), (1, 4.5, (4.1, 4.8), None)]


def test_against_macs_the_same_runs_have_another_line():
    data = front_data(ROWS, "macs_per_s")
    assert data.line == [(1000, 5.0), (2000, 6.0), (9000, 7.0)]
    assert all(p.on_line for p in data.front)


def test_against_speed_the_line_is_that_of_speed_alone_and_the_front_stays_and_what_is_unmeasured_is_counted():
    speeds = (0.4, 0.2, None, 0.1, None, None)
    data = front_data([{**one, "realtime_factor": speed} for one, speed in zip(ROWS, speeds, strict=True)], "realtime_factor")
    assert data.line == [(0.1, 5.5), (0.4, 7.0)]
    assert [(p.trial, p.on_line) for p in data.front] == [(1, False), (0, True)]
    assert [(p.trial, p.on_line) for p in data.dominated] == [(3, True)]
    assert data.unmeasured == 1


def test_a_cost_that_nobody_has_gives_no_points():
    data = front_data(ROWS, "peak_memory_bytes")
    assert (data.front, data.dominated, data.line, data.unmeasured) == ([], [], [], 4)


def test_a_failed_reference_is_no_point():
    assert front_data([failed(0), row(1)], "parameters").reference is None


def test_published_results_stand_on_the_fronts_of_those_costs_they_have():
    some = [Published("large", 5e6, 15.3, 5e9), Published("unknown", 1e6, 13.0)]
    assert front_data(ROWS, "macs_per_s", published=some).published == [("large", 5e9, 15.3)]
    assert front_data(ROWS, "parameters", published=some).published == [("unknown", 1e6, 13.0), ("large", 5e6, 15.3)]


@pytest.mark.parametrize(("count", "barred"), [(front.BARS_AT_MOST, front.BARS_AT_MOST), (front.BARS_AT_MOST + 1, 2)])
def test_of_many_variants_only_the_front_and_the_reference_have_bars(count, barred):
    rows = [row(0, parameters=2000, si_snri_db=5.0), row(1, si_snri_db=6.0, parameters=1000),
            *(row(trial, parameters=1000 + trial, si_snri_db=4.0) for trial in range(2, count))]
    assert len(front_data(rows, "parameters", {trial: Estimate(5, 4, 6) for trial in range(count)}).with_bars) == barred


def test_of_a_front_in_a_crowd_few_are_named_and_those_evenly_over_the_cost():
    rows = [row(trial, parameters=round(1000 * 2 ** (trial / 60)), si_snri_db=trial / 100) for trial in range(301)]
    named = front_data(rows, "parameters").named
    assert len(named) <= front.LABELS_AT_MOST
    assert (named[0].trial, named[-1].trial) == (0, 300)
    assert max(np.diff([point.trial for point in named])) <= 51  # 300 steps, six gaps


def drawn_front(rows, cost="parameters", **handed_in):
    """The axes of the page's own figure, the labels on them, and how many found no room."""
    data = front_data(rows, cost, **handed_in)
    with style.figure_style():
        figure = style.new_figure(3.9)
        axes = figure.add_axes(figures.axes_box(data))
        unlabelled = draw_front(data, axes)
        figure.draw_without_rendering()
    return data, axes, [text for text in axes.texts if text.get_text()], unlabelled


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cost", ["parameters", "macs_per_s"])
def test_with_fifty_runs_no_label_covers_a_label_or_a_point_and_none_is_missing(seed, cost):
    data, axes, texts, unlabelled = drawn_front(fakes.study(50, seed)[0], cost)
    names = {text.get_text().replace("\n", " ") for text in texts}
    assert names == {point.name for point in data.named}
    assert {"reference", data.front[0].name, data.front[-1].name} <= names
    assert unlabelled == len({point.name for point in data.front} - names)
    boxes = [Text.get_window_extent(text) for text in texts]  # without the leader
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for point in (*data.front, *data.dominated):
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
    assert "one second of audio" in drawn_front(ROWS, "macs_per_s")[1].get_xlabel()


def test_memory_is_counted_in_megabytes_of_a_million_bytes():
    _, axes, _, _ = drawn_front([row(0, peak_memory_bytes=2_000_000), row(1, X=4, peak_memory_bytes=5_000_000)],
                                "peak_memory_bytes")
    assert "(MB)" in axes.get_xlabel()
    ticks = {tick.get_loc(): tick.label1.get_text() for tick in axes.xaxis.get_major_ticks()}
    assert (ticks[2e6], ticks[5e6]) == ("2", "5")


def test_runs_that_are_equal_in_everything_share_a_label():
    _, _, texts, unlabelled = drawn_front([row(0), row(1, X=4), row(2, X=4)])
    assert sorted(text.get_text() for text in texts) == ["X4", "reference"]
    assert unlabelled == 0


def test_labels_and_those_left_out_are_the_front_of_hundreds():
    rows = [row(trial, N=trial + 1, parameters=1000 + 9 * trial, si_snri_db=trial / 100) for trial in range(301)]
    data, _, texts, unlabelled = drawn_front(rows)
    assert 2 < len(texts) <= front.LABELS_AT_MOST
    assert len(texts) + unlabelled == len(data.front) == 301


@pytest.mark.parametrize("cost", ["parameters", "realtime_factor"])
def test_the_legend_of_all_there_can_be_stays_on_the_page(cost):
    rows = [{**one, "realtime_factor": speed} for one, speed in zip(ROWS, (0.4, 0.2, 0.3, 0.1, None, None), strict=True)]
    some = [Published("large", 5e6, 15.3, 5e9)] if cost == "parameters" else []
    rows.append(row(6, si_snri_db=1.0, parameters=5000, macs_per_s=9e9, realtime_factor=1.0))
    _, axes, _, _ = drawn_front(rows, cost, published=some, intervals={0: Estimate(7, 6, 8)}, chance={0: 0.5})
    assert len(axes.get_legend().get_texts()) == 7
    box, page = axes.get_legend().get_window_extent(), axes.figure.bbox
    assert page.x0 <= box.x0
    assert box.x1 <= page.x1
    assert box.y1 <= page.y1


def test_a_crowd_becomes_pixels_in_the_svg_and_a_few_stay_outlines():
    crowd = [row(0), *(row(trial, parameters=400_000 + trial, si_snri_db=5 - trial % 7 / 10)
                       for trial in range(1, style.MANY + 9))]
    for rows, pixels in ((crowd, True), (crowd[:20], False)):
        _, axes, _, _ = drawn_front(rows)
        svg, _ = style.files(axes.figure)
        assert ("<image" in svg) == pixels
        assert svg.count("<use") < style.MANY


def test_the_front_and_the_reference_are_marked_where_they_still_rise():
    rising, flat = fakes.outlook(0.5, 6.5, 6.1, 6.9), fakes.outlook(0.1, 6.1, 5.9, 6.3)
    rows = [fakes.row(0, si_snri_db=6.0, parameters=1000, macs_per_s=1000, **rising),
            fakes.row(1, si_snri_db=6.0, parameters=500, macs_per_s=500, **flat),
            fakes.row(2, si_snri_db=6.0, parameters=400, macs_per_s=600, **rising),
            fakes.row(3, si_snri_db=5.0, parameters=900, macs_per_s=900, **rising)]
    data = front_data(rows, "parameters")
    assert [point.trial for point in data.not_converged] == [2, 0]
    assert "not converged" in [key.get_label() for key in front.legend(data)]
    assert not front_data([fakes.row(0)], "parameters").not_converged
