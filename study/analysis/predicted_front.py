"""Predicted front: at every size the variant that the score surface takes, trained or not; and
which trainings would say most about it.

Sizes are even steps of log cost, from the cheapest variant to the dearest that is wanted, of
parameters and of MACs. What a training would say is, by turns, by how much the predicted front is
expected to rise once its score is known (the knowledge gradient over the sizes; Frazier, Powell and
Dayanik 2009, The knowledge-gradient policy for correlated normal beliefs), and by how much less
uncertain the front's own scores are. The first finds better fronts, the second knows those found;
by turns they do both (benchmarks/RESULTS.md).
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from study.analysis import pareto
from study.analysis.mixture_scores import Floats
from study.analysis.score_surface import Coding, Inputs, Surface, Trained
from study.records import Budget
from study.space.points import Columns, Points, fixed, points
from study.space.space import Space
from tasnet_core.cost.formulas import totals

COSTS = ("parameters", "macs_per_s")
SIZES = 24  # steps of each cost
MOST_POINTS = 3_000  # of a space at once; of a larger one a sample, and what is near the front
CANDIDATES = 240  # of which the knowledge gradient is computed
SETTINGS = 3  # of the surface's grid, for the same
MOST_TRAINED = 200  # variants for the surface, for the same
OUTCOMES = stats.norm.ppf((np.arange(5) + 0.5) / 5)  # of a training, equally likely, in sds

Places = NDArray[np.int64]


class Sizes(NamedTuple):
    """Limits of cost, and which points are within each."""

    log_costs: Floats  # [costs, points]
    limits: Floats  # [costs, sizes], logarithms

    @classmethod
    def of(cls, some: Points, dearest: Sequence[float]) -> "Sizes":
        """Up to the `dearest` of each cost, or its least among the points."""
        costs = np.log([some.parameters, some.macs_per_s])
        least = costs.min(axis=1)
        limits = np.linspace(least, np.maximum(np.log(dearest), least), SIZES)
        return cls(costs, limits.T + 1e-9)

    def best(self, scores: Floats) -> Places:
        """At each size of each cost, the place of the point with the highest score."""
        found = [_best_within(costs, limits, scores)
                 for costs, limits in zip(self.log_costs, self.limits, strict=True)]
        return np.concatenate(found)


def _best_within(costs: Floats, limits: Floats, scores: Floats) -> Places:
    order = np.argsort(costs, kind="stable")
    ranked = scores[order]
    record = np.maximum.accumulate(ranked)
    holder = np.maximum.accumulate(np.where(ranked >= record, np.arange(len(order)), 0))
    last = np.searchsorted(costs[order], limits, side="right") - 1
    found: Places = order[holder[last]]
    return found


class Gains(NamedTuple):
    """What the trainings of some candidates would say of the predicted front, [candidates]."""

    rise_db: Floats  # by how much it is expected to rise, summed over the sizes
    variance: Floats  # by how much less uncertain the scores of its variants are, likewise, in dB²


def gains(surface: Surface, inputs: Inputs, sizes: Sizes, candidates: Sequence[int]) -> Gains:
    """Of a training of each candidate; these are places in the inputs."""
    mean, covariance = surface.joint(inputs)
    own = np.diag(covariance)[candidates]
    # By how much a score one standard deviation above what was expected moves all others.
    moves = covariance[:, candidates] / np.sqrt(own + surface.noise_variance)
    rise = np.zeros(len(candidates))
    for costs, limits in zip(sizes.log_costs, sizes.limits, strict=True):
        order = np.argsort(costs, kind="stable")
        last = np.searchsorted(costs[order], limits, side="right") - 1
        for outcome in OUTCOMES:
            after = mean[order, None] + outcome * moves[order]
            rise += np.maximum.accumulate(after)[last].sum(axis=0) / len(OUTCOMES)
        rise -= np.maximum.accumulate(mean[order])[last].sum()
    return Gains(rise, (moves[sizes.best(mean)] ** 2).sum(axis=0))


def proposals(
    space: Space,
    budget: Budget,
    trained: Trained,
    tried: Collection[int],
    rng: np.random.Generator,
    pending: Columns | None = None,
    count: int = 1,
) -> list[int]:
    """Indices of the points of a space whose trainings would say most, one after the other.

    `trained` has two variants or more, `tried` the indices that are not proposed again, `pending`
    the variants in training, which count as trained with the score that is expected of them. Fewer
    where fewer are left within the budget.
    """
    trained = _limited(trained)
    found: list[int] = []
    for _ in range(count):
        surface, pool, inputs = _around(space, budget, trained, pending, rng)
        sizes = Sizes.of(pool, dearest(space, budget))
        free = ~np.isin(pool.indices, [*tried, *found])
        if not free.any():
            break
        places, candidates = _contenders(surface, inputs, sizes, free, rng)
        some = Sizes(sizes.log_costs[:, places], sizes.limits)
        known = gains(surface, inputs.only(places), some, candidates)
        # By turns, also where both come from the same trainings: see the module's docstring.
        by_turns = known.rise_db if len(surface.inputs.octaves) % 2 else known.variance
        best = int(places[candidates[int(np.argmax(by_turns))]])
        found.append(int(pool.indices[best]))
        own = {name: column[[best]] for name, column in pool.fields.items()}
        pending = joined(pending, own) if pending else own
    return found


def dearest(space: Space, budget: Budget) -> tuple[float, float]:
    """Of each cost how much is wanted: the budget's, or the reference's if that is less."""
    whole = totals(fixed(space))
    limits = budget.max_parameters, budget.max_macs_per_s
    parameters, macs_per_s = (
        min(own, limit or own) for own, limit in zip(whole, limits, strict=True))
    return parameters, macs_per_s


def joined(one: Columns, other: Columns) -> Columns:
    return {name: np.concatenate([column, other[name]]) for name, column in one.items()}


def believed(surface: Surface, trained: Trained, pending: Columns) -> Trained:
    """With the pending variants at the scores that are expected of them."""
    expected, _ = surface.predict(surface.coding.inputs(pending))
    return trained._replace(
        fields=joined(trained.fields, pending),
        scores_db=np.concatenate([trained.scores_db, expected]),
        seeds=np.concatenate([trained.seeds, np.ones(len(expected))]))


def _limited(trained: Trained) -> Trained:
    """The Pareto-optimal and the newest, as many as a proposal has time for."""
    count = len(trained.scores_db)
    if count <= MOST_TRAINED:
        return trained
    costs = np.log(totals(trained.fields))
    best = np.flatnonzero(pareto.front(np.column_stack([-trained.scores_db, *costs])))
    kept = np.union1d(best, np.arange(count - MOST_TRAINED, count))[-2 * MOST_TRAINED:]
    return trained._replace(
        fields={name: column[kept] for name, column in trained.fields.items()},
        scores_db=trained.scores_db[kept], seeds=trained.seeds[kept])


def _around(
    space: Space,
    budget: Budget,
    trained: Trained,
    pending: Columns | None,
    rng: np.random.Generator,
) -> tuple[Surface, Points, Inputs]:
    """The surface, and the points of the space that it is looked at: all, or where there are too
    many a sample and what lies around its front."""
    pool = _pool(space, budget, rng)
    coding = Coding.of(fixed(space), trained.fields, pool.fields)
    surface = Surface(coding, trained).simplified(SETTINGS)
    if pending:
        surface = Surface(coding, believed(surface, trained, pending)).simplified(SETTINGS)
    inputs = coding.inputs(pool.fields)
    if len(pool) < len(space):
        for _ in range(2):
            mean, _ = surface.predict(inputs)
            front = np.unique(Sizes.of(pool, dearest(space, budget)).best(mean))
            near = neighbours(space, pool.indices[front])
            pool = points(space, np.union1d(pool.indices, near)).within(budget)
            inputs = coding.inputs(pool.fields)
    return surface, pool, inputs


def _pool(space: Space, budget: Budget, rng: np.random.Generator) -> Points:
    """All points within the budget; of too many some, the more the nearer to all corners."""
    size = len(space)
    if size <= MOST_POINTS:
        return points(space, np.arange(size)).within(budget)
    counts = np.array([len(axis.numbers) for axis in space.axes.values()])
    shares = rng.random((MOST_POINTS, len(counts))) ** rng.choice([1 / 3, 1, 3], (MOST_POINTS, 1))
    places = (shares * counts).astype(np.int64)
    corner = np.zeros((1, len(counts)), dtype=np.int64)
    indices = np.ravel_multi_index(np.vstack([corner, places, counts - 1]).T, counts)
    return points(space, np.unique(indices)).within(budget)


def neighbours(space: Space, indices: Places) -> Places:
    """The points that differ from these by one step on one axis."""
    counts = [len(axis.numbers) for axis in space.axes.values()]
    places = np.array(np.unravel_index(indices, counts))
    found = []
    for axis, count in enumerate(counts):
        for step in (-1, 1):
            moved = places.copy()
            moved[axis] += step
            inside = (moved[axis] >= 0) & (moved[axis] < count)
            found.append(np.ravel_multi_index(moved[:, inside], counts))
    near: Places = np.unique(np.concatenate(found))
    return near


def _contenders(
    surface: Surface, inputs: Inputs, sizes: Sizes, free: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[Places, list[int]]:
    """Places of points that may be on the front, and which of them may be trained: at each size the
    best as expected and with the chance of being better, the others by chance."""
    mean, variance = surface.predict(inputs)
    hope = mean + np.sqrt(variance)
    front = np.unique([sizes.best(mean), sizes.best(hope)])
    open_to = np.where(free, 0.0, -np.inf)
    near = np.unique([sizes.best(mean + open_to), sizes.best(hope + open_to)])
    near = near[free[near]]
    others = np.setdiff1d(np.flatnonzero(free), near)
    more = rng.choice(others, min(len(others), CANDIDATES - len(near)), replace=False)
    places = np.unique(np.concatenate([front, near, more]))
    return places, [place for place, one in enumerate(places) if free[one]]
