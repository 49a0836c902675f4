"""What a variant that a device has not measured would cost there, from those that it has.

    cost = base + exp(a) · MACs^b · parameters^c · frames^d · blocks^e

with those of the factors, and with a base or without, that predict best what is left out: each
measured variant in turn is predicted from the others, and of all models that come within a tenth
of the least such error the one with the fewest coefficients is taken. `base` is what every process
takes, such as the memory of the runtime; it is a share of the least cost measured.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study.analysis.cost_axes import device_of, is_latency, of_devices
from study.analysis.replicates import Row, number
from study.space.searched import value_of

LEAST = 4       # variants that a fit needs, and two more than its coefficients
BASES = (0.0, 0.25, 0.5, 0.75, 0.9)     # as shares of the least cost
CLOSE = 1.1     # times the least error
NOTHING = 1e-3  # of error
STEEPEST = 2.0  # power; factors that grow together otherwise get large ones that cancel out

Columns = Mapping[str, NDArray[Any]]    # of variants: their hyperparameters and exact costs

FACTORS: dict[str, Callable[[Columns], NDArray[np.float64]]] = {
    "MACs": lambda of: of["macs_per_s"],
    "parameters": lambda of: of["parameters"],
    "frames": lambda of: 2 * of["sample_rate_hz"] / of["L"],
    "blocks": lambda of: of["X"] * of["R"]}


def _columns(rows: Sequence[Row]) -> Columns:
    exact = {name: np.array([row[name] for row in rows], float)
             for name in ("macs_per_s", "parameters")}
    return exact | {name: np.array([value_of(row, name) for row in rows], float)
                    for name in ("sample_rate_hz", "L", "X", "R")}


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
        return float(self.costs(_columns([row]))[0])

    def costs(self, of: Columns) -> NDArray[np.float64]:
        """Of many."""
        a, *powers = self.coefficients
        logs = (np.log(FACTORS[name](of)) for name in self.factors)
        grown = sum(power * log for power, log in zip(powers, logs, strict=True))
        found: NDArray[np.float64] = self.base + np.exp(a + grown)
        return found


def fit(rows: Sequence[Row], axis: str) -> DeviceFit | None:
    """The fit of an axis to the variants that have a number there, a row each; None for too few."""
    known = [row for row in rows if number(row.get(axis)) is not None]
    if len(known) < LEAST:
        return None
    costs = np.array([row[axis] for row in known], float)
    columns = _columns(known)
    factors = {name: np.log(of(columns)) for name, of in FACTORS.items()}
    varying = [name for name, logs in factors.items() if np.ptp(logs) > 0]
    models = [made for names in _subsets(varying, len(known) - 2) for share in BASES
              if (made := _model(axis, {name: factors[name] for name in names}, costs,
                                 share * costs.min()))]
    if not models:
        return None
    least = min(model.error for model in models)
    close = [model for model in models if model.error <= CLOSE * least + NOTHING]
    return min(close, key=lambda model: (len(model.factors) + (model.base > 0), model.error))


def _subsets(names: Sequence[str], coefficients: int) -> list[tuple[str, ...]]:
    """Every choice of factors with at most so many coefficients, the one before the powers too."""
    return list(chain.from_iterable(
        combinations(names, count) for count in range(1, min(len(names), coefficients - 1) + 1)))


def _model(axis: str, factors: Columns, costs: NDArray[np.float64],
           base: float) -> DeviceFit | None:
    """Least squares of logarithms; None where the factors do not tell the variants apart, or a
    power is none that a cost can grow by."""
    design = np.column_stack([np.ones(len(costs)), *factors.values()])
    logs = np.log(costs - base)
    coefficients, _, rank, _ = np.linalg.lstsq(design, logs, rcond=None)
    leverage = np.einsum("ij,ji->i", design, np.linalg.pinv(design))
    grows = all(0 <= power <= STEEPEST for power in coefficients[1:])
    if rank < design.shape[1] or leverage.max() > 1 - 1e-9 or not grows:
        return None
    # Of least squares the residual of a row that was left out follows from that of the fit.
    left_out = base + np.exp(logs - (logs - design @ coefficients) / (1 - leverage))
    error = math.expm1(math.sqrt(float(np.mean(np.log(left_out / costs) ** 2))))
    return DeviceFit(
        axis, tuple(factors), tuple(map(float, coefficients)), float(base), error, len(costs))


def fits_of(rows: Sequence[Row]) -> dict[str, DeviceFit]:
    """By axis, the fits to the variants of these rows, of which a variant may have several."""
    variants = list({row["variant"]: row for row in rows}.values())
    return {axis: found for axis in of_devices(variants) if (found := fit(variants, axis))}


def with_predictions(
    rows: Sequence[Row], fits: Mapping[str, DeviceFit] | None = None
) -> list[dict[str, Any]]:
    """The rows with a cost on every axis of a device that has a fit, theirs if none are given;
    `predicted` names the devices of which a row's costs are no measurements.

    No latency is predicted for a network that cannot stream, or that the device has measured and
    did not keep up with.
    """
    fits, found = fits_of(rows) if fits is None else fits, []
    for row in rows:
        measured = {device_of(axis) for axis in of_devices([row])}
        wanted = [axis for axis in fits if device_of(axis) not in measured
                  and not (is_latency(axis) and not row.get("causal"))]
        devices = dict.fromkeys(map(device_of, wanted))
        found.append({**row, **{axis: fits[axis].cost(row) for axis in wanted},
                      "predicted": ", ".join(devices)})
    return found if fits else [dict(row) for row in rows]
