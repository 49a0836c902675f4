"""Labels against what they promise: no overlap, no label outside, none on a point, near before far."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from study import labels


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 200)), min_size=1, max_size=12, unique=True))
@settings(max_examples=40, deadline=None)
def test_labels_never_overlap_nor_leave_the_area_whatever_the_points(anchors):
    sizes, area = [(40, 14)] * len(anchors), (-20, -20, 440, 240)
    boxes = [(*corner, 40, 14) for corner in labels.place(anchors, sizes, area, anchors) if corner]
    for (x, y, w, h), (u, v, _, _) in itertools.combinations(boxes, 2):
        assert x + w <= u or u + w <= x or y + h <= v or v + h <= y
    for x, y, w, h in boxes:
        assert -20 <= x and x + w <= 420 and -20 <= y and y + h <= 220
        assert not any(x < a < x + w and y < b < y + h for a, b in anchors)


def test_a_label_without_any_free_place_is_left_out():
    assert labels.place([(5, 5)], [(40, 14)], (0, 0, 10, 10), []) == [None]


def test_a_label_alone_lies_beside_its_point_and_gives_way_to_what_should_stay_visible():
    (x, y), = labels.place([(50, 50)], [(40, 14)], (0, 0, 100, 100), [])
    assert 50 < y < 58
    moved, = labels.place([(50, 50)], [(40, 14)], (0, 0, 100, 100), [(x + 20, y + 7)])
    assert moved != (x, y)


@pytest.mark.parametrize("way, crosses", [([(0, 0), (4, 4)], True), ([(0, 0), (1, 1)], False),
                                          ([(0, 3), (4, 3.5)], True), ([(0, 5), (4, 5)], False)])
def test_a_way_through_a_box_crosses_one_of_its_diagonals(way, crosses):
    box = labels._edges(labels.np.array([[2.0, 2.0, 1.5, 2.0]]))
    assert labels._cross(labels.np.array([way], dtype=float), box).any() == crosses
