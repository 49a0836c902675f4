"""Dominance, front, hypervolume and the stop rule against their definitions."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.analysis.pareto import Curve, dominates, front, gains, hopeless, hypervolume

small = st.integers(-2, 2)  # so few values that costs tie and points repeat
tables = st.integers(1, 4).flatmap(
    lambda axes: st.lists(st.lists(small, min_size=axes, max_size=axes), min_size=1, max_size=40))
boxes = st.integers(1, 4).flatmap(
    lambda axes: st.lists(st.lists(small, min_size=axes, max_size=axes), min_size=1, max_size=7))


def front_by_definition(points):
    def beats(q, p):
        axes = range(len(p))
        return all(q[i] <= p[i] for i in axes) and any(q[i] < p[i] for i in axes)

    return [not any(beats(q, p) for q in points) for p in points]


@given(tables)
@settings(max_examples=300, deadline=None)
def test_the_front_is_its_three_line_definition_with_ties_and_duplicates(points):
    assert front(points).tolist() == front_by_definition(points)


@given(tables)
@settings(deadline=None)
def test_dominates_is_what_the_front_is_made_of(points):
    assert front(points).tolist() == [not any(dominates(q, p) for q in points) for p in points]


@given(tables, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_front_does_not_depend_on_the_order_of_points(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    assert front([points[i] for i in order]).tolist() == front(points)[order].tolist()


def test_duplicates_are_all_kept_and_plus_and_minus_zero_are_one_number():
    assert front([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).tolist() == [True, True, True, False]


def test_a_tie_on_one_axis_is_decided_by_the_other():
    assert front([[3, 5], [3, 4], [2, 4]]).tolist() == [False, False, True]


def test_infinite_costs_compare_and_nan_is_refused():
    assert front([[np.inf, 1], [5, 1], [np.inf, 0]]).tolist() == [False, True, True]
    with pytest.raises(ValueError, match="NaN"):
        front([[np.nan, 1]])
    with pytest.raises(ValueError, match="table"):
        front([1.0, 2.0])


def test_no_points_have_an_empty_front_and_no_volume():
    assert front(np.empty((0, 3))).tolist() == []
    assert hypervolume(np.empty((0, 3)), (1, 1, 1)) == 0


@pytest.mark.parametrize("shape", ["cloud", "all on the front"])
def test_ten_thousand_points_take_no_time(shape):
    points = np.random.default_rng(0).random((10_000, 3))
    if shape == "all on the front":
        points /= np.linalg.norm(points, axis=1, keepdims=True)  # a sphere's corner: nobody beats anybody
    start = time.perf_counter()
    kept = front(points)
    assert time.perf_counter() - start < 2  # 0.01 s and 0.1 s on one slow core
    assert kept.all() == (shape == "all on the front")


def inclusion_exclusion(points, reference):
    """Volume of a union of boxes, from the volumes of all intersections of them."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in itertools.combinations(points, size):
            sides = [max(0, r - max(axis)) for r, axis in zip(reference, np.transpose(some), strict=True)]
            total -= (-1) ** size * np.prod(sides)
    return total


@given(boxes)
@settings(deadline=None)
def test_hypervolume_is_inclusion_and_exclusion_of_boxes(points):
    reference = [1] * len(points[0])  # some points lie beyond it
    assert hypervolume(points, reference) == inclusion_exclusion(points, reference)


def test_hypervolume_of_one_point_is_a_box_and_of_a_staircase_its_area():
    assert hypervolume([[1, 2, 3]], (2, 4, 6)) == 1 * 2 * 3
    assert hypervolume([[k, 9 - k] for k in range(10)], (10, 10)) == sum(range(1, 11))


@pytest.mark.parametrize("axes", [2, 3])
def test_hypervolume_agrees_with_counting_random_points(axes):
    rng = np.random.default_rng(axes)
    points, darts = rng.random((30, axes)), rng.random((100_000, axes))
    hit = (points[:, None] <= darts).all(-1).any(0).mean()
    assert hypervolume(points, [1] * axes) == pytest.approx(hit, abs=0.008)  # five standard errors


def test_hypervolume_wants_a_reference_with_as_many_axes():
    with pytest.raises(ValueError, match="3 axes"):
        hypervolume([[1, 2, 3]], (2, 2))


@given(boxes)
@settings(deadline=None)
def test_gains_are_greedy_and_enclose_what_the_front_does(points):
    """By definition: each next one adds most to the volume of those before, and the rest adds nothing."""
    corner = [1] * len(points[0])
    order = gains(points, corner)
    for count, taken in enumerate(order):
        volumes = [inclusion_exclusion([points[place] for place in (*order[:count], one)], corner) for one in range(len(points))]
        assert volumes[taken] == pytest.approx(max(volumes))
    assert hypervolume([points[place] for place in order] or np.empty((0, len(corner))), corner) == pytest.approx(
        hypervolume(points, corner))


def test_gains_begin_with_what_is_given():
    assert gains([[1, 1], [0, 3], [3, 0], [2, 2]], (4, 4), first=[3]) == [3, 0, 1, 2]


GOOD = Curve(costs=(10, 10), curve=(1, 3, 5, 6, 7))
RULE = {"margin_db": 1.0, "warm_up": 2, "patience": 2}


@pytest.mark.parametrize(("costs", "curve", "stopped", "why"), [
    ((10, 10), (0, 1, 3, 4), True, "two dB below at epochs 3 and 4, at equal cost"),
    ((10, 10), (0, 1, 3), False, "patience is two epochs, only one is behind the warm-up"),
    ((10, 10), (0, 1, 4, 5), False, "exactly the margin is not more than it"),
    ((10, 10), (0, 1, 3, 5.5), False, "it caught up in the last epoch"),
    ((10, 10), (0, 1, 4.5, 4), False, "only the last epoch is below"),
    ((9, 20), (0, 1, 3, 4), False, "the rival is dearer on one axis"),
    ((11, 12), (0, 1, 3, 4), True, "the rival is cheaper on both"),
    ((10, 10), (0, 1, 3, 4, 5, 0), False, "the rival has no sixth epoch"),
    ((10, 10), (), False, "nothing trained yet"),
    ((10, 10), (0, 1, 3, float("nan")), False, "a gap in the curve decides nothing"),
])
def test_the_stop_rule(costs, curve, stopped, why):
    assert hopeless(Curve(costs, curve), [GOOD], **RULE) is stopped, why


def test_two_rivals_that_take_turns_stop_nobody():
    mine = Curve((1,), (0, 0, 0, 0))
    turns = [Curve((1,), (0, 0, 9, 0)), Curve((1,), (0, 0, 0, 9))]
    assert not hopeless(mine, turns, **RULE)
    assert hopeless(mine, [Curve((1,), (0, 0, 9, 9))], **RULE)


def test_without_rivals_nothing_is_hopeless():
    assert not hopeless(Curve((1,), (0, 0, 0, 0)), [], **RULE)
