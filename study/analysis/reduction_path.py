"""Which letter to lower first, at what price, and the way down from the reference: by the model of main effects."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from study.analysis.effects import Design, Fit, fit, refusal
from study.analysis.learned import TOLERANCE_DB
from study.analysis.replicates import Row
from study.analysis.wording import Table, change
from study.records import Estimate
from study.space.searched import value_of
from tasnet_core.cost.formulas import exact
from tasnet_core.records import LETTERS, Cost, Variant

FAR_DB, STEPS = 3.0, 12     # where a way down ends: nobody follows it further
PATH = ("step", "lowered", "predicted_loss_db", "predicted_low_db", "predicted_high_db", "parameters", "parameters_fraction",
        "macs_per_s", "macs_fraction", "trial", "loss_db")
TITLES = {"step": ("step", ""), "lowered": ("lower", "this letter"), "predicted_loss_db": ("predicted loss", "dB so far"),
          "predicted_low_db": ("from", "dB, 95 %"), "predicted_high_db": ("to", "dB, 95 %"),
          "trial": ("trial", "that measured it"), "loss_db": ("measured loss", "dB")}


class Step(NamedTuple):
    """One letter lowered to one of its values."""

    letter: str
    value: int
    loss_db: Estimate       # predicted, against the reference
    added_db: float         # of it, against where the step starts
    cost: Cost

    def price(self, start: Cost) -> float:
        """dB for each halving of the MACs; negative where nothing is lost."""
        return self.added_db / max(math.log2(start.macs_per_s / self.cost.macs_per_s), 1e-9)


class Model(NamedTuple):
    """What the finished variants say of networks nobody trained."""

    design: Design
    fitted: Fit
    reference: Variant

    @property
    def letters(self) -> list[str]:
        """Those that make a network smaller; what else varies is held at the reference's."""
        return [letter for letter in self.design.letters if letter in LETTERS]

    def loss(self, letters: Mapping[str, int]) -> Estimate:
        """Predicted, in dB below the reference, for the reference with these letters."""
        way = sum((self.design.way(letter, value) for letter, value in letters.items()),
                  start=self.design.table[0] * 0.0)
        gain = self.fitted.along(way)
        return Estimate(-gain.value + 0.0, -gain.high + 0.0, -gain.low + 0.0)

    def lower(self, letter: str, below: int) -> list[int]:
        """The values of a letter that occur among the variants and are smaller, the nearest first."""
        return sorted({int(row[letter]) for row in self.design.rows if row[letter] < below}, reverse=True)


def model_of(design: Design, reference: Variant) -> "Model | str":
    """The model, or why there is none."""
    return refusal(design) or Model(design, fit(design.table, design.scores), reference)


def sentences(model: Model) -> list[str]:
    """What to lower first, what next, and how far each letter may go by itself."""
    start = exact(model.reference)
    halved = [step for letter in model.letters if (step := _halved(model, letter))]
    said: list[str] = []
    for step in sorted(halved, key=lambda step: step.price(start)):
        macs, parameters = start.macs_per_s / step.cost.macs_per_s, start.parameters / step.cost.parameters
        said.append(f"{'Then' if said else 'Lower'} {step.letter}{'' if said else ' first'}: "
                    f"{_value(model.reference, step.letter)} → {step.value} takes {macs:.1f}× fewer MACs and {parameters:.1f}× "
                    f"fewer parameters for {change(step.loss_db)}.")
    return [*said, *_limits(model)]


def _with(variant: Variant, letters: Mapping[str, int]) -> Variant:
    return replace(variant, **letters)  # type: ignore[arg-type]  # letters are numbers


def _value(variant: Variant, letter: str) -> int:
    return int(getattr(variant, letter))


def _halved(model: Model, letter: str) -> Step | None:
    """A letter at about half its value in the reference, of the values that occur."""
    here = _value(model.reference, letter)
    lower = [value for value in model.lower(letter, here) if value]
    if not lower:
        return None
    value = min(lower, key=lambda value: (abs(math.log2(2 * value / here)), value))
    loss = model.loss({letter: value})
    return Step(letter, value, loss, loss.value, exact(_with(model.reference, {letter: value})))


def _limits(model: Model) -> list[str]:
    """How far each letter may go by itself within the tolerance."""
    free, held = [], []
    for letter in model.letters:
        here = _value(model.reference, letter)
        lower = model.lower(letter, here)
        within = [value for value in lower if round(model.loss({letter: value}).value, 9) <= TOLERANCE_DB]
        # The first that loses too much ends it, whatever a skip path of nothing does beyond.
        reached = here
        for value in lower:
            if value not in within:
                break
            reached = value
        if lower and reached == lower[-1]:
            free.append(f"{letter} to {reached}")
        elif lower:
            held.append(f"{letter} below {reached}")
    parts = ([f"lower {', '.join(free)}, as far as was tried"] if free else []) + \
        ([f"do not lower {', '.join(held)}"] if held else [])
    return [f"Each by itself, within {TOLERANCE_DB} dB: {'; '.join(parts)}."] if parts else []


def path(model: Model, rows: Sequence[Row], losses: Mapping[int, float]) -> Table:
    """From the reference down, one letter a step: always the one that costs the fewest dB for each halving of the MACs.

    Where a variant on the way was measured, a row of `rows`, its loss stands beside what is predicted.
    """
    first, letters = exact(model.reference), dict[str, int]()
    lines: list[list[object]] = []
    cost, lowered, loss = first, "", Estimate(0.0, 0.0, 0.0)
    while True:
        lines.append([len(lines), lowered, *loss, cost.parameters, cost.parameters / first.parameters, cost.macs_per_s,
                      cost.macs_per_s / first.macs_per_s, *_measured(letters, model, rows, losses)])
        step = _next(model, letters)
        if step is None or step.loss_db.value > FAR_DB or len(lines) > STEPS:
            return Table(PATH, lines if len(lines) > 1 else [])
        before = letters.get(step.letter, _value(model.reference, step.letter))
        letters[step.letter] = step.value
        cost, lowered, loss = step.cost, f"{step.letter} {before} → {step.value}", step.loss_db


def _measured(letters: Mapping[str, int], model: Model, rows: Sequence[Row], losses: Mapping[int, float]) -> list[object]:
    wanted = {**model.design.base, **letters}
    for row in rows:
        if all(value_of(row, name) == value for name, value in wanted.items()):
            return [row["trial"], losses.get(row["trial"])]
    return [None, None]


def _next(model: Model, letters: Mapping[str, int]) -> Step | None:
    here = _with(model.reference, letters)
    start, so_far = exact(here), model.loss(letters).value
    steps = []
    for letter in model.letters:
        for value in model.lower(letter, _value(here, letter))[:1]:
            if value == 0:
                continue
            loss = model.loss({**letters, letter: value})
            steps.append(Step(letter, value, loss, loss.value - so_far, exact(_with(here, {letter: value}))))
    return min(steps, key=lambda step: (step.price(start), step.letter), default=None)
