"""A study's budget with what its variants cost on devices: measured, or predicted from what was.

A prediction is that of `device_fit`, from the measured variants of the reference's norm and
causality: others grow by another law.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.analysis.cost_axes import device_of, is_latency
from study.analysis.device_fit import LEAST, DeviceFit, fit
from study.analysis.replicates import Row, number
from study.records import Budget, OnDevice, Settings
from study.space.points import Points
from tasnet_core.cost.formulas import exact
from tasnet_core.errors import UserError, counted
from tasnet_core.records import Variant

KIND = ("norm", "causal")   # of a variant, whose costs grow by one law


class AxisCosts(NamedTuple):
    """What variants cost on one axis of a device."""

    fit: DeviceFit
    measured: Mapping[Variant, float]   # inf: the device does not keep up with it

    def of(self, variant: Variant) -> OnDevice:
        if variant in self.measured:
            return OnDevice(self.measured[variant])
        if is_latency(self.fit.axis) and not variant.causal:
            return OnDevice(math.inf)
        cost = exact(variant)
        row = {**vars(variant), "parameters": cost.parameters, "macs_per_s": cost.macs_per_s}
        return OnDevice(self.fit.cost(row), self.fit.error)

    def column(self, points: Points) -> NDArray[np.float64]:
        exact_costs = {"parameters": points.parameters, "macs_per_s": points.macs_per_s}
        found = self.fit.costs({**points.fields, **exact_costs})
        if is_latency(self.fit.axis):
            found[~points.fields["causal"].astype(bool)] = math.inf
        for variant, cost in self.measured.items():
            found[_places_of(variant, points)] = cost
        return found


def _places_of(variant: Variant, points: Points) -> NDArray[np.int64]:
    places = np.arange(len(points))
    for one in fields(variant):
        places = places[points.fields[one.name][places] == getattr(variant, one.name)]
    return places


@dataclass(frozen=True)
class DeviceBudget(Budget):
    """The budget of a study that has axes of devices, as objectives or with a limit."""

    axes: Mapping[str, AxisCosts] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()

    @property
    def weighed(self) -> tuple[str, ...]:
        return self.objectives

    def on(self, variant: Variant) -> Mapping[str, OnDevice]:
        return {axis: costs.of(variant) for axis, costs in self.axes.items()}

    def column(self, axis: str, points: Points) -> NDArray[np.float64]:
        return self.axes[axis].column(points)


def budget_on_devices(settings: Settings, reference: Variant, rows: Sequence[Row],
                      shown: str) -> Budget:
    """The budget of a study; `rows` are the measured variants of its database, which is `shown` so.

    Raises:
        UserError: a device has measured nothing, or too little to predict the others.
    """
    axes = {axis: _axis_costs(axis, reference, rows, shown) for axis in settings.device_axes}
    if not axes:
        return settings.budget
    weighed = tuple(axis for axis in settings.objectives if axis in axes)
    return DeviceBudget(**vars(settings.budget), axes=axes, objectives=weighed)


def _axis_costs(axis: str, reference: Variant, rows: Sequence[Row], shown: str) -> AxisCosts:
    device = device_of(axis)
    devices = sorted({device_of(name) for row in rows for name in row if "@" in name})
    if device not in devices:
        raise UserError(
            f"{axis}: {shown} has no measurement of a device {device!r}, only of "
            f"{', '.join(devices) or 'none'}; bring one in with: python -m study measured "
            f"measured.json --device {device}")
    streams = is_latency(axis)
    if streams and not reference.causal:
        raise UserError(f"{axis}: networks that are not causal cannot stream, so they have no "
                        "latency; choose a causal space, such as --space causal, or another axis")
    known = {Variant.of(row): row for row in rows if axis in row}
    alike = [row for variant, row in known.items()
             if all(getattr(variant, name) == getattr(reference, name) for name in KIND)]
    found = fit(alike, axis)
    if found is None:
        kind = " ".join(f"{name}={str(getattr(reference, name)).lower()}" for name in KIND)
        usable = sum(number(row[axis]) is not None for row in alike)
        raise UserError(
            f"{axis}: {counted(usable, 'variant')} with {kind} measured, from which others cannot "
            f"be predicted; measure {LEAST} or more of different sizes: python -m study bundle")
    return AxisCosts(found, {variant: _or_never(row[axis]) for variant, row in known.items()
                             if streams or number(row[axis]) is not None})


def _or_never(value: float | None) -> float:
    return math.inf if value is None else value
