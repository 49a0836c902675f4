"""Whether the networks of a study have learned enough to recommend one of them.

Where nothing was learned, shrinking is free: all sizes separate equally badly. So the reference has
to do the task before a loss against it means anything. The rules, and the studies they were found
on, are in benchmarks/RESULTS.md.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from study.analysis import trials
from study.analysis.extrapolation import rising
from study.analysis.replicates import LEARNED_DB, SCORE, Row, given, pooled_seed_sd
from study.analysis.wording import decibels, percent
from study.records import Estimate
from tasnet_core.errors import counted

# Half of the other speaker's energy is left at an improvement of 10 log10(2), a quarter at twice.
HALF_DB, QUARTER_DB = 3.0, 6.0
TOLERANCE_DB = 0.5  # within it the smallest variant is recommended
BEHIND_DB = 1.0  # a reference farther behind a smaller variant is no yardstick for it
# Two trainings of one network from two seeds differ by tenths of a dB: one training proves no less.
NO_FINDING_DB = 0.3
# 19 in 20 differences between two trainings by chance are below 1.96 √2 standard deviations.
SURE = 1.96 * math.sqrt(2)
TIE = 3  # variants that make a tie: two may well be equally good
TENTH = 10
LONGER = "train longer (more --epochs, or: python -m study fidelity --budgets 4)"
CHECK = "check the recordings (python -m tasnet_core check CORPUS)"


def finding(
    rows: Iterable[Row],
    losses: Mapping[int, Estimate] | None = None,
    scores: Iterable[float] = (),
) -> str:
    """Why nothing can be recommended from these variants, and the way out; empty where one can.

    `losses` are those against the reference with their intervals, by trial; `scores` the
    reference's improvements on the test mixtures in dB, whose easiest and hardest tenth are
    printed. Without a reference the best variant stands for it.
    """
    rows = list(rows)
    known = trials.finished(rows)
    if not known:
        return ""
    base = trials.reference(known) or max(known, key=lambda row: row[SCORE])
    # The stop rule ends runs far behind a variant that costs no more: sizes matter then.
    stopped = any(row["state"] == "stopped" and row["parameters"] < base["parameters"]
                  for row in rows)
    per_mixture = sorted(score for score in scores if math.isfinite(score))
    why = _behind(base, known) or _weak(base, known, per_mixture, stopped)
    if not why and not stopped:
        why = _tied(base, known, losses or {})
    return f"No recommendation: {why}" if why else ""


def limit_db(known: Sequence[Row]) -> float:
    """Below which difference the scores of two of these variants may differ by chance."""
    spread = pooled_seed_sd(known)
    once = max(NO_FINDING_DB, SURE * spread[0] if spread else 0.0)
    seeds = (row.get("seeds", 1) for row in known if not given(row))
    return once / math.sqrt(min(seeds, default=1))


def ended(row: Row) -> bool:
    """Whether a learning curve is sure to gain next to nothing from twice the audio."""
    high, measured = row.get("si_snri_extrapolated_high_db"), row.get(SCORE)
    return high is not None and measured is not None and high - measured <= NO_FINDING_DB


def _called(base: Row) -> str:
    if base["trial"] == 0:
        return "the reference"
    return f"the best variant, trial {base['trial']}, without a reference beside it,"


def _weak(base: Row, known: Sequence[Row], scores: Sequence[float], stopped: bool) -> str:
    """A low score without the signs that no more can be learned.

    These are that size matters and, where the score is next to nothing, that the learning curve
    has ended. Networks that begin to learn score alike, whatever their size.
    """
    score, gain = base[SCORE], _gain_db(base, known)
    matters = stopped or gain is None or gain > max(TOLERANCE_DB, limit_db(known))
    learned = score >= HALF_DB or (score >= LEARNED_DB and ended(base))
    if score >= QUARTER_DB or (matters and learned):
        return ""
    left = ""
    if score > 0:
        left = f"; {percent(10 ** (-score / 10))} of the other speaker's energy is left"
    signs = [f"It improves a mixture by {decibels(score)} dB SI-SNRi (0 passes it on{left})"]
    if len(scores) >= TENTH:
        count = len(scores) // TENTH
        easy, hard = (decibels(sum(some) / count) for some in (scores[-count:], scores[:count]))
        signs.append(f"by {easy} dB on the easiest tenth of the test mixtures and by {hard} dB on "
                     "the hardest")
    if gain is not None:
        better = "worse" if gain > 0 else "better"
        apart = f"{decibels(abs(gain))} dB {better}" if round(gain, 2) else "as good"
        signs.append(f"the smallest of the variants are {apart}")
    if not ended(base):
        curve = "has not converged" if rising(base) else "has not been seen to end"
        signs.append(f"its learning curve {curve}")
    return (f"{_called(base)} cannot do the task yet. {'; '.join(signs)}. What such networks lose "
            f"when they shrink says nothing of networks that separate: {LONGER}, {CHECK}, and "
            "ask again.")


def _gain_db(base: Row, known: Sequence[Row]) -> float | None:
    """How much better the reference is than the smallest third; None where none is smaller."""
    smaller = [row for row in known if row["parameters"] < base["parameters"]]
    if not smaller:
        return None
    smallest = sorted(smaller, key=lambda row: row["parameters"])[:max(1, len(known) // 3)]
    return float(base[SCORE] - math.fsum(row[SCORE] for row in smallest) / len(smallest))


def _behind(base: Row, known: Sequence[Row]) -> str:
    """A reference far behind a smaller variant, or with which most seeds learned nothing."""
    dead, alive = base.get("seeds_unlearned", 0), base.get("seeds", 1)
    if dead > alive:
        return (f"{_called(base)} learned nothing with {dead} of {counted(dead + alive, 'seed')}, "
                "so its score is chance: train it with more seeds (python -m study confirm "
                f"{base['trial']} --seeds {dead + alive + 2}), or longer.")
    smaller = (row for row in known if row["parameters"] < base["parameters"])
    ahead = max(smaller, key=lambda row: row[SCORE], default=base)
    lag = ahead[SCORE] - base[SCORE]
    if ahead[SCORE] < LEARNED_DB or lag <= max(BEHIND_DB, limit_db(known)):
        return ""
    return (f"{_called(base)} has {decibels(base[SCORE])} dB SI-SNRi and is {decibels(lag)} dB "
            f"behind trial {ahead['trial']}, which is smaller. It can do what that one can, so its "
            "training failed or was too short, and a loss against it means nothing: "
            f"{LONGER}, or with other seeds (python -m study confirm {base['trial']}).")


def _tied(base: Row, known: Sequence[Row], losses: Mapping[int, Estimate]) -> str:
    """All sizes score alike, as far as chance lets one see."""
    limit = limit_db(known)
    if len(known) < TIE:
        return ""
    for row in known:
        loss = losses.get(row["trial"])
        by_chance = loss and loss.low <= 0 <= loss.high
        if abs(base[SCORE] - row[SCORE]) > limit and not by_chance:
            return ""
    scores, sizes = ([row[name] for row in known] for name in (SCORE, "parameters"))
    return (f"all {len(known)} variants, of {min(sizes):,} to {max(sizes):,} parameters, score "
            f"alike: {decibels(min(scores))} to {decibels(max(scores))} dB SI-SNRi, which chance "
            "explains. Either none has learned what tells sizes apart, or the smallest is large "
            f"enough: {LONGER}, try smaller ones, or train each with more seeds "
            "(python -m study confirm --seeds 3).")
