"""Changes to rows that only the doctor makes: nothing is deleted, and nobody's work is touched.

Each is one transaction, and changes a run only as long as it is as it was seen.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from study.database.connection import engine_of
from study.database.migration import fit
from study.database.schema import epochs, mixtures, runs
from study.database.store import Database
from study.database.store import now_s as time_of
from tasnet_core.records import Epoch

Run = Mapping[str, Any]
COMPANIONS = ("-wal", "-shm", "-journal", ".lock")      # ends of names beside a database file's


def now_s(database: Database) -> float:
    """The time by the clock that leases are made with."""
    with database.reader.connect() as connection:
        return time_of(connection)


def checkpoints(database: Database) -> list[str]:
    """Where the runs of all studies have, or had, their checkpoints."""
    with database.reader.connect() as connection:
        return [path for path in connection.execute(sa.select(runs.c.checkpoint)).scalars() if path]


def is_database(path: Path) -> bool:
    """Whether a file is an SQLite database, or one that SQLite and we keep beside it."""
    beside = (path.with_name(path.name.removesuffix(end)) for end in COMPANIONS)
    for file in (path, *beside):
        with suppress(OSError), open(file, "rb") as content:
            if content.read(15) == b"SQLite format 3":
                return True
    return False


def checkpoints_beside(database: Database) -> list[str] | None:
    """Where the runs of other SQLite databases in the same folder have their checkpoints; None
    where one cannot be read."""
    found: list[str] = []
    mine = Path(database.engine.url.database or "").name if database.is_sqlite else ""
    for path in database.folder.glob("*"):
        if path.name == mine or path.name.endswith(COMPANIONS):
            continue
        if path.name.startswith(f"{mine}.damaged-") or not is_database(path):
            continue        # one that was mended lies in ours
        engine = engine_of(sa.URL.create("sqlite", database=str(path)), read_only=True)
        try:
            with engine.connect() as connection:
                if sa.inspect(connection).has_table(runs.name):
                    rows = connection.exec_driver_sql("SELECT checkpoint FROM runs")
                    found += filter(None, rows.scalars())
        except sa.exc.SQLAlchemyError:
            return None
        finally:
            engine.dispose()
    return found


def release(database: Database, run: Run) -> bool:
    """Give a run back whose owner is gone; the death counts, as where a worker finds it."""
    return _change(database, run, owner=None, lease_until_s=None, deaths=(run["deaths"] or 0) + 1)


def note(database: Database, run: Run, words: str) -> bool:
    """Write on a run what is wrong with it for good."""
    return _change(database, run, reason="; ".join(filter(None, (run["reason"], words))))


def add_epochs(database: Database, run: Run, lacking: Sequence[Epoch]) -> None:
    """Store epochs that a run's checkpoint knows and the table does not."""
    with database.engine.begin() as connection:
        connection.execute(epochs.insert(),
                           [{"run": run["id"], **asdict(epoch)} for epoch in lacking])
        fit(connection, runs.c.id == run["id"])


def score_again(database: Database, run: Run) -> bool:
    """Let a complete run be scored again from its checkpoint; its scores of single mixtures are
    set aside."""
    with database.engine.begin() as connection:
        if changed := _changed(connection, run, state="running", stoppable=False, deaths=0):
            _set_aside(connection, mixtures, run)
        return changed


def begin_anew(database: Database, run: Run) -> None:
    """Set aside the epochs of a run whose training is lost: the next training tells its own."""
    with database.engine.begin() as connection:
        _set_aside(connection, epochs, run)


def _set_aside(connection: sa.Connection, table: sa.Table, run: Run) -> None:
    """Move a run's rows to a table of their own, which `recover.mend` uses as well."""
    mine, aside = table.c.run == run["id"], f"orphans_{table.name}"
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    connection.exec_driver_sql(
        f"CREATE TABLE IF NOT EXISTS {aside} AS SELECT * FROM {table.name} WHERE 1 = 0")
    connection.execute(
        sa.text(f"INSERT INTO {aside} ({names}) SELECT {names} FROM {table.name} WHERE run = :run"),
        {"run": run["id"]})
    connection.execute(table.delete().where(mine))


def _change(database: Database, run: Run, **values: Any) -> bool:
    with database.engine.begin() as connection:
        return _changed(connection, run, **values)


def _changed(connection: sa.Connection, run: Run, **values: Any) -> bool:
    """Whether the run was still as it was seen, and is changed."""
    seen = (
        runs.c.id == run["id"],
        runs.c.state == run["state"],
        runs.c.owner.is_not_distinct_from(run["owner"]),
        runs.c.lease_until_s.is_not_distinct_from(run["lease_until_s"]),
    )
    return bool(connection.execute(runs.update().where(*seen).values(**values)).rowcount)
