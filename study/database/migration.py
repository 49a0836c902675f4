"""Databases of other versions: seen when they are read, kept as they are and then brought up when they are written."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import sqlalchemy as sa

from study.analysis.replicates import OUTLOOK
from study.database import recover
from study.database.connection import Connection
from study.database.queries import outlooks
from study.database.schema import build, lacking, runs, study_settings
from tasnet_core.errors import UserError, counted


class Outdated(UserError):
    """A database that lacks what this version reads; opening it for writing brings it up to date."""


def see_whole(database: Connection) -> None:
    """See that everything is there that this version reads.

    Raises:
        Outdated: something is not.
        sqlalchemy.exc.DBAPIError: it is no study database.
    """
    with database.reader.connect() as connection:
        if lacks := [name for names in lacking(connection) for name in names]:
            raise Outdated(f"{database.shown}: made by another version, lacks {_named(lacks)}; "
                           f"bring it up to date: python -m study doctor --storage {database.shown}")
        connection.execute(sa.select(study_settings.c.study).limit(1))


def bring_up(database: Connection, say: Callable[[str], None]) -> None:
    """Make what is missing, in one transaction, by one process; before it changes tables, keep a copy and `say` where.

    Views and indices hold nothing of their own, so for them there is no copy.

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
            connection.execute(study_settings.delete().where(sa.false()))   # fails where nothing can be written
        if kept:
            say(f"{database.shown}: brought up to this version, which adds {_named(lacks)}; as it was it is kept in {kept}")


def fit(connection: sa.Connection, *chosen: sa.ColumnElement[bool]) -> None:
    """Store what runs that have ended, the chosen or all, would gain from more sound: it follows from their epochs."""
    for run, found in outlooks(connection, runs.c.state != "running", *chosen):
        connection.execute(runs.update().where(runs.c.id == run).values(**asdict(found)))


def _kept(database: Connection) -> Path:
    """A new copy of the database as it is, beside its file or in results."""
    name = Path(database.engine.url.database or "study").name + ("" if database.is_sqlite else ".db")
    targets = (database.folder / f"{name}.before-{number}" for number in itertools.count(1))
    target = next(one for one in targets if not one.exists())
    recover.backup(database.engine.url, target)
    return target


def _named(lacks: Sequence[str]) -> str:
    return lacks[0] + (f" and {counted(len(lacks) - 1, 'thing')} more" if len(lacks) > 1 else "")
