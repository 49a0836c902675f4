"""The variants of a study, from rows: finished, reference, Pareto-optimal, and their names.

A row is a variant, as `replicates.per_trial` makes it of the view `results`; `runs` are the rows of
that view, one per trial and seed. A score that is missing, infinite or not a number is None here,
and an empty cell in every table.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from study.analysis import pareto
from study.analysis.extrapolation import forecast, rising
from study.analysis.replicates import SCORE, Row, number
from study.space.searched import changes, short, value_of, varied

COSTS = ("parameters", "macs_per_s")
NAMED_AT_MOST = 5  # mixtures under one cause
RISING = "\N{UPWARDS ARROW}"  # of a variant that is sure to gain from more audio


def finished(rows: Iterable[Row]) -> list[Row]:
    """The rows that can be compared: complete, with a score and both costs."""
    return [row for row in rows if row["state"] == "complete"
            and all(number(row[name]) is not None for name in (SCORE, *COSTS))]


def inherited(row: Row) -> bool:
    """Whether weights are a slice of another network's, or were trained to be inherited."""
    return row.get("init", "scratch") in ("inherit", "teacher", "adapted")


def reference(rows: Iterable[Row]) -> Row | None:
    """The row of the unreduced variant, trial 0, finished or not."""
    return next((row for row in rows if row["trial"] == 0), None)


def front(rows: Iterable[Row], costs: Sequence[str] = COSTS) -> list[Row]:
    """The finished variants that are Pareto-optimal on SI-SNRi and `costs`, cheapest first."""
    known = finished(rows)
    points = [[-row[SCORE], *(row[name] for name in costs)] for row in known]
    kept: Iterable[Any] = pareto.front(points) if points else ()
    best = [row for row, keep in zip(known, kept, strict=True) if keep]
    return sorted(best, key=lambda row: (*(row[name] for name in costs), row["trial"]))


def smallest_within(
    rows: Iterable[Row], loss_db: Callable[[Row], float], limit_db: float
) -> Row | None:
    """Of these variants the smallest that loses at most so much; None where none does.

    Among equals it is the one with fewer MACs, then the better one, which is on the front. A loss
    that is the limit but for rounding is within it.
    """
    near = [row for row in rows if round(loss_db(row), 9) <= limit_db]
    order = ("parameters", "macs_per_s")
    return min(near, key=lambda row: (*(row[name] for name in order), -row[SCORE]), default=None)


def names(rows: Sequence[Row]) -> dict[int, str]:
    """By trial, a short name, as `enqueue` reads it: what a run has otherwise than the reference.

    Without a reference, whatever varies in the study tells them apart.
    """
    base = reference(rows)
    telling = () if base else varied(rows)
    found = {}
    for row in rows:
        differs = changes(row, base) if base else {name: value_of(row, name) for name in telling}
        same = "reference" if row["trial"] == 0 else "as the reference"
        found[row["trial"]] = short(differs) or same
    return found


def compared(rows: Sequence[Row], base: Row | None) -> list[dict[str, Any]]:
    """The rows with name, loss in dB and costs as fractions of `base`; None where unknown."""
    called = names(rows)
    scored = base if base and base["state"] == "complete" else None
    found = []
    for row in rows:
        own, its = number(row[SCORE]), number(scored[SCORE]) if scored else None
        loss_db = None
        if row["state"] == "complete" and own is not None and its is not None:
            loss_db = its - own
        found.append({
            **{name: _finite(value) for name, value in row.items()},
            "name": called[row["trial"]],
            "rising": RISING if rising(row) else "",
            **_forecast(row),
            "loss_db": loss_db,
            "parameters_fraction": _fraction(row, base, "parameters"),
            "macs_fraction": _fraction(row, base, "macs_per_s")})
    return found


def _forecast(row: Row) -> dict[str, float]:
    """The interval of the forecast score in place of that of the fitted gain."""
    found = forecast(row)
    if found is None:
        return {}
    return {"si_snri_extrapolated_low_db": found.low, "si_snri_extrapolated_high_db": found.high}


def _fraction(row: Row, base: Row | None, column: str) -> float | None:
    own, its = number(row[column]), number(base[column]) if base else None
    return own / its if own is not None and its else None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spared_s(runs: Iterable[Row]) -> float:
    """Seconds of audio of their recipe that the stopped runs were not trained on."""
    return math.fsum(
        run["epochs"] * run["epoch_segments"] * run["segment_s"] - (number(run["audio_s"]) or 0.0)
        for run in runs if run["state"] == "stopped")


def unscored(mixtures: Iterable[Row]) -> list[str]:
    """A line for each cause of missing scores: how many, and in which mixtures."""
    causes: Counter[str] = Counter()
    where: dict[str, dict[str, None]] = {}
    for one in mixtures:
        reason = re.sub(r"source \d+: ", "", one["reason"] or "")
        for cause in filter(None, reason.split("; ")):
            causes[cause] += 1
            where.setdefault(cause, {})[one["mixture"]] = None
    lines = []
    for cause, count in causes.most_common():
        some = list(where[cause])
        more = f" and {len(some) - NAMED_AT_MOST} more" if len(some) > NAMED_AT_MOST else ""
        lines.append(f"{cause}: {count} of the scores, in {', '.join(some[:NAMED_AT_MOST])}{more}")
    return lines
