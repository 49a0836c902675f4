"""Many variants of a space at once, as arrays: their hyperparameters and exact costs.

A model of scores looks at every variant of a space, or at thousands drawn from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.records import Budget
from study.space.searched import DEFAULTS, TUNED
from study.space.space import Axis, Space
from tasnet_core.cost.formulas import totals
from tasnet_core.records import Variant

Columns = Mapping[str, NDArray[Any]]  # by field of a variant or a recipe, [points]


class Points(NamedTuple):
    """Points of a space, by their index (`Space.point`)."""

    indices: NDArray[np.int64]  # [points]
    fields: Columns
    parameters: NDArray[np.float64]  # [points]
    macs_per_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.indices)

    def within(self, budget: Budget) -> "Points":
        """Those that cost no more than the budget."""
        fits = self.parameters <= (budget.max_parameters or np.inf)
        fits &= self.macs_per_s <= (budget.max_macs_per_s or np.inf)
        for axis, limit in budget.on_devices.items():
            fits &= budget.column(axis, self) <= limit
        fields = {name: column[fits] for name, column in self.fields.items()}
        return Points(self.indices[fits], fields, self.parameters[fits], self.macs_per_s[fits])


def points(space: Space, indices: NDArray[np.int64]) -> Points:
    """The points with these indices."""
    axes = space.axes
    places = np.unravel_index(indices, [len(axis.numbers) for axis in axes.values()])
    fields: dict[str, NDArray[Any]] = {
        name: np.full(len(indices), value) for name, value in fixed(space).items()}
    for (name, axis), place in zip(axes.items(), places, strict=True):
        for field, values in _values(name, axis).items():
            fields[field] = values[place]
    parameters, macs_per_s = totals(fields)
    return Points(indices, fields, np.asarray(parameters, float), np.asarray(macs_per_s, float))


def of_variants(variants: Sequence[Variant], recipes: Iterable[Mapping[str, Any]]) -> Columns:
    """The columns of these variants, trained by recipes of which the tuned fields are given."""
    rows = [{**vars(variant), **recipe}
            for variant, recipe in zip(variants, recipes, strict=True)]
    return {name: np.array([row.get(name, default) for row in rows])
            for name, default in DEFAULTS.items()}


def index_of(space: Space, parameters: Mapping[str, int]) -> int:
    """The inverse of `Space.point`."""
    return int(indices_of(space, [parameters])[0])


def indices_of(space: Space, some: Sequence[Mapping[str, int]]) -> NDArray[np.int64]:
    """Those of many points of the space."""
    ranges = space.ranges()
    asked = np.array([[one[name] for name in ranges] for one in some], dtype=np.int64)
    starts = [numbers.start for numbers in ranges.values()]
    steps = [numbers.step for numbers in ranges.values()]
    places = (asked.reshape(-1, len(ranges)) - starts) // steps
    counts = [len(numbers) for numbers in ranges.values()]
    found: NDArray[np.int64] = np.ravel_multi_index(places.T, counts)
    return found


def fixed(space: Space) -> dict[str, Any]:
    """The reference's fields, and the tuned ones of its recipe."""
    return {**asdict(space.reference),
            **{name: getattr(space.recipe, name) for name in TUNED}}


def _values(name: str, axis: Axis) -> dict[str, NDArray[Any]]:
    """The fields that an axis decides, each with its value at each place of the axis."""
    if not isinstance(axis.values[0], Variant):
        return {name: np.array(axis.values)}
    listed = [asdict(variant) for variant in axis.values]
    return {field: np.array([one[field] for one in listed]) for field in listed[0]}
