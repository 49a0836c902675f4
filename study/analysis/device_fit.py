"""What a variant that a device has not measured would cost there, from those that it has.

    cost = base + exp(a) · MACs^b · parameters^c · frames^d · blocks^e

with those of the factors, and with a base or without, that predict best what is left out: each
measured variant in turn is predicted from the others, and of all models that come within a tenth
of the least such error the one with the fewest coefficients is taken. `base` is what every process
takes, such as the memory of the runtime; it is a share of the least cost measured.
"""

import math
from collections.abc import Callable, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.analysis.cost_axes import device_of, of_devices
from study.analysis.replicates import Row, number
from study.space.searched import value_of

LEAST = 4       # variants that a fit needs, and two more than its coefficients
BASES = (0.0, 0.25, 0.5, 0.75, 0.9)     # as shares of the least cost
CLOSE = 1.1     # times the least error
NOTHING = 1e-3  # of error
STEEPEST = 2.0  # power; factors that grow together otherwise get large ones that cancel out

FACTORS: dict[str, Callable[[Row], float]] = {
    "MACs": lambda row: float(row["macs_per_s"]),
    "parameters": lambda row: float(row["parameters"]),
    "frames": lambda row: 2 * value_of(row, "sample_rate_hz") / value_of(row, "L"),
    "blocks": lambda row: float(value_of(row, "X") * value_of(row, "R"))}


class DeviceFit(NamedTuple):
    """The cost on one axis of a device, fitted."""

    axis: str
    factors: tuple[str, ...]
    coefficients: tuple[float, ...]     # a, then the powers
    base: float
    error: float        # typical, of a variant that was left out: 0.1 is a tenth
    variants: int       # measured

    def cost(self, row: Row) -> float:
        """Of a variant, which need not have been measured."""
        a, *powers = self.coefficients
        logs = (math.log(FACTORS[name](row)) for name in self.factors)
        return self.base + math.exp(a + sum(p * x for p, x in zip(powers, logs, strict=True)))


def fit(rows: Sequence[Row], axis: str) -> DeviceFit | None:
    """The fit of an axis to the variants that have a number there, a row each; None for too few."""
    known = [row for row in rows if number(row.get(axis)) is not None]
    if len(known) < LEAST:
        return None
    costs = np.array([row[axis] for row in known], float)
    varying = [name for name, of in FACTORS.items() if len({of(row) for row in known}) > 1]
    models = [made for names in _subsets(varying, len(known) - 2) for share in BASES
              if (made := _model(axis, known, costs, names, share * costs.min()))]
    if not models:
        return None
    least = min(model.error for model in models)
    close = [model for model in models if model.error <= CLOSE * least + NOTHING]
    return min(close, key=lambda model: (len(model.factors) + (model.base > 0), model.error))


def _subsets(names: Sequence[str], coefficients: int) -> list[tuple[str, ...]]:
    """Every choice of factors with at most so many coefficients, the one before the powers too."""
    return list(chain.from_iterable(
        combinations(names, count) for count in range(1, min(len(names), coefficients - 1) + 1)))


def _model(axis: str, rows: Sequence[Row], costs: NDArray[np.float64], names: tuple[str, ...],
           base: float) -> DeviceFit | None:
    """Least squares of logarithms; None where the factors do not tell the variants apart, or a
    power is none that a cost can grow by."""
    design = np.array([[1.0, *(math.log(FACTORS[name](row)) for name in names)] for row in rows])
    logs = np.log(costs - base)
    coefficients, _, rank, _ = np.linalg.lstsq(design, logs, rcond=None)
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    grows = all(0 <= power <= STEEPEST for power in coefficients[1:])
    if rank < design.shape[1] or leverage.max() > 1 - 1e-9 or not grows:
        return None
    # Of least squares the residual of a row that was left out follows from that of the fit.
    left_out = base + np.exp(logs - (logs - design @ coefficients) / (1 - leverage))
    error = math.expm1(math.sqrt(float(np.mean(np.log(left_out / costs) ** 2))))
    return DeviceFit(axis, names, tuple(map(float, coefficients)), float(base), error, len(rows))


def fits_of(rows: Sequence[Row]) -> dict[str, DeviceFit]:
    """By axis, the fits to the variants of these rows, of which a variant may have several."""
    variants = list({row["variant"]: row for row in rows}.values())
    return {axis: found for axis in of_devices(variants) if (found := fit(variants, axis))}


def with_predictions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The rows with a cost on every axis of a device that has a fit; `predicted` names the devices
    of which a row's costs are no measurements.

    No latency is predicted for a network that cannot stream.
    """
    fits = fits_of(rows)
    found = []
    for row in rows:
        wanted = [axis for axis in fits if number(row.get(axis)) is None
                  and not (axis.startswith("latency_ms@") and not row.get("causal"))]
        devices = dict.fromkeys(map(device_of, wanted))
        found.append({**row, **{axis: fits[axis].cost(row) for axis in wanted},
                      "predicted": ", ".join(devices)})
    return found if fits else [dict(row) for row in rows]
