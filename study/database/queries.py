"""What is read from the study database: rows as dicts, or as the records they were made of; what follows from them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from study.analysis.extrapolation import outlook
from study.analysis.mixture_scores import COLUMNS, Mixtures, from_chunks, people_of
from study.analysis.pareto import Curve
from study.database.connection import Connection
from study.database.schema import EXACT, MEASURED, epochs, runs
from study.database.study_names import former_folder, is_text
from study.records import SCRATCH, TRAINED, Outlook, Settings
from study.space.searched import FLAGS
from tasnet_core.errors import UserError
from tasnet_core.records import Recipe, Variant

# Columns of `runs` that the view `results`, whose columns are promised, has not.
_BESIDE = ("sdr_db", "mixtures", "unscored", "sdr_unscored", "stoi_unscored", "pesq_unscored")


class Reader(Connection):
    """Reads of one study database."""

    def studies(self) -> list[str]:
        """Names of the studies, the newest last."""
        return [row["study"] for row in self.query("SELECT study FROM study_settings ORDER BY created_s")]

    def choose(self, name: str | None, to_derive: bool = False) -> str:
        """The study that is meant: the named one, or the newest; `to_derive` others from, the newest that was not derived itself.

        Raises:
            UserError: when there is none, or none of that name.
        """
        known = self.studies()
        if not known:
            raise UserError(f"{self.shown}: holds no study yet; make one with: python -m study run --trials 6")
        if name is not None and name not in known:
            raise UserError(f"study {name!r}: not in this database, which holds {', '.join(known)}")
        if name is None and to_derive:
            return next((study for study in reversed(known) if not self._derived(study, known)), known[-1])
        return name or known[-1]

    def underived(self) -> dict[str, Settings]:
        """The studies that were not made of others, the newest last, with their settings."""
        known = self.studies()
        found = {study: self.settings(study) for study in known if not self._derived(study, known)}
        return {study: settings for study, settings in found.items() if settings}

    def _derived(self, study: str, known: list[str]) -> bool:
        settings, base = self.settings(study), study.removesuffix(SCRATCH)
        return bool(settings and settings.grown_from) or (base != study and base in known)

    def settings(self, study: str) -> Settings | None:
        """What the study runs with; None when there is no such study."""
        if not is_text(study):      # no database can be asked for it
            return None
        rows = self.query("SELECT settings FROM study_settings WHERE study = :study", study=study)
        return Settings.from_dict(json.loads(rows[0]["settings"])) if rows else None

    def identity(self, study: str) -> str:
        """What the checkpoints of a study call it, whatever other study has its name; empty before its first run."""
        return self._home(study)[0]

    def checkpoints(self, study: str) -> Path:
        """The folder of a study's checkpoints, wherever the database has been moved to."""
        return self.folder / "checkpoints" / (self._home(study)[1] or former_folder(study))

    def _home(self, study: str) -> tuple[str, str]:
        rows = self.query("SELECT identity, folder FROM study_settings WHERE study = :study", study=study)
        return (rows[0]["identity"] or "", rows[0]["folder"] or "") if rows else ("", "")

    def notes(self, study: str) -> list[str]:
        """What every report of this study has to say about its corpus."""
        rows = self.query("SELECT notes FROM study_settings WHERE study = :study", study=study)
        return json.loads(rows[0]["notes"]) if rows else []

    def hypervolume_point(self, study: str) -> dict[str, float] | None:
        """Where the study's hypervolumes are measured from; None where its reference was begun before that was stored."""
        rows = self.query("SELECT hypervolume_point FROM study_settings WHERE study = :study", study=study)
        return json.loads(rows[0]["hypervolume_point"]) if rows and rows[0]["hypervolume_point"] else None

    def results(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `results`, in the order of trials, and the scores the view has no column for."""
        runs = {(run["trial"], run["seed"]): run for run in self.runs(study)}
        rows = self.query("SELECT * FROM results WHERE study = :study ORDER BY trial, seed", study=study)
        return [{**row, **{name: bool(row[name]) for name in FLAGS},
                 **{name: runs.get((row["trial"], row["seed"]), {}).get(name) for name in _BESIDE}} for row in rows]

    def front(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `front`, the smallest first."""
        return self.query("SELECT * FROM front WHERE study = :study ORDER BY parameters, macs_per_s, trial", study=study)

    def epochs(self, study: str) -> list[dict[str, Any]]:
        """Every epoch of every run, with its trial."""
        return self.query("SELECT r.trial, r.seed, e.* FROM epochs e JOIN runs r ON r.id = e.run "
                          "WHERE r.study = :study ORDER BY r.trial, r.seed, e.number", study=study)

    def mixtures(self, study: str) -> list[dict[str, Any]]:
        """Every scored test mixture of every run, with its trial."""
        return self.query("SELECT r.trial, r.seed, m.* FROM mixtures m JOIN runs r ON r.id = m.run "
                          "WHERE r.study = :study ORDER BY r.trial, r.seed, m.mixture", study=study)

    def heard(self, study: str) -> Mixtures:
        """The same scores as tables, which millions of them need."""
        facts = ", ".join(f"m.{name}" for name in COLUMNS[2:])
        with self.snapshot():
            settings = self.settings(study)
            found = from_chunks(self.stream(f"SELECT r.trial, r.seed, {facts} FROM runs r JOIN mixtures m ON m.run = r.id "
                                            "WHERE r.study = :study ORDER BY r.trial, r.seed, m.mixture", 50_000, study=study))
            return found._replace(people=people_of(settings.corpus)) if settings else found

    def unscored(self, study: str) -> list[dict[str, Any]]:
        """Every test mixture of a run that lacks a score, and why."""
        return self.query("SELECT r.trial, r.seed, m.mixture, m.reason FROM runs r JOIN mixtures m ON m.run = r.id "
                          "WHERE r.study = :study AND m.reason <> '' ORDER BY r.trial, r.seed, m.mixture", study=study)

    def environments(self, study: str) -> list[dict[str, Any]]:
        """Each machine and software that trained a run of the study."""
        rows = self.query("SELECT DISTINCT e.key, e.description FROM environments e JOIN runs r ON r.environment = e.key "
                          "WHERE r.study = :study ORDER BY e.key", study=study)
        return [json.loads(row["description"]) for row in rows]

    def runs(self, study: str) -> list[dict[str, Any]]:
        """The rows of `runs`, in the order of trials."""
        return self.query("SELECT * FROM runs WHERE study = :study ORDER BY trial, seed", study=study)

    def put_in(self, study: str) -> set[int]:
        """The trials of this study that were enqueued, as Optuna's tables beside ours tell."""
        if not sa.inspect(self.reader).has_table("trial_user_attributes"):
            return set()
        return {row["number"] for row in self.query(
            "SELECT t.number FROM trials t JOIN studies s ON s.study_id = t.study_id JOIN trial_user_attributes a "
            "ON a.trial_id = t.trial_id WHERE s.study_name = :study AND a.key = 'variant'", study=study)}

    def run_of(self, study: str, trial: int, seed: int) -> dict[str, Any] | None:
        """The run of a trial with a seed, its variant's exact cost beside it; None when it was never begun."""
        rows = self.query(f"SELECT r.*, {', '.join(f'v.{name}' for name in EXACT)} FROM runs r "
                          "JOIN variants v ON v.key = r.variant "
                          "WHERE study = :study AND trial = :trial AND seed = :seed", study=study, trial=trial, seed=seed)
        return rows[0] if rows else None

    def at_work(self, study: str, seed: int) -> set[int]:
        """The trials whose run with this seed is unfinished."""
        return {row["trial"] for row in self.query(
            "SELECT trial FROM runs WHERE study = :study AND state = 'running' AND seed = :seed", study=study, seed=seed)}

    def variant(self, key: str) -> Variant:
        """The variant of a key."""
        row, = self.query("SELECT * FROM variants WHERE key = :key", key=key)
        return Variant.of(row)

    def counts(self, study: str, seed: int) -> dict[str, int]:
        """How many trials are in each state, by their run with the study's seed: replicates do not count."""
        return {row["state"]: row["number"] for row in self.query(
            "SELECT state, COUNT(*) AS number FROM runs WHERE study = :study AND seed = :seed GROUP BY state",
            study=study, seed=seed)}

    def pulse(self, study: str) -> list[dict[str, Any]]:
        """A row per state, with numbers that cost little and are others whenever a report would be another."""
        return self.query(
            "SELECT r.state, COUNT(*) AS runs, COUNT(r.si_snri_db) AS scored, ROUND(SUM(r.seconds)) AS seconds, "
            "SUM(LENGTH(r.reason)) AS words, SUM((SELECT COUNT(*) FROM epochs e WHERE e.run = r.id)) AS epochs "
            "FROM runs r WHERE r.study = :study GROUP BY r.state ORDER BY r.state", study=study)

    def trained(self, study: str, seed: int) -> int:
        """Trials that count towards --trials."""
        return sum(number for state, number in self.counts(study, seed).items() if state in TRAINED)

    def met(self, study: str, seed: int) -> set[tuple[Any, ...]]:
        """What has a run with this seed: keys of variants, each with what may be tuned of the recipe."""
        return {tuple(row.values()) for row in self.query(
            "SELECT DISTINCT variant, learning_rate, segment_s, batch_size FROM runs WHERE study = :study AND seed = :seed",
            study=study, seed=seed)}

    def same(self, study: str, variant: Variant, recipe: Recipe) -> dict[str, Any] | None:
        """The first run of this variant, recipe and seed, in whatever state."""
        rows = self.query(      # sorted here: asked for an order, SQLite goes through all runs of the study in that order
            "SELECT trial FROM runs WHERE study = :study AND variant = :variant AND "
            + " AND ".join(f"{name} = :{name}" for name in asdict(recipe)),
            study=study, variant=variant.key, **asdict(recipe))
        return self.run_of(study, min(row["trial"] for row in rows), recipe.seed) if rows else None

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
        rows = self.query(
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
        return tuple(row["valid_si_snri_db"] for row in self.query(
            "SELECT valid_si_snri_db FROM epochs WHERE run = :run ORDER BY number", run=run))


def outlooks(connection: sa.Connection, *chosen: sa.ColumnElement[bool]) -> list[tuple[int, Outlook]]:
    """What the chosen runs would gain from more sound, each with its id; one without an epoch is not among them."""
    query = sa.select(runs.c.id, runs.c.schedule, runs.c.si_snri_db, epochs).join(epochs, epochs.c.run == runs.c.id)
    rows = connection.execute(query.where(*chosen).order_by(runs.c.id, epochs.c.number)).mappings()
    curves = ((run, [dict[str, Any](row) for row in some]) for run, some in groupby(rows, lambda row: row["id"]))
    return [(run, outlook(curve, curve[0]["schedule"], curve[0]["si_snri_db"])) for run, curve in curves]
