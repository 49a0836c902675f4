"""Where to write the names of points so that nothing is covered. Pure geometry, in one unit of length.

Boxes are [x, y, width, height] from their lower left corner. The search is greedy: each label in turn
takes the cheapest free place around its point, near before far. Three orders of taking turns are tried.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DIRECTIONS = 32
RINGS = 30
COVERED = 40.0  # what a point or a piece of line under a label costs, in the unit of length


def place(anchors: ArrayLike, sizes: ArrayLike, area: ArrayLike, points: ArrayLike, *,
          lines: ArrayLike = (), radius: float = 4.0) -> list[tuple[float, float] | None]:
    """The lower left corner of each label; None where no free place is left.

    A label overlaps no other label and no anchor, stays inside `area` (a box), and its leader, the straight
    way to its point, crosses no label and no other leader. As long as there is another place, neither label
    nor leader covers one of `points`, and no label covers `lines` (samples of what should stay visible).
    """
    spots, boxes = _pairs(anchors), _pairs(sizes)
    avoid = _pairs(points), _pairs(lines)
    crowd = [int((np.hypot(*(spots - spot).T) < 60).sum()) for spot in spots]
    orders = (sorted(range(len(spots)), key=lambda i: (spots[i][0], i)),
              sorted(range(len(spots)), key=lambda i: (-spots[i][0], i)),
              sorted(range(len(spots)), key=lambda i: (-crowd[i], i)))
    trials = [_turns(order, spots, boxes, np.asarray(area, dtype=float), avoid, radius) for order in orders]
    return min(trials, key=lambda trial: trial[0])[1]


def _turns(order: Sequence[int], spots: Floats, sizes: Floats, area: Floats,
           avoid: tuple[Floats, Floats], radius: float) -> tuple[float, list[tuple[float, float] | None]]:
    """One round in the given order: its whole cost, and the places."""
    found: list[tuple[float, float] | None] = [None] * len(spots)
    taken, leaders, total = np.empty((0, 4)), np.empty((0, 2, 2)), 0.0
    markers = _around(spots, radius)
    for i in order:
        corners, cost = _candidates(spots[i], sizes[i], radius)
        boxes = np.column_stack([corners, np.broadcast_to(sizes[i], corners.shape)])
        ways = np.stack([np.broadcast_to(spots[i], corners.shape), _nearest(spots[i], boxes)], axis=1)
        wrong = (_overlaps(boxes, np.concatenate([taken, markers])).any(1) | _outside(boxes, area)
                 | _cross(ways, _edges(np.concatenate([taken, np.delete(markers, i, axis=0)]))).any(1)
                 | _cross(leaders, _edges(boxes)).any(0).reshape(2, -1).any(0)
                 | _cross(ways, leaders).any(1))
        points, lines = (some[np.hypot(*(some - spots[i]).T) < sizes[i].sum() + cost.max()] for some in avoid)
        cost[wrong] = np.inf
        right = np.flatnonzero(~wrong)
        cost[right] += COVERED * (_covered(boxes[right], np.concatenate([points, lines]), radius)
                                  + _cross(ways[right], _edges(_around(points, radius / 2))).sum(1))
        best = int(np.argmin(cost))
        if np.isinf(cost[best]):
            total += 1e6
            continue
        found[i] = (float(corners[best, 0]), float(corners[best, 1]))
        total += float(cost[best])
        taken, leaders = np.vstack([taken, boxes[best]]), np.concatenate([leaders, ways[best:best + 1]])
    return total, found


def _candidates(spot: Floats, size: Floats, radius: float) -> tuple[Floats, Floats]:
    """Lower left corners around `spot`, ring by ring, and what each costs: its distance, and a little for
    not lying above and somewhat to the left, where the land beyond a front is empty."""
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    gaps = radius * (1.4 + 1.1 * np.arange(RINGS))
    gap, angle = (grid.ravel() for grid in np.meshgrid(gaps, angles, indexing="ij"))
    way = np.column_stack([np.cos(angle), np.sin(angle)])
    # The box's centre lies where its nearest edge is `gap` away from the point.
    corners = spot + way * gap[:, None] + np.clip(way * 1.5, -1, 1) * size / 2 - size / 2
    preference = radius * 0.6 * (1 - np.cos(angle - 0.6 * np.pi))
    return corners, gap + preference


def _around(points: Floats, radius: float) -> Floats:
    """The box each point's marker fills."""
    return np.column_stack([points - radius, np.full_like(points, 2 * radius)])


def _nearest(spot: Floats, boxes: Floats) -> Floats:
    """Where each box is nearest to the point."""
    nearest: Floats = np.clip(spot, boxes[:, :2], boxes[:, :2] + boxes[:, 2:])
    return nearest


def _overlaps(some: Floats, others: Floats) -> Bools:
    """[n, 4] x [m, 4] -> [n, m]"""
    low, high = some[:, None, :2], some[:, None, :2] + some[:, None, 2:]
    apart = (high <= others[:, :2]) | (others[:, :2] + others[:, 2:] <= low)
    overlapping: Bools = np.logical_not(apart.any(-1))
    return overlapping


def _outside(boxes: Floats, area: Floats) -> Bools:
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    inside: Bools = np.all((low >= area[:2]) & (high <= area[:2] + area[2:]), axis=1)
    return ~inside


def _covered(boxes: Floats, points: Floats, radius: float) -> Floats:
    """How many points each box covers, or comes nearer to than half a marker."""
    gap = radius / 2
    low, high = boxes[:, None, :2] - gap, boxes[:, None, :2] + boxes[:, None, 2:] + gap
    covered: Floats = ((low < points) & (points < high)).all(-1).sum(1).astype(float)
    return covered


def _edges(boxes: Floats) -> Floats:
    """The diagonals of each box, one of which any straight way through it crosses. [n, 4] -> [2n, 2, 2]"""
    x, y, width, height = boxes.T
    rising = np.stack([np.column_stack([x, y]), np.column_stack([x + width, y + height])], axis=1)
    falling = np.stack([np.column_stack([x, y + height]), np.column_stack([x + width, y])], axis=1)
    return np.concatenate([rising, falling])


def _cross(some: Floats, others: Floats) -> Bools:
    """Which straight ways cross which, [n, 2, 2] x [m, 2, 2] -> [n, m]"""
    a, b = some[:, None, 0], some[:, None, 1]
    c, d = others[None, :, 0], others[None, :, 1]

    def side(p: Floats, q: Floats, r: Floats) -> Floats:
        turn: Floats = np.sign((q[..., 0] - p[..., 0]) * (r[..., 1] - p[..., 1])
                               - (q[..., 1] - p[..., 1]) * (r[..., 0] - p[..., 0]))
        return turn

    crossing: Bools = (side(a, b, c) * side(a, b, d) < 0) & (side(c, d, a) * side(c, d, b) < 0)
    return crossing


def _pairs(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=float).reshape(-1, 2)
