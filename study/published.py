"""A study that repeats somebody's table, printed in the form of that table, beside what was printed there.

The published figures are files under results/, each row with its source.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from study import tables
from study.tables import Row, Table

FOLDER = Path(__file__).parents[1] / "results"


class Form(NamedTuple):
    """How a published table looks, and which of its rows a run repeats."""

    file: str
    source: str
    letters: tuple[str, ...]  # these agree between a run and the row it repeats
    also: tuple[str, ...]  # of several such rows the one that agrees here too, or else the first
    scores: tuple[str, ...]


FORMS = {
    "thesis": Form("published_thesis.csv", "the bachelor thesis valgrut/TasNet, one seed each, WSJ0-2mix",
                   ("X", "R"), ("segment_s",), ("sdr_db", "stoi", "pesq")),
    "table2": Form("published.csv", "Table II of Luo & Mesgarani, arXiv 1809.07454v3, WSJ0-2mix",
                   ("N", "L", "B", "H", "Sc", "P", "X", "R", "norm", "causal"), (),
                   ("parameters", "si_snri_db", "sdri_db")),
}


def form_of(space: str | None) -> Form | None:
    """The form in which a study of this space is printed, if it repeats a table."""
    return FORMS.get(space or "")


def titles(form: Form) -> dict[str, tuple[str, str]]:
    """What stands above the columns that `table_of` adds."""
    return {f"published_{name}": (tables.TITLES[name][0], "as published") for name in form.scores}


def table_of(form: Form, rows: Sequence[Row]) -> Table:
    """The published rows in their order, each with the run that repeats it; then the runs that repeat none.

    Empty cells: not measured here, or not printed there. Other seeds of a variant are lines of their own.
    """
    printed, runs = published(form.file), tables.finished(rows)
    repeated = {_key(run): _row_of(form, run, printed) for run in runs}
    lines = []
    for number, row in enumerate(printed):
        lines += [_line(form, run, row) for run in runs if repeated[_key(run)] == number] or [_line(form, None, row)]
    lines += [_line(form, run, None) for run in runs if repeated[_key(run)] is None]
    return Table(("trial", *form.letters, *form.also, *form.scores, *titles(form)), lines)


def _key(run: Row) -> tuple[int, int]:
    return run["trial"], run["seed"]


def _row_of(form: Form, run: Row, printed: Sequence[Row]) -> int | None:
    alike = [number for number, row in enumerate(printed) if all(row[name] == run[name] for name in form.letters)]
    exact = [number for number in alike if all(printed[number][name] == run[name] for name in form.also)]
    return next(iter(exact or alike), None)


def _line(form: Form, run: Row | None, row: Row | None) -> list[Any]:
    it: Mapping[str, Any] = run or row or {}
    return [run["trial"] if run else None, *(it[name] for name in (*form.letters, *form.also)),
            *(tables.number(run.get(name)) if run else None for name in form.scores),
            *(row[name] if row else None for name in form.scores)]


@cache
def published(file: str) -> tuple[Mapping[str, Any], ...]:
    """The rows of one of the files under results/; none where the program is installed without them."""
    try:
        text = (FOLDER / file).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    return tuple({name: _value(cell) for name, cell in row.items()} for row in csv.DictReader(text.splitlines()))


def _value(cell: str) -> Any:
    if cell in ("yes", "no"):
        return cell == "yes"
    try:
        return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
    except ValueError:
        return cell
