"""The whole database as one new SQLite file while others write.

Nothing here knows a table by name: ours, Optuna's and those of versions to come are treated alike.
"""

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from study.database.recover import cause, faults, file_of, flush, reader, scratch
from study.database.schema import make_views
from tasnet_core.errors import UserError


def backup(url: sa.URL, target: Path) -> None:
    """Write all tables and views, Optuna's too, as of one moment into a new SQLite file.

    Raises:
        UserError: there is a file already, the database cannot be read, or the target not written.
    """
    file, shown = file_of(url), url.render_as_string(hide_password=True)
    if target.exists():
        raise _exists(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch(target) as folder:
            copy = folder / "copy.db"
            if file is None:
                _copy_rows(url, copy)
            else:
                _copy_pages(file, copy)
            with contextlib.closing(sqlite3.connect(copy)) as made:
                made.execute("PRAGMA journal_mode=DELETE")      # one file, nothing beside it
                if found := faults(made):
                    raise UserError(f"{shown}: is damaged ({found[0]}); "
                                    "mend it with: python -m study doctor")
            flush(copy)
            _place(copy, target)
    except FileExistsError:
        raise _exists(target) from None
    except (sqlite3.Error, sa.exc.SQLAlchemyError, ImportError, OSError) as error:
        raise UserError(f"{shown}: no copy at {target} ({cause(error)})") from error


def _copy_pages(file: Path, copy: Path) -> None:
    # All pages in one step: a step is a reading transaction, so the copy is of one moment.
    with (contextlib.closing(reader(file)) as source,
          contextlib.closing(sqlite3.connect(copy)) as goal):
        source.backup(goal)


def _copy_rows(url: sa.URL, copy: Path) -> None:
    """The tables of another database as an SQLite file, read in one transaction of one moment."""
    source = sa.create_engine(url, isolation_level="REPEATABLE READ")
    goal = sa.create_engine(sa.URL.create("sqlite", database=str(copy)))
    try:
        with source.connect() as reading, goal.begin() as writing:
            there = sa.MetaData()
            there.reflect(reading)
            here = _portable(there)
            here.create_all(writing)
            for table in there.sorted_tables:
                streamed = reading.execution_options(stream_results=True)
                rows = streamed.execute(sa.select(table)).mappings()
                for part in rows.partitions(1000):
                    writing.execute(here.tables[table.name].insert(), [dict(row) for row in part])
            make_views(writing)
    finally:
        source.dispose()
        goal.dispose()


def _portable(there: sa.MetaData) -> sa.MetaData:
    """The same tables in types that SQLite has; what one server alone understands is left out."""
    here = sa.MetaData()
    for theirs in there.sorted_tables:
        table = theirs.to_metadata(here)
        for column in table.columns:
            column.type, column.server_default = _plain(column.type), None
        table.constraints -= {
            one for one in table.constraints if isinstance(one, sa.CheckConstraint)}
    return here


def _plain(kind: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    # SQLite numbers rows by INTEGER PRIMARY KEY alone, and an INTEGER of its holds 64 bits.
    known: tuple[type[sa.types.TypeEngine[Any]], ...] = (
        sa.Boolean, sa.Integer, sa.DateTime, sa.JSON, sa.LargeBinary, sa.Float, sa.Numeric)
    return next((plain() for plain in known if isinstance(kind, plain)), sa.String())


def _exists(target: Path) -> UserError:
    return UserError(f"{target}: there is a file of this name already, and a backup replaces none; "
                     "name another")


def _place(copy: Path, target: Path) -> None:
    """Put a file in its place; FileExistsError where another stands there."""
    try:
        os.link(copy, target)       # which, unlike a renaming, never replaces a file
    except FileExistsError:
        raise
    except OSError:                 # a file system without links
        target.open("xb").close()
        os.replace(copy, target)
