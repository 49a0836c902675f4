"""Labels against what they promise: no overlap, no label outside, none on a point, near before far."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study.report.figures import label_placement


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 200)), min_size=1, max_size=10, unique=True))
@settings(max_examples=25, deadline=None)
def test_labels_never_overlap_nor_leave_the_area_whatever_the_points(anchors):
    sizes, area = [(40, 14)] * len(anchors), (-20, -20, 440, 240)
    boxes = [(*corner, 40, 14) for corner in label_placement.place(anchors, sizes, area, anchors) if corner]
    for (x, y, w, h), (u, v, _, _) in itertools.combinations(boxes, 2):
        assert x + w <= u or u + w <= x or y + h <= v or v + h <= y
    for x, y, w, h in boxes:
        assert x >= -20
        assert x + w <= 420
        assert y >= -20
        assert y + h <= 220
        assert not any(x < a < x + w and y < b < y + h for a, b in anchors)


def test_a_label_without_any_free_place_is_left_out():
    assert label_placement.place([(5, 5)], [(40, 14)], (0, 0, 10, 10), []) == [None]


def test_a_label_alone_lies_beside_its_point_and_gives_way_to_what_should_stay_visible():
    (x, y), = label_placement.place([(50, 50)], [(40, 14)], (0, 0, 100, 100), [])
    assert 50 < y < 58
    moved, = label_placement.place([(50, 50)], [(40, 14)], (0, 0, 100, 100), [(x + 20, y + 7)])
    assert moved != (x, y)


@pytest.mark.parametrize("seed", [4, 6, 11])  # clouds that leave room for it
def test_a_leader_goes_round_the_points_that_should_stay_visible(seed):
    rng = np.random.default_rng(seed)
    anchors, points = rng.normal((200, 100), 15, (8, 2)), rng.normal((200, 100), 60, (40, 2))
    corners = np.array(label_placement.place(anchors, [(40, 14)] * 8, (0, 0, 400, 200), points))
    nearest = np.clip(anchors, corners, corners + np.array([40, 14]))
    along = np.linspace(0, 1, 50)[:, None, None]
    leaders = anchors + along * (nearest - anchors)  # [50, 8, 2], places along the eight leaders
    touched = np.hypot(*np.moveaxis(leaders[:, :, None] - points, -1, 0)).min(axis=(0, 1)) < 1.0
    hidden_anyway = np.hypot(*np.moveaxis(anchors[:, None] - points, -1, 0)).min(axis=0) < 2.0
    assert not (touched & ~hidden_anyway).any()


@pytest.mark.parametrize(("way", "crosses"), [([(0, 0), (4, 4)], True), ([(0, 0), (1, 1)], False),
                                          ([(0, 3), (4, 3.5)], True), ([(0, 5), (4, 5)], False)])
def test_a_way_through_a_box_crosses_one_of_its_diagonals(way, crosses):
    box = label_placement._edges(np.array([[2.0, 2.0, 1.5, 2.0]]))
    assert label_placement._cross(np.array([way], dtype=float), box).any() == crosses
