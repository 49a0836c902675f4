"""The fields in which two runs of a study may differ, in names, columns, effects and commands.

Rows are those of the view `results`, or of a table that somebody made of them. One that lacks a
field is of before there was any choice of it: it has the default.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from tasnet_core.records import LETTERS, Recipe, Variant, as_word

# Fields of the recipe that may be searched, and the multiples of its value for `Space.tuned`.
TUNED: dict[str, tuple[float, ...]] = {
    "learning_rate": tuple(2 ** (k / 2) for k in range(-4, 5)), "segment_s": (1 / 4, 1 / 2, 1, 2),
    "batch_size": (1 / 4, 1 / 2, 1, 2, 4)}
OF_VARIANT: dict[str, Any] = {field.name: field.default for field in fields(Variant)}
DEFAULTS = {**OF_VARIANT, **{name: getattr(Recipe, name) for name in TUNED}}
VARIED = tuple(DEFAULTS)        # in the order in which they are said: the letters first
# Of these, numbers (the others are words), and those that SQL has as 1 and 0.
NUMBERS = tuple(name for name, value in DEFAULTS.items() if type(value) in (int, float))
FLAGS = tuple(name for name, value in DEFAULTS.items() if type(value) is bool)

Row = Mapping[str, Any]


def value_of(row: Row, name: str) -> Any:
    """The value of one of the fields VARIED."""
    value = row.get(name)
    if value is None or value != value:     # NaN: a file's empty cell
        value = DEFAULTS[name]
    return bool(value) if name in FLAGS else value


def varied(rows: Iterable[Row]) -> tuple[str, ...]:
    """The fields that tell these rows apart."""
    known = list(rows)
    return tuple(name for name in VARIED if len({value_of(row, name) for row in known}) > 1)


def changes(row: Row, base: Row) -> dict[str, Any]:
    """The fields in which a row differs from another, with its own values."""
    own = {name: value_of(row, name) for name in VARIED}
    return {name: value for name, value in own.items() if value != value_of(base, name)}


def words(values: Row) -> str:
    """Fields and values as `enqueue` reads them, to the last digit."""
    return " ".join(as_word(name, value) for name, value in values.items())


def short(values: Row) -> str:
    """The same for people: six digits of each number."""
    return words({name: f"{value:g}" if isinstance(value, float) else value
                  for name, value in values.items()})


def configuration(row: Row, letters: Iterable[str] = LETTERS, also: Iterable[str] = ()) -> str:
    """A row's variant in words: these letters, each other field that is not at its default, and
    `also` these fields."""
    shown = {*letters, *also, *(name for name, default in OF_VARIANT.items()
                                if name not in LETTERS and value_of(row, name) != default)}
    return short({name: value_of(row, name) for name in VARIED if name in shown})
