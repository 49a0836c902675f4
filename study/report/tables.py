"""The tables of a report as files: CSV for machines, Markdown and LaTeX for people.

A row is a variant, as `replicates.per_trial` makes it of the view `results`; `runs` are the rows of
that view, one per trial and seed.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from study.analysis.cost_axes import KNOWN, of_devices
from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import BESIDE, OUTLOOK, SCORE, SCORES, Row, number, per_trial
from study.analysis.trials import RISING, compared, finished, front, names, reference
from study.analysis.wording import TITLES, Table, Titles, cell
from study.records import COSTS, FRONT
from study.space.searched import VARIED
from tasnet_core.cells import as_cell
from tasnet_core.errors import counted
from tasnet_core.terminal import plain

FRONT_COLUMNS = (
    "trial", "name", *VARIED, "seeds", "seeds_without", "seeds_unlearned", "si_snri_db", "low_db",
    "high_db", "si_snri_sd_db", "chosen_db", "rising", *OUTLOOK, "loss_db", "loss_low_db",
    "loss_high_db", "p", "chance", "parameters", "parameters_fraction", "macs_per_s",
    "macs_fraction", "si_snr_db", *BESIDE, *(name for name in COSTS if name not in dict(FRONT)),
)
# For people. A column without anything, or only with what goes without saying, is left out there.
SAID_ANYWAY = {"seeds": 1, "seeds_unlearned": 0}
FRONT_READ = (
    "trial", "name", "si_snri_db", "low_db", "high_db", "seeds", "seeds_unlearned", "si_snri_sd_db",
    "chosen_db", "rising", *OUTLOOK[1:], "loss_db", "loss_low_db", "loss_high_db", "p", "chance",
    "parameters", "parameters_fraction", "macs_per_s", "macs_fraction", *BESIDE,
    "receptive_field_s", "realtime_factor",
)
RUNS_READ = (
    "trial", "name", "seed", "state", "si_snri_db", "rising", "slope_db_per_doubling", "loss_db",
    "parameters", "macs_per_s", *BESIDE, "audio_s", "seconds", "kind", "reason",
)
# Of these the best is bold in print: the highest score, the lowest cost, that on a device too.
BEST = {**dict.fromkeys(SCORES, max), **dict.fromkeys(KNOWN, min)}


def front_table(rows: Sequence[Row]) -> Table:
    """One line per Pareto-optimal variant, cheapest first."""
    by_trial = {row["trial"]: row for row in compared(rows, reference(rows))}
    kept = [by_trial[row["trial"]] for row in front(rows)]
    columns = (*FRONT_COLUMNS, *device_columns(rows))
    return Table(columns, [[row.get(name) for name in columns] for row in kept])


def device_columns(rows: Sequence[Row]) -> list[str]:
    """The columns of devices, and the one that says which of them were predicted; none without."""
    axes = of_devices(rows)
    return [*axes, "predicted"] if axes else []


def runs_table(runs: Sequence[Row]) -> Table:
    """One line per run in any state, with every column; losses are against the reference's mean."""
    full = compared(runs, reference(per_trial(runs)))
    columns = tuple(full[0])
    return Table(columns, [[row[name] for name in columns] for row in full])


def sexes_table(rows: Sequence[Row], scores: Mixtures) -> Table:
    """Mean scores of every finished variant by pair of sexes: FF, FM (and MF), MM.

    Owners of the scores are trials. No rows where no speaker's sex is known.
    """
    columns = ("trial", "name", "sexes", "scored", *SCORES)
    pairs = sorted(set(scores.sexes))
    if not any("F" in pair or "M" in pair for pair in pairs):
        return Table(columns, [])
    short = names(rows)
    lines = []
    for row in finished(rows):
        own = {score: scores.of(row["trial"], score) for score in SCORES}
        for pair in pairs:
            inside = np.array([other == pair for other in scores.sexes]) & np.isfinite(own[SCORE])
            if inside.any():
                means = [_mean(own[score][inside]) for score in SCORES]
                lines.append([row["trial"], short[row["trial"]], pair, int(inside.sum()), *means])
    return Table(columns, lines)


def _mean(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return math.fsum(known) / len(known) if len(known) else None


def pairs_beside_each_other(
    rows: Sequence[Row], scores: Mixtures
) -> tuple[Table, dict[str, tuple[str, str]]]:
    """SI-SNRi by pair of sexes of the reference and the front; and the titles of its columns."""
    place = 4 + SCORES.index(SCORE)
    means: dict[tuple[int, str], float | None] = {}
    most: dict[str, int] = {}
    for line in sexes_table(rows, scores).rows:
        trial, _, pair, count = line[:4]
        means[trial, pair] = line[place]
        most[pair] = max(count, most.get(pair, 0))
    pairs = sorted(most)
    shown = [row for row in finished(rows) if row["trial"] == 0]
    shown += [row for row in front(rows) if row["trial"] != 0]
    short = names(rows)
    lines = []
    for row in shown if pairs else []:
        trial = row["trial"]
        lines.append([trial, short[trial], *(means.get((trial, pair)) for pair in pairs)])
    titles = {f"{pair}_db": (pair, f"dB, {counted(most[pair], 'mixture')}") for pair in pairs}
    return Table(("trial", "name", *titles), lines), titles


def readable(table: Table, columns: Sequence[str]) -> Table:
    """The chosen columns that tell anything, in the chosen order."""
    where = {name: i for i, name in enumerate(table.columns)}
    kept = []
    for name in columns:
        silent = (None, "", SAID_ANYWAY.get(name))
        if name in where and any(row[where[name]] not in silent for row in table.rows):
            kept.append(name)
    return Table(tuple(kept), [[row[where[name]] for name in kept] for row in table.rows])


def as_csv(table: Table) -> str:
    """For machines: every digit, an empty cell where there is no value.

    No text is a formula in a spreadsheet (`tasnet_core.cells`).
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([as_cell(value) if isinstance(value, str) else value for value in row])
    return text.getvalue()


def best(table: Table) -> set[tuple[int, str]]:
    """Line and column of the best values of each column, as far as the printed digits show."""
    found: set[tuple[int, str]] = set()
    for place, name in enumerate(table.columns):
        values = {line: number(row[place]) for line, row in enumerate(table.rows)}
        known = {line: value for line, value in values.items() if value is not None}
        ends = min if "@" in name else BEST.get(name)
        if ends and len(known) > 1:
            top = cell(name, ends(known.values()))
            found |= {(line, name) for line, value in known.items() if cell(name, value) == top}
    return found


MARKS = re.compile(r"[\\`\[\]<>|]")  # links, elements or code in Markdown, or the end of a cell


def as_markdown(table: Table, titles: Titles = {}) -> str:  # noqa: B006  # never changed
    """For a README or an issue."""
    def line(cells: Iterable[str]) -> str:
        shown = (MARKS.sub(r"\\\g<0>", plain(text.replace("\n", " "))) for text in cells)
        return f"| {' | '.join(shown)} |"

    heads = []
    for name in table.columns:
        title, unit = {**TITLES, **titles}.get(name, (name, ""))
        heads.append(f"{title} ({unit})" if unit else title)
    marks = ["---" if _is_text(table, i) else "---:" for i in range(len(table.columns))]
    body = [line(f"**{text}**" if bold else text for text, bold in cells)
            for cells in _cells(table)]
    return "\n".join([line(heads), f"| {' | '.join(marks)} |", *body]) + "\n"


TEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "_": r"\_",
    "#": r"\#", "$": r"\$", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "\N{MINUS SIGN}": "$-$", RISING: r"$\uparrow$"})


def as_tex(table: Table, titles: Titles = {}) -> str:  # noqa: B006  # never changed
    """For a paper, with the rules of the booktabs package."""
    def tex(text: str, bold: bool = False) -> str:
        shown = plain(text.replace("\n", " ")).translate(TEX)
        return rf"\textbf{{{shown}}}" if bold else shown

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cells) + r" \\"

    places = "".join("l" if _is_text(table, i) else "r" for i in range(len(table.columns)))
    heads = [{**TITLES, **titles}.get(name, (name, "")) for name in table.columns]
    body = [line(tex(*one) for one in cells) for cells in _cells(table)]
    return "\n".join([
        rf"\begin{{tabular}}{{{places}}}", r"\toprule",
        line(title.translate(TEX) for title, _ in heads),
        line(unit.translate(TEX) for _, unit in heads), r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cells(table: Table) -> list[list[tuple[str, bool]]]:
    """Every cell as people read it, and whether it is bold."""
    bold = best(table)
    return [[(cell(name, value), (i, name) in bold)
             for name, value in zip(table.columns, row, strict=True)]
            for i, row in enumerate(table.rows)]


def _is_text(table: Table, column: int) -> bool:
    return any(isinstance(row[column], str) and row[column] for row in table.rows)
