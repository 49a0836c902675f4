"""The connection to one SQL database: opened, retried while it is locked or gone, and locked.

Every write is one short transaction that may be done twice: so a database that is locked, gone or
full for a while is waited for, and a process may die anywhere.
"""

import copy
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy import select

from study.records import DEFAULT_URL
from tasnet_core.errors import UserError
from tasnet_core.files import home

LOCK_NOT_AVAILABLE = "55P03"     # PostgreSQL, when lock_timeout has passed
BUSY_S = 5          # SQLite's own wait for a lock; a longer one is ours, and signals end it

# Reasons that pass by themselves, and the words by which error messages give them, in lower case.
_PASSING = {
    "the database is locked": ("locked", "busy"),
    "the disk is full": ("disk is full", "no space left"),
    "the database server is starting": ("starting up", "recovery mode"),
    "the database server is shutting down": ("shutting down", "terminating connection"),
    "the database server has no connection left": ("too many clients",),
    "the database server is gone": (
        "server closed the connection", "connection refused", "connection failed",
        "connection is lost", "connection is closed", "consuming input failed")}

T = TypeVar("T")
Wait = Callable[[str], None]
Place = tuple[int, int] | None      # a file's device and number there


def passing(error: BaseException) -> str:
    """The reason of a database's refusal that passes by itself; "" for any other error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, sa.exc.DBAPIError | sa.exc.TimeoutError):
            text = str(getattr(cause, "orig", cause)).lower()
            for reason, words in _PASSING.items():
                if any(word in text for word in words):
                    return reason
            if getattr(cause, "connection_invalidated", False):
                return "the database server is gone"
        cause = cause.__cause__ or cause.__context__
    return ""


def _locked(connection: sa.Connection, number: int) -> bool:
    """Wait for PostgreSQL's advisory lock, a second at most; whether the transaction has it now.

    The server keeps the queue: hundreds of processes that ask again and again would leave no core
    to work on. A lock of the session would not do: one that is granted just as the time is up is
    reported as refused, and kept.
    """
    try:
        connection.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
        connection.execute(select(sa.func.pg_advisory_xact_lock(number)))
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        connection.rollback()
        return False
    return True


def damage(error: BaseException) -> str:
    """What SQLite says of a damaged file; empty for any other error."""
    said = str(error.orig) if isinstance(error, sa.exc.DatabaseError) else ""
    return said if "malformed" in said or "not a database" in said else ""


def url_of(storage: str) -> sa.URL:
    """A database URL; a bare path means SQLite.

    Raises:
        UserError: SQLAlchemy cannot read it. It is not repeated, as it may hold a password.
    """
    try:
        is_url = "://" in storage
        url = sa.make_url(storage) if is_url else sa.URL.create("sqlite", database=storage)
        if url.get_backend_name() == "sqlite" and (url.database or "").startswith("~"):
            url = url.set(database=str(home(url.database or "")))
        return url
    except (sa.exc.ArgumentError, ValueError):
        shown = storage if "@" not in storage else f"{storage.partition('://')[0]}://…"
        raise UserError(f"--storage {shown!r}: not a database URL; "
                        f"wanted such as {DEFAULT_URL}") from None


def engine_of(url: sa.URL, read_only: bool, still: bool = False) -> sa.Engine:
    """SQLAlchemy's engine of a database; a `still` SQLite file is read without the locks and files
    that keep readers and a writer apart."""
    if url.get_backend_name() != "sqlite":
        timeout = {"connect_timeout": 10} if url.get_backend_name() == "postgresql" else {}
        return sa.create_engine(url, pool_pre_ping=True, connect_args=timeout)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S})
    if read_only and url.database:
        file = f"{Path(url.database).absolute().as_uri()}?mode=ro{'&immutable=1' if still else ''}"

        @sa.event.listens_for(engine, "do_connect")
        def by_uri(_: Any, __: Any, arguments: list[Any], named: dict[str, Any]) -> None:
            arguments[0], named["uri"] = file, True

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None       # transactions begin where we say so, below
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")       # readers and a writer at once
        connection.execute("PRAGMA foreign_keys=ON")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        # A transaction that reads first and then writes cannot wait for the lock: SQLite refuses it
        # at once.
        level = connection.get_execution_options().get("isolation_level")
        if not read_only and level != "AUTOCOMMIT":
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def opened(url: sa.URL, read_only: bool, make: Callable[[sa.Engine], T]) -> T:
    """What `make` makes of the engine of a database.

    SQLite's readers and writer see each other in files beside the database. Where these cannot be
    made, the file is read as it is, unless there are changes beside it.

    Raises:
        UserError: a process left changes beside it.
    """
    try:
        return make(engine_of(url, read_only))
    except sa.exc.OperationalError as error:
        name = getattr(error.orig, "sqlite_errorname", "")
        if not read_only or not (name == "SQLITE_CANTOPEN" or name.startswith("SQLITE_READONLY")):
            raise
    file = Path(url.database or "")
    for beside in (Path(f"{file}{end}") for end in ("-wal", "-journal")):
        if beside.exists() and beside.stat().st_size:
            raise UserError(
                f"{file}: cannot be read, since {beside.name} holds changes that are not in it yet "
                "and its folder cannot be written; copy both files to a folder of your own, and "
                "name that copy with --storage")
    return make(engine_of(url, read_only, still=True))


class Misplaced(UserError):
    """A file of a run was deleted, moved or replaced while it ran."""


def place_of(path: Path) -> Place:
    """The file or folder at a path at this moment; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def see_in_place(held: Mapping[Path, Place]) -> None:
    """See that paths still lead to the files that were noted.

    Raises:
        Misplaced: one does not.
    """
    for path, place in held.items():
        if place_of(path) != place:
            raise Misplaced(
                f"{path}: was deleted, moved or replaced while the study ran, so nothing more can "
                "be saved there, and what was trained since the last epoch's end is lost; put it "
                "back as it was and run the same command again, or begin anew without it")


class Connection:
    """One database. A context manager; `close` gives its connections back.

    `wait` is called with the reason each time the database refuses something for now, and returns
    when it is to be tried again; without it, that is an error.
    """

    def __init__(self, engine: sa.Engine, wait: Wait | None = None):
        self.engine, self.wait = engine, wait
        self.reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.held: dict[Path, Place] = {}       # files and folders that must stay what they are
        self.snapshot_connection: sa.Connection | None = None

    def hold(self, path: Path) -> None:
        """Note a file or folder that must stay what it is as long as this is open."""
        self.held[path.absolute()] = place_of(path)

    def retrying(self, wait: Wait | None) -> Self:
        """The same database, with another way to wait for it."""
        made = copy.copy(self)
        made.wait = wait
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.engine.dispose()

    @property
    def shown(self) -> str:
        """The database's URL as it may be shown: without a password."""
        return self.engine.url.render_as_string(hide_password=True)

    @property
    def optuna_url(self) -> str:
        """The same database, for Optuna."""
        return self.engine.url.render_as_string(hide_password=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.url.get_backend_name() == "sqlite"

    @property
    def folder(self) -> Path:
        """Where the study's files lie: beside its SQLite file, else in results."""
        return Path(self.engine.url.database or "").parent if self.is_sqlite else Path("results")

    def retry(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is done again for as long as the database refuses it for now.
        """
        while True:
            try:
                return work()
            except Exception as error:
                see_in_place(self.held)
                if self.wait is None or not (reason := passing(error)):
                    raise
            self.wait(reason)       # outside of the handler: what failed is gone by now

    @contextmanager
    def lock(self, study: str) -> Iterator[None]:
        """Be the only process that hands out work of this study. A process that dies frees it."""
        see_in_place(self.held)
        if self.engine.url.get_backend_name() == "postgresql":
            digest = hashlib.sha256(f"tasnet-study {study}".encode()).digest()
            number = int.from_bytes(digest[:8], signed=True)
            with self.engine.connect() as connection:
                while not _locked(connection, number):
                    self._wait_for_lock()
                yield       # the transaction's end frees the lock
            return
        beside = f"{self.engine.url.database}.lock"
        lock = FileLock(beside if self.is_sqlite else self.folder / "study.lock")
        while not lock.is_locked:
            try:
                lock.acquire(timeout=1)
            except Timeout:
                self._wait_for_lock()
        try:
            yield
        finally:
            lock.release()

    def _wait_for_lock(self) -> None:
        if self.wait is None:
            time.sleep(0.05)
        else:
            self.wait("")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything within as of one moment, that of the first reading.

        Nothing is retried within: what was read before a server went away is of another moment than
        what comes after.
        """
        if self.snapshot_connection is not None:
            yield
            return
        with self.reader.connect() as connection:
            is_server = self.engine.url.get_backend_name() == "postgresql"
            level = " ISOLATION LEVEL REPEATABLE READ READ ONLY" if is_server else ""
            connection.exec_driver_sql(f"BEGIN{level}")
            self.snapshot_connection = connection
            try:
                yield
            finally:
                self.snapshot_connection = None
                with suppress(sa.exc.SQLAlchemyError):      # a connection that is gone has ended it
                    connection.exec_driver_sql("ROLLBACK")

    def stream(self, query: str, size: int, **values: Any) -> Iterator[Sequence[sa.Row[Any]]]:
        """The rows of a query, of which `size` at a time are in memory. Only within a snapshot."""
        assert self.snapshot_connection is not None
        options = {"stream_results": True, "max_row_buffer": size}
        found = self.snapshot_connection.execute(sa.text(query), values, execution_options=options)
        yield from found.partitions(size)

    def query(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of an SQL query, whose `:name`s are these values."""
        def read_by(connection: sa.Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

        def read() -> list[dict[str, Any]]:
            see_in_place(self.held)
            with self.reader.connect() as connection:
                return read_by(connection)
        if self.snapshot_connection is not None:
            return read_by(self.snapshot_connection)
        return self.retry(read)

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        def write() -> T:
            see_in_place(self.held)
            with self.engine.begin() as connection:
                return work(connection)
        return self.retry(write)
