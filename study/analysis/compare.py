"""Two variants side by side: their costs, their scores, and whether the difference is one.

Text for a terminal.
"""

import operator
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from study.analysis import trials, wording
from study.analysis.analyse import comparable, learned_nothing
from study.analysis.learned import finding
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import BESIDE, SCORE, Row, number, per_trial, seeds_in_means
from study.analysis.uncertainty import SeedSpread, Uncertainty
from study.analysis.wording import decibels, signed
from study.records import COSTS, Estimate
from study.space.searched import value_of, varied
from tasnet_core.errors import UserError, counted


def compare(runs: Sequence[Row], scores: Mixtures, a: int, b: int) -> list[str]:
    """Lines on trials `a` and `b`, from the runs of their study and the scores of these.

    Raises:
        UserError: one of them is not in the study, or has no score.
    """
    kept, scores, notes = comparable(runs, scores)
    rows = per_trial(kept)
    by_number = {row["trial"]: row for row in rows}
    for trial in (a, b):
        _check(trial, {run["trial"] for run in runs}, by_number)
    pair = by_number[a], by_number[b]
    known = trials.finished(rows)
    seeds = seeds_in_means(known)
    uncertainty = Uncertainty(scores.per_trial(kept), seeds, SeedSpread.of(known))
    estimates = uncertainty.scores([a, b])
    names = trials.names(rows)
    lines = [
        ["", f"trial {a}", f"trial {b}", ""],
        ["", names[a], names[b], ""],
        *([name, *_cells(pair, name, value_of), ""] for name in varied(pair)),
        *_costs(pair),
        ["seeds", str(pair[0]["seeds"]), str(pair[1]["seeds"]), ""],
        ["SI-SNRi", *(_score(row, estimates.get(row["trial"])) for row in pair), ""],
        *([wording.TITLES[name][0], *_cells(pair, name), ""]
          for name in BESIDE if all(number(row[name]) is not None for row in pair))]
    tested = uncertainty.test_scores
    unlearned = learned_nothing([run for run in kept if run["trial"] in (a, b)])
    return [*_columns(lines), "", *_difference(uncertainty, a, b), *_by_sexes(tested, a, b), *notes,
            *unlearned, *filter(None, [finding(rows)])]


def _check(trial: int, everyone: Collection[int], comparable: Mapping[int, Row]) -> None:
    if trial not in everyone:
        raise UserError(f"trial {trial}: not in this study; see: python -m study status")
    if trial not in comparable:
        raise UserError(f"trial {trial}: tested on other mixtures than the reference, so it "
                        "cannot be compared")
    row = comparable[trial]
    if row["state"] != "complete" or number(row[SCORE]) is None:
        raise UserError(f"trial {trial}: is {row['state']}, and only trials with scores can be "
                        f"compared; see: python -m study show {trial}")


def _cells(
    pair: Iterable[Row], name: str, of: Callable[[Row, str], Any] = operator.getitem
) -> list[str]:
    return [wording.cell(name, of(row, name)) for row in pair]


def _costs(pair: tuple[Row, Row]) -> list[list[str]]:
    lines = []
    for name in COSTS:
        here, there = (number(row[name]) for row in pair)
        if here is not None and there is not None:
            title, unit = wording.TITLES[name]
            factor = f"× {here / there:.2g}" if there else ""
            lines.append([f"{title} ({unit})", *_cells(pair, name), factor])
    return lines


def _score(row: Row, estimate: Estimate | None) -> str:
    ends = f" [{decibels(estimate.low)}, {decibels(estimate.high)}]" if estimate else ""
    return f"{decibels(row[SCORE])} dB{ends}"


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells under each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [[text.ljust(width) for text, width in zip(line, widths, strict=True)]
              for line in lines]
    return ["  ".join(line).rstrip() for line in padded]


def _difference(uncertainty: Uncertainty, a: int, b: int) -> list[str]:
    better = uncertainty.test_scores.of(a, SCORE) - uncertainty.test_scores.of(b, SCORE)
    better = better[np.isfinite(better)]
    found = uncertainty.difference(a, b)
    if found is None and not len(better):
        return [f"trials {a} and {b}: no test mixture has scores of both"]
    if found is None:
        return [f"trial {a} against trial {b}: {signed(float(better.mean()))} dB; too few "
                "speakers in the test to say how sure that is"]
    spread = uncertainty.spread
    sure = "no variant has several seeds, so it holds for these trainings, not for the variants"
    if spread:
        sure = (f"the interval includes the spread of seeds (sd {spread.sd_db:.2f} dB, "
                f"{spread.freedom} degrees of freedom)")
    low, value, high = (signed(end) for end in (found.db.low, found.db.value, found.db.high))
    return [f"trial {a} against trial {b}: {value} dB [{low}, {high}], p = {found.p:.2g}; {sure}",
            f"better on {int((better > 0).sum())} of {counted(found.mixtures, 'mixture')}",
            uncertainty.of_whom()]


def _by_sexes(scores: Mixtures, a: int, b: int) -> list[str]:
    """The difference by pair of sexes, where they are known."""
    difference = scores.of(a, SCORE) - scores.of(b, SCORE)
    lines = []
    for pair in sorted({pair for pair in scores.sexes if "F" in pair or "M" in pair}):
        inside = np.array([other == pair for other in scores.sexes])
        own = difference[inside & np.isfinite(difference)]
        if len(own):
            mean = signed(float(own.mean()))
            lines.append(f"  {pair}: {mean} dB over {counted(len(own), 'mixture')}")
    return lines
