"""Which hyperparameter to lower first, at what price, and the path down from the reference.

By the score model: predicted losses are against the measured reference, with prediction intervals.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from study.analysis.learned import TOLERANCE_DB
from study.analysis.replicates import Row
from study.analysis.score_model import ASKED_FOR, ScoreModel
from study.analysis.wording import Table, change
from study.records import Estimate
from study.space.searched import value_of
from tasnet_core.cost.formulas import exact
from tasnet_core.records import Cost, Variant

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


def _step(model: ScoreModel, changed: Mapping[str, int], name: str, value: int) -> Step:
    """One more hyperparameter lowered from a variant on the path."""
    after = {**changed, name: value}
    # Of two predictions: what the model misses of the reference is no hyperparameter's doing.
    added = model.score(changed).value - model.score(after).value
    return Step(name, value, model.loss(after), added, exact(_with(model.reference, after)))


def sentences(model: ScoreModel) -> list[str]:
    """What to lower first, what next, how far each may go by itself, and how good the model is."""
    start = exact(model.reference)
    halved = [step for name in model.names if (step := _halved(model, name))]
    told: list[str] = []
    for step in sorted(halved, key=lambda step: step.price(start)):
        macs = start.macs_per_s / step.cost.macs_per_s
        parameters = start.parameters / step.cost.parameters
        what = f"Then {step.name}" if told else f"Lower {step.name} first"
        told.append(
            f"{what}: {_value(model.reference, step.name)} → {step.value} means {macs:.1f}× fewer "
            f"MACs and {parameters:.1f}× fewer parameters for {change(step.loss_db)}.")
    return [*told, *_limits(model), _quality(model)]


def _quality(model: ScoreModel) -> str:
    """How well the model knows the variants it is of, and what it has besides main effects."""
    terms = "".join(f" and {term}" for term in model.terms)
    asked = ""
    if terms:
        asked = f"; the variants ask for{terms.removeprefix(' and')} (F test, p < {ASKED_FOR})"
    return (f"Predicted by main effects{terms} on {len(model.design.rows)} variants, "
            f"R² {model.explained:.2f}; each predicted by the others, the error is "
            f"{model.error_db:.2f} dB{asked}.")


def _with(variant: Variant, changed: Mapping[str, int]) -> Variant:
    return replace(variant, **changed)  # type: ignore[arg-type]  # all of them are numbers


def _value(variant: Variant, name: str) -> int:
    return int(getattr(variant, name))


def _halved(model: ScoreModel, name: str) -> Step | None:
    """A hyperparameter at about half its value in the reference, of the values that occur."""
    here = _value(model.reference, name)
    lower = [value for value in model.lower(name, here) if value]
    if not lower:
        return None
    value = min(lower, key=lambda value: (abs(math.log2(2 * value / here)), value))
    return _step(model, {}, name, value)


def _limits(model: ScoreModel) -> list[str]:
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


def path(model: ScoreModel, rows: Sequence[Row], losses: Mapping[int, float]) -> Table:
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
    changed: Mapping[str, int], model: ScoreModel, rows: Sequence[Row], losses: Mapping[int, float]
) -> list[object]:
    wanted = {**model.design.base, **changed}
    for row in rows:
        if all(value_of(row, name) == value for name, value in wanted.items()):
            return [row["trial"], losses.get(row["trial"])]
    return [None, None]


def _next(model: ScoreModel, changed: Mapping[str, int]) -> Step | None:
    here = _with(model.reference, changed)
    start = exact(here)
    steps = []
    for name in model.names:
        nearest = model.lower(name, _value(here, name))[:1]
        if nearest and nearest[0]:
            steps.append(_step(model, changed, name, nearest[0]))
    return min(steps, key=lambda step: (step.price(start), step.name), default=None)
