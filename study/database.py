"""The study database: our tables and views beside Optuna's in one SQL database.

Rows go in as records and come out as dicts. SQLite by default (`results/study.db`), any URL SQLAlchemy knows.
No foreign key leads into Optuna's tables, and no name here is one of Optuna's.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, UniqueConstraint, select

from study.records import OBJECTIVES, Result, Settings
from tasnet_core.errors import UserError
from tasnet_core.records import Cost, Epoch, MixtureScore, Recipe, Scores, Variant, differences

DEFAULT_URL = "sqlite:///results/study.db"
LEASE_S = 60.0      # a run is somebody's for at least so long after its last epoch

_TYPES = {int: sa.Integer, float: sa.Float, str: sa.String, bool: sa.Boolean}
_EXACT = ("parameters", "macs_per_s", "receptive_field_s")
_MEASURED = ("peak_memory_bytes", "realtime_factor")
# Columns of `runs` that the view `results`, whose columns are promised, has not.
_BESIDE = ("sdr_db", "mixtures", "unscored", "sdr_unscored", "stoi_unscored", "pesq_unscored")


def _columns(record: type, names: tuple[str, ...] | None = None) -> list[Column[Any]]:
    """A column per field of a record, so that a new field needs no second list of names."""
    hints, defaults = get_type_hints(record), {field.name: field.default for field in fields(record)}
    columns: list[Column[Any]] = []
    for name in names or tuple(field.name for field in fields(record)):
        kinds = [kind for kind in get_args(hints[name]) or (hints[name],) if kind is not type(None)]
        wide = sa.BigInteger if name in ("macs_per_s", "peak_memory_bytes") else _TYPES[kinds[0]]
        known = {} if defaults[name] in (MISSING, None) else {"default": defaults[name]}
        columns.append(Column(name, wide, info=known))
    return columns


tables = MetaData()
study_settings = Table(
    "study_settings", tables,
    Column("study", String, primary_key=True), Column("settings", String), Column("notes", String),
    Column("fingerprint", String), Column("created_s", sa.Float))
variants = Table("variants", tables, Column("key", String, primary_key=True), *_columns(Variant), *_columns(Cost, _EXACT))
environments = Table(
    "environments", tables, Column("key", String, primary_key=True), Column("description", String))
runs = Table(
    "runs", tables,
    Column("id", Integer, primary_key=True), Column("study", String, nullable=False), Column("trial", Integer, nullable=False),
    Column("variant", ForeignKey("variants.key"), nullable=False), Column("state", String, nullable=False),
    Column("reason", String, default=""), Column("kind", String, default=""),
    *_columns(Recipe), *_columns(Scores), *_columns(Cost, _MEASURED),
    Column("audio_s", sa.Float), Column("seconds", sa.Float), Column("checkpoint", String),
    Column("environment", ForeignKey("environments.key")), Column("owner", String), Column("lease_until_s", sa.Float),
    UniqueConstraint("study", "trial", "seed"))
epochs = Table(
    "epochs", tables,
    Column("run", ForeignKey("runs.id"), primary_key=True), Column("number", Integer, primary_key=True),
    *[column for column in _columns(Epoch) if column.name != "number"])
mixtures = Table(
    "mixtures", tables,
    Column("run", ForeignKey("runs.id"), primary_key=True), Column("mixture", String, primary_key=True),
    *[column for column in _columns(MixtureScore) if column.name != "mixture"])

_LETTERS = ("N", "L", "B", "H", "Sc", "P", "X", "R", "C", "norm", "causal")
_RESULT_COLUMNS = (
    ["r.study", "r.trial", "r.state", "r.reason", "r.variant"] + [f'v."{letter}"' for letter in _LETTERS]
    + [f"v.{name}" for name in _EXACT] + [f"r.{name}" for name in _MEASURED]
    + [f"r.{name}" for name in ("si_snr_db", "si_snri_db", "sdri_db", "stoi", "pesq", "epochs", "learning_rate",
                                "segment_s", "seed", "audio_s", "seconds")])
_no_worse = [f"b.{name} {'>=' if direction == 'maximize' else '<='} a.{name}" for name, direction in OBJECTIVES]
_better = [f"b.{name} {'>' if direction == 'maximize' else '<'} a.{name}" for name, direction in OBJECTIVES]
VIEWS = {
    "results": f"SELECT {', '.join(_RESULT_COLUMNS)} FROM runs r JOIN variants v ON v.key = r.variant",
    "front": f"""SELECT a.* FROM results a WHERE a.state = 'complete' AND a.si_snri_db IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM results b WHERE b.study = a.study AND b.state = 'complete'
        AND {' AND '.join(_no_worse)} AND ({' OR '.join(_better)}))""",
    "failures": """SELECT r.study, r.trial, r.kind, r.reason, r.variant, r.seed,
        (SELECT MAX(e.number) FROM epochs e WHERE e.run = r.id) AS last_epoch, r.checkpoint
        FROM runs r WHERE r.state = 'failed'""",
}


def url_of(storage: str) -> sa.URL:
    """A database URL; a bare path means SQLite.

    Raises:
        UserError: when it is no URL SQLAlchemy can read.
    """
    try:
        return sa.make_url(storage if "://" in storage else f"sqlite:///{storage}")
    except sa.exc.ArgumentError:
        raise UserError(f"--storage {storage!r}: not a database URL; wanted such as {DEFAULT_URL}") from None


def open_database(storage: str = DEFAULT_URL, read_only: bool = True) -> "Database":
    """Open the study database; for writing, make what is missing.

    Raises:
        UserError: in one line, when it is missing, unreadable, unwritable or no study database.
    """
    url = url_of(storage)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if read_only and file and not file.is_file():
        raise UserError(f"{file}: no such study database; make one with: python -m study run --trials 6")
    try:
        if file and not read_only:
            file.parent.mkdir(parents=True, exist_ok=True)
        return Database(_engine(url, read_only), read_only)
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        cause = getattr(error, "orig", None) or error
        wanted = "a study database that can be read" if read_only else "a database that can be written"
        raise UserError(f"{url.render_as_string(hide_password=True)}: cannot be opened "
                        f"({str(cause).splitlines()[0]}); wanted {wanted}: see --storage") from error


def _engine(url: sa.URL, read_only: bool) -> sa.Engine:
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, pool_pre_ping=True)
    if read_only and url.database:
        url = url.set(database=f"file:{Path(url.database).absolute()}", query={"mode": "ro", "uri": "true"})
    engine = sa.create_engine(url, connect_args={"timeout": 60})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")       # readers and a writer at once
        connection.execute("PRAGMA foreign_keys=ON")

    return engine


def stored_settings(storage: str, study: str) -> Settings | None:
    """The settings of a study that may not exist yet, in a database that may not either."""
    url = url_of(storage)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    with open_database(storage, read_only=False) as database:
        return database.settings(study)


def check_same(study: str, settings: Settings, known: Settings) -> None:
    """See that a study goes on with the settings it was started with.

    Raises:
        UserError: with the list of differences.
    """
    if found := differences(settings, known):
        raise UserError(f"study {study!r} was started with other settings: {'; '.join(found)}; "
                        "give the same, leave them out, or name another --study")


class Database:
    """Reads and writes of one study database. A context manager; `close` gives the connections back."""

    def __init__(self, engine: sa.Engine, read_only: bool):
        self.engine = engine
        if read_only:
            with engine.connect() as connection:
                connection.execute(select(study_settings.c.study).limit(1))
            return
        with engine.begin() as connection:
            tables.create_all(connection)
            _add_missing_columns(connection)
            known = sa.inspect(connection).get_view_names()
            for name, query in VIEWS.items():
                if name not in known:
                    connection.execute(sa.text(f"CREATE VIEW {name} AS {query}"))

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
    def folder(self) -> Path:
        """Where the study's files lie: beside its SQLite file, else in results."""
        sqlite = self.engine.url.get_backend_name() == "sqlite"
        return Path(self.engine.url.database or "").parent if sqlite else Path("results")

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

    def _rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def studies(self) -> list[str]:
        """Names of the studies, the newest last."""
        return [row["study"] for row in self._rows("SELECT study FROM study_settings ORDER BY created_s")]

    def choose(self, name: str | None) -> str:
        """The study that is meant: the named one, or the newest.

        Raises:
            UserError: when there is none, or none of that name.
        """
        known = self.studies()
        if not known:
            raise UserError(f"{self.shown}: holds no study yet; make one with: python -m study run --trials 6")
        if name is not None and name not in known:
            raise UserError(f"study {name!r}: not in this database, which holds {', '.join(known)}")
        return name or known[-1]

    def settings(self, study: str) -> Settings | None:
        """What the study runs with; None when there is no such study."""
        rows = self._rows("SELECT settings FROM study_settings WHERE study = :study", study=study)
        return Settings.from_dict(json.loads(rows[0]["settings"])) if rows else None

    def notes(self, study: str) -> list[str]:
        """What every report of this study has to say about its corpus."""
        rows = self._rows("SELECT notes FROM study_settings WHERE study = :study", study=study)
        return json.loads(rows[0]["notes"]) if rows else []

    def results(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `results`, in the order of trials, and the scores the view has no column for."""
        runs = {(run["trial"], run["seed"]): run for run in self.runs(study)}
        rows = self._rows("SELECT * FROM results WHERE study = :study ORDER BY trial, seed", study=study)
        return [{**row, "causal": bool(row["causal"]),
                 **{name: runs.get((row["trial"], row["seed"]), {}).get(name) for name in _BESIDE}} for row in rows]

    def front(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `front`, the smallest first."""
        return self._rows("SELECT * FROM front WHERE study = :study ORDER BY parameters, macs_per_s, trial", study=study)

    def epochs(self, study: str) -> list[dict[str, Any]]:
        """Every epoch of every run, with its trial."""
        return self._rows("SELECT r.trial, r.seed, e.* FROM epochs e JOIN runs r ON r.id = e.run "
                          "WHERE r.study = :study ORDER BY r.trial, r.seed, e.number", study=study)

    def mixtures(self, study: str) -> list[dict[str, Any]]:
        """Every scored test mixture of every run, with its trial."""
        return self._rows("SELECT r.trial, r.seed, m.* FROM mixtures m JOIN runs r ON r.id = m.run "
                          "WHERE r.study = :study ORDER BY r.trial, r.seed, m.mixture", study=study)

    def environments(self, study: str) -> list[dict[str, Any]]:
        """Each machine and software that trained a run of the study."""
        rows = self._rows("SELECT DISTINCT e.key, e.description FROM environments e JOIN runs r ON r.environment = e.key "
                          "WHERE r.study = :study ORDER BY e.key", study=study)
        return [json.loads(row["description"]) for row in rows]

    def runs(self, study: str) -> list[dict[str, Any]]:
        """The rows of `runs`, in the order of trials."""
        return self._rows("SELECT * FROM runs WHERE study = :study ORDER BY trial, seed", study=study)

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def register(self, study: str, settings: Settings, notes: tuple[str, ...] = (), fingerprint: str = "") -> None:
        """Store a new study's settings and corpus, or see that they are those it was started with.

        Raises:
            UserError: with the list of differences, or when the corpus holds other recordings than it did.
        """
        known = self.settings(study)
        if known is None:
            row = {"study": study, "settings": json.dumps(settings.as_dict()), "notes": json.dumps(list(notes)),
                   "fingerprint": fingerprint, "created_s": time.time()}
            with self.engine.begin() as connection:
                connection.execute(study_settings.insert(), row)
            return
        check_same(study, settings, known)
        row, = self._rows("SELECT fingerprint FROM study_settings WHERE study = :study", study=study)
        if row["fingerprint"] != fingerprint:
            raise UserError(f"study {study!r}: corpus {settings.corpus} holds other recordings now than when the study began "
                            f"(fingerprint {fingerprint}, not {row['fingerprint']}), so scores could not be compared; "
                            "restore them or name another --study")

    def begin_run(self, study: str, trial: int, variant: Variant, recipe: Recipe, cost: Cost,
                  checkpoint: str, environment: Mapping[str, Any]) -> int:
        """Take a trial's run, making its row if it is new; returns its id.

        Whoever calls this owns the run until its lease ends without being renewed.
        """
        description = json.dumps(dict(environment), sort_keys=True)
        key = hashlib.sha256(description.encode()).hexdigest()[:8]
        lease = {"owner": me(), "lease_until_s": time.time() + LEASE_S, "environment": key}
        with self.engine.begin() as connection:
            _insert_new(connection, environments, {"key": key, "description": description}, "key")
            exact = {name: getattr(cost, name) for name in _EXACT}
            _insert_new(connection, variants, {"key": variant.key, **asdict(variant), **exact}, "key")
            found = connection.execute(select(runs.c.id).where(
                runs.c.study == study, runs.c.trial == trial, runs.c.seed == recipe.seed)).scalar()
            if found is not None:
                connection.execute(runs.update().where(runs.c.id == found).values(**lease))
                return int(found)
            made = connection.execute(runs.insert().values(
                study=study, trial=trial, variant=variant.key, state="running", checkpoint=checkpoint,
                **asdict(recipe), **lease))
            return int(made.inserted_primary_key[0])  # type: ignore[index]  # it was just made

    def add_epoch(self, run: int, epoch: Epoch) -> None:
        """Store an epoch, once however often it is told, and renew the lease."""
        lease = time.time() + max(LEASE_S, 3 * epoch.seconds)
        with self.engine.begin() as connection:
            known = connection.execute(select(epochs.c.run).where(epochs.c.run == run, epochs.c.number == epoch.number))
            if known.scalar() is None:
                connection.execute(epochs.insert(), {"run": run, **asdict(epoch)})
            connection.execute(runs.update().where(runs.c.id == run).values(lease_until_s=lease, audio_s=epoch.audio_s))

    def finish(self, run: int, result: Result) -> None:
        """Store how a run ended, its scores and those of every mixture: all of it or nothing."""
        cost = {name: getattr(result.cost, name) for name in _MEASURED} if result.cost else {}
        with self.engine.begin() as connection:
            connection.execute(runs.update().where(runs.c.id == run).values(
                state=result.state, reason=result.reason, kind=result.kind, seconds=result.seconds,
                owner=None, lease_until_s=None, **cost, **asdict(result.scores)))
            if result.mixtures:
                connection.execute(mixtures.insert(), [{"run": run, **asdict(score)} for score in result.mixtures])


def _add_missing_columns(connection: sa.Connection) -> None:
    """Give the tables an earlier version made the columns it did not know; its rows get their defaults."""
    known = sa.inspect(connection)
    for table in tables.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(sa.text(f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}'))
                if "default" in column.info:
                    connection.execute(table.update().values({column.name: column.info["default"]}))


def _insert_new(connection: sa.Connection, table: Table, row: dict[str, Any], key: str) -> None:
    if connection.execute(select(table.c[key]).where(table.c[key] == row[key])).scalar() is None:
        connection.execute(table.insert(), row)


def me() -> str:
    """This process, among those that may hold a lease."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_held(run: Mapping[str, Any]) -> bool:
    """Whether another process is at work on this run: its lease holds, and as far as we can see it lives."""
    if run["owner"] in (None, me()) or (run["lease_until_s"] or 0) < time.time():
        return False
    host, _, pid = run["owner"].rpartition(":")
    return host != socket.gethostname() or _alive(int(pid))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
