"""One row per trial where a trial was trained with several seeds: the mean of its finished runs.

Rows are those of the view `results` and of the table `mixtures`, each with its trial and seed.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasnet_core.records import METRICS

Row = Mapping[str, Any]
SCORE = "si_snri_db"
SCORES = tuple(name for names in METRICS.values() for name in names)
EXPECTED = "si_snri_extrapolated_db"
OUTLOOK = ("slope_db_per_doubling", EXPECTED, "si_snri_extrapolated_low_db", "si_snri_extrapolated_high_db")     # records.Outlook
MEANS = (*SCORES, "realtime_factor", "seconds")


def number(value: Any) -> float | None:
    """The value where it is a finite number, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def per_trial(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial, in the order of trials: that of its lowest seed, with the means over the runs that count.

    A run counts when it is complete and has a score; what failed, was stopped or still runs leaves the mean to the others.
    Beside the columns of a run: `seeds` (runs in the mean), `seeds_without` (runs without a score), and where several count
    the standard deviation of their scores and the lowest and highest of them.
    """
    return [_mean_run(runs) for _, runs in sorted(_grouped(rows, "trial").items())]


def per_mixture(rows: Iterable[Row], mixtures: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial and test mixture: the means over the runs that count, of each score over those that have it."""
    counting = {(row["trial"], row["seed"]) for row in rows if counts(row)}
    own = [one for one in mixtures if (one["trial"], one["seed"]) in counting]
    return [_merged(some, SCORES) for _, some in sorted(_grouped(own, "trial", "mixture").items())]


def counts(row: Row) -> bool:
    """Whether a run is complete and has a score."""
    return row["state"] == "complete" and number(row[SCORE]) is not None


def with_seeds(row: Row) -> str:
    """How many seeds a mean is of and how far they lie apart, as in '3 seeds, sd 0.20'; empty for one."""
    return f"{row['seeds']} seeds, sd {row['si_snri_sd_db']:.2f}" if row.get("seeds", 1) > 1 else ""


def _grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """The rows under each value of the columns, by seed: their order must not matter."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    return {key: sorted(some, key=lambda row: row["seed"]) for key, some in groups.items()}


def _mean_run(runs: Sequence[Row]) -> dict[str, Any]:
    counting = [row for row in runs if counts(row)]
    scores = [row[SCORE] for row in counting]
    several = len(scores) > 1
    return {**_merged(counting or runs[:1], MEANS), "seeds": len(scores), "seeds_without": len(runs) - len(scores),
            **(_mean_outlook(counting) if several else {}),
            "si_snri_sd_db": statistics.stdev(scores) if several else None,
            "si_snri_low_db": min(scores) if several else None, "si_snri_high_db": max(scores) if several else None}


def _mean_outlook(runs: Sequence[Row]) -> dict[str, float | None]:
    """What the mean gains at twice the sound, from the runs that know it. Its interval is their mean interval, no narrower:
    how a law goes on is mostly unknown, for all seeds alike. Nothing for rows without such columns."""
    if EXPECTED not in runs[0]:
        return {}
    known = [row for row in runs if row[EXPECTED] is not None]
    if not known:
        return dict.fromkeys(OUTLOOK)
    score = statistics.fmean(row[SCORE] for row in runs)
    gains = {name: score + statistics.fmean(row[name] - row[SCORE] for row in known) for name in OUTLOOK[1:]}
    return {OUTLOOK[0]: statistics.fmean(row[OUTLOOK[0]] for row in known), **gains}


def _merged(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """The first of the rows, with means in these columns; a single row as it is."""
    means = {}
    for name in columns if len(rows) > 1 else ():
        values = [value for row in rows if (value := number(row.get(name))) is not None]
        means[name] = statistics.fmean(values) if values else None
    return {**rows[0], **means}
