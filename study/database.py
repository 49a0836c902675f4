"""The study database: our tables and views beside Optuna's in one SQL database.

Rows go in as records and come out as dicts. SQLite by default (`results/study.db`), any URL SQLAlchemy knows.
No foreign key leads into Optuna's tables, and no name here is one of Optuna's.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Table, select

from study.connection import DEFAULT_URL, Connection, damage, opened, url_of
from study.leases import LEASE_S, is_held, me
from study.pareto import Curve
from study.progress import point_of
from study.records import TRAINED, Result, Settings
from study.schema import EXACT, MEASURED, environments, epochs, mixtures, runs, study_settings, variants
from study.testset import COLUMNS, Mixtures, from_chunks
from study.versions import bring_up, see_whole, to_stderr
from tasnet_core.errors import Abandoned, UserError
from tasnet_core.records import Cost, Epoch, Recipe, Variant, differences

# Columns of `runs` that the view `results`, whose columns are promised, has not.
_BESIDE = ("sdr_db", "mixtures", "unscored", "sdr_unscored", "stoi_unscored", "pesq_unscored")


class LeaseLost(Abandoned):
    """Another process has taken over the run."""


def open_database(storage: str = DEFAULT_URL, read_only: bool = True, say: Callable[[str], None] = to_stderr) -> "Database":
    """Open the study database; for writing, make what is missing, and `say` so where an older version's rows are changed.

    Raises:
        Outdated: for reading, when it is of another version and lacks something.
        UserError: in one line, when it is missing, unreadable, unwritable or no study database.
    """
    url = url_of(storage)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if read_only and file and not file.is_file():
        raise UserError(f"{file}: no such study database; make one with: python -m study run --trials 6")
    try:
        if file and not read_only:
            file.parent.mkdir(parents=True, exist_ok=True)
        return opened(url, read_only, partial(_database, see_whole if read_only else partial(bring_up, say=say)))
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        if url.password:
            cause = cause.replace(str(url.password), "***")
        wanted = "a study database that can be read" if read_only else "a database that can be written"
        if file and damage(error) and file.read_bytes()[:15] == b"SQLite format 3":      # else it is the wrong file
            raise UserError(f"{file}: the database is damaged ({cause}); end all runs of it, then: "
                            f"python -m study doctor --storage {file}") from None
        raise UserError(f"{url.render_as_string(hide_password=True)}: cannot be opened ({cause}); wanted {wanted}: "
                        "see --storage") from None      # the chain would show the password


def _database(prepare: Callable[["Database"], None], engine: sa.Engine) -> "Database":
    made = Database(engine)
    try:
        prepare(made)
    except BaseException:
        made.close()
        raise
    return made


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


class Database(Connection):
    """Reads and writes of one study database."""

    # ── reading ──────────────────────────────────────────────────────────────────────────────────

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

    def hypervolume_point(self, study: str) -> dict[str, float] | None:
        """Where the study's hypervolumes are measured from; None where its reference was begun before that was stored."""
        rows = self._rows("SELECT hypervolume_point FROM study_settings WHERE study = :study", study=study)
        return json.loads(rows[0]["hypervolume_point"]) if rows and rows[0]["hypervolume_point"] else None

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

    def heard(self, study: str) -> Mixtures:
        """The same scores as tables, which millions of them need."""
        facts = ", ".join(f"m.{name}" for name in COLUMNS[2:])
        with self.snapshot():
            return from_chunks(self.stream(f"SELECT r.trial, r.seed, {facts} FROM runs r JOIN mixtures m ON m.run = r.id "
                                           "WHERE r.study = :study ORDER BY r.trial, r.seed, m.mixture", 50_000, study=study))

    def unscored(self, study: str) -> list[dict[str, Any]]:
        """Every test mixture of a run that lacks a score, and why."""
        return self._rows("SELECT r.trial, r.seed, m.mixture, m.reason FROM runs r JOIN mixtures m ON m.run = r.id "
                          "WHERE r.study = :study AND m.reason <> '' ORDER BY r.trial, r.seed, m.mixture", study=study)

    def environments(self, study: str) -> list[dict[str, Any]]:
        """Each machine and software that trained a run of the study."""
        rows = self._rows("SELECT DISTINCT e.key, e.description FROM environments e JOIN runs r ON r.environment = e.key "
                          "WHERE r.study = :study ORDER BY e.key", study=study)
        return [json.loads(row["description"]) for row in rows]

    def runs(self, study: str) -> list[dict[str, Any]]:
        """The rows of `runs`, in the order of trials."""
        return self._rows("SELECT * FROM runs WHERE study = :study ORDER BY trial, seed", study=study)

    def run_of(self, study: str, trial: int, seed: int) -> dict[str, Any] | None:
        """The run of a trial with a seed, its variant's exact cost beside it; None when it was never begun."""
        rows = self._rows(f"SELECT r.*, {', '.join(f'v.{name}' for name in EXACT)} FROM runs r "
                          "JOIN variants v ON v.key = r.variant "
                          "WHERE study = :study AND trial = :trial AND seed = :seed", study=study, trial=trial, seed=seed)
        return rows[0] if rows else None

    def variant(self, key: str) -> Variant:
        """The variant of a key."""
        row, = self._rows("SELECT * FROM variants WHERE key = :key", key=key)
        known = {column.name: row[column.name] for column in variants.columns if column.name not in ("key", *EXACT)}
        return Variant(**{**known, **{name: bool(known[name]) for name in ("causal", "last_residual")}})

    def counts(self, study: str, seed: int) -> dict[str, int]:
        """How many trials are in each state, by their run with the study's seed: replicates do not count."""
        return {row["state"]: row["number"] for row in self._rows(
            "SELECT state, COUNT(*) AS number FROM runs WHERE study = :study AND seed = :seed GROUP BY state",
            study=study, seed=seed)}

    def pulse(self, study: str) -> list[dict[str, Any]]:
        """A row per state, with numbers that cost little and are others whenever a report would be another."""
        return self._rows(
            "SELECT r.state, COUNT(*) AS runs, COUNT(r.si_snri_db) AS scored, ROUND(SUM(r.seconds)) AS seconds, "
            "SUM(LENGTH(r.reason)) AS words, SUM((SELECT COUNT(*) FROM epochs e WHERE e.run = r.id)) AS epochs "
            "FROM runs r WHERE r.study = :study GROUP BY r.state ORDER BY r.state", study=study)

    def trained(self, study: str, seed: int) -> int:
        """Trials that count towards --trials."""
        return sum(number for state, number in self.counts(study, seed).items() if state in TRAINED)

    def met(self, study: str, seed: int) -> set[tuple[Any, ...]]:
        """What has a run with this seed: keys of variants, each with what may be tuned of the recipe."""
        return {tuple(row.values()) for row in self._rows(
            "SELECT DISTINCT variant, learning_rate, segment_s, batch_size FROM runs WHERE study = :study AND seed = :seed",
            study=study, seed=seed)}

    def same(self, study: str, variant: Variant, recipe: Recipe) -> dict[str, Any] | None:
        """The first run of this variant, recipe and seed, in whatever state."""
        rows = self._rows(
            "SELECT trial FROM runs WHERE study = :study AND variant = :variant AND "
            + " AND ".join(f"{name} = :{name}" for name in asdict(recipe)) + " ORDER BY trial LIMIT 1",
            study=study, variant=variant.key, **asdict(recipe))
        return self.run_of(study, rows[0]["trial"], recipe.seed) if rows else None

    def rivals(self, study: str, seed: int, mine: Curve, names: Sequence[str], margin_db: float,
               patience: int) -> list[tuple[int, Curve]]:
        """Complete runs that cost no more on the axes `names` and were `patience` epochs more than the margin ahead.

        With their trials; at most three, the best first: one is enough. The database does what `pareto.hopeless`, which
        has the last word, would do with every curve there is.
        """
        last, columns = len(mine.curve), {name: f"{'r' if name in MEASURED else 'v'}.{name}" for name in names}
        window = {number: mine.curve[number - 1] + margin_db for number in range(last - patience + 1, last + 1)}
        ahead = " OR ".join(f"(e.number = {number} AND e.valid_si_snri_db > :x{number})" for number in window)
        cheaper = "".join(f" AND {column} <= :{name}" for name, column in columns.items())
        rows = self._rows(
            f"SELECT r.id, r.trial, {', '.join(columns.values())} FROM runs r JOIN variants v ON v.key = r.variant "
            "JOIN epochs e ON e.run = r.id "
            f"WHERE r.study = :study AND r.state = 'complete' AND r.seed = :seed{cheaper} AND ({ahead}) "
            f"GROUP BY r.id, r.trial, {', '.join(columns.values())} "
            "HAVING COUNT(*) = :patience ORDER BY MAX(e.valid_si_snri_db) DESC LIMIT 3",
            study=study, seed=seed, patience=patience, **dict(zip(names, mine.costs, strict=True)),
            **{f"x{number}": limit for number, limit in window.items()}) if window else []
        return [(row["trial"], Curve(tuple(row[name] for name in names), self.curve(row["id"]))) for row in rows]

    def curve(self, run: int) -> tuple[float, ...]:
        """The validation scores of a run's epochs, in order."""
        return tuple(row["valid_si_snri_db"] for row in self._rows(
            "SELECT valid_si_snri_db FROM epochs WHERE run = :run ORDER BY number", run=run))

    # ── writing ──────────────────────────────────────────────────────────────────────────────────

    def register(self, study: str, settings: Settings, notes: tuple[str, ...] = (), fingerprint: str = "") -> None:
        """Store a new study's settings and corpus, or see that they are those it was started with.

        Raises:
            UserError: with the list of differences, or when the corpus holds other recordings than it did.
        """
        row = {"study": study, "settings": json.dumps(settings.as_dict()), "notes": json.dumps(list(notes)),
               "fingerprint": fingerprint, "created_s": time.time()}
        if self._write(lambda connection: _insert_new(connection, study_settings, row, "study")):
            return
        known = self.settings(study)        # also that of a start at the same moment
        assert known is not None
        check_same(study, settings, known)
        stored, = self._rows("SELECT fingerprint FROM study_settings WHERE study = :study", study=study)
        if stored["fingerprint"] != fingerprint:
            raise UserError(f"study {study!r}: corpus {settings.corpus} holds other recordings now than when the study began "
                            f"(fingerprint {fingerprint}, not {stored['fingerprint']}), so scores could not be compared; "
                            "restore them or name another --study")

    def begin_run(self, study: str, trial: int, variant: Variant, recipe: Recipe, cost: Cost, checkpoint: str,
                  environment: Mapping[str, Any], stoppable: bool = True) -> int:
        """Take a trial's run, making its row if it is new; returns its id. Whoever calls this owns the run."""
        description = json.dumps(dict(environment), sort_keys=True)
        key = hashlib.sha256(description.encode()).hexdigest()[:8]

        def begin(connection: sa.Connection) -> int:
            lease = {"owner": me(), "lease_until_s": now_s(connection) + LEASE_S, "environment": key}
            _insert_new(connection, environments, {"key": key, "description": description}, "key")
            exact = {name: getattr(cost, name) for name in EXACT}
            _insert_new(connection, variants, {"key": variant.key, **asdict(variant), **exact}, "key")
            if trial == 0:      # the reference: its costs are where the study's hypervolumes are measured from
                point = json.dumps(point_of(cost.parameters, cost.macs_per_s))
                unset = study_settings.c.hypervolume_point.is_(None)
                connection.execute(study_settings.update().where(study_settings.c.study == study, unset)
                                   .values(hypervolume_point=point))
            found = connection.execute(select(runs.c.id).where(
                runs.c.study == study, runs.c.trial == trial, runs.c.seed == recipe.seed)).scalar()
            if found is not None:
                connection.execute(runs.update().where(runs.c.id == found).values(**lease))
                return int(found)
            made = connection.execute(runs.insert().values(
                study=study, trial=trial, variant=variant.key, state="running", checkpoint=checkpoint,
                stoppable=stoppable, deaths=0, **asdict(recipe), **lease))
            return int(made.inserted_primary_key[0])  # type: ignore[index]  # it was just made
        return self._write(begin)

    def take_up(self, study: str) -> dict[str, Any] | None:
        """A run that nobody works on although it is not finished, now ours: the first of them; None when there is none."""
        def take(connection: sa.Connection) -> dict[str, Any] | None:
            now = now_s(connection)
            found = connection.execute(select(runs).where(runs.c.study == study, runs.c.state == "running")
                                       .order_by(runs.c.trial, runs.c.seed)).mappings()
            for run in map(dict[str, Any], found.all()):
                if is_held(run, now):
                    continue
                died = run["owner"] not in (None, me())     # whoever pauses gives the run back
                taken = connection.execute(
                    runs.update().where(runs.c.id == run["id"], runs.c.owner.is_not_distinct_from(run["owner"]),
                                        runs.c.state == "running")
                    .values(owner=me(), lease_until_s=now + LEASE_S, deaths=(run["deaths"] or 0) + died))
                if taken.rowcount:
                    return {**run, "deaths": (run["deaths"] or 0) + died}
            return None
        return self._write(take)

    def renew(self, run: int) -> None:
        """Say that this process is still at work on its run.

        Raises:
            LeaseLost: when it is somebody else's by now.
        """
        self._write(lambda connection: _renew(connection, run))

    def add_epoch(self, run: int, epoch: Epoch) -> None:
        """Store an epoch, once however often it is told, and renew the lease.

        Raises:
            LeaseLost: when the run is somebody else's by now.
        """
        def add(connection: sa.Connection) -> None:
            known = connection.execute(select(epochs.c.run).where(epochs.c.run == run, epochs.c.number == epoch.number))
            if known.scalar() is None:
                _renew(connection, run, audio_s=epoch.audio_s, deaths=0)
                connection.execute(epochs.insert(), {"run": run, **asdict(epoch)})
        self._write(add)

    def finish(self, run: int, result: Result) -> None:
        """Store how a run ended, its scores and those of every mixture: all of it or nothing, once.

        Raises:
            LeaseLost: when the run is somebody else's by now.
        """
        cost = {name: getattr(result.cost, name) for name in MEASURED} if result.cost else {}

        def finish(connection: sa.Connection) -> None:
            state = connection.execute(select(runs.c.state).where(runs.c.id == run)).scalar()
            if state != "running":      # the transaction was done, though its end could not be heard
                return
            _renew(connection, run, state=result.state, reason=result.reason, kind=result.kind, seconds=result.seconds,
                   **cost, **asdict(result.scores))
            connection.execute(runs.update().where(runs.c.id == run).values(owner=None, lease_until_s=None))
            if result.mixtures:
                connection.execute(mixtures.insert(), [{"run": run, **asdict(score)} for score in result.mixtures])
        self._write(finish)

    def set_cost(self, run: int, cost: Cost) -> None:
        """Store what was measured before the training."""
        self._write(lambda connection: _renew(connection, run, **{name: getattr(cost, name) for name in MEASURED}))

    def release(self, run: int) -> None:
        """Give a run back that is not finished: whoever comes next goes on with it."""
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.id == run, runs.c.owner == me()).values(owner=None, lease_until_s=None)))

    def reopen(self, study: str, trial: int) -> None:
        """Let a trial's stopped and failed runs go on to their end, whatever the stop rule says."""
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.study == study, runs.c.trial == trial, runs.c.state.in_(("stopped", "failed")))
            .values(state="running", reason="", kind="", stoppable=False, deaths=0, owner=None, lease_until_s=None)))

    def queue_replicates(self, study: str, trials: Sequence[int], seeds: int) -> None:
        """Leave a run unfinished for each further seed of these trials, `seeds` in all: whoever comes next trains it."""
        def queue(connection: sa.Connection) -> None:
            known = list(map(dict[str, Any], connection.execute(
                select(runs).where(runs.c.study == study, runs.c.trial.in_(trials))).mappings().all()))
            for trial in trials:
                of_trial = {run["seed"]: run for run in known if run["trial"] == trial}
                base = of_trial[min(of_trial)]
                for seed in range(min(of_trial) + 1, min(of_trial) + seeds):
                    if seed not in of_trial:
                        connection.execute(runs.insert().values(
                            study=study, trial=trial, variant=base["variant"], state="running", stoppable=False, deaths=0,
                            reason="", kind="", checkpoint=_beside(base["checkpoint"], seed), seed=seed,
                            **{field.name: base[field.name] for field in fields(Recipe) if field.name != "seed"},
                            **{name: base[name] for name in MEASURED}))
        self._write(queue)

    def note_out_of_memory(self, study: str, process: int) -> None:
        """Say of the run of a process of this machine that the kernel killed it for lack of memory."""
        mine = f"{me().rpartition(':')[0].rpartition(':')[0]}:{process}:"
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.study == study, runs.c.state == "running", runs.c.owner.startswith(mine, autoescape=True))
            .values(kind="out-of-memory")))


def _beside(checkpoint: str, seed: int) -> str:
    path = Path(checkpoint)
    return str(path.with_name(f"{path.stem}-seed-{seed}{path.suffix}"))


def now_s(connection: sa.Connection) -> float:
    """The time by one clock: the server's where there is one."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar_one())
    return time.time()


def _renew(connection: sa.Connection, run: int, **values: Any) -> None:
    mine = runs.update().where(runs.c.id == run, runs.c.owner == me())
    if not connection.execute(mine.values(lease_until_s=now_s(connection) + LEASE_S, **values)).rowcount:
        raise LeaseLost


def _insert_new(connection: sa.Connection, table: Table, row: dict[str, Any], key: str) -> bool:
    """Insert a row unless its key is known; whether it was new. Two at once: one of them."""
    if connection.execute(select(table.c[key]).where(table.c[key] == row[key])).scalar() is not None:
        return False
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
        return bool(connection.execute(insert(table).values(row).on_conflict_do_nothing()).rowcount)
    connection.execute(table.insert(), row)
    return True
