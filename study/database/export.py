"""A study as tables for other programs: its runs, their epochs, their scores on every test mixture,
and what devices measured.

Files and frames are made from the same rows, all of one moment. `trial` and `seed` name a row's
run.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from study.database.schema import TIDY, Tidy, with_devices
from study.database.store import Database, open_database
from tasnet_core.cells import as_cell
from tasnet_core.errors import UserError
from tasnet_core.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd

ROWS = 20_000       # held at a time; more make nothing faster

Kinds = dict[str, type]     # what each column holds: bool, int, float or str
# Some rows at a time, as one sequence of values per column; None: no value.
Parts = Iterable[list[Sequence[Any]]]


class Frames(NamedTuple):
    """A study's tables as pandas has them."""

    runs: "pd.DataFrame"        # one row per run: variant, recipe, costs, state, scores
    epochs: "pd.DataFrame"      # one row per epoch: losses, learning rate, seconds
    mixtures: "pd.DataFrame"    # one row per run and test mixture: speakers, sexes, every score


def load(url: str = "results/study.db", study: str | None = None) -> Frames:
    """What a study measured, as three pandas frames of one moment: `runs`, `epochs`, `mixtures`.

    `url` is the database, a path or an SQLAlchemy URL; without a name it is the newest study of it.
    Columns are those of `python -m study export`; `trial` and `seed` name a row's run. A value that
    is not there is pandas' missing value.

        found = study.load("results/study.db")
        complete = found.runs.query("state == 'complete'").sort_values("parameters")
        complete[["trial", "parameters", "si_snri_db"]]
        found.mixtures.groupby("sexes").si_snri_db.mean()

    Raises:
        UserError: no such database or study, or one of another version, in one line.
    """
    with open_database(url) as database, database.snapshot():
        name = database.choose(study)
        tables = _tables(database, name)
        frames = (_frame(tables[table].kinds, _parts(database, name, tables[table]))
                  for table in Frames._fields)
        return Frames(*frames)


def export(url: str, study: str | None, out: Path, form: str) -> Iterator[tuple[Path, int]]:
    """Write runs, epochs, mixtures and what devices measured, if any did, as files of a form under
    `out`, each with so many rows, as they become ready.

    A file of the same name is replaced; each appears whole or not at all. NaN is no value, as in
    every table of ours.

    Raises:
        UserError: the form's package is not installed, the study cannot be read, or `out` not be
            written.
    """
    if form == "parquet":
        _arrow()
    with open_database(url) as database, database.snapshot():
        name = database.choose(study)
        tables = _tables(database, name)
        if not database.devices(name):
            del tables["devices"]
        for table, tidy in tables.items():
            path, counted = out / f"{table}.{form}", _Counted(_parts(database, name, tidy))
            try:
                write_atomically(path, partial(FORMS[form], tidy.kinds, counted))
            except OSError as error:
                raise UserError(f"{path}: cannot be written ({error.strerror or error}); "
                                "choose another folder with --out") from error
            yield path, counted.rows


class _Counted:
    """Parts, and how many rows of them went by."""

    def __init__(self, parts: Parts):
        self.parts, self.rows = parts, 0

    def __iter__(self) -> Iterator[list[Sequence[Any]]]:
        for columns in self.parts:
            self.rows += len(columns[0])
            yield columns


def _tables(database: Database, study: str) -> dict[str, Tidy]:
    """Each table of a study; runs with the columns of the devices that measured its variants."""
    return {**TIDY, "runs": with_devices(TIDY["runs"], database.devices(study))}


def _parts(database: Database, study: str, tidy: Tidy) -> Iterator[list[Sequence[Any]]]:
    kinds = list(tidy.kinds.values())
    for rows in database.stream(tidy.query, ROWS, study=study):
        columns = zip(*rows, strict=True)
        yield [_plain(column, kind) for column, kind in zip(columns, kinds, strict=True)]


def _plain(column: Sequence[Any], kind: type) -> Sequence[Any]:
    if kind is bool:        # SQLite keeps 0 and 1
        return [None if value is None else bool(value) for value in column]
    if kind is float:
        return [None if value != value else value for value in column]      # NaN is not itself
    return column


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def _csv(kinds: Kinds, parts: Parts, file: BinaryIO) -> None:
    """Every digit, an empty cell where there is no value; no text is a formula there
    (`tasnet_core.cells`)."""
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(kinds)
    for columns in parts:
        writer.writerows(zip(*map(_cells, columns), strict=True))
    text.detach()


def _cells(column: Sequence[Any]) -> Iterable[Any]:
    if str not in set(map(type, column)):
        return column
    # A few words, repeated many times.
    cells = {text: as_cell(text) for text in set(column) if isinstance(text, str)}
    return [cells.get(value, value) for value in column]


def _json(kinds: Kinds, parts: Parts, file: BinaryIO) -> None:
    """One array, an object per row on a line of its own; null where there is no value, or one that
    JSON has no word for."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    before = "["
    for columns in parts:
        rows = zip(*map(_finite, columns), strict=True)
        lines = ",\n".join(encode(dict(zip(kinds, row, strict=True))) for row in rows)
        file.write(f"{before}\n{lines}".encode())
        before = ","
    file.write(b"\n]\n" if before == "," else b"[]\n")


def _finite(column: Sequence[Any]) -> list[Any]:
    return [None if isinstance(value, float) and math.isinf(value) else value for value in column]


def _parquet(kinds: Kinds, parts: Parts, file: BinaryIO) -> None:
    """Columns of one type each, null where there is no value."""
    arrow, parquet = _arrow()
    types = {bool: arrow.bool_(), int: arrow.int64(), float: arrow.float64(), str: arrow.string()}
    schema = arrow.schema([(name, types[kind]) for name, kind in kinds.items()])
    with parquet.ParquetWriter(file, schema) as writer:
        for columns in parts:
            arrays = list(map(arrow.array, columns, schema.types))
            writer.write_table(arrow.table(arrays, schema=schema))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("--format parquet: pyarrow is not installed; it comes with: "
                        "pip install 'tasnet-study[parquet]'; or choose csv or json") from error
    return pyarrow, parquet


FORMS = {"csv": _csv, "parquet": _parquet, "json": _json}


# ── frames ────────────────────────────────────────────────────────────────────────────────────────


def _frame(kinds: Kinds, parts: Parts) -> "pd.DataFrame":
    """One frame of all parts. Whole numbers and truth values without a gap get numpy's types, with
    gaps pandas' own."""
    import pandas as pd
    types = {bool: "boolean", int: "Int64", float: "float64", str: "string"}
    frames = [
        pd.DataFrame({name: pd.Series(column, dtype=types[kind])
                      for (name, kind), column in zip(kinds.items(), columns, strict=True)})
        for columns in parts]
    frame = pd.concat(frames, ignore_index=True) if frames else _frame(kinds, [[()] * len(kinds)])
    whole = {name: {int: "int64", bool: "bool"}[kind] for name, kind in kinds.items()
             if kind in (int, bool) and not frame[name].isna().any()}
    return frame.astype(whole)
