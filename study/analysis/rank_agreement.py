"""How well scores at one budget agree with those at another: ranks, the smallest, fronts.

From rows alone.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy

from study.analysis import trials
from study.analysis.extrapolation import next_doubling
from study.analysis.learned import TOLERANCE_DB, finding
from study.analysis.replicates import SCORE, Row, given
from study.analysis.wording import signed
from study.records import Estimate

# Variance of atanh(tau) times (n - 4): Fieller, Hartley and Pearson 1957, for tau well below 1.
FIELLER = 0.437
LEAST = 5  # variants from which on tau has an interval


class Agreement(NamedTuple):
    """Scores of the same variants at the budget asked about and at the one that is believed."""

    variants: int
    tau: Estimate  # Kendall's tau-b of the two orders, with its 95 % interval
    difference_db: float  # mean absolute difference of scores
    gain_db: float  # mean difference: believed minus asked about
    # The smallest within TOLERANCE_DB of the reference, at the budget asked about and at the other;
    # empty where nothing can be recommended (`learned.finding`).
    pick: str
    believed_pick: str
    regret_db: float | None  # by how much the pick is worse than the other, where believed
    front: float  # share of the variants on either front that are on both


def agreement(rows: Sequence[Row], believed: Sequence[Row]) -> Agreement | None:
    """Compare rows of two studies, one per variant; None where fewer than two variants have both
    scores, or no reference."""
    # The first trial of a variant: of a given reference that as it is, not the adapted one.
    mine, theirs = ({row["variant"]: row for row in reversed(trials.finished(some))}
                    for some in (rows, believed))
    both = [key for key in reversed(mine) if key in theirs]
    base = next((row["variant"] for row in theirs.values() if row["trial"] == 0), None)
    if len(both) < 2 or base is None or base not in both:
        return None
    names = trials.names([theirs[key] for key in both])
    shared = [[some[key] for key in both] for some in (mine, theirs)]
    # A network that was given has one score at any budget.
    scores = np.array([[row[SCORE] for row in some if not given(row)] for some in shared])
    if scores.shape[1] < 2:
        return None
    picks = ["" if finding(whole) else pick(some, base)
             for whole, some in zip((rows, believed), shared, strict=True)]
    fronts = [{row["variant"] for row in trials.front(some)} for some in shared]
    gains = scores[1] - scores[0]
    regret = theirs[picks[1]][SCORE] - theirs[picks[0]][SCORE] if all(picks) else None
    named = [key and names[theirs[key]["trial"]] for key in picks]
    return Agreement(
        variants=len(both), tau=tau(*scores), difference_db=float(np.abs(gains).mean()),
        gain_db=float(gains.mean()), pick=named[0], believed_pick=named[1], regret_db=regret,
        front=len(fronts[0] & fronts[1]) / len(fronts[0] | fronts[1]))


def pick(rows: Sequence[Row], base: str) -> str:
    """The key of the smallest variant within TOLERANCE_DB of the reference, which is `base`."""
    reference = next(row for row in rows if row["variant"] == base)
    found = trials.smallest_within(
        rows, lambda row: float(reference[SCORE] - row[SCORE]), TOLERANCE_DB)
    return str((found or reference)["variant"])


def tau(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray) -> Estimate:
    """Kendall's tau-b and its 95 % interval by Fisher's transformation; the widest there is below
    LEAST values.

    A perfect order is treated as half a pair away from it: else its interval had no width.
    """
    found, n = float(scipy.stats.kendalltau(one, other).statistic), len(one)
    if n < LEAST or not math.isfinite(found):
        return Estimate(found, -1.0, 1.0)
    inner = 1 - 1 / math.comb(n, 2)
    half = 1.96 * math.sqrt(FIELLER / (n - 4))
    z = math.atanh(max(-inner, min(inner, found)))
    return Estimate(found, min(found, math.tanh(z - half)), max(found, math.tanh(z + half)))


def lines(studies: Sequence[tuple[str, Sequence[Row]]]) -> list[str]:
    """A Markdown table: how well each study, a row per variant, agrees with the last."""
    name, believed = studies[-1]
    columns = (
        "study", "s of audio", "variants", "Kendall's τ [95 %]", "mean difference, dB",
        "mean gain, dB", f"smallest within {TOLERANCE_DB:g} dB",
        "worse than the right choice by, dB", "on both fronts")
    table = [f"Against {name}, trained on {_audio(believed)} s of audio:", "",
             f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    for other, rows in studies[:-1]:
        found = agreement(rows, believed)
        if found is None:
            continue
        low, high = (f"{end:.2f}" for end in found.tau[1:])
        mine, right = (name or "none: too little learned"
                       for name in (found.pick, found.believed_pick))
        cells = (
            other, _audio(rows), str(found.variants), f"{found.tau.value:.2f} [{low}, {high}]",
            f"{found.difference_db:.2f}", f"{found.gain_db:+.2f}",
            mine if mine == right else f"{mine}, not {right}",
            "" if found.regret_db is None else f"{found.regret_db:.2f}",
            f"{100 * found.front:.0f} %")
        table.append(f"| {' | '.join(cells)} |")
    return [*table, *_next(*(rows for _, rows in studies[-2:]))]


def _next(before: Sequence[Row], last: Sequence[Row]) -> list[str]:
    """What the next doubling of the audio would bring, where the last two studies are one apart."""
    shorter = {row["variant"]: row for row in trials.finished(before)}
    rows = [row for row in trials.finished(last) if row["variant"] in shorter]
    if any(not math.isclose(row["audio_s"], 2 * shorter[row["variant"]]["audio_s"], rel_tol=0.01)
           for row in rows):
        return []
    gains = [row[SCORE] - shorter[row["variant"]][SCORE] for row in rows]
    found = next_doubling([row["parameters"] for row in rows], gains)
    if found is None:
        return []
    by_size = sorted(zip((row["parameters"] for row in rows), found, strict=True))
    largest, smallest = (
        f"{signed(gain.value)} dB [{signed(gain.low)}, {signed(gain.high)}]"
        for _, gain in (by_size[-1], by_size[0]))
    return ["", f"The last doubling of the audio brought {signed(float(np.mean(gains)))} dB on "
            f"average; the next is forecast to bring the largest {largest}, the smallest "
            f"{smallest}."]


def _audio(rows: Sequence[Row]) -> str:
    trained = sorted({row["audio_s"] for row in trials.finished(rows)})
    if not trained:
        return "none"
    return " to ".join(f"{seconds:,.0f}" for seconds in dict.fromkeys((trained[0], trained[-1])))
