"""Databases of other versions: refused when they are read, copied and brought up when written."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import sqlalchemy as sa

from study.analysis.replicates import OUTLOOK
from study.database import backup
from study.database.connection import Connection
from study.database.queries import outlooks
from study.database.schema import build, lacking, runs, study_settings
from tasnet_core.errors import UserError, counted


class Outdated(UserError):
    """A database that lacks what this version reads; opening it for writing mends that."""


def see_whole(database: Connection) -> None:
    """See that everything is there that this version reads.

    Raises:
        Outdated: something is not.
        sqlalchemy.exc.DBAPIError: it is no study database.
    """
    with database.reader.connect() as connection:
        found = lacking(connection)
        if lacks := [*found.rows, *found.views]:
            shown = database.shown
            raise Outdated(f"{shown}: made by another version, lacks {_named(lacks)}; "
                           f"bring it up to date: python -m study doctor --storage {shown}")
        connection.execute(sa.select(study_settings.c.study).limit(1))


def bring_up(database: Connection, say: Callable[[str], None]) -> None:
    """Make what is missing, in one transaction, by one process.

    Before it changes tables, it keeps a copy, and a message says where. Views and indices hold
    nothing of their own, so for them there is no copy.

    Raises:
        UserError: no copy can be made, or a view not be dropped; nothing is changed then.
        sqlalchemy.exc.DBAPIError: it cannot be written.
    """
    with database.lock(""):
        with database.reader.connect() as connection:
            lacks = lacking(connection).rows
        kept = _kept(database) if lacks else None
        with database.engine.begin() as connection:
            build(connection)
            if any(f"column {name} of {runs.name}" in lacks for name in OUTLOOK):
                fit(connection)
            # Fails where nothing can be written.
            connection.execute(study_settings.delete().where(sa.false()))
        if kept:
            say(f"{database.shown}: brought up to this version, which adds {_named(lacks)}; "
                f"as it was it is kept in {kept}")


def fit(connection: sa.Connection, *chosen: sa.ColumnElement[bool]) -> None:
    """Store the forecast of runs that have ended, the chosen or all: what each would gain from more
    audio follows from its epochs."""
    for run, found in outlooks(connection, runs.c.state != "running", *chosen):
        connection.execute(runs.update().where(runs.c.id == run).values(**asdict(found)))


def _kept(database: Connection) -> Path:
    """A new copy of the database as it is, beside its file or in results."""
    name = Path(database.engine.url.database or "study").name
    name += "" if database.is_sqlite else ".db"
    targets = (database.folder / f"{name}.before-{number}" for number in itertools.count(1))
    target = next(path for path in targets if not path.exists())
    backup.backup(database.engine.url, target)
    return target


def _named(lacks: Sequence[str]) -> str:
    return lacks[0] + (f" and {counted(len(lacks) - 1, 'thing')} more" if len(lacks) > 1 else "")
