"""Queries of the study database: rows as dicts, or as the records they were made of."""

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
from study.database.device_costs import newest_device_costs
from study.database.schema import epochs, runs
from study.database.study_names import former_folder, is_text
from study.records import (
    DEVICE_AXES,
    EXACT,
    MEASURED,
    SCRATCH,
    TRAINED,
    Outlook,
    Settings,
    device_axis,
)
from study.space.searched import FLAGS
from tasnet_core.errors import UserError
from tasnet_core.records import METRICS, Recipe, Variant

# Columns of `runs` that the view `results`, whose columns are promised, has not.
_NOT_IN_VIEW = ("sdr_db", "mixtures", "unscored",
                *(f"{metric}_unscored" for metric in METRICS if metric != "si_snr"),
                "valid_si_snri_db", "valid_sdri_db")
_OF_STUDY = "JOIN runs r ON r.id = {0}.run WHERE r.study = :study"
_IN_ORDER = "ORDER BY r.trial, r.seed"


class Reader(Connection):
    """Reads of one study database."""

    # ── studies ─────────────────────────────────────────────────────────────────────────────

    def studies(self) -> list[str]:
        """Names of the studies, the newest last."""
        rows = self.query("SELECT study FROM study_settings ORDER BY created_s")
        return [row["study"] for row in rows]

    def choose(self, name: str | None, to_derive: bool = False) -> str:
        """The named study, or the newest; `to_derive` others from it, the newest that was not
        derived itself.

        Raises:
            UserError: there is none, or none of that name.
        """
        known = self.studies()
        if not known:
            raise UserError(f"{self.shown}: holds no study yet; "
                            "make one with: python -m study run --trials 6")
        if name is not None and name not in known:
            raise UserError(f"study {name!r}: not in this database, which holds {', '.join(known)}")
        if name is None and to_derive:
            own = (study for study in reversed(known) if not self._derived(study, known))
            return next(own, known[-1])
        return name or known[-1]

    def underived(self) -> dict[str, Settings]:
        """The studies that were not made of others, the newest last, with their settings."""
        known = self.studies()
        found = {study: self.settings(study) for study in known if not self._derived(study, known)}
        return {study: settings for study, settings in found.items() if settings}

    def _derived(self, study: str, known: list[str]) -> bool:
        settings, base = self.settings(study), study.removesuffix(SCRATCH)
        return bool(settings and settings.grown_from) or (base != study and base in known)

    def _study(self, study: str) -> dict[str, Any]:
        """The row of a study; empty when there is none."""
        if not is_text(study):      # no database can be asked for it
            return {}
        rows = self.query("SELECT * FROM study_settings WHERE study = :study", study=study)
        return rows[0] if rows else {}

    def settings(self, study: str) -> Settings | None:
        """The settings of a study; None when there is no such study."""
        stored = self._study(study).get("settings")
        return Settings.from_dict(json.loads(stored)) if stored else None

    def identity(self, study: str) -> str:
        """The name of a study in its checkpoints, which no other study has; empty before its first
        run."""
        return self._study(study).get("identity") or ""

    def fingerprint(self, study: str) -> str:
        """Of what the study's corpus held at its start."""
        return self._study(study).get("fingerprint") or ""

    def checkpoints(self, study: str) -> Path:
        """The folder of a study's checkpoints, wherever the database has been moved to."""
        folder = self._study(study).get("folder") or former_folder(study)
        return self.folder / "checkpoints" / folder

    def notes(self, study: str) -> list[str]:
        """What every report of this study has to say about its corpus."""
        notes: list[str] = json.loads(self._study(study).get("notes", "[]"))
        return notes

    def hypervolume_point(self, study: str) -> dict[str, float] | None:
        """The reference point of a study's hypervolumes; None in studies from before it was stored.
        """
        stored = self._study(study).get("hypervolume_point")
        return dict(json.loads(stored)) if stored else None

    def enqueued(self, study: str) -> set[int]:
        """The trials of a study that were enqueued, from Optuna's tables beside ours."""
        if not sa.inspect(self.reader).has_table("trial_user_attributes"):
            return set()
        rows = self.query(
            "SELECT t.number FROM trials t JOIN studies s ON s.study_id = t.study_id "
            "JOIN trial_user_attributes a ON a.trial_id = t.trial_id "
            "WHERE s.study_name = :study AND a.key = 'variant'", study=study)
        return {row["number"] for row in rows}

    # ── everything of a study ───────────────────────────────────────────────────────────────

    def results(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `results`, in the order of trials, with the scores that the view has
        no column for."""
        runs = {(run["trial"], run["seed"]): run for run in self.runs(study)}
        rows = self.query("SELECT * FROM results WHERE study = :study ORDER BY trial, seed",
                          study=study)
        for row in rows:
            run = runs.get((row["trial"], row["seed"]), {})
            row |= {name: bool(row[name]) for name in FLAGS}
            row |= {name: run.get(name) for name in _NOT_IN_VIEW}
        return self._with_devices(rows)

    def _with_devices(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows with an entry for each axis of a device that has measured one of them."""
        keys = {row["variant"] for row in rows}
        found = {(one["device"], one["variant"]): one for one in newest_device_costs(self)
                 if one["variant"] in keys}
        for device in dict.fromkeys(device for device, _ in found):
            for row in rows:
                measured = found.get((device, row["variant"]), {})
                row |= {device_axis(word, device): measured.get(column)
                        for word, column in DEVICE_AXES.items()}
        return rows

    def device_costs(self) -> list[dict[str, Any]]:
        """The newest measurement of each device and variant."""
        return newest_device_costs(self)

    def devices(self, study: str) -> list[str]:
        """The devices that have measured a variant of the study."""
        return [row["device"] for row in self.query(
            "SELECT DISTINCT d.device FROM device_costs d JOIN runs r ON r.variant = d.variant "
            "WHERE r.study = :study ORDER BY d.device", study=study)]

    def study_of(self, identity: str) -> str | None:
        """The study with this identity; None where there is none."""
        rows = self.query("SELECT study FROM study_settings WHERE identity = :identity",
                          identity=identity)
        return rows[0]["study"] if rows and identity else None

    def front(self, study: str) -> list[dict[str, Any]]:
        """The rows of the view `front`, the smallest first."""
        return self.query("SELECT * FROM front WHERE study = :study "
                          "ORDER BY parameters, macs_per_s, trial", study=study)

    def runs(self, study: str) -> list[dict[str, Any]]:
        """The rows of `runs`, in the order of trials."""
        return self.query("SELECT * FROM runs WHERE study = :study ORDER BY trial, seed",
                          study=study)

    def epochs(self, study: str) -> list[dict[str, Any]]:
        """Every epoch of every run, with its trial."""
        return self.query(f"SELECT r.trial, r.seed, e.* FROM epochs e {_OF_STUDY.format('e')} "
                          f"{_IN_ORDER}, e.number", study=study)

    def mixtures(self, study: str) -> list[dict[str, Any]]:
        """Every scored test mixture of every run, with its trial."""
        return self.query(f"SELECT r.trial, r.seed, m.* FROM mixtures m {_OF_STUDY.format('m')} "
                          f"{_IN_ORDER}, m.mixture", study=study)

    def test_scores(self, study: str) -> Mixtures:
        """The same scores as tables, for millions of them."""
        facts = ", ".join(f"m.{name}" for name in COLUMNS[2:])
        query = (f"SELECT r.trial, r.seed, {facts} FROM mixtures m {_OF_STUDY.format('m')} "
                 f"{_IN_ORDER}, m.mixture")
        with self.snapshot():
            settings = self.settings(study)
            found = from_chunks(self.stream(query, 50_000, study=study))
        return found._replace(people=people_of(settings.corpus)) if settings else found

    def unscored(self, study: str) -> list[dict[str, Any]]:
        """Every test mixture of a run that lacks a score, and why."""
        return self.query(
            f"SELECT r.trial, r.seed, m.mixture, m.reason FROM mixtures m {_OF_STUDY.format('m')} "
            f"AND m.reason <> '' {_IN_ORDER}, m.mixture", study=study)

    def environments(self, study: str) -> list[dict[str, Any]]:
        """Each machine and software that trained a run of the study."""
        rows = self.query(
            "SELECT DISTINCT e.key, e.description FROM environments e "
            "JOIN runs r ON r.environment = e.key WHERE r.study = :study ORDER BY e.key",
            study=study)
        return [json.loads(row["description"]) for row in rows]

    # ── for the search ──────────────────────────────────────────────────────────────────────

    def variant(self, key: str) -> Variant:
        """The variant of a key."""
        row, = self.query("SELECT * FROM variants WHERE key = :key", key=key)
        return Variant.of(row)

    def run_of(self, study: str, trial: int, seed: int) -> dict[str, Any] | None:
        """The run of a trial with a seed, with its variant's exact cost; None when it never began.
        """
        rows = self.query(
            f"SELECT r.*, {', '.join(f'v.{name}' for name in EXACT)} FROM runs r "
            "JOIN variants v ON v.key = r.variant "
            "WHERE study = :study AND trial = :trial AND seed = :seed",
            study=study, trial=trial, seed=seed)
        return rows[0] if rows else None

    def at_work(self, study: str, seed: int) -> set[int]:
        """The trials whose run with this seed is unfinished."""
        rows = self.query("SELECT trial FROM runs WHERE study = :study AND state = 'running' "
                          "AND seed = :seed", study=study, seed=seed)
        return {row["trial"] for row in rows}

    def counts(self, study: str, seed: int) -> dict[str, int]:
        """The number of trials in each state, by their run with this seed."""
        rows = self.query("SELECT state, COUNT(*) AS number FROM runs WHERE study = :study "
                          "AND seed = :seed GROUP BY state", study=study, seed=seed)
        return {row["state"]: row["number"] for row in rows}

    def change_token(self, study: str) -> list[dict[str, Any]]:
        """A row per state, cheap to read, that changes whenever a report would change."""
        return self.query(
            "SELECT r.state, COUNT(*) AS runs, COUNT(r.si_snri_db) AS scored, "
            "ROUND(SUM(r.seconds)) AS seconds, SUM(LENGTH(r.reason)) AS words, "
            "SUM((SELECT COUNT(*) FROM epochs e WHERE e.run = r.id)) AS epochs, "
            "(SELECT COUNT(*) FROM device_costs) AS measured "
            "FROM runs r WHERE r.study = :study GROUP BY r.state ORDER BY r.state", study=study)

    def trained(self, study: str, seed: int) -> int:
        """The number of trials that count towards --trials."""
        counts = self.counts(study, seed)
        return sum(counts.get(state, 0) for state in TRAINED)

    def tried(self, study: str, seed: int) -> set[tuple[Any, ...]]:
        """Keys of the variants that have a run with this seed, each with its tuned recipe."""
        rows = self.query("SELECT DISTINCT variant, learning_rate, segment_s, batch_size FROM runs "
                          "WHERE study = :study AND seed = :seed", study=study, seed=seed)
        return {tuple(row.values()) for row in rows}

    def first_run(self, study: str, variant: Variant, recipe: Recipe) -> dict[str, Any] | None:
        """The first run of this variant, recipe and seed, in whatever state."""
        given = asdict(recipe)
        same_recipe = " AND ".join(f"{name} = :{name}" for name in given)
        # Sorted here: asked for an order, SQLite goes through all runs of the study in that order.
        rows = self.query("SELECT trial FROM runs WHERE study = :study AND variant = :variant "
                          f"AND {same_recipe}", study=study, variant=variant.key, **given)
        if not rows:
            return None
        return self.run_of(study, min(row["trial"] for row in rows), recipe.seed)

    def rivals(self, study: str, seed: int, mine: Curve, names: Sequence[str], margin_db: float,
               patience: int, most: int | None = None) -> list[tuple[int, Curve, str]]:
        """Complete runs that cost no more on the axes `names` and were ahead by more than the
        margin for the last `patience` epochs: trials, curves and the keys of their variants.

        The best first; where costs are known of no other axis, few of them are enough.
        `pareto.hopeless` has the last word; this spares it every other curve.
        """
        last = len(mine.curve)
        columns = {name: f"{'r' if name in MEASURED else 'v'}.{name}" for name in names}
        limits = {number: mine.curve[number - 1] + margin_db
                  for number in range(last - patience + 1, last + 1)}
        if not limits:
            return []
        ahead = " OR ".join(f"(e.number = {number} AND e.valid_si_snri_db > :x{number})"
                            for number in limits)
        cheaper = "".join(f" AND {column} <= :{name}" for name, column in columns.items())
        shown = ", ".join(["r.id", "r.trial", "r.variant", *columns.values()])
        rows = self.query(
            f"SELECT {shown} FROM runs r JOIN variants v ON v.key = r.variant "
            "JOIN epochs e ON e.run = r.id WHERE r.study = :study AND r.state = 'complete' "
            f"AND r.seed = :seed{cheaper} AND ({ahead}) GROUP BY {shown} "
            "HAVING COUNT(*) = :patience ORDER BY MAX(e.valid_si_snri_db) DESC"
            + (f" LIMIT {most}" if most else ""),
            study=study, seed=seed, patience=patience, **dict(zip(names, mine.costs, strict=True)),
            **{f"x{number}": limit for number, limit in limits.items()})
        return [(row["trial"], Curve(tuple(row[name] for name in names), self.curve(row["id"])),
                 row["variant"]) for row in rows]

    def curve(self, run: int) -> tuple[float, ...]:
        """The validation scores of a run's epochs, in order."""
        rows = self.query("SELECT valid_si_snri_db FROM epochs WHERE run = :run ORDER BY number",
                          run=run)
        return tuple(row["valid_si_snri_db"] for row in rows)


def outlooks(connection: sa.Connection,
             *chosen: sa.ColumnElement[bool]) -> list[tuple[int, Outlook]]:
    """The ids of the chosen runs that have an epoch, and what each would gain from more audio."""
    query = sa.select(runs.c.id, runs.c.schedule, runs.c.si_snri_db, epochs)
    query = query.join(epochs, epochs.c.run == runs.c.id).where(*chosen)
    rows = connection.execute(query.order_by(runs.c.id, epochs.c.number)).mappings()
    curves = ((run, [dict[str, Any](row) for row in some])
              for run, some in groupby(rows, lambda row: row["id"]))
    return [(run, outlook(curve, curve[0]["schedule"], curve[0]["si_snri_db"]))
            for run, curve in curves]
