"""Which variant to take: the smallest near the reference, the knee of the front, the best within a limit. A sentence each."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from study.analysis import trials
from study.analysis.bootstrap import Repeated
from study.analysis.learned import finding
from study.analysis.replicates import SCORE, Row, number
from study.analysis.wording import change, decibels, engineering, percent, signed
from study.records import Estimate

TOLERANCES_DB = (0.1, 0.5, 1.0)
LIMITED = {"parameters": "parameters", "macs_per_s": "MACs per second", "realtime_factor": "real-time factor"}


class Pick(NamedTuple):
    """One recommendation."""

    title: str
    sentence: str
    trial: int | None           # None: nothing fits
    confidence: float | None    # that it is as near as it is said to be; None where nothing can be said


def picks(rows: Sequence[Row], losses: Mapping[int, Estimate], repeated: Repeated | None,
          limits: Sequence[Mapping[str, float]] = ()) -> list[Pick]:
    """Every pick from the finished variants, a row each; none where nothing can be recommended (`learned.finding`). Without
    `limits`, a tenth of the reference's parameters and a quarter of its MACs stand for a small device."""
    if finding(rows, losses):
        return []
    base, known = trials.reference(rows), trials.finished(rows)
    found = []
    if base is not None and base in known:
        found += [_within(known, base, losses, repeated, limit_db) for limit_db in TOLERANCES_DB]
        limits = limits or [{"parameters": _rounded(base["parameters"] / 10)}, {"macs_per_s": _rounded(base["macs_per_s"] / 4)}]
    knee = _knee(known, base, losses)
    return [*found, *([knee] if knee else []), *(_best(known, base, losses, limit) for limit in limits)]


def _rounded(value: float) -> float:
    """To two digits: a limit is a round number."""
    return float(f"{value:.2g}")


def _within(known: Sequence[Row], base: Row, losses: Mapping[int, Estimate], repeated: Repeated | None,
            limit_db: float) -> Pick:
    """The smallest variant at most so far below the reference, and how sure it is that it is."""
    title = f"Within {limit_db:g} dB"
    smaller = [row for row in known if row["parameters"] < base["parameters"]]
    pick = trials.smallest_within(smaller, lambda row: _loss_db(row, base, losses), limit_db)
    if pick is None:
        return Pick(title, f"No smaller variant comes within {limit_db:g} dB of the reference.", None, None)
    chance = (repeated.within([pick["trial"]], 0, limit_db) if repeated else {}).get(pick["trial"])
    sure = "" if chance is None else f"; that it is within {limit_db:g} dB: {_chance(chance)}"
    return Pick(title, f"The smallest within {limit_db:g} dB of the reference: {_told(pick, known, base, losses)}{sure}.",
                pick["trial"], chance)


def _loss_db(row: Row, base: Row, losses: Mapping[int, Estimate]) -> float:
    """Below the reference: on the mixtures that have scores of both where that is known, else of the means."""
    loss = losses.get(row["trial"])
    return float(loss.value if loss else base[SCORE] - row[SCORE])


def _chance(chance: float) -> str:
    """In whole per cent, never surer than the draws are."""
    return "over 99 %" if chance > 0.99 else "under 1 %" if chance < 0.01 else f"{100 * chance:.0f} %"


def _told(row: Row, known: Sequence[Row], base: Row | None, losses: Mapping[int, Estimate]) -> str:
    """A variant with its costs, and what it loses."""
    costs = f"{engineering(row['parameters'])} parameters, {engineering(row['macs_per_s'])} MACs per second"
    name = trials.names([*known, *([base] if base is not None and base not in known else [])])[row["trial"]]
    told = f"trial {row['trial']} ({name}) with {costs}"
    if base is None or base not in known:
        return f"{told}, {decibels(row[SCORE])} dB SI-SNRi"
    if row["trial"] == base["trial"]:
        return f"{told}, the reference itself, {decibels(row[SCORE])} dB SI-SNRi"
    shares = " and ".join(percent(row[cost] / base[cost]) for cost in trials.COSTS)
    loss = losses.get(row["trial"])
    against = change(loss) if loss else f"{signed(row[SCORE] - base[SCORE])} dB"
    return f"{told} ({shares} of the reference's), {against} against it"


def _knee(known: Sequence[Row], base: Row | None, losses: Mapping[int, Estimate]) -> Pick | None:
    """Where the front of score over log parameters bulges most above the straight line between its ends (Satopaa et al. 2011,
    without smoothing); None with fewer than three variants on it."""
    front = trials.front(known, ("parameters",))
    ends = front[:1] + front[-1:]
    if len(front) < 3 or ends[0][SCORE] == ends[1][SCORE]:
        return None
    places = [(math.log2(row["parameters"] / ends[0]["parameters"]), row[SCORE] - ends[0][SCORE]) for row in front]
    across, up = places[-1]
    bulges = [y / up - x / across for x, y in places]
    at = max(range(1, len(front) - 1), key=lambda i: (bulges[i], -i))
    if bulges[at] <= 0:
        return None
    x, y = places[at]
    told = (f"The knee of the front: {_told(front[at], known, base, losses)}; smaller ones lose {decibels(y / x)} dB for each "
            f"halving of the parameters, larger ones gain {decibels((up - y) / (across - x))} dB for each doubling.")
    return Pick("Knee", told, front[at]["trial"], None)


def _amount(name: str, value: float) -> str:
    return f"{re.sub(r'[.]0+(?=[kMG]|$)', '', engineering(value))} {LIMITED[name]}"


def _best(known: Sequence[Row], base: Row | None, losses: Mapping[int, Estimate], limits: Mapping[str, float]) -> Pick:
    """The best score within every one of the limits."""
    words = " and ".join(_amount(name, value) for name, value in limits.items())
    fit = [row for row in known if all((number(row[name]) or math.inf) <= value for name, value in limits.items())]
    if not fit:
        least = {name: min((number(row[name]) or math.inf for row in known), default=math.inf) for name in limits}
        found = ", ".join(f"no {LIMITED[name]} measured" if value == math.inf else _amount(name, value)
                          for name, value in least.items())
        return Pick(f"At most {words}", f"No variant has at most {words}; the least there is: {found}.", None, None)
    pick = max(fit, key=lambda row: (row[SCORE], -row["parameters"], -row["trial"]))
    return Pick(f"At most {words}", f"The best with at most {words}: {_told(pick, known, base, losses)}.", pick["trial"], None)
