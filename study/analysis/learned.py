"""Whether the networks of a study have learned enough to recommend one of them: asked before every pick, price and way down.

Where nothing was learned, shrinking is free: all sizes separate equally badly. So the reference has to do the task before a loss
against it means anything. What is asked, and of which studies it was learned, stands in benchmarks/RESULTS.md.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from study.analysis import trials
from study.analysis.extrapolation import rising
from study.analysis.replicates import LEARNED_DB, SCORE, Row, pooled_seed_sd
from study.analysis.wording import decibels, percent
from study.records import Estimate
from tasnet_core.errors import counted

# Of the other speaker's energy a half is left where a mixture is better by 10 log10(2), a quarter where by twice that.
HALF_DB, QUARTER_DB = 3.0, 6.0
TOLERANCE_DB = 0.5      # within it the smallest is sought: where the smallest there are lie within, the size makes no difference
BEHIND_DB = 1.0         # the widest tolerance of a pick: a reference farther behind a smaller variant is no yardstick for it
# Two trainings of one network from two seeds differ by tenths of a dB: one training each proves no less.
NO_FINDING_DB = 0.3
# Of differences between two trainings that chance alone makes, 19 in 20 are below 1.96 √2 standard deviations.
SURE = 1.96 * math.sqrt(2)
TIE = 3                 # variants that make a tie: two may well be equally good
TENTH = 10
MORE = "train longer (more --epochs, or: python -m study fidelity --budgets 4)"
CHECK = "check the recordings (python -m tasnet_core check CORPUS)"


def finding(rows: Iterable[Row], losses: Mapping[int, Estimate] | None = None, scores: Iterable[float] = ()) -> str:
    """Why nothing can be recommended from these variants, a row each, and the way out; empty where something can.

    `losses` are those against the reference with their intervals, by trial; `scores` the reference's improvements on the test
    mixtures in dB, whose easiest and hardest tenth are told. Without a reference the best variant stands for it.
    """
    rows = list(rows)
    known = trials.finished(rows)
    if not known:
        return ""
    base = trials.reference(known) or max(known, key=lambda row: row[SCORE])
    # The stop rule ends what is far behind a variant that costs no more: that sizes matter shows in it, though it has no score.
    stopped = any(row["state"] == "stopped" and row["parameters"] < base["parameters"] for row in rows)
    why = _behind(base, known) or _weak(base, known, sorted(score for score in scores if math.isfinite(score)), stopped) \
        or ("" if stopped else _tied(base, known, losses or {}))
    return f"No recommendation: {why}" if why else ""


def limit_db(known: Sequence[Row]) -> float:
    """Below which difference the scores of two of these variants may differ by chance."""
    spread = pooled_seed_sd(known)
    return max(NO_FINDING_DB, SURE * spread[0] if spread else 0.0) / math.sqrt(min(row.get("seeds", 1) for row in known))


def _called(base: Row) -> str:
    return "the reference" if base["trial"] == 0 else f"the best variant, trial {base['trial']}, without a reference beside it,"


def _weak(base: Row, known: Sequence[Row], scores: Sequence[float], stopped: bool) -> str:
    """A low score without the signs that it is what there is to learn: that size matters, and, where it is next to nothing,
    that the learning curve has ended. Networks that begin to learn score alike, whatever their size."""
    score, gain = base[SCORE], _gain_db(base, known)
    matters = stopped or gain is None or gain > max(TOLERANCE_DB, limit_db(known))
    if score >= QUARTER_DB or (matters and (score >= HALF_DB or (score >= LEARNED_DB and ended(base)))):
        return ""
    tenth = max(1, len(scores) // TENTH)
    signs = [f"It improves a mixture by {decibels(score)} dB SI-SNRi (0 passes it on"
             + (f"; {percent(10 ** (-score / 10))} of the other speaker's energy is left)" if score > 0 else ")")]
    if len(scores) >= TENTH:
        signs += [f"by {decibels(sum(scores[-tenth:]) / tenth)} dB on the easiest tenth of the test mixtures and by "
                  f"{decibels(sum(scores[:tenth]) / tenth)} dB on the hardest"]
    if gain is not None:
        apart = f"{decibels(abs(gain))} dB {'worse' if gain > 0 else 'better'}" if round(gain, 2) else "as good"
        signs += [f"the smallest of the variants are {apart}"]
    if not ended(base):
        signs += [f"its learning curve {'is still rising' if rising(base) else 'has not been seen to end'}"]
    return (f"{_called(base)} cannot do the task yet. {'; '.join(signs)}. What such networks lose when they shrink says nothing "
            f"of networks that separate: {MORE}, {CHECK}, and ask again.")


def _gain_db(base: Row, known: Sequence[Row]) -> float | None:
    """How much better the reference is than the smallest third of the variants; None where none is smaller."""
    smaller = sorted((row for row in known if row["parameters"] < base["parameters"]), key=lambda row: row["parameters"])
    smallest = smaller[:max(1, len(known) // 3)]
    return float(base[SCORE] - math.fsum(row[SCORE] for row in smallest) / len(smallest)) if smallest else None


def ended(row: Row) -> bool:
    """Whether a learning curve is sure to gain next to nothing from twice the audio."""
    high, measured = row.get("si_snri_extrapolated_high_db"), row.get(SCORE)
    return high is not None and measured is not None and high - measured <= NO_FINDING_DB


def _behind(base: Row, known: Sequence[Row]) -> str:
    """A reference that a smaller variant is far ahead of; or one that most seeds learned nothing with."""
    dead, alive = base.get("seeds_unlearned", 0), base.get("seeds", 1)
    if dead > alive:
        return (f"{_called(base)} learned nothing with {dead} of {counted(dead + alive, 'seed')}, so what it scores is chance: "
                f"train it with more seeds (python -m study confirm {base['trial']} --seeds {dead + alive + 2}), or longer.")
    ahead = max((row for row in known if row["parameters"] < base["parameters"]), key=lambda row: row[SCORE], default=base)
    lag = ahead[SCORE] - base[SCORE]
    if ahead[SCORE] < LEARNED_DB or lag <= max(BEHIND_DB, limit_db(known)):     # what learned nothing itself shows no way
        return ""
    return (f"{_called(base)} has {decibels(base[SCORE])} dB SI-SNRi and is {decibels(lag)} dB behind trial {ahead['trial']}, "
            f"which is smaller. It can do what that one can, so its training failed or was too short, and a loss against it "
            f"means nothing: {MORE}, or with other seeds (python -m study confirm {base['trial']}).")


def _tied(base: Row, known: Sequence[Row], losses: Mapping[int, Estimate]) -> str:
    """All sizes score alike, as far as chance lets one see."""
    limit = limit_db(known)
    if len(known) < TIE:
        return ""
    for row in known:
        loss = losses.get(row["trial"])
        if abs(base[SCORE] - row[SCORE]) > limit and not (loss and loss.low <= 0 <= loss.high):
            return ""
    low, high = (end(row[SCORE] for row in known) for end in (min, max))
    sizes = [end(row["parameters"] for row in known) for end in (min, max)]
    return (f"all {len(known)} variants, of {sizes[0]:,} to {sizes[1]:,} parameters, score alike: {decibels(low)} to "
            f"{decibels(high)} dB SI-SNRi, which chance explains. Either none has learned what tells sizes apart, or the "
            f"smallest is large enough: {MORE}, try smaller ones, or train each with more seeds (python -m study confirm "
            "--seeds 3).")
