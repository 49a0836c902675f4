"""A study that repeats somebody's table, printed in the form of that table, beside what was printed there.

The published figures are files beside this one, each row with its source.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from study.analysis import trials, wording
from study.analysis.replicates import Row, number
from study.analysis.wording import Table
from study.space.searched import changes

FOLDER = Path(__file__).parent


class Form(NamedTuple):
    """How a published table looks, and which of its rows a variant repeats."""

    file: str
    source: str
    letters: tuple[str, ...]  # these agree between a variant and the row it repeats
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
    return {f"published_{name}": (wording.TITLES[name][0], "as published") for name in form.scores}


def table_of(form: Form, rows: Sequence[Row]) -> Table:
    """The published rows in their order, each with the variant that repeats it; then the variants that repeat none.

    Empty cells: not measured here, or not printed there.
    """
    printed, measured, base = published(form.file), trials.finished(rows), trials.reference(rows)
    # A network that differs from the list's in what is not printed repeats no row.
    repeated = {one["trial"]: None if base and not {*form.letters, *form.also}.issuperset(changes(one, base)) else
                _row_of(form, one, printed) for one in measured}
    lines = []
    for place, row in enumerate(printed):
        lines += [_line(form, one, row) for one in measured if repeated[one["trial"]] == place] or [_line(form, None, row)]
    lines += [_line(form, one, None) for one in measured if repeated[one["trial"]] is None]
    return Table(("trial", *form.letters, *form.also, *form.scores, *titles(form), "seeds"), lines)


def _row_of(form: Form, one: Row, printed: Sequence[Row]) -> int | None:
    alike = [place for place, row in enumerate(printed) if all(row[name] == one[name] for name in form.letters)]
    exact = [place for place in alike if all(printed[place][name] == one[name] for name in form.also)]
    return next(iter(exact or alike), None)


def _line(form: Form, one: Row | None, row: Row | None) -> list[Any]:
    it: Mapping[str, Any] = one or row or {}
    return [one["trial"] if one else None, *(it[name] for name in (*form.letters, *form.also)),
            *(number(one.get(name)) if one else None for name in form.scores),
            *(row[name] if row else None for name in form.scores), one["seeds"] if one else None]


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
