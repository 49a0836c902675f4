"""The study database: our tables and views beside Optuna's in one SQL database.

Rows go in as records and come out as dicts. SQLite by default (`results/study.db`), any URL
SQLAlchemy knows. No foreign key leads into Optuna's tables, and no name here is one of Optuna's.
"""

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Table, select

from study.analysis.hypervolume_curve import point_of
from study.database.connection import damage, opened, url_of
from study.database.leases import LEASE_S, is_held, me
from study.database.migration import bring_up, fit, see_whole
from study.database.queries import Reader
from study.database.schema import environments, epochs, mixtures, runs, study_settings, variants
from study.database.study_names import check_name, checkpoint_name, claim
from study.records import DEFAULT_URL, EXACT, MEASURED, Outlook, Result, Settings
from tasnet_core.errors import Abandoned, UserError
from tasnet_core.records import VALIDATION, Cost, Epoch, Recipe, Variant, differences
from tasnet_core.terminal import complain

FREE = {"owner": None, "lease_until_s": None}       # of a run that no process holds


class LeaseLost(Abandoned):
    """Another process has taken over the run."""


def open_database(storage: str = DEFAULT_URL, read_only: bool = True,
                  say: Callable[[str], None] = complain) -> "Database":
    """Open the study database; for writing, make what is missing.

    `say` gets a message where an older version's rows are changed.

    Raises:
        Outdated: for reading, when it is of another version and lacks something.
        UserError: in one line, when it is missing, unreadable, unwritable or no study database.
    """
    url = url_of(storage)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    if read_only and file and not file.is_file():
        raise UserError(f"{file}: no such study database; "
                        "make one with: python -m study run --trials 6")
    prepare = see_whole if read_only else partial(bring_up, say=say)
    try:
        if file and not read_only:
            file.parent.mkdir(parents=True, exist_ok=True)
        made = opened(url, read_only, partial(_database, prepare))
        if file and not read_only:
            made.hold(file)
        return made
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        if url.password:
            cause = cause.replace(str(url.password), "***")
        if file and damage(error) and file.read_bytes()[:15] == b"SQLite format 3":
            raise UserError(f"{file}: the database is damaged ({cause}); end all runs of it, then: "
                            f"python -m study doctor --storage {file}") from None
        wanted = ("a study database that can be read" if read_only else
                  "a database that can be written")
        raise UserError(f"{url.render_as_string(hide_password=True)}: cannot be opened ({cause}); "
                        f"wanted {wanted}: see --storage") from None    # the chain has the password


def _database(prepare: Callable[["Database"], None], engine: sa.Engine) -> "Database":
    made = Database(engine)
    try:
        prepare(made)
    except BaseException:
        made.close()
        raise
    return made


def _may_exist(storage: str) -> bool:
    url = url_of(storage)
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


def stored_settings(storage: str, study: str, read_only: bool = False) -> Settings | None:
    """The settings of a study that may not exist yet, in a database that may not either."""
    if not _may_exist(storage):
        return None
    with open_database(storage, read_only) as database:
        return database.settings(study)


def begun_studies(storage: str, read_only: bool = False) -> dict[str, Settings]:
    """The settings of all studies, but those made of others; the database may not exist yet."""
    if not _may_exist(storage):
        return {}
    with open_database(storage, read_only) as database:
        return database.underived()


def check_same(study: str, settings: Settings, known: Settings) -> None:
    """See that a study goes on with the settings it was started with.

    Raises:
        UserError: with the list of differences.
    """
    found = differences(settings, known)
    if not found:
        return
    way_out = "give the same, leave them out, or name another --study"
    if settings.validation != known.validation:
        way_out = ("its curves mean something else (a pause of one speaker spoilt them), so it can "
                   "be read and reported, but not gone on with: name another --study")
    raise UserError(f"study {study!r} was started with other settings: {'; '.join(found)}; "
                    f"{way_out}")


class Database(Reader):
    """Reads and writes of one study database."""

    # ── studies ─────────────────────────────────────────────────────────────────────────────

    def register(self, study: str, settings: Settings, notes: tuple[str, ...] = (),
                 fingerprint: str = "") -> None:
        """Store a new study's settings and corpus, or see that they are those it was started with.

        Raises:
            UserError: with the list of differences; when the corpus holds other recordings than it
                did; when no study may be called so.
        """
        # Every command that trains comes by here.
        check_same(study, replace(settings, validation=VALIDATION), settings)
        if self.settings(study) is None:
            check_name(study)
        stored = json.dumps(settings.as_dict())
        row = {"study": study, "settings": stored, "notes": json.dumps(list(notes)),
               "fingerprint": fingerprint, "created_s": time.time()}
        if self._write(lambda connection: _insert_new(connection, study_settings, row, "study")):
            return
        self.see_same(study, settings, fingerprint)
        # Where the corpus lies now: the commands after this one look there.
        changed = study_settings.update().where(
            study_settings.c.study == study, study_settings.c.settings != stored)
        self._write(lambda connection: connection.execute(changed.values(settings=stored)))

    def see_same(self, study: str, settings: Settings, fingerprint: str) -> None:
        """See that settings and corpus, known by what it holds, are those of a study's start.

        Raises:
            UserError: as `register`.
        """
        known = self.settings(study)        # also that of a start at the same moment
        assert known is not None
        stored = self._study(study)["fingerprint"]
        if stored == fingerprint and fingerprint:
            settings = replace(settings, corpus=known.corpus)
        check_same(study, settings, known)
        if stored != fingerprint:
            raise UserError(
                f"study {study!r}: corpus {settings.corpus} holds other recordings now than when "
                "the study began, or this version reads or splits them otherwise (fingerprint "
                f"{fingerprint}, not {stored}), so scores could not be compared; restore them, go "
                "on by the version that began it, or name another --study")

    def settle(self, study: str, say: Callable[[str], None] = complain) -> Path:
        """Give a new study its identity and a folder of its own for its checkpoints; returns it.

        `say` gets a message where an older study's folder is in the way. A study from before
        studies had identities keeps its folder.

        Raises:
            UserError: no folder can be made.
        """
        while not self._study(study).get("folder"):
            with self.lock(""):
                if not self._study(study).get("folder"):
                    self._settle(study, say)
        folder = self.checkpoints(study)
        with suppress(OSError):     # the first write says what is wrong
            folder.mkdir(parents=True, exist_ok=True)
            self.hold(folder)
        return folder

    def _settle(self, study: str, say: Callable[[str], None]) -> None:
        identity, plain = uuid.uuid4().hex, self.checkpoints(study)
        folder = plain
        if not self.query("SELECT id FROM runs WHERE study = :study LIMIT 1", study=study):
            try:
                folder = claim(plain.parent, study, identity)
            except OSError as error:
                raise UserError(f"{plain}: cannot be made ({error.strerror}); "
                                "make its folder one that can be written") from error
            if folder != plain and plain.exists():
                say(f"{plain}: is another study's folder, or this one's from before its database "
                    f"was deleted; it stays as it is, and checkpoints of study {study!r} go to "
                    f"{folder}")
        unset = study_settings.update().where(
            study_settings.c.study == study, study_settings.c.folder.is_(None))
        self._write(lambda connection: connection.execute(
            unset.values(identity=identity, folder=folder.name)))

    # ── one run, by the process that holds it ───────────────────────────────────────────────

    def begin_run(self, study: str, trial: int, variant: Variant, recipe: Recipe, cost: Cost,
                  checkpoint: str, environment: Mapping[str, Any], stoppable: bool = True) -> int:
        """Take a trial's run, making its row if it is new; returns its id."""
        key, description = described(environment)
        exact = {name: getattr(cost, name) for name in EXACT}

        def begin(connection: sa.Connection) -> int:
            lease = {"owner": str(me()), "lease_until_s": now_s(connection) + LEASE_S,
                     "environment": key}
            _insert_new(connection, environments, {"key": key, "description": description}, "key")
            _insert_new(connection, variants, {"key": variant.key, **asdict(variant), **exact},
                        "key")
            if trial == 0:      # the reference: hypervolumes are measured from its costs
                point = json.dumps(point_of(cost.parameters, cost.macs_per_s))
                unset = study_settings.update().where(
                    study_settings.c.study == study, study_settings.c.hypervolume_point.is_(None))
                connection.execute(unset.values(hypervolume_point=point))
            found = connection.execute(select(runs.c.id).where(
                runs.c.study == study, runs.c.trial == trial, runs.c.seed == recipe.seed)).scalar()
            if found is not None:
                connection.execute(runs.update().where(runs.c.id == found).values(**lease))
                return int(found)
            made = connection.execute(runs.insert().values(
                study=study, trial=trial, variant=variant.key, state="running",
                checkpoint=checkpoint, stoppable=stoppable, deaths=0, audio_s=0.0,
                **asdict(recipe), **lease))
            return int(made.inserted_primary_key[0])  # type: ignore[index]  # it was just made
        return self._write(begin)

    def take_up(self, study: str, at_work: Collection[int] = ()) -> dict[str, Any] | None:
        """The first unfinished run that no process holds, now ours; None when there is none.

        `at_work` are our own runs that are being trained.
        """
        def take(connection: sa.Connection) -> dict[str, Any] | None:
            now = now_s(connection)
            unfinished = select(runs.c.id, runs.c.owner, runs.c.lease_until_s, runs.c.deaths).where(
                runs.c.study == study, runs.c.state == "running")
            found = connection.execute(unfinished.order_by(runs.c.trial, runs.c.seed)).mappings()
            for run in map(dict[str, Any], found.all()):
                if run["id"] in at_work or is_held(run, now):
                    continue
                died = run["owner"] not in (None, str(me()))     # a pause gives the run back
                mine = runs.update().where(
                    runs.c.id == run["id"], runs.c.owner.is_not_distinct_from(run["owner"]),
                    runs.c.state == "running")
                taken = connection.execute(mine.values(
                    owner=str(me()), lease_until_s=now + LEASE_S,
                    deaths=(run["deaths"] or 0) + died))
                if taken.rowcount:
                    row = select(runs).where(runs.c.id == run["id"])
                    return dict(connection.execute(row).mappings().one())
            return None
        return self._write(take)

    def renew(self, run: int) -> None:
        """Renew the lease of a run.

        Raises:
            LeaseLost: it is another process's by now. So do all writes to a run below.
        """
        self._write(lambda connection: _renew(connection, run))

    def set_cost(self, run: int, cost: Cost) -> None:
        """Store what was measured before the training."""
        measured = {name: getattr(cost, name) for name in MEASURED}
        self._write(lambda connection: _renew(connection, run, **measured))

    def add_epoch(self, run: int, epoch: Epoch) -> None:
        """Store an epoch, once however often it is given, and renew the lease."""
        known = select(epochs.c.run).where(epochs.c.run == run, epochs.c.number == epoch.number)

        def add(connection: sa.Connection) -> None:
            if connection.execute(known).scalar() is None:
                _renew(connection, run, audio_s=epoch.audio_s, deaths=0)
                connection.execute(epochs.insert(), {"run": run, **asdict(epoch)})
        self._write(add)

    def finish(self, run: int, result: Result) -> None:
        """Store a run's result and the scores of every mixture: all of it or nothing, once."""
        cost = {name: getattr(result.cost, name) for name in MEASURED} if result.cost else {}
        scored = [{"run": run, **asdict(score)} for score in result.mixtures]

        def finish(connection: sa.Connection) -> None:
            state = connection.execute(select(runs.c.state).where(runs.c.id == run)).scalar()
            if state != "running":      # done already by a transaction whose end was not received
                return
            found = {**cost, **asdict(result.scores), **asdict(result.selection)}
            _renew(connection, run, state=result.state, reason=result.reason, kind=result.kind,
                   seconds=result.seconds, **found)
            connection.execute(runs.update().where(runs.c.id == run).values(**FREE))
            fit(connection, runs.c.id == run)
            if scored:
                connection.execute(mixtures.insert(), scored)
        self._write(finish)

    def release(self, run: int) -> None:
        """Give an unfinished run of ours back: the next process goes on with it."""
        self._give_back(run)

    def note_death(self, run: int, kind: str = "") -> None:
        """Give a run of ours back whose process died elsewhere; `kind` of `records.FAILURES`."""
        known = {"kind": kind} if kind else {}
        self._give_back(run, deaths=sa.func.coalesce(runs.c.deaths, 0) + 1, **known)

    def _give_back(self, run: int, **values: Any) -> None:
        mine = runs.update().where(runs.c.id == run, runs.c.owner == str(me()))
        self._write(lambda connection: connection.execute(mine.values(**FREE, **values)))

    # ── runs of others ──────────────────────────────────────────────────────────────────────

    def note_out_of_memory(self, study: str, process: int) -> None:
        """Note that the kernel killed a process of this machine for lack of memory."""
        # Without its start, which nobody can tell any more.
        owner = str(me()._replace(process=process, started=""))
        its_run = runs.update().where(runs.c.study == study, runs.c.state == "running",
                                      runs.c.owner.startswith(owner, autoescape=True))
        self._write(lambda connection: connection.execute(its_run.values(kind="out-of-memory")))

    def reopen(self, study: str, trial: int) -> None:
        """Let a trial's stopped and failed runs go on to their end, whatever the stop rule says."""
        ended = runs.update().where(runs.c.study == study, runs.c.trial == trial,
                                    runs.c.state.in_(("stopped", "failed")))
        self._write(lambda connection: connection.execute(ended.values(
            state="running", reason="", kind="", stoppable=False, deaths=0, **FREE,
            **asdict(Outlook()))))

    def queue_replicates(self, study: str, trials: Sequence[int], seeds: int) -> None:
        """Add an unfinished run for each further seed of these trials, `seeds` in all."""
        chosen = select(runs).where(runs.c.study == study, runs.c.trial.in_(trials))
        kept = [field.name for field in fields(Recipe) if field.name != "seed"]

        def queue(connection: sa.Connection) -> None:
            known: dict[int, dict[int, Mapping[Any, Any]]] = {trial: {} for trial in trials}
            for run in connection.execute(chosen).mappings().all():
                known[run["trial"]][run["seed"]] = run
            for trial, by_seed in known.items():
                first = min(by_seed)
                base = by_seed[first]
                for seed in range(first + 1, first + seeds):
                    if seed in by_seed:
                        continue
                    checkpoint = Path(base["checkpoint"]).with_name(checkpoint_name(trial, seed))
                    connection.execute(runs.insert().values(
                        study=study, trial=trial, variant=base["variant"], state="running",
                        stoppable=False, deaths=0, audio_s=0.0, reason="", kind="", seed=seed,
                        checkpoint=str(checkpoint),
                        **{name: base[name] for name in (*kept, *MEASURED)}))
        self._write(queue)


def described(environment: Mapping[str, Any]) -> tuple[str, str]:
    """The key of a machine and software, and its description."""
    description = json.dumps(dict(environment), sort_keys=True)
    return hashlib.sha256(description.encode()).hexdigest()[:8], description


def now_s(connection: sa.Connection) -> float:
    """The time by one clock: the server's where there is one."""
    if connection.dialect.name == "postgresql":
        query = sa.text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")
        return float(connection.execute(query).scalar_one())
    return time.time()


def _renew(connection: sa.Connection, run: int, **values: Any) -> None:
    mine = runs.update().where(runs.c.id == run, runs.c.owner == str(me()))
    renewed = mine.values(lease_until_s=now_s(connection) + LEASE_S, **values)
    if not connection.execute(renewed).rowcount:
        raise LeaseLost


def _insert_new(connection: sa.Connection, table: Table, row: dict[str, Any], key: str) -> bool:
    """Insert a row unless its key is known; whether it was new. Two at once: one of them."""
    known = select(table.c[key]).where(table.c[key] == row[key])
    if connection.execute(known).scalar() is not None:
        return False
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert
        new = insert(table).values(row).on_conflict_do_nothing()
        return bool(connection.execute(new).rowcount)
    connection.execute(table.insert(), row)
    return True
