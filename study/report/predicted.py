"""The predicted front in words and as a table: what the model takes, trained or not."""

import shlex
from collections.abc import Sequence
from typing import Any

from study.analysis.learned import TOLERANCE_DB
from study.analysis.predicted_front import PredictedFront, Step, name_of
from study.analysis.wording import Table, Titles, change, decibels, engineering, probability
from tasnet_core.errors import counted
from tasnet_core.records import Variant

TITLES: Titles = {
    "trial": ("trial", "if trained"),
    "name": ("variant", "against the reference"),
    "si_snri_db": ("SI-SNRi", "dB, expected"),
    "loss_db": ("loss", "dB, expected"),
    "near": (f"within {TOLERANCE_DB:g} dB", "of the reference"),
    "taken_by": ("taken", "by its"),
}
COLUMNS = (
    "trial", "name", "parameters", "macs_per_s", "si_snri_db", "low_db", "high_db", "loss_db",
    "loss_low_db", "loss_high_db", "near", "taken_by")
TAKEN_BY = {"parameters": "parameters", "macs_per_s": "MACs"}


def table(front: PredictedFront, reference: Variant | None) -> Table:
    """A line for each variant that is taken at some size, cheapest first."""
    steps: dict[Any, Step] = {}
    taken: dict[Any, list[str]] = {}
    for cost, some in front.steps.items():
        for step in some:
            key = step.variant, tuple(step.recipe.items())
            steps[key] = step
            taken.setdefault(key, []).append(TAKEN_BY[cost])
    lines = []
    for key, step in sorted(steps.items(), key=lambda one: (one[1].parameters, one[1].macs_per_s)):
        loss = step.loss or (None, None, None)
        lines.append([
            step.trial, name_of(step, reference), step.parameters, step.macs_per_s, *step.score,
            *loss, None if step.near is None else probability(step.near), ", ".join(taken[key])])
    return Table(COLUMNS, lines)


def sentences(front: PredictedFront) -> list[str]:
    """How well the front is known, and how much of it nobody has trained."""
    steps = {step.variant: step for some in front.steps.values() for step in some}
    untrained = sum(step.trial is None for step in steps.values())
    told = [f"From {counted(front.trained, 'variant')} trained, the best score within a size is "
            f"known to ±{decibels(front.half_width_db)} dB (95 %, on average over the sizes) among "
            f"all {front.variants:,} variants of the space."]
    if untrained:
        told.append(f"Of {counted(len(steps), 'variant')} that the model takes, {untrained} "
                    f"{'was' if untrained == 1 else 'were'} never trained: their scores are "
                    "predictions.")
    return told


def suggestion(place: int, step: Step, reference: Variant | None) -> str:
    """A training that would say much, in a line."""
    loss = f", {change(step.loss)} against the reference" if step.loss else ""
    score = step.score
    return (f"{place}: {name_of(step, reference)} ({engineering(step.parameters)} parameters, "
            f"{engineering(step.macs_per_s)} MACs/s), expected {decibels(score.value)} dB "
            f"[{decibels(score.low)}, {decibels(score.high)}]{loss}")


def next_trainings(
    steps: Sequence[Step], reference: Variant | None, study: str
) -> list[str]:
    """The trainings that would say most about the front, and how to have them."""
    if not steps:
        return []
    named = "; ".join(suggestion(place, step, reference) for place, step in enumerate(steps, 1))
    return [f"The trainings that would say most about it next: {named}. All of them: python -m "
            f"study suggest --study {shlex.quote(study)} --enqueue all"]
