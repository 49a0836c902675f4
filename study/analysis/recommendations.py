"""Which variant to choose: the smallest near the reference, the best within limits.

`Compared` has the numbers and words a variant; page, terminal and `Study.answer` print its words.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from study.analysis import trials
from study.analysis.cost_axes import axis_of, is_predicted
from study.analysis.learned import TOLERANCE_DB
from study.analysis.limits import SURE, best_within
from study.analysis.predicted_front import AT_LEAST, name_of
from study.analysis.replicates import SCORE, Row, number, with_seeds
from study.analysis.shrinkage import Shrunk
from study.analysis.uncertainty import Uncertainty
from study.analysis.wording import change, decibels, engineering, percent, probability, signed
from study.records import Budget, Estimate
from study.space.space import Space

TOLERANCES_DB = (0.1, TOLERANCE_DB, 1.0)


class Recommendation(NamedTuple):
    """A variant to choose, and why."""

    title: str
    sentence: str
    trial: int | None  # None: nothing fits
    confidence: float | None  # probability of being within the tolerance; None where unknown


class Compared(NamedTuple):
    """The finished variants of a study, and the reference they are compared with."""

    known: list[Row]
    reference: Row | None  # finished or not
    losses: Mapping[int, Estimate]  # by trial, against the reference, from the mixtures of both
    names: Mapping[int, str]
    shrunk: Shrunk | None = None  # where the score model can be fitted

    @classmethod
    def of(
        cls, rows: Sequence[Row], losses: Mapping[int, Estimate], shrunk: Shrunk | None = None
    ) -> "Compared":
        known, base = trials.finished(rows), trials.reference(rows)
        return cls(known, base, losses, trials.names(rows), shrunk)

    @property
    def base(self) -> Row | None:
        """The reference; None without its score."""
        return trials.reference(self.known)

    @property
    def smaller(self) -> list[Row]:
        """Variants with fewer parameters than the reference."""
        base = self.base
        return [row for row in self.known if base and row["parameters"] < base["parameters"]]

    def loss_db(self, row: Row) -> float:
        """Against the reference: from the mixtures of both where known, else from the means."""
        base, loss = self.base, self.losses.get(row["trial"])
        assert base is not None
        return float(loss.value if loss else base[SCORE] - row[SCORE])

    def described(self, row: Row) -> str:
        """A variant with its costs, and its loss against the reference."""
        seeds = f"; {with_seeds(row)}" if with_seeds(row) else ""
        parameters, macs = (engineering(row[cost]) for cost in trials.COSTS)
        told = (f"trial {row['trial']} ({self.names[row['trial']]}{seeds}) with {parameters} "
                f"parameters, {macs} MACs per second")
        score = f"{decibels(row[SCORE])} dB SI-SNRi"
        base = self.base
        if base is None:
            return f"{told}, {score}"
        if row["trial"] == base["trial"]:
            return f"{told}, the reference itself, {score}"
        shares = " and ".join(percent(row[cost] / base[cost]) for cost in trials.COSTS)
        loss = self.losses.get(row["trial"])
        against = change(loss) if loss else f"{signed(-self.loss_db(row))} dB"
        return f"{told} ({shares} of the reference's), {against} against it"


def recommend(
    compared: Compared,
    uncertainty: Uncertainty | None,
    limits: Sequence[Mapping[str, float]] = (),
    searched: tuple[Space, Budget] | None = None,
) -> list[Recommendation]:
    """Every recommendation; only for studies in which one can be made (`learned.finding`).

    Without `limits`, a tenth of the reference's parameters and a quarter of its MACs stand for a
    small device. Where the space is known, variants that nobody trained are recommended, too.
    """
    base = compared.base
    found = []
    if compared.smaller:
        found = [within(compared, uncertainty, limit_db) for limit_db in TOLERANCES_DB]
    if base is not None and not limits:
        small = {"parameters": base["parameters"] / 10, "macs_per_s": base["macs_per_s"] / 4}
        limits = [{name: float(f"{value:.2g}")} for name, value in small.items()]
    for limit in limits:
        found.append(_best(compared, limit))
        if searched and (untrained := _untrained(compared, limit, *searched)):
            found.append(untrained)
    return found


def within(compared: Compared, uncertainty: Uncertainty | None, limit_db: float) -> Recommendation:
    """The smallest variant at most `limit_db` below the reference, and how sure that is.

    Where the score model can be fitted, the smallest that is so with a probability of `SURE`;
    otherwise the smallest measured so.
    """
    title = f"Within {limit_db:g} dB"
    if compared.shrunk:
        return _likely(compared, compared.shrunk, title, limit_db)
    row = trials.smallest_within(compared.smaller, compared.loss_db, limit_db)
    if row is None:
        sentence = f"No smaller variant comes within {limit_db:g} dB of the reference"
        if limit_db == TOLERANCE_DB:
            nearest = min(compared.smaller, key=lambda row: (compared.loss_db(row), row["trial"]))
            sentence += f"; the nearest: {compared.described(nearest)}"
        return Recommendation(title, f"{sentence}.", None, None)
    trial = row["trial"]
    chance = uncertainty.within([trial], 0, limit_db).get(trial) if uncertainty else None
    told = f"The smallest within {limit_db:g} dB of the reference: {compared.described(row)}"
    if chance is not None:
        told += f"; probability of being within {limit_db:g} dB: {probability(chance)}"
    return Recommendation(title, f"{told}.", trial, chance)


def _likely(
    compared: Compared, shrunk: Shrunk, title: str, limit_db: float
) -> Recommendation:
    """By scores drawn towards the score model."""
    chances = {row["trial"]: shrunk.chance(row["trial"], limit_db)
               for row in compared.smaller if row["trial"] in shrunk.loss_db}
    near = [row for row in compared.smaller if chances.get(row["trial"], 0.0) >= SURE]
    row = trials.smallest_within(near, lambda row: 0.0, limit_db)
    likeliest = max(chances, key=lambda trial: (chances[trial], -trial), default=None)
    if row is None:
        told = (f"No smaller variant is within {limit_db:g} dB of the reference with a "
                f"probability of {percent(SURE)} or more")
        if limit_db != TOLERANCE_DB or likeliest is None:
            return Recommendation(title, f"{told}.", None, None)
        nearest = next(row for row in compared.smaller if row["trial"] == likeliest)
        told += f"; the likeliest: {compared.described(nearest)}"
    else:
        told = (f"The smallest within {limit_db:g} dB of the reference with a probability of "
                f"{percent(SURE)} or more: {compared.described(row)}")
    trial = row["trial"] if row else likeliest
    assert trial is not None
    told += (f" as measured, {signed(-shrunk.loss_db[trial])} dB drawn towards the fit over the "
             f"hyperparameters; probability of being within {limit_db:g} dB: "
             f"{probability(chances[trial])}")
    if shrunk.assumed_sd_db is not None:
        told += (f", if seeds of one variant differ by a standard deviation of "
                 f"{decibels(shrunk.assumed_sd_db)} dB")
    known = row is not None and shrunk.assumed_sd_db is None
    return Recommendation(title, f"{told}.", row["trial"] if row else None,
                          chances[trial] if known else None)


def _amount(name: str, value: float) -> str:
    if value == math.inf:
        return f"no {axis_of(name).limit} measured"
    return f"{re.sub(r'[.]0+(?=[kMG]|$)', '', engineering(value))} {axis_of(name).limit}"


def _best(compared: Compared, limits: Mapping[str, float]) -> Recommendation:
    """The best score within every one of the limits."""
    def cost(row: Row, name: str) -> float:
        return number(row.get(name)) or math.inf

    words = " and ".join(_amount(name, value) for name, value in limits.items())
    title = f"At most {words}"
    fit = [row for row in compared.known
           if all(cost(row, name) <= value for name, value in limits.items())]
    if not fit:
        least = {name: min((cost(row, name) for row in compared.known), default=math.inf)
                 for name in limits}
        there = ", ".join(_amount(name, value) for name, value in least.items())
        sentence = f"No variant has at most {words}; the least there is: {there}."
        return Recommendation(title, sentence, None, None)
    best = max(fit, key=lambda row: (row[SCORE], -row["parameters"], -row["trial"]))
    predicted = " and ".join(axis_of(name).words for name in limits if is_predicted(best, name))
    sentence = f"The best with at most {words}: {compared.described(best)}"
    sentence += f"; {predicted}: predicted, not measured." if predicted else "."
    return Recommendation(title, sentence, best["trial"], None)


def _untrained(
    compared: Compared, limits: Mapping[str, float], space: Space, budget: Budget
) -> Recommendation | None:
    """The variant that the score surface takes within the limits; None where it was trained, or
    where too little is known."""
    if len(compared.known) < AT_LEAST:
        return None
    found = best_within(space, budget, compared.known, limits)
    if found is None or found.step.trial is not None:
        return None
    words, step = " and ".join(_amount(name, value) for name, value in limits.items()), found.step
    parameters, macs = engineering(step.parameters), engineering(step.macs_per_s)
    loss = f", {change(step.loss)} against the reference" if step.loss and compared.base else ""
    told = (f"Of all variants with at most {words} the model takes one that nobody has trained, "
            f"{name_of(step, space.reference)}, with {parameters} parameters, {macs} MACs per "
            f"second: expected {decibels(step.score.value)} dB [{decibels(step.score.low)}, "
            f"{decibels(step.score.high)}]{loss}")
    if found.chance < 1:
        told += f"; probability of being within the limits: {probability(found.chance)}"
    return Recommendation(f"At most {words}, untrained", f"{told}.", None, None)
