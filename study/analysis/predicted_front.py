"""Predicted front: at every size the variant that the score surface takes, trained or not.

Sizes are even steps of log cost, from the cheapest variant to the dearest that is wanted. The band
is where the best score within each size lies, from joint draws of the scores of all that may be it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from study.analysis import pareto
from study.analysis.learned import TOLERANCE_DB
from study.analysis.mixture_scores import Floats
from study.analysis.replicates import SCORE, Row, failed_trainings, given, pooled_seed_sd
from study.analysis.score_surface import Coding, Inputs, Surface, Trained
from study.analysis.trials import COSTS, finished
from study.records import Budget, Estimate
from study.space.points import Points, fixed, index_of, of_variants, points
from study.space.searched import TUNED, changes, short, value_of
from study.space.space import Space
from tasnet_core.cost.formulas import totals
from tasnet_core.records import Variant

SIZES = 24  # steps of each cost
FINE_SIZES = 200  # the same, for what is shown
AT_LEAST = 6  # scores of variants, for a front to be predicted
MOST_TRAINED = 300  # variants for the surface, whose time grows with their cube
MOST_SHOWN = 50_000  # points of a space; of a larger one an even sample
SETTINGS = 8  # of the surface's grid, for a look at all points
CONTENDERS = 12  # at each size, that may be the best
DRAWS = 2_000

Places = NDArray[np.int64]


class Sizes(NamedTuple):
    """Limits of cost, and which points are within each."""

    log_costs: Floats  # [costs, points]
    limits: Floats  # [costs, sizes], logarithms

    @classmethod
    def of(cls, some: Points, dearest: Sequence[float], count: int = SIZES,
           also: Sequence[Floats] = ()) -> "Sizes":
        """Up to the `dearest` of each cost, or its least among the points; `also` of other costs.
        """
        costs = np.log([some.parameters, some.macs_per_s, *also])
        least = costs.min(axis=1)
        limits = np.linspace(least, np.maximum(np.log(dearest), least), count)
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


def dearest(space: Space, budget: Budget) -> tuple[float, float]:
    """Of each cost how much is wanted: the budget's, or the reference's if that is less."""
    whole = totals(fixed(space))
    limits = budget.max_parameters, budget.max_macs_per_s
    parameters, macs_per_s = (
        min(own, limit or own) for own, limit in zip(whole, limits, strict=True))
    return parameters, macs_per_s


class Step(NamedTuple):
    """A variant of the predicted front."""

    variant: Variant
    recipe: Mapping[str, Any]  # the tuned fields
    trial: int | None  # None: nobody has trained it
    parameters: int
    macs_per_s: float
    score: Estimate  # SI-SNRi in dB that its trainings have on average
    loss: Estimate | None  # below the reference; None without one
    near: float | None  # probability of being at most TOLERANCE_DB below it


class Band(NamedTuple):
    """The best score within each size, [sizes]."""

    sizes: Floats
    expected: Floats
    low: Floats  # 95 %
    high: Floats


@dataclass(frozen=True)
class PredictedFront:
    """What the trainings of a study say about variants that nobody trained."""

    steps: Mapping[str, Sequence[Step]]  # by cost, cheapest first
    bands: Mapping[str, Band]  # by cost
    variants: int  # of the space, within the budget
    trained: int

    @property
    def untrained(self) -> bool:
        """Whether nobody has trained some of its variants."""
        return any(step.trial is None for steps in self.steps.values() for step in steps)

    @property
    def half_width_db(self) -> float:
        """How far the front is known: half the band, on average over the sizes of all costs."""
        return float(np.mean([(band.high - band.low) / 2 for band in self.bands.values()]))


def name_of(
    step: Step, reference: Variant | None, write: Callable[[Mapping[str, Any]], str] = short
) -> str:
    """What it has otherwise than the reference, as `enqueue` reads it."""
    own = {**asdict(step.variant), **step.recipe}
    base: Mapping[str, Any] = {**(asdict(reference) if reference else {}), **step.recipe}
    differs = {**changes(own, base), **step.recipe}
    return write(differs) or "reference"


def limited(trained: Trained, most: int) -> Trained:
    """The first, which is the reference, the Pareto-optimal, and the newest: `most` of them and
    one. Of more that are Pareto-optimal than half of that, an even choice."""
    count = len(trained.scores_db)
    if count <= most:
        return trained
    costs = np.log(totals(trained.fields))
    best = np.flatnonzero(pareto.front(np.column_stack([-trained.scores_db, *costs])))
    places = np.linspace(0, len(best) - 1, min(len(best), most // 2)).astype(np.int64)
    newest = np.arange(count - (most - len(places)), count)
    kept = np.unique(np.concatenate([[0], best[places], newest]))
    return trained._replace(
        fields={name: column[kept] for name, column in trained.fields.items()},
        scores_db=trained.scores_db[kept], seeds=trained.seeds[kept])


def trained_of(rows: Sequence[Row], score: str = SCORE) -> Trained:
    """What is known of the finished variants, rows of `replicates.per_trial`, but for trainings
    that failed and a network that was given; of very many the `limited`."""
    failed = failed_trainings(rows)
    known = [row for row in finished(rows) if row not in failed and not given(row)]
    spread = pooled_seed_sd(known)
    sd_db, freedom = spread or (0.0, 0)
    return limited(Trained(
        of_variants([Variant.of(row) for row in known], [recipe_fields(row) for row in known]),
        np.array([row[score] for row in known], dtype=float),
        np.array([row.get("seeds", 1) for row in known], dtype=float),
        sd_db**2 * freedom, freedom), MOST_TRAINED)


def predicted_front(
    space: Space, budget: Budget, rows: Sequence[Row], score: str = SCORE
) -> PredictedFront | None:
    """From the finished variants, rows of `replicates.per_trial`; None where they are too few, or
    where nothing of the space is within the budget."""
    pool = shown_points(space, budget)
    trained = trained_of(rows, score)
    if len(trained.scores_db) < AT_LEAST or not len(pool):
        return None
    coding = Coding.of(fixed(space), trained.fields, pool.fields)
    surface, inputs = Surface(coding, trained), coding.inputs(pool.fields)
    ends = dearest(space, budget)
    sizes = Sizes.of(pool, ends, FINE_SIZES)
    # Which are taken; the likeliest settings suffice, and 100,000 points take seconds.
    mean, variance = surface.simplified(SETTINGS).predict(inputs)
    best = sizes.best(mean)
    contenders = _contenders(Sizes.of(pool, ends), mean, np.sqrt(variance))
    places = np.unique(np.concatenate([best, contenders]))
    known = _Known.of(space, pool, places, surface, rows, score)
    of_contenders = Sizes(sizes.log_costs[:, places], sizes.limits)
    halves = np.split(places[of_contenders.best(known.mean[:-1])], len(COSTS))
    return PredictedFront(
        steps={cost: [known.step(int(place)) for place in dict.fromkeys(half.tolist())]
               for cost, half in zip(COSTS, halves, strict=True)},
        bands=known.bands(sizes), variants=len(pool), trained=len(trained.scores_db))


def shown_points(space: Space, budget: Budget) -> Points:
    """The points within the budget; of very many an even sample."""
    count = len(space)
    some = np.unique(np.linspace(0, count - 1, min(count, MOST_SHOWN)).astype(np.int64))
    return points(space, some).within(budget)


def foretold(
    space: Space, rows: Sequence[Row], indices: Sequence[int], score: str = SCORE
) -> list[Step]:
    """The points with these indices, as the finished variants foretell them."""
    pool, trained = points(space, np.unique(indices)), trained_of(rows, score)
    surface = Surface(Coding.of(fixed(space), trained.fields, pool.fields), trained)
    known = _Known.of(space, pool, np.arange(len(pool)), surface, rows, score)
    return [known.step(int(np.searchsorted(pool.indices, index))) for index in indices]


class _Known(NamedTuple):
    """The joint distribution of the scores of the contenders, the reference last."""

    space: Space
    pool: Points
    places: Places  # in the pool, of the contenders
    mean: Floats
    covariance: Floats
    surface: Surface
    trials: Mapping[int, int]  # by index of the point
    has_reference: bool
    given_db: float | None  # of a reference that was given: measured once, the same with any seed

    @classmethod
    def of(cls, space: Space, pool: Points, places: Places, surface: Surface,
           rows: Sequence[Row], score: str) -> "_Known":
        inputs = surface.coding.inputs(pool.fields).only(places)
        reference = {name: np.array([value]) for name, value in fixed(space).items()}
        both = zip(inputs, surface.coding.inputs(reference), strict=True)
        joint = surface.joint(Inputs(*(np.concatenate([part, own]) for part, own in both)))
        trials = {index: row["trial"] for row in rows if row["state"] == "complete"
                  and (index := index_of_row(space, row)) is not None}
        reference_row = next((row for row in rows if row["trial"] == 0), None)
        given_db = reference_row[score] if reference_row and given(reference_row) else None
        return cls(space, pool, places, *joint, surface, trials, reference_row is not None,
                   given_db)

    def step(self, place: int) -> Step:
        own = int(np.searchsorted(self.places, place))
        asked = self.space.point(int(self.pool.indices[place]))
        variant = self.space.variant_of(asked)
        recipe = self.space.recipe_of(asked, self.space.recipe)
        loss, near = None, None
        if self.has_reference:
            same = variant == self.space.reference and self.given_db is None
            loss, near = self.against_reference(own, same)
        return Step(
            variant, {name: getattr(recipe, name) for name in TUNED if name in self.space.choices},
            self.trials.get(int(self.pool.indices[place])),
            int(self.pool.parameters[place]), float(self.pool.macs_per_s[place]),
            self.estimate(self.mean[own], self.covariance[own, own]), loss, near)

    def against_reference(self, own: int, same: bool) -> tuple[Estimate, float]:
        if same:
            return Estimate(0.0, 0.0, 0.0), 1.0
        if self.given_db is None:
            loss = self.mean[-1] - self.mean[own]
            both = (self.covariance[own, own] + self.covariance[-1, -1]
                    - 2 * self.covariance[own, -1])
        else:
            loss, both = self.given_db - self.mean[own], self.covariance[own, own]
        sd = np.sqrt(max(both, 1e-12))
        near = scipy.stats.t.cdf((TOLERANCE_DB - loss) / sd, self.surface.degrees)
        return self.estimate(loss, both), float(near)

    def estimate(self, value: float, variance: float) -> Estimate:
        reach = self.surface.quantile * np.sqrt(max(variance, 0.0))
        return Estimate(float(value), float(value - reach), float(value + reach))

    def bands(self, sizes: Sizes) -> dict[str, Band]:
        """The band of each cost, from joint draws."""
        count = len(self.places)
        draws = scipy.stats.multivariate_t(
            self.mean[:count], self.covariance[:count, :count], df=self.surface.degrees,
            allow_singular=True).rvs(DRAWS, random_state=np.random.default_rng(0))
        found = {}
        for name, costs, limits in zip(COSTS, sizes.log_costs, sizes.limits, strict=True):
            order = np.argsort(costs[self.places], kind="stable")
            last = np.searchsorted(costs[self.places][order], limits, side="right") - 1
            best = np.maximum.accumulate(draws.reshape(DRAWS, count)[:, order], axis=1)[:, last]
            low, high = np.quantile(best, (0.025, 0.975), axis=0)
            expected = np.maximum.accumulate(self.mean[:count][order])[last]
            found[name] = Band(np.exp(limits), expected, low, high)
        return found


def _contenders(sizes: Sizes, mean: Floats, sd: Floats) -> Places:
    """At each size the variants most likely to be the best, as expected and by their chance."""
    found = []
    for costs, limits in zip(sizes.log_costs, sizes.limits, strict=True):
        for limit in limits:
            within = np.flatnonzero(costs <= limit)
            for hope in (mean[within], (mean + sd)[within]):
                found.append(within[np.argsort(-hope, kind="stable")[:CONTENDERS]])
    return np.unique(np.concatenate(found))


def index_of_row(space: Space, row: Row) -> int | None:
    """The index of a row's point; None where the space has no such point."""
    recipe = replace(space.recipe, **recipe_fields(row))
    parameters = space.parameters_of(Variant.of(row), recipe)
    return None if parameters is None else index_of(space, parameters)


def recipe_fields(row: Row) -> dict[str, Any]:
    """The fields of a row's recipe that a space may tune."""
    return {name: value_of(row, name) for name in TUNED}
