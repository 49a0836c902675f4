"""Pareto dominance, the front, hypervolume, and the rule that stops hopeless runs.

Points are costs and every axis is minimised; a caller that maximises a score negates it.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Curve(NamedTuple):
    """One run as the stop rule needs it: its costs, and its validation score after each epoch."""

    costs: tuple[float, ...]
    curve: tuple[float, ...]

    def costing(self, also: tuple[float, ...]) -> "Curve":
        """With further costs."""
        return self._replace(costs=(*self.costs, *also))


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether `a` is no worse than `b` on every axis and better on one. This is the definition."""
    pairs = list(zip(a, b, strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def front(points: ArrayLike) -> NDArray[np.bool_]:
    """Which points no other dominates, [n, axes] -> [n]. Equal points are all kept or all dropped.

    Whoever dominates a point comes before it in lexicographic order. So one pass over the distinct
    points in that order, each clearing away everything behind it that it dominates, finds the
    front; the first axis, by which they are sorted, need not be compared.

    Raises:
        ValueError: for points that are no table of numbers, or hold a NaN, which has no order.
    """
    distinct, which = np.unique(_table(points), axis=0, return_inverse=True)
    kept = np.zeros(len(distinct), dtype=np.bool_)
    left = np.arange(len(distinct))
    others = np.ascontiguousarray(distinct.T[1:])       # [axes - 1, n]
    while left.size:
        kept[left[0]] = True
        # Distinct points: no worse on every axis is already better on one.
        dominated = (others[:, 1:] >= others[:, :1]).all(axis=0)
        left, others = left[1:], others[:, 1:]
        if dominated.any():
            left, others = left[~dominated], others[:, ~dominated]
    mask: NDArray[np.bool_] = kept[which.reshape(-1)]
    return mask


def hypervolume(points: ArrayLike, reference: Sequence[float]) -> float:
    """The volume between the points' front and `reference`, a point worse than all that count.

    Exact. For 2 axes it sorts once; every axis more is a sum over slices, which for 3 axes and
    a front of 1,000 points is 1,000 sorted staircases.
    """
    table, corner = _table(points), np.asarray(reference, dtype=float)
    if corner.shape != table.shape[1:]:
        raise ValueError(f"hypervolume: points have {table.shape[1]} axes, "
                         f"the reference {corner.size}")
    table = table[(table < corner).all(axis=1)]  # a point beyond the reference encloses nothing
    return _volume(table[front(table)], corner)


def gains(points: ArrayLike, reference: Sequence[float], first: Sequence[int] = ()) -> list[int]:
    """Places of points, `first` and then each time the one that adds most to the hypervolume; none
    that adds nothing.

    However many are taken from its beginning, they enclose at least 1 - 1/e of what as many can,
    since hypervolume is submodular (G. Nemhauser, L. Wolsey and M. Fisher 1978, "An analysis of
    approximations for maximizing submodular set functions").
    """
    table, taken = _table(points), list(first)
    left = [place for place in np.flatnonzero(front(table)).tolist() if place not in taken]
    whole = hypervolume(table[taken], reference)
    while left:
        volumes = [hypervolume(table[[*taken, place]], reference) for place in left]
        if max(volumes) <= whole * (1 + 1e-9):
            break
        whole = max(volumes)
        taken.append(left.pop(int(np.argmax(volumes))))
    return taken


def hopeless(mine: Curve, rivals: Iterable[Curve], margin_db: float, warm_up: int,
             patience: int) -> bool:
    """Whether one and the same rival shows that this run cannot reach the front.

    Costs are fixed before the first epoch, so a run reaches the front only if it ends above every
    finished run that costs no more on every axis. It is hopeless when one of those was more than
    `margin_db` above it at the same epoch, `patience` epochs running, none of them among the first
    `warm_up`. A dearer rival never stops anyone, nor does an epoch that one of the two lacks.
    """
    last = len(mine.curve)
    first = last - patience
    if patience < 1 or first < warm_up:
        return False
    return any(
        all(theirs <= ours for theirs, ours in zip(rival.costs, mine.costs, strict=True))
        and len(rival.curve) >= last
        and all(rival.curve[epoch] - mine.curve[epoch] > margin_db for epoch in range(first, last))
        for rival in rivals
    )


def _table(points: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(points, dtype=float)
    if table.ndim != 2 or not table.shape[1]:
        raise ValueError(f"points: shape {table.shape}, but a table [points, axes] is wanted")
    if np.isnan(table).any():
        raise ValueError("points: a NaN can be neither better nor worse; leave such points out")
    return table


def _volume(points: NDArray[np.float64], corner: NDArray[np.float64]) -> float:
    """Volume dominated by `points`, all of them below `corner`."""
    if not len(points):
        return 0.0
    if len(corner) == 1:
        return float(corner[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    # From each point to the next, the last to the corner.
    depths = np.diff(points[:, -1], append=corner[-1])
    if len(corner) == 2:
        return float(depths @ (corner[0] - np.minimum.accumulate(points[:, 0])))
    return sum(float(depth) * _volume(points[: k + 1, :-1], corner[:-1])
               for k, depth in enumerate(depths) if depth > 0)
