"""Checks of a database's storage; and, of a damaged SQLite file, all that can still be read.

Nothing here knows a table by name: ours, Optuna's and those of versions to come are treated alike.
"""

import contextlib
import itertools
import os
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tasnet_core.errors import UserError, counted

TRIES = 100_000         # queries spent on one table's unreadable parts: some seconds
# How many, from where: SQLite's connections hold one of them (sqlite.org/lockingv3.html).
LOCK_BYTES = (510, 0x40000002)
BESIDE = ("-wal", "-journal")       # belong to a database file: without them, commits would be lost


def integrity(url: sa.URL) -> list[str]:
    """What is wrong with the database's storage and the ties between its rows, a line each."""
    file = file_of(url)
    if file is None:
        return _unreadable_tables(url)
    try:
        with contextlib.closing(reader(file)) as db:
            return faults(db) or [
                f"{child} row {row}: what it belongs to in {parent} is not there"
                for child, row, parent, _ in db.execute("PRAGMA foreign_key_check")]
    except sqlite3.Error as error:
        return [f"{file}: {error}"]


def mend(path: Path) -> str:
    """Put in a damaged SQLite file's place one that holds all that can be read of it; in words
    what that is.

    The damaged file stays beside it, untouched, as `<name>.damaged-<n>`. Nobody may have it open
    meanwhile.

    Raises:
        UserError: it is in use, or not even its list of tables can be read.
    """
    try:
        _see_unused(path)
        with scratch(path) as folder:
            for end in ("", *BESIDE):
                if Path(f"{path}{end}").exists():
                    shutil.copyfile(f"{path}{end}", folder / f"copy.db{end}")
            whole, said = _mended(folder / "copy.db")
            if not said:
                return f"{path}: nothing in it needs mending"
            shutil.copymode(path, whole)
            flush(whole)
            kept = _keep(path)
            os.replace(whole, path)
    except (sqlite3.Error, OSError) as error:
        raise UserError(f"{path}: cannot be mended ({error}); put a backup in its place") from error
    return f"{path}: mended; " + "; ".join(said) + f"; the damaged file is kept as {kept}"


# ── checks ────────────────────────────────────────────────────────────────────────────────────────


def faults(db: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with its own file."""
    try:
        return [line for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
    except sqlite3.DatabaseError as error:
        return [str(error)]


def _unreadable_tables(url: sa.URL) -> list[str]:
    """A server checks its own files; what can be seen here is whether every table can be read."""
    found = []
    try:
        engine = sa.create_engine(url)
        for name in sa.inspect(engine).get_table_names():
            try:
                with engine.connect() as connection:
                    count = sa.select(sa.func.count()).select_from(sa.table(name))
                    connection.execute(count).scalar()
            except sa.exc.SQLAlchemyError as error:
                found.append(f"{name}: {cause(error)}")
        engine.dispose()
    except (sa.exc.SQLAlchemyError, ImportError) as error:
        found.append(cause(error))
    return found


def cause(error: Exception) -> str:
    """The first line of what the driver reports, without SQLAlchemy's words around it."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]


def _see_unused(path: Path) -> None:
    with open(path, "r+b") as file, contextlib.suppress(ImportError):
        import fcntl
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *LOCK_BYTES)
        except BlockingIOError:
            raise UserError(f"{path}: is in use by another process; end it first") from None


# ── mending ───────────────────────────────────────────────────────────────────────────────────────


def _mended(copy: Path) -> tuple[Path, list[str]]:
    """The file that shall take the place, and in words what was done; none, nothing was wrong."""
    whole, said = copy, []
    with contextlib.closing(sqlite3.connect(copy)) as old:
        broken = faults(old)
        if broken and (known := _reindexed(old)) is not None:
            said = ["its indices were made anew, every row that can be read is there", *known]
    if broken and not said:
        whole = copy.with_name("new.db")
        with (contextlib.closing(sqlite3.connect(copy)) as old,
              contextlib.closing(sqlite3.connect(whole)) as new):
            # A file shorter than its header reports is opened all the same.
            old.execute("PRAGMA writable_schema=ON")
            old.execute("PRAGMA cell_size_check=ON")
            said = _copy_readable(old, new, copy.stat().st_size)
    with contextlib.closing(sqlite3.connect(whole)) as made:
        said += _set_aside(made)
        made.execute("PRAGMA journal_mode=DELETE")
        if found := faults(made):
            raise sqlite3.DatabaseError(found[0])
    return whole, said


def _reindexed(db: sqlite3.Connection) -> list[str] | None:
    """Rows that only an index still knew, in words, where new indices mend the file; else None."""
    with contextlib.suppress(sqlite3.DatabaseError):
        known = {name: _known(db, name) for name in _names(db, "table")}
        db.execute("REINDEX")
        if not faults(db):
            lost = {name: (count or 0) - _one(db, f"SELECT count(*) FROM {_quoted(name)}")
                    for name, count in known.items()}
            return [f"{name}: {counted(number, 'row')} lost"
                    for name, number in lost.items() if number > 0]
    return None


def _copy_readable(old: sqlite3.Connection, new: sqlite3.Connection, size: int) -> list[str]:
    """Make the same tables, rows as far as they can be read, indices, triggers and views; a line
    for each table."""
    for pragma in ("user_version", "application_id"):
        new.execute(f"PRAGMA {pragma}={_one(old, f'PRAGMA {pragma}')}")
    unread: list[tuple[int, int]] = []
    bounds = _bounds(old, "sqlite_master", size)
    entries = list(_readable(old, "sqlite_master", "rowid, type, name, sql", bounds, unread))
    made = [(kind, name, sql) for _, kind, name, sql in sorted(entries)
            if sql and not name.startswith("sqlite_")]
    if not made:
        raise sqlite3.DatabaseError("its list of tables cannot be read")
    for kind, _, sql in made:
        if kind == "table":
            new.execute(sql)
    said = []
    if unread:
        said.append("a part of its list of tables is lost, "
                    "and with it the tables that are not named here")
    said += [_copy_table(old, new, name, size) for name in _names(new, "table")]
    for kind, name, sql in made:
        if kind != "table":
            try:
                new.execute(sql)
            except sqlite3.Error as error:
                said.append(f"{name}: could not be made anew ({error})")
    new.commit()
    return said


def _copy_table(old: sqlite3.Connection, new: sqlite3.Connection, name: str, size: int) -> str:
    quoted = _quoted(name)
    columns = ["rowid", *(_quoted(row[1]) for row in new.execute(f"PRAGMA table_info({quoted})"))]
    marks = ", ".join("?" * len(columns))
    add = f"INSERT OR IGNORE INTO {quoted} ({', '.join(columns)}) VALUES ({marks})"
    unread: list[tuple[int, int]] = []
    rows = _readable(old, name, ", ".join(columns), _bounds(old, name, size), unread)
    saved = new.executemany(add, rows).rowcount
    known = _known(old, name)
    line = f"{name}: {counted(saved, 'row')} saved"
    if (known or 0) > saved:
        line += f", {(known or 0) - saved} lost"
        if unread:
            line += f" (numbers {unread[0][0]} to {unread[-1][1]} are damaged)"
    elif unread and known is None:
        line += ", how many are lost is not known"
    return line


def _readable(db: sqlite3.Connection, table: str, columns: str, bounds: tuple[int, int],
              unread: list[tuple[int, int]]) -> Iterator[tuple[Any, ...]]:
    """Every row that can be read: ranges of numbers that cannot be read whole are halved, the
    widest first.

    What remains in `unread`, in order, are the ranges without a readable row.
    """
    todo, start = deque([bounds]), f"SELECT {columns} FROM {_quoted(table)} NOT INDEXED WHERE rowid"
    # Python's cursor reads one row ahead and loses the one it has where that fails: a single row is
    # asked for without a next.
    one, several = f"{start} = ?", f"{start} BETWEEN ? AND ? ORDER BY rowid"
    for left in itertools.count(TRIES, -1):
        if not todo:
            break
        low, high = todo.popleft()
        try:
            for row in db.execute(several, (low, high)) if low < high else db.execute(one, (low,)):
                yield row
                low = row[0] + 1
        except sqlite3.DatabaseError:       # somewhere from `low` on
            if low < high and left > 0:
                middle = (low + high) // 2
                todo += [(low, middle), (middle + 1, high)]
            elif low <= high:
                unread.append((low, high))
    unread.sort()


def _bounds(db: sqlite3.Connection, table: str, size: int) -> tuple[int, int]:
    """Between which numbers its rows lie, from the table, an index, or else the file's size."""
    for way in ("NOT INDEXED", *_ways(db, table)):
        with contextlib.suppress(sqlite3.DatabaseError):
            low, high = (_one(db, f"SELECT {which}(rowid) FROM {_quoted(table)} {way}")
                         for which in ("min", "max"))
            return (low, high) if low is not None else (0, 0)
    return 0, size // 16        # no row takes less


def _known(db: sqlite3.Connection, table: str) -> int | None:
    """How many rows the table's indices know of; None where none can be read."""
    counts = []
    for way in _ways(db, table):
        with contextlib.suppress(sqlite3.DatabaseError):
            counts.append(_one(db, f"SELECT count(*) FROM {_quoted(table)} {way}"))
    return max(counts, default=None)


def _ways(db: sqlite3.Connection, table: str) -> list[str]:
    with contextlib.suppress(sqlite3.DatabaseError):
        return [f"INDEXED BY {_quoted(row[1])}"
                for row in db.execute(f"PRAGMA index_list({_quoted(table)})")]
    return []


def _set_aside(db: sqlite3.Connection) -> list[str]:
    """Move rows whose row above is lost into tables of their own.

    Where they are, they would come to belong to the next row that is given the lost one's number.
    """
    moved: Counter[str] = Counter()
    while rows := {(table, rowid) for table, rowid, *_ in db.execute("PRAGMA foreign_key_check")}:
        for table, rowid in rows:
            name, aside = _quoted(table), _quoted(f"orphans_{table}")
            db.execute(f"CREATE TABLE IF NOT EXISTS {aside} AS SELECT * FROM {name} WHERE 0")
            db.execute(f"INSERT INTO {aside} SELECT * FROM {name} WHERE rowid = ?", (rowid,))
            db.execute(f"DELETE FROM {name} WHERE rowid = ?", (rowid,))
        moved.update(table for table, _ in rows)
    db.commit()
    return [f"{counted(number, 'row')} of {table} belonged to lost ones and went to orphans_{table}"
            for table, number in sorted(moved.items())]


def _keep(path: Path) -> Path:
    """Give the damaged file, and what belongs to it, its second name, and clear its place."""
    for number in itertools.count(1):
        kept = path.with_name(f"{path.name}.damaged-{number}")
        if not kept.exists():
            break
    try:
        os.link(path, kept)
    except OSError:         # a file system without links
        shutil.copyfile(path, kept)
    for end in BESIDE:
        if Path(f"{path}{end}").exists():
            shutil.copyfile(f"{path}{end}", f"{kept}{end}")
    for end in (*BESIDE, "-shm"):           # SQLite would take them for the new file's
        Path(f"{path}{end}").unlink(missing_ok=True)
    return kept


# ── files ─────────────────────────────────────────────────────────────────────────────────────────


def file_of(url: sa.URL) -> Path | None:
    """The file of an SQLite database; None for a server's.

    Raises:
        UserError: SQLite without a file, or the file is not there.
    """
    if url.get_backend_name() != "sqlite":
        return None
    file = Path(url.database or "")
    if not file.is_file():
        raise UserError(f"{url.render_as_string(hide_password=True)}: no such study database")
    return file


def reader(file: Path) -> sqlite3.Connection:
    """A connection that writes nothing and waits for writers."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=60)


def _one(db: sqlite3.Connection, query: str) -> Any:
    return db.execute(query).fetchone()[0]


def _names(db: sqlite3.Connection, kind: str) -> list[str]:
    found = db.execute("SELECT name FROM sqlite_master WHERE type = ? ORDER BY name", (kind,))
    return [name for (name,) in found if not name.startswith("sqlite_")]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@contextlib.contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A folder beside the file, so that what is made there can take its place in one step."""
    prefix = f"{path.name}."
    with tempfile.TemporaryDirectory(prefix=prefix, suffix=".tmp", dir=path.parent) as folder:
        yield Path(folder)


def flush(file: Path) -> None:
    """Have a file on the disk before it takes another's place."""
    with open(file, "rb") as written:
        os.fsync(written.fileno())
