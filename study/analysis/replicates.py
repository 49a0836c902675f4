"""One row per trial that was trained with several seeds: the mean of its finished runs that learned
something.

A variant chosen by its first seed is scored by fresh ones, since the best of many has luck in the
score it was chosen by (benchmarks/confirm_bias.py). Where every complete variant was given a fresh
one nothing was chosen, and all count; so do all of the reference.

Rows are those of the view `results` and of the table `mixtures`, each with its trial and seed.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tasnet_core.errors import counted
from tasnet_core.records import METRICS

Row = Mapping[str, Any]
SCORE = "si_snri_db"
SCORES = tuple(name for names in METRICS.values() for name in names)
# What is shown beside it: of each other metric the improvement, or the only score there is.
BESIDE = tuple(names[-1] for metric, names in METRICS.items() if metric != "si_snr")
EXPECTED = "si_snri_extrapolated_db"
OUTLOOK = (  # the fields of records.Outlook
    "slope_db_per_doubling", EXPECTED, "si_snri_extrapolated_low_db",
    "si_snri_extrapolated_high_db")
VALID = "valid_si_snri_db"
MEANS = (*SCORES, "realtime_factor", "seconds")
LEARNED_DB = 1.0        # of improvement: a network that only passes the mixture on has about none,
APART_DB = 3.0          # and no two trainings of one that learns are so far apart


def number(value: Any) -> float | None:
    """The value where it is a finite number, else None."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None


def per_trial(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial, in the order of trials: that of its lowest seed, with the means over the
    runs that count.

    Those are the runs of `in_mean`; what failed, was stopped, still runs or learned nothing leaves
    the mean to the others. The rows are all those of a study: they decide which variants were
    chosen. Beside the columns of a run: `seeds` (runs in the mean), `seeds_without` (runs without a
    score), `seeds_unlearned` (runs that learned nothing, where others did), `chosen_db` (the score
    that a variant was chosen by), and where several learned the standard deviation of their scores
    and the lowest and highest of them, with the one that it was chosen by.
    """
    rows = list(rows)
    learned = _grouped(_learned(rows), "trial")
    chosen = {row["trial"]: row for row in _chosen_by(rows)}
    return [_mean_run(runs, learned.get(key, []), chosen.get(key[0]))
            for key, runs in sorted(_grouped(rows, "trial").items())]


def per_mixture(rows: Iterable[Row], mixtures: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per trial and test mixture: of each score the mean over the runs that count and have
    it."""
    counting = {(row["trial"], row["seed"]) for row in in_mean(rows)}
    own = [one for one in mixtures if (one["trial"], one["seed"]) in counting]
    return [_merged(some, SCORES) for _, some in sorted(_grouped(own, "trial", "mixture").items())]


def given(row: Row) -> bool:
    """Whether it is no training of the study, but a trained network that was given as reference."""
    return row.get("init") == "given"


def seeds_in_means(rows: Iterable[Row]) -> dict[int, float]:
    """By trial, the seeds in its mean; a network that was given has no chance of seeds in it."""
    return {row["trial"]: math.inf if given(row) else row["seeds"] for row in rows}


def counts(row: Row) -> bool:
    """Whether a run is complete and has a score."""
    return row["state"] == "complete" and number(row[SCORE]) is not None


def in_mean(rows: Iterable[Row]) -> list[Row]:
    """The runs of a study whose mean is the score of their trial: they learned, and did not lead to
    its choice."""
    rows = list(rows)
    chosen = {(row["trial"], row["seed"]) for row in _chosen_by(rows)}
    return [row for row in _learned(rows) if (row["trial"], row["seed"]) not in chosen]


def _chosen_by(rows: Sequence[Row]) -> list[Row]:
    """The first runs of the variants that were chosen by them and have learned with a fresh seed
    since."""
    learned = _learned(rows)
    complete = {row["trial"] for row in learned if row["trial"] != 0}
    first = min((row["seed"] for row in rows), default=0)
    if complete <= {row["trial"] for row in rows if row["seed"] != first}:
        return []
    fresh = {row["trial"] for row in learned if row["seed"] != first}
    return [row for row in learned if row["trial"] in complete & fresh and row["seed"] == first]


def _learned(rows: Iterable[Row]) -> list[Row]:
    """The runs that count and are no training that failed.

    A run with less than LEARNED_DB, where another seed of its trial has more than APART_DB above
    it, learned nothing by chance. It is no evidence of what the network can do: a mean of both is a
    score that no training has. How often that happens is counted, and reported, instead.
    """
    known = [row for row in rows if counts(row)]
    best: dict[Any, float] = {}
    for row in known:
        best[row["trial"]] = max(row[SCORE], best.get(row["trial"], row[SCORE]))
    return [row for row in known
            if row[SCORE] >= LEARNED_DB or best[row["trial"]] - row[SCORE] <= APART_DB]


def unlearned(rows: Iterable[Row]) -> list[Row]:
    """The runs that count and are in no mean since they learned nothing where another seed of their
    trial did."""
    known = list(rows)
    kept = {(row["trial"], row["seed"]) for row in _learned(known)}
    return [row for row in known if counts(row) and (row["trial"], row["seed"]) not in kept]


def failed_trainings(rows: Iterable[Row]) -> list[Row]:
    """Variants, a row each, that learned nothing where one with no more parameters and no more MACs
    did.

    Such a variant can do what the smaller one can, so its training failed by chance. Its score is
    no evidence of its hyperparameters.
    """
    known = [row for row in rows if counts(row)]
    return [row for row in known if row[SCORE] < LEARNED_DB and any(
        other["parameters"] <= row["parameters"] and other["macs_per_s"] <= row["macs_per_s"]
        and other[SCORE] - row[SCORE] > APART_DB for other in known)]


def with_seeds(row: Row) -> str:
    """How many seeds a mean is of and how far they lie apart, as in '3 seeds, sd 0.20'; empty for
    one.

    Of a chosen variant '2 fresh seeds, sd 0.20, chosen with 6.40 dB', the spread that of all three.
    """
    chosen_db = row.get("chosen_db")
    if chosen_db is not None:
        return (f"{counted(row['seeds'], 'fresh seed')}, sd {row['si_snri_sd_db']:.2f}, chosen "
                f"with {chosen_db:.2f} dB")
    return f"{row['seeds']} seeds, sd {row['si_snri_sd_db']:.2f}" if row.get("seeds", 1) > 1 else ""


def _grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """The rows under each value of the columns, by seed: their order must not matter."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in columns), []).append(row)
    return {key: sorted(some, key=lambda row: row["seed"]) for key, some in groups.items()}


def _mean_run(runs: Sequence[Row], learned: Sequence[Row], chosen_by: Row | None) -> dict[str, Any]:
    counting = [row for row in learned if row is not chosen_by]
    without = sum(not counts(row) for row in runs)
    scores = [row[SCORE] for row in learned]
    several = len(scores) > 1
    return {
        **_merged(counting or runs[:1], MEANS if VALID not in runs[0] else (*MEANS, VALID)),
        "seeds": len(counting),
        "seeds_without": without,
        "seeds_unlearned": len(runs) - len(scores) - without,
        **(_mean_outlook(counting) if len(counting) > 1 else {}),
        "chosen_db": chosen_by[SCORE] if chosen_by else None,
        "si_snri_sd_db": statistics.stdev(scores) if several else None,
        "si_snri_low_db": min(scores) if several else None,
        "si_snri_high_db": max(scores) if several else None}


def _mean_outlook(runs: Sequence[Row]) -> dict[str, float | None]:
    """What the mean gains at twice the audio, from the runs that know it.

    Its interval is their mean interval, no narrower: how a law goes on is mostly unknown, for all
    seeds alike. Nothing for rows without such columns.
    """
    if EXPECTED not in runs[0]:
        return {}
    known = [row for row in runs if row[EXPECTED] is not None]
    if not known:
        return dict.fromkeys(OUTLOOK)
    score = statistics.fmean(row[SCORE] for row in runs)
    gains = {name: score + statistics.fmean(row[name] - row[SCORE] for row in known)
             for name in OUTLOOK[1:]}
    return {OUTLOOK[0]: statistics.fmean(row[OUTLOOK[0]] for row in known), **gains}


def _merged(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, Any]:
    """The first of the rows, with means in these columns; a single row as it is."""
    means = {}
    for name in columns if len(rows) > 1 else ():
        values = [value for row in rows if (value := number(row.get(name))) is not None]
        means[name] = statistics.fmean(values) if values else None
    return {**rows[0], **means}


def pooled_seed_sd(rows: Iterable[Row]) -> tuple[float, int] | None:
    """The standard deviation in dB between seeds of one variant, pooled over the variants that have
    several, and its degrees of freedom, the seeds beyond the first of each.

    None where no variant has several. Rows are those of `per_trial`.
    """
    beyond = ((row.get("seeds", 1) - (row.get("chosen_db") is None), row) for row in rows)
    several = [(more, row["si_snri_sd_db"]) for more, row in beyond if more > 0]
    freedom = sum(more for more, _ in several)
    if not freedom:
        return None
    return math.sqrt(sum(more * sd**2 for more, sd in several) / freedom), freedom
