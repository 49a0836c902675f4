"""What a report says in figures and words, worked out from rows: names, the front, tables.

A row is a variant, as `replicates.per_trial` makes it of the view `results`; `runs` are the rows of that view, one per trial
and seed. A score that is missing, infinite or not a number is None here, and an empty cell in every table.
"""

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from study.analysis.mixture_scores import Mixtures
from study.analysis.replicates import OUTLOOK, SCORE, SCORES, Row, number, per_trial
from study.analysis.trials import RISING, compared, finished, front, names, reference
from study.analysis.wording import TITLES, Table, Titles, cell
from study.space.searched import VARIED
from tasnet_core.cells import as_cell
from tasnet_core.errors import counted
from tasnet_core.terminal import plain

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


def readable(table: Table, columns: Sequence[str]) -> Table:
    """The chosen columns that tell anything, in the chosen order."""
    where = {name: i for i, name in enumerate(table.columns)}
    kept = tuple(name for name in columns
                 if name in where and any(row[where[name]] not in (None, "", SAID_ANYWAY.get(name)) for row in table.rows))
    return Table(kept, [[row[where[name]] for name in kept] for row in table.rows])


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
