"""What a report says in figures and words, worked out from rows: names, the front, tables.

A row is a variant, as `replicates.per_trial` makes it of the view `results`; `runs` are the rows of that view, one per trial
and seed. A score that is missing, infinite or not a number is None here, and an empty cell in every table.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from study import pareto
from study.fidelity import rising
from study.records import Estimate
from study.replicates import OUTLOOK, SCORE, SCORES, Row, number, per_trial
from study.searched import FLAGS, VARIED, changes, short, value_of, varied
from study.testset import Mixtures
from tasnet_core.cells import as_cell
from tasnet_core.errors import counted
from tasnet_core.terminal import plain

Titles = Mapping[str, tuple[str, str]]  # by column: what stands above it, and the unit

COSTS = ("parameters", "macs_per_s")
RISING = "\N{UPWARDS ARROW}"     # of a variant that is sure to gain from more sound


class Table(NamedTuple):
    """Column names, the unit in each, and cells as plain values."""

    columns: tuple[str, ...]
    rows: list[list[Any]]


# What people read above a column, and in which unit. Files for machines keep the column's own name.
TITLES = {
    "trial": ("trial", ""), "name": ("variant", "against the reference"), "state": ("state", ""),
    "si_snri_db": ("SI-SNRi", "dB"), "si_snr_db": ("SI-SNR", "dB"), "sdri_db": ("SDRi", "dB"),
    "sdr_db": ("SDR", "dB"), "stoi": ("STOI", "0 to 1"), "pesq": ("PESQ", "MOS"),
    "sexes": ("sexes", "of the speakers"), "scored": ("scored", "mixtures"), "segment_s": ("segments", "s"),
    "loss_db": ("loss", "dB below the reference"), "low_db": ("from", "dB, 95 %"), "high_db": ("to", "dB, 95 %"),
    "loss_low_db": ("from", "dB, 95 %"), "loss_high_db": ("to", "dB, 95 %"), "p": ("p", "of the loss, Holm"),
    "chance": ("chance", "of being on the front"),
    "parameters": ("parameters", "count"), "parameters_fraction": ("parameters", "of the reference's"),
    "macs_per_s": ("MACs", "per s of sound"), "macs_fraction": ("MACs", "of the reference's"),
    "receptive_field_s": ("receptive field", "s"), "peak_memory_bytes": ("memory", "bytes"),
    "realtime_factor": ("real-time factor", "one thread"), "audio_s": ("trained on", "s of sound"),
    "seconds": ("wall time", "s"), "seed": ("seed", ""), "kind": ("kind", "of failure"), "reason": ("reason", ""),
    "init": ("weights", "at the start"),
    "rising": ("rising", "with more sound"), "slope_db_per_doubling": ("slope", "dB per doubling of sound"),
    "si_snri_extrapolated_db": ("twice the sound", "dB, fitted"), "si_snri_extrapolated_low_db": ("from", "dB, 95 %"),
    "si_snri_extrapolated_high_db": ("to", "dB, 95 %"),
    "seeds": ("seeds", "in the mean"), "seeds_without": ("seeds", "without a score"),
    "seeds_unlearned": ("seeds", "that learned nothing, in no mean"), "si_snri_sd_db": ("sd", "dB between seeds"),
}
FRONT_COLUMNS = ("trial", "name", *VARIED, "seeds", "seeds_without", "seeds_unlearned", "si_snri_db", "low_db",
                 "high_db", "si_snri_sd_db", "rising", *OUTLOOK, "loss_db", "loss_low_db", "loss_high_db", "p", "chance",
                 "parameters", "parameters_fraction", "macs_per_s", "macs_fraction", "si_snr_db", "sdri_db", "stoi", "pesq",
                 "receptive_field_s", "peak_memory_bytes", "realtime_factor")
# What people see of them. A column is left out there that holds nothing, or nothing else than what goes without saying.
SAID_ANYWAY = {"seeds": 1, "seeds_unlearned": 0}
FRONT_READ = ("trial", "name", "si_snri_db", "low_db", "high_db", "seeds", "seeds_unlearned", "si_snri_sd_db", "rising",
              *OUTLOOK[1:], "loss_db", "loss_low_db", "loss_high_db", "p", "chance", "parameters", "parameters_fraction",
              "macs_per_s", "macs_fraction", "sdri_db", "stoi", "pesq", "receptive_field_s",
              "realtime_factor")
RUNS_READ = ("trial", "name", "seed", "state", "si_snri_db", "rising", "slope_db_per_doubling", "loss_db", "parameters",
             "macs_per_s", "sdri_db", "stoi", "pesq", "audio_s", "seconds", "kind", "reason")


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


def front_table(rows: Sequence[Row]) -> Table:
    """One line per variant on the front, cheapest first."""
    by_trial = {row["trial"]: row for row in compared(rows, reference(rows))}
    return Table(FRONT_COLUMNS, [[by_trial[row["trial"]].get(name) for name in FRONT_COLUMNS]
                                 for row in front(rows)])


def runs_table(runs: Sequence[Row]) -> Table:
    """One line per run, whatever became of it, with every column there is; losses are against the reference's mean."""
    full = compared(runs, reference(per_trial(runs)))
    columns = tuple(full[0])
    return Table(columns, [[row[name] for name in columns] for row in full])


def sexes_table(rows: Sequence[Row], heard: Mixtures) -> Table:
    """For every finished variant and pair of sexes (FF, FM, MM; MF is FM) how many mixtures are scored, and the mean
    of every score over them; owners of the mixtures are trials. Without rows where no speaker's sex is known."""
    short, lines = names(rows), []
    pairs = sorted(set(heard.sexes))
    if not any("F" in pair or "M" in pair for pair in pairs):
        return Table(("trial", "name", "sexes", "scored", *SCORES), [])
    inside = {pair: np.array([own == pair for own in heard.sexes]) for pair in pairs}
    for row in finished(rows):
        own = {score: heard.of(row["trial"], score) for score in SCORES}
        there = np.isfinite(own[SCORE])
        for pair in pairs:
            if scored := int((inside[pair] & there).sum()):
                lines.append([row["trial"], short[row["trial"]], pair, scored,
                              *(_mean(own[score][inside[pair] & there]) for score in SCORES)])
    return Table(("trial", "name", "sexes", "scored", *SCORES), lines)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return math.fsum(known) / len(known) if len(known) else None


def pairs_beside_each_other(rows: Sequence[Row], heard: Mixtures) -> tuple[Table, dict[str, tuple[str, str]]]:
    """SI-SNRi by pair of sexes, one line for the reference and each variant of the front; and the titles of its columns."""
    found = {(line[0], line[2]): line for line in sexes_table(rows, heard).rows}
    pairs = sorted({pair for _, pair in found})
    shown = [row for row in finished(rows) if row["trial"] == 0]
    shown += [row for row in front(rows) if row["trial"] != 0]
    short, place = names(rows), 4 + SCORES.index(SCORE)
    lines = [[row["trial"], short[row["trial"]], *(found[row["trial"], pair][place] if (row["trial"], pair) in found else None
                                                   for pair in pairs)] for row in shown]
    most = {pair: max(line[3] for (_, other), line in found.items() if other == pair) for pair in pairs}
    titles = {f"{pair}_db": (pair, f"dB, {counted(most[pair], 'mixture')}") for pair in pairs}
    return Table(("trial", "name", *titles), lines if pairs else []), titles


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


def readable(table: Table, columns: Sequence[str]) -> Table:
    """The chosen columns that tell anything, in the chosen order."""
    where = {name: i for i, name in enumerate(table.columns)}
    kept = tuple(name for name in columns
                 if name in where and any(row[where[name]] not in (None, "", SAID_ANYWAY.get(name)) for row in table.rows))
    return Table(kept, [[row[where[name]] for name in kept] for row in table.rows])


def cell(column: str, value: Any) -> str:
    """A value as people read it."""
    if value is None or value == "":
        return "as norm" if column == "input_norm" else ""
    if column in FLAGS:     # SQL and files know them as 0 and 1
        return "yes" if value else "no"
    if column in VARIED:
        return f"{value:g}" if isinstance(value, float) else str(value)
    if column.endswith("_fraction"):
        return percent(value)
    if column == "chance":  # no surer than the draws are
        return "> 99 %" if value > 0.99 else "< 1 %" if value < 0.01 else f"{100 * value:.0f} %"
    if column.endswith(("_db", "_per_doubling", "stoi", "pesq")):
        return decibels(value)
    if column == "macs_per_s":
        return engineering(value)
    if column.endswith("parameters") or column in ("peak_memory_bytes", "audio_s", "seconds"):
        return f"{value:,.0f}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def decibels(value: float) -> str:
    """Two decimals, with a real minus sign and no minus before zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def signed(value: float) -> str:
    """Two decimals with their sign."""
    text = decibels(value)
    return text if text.startswith("\N{MINUS SIGN}") or text == "0.00" else f"+{text}"


def change(loss: Estimate) -> str:
    """A loss as what happens to the score, with its interval: '−0.20 dB [−0.30, −0.10]'."""
    return f"{signed(-loss.value)} dB [{signed(-loss.high)}, {signed(-loss.low)}]"


def percent(fraction: float) -> str:
    """Whole per cent; below ten with a decimal."""
    value = 100 * fraction
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %"


def engineering(value: float) -> str:
    """Three digits and k, M or G: 1234567 is 1.23M."""
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            digits = f"{value / limit:#.3g}" if abs(value) < 999.5 * limit else f"{value / limit:,.0f}"
            return digits.rstrip(".") + letter
    return f"{value:.3g}"


def as_csv(table: Table) -> str:
    """For machines: every digit, an empty cell where there is no value; no text is a formula there (`tasnet_core.cells`)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([as_cell(value) if isinstance(value, str) else value for value in row] for row in table.rows)
    return text.getvalue()


# Of these the best is bold in print: the highest score, the lowest cost.
HIGHEST, LOWEST = (*SCORES,), ("parameters", "macs_per_s", "peak_memory_bytes", "realtime_factor")


def best(table: Table) -> set[tuple[int, str]]:
    """Line and column of each value that no other in its column is better than, as far as two decimals or three digits show."""
    found: set[tuple[int, str]] = set()
    for place, name in enumerate(table.columns):
        values = {line: value for line, row in enumerate(table.rows) if (value := number(row[place])) is not None}
        if name in (*HIGHEST, *LOWEST) and len(values) > 1:
            top = cell(name, (max if name in HIGHEST else min)(values.values()))
            found |= {(line, name) for line, value in values.items() if cell(name, value) == top}
    return found


MARKS = re.compile(r"[\\`\[\]<>|]")     # what would be a link, an element or code in Markdown, or end a cell


def as_markdown(table: Table, titles: Titles = {}) -> str:  # noqa: B006  # never changed
    """For a README or an issue."""
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(MARKS.sub(r"\\\g<0>", plain(text.replace("\n", " "))) for text in cells) + " |"

    marks = ["---" if _is_text(table, i) else "---:" for i in range(len(table.columns))]
    bold = best(table)
    body = [line(f"**{cell(name, value)}**" if (i, name) in bold else cell(name, value)
                 for name, value in zip(table.columns, row, strict=True)) for i, row in enumerate(table.rows)]
    heads = line(_heading({**TITLES, **titles}, name) for name in table.columns)
    return "\n".join([heads, "| " + " | ".join(marks) + " |", *body]) + "\n"


TEX = str.maketrans({"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "_": r"\_",
                     "#": r"\#", "$": r"\$", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
                     "\N{MINUS SIGN}": "$-$", RISING: r"$\uparrow$"})


def as_tex(table: Table, titles: Titles = {}) -> str:  # noqa: B006  # never changed
    """For a paper, with the rules of the booktabs package."""
    places = "".join("l" if _is_text(table, i) else "r" for i in range(len(table.columns)))
    heads = [[{**TITLES, **titles}.get(name, (name, ""))[part] for name in table.columns] for part in (0, 1)]
    bold = best(table)

    def text(line: int, name: str, value: Any) -> str:
        shown = plain(cell(name, value).replace("\n", " ")).translate(TEX)
        return rf"\textbf{{{shown}}}" if (line, name) in bold else shown

    body = [[text(i, name, value) for name, value in zip(table.columns, row, strict=True)] for i, row in enumerate(table.rows)]
    lines = [" & ".join(row) + r" \\" for row in (*([title.translate(TEX) for title in row] for row in heads), *body)]
    return "\n".join([rf"\begin{{tabular}}{{{places}}}", r"\toprule", *lines[:2], r"\midrule", *lines[2:],
                      r"\bottomrule", r"\end{tabular}"]) + "\n"


def _heading(titles: Titles, column: str) -> str:
    title, unit = titles.get(column, (column, ""))
    return f"{title} ({unit})" if unit else title


def _is_text(table: Table, column: int) -> bool:
    return any(isinstance(row[column], str) and row[column] for row in table.rows)
