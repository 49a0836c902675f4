"""The variants of a study, from rows: which are finished, which is the reference, which are Pareto-optimal, what they are called.

A row is a variant, as `replicates.per_trial` makes it of the view `results`; `runs` are the rows of that view, one per trial
and seed. A score that is missing, infinite or not a number is None here, and an empty cell in every table.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from study.analysis import pareto
from study.analysis.extrapolation import rising
from study.analysis.replicates import SCORE, Row, number
from study.space.searched import changes, short, value_of, varied

COSTS = ("parameters", "macs_per_s")
RISING = "\N{UPWARDS ARROW}"     # of a variant that is sure to gain from more sound


def finished(rows: Iterable[Row]) -> list[Row]:
    """The rows that can be compared: complete, with a score and both costs."""
    return [row for row in rows if row["state"] == "complete"
            and all(number(row[name]) is not None for name in (SCORE, *COSTS))]


def inherited(row: Row) -> bool:
    """Whether a network's weights are a slice of another's, or were trained for others to inherit."""
    return bool(row.get("init", "scratch") != "scratch")


def reference(rows: Iterable[Row]) -> Row | None:
    """The row of the unreduced variant, trial 0, finished or not."""
    return next((row for row in rows if row["trial"] == 0), None)


def front(rows: Iterable[Row], costs: Sequence[str] = COSTS) -> list[Row]:
    """The finished variants nothing beats on SI-SNRi and `costs`, cheapest first."""
    known = finished(rows)
    points = [[-row[SCORE], *(row[name] for name in costs)] for row in known]
    kept: Iterable[Any] = pareto.front(points) if points else ()
    best = [row for row, keep in zip(known, kept, strict=True) if keep]
    return sorted(best, key=lambda row: (*(row[name] for name in costs), row["trial"]))


def smallest_within(rows: Iterable[Row], loss_db: Callable[[Row], float], limit_db: float) -> Row | None:
    """Of these variants the smallest that loses at most so much; None where none does.

    Among equals it is the one with fewer MACs, then the better one, which is on the front. A loss that is the limit but for
    rounding is within it.
    """
    near = [row for row in rows if round(loss_db(row), 9) <= limit_db]
    return min(near, key=lambda row: (row["parameters"], row["macs_per_s"], -row[SCORE]), default=None)


def names(rows: Sequence[Row]) -> dict[int, str]:
    """By trial, a short name, as `enqueue` reads it: only what a run has otherwise than the reference.

    Without a reference, whatever varies in the study tells them apart.
    """
    base = reference(rows)
    telling = () if base else varied(rows)
    return {row["trial"]: short(changes(row, base) if base else {name: value_of(row, name) for name in telling})
            or ("reference" if row["trial"] == 0 else "as the reference") for row in rows}


def compared(rows: Sequence[Row], base: Row | None) -> list[dict[str, Any]]:
    """The rows with name, loss in dB and costs as fractions of `base`, the reference; None where unknown."""
    short = names(rows)

    def of_reference(row: Row, column: str) -> float | None:
        mine, its = number(row[column]), number(base[column]) if base else None
        return mine / its if mine is not None and its else None

    def loss_db(row: Row) -> float | None:
        if base is None or base["state"] != "complete" or row["state"] != "complete":
            return None
        mine, its = number(row[SCORE]), number(base[SCORE])
        return its - mine if mine is not None and its is not None else None

    return [{**{name: _finite(value) for name, value in row.items()}, "name": short[row["trial"]],
             "rising": RISING if rising(row) else "", "loss_db": loss_db(row),
             "parameters_fraction": of_reference(row, "parameters"),
             "macs_fraction": of_reference(row, "macs_per_s")} for row in rows]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def spared_s(runs: Iterable[Row]) -> float:
    """Seconds of sound that the stopped runs were not trained on, of those their recipe has."""
    return math.fsum(run["epochs"] * run["epoch_segments"] * run["segment_s"] - (number(run["audio_s"]) or 0.0)
                     for run in runs if run["state"] == "stopped")


def unscored(mixtures: Iterable[Row]) -> list[str]:
    """What has no score and why, a line for each cause: how many scores it cost, and in which mixtures."""
    causes: Counter[str] = Counter()
    where: dict[str, dict[str, None]] = {}
    for one in mixtures:
        for cause in filter(None, re.sub(r"source \d+: ", "", one["reason"] or "").split("; ")):
            causes[cause] += 1
            where.setdefault(cause, {})[one["mixture"]] = None
    lines = []
    for cause, count in causes.most_common():
        some = list(where[cause])
        named = ", ".join(some[:5]) + (f" and {len(some) - 5} more" if len(some) > 5 else "")
        lines.append(f"{cause}: {count} of the scores, in {named}")
    return lines
