"""The study database: our tables and views beside Optuna's in one SQL database.

Rows go in as records and come out as dicts. SQLite by default (`results/study.db`), any URL SQLAlchemy knows.
No foreign key leads into Optuna's tables, and no name here is one of Optuna's.
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
from study.database.schema import EXACT, MEASURED, environments, epochs, mixtures, runs, study_settings, variants
from study.database.study_names import check_name, checkpoint_name, claim
from study.records import DEFAULT_URL, Outlook, Result, Settings
from tasnet_core.errors import Abandoned, UserError
from tasnet_core.records import VALIDATION, Cost, Epoch, Recipe, Variant, differences
from tasnet_core.terminal import complain


class LeaseLost(Abandoned):
    """Another process has taken over the run."""


def open_database(storage: str = DEFAULT_URL, read_only: bool = True, say: Callable[[str], None] = complain) -> "Database":
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
        made = opened(url, read_only, partial(_database, see_whole if read_only else partial(bring_up, say=say)))
        if file and not read_only:
            made.hold(file)
        return made
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


def stored_settings(storage: str, study: str, read_only: bool = False) -> Settings | None:
    """The settings of a study that may not exist yet, in a database that may not either."""
    url = url_of(storage)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return None
    with open_database(storage, read_only) as database:
        return database.settings(study)


def begun_studies(storage: str, read_only: bool = False) -> dict[str, Settings]:
    """The studies, but those made of others, with their settings, of a database that may not exist yet."""
    url = url_of(storage)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return {}
    with open_database(storage, read_only) as database:
        return database.underived()


def check_same(study: str, settings: Settings, known: Settings) -> None:
    """See that a study goes on with the settings it was started with.

    Raises:
        UserError: with the list of differences.
    """
    if found := differences(settings, known):
        way_out = ("give the same, leave them out, or name another --study" if settings.validation == known.validation else
                   "its curves mean something else (a pause of one speaker spoilt them), so it can be read and reported, but not "
                   "gone on with: name another --study")
        raise UserError(f"study {study!r} was started with other settings: {'; '.join(found)}; {way_out}")


class Database(Reader):
    """Reads and writes of one study database."""

    def register(self, study: str, settings: Settings, notes: tuple[str, ...] = (), fingerprint: str = "") -> None:
        """Store a new study's settings and corpus, or see that they are those it was started with.

        Raises:
            UserError: with the list of differences, when the corpus holds other recordings than it did, or when no study may be
                called so.
        """
        check_same(study, replace(settings, validation=VALIDATION), settings)       # all that will train come by here
        if self.settings(study) is None:
            check_name(study)
        row = {"study": study, "settings": json.dumps(settings.as_dict()), "notes": json.dumps(list(notes)),
               "fingerprint": fingerprint, "created_s": time.time()}
        if self._write(lambda connection: _insert_new(connection, study_settings, row, "study")):
            return
        self.see_same(study, settings, fingerprint)
        here = json.dumps(settings.as_dict())       # where the corpus lies now: the commands after this one look there
        self._write(lambda connection: connection.execute(study_settings.update().where(
            study_settings.c.study == study, study_settings.c.settings != here).values(settings=here)))

    def see_same(self, study: str, settings: Settings, fingerprint: str) -> None:
        """See that settings and corpus are those that a study was started with; a corpus is known by what it holds, wherever.

        Raises:
            UserError: as `register`.
        """
        known = self.settings(study)        # also that of a start at the same moment
        assert known is not None
        stored, = self.query("SELECT fingerprint FROM study_settings WHERE study = :study", study=study)
        same = stored["fingerprint"] == fingerprint
        check_same(study, replace(settings, corpus=known.corpus) if same and fingerprint else settings, known)
        if not same:
            raise UserError(f"study {study!r}: corpus {settings.corpus} holds other recordings now than when the study began "
                            f"(fingerprint {fingerprint}, not {stored['fingerprint']}), so scores could not be compared; "
                            "restore them or name another --study")

    def settle(self, study: str, say: Callable[[str], None] = complain) -> Path:
        """Give a study that begins its identity and a folder of its own for its checkpoints; where that is.

        `say` is told of an older study's folder that lies where this one's would be. One that was begun before studies had
        identities stays where it is.

        Raises:
            UserError: no folder can be made.
        """
        while self._home(study) == ("", ""):
            with self.lock(""):
                if self._home(study) == ("", ""):
                    self._settle(study, say)
        folder = self.checkpoints(study)
        with suppress(OSError):     # who writes there says what is wrong
            folder.mkdir(parents=True, exist_ok=True)
            self.hold(folder)
        return folder

    def _settle(self, study: str, say: Callable[[str], None]) -> None:
        identity, plain = uuid.uuid4().hex, self.checkpoints(study)
        if self.query("SELECT id FROM runs WHERE study = :study LIMIT 1", study=study):
            folder = plain
        else:
            try:
                folder = claim(plain.parent, study, identity)
            except OSError as error:
                raise UserError(f"{plain}: cannot be made ({error.strerror}); make its folder one that can be written") from error
            if folder != plain and plain.exists():
                say(f"{plain}: is another study's folder, or this one's from before its database was deleted; it stays as it "
                    f"is, and checkpoints of study {study!r} go to {folder}")
        self._write(lambda connection: connection.execute(study_settings.update().where(
            study_settings.c.study == study, study_settings.c.folder.is_(None)).values(identity=identity, folder=folder.name)))

    def begin_run(self, study: str, trial: int, variant: Variant, recipe: Recipe, cost: Cost, checkpoint: str,
                  environment: Mapping[str, Any], stoppable: bool = True) -> int:
        """Take a trial's run, making its row if it is new; returns its id. Whoever calls this owns the run."""
        key, description = described(environment)

        def begin(connection: sa.Connection) -> int:
            lease = {"owner": str(me()), "lease_until_s": now_s(connection) + LEASE_S, "environment": key}
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
                stoppable=stoppable, deaths=0, audio_s=0.0, **asdict(recipe), **lease))
            return int(made.inserted_primary_key[0])  # type: ignore[index]  # it was just made
        return self._write(begin)

    def take_up(self, study: str, besides: Collection[int] = ()) -> dict[str, Any] | None:
        """A run that nobody works on although it is not finished, now ours: the first of them; None when there is none.

        `besides` are ours and at work.
        """
        def take(connection: sa.Connection) -> dict[str, Any] | None:
            now = now_s(connection)
            unfinished = select(runs.c.id, runs.c.owner, runs.c.lease_until_s, runs.c.deaths).where(
                runs.c.study == study, runs.c.state == "running")
            found = connection.execute(unfinished.order_by(runs.c.trial, runs.c.seed)).mappings()
            for run in map(dict[str, Any], found.all()):
                if run["id"] in besides or is_held(run, now):
                    continue
                died = run["owner"] not in (None, str(me()))     # whoever pauses gives the run back
                taken = connection.execute(
                    runs.update().where(runs.c.id == run["id"], runs.c.owner.is_not_distinct_from(run["owner"]),
                                        runs.c.state == "running")
                    .values(owner=str(me()), lease_until_s=now + LEASE_S, deaths=(run["deaths"] or 0) + died))
                if taken.rowcount:
                    return dict(connection.execute(select(runs).where(runs.c.id == run["id"])).mappings().one())
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
            fit(connection, runs.c.id == run)
            if result.mixtures:
                connection.execute(mixtures.insert(), [{"run": run, **asdict(score)} for score in result.mixtures])
        self._write(finish)

    def set_cost(self, run: int, cost: Cost) -> None:
        """Store what was measured before the training."""
        self._write(lambda connection: _renew(connection, run, **{name: getattr(cost, name) for name in MEASURED}))

    def release(self, run: int) -> None:
        """Give a run back that is not finished: whoever comes next goes on with it."""
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.id == run, runs.c.owner == str(me())).values(owner=None, lease_until_s=None)))

    def note_death(self, run: int, kind: str = "") -> None:
        """Give a run of ours back whose process died elsewhere; `kind` as in `records.FAILURES`, where it is known."""
        died: dict[str, Any] = {"deaths": sa.func.coalesce(runs.c.deaths, 0) + 1, **({"kind": kind} if kind else {})}
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.id == run, runs.c.owner == str(me())).values(owner=None, lease_until_s=None, **died)))

    def reopen(self, study: str, trial: int) -> None:
        """Let a trial's stopped and failed runs go on to their end, whatever the stop rule says."""
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.study == study, runs.c.trial == trial, runs.c.state.in_(("stopped", "failed")))
            .values(state="running", reason="", kind="", stoppable=False, deaths=0, owner=None, lease_until_s=None,
                    **asdict(Outlook()))))

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
                            audio_s=0.0, reason="", kind="", seed=seed,
                            checkpoint=str(Path(base["checkpoint"]).with_name(checkpoint_name(trial, seed))),
                            **{field.name: base[field.name] for field in fields(Recipe) if field.name != "seed"},
                            **{name: base[name] for name in MEASURED}))
        self._write(queue)

    def note_out_of_memory(self, study: str, process: int) -> None:
        """Say of the run of a process of this machine that the kernel killed it for lack of memory."""
        killed = str(me()._replace(process=process, started=""))        # without its start, which nobody can tell any more
        its_run = runs.c.owner.startswith(killed, autoescape=True)
        self._write(lambda connection: connection.execute(
            runs.update().where(runs.c.study == study, runs.c.state == "running", its_run).values(kind="out-of-memory")))


def described(environment: Mapping[str, Any]) -> tuple[str, str]:
    """The key of a machine and software, and the words it stands for."""
    description = json.dumps(dict(environment), sort_keys=True)
    return hashlib.sha256(description.encode()).hexdigest()[:8], description


def now_s(connection: sa.Connection) -> float:
    """The time by one clock: the server's where there is one."""
    if connection.dialect.name == "postgresql":
        return float(connection.execute(sa.text("SELECT EXTRACT(EPOCH FROM clock_timestamp())")).scalar_one())
    return time.time()


def _renew(connection: sa.Connection, run: int, **values: Any) -> None:
    mine = runs.update().where(runs.c.id == run, runs.c.owner == str(me()))
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
