"""A study database of made-up rows, filled by its own methods."""

from dataclasses import replace

from study.database.store import open_database
from study.records import Result
from study.report import tables
from study.space.searched import OF_VARIANT, TUNED, value_of
from tasnet_core.records import Cost, Epoch, MixtureScore, Scores, Variant
from tests.support import fakes

ENVIRONMENT = {"machine": "x86_64, 2 cores", "device": "cpu", "torch": "2.13.0"}


def fill(url, rows, epochs=(), mixtures=(), name="fake", notes=(), settings=fakes.SETTINGS):
    """Put made-up runs into a database by its own methods."""
    with open_database(url, read_only=False) as db:
        db.register(name, settings, notes)
        for row in rows:
            variant = Variant(**{name: value_of(row, name) for name in OF_VARIANT})
            cost = Cost(row["parameters"], row["macs_per_s"], row["receptive_field_s"])
            recipe = replace(fakes.SETTINGS.recipe, seed=row["seed"], **{name: row[name] for name in TUNED if name in row})
            run = db.begin_run(name, row["trial"], variant, recipe, cost,
                               "", ENVIRONMENT)
            for epoch in epochs:
                if _run_of(epoch) == _run_of(row):
                    db.add_epoch(run, Epoch(**{key: epoch[key] for key in epoch if key not in ("trial", "seed")}))
            if row["state"] != "running":
                scores = Scores(**{key: row.get(key) for key in tables.SCORES})
                tested = tuple(MixtureScore(**{key: one[key] for key in one if key not in ("trial", "seed")})
                               for one in mixtures if _run_of(one) == _run_of(row))
                db.finish(run, Result(row["state"], row["reason"], row.get("kind", ""), cost=cost, scores=scores, mixtures=tested,
                                      seconds=row["seconds"]))


def _run_of(row):
    return row["trial"], row["seed"]
