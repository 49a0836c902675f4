"""Which hyperparameter to lower first, at what price, and the path down from the reference.

By the model of main effects.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from study.analysis.effects import Design, Fit, fit
from study.analysis.learned import TOLERANCE_DB
from study.analysis.replicates import Row
from study.analysis.wording import Table, change
from study.records import Estimate
from study.space.searched import value_of
from tasnet_core.cost.formulas import exact
from tasnet_core.records import LETTERS, Cost, Variant

FAR_DB, STEPS = 3.0, 12  # where a path ends: nobody follows it further
PATH = (
    "step", "lowered", "predicted_loss_db", "predicted_low_db", "predicted_high_db", "parameters",
    "parameters_fraction", "macs_per_s", "macs_fraction", "trial", "loss_db",
)
TITLES = {
    "step": ("step", ""),
    "lowered": ("lower", "this hyperparameter"),
    "predicted_loss_db": ("predicted loss", "dB so far"),
    "predicted_low_db": ("from", "dB, 95 %"),
    "predicted_high_db": ("to", "dB, 95 %"),
    "trial": ("trial", "that measured it"),
    "loss_db": ("measured loss", "dB"),
}


class Step(NamedTuple):
    """One hyperparameter lowered to one of its values."""

    name: str
    value: int
    loss_db: Estimate  # predicted, against the reference
    added_db: float  # of it, against where the step starts
    cost: Cost

    def price(self, start: Cost) -> float:
        """dB for each halving of the MACs; negative where nothing is lost."""
        return self.added_db / max(math.log2(start.macs_per_s / self.cost.macs_per_s), 1e-9)


class Model(NamedTuple):
    """Predictions of the finished variants for networks nobody trained."""

    design: Design
    fitted: Fit
    reference: Variant

    @property
    def names(self) -> list[str]:
        """Hyperparameters that make a network smaller; others are held at the reference's."""
        return [name for name in self.design.letters if name in LETTERS]

    def loss(self, changed: Mapping[str, int]) -> Estimate:
        """Predicted, in dB below the reference, for the reference with these hyperparameters."""
        way = self.design.table[0] * 0.0
        for name, value in changed.items():
            way = way + self.design.way(name, value)
        gain = self.fitted.along(way)
        return Estimate(-gain.value + 0.0, -gain.high + 0.0, -gain.low + 0.0)

    def lower(self, name: str, below: int) -> list[int]:
        """The values of a hyperparameter among the variants below this one, the nearest first."""
        values = {int(row[name]) for row in self.design.rows}
        return sorted((value for value in values if value < below), reverse=True)

    def step(self, changed: Mapping[str, int], name: str, value: int) -> Step:
        """One more hyperparameter lowered from a variant on the path."""
        after = {**changed, name: value}
        loss = self.loss(after)
        added = loss.value - self.loss(changed).value
        return Step(name, value, loss, added, exact(_with(self.reference, after)))


def model_of(design: Design, reference: Variant) -> Model:
    """The model of variants that can tell effects apart (`effects.refusal`)."""
    return Model(design, fit(design.table, design.scores), reference)


def sentences(model: Model) -> list[str]:
    """What to lower first, what next, and how far each hyperparameter may go by itself."""
    start = exact(model.reference)
    halved = [step for name in model.names if (step := _halved(model, name))]
    told: list[str] = []
    for step in sorted(halved, key=lambda step: step.price(start)):
        macs = start.macs_per_s / step.cost.macs_per_s
        parameters = start.parameters / step.cost.parameters
        what = f"Then {step.name}" if told else f"Lower {step.name} first"
        told.append(
            f"{what}: {_value(model.reference, step.name)} → {step.value} needs {macs:.1f}× fewer "
            f"MACs and {parameters:.1f}× fewer parameters for {change(step.loss_db)}.")
    return [*told, *_limits(model)]


def _with(variant: Variant, changed: Mapping[str, int]) -> Variant:
    return replace(variant, **changed)  # type: ignore[arg-type]  # all of them are numbers


def _value(variant: Variant, name: str) -> int:
    return int(getattr(variant, name))


def _halved(model: Model, name: str) -> Step | None:
    """A hyperparameter at about half its value in the reference, of the values that occur."""
    here = _value(model.reference, name)
    lower = [value for value in model.lower(name, here) if value]
    if not lower:
        return None
    value = min(lower, key=lambda value: (abs(math.log2(2 * value / here)), value))
    return model.step({}, name, value)


def _limits(model: Model) -> list[str]:
    """How far each hyperparameter may go by itself within the tolerance."""
    free, held = [], []
    for name in model.names:
        reached = _value(model.reference, name)
        lower = model.lower(name, reached)
        for value in lower:  # the first that loses too much ends it, whatever comes beyond
            if round(model.loss({name: value}).value, 9) > TOLERANCE_DB:
                break
            reached = value
        if lower and reached == lower[-1]:
            free.append(f"{name} to {reached}")
        elif lower:
            held.append(f"{name} below {reached}")
    parts = []
    if free:
        parts.append(f"lower {', '.join(free)}, as far as was tried")
    if held:
        parts.append(f"do not lower {', '.join(held)}")
    return [f"Each by itself, within {TOLERANCE_DB} dB: {'; '.join(parts)}."] if parts else []


def path(model: Model, rows: Sequence[Row], losses: Mapping[int, float]) -> Table:
    """From the reference down, one hyperparameter a step: the fewest dB for each halving of MACs.

    Where a variant on the path was measured, a row of `rows`, its loss stands beside the predicted.
    """
    changed: dict[str, int] = {}
    first = cost = exact(model.reference)
    lowered, loss = "", Estimate(0.0, 0.0, 0.0)
    lines: list[list[object]] = []
    while True:
        lines.append([
            len(lines), lowered, *loss, cost.parameters, cost.parameters / first.parameters,
            cost.macs_per_s, cost.macs_per_s / first.macs_per_s,
            *_measured(changed, model, rows, losses)])
        step = _next(model, changed)
        if step is None or step.loss_db.value > FAR_DB or len(lines) > STEPS:
            return Table(PATH, lines if len(lines) > 1 else [])
        before = changed.get(step.name, _value(model.reference, step.name))
        changed[step.name] = step.value
        lowered = f"{step.name} {before} → {step.value}"
        cost, loss = step.cost, step.loss_db


def _measured(
    changed: Mapping[str, int], model: Model, rows: Sequence[Row], losses: Mapping[int, float]
) -> list[object]:
    wanted = {**model.design.base, **changed}
    for row in rows:
        if all(value_of(row, name) == value for name, value in wanted.items()):
            return [row["trial"], losses.get(row["trial"])]
    return [None, None]


def _next(model: Model, changed: Mapping[str, int]) -> Step | None:
    here = _with(model.reference, changed)
    start = exact(here)
    steps = []
    for name in model.names:
        nearest = model.lower(name, _value(here, name))[:1]
        if nearest and nearest[0]:
            steps.append(model.step(changed, name, nearest[0]))
    return min(steps, key=lambda step: (step.price(start), step.name), default=None)
