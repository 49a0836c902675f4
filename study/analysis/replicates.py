"""One row per trial where a trial was trained with several seeds: the mean of its finished runs that learned something.

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
LEARNED_DB = 1.0        # of improvement: a network that only passes the mixture on has about none,
APART_DB = 3.0          # and no two trainings of one that learns are so far apart


def number(value: Any) -> float | None:
    """The value where it is a finite number, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def per_trial(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial, in the order of trials: that of its lowest seed, with the means over the runs that count.

    Those are the runs of `in_mean`; what failed, was stopped, still runs or learned nothing leaves the mean to the others.
    Beside the columns of a run: `seeds` (runs in the mean), `seeds_without` (runs without a score), `seeds_unlearned` (runs
    that learned nothing, where others did), and where several are in the mean the standard deviation of their scores and the
    lowest and highest of them.
    """
    return [_mean_run(runs) for _, runs in sorted(_grouped(rows, "trial").items())]


def per_mixture(rows: Iterable[Row], mixtures: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial and test mixture: the means over the runs that count, of each score over those that have it."""
    counting = {(row["trial"], row["seed"]) for row in in_mean(rows)}
    own = [one for one in mixtures if (one["trial"], one["seed"]) in counting]
    return [_merged(some, SCORES) for _, some in sorted(_grouped(own, "trial", "mixture").items())]


def counts(row: Row) -> bool:
    """Whether a run is complete and has a score."""
    return row["state"] == "complete" and number(row[SCORE]) is not None


def in_mean(rows: Iterable[Row]) -> list[Row]:
    """The runs that count and are no training that failed: those whose mean, and whose spread, is the score of their trial.

    A run with less than LEARNED_DB, where another seed of its trial has more than APART_DB above it, learned nothing by chance.
    Of what the network can do it says nothing: a mean of both is a score that no training has. How often that happens is
    counted, and said, instead.
    """
    known, best = [row for row in rows if counts(row)], dict[Any, float]()
    for row in known:
        best[row["trial"]] = max(row[SCORE], best.get(row["trial"], row[SCORE]))
    return [row for row in known if row[SCORE] >= LEARNED_DB or best[row["trial"]] - row[SCORE] <= APART_DB]


def unlearned(rows: Iterable[Row]) -> list[Row]:
    """The runs that count and are in no mean, since they learned nothing where another seed of their trial did."""
    known = list(rows)
    kept = {(row["trial"], row["seed"]) for row in in_mean(known)}
    return [row for row in known if counts(row) and (row["trial"], row["seed"]) not in kept]


def failed_trainings(rows: Iterable[Row]) -> list[Row]:
    """Variants, a row each, that learned nothing where one with no more parameters and no more MACs did: it can do what that one
    can, so its training failed by chance. Such a score says nothing of its hyperparameters."""
    known = [row for row in rows if counts(row)]
    return [row for row in known if row[SCORE] < LEARNED_DB and any(
        other["parameters"] <= row["parameters"] and other["macs_per_s"] <= row["macs_per_s"]
        and other[SCORE] - row[SCORE] > APART_DB for other in known)]


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
    counting, without = in_mean(runs), sum(not counts(row) for row in runs)
    scores = [row[SCORE] for row in counting]
    several = len(scores) > 1
    return {**_merged(counting or runs[:1], MEANS), "seeds": len(scores), "seeds_without": without,
            "seeds_unlearned": len(runs) - len(scores) - without,
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


def pooled_seed_sd(rows: Iterable[Row]) -> tuple[float, int] | None:
    """The standard deviation in dB between seeds of one variant, pooled over the variants that have several, and its degrees of
    freedom, the seeds beyond the first of each; None where no variant has several. Rows are those of `per_trial`."""
    several = [(row["seeds"] - 1, row["si_snri_sd_db"]) for row in rows if row.get("seeds", 1) > 1]
    freedom = sum(more for more, _ in several)
    return (math.sqrt(sum(more * sd**2 for more, sd in several) / freedom), freedom) if freedom else None
