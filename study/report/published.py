"""A study that repeats a published table, in the form of that table, beside the published values.

The published values are files beside this one, each row with its source.
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
    """The columns of a published table, and which of its rows a variant repeats."""

    file: str
    source: str
    letters: tuple[str, ...]  # these agree between a variant and the row it repeats
    also: tuple[str, ...]  # of several such rows the one that agrees here too, or else the first
    scores: tuple[str, ...]


FORMS = {
    "thesis": Form(
        "published_thesis.csv", "the bachelor thesis valgrut/TasNet, one seed each, WSJ0-2mix",
        ("X", "R"), ("segment_s",), ("sdr_db", "stoi", "pesq")),
    "table2": Form(
        "published.csv", "Table II of Luo & Mesgarani, arXiv 1809.07454v3, WSJ0-2mix",
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
    """The published rows in order, each with the variant that repeats it; then other variants.

    Empty cells: not measured here, or not printed there.
    """
    printed, measured, base = published(form.file), trials.finished(rows), trials.reference(rows)
    repeats: dict[int | None, list[Row]] = {}
    for one in measured:
        repeats.setdefault(_row_of(form, one, base, printed), []).append(one)
    lines = []
    for place, row in enumerate(printed):
        lines += [_line(form, one, row) for one in repeats.get(place, [None])]
    lines += [_line(form, one, None) for one in repeats.get(None, [])]
    columns = ("trial", *form.letters, *form.also, *form.scores, *titles(form), "seeds")
    return Table(columns, lines)


def _row_of(form: Form, one: Row, base: Row | None, printed: Sequence[Row]) -> int | None:
    """The published row that a variant repeats; None where it differs in what is not printed."""
    if base and not {*form.letters, *form.also}.issuperset(changes(one, base)):
        return None

    def alike(row: Row, names: Sequence[str]) -> bool:
        return all(row[name] == one[name] for name in names)

    places = [place for place, row in enumerate(printed) if alike(row, form.letters)]
    exact = [place for place in places if alike(printed[place], form.also)]
    return next(iter(exact or places), None)


def _line(form: Form, one: Row | None, row: Row | None) -> list[Any]:
    either: Mapping[str, Any] = one or row or {}
    return [
        one["trial"] if one else None,
        *(either[name] for name in (*form.letters, *form.also)),
        *(number(one.get(name)) if one else None for name in form.scores),
        *(row[name] if row else None for name in form.scores),
        one["seeds"] if one else None]


@cache
def published(file: str) -> tuple[Mapping[str, Any], ...]:
    """The rows of one of the files; none where the program is installed without them."""
    try:
        text = (FOLDER / file).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    rows = csv.DictReader(text.splitlines())
    return tuple({name: _value(cell) for name, cell in row.items()} for row in rows)


def _value(cell: str) -> Any:
    if cell in ("yes", "no"):
        return cell == "yes"
    try:
        return int(cell) if cell.lstrip("-").isdecimal() else float(cell)
    except ValueError:
        return cell
