"""Within limits of cost: of all variants of a space the one with the best predicted score.

Parameters and MACs are exact. Other costs of a variant that was not measured come from a fit to
those that were (`device_fit`); the chance that it is within a limit is that of a normal error of
the logarithm, as large as that of variants left out.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy

from study.analysis.device_fit import DeviceFit, fit
from study.analysis.predicted_front import (
    SETTINGS,
    Step,
    foretold,
    index_of_row,
    shown_points,
    trained_of,
)
from study.analysis.replicates import Row, number
from study.analysis.score_surface import Coding, Surface
from study.analysis.trials import COSTS, finished
from study.records import Budget
from study.space.points import fixed
from study.space.space import Space

SURE = 0.8  # the chance of being within limits from which a variant is recommended


class Fitting(NamedTuple):
    """The variant that is taken within some limits."""

    step: Step
    chance: float  # of being within all of them
    variants: int  # of the space, within the limits that are exact


def best_within(
    space: Space, budget: Budget, rows: Sequence[Row], limits: Mapping[str, float]
) -> Fitting | None:
    """From the finished variants, rows of `replicates.per_trial`; None where nothing is likely to
    be within the limits, or a cost can be foretold for nobody."""
    known = finished(rows)
    fits = {axis: fit(known, axis) for axis in limits if axis not in COSTS}
    if None in fits.values() or len(known) < 2:
        return None
    pool = shown_points(space, budget)
    inside = np.ones(len(pool), dtype=bool)
    for axis in (axis for axis in COSTS if axis in limits):
        inside &= getattr(pool, axis) <= limits[axis]
    trained = trained_of(rows)
    coding = Coding.of(fixed(space), trained.fields, pool.fields)
    surface = Surface(coding, trained).simplified(SETTINGS)
    mean, _ = surface.predict(coding.inputs(pool.fields))
    measured = {index: row for row in known if (index := index_of_row(space, row)) is not None}
    for place in sorted(np.flatnonzero(inside).tolist(), key=lambda place: -mean[place]):
        index = int(pool.indices[place])
        variant = space.variant_of(space.point(index))
        row = {**vars(variant), **{axis: float(getattr(pool, axis)[place]) for axis in COSTS}}
        chance = math.prod(_chance(found, limits[axis], row, measured.get(index, {}))
                           for axis, found in fits.items() if found)
        if chance >= SURE:
            [step] = foretold(space, rows, [index])
            return Fitting(step, chance, int(inside.sum()))
    return None


def _chance(found: DeviceFit, limit: float, row: Row, measured: Row) -> float:
    """That a variant's cost is within the limit: sure where it was measured."""
    known = number(measured.get(found.axis))
    if known is not None:
        return float(known <= limit)
    off = math.log(limit / found.cost(row))
    sd = math.log1p(found.error)
    return float(scipy.stats.norm.cdf(off / sd)) if sd else float(off >= 0)
