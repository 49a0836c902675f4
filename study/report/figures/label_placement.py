"""Where to write the names of a few points. Pure geometry, in one unit of length.

Boxes are [x, y, width, height].
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

DIRECTIONS, RINGS = 16, 12
COVERED = 40.0  # what a point under a label costs, in the unit of length


def place(
    anchors: ArrayLike, sizes: ArrayLike, area: ArrayLike, points: ArrayLike, radius: float = 4.0
) -> list[tuple[float, float] | None]:
    """The lower left corner of each label; None where no free place is left.

    Each label in turn takes the cheapest free place around its anchor, near before far. It overlaps
    no other label and no anchor, lies inside `area`, and covers few of `points`.
    """
    spots, boxes, avoid = (np.asarray(pairs, dtype=float).reshape(-1, 2)
                           for pairs in (anchors, sizes, points))
    left, bottom, width, height = np.asarray(area, dtype=float)
    taken = [(spot - radius, spot + radius) for spot in spots]  # corners: lower left, upper right
    found: list[tuple[float, float] | None] = []
    for spot, size in zip(spots, boxes, strict=True):
        corners, cost = _candidates(spot, size, radius)
        ends = corners + size
        inside = (corners >= (left, bottom)).all(1)
        inside &= (ends <= (left + width, bottom + height)).all(1)
        apart = [((corners >= high) | (ends <= low)).any(1) for low, high in taken]
        free = inside & np.array(apart).all(0)
        near = corners[:, None] - radius / 2, ends[:, None] + radius / 2
        cost += COVERED * ((near[0] < avoid) & (avoid < near[1])).all(-1).sum(1)
        best = int(np.where(free, cost, np.inf).argmin())
        found.append((float(corners[best, 0]), float(corners[best, 1])) if free[best] else None)
        if free[best]:
            taken.append((corners[best], ends[best]))
    return found


def _candidates(spot: Floats, size: Floats, radius: float) -> tuple[Floats, Floats]:
    """Lower left corners around `spot`, ring by ring, and what each costs.

    That is its distance, and a little for not lying above and somewhat to the left, where the plane
    beyond a front is empty.
    """
    angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    gaps = radius * (1.4 + 1.5 * np.arange(RINGS))
    gap, angle = (grid.ravel() for grid in np.meshgrid(gaps, angles))
    way = np.column_stack([np.cos(angle), np.sin(angle)])
    # The box's centre lies where its nearest edge is `gap` away from the point.
    corners = spot + way * gap[:, None] + np.clip(way * 1.5, -1, 1) * size / 2 - size / 2
    return corners, gap + radius * 0.6 * (1 - np.cos(angle - 0.6 * np.pi))
