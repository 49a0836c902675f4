"""Two variants side by side: what they cost, what they score, and whether the difference is one. Text for a terminal."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from study.analysis import trials, wording
from study.analysis.analyse import comparable, learned_nothing
from study.analysis.bootstrap import Repeated, SeedSpread
from study.analysis.learned import finding
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import SCORE, Row, number, per_trial
from study.analysis.wording import decibels, signed
from study.records import Estimate
from study.space.searched import value_of, varied
from tasnet_core.errors import UserError, counted

COSTS = ("parameters", "macs_per_s", "receptive_field_s", "peak_memory_bytes", "realtime_factor")


def compare(runs: Sequence[Row], heard: Mixtures, a: int, b: int) -> list[str]:
    """Lines on trials `a` and `b`, from the runs of their study and the scores of these.

    Raises:
        UserError: one of them is not in the study, or has no score.
    """
    kept, heard, notes = comparable(runs, heard)
    by_number = {row["trial"]: row for row in per_trial(kept)}
    everyone = {run["trial"] for run in runs}
    for trial in (a, b):
        if trial not in everyone:
            raise UserError(f"trial {trial}: not in this study; see: python -m study status")
        if trial not in by_number:
            raise UserError(f"trial {trial}: tested on other mixtures than the reference, so it cannot be compared")
        if by_number[trial]["state"] != "complete" or number(by_number[trial][SCORE]) is None:
            raise UserError(f"trial {trial}: is {by_number[trial]['state']}, and only trials with scores can be compared; "
                            f"see: python -m study show {trial}")
    mine, other = by_number[a], by_number[b]
    known = trials.finished(by_number.values())
    repeated = Repeated(heard.per_trial(kept), {row["trial"]: row["seeds"] for row in known}, SeedSpread.of(known))
    estimates = repeated.scores([a, b])
    names = trials.names(list(by_number.values()))
    lines = [["", *(f"trial {row['trial']}" for row in (mine, other)), ""],
             ["", names[a], names[b], ""], *_letters(mine, other), *_costs(mine, other),
             ["seeds", str(mine["seeds"]), str(other["seeds"]), ""],
             ["SI-SNRi", *(_score(row, estimates.get(row["trial"])) for row in (mine, other)), ""],
             *_scores(mine, other)]
    return [*_columns(lines), "", *_difference(repeated, a, b), *_by_sexes(repeated.heard, a, b), *notes,
            *learned_nothing([run for run in kept if run["trial"] in (a, b)]), *filter(None, [finding(by_number.values())])]


def _letters(mine: Row, other: Row) -> list[list[str]]:
    return [[name, *(wording.cell(name, value_of(row, name)) for row in (mine, other)), ""] for name in varied((mine, other))]


def _costs(mine: Row, other: Row) -> list[list[str]]:
    lines = []
    for name in COSTS:
        here, there = number(mine[name]), number(other[name])
        if here is not None and there is not None:
            title, unit = wording.TITLES[name]
            lines.append([f"{title} ({unit})", *(wording.cell(name, value) for value in (here, there)),
                          f"× {here / there:.2g}" if there else ""])
    return lines


def _score(row: Row, estimate: Estimate | None) -> str:
    ends = f" [{decibels(estimate.low)}, {decibels(estimate.high)}]" if estimate else ""
    return f"{decibels(row[SCORE])} dB{ends}"


def _scores(mine: Row, other: Row) -> list[list[str]]:
    return [[wording.TITLES[name][0], *(wording.cell(name, row[name]) for row in (mine, other)), ""]
            for name in ("sdri_db", "stoi", "pesq") if None not in (number(mine[name]), number(other[name]))]


def _columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells under each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _difference(repeated: Repeated, a: int, b: int) -> list[str]:
    better = repeated.heard.of(a, SCORE) - repeated.heard.of(b, SCORE)
    better = better[np.isfinite(better)]
    found = repeated.difference(a, b)
    if found is None:
        return [f"trial {a} against trial {b}: {signed(float(better.mean()))} dB; "
                "too few pairs of speakers in the test to say how sure that is" if len(better) else
                f"trials {a} and {b}: no test mixture has scores of both"]
    sure = (f"the spread of seeds (sd {repeated.spread.sd_db:.2f} dB, {repeated.spread.freedom} degrees of freedom) is in it"
            if repeated.spread else "no variant has several seeds, so it speaks of these trainings, not of the variants")
    return [f"trial {a} against trial {b}: {signed(found.db.value)} dB [{signed(found.db.low)}, {signed(found.db.high)}], "
            f"p = {found.p:.2g}; {sure}",
            f"better on {int((better > 0).sum())} of {counted(found.mixtures, 'mixture')}, "
            f"which {'is' if repeated.pairs == 1 else 'are'} of {counted(repeated.pairs, 'pair')} of speakers"]


def _by_sexes(heard: Mixtures, a: int, b: int) -> list[str]:
    """The difference by pair of sexes, where they are known."""
    difference: Any = heard.of(a, SCORE) - heard.of(b, SCORE)
    lines = []
    for pair in sorted({pair for pair in heard.sexes if "F" in pair or "M" in pair}):
        own = difference[np.array([pair == other for other in heard.sexes])]
        if len(own := own[np.isfinite(own)]):
            lines.append(f"  {pair}: {signed(float(own.mean()))} dB over {counted(len(own), 'mixture')}")
    return lines
