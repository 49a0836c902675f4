"""Labels against what they promise: no overlap, no label outside, none on a point, near before far."""

import itertools

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
