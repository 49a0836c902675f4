"""The tables and views of the study database, and how an older database gets what it lacks."""

import re
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Any, NamedTuple, get_args, get_type_hints

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, UniqueConstraint

from study.analysis.replicates import BESIDE, OUTLOOK, SCORE
from study.records import (
    COSTS,
    DEVICE_AXES,
    EXACT,
    FRONT,
    MEASURED,
    DeviceCost,
    Outlook,
    Selection,
    device_axis,
)
from study.space.searched import OF_VARIANT, VARIED
from tasnet_core.errors import UserError
from tasnet_core.records import LETTERS, Cost, Epoch, MixtureScore, Recipe, Scores, Variant

_TYPES = {int: sa.Integer, float: sa.Float, str: sa.String, bool: sa.Boolean}


def _columns(record: type, names: tuple[str, ...] | None = None) -> list[Column[Any]]:
    """A column per field of a record, so that a new field needs no second list of names."""
    hints = get_type_hints(record)
    defaults = {field.name: field.default for field in fields(record)}
    columns: list[Column[Any]] = []
    for name in names or defaults:
        hint = next(hint for hint in (*get_args(hints[name]), hints[name]) if hint in _TYPES)
        large = name == "macs_per_s" or name.endswith("_bytes")
        kind = sa.BigInteger if large else _TYPES[hint]
        default = {} if defaults[name] in (MISSING, None) else {"default": defaults[name]}
        columns.append(Column(name, kind, info=default))
    return columns


tables = MetaData()
study_settings = Table(
    "study_settings", tables,
    Column("study", String, primary_key=True), Column("settings", String), Column("notes", String),
    Column("fingerprint", String), Column("created_s", sa.Float),
    Column("hypervolume_point", String),    # the reference point, as JSON; never moves
    # The study's name in its checkpoints, drawn by chance, and the folder of checkpoints that no
    # other study has; both from its first run on.
    Column("identity", String), Column("folder", String))
variants = Table(
    "variants", tables,
    Column("key", String, primary_key=True), *_columns(Variant), *_columns(Cost, EXACT))
environments = Table(
    "environments", tables, Column("key", String, primary_key=True), Column("description", String))
runs = Table(
    "runs", tables,
    Column("id", Integer, primary_key=True), Column("study", String, nullable=False),
    Column("trial", Integer, nullable=False),
    Column("variant", ForeignKey("variants.key"), nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String, default=""), Column("kind", String, default=""),
    *_columns(Recipe), *_columns(Scores), *_columns(Selection), *_columns(Cost, MEASURED),
    *_columns(Outlook),
    Column("audio_s", sa.Float), Column("seconds", sa.Float), Column("checkpoint", String),
    Column("environment", ForeignKey("environments.key")),
    Column("owner", String), Column("lease_until_s", sa.Float),
    Column("stoppable", sa.Boolean, info={"default": True}),    # whether the stop rule may end it
    Column("deaths", Integer, info={"default": 0}),     # of its process, since its last epoch
    UniqueConstraint("study", "trial", "seed"), Index("runs_by_state", "study", "state"),
    Index("runs_by_variant", "study", "variant"))
epochs = Table(
    "epochs", tables,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    *[column for column in _columns(Epoch) if column.name != "number"])
mixtures = Table(
    "mixtures", tables,
    Column("run", ForeignKey("runs.id"), primary_key=True),
    Column("mixture", String, primary_key=True),
    *[column for column in _columns(MixtureScore) if column.name != "mixture"])
# Every measurement stays; the newest of a device and variant counts. It is the variant's, so all
# studies of the database that have the variant have it.
device_costs = Table(
    "device_costs", tables,
    *_columns(DeviceCost), Column("study", String),    # whose bundle was measured
    sa.PrimaryKeyConstraint("device", "variant", "measured_at_s"),
    sa.ForeignKeyConstraint(["variant"], ["variants.key"]))

_RESULT_COLUMNS = [
    "r.study", "r.trial", "r.state", "r.reason", "r.variant",
    *(f'v."{name}"' for name in (*LETTERS, "norm", "causal")),
    *(f"v.{name}" for name in EXACT), *(f"r.{name}" for name in MEASURED if name in COSTS),
    *(f"r.{name}" for name in (
        "si_snr_db", SCORE, *BESIDE, "epochs", "learning_rate", "segment_s",
        "seed", "audio_s", "seconds", "init", *OUTLOOK))]
# What else two runs may differ in comes behind them, so that no column changes its place.
for _name in VARIED:
    _column = f'v."{_name}"' if _name in OF_VARIANT else f"r.{_name}"
    if _column not in _RESULT_COLUMNS:
        _RESULT_COLUMNS.append(_column)
_GREATER = {name: ">" if direction == "maximize" else "<" for name, direction in FRONT}
_no_worse = [f"b.{name} {sign}= a.{name}" for name, sign in _GREATER.items()]
_better = [f"b.{name} {sign} a.{name}" for name, sign in _GREATER.items()]
_OF_DEVICE = [column.name for column in device_costs.columns
              if column.name not in ("study", "variant", "description")]
_NEWEST = ("d.measured_at_s = (SELECT MAX(n.measured_at_s) FROM device_costs n "
           "WHERE n.device = d.device AND n.variant = d.variant)")
# Their words are compared with those that a database has: other words, and the view is made anew.
VIEWS = {
    "results": f"SELECT {', '.join(_RESULT_COLUMNS)} FROM runs r "
               "JOIN variants v ON v.key = r.variant",
    "front": f"""SELECT a.* FROM results a WHERE a.state = 'complete' """
             f"""AND a.si_snri_db IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM results b WHERE b.study = a.study AND b.state = 'complete'
        AND {' AND '.join(_no_worse)} AND ({' OR '.join(_better)}))""",
    "failures": """SELECT r.study, r.trial, r.kind, r.reason, r.variant, r.seed,
        (SELECT MAX(e.number) FROM epochs e WHERE e.run = r.id) AS last_epoch, r.checkpoint
        FROM runs r WHERE r.state = 'failed'""",
    "device_results": f"""SELECT r.study, r.trial, r.seed, r.state, r.variant, r.si_snri_db,
        r.parameters, r.macs_per_s, {', '.join(f"d.{name}" for name in _OF_DEVICE)}
        FROM results r JOIN device_costs d ON d.variant = r.variant WHERE {_NEWEST}""",
}


class Tidy(NamedTuple):
    """Rows for other programs: the types of the columns, and the query for the rows of :study."""

    kinds: dict[str, type]
    query: str


_ALIASES = {"runs": "r", "variants": "v", "epochs": "e", "mixtures": "m", "device_costs": "d"}


def _tidy(columns: list[Column[Any]], tables: str, order: str) -> Tidy:
    chosen = ", ".join(f'{_ALIASES[column.table.name]}."{column.name}"' for column in columns)
    types = {column.name: column.type.python_type for column in columns}
    return Tidy(types, f"SELECT {chosen} FROM {tables} WHERE r.study = :study ORDER BY {order}")


def _of_runs() -> list[Column[Any]]:
    """The columns of the view `results`, then all others but those for workers alone."""
    pairs = [column.replace('"', "").split(".") for column in _RESULT_COLUMNS]
    shown = [(runs if alias == "r" else variants).c[name] for alias, name in pairs]
    known = {column.name for column in shown} | {
        "id", "key", "checkpoint", "environment", "owner", "lease_until_s", "stoppable", "deaths"}
    return shown + [column for column in (*runs.c, *variants.c) if column.name not in known]


def _of_a_run(table: Table) -> list[Column[Any]]:
    return [runs.c.trial, runs.c.seed, *(column for column in table.c if column.name != "run")]


TIDY = {
    "runs": _tidy(_of_runs(), "runs r JOIN variants v ON v.key = r.variant", "r.trial, r.seed"),
    "epochs": _tidy(_of_a_run(epochs), "epochs e JOIN runs r ON r.id = e.run",
                    "r.trial, r.seed, e.number"),
    "mixtures": _tidy(_of_a_run(mixtures), "mixtures m JOIN runs r ON r.id = m.run",
                      "r.trial, r.seed, m.mixture"),
    "devices": _tidy(
        [runs.c.trial, *(column for column in device_costs.c if column.name != "study")],
        "device_costs d JOIN (SELECT DISTINCT study, trial, variant FROM runs) r "
        "ON r.variant = d.variant", "d.device, r.trial, d.measured_at_s"),
}


def with_devices(tidy: Tidy, devices: Sequence[str]) -> Tidy:
    """The table of runs with the newest measurements of these devices, a column for each axis."""
    kinds, shown, joined = dict(tidy.kinds), "", ""
    for place, device in enumerate(devices):
        for word, column in DEVICE_AXES.items():
            axis = device_axis(word, device)
            kinds[axis] = device_costs.c[column].type.python_type
            shown += f', d{place}.{column} AS "{axis}"'
        newest = _NEWEST.replace("d.", f"d{place}.")
        joined += (f" LEFT JOIN device_costs d{place} ON d{place}.variant = r.variant "
                   f"AND d{place}.device = '{device}' AND {newest}")
    start, tables, rest = re.split(r"(?= FROM )|(?= WHERE )", tidy.query, maxsplit=2)
    return Tidy(kinds, f"{start}{shown}{tables}{joined}{rest}")


class Lacking(NamedTuple):
    """What a database of another version has not, in words."""

    rows: list[str]     # tables and columns
    views: list[str]    # views that are not there, or were made from other words


def lacking(connection: sa.Connection) -> Lacking:
    """What a study database lacks; nothing of a database without a study of ours."""
    known = sa.inspect(connection)
    there = set(known.get_table_names())
    if study_settings.name not in there:
        return Lacking([], [])
    rows = [f"table {table.name}" for table in tables.sorted_tables if table.name not in there]
    for table in tables.sorted_tables:
        if table.name in there:
            names = {column["name"] for column in known.get_columns(table.name)}
            rows += [f"column {column.name} of {table.name}"
                     for column in table.columns if column.name not in names]
    made = _made_from(connection)
    return Lacking(rows, [f"view {name}" for name in VIEWS if made.get(name) != _statement(name)])


def _statement(view: str) -> str:
    return f"CREATE VIEW {view} AS {VIEWS[view]}"


def _made_from(connection: sa.Connection) -> dict[str, str]:
    """The statements that views were made with. PostgreSQL rewrites them, so there ours is in a
    comment."""
    if connection.dialect.name == "sqlite":
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'view'"
    elif connection.dialect.name == "postgresql":
        query = ("SELECT relname, obj_description(oid, 'pg_class') FROM pg_class "
                 "WHERE relkind = 'v' AND pg_table_is_visible(oid)")
    else:
        there = sa.inspect(connection).get_view_names()
        return {name: _statement(name) for name in there if name in VIEWS}
    return {name: statement for name, statement in connection.execute(sa.text(query)).all()}


def build(connection: sa.Connection) -> None:
    """Make the tables, columns, indices and views that are not there yet; old rows get defaults.

    Raises:
        UserError: a server keeps one of our views, because another view was made from it.
    """
    tables.create_all(connection)
    known = sa.inspect(connection)
    for table in tables.sorted_tables:
        there = {column["name"] for column in known.get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(sa.text(
                    f'ALTER TABLE {table.name} ADD COLUMN "{column.name}" {kind}'))
                if "default" in column.info:
                    default = {column.name: column.info["default"]}
                    connection.execute(table.update().values(default))
        indices = {index["name"] for index in known.get_indexes(table.name)}
        for index in table.indexes:
            if index.name not in indices:
                index.create(connection, checkfirst=True)
    make_views(connection)


def make_views(connection: sa.Connection) -> None:
    """Make our views anew where a study database lacks one of them; raises as `build`."""
    if not lacking(connection).views:
        return
    for name in reversed(VIEWS):        # each may be made from those before it
        try:
            connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        except sa.exc.DBAPIError as error:
            why = "; ".join(line.strip() for line in str(error.orig).splitlines()[:2])
            raise UserError(
                f"view {name}: this version needs another one, but the old one cannot be dropped "
                f"({why}); drop what was made from it, run this again, and make it anew") from error
    for name in VIEWS:
        statement = _statement(name)
        connection.exec_driver_sql(statement)
        if connection.dialect.name == "postgresql":
            text = statement.replace("'", "''")
            connection.exec_driver_sql(f"COMMENT ON VIEW {name} IS '{text}'")
