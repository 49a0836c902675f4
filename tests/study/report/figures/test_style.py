"""What all figures share: ticks, places, marks, settings that are put back."""

import io
from itertools import pairwise

import matplotlib as mpl
import matplotlib.image
import pytest
from matplotlib.figure import Figure

from study.report.figures import style


@pytest.mark.parametrize(("value", "text"), [(500, "500"), (10_000, "10k"), (2_000_000, "2M"), (5e9, "5G"), (0.02, "0.02")])
def test_ticks_are_written_as_engineers_do(value, text):
    assert style.tick(value) == text


@pytest.mark.parametrize("high", [1.05, 2, 30, 2000, 1e6])
def test_a_logarithmic_axis_has_at_least_two_ticks_whatever_it_spans(high):
    axes = style.new_figure(2).subplots()
    style.log_axis(axes, [0.11, 0.11 * high])
    low, top = axes.get_xlim()
    assert sum(low <= tick <= top for tick in axes.xaxis.get_majorticklocs()) >= 2


def test_places_of_levels_are_octaves():
    assert style.log2_places([1, 2, 8]) == [0, 1, 3]
    assert style.log2_places([0, 16, 32]) == [3, 4, 5]


def test_marks_aside_are_spread_evenly_within_half_a_step():
    places = sorted(style.jitter(100))
    assert places[0] >= -0.5
    assert places[-1] < 0.5
    assert max(b - a for a, b in pairwise(places)) < 0.03


@pytest.mark.parametrize(("count", "pixels"), [(style.MANY, False), (style.MANY + 1, True)])
def test_many_marks_are_pixels_without_edges(count, pixels):
    axes = style.new_figure(2).subplots()
    style.scatter(axes, [(i, i) for i in range(count)], (style.BLUE, "o", 20))
    assert bool(axes.collections[0].get_rasterized()) == pixels
    assert (len(axes.collections[0].get_edgecolors()) == 0) == pixels


def test_a_figures_mark_lies_below_all_that_is_in_it():
    """So it can lie on nothing: the picture with it is that much taller, and above it the same."""
    def drawn(mark):
        with style.figure_style(mark):
            figure = style.new_figure(2.0, layout="constrained")
            figure.supxlabel("a label that reaches far to both sides" * 3)
            figure.subplots()
            return mpl.image.imread(io.BytesIO(style.files(figure)[1]), format="png")
    plain, marked = drawn(""), drawn("a mark")
    assert marked.shape[1] == plain.shape[1]
    assert (marked[:len(plain)] == plain).all()
    assert (marked[len(plain):] != 1).any()


def test_no_setting_is_left_behind_and_no_figure_is_pyplots():
    before = dict(mpl.rcParams)
    with style.figure_style():
        assert dict(mpl.rcParams) != before
        assert isinstance(style.new_figure(1.0), Figure)
    assert dict(mpl.rcParams) == before
