"""Proposals: which trainings would say most about the predicted front.

What a training would say is, by turns, by how much the predicted front is expected to rise once its
score is known (the knowledge gradient over the sizes; Frazier, Powell and Dayanik 2009, The
knowledge-gradient policy for correlated normal beliefs), and by how much less uncertain the front's
own scores are. The first finds better fronts, the second knows those found; by turns they do both
(benchmarks/RESULTS.md).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from study.analysis.mixture_scores import Floats
from study.analysis.predicted_front import (
    AT_LEAST,
    Places,
    Sizes,
    Step,
    dearest,
    foretold,
    index_of_row,
    limited,
    recipe_fields,
    trained_of,
)
from study.analysis.replicates import SCORE, VALID, Row
from study.analysis.score_surface import Coding, Inputs, Surface, Trained
from study.analysis.trials import finished
from study.records import Budget
from study.space.points import Columns, Points, fixed, of_variants, points
from study.space.space import Space
from tasnet_core.records import Variant

MOST_POINTS = 3_000  # of a space at once; of a larger one a sample, and what is near the front
CANDIDATES = 240  # of which the gains are computed
SETTINGS = 3  # of the surface's grid, for the same
MOST_TRAINED = 150  # variants for the surface, for the same
OUTCOMES = 5  # of a training, equally likely


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
    outcomes = scipy.stats.norm.ppf((np.arange(OUTCOMES) + 0.5) / OUTCOMES)     # in sds
    rise = np.zeros(len(candidates))
    for costs, limits in zip(sizes.log_costs, sizes.limits, strict=True):
        order = np.argsort(costs, kind="stable")
        last = np.searchsorted(costs[order], limits, side="right") - 1
        for outcome in outcomes:
            after = mean[order, None] + outcome * moves[order]
            rise += np.maximum.accumulate(after)[last].sum(axis=0) / OUTCOMES
        rise -= np.maximum.accumulate(mean[order])[last].sum()
    return Gains(rise, (moves[sizes.best(mean)] ** 2).sum(axis=0))


def proposals(
    space: Space,
    budget: Budget,
    trained: Trained,
    tried: Collection[int] | Places,
    rng: np.random.Generator,
    pending: Columns | None = None,
    count: int = 1,
) -> list[int]:
    """Indices of the points of a space whose trainings would say most, one after the other.

    `trained` has two variants or more, `tried` the indices that are not proposed again, `pending`
    the variants in training, which count as trained with the score that is expected of them. Fewer
    where fewer are left within the budget.
    """
    trained = limited(trained, MOST_TRAINED)
    found: list[int] = []
    for _ in range(count):
        surface, pool, inputs = _around(space, budget, trained, pending, rng)
        sizes = sizes_of(space, budget, pool)
        free = ~np.isin(pool.indices, [*tried, *found])
        if not free.any():
            break
        places, candidates = _contenders(surface, inputs, sizes, free, rng)
        some = Sizes(sizes.log_costs[:, places], sizes.limits)
        known = gains(surface, inputs.only(places), some, candidates)
        # By the count of all that was tried, which is the same after a restart.
        by_turns = known.rise_db if (len(tried) + len(found)) % 2 else known.variance
        best = int(places[candidates[int(np.argmax(by_turns))]])
        found.append(int(pool.indices[best]))
        own = {name: column[[best]] for name, column in pool.fields.items()}
        pending = joined(pending, own) if pending else own
    return found


def suggestions(
    space: Space,
    budget: Budget,
    rows: Sequence[Row],
    count: int,
    queued: Sequence[tuple[Variant, Mapping[str, Any]]] = (),
) -> list[Step]:
    """The trainings that would say most, as the finished ones foretell them; none where too few are
    finished.

    Rows are those of `replicates.per_trial`, with all that is running; `queued` are the variants
    that come next, with the tuned fields of their recipes. The choice is by scores on the
    validation mixtures, where all rows have one; what is foretold are scores on the test set.
    """
    known = finished(rows)
    if len(known) < AT_LEAST:
        return []
    score = VALID if all(row.get(VALID) is not None for row in known) else SCORE
    running = [row for row in rows if row["state"] == "running"]
    variants = [*(Variant.of(row) for row in running), *(variant for variant, _ in queued)]
    recipes = [*(recipe_fields(row) for row in running), *(recipe for _, recipe in queued)]
    pending = of_variants(variants, recipes) if variants else None
    tried = {index for row in [*rows, *(
        {**vars(variant), **recipe} for variant, recipe in queued)]
        if (index := index_of_row(space, row)) is not None}
    rng = np.random.default_rng(len(known))
    found = proposals(space, budget, trained_of(rows, score), tried, rng, pending, count)
    return foretold(space, rows, found)


def sizes_of(space: Space, budget: Budget, pool: Points) -> Sizes:
    """Steps of parameters and MACs, and of the costs on devices that are objectives."""
    costs = [budget.column(axis, pool) for axis in budget.weighed]
    ends = [min(budget.on(space.reference)[axis].value, budget.on_devices.get(axis, np.inf))
            for axis in budget.weighed]
    return Sizes.of(pool, [*dearest(space, budget), *ends], also=costs)


def joined(one: Columns, other: Columns) -> Columns:
    return {name: np.concatenate([column, other[name]]) for name, column in one.items()}


def believed(surface: Surface, trained: Trained, pending: Columns) -> Trained:
    """With the pending variants at the scores that are expected of them."""
    expected, _ = surface.predict(surface.coding.inputs(pending))
    return trained._replace(
        fields=joined(trained.fields, pending),
        scores_db=np.concatenate([trained.scores_db, expected]),
        seeds=np.concatenate([trained.seeds, np.ones(len(expected))]))


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
            mean, _ = surface.simplified(1).predict(inputs)
            front = np.unique(sizes_of(space, budget, pool).best(mean))
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
